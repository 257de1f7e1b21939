/* Many pieces, one write. */
#include "net/gather.h"

#include <assert.h>
#include <string.h>

static void make_room(struct gather *gather, struct conn *conn, size_t small_bytes)
{
    assert(small_bytes <= GATHER_SMALL_BYTES);
    if ((gather->conn && gather->conn != conn) || gather->piece_count == GATHER_PIECES_MAX ||
        small_bytes > GATHER_SMALL_BYTES - gather->small_used)
        gather_flush(gather);
    gather->conn = conn;
}

void gather_begin_piece(struct gather *gather, struct conn *conn, const void *data, size_t bytes)
{
    if (bytes == 0)
        return;
    make_room(gather, conn, 0);
    gather->pieces[gather->piece_count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
}

void gather_copy(struct gather *gather, struct conn *conn, const void *data, size_t bytes)
{
    if (bytes == 0)
        return;
    make_room(gather, conn, bytes);
    uint8_t *to = gather->small + gather->small_used;
    memcpy(to, data, bytes);
    gather->small_used += bytes;
    gather_add(gather, conn, to, bytes);
}

void gather_flush(struct gather *gather)
{
    if (!gather->conn)
        return;
    conn_write(gather->conn, gather->pieces, gather->piece_count);
    gather->conn = NULL;
    gather->piece_count = 0;
    gather->small_used = 0;
}
