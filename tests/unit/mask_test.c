/* Masking of payloads.  RFC 6455 section 5.3. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mask.h"

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

/* transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4), as 5.3 has it. */
static uint8_t masked_byte(uint8_t original, uint64_t i)
{
    return original ^ key[i % 4];
}

/* Bytes that repeat in no short period. */
static void fill(uint8_t *data, size_t bytes)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1103515245u + 12345u;
        data[i] = (uint8_t)(state >> 16);
    }
}

START_TEST(the_example_of_the_rfc_is_masked_and_unmasked)
{
    static const uint8_t masked[5] = {0x7f, 0x9f, 0x4d, 0x51, 0x58}; /* 5.7, "Hello" */
    uint8_t out[5];
    mask_copy(out, masked, sizeof out, key, 0);
    ck_assert_mem_eq(out, "Hello", 5);
    mask_copy(out, out, sizeof out, key, 0);
    ck_assert_mem_eq(out, masked, 5);
}
END_TEST

/* _i is the length: less than a word, whole words, and what is left after them. */
START_TEST(every_byte_is_masked_at_every_length_alignment_and_phase)
{
    enum { ALIGNMENTS = 8, ROOM = 208 };
    size_t bytes = (size_t)_i;
    uint8_t source[ROOM];
    uint8_t target[ROOM];
    uint8_t expect[ROOM];
    fill(source, sizeof source);
    for (unsigned phase = 0; phase < 8; phase++)
        for (unsigned from = 0; from < ALIGNMENTS; from++)
            for (unsigned to = 0; to < ALIGNMENTS; to++) {
                memset(target, 0xee, sizeof target);
                memset(expect, 0xee, sizeof expect); /* around it nothing is touched */
                for (size_t i = 0; i < bytes; i++)
                    expect[to + i] = masked_byte(source[from + i], phase + i);
                mask_copy(target + to, source + from, bytes, key, phase);
                if (memcmp(target, expect, sizeof expect) != 0) /* an assertion here is slow */
                    ck_abort_msg("phase %u, from %u, to %u", phase, from, to);
            }
}
END_TEST

START_TEST(masking_in_place_is_masking)
{
    for (unsigned at = 0; at < 8; at++) {
        uint8_t source[80];
        uint8_t expect[80];
        fill(source, sizeof source);
        memcpy(expect, source, sizeof expect);
        for (size_t i = 0; i < (size_t)_i; i++)
            expect[at + i] = masked_byte(source[at + i], 3 + i);
        mask_copy(source + at, source + at, (size_t)_i, key, 3);
        ck_assert_mem_eq(source, expect, sizeof expect);
    }
}
END_TEST

START_TEST(a_payload_may_be_split_anywhere_once)
{
    enum { BYTES = 70 };
    uint8_t source[BYTES];
    uint8_t whole[BYTES];
    uint8_t parts[BYTES];
    fill(source, BYTES);
    mask_copy(whole, source, BYTES, key, 0);
    for (size_t split = 0; split <= BYTES; split++) {
        mask_copy(parts, source, split, key, 0);
        mask_copy(parts + split, source + split, BYTES - split, key, split);
        ck_assert_mem_eq(parts, whole, BYTES);
    }
}
END_TEST

START_TEST(a_payload_may_come_in_pieces_of_any_size)
{
    enum { BYTES = 257 };
    uint8_t source[BYTES];
    uint8_t whole[BYTES];
    uint8_t parts[BYTES];
    fill(source, BYTES);
    mask_copy(whole, source, BYTES, key, 0);
    memset(parts, 0, sizeof parts);
    for (size_t at = 0, piece = (size_t)_i; at < BYTES; at += piece) {
        if (piece > BYTES - at)
            piece = BYTES - at;
        mask_copy(parts + at, source + at, piece, key, at);
    }
    ck_assert_mem_eq(parts, whole, BYTES);
}
END_TEST

static const struct {
    const char *why;
    uint64_t phase;
    unsigned same_as;
} phases[] = {
    {"the second round of the key", 4, 0},
    {"past 32 bits", (UINT64_C(1) << 32) + 1, 1},
    {"the last of 63 bits", INT64_MAX, 3},
    {"the largest phase there is, and round", UINT64_MAX, 3},
};

START_TEST(of_a_phase_only_its_value_modulo_4_counts)
{
    uint8_t source[21];
    uint8_t got[21];
    uint8_t expect[21];
    fill(source, sizeof source);
    mask_copy(got, source, sizeof source, key, phases[_i].phase);
    mask_copy(expect, source, sizeof source, key, phases[_i].same_as);
    ck_assert_msg(memcmp(got, expect, sizeof expect) == 0, "%s", phases[_i].why);
}
END_TEST

START_TEST(a_key_of_zeros_copies)
{
    static const uint8_t zeros[4];
    uint8_t source[33];
    uint8_t got[33];
    fill(source, sizeof source);
    mask_copy(got, source, sizeof source, zeros, 1);
    ck_assert_mem_eq(got, source, sizeof source);
}
END_TEST

START_TEST(nothing_is_read_or_written_past_the_end)
{
    for (size_t bytes = 1; bytes < 40; bytes++) { /* a sanitizer watches the ends of the heap's */
        uint8_t *source = malloc(bytes);
        uint8_t *target = malloc(bytes);
        fill(source, bytes);
        mask_copy(target, source, bytes, key, 2);
        ck_assert_uint_eq(target[bytes - 1], masked_byte(source[bytes - 1], 2 + bytes - 1));
        free(source);
        free(target);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("mask");
    tcase_add_test(tcase, the_example_of_the_rfc_is_masked_and_unmasked);
    tcase_add_loop_test(tcase, every_byte_is_masked_at_every_length_alignment_and_phase, 0, 200);
    tcase_add_loop_test(tcase, masking_in_place_is_masking, 0, 72);
    tcase_add_test(tcase, a_payload_may_be_split_anywhere_once);
    tcase_add_loop_test(tcase, a_payload_may_come_in_pieces_of_any_size, 1, 36);
    tcase_add_loop_test(tcase, of_a_phase_only_its_value_modulo_4_counts, 0,
                        sizeof phases / sizeof *phases);
    tcase_add_test(tcase, a_key_of_zeros_copies);
    tcase_add_test(tcase, nothing_is_read_or_written_past_the_end);

    Suite *suite = suite_create("mask");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
