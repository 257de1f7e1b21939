/* The session's client: its messages, its end, its heartbeat, and backpressure both ways. */
#include <assert.h>
#include <stdlib.h>

#include "core/session.h"
#include "core/session_private.h"

/* ---- backpressure ------------------------------------------------------------------------- */

void session_pause_changed(struct session *session, uint64_t now_ms)
{
    bool both = (session->client_full || session->client_starved) && session->upstream_full;
    if (!both)
        session->both_paused_ms = 0;
    else if (session->both_paused_ms == 0)
        session->both_paused_ms = now_ms > 0 ? now_ms : 1;
}

/*
 * Full at inbox_max_bytes, or when the daemon's memory is used up and this client has something
 * to take; reading goes on at half of it.  An empty inbox is never full, so memory that others
 * hold cannot keep a session from reading its Pongs.
 */
static bool session_inbox_is_full(const struct session *session)
{
    struct budget *budget = session->outbox.budget;
    uint64_t bytes = session->inbox_bytes;
    if (!session_delivers(session) || bytes == 0)
        return false; /* what arrives is dropped: there is nobody to take it */
    if (budget_is_over(budget)) {
        budget_refuse(budget);
        return true;
    }
    uint64_t limit = session->settings->inbox_bytes_max;
    return bytes >= (session->upstream_full ? limit / 2 : limit);
}

/* The upstream is read again, or no more: what is missing meanwhile is not held against it. */
static void session_upstream_reading_changed(struct session *session, uint64_t now_ms)
{
    bool reads = session_reads_upstream(session);
    if (session->state != SESSION_OPEN)
        return;
    heartbeat_set_reading(&session->upstream_life, reads, now_ms);
    if (reads) {
        barrier_restart(&session->barrier, now_ms);
        session->data_ms = now_ms;
    }
}

void session_inbox_changed(struct session *session, uint64_t now_ms)
{
    bool full = session_inbox_is_full(session);
    if (full == session->upstream_full)
        return;
    session->upstream_full = full;
    session_upstream_reading_changed(session, now_ms);
    session_pause_changed(session, now_ms);
}

/* What is in the outbox leaves with its Pongs, which may be behind that message: then it is read,
 * for the memory that this takes is what the other memory comes back by. */
void session_upstream_starves(struct session *session, bool starves, uint64_t now_ms)
{
    starves = starves && outbox_is_empty(&session->outbox);
    if (session->upstream_starved == starves)
        return;
    session->upstream_starved = starves;
    session_upstream_reading_changed(session, now_ms);
}

void session_inbox(struct session *session, uint64_t inbox_bytes, uint64_t now_ms,
                   struct session_actions *actions)
{
    actions->any = false;
    bool taken = inbox_bytes < session->inbox_bytes;
    session->inbox_bytes = inbox_bytes;
    if (taken && session->both_paused_ms != 0)
        session->both_paused_ms = now_ms; /* slow, but it moves: not a stall */
    if (session->settings->inbox_overflow == INBOX_OVERFLOW_CLOSE &&
        session->client == SESSION_CLIENT_OPEN && session_inbox_is_full(session))
        session_close_client(session, CLOSE_TRY_AGAIN, "wskeep: inbox full", CAUSE_OVERFLOW, now_ms,
                             actions);
    session_inbox_changed(session, now_ms);
}

/* The same for the client. */
static void session_client_reading_changed(struct session *session, uint64_t now_ms)
{
    bool reads = session_reads_client(session);
    if (reads && session->client == SESSION_CLIENT_CLOSED) /* its answer could not be read */
        session->client_deadline_ms = now_ms + SESSION_CLOSE_WAIT_MS;
    heartbeat_set_reading(&session->client_life, reads, now_ms);
    session_pause_changed(session, now_ms);
}

static void session_set_client_full(struct session *session, bool full, size_t bytes,
                                    uint64_t now_ms)
{
    assert(bytes <= UINT32_MAX); /* else it would never fit */
    session->refused_bytes = (uint32_t)bytes;
    if (session->client_full == full)
        return;
    session->client_full = full;
    session_client_reading_changed(session, now_ms);
}

