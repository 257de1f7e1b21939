/*
 * A client's handshake: its checks, and what it asks for.
 */
#ifndef WSKEEP_NET_CLIENT_HANDSHAKE_H
#define WSKEEP_NET_CLIENT_HANDSHAKE_H

#include "net/client.h"

/*
 * Check the head of a request.  Returns 101 with *request (for client_request_free()), and what its
 * answer needs in net->client.asking; or the status to refuse it with, and *why in a few words;
 * *shown: what in data it is about, if anything.
 */
unsigned client_handshake_check(struct net_session *net, const uint8_t *data, size_t head_bytes,
                                const struct client_request **request, const char **why,
                                struct http_text *shown);

/* NULL is allowed. */
void client_request_free(const struct client_request *request);

/* The status for a head that is none. */
unsigned client_handshake_status(enum http_head_result result);

#endif
