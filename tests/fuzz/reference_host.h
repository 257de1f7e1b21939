/* Host, read slowly and simply: addresses by inet_pton(), names by the letters they may have. */
#ifndef WSKEEP_FUZZ_REFERENCE_HOST_H
#define WSKEEP_FUZZ_REFERENCE_HOST_H

#include <arpa/inet.h>
#include <strings.h>

#include "fuzz.h"
#include "proto/host.h"

/* The parts of HOST[:PORT] as strings; host without brackets. */
struct reference_host {
    char *host;
    bool is_ipv6;
    uint8_t ipv6[16];
    bool has_port;
    unsigned port;
};

/* RFC 3986 3.2.2: reg-name, which an IPv4 address is as well. */
static inline bool reference_is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._~!$&'()*+,;=";
    static const char digits[] = "0123456789abcdefABCDEF";
    bool is_empty = *text == '\0';
    while (*text) {
        text += strspn(text, letters);
        if (*text == '%' && strspn(text + 1, digits) >= 2)
            text += 3;
        else if (*text)
            return false;
    }
    return !is_empty;
}

static inline void reference_host_clear(struct reference_host *host)
{
    free(host->host);
    host->host = NULL;
}

static inline bool reference_host(struct http_text text, struct reference_host *out)
{
    memset(out, 0, sizeof(*out));
    if (text.bytes > 0 && memchr(text.at, '\0', text.bytes))
        return false;
    char *whole = out->host = fuzz_text(text.at, text.bytes);
    char *rest;
    if (whole[0] == '[') {
        rest = strchr(whole, ']');
        if (!rest)
            return false;
        *rest++ = '\0';
        out->is_ipv6 = true;
        memmove(whole, whole + 1, strlen(whole));
        if (inet_pton(AF_INET6, whole, out->ipv6) != 1 || (*rest != '\0' && *rest != ':'))
            return false;
    } else {
        rest = whole + strcspn(whole, ":");
    }
    if (*rest == ':') {
        *rest++ = '\0';
        if (rest[strspn(rest, "0123456789")] != '\0')
            return false;
        out->has_port = *rest != '\0';
        rest += strspn(rest, "0");
        if (strlen(rest) > 5)
            return false;
        out->port = (unsigned)strtoul(*rest ? rest : "0", NULL, 10);
    }
    return out->port <= 65535 && (out->is_ipv6 || reference_is_name(whole));
}

/* name: an IPv6 address may have brackets, and no other name has a colon. */
static inline bool reference_host_is(const struct reference_host *host, const char *name)
{
    uint8_t ipv6[16];
    if (!host->is_ipv6)
        return strcasecmp(host->host, name) == 0;
    size_t bytes = strlen(name);
    bool has_brackets = bytes >= 2 && name[0] == '[' && name[bytes - 1] == ']';
    char *inside = fuzz_text(name + has_brackets, bytes - 2 * has_brackets);
    bool is_same = inet_pton(AF_INET6, inside, ipv6) == 1 && memcmp(ipv6, host->ipv6, 16) == 0;
    free(inside);
    return is_same;
}

/* What was read is what this reads. */
static inline void reference_host_expect(const struct host *host, struct http_text text)
{
    struct reference_host expected;
    expect(reference_host(text, &expected));
    expect(host->is_ipv6 == expected.is_ipv6);
    expect(host->has_port == expected.has_port && host->port == expected.port);
    expect(host->name.at == text.at);
    size_t brackets = host->is_ipv6 ? 1 : 0;
    expect(host->name.bytes == strlen(expected.host) + 2 * brackets);
    expect(memcmp(host->name.at + brackets, expected.host, strlen(expected.host)) == 0);
    if (host->is_ipv6)
        expect(memcmp(host->ipv6, expected.ipv6, sizeof(expected.ipv6)) == 0);
    reference_host_clear(&expected);
}

#endif
