/* A session between two peers in memory: carrying out, and accounting. */
#include "session_world.h"

#include "proto/handshake.h"
#include "proto/mask.h"

enum { TIMER_COUNT_MAX = 64, UP_BYTES_MAX = 1 << 18, STEP_COUNT_MAX = 300 };

static const char key_text[] = "dGhlIHNhbXBsZSBub25jZQ==";

/* ---- memory --------------------------------------------------------------------------------- */

static void bytes_add(struct world_bytes *bytes, const void *data, size_t count)
{
    if (bytes->used + count > bytes->room) {
        bytes->room = 2 * (bytes->used + count);
        bytes->at = realloc(bytes->at, bytes->room);
        expect(bytes->at != NULL);
    }
    if (count > 0)
        memcpy(bytes->at + bytes->used, data, count);
    bytes->used += count;
}

static void bytes_clear(struct world_bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct world_bytes){0};
}

static void message_clear(struct world_message *message)
{
    free(message->payload);
    *message = (struct world_message){0};
}

static bool is_same(const struct world_message *a, const struct message *b)
{
    return a->payload && a->opcode == b->opcode && a->bytes == b->payload_bytes &&
           memcmp(a->payload, b->payload, a->bytes) == 0;
}

/* Nothing like SHA-1, and the same at both ends: what counts is that the right one is compared. */
static void digest(const void *data, size_t bytes, uint8_t out[20])
{
    memset(out, 0, 20);
    for (size_t i = 0; i < bytes; i++)
        out[i % 20] = (uint8_t)(out[i % 20] * 31 + ((const uint8_t *)data)[i]);
}

static void random_fill(void *context, void *out, size_t bytes)
{
    struct world *world = context;
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = (uint8_t)fuzz_chance_below(&world->chance, 256);
}

static size_t put_frame(uint8_t *out, unsigned first, bool masked, const void *payload,
                        size_t bytes)
{
    struct frame_header header = {.fin = true,
                                  .masked = masked,
                                  .mask_key = {masked * 0x37, masked * 0xfa, masked * 0x21, 0},
                                  .opcode = FRAME_BINARY,
                                  .payload_bytes = bytes};
    size_t header_bytes = frame_header_encode(&header, out);
    out[0] = (uint8_t)first;
    mask_copy(out + header_bytes, payload, bytes, header.mask_key, 0);
    return header_bytes + bytes;
}

/* ---- accounting ----------------------------------------------------------------------------- */

/* Each message that was taken is acknowledged, given up, or still in the outbox. */
static void check_accounts(const struct world *world)
{
    const struct session *session = &world->session;
    const struct session_counters *counters = &session->counters;
    if (!world->is_begun)
        return;
    session_check(session);
    expect(counters->given_up >= world->refused_count);
    expect(world->taken_count == counters->sent + (counters->given_up - world->refused_count) +
                                     session->outbox.entry_count);
    /* What counts as acknowledged has been heard: nobody can guess a Ping. */
    if (world->settings.acknowledge == ACKNOWLEDGE_PONG && !session->pong_given_up &&
        world->settings.overflow != OVERFLOW_DROP_OLDEST)
        expect(counters->sent <= world->heard_count);
    expect(world->budget.bytes >= session->outbox.payload_bytes);
}

/* The receipt says everything arrived only when it did (rule 5). */
static void check_receipt(const struct world *world, const struct session_actions *actions,
                          bool was_closing)
{
    if (!was_closing || actions->client != SESSION_CLIENT_CLOSE)
        return;
    expect(outbox_is_empty(&world->session.outbox));
    if (actions->given_up_count > 0)
        expect(actions->client_close.code == CLOSE_INTERNAL_ERROR);
    else
        expect(actions->client_close.code == world->client_close.code);
}

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
            expect(is_same(&world->deliver, &message));
            message_clear(&world->deliver);
        }
    }
    expect(!world->deliver.payload); /* it came at once, and whole */
    free(exact);
    budget_take(&world->budget, bytes);
    world->client_offset += bytes;
}

