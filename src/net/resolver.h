/*
 * Names -> addresses, by the system's getaddrinfo() in a thread of its own: nothing on a worker's
 * thread may block.
 */
#ifndef WSKEEP_NET_RESOLVER_H
#define WSKEEP_NET_RESOLVER_H

#include <event2/event.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

enum { RESOLVER_QUEUE_COUNT_MAX = 1024 };

struct resolver;
struct resolver_request;

/*
 * The answer, on the worker's thread.  error: 0, or what getaddrinfo() returned; addresses are
 * the callee's then, for freeaddrinfo().
 */
typedef void resolver_answer(void *argument, int error, struct addrinfo *addresses);

/* NULL when there are no descriptors or memory.  The thread begins with the first question. */
struct resolver *resolver_new(struct event_base *base);

/* Ends the thread; one that hangs in a lookup ends by itself, and touches nothing of ours. */
void resolver_free(struct resolver *resolver);

/*
 * Ask.  NULL when it cannot be asked: queue full, no memory, no thread.  Otherwise answer is
 * called once, later, unless the request is cancelled before.
 */
struct resolver_request *resolver_ask(struct resolver *resolver, const char *host, uint16_t port,
                                      resolver_answer *answer, void *argument);

/* Its answer is not wanted any more; the request belongs to the resolver alone. */
void resolver_cancel(struct resolver_request *request);

/* An address in numbers needs no lookup and does not block.  Returns as getaddrinfo() does:
 * EAI_NONAME when host is a name. */
int resolver_numeric(const char *host, uint16_t port, struct addrinfo **addresses);

#endif
