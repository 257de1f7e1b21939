/*
 * A client's request: its head, who is let in, and what the upstream is asked for.  Input: a byte
 * that chooses a link and a user, and what came.
 */
#include <netinet/in.h>
#include <sys/socket.h>

#include "head.h"
#include "links.h"
#include "net/client_handshake.h"
#include "net/link.h"
#include "net/relay.h"
#include "proto/url.h"
#include "reference_host.h"
#include "reference_token.h"

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *bytes);
bool __wrap_conn_peer_user(const struct conn *conn, uid_t *uid);

enum { USER_ALLOWED = 1234, USER_OTHER = 1235 };

static unsigned user_id; /* who connected; 0: nobody knows */

/* Every client came in at 127.0.0.1:9001: there is no socket here. */
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *bytes)
{
    const struct sockaddr_in local = {
        .sin_family = AF_INET, .sin_port = htons(9001), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)fd;
    expect(*bytes >= sizeof(local));
    memcpy(address, &local, sizeof(local));
    *bytes = sizeof(local);
    return 0;
}

bool __wrap_conn_peer_user(const struct conn *conn, uid_t *uid)
{
    (void)conn;
    *uid = user_id;
    return user_id != 0;
}

/* The value of the one header of that name; NULL: there is none, or more than one. */
static const struct http_text *only(const struct http_head *head, const char *name)
{
    const struct http_text *found = NULL;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!http_text_equals_nocase(head->fields[i].name, name))
            continue;
        if (found)
            return NULL;
        found = &head->fields[i].value;
    }
    return found;
}

static bool has(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (http_text_equals_nocase(head->fields[i].name, name))
            return true;
    return false;
}

/* A URL: the host in it.  A path has none. */
static bool target_host(struct http_text target, struct http_text *host)
{
    static const char *const schemes[] = {"http:", "https:", "ws:", "wss:"};
    char *text = fuzz_text(target.at, target.bytes);
    size_t scheme = strcspn(text, "/");
    bool is_known = false;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        is_known = is_known ||
                   (strlen(schemes[i]) == scheme && strncasecmp(text, schemes[i], scheme) == 0);
    expect(scheme == 0 || (is_known && text[scheme + 1] == '/'));
    if (is_known)
        *host = (struct http_text){.at = target.at + scheme + 2,
                                   .bytes = strcspn(text + scheme + 2, "/?#")};
    free(text);
    return is_known;
}

/* What must be true of a request that RFC 6455 4.2.1 lets through. */
static void check_accepted(const struct http_head *head, const struct handshake_request *request)
{
    expect(http_text_equals(head->start[0], "GET") && http_text_equals(head->start[2], "HTTP/1.1"));
    expect(only(head, "Host") && only(head, "Upgrade") && only(head, "Sec-WebSocket-Key"));
    expect(only(head, "Sec-WebSocket-Version") &&
           http_text_equals(*only(head, "Sec-WebSocket-Version"), "13"));
    expect(!has(head, "Content-Length") && !has(head, "Transfer-Encoding"));
    reference_host_expect(&request->host, *only(head, "Host"));
    expect(fuzz_same_text(request->target, head->start[1]));
    struct http_text host;
    expect(request->has_target_host == target_host(request->target, &host));
    if (request->has_target_host)
        reference_host_expect(&request->target_host, host);
    expect(!request->offers_deflate || has(head, "Sec-WebSocket-Extensions"));
    expect(!has(head, "Origin") == !request->origin.at);
    expect(!request->origin.at || fuzz_same_text(request->origin, *only(head, "Origin")));
    expect(request->key.bytes == HANDSHAKE_KEY_BYTES);
    expect(memcmp(request->key.at + 21, "A==", 3) == 0 ||
           memcmp(request->key.at + 21, "Q==", 3) == 0 ||
           memcmp(request->key.at + 21, "g==", 3) == 0 ||
           memcmp(request->key.at + 21, "w==", 3) == 0);
    expect(request->subprotocol_count <= HANDSHAKE_SUBPROTOCOL_COUNT_MAX);
    for (size_t i = 0; i < request->subprotocol_count; i++) {
        const struct http_text *name = &request->subprotocols[i];
        expect(http_is_token(name->at, name->bytes));
        expect(name->bytes <= HANDSHAKE_SUBPROTOCOL_BYTES_MAX);
        for (size_t other = 0; other < i; other++)
            expect(!fuzz_same_text(*name, request->subprotocols[other]));
    }
}

/* Our answer to it is a head, with a body of the length that it says. */
static void check_refusal(unsigned status, const char *why)
{
    static struct http_head head;
    char out[1024];
    char number[24];
    size_t head_bytes;
    size_t bytes = handshake_build_refusal(status, why, out, sizeof(out));
    expect(bytes > 0 && fuzz_head_end((uint8_t *)out, bytes, &head_bytes) == HTTP_HEAD_OK);
    expect(http_head_parse((uint8_t *)out, head_bytes, false, &head) == HTTP_HEAD_OK);
    snprintf(number, sizeof(number), "%u", status);
    expect(http_text_equals(head.start[1], number));
    snprintf(number, sizeof(number), "%zu", bytes - head_bytes);
    expect(http_text_equals(*only(&head, "Content-Length"), number));
}

