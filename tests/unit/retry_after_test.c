/* Retry-After of a refused upgrade. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/retry_after.h"

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define YEAR_MS ((uint64_t)RETRY_AFTER_SECONDS_MAX * 1000)

static bool parse(const char *fields, uint64_t *delay_ms)
{
    char text[1024];
    struct http_head head;
    int bytes = snprintf(text, sizeof text, "HTTP/1.1 503 Not Now\r\n%s\r\n", fields);
    ck_assert_int_eq(http_head_parse((const uint8_t *)text, (size_t)bytes, false, &head),
                     HTTP_HEAD_OK);
    return retry_after_parse(&head, delay_ms);
}

static const struct {
    const char *why;
    const char *fields;
    uint64_t delay_ms;
} asked[] = {
    {"seconds", "Retry-After: 120\r\n", 120000},
    {"at once", "Retry-After: 0\r\n", 0},
    {"leading zeros are digits", "retry-after: 007\r\n", 7000},
    {"a date counts from the answer's own", DATE "Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n",
     30000},
    {"in any order", "Retry-After: Sun Nov  6 08:49:38 1994\r\n" DATE, 1000},
    {"a date that has passed", DATE "Retry-After: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 0},
    {"more than a year is a year", "Retry-After: 31536001\r\n", YEAR_MS},
    {"and so is what no number holds", "Retry-After: 99999999999999999999999999999999\r\n",
     YEAR_MS},
    {"and a date", DATE "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", YEAR_MS},
};

START_TEST(a_delay_is_read)
{
    uint64_t delay_ms = 1;
    ck_assert_msg(parse(asked[_i].fields, &delay_ms), "%s", asked[_i].why);
    ck_assert_msg(delay_ms == asked[_i].delay_ms, "%s: %llu", asked[_i].why,
                  (unsigned long long)delay_ms);
}
END_TEST

static const struct {
    const char *why;
    const char *fields;
} ignored[] = {
    {"none", DATE},
    {"empty", "Retry-After:\r\n"},
    {"a sign", "Retry-After: -1\r\n"},
    {"another sign", "Retry-After: +1\r\n"},
    {"a unit", "Retry-After: 10s\r\n"},
    {"a fraction", "Retry-After: 1.5\r\n"},
    {"two numbers", "Retry-After: 1 2\r\n"},
    {"a list", "Retry-After: 1, 2\r\n"},
    {"two fields could mean either", "Retry-After: 1\r\nRetry-After: 2\r\n"},
    {"a date without a Date: our clock may be wrong",
     "Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n"},
    {"a Date that is none", "Date: today\r\nRetry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n"},
    {"two Dates", DATE DATE "Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n"},
    {"no date", DATE "Retry-After: Sun, 31 Nov 1994 08:50:07 GMT\r\n"},
};

START_TEST(anything_else_asks_for_nothing)
{
    uint64_t delay_ms = 1;
    ck_assert_msg(!parse(ignored[_i].fields, &delay_ms), "%s", ignored[_i].why);
    ck_assert_uint_eq(delay_ms, 1);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("retry_after");
    LOOP(a_delay_is_read, asked);
    LOOP(anything_else_asks_for_nothing, ignored);

    Suite *suite = suite_create("retry_after");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
