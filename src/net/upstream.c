/* The upstream's side of a session. */
#include "net/upstream.h"

#include <assert.h>

#include "config/config.h"
#include "net/linger.h"
#include "net/link.h"
#include "net/relay.h"
#include "net/report.h"
#include "net/upstream_attempt.h"
#include "net/upstream_private.h"

void upstream_init(struct net_session *net)
{
    conn_init(&net->upstream.conn);
}

const struct url *upstream_url(const struct net_session *net)
{
    return &net->config->upstream.urls[net->upstream.url_index];
}

/* The connection is gone: what belonged to it goes, too. */
static void forget(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    dial_free(upstream->dial);
    upstream->dial = NULL;
    tls_context_release(upstream->tls);
    upstream->tls = NULL;
    fresh_end(net);
    message_reader_clear(&upstream->reader);
    compression_free(upstream->compression);
    upstream->compression = NULL;
    budget_hold(&net->worker->budget, &upstream->share, 0, 0);
    session_upstream_starves(&net->core, false, relay_now(net));
    upstream_send_end(net);
    upstream->stage = UPSTREAM_NONE;
}

void upstream_end(struct net_session *net, bool reset)
{
    struct worker *worker = net->worker;
    if (worker->pongs.conn == &net->upstream.conn)
        gather_flush(&worker->pongs);
    conn_close(&net->upstream.conn, reset);
    forget(net);
}

void upstream_clear(struct net_session *net)
{
    upstream_end(net, false);
    fresh_clear(net);
}

void upstream_report_lost(struct net_session *net, enum cause cause, unsigned http_status)
{
    struct session_actions actions;
    session_upstream_lost(&net->core, cause, (uint16_t)http_status, relay_now(net), &actions);
    relay_act(net, &actions);
    fresh_watch(net);
}

void upstream_lose(struct net_session *net, enum cause cause)
{
    upstream_end(net, false);
    upstream_report_lost(net, cause, 0);
}

/* ---- carrying out -------------------------------------------------------------------------- */

void upstream_do_begin(struct net_session *net)
{
    assert(net->upstream.stage == UPSTREAM_NONE);
    net->upstream.stage = UPSTREAM_BEGIN;
    relay_touch(net);
}

/* Its answer to our Close, or its end, is waited for elsewhere. */
static void part(struct net_session *net, const struct close_frame *close)
{
    upstream_send_last(net, close);
    char name[REPORT_NAME_BYTES];
    report_name(net, name);
    linger_take(net->worker, &net->upstream.conn, NULL, LINGER_UPSTREAM_MS, name);
    forget(net);
}

void upstream_do_drop(struct net_session *net, enum session_drop drop,
                      const struct close_frame *close)
{
    if (net->upstream.stage == UPSTREAM_NONE || drop == SESSION_DROP_NONE)
        return;
    if (net->upstream.stage != UPSTREAM_OPEN)
        drop = SESSION_DROP_ABANDON;
    switch (drop) {
    case SESSION_DROP_NONE:
    case SESSION_DROP_ABANDON:
        upstream_end(net, false);
        return;
    case SESSION_DROP_RESET:
        upstream_end(net, true);
        return;
    case SESSION_DROP_CLOSE:
        part(net, close);
        return;
    case SESSION_DROP_FIN:
        part(net, NULL);
        return;
    }
}

void upstream_do_probe(struct net_session *net)
{
    uint64_t acked_offset;
    bool in_flight;
    conn_probe(&net->upstream.conn, &acked_offset, &in_flight);
    session_upstream_tcp(&net->core, acked_offset, in_flight, relay_now(net));
}

/* ---- what comes in ------------------------------------------------------------------------- */

/* The bytes of a frame, when the message is one whole frame at the front of data. */
static const uint8_t *whole_frame(const uint8_t *data, size_t consumed,
                                  const struct message *message)
{
    size_t payload_bytes = message->payload_bytes;
    if (consumed != frame_wire_bytes(payload_bytes, false) ||
        data[0] != (0x80 | (uint8_t)message->opcode))
        return NULL; /* in parts */
    if (payload_bytes > 0 && message->payload != data + (consumed - payload_bytes))
        return NULL;
    return data;
}

static void take_pong(struct net_session *net, const struct message *message)
{
    struct session_actions actions;
    session_upstream_pong(&net->core, message->payload, message->payload_bytes, relay_now(net),
                          &actions);
    relay_act(net, &actions);
}

static void take_close(struct net_session *net, const struct close_frame *close)
{
    struct session_actions actions;
    session_upstream_close(&net->core, close, relay_now(net), &actions);
    relay_act(net, &actions);
}

static void break_off(struct net_session *net, const struct close_frame *close, enum cause cause)
{
    part(net, close);
    upstream_report_lost(net, cause, 0);
}

/* What the reader holds counts, and without memory for the rest of a message the upstream is not
 * read, or the connection ends: the next one may come at a better time. */
static void account(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    struct budget *budget = &net->worker->budget;
    if (upstream->stage != UPSTREAM_OPEN)
        return;
    budget_hold(budget, &upstream->share, message_reader_heap_bytes(&upstream->reader), 0);
    enum budget_verdict verdict = budget_judge(budget, &upstream->share);
    session_upstream_starves(&net->core, verdict == BUDGET_WAIT, relay_now(net));
    if (verdict != BUDGET_END)
        return;
    struct close_frame close;
    close_set(&close, CLOSE_TRY_AGAIN, "wskeep: memory_max");
    break_off(net, &close, CAUSE_NO_RESOURCES);
}

