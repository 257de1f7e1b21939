/* What the four files of the session share: session.c and its _client, _send and _timer. */
#ifndef WSKEEP_CORE_SESSION_PRIVATE_H
#define WSKEEP_CORE_SESSION_PRIVATE_H

#include "core/session.h"

enum {
    SESSION_CLOSE_WAIT_MS = 2000,    /* for the other half of a closing handshake */
    SESSION_ATTEMPT_SPACE_MS = 1000, /* between the starts of two connections that carried data */
    SESSION_MISMATCH_COUNT_MAX = 3,
    SESSION_ACK_TIMEOUT_COUNT_MAX = 3,
    SESSION_ACK_PROBE_PART = 8,          /* of ack_timeout, between two questions to TCP */
    SESSION_PING_AFTER_BYTES = 64 * 1024 /* a barrier Ping does not wait for ping_spacing */
};

/* The actions are about to be written to: clear them once for each event. */
void session_act(struct session *session, struct session_actions *actions);

/* a + b, where either may be SETTINGS_NEVER. */
static inline uint64_t session_after(uint64_t now_ms, uint64_t delay_ms)
{
    return delay_ms > SETTINGS_NEVER - now_ms ? SETTINGS_NEVER : now_ms + delay_ms;
}

/* The only writer of session->state, and so the only place that can report a move. */
void session_enter(struct session *session, enum session_state to, enum cause cause,
                   uint64_t now_ms, struct session_actions *actions);

/* The session is over: tell the client, count what was not delivered.  drop: what becomes of
 * the upstream connection. */
void session_finish(struct session *session, const struct session_end *end, enum session_drop drop,
                    uint64_t now_ms, struct session_actions *actions);

/* The client has ended and the outbox may be empty: then close upstream and end. */
void session_drain(struct session *session, uint64_t now_ms, struct session_actions *actions);

/* Nothing is owed to anybody any more: the client's own end is the session's. */
void session_ends_drained(struct session *session, enum session_drop drop, uint64_t now_ms,
                          struct session_actions *actions);

/* We end this connection or attempt: the close rules say what follows. */
void session_ended_by_us(struct session *session, enum cause cause, enum session_drop drop,
                         uint64_t now_ms, struct session_actions *actions);

/* drain_timeout has passed: give up what is left, and say so in the receipt. */
void session_drain_timeout(struct session *session, uint64_t now_ms,
                           struct session_actions *actions);

/* We close the client, with a reason of ours; what it sent before seeing that still counts. */
void session_close_client(struct session *session, uint16_t code, const char *reason,
                          enum cause cause, uint64_t now_ms, struct session_actions *actions);

/* What is due of a changed network. */
void session_network_timer(struct session *session, uint64_t now_ms);

/* The client's heartbeat and deadlines, for session_timer().  True when the client's state
 * changed; a Ping or a probe of the client goes along with whatever else is due. */
bool session_client_timer(struct session *session, uint64_t now_ms,
                          struct session_actions *actions);
uint64_t session_client_deadline_ms(const struct session *session);

/* Reading of the upstream may have to stop or go on: the inbox or the client's state changed. */
void session_inbox_changed(struct session *session, uint64_t now_ms);

/* Both directions paused, or no longer. */
void session_pause_changed(struct session *session, uint64_t now_ms);

/* Give up messages: count them under cause. */
void session_give_up(struct session *session, uint32_t count, uint64_t bytes, enum cause cause,
                     struct session_actions *actions);

/* Messages up to sequence are acknowledged. */
void session_acknowledge(struct session *session, uint64_t sequence, uint64_t now_ms,
                         struct session_actions *actions);

/* The Close that the upstream gets as the last word of the session. */
void session_last_close(const struct session *session, struct close_frame *close);

/* As many Pings are in flight as may be, and the oldest is owed its Pong. */
bool session_has_pings_enough(const struct session *session);

/* When the next barrier Ping is due by itself, and when its missing Pong ends the connection. */
uint64_t session_ping_deadline_ms(const struct session *session);
uint64_t session_ack_deadline_ms(const struct session *session);
uint64_t session_ack_probe_ms(const struct session *session);

/* Kernel acceptance counts as acknowledgement. */
static inline bool session_sent_is_enough(const struct session *session)
{
    return session->settings->acknowledge == ACKNOWLEDGE_SENT || session->pong_given_up;
}

/* Messages reach the client.  One that sent its Close and waits for the receipt may still be
 * listening. */
static inline bool session_delivers(const struct session *session)
{
    return session->client == SESSION_CLIENT_OPEN || session->client == SESSION_CLIENT_CLOSING;
}

static inline bool session_is_attempting(const struct session *session)
{
    return session->state >= SESSION_RESOLVING && session->state <= SESSION_UPGRADING;
}

#endif
