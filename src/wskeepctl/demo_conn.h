/*
 * One end of a WebSocket on a non-blocking socket: the head of its handshake, then messages.
 *
 * Both ends of the demo are made of it: the server that breaks, and the client.
 */
#ifndef WSKEEP_WSKEEPCTL_DEMO_CONN_H
#define WSKEEP_WSKEEPCTL_DEMO_CONN_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/http_head.h"
#include "proto/message.h"

enum {
    DEMO_CONN_IN_BYTES_MAX = HTTP_HEAD_BYTES_MAX, /* a longer head is no head */
    DEMO_CONN_OUT_BYTES_MAX = 65536,
    DEMO_CONN_MESSAGE_BYTES_MAX = 1024 /* ours are far shorter */
};

struct demo_conn {
    int fd;           /* -1: there is none */
    bool masks;       /* this end is a client: it masks (RFC 6455 5.1) */
    bool wants_shut;  /* shut down writing once everything is written */
    bool write_ended; /* shut down, or the peer takes nothing any more */
    struct message_reader reader;
    size_t in_bytes;
    size_t in_at;        /* messages were read up to here */
    size_t head_scanned; /* see http_head_find_end() */
    size_t out_bytes;
    uint8_t in[DEMO_CONN_IN_BYTES_MAX];
    uint8_t out[DEMO_CONN_OUT_BYTES_MAX];
};

enum demo_conn_fill {
    DEMO_CONN_FILLED, /* look at it, and fill again when poll() says so */
    DEMO_CONN_DRY,    /* nothing is there */
    DEMO_CONN_END,    /* the peer's FIN, or a head that does not fit */
    DEMO_CONN_BROKEN  /* errno says how */
};

/* Take fd, which is connected or connecting, and non-blocking. */
void demo_conn_init(struct demo_conn *conn, int fd, bool masks);

/* Close; with reset the peer gets RST instead of FIN.  May be called twice. */
void demo_conn_clear(struct demo_conn *conn, bool reset);

/* What poll() is to wait for; reads: whether what arrives is wanted now. */
short demo_conn_events(const struct demo_conn *conn, bool reads);

/* Read once.  What was filled in is used up, by the two below, before the next call. */
enum demo_conn_fill demo_conn_fill(struct demo_conn *conn);

/* The peer's head, until it has come whole: its texts are valid until demo_conn_next(). */
enum http_head_result demo_conn_head(struct demo_conn *conn, bool request, struct http_head *head);

/* After the head: the next message of what was filled in; valid until the next call. */
enum message_event demo_conn_next(struct demo_conn *conn, struct message *message);

/* Append bytes, or a frame (payload of at most DEMO_CONN_MESSAGE_BYTES_MAX).  False: no room. */
bool demo_conn_put(struct demo_conn *conn, const void *data, size_t bytes);
bool demo_conn_send(struct demo_conn *conn, enum frame_opcode opcode, const uint8_t *payload,
                    size_t payload_bytes);
bool demo_conn_send_close(struct demo_conn *conn, uint16_t code, const char *reason);

/*
 * Write what the kernel takes.  A failed write is no verdict: what the peer said before it ended
 * is still to be read, and the end is found there.
 */
void demo_conn_flush(struct demo_conn *conn);

/* Shut down writing after what is to be written, and flush. */
void demo_conn_shut(struct demo_conn *conn);

/* SHA-1, for the handshake (proto/handshake.h). */
void demo_conn_sha1(const void *data, size_t bytes, uint8_t digest[20]);

#endif