void upstream_feed(struct net_session *net, uint8_t *data, size_t bytes)
{
    struct upstream *upstream = &net->upstream;
    struct message message;
    size_t consumed;
    session_upstream_received(&net->core, relay_now(net));
    while (upstream->stage == UPSTREAM_OPEN) {
        uint8_t *at = data;
        enum message_event event =
            message_read(&upstream->reader, data, bytes, &consumed, &message);
        data += consumed;
        bytes -= consumed;
        switch (event) {
        case MESSAGE_NEED_MORE:
            return;
        case MESSAGE_DATA:
            compression_used(upstream->compression, relay_now(net));
            if (session_upstream_message(&net->core, relay_now(net)))
                client_send_message(net, &message, whole_frame(at, consumed, &message), consumed);
            break;
        case MESSAGE_PING:
            upstream_send_pong(net, message.payload, message.payload_bytes);
            break;
        case MESSAGE_PONG:
            take_pong(net, &message);
            break;
        case MESSAGE_CLOSE:
            take_close(net, &message.close);
            break;
        case MESSAGE_ERROR:
            break_off(net, &message.close, cause_of_refusal(&message.close));
            return;
        }
    }
}

static enum cause end_cause(struct net_session *net, int error)
{
    struct upstream *upstream = &net->upstream;
    if (!upstream->conn.tls)
        return dial_cause_of(error);
    switch (conn_tls_end(upstream->conn.tls, &net->worker->tls_why)) {
    case CONN_TLS_FAILED:
        return CAUSE_TLS_FAILED;
    case CONN_TLS_UNTRUSTED:
        return CAUSE_TLS_UNTRUSTED;
    case CONN_TLS_NO_MEMORY:
        return CAUSE_NO_RESOURCES;
    case CONN_TLS_GOES_ON: /* so it was TCP that ended */
    case CONN_TLS_CLOSED:
        break;
    }
    return dial_cause_of(error);
}

static void on_read(struct watched *watched)
{
    struct net_session *net = container_of(watched, struct net_session, upstream.conn.watched);
    struct worker *worker = net->worker;
    int error = 0;
    if (net->upstream.stage == UPSTREAM_TUNNELLING) {
        upstream_attempt_tunnel(net);
        relay_touch(net);
        return;
    }
    struct conn *conn = &net->upstream.conn;
    bool may_be_deflated = /* what comes with the answer is read before the answer is known */
        net->upstream.stage != UPSTREAM_OPEN || net->upstream.compression;
    ssize_t got = conn_read(conn, worker->receive_buffer,
                            compression_read_bytes_max(conn, may_be_deflated), &error);
    bool goes_on = got > 0 || got == -1;
    relay_touch(net); /* also for bytes that were TLS's own: it counts what a poll brought */
    if (goes_on && net->upstream.stage == UPSTREAM_SECURING && !upstream_attempt_secure(net))
        return;
    if (got == -1)
        return;
    if (got > 0 && net->upstream.stage == UPSTREAM_OPEN)
        upstream_feed(net, worker->receive_buffer, (size_t)got);
    else if (got > 0)
        upstream_attempt_received(net, worker->receive_buffer, (size_t)got);
    else
        upstream_lose(net, end_cause(net, error));
    gather_flush(&worker->gather);
    gather_flush(&worker->pongs);
    account(net);
    relay_touch(net);
}

static void on_write(struct watched *watched)
{
    struct net_session *net = container_of(watched, struct net_session, upstream.conn.watched);
    upstream_send_rest(net);
    relay_touch(net);
}

void upstream_take_socket(struct net_session *net, int fd)
{
    static const struct watched_calls calls = {.on_read = on_read, .on_write = on_write};
    conn_open(&net->upstream.conn, fd, false, &net->worker->readiness, &calls);
}

/* ---- the turn ------------------------------------------------------------------------------ */

uint64_t upstream_deadline_ms(const struct net_session *net)
{
    const struct upstream *upstream = &net->upstream;
    if (upstream->stage != UPSTREAM_OPEN)
        return fresh_deadline_ms(net); /* that of an attempt is core's */
    uint64_t due_ms = conn_deadline_ms(&upstream->conn, relay_now(net));
    return timers_earlier(due_ms, compression_deadline_ms(upstream->compression));
}

void upstream_timer(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    fresh_timer(net);
    size_t freed_bytes =
        compression_timer(upstream->compression, &upstream->reader,
                          upstream->sending.stage != UPSTREAM_SEND_NOTHING, relay_now(net));
    heap_watch_freed(&net->worker->heap, freed_bytes, relay_now(net));
    upstream_attempt_timer(net);
}

void upstream_flush(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    if (upstream->stage == UPSTREAM_BEGIN)
        upstream_attempt_begin(net);
    if (upstream->stage == UPSTREAM_OPEN)
        upstream_send_turn(net);
    int error = upstream->conn.write_error;
    if (error && upstream->stage == UPSTREAM_OPEN &&
        conn_judge_failed_write(&upstream->conn, relay_now(net))) {
        upstream_end(net, true);
        upstream_report_lost(net, dial_cause_of(error), 0);
    }
    upstream->conn.is_deaf = false; /* until it is again */
    account(net);
    if (upstream->stage == UPSTREAM_OPEN && !conn_is_flushed(&upstream->conn))
        conn_wait_writable(&upstream->conn);
    if (upstream->stage == UPSTREAM_OPEN)
        conn_set_reading(&upstream->conn, session_reads_upstream(&net->core));
}
