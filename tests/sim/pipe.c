/* A TCP stream in one direction. */
#include "pipe.h"

#include <assert.h>

enum { PIPE_ANNOUNCE_BYTES = 16384 }; /* read: the sender is told of the room */

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void pipe_open(struct pipe *pipe, const struct pipe_path *path)
{
    /* Not the rings: they are large, and what is outside their counts is never looked at. */
    pipe->path = *path;
    pipe->put = pipe->written = pipe->sent = pipe->arrived = pipe->read = pipe->acked = 0;
    pipe->edge = pipe->announced = path->receive_bytes_max;
    pipe->link_free_us = 0;
    pipe->progress_ms = pipe->flight_ms = 0;
    pipe->frame_first = pipe->frame_count = 0;
    pipe->segment_first = pipe->segment_count = 0;
    pipe->ack_first = pipe->ack_count = 0;
    pipe->dead = pipe->acks_dead = false;
    pipe->fin_wanted = pipe->fin_sent = pipe->fin_arrived = false;
    pipe->rst_sent = pipe->rst_arrived = false;
}

/* ---- the sender --------------------------------------------------------------------------- */

struct pipe_frame *pipe_put(struct pipe *pipe, enum pipe_frame_kind kind, uint64_t wire_bytes)
{
    assert(pipe_has_room_for_frame(pipe));
    struct pipe_frame *frame =
        &pipe->frames[(pipe->frame_first + pipe->frame_count++) % PIPE_FRAME_COUNT];
    pipe->put += wire_bytes;
    *frame = (struct pipe_frame){.end = pipe->put, .kind = (uint8_t)kind};
    return frame;
}

static void pipe_push_segment(struct pipe *pipe, uint64_t at_ms, enum pipe_segment_kind kind)
{
    if (kind == PIPE_SEGMENT_DATA && pipe->segment_count > 0) {
        struct pipe_segment *last =
            &pipe->segments[(pipe->segment_first + pipe->segment_count - 1) % PIPE_SEGMENT_COUNT];
        if (last->at_ms == at_ms && last->kind == PIPE_SEGMENT_DATA) {
            last->end = pipe->sent;
            return;
        }
    }
    assert(pipe->segment_count < PIPE_SEGMENT_COUNT);
    pipe->segments[(pipe->segment_first + pipe->segment_count++) % PIPE_SEGMENT_COUNT] =
        (struct pipe_segment){.at_ms = at_ms, .end = pipe->sent, .kind = (uint8_t)kind};
}

static void pipe_transmit(struct pipe *pipe, uint64_t now_ms)
{
    if (pipe->rst_sent)
        return;
    uint64_t limit = lesser(pipe->written, pipe->edge);
    if (pipe->sent < limit && !pipe_is_in_flight(pipe))
        pipe->flight_ms = now_ms;
    if (pipe->dead) {
        if (pipe->sent < limit)
            pipe->sent = limit;
        return;
    }
    /* Two places are kept for FIN and RST. */
    while (pipe->sent < limit && pipe->segment_count < PIPE_SEGMENT_COUNT - 2) {
        uint64_t bytes = lesser(pipe->path.segment_bytes, limit - pipe->sent);
        if (pipe->link_free_us < now_ms * 1000)
            pipe->link_free_us = now_ms * 1000;
        pipe->link_free_us += bytes * 1000 / pipe->path.bytes_per_ms;
        pipe->sent += bytes;
        pipe_push_segment(pipe, pipe->link_free_us / 1000 + pipe->path.latency_ms,
                          PIPE_SEGMENT_DATA);
    }
    if (pipe->fin_wanted && !pipe->fin_sent && pipe->sent == pipe->written) {
        pipe->fin_sent = true;
        uint64_t free_ms = pipe->link_free_us / 1000;
        pipe_push_segment(pipe, (free_ms > now_ms ? free_ms : now_ms) + pipe->path.latency_ms,
                          PIPE_SEGMENT_FIN);
    }
}

void pipe_write(struct pipe *pipe, uint64_t bytes, uint64_t now_ms)
{
    assert(bytes <= pipe_space(pipe) && !pipe->fin_wanted);
    if (bytes == 0)
        return;
    if (pipe_outstanding(pipe) == 0)
        pipe->progress_ms = now_ms;
    pipe->written += bytes;
    assert(pipe->written <= pipe->put);
    pipe_transmit(pipe, now_ms);
}

void pipe_flush(struct pipe *pipe, uint64_t now_ms)
{
    if (!pipe->fin_wanted && !pipe->rst_sent)
        pipe_write(pipe, lesser(pipe_space(pipe), pipe->put - pipe->written), now_ms);
}

