/* The outbox: a ring of entries, and their payloads in chunks. */
#include "core/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mask.h"

enum {
    ENTRY_CAPACITY_MIN = 16, /* stays, once there was a message: an echo pushes and acknowledges
                                one message all day */
    ENTRY_CAPACITY_MAX = 1 << 30,
    CHUNK_BYTES_MIN = 1024,      /* the first one: most sessions never need more */
    CHUNK_BYTES_MAX = 16 * 1024, /* a larger message is a block of its own */
    CHUNK_GROWTH = 4
};

/* Payloads one behind the other.  Freed when its last message has left, unless it is the one
 * being filled: that is filled again from its start. */
struct outbox_chunk {
    uint32_t live_count;
    uint32_t used;
    uint32_t capacity;
    uint8_t bytes[];
};

/* The entry of a sequence that is in the outbox, or of the one after the last. */
static struct outbox_entry *outbox_entry_of(const struct outbox *outbox, uint64_t sequence)
{
    struct outbox_ring *ring = outbox->ring;
    assert(ring);
    uint32_t index = ring->first + (uint32_t)(sequence - outbox->first_sequence);
    return &ring->entries[index & (ring->capacity - 1)];
}

/* See struct outbox_ring: without messages it is the next one. */
static uint64_t outbox_written_sequence(const struct outbox *outbox)
{
    return outbox->ring ? outbox->ring->written_sequence : outbox->first_sequence;
}

#ifdef WSKEEP_CHECKS
enum { OUTBOX_CHECKED_EACH = 64 };

/* What one entry has to be, by its place among the cursors. */
static void outbox_check_entry(const struct outbox *outbox, uint64_t sequence, bool exposed_before,
                               uint64_t end_offset_before)
{
    const struct outbox_entry *entry = outbox_entry_of(outbox, sequence);
    const struct outbox_chunk *chunk = entry->chunk;
    assert(entry->opcode == FRAME_TEXT || entry->opcode == FRAME_BINARY);
    if (chunk) {
        assert(chunk->live_count > 0 && chunk->used <= chunk->capacity);
        assert(entry->payload >= chunk->bytes);
        assert(entry->payload + entry->payload_bytes <= chunk->bytes + chunk->used);
    } else {
        assert(entry->payload_bytes > CHUNK_BYTES_MAX);
    }
    assert(!entry->exposed || exposed_before); /* sent in order: the exposed ones are the front */
    if (sequence < outbox->ring->written_sequence)
        assert(entry->exposed && entry->end_offset > 0);
    if (sequence + 1 < outbox->next_sequence) /* the newest may be about to be encoded */
        assert(entry->end_offset > end_offset_before);
    if (sequence >= outbox->next_sequence)
        assert(entry->end_offset == 0);
}

void outbox_check(const struct outbox *outbox)
{
    uint64_t payload_bytes = 0;
    uint64_t end_offset = 0;
    uint64_t end_sequence = outbox->first_sequence + outbox->entry_count;
    bool exposed = true;
    const struct outbox_chunk *chunk = NULL; /* shared by the messages before this one */
    uint32_t live_count = 0;
    if (!outbox->ring) {
        assert(outbox->entry_count == 0 && outbox->payload_bytes == 0);
        return;
    }
    assert((outbox->ring->capacity & (outbox->ring->capacity - 1)) == 0);
    assert(outbox->entry_count <= outbox->ring->capacity);
    for (uint64_t sequence = outbox->first_sequence; sequence < end_sequence; sequence++) {
        const struct outbox_entry *entry = outbox_entry_of(outbox, sequence);
        outbox_check_entry(outbox, sequence, exposed, end_offset);
        exposed = entry->exposed;
        end_offset = entry->end_offset;
        payload_bytes += entry->payload_bytes;
        if (!entry->chunk)
            continue;
        if (entry->chunk != chunk) {
            assert(!chunk || chunk->live_count == live_count);
            chunk = entry->chunk;
            live_count = 0;
        }
        live_count++;
    }
    assert(!chunk || (chunk->live_count == live_count && chunk == outbox->ring->chunk_last));
    assert(payload_bytes == outbox->payload_bytes);
}
#else
void outbox_check(const struct outbox *outbox)
{
    (void)outbox;
}
#endif

/*
 * After every change: what costs nothing, and in test builds everything; of a long outbox now and
 * then, so that a walk costs as much as OUTBOX_CHECKED_EACH entries for each change.
 */
