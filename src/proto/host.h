/*
 * The Host of a request.  RFC 9110 section 7.2, RFC 3986 section 3.2.
 */
#ifndef WSKEEP_PROTO_HOST_H
#define WSKEEP_PROTO_HOST_H

#include "proto/http_head.h"

enum { HOST_IPV6_BYTES = 16 };

struct host {
    struct http_text name; /* as it was written: an IPv6 address with its brackets, no port */
    bool is_ipv6;
    uint8_t ipv6[HOST_IPV6_BYTES];
    bool has_port; /* "localhost:" has none */
    uint16_t port;
};

/*
 * Take HOST[:PORT] apart.  False when it is none, and the request gets 400 (RFC 9112 3.2): empty,
 * a user in front, a character that no name has, a bad percent sign, no IPv6 address in the
 * brackets, a port that is no number to 65535.
 */
bool host_parse(struct http_text text, struct host *host);

/*
 * Is it this name or address?  Case is ignored, and IPv6 addresses are compared by value; a name
 * with a dot at its end is another one.  name: an IPv6 address with or without brackets.
 */
bool host_is(const struct host *host, const char *name);

#endif
