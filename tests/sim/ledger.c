/* Where each message is, and who has seen it. */
#include "ledger.h"

#include <string.h>

#include "promises.h"
#include "proto/close.h"
#include "world.h"

#define LLU(value) ((unsigned long long)(value))

static struct ledger_message *message_of(struct ledger *ledger, uint64_t sequence)
{
    return &ledger->messages[ledger->order[sequence]];
}

static bool sent_is_enough(const struct world *world)
{
    return world->session.settings->acknowledge == ACKNOWLEDGE_SENT || world->session.pong_given_up;
}

void ledger_open(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    /* The tables are written before they are read. */
    memset((char *)ledger + offsetof(struct ledger, head), 0,
           sizeof *ledger - offsetof(struct ledger, head));
    ledger->head = ledger->tail = 1;
    uint64_t clock_ms = world_clock_ms(world);
    ledger->state_ms = ledger->client_ms = ledger->client_start_ms = clock_ms;
    ledger->unopened_ms = clock_ms;
    ledger->early_by_ms = PIPE_NEVER;
    ledger->reads_upstream = ledger->reads_client = true;
}

void ledger_may_wake(struct world *world, uint64_t due_ms)
{
    struct ledger *ledger = &world->ledger;
    if (world->session.state != SESSION_WAITING)
        return;
    ledger->may_be_early = true;
    if (ledger->early_ms != 0 && due_ms < ledger->early_ms + LEDGER_EARLY_SPACE_MS)
        due_ms = ledger->early_ms + LEDGER_EARLY_SPACE_MS;
    if (due_ms < ledger->not_before_ms)
        due_ms = ledger->not_before_ms;
    if (due_ms < ledger->early_by_ms)
        ledger->early_by_ms = due_ms;
}

/* ---- messages leave the outbox ------------------------------------------------------------ */

static void ledger_leave(struct world *world, enum ledger_place place)
{
    struct ledger *ledger = &world->ledger;
    struct conn *conn = world->host.conn;
    struct ledger_message *message = message_of(ledger, ledger->head);
    message->place = (uint8_t)place;
    ledger->outbox_bytes -= message->bytes;
    ledger->head++;
    if (conn && conn->next_sequence < ledger->head)
        conn->next_sequence = ledger->head;
}

static void ledger_ack_one(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    world_count(world, TALLY_MESSAGES_ACKED);
    ledger->moved = true;
    if (world->host.conn)
        world->host.conn->acked_count++;
    ledger_leave(world, LEDGER_ACKED);
}

/* The index of the Ping in flight that has this payload, newest first; -1: none has. */
static int64_t ping_in_flight(const struct conn *conn, const uint8_t *body, size_t body_bytes)
{
    if (body_bytes != 16)
        return -1;
    for (uint64_t i = conn->ping_next; i-- > conn->ping_first;)
        if (memcmp(conn->pings[i % LEDGER_PING_COUNT].body, body, 16) == 0)
            return (int64_t)i;
    return -1;
}

/*
 * A Pong acknowledges exactly what was sent before its Ping on this connection; and what it
 * acknowledges was read by this connection's endpoint, or it would be lost.
 */