static void outbox_assert(struct outbox *outbox)
{
    assert(outbox->first_sequence <= outbox_written_sequence(outbox));
    assert(outbox_written_sequence(outbox) <= outbox->next_sequence);
    assert(outbox->next_sequence <= outbox->first_sequence + outbox->entry_count);
#ifdef WSKEEP_CHECKS
    outbox->unchecked_count += OUTBOX_CHECKED_EACH;
    if (outbox->unchecked_count < outbox->entry_count)
        return;
    outbox->unchecked_count = 0;
    outbox_check(outbox);
#endif
}

void outbox_init(struct outbox *outbox, uint32_t entry_count_max, uint64_t payload_bytes_max,
                 struct budget *budget)
{
    assert(entry_count_max > 0 && payload_bytes_max > 0);
    *outbox = (struct outbox){.entry_count_max = entry_count_max,
                              .payload_bytes_max = payload_bytes_max,
                              .first_sequence = 1,
                              .next_sequence = 1,
                              .budget = budget};
}

void outbox_set_limits(struct outbox *outbox, uint32_t entry_count_max, uint64_t payload_bytes_max)
{
    assert(entry_count_max > 0 && payload_bytes_max > 0);
    outbox->entry_count_max = entry_count_max;
    outbox->payload_bytes_max = payload_bytes_max;
}

static size_t ring_bytes(uint32_t capacity)
{
    return sizeof(struct outbox_ring) + capacity * sizeof(struct outbox_entry);
}

static bool outbox_resize(struct outbox *outbox, uint32_t capacity)
{
    struct outbox_ring *ring = malloc(ring_bytes(capacity));
    if (!ring)
        return false;
    *ring = (struct outbox_ring){.capacity = capacity,
                                 .written_sequence = outbox_written_sequence(outbox),
                                 .chunk_last = outbox->ring ? outbox->ring->chunk_last : NULL};
    for (uint32_t i = 0; i < outbox->entry_count; i++)
        ring->entries[i] = *outbox_entry_of(outbox, outbox->first_sequence + i);
    free(outbox->ring);
    outbox->ring = ring;
    return true;
}

static bool outbox_grow(struct outbox *outbox)
{
    if (!outbox->ring)
        return outbox_resize(outbox, ENTRY_CAPACITY_MIN);
    return outbox->ring->capacity < ENTRY_CAPACITY_MAX &&
           outbox_resize(outbox, outbox->ring->capacity * 2);
}

/* ---- chunks ------------------------------------------------------------------------------- */

/* Larger chunks the more there is waiting, so that a backlog costs few of them. */
static size_t chunk_capacity(const struct outbox *outbox, size_t payload_bytes)
{
    size_t capacity = CHUNK_BYTES_MIN;
    while (capacity < CHUNK_BYTES_MAX &&
           (capacity < payload_bytes || capacity < outbox->payload_bytes))
        capacity *= CHUNK_GROWTH;
    return capacity;
}

/* A chunk that the next payload fits into; NULL when there is no memory for one. */
static struct outbox_chunk *chunk_with_room(struct outbox *outbox, size_t payload_bytes)
{
    struct outbox_chunk *last = outbox->ring->chunk_last;
    if (last && last->live_count == 0)
        last->used = 0;
    if (last && payload_bytes <= last->capacity - last->used)
        return last;

    size_t capacity = chunk_capacity(outbox, payload_bytes);
    struct outbox_chunk *chunk = malloc(sizeof *chunk + capacity);
    if (!chunk)
        return NULL;
    *chunk = (struct outbox_chunk){.capacity = (uint32_t)capacity};
    if (last && last->live_count == 0)
        free(last);
    outbox->ring->chunk_last = chunk;
    return chunk;
}

static void payload_release(struct outbox *outbox, const struct outbox_entry *entry)
{
    struct outbox_chunk *chunk = entry->chunk;
    if (!chunk) {
        free((void *)(uintptr_t)entry->payload);
        return;
    }
    assert(chunk->live_count > 0);
    if (--chunk->live_count == 0 && chunk != outbox->ring->chunk_last)
        free(chunk);
}

/* Where the payload is going to stay; *chunk: of others, too.  NULL when there is no memory. */
static uint8_t *payload_place(struct outbox *outbox, struct outbox_message *message,
                              struct outbox_chunk **chunk)
{
    *chunk = NULL;
    if (message->payload_bytes > CHUNK_BYTES_MAX)
        return message->block ? message->block : malloc(message->payload_bytes);
    *chunk = chunk_with_room(outbox, message->payload_bytes);
    if (!*chunk)
        return NULL;
    uint8_t *at = (*chunk)->bytes + (*chunk)->used;
    (*chunk)->used += (uint32_t)message->payload_bytes;
    (*chunk)->live_count++;
    return at;
}

