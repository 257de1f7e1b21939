/* ws:// and wss:// URLs. */
#include "proto/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/percent.h"

const char *url_result_text(enum url_result result)
{
    static const char *const texts[URL_RESULT_COUNT] = {
        [URL_OK] = "ok",
        [URL_ERR_SCHEME] = "no ws:// at its front",
        [URL_ERR_HOST] = "no host that can be",
        [URL_ERR_PORT] = "no port from 1 to 65535",
        [URL_ERR_USERINFO] = "a user in front of the host",
        [URL_ERR_TARGET] = "a path with a character that must be encoded, or too long",
        [URL_ERR_FRAGMENT] = "a fragment behind #",
    };
    return texts[result];
}

static bool is_host_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool is_ipv6_character(char c)
{
    return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9') || c == ':' || c == '.';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static enum url_result copy_host(const char *text, size_t bytes, bool ipv6, char *host)
{
    if (bytes == 0 || bytes > URL_HOST_BYTES_MAX)
        return URL_ERR_HOST;
    for (size_t i = 0; i < bytes; i++) {
        host[i] = lower(text[i]);
        if (!(ipv6 ? is_ipv6_character(host[i]) : is_host_character(host[i])))
            return URL_ERR_HOST;
    }
    host[bytes] = '\0';
    return URL_OK;
}

static enum url_result parse_port(const char *text, size_t bytes, uint16_t *port)
{
    unsigned value = 0;
    if (bytes == 0 || bytes > 5)
        return URL_ERR_PORT;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return URL_ERR_PORT;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (value == 0 || value > 65535)
        return URL_ERR_PORT;
    *port = (uint16_t)value;
    return URL_OK;
}

static enum url_result parse_authority(const char *text, size_t bytes, struct url *url)
{
    size_t host_bytes;
    size_t rest; /* where ":port" begins, or the end */
    if (memchr(text, '@', bytes))
        return URL_ERR_USERINFO;
    if (bytes > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', bytes);
        if (!end)
            return URL_ERR_HOST;
        url->host_is_ipv6 = true;
        text++;
        bytes--;
        host_bytes = (size_t)(end - text);
        rest = host_bytes + 1;
    } else {
        const char *colon = memchr(text, ':', bytes);
        host_bytes = colon ? (size_t)(colon - text) : bytes;
        rest = host_bytes;
    }
    enum url_result result = copy_host(text, host_bytes, url->host_is_ipv6, url->host);
    if (result != URL_OK || rest == bytes)
        return result;
    if (text[rest] != ':')
        return URL_ERR_HOST;
    url->port_given = true;
    return parse_port(text + rest + 1, bytes - rest - 1, &url->port);
}

static enum url_result copy_target(const char *text, char *target)
{
    size_t bytes = strlen(text);
    size_t at = 0;
    if (*text != '/')
        target[at++] = '/'; /* "ws://host" and "ws://host?q" */
    if (bytes + at > URL_TARGET_BYTES_MAX)
        return URL_ERR_TARGET;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '#')
            return URL_ERR_FRAGMENT;
        if (text[i] <= ' ' || text[i] > '~') /* a char over 0x7f is negative or over '~' */
            return URL_ERR_TARGET;
    }
    memcpy(target + at, text, bytes + 1);
    return URL_OK;
}

enum url_result url_parse(const char *text, struct url *url)
{
    *url = (struct url){.port = 80};
    if (strncasecmp(text, "wss://", 6) == 0) {
        url->tls = true;
        url->port = 443;
        text += 6;
    } else if (strncasecmp(text, "ws://", 5) == 0) {
        text += 5;
    } else {
        return URL_ERR_SCHEME;
    }
    size_t authority_bytes = strcspn(text, "/?#");
    enum url_result result = parse_authority(text, authority_bytes, url);
    if (result != URL_OK)
        return result;
    return copy_target(text + authority_bytes, url->target);
}

void url_host_header(const struct url *url, char *out)
{
    const char *open = url->host_is_ipv6 ? "[" : "";
    const char *close = url->host_is_ipv6 ? "]" : "";
    int bytes = snprintf(out, URL_HOST_BYTES_MAX + 3, "%s%s%s", open, url->host, close);
    if (url->port != (url->tls ? 443 : 80))
        snprintf(out + bytes, 7, ":%u", (unsigned)url->port);
}

