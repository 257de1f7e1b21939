/*
 * OpenSSL without memory: each of its allocations fails in turn, while files are read and while
 * hands are shaken.  What fails is one file or one connection, by its name, and nothing after it.
 */
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "net/conn.h"
#include "net/tls.h"

enum { RECEIVED_BYTES = 64 * 1024, TURNS_MAX = 20, STRIDE = 29 };

static unsigned allocation_count;   /* of OpenSSL, so far */
static unsigned allocation_failing; /* the number of the one that fails, from 1; 0: none */

static bool allocation_fails(void)
{
    return allocation_failing > 0 && ++allocation_count == allocation_failing;
}

static void *on_malloc(size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return allocation_fails() ? NULL : malloc(bytes);
}

static void *on_realloc(void *old, size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return allocation_fails() ? NULL : realloc(old, bytes);
}

static void on_free(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    free(old);
}

static void let_fail(unsigned number)
{
    allocation_count = 0;
    allocation_failing = number;
}

/* Returns false when there were fewer: then all of them have had their turn. */
static bool did_fail(void)
{
    bool failed = allocation_failing > 0 && allocation_count >= allocation_failing;
    allocation_failing = 0;
    return failed;
}

/* Before any test runs, where Check's assertions cannot speak. */
static void must(bool is_right)
{
    if (!is_right)
        abort();
}

/* ---- files ---------------------------------------------------------------------------------- */

static char folder[] = "/tmp/tls_memory_test.XXXXXX";
static char ca_path[64];
static char cert_path[64];
static char key_path[64];

static X509 *make_certificate(EVP_PKEY *key, const char *name, long serial, X509 *issuer,
                              EVP_PKEY *issuer_key, int extension, const char *value)
{
    X509 *certificate = X509_new();
    must(key && certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate));
    X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, NULL, extension, value);
    must(made && X509_add_ext(certificate, made, -1) == 1);
    X509_EXTENSION_free(made);
    must(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
    return certificate;
}

static void write_certificate(const char *path, X509 *certificate)
{
    FILE *file = fopen(path, "w");
    must(file && PEM_write_X509(file, certificate) == 1);
    fclose(file);
}

/* One authority, and one certificate of its for both sides. */
static void write_files(void)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *ca = make_certificate(ca_key, "authority", 1, NULL, ca_key, NID_basic_constraints,
                                "critical,CA:TRUE");
    X509 *cert =
        make_certificate(key, "server", 2, ca, ca_key, NID_subject_alt_name, "DNS:localhost");
    write_certificate(ca_path, ca);
    write_certificate(cert_path, cert);
    FILE *file = fopen(key_path, "w");
    must(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
    X509_free(ca);
    X509_free(cert);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}

/* Both sides of a link that show and verify certificates. */
static bool load(struct tls_pair *pair, struct tls_error *error)
{
    char none[] = "";
    struct url url = {.tls = true};
    struct config_listen listen = {.tls = true};
    struct link_config config = {
        .listens = &listen,
        .listen_count = 1,
        .client = {.tls = {.cert = cert_path, .key = key_path, .client_ca = ca_path}},
        .upstream = {.urls = &url,
                     .url_count = 1,
                     .tls = {.ca = ca_path,
                             .cert = cert_path,
                             .key = key_path,
                             .server_name = none,
                             .verify = true}}};
    return tls_pair_load(pair, &config, error);
}

/* ---- a handshake ---------------------------------------------------------------------------- */

static struct event_base *base;
static struct tls_worker *worker;
static uint8_t received[RECEIVED_BYTES];

static struct readiness readiness;

static void on_event(struct watched *watched)
{
    (void)watched;
}

static const struct watched_calls calls = {.on_read = on_event, .on_write = on_event};

static bool open_end(struct conn *conn, int fd, struct conn_tls *tls)
{
    conn_init(conn);
    conn_open(conn, fd, true, &readiness, &calls);
    if (!tls)
        return false;
    conn_secure(conn, tls);
    return true;
}

static void pull(struct conn *conn)
{
    int error = 0;
    if (!conn->read_ended && conn_read(conn, received, sizeof(received), &error) > 0)
        ck_abort_msg("nobody has said anything");
}

static bool has_no_memory(const struct conn *conn)
{
    const char *why;
    return conn->write_error == ENOMEM || conn_tls_end(conn->tls, &why) == CONN_TLS_NO_MEMORY;
}

