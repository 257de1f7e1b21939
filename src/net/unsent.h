/*
 * Bytes that a connection owes its peer because the kernel did not take them yet.
 *
 * A list of chunks: bytes never move, and memory goes back as they leave.  Empty, it owns nothing.
 */
#ifndef WSKEEP_NET_UNSENT_H
#define WSKEEP_NET_UNSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/budget.h"

struct unsent_chunk {
    struct unsent_chunk *next;
    struct unsent_chunk *last; /* of all; this, all_bytes and budget in the first one only */
    uint64_t all_bytes;
    struct budget *budget; /* what is owed is counted there; NULL: nowhere */
    uint32_t begin;        /* of what is still owed */
    uint32_t end;
    uint32_t capacity;
    uint8_t bytes[];
};

struct unsent {
    struct unsent_chunk *first; /* NULL: nothing is owed */
};

static inline uint64_t unsent_bytes(const struct unsent *unsent)
{
    return unsent->first ? unsent->first->all_bytes : 0;
}

/* Forget all that is left. */
void unsent_clear(struct unsent *unsent);

/* Copy in at the end.  budget: the same for all that is owed at a time; may be NULL.  False when
 * there is no memory: nothing was added then. */
bool unsent_append(struct unsent *unsent, struct budget *budget, const void *data, size_t bytes);

/* The front, for writev(): at most count pieces.  Returns how many. */
int unsent_front(const struct unsent *unsent, struct iovec *pieces, int count);

/* So many bytes of the front left. */
void unsent_consume(struct unsent *unsent, size_t bytes);

/* All of `from` is `to`'s now; `to` was empty. */
void unsent_move(struct unsent *to, struct unsent *from);

#endif