/* Dropping may make room, unless it is others who hold the daemon's memory. */
static bool session_can_push_over_oldest(const struct session *session, uint64_t payload_bytes)
{
    const struct outbox *outbox = &session->outbox;
    uint64_t own_bytes =
        outbox->payload_bytes + (uint64_t)outbox->entry_count * OUTBOX_OVERHEAD_BYTES;
    return outbox_can_drop_oldest(outbox) &&
           budget_would_have_room(outbox->budget, own_bytes, payload_bytes + OUTBOX_OVERHEAD_BYTES);
}

bool session_has_room(const struct session *session)
{
    if (!session->client_full || !outbox_would_be_full(&session->outbox, session->refused_bytes))
        return true;
    return session->settings->overflow == OVERFLOW_DROP_OLDEST &&
           session_can_push_over_oldest(session, session->refused_bytes);
}

bool session_reads_client(const struct session *session)
{
    return session->client != SESSION_CLIENT_GONE && !session->client_full &&
           !session->client_starved;
}

void session_client_starves(struct session *session, bool starves, uint64_t now_ms)
{
    if (session->client_starved == starves)
        return;
    session->client_starved = starves;
    session_client_reading_changed(session, now_ms);
}

/* ---- messages ----------------------------------------------------------------------------- */

/* `overflow: drop-oldest`: make room, as long as the oldest is not in the middle of its frame. */
static enum outbox_result session_push_over_oldest(struct session *session,
                                                   struct outbox_message *message,
                                                   struct session_actions *actions)
{
    uint64_t dropped_bytes;
    while (outbox_drop_oldest(&session->outbox, &dropped_bytes)) {
        session_give_up(session, 1, dropped_bytes, CAUSE_OVERFLOW, actions);
        enum outbox_result result = outbox_push(&session->outbox, message);
        if (result != OUTBOX_FULL)
            return result;
    }
    return OUTBOX_FULL;
}

/* The message is not taken, ever: it counts as given up, and the client is told by a Close. */
static enum session_take session_refuse_message(struct session *session, uint16_t code,
                                                const char *reason, size_t payload_bytes,
                                                uint64_t now_ms, struct session_actions *actions)
{
    session_give_up(session, 1, payload_bytes, CAUSE_OVERFLOW, actions);
    session_set_client_full(session, false, 0, now_ms); /* nothing is kept any more */
    if (session->client == SESSION_CLIENT_OPEN)
        session_close_client(session, code, reason, CAUSE_OVERFLOW, now_ms, actions);
    return SESSION_IGNORED;
}

enum session_take session_client_message(struct session *session, struct outbox_message *message,
                                         uint64_t now_ms, struct session_actions *actions)
{
    size_t payload_bytes = message->payload_bytes;
    actions->any = false;
    if (session->client != SESSION_CLIENT_OPEN && session->client != SESSION_CLIENT_CLOSED)
        return SESSION_IGNORED;

    enum settings_overflow overflow = session->settings->overflow;
    enum outbox_result result = outbox_push(&session->outbox, message);
    if (result == OUTBOX_FULL && overflow == OVERFLOW_DROP_OLDEST &&
        session_can_push_over_oldest(session, payload_bytes))
        result = session_push_over_oldest(session, message, actions);
    switch (result) {
    case OUTBOX_OK:
        session_set_client_full(session, false, 0, now_ms);
        if (session->client == SESSION_CLIENT_CLOSED)
            session->client_deadline_ms = now_ms + SESSION_CLOSE_WAIT_MS; /* its Close follows */
        return SESSION_TAKEN;
    case OUTBOX_ERR_TOO_BIG: /* a reload made max_bytes smaller than what this client may send, or
                                 all that memory_max allows is less than one message */
        return session_refuse_message(session, CLOSE_TOO_BIG,
                                      payload_bytes > session->settings->outbox_bytes_max
                                          ? "wskeep: over max_bytes"
                                          : "wskeep: over memory_max",
                                      payload_bytes, now_ms, actions);
    case OUTBOX_FULL:
        if (overflow == OVERFLOW_CLOSE)
            return session_refuse_message(session, CLOSE_TRY_AGAIN, "wskeep: outbox full",
                                          payload_bytes, now_ms, actions);
        break;
    case OUTBOX_ERR_MEMORY:
        break; /* as full: what is in the outbox will leave, and then there may be memory */
    }
    session_set_client_full(session, true, payload_bytes, now_ms);
    return SESSION_NOT_NOW;
}

