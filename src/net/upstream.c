/* The upstream's side of a session. */
#include "net/upstream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "config/config.h"
#include "net/linger.h"
#include "net/link.h"
#include "net/relay.h"
#include "net/report.h"
#include "proto/mask.h"

enum { PACK_BYTES_MAX = 256 * 1024 }; /* deflated in one turn: others want theirs */

static void on_read(evutil_socket_t fd, short what, void *argument);
static void on_write(evutil_socket_t fd, short what, void *argument);

void upstream_init(struct net_session *net)
{
    conn_init(&net->upstream.conn, &net->worker->budget);
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
    compression_end(&upstream->compression);
    budget_hold(&net->worker->budget, &upstream->share, 0, 0);
    session_upstream_starves(&net->core, false, relay_now(net));
    upstream->stage = UPSTREAM_NONE;
    upstream->is_packing = false;
    upstream->is_sending = false;
    upstream->close_was_sent = false;
    upstream->write_failed_ms = 0;
    upstream->more_to_send = false;
    upstream->has_pong = false;
}

static void end(struct net_session *net, bool reset)
{
    struct worker *worker = net->worker;
    if (worker->pongs.conn == &net->upstream.conn)
        gather_flush(&worker->pongs);
    conn_close(&net->upstream.conn, reset);
    forget(net);
}

void upstream_clear(struct net_session *net)
{
    end(net, false);
    fresh_clear(net);
}

/* Core learns how the connection, which is no more, ended. */
static void report_lost(struct net_session *net, enum cause cause, unsigned http_status)
{
    struct session_actions actions;
    session_upstream_lost(&net->core, cause, (uint16_t)http_status, relay_now(net), &actions);
    relay_act(net, &actions);
    fresh_watch(net);
}

static void lose(struct net_session *net, enum cause cause)
{
    end(net, false);
    report_lost(net, cause, 0);
}

/* ---- frames of our own --------------------------------------------------------------------- */

/* A masked control frame, with a fresh key (RFC 6455 section 5.3). */
static size_t encode_control(struct net_session *net, enum frame_opcode opcode,
                             const uint8_t *payload, size_t payload_bytes, uint8_t *out)
{
    struct frame_header header = {
        .fin = true, .masked = true, .opcode = opcode, .payload_bytes = payload_bytes};
    chance_fill(&net->worker->chance, header.mask_key, sizeof(header.mask_key));
    size_t header_bytes = frame_header_encode(&header, out);
    mask_copy(out + header_bytes, payload, payload_bytes, header.mask_key, 0);
    return header_bytes + payload_bytes;
}

/* Nothing is half encoded and nothing is unsent: any frame may come now. */
static bool is_at_boundary(const struct upstream *upstream)
{
    return !upstream->is_sending && conn_is_flushed(&upstream->conn);
}

/* At once when the stream allows it; otherwise only the newest Ping is answered (5.5.3). */
static void send_pong(struct net_session *net, const uint8_t *payload, size_t payload_bytes)
{
    struct upstream *upstream = &net->upstream;
    uint8_t frame[FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX];
    if (upstream->close_was_sent || upstream->conn.write_error)
        return;
    if (is_at_boundary(upstream)) {
        size_t bytes = encode_control(net, FRAME_PONG, payload, payload_bytes, frame);
        gather_copy(&net->worker->pongs, &upstream->conn, frame, bytes);
        return;
    }
    upstream->has_pong = true;
    upstream->pong_bytes = (uint8_t)payload_bytes;
    if (payload_bytes > 0)
        memcpy(upstream->pong, payload, payload_bytes);
}

/* ---- carrying out -------------------------------------------------------------------------- */

void upstream_do_begin(struct net_session *net)
{
    assert(net->upstream.stage == UPSTREAM_NONE);
    net->upstream.stage = UPSTREAM_BEGIN;
    relay_touch(net);
}

/*
 * The rest of a stream that is left behind is not sent when the session goes on: those messages
 * will be sent again, and count as never exposed.
 */
