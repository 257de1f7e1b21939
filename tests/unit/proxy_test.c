/* A proxy's URL, the CONNECT that it is sent, and its answer. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/connect.h"
#include "proto/proxy.h"

static const struct {
    const char *text;
    struct proxy expect;
} right[] = {
    {"", {.kind = PROXY_NONE}},
    {"http://proxy.example:8888", {.kind = PROXY_HTTP, .host = "proxy.example", .port = 8888}},
    {"HTTP://Proxy.Example:8888/", {.kind = PROXY_HTTP, .host = "proxy.example", .port = 8888}},
    {"http://[::1]:3128", {.kind = PROXY_HTTP, .host = "::1", .host_is_ipv6 = true, .port = 3128}},
    {"socks5://127.0.0.1:1080", {.kind = PROXY_SOCKS5, .host = "127.0.0.1", .port = 1080}},
    {"socks5://me:pass@h:1",
     {.kind = PROXY_SOCKS5,
      .host = "h",
      .port = 1,
      .has_credentials = true,
      .user = "me",
      .password = "pass"}},
    {"http://m%65:p%40s%3As%25:x@h:1",
     {.kind = PROXY_HTTP,
      .host = "h",
      .port = 1,
      .has_credentials = true,
      .user = "me",
      .password = "p@s:s%:x"}},
    {"http://me:p@ss@h:1",
     {.kind = PROXY_HTTP,
      .host = "h",
      .port = 1,
      .has_credentials = true,
      .user = "me",
      .password = "p@ss"}},
    {"socks5://a%3ab:\xc3\xbc@h:1",
     {.kind = PROXY_SOCKS5,
      .host = "h",
      .port = 1,
      .has_credentials = true,
      .user = "a:b",
      .password = "\xc3\xbc"}},
};

START_TEST(a_right_url_is_read)
{
    const struct proxy *expect = &right[_i].expect;
    struct proxy proxy;
    ck_assert_msg(proxy_parse(right[_i].text, &proxy) == PROXY_OK, "%s", right[_i].text);
    ck_assert_int_eq(proxy.kind, expect->kind);
    ck_assert_str_eq(proxy.host, expect->host);
    ck_assert_int_eq(proxy.host_is_ipv6, expect->host_is_ipv6);
    ck_assert_uint_eq(proxy.port, expect->port);
    ck_assert_int_eq(proxy.has_credentials, expect->has_credentials);
    ck_assert_str_eq(proxy.user, expect->user);
    ck_assert_str_eq(proxy.password, expect->password);
}
END_TEST

static const struct {
    const char *text;
    enum proxy_result expect;
} wrong[] = {
    {"proxy.example:8888", PROXY_ERR_SCHEME},
    {"https://h:1", PROXY_ERR_SCHEME},
    {"socks4://h:1", PROXY_ERR_SCHEME},
    {"http:/h:1", PROXY_ERR_SCHEME},
    {"http://", PROXY_ERR_HOST},
    {"http://:1", PROXY_ERR_HOST},
    {"http://a b:1", PROXY_ERR_HOST},
    {"http://[::1:1", PROXY_ERR_HOST},
    {"http://h", PROXY_ERR_PORT},
    {"socks5://h/", PROXY_ERR_PORT},
    {"http://h:0", PROXY_ERR_PORT},
    {"http://h:65536", PROXY_ERR_PORT},
    {"http://h:1/path", PROXY_ERR_TARGET},
    {"http://h:1?query", PROXY_ERR_TARGET},
    {"http://h:1#fragment", PROXY_ERR_TARGET},
    {"http://me@h:1", PROXY_ERR_CREDENTIAL},
    {"http://:pass@h:1", PROXY_ERR_CREDENTIAL},
    {"http://me:@h:1", PROXY_ERR_CREDENTIAL},
    {"http://@h:1", PROXY_ERR_CREDENTIAL},
    {"http://a%3Ab:pass@h:1", PROXY_ERR_CREDENTIAL},
    {"http://me:p%@h:1", PROXY_ERR_CREDENTIAL},
    {"http://me:p%4@h:1", PROXY_ERR_CREDENTIAL},
    {"http://me:p%g0@h:1", PROXY_ERR_CREDENTIAL},
    {"http://me:p%00@h:1", PROXY_ERR_CREDENTIAL},
    {"http://me:p%0d%0aX: y@h:1", PROXY_ERR_CREDENTIAL},
    {"http://me:p\r\nX: y@h:1", PROXY_ERR_CREDENTIAL},
    {"http://me:p\x7f@h:1", PROXY_ERR_CREDENTIAL},
};

START_TEST(a_wrong_url_is_refused)
{
    struct proxy proxy;
    enum proxy_result got = proxy_parse(wrong[_i].text, &proxy);
    ck_assert_msg(got == wrong[_i].expect, "%s: %s", wrong[_i].text, proxy_result_text(got));
    ck_assert_uint_gt(strlen(proxy_result_text(got)), 5);
}
END_TEST

START_TEST(credentials_have_a_limit)
{
    char text[1024];
    char long_one[PROXY_CREDENTIAL_BYTES_MAX + 2] = "";
    struct proxy proxy;
    memset(long_one, 'x', PROXY_CREDENTIAL_BYTES_MAX + 1);
    snprintf(text, sizeof(text), "http://%.255s:%.255s@h:1", long_one, long_one);
    ck_assert_int_eq(proxy_parse(text, &proxy), PROXY_OK);
    ck_assert_uint_eq(strlen(proxy.password), PROXY_CREDENTIAL_BYTES_MAX);
    snprintf(text, sizeof(text), "http://%s:p@h:1", long_one);
    ck_assert_int_eq(proxy_parse(text, &proxy), PROXY_ERR_CREDENTIAL);
    snprintf(text, sizeof(text), "http://u:%s@h:1", long_one);
    ck_assert_int_eq(proxy_parse(text, &proxy), PROXY_ERR_CREDENTIAL);
    char host[2048] = "http://";
    memset(host + 7, 'h', 300);
    strcpy(host + 307, ":1");
    ck_assert_int_eq(proxy_parse(host, &proxy), PROXY_ERR_HOST);
}
END_TEST

/* ---- CONNECT ------------------------------------------------------------------------------- */

