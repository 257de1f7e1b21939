/*
 * One direction of a TCP connection, as far as decisions can see it: a stream of frames that the
 * sender's kernel buffers, a link carries in time, the receiver's kernel holds back, and the
 * receiver's acknowledgements report.  Nothing is lost or reordered inside a stream, as with TCP;
 * but it can be cut, and it can fall silent.
 */
#ifndef WSKEEP_SIM_PIPE_H
#define WSKEEP_SIM_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIPE_NEVER UINT64_MAX

enum { PIPE_FRAME_COUNT = 1024, PIPE_SEGMENT_COUNT = 64, PIPE_ACK_COUNT = 64 };

enum pipe_frame_kind {
    PIPE_MESSAGE,
    PIPE_PING,
    PIPE_PONG,
    PIPE_CLOSE,
    PIPE_GAP,    /* gap_message */
    PIPE_BROKEN, /* breaks RFC 6455 */
    PIPE_TOO_BIG /* over max_message */
};

/* What the bytes up to `end` are. */
struct pipe_frame {
    uint64_t end;    /* stream offset after its last byte */
    uint64_t number; /* of a message */
    uint32_t bytes;  /* payload */
    uint32_t source; /* a message to the client: the connection it came from */
    uint16_t code;   /* Close */
    uint8_t reason;  /* Close: index into the world's reasons */
    uint8_t kind;
    uint8_t body_bytes;
    uint8_t body[16]; /* Ping and Pong */
};

struct pipe_path {
    uint32_t latency_ms;
    uint32_t bytes_per_ms;
    uint32_t segment_bytes;
    uint32_t send_bytes_max;    /* the sender's kernel buffer */
    uint32_t receive_bytes_max; /* the receiver's */
};

enum pipe_segment_kind { PIPE_SEGMENT_DATA, PIPE_SEGMENT_FIN, PIPE_SEGMENT_RST };

struct pipe_segment {
    uint64_t at_ms;
    uint64_t end;
    uint8_t kind;
};

struct pipe_ack {
    uint64_t at_ms;
    uint64_t acked;
    uint64_t edge;
};

struct pipe {
    struct pipe_path path;
    uint64_t put;       /* frames exist up to here */
    uint64_t written;   /* the sender's kernel took */
    uint64_t sent;      /* left the sender's kernel */
    uint64_t arrived;   /* in the receiver's kernel */
    uint64_t read;      /* the receiver took */
    uint64_t acked;     /* what the sender knows to have arrived */
    uint64_t edge;      /* the sender may send up to here */
    uint64_t announced; /* the edge last announced by the receiver */
    uint64_t link_free_us;
    uint64_t progress_ms; /* acked moved, or something was outstanding again after nothing was */
    uint64_t flight_ms;   /* since when anything is in flight, or acked last moved */
    uint32_t frame_first, frame_count;
    uint32_t segment_first, segment_count;
    uint32_t ack_first, ack_count;
    bool dead;      /* segments go nowhere */
    bool acks_dead; /* acknowledgements go nowhere */
    bool fin_wanted, fin_sent, fin_arrived;
    bool rst_sent, rst_arrived;
    struct pipe_segment segments[PIPE_SEGMENT_COUNT];
    struct pipe_ack acks[PIPE_ACK_COUNT];
    struct pipe_frame frames[PIPE_FRAME_COUNT];
};

void pipe_open(struct pipe *pipe, const struct pipe_path *path);

/* ---- the sender */

static inline bool pipe_has_room_for_frame(const struct pipe *pipe)
{
    return pipe->frame_count < PIPE_FRAME_COUNT;
}

static inline uint64_t pipe_outstanding(const struct pipe *pipe)
{
    return pipe->written - pipe->acked;
}

static inline bool pipe_is_in_flight(const struct pipe *pipe)
{
    return pipe->sent > pipe->acked;
}

static inline uint64_t pipe_space(const struct pipe *pipe)
{
    uint64_t used = pipe_outstanding(pipe);
    return used < pipe->path.send_bytes_max ? pipe->path.send_bytes_max - used : 0;
}

/* A frame of wire_bytes follows in the stream; the caller writes its bytes. */
struct pipe_frame *pipe_put(struct pipe *pipe, enum pipe_frame_kind kind, uint64_t wire_bytes);

/* Hand bytes to the kernel; at most pipe_space(). */
void pipe_write(struct pipe *pipe, uint64_t bytes, uint64_t now_ms);

/* As much of what was put as the kernel takes. */
void pipe_flush(struct pipe *pipe, uint64_t now_ms);

/* The other side is gone: what the kernel has not taken goes nowhere. */
void pipe_discard(struct pipe *pipe);

void pipe_fin(struct pipe *pipe, uint64_t now_ms);

/* RST: comes after what is on its way, instead of what is still here. */
void pipe_reset(struct pipe *pipe, uint64_t now_ms);

/* A pulled cable. */
void pipe_silence(struct pipe *pipe);
void pipe_silence_acks(struct pipe *pipe);

/* ---- time */

static inline uint64_t pipe_due_ms(const struct pipe *pipe)
{
    uint64_t due_ms = PIPE_NEVER;
    if (pipe->segment_count > 0)
        due_ms = pipe->segments[pipe->segment_first].at_ms;
    if (pipe->ack_count > 0 && pipe->acks[pipe->ack_first].at_ms < due_ms)
        due_ms = pipe->acks[pipe->ack_first].at_ms;
    return due_ms;
}

/* What is due arrives.  True when the receiver has something new to look at. */
bool pipe_advance(struct pipe *pipe, uint64_t now_ms);

/* ---- the receiver */

static inline uint64_t pipe_readable(const struct pipe *pipe)
{
    return pipe->arrived - pipe->read;
}

/* Data is there to be read, or after the last of it the end. */
static inline bool pipe_has_news(const struct pipe *pipe)
{
    return pipe->arrived > pipe->read || pipe->fin_arrived || pipe->rst_arrived;
}

void pipe_read(struct pipe *pipe, uint64_t bytes, uint64_t now_ms);

/* The next frame that was read as a whole, or NULL; pipe_drop_frame() goes past it. */
static inline struct pipe_frame *pipe_frame(struct pipe *pipe)
{
    struct pipe_frame *frame = &pipe->frames[pipe->frame_first];
    return pipe->frame_count > 0 && frame->end <= pipe->read ? frame : NULL;
}

static inline void pipe_drop_frame(struct pipe *pipe)
{
    pipe->frame_first = (pipe->frame_first + 1) % PIPE_FRAME_COUNT;
    pipe->frame_count--;
}

#endif
