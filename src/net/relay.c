/* Sessions: core's decisions carried out, once a turn. */
#include "net/relay.h"

#include <assert.h>
#include <stdlib.h>

#include "config/config.h"
#include "net/arrival.h"
#include "net/client_messages.h"
#include "net/link.h"
#include "net/report.h"
#include "net/workers.h"

enum { RELAY_IDLE_CLOSE_MS = 10 * 1000 }; /* so quiet before a Close 1000: it may be a time-out */

/*
 * What a quiet session keeps: there are tens of thousands of them.  A field that is needed only
 * while something is under way belongs into a block that exists only then.
 */
#ifndef WSKEEP_CHECKS
_Static_assert(sizeof(void *) > 8 || sizeof(struct net_session) <= 936, "a session has grown");
#endif

/* ---- life ---------------------------------------------------------------------------------- */

/* An attempt that waits for nothing.  It brings another state: it cannot be due for ever. */
static bool begins_at_once(const struct net_session *net, uint64_t now_ms)
{
    return net->is_begun && net->core.state == SESSION_WAITING && net->core.wait_until_ms <= now_ms;
}

/* Whatever comes next, core and the client decide when to look again. */
static void set_timer(struct net_session *net)
{
    uint64_t now_ms = relay_now(net);
    uint64_t due_ms = timers_earlier(client_deadline_ms(net), upstream_deadline_ms(net));
    if (net->is_begun)
        due_ms = timers_earlier(due_ms, session_deadline_ms(&net->core));
    if (due_ms <= now_ms)
        due_ms = begins_at_once(net, now_ms) ? now_ms : now_ms + 1; /* or the loop would spin */
    timers_set(&net->worker->timers, &net->timer, due_ms);
}

static void on_timer(struct timer *timer)
{
    struct net_session *net = container_of(timer, struct net_session, timer);
    struct session_actions actions;
    if (net->is_dead)
        return;
    relay_touch(net);
    client_timer(net);
    upstream_timer(net);
    if (!net->is_begun)
        return;
    do {
        session_timer(&net->core, relay_now(net), &actions);
        relay_act(net, &actions);
    } while (actions.any);
}

bool relay_new(struct worker *worker, struct arrival *arrival)
{
    struct net_session *net = calloc(1, sizeof(*net));
    if (!net)
        return false;
    net->worker = worker;
    if (!client_init(net) || !timers_add(&worker->timers, &net->timer, on_timer)) {
        free(net->client.asking);
        free(net);
        return false;
    }
    net->link = link_hold(arrival->link);
    net->config = link_config_hold(arrival->config);
    LIST_INSERT_HEAD(&worker->sessions, net, worker_entry);
    upstream_init(net);
    client_begin(net, arrival);
    set_timer(net);
    arrival->fd = -1;
    arrival_clear(arrival);
    return true;
}

static void die(struct net_session *net)
{
    if (net->is_dead)
        return;
    net->is_dead = true;
    LIST_REMOVE(net, worker_entry);
    LIST_INSERT_HEAD(&net->worker->dead, net, worker_entry);
}

static void free_session(struct net_session *net)
{
    struct worker *worker = net->worker;
    struct link *link = net->link;
    client_clear(net);
    upstream_clear(net);
    timers_remove(&worker->timers, &net->timer);
    if (net->is_begun && net->core.state == SESSION_OPEN)
        worker->open_count--;
    if (net->is_begun) {
        session_clear(&net->core);
        link_session_ended(link);
    }
    LIST_REMOVE(net, worker_entry);
    worker->session_count--;
    link_config_release(net->config);
    free(net);
    link_release(link);
}

void relay_abandon(struct net_session *net)
{
    die(net);
}

