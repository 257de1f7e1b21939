/*
 * Connections that have ended for their session: the last bytes go out, the peer's Close is waited
 * for where it is still owed (RFC 6455 section 7.1.1: TCP ends after both were sent), our side is
 * shut, and what the peer still sends is read and dropped until its end, so that no RST takes the
 * last bytes from it again.
 */
#ifndef WSKEEP_NET_LINGER_H
#define WSKEEP_NET_LINGER_H

#include <stdint.h>

struct conn;
struct message_reader;
struct worker;

enum {
    LINGER_CLOSE_MS = 2000,     /* after our Close, for the peer's */
    LINGER_READ_MS = 2000,      /* after our side was shut, for the peer's end */
    LINGER_UPSTREAM_MS = 5000,  /* for an upstream that does not take the last bytes */
    LINGER_CLIENT_MS_MIN = 2000 /* the same for a client, which gets drain_timeout if longer */
};

/*
 * Take the socket and the unsent bytes of conn, which has none afterwards.
 *
 * reader    that of its frames, where the peer's Close is still to come: taken over; else NULL
 * stall_ms  what was not taken by the peer's TCP waits so long without progress before it is given
 *           up, which is logged
 * who       in that line, "game#12"; copied
 */
void linger_take(struct worker *worker, struct conn *conn, struct message_reader *reader,
                 uint64_t stall_ms, const char *who);

/* The daemon stops: each of them, also later ones, has its stall_ms in all. */
void linger_hurry(struct worker *worker);

/* Close all of them now: the process ends. */
void linger_end_all(struct worker *worker);

#endif
