/*
 * One conversation between a client and its upstream: the decisions.
 *
 * The session outlives any number of upstream connections.  It is handed what happened and the
 * time, and answers with what to do (struct session_actions) and with what to send
 * (session_send_next).  No socket, no clock: net carries it out, the simulation does so too.
 *
 * Rules for the caller
 * - Feed events in the order in which they happened; within one turn of the loop everything
 *   that can be read comes before session_timer().
 * - Every function that takes actions sets actions->any to false first; when it is true after
 *   the call, carry the actions out before the next call.
 * - session_timer() may leave more to do at the same instant (actions->any): carry it out and ask
 *   again, until it has nothing.
 * - After each batch: send while session_send_next() has something, obey
 *   session_reads_client() and session_reads_upstream(), arm a timer for session_deadline_ms().
 * - now_ms never goes back.
 */
#ifndef WSKEEP_CORE_SESSION_H
#define WSKEEP_CORE_SESSION_H

#include "core/backoff.h"
#include "core/barrier.h"
#include "core/budget.h"
#include "core/cause.h"
#include "core/close_rules.h"
#include "core/heartbeat.h"
#include "core/outbox.h"
#include "core/random.h"
#include "core/settings.h"

enum { SESSION_RETRY_AFTER_MS_MAX = 10 * 60 * 1000 };

enum session_state {
    SESSION_IDLE,       /* before the first attempt */
    SESSION_RESOLVING,  /* the upstream's name is looked up */
    SESSION_CONNECTING, /* TCP, to the server or to its proxy */
    SESSION_TUNNELLING, /* the proxy is asked for the way to the server */
    SESSION_SECURING,   /* TLS */
    SESSION_UPGRADING,  /* the request was sent, or is being sent */
    SESSION_OPEN,
    SESSION_CLOSING, /* our Close is on its way upstream, the last word of the session */
    SESSION_WAITING, /* until the next attempt */
    SESSION_ENDED,   /* for good: free it */
    SESSION_STATE_COUNT
};

const char *session_state_name(enum session_state state); /* "open" */

/* The other axis: what the client is doing meanwhile. */
enum session_client_state {
    SESSION_CLIENT_WAITING, /* its handshake is not answered yet */
    SESSION_CLIENT_OPEN,
    SESSION_CLIENT_CLOSING, /* its Close came; our answer, the receipt, is owed */
    SESSION_CLIENT_CLOSED,  /* we sent it a Close; what it sent before seeing that still counts */
    SESSION_CLIENT_GONE     /* nothing more passes either way */
};

struct session_move {
    enum session_state from;
    enum session_state to; /* equal to from: no move */
    enum cause cause;
};

enum session_drop {
    SESSION_DROP_NONE,
    SESSION_DROP_ABANDON, /* an attempt that did not open, or a connection that ended by itself */
    SESSION_DROP_CLOSE,   /* send actions->upstream_close, shut down writing, read until EOF, 2 s */
    SESSION_DROP_FIN,     /* end TCP without a Close frame */
    SESSION_DROP_RESET    /* found dead: RST */
};

enum session_client_do {
    SESSION_CLIENT_KEEP,
    SESSION_CLIENT_ANSWER, /* 101, with session->subprotocol if any */
    SESSION_CLIENT_REFUSE, /* actions->refuse_status instead of 101, then end it */
    SESSION_CLIENT_CLOSE,  /* send actions->client_close after everything that waits for the
                              client; then, if it is the second of the two Closes, end it */
    SESSION_CLIENT_CUT     /* end TCP without a Close frame (1006 has none), after what waits */
};

struct session_actions {
    bool any; /* false: nothing below was touched */

    struct session_move move;
    struct session_end end; /* with a move that has a cause: how the connection ended */
    int close_rule;         /* index of the rule that decided, -1: a default */
    uint64_t delay_ms;      /* with a move to SESSION_WAITING */

    bool attempt; /* with a move to SESSION_RESOLVING: begin, with fresh settings */
    enum session_drop drop;
    struct close_frame upstream_close;

    enum session_client_do client;
    uint16_t refuse_status;
    struct close_frame client_close;
    bool deliver_gap; /* hand gap_message to the client now, before anything newer */

