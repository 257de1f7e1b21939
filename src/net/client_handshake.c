/* What a client asks for, and what of it the upstream is told. */
#include "net/client_handshake.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "net/client_access.h"
#include "net/digest.h"
#include "net/link.h"
#include "net/relay.h"

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

/* keeps_authorization: it is for us.  False when it is more than a request may hold beside all the
 * rest. */
static bool forward_make(const struct config_upstream *upstream, const struct http_head *head,
                         bool keeps_authorization, struct forward *forward)
{
    *forward = (struct forward){0};
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        bool is_authorization = http_text_equals_nocase(field->name, "Authorization");
        if (!is_forwarded(upstream, head, field->name) || (is_authorization && keeps_authorization))
            continue;
        forward->fields[forward->count++] = field;
        forward->bytes += field->name.bytes + field->value.bytes + 2;
        if (!is_configured(upstream, field->name) && field->value.bytes > 0 &&
            (is_authorization || http_text_equals_nocase(field->name, "Cookie")))
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

/* Most ask for nothing that their upstream would have to know: they share this.  What stays of a
 * client between all that its attempt takes and gives back would leave holes in the heap. */
static const struct client_request nothing_asked = {.target = "/", .forward = ""};

static const struct client_request *request_new(const struct handshake_request *asked,
                                                const struct offer *offer, const char *target,
                                                const struct forward *forward)
{
    size_t target_bytes = strlen(target) + 1;
    if (asked->subprotocol_count == 0 && offer->count == 0 && forward->count == 0 &&
        strcmp(target, nothing_asked.target) == 0)
        return &nothing_asked;
    struct client_request *request =
        malloc(sizeof(*request) + offer->bytes + target_bytes + forward->bytes);
    if (!request)
        return NULL;
    *request = (struct client_request){.has_offer = asked->subprotocol_count > 0,
                                       .offer_count = offer->count,
                                       .offer_bytes = (unsigned)offer->bytes,
                                       .forward_count = forward->count,
                                       .forward_bytes = (unsigned)forward->bytes,
                                       .has_credential = forward->has_credential};
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

/* What the answer will say. */
static void prepare_answer(struct client_asking *asking, const struct config_client *config,
                           const struct handshake_request *asked)
{
    handshake_accept(asked->key.at, digest_sha1, asking->accept);
    asking->has_deflate = asked->offers_deflate && config->compression == CONFIG_COMPRESSION_ON;
    asking->deflate = asked->deflate;
}

void client_request_free(const struct client_request *request)
{
    if (!request || request == &nothing_asked)
        return;
    explicit_bzero((char *)(uintptr_t)request->forward, request->forward_bytes); /* secrets */
    free((void *)(uintptr_t)request);
}

unsigned client_handshake_status(enum http_head_result result)
{
    return result == HTTP_HEAD_ERR_TOO_BIG ? 431 : 400;
}

unsigned client_handshake_check(struct net_session *net, const uint8_t *data, size_t head_bytes,
                                const struct client_request **request, const char **why,
                                struct http_text *shown)
{
    const struct link_config *config = net->config;
    struct http_head head;
    struct handshake_request asked;
    struct offer offer;
    struct forward forward;
    char target[URL_TARGET_BYTES_MAX + 1];
    bool shows_token_in_header;

    *shown = (struct http_text){0};
    enum http_head_result parsed = http_head_parse(data, head_bytes, true, &head);
    *why = http_head_result_text(parsed);
    if (parsed != HTTP_HEAD_OK)
        return client_handshake_status(parsed);
    unsigned status = handshake_check_request(&head, &asked, why);
    if (status != 101)
        return status;
    status = client_access_check(net, &head, &asked, &shows_token_in_header, why, shown);
    if (status != 101)
        return status;
    *why = link_is_full(net->link, config->client.max_clients);
    if (*why)
        return 503;
    *why = "subprotocol";
    if (!offer_make(&config->upstream.subprotocols, &asked, &offer))
        return 400;
    *why = "path";
    if (!target_make(&config->upstream, asked.target, target))
        return 400;
    *why = "forward_headers";
    if (!forward_make(&config->upstream, &head, shows_token_in_header, &forward))
        return 431;
    *why = "no memory";
    prepare_answer(net->client.asking, &config->client, &asked);
    *request = request_new(&asked, &offer, target, &forward);
    if (!*request)
        return 503;
    *why = link_take_place(net->link, config->client.max_clients);
    net->client.was_counted = !*why;
    return *why ? 503 : 101; /* another worker may have had the last place just now */
}
