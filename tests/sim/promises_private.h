/* What the two files of promises share. */
#ifndef WSKEEP_SIM_PROMISES_PRIVATE_H
#define WSKEEP_SIM_PROMISES_PRIVATE_H

#include "promises.h"
#include "world.h"

#define LLU(value) ((unsigned long long)(value))

enum { CLOSE_WAIT_MS = 2000 }; /* for the other half of a closing handshake */

/* How long ago, not counting time in which the daemon did not run. */
static inline uint64_t ago(const struct world *world, uint64_t since_ms)
{
    uint64_t from_ms = since_ms > world->ledger.restart_ms ? since_ms : world->ledger.restart_ms;
    uint64_t clock_ms = world_clock_ms(world);
    return clock_ms > from_ms ? clock_ms - from_ms : 0;
}

/* The session told or asked something of the client. */
void promise_client_news(struct world *world, const struct session_actions *actions);

/* The client's state is another one. */
void promise_client_moved(struct world *world);

/* No state of the client lasts for ever. */
void promise_client_states_end(struct world *world);

#endif
