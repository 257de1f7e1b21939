/* Where a proxy is, and what it is shown. */
#include "proto/proxy.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *proxy_result_text(enum proxy_result result)
{
    static const char *const texts[PROXY_RESULT_COUNT] = {
        [PROXY_OK] = "ok",
        [PROXY_ERR_SCHEME] = "no http:// or socks5:// at its front",
        [PROXY_ERR_HOST] = "no host that can be",
        [PROXY_ERR_PORT] = "no port from 1 to 65535",
        [PROXY_ERR_CREDENTIAL] = "no USER:PASSWORD that can be in front of the host",
        [PROXY_ERR_TARGET] = "something behind the port",
    };
    return texts[result];
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)((found - digits) % 16) : -1;
}

static bool decode(const char *text, size_t bytes, char out[PROXY_CREDENTIAL_BYTES_MAX + 1])
{
    size_t used = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < bytes ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (unsigned char)(high * 16 + low);
            i += 2;
        }
        if (c < ' ' || c == 0x7f || used == PROXY_CREDENTIAL_BYTES_MAX)
            return false; /* RFC 7617 section 2 has no control characters */
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return used > 0;
}

static bool parse_credentials(const char *text, size_t bytes, struct proxy *proxy)
{
    const char *colon = memchr(text, ':', bytes);
    if (!colon)
        return false;
    size_t user_bytes = (size_t)(colon - text);
    if (!decode(text, user_bytes, proxy->user) ||
        !decode(colon + 1, bytes - user_bytes - 1, proxy->password))
        return false;
    proxy->has_credentials = true;
    /* RFC 7617 section 2: the first colon ends the user. */
    return proxy->kind != PROXY_HTTP || !strchr(proxy->user, ':');
}

/* A host and a port are what they are in a URL. */
static enum proxy_result parse_place(const char *text, struct proxy *proxy)
{
    char copy[sizeof("ws://[]:65535") + URL_HOST_BYTES_MAX];
    struct url url;
    if (strchr(text, '?') || strchr(text, '#'))
        return PROXY_ERR_TARGET;
    int bytes = snprintf(copy, sizeof(copy), "ws://%s", text);
    if (bytes < 0 || (size_t)bytes >= sizeof(copy))
        return PROXY_ERR_HOST;
    switch (url_parse(copy, &url)) {
    case URL_OK:
        break;
    case URL_ERR_PORT:
        return PROXY_ERR_PORT;
    case URL_ERR_TARGET:
    case URL_ERR_FRAGMENT:
        return PROXY_ERR_TARGET;
    default:
        return PROXY_ERR_HOST;
    }
    if (strcmp(url.target, "/") != 0)
        return PROXY_ERR_TARGET;
    if (!url.port_given)
        return PROXY_ERR_PORT;
    memcpy(proxy->host, url.host, sizeof(proxy->host));
    proxy->host_is_ipv6 = url.host_is_ipv6;
    proxy->port = url.port;
    return PROXY_OK;
}

enum proxy_result proxy_parse(const char *text, struct proxy *proxy)
{
    *proxy = (struct proxy){.kind = PROXY_NONE};
    if (*text == '\0')
        return PROXY_OK;
    if (strncasecmp(text, "http://", 7) == 0) {
        proxy->kind = PROXY_HTTP;
        text += 7;
    } else if (strncasecmp(text, "socks5://", 9) == 0) {
        proxy->kind = PROXY_SOCKS5;
        text += 9;
    } else {
        return PROXY_ERR_SCHEME;
    }
    const char *at = NULL;
    for (const char *c = text; *c; c++)
        if (*c == '@')
            at = c; /* the last one: a password may have been written without encoding its @ */
    if (at && !parse_credentials(text, (size_t)(at - text), proxy))
        return PROXY_ERR_CREDENTIAL;
    return parse_place(at ? at + 1 : text, proxy);
}
