/* The session's life with its upstream: attempts, opening, ends, deadlines. */
#include "core/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/session_private.h"

static const char *const state_names[SESSION_STATE_COUNT] = {
    [SESSION_IDLE] = "idle",
    [SESSION_RESOLVING] = "resolving",
    [SESSION_CONNECTING] = "connecting",
    [SESSION_TUNNELLING] = "tunnelling",
    [SESSION_SECURING] = "securing",
    [SESSION_UPGRADING] = "upgrading",
    [SESSION_OPEN] = "open",
    [SESSION_CLOSING] = "closing",
    [SESSION_WAITING] = "waiting",
    [SESSION_ENDED] = "ended",
};

/* Every move there is.  Whatever is not here cannot happen, and is asserted. */
static const bool may_move[SESSION_STATE_COUNT][SESSION_STATE_COUNT] = {
    [SESSION_IDLE] = {[SESSION_RESOLVING] = true, [SESSION_ENDED] = true},
    [SESSION_RESOLVING] =
        {[SESSION_CONNECTING] = true, [SESSION_WAITING] = true, [SESSION_ENDED] = true},
    [SESSION_CONNECTING] = {[SESSION_TUNNELLING] = true,
                            [SESSION_SECURING] = true,
                            [SESSION_UPGRADING] = true,
                            [SESSION_WAITING] = true,
                            [SESSION_ENDED] = true},
    [SESSION_TUNNELLING] = {[SESSION_SECURING] = true,
                            [SESSION_UPGRADING] = true,
                            [SESSION_WAITING] = true,
                            [SESSION_ENDED] = true},
    [SESSION_SECURING] =
        {[SESSION_UPGRADING] = true, [SESSION_WAITING] = true, [SESSION_ENDED] = true},
    [SESSION_UPGRADING] = {[SESSION_OPEN] = true, [SESSION_WAITING] = true, [SESSION_ENDED] = true},
    [SESSION_OPEN] = {[SESSION_CLOSING] = true, [SESSION_WAITING] = true, [SESSION_ENDED] = true},
    [SESSION_CLOSING] = {[SESSION_ENDED] = true},
    [SESSION_WAITING] = {[SESSION_RESOLVING] = true, [SESSION_ENDED] = true},
};

const char *session_state_name(enum session_state state)
{
    return state_names[state];
}

void session_act(struct session *session, struct session_actions *actions)
{
    if (actions->any)
        return;
    *actions = (struct session_actions){
        .any = true,
        .close_rule = -1,
        .move = {.from = session->state, .to = session->state},
    };
}

void session_enter(struct session *session, enum session_state to, enum cause cause,
                   uint64_t now_ms, struct session_actions *actions)
{
    assert(may_move[session->state][to]);
    session_act(session, actions);
    actions->move = (struct session_move){.from = session->state, .to = to, .cause = cause};
    session->state = to;
    switch (to) {
    case SESSION_IDLE:
    case SESSION_CONNECTING:
    case SESSION_TUNNELLING:
    case SESSION_SECURING:
    case SESSION_UPGRADING:
        return;
    case SESSION_RESOLVING:
        session->attempt_ms = now_ms;
        if (session->early_attempt_ms == session->wait_until_ms) /* we may have woken late: */
            session->early_attempt_ms = now_ms < session->uncut_until_ms ? now_ms : 0;
        session->not_before_ms = 0;
        session->waits_for_secret = false;
        session->wait_until_ms = session_after(now_ms, session->settings->connect_timeout_ms);
        session->counters.attempts++;
        actions->attempt = true;
        return;
    case SESSION_OPEN:
        session->open_ms = now_ms;
        session->data_ms = now_ms;
        session->counters.connections++;
        session->wait_until_ms = SETTINGS_NEVER;
        return;
    case SESSION_CLOSING:
        session->wait_until_ms = now_ms + SESSION_CLOSE_WAIT_MS;
        return;
    case SESSION_WAITING:
        session->wait_until_ms = session_after(now_ms, actions->delay_ms);
        return;
    case SESSION_ENDED:
        session->wait_until_ms = SETTINGS_NEVER;
        return;
    case SESSION_STATE_COUNT:
        break;
    }
    abort();
}

/* ---- life --------------------------------------------------------------------------------- */