static void payload_put(struct outbox_message *message, uint8_t *at)
{
    size_t bytes = message->payload_bytes;
    if (message->mask_key)
        mask_copy(at, message->payload, bytes, message->mask_key, 0);
    else if (at != message->payload && bytes > 0)
        memcpy(at, message->payload, bytes);
    if (at == message->block)
        message->block = NULL; /* it is ours now */
}

/* ---- in and out --------------------------------------------------------------------------- */

static uint64_t outbox_cost(size_t payload_bytes)
{
    return (uint64_t)payload_bytes + OUTBOX_OVERHEAD_BYTES;
}

/* It would not fit into an empty outbox, with all other outboxes empty too. */
static bool outbox_is_too_big(const struct outbox *outbox, size_t payload_bytes)
{
    return payload_bytes > UINT32_MAX || payload_bytes > outbox->payload_bytes_max ||
           outbox_cost(payload_bytes) > outbox->budget->bytes_max;
}

static bool outbox_is_full_for(const struct outbox *outbox, size_t payload_bytes)
{
    return outbox->entry_count >= outbox->entry_count_max ||
           outbox->payload_bytes > outbox->payload_bytes_max ||
           payload_bytes > outbox->payload_bytes_max - outbox->payload_bytes;
}

bool outbox_would_be_full(const struct outbox *outbox, size_t payload_bytes)
{
    return !outbox_is_too_big(outbox, payload_bytes) &&
           (outbox_is_full_for(outbox, payload_bytes) ||
            !budget_has_room(outbox->budget, outbox_cost(payload_bytes)));
}

enum outbox_result outbox_push(struct outbox *outbox, struct outbox_message *message)
{
    size_t payload_bytes = message->payload_bytes;
    assert(message->opcode == FRAME_TEXT || message->opcode == FRAME_BINARY);
    assert(!message->block || message->payload == message->block);
    if (outbox_is_too_big(outbox, payload_bytes))
        return OUTBOX_ERR_TOO_BIG;
    if (outbox_is_full_for(outbox, payload_bytes))
        return OUTBOX_FULL;
    uint64_t cost = outbox_cost(payload_bytes);
    if (!budget_has_room(outbox->budget, cost)) {
        budget_refuse(outbox->budget);
        return OUTBOX_FULL;
    }
    if ((!outbox->ring || outbox->entry_count == outbox->ring->capacity) && !outbox_grow(outbox))
        return OUTBOX_ERR_MEMORY;
    struct outbox_chunk *chunk;
    uint8_t *at = payload_place(outbox, message, &chunk);
    if (!at)
        return OUTBOX_ERR_MEMORY;
    payload_put(message, at);
    *outbox_entry_of(outbox, outbox->first_sequence + outbox->entry_count++) =
        (struct outbox_entry){.payload = at,
                              .chunk = chunk,
                              .payload_bytes = (uint32_t)payload_bytes,
                              .opcode = (uint8_t)message->opcode};
    outbox->payload_bytes += payload_bytes;
    budget_take(outbox->budget, cost);
    outbox_assert(outbox);
    return OUTBOX_OK;
}

/* The head leaves, whatever the reason. */
static void outbox_pop(struct outbox *outbox)
{
    struct outbox_ring *ring = outbox->ring;
    struct outbox_entry *entry = outbox_entry_of(outbox, outbox->first_sequence);
    if (outbox->next_sequence == outbox->first_sequence)
        outbox->next_sequence++;
    outbox->payload_bytes -= entry->payload_bytes;
    budget_give(outbox->budget, outbox_cost(entry->payload_bytes));
    payload_release(outbox, entry);
    ring->first = (ring->first + 1) & (ring->capacity - 1);
    outbox->entry_count--;
    outbox->first_sequence++;
    if (ring->written_sequence < outbox->first_sequence)
        ring->written_sequence = outbox->first_sequence;
}

/* A ring that a backlog has grown is given back when a quarter of it is enough for needed_count. */
static void outbox_shrink(struct outbox *outbox, uint32_t needed_count)
{
    if (!outbox->ring)
        return;
    uint32_t capacity = outbox->ring->capacity;
    while (capacity > ENTRY_CAPACITY_MIN && needed_count <= capacity / 4)
        capacity /= 2;
    if (capacity != outbox->ring->capacity)
        (void)outbox_resize(outbox, capacity); /* without memory for it, it stays as it is */
}

