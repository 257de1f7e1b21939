/* The outbox: limits, cursors, memory. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "outbox_fixture.h"

static enum outbox_result push(size_t bytes)
{
    return push_message(FRAME_BINARY, filler, bytes);
}

static void push_count(unsigned count, size_t bytes)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(push(bytes), OUTBOX_OK);
}

/* Send and encode: each frame costs 8 bytes besides its payload. */
static void send_count(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct outbox_entry *entry = outbox_next(&outbox);
        ck_assert_ptr_nonnull(entry);
        offset += entry->payload_bytes + 8;
        outbox_advance(&outbox);
        outbox_encoded(&outbox, offset);
    }
}

/* ---- limits ------------------------------------------------------------------------------- */

START_TEST(a_new_outbox_is_empty_and_owns_no_memory)
{
    ck_assert(outbox_is_empty(&outbox));
    ck_assert(!outbox_has_unacknowledged(&outbox));
    ck_assert_ptr_null(outbox_next(&outbox));
    ck_assert_uint_eq(outbox.first_sequence, 1);
    ck_assert_uint_eq(outbox_written(&outbox, 1000), 0);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 0), 0);
    outbox_rewind(&outbox);
    ck_assert_uint_eq(outbox_exposed_count(&outbox), 0);
    ck_assert_uint_eq(heap.malloc_count, 0);
    outbox_clear(&outbox);
    outbox_clear(&outbox); /* twice does no harm */
}
END_TEST

START_TEST(a_message_is_copied_in_and_keeps_its_kind)
{
    uint8_t text[] = "hello";
    ck_assert_int_eq(push_message(FRAME_TEXT, text, 5), OUTBOX_OK);
    memset(text, 'x', sizeof text); /* the caller's buffer is free again */
    ck_assert_int_eq(push_message(FRAME_BINARY, filler, 3), OUTBOX_OK);
    const struct outbox_entry *entry = outbox_next(&outbox);
    ck_assert_int_eq(entry->opcode, FRAME_TEXT);
    ck_assert_uint_eq(entry->payload_bytes, 5);
    ck_assert_mem_eq(entry->payload, "hello", 5);
    send_count(1);
    entry = outbox_next(&outbox);
    ck_assert_int_eq(entry->opcode, FRAME_BINARY);
    ck_assert_mem_eq(entry->payload, filler, 3);
    send_count(1);
    ck_assert_ptr_null(outbox_next(&outbox));
}
END_TEST

START_TEST(a_masked_message_is_unmasked_on_its_way_in) /* _i: its length */
{
    ck_assert_int_eq(push_masked(FRAME_BINARY, filler + 5, (size_t)_i), OUTBOX_OK);
    const struct outbox_entry *entry = outbox_next(&outbox);
    ck_assert_uint_eq(entry->payload_bytes, (size_t)_i);
    ck_assert_mem_eq(entry->payload, filler + 5, (size_t)_i);
}
END_TEST

START_TEST(a_large_masked_message_is_unmasked_too)
{
    ck_assert_int_eq(push_masked(FRAME_BINARY, filler, 50001), OUTBOX_OK);
    ck_assert_mem_eq(outbox_next(&outbox)->payload, filler, 50001);
}
END_TEST

START_TEST(a_large_block_is_taken_over_and_a_small_one_is_copied)
{
    bool taken;
    ck_assert_int_eq(push_block(FRAME_TEXT, filler, CHUNK_BYTES_MAX, &taken), OUTBOX_OK);
    ck_assert(!taken);
    uint64_t count = heap.malloc_count;
    ck_assert_int_eq(push_block(FRAME_TEXT, filler, CHUNK_BYTES_MAX + 1, &taken), OUTBOX_OK);
    ck_assert(taken);
    ck_assert_uint_eq(heap.malloc_count, count);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_mem_eq(outbox_next(&outbox)->payload, filler, CHUNK_BYTES_MAX + i);
        send_count(1);
    }
    outbox_acknowledge(&outbox, 2);
    ck_assert_uint_le(heap.bytes, EMPTY_BYTES_MAX); /* it was given to free() */
}
END_TEST

