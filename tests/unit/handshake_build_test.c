/* The opening handshake: the heads that we build, read again. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/handshake.h"

static const char rfc_key[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* 1.3 */
static const char rfc_accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

static uint8_t text[HTTP_HEAD_BYTES_MAX];
static size_t text_bytes;
static struct http_head head;

/* ---- answers ------------------------------------------------------------------------------ */

static const char *const offered[] = {"chat", "superchat"};

/* What a client makes of the answer in text. */
static enum handshake_answer check_response(struct http_text *subprotocol)
{
    static const struct handshake_ask ask = {.target = "/",
                                             .host = "a",
                                             .key = rfc_key,
                                             .subprotocols = offered,
                                             .subprotocol_count = 2};
    const char *why;
    unsigned status;
    ck_assert_int_eq(http_head_parse(text, text_bytes, false, &head), HTTP_HEAD_OK);
    return handshake_check_response(&head, &ask, rfc_accept, &status, subprotocol, &why);
}

START_TEST(an_answer_that_we_build_is_one_that_we_take)
{
    struct http_text subprotocol;
    char *out = (char *)text;
    text_bytes = handshake_build_response(rfc_accept, NULL, NULL, out, sizeof text);
    ck_assert_int_eq(check_response(&subprotocol), HANDSHAKE_ACCEPTED);
    ck_assert_ptr_null(subprotocol.at);
    text_bytes = handshake_build_response(rfc_accept, "superchat", NULL, out, sizeof text);
    ck_assert_int_eq(check_response(&subprotocol), HANDSHAKE_ACCEPTED);
    ck_assert(http_text_equals(subprotocol, "superchat"));
    for (size_t room = 0; room <= text_bytes; room++) { /* and one for the terminator */
        char *small = malloc(room + 1);
        ck_assert_uint_eq(handshake_build_response(rfc_accept, "superchat", NULL, small, room), 0);
        free(small);
    }
    ck_assert_uint_eq(handshake_build_response(rfc_accept, "superchat", NULL, out, text_bytes + 1),
                      text_bytes);
}
END_TEST

START_TEST(permessage_deflate_is_offered_chosen_and_taken)
{
    static const struct handshake_header none[1];
    struct handshake_ask ask = {
        .target = "/", .host = "a", .key = rfc_key, .headers = none, .offers_deflate = true};
    struct handshake_request request;
    struct deflate_terms terms;
    struct http_text subprotocol;
    const char *why;
    unsigned status;
    text_bytes = handshake_build_request(&ask, (char *)text, sizeof text);
    ck_assert_int_eq(http_head_parse(text, text_bytes, true, &head), HTTP_HEAD_OK);
    ck_assert_uint_eq(handshake_check_request(&head, &request, &why), 101);
    ck_assert(request.offers_deflate);
    request.deflate.server_max_window_bits = 10;
    text_bytes =
        handshake_build_response(rfc_accept, NULL, &request.deflate, (char *)text, sizeof text);
    ck_assert_int_eq(http_head_parse(text, text_bytes, false, &head), HTTP_HEAD_OK);
    ck_assert_int_eq(handshake_check_response(&head, &ask, rfc_accept, &status, &subprotocol, &why),
                     HANDSHAKE_ACCEPTED);
    ck_assert_int_eq(deflate_offer_check(&head, &terms), DEFLATE_OFFER_OK);
    ck_assert_uint_eq(terms.server_max_window_bits, 10);
    ask.offers_deflate = false; /* and nobody has asked for it */
    ck_assert_int_eq(handshake_check_response(&head, &ask, rfc_accept, &status, &subprotocol, &why),
                     HANDSHAKE_MALFORMED);
    text_bytes = handshake_build_request(&ask, (char *)text, sizeof text);
    ck_assert_int_eq(http_head_parse(text, text_bytes, true, &head), HTTP_HEAD_OK);
    ck_assert_uint_eq(http_head_count(&head, "Sec-WebSocket-Extensions"), 0);
}
END_TEST

START_TEST(answering_with_what_is_no_token_is_our_own_mistake)
{
    handshake_build_response(rfc_accept, "a\r\nb", NULL, (char *)text, sizeof text);
}
END_TEST

