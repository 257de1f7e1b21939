/*
 * One socket: readiness, bytes in and out, and how far its stream has come.
 *
 * A failed write never ends a connection by itself: writing stops, and reading goes on to its end
 * or error, because a Pong or a Close found there counts.
 */
#ifndef WSKEEP_NET_CONN_H
#define WSKEEP_NET_CONN_H

#include <stdbool.h>
#include <sys/uio.h>

#include "net/conn_tls.h"
#include "net/readiness.h"
#include "net/unsent.h"

struct conn {
    struct watched watched;   /* fd -1: no socket, and nothing below means anything */
    struct conn_tls *tls;     /* what passes is encrypted; NULL: it is not */
    struct unsent unsent;     /* the tail of the stream: queued, and not with the kernel; with tls:
                                 as it will be sent */
    uint64_t queued_offset;   /* of the stream: bytes given to conn_write() */
    uint64_t written_offset;  /* of the stream: bytes with the kernel; with tls: surely */
    uint32_t write_judged_ms; /* its low bits when conn_judge_failed_write() first saw it */
    uint8_t write_error;      /* errno of the write that failed; 0: none did */
    bool write_is_judged : 1;
    bool is_unix : 1;
    bool read_ended : 1; /* its end or an error was read: nothing more will come */
    bool is_deaf : 1;    /* the kernel had no memory for what is wanted: ask again, by a timer */
    bool is_shut : 1;    /* our side of the stream was ended */
};

void conn_init(struct conn *conn);

/*
 * Take over a non-blocking socket.  calls are called with conn->watched; on_write when there was
 * something to wait for: conn_wait_writable(), or bytes that were left over.
 */
void conn_open(struct conn *conn, int fd, bool is_unix, struct readiness *readiness,
               const struct watched_calls *calls);

/* From now on everything passes through tls, which is conn's now; its handshake begins. */
void conn_secure(struct conn *conn, struct conn_tls *tls);

/* Leave the socket as it is; it is the caller's now.  Unsent bytes and TLS stay. */
int conn_detach(struct conn *conn);

/* Close at once.  reset: with RST instead of FIN. */
void conn_close(struct conn *conn, bool reset);

static inline bool conn_is_open(const struct conn *conn)
{
    return conn->watched.fd >= 0;
}

static inline bool conn_is_reading(const struct conn *conn)
{
    return conn->watched.wanted & READINESS_READ;
}

static inline bool conn_is_waiting(const struct conn *conn)
{
    return conn->watched.wanted & READINESS_WRITE;
}

/*
 * Of a connection with a write_error, at the end of each turn.  What the peer still has to say is
 * read to its end first.  True when that does not come (the write was refused by this machine, not
 * by the peer): nothing more can be sent here, it is over.
 */
bool conn_judge_failed_write(struct conn *conn, uint64_t now_ms);

/* When it has to be looked at again: an event could not be added, or a write has failed. */
uint64_t conn_deadline_ms(const struct conn *conn, uint64_t now_ms);

/* True when the peer has ended its side or all of it, though we do not read. */
bool conn_has_ended(const struct conn *conn);

/* Report readable bytes, or do not. */
void conn_set_reading(struct conn *conn, bool reading);

/* Call on_write once the socket is writable (or has connected, or failed to). */
void conn_wait_writable(struct conn *conn);

/*
 * Read what is there, at most capacity bytes.  Returns bytes, 0 for the end of the stream, -1 for
 * nothing now, -2 for an error with *error (of the read, or of a write that came first; EPROTO of
 * TLS: conn_tls_end() says more).  After 0 and -2 the connection reads no more.
 */
ssize_t conn_read(struct conn *conn, uint8_t *data, size_t capacity, int *error);

/* The same without TLS, to wait for the end of a stream that nobody needs any more. */
ssize_t conn_read_wire(struct conn *conn, uint8_t *data, size_t capacity, int *error);

/*
 * Write; what the kernel does not take is kept and written later.  pieces are changed.  After a
 * failure (write_error) everything is dropped; ENOMEM there: no memory for what was left.
 */
void conn_write(struct conn *conn, struct iovec *pieces, int count);
void conn_write_bytes(struct conn *conn, const void *data, size_t bytes);

/* Writing has failed for good, with an errno; reading goes on. */
void conn_fail_writing(struct conn *conn, int error);

/* Write what was left; for on_write. */
void conn_write_unsent(struct conn *conn);

/* Forget what was left: the peer would not know what to do with it. */
void conn_drop_unsent(struct conn *conn);

/* What was given, and is not with the kernel; with tls: as it will be sent. */
static inline uint64_t conn_unsent_bytes(const struct conn *conn)
{
    return unsent_bytes(&conn->unsent) + (conn->tls ? conn_tls_held_bytes(conn->tls) : 0);
}

/* Everything that was given is with the kernel, or never will be. */
static inline bool conn_is_flushed(const struct conn *conn)
{
    return conn_unsent_bytes(conn) == 0;
}

/* End our side of the stream.  Nothing is written after this. */
void conn_shut(struct conn *conn);

/*
 * What the peer's TCP has acknowledged of the stream, and whether anything is on its way to it.
 * With TLS it may be a little more than this says.
 * For a Unix socket: what the peer has read, roughly.
 */
void conn_probe(const struct conn *conn, uint64_t *acked_offset, bool *in_flight);

/* The user whose process has connected to our Unix socket.  False: it is none, or nobody knows. */
bool conn_peer_user(const struct conn *conn, uid_t *uid);

/* Small messages shall not wait for each other (TCP_NODELAY). */
void conn_set_no_delay(int fd);

/* So many bytes at most wait in the kernel without having been sent. */
void conn_set_unsent_max(int fd, int bytes);

#endif
