/* The daemon's turns: what net would do with the session's actions. */
#include "host.h"

#include <string.h>

#include "proto/close.h"
#include "world.h"

enum {
    HOST_TIMER_COUNT_MAX = 64, /* more calls of session_timer() at one instant: it never rests */
    HOST_TURNS_AT_ONCE_MAX = 20,
    HOST_DID_NOT_RUN_MS = 1000
};

static void host_carry_out(struct world *world, const struct session_actions *actions);

/* After each call of the session that may have asked for something. */
static void host_fed(struct world *world, const struct session_actions *actions)
{
    ledger_after(world, actions);
    if (actions->any)
        host_carry_out(world, actions);
    if (world->session_lives)
        session_check(&world->session);
}

static bool host_is_open(const struct world *world)
{
    return world->session_lives && world->host.conn && !world->failed;
}

/* ---- the inbox ---------------------------------------------------------------------------- */

static uint64_t host_inbox_bytes(const struct world *world)
{
    return world->client.out.put - world->client.out.written;
}

static void host_tell_inbox(struct world *world)
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

static void host_flush_client(struct world *world)
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

static void host_deliver(struct world *world, const struct pipe_frame *frame)
{
    struct pipe_frame *copy =
        pipe_put(&world->client.out, PIPE_MESSAGE, frame_wire_bytes(frame->bytes, false));
    copy->number = frame->number;
    copy->bytes = frame->bytes;
    copy->source = frame->source;
    host_inbox_changed(world);
}

/* ---- the session's actions ---------------------------------------------------------------- */

static void host_begin_attempt(struct world *world)
{
    struct host *host = &world->host;
    const struct plan *plan = &world->plan;
    struct chance *chance = &world->chance;
    if (host->reloaded && world->session.settings != &plan->reloaded)
        session_use_settings(&world->session, &plan->reloaded);
    host->stage = HOST_RESOLVES;
    host->outcome = ATTEMPT_OPENS;
    if (!world->calm && chance_below(chance, 100) < plan->attempt_fault_percent)
        host->outcome = (enum plan_attempt)chance_between(chance, ATTEMPT_DNS_FAILS,
                                                          ATTEMPT_COUNT - 1);
    for (unsigned i = 0; i < 2 && !world->calm; i++)
        if (world->now_ms >= plan->outages[i].from_ms && plan->outages[i].from_ms != PIPE_NEVER &&
            world->now_ms < plan->outages[i].until_ms)
            host->outcome = plan->outages[i].how;
    host->stage_ms = world->now_ms + chance_below(chance, 3);
    if (host->outcome == ATTEMPT_DNS_HANGS)
        host->stage_ms = PIPE_NEVER;
    static const uint16_t statuses[] = {200, 301, 400, 401, 403, 404, 407, 408, 410, 418,
                                        421, 425, 426, 429, 451, 500, 502, 503, 504, 599};
    host->status = CHANCE_OF(chance, statuses);
    host->subprotocol = plan->subprotocol && !*plan->subprotocol ? NULL : "chat";
    if (host->outcome == ATTEMPT_MISMATCH)
        host->subprotocol = "other";
    world->tally->attempts[host->outcome]++;
}

/* Its Pings may come back on a later connection. */
static void host_remember_pings(struct world *world, const struct conn *conn)
{
    uint64_t from = conn->ping_next > 4 ? conn->ping_next - 4 : 0;
    for (uint64_t i = from; i < conn->ping_next; i++) {
        unsigned at = world->old_ping_count < WORLD_OLD_PING_COUNT
                          ? world->old_ping_count++
                          : (unsigned)chance_below(&world->chance, WORLD_OLD_PING_COUNT);
        memcpy(world->old_pings[at], conn->pings[i % LEDGER_PING_COUNT].body, 16);
    }
}

static struct pipe_frame *host_put_close(struct pipe *pipe, const struct close_frame *close,
                                         bool masked)
{
    uint64_t bytes = close->code == CLOSE_NO_STATUS ? 0 : 2u + close->reason_bytes;
    struct pipe_frame *frame = pipe_put(pipe, PIPE_CLOSE, frame_wire_bytes(bytes, masked));
    frame->code = close->code;
    return frame;
}