static void ledger_pong(struct world *world, uint64_t acked)
{
    struct ledger *ledger = &world->ledger;
    struct conn *conn = world->host.conn;
    int64_t index = ping_in_flight(conn, ledger->pong, ledger->pong_bytes);
    world_count(world, index < 0 ? TALLY_PONGS_FALSE : TALLY_PONGS_MATCHED);
    world_log(world, "a Pong: %s, %llu acknowledged", index < 0 ? "no Ping's" : "it matches",
              LLU(acked));
    if (index < 0) {
        if (sent_is_enough(world))
            conn->ponged_offset = conn->up.written;
        world_expect(world, acked == 0,
                     "%llu messages were acknowledged by a Pong that answers no Ping of this "
                     "connection",
                     LLU(acked));
        return;
    }
    uint64_t sequence = conn->pings[index % LEDGER_PING_COUNT].sequence;
    uint64_t expected = sequence >= ledger->head ? sequence - ledger->head + 1 : 0;
    if (!sent_is_enough(world))
        world_expect(world, acked == expected,
                     "a Pong for everything up to %llu acknowledged %llu messages, not %llu",
                     LLU(sequence), LLU(acked), LLU(expected));
    for (uint64_t i = 0; i < acked && !world->failed; i++) {
        uint64_t number = ledger->order[ledger->head];
        world_expect(world, ledger->messages[number].exposed,
                     "message %llu was acknowledged before it was sent", LLU(number));
        world_expect(world, number <= conn->server.read_number,
                     "message %llu was freed, and this connection's server has read only up to "
                     "%llu",
                     LLU(number), LLU(conn->server.read_number));
        ledger_ack_one(world);
    }
    conn->ping_first = (uint64_t)index + 1;
    conn->ponged_ms = world_clock_ms(world);
    if (conn->ponged_offset < conn->pings[index % LEDGER_PING_COUNT].end)
        conn->ponged_offset = conn->pings[index % LEDGER_PING_COUNT].end;
    conn->ponged_count = conn->pings[index % LEDGER_PING_COUNT].sent_count;
    conn->ponged_bytes = conn->pings[index % LEDGER_PING_COUNT].sent_bytes;
    ledger->pong_ever = true;
    ledger->unanswered_connections = 0;
}

/* sent: handing it to the kernel is the acknowledgement, no sooner and no later. */
static void ledger_sent_mode(struct world *world, uint64_t acked)
{
    struct ledger *ledger = &world->ledger;
    const struct conn *conn = world->host.conn;
    for (uint64_t i = 0; i < acked && !world->failed; i++) {
        world_expect(
            world, conn->ends[ledger->head] != 0 && conn->ends[ledger->head] <= conn->up.written,
            "message %u was freed before it was wholly written", ledger->order[ledger->head]);
        ledger_ack_one(world);
    }
    world_expect(world,
                 ledger->head >= conn->next_sequence || conn->ends[ledger->head] == 0 ||
                     conn->ends[ledger->head] > conn->up.written,
                 "message %u was written and still waits for something",
                 ledger->order[ledger->head]);
}

/* `without_pong: sent` came true: what was exposed counts as delivered, and nothing else does. */
static void ledger_sent_from_now_on(struct world *world, uint64_t acked)
{
    struct ledger *ledger = &world->ledger;
    bool moved = ledger->moved; /* it is no merit of this connection */
    world_expect(world, !ledger->pong_given_up && world->session.pong_given_up,
                 "%llu messages were acknowledged by event %d", LLU(acked), ledger->event);
    for (uint64_t i = 0; i < acked && !world->failed; i++) {
        world_expect(world, message_of(ledger, ledger->head)->exposed,
                     "message %u counts as sent and never was", ledger->order[ledger->head]);
        ledger_ack_one(world);
    }
    world_expect(world, ledger->head == ledger->tail || !message_of(ledger, ledger->head)->exposed,
                 "message %u was sent, and does not count", ledger->order[ledger->head]);
    ledger->moved = moved;
}

static void ledger_acknowledged(struct world *world, uint64_t acked)
{
    struct ledger *ledger = &world->ledger;
    world_expect(world, acked <= ledger->tail - ledger->head, "%llu acknowledged, %llu there",
                 LLU(acked), LLU(ledger->tail - ledger->head));
    if (world->failed)
        return;
    if (ledger->event == EVENT_PONG && world->host.conn) {
        ledger_pong(world, acked);
    } else if (ledger->event == EVENT_WRITTEN && sent_is_enough(world)) {
        ledger_sent_mode(world, acked);
    } else if (acked > 0) {
        ledger_sent_from_now_on(world, acked);
    }
}