void session_init(struct session *session, const struct session_settings *settings,
                  const struct random_source *random, struct budget *budget, uint64_t now_ms)
{
    *session = (struct session){
        .settings = settings,
        .random = random,
        .state = SESSION_IDLE,
        .client = SESSION_CLIENT_WAITING,
        .wait_until_ms = SETTINGS_NEVER,
        .client_deadline_ms = SETTINGS_NEVER,
        .drain_deadline_ms = SETTINGS_NEVER,
        .network_due_ms = SETTINGS_NEVER,
        .unopened_since_ms = now_ms,
        .client_beats = true,
    };
    outbox_init(&session->outbox, settings->outbox_messages_max, settings->outbox_bytes_max,
                budget);
}

void session_clear(struct session *session)
{
    outbox_clear(&session->outbox);
    barrier_clear(&session->barrier);
    free(session->subprotocol);
    free(session->client_close);
    session->subprotocol = NULL;
    session->client_close = NULL;
}

void session_client_without_heartbeat(struct session *session)
{
    session->client_beats = false;
}

void session_client_has_credential(struct session *session)
{
    session->credential_is_clients = true;
}

void session_use_settings(struct session *session, const struct session_settings *settings)
{
    session->settings = settings;
    outbox_set_limits(&session->outbox, settings->outbox_messages_max, settings->outbox_bytes_max);
}

/* What this and all later connections must agree on.  False when memory ran out. */
static bool session_fix_subprotocol(struct session *session, const char *subprotocol)
{
    if (subprotocol && *subprotocol) {
        session->subprotocol = strdup(subprotocol);
        if (!session->subprotocol)
            return false;
    }
    session->subprotocol_fixed = true;
    return true;
}

static bool session_agrees(const struct session *session, const char *subprotocol)
{
    const char *expected = session->subprotocol ? session->subprotocol : "";
    return strcmp(expected, subprotocol ? subprotocol : "") == 0;
}

static void session_answer_client(struct session *session, uint64_t now_ms,
                                  struct session_actions *actions)
{
    session_act(session, actions);
    session->client = SESSION_CLIENT_OPEN;
    session->client_deadline_ms = SETTINGS_NEVER;
    heartbeat_start(&session->client_life, now_ms);
    actions->client = SESSION_CLIENT_ANSWER;
}

void session_start(struct session *session, const char *subprotocol, uint64_t now_ms,
                   struct session_actions *actions)
{
    assert(session->state == SESSION_IDLE);
    actions->any = false;
    session->unopened_since_ms = now_ms;
    if (subprotocol && !session_fix_subprotocol(session, subprotocol)) {
        const struct session_end end = {.cause = CAUSE_NO_RESOURCES};
        session_finish(session, &end, SESSION_DROP_NONE, now_ms, actions);
        return;
    }
    if (subprotocol)
        session_answer_client(session, now_ms, actions);
    else
        session->client_deadline_ms = session_after(now_ms, session->settings->connect_timeout_ms);
    session_enter(session, SESSION_RESOLVING, CAUSE_NONE, now_ms, actions);
}

/* ---- the end of a session ----------------------------------------------------------------- */

/* 504 when it took too long, 503 when it is us, else 502. */
static uint16_t session_refusal_status(enum cause cause)
{
    switch (cause) {
    case CAUSE_DNS_TIMEOUT:
    case CAUSE_TCP_TIMEOUT:
    case CAUSE_PROXY_TIMEOUT:
    case CAUSE_TLS_TIMEOUT:
    case CAUSE_UPGRADE_TIMEOUT:
    case CAUSE_GAVE_UP:
        return 504;
    case CAUSE_NO_RESOURCES:
    case CAUSE_SHUTDOWN:
        return 503;
    default:
        return 502;
    }
}

