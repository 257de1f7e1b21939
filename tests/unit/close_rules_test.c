/* What an end means: the defaults, and the rules that come before them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/close_rules.h"

static struct session_end closed_with(uint16_t code, const char *reason)
{
    struct session_end end = {.cause = CAUSE_CLOSED, .was_open = true};
    close_set(&end.close, code, reason);
    return end;
}

static enum close_then by_default(const struct session_end *end)
{
    int rule_index = 99;
    enum close_then then = close_rules_decide(NULL, 0, end, &rule_index);
    ck_assert_int_eq(rule_index, -1);
    return then;
}

/* ---- the defaults ------------------------------------------------------------------------- */

static const struct {
    const char *why;
    uint16_t code;
    const char *reason;
    enum close_then expect;
} default_closes[] = {
    {"the platform cut the link", 1000, "interrupted", CLOSE_THEN_RECONNECT},
    {"normal closure", 1000, "", CLOSE_THEN_END},
    {"normal closure, said so", 1000, "normal closure", CLOSE_THEN_END},
    {"the reason is exact: nothing after it", 1000, "interrupted!", CLOSE_THEN_END},
    {"nothing missing", 1000, "interrupte", CLOSE_THEN_END},
    {"no upper case", 1000, "Interrupted", CLOSE_THEN_END},
    {"going away", 1001, "", CLOSE_THEN_RECONNECT},
    {"going away, in a proxy's words", 1001, "Stream end encountered", CLOSE_THEN_RECONNECT},
    {"protocol error", 1002, "", CLOSE_THEN_END},
    {"unsupported data", 1003, "", CLOSE_THEN_END},
    {"reserved: unlisted", 1004, "", CLOSE_THEN_END},
    {"an empty Close", 1005, NULL, CLOSE_THEN_RECONNECT},
    {"invalid data", 1007, "", CLOSE_THEN_END},
    {"policy violation", 1008, "", CLOSE_THEN_END},
    {"interrupted is a word for 1000 alone", 1008, "interrupted", CLOSE_THEN_END},
    {"message too big", 1009, "", CLOSE_THEN_END},
    {"extension missing", 1010, "", CLOSE_THEN_END},
    {"internal error", 1011, "", CLOSE_THEN_RECONNECT},
    {"service restart", 1012, "", CLOSE_THEN_RECONNECT},
    {"try again later", 1013, "", CLOSE_THEN_RECONNECT_SLOW},
    {"bad gateway", 1014, "", CLOSE_THEN_RECONNECT},
    {"unlisted", 1015, "", CLOSE_THEN_END},
    {"unlisted", 1016, "", CLOSE_THEN_END},
    {"unlisted", 2999, "", CLOSE_THEN_END},
    {"the first of the libraries'", 3000, "", CLOSE_THEN_END},
    {"the last of them", 3999, "", CLOSE_THEN_END},
    {"the first of the application's", 4000, "", CLOSE_THEN_END},
    {"the last of them", 4999, "bye", CLOSE_THEN_END},
};

START_TEST(a_close_means_what_the_default_table_says)
{
    struct session_end end = closed_with(default_closes[_i].code, default_closes[_i].reason);
    enum close_then got = by_default(&end);
    ck_assert_msg(got == default_closes[_i].expect, "%u, %s: got %s", end.close.code,
                  default_closes[_i].why, close_then_name(got));
}
END_TEST

static const struct {
    uint16_t first;
    uint16_t last;
    enum close_then expect;
} default_statuses[] = {
    {100, 399, CLOSE_THEN_RECONNECT_SLOW}, /* no upgrade, and no refusal either */
    {400, 400, CLOSE_THEN_END},
    {401, 401, CLOSE_THEN_RECONNECT_SLOW}, /* the token's file may be renewed */
    {402, 402, CLOSE_THEN_END},
    {403, 404, CLOSE_THEN_RECONNECT_SLOW},
    {405, 406, CLOSE_THEN_END},
    {407, 408, CLOSE_THEN_RECONNECT_SLOW},
    {409, 409, CLOSE_THEN_END},
    {410, 410, CLOSE_THEN_RECONNECT_SLOW},
    {411, 420, CLOSE_THEN_END},
    {421, 421, CLOSE_THEN_RECONNECT_SLOW},
    {422, 424, CLOSE_THEN_END},
    {425, 425, CLOSE_THEN_RECONNECT_SLOW},
    {426, 428, CLOSE_THEN_END},
    {429, 429, CLOSE_THEN_RECONNECT},
    {430, 499, CLOSE_THEN_END},
    {500, 599, CLOSE_THEN_RECONNECT},
    {600, 999, CLOSE_THEN_RECONNECT}, /* RFC 9110, 15: as a 5xx */
};

