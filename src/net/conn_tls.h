/*
 * A connection's TLS: bytes of the socket in, bytes of the application out, and the other way.
 *
 * OpenSSL never touches the socket.  What was received is put before it whole, and it is asked
 * until nothing is left, so it never holds back bytes that nobody will report; what it writes goes
 * where everything unsent goes, so it never has to wait, and a write that failed is none of its
 * business.  A turn's pieces become as few records as they fit in, and one write.
 */
#ifndef WSKEEP_NET_CONN_TLS_H
#define WSKEEP_NET_CONN_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct conn;
struct conn_tls;
struct tls_context;
struct tls_worker;

/* What all TLS connections of one worker share.  NULL when there is no memory. */
struct tls_worker *tls_worker_new(void);
void tls_worker_free(struct tls_worker *worker); /* NULL is allowed */

/* For a connection to this server, or from a client.  NULL when there is no memory. */
struct conn_tls *conn_tls_new_to_server(struct tls_worker *worker, struct tls_context *context,
                                        const char *host, uint16_t port);
struct conn_tls *conn_tls_new_of_client(struct tls_worker *worker, struct tls_context *context);
void conn_tls_free(struct conn_tls *tls); /* NULL is allowed */

/* ---- questions ---------------------------------------------------------------------------- */

/* The handshake is over, and the peer is who it should be. */
bool conn_tls_is_ready(const struct conn_tls *tls);

enum conn_tls_end {
    CONN_TLS_GOES_ON,
    CONN_TLS_CLOSED,    /* the peer has said that nothing follows */
    CONN_TLS_FAILED,    /* the peer breaks TLS, or has sent an alert */
    CONN_TLS_UNTRUSTED, /* its certificate was refused */
    CONN_TLS_NO_MEMORY  /* of ours: it says nothing about the peer */
};

/* How it ended; why: for the last three, OpenSSL's reason, valid for ever. */
enum conn_tls_end conn_tls_end(const struct conn_tls *tls, const char **why);

/* What was agreed on, for the log.  Once it is ready. */
struct conn_tls_terms {
    const char *version; /* "TLSv1.3" */
    const char *cipher;
    bool was_resumed;
};
struct conn_tls_terms conn_tls_terms(const struct conn_tls *tls);

/* ---- for conn.c, which calls them with conn->tls set -------------------------------------- */

/* The first word of the handshake, if it is ours. */
void conn_tls_begin(struct conn *conn);

/* conn_read(), conn_write() and conn_write_unsent(). */
ssize_t conn_tls_read(struct conn *conn, uint8_t *data, size_t capacity, int *error);
void conn_tls_write(struct conn *conn, const struct iovec *pieces, int count);
void conn_tls_wrote(struct conn *conn);

/* Its end is reported in the next turn, whether the socket is readable or not; or it is not. */
void conn_tls_report(struct conn *conn);
void conn_tls_do_not_report(struct conn_tls *tls);

/* Say that nothing follows, if the stream allows it and the kernel takes it. */
void conn_tls_say_goodbye(struct conn *conn);

/* Bytes that were to be sent were dropped: what the peer has is no whole stream any more. */
void conn_tls_tear(struct conn *conn);

/* Plain bytes that wait for the peer to end what it is saying. */
uint64_t conn_tls_held_bytes(const struct conn_tls *tls);

#endif