void relay_begin(struct net_session *net)
{
    struct worker *worker = net->worker;
    struct session_actions actions;
    const struct client_request *request = net->client.request;
    session_init(&net->core, &net->config->session, &worker->random, &worker->budget,
                 relay_now(net));
    if (net->client.conn.is_unix)
        session_client_without_heartbeat(&net->core);
    if (request->has_credential)
        session_client_has_credential(&net->core);
    net->number = workers_next_number(worker->workers) & (UINT64_MAX >> 5);
    net->is_begun = true;
    report_begun(net);

    const char *subprotocol;
    if (request->offer_count == 0)
        subprotocol = "";
    else if (net->config->upstream.subprotocols.count == 1)
        subprotocol = request->offer;
    else
        subprotocol = link_choice(net->link, request->offer, request->offer_bytes);
    session_start(&net->core, subprotocol, relay_now(net), &actions);
    relay_act(net, &actions);
    if (net->is_late) {
        session_shutdown(&net->core, relay_now(net), &actions);
        relay_act(net, &actions);
    }
}

/* ---- carrying out -------------------------------------------------------------------------- */

/* The server ended the session as if all were well, after nobody had said anything for a while. */
static bool is_idle_close(const struct net_session *net, const struct session_actions *actions)
{
    const struct session_end *end = &actions->end;
    uint64_t data_ms = net->core.data_ms;
    if (net->client.data_ms > data_ms)
        data_ms = net->client.data_ms;
    return end->cause == CAUSE_CLOSED && end->was_open && end->close.code == CLOSE_NORMAL &&
           actions->close_rule < 0 && relay_now(net) - data_ms >= RELAY_IDLE_CLOSE_MS;
}

static void count_open(struct worker *worker, const struct session_move *move)
{
    if (move->from != move->to && move->to == SESSION_OPEN)
        worker->open_count++;
    if (move->from != move->to && move->from == SESSION_OPEN)
        worker->open_count--;
}

static void report(const struct net_session *net, const struct session_actions *actions)
{
    bool has_ended = actions->move.from != actions->move.to && actions->move.to == SESSION_ENDED;
    if (actions->given_up_count > 0)
        report_given_up(net, actions);
    if (actions->mutual_stall)
        report_mutual_stall(net);
    if (actions->pong_unsupported)
        report_pong_unsupported(net);
    if (actions->move.from != actions->move.to)
        report_move(net, actions);
    if (actions->gap)
        report_gap(net, actions->gap_ms);
    if (actions->client == SESSION_CLIENT_CLOSE && net->core.client == SESSION_CLIENT_CLOSED)
        report_client_close(net, &actions->client_close);
    if (has_ended)
        report_session_end(net, actions->move.cause);
    uint32_t idle_close_count =
        has_ended && is_idle_close(net, actions) ? link_saw_idle_close(net->link) : 0;
    if (idle_close_count == 2)
        report_idle_close(net, idle_close_count);
}

static void act_on_client(struct net_session *net, const struct session_actions *actions)
{
    bool has_ended = net->core.state == SESSION_ENDED;
    if (actions->client == SESSION_CLIENT_ANSWER)
        client_do_answer(net);
    if (actions->deliver_gap)
        client_send_text(net, net->config->gap_message);
    switch (actions->client) {
    case SESSION_CLIENT_KEEP:
    case SESSION_CLIENT_ANSWER:
        break;
    case SESSION_CLIENT_REFUSE:
        client_do_refuse(net, actions->refuse_status, cause_name(actions->end.cause));
        break;
    case SESSION_CLIENT_CLOSE:
        client_do_close(net, &actions->client_close, has_ended);
        break;
    case SESSION_CLIENT_CUT:
        client_do_cut(net);
        break;
    }
    if (actions->ping_client)
        client_send_ping(net);
    if (actions->probe_client) {
        uint64_t acked_offset;
        bool in_flight;
        conn_probe(&net->client.conn, &acked_offset, &in_flight);
        session_client_tcp(&net->core, acked_offset, in_flight, relay_now(net));
    }
}

void relay_act(struct net_session *net, struct session_actions *actions)
{
    if (!actions->any)
        return;
    relay_touch(net);
    count_open(net->worker, &actions->move);
    if (actions->move.from != actions->move.to && actions->move.to == SESSION_ENDED)
        client_messages_give_up(net, actions->move.cause, actions);
    report(net, actions);
    upstream_do_drop(net, actions->drop, &actions->upstream_close);
    act_on_client(net, actions);
    if (actions->probe_upstream)
        upstream_do_probe(net);
    if (actions->attempt)
        upstream_do_begin(net);
    if (net->core.state == SESSION_ENDED) {
        client_do_cut(net); /* there is nobody left to talk to */
        upstream_do_drop(net, SESSION_DROP_ABANDON, NULL);
        die(net);
    }
}