static const struct {
    unsigned status;
    const char *line;
} refusals[] = {
    {400, "HTTP/1.1 400 Bad Request"},
    {403, "HTTP/1.1 403 Forbidden"},
    {404, "HTTP/1.1 404 Not Found"},
    {405, "HTTP/1.1 405 Method Not Allowed"},
    {408, "HTTP/1.1 408 Request Timeout"},
    {426, "HTTP/1.1 426 Upgrade Required"},
    {431, "HTTP/1.1 431 Request Header Fields Too Large"},
    {500, "HTTP/1.1 500 Internal Server Error"},
    {502, "HTTP/1.1 502 Bad Gateway"},
    {503, "HTTP/1.1 503 Service Unavailable"},
    {504, "HTTP/1.1 504 Gateway Timeout"},
    {505, "HTTP/1.1 505 HTTP Version Not Supported"},
    {599, "HTTP/1.1 599 Error"},
};

START_TEST(a_refusal_says_why_and_closes)
{
    size_t scanned = 0;
    size_t head_bytes = 0;
    char length[20];
    unsigned status = refusals[_i].status;
    size_t bytes = handshake_build_refusal(status, "not today", (char *)text, sizeof text);
    ck_assert_int_eq(http_head_find_end(text, bytes, &scanned, &head_bytes), HTTP_HEAD_OK);
    ck_assert_int_eq(http_head_parse(text, head_bytes, false, &head), HTTP_HEAD_OK);
    ck_assert_mem_eq(text, refusals[_i].line, strlen(refusals[_i].line));
    ck_assert_mem_eq(text + strlen(refusals[_i].line), "\r\n", 2);
    ck_assert_uint_eq(bytes - head_bytes, strlen("wskeep: not today\n"));
    ck_assert_mem_eq(text + head_bytes, "wskeep: not today\n", bytes - head_bytes);
    snprintf(length, sizeof length, "%zu", bytes - head_bytes);
    ck_assert(http_text_equals(http_head_field(&head, "Content-Length", 0)->value, length));
    ck_assert(http_head_has_token(&head, "Connection", "close"));
    const struct http_field *version = http_head_field(&head, "Sec-WebSocket-Version", 0);
    ck_assert_int_eq(version != NULL, status == 426); /* 4.2.2 */
    ck_assert(!version || http_text_equals(version->value, "13"));
    ck_assert_int_eq(http_head_has_token(&head, "Upgrade", "websocket"), status == 426);
    ck_assert_int_eq(http_head_has_token(&head, "Connection", "upgrade"), status == 426);
    ck_assert_int_eq(http_head_has_token(&head, "Allow", "GET"),
                     status == 405); /* RFC 9110 15.5.6 */
    ck_assert_uint_eq(handshake_build_refusal(status, "not today", (char *)text, bytes), 0);
    ck_assert_uint_eq(handshake_build_refusal(status, "not today", (char *)text, bytes + 1), bytes);
}
END_TEST

/* ---- requests ----------------------------------------------------------------------------- */

static size_t build(const struct handshake_ask *ask)
{
    return text_bytes = handshake_build_request(ask, (char *)text, sizeof text);
}

static void take_request(struct handshake_request *request)
{
    const char *why = "";
    size_t scanned = 0;
    size_t head_bytes = 0;
    ck_assert_uint_gt(text_bytes, 0);
    ck_assert_int_eq(http_head_find_end(text, text_bytes, &scanned, &head_bytes), HTTP_HEAD_OK);
    ck_assert_uint_eq(head_bytes, text_bytes);
    ck_assert_int_eq(http_head_parse(text, text_bytes, true, &head), HTTP_HEAD_OK);
    unsigned status = handshake_check_request(&head, request, &why);
    ck_assert_msg(status == 101, "%u: %s", status, why);
}

