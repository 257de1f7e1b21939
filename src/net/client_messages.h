/*
 * What an open client says: frames become messages, and messages go to core, one after the other.
 * One for which core has no room is kept with all that follows it, and offered again.
 */
#ifndef WSKEEP_NET_CLIENT_MESSAGES_H
#define WSKEEP_NET_CLIENT_MESSAGES_H

#include "core/session.h"

struct net_session;

/* Bytes of its stream have come. */
void client_messages_read(struct net_session *net, uint8_t *data, size_t bytes);

/* The end of a turn: go on with what was kept, if there is room. */
void client_messages_resume(struct net_session *net);

/* What was kept is lost with its session, or with its client: core counts it into actions. */
void client_messages_give_up(struct net_session *net, enum cause cause,
                             struct session_actions *actions);

#endif