START_TEST(a_block_for_which_there_is_no_room_stays_the_callers)
{
    bool taken;
    outbox_set_limits(&outbox, 1, BYTES_MAX);
    ck_assert_int_eq(push(1), OUTBOX_OK);
    ck_assert_int_eq(push_block(FRAME_TEXT, filler, 50000, &taken), OUTBOX_FULL);
    ck_assert(!taken);
    outbox_set_limits(&outbox, MESSAGES_MAX, 40000);
    ck_assert_int_eq(push_block(FRAME_TEXT, filler, 50000, &taken), OUTBOX_ERR_TOO_BIG);
    ck_assert(!taken);
    outbox_set_limits(&outbox, MESSAGES_MAX, BYTES_MAX);
    while (outbox.entry_count < outbox.ring->capacity)
        ck_assert_int_eq(push(1), OUTBOX_OK);
    heap.refuse_all = true; /* the ring cannot grow */
    ck_assert_int_eq(push_block(FRAME_TEXT, filler, 50000, &taken), OUTBOX_ERR_MEMORY);
    ck_assert(!taken);
}
END_TEST

START_TEST(an_empty_message_is_a_message)
{
    ck_assert_int_eq(push_message(FRAME_TEXT, NULL, 0), OUTBOX_OK);
    push_count(1, CHUNK_BYTES_MIN); /* fills a chunk to its last byte */
    ck_assert_int_eq(push_message(FRAME_TEXT, NULL, 0), OUTBOX_OK);
    ck_assert_uint_eq(outbox.entry_count, 3);
    const struct outbox_entry *entry = outbox_next(&outbox);
    ck_assert_ptr_nonnull(entry->payload);
    ck_assert_uint_eq(entry->payload_bytes, 0);
    send_count(3);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 3), 3);
}
END_TEST

START_TEST(messages_past_the_count_fit_later)
{
    push_count(MESSAGES_MAX, 1);
    ck_assert_int_eq(push(0), OUTBOX_FULL);
    ck_assert_uint_eq(outbox.entry_count, MESSAGES_MAX);
    send_count(1);
    outbox_acknowledge(&outbox, 1);
    ck_assert_int_eq(push(0), OUTBOX_OK);
    ck_assert(!budget.refused); /* it was not the budget */
}
END_TEST

static const struct {
    const char *why;
    size_t first_bytes; /* is there already */
    size_t payload_bytes;
    enum outbox_result expect;
} sizes[] = {
    {"the largest, alone", 0, BYTES_MAX, OUTBOX_OK},
    {"one more can never fit", 0, BYTES_MAX + 1, OUTBOX_ERR_TOO_BIG},
    {"one more can never fit, whatever is there", BYTES_MAX, BYTES_MAX + 1, OUTBOX_ERR_TOO_BIG},
    {"up to the last byte", 1, BYTES_MAX - 1, OUTBOX_OK},
    {"one byte too many fits later", 2, BYTES_MAX - 1, OUTBOX_FULL},
    {"nothing fits always", BYTES_MAX, 0, OUTBOX_OK},
    {"one does not", BYTES_MAX, 1, OUTBOX_FULL},
};

START_TEST(payload_bytes_have_a_limit)
{
    ck_assert_int_eq(push(sizes[_i].first_bytes), OUTBOX_OK);
    enum outbox_result got = push(sizes[_i].payload_bytes);
    ck_assert_msg(got == sizes[_i].expect, "%s: got %d", sizes[_i].why, (int)got);
    ck_assert_uint_eq(outbox.payload_bytes,
                      sizes[_i].first_bytes + (got == OUTBOX_OK ? sizes[_i].payload_bytes : 0));
}
END_TEST

START_TEST(a_length_that_no_entry_can_hold_can_never_fit)
{
    outbox_set_limits(&outbox, 1, UINT64_MAX);
    budget.bytes_max = UINT64_MAX;
    ck_assert_int_eq(push((size_t)UINT32_MAX + 1), OUTBOX_ERR_TOO_BIG); /* and is not read */
}
END_TEST

START_TEST(the_budget_of_all_sessions_is_taken_from_and_given_back)
{
    push_count(3, 100);
    ck_assert_uint_eq(budget.bytes, 3 * (100 + OUTBOX_OVERHEAD_BYTES));
    send_count(2);
    outbox_acknowledge(&outbox, 2);
    ck_assert_uint_eq(budget.bytes, 100 + OUTBOX_OVERHEAD_BYTES);
}
END_TEST

