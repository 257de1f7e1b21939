/*
 * The session's messages from client to upstream that are not acknowledged yet, in order.
 *
 * Two cursors walk over it:
 *
 *     head ... acknowledged and gone
 *     [ exposed: some server may have it ][ sent on this connection ][ waiting ]
 *     ^ first_sequence                      ^ next_sequence to send       ^ end
 *
 * A message is copied in once, or taken over where it is a large block of its own, and stays at
 * its address until it leaves.  Payloads are plain (unmasked, uncompressed).  Memory comes in
 * chunks that are given back as their last message leaves.  The ring has room for what waited when
 * the last acknowledgement came, so that a steady stream never copies it.  An empty outbox keeps
 * it, and one chunk (1 to 16 KiB), until outbox_trim().
 */
#ifndef WSKEEP_CORE_OUTBOX_H
#define WSKEEP_CORE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/budget.h"
#include "proto/frame.h"

enum outbox_result {
    OUTBOX_OK,
    OUTBOX_FULL,        /* fits later: stop reading from this client */
    OUTBOX_ERR_TOO_BIG, /* can never fit: over payload_bytes_max, or over the whole budget */
    OUTBOX_ERR_MEMORY   /* malloc said no: treated as full, and logged */
};

/* What one message costs besides its payload, in the budget. */
enum { OUTBOX_OVERHEAD_BYTES = 48 };

/* A message on its way in. */
struct outbox_message {
    enum frame_opcode opcode; /* FRAME_TEXT or FRAME_BINARY */
    const uint8_t *payload;   /* the caller's; NULL is allowed when it is empty */
    size_t payload_bytes;
    const uint8_t *mask_key; /* 4 bytes: the payload is as it came, masked; NULL: it is plain */
    uint8_t *block;          /* of malloc(), with the payload at its front and little besides: the
                                outbox may take it over instead of a copy, and sets this to NULL
                                then; NULL: there is none */
};

struct outbox_chunk;

struct outbox_entry {
    const uint8_t *payload;     /* never NULL, even when empty */
    struct outbox_chunk *chunk; /* NULL: payload is a block of its own */
    uint64_t end_offset; /* in the byte stream of the current connection: after its last byte;
                            0 until it was encoded there */
    uint32_t payload_bytes;
    uint8_t opcode; /* FRAME_TEXT or FRAME_BINARY */
    bool exposed;   /* its last byte was handed to the kernel on some connection */
};

/* What only messages need. */
struct outbox_ring {
    uint32_t capacity;         /* power of two */
    uint32_t first;            /* index of the head */
    uint64_t written_sequence; /* all before it are wholly with the kernel on this connection */
    struct outbox_chunk *chunk_last; /* being filled; NULL: none yet */
    struct outbox_entry entries[];
};

struct outbox {
    struct outbox_ring *ring; /* NULL before the first message, and after a trim */
    uint32_t entry_count;
    uint32_t entry_count_max;
    uint64_t first_sequence; /* of the head; the first message of a session is 1 */
    uint64_t next_sequence;  /* the next one to send on this connection */
    uint64_t payload_bytes;
    uint64_t payload_bytes_max;
#ifdef WSKEEP_CHECKS
    uint32_t unchecked_count; /* entries that changes have paid for since the last walk */
#endif
    struct budget *budget;
};

void outbox_init(struct outbox *outbox, uint32_t entry_count_max, uint64_t payload_bytes_max,
                 struct budget *budget);
void outbox_clear(struct outbox *outbox);

/* A reload: lower limits stop new messages, never drop old ones. */
void outbox_set_limits(struct outbox *outbox, uint32_t entry_count_max, uint64_t payload_bytes_max);

/* Copy a message in at the end, unmasked; or take it over. */
enum outbox_result outbox_push(struct outbox *outbox, struct outbox_message *message);

/* True while outbox_push() of so many bytes would say OUTBOX_FULL. */
bool outbox_would_be_full(const struct outbox *outbox, size_t payload_bytes);

/* The next message to send on this connection, or NULL. */
struct outbox_entry *outbox_next(struct outbox *outbox);

/* outbox_next() was taken to be encoded: the cursor moves past it. */
void outbox_advance(struct outbox *outbox);

/* The message before the cursor was encoded up to end_offset of the connection's stream. */
void outbox_encoded(struct outbox *outbox, uint64_t end_offset);

/*
 * The kernel has taken the stream up to written_offset: mark what that exposes.
 * Returns the sequence of the last message still here that is wholly written on this
 * connection, 0 for none.
 */
uint64_t outbox_written(struct outbox *outbox, uint64_t written_offset);

/* All up to sequence are acknowledged: they leave.  Returns how many left.  Nobody can
 * acknowledge what was not encoded on this connection: a larger sequence is asserted. */
uint32_t outbox_acknowledge(struct outbox *outbox, uint64_t sequence);

/* The connection is gone: send again from the head. */
void outbox_rewind(struct outbox *outbox);

/* After a rewind: how many messages some server may have, which the next connection repeats. */
uint32_t outbox_exposed_count(const struct outbox *outbox);

/*
 * Drop the oldest message, for `overflow: drop-oldest`.  It may have been sent already: then
 * nobody knows whether it arrived, and it counts as given up all the same.  A message that was
 * encoded but not wholly written is in the middle of its frame and stays.  False when the oldest
 * must stay, or there is none.  *payload_bytes gets its size.
 */
bool outbox_can_drop_oldest(const struct outbox *outbox);
bool outbox_drop_oldest(struct outbox *outbox, uint64_t *payload_bytes);

/* Everything leaves (the session gives up).  Returns how many. */
uint32_t outbox_drop_all(struct outbox *outbox, uint64_t *payload_bytes);

/* An empty outbox gives back the little that it keeps for the next message.  Returns how much. */
size_t outbox_trim(struct outbox *outbox);

/* It would give back something. */
static inline bool outbox_can_trim(const struct outbox *outbox)
{
    return outbox->entry_count == 0 && outbox->ring != NULL;
}

/* Walk the whole structure and assert its invariants; in builds without WSKEEP_CHECKS nothing. */
void outbox_check(const struct outbox *outbox);

static inline bool outbox_is_empty(const struct outbox *outbox)
{
    return outbox->entry_count == 0;
}

/* True when messages were sent on this connection and not acknowledged. */
static inline bool outbox_has_unacknowledged(const struct outbox *outbox)
{
    return outbox->next_sequence > outbox->first_sequence;
}

#endif
