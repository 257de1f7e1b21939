/* One socket. */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn_private.h"
#include "net/tcp_flight.h"

enum {
    PIECES_MAX = 16, /* 1 MiB of unsent chunks in one call */
    RETRY_MS = 100,
    WRITE_FAILED_MS = 2000
};

void conn_init(struct conn *conn)
{
    *conn = (struct conn){.watched = {.fd = -1}};
}

void conn_open(struct conn *conn, int fd, bool is_unix, struct readiness *readiness,
               const struct watched_calls *calls)
{
    assert(conn->watched.fd < 0 && fd >= 0);
    conn_init(conn);
    conn->is_unix = is_unix;
    readiness_enter(readiness, &conn->watched, fd, calls);
}

void conn_secure(struct conn *conn, struct conn_tls *tls)
{
    assert(!conn->tls);
    conn->tls = tls;
    conn_tls_begin(conn);
}

bool conn_peer_user(const struct conn *conn, uid_t *uid)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    if (!conn->is_unix || getsockopt(conn->watched.fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0)
        return false;
    *uid = peer.uid;
    return true;
}

int conn_detach(struct conn *conn)
{
    int fd = conn->watched.fd;
    assert(fd >= 0);
    if (conn->tls)
        conn_tls_do_not_report(conn->tls);
    readiness_leave(&conn->watched);
    return fd;
}

