/* The upstream's way out. */
#include "net/upstream_send.h"

#include <string.h>

#include "net/relay.h"
#include "proto/mask.h"

enum { DEFLATE_BYTES_MAX = 256 * 1024 }; /* in one turn: others want theirs */

void upstream_send_end(struct net_session *net)
{
    late_pong_drop(&net->upstream.sending.pong);
    net->upstream.sending = (struct upstream_send){.stage = UPSTREAM_SEND_NOTHING};
}

/* ---- frames of our own --------------------------------------------------------------------- */

/* A masked control frame, with a fresh key (RFC 6455 section 5.3). */
static size_t encode_control(struct net_session *net, enum frame_opcode opcode,
                             const uint8_t *payload, size_t payload_bytes, uint8_t *out)
{
    struct frame_header header = {
        .fin = true, .masked = true, .opcode = opcode, .payload_bytes = payload_bytes};
    chance_mask_key(&net->worker->chance, header.mask_key);
    size_t header_bytes = frame_header_encode(&header, out);
    mask_copy(out + header_bytes, payload, payload_bytes, header.mask_key, 0);
    return header_bytes + payload_bytes;
}

/* Nothing is half encoded and nothing is unsent: any frame may come now. */
static bool is_at_boundary(const struct upstream *upstream)
{
    return upstream->sending.stage != UPSTREAM_SEND_ENCODING && conn_is_flushed(&upstream->conn);
}

void upstream_send_pong(struct net_session *net, const uint8_t *payload, size_t payload_bytes)
{
    struct upstream *upstream = &net->upstream;
    struct upstream_send *sending = &upstream->sending;
    uint8_t frame[FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX];
    if (sending->close_was_sent || upstream->conn.write_error)
        return;
    if (is_at_boundary(upstream)) {
        size_t bytes = encode_control(net, FRAME_PONG, payload, payload_bytes, frame);
        gather_copy(&net->worker->pongs, &upstream->conn, frame, bytes);
        return;
    }
    late_pong_keep(&sending->pong, payload, payload_bytes);
}

void upstream_send_last(struct net_session *net, const struct close_frame *close)
{
    struct upstream *upstream = &net->upstream;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    uint8_t frame[FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX];
    if (net->worker->pongs.conn == &upstream->conn)
        gather_flush(&net->worker->pongs);
    bool goes_on = net->core.state != SESSION_ENDED;
    bool is_cut = upstream->sending.stage == UPSTREAM_SEND_ENCODING ||
                  (goes_on && !conn_is_flushed(&upstream->conn));
    if (is_cut)
        conn_drop_unsent(&upstream->conn);
    else if (close && !upstream->sending.close_was_sent)
        conn_write_bytes(&upstream->conn, frame,
                         encode_control(net, FRAME_CLOSE, body, close_encode(close, body), frame));
}

/* ---- what core hands out ------------------------------------------------------------------- */

static void report_written(struct net_session *net)
{
    struct session_actions actions;
    session_upstream_written(&net->core, net->upstream.conn.written_offset, relay_now(net),
                             &actions);
    if (actions.any)
        relay_act(net, &actions);
}

/* The last byte of a frame was encoded, and lies used bytes behind what the connection has. */
static void finish_frame(struct net_session *net, size_t used)
{
    struct upstream *upstream = &net->upstream;
    struct upstream_send *sending = &upstream->sending;
    sending->stage = UPSTREAM_SEND_NOTHING;
    if (upstream->compression)
        deflate_write_done(&upstream->compression->writer);
    if (sending->kind == SESSION_SEND_CLOSE)
        sending->close_was_sent = true;
    const struct session_send sent = {.kind = sending->kind, .payload_bytes = sending->taken_bytes};
    session_sent(&net->core, &sent, upstream->conn.queued_offset + used, relay_now(net));
}

static size_t encode_payload(struct net_session *net, uint8_t *out, size_t room)
{
    struct upstream_send *sending = &net->upstream.sending;
    size_t piece = sending->payload_bytes - sending->payload_done;
    if (piece > room)
        piece = room;
    mask_copy(out, sending->payload + sending->payload_done, piece, sending->mask_key,
              sending->payload_done);
    sending->payload_done += piece;
    return piece;
}

