/* Cookies: what a 101 answer sets, and what the next request returns. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_malloc.h"
#include "proto/cookie.h"

enum { NOW_MS = 5000, DATE_S = 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */ };

static struct cookie_jar jar;
static char out[COOKIE_FIELD_BYTES_MAX + 64];

static void empty(void)
{
    cookie_jar_clear(&jar);
    ck_assert_uint_eq(jar.count, 0);
    ck_assert_uint_eq(jar.bytes, 0);
}

/* A copy of exact size: a sanitizer sees one byte too many. */
static enum cookie_result take_bytes(const char *text, size_t bytes, const char *host,
                                     uint64_t date_s)
{
    const struct cookie_origin origin = {
        .host = host, .target = "/ws/game?x=/y", .date_s = date_s, .now_ms = NOW_MS};
    char *exact = malloc(bytes + 1);
    memcpy(exact + 1, text, bytes);
    enum cookie_result result =
        cookie_jar_take(&jar, &origin, (struct http_text){.at = exact + 1, .bytes = bytes});
    free(exact);
    return result;
}

static enum cookie_result take(const char *text)
{
    return take_bytes(text, strlen(text), "www.example.com", DATE_S);
}

static const char *returned_at(uint64_t now_ms, bool is_secure)
{
    if (cookie_jar_write(&jar, now_ms, is_secure, "", false, out, sizeof out) == 0)
        return "";
    return out;
}

static const char *returned(void)
{
    return returned_at(NOW_MS, false);
}

/* ---- Set-Cookie --------------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *text;
    const char *returned;
} kept[] = {
    {"as it is", "AWSALB=abc/+=", "AWSALB=abc/+="},
    {"without the blanks around it", " \tid = a b \t; Path=/", "id=a b"},
    {"the first = ends the name", "a=b=c", "a=b=c"},
    {"quotes belong to the value", "a=\"b, c\"", "a=\"b, c\""},
    {"attributes of all kinds, in any case",
     "a=b; PATH=/; HttpOnly; SameSite=None; Partitioned; Priority=High; max-age=60", "a=b"},
    {"an attribute without a name", "a=b;;;=;=x; ", "a=b"},
    {"our host", "a=b; Domain=www.example.com", "a=b"},
    {"the domain above it (RFC 6265 5.1.3)", "a=b; Domain=.Example.COM", "a=b"},
    {"an empty domain is none (5.2.3)", "a=b; Domain=", "a=b"},
    {"our path", "a=b; Path=/ws/game", "a=b"},
    {"the folder above it (5.1.4)", "a=b; Path=/ws", "a=b"},
    {"with its slash", "a=b; Path=/ws/", "a=b"},
    {"a path that is none (5.2.4)", "a=b; Path=ws", "a=b"},
    {"the last of several counts (5.3)", "a=b; Path=/other; Path=/", "a=b"},
    {"an age that is none (5.2.2)", "a=b; Max-Age=0x", "a=b"},
    {"an age without digits", "a=b; Max-Age=-", "a=b"},
    {"an age that no number holds", "a=b; Max-Age=99999999999999999999999", "a=b"},
    {"a date that is none", "a=b; Expires=yesterday", "a=b"},
    {"a date to come", "a=b; Expires=Sun, 06 Nov 1994 08:49:38 GMT", "a=b"},
    {"Max-Age wins over Expires (5.3)", "a=b; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
     "a=b"},
    {"in any order", "a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "a=b"},
    {"UTF-8 is bytes", "a=\xc3\xa4", "a=\xc3\xa4"},
};

START_TEST(a_cookie_is_kept_and_returned)
{
    ck_assert_msg(take(kept[_i].text) == COOKIE_KEPT, "%s", kept[_i].why);
    ck_assert_msg(strcmp(returned(), kept[_i].returned) == 0, "%s: %s", kept[_i].why, returned());
    empty();
}
END_TEST

static const char *const ignored[] = {
    "",
    "a",
    "; a=b",
    "=b",
    " =b",
    "a b=c",
    "a,b=c",
    "a\"=c",
    "\xc3\xa4=c",
    "a=b\tc", /* a blank to one parser, an end to another */
    "a=b; Domain=example.org",
    "a=b; Domain=ww.example.com",
    "a=b; Domain=e.com", /* ends alike, and is another */
    "a=b; Domain=x.www.example.com",
    "a=b; Path=/other",
    "a=b; Path=/ws/game/deeper",
    "a=b; Path=/w",
    "a=b; Path=/ws/game?x=/y", /* a query is no path */
};

START_TEST(a_cookie_that_is_malformed_or_for_others_is_ignored)
{
    ck_assert_int_eq(take("a=before"), COOKIE_KEPT);
    ck_assert_msg(take(ignored[_i]) == COOKIE_IGNORED, "%s", ignored[_i]);
    ck_assert_str_eq(returned(), "a=before");
    empty();
}
END_TEST

