/*
 * A session with its two connections: the one place that carries out what core decides, and the
 * only one that reports it.
 */
#ifndef WSKEEP_NET_RELAY_H
#define WSKEEP_NET_RELAY_H

#include "core/session.h"
#include "net/client.h"
#include "net/timers.h"
#include "net/upstream.h"
#include "net/worker.h"

struct arrival;
struct link;
struct link_config;

struct net_session {
    struct session core; /* not begun before is_begun */
    struct worker *worker;
    struct link *link;          /* held */
    struct link_config *config; /* held; replaced when an attempt begins after a reload */
    uint64_t number : 59;       /* in log lines; of all workers' sessions */
    bool is_begun : 1;          /* the client's handshake was right */
    bool is_touched : 1;        /* in worker->touched or worker->again */
    bool is_dead : 1;           /* in worker->dead instead of worker->sessions */
    bool is_late : 1;           /* its client had not asked yet when we began to stop */
    bool is_shut : 1;           /* relay_shutdown() was here */
    struct client client;
    struct upstream upstream;
    struct timer timer;
    LIST_ENTRY(net_session) worker_entry;
    STAILQ_ENTRY(net_session) turn_entry;
};

/* A client was accepted, and counted in session_count.  Takes the arrival, which is empty then,
 * unless it returns false: there is no memory. */
bool relay_new(struct worker *worker, struct arrival *arrival);

/* Its handshake was read and found right: the session begins. */
void relay_begin(struct net_session *net);

/* The client never got as far as a session: free it at the end of the turn. */
void relay_abandon(struct net_session *net);

/*
 * Carry out what core answered.  Every call of a core function that takes actions is followed by
 * this one.  Never calls core back for a decision: what comes of it is an event of its own.
 */
void relay_act(struct net_session *net, struct session_actions *actions);

/* Something happened to it: it sends, and sets its timer, at the end of the turn. */
void relay_touch(struct net_session *net);

static inline uint64_t relay_now(const struct net_session *net)
{
    return worker_now(net->worker);
}

/* ---- for the worker ----------------------------------------------------------------------- */

void relay_flush_all(struct worker *worker);
void relay_free_dead(struct worker *worker);
void relay_did_not_run(struct worker *worker);
void relay_network_changed(struct worker *worker);
/* SIGTERM, or links were removed: read what clients sent already, close them, drain.  Once. */
void relay_shutdown(struct worker *worker, bool only_removed);
void relay_end_all(struct worker *worker);

#endif