/* True when a message of these bytes would have found room. */
static bool ledger_fits(const struct world *world, uint64_t bytes, uint64_t budget_bytes)
{
    const struct ledger *ledger = &world->ledger;
    const struct session_settings *settings = world->session.settings;
    return ledger->tail - ledger->head < settings->outbox_messages_max &&
           ledger->outbox_bytes + bytes <= settings->outbox_bytes_max &&
           budget_bytes + bytes + OUTBOX_OVERHEAD_BYTES <= world->budget.bytes_max;
}

/* drop-oldest: no more than needed, and never in the middle of a frame. */
static void ledger_dropped(struct world *world, uint64_t count)
{
    struct ledger *ledger = &world->ledger;
    const struct conn *conn = world->host.conn;
    uint64_t bytes = ledger->messages[ledger->event_number].bytes;
    uint64_t budget_bytes = ledger->budget_bytes;
    for (uint64_t i = 0; i < count && !world->failed; i++) {
        struct ledger_message *message = message_of(ledger, ledger->head);
        world_expect(world, world->session.settings->overflow == OVERFLOW_DROP_OLDEST,
                     "a message was dropped under another rule than drop-oldest");
        world_expect(world, !ledger_fits(world, bytes, budget_bytes),
                     "message %u was dropped, and there was room", ledger->order[ledger->head]);
        world_expect(
            world,
            !conn || ledger->head >= conn->next_sequence ||
                (conn->ends[ledger->head] != 0 && conn->ends[ledger->head] <= conn->up.written),
            "message %u was dropped in the middle of its frame", ledger->order[ledger->head]);
        world_count(world, TALLY_DROPPED_OLDEST);
        if (message->exposed)
            world_count(world, TALLY_DROPPED_EXPOSED);
        budget_bytes -= message->bytes + OUTBOX_OVERHEAD_BYTES;
        ledger_leave(world, LEDGER_GIVEN_UP);
    }
}

static void ledger_offered(struct world *world, uint64_t given_up)
{
    struct ledger *ledger = &world->ledger;
    struct ledger_message *message = &ledger->messages[ledger->event_number];
    enum settings_overflow overflow = world->session.settings->overflow;
    bool open = ledger->client == SESSION_CLIENT_OPEN || ledger->client == SESSION_CLIENT_CLOSED;
    switch (ledger->take) {
    case SESSION_TAKEN:
        world_expect(world, open, "a message was taken from a client that has ended");
        ledger_dropped(world, given_up);
        world_expect(world, ledger_fits(world, message->bytes, 0), "taken beyond the bounds");
        message->place = LEDGER_IN_OUTBOX;
        ledger->order[ledger->tail++] = (uint16_t)ledger->event_number;
        ledger->outbox_bytes += message->bytes;
        world_count(world, TALLY_MESSAGES_TAKEN);
        return;
    case SESSION_NOT_NOW:
        ledger_dropped(world, given_up);
        world_expect(world, overflow != OVERFLOW_CLOSE, "NOT_NOW under overflow: close");
        if (overflow == OVERFLOW_DROP_OLDEST)
            world_count(world, TALLY_DROP_REFUSED);
        world_expect(world, !ledger_fits(world, message->bytes, world->budget.bytes),
                     "NOT_NOW, and there is room");
        return;
    case SESSION_IGNORED:
        if (!open) {
            world_expect(world, given_up == 0, "an ignored message was counted");
            ledger->ignored++;
            return;
        }
        world_expect(world, given_up == 1, "a refused message was counted %llu times",
                     LLU(given_up));
        message->place = LEDGER_GIVEN_UP;
        ledger->refused++;
        if (message->bytes > world->session.settings->outbox_bytes_max)
            world_count(world, TALLY_REFUSED_TOO_BIG);
        else
            world_count(world, TALLY_OVERFLOW_CLOSE);
        world_expect(world,
                     message->bytes > world->session.settings->outbox_bytes_max ||
                         overflow == OVERFLOW_CLOSE,
                     "refused under another rule");
        return;
    }
}