START_TEST(a_refused_upgrade_means_what_the_default_table_says)
{
    for (uint16_t status = default_statuses[_i].first; status <= default_statuses[_i].last;
         status++) {
        const struct session_end end = {.cause = CAUSE_HTTP_STATUS, .http_status = status};
        enum close_then got = by_default(&end);
        ck_assert_msg(got == default_statuses[_i].expect, "HTTP %u: got %s", status,
                      close_then_name(got));
    }
}
END_TEST

static const struct {
    enum cause cause;
    enum close_then expect;
} default_causes[] = {
    {CAUSE_NONE, CLOSE_THEN_END},
    {CAUSE_DNS_FAILED, CLOSE_THEN_RECONNECT},
    {CAUSE_DNS_TIMEOUT, CLOSE_THEN_RECONNECT},
    {CAUSE_TCP_REFUSED, CLOSE_THEN_RECONNECT},
    {CAUSE_TCP_UNREACHABLE, CLOSE_THEN_RECONNECT},
    {CAUSE_TCP_TIMEOUT, CLOSE_THEN_RECONNECT},
    {CAUSE_TCP_RESET, CLOSE_THEN_RECONNECT},
    {CAUSE_TCP_EOF, CLOSE_THEN_RECONNECT},
    {CAUSE_PROXY_REFUSED, CLOSE_THEN_RECONNECT},
    {CAUSE_PROXY_TIMEOUT, CLOSE_THEN_RECONNECT},
    {CAUSE_TLS_TIMEOUT, CLOSE_THEN_RECONNECT},
    {CAUSE_TLS_FAILED, CLOSE_THEN_RECONNECT_SLOW},
    {CAUSE_TLS_UNTRUSTED, CLOSE_THEN_RECONNECT_SLOW},
    {CAUSE_HTTP_MALFORMED, CLOSE_THEN_RECONNECT_SLOW},
    {CAUSE_UPGRADE_TIMEOUT, CLOSE_THEN_RECONNECT},
    {CAUSE_SUBPROTOCOL_MISMATCH, CLOSE_THEN_RECONNECT_SLOW},
    {CAUSE_SECRET_UNREADABLE, CLOSE_THEN_RECONNECT_SLOW},
    {CAUSE_STAGE_FAILED, CLOSE_THEN_RECONNECT_SLOW},
    {CAUSE_HEARTBEAT_TIMEOUT, CLOSE_THEN_RECONNECT},
    {CAUSE_ACK_TIMEOUT, CLOSE_THEN_RECONNECT},
    {CAUSE_PONG_UNSUPPORTED, CLOSE_THEN_END},
    {CAUSE_SEND_STALLED, CLOSE_THEN_RECONNECT},
    {CAUSE_MUTUAL_STALL, CLOSE_THEN_END},
    {CAUSE_SILENCE, CLOSE_THEN_RECONNECT},
    {CAUSE_POISON, CLOSE_THEN_END},
    {CAUSE_FAULT, CLOSE_THEN_RECONNECT},
    {CAUSE_PROTOCOL_ERROR, CLOSE_THEN_END},
    {CAUSE_MESSAGE_TOO_BIG, CLOSE_THEN_END},
    {CAUSE_CLIENT_CLOSED, CLOSE_THEN_END},
    {CAUSE_CLIENT_LOST, CLOSE_THEN_END},
    {CAUSE_OVERFLOW, CLOSE_THEN_END},
    {CAUSE_NO_RESOURCES, CLOSE_THEN_RECONNECT},
    {CAUSE_GAVE_UP, CLOSE_THEN_END},
    {CAUSE_SUSPENDED, CLOSE_THEN_END},
    {CAUSE_IDLE, CLOSE_THEN_END},
    {CAUSE_ROTATED, CLOSE_THEN_END},
    {CAUSE_SHUTDOWN, CLOSE_THEN_END},
    {CAUSE_COUNT, CLOSE_THEN_END},
};