static size_t encode_header(struct net_session *net, uint8_t *out)
{
    struct upstream_send *sending = &net->upstream.sending;
    struct frame_header header = {.fin = true,
                                  .rsv1 = sending->is_deflated,
                                  .masked = true,
                                  .opcode = sending->opcode,
                                  .payload_bytes = sending->payload_bytes};
    chance_mask_key(&net->worker->chance, header.mask_key);
    memcpy(sending->mask_key, header.mask_key, sizeof(sending->mask_key));
    sending->payload_done = 0;
    sending->stage = UPSTREAM_SEND_ENCODING;
    return frame_header_encode(&header, out);
}

/* What core wants to be sent next.  False when there is nothing. */
static bool take_next(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    struct upstream_send *sending = &upstream->sending;
    struct session_send taken = {.body = net->worker->control_body}; /* encoded at once: there is
                                                                        room for it */
    if (!session_send_next(&net->core, relay_now(net), &taken))
        return false;
    sending->kind = taken.kind;
    sending->opcode = taken.opcode;
    sending->payload = taken.payload;
    sending->payload_bytes = taken.payload_bytes;
    sending->taken_bytes = taken.payload_bytes;
    sending->is_deflated = false;
    if (upstream->compression && taken.kind == SESSION_SEND_MESSAGE) {
        deflate_write_begin(&upstream->compression->writer, taken.payload, taken.payload_bytes);
        sending->stage = UPSTREAM_SEND_DEFLATING;
    }
    return true;
}

/* Deflate on.  False when that takes another turn. */
static bool deflate_on(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    struct upstream_send *sending = &upstream->sending;
    struct deflate_writer *writer = &upstream->compression->writer;
    size_t before = writer->payload_done;
    if (sending->deflated_bytes >= DEFLATE_BYTES_MAX)
        return false;
    enum deflate_result result = deflate_write(writer, DEFLATE_BYTES_MAX - sending->deflated_bytes);
    sending->deflated_bytes += (uint32_t)(writer->payload_done - before);
    if (result == DEFLATE_MORE)
        return false;
    compression_used(upstream->compression, relay_now(net));
    if (result != DEFLATE_OK)
        return true; /* it goes as it is */
    sending->payload = writer->buffer;
    sending->payload_bytes = writer->buffer_bytes;
    sending->is_deflated = true;
    return true;
}

/* The next piece of the stream into the send buffer.  False when nothing fits or nothing is left;
 * then has_more says which. */
static bool encode_next(struct net_session *net, size_t *used)
{
    struct upstream_send *sending = &net->upstream.sending;
    uint8_t *out = net->worker->send_buffer + *used;
    size_t room = WORKER_SEND_BYTES - *used;
    if (room < FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX) {
        sending->has_more = true;
        return false;
    }
    if (sending->stage != UPSTREAM_SEND_ENCODING) {
        if (sending->pong) {
            *used += encode_control(net, FRAME_PONG, sending->pong->payload,
                                    sending->pong->payload_bytes, out);
            late_pong_drop(&sending->pong);
            return true;
        }
        if (sending->stage == UPSTREAM_SEND_NOTHING && !take_next(net))
            return false;
        if (sending->stage == UPSTREAM_SEND_DEFLATING && !deflate_on(net)) {
            sending->has_more = true;
            return false;
        }
        size_t header_bytes = encode_header(net, out);
        out += header_bytes;
        room -= header_bytes;
        *used += header_bytes;
    }
    *used += encode_payload(net, out, room);
    if (sending->payload_done == sending->payload_bytes)
        finish_frame(net, *used);
    return true;
}

void upstream_send_turn(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    struct upstream_send *sending = &upstream->sending;
    size_t used = 0;
    sending->has_more = false;
    sending->deflated_bytes = 0;
    if (!conn_is_flushed(&upstream->conn) || upstream->conn.write_error || sending->close_was_sent)
        return;
    while (encode_next(net, &used))
        ;
    if (used == 0)
        return;
    conn_write_bytes(&upstream->conn, net->worker->send_buffer, used);
    if (!conn_is_flushed(&upstream->conn))
        sending->has_more = false; /* it goes on when the socket is writable */
    report_written(net);
}

void upstream_send_rest(struct net_session *net)
{
    conn_write_unsent(&net->upstream.conn);
    if (net->upstream.stage == UPSTREAM_OPEN)
        report_written(net);
}
