/* Who is let in. */
#include "net/client_access.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "config/config.h"
#include "net/digest.h"
#include "net/link.h"
#include "net/relay.h"
#include "proto/token.h"

/* ---- the user: as the kernel knows it, of the moment when the peer connected ---------------- */

/* On a socket of systemd a client may have come by TCP: then nobody knows who it is. */
static bool user_is_allowed(const struct conn *conn, const struct config_users *allowed)
{
    uid_t uid;
    if (allowed->count == 0)
        return true;
    if (!conn_peer_user(conn, &uid))
        return false;
    for (size_t i = 0; i < allowed->count; i++)
        if (allowed->ids[i] == uid)
            return true;
    return false;
}

/* ---- Host: a name that was rebound to this machine shall not get a page in ---------------- */

/* Where the client has reached us. */
struct local {
    char address[INET6_ADDRSTRLEN];
    uint16_t port;
};

static bool local_read(int fd, struct local *local)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        return false;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(void *)&address;
        local->port = ntohs(four->sin_port);
        return inet_ntop(AF_INET, &four->sin_addr, local->address, sizeof(local->address));
    }
    if (address.ss_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(void *)&address;
    local->port = ntohs(six->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) /* a socket of systemd may take both families */
        return inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], local->address,
                         sizeof(local->address));
    return inet_ntop(AF_INET6, &six->sin6_addr, local->address, sizeof(local->address));
}

/* Our own names count alone or with the listener's port, those of allow_hosts with any. */
static bool host_is_allowed(const struct net_session *net, const struct host *host)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "::1"};
    const struct config_listen *listen = net->client.asking->listen;
    const struct config_strings *allowed = &net->config->client.allow_hosts;
    struct local local;
    if (!local_read(net->client.conn.watched.fd, &local))
        return false;
    if (!host->has_port || host->port == local.port) {
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            if (host_is(host, own[i]))
                return true;
        if (host_is(host, local.address) || (listen->host && host_is(host, listen->host)))
            return true;
    }
    for (size_t i = 0; i < allowed->count; i++)
        if (host_is(host, allowed->items[i]))
            return true;
    return false;
}

/* ---- Origin: only browsers send one, and only listed pages are let in ---------------------- */

static bool origin_is_allowed(const struct config_strings *allowed, struct http_text origin)
{
    if (!origin.at)
        return true;
    for (size_t i = 0; i < allowed->count; i++)
        if (http_text_equals(origin, allowed->items[i]))
            return true;
    return false;
}

/* ---- the token ----------------------------------------------------------------------------- */

static bool token_is(const struct token *token, const char *right)
{
    return digest_equals(token->text, token->bytes, right, strlen(right));
}

/*
 * Who names a token in the query is judged by that: its Authorization is the upstream's then,
 * unless it shows our token, too.
 */
static unsigned check_token(const char *right, const struct http_head *head,
                            struct http_text target, bool *shows_token_in_header)
{
    struct token in_header;
    struct token in_target;
    enum token_result header = token_from_header(head, &in_header);
    enum token_result query = token_from_target(target, &in_target);
    *shows_token_in_header = false;
    if (right[0] == '\0')
        return 101;
    if (header == TOKEN_MALFORMED || query == TOKEN_MALFORMED)
        return 400;
    *shows_token_in_header = header == TOKEN_SHOWN && token_is(&in_header, right);
    bool is_right = query == TOKEN_SHOWN ? token_is(&in_target, right) : *shows_token_in_header;
    explicit_bzero(&in_header, sizeof(in_header));
    explicit_bzero(&in_target, sizeof(in_target));
    return is_right ? 101 : 401;
}

/* ---- all of it ----------------------------------------------------------------------------- */

unsigned client_access_check(const struct net_session *net, const struct http_head *head,
                             const struct handshake_request *asked, bool *shows_token_in_header,
                             const char **why, struct http_text *shown)
{
    const struct config_client *client = &net->config->client;
    const struct conn *conn = &net->client.conn;
    *why = "allow_users";
    if (!user_is_allowed(conn, &client->allow_users))
        return 403;
    *why = "host"; /* who can open a Unix socket is no page in a browser */
    *shown = asked->host.name;
    if (!conn->is_unix && !host_is_allowed(net, &asked->host))
        return 403;
    *shown = asked->target_host.name;
    if (!conn->is_unix && asked->has_target_host && !host_is_allowed(net, &asked->target_host))
        return 403;
    *why = "origin";
    *shown = asked->origin;
    if (!origin_is_allowed(&client->allow_origins, asked->origin))
        return 403;
    *why = "token";
    *shown = (struct http_text){0};
    return check_token(client->token, head, asked->target, shows_token_in_header);
}
