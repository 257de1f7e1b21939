/*
 * Names -> addresses, by the system's getaddrinfo() in the threads of the pool.
 *
 * One lookup for a name is in flight: who asks for it meanwhile joins, and gets the same answer.
 * So a name that hangs holds one thread, however often it is asked for.
 */
#ifndef WSKEEP_NET_RESOLVER_H
#define WSKEEP_NET_RESOLVER_H

#include <stdint.h>

#include "net/addresses.h"

struct pool;
struct resolver;
struct resolver_request;

/*
 * The answer, on the worker's thread.  error: 0, or what getaddrinfo() returned.  addresses: NULL
 * with an error; whoever keeps them longer than the call holds them.
 */
typedef void resolver_answer(void *argument, int error, struct addresses *addresses);

struct resolver *resolver_new(struct pool *pool); /* NULL: no memory */
void resolver_free(struct resolver *resolver);    /* after pool_free(); nobody asks any more */

/*
 * Ask.  NULL when it cannot be asked: queue full, no memory, no thread.  Otherwise answer is
 * called once, later, unless the request is cancelled before.  owner: whose lookup it is, see
 * pool.h.
 */
struct resolver_request *resolver_ask(struct resolver *resolver, const void *owner,
                                      const char *host, uint16_t port, resolver_answer *answer,
                                      void *argument);

/* Its answer is not wanted any more. */
void resolver_cancel(struct resolver_request *request);

/* An address in numbers needs no lookup and does not block.  Returns as getaddrinfo() does:
 * EAI_NONAME when host is a name. */
int resolver_numeric(const char *host, uint16_t port, struct addresses **addresses);

#endif
