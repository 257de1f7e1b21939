/* Sec-WebSocket-Extensions: offers, answers, and everything that is neither. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/deflate_offer.h"

/* Headers of that name with these values; NULL ends them. */
static void head_make(struct http_head *head, const char *const *values)
{
    *head = (struct http_head){.field_count = 1};
    head->fields[0] = (struct http_field){{"Host", 4}, {"h", 1}};
    for (; *values; values++)
        head->fields[head->field_count++] =
            (struct http_field){{"sec-websocket-EXTENSIONS", 24}, {*values, strlen(*values)}};
}

static enum deflate_offer_result choose(const char *value, struct deflate_terms *terms)
{
    struct http_head head;
    head_make(&head, (const char *const[]){value, NULL});
    return deflate_offer_choose(&head, terms);
}

static enum deflate_offer_result check(const char *value, struct deflate_terms *terms)
{
    struct http_head head;
    head_make(&head, (const char *const[]){value, NULL});
    return deflate_offer_check(&head, terms);
}

#define PMD "permessage-deflate"

/* ---- offers --------------------------------------------------------------------------------- */

static const struct {
    const char *offer;
    const char *answer; /* NULL: declined; "": 400 */
} offers[] = {
    {PMD, PMD},
    {PMD "; client_max_window_bits", PMD},
    {PMD ";client_max_window_bits", PMD},
    {" \t" PMD " \t ;\tclient_max_window_bits\t=\t9 ", PMD "; client_max_window_bits=9"},
    {PMD "; client_max_window_bits=\"9\"", PMD "; client_max_window_bits=9"},
    {PMD "; client_max_window_bits=\"1\\0\"", PMD "; client_max_window_bits=10"},
    {PMD "; server_max_window_bits=10", PMD "; server_max_window_bits=10"},
    {PMD "; server_no_context_takeover", PMD "; server_no_context_takeover"},
    {PMD "; client_no_context_takeover; server_max_window_bits=8",
     PMD "; client_no_context_takeover; server_max_window_bits=8"},
    {PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; "
         "client_max_window_bits=11",
     PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; "
         "client_max_window_bits=11"},
    {"foo, " PMD, PMD},
    {"foo; a=b; c=\"d\"; e, " PMD "; unknown, " PMD "; server_max_window_bits=9",
     PMD "; server_max_window_bits=9"},
    {PMD "; server_max_window_bits=16, " PMD, PMD},
    {PMD "; server_max_window_bits=10, " PMD, PMD "; server_max_window_bits=10"},
    /* 7.1: what a server must decline */
    {"foo", NULL},
    {"x-webkit-deflate-frame", NULL},
    {"PERMESSAGE-DEFLATE-2", NULL},
    {PMD "; unknown", NULL},
    {PMD "; unknown=1", NULL},
    {PMD "; server_max_window_bits", NULL},
    {PMD "; server_no_context_takeover=1", NULL},
    {PMD "; client_no_context_takeover=true", NULL},
    {PMD "; client_max_window_bits; client_max_window_bits", NULL},
    {PMD "; client_max_window_bits=9; client_max_window_bits=9", NULL},
    {PMD "; server_no_context_takeover; server_no_context_takeover", NULL},
    {PMD "; server_max_window_bits=10; server_max_window_bits=10", NULL},
    {PMD "; server_max_window_bits=08", NULL},
    {PMD "; server_max_window_bits=010", NULL},
    {PMD "; server_max_window_bits=\"7\"", NULL},
    {PMD "; server_max_window_bits=+9", NULL},
    {PMD "; server_max_window_bits=-9", NULL},
    {PMD "; server_max_window_bits=1e1", NULL},
    {PMD "; server_max_window_bits=99999999999999999999999999999999999999", NULL},
    {PMD "; server_max_window_bits=4294967305", NULL},
    /* RFC 6455 9.1: no list of extensions */
    {"", ""},
    {",", ""},
    {PMD ",", ""},
    {"," PMD, ""},
    {PMD ",," PMD, ""},
    {PMD ";", ""},
    {PMD "; ;", ""},
    {"; " PMD, ""},
    {PMD " " PMD, ""},
    {PMD "=1", ""},
    {PMD "; client_max_window_bits=", ""},
    {PMD "; client_max_window_bits=\"\"", ""},
    {PMD "; client_max_window_bits=\"9", ""},
    {PMD "; client_max_window_bits=\"9\\", ""},
    {PMD "; client_max_window_bits=\"9 \"", ""},
    {PMD "; client_max_window_bits=9\"", ""},
    {PMD "; client_max_window_bits==9", ""},
    {PMD "; =9", ""},
    {PMD "; client(max", ""},
    {"\"" PMD "\"", ""},
};

