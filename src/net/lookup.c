/* The addresses of one host, for one attempt. */
#include "net/lookup.h"

#include <netdb.h>

#include "net/last_good.h"
#include "net/resolver.h"
#include "net/worker.h"

static void stop_waiting(struct lookup *lookup)
{
    if (lookup->request)
        resolver_cancel(lookup->request);
    lookup->request = NULL;
    if (lookup->worker)
        timers_remove(&lookup->worker->timers, &lookup->patience);
    lookup->patience = (struct timer){0};
}

/* The resolver has nothing to say. */
static enum lookup_result fall_back(struct lookup *lookup, enum cause cause, const char *why)
{
    lookup->cause = cause;
    lookup->why = why;
    lookup->is_last_good =
        last_good_find(lookup->good, lookup->host, lookup->port, &lookup->addresses, NULL);
    return lookup->is_last_good ? LOOKUP_FOUND : LOOKUP_FAILED;
}

static void answered(void *argument, int error, struct addresses *addresses)
{
    struct lookup *lookup = argument;
    lookup->request = NULL;
    stop_waiting(lookup);
    if (error)
        fall_back(lookup, error == EAI_MEMORY ? CAUSE_NO_RESOURCES : CAUSE_DNS_FAILED,
                  gai_strerror(error));
    else
        lookup->addresses = addresses_hold(addresses);
    lookup->done(lookup->argument);
}

static void on_patience(struct timer *timer)
{
    struct lookup *lookup = container_of(timer, struct lookup, patience);
    stop_waiting(lookup);
    fall_back(lookup, CAUSE_DNS_TIMEOUT, "no answer in time");
    lookup->done(lookup->argument);
}

enum lookup_result lookup_begin(struct lookup *lookup, struct worker *worker, const void *owner,
                                struct last_good *good, const char *host, uint16_t port,
                                uint64_t patience_ms, void (*done)(void *argument), void *argument)
{
    *lookup = (struct lookup){.worker = worker,
                              .good = good,
                              .host = host,
                              .port = port,
                              .done = done,
                              .argument = argument};
    int error = resolver_numeric(host, port, &lookup->addresses);
    if (error == 0)
        return LOOKUP_FOUND;
    if (error == EAI_NONAME)
        lookup->request = resolver_ask(worker->resolver, owner, host, port, answered, lookup);
    if (!lookup->request)
        return fall_back(lookup, CAUSE_NO_RESOURCES, "too many names are being looked up");
    if (last_good_find(good, host, port, NULL, NULL) &&
        timers_add(&worker->timers, &lookup->patience, on_patience))
        timers_set(&worker->timers, &lookup->patience,
                   timers_after(worker_now(worker), patience_ms));
    return LOOKUP_ASKED;
}

void lookup_clear(struct lookup *lookup)
{
    stop_waiting(lookup);
    addresses_release(lookup->addresses);
    lookup->addresses = NULL;
}
