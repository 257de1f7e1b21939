/*
 * One event loop, and what all of its connections share: the clock, the timers, one receive
 * buffer, one send buffer, random bytes, the memory budget.
 *
 * A turn of the loop: everything that can be read and written first; then what is due; then each
 * session that something happened to sends what it has, once; then what ended is freed.
 */
#ifndef WSKEEP_NET_WORKER_H
#define WSKEEP_NET_WORKER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/budget.h"
#include "core/random.h"
#include "core/session.h"
#include "log/log.h"
#include "net/timers.h"

enum {
    WORKER_RECEIVE_BYTES = 256 * 1024,
    WORKER_SEND_BYTES = 256 * 1024,
    WORKER_CHANCE_BYTES = 4096,
    WORKER_LATE_MS = 1000 /* a timer so late, or a sleep so long: we did not run */
};

struct conn;
struct relay;
struct resolver;

/* Freed at the end of the turn: nothing disappears under a caller's feet. */
struct worker_grave {
    struct worker_grave *next;
    void (*bury)(struct worker_grave *grave);
};

struct worker {
    struct event_base *base;
    struct event *timer_event;
    int timer_fd;
    uint64_t timer_armed_ms;
    uint64_t now_ms;   /* CLOCK_BOOTTIME, read once in a turn */
    bool now_is_fresh;
    uint64_t slept_ms; /* CLOCK_BOOTTIME minus CLOCK_MONOTONIC: grows while the machine sleeps */
    bool again;        /* the next turn does not wait */
    bool stop;
    struct timers timers;
    struct budget budget;
    struct random_source random;
    struct log *log;
    struct resolver *resolver;
    struct session_actions actions; /* of the event under way */

    uint8_t *receive; /* WORKER_RECEIVE_BYTES */
    uint8_t *send;    /* WORKER_SEND_BYTES: what is gathered for one connection */
    struct conn *gather_conn;
    size_t gather_bytes;
    uint8_t chance[WORKER_CHANCE_BYTES]; /* a pool, filled in bulk */
    size_t chance_left;

    struct relay *relays; /* all sessions */
    struct relay *dirty;  /* those with something to send, or a deadline to look at */
    struct worker_grave *graves;
    unsigned relay_count;
    unsigned linger_count;
    uint64_t session_number; /* of the last session: shown in logs */
};

/* False when a system resource is missing; errno says which. */
bool worker_init(struct worker *worker, struct log *log, uint64_t memory_bytes_max);
void worker_clear(struct worker *worker);

/* Run until worker->stop. */
void worker_run(struct worker *worker);

/* The time of this turn. */
uint64_t worker_now_ms(struct worker *worker);

/* Random bytes of a CSPRNG. */
void worker_random(struct worker *worker, void *out, size_t bytes);

/* Free it when the turn is over. */
void worker_bury(struct worker *worker, struct worker_grave *grave,
                 void (*bury)(struct worker_grave *grave));

#endif
