/* The client's side of a session. */
#include "net/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "net/client_handshake.h"
#include "net/linger.h"
#include "net/link.h"
#include "net/relay.h"
#include "net/report.h"

enum {
    CLIENT_EARLY_BYTES_MAX = 64 * 1024, /* before its handshake is answered */
    CLIENT_PAUSE_LOGGED_MS = 10 * 1000,
    CLIENT_LOOK_MS = 1000, /* has it ended while it is paused? */
    CLIENT_RETRY_MS = 100, /* a message for which malloc() had no room is offered again */
    CLIENT_REST_READS_MAX = 4,
    CLIENT_LINGER_MS_MAX = 24 * 3600 * 1000,
    CLIENT_HURRY_MS = 1000,
    CLIENT_HEAD_BYTES_MAX = 1024,           /* of an answer to a handshake */
    CLIENT_DEFLATE_BYTES_MAX = 1024 * 1024, /* a longer message would keep others waiting */
    CLIENT_COPY_BYTES_MAX = 1024 /* a shorter message is copied, and waits for those behind it */
};

static void on_read(evutil_socket_t fd, short what, void *argument);
static void on_write(evutil_socket_t fd, short what, void *argument);
static void leave(struct net_session *net);

void client_did_not_run(struct net_session *net)
{
    net->client.handshake_due_ms =
        timers_after(relay_now(net), net->config->client.handshake_timeout_ms);
}

/* Its handshake comes first; the head is read out of what follows. */
static void secure(struct net_session *net)
{
    struct conn *conn = &net->client.conn;
    struct conn_tls *tls = conn_tls_new_of_client(net->worker->tls, net->link->tls.clients);
    if (tls) {
        conn_secure(conn, tls);
        return;
    }
    report_client_tls_failed(net, "no memory");
    conn_close(conn, true); /* it sees that, and may try again */
    leave(net);
}

void client_hurry(struct net_session *net)
{
    uint64_t due_ms = relay_now(net) + CLIENT_HURRY_MS;
    if (due_ms < net->client.handshake_due_ms)
        net->client.handshake_due_ms = due_ms;
}

static bool is_unix_socket(int fd)
{
    int family;
    socklen_t bytes = sizeof(family);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes) == 0 && family == AF_UNIX;
}

void client_begin(struct net_session *net, int fd, const struct config_listen *listen)
{
    struct client *client = &net->client;
    bool is_unix = listen->kind == CONFIG_LISTEN_UNIX ||
                   (listen->kind == CONFIG_LISTEN_SYSTEMD && is_unix_socket(fd));
    client->stage = CLIENT_HEAD;
    client->listen = listen;
    client_did_not_run(net); /* counted from accept */
    client->data_ms = relay_now(net);
    if (!is_unix)
        conn_set_no_delay(fd);
    conn_open(&client->conn, fd, is_unix, net->worker->base, on_read, on_write, net);
    conn_set_reading(&client->conn, true);
    if (listen->tls)
        secure(net);
}

static void drop_kept(struct client *client)
{
    free(client->kept.bytes);
    client->kept = (struct client_kept){0};
}

/* Among the link's clients. */
static void release_place(struct net_session *net)
{
    if (net->client.was_counted)
        net->link->client_count--;
    net->client.was_counted = false;
}

/* The client takes part no more; its socket went elsewhere or is closed. */
static void leave(struct net_session *net)
{
    struct client *client = &net->client;
    client->stage = CLIENT_GONE;
    message_reader_clear(&client->reader);
    compression_end(&client->compression);
    drop_kept(client);
    head_clear(&client->head);
    client->pong_bytes = 0;
    budget_hold(&net->worker->budget, &client->share, 0, 0);
    release_place(net);
    if (!net->is_begun)
        relay_abandon(net);
}

void client_clear(struct net_session *net)
{
    struct client *client = &net->client;
    if (client->conn.fd >= 0 && net->worker->gather.conn == &client->conn)
        gather_flush(&net->worker->gather);
    conn_close(&client->conn, false);
    if (client->stage != CLIENT_GONE)
        leave(net);
    if (client->request) /* what is forwarded may be a secret */
        explicit_bzero((char *)client->request->forward, client->request->forward_bytes);
    free(client->request);
    client->request = NULL;
}

