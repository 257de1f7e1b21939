/* What the five files of the host share. */
#ifndef WSKEEP_SIM_HOST_PRIVATE_H
#define WSKEEP_SIM_HOST_PRIVATE_H

#include "host.h"

/* After each call of the session that may have asked for something: check it, carry it out. */
void host_fed(struct world *world, const struct session_actions *actions);

/* The session lives, and has a connection. */
bool host_is_open(const struct world *world);

struct pipe_frame *host_put_close(struct pipe *pipe, const struct close_frame *close, bool masked);

/* ---- host_attempt.c */

void host_begin_attempt(struct world *world);

/* An attempt failed, or the connection ended without Close. */
void host_lost(struct world *world, enum cause cause, uint16_t status);

/* The stage of the attempt brings its result, if it is due. */
void host_attempt(struct world *world);

/* Events that belong to an attempt which was given up. */
void host_stray(struct world *world);

/* ---- host_wake.c: changes of networks and secrets, and Retry-After */

void host_wake_open(struct world *world);
void host_wake_attempt(struct world *world);
void host_wake_refused(struct world *world);
void host_wake_turn(struct world *world);

/* ---- host_upstream.c */

void host_drop(struct world *world, const struct session_actions *actions);
void host_read_upstream(struct world *world);
void host_write_upstream(struct world *world);
bool host_wants_to_write(struct world *world);

/* ---- host_client.c */

void host_tell_inbox(struct world *world);
void host_flush_client(struct world *world);
void host_deliver(struct world *world, const struct pipe_frame *frame);
void host_do_client(struct world *world, const struct session_actions *actions);
bool host_hears_client(const struct world *world);
void host_read_client(struct world *world);

#endif
