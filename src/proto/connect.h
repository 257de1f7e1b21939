/*
 * Asking an HTTP proxy for a tunnel: CONNECT.  RFC 9110 section 9.3.6, RFC 7617.
 */
#ifndef WSKEEP_PROTO_CONNECT_H
#define WSKEEP_PROTO_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/proxy.h"
#include "proto/url.h"

enum { CONNECT_REQUEST_BYTES_MAX = 2048 };

/* The request's head for the way to url, terminated, into CONNECT_REQUEST_BYTES_MAX.  Returns its
 * bytes.  It holds the credentials: never to be logged. */
size_t connect_build(const struct proxy *proxy, const struct url *url, char *out);

enum connect_result {
    CONNECT_OPEN,     /* 2xx: what follows the head is the tunnel's, whatever the head says of a
                         body */
    CONNECT_REFUSED,  /* any other status, 1xx too */
    CONNECT_MALFORMED /* no HTTP/1 head */
};

/* The whole head of the answer.  *status: 0 when it is malformed. */
enum connect_result connect_check(const uint8_t *data, size_t head_bytes, unsigned *status);

#endif
