/* What goes upstream next: messages within the window, barrier Pings, the last Close. */
#include "core/session.h"
#include "core/session_private.h"

/* A Ping without its Pong for so long is followed by another. */
static uint64_t session_follow_up_ms(const struct session *session)
{
    uint64_t timeout_ms = session->settings->heartbeat.timeout_ms;
    if (session->settings->ack_timeout_ms < timeout_ms)
        timeout_ms = session->settings->ack_timeout_ms;
    return timeout_ms == SETTINGS_NEVER ? SETTINGS_NEVER : timeout_ms / 4;
}

static bool session_is_draining(const struct session *session)
{
    return session->client == SESSION_CLIENT_CLOSING || session->client == SESSION_CLIENT_GONE;
}

/* As many in flight as may be, and the oldest of them is owed its Pong. */
bool session_has_pings_enough(const struct session *session)
{
    const struct barrier *barrier = &session->barrier;
    return barrier->ping_count == BARRIER_PING_COUNT_MAX &&
           barrier_is_owed(barrier, barrier_ping(barrier, 0));
}

/* The acknowledgement is wanted sooner than ping_spacing gives it. */
static bool session_ping_is_urgent(const struct session *session)
{
    const struct outbox *outbox = &session->outbox;
    return session->bytes_since_ping >= SESSION_PING_AFTER_BYTES ||
           outbox->payload_bytes >= outbox->payload_bytes_max / 2 ||
           outbox->entry_count > outbox->entry_count_max / 2 ||
           barrier_unacknowledged_bytes(&session->barrier) >= session->settings->window_bytes / 2 ||
           session_is_draining(session);
}

/* When a Ping is due that needs nothing more to be sent first: one whose Pong is owed is in flight
 * at a time, and others follow it when that does not come. */
uint64_t session_ping_deadline_ms(const struct session *session)
{
    const struct barrier *barrier = &session->barrier;
    if (session_sent_is_enough(session) || !barrier_has_unacknowledged(barrier))
        return SETTINGS_NEVER;
    if (barrier->ping_count > 0 &&
        barrier_is_owed(barrier, barrier_ping(barrier, barrier->ping_count - 1u))) {
        if (session_has_pings_enough(session))
            return SETTINGS_NEVER;
        return session_after(barrier->last_sent_ms, session_follow_up_ms(session));
    }
    if (barrier->last_sent_ms == 0 || session_ping_is_urgent(session))
        return 0;
    return session_after(barrier->last_sent_ms, session->settings->ping_spacing_ms);
}

/* The oldest Ping in flight whose Pong is owed; NULL when nothing waits for a Pong, or we do not
 * read it. */
static const struct barrier_ping *session_owed_ping(const struct session *session)
{
    const struct barrier *barrier = &session->barrier;
    if (session_sent_is_enough(session) || !session_reads_upstream(session) ||
        !barrier_has_unacknowledged(barrier))
        return NULL;
    for (unsigned i = 0; i < barrier->ping_count; i++)
        if (barrier_is_owed(barrier, barrier_ping(barrier, i)))
            return barrier_ping(barrier, i);
    return NULL;
}

/*
 * The acknowledgement times out: counted from the oldest Ping in flight whose Pong is owed, from
 * when the peer's TCP had it, and not before the last Pong that matched.  Until then what its TCP
 * acknowledges is life, and the heartbeat judges.
 */
uint64_t session_ack_deadline_ms(const struct session *session)
{
    const struct barrier_ping *ping = session_owed_ping(session);
    if (!ping || ping->judged_from_ms == 0)
        return SETTINGS_NEVER;
    uint64_t limit_ms = session_after(session->settings->ack_timeout_ms,
                                      heartbeat_allowance_ms(&session->upstream_life));
    return session_after(ping->judged_from_ms, limit_ms);
}

/* TCP is asked whether it has that Ping often enough for ack_timeout, however patient the
 * heartbeat is. */
uint64_t session_ack_probe_ms(const struct session *session)
{
    const struct barrier_ping *ping = session_owed_ping(session);
    if (!ping || ping->judged_from_ms != 0)
        return SETTINGS_NEVER;
    return session_after(session->upstream_life.probe_ms,
                         session->settings->ack_timeout_ms / SESSION_ACK_PROBE_PART + 1);
}

