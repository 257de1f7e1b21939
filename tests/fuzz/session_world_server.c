/* The server of the session: attempts, what it sends, and what it hears. */
#include "session_world_private.h"

#include "proto/handshake.h"

enum { UP_BYTES_MAX = 1 << 18 };

/* ---- the server's side ------------------------------------------------------------------------
 */

static void upstream_lost(struct world *world, enum cause cause, unsigned status)
{
    struct session_actions actions;
    struct world_before state = world_before(world);
    world_server_forgets(world);
    session_upstream_lost(&world->session, cause, (uint16_t)status, world->now_ms, &actions);
    world_after(world, state, &actions);
}

void world_server_is_lost(struct world *world, enum cause cause)
{
    if (!world->is_over && world->stage != SESSION_IDLE)
        upstream_lost(world, cause, 0);
}

void world_attempt_goes_on(struct world *world, bool by_proxy, bool by_tls)
{
    struct session_actions actions;
    struct world_before state = world_before(world);
    if (world->is_over)
        return;
    switch (world->stage) {
    case SESSION_RESOLVING:
        world->stage = SESSION_CONNECTING;
        session_upstream_resolved(&world->session, world->now_ms, &actions);
        break;
    case SESSION_CONNECTING:
    case SESSION_TUNNELLING:
        if (by_proxy && world->stage == SESSION_CONNECTING) {
            world->stage = SESSION_TUNNELLING;
            session_upstream_tunnelling(&world->session, world->now_ms, &actions);
            break;
        }
        world->stage = by_tls ? SESSION_SECURING : SESSION_UPGRADING;
        if (by_tls)
            session_upstream_securing(&world->session, world->now_ms, &actions);
        else
            session_upstream_connected(&world->session, world->now_ms, &actions);
        break;
    case SESSION_SECURING:
        world->stage = SESSION_UPGRADING;
        session_upstream_connected(&world->session, world->now_ms, &actions);
        break;
    default:
        return;
    }
    world_after(world, state, &actions);
}

static void upstream_opens(struct world *world, struct http_text subprotocol)
{
    const struct message_limits limits = {.message_bytes_max = 4096, .fragment_count_max = 16};
    const struct message_limits endless = {.message_bytes_max = UINT32_MAX,
                                           .fragment_count_max = 1};
    struct session_actions actions;
    struct world_before state = world_before(world);
    char *chosen = subprotocol.bytes > 0 ? fuzz_text(subprotocol.at, subprotocol.bytes) : NULL;
    world->stage = SESSION_OPEN;
    message_reader_init(&world->upstream_reader, false, &limits);
    message_reader_init(&world->server_ears, true, &endless);
    world->up_ended = false;
    world->heard_next = world->taken_count - world->session.outbox.entry_count;
    session_upstream_upgraded(&world->session, chosen, world->now_ms, &actions);
    free(chosen);
    world_after(world, state, &actions);
}

/* The server's answer; what follows it are frames.  Returns the bytes of the head. */
static size_t read_answer(struct world *world, const uint8_t *data, size_t bytes)
{
    static struct http_head head;
    static const char *const subprotocols[] = {"chat", "json"};
    const struct handshake_ask ask = {.subprotocols = subprotocols,
                                      .subprotocol_count = world->is_offering ? 2 : 0};
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    struct http_text subprotocol;
    size_t scanned = 0;
    size_t head_bytes;
    unsigned status = 0;
    const char *why;
    enum http_head_result result = http_head_find_end(data, bytes, &scanned, &head_bytes);
    if (result == HTTP_HEAD_NEED_MORE)
        return 0;
    if (result != HTTP_HEAD_OK || http_head_parse(data, head_bytes, false, &head) != HTTP_HEAD_OK) {
        upstream_lost(world, CAUSE_HTTP_MALFORMED, 0);
        return 0;
    }
    handshake_accept(world_key, world_digest, accept);
    switch (handshake_check_response(&head, &ask, accept, &status, &subprotocol, &why)) {
    case HANDSHAKE_ACCEPTED:
        upstream_opens(world, subprotocol);
        return head_bytes;
    case HANDSHAKE_REFUSED:
        session_retry_after(&world->session, 1000 * status, world->now_ms);
        upstream_lost(world, CAUSE_HTTP_STATUS, status);
        return 0;
    case HANDSHAKE_MALFORMED:
        upstream_lost(world, CAUSE_HTTP_MALFORMED, 0);
        return 0;
    case HANDSHAKE_SUBPROTOCOL:
        upstream_lost(world, CAUSE_SUBPROTOCOL_MISMATCH, 0);
        return 0;
    }
    return 0;
}