static void client_is_sent(struct world *world, unsigned first, const void *payload, size_t bytes)
{
    if (world->client != WORLD_CLIENT_OPEN || world->client_close_sent)
        return;
    uint8_t *frame = fuzz_allocate(FRAME_HEADER_BYTES_MAX + bytes);
    size_t frame_bytes = put_frame(frame, first, false, payload, bytes);
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
    handshake_accept(key_text, digest, accept);
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

static void client_leaves(struct world *world)
{
    world->client = WORLD_CLIENT_GONE;
    message_reader_clear(&world->client_reader);
    bytes_clear(&world->client_rest);
    message_clear(&world->kept);
}

static void act_on_client(struct world *world, const struct session_actions *actions)
{
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    bool has_ended = world->session.state == SESSION_ENDED;
    if (actions->client == SESSION_CLIENT_ANSWER) {
        expect(world->client == WORLD_CLIENT_WAITING);
        client_is_answered(world);
    }
    if (actions->deliver_gap)
        client_is_sent(world, 0x80 | FRAME_TEXT, "gap", 3);
    switch (actions->client) {
    case SESSION_CLIENT_KEEP:
    case SESSION_CLIENT_ANSWER:
        break;
    case SESSION_CLIENT_REFUSE:
        expect(actions->refuse_status >= 502 && actions->refuse_status <= 504);
        client_leaves(world);
        break;
    case SESSION_CLIENT_CLOSE:
        client_is_sent(world, 0x80 | FRAME_CLOSE, body, close_encode(&actions->client_close, body));
        world->client_close_sent = true;
        if (has_ended || world->client_closed)
            client_leaves(world);
        break;
    case SESSION_CLIENT_CUT:
        client_leaves(world);
        break;
    }
    if (actions->ping_client && world->client == WORLD_CLIENT_OPEN && !world->client_close_sent) {
        client_is_sent(world, 0x80 | FRAME_PING, "", 0);
        session_client_pinged(&world->session, world->client_offset, world->now_ms);
    }
    if (actions->probe_client)
        session_client_tcp(&world->session, world->client_written, false, world->now_ms);
}

/* ---- carrying out ---------------------------------------------------------------------------- */

static void server_forgets(struct world *world)
{
    if (world->server_hears_rest && world->stage == SESSION_OPEN)
        world_server_reads(world, SIZE_MAX);
    world->stage = SESSION_IDLE;
    message_reader_clear(&world->upstream_reader);
    message_reader_clear(&world->server_ears);
    world->upstream_head.used = 0;
    world->upstream_rest.used = 0;
    world->pongs.used = 0;
    world->up.used = 0;
    world->up_written = 0;
    world->up_heard = 0;
}

static void count_kept(struct world *world, enum cause cause, struct session_actions *actions)
{
    struct message message;
    size_t at = 0;
    size_t consumed;
    uint32_t count = 0;
    uint64_t bytes = 0;
    while (world->client == WORLD_CLIENT_OPEN && at < world->client_rest.used) {
        enum message_event event = message_read(&world->client_reader, world->client_rest.at + at,
                                                world->client_rest.used - at, &consumed, &message);
        at += consumed;
        if (event != MESSAGE_DATA)
            continue;
        count++;
        bytes += message.payload_bytes;
    }
    session_client_kept(&world->session, count, bytes, cause, actions);
    world->refused_count += count;
}

static void act(struct world *world, struct session_actions *actions, bool was_closing)
{
    struct session *session = &world->session;
    if (!actions->any) {
        check_accounts(world);
        return;
    }
    bool has_ended = actions->move.from != actions->move.to && actions->move.to == SESSION_ENDED;
    expect(actions->move.to == session->state);
    check_receipt(world, actions, was_closing);
    if (has_ended)
        count_kept(world, actions->move.cause, actions);
    check_accounts(world);
    if (actions->drop != SESSION_DROP_NONE && world->stage != SESSION_IDLE)
        server_forgets(world);
    act_on_client(world, actions);
    if (actions->probe_upstream)
        world_tcp_says(world, 0);
    if (actions->attempt) {
        expect(world->stage == SESSION_IDLE);
        world->stage = SESSION_RESOLVING;
    }
    if (session->state != SESSION_ENDED)
        return;
    client_leaves(world);
    server_forgets(world);
    world->is_over = true;
}

/* Before each call of core: what the accounts need to know afterwards. */
struct before {
    bool was_full;
    bool was_closing;
};

static struct before before(const struct world *world)
{
    return (struct before){.was_full = world->session.client_full,
                           .was_closing = world->session.client == SESSION_CLIENT_CLOSING};
}

static void after(struct world *world, struct before before, struct session_actions *actions)
{
    /* The message that net keeps was given up. */
    if (before.was_full && !world->session.client_full)
        world->refused_count++;
    act(world, actions, before.was_closing);
}

/* ---- the client's messages --------------------------------------------------------------------
 */

static enum session_take offer(struct world *world, enum frame_opcode opcode,
                               const uint8_t *payload, size_t bytes)
{
    struct session_actions actions;
    struct session *session = &world->session;
    bool was_closing = session->client == SESSION_CLIENT_CLOSING;
    uint64_t given_up = session->counters.given_up;
    if (world->taken_count == WORLD_TAKEN_MAX)
        return SESSION_IGNORED;
    enum session_take take =
        session_client_message(session, opcode, payload, bytes, world->now_ms, &actions);
    if (take == SESSION_TAKEN)
        world->taken[world->taken_count++] = (struct world_message){
            .payload = fuzz_copy(payload, bytes), .bytes = bytes, .opcode = opcode};
    if (take == SESSION_IGNORED)
        world->refused_count += session->counters.given_up - given_up;
    expect((take == SESSION_NOT_NOW) == session->client_full || take == SESSION_IGNORED);
    act(world, &actions, was_closing);
    return take;
}

static void client_lost(struct world *world, enum cause cause)
{
    struct session_actions actions;
    struct before state = before(world);
    session_client_lost(&world->session, cause, world->now_ms, &actions);
    after(world, state, &actions);
}

static void client_breaks(struct world *world, const struct close_frame *close)
{
    enum cause cause = close->code == CLOSE_TOO_BIG ? CAUSE_MESSAGE_TOO_BIG : CAUSE_PROTOCOL_ERROR;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    client_is_sent(world, 0x80 | FRAME_CLOSE, body, close_encode(close, body));
    client_leaves(world);
    client_lost(world, cause);
}

static void client_closes(struct world *world, const struct close_frame *close)
{
    struct session_actions actions;
    struct before state = before(world);
    if (!world->client_closed)
        world->client_close = *close;
    world->client_closed = true;
    session_client_close(&world->session, close, world->now_ms, &actions);
    after(world, state, &actions);
}

/* Frames in client_rest, until there is no room, or they are read. */
static void feed_client(struct world *world)
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
            bytes_add(&world->client_rest, data + at, left - at); /* if this ends the session */
            bool is_kept = offer(world, kept.opcode, kept.payload, kept.bytes) == SESSION_NOT_NOW;
            if (is_kept && world->client == WORLD_CLIENT_OPEN) {
                world->kept = kept;
                free(data);
                return;
            }
            message_clear(&kept);
            world->client_rest.used = 0;
        } else if (event == MESSAGE_PING) {
            client_is_sent(world, 0x80 | FRAME_PONG, message.payload, message.payload_bytes);
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

static void begin(struct world *world, const uint8_t *data, size_t bytes)
{
    static struct http_head head;
    struct handshake_request request;
    struct session_actions actions;
    const char *why;
    const struct random_source random = {.fill = random_fill, .context = world};
    if (http_head_parse(data, bytes, true, &head) != HTTP_HEAD_OK ||
        handshake_check_request(&head, &request, &why) != 101) {
        client_leaves(world);
        world->is_over = true;
        return;
    }
    world->client = WORLD_CLIENT_WAITING;
    world->is_begun = true;
    world->is_offering = request.subprotocol_count > 0;
    session_init(&world->session, &world->settings, &random, &world->budget, world->now_ms);
    session_start(&world->session, world->is_offering ? NULL : "", world->now_ms, &actions);
    act(world, &actions, false);
}

void world_client_sends(struct world *world, const uint8_t *data, size_t bytes)
{
    size_t head_bytes;
    size_t scanned = 0;
    if (world->is_over || world->client == WORLD_CLIENT_GONE)
        return;
    if (world->client == WORLD_CLIENT_HEAD) {
        struct world_bytes *head = &world->client_head;
        bytes_add(head, data, bytes);
        enum http_head_result result =
            http_head_find_end(head->at, head->used, &scanned, &head_bytes);
        if (result == HTTP_HEAD_ERR_TOO_BIG) {
            client_leaves(world);
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
    bytes_add(&world->client_rest, data, bytes);
    if (world->client == WORLD_CLIENT_OPEN && !world->kept.payload &&
        session_reads_client(&world->session))
        feed_client(world);
}

void world_client_is_lost(struct world *world)
{
    if (world->is_over || world->client == WORLD_CLIENT_GONE)
        return;
    if (!world->is_begun) {
        client_leaves(world);
        world->is_over = true;
        return;
    }
    struct session_actions actions = {.any = false};
    struct before state = before(world);
    session_client_lost(&world->session, CAUSE_CLIENT_LOST, world->now_ms, &actions);
    if (world->session.state != SESSION_ENDED) { /* else act() counts them */
        count_kept(world, CAUSE_CLIENT_LOST, &actions);
        client_leaves(world);
    }
    after(world, state, &actions);
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
    struct before state = before(world);
    session_client_written(&world->session, world->client_written, world->now_ms);
    session_inbox(&world->session, unread - taken, world->now_ms, &actions);
    after(world, state, &actions);
}

void world_client_frame(struct world *world, unsigned first, const void *payload, size_t bytes)
{
    uint8_t *frame = fuzz_allocate(FRAME_HEADER_BYTES_MAX + bytes);
    size_t frame_bytes = put_frame(frame, first, true, payload, bytes);
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
                         key_text, variant & 1 ? "Sec-WebSocket-Protocol: chat, json\r\n" : "");
    if (world->client == WORLD_CLIENT_HEAD)
        world_client_sends(world, (uint8_t *)head, (size_t)bytes);
}

/* ---- the server's side ------------------------------------------------------------------------
 */

static void upstream_lost(struct world *world, enum cause cause, unsigned status)
{
    struct session_actions actions;
    struct before state = before(world);
    server_forgets(world);
    session_upstream_lost(&world->session, cause, (uint16_t)status, world->now_ms, &actions);
    after(world, state, &actions);
}

void world_server_is_lost(struct world *world, enum cause cause)
{
    if (!world->is_over && world->stage != SESSION_IDLE)
        upstream_lost(world, cause, 0);
}

void world_attempt_goes_on(struct world *world, bool by_proxy, bool by_tls)
{
    struct session_actions actions;
    struct before state = before(world);
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
    after(world, state, &actions);
}

static void upstream_opens(struct world *world, struct http_text subprotocol)
{
    const struct message_limits limits = {.message_bytes_max = 4096, .fragment_count_max = 16};
    const struct message_limits endless = {.message_bytes_max = UINT32_MAX,
                                           .fragment_count_max = 1};
    struct session_actions actions;
    struct before state = before(world);
    char *chosen = subprotocol.bytes > 0 ? fuzz_text(subprotocol.at, subprotocol.bytes) : NULL;
    world->stage = SESSION_OPEN;
    message_reader_init(&world->upstream_reader, false, &limits);
    message_reader_init(&world->server_ears, true, &endless);
    world->up_ended = false;
    world->heard_next = world->taken_count - world->session.outbox.entry_count;
    session_upstream_upgraded(&world->session, chosen, world->now_ms, &actions);
    free(chosen);
    after(world, state, &actions);
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
    handshake_accept(key_text, digest, accept);
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
        bytes_add(&world->up, frame, put_frame(frame, first, true, payload, bytes));
    free(frame);
}

static void take_message(struct world *world, const struct message *message)
{
    const struct session *session = &world->session;
    bool expected = session->state == SESSION_OPEN && (session->client == SESSION_CLIENT_OPEN ||
                                                       session->client == SESSION_CLIENT_CLOSING);
    expect(session_upstream_message(&world->session, world->now_ms) == expected);
    if (expected)
        client_is_sent(world, 0x80 | (unsigned)message->opcode, message->payload,
                       message->payload_bytes);
    if (expected)
        world_client_reads(world, 0); /* the inbox has grown */
}

static void take_pong(struct world *world, const struct message *message)
{
    struct session_actions actions;
    struct before state = before(world);
    session_upstream_pong(&world->session, message->payload, message->payload_bytes, world->now_ms,
                          &actions);
    after(world, state, &actions);
}

static void take_close(struct world *world, const struct close_frame *close)
{
    struct session_actions actions;
    struct before state = before(world);
    session_upstream_close(&world->session, close, world->now_ms, &actions);
    after(world, state, &actions);
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

static void upstream_brings(struct world *world)
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
        bytes_add(head, data, bytes);
        size_t head_bytes = read_answer(world, head->at, head->used);
        if (head_bytes > 0 && world->stage == SESSION_OPEN)
            bytes_add(&world->upstream_rest, head->at + head_bytes, head->used - head_bytes);
        if (head_bytes > 0)
            head->used = 0;
    } else if (world->stage == SESSION_OPEN &&
               world->upstream_rest.used + bytes <= WORLD_PENDING_BYTES_MAX) {
        bytes_add(&world->upstream_rest, data, bytes);
    }
    upstream_brings(world);
}

void world_server_frame(struct world *world, unsigned first, const void *payload, size_t bytes)
{
    uint8_t *frame = fuzz_allocate(FRAME_HEADER_BYTES_MAX + bytes);
    size_t frame_bytes = put_frame(frame, first, false, payload, bytes);
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
    handshake_accept(key_text, digest, accept);
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
        while (next < world->taken_count && !is_same(&world->taken[next], message))
            next++;
    expect(next < world->taken_count && is_same(&world->taken[next], message));
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
            bytes_add(
                &world->pongs, pong,
                put_frame(pong, 0x80 | FRAME_PONG, false, message.payload, message.payload_bytes));
    }
    free(exact);
}

