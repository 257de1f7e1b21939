/* Who is let in. */
#include "net/client_handshake.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "config/config.h"
#include "net/digest.h"
#include "net/link.h"
#include "net/relay.h"

/* ---- Host: a name that was rebound to this machine shall not get a page in ---------------- */

static bool text_is(struct http_text text, const char *name, size_t name_bytes)
{
    return text.bytes == name_bytes && strncasecmp(text.at, name, name_bytes) == 0;
}

/* The host without its port: "[::1]:80" -> "[::1]".  A port is digits, or it is none. */
static struct http_text without_port(struct http_text host)
{
    size_t at = host.bytes;
    while (at > 0 && host.at[at - 1] >= '0' && host.at[at - 1] <= '9')
        at--;
    if (at > 0 && at < host.bytes && host.at[at - 1] == ':')
        host.bytes = at - 1;
    return host;
}

/* name alone, or with the listener's own port. */
static bool host_is(struct http_text host, const char *name, uint16_t port)
{
    char with_port[URL_HOST_BYTES_MAX + 16];
    const char *open = strchr(name, ':') && name[0] != '[' ? "[" : "";
    const char *close = *open ? "]" : "";
    int all =
        snprintf(with_port, sizeof(with_port), "%s%s%s:%u", open, name, close, (unsigned)port);
    if (all < 0 || (size_t)all >= sizeof(with_port))
        return false;
    size_t alone = (size_t)(strrchr(with_port, ':') - with_port);
    return text_is(host, with_port, (size_t)all) || text_is(host, with_port, alone);
}

/* Where the client has reached us. */
struct local {
    char address[INET6_ADDRSTRLEN];
    uint16_t port;
};

static bool local_read(int fd, struct local *local)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        return false;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(void *)&address;
        local->port = ntohs(four->sin_port);
        return inet_ntop(AF_INET, &four->sin_addr, local->address, sizeof(local->address));
    }
    if (address.ss_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(void *)&address;
    local->port = ntohs(six->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) /* a socket of systemd may take both families */
        return inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], local->address,
                         sizeof(local->address));
    return inet_ntop(AF_INET6, &six->sin6_addr, local->address, sizeof(local->address));
}

static bool host_is_allowed(const struct net_session *net, struct http_text host)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "::1"};
    const struct config_listen *listen = net->client.listen;
    const struct config_strings *allowed = &net->config->client.allow_hosts;
    struct local local;
    if (!local_read(net->client.conn.fd, &local))
        return false;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (host_is(host, own[i], local.port))
            return true;
    if (host_is(host, local.address, local.port) ||
        (listen->host && host_is(host, listen->host, local.port)))
        return true;
    struct http_text name = without_port(host);
    for (size_t i = 0; i < allowed->count; i++) {
        const char *item = allowed->items[i];
        if (text_is(host, item, strlen(item)) || text_is(name, item, strlen(item)))
            return true;
    }
    return false;
}

/* ---- Origin: only browsers send one, and only listed pages are let in ---------------------- */

static bool origin_is_allowed(const struct config_strings *allowed, struct http_text origin)
{
    if (!origin.at)
        return true;
    for (size_t i = 0; i < allowed->count; i++)
        if (http_text_equals(origin, allowed->items[i]))
            return true;
    return false;
}

/* ---- subprotocols -------------------------------------------------------------------------- */

struct offer {
    struct http_text names[HANDSHAKE_SUBPROTOCOL_COUNT_MAX];
    unsigned count;
    size_t bytes; /* of all names, each terminated */
};

static void offer_add(struct offer *offer, struct http_text name)
{
    if (offer->count == HANDSHAKE_SUBPROTOCOL_COUNT_MAX)
        return; /* more than a client may name */
    offer->names[offer->count++] = name;
    offer->bytes += name.bytes + 1;
}

static bool client_offers(const struct handshake_request *asked, const char *name)
{
    for (size_t i = 0; i < asked->subprotocol_count; i++)
        if (http_text_equals(asked->subprotocols[i], name))
            return true;
    return false;
}

/*
 * What the upstream is offered: what the client offers, as far as it is configured.  A single
 * configured one is offered for a client that names none, too.  False when the client offers only
 * others.
 */
static bool offer_make(const struct config_strings *configured,
                       const struct handshake_request *asked, struct offer *offer)
{
    *offer = (struct offer){0};
    if (configured->count == 0) {
        for (size_t i = 0; i < asked->subprotocol_count; i++)
            offer_add(offer, asked->subprotocols[i]);
        return true;
    }
    bool is_fixed = configured->count == 1 && asked->subprotocol_count == 0;
    for (size_t i = 0; i < configured->count; i++) {
        const char *name = configured->items[i];
        if (is_fixed || client_offers(asked, name))
            offer_add(offer, (struct http_text){.at = name, .bytes = strlen(name)});
    }
    return offer->count > 0 || asked->subprotocol_count == 0;
}

/* ---- the path ------------------------------------------------------------------------------ */

/*
 * The client's own target, without what is meant for us.  False when it may not be appended.  It is
 * joined with url at each attempt, as either may have changed; "/" where only `fixed` can take it.
 */
