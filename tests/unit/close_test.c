/* The body of a Close frame: code and reason. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/close.h"

#define HUNDRED                                                                                    \
    "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901" \
    "23456789"

/* ---- codes -------------------------------------------------------------------------------- */

static const struct {
    const char *why;
    uint16_t first;
    uint16_t last;
    bool sendable;
} codes[] = {
    {"0 to 999 are not used (7.4.2)", 0, 999, false},
    {"1000 to 1003 are defined (7.4.1)", 1000, 1003, true},
    {"1004 is reserved (7.4.1)", 1004, 1004, false},
    {"1005: there was no code (7.4.1)", 1005, 1005, false},
    {"1006: there was no Close (7.4.1)", 1006, 1006, false},
    {"1007 to 1011 are defined (7.4.1)", 1007, 1011, true},
    {"1012 to 1014 are registered since (11.7)", 1012, 1014, true},
    {"1015: there was no TLS (7.4.1)", 1015, 1015, false},
    {"1016 to 2999 are for the protocol's future (7.4.2)", 1016, 2999, false},
    {"3000 to 3999 are for libraries (7.4.2)", 3000, 3999, true},
    {"4000 to 4999 are private (7.4.2)", 4000, 4999, true},
    {"5000 and above are nothing (7.4.2)", 5000, 65535, false},
};

START_TEST(a_code_may_be_sent_or_not_and_is_then_received_or_not)
{
    for (unsigned code = codes[_i].first; code <= codes[_i].last; code++) {
        const uint8_t body[2] = {(uint8_t)(code >> 8), (uint8_t)code};
        struct close_frame close = {.code = 7};
        bool sendable = codes[_i].sendable;
        if (close_code_is_sendable((uint16_t)code) != sendable || /* an assertion here is slow */
            close_decode(body, 2, &close) != (sendable ? 0 : 1002) ||
            close.code != (sendable ? code : 7))
            ck_abort_msg("%s: %u", codes[_i].why, code);
    }
}
END_TEST

START_TEST(the_table_of_codes_has_no_gap)
{
    unsigned next = 0;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        ck_assert_uint_eq(codes[i].first, next);
        next = codes[i].last + 1u;
    }
    ck_assert_uint_eq(next, 65536);
}
END_TEST

/* ---- bodies ------------------------------------------------------------------------------- */

#define BODY(literal) (literal), sizeof(literal) - 1