struct outcome {
    bool is_ready; /* both sides */
    bool is_named; /* a side knows that it had no memory */
    const char *client_why;
    const char *server_why;
};

/* A session is kept for a server: with another port nothing is resumed, and all is verified. */
static struct outcome shake_hands(struct tls_pair *pair, uint16_t port)
{
    int fds[2];
    struct conn client;
    struct conn server;
    struct outcome outcome = {0};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    bool is_begun = open_end(&server, fds[0], conn_tls_new_of_client(worker, pair->clients));
    is_begun &= open_end(&client, fds[1],
                         conn_tls_new_to_server(worker, pair->upstream, "localhost", port));
    for (unsigned i = 0; is_begun && i < TURNS_MAX; i++) {
        pull(&server);
        pull(&client);
    }
    if (is_begun) {
        outcome.is_ready = conn_tls_is_ready(client.tls) && conn_tls_is_ready(server.tls) &&
                           !client.read_ended && !server.read_ended;
        conn_tls_end(client.tls, &outcome.client_why);
        conn_tls_end(server.tls, &outcome.server_why);
    }
    outcome.is_named = !is_begun || has_no_memory(&client) || has_no_memory(&server);
    conn_close(&client, false);
    conn_close(&server, false);
    return outcome;
}

static void expect_good(struct tls_pair *pair, uint16_t port, unsigned number)
{
    struct outcome outcome = shake_hands(pair, port);
    ck_assert_msg(outcome.is_ready, "after allocation %u: %s, %s", number,
                  outcome.client_why ? outcome.client_why : "-",
                  outcome.server_why ? outcome.server_why : "-");
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void load_well(struct tls_pair *pair)
{
    struct tls_error error;
    ck_assert_msg(load(pair, &error), "%s: %s: %s", error.key, error.path, error.why);
}

static void set_up(void)
{
    base = event_base_new();
    worker = tls_worker_new();
    ck_assert(base && worker && readiness_init(&readiness, base));
    struct tls_pair pair; /* what OpenSSL makes once is there: the other allocations are the same
                             each time */
    load_well(&pair);
    expect_good(&pair, 1, 0);
    tls_pair_clear(&pair);
}

static void tear_down(void)
{
    tls_worker_free(worker);
    readiness_clear(&readiness);
    event_base_free(base);
}

/* `make soak` lets each fail, `make check` some of them: always the same ones. */
static unsigned stride(void)
{
    return getenv("WSKEEP_SOAK") ? 1 : STRIDE;
}

START_TEST(what_a_handshake_lacked_is_not_missed_by_the_next)
{
    unsigned failed_count = 0;
    unsigned named_count = 0;
    for (unsigned number = 1;; number += stride()) {
        struct tls_pair pair;
        load_well(&pair);
        let_fail(number);
        struct outcome outcome = shake_hands(&pair, 1);
        bool failed = did_fail();
        expect_good(&pair, 2, number);
        tls_pair_clear(&pair);
        if (!failed)
            break;
        failed_count += !outcome.is_ready;
        named_count += !outcome.is_ready && outcome.is_named;
    }
    /* Of the others, about half, OpenSSL says whatever step they lacked memory for. */
    ck_assert_msg(named_count > failed_count / 4, "%u of %u", named_count, failed_count);
}
END_TEST

START_TEST(files_that_are_read_without_memory_are_refused_or_whole)
{
    for (unsigned number = 1;; number += stride()) {
        struct tls_pair pair;
        struct tls_error error;
        let_fail(number);
        bool is_loaded = load(&pair, &error);
        bool failed = did_fail();
        if (is_loaded)
            expect_good(&pair, 1, number);
        tls_pair_clear(&pair);
        if (!failed)
            return;
        ck_assert_msg(is_loaded || error.why[0], "allocation %u fails without a word", number);
    }
}
END_TEST

int main(void)
{
    if (CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) != 1 || !mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(ca_path, sizeof(ca_path), "%s/ca", folder);
    snprintf(cert_path, sizeof(cert_path), "%s/cert", folder);
    snprintf(key_path, sizeof(key_path), "%s/key", folder);
    write_files();
    Suite *suite = suite_create("tls_memory");
    TCase *tcase = tcase_create("tls_memory");
    tcase_set_timeout(tcase, 3600);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_a_handshake_lacked_is_not_missed_by_the_next);
    tcase_add_test(tcase, files_that_are_read_without_memory_are_refused_or_whole);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    unlink(ca_path);
    unlink(cert_path);
    unlink(key_path);
    rmdir(folder);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