/* What a Pong or a Close of ours puts into the stream to the server. */
static void up_add(struct world *world, unsigned first, const void *payload, size_t bytes)
{
    uint8_t *frame = fuzz_allocate(FRAME_HEADER_BYTES_MAX + bytes);
    if (!world->up_ended)
        world_bytes_add(&world->up, frame, world_put_frame(frame, first, true, payload, bytes));
    free(frame);
}

static void take_message(struct world *world, const struct message *message)
{
    const struct session *session = &world->session;
    bool expected = session->state == SESSION_OPEN && (session->client == SESSION_CLIENT_OPEN ||
                                                       session->client == SESSION_CLIENT_CLOSING);
    expect(session_upstream_message(&world->session, world->now_ms) == expected);
    if (expected)
        world_tell_client(world, 0x80 | (unsigned)message->opcode, message->payload,
                          message->payload_bytes);
    if (expected)
        world_client_reads(world, 0); /* the inbox has grown */
}

static void take_pong(struct world *world, const struct message *message)
{
    struct session_actions actions;
    struct world_before state = world_before(world);
    session_upstream_pong(&world->session, message->payload, message->payload_bytes, world->now_ms,
                          &actions);
    world_after(world, state, &actions);
}

static void take_close(struct world *world, const struct close_frame *close)
{
    struct session_actions actions;
    struct world_before state = world_before(world);
    session_upstream_close(&world->session, close, world->now_ms, &actions);
    world_after(world, state, &actions);
}

static void server_breaks(struct world *world, const struct close_frame *close)
{
    upstream_lost(world,
                  close->code == CLOSE_TOO_BIG ? CAUSE_MESSAGE_TOO_BIG : CAUSE_PROTOCOL_ERROR, 0);
}

static void feed_upstream(struct world *world, uint8_t *data, size_t bytes)
{
    session_upstream_received(&world->session, world->now_ms);
    while (!world->is_over && world->stage == SESSION_OPEN) {
        struct message message;
        size_t consumed;
        enum message_event event =
            message_read(&world->upstream_reader, data, bytes, &consumed, &message);
        data += consumed;
        bytes -= consumed;
        switch (event) {
        case MESSAGE_NEED_MORE:
            return;
        case MESSAGE_DATA:
            take_message(world, &message);
            break;
        case MESSAGE_PING:
            up_add(world, 0x80 | FRAME_PONG, message.payload, message.payload_bytes);
            break;
        case MESSAGE_PONG:
            take_pong(world, &message);
            break;
        case MESSAGE_CLOSE:
            take_close(world, &message.close);
            break;
        case MESSAGE_ERROR:
            server_breaks(world, &message.close);
            return;
        }
    }
}

void world_upstream_brings(struct world *world)
{
    size_t bytes = world->upstream_rest.used;
    if (world->is_over || world->stage != SESSION_OPEN || bytes == 0 ||
        !session_reads_upstream(&world->session))
        return;
    uint8_t *exact = fuzz_copy(world->upstream_rest.at, bytes);
    world->upstream_rest.used = 0;
    feed_upstream(world, exact, bytes);
    free(exact);
}

void world_server_sends(struct world *world, const uint8_t *data, size_t bytes)
{
    if (world->is_over || bytes == 0)
        return;
    if (world->stage == SESSION_UPGRADING) {
        struct world_bytes *head = &world->upstream_head;
        world_bytes_add(head, data, bytes);
        size_t head_bytes = read_answer(world, head->at, head->used);
        if (head_bytes > 0 && world->stage == SESSION_OPEN)
            world_bytes_add(&world->upstream_rest, head->at + head_bytes, head->used - head_bytes);
        if (head_bytes > 0)
            head->used = 0;
    } else if (world->stage == SESSION_OPEN &&
               world->upstream_rest.used + bytes <= WORLD_PENDING_BYTES_MAX) {
        world_bytes_add(&world->upstream_rest, data, bytes);
    }
    world_upstream_brings(world);
}