static const struct {
    const char *why;
    uint64_t others_bytes; /* of 10000 */
    size_t payload_bytes;
    enum outbox_result expect;
} budgets[] = {
    {"up to the budget's last byte", 9000, 1000 - OUTBOX_OVERHEAD_BYTES, OUTBOX_OK},
    {"one byte over it fits later", 9000, 1001 - OUTBOX_OVERHEAD_BYTES, OUTBOX_FULL},
    {"an empty message has its overhead", 10001 - OUTBOX_OVERHEAD_BYTES, 0, OUTBOX_FULL},
    {"just that", 10000 - OUTBOX_OVERHEAD_BYTES, 0, OUTBOX_OK},
    {"a budget that a reload made smaller than what is there", 20000, 0, OUTBOX_FULL},
    {"all of it", 0, 10000 - OUTBOX_OVERHEAD_BYTES, OUTBOX_OK},
    {"more than all of it never fits: waiting for room would be for ever", 0,
     10001 - OUTBOX_OVERHEAD_BYTES, OUTBOX_ERR_TOO_BIG},
};

START_TEST(the_budget_of_all_sessions_is_a_limit)
{
    budget = (struct budget){.bytes = budgets[_i].others_bytes, .bytes_max = 10000};
    ck_assert_msg(outbox_would_be_full(&outbox, budgets[_i].payload_bytes) ==
                      (budgets[_i].expect == OUTBOX_FULL),
                  "%s: and that can be asked before", budgets[_i].why);
    enum outbox_result got = push(budgets[_i].payload_bytes);
    ck_assert_msg(got == budgets[_i].expect, "%s: got %d", budgets[_i].why, (int)got);
    ck_assert(budget.refused == (got == OUTBOX_FULL));
    if (got != OUTBOX_OK)
        ck_assert_uint_eq(budget.bytes, budgets[_i].others_bytes);
    outbox_clear(&outbox);
    ck_assert_uint_eq(budget.bytes, budgets[_i].others_bytes);
    budget.bytes = 0;
}
END_TEST

START_TEST(lower_limits_stop_new_messages_and_drop_no_old_ones)
{
    push_count(10, 1000);
    outbox_set_limits(&outbox, 5, 4000);
    ck_assert_uint_eq(outbox.entry_count, 10);
    ck_assert_int_eq(push(1), OUTBOX_FULL);
    send_count(10);
    outbox_acknowledge(&outbox, 6); /* 4 messages and 4000 bytes are left */
    ck_assert_int_eq(push(1), OUTBOX_FULL);
    ck_assert_int_eq(push(0), OUTBOX_OK);
    ck_assert_int_eq(push(0), OUTBOX_FULL); /* 5 messages */
    ck_assert_int_eq(push(4001), OUTBOX_ERR_TOO_BIG);
}
END_TEST

/* ---- cursors ------------------------------------------------------------------------------ */

START_TEST(messages_go_out_in_order_and_leave_when_acknowledged)
{
    push_count(5, 10);
    send_count(3);
    ck_assert(outbox_has_unacknowledged(&outbox));
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 2), 2);
    ck_assert_uint_eq(outbox.first_sequence, 3);
    ck_assert_uint_eq(outbox.entry_count, 3);
    ck_assert_uint_eq(outbox.payload_bytes, 30);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 2), 0); /* again */
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 1), 0); /* an older word */
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 3), 1);
    ck_assert(!outbox_has_unacknowledged(&outbox));
    ck_assert_uint_eq(outbox.next_sequence, 4);
}
END_TEST

START_TEST(acknowledging_what_was_not_sent_is_our_own_mistake)
{
    push_count(2, 10);
    send_count(1);
    outbox_acknowledge(&outbox, 2);
}
END_TEST

START_TEST(acknowledging_what_was_not_encoded_is_our_own_mistake)
{
    push_count(1, 10);
    outbox_advance(&outbox);
    outbox_acknowledge(&outbox, 1);
}
END_TEST

START_TEST(advancing_past_the_end_is_our_own_mistake)
{
    outbox_advance(&outbox);
}
END_TEST