START_TEST(an_offer_is_accepted_declined_or_malformed)
{
    struct deflate_terms terms;
    char answer[DEFLATE_ANSWER_BYTES_MAX];
    enum deflate_offer_result result = choose(offers[_i].offer, &terms);
    if (!offers[_i].answer) {
        ck_assert_msg(result == DEFLATE_OFFER_NONE, "%s: %d", offers[_i].offer, (int)result);
        return;
    }
    if (!*offers[_i].answer) {
        ck_assert_msg(result == DEFLATE_OFFER_ERR_SYNTAX, "%s: %d", offers[_i].offer, (int)result);
        return;
    }
    ck_assert_msg(result == DEFLATE_OFFER_OK, "%s: %d", offers[_i].offer, (int)result);
    deflate_offer_answer(&terms, answer);
    ck_assert_str_eq(answer, offers[_i].answer);
}
END_TEST

START_TEST(offers_in_several_headers_are_one_list)
{
    struct http_head head;
    struct deflate_terms terms;
    head_make(&head, (const char *const[]){"foo", PMD "; server_max_window_bits=9", PMD, NULL});
    ck_assert_int_eq(deflate_offer_choose(&head, &terms), DEFLATE_OFFER_OK);
    ck_assert_uint_eq(terms.server_max_window_bits, 9);
    head_make(&head, (const char *const[]){PMD, "foo;", NULL});
    ck_assert_int_eq(deflate_offer_choose(&head, &terms), DEFLATE_OFFER_ERR_SYNTAX);
    head_make(&head, (const char *const[]){NULL});
    ck_assert_int_eq(deflate_offer_choose(&head, &terms), DEFLATE_OFFER_NONE);
    ck_assert_int_eq(deflate_offer_check(&head, &terms), DEFLATE_OFFER_NONE);
    head_make(&head, (const char *const[]){PMD, PMD, NULL});
    ck_assert_int_eq(deflate_offer_check(&head, &terms), DEFLATE_OFFER_ERR_TWICE);
}
END_TEST

/* ---- answers -------------------------------------------------------------------------------- */

static const struct {
    const char *answer;
    enum deflate_offer_result expect;
} answers[] = {
    {PMD, DEFLATE_OFFER_OK},
    {PMD "; server_no_context_takeover", DEFLATE_OFFER_OK},
    {PMD "; client_no_context_takeover; server_no_context_takeover", DEFLATE_OFFER_OK},
    {PMD "; client_max_window_bits=\"12\"", DEFLATE_OFFER_OK},
    {PMD ", " PMD, DEFLATE_OFFER_ERR_TWICE},
    {"foo", DEFLATE_OFFER_ERR_EXTENSION},
    {PMD ", foo", DEFLATE_OFFER_ERR_EXTENSION},
    {"Permessage-Deflate", DEFLATE_OFFER_ERR_EXTENSION},
    {"x-webkit-deflate-frame", DEFLATE_OFFER_ERR_EXTENSION},
    {PMD "; client_max_window_bits", DEFLATE_OFFER_ERR_PARAMETER},
    {PMD "; server_max_window_bits", DEFLATE_OFFER_ERR_PARAMETER},
    {PMD "; server_max_window_bits=9; server_max_window_bits=9", DEFLATE_OFFER_ERR_PARAMETER},
    {PMD "; client_no_context_takeover; client_no_context_takeover", DEFLATE_OFFER_ERR_PARAMETER},
    {PMD "; server_no_context_takeover=0", DEFLATE_OFFER_ERR_PARAMETER},
    {PMD "; unknown", DEFLATE_OFFER_ERR_PARAMETER},
    {PMD "; mux=1", DEFLATE_OFFER_ERR_PARAMETER},
    {"", DEFLATE_OFFER_ERR_SYNTAX},
    {PMD ";", DEFLATE_OFFER_ERR_SYNTAX},
    {PMD "; client_max_window_bits=\"9", DEFLATE_OFFER_ERR_SYNTAX},
    {PMD ",", DEFLATE_OFFER_ERR_SYNTAX},
};

START_TEST(an_answer_is_what_was_offered_or_names_what_it_is)
{
    struct deflate_terms terms;
    enum deflate_offer_result result = check(answers[_i].answer, &terms);
    ck_assert_msg(result == answers[_i].expect, "%s: %s", answers[_i].answer,
                  deflate_offer_result_text(result));
}
END_TEST

START_TEST(every_value_of_both_windows_is_judged) /* _i: 0 to 99 */
{
    static const char *const quotes[] = {"", "\""};
    static const char *const names[] = {"server_max_window_bits", "client_max_window_bits"};
    bool is_right = _i >= 8 && _i <= 15;
    for (unsigned form = 0; form < 2; form++)
        for (unsigned name = 0; name < 2; name++) {
            struct deflate_terms terms;
            char value[100];
            snprintf(value, sizeof value, PMD "; %s=%s%d%s", names[name], quotes[form], _i,
                     quotes[form]);
            ck_assert_msg(choose(value, &terms) ==
                              (is_right ? DEFLATE_OFFER_OK : DEFLATE_OFFER_NONE),
                          "%s", value);
            ck_assert_msg(check(value, &terms) ==
                              (is_right ? DEFLATE_OFFER_OK : DEFLATE_OFFER_ERR_PARAMETER),
                          "%s", value);
            if (is_right)
                ck_assert_int_eq(name ? terms.client_max_window_bits : terms.server_max_window_bits,
                                 _i);
            if (is_right)
                ck_assert_int_eq(name ? terms.server_max_window_bits : terms.client_max_window_bits,
                                 15);
        }
}
END_TEST

