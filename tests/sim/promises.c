/* What may end, when it must, and what everybody is told. */
#include "promises_private.h"

#include <string.h>

#include "proto/close.h"
#include "rules.h"
#include "world.h"

enum {
    ATTEMPT_SPACE_MS = 1000, /* between the starts of connections that carried data */
    MISMATCH_COUNT_MAX = 3,
    UNANSWERED_COUNT_MAX = 3
};

/* The same, not counting time in which the upstream was not read, or not open. */
static uint64_t quiet(const struct world *world, uint64_t since_ms)
{
    const struct ledger *ledger = &world->ledger;
    uint64_t from_ms = since_ms > ledger->resumed_ms ? since_ms : ledger->resumed_ms;
    return ago(world, from_ms > ledger->open_ms ? from_ms : ledger->open_ms);
}

static bool is_attempting(enum session_state state)
{
    return state == SESSION_RESOLVING || state == SESSION_CONNECTING || state == SESSION_UPGRADING;
}

static bool sent_is_enough(const struct world *world)
{
    return world->session.settings->acknowledge == ACKNOWLEDGE_SENT || world->session.pong_given_up;
}

/* A client that sent its Close may still be listening, until its receipt. */
static bool hears(enum session_client_state client)
{
    return client == SESSION_CLIENT_OPEN || client == SESSION_CLIENT_CLOSING;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return b > SETTINGS_NEVER - a ? SETTINGS_NEVER : a + b;
}

/* 1 s for each 64 KiB behind what the last Pong answers. */
static uint64_t allowance_ms(const struct conn *conn)
{
    if (conn->up.written < conn->ponged_offset)
        return 0; /* a guess */
    return (conn->up.written - conn->ponged_offset) / 65536 * 1000;
}

/* ---- may this connection be ended by us? -------------------------------------------------- */

static void promise_no_live_link_is_killed(struct world *world, const struct conn *conn,
                                           enum cause cause)
{
    world_expect(world,
                 !conn->blameless || conn->server.gone || conn->down.rst_arrived ||
                     conn->down.fin_arrived,
                 "%s: connection %u was alive, read and answered everything", cause_name(cause),
                 conn->number);
}

static void promise_heartbeat_timeout(struct world *world, const struct conn *conn)
{
    const struct ledger *ledger = &world->ledger;
    uint64_t timeout_ms = world->session.settings->heartbeat.timeout_ms;
    bool silent = quiet(world, ledger->heard_ms) >= timeout_ms && conn->life_acked_ms != 0 &&
                  quiet(world, conn->life_acked_ms) >= plus(timeout_ms, allowance_ms(conn));
    bool stuck = pipe_is_in_flight(&conn->up) &&
                 quiet(world, conn->up.flight_ms + world->skew_ms) >= timeout_ms;
    world_expect(world, silent || stuck,
                 "heartbeat-timeout %llu ms after the last sign of life, %llu after progress",
                 LLU(quiet(world, ledger->heard_ms)),
                 LLU(quiet(world, conn->up.flight_ms + world->skew_ms)));
}

static void promise_ack_timeout(struct world *world, const struct conn *conn)
{
    uint64_t acked_ms = ledger_owed_since_ms(conn);
    world_expect(world, conn->sent_count > conn->ponged_count, "ack-timeout with nothing sent");
    world_expect(world,
                 acked_ms != 0 && quiet(world, acked_ms) >=
                                      world->session.settings->ack_timeout_ms + allowance_ms(conn),
                 "ack-timeout %llu ms after the Ping had arrived", LLU(quiet(world, acked_ms)));
}

