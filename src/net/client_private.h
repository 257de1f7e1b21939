/* What the files of the client share: how it ends. */
#ifndef WSKEEP_NET_CLIENT_PRIVATE_H
#define WSKEEP_NET_CLIENT_PRIVATE_H

#include "core/cause.h"
#include "net/client.h"

/* It gives its place among the link's clients to another. */
void client_release_place(struct net_session *net);

/* The connection is over for us; core learns why. */
void client_lose(struct net_session *net, enum cause cause);

/* The same, with RST. */
void client_reset(struct net_session *net, enum cause cause);

/* The same, with a Close. */
void client_break_off(struct net_session *net, const struct close_frame *close, enum cause cause);

#endif