static const struct {
    const char *proxy;
    const char *url;
    const char *expect;
} requests[] = {
    {"http://p:1", "ws://h.example/x?secret",
     "CONNECT h.example:80 HTTP/1.1\r\nHost: h.example:80\r\n\r\n"},
    {"http://p:1", "ws://[::1]:9000/", "CONNECT [::1]:9000 HTTP/1.1\r\nHost: [::1]:9000\r\n\r\n"},
    {"http://Aladdin:open%20sesame@p:1", "wss://h/", /* RFC 7617 section 2 */
     "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n"
     "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"},
};

START_TEST(the_request_is_what_the_rfc_says)
{
    struct proxy proxy;
    struct url url;
    char out[CONNECT_REQUEST_BYTES_MAX];
    ck_assert_int_eq(proxy_parse(requests[_i].proxy, &proxy), PROXY_OK);
    ck_assert_int_eq(url_parse(requests[_i].url, &url), URL_OK);
    ck_assert_uint_eq(connect_build(&proxy, &url, out), strlen(requests[_i].expect));
    ck_assert_str_eq(out, requests[_i].expect);
}
END_TEST

START_TEST(the_longest_request_fits)
{
    struct proxy proxy = {.kind = PROXY_HTTP, .has_credentials = true};
    struct url url = {.host_is_ipv6 = true, .port = 65535};
    char out[CONNECT_REQUEST_BYTES_MAX];
    memset(proxy.user, 'u', PROXY_CREDENTIAL_BYTES_MAX);
    memset(proxy.password, 'p', PROXY_CREDENTIAL_BYTES_MAX);
    memset(url.host, 'h', URL_HOST_BYTES_MAX);
    size_t bytes = connect_build(&proxy, &url, out);
    ck_assert_uint_lt(bytes, sizeof(out));
    ck_assert_str_eq(out + bytes - 4, "\r\n\r\n");
}
END_TEST