static void promise_timer_end(struct world *world, enum cause cause)
{
    const struct ledger *ledger = &world->ledger;
    const struct session_settings *settings = world->session.settings;
    const struct conn *conn = world->host.conn;
    world_expect(world, ledger->reads_upstream || cause != CAUSE_ACK_TIMEOUT,
                 "%s while we do not read", cause_name(cause));
    switch (cause) {
    case CAUSE_HEARTBEAT_TIMEOUT:
        promise_heartbeat_timeout(world, conn);
        promise_no_live_link_is_killed(world, conn, cause);
        return;
    case CAUSE_ACK_TIMEOUT:
    case CAUSE_PONG_UNSUPPORTED:
        promise_ack_timeout(world, conn);
        promise_no_live_link_is_killed(world, conn, cause);
        return;
    case CAUSE_SEND_STALLED:
        world_expect(world,
                     pipe_outstanding(&conn->up) > 0 && !pipe_is_in_flight(&conn->up) &&
                         quiet(world, conn->up.progress_ms + world->skew_ms) >=
                             settings->heartbeat.stall_timeout_ms,
                     "send-stalled %llu ms after progress",
                     LLU(quiet(world, conn->up.progress_ms + world->skew_ms)));
        promise_no_live_link_is_killed(world, conn, cause);
        return;
    case CAUSE_SILENCE:
        world_expect(world, quiet(world, ledger->data_ms) >= settings->silence_ms,
                     "silence %llu ms after data", LLU(quiet(world, ledger->data_ms)));
        return;
    default:
        world_fail(world, "an open connection ended by itself with %s", cause_name(cause));
        return;
    }
}

/* ---- what follows the end of a connection ------------------------------------------------- */

static uint64_t backoff_limit_ms(const struct world *world)
{
    const struct backoff_settings *settings = &world->session.settings->backoff;
    double limit_ms = (double)settings->initial_delay_ms;
    uint32_t steps = world->ledger.failures;
    if (settings->initial_delay_ms == 0) {
        if (steps == 0)
            return 0;
        limit_ms = 100;
        steps--;
    }
    for (; steps > 0 && limit_ms < (double)settings->max_delay_ms &&
           settings->multiplier_milli > 1000;
         steps--)
        limit_ms = limit_ms * settings->multiplier_milli / 1000;
    return limit_ms < (double)settings->max_delay_ms ? (uint64_t)limit_ms : settings->max_delay_ms;
}

/* Exponential, bounded, spread; a connection that carried data does not raise it, but the next
 * one does not begin within a second of it. */
static void promise_backoff(struct world *world, const struct session_actions *actions,
                            bool was_open, bool slow)
{
    struct ledger *ledger = &world->ledger;
    const struct backoff_settings *settings = &world->session.settings->backoff;
    uint64_t clock_ms = world_clock_ms(world);
    if (was_open && clock_ms - ledger->open_ms >= world->session.settings->stable_after_ms)
        ledger->failures = 0;
    uint64_t low_ms = slow ? settings->max_delay_ms / 2 : 0;
    uint64_t high_ms = slow ? settings->max_delay_ms : backoff_limit_ms(world);
    if (!settings->jitter)
        low_ms = high_ms > 0 ? high_ms - 1 : 0; /* where it was rounded is its own affair */
    if (was_open && ledger->moved) {
        uint64_t earliest_ms = ledger->attempt_ms + ATTEMPT_SPACE_MS;
        uint64_t wait_ms = earliest_ms > clock_ms ? earliest_ms - clock_ms : 0;
        if (low_ms < wait_ms)
            low_ms = wait_ms;
        if (high_ms < wait_ms)
            high_ms = wait_ms;
    } else {
        ledger->failures++;
        if (ledger->not_before_ms > clock_ms + low_ms)
            low_ms = ledger->not_before_ms - clock_ms;
        if (high_ms < low_ms)
            high_ms = low_ms;
    }
    world_expect(world, actions->delay_ms >= low_ms && actions->delay_ms <= high_ms,
                 "the next attempt follows after %llu ms, not %llu to %llu", LLU(actions->delay_ms),
                 LLU(low_ms), LLU(high_ms));
    ledger->delay_ms = actions->delay_ms;
}

/* The third connection in a row on which no Ping was answered, and never one before. */
static bool promise_pong_unsupported(struct world *world, bool was_open, enum cause cause)
{
    struct ledger *ledger = &world->ledger;
    if (!was_open)
        return false;
    if ((cause != CAUSE_ACK_TIMEOUT && cause != CAUSE_PONG_UNSUPPORTED) || ledger->pong_ever) {
        ledger->unanswered_connections = 0;
        return false;
    }
    return ++ledger->unanswered_connections >= UNANSWERED_COUNT_MAX;
}