    bool probe_upstream; /* ask TCP: session_tcp() */
    bool probe_client;
    bool ping_client; /* send the client a Ping, then session_client_pinged() */

    /* For log, events and counters. */
    bool gap;
    uint64_t gap_ms;
    uint32_t repeats; /* on opening: so many exposed messages will be sent again */
    uint32_t given_up_count;
    uint64_t given_up_bytes;
    enum cause given_up_cause;
    bool pong_unsupported; /* reported once */
    bool mutual_stall;
};

enum session_take {
    SESSION_TAKEN,   /* the message is in the outbox */
    SESSION_NOT_NOW, /* outbox or memory is full: keep it, stop reading, offer it again when
                        session_has_room() */
    SESSION_IGNORED  /* after the client's Close, or after the end */
};

enum session_send_kind {
    SESSION_SEND_NOTHING,
    SESSION_SEND_MESSAGE,
    SESSION_SEND_PING,
    SESSION_SEND_CLOSE
};

struct session_send {
    enum session_send_kind kind;
    enum frame_opcode opcode;
    const uint8_t *payload; /* a message's: stays where it is until it is wholly written or the
                               connection is dropped.  A Ping's or Close's: in body. */
    size_t payload_bytes;
    uint8_t *body; /* the caller's, before it asks: room for FRAME_CONTROL_BYTES_MAX */
};

struct session_counters {
    uint64_t sent;     /* messages acknowledged by the upstream */
    uint64_t received; /* messages delivered to the client */
    uint64_t repeated; /* messages sent again after a break */
    uint64_t given_up; /* messages never acknowledged, by any cause */
    uint64_t gaps;
    uint32_t connections; /* upstream connections that opened */
    uint32_t attempts;
};

struct session {
    const struct session_settings *settings; /* the caller's, valid until replaced */
    const struct random_source *random;      /* the caller's, like the settings */
    struct outbox outbox;
    struct barrier barrier;
    struct heartbeat upstream_life;
    struct heartbeat client_life;
    struct session_counters counters;
    struct backoff backoff;
    uint32_t rtt_ms;                  /* of the last matching Pong */
    char *subprotocol;                /* agreed on by the first handshake, or NULL; owned */
    uint64_t wait_until_ms;           /* SESSION_WAITING: the next attempt.  Attempt states: the end
                                         of connect_timeout.  SESSION_CLOSING: 2 s */
    uint64_t not_before_ms;           /* no attempt before: Retry-After; 0: none */
    uint64_t network_due_ms;          /* a change of the network is acted upon; NEVER: none */
    uint64_t uncut_until_ms;          /* the end of that wait by itself */
    uint64_t early_attempt_ms;        /* when a wait that was cut short last ended; 0: never */
    uint64_t attempt_ms;              /* the current or last attempt began */
    uint64_t open_ms;                 /* the current or last connection opened */
    uint64_t lost_ms;                 /* the last connection that was open ended */
    uint64_t unopened_since_ms;       /* for give_up_after: no open connection since */
    uint64_t client_deadline_ms;      /* SESSION_CLIENT_WAITING: 504 */
    uint64_t drain_deadline_ms;       /* SETTINGS_NEVER until the client has ended */
    uint64_t data_ms;                 /* last data message from upstream, for silence */
    uint64_t both_paused_ms;          /* neither side is read since; 0: no */
    uint64_t inbox_bytes;             /* waiting for the client, as net last said */
    struct close_frame *client_close; /* the Close that came from the client, while a receipt or
                                         the upstream's Close is owed; owned */
    uint32_t bytes_since_ping;        /* message bytes encoded after the newest Ping; at UINT32_MAX
                                         it stays */
    uint32_t refused_bytes;           /* client_full: the size of the message that did not fit */
    enum session_state state : 8;
    enum session_client_state client : 8;
    enum cause client_cause : 8; /* how the client ended */
    uint8_t ack_timeouts_in_a_row;
    uint8_t mismatches_in_a_row;
    bool subprotocol_fixed : 1; /* later connections must choose the same */
    bool pong_ever : 1;         /* some connection of this session brought a matching Pong */
    bool pong_given_up : 1;     /* without_pong: sent came true */
    bool waits_for_secret : 1;  /* what the upstream was shown was refused, or could not be read */
    bool credential_is_clients : 1;
    bool client_beats : 1;     /* the client's side has a heartbeat */
    bool moved : 1;            /* this connection acknowledged or delivered data */
    bool replay_begins : 1;    /* the next message is the first of a replay: a Ping follows it */
    bool ping_now : 1;         /* the heartbeat, or the first message of a replay, wants a Ping */
    bool client_full : 1;      /* a client's message did not fit: NOT_NOW */
    bool upstream_full : 1;    /* the inbox is full: the upstream is not read */
    bool client_starved : 1;   /* the daemon has no memory for the rest of a message that arrives */
    bool upstream_starved : 1; /* the same, of the upstream's */
    bool close_sent : 1;       /* our Close was handed out by session_send_next() */
};

