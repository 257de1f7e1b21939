/*
 * The way through a proxy: it is asked, and its answer is read to the last byte and no further.
 * What comes after that stays in the socket, and is the tunnel's.
 */
#ifndef WSKEEP_NET_TUNNEL_H
#define WSKEEP_NET_TUNNEL_H

#include "core/cause.h"
#include "net/head.h"
#include "proto/socks5.h"

struct net_session;

struct tunnel {
    struct head head;     /* PROXY_HTTP: of the answer */
    struct socks5 socks5; /* PROXY_SOCKS5 */
};

enum tunnel_result { TUNNEL_NEED_MORE, TUNNEL_OPEN, TUNNEL_FAILED };

struct tunnel_outcome { /* TUNNEL_FAILED */
    enum cause cause;
    unsigned http_status; /* of the proxy's answer; 0: none */
    const char *why;      /* what the proxy refused, static; NULL: the connection ended */
};

/* Connected to the proxy: ask for the url of the attempt.  False when there is no memory. */
bool tunnel_begin(struct net_session *net);
void tunnel_free(struct tunnel *tunnel); /* NULL is allowed */

/* The proxy's socket is readable. */
enum tunnel_result tunnel_read(struct net_session *net, struct tunnel_outcome *outcome);

#endif
