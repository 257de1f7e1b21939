/*
 * A link as it runs: its configuration of now, its listeners, how many clients it has, and what
 * it has learned (subprotocols that the upstream chose).
 */
#ifndef WSKEEP_NET_LINK_H
#define WSKEEP_NET_LINK_H

#include "config/config.h"
#include "net/listener.h"
#include "net/worker.h"

enum { LINK_CHOICE_COUNT_MAX = 64, LINK_QUIET_MS = 10000 };

/* What the upstream chose for an offer of a client: the next client is answered at once. */
struct link_choice {
    char *offer; /* as the client sent it, names joined with ", " */
    char *subprotocol; /* "": none */
};

struct link {
    struct link *next;
    struct worker *worker;
    struct link_config *config; /* held; replaced by a reload */
    struct listener *listeners;
    unsigned client_count;
    unsigned session_count; /* sessions outlive their clients */
    bool removed;           /* freed when the last session has ended */
    bool hinted;            /* the hint about 1000 was given */
    unsigned quiet_normal_count; /* sessions that ended with 1000 after quiet */
    struct link_choice choices[LINK_CHOICE_COUNT_MAX];
    unsigned choice_count;
};

struct link *link_new(struct worker *worker, struct link_config *config);

/* A link whose listeners are closed and that has no session any more. */
void link_free(struct link *link);

/* Open those listeners of config that the link does not have yet.  False with *error filled with
 * one line: then those that were opened here are closed again. */
bool link_open(struct link *link, const struct link_config *config, char *error,
               size_t error_bytes);

/* From now on config holds: listeners that it does not name are closed. */
void link_use(struct link *link, struct link_config *config);

/* No more clients; those that are here are closed and drained, as at SIGTERM. */
void link_shut(struct link *link);

/* What was chosen for that offer before; NULL: nobody has asked yet. */
const char *link_choice(const struct link *link, const char *offer);
void link_remember_choice(struct link *link, const char *offer, const char *subprotocol);

/* Forget one session; the link may be gone afterwards. */
void link_session_ended(struct link *link);

#endif
