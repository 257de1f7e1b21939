/* The application's side of the local socket. */
#include "client.h"

#include <string.h>

#include "proto/frame.h"
#include "world.h"

static void earliest(uint64_t *due_ms, uint64_t at_ms)
{
    if (at_ms < *due_ms)
        *due_ms = at_ms;
}

static bool between(uint64_t now_ms, uint64_t from_ms, uint64_t until_ms)
{
    return from_ms != PIPE_NEVER && now_ms >= from_ms && now_ms < until_ms;
}

void client_open(struct world *world)
{
    struct client *client = &world->client;
    const struct plan *plan = &world->plan;
    pipe_open(&client->in, &plan->client_in);
    pipe_open(&client->out, &plan->client_out);
    client->burst_ms = plan->start_ms + plan->client.first_ms;
    client->ending_ms = plan->client.ending == ENDING_STAYS ? PIPE_NEVER : plan->client.ending_ms;
    client->sip_ms = plan->client.sip_ms == PIPE_NEVER ? PIPE_NEVER : plan->client.unread_from_ms;
    client->offered = 0;
    client->last_number = 0;
    client->last_source = 0;
    client->gaps_seen = 0;
    client->received = 0;
    client->close_code = 0;
    client->answered = client->refused = client->frozen = client->vanished = false;
    client->left = client->deserted = client->close_sent = client->close_came = client->end_came =
        false;
}

/* ---- what it sends ------------------------------------------------------------------------ */

static void client_put_message(struct world *world)
{
    struct client *client = &world->client;
    uint32_t bytes_max = world->plan.client.bytes_max;
    uint32_t bytes =
        bytes_max > 1 << 20 && client->offered == 0
            ? bytes_max
            : (uint32_t)chance_scale(&world->chance, world->plan.client.bytes_min, bytes_max);
    struct pipe_frame *frame = pipe_put(&client->in, PIPE_MESSAGE, frame_wire_bytes(bytes, true));
    frame->number = ++client->offered;
    frame->bytes = bytes;
    world->ledger.messages[client->offered] =
        (struct ledger_message){.bytes = bytes, .place = LEDGER_OFFERED};
    world->ledger.offered = client->offered;
}

static bool client_has_more(const struct world *world)
{
    const struct client *client = &world->client;
    return client->answered && !client->close_sent && !client->left && !client->vanished &&
           !world->calm && client->offered < world->plan.client.message_count &&
           client->offered < LEDGER_MESSAGE_COUNT;
}

static void client_send_burst(struct world *world)
{
    struct client *client = &world->client;
    const struct plan_client *plan = &world->plan.client;
    if (!client_has_more(world) || client->frozen || world->now_ms < client->burst_ms)
        return;
    for (uint32_t i = 0; i < plan->burst_count && client_has_more(world); i++)
        if (client->in.frame_count < PIPE_FRAME_COUNT - 16) /* some for Pongs and Close */
            client_put_message(world);
    client->burst_ms = world->now_ms + plan->burst_spacing_ms + 1;
}

static void client_put_close(struct world *world, uint16_t code, uint8_t reason)
{
    struct client *client = &world->client;
    if (client->close_sent || client->left || !pipe_has_room_for_frame(&client->in))
        return;
    client->close_sent = true;
    uint64_t bytes = code == CLOSE_NO_STATUS ? 0 : 2 + strlen(plan_reason[reason]);
    struct pipe_frame *frame = pipe_put(&client->in, PIPE_CLOSE, frame_wire_bytes(bytes, true));
    frame->code = code;
    frame->reason = reason;
    world_log(world, "client: Close %u \"%s\"", code, plan_reason[reason]);
}

static void client_leave(struct world *world)
{
    struct client *client = &world->client;
    client->left = true;
    pipe_fin(&client->in, world->now_ms);
    world_log(world, "client: FIN");
}

void client_finish(struct world *world, enum plan_ending how)
{
    struct client *client = &world->client;
    const struct plan_client *plan = &world->plan.client;
    if (client->left || client->vanished || !client->answered)
        return;
    switch (how) {
    case ENDING_STAYS:
    case ENDING_COUNT:
        return;
    case ENDING_CLOSES:
        client_put_close(world, plan->close_code, plan->close_reason);
        return;
    case ENDING_CLOSES_AND_LEAVES:
        client_put_close(world, plan->close_code, plan->close_reason);
        pipe_flush(&client->in, world->now_ms);
        client->deserted = true;
        client_leave(world);
        return;
    case ENDING_LEAVES:
        client->deserted = true;
        client_leave(world);
        return;
    case ENDING_RESETS:
        client->left = client->deserted = true;
        pipe_reset(&client->in, world->now_ms);
        world_log(world, "client: RST");
        return;
    case ENDING_VANISHES:
        client->vanished = true;
        pipe_silence(&client->in);
        pipe_silence_acks(&client->in);
        pipe_silence(&client->out);
        pipe_silence_acks(&client->out);
        world_log(world, "client: vanishes");
        return;
    case ENDING_BREAKS:
        if (pipe_has_room_for_frame(&client->in))
            pipe_put(&client->in, PIPE_BROKEN, 20);
        return;
    }
}

/* ---- what it sees ------------------------------------------------------------------------- */