START_TEST(no_byte_can_begin_another_cookie_or_another_field)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        for (unsigned place = 0; place < 3; place++) {
            char text[] = "ab=cd; Path=/";
            text[place == 0 ? 1 : place == 1 ? 3 : 12] = (char)byte;
            bool is_kept =
                take_bytes(text, sizeof text - 1, "www.example.com", DATE_S) == COOKIE_KEPT;
            const char *cookie = returned();
            ck_assert_uint_eq(is_kept, jar.count == 1);
            ck_assert_msg(http_is_field_value(cookie, strlen(cookie)), "byte %u", byte);
            ck_assert_msg(!strpbrk(cookie, ";\r\n\t"), "byte %u", byte);
            empty();
        }
    }
}
END_TEST

START_TEST(an_address_has_no_domain_above_it)
{
    static const char text[] = "a=b; Domain=0.0.1";
    static const char own[] = "a=b; Domain=127.0.0.1";
    ck_assert_int_eq(take_bytes(text, strlen(text), "127.0.0.1", 0), COOKIE_IGNORED);
    ck_assert_int_eq(take_bytes(own, strlen(own), "127.0.0.1", 0), COOKIE_KEPT);
    empty();
}
END_TEST

static const char *const removing[] = {
    "a=",
    "a=; Max-Age=60",
    "a=x; Max-Age=0",
    "a=x; Max-Age=-1",
    "a=x; max-age=00",
    "a=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    "a=x; Expires=Thu, 01-Jan-1970 00:00:00 GMT",
    "a=x; Expires=Sun, 06 Nov 1994 08:49:37 GMT",
    "a=x; Max-Age=0; Expires=Sun, 06 Nov 2094 08:49:37 GMT",
};

START_TEST(a_cookie_is_taken_back)
{
    ck_assert_int_eq(take("a=1"), COOKIE_KEPT);
    ck_assert_int_eq(take("b=2"), COOKIE_KEPT);
    ck_assert_msg(take(removing[_i]) == COOKIE_REMOVED, "%s", removing[_i]);
    ck_assert_str_eq(returned(), "b=2");
    empty();
}
END_TEST

START_TEST(without_a_date_only_the_first_second_of_all_is_in_the_past)
{
    static const char first[] = "a=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    static const char later[] = "a=x; Expires=Sun, 06 Nov 1994 08:49:37 GMT";
    ck_assert_int_eq(take_bytes(first, strlen(first), "h", 0), COOKIE_REMOVED);
    ck_assert_int_eq(take_bytes(later, strlen(later), "h", 0), COOKIE_KEPT);
    ck_assert_str_eq(returned_at(UINT64_MAX - 1, false), "a=x");
    empty();
}
END_TEST

/* ---- the jar ------------------------------------------------------------------------------ */

START_TEST(a_later_cookie_replaces_the_one_of_its_name)
{
    take("a=1");
    take("b=2");
    take("a=3");
    take("A=4"); /* names are told apart by case */
    ck_assert_str_eq(returned(), "b=2; a=3; A=4");
    empty();
}
END_TEST

START_TEST(a_cookie_has_an_end)
{
    take("a=1; Max-Age=10");
    take("b=2; Expires=Sun, 06 Nov 1994 08:49:57 GMT");
    take("c=3");
    ck_assert_str_eq(returned_at(NOW_MS + 9999, false), "a=1; b=2; c=3");
    ck_assert_str_eq(returned_at(NOW_MS + 10000, false), "b=2; c=3");
    ck_assert_str_eq(returned_at(NOW_MS + 20000, false), "c=3");
    empty();
}
END_TEST

START_TEST(a_secure_cookie_is_returned_over_tls_only)
{
    take("a=1; Secure");
    take("b=2");
    ck_assert_str_eq(returned_at(NOW_MS, false), "b=2");
    ck_assert_str_eq(returned_at(NOW_MS, true), "a=1; b=2");
    empty();
}
END_TEST

START_TEST(the_jar_has_limits_and_the_oldest_makes_room)
{
    char text[COOKIE_BYTES_MAX + 16];
    for (unsigned i = 0; i <= COOKIE_COUNT_MAX; i++) {
        snprintf(text, sizeof text, "n%u=v", i);
        ck_assert_int_eq(take(text), COOKIE_KEPT);
    }
    ck_assert_uint_eq(jar.count, COOKIE_COUNT_MAX);
    ck_assert_int_eq(strncmp(returned(), "n1=v; n2=v", 10), 0);

    memset(text, 'x', sizeof text);
    text[1] = '=';
    ck_assert_int_eq(take_bytes(text, COOKIE_BYTES_MAX + 2, "h", 0), COOKIE_IGNORED);
    ck_assert_uint_eq(jar.count, COOKIE_COUNT_MAX);
    ck_assert_int_eq(take_bytes(text, COOKIE_BYTES_MAX + 1, "h", 0), COOKIE_KEPT);
    ck_assert_uint_eq(jar.count, 1);
    ck_assert_uint_eq(jar.bytes, COOKIE_BYTES_MAX);
    ck_assert_uint_eq(strlen(returned()), COOKIE_BYTES_MAX + 1);
    empty();
}
END_TEST