/* What the end was, as the world knows it. */
static enum cause promise_cause(const struct world *world, const struct session_actions *actions)
{
    const struct ledger *ledger = &world->ledger;
    static const enum cause timeouts[SESSION_STATE_COUNT] = {
        [SESSION_RESOLVING] = CAUSE_DNS_TIMEOUT,
        [SESSION_CONNECTING] = CAUSE_TCP_TIMEOUT,
        [SESSION_UPGRADING] = CAUSE_UPGRADE_TIMEOUT,
    };
    switch (ledger->event) {
    case EVENT_LOST:
        return ledger->lost_cause;
    case EVENT_CLOSE:
        return CAUSE_CLOSED;
    case EVENT_UPGRADED:
        return CAUSE_SUBPROTOCOL_MISMATCH;
    default:
        return is_attempting(ledger->state) ? timeouts[ledger->state] : actions->end.cause;
    }
}

static void promise_connection_end(struct world *world, const struct session_actions *actions)
{
    struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    bool was_open = ledger->state == SESSION_OPEN;
    enum cause cause = promise_cause(world, actions);
    struct session_end end = {.cause = cause, .was_open = was_open};
    if (ledger->event == EVENT_LOST)
        end.http_status = ledger->lost_status;
    if (ledger->event == EVENT_CLOSE)
        end.close = ledger->close;
    world->tally->causes[cause]++;
    if (was_open && ledger->event == EVENT_TIMER)
        promise_timer_end(world, cause);
    if (is_attempting(ledger->state) && ledger->event == EVENT_TIMER)
        world_expect(world, ago(world, ledger->attempt_ms) >= session->settings->connect_timeout_ms,
                     "%s after %llu ms", cause_name(cause), LLU(ago(world, ledger->attempt_ms)));

    enum close_then then = rules_expect(session->settings, &end);
    if (cause == CAUSE_SUBPROTOCOL_MISMATCH && ++ledger->mismatches >= MISMATCH_COUNT_MAX)
        then = CLOSE_THEN_END;
    bool is_refused =
        cause == CAUSE_HTTP_STATUS && (end.http_status == 401 || end.http_status == 403);
    if (is_refused && ledger->client_credential && ledger->opened == 0 && actions->close_rule < 0) {
        world_count(world, TALLY_CREDENTIAL_REFUSED);
        then = CLOSE_THEN_END;
    }
    ledger->waits_for_secret = is_refused || cause == CAUSE_SECRET_UNREADABLE;
    if (promise_pong_unsupported(world, was_open, cause)) {
        world_expect(world, actions->pong_unsupported, "pong-unsupported was not reported");
        world_count(world, TALLY_PONG_UNSUPPORTED);
        if (session->settings->without_pong == WITHOUT_PONG_END) {
            cause = CAUSE_PONG_UNSUPPORTED;
            then = CLOSE_THEN_END;
        }
    } else {
        world_expect(world, !actions->pong_unsupported, "pong-unsupported came too early");
    }
    if (session->state == SESSION_ENDED &&
        (ledger->client == SESSION_CLIENT_CLOSING || ledger->client == SESSION_CLIENT_GONE) &&
        session->counters.given_up == ledger->counters.given_up)
        return; /* the client had ended, and nothing was left */
    world_expect(world, actions->end.cause == cause, "it ended with %s, and says %s",
                 cause_name(cause), cause_name(actions->end.cause));
    world_expect(world, (session->state == SESSION_ENDED) == (then == CLOSE_THEN_END),
                 "%s %u \"%.*s\": %s, not %s", cause_name(cause),
                 cause == CAUSE_CLOSED ? end.close.code : end.http_status, end.close.reason_bytes,
                 end.close.reason, session_state_name(session->state), close_then_name(then));
    if (session->state == SESSION_WAITING)
        promise_backoff(world, actions, was_open, then == CLOSE_THEN_RECONNECT_SLOW);
}

/* ---- the end of the session --------------------------------------------------------------- */