static const struct {
    const char *why;
    const char *body;
    size_t bytes;
    uint16_t refusal; /* 0: it is right */
} bodies[] = {
    {"a code alone (5.5.1)", BODY("\x03\xe8"), 0},
    {"a code and a reason (5.5.1)",
     BODY("\x03\xe8"
          "bye"),
     0},
    {"a reason of one byte (5.5.1)",
     BODY("\x0f\xa0"
          "!"),
     0},
    {"a reason of several bytes each (5.5.1)",
     BODY("\x03\xe9"
          "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
     0},
    {"a zero byte in a reason is UTF-8 (RFC 3629 3)",
     BODY("\x03\xe8"
          "a\0b"),
     0},
    {"the longest reason: 123 bytes (5.5)", BODY("\x03\xe8" HUNDRED "01234567890123456789012"), 0},
    {"a reason of 124 bytes (5.5)", BODY("\x03\xe8" HUNDRED "012345678901234567890123"), 1002},
    {"half a code (5.5.1)", BODY("\x03"), 1002},
    {"half a code, and a zero (5.5.1)", BODY("\0"), 1002},
    {"code 0 (7.4.2)", BODY("\0\0"), 1002},
    {"a code in the wrong order of bytes (5.5.1)", BODY("\xe8\x03"), 1002},
    {"a code that may not be sent, and a reason (7.4.1)",
     BODY("\x03\xed"
          "none"),
     1002},
    {"the code is judged before the reason (7.4.1)", BODY("\x03\xee\xff"), 1002},
    {"a reason that is not UTF-8 (5.5.1)", BODY("\x03\xe8\xff"), 1007},
    {"a reason with an overlong form (RFC 3629 3)",
     BODY("\x03\xe8"
          "a\xc0\xaf"),
     1007},
    {"a reason with a surrogate (RFC 3629 3)", BODY("\x03\xe8\xed\xa0\x80"), 1007},
    {"a reason that ends inside of a character (8.1)",
     BODY("\x03\xe8"
          "a\xe2\x82"),
     1007},
};

START_TEST(a_body_is_read_or_refused_with_the_code_for_it)
{
    struct close_frame close;
    struct close_frame before;
    memset(&close, 0x5a, sizeof close);
    memcpy(&before, &close, sizeof close);
    uint8_t *copy = malloc(bodies[_i].bytes); /* of exactly that size: reading on is noticed */
    memcpy(copy, bodies[_i].body, bodies[_i].bytes);
    uint16_t got = close_decode(copy, bodies[_i].bytes, &close);
    ck_assert_msg(got == bodies[_i].refusal, "%s: got %u", bodies[_i].why, got);
    if (got == 0) {
        uint8_t again[FRAME_CONTROL_BYTES_MAX];
        ck_assert_uint_eq(close.code, copy[0] << 8 | copy[1]);
        ck_assert_uint_eq(close.reason_bytes, bodies[_i].bytes - 2);
        ck_assert_mem_eq(close.reason, copy + 2, bodies[_i].bytes - 2);
        ck_assert_uint_eq(close_encode(&close, again), bodies[_i].bytes);
        ck_assert_mem_eq(again, copy, bodies[_i].bytes);
    } else {
        ck_assert_mem_eq(&close, &before, sizeof close);
    }
    free(copy);
}
END_TEST

START_TEST(an_empty_body_is_no_status_and_is_written_empty)
{
    struct close_frame close = {.code = 1000, .reason_bytes = 3};
    uint8_t body[FRAME_CONTROL_BYTES_MAX] = {0x77};
    ck_assert_uint_eq(close_decode(NULL, 0, &close), 0);
    ck_assert_uint_eq(close.code, CLOSE_NO_STATUS);
    ck_assert_uint_eq(close.reason_bytes, 0);
    ck_assert_uint_eq(close_encode(&close, body), 0);
    ck_assert_uint_eq(body[0], 0x77);
}
END_TEST

static const uint16_t wrong_codes[] = {0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65535};

START_TEST(writing_a_code_that_may_not_be_sent_is_our_own_mistake)
{
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    close_encode(&(struct close_frame){.code = wrong_codes[_i]}, body);
}
END_TEST

START_TEST(writing_a_reason_over_the_limit_is_our_own_mistake)
{
    uint8_t body[300];
    close_encode(&(struct close_frame){.code = 1000, .reason_bytes = 124}, body);
}
END_TEST

/* ---- our own ------------------------------------------------------------------------------ */

static const struct {
    const char *why;
    const char *text;
    size_t kept;
} reasons[] = {
    {"no text", NULL, 0},
    {"an empty text", "", 0},
    {"a text", "shutdown", 8},
    {"one byte less than fits (5.5)", HUNDRED "0123456789012345678901", 122},
    {"exactly what fits (5.5)", HUNDRED "01234567890123456789012", 123},
    {"one byte more (5.5)", HUNDRED "012345678901234567890123", 123},
    {"far more (5.5)", HUNDRED HUNDRED HUNDRED, 123},
    {"two bytes that just fit", HUNDRED "012345678901234567890\xc3\xa9", 123},
    {"two bytes that just fit, and more", HUNDRED "012345678901234567890\xc3\xa9!", 123},
    {"two bytes across the end (8.1)", HUNDRED "0123456789012345678901\xc3\xa9", 122},
    {"three bytes, two past the end (8.1)", HUNDRED "0123456789012345678901\xe2\x82\xac", 122},
    {"three bytes, one past the end (8.1)", HUNDRED "012345678901234567890\xe2\x82\xac", 121},
    {"four bytes, three past the end (8.1)", HUNDRED "0123456789012345678901\xf0\x9f\x98\x80", 122},
    {"four bytes, one past the end (8.1)", HUNDRED "01234567890123456789\xf0\x9f\x98\x80", 120},
    {"four bytes that just fit, and more", HUNDRED "0123456789012345678\xf0\x9f\x98\x80\xc3\xa9",
     123},
    {"a character right after the end", HUNDRED "01234567890123456789012\xc3\xa9", 123},
};

START_TEST(a_reason_of_our_own_is_cut_at_the_end_of_a_character)
{
    struct close_frame close;
    struct close_frame again;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    memset(&close, 0x5a, sizeof close);
    close_set(&close, CLOSE_GOING_AWAY, reasons[_i].text);
    ck_assert_uint_eq(close.code, 1001);
    ck_assert_msg(close.reason_bytes == reasons[_i].kept, "%s: kept %u", reasons[_i].why,
                  close.reason_bytes);
    if (reasons[_i].kept > 0)
        ck_assert_mem_eq(close.reason, reasons[_i].text, reasons[_i].kept);
    size_t bytes = close_encode(&close, body);
    ck_assert_uint_eq(bytes, 2 + reasons[_i].kept);
    ck_assert_msg(close_decode(body, bytes, &again) == 0, "%s", reasons[_i].why);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("close");
    LOOP(a_code_may_be_sent_or_not_and_is_then_received_or_not, codes);
    tcase_add_test(tcase, the_table_of_codes_has_no_gap);
    LOOP(a_body_is_read_or_refused_with_the_code_for_it, bodies);
    tcase_add_test(tcase, an_empty_body_is_no_status_and_is_written_empty);
    tcase_add_loop_test_raise_signal(tcase, writing_a_code_that_may_not_be_sent_is_our_own_mistake,
                                     SIGABRT, 0, sizeof wrong_codes / sizeof *wrong_codes);
    tcase_add_test_raise_signal(tcase, writing_a_reason_over_the_limit_is_our_own_mistake, SIGABRT);
    LOOP(a_reason_of_our_own_is_cut_at_the_end_of_a_character, reasons);

    Suite *suite = suite_create("close");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
