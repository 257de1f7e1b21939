/* The daemon's side of the client: its inbox, its messages, its end. */
#include "host_private.h"

#include <string.h>

#include "proto/close.h"
#include "world.h"

static uint64_t host_inbox_bytes(const struct world *world)
{
    return world->client.out.put - world->client.out.written;
}

void host_tell_inbox(struct world *world)
{
    struct session_actions actions = {.any = true};
    if (!world->session_lives || world->failed)
        return;
    ledger_before(world, EVENT_INBOX);
    session_inbox(&world->session, world->inbox_budget, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

/* The amount that waits for the client has changed: the budget and the session are told. */
static void host_inbox_changed(struct world *world)
{
    uint64_t bytes = host_inbox_bytes(world);
    if (bytes == world->inbox_budget)
        return;
    if (bytes > world->inbox_budget)
        budget_take(&world->budget, bytes - world->inbox_budget);
    else
        budget_give(&world->budget, world->inbox_budget - bytes);
    world->inbox_budget = bytes;
    host_tell_inbox(world);
}

void host_flush_client(struct world *world)
{
    struct client *client = &world->client;
    uint64_t written = client->out.written;
    if (client->in.rst_arrived) {
        pipe_discard(&client->out); /* writing fails */
        host_inbox_changed(world);
    } else if (!client->out.rst_sent) {
        pipe_flush(&client->out, world->now_ms);
    }
    if (client->out.written != written) {
        if (world->session_lives)
            session_client_written(&world->session, client->out.written, world_clock_ms(world));
        world->ledger.client_taken_ms = world_clock_ms(world);
        host_inbox_changed(world);
    }
    if (world->host.client_ends && client->out.put == client->out.written)
        pipe_fin(&client->out, world->now_ms);
}

void host_deliver(struct world *world, const struct pipe_frame *frame)
{
    struct pipe_frame *copy =
        pipe_put(&world->client.out, PIPE_MESSAGE, frame_wire_bytes(frame->bytes, false));
    copy->number = frame->number;
    copy->bytes = frame->bytes;
    copy->source = frame->source;
    host_inbox_changed(world);
}

void host_do_client(struct world *world, const struct session_actions *actions)
{
    struct host *host = &world->host;
    struct client *client = &world->client;
    switch (actions->client) {
    case SESSION_CLIENT_KEEP:
        return;
    case SESSION_CLIENT_ANSWER:
        client->answered = true;
        client_run(world);
        return;
    case SESSION_CLIENT_REFUSE:
        client->refused = true;
        host->client_listens = false;
        host->client_ends = true;
        world_log(world, "host: refuses the client with %u", actions->refuse_status);
        return;
    case SESSION_CLIENT_CLOSE: {
        if (client->in.rst_arrived)
            return;
        memcpy(world->close_text, actions->client_close.reason, actions->client_close.reason_bytes);
        world->close_text[actions->client_close.reason_bytes] = '\0';
        host_put_close(&client->out, &actions->client_close, false);
        world_log(world, "host: closes the client with %u \"%s\"", actions->client_close.code,
                  world->close_text);
        if (world->ledger.has_client_close || world->session.state == SESSION_ENDED)
            host->client_ends = true;
        return;
    }
    case SESSION_CLIENT_CUT:
        host->client_listens = false;
        host->client_ends = true;
        world_log(world, "host: cuts the client");
        return;
    }
}

/* ---- reading it ---------------------------------------------------------------------------------
 */

static void host_client_lost(struct world *world, enum cause cause)
{
    struct session_actions actions = {.any = true};
    world->host.client_listens = false;
    if (!world->session_lives)
        return;
    world->ledger.client_was_cut = true; /* and told so by net, where it broke a rule */
    ledger_before(world, EVENT_CLIENT_LOST);
    session_client_lost(&world->session, cause, world_clock_ms(world), &actions);
    world->host.client_ends = true;
    host_fed(world, &actions);
}

static void host_offer(struct world *world, const struct pipe_frame *frame)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    world_payload_stamp(world, frame->number, frame->bytes);
    world->ledger.event_number = frame->number;
    ledger_before(world, EVENT_CLIENT_MESSAGE);
    struct outbox_message message = {.opcode = frame->number % 3 ? FRAME_TEXT : FRAME_BINARY,
                                     .payload = world->payload,
                                     .payload_bytes = frame->bytes};
    enum session_take take =
        session_client_message(&world->session, &message, world_clock_ms(world), &actions);
    if (take == SESSION_NOT_NOW && !host->kept)
        world_count(world, TALLY_NOT_NOW);
    host->kept = take == SESSION_NOT_NOW;
    if (host->kept)
        host->kept_frame = *frame;
    ledger_taken(world, take);
    host_fed(world, &actions);
}

static void host_read_client_frame(struct world *world, const struct pipe_frame *frame)
{
    struct session_actions actions = {.any = true};
    struct ledger *ledger = &world->ledger;
    switch ((enum pipe_frame_kind)frame->kind) {
    case PIPE_MESSAGE:
        host_offer(world, frame);
        return;
    case PIPE_PONG:
        return;
    case PIPE_CLOSE:
        close_set(&ledger->close, frame->code,
                  frame->code == CLOSE_NO_STATUS ? NULL : plan_reason[frame->reason]);
        ledger_before(world, EVENT_CLIENT_CLOSE);
        session_client_close(&world->session, &ledger->close, world_clock_ms(world), &actions);
        host_fed(world, &actions);
        return;
    case PIPE_BROKEN:
        host_client_lost(world, CAUSE_PROTOCOL_ERROR);
        return;
    default:
        world_fail(world, "the client sent what only a server sends");
        return;
    }
}

/* The next read of the client's socket: true when there is a frame to look at. */
static bool host_read_client_bytes(struct world *world)
{
    struct pipe *in = &world->client.in;
    uint64_t bytes = pipe_readable(in);
    if (bytes > world->plan.host.read_bytes_max)
        bytes = world->plan.host.read_bytes_max;
    if (bytes == 0)
        return false;
    pipe_read(in, bytes, world->now_ms);
    bool pong = false;
    for (uint32_t i = 0; i < in->frame_count; i++) {
        const struct pipe_frame *frame = &in->frames[(in->frame_first + i) % PIPE_FRAME_COUNT];
        if (frame->end > in->read)
            break;
        pong = pong || frame->kind == PIPE_PONG;
    }
    world->ledger.client_heard_ms = world_clock_ms(world);
    session_client_received(&world->session, pong, world_clock_ms(world));
    return true;
}

bool host_hears_client(const struct world *world)
{
    return world->session_lives && !world->failed && world->host.client_listens &&
           world->client.answered;
}

void host_read_client(struct world *world)
{
    struct host *host = &world->host;
    struct pipe *in = &world->client.in;
    if (host_hears_client(world) && host->kept) {
        if (!session_has_room(&world->session))
            return;
        struct pipe_frame frame = host->kept_frame;
        host_offer(world, &frame);
    }
    while (host_hears_client(world) && !host->kept && session_reads_client(&world->session)) {
        if (pipe_frame(in)) {
            struct pipe_frame frame = *pipe_frame(in);
            pipe_drop_frame(in);
            host_read_client_frame(world, &frame);
        } else if (!host_read_client_bytes(world)) {
            break;
        }
    }
    if (host_hears_client(world) && !host->kept && session_reads_client(&world->session) &&
        (in->fin_arrived || in->rst_arrived) && pipe_readable(in) == 0)
        host_client_lost(world, CAUSE_CLIENT_LOST);
}