/* ---- who is let in ------------------------------------------------------------------------- */

static bool is_listed(const struct config_strings *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

/* The host is ours, with our port or none; or a listed one, with any. */
static bool host_is_ours(const struct link_config *config, struct http_text text)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "::1"};
    const struct config_strings *listed = &config->client.allow_hosts;
    struct reference_host host;
    bool is_ours = false;
    expect(reference_host(text, &host));
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        is_ours = is_ours || reference_host_is(&host, own[i]);
    is_ours = is_ours || reference_host_is(&host, config->listens[0].host);
    is_ours = is_ours && (!host.has_port || host.port == 9001);
    for (size_t i = 0; i < listed->count; i++)
        is_ours = is_ours || reference_host_is(&host, listed->items[i]);
    reference_host_clear(&host);
    return is_ours;
}

static unsigned expected_of_token(const char *right, const struct http_head *head)
{
    struct reference_token header = reference_token_of_header(head);
    struct reference_token query = reference_token_of_target(head->start[1]);
    bool is_right = reference_token_is(query.result == TOKEN_SHOWN ? &query : &header, right);
    unsigned status = is_right ? 101 : 401;
    if (header.result == TOKEN_MALFORMED || query.result == TOKEN_MALFORMED)
        status = 400;
    reference_token_clear(&header);
    reference_token_clear(&query);
    return right[0] == '\0' ? 101 : status;
}

/* What client_access_check() must say about a request that is one. */
static unsigned expected_access(const struct link_config *config, bool is_unix,
                                const struct http_head *head)
{
    struct http_text host;
    bool is_allowed = config->client.allow_users.count == 0 || user_id == USER_ALLOWED;
    if (!is_unix)
        is_allowed = is_allowed && host_is_ours(config, *only(head, "Host"));
    if (!is_unix && target_host(head->start[1], &host))
        is_allowed = is_allowed && host_is_ours(config, host);
    if (has(head, "Origin")) {
        const struct http_text *text = only(head, "Origin");
        char *origin = fuzz_text(text->at, text->bytes);
        is_allowed = is_allowed && is_listed(&config->client.allow_origins, origin);
        free(origin);
    }
    return is_allowed ? expected_of_token(config->client.token, head) : 403;
}

/* ---- what the upstream is asked for --------------------------------------------------------- */

enum { HEADER_COUNT_MAX = HTTP_FIELD_COUNT_MAX + 8 };

struct asking {
    struct handshake_ask ask;
    const char *subprotocols[HANDSHAKE_SUBPROTOCOL_COUNT_MAX];
    struct handshake_header headers[HEADER_COUNT_MAX];
};

static void make_ask(const struct client_request *request, struct asking *asking)
{
    const char *at = request->offer;
    asking->ask = (struct handshake_ask){.target = request->target,
                                         .host = "game.example.com",
                                         .key = "dGhlIHNhbXBsZSBub25jZQ==",
                                         .subprotocols = asking->subprotocols,
                                         .subprotocol_count = request->offer_count,
                                         .headers = asking->headers,
                                         .header_count = request->forward_count};
    expect(request->offer_count <= HANDSHAKE_SUBPROTOCOL_COUNT_MAX);
    expect(request->forward_count <= HTTP_FIELD_COUNT_MAX);
    for (unsigned i = 0; i < request->offer_count; i++, at += strlen(at) + 1)
        asking->subprotocols[i] = at;
    expect((size_t)(at - request->offer) == request->offer_bytes);
    at = request->forward;
    for (unsigned i = 0; i < request->forward_count; i++) {
        asking->headers[i].name = at;
        asking->headers[i].value = at + strlen(at) + 1;
        at = asking->headers[i].value + strlen(asking->headers[i].value) + 1;
    }
    expect((size_t)(at - request->forward) == request->forward_bytes);
}

/* It is one head, and has in it what was asked for and nothing else. */
static void check_ask(const struct handshake_ask *ask)
{
    static struct http_head head;
    static char out[65536];
    size_t head_bytes;
    size_t bytes = handshake_build_request(ask, out, sizeof(out));
    expect(bytes > 0);
    expect(fuzz_head_end((uint8_t *)out, bytes, &head_bytes) == HTTP_HEAD_OK);
    expect(head_bytes == bytes);
    expect(http_head_parse((uint8_t *)out, bytes, true, &head) == HTTP_HEAD_OK);
    expect(http_text_equals(head.start[0], "GET") && http_text_equals(head.start[1], ask->target));
    expect(head.field_count ==
           5u + (ask->subprotocol_count > 0) + ask->offers_deflate + ask->header_count);
    const struct http_field *field = &head.fields[head.field_count - ask->header_count];
    for (size_t i = 0; i < ask->header_count; i++, field++) {
        expect(http_text_equals(field->name, ask->headers[i].name));
        expect(http_text_equals(field->value, ask->headers[i].value));
        expect(!handshake_header_is_reserved(ask->headers[i].name));
    }
    struct handshake_request again;
    const char *why = "";
    expect(handshake_check_request(&head, &again, &why) == 101);
    expect(again.offers_deflate == ask->offers_deflate);
    expect(again.subprotocol_count == ask->subprotocol_count);
    for (size_t i = 0; i < ask->subprotocol_count; i++)
        expect(http_text_equals(again.subprotocols[i], ask->subprotocols[i]));
}