static void host_drop(struct world *world, const struct session_actions *actions)
{
    struct host *host = &world->host;
    struct conn *conn = host->conn;
    host->stage = HOST_NO_ATTEMPT;
    host->conn = NULL;
    if (!conn) {
        host->in_frame = false;
        return;
    }
    bool mid_frame = host->in_frame;
    host->in_frame = false;
    host->pongs_owed = 0;
    host_remember_pings(world, conn);
    ledger_connection_over(world, conn);
    if (mid_frame)
        world_count(world, TALLY_CUT_IN_MID_FRAME);
    switch (actions->drop) {
    case SESSION_DROP_NONE:
        world_fail(world, "dropped without being asked to");
        return;
    case SESSION_DROP_RESET:
        pipe_reset(&conn->up, world->now_ms);
        return;
    case SESSION_DROP_CLOSE:
        if (!mid_frame && pipe_has_room_for_frame(&conn->up) && !conn->up.fin_wanted) {
            host_put_close(&conn->up, &actions->upstream_close, true);
            world_count(world, TALLY_ECHOED_CLOSES);
        }
        pipe_flush(&conn->up, world->now_ms);
        pipe_fin(&conn->up, world->now_ms);
        return;
    case SESSION_DROP_ABANDON:
    case SESSION_DROP_FIN:
        if (pipe_readable(&conn->down) > 0 && actions->drop == SESSION_DROP_ABANDON)
            pipe_reset(&conn->up, world->now_ms); /* close() with unread bytes does that */
        else
            pipe_fin(&conn->up, world->now_ms);
        return;
    }
}

static void host_do_client(struct world *world, const struct session_actions *actions)
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

static void host_log_move(struct world *world, const struct session_actions *actions)
{
    const struct session_move *move = &actions->move;
    if (!world->verbose || move->from == move->to)
        return;
    if (move->to == SESSION_WAITING)
        world_log(world, "%s -> %s (%s), %llu ms", session_state_name(move->from),
                  session_state_name(move->to), cause_name(move->cause),
                  (unsigned long long)actions->delay_ms);
    else
        world_log(world, "%s -> %s (%s)", session_state_name(move->from),
                  session_state_name(move->to), cause_name(move->cause));
}

static void host_end_session(struct world *world)
{
    world->session_lives = false;
    world->host.client_listens = false;
    world->host.kept = false;
    session_clear(&world->session);
    ledger_close(world);
}

static void host_carry_out(struct world *world, const struct session_actions *actions)
{
    struct client *client = &world->client;
    uint64_t clock_ms = world_clock_ms(world);
    host_log_move(world, actions);
    if (actions->deliver_gap) {
        pipe_put(&client->out, PIPE_GAP, frame_wire_bytes(16, false));
        world_count(world, TALLY_GAP_MESSAGES);
    }
    host_do_client(world, actions);
    if (actions->drop != SESSION_DROP_NONE)
        host_drop(world, actions);
    if (actions->attempt)
        host_begin_attempt(world);
    if (actions->move.from != actions->move.to && actions->move.to == SESSION_ENDED) {
        host_end_session(world);
        return;
    }
    if (actions->probe_upstream && world->host.conn) {
        const struct pipe *up = &world->host.conn->up;
        world_count(world, TALLY_PROBES);
        world_log(world, "asks TCP: %llu of %llu bytes acknowledged", (unsigned long long)up->acked,
                  (unsigned long long)up->written);
        session_upstream_tcp(&world->session, up->acked, pipe_is_in_flight(up), clock_ms);
    }
    if (actions->probe_client)
        session_client_tcp(&world->session, client->out.acked, pipe_is_in_flight(&client->out),
                           clock_ms);
    if (actions->ping_client) {
        pipe_put(&client->out, PIPE_PING, frame_wire_bytes(0, false));
        session_client_pinged(&world->session, client->out.put, clock_ms);
        world->ledger.client_pinged_ms = clock_ms;
        world_count(world, TALLY_CLIENT_PINGS);
    }
}

/* ---- an attempt --------------------------------------------------------------------------- */

