/* The way through an HTTP proxy.  Input: the proxy's URL, and from the second line on its answer.
 */
#include "proto/proxy.h"

#include <strings.h>

#include "head.h"
#include "proto/base64.h"
#include "proto/connect.h"

/* Every byte of it percent-encoded. */
static char *put_encoded(char *at, const char *text)
{
    for (; *text; text++)
        at += sprintf(at, "%%%02x", (unsigned)(unsigned char)*text);
    return at;
}

static void check_same(const struct proxy *a, const struct proxy *b)
{
    expect(a->kind == b->kind && a->port == b->port && a->host_is_ipv6 == b->host_is_ipv6);
    expect(strcmp(a->host, b->host) == 0 && a->has_credentials == b->has_credentials);
    expect(strcmp(a->user, b->user) == 0 && strcmp(a->password, b->password) == 0);
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

static void check_parsed(const struct proxy *proxy)
{
    char text[6 * PROXY_CREDENTIAL_BYTES_MAX + URL_HOST_BYTES_MAX + 64];
    struct proxy again;
    char *at = text;
    expect(proxy->host[0] != '\0' && proxy->port > 0);
    expect(!proxy->has_credentials || (proxy->user[0] && proxy->password[0]));
    expect(proxy->has_credentials || (!proxy->user[0] && !proxy->password[0]));
    for (const char *c = proxy->user; *c; c++)
        expect(!is_control(*c) && (*c != ':' || proxy->kind == PROXY_SOCKS5));
    for (const char *c = proxy->password; *c; c++)
        expect(!is_control(*c));
    at += sprintf(at, "%s://", proxy->kind == PROXY_HTTP ? "http" : "socks5");
    if (proxy->has_credentials) {
        at = put_encoded(at, proxy->user);
        *at++ = ':';
        at = put_encoded(at, proxy->password);
        *at++ = '@';
    }
    url_place(proxy->host, proxy->host_is_ipv6, proxy->port, at);
    expect(proxy_parse(text, &again) == PROXY_OK);
    check_same(proxy, &again);
}

/* The request is a head of its own, and says what it should to the byte. */
static void check_request(const struct proxy *proxy)
{
    static struct http_head head;
    struct url url;
    char request[CONNECT_REQUEST_BYTES_MAX];
    size_t head_bytes;
    expect(url_parse(proxy->host_is_ipv6 ? "wss://[::1]/x" : "ws://server.example.com/", &url) ==
           URL_OK);
    const char *place = proxy->host_is_ipv6 ? "[::1]:443" : "server.example.com:80";
    size_t bytes = connect_build(proxy, &url, request);
    expect(bytes == strlen(request));
    expect(fuzz_head_end((uint8_t *)request, bytes, &head_bytes) == HTTP_HEAD_OK);
    expect(head_bytes == bytes);
    expect(http_head_parse((uint8_t *)request, bytes, true, &head) == HTTP_HEAD_OK);
    expect(http_text_equals(head.start[0], "CONNECT") && http_text_equals(head.start[1], place));
    expect(http_text_equals(http_head_field(&head, "Host", 0)->value, place));
    expect(head.field_count == 1u + proxy->has_credentials);
    if (!proxy->has_credentials)
        return;
    char pair[2 * PROXY_CREDENTIAL_BYTES_MAX + 2];
    char basic[BASE64_BYTES(sizeof(pair)) + 8] = "Basic ";
    int pair_bytes = snprintf(pair, sizeof(pair), "%s:%s", proxy->user, proxy->password);
    base64_encode((uint8_t *)pair, (size_t)pair_bytes, basic + strlen(basic));
    expect(http_text_equals(http_head_field(&head, "Proxy-Authorization", 0)->value, basic));
}

static void check_answer(const uint8_t *data, size_t bytes)
{
    static struct http_head head;
    size_t head_bytes;
    unsigned status = 7;
    if (fuzz_head_end(data, bytes, &head_bytes) != HTTP_HEAD_OK)
        return;
    uint8_t *exact = fuzz_copy(data, head_bytes);
    enum connect_result result = connect_check(exact, head_bytes, &status);
    bool is_head = http_head_parse(exact, head_bytes, false, &head) == HTTP_HEAD_OK &&
                   memcmp(head.start[0].at, "HTTP/1.", 7) == 0;
    expect((result == CONNECT_MALFORMED) == !is_head);
    if (is_head) {
        expect(status >= 100 && status <= 999);
        expect((result == CONNECT_OPEN) == (status / 100 == 2));
        fuzz_head_check(&head, exact, head_bytes, false);
    } else {
        expect(status == 0);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    struct fuzz_input line = fuzz_line(&input);
    char *text = fuzz_text(line.at, line.bytes);
    struct proxy proxy;
    enum proxy_result result = proxy_parse(text, &proxy);
    expect(result < PROXY_RESULT_COUNT && proxy_result_text(result)[0] != '\0');
    if (result == PROXY_OK) {
        expect((proxy.kind == PROXY_NONE) == (text[0] == '\0'));
        if (proxy.kind != PROXY_NONE)
            check_parsed(&proxy);
        if (proxy.kind == PROXY_HTTP)
            check_request(&proxy);
    }
    check_answer(input.at, input.bytes);
    free(text);
    return 0;
}
