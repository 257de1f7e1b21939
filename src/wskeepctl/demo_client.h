/*
 * The client of the demo: it connects once, sends a numbered message now and then, and has no
 * code for reconnecting.
 */
#ifndef WSKEEP_WSKEEPCTL_DEMO_CLIENT_H
#define WSKEEP_WSKEEPCTL_DEMO_CLIENT_H

#include "proto/handshake.h"
#include "wskeepctl/demo_conn.h"
#include "wskeepctl/demo_tally.h"

enum { DEMO_CLIENT_SEND_MS = 50, DEMO_CLIENT_WHY_BYTES = 192 };

enum demo_client_state {
    DEMO_CLIENT_UPGRADING,
    DEMO_CLIENT_OPEN,
    DEMO_CLIENT_CLOSING, /* it said 1000, and waits for the Close that is the receipt */
    DEMO_CLIENT_CLOSED,  /* with the receipt */
    DEMO_CLIENT_LOST     /* why says how */
};

struct demo_client {
    enum demo_client_state state;
    struct demo_conn conn;
    char key[HANDSHAKE_KEY_BYTES + 1];
    uint64_t sent; /* messages; their numbers are below */
    uint64_t next_send_ms;
    struct demo_tally replies;
    struct close_frame receipt;      /* CLOSED */
    char why[DEMO_CLIENT_WHY_BYTES]; /* LOST */
};

/* Not connected: demo_client_clear() has nothing to do. */
void demo_client_none(struct demo_client *client);

/* Connect to the Unix socket at path.  False: errno. */
bool demo_client_init(struct demo_client *client, const char *path, uint64_t message_count_max);
void demo_client_clear(struct demo_client *client);

void demo_client_poll(const struct demo_client *client, struct pollfd *poll);
void demo_client_turn(struct demo_client *client, const struct pollfd *poll, uint64_t now_ms);
uint64_t demo_client_deadline_ms(const struct demo_client *client);

/* No more messages: close with 1000 and wait for the receipt. */
void demo_client_close(struct demo_client *client);

#endif
