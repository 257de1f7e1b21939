/* What an open client is sent. */
#include "net/client_send.h"

#include <string.h>

#include "net/relay.h"

enum {
    DEFLATE_BYTES_MAX = 1024 * 1024, /* a longer message would keep others waiting */
    COPY_BYTES_MAX = 1024 /* a shorter message is copied, and waits for those behind it */
};

/* ---- control frames ------------------------------------------------------------------------ */

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

void client_send_pong(struct net_session *net, const uint8_t *payload, size_t payload_bytes)
{
    struct client *client = &net->client;
    if (client->close_was_sent || client->conn.write_error)
        return;
    if (conn_is_flushed(&client->conn))
        send_control(net, FRAME_PONG, payload, payload_bytes);
    else
        late_pong_keep(&client->late_pong, payload, payload_bytes);
}

void client_send_ping(struct net_session *net)
{
    struct client *client = &net->client;
    if (client->stage != CLIENT_OPEN || client->close_was_sent)
        return;
    send_control(net, FRAME_PING, NULL, 0);
    gather_flush(&net->worker->gather);
    session_client_pinged(&net->core, client->conn.queued_offset, relay_now(net));
}

void client_send_close(struct net_session *net, const struct close_frame *close)
{
    struct client *client = &net->client;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    if (!client->close_was_sent)
        send_control(net, FRAME_CLOSE, body, close_encode(close, body));
    client->close_was_sent = true;
    late_pong_drop(&client->late_pong);
}

/* ---- messages ------------------------------------------------------------------------------ */

/* True: the message is in the writer's buffer, deflated. */
static bool deflate(struct net_session *net, const struct message *message)
{
    struct compression *compression = net->client.compression;
    if (!compression || message->payload_bytes > DEFLATE_BYTES_MAX)
        return false;
    compression_used(compression, relay_now(net));
    deflate_write_begin(&compression->writer, message->payload, message->payload_bytes);
    return deflate_write(&compression->writer, message->payload_bytes) == DEFLATE_OK;
}

void client_send_message(struct net_session *net, const struct message *message,
                         const uint8_t *frame, size_t frame_bytes)
{
    struct client *client = &net->client;
    struct gather *gather = &net->worker->gather;
    if (client->stage != CLIENT_OPEN || client->close_was_sent)
        return;
    if (frame && !client->compression) {
        gather_add(gather, &client->conn, frame, frame_bytes);
        return;
    }
    struct frame_header header = {
        .fin = true, .opcode = message->opcode, .payload_bytes = message->payload_bytes};
    const uint8_t *payload = message->payload;
    if (deflate(net, message)) {
        header.rsv1 = true;
        header.payload_bytes = client->compression->writer.buffer_bytes;
        payload = client->compression->writer.buffer;
    } else if (frame) {
        gather_add(gather, &client->conn, frame, frame_bytes);
        return;
    }
    uint8_t head[FRAME_HEADER_BYTES_MAX];
    gather_copy(gather, &client->conn, head, frame_header_encode(&header, head));
    if (header.payload_bytes <= COPY_BYTES_MAX) {
        gather_copy(gather, &client->conn, payload, header.payload_bytes);
    } else {
        gather_add(gather, &client->conn, payload, header.payload_bytes);
        gather_flush(gather); /* it is the reader's or the writer's, until the next message */
    }
    if (client->compression)
        deflate_write_done(&client->compression->writer);
}

void client_send_text(struct net_session *net, const char *text)
{
    const struct message message = {
        .opcode = FRAME_TEXT, .payload = (const uint8_t *)text, .payload_bytes = strlen(text)};
    client_send_message(net, &message, NULL, 0);
}

/* ---- the turn ------------------------------------------------------------------------------ */

void client_send_turn(struct net_session *net)
{
    struct client *client = &net->client;
    struct late_pong *pong = client->late_pong;
    if (pong && conn_is_flushed(&client->conn)) {
        send_control(net, FRAME_PONG, pong->payload, pong->payload_bytes);
        late_pong_drop(&client->late_pong);
    }
    gather_flush(&net->worker->gather);
}

void client_send_report(struct net_session *net)
{
    struct client *client = &net->client;
    struct session_actions actions;
    uint64_t inbox_bytes = conn_unsent_bytes(&client->conn);
    session_client_written(&net->core, client->conn.written_offset, relay_now(net));
    if (inbox_bytes == net->core.inbox_bytes && !net->core.upstream_full)
        return;
    session_inbox(&net->core, inbox_bytes, relay_now(net), &actions);
    if (actions.any)
        relay_act(net, &actions);
}
