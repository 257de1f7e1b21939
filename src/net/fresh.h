/*
 * What is put together anew for every attempt: the target and the headers of the request, from the
 * configuration and its files, from the client's handshake, and from the server's own cookies.
 */
#ifndef WSKEEP_NET_FRESH_H
#define WSKEEP_NET_FRESH_H

#include "core/cause.h"
#include "net/secrets.h"
#include "proto/cookie.h"
#include "proto/handshake.h"
#include "proto/url.h"

struct net_session;

enum { FRESH_BYTES_MAX = 64 * 1024 }; /* of all headers together: they share a request's head */

/* The cookies of the host that set them. */
struct fresh_cookies {
    char host[URL_HOST_BYTES_MAX + 1];
    struct cookie_jar jar;
};

/* Made for an attempt; it stays where something of it is needed later. */
struct fresh {
    struct secrets_request *reading; /* of an attempt, or of a wait for another secret */
    struct secrets_mark *marks;      /* of the files as the last attempt read them */
    size_t mark_count;
    uint64_t look_ms; /* while a session waits for another secret: the next look; 0: none */
    struct fresh_cookies *cookies; /* NULL: none yet */

    /* Of the attempt under way.  Names lie in the configuration, values in block or in the client's
     * request. */
    const char *target;
    struct handshake_header *headers;
    size_t header_count;
    char *block;
    size_t block_bytes;
};

enum fresh_answer {
    FRESH_READY,
    FRESH_READING, /* upstream_attempt_on_fresh() will be called with the cause */
    FRESH_FAILED   /* no memory */
};

/* An attempt begins, with net->config. */
enum fresh_answer fresh_begin(struct net_session *net);

/* Implemented by the attempt: the files are read.  CAUSE_NONE: target and headers are there;
 * CAUSE_SECRET_UNREADABLE has been reported; CAUSE_NO_RESOURCES. */
void upstream_attempt_on_fresh(struct net_session *net, enum cause cause);

/* The attempt's time is over, and its files are still not read: say which. */
void fresh_report_hang(struct net_session *net);

/* The attempt has its connection, or has failed: wipe what it was made of. */
void fresh_end(struct net_session *net);

/* The server's answer to the upgrade: its cookies are kept, if they are to be. */
void fresh_take_cookies(struct net_session *net, const struct http_head *head);

/* ---- a wait for another secret ------------------------------------------------------------- */

/* The connection or attempt is lost: if the session waits for a secret, look for it from now on. */
void fresh_watch(struct net_session *net);

uint64_t fresh_deadline_ms(const struct net_session *net);
void fresh_timer(struct net_session *net);

/* Everything is given back. */
void fresh_clear(struct net_session *net);

#endif