START_TEST(a_control_frame_is_no_message)
{
    push_message(FRAME_PING, filler, 1);
}
END_TEST

START_TEST(a_message_is_exposed_when_its_last_byte_is_with_the_kernel)
{
    push_count(3, 10);
    send_count(2); /* they end at 18 and 36 */
    ck_assert_uint_eq(outbox_written(&outbox, 17), 0);
    ck_assert(!outbox.ring->entries[0].exposed);
    ck_assert_uint_eq(outbox_written(&outbox, 18), 1);
    ck_assert(outbox.ring->entries[0].exposed);
    ck_assert_uint_eq(outbox_written(&outbox, 35), 1);
    ck_assert_uint_eq(outbox_written(&outbox, 36), 2);
    ck_assert_uint_eq(outbox_written(&outbox, 1000), 2); /* the third was not sent */
    outbox_advance(&outbox);
    ck_assert_uint_eq(outbox_written(&outbox, 1000), 2); /* nor encoded yet */
    outbox_encoded(&outbox, 54);
    ck_assert_uint_eq(outbox_written(&outbox, 54), 3);
    outbox_acknowledge(&outbox, 3);
    ck_assert_uint_eq(outbox_written(&outbox, 54), 0); /* none that is still here */
}
END_TEST

START_TEST(an_acknowledgement_may_come_before_we_know_it_was_written)
{
    push_count(2, 10);
    send_count(2);
    outbox_acknowledge(&outbox, 1);
    ck_assert_uint_eq(outbox.ring->written_sequence, 2);
    ck_assert_uint_eq(outbox_written(&outbox, 36), 2);
}
END_TEST

START_TEST(a_new_connection_sends_again_from_the_head)
{
    push_count(5, 10);
    send_count(4);
    outbox_written(&outbox, 54);
    outbox_acknowledge(&outbox, 1);
    outbox_rewind(&outbox);
    ck_assert_uint_eq(outbox_exposed_count(&outbox), 2); /* 2 and 3: 4 was not wholly written */
    ck_assert_uint_eq(outbox.next_sequence, 2);
    ck_assert(!outbox_has_unacknowledged(&outbox));
    for (uint64_t sequence = 2; sequence <= 5; sequence++)
        ck_assert_uint_eq(outbox_entry_of(&outbox, sequence)->end_offset, 0);
    ck_assert_uint_eq(outbox_written(&outbox, 1000), 0); /* nothing on this connection */
    ck_assert(outbox_next(&outbox)->exposed);

    offset = 0; /* the second connection comes less far: what the first exposed stays exposed */
    send_count(1);
    outbox_written(&outbox, offset);
    outbox_rewind(&outbox);
    ck_assert_uint_eq(outbox_exposed_count(&outbox), 2);
    offset = 0;
    send_count(4);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 5), 4);
}
END_TEST

static const struct {
    const char *why;
    unsigned sent_count;
    uint64_t written_offset; /* each frame is 18 bytes */
    bool dropped;
} drops[] = {
    {"it waits: nobody has seen it", 0, 0, true},
    {"it is in the middle of its frame", 1, 0, false},
    {"one byte of it is missing", 1, 17, false},
    {"it is wholly written: given up without knowing", 1, 18, true},
    {"the next one is in the middle of its frame", 2, 20, true},
};

START_TEST(the_oldest_is_dropped_unless_it_is_in_the_middle_of_its_frame)
{
    uint64_t bytes = 77;
    push_count(1, 10);
    push_count(2, 10);
    send_count(drops[_i].sent_count);
    outbox_written(&outbox, drops[_i].written_offset);
    ck_assert_msg(outbox_drop_oldest(&outbox, &bytes) == drops[_i].dropped, "%s", drops[_i].why);
    ck_assert_uint_eq(bytes, drops[_i].dropped ? 10 : 77);
    ck_assert_uint_eq(outbox.entry_count, drops[_i].dropped ? 2 : 3);
    ck_assert_uint_eq(outbox.first_sequence, drops[_i].dropped ? 2 : 1);
    send_count(3 - drops[_i].sent_count - (drops[_i].dropped && drops[_i].sent_count == 0));
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 3), drops[_i].dropped ? 2 : 3);
}
END_TEST

