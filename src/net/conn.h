/*
 * One socket with its bytes: interest in events, reading, gathered writing.
 *
 * Writing: conn_put() gathers in the worker's send buffer, and conn_gather_flush() writes it
 * with one call.  What the kernel does not take is kept in the connection until the socket is
 * writable.  A write that fails never ends a connection: writing stops, and the receive side
 * is read to its end, because a Pong and a Close may be waiting there.
 */
#ifndef WSKEEP_NET_CONN_H
#define WSKEEP_NET_CONN_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/worker.h"

struct conn;
typedef void conn_ready(struct conn *conn, short what); /* EV_READ, EV_WRITE */

struct conn_piece; /* of unsent bytes */

struct conn {
    struct worker *worker;
    int fd; /* -1: none */
    conn_ready *ready;
    struct event event;
    short armed; /* the events that epoll knows of */
    bool wants_read;
    bool is_tcp;
    bool is_connecting; /* wait for writability even with nothing to write */
    bool is_broken;     /* a write failed: nothing more is written */
    uint64_t queued_offset;  /* of the stream: handed to conn_put() */
    uint64_t written_offset; /* taken by the kernel */
    uint64_t unsent_bytes;   /* waiting here, not counting what is being gathered */
    struct conn_piece *unsent_first;
    struct conn_piece *unsent_last;
};

/* Take over a non-blocking socket. */
void conn_init(struct conn *conn, struct worker *worker, int fd, bool is_tcp, conn_ready *ready);

/* Give up unsent bytes and the socket.  reset: with RST. */
void conn_close(struct conn *conn, bool reset);

/* Move socket and unsent bytes to another owner; from is empty afterwards. */
void conn_move(struct conn *from, struct conn *to, conn_ready *ready);

/* Tell libevent what is wanted now: reading as asked, writing while there is something. */
void conn_set_reading(struct conn *conn, bool reading);
void conn_update(struct conn *conn);

enum conn_read_result { CONN_READ_SOME, CONN_READ_LATER, CONN_READ_EOF, CONN_READ_ERROR };

/* One read.  *got: bytes, or errno with CONN_READ_ERROR. */
enum conn_read_result conn_read(struct conn *conn, void *out, size_t out_bytes, size_t *got);

/* Append bytes to the stream. */
void conn_put(struct conn *conn, const void *data, size_t bytes);

/* The same without a copy first: at least `bytes` of room (at most WORKER_SEND_BYTES) in the send
 * buffer, to be filled from its start and committed. */
uint8_t *conn_reserve(struct conn *conn, size_t bytes);
size_t conn_room(struct conn *conn); /* left before the gathered bytes have to be written */
void conn_commit(struct conn *conn, size_t bytes);

/* Write what is gathered, whoever it is for. */
void conn_gather_flush(struct worker *worker);

/* The socket is writable: write what waits.  True when nothing is left. */
bool conn_flush(struct conn *conn);

/* True while the kernel takes nothing more. */
static inline bool conn_is_blocked(const struct conn *conn)
{
    return conn->unsent_bytes > 0;
}

/* How far the peer's TCP got: stream bytes acknowledged, and whether segments are in flight. */
void conn_probe(const struct conn *conn, uint64_t *acked_offset, bool *in_flight);

#endif
