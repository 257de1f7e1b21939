/*
 * An attempt of the upstream: from the choice of a url, over the files with secrets, the name, the
 * race, the proxy and TLS, to the server's answer to the handshake.
 *
 * It ends with an open connection, with upstream_lose(), or when core drops it.
 */
#ifndef WSKEEP_NET_UPSTREAM_ATTEMPT_H
#define WSKEEP_NET_UPSTREAM_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_session;

void upstream_attempt_begin(struct net_session *net);

/* The files were not read in time.  Before core's own: it would call it a look-up that took too
 * long. */
void upstream_attempt_timer(struct net_session *net);

/* The proxy said something: for UPSTREAM_TUNNELLING, which reads for itself. */
void upstream_attempt_tunnel(struct net_session *net);

/* Something came, and was perhaps TLS's: is the server who it should be?  True: it is, and was
 * asked; what came with it can be read. */
bool upstream_attempt_secure(struct net_session *net);

/* What the server answers, and what came behind it. */
void upstream_attempt_received(struct net_session *net, uint8_t *data, size_t bytes);

#endif
