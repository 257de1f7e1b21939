/*
 * Happy Eyeballs (RFC 8305): a connection to whichever of several addresses answers first.
 *
 * The next address is tried when the last one has failed, or has said nothing for RACE_STAGGER_MS;
 * the first that connects wins, and the others are closed.
 */
#ifndef WSKEEP_NET_RACE_H
#define WSKEEP_NET_RACE_H

#include <stdbool.h>

#include "net/addresses.h"
#include "net/readiness.h"
#include "net/timers.h"

struct race;
struct worker;

enum {
    RACE_STAGGER_MS = 250,    /* RFC 8305 section 5 */
    RACE_RUNNER_COUNT_MAX = 8 /* in flight; the oldest, which had 2 s, makes room for one more */
};

/* A connection being made. */
struct runner {
    struct watched watched; /* fd -1: none */
    struct race *race;
    size_t index; /* of its address */
    size_t turn;  /* it was the so manieth to be tried */
};

struct race {
    struct worker *worker;
    struct addresses *addresses; /* held */
    size_t first; /* the address that is tried before all others; their count: none */
    size_t tried_count;
    struct runner runners[RACE_RUNNER_COUNT_MAX];
    struct timer stagger;
    int error; /* the most telling of those that failed */
    void (*done)(void *argument, int fd, size_t index);
    void *argument;
};

/*
 * Begin.  addresses are held meanwhile; first: the address that worked last, or NULL.  Returns
 * false when every address has failed already: race->error says why.  Otherwise done is called
 * once, later: with the socket, which is the callee's then, and the index of its address, or with
 * -1.  done may clear the race.
 */
bool race_begin(struct race *race, struct worker *worker, struct addresses *addresses,
                const struct address *first, void (*done)(void *argument, int fd, size_t index),
                void *argument);

/* Close whatever is in flight.  All zero is allowed. */
void race_clear(struct race *race);

#endif