void pipe_discard(struct pipe *pipe)
{
    pipe->put = pipe->written;
    while (pipe->frame_count > 0 &&
           pipe->frames[(pipe->frame_first + pipe->frame_count - 1) % PIPE_FRAME_COUNT].end >
               pipe->written)
        pipe->frame_count--;
}

void pipe_fin(struct pipe *pipe, uint64_t now_ms)
{
    if (pipe->fin_wanted || pipe->rst_sent)
        return;
    pipe->fin_wanted = true;
    pipe_transmit(pipe, now_ms);
}

void pipe_reset(struct pipe *pipe, uint64_t now_ms)
{
    if (pipe->rst_sent)
        return;
    uint64_t at_ms = now_ms + pipe->path.latency_ms;
    if (pipe->segment_count > 0) {
        uint64_t last_ms =
            pipe->segments[(pipe->segment_first + pipe->segment_count - 1) % PIPE_SEGMENT_COUNT]
                .at_ms;
        if (last_ms > at_ms)
            at_ms = last_ms;
    }
    pipe->rst_sent = true;
    if (!pipe->dead)
        pipe_push_segment(pipe, at_ms, PIPE_SEGMENT_RST);
}

void pipe_silence(struct pipe *pipe)
{
    pipe->dead = true;
    pipe->segment_count = 0;
}

void pipe_silence_acks(struct pipe *pipe)
{
    pipe->acks_dead = true;
    pipe->ack_count = 0;
}

/* ---- time --------------------------------------------------------------------------------- */

static void pipe_announce(struct pipe *pipe, uint64_t now_ms)
{
    pipe->announced = pipe->read + pipe->path.receive_bytes_max;
    if (pipe->acks_dead)
        return;
    struct pipe_ack ack = {
        .at_ms = now_ms + pipe->path.latency_ms, .acked = pipe->arrived, .edge = pipe->announced};
    if (pipe->ack_count > 0) {
        struct pipe_ack *last =
            &pipe->acks[(pipe->ack_first + pipe->ack_count - 1) % PIPE_ACK_COUNT];
        if (last->at_ms == ack.at_ms || pipe->ack_count == PIPE_ACK_COUNT) {
            *last = ack;
            return;
        }
    }
    pipe->acks[(pipe->ack_first + pipe->ack_count++) % PIPE_ACK_COUNT] = ack;
}

static void pipe_arrive(struct pipe *pipe, const struct pipe_segment *segment, uint64_t now_ms)
{
    switch ((enum pipe_segment_kind)segment->kind) {
    case PIPE_SEGMENT_DATA:
        pipe->arrived = segment->end;
        pipe_announce(pipe, now_ms);
        return;
    case PIPE_SEGMENT_FIN:
        pipe->fin_arrived = true;
        return;
    case PIPE_SEGMENT_RST:
        pipe->rst_arrived = true;
        return;
    }
}

static void pipe_acknowledged(struct pipe *pipe, const struct pipe_ack *ack, uint64_t now_ms)
{
    if (ack->edge > pipe->edge)
        pipe->edge = ack->edge;
    if (ack->acked > pipe->acked) {
        pipe->acked = ack->acked;
        pipe->progress_ms = now_ms;
        pipe->flight_ms = now_ms;
    }
    pipe_transmit(pipe, now_ms);
}

bool pipe_advance(struct pipe *pipe, uint64_t now_ms)
{
    bool news = false;
    while (pipe->segment_count > 0 && pipe->segments[pipe->segment_first].at_ms <= now_ms) {
        struct pipe_segment segment = pipe->segments[pipe->segment_first];
        pipe->segment_first = (pipe->segment_first + 1) % PIPE_SEGMENT_COUNT;
        pipe->segment_count--;
        pipe_arrive(pipe, &segment, now_ms);
        news = true;
    }
    while (pipe->ack_count > 0 && pipe->acks[pipe->ack_first].at_ms <= now_ms) {
        struct pipe_ack ack = pipe->acks[pipe->ack_first];
        pipe->ack_first = (pipe->ack_first + 1) % PIPE_ACK_COUNT;
        pipe->ack_count--;
        pipe_acknowledged(pipe, &ack, now_ms);
    }
    return news;
}

/* ---- the receiver ------------------------------------------------------------------------- */

void pipe_read(struct pipe *pipe, uint64_t bytes, uint64_t now_ms)
{
    assert(bytes <= pipe_readable(pipe));
    pipe->read += bytes;
    uint64_t edge = pipe->read + pipe->path.receive_bytes_max;
    if (edge - pipe->announced >= lesser(pipe->path.receive_bytes_max / 4, PIPE_ANNOUNCE_BYTES) + 1)
        pipe_announce(pipe, now_ms);
}
