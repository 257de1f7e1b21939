/* The workers. */
#include "net/workers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/arrival.h"
#include "net/linger.h"
#include "net/relay.h"

/* ---- memory_max ---------------------------------------------------------------------------- */

static void wake_who_waits(struct workers *workers, unsigned except)
{
    for (unsigned i = 0; i < workers->count; i++)
        if (i != except && ledger_waits(&workers->ledger, i))
            mailbox_poke(&workers->items[i].mailbox);
}

static void tell_memory(struct worker *worker)
{
    struct workers *workers = worker->workers;
    if (ledger_write(&workers->ledger, worker->index, &worker->budget))
        wake_who_waits(workers, worker->index);
}

/* For core, in the middle of a turn. */
static void exchange(struct budget *budget)
{
    struct worker *worker = container_of(budget, struct worker, budget);
    tell_memory(worker);
    ledger_read(&worker->workers->ledger, worker->index, budget);
}

void workers_share_memory(struct worker *worker)
{
    struct workers *workers = worker->workers;
    if (!worker->budget.exchange)
        return;
    tell_memory(worker);
    ledger_wait(&workers->ledger, worker->index, worker->budget.refused);
    if (worker->budget.refused)
        ledger_read(&workers->ledger, worker->index, &worker->budget);
}

/* ---- a client ------------------------------------------------------------------------------ */

static void serve(struct worker *worker, struct arrival *arrival)
{
    if (relay_new(worker, arrival))
        return;
    arrival_turn_away(arrival, worker, "no memory");
    worker->session_count--;
}

/* The one with the fewest sessions; where several have, in turn. */
static struct worker *choose(struct workers *workers)
{
    struct worker *fewest = &workers->items[workers->next];
    size_t fewest_count = atomic_load_explicit(&fewest->session_count, memory_order_relaxed);
    for (unsigned i = 1; i < workers->count; i++) {
        struct worker *worker = &workers->items[(workers->next + i) % workers->count];
        size_t count = atomic_load_explicit(&worker->session_count, memory_order_relaxed);
        if (count >= fewest_count)
            continue;
        fewest = worker;
        fewest_count = count;
    }
    workers->next = (fewest->index + 1) % workers->count;
    return fewest;
}

void workers_welcome(struct workers *workers, struct arrival *arrival)
{
    struct worker *worker = choose(workers);
    struct arrival *sent = worker->index > 0 ? malloc(sizeof(*sent)) : NULL;
    if (worker->index > 0 && !sent) {
        arrival_turn_away(arrival, workers_main(workers), "no memory");
        return;
    }
    worker->session_count++;
    if (!sent) {
        serve(worker, arrival);
        return;
    }
    *sent = *arrival;
    mailbox_put_arrival(&worker->mailbox, sent);
}

/* ---- orders -------------------------------------------------------------------------------- */

static void obey(struct worker *worker, unsigned orders, uint64_t memory_bytes_max)
{
    if (orders & MAILBOX_NETWORK)
        relay_network_changed(worker);
    if (orders & MAILBOX_MEMORY) {
        worker->budget.bytes_max = memory_bytes_max;
        worker->budget.refused_bytes = UINT64_MAX; /* who was turned away may try again */
    }
    if (orders & MAILBOX_REMOVED)
        relay_shutdown(worker, true);
    if (orders & MAILBOX_STOP) {
        worker->is_ending = true;
        linger_hurry(worker);
        relay_shutdown(worker, false);
    }
    if (orders & MAILBOX_END)
        worker_stop(worker);
}

/* The main thread obeys at once, the others as soon as they turn. */
static void order(struct workers *workers, unsigned orders, uint64_t memory_bytes_max)
{
    for (unsigned i = 1; i < workers->count; i++)
        mailbox_put_orders(&workers->items[i].mailbox, orders, memory_bytes_max);
    obey(workers_main(workers), orders, memory_bytes_max);
}

static void on_poke(void *argument)
{
    struct worker *worker = argument;
    struct mail mail;
    mailbox_take(&worker->mailbox, &mail);
    while (!STAILQ_EMPTY(&mail.arrivals)) {
        struct arrival *arrival = STAILQ_FIRST(&mail.arrivals);
        STAILQ_REMOVE_HEAD(&mail.arrivals, entry);
        serve(worker, arrival);
        free(arrival);
    }
    obey(worker, mail.orders, mail.memory_bytes_max);
    atomic_store_explicit(&worker->has_turned, true, memory_order_relaxed);
}

void workers_network_changed(struct workers *workers)
{
    order(workers, MAILBOX_NETWORK, 0);
}

void workers_set_memory(struct workers *workers, uint64_t memory_bytes_max)
{
    order(workers, MAILBOX_MEMORY, memory_bytes_max);
}

void workers_shutdown_removed(struct workers *workers)
{
    order(workers, MAILBOX_REMOVED, 0);
}

