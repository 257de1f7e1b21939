/* One attempt to reach the upstream. */
#include "net/dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "net/digest.h"
#include "net/relay.h"
#include "proto/retry_after.h"

struct dial *dial_new(void)
{
    return calloc(1, sizeof(struct dial));
}

void dial_free(struct dial *dial)
{
    if (!dial)
        return;
    lookup_clear(&dial->lookup);
    race_clear(&dial->race);
    tunnel_free(dial->tunnel);
    head_clear(&dial->head);
    free(dial);
}

/* ---- connecting ---------------------------------------------------------------------------- */

enum cause dial_cause_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return CAUSE_TCP_REFUSED;
    case ETIMEDOUT:
        return CAUSE_TCP_TIMEOUT;
    case ECONNRESET:
    case ECONNABORTED:
        return CAUSE_TCP_RESET;
    case EPIPE: /* an RST that came after the peer's end */
    case 0:
        return CAUSE_TCP_EOF;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EAGAIN: /* no local port is left */
    case EADDRNOTAVAIL:
        return CAUSE_NO_RESOURCES;
    default: /* ENETUNREACH, EHOSTUNREACH, EACCES of a firewall, EAFNOSUPPORT, ... */
        return CAUSE_TCP_UNREACHABLE;
    }
}

enum cause dial_cause(const struct dial *dial)
{
    return dial->race.error ? dial_cause_of(dial->race.error) : CAUSE_TCP_UNREACHABLE;
}

/* ---- the handshake ------------------------------------------------------------------------- */

struct asking {
    struct handshake_ask ask;
    char host[URL_HOST_BYTES_MAX + 9];
    const char *subprotocols[HANDSHAKE_SUBPROTOCOL_COUNT_MAX];
};

static void ask_make(const struct net_session *net, const char *key, struct asking *asking)
{
    const struct client_request *request = net->client.request;
    const struct fresh *fresh = net->upstream.fresh;
    const struct url *url = upstream_url(net);
    const char *name = request->offer;
    for (unsigned i = 0; i < request->offer_count; i++) {
        asking->subprotocols[i] = name;
        name += strlen(name) + 1;
    }
    url_host_header(url, asking->host);
    asking->ask = (struct handshake_ask){.target = fresh->target,
                                         .host = asking->host,
                                         .key = key,
                                         .subprotocols = asking->subprotocols,
                                         .subprotocol_count = request->offer_count,
                                         .headers = fresh->headers,
                                         .header_count = fresh->header_count,
                                         .offers_deflate = net->config->upstream.compression ==
                                                           CONFIG_COMPRESSION_ON};
}

size_t dial_build_request(struct net_session *net, char *out, size_t out_bytes)
{
    struct asking asking;
    uint8_t random[16];
    char key[HANDSHAKE_KEY_BYTES + 1];
    chance_fill(&net->worker->chance, random, sizeof(random));
    handshake_key(random, key);
    handshake_accept(key, digest_sha1, net->upstream.dial->accept);
    ask_make(net, key, &asking);
    return handshake_build_request(&asking.ask, out, out_bytes);
}

static enum dial_answer fail(struct dial_outcome *outcome, enum cause cause)
{
    outcome->cause = cause;
    return DIAL_FAILED;
}

static enum dial_answer check_head(struct net_session *net, const uint8_t *data, size_t head_bytes,
                                   struct dial_outcome *outcome)
{
    struct http_head head;
    struct asking asking;
    struct http_text subprotocol = {0};
    const char *why;
    if (http_head_parse(data, head_bytes, false, &head) != HTTP_HEAD_OK)
        return fail(outcome, CAUSE_HTTP_MALFORMED);
    ask_make(net, NULL, &asking);
    switch (handshake_check_response(&head, &asking.ask, net->upstream.dial->accept,
                                     &outcome->http_status, &subprotocol, &why)) {
    case HANDSHAKE_ACCEPTED:
        break;
    case HANDSHAKE_REFUSED:
        outcome->has_retry_after = retry_after_parse(&head, &outcome->retry_after_ms);
        return fail(outcome, CAUSE_HTTP_STATUS);
    case HANDSHAKE_MALFORMED:
        return fail(outcome, CAUSE_HTTP_MALFORMED);
    case HANDSHAKE_SUBPROTOCOL:
        return fail(outcome, CAUSE_SUBPROTOCOL_MISMATCH);
    }
    if (subprotocol.bytes > HANDSHAKE_SUBPROTOCOL_BYTES_MAX)
        return fail(outcome, CAUSE_SUBPROTOCOL_MISMATCH); /* it was offered by nobody */
    if (subprotocol.bytes > 0)
        memcpy(outcome->subprotocol, subprotocol.at, subprotocol.bytes);
    outcome->subprotocol[subprotocol.bytes] = '\0';
    outcome->has_deflate = deflate_offer_check(&head, &outcome->deflate) == DEFLATE_OFFER_OK;
    fresh_take_cookies(net, &head);
    return DIAL_OPEN;
}

/* 100 or 103: another head follows it (RFC 9110 section 15.2).  101 is the answer itself. */
static bool is_interim(const uint8_t *data, size_t head_bytes)
{
    struct http_head head;
    return http_head_parse(data, head_bytes, false, &head) == HTTP_HEAD_OK &&
           head.start[1].bytes == 3 && head.start[1].at[0] == '1' &&
           !http_text_equals(head.start[1], "101");
}

enum dial_answer dial_read(struct net_session *net, uint8_t *data, size_t data_bytes,
                           struct dial_outcome *outcome)
{
    struct dial *dial = net->upstream.dial;
    size_t head_bytes;
    bool is_out_of_memory;
    *outcome = (struct dial_outcome){0};
    for (;;) {
        enum http_head_result result =
            head_feed(&dial->head, &data, &data_bytes, &head_bytes, &is_out_of_memory);
        if (is_out_of_memory)
            return fail(outcome, CAUSE_NO_RESOURCES);
        if (result == HTTP_HEAD_NEED_MORE)
            return DIAL_NEED_MORE;
        if (result != HTTP_HEAD_OK)
            return fail(outcome, CAUSE_HTTP_MALFORMED);
        if (!is_interim(data, head_bytes))
            break;
        if (++dial->interim_count > DIAL_INTERIM_COUNT_MAX)
            return fail(outcome, CAUSE_HTTP_MALFORMED);
        head_skip(&dial->head, &data, &data_bytes, head_bytes);
    }
    outcome->rest = data + head_bytes;
    outcome->rest_bytes = data_bytes - head_bytes;
    return check_head(net, data, head_bytes, outcome);
}