/* ---- life --------------------------------------------------------------------------------- */

void session_init(struct session *session, const struct session_settings *settings,
                  const struct random_source *random, struct budget *budget, uint64_t now_ms);
void session_clear(struct session *session);

/*
 * Begin: the client's handshake was read and found right.
 *
 * subprotocol  what must be agreed on when that is known already (configured, or remembered from
 *              an earlier client with the same offer), "" when it is known to be none; NULL: the
 *              first upstream handshake decides, and the client waits for it (rule 1)
 */
void session_start(struct session *session, const char *subprotocol, uint64_t now_ms,
                   struct session_actions *actions);

/* The client needs no heartbeat (a Unix socket cannot lose its peer unseen).  Before start. */
void session_client_without_heartbeat(struct session *session);

/* What the upstream is shown came from the client: when it refuses that with 401 or 403 before any
 * connection opened, waiting will not help.  Before start. */
void session_client_has_credential(struct session *session);

/*
 * Use other settings from now on.  Called before an attempt, when the link was reloaded.  What an
 * earlier connection exposed is repeated, also when `acknowledge` is now `sent`: it was taken
 * under the other promise.
 */
void session_use_settings(struct session *session, const struct session_settings *settings);

/* ---- the upstream ------------------------------------------------------------------------- */

void session_upstream_resolved(struct session *session, uint64_t now_ms,
                               struct session_actions *actions);
/* Connected to the proxy, which is asked for the rest of the way. */
void session_upstream_tunnelling(struct session *session, uint64_t now_ms,
                                 struct session_actions *actions);

/* Connected to the server, directly or by the proxy, and the TLS handshake begins. */
void session_upstream_securing(struct session *session, uint64_t now_ms,
                               struct session_actions *actions);

/* The stream to the server stands, with TLS or without: the request goes out. */
void session_upstream_connected(struct session *session, uint64_t now_ms,
                                struct session_actions *actions);

/* The server asks not to be tried again for so long (Retry-After, RFC 9110 10.2.3): a lower bound
 * of the wait, at most SESSION_RETRY_AFTER_MS_MAX.  Said before session_upstream_lost(). */
void session_retry_after(struct session *session, uint64_t delay_ms, uint64_t now_ms);

/* A valid 101.  subprotocol: chosen by the server, or NULL. */
void session_upstream_upgraded(struct session *session, const char *subprotocol, uint64_t now_ms,
                               struct session_actions *actions);

/* The attempt failed, or the connection ended, for any reason but a Close frame. */
void session_upstream_lost(struct session *session, enum cause cause, uint16_t http_status,
                           uint64_t now_ms, struct session_actions *actions);

/* A Close frame came. */
void session_upstream_close(struct session *session, const struct close_frame *close,
                            uint64_t now_ms, struct session_actions *actions);

/* Something was read: once per read, before its messages.  Never acts. */
void session_upstream_received(struct session *session, uint64_t now_ms);

/* A whole data message.  True: deliver it to the client now, then tell session_inbox(). */
bool session_upstream_message(struct session *session, uint64_t now_ms);

void session_upstream_pong(struct session *session, const uint8_t *payload, size_t payload_bytes,
                           uint64_t now_ms, struct session_actions *actions);