void workers_shutdown(struct workers *workers)
{
    order(workers, MAILBOX_STOP, 0);
}

/* ---- numbers ------------------------------------------------------------------------------- */

uint64_t workers_next_number(struct workers *workers)
{
    return atomic_fetch_add_explicit(&workers->number_last, 1, memory_order_relaxed) + 1;
}

struct workers_counts workers_count(const struct workers *workers)
{
    struct workers_counts counts = {0};
    for (unsigned i = 0; i < workers->count; i++) {
        counts.sessions +=
            atomic_load_explicit(&workers->items[i].session_count, memory_order_relaxed);
        counts.open += atomic_load_explicit(&workers->items[i].open_count, memory_order_relaxed);
    }
    return counts;
}

bool workers_have_turned(struct workers *workers)
{
    bool have_all = true;
    for (unsigned i = 1; i < workers->count; i++) {
        struct worker *worker = &workers->items[i];
        if (atomic_load(&worker->has_ended))
            continue; /* we stop, and it has nothing left to do */
        have_all &= atomic_exchange_explicit(&worker->has_turned, false, memory_order_relaxed);
        mailbox_poke(&worker->mailbox);
    }
    return have_all;
}

/* Nothing is left of it, and nothing comes. */
static bool is_done(const struct worker *worker)
{
    return worker->is_ending &&
           atomic_load_explicit(&worker->session_count, memory_order_relaxed) == 0 &&
           worker->lingering_count == 0;
}

bool workers_are_done(const struct workers *workers)
{
    for (unsigned i = 1; i < workers->count; i++)
        if (!atomic_load(&workers->items[i].has_ended))
            return false;
    return is_done(&workers->items[0]);
}

/* ---- threads ------------------------------------------------------------------------------- */

/* The main thread is woken for numbers that it shows. */
static void tell_counts(struct worker *worker)
{
    size_t sessions = atomic_load_explicit(&worker->session_count, memory_order_relaxed);
    size_t open = atomic_load_explicit(&worker->open_count, memory_order_relaxed);
    if (sessions == worker->told_session_count && open == worker->told_open_count)
        return;
    worker->told_session_count = sessions;
    worker->told_open_count = open;
    mailbox_poke(&workers_main(worker->workers)->mailbox);
}

static bool turn_ended(void *context)
{
    struct worker *worker = context;
    tell_counts(worker);
    return is_done(worker);
}

static void *thread_main(void *argument)
{
    struct worker *worker = argument;
    worker_run(worker, turn_ended, worker);
    atomic_store(&worker->has_ended, true);
    mailbox_poke(&workers_main(worker->workers)->mailbox);
    return NULL;
}

static bool begin(struct worker *worker)
{
    sigset_t all;
    sigset_t before;
    char name[16];    /* for top -H; the kernel has room for no more */
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->thread, NULL, thread_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    if (error)
        return false;
    snprintf(name, sizeof(name), "worker %u", worker->index);
    (void)pthread_setname_np(worker->thread, name);
    return true;
}

bool workers_begin(struct workers *workers)
{
    while (workers->thread_count + 1 < workers->count) {
        if (!begin(&workers->items[workers->thread_count + 1]))
            return false;
        workers->thread_count++;
    }
    return true;
}

void workers_end(struct workers *workers)
{
    if (workers->count == 0)
        return;
    order(workers, MAILBOX_END, 0);
    for (; workers->thread_count > 0; workers->thread_count--)
        pthread_join(workers->items[workers->thread_count].thread, NULL);
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool init(struct worker *worker, struct workers *workers, unsigned index, struct log *log,
                 uint64_t memory_bytes_max)
{
    if (!worker_init(worker, log, memory_bytes_max))
        return false;
    workers->count = index + 1; /* from here on it is cleared with the others */
    worker->workers = workers;
    worker->index = index;
    worker->has_turned = true;
    if (workers->ledger.page_count > 1)
        worker->budget.exchange = exchange;
    return mailbox_init(&worker->mailbox, worker->base, on_poke, worker);
}

bool workers_init(struct workers *workers, unsigned count, struct log *log,
                  uint64_t memory_bytes_max)
{
    *workers = (struct workers){.count = 0};
    ledger_init(&workers->ledger, count);
    workers->items = aligned_alloc(LEDGER_LINE_BYTES, count * sizeof(*workers->items));
    if (!workers->items)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!init(&workers->items[i], workers, i, log, memory_bytes_max))
            return false;
    network_init(&workers_main(workers)->network, workers_main(workers));
    return true;
}

void workers_clear_sessions(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        relay_end_all(&workers->items[i]);
        linger_end_all(&workers->items[i]);
    }
}

void workers_clear(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++)
        worker_clear(&workers->items[i]);
    free(workers->items);
    *workers = (struct workers){.count = 0};
}