/* reader: its own, when its answer to our Close is still to come. */
static void part_with_linger(struct net_session *net, struct message_reader *reader)
{
    uint64_t stall_ms = net->config->session.drain_timeout_ms;
    if (stall_ms < LINGER_CLIENT_MS_MIN)
        stall_ms = LINGER_CLIENT_MS_MIN;
    if (stall_ms > CLIENT_LINGER_MS_MAX)
        stall_ms = CLIENT_LINGER_MS_MAX;
    char name[REPORT_NAME_BYTES];
    report_name(net, name);
    linger_take(net->worker, &net->client.conn, reader, stall_ms, name);
    leave(net);
}

/* ---- what it is sent ----------------------------------------------------------------------- */

static size_t encode_control(enum frame_opcode opcode, const void *payload, size_t payload_bytes,
                             uint8_t *out)
{
    const struct frame_header header = {
        .fin = true, .opcode = opcode, .payload_bytes = payload_bytes};
    size_t header_bytes = frame_header_encode(&header, out);
    if (payload_bytes > 0)
        memcpy(out + header_bytes, payload, payload_bytes);
    return header_bytes + payload_bytes;
}

static void send_control(struct net_session *net, enum frame_opcode opcode, const void *payload,
                         size_t payload_bytes)
{
    uint8_t frame[FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX];
    size_t bytes = encode_control(opcode, payload, payload_bytes, frame);
    gather_copy(&net->worker->gather, &net->client.conn, frame, bytes);
}

/* While earlier bytes are unsent only the newest Ping is answered (RFC 6455 section 5.5.3). */
static void send_pong(struct net_session *net, const uint8_t *payload, size_t payload_bytes)
{
    struct client *client = &net->client;
    if (client->close_was_sent || client->conn.write_error)
        return;
    if (conn_is_flushed(&client->conn))
        send_control(net, FRAME_PONG, payload, payload_bytes);
    else
        client->pong_bytes =
            (uint8_t)encode_control(FRAME_PONG, payload, payload_bytes, client->pong);
}

void client_do_answer(struct net_session *net)
{
    struct client *client = &net->client;
    char head[CLIENT_HEAD_BYTES_MAX];
    if (client->stage != CLIENT_WAITING)
        return;
    const struct client_request *request = client->request;
    const char *subprotocol = request->has_offer ? net->core.subprotocol : NULL;
    const struct deflate_terms *deflate = request->has_deflate ? &request->deflate : NULL;
    size_t bytes =
        handshake_build_response(request->accept, subprotocol, deflate, head, sizeof(head));
    assert(bytes > 0); /* a subprotocol has at most HANDSHAKE_SUBPROTOCOL_BYTES_MAX */
    gather_copy(&net->worker->gather, &client->conn, head, bytes);
    message_reader_init(&client->reader, true, &net->config->client.limits);
    compression_begin(&client->compression, &client->reader, deflate, true);
    client->stage = CLIENT_OPEN;
}

void client_do_refuse(struct net_session *net, unsigned status, const char *why)
{
    struct client *client = &net->client;
    char head[CLIENT_HEAD_BYTES_MAX];
    if (client->stage != CLIENT_HEAD && client->stage != CLIENT_WAITING)
        return;
    report_client_refused(net, status, why);
    size_t bytes = handshake_build_refusal(status, why, head, sizeof(head));
    gather_copy(&net->worker->gather, &client->conn, head, bytes);
    part_with_linger(net, NULL);
}

void client_do_close(struct net_session *net, const struct close_frame *close, bool last)
{
    struct client *client = &net->client;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    if (client->stage != CLIENT_OPEN)
        return;
    if (!client->close_was_sent)
        send_control(net, FRAME_CLOSE, body, close_encode(close, body));
    client->close_was_sent = true;
    client->pong_bytes = 0;
    if (last || client->close_was_received)
        part_with_linger(net, message_reader_has_ended(&client->reader) ? NULL : &client->reader);
}

void client_do_cut(struct net_session *net)
{
    if (net->client.stage != CLIENT_GONE)
        part_with_linger(net, NULL);
}

