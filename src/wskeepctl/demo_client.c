/* The client that never notices. */
#include "wskeepctl/demo_client.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct handshake_ask ask_of_all = {.target = "/", .host = "localhost"};

/* -1: errno. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* A Unix socket connects at once or not at all. */
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool put_request(struct demo_client *client)
{
    uint8_t random[16];
    char request[512];
    struct handshake_ask ask = ask_of_all;
    if (RAND_bytes(random, sizeof(random)) != 1)
        return false;
    handshake_key(random, client->key);
    ask.key = client->key;
    size_t bytes = handshake_build_request(&ask, request, sizeof(request));
    return demo_conn_put(&client->conn, request, bytes);
}

void demo_client_none(struct demo_client *client)
{
    memset(client, 0, sizeof(*client));
    client->conn.fd = -1;
}

bool demo_client_init(struct demo_client *client, const char *path, uint64_t message_count_max)
{
    demo_client_none(client);
    int fd = connect_to(path);
    if (fd < 0)
        return false;
    demo_conn_init(&client->conn, fd, true);
    errno = EIO;
    if (!put_request(client))
        return false;
    errno = ENOMEM;
    return demo_tally_init(&client->replies, message_count_max);
}

void demo_client_clear(struct demo_client *client)
{
    demo_conn_clear(&client->conn, false);
    demo_tally_clear(&client->replies);
}

static void lose(struct demo_client *client, const char *why)
{
    client->state = DEMO_CLIENT_LOST;
    snprintf(client->why, sizeof(client->why), "%s", why);
    demo_conn_clear(&client->conn, false);
}

static void lose_by_close(struct demo_client *client, const struct close_frame *close)
{
    char why[DEMO_CLIENT_WHY_BYTES];
    snprintf(why, sizeof(why), "it was closed with %u \"%.*s\"", (unsigned)close->code,
             (int)close->reason_bytes, close->reason);
    lose(client, why);
}

/* ---- what arrives -------------------------------------------------------------------------- */

static void read_head(struct demo_client *client, uint64_t now_ms)
{
    struct http_head head;
    struct http_text subprotocol;
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    unsigned status;
    const char *why = "the answer to its handshake is no HTTP";
    struct handshake_ask ask = ask_of_all;
    enum http_head_result found = demo_conn_head(&client->conn, false, &head);
    if (found == HTTP_HEAD_NEED_MORE)
        return;
    ask.key = client->key;
    handshake_accept(client->key, demo_conn_sha1, accept);
    if (found != HTTP_HEAD_OK ||
        handshake_check_response(&head, &ask, accept, &status, &subprotocol, &why) !=
            HANDSHAKE_ACCEPTED) {
        lose(client, why);
        return;
    }
    client->state = DEMO_CLIENT_OPEN;
    client->next_send_ms = now_ms;
}

static void read_messages(struct demo_client *client)
{
    struct message message;
    while (client->state == DEMO_CLIENT_OPEN || client->state == DEMO_CLIENT_CLOSING) {
        switch (demo_conn_next(&client->conn, &message)) {
        case MESSAGE_NEED_MORE:
            return;
        case MESSAGE_DATA:
            demo_tally_message(&client->replies, message.payload, message.payload_bytes);
            break;
        case MESSAGE_PING:
            demo_conn_send(&client->conn, FRAME_PONG, message.payload, message.payload_bytes);
            break;
        case MESSAGE_PONG:
            break;
        case MESSAGE_CLOSE:
            if (client->state == DEMO_CLIENT_OPEN) {
                lose_by_close(client, &message.close);
                return;
            }
            client->receipt = message.close;
            client->state = DEMO_CLIENT_CLOSED;
            demo_conn_shut(&client->conn);
            break;
        case MESSAGE_ERROR:
            lose_by_close(client, &message.close);
            return;
        }
    }
}

static void read_all(struct demo_client *client, uint64_t now_ms)
{
    enum demo_conn_fill filled;
    while ((filled = demo_conn_fill(&client->conn)) == DEMO_CONN_FILLED) {
        if (client->state == DEMO_CLIENT_UPGRADING)
            read_head(client, now_ms);
        read_messages(client);
        if (client->state == DEMO_CLIENT_LOST)
            return;
        if (client->state == DEMO_CLIENT_CLOSED)
            client->conn.in_bytes = client->conn.in_at = 0;
    }
    if (filled == DEMO_CONN_DRY)
        return;
    if (client->state == DEMO_CLIENT_CLOSED)
        demo_conn_clear(&client->conn, false);
    else
        lose(client, filled == DEMO_CONN_END ? "it ended without a Close" : strerror(errno));
}

/* ---- what is sent -------------------------------------------------------------------------- */

static void send_due(struct demo_client *client, uint64_t now_ms)
{
    if (client->state != DEMO_CLIENT_OPEN || now_ms < client->next_send_ms)
        return;
    char text[DEMO_TALLY_TEXT_BYTES_MAX];
    size_t bytes = demo_tally_text(client->sent, text);
    client->next_send_ms = now_ms + DEMO_CLIENT_SEND_MS;
    if (client->sent < client->replies.count_max &&
        demo_conn_send(&client->conn, FRAME_TEXT, (const uint8_t *)text, bytes))
        client->sent++; /* without room it is sent later: nobody reads now */
}

void demo_client_close(struct demo_client *client)
{
    if (client->state != DEMO_CLIENT_OPEN)
        return;
    client->state = DEMO_CLIENT_CLOSING;
    if (!demo_conn_send_close(&client->conn, CLOSE_NORMAL, NULL))
        lose(client, "its messages are not read");
    else
        demo_conn_flush(&client->conn);
}

/* ---- the loop ------------------------------------------------------------------------------ */

void demo_client_poll(const struct demo_client *client, struct pollfd *poll)
{
    *poll = (struct pollfd){.fd = client->conn.fd};
    if (client->conn.fd >= 0)
        poll->events = demo_conn_events(&client->conn, true);
}

void demo_client_turn(struct demo_client *client, const struct pollfd *poll, uint64_t now_ms)
{
    if (client->conn.fd < 0 || poll->fd != client->conn.fd)
        return;
    if (poll->revents & (POLLIN | POLLERR | POLLHUP))
        read_all(client, now_ms);
    if (client->conn.fd < 0)
        return;
    send_due(client, now_ms);
    demo_conn_flush(&client->conn);
}

uint64_t demo_client_deadline_ms(const struct demo_client *client)
{
    return client->state == DEMO_CLIENT_OPEN ? client->next_send_ms : UINT64_MAX;
}
