/*
 * Connections that have ended: their last bytes go out, writing is shut down, and what still
 * arrives is read and dropped until EOF, so that nothing of ours is lost to a reset (RFC 6455
 * 7.1.1).  Bounded: LINGER_READ_MS after the shutdown, LINGER_WRITE_MS without progress before.
 */
#ifndef WSKEEP_NET_LINGER_H
#define WSKEEP_NET_LINGER_H

#include "net/conn.h"

enum { LINGER_READ_MS = 2000, LINGER_WRITE_MS = 5000 };

/* Take the socket and its unsent bytes over; conn is empty afterwards. */
void linger_adopt(struct conn *conn);

#endif