/* An open client learns how the upstream ended: unchanged where that can be said (rule 6). */
static void session_tell_client(const struct session_end *end, struct session_actions *actions)
{
    char reason[64];
    switch (end->cause) {
    case CAUSE_CLOSED:
        actions->client = SESSION_CLIENT_CLOSE;
        actions->client_close = end->close;
        return;
    case CAUSE_TCP_RESET:
    case CAUSE_TCP_EOF:
    case CAUSE_TCP_TIMEOUT:
    case CAUSE_TCP_UNREACHABLE:
    case CAUSE_HEARTBEAT_TIMEOUT:
    case CAUSE_ACK_TIMEOUT:
    case CAUSE_SEND_STALLED:
    case CAUSE_SILENCE:
        if (end->was_open) {
            actions->client = SESSION_CLIENT_CUT; /* 1006: no one may send it */
            return;
        }
        break;
    default:
        break;
    }
    snprintf(reason, sizeof reason, "wskeep: %s", cause_name(end->cause));
    actions->client = SESSION_CLIENT_CLOSE;
    close_set(&actions->client_close, CLOSE_BAD_GATEWAY, reason);
}

/* The answer to a client's Close: its own when everything arrived, else 1011 (rule 5). */
static void session_receipt(struct session *session, uint32_t lost_count,
                            struct session_actions *actions)
{
    char reason[64];
    actions->client = SESSION_CLIENT_CLOSE;
    if (lost_count > 0) {
        snprintf(reason, sizeof reason, "wskeep: %u message%s not delivered", (unsigned)lost_count,
                 lost_count == 1 ? "" : "s");
        close_set(&actions->client_close, CLOSE_INTERNAL_ERROR, reason);
        return;
    }
    actions->client_close = *session->client_close;
}

void session_give_up(struct session *session, uint32_t count, uint64_t bytes, enum cause cause,
                     struct session_actions *actions)
{
    if (count == 0)
        return;
    session_act(session, actions);
    session->counters.given_up += count;
    actions->given_up_count += count;
    actions->given_up_bytes += bytes;
    actions->given_up_cause = cause;
}

void session_finish(struct session *session, const struct session_end *end, enum session_drop drop,
                    uint64_t now_ms, struct session_actions *actions)
{
    session_act(session, actions);
    uint64_t lost_bytes;
    uint32_t lost_count = outbox_drop_all(&session->outbox, &lost_bytes);
    if (session->client_full) { /* net holds one more, for which there was no room */
        lost_count++;
        lost_bytes += session->refused_bytes;
    }
    session_give_up(session, lost_count, lost_bytes, end->cause, actions);

    switch (session->client) {
    case SESSION_CLIENT_WAITING:
        actions->client = SESSION_CLIENT_REFUSE;
        actions->refuse_status = session_refusal_status(end->cause);
        break;
    case SESSION_CLIENT_OPEN:
        session_tell_client(end, actions);
        break;
    case SESSION_CLIENT_CLOSING:
        session_receipt(session, lost_count, actions);
        break;
    case SESSION_CLIENT_CLOSED:
        actions->client = SESSION_CLIENT_CUT; /* it has our Close; nothing more is read */
        break;
    case SESSION_CLIENT_GONE:
        break;
    }
    session->client = SESSION_CLIENT_GONE;
    session->client_full = false;
    session_inbox_changed(session, now_ms);
    actions->drop = drop;
    actions->end = *end;
    session_enter(session, SESSION_ENDED, end->cause, now_ms, actions);
}

/* True for a client whose TCP ended without Close: the upstream's then does so too (rule 5). */
static bool session_client_was_cut(const struct session *session)
{
    return session->client_cause == CAUSE_CLIENT_LOST ||
           session->client_cause == CAUSE_PROTOCOL_ERROR ||
           session->client_cause == CAUSE_MESSAGE_TOO_BIG ||
           session->client_cause == CAUSE_NO_RESOURCES;
}

void session_last_close(const struct session *session, struct close_frame *close)
{
    if (session->client_close)
        *close = *session->client_close;
    else if (session->client_cause == CAUSE_SHUTDOWN)
        close_set(close, session->settings->close_code_shutdown, NULL);
    else
        close_set(close, CLOSE_GOING_AWAY, NULL);
}

/* The end of a connection to a server that is there: our Close, but none after a lost client. */
static enum session_drop session_part(const struct session *session,
                                      struct session_actions *actions)
{
    if (session_client_was_cut(session))
        return SESSION_DROP_FIN;
    session_last_close(session, &actions->upstream_close);
    return SESSION_DROP_CLOSE;
}

