/*
 * ws:// and wss:// URLs.  RFC 6455 section 3, RFC 3986.
 */
#ifndef WSKEEP_PROTO_URL_H
#define WSKEEP_PROTO_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { URL_HOST_BYTES_MAX = 255, URL_TARGET_BYTES_MAX = 2048 };

struct url {
    bool tls;      /* wss */
    uint16_t port; /* 80 or 443 when the URL has none */
    bool port_given;
    bool host_is_ipv6;                     /* came in brackets, stored without */
    char host[URL_HOST_BYTES_MAX + 1];     /* lower case, never empty, no control character */
    char target[URL_TARGET_BYTES_MAX + 1]; /* path and query, "/" at least, no fragment */
};

enum url_result {
    URL_OK,
    URL_ERR_SCHEME,   /* neither ws:// nor wss:// */
    URL_ERR_HOST,     /* empty, too long, or a character that no host has */
    URL_ERR_PORT,     /* not 1 to 65535 */
    URL_ERR_USERINFO, /* user@host: RFC 6455 has none; use headers */
    URL_ERR_TARGET,   /* control character, space, non-ASCII, or too long */
    URL_ERR_FRAGMENT, /* section 3: # must not be used */
    URL_RESULT_COUNT
};

enum url_result url_parse(const char *text, struct url *url);
const char *url_result_text(enum url_result result);

/* Path and query as a request line may have them: "/..." without a fragment. */
bool url_is_target(const char *text);

/*
 * The value of the Host header: host, brackets round IPv6, port unless it is the scheme's own.
 * out has room for URL_HOST_BYTES_MAX + 9.
 */
void url_host_header(const struct url *url, char *out);

/* "host:port", with brackets round IPv6.  out has room for URL_HOST_BYTES_MAX + 9. */
void url_place(const char *host, bool host_is_ipv6, uint16_t port, char *out);

/*
 * `path: append`: base target + a client's target -> the target to ask the upstream for.
 *
 * The client's path is appended to the base path (one slash between), its query to the base
 * query (with '&').  Returns false, and the client gets 400, when the client's target is not
 * origin-form ("/..."; absolute-form and authority-form would name a host), has a "." or ".."
 * segment in plain or percent-encoded form ("%2e", also "..;x", and "%2f" or "%5c" or a backslash
 * anywhere in the path), an empty first segment ("//host"), a fragment, a control character, or
 * does not fit into out (URL_TARGET_BYTES_MAX + 1).
 */
bool url_target_append(const char *base_target, const char *client_target, char *out);

/* Remove ?wskeep-... parameters of our own from target, in place, percent-encoded or not.  True
 * when one was there. */
bool url_target_strip_own(char *target);

#endif
