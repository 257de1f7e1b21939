/* TLS contexts. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"

bool tls_error_is_of_memory(void)
{
    bool is_of_memory = false;
    unsigned long code;
    while ((code = ERR_get_error()) != 0)
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
            is_of_memory = true;
    return is_of_memory;
}

/* ---- what is wrong with a file ------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool fail(struct tls_error *error, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->why, sizeof(error->why), format, arguments);
    va_end(arguments);
    return false;
}

/* The first of OpenSSL's errors is the reason, those after it only say what came of it. */
static bool fail_ssl(struct tls_error *error)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);
    if (ERR_SYSTEM_ERROR(code))
        reason = strerror(ERR_GET_REASON(code));
    ERR_clear_error();
    return fail(error, "%s", reason ? reason : "no memory");
}

/* OpenSSL would wait for a FIFO, and says less than errno. */
static bool is_file(const char *path, struct tls_error *error)
{
    struct stat found;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fail(error, "%s", strerror(errno));
    bool is_regular = fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
    close(fd);
    return is_regular || fail(error, "not a file");
}

static bool begin_file(struct tls_error *error, const char *key, const char *path)
{
    error->key = key;
    error->path = path;
    ERR_clear_error();
    return is_file(path, error);
}

/* ---- reading files ------------------------------------------------------------------------- */

/* Nobody is there to type one in. */
static int on_passphrase(char *out, int out_bytes, int writes, void *was_asked)
{
    (void)out;
    (void)out_bytes;
    (void)writes;
    *(bool *)was_asked = true;
    return -1;
}

static bool load_identity(SSL_CTX *ssl_context, const char *cert_key, const char *cert,
                          const char *key_key, const char *key, struct tls_error *error)
{
    if (!begin_file(error, cert_key, cert))
        return false;
    if (SSL_CTX_use_certificate_chain_file(ssl_context, cert) != 1)
        return fail_ssl(error);
    if (!begin_file(error, key_key, key))
        return false;
    bool passphrase_was_asked = false;
    SSL_CTX_set_default_passwd_cb(ssl_context, on_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ssl_context, &passphrase_was_asked);
    bool is_loaded = SSL_CTX_use_PrivateKey_file(ssl_context, key, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ssl_context, NULL);
    SSL_CTX_set_default_passwd_cb(ssl_context, NULL);
    if (passphrase_was_asked) {
        ERR_clear_error();
        return fail(error, "it is encrypted, and there is nobody to ask for its passphrase");
    }
    return (is_loaded && SSL_CTX_check_private_key(ssl_context) == 1) || fail_ssl(error);
}

/* What OpenSSL makes of a certificate when it first takes it apart, and keeps. */
struct parts {
    int is_right;
    int key_bits;
    long path_length;
    uint32_t flags;
    uint32_t key_usage;
    uint32_t extended_key_usage;
    bool has_key_id;
    bool has_authority_key_id;
};

static struct parts take_apart(X509 *certificate)
{
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    return (struct parts){.is_right = X509_check_purpose(certificate, -1, 0),
                          .key_bits = key ? EVP_PKEY_get_security_bits(key) : 0,
                          .path_length = X509_get_pathlen(certificate),
                          .flags = X509_get_extension_flags(certificate),
                          .key_usage = X509_get_key_usage(certificate),
                          .extended_key_usage = X509_get_extended_key_usage(certificate),
                          .has_key_id = X509_get0_subject_key_id(certificate),
                          .has_authority_key_id = X509_get0_authority_key_id(certificate)};
}

static bool are_same(const struct parts *one, const struct parts *other)
{
    return one->is_right == other->is_right && one->key_bits == other->key_bits &&
           one->path_length == other->path_length && one->flags == other->flags &&
           one->key_usage == other->key_usage &&
           one->extended_key_usage == other->extended_key_usage &&
           one->has_key_id == other->has_key_id &&
           one->has_authority_key_id == other->has_authority_key_id;
}

/*
 * What there is no memory for just then is missing for good, mostly without an error: whoever the
 * authority vouches for would be untrusted until the next reload.  So each is read twice.  One that
 * is odd by itself is odd both times, and stays: it vouches for nobody.
 */
static bool take_authorities_apart(SSL_CTX *ssl_context, struct tls_error *error)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ssl_context));
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (!certificate)
            continue; /* a list of revoked ones */
        X509 *again = X509_dup(certificate);
        if (!again)
            return fail(error, "no memory");
        struct parts parts = take_apart(certificate);
        struct parts parts_again = take_apart(again);
        X509_free(again);
        if (!are_same(&parts, &parts_again))
            return fail(error, "no memory");
    }
    return true;
}

static bool load_authorities(SSL_CTX *ssl_context, const char *key, const char *path,
                             struct tls_error *error)
{
    if (!begin_file(error, key, path))
        return false;
    if (SSL_CTX_load_verify_file(ssl_context, path) != 1)
        return fail_ssl(error);
    ERR_clear_error(); /* the end of the file is one, too */
    bool is_loaded = take_authorities_apart(ssl_context, error);
    ERR_clear_error();
    return is_loaded;
}