static void promise_end_by_timer(struct world *world, const struct session_actions *actions)
{
    const struct ledger *ledger = &world->ledger;
    const struct session_settings *settings = world->session.settings;
    bool lost = world->session.counters.given_up > ledger->counters.given_up;
    if (ledger->state == SESSION_CLOSING) {
        world_expect(world, ago(world, ledger->state_ms) >= CLOSE_WAIT_MS, "closing too short");
    } else if (ledger->client == SESSION_CLIENT_WAITING && actions->end.cause == CAUSE_GAVE_UP) {
        world_expect(world,
                     ago(world, ledger->client_start_ms) >= settings->connect_timeout_ms ||
                         ago(world, ledger->unopened_ms) >= settings->give_up_after_ms,
                     "the client waited for only %llu ms",
                     LLU(ago(world, ledger->client_start_ms)));
    } else if (actions->end.cause == CAUSE_GAVE_UP) {
        world_expect(world, ago(world, ledger->unopened_ms) >= settings->give_up_after_ms,
                     "gave up after %llu ms without a connection, of which it ran %llu",
                     LLU(world_clock_ms(world) - ledger->unopened_ms),
                     LLU(ago(world, ledger->unopened_ms)));
    } else if (ledger->client == SESSION_CLIENT_OPEN) {
        world_expect(world, actions->end.cause == CAUSE_CLIENT_LOST, "%s ended the session",
                     cause_name(actions->end.cause));
    } else if (lost) {
        world_expect(world, ago(world, ledger->drain_ms) >= settings->drain_timeout_ms,
                     "gave up draining after %llu ms, not %llu", LLU(ago(world, ledger->drain_ms)),
                     LLU(settings->drain_timeout_ms));
    }
}

static void promise_session_end(struct world *world, const struct session_actions *actions)
{
    const struct ledger *ledger = &world->ledger;
    world->tally->endings_by[actions->end.cause]++;
    world_expect(world, ledger->kept || ledger->head == ledger->tail, "ended with an outbox");
    if (ledger->event != EVENT_TIMER)
        return;
    if (is_attempting(ledger->state) || ledger->state == SESSION_OPEN) {
        switch (actions->end.cause) {
        case CAUSE_GAVE_UP:
        case CAUSE_CLIENT_CLOSED:
        case CAUSE_CLIENT_LOST:
        case CAUSE_PROTOCOL_ERROR:
        case CAUSE_OVERFLOW:
        case CAUSE_MUTUAL_STALL:
        case CAUSE_SHUTDOWN:
            break;
        default:
            return; /* a connection's end, judged as such */
        }
    }
    promise_end_by_timer(world, actions);
}

/* ---- moves -------------------------------------------------------------------------------- */

static void promise_open(struct world *world, const struct session_actions *actions)
{
    struct ledger *ledger = &world->ledger;
    uint64_t clock_ms = world_clock_ms(world);
    uint32_t exposed = 0;
    for (uint64_t i = ledger->head; i < ledger->tail; i++)
        exposed += ledger->messages[ledger->order[i]].exposed ? 1 : 0;
    world_expect(world, actions->repeats == exposed, "%u repeats announced, %u messages exposed",
                 actions->repeats, exposed);
    ledger->opened++;
    world_count(world, TALLY_CONNECTIONS);
    world_expect(world, actions->gap == (ledger->opened > 1), "gap: %d on connection %u",
                 actions->gap, ledger->opened);
    if (actions->gap) {
        world_count(world, TALLY_GAPS);
        world_expect(world, actions->gap_ms == clock_ms - ledger->unopened_ms,
                     "a gap of %llu ms, it was %llu", LLU(actions->gap_ms),
                     LLU(clock_ms - ledger->unopened_ms));
    }
    world_expect(world,
                 actions->deliver_gap == (actions->gap && hears(ledger->client) &&
                                          world->session.settings->on_gap == ON_GAP_NOTIFY),
                 "gap_message is %sdelivered", actions->deliver_gap ? "" : "not ");
    ledger->open_ms = ledger->heard_ms = ledger->data_ms = clock_ms;
    ledger->late_ms = 0;
    ledger->moved = false;
    ledger->mismatches = 0;
}

/* Only for a change, and one in 10 s: the daemon may have been late for the last one. */
static void promise_early_attempt(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    uint64_t clock_ms = world_clock_ms(world);
    bool by_network = ledger->network_ms != 0 && clock_ms >= ledger->network_ms;
    world_count(world, TALLY_EARLY_ATTEMPTS);
    world_expect(world, ledger->may_be_early || by_network, "an attempt %llu ms before its time",
                 LLU(ledger->state_ms + ledger->delay_ms - clock_ms));
    world_expect(world,
                 ledger->early_ms == 0 || clock_ms >= ledger->early_ms + LEDGER_EARLY_SPACE_MS,
                 "an early attempt %llu ms after another", LLU(clock_ms - ledger->early_ms));
    ledger->early_ms = clock_ms;
}

