/* The client of the session: what it is sent, and what it sends. */
#include "session_world_private.h"

#include "proto/handshake.h"

/* ---- what the client is sent ----------------------------------------------------------------- */

static void client_hears(struct world *world, const uint8_t *data, size_t bytes)
{
    uint8_t *exact = fuzz_copy(data, bytes);
    size_t at = 0;
    for (;;) {
        struct message message;
        size_t consumed;
        enum message_event event =
            message_read(&world->client_ears, exact + at, bytes - at, &consumed, &message);
        at += consumed;
        if (event == MESSAGE_NEED_MORE)
            break;
        expect(event != MESSAGE_ERROR);
        if (event == MESSAGE_DATA) {
            expect(world_is_same(&world->deliver, &message));
            world_message_clear(&world->deliver);
        }
    }
    expect(!world->deliver.payload); /* it came at once, and whole */
    free(exact);
    budget_take(&world->budget, bytes);
    world->client_offset += bytes;
}

void world_tell_client(struct world *world, unsigned first, const void *payload, size_t bytes)
{
    if (world->client != WORLD_CLIENT_OPEN || world->client_close_sent)
        return;
    uint8_t *frame = fuzz_allocate(FRAME_HEADER_BYTES_MAX + bytes);
    size_t frame_bytes = world_put_frame(frame, first, false, payload, bytes);
    if (first == (0x80 | FRAME_TEXT) || first == (0x80 | FRAME_BINARY))
        world->deliver = (struct world_message){.payload = fuzz_copy(payload, bytes),
                                                .bytes = bytes,
                                                .opcode = (enum frame_opcode)(first & 15)};
    client_hears(world, frame, frame_bytes);
    free(frame);
}

static void client_is_answered(struct world *world)
{
    static struct http_head head;
    const char *const subprotocols[] = {"chat", "json"};
    const struct handshake_ask ask = {.subprotocols = subprotocols,
                                      .subprotocol_count = world->is_offering ? 2 : 0};
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    char out[512];
    struct http_text subprotocol;
    unsigned status;
    const char *why;
    handshake_accept(world_key, world_digest, accept);
    size_t bytes =
        handshake_build_response(accept, world->session.subprotocol, NULL, out, sizeof(out));
    expect(bytes > 0);
    expect(http_head_parse((uint8_t *)out, bytes, false, &head) == HTTP_HEAD_OK);
    expect(handshake_check_response(&head, &ask, accept, &status, &subprotocol, &why) ==
           HANDSHAKE_ACCEPTED);
    const struct message_limits limits = {.message_bytes_max = 4096, .fragment_count_max = 16};
    const struct message_limits endless = {.message_bytes_max = UINT32_MAX,
                                           .fragment_count_max = 1};
    message_reader_init(&world->client_reader, true, &limits);
    message_reader_init(&world->client_ears, false, &endless);
    world->client = WORLD_CLIENT_OPEN;
}

void world_client_leaves(struct world *world)
{
    world->client = WORLD_CLIENT_GONE;
    message_reader_clear(&world->client_reader);
    world_bytes_clear(&world->client_rest);
    world_message_clear(&world->kept);
}

void world_act_on_client(struct world *world, const struct session_actions *actions)
{
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    bool has_ended = world->session.state == SESSION_ENDED;
    if (actions->client == SESSION_CLIENT_ANSWER) {
        expect(world->client == WORLD_CLIENT_WAITING);
        client_is_answered(world);
    }
    if (actions->deliver_gap)
        world_tell_client(world, 0x80 | FRAME_TEXT, "gap", 3);
    switch (actions->client) {
    case SESSION_CLIENT_KEEP:
    case SESSION_CLIENT_ANSWER:
        break;
    case SESSION_CLIENT_REFUSE:
        expect(actions->refuse_status >= 502 && actions->refuse_status <= 504);
        world_client_leaves(world);
        break;
    case SESSION_CLIENT_CLOSE:
        world_tell_client(world, 0x80 | FRAME_CLOSE, body,
                          close_encode(&actions->client_close, body));
        world->client_close_sent = true;
        if (has_ended || world->client_closed)
            world_client_leaves(world);
        break;
    case SESSION_CLIENT_CUT:
        world_client_leaves(world);
        break;
    }
    if (actions->ping_client && world->client == WORLD_CLIENT_OPEN && !world->client_close_sent) {
        world_tell_client(world, 0x80 | FRAME_PING, "", 0);
        session_client_pinged(&world->session, world->client_offset, world->now_ms);
    }
    if (actions->probe_client)
        session_client_tcp(&world->session, world->client_written, false, world->now_ms);
}

