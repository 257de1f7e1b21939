/* What each worker holds of memory_max. */
#include "net/ledger.h"

#include "core/budget.h"

void ledger_init(struct ledger *ledger, unsigned page_count)
{
    ledger->page_count = page_count;
    atomic_init(&ledger->waiting_count, 0);
    for (unsigned i = 0; i < page_count; i++) {
        atomic_init(&ledger->pages[i].bytes, 0);
        atomic_init(&ledger->pages[i].partial_bytes, 0);
        atomic_init(&ledger->pages[i].kept_bytes, 0);
        atomic_init(&ledger->pages[i].waits, false);
    }
}

/*
 * Only the page's owner writes it, so what it reads there is its own.  True: it is less now.
 *
 * In the one order that all see of what is sequentially consistent here, either the less comes
 * before another's read, or its ledger_wait() comes before our look at who waits.  More is told
 * without that: nobody waits for it.
 */
static bool put(atomic_uint_fast64_t *number, uint64_t now)
{
    uint64_t before = atomic_load_explicit(number, memory_order_relaxed);
    if (now < before)
        atomic_store(number, now);
    else if (now > before)
        atomic_store_explicit(number, now, memory_order_relaxed);
    return now < before;
}

bool ledger_write(struct ledger *ledger, unsigned page, const struct budget *budget)
{
    struct ledger_page *own = &ledger->pages[page];
    bool is_less = put(&own->bytes, budget->bytes);
    is_less |= put(&own->partial_bytes, budget->partial_bytes);
    is_less |= put(&own->kept_bytes, budget->kept_bytes);
    return is_less && atomic_load(&ledger->waiting_count) > 0;
}

void ledger_read(struct ledger *ledger, unsigned page, struct budget *budget)
{
    struct budget_others others = {0};
    for (unsigned i = 0; i < ledger->page_count; i++) {
        const struct ledger_page *theirs = &ledger->pages[i];
        if (i == page)
            continue;
        others.bytes += atomic_load(&theirs->bytes);
        others.partial_bytes += atomic_load(&theirs->partial_bytes);
        others.kept_bytes += atomic_load(&theirs->kept_bytes);
    }
    budget->others = others;
}

void ledger_wait(struct ledger *ledger, unsigned page, bool waits)
{
    struct ledger_page *own = &ledger->pages[page];
    if (atomic_load_explicit(&own->waits, memory_order_relaxed) == waits)
        return;
    atomic_store_explicit(&own->waits, waits, memory_order_relaxed);
    if (waits)
        atomic_fetch_add(&ledger->waiting_count, 1);
    else
        atomic_fetch_sub(&ledger->waiting_count, 1);
}

bool ledger_waits(const struct ledger *ledger, unsigned page)
{
    return atomic_load_explicit(&ledger->pages[page].waits, memory_order_relaxed);
}