void client_do_ping(struct net_session *net)
{
    struct client *client = &net->client;
    if (client->stage != CLIENT_OPEN || client->close_was_sent)
        return;
    send_control(net, FRAME_PING, NULL, 0);
    gather_flush(&net->worker->gather);
    session_client_pinged(&net->core, client->conn.queued_offset, relay_now(net));
}

/* True: the message is in the writer's buffer, deflated. */
static bool deflate(struct net_session *net, const struct message *message)
{
    struct compression *compression = &net->client.compression;
    if (!compression->is_on || message->payload_bytes > CLIENT_DEFLATE_BYTES_MAX)
        return false;
    compression_used(compression, relay_now(net));
    deflate_write_begin(&compression->writer, message->payload, message->payload_bytes);
    return deflate_write(&compression->writer, message->payload_bytes) == DEFLATE_OK;
}

void client_do_deliver(struct net_session *net, const struct message *message, const uint8_t *frame,
                       size_t frame_bytes)
{
    struct client *client = &net->client;
    struct gather *gather = &net->worker->gather;
    if (client->stage != CLIENT_OPEN || client->close_was_sent)
        return;
    struct frame_header header = {
        .fin = true, .opcode = message->opcode, .payload_bytes = message->payload_bytes};
    const uint8_t *payload = message->payload;
    if (deflate(net, message)) {
        header.rsv1 = true;
        header.payload_bytes = client->compression.writer.buffer_bytes;
        payload = client->compression.writer.buffer;
    } else if (frame) {
        gather_add(gather, &client->conn, frame, frame_bytes);
        return;
    }
    uint8_t head[FRAME_HEADER_BYTES_MAX];
    gather_copy(gather, &client->conn, head, frame_header_encode(&header, head));
    if (header.payload_bytes <= CLIENT_COPY_BYTES_MAX) {
        gather_copy(gather, &client->conn, payload, header.payload_bytes);
    } else {
        gather_add(gather, &client->conn, payload, header.payload_bytes);
        gather_flush(gather); /* it is the reader's or the writer's, until the next message */
    }
    deflate_write_done(&client->compression.writer);
}

void client_do_text(struct net_session *net, const char *text)
{
    const struct message message = {
        .opcode = FRAME_TEXT, .payload = (const uint8_t *)text, .payload_bytes = strlen(text)};
    client_do_deliver(net, &message, NULL, 0);
}

/* ---- its messages -------------------------------------------------------------------------- */

static void part_with_reset(struct net_session *net)
{
    conn_close(&net->client.conn, true);
    leave(net);
}

/* The client's connection is over for us; core learns why. */
static void lose(struct net_session *net, enum cause cause)
{
    struct session_actions actions;
    session_client_lost(&net->core, cause, relay_now(net), &actions);
    relay_act(net, &actions);
}

/*
 * A message has no room now: keep it, and what was read behind it, and read no more.  Where both
 * are in the kept bytes already, or the message in the reader's buffer, they stay.
 */
static bool keep(struct net_session *net, const struct message *message, const uint8_t *rest,
                 size_t rest_bytes, bool was_kept)
{
    struct client *client = &net->client;
    struct client_kept *kept = &client->kept;
    bool is_readers = message->payload_bytes == 0 || message->payload == client->reader.buffer;
    size_t copied_bytes = is_readers ? 0 : message->payload_bytes;
    kept->payload = message->payload;
    if (!was_kept) {
        uint8_t *bytes = malloc(copied_bytes + rest_bytes + 1);
        if (!bytes)
            return false;
        if (copied_bytes > 0) {
            memcpy(bytes, message->payload, copied_bytes);
            kept->payload = bytes;
        }
        if (rest_bytes > 0)
            memcpy(bytes + copied_bytes, rest, rest_bytes);
        kept->bytes = bytes;
        kept->begin = copied_bytes;
        kept->end = copied_bytes + rest_bytes;
    } else {
        kept->begin = (size_t)(rest - kept->bytes);
    }
    kept->has_message = true;
    kept->opcode = message->opcode;
    kept->payload_bytes = message->payload_bytes;
    kept->first_sequence = net->core.outbox.first_sequence;
    return true;
}