void world_pongs_arrive(struct world *world)
{
    struct world_bytes pongs = world->pongs;
    world->pongs = (struct world_bytes){0};
    if (pongs.used > 0)
        world_server_sends(world, pongs.at, pongs.used);
    bytes_clear(&pongs);
}

void world_kernel_takes(struct world *world, size_t bytes)
{
    struct session_actions actions;
    struct before state = before(world);
    size_t left = world->up.used - world->up_written;
    if (world->is_over || world->stage != SESSION_OPEN || left == 0)
        return;
    world->up_written += bytes < left ? bytes : left;
    session_upstream_written(&world->session, world->up_written, world->now_ms, &actions);
    after(world, state, &actions);
}

void world_tcp_says(struct world *world, size_t bytes)
{
    size_t acked = bytes < world->up_written ? world->up_written - bytes : 0;
    if (!world->is_over && world->stage == SESSION_OPEN)
        session_upstream_tcp(&world->session, acked, acked < world->up_written, world->now_ms);
}

static void send_what_may_be(struct world *world)
{
    struct session_send send;
    while (world->stage == SESSION_OPEN && !world->up_ended &&
           world->up.used - world->up_written < UP_BYTES_MAX &&
           session_send_next(&world->session, world->now_ms, &send)) {
        unsigned first = 0x80 | (unsigned)send.opcode;
        expect(send.kind != SESSION_SEND_NOTHING);
        up_add(world, first, send.payload, send.payload_bytes);
        if (send.kind == SESSION_SEND_CLOSE)
            world->up_ended = true;
        session_sent(&world->session, &send, world->up.used, world->now_ms);
        check_accounts(world);
    }
}

