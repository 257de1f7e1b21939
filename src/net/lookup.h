/*
 * The addresses of one host, for one attempt: given in numbers, found by the resolver, or those
 * that worked last when the resolver has nothing to say in time.
 */
#ifndef WSKEEP_NET_LOOKUP_H
#define WSKEEP_NET_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/cause.h"
#include "net/addresses.h"
#include "net/timers.h"

struct last_good;
struct resolver_request;
struct worker;

struct lookup {
    struct worker *worker;
    struct last_good *good;
    const char *host; /* the caller's, until lookup_clear() */
    uint16_t port;
    struct resolver_request *request; /* while the resolver is asked */
    struct timer patience;            /* set when there are addresses that worked */
    struct addresses *addresses;      /* held; LOOKUP_FOUND */
    bool is_last_good;                /* they are those that worked last, because of why */
    enum cause cause;                 /* LOOKUP_FAILED */
    const char *why;                  /* "Name or service not known"; static */
    void (*done)(void *argument);
    void *argument;
};

enum lookup_result { LOOKUP_FOUND, LOOKUP_FAILED, LOOKUP_ASKED };

/*
 * Begin.  LOOKUP_ASKED: done is called once, later; there are addresses then, or cause and why say
 * why not.  done may clear the lookup.  owner: see pool.h.  patience_ms: addresses that worked are
 * tried when there is no answer for so long; without them the caller's own deadline decides.
 */
enum lookup_result lookup_begin(struct lookup *lookup, struct worker *worker, const void *owner,
                                struct last_good *good, const char *host, uint16_t port,
                                uint64_t patience_ms, void (*done)(void *argument), void *argument);

/* Whatever it waits for is not wanted any more.  All zero is allowed. */
void lookup_clear(struct lookup *lookup);

#endif