/* The next message, when the window lets it through: or one larger message alone. */
static struct outbox_entry *session_next_message(struct session *session)
{
    struct outbox *outbox = &session->outbox;
    struct outbox_entry *entry = outbox_next(outbox);
    if (!entry || session_sent_is_enough(session))
        return entry;
    uint64_t window_bytes = session->settings->window_bytes;
    uint64_t sent_bytes = barrier_unacknowledged_bytes(&session->barrier);
    if (barrier_has_unacknowledged(&session->barrier) &&
        (sent_bytes > window_bytes || entry->payload_bytes > window_bytes - sent_bytes))
        return NULL;
    return entry;
}

/* False when it could not be remembered: it is not sent, and the next one comes in its time. */
static bool session_send_ping(struct session *session, uint64_t now_ms, struct session_send *send)
{
    struct barrier *barrier = &session->barrier;
    if (barrier->ping_count == BARRIER_PING_COUNT_MAX && !session_has_pings_enough(session))
        barrier_forget_oldest(barrier); /* it times nothing: its messages are acknowledged */
    session->ping_now = false;
    if (!barrier_send(barrier, now_ms, send->body))
        return false;
    session->bytes_since_ping = 0;
    send->kind = SESSION_SEND_PING;
    send->opcode = FRAME_PING;
    send->payload = send->body;
    send->payload_bytes = BARRIER_PAYLOAD_BYTES;
    return true;
}

static bool session_send_close(struct session *session, struct session_send *send)
{
    struct close_frame close;
    if (session->close_sent)
        return false;
    session_last_close(session, &close);
    send->kind = SESSION_SEND_CLOSE;
    send->opcode = FRAME_CLOSE;
    send->payload = send->body;
    send->payload_bytes = close_encode(&close, send->body);
    return true;
}

bool session_send_next(struct session *session, uint64_t now_ms, struct session_send *send)
{
    send->kind = SESSION_SEND_NOTHING;
    if (session->state == SESSION_CLOSING)
        return session_send_close(session, send);
    if (session->state != SESSION_OPEN)
        return false;
    bool wants_ping = true;
    if (session->ping_now ||
        (session_ping_is_urgent(session) && now_ms >= session_ping_deadline_ms(session))) {
        if (session_send_ping(session, now_ms, send))
            return true;
        wants_ping = false;
    }

    struct outbox_entry *entry = session_next_message(session);
    if (!entry) /* everything that may go went: one Ping covers it all */
        return wants_ping && now_ms >= session_ping_deadline_ms(session) &&
               session_send_ping(session, now_ms, send);
    if (entry->exposed)
        session->counters.repeated++;
    send->kind = SESSION_SEND_MESSAGE;
    send->opcode = (enum frame_opcode)entry->opcode;
    send->payload = entry->payload;
    send->payload_bytes = entry->payload_bytes;
    barrier_message(&session->barrier, session->outbox.next_sequence, entry->payload_bytes);
    outbox_advance(&session->outbox); /* from here on it is in the middle of its frame */
    return true;
}

bool session_has_to_send(struct session *session, uint64_t now_ms)
{
    if (session->state == SESSION_CLOSING)
        return !session->close_sent;
    if (session->state != SESSION_OPEN)
        return false;
    return session->ping_now || session_next_message(session) != NULL ||
           now_ms >= session_ping_deadline_ms(session);
}

void session_sent(struct session *session, const struct session_send *send, uint64_t end_offset,
                  uint64_t now_ms)
{
    switch (send->kind) {
    case SESSION_SEND_NOTHING:
        return;
    case SESSION_SEND_MESSAGE:
        outbox_encoded(&session->outbox, end_offset);
        session->bytes_since_ping = send->payload_bytes < UINT32_MAX - session->bytes_since_ping
                                        ? session->bytes_since_ping + (uint32_t)send->payload_bytes
                                        : UINT32_MAX;
        if (session->replay_begins && !session_sent_is_enough(session))
            session->ping_now = true; /* a connection of one round trip shall move the outbox */
        session->replay_begins = false;
        return;
    case SESSION_SEND_PING:
        barrier_encoded(&session->barrier, end_offset);
        heartbeat_pinged(&session->upstream_life, end_offset, now_ms);
        return;
    case SESSION_SEND_CLOSE:
        session->close_sent = true;
        return;
    }
}
