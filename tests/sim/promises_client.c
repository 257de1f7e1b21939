/* What the client is told, and how long it may take. */
#include <stdio.h>
#include <string.h>

#include "promises_private.h"
#include "proto/close.h"
#include "world.h"

static bool is_close(const struct close_frame *close, uint16_t code, const char *text)
{
    return close->code == code && close->reason_bytes == strlen(text) &&
           memcmp(close->reason, text, strlen(text)) == 0;
}

/* Rule 5: its own code when everything that was in the outbox has arrived, else 1011. */
static void promise_receipt(struct world *world, const struct session_actions *actions)
{
    const struct ledger *ledger = &world->ledger;
    const struct close_frame *close = &actions->client_close;
    char text[64];
    uint64_t lost = world->session.counters.given_up - ledger->counters.given_up;
    if (lost == 0) {
        world_count(world, TALLY_RECEIPTS_CLEAN);
        world_expect(
            world, ledger->head == ledger->tail && close->code == ledger->client_close.code,
            "the receipt says %u, the client said %u", close->code, ledger->client_close.code);
        return;
    }
    world_count(world, TALLY_RECEIPTS_1011);
    snprintf(text, sizeof text, "wskeep: %llu message%s not delivered", LLU(lost),
             lost == 1 ? "" : "s");
    world_expect(world, is_close(close, CLOSE_INTERNAL_ERROR, text),
                 "the receipt is not 1011 \"%s\"", text);
}

static const char *close_text_of(const struct ledger *ledger, const struct session_actions *actions)
{
    if (ledger->event == EVENT_UPGRADED)
        return "1012 wskeep: gap";
    if (ledger->event == EVENT_SHUTDOWN)
        return "1012 wskeep: shutdown";
    if (ledger->event == EVENT_INBOX)
        return "1013 wskeep: inbox full";
    if (actions->mutual_stall)
        return "1013 wskeep: mutual-stall";
    return actions->client_close.code == CLOSE_TOO_BIG ? "1009 wskeep: over max_bytes"
                                                       : "1013 wskeep: outbox full";
}

/* Rule 6: as the upstream said it; 1014 for what has no code of its own. */
static void promise_close(struct world *world, const struct session_actions *actions)
{
    const struct ledger *ledger = &world->ledger;
    const struct close_frame *close = &actions->client_close;
    char text[80];
    if (world->session.state != SESSION_ENDED) {
        const char *expected = close_text_of(ledger, actions);
        snprintf(text, sizeof text, "%u %.*s", close->code, close->reason_bytes, close->reason);
        world_expect(world, strcmp(text, expected) == 0, "the client is closed with %s, not %s",
                     text, expected);
        return;
    }
    if (actions->end.cause == CAUSE_CLOSED) {
        world_expect(world,
                     close->code == ledger->close.code &&
                         close->reason_bytes == ledger->close.reason_bytes &&
                         memcmp(close->reason, ledger->close.reason, close->reason_bytes) == 0,
                     "the client is closed with %u, the upstream said %u", close->code,
                     ledger->close.code);
        return;
    }
    snprintf(text, sizeof text, "wskeep: %s", cause_name(actions->end.cause));
    world_expect(world, is_close(close, CLOSE_BAD_GATEWAY, text), "the client is not told 1014 %s",
                 text);
}

/* Rule 6: 1006 is what no one may send. */
static bool ends_without_close(const struct session_actions *actions)
{
    switch (actions->end.cause) {
    case CAUSE_TCP_RESET:
    case CAUSE_TCP_EOF:
    case CAUSE_TCP_TIMEOUT:
    case CAUSE_HEARTBEAT_TIMEOUT:
    case CAUSE_ACK_TIMEOUT:
    case CAUSE_SEND_STALLED:
    case CAUSE_SILENCE:
        return actions->end.was_open;
    default:
        return false;
    }
}

void promise_client_news(struct world *world, const struct session_actions *actions)
{
    struct ledger *ledger = &world->ledger;
    bool finally = world->session.client == SESSION_CLIENT_GONE;
    if (!actions->any || actions->client == SESSION_CLIENT_KEEP)
        return;
    switch (actions->client) {
    case SESSION_CLIENT_KEEP:
        return;
    case SESSION_CLIENT_ANSWER:
        world_expect(world, ledger->client == SESSION_CLIENT_WAITING, "answered twice");
        return;
    case SESSION_CLIENT_REFUSE:
        world_count(world, TALLY_CLIENT_REFUSED);
        world_expect(world, ledger->client == SESSION_CLIENT_WAITING, "refused after its 101");
        world_expect(world, actions->refuse_status >= 502 && actions->refuse_status <= 504,
                     "refused with %u", actions->refuse_status);
        break;
    case SESSION_CLIENT_CLOSE:
        if (ledger->client == SESSION_CLIENT_CLOSING || ledger->event == EVENT_CLIENT_CLOSE) {
            promise_receipt(world, actions); /* at once, when nothing was waiting */
            break;
        }
        world_expect(world, ledger->client == SESSION_CLIENT_OPEN,
                     "a Close for a client that is %d", ledger->client);
        world_count(world, TALLY_CLIENT_CLOSED_BY_US);
        world_expect(world, world->session.state != SESSION_ENDED || !ends_without_close(actions),
                     "the client got a Close for %s", cause_name(actions->end.cause));
        promise_close(world, actions);
        break;
    case SESSION_CLIENT_CUT:
        world_count(world, TALLY_CLIENT_CUT);
        world_expect(world, ledger->client != SESSION_CLIENT_CLOSING || finally,
                     "cut instead of a receipt");
        if (ledger->client == SESSION_CLIENT_CLOSED)
            return; /* it had its Close */
        world_expect(world,
                     world->session.state != SESSION_ENDED || ends_without_close(actions) ||
                         ledger->event == EVENT_TIMER,
                     "the client was cut for %s", cause_name(actions->end.cause));
        break;
    }
    ledger->answers++;
    world_expect(world, ledger->answers == 1, "the client was told its end %u times",
                 ledger->answers);
}

