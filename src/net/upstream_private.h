/* What upstream.c and upstream_attempt.c share: how a connection comes, goes on and ends. */
#ifndef WSKEEP_NET_UPSTREAM_PRIVATE_H
#define WSKEEP_NET_UPSTREAM_PRIVATE_H

#include "core/cause.h"
#include "net/upstream.h"

/* This socket is the connection, to the server or to its proxy. */
void upstream_take_socket(struct net_session *net, int fd);

/* The connection is open, and these bytes of its stream have come. */
void upstream_feed(struct net_session *net, uint8_t *data, size_t bytes);

/* The attempt or connection is over.  Core does not know it yet: upstream_report_lost(). */
void upstream_end(struct net_session *net, bool reset);
void upstream_report_lost(struct net_session *net, enum cause cause, unsigned http_status);

/* Both, with FIN. */
void upstream_lose(struct net_session *net, enum cause cause);

#endif