START_TEST(a_request_that_we_build_is_one_that_we_take)
{
    static const struct handshake_header headers[] = {{"Authorization", "Bearer abc"},
                                                      {"X-Empty", ""},
                                                      {"Cookie", "a=b; c=\"d\""},
                                                      {"Cookie", "e=f"}};
    const struct handshake_ask ask = {.target = "/chat?a=%20",
                                      .host = "[::1]:8080",
                                      .key = rfc_key,
                                      .subprotocols = offered,
                                      .subprotocol_count = 2,
                                      .headers = headers,
                                      .header_count = 4};
    struct handshake_request request;
    build(&ask);
    take_request(&request);
    ck_assert(http_text_equals(request.target, ask.target));
    ck_assert(host_is(&request.host, "::1") && request.host.port == 8080);
    ck_assert(http_text_equals(request.key, rfc_key));
    ck_assert_ptr_null(request.origin.at);
    ck_assert_uint_eq(request.subprotocol_count, 2);
    ck_assert(http_text_equals(request.subprotocols[0], "chat"));
    ck_assert(http_text_equals(request.subprotocols[1], "superchat"));
    ck_assert_uint_eq(http_head_count(&head, "Sec-WebSocket-Protocol"), 1); /* 4.1 */
    ck_assert_uint_eq(head.field_count, 6 + 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert(http_text_equals(head.fields[6 + i].name, headers[i].name));
        ck_assert(http_text_equals(head.fields[6 + i].value, headers[i].value));
    }
}
END_TEST

START_TEST(a_request_without_subprotocols_names_none)
{
    const struct handshake_ask ask = {.target = "/", .host = "a", .key = rfc_key};
    struct handshake_request request;
    build(&ask);
    take_request(&request);
    ck_assert_uint_eq(http_head_count(&head, "Sec-WebSocket-Protocol"), 0);
    ck_assert_uint_eq(head.field_count, 5);
}
END_TEST

START_TEST(a_request_fits_or_is_not_built)
{
    static const struct handshake_header header = {"A", "b"};
    const struct handshake_ask ask = {.target = "/",
                                      .host = "a",
                                      .key = rfc_key,
                                      .subprotocols = offered,
                                      .subprotocol_count = 2,
                                      .headers = &header,
                                      .header_count = 1};
    size_t bytes = build(&ask);
    for (size_t room = 0; room <= bytes + 1; room++) { /* one is for the terminator */
        char *small = malloc(room + 1);
        ck_assert_uint_eq(handshake_build_request(&ask, small, room), room > bytes ? bytes : 0);
        free(small);
    }
}
END_TEST

/* Each place where text of others gets into a request, with any byte inside of it. */
enum place { VALUE, NAME, SUBPROTOCOL, TARGET, HOST, PLACE_COUNT };

static bool byte_fits(enum place place, unsigned byte)
{
    bool visible = byte > ' ' && byte < 0x7f;
    switch (place) {
    case VALUE: /* RFC 9110 5.5 */
        return byte == '\t' || (byte >= ' ' && byte != 0x7f);
    case NAME: /* RFC 9110 5.6.2 */
    case SUBPROTOCOL:
        return visible && !strchr("\"(),/:;<=>?@[\\]{}", (int)byte);
    case TARGET:
        return visible;
    case HOST: /* RFC 3986 3.2.2 */
        return visible && !strchr("\"#%/:<>?@[\\]^`{|}", (int)byte);
    case PLACE_COUNT:
        break;
    }
    return false;
}

START_TEST(each_byte_anywhere_comes_back_or_is_refused)
{
    for (unsigned byte = 1; byte <= 255; byte++) { /* 0 is the end */
        char value[] = {'a', (char)byte, 'b', '\0'};
        char target[] = {'/', (char)byte, 'b', '\0'};
        const char *subprotocol = _i == SUBPROTOCOL ? value : "chat";
        const struct handshake_header header = {_i == NAME ? value : "X",
                                                _i == VALUE ? value : "x"};
        const struct handshake_ask ask = {.target = _i == TARGET ? target : "/",
                                          .host = _i == HOST ? value : "host",
                                          .key = rfc_key,
                                          .subprotocols = &subprotocol,
                                          .subprotocol_count = 1,
                                          .headers = &header,
                                          .header_count = 1};
        struct handshake_request request;
        bool fits = byte_fits((enum place)_i, byte);
        ck_assert_msg((build(&ask) != 0) == fits, "place %d, byte %02x", _i, byte);
        if (!fits)
            continue;
        take_request(&request);
        ck_assert(http_text_equals(request.target, ask.target));
        ck_assert(http_text_equals(request.host.name, ask.host));
        ck_assert(http_text_equals(request.subprotocols[0], subprotocol));
        ck_assert_uint_eq(head.field_count, 7);
        ck_assert(http_text_equals(head.fields[6].name, header.name));
        ck_assert(http_text_equals(head.fields[6].value, header.value));
    }
}
END_TEST

