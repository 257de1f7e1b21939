/* Dates as HTTP writes them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http_date.h"

static struct http_text text_of(const char *text)
{
    return (struct http_text){.at = text, .bytes = strlen(text)};
}

static const struct {
    const char *why;
    const char *text;
    uint64_t expect;
} right[] = {
    {"RFC 9110 5.6.7, the preferred form", "Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"RFC 850's", "Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"asctime()'s", "Sun Nov  6 08:49:37 1994", 784111777},
    {"asctime()'s with two digits", "Wed Nov 16 08:49:37 1994", 784975777},
    {"of cookies", "Sun, 06-Nov-1994 08:49:37 GMT", 784111777},
    {"the first second", "Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"RFC 6265 5.1.1: 69 is of this century", "Tuesday, 01-Jan-69 00:00:00 GMT", 3124224000},
    {"and 70 of the last", "Thursday, 01-Jan-70 00:00:01 GMT", 1},
    {"a leap day", "Thu, 29 Feb 2024 23:59:59 GMT", 1709251199},
    {"the day after it", "Fri, 01 Mar 2024 00:00:00 GMT", 1709251200},
    {"2000 was a leap year", "Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
    {"2100 will be none", "Mon, 01 Mar 2100 00:00:00 GMT", 4107542400},
    {"a leap second", "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
    {"the last year", "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
};

START_TEST(a_date_is_read)
{
    uint64_t seconds = 7;
    ck_assert_msg(http_date_parse(text_of(right[_i].text), &seconds), "%s", right[_i].why);
    ck_assert_msg(seconds == right[_i].expect, "%s: %llu", right[_i].why,
                  (unsigned long long)seconds);
}
END_TEST

static const char *const wrong[] = {
    "",
    "0",
    "120",
    "Sun",
    "Sun,",
    "Su, 06 Nov 1994 08:49:37 GMT",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 94 08:49:37 GMT", /* which century? */
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 CET",
    "Sun, 06 Nov 1994 08:49:37 GMT ",
    "Sun, 06 Nov 1994 08:49:37 GMT+1",
    "Sun, 06 Nov-1994 08:49:37 GMT",
    "Sun,06 Nov 1994 08:49:37 GMT",
    "Sun, 31 Nov 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Tue, 29 Feb 2100 00:00:00 GMT",
    "Sun, 06 Nov 1969 08:49:37 GMT",
    "Sun, 06 Nov 10000 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 23:60:00 GMT",
    "Sun, 06 Nov 1994 23:59:61 GMT",
    "Sun, 06 Nov 1994 -1:59:01 GMT",
    "Sun Nov 6 08:49:37 1994",
    "Sun Nov  6 08:49:37 94",
    "\xff\xff\xff, 06 Nov 1994 08:49:37 GMT",
};

START_TEST(what_is_no_date_is_refused)
{
    uint64_t seconds = 7;
    ck_assert_msg(!http_date_parse(text_of(wrong[_i]), &seconds), "%s", wrong[_i]);
    ck_assert_uint_eq(seconds, 7);
}
END_TEST

START_TEST(a_date_that_is_cut_short_is_refused)
{
    uint64_t seconds;
    for (size_t i = 0; i < 3; i++) {
        size_t all = strlen(right[i].text);
        for (size_t bytes = 0; bytes < all; bytes++) {
            char *exact = malloc(bytes + 1); /* a sanitizer sees one byte too many */
            memcpy(exact + 1, right[i].text, bytes);
            ck_assert(
                !http_date_parse((struct http_text){.at = exact + 1, .bytes = bytes}, &seconds));
            free(exact);
        }
    }
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("http_date");
    LOOP(a_date_is_read, right);
    LOOP(what_is_no_date_is_refused, wrong);
    tcase_add_test(tcase, a_date_that_is_cut_short_is_refused);

    Suite *suite = suite_create("http_date");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