bool url_is_target(const char *text)
{
    char copy[URL_TARGET_BYTES_MAX + 1];
    return text[0] == '/' && copy_target(text, copy) == URL_OK;
}

void url_place(const char *host, bool host_is_ipv6, uint16_t port, char *out)
{
    snprintf(out, URL_HOST_BYTES_MAX + 9, host_is_ipv6 ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
}

/* ---- path: append ------------------------------------------------------------------------- */

/* As written: nothing that could end the request line, nor begin a fragment. */
static bool is_plain_path_byte(int byte)
{
    return byte > ' ' && byte <= '~' && byte != '\\' && byte != '#';
}

/* Behind a percent sign it stays one, so a space or UTF-8 is fine; a slash in disguise is not. */
static bool is_escaped_path_byte(int byte)
{
    return byte >= ' ' && byte != 0x7f && byte != '/' && byte != '\\';
}

/* No segment that climbs: "." or "..", nor "..;x", which some servers read as "..". */
static bool path_is_safe(const char *path, const char *end)
{
    unsigned dots = 0; /* the segment so far is this many dots, and nothing else */
    bool only_dots = true;
    while (path < end) {
        bool is_escaped = *path == '%';
        int byte = percent_next(&path, end);
        if (!(is_escaped ? is_escaped_path_byte(byte) : is_plain_path_byte(byte)))
            return false;
        bool climbs = only_dots && (dots == 1 || dots == 2);
        if (climbs && (byte == '/' || byte == ';'))
            return false;
        if (byte == '/') {
            dots = 0;
            only_dots = true;
        } else if (byte == '.') {
            dots++;
        } else {
            only_dots = false;
        }
    }
    return !(only_dots && (dots == 1 || dots == 2));
}

static bool query_is_safe(const char *query)
{
    for (; *query; query++)
        if (*query <= ' ' || *query > '~' || *query == '#' || *query == '\\')
            return false;
    return true;
}

bool url_target_append(const char *base_target, const char *client_target, char *out)
{
    if (client_target[0] != '/' || client_target[1] == '/')
        return false; /* absolute-form or authority-form, or "//host" */
    const char *client_query = client_target + strcspn(client_target, "?");
    const char *base_query = base_target + strcspn(base_target, "?");
    if (!path_is_safe(client_target, client_query) || !query_is_safe(client_query))
        return false;

    int base_bytes = (int)(base_query - base_target);
    if (base_bytes > 0 && base_target[base_bytes - 1] == '/')
        base_bytes--; /* one slash between the two */
    const char *base_parameters = *base_query ? base_query + 1 : "";
    const char *client_parameters = *client_query ? client_query + 1 : "";
    bool has_query = *base_parameters || *client_parameters;
    const char *between = *base_parameters && *client_parameters ? "&" : "";
    int bytes = snprintf(out, URL_TARGET_BYTES_MAX + 1, "%.*s%.*s%s%s%s%s", base_bytes, base_target,
                         (int)(client_query - client_target), client_target, has_query ? "?" : "",
                         base_parameters, between, client_parameters);
    return bytes > 0 && bytes <= URL_TARGET_BYTES_MAX;
}

/* Whoever reads the query decodes its names, so in disguise it is ours as well. */
static bool is_own(const char *at, const char *end)
{
    for (const char *own = "wskeep-"; *own; own++)
        if (at == end || percent_next(&at, end) != *own)
            return false;
    return true;
}

bool url_target_strip_own(char *target)
{
    bool found = false;
    bool kept = false; /* a parameter of the client's, which may be empty */
    char *query = strchr(target, '?');
    if (!query)
        return false;
    char *to = query + 1;
    for (const char *from = query + 1; *from;) {
        size_t bytes = strcspn(from, "&");
        const char *next = from + bytes + (from[bytes] == '&');
        if (is_own(from, from + bytes)) {
            found = true;
        } else {
            if (kept)
                *to++ = '&';
            memmove(to, from, bytes);
            to += bytes;
            kept = true;
        }
        from = next;
    }
    if (!found)
        return false; /* nothing was moved to another place */
    *(kept ? to : query) = '\0';
    return true;
}