/* The client will send no more, and everything that it sent was acknowledged. */
static bool session_is_drained(const struct session *session)
{
    return (session->client == SESSION_CLIENT_CLOSING || session->client == SESSION_CLIENT_GONE) &&
           outbox_is_empty(&session->outbox);
}

void session_drain(struct session *session, uint64_t now_ms, struct session_actions *actions)
{
    if (session->state == SESSION_CLOSING || session->state == SESSION_ENDED ||
        !session_is_drained(session))
        return;

    session_act(session, actions);
    if (session->client == SESSION_CLIENT_CLOSING)
        session_receipt(session, 0, actions);
    session->client = SESSION_CLIENT_GONE;
    session_inbox_changed(session, now_ms);
    actions->end = (struct session_end){.cause = session->client_cause};
    if (session->state == SESSION_OPEN && !session_client_was_cut(session)) {
        session_enter(session, SESSION_CLOSING, session->client_cause, now_ms, actions);
        return;
    }
    if (session->state == SESSION_OPEN)
        actions->drop = SESSION_DROP_FIN;
    else if (session_is_attempting(session))
        actions->drop = SESSION_DROP_ABANDON;
    session_enter(session, SESSION_ENDED, session->client_cause, now_ms, actions);
}

void session_drain_timeout(struct session *session, uint64_t now_ms,
                           struct session_actions *actions)
{
    const struct session_end end = {.cause = session->client_cause};
    enum session_drop drop = SESSION_DROP_NONE;
    session_act(session, actions);
    if (session->state == SESSION_OPEN)
        drop = session_part(session, actions);
    else if (session_is_attempting(session))
        drop = SESSION_DROP_ABANDON;
    session_finish(session, &end, drop, now_ms, actions);
}

void session_ends_drained(struct session *session, enum session_drop drop, uint64_t now_ms,
                          struct session_actions *actions)
{
    const struct session_end end = {.cause = session->client_cause};
    session_finish(session, &end, drop, now_ms, actions);
}

/* ---- the end of a connection -------------------------------------------------------------- */

/* How many connections in a row the server has left every Ping unanswered.  True when it is
 * enough: the server is known not to answer, and `without_pong` decides. */
static bool session_pong_is_unsupported(struct session *session, const struct session_end *end,
                                        struct session_actions *actions)
{
    if (!end->was_open)
        return false; /* an attempt that failed says nothing about Pongs */
    if (end->cause != CAUSE_ACK_TIMEOUT || session->pong_ever) {
        session->ack_timeouts_in_a_row = 0;
        return false;
    }
    if (++session->ack_timeouts_in_a_row < SESSION_ACK_TIMEOUT_COUNT_MAX)
        return false;
    session->pong_given_up = session->settings->without_pong == WITHOUT_PONG_SENT;
    actions->pong_unsupported = true;
    return true;
}

static bool session_mismatch_is_final(struct session *session, enum cause cause)
{
    if (cause != CAUSE_SUBPROTOCOL_MISMATCH)
        return false;
    return ++session->mismatches_in_a_row >= SESSION_MISMATCH_COUNT_MAX;
}

/* The delay before the next attempt, and what this end does to the counter. */
static uint64_t session_backoff_ms(struct session *session, bool was_open, bool slow,
                                   uint64_t now_ms)
{
    const struct session_settings *settings = session->settings;
    bool stable = was_open && now_ms - session->open_ms >= settings->stable_after_ms;
    if (stable)
        backoff_reset(&session->backoff);
    uint64_t delay_ms =
        backoff_delay_ms(&session->backoff, &settings->backoff, slow, session->random);
    uint64_t earliest_ms = session->not_before_ms;
    if (!was_open || !session->moved)
        backoff_raise(&session->backoff);
    else /* it carried data, so it is no failure; but it shall not be a busy loop */
        earliest_ms = session->attempt_ms + SESSION_ATTEMPT_SPACE_MS;
    if (now_ms + delay_ms < earliest_ms)
        delay_ms = earliest_ms - now_ms;
    return delay_ms;
}

/* 401 or 403: the secret that was shown is not, or no longer, the right one. */
static bool session_is_refused(const struct session_end *end)
{
    return end->cause == CAUSE_HTTP_STATUS && (end->http_status == 401 || end->http_status == 403);
}