START_TEST(every_other_cause_means_what_the_default_table_says)
{
    for (int was_open = 0; was_open <= 1; was_open++) {
        const struct session_end end = {.cause = default_causes[_i].cause, .was_open = was_open};
        enum close_then got = by_default(&end);
        ck_assert_msg(got == default_causes[_i].expect, "cause %d: got %s",
                      (int)default_causes[_i].cause, close_then_name(got));
    }
}
END_TEST

START_TEST(no_cause_is_missing_from_that_table)
{
    enum { LISTED_COUNT = sizeof default_causes / sizeof *default_causes };
    ck_assert_int_eq(LISTED_COUNT, CAUSE_COUNT + 1 - 2); /* closed and http-status have their own */
}
END_TEST

/* ---- rules -------------------------------------------------------------------------------- */

static char *const any_reason = NULL;
static char star[] = "*";
static char inter[] = "inter*";
static char empty[] = "";

/* Every end below would reconnect or end by default; the rule says reconnect-slow. */
static const struct {
    const char *why;
    struct close_rule rule;
    struct session_end end;
    bool matches;
} rule_table[] = {
    {"a code", {.first = 1000, .last = 1000}, {CAUSE_CLOSED, true, 0, {.code = 1000}}, true},
    {"the code below",
     {.first = 1001, .last = 1002},
     {CAUSE_CLOSED, true, 0, {.code = 1000}},
     false},
    {"the first of a range",
     {.first = 3000, .last = 4999},
     {CAUSE_CLOSED, true, 0, {.code = 3000}},
     true},
    {"the last of a range",
     {.first = 3000, .last = 4999},
     {CAUSE_CLOSED, true, 0, {.code = 4999}},
     true},
    {"past a range", {.first = 3000, .last = 4998}, {CAUSE_CLOSED, true, 0, {.code = 4999}}, false},
    {"1005 is an empty Close",
     {.first = 1005, .last = 1005},
     {CAUSE_CLOSED, true, 0, {.code = 1005}},
     true},
    {"1006 is a reset of an open connection",
     {.first = 1006, .last = 1006},
     {.cause = CAUSE_TCP_RESET, .was_open = true},
     true},
    {"1006 is an EOF of an open connection",
     {.first = 1006, .last = 1006},
     {.cause = CAUSE_TCP_EOF, .was_open = true},
     true},
    {"1006 is a heartbeat's end",
     {.first = 1006, .last = 1006},
     {.cause = CAUSE_HEARTBEAT_TIMEOUT, .was_open = true},
     true},
    {"1006 is a breach of RFC 6455, too: no Close came",
     {.first = 1006, .last = 1006},
     {.cause = CAUSE_PROTOCOL_ERROR, .was_open = true},
     true},
    {"1006 is nothing before the opening",
     {.first = 1006, .last = 1006},
     {.cause = CAUSE_TCP_RESET, .was_open = false},
     false},
    {"a stale code of another end does not count",
     {.first = 1000, .last = 1000},
     {CAUSE_TCP_RESET, true, 0, {.code = 1000}},
     false},
    {"any code", {.first = 0, .last = 65535}, {CAUSE_CLOSED, true, 0, {.code = 4242}}, true},
    {"any code: 1006 is one",
     {.first = 0, .last = 65535},
     {.cause = CAUSE_TCP_EOF, .was_open = true},
     true},
    {"any code: an attempt that failed has none",
     {.first = 0, .last = 65535},
     {.cause = CAUSE_TCP_REFUSED},
     false},
    {"any code: a refused upgrade has none",
     {.first = 0, .last = 65535},
     {.cause = CAUSE_HTTP_STATUS, .http_status = 503},
     false},
    {"code and reason",
     {.first = 1000, .last = 1000, .reason = inter},
     {CAUSE_CLOSED, true, 0, {1000, 11, "interrupted"}},
     true},
    {"code and another reason",
     {.first = 1000, .last = 1000, .reason = inter},
     {CAUSE_CLOSED, true, 0, {1000, 3, "bye"}},
     false},
    {"the reason ends where it ends, whatever lies behind",
     {.first = 1000, .last = 1000, .reason = inter},
     {CAUSE_CLOSED, true, 0, {1000, 4, "interrupted"}},
     false},
    {"the code decides first",
     {.first = 1001, .last = 1001, .reason = inter},
     {CAUSE_CLOSED, true, 0, {1000, 11, "interrupted"}},
     false},
    {"the empty reason",
     {.first = 1000, .last = 1000, .reason = empty},
     {CAUSE_CLOSED, true, 0, {.code = 1000}},
     true},
    {"the empty reason alone",
     {.first = 1000, .last = 1000, .reason = empty},
     {CAUSE_CLOSED, true, 0, {1000, 1, "x"}},
     false},
    {"1006 has an empty reason: * matches it",
     {.first = 1006, .last = 1006, .reason = star},
     {.cause = CAUSE_TCP_RESET, .was_open = true},
     true},
    {"1006 has an empty reason: others do not",
     {.first = 1006, .last = 1006, .reason = inter},
     {CAUSE_TCP_RESET, true, 0, {1000, 11, "interrupted"}},
     false},
    {"a status",
     {.kind = CLOSE_RULE_HTTP, .first = 401, .last = 401},
     {.cause = CAUSE_HTTP_STATUS, .http_status = 401},
     true},
    {"the first of statuses",
     {.kind = CLOSE_RULE_HTTP, .first = 500, .last = 599},
     {.cause = CAUSE_HTTP_STATUS, .http_status = 500},
     true},
    {"the last of statuses",
     {.kind = CLOSE_RULE_HTTP, .first = 500, .last = 599},
     {.cause = CAUSE_HTTP_STATUS, .http_status = 599},
     true},
    {"below statuses",
     {.kind = CLOSE_RULE_HTTP, .first = 500, .last = 599},
     {.cause = CAUSE_HTTP_STATUS, .http_status = 499},
     false},
    {"past statuses",
     {.kind = CLOSE_RULE_HTTP, .first = 500, .last = 598},
     {.cause = CAUSE_HTTP_STATUS, .http_status = 599},
     false},
    {"a status is no code",
     {.kind = CLOSE_RULE_HTTP, .first = 0, .last = 65535},
     {CAUSE_CLOSED, true, 0, {.code = 1000}},
     false},
    {"a cause",
     {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_TLS_FAILED},
     {.cause = CAUSE_TLS_FAILED},
     true},
    {"a cause after the opening",
     {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_TCP_RESET},
     {.cause = CAUSE_TCP_RESET, .was_open = true},
     true},
    {"another cause",
     {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_TCP_EOF},
     {.cause = CAUSE_TCP_RESET, .was_open = true},
     false},
    {"closed is a cause as well",
     {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_CLOSED},
     {CAUSE_CLOSED, true, 0, {.code = 4000}},
     true},
    {"a rule for clients is not about the upstream",
     {.kind = CLOSE_RULE_CLIENT, .first = 0, .last = 65535},
     {CAUSE_CLOSED, true, 0, {.code = 1000}},
     false},
    {"a kind that nobody knows matches nothing",
     {.kind = (enum close_rule_kind)77, .first = 0, .last = 65535},
     {CAUSE_CLOSED, true, 0, {.code = 1000}},
     false},
};

