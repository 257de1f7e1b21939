/* What the system says of a connection that failed: each of its errors has a cause. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/close_rules.h"
#include "net/dial.h"

static const struct {
    int error;
    enum cause expect;
} errors[] = {
    {0, CAUSE_TCP_EOF},
    {ECONNREFUSED, CAUSE_TCP_REFUSED},
    {ETIMEDOUT, CAUSE_TCP_TIMEOUT},
    {ECONNRESET, CAUSE_TCP_RESET},
    {ECONNABORTED, CAUSE_TCP_RESET},
    {EPIPE, CAUSE_TCP_EOF},
    {ENETUNREACH, CAUSE_TCP_UNREACHABLE},
    {EHOSTUNREACH, CAUSE_TCP_UNREACHABLE},
    {ENETDOWN, CAUSE_TCP_UNREACHABLE},
    {EHOSTDOWN, CAUSE_TCP_UNREACHABLE},
    {EACCES, CAUSE_TCP_UNREACHABLE}, /* a firewall's answer */
    {EPERM, CAUSE_TCP_UNREACHABLE},
    {EAFNOSUPPORT, CAUSE_TCP_UNREACHABLE},
    {EPROTO, CAUSE_TCP_UNREACHABLE},
    {EMFILE, CAUSE_NO_RESOURCES},
    {ENFILE, CAUSE_NO_RESOURCES},
    {ENOBUFS, CAUSE_NO_RESOURCES},
    {ENOMEM, CAUSE_NO_RESOURCES},
    {EAGAIN, CAUSE_NO_RESOURCES},
    {EADDRNOTAVAIL, CAUSE_NO_RESOURCES},
};

START_TEST(an_error_has_its_cause)
{
    enum cause got = dial_cause_of(errors[_i].error);
    ck_assert_msg(got == errors[_i].expect, "%s: %s", strerror(errors[_i].error), cause_name(got));
}
END_TEST

START_TEST(no_error_of_the_network_is_the_end)
{
    for (int error = 0; error < 200; error++)
        for (int was_open = 0; was_open <= 1; was_open++) {
            const struct session_end end = {.cause = dial_cause_of(error), .was_open = was_open};
            enum close_then then = close_rules_decide(NULL, 0, &end, NULL);
            ck_assert_msg(then == CLOSE_THEN_RECONNECT, "%s, open %d: %s", strerror(error),
                          was_open, close_then_name(then));
        }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("dial");
    tcase_add_loop_test(tcase, an_error_has_its_cause, 0, sizeof errors / sizeof *errors);
    tcase_add_test(tcase, no_error_of_the_network_is_the_end);

    Suite *suite = suite_create("dial");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