static enum session_take offer(struct net_session *net, enum frame_opcode opcode,
                               const uint8_t *payload, size_t payload_bytes)
{
    struct session_actions actions;
    enum session_take take = session_client_message(&net->core, opcode, payload, payload_bytes,
                                                    relay_now(net), &actions);
    if (actions.any)
        relay_act(net, &actions);
    return take;
}

static void break_off(struct net_session *net, const struct close_frame *close)
{
    enum cause cause = CAUSE_PROTOCOL_ERROR;
    if (close->code == CLOSE_TOO_BIG)
        cause = CAUSE_MESSAGE_TOO_BIG;
    else if (close->code == CLOSE_INTERNAL_ERROR)
        cause = CAUSE_NO_RESOURCES;
    else if (close->code == CLOSE_TRY_AGAIN)
        cause = CAUSE_OVERFLOW;
    client_do_close(net, close, true);
    lose(net, cause);
}

static void take_close(struct net_session *net, const struct close_frame *close)
{
    struct session_actions actions;
    net->client.close_was_received = true;
    session_client_close(&net->core, close, relay_now(net), &actions);
    relay_act(net, &actions);
}

/* Frames.  was_kept: they are in client->kept.  Returns true when a Pong was among them. */
static bool feed(struct net_session *net, uint8_t *data, size_t bytes, bool was_kept)
{
    struct client *client = &net->client;
    struct message message;
    size_t consumed;
    bool has_pong = false;
    while (client->stage == CLIENT_OPEN) {
        enum message_event event = message_read(&client->reader, data, bytes, &consumed, &message);
        data += consumed;
        bytes -= consumed;
        switch (event) {
        case MESSAGE_NEED_MORE:
            return has_pong;
        case MESSAGE_DATA:
            client->data_ms = relay_now(net);
            compression_used(&client->compression, relay_now(net));
            if (offer(net, message.opcode, message.payload, message.payload_bytes) !=
                SESSION_NOT_NOW)
                break;
            if (!keep(net, &message, data, bytes, was_kept)) {
                part_with_reset(net);
                lose(net, CAUSE_NO_RESOURCES);
            }
            return has_pong;
        case MESSAGE_PING:
            send_pong(net, message.payload, message.payload_bytes);
            break;
        case MESSAGE_PONG:
            has_pong = true;
            break;
        case MESSAGE_CLOSE:
            take_close(net, &message.close);
            break;
        case MESSAGE_ERROR:
            break_off(net, &message.close);
            return has_pong;
        }
    }
    return has_pong;
}

/* Its handshake is not over, and the memory is. */
static void refuse_for_memory(struct net_session *net)
{
    client_do_refuse(net, 503, "memory_max");
    if (net->is_begun)
        lose(net, CAUSE_OVERFLOW);
}

/* What it holds counts, and without memory for the rest of a message it is not read, or has to go.
 */
static void account(struct net_session *net)
{
    struct client *client = &net->client;
    struct budget *budget = &net->worker->budget;
    size_t reader_bytes = message_reader_heap_bytes(&client->reader);
    size_t kept_bytes = client->kept.end + client->head.used;
    if (client->stage == CLIENT_GONE)
        return;
    if (client->kept.has_message) /* whole: it waits for room in the outbox */
        budget_hold(budget, &client->share, 0, kept_bytes + reader_bytes);
    else
        budget_hold(budget, &client->share, reader_bytes, kept_bytes);
    if (client->stage != CLIENT_OPEN) {
        if (kept_bytes > 0 && budget_is_used_up(budget))
            refuse_for_memory(net);
        return;
    }
    enum budget_verdict verdict = budget_judge(budget, &client->share);
    session_client_starves(&net->core, verdict == BUDGET_WAIT, relay_now(net));
    if (verdict != BUDGET_END)
        return;
    struct close_frame close;
    close_set(&close, CLOSE_TRY_AGAIN, "wskeep: memory_max");
    break_off(net, &close);
}

/* Go on with what was kept. */
static void resume(struct net_session *net)
{
    struct client *client = &net->client;
    struct client_kept *kept = &client->kept;
    if (kept->has_message) {
        kept->first_sequence = net->core.outbox.first_sequence;
        if (offer(net, kept->opcode, kept->payload, kept->payload_bytes) == SESSION_NOT_NOW ||
            client->stage != CLIENT_OPEN)
            return;
        kept->has_message = false;
    }
    bool has_pong = feed(net, kept->bytes + kept->begin, kept->end - kept->begin, true);
    session_client_received(&net->core, has_pong, relay_now(net));
    if (client->stage == CLIENT_OPEN && !kept->has_message)
        drop_kept(client);
}

