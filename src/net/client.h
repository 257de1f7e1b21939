/*
 * The client's side of a session: one connection, from its handshake to its end.
 *
 * What it says once it is open is client_messages.h's, what it is sent client_send.h's; what it
 * says and finds no room for is in client_kept.h, and what becomes of it then in client_room.h.
 *
 * Functions named client_do_... carry out what core decided and never call it back.
 */
#ifndef WSKEEP_NET_CLIENT_H
#define WSKEEP_NET_CLIENT_H

#include "net/client_kept.h"
#include "net/client_room.h"
#include "net/client_send.h"
#include "net/compression.h"
#include "net/conn.h"
#include "net/head.h"
#include "proto/handshake.h"
#include "proto/message.h"

struct arrival;
struct config_listen;
struct net_session;

enum { CLIENT_FORWARD_BYTES_MAX = 8192 }; /* of headers for the upstream */

enum client_stage {
    CLIENT_HEAD,    /* its handshake is being read */
    CLIENT_WAITING, /* for the upstream's choice of subprotocol */
    CLIENT_OPEN,
    CLIENT_GONE
};

/* A client whose handshake is not answered yet. */
struct client_asking {
    struct head head;
    const struct config_listen *listen; /* where it came in; until the handshake was read */
    uint64_t handshake_due_ms;
    char accept[HANDSHAKE_ACCEPT_BYTES + 1]; /* CLIENT_WAITING: for the answer */
    bool has_deflate;                        /* it is answered with permessage-deflate: */
    struct deflate_terms deflate;
};

/* What the handshake asked for, as far as it is needed for each attempt.  One allocation. */
struct client_request {
    const char *target; /* the client's own, for `path: append`; found right with the url of then */
    const char *forward; /* headers for the upstream: name, value, name, ..., each terminated */
    unsigned offer_count;
    unsigned offer_bytes;
    unsigned forward_count;
    unsigned forward_bytes;
    bool has_offer;      /* the client named subprotocols: only then it is told one */
    bool has_credential; /* what the upstream is shown is the client's: Authorization or Cookie */
    char offer[];        /* for the upstream: offer_count names, each terminated; then target, and
                            what is forwarded */
};

struct client {
    struct conn conn;
    struct client_asking *asking; /* NULL once it was answered, or has gone */
    const struct client_request *request;
    struct message_reader reader;
    struct compression *compression; /* NULL: off */
    struct client_kept *kept;        /* NULL: nothing */
    struct client_room room;         /* for what it sends */
    struct late_pong *late_pong;     /* NULL: none waits */
    uint64_t data_ms;                /* when it last sent a message */
    enum client_stage stage : 8;
    bool close_was_received : 1;
    bool close_was_sent : 1; /* nothing follows it */
    bool was_counted : 1;    /* among the link's clients */
};

/* Before it begins.  False when there is no memory. */
bool client_init(struct net_session *net);

/* A socket was accepted. */
void client_begin(struct net_session *net, const struct arrival *arrival);

/* Everything is given back; the socket is closed if it is still here. */
void client_clear(struct net_session *net);

/* ---- carrying out ------------------------------------------------------------------------- */

/* Answer the handshake with 101. */
void client_do_answer(struct net_session *net);

/* Answer it with something else and end the connection. */
void client_do_refuse(struct net_session *net, unsigned status, const char *why);

/* Send a Close.  When the client's own Close has come, or `last`, end the connection after it. */
void client_do_close(struct net_session *net, const struct close_frame *close, bool last);

/* End TCP, after what waits. */
void client_do_cut(struct net_session *net);

/* ---- the turn ----------------------------------------------------------------------------- */

/* The end of a turn: go on with what was kept, tell core what waits, read or do not. */
void client_flush(struct net_session *net);

/* We stop: whoever is asking right now may finish, but not take long. */
void client_hurry(struct net_session *net);

/* Read what has arrived already, so far as there is room: the daemon is about to stop. */
void client_read_rest(struct net_session *net);

/* When the client itself has a deadline that core does not know. */
uint64_t client_deadline_ms(const struct net_session *net);
void client_timer(struct net_session *net);

/* Its handshake may take its time anew: we were stopped, or the machine slept. */
void client_did_not_run(struct net_session *net);

#endif
