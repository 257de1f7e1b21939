/*
 * What a client has sent and what was not taken yet: while the outbox is full, or before the 101.
 *
 * At most one message that was refused, and the bytes behind it, which nobody has looked at.
 */
#ifndef WSKEEP_NET_CLIENT_KEPT_H
#define WSKEEP_NET_CLIENT_KEPT_H

#include "proto/message.h"

/* Exists while something is kept. */
struct client_kept {
    uint8_t *bytes;
    size_t begin;
    size_t end;
    bool has_message; /* one that was refused comes first */
    enum frame_opcode opcode;
    const uint8_t *payload; /* in bytes, or in the reader's buffer */
    size_t payload_bytes;
    uint64_t first_sequence; /* of the outbox, when it was refused: later there may be room */
};

void client_kept_drop(struct client_kept **kept);

static inline bool client_kept_has_message(const struct client_kept *kept)
{
    return kept && kept->has_message;
}

/*
 * A message that reader found was refused, and rest is what was read behind it.  Where both are in
 * the kept bytes already, or the message in the reader's buffer, they stay.  False when there is no
 * memory.
 */
bool client_kept_refused(struct client_kept **place, const struct message_reader *reader,
                         const struct message *message, const uint8_t *rest, size_t rest_bytes);

/* More, behind what is kept already.  False when there is no memory. */
bool client_kept_append(struct client_kept **place, const uint8_t *data, size_t bytes);

/* How many whole messages there are behind the one that was refused; kept may be NULL.  They are
 * not read after this: the client has ended. */
uint32_t client_kept_count(struct client_kept *kept, struct message_reader *reader,
                           uint64_t *bytes);

#endif
