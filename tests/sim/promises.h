/*
 * Promises about time and about decisions: what may end a connection and when it must, how long
 * each state may last, when the next attempt begins, what the client is told.
 */
#ifndef WSKEEP_SIM_PROMISES_H
#define WSKEEP_SIM_PROMISES_H

#include "core/session.h"

struct world;

/* After each call: the move, the client's news, and what is due from now on. */
void promises_after(struct world *world, const struct session_actions *actions);

/* Who is read has changed, perhaps. */
void promises_pauses(struct world *world);

/* At the end of each turn: nothing has lasted longer than it may. */
void promises_turn(struct world *world);

#endif