static bool target_make(const struct config_upstream *upstream, struct http_text asked,
                        char target[URL_TARGET_BYTES_MAX + 1])
{
    char joined[URL_TARGET_BYTES_MAX + 1];
    bool is_right = asked.bytes <= URL_TARGET_BYTES_MAX;
    if (is_right) {
        memcpy(target, asked.at, asked.bytes);
        target[asked.bytes] = '\0';
        (void)url_target_strip_own(target);
        for (size_t i = 0; i < upstream->url_count && is_right; i++)
            is_right = url_target_append(upstream->urls[i].target, target, joined);
    }
    if (!is_right)
        memcpy(target, "/", sizeof("/"));
    return is_right || upstream->path == CONFIG_PATH_FIXED;
}

/* ---- headers that are forwarded ------------------------------------------------------------ */

/* In the order of the client's head; names and values point into it. */
struct forward {
    const struct http_field *fields[HTTP_FIELD_COUNT_MAX];
    unsigned count;
    size_t bytes; /* of all names and values, each terminated */
    bool has_credential;
};

static bool is_configured(const struct config_upstream *upstream, struct http_text name)
{
    for (size_t i = 0; i < upstream->header_count; i++)
        if (http_text_equals_nocase(name, upstream->headers[i].name))
            return true;
    return false;
}

/* The parser has let no control character but a tab pass, and the names are none of the
 * handshake's own. */
static bool is_forwarded(const struct config_upstream *upstream, const struct http_head *head,
                         struct http_text name)
{
    for (size_t i = 0; i < upstream->forward_headers.count; i++)
        if (http_text_equals_nocase(name, upstream->forward_headers.items[i]))
            return !http_head_has_token(head, "Connection", /* for us only (RFC 9110 7.6.1) */
                                        upstream->forward_headers.items[i]);
    return false;
}

/* False when it is more than a request may hold beside all the rest. */
static bool forward_make(const struct config_upstream *upstream, const struct http_head *head,
                         struct forward *forward)
{
    *forward = (struct forward){0};
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!is_forwarded(upstream, head, field->name))
            continue;
        forward->fields[forward->count++] = field;
        forward->bytes += field->name.bytes + field->value.bytes + 2;
        if (!is_configured(upstream, field->name) && field->value.bytes > 0 &&
            (http_text_equals_nocase(field->name, "Authorization") ||
             http_text_equals_nocase(field->name, "Cookie")))
            forward->has_credential = true;
    }
    return forward->bytes <= CLIENT_FORWARD_BYTES_MAX;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static char *put_text(char *at, struct http_text text)
{
    memcpy(at, text.at, text.bytes);
    at[text.bytes] = '\0';
    return at + text.bytes + 1;
}

static struct client_request *request_new(const struct config_client *config,
                                          const struct handshake_request *asked,
                                          const struct offer *offer, const char *target,
                                          const struct forward *forward)
{
    size_t target_bytes = strlen(target) + 1;
    struct client_request *request =
        malloc(sizeof(*request) + offer->bytes + target_bytes + forward->bytes);
    if (!request)
        return NULL;
    *request = (struct client_request){.has_deflate = asked->offers_deflate &&
                                                      config->compression == CONFIG_COMPRESSION_ON,
                                       .deflate = asked->deflate,
                                       .has_offer = asked->subprotocol_count > 0,
                                       .offer_count = offer->count,
                                       .offer_bytes = offer->bytes,
                                       .forward_count = forward->count,
                                       .forward_bytes = forward->bytes,
                                       .has_credential = forward->has_credential};
    handshake_accept(asked->key.at, digest_sha1, request->accept);
    char *at = request->offer;
    for (unsigned i = 0; i < offer->count; i++)
        at = put_text(at, offer->names[i]);
    request->target = at;
    at = put_text(at, (struct http_text){.at = target, .bytes = target_bytes - 1});
    request->forward = at;
    for (unsigned i = 0; i < forward->count; i++)
        at = put_text(put_text(at, forward->fields[i]->name), forward->fields[i]->value);
    return request;
}

unsigned client_handshake_check(const struct net_session *net, const uint8_t *data,
                                size_t head_bytes, struct client_request **request,
                                const char **why)
{
    const struct link_config *config = net->config;
    struct http_head head;
    struct handshake_request asked;
    struct offer offer;
    struct forward forward;
    char target[URL_TARGET_BYTES_MAX + 1];

    enum http_head_result parsed = http_head_parse(data, head_bytes, true, &head);
    *why = http_head_result_text(parsed);
    if (parsed != HTTP_HEAD_OK)
        return parsed == HTTP_HEAD_ERR_TOO_BIG ? 431 : 400;
    unsigned status = handshake_check_request(&head, &asked, why);
    if (status != 101)
        return status;
    *why = "host";
    if (!net->client.conn.is_unix && !host_is_allowed(net, asked.host))
        return 403;
    *why = "origin";
    if (!origin_is_allowed(&config->client.allow_origins, asked.origin))
        return 403;
    *why = "max_clients";
    if (net->link->client_count >= config->client.max_clients)
        return 503;
    *why = "max_clients, and as many that left and are still delivered for";
    if (net->link->session_count / 2 >= config->client.max_clients)
        return 503;
    *why = "subprotocol";
    if (!offer_make(&config->upstream.subprotocols, &asked, &offer))
        return 400;
    *why = "path";
    if (!target_make(&config->upstream, asked.target, target))
        return 400;
    *why = "forward_headers";
    if (!forward_make(&config->upstream, &head, &forward))
        return 431;
    *why = "no memory";
    *request = request_new(&config->client, &asked, &offer, target, &forward);
    return *request ? 101 : 503;
}