/* Waiting for another secret is in vain when the client brought it and it never was right. */
static bool session_refusal_is_final(const struct session *session, const struct session_end *end,
                                     const struct session_actions *actions)
{
    return session_is_refused(end) && actions->close_rule < 0 && session->credential_is_clients &&
           session->counters.connections == 0;
}

/* The connection is gone: what was sent on it and not acknowledged will be sent again. */
static void session_forget_connection(struct session *session, bool was_open, uint64_t now_ms)
{
    if (!was_open)
        return; /* nothing was sent on it */
    session->lost_ms = now_ms;
    session->unopened_since_ms = now_ms;
    session->ping_now = false;
    outbox_rewind(&session->outbox);
    if (!session->pong_given_up)
        return;
    /* without_pong: sent came true at this very end: what was exposed counts as delivered. */
    for (uint32_t count = outbox_exposed_count(&session->outbox); count > 0; count--) {
        uint64_t bytes;
        session->counters.sent += outbox_drop_oldest(&session->outbox, &bytes);
    }
}

/* One connection, or one attempt, has ended: decide what that means. */
static void session_connection_ended(struct session *session, struct session_end *end,
                                     enum session_drop drop, uint64_t now_ms,
                                     struct session_actions *actions)
{
    end->was_open = session->state == SESSION_OPEN;
    session_act(session, actions);
    enum close_then then =
        close_rules_decide(session->settings->close_rules, session->settings->close_rule_count, end,
                           &actions->close_rule);
    if (session_mismatch_is_final(session, end->cause) ||
        session_refusal_is_final(session, end, actions))
        then = CLOSE_THEN_END;
    session->waits_for_secret = session_is_refused(end) || end->cause == CAUSE_SECRET_UNREADABLE;
    if (session_pong_is_unsupported(session, end, actions)) {
        drop = session_part(session, actions); /* it is there, it only does not answer Pings */
        if (!session->pong_given_up) {
            end->cause = CAUSE_PONG_UNSUPPORTED;
            then = CLOSE_THEN_END;
        }
    }
    session_forget_connection(session, end->was_open, now_ms);
    session_inbox_changed(session, now_ms);
    if (session_is_drained(session)) { /* `sent` may have emptied the outbox just now */
        session_ends_drained(session, drop, now_ms, actions);
        return;
    }
    if (then == CLOSE_THEN_END) {
        session_finish(session, end, drop, now_ms, actions);
        return;
    }
    actions->end = *end;
    actions->drop = drop;
    actions->delay_ms =
        session_backoff_ms(session, end->was_open, then == CLOSE_THEN_RECONNECT_SLOW, now_ms);
    session_enter(session, SESSION_WAITING, end->cause, now_ms, actions);
}

void session_ended_by_us(struct session *session, enum cause cause, enum session_drop drop,
                         uint64_t now_ms, struct session_actions *actions)
{
    struct session_end end = {.cause = cause};
    session_connection_ended(session, &end, drop, now_ms, actions);
}

void session_upstream_lost(struct session *session, enum cause cause, uint16_t http_status,
                           uint64_t now_ms, struct session_actions *actions)
{
    actions->any = false;
    if (session->state == SESSION_CLOSING) {
        session_ends_drained(session, SESSION_DROP_ABANDON, now_ms, actions);
        return;
    }
    if (!session_is_attempting(session) && session->state != SESSION_OPEN)
        return;
    struct session_end end = {.cause = cause, .http_status = http_status};
    session_connection_ended(session, &end, SESSION_DROP_ABANDON, now_ms, actions);
}

void session_upstream_close(struct session *session, const struct close_frame *close,
                            uint64_t now_ms, struct session_actions *actions)
{
    actions->any = false;
    if (session->state == SESSION_CLOSING && session->close_sent) {
        session_ends_drained(session, SESSION_DROP_FIN, now_ms, actions);
        return;
    }
    if (session->state != SESSION_CLOSING && session->state != SESSION_OPEN)
        return;
    session_act(session, actions);
    close_set(&actions->upstream_close, close->code, NULL); /* RFC 6455 5.5.1: echo the code */
    if (session->state == SESSION_CLOSING) {
        session_ends_drained(session, SESSION_DROP_CLOSE, now_ms, actions);
        return;
    }
    struct session_end end = {.cause = CAUSE_CLOSED, .close = *close};
    session_connection_ended(session, &end, SESSION_DROP_CLOSE, now_ms, actions);
}