START_TEST(of_nothing_nothing_is_dropped)
{
    uint64_t bytes = 77;
    ck_assert(!outbox_drop_oldest(&outbox, &bytes));
    ck_assert_uint_eq(outbox_drop_all(&outbox, &bytes), 0);
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

START_TEST(all_can_be_given_up_and_the_sequences_go_on)
{
    uint64_t bytes;
    push_count(3, 10);
    push_count(1, 12);
    send_count(2);
    ck_assert_uint_eq(outbox_drop_all(&outbox, &bytes), 4);
    ck_assert_uint_eq(bytes, 42);
    ck_assert(outbox_is_empty(&outbox));
    ck_assert(!outbox_has_unacknowledged(&outbox));
    ck_assert_uint_eq(budget.bytes, 0);
    ck_assert_uint_eq(outbox.first_sequence, 5);
    push_count(1, 1);
    send_count(1);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 5), 1);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------- */

static const struct {
    const char *why;
    size_t payload_bytes;
    uint64_t malloc_count; /* of 1000 round trips */
    uint64_t kept_bytes;   /* payload room of the chunk that stays */
} echoes[] = {
    {"an empty message needs a ring and a small chunk, once", 0, 2, CHUNK_BYTES_MIN},
    {"a small one, too", 100, 2, CHUNK_BYTES_MIN},
    {"the largest for a small chunk", CHUNK_BYTES_MIN, 2, CHUNK_BYTES_MIN},
    {"one more", CHUNK_BYTES_MIN + 1, 2, 4096},
    {"the largest for the middle one", 4096, 2, 4096},
    {"one more", 4097, 2, CHUNK_BYTES_MAX},
    {"the largest for the largest chunk", CHUNK_BYTES_MAX, 2, CHUNK_BYTES_MAX},
    {"one more has a chunk of its own each time, and none is kept", CHUNK_BYTES_MAX + 1, 1001, 0},
};

START_TEST(an_echo_all_day_allocates_once)
{
    for (unsigned i = 1; i <= 1000; i++) {
        push_count(1, echoes[_i].payload_bytes);
        send_count(1);
        outbox_acknowledge(&outbox, i);
    }
    ck_assert_msg(heap.malloc_count == echoes[_i].malloc_count, "%s: %llu times", echoes[_i].why,
                  (unsigned long long)heap.malloc_count);
    uint64_t kept_bytes = RING_BYTES_MIN;
    if (echoes[_i].kept_bytes > 0)
        kept_bytes += sizeof(struct outbox_chunk) + echoes[_i].kept_bytes;
    ck_assert_uint_eq(heap.bytes, kept_bytes);
    ck_assert_uint_le(heap.bytes, EMPTY_BYTES_MAX);
    ck_assert_uint_eq(outbox_trim(&outbox), kept_bytes);
    ck_assert_uint_eq(heap.bytes, 0);
    push_count(1, 5); /* and it begins anew */
    send_count(1);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 1001), 1);
}
END_TEST

START_TEST(only_an_empty_outbox_is_trimmed)
{
    push_count(1, 10);
    uint64_t bytes = heap.bytes;
    ck_assert_uint_eq(outbox_trim(&outbox), 0);
    ck_assert_uint_eq(heap.bytes, bytes);
    ck_assert_mem_eq(outbox_next(&outbox)->payload, filler, 10);
}
END_TEST

START_TEST(a_large_message_has_its_own_exact_chunk_and_leaves_the_filled_one_alone)
{
    push_count(1, 10);
    uint64_t before = heap.bytes;
    push_count(1, 50000);
    ck_assert_uint_eq(heap.bytes, before + 50000);
    push_count(1, 10);
    ck_assert_ptr_eq(outbox.ring->entries[0].chunk, outbox.ring->entries[2].chunk);
    send_count(3);
    outbox_acknowledge(&outbox, 2);
    ck_assert_uint_eq(heap.bytes, before);
}
END_TEST