/* What lets a client in is not told to the upstream: no parameter of ours, and no Authorization
 * that shows the token. */
static void check_is_kept(const struct link_config *config, const struct http_head *asked,
                          const struct handshake_ask *ask)
{
    const struct http_text target = {.at = ask->target, .bytes = strlen(ask->target)};
    struct reference_token token = reference_token_of_target(target);
    expect(token.result == TOKEN_NONE);
    if (config->client.token[0] == '\0')
        return;
    token = reference_token_of_header(asked);
    for (size_t i = 0; i < ask->header_count; i++)
        expect(strcasecmp(ask->headers[i].name, "Authorization") != 0 ||
               !reference_token_is(&token, config->client.token));
    reference_token_clear(&token);
}

static void check_request(const struct link_config *config, const struct http_head *head,
                          const struct client_request *request, const struct client_asking *asked)
{
    static struct asking asking;
    char joined[URL_TARGET_BYTES_MAX + 1];
    expect(strlen(asked->accept) == HANDSHAKE_ACCEPT_BYTES);
    expect(request->target[0] == '/');
    make_ask(request, &asking);
    check_is_kept(config, head, &asking.ask);
    asking.ask.offers_deflate = asked->has_deflate;
    for (size_t i = 0; i < config->upstream.url_count; i++) {
        if (url_target_append(config->upstream.urls[i].target, request->target, joined))
            asking.ask.target = joined;
        else
            expect(config->upstream.path == CONFIG_PATH_FIXED || request->target[1] == '\0');
        if (asking.ask.target == joined)
            check_ask(&asking.ask);
    }
}

/* ---- all of it ------------------------------------------------------------------------------ */

/* plain_status: of the request alone; only with 101 head is one. */
static void check_handshake(struct link_config *config, const uint8_t *data, size_t bytes,
                            unsigned plain_status, const struct http_head *head)
{
    static struct link link;
    static struct net_session net;
    struct client_asking client_asking = {.listen = &config->listens[0]};
    const struct client_request *request = NULL;
    const char *why = NULL;
    bool is_unix = config->listens[0].kind == CONFIG_LISTEN_UNIX;
    link.config = config;
    net.link = &link;
    net.config = config;
    net.client.asking = &client_asking;
    net.client.conn.is_unix = is_unix;
    struct http_text shown;
    unsigned status = client_handshake_check(&net, data, bytes, &request, &why, &shown);
    unsigned expected = plain_status == 101 ? expected_access(config, is_unix, head) : plain_status;
    expect(status == expected || (expected == 101 && (status == 400 || status == 431)));
    expect((status == 101) == (request != NULL));
    if (status == 101)
        check_request(config, head, request, &client_asking);
    else
        check_refusal(status, why);
    client_request_free(request);
    if (status == 101) { /* it leaves: a link is never full here */
        link_client_left(&link);
        link_session_ended(&link);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    static struct http_head head;
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    uint8_t flags = fuzz_byte(&input);
    struct link_config *config = fuzz_link(flags & 15);
    struct handshake_request asked = {0};
    const char *why = "";
    size_t head_bytes;
    user_id = flags & 0x80 ? 0 : flags & 0x40 ? USER_OTHER : USER_ALLOWED;
    if (fuzz_head_end(input.at, input.bytes, &head_bytes) != HTTP_HEAD_OK)
        return 0;
    uint8_t *exact = fuzz_copy(input.at, head_bytes);
    enum http_head_result parsed = http_head_parse(exact, head_bytes, true, &head);
    unsigned status = parsed == HTTP_HEAD_ERR_TOO_BIG ? 431 : 400;
    expect(parsed < HTTP_HEAD_RESULT_COUNT && http_head_result_text(parsed)[0] != '\0');
    if (parsed == HTTP_HEAD_OK) {
        fuzz_head_check(&head, exact, head_bytes, true);
        status = handshake_check_request(&head, &asked, &why);
        expect(status == 101 || (why && *why));
        expect(status == 101 || status == 400 || status == 405 || status == 426 || status == 505);
    }
    if (status == 101)
        check_accepted(&head, &asked);
    check_handshake(config, exact, head_bytes, status, &head);
    free(exact);
    return 0;
}
