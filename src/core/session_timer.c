/* The session's deadlines: what is due, and when the next one comes. */
#include "core/session.h"
#include "core/session_private.h"

/* The heartbeat's settings as they hold now: with a Ping already asked for, it asks for none. */
static struct heartbeat_settings session_heartbeat(const struct session *session)
{
    struct heartbeat_settings settings = session->settings->heartbeat;
    if (session->ping_now)
        settings.interval_ms = SETTINGS_NEVER;
    return settings;
}

static uint64_t session_silence_deadline_ms(const struct session *session)
{
    if (!session_reads_upstream(session))
        return SETTINGS_NEVER;
    return session_after(session->data_ms, session->settings->silence_ms);
}

static uint64_t session_stall_deadline_ms(const struct session *session)
{
    if (session->both_paused_ms == 0)
        return SETTINGS_NEVER;
    return session_after(session->both_paused_ms, session->settings->heartbeat.stall_timeout_ms);
}

static void session_open_timer(struct session *session, uint64_t now_ms,
                               struct session_actions *actions)
{
    if (now_ms >= session_ack_deadline_ms(session)) {
        session_ended_by_us(session, CAUSE_ACK_TIMEOUT, SESSION_DROP_RESET, now_ms, actions);
        return;
    }
    if (now_ms >= session_silence_deadline_ms(session)) {
        session_ended_by_us(session, CAUSE_SILENCE, SESSION_DROP_RESET, now_ms, actions);
        return;
    }
    if (now_ms >= session_ack_probe_ms(session)) {
        session_act(session, actions);
        actions->probe_upstream = true;
        return;
    }
    if (now_ms >= session_ping_deadline_ms(session))
        session->ping_now = true; /* goes out as soon as the connection takes it */
    const struct heartbeat_settings settings = session_heartbeat(session);
    switch (heartbeat_judge(&session->upstream_life, &settings, now_ms)) {
    case HEARTBEAT_FINE:
        return;
    case HEARTBEAT_PING:
        session->ping_now = true;
        return;
    case HEARTBEAT_PROBE:
        session_act(session, actions);
        actions->probe_upstream = true;
        return;
    case HEARTBEAT_DEAD:
        session_ended_by_us(session, CAUSE_HEARTBEAT_TIMEOUT, SESSION_DROP_RESET, now_ms, actions);
        return;
    case HEARTBEAT_STALLED:
        session_ended_by_us(session, CAUSE_SEND_STALLED, SESSION_DROP_RESET, now_ms, actions);
        return;
    }
}

static uint64_t session_give_up_deadline_ms(const struct session *session)
{
    if (!session_is_attempting(session) && session->state != SESSION_WAITING)
        return SETTINGS_NEVER;
    return session_after(session->unopened_since_ms, session->settings->give_up_after_ms);
}

static void session_state_timer(struct session *session, uint64_t now_ms,
                                struct session_actions *actions)
{
    if (session->state == SESSION_OPEN) {
        session_open_timer(session, now_ms, actions);
        return;
    }
    if (now_ms < session->wait_until_ms)
        return;
    switch (session->state) {
    case SESSION_RESOLVING:
        session_ended_by_us(session, CAUSE_DNS_TIMEOUT, SESSION_DROP_ABANDON, now_ms, actions);
        return;
    case SESSION_CONNECTING:
        session_ended_by_us(session, CAUSE_TCP_TIMEOUT, SESSION_DROP_ABANDON, now_ms, actions);
        return;
    case SESSION_TUNNELLING:
        session_ended_by_us(session, CAUSE_PROXY_TIMEOUT, SESSION_DROP_ABANDON, now_ms, actions);
        return;
    case SESSION_SECURING:
        session_ended_by_us(session, CAUSE_TLS_TIMEOUT, SESSION_DROP_ABANDON, now_ms, actions);
        return;
    case SESSION_UPGRADING:
        session_ended_by_us(session, CAUSE_UPGRADE_TIMEOUT, SESSION_DROP_ABANDON, now_ms, actions);
        return;
    case SESSION_WAITING:
        session_enter(session, SESSION_RESOLVING, CAUSE_NONE, now_ms, actions);
        return;
    case SESSION_CLOSING:
        session_ends_drained(session, SESSION_DROP_ABANDON, now_ms, actions);
        return;
    case SESSION_IDLE:
    case SESSION_OPEN:
    case SESSION_ENDED:
    case SESSION_STATE_COUNT:
        return;
    }
}