/* ---- what comes in ------------------------------------------------------------------------- */

/* Behind what is kept already.  False when there is no memory. */
static bool keep_more(struct client_kept *kept, const uint8_t *data, size_t bytes)
{
    bool is_inside = kept->has_message && kept->payload >= kept->bytes &&
                     kept->payload < kept->bytes + kept->end;
    size_t payload_at = is_inside ? (size_t)(kept->payload - kept->bytes) : 0;
    uint8_t *all = realloc(kept->bytes, kept->end + bytes + 1);
    if (!all)
        return false;
    memcpy(all + kept->end, data, bytes);
    kept->bytes = all;
    kept->end += bytes;
    if (is_inside)
        kept->payload = all + payload_at;
    return true;
}

/* It does not wait for its answer: a little of that is kept. */
static void keep_early(struct net_session *net, const uint8_t *data, size_t bytes)
{
    struct client_kept *kept = &net->client.kept;
    if (bytes == 0)
        return;
    bool is_too_much = bytes > CLIENT_EARLY_BYTES_MAX - kept->end;
    if (is_too_much || !keep_more(kept, data, bytes)) {
        client_do_refuse(net, is_too_much ? 400 : 503,
                         is_too_much ? "too much before the answer" : "no memory");
        lose(net, is_too_much ? CAUSE_PROTOCOL_ERROR : CAUSE_NO_RESOURCES);
    }
}

static void read_messages(struct net_session *net, uint8_t *data, size_t bytes)
{
    struct client *client = &net->client;
    if (client->kept.bytes && !client->kept.has_message)
        resume(net); /* what came before the 101 comes first */
    if (client->stage != CLIENT_OPEN)
        return;
    if (client->kept.bytes) {
        if (!keep_more(&client->kept, data, bytes)) {
            part_with_reset(net);
            lose(net, CAUSE_NO_RESOURCES);
        }
        return;
    }
    bool has_pong = feed(net, data, bytes, false);
    session_client_received(&net->core, has_pong, relay_now(net));
}

static void read_head(struct net_session *net, uint8_t *data, size_t bytes)
{
    struct client *client = &net->client;
    size_t head_bytes;
    bool is_out_of_memory;
    enum http_head_result result =
        head_feed(&client->head, &data, &bytes, &head_bytes, &is_out_of_memory);
    if (is_out_of_memory)
        client_do_refuse(net, 503, "no memory");
    else if (result != HTTP_HEAD_OK && result != HTTP_HEAD_NEED_MORE)
        client_do_refuse(net, client_handshake_status(result), http_head_result_text(result));
    if (result != HTTP_HEAD_OK || is_out_of_memory)
        return;
    const char *why;
    unsigned status = client_handshake_check(net, data, head_bytes, &client->request, &why);
    if (status != 101) {
        client_do_refuse(net, status, why);
        return;
    }
    struct head head = client->head; /* it may hold the first frames, too */
    client->head = (struct head){0};
    client->listen = NULL;
    client->stage = CLIENT_WAITING;
    relay_begin(net);
    if (client->stage == CLIENT_OPEN)
        read_messages(net, data + head_bytes, bytes - head_bytes);
    else if (client->stage == CLIENT_WAITING)
        keep_early(net, data + head_bytes, bytes - head_bytes);
    head_clear(&head);
}

static void received(struct net_session *net, uint8_t *data, size_t bytes)
{
    switch (net->client.stage) {
    case CLIENT_HEAD:
        read_head(net, data, bytes);
        return;
    case CLIENT_WAITING:
        keep_early(net, data, bytes);
        return;
    case CLIENT_OPEN:
        read_messages(net, data, bytes);
        return;
    case CLIENT_GONE:
        return;
    }
}