/* The end of the session: everything that is still here, and what net holds. */
static void ledger_all_given_up(struct world *world, uint64_t given_up, uint64_t given_up_bytes)
{
    struct ledger *ledger = &world->ledger;
    uint64_t expected = ledger->tail - ledger->head + (ledger->kept ? 1 : 0);
    uint64_t bytes = ledger->outbox_bytes + (ledger->kept ? ledger->kept_bytes : 0);
    world_expect(world, given_up == expected, "%llu messages given up, %llu were there",
                 LLU(given_up), LLU(expected));
    world_expect(world, given_up == 0 || given_up_bytes == bytes,
                 "%llu bytes given up, %llu were there", LLU(given_up_bytes), LLU(bytes));
    while (ledger->head < ledger->tail)
        ledger_leave(world, LEDGER_GIVEN_UP);
    if (ledger->kept)
        ledger->refused++;
}

static void ledger_given_up(struct world *world, const struct session_actions *actions,
                            uint64_t given_up)
{
    struct ledger *ledger = &world->ledger;
    if (given_up > 0) {
        world_expect(world, actions->any && actions->given_up_count == given_up,
                     "%llu messages given up, and not reported so", LLU(given_up));
        world->tally->branches[TALLY_MESSAGES_GIVEN_UP] += given_up;
        world->tally->given_up[actions->given_up_cause] += given_up;
    }
    if (ledger->event == EVENT_CLIENT_MESSAGE)
        ledger_offered(world, given_up);
    else if (world->session.state == SESSION_ENDED && ledger->state != SESSION_ENDED)
        ledger_all_given_up(world, given_up, actions->any ? actions->given_up_bytes : 0);
    else
        world_expect(world, given_up == 0, "messages given up by event %d", ledger->event);
}

/* ---- around each call --------------------------------------------------------------------- */

void ledger_before(struct world *world, enum ledger_event event)
{
    struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    ledger->event = event;
    ledger->head_before = ledger->head;
    ledger->state = session->state;
    ledger->client = session->client;
    ledger->counters = session->counters;
    ledger->pong_given_up = session->pong_given_up;
    ledger->close_sent = session->state == SESSION_CLOSING && session->close_sent;
    ledger->kept = world->host.kept;
    ledger->kept_bytes = world->host.kept_frame.bytes;
    ledger->budget_bytes = world->budget.bytes;
}

void ledger_taken(struct world *world, enum session_take take)
{
    world->ledger.take = take;
}

static void ledger_check_outbox(struct world *world)
{
    const struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    const struct outbox *outbox = &session->outbox;
    uint64_t count = ledger->tail - ledger->head;
    world_expect(
        world, outbox->entry_count == count && outbox->payload_bytes == ledger->outbox_bytes,
        "the outbox has %u messages of %llu bytes; there should be %llu of %llu",
        outbox->entry_count, LLU(outbox->payload_bytes), LLU(count), LLU(ledger->outbox_bytes));
    world_expect(world,
                 session->counters.sent + session->counters.given_up + count ==
                     ledger->tail - 1 + ledger->refused,
                 "sent %llu, given up %llu, still there %llu: but %llu were taken",
                 LLU(session->counters.sent), LLU(session->counters.given_up), LLU(count),
                 LLU(ledger->tail - 1 + ledger->refused));
    uint64_t bytes = ledger->outbox_bytes + count * OUTBOX_OVERHEAD_BYTES + world->inbox_budget +
                     world->others_bytes;
    world_expect(world, world->budget.bytes == bytes, "the budget says %llu, it is %llu",
                 LLU(world->budget.bytes), LLU(bytes));
}

void ledger_after(struct world *world, const struct session_actions *actions)
{
    struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    if (world->failed)
        return;
    ledger_acknowledged(world, session->counters.sent - ledger->counters.sent);
    ledger_given_up(world, actions, session->counters.given_up - ledger->counters.given_up);
    if (!world->failed)
        ledger_check_outbox(world);
    if (!world->failed)
        promises_after(world, actions);
}

/* ---- sending ------------------------------------------------------------------------------ */

