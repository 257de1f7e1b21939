/* A connection's TLS. */
#include "net/conn_tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "net/conn_private.h"
#include "net/tls.h"

enum {
    RECORD_BYTES = SSL3_RT_MAX_PLAIN_LENGTH,
    WIRE_BYTES = 256 * 1024,
    REPLY_BYTES_MAX = 64 * 1024, /* of TLS itself, unsent: more is a peer that floods and does not
                                    read */
    HELD_PIECES_MAX = 16
};

struct tls_worker {
    BIO_METHOD *method;
    size_t wire_used;
    uint8_t wire[WIRE_BYTES];     /* of the socket: just received, or about to be sent */
    uint8_t record[RECORD_BYTES]; /* pieces that become one record */
};

struct conn_tls {
    SSL *ssl;
    struct tls_context *context;
    struct tls_worker *worker;
    struct conn *conn; /* whose call it is */
    const uint8_t *in; /* received, and not yet seen by OpenSSL */
    size_t in_bytes;
    struct unsent held; /* plain bytes that must wait for the rest of the peer's message */
    size_t reply_bytes; /* unsent ones of TLS itself, since nothing was */
    const char *why;
    enum conn_tls_end end;
    bool is_ready;
    bool is_writing;              /* what OpenSSL writes is gathered in worker->wire */
    bool is_torn;                 /* a part of the stream was dropped: nothing may follow */
    struct readiness_again again; /* its end was read, and is to be reported */
    struct tls_server server;
};

/* ---- where OpenSSL reads and writes -------------------------------------------------------- */

static int on_bio_read(BIO *bio, char *out, int capacity)
{
    struct conn_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->in_bytes == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t bytes = tls->in_bytes < (size_t)capacity ? tls->in_bytes : (size_t)capacity;
    memcpy(out, tls->in, bytes);
    tls->in += bytes;
    tls->in_bytes -= bytes;
    return (int)bytes;
}

static void flush_wire(struct conn_tls *tls)
{
    struct iovec piece = {.iov_base = tls->worker->wire, .iov_len = tls->worker->wire_used};
    tls->worker->wire_used = 0;
    if (piece.iov_len > 0 && !tls->conn->write_error)
        conn_put(tls->conn, &piece, 1, piece.iov_len);
}

static void gather(struct conn_tls *tls, const uint8_t *data, size_t bytes)
{
    struct tls_worker *worker = tls->worker;
    while (bytes > 0) {
        size_t room = sizeof(worker->wire) - worker->wire_used;
        size_t piece = bytes < room ? bytes : room;
        memcpy(worker->wire + worker->wire_used, data, piece);
        worker->wire_used += piece;
        data += piece;
        bytes -= piece;
        if (worker->wire_used == sizeof(worker->wire))
            flush_wire(tls);
    }
}

/* While reading, worker->wire holds what was received.  False: the peer makes us say too much. */
static bool keep_reply(struct conn_tls *tls, const uint8_t *data, size_t bytes)
{
    struct conn *conn = tls->conn;
    if (unsent_bytes(&conn->unsent) == 0)
        tls->reply_bytes = 0;
    if (bytes > REPLY_BYTES_MAX - tls->reply_bytes)
        return false;
    tls->reply_bytes += bytes;
    if (!unsent_append(&conn->unsent, conn->watched.readiness->budget, data, bytes))
        conn_fail_writing(conn, ENOMEM);
    return true;
}

static int on_bio_write(BIO *bio, const char *data, int bytes)
{
    struct conn_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->conn->write_error || tls->conn->is_shut || tls->is_torn)
        return bytes; /* nobody gets it, and what the peer has sent still counts */
    if (tls->is_writing)
        gather(tls, (const uint8_t *)data, (size_t)bytes);
    else if (!keep_reply(tls, (const uint8_t *)data, (size_t)bytes))
        return -1;
    return bytes;
}

static long on_bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

struct tls_worker *tls_worker_new(void)
{
    struct tls_worker *worker = malloc(sizeof(*worker)); /* untouched pages cost nothing */
    if (!worker)
        return NULL;
    worker->wire_used = 0;
    worker->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "wskeep");
    if (!worker->method) {
        free(worker);
        return NULL;
    }
    BIO_meth_set_read(worker->method, on_bio_read);
    BIO_meth_set_write(worker->method, on_bio_write);
    BIO_meth_set_ctrl(worker->method, on_bio_control);
    return worker;
}

void tls_worker_free(struct tls_worker *worker)
{
    if (!worker)
        return;
    BIO_meth_free(worker->method);
    free(worker);
}

/* ---- life ---------------------------------------------------------------------------------- */

static struct conn_tls *tls_new(struct tls_worker *worker, struct tls_context *context)
{
    struct conn_tls *tls = calloc(1, sizeof(*tls));
    if (!tls)
        return NULL;
    tls->worker = worker;
    tls->context = tls_context_hold(context);
    return tls;
}