/* ---- the client's end --------------------------------------------------------------------- */

/* Nothing more will be put into the outbox, or only what the client sent before it knew. */
static void session_begin_drain(struct session *session, enum session_client_state client,
                                enum cause cause, uint64_t now_ms)
{
    session->client = client;
    session->client_cause = cause;
    session->drain_deadline_ms = session_after(now_ms, session->settings->drain_timeout_ms);
    session_inbox_changed(session, now_ms);
}

void session_close_client(struct session *session, uint16_t code, const char *reason,
                          enum cause cause, uint64_t now_ms, struct session_actions *actions)
{
    assert(session->client == SESSION_CLIENT_OPEN);
    session_act(session, actions);
    actions->client = SESSION_CLIENT_CLOSE;
    close_set(&actions->client_close, code, reason);
    session_begin_drain(session, SESSION_CLIENT_CLOSED, cause, now_ms);
    session->client_deadline_ms = now_ms + SESSION_CLOSE_WAIT_MS;
}

static void session_client_gone(struct session *session, uint64_t now_ms,
                                struct session_actions *actions)
{
    if (session->client_full) /* net holds a message for which there was no room */
        session_give_up(session, 1, session->refused_bytes, session->client_cause, actions);
    session->client = SESSION_CLIENT_GONE;
    session->client_deadline_ms = SETTINGS_NEVER;
    session_set_client_full(session, false, 0, now_ms);
    session_inbox_changed(session, now_ms);
}

void session_client_close(struct session *session, const struct close_frame *close, uint64_t now_ms,
                          struct session_actions *actions)
{
    actions->any = false;
    if (session->client == SESSION_CLIENT_CLOSED) { /* the answer to our Close */
        session_act(session, actions);
        actions->client = SESSION_CLIENT_CUT;
        session_client_gone(session, now_ms, actions);
        session_drain(session, now_ms, actions);
        return;
    }
    if (session->client != SESSION_CLIENT_OPEN)
        return;
    session->client_close = malloc(sizeof *session->client_close);
    if (!session->client_close) { /* then it gets no receipt, which says: not everything arrived */
        session_act(session, actions);
        actions->client = SESSION_CLIENT_CUT;
        session_begin_drain(session, SESSION_CLIENT_GONE, CAUSE_NO_RESOURCES, now_ms);
        session_drain(session, now_ms, actions);
        return;
    }
    *session->client_close = *close;
    session_begin_drain(session, SESSION_CLIENT_CLOSING, CAUSE_CLIENT_CLOSED, now_ms);
    session_drain(session, now_ms, actions);
}

void session_client_lost(struct session *session, enum cause cause, uint64_t now_ms,
                         struct session_actions *actions)
{
    actions->any = false;
    switch (session->client) {
    case SESSION_CLIENT_WAITING: {
        const struct session_end end = {.cause = cause};
        session->client = SESSION_CLIENT_GONE; /* there is nobody to refuse any more */
        session_finish(session, &end,
                       session_is_attempting(session) ? SESSION_DROP_ABANDON : SESSION_DROP_NONE,
                       now_ms, actions);
        return;
    }
    case SESSION_CLIENT_OPEN:
        session_begin_drain(session, SESSION_CLIENT_GONE, cause, now_ms);
        break;
    case SESSION_CLIENT_CLOSING: /* left without waiting for its receipt */
    case SESSION_CLIENT_CLOSED:
        break;
    case SESSION_CLIENT_GONE:
        return;
    }
    session_client_gone(session, now_ms, actions);
    session_drain(session, now_ms, actions);
}

