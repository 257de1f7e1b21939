/* What conn.c and conn_tls.c share: the bytes of the socket themselves. */
#ifndef WSKEEP_NET_CONN_PRIVATE_H
#define WSKEEP_NET_CONN_PRIVATE_H

#include "net/conn.h"

/* Write these pieces of so many bytes together; what the kernel does not take is kept. */
void conn_put(struct conn *conn, struct iovec *pieces, int count, size_t bytes);

/* Nothing more will be read. */
void conn_end_reading(struct conn *conn);

#endif