/* ssl: NULL when there was no memory. */
static struct conn_tls *tls_use(struct conn_tls *tls, SSL *ssl)
{
    BIO *bio = ssl ? BIO_new(tls->worker->method) : NULL;
    tls->ssl = ssl;
    if (!bio) {
        conn_tls_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return tls;
}

struct conn_tls *conn_tls_new_to_server(struct tls_worker *worker, struct tls_context *context,
                                        const char *host, uint16_t port)
{
    struct conn_tls *tls = tls_new(worker, context);
    return tls ? tls_use(tls, tls_connection_to_server(context, host, port, &tls->server)) : NULL;
}

struct conn_tls *conn_tls_new_of_client(struct tls_worker *worker, struct tls_context *context)
{
    struct conn_tls *tls = tls_new(worker, context);
    return tls ? tls_use(tls, tls_connection_of_client(context)) : NULL;
}

void conn_tls_free(struct conn_tls *tls)
{
    if (!tls)
        return;
    /* A connection that was cut off is no reason not to resume its session: it is the reason to. */
    if (tls->ssl)
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    ERR_clear_error();
    tls_context_release(tls->context);
    conn_tls_do_not_report(tls);
    unsent_clear(&tls->held);
    free(tls);
}

void conn_tls_report(struct conn *conn)
{
    readiness_report_again(&conn->watched, &conn->tls->again);
}

void conn_tls_do_not_report(struct conn_tls *tls)
{
    readiness_not_again(&tls->again);
}

bool conn_tls_is_ready(const struct conn_tls *tls)
{
    return tls->is_ready;
}

uint64_t conn_tls_held_bytes(const struct conn_tls *tls)
{
    return unsent_bytes(&tls->held);
}

enum conn_tls_end conn_tls_end(const struct conn_tls *tls, const char **why)
{
    *why = tls->why;
    return tls->end;
}

struct conn_tls_terms conn_tls_terms(const struct conn_tls *tls)
{
    return (struct conn_tls_terms){.version = SSL_get_version(tls->ssl),
                                   .cipher = SSL_get_cipher_name(tls->ssl),
                                   .was_resumed = SSL_session_reused(tls->ssl) == 1};
}

/* ---- reading ------------------------------------------------------------------------------- */

static void fail(struct conn_tls *tls)
{
    unsigned long code = ERR_peek_last_error();
    long verdict = SSL_get_verify_result(tls->ssl);
    tls->end = CONN_TLS_FAILED;
    if (tls_error_is_of_memory() || verdict == X509_V_ERR_OUT_OF_MEM) {
        tls->end = CONN_TLS_NO_MEMORY;
        tls->why = "no memory";
        return;
    }
    if (tls->context->verifies && verdict != X509_V_OK) {
        tls->end = CONN_TLS_UNTRUSTED;
        tls->why = X509_verify_cert_error_string(verdict);
        return;
    }
    tls->why = ERR_reason_error_string(code);
    if (!tls->why)
        tls->why = "it asks for too much, or there is no memory";
}

/* OpenSSL has stopped: because it has seen everything, or for good? */
static void judge(struct conn_tls *tls)
{
    switch (SSL_get_error(tls->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return;
    case SSL_ERROR_ZERO_RETURN:
        tls->end = CONN_TLS_CLOSED;
        return;
    default:
        fail(tls);
    }
}

/* True once the handshake is over. */
static bool shake_hands(struct conn_tls *tls)
{
    if (SSL_do_handshake(tls->ssl) != 1) {
        judge(tls);
        return false;
    }
    if (tls->context->verifies && SSL_get_verify_result(tls->ssl) != X509_V_OK) {
        fail(tls); /* OpenSSL has seen to it already, this is the second lock */
        return false;
    }
    ERR_clear_error();
    tls->is_ready = true;
    return true;
}

/*
 * Everything that was received is seen, and every whole record opened: plain bytes are fewer than
 * those that brought them, and at most one record was waiting for its end.
 */
static size_t open_records(struct conn_tls *tls, uint8_t *data, size_t capacity)
{
    size_t used = 0;
    ERR_clear_error();
    if (!tls->is_ready && !shake_hands(tls))
        return 0;
    for (;;) {
        size_t got;
        assert(used < capacity);
        if (SSL_read_ex(tls->ssl, data + used, capacity - used, &got) != 1) {
            judge(tls);
            return used;
        }
        used += got;
    }
}

static ssize_t report_end(struct conn *conn, int *error)
{
    conn_end_reading(conn);
    if (conn->tls->end == CONN_TLS_CLOSED)
        return 0;
    *error = EPROTO;
    return -2;
}

static void write_held(struct conn *conn);

ssize_t conn_tls_read(struct conn *conn, uint8_t *data, size_t capacity, int *error)
{
    struct conn_tls *tls = conn->tls;
    tls->conn = conn;
    if (tls->end != CONN_TLS_GOES_ON)
        return report_end(conn, error);
    assert(capacity / 2 > RECORD_BYTES);
    size_t room = capacity - RECORD_BYTES - 1;
    ssize_t got =
        conn_read_wire(conn, tls->worker->wire, room < WIRE_BYTES ? room : WIRE_BYTES, error);
    if (got <= 0)
        return got;
    tls->in = tls->worker->wire;
    tls->in_bytes = (size_t)got;
    size_t plain_bytes = open_records(tls, data, capacity);
    if (unsent_bytes(&conn->unsent) > 0 && !conn_is_waiting(conn))
        conn_write_unsent(conn);
    if (unsent_bytes(&tls->held) > 0)
        write_held(conn);
    if (plain_bytes == 0)
        return tls->end == CONN_TLS_GOES_ON ? -1 : report_end(conn, error);
    if (tls->end != CONN_TLS_GOES_ON)
        conn_tls_report(conn); /* the socket may have nothing more to say */
    return (ssize_t)plain_bytes;
}

void conn_tls_begin(struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    tls->conn = conn;
    if (SSL_is_server(tls->ssl))
        return;
    ERR_clear_error();
    (void)shake_hands(tls); /* how it goes on is read */
    conn_write_unsent(conn);
}

/* ---- writing ------------------------------------------------------------------------------- */

/*
 * Into one record or several.  A message of TLS 1.3 that comes in parts, such as a long ticket,
 * must end before OpenSSL writes anything: until then plain bytes are held.
 */
static void seal(struct conn_tls *tls, const uint8_t *data, size_t bytes)
{
    size_t done;
    if (tls->conn->write_error)
        return;
    if (unsent_bytes(&tls->held) == 0) {
        ERR_clear_error();
        if (SSL_write_ex(tls->ssl, data, bytes, &done) == 1)
            return; /* all of it: partial writes are not enabled */
        if (SSL_get_error(tls->ssl, 0) != SSL_ERROR_WANT_READ) {
            conn_fail_writing(tls->conn, tls->end == CONN_TLS_GOES_ON ? ENOMEM : EPROTO);
            return;
        }
    }
    if (!unsent_append(&tls->held, tls->conn->watched.readiness->budget, data, bytes))
        conn_fail_writing(tls->conn, ENOMEM);
}

static void seal_pieces(struct conn_tls *tls, const struct iovec *pieces, int count)
{
    uint8_t *record = tls->worker->record;
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        const uint8_t *at = pieces[i].iov_base;
        size_t left = pieces[i].iov_len;
        while (left > 0) {
            size_t piece = left < RECORD_BYTES - used ? left : RECORD_BYTES - used;
            if (used == 0 && (left >= RECORD_BYTES || i == count - 1)) { /* without a copy */
                piece = i == count - 1 ? left : left - left % RECORD_BYTES;
                seal(tls, at, piece);
            } else {
                memcpy(record + used, at, piece);
                used += piece;
            }
            if (used == RECORD_BYTES) {
                seal(tls, record, used);
                used = 0;
            }
            at += piece;
            left -= piece;
        }
    }
    if (used > 0)
        seal(tls, record, used);
}

void conn_tls_write(struct conn *conn, const struct iovec *pieces, int count)
{
    struct conn_tls *tls = conn->tls;
    tls->conn = conn;
    if (!tls->is_ready || tls->is_torn)
        return;
    tls->is_writing = true;
    seal_pieces(tls, pieces, count);
    flush_wire(tls);
    tls->is_writing = false;
    conn_tls_wrote(conn);
}

static void write_held(struct conn *conn)
{
    struct unsent held = conn->tls->held;
    conn->tls->held = (struct unsent){0};
    while (unsent_bytes(&held) > 0) {
        struct iovec pieces[HELD_PIECES_MAX];
        size_t bytes = 0;
        int count = unsent_front(&held, pieces, HELD_PIECES_MAX);
        for (int i = 0; i < count; i++)
            bytes += pieces[i].iov_len;
        conn_tls_write(conn, pieces, count);
        unsent_consume(&held, bytes);
    }
}

/*
 * Plain bytes that are surely with the kernel: what is owed counts fully, and it is longer than
 * the plain bytes in it.  So this is exact when nothing is owed, and never too much.
 */
void conn_tls_wrote(struct conn *conn)
{
    uint64_t owed = unsent_bytes(&conn->unsent) + unsent_bytes(&conn->tls->held);
    if (conn->write_error || conn->queued_offset < owed)
        return;
    if (conn->queued_offset - owed > conn->written_offset)
        conn->written_offset = conn->queued_offset - owed;
}

void conn_tls_say_goodbye(struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    tls->conn = conn;
    if (!tls->is_ready || tls->is_torn || !conn_is_flushed(conn) || tls->end > CONN_TLS_CLOSED)
        return;
    ERR_clear_error();
    tls->is_writing = true;
    (void)SSL_shutdown(tls->ssl);
    flush_wire(tls);
    tls->is_writing = false;
}

void conn_tls_tear(struct conn *conn)
{
    if (conn_is_flushed(conn))
        return;
    unsent_clear(&conn->tls->held);
    conn->tls->is_torn = true;
}