static void part(struct net_session *net, const struct close_frame *close)
{
    struct upstream *upstream = &net->upstream;
    struct worker *worker = net->worker;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    uint8_t frame[FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX];
    if (worker->pongs.conn == &upstream->conn)
        gather_flush(&worker->pongs);
    bool goes_on = net->core.state != SESSION_ENDED;
    bool is_cut = upstream->is_sending || (goes_on && !conn_is_flushed(&upstream->conn));
    if (is_cut)
        conn_drop_unsent(&upstream->conn);
    else if (close && !upstream->close_was_sent)
        conn_write_bytes(&upstream->conn, frame,
                         encode_control(net, FRAME_CLOSE, body, close_encode(close, body), frame));
    char name[REPORT_NAME_BYTES];
    report_name(net, name);
    linger_take(worker, &upstream->conn, NULL, LINGER_UPSTREAM_MS, name);
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
        end(net, false);
        return;
    case SESSION_DROP_RESET:
        end(net, true);
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

/* ---- an attempt ---------------------------------------------------------------------------- */

static void connected(struct net_session *net);

/* Connected to one of the addresses, or to none. */
static void on_raced(void *argument, int fd, size_t index)
{
    struct net_session *net = argument;
    struct upstream *upstream = &net->upstream;
    struct dial *dial = upstream->dial;
    if (fd < 0) {
        lose(net, dial_cause(dial));
    } else {
        last_good_remember(&net->link->last_good, dial->lookup.host, dial->lookup.port,
                           dial->lookup.addresses, index);
        conn_open(&upstream->conn, fd, false, net->worker->base, on_read, on_write, net);
        connected(net);
    }
    relay_touch(net);
}

/* The addresses are known, or will not be. */
static void looked_up(struct net_session *net)
{
    struct session_actions actions;
    struct dial *dial = net->upstream.dial;
    struct lookup *lookup = &dial->lookup;
    if (!lookup->addresses) {
        lose(net, lookup->cause);
        return;
    }
    if (lookup->is_last_good)
        report_last_good(net, lookup->host, cause_name(lookup->cause), lookup->why);
    session_upstream_resolved(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
    if (net->upstream.stage != UPSTREAM_RESOLVING)
        return;
    net->upstream.stage = UPSTREAM_CONNECTING;
    const struct last_good_name *good =
        last_good_find(&net->link->last_good, lookup->host, lookup->port);
    if (!race_begin(&dial->race, net->worker, lookup->addresses, good ? &good->address : NULL,
                    on_raced, net))
        lose(net, dial_cause(dial));
}

static void on_looked_up(void *argument)
{
    struct net_session *net = argument;
    looked_up(net);
    relay_touch(net);
}

/* An attempt uses the newest settings of its link.  False: they are the same as before. */
static bool use_newest_config(struct net_session *net)
{
    struct link_config *old = net->config;
    if (old == net->link->config)
        return false;
    net->config = link_config_hold(net->link->config);
    session_use_settings(&net->core, &net->config->session);
    link_config_release(old);
    return true;
}

/*
 * The first url after a connection that was worth it, else the next one: a connection that breaks
 * at once counts as an attempt that failed.
 */
static void choose_url(struct net_session *net, bool is_new_list)
{
    struct upstream *upstream = &net->upstream;
    const struct session *core = &net->core;
    bool was_kept = upstream->has_opened && (core->moved || core->lost_ms - core->open_ms >=
                                                                core->settings->stable_after_ms);
    if (is_new_list || !upstream->has_begun || was_kept)
        upstream->url_index = 0;
    else
        upstream->url_index = (upstream->url_index + 1) % (unsigned)net->config->upstream.url_count;
    upstream->has_begun = true;
    upstream->has_opened = false;
}

/* Target and headers are there: where is the server? */
static void look_up(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    const struct url *url = upstream_url(net);
    const struct proxy *proxy = &net->config->upstream.proxy;
    bool is_direct = proxy->kind == PROXY_NONE; /* else it is the proxy that looks url up */
    upstream->stage = UPSTREAM_RESOLVING;
    upstream->dial = dial_new();
    if (!upstream->dial) {
        lose(net, CAUSE_NO_RESOURCES);
        return;
    }
    if (lookup_begin(&upstream->dial->lookup, net->worker, net->link, &net->link->last_good,
                     is_direct ? url->host : proxy->host, is_direct ? url->port : proxy->port,
                     net->config->session.connect_timeout_ms / 2, on_looked_up,
                     net) != LOOKUP_ASKED)
        looked_up(net);
}

void upstream_on_fresh(struct net_session *net, enum cause cause)
{
    if (cause != CAUSE_NONE)
        lose(net, cause);
    else
        look_up(net);
}

static void begin(struct net_session *net)
{
    choose_url(net, use_newest_config(net));
    net->upstream.tls = tls_context_hold(net->link->tls.upstream);
    net->upstream.stage = UPSTREAM_READING;
    switch (fresh_begin(net)) {
    case FRESH_READY:
        look_up(net);
        return;
    case FRESH_READING:
        return;
    case FRESH_FAILED:
        lose(net, CAUSE_NO_RESOURCES);
        return;
    }
}

/* Before core's own: it would call it a look-up that took too long. */
void upstream_timer(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    fresh_timer(net);
    compression_timer(&upstream->compression, &upstream->reader,
                      upstream->is_sending || upstream->is_packing, relay_now(net));
    if (upstream->stage != UPSTREAM_READING || relay_now(net) < net->core.wait_until_ms)
        return;
    fresh_report_hang(net);
    lose(net, CAUSE_SECRET_UNREADABLE);
}

/* The stream to the server stands: ask for the WebSocket. */
static void secured(struct net_session *net)
{
    struct session_actions actions;
    struct upstream *upstream = &net->upstream;
    char *out = (char *)net->worker->send_buffer;
    enum upstream_stage stage = upstream->stage;
    session_upstream_connected(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
    if (upstream->stage != stage)
        return;
    size_t bytes = dial_build_request(net, out, WORKER_SEND_BYTES);
    if (bytes == 0) {
        lose(net, CAUSE_FAULT); /* configuration and client's offer were checked */
        return;
    }
    upstream->stage = UPSTREAM_UPGRADING;
    conn_write_bytes(&upstream->conn, out, bytes);
    explicit_bzero(out, bytes); /* headers are secrets */
    conn_set_reading(&upstream->conn, true);
}

static void secure(struct net_session *net)
{
    struct session_actions actions;
    struct upstream *upstream = &net->upstream;
    const struct url *url = upstream_url(net);
    enum upstream_stage stage = upstream->stage;
    session_upstream_securing(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
    if (upstream->stage != stage)
        return;
    struct conn_tls *tls =
        conn_tls_new_to_server(net->worker->tls, upstream->tls, url->host, url->port);
    if (!tls) {
        lose(net, CAUSE_NO_RESOURCES);
        return;
    }
    upstream->stage = UPSTREAM_SECURING;
    conn_secure(&upstream->conn, tls);
    conn_set_reading(&upstream->conn, true);
}

/* The other end of the connection is the server itself. */
static void tunnelled(struct net_session *net)
{
    if (upstream_url(net)->tls)
        secure(net);
    else
        secured(net);
}

/* Connected, to the server or to its proxy. */
static void connected(struct net_session *net)
{
    struct session_actions actions;
    struct upstream *upstream = &net->upstream;
    if (net->config->upstream.proxy.kind == PROXY_NONE) {
        tunnelled(net);
        return;
    }
    session_upstream_tunnelling(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
    if (upstream->stage != UPSTREAM_CONNECTING)
        return;
    upstream->stage = UPSTREAM_TUNNELLING;
    tunnel_begin(net);
    conn_set_reading(&upstream->conn, true);
}

/* The proxy said something. */
static void tunnel(struct net_session *net)
{
    struct tunnel_outcome outcome;
    switch (tunnel_read(net, &outcome)) {
    case TUNNEL_NEED_MORE:
        return;
    case TUNNEL_OPEN:
        conn_set_reading(&net->upstream.conn, false);
        tunnelled(net);
        return;
    case TUNNEL_FAILED:
        end(net, false);
        if (outcome.why)
            report_proxy_refused(net, outcome.why, outcome.http_status);
        report_lost(net, outcome.cause, outcome.http_status);
        return;
    }
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

static void break_off(struct net_session *net, const struct close_frame *close)
{
    enum cause cause = CAUSE_PROTOCOL_ERROR;
    if (close->code == CLOSE_TOO_BIG)
        cause = CAUSE_MESSAGE_TOO_BIG;
    else if (close->code == CLOSE_INTERNAL_ERROR || close->code == CLOSE_TRY_AGAIN)
        cause = CAUSE_NO_RESOURCES;
    part(net, close);
    report_lost(net, cause, 0);
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
    break_off(net, &close);
}

static void feed(struct net_session *net, uint8_t *data, size_t bytes)
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
            compression_used(&upstream->compression, relay_now(net));
            if (session_upstream_message(&net->core, relay_now(net)))
                client_do_deliver(net, &message, whole_frame(at, consumed, &message), consumed);
            break;
        case MESSAGE_PING:
            send_pong(net, message.payload, message.payload_bytes);
            break;
        case MESSAGE_PONG:
            take_pong(net, &message);
            break;
        case MESSAGE_CLOSE:
            take_close(net, &message.close);
            break;
        case MESSAGE_ERROR:
            break_off(net, &message.close);
            return;
        }
    }
}

/* What the upstream chose is what it will choose from the same offer again. */
static void remember_choice(struct net_session *net, const char *chosen)
{
    const struct client_request *request = net->client.request;
    if (request->has_offer && net->config->upstream.subprotocols.count != 1 &&
        net->config == net->link->config)
        link_remember_choice(net->link, request->offer, request->offer_bytes, chosen);
}

static void opened(struct net_session *net, const struct dial_outcome *outcome)
{
    struct session_actions actions;
    struct upstream *upstream = &net->upstream;
    struct dial *dial = upstream->dial; /* it holds what came with the head */
    const char *subprotocol = outcome->subprotocol;
    remember_choice(net, subprotocol);
    upstream->dial = NULL;
    fresh_end(net);
    upstream->stage = UPSTREAM_OPEN;
    message_reader_init(&upstream->reader, false, &net->config->upstream.limits);
    compression_begin(&upstream->compression, &upstream->reader,
                      outcome->has_deflate ? &outcome->deflate : NULL, false);
    session_upstream_upgraded(&net->core, *subprotocol ? subprotocol : NULL, relay_now(net),
                              &actions);
    upstream->has_opened =
        net->core.state == SESSION_OPEN; /* else core's times are of the one before */
    relay_act(net, &actions);
    if (upstream->stage == UPSTREAM_OPEN && outcome->rest_bytes > 0)
        feed(net, outcome->rest, outcome->rest_bytes);
    gather_flush(&net->worker->gather); /* pieces of it may be what dial holds */
    dial_free(dial);
}

static void received(struct net_session *net, uint8_t *data, size_t bytes)
{
    struct dial_outcome outcome;
    if (net->upstream.stage == UPSTREAM_OPEN) {
        feed(net, data, bytes);
        return;
    }
    switch (dial_read(net, data, bytes, &outcome)) {
    case DIAL_NEED_MORE:
        return;
    case DIAL_OPEN:
        opened(net, &outcome);
        return;
    case DIAL_FAILED:
        end(net, false);
        if (outcome.has_retry_after)
            session_retry_after(&net->core, outcome.retry_after_ms, relay_now(net));
        report_lost(net, outcome.cause, outcome.http_status);
        return;
    }
}

/* What comes with the 101 may be deflated already. */
static size_t read_bytes_max(const struct net_session *net)
{
    const struct upstream *upstream = &net->upstream;
    return compression_read_bytes_max(
        upstream->stage != UPSTREAM_OPEN || upstream->compression.is_on, &upstream->conn);
}

/* Something came: is the server who it should be?  True: it is, and was asked. */
static bool continue_securing(struct net_session *net)
{
    if (!conn_tls_is_ready(net->upstream.conn.tls))
        return false;
    report_secured(net);
    secured(net);
    relay_touch(net);
    return net->upstream.stage == UPSTREAM_UPGRADING;
}

static enum cause end_cause(struct net_session *net, int error)
{
    struct upstream *upstream = &net->upstream;
    if (!upstream->conn.tls)
        return dial_cause_of(error);
    switch (conn_tls_end(upstream->conn.tls, &upstream->tls_why)) {
    case CONN_TLS_FAILED:
        return CAUSE_TLS_FAILED;
    case CONN_TLS_UNTRUSTED:
        return CAUSE_TLS_UNTRUSTED;
    case CONN_TLS_GOES_ON: /* so it was TCP that ended */
    case CONN_TLS_CLOSED:
        break;
    }
    return dial_cause_of(error);
}

static void on_read(evutil_socket_t fd, short what, void *argument)
{
    struct net_session *net = argument;
    struct worker *worker = net->worker;
    int error = 0;
    (void)fd;
    (void)what;
    if (net->upstream.stage == UPSTREAM_TUNNELLING) {
        tunnel(net);
        relay_touch(net);
        return;
    }
    struct conn *conn = &net->upstream.conn;
    ssize_t got = conn_read(conn, worker->receive_buffer, read_bytes_max(net), &error);
    bool goes_on = got > 0 || got == -1;
    relay_touch(net); /* also for bytes that were TLS's own: it counts what a poll brought */
    if (goes_on && net->upstream.stage == UPSTREAM_SECURING && !continue_securing(net))
        return;
    if (got == -1)
        return;
    if (got > 0)
        received(net, worker->receive_buffer, (size_t)got);
    else
        lose(net, end_cause(net, error));
    gather_flush(&worker->gather);
    gather_flush(&worker->pongs);
    account(net);
    relay_touch(net);
}

/* ---- what goes out ------------------------------------------------------------------------- */

static void report_written(struct net_session *net)
{
    struct session_actions actions;
    session_upstream_written(&net->core, net->upstream.conn.written_offset, relay_now(net),
                             &actions);
    if (actions.any)
        relay_act(net, &actions);
}

static void on_write(evutil_socket_t fd, short what, void *argument)
{
    struct net_session *net = argument;
    struct upstream *upstream = &net->upstream;
    (void)fd;
    (void)what;
    conn_write_unsent(&upstream->conn);
    if (upstream->stage == UPSTREAM_OPEN)
        report_written(net);
    relay_touch(net);
}

/* The last byte of a frame was encoded, and lies used bytes behind what the connection has. */
static void finish_frame(struct net_session *net, size_t used)
{
    struct upstream *upstream = &net->upstream;
    upstream->is_sending = false;
    deflate_write_done(&upstream->compression.writer);
    if (upstream->sending.kind == SESSION_SEND_CLOSE)
        upstream->close_was_sent = true;
    session_sent(&net->core, &upstream->sending, upstream->conn.queued_offset + used,
                 relay_now(net));
}

static size_t encode_payload(struct net_session *net, uint8_t *out, size_t room)
{
    struct upstream *upstream = &net->upstream;
    size_t piece = upstream->frame_payload_bytes - upstream->frame_done;
    if (piece > room)
        piece = room;
    mask_copy(out, upstream->frame_payload + upstream->frame_done, piece, upstream->mask_key,
              upstream->frame_done);
    upstream->frame_done += piece;
    return piece;
}

static size_t encode_header(struct net_session *net, uint8_t *out)
{
    struct upstream *upstream = &net->upstream;
    struct frame_header header = {.fin = true,
                                  .rsv1 = upstream->frame_is_deflated,
                                  .masked = true,
                                  .opcode = upstream->sending.opcode,
                                  .payload_bytes = upstream->frame_payload_bytes};
    chance_fill(&net->worker->chance, header.mask_key, sizeof(header.mask_key));
    memcpy(upstream->mask_key, header.mask_key, sizeof(upstream->mask_key));
    upstream->frame_done = 0;
    upstream->is_packing = false;
    upstream->is_sending = true;
    return frame_header_encode(&header, out);
}

/* What core wants to be sent next.  False when there is nothing. */
static bool take_next(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    struct session_send *sending = &upstream->sending;
    if (!session_send_next(&net->core, relay_now(net), sending))
        return false;
    upstream->frame_payload = sending->payload;
    upstream->frame_payload_bytes = sending->payload_bytes;
    upstream->frame_is_deflated = false;
    if (upstream->compression.is_on && sending->kind == SESSION_SEND_MESSAGE) {
        deflate_write_begin(&upstream->compression.writer, sending->payload,
                            sending->payload_bytes);
        upstream->is_packing = true;
    }
    return true;
}

/* Deflate on.  False when that takes another turn. */
static bool pack(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    struct deflate_writer *writer = &upstream->compression.writer;
    size_t before = writer->payload_done;
    if (upstream->packed_bytes >= PACK_BYTES_MAX)
        return false;
    enum deflate_result result = deflate_write(writer, PACK_BYTES_MAX - upstream->packed_bytes);
    upstream->packed_bytes += writer->payload_done - before;
    if (result == DEFLATE_MORE)
        return false;
    compression_used(&upstream->compression, relay_now(net));
    if (result != DEFLATE_OK)
        return true; /* it goes as it is */
    upstream->frame_payload = writer->buffer;
    upstream->frame_payload_bytes = writer->buffer_bytes;
    upstream->frame_is_deflated = true;
    return true;
}

/* The next piece of the stream into the send buffer.  False when nothing fits or nothing is left;
 * then more_to_send says which. */
static bool encode_next(struct net_session *net, size_t *used)
{
    struct upstream *upstream = &net->upstream;
    uint8_t *out = net->worker->send_buffer + *used;
    size_t room = WORKER_SEND_BYTES - *used;
    if (room < FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX) {
        upstream->more_to_send = true;
        return false;
    }
    if (!upstream->is_sending && upstream->has_pong) {
        upstream->has_pong = false;
        *used += encode_control(net, FRAME_PONG, upstream->pong, upstream->pong_bytes, out);
        return true;
    }
    if (!upstream->is_sending) {
        if (!upstream->is_packing && !take_next(net))
            return false;
        if (upstream->is_packing && !pack(net)) {
            upstream->more_to_send = true;
            return false;
        }
        size_t header_bytes = encode_header(net, out);
        out += header_bytes;
        room -= header_bytes;
        *used += header_bytes;
    }
    *used += encode_payload(net, out, room);
    if (upstream->frame_done == upstream->frame_payload_bytes)
        finish_frame(net, *used);
    return true;
}

static void send_what_may_be(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    size_t used = 0;
    upstream->more_to_send = false;
    upstream->packed_bytes = 0;
    if (!conn_is_flushed(&upstream->conn) || upstream->conn.write_error || upstream->close_was_sent)
        return;
    while (encode_next(net, &used))
        ;
    if (used == 0)
        return;
    conn_write_bytes(&upstream->conn, net->worker->send_buffer, used);
    if (!conn_is_flushed(&upstream->conn))
        upstream->more_to_send = false; /* it goes on when the socket is writable */
    report_written(net);
}

uint64_t upstream_deadline_ms(const struct net_session *net)
{
    const struct upstream *upstream = &net->upstream;
    if (upstream->stage != UPSTREAM_OPEN)
        return fresh_deadline_ms(net); /* that of an attempt is core's */
    uint64_t due_ms = conn_deadline_ms(&upstream->conn, upstream->write_failed_ms, relay_now(net));
    uint64_t quiet_ms = compression_deadline_ms(&upstream->compression);
    return quiet_ms < due_ms ? quiet_ms : due_ms;
}

/* What the peer still has to say is read to its end first.  When that does not come (the write was
 * refused by this machine, not by the peer), nothing more can be sent here: it is over. */
static void judge_failed_write(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    int error = upstream->conn.write_error;
    if (upstream->write_failed_ms == 0)
        upstream->write_failed_ms = relay_now(net);
    if (error != ENOMEM && relay_now(net) - upstream->write_failed_ms < CONN_WRITE_FAILED_MS)
        return;
    end(net, true);
    report_lost(net, dial_cause_of(error), 0);
}

void upstream_flush(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    if (upstream->stage == UPSTREAM_BEGIN)
        begin(net);
    if (upstream->stage == UPSTREAM_OPEN)
        send_what_may_be(net);
    if (upstream->stage == UPSTREAM_OPEN && upstream->conn.write_error)
        judge_failed_write(net);
    upstream->conn.is_deaf = false; /* until it is again */
    account(net);
    if (upstream->stage == UPSTREAM_OPEN && !conn_is_flushed(&upstream->conn))
        conn_wait_writable(&upstream->conn);
    if (upstream->stage == UPSTREAM_OPEN)
        conn_set_reading(&upstream->conn, session_reads_upstream(&net->core));
}
