/*
 * The upstream's way out: what core hands out, deflated, masked, framed and written.
 *
 * Everything of a turn goes through the worker's send buffer and is written once.  What does not
 * fit there waits for the next turn, what the kernel does not take for the socket; in between
 * nothing is taken from core, so that what overtakes, a Ping or a Close, does.  Between turns a
 * session has a frame of its own only while one is cut; without memory for it the stream ends, as
 * it does without memory for what the kernel did not take.
 */
#ifndef WSKEEP_NET_UPSTREAM_SEND_H
#define WSKEEP_NET_UPSTREAM_SEND_H

#include "core/session.h"
#include "net/late_pong.h"

struct net_session;

enum upstream_send_stage {
    UPSTREAM_SEND_NOTHING,
    UPSTREAM_SEND_DEFLATING, /* no byte of it is in the stream: another frame may come before it */
    UPSTREAM_SEND_ENCODING   /* its header is: the rest of it comes next */
};

/* The frame that is on its way. */
struct upstream_frame {
    const uint8_t *payload; /* as it goes out, but for its mask; it stays where it is until it is
                               encoded */
    size_t payload_bytes;
    size_t payload_done;
    size_t taken_bytes; /* as core handed it out */
    uint8_t mask_key[4];
    enum session_send_kind kind : 8;
    enum frame_opcode opcode : 8;
    bool is_deflated : 1;
};

struct upstream_send {
    struct upstream_frame *kept; /* until the next turn; NULL: no frame is on its way */
    struct late_pong *pong;      /* NULL: none waits */
    enum upstream_send_stage stage : 8;
    bool has_more : 1; /* the send buffer was full: go on in the next turn */
    bool close_was_sent : 1;
};

/* The connection is gone. */
void upstream_send_end(struct net_session *net);

/* The end of a turn: send what core wants to be sent, as far as the connection takes it. */
void upstream_send_turn(struct net_session *net);

/* The socket is writable: what was left over goes first.  Core learns how far the stream is. */
void upstream_send_rest(struct net_session *net);

/* At once when the stream allows it; otherwise only the newest Ping is answered (5.5.3). */
void upstream_send_pong(struct net_session *net, const uint8_t *payload, size_t payload_bytes);

/*
 * The end of the stream, with a Close unless close is NULL or one was sent.  The rest of a stream
 * that is left behind is not sent when the session goes on: those messages will be sent again, and
 * count as never exposed.
 */
void upstream_send_last(struct net_session *net, const struct close_frame *close);

#endif