/* ---- time ---------------------------------------------------------------------------------------
 */

void world_turn(struct world *world)
{
    if (world->is_over || !world->is_begun)
        return;
    if (world->kept.payload && session_has_room(&world->session)) {
        struct world_message kept = world->kept;
        world->kept = (struct world_message){0};
        if (offer(world, kept.opcode, kept.payload, kept.bytes) == SESSION_NOT_NOW &&
            world->client == WORLD_CLIENT_OPEN)
            world->kept = kept;
        else
            message_clear(&kept);
    }
    if (!world->is_over && world->client == WORLD_CLIENT_OPEN && !world->kept.payload &&
        session_reads_client(&world->session))
        feed_client(world);
    upstream_brings(world);
    if (!world->is_over)
        world_client_reads(world, 0);
    if (!world->is_over)
        send_what_may_be(world);
}

static void timers(struct world *world)
{
    struct session_actions actions;
    unsigned count = 0;
    do {
        struct before state = before(world);
        actions.any = false;
        session_timer(&world->session, world->now_ms, &actions);
        after(world, state, &actions);
        expect(++count < TIMER_COUNT_MAX); /* it rests */
    } while (actions.any && !world->is_over);
    world_turn(world);
}

void world_time_passes(struct world *world, uint64_t ms)
{
    uint64_t until_ms = world->now_ms + ms;
    for (unsigned step = 0; step < STEP_COUNT_MAX && world->is_begun && !world->is_over; step++) {
        uint64_t due_ms = session_deadline_ms(&world->session);
        if (due_ms <= world->now_ms)
            due_ms = world->now_ms + 1;
        if (due_ms > until_ms)
            break;
        world->now_ms = due_ms;
        timers(world);
    }
    world->now_ms = until_ms;
}

