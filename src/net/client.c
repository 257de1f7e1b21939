/* The client's side of a session. */
#include "net/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "net/client_handshake.h"
#include "net/client_messages.h"
#include "net/client_private.h"
#include "net/linger.h"
#include "net/link.h"
#include "net/relay.h"
#include "net/report.h"

enum {
    CLIENT_EARLY_BYTES_MAX = 64 * 1024, /* before its handshake is answered */
    CLIENT_REST_READS_MAX = 4,
    CLIENT_LINGER_MS_MAX = 24 * 3600 * 1000,
    CLIENT_HURRY_MS = 1000,
    CLIENT_QUIET_MS =
        5000, /* without a message: the outbox gives back what it keeps for the next */
    CLIENT_HEAD_BYTES_MAX = 1024 /* of an answer to a handshake */
};

static void on_read(struct watched *watched);
static void on_write(struct watched *watched);
static const struct watched_calls calls = {.on_read = on_read, .on_write = on_write};

static void leave(struct net_session *net);

void client_did_not_run(struct net_session *net)
{
    struct client_asking *asking = net->client.asking;
    if (asking)
        asking->handshake_due_ms =
            timers_after(relay_now(net), net->config->client.handshake_timeout_ms);
}

/* Its handshake comes first; the head is read out of what follows. */
static void secure(struct net_session *net, struct tls_context *context)
{
    struct conn *conn = &net->client.conn;
    struct conn_tls *tls = conn_tls_new_of_client(net->worker->tls, context);
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
    struct client_asking *asking = net->client.asking;
    uint64_t due_ms = relay_now(net) + CLIENT_HURRY_MS;
    if (asking && due_ms < asking->handshake_due_ms)
        asking->handshake_due_ms = due_ms;
}

static bool is_unix_socket(int fd)
{
    int family;
    socklen_t bytes = sizeof(family);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes) == 0 && family == AF_UNIX;
}

bool client_init(struct net_session *net)
{
    conn_init(&net->client.conn);
    net->client.asking = calloc(1, sizeof(*net->client.asking));
    return net->client.asking != NULL;
}

void client_begin(struct net_session *net, const struct arrival *arrival)
{
    const struct config_listen *listen = arrival->listen;
    int fd = arrival->fd;
    struct client *client = &net->client;
    bool is_unix = listen->kind == CONFIG_LISTEN_UNIX ||
                   (listen->kind == CONFIG_LISTEN_SYSTEMD && is_unix_socket(fd));
    client->stage = CLIENT_HEAD;
    client->asking->listen = listen;
    client_did_not_run(net); /* counted from accept */
    client->data_ms = relay_now(net);
    if (!is_unix)
        conn_set_no_delay(fd);
    conn_open(&client->conn, fd, is_unix, &net->worker->readiness, &calls);
    conn_set_reading(&client->conn, true);
    if (listen->tls)
        secure(net, arrival->tls);
}

void client_release_place(struct net_session *net)
{
    if (net->client.was_counted)
        link_client_left(net->link);
    net->client.was_counted = false;
}

/* It was answered, or has gone. */
static void end_asking(struct client *client)
{
    if (client->asking)
        head_clear(&client->asking->head);
    free(client->asking);
    client->asking = NULL;
}

/* The client takes part no more; its socket went elsewhere or is closed. */
static void leave(struct net_session *net)
{
    struct client *client = &net->client;
    client->stage = CLIENT_GONE;
    message_reader_clear(&client->reader);
    compression_free(client->compression);
    client->compression = NULL;
    client_kept_drop(&client->kept);
    end_asking(client);
    late_pong_drop(&client->late_pong);
    client_room_end(net);
    client_release_place(net);
    if (!net->is_begun)
        relay_abandon(net);
}