void host_start(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    *host = (struct host){.stage_ms = PIPE_NEVER, .wake_ms = PIPE_NEVER, .client_listens = true};
    host->ran_ms = world->now_ms;
    ledger_before(world, EVENT_START);
    session_start(&world->session, world->plan.subprotocol, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

uint64_t host_attempt_due_ms(const struct world *world)
{
    return world->host.stage == HOST_NO_ATTEMPT ? PIPE_NEVER : world->host.stage_ms;
}

static void host_lost(struct world *world, enum cause cause, uint16_t status)
{
    struct session_actions actions = {.any = true};
    world->ledger.lost_cause = cause;
    world->ledger.lost_status = status;
    ledger_before(world, EVENT_LOST);
    session_upstream_lost(&world->session, cause, status, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

static void host_upgraded(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    struct conn *conn = world_new_conn(world);
    conn->next_sequence = world->ledger.head;
    conn->sent_sequence = world->ledger.head - 1;
    conn->replays = world->ledger.head < world->ledger.tail;
    host->conn = conn;
    host->encoded = 0;
    host->stage = HOST_NO_ATTEMPT;
    ledger_before(world, EVENT_UPGRADED);
    session_upstream_upgraded(&world->session, host->subprotocol, world_clock_ms(world), &actions);
    host_fed(world, &actions);
    if (host->conn == conn) {
        world->conn_number++;
        server_open(world, conn);
        server_run(world, conn);
    } else {
        conn->used = false;
    }
}

/* The stage of the attempt brings its result. */
static void host_attempt(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    uint64_t rtt_ms = 2 * world->plan.up.latency_ms;
    uint64_t clock_ms = world_clock_ms(world);
    if (world->now_ms < host_attempt_due_ms(world) || !world->session_lives)
        return;
    switch (host->stage) {
    case HOST_NO_ATTEMPT:
        return;
    case HOST_RESOLVES:
        if (host->outcome == ATTEMPT_DNS_FAILS) {
            host_lost(world, CAUSE_DNS_FAILED, 0);
            return;
        }
        host->stage = HOST_CONNECTS;
        host->stage_ms =
            host->outcome == ATTEMPT_TCP_HANGS ? PIPE_NEVER : world->now_ms + rtt_ms;
        ledger_before(world, EVENT_RESOLVED);
        session_upstream_resolved(&world->session, clock_ms, &actions);
        host_fed(world, &actions);
        return;
    case HOST_CONNECTS:
        if (host->outcome == ATTEMPT_REFUSED || host->outcome == ATTEMPT_UNREACHABLE) {
            host_lost(world,
                      host->outcome == ATTEMPT_REFUSED ? CAUSE_TCP_REFUSED : CAUSE_TCP_UNREACHABLE,
                      0);
            return;
        }
        host->stage = HOST_UPGRADES;
        host->stage_ms =
            host->outcome == ATTEMPT_UPGRADE_HANGS ? PIPE_NEVER : world->now_ms + rtt_ms;
        ledger_before(world, EVENT_CONNECTED);
        session_upstream_connected(&world->session, clock_ms, &actions);
        host_fed(world, &actions);
        return;
    case HOST_UPGRADES:
        break;
    }
    switch (host->outcome) {
    case ATTEMPT_STATUS:
        host_lost(world, CAUSE_HTTP_STATUS, host->status);
        return;
    case ATTEMPT_MALFORMED:
        host_lost(world, CAUSE_HTTP_MALFORMED, 0);
        return;
    case ATTEMPT_UPGRADE_RST:
        host_lost(world, CAUSE_TCP_RESET, 0);
        return;
    case ATTEMPT_UPGRADE_EOF:
        host_lost(world, CAUSE_TCP_EOF, 0);
        return;
    default:
        host_upgraded(world);
        return;
    }
}

/* Events that belong to an attempt which was given up: net has them in flight, and the session
 * does not mind. */
static void host_stray(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct session *session = &world->session;
    uint64_t clock_ms = world_clock_ms(world);
    if (!world->session_lives || !chance_one_in(&world->chance, world->plan.host.stray_one_in))
        return;
    if (session->state != SESSION_OPEN && session->state != SESSION_WAITING)
        return;
    enum session_state state = session->state;
    world_count(world, TALLY_STRAYS);
    switch (chance_below(&world->chance, 4)) {
    case 0:
        session_upstream_resolved(session, clock_ms, &actions);
        break;
    case 1:
        session_upstream_connected(session, clock_ms, &actions);
        break;
    case 2:
        session_upstream_upgraded(session, NULL, clock_ms, &actions);
        break;
    default:
        if (state == SESSION_OPEN)
            return;
        session_upstream_lost(session, CAUSE_TCP_RESET, 0, clock_ms, &actions);
        break;
    }
    world_expect(world, session->state == state && !actions.any,
                 "a stray event of an attempt that was given up did something");
}

/* ---- reading the upstream ----------------------------------------------------------------- */

static void host_read_message(struct world *world, const struct pipe_frame *frame)
{
    struct session *session = &world->session;
    bool expected = session->state == SESSION_OPEN && (session->client == SESSION_CLIENT_OPEN ||
                                                       session->client == SESSION_CLIENT_CLOSING);
    bool deliver = session_upstream_message(session, world_clock_ms(world));
    world_expect(world, deliver == expected, "an inbound message was %s in state %s",
                 deliver ? "delivered" : "dropped", session_state_name(session->state));
    world->ledger.data_ms = world_clock_ms(world);
    if (!deliver) {
        world_count(world, TALLY_DROPPED_INBOUND);
        return;
    }
    world->ledger.moved = true;
    world->ledger.delivered++;
    world_count(world, TALLY_DELIVERED);
    host_deliver(world, frame);
}

static void host_read_frame(struct world *world, const struct pipe_frame *frame)
{
    struct session_actions actions = {.any = true};
    struct session *session = &world->session;
    struct ledger *ledger = &world->ledger;
    uint64_t clock_ms = world_clock_ms(world);
    switch ((enum pipe_frame_kind)frame->kind) {
    case PIPE_MESSAGE:
        host_read_message(world, frame);
        return;
    case PIPE_PING:
        if (world->host.pongs_owed < 8)
            world->host.pongs_owed++;
        return;
    case PIPE_PONG:
        ledger->pong = frame->body;
        ledger->pong_bytes = frame->body_bytes;
        ledger_before(world, EVENT_PONG);
        session_upstream_pong(session, frame->body, frame->body_bytes, clock_ms, &actions);
        host_fed(world, &actions);
        return;
    case PIPE_CLOSE:
        close_set(&ledger->close, frame->code, frame->code == CLOSE_NO_STATUS
                                                   ? NULL
                                                   : plan_reason[frame->reason]);
        ledger_before(world, EVENT_CLOSE);
        session_upstream_close(session, &ledger->close, clock_ms, &actions);
        host_fed(world, &actions);
        return;
    case PIPE_BROKEN:
        host_lost(world, CAUSE_PROTOCOL_ERROR, 0);
        return;
    case PIPE_TOO_BIG:
        host_lost(world, CAUSE_MESSAGE_TOO_BIG, 0);
        return;
    case PIPE_GAP:
        world_fail(world, "a gap message came from the server");
        return;
    }
}

/* Frames that were read as a whole, in order, as long as this is the session's connection. */
static void host_read_frames(struct world *world, struct conn *conn)
{
    while (host_is_open(world) && world->host.conn == conn && pipe_frame(&conn->down)) {
        if (world->plan.host.keeps_rest && !session_reads_upstream(&world->session))
            return;
        struct pipe_frame frame = *pipe_frame(&conn->down);
        pipe_drop_frame(&conn->down);
        host_read_frame(world, &frame);
    }
}

/* Rule 7: everything readable first, then the end, whatever writing says. */
static void host_read_upstream(struct world *world)
{
    struct conn *conn = world->host.conn;
    while (host_is_open(world) && world->host.conn == conn &&
           session_reads_upstream(&world->session)) {
        struct pipe *down = &conn->down;
        host_read_frames(world, conn);
        if (!host_is_open(world) || world->host.conn != conn ||
            !session_reads_upstream(&world->session))
            return;
        uint64_t bytes = pipe_readable(down);
        if (bytes > world->plan.host.read_bytes_max)
            bytes = world->plan.host.read_bytes_max;
        if (bytes > 0) {
            pipe_read(down, bytes, world->now_ms);
            ledger_heard(world, conn);
            session_upstream_received(&world->session, world_clock_ms(world));
            continue;
        }
        if (conn->timed_out)
            host_lost(world, CAUSE_TCP_TIMEOUT, 0);
        else if (down->rst_arrived)
            host_lost(world, CAUSE_TCP_RESET, 0);
        else if (down->fin_arrived)
            host_lost(world, CAUSE_TCP_EOF, 0);
        return;
    }
}

/* ---- reading the client ------------------------------------------------------------------- */

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
    enum session_take take =
        session_client_message(&world->session, frame->number % 3 ? FRAME_TEXT : FRAME_BINARY,
                               world->payload, frame->bytes, world_clock_ms(world), &actions);
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

static bool host_hears_client(const struct world *world)
{
    return world->session_lives && !world->failed && world->host.client_listens &&
           world->client.answered;
}

static void host_read_client(struct world *world)
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

/* ---- writing upstream --------------------------------------------------------------------- */

static void host_encoded(struct world *world, const struct session_send *send, uint64_t end)
{
    session_sent(&world->session, send, end, world_clock_ms(world));
    if (send->kind == SESSION_SEND_MESSAGE)
        ledger_encoded(world, world->host.send_sequence, end);
}

/* What the session gave is put into the stream: at once, or the beginning of a long message. */
static void host_encode(struct world *world, const struct session_send *send)
{
    static const enum pipe_frame_kind kinds[] = {[SESSION_SEND_MESSAGE] = PIPE_MESSAGE,
                                                 [SESSION_SEND_PING] = PIPE_PING,
                                                 [SESSION_SEND_CLOSE] = PIPE_CLOSE};
    struct host *host = &world->host;
    struct ledger *ledger = &world->ledger;
    struct pipe *up = &host->conn->up;
    struct pipe_frame *frame =
        pipe_put(up, kinds[send->kind], frame_wire_bytes(send->payload_bytes, true));
    host->send_end = frame->end;
    if (send->kind == SESSION_SEND_MESSAGE) {
        host->send_sequence = host->conn->next_sequence - 1;
        frame->number = ledger->order[host->send_sequence];
        frame->bytes = (uint32_t)send->payload_bytes;
        if (send->payload_bytes > world->plan.host.piece_bytes) {
            world_count(world, TALLY_MESSAGES_IN_PIECES);
            host->in_frame = true;
            host->send = *send;
            return;
        }
    } else if (send->kind == SESSION_SEND_PING) {
        memcpy(frame->body, send->payload, 16);
        frame->body_bytes = 16;
    } else {
        frame->code = CLOSE_NO_STATUS;
        if (send->payload_bytes >= 2)
            frame->code = (uint16_t)(send->payload[0] << 8 | send->payload[1]);
    }
    host->encoded = frame->end;
    host_encoded(world, send, frame->end);
}

static void host_encode_piece(struct world *world)
{
    struct host *host = &world->host;
    uint64_t rest = host->send_end - host->encoded;
    uint64_t piece = world->plan.host.piece_bytes;
    host->encoded += piece < rest ? piece : rest;
    if (host->encoded < host->send_end)
        return;
    uint64_t number = world->ledger.order[host->send_sequence];
    world_expect(world,
                 world_payload_is(host->send.payload, number,
                                  world->ledger.messages[number].bytes),
                 "message %llu changed while it was encoded", (unsigned long long)number);
    host->in_frame = false;
    host_encoded(world, &host->send, host->send_end);
}

/* One more thing into the stream; false when there is nothing, or no room to hold it. */
static bool host_gather(struct world *world)
{
    struct host *host = &world->host;
    struct pipe *up = &host->conn->up;
    struct session_send send;
    if (host->encoded - up->written >= world->plan.host.gather_bytes_max)
        return false;
    if (host->in_frame) {
        host_encode_piece(world);
        return true;
    }
    if (!pipe_has_room_for_frame(up))
        return false;
    if (host->pongs_owed > 0) {
        host->pongs_owed--;
        host->encoded = pipe_put(up, PIPE_PONG, frame_wire_bytes(4, true))->end;
        return true;
    }
    memset(&send, 0xaa, sizeof send);
    if (!session_send_next(&world->session, world_clock_ms(world), &send))
        return false;
    ledger_sending(world, &send);
    if (!world->failed)
        host_encode(world, &send);
    return true;
}

static void host_wrote(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct pipe *up = &world->host.conn->up;
    ledger_before(world, EVENT_WRITTEN);
    ledger_written(world, up->written);
    session_upstream_written(&world->session, up->written, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

static void host_write_upstream(struct world *world)
{
    struct host *host = &world->host;
    struct conn *conn = host->conn;
    while (host_is_open(world) && host->conn == conn && !conn->up.fin_wanted) {
        struct pipe *up = &conn->up;
        if (conn->down.rst_arrived) {
            if (!conn->write_failed && (host->encoded > up->written ||
                                        session_has_to_send(&world->session, world_clock_ms(world)))) {
                conn->write_failed = true;
                world_count(world, TALLY_WRITE_FAILED);
                if (pipe_readable(&conn->down) > 0)
                    world_count(world, TALLY_WRITE_FAILED_READABLE);
            }
            return; /* judged by what can still be read, never by this */
        }
        while (!world->failed && host_gather(world))
            ;
        uint64_t bytes = host->encoded - up->written;
        uint64_t space = pipe_space(up);
        bool partial = bytes > 1 && chance_one_in(&world->chance, 16);
        if (bytes > space)
            bytes = space;
        if (partial && bytes > 1)
            bytes = chance_between(&world->chance, 1, bytes - 1);
        if (bytes == 0 || world->failed)
            return;
        pipe_write(up, bytes, world->now_ms);
        if (world->session.state == SESSION_CLOSING && world->session.close_sent &&
            up->written == up->put)
            pipe_fin(up, world->now_ms); /* after our Close nothing more */
        host_wrote(world);
        if (partial)
            return;
    }
}

/* ---- a turn of the loop ------------------------------------------------------------------- */

static bool host_wants_to_write(struct world *world)
{
    const struct host *host = &world->host;
    const struct conn *conn = host->conn;
    if (conn->up.fin_wanted || conn->down.rst_arrived || pipe_space(&conn->up) == 0)
        return false;
    return host->encoded > conn->up.written || host->in_frame || host->pongs_owed > 0 ||
           session_has_to_send(&world->session, world_clock_ms(world));
}

static bool host_has_something_to_read(const struct world *world)
{
    const struct conn *conn = world->host.conn;
    const struct pipe *in = &world->client.in;
    if (conn && session_reads_upstream(&world->session)) {
        const struct pipe *down = &conn->down;
        if (pipe_has_news(down) || conn->timed_out ||
            (down->frame_count > 0 && down->frames[down->frame_first].end <= down->read))
            return true;
    }
    if (!host_hears_client(world))
        return false;
    if (world->host.kept)
        return session_has_room(&world->session);
    return session_reads_client(&world->session) &&
           (pipe_has_news(in) ||
            (in->frame_count > 0 && in->frames[in->frame_first].end <= in->read));
}

uint64_t host_due_ms(struct world *world)
{
    const struct host *host = &world->host;
    const struct pipe *out = &world->client.out;
    uint64_t now_ms = world->now_ms;
    bool gone = world->client.in.rst_arrived;
    if ((out->put > out->written && (gone || pipe_space(out) > 0) && !out->fin_wanted) ||
        (host->client_ends && !out->fin_wanted && out->put == out->written))
        return now_ms;
    if (!world->session_lives)
        return PIPE_NEVER;
    if (host_has_something_to_read(world) || host->jumped || host->retry)
        return now_ms;
    if (host->conn && host_wants_to_write(world))
        return now_ms;
    uint64_t due_ms = host_attempt_due_ms(world);
    uint64_t deadline_ms = session_deadline_ms(&world->session);
    if (deadline_ms != SETTINGS_NEVER) {
        deadline_ms = deadline_ms > world->skew_ms ? deadline_ms - world->skew_ms : 0;
        if (deadline_ms < due_ms)
            due_ms = deadline_ms;
    }
    if (!host->shut_down && world->plan.host.shutdown_ms < due_ms)
        due_ms = world->plan.host.shutdown_ms;
    return due_ms > now_ms ? due_ms : now_ms;
}

static void host_timers(struct world *world)
{
    struct session_actions actions;
    unsigned count = 0;
    do {
        if (!world->session_lives || world->failed)
            return;
        actions.any = true;
        ledger_before(world, EVENT_TIMER);
        session_timer(&world->session, world_clock_ms(world), &actions);
        host_fed(world, &actions);
        count++;
        world_expect(world, count < HOST_TIMER_COUNT_MAX, "session_timer() never rests");
    } while (actions.any);
}

static void host_shutdown(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    if (host->shut_down || world->now_ms < world->plan.host.shutdown_ms || !world->session_lives)
        return;
    host->shut_down = true;
    world_log(world, "host: SIGTERM");
    world_count(world, TALLY_SHUTDOWNS);
    ledger_before(world, EVENT_SHUTDOWN);
    session_shutdown(&world->session, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

/* Was it away?  Then nothing that is missing is held against anybody. */
static void host_look_at_the_clock(struct world *world)
{
    struct host *host = &world->host;
    uint64_t late_ms = world->now_ms - host->ready_ms;
    bool away = host->jumped || late_ms >= HOST_DID_NOT_RUN_MS;
    host->jumped = false;
    if (late_ms > 0)
        world_count(world, TALLY_WOKE_LATE);
    if (late_ms > world->ledger.late_ms)
        world->ledger.late_ms = late_ms;
    if (!away || !world->session_lives)
        return;
    world_log(world, "host: did not run");
    world_count(world, TALLY_DID_NOT_RUN);
    session_did_not_run(&world->session, world_clock_ms(world));
    session_check(&world->session);
    ledger_did_not_run(world);
}

/* Turn after turn at one instant, and nothing comes of it. */
static void host_check_spin(struct world *world)
{
    struct host *host = &world->host;
    const struct client *client = &world->client;
    uint64_t progress = client->in.read + client->out.written + world->ledger.tail;
    if (host->conn)
        progress += host->encoded + host->conn->up.written + host->conn->down.read;
    if (host->ran_ms != world->now_ms || host->progress != progress)
        host->turns_at_once = 0;
    host->ran_ms = world->now_ms;
    host->progress = progress;
    host->turns_at_once++;
    world_expect(world, host->turns_at_once < HOST_TURNS_AT_ONCE_MAX,
                 "the loop spins: state %s, deadline in %lld ms, %sto read, %sto write",
                 session_state_name(world->session.state),
                 (long long)(session_deadline_ms(&world->session) - world_clock_ms(world)),
                 host_has_something_to_read(world) ? "" : "nothing ",
                 host->conn && host_wants_to_write(world) ? "" : "nothing ");
}

void host_turn(struct world *world)
{
    struct host *host = &world->host;
    world->turns++;
    world_count(world, TALLY_TURNS);
    ledger_turn_begins(world);
    host_look_at_the_clock(world);
    if (!host->reloaded && world->now_ms >= world->plan.host.reload_ms) {
        host->reloaded = true;
        world_count(world, TALLY_RELOADS);
    }
    host_attempt(world);
    if (host->retry) {
        host->retry = false;
        host_tell_inbox(world);
    }
    if (chance_one_in(&world->chance, 2)) {
        host_read_upstream(world);
        host_read_client(world);
    } else {
        host_read_client(world);
        host_read_upstream(world);
    }
    host_flush_client(world);
    host_shutdown(world);
    host_timers(world);
    if (world->session_lives)
        host_stray(world);
    host_write_upstream(world);
    host_flush_client(world);
    host_check_spin(world);
    if (world->session_lives && !world->failed) {
        session_check(&world->session);
        ledger_turn(world);
    }
}
