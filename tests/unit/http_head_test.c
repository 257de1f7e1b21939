/* HTTP/1.1 heads, strictly. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http_head.h"

#define TEXT(literal) (literal), sizeof(literal) - 1

static const char good[] = "GET /chat?a=b HTTP/1.1\r\n"
                           "Host: server.example.com\r\n"
                           "Empty:\r\n"
                           "Connection:keep-alive, \t Upgrade\r\n"
                           "connection: \t two words \t \r\n"
                           "\r\n";

/* Heads are parsed in a buffer of exactly their size: reading on is noticed. */
static uint8_t *copy;
static struct http_head head;

static void forget(void)
{
    free(copy);
    copy = NULL;
}

static enum http_head_result parse(const char *text, size_t bytes, bool request)
{
    forget();
    copy = malloc(bytes ? bytes : 1);
    memcpy(copy, text, bytes);
    memset(&head, 0x5a, sizeof head);
    return http_head_parse(copy, bytes, request, &head);
}

/* ---- the end of a head -------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *text;
    size_t bytes;
} ends[] = {
    {"a head", TEXT("GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
    {"nothing but its end", TEXT("\r\n\r\n")},
    {"a CR too many before it", TEXT("a\r\n\r\r\n\r\n")},
    {"many CRs", TEXT("\r\r\r\r\n\r\r\n\r\n")},
    {"a line end before it", TEXT("\r\na\r\n\r\n")},
    {"a zero byte ends nothing", TEXT("a\0b\r\n\r\n")},
};

START_TEST(the_end_of_a_head_is_found_wherever_it_is_split)
{
    size_t bytes = ends[_i].bytes;
    const uint8_t *text = (const uint8_t *)ends[_i].text;
    for (size_t split = 0; split <= bytes; split++) {
        size_t scanned = 0;
        size_t head_bytes = 0;
        if (split < bytes)
            ck_assert_msg(http_head_find_end(text, split, &scanned, &head_bytes) ==
                              HTTP_HEAD_NEED_MORE,
                          "%s: %zu", ends[_i].why, split);
        ck_assert_msg(http_head_find_end(text, bytes, &scanned, &head_bytes) == HTTP_HEAD_OK,
                      "%s: %zu", ends[_i].why, split);
        ck_assert_uint_eq(head_bytes, bytes);
    }
    size_t scanned = 0;
    size_t head_bytes = 0;
    for (size_t i = 0; i < bytes; i++)
        ck_assert_msg(http_head_find_end(text, i, &scanned, &head_bytes) == HTTP_HEAD_NEED_MORE,
                      "%s: byte %zu", ends[_i].why, i);
    ck_assert_int_eq(http_head_find_end(text, bytes, &scanned, &head_bytes), HTTP_HEAD_OK);
    ck_assert_uint_eq(head_bytes, bytes);
}
END_TEST

static const struct {
    const char *why;
    const char *text;
    size_t good_bytes; /* before the LF that shows it */
} bare[] = {
    {"an LF alone (RFC 9112 2.2)", "\n\r\n\r\n", 0},
    {"lines that end with it", "HTTP/1.1 101 Yes\nA: b\n\n", 16},
    {"for the empty line", "a\r\nb\r\n\n", 6},
    {"between right ones", "a\r\nb\nc\r\n\r\n", 4},
    {"two for one", "a\r\n\nb\r\n\r\n", 3},
};

/* Nobody waits for an end that such a peer would never send. */
START_TEST(a_bare_lf_is_refused_when_it_comes)
{
    const uint8_t *text = (const uint8_t *)bare[_i].text;
    size_t scanned = 0;
    size_t head_bytes = 0;
    ck_assert_msg(http_head_find_end(text, strlen(bare[_i].text), &scanned, &head_bytes) ==
                      HTTP_HEAD_ERR_LINE_END,
                  "%s", bare[_i].why);
    scanned = 0;
    for (size_t bytes = 0; bytes <= bare[_i].good_bytes + 1; bytes++)
        ck_assert_msg(
            http_head_find_end(text, bytes, &scanned, &head_bytes) ==
                (bytes <= bare[_i].good_bytes ? HTTP_HEAD_NEED_MORE : HTTP_HEAD_ERR_LINE_END),
            "%s: %zu bytes", bare[_i].why, bytes);
}
END_TEST

