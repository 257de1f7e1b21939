/* The way through a proxy. */
#include "net/tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "config/config.h"
#include "net/relay.h"
#include "proto/connect.h"

/* A name is the proxy's to look up; numbers go as such. */
static struct socks5_target target_of(const struct url *url)
{
    struct socks5_target target = {.port = url->port};
    if (url->host_is_ipv6 && inet_pton(AF_INET6, url->host, target.address) == 1) {
        target.kind = SOCKS5_IPV6;
        target.address_bytes = sizeof(struct in6_addr);
    } else if (!url->host_is_ipv6 && inet_pton(AF_INET, url->host, target.address) == 1) {
        target.kind = SOCKS5_IPV4;
        target.address_bytes = sizeof(struct in_addr);
    } else {
        target.kind = SOCKS5_NAME;
        target.address_bytes = (uint8_t)strlen(url->host);
        memcpy(target.address, url->host, target.address_bytes);
    }
    return target;
}

void tunnel_free(struct tunnel *tunnel)
{
    if (tunnel)
        head_clear(&tunnel->head);
    free(tunnel);
}

bool tunnel_begin(struct net_session *net)
{
    struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
    net->upstream.dial->tunnel = tunnel;
    if (!tunnel)
        return false;
    const struct proxy *proxy = &net->config->upstream.proxy;
    const struct url *url = upstream_url(net);
    if (proxy->kind == PROXY_HTTP) {
        char request[CONNECT_REQUEST_BYTES_MAX];
        size_t bytes = connect_build(proxy, url, request);
        conn_write_bytes(&net->upstream.conn, request, bytes);
        explicit_bzero(request, bytes);
    } else {
        uint8_t out[SOCKS5_SEND_BYTES_MAX];
        const struct socks5_target target = target_of(url);
        size_t bytes = socks5_begin(&tunnel->socks5, proxy, &target, out);
        conn_write_bytes(&net->upstream.conn, out, bytes);
    }
    return true;
}

static enum tunnel_result fail(struct tunnel_outcome *outcome, enum cause cause, const char *why)
{
    outcome->cause = cause;
    outcome->why = why;
    return TUNNEL_FAILED;
}

/* Nothing was read: for now, or for good. */
static enum tunnel_result nothing_came(ssize_t got, struct tunnel_outcome *outcome)
{
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return TUNNEL_NEED_MORE;
    return fail(outcome, dial_cause_of(got < 0 ? errno : 0), NULL);
}

/* ---- CONNECT ------------------------------------------------------------------------------- */

static enum tunnel_result check_answer(const uint8_t *data, size_t head_bytes,
                                       struct tunnel_outcome *outcome)
{
    switch (connect_check(data, head_bytes, &outcome->http_status)) {
    case CONNECT_OPEN:
        outcome->http_status = 0;
        return TUNNEL_OPEN;
    case CONNECT_REFUSED:
        return fail(outcome, CAUSE_PROXY_REFUSED,
                    outcome->http_status == 407 ? "it wants other credentials, or any"
                                                : "it refused the way to the upstream");
    case CONNECT_MALFORMED:
        break;
    }
    return fail(outcome, CAUSE_PROXY_REFUSED, "its answer is not HTTP");
}

/* Looked at first, and taken out of the socket up to the end of the head. */
static enum tunnel_result read_http(struct net_session *net, struct tunnel_outcome *outcome)
{
    struct head *head = &net->upstream.dial->tunnel->head;
    int fd = net->upstream.conn.watched.fd;
    uint8_t *data = net->worker->receive_buffer;
    size_t kept = head->used;
    size_t head_bytes;
    bool is_out_of_memory;
    ssize_t got = recv(fd, data, HTTP_HEAD_BYTES_MAX, MSG_PEEK);
    if (got <= 0)
        return nothing_came(got, outcome);
    size_t data_bytes = (size_t)got;
    enum http_head_result result =
        head_feed(head, &data, &data_bytes, &head_bytes, &is_out_of_memory);
    if (is_out_of_memory)
        return fail(outcome, CAUSE_NO_RESOURCES, NULL);
    size_t taken = result == HTTP_HEAD_OK ? head_bytes - kept : (size_t)got;
    if (recv(fd, NULL, taken, MSG_TRUNC) != (ssize_t)taken) /* tcp(7): thrown away */
        return fail(outcome, CAUSE_TCP_RESET, NULL);        /* it came in between */
    if (result == HTTP_HEAD_NEED_MORE)
        return TUNNEL_NEED_MORE;
    if (result != HTTP_HEAD_OK)
        return fail(outcome, CAUSE_PROXY_REFUSED, "its answer is not HTTP, or too long");
    return check_answer(data, head_bytes, outcome);
}

/* ---- SOCKS5 -------------------------------------------------------------------------------- */

static enum tunnel_result read_socks5(struct net_session *net, struct tunnel_outcome *outcome)
{
    struct socks5 *socks5 = &net->upstream.dial->tunnel->socks5;
    uint8_t data[SOCKS5_ANSWER_BYTES_MAX];
    uint8_t out[SOCKS5_SEND_BYTES_MAX];
    size_t out_bytes;
    ssize_t got = recv(net->upstream.conn.watched.fd, data, socks5_wanted(socks5), 0);
    if (got <= 0)
        return nothing_came(got, outcome);
    switch (socks5_read(socks5, data, (size_t)got, out, &out_bytes)) {
    case SOCKS5_NEED_MORE:
        return TUNNEL_NEED_MORE;
    case SOCKS5_SEND:
        conn_write_bytes(&net->upstream.conn, out, out_bytes);
        explicit_bzero(out, out_bytes);
        return TUNNEL_NEED_MORE;
    case SOCKS5_OPEN:
        return TUNNEL_OPEN;
    case SOCKS5_REFUSED:
        return fail(outcome, CAUSE_PROXY_REFUSED, socks5_reply_text(socks5->reply));
    case SOCKS5_NO_METHOD:
        return fail(outcome, CAUSE_PROXY_REFUSED, "it wants other credentials, or any");
    case SOCKS5_DENIED:
        return fail(outcome, CAUSE_PROXY_REFUSED, "it does not take these credentials");
    case SOCKS5_MALFORMED:
    case SOCKS5_RESULT_COUNT:
        break;
    }
    return fail(outcome, CAUSE_PROXY_REFUSED, "its answer is not SOCKS5");
}

enum tunnel_result tunnel_read(struct net_session *net, struct tunnel_outcome *outcome)
{
    *outcome = (struct tunnel_outcome){0};
    return net->config->upstream.proxy.kind == PROXY_HTTP ? read_http(net, outcome)
                                                          : read_socks5(net, outcome);
}