START_TEST(a_rule_matches_what_it_names_and_nothing_else)
{
    struct close_rule rule = rule_table[_i].rule;
    rule.then = CLOSE_THEN_RECONNECT_SLOW;
    int rule_index = 99;
    enum close_then got = close_rules_decide(&rule, 1, &rule_table[_i].end, &rule_index);
    ck_assert_msg(rule_index == (rule_table[_i].matches ? 0 : -1), "%s", rule_table[_i].why);
    if (rule_table[_i].matches)
        ck_assert_int_eq(got, CLOSE_THEN_RECONNECT_SLOW);
    else
        ck_assert_int_eq(got, close_rules_decide(NULL, 0, &rule_table[_i].end, NULL));
}
END_TEST

START_TEST(the_first_rule_that_matches_decides)
{
    const struct close_rule rules[] = {
        {.kind = CLOSE_RULE_CODE,
         .first = 4000,
         .last = 4999,
         .reason = inter,
         .then = CLOSE_THEN_RECONNECT},
        {.kind = CLOSE_RULE_CODE,
         .first = 4000,
         .last = 4000,
         .reason = any_reason,
         .then = CLOSE_THEN_RECONNECT_SLOW},
        {.kind = CLOSE_RULE_CODE, .first = 0, .last = 65535, .then = CLOSE_THEN_END},
    };
    int rule_index = 99;
    struct session_end end = closed_with(4000, "an internal one");
    ck_assert_int_eq(close_rules_decide(rules, 3, &end, &rule_index), CLOSE_THEN_RECONNECT_SLOW);
    ck_assert_int_eq(rule_index, 1);
    end = closed_with(4000, "inter alia");
    ck_assert_int_eq(close_rules_decide(rules, 3, &end, &rule_index), CLOSE_THEN_RECONNECT);
    ck_assert_int_eq(rule_index, 0);
    end = closed_with(1001, "");
    ck_assert_int_eq(close_rules_decide(rules, 3, &end, &rule_index), CLOSE_THEN_END);
    ck_assert_int_eq(rule_index, 2);
    ck_assert_int_eq(close_rules_decide(rules, 3, &end, NULL), CLOSE_THEN_END);
    ck_assert_int_eq(close_rules_decide(rules, 2, &end, NULL), CLOSE_THEN_RECONNECT);
}
END_TEST