/* No more than window_bytes beyond what is acknowledged, or one larger message alone.  What was
 * dropped from the outbox since is still on its way. */
static void ledger_check_window(struct world *world, uint64_t bytes)
{
    const struct conn *conn = world->host.conn;
    uint64_t window_bytes = world->session.settings->window_bytes;
    if (sent_is_enough(world))
        return;
    if (conn->sent_count == conn->ponged_count) {
        if (bytes > window_bytes)
            world_count(world, TALLY_MESSAGES_OVER_WINDOW);
        return;
    }
    bytes += conn->sent_bytes - conn->ponged_bytes;
    world_expect(world, bytes <= window_bytes, "%llu bytes sent beyond the acknowledged, not %llu",
                 LLU(bytes), LLU(window_bytes));
}

static void ledger_sending_message(struct world *world, const struct session_send *send)
{
    struct ledger *ledger = &world->ledger;
    struct conn *conn = world->host.conn;
    uint64_t sequence = conn->next_sequence;
    if (sequence >= ledger->tail) {
        world_fail(world, "a message was sent that is not in the outbox");
        return;
    }
    uint64_t number = ledger->order[sequence];
    struct ledger_message *message = &ledger->messages[number];
    world_expect(world,
                 send->payload_bytes == message->bytes &&
                     world_payload_is(send->payload, number, message->bytes) &&
                     send->opcode == (number % 3 ? FRAME_TEXT : FRAME_BINARY),
                 "message %llu should be sent, not another one of %llu bytes", LLU(number),
                 LLU(send->payload_bytes));
    ledger_check_window(world, message->bytes);
    world_expect(world,
                 !conn->replays || conn->sent_count != 1 || conn->pinged_ms != 0 ||
                     sent_is_enough(world),
                 "no Ping came right after the first message of a replay");
    conn->sent_sequence = sequence;
    conn->sent_count++;
    conn->sent_bytes += message->bytes;
    conn->next_sequence++;
    conn->ends[sequence] = 0;
    world_log(world, "sends message %llu%s", LLU(number), message->exposed ? ", again" : "");
    if (message->exposed) {
        ledger->repeats++;
        world_count(world, TALLY_MESSAGES_REPEATED);
    }
    message->sent_count++;
    world_expect(world, world->session.counters.repeated == ledger->repeats,
                 "%llu repeats counted, it was %llu", LLU(world->session.counters.repeated),
                 LLU(ledger->repeats));
}

unsigned ledger_pings_owed(const struct conn *conn)
{
    unsigned count = 0;
    for (uint64_t i = conn->ping_first; i < conn->ping_next; i++)
        count += conn->pings[i % LEDGER_PING_COUNT].sent_count > conn->ponged_count ? 1 : 0;
    return count;
}

uint64_t ledger_owed_since_ms(const struct conn *conn)
{
    for (uint64_t i = conn->ping_first; i < conn->ping_next; i++)
        if (conn->pings[i % LEDGER_PING_COUNT].sent_count > conn->ponged_count) {
            uint64_t acked_ms = conn->pings[i % LEDGER_PING_COUNT].acked_ms;
            return acked_ms != 0 && acked_ms < conn->ponged_ms ? conn->ponged_ms : acked_ms;
        }
    return 0;
}

/* A server counts what it receives, and we count what it says: then a Ping goes out anyway. */
static bool ledger_heartbeat_is_due(const struct world *world)
{
    const struct ledger *ledger = &world->ledger;
    const struct conn *conn = world->host.conn;
    uint64_t interval_ms = world->session.settings->heartbeat.interval_ms;
    uint64_t sent_ms = conn->pinged_ms > conn->encoded_ms ? conn->pinged_ms : conn->encoded_ms;
    uint64_t clock_ms = world_clock_ms(world);
    if (sent_ms < ledger->open_ms)
        sent_ms = ledger->open_ms;
    return clock_ms - sent_ms >= interval_ms || clock_ms - ledger->heard_ms >= interval_ms;
}

