/* getaddrinfo() in the threads of the pool. */
#include "net/resolver.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "net/pool.h"
#include "net/worker.h"

LIST_HEAD(request_list, resolver_request);
LIST_HEAD(lookup_list, lookup_job);

/* One name being looked up.  What a thread touches is only what look_up() names. */
struct lookup_job {
    struct pool_job job;
    char *host;
    char port[8];
    int error;
    struct addresses *addresses;
    struct resolver *resolver;
    struct request_list requests; /* all cancelled: nobody waits for it */
    LIST_ENTRY(lookup_job) entry;
};

struct resolver_request {
    struct lookup_job *lookup;
    resolver_answer *answer;
    void *argument;
    LIST_ENTRY(resolver_request) entry;
};

struct resolver {
    struct pool *pool;
    struct lookup_list lookups; /* in flight */
};

static void lookup_free(struct lookup_job *lookup)
{
    addresses_release(lookup->addresses);
    free(lookup->host);
    free(lookup);
}

/* The pool is no more; so is the resolver, and nobody waits. */
static void drop(struct pool_job *job)
{
    lookup_free(container_of(job, struct lookup_job, job));
}

/* Copied at once: what getaddrinfo() gave stays in its thread. */
static int ask_system(const char *host, const char *port, int flags, struct addresses **addresses)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *list = NULL;
    *addresses = NULL;
    int error = getaddrinfo(host, port, &hints, &list);
    if (error)
        return error;
    *addresses = addresses_new(list, &error);
    freeaddrinfo(list);
    return error;
}

static void look_up(struct pool_job *job)
{
    struct lookup_job *lookup = container_of(job, struct lookup_job, job);
    lookup->error = ask_system(lookup->host, lookup->port, AI_ADDRCONFIG, &lookup->addresses);
}

static void looked_up(struct pool_job *job)
{
    struct lookup_job *lookup = container_of(job, struct lookup_job, job);
    LIST_REMOVE(lookup, entry); /* who asks from now on wants a fresh answer */
    while (!LIST_EMPTY(&lookup->requests)) {
        struct resolver_request *request = LIST_FIRST(&lookup->requests);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the one before it has left the list */
        resolver_answer *answer = request->answer;
        void *argument = request->argument;
        LIST_REMOVE(request, entry);
        free(request);
        answer(argument, lookup->error, lookup->addresses);
    }
    lookup_free(lookup);
}

struct resolver *resolver_new(struct pool *pool)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (!resolver)
        return NULL;
    resolver->pool = pool;
    LIST_INIT(&resolver->lookups);
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    free(resolver); /* lookups in flight belong to the pool's threads */
}

static struct lookup_job *lookup_find(struct resolver *resolver, const char *host, const char *port)
{
    struct lookup_job *lookup;
    LIST_FOREACH(lookup, &resolver->lookups, entry)
    if (strcmp(lookup->host, host) == 0 && strcmp(lookup->port, port) == 0)
        return lookup;
    return NULL;
}

static struct lookup_job *lookup_begin(struct resolver *resolver, const void *owner,
                                       const char *host, const char *port)
{
    struct lookup_job *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return NULL;
    lookup->job =
        (struct pool_job){.run = look_up, .done = looked_up, .drop = drop, .owner = owner};
    lookup->resolver = resolver;
    snprintf(lookup->port, sizeof(lookup->port), "%s", port);
    LIST_INIT(&lookup->requests);
    lookup->host = strdup(host);
    if (!lookup->host || !pool_add(resolver->pool, &lookup->job)) {
        lookup_free(lookup);
        return NULL;
    }
    LIST_INSERT_HEAD(&resolver->lookups, lookup, entry);
    return lookup;
}

struct resolver_request *resolver_ask(struct resolver *resolver, const void *owner,
                                      const char *host, uint16_t port, resolver_answer *answer,
                                      void *argument)
{
    char text[8];
    struct resolver_request *request = calloc(1, sizeof(*request));
    if (!request)
        return NULL;
    snprintf(text, sizeof(text), "%u", (unsigned)port);
    struct lookup_job *lookup = lookup_find(resolver, host, text);
    if (!lookup)
        lookup = lookup_begin(resolver, owner, host, text);
    else if (lookup->job.owner != owner)
        pool_disown(resolver->pool, &lookup->job);
    if (!lookup) {
        free(request);
        return NULL;
    }
    *request = (struct resolver_request){.lookup = lookup, .answer = answer, .argument = argument};
    LIST_INSERT_HEAD(&lookup->requests, request, entry);
    return request;
}

void resolver_cancel(struct resolver_request *request)
{
    struct lookup_job *lookup = request->lookup;
    LIST_REMOVE(request, entry);
    free(request);
    if (!LIST_EMPTY(&lookup->requests) || !pool_take_back(lookup->resolver->pool, &lookup->job))
        return; /* others wait for it, or a thread has begun: its answer comes, and is dropped */
    LIST_REMOVE(lookup, entry);
    lookup_free(lookup);
}

int resolver_numeric(const char *host, uint16_t port, struct addresses **addresses)
{
    char text[8];
    snprintf(text, sizeof(text), "%u", (unsigned)port);
    return ask_system(host, text, AI_NUMERICHOST, addresses);
}