void client_clear(struct net_session *net)
{
    struct client *client = &net->client;
    if (conn_is_open(&client->conn) && net->worker->gather.conn == &client->conn)
        gather_flush(&net->worker->gather);
    conn_close(&client->conn, false);
    if (client->stage != CLIENT_GONE)
        leave(net);
    client_request_free(client->request);
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

/* ---- carrying out -------------------------------------------------------------------------- */

void client_do_answer(struct net_session *net)
{
    struct client *client = &net->client;
    char head[CLIENT_HEAD_BYTES_MAX];
    if (client->stage != CLIENT_WAITING)
        return;
    const struct client_request *request = client->request;
    const char *subprotocol = request->has_offer ? net->core.subprotocol : NULL;
    message_reader_init(&client->reader, true, &net->config->client.limits);
    message_reader_leave_masked(&client->reader);
    struct client_asking *asking = client->asking;
    if (asking->has_deflate)
        client->compression = compression_new(&client->reader, &asking->deflate, true);
    const struct deflate_terms *deflate = client->compression ? &asking->deflate : NULL;
    size_t bytes =
        handshake_build_response(asking->accept, subprotocol, deflate, head, sizeof(head));
    assert(bytes > 0); /* a subprotocol has at most HANDSHAKE_SUBPROTOCOL_BYTES_MAX */
    gather_copy(&net->worker->gather, &client->conn, head, bytes);
    end_asking(client);
    client->stage = CLIENT_OPEN;
}

static void refuse(struct net_session *net, unsigned status, const char *why,
                   struct http_text shown)
{
    struct client *client = &net->client;
    char head[CLIENT_HEAD_BYTES_MAX];
    if (client->stage != CLIENT_HEAD && client->stage != CLIENT_WAITING)
        return;
    report_client_refused(net, status, why, shown);
    size_t bytes = handshake_build_refusal(status, why, head, sizeof(head));
    gather_copy(&net->worker->gather, &client->conn, head, bytes);
    part_with_linger(net, NULL);
}

void client_do_refuse(struct net_session *net, unsigned status, const char *why)
{
    refuse(net, status, why, (struct http_text){0});
}

void client_do_close(struct net_session *net, const struct close_frame *close, bool last)
{
    struct client *client = &net->client;
    if (client->stage != CLIENT_OPEN)
        return;
    client_send_close(net, close);
    if (last || client->close_was_received)
        part_with_linger(net, message_reader_has_ended(&client->reader) ? NULL : &client->reader);
}

void client_do_cut(struct net_session *net)
{
    if (net->client.stage != CLIENT_GONE)
        part_with_linger(net, NULL);
}

/* ---- how it ends --------------------------------------------------------------------------- */

void client_lose(struct net_session *net, enum cause cause)
{
    struct session_actions actions;
    session_client_lost(&net->core, cause, relay_now(net), &actions);
    relay_act(net, &actions);
}

void client_reset(struct net_session *net, enum cause cause)
{
    conn_close(&net->client.conn, true);
    leave(net);
    client_lose(net, cause);
}

void client_break_off(struct net_session *net, const struct close_frame *close, enum cause cause)
{
    client_do_close(net, close, true);
    client_lose(net, cause);
    report_client_close(net, close);
}

/* ---- what comes in ------------------------------------------------------------------------- */

/* It does not wait for its answer: a little of that is kept. */
static void keep_early(struct net_session *net, const uint8_t *data, size_t bytes)
{
    struct client_kept **kept = &net->client.kept;
    if (bytes == 0)
        return;
    bool is_too_much = bytes > CLIENT_EARLY_BYTES_MAX - (*kept ? (*kept)->end : 0);
    if (is_too_much || !client_kept_append(kept, data, bytes)) {
        client_do_refuse(net, is_too_much ? 400 : 503,
                         is_too_much ? "too much before the answer" : "no memory");
        client_lose(net, is_too_much ? CAUSE_PROTOCOL_ERROR : CAUSE_NO_RESOURCES);
    }
}

static void read_head(struct net_session *net, uint8_t *data, size_t bytes)
{
    struct client *client = &net->client;
    size_t head_bytes;
    bool is_out_of_memory;
    enum http_head_result result =
        head_feed(&client->asking->head, &data, &bytes, &head_bytes, &is_out_of_memory);
    if (is_out_of_memory)
        client_do_refuse(net, 503, "no memory");
    else if (result != HTTP_HEAD_OK && result != HTTP_HEAD_NEED_MORE)
        client_do_refuse(net, client_handshake_status(result), http_head_result_text(result));
    if (result != HTTP_HEAD_OK || is_out_of_memory)
        return;
    const char *why;
    struct http_text shown;
    unsigned status = client_handshake_check(net, data, head_bytes, &client->request, &why, &shown);
    if (status != 101) {
        refuse(net, status, why, shown);
        return;
    }
    struct head head = client->asking->head; /* it may hold the first frames, too */
    client->asking->head = (struct head){0};
    client->asking->listen = NULL;
    client->stage = CLIENT_WAITING;
    relay_begin(net);
    if (client->stage == CLIENT_OPEN)
        client_messages_read(net, data + head_bytes, bytes - head_bytes);
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
        client_messages_read(net, data, bytes);
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
        client_lose(net, CAUSE_CLIENT_LOST);
}

/* One read.  False when there was nothing, or it was the end. */
static bool read_once(struct net_session *net)
{
    struct worker *worker = net->worker;
    int error;
    struct conn *conn = &net->client.conn;
    ssize_t got =
        conn_read(conn, worker->receive_buffer,
                  compression_read_bytes_max(conn, net->client.compression != NULL), &error);
    relay_touch(net);
    if (got == -1)
        return false; /* or bytes that were TLS's own */
    if (got > 0)
        received(net, worker->receive_buffer, (size_t)got);
    else
        ended(net, got == 0 ? 0 : error);
    gather_flush(&worker->gather);
    client_room_account(net);
    return got > 0;
}

static void on_read(struct watched *watched)
{
    (void)read_once(container_of(watched, struct net_session, client.conn.watched));
}

static void on_write(struct watched *watched)
{
    struct net_session *net = container_of(watched, struct net_session, client.conn.watched);
    conn_write_unsent(&net->client.conn);
    relay_touch(net);
}

void client_read_rest(struct net_session *net)
{
    struct client *client = &net->client;
    for (int i = 0; i < CLIENT_REST_READS_MAX; i++)
        if (!conn_is_open(&client->conn) || !conn_is_reading(&client->conn) ||
            client_kept_has_message(client->kept) || !read_once(net))
            return;
}

/* ---- the turn ------------------------------------------------------------------------------ */

void client_flush(struct net_session *net)
{
    struct client *client = &net->client;
    if (!net->is_begun)
        return;
    int error = client->conn.write_error;
    if (error && client->stage != CLIENT_GONE &&
        conn_judge_failed_write(&client->conn, relay_now(net)))
        client_reset(net, error == ENOMEM ? CAUSE_NO_RESOURCES : CAUSE_CLIENT_LOST);
    client->conn.is_deaf = false; /* until it is again */
    client_messages_resume(net);
    client_send_turn(net);
    client_room_account(net);
    if (net->core.state != SESSION_ENDED)
        client_send_report(net);
    client_room_turn(net);
    bool reads =
        client->stage == CLIENT_WAITING ||
        (client->stage == CLIENT_OPEN && !client->kept && session_reads_client(&net->core));
    conn_set_reading(&client->conn, reads);
    if (client->stage != CLIENT_GONE && !conn_is_flushed(&client->conn))
        conn_wait_writable(&client->conn);
}

/* When the outbox has been empty for long enough. */
static uint64_t trim_deadline_ms(const struct net_session *net)
{
    if (!net->is_begun || !outbox_can_trim(&net->core.outbox))
        return TIMERS_NEVER;
    return net->client.data_ms + CLIENT_QUIET_MS;
}

uint64_t client_deadline_ms(const struct net_session *net)
{
    const struct client *client = &net->client;
    if (client->stage == CLIENT_HEAD)
        return client->asking->handshake_due_ms;
    if (client->stage == CLIENT_GONE)
        return TIMERS_NEVER;
    uint64_t due_ms = trim_deadline_ms(net);
    due_ms = timers_earlier(due_ms, conn_deadline_ms(&client->conn, net->worker->now_ms));
    due_ms = timers_earlier(due_ms, compression_deadline_ms(client->compression));
    return timers_earlier(due_ms, client_room_deadline_ms(net));
}

void client_timer(struct net_session *net)
{
    struct client *client = &net->client;
    uint64_t now_ms = relay_now(net);
    if (client->stage == CLIENT_HEAD && now_ms >= client->asking->handshake_due_ms) {
        if (net->is_late)
            client_do_refuse(net, 503, "shutdown");
        else
            client_do_refuse(net, 408, "handshake_timeout");
        return;
    }
    if (now_ms >= trim_deadline_ms(net))
        heap_watch_freed(&net->worker->heap, outbox_trim(&net->core.outbox), now_ms);
    heap_watch_freed(&net->worker->heap,
                     compression_timer(client->compression, &client->reader, false, now_ms),
                     now_ms);
    client_room_timer(net);
}