void world_server_frame(struct world *world, unsigned first, const void *payload, size_t bytes)
{
    uint8_t *frame = fuzz_allocate(FRAME_HEADER_BYTES_MAX + bytes);
    size_t frame_bytes = world_put_frame(frame, first, false, payload, bytes);
    if (world->stage == SESSION_OPEN)
        world_server_sends(world, frame, frame_bytes);
    free(frame);
}

void world_server_answers(struct world *world, unsigned variant)
{
    static const char *const chosen[] = {"", "Sec-WebSocket-Protocol: chat\r\n",
                                         "Sec-WebSocket-Protocol: json\r\n", ""};
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    char head[512];
    if (world->stage != SESSION_UPGRADING)
        return;
    handshake_accept(world_key, world_digest, accept);
    int bytes = snprintf(head, sizeof(head),
                         "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: %s\r\n%s\r\n",
                         accept, world->is_offering ? chosen[variant & 3] : "");
    world_server_sends(world, (uint8_t *)head, (size_t)bytes);
}

/* ---- the stream to the server ------------------------------------------------------------------
 */

/* In order, none left out but what was dropped on purpose, and each as the client sent it. */
static void server_hears_message(struct world *world, const struct message *message)
{
    uint64_t next = world->heard_next;
    if (world->settings.overflow == OVERFLOW_DROP_OLDEST)
        while (next < world->taken_count && !world_is_same(&world->taken[next], message))
            next++;
    expect(next < world->taken_count && world_is_same(&world->taken[next], message));
    world->heard_next = next + 1;
    if (world->heard_next > world->heard_count)
        world->heard_count = world->heard_next;
}

void world_server_reads(struct world *world, size_t bytes)
{
    size_t left = world->up_written - world->up_heard;
    if (world->stage != SESSION_OPEN || left == 0)
        return;
    if (bytes > left)
        bytes = left;
    uint8_t *exact = fuzz_copy(world->up.at + world->up_heard, bytes);
    uint8_t pong[FRAME_HEADER_BYTES_MAX + FRAME_CONTROL_BYTES_MAX];
    world->up_heard += bytes;
    for (size_t at = 0;;) {
        struct message message;
        size_t consumed;
        enum message_event event =
            message_read(&world->server_ears, exact + at, bytes - at, &consumed, &message);
        at += consumed;
        if (event == MESSAGE_NEED_MORE)
            break;
        expect(event != MESSAGE_ERROR);
        if (event == MESSAGE_DATA)
            server_hears_message(world, &message);
        if (event == MESSAGE_PING)
            world_bytes_add(&world->pongs, pong,
                            world_put_frame(pong, 0x80 | FRAME_PONG, false, message.payload,
                                            message.payload_bytes));
    }
    free(exact);
}

void world_pongs_arrive(struct world *world)
{
    struct world_bytes pongs = world->pongs;
    world->pongs = (struct world_bytes){0};
    if (pongs.used > 0)
        world_server_sends(world, pongs.at, pongs.used);
    world_bytes_clear(&pongs);
}

void world_kernel_takes(struct world *world, size_t bytes)
{
    struct session_actions actions;
    struct world_before state = world_before(world);
    size_t left = world->up.used - world->up_written;
    if (world->is_over || world->stage != SESSION_OPEN || left == 0)
        return;
    world->up_written += bytes < left ? bytes : left;
    session_upstream_written(&world->session, world->up_written, world->now_ms, &actions);
    world_after(world, state, &actions);
}

void world_tcp_says(struct world *world, size_t bytes)
{
    size_t acked = bytes < world->up_written ? world->up_written - bytes : 0;
    if (!world->is_over && world->stage == SESSION_OPEN)
        session_upstream_tcp(&world->session, acked, acked < world->up_written, world->now_ms);
}

void world_send(struct world *world)
{
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    struct session_send send = {.body = body};
    while (world->stage == SESSION_OPEN && !world->up_ended &&
           world->up.used - world->up_written < UP_BYTES_MAX &&
           session_send_next(&world->session, world->now_ms, &send)) {
        unsigned first = 0x80 | (unsigned)send.opcode;
        expect(send.kind != SESSION_SEND_NOTHING);
        up_add(world, first, send.payload, send.payload_bytes);
        if (send.kind == SESSION_SEND_CLOSE)
            world->up_ended = true;
        session_sent(&world->session, &send, world->up.used, world->now_ms);
        world_check_accounts(world);
    }
}