static void promise_attempt(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    uint64_t clock_ms = world_clock_ms(world);
    if (ledger->state == SESSION_WAITING && clock_ms < ledger->state_ms + ledger->delay_ms)
        promise_early_attempt(world);
    world_expect(world, clock_ms >= ledger->not_before_ms,
                 "an attempt %llu ms before the time that the server asked for",
                 LLU(ledger->not_before_ms - clock_ms));
    ledger->not_before_ms = 0;
    ledger->early_by_ms = PIPE_NEVER;
    ledger->may_be_early = false;
    ledger->attempt_ms = clock_ms;
    ledger->attempts++;
}

/* What becomes of the upstream's connection: RST only for a link found dead (rule 7); the Close
 * answered; and no Close after a client that was lost (rule 5). */
static void promise_drop(struct world *world, const struct session_actions *actions)
{
    const struct ledger *ledger = &world->ledger;
    enum cause cause = actions->end.cause;
    enum session_drop expected = SESSION_DROP_ABANDON;
    if (world->session.state == SESSION_CLOSING || ledger->state == SESSION_WAITING)
        expected = SESSION_DROP_NONE;
    else if (ledger->event == EVENT_CLOSE) /* answered, unless it is the answer */
        expected = ledger->close_sent ? SESSION_DROP_FIN : SESSION_DROP_CLOSE;
    else if (ledger->state == SESSION_OPEN && ledger->event != EVENT_LOST) {
        expected = ledger->lost ? SESSION_DROP_FIN : SESSION_DROP_CLOSE;
        if (!actions->pong_unsupported &&
            (cause == CAUSE_HEARTBEAT_TIMEOUT || cause == CAUSE_ACK_TIMEOUT ||
             cause == CAUSE_SEND_STALLED || cause == CAUSE_SILENCE))
            expected = SESSION_DROP_RESET;
    }
    world_expect(world, actions->drop == expected,
                 "%s: the upstream's connection ends like %d, not %d", cause_name(cause),
                 actions->drop, expected);
}

static void promise_move(struct world *world, const struct session_actions *actions)
{
    struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    world->tally->moves[ledger->state][session->state]++;
    bool ended = session->state == SESSION_WAITING ||
                 (session->state == SESSION_ENDED &&
                  (is_attempting(ledger->state) || ledger->state == SESSION_OPEN));
    bool by_upstream = ledger->event == EVENT_LOST || ledger->event == EVENT_CLOSE ||
                       ledger->event == EVENT_UPGRADED;
    bool by_itself =
        ledger->event == EVENT_TIMER && ended &&
        (session->state == SESSION_WAITING || actions->end.cause == CAUSE_PONG_UNSUPPORTED ||
         actions->end.was_open || actions->end.cause == CAUSE_DNS_TIMEOUT ||
         actions->end.cause == CAUSE_TCP_TIMEOUT || actions->end.cause == CAUSE_UPGRADE_TIMEOUT);
    if (ended && (by_upstream || by_itself))
        promise_connection_end(world, actions);
    if (session->state == SESSION_OPEN)
        promise_open(world, actions);
    if (session->state == SESSION_RESOLVING)
        promise_attempt(world);
    if (session->state == SESSION_CLOSING)
        world_expect(world, ledger->head == ledger->tail && !ledger->lost,
                     "closing with an outbox, or after a client that was lost");
    if (ended || session->state >= SESSION_CLOSING)
        promise_drop(world, actions);
    if (session->state == SESSION_ENDED)
        promise_session_end(world, actions);
    if (ledger->state == SESSION_OPEN)
        ledger->unopened_ms = world_clock_ms(world);
    ledger->state_ms = world_clock_ms(world);
}

/* Both sides paused: a stall, unless something moves. */
static void promise_stall(struct world *world, const struct session_actions *actions)
{
    const struct ledger *ledger = &world->ledger;
    if (!actions->any || !actions->mutual_stall)
        return;
    world_count(world, TALLY_MUTUAL_STALL);
    uint64_t since_ms = ledger->both_paused_ms > ledger->client_taken_ms ? ledger->both_paused_ms
                                                                         : ledger->client_taken_ms;
    world_expect(world,
                 ledger->both_paused_ms != 0 &&
                     ago(world, since_ms) >= world->session.settings->heartbeat.stall_timeout_ms,
                 "mutual-stall after %llu ms", LLU(ago(world, since_ms)));
}

