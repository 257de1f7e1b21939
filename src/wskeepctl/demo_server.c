/* The upstream that breaks. */
#include "wskeepctl/demo_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/handshake.h"

enum { LISTEN_BACKLOG = 16, ANSWER_BYTES_MAX = 512 };

static const char *const fault_texts[] = {
    [DEMO_FAULT_RESET] = "connection reset (RST)",
    [DEMO_FAULT_CLOSE] = "closed with 1000 \"interrupted\"",
    [DEMO_FAULT_EOF] = "connection ended without a Close (1006)",
    [DEMO_FAULT_SILENCE] = "silent: reads nothing, writes nothing",
    [DEMO_FAULT_REFUSE] = "gone: connections are refused for 1 s",
    [DEMO_FAULT_HTTP] = "overloaded: handshakes get HTTP 503 for 1 s",
};
static_assert(sizeof fault_texts / sizeof *fault_texts == DEMO_FAULT_COUNT,
              "every fault has a text");
static_assert(DEMO_SERVER_AWAY_MS == 1000, "the texts say so");

const char *demo_fault_text(enum demo_fault fault)
{
    return fault_texts[fault];
}

/* ---- the port ------------------------------------------------------------------------------ */

/* A socket bound to port of the loopback; 0: any that is free.  -1: errno. */
static int bind_port(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void set_failed(struct demo_server *server)
{
    server->has_failed = true;
    server->failed_errno = errno;
}

static void start_listening(struct demo_server *server)
{
    server->listen_fd = bind_port(server->port);
    if (server->listen_fd >= 0 && listen(server->listen_fd, LISTEN_BACKLOG) == 0)
        return;
    set_failed(server);
}

static void stop_listening(struct demo_server *server)
{
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    server->listen_fd = -1;
}

void demo_server_none(struct demo_server *server)
{
    memset(server, 0, sizeof(*server));
    server->port_fd = server->listen_fd = -1;
    for (size_t i = 0; i < DEMO_SERVER_PEER_COUNT_MAX; i++)
        server->peers[i].conn.fd = -1;
}

bool demo_server_init(struct demo_server *server, uint64_t message_count_max)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t address_bytes = sizeof(address);
    demo_server_none(server);
    server->port_fd = bind_port(0);
    if (server->port_fd < 0 ||
        getsockname(server->port_fd, (struct sockaddr *)&address, &address_bytes) != 0)
        return false;
    server->port = ntohs(address.sin_port);
    if (!demo_tally_init(&server->tally, message_count_max))
        return false;
    start_listening(server);
    errno = server->failed_errno;
    return !server->has_failed;
}

void demo_server_clear(struct demo_server *server)
{
    for (size_t i = 0; i < DEMO_SERVER_PEER_COUNT_MAX; i++)
        demo_conn_clear(&server->peers[i].conn, false);
    stop_listening(server);
    if (server->port_fd >= 0)
        close(server->port_fd);
    server->port_fd = -1;
    demo_tally_clear(&server->tally);
}

/* ---- peers --------------------------------------------------------------------------------- */

static void peer_enter(struct demo_peer *peer, enum demo_peer_state state, uint64_t now_ms)
{
    peer->state = state;
    peer->since_ms = now_ms;
}

static void peer_end(struct demo_peer *peer, bool reset)
{
    demo_conn_clear(&peer->conn, reset);
    peer->state = DEMO_PEER_NONE;
}

/* We have said our last word. */
static void peer_leave(struct demo_peer *peer, uint64_t now_ms)
{
    peer_enter(peer, DEMO_PEER_LEAVING, now_ms);
    demo_conn_shut(&peer->conn);
}

static struct demo_peer *peer_in(struct demo_server *server, enum demo_peer_state state)
{
    for (size_t i = 0; i < DEMO_SERVER_PEER_COUNT_MAX; i++)
        if (server->peers[i].state == state)
            return &server->peers[i];
    return NULL;
}

static void accept_peers(struct demo_server *server, uint64_t now_ms)
{
    struct demo_peer *peer;
    while ((peer = peer_in(server, DEMO_PEER_NONE)) != NULL) {
        int yes = 1;
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                set_failed(server); /* it would wake us again and again */
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        demo_conn_init(&peer->conn, fd, false);
        peer->is_upgraded = false;
        peer_enter(peer, DEMO_PEER_HEAD, now_ms);
    }
}

static void refuse(struct demo_peer *peer, unsigned status, const char *why, uint64_t now_ms)
{
    char answer[ANSWER_BYTES_MAX];
    size_t bytes = handshake_build_refusal(status, why, answer, sizeof(answer));
    demo_conn_put(&peer->conn, answer, bytes);
    peer_leave(peer, now_ms);
}

