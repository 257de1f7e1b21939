/* One socket. */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIECE_BYTES = 64 * 1024, WRITE_PIECES_MAX = 16 };

struct conn_piece {
    struct conn_piece *next;
    size_t begin; /* of what is still unsent */
    size_t end;
    size_t capacity;
    uint8_t bytes[];
};

/* ---- interest ----------------------------------------------------------------------------- */

static void on_event(evutil_socket_t fd, short what, void *context)
{
    struct conn *conn = context;
    (void)fd;
    conn->ready(conn, what);
}

void conn_update(struct conn *conn)
{
    bool write = conn->is_connecting || (conn->unsent_bytes > 0 && !conn->is_broken);
    short wanted = (short)((conn->wants_read ? EV_READ : 0) | (write ? EV_WRITE : 0));
    if (wanted == conn->armed || conn->fd < 0)
        return;
    if (conn->armed)
        event_del(&conn->event);
    conn->armed = 0;
    if (!wanted)
        return;
    event_assign(&conn->event, conn->worker->base, conn->fd, (short)(wanted | EV_PERSIST), on_event,
                 conn);
    if (event_add(&conn->event, NULL) == 0)
        conn->armed = wanted;
}

void conn_set_reading(struct conn *conn, bool reading)
{
    conn->wants_read = reading;
    conn_update(conn);
}

void conn_init(struct conn *conn, struct worker *worker, int fd, bool is_tcp, conn_ready *ready)
{
    *conn = (struct conn){.worker = worker, .fd = fd, .is_tcp = is_tcp, .ready = ready};
    int on = 1;
    if (is_tcp)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without, no more */
}

static void drop_unsent(struct conn *conn)
{
    while (conn->unsent_first) {
        struct conn_piece *piece = conn->unsent_first;
        conn->unsent_first = piece->next;
        free(piece);
    }
    conn->unsent_last = NULL;
    conn->unsent_bytes = 0;
}

/* What was gathered for it and not written is lost with it. */
static void forget_gathered(struct conn *conn)
{
    if (conn->worker->gather_conn != conn)
        return;
    conn->worker->gather_conn = NULL;
    conn->worker->gather_bytes = 0;
}

void conn_close(struct conn *conn, bool reset)
{
    if (conn->fd < 0)
        return;
    forget_gathered(conn);
    drop_unsent(conn);
    if (conn->armed)
        event_del(&conn->event);
    conn->armed = 0;
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(conn->fd);
    conn->fd = -1;
}

void conn_move(struct conn *from, struct conn *to, conn_ready *ready)
{
    if (from->worker->gather_conn == from)
        conn_gather_flush(from->worker);
    if (from->armed)
        event_del(&from->event);
    from->armed = 0;
    *to = *from;
    to->ready = ready;
    to->is_connecting = false;
    from->fd = -1;
    from->unsent_first = NULL;
    from->unsent_last = NULL;
    from->unsent_bytes = 0;
}

/* ---- reading ------------------------------------------------------------------------------ */

enum conn_read_result conn_read(struct conn *conn, void *out, size_t out_bytes, size_t *got)
{
    ssize_t bytes;
    do
        bytes = recv(conn->fd, out, out_bytes, 0);
    while (bytes < 0 && errno == EINTR);
    if (bytes > 0) {
        *got = (size_t)bytes;
        return CONN_READ_SOME;
    }
    if (bytes == 0)
        return CONN_READ_EOF;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return CONN_READ_LATER;
    *got = (size_t)errno;
    return CONN_READ_ERROR;
}

/* ---- writing ------------------------------------------------------------------------------ */

static void break_writing(struct conn *conn)
{
    conn->is_broken = true;
    drop_unsent(conn);
    conn_update(conn);
}

/* Keep what the kernel did not take. */
static void keep_unsent(struct conn *conn, const uint8_t *data, size_t bytes)
{
    struct conn_piece *last = conn->unsent_last;
    while (bytes > 0) {
        if (!last || last->end == last->capacity) {
            size_t capacity = bytes < PIECE_BYTES && !last ? bytes : PIECE_BYTES;
            struct conn_piece *piece = malloc(sizeof *piece + capacity);
            if (!piece) { /* as if the connection had failed: what is whole is sent again */
                break_writing(conn);
                return;
            }
            *piece = (struct conn_piece){.capacity = capacity};
            if (last)
                last->next = piece;
            else
                conn->unsent_first = piece;
            conn->unsent_last = last = piece;
        }
        size_t part = last->capacity - last->end < bytes ? last->capacity - last->end : bytes;
        memcpy(last->bytes + last->end, data, part);
        last->end += part;
        conn->unsent_bytes += part;
        data += part;
        bytes -= part;
    }
}

