/*
 * Who is let in: the peer's user, the Host and Origin of the request, and the token.
 */
#ifndef WSKEEP_NET_CLIENT_ACCESS_H
#define WSKEEP_NET_CLIENT_ACCESS_H

#include "proto/handshake.h"

struct net_session;

/*
 * Returns 101, or the refusal with *why:
 *   400 the token is shown twice, or cannot be read
 *   401 the token is missing or wrong
 *   403 the user, the host or the origin is not allowed
 *
 * shows_token_in_header   out, with 101: Authorization is for us, and never for the upstream
 * shown                   out, with 403: the host or origin that is not allowed, in the head
 */
unsigned client_access_check(const struct net_session *net, const struct http_head *head,
                             const struct handshake_request *asked, bool *shows_token_in_header,
                             const char **why, struct http_text *shown);

#endif
