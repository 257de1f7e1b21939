/* A session between two peers in memory: carrying out, and accounting. */
#include "session_world_private.h"

#include "proto/mask.h"

enum { TIMER_COUNT_MAX = 64, STEP_COUNT_MAX = 300 };

/* ---- memory --------------------------------------------------------------------------------- */

void world_bytes_add(struct world_bytes *bytes, const void *data, size_t count)
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

void world_bytes_clear(struct world_bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct world_bytes){0};
}

void world_message_clear(struct world_message *message)
{
    free(message->payload);
    *message = (struct world_message){0};
}

bool world_is_same(const struct world_message *a, const struct message *b)
{
    return a->payload && a->opcode == b->opcode && a->bytes == b->payload_bytes &&
           memcmp(a->payload, b->payload, a->bytes) == 0;
}

/* Nothing like SHA-1, and the same at both ends: what counts is that the right one is compared. */
void world_digest(const void *data, size_t bytes, uint8_t out[20])
{
    memset(out, 0, 20);
    for (size_t i = 0; i < bytes; i++)
        out[i % 20] = (uint8_t)(out[i % 20] * 31 + ((const uint8_t *)data)[i]);
}

size_t world_put_frame(uint8_t *out, unsigned first, bool masked, const void *payload, size_t bytes)
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
void world_check_accounts(const struct world *world)
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

/* ---- carrying out ---------------------------------------------------------------------------- */

void world_server_forgets(struct world *world)
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

void world_count_kept(struct world *world, enum cause cause, struct session_actions *actions)
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

void world_act(struct world *world, struct session_actions *actions, bool was_closing)
{
    struct session *session = &world->session;
    if (!actions->any) {
        world_check_accounts(world);
        return;
    }
    bool has_ended = actions->move.from != actions->move.to && actions->move.to == SESSION_ENDED;
    expect(actions->move.to == session->state);
    check_receipt(world, actions, was_closing);
    if (has_ended)
        world_count_kept(world, actions->move.cause, actions);
    world_check_accounts(world);
    if (actions->drop != SESSION_DROP_NONE && world->stage != SESSION_IDLE)
        world_server_forgets(world);
    world_act_on_client(world, actions);
    if (actions->probe_upstream)
        world_tcp_says(world, 0);
    if (actions->attempt) {
        expect(world->stage == SESSION_IDLE);
        world->stage = SESSION_RESOLVING;
    }
    if (session->state != SESSION_ENDED)
        return;
    world_client_leaves(world);
    world_server_forgets(world);
    world->is_over = true;
}

struct world_before world_before(const struct world *world)
{
    return (struct world_before){.was_full = world->session.client_full,
                                 .was_closing = world->session.client == SESSION_CLIENT_CLOSING};
}

void world_after(struct world *world, struct world_before before, struct session_actions *actions)
{
    /* The message that net keeps was given up. */
    if (before.was_full && !world->session.client_full)
        world->refused_count++;
    world_act(world, actions, before.was_closing);
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
        if (world_offer(world, kept.opcode, kept.payload, kept.bytes) == SESSION_NOT_NOW &&
            world->client == WORLD_CLIENT_OPEN)
            world->kept = kept;
        else
            world_message_clear(&kept);
    }
    if (!world->is_over && world->client == WORLD_CLIENT_OPEN && !world->kept.payload &&
        session_reads_client(&world->session))
        world_feed_client(world);
    world_upstream_brings(world);
    if (!world->is_over)
        world_client_reads(world, 0);
    if (!world->is_over)
        world_send(world);
}

static void timers(struct world *world)
{
    struct session_actions actions;
    unsigned count = 0;
    do {
        struct world_before state = world_before(world);
        actions.any = false;
        session_timer(&world->session, world->now_ms, &actions);
        world_after(world, state, &actions);
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
    struct world_before state = world_before(world);
    session_shutdown(&world->session, world->now_ms, &actions);
    world_after(world, state, &actions);
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
        world_message_clear(&world->taken[i]);
    world_message_clear(&world->deliver);
    message_reader_clear(&world->client_ears);
    message_reader_clear(&world->server_ears);
    world_bytes_clear(&world->client_head);
    world_bytes_clear(&world->client_rest);
    world_bytes_clear(&world->upstream_head);
    world_bytes_clear(&world->upstream_rest);
    world_bytes_clear(&world->up);
    world_bytes_clear(&world->pongs);
}
