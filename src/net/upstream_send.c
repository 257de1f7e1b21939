/* The upstream's way out. */
#include "net/upstream_send.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/relay.h"
#include "proto/mask.h"

enum { DEFLATE_BYTES_MAX = 256 * 1024 }; /* in one turn: others want theirs */

void upstream_send_end(struct net_session *net)
{
    late_pong_drop(&net->upstream.sending.pong);
    free(net->upstream.sending.kept);
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

/* One turn of a session that sends. */
struct turn {
    struct net_session *net;
    struct upstream_frame *frame;
    size_t used; /* of the send buffer */
    size_t deflated_bytes;
};

/* The last byte of a frame was encoded. */
static void finish_frame(struct turn *turn)
{
    struct upstream *upstream = &turn->net->upstream;
    upstream->sending.stage = UPSTREAM_SEND_NOTHING;
    if (upstream->compression)
        deflate_write_done(&upstream->compression->writer);
    if (turn->frame->kind == SESSION_SEND_CLOSE)
        upstream->sending.close_was_sent = true;
    const struct session_send sent = {.kind = turn->frame->kind,
                                      .payload_bytes = turn->frame->taken_bytes};
    session_sent(&turn->net->core, &sent, upstream->conn.queued_offset + turn->used,
                 relay_now(turn->net));
}

static size_t encode_payload(struct upstream_frame *frame, uint8_t *out, size_t room)
{
    size_t piece = frame->payload_bytes - frame->payload_done;
    if (piece > room)
        piece = room;
    mask_copy(out, frame->payload + frame->payload_done, piece, frame->mask_key,
              frame->payload_done);
    frame->payload_done += piece;
    return piece;
}

static size_t encode_header(struct turn *turn, uint8_t *out)
{
    struct upstream_frame *frame = turn->frame;
    struct frame_header header = {.fin = true,
                                  .rsv1 = frame->is_deflated,
                                  .masked = true,
                                  .opcode = frame->opcode,
                                  .payload_bytes = frame->payload_bytes};
    chance_mask_key(&turn->net->worker->chance, header.mask_key);
    memcpy(frame->mask_key, header.mask_key, sizeof(frame->mask_key));
    turn->net->upstream.sending.stage = UPSTREAM_SEND_ENCODING;
    return frame_header_encode(&header, out);
}

/* What core wants to be sent next.  False when there is nothing. */
static bool take_next(struct turn *turn)
{
    struct net_session *net = turn->net;
    struct upstream *upstream = &net->upstream;
    struct session_send taken = {.body = net->worker->control_body}; /* encoded at once: there is
                                                                        room for it */
    if (!session_send_next(&net->core, relay_now(net), &taken))
        return false;
    *turn->frame = (struct upstream_frame){.payload = taken.payload,
                                           .payload_bytes = taken.payload_bytes,
                                           .taken_bytes = taken.payload_bytes,
                                           .kind = taken.kind,
                                           .opcode = taken.opcode};
    if (upstream->compression && taken.kind == SESSION_SEND_MESSAGE) {
        deflate_write_begin(&upstream->compression->writer, taken.payload, taken.payload_bytes);
        upstream->sending.stage = UPSTREAM_SEND_DEFLATING;
    }
    return true;
}

/* Deflate on.  False when that takes another turn. */
static bool deflate_on(struct turn *turn)
{
    struct compression *compression = turn->net->upstream.compression;
    struct deflate_writer *writer = &compression->writer;
    size_t before = writer->payload_done;
    if (turn->deflated_bytes >= DEFLATE_BYTES_MAX)
        return false;
    enum deflate_result result = deflate_write(writer, DEFLATE_BYTES_MAX - turn->deflated_bytes);
    turn->deflated_bytes += writer->payload_done - before;
    if (result == DEFLATE_MORE)
        return false;
    compression_used(compression, relay_now(turn->net));
    if (result != DEFLATE_OK)
        return true; /* it goes as it is */
    turn->frame->payload = writer->buffer;
    turn->frame->payload_bytes = writer->buffer_bytes;
    turn->frame->is_deflated = true;
    return true;
}

/* The next piece of the stream into the send buffer.  False when nothing fits or nothing is left;
 * then has_more says which. */
static bool encode_next(struct turn *turn)
{
    struct upstream_send *sending = &turn->net->upstream.sending;
    uint8_t *out = turn->net->worker->send_buffer + turn->used;
    size_t room = WORKER_SEND_BYTES - turn->used;
    if (room < FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX) {
        sending->has_more = true;
        return false;
    }
    if (sending->stage != UPSTREAM_SEND_ENCODING) {
        if (sending->pong) {
            turn->used += encode_control(turn->net, FRAME_PONG, sending->pong->payload,
                                         sending->pong->payload_bytes, out);
            late_pong_drop(&sending->pong);
            return true;
        }
        if (sending->stage == UPSTREAM_SEND_NOTHING && !take_next(turn))
            return false;
        if (sending->stage == UPSTREAM_SEND_DEFLATING && !deflate_on(turn)) {
            sending->has_more = true;
            return false;
        }
        size_t header_bytes = encode_header(turn, out);
        out += header_bytes;
        room -= header_bytes;
        turn->used += header_bytes;
    }
    turn->used += encode_payload(turn->frame, out, room);
    if (turn->frame->payload_done == turn->frame->payload_bytes)
        finish_frame(turn);
    return true;
}

/* A frame that is cut stays for the next turn. */
static void keep_frame(struct net_session *net, const struct upstream_frame *frame)
{
    struct upstream_send *sending = &net->upstream.sending;
    if (sending->stage == UPSTREAM_SEND_NOTHING) {
        free(sending->kept);
        sending->kept = NULL;
        return;
    }
    if (!sending->kept)
        sending->kept = malloc(sizeof(*sending->kept));
    if (sending->kept)
        *sending->kept = *frame;
    else if (!net->upstream.conn.write_error) /* else that is how it ends */
        conn_fail_writing(&net->upstream.conn, ENOMEM);
}

void upstream_send_turn(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    struct upstream_send *sending = &upstream->sending;
    struct upstream_frame frame = {0};
    struct turn turn = {.net = net, .frame = &frame};
    sending->has_more = false;
    if (!conn_is_flushed(&upstream->conn) || upstream->conn.write_error || sending->close_was_sent)
        return;
    assert(sending->kept || sending->stage == UPSTREAM_SEND_NOTHING);
    if (sending->kept)
        frame = *sending->kept;
    while (encode_next(&turn))
        ;
    if (turn.used > 0)
        conn_write_bytes(&upstream->conn, net->worker->send_buffer, turn.used);
    if (sending->kept || sending->stage != UPSTREAM_SEND_NOTHING)
        keep_frame(net, &frame);
    if (turn.used == 0)
        return;
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
