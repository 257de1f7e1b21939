/*
 * What it costs to read a head: linear in its bytes, however they come.  Not timed: the bytes that
 * are looked at are counted, by a memchr() of our own.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http_head.h"

static size_t scanned_bytes;

void *memchr(const void *data, int byte, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++) {
        scanned_bytes++;
        if (at[i] == (unsigned char)byte)
            return (void *)(at + i); /* as memchr() does */
    }
    return NULL;
}

/* The bytes looked at to find the end of a head that comes in pieces. */
static size_t cost_to_find(const uint8_t *text, size_t bytes, size_t piece,
                           enum http_head_result expect)
{
    size_t scanned = 0;
    size_t head_bytes = 0;
    enum http_head_result result = HTTP_HEAD_NEED_MORE;
    scanned_bytes = 0;
    for (size_t came = piece; result == HTTP_HEAD_NEED_MORE && came < bytes + piece; came += piece)
        result = http_head_find_end(text, came < bytes ? came : bytes, &scanned, &head_bytes);
    ck_assert_int_eq(result, expect);
    return scanned_bytes;
}

static const struct {
    const char *why;
    const char *field; /* again and again */
} heads[] = {
    {"one long line", "a"},
    {"many short ones", "A: b\r\n"},
    {"line ends that lead nowhere", "\r\r\r\r\n"},
    {"quotes and backslashes without end", "\"\\"},
    {"lists", "a, b;c=\"d\", "},
};

static size_t make_head(const char *field, size_t bytes, uint8_t *text)
{
    size_t at = 0;
    size_t field_bytes = strlen(field);
    while (at + field_bytes + 5 <= bytes) {
        memcpy(text + at, field, field_bytes);
        at += field_bytes;
    }
    memset(text + at, 'a', bytes - 4 - at);
    memcpy(text + bytes - 4, "\r\n\r\n", 4);
    return bytes;
}

START_TEST(the_end_is_found_with_one_look_at_each_byte)
{
    static uint8_t text[HTTP_HEAD_BYTES_MAX];
    for (size_t bytes = 1024; bytes <= HTTP_HEAD_BYTES_MAX; bytes *= 2)
        for (size_t piece = 1; piece <= bytes; piece = piece * 7 + 1) {
            make_head(heads[_i].field, bytes, text);
            size_t cost = cost_to_find(text, bytes, piece, HTTP_HEAD_OK);
            ck_assert_msg(cost <= bytes, "%s: %zu bytes cost %zu, %zu at a time", heads[_i].why,
                          bytes, cost, piece);
        }
}
END_TEST

START_TEST(too_much_costs_no_more_than_its_limit)
{
    static uint8_t text[1024 * 1024];
    make_head(heads[_i].field, sizeof(text), text);
    for (size_t piece = 1; piece <= sizeof(text); piece = piece * 31 + 1)
        ck_assert_uint_le(cost_to_find(text, sizeof(text), piece, HTTP_HEAD_ERR_TOO_BIG),
                          HTTP_HEAD_BYTES_MAX);
}
END_TEST

/* Line by line: for its LF, for a CR in it, and for the colon. */
START_TEST(a_head_is_parsed_with_three_looks_at_each_byte)
{
    static char text[HTTP_HEAD_BYTES_MAX];
    static struct http_head head;
    for (size_t fields = 0; fields <= HTTP_FIELD_COUNT_MAX; fields += 10)
        for (size_t value_bytes = 1; value_bytes <= 128; value_bytes *= 2) {
            int bytes = sprintf(text, "GET / HTTP/1.1\r\n");
            for (size_t i = 0; i < fields; i++)
                bytes += sprintf(text + bytes, "A%zu: %0*d\r\n", i, (int)value_bytes, 0);
            bytes += sprintf(text + bytes, "\r\n");
            scanned_bytes = 0;
            ck_assert_int_eq(http_head_parse((const uint8_t *)text, (size_t)bytes, true, &head),
                             HTTP_HEAD_OK);
            ck_assert_uint_le(scanned_bytes, 3 * (size_t)bytes);
        }
}
END_TEST

START_TEST(a_list_is_searched_with_one_look_at_each_byte)
{
    static char text[HTTP_HEAD_BYTES_MAX];
    static struct http_head head;
    for (size_t items = 1; items <= 4096; items *= 2) {
        int bytes = sprintf(text, "GET / HTTP/1.1\r\nConnection: ");
        for (size_t i = 0; i < items; i++)
            bytes += sprintf(text + bytes, "a,");
        bytes += sprintf(text + bytes, "\r\n\r\n");
        ck_assert_int_eq(http_head_parse((const uint8_t *)text, (size_t)bytes, true, &head),
                         HTTP_HEAD_OK);
        scanned_bytes = 0;
        ck_assert(!http_head_has_token(&head, "Connection", "upgrade"));
        ck_assert_uint_le(scanned_bytes, (size_t)bytes);
    }
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("http_head_work");
    LOOP(the_end_is_found_with_one_look_at_each_byte, heads);
    LOOP(too_much_costs_no_more_than_its_limit, heads);
    tcase_add_test(tcase, a_head_is_parsed_with_three_looks_at_each_byte);
    tcase_add_test(tcase, a_list_is_searched_with_one_look_at_each_byte);

    Suite *suite = suite_create("http_head_work");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