void promises_pauses(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    uint64_t clock_ms = world_clock_ms(world);
    bool upstream = session_reads_upstream(session);
    bool client = session_reads_client(session) || session->client == SESSION_CLIENT_GONE;
    if (upstream != ledger->reads_upstream)
        world_log(world, upstream ? "the upstream is read again" : "the upstream is not read");
    if (client != ledger->reads_client)
        world_log(world, client ? "the client is read again" : "the client is not read");
    if (upstream && !ledger->reads_upstream)
        ledger->resumed_ms = clock_ms;
    if (!upstream && ledger->reads_upstream)
        world_count(world, TALLY_INBOX_FULL);
    if (client && !ledger->reads_client)
        ledger->client_resumed_ms = clock_ms;
    if (client || !session->upstream_full) /* without memory for it, it is not the client's fault */
        ledger->both_paused_ms = 0;
    else if (ledger->both_paused_ms == 0)
        ledger->both_paused_ms = clock_ms;
    ledger->reads_upstream = upstream;
    ledger->reads_client = client;
}

void promises_after(struct world *world, const struct session_actions *actions)
{
    struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    bool moved = session->state != ledger->state;
    world_expect(world, !moved || actions->any, "%s -> %s without a word",
                 session_state_name(ledger->state), session_state_name(session->state));
    if (actions->any) {
        world_expect(world,
                     actions->move.from == ledger->state && actions->move.to == session->state,
                     "%s -> %s, and says %s -> %s", session_state_name(ledger->state),
                     session_state_name(session->state), session_state_name(actions->move.from),
                     session_state_name(actions->move.to));
        promise_stall(world, actions);
    }
    if (world->failed)
        return;
    if (session->client != ledger->client)
        promise_client_moved(world);
    promise_client_news(world, actions);
    if (moved)
        promise_move(world, actions);
    promises_pauses(world);
    world_expect(world,
                 session->counters.attempts == ledger->attempts &&
                     session->counters.connections == ledger->opened &&
                     session->counters.received == ledger->delivered,
                 "counters: attempts %u (%u), connections %u (%u), received %llu (%u)",
                 session->counters.attempts, ledger->attempts, session->counters.connections,
                 ledger->opened, LLU(session->counters.received), ledger->delivered);
}

/* ---- nothing lasts for ever --------------------------------------------------------------- */

static void promise_states_end(struct world *world)
{
    const struct ledger *ledger = &world->ledger;
    const struct session *session = &world->session;
    const struct session_settings *settings = session->settings;
    uint64_t deadline_ms = session_deadline_ms(session);
    if (is_attempting(session->state))
        world_expect(world, ago(world, ledger->attempt_ms) < settings->connect_timeout_ms,
                     "an attempt lasts for %llu ms, in state %s",
                     LLU(ago(world, ledger->attempt_ms)), session_state_name(session->state));
    if (session->state == SESSION_WAITING)
        world_expect(world,
                     world_clock_ms(world) < ledger->state_ms + ledger->delay_ms ||
                         ledger->delay_ms == 0,
                     "the wait of %llu ms is over", LLU(ledger->delay_ms));
    if (session->state == SESSION_WAITING)
        world_expect(world, world_clock_ms(world) <= ledger->early_by_ms,
                     "something changed, and the wait goes on %llu ms too long",
                     LLU(world_clock_ms(world) - ledger->early_by_ms));
    if (session->state == SESSION_CLOSING)
        world_expect(world, ago(world, ledger->state_ms) < CLOSE_WAIT_MS, "closing for ever");
    if (session->state != SESSION_OPEN)
        world_expect(world, deadline_ms != SETTINGS_NEVER, "%s has no deadline",
                     session_state_name(session->state));
    if (is_attempting(session->state) || session->state == SESSION_WAITING)
        world_expect(world, ago(world, ledger->unopened_ms) < settings->give_up_after_ms,
                     "%llu ms without a connection", LLU(ago(world, ledger->unopened_ms)));
}

/* What TCP knows is found out by asking, now and then, and perhaps a little late. */
static uint64_t probe_lag_ms(const struct world *world)
{
    return world->session.settings->heartbeat.timeout_ms / 2 + 10 + world->ledger.late_ms;
}