START_TEST(an_end_has_the_code_that_stands_for_it)
{
    struct session_end end = closed_with(4001, "bye");
    ck_assert_uint_eq(close_rules_code(&end), 4001);
    end = closed_with(1005, NULL);
    ck_assert_uint_eq(close_rules_code(&end), 1005);
    end = (struct session_end){.cause = CAUSE_TCP_EOF, .was_open = true};
    ck_assert_uint_eq(close_rules_code(&end), 1006);
    end.was_open = false;
    ck_assert_uint_eq(close_rules_code(&end), 0);
}
END_TEST

START_TEST(a_decision_has_the_name_that_the_configuration_gives_it)
{
    ck_assert_str_eq(close_then_name(CLOSE_THEN_RECONNECT), "reconnect");
    ck_assert_str_eq(close_then_name(CLOSE_THEN_RECONNECT_SLOW), "reconnect-slow");
    ck_assert_str_eq(close_then_name(CLOSE_THEN_END), "end");
}
END_TEST

/* ---- globs -------------------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *pattern;
    const char *text;
    bool matches;
} globs[] = {
    {"nothing is nothing", "", "", true},
    {"nothing is not something", "", "a", false},
    {"something is not nothing", "a", "", false},
    {"itself", "abc", "abc", true},
    {"not a part at the front", "abc", "abcd", false},
    {"not a part at the end", "bcd", "abcd", false},
    {"case counts", "abc", "Abc", false},
    {"* is nothing", "*", "", true},
    {"* is everything", "*", "anything at all", true},
    {"* at the end", "inter*", "interrupted", true},
    {"* at the end may be nothing", "inter*", "inter", true},
    {"but not less than nothing", "inter*", "inte", false},
    {"* at the front", "*end", "the end", true},
    {"* at the front goes on when it stopped too early", "*end", "end of the end", true},
    {"* in the middle", "a*c", "abbbc", true},
    {"* in the middle, the end is missing", "a*c", "abbbcd", false},
    {"two of them", "*a*b*", "xxaxxbxx", true},
    {"two of them, wrong order", "*a*b*", "xxbxxaxx", false},
    {"many in a row are one", "***", "", true},
    {"? is one byte", "a?c", "abc", true},
    {"? is not none", "a?c", "ac", false},
    {"? is not two", "a?c", "abbc", false},
    {"? alone on nothing", "?", "", false},
    {"?* is at least one", "?*", "a", true},
    {"a character of two bytes is two of them", "??", "\xc3\xa4", true},
    {"brackets are themselves", "[ab]", "a", false},
    {"brackets are themselves, so they match", "[ab]", "[ab]", true},
    {"a backslash is itself", "\\*", "\\anything", true},
    {"? in a text is a ?", "a", "?", false},
    {"* in a text is only a byte", "ab", "*", false},
};

START_TEST(a_glob_matches_as_its_two_wildcards_say)
{
    bool got = close_rules_glob(globs[_i].pattern, globs[_i].text, strlen(globs[_i].text));
    ck_assert_msg(got == globs[_i].matches, "%s: \"%s\" on \"%s\"", globs[_i].why,
                  globs[_i].pattern, globs[_i].text);
}
END_TEST

START_TEST(a_zero_byte_in_a_reason_is_a_byte)
{
    ck_assert(!close_rules_glob("a", "a\0b", 3));
    ck_assert(close_rules_glob("a?b", "a\0b", 3));
    ck_assert(close_rules_glob("a*", "a\0b", 3));
    ck_assert(!close_rules_glob("", "\0", 1));
}
END_TEST

/* What it should do, in the fewest words. */
static bool glob_model(const char *pattern, const char *text, size_t text_bytes)
{
    if (*pattern == '\0')
        return text_bytes == 0;
    if (*pattern == '*')
        return glob_model(pattern + 1, text, text_bytes) ||
               (text_bytes > 0 && glob_model(pattern, text + 1, text_bytes - 1));
    return text_bytes > 0 && (*pattern == '?' || *pattern == *text) &&
           glob_model(pattern + 1, text + 1, text_bytes - 1);
}