void relay_touch(struct net_session *net)
{
    net->worker->touch_count++;
    if (net->is_touched)
        return;
    net->is_touched = true;
    STAILQ_INSERT_TAIL(&net->worker->touched, net, turn_entry);
}

static void shut(struct net_session *net)
{
    struct session_actions actions;
    net->is_shut = true;
    relay_touch(net);
    client_read_rest(net);
    if (!net->is_begun) { /* accepted a moment ago: it hears 1012 as the others do */
        net->is_late = true;
        client_hurry(net);
        return;
    }
    session_shutdown(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
}

void relay_shutdown(struct worker *worker, bool only_removed)
{
    struct net_session *net;
    struct net_session *next;
    for (net = LIST_FIRST(&worker->sessions); net; net = next) {
        next = LIST_NEXT(net, worker_entry);
        if (!net->is_shut && (!only_removed || net->link->is_removed))
            shut(net);
    }
}

/* ---- the turn ------------------------------------------------------------------------------ */

static void flush(struct net_session *net)
{
    if (net->is_begun) {
        client_flush(net);
        upstream_flush(net);
    }
    gather_flush(&net->worker->gather);
    if (net->is_dead)
        return;
    set_timer(net);
    if (!net->upstream.sending.has_more && !client_room_is_back(net))
        return;
    if (!net->is_touched) { /* not before everybody else had a turn */
        net->is_touched = true;
        STAILQ_INSERT_TAIL(&net->worker->again, net, turn_entry);
    }
}

/* Somebody was turned away for memory_max, and memory came back since: those who are held back
 * look again.  False when nothing came back. */
static bool wake_those_without_memory(struct worker *worker)
{
    struct net_session *net;
    workers_share_memory(worker);
    if (!budget_came_back(&worker->budget))
        return false;
    LIST_FOREACH(net, &worker->sessions, worker_entry)
    if (client_kept_has_message(net->client.kept) || net->core.client_starved ||
        net->core.upstream_full || net->core.upstream_starved)
        relay_touch(net);
    return true;
}

void relay_flush_all(struct worker *worker)
{
    STAILQ_CONCAT(&worker->touched, &worker->again);
    do {
        while (!STAILQ_EMPTY(&worker->touched)) {
            struct net_session *net = STAILQ_FIRST(&worker->touched);
            STAILQ_REMOVE_HEAD(&worker->touched, turn_entry);
            net->is_touched = false;
            flush(net);
        }
    } while (wake_those_without_memory(worker));
}

void relay_free_dead(struct worker *worker)
{
    while (!LIST_EMPTY(&worker->dead)) {
        struct net_session *net = LIST_FIRST(&worker->dead);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the one before it has left the list */
        assert(!net->is_touched);
        free_session(net);
    }
}

void relay_did_not_run(struct worker *worker)
{
    struct net_session *net;
    uint64_t now_ms = worker_now(worker);
    LIST_FOREACH(net, &worker->sessions, worker_entry)
    {
        if (net->is_begun)
            session_did_not_run(&net->core, now_ms);
        else
            client_did_not_run(net);
        set_timer(net);
    }
}

void relay_network_changed(struct worker *worker)
{
    struct net_session *net;
    uint64_t now_ms = worker_now(worker);
    LIST_FOREACH(net, &worker->sessions, worker_entry)
    {
        if (!net->is_begun)
            continue;
        session_network_changed(&net->core, now_ms);
        set_timer(net);
    }
}

static void end_all_of(struct net_session_list *sessions)
{
    while (!LIST_EMPTY(sessions)) {
        struct net_session *net = LIST_FIRST(sessions);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the one before it has left the list */
        report_left_behind(net);
        net->is_dead = true; /* nothing ends it again */
        free_session(net);
    }
}

void relay_end_all(struct worker *worker)
{
    STAILQ_INIT(&worker->touched);
    STAILQ_INIT(&worker->again);
    end_all_of(&worker->dead);
    end_all_of(&worker->sessions);
}
