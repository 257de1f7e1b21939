/* Causes: their names, and where they come from. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/cause.h"

/* Once more and by hand: these names are in users' configurations, dashboards and alerts. */
static const char *const stable_names[] = {
    "",
    "dns-failed",
    "dns-timeout",
    "tcp-refused",
    "tcp-unreachable",
    "tcp-timeout",
    "tcp-reset",
    "tcp-eof",
    "proxy-refused",
    "proxy-timeout",
    "tls-timeout",
    "tls-failed",
    "tls-untrusted",
    "http-status",
    "http-malformed",
    "upgrade-timeout",
    "subprotocol-mismatch",
    "secret-unreadable",
    "stage-failed",
    "heartbeat-timeout",
    "ack-timeout",
    "pong-unsupported",
    "send-stalled",
    "mutual-stall",
    "silence",
    "poison",
    "fault",
    "closed",
    "protocol-error",
    "message-too-big",
    "client-closed",
    "client-lost",
    "overflow",
    "no-resources",
    "gave-up",
    "suspended",
    "idle",
    "rotated",
    "shutdown",
};
enum { STABLE_NAME_COUNT = sizeof stable_names / sizeof *stable_names };

START_TEST(every_cause_has_its_stable_name) /* a loop test: _i is the cause */
{
    ck_assert_int_eq(STABLE_NAME_COUNT, CAUSE_COUNT);
    ck_assert_str_eq(cause_name((enum cause)_i), stable_names[_i]);
}
END_TEST

START_TEST(a_name_leads_back_to_its_cause)
{
    ck_assert_int_eq(cause_from_name(stable_names[_i]), _i);
}
END_TEST

START_TEST(some_names_are_where_the_enum_says)
{
    ck_assert_str_eq(cause_name(CAUSE_TCP_RESET), "tcp-reset");
    ck_assert_str_eq(cause_name(CAUSE_CLOSED), "closed");
    ck_assert_str_eq(cause_name(CAUSE_SHUTDOWN), "shutdown");
}
END_TEST

static const struct {
    const char *why;
    const char *name;
} strangers[] = {
    {"the empty name is no cause that could be asked for", ""},
    {"names are exact: no upper case", "TCP-RESET"},
    {"no underscore", "tcp_reset"},
    {"nothing after it", "tcp-reset "},
    {"nothing missing", "tcp-rese"},
    {"not the enum's name", "CAUSE_TCP_RESET"},
    {"nothing like it at all", "gremlins"},
};

START_TEST(another_name_is_no_cause)
{
    ck_assert_msg(cause_from_name(strangers[_i].name) == CAUSE_NONE, "%s", strangers[_i].why);
}
END_TEST

static const struct {
    const char *why;
    uint16_t code;
    enum cause expect;
} refusals[] = {
    {"a rule of RFC 6455 was broken", CLOSE_PROTOCOL_ERROR, CAUSE_PROTOCOL_ERROR},
    {"text that is not UTF-8 is one of them", CLOSE_INVALID_DATA, CAUSE_PROTOCOL_ERROR},
    {"a message over the limit has a cause of its own", CLOSE_TOO_BIG, CAUSE_MESSAGE_TOO_BIG},
    {"it was we who had no memory for it", CLOSE_INTERNAL_ERROR, CAUSE_NO_RESOURCES},
};

START_TEST(what_could_not_be_read_names_its_cause)
{
    struct close_frame close;
    close_set(&close, refusals[_i].code, "");
    ck_assert_msg(cause_of_refusal(&close) == refusals[_i].expect, "%s", refusals[_i].why);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("cause");
    tcase_add_loop_test(tcase, every_cause_has_its_stable_name, 0, STABLE_NAME_COUNT);
    tcase_add_loop_test(tcase, a_name_leads_back_to_its_cause, 0, STABLE_NAME_COUNT);
    tcase_add_test(tcase, some_names_are_where_the_enum_says);
    tcase_add_loop_test(tcase, another_name_is_no_cause, 0, sizeof strangers / sizeof *strangers);
    tcase_add_loop_test(tcase, what_could_not_be_read_names_its_cause, 0,
                        sizeof refusals / sizeof *refusals);

    Suite *suite = suite_create("cause");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