/* Nothing came for `timeout`, or nothing of what is in flight was acknowledged for as long. */
static void promise_client_was_dead(struct world *world)
{
    const struct ledger *ledger = &world->ledger;
    const struct pipe *out = &world->client.out;
    uint64_t timeout_ms = world->session.settings->client_heartbeat.timeout_ms;
    uint64_t heard_ms = ledger->client_heard_ms > ledger->client_resumed_ms
                            ? ledger->client_heard_ms
                            : ledger->client_resumed_ms;
    bool stuck =
        pipe_is_in_flight(out) && ago(world, out->flight_ms + world->skew_ms) >= timeout_ms;
    world_expect(world, stuck || ago(world, heard_ms) >= timeout_ms,
                 "the client was lost too early");
}

void promise_client_moved(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    enum session_client_state client = world->session.client;
    uint64_t clock_ms = world_clock_ms(world);
    ledger->client_ms = clock_ms;
    if (client == SESSION_CLIENT_OPEN) {
        ledger->client_heard_ms = ledger->client_resumed_ms = clock_ms;
        return;
    }
    if (ledger->client == SESSION_CLIENT_OPEN) {
        ledger->drain_ms = clock_ms;
        ledger->closed_by_us = client == SESSION_CLIENT_CLOSED;
        ledger->lost =
            ledger->event == EVENT_CLIENT_LOST ||
            (ledger->event == EVENT_TIMER && world->session.client_cause == CAUSE_CLIENT_LOST);
    }
    if (ledger->event == EVENT_CLIENT_CLOSE) {
        ledger->has_client_close = true;
        ledger->client_close = ledger->close;
    }
    if (ledger->client == SESSION_CLIENT_OPEN && ledger->event == EVENT_TIMER &&
        client == SESSION_CLIENT_GONE && world->session.client_cause == CAUSE_CLIENT_LOST)
        promise_client_was_dead(world);
}

/* The message that is kept would not fit if the outbox were empty: others hold the memory. */
static bool others_hold_the_memory(const struct world *world)
{
    const struct session *session = &world->session;
    const struct outbox *outbox = &session->outbox;
    uint64_t own_bytes =
        outbox->payload_bytes + (uint64_t)outbox->entry_count * OUTBOX_OVERHEAD_BYTES;
    return outbox->budget->bytes - own_bytes + session->refused_bytes + OUTBOX_OVERHEAD_BYTES >
           outbox->budget->bytes_max;
}

/* With `overflow: drop-oldest` a client waits only while the oldest is in the middle of its frame,
 * or while dropping would not help.
 */
static void promise_kept_is_offered(struct world *world)
{
    const struct ledger *ledger = &world->ledger;
    const struct conn *conn = world->host.conn;
    if (!world->host.kept || ledger->head == ledger->tail ||
        world->session.settings->overflow != OVERFLOW_DROP_OLDEST)
        return;
    bool mid_frame = conn && ledger->head < conn->next_sequence &&
                     (conn->ends[ledger->head] == 0 || conn->ends[ledger->head] > conn->up.written);
    world_expect(world,
                 mid_frame || others_hold_the_memory(world) || session_has_room(&world->session),
                 "a message is kept, and the oldest could be dropped");
}

void promise_client_states_end(struct world *world)
{
    const struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    const struct session_settings *settings = session->settings;
    if (session->client == SESSION_CLIENT_WAITING)
        world_expect(world, ago(world, ledger->client_start_ms) < settings->connect_timeout_ms,
                     "the client waits for its 101");
    if (session->client == SESSION_CLIENT_CLOSED && session_reads_client(session)) {
        uint64_t since_ms = ledger->client_ms;
        if (since_ms < ledger->client_resumed_ms)
            since_ms = ledger->client_resumed_ms;
        if (since_ms < ledger->client_heard_ms)
            since_ms = ledger->client_heard_ms;
        world_expect(world, ago(world, since_ms) <= CLOSE_WAIT_MS,
                     "a client that was closed is waited for");
    }
    if (ledger->drain_ms != 0 && session->state != SESSION_CLOSING)
        world_expect(world, ago(world, ledger->drain_ms) < settings->drain_timeout_ms,
                     "draining for %llu ms", LLU(ago(world, ledger->drain_ms)));
    if (ledger->both_paused_ms != 0 && session->client == SESSION_CLIENT_OPEN) {
        uint64_t since_ms = ledger->both_paused_ms > ledger->client_taken_ms
                                ? ledger->both_paused_ms
                                : ledger->client_taken_ms;
        world_expect(world, ago(world, since_ms) < settings->heartbeat.stall_timeout_ms,
                     "nothing is read from either side for %llu ms", LLU(ago(world, since_ms)));
    }
    promise_kept_is_offered(world);
}