/* ---- the client's messages --------------------------------------------------------------------
 */

enum session_take world_offer(struct world *world, enum frame_opcode opcode, const uint8_t *payload,
                              size_t bytes)
{
    struct session_actions actions;
    struct session *session = &world->session;
    bool was_closing = session->client == SESSION_CLIENT_CLOSING;
    uint64_t given_up = session->counters.given_up;
    if (world->taken_count == WORLD_TAKEN_MAX)
        return SESSION_IGNORED;
    struct outbox_message message = {.opcode = opcode, .payload = payload, .payload_bytes = bytes};
    enum session_take take = session_client_message(session, &message, world->now_ms, &actions);
    if (take == SESSION_TAKEN)
        world->taken[world->taken_count++] = (struct world_message){
            .payload = fuzz_copy(payload, bytes), .bytes = bytes, .opcode = opcode};
    if (take == SESSION_IGNORED)
        world->refused_count += session->counters.given_up - given_up;
    expect((take == SESSION_NOT_NOW) == session->client_full || take == SESSION_IGNORED);
    world_act(world, &actions, was_closing);
    return take;
}

static void client_lost(struct world *world, enum cause cause)
{
    struct session_actions actions;
    struct world_before state = world_before(world);
    session_client_lost(&world->session, cause, world->now_ms, &actions);
    world_after(world, state, &actions);
}

static void client_breaks(struct world *world, const struct close_frame *close)
{
    enum cause cause = close->code == CLOSE_TOO_BIG ? CAUSE_MESSAGE_TOO_BIG : CAUSE_PROTOCOL_ERROR;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    world_tell_client(world, 0x80 | FRAME_CLOSE, body, close_encode(close, body));
    world_client_leaves(world);
    client_lost(world, cause);
}

static void client_closes(struct world *world, const struct close_frame *close)
{
    struct session_actions actions;
    struct world_before state = world_before(world);
    if (!world->client_closed)
        world->client_close = *close;
    world->client_closed = true;
    session_client_close(&world->session, close, world->now_ms, &actions);
    world_after(world, state, &actions);
}

/* Frames in client_rest, until there is no room, or they are read. */
void world_feed_client(struct world *world)
{
    size_t left = world->client_rest.used;
    uint8_t *data = fuzz_copy(world->client_rest.at, left);
    size_t at = 0;
    bool has_pong = false;
    world->client_rest.used = 0;
    while (world->client == WORLD_CLIENT_OPEN && !world->kept.payload) {
        struct message message;
        size_t consumed;
        enum message_event event =
            message_read(&world->client_reader, data + at, left - at, &consumed, &message);
        at += consumed;
        if (event == MESSAGE_NEED_MORE)
            break;
        if (event == MESSAGE_DATA) {
            struct world_message kept = {.payload =
                                             fuzz_copy(message.payload, message.payload_bytes),
                                         .bytes = message.payload_bytes,
                                         .opcode = message.opcode};
            world_bytes_add(&world->client_rest, data + at,
                            left - at); /* if this ends the session */
            bool is_kept =
                world_offer(world, kept.opcode, kept.payload, kept.bytes) == SESSION_NOT_NOW;
            if (is_kept && world->client == WORLD_CLIENT_OPEN) {
                world->kept = kept;
                free(data);
                return;
            }
            world_message_clear(&kept);
            world->client_rest.used = 0;
        } else if (event == MESSAGE_PING) {
            world_tell_client(world, 0x80 | FRAME_PONG, message.payload, message.payload_bytes);
        } else if (event == MESSAGE_PONG) {
            has_pong = true;
        } else if (event == MESSAGE_CLOSE) {
            client_closes(world, &message.close);
        } else {
            client_breaks(world, &message.close);
        }
    }
    free(data);
    if (!world->is_over)
        session_client_received(&world->session, has_pong, world->now_ms);
}

