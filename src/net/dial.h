/*
 * One attempt to reach the upstream: its addresses, the race to them, the tunnel, and
 * its handshake.
 */
#ifndef WSKEEP_NET_DIAL_H
#define WSKEEP_NET_DIAL_H

#include "core/cause.h"
#include "net/head.h"
#include "net/lookup.h"
#include "net/race.h"
#include "net/tunnel.h"
#include "proto/handshake.h"

enum { DIAL_INTERIM_COUNT_MAX = 8 };

struct link_config;
struct net_session;
struct worker;

/* Exists from the beginning of an attempt until it is open or has failed. */
struct dial {
    struct lookup lookup;
    struct race race;
    struct tunnel *tunnel;  /* NULL: no proxy */
    struct head head;       /* of the answer */
    unsigned interim_count; /* answers that only say that another one will come */
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
};

struct dial *dial_new(void);
void dial_free(struct dial *dial); /* NULL is allowed */

/* Why no address could be reached. */
enum cause dial_cause(const struct dial *dial);

/* The cause of an errno from a connection or from making one. */
enum cause dial_cause_of(int error);

/* Build the request head into out.  Returns its bytes, 0 when it cannot be built. */
size_t dial_build_request(struct net_session *net, char *out, size_t out_bytes);

enum dial_answer { DIAL_NEED_MORE, DIAL_OPEN, DIAL_FAILED };

struct dial_outcome {
    uint8_t *rest; /* DIAL_OPEN: what follows the head; valid until dial_free() */
    size_t rest_bytes;
    char subprotocol[HANDSHAKE_SUBPROTOCOL_BYTES_MAX + 1]; /* "" for none */
    bool has_deflate; /* DIAL_OPEN: permessage-deflate was agreed on, so: */
    struct deflate_terms deflate;
    enum cause cause;     /* DIAL_FAILED */
    unsigned http_status; /* with CAUSE_HTTP_STATUS */
    bool has_retry_after; /* the answer asks for a wait */
    uint64_t retry_after_ms;
};

/* Bytes of the answer came. */
enum dial_answer dial_read(struct net_session *net, uint8_t *data, size_t data_bytes,
                           struct dial_outcome *outcome);

#endif