/* One client at a time: whoever comes anew has given up the connection before. */
static void accept_upgrade(struct demo_server *server, struct demo_peer *peer, uint64_t now_ms)
{
    for (size_t i = 0; i < DEMO_SERVER_PEER_COUNT_MAX; i++) {
        struct demo_peer *other = &server->peers[i];
        if (other->state == DEMO_PEER_OPEN || other->state == DEMO_PEER_SILENT)
            peer_end(other, true);
    }
    server->connection_count++;
    demo_tally_connected(&server->tally);
    peer->is_upgraded = true;
    peer_enter(peer, DEMO_PEER_OPEN, now_ms);
}

static void read_head(struct demo_server *server, struct demo_peer *peer, uint64_t now_ms)
{
    struct http_head head;
    struct handshake_request request;
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    char answer[ANSWER_BYTES_MAX];
    const char *why = "malformed";
    enum http_head_result found = demo_conn_head(&peer->conn, true, &head);
    if (found == HTTP_HEAD_NEED_MORE)
        return;
    unsigned status = found == HTTP_HEAD_OK ? handshake_check_request(&head, &request, &why) : 400;
    if (status == 101 && now_ms < server->answers_503_until_ms) {
        status = 503;
        why = "the demo is overloaded, on purpose";
    }
    if (status != 101) {
        refuse(peer, status, why, now_ms);
        return;
    }
    handshake_accept(request.key.at, demo_conn_sha1, accept);
    demo_conn_put(&peer->conn, answer,
                  handshake_build_response(accept, NULL, NULL, answer, sizeof(answer)));
    accept_upgrade(server, peer, now_ms);
}

static void take_message(struct demo_server *server, struct demo_peer *peer,
                         const struct message *message)
{
    demo_tally_message(&server->tally, message->payload, message->payload_bytes);
    demo_conn_send(&peer->conn, message->opcode, message->payload, message->payload_bytes);
}

static void read_messages(struct demo_server *server, struct demo_peer *peer, uint64_t now_ms)
{
    struct message message;
    for (;;) {
        bool is_open = peer->state == DEMO_PEER_OPEN;
        switch (demo_conn_next(&peer->conn, &message)) {
        case MESSAGE_NEED_MORE:
            return;
        case MESSAGE_DATA:
            if (is_open)
                take_message(server, peer, &message);
            break; /* after our Close: not taken and not acknowledged, so it comes again */
        case MESSAGE_PING:
            if (is_open)
                demo_conn_send(&peer->conn, FRAME_PONG, message.payload, message.payload_bytes);
            break;
        case MESSAGE_PONG:
            break;
        case MESSAGE_CLOSE:
        case MESSAGE_ERROR:
            if (is_open && message.close.code != CLOSE_NO_STATUS)
                demo_conn_send_close(&peer->conn, message.close.code, NULL);
            else if (is_open)
                demo_conn_send(&peer->conn, FRAME_CLOSE, NULL, 0);
            peer_leave(peer, now_ms);
            break;
        }
    }
}

static void peer_read(struct demo_server *server, struct demo_peer *peer, uint64_t now_ms)
{
    enum demo_conn_fill filled;
    while ((filled = demo_conn_fill(&peer->conn)) == DEMO_CONN_FILLED) {
        if (peer->state == DEMO_PEER_HEAD)
            read_head(server, peer, now_ms);
        if (peer->is_upgraded)
            read_messages(server, peer, now_ms);
        else if (peer->state == DEMO_PEER_LEAVING)
            peer->conn.in_bytes = 0;
    }
    if (filled != DEMO_CONN_DRY)
        peer_end(peer, false);
}

static void peer_turn(struct demo_server *server, struct demo_peer *peer, short events,
                      uint64_t now_ms)
{
    uint64_t age_ms = now_ms - peer->since_ms;
    switch (peer->state) {
    case DEMO_PEER_NONE:
        return;
    case DEMO_PEER_SILENT: /* with an end seen, it was given up; what it sent stays unread */
        if (events != 0 || age_ms >= DEMO_SERVER_SILENT_MS_MAX)
            peer_end(peer, true);
        return;
    case DEMO_PEER_HEAD:
    case DEMO_PEER_LEAVING:
        if (age_ms >= DEMO_SERVER_LEAVE_MS_MAX) {
            peer_end(peer, true);
            return;
        }
        break;
    case DEMO_PEER_OPEN:
        break;
    }
    if (events & (POLLIN | POLLERR | POLLHUP))
        peer_read(server, peer, now_ms);
    if (peer->state != DEMO_PEER_NONE)
        demo_conn_flush(&peer->conn);
}