/* A client that has sent its Close may end its side and wait for the receipt. */
static void ended(struct net_session *net, int error)
{
    struct client *client = &net->client;
    if (client->stage == CLIENT_OPEN && error == 0 && client->close_was_received)
        return;
    const char *why;
    if (client->stage == CLIENT_HEAD && client->conn.tls &&
        conn_tls_end(client->conn.tls, &why) > CONN_TLS_CLOSED)
        report_client_tls_failed(net, why);
    else if (client->stage == CLIENT_HEAD)
        report_client_left(net, error != 0 ? strerror(error) : NULL);
    conn_close(&client->conn, false);
    leave(net);
    if (net->is_begun)
        lose(net, CAUSE_CLIENT_LOST);
}

/* One read.  False when there was nothing, or it was the end. */
static bool read_once(struct net_session *net)
{
    struct worker *worker = net->worker;
    int error;
    struct conn *conn = &net->client.conn;
    ssize_t got =
        conn_read(conn, worker->receive_buffer,
                  compression_read_bytes_max(net->client.compression.is_on, conn), &error);
    relay_touch(net);
    if (got == -1)
        return false; /* or bytes that were TLS's own */
    if (got > 0)
        received(net, worker->receive_buffer, (size_t)got);
    else
        ended(net, got == 0 ? 0 : error);
    gather_flush(&worker->gather);
    account(net);
    return got > 0;
}

static void on_read(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)read_once(argument);
}

static void on_write(evutil_socket_t fd, short what, void *argument)
{
    struct net_session *net = argument;
    (void)fd;
    (void)what;
    conn_write_unsent(&net->client.conn);
    relay_touch(net);
}

void client_read_rest(struct net_session *net)
{
    struct client *client = &net->client;
    for (int i = 0; i < CLIENT_REST_READS_MAX; i++)
        if (!conn_is_open(&client->conn) || !client->conn.is_reading || client->kept.has_message ||
            !read_once(net))
            return;
}

/* ---- the turn ------------------------------------------------------------------------------ */

static void report_inbox(struct net_session *net)
{
    struct client *client = &net->client;
    struct session_actions actions;
    uint64_t inbox_bytes = conn_unsent_bytes(&client->conn);
    session_client_written(&net->core, client->conn.written_offset, relay_now(net));
    if (inbox_bytes == client->inbox_bytes && !net->core.upstream_full)
        return;
    client->inbox_bytes = inbox_bytes;
    session_inbox(&net->core, inbox_bytes, relay_now(net), &actions);
    if (actions.any)
        relay_act(net, &actions);
}

/* Reading comes to the connection's end first; when that does not come, nothing more can be sent
 * here: it is over. */
static void judge_failed_write(struct net_session *net)
{
    struct client *client = &net->client;
    bool is_memory = client->conn.write_error == ENOMEM;
    if (client->write_failed_ms == 0)
        client->write_failed_ms = relay_now(net);
    if (!is_memory && relay_now(net) - client->write_failed_ms < CONN_WRITE_FAILED_MS)
        return;
    part_with_reset(net);
    lose(net, is_memory ? CAUSE_NO_RESOURCES : CAUSE_CLIENT_LOST);
}

/* A message of its is here, or a part of one, and there is no room for it. */
static bool waits_for_room(const struct net_session *net)
{
    return net->client.kept.has_message || (net->is_begun && net->core.client_starved);
}

/*
 * It is not read, so its end does not show by itself.  It gives its place to another client at
 * once; what it has sent waits for room as long as that of a client that left.
 */
static void look_for_end(struct net_session *net)
{
    struct client *client = &net->client;
    if (client->ended_ms == 0 && conn_has_ended(&client->conn)) {
        client->ended_ms = relay_now(net);
        release_place(net);
    }
    if (client->ended_ms == 0 ||
        relay_now(net) - client->ended_ms < net->config->session.drain_timeout_ms)
        return;
    lose(net, CAUSE_CLIENT_LOST); /* counts the message that was refused */
    uint64_t bytes;
    uint32_t count = client_count_kept(net, &bytes);
    struct session_actions actions = {.any = false};
    session_client_kept(&net->core, count, bytes, CAUSE_CLIENT_LOST, &actions);
    relay_act(net, &actions);
    client_do_cut(net);
}