START_TEST(what_follows_a_head_is_not_of_it)
{
    static const char text[] = "a\r\n\r\nb\r\n\r\n";
    size_t scanned = 0;
    size_t head_bytes = 0;
    ck_assert_int_eq(http_head_find_end((const uint8_t *)text, strlen(text), &scanned, &head_bytes),
                     HTTP_HEAD_OK);
    ck_assert_uint_eq(head_bytes, 5);
}
END_TEST

START_TEST(what_was_scanned_is_not_scanned_again)
{
    uint8_t text[100];
    size_t scanned = 0;
    size_t head_bytes = 0;
    memset(text, 'a', sizeof text);
    ck_assert_int_eq(http_head_find_end(text, 50, &scanned, &head_bytes), HTTP_HEAD_NEED_MORE);
    memcpy(text + 10, "\r\n\r\n", 4); /* nobody looks back there */
    ck_assert_int_eq(http_head_find_end(text, 100, &scanned, &head_bytes), HTTP_HEAD_NEED_MORE);
}
END_TEST

START_TEST(a_head_has_a_limit_and_may_reach_it)
{
    static uint8_t text[HTTP_HEAD_BYTES_MAX + 8];
    for (size_t bytes = HTTP_HEAD_BYTES_MAX - 3; bytes <= HTTP_HEAD_BYTES_MAX + 3; bytes++)
        for (size_t first = 0; first <= bytes; first += first < bytes - 8 ? bytes - 8 : 1) {
            bool fits = bytes <= HTTP_HEAD_BYTES_MAX;
            size_t scanned = 0;
            size_t head_bytes = 0;
            memset(text, 'a', sizeof text);
            memcpy(text + bytes - 4, "\r\n\r\n", 4);
            enum http_head_result got = http_head_find_end(text, first, &scanned, &head_bytes);
            if (first < bytes)
                ck_assert_int_eq(got, first < HTTP_HEAD_BYTES_MAX ? HTTP_HEAD_NEED_MORE
                                                                  : HTTP_HEAD_ERR_TOO_BIG);
            got = http_head_find_end(text, bytes, &scanned, &head_bytes);
            ck_assert_msg(got == (fits ? HTTP_HEAD_OK : HTTP_HEAD_ERR_TOO_BIG),
                          "%zu bytes, of them %zu first: \"%s\"", bytes, first,
                          http_head_result_text(got));
            if (fits)
                ck_assert_uint_eq(head_bytes, bytes);
        }
}
END_TEST

/* ---- right heads -------------------------------------------------------------------------- */

START_TEST(a_head_is_taken_apart)
{
    ck_assert_int_eq(parse(TEXT(good), true), HTTP_HEAD_OK);
    ck_assert(http_text_equals(head.start[0], "GET"));
    ck_assert(http_text_equals(head.start[1], "/chat?a=b"));
    ck_assert(http_text_equals(head.start[2], "HTTP/1.1"));
    ck_assert_uint_eq(head.field_count, 4);
    ck_assert(http_text_equals(head.fields[0].name, "Host"));
    ck_assert(http_text_equals(head.fields[0].value, "server.example.com"));
    ck_assert(http_text_equals(head.fields[1].value, "")); /* RFC 9110 5.5 */
    ck_assert(http_text_equals(head.fields[2].value, "keep-alive, \t Upgrade"));
    ck_assert(http_text_equals(head.fields[3].value, "two words")); /* RFC 9112 5 */
}
END_TEST

static const struct {
    const char *why;
    const char *line;
    size_t bytes;
    const char *status;
    const char *reason;
} answers[] = {
    {"a status and a reason (RFC 9112 4)", TEXT("HTTP/1.1 101 Switching Protocols"), "101",
     "Switching Protocols"},
    {"a reason may be empty (RFC 9112 4)", TEXT("HTTP/1.1 404 "), "404", ""},
    {"its space is often forgotten", TEXT("HTTP/1.0 404"), "404", ""},
    {"a reason may have a tab and bytes over 7F (RFC 9112 4)", TEXT("HTTP/1.1 200 a\tb\xe9"), "200",
     "a\tb\xe9"},
    {"a reason may begin with a space", TEXT("HTTP/1.1 200  x"), "200", " x"},
    {"the smallest status", TEXT("HTTP/1.1 100 x"), "100", "x"},
    {"the largest status", TEXT("HTTP/1.1 999 x"), "999", "x"},
};

