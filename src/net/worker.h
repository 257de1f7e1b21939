/*
 * One event loop and everything that belongs to it.  Workers share nothing that changes but what
 * workers.h, link.h and mailbox.h say; nothing of that is on the way of a message.
 *
 * A turn: what can be read or written, then timers that are due, then every session that
 * something happened to sends what it has, then what has ended is freed.  All of a turn sees
 * the same instant.
 */
#ifndef WSKEEP_NET_WORKER_H
#define WSKEEP_NET_WORKER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/budget.h"
#include "log/log.h"
#include "net/chance.h"
#include "net/conn_tls.h"
#include "net/gather.h"
#include "net/heap.h"
#include "net/ledger.h"
#include "net/mailbox.h"
#include "net/network.h"
#include "net/pool.h"
#include "net/readiness.h"
#include "net/resolver.h"
#include "net/secrets.h"
#include "net/timers.h"

#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

enum {
    WORKER_RECEIVE_BYTES = 256 * 1024,
    WORKER_SEND_BYTES = 256 * 1024,
    WORKER_LATE_MS = 1000, /* a wake-up later than this: we did not run */
    WORKER_POLL_FEW = 16,  /* half of libevent's first epoll array: a poll with fewer showed all,
                              if that of the connections was not full either */
    WORKER_POLLS_MAX = 16  /* it doubles up to 4096: all descriptors were seen by then */
};

struct handover;
struct lingering;
struct net_session;
struct workers;

LIST_HEAD(net_session_list, net_session);
LIST_HEAD(lingering_list, lingering);
STAILQ_HEAD(net_session_queue, net_session);

/* How a worker waits: see wait_for_events(). */
struct worker_pace {
    bool is_busy;              /* connections talk in every millisecond */
    uint64_t event_ms;         /* when one last did */
    uint64_t looked_around_ms; /* when everything else was last looked at */
};

struct worker {
    _Alignas(LEDGER_LINE_BYTES) struct event_base *base; /* workers lie side by side */
    struct log *log;
    struct workers *workers; /* all of them; NULL: it is alone, and has no sessions */
    unsigned index;          /* among them; 0: the main thread's */
    struct mailbox mailbox;
    struct budget budget; /* memory_max, of this worker's sessions */
    struct heap_watch heap;
    struct chance chance;
    struct random_source random; /* chance, for core */
    struct timers timers;
    struct pool *pool;
    struct resolver *resolver;
    struct tls_worker *tls;
    struct network network;          /* the main thread's */
    const struct handover *handover; /* for listen: systemd:NAME */
    uid_t socket_owner; /* of our Unix sockets, when client.owner does not say; -1: as created */
    gid_t socket_group;
    struct secrets *secrets;

    uint64_t now_ms; /* of this turn, once it was asked for */
    bool now_is_read;
    int64_t asleep_ms; /* CLOCK_BOOTTIME minus CLOCK_MONOTONIC: grows while the machine sleeps */
    struct readiness readiness; /* of all connections */
    struct worker_pace pace;
    int timer_fd;
    int spare_fd; /* nobody's: given up for a moment when no other descriptor is left; -1: lent, or
                     none was left to replace it */
    struct event timer_event;
    uint64_t timer_armed_ms;

    uint8_t *receive_buffer; /* WORKER_RECEIVE_BYTES, for the callback that reads */
    uint8_t *send_buffer;    /* WORKER_SEND_BYTES, for the session that sends */
    struct gather gather;    /* for a client */
    struct gather pongs;     /* for an upstream that pings */
    const char *tls_why;     /* how TLS failed, of the connection that is being reported */
    uint8_t control_body[FRAME_CONTROL_BYTES_MAX]; /* of a Ping or Close that core hands out */

    struct net_session_list sessions; /* all that live */
    struct net_session_queue touched; /* something happened to them in this turn */
    struct net_session_queue again;   /* they have more to send: the next turn does not wait */
    struct net_session_list dead;     /* freed at the end of the turn */
    struct lingering_list lingerings;
    uint64_t touch_count; /* how often something happened to a session, ever */
    size_t lingering_count;
    bool is_hurried; /* what lingers has a last moment */
    bool is_ending;  /* with its last session */
    bool is_stopping;

    /* The others look at these, where sessions begin and end. */
    atomic_size_t session_count; /* with clients that are still on their way to it */
    atomic_size_t open_count;    /* sessions whose upstream is open */
    size_t told_session_count;   /* when the main thread was last woken for them */
    size_t told_open_count;
    atomic_bool has_turned; /* since it was last asked */
    atomic_bool has_ended;  /* its loop, for good */
    pthread_t thread;
};

/* False with errno when there are no descriptors or memory for it. */
bool worker_init(struct worker *worker, struct log *log, uint64_t memory_bytes_max);

/* All sessions and lingering connections end without another word. */
void worker_clear(struct worker *worker);

/* Turns, until worker_stop(), or until turn_ended, which is asked at the end of each, says true. */
void worker_run(struct worker *worker, bool (*turn_ended)(void *context), void *context);
void worker_stop(struct worker *worker);

/*
 * Without a descriptor a client that waits could not even be told so.  Lend: the spare one is free
 * now, for the next call that takes one; false when there is none.  Restore: take one again, as
 * soon as there is.
 */
bool worker_lend_spare(struct worker *worker);
void worker_restore_spare(struct worker *worker);

/* Ask the clock. */
uint64_t worker_read_clock(struct worker *worker);

/* CLOCK_BOOTTIME in milliseconds: the same all through a turn. */
static inline uint64_t worker_now(struct worker *worker)
{
    return worker->now_is_read ? worker->now_ms : worker_read_clock(worker);
}

#endif