/* No connection is tolerated beyond its deadline when it shows no sign of life. */
static void promise_the_dead_are_found(struct world *world, const struct conn *conn)
{
    const struct ledger *ledger = &world->ledger;
    const struct heartbeat_settings *beat = &world->session.settings->heartbeat;
    const struct pipe *up = &conn->up;
    uint64_t lag_ms = probe_lag_ms(world);
    uint64_t progress_ms = up->progress_ms + world->skew_ms;
    uint64_t life_ms = ledger->heard_ms > progress_ms ? ledger->heard_ms : progress_ms;
    if (pipe_is_in_flight(up) && life_ms < up->flight_ms + world->skew_ms)
        life_ms = up->flight_ms + world->skew_ms; /* its window opened */
    uint64_t patience_ms = plus(beat->timeout_ms, allowance_ms(conn));
    if (pipe_outstanding(up) > 0 && pipe_is_in_flight(up))
        world_expect(
            world, quiet(world, up->flight_ms + world->skew_ms) <= plus(beat->timeout_ms, lag_ms),
            "bytes are in flight for %llu ms", LLU(quiet(world, up->flight_ms + world->skew_ms)));
    else if (pipe_outstanding(up) > 0)
        patience_ms = plus(patience_ms, beat->stall_timeout_ms);
    world_expect(world, quiet(world, life_ms) <= plus(plus(beat->interval_ms, patience_ms), lag_ms),
                 "no sign of life for %llu ms", LLU(quiet(world, life_ms)));
    world_expect(world, quiet(world, ledger->data_ms) < world->session.settings->silence_ms,
                 "no data for %llu ms", LLU(quiet(world, ledger->data_ms)));
}

/* A Ping without its Pong for so long is followed by another. */
static uint64_t follow_up_ms(const struct world *world)
{
    const struct session_settings *settings = world->session.settings;
    uint64_t timeout_ms = settings->heartbeat.timeout_ms < settings->ack_timeout_ms
                              ? settings->heartbeat.timeout_ms
                              : settings->ack_timeout_ms;
    return timeout_ms / 4;
}

/* The barrier: a Ping behind what is unacknowledged, and its Pong within ack_timeout. */
static void promise_acknowledgements_come(struct world *world, const struct conn *conn)
{
    const struct session_settings *settings = world->session.settings;
    const struct host *host = &world->host;
    uint64_t clock_ms = world_clock_ms(world);
    bool flushed = host->encoded == conn->up.written && !host->in_frame &&
                   !conn->down.rst_arrived && !conn->up.fin_wanted;
    if (conn->sent_count == conn->ponged_count)
        return;
    world_expect(world, session_deadline_ms(&world->session) != SETTINGS_NEVER,
                 "messages are unacknowledged, and there is no deadline");
    unsigned owed = ledger_pings_owed(conn);
    if (flushed && owed == 0)
        world_expect(world,
                     conn->pinged_ms != 0 && clock_ms < conn->pinged_ms + settings->ping_spacing_ms,
                     "messages up to %llu are unacknowledged, and no Ping asks for it",
                     LLU(conn->sent_sequence));
    if (flushed && owed > 0 && owed < BARRIER_PING_COUNT_MAX)
        world_expect(world, clock_ms < conn->pinged_ms + follow_up_ms(world),
                     "%u Pings are unanswered, and none followed for %llu ms", owed,
                     LLU(clock_ms - conn->pinged_ms));
    uint64_t acked_ms = ledger_owed_since_ms(conn);
    if (acked_ms != 0)
        world_expect(world,
                     quiet(world, acked_ms) <=
                         settings->ack_timeout_ms + allowance_ms(conn) + probe_lag_ms(world),
                     "no acknowledgement %llu ms after the Ping had arrived",
                     LLU(quiet(world, acked_ms)));
}

static void promise_bounds(struct world *world)
{
    const struct session *session = &world->session;
    uint64_t most = session->settings->inbox_bytes_max + world->plan.host.read_bytes_max +
                    2 * world->plan.server.push_bytes_max + 4096;
    world_expect(world, world->inbox_budget <= most, "the inbox holds %llu bytes, %llu at most",
                 LLU(world->inbox_budget), LLU(most));
    world_expect(world, session->barrier.ping_count <= BARRIER_PING_COUNT_MAX, "%u Pings in flight",
                 session->barrier.ping_count);
}

void promises_turn(struct world *world)
{
    struct conn *conn = world->host.conn;
    promise_states_end(world);
    promise_client_states_end(world);
    promise_bounds(world);
    if (!conn || world->session.state != SESSION_OPEN || !world->ledger.reads_upstream ||
        world->failed)
        return;
    promise_the_dead_are_found(world, conn);
    if (!sent_is_enough(world))
        promise_acknowledgements_come(world, conn);
}