static void set_paused(struct net_session *net)
{
    struct client *client = &net->client;
    if (waits_for_room(net)) {
        if (client->paused_ms == 0)
            client->paused_ms = relay_now(net);
        return;
    }
    client->ended_ms = 0;
    client->paused_ms = 0;
    client->pause_is_logged = false;
}

void client_flush(struct net_session *net)
{
    struct client *client = &net->client;
    if (!net->is_begun)
        return;
    if (client->conn.write_error && client->stage != CLIENT_GONE)
        judge_failed_write(net);
    client->conn.is_deaf = false; /* until it is again */
    if (client->stage == CLIENT_OPEN && client->kept.bytes &&
        (!client->kept.has_message || session_has_room(&net->core)))
        resume(net);
    if (client->pong_bytes > 0 && conn_is_flushed(&client->conn)) {
        gather_copy(&net->worker->gather, &client->conn, client->pong, client->pong_bytes);
        client->pong_bytes = 0;
    }
    gather_flush(&net->worker->gather);
    account(net);
    if (net->core.state != SESSION_ENDED)
        report_inbox(net);
    set_paused(net);
    bool reads =
        client->stage == CLIENT_WAITING ||
        (client->stage == CLIENT_OPEN && !client->kept.bytes && session_reads_client(&net->core));
    conn_set_reading(&client->conn, reads);
    if (client->stage != CLIENT_GONE && !conn_is_flushed(&client->conn))
        conn_wait_writable(&client->conn);
}

uint32_t client_count_kept(struct net_session *net, uint64_t *bytes)
{
    struct client *client = &net->client;
    struct client_kept *kept = &client->kept;
    struct message message;
    size_t consumed;
    uint32_t count = 0;
    *bytes = 0;
    while (client->stage == CLIENT_OPEN && kept->begin < kept->end) {
        enum message_event event = message_read(&client->reader, kept->bytes + kept->begin,
                                                kept->end - kept->begin, &consumed, &message);
        kept->begin += consumed;
        if (event != MESSAGE_DATA)
            continue;
        count++;
        *bytes += message.payload_bytes;
    }
    return count;
}

bool client_has_room_again(const struct net_session *net)
{
    const struct client_kept *kept = &net->client.kept;
    return kept->has_message && kept->first_sequence != net->core.outbox.first_sequence &&
           session_has_room(&net->core);
}

uint64_t client_deadline_ms(const struct net_session *net)
{
    const struct client *client = &net->client;
    if (client->stage == CLIENT_HEAD)
        return client->handshake_due_ms;
    if (client->stage == CLIENT_GONE)
        return TIMERS_NEVER;
    uint64_t due_ms = conn_deadline_ms(&client->conn, client->write_failed_ms, net->worker->now_ms);
    if (compression_deadline_ms(&client->compression) < due_ms)
        due_ms = compression_deadline_ms(&client->compression);
    if (waits_for_room(net) && net->worker->now_ms + CLIENT_LOOK_MS < due_ms)
        due_ms = net->worker->now_ms + CLIENT_LOOK_MS;
    if (client->paused_ms != 0 && !client->pause_is_logged &&
        client->paused_ms + CLIENT_PAUSE_LOGGED_MS < due_ms)
        due_ms = client->paused_ms + CLIENT_PAUSE_LOGGED_MS;
    if (client->kept.has_message && session_has_room(&net->core) &&
        net->worker->now_ms + CLIENT_RETRY_MS < due_ms)
        due_ms = net->worker->now_ms + CLIENT_RETRY_MS;
    return due_ms;
}

void client_timer(struct net_session *net)
{
    struct client *client = &net->client;
    uint64_t now_ms = relay_now(net);
    if (client->stage == CLIENT_HEAD && now_ms >= client->handshake_due_ms) {
        if (net->is_late)
            client_do_refuse(net, 503, "shutdown");
        else
            client_do_refuse(net, 408, "handshake_timeout");
        return;
    }
    compression_timer(&client->compression, &client->reader, false, now_ms);
    if (client->paused_ms != 0 && !client->pause_is_logged &&
        now_ms - client->paused_ms >= CLIENT_PAUSE_LOGGED_MS) {
        client->pause_is_logged = true;
        report_client_paused(net, now_ms - client->paused_ms);
    }
    if (client->stage == CLIENT_OPEN && waits_for_room(net))
        look_for_end(net);
}
