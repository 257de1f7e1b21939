/* The opening handshake: what each side takes from the other.  SHA-1 is libcrypto's. */
#include <check.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/handshake.h"

static const char rfc_key[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* 1.3 */
static const char rfc_accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

static void sha1(const void *data, size_t bytes, uint8_t digest[20])
{
    SHA1(data, bytes, digest);
}

static uint8_t text[HTTP_HEAD_BYTES_MAX];
static size_t text_bytes;
static struct http_head head;

static void add_line(const char *line, size_t bytes)
{
    ck_assert_uint_le(text_bytes + bytes + 2, sizeof text);
    memcpy(text + text_bytes, line, bytes);
    memcpy(text + text_bytes + bytes, "\r\n", 2);
    text_bytes += bytes + 2;
}

/*
 * The lines, with the one that begins with `replace` (NULL: none) replaced by `line`, or left
 * out when `line` is NULL.  Without `replace`, `line` comes last.
 */
static void write_head(const char *const *lines, const char *replace, const char *line,
                       size_t line_bytes)
{
    text_bytes = 0;
    for (; *lines; lines++)
        if (!replace || strncmp(*lines, replace, strlen(replace)) != 0)
            add_line(*lines, strlen(*lines));
        else if (line)
            add_line(line, line_bytes);
    if (!replace && line)
        add_line(line, line_bytes);
    add_line("", 0);
}

#define LINE(literal) (literal), sizeof(literal) - 1
#define NO_LINE NULL, 0
#define FIRST "GET" /* in a request, the line to replace */

/* ---- keys --------------------------------------------------------------------------------- */

START_TEST(the_example_of_the_rfc_is_accepted)
{
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    char key[HANDSHAKE_KEY_BYTES + 1];
    handshake_key((const uint8_t *)"the sample nonce", key); /* 1.3 */
    ck_assert_str_eq(key, rfc_key);
    handshake_accept(key, sha1, accept);
    ck_assert_str_eq(accept, rfc_accept);
}
END_TEST

START_TEST(a_key_is_the_base64_of_its_bytes)
{
    uint8_t random[16];
    char key[HANDSHAKE_KEY_BYTES + 1];
    memset(random, 0, sizeof random);
    handshake_key(random, key);
    ck_assert_str_eq(key, "AAAAAAAAAAAAAAAAAAAAAA==");
    memset(random, 0xff, sizeof random);
    handshake_key(random, key);
    ck_assert_str_eq(key, "/////////////////////w==");
    memcpy(random, "\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\xfb", 16);
    handshake_key(random, key);
    ck_assert_str_eq(key, "ABCDEFGHIJKLMNOPQRST+w==");
}
END_TEST

/* ---- a client's request ------------------------------------------------------------------- */

static const char *const request_lines[] = {"GET /chat HTTP/1.1",
                                            "Host: server.example.com",
                                            "Upgrade: websocket",
                                            "Connection: Upgrade",
                                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                            "Sec-WebSocket-Version: 13",
                                            NULL};

static const struct {
    const char *why;
    const char *replace;
    const char *line;
    size_t line_bytes;
    unsigned expect; /* 101, or the status of the refusal */
} requests[] = {
    {"the example (4.1)", NULL, NO_LINE, 101},
    {"more fields", NULL, LINE("User-Agent: a (b; c)\r\nCookie: a=b; c=\"d\""), 101},
    {"names have no case (RFC 9110 5.1)", "Host", LINE("hOST: a"), 101},
    {"Upgrade has no case (4.2.1)", "Upgrade", LINE("UPGRADE: WebSocket"), 101},
    {"Connection is a list without case (4.2.1)", "Connection",
     LINE("Connection: keep-alive, upgrade"), 101},
    {"Connection in two fields (RFC 9110 5.3)", NULL, LINE("Connection: keep-alive"), 101},
    {"no blank after the colon (RFC 9112 5)", "Sec-WebSocket-V", LINE("Sec-WebSocket-Version:13"),
     101},
    {"blanks around a value (RFC 9112 5)", "Sec-WebSocket-V",
     LINE("Sec-WebSocket-Version: \t13\t "), 101},
    {"an Origin (4.2.1)", NULL, LINE("Origin: https://example.com"), 101},
    {"an extension need not be taken (4.2.2)", NULL,
     LINE("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), 101},
    {"an extension that nobody knows (9.1)", NULL, LINE("Sec-WebSocket-Extensions: a; b=\"c\", d"),
     101},
    {"an offer that is declined (RFC 7692 7.1)", NULL,
     LINE("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7"), 101},
    {"no list of extensions (9.1)", NULL, LINE("Sec-WebSocket-Extensions: a;"), 400},
    {"a subprotocol", NULL, LINE("Sec-WebSocket-Protocol: chat"), 101},
    {"subprotocols in two fields (11.3.4)", NULL,
     LINE("Sec-WebSocket-Protocol: a , b\r\nSec-WebSocket-Protocol:\tc"), 101},

    {"POST (4.1)", FIRST, LINE("POST /chat HTTP/1.1"), 405},
    {"a method in small letters (RFC 9110 9.1)", FIRST, LINE("get /chat HTTP/1.1"), 405},
    {"a method that begins like ours", FIRST, LINE("GETS /chat HTTP/1.1"), 405},
    {"HTTP/1.0 (4.1)", FIRST, LINE("GET /chat HTTP/1.0"), 400},
    {"HTTP/2.0 (RFC 9110 15.6.6)", FIRST, LINE("GET /chat HTTP/2.0"), 505},
    {"HTTP/0.9 (RFC 9110 15.6.6)", FIRST, LINE("GET /chat HTTP/0.9"), 505},
    {"HTTP/0.9 without a version", FIRST, LINE("GET /chat"), 400},
    {"a space in the target (RFC 9112 3.2)", FIRST, LINE("GET /chat room HTTP/1.1"), 400},
    {"a zero byte in the target", FIRST, LINE("GET /chat\0 HTTP/1.1"), 400},
    {"an empty line first (RFC 9112 2.2)", FIRST, LINE("\r\nGET /chat HTTP/1.1"), 400},
    {"a bare LF after the first line (RFC 9112 2.2)", FIRST, LINE("GET /chat HTTP/1.1\nA: b"), 400},
    {"a bare LF between fields (RFC 9112 2.2)", NULL, LINE("A: b\nC: d"), 400},
    {"a bare CR between fields (RFC 9112 2.2)", NULL, LINE("A: b\rC: d"), 400},
    {"a folded line (RFC 9112 5.2)", NULL, LINE("A: b\r\n c"), 400},
    {"a folded line with a tab (RFC 9112 5.2)", NULL, LINE("A: b\r\n\tC: d"), 400},
    {"a folded Connection (RFC 9112 5.2)", "Connection", LINE("Connection: a,\r\n Upgrade"), 400},
    {"a space before the colon (RFC 9112 5.1)", NULL, LINE("Content-Length : 5"), 400},
    {"a tab before the colon (RFC 9112 5.1)", NULL, LINE("Transfer-Encoding\t: chunked"), 400},
    {"an empty name (RFC 9112 5)", NULL, LINE(": b"), 400},
    {"a field without a colon (RFC 9112 5)", NULL, LINE("A"), 400},
    {"a zero byte in a name (RFC 9110 5.1)", NULL, LINE("A\0: b"), 400},
    {"a zero byte in a value (RFC 9110 5.5)", NULL, LINE("A: b\0c"), 400},
    {"a control character in a value (RFC 9110 5.5)", NULL, LINE("A: b\x08"), 400},
    {"a DEL in a value (RFC 9110 5.5)", NULL, LINE("A: b\x7f"), 400},
    {"no Host (4.2.1)", "Host", NO_LINE, 400},
    {"two Hosts (RFC 9112 3.2)", NULL, LINE("Host: other.example.com"), 400},
    {"two equal Hosts (RFC 9112 3.2)", NULL, LINE("host: server.example.com"), 400},
    {"an empty Host (RFC 9110 4.2.1)", "Host", LINE("Host:"), 400},
    {"a user in Host (RFC 9110 4.2.4)", "Host", LINE("Host: localhost@evil.example"), 400},
    {"two names in Host", "Host", LINE("Host: localhost, evil.example"), 400},
    {"a URL in Host (RFC 9110 7.2)", "Host", LINE("Host: http://localhost"), 400},
    {"Host beyond ASCII (RFC 3986 3.2.2)", "Host", LINE("Host: b\xc3\xbc"), 400},
    {"a URL (RFC 9112 3.2.2)", FIRST, LINE("GET http://server.example.com/chat HTTP/1.1"), 101},
    {"a URL without a path (RFC 9112 3.2.2)", FIRST, LINE("GET WSS://a:1?b HTTP/1.1"), 101},
    {"a URL with a user (RFC 9110 4.2.4)", FIRST, LINE("GET http://a@b/ HTTP/1.1"), 400},
    {"a URL without a host (RFC 9110 4.2.1)", FIRST, LINE("GET http:///chat HTTP/1.1"), 400},
    {"a URL of another kind", FIRST, LINE("GET ftp://a/ HTTP/1.1"), 400},
    {"a host and a port (RFC 9112 3.2.3)", FIRST, LINE("GET a:443 HTTP/1.1"), 400},
    {"a star (RFC 9112 3.2.4)", FIRST, LINE("GET * HTTP/1.1"), 400},
    {"a path without its slash (RFC 9112 3.2.1)", FIRST, LINE("GET chat HTTP/1.1"), 400},
    {"a body of 5 bytes (4.1)", NULL, LINE("Content-Length: 5"), 400},
    {"a body of 0 bytes (4.1)", NULL, LINE("Content-Length: 0"), 400},
    {"two lengths (RFC 9112 6.3)", NULL, LINE("Content-Length: 5\r\nContent-Length: 6"), 400},
    {"a body in chunks (4.1)", NULL, LINE("Transfer-Encoding: chunked"), 400},
    {"a length and chunks (RFC 9112 6.1)", NULL,
     LINE("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400},
    {"chunks in disguise (RFC 9112 6.1)", NULL, LINE("transfer-encoding: xchunked"), 400},
    {"no Upgrade (4.2.1)", "Upgrade", NO_LINE, 426},
    {"an empty Upgrade (4.2.1)", "Upgrade", LINE("Upgrade:"), 426},
    {"another Upgrade (4.2.1)", "Upgrade", LINE("Upgrade: h2c"), 426},
    {"an Upgrade that begins like ours (4.2.1)", "Upgrade", LINE("Upgrade: websockets"), 426},
    {"two Upgrades (4.2.1)", NULL, LINE("Upgrade: websocket"), 400},
    {"another Upgrade besides (4.2.1)", NULL, LINE("Upgrade: h2c"), 400},
    {"no Connection (4.2.1)", "Connection", NO_LINE, 400},
    {"a Connection without Upgrade (4.2.1)", "Connection", LINE("Connection: keep-alive"), 400},
    {"a Connection that begins like ours", "Connection", LINE("Connection: Upgrades"), 400},
    {"no key (4.2.1)", "Sec-WebSocket-K", NO_LINE, 400},
    {"an empty key (4.2.1)", "Sec-WebSocket-K", LINE("Sec-WebSocket-Key:"), 400},
    {"two keys (11.3.1)", NULL, LINE("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
    {"a key of 15 bytes (4.2.1)", "Sec-WebSocket-K",
     LINE("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"), 400},
    {"a key of 17 bytes (4.2.1)", "Sec-WebSocket-K",
     LINE("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400},
    {"a key of 18 bytes (4.2.1)", "Sec-WebSocket-K",
     LINE("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"), 400},
    {"a key without its = (4.2.1)", "Sec-WebSocket-K",
     LINE("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), 400},
    {"a key with a = inside (4.2.1)", "Sec-WebSocket-K",
     LINE("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j=Q=="), 400},
    {"a key in the alphabet for URLs (4.2.1)", "Sec-WebSocket-K",
     LINE("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub2-_ZQ=="), 400},
    {"a key with a space (4.2.1)", "Sec-WebSocket-K",
     LINE("Sec-WebSocket-Key: dGhlIHNhbXBs SBub25jZQ=="), 400},
    {"a key with bits left over (RFC 4648 3.5)", "Sec-WebSocket-K",
     LINE("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), 400},
    {"no version (4.2.1)", "Sec-WebSocket-V", NO_LINE, 426},
    {"version 8 (4.2.2)", "Sec-WebSocket-V", LINE("Sec-WebSocket-Version: 8"), 426},
    {"version 14 (4.2.2)", "Sec-WebSocket-V", LINE("Sec-WebSocket-Version: 14"), 426},
    {"version 013 (4.3)", "Sec-WebSocket-V", LINE("Sec-WebSocket-Version: 013"), 426},
    {"a list of versions (11.3.5)", "Sec-WebSocket-V", LINE("Sec-WebSocket-Version: 13, 8"), 426},
    {"two versions (11.3.5)", NULL, LINE("Sec-WebSocket-Version: 13"), 400},
    {"two Origins (RFC 6454 7.3)", NULL, LINE("Origin: https://a\r\nOrigin: https://b"), 400},
    {"an empty list of subprotocols (4.3)", NULL, LINE("Sec-WebSocket-Protocol:"), 400},
    {"an empty subprotocol (4.1)", NULL, LINE("Sec-WebSocket-Protocol: a,,b"), 400},
    {"a comma too many (4.1)", NULL, LINE("Sec-WebSocket-Protocol: a,"), 400},
    {"a subprotocol that is no token (4.1)", NULL, LINE("Sec-WebSocket-Protocol: a b"), 400},
    {"a subprotocol in quotes (4.1)", NULL, LINE("Sec-WebSocket-Protocol: \"a\""), 400},
    {"a subprotocol twice (4.1)", NULL, LINE("Sec-WebSocket-Protocol: a, b, a"), 400},
    {"a subprotocol twice in two fields (4.1)", NULL,
     LINE("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a"), 400},
};

static unsigned check_request(struct handshake_request *request)
{
    const char *why = NULL;
    if (http_head_parse(text, text_bytes, true, &head) != HTTP_HEAD_OK)
        return 400;
    unsigned status = handshake_check_request(&head, request, &why);
    ck_assert(status == 101 || (why && *why));
    return status;
}

START_TEST(a_request_is_right_or_refused_with_its_status)
{
    struct handshake_request request;
    write_head(request_lines, requests[_i].replace, requests[_i].line, requests[_i].line_bytes);
    unsigned got = check_request(&request);
    ck_assert_msg(got == requests[_i].expect, "%s: got %u", requests[_i].why, got);
}
END_TEST

START_TEST(a_request_says_what_is_asked_for)
{
    struct handshake_request request;
    write_head(request_lines, NULL,
               LINE("Sec-WebSocket-Protocol: a , b\r\n"
                    "Origin: https://example.com\r\n"
                    "Sec-WebSocket-Protocol: \tB"));
    ck_assert_uint_eq(check_request(&request), 101);
    ck_assert(http_text_equals(request.target, "/chat"));
    ck_assert(http_text_equals(request.host.name, "server.example.com"));
    ck_assert(http_text_equals(request.origin, "https://example.com"));
    ck_assert(http_text_equals(request.key, rfc_key));
    ck_assert_uint_eq(request.subprotocol_count, 3);
    ck_assert(http_text_equals(request.subprotocols[0], "a"));
    ck_assert(http_text_equals(request.subprotocols[1], "b"));
    ck_assert(http_text_equals(request.subprotocols[2], "B")); /* case counts (4.1) */
    write_head(request_lines, NULL, NO_LINE);
    ck_assert_uint_eq(check_request(&request), 101);
    ck_assert_ptr_null(request.origin.at);
    ck_assert_uint_eq(request.subprotocol_count, 0);
    ck_assert(!request.has_target_host);
    write_head(request_lines, FIRST, LINE("GET ws://[::1]:9?/ HTTP/1.1"));
    ck_assert_uint_eq(check_request(&request), 101);
    ck_assert(request.has_target_host && host_is(&request.target_host, "::1"));
    ck_assert_uint_eq(request.target_host.port, 9);
}
END_TEST

START_TEST(subprotocols_have_limits_and_may_reach_them)
{
    struct handshake_request request;
    char line[1000] = "Sec-WebSocket-Protocol: ";
    size_t front = strlen(line);
    for (size_t bytes = HANDSHAKE_SUBPROTOCOL_BYTES_MAX - 1;
         bytes <= HANDSHAKE_SUBPROTOCOL_BYTES_MAX + 1; bytes++) {
        memset(line + front, 'a', bytes);
        write_head(request_lines, NULL, line, front + bytes);
        ck_assert_uint_eq(check_request(&request),
                          bytes <= HANDSHAKE_SUBPROTOCOL_BYTES_MAX ? 101 : 400);
    }
    size_t bytes = front;
    for (unsigned i = 1; i <= HANDSHAKE_SUBPROTOCOL_COUNT_MAX + 1; i++) {
        bytes += (size_t)sprintf(line + bytes, "%sp%u", i > 1 ? "," : "", i);
        write_head(request_lines, NULL, line, bytes);
        ck_assert_uint_eq(check_request(&request),
                          i <= HANDSHAKE_SUBPROTOCOL_COUNT_MAX ? 101 : 400);
        if (i <= HANDSHAKE_SUBPROTOCOL_COUNT_MAX)
            ck_assert_uint_eq(request.subprotocol_count, i);
    }
}
END_TEST

/* ---- an upstream's answer ----------------------------------------------------------------- */

static const char *const response_lines[] = {
    "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", NULL};

static const char *const offered[] = {"chat", "superchat"};
static const struct handshake_ask rfc_ask = {.target = "/chat",
                                             .host = "server.example.com",
                                             .key = rfc_key,
                                             .subprotocols = offered,
                                             .subprotocol_count = 2};
#define OK HANDSHAKE_ACCEPTED
#define BAD HANDSHAKE_MALFORMED
#define NOT_OURS HANDSHAKE_SUBPROTOCOL
#define SUBPROTOCOL "Sec-WebSocket-Protocol: "

static const struct {
    const char *why;
    const char *replace;
    const char *line;
    size_t line_bytes;
    enum handshake_answer expect;
    const char *subprotocol;
} responses[] = {
    {"the example (1.3)", NULL, NO_LINE, OK, NULL},
    {"Upgrade has no case (4.1)", "Upgrade", LINE("upgrade: WebSocket"), OK, NULL},
    {"Connection is a list without case (4.1)", "Connection", LINE("Connection: a, upgrade"), OK,
     NULL},
    {"the reason is for people (RFC 9112 4)", "HTTP", LINE("HTTP/1.1 101 No"), OK, NULL},
    {"no reason (RFC 9112 4)", "HTTP", LINE("HTTP/1.1 101 "), OK, NULL},
    {"Connection in two fields (RFC 9110 5.3)", NULL, LINE("Connection: keep-alive"), OK, NULL},
    {"cookies", NULL, LINE("Set-Cookie: a=b\r\nSet-Cookie: c=d"), OK, NULL},
    {"the first subprotocol (4.1)", NULL, LINE(SUBPROTOCOL "chat"), OK, "chat"},
    {"the second subprotocol (4.1)", NULL, LINE(SUBPROTOCOL "superchat"), OK, "superchat"},

    {"a subprotocol that was not offered (4.1)", NULL, LINE(SUBPROTOCOL "other"), NOT_OURS, NULL},
    {"a subprotocol in another case (4.1)", NULL, LINE(SUBPROTOCOL "Chat"), NOT_OURS, NULL},
    {"the front of a subprotocol (4.1)", NULL, LINE(SUBPROTOCOL "super"), NOT_OURS, NULL},
    {"an empty subprotocol (4.1)", NULL, LINE(SUBPROTOCOL), NOT_OURS, NULL},
    {"two subprotocols (4.2.2)", NULL, LINE(SUBPROTOCOL "chat, superchat"), NOT_OURS, NULL},
    {"two subprotocols in two fields (11.3.4)", NULL,
     LINE(SUBPROTOCOL "chat\r\n" SUBPROTOCOL "superchat"), NOT_OURS, NULL},
    {"another status (4.1)", "HTTP", LINE("HTTP/1.1 200 OK"), HANDSHAKE_REFUSED, NULL},
    {"a refusal of HTTP/1.0 (4.1)", "HTTP", LINE("HTTP/1.0 503 No"), HANDSHAKE_REFUSED, NULL},
    {"the status next to ours", "HTTP", LINE("HTTP/1.1 102 Processing"), HANDSHAKE_REFUSED, NULL},
    {"101 of HTTP/1.0 (RFC 9110 15.2)", "HTTP", LINE("HTTP/1.0 101 Yes"), BAD, NULL},
    {"101 of HTTP/2.0", "HTTP", LINE("HTTP/2.0 101 Yes"), BAD, NULL},
    {"not HTTP at all", "HTTP", LINE("SSH-2.0-OpenSSH"), BAD, NULL},
    {"no Upgrade (4.1)", "Upgrade", NO_LINE, BAD, NULL},
    {"another Upgrade (4.1)", "Upgrade", LINE("Upgrade: h2c"), BAD, NULL},
    {"an Upgrade that begins like ours (4.1)", "Upgrade", LINE("Upgrade: websockets"), BAD, NULL},
    {"a list of Upgrades (4.1)", "Upgrade", LINE("Upgrade: h2c, websocket"), BAD, NULL},
    {"two Upgrades (4.1)", NULL, LINE("Upgrade: websocket"), BAD, NULL},
    {"no Connection (4.1)", "Connection", NO_LINE, BAD, NULL},
    {"another Connection (4.1)", "Connection", LINE("Connection: close"), BAD, NULL},
    {"no Accept (4.1)", "Sec", NO_LINE, BAD, NULL},
    {"an empty Accept (4.1)", "Sec", LINE("Sec-WebSocket-Accept:"), BAD, NULL},
    {"an Accept for another key (4.1)", "Sec",
     LINE("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp="), BAD, NULL},
    {"an Accept in another case (4.1)", "Sec",
     LINE("Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo="), BAD, NULL},
    {"an Accept and more (4.1)", "Sec", LINE("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=x"),
     BAD, NULL},
    {"the key for an Accept (4.1)", "Sec", LINE("Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ=="),
     BAD, NULL},
    {"two Accepts (11.3.3)", NULL, LINE("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), BAD,
     NULL},
    {"an extension that was not offered (4.1)", NULL,
     LINE("Sec-WebSocket-Extensions: permessage-deflate"), BAD, NULL},
    {"a body of 5 bytes (RFC 9110 8.6)", NULL, LINE("Content-Length: 5"), BAD, NULL},
    {"a body of 0 bytes (RFC 9110 8.6)", NULL, LINE("Content-Length: 0"), BAD, NULL},
    {"a length that is none (RFC 9110 8.6)", NULL, LINE("content-length:"), BAD, NULL},
    {"two lengths (RFC 9112 6.3)", NULL, LINE("Content-Length: 0\r\nContent-Length: 0"), BAD, NULL},
    {"a body in chunks (RFC 9112 6.1)", NULL, LINE("Transfer-Encoding: chunked"), BAD, NULL},
    {"a folded line (RFC 9112 5.2)", NULL, LINE("A: b\r\n c"), BAD, NULL},
    {"a bare LF (RFC 9112 2.2)", NULL, LINE("A: b\nC: d"), BAD, NULL},
};

static enum handshake_answer check_response(unsigned *status, struct http_text *subprotocol)
{
    const char *why = NULL;
    if (http_head_parse(text, text_bytes, false, &head) != HTTP_HEAD_OK)
        return HANDSHAKE_MALFORMED;
    enum handshake_answer answer =
        handshake_check_response(&head, &rfc_ask, rfc_accept, status, subprotocol, &why);
    ck_assert(answer == HANDSHAKE_ACCEPTED || (why && *why));
    return answer;
}

START_TEST(an_answer_is_taken_or_not)
{
    unsigned status = 0;
    struct http_text subprotocol = {0};
    write_head(response_lines, responses[_i].replace, responses[_i].line, responses[_i].line_bytes);
    enum handshake_answer got = check_response(&status, &subprotocol);
    ck_assert_msg(got == responses[_i].expect, "%s: got %d", responses[_i].why, (int)got);
    if (responses[_i].subprotocol)
        ck_assert(http_text_equals(subprotocol, responses[_i].subprotocol));
    else
        ck_assert_ptr_null(subprotocol.at);
    if (got == HANDSHAKE_REFUSED)
        ck_assert_int_eq(status, atoi(responses[_i].line + strlen("HTTP/1.1 ")));
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("handshake");
    tcase_add_test(tcase, the_example_of_the_rfc_is_accepted);
    tcase_add_test(tcase, a_key_is_the_base64_of_its_bytes);
    LOOP(a_request_is_right_or_refused_with_its_status, requests);
    tcase_add_test(tcase, a_request_says_what_is_asked_for);
    tcase_add_test(tcase, subprotocols_have_limits_and_may_reach_them);
    LOOP(an_answer_is_taken_or_not, responses);

    Suite *suite = suite_create("handshake");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
