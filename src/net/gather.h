/*
 * What goes to one connection during one callback, written at once.
 *
 * Frames from the upstream are the same bytes to the client, so a run of whole frames in the
 * receive buffer is one piece and is never copied.
 */
#ifndef WSKEEP_NET_GATHER_H
#define WSKEEP_NET_GATHER_H

#include "net/conn.h"

enum { GATHER_PIECES_MAX = 32, GATHER_SMALL_BYTES = 4096 };

struct gather {
    struct conn *conn; /* whose bytes these are; NULL when there are none */
    int piece_count;
    size_t small_used;
    struct iovec pieces[GATHER_PIECES_MAX];
    uint8_t small[GATHER_SMALL_BYTES]; /* headers and control frames of our own */
};

/* gather_add(), where a piece begins. */
void gather_begin_piece(struct gather *gather, struct conn *conn, const void *data, size_t bytes);

/* Add bytes that stay where they are until gather_flush(). */
static inline void gather_add(struct gather *gather, struct conn *conn, const void *data,
                              size_t bytes)
{
    if (gather->conn == conn && gather->piece_count > 0) { /* behind the last piece: one with it */
        struct iovec *last = &gather->pieces[gather->piece_count - 1];
        if ((const uint8_t *)last->iov_base + last->iov_len == data) {
            last->iov_len += bytes;
            return;
        }
    }
    gather_begin_piece(gather, conn, data, bytes);
}

/* Add a copy of at most GATHER_SMALL_BYTES. */
void gather_copy(struct gather *gather, struct conn *conn, const void *data, size_t bytes);

/* Write what was gathered.  Afterwards the added bytes may change. */
void gather_flush(struct gather *gather);

#endif
