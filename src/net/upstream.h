/*
 * The upstream's side of a session: one connection at a time, from the lookup of its name to its
 * end.  How it comes about is upstream_attempt.h's, and its way out upstream_send.h's.
 *
 * Functions named upstream_do_... carry out what core decided and never call it back.
 */
#ifndef WSKEEP_NET_UPSTREAM_H
#define WSKEEP_NET_UPSTREAM_H

#include "net/compression.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/fresh.h"
#include "net/upstream_send.h"
#include "proto/message.h"

struct net_session;
struct tls_context;

enum upstream_stage {
    UPSTREAM_NONE,
    UPSTREAM_BEGIN,   /* an attempt was asked for: it begins at the end of the turn */
    UPSTREAM_READING, /* files with secrets */
    UPSTREAM_RESOLVING,
    UPSTREAM_CONNECTING,
    UPSTREAM_TUNNELLING,
    UPSTREAM_SECURING,
    UPSTREAM_UPGRADING,
    UPSTREAM_OPEN
};

struct upstream {
    struct conn conn;
    struct dial *dial;       /* while an attempt is under way */
    struct fresh *fresh;     /* what its request is made of; NULL: nothing is */
    struct tls_context *tls; /* of the newest attempt; NULL: without TLS */
    struct message_reader reader;
    struct budget_share share;       /* what the reader holds of memory_max */
    struct compression *compression; /* NULL: off */
    struct upstream_send sending;
    unsigned url_index; /* of the current or last attempt */
    enum upstream_stage stage : 8;
    bool has_begun : 1;  /* there was an attempt */
    bool has_opened : 1; /* the last attempt led to an open connection */
};

void upstream_init(struct net_session *net);
void upstream_clear(struct net_session *net);

/* The url of the current or last attempt. */
const struct url *upstream_url(const struct net_session *net);

/* ---- carrying out ------------------------------------------------------------------------- */

/* Begin an attempt, with the newest settings of the link. */
void upstream_do_begin(struct net_session *net);

/* End the connection, or the attempt. */
void upstream_do_drop(struct net_session *net, enum session_drop drop,
                      const struct close_frame *close);

/* What TCP says goes to core at once. */
void upstream_do_probe(struct net_session *net);

/* When the upstream has a deadline that core does not know. */
uint64_t upstream_deadline_ms(const struct net_session *net);
void upstream_timer(struct net_session *net);

/* ---- the turn ----------------------------------------------------------------------------- */

/* The end of a turn: begin what was asked for, send what may be sent, read or do not. */
void upstream_flush(struct net_session *net);

#endif