START_TEST(a_glob_agrees_with_its_model_on_all_short_ones)
{
    static const char letters[] = "ab*?";
    for (unsigned p = 0; p < 1u << 12; p++) { /* all patterns of 6 letters, and their fronts */
        char pattern[7];
        for (unsigned i = 0; i < 6; i++)
            pattern[i] = letters[p >> (2 * i) & 3];
        pattern[6] = '\0';
        for (unsigned t = 0; t < 1u << 6; t++) {
            char text[7];
            for (unsigned i = 0; i < 6; i++)
                text[i] = "ab"[t >> i & 1];
            text[6] = '\0';
            size_t text_bytes = t % 7;
            const char *end = pattern + p % 7;
            ck_assert_msg(close_rules_glob(end, text, text_bytes) ==
                              glob_model(end, text, text_bytes),
                          "\"%s\" on \"%.*s\"", end, (int)text_bytes, text);
        }
    }
}
END_TEST

START_TEST(no_glob_takes_exponential_time)
{
    enum { STAR_COUNT = 500, TEXT_BYTES = 20000 };
    char *pattern = malloc(2 * STAR_COUNT + 2);
    char *text = malloc(TEXT_BYTES);
    for (unsigned i = 0; i < STAR_COUNT; i++)
        memcpy(&pattern[(size_t)2 * i], "*a", 2);
    memcpy(&pattern[(size_t)2 * STAR_COUNT], "b", 2);
    memset(text, 'a', TEXT_BYTES);
    ck_assert(!close_rules_glob(pattern, text, TEXT_BYTES));
    text[TEXT_BYTES - 1] = 'b';
    ck_assert(close_rules_glob(pattern, text, TEXT_BYTES));
    free(pattern);
    free(text);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("close_rules");
    LOOP(a_close_means_what_the_default_table_says, default_closes);
    LOOP(a_refused_upgrade_means_what_the_default_table_says, default_statuses);
    LOOP(every_other_cause_means_what_the_default_table_says, default_causes);
    tcase_add_test(tcase, no_cause_is_missing_from_that_table);
    LOOP(a_rule_matches_what_it_names_and_nothing_else, rule_table);
    tcase_add_test(tcase, the_first_rule_that_matches_decides);
    tcase_add_test(tcase, an_end_has_the_code_that_stands_for_it);
    tcase_add_test(tcase, a_decision_has_the_name_that_the_configuration_gives_it);
    LOOP(a_glob_matches_as_its_two_wildcards_say, globs);
    tcase_add_test(tcase, a_zero_byte_in_a_reason_is_a_byte);
    tcase_add_test(tcase, a_glob_agrees_with_its_model_on_all_short_ones);
    tcase_add_test(tcase, no_glob_takes_exponential_time);

    Suite *suite = suite_create("close_rules");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
