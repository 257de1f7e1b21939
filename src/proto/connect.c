/* Asking an HTTP proxy for a tunnel. */
#include "proto/connect.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/http_head.h"

enum { PAIR_BYTES_MAX = 2 * PROXY_CREDENTIAL_BYTES_MAX + 1 };

size_t connect_build(const struct proxy *proxy, const struct url *url, char *out)
{
    char place[URL_HOST_BYTES_MAX + 9];
    url_place(url->host, url->host_is_ipv6, url->port, place);
    int bytes = snprintf(out, CONNECT_REQUEST_BYTES_MAX, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n",
                         place, place);
    if (proxy->has_credentials) {
        char pair[PAIR_BYTES_MAX + 1];
        char encoded[BASE64_BYTES(PAIR_BYTES_MAX) + 1];
        int pair_bytes = snprintf(pair, sizeof(pair), "%s:%s", proxy->user, proxy->password);
        base64_encode((const uint8_t *)pair, (size_t)pair_bytes, encoded);
        bytes += snprintf(out + bytes, CONNECT_REQUEST_BYTES_MAX - (size_t)bytes,
                          "Proxy-Authorization: Basic %s\r\n", encoded);
    }
    bytes += snprintf(out + bytes, CONNECT_REQUEST_BYTES_MAX - (size_t)bytes, "\r\n");
    assert(bytes > 0 && bytes < CONNECT_REQUEST_BYTES_MAX); /* all its parts are bounded */
    return (size_t)bytes;
}

enum connect_result connect_check(const uint8_t *data, size_t head_bytes, unsigned *status)
{
    struct http_head head;
    *status = 0;
    if (http_head_parse(data, head_bytes, false, &head) != HTTP_HEAD_OK ||
        head.start[0].at[5] != '1') /* HTTP/1.0 and HTTP/1.1 */
        return CONNECT_MALFORMED;
    const char *digits = head.start[1].at;
    *status = (unsigned)(digits[0] - '0') * 100 + (unsigned)(digits[1] - '0') * 10 +
              (unsigned)(digits[2] - '0');
    return digits[0] == '2' ? CONNECT_OPEN : CONNECT_REFUSED;
}