/* The kernel has taken the upstream connection's stream up to written_offset. */
void session_upstream_written(struct session *session, uint64_t written_offset, uint64_t now_ms,
                              struct session_actions *actions);

/* TCP's answer to actions->probe_upstream. */
void session_upstream_tcp(struct session *session, uint64_t acked_offset, bool in_flight,
                          uint64_t now_ms);

/* ---- what to send ------------------------------------------------------------------------- */

/*
 * The next thing to send upstream, at a frame boundary.  False when there is nothing.  Encode it
 * wholly or in pieces, then tell session_sent() before asking again.
 */
bool session_send_next(struct session *session, uint64_t now_ms, struct session_send *send);

/* What session_send_next() gave was encoded up to end_offset of the connection's stream. */
void session_sent(struct session *session, const struct session_send *send, uint64_t end_offset,
                  uint64_t now_ms);

/* ---- the client --------------------------------------------------------------------------- */

enum session_take session_client_message(struct session *session, struct outbox_message *message,
                                         uint64_t now_ms, struct session_actions *actions);

void session_client_close(struct session *session, const struct close_frame *close, uint64_t now_ms,
                          struct session_actions *actions);

/*
 * The client is gone without a Close of its own, or it broke RFC 6455 and net has told it so:
 * CAUSE_CLIENT_LOST, CAUSE_PROTOCOL_ERROR, CAUSE_MESSAGE_TOO_BIG, CAUSE_NO_RESOURCES,
 * CAUSE_OVERFLOW.
 */
void session_client_lost(struct session *session, enum cause cause, uint64_t now_ms,
                         struct session_actions *actions);

/* The client has ended, and behind the message that was kept net held so many more: they are given
 * up.  Adds to actions. */
void session_client_kept(struct session *session, uint32_t count, uint64_t bytes, enum cause cause,
                         struct session_actions *actions);

/* Something was read from the client; pong: a Pong was among it. */
void session_client_received(struct session *session, bool pong, uint64_t now_ms);
void session_client_written(struct session *session, uint64_t written_offset, uint64_t now_ms);
void session_client_pinged(struct session *session, uint64_t end_offset, uint64_t now_ms);
void session_client_tcp(struct session *session, uint64_t acked_offset, bool in_flight,
                        uint64_t now_ms);

/* So many bytes wait for the client: after each change of the amount. */
void session_inbox(struct session *session, uint64_t inbox_bytes, uint64_t now_ms,
                   struct session_actions *actions);

/* A message of theirs is not whole, and the daemon has, or has no more, reached memory_max: they
 * are not read, and what is missing meanwhile is not held against them.  An upstream that owes
 * acknowledgements is read all the same. */
void session_client_starves(struct session *session, bool starves, uint64_t now_ms);
void session_upstream_starves(struct session *session, bool starves, uint64_t now_ms);

/* ---- the daemon --------------------------------------------------------------------------- */

/* The deadline has come (or any time: it does nothing early). */
void session_timer(struct session *session, uint64_t now_ms, struct session_actions *actions);

/* We were stopped, or the machine slept: what is missing is held against nobody. */
void session_did_not_run(struct session *session, uint64_t now_ms);

/*
 * The default route, the source address or the clock has changed: the link is probed, and a wait
 * may be cut short.  Never acts: session_timer() does, when what belongs to one change is over,
 * and not for all sessions at once.
 */
void session_network_changed(struct session *session, uint64_t now_ms);

/* A file with a secret has changed: a wait for it (after 401, 403 or secret-unreadable) ends. */
void session_secret_changed(struct session *session, uint64_t now_ms);

/* SIGTERM, or the link was removed: close the client with 1012, drain, end. */
void session_shutdown(struct session *session, uint64_t now_ms, struct session_actions *actions);

/* ---- questions ---------------------------------------------------------------------------- */

uint64_t session_deadline_ms(const struct session *session);
bool session_reads_client(const struct session *session);
bool session_reads_upstream(const struct session *session);
/* Offer the kept message again: it would not be NOT_NOW, as far as one can tell. */
bool session_has_room(const struct session *session);
bool session_has_to_send(struct session *session, uint64_t now_ms);

/* The whole structure's invariants; aborts when one is broken. */
void session_check(const struct session *session);

#endif
