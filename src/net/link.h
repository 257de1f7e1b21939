/*
 * A link at run time: its configuration of today, its listeners, its sessions.
 */
#ifndef WSKEEP_NET_LINK_H
#define WSKEEP_NET_LINK_H

#include "config/config.h"
#include "net/listener.h"
#include "net/worker.h"

enum { LINK_CHOICE_COUNT_MAX = 64 };

/* What the upstream chose from an offer of subprotocols. */
struct link_choice {
    char *offer; /* names, each terminated */
    size_t offer_bytes;
    char *chosen; /* "": none */
};

struct link {
    struct worker *worker;
    struct link_config *config; /* held; a reload replaces it */
    struct listener_list listeners;
    struct net_session_list sessions;
    uint32_t client_count;
    uint32_t session_count;    /* of those that have begun: clients, and what is still delivered for
                                  clients that left */
    uint32_t idle_close_count; /* sessions that the upstream ended with 1000 after quiet */
    struct link_choice choices[LINK_CHOICE_COUNT_MAX];
    unsigned choice_count;
    unsigned choice_next; /* the oldest, replaced when the table is full */
    bool is_removed;      /* it accepts nobody, and goes when its last session has gone */
    TAILQ_ENTRY(link) entry;
};

TAILQ_HEAD(link_list, link);

/* Without listeners yet.  NULL when there is no memory. */
struct link *link_new(struct worker *worker, struct link_config *config);

/* It has no session any more. */
void link_free(struct link *link);

/* A reload: new clients and next attempts use it. */
void link_set_config(struct link *link, struct link_config *config);

/* What the upstream chose the last time from this offer, or NULL. */
const char *link_choice(const struct link *link, const char *offer, size_t offer_bytes);
void link_remember_choice(struct link *link, const char *offer, size_t offer_bytes,
                          const char *chosen);

/* The upstream ended a session with 1000 after a quiet time: once again, it is worth a word. */
void link_saw_idle_close(struct link *link);

/* Accept nobody any more. */
void link_close_listeners(struct link *link);

/* As at SIGTERM: read what clients sent already, close them, drain. */
void link_shutdown(struct link *link);

#endif