START_TEST(an_answer_is_taken_apart)
{
    char text[100];
    memcpy(text, answers[_i].line, answers[_i].bytes);
    memcpy(text + answers[_i].bytes, "\r\nA: b\r\n\r\n", 10);
    ck_assert_msg(parse(text, answers[_i].bytes + 10, false) == HTTP_HEAD_OK, "%s",
                  answers[_i].why);
    ck_assert_msg(http_text_equals(head.start[1], answers[_i].status), "%s", answers[_i].why);
    ck_assert_msg(http_text_equals(head.start[2], answers[_i].reason), "%s", answers[_i].why);
    ck_assert_uint_eq(head.field_count, 1);
}
END_TEST

START_TEST(a_head_may_have_no_fields_and_as_many_as_fit)
{
    static char text[HTTP_HEAD_BYTES_MAX];
    ck_assert_int_eq(parse(TEXT("GET / HTTP/1.1\r\n\r\n"), true), HTTP_HEAD_OK);
    ck_assert_uint_eq(head.field_count, 0);
    for (unsigned count = HTTP_FIELD_COUNT_MAX - 1; count <= HTTP_FIELD_COUNT_MAX + 1; count++) {
        size_t bytes = (size_t)sprintf(text, "GET / HTTP/1.1\r\n");
        for (unsigned i = 0; i < count; i++)
            bytes += (size_t)sprintf(text + bytes, "A%u: %u\r\n", i, i);
        bytes += (size_t)sprintf(text + bytes, "\r\n");
        bool fits = count <= HTTP_FIELD_COUNT_MAX;
        ck_assert_int_eq(parse(text, bytes, true), fits ? HTTP_HEAD_OK : HTTP_HEAD_ERR_TOO_BIG);
        if (fits)
            ck_assert_uint_eq(head.field_count, count);
    }
    ck_assert(http_text_equals(head.fields[99].value, "99"));
}
END_TEST

/* ---- wrong heads -------------------------------------------------------------------------- */

#define REQUEST(literal) true, (literal), sizeof(literal) - 1
#define ANSWER(literal) false, (literal), sizeof(literal) - 1
#define FIELD(literal) REQUEST("GET / HTTP/1.1\r\nA: b\r\n" literal "\r\n\r\n"), HTTP_HEAD_ERR_FIELD
#define START(literal) REQUEST(literal "\r\nA: b\r\n\r\n"), HTTP_HEAD_ERR_START
#define STATUS(literal) ANSWER(literal "\r\nA: b\r\n\r\n"), HTTP_HEAD_ERR_START