size_t outbox_trim(struct outbox *outbox)
{
    struct outbox_ring *ring = outbox->ring;
    if (!outbox_can_trim(outbox))
        return 0;
    size_t bytes = ring_bytes(ring->capacity);
    if (ring->chunk_last)
        bytes += sizeof *ring->chunk_last + ring->chunk_last->capacity;
    free(ring->chunk_last);
    free(ring);
    outbox->ring = NULL;
    return bytes;
}

void outbox_clear(struct outbox *outbox)
{
    while (outbox->entry_count > 0)
        outbox_pop(outbox);
    (void)outbox_trim(outbox);
}

/* ---- the connection's cursors ------------------------------------------------------------- */

struct outbox_entry *outbox_next(struct outbox *outbox)
{
    if (outbox->next_sequence - outbox->first_sequence >= outbox->entry_count)
        return NULL;
    return outbox_entry_of(outbox, outbox->next_sequence);
}

void outbox_advance(struct outbox *outbox)
{
    assert(outbox_next(outbox) != NULL);
    outbox->next_sequence++;
}

void outbox_encoded(struct outbox *outbox, uint64_t end_offset)
{
    assert(outbox_has_unacknowledged(outbox));
    struct outbox_entry *entry = outbox_entry_of(outbox, outbox->next_sequence - 1);
    assert(entry->end_offset == 0 && end_offset > 0);
    entry->end_offset = end_offset;
}

uint64_t outbox_written(struct outbox *outbox, uint64_t written_offset)
{
    struct outbox_ring *ring = outbox->ring;
    if (!ring)
        return 0;
    while (ring->written_sequence < outbox->next_sequence) {
        struct outbox_entry *entry = outbox_entry_of(outbox, ring->written_sequence);
        if (entry->end_offset == 0 || entry->end_offset > written_offset)
            break;
        entry->exposed = true;
        ring->written_sequence++;
    }
    return ring->written_sequence > outbox->first_sequence ? ring->written_sequence - 1 : 0;
}

uint32_t outbox_acknowledge(struct outbox *outbox, uint64_t sequence)
{
    if (sequence < outbox->first_sequence)
        return 0;                             /* an older word than the last one */
    assert(sequence < outbox->next_sequence); /* our own barrier covers what was sent, and ... */
    assert(outbox_entry_of(outbox, sequence)->end_offset > 0); /* ... wholly encoded */
    uint32_t count = 0;
    uint32_t count_before = outbox->entry_count; /* as many gather again until the next Pong */
    for (; outbox->first_sequence <= sequence; count++)
        outbox_pop(outbox);
    outbox_shrink(outbox, count_before);
    outbox_assert(outbox);
    return count;
}

void outbox_rewind(struct outbox *outbox)
{
    for (uint64_t sequence = outbox->first_sequence; sequence < outbox->next_sequence; sequence++)
        outbox_entry_of(outbox, sequence)->end_offset = 0;
    outbox->next_sequence = outbox->first_sequence;
    if (outbox->ring)
        outbox->ring->written_sequence = outbox->first_sequence;
    outbox_assert(outbox);
}

/* Messages are sent in order, so the exposed ones are the front, of this connection or of an
 * earlier one that came further. */
uint32_t outbox_exposed_count(const struct outbox *outbox)
{
    uint32_t count = 0;
    while (count < outbox->entry_count &&
           outbox_entry_of(outbox, outbox->first_sequence + count)->exposed)
        count++;
    return count;
}

bool outbox_can_drop_oldest(const struct outbox *outbox)
{
    bool in_mid_frame = outbox->next_sequence > outbox->first_sequence &&
                        outbox_written_sequence(outbox) == outbox->first_sequence;
    return outbox->entry_count > 0 && !in_mid_frame;
}

bool outbox_drop_oldest(struct outbox *outbox, uint64_t *payload_bytes)
{
    if (!outbox_can_drop_oldest(outbox))
        return false;
    *payload_bytes = outbox_entry_of(outbox, outbox->first_sequence)->payload_bytes;
    outbox_pop(outbox);
    outbox_shrink(outbox, outbox->entry_count);
    outbox_assert(outbox);
    return true;
}

uint32_t outbox_drop_all(struct outbox *outbox, uint64_t *payload_bytes)
{
    uint32_t count = outbox->entry_count;
    *payload_bytes = outbox->payload_bytes;
    while (outbox->entry_count > 0)
        outbox_pop(outbox);
    outbox_shrink(outbox, 0);
    outbox_assert(outbox);
    return count;
}
