/* TLS on a connection: what no real peer does on demand. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "net/conn.h"
#include "net/tls.h"

enum { CAPACITY = 256 * 1024, TICKET_BYTES = 3000, SMALL_BUFFER_BYTES = 16 * 1024 };

/* A connection of ours to a server that is OpenSSL with its bytes in our hands. */
static struct event_base *base;
static struct tls_worker *worker;
static struct tls_pair pair;
static struct conn conn;
static int peer_fd;
static SSL_CTX *peer_context;
static SSL *peer;
static uint8_t received[CAPACITY];
static uint8_t data[1024 * 1024];

static struct readiness readiness;
static int read_events;

static void on_event(struct watched *watched)
{
    (void)watched;
    read_events++;
}

static const struct watched_calls calls = {.on_read = on_event, .on_write = on_event};

static int on_ticket(SSL *ssl, void *argument)
{
    static const uint8_t content[TICKET_BYTES];
    (void)argument;
    return SSL_SESSION_set1_ticket_appdata(SSL_get0_session(ssl), content, sizeof(content));
}

static void make_certificate(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    ck_assert(key && certificate);
    X509_set_version(certificate, 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    ck_assert_int_eq(SSL_CTX_use_certificate(context, certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void set_up(void)
{
    int fds[2];
    const int small = SMALL_BUFFER_BYTES;
    char none[] = "";
    struct url url = {.tls = true};
    struct link_config config = {
        .upstream = {.urls = &url,
                     .url_count = 1,
                     .tls = {.ca = none, .cert = none, .key = none, .server_name = none}}};
    struct tls_error error;
    base = event_base_new();
    ck_assert(readiness_init(&readiness, base));
    worker = tls_worker_new();
    ck_assert(tls_pair_load(&pair, &config, &error));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    peer_fd = fds[1];
    read_events = 0;
    conn_init(&conn);
    conn_open(&conn, fds[0], true, &readiness, &calls);

    peer_context = SSL_CTX_new(TLS_server_method());
    make_certificate(peer_context);
    SSL_CTX_set_session_ticket_cb(peer_context, on_ticket, NULL, NULL);
    SSL_CTX_set_max_send_fragment(peer_context, 512);
    peer = SSL_new(peer_context);
    SSL_set_bio(peer, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(peer);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 + i / 256);

    conn_secure(&conn, conn_tls_new_to_server(worker, pair.upstream, "localhost", 1));
    conn_set_reading(&conn, true);
}

static void tear_down(void)
{
    conn_close(&conn, false);
    close(peer_fd);
    SSL_free(peer);
    SSL_CTX_free(peer_context);
    tls_pair_clear(&pair);
    tls_worker_free(worker);
    readiness_clear(&readiness);
    event_base_free(base);
}

/* What wskeepd has written so far reaches the peer.  Returns the bytes on the wire. */
static size_t peer_take(void)
{
    size_t all = 0;
    ssize_t got;
    while ((got = read(peer_fd, received, sizeof(received))) > 0) {
        ck_assert_int_eq(BIO_write(SSL_get_rbio(peer), received, (int)got), got);
        all += (size_t)got;
    }
    return all;
}

/* At most bytes of what the peer has to say go on the wire.  Returns how many. */
static size_t peer_give(size_t bytes)
{
    size_t all = 0;
    while (all < bytes) {
        size_t piece = bytes - all < 4096 ? bytes - all : 4096;
        int got = BIO_read(SSL_get_wbio(peer), received, (int)piece);
        if (got <= 0)
            break;
        ck_assert_int_eq(write(peer_fd, received, (size_t)got), got);
        all += (size_t)got;
    }
    return all;
}

/* One read; plain bytes are in received. */
static ssize_t pull(void)
{
    int error = 0;
    ssize_t got = conn_read(&conn, received, sizeof(received), &error);
    ck_assert(got != -2 || error == EPROTO);
    return got;
}

/* The peer's end of the handshake, and nothing of what follows it. */
static void shake_hands(void)
{
    for (int i = 0; i < 10 && !conn_tls_is_ready(conn.tls); i++) {
        peer_take();
        (void)SSL_do_handshake(peer);
        peer_give(SIZE_MAX);
        ck_assert_int_eq(pull(), -1);
    }
    ck_assert(conn_tls_is_ready(conn.tls));
    peer_take();
    ck_assert_int_eq(SSL_do_handshake(peer), 1);
}

static size_t peer_read(uint8_t *out, size_t capacity)
{
    size_t all = 0;
    size_t got;
    while (all < capacity && SSL_read_ex(peer, out + all, capacity - all, &got) == 1)
        all += got;
    return all;
}

static void peer_says(const char *text)
{
    ck_assert_int_eq(SSL_write(peer, text, (int)strlen(text)), (int)strlen(text));
}

static void expect_peer_reads(const char *text)
{
    uint8_t out[256];
    ck_assert_uint_eq(peer_read(out, sizeof(out)), strlen(text));
    ck_assert_mem_eq(out, text, strlen(text));
}

START_TEST(every_byte_may_come_alone)
{
    char got[64];
    size_t used = 0;
    for (int i = 0; i < 10 && !conn_tls_is_ready(conn.tls); i++) {
        peer_take();
        (void)SSL_do_handshake(peer);
        while (peer_give(1) > 0)
            ck_assert_int_eq(pull(), -1);
    }
    peer_take();
    ck_assert_int_eq(SSL_do_handshake(peer), 1);
    peer_says("one");
    peer_says("two");
    while (peer_give(1) > 0) {
        ssize_t bytes = pull();
        if (bytes > 0) {
            memcpy(got + used, received, (size_t)bytes);
            used += (size_t)bytes;
        }
    }
    ck_assert_uint_eq(used, 6);
    ck_assert_mem_eq(got, "onetwo", 6);
    conn_write_bytes(&conn, "three", 5);
    ck_assert_uint_eq(conn.written_offset, 5);
    peer_take();
    expect_peer_reads("three");
}
END_TEST

START_TEST(what_cannot_be_written_inside_of_a_ticket_is_held)
{
    shake_hands();
    peer_give(600); /* the first of the records that a ticket comes in */
    ck_assert_int_eq(pull(), -1);
    conn_write_bytes(&conn, "question", 8);
    conn_write_bytes(&conn, ", another", 9);
    ck_assert(!conn_is_flushed(&conn));
    ck_assert_uint_eq(conn.queued_offset, 17);
    ck_assert_uint_eq(conn.written_offset, 0);
    ck_assert_uint_eq(peer_take(), 0);
    peer_give(SIZE_MAX);
    ck_assert_int_eq(pull(), -1);
    ck_assert(conn_is_flushed(&conn));
    ck_assert_uint_eq(conn.written_offset, 17);
    peer_take();
    expect_peer_reads("question, another");
}
END_TEST

START_TEST(what_is_held_when_the_end_comes_is_not_cut)
{
    shake_hands();
    peer_give(600);
    ck_assert_int_eq(pull(), -1);
    conn_write_bytes(&conn, "question", 8);
    conn_shut(&conn);
    peer_take();
    uint8_t out[16];
    size_t got;
    ck_assert_int_eq(SSL_read_ex(peer, out, sizeof(out), &got), 0);
    ck_assert_int_ne(SSL_get_error(peer, 0), SSL_ERROR_ZERO_RETURN); /* it was not the end of all */
}
END_TEST

START_TEST(pieces_of_one_write_are_one_record)
{
    shake_hands();
    peer_take();
    struct iovec pieces[32];
    for (int i = 0; i < 32; i++)
        pieces[i] = (struct iovec){.iov_base = data + i * 100, .iov_len = 100};
    conn_write(&conn, pieces, 32);
    ssize_t got = read(peer_fd, received, sizeof(received));
    ck_assert_int_eq(got, 5 + 3200 + 1 + 16);
    ck_assert_int_eq(received[3] << 8 | received[4], got - 5);
}
END_TEST

/* Sizes around a record's, in one piece and behind others. */
START_TEST(every_shape_of_a_write_arrives)
{
    static const size_t sizes[] = {1, 16383, 16384, 16385, 32768, 40000};
    static uint8_t out[200000];
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    shake_hands();
    for (size_t i = 0; i < SIZES * SIZES; i++) {
        struct iovec pieces[3] = {{.iov_base = data, .iov_len = sizes[i % SIZES]}};
        pieces[1] =
            (struct iovec){.iov_base = data + pieces[0].iov_len, .iov_len = sizes[i / SIZES]};
        pieces[2] =
            (struct iovec){.iov_base = data + pieces[0].iov_len + pieces[1].iov_len, .iov_len = 7};
        size_t all = pieces[0].iov_len + pieces[1].iov_len + 7;
        conn_write(&conn, pieces, 3);
        size_t got = 0;
        while (got < all) {
            peer_take();
            size_t more = peer_read(out + got, sizeof(out) - got);
            got += more;
            ck_assert(more > 0 || !conn_is_flushed(&conn));
            conn_write_unsent(&conn);
        }
        ck_assert_uint_eq(got, all);
        ck_assert_mem_eq(out, data, all);
        ck_assert(conn_is_flushed(&conn));
        ck_assert_uint_eq(conn.written_offset, conn.queued_offset);
    }
}
END_TEST

/* Plain bytes whose place is within so many of the wire: records of TLS 1.3, and a part of one. */
static uint64_t plain_within(uint64_t wire_bytes)
{
    enum { HEADER = 5, PLAIN = 1024, WHOLE = HEADER + PLAIN + 1 + 16 };
    uint64_t part = wire_bytes % WHOLE;
    part = part < HEADER ? 0 : part - HEADER;
    return wire_bytes / WHOLE * PLAIN + (part < PLAIN ? part : PLAIN);
}

START_TEST(written_and_acknowledged_are_never_too_much)
{
    static uint8_t out[sizeof(data)];
    size_t got = 0;
    uint64_t before = 0;
    uint64_t wire_bytes = 0;
    shake_hands();
    for (size_t used = 0; used < sizeof(data); used += 1024) {
        conn_write_bytes(&conn, data + used, 1024);
        ck_assert_uint_ge(conn.written_offset, before);
        before = conn.written_offset;
    }
    ck_assert(!conn_is_flushed(&conn));
    while (got < sizeof(data)) {
        uint64_t acked_offset;
        bool in_flight;
        conn_probe(&conn, &acked_offset, &in_flight);
        ck_assert_uint_le(acked_offset, plain_within(wire_bytes));
        ck_assert_uint_ge(conn.written_offset, before);
        before = conn.written_offset;
        wire_bytes += peer_take();
        got += peer_read(out + got, sizeof(out) - got);
        ck_assert_uint_le(conn.written_offset, plain_within(wire_bytes));
        ck_assert_uint_ge(conn.written_offset + 1024 * 22, got); /* and not much too little */
        conn_write_unsent(&conn);
    }
    ck_assert_mem_eq(out, data, sizeof(data));
    ck_assert_uint_eq(conn.written_offset, sizeof(data));
    ck_assert(conn_is_flushed(&conn));
}
END_TEST

START_TEST(a_failed_write_leaves_what_the_peer_said)
{
    shake_hands();
    peer_says("last words");
    peer_give(SIZE_MAX);
    shutdown(peer_fd, SHUT_RD);
    conn_write_bytes(&conn, data, 1000);
    ck_assert_int_eq(conn.write_error, EPIPE);
    conn_write_bytes(&conn, data, 1000);
    ck_assert_int_eq(pull(), 10);
    ck_assert_mem_eq(received, "last words", 10);
    for (int i = 0; i < 3; i++) { /* each wants an answer, and none can be given */
        ck_assert_int_eq(SSL_key_update(peer, SSL_KEY_UPDATE_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(peer), 1);
    }
    peer_says("more");
    ck_assert_int_eq(SSL_shutdown(peer), 0);
    peer_give(SIZE_MAX);
    ck_assert_int_eq(pull(), 4);
    ck_assert_mem_eq(received, "more", 4);
    ck_assert_int_eq(pull(), 0);
}
END_TEST

START_TEST(the_end_is_reported_after_the_last_bytes)
{
    shake_hands();
    peer_says("last");
    ck_assert_int_eq(SSL_shutdown(peer), 0);
    peer_give(SIZE_MAX);
    ck_assert_int_eq(pull(), 4);
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(read_events, 1); /* although the socket has nothing */
    ck_assert_int_eq(pull(), 0);
    ck_assert(conn.read_ended);
}
END_TEST

START_TEST(the_end_is_reported_when_reading_goes_on)
{
    shake_hands();
    peer_says("last");
    ck_assert_int_eq(SSL_shutdown(peer), 0);
    peer_give(SIZE_MAX);
    ck_assert_int_eq(pull(), 4);
    conn_set_reading(&conn, false);
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(read_events, 0);
    conn_set_reading(&conn, true);
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(read_events, 1);
    ck_assert_int_eq(pull(), 0);
}
END_TEST

START_TEST(a_record_that_was_changed_ends_it_after_those_before)
{
    const char *why;
    shake_hands();
    peer_says("good");
    peer_give(SIZE_MAX);
    peer_says("changed");
    int got = BIO_read(SSL_get_wbio(peer), received, sizeof(received));
    received[got - 1] ^= 1;
    ck_assert_int_eq(write(peer_fd, received, (size_t)got), got);
    ck_assert_int_eq(pull(), 4);
    ck_assert_int_eq(pull(), -2);
    ck_assert_int_eq(conn_tls_end(conn.tls, &why), CONN_TLS_FAILED);
    ck_assert_str_eq(why, "decryption failed or bad record mac");
}
END_TEST

START_TEST(nothing_is_written_before_the_handshake_is_over)
{
    peer_take();
    conn_write_bytes(&conn, "HTTP/1.1 408", 12);
    ck_assert_uint_eq(peer_take(), 0);
    conn_shut(&conn);
    ck_assert_uint_eq(peer_take(), 0);
}
END_TEST

START_TEST(goodbye_is_said_when_the_stream_is_whole)
{
    uint8_t out[16];
    size_t got;
    shake_hands();
    conn_write_bytes(&conn, "x", 1);
    conn_shut(&conn);
    peer_take();
    expect_peer_reads("x");
    ck_assert_int_eq(SSL_read_ex(peer, out, sizeof(out), &got), 0);
    ck_assert_int_eq(SSL_get_error(peer, 0), SSL_ERROR_ZERO_RETURN);
    peer_says("still");
    peer_give(SIZE_MAX);
    int error;
    ck_assert_int_gt(conn_read_wire(&conn, received, sizeof(received), &error), 5);
}
END_TEST

START_TEST(a_stream_that_was_cut_ends_without_goodbye)
{
    static uint8_t out[sizeof(data)];
    shake_hands();
    conn_write_bytes(&conn, data, sizeof(data));
    ck_assert(!conn_is_flushed(&conn));
    conn_drop_unsent(&conn);
    ck_assert(conn_is_flushed(&conn));
    ck_assert_uint_gt(peer_take(), 0);
    conn_write_bytes(&conn, "after", 5);
    conn_shut(&conn);
    ck_assert_uint_eq(peer_take(), 0);
    size_t got = peer_read(out, sizeof(out));
    ck_assert_uint_lt(got, sizeof(data));
    ck_assert_mem_eq(out, data, got);
    ck_assert_int_eq(SSL_get_shutdown(peer) & SSL_RECEIVED_SHUTDOWN, 0);
}
END_TEST

/* Each asks for an answer, and the peer reads none. */
START_TEST(a_flood_of_key_updates_is_bounded)
{
    ssize_t got = -1;
    shake_hands();
    peer_give(SIZE_MAX);
    ck_assert_int_eq(pull(), -1);
    for (int i = 0; i < 20000 && got == -1; i++) {
        ck_assert_int_eq(SSL_key_update(peer, SSL_KEY_UPDATE_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(peer), 1);
        peer_give(SIZE_MAX);
        got = pull();
        ck_assert_uint_le(unsent_bytes(&conn.unsent), 65536);
    }
    if (got == -1) { /* answers are put together: everything still works */
        conn_write_bytes(&conn, "x", 1);
        peer_take();
        expect_peer_reads("x");
    }
}
END_TEST

START_TEST(a_session_is_kept_for_its_server_alone)
{
    shake_hands();
    peer_give(SIZE_MAX);
    ck_assert_int_eq(pull(), -1);
    static const struct {
        const char *host;
        uint16_t port;
        bool is_kept;
    } servers[] = {{"localhost", 1, true},
                   {"localhost", 2, false},
                   {"localhos", 1, false},
                   {"localhost.", 1, true}};
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        struct tls_server server;
        SSL *ssl =
            tls_connection_to_server(pair.upstream, servers[i].host, servers[i].port, &server);
        ck_assert_int_eq(SSL_get_session(ssl) != NULL, servers[i].is_kept);
        SSL_free(ssl);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn_tls");
    TCase *tcase = tcase_create("conn_tls");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, every_byte_may_come_alone);
    tcase_add_test(tcase, what_cannot_be_written_inside_of_a_ticket_is_held);
    tcase_add_test(tcase, what_is_held_when_the_end_comes_is_not_cut);
    tcase_add_test(tcase, pieces_of_one_write_are_one_record);
    tcase_add_test(tcase, every_shape_of_a_write_arrives);
    tcase_add_test(tcase, written_and_acknowledged_are_never_too_much);
    tcase_add_test(tcase, a_failed_write_leaves_what_the_peer_said);
    tcase_add_test(tcase, the_end_is_reported_after_the_last_bytes);
    tcase_add_test(tcase, the_end_is_reported_when_reading_goes_on);
    tcase_add_test(tcase, a_record_that_was_changed_ends_it_after_those_before);
    tcase_add_test(tcase, nothing_is_written_before_the_handshake_is_over);
    tcase_add_test(tcase, goodbye_is_said_when_the_stream_is_whole);
    tcase_add_test(tcase, a_stream_that_was_cut_ends_without_goodbye);
    tcase_add_test(tcase, a_flood_of_key_updates_is_bounded);
    tcase_add_test(tcase, a_session_is_kept_for_its_server_alone);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