void world_next_deadline(struct world *world)
{
    if (!world->is_begun || world->is_over)
        return;
    uint64_t due_ms = session_deadline_ms(&world->session);
    if (due_ms == SETTINGS_NEVER)
        return;
    if (due_ms > world->now_ms)
        world->now_ms = due_ms;
    timers(world);
}

void world_shutdown(struct world *world)
{
    struct session_actions actions;
    if (!world->is_begun || world->is_over)
        return;
    struct before state = before(world);
    session_shutdown(&world->session, world->now_ms, &actions);
    after(world, state, &actions);
}

/* ---- life
 * ----------------------------------------------------------------------------------------- */

void world_init(struct world *world, unsigned flags, unsigned more_flags, struct fuzz_chance chance)
{
    bool is_small = flags & 1;
    *world = (struct world){
        .settings = {.connect_timeout_ms = 10000,
                     .close_code_shutdown = 1001,
                     .client_heartbeat = {.interval_ms = more_flags & 1 ? 30000 : SETTINGS_NEVER,
                                          .timeout_ms = 30000,
                                          .stall_timeout_ms = SETTINGS_NEVER},
                     .heartbeat = {.interval_ms = more_flags & 2 ? 2000 : 20000,
                                   .timeout_ms = 10000,
                                   .stall_timeout_ms = 60000},
                     .silence_ms = more_flags & 4 ? 50000 : SETTINGS_NEVER,
                     .backoff = {.initial_delay_ms = more_flags & 8 ? 0 : 250,
                                 .max_delay_ms = 30000,
                                 .multiplier_milli = 2000,
                                 .jitter = more_flags & 16},
                     .stable_after_ms = 10000,
                     .give_up_after_ms = more_flags & 32 ? 120000 : SETTINGS_NEVER,
                     .acknowledge = flags & 2 ? ACKNOWLEDGE_SENT : ACKNOWLEDGE_PONG,
                     .without_pong = flags & 4 ? WITHOUT_PONG_SENT : WITHOUT_PONG_END,
                     .ping_spacing_ms = 200,
                     .window_bytes = is_small ? 300 : 4 << 20,
                     .ack_timeout_ms = 30000,
                     .outbox_messages_max = is_small ? 4 : 65536,
                     .outbox_bytes_max = is_small ? 4096 : 64 << 20,
                     .overflow = (enum settings_overflow)((flags >> 3 & 3) % 3),
                     .inbox_bytes_max = is_small ? 500 : 64 << 20,
                     .inbox_overflow = flags & 32 ? INBOX_OVERFLOW_CLOSE : INBOX_OVERFLOW_PAUSE,
                     .on_gap = (enum settings_on_gap)((flags >> 6) % 3),
                     .drain_timeout_ms = 5000},
        .budget = {.bytes_max = is_small && more_flags & 64 ? 2000 : 1 << 20},
        .chance = chance,
        .now_ms = 10000,
        .server_hears_rest = more_flags & 128,
    };
}

void world_clear(struct world *world)
{
    /* Left alone, a session without a client ends by itself. */
    world_client_is_lost(world);
    world_time_passes(world, world->settings.drain_timeout_ms + 3000);
    expect(world->is_over);
    if (world->is_begun) {
        expect(world->session.state == SESSION_ENDED);
        session_clear(&world->session);
    }
    world_client_reads(world, SIZE_MAX);
    expect(world->budget.bytes == 0); /* what was taken of it was given back */
    for (size_t i = 0; i < world->taken_count; i++)
        message_clear(&world->taken[i]);
    message_clear(&world->deliver);
    message_reader_clear(&world->client_ears);
    message_reader_clear(&world->server_ears);
    bytes_clear(&world->client_head);
    bytes_clear(&world->client_rest);
    bytes_clear(&world->upstream_head);
    bytes_clear(&world->upstream_rest);
    bytes_clear(&world->up);
    bytes_clear(&world->pongs);
}
