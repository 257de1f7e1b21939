/*
 * The upstream of the demo: a WebSocket server on the loopback that breaks when it is told to.
 *
 * It notes the number of each message, answers it with the same text, and sends nothing twice.
 */
#ifndef WSKEEP_WSKEEPCTL_DEMO_SERVER_H
#define WSKEEP_WSKEEPCTL_DEMO_SERVER_H

#include "wskeepctl/demo_conn.h"
#include "wskeepctl/demo_tally.h"

enum {
    DEMO_SERVER_PEER_COUNT_MAX = 8, /* more wait to be accepted */
    DEMO_SERVER_POLL_COUNT = 1 + DEMO_SERVER_PEER_COUNT_MAX,
    DEMO_SERVER_AWAY_MS = 1000,       /* of the faults that last */
    DEMO_SERVER_SILENT_MS_MAX = 5000, /* if nobody gives it up, it resets */
    DEMO_SERVER_LEAVE_MS_MAX = 2000   /* a peer that does not end is not waited for longer */
};

enum demo_fault {
    DEMO_FAULT_RESET,   /* RST */
    DEMO_FAULT_CLOSE,   /* Close 1000 "interrupted", as some platforms cut a link */
    DEMO_FAULT_EOF,     /* FIN without a Close: 1006 */
    DEMO_FAULT_SILENCE, /* reads nothing and writes nothing, and stays */
    DEMO_FAULT_REFUSE,  /* RST, and no listener for DEMO_SERVER_AWAY_MS */
    DEMO_FAULT_HTTP,    /* RST, and 503 to each handshake for DEMO_SERVER_AWAY_MS */
    DEMO_FAULT_COUNT
};

enum demo_peer_state {
    DEMO_PEER_NONE,
    DEMO_PEER_HEAD, /* its handshake is being read */
    DEMO_PEER_OPEN,
    DEMO_PEER_SILENT,
    DEMO_PEER_LEAVING /* whatever it still says is not listened to; it ends, or is ended */
};

struct demo_peer {
    enum demo_peer_state state;
    bool is_upgraded;  /* leaving: frames come, and a Close among them is looked for */
    uint64_t since_ms; /* of the state */
    struct demo_conn conn;
};

struct demo_server {
    int port_fd;   /* holds the port while nobody listens; never listens itself */
    int listen_fd; /* -1: connections are refused */
    uint16_t port;
    bool has_failed; /* it cannot accept any more: errno was failed_errno */
    int failed_errno;
    uint64_t refuses_until_ms;
    uint64_t answers_503_until_ms;
    uint64_t connection_count; /* handshakes that were accepted */
    uint64_t fault_counts[DEMO_FAULT_COUNT];
    struct demo_tally tally;
    struct demo_peer peers[DEMO_SERVER_PEER_COUNT_MAX];
};

/* Not listening: demo_server_clear() has nothing to do. */
void demo_server_none(struct demo_server *server);

/* Listen on a free port of 127.0.0.1.  message_count_max: of the tally.  False: errno. */
bool demo_server_init(struct demo_server *server, uint64_t message_count_max);
void demo_server_clear(struct demo_server *server);

/* Fill DEMO_SERVER_POLL_COUNT places; hand them back, after poll(), to demo_server_turn(). */
void demo_server_poll(const struct demo_server *server, struct pollfd *polls);
void demo_server_turn(struct demo_server *server, const struct pollfd *polls, uint64_t now_ms);

/* When a turn is due even if nothing happens; UINT64_MAX: never. */
uint64_t demo_server_deadline_ms(const struct demo_server *server);

/* Since when the client is served that is served now; UINT64_MAX: there is none. */
uint64_t demo_server_open_since_ms(const struct demo_server *server);

/* Break the connection that is open. */
void demo_server_break(struct demo_server *server, enum demo_fault fault, uint64_t now_ms);

/* From now on nothing is broken any more: faults that still last are over. */
void demo_server_calm(struct demo_server *server, uint64_t now_ms);

/* What it does, as "connection reset (RST)". */
const char *demo_fault_text(enum demo_fault fault);

#endif
