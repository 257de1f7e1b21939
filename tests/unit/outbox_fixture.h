/*
 * An outbox whose malloc can be refused and counted: outbox.c is included here, not linked.
 */
#ifndef WSKEEP_TESTS_OUTBOX_FIXTURE_H
#define WSKEEP_TESTS_OUTBOX_FIXTURE_H

#include <check.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Every block knows its size, so that what is alive can be counted. */
static struct {
    uint64_t bytes;       /* alive */
    uint64_t block_count; /* alive */
    uint64_t malloc_count;
    uint64_t refuse_at; /* refuse the malloc with this number (from 1); 0: none */
    bool refuse_all;
} heap;

static void *counting_malloc(size_t bytes)
{
    size_t front = alignof(max_align_t);
    heap.malloc_count++;
    if (heap.refuse_all || heap.malloc_count == heap.refuse_at)
        return NULL;
    uint8_t *block = malloc(front + bytes);
    ck_assert_ptr_nonnull(block);
    memcpy(block, &bytes, sizeof bytes);
    heap.bytes += bytes;
    heap.block_count++;
    return block + front;
}

static void counting_free(void *at)
{
    if (!at)
        return;
    uint8_t *block = (uint8_t *)at - alignof(max_align_t);
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    heap.bytes -= bytes;
    heap.block_count--;
    free(block);
}

#define malloc counting_malloc
#define free counting_free
#include "core/outbox.c"
#undef malloc
#undef free

enum {
    RING_BYTES_MIN = sizeof(struct outbox_ring) + ENTRY_CAPACITY_MIN * sizeof(struct outbox_entry),
    EMPTY_BYTES_MAX = RING_BYTES_MIN + sizeof(struct outbox_chunk) + CHUNK_BYTES_MAX,
    MESSAGES_MAX = 1000,
    BYTES_MAX = 1 << 20
};

static struct outbox outbox;
static struct budget budget;
static uint64_t offset; /* of the connection's stream: all that was encoded */
static uint8_t filler[BYTES_MAX + 1];

static inline void setup(void)
{
    memset(&heap, 0, sizeof heap);
    budget = (struct budget){.bytes_max = 1u << 30};
    offset = 0;
    outbox_init(&outbox, MESSAGES_MAX, BYTES_MAX, &budget);
    for (size_t i = 0; i < sizeof filler; i++)
        filler[i] = (uint8_t)(i * 7 + (i >> 8));
}

static inline enum outbox_result push_message(enum frame_opcode opcode, const uint8_t *payload,
                                              size_t bytes)
{
    struct outbox_message message = {.opcode = opcode, .payload = payload, .payload_bytes = bytes};
    return outbox_push(&outbox, &message);
}

static inline enum outbox_result push_masked(enum frame_opcode opcode, const uint8_t *payload,
                                             size_t bytes)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t *masked = malloc(bytes + 1);
    ck_assert_ptr_nonnull(masked);
    for (size_t i = 0; i < bytes; i++)
        masked[i] = payload[i] ^ key[i % 4];
    struct outbox_message message = {
        .opcode = opcode, .payload = masked, .payload_bytes = bytes, .mask_key = key};
    enum outbox_result result = outbox_push(&outbox, &message);
    free(masked);
    return result;
}

/* In a block that may be taken over.  *taken: it was. */
static inline enum outbox_result push_block(enum frame_opcode opcode, const uint8_t *payload,
                                            size_t bytes, bool *taken)
{
    bool refuse_all = heap.refuse_all;
    uint64_t count = heap.malloc_count;
    heap.refuse_all = false;
    uint8_t *block = counting_malloc(bytes + 1);
    heap.refuse_all = refuse_all;
    heap.malloc_count = count;
    memcpy(block, payload, bytes);
    struct outbox_message message = {
        .opcode = opcode, .payload = block, .payload_bytes = bytes, .block = block};
    enum outbox_result result = outbox_push(&outbox, &message);
    *taken = message.block == NULL;
    ck_assert(result == OUTBOX_OK || !*taken);
    if (!*taken) {
        memset(block, 'x', bytes); /* the caller's again */
        counting_free(block);
    }
    return result;
}

static inline void teardown(void)
{
    outbox_check(&outbox);
    outbox_clear(&outbox);
    ck_assert_uint_eq(heap.bytes, 0);
    ck_assert_uint_eq(heap.block_count, 0);
    ck_assert_uint_eq(budget.bytes, 0);
}

#endif
