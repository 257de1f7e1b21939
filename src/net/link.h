/*
 * A link at run time: its configuration of today, its listeners, and what its sessions share.
 *
 * Listeners, and all that a reload does, are of the main thread.  Sessions are on all workers: what
 * they use of it is under the mutex, which handshakes and attempts take, and messages never do.
 */
#ifndef WSKEEP_NET_LINK_H
#define WSKEEP_NET_LINK_H

#include <pthread.h>
#include <stdatomic.h>

#include "config/config.h"
#include "net/last_good.h"
#include "net/listener.h"
#include "net/tls.h"
#include "net/worker.h"

enum { LINK_CHOICE_COUNT_MAX = 64 };

/* What the upstream chose from an offer of subprotocols. */
struct link_choice {
    char *offer; /* names, each terminated */
    size_t offer_bytes;
    char *chosen; /* "": none */
};

/* Counted references: the daemon's, and one of each session and of each client on its way. */
struct link {
    atomic_uint reference_count;
    atomic_bool is_removed; /* it accepts nobody, and goes when its last session has gone */
    struct last_good last_good;

    /* Of the main thread. */
    struct worker *worker;
    struct tls_pair next_tls; /* while a reload is prepared */
    struct listener_list listeners;
    TAILQ_ENTRY(link) entry;

    /* Only the main thread writes these, under the mutex, and so reads them without it. */
    struct link_config *config; /* held; a reload replaces it */
    struct tls_pair tls;        /* and these with it */

    pthread_mutex_t mutex; /* of all that follows */
    uint32_t client_count;
    uint32_t session_count;    /* of those that have begun: clients, and what is still delivered for
                                  clients that left */
    uint32_t idle_close_count; /* sessions that the upstream ended with 1000 after quiet */
    struct link_choice choices[LINK_CHOICE_COUNT_MAX];
    unsigned choice_count;
    unsigned choice_next; /* the oldest, replaced when the table is full */
};

TAILQ_HEAD(link_list, link);

/* ---- for the main thread ------------------------------------------------------------------- */

/* Without listeners yet.  NULL when there is no memory. */
struct link *link_new(struct worker *worker, struct link_config *config);

/* A reload: new clients and next attempts use config, and what tls_pair_load() has put into
 * next_tls. */
void link_set_config(struct link *link, struct link_config *config);

/* Accept nobody any more. */
void link_close_listeners(struct link *link);

/* ---- for any thread ------------------------------------------------------------------------ */

struct link *link_hold(struct link *link);
/* The last one frees it; the daemon has closed its listeners then. */
void link_release(struct link *link);

/*
 * What an attempt of now uses.
 *
 * config    out, held
 * upstream  out, held, or NULL: the TLS that belongs to config
 */
void link_hold_newest(struct link *link, struct link_config **config,
                      struct tls_context **upstream);

/* Why max_clients allows no further one; NULL: it does. */
const char *link_is_full(struct link *link, uint32_t client_count_max);

/* A place for one more client, and for its session: NULL, or why there is none. */
const char *link_take_place(struct link *link, uint32_t client_count_max);
void link_client_left(struct link *link);
void link_session_ended(struct link *link);

/* What the upstream chose the last time from this offer, as it stands there, "" for none; NULL:
 * that is not known. */
const char *link_choice(struct link *link, const char *offer, size_t offer_bytes);

/* Unless config is not the newest any more. */
void link_remember_choice(struct link *link, const struct link_config *config, const char *offer,
                          size_t offer_bytes, const char *chosen);

/* The upstream ended a session with 1000 after a quiet time.  Returns how often so far. */
uint32_t link_saw_idle_close(struct link *link);

#endif