static const struct {
    const char *why;
    const char *target;
    const char *host;
    const char *subprotocol;
    struct handshake_header header;
} unsafe[] = {
    {"a second request in the target (RFC 9112 11.2)", "/ HTTP/1.1\r\nA: b", "a", "b", {"A", "b"}},
    {"an empty target (RFC 9112 3.2)", "", "a", "b", {"A", "b"}},
    {"a target with a host (RFC 9112 3.2.2)", "ws://b/", "a", "b", {"A", "b"}},
    {"an empty host", "/", "", "b", {"A", "b"}},
    {"a host with a line end", "/", "a\r\nA: b", "b", {"A", "b"}},
    {"a host with a space", "/", "a b", "b", {"A", "b"}},
    {"an empty subprotocol (4.1)", "/", "a", "", {"A", "b"}},
    {"two subprotocols in one (4.1)", "/", "a", "b,c", {"A", "b"}},
    {"a subprotocol with a line end (4.1)", "/", "a", "b\r\nA: b", {"A", "b"}},
    {"an empty name (RFC 9110 5.1)", "/", "a", "b", {"", "b"}},
    {"a name with a colon (RFC 9110 5.1)", "/", "a", "b", {"A:", "b"}},
    {"a name with a space after it (RFC 9112 5.1)", "/", "a", "b", {"A ", "b"}},
    {"a value with a line end (RFC 9112 11.1)", "/", "a", "b", {"A", "b\r\nC: d"}},
    {"a value that is folded (RFC 9112 5.2)", "/", "a", "b", {"A", "b\r\n c"}},
    {"a value that ends the head (RFC 9112 11.1)", "/", "a", "b", {"A", "b\r\n\r\n"}},
    {"a value with a blank in front that nobody reads (RFC 9110 5.5)", "/", "a", "b", {"A", " b"}},
    {"or behind it", "/", "a", "b", {"A", "b\t"}},
    {"a second Host (RFC 9112 3.2)", "/", "a", "b", {"Host", "b"}},
    {"a body (4.1)", "/", "a", "b", {"content-length", "5"}},
    {"an extension that nobody reads (9.1)",
     "/",
     "a",
     "b",
     {"Sec-WebSocket-Extensions", "permessage-deflate"}},
};

START_TEST(what_could_be_read_as_something_else_is_not_built)
{
    const struct handshake_ask ask = {.target = unsafe[_i].target,
                                      .host = unsafe[_i].host,
                                      .key = rfc_key,
                                      .subprotocols = &unsafe[_i].subprotocol,
                                      .subprotocol_count = 1,
                                      .headers = &unsafe[_i].header,
                                      .header_count = 1};
    ck_assert_msg(build(&ask) == 0, "%s", unsafe[_i].why);
}
END_TEST

/* ---- any request -------------------------------------------------------------------------- */

enum { TEXTS = 8, TEXT_BYTES_MAX = 24, SEEDS = 20000 };

static uint64_t chance;

static unsigned below(unsigned count) /* from a seed (xorshift) */
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned)(chance >> 20) % count;
}

/* Mostly what fits, now and then any byte, or one that has a meaning to somebody. */
static const char *make_text(char *out, const char *front)
{
    static const char harmless[] = "abcXYZ019-_.~!*'";
    static const char telling[] = "\r\n\t :;,/\\\"@#?%=[]{}()<>";
    size_t bytes = strlen(front);
    size_t bytes_max = bytes + below(TEXT_BYTES_MAX - 2);
    unsigned wild = below(3);
    memcpy(out, front, bytes);
    while (bytes < bytes_max) {
        unsigned kind = wild ? 0 : below(8);
        out[bytes++] = kind == 7   ? (char)(1 + below(255))
                       : kind == 6 ? telling[below(sizeof telling - 1)]
                                   : harmless[below(sizeof harmless - 1)];
    }
    out[bytes] = '\0';
    return out;
}