void session_client_kept(struct session *session, uint32_t count, uint64_t bytes, enum cause cause,
                         struct session_actions *actions)
{
    assert(session->client == SESSION_CLIENT_GONE);
    session_give_up(session, count, bytes, cause, actions);
}

/* ---- the client's heartbeat --------------------------------------------------------------- */

/* Not after the client's Close: few endpoints answer Pings then, and drain_timeout bounds it. */
static bool session_client_has_heartbeat(const struct session *session)
{
    return session->client == SESSION_CLIENT_OPEN && session->client_beats &&
           session->settings->client_heartbeat.interval_ms != SETTINGS_NEVER;
}

void session_client_received(struct session *session, bool pong, uint64_t now_ms)
{
    heartbeat_received(&session->client_life, now_ms);
    if (pong)
        heartbeat_ponged(&session->client_life, session->client_life.written_offset);
}

void session_client_written(struct session *session, uint64_t written_offset, uint64_t now_ms)
{
    heartbeat_written(&session->client_life, written_offset, now_ms);
}

void session_client_pinged(struct session *session, uint64_t end_offset, uint64_t now_ms)
{
    heartbeat_pinged(&session->client_life, end_offset, now_ms);
}

void session_client_tcp(struct session *session, uint64_t acked_offset, bool in_flight,
                        uint64_t now_ms)
{
    heartbeat_tcp(&session->client_life, acked_offset, in_flight, now_ms);
}

/* Nobody answered within connect_timeout: the client's handshake gets its 504. */
static void session_client_waited(struct session *session, uint64_t now_ms,
                                  struct session_actions *actions)
{
    const struct session_end end = {.cause = CAUSE_GAVE_UP};
    session_finish(session, &end,
                   session_is_attempting(session) ? SESSION_DROP_ABANDON : SESSION_DROP_NONE,
                   now_ms, actions);
}

/* While the outbox has no room we do not read, so its answer to our Close cannot have come. */
static uint64_t session_client_wait_ms(const struct session *session)
{
    return session->client_full || session->client_starved ? SETTINGS_NEVER
                                                           : session->client_deadline_ms;
}

bool session_client_timer(struct session *session, uint64_t now_ms, struct session_actions *actions)
{
    if (now_ms >= session_client_wait_ms(session)) {
        session_act(session, actions);
        if (session->client == SESSION_CLIENT_WAITING) {
            session_client_waited(session, now_ms, actions);
            return true;
        }
        actions->client = SESSION_CLIENT_CUT; /* it did not answer our Close */
        session_client_gone(session, now_ms, actions);
        session_drain(session, now_ms, actions);
        return true;
    }
    if (!session_client_has_heartbeat(session))
        return false;
    switch (heartbeat_judge(&session->client_life, &session->settings->client_heartbeat, now_ms)) {
    case HEARTBEAT_FINE:
        return false;
    case HEARTBEAT_PING:
        session_act(session, actions);
        actions->ping_client = true;
        return false;
    case HEARTBEAT_PROBE:
        session_act(session, actions);
        actions->probe_client = true;
        return false;
    case HEARTBEAT_STALLED:
    case HEARTBEAT_DEAD:
        session_client_lost(session, CAUSE_CLIENT_LOST, now_ms, actions);
        session_act(session, actions);
        actions->client = SESSION_CLIENT_CUT;
        return true;
    }
    return false;
}

uint64_t session_client_deadline_ms(const struct session *session)
{
    uint64_t deadline_ms = session_client_wait_ms(session);
    if (!session_client_has_heartbeat(session))
        return deadline_ms;
    uint64_t beat_ms =
        heartbeat_deadline_ms(&session->client_life, &session->settings->client_heartbeat);
    return beat_ms < deadline_ms ? beat_ms : deadline_ms;
}