/* A list in one file: OpenSSL would read its folder of many at each handshake. */
static bool load_system_authorities(SSL_CTX *ssl_context, const char *key, struct tls_error *error)
{
    const char *const paths[] = {getenv(X509_get_default_cert_file_env()),
                                 X509_get_default_cert_file(), "/etc/ssl/certs/ca-certificates.crt",
                                 "/etc/pki/tls/certs/ca-bundle.crt"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (paths[i] && access(paths[i], R_OK) == 0)
            return load_authorities(ssl_context, key, paths[i], error);
    error->key = key;
    error->path = "";
    return fail(error, "this system has no list of authorities: install ca-certificates, or name "
                       "a file");
}

/* ---- contexts ------------------------------------------------------------------------------ */

static struct tls_context *context_new(const SSL_METHOD *method, const char *server_name)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    if (!context)
        return NULL;
    atomic_init(&context->reference_count, 1);
    pthread_mutex_init(&context->mutex, NULL);
    context->server_name = strdup(server_name);
    context->ssl_context = SSL_CTX_new(method);
    if (!context->server_name || !context->ssl_context ||
        SSL_CTX_set_min_proto_version(context->ssl_context, TLS1_2_VERSION) != 1) {
        tls_context_release(context);
        return NULL;
    }
    SSL_CTX_set_mode(context->ssl_context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(context->ssl_context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return context;
}

struct tls_context *tls_context_hold(struct tls_context *context)
{
    if (context)
        atomic_fetch_add_explicit(&context->reference_count, 1, memory_order_relaxed);
    return context;
}

void tls_context_release(struct tls_context *context)
{
    if (!context ||
        atomic_fetch_sub_explicit(&context->reference_count, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; i < TLS_SESSION_COUNT_MAX; i++)
        SSL_SESSION_free(context->sessions[i].session);
    SSL_CTX_free(context->ssl_context);
    pthread_mutex_destroy(&context->mutex);
    free(context->server_name);
    free(context);
}

static bool fill_clients(struct tls_context *context, const struct config_client_tls *tls,
                         struct tls_error *error)
{
    static const unsigned char about[] = "wskeep";
    SSL_CTX *ssl_context = context->ssl_context;
    if (!load_identity(ssl_context, "client.tls.cert", tls->cert, "client.tls.key", tls->key,
                       error))
        return false;
    /* Tickets are enough: a cache would hold a session for each client that ever came. */
    SSL_CTX_set_session_cache_mode(ssl_context, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_session_id_context(ssl_context, about, sizeof(about) - 1) != 1)
        return fail_ssl(error);
    if (tls->client_ca[0] == '\0')
        return true;
    if (!load_authorities(ssl_context, "client.tls.client_ca", tls->client_ca, error))
        return false;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(tls->client_ca);
    if (!names)
        return fail_ssl(error);
    SSL_CTX_set_client_CA_list(ssl_context, names);
    SSL_CTX_set_verify(ssl_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    /* A client that resumes shows no certificate: here it must, each time. */
    SSL_CTX_set_options(ssl_context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ssl_context, 0);
    context->verifies = true;
    return true;
}

static int on_session(SSL *ssl, SSL_SESSION *session);

static bool fill_upstream(struct tls_context *context, const struct config_upstream_tls *tls,
                          struct tls_error *error)
{
    static const unsigned char protocols[] = "\x08http/1.1"; /* WebSocket in HTTP/2 is another */
    SSL_CTX *ssl_context = context->ssl_context;
    error->key = "upstream.tls";
    error->path = "";
    int version = tls->min_version == CONFIG_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (SSL_CTX_set_min_proto_version(ssl_context, version) != 1 ||
        SSL_CTX_set_alpn_protos(ssl_context, protocols, sizeof(protocols) - 1) != 0)
        return fail_ssl(error);
    SSL_CTX_set_session_cache_mode(ssl_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(ssl_context, context);
    SSL_CTX_sess_set_new_cb(ssl_context, on_session);
    if (tls->cert[0] != '\0' && !load_identity(ssl_context, "upstream.tls.cert", tls->cert,
                                               "upstream.tls.key", tls->key, error))
        return false;
    context->verifies = tls->verify;
    if (!tls->verify)
        return true;
    SSL_CTX_set_verify(ssl_context, SSL_VERIFY_PEER, NULL);
    if (tls->ca[0] == '\0')
        return load_system_authorities(ssl_context, "upstream.tls.ca", error);
    /* Whoever the file names is trusted, also an authority in the middle of a chain. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl_context), X509_V_FLAG_PARTIAL_CHAIN);
    return load_authorities(ssl_context, "upstream.tls.ca", tls->ca, error);
}

static bool listens_with_tls(const struct link_config *link)
{
    for (size_t i = 0; i < link->listen_count; i++)
        if (link->listens[i].tls)
            return true;
    return false;
}

static bool connects_with_tls(const struct link_config *link)
{
    for (size_t i = 0; i < link->upstream.url_count; i++)
        if (link->upstream.urls[i].tls)
            return true;
    return false;
}

bool tls_pair_load(struct tls_pair *pair, const struct link_config *link, struct tls_error *error)
{
    *pair = (struct tls_pair){0};
    *error = (struct tls_error){.key = "tls", .path = "", .why = "no memory"};
    if (listens_with_tls(link)) {
        pair->clients = context_new(TLS_server_method(), "");
        if (!pair->clients || !fill_clients(pair->clients, &link->client.tls, error))
            goto fail;
    }
    if (connects_with_tls(link)) {
        pair->upstream = context_new(TLS_client_method(), link->upstream.tls.server_name);
        if (!pair->upstream || !fill_upstream(pair->upstream, &link->upstream.tls, error))
            goto fail;
    }
    return true;
fail:
    tls_pair_clear(pair);
    return false;
}

void tls_pair_clear(struct tls_pair *pair)
{
    tls_context_release(pair->clients);
    tls_context_release(pair->upstream);
    *pair = (struct tls_pair){0};
}

/* ---- sessions, to be resumed --------------------------------------------------------------- */

static struct tls_session *find_session(struct tls_context *context,
                                        const struct tls_server *server)
{
    for (unsigned i = 0; i < TLS_SESSION_COUNT_MAX; i++) {
        struct tls_session *kept = &context->sessions[i];
        if (kept->session && kept->server.port == server->port &&
            strcmp(kept->server.name, server->name) == 0)
            return kept;
    }
    return NULL;
}

/* The server has given a session, or (TLS 1.3) one more.  1: the reference is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_server *server = SSL_get_app_data(ssl);
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    pthread_mutex_lock(&context->mutex);
    struct tls_session *kept = find_session(context, server);
    if (!kept) {
        kept = &context->sessions[context->session_next];
        context->session_next = (context->session_next + 1) % TLS_SESSION_COUNT_MAX;
    }
    SSL_SESSION *old = kept->session;
    *kept = (struct tls_session){.server = *server, .session = session};
    pthread_mutex_unlock(&context->mutex);
    SSL_SESSION_free(old);
    return 1;
}

/* A resumed handshake shows no certificate: the one of the first must still be good. */
static bool is_good(const struct tls_context *context, SSL_SESSION *session)
{
    const X509 *certificate = SSL_SESSION_get0_peer(session);
    if (!SSL_SESSION_is_resumable(session))
        return false;
    return !context->verifies ||
           (certificate && X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0);
}

/* A reference to the last one, or NULL. */
static SSL_SESSION *hold_session(struct tls_context *context, const struct tls_server *server)
{
    pthread_mutex_lock(&context->mutex);
    const struct tls_session *kept = find_session(context, server);
    SSL_SESSION *session = kept && SSL_SESSION_up_ref(kept->session) == 1 ? kept->session : NULL;
    pthread_mutex_unlock(&context->mutex);
    return session;
}

/* Unless another worker has put a newer one in its place. */
static void forget_session(struct tls_context *context, const struct tls_server *server,
                           const SSL_SESSION *session)
{
    pthread_mutex_lock(&context->mutex);
    struct tls_session *kept = find_session(context, server);
    bool is_it = kept && kept->session == session;
    SSL_SESSION *old = is_it ? kept->session : NULL;
    if (is_it)
        kept->session = NULL;
    pthread_mutex_unlock(&context->mutex);
    SSL_SESSION_free(old);
}

static void offer_session(struct tls_context *context, const struct tls_server *server, SSL *ssl)
{
    SSL_SESSION *session = hold_session(context, server);
    if (!session)
        return;
    if (!is_good(context, session) || SSL_set_session(ssl, session) != 1) {
        ERR_clear_error();
        forget_session(context, server, session);
    }
    SSL_SESSION_free(session);
}

/* ---- connections --------------------------------------------------------------------------- */

/* RFC 6066: a name has no dot at its end, and an address is none. */
static void name_server(struct tls_server *server, const char *name, uint16_t port)
{
    size_t bytes = strlen(name);
    assert(bytes < sizeof(server->name));
    if (bytes > 1 && name[bytes - 1] == '.')
        bytes--;
    memcpy(server->name, name, bytes);
    server->name[bytes] = '\0';
    server->port = port;
}

static bool is_address(const char *name)
{
    struct in6_addr room;
    return inet_pton(AF_INET, name, &room) == 1 || inet_pton(AF_INET6, name, &room) == 1;
}

static bool expect_name(SSL *ssl, const char *name)
{
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *tls_connection_to_server(struct tls_context *context, const char *host, uint16_t port,
                              struct tls_server *server)
{
    name_server(server, context->server_name[0] ? context->server_name : host, port);
    SSL *ssl = SSL_new(context->ssl_context);
    if (!ssl || SSL_set_app_data(ssl, server) != 1 || !expect_name(ssl, server->name)) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_connect_state(ssl);
    offer_session(context, server, ssl);
    return ssl;
}

SSL *tls_connection_of_client(struct tls_context *context)
{
    SSL *ssl = SSL_new(context->ssl_context);
    if (ssl)
        SSL_set_accept_state(ssl);
    else
        ERR_clear_error();
    return ssl;
}