static const struct {
    const char *why;
    bool request;
    const char *text;
    size_t bytes;
    enum http_head_result expect;
} wrong[] = {
    {"nothing", REQUEST(""), HTTP_HEAD_ERR_LINE_END},
    {"an empty line first", REQUEST("\r\n\r\n"), HTTP_HEAD_ERR_START},
    {"an empty line before the request (RFC 9112 2.2)", START("\r\nGET / HTTP/1.1")},
    {"no target", START("GET HTTP/1.1")},
    {"an empty target", START("GET  HTTP/1.1")},
    {"two spaces before the target (RFC 9112 3)", START("GET  / HTTP/1.1")},
    {"two spaces after the target (RFC 9112 3)", START("GET /  HTTP/1.1")},
    {"a space inside of the target (RFC 9112 3.2)", START("GET /a b HTTP/1.1")},
    {"a tab instead of a space (RFC 9112 3)", START("GET\t/ HTTP/1.1")},
    {"a tab inside of the target (RFC 9112 3.2)", START("GET /a\tb HTTP/1.1")},
    {"a zero byte inside of the target", START("GET /a\0b HTTP/1.1")},
    {"a DEL inside of the target", START("GET /a\x7f HTTP/1.1")},
    {"a target that is not ASCII (RFC 3986 2)", START("GET /\xc3\xa9 HTTP/1.1")},
    {"no version, as in HTTP/0.9 (RFC 9112 3)", START("GET /")},
    {"an empty version (RFC 9112 2.3)", START("GET / ")},
    {"a space after the version (RFC 9112 3)", START("GET / HTTP/1.1 ")},
    {"a version in small letters (RFC 9112 2.3)", START("GET / http/1.1")},
    {"a version of another protocol (RFC 9112 2.3)", START("GET / HTTQ/1.1")},
    {"a version of two digits (RFC 9112 2.3)", START("GET / HTTP/1.10")},
    {"a version without a minor (RFC 9112 2.3)", START("GET / HTTP/2")},
    {"a version with a comma (RFC 9112 2.3)", START("GET / HTTP/1,1")},
    {"letters for digits (RFC 9112 2.3)", START("GET / HTTP/x.1")},
    {"letters for the last digit (RFC 9112 2.3)", START("GET / HTTP/1.x")},
    {"no method (RFC 9110 9.1)", START(" / HTTP/1.1")},
    {"a method that is no token (RFC 9110 9.1)", START("G@T / HTTP/1.1")},
    {"a method with a zero byte (RFC 9110 9.1)", START("G\0T / HTTP/1.1")},
    {"an answer for a request", START("HTTP/1.1 200 OK")},
    {"a request for an answer", STATUS("GET / HTTP/1.1")},
    {"a version alone (RFC 9112 4)", STATUS("HTTP/1.1")},
    {"a status of two digits (RFC 9112 4)", STATUS("HTTP/1.1 99 x")},
    {"a status of four digits (RFC 9112 4)", STATUS("HTTP/1.1 1010 x")},
    {"a status under 100 (RFC 9110 15)", STATUS("HTTP/1.1 099 x")},
    {"a status that is no number (RFC 9112 4)", STATUS("HTTP/1.1 1x1 x")},
    {"a status with a sign (RFC 9112 4)", STATUS("HTTP/1.1 +10 x")},
    {"two spaces before the status (RFC 9112 4)", STATUS("HTTP/1.1  101 x")},
    {"a tab after the status (RFC 9112 4)", STATUS("HTTP/1.1 101\tx")},
    {"a zero byte in the reason (RFC 9112 4)", STATUS("HTTP/1.1 101 a\0b")},
    {"a DEL in the reason (RFC 9112 4)", STATUS("HTTP/1.1 101 a\x7f")},
    {"an answer of another protocol", STATUS("ICY 200 OK")},
    {"a field without a colon (RFC 9112 5)", FIELD("Host")},
    {"a field without a name (RFC 9112 5)", FIELD(": a")},
    {"a space before the colon (RFC 9112 5.1)", FIELD("Host : a")},
    {"a tab before the colon (RFC 9112 5.1)", FIELD("Host\t: a")},
    {"a space inside of a name (RFC 9112 5)", FIELD("Ho st: a")},
    {"a name that is not ASCII (RFC 9110 5.1)", FIELD("H\xc3\xb6st: a")},
    {"a name with a zero byte (RFC 9110 5.1)", FIELD("Ho\0st: a")},
    {"a name in quotes (RFC 9110 5.1)", FIELD("\"Host\": a")},
    {"a folded line (RFC 9112 5.2)", FIELD(" folded")},
    {"a folded line with a tab (RFC 9112 5.2)", FIELD("\tfolded")},
    {"a folded line that looks like a field (RFC 9112 5.2)", FIELD(" Host: a")},
    {"a folded line of nothing (RFC 9112 5.2)", FIELD(" ")},
    {"a fold right after the first line (RFC 9112 2.2)",
     REQUEST("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), HTTP_HEAD_ERR_FIELD},
    {"a zero byte in a value (RFC 9110 5.5)", FIELD("Host: a\0b")},
    {"a control character in a value (RFC 9110 5.5)", FIELD("Host: a\x01")},
    {"a DEL in a value (RFC 9110 5.5)", FIELD("Host: a\x7f")},
    {"a bare LF after the first line (RFC 9112 2.2)", REQUEST("GET / HTTP/1.1\nHost: a\r\n\r\n"),
     HTTP_HEAD_ERR_LINE_END},
    {"a bare LF in a value (RFC 9112 2.2)", REQUEST("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n"),
     HTTP_HEAD_ERR_LINE_END},
    {"a bare LF for the empty line (RFC 9112 2.2)", REQUEST("GET / HTTP/1.1\r\nA: b\r\n\n"),
     HTTP_HEAD_ERR_LINE_END},
    {"a bare CR in a value (RFC 9112 2.2)", REQUEST("GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n"),
     HTTP_HEAD_ERR_LINE_END},
    {"a bare CR at the end of a value (RFC 9112 2.2)", REQUEST("GET / HTTP/1.1\r\nA: b\r\r\n\r\n"),
     HTTP_HEAD_ERR_LINE_END},
    {"a bare CR in the first line (RFC 9112 2.2)", REQUEST("GET /\r HTTP/1.1\r\n\r\n"),
     HTTP_HEAD_ERR_LINE_END},
    {"the empty line is missing", REQUEST("GET / HTTP/1.1\r\nA: b\r\n"), HTTP_HEAD_ERR_LINE_END},
    {"something after the empty line", REQUEST("GET / HTTP/1.1\r\n\r\nA: b\r\n\r\n"),
     HTTP_HEAD_ERR_START},
};

START_TEST(a_head_that_could_be_read_in_two_ways_is_refused)
{
    enum http_head_result got = parse(wrong[_i].text, wrong[_i].bytes, wrong[_i].request);
    ck_assert_msg(got == wrong[_i].expect, "%s: got \"%s\"", wrong[_i].why,
                  http_head_result_text(got));
}
END_TEST

START_TEST(a_head_cut_anywhere_is_no_head)
{
    for (size_t bytes = 0; bytes < strlen(good); bytes++)
        ck_assert_msg(parse(good, bytes, true) > HTTP_HEAD_NEED_MORE, "%zu bytes", bytes);
}
END_TEST

START_TEST(one_zero_byte_cr_or_lf_anywhere_spoils_a_head)
{
    char text[sizeof good];
    for (size_t at = 0; at < sizeof good; at++) {
        memcpy(text, good, at);
        text[at] = "\0\r\n"[_i];
        memcpy(text + at + 1, good + at, sizeof good - 1 - at);
        ck_assert_msg(parse(text, sizeof good, true) > HTTP_HEAD_NEED_MORE, "byte %zu", at);
    }
}
END_TEST

/* ---- characters --------------------------------------------------------------------------- */

START_TEST(each_byte_in_a_value_comes_back_or_is_refused)
{
    for (unsigned byte = 0; byte <= 255; byte++) {
        char text[] = "GET / HTTP/1.1\r\nA: a.b\r\n\r\n";
        char *dot = strchr(text, 'a') + 1;
        bool fits = byte == '\t' || (byte >= ' ' && byte != 0x7f); /* RFC 9110 5.5 */
        *dot = (char)byte;
        ck_assert_msg((parse(text, sizeof text - 1, true) == HTTP_HEAD_OK) == fits, "%02x", byte);
        ck_assert_msg(http_is_field_value(dot - 1, 3) == fits, "%02x", byte);
        if (fits) {
            ck_assert_uint_eq(head.fields[0].value.bytes, 3);
            ck_assert_mem_eq(head.fields[0].value.at, dot - 1, 3);
        }
    }
    ck_assert(http_is_field_value("", 0));
}
END_TEST

START_TEST(each_byte_in_a_name_is_of_a_token_or_refused)
{
    static const char others[] = "!#$%&'*+-.^_`|~"; /* RFC 9110 5.6.2 */
    for (unsigned byte = 0; byte <= 255; byte++) {
        char text[] = "GET / HTTP/1.1\r\nA.b: c\r\n\r\n";
        char *dot = strstr(text, "A.") + 1;
        bool fits = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                    (byte >= 'a' && byte <= 'z') || (byte && strchr(others, (int)byte));
        *dot = (char)byte;
        ck_assert_msg(http_is_token(dot - 1, 3) == fits, "%02x", byte);
        if (byte != ':') /* which ends the name before */
            ck_assert_msg((parse(text, sizeof text - 1, true) == HTTP_HEAD_OK) == fits, "%02x",
                          byte);
    }
    ck_assert(!http_is_token("", 0));
}
END_TEST

/* ---- questions ---------------------------------------------------------------------------- */

START_TEST(fields_are_found_by_name_whatever_its_case)
{
    ck_assert_int_eq(parse(TEXT(good), true), HTTP_HEAD_OK);
    ck_assert_uint_eq(http_head_count(&head, "CONNECTION"), 2);
    ck_assert_uint_eq(http_head_count(&head, "Connectio"), 0);
    ck_assert_uint_eq(http_head_count(&head, "Connections"), 0);
    ck_assert_ptr_eq(http_head_field(&head, "connection", 0), &head.fields[2]);
    ck_assert_ptr_eq(http_head_field(&head, "Connection", 1), &head.fields[3]);
    ck_assert_ptr_null(http_head_field(&head, "Connection", 2));
    ck_assert_ptr_null(http_head_field(&head, "Upgrade", 0));
}
END_TEST

static const struct {
    const char *why;
    const char *value;
    bool has;
} lists[] = {
    {"alone", "upgrade", true},
    {"case is ignored (RFC 9110 7.6.1)", "UpGrAdE", true},
    {"first", "upgrade, keep-alive", true},
    {"last", "keep-alive,upgrade", true},
    {"in the middle, with blanks around (RFC 9110 5.6.1)", "a,\t upgrade\t ,b", true},
    {"between empty elements (RFC 9110 5.6.1.2)", ",, upgrade,,", true},
    {"a part of another token", "upgrades", false},
    {"the end of another token", "no-upgrade", false},
    {"with a parameter it is another thing", "upgrade;q=1", false},
    {"two words are no list", "keep-alive upgrade", false},
    {"nothing", "", false},
    {"nothing but commas", " , ,", false},
};

START_TEST(a_list_has_a_token_or_not)
{
    char text[100];
    int bytes =
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nConnection: %s\r\n\r\n", lists[_i].value);
    ck_assert_int_eq(parse(text, (size_t)bytes, true), HTTP_HEAD_OK);
    ck_assert_msg(http_head_has_token(&head, "connection", "Upgrade") == lists[_i].has, "%s",
                  lists[_i].why);
    ck_assert(!http_head_has_token(&head, "Upgrade", "upgrade"));
}
END_TEST

START_TEST(a_list_goes_on_in_the_next_field_of_its_name)
{
    ck_assert_int_eq(parse(TEXT("GET / HTTP/1.1\r\nA: b\r\nX: d\r\na: c\r\n\r\n"), true),
                     HTTP_HEAD_OK); /* RFC 9110 5.3 */
    ck_assert(http_head_has_token(&head, "A", "b"));
    ck_assert(http_head_has_token(&head, "A", "c"));
    ck_assert(!http_head_has_token(&head, "A", "d"));
}
END_TEST

START_TEST(texts_are_equal_to_the_letter_or_but_for_case)
{
    const struct http_text text = {"Hello world", 5};
    ck_assert(http_text_equals(text, "Hello"));
    ck_assert(!http_text_equals(text, "hello"));
    ck_assert(!http_text_equals(text, "Hell"));
    ck_assert(!http_text_equals(text, "Hello "));
    ck_assert(http_text_equals_nocase(text, "hELLO"));
    ck_assert(!http_text_equals_nocase(text, "hELL"));
    ck_assert(!http_text_equals_nocase(text, "hELLO "));
}
END_TEST

START_TEST(every_result_has_words_of_its_own)
{
    for (unsigned a = 0; a < HTTP_HEAD_RESULT_COUNT; a++)
        for (unsigned b = 0; b < a; b++)
            ck_assert_str_ne(http_head_result_text((enum http_head_result)a),
                             http_head_result_text((enum http_head_result)b));
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("http_head");
    tcase_add_checked_fixture(tcase, NULL, forget);
    LOOP(the_end_of_a_head_is_found_wherever_it_is_split, ends);
    LOOP(a_bare_lf_is_refused_when_it_comes, bare);
    tcase_add_test(tcase, what_follows_a_head_is_not_of_it);
    tcase_add_test(tcase, what_was_scanned_is_not_scanned_again);
    tcase_add_test(tcase, a_head_has_a_limit_and_may_reach_it);
    tcase_add_test(tcase, a_head_is_taken_apart);
    LOOP(an_answer_is_taken_apart, answers);
    tcase_add_test(tcase, a_head_may_have_no_fields_and_as_many_as_fit);
    LOOP(a_head_that_could_be_read_in_two_ways_is_refused, wrong);
    tcase_add_test(tcase, a_head_cut_anywhere_is_no_head);
    tcase_add_loop_test(tcase, one_zero_byte_cr_or_lf_anywhere_spoils_a_head, 0, 3);
    tcase_add_test(tcase, each_byte_in_a_value_comes_back_or_is_refused);
    tcase_add_test(tcase, each_byte_in_a_name_is_of_a_token_or_refused);
    tcase_add_test(tcase, fields_are_found_by_name_whatever_its_case);
    LOOP(a_list_has_a_token_or_not, lists);
    tcase_add_test(tcase, a_list_goes_on_in_the_next_field_of_its_name);
    tcase_add_test(tcase, texts_are_equal_to_the_letter_or_but_for_case);
    tcase_add_test(tcase, every_result_has_words_of_its_own);

    Suite *suite = suite_create("http_head");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
