/*
 * Where a proxy is, and what it is shown: http://[USER:PASSWORD@]HOST:PORT, or socks5://...
 *
 * User and password are percent-encoded (RFC 3986 section 3.2.1) and kept decoded.
 */
#ifndef WSKEEP_PROTO_PROXY_H
#define WSKEEP_PROTO_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/url.h"

enum { PROXY_CREDENTIAL_BYTES_MAX = 255 }; /* each: RFC 1929 section 2 has one byte for it */

enum proxy_kind {
    PROXY_NONE,
    PROXY_HTTP,  /* CONNECT, RFC 9110 section 9.3.6 */
    PROXY_SOCKS5 /* RFC 1928 */
};

struct proxy {
    enum proxy_kind kind;
    char host[URL_HOST_BYTES_MAX + 1]; /* as in struct url */
    bool host_is_ipv6;
    uint16_t port;
    bool has_credentials;
    char user[PROXY_CREDENTIAL_BYTES_MAX + 1]; /* neither is empty, when there are any */
    char password[PROXY_CREDENTIAL_BYTES_MAX + 1];
};

enum proxy_result {
    PROXY_OK,
    PROXY_ERR_SCHEME,     /* neither http:// nor socks5:// */
    PROXY_ERR_HOST,       /* empty, too long, or a character that no host has */
    PROXY_ERR_PORT,       /* missing, or not 1 to 65535 */
    PROXY_ERR_CREDENTIAL, /* not USER:PASSWORD, one empty or too long, a control character, or a
                             percent sign without two digits; for HTTP a colon in the user */
    PROXY_ERR_TARGET,     /* something behind the port */
    PROXY_RESULT_COUNT
};

/* "" is PROXY_NONE. */
enum proxy_result proxy_parse(const char *text, struct proxy *proxy);

/* What is wrong, without a word of what was written: "no port from 1 to 65535". */
const char *proxy_result_text(enum proxy_result result);

#endif