/* One more with four in flight.  The oldest makes room when no Pong is owed for it; else only the
 * heartbeat may send, and the second oldest makes room: the oldest times the acknowledgement. */
static void ledger_forget_ping(struct world *world, struct conn *conn)
{
    uint64_t first = conn->ping_first++ % LEDGER_PING_COUNT;
    if (conn->pings[first].sent_count <= conn->ponged_count)
        return;
    world_expect(world, ledger_heartbeat_is_due(world), "a Ping with four in flight");
    conn->pings[conn->ping_first % LEDGER_PING_COUNT] = conn->pings[first];
}

static void ledger_sending_ping(struct world *world, const struct session_send *send)
{
    struct conn *conn = world->host.conn;
    world_count(world, TALLY_PINGS);
    world_expect(world, send->payload_bytes == BARRIER_PAYLOAD_BYTES, "a Ping of %llu bytes",
                 LLU(send->payload_bytes));
    if (conn->ping_next - conn->ping_first == BARRIER_PING_COUNT_MAX)
        ledger_forget_ping(world, conn);
    if (conn->ping_next - conn->ping_first + 1 == BARRIER_PING_COUNT_MAX)
        world_count(world, TALLY_PINGS_IN_FLIGHT_4);
    world_log(world, "sends a Ping up to sequence %llu", LLU(conn->sent_sequence));
    uint64_t at = conn->ping_next++ % LEDGER_PING_COUNT;
    memcpy(conn->pings[at].body, send->payload, 16);
    conn->pings[at].sequence = conn->sent_sequence;
    conn->pings[at].sent_count = conn->sent_count;
    conn->pings[at].sent_bytes = conn->sent_bytes;
    conn->pings[at].end = conn->up.put + frame_wire_bytes(16, true);
    conn->pings[at].acked_ms = 0;
    conn->pinged_ms = world_clock_ms(world);
    if (conn->life_end == 0)
        conn->life_end = conn->pings[at].end;
}

/* Rule 5: the upstream's Close is the client's, and comes after the last acknowledgement. */
static void ledger_sending_close(struct world *world, const struct session_send *send)
{
    const struct ledger *ledger = &world->ledger;
    struct close_frame close = {0};
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    world_count(world, TALLY_LAST_CLOSES);
    world_expect(world, ledger->head == ledger->tail, "Close upstream, and %llu messages are there",
                 LLU(ledger->tail - ledger->head));
    if (ledger->has_client_close && !ledger->closed_by_us)
        close = ledger->client_close;
    else
        close_set(&close, CLOSE_GOING_AWAY, NULL);
    size_t bytes = close_encode(&close, body);
    world_expect(world, send->payload_bytes == bytes && memcmp(send->payload, body, bytes) == 0,
                 "the upstream's last Close is not %u", close.code);
}

void ledger_sending(struct world *world, const struct session_send *send)
{
    switch (send->kind) {
    case SESSION_SEND_NOTHING:
        world_fail(world, "session_send_next() said true and gave nothing");
        return;
    case SESSION_SEND_MESSAGE:
        ledger_sending_message(world, send);
        return;
    case SESSION_SEND_PING:
        ledger_sending_ping(world, send);
        return;
    case SESSION_SEND_CLOSE:
        ledger_sending_close(world, send);
        return;
    }
}

void ledger_encoded(struct world *world, uint64_t sequence, uint64_t end_offset)
{
    world->host.conn->ends[sequence] = end_offset;
    world->host.conn->encoded_ms = world_clock_ms(world);
}

void ledger_written(struct world *world, uint64_t written)
{
    struct ledger *ledger = &world->ledger;
    const struct conn *conn = world->host.conn;
    for (uint64_t i = conn->next_sequence; i-- > ledger->head;) {
        if (conn->ends[i] == 0 || conn->ends[i] > written)
            continue;
        if (message_of(ledger, i)->exposed && message_of(ledger, i)->sent_count == 1)
            break; /* and all before it */
        message_of(ledger, i)->exposed = true;
    }
}

