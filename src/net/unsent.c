/* Bytes that the kernel did not take yet, in chunks. */
#include "net/unsent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_BYTES_MIN = 2 * 1024,
    CHUNK_BYTES_MAX = 64 * 1024 /* under malloc's threshold for mmap() */
};

static void drop_first(struct unsent *unsent)
{
    struct unsent_chunk *chunk = unsent->first;
    struct unsent_chunk *next = chunk->next;
    if (next) {
        next->last = chunk->last;
        next->all_bytes = chunk->all_bytes;
        next->budget = chunk->budget;
    }
    unsent->first = next;
    free(chunk);
}

static void give(struct unsent *unsent, uint64_t bytes)
{
    if (unsent->first && unsent->first->budget)
        budget_give(unsent->first->budget, bytes);
}

void unsent_clear(struct unsent *unsent)
{
    give(unsent, unsent_bytes(unsent));
    while (unsent->first)
        drop_first(unsent);
}

/* Chunks that are not linked yet, enough for bytes: all or nothing. */
static struct unsent_chunk *chunks_new(uint64_t owed_bytes, size_t bytes)
{
    struct unsent_chunk *chunks = NULL;
    while (bytes > 0) {
        size_t capacity = CHUNK_BYTES_MIN; /* the more is owed, the larger */
        while (capacity < CHUNK_BYTES_MAX && (capacity < bytes || capacity < owed_bytes))
            capacity *= 2;
        struct unsent_chunk *chunk = malloc(sizeof(*chunk) + capacity);
        if (!chunk) {
            while (chunks) {
                chunk = chunks->next;
                free(chunks);
                chunks = chunk;
            }
            return NULL;
        }
        *chunk = (struct unsent_chunk){.next = chunks, .capacity = (uint32_t)capacity};
        chunks = chunk;
        bytes -= capacity < bytes ? capacity : bytes;
    }
    return chunks;
}

static size_t chunk_fill(struct unsent_chunk *chunk, const uint8_t *data, size_t bytes)
{
    size_t room = chunk->capacity - chunk->end;
    if (bytes > room)
        bytes = room;
    memcpy(chunk->bytes + chunk->end, data, bytes);
    chunk->end += (uint32_t)bytes;
    return bytes;
}

bool unsent_append(struct unsent *unsent, struct budget *budget, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    size_t left = bytes;
    uint64_t owed_bytes = unsent_bytes(unsent);
    struct unsent_chunk *last = unsent->first ? unsent->first->last : NULL;
    size_t room = last ? last->capacity - last->end : 0;
    struct unsent_chunk *fresh = NULL;
    if (left > room) {
        fresh = chunks_new(owed_bytes, left - room);
        if (!fresh)
            return false;
    }
    if (room > 0 && left > 0) {
        size_t done = chunk_fill(last, at, left);
        at += done;
        left -= done;
    }
    while (fresh) {
        struct unsent_chunk *chunk = fresh;
        fresh = chunk->next;
        chunk->next = NULL;
        size_t done = chunk_fill(chunk, at, left);
        at += done;
        left -= done;
        if (last)
            last->next = chunk;
        else
            unsent->first = chunk;
        last = chunk;
    }
    assert(left == 0);
    if (unsent->first) {
        unsent->first->last = last;
        unsent->first->all_bytes = owed_bytes + bytes;
        unsent->first->budget = budget;
    }
    if (budget)
        budget_take(budget, bytes);
    return true;
}

int unsent_front(const struct unsent *unsent, struct iovec *pieces, int count)
{
    int found = 0;
    for (struct unsent_chunk *chunk = unsent->first; chunk && found < count; chunk = chunk->next)
        pieces[found++] = (struct iovec){.iov_base = chunk->bytes + chunk->begin,
                                         .iov_len = chunk->end - chunk->begin};
    return found;
}

void unsent_consume(struct unsent *unsent, size_t bytes)
{
    assert(bytes <= unsent_bytes(unsent));
    if (bytes > 0)
        unsent->first->all_bytes -= bytes;
    give(unsent, bytes);
    while (bytes > 0) {
        struct unsent_chunk *chunk = unsent->first;
        size_t piece = chunk->end - chunk->begin;
        if (bytes < piece) {
            chunk->begin += (uint32_t)bytes;
            return;
        }
        bytes -= piece;
        drop_first(unsent);
    }
}

void unsent_move(struct unsent *to, struct unsent *from)
{
    assert(!to->first);
    *to = *from;
    from->first = NULL;
}