static const struct {
    const char *head;
    enum connect_result expect;
    unsigned status;
} answers[] = {
    {"HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n", CONNECT_OPEN,
     200},
    {"HTTP/1.1 200 OK\r\n\r\n", CONNECT_OPEN, 200},
    {"HTTP/1.1 204\r\n\r\n", CONNECT_OPEN, 204},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", CONNECT_OPEN, 200},
    {"HTTP/1.1 100 Continue\r\n\r\n", CONNECT_REFUSED, 100},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", CONNECT_REFUSED, 101},
    {"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n", CONNECT_REFUSED, 302},
    {"HTTP/1.1 403 Filtered\r\n\r\n", CONNECT_REFUSED, 403},
    {"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n", CONNECT_REFUSED, 407},
    {"HTTP/1.1 502 Bad Gateway\r\n\r\n", CONNECT_REFUSED, 502},
    {"HTTP/2.0 200 OK\r\n\r\n", CONNECT_MALFORMED, 0},
    {"HTTP/1.1 2000 OK\r\n\r\n", CONNECT_MALFORMED, 0},
    {"HTTP/1.1 20 OK\r\n\r\n", CONNECT_MALFORMED, 0},
    {"ICY 200 OK\r\n\r\n", CONNECT_MALFORMED, 0},
    {"SSH-2.0-OpenSSH_9\r\n\r\n", CONNECT_MALFORMED, 0},
    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", CONNECT_MALFORMED, 0},
    {"HTTP/1.1 200 OK\nA: b\r\n\r\n", CONNECT_MALFORMED, 0},
    {"\r\n\r\n", CONNECT_MALFORMED, 0},
};

START_TEST(the_answer_is_2xx_or_it_is_refused)
{
    unsigned status = 999;
    const char *head = answers[_i].head;
    size_t bytes = strlen(head);
    uint8_t *exact = malloc(bytes);
    memcpy(exact, head, bytes);
    enum connect_result got = connect_check(exact, bytes, &status);
    free(exact);
    ck_assert_msg(got == answers[_i].expect, "%s: %d", head, got);
    ck_assert_msg(status == answers[_i].status, "%s: %u", head, status);
}
END_TEST

static const char *const pairs[][2] = {/* RFC 4648 section 10 */
                                       {"", ""},
                                       {"f", "Zg=="},
                                       {"fo", "Zm8="},
                                       {"foo", "Zm9v"},
                                       {"foob", "Zm9vYg=="},
                                       {"fooba", "Zm9vYmE="},
                                       {"foobar", "Zm9vYmFy"}};

START_TEST(base64_is_what_the_rfc_says)
{
    char out[16];
    base64_encode((const uint8_t *)pairs[_i][0], strlen(pairs[_i][0]), out);
    ck_assert_str_eq(out, pairs[_i][1]);
    ck_assert_uint_eq(strlen(out), BASE64_BYTES(strlen(pairs[_i][0])));
}
END_TEST

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

int main(void)
{
    TCase *tcase = tcase_create("proxy");
    tcase_add_loop_test(tcase, a_right_url_is_read, 0, COUNT(right));
    tcase_add_loop_test(tcase, a_wrong_url_is_refused, 0, COUNT(wrong));
    tcase_add_test(tcase, credentials_have_a_limit);
    tcase_add_loop_test(tcase, the_request_is_what_the_rfc_says, 0, COUNT(requests));
    tcase_add_test(tcase, the_longest_request_fits);
    tcase_add_loop_test(tcase, the_answer_is_2xx_or_it_is_refused, 0, COUNT(answers));
    tcase_add_loop_test(tcase, base64_is_what_the_rfc_says, 0, COUNT(pairs));
    Suite *suite = suite_create("proxy");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