START_TEST(whatever_is_built_is_read_again_as_it_was_meant)
{
    static const char *const header_names[] = {"Cookie", "Authorization", "X-Tag"};
    char texts[TEXTS][TEXT_BYTES_MAX];
    struct handshake_request request;
    unsigned built = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        chance = seed * 0x9e3779b97f4a7c15u;
        const char *subprotocols[] = {make_text(texts[0], "a"), make_text(texts[1], "b")};
        const struct handshake_header headers[] = {
            {header_names[below(3)], make_text(texts[2], "")},
            {make_text(texts[3], "X-"), make_text(texts[4], "Bearer ")},
            {header_names[below(3)], make_text(texts[5], "")}};
        const struct handshake_ask ask = {.target = make_text(texts[6], "/"),
                                          .host = make_text(texts[7], "h"),
                                          .key = rfc_key,
                                          .subprotocols = subprotocols,
                                          .subprotocol_count = below(3),
                                          .headers = headers,
                                          .header_count = below(4)};
        if (build(&ask) == 0)
            continue;
        built++;
        take_request(&request);
        ck_assert_msg(http_text_equals(request.target, ask.target), "seed %u", seed);
        ck_assert_msg(http_text_equals(http_head_field(&head, "Host", 0)->value, ask.host),
                      "seed %u", seed);
        ck_assert_msg(http_text_equals(request.key, ask.key), "seed %u", seed);
        ck_assert_msg(request.subprotocol_count == ask.subprotocol_count, "seed %u", seed);
        for (size_t i = 0; i < ask.subprotocol_count; i++)
            ck_assert_msg(http_text_equals(request.subprotocols[i], subprotocols[i]), "seed %u",
                          seed);
        size_t own = head.field_count - ask.header_count;
        ck_assert_msg(own == (ask.subprotocol_count ? 6 : 5), "seed %u", seed);
        for (size_t i = 0; i < ask.header_count; i++) {
            const struct http_field *field = &head.fields[own + i];
            ck_assert_msg(http_text_equals(field->name, headers[i].name), "seed %u", seed);
            ck_assert_msg(http_text_equals(field->value, headers[i].value), "seed %u", seed);
        }
    }
    ck_assert_uint_gt(built, SEEDS / 10);
    ck_assert_uint_lt(built, SEEDS - SEEDS / 10);
}
END_TEST

/* ---- names -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool is_reserved;
} names[] = {
    {"Host", true},
    {"hOST", true},
    {"Connection", true},
    {"Upgrade", true},
    {"Expect", true},
    {"Content-Length", true},
    {"Transfer-Encoding", true},
    {"Trailer", true},
    {"TE", true},
    {"Keep-Alive", true},
    {"Proxy-Connection", true},
    {"Sec-WebSocket-Key", true},
    {"Sec-WebSocket-Accept", true},
    {"Sec-WebSocket-Version", true},
    {"sec-websocket-extensions", true},
    {"SEC-WEBSOCKET-PROTOCOL", true},
    {"Sec-WebSocket-Anything", true},
    {"Origin", false},
    {"Authorization", false},
    {"Cookie", false},
    {"Hosts", false},
    {"X-Host", false},
    {"Sec-WebSocket", false},
    {"Sec-Fetch-Mode", false},
    {"Content-Type", false},
};

START_TEST(some_names_belong_to_the_handshake)
{
    ck_assert_msg(handshake_header_is_reserved(names[_i].name) == names[_i].is_reserved, "%s",
                  names[_i].name);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("handshake_build");
    tcase_add_test(tcase, an_answer_that_we_build_is_one_that_we_take);
    tcase_add_test(tcase, permessage_deflate_is_offered_chosen_and_taken);
    tcase_add_test_raise_signal(tcase, answering_with_what_is_no_token_is_our_own_mistake, SIGABRT);
    LOOP(a_refusal_says_why_and_closes, refusals);
    tcase_add_test(tcase, a_request_that_we_build_is_one_that_we_take);
    tcase_add_test(tcase, a_request_without_subprotocols_names_none);
    tcase_add_test(tcase, a_request_fits_or_is_not_built);
    tcase_add_loop_test(tcase, each_byte_anywhere_comes_back_or_is_refused, 0, PLACE_COUNT);
    LOOP(what_could_be_read_as_something_else_is_not_built, unsafe);
    tcase_add_test(tcase, whatever_is_built_is_read_again_as_it_was_meant);
    LOOP(some_names_belong_to_the_handshake, names);

    Suite *suite = suite_create("handshake_build");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
