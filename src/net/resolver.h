/*
 * Names are looked up with the system's getaddrinfo in a thread of their own: it may block for
 * as long as it likes.  An answer that nobody waits for any more is dropped.
 */
#ifndef WSKEEP_NET_RESOLVER_H
#define WSKEEP_NET_RESOLVER_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/worker.h"

struct resolver;
struct resolve; /* one look-up under way */

/* error: 0 or EAI_...; addresses are the callee's, to be freed with freeaddrinfo(). */
typedef void resolve_done(void *context, int error, struct addrinfo *addresses);

enum { RESOLVER_QUEUE_MAX = 1024 };

/* NULL when a thread or descriptor cannot be had; errno says why. */
struct resolver *resolver_new(struct worker *worker);

/* A look-up that blocks now is left behind with its thread. */
void resolver_free(struct resolver *resolver);

/* Look host up.  NULL when the queue is full or memory has run out. */
struct resolve *resolver_start(struct resolver *resolver, const char *host, uint16_t port,
                               resolve_done *done, void *context);

/* The answer is not wanted any more; done will not be called. */
void resolver_cancel(struct resolver *resolver, struct resolve *resolve);

/* An address in figures needs no thread.  NULL: it is a name. */
struct addrinfo *resolver_numeric(const char *host, uint16_t port);

#endif