START_TEST(the_offer_that_we_make_is_one_that_we_would_accept)
{
    struct deflate_terms terms;
    ck_assert_int_eq(choose(deflate_offer_text, &terms), DEFLATE_OFFER_OK);
}
END_TEST

/* Bytes that are looked at: nothing that is longer than one byte is read in any other way.  The
 * linker leads them here: -Wl,--wrap=http_is_token. */
bool __real_http_is_token(const char *text, size_t bytes);
bool __wrap_http_is_token(const char *text, size_t bytes);

static size_t scanned_bytes;

bool __wrap_http_is_token(const char *text, size_t bytes)
{
    scanned_bytes += bytes;
    return __real_http_is_token(text, bytes);
}

static const struct {
    const char *front;
    const char *again;
} hostile[] = {
    {"a; b=\"", "\\\\"},   {"a; b=\"", "\\x"},  {"a", "; b"}, {"a", "; b=\"c\""},
    {"a", ", a"},          {"a; b=", "c"},      {"a", " "},   {PMD, "; server_max_window_bits=9"},
    {PMD, ", " PMD "; x"}, {"a; b=\"", "c\\c"},
};

START_TEST(a_hostile_megabyte_is_looked_at_once)
{
    size_t bytes = 1 << 20;
    size_t again_bytes = strlen(hostile[_i].again);
    char *value = malloc(bytes + 64);
    size_t at = strlen(hostile[_i].front);
    memcpy(value, hostile[_i].front, at);
    for (; at < bytes; at += again_bytes)
        memcpy(value + at, hostile[_i].again, again_bytes);
    struct http_head head = {.field_count = 1};
    struct deflate_terms terms;
    head.fields[0] = (struct http_field){{"Sec-WebSocket-Extensions", 24}, {value, at}};
    scanned_bytes = 0;
    (void)deflate_offer_choose(&head, &terms);
    ck_assert_uint_gt(scanned_bytes, 0);
    ck_assert_uint_le(scanned_bytes, at + 1);
    free(value);
}
END_TEST

START_TEST(random_texts_are_read_to_their_end_or_refused)
{
    static const char *const pieces[] = {PMD,
                                         ";",
                                         ",",
                                         "=",
                                         "\"",
                                         "\\",
                                         " ",
                                         "a",
                                         "9",
                                         "15",
                                         "server_max_window_bits",
                                         "client_max_window_bits",
                                         "server_no_context_takeover",
                                         "\t",
                                         "(",
                                         "\x80"};
    unsigned state = 1;
    unsigned counts[DEFLATE_OFFER_RESULT_COUNT] = {0};
    for (unsigned i = 0; i < 200000; i++) {
        char text[400];
        size_t bytes = 0;
        for (unsigned left = (state = state * 1664525u + 1013904223u) >> 28; left > 0; left--) {
            state = state * 1664525u + 1013904223u;
            const char *piece = pieces[(state >> 8) % (sizeof pieces / sizeof *pieces)];
            memcpy(text + bytes, piece, strlen(piece));
            bytes += strlen(piece);
        }
        char *exact = malloc(bytes + 1); /* a sanitizer sees what is beyond it */
        memcpy(exact, text, bytes);
        struct http_head head = {.field_count = 1};
        struct deflate_terms terms;
        char answer[DEFLATE_ANSWER_BYTES_MAX];
        head.fields[0] = (struct http_field){{"Sec-WebSocket-Extensions", 24}, {exact, bytes}};
        enum deflate_offer_result result = deflate_offer_choose(&head, &terms);
        counts[result]++;
        if (result == DEFLATE_OFFER_OK) { /* what we answer is right for the one who asked */
            deflate_offer_answer(&terms, answer);
            struct deflate_terms again;
            ck_assert_int_eq(check(answer, &again), DEFLATE_OFFER_OK);
            ck_assert_mem_eq(&again, &terms, sizeof terms);
        }
        free(exact);
    }
    ck_assert_uint_gt(counts[DEFLATE_OFFER_OK], 100);
    ck_assert_uint_gt(counts[DEFLATE_OFFER_NONE], 100);
    ck_assert_uint_gt(counts[DEFLATE_OFFER_ERR_SYNTAX], 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deflate_offer");
    TCase *tests = tcase_create("deflate_offer");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, an_offer_is_accepted_declined_or_malformed, 0,
                        sizeof offers / sizeof *offers);
    tcase_add_test(tests, offers_in_several_headers_are_one_list);
    tcase_add_loop_test(tests, an_answer_is_what_was_offered_or_names_what_it_is, 0,
                        sizeof answers / sizeof *answers);
    tcase_add_loop_test(tests, every_value_of_both_windows_is_judged, 0, 100);
    tcase_add_test(tests, the_offer_that_we_make_is_one_that_we_would_accept);
    tcase_add_loop_test(tests, a_hostile_megabyte_is_looked_at_once, 0,
                        sizeof hostile / sizeof *hostile);
    tcase_add_test(tests, random_texts_are_read_to_their_end_or_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