START_TEST(a_backlog_grows_in_larger_chunks_and_gives_all_back)
{
    push_count(MESSAGES_MAX, 100);
    uint64_t used = (uint64_t)MESSAGES_MAX * 100;
    ck_assert_uint_eq(outbox.ring->capacity, 1024);
    ck_assert_uint_lt(heap.bytes,
                      1024 * sizeof(struct outbox_entry) + used + used / 50 + CHUNK_BYTES_MAX);
    ck_assert_uint_le(heap.block_count, 1 + 2 + used / (CHUNK_BYTES_MAX - 100) + 1);
    send_count(MESSAGES_MAX);
    for (unsigned i = 1; i <= MESSAGES_MAX; i++) {
        outbox_acknowledge(&outbox, i);
        uint32_t capacity = outbox.ring->capacity;
        uint32_t count_before = outbox.entry_count + 1;
        ck_assert(capacity == ENTRY_CAPACITY_MIN || count_before > capacity / 4);
    }
    ck_assert_uint_le(heap.bytes, EMPTY_BYTES_MAX);
    ck_assert_uint_eq(heap.block_count, 2);
}
END_TEST

START_TEST(a_ring_between_two_sizes_is_not_copied_to_and_fro)
{
    push_count(17, 1); /* 32 places now */
    send_count(17);
    outbox_acknowledge(&outbox, 1);
    uint64_t count = heap.malloc_count;
    for (unsigned i = 2; i <= 100; i++) {
        push_count(1, 1);
        send_count(1);
        outbox_acknowledge(&outbox, i);
    }
    ck_assert_uint_eq(outbox.ring->capacity, 32);
    ck_assert_uint_eq(heap.malloc_count, count);
}
END_TEST

START_TEST(a_steady_stream_never_copies_the_ring)
{
    uint64_t sequence = 0;
    uint64_t count = 0;
    for (unsigned i = 0; i < 20; i++) { /* 500 gather between two acknowledgements */
        push_count(500, 1);
        send_count(500);
        sequence += 500;
        outbox_acknowledge(&outbox, sequence);
        if (i == 0)
            count = heap.malloc_count;
    }
    ck_assert_uint_eq(outbox.ring->capacity, 512);
    ck_assert_uint_eq(heap.malloc_count, count);
    push_count(1, 1); /* the stream has become thin */
    send_count(1);
    outbox_acknowledge(&outbox, sequence + 1);
    ck_assert_uint_eq(outbox.ring->capacity, ENTRY_CAPACITY_MIN);
}
END_TEST

START_TEST(the_ring_wraps_and_grows_while_wrapped)
{
    push_count(16, 3);
    send_count(16);
    outbox_acknowledge(&outbox, 10);
    push_count(11, 5); /* wraps, then grows */
    ck_assert_uint_eq(outbox.ring->capacity, 32);
    for (uint64_t sequence = 11; sequence <= 27; sequence++)
        ck_assert_uint_eq(outbox_entry_of(&outbox, sequence)->payload_bytes,
                          sequence <= 16 ? 3 : 5);
    ck_assert_uint_eq(outbox_entry_of(&outbox, 16)->end_offset, 16 * 11);
    send_count(11);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 27), 17);
}
END_TEST

START_TEST(a_refused_allocation_changes_nothing_and_the_next_try_goes_on) /* _i: which one */
{
    heap.refuse_at = (uint64_t)_i;
    for (unsigned i = 0; i < 40;) {
        size_t bytes = i % 10 == 5 ? 20000 : 700;
        uint64_t before = budget.bytes;
        enum outbox_result got = push(bytes);
        if (got == OUTBOX_OK) {
            i++;
            continue;
        }
        ck_assert_int_eq(got, OUTBOX_ERR_MEMORY);
        ck_assert_uint_eq(heap.malloc_count, heap.refuse_at);
        ck_assert_uint_eq(outbox.entry_count, i);
        ck_assert_uint_eq(budget.bytes, before);
        outbox_check(&outbox);
    }
    ck_assert_uint_ge(heap.malloc_count, heap.refuse_at); /* it really came to it */
    for (uint64_t sequence = 1; sequence <= 40; sequence++) {
        const struct outbox_entry *entry = outbox_entry_of(&outbox, sequence);
        ck_assert_mem_eq(entry->payload, filler, entry->payload_bytes);
    }
}
END_TEST

