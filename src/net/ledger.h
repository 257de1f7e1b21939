/*
 * What each worker holds of `memory_max`, where the others can read it without a lock.
 *
 * Each writes only its own page, at the end of a turn and when it has changed by
 * BUDGET_BLIND_BYTES_MAX; it reads the others' when its own rules say so (core/budget.h).  Whoever
 * was turned away says that it waits, and is woken when somebody gives memory back: there is no
 * polling.
 */
#ifndef WSKEEP_NET_LEDGER_H
#define WSKEEP_NET_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

struct budget;

enum { LEDGER_LINE_BYTES = 64 }; /* of the processor's cache: pages do not share one */

struct ledger_page {
    _Alignas(LEDGER_LINE_BYTES) atomic_uint_fast64_t bytes;
    atomic_uint_fast64_t partial_bytes;
    atomic_uint_fast64_t kept_bytes;
    atomic_bool waits; /* it was turned away, and sleeps */
};

struct ledger {
    struct ledger_page pages[CONFIG_WORKER_COUNT_MAX];
    unsigned page_count;
    _Alignas(LEDGER_LINE_BYTES) atomic_uint waiting_count;
};

/* Nobody holds anything. */
void ledger_init(struct ledger *ledger, unsigned page_count);

/* Write what this budget holds.  True: it is less than before, and somebody waits for that. */
bool ledger_write(struct ledger *ledger, unsigned page, const struct budget *budget);

/* Read what the others hold. */
void ledger_read(struct ledger *ledger, unsigned page, struct budget *budget);

/*
 * It was turned away, or is not any more.  After ledger_wait() and another ledger_read() it may
 * sleep: what others give back from there on is told by their ledger_write().
 */
void ledger_wait(struct ledger *ledger, unsigned page, bool waits);

bool ledger_waits(const struct ledger *ledger, unsigned page);

#endif
