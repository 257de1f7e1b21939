/*
 * The workers: a thread and a loop each.  The first is the main thread's; it also has the
 * listeners, the signals, and all that a reload does.
 *
 * An accepted client goes to the worker with the fewest sessions, and stays there for its whole
 * life.  What the main thread has to say goes through the others' mailboxes.
 */
#ifndef WSKEEP_NET_WORKERS_H
#define WSKEEP_NET_WORKERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/ledger.h"
#include "net/worker.h"

struct arrival;

struct workers {
    struct worker *items;
    unsigned count;
    unsigned thread_count;            /* that were begun: the others', in order */
    unsigned next;                    /* whose turn it is among those with the fewest */
    atomic_uint_fast64_t number_last; /* of a session */
    struct ledger ledger;
};

struct workers_counts {
    size_t sessions;
    size_t open; /* upstream connections */
};

/* ---- for the main thread ------------------------------------------------------------------- */

/* No thread begins yet.  False with errno when there are no descriptors or memory. */
bool workers_init(struct workers *workers, unsigned count, struct log *log,
                  uint64_t memory_bytes_max);

/* Begin the threads.  False with errno: workers_end() ends those that were begun. */
bool workers_begin(struct workers *workers);

/* End all loops at once, and wait for the threads.  Sessions are still there. */
void workers_end(struct workers *workers);

/* All sessions and lingering connections end without another word.  All zero is allowed. */
void workers_clear_sessions(struct workers *workers);
void workers_clear(struct workers *workers);

static inline struct worker *workers_main(struct workers *workers)
{
    return &workers->items[0];
}

/* A client was accepted.  Takes the arrival; it is served, or turned away. */
void workers_welcome(struct workers *workers, struct arrival *arrival);

void workers_network_changed(struct workers *workers);

/* A reload: memory_max is another, or the same; who was turned away may try again. */
void workers_set_memory(struct workers *workers, uint64_t memory_bytes_max);

/* Links were marked as removed: their sessions are shut down. */
void workers_shutdown_removed(struct workers *workers);

/* Shut down all sessions; workers_are_done() once there is nothing left of them. */
void workers_shutdown(struct workers *workers);
bool workers_are_done(const struct workers *workers);

struct workers_counts workers_count(const struct workers *workers);

/* Has every loop turned since this was asked the last time?  It asks them to. */
bool workers_have_turned(struct workers *workers);

/* ---- for any worker ------------------------------------------------------------------------ */

uint64_t workers_next_number(struct workers *workers);

/* At the end of a turn: tell what it holds of memory_max, and look at the others' if it was turned
 * away. */
void workers_share_memory(struct worker *worker);

#endif
