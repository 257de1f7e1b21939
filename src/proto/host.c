/* The Host of a request. */
#include "proto/host.h"

#include <string.h>

#include "proto/percent.h"

/* ---- addresses ----------------------------------------------------------------------------- */

/* Cut the text up to separator, or all of it, from the front of rest. */
static struct http_text cut(struct http_text *rest, char separator)
{
    const char *found = rest->bytes ? memchr(rest->at, separator, rest->bytes) : NULL;
    size_t bytes = found ? (size_t)(found - rest->at) : rest->bytes;
    struct http_text piece = {.at = rest->at, .bytes = bytes};
    rest->at += bytes + (found != NULL);
    rest->bytes -= bytes + (found != NULL);
    return piece;
}

/* dec-octet: 0 to 255, without a zero in front. */
static bool parse_octet(struct http_text text, uint8_t *octet)
{
    unsigned value = 0;
    if (text.bytes == 0 || text.bytes > 3 || (text.bytes > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.at[i] - '0');
    }
    *octet = (uint8_t)value;
    return value <= 255;
}

static bool parse_ipv4(struct http_text text, uint8_t out[4])
{
    for (int i = 0; i < 3; i++)
        if (!memchr(text.at, '.', text.bytes) || !parse_octet(cut(&text, '.'), &out[i]))
            return false;
    return parse_octet(text, &out[3]);
}

/* h16: one to four digits. */
static bool parse_group(struct http_text text, uint8_t out[2])
{
    unsigned value = 0;
    if (text.bytes == 0 || text.bytes > 4)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        int digit = percent_hex_digit(text.at[i]);
        if (digit < 0)
            return false;
        value = value * 16 + (unsigned)digit;
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return true;
}

/* Groups with a colon between, the last two perhaps as IPv4.  Returns bytes, or -1. */
static int parse_groups(struct http_text text, uint8_t out[HOST_IPV6_BYTES])
{
    int bytes = 0;
    for (bool more = text.bytes > 0; more;) {
        more = memchr(text.at, ':', text.bytes) != NULL;
        struct http_text piece = cut(&text, ':');
        bool is_ipv4 = !more && piece.bytes > 0 && memchr(piece.at, '.', piece.bytes);
        int piece_bytes = is_ipv4 ? 4 : 2;
        if (bytes + piece_bytes > HOST_IPV6_BYTES ||
            !(is_ipv4 ? parse_ipv4(piece, out + bytes) : parse_group(piece, out + bytes)))
            return -1;
        bytes += piece_bytes;
    }
    return bytes;
}

/* RFC 3986's IPv6address: eight groups, or fewer with one "::" for at least one. */
static bool parse_ipv6(struct http_text text, uint8_t out[HOST_IPV6_BYTES])
{
    const char *gap = NULL;
    for (size_t i = 0; i + 1 < text.bytes && !gap; i++)
        if (text.at[i] == ':' && text.at[i + 1] == ':')
            gap = text.at + i;
    if (!gap)
        return parse_groups(text, out) == HOST_IPV6_BYTES;
    struct http_text front = {.at = text.at, .bytes = (size_t)(gap - text.at)};
    struct http_text back = {.at = gap + 2, .bytes = text.bytes - front.bytes - 2};
    uint8_t end[HOST_IPV6_BYTES];
    memset(out, 0, HOST_IPV6_BYTES);
    int front_bytes = parse_groups(front, out);
    int end_bytes = parse_groups(back, end);
    if (front_bytes < 0 || end_bytes < 0 || front_bytes + end_bytes > HOST_IPV6_BYTES - 2 ||
        memchr(front.at, '.', front.bytes)) /* IPv4 is the end of an address */
        return false;
    memcpy(out + HOST_IPV6_BYTES - end_bytes, end, (size_t)end_bytes);
    return true;
}

/* ---- names --------------------------------------------------------------------------------- */

/* unreserved and sub-delims. */
static bool is_name_character(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("-._~!$&'()*+,;=", c) != NULL;
}

static bool is_name(struct http_text text)
{
    const char *at = text.at;
    const char *end = text.at + text.bytes;
    while (at < end) {
        bool is_escaped = *at == '%';
        int byte = percent_next(&at, end);
        if (byte < 0 || (!is_escaped && !is_name_character((char)byte)))
            return false;
    }
    return text.bytes > 0;
}

static bool parse_port(struct http_text text, struct host *host)
{
    unsigned value = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.at[i] - '0');
        if (value > UINT16_MAX)
            return false;
    }
    host->has_port = text.bytes > 0;
    host->port = (uint16_t)value;
    return true;
}

bool host_parse(struct http_text text, struct host *host)
{
    *host = (struct host){.name = text};
    host->is_ipv6 = text.bytes > 0 && text.at[0] == '[';
    const char *end = text.bytes ? memchr(text.at, host->is_ipv6 ? ']' : ':', text.bytes) : NULL;
    if (!end && host->is_ipv6)
        return false;
    if (end)
        host->name.bytes = (size_t)(end - text.at) + host->is_ipv6;
    struct http_text rest = {.at = text.at + host->name.bytes,
                             .bytes = text.bytes - host->name.bytes};
    if (host->is_ipv6) {
        struct http_text inside = {.at = text.at + 1, .bytes = host->name.bytes - 2};
        if (!parse_ipv6(inside, host->ipv6))
            return false;
    } else if (!is_name(host->name)) {
        return false;
    }
    if (rest.bytes == 0)
        return true;
    return rest.at[0] == ':' &&
           parse_port((struct http_text){.at = rest.at + 1, .bytes = rest.bytes - 1}, host);
}

bool host_is(const struct host *host, const char *name)
{
    if (!host->is_ipv6)
        return http_text_equals_nocase(host->name, name);
    struct http_text address = {.at = name, .bytes = strlen(name)};
    uint8_t ipv6[HOST_IPV6_BYTES];
    if (address.bytes >= 2 && name[0] == '[' && name[address.bytes - 1] == ']') {
        address.at++;
        address.bytes -= 2;
    }
    return parse_ipv6(address, ipv6) && memcmp(ipv6, host->ipv6, sizeof(ipv6)) == 0;
}