static void random_fill(void *context, void *out, size_t bytes)
{
    struct world *world = context;
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = (uint8_t)fuzz_chance_below(&world->chance, 256);
}

static void begin(struct world *world, const uint8_t *data, size_t bytes)
{
    static struct http_head head;
    struct handshake_request request;
    struct session_actions actions;
    const char *why;
    if (http_head_parse(data, bytes, true, &head) != HTTP_HEAD_OK ||
        handshake_check_request(&head, &request, &why) != 101) {
        world_client_leaves(world);
        world->is_over = true;
        return;
    }
    world->client = WORLD_CLIENT_WAITING;
    world->is_begun = true;
    world->is_offering = request.subprotocol_count > 0;
    world->random = (struct random_source){.fill = random_fill, .context = world};
    session_init(&world->session, &world->settings, &world->random, &world->budget, world->now_ms);
    session_start(&world->session, world->is_offering ? NULL : "", world->now_ms, &actions);
    world_act(world, &actions, false);
}

void world_client_sends(struct world *world, const uint8_t *data, size_t bytes)
{
    size_t head_bytes;
    size_t scanned = 0;
    if (world->is_over || world->client == WORLD_CLIENT_GONE)
        return;
    if (world->client == WORLD_CLIENT_HEAD) {
        struct world_bytes *head = &world->client_head;
        world_bytes_add(head, data, bytes);
        enum http_head_result result =
            http_head_find_end(head->at, head->used, &scanned, &head_bytes);
        if (result == HTTP_HEAD_ERR_TOO_BIG) {
            world_client_leaves(world);
            world->is_over = true;
        }
        if (result != HTTP_HEAD_OK)
            return;
        begin(world, head->at, head_bytes);
        data = head->at + head_bytes;
        bytes = head->used - head_bytes;
        if (world->is_over)
            return;
    }
    if (world->client_rest.used + bytes > WORLD_PENDING_BYTES_MAX)
        return; /* TCP would not have let it through */
    world_bytes_add(&world->client_rest, data, bytes);
    if (world->client == WORLD_CLIENT_OPEN && !world->kept.payload &&
        session_reads_client(&world->session))
        world_feed_client(world);
}

void world_client_is_lost(struct world *world)
{
    if (world->is_over || world->client == WORLD_CLIENT_GONE)
        return;
    if (!world->is_begun) {
        world_client_leaves(world);
        world->is_over = true;
        return;
    }
    struct session_actions actions = {.any = false};
    struct world_before state = world_before(world);
    session_client_lost(&world->session, CAUSE_CLIENT_LOST, world->now_ms, &actions);
    if (world->session.state != SESSION_ENDED) { /* else world_act() counts them */
        world_count_kept(world, CAUSE_CLIENT_LOST, &actions);
        world_client_leaves(world);
    }
    world_after(world, state, &actions);
}

void world_client_reads(struct world *world, size_t bytes)
{
    struct session_actions actions;
    uint64_t unread = world->client_offset - world->client_written;
    uint64_t taken = bytes < unread ? bytes : unread;
    budget_give(&world->budget, taken);
    world->client_written += taken;
    if (world->is_over || !world->is_begun)
        return;
    struct world_before state = world_before(world);
    session_client_written(&world->session, world->client_written, world->now_ms);
    session_inbox(&world->session, unread - taken, world->now_ms, &actions);
    world_after(world, state, &actions);
}

void world_client_frame(struct world *world, unsigned first, const void *payload, size_t bytes)
{
    uint8_t *frame = fuzz_allocate(FRAME_HEADER_BYTES_MAX + bytes);
    size_t frame_bytes = world_put_frame(frame, first, true, payload, bytes);
    world_client_sends(world, frame, frame_bytes);
    free(frame);
}

void world_client_asks(struct world *world, unsigned variant)
{
    char head[512];
    int bytes = snprintf(head, sizeof(head),
                         "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                         "Sec-WebSocket-Version: 13\r\n%s\r\n",
                         world_key, variant & 1 ? "Sec-WebSocket-Protocol: chat, json\r\n" : "");
    if (world->client == WORLD_CLIENT_HEAD)
        world_client_sends(world, (uint8_t *)head, (size_t)bytes);
}
