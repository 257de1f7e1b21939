/*
 * What really happened, kept beside the session and compared with what it says: messages, where
 * each one is, who has read it; and every promise that can be checked while it runs.
 */
#ifndef WSKEEP_SIM_LEDGER_H
#define WSKEEP_SIM_LEDGER_H

#include "core/session.h"
#include "plan.h"

enum {
    LEDGER_MESSAGE_COUNT = 512,
    LEDGER_PING_COUNT = 8,
    LEDGER_EARLY_SPACE_MS = 10 * 1000 /* between two attempts before their time */
};

struct world;
struct conn;

enum ledger_place { LEDGER_OFFERED, LEDGER_IN_OUTBOX, LEDGER_ACKED, LEDGER_GIVEN_UP };

struct ledger_message {
    uint32_t bytes;
    uint32_t sent_count;
    uint8_t place;
    bool exposed;     /* its last byte was handed to a kernel */
    bool server_read; /* some connection's endpoint has read it */
};

enum ledger_event {
    EVENT_START,
    EVENT_RESOLVED,
    EVENT_CONNECTED,
    EVENT_UPGRADED,
    EVENT_LOST,
    EVENT_CLOSE,
    EVENT_PONG,
    EVENT_WRITTEN,
    EVENT_CLIENT_MESSAGE,
    EVENT_CLIENT_CLOSE,
    EVENT_CLIENT_LOST,
    EVENT_INBOX,
    EVENT_TIMER,
    EVENT_SHUTDOWN
};

struct ledger {
    struct ledger_message messages[LEDGER_MESSAGE_COUNT + 1]; /* by number, from 1 */
    uint16_t order[LEDGER_MESSAGE_COUNT + 2]; /* by sequence, from 1: which number it is */
    uint64_t head, tail;                      /* sequences in the outbox: head <= s < tail */
    uint64_t outbox_bytes;
    uint64_t offered; /* numbers that the client has made */
    uint64_t ignored; /* messages that were not taken and not counted */
    uint64_t refused; /* not taken, but counted as given up */
    uint64_t repeats; /* messages sent again that a server might have had */

    /* The event that is being fed, and how things stood before it. */
    enum ledger_event event;
    uint64_t head_before;
    bool reads_upstream, reads_client;
    bool kept; /* net held a message for which there was no room */
    uint32_t kept_bytes;
    uint64_t budget_bytes;
    enum session_state state;
    enum session_client_state client;
    struct session_counters counters;
    bool pong_given_up;
    bool close_sent;        /* the session's last word, on this connection */
    uint64_t event_number;  /* the client's message that is offered */
    enum session_take take; /* what became of it */
    const uint8_t *pong;    /* the Pong's body */
    uint32_t pong_bytes;
    enum cause lost_cause;
    uint16_t lost_status;
    struct close_frame close; /* that came, from either side */

    /* What the world knows of the session's history; the daemon's clock. */
    uint64_t restart_ms; /* it did not run until then */
    uint64_t resumed_ms; /* the upstream is read again since */
    uint64_t client_resumed_ms;
    uint64_t client_heard_ms;
    uint64_t client_pinged_ms;
    uint64_t state_ms; /* in its state since */
    uint64_t attempt_ms;
    uint64_t open_ms;
    uint64_t unopened_ms; /* without an open connection since */
    uint64_t client_ms;   /* in the client's state since */
    uint64_t client_start_ms;
    uint64_t client_taken_ms; /* it took something of what waits for it, or gave us something */
    uint64_t drain_ms;        /* the client's end */
    uint64_t both_paused_ms;
    uint64_t delay_ms;      /* of the wait */
    uint64_t not_before_ms; /* Retry-After of this wait; 0: none */
    uint64_t early_ms;      /* the last attempt before its time; 0: none yet */
    uint64_t network_ms;    /* a change of the network has effect from then on; 0: none is open */
    uint64_t early_by_ms;   /* the wait must end by then, for a change; PIPE_NEVER */
    bool may_be_early;      /* something has changed that may end this wait */
    bool waits_for_secret;  /* this wait is one */
    bool client_credential; /* it shows what the client brought */
    uint64_t data_ms;       /* the last data message */
    uint64_t late_ms;       /* since it opened, the loop was late by so much at most */
    uint64_t heard_ms;      /* the last read that brought something */
    uint32_t failures;      /* what the backoff ought to count */
    bool moved;             /* this connection acknowledged or delivered */
    bool opened_ever;
    uint32_t attempts;
    uint32_t opened;
    uint32_t delivered;
    uint32_t gap_messages;
    uint32_t mismatches;
    uint32_t unanswered_connections; /* in a row that ended with ack-timeout */
    bool pong_ever;
    bool client_was_cut;             /* it ended without Close */
    struct close_frame client_close; /* its own */
    bool has_client_close;
    uint32_t answers;  /* the client was refused, closed or cut: so often */
    bool lost;         /* it ended without a Close from either side: so does the upstream */
    bool closed_by_us; /* with a Close that it did not ask for */
};

void ledger_open(struct world *world);

/* ---- around each call of the session */

void ledger_before(struct world *world, enum ledger_event event);
void ledger_after(struct world *world, const struct session_actions *actions);
void ledger_taken(struct world *world, enum session_take take);

/* ---- what happens elsewhere */

/* A turn begins: what the kernel's acknowledgements say is known from now on. */
void ledger_turn_begins(struct world *world);
/* Something was read from the upstream. */
void ledger_heard(struct world *world, struct conn *conn);
void ledger_sending(struct world *world, const struct session_send *send);

/* Pings behind a message that was not acknowledged, and unanswered: how many; and when TCP had
 * acknowledged the oldest, or the last Pong came after that (0: not yet, or there is none). */
unsigned ledger_pings_owed(const struct conn *conn);
uint64_t ledger_owed_since_ms(const struct conn *conn);
void ledger_encoded(struct world *world, uint64_t sequence, uint64_t end_offset);
void ledger_written(struct world *world, uint64_t written);
void ledger_server_read(struct world *world, struct conn *conn, uint64_t number);
void ledger_did_not_run(struct world *world);

/* Something changed that ends a wait by due_ms, if it may be cut short at all. */
void ledger_may_wake(struct world *world, uint64_t due_ms);

/* At the end of each turn: bounds, deadlines, and nothing that waits for ever. */
void ledger_turn(struct world *world);

/* The session has ended and was cleared, or the schedule is over. */
void ledger_close(struct world *world);

/* The session's connection is over. */
void ledger_connection_over(struct world *world, const struct conn *conn);

#endif