/* ---- Cookie ------------------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *base;
    bool base_wins;
    const char *expect;
} merged[] = {
    {"the jar alone", "", false, "a=1; b=2"},
    {"both", "c=3; d=4", false, "c=3; d=4; a=1; b=2"},
    {"the server's newer value", "a=old; c=3", false, "c=3; a=1; b=2"},
    {"all of them are the server's", "b=old;a=old", false, "a=1; b=2"},
    {"what the configuration says stays", "a=mine; c=3", true, "a=mine; c=3; b=2"},
    {"blanks and nothing", " ;; c=3 ; ", false, "c=3; a=1; b=2"},
    {"a piece without a name", "c; a", true, "c; a; b=2"},
};

START_TEST(cookies_of_both_sides_are_one_field)
{
    take("a=1");
    take("b=2");
    char *exact = malloc(strlen(merged[_i].base) + 1);
    strcpy(exact, merged[_i].base);
    size_t bytes =
        cookie_jar_write(&jar, NOW_MS, false, exact, merged[_i].base_wins, out, sizeof out);
    ck_assert_msg(strcmp(out, merged[_i].expect) == 0, "%s: %s", merged[_i].why, out);
    ck_assert_uint_eq(bytes, strlen(out));
    free(exact);
    empty();
}
END_TEST

START_TEST(what_does_not_fit_is_not_written)
{
    take("a=1");
    for (size_t room = 1; room < 9; room++) {
        char *small = malloc(room);
        ck_assert_uint_eq(cookie_jar_write(&jar, NOW_MS, false, "b=2", false, small, room), 0);
        free(small);
    }
    ck_assert_uint_eq(cookie_jar_write(&jar, NOW_MS, false, "b=2", false, out, 9), 8);
    ck_assert_str_eq(out, "b=2; a=1");
    empty();
}
END_TEST

START_TEST(a_full_jar_fits_into_the_room_that_is_said)
{
    char text[COOKIE_BYTES_MAX];
    for (unsigned i = 0; i < COOKIE_COUNT_MAX; i++) {
        int bytes = snprintf(text, sizeof text, "n%02u=", i);
        memset(text + bytes, 'v', sizeof text - (size_t)bytes);
        take_bytes(text, (size_t)bytes + COOKIE_BYTES_MAX / COOKIE_COUNT_MAX - 3, "h", 0);
    }
    ck_assert_uint_eq(jar.count, COOKIE_COUNT_MAX);
    ck_assert_uint_eq(jar.bytes, COOKIE_BYTES_MAX);
    ck_assert_uint_eq(
        cookie_jar_write(&jar, NOW_MS, false, "x", false, out, COOKIE_FIELD_BYTES_MAX + 1 + 1),
        COOKIE_FIELD_BYTES_MAX + 1);
    empty();
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------- */

START_TEST(without_memory_it_is_said)
{
    static const char text[] = "a=1";
    const struct cookie_origin origin = {.host = "h", .target = "/"};
    allocation_failing = 1;
    counting = true;
    enum cookie_result result =
        cookie_jar_take(&jar, &origin, (struct http_text){.at = text, .bytes = 3});
    counting = false;
    ck_assert_int_eq(result, COOKIE_ERR_NO_MEMORY);
    empty();
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("cookie");
    LOOP(a_cookie_is_kept_and_returned, kept);
    LOOP(a_cookie_that_is_malformed_or_for_others_is_ignored, ignored);
    tcase_add_test(tcase, no_byte_can_begin_another_cookie_or_another_field);
    tcase_add_test(tcase, an_address_has_no_domain_above_it);
    LOOP(a_cookie_is_taken_back, removing);
    tcase_add_test(tcase, without_a_date_only_the_first_second_of_all_is_in_the_past);
    tcase_add_test(tcase, a_later_cookie_replaces_the_one_of_its_name);
    tcase_add_test(tcase, a_cookie_has_an_end);
    tcase_add_test(tcase, a_secure_cookie_is_returned_over_tls_only);
    tcase_add_test(tcase, the_jar_has_limits_and_the_oldest_makes_room);
    LOOP(cookies_of_both_sides_are_one_field, merged);
    tcase_add_test(tcase, what_does_not_fit_is_not_written);
    tcase_add_test(tcase, a_full_jar_fits_into_the_room_that_is_said);
    tcase_add_test(tcase, without_memory_it_is_said);

    Suite *suite = suite_create("cookie");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
