/*
 * permessage-deflate on one connection: how it was agreed on, and when its memory goes back.
 */
#ifndef WSKEEP_NET_COMPRESSION_H
#define WSKEEP_NET_COMPRESSION_H

#include "proto/deflate_offer.h"
#include "proto/message.h"

struct conn;

enum {
    COMPRESSION_QUIET_MS = 5000,  /* without a message: memory is given back */
    COMPRESSION_BYTES = 64 * 1024 /* that is then about so much */
};

/* Of a connection that agreed on it; everywhere below NULL is allowed: it did not. */
struct compression {
    struct deflate_writer writer; /* the reading half is in the message_reader */
    uint64_t used_ms;             /* the last message passed; 0: nothing can be given back */
};

/* The handshake has agreed on terms.  NULL when there is no memory, and nothing has changed then.
 */
struct compression *compression_new(struct message_reader *reader,
                                    const struct deflate_terms *terms, bool is_server);

/* The connection is gone. */
void compression_free(struct compression *compression);

/* A message passed. */
static inline void compression_used(struct compression *compression, uint64_t now_ms)
{
    if (compression)
        compression->used_ms = now_ms;
}

/*
 * How much may be read at a time.  A deflated byte stands for up to 1032: a full receive buffer
 * would become 256 MiB before anyone asks whether there is room.
 */
size_t compression_read_bytes_max(const struct conn *conn, bool may_be_deflated);

/* When compression_timer() has something to do. */
uint64_t compression_deadline_ms(const struct compression *compression);

/* is_busy: a message of the writer is on its way.  Returns the bytes that were given back, about.
 */
size_t compression_timer(struct compression *compression, struct message_reader *reader,
                         bool is_busy, uint64_t now_ms);

#endif