/* The kernel took so many of the unsent bytes. */
static void forget_unsent(struct conn *conn, size_t bytes)
{
    conn->unsent_bytes -= bytes;
    while (bytes > 0) {
        struct conn_piece *piece = conn->unsent_first;
        size_t part = piece->end - piece->begin < bytes ? piece->end - piece->begin : bytes;
        piece->begin += part;
        bytes -= part;
        if (piece->begin < piece->end)
            return;
        conn->unsent_first = piece->next;
        if (!piece->next)
            conn->unsent_last = NULL;
        free(piece);
    }
}

static ssize_t write_vector(struct conn *conn, struct iovec *vector, size_t count)
{
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = count};
    ssize_t bytes;
    do
        bytes = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    while (bytes < 0 && errno == EINTR);
    if (bytes >= 0) {
        conn->written_offset += (uint64_t)bytes;
        return bytes;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
        return 0;
    break_writing(conn);
    return -1;
}

/* Write now, or keep: bytes of the stream that are in nobody's buffer yet. */
static void write_or_keep(struct conn *conn, const uint8_t *data, size_t bytes)
{
    if (conn->is_broken || conn->fd < 0)
        return;
    size_t taken = 0;
    if (!conn_is_blocked(conn)) {
        struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
        ssize_t result = write_vector(conn, &vector, 1);
        if (result < 0)
            return;
        taken = (size_t)result;
    }
    keep_unsent(conn, data + taken, bytes - taken);
    conn_update(conn);
}

void conn_gather_flush(struct worker *worker)
{
    struct conn *conn = worker->gather_conn;
    size_t bytes = worker->gather_bytes;
    worker->gather_conn = NULL;
    worker->gather_bytes = 0;
    if (conn && bytes > 0)
        write_or_keep(conn, worker->send, bytes);
}

static void gather_for(struct conn *conn)
{
    if (conn->worker->gather_conn == conn)
        return;
    conn_gather_flush(conn->worker);
    conn->worker->gather_conn = conn;
}

size_t conn_room(struct conn *conn)
{
    gather_for(conn);
    return WORKER_SEND_BYTES - conn->worker->gather_bytes;
}

uint8_t *conn_reserve(struct conn *conn, size_t bytes)
{
    assert(bytes <= WORKER_SEND_BYTES);
    if (conn_room(conn) < bytes) {
        conn_gather_flush(conn->worker);
        gather_for(conn);
    }
    return conn->worker->send + conn->worker->gather_bytes;
}

void conn_commit(struct conn *conn, size_t bytes)
{
    conn->worker->gather_bytes += bytes;
    conn->queued_offset += bytes;
}

void conn_put(struct conn *conn, const void *data, size_t bytes)
{
    if (bytes <= WORKER_SEND_BYTES / 4) {
        memcpy(conn_reserve(conn, bytes), data, bytes);
        conn_commit(conn, bytes);
        return;
    }
    gather_for(conn); /* large: from where it is */
    conn_gather_flush(conn->worker);
    conn->queued_offset += bytes;
    write_or_keep(conn, data, bytes);
}

bool conn_flush(struct conn *conn)
{
    struct iovec vector[WRITE_PIECES_MAX];
    size_t count = 0;
    for (struct conn_piece *piece = conn->unsent_first; piece && count < WRITE_PIECES_MAX;
         piece = piece->next)
        vector[count++] = (struct iovec){.iov_base = piece->bytes + piece->begin,
                                         .iov_len = piece->end - piece->begin};
    if (count > 0 && !conn->is_broken) {
        ssize_t taken = write_vector(conn, vector, count);
        if (taken > 0)
            forget_unsent(conn, (size_t)taken);
    }
    conn_update(conn);
    return conn->unsent_bytes == 0;
}

void conn_probe(const struct conn *conn, uint64_t *acked_offset, bool *in_flight)
{
    int queued = 0;
    if (ioctl(conn->fd, SIOCOUTQ, &queued) < 0 || queued < 0)
        queued = 0;
    *acked_offset = conn->written_offset - (uint64_t)queued;
    struct tcp_info info = {0};
    socklen_t info_bytes = sizeof info;
    *in_flight = conn->is_tcp &&
                 getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &info_bytes) == 0 &&
                 info.tcpi_unacked > 0;
}
