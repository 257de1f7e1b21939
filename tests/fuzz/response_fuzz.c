/*
 * An upstream's answer to the upgrade: interim heads, the answer, its cookies and Retry-After, all
 * at once and in pieces.  Input: a byte that chooses link and offer, and what came.
 */
#include "head.h"
#include "links.h"
#include "net/link.h"
#include "net/relay.h"
#include "proto/retry_after.h"

/* Of the key in RFC 6455 section 1.3. */
static const char accept_value[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

struct heard {
    enum dial_answer answer;
    struct dial_outcome outcome;
    size_t rest_bytes; /* of all that came */
    char cookies[COOKIE_FIELD_BYTES_MAX + 1];
};

struct offer {
    const char *names; /* each terminated */
    unsigned count;
    size_t bytes;
};

static const struct offer offers[] = {
    {.names = "", .count = 0}, {.names = "chat", .count = 1}, {.names = "chat\0json", .count = 2}};

/* A request that asked for nothing but this. */
static struct client_request *make_request(const struct offer *offer)
{
    size_t bytes = offer->count == 2 ? 10 : offer->count == 1 ? 5 : 0;
    struct client_request *request = fuzz_allocate(sizeof(*request) + bytes);
    *request = (struct client_request){
        .offer_count = offer->count, .offer_bytes = bytes, .target = "/", .forward = ""};
    memcpy(request->offer, offer->names, bytes);
    return request;
}

/* In pieces; what was heard is the same however it came. */
static void hear(struct link_config *config, const struct offer *offer, const uint8_t *data,
                 size_t bytes, uint64_t round, struct heard *heard)
{
    static struct worker worker;
    static struct link link;
    struct net_session net = {.worker = &worker, .link = &link, .config = config};
    struct fuzz_chance chance = fuzz_chance(data, bytes, round);
    worker.now_ms = 1000;
    worker.now_is_read = true;
    struct client_request *request = make_request(offer);
    net.client.request = request;
    net.upstream.fresh = calloc(1, sizeof(*net.upstream.fresh));
    expect(net.upstream.fresh != NULL);
    net.upstream.fresh->target = "/ws/feed";
    net.upstream.dial = dial_new();
    memcpy(net.upstream.dial->accept, accept_value, sizeof(accept_value));
    memset(heard, 0, sizeof(*heard));
    for (size_t at = 0; at < bytes && heard->answer == DIAL_NEED_MORE;) {
        size_t piece = round == 0 ? bytes : fuzz_piece(&chance, bytes - at);
        uint8_t *exact = fuzz_copy(data + at, piece);
        heard->answer = dial_read(&net, exact, piece, &heard->outcome);
        at += piece;
        if (heard->answer == DIAL_OPEN) { /* the rest is what came, to the byte */
            size_t rest_bytes = heard->outcome.rest_bytes;
            expect(rest_bytes <= at);
            expect(rest_bytes == 0 ||
                   memcmp(heard->outcome.rest, data + at - rest_bytes, rest_bytes) == 0);
            heard->rest_bytes = bytes - at + rest_bytes;
        }
        free(exact);
    }
    if (net.upstream.fresh->cookies)
        cookie_jar_write(&net.upstream.fresh->cookies->jar, worker.now_ms, true, "", true,
                         heard->cookies, sizeof(heard->cookies));
    dial_free(net.upstream.dial);
    fresh_clear(&net);
    free(request);
}

static void expect_same(const struct heard *a, const struct heard *b)
{
    expect(a->answer == b->answer && a->rest_bytes == b->rest_bytes);
    expect(a->outcome.cause == b->outcome.cause);
    expect(a->outcome.http_status == b->outcome.http_status);
    expect(a->outcome.has_retry_after == b->outcome.has_retry_after);
    expect(a->outcome.retry_after_ms == b->outcome.retry_after_ms);
    expect(strcmp(a->outcome.subprotocol, b->outcome.subprotocol) == 0);
    expect(strcmp(a->cookies, b->cookies) == 0);
}

static bool is_offered(const struct offer *offer, const char *name)
{
    return offer->count > 0 &&
           (strcmp(name, "chat") == 0 || (offer->count > 1 && strcmp(name, "json") == 0));
}

/* What an answer must be to open a connection (RFC 6455 4.1), by its text. */
static void check_open(const struct http_head *head, const struct offer *offer,
                       const struct link_config *config, const struct heard *heard)
{
    size_t accepts = 0;
    size_t upgrades = 0;
    const char *subprotocol = heard->outcome.subprotocol;
    expect(http_text_equals(head->start[0], "HTTP/1.1") && http_text_equals(head->start[1], "101"));
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (http_text_equals_nocase(field->name, "Sec-WebSocket-Accept"))
            accepts += http_text_equals(field->value, accept_value) ? 1 : 100;
        if (http_text_equals_nocase(field->name, "Upgrade"))
            upgrades += http_text_equals_nocase(field->value, "websocket") ? 1 : 100;
        expect(!http_text_equals_nocase(field->name, "Transfer-Encoding"));
        expect(!http_text_equals_nocase(field->name, "Content-Length"));
        expect(!http_text_equals_nocase(field->name, "Sec-WebSocket-Protocol") ||
               http_text_equals(field->value, subprotocol));
    }
    expect(accepts == 1 && upgrades == 1);
    expect(*subprotocol == '\0' || is_offered(offer, subprotocol));
    expect(config->upstream.cookies == CONFIG_COOKIES_KEEP || heard->cookies[0] == '\0');
    expect(http_is_field_value(heard->cookies, strlen(heard->cookies)));
}