/* ---- an attempt --------------------------------------------------------------------------- */

void session_upstream_resolved(struct session *session, uint64_t now_ms,
                               struct session_actions *actions)
{
    actions->any = false;
    if (session->state == SESSION_RESOLVING)
        session_enter(session, SESSION_CONNECTING, CAUSE_NONE, now_ms, actions);
}

void session_upstream_tunnelling(struct session *session, uint64_t now_ms,
                                 struct session_actions *actions)
{
    actions->any = false;
    if (session->state == SESSION_CONNECTING)
        session_enter(session, SESSION_TUNNELLING, CAUSE_NONE, now_ms, actions);
}

void session_upstream_securing(struct session *session, uint64_t now_ms,
                               struct session_actions *actions)
{
    actions->any = false;
    if (session->state == SESSION_CONNECTING || session->state == SESSION_TUNNELLING)
        session_enter(session, SESSION_SECURING, CAUSE_NONE, now_ms, actions);
}

void session_upstream_connected(struct session *session, uint64_t now_ms,
                                struct session_actions *actions)
{
    actions->any = false;
    if (session->state == SESSION_CONNECTING || session->state == SESSION_TUNNELLING ||
        session->state == SESSION_SECURING)
        session_enter(session, SESSION_UPGRADING, CAUSE_NONE, now_ms, actions);
}

/* The server's messages while the link was down are gone: count it, and do what `on_gap` says. */
static void session_gap(struct session *session, uint64_t now_ms, struct session_actions *actions)
{
    session->counters.gaps++;
    actions->gap = true;
    actions->gap_ms = now_ms - session->lost_ms;
    /* Whoever is still handed messages is told: also a client that waits for its receipt. */
    if (session->settings->on_gap == ON_GAP_NOTIFY && session_delivers(session))
        actions->deliver_gap = true;
    if (session->settings->on_gap == ON_GAP_CLOSE && session->client == SESSION_CLIENT_OPEN)
        session_close_client(session, CLOSE_RESTART, "wskeep: gap", CAUSE_CLIENT_CLOSED, now_ms,
                             actions);
}

static void session_open(struct session *session, uint64_t now_ms, struct session_actions *actions)
{
    uint8_t nonce[8];
    session->random->fill(session->random->context, nonce, sizeof nonce);
    barrier_start(&session->barrier, nonce, session->outbox.first_sequence - 1);
    heartbeat_start(&session->upstream_life, now_ms);
    heartbeat_set_reading(&session->upstream_life, session_reads_upstream(session), now_ms);
    session->mismatches_in_a_row = 0;
    session->moved = false;
    session->close_sent = false;
    session->ping_now = false;
    session->bytes_since_ping = 0;
    session->replay_begins = !outbox_is_empty(&session->outbox);
    session_enter(session, SESSION_OPEN, CAUSE_NONE, now_ms, actions);
    actions->repeats = outbox_exposed_count(&session->outbox);
    if (session->counters.connections > 1)
        session_gap(session, now_ms, actions);
}

void session_upstream_upgraded(struct session *session, const char *subprotocol, uint64_t now_ms,
                               struct session_actions *actions)
{
    actions->any = false;
    if (session->state != SESSION_UPGRADING)
        return;
    if (!session->subprotocol_fixed && !session_fix_subprotocol(session, subprotocol)) {
        session_ended_by_us(session, CAUSE_NO_RESOURCES, SESSION_DROP_ABANDON, now_ms, actions);
        return;
    }
    if (!session_agrees(session, subprotocol)) {
        session_ended_by_us(session, CAUSE_SUBPROTOCOL_MISMATCH, SESSION_DROP_ABANDON, now_ms,
                            actions);
        return;
    }
    if (session->client == SESSION_CLIENT_WAITING)
        session_answer_client(session, now_ms, actions);
    session_open(session, now_ms, actions);
}

/* ---- an open connection ------------------------------------------------------------------- */

void session_upstream_received(struct session *session, uint64_t now_ms)
{
    if (session->state == SESSION_OPEN)
        heartbeat_received(&session->upstream_life, now_ms);
}

