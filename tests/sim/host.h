/*
 * What net does with a session: the daemon's turns of the loop.  Kernel buffers in, events to the
 * session; the session's actions and messages, out.
 */
#ifndef WSKEEP_SIM_HOST_H
#define WSKEEP_SIM_HOST_H

#include "client.h"
#include "core/session.h"
#include "plan.h"

struct world;
struct conn;

enum host_stage { HOST_NO_ATTEMPT, HOST_RESOLVES, HOST_CONNECTS, HOST_UPGRADES };

struct host {
    enum host_stage stage;
    enum plan_attempt outcome; /* how this attempt goes */
    uint64_t stage_ms;         /* when the stage brings something; PIPE_NEVER */
    uint16_t status;           /* of a refused upgrade */
    const char *subprotocol;   /* that the server chooses */

    struct conn *conn; /* the upstream connection that is the session's */
    bool in_frame;     /* a message is being encoded in pieces */
    struct session_send send;
    uint64_t send_sequence;
    uint64_t send_end;  /* where its frame ends */
    uint64_t encoded;   /* bytes of the stream that may be written */
    uint8_t pongs_owed; /* to the server's own Pings, at the next frame boundary */

    bool kept; /* a client's message for which there was no room */
    struct pipe_frame kept_frame;
    bool client_listens; /* the client's socket is read */
    bool client_ends;    /* TCP towards it ends after what waits */

    uint64_t wake_ms; /* the next turn; PIPE_NEVER until something asks for one */
    uint64_t stopped_until_ms;
    uint64_t ready_ms;     /* since when it has had a reason for a turn */
    uint64_t ran_ms;       /* the last turn, real time */
    bool jumped;           /* the clock did */
    bool retry;            /* others gave memory back, and somebody was refused some */
    bool client_starves;   /* others leave no memory for the rest of its message */
    bool upstream_starves; /* the same */
    bool reloaded;
    uint64_t change_ms; /* the next change of network or secret; PIPE_NEVER */
    bool is_patient;    /* its server uses Retry-After */
    bool has_secret;    /* attempts may fail for it */
    bool shut_down;
    uint64_t progress;      /* bytes that moved so far */
    unsigned turns_at_once; /* in this very millisecond, without any */
};

void host_start(struct world *world);

/* External events that the attempt waits for. */
uint64_t host_attempt_due_ms(const struct world *world);

/* Something asks for a turn now, or PIPE_NEVER, or when (real time). */
uint64_t host_due_ms(struct world *world);

void host_turn(struct world *world);

#endif