/* The heads one behind the other, and the verdict on the first that is no interim one. */
static void check(const struct link_config *config, const struct offer *offer, const uint8_t *data,
                  size_t bytes, const struct heard *heard)
{
    static struct http_head head;
    const struct dial_outcome *outcome = &heard->outcome;
    unsigned interim_count = 0;
    size_t head_bytes;
    bool is_101;
    for (;;) {
        enum http_head_result result = fuzz_head_end(data, bytes, &head_bytes);
        if (result == HTTP_HEAD_NEED_MORE) {
            expect(heard->answer == DIAL_NEED_MORE);
            return;
        }
        uint8_t *exact = fuzz_copy(data, result == HTTP_HEAD_OK ? head_bytes : 0);
        bool is_head = result == HTTP_HEAD_OK &&
                       http_head_parse(exact, head_bytes, false, &head) == HTTP_HEAD_OK;
        if (is_head)
            fuzz_head_check(&head, exact, head_bytes, false);
        is_101 = is_head && http_text_equals(head.start[1], "101");
        bool is_interim = is_head && !is_101 && head.start[1].at[0] == '1';
        free(exact);
        if (!is_head || (is_interim && ++interim_count > DIAL_INTERIM_COUNT_MAX)) {
            expect(heard->answer == DIAL_FAILED && outcome->cause == CAUSE_HTTP_MALFORMED);
            return;
        }
        if (!is_interim)
            break;
        data += head_bytes;
        bytes -= head_bytes;
    }
    expect(heard->answer != DIAL_NEED_MORE);
    expect(http_head_parse(data, head_bytes, false, &head) == HTTP_HEAD_OK);
    expect((outcome->cause == CAUSE_HTTP_STATUS) == !is_101);
    expect(outcome->http_status >= 200 || is_101);
    if (!is_101) {
        uint64_t delay_ms = 0;
        expect(outcome->has_retry_after == retry_after_parse(&head, &delay_ms));
        expect(outcome->retry_after_ms == delay_ms);
        expect(delay_ms <= UINT64_C(1000) * RETRY_AFTER_SECONDS_MAX);
    }
    if (heard->answer == DIAL_OPEN) {
        expect(heard->rest_bytes == bytes - head_bytes);
        check_open(&head, offer, config, heard);
    } else {
        expect(heard->cookies[0] == '\0'); /* only who is trusted with a connection sets them */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    static struct heard whole, split;
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    unsigned flags = fuzz_byte(&input);
    struct link_config *config = fuzz_link(flags & 3);
    const struct offer *offer = &offers[(flags >> 2) % 3];
    hear(config, offer, input.at, input.bytes, 0, &whole);
    for (uint64_t round = 1; round <= 2; round++) {
        hear(config, offer, input.at, input.bytes, round, &split);
        expect_same(&whole, &split);
    }
    check(config, offer, input.at, input.bytes, &whole);
    return 0;
}