START_TEST(a_ring_that_cannot_shrink_stays_as_it_is)
{
    push_count(100, 1);
    send_count(100);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 98), 98);
    heap.refuse_all = true;
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 99), 1); /* two were enough */
    ck_assert_uint_eq(outbox.ring->capacity, 128);
    push_count(1, 1);
    heap.refuse_all = false;
    send_count(1);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, 100), 1);
    ck_assert_uint_eq(outbox.ring->capacity, ENTRY_CAPACITY_MIN);
}
END_TEST

START_TEST(a_ring_has_an_end)
{
    push_count(1, 1);
    outbox.ring->capacity = ENTRY_CAPACITY_MAX;
    ck_assert(!outbox_grow(&outbox)); /* and does not overflow its index */
    outbox.ring->capacity = ENTRY_CAPACITY_MIN;
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_new_outbox_is_empty_and_owns_no_memory);
    tcase_add_test(tcase, a_message_is_copied_in_and_keeps_its_kind);
    tcase_add_loop_test(tcase, a_masked_message_is_unmasked_on_its_way_in, 0, 80);
    tcase_add_test(tcase, a_large_masked_message_is_unmasked_too);
    tcase_add_test(tcase, a_large_block_is_taken_over_and_a_small_one_is_copied);
    tcase_add_test(tcase, a_block_for_which_there_is_no_room_stays_the_callers);
    tcase_add_test(tcase, an_empty_message_is_a_message);
    tcase_add_test(tcase, messages_past_the_count_fit_later);
    tcase_add_loop_test(tcase, payload_bytes_have_a_limit, 0, sizeof sizes / sizeof *sizes);
    tcase_add_test(tcase, a_length_that_no_entry_can_hold_can_never_fit);
    tcase_add_test(tcase, the_budget_of_all_sessions_is_taken_from_and_given_back);
    tcase_add_loop_test(tcase, the_budget_of_all_sessions_is_a_limit, 0,
                        sizeof budgets / sizeof *budgets);
    tcase_add_test(tcase, lower_limits_stop_new_messages_and_drop_no_old_ones);
    tcase_add_test(tcase, messages_go_out_in_order_and_leave_when_acknowledged);
    tcase_add_test_raise_signal(tcase, acknowledging_what_was_not_sent_is_our_own_mistake, SIGABRT);
    tcase_add_test_raise_signal(tcase, acknowledging_what_was_not_encoded_is_our_own_mistake,
                                SIGABRT);
    tcase_add_test_raise_signal(tcase, advancing_past_the_end_is_our_own_mistake, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_control_frame_is_no_message, SIGABRT);
    tcase_add_test(tcase, a_message_is_exposed_when_its_last_byte_is_with_the_kernel);
    tcase_add_test(tcase, an_acknowledgement_may_come_before_we_know_it_was_written);
    tcase_add_test(tcase, a_new_connection_sends_again_from_the_head);
    tcase_add_loop_test(tcase, the_oldest_is_dropped_unless_it_is_in_the_middle_of_its_frame, 0,
                        sizeof drops / sizeof *drops);
    tcase_add_test(tcase, of_nothing_nothing_is_dropped);
    tcase_add_test(tcase, all_can_be_given_up_and_the_sequences_go_on);
    tcase_add_loop_test(tcase, an_echo_all_day_allocates_once, 0, sizeof echoes / sizeof *echoes);
    tcase_add_test(tcase, only_an_empty_outbox_is_trimmed);
    tcase_add_test(tcase, a_large_message_has_its_own_exact_chunk_and_leaves_the_filled_one_alone);
    tcase_add_test(tcase, a_backlog_grows_in_larger_chunks_and_gives_all_back);
    tcase_add_test(tcase, a_ring_between_two_sizes_is_not_copied_to_and_fro);
    tcase_add_test(tcase, a_steady_stream_never_copies_the_ring);
    tcase_add_test(tcase, the_ring_wraps_and_grows_while_wrapped);
    tcase_add_loop_test(tcase, a_refused_allocation_changes_nothing_and_the_next_try_goes_on, 1,
                        12);
    tcase_add_test(tcase, a_ring_that_cannot_shrink_stays_as_it_is);
    tcase_add_test(tcase, a_ring_has_an_end);
}

int main(void)
{
    TCase *tcase = tcase_create("outbox");
    tcase_add_checked_fixture(tcase, setup, teardown);
    add_tests(tcase);

    Suite *suite = suite_create("outbox");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