bool session_upstream_message(struct session *session, uint64_t now_ms)
{
    if (session->state != SESSION_OPEN)
        return false;
    session->data_ms = now_ms;
    if (!session_delivers(session))
        return false;
    session->moved = true;
    session->counters.received++;
    return true;
}

void session_acknowledge(struct session *session, uint64_t sequence, uint64_t now_ms,
                         struct session_actions *actions)
{
    uint32_t count = outbox_acknowledge(&session->outbox, sequence);
    if (count == 0)
        return;
    session->moved = true;
    session->counters.sent += count;
    session_drain(session, now_ms, actions);
}

void session_upstream_pong(struct session *session, const uint8_t *payload, size_t payload_bytes,
                           uint64_t now_ms, struct session_actions *actions)
{
    uint64_t sequence;
    uint64_t rtt_ms;
    actions->any = false;
    if (session->state != SESSION_OPEN)
        return;
    if (!barrier_pong(&session->barrier, payload, payload_bytes, now_ms, &sequence, &rtt_ms)) {
        if (session_sent_is_enough(session)) /* no window bounds what has been sent since */
            heartbeat_ponged(&session->upstream_life, session->upstream_life.written_offset);
        return; /* a sign of life and nothing else */
    }
    heartbeat_ponged(&session->upstream_life, session->barrier.acked_offset);
    session->rtt_ms = rtt_ms < UINT32_MAX ? (uint32_t)rtt_ms : UINT32_MAX;
    session->pong_ever = true;
    session->ack_timeouts_in_a_row = 0;
    session_acknowledge(session, sequence, now_ms, actions);
}

void session_upstream_written(struct session *session, uint64_t written_offset, uint64_t now_ms,
                              struct session_actions *actions)
{
    actions->any = false;
    if (session->state != SESSION_OPEN)
        return;
    heartbeat_written(&session->upstream_life, written_offset, now_ms);
    uint64_t sequence = outbox_written(&session->outbox, written_offset);
    if (session_sent_is_enough(session))
        session_acknowledge(session, sequence, now_ms, actions);
}

void session_upstream_tcp(struct session *session, uint64_t acked_offset, bool in_flight,
                          uint64_t now_ms)
{
    if (session->state != SESSION_OPEN)
        return;
    heartbeat_tcp(&session->upstream_life, acked_offset, in_flight, now_ms);
    barrier_tcp(&session->barrier, acked_offset, now_ms);
}

/* ---- the daemon -------------------------------------------------------------------------- */

void session_shutdown(struct session *session, uint64_t now_ms, struct session_actions *actions)
{
    actions->any = false;
    if (session->state == SESSION_ENDED)
        return;
    if (session->client == SESSION_CLIENT_WAITING) {
        const struct session_end end = {.cause = CAUSE_SHUTDOWN};
        session_finish(session, &end,
                       session_is_attempting(session) ? SESSION_DROP_ABANDON : SESSION_DROP_NONE,
                       now_ms, actions);
        return;
    }
    if (session->client == SESSION_CLIENT_OPEN)
        session_close_client(session, CLOSE_RESTART, "wskeep: shutdown", CAUSE_SHUTDOWN, now_ms,
                             actions);
}

/* ---- questions ---------------------------------------------------------------------------- */

bool session_reads_upstream(const struct session *session)
{
    return !session->upstream_full && !session->upstream_starved;
}

void session_check(const struct session *session)
{
    const struct outbox *outbox = &session->outbox;
    assert(session->state < SESSION_STATE_COUNT);
    assert(session->barrier.ping_count <= BARRIER_PING_COUNT_MAX);
    assert(session->state == SESSION_OPEN || !outbox_has_unacknowledged(outbox));
    assert(session->client != SESSION_CLIENT_CLOSING || session->client_close != NULL);
    assert(session->state != SESSION_ENDED || session->client == SESSION_CLIENT_GONE);
    assert(session->state != SESSION_ENDED || outbox_is_empty(outbox));
    assert(session->state != SESSION_CLOSING || outbox_is_empty(outbox));
    assert(session->client == SESSION_CLIENT_WAITING || session->subprotocol_fixed ||
           session->state == SESSION_ENDED);
    assert(session->both_paused_ms == 0 ||
           (!session_reads_client(session) && session->upstream_full));
    outbox_check(outbox);
}