/* Rule 9: in order, each once, and a gap message exactly where a connection was lost. */
static void client_check_message(struct world *world, const struct pipe_frame *frame)
{
    struct client *client = &world->client;
    world_expect(world, !client->close_came, "the client got a message after the Close");
    if (frame->source == client->last_source) {
        world_expect(world, frame->number == client->last_number + 1,
                     "the client got message %llu of connection %u after %llu",
                     (unsigned long long)frame->number, frame->source,
                     (unsigned long long)client->last_number);
    } else {
        world_expect(world, frame->source > client->last_source,
                     "the client got a message of connection %u after one of connection %u",
                     frame->source, client->last_source);
        world_expect(world, frame->number == 1,
                     "the first message that the client got of connection %u was number %llu",
                     frame->source, (unsigned long long)frame->number);
    }
    if (world->plan.settings.on_gap == ON_GAP_NOTIFY)
        world_expect(world, client->gaps_seen == frame->source - 1,
                     "a message of connection %u came after %u gap messages", frame->source,
                     client->gaps_seen);
    client->last_source = frame->source;
    client->last_number = frame->number;
    client->received++;
}

static void client_got_close(struct world *world, const struct pipe_frame *frame)
{
    struct client *client = &world->client;
    world_expect(world, !client->close_came, "the client got two Closes");
    client->close_came = true;
    client->close_code = frame->code;
    world_log(world, "client: got Close %u \"%s\"", frame->code, world->close_text);
    if (client->close_sent) {
        if (!client->left)
            client_leave(world);
    } else if (world->plan.client.answers_close || world->calm) {
        client_put_close(world, frame->code, 0);
    }
}

static void client_read_frame(struct world *world, const struct pipe_frame *frame)
{
    struct client *client = &world->client;
    switch ((enum pipe_frame_kind)frame->kind) {
    case PIPE_MESSAGE:
        client_check_message(world, frame);
        return;
    case PIPE_GAP:
        world_expect(world, world->plan.settings.on_gap == ON_GAP_NOTIFY,
                     "a gap message that nobody asked for");
        client->gaps_seen++;
        return;
    case PIPE_PING:
        if (!client->left && !client->close_sent && pipe_has_room_for_frame(&client->in))
            pipe_put(&client->in, PIPE_PONG, 6);
        return;
    case PIPE_CLOSE:
        client_got_close(world, frame);
        return;
    case PIPE_PONG:
    case PIPE_BROKEN:
    case PIPE_TOO_BIG:
        world_fail(world, "the client got what only a client sends");
        return;
    }
}

static void client_read(struct world *world)
{
    struct client *client = &world->client;
    const struct plan_client *plan = &world->plan.client;
    struct pipe *out = &client->out;
    uint64_t bytes = pipe_readable(out);
    if (client->frozen || client->vanished)
        return;
    if (!world->calm && between(world->now_ms, plan->unread_from_ms, plan->unread_until_ms)) {
        if (plan->sip_ms == PIPE_NEVER || world->now_ms < client->sip_ms)
            return;
        client->sip_ms = world->now_ms + plan->sip_ms;
        if (bytes > plan->sip_bytes)
            bytes = plan->sip_bytes;
    }
    if (client->left) { /* whatever still comes goes nowhere */
        pipe_read(out, bytes, world->now_ms);
        while (pipe_frame(out))
            pipe_drop_frame(out);
        return;
    }
    pipe_read(out, bytes, world->now_ms);
    for (struct pipe_frame *frame; (frame = pipe_frame(out)) != NULL;) {
        client_read_frame(world, frame);
        pipe_drop_frame(out);
    }
    if ((out->fin_arrived || out->rst_arrived) && pipe_readable(out) == 0) {
        client->end_came = true;
        client_leave(world);
    }
}

/* ---- time --------------------------------------------------------------------------------- */

uint64_t client_due_ms(const struct world *world)
{
    const struct client *client = &world->client;
    const struct plan_client *plan = &world->plan.client;
    uint64_t due_ms = PIPE_NEVER;
    if (client->left || client->vanished)
        return due_ms;
    if (world->calm)
        return due_ms;
    if (plan->frozen_from_ms != PIPE_NEVER && world->now_ms < plan->frozen_until_ms)
        earliest(&due_ms, client->frozen ? plan->frozen_until_ms : plan->frozen_from_ms);
    if (plan->unread_from_ms != PIPE_NEVER && world->now_ms < plan->unread_until_ms)
        earliest(&due_ms, plan->unread_until_ms);
    if (plan->sip_ms != PIPE_NEVER && world->now_ms < plan->unread_until_ms && !client->frozen &&
        pipe_readable(&client->out) > 0)
        earliest(&due_ms, client->sip_ms);
    if (client->frozen)
        return due_ms;
    if (client_has_more(world) && client->in.frame_count < PIPE_FRAME_COUNT - 16)
        earliest(&due_ms, client->burst_ms);
    if (client->answered)
        earliest(&due_ms, client->ending_ms);
    return due_ms;
}

void client_run(struct world *world)
{
    struct client *client = &world->client;
    const struct plan_client *plan = &world->plan.client;
    if (!world->calm)
        client->frozen = between(world->now_ms, plan->frozen_from_ms, plan->frozen_until_ms);
    client_read(world);
    if (client->frozen || client->left || client->vanished)
        return;
    client_send_burst(world);
    pipe_flush(&client->in, world->now_ms);
    if (client->answered && world->now_ms >= client->ending_ms) {
        client->ending_ms = PIPE_NEVER;
        client_finish(world, plan->ending);
    }
    pipe_flush(&client->in, world->now_ms);
}

void client_calm(struct world *world)
{
    world->client.frozen = false;
    world->client.ending_ms = PIPE_NEVER;
    client_run(world);
}