void conn_close(struct conn *conn, bool reset)
{
    if (conn->tls) {
        if (conn->watched.fd >= 0 && !reset && !conn->is_shut)
            conn_tls_say_goodbye(conn);
        conn_tls_free(conn->tls);
        conn->tls = NULL;
    }
    unsent_clear(&conn->unsent);
    if (conn->watched.fd < 0)
        return;
    int fd = conn_detach(conn);
    if (reset) {
        const struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    close(fd);
}

/* Want one more thing of the socket, or one thing less.  Without memory for more: later. */
static void want(struct conn *conn, uint8_t what, bool is_wanted)
{
    uint8_t wanted = conn->watched.wanted;
    wanted = (uint8_t)(is_wanted ? wanted | what : wanted & ~what);
    if (wanted != conn->watched.wanted && !readiness_want(&conn->watched, wanted))
        conn->is_deaf = true;
}

void conn_set_reading(struct conn *conn, bool reading)
{
    if (conn->watched.fd < 0 || conn_is_reading(conn) == reading || (reading && conn->read_ended))
        return;
    want(conn, READINESS_READ, reading);
    const char *why;
    if (conn_is_reading(conn) && conn->tls && conn_tls_end(conn->tls, &why) != CONN_TLS_GOES_ON)
        conn_tls_report(conn); /* it was read, and not reported yet */
}

void conn_wait_writable(struct conn *conn)
{
    want(conn, READINESS_WRITE, true);
}

/* How long a write has been known to have failed. */
static uint32_t judged_for_ms(const struct conn *conn, uint64_t now_ms)
{
    return (uint32_t)now_ms - conn->write_judged_ms;
}

bool conn_judge_failed_write(struct conn *conn, uint64_t now_ms)
{
    if (!conn->write_is_judged)
        conn->write_judged_ms = (uint32_t)now_ms;
    conn->write_is_judged = true;
    return conn->write_error == ENOMEM || judged_for_ms(conn, now_ms) >= WRITE_FAILED_MS;
}

uint64_t conn_deadline_ms(const struct conn *conn, uint64_t now_ms)
{
    if (conn->is_deaf)
        return now_ms + RETRY_MS;
    return conn->write_is_judged ? now_ms - judged_for_ms(conn, now_ms) + WRITE_FAILED_MS
                                 : UINT64_MAX;
}

bool conn_has_ended(const struct conn *conn)
{
    struct pollfd poll_fd = {.fd = conn->watched.fd, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) > 0;
}

/* ---- reading ------------------------------------------------------------------------------ */

void conn_end_reading(struct conn *conn)
{
    conn_set_reading(conn, false);
    conn->read_ended = true;
}

ssize_t conn_read_wire(struct conn *conn, uint8_t *data, size_t capacity, int *error)
{
    ssize_t got = recv(conn->watched.fd, data, capacity, 0);
    if (got > 0)
        return got;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return -1;
    *error = got < 0 ? errno : 0;
    if (got == 0 && conn->write_error && conn->write_error != EPIPE) {
        *error = conn->write_error; /* the write has taken the socket's error away */
        got = -1;
    }
    conn_end_reading(conn);
    return got == 0 ? 0 : -2;
}

ssize_t conn_read(struct conn *conn, uint8_t *data, size_t capacity, int *error)
{
    if (conn->tls)
        return conn_tls_read(conn, data, capacity, error);
    return conn_read_wire(conn, data, capacity, error);
}

/* ---- writing ------------------------------------------------------------------------------ */

void conn_fail_writing(struct conn *conn, int error)
{
    _Static_assert(EHWPOISON < UINT8_MAX, "the last of them");
    conn->write_error = (uint8_t)error;
    conn_drop_unsent(conn);
}

void conn_drop_unsent(struct conn *conn)
{
    if (conn->tls)
        conn_tls_tear(conn);
    unsent_clear(&conn->unsent);
    if (conn->watched.fd >= 0)
        want(conn, READINESS_WRITE, false);
}

static ssize_t hand_to_kernel(int fd, struct iovec *pieces, int count)
{
    if (count == 1) /* nearly always, and the kernel has less to look at */
        return send(fd, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL);
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Returns the bytes that the kernel took; 0 when it takes none now, or failed. */
static size_t write_pieces(struct conn *conn, struct iovec *pieces, int count)
{
    ssize_t done;
    do
        done = hand_to_kernel(conn->watched.fd, pieces, count);
    while (done < 0 && errno == EINTR);
    if (done >= 0) {
        if (!conn->tls)
            conn->written_offset += (uint64_t)done;
        return (size_t)done;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        conn_fail_writing(conn, errno);
    return 0;
}

/* Keep what is left of pieces after the first done bytes. */
static void keep_rest(struct conn *conn, const struct iovec *pieces, int count, size_t done)
{
    for (int i = 0; i < count; i++) {
        size_t bytes = pieces[i].iov_len;
        if (done >= bytes) {
            done -= bytes;
            continue;
        }
        const uint8_t *from = (const uint8_t *)pieces[i].iov_base + done;
        if (!unsent_append(&conn->unsent, conn->watched.readiness->budget, from, bytes - done)) {
            conn_fail_writing(conn, ENOMEM); /* a hole in the stream cannot be mended */
            return;
        }
        done = 0;
    }
    if (unsent_bytes(&conn->unsent) > 0)
        conn_wait_writable(conn);
}

void conn_put(struct conn *conn, struct iovec *pieces, int count, size_t bytes)
{
    size_t done = unsent_bytes(&conn->unsent) == 0 ? write_pieces(conn, pieces, count) : 0;
    if (done < bytes && !conn->write_error)
        keep_rest(conn, pieces, count, done);
}

void conn_write(struct conn *conn, struct iovec *pieces, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    if (bytes == 0 || conn->watched.fd < 0)
        return;
    conn->queued_offset += bytes;
    if (conn->write_error || conn->is_shut)
        return;
    if (conn->tls)
        conn_tls_write(conn, pieces, count);
    else
        conn_put(conn, pieces, count, bytes);
}

void conn_write_bytes(struct conn *conn, const void *data, size_t bytes)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    conn_write(conn, &piece, 1);
}

void conn_write_unsent(struct conn *conn)
{
    if (unsent_bytes(&conn->unsent) == 0)
        return;
    struct iovec pieces[PIECES_MAX];
    int count = unsent_front(&conn->unsent, pieces, PIECES_MAX);
    size_t done = write_pieces(conn, pieces, count);
    if (conn->write_error)
        return;
    unsent_consume(&conn->unsent, done);
    if (conn->tls)
        conn_tls_wrote(conn);
    if (unsent_bytes(&conn->unsent) > 0)
        conn_wait_writable(conn);
}

void conn_shut(struct conn *conn)
{
    if (conn->watched.fd < 0 || conn->is_shut)
        return;
    if (conn->tls)
        conn_tls_say_goodbye(conn);
    conn_drop_unsent(conn);
    (void)shutdown(conn->watched.fd, SHUT_WR); /* ENOTCONN: it is over anyway */
    conn->is_shut = true;
}

/* ---- what TCP knows ----------------------------------------------------------------------- */

void conn_probe(const struct conn *conn, uint64_t *acked_offset, bool *in_flight)
{
    int queued = 0;
    *acked_offset = 0;
    *in_flight = false;
    if (conn->watched.fd < 0 || ioctl(conn->watched.fd, SIOCOUTQ, &queued) != 0 || queued < 0)
        return;
    if ((uint64_t)queued < conn->written_offset)
        *acked_offset = conn->written_offset - (uint64_t)queued;
    if (conn->is_unix) { /* the peer is on this machine: nothing is ever lost on its way */
        *in_flight = false;
        return;
    }
    *in_flight = tcp_flight_is_on_its_way(conn->watched.fd);
}

/* A socket that refuses an option is slower, and works. */
void conn_set_no_delay(int fd)
{
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void conn_set_unsent_max(int fd, int bytes)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}