void session_timer(struct session *session, uint64_t now_ms, struct session_actions *actions)
{
    actions->any = false;
    if (session->state == SESSION_ENDED)
        return;
    if (now_ms >= session->drain_deadline_ms && session->state != SESSION_CLOSING) {
        session_drain_timeout(session, now_ms, actions);
        return;
    }
    if (now_ms >= session_give_up_deadline_ms(session)) {
        const struct session_end end = {.cause = CAUSE_GAVE_UP};
        session_finish(session, &end,
                       session_is_attempting(session) ? SESSION_DROP_ABANDON : SESSION_DROP_NONE,
                       now_ms, actions);
        return;
    }
    if (now_ms >= session_stall_deadline_ms(session)) {
        session_act(session, actions);
        actions->mutual_stall = true;
        session_close_client(session, CLOSE_TRY_AGAIN, "wskeep: mutual-stall", CAUSE_MUTUAL_STALL,
                             now_ms, actions);
        return;
    }
    if (now_ms >= session->network_due_ms)
        session_network_timer(session, now_ms);
    if (session_client_timer(session, now_ms, actions))
        return; /* what else is due is still due: the caller asks again */
    session_state_timer(session, now_ms, actions);
}

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

uint64_t session_deadline_ms(const struct session *session)
{
    if (session->state == SESSION_ENDED)
        return SETTINGS_NEVER;
    uint64_t deadline_ms = earlier(session->wait_until_ms, session_client_deadline_ms(session));
    if (session->state != SESSION_CLOSING)
        deadline_ms = earlier(deadline_ms, session->drain_deadline_ms);
    deadline_ms = earlier(deadline_ms, session_give_up_deadline_ms(session));
    deadline_ms = earlier(deadline_ms, session_stall_deadline_ms(session));
    deadline_ms = earlier(deadline_ms, session->network_due_ms);
    if (session->state != SESSION_OPEN)
        return deadline_ms;

    const struct heartbeat_settings settings = session_heartbeat(session);
    deadline_ms = earlier(deadline_ms, session_ack_deadline_ms(session));
    deadline_ms = earlier(deadline_ms, session_ack_probe_ms(session));
    deadline_ms = earlier(deadline_ms, session_silence_deadline_ms(session));
    if (!session->ping_now)
        deadline_ms = earlier(deadline_ms, session_ping_deadline_ms(session));
    return earlier(deadline_ms, heartbeat_deadline_ms(&session->upstream_life, &settings));
}

void session_did_not_run(struct session *session, uint64_t now_ms)
{
    if (session_is_attempting(session))
        session->wait_until_ms = session_after(now_ms, session->settings->connect_timeout_ms);
    if (session->state == SESSION_CLOSING)
        session->wait_until_ms = now_ms + SESSION_CLOSE_WAIT_MS;
    if (session->state == SESSION_OPEN) {
        heartbeat_restart(&session->upstream_life, now_ms);
        barrier_restart(&session->barrier, now_ms);
        session->data_ms = now_ms;
    }
    session->unopened_since_ms = now_ms; /* nobody tried to connect meanwhile */
    if (session->client == SESSION_CLIENT_WAITING && session->client_deadline_ms != SETTINGS_NEVER)
        session->client_deadline_ms = session_after(now_ms, session->settings->connect_timeout_ms);
    if (session->client == SESSION_CLIENT_CLOSED)
        session->client_deadline_ms = now_ms + SESSION_CLOSE_WAIT_MS;
    if (session->client == SESSION_CLIENT_OPEN || session->client == SESSION_CLIENT_CLOSING)
        heartbeat_restart(&session->client_life, now_ms);
    if (session->drain_deadline_ms != SETTINGS_NEVER)
        session->drain_deadline_ms = session_after(now_ms, session->settings->drain_timeout_ms);
    if (session->both_paused_ms != 0)
        session->both_paused_ms = now_ms;
}