/* ---- the loop ------------------------------------------------------------------------------ */

void demo_server_poll(const struct demo_server *server, struct pollfd *polls)
{
    bool has_place = false;
    for (size_t i = 0; i < DEMO_SERVER_PEER_COUNT_MAX; i++) {
        const struct demo_peer *peer = &server->peers[i];
        struct pollfd *poll = &polls[1 + i];
        *poll = (struct pollfd){.fd = peer->conn.fd};
        if (peer->state == DEMO_PEER_NONE)
            has_place = true;
        else if (peer->state == DEMO_PEER_SILENT)
            poll->events = POLLRDHUP;
        else
            poll->events = demo_conn_events(&peer->conn, true);
    }
    polls[0] = (struct pollfd){.fd = has_place ? server->listen_fd : -1, .events = POLLIN};
}

void demo_server_turn(struct demo_server *server, const struct pollfd *polls, uint64_t now_ms)
{
    if (server->refuses_until_ms != 0 && now_ms >= server->refuses_until_ms) {
        server->refuses_until_ms = 0;
        start_listening(server);
    }
    for (size_t i = 0; i < DEMO_SERVER_PEER_COUNT_MAX; i++)
        if (polls[1 + i].fd >= 0 && polls[1 + i].fd == server->peers[i].conn.fd)
            peer_turn(server, &server->peers[i], polls[1 + i].revents, now_ms);
    if (polls[0].revents != 0 && server->listen_fd >= 0)
        accept_peers(server, now_ms);
}

static uint64_t earlier(uint64_t one_ms, uint64_t other_ms)
{
    return one_ms < other_ms ? one_ms : other_ms;
}

uint64_t demo_server_deadline_ms(const struct demo_server *server)
{
    uint64_t deadline_ms = UINT64_MAX;
    if (server->refuses_until_ms != 0)
        deadline_ms = server->refuses_until_ms;
    for (size_t i = 0; i < DEMO_SERVER_PEER_COUNT_MAX; i++) {
        const struct demo_peer *peer = &server->peers[i];
        if (peer->state == DEMO_PEER_SILENT)
            deadline_ms = earlier(deadline_ms, peer->since_ms + DEMO_SERVER_SILENT_MS_MAX);
        if (peer->state == DEMO_PEER_HEAD || peer->state == DEMO_PEER_LEAVING)
            deadline_ms = earlier(deadline_ms, peer->since_ms + DEMO_SERVER_LEAVE_MS_MAX);
    }
    return deadline_ms;
}

uint64_t demo_server_open_since_ms(const struct demo_server *server)
{
    for (size_t i = 0; i < DEMO_SERVER_PEER_COUNT_MAX; i++)
        if (server->peers[i].state == DEMO_PEER_OPEN)
            return server->peers[i].since_ms;
    return UINT64_MAX;
}

/* ---- faults -------------------------------------------------------------------------------- */

void demo_server_break(struct demo_server *server, enum demo_fault fault, uint64_t now_ms)
{
    struct demo_peer *peer = peer_in(server, DEMO_PEER_OPEN);
    if (peer == NULL)
        return;
    server->fault_counts[fault]++;
    switch (fault) {
    case DEMO_FAULT_CLOSE: /* then the peer's Close is waited for, and only then FIN is sent */
        demo_conn_send_close(&peer->conn, CLOSE_NORMAL, "interrupted");
        demo_conn_flush(&peer->conn);
        peer_enter(peer, DEMO_PEER_LEAVING, now_ms);
        return;
    case DEMO_FAULT_EOF:
        peer_leave(peer, now_ms);
        return;
    case DEMO_FAULT_SILENCE:
        peer_enter(peer, DEMO_PEER_SILENT, now_ms);
        return;
    case DEMO_FAULT_REFUSE:
        stop_listening(server);
        server->refuses_until_ms = now_ms + DEMO_SERVER_AWAY_MS;
        break;
    case DEMO_FAULT_HTTP:
        server->answers_503_until_ms = now_ms + DEMO_SERVER_AWAY_MS;
        break;
    case DEMO_FAULT_RESET:
    case DEMO_FAULT_COUNT:
        break;
    }
    peer_end(peer, true);
}

void demo_server_calm(struct demo_server *server, uint64_t now_ms)
{
    struct demo_peer *peer = peer_in(server, DEMO_PEER_SILENT);
    if (peer != NULL)
        peer_end(peer, true);
    server->answers_503_until_ms = 0;
    if (server->refuses_until_ms != 0)
        server->refuses_until_ms = now_ms;
}