/* ---- elsewhere ---------------------------------------------------------------------------- */

/*
 * Delivery: a connection begins at or before the first message that is not acknowledged, and
 * goes on without a gap but for messages that were given up.
 */
void ledger_server_read(struct world *world, struct conn *conn, uint64_t number)
{
    struct ledger *ledger = &world->ledger;
    struct ledger_message *message = &ledger->messages[number];
    uint64_t from = conn->server.read_count > 1 ? conn->last_read : 0;
    conn->last_read = number;
    world_expect(world, number > from, "the server read message %llu after %llu", LLU(number),
                 LLU(from));
    for (uint64_t i = from + 1; i < number && !world->failed; i++) {
        const struct ledger_message *before = &ledger->messages[i];
        world_expect(
            world, before->place == LEDGER_GIVEN_UP || (from == 0 && before->place == LEDGER_ACKED),
            "the server read message %llu, and message %llu never came", LLU(number), LLU(i));
    }
    if (conn != world->host.conn)
        world_count(world, TALLY_LATE_COPIES);
    message->server_read = true;
}

void ledger_did_not_run(struct world *world)
{
    world->ledger.restart_ms = world_clock_ms(world);
}

void ledger_turn_begins(struct world *world)
{
    struct conn *conn = world->host.conn;
    if (!conn)
        return;
    for (uint64_t i = conn->ping_first; i < conn->ping_next; i++)
        if (conn->pings[i % LEDGER_PING_COUNT].acked_ms == 0 &&
            conn->pings[i % LEDGER_PING_COUNT].end <= conn->up.acked)
            conn->pings[i % LEDGER_PING_COUNT].acked_ms = world_clock_ms(world);
    if (conn->life_end != 0 && conn->life_acked_ms == 0 && conn->life_end <= conn->up.acked)
        conn->life_acked_ms = world_clock_ms(world);
}

void ledger_heard(struct world *world, struct conn *conn)
{
    world->ledger.heard_ms = world_clock_ms(world);
    conn->life_end = conn->life_acked_ms = 0;
}

/*
 * A connection that carries one message and one round trip moves the outbox: the server of a
 * replay has read the first message, and has answered what came right after it.
 */
void ledger_connection_over(struct world *world, const struct conn *conn)
{
    const struct server *server = &conn->server;
    const struct plan_host *host = &world->plan.host;
    if (world->session.settings->overflow == OVERFLOW_DROP_OLDEST)
        return; /* what the Pong acknowledges may have been dropped before it comes */
    if (sent_is_enough(world) || !conn->replays || server->fate != FATE_SHORT || !conn->blameless ||
        server->read_count == 0 || world->ledger.event != EVENT_LOST)
        return;
    if (host->late_one_in > 0 || host->stop_count > 0 ||
        world->ledger.resumed_ms >= world->ledger.open_ms)
        return; /* we were the ones who did not listen */
    if (conn->down.read < conn->down.put)
        return; /* its kernel dropped what was still to be sent */
    world_count(world, TALLY_SHORT_LIVES_JUDGED);
    world_expect(world, conn->acked_count > 0,
                 "connection %u lived for %u messages and a round trip, and moved nothing",
                 conn->number, server->read_count);
}

void ledger_turn(struct world *world)
{
    ledger_check_outbox(world);
    if (!world->failed)
        promises_turn(world);
}

/* At the end: each message that was taken was read by a server, or was given up and said so. */
void ledger_close(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    for (uint64_t sequence = 1; sequence < ledger->head && !world->failed; sequence++) {
        const struct ledger_message *message = message_of(ledger, sequence);
        world_expect(world, message->place == LEDGER_GIVEN_UP || message->place == LEDGER_ACKED,
                     "message %u is nowhere", ledger->order[sequence]);
    }
    uint64_t bytes = world->inbox_budget + world->others_bytes;
    world_expect(world, world->budget.bytes == bytes || world->session_lives,
                 "%llu bytes of the budget were never given back",
                 LLU(world->budget.bytes - bytes));
}
