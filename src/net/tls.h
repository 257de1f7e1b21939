/*
 * TLS contexts: what all connections of one side of a link have in common.  Files are read here
 * and only here, at start and at a reload.
 */
#ifndef WSKEEP_NET_TLS_H
#define WSKEEP_NET_TLS_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/url.h"

struct link_config;

enum {
    TLS_WHY_BYTES = 256,
    TLS_SESSION_COUNT_MAX = 8 /* servers of one link, whose sessions are kept */
};

/* Which file cannot be used, and why. */
struct tls_error {
    const char *key;  /* "upstream.tls.key" */
    const char *path; /* the configuration's own; "" for the system's list of authorities */
    char why[TLS_WHY_BYTES];
};

/* Who the server is: the name that its certificate must have.  Sessions are kept by this. */
struct tls_server {
    uint16_t port;
    char name[URL_HOST_BYTES_MAX + 1];
};

struct tls_session {
    struct tls_server server;
    SSL_SESSION *session; /* NULL: this place is free */
};

/* Counted references: a connection outlives a reload with the context that it began with.  All
 * workers use it: what is not constant is atomic, or under the mutex. */
struct tls_context {
    atomic_uint reference_count;
    SSL_CTX *ssl_context;
    bool verifies;         /* the peer's certificate, or there is no connection */
    char *server_name;     /* tls.server_name, "" for the host of the URL */
    pthread_mutex_t mutex; /* of what follows: taken in handshakes only */
    struct tls_session sessions[TLS_SESSION_COUNT_MAX];
    unsigned session_next; /* the place that is taken next */
};

/* Both sides of a link; NULL for one without TLS. */
struct tls_pair {
    struct tls_context *clients;
    struct tls_context *upstream;
};

/* Read all files that link names.  False: nothing was made, error says which one and why. */
bool tls_pair_load(struct tls_pair *pair, const struct link_config *link, struct tls_error *error);
void tls_pair_clear(struct tls_pair *pair);

struct tls_context *tls_context_hold(struct tls_context *context); /* NULL is allowed */
void tls_context_release(struct tls_context *context);             /* NULL is allowed */

/* OpenSSL's errors since they were last cleared are taken: was one of them a lack of memory? */
bool tls_error_is_of_memory(void);

/*
 * A connection to the server of this host and port, with the check of its name, and with its last
 * session if there is one.  server is filled in, and must live as long as the connection: the
 * connection's application data.  NULL when there is no memory.
 */
SSL *tls_connection_to_server(struct tls_context *context, const char *host, uint16_t port,
                              struct tls_server *server);

/* A connection that a client has begun. */
SSL *tls_connection_of_client(struct tls_context *context);

#endif
