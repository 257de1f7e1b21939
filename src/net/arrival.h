/*
 * A client that was accepted, on its way to the worker that will serve it: its socket, and what
 * was true for its listener just then, whatever a reload changes meanwhile.
 */
#ifndef WSKEEP_NET_ARRIVAL_H
#define WSKEEP_NET_ARRIVAL_H

#include <stdbool.h>
#include <sys/queue.h>

struct config_listen;
struct link;
struct link_config;
struct tls_context;
struct worker;

struct arrival {
    int fd;
    struct link *link;                  /* held */
    struct link_config *config;         /* held: the link's newest */
    const struct config_listen *listen; /* of config */
    struct tls_context *tls;            /* held; NULL unless listen is with TLS */
    STAILQ_ENTRY(arrival) entry;
};

STAILQ_HEAD(arrival_queue, arrival);

/* On the listeners' thread.  Takes fd. */
void arrival_init(struct arrival *arrival, struct link *link, const struct config_listen *listen,
                  int fd);

/* What it holds is given back; the socket is closed if it is still here (fd >= 0). */
void arrival_clear(struct arrival *arrival);

/*
 * There is nothing for it, and it hears so at once: with 503, or, where TLS would have to come
 * first, by the end.  What it has sent already is read, so that no RST takes the answer away.
 * Needs no memory.  It is cleared.
 */
void arrival_turn_away(struct arrival *arrival, struct worker *worker, const char *why);

#endif
