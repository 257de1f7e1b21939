/* The outbox against a naive model: random steps from fixed seeds, every payload compared. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "outbox_fixture.h"

enum { MODEL_MAX = 400, STEP_COUNT = 20000 };

struct model_message {
    const uint8_t *payload; /* where it was put: it never moves */
    uint32_t bytes;
    uint32_t fill;
    enum frame_opcode opcode;
    uint64_t end_offset;
    bool exposed;
};

static struct model {
    struct model_message messages[MODEL_MAX];
    unsigned count;
    unsigned sent_count;
    unsigned written_count;
    uint64_t first_sequence;
    uint64_t bytes;
    uint64_t written_offset;
    uint64_t seed;
} model;

static uint64_t chance(uint64_t bound)
{
    model.seed ^= model.seed << 13;
    model.seed ^= model.seed >> 7;
    model.seed ^= model.seed << 17;
    return (model.seed >> 11) % bound;
}

static void model_pop(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        model.bytes -= model.messages[i].bytes;
    model.count -= count;
    model.sent_count -= count < model.sent_count ? count : model.sent_count;
    model.written_count -= count < model.written_count ? count : model.written_count;
    model.first_sequence += count;
    memmove(model.messages, model.messages + count, model.count * sizeof *model.messages);
}

static void step_push(void)
{
    static const uint32_t around[] = {0,    1,    30,   125,   126,   1000, 1024,
                                      1025, 4096, 5000, 16384, 16385, 60000};
    uint32_t bytes = around[chance(sizeof around / sizeof *around)];
    if (chance(2) == 0)
        bytes = (uint32_t)chance(300);
    if (chance(200) == 0)
        bytes = (uint32_t)outbox.payload_bytes_max + (uint32_t)chance(2);
    if (bytes > BYTES_MAX / 2)
        bytes = BYTES_MAX / 2;
    uint32_t fill = (uint32_t)chance(BYTES_MAX / 2);
    enum frame_opcode opcode = chance(2) ? FRAME_TEXT : FRAME_BINARY;
    enum outbox_result got;
    bool taken = false;
    switch (chance(3)) {
    case 0:
        got = push_masked(opcode, filler + fill, bytes);
        break;
    case 1:
        got = push_block(opcode, filler + fill, bytes, &taken);
        break;
    default:
        got = push_message(opcode, filler + fill, bytes);
    }
    ck_assert(taken == (taken && got == OUTBOX_OK && bytes > CHUNK_BYTES_MAX));
    if (bytes > outbox.payload_bytes_max) {
        ck_assert_int_eq(got, OUTBOX_ERR_TOO_BIG);
    } else if (model.count >= outbox.entry_count_max ||
               model.bytes + bytes > outbox.payload_bytes_max) {
        ck_assert_int_eq(got, OUTBOX_FULL);
    } else if (got == OUTBOX_ERR_MEMORY) {
        ck_assert(heap.refuse_all);
    } else {
        ck_assert_int_eq(got, OUTBOX_OK);
        model.messages[model.count] = (struct model_message){
            .payload = outbox_entry_of(&outbox, model.first_sequence + model.count)->payload,
            .bytes = bytes,
            .fill = fill,
            .opcode = opcode};
        model.count++;
        model.bytes += bytes;
    }
}

static void step_send(void)
{
    for (uint64_t times = chance(8); times > 0 && model.sent_count < model.count; times--) {
        struct model_message *message = &model.messages[model.sent_count++];
        offset += message->bytes + 2 + chance(13);
        message->end_offset = offset;
        const struct outbox_entry *entry = outbox_next(&outbox);
        ck_assert_ptr_eq(entry->payload, message->payload);
        ck_assert_mem_eq(entry->payload, filler + message->fill, message->bytes);
        ck_assert_int_eq(entry->exposed, message->exposed);
        outbox_advance(&outbox);
        outbox_encoded(&outbox, offset);
    }
    if (model.sent_count == model.count)
        ck_assert_ptr_null(outbox_next(&outbox));
}

static void step_written(void)
{
    model.written_offset += chance(offset - model.written_offset + 1);
    while (model.written_count < model.sent_count &&
           model.messages[model.written_count].end_offset <= model.written_offset)
        model.messages[model.written_count++].exposed = true;
    uint64_t expect = model.written_count > 0 ? model.first_sequence + model.written_count - 1 : 0;
    ck_assert_uint_eq(outbox_written(&outbox, model.written_offset), expect);
}

static void step_acknowledge(void)
{
    unsigned count = (unsigned)chance(model.sent_count + 1);
    uint64_t sequence = model.first_sequence + count - 1;
    if (count == 0 && sequence > 0)
        sequence -= chance(sequence);
    ck_assert_uint_eq(outbox_acknowledge(&outbox, sequence), count);
    model_pop(count);
}

static void step_rewind(void)
{
    unsigned exposed_count = 0;
    for (unsigned i = 0; i < model.count; i++) {
        model.messages[i].end_offset = 0;
        exposed_count += model.messages[i].exposed;
    }
    model.sent_count = model.written_count = 0;
    offset = model.written_offset = 0;
    outbox_rewind(&outbox);
    ck_assert_uint_eq(outbox_exposed_count(&outbox), exposed_count);
}

static void step_drop_oldest(void)
{
    bool may = model.count > 0 && !(model.sent_count > 0 && model.written_count == 0);
    uint64_t bytes = 77;
    uint64_t expect = may ? model.messages[0].bytes : 77;
    ck_assert_int_eq(outbox_drop_oldest(&outbox, &bytes), may);
    ck_assert_uint_eq(bytes, expect);
    if (may)
        model_pop(1);
}

static void step_rarely(void)
{
    uint64_t bytes;
    switch (chance(40)) {
    case 0:
        bytes = model.bytes;
        ck_assert_uint_eq(outbox_drop_all(&outbox, &bytes), model.count);
        ck_assert_uint_eq(bytes, model.bytes);
        model_pop(model.count);
        return;
    case 1: /* a reload */
        outbox_set_limits(&outbox, 1 + (uint32_t)chance(MODEL_MAX), 1 + chance(BYTES_MAX));
        return;
    case 2:
        heap.refuse_all = !heap.refuse_all && chance(3) == 0;
        return;
    default:
        outbox_trim(&outbox);
        return;
    }
}

static void model_compare(bool wholly)
{
    ck_assert_uint_eq(outbox.first_sequence, model.first_sequence);
    ck_assert_uint_eq(outbox.entry_count, model.count);
    ck_assert_uint_eq(outbox.payload_bytes, model.bytes);
    ck_assert_uint_eq(outbox.next_sequence, model.first_sequence + model.sent_count);
    ck_assert_uint_eq(budget.bytes, model.bytes + (uint64_t)model.count * OUTBOX_OVERHEAD_BYTES);
    if (model.count == 0 && (!outbox.ring || outbox.ring->capacity == ENTRY_CAPACITY_MIN))
        ck_assert_uint_le(heap.bytes, EMPTY_BYTES_MAX);
    for (unsigned i = 0; wholly && i < model.count; i++) {
        const struct model_message *message = &model.messages[i];
        const struct outbox_entry *entry = outbox_entry_of(&outbox, model.first_sequence + i);
        ck_assert_ptr_eq(entry->payload, message->payload);
        ck_assert_uint_eq(entry->payload_bytes, message->bytes);
        ck_assert_uint_eq(entry->opcode, message->opcode);
        ck_assert_uint_eq(entry->exposed, message->exposed);
        ck_assert_uint_eq(entry->end_offset, message->end_offset);
        ck_assert_mem_eq(entry->payload, filler + message->fill, message->bytes);
    }
}

START_TEST(it_agrees_with_a_naive_model) /* _i is the seed */
{
    model = (struct model){.first_sequence = 1, .seed = 0x9e3779b97f4a7c15u * (uint64_t)(_i + 1)};
    outbox_set_limits(&outbox, MODEL_MAX, BYTES_MAX);
    uint64_t push_weight = 1; /* seasons: a backlog builds up, and goes down again */
    for (unsigned i = 0; i < STEP_COUNT; i++) {
        if (i % 500 == 0)
            push_weight = 5 + chance(60);
        uint64_t choice = chance(100);
        if (choice < push_weight)
            step_push();
        else if (choice < 75)
            step_send();
        else if (choice < 87)
            step_written();
        else if (choice < 95)
            step_acknowledge();
        else if (choice < 96)
            step_rewind();
        else if (choice < 98)
            step_drop_oldest();
        else
            step_rarely();
        model_compare(i % 256 == 0);
        outbox_check(&outbox);
    }
    heap.refuse_all = false;
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("outbox_model");
    tcase_set_timeout(tcase, 60); /* under sanitizers */
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, it_agrees_with_a_naive_model, 0, 8);

    Suite *suite = suite_create("outbox_model");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
