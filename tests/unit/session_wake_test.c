/* What may end a wait early, what may not, and the steps of an attempt that have causes of their
 * own. */
#include "session_fixture.h"

enum { SLOW_MS = 30000, RETRY_MS = 20000 };

static struct fixture fixture;

static void setup(void)
{
    fixture_init(&fixture);
}

static void teardown(void)
{
    fixture_clear(&fixture);
}

static void lost_with_status(uint16_t status)
{
    session_upstream_lost(&fixture.session, CAUSE_HTTP_STATUS, status, fixture.now_ms,
                          &fixture.actions);
    session_check(&fixture.session);
}

/* Into a wait of 30 s, for a secret when status is 401. */
static uint64_t wait_after(uint16_t status)
{
    fixture_begin(&fixture, "");
    lost_with_status(status);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_uint_eq(fixture.session.wait_until_ms, fixture.now_ms + SLOW_MS);
    return fixture.now_ms;
}

static void advance(uint64_t ms)
{
    fixture_timer_at(&fixture, fixture.now_ms + ms);
}

static void secret_changed(void)
{
    session_secret_changed(&fixture.session, fixture.now_ms);
    session_check(&fixture.session);
}

static void network_changed(void)
{
    session_network_changed(&fixture.session, fixture.now_ms);
    session_check(&fixture.session);
}

/* ---- steps of an attempt ------------------------------------------------------------------ */

static const struct {
    const char *why;
    bool tunnels, secures;
    enum cause cause;
} steps[] = {
    {"the proxy does not answer", true, false, CAUSE_PROXY_TIMEOUT},
    {"TLS does not come about", false, true, CAUSE_TLS_TIMEOUT},
    {"nor behind a proxy", true, true, CAUSE_TLS_TIMEOUT},
};

START_TEST(each_step_of_an_attempt_has_its_time_out)
{
    fixture_begin(&fixture, "");
    uint64_t begin_ms = fixture.now_ms;
    session_upstream_resolved(&fixture.session, fixture.now_ms, &fixture.actions);
    advance(1000);
    if (steps[_i].tunnels) {
        session_upstream_tunnelling(&fixture.session, fixture.now_ms, &fixture.actions);
        ck_assert_int_eq(fixture.session.state, SESSION_TUNNELLING);
        advance(1000);
    }
    if (steps[_i].secures) {
        session_upstream_securing(&fixture.session, fixture.now_ms, &fixture.actions);
        ck_assert_int_eq(fixture.session.state, SESSION_SECURING);
    }
    enum session_state state = fixture.session.state;
    uint64_t end_ms = begin_ms + fixture.settings.connect_timeout_ms; /* for all steps together */
    ck_assert_uint_eq(session_deadline_ms(&fixture.session), end_ms);
    fixture_timer_at(&fixture, end_ms - 1);
    ck_assert_int_eq(fixture.session.state, state);
    fixture_timer_at(&fixture, end_ms);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_int_eq(fixture.actions.drop, SESSION_DROP_ABANDON);
    ck_assert_msg(fixture.actions.end.cause == steps[_i].cause, "%s: %s", steps[_i].why,
                  cause_name(fixture.actions.end.cause));
    ck_assert(!fixture.session.waits_for_secret);
}
END_TEST

START_TEST(an_attempt_may_pass_all_its_steps)
{
    fixture_begin(&fixture, "");
    session_upstream_resolved(&fixture.session, fixture.now_ms, &fixture.actions);
    session_upstream_tunnelling(&fixture.session, fixture.now_ms, &fixture.actions);
    session_upstream_securing(&fixture.session, fixture.now_ms, &fixture.actions);
    session_upstream_connected(&fixture.session, fixture.now_ms, &fixture.actions);
    ck_assert_int_eq(fixture.session.state, SESSION_UPGRADING);
    session_upstream_upgraded(&fixture.session, NULL, fixture.now_ms, &fixture.actions);
    ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
}
END_TEST

/* ---- Retry-After -------------------------------------------------------------------------- */

static const struct {
    const char *why;
    uint64_t asked_ms;
    uint16_t status;
    uint64_t delay_ms;
} asked[] = {
    {"longer than the backoff", RETRY_MS, 503, RETRY_MS},
    {"shorter: the backoff is kept", 100, 503, 250},
    {"nothing", 0, 429, 250},
    {"with a slow wait", RETRY_MS, 404, SLOW_MS},
    {"longer than a slow wait", SLOW_MS + 1, 404, SLOW_MS + 1},
    {"ten minutes", SESSION_RETRY_AFTER_MS_MAX, 503, SESSION_RETRY_AFTER_MS_MAX},
    {"and no more than that", SESSION_RETRY_AFTER_MS_MAX + 1, 503, SESSION_RETRY_AFTER_MS_MAX},
    {"whatever it is", UINT64_MAX, 429, SESSION_RETRY_AFTER_MS_MAX},
};

START_TEST(retry_after_is_a_lower_bound_with_a_limit)
{
    fixture_begin(&fixture, "");
    session_retry_after(&fixture.session, asked[_i].asked_ms, fixture.now_ms);
    lost_with_status(asked[_i].status);
    ck_assert_msg(fixture.actions.delay_ms == asked[_i].delay_ms, "%s: %llu", asked[_i].why,
                  (unsigned long long)fixture.actions.delay_ms);
    ck_assert_uint_eq(fixture.session.wait_until_ms, fixture.now_ms + asked[_i].delay_ms);
}
END_TEST

START_TEST(retry_after_is_for_one_wait)
{
    fixture_begin(&fixture, "");
    session_retry_after(&fixture.session, RETRY_MS, fixture.now_ms);
    lost_with_status(503);
    fixture_next_attempt(&fixture);
    lost_with_status(503);
    ck_assert_uint_eq(fixture.actions.delay_ms, 500);
}
END_TEST

START_TEST(retry_after_counts_from_the_answer)
{
    fixture_begin(&fixture, "");
    session_retry_after(&fixture.session, RETRY_MS, fixture.now_ms);
    fixture.now_ms += 5000;
    lost_with_status(503);
    ck_assert_uint_eq(fixture.actions.delay_ms, RETRY_MS - 5000);
}
END_TEST

/* ---- another secret ----------------------------------------------------------------------- */

static const struct {
    const char *why;
    enum cause cause;
    uint16_t status;
    bool waits;
} refusals[] = {
    {"unauthorized", CAUSE_HTTP_STATUS, 401, true},
    {"forbidden", CAUSE_HTTP_STATUS, 403, true},
    {"no secret to show", CAUSE_SECRET_UNREADABLE, 0, true},
    {"not found", CAUSE_HTTP_STATUS, 404, false},
    {"the proxy's", CAUSE_HTTP_STATUS, 407, false},
    {"overloaded", CAUSE_HTTP_STATUS, 503, false},
    {"not there", CAUSE_TCP_REFUSED, 0, false},
};

START_TEST(a_changed_secret_ends_the_wait_for_it_and_no_other)
{
    fixture_begin(&fixture, "");
    session_upstream_lost(&fixture.session, refusals[_i].cause, refusals[_i].status, fixture.now_ms,
                          &fixture.actions);
    uint64_t until_ms = fixture.session.wait_until_ms;
    fixture.now_ms += 100;
    secret_changed();
    bool is_cut = session_deadline_ms(&fixture.session) == fixture.now_ms;
    ck_assert_msg(is_cut == refusals[_i].waits, "%s", refusals[_i].why);
    if (!is_cut)
        ck_assert_uint_eq(fixture.session.wait_until_ms, until_ms);
    advance(0);
    ck_assert_int_eq(fixture.session.state, is_cut ? SESSION_RESOLVING : SESSION_WAITING);
}
END_TEST

START_TEST(a_changed_secret_waits_for_retry_after)
{
    fixture_begin(&fixture, "");
    uint64_t begin_ms = fixture.now_ms;
    session_retry_after(&fixture.session, RETRY_MS, fixture.now_ms);
    lost_with_status(401);
    ck_assert_uint_eq(fixture.session.wait_until_ms, begin_ms + SLOW_MS);
    advance(1000);
    secret_changed();
    ck_assert_uint_eq(fixture.session.wait_until_ms, begin_ms + RETRY_MS);
    advance(RETRY_MS - 1001);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    advance(1);
    ck_assert_int_eq(fixture.session.state, SESSION_RESOLVING);
}
END_TEST

START_TEST(a_wait_is_never_made_longer)
{
    uint64_t begin_ms = wait_after(401);
    advance(1);
    secret_changed();
    advance(0);
    ck_assert_int_eq(fixture.session.state, SESSION_RESOLVING);
    fixture.settings.backoff.max_delay_ms = 2000;
    lost_with_status(401);
    uint64_t until_ms = fixture.session.wait_until_ms;
    ck_assert_uint_lt(until_ms, begin_ms + 10000);
    secret_changed(); /* early would be after ten seconds */
    ck_assert_uint_eq(fixture.session.wait_until_ms, until_ms);
}
END_TEST

START_TEST(early_attempts_are_ten_seconds_apart)
{
    uint64_t begin_ms = wait_after(401);
    advance(1000);
    secret_changed();
    secret_changed();
    advance(0);
    ck_assert_int_eq(fixture.session.state, SESSION_RESOLVING);
    ck_assert_uint_eq(fixture.session.counters.attempts, 2);
    lost_with_status(401);
    advance(100);
    secret_changed();
    network_changed();
    ck_assert_uint_eq(fixture.session.wait_until_ms, begin_ms + 11000);
    fixture_timer_at(&fixture, begin_ms + 10999);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    fixture_timer_at(&fixture, begin_ms + 11000);
    ck_assert_int_eq(fixture.session.state, SESSION_RESOLVING);
    ck_assert_uint_eq(fixture.session.counters.attempts, 3);
}
END_TEST

START_TEST(an_attempt_of_its_own_time_does_not_count_as_early)
{
    wait_after(401);
    fixture_next_attempt(&fixture);
    lost_with_status(401);
    secret_changed();
    ck_assert_uint_eq(session_deadline_ms(&fixture.session), fixture.now_ms);
}
END_TEST

START_TEST(a_changed_secret_means_nothing_to_an_open_connection)
{
    fixture_open(&fixture);
    secret_changed();
    advance(0);
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
}
END_TEST

/* ---- whose secret it is ------------------------------------------------------------------- */

static void begin_with_clients_credential(void)
{
    fixture.random = (struct random_source){.fill = fixture_fill, .context = &fixture};
    session_init(&fixture.session, &fixture.settings, &fixture.random, &fixture.budget,
                 fixture.now_ms);
    session_client_has_credential(&fixture.session);
    session_start(&fixture.session, "", fixture.now_ms, &fixture.actions);
}

static const struct {
    uint16_t status;
    enum session_state then;
} clients_own[] = {
    {401, SESSION_ENDED},   {403, SESSION_ENDED},   {404, SESSION_WAITING},
    {407, SESSION_WAITING}, {503, SESSION_WAITING},
};

START_TEST(a_refused_credential_of_the_client_ends_the_session)
{
    begin_with_clients_credential();
    lost_with_status(clients_own[_i].status);
    ck_assert_int_eq(fixture.session.state, clients_own[_i].then);
    if (clients_own[_i].then == SESSION_ENDED) {
        ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CLOSE);
        ck_assert_uint_eq(fixture.actions.client_close.code, CLOSE_BAD_GATEWAY);
    }
}
END_TEST

START_TEST(it_does_so_after_attempts_that_failed_otherwise)
{
    begin_with_clients_credential();
    fixture_lost(&fixture, CAUSE_TCP_REFUSED);
    fixture_next_attempt(&fixture);
    lost_with_status(401);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
}
END_TEST

START_TEST(a_credential_that_was_right_once_may_be_so_again)
{
    begin_with_clients_credential();
    fixture_upgrade(&fixture, NULL);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture_next_attempt(&fixture);
    lost_with_status(401);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert(fixture.session.waits_for_secret);
}
END_TEST

START_TEST(a_rule_for_401_decides_for_the_clients_credential_too)
{
    struct close_rule rule = {
        .kind = CLOSE_RULE_HTTP, .first = 401, .last = 401, .then = CLOSE_THEN_RECONNECT};
    fixture.settings.close_rules = &rule;
    fixture.settings.close_rule_count = 1;
    begin_with_clients_credential();
    lost_with_status(401);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    lost_with_status(401);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
}
END_TEST

/* ---- another network ---------------------------------------------------------------------- */

START_TEST(a_changed_network_ends_any_wait_within_its_time)
{
    uint64_t begin_ms = wait_after(404);
    advance(1000);
    network_changed();
    uint64_t due_ms = session_deadline_ms(&fixture.session);
    ck_assert_uint_ge(due_ms, begin_ms + 1500);
    ck_assert_uint_le(due_ms, begin_ms + 2500);
    fixture_timer_at(&fixture, due_ms - 1);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    fixture_timer_at(&fixture, due_ms);
    ck_assert_int_eq(fixture.session.state, SESSION_RESOLVING);
}
END_TEST

START_TEST(changes_of_one_moment_are_one)
{
    wait_after(404);
    network_changed();
    uint64_t due_ms = session_deadline_ms(&fixture.session);
    for (unsigned i = 0; i < 4; i++) {
        fixture.now_ms += 100;
        network_changed();
        ck_assert_uint_eq(session_deadline_ms(&fixture.session), due_ms);
    }
}
END_TEST

START_TEST(sessions_do_not_all_come_at_once)
{
    bool seen[4] = {0};
    for (unsigned i = 0; i < 200; i++) {
        fixture_init(&fixture);
        fixture.chance = (uint8_t)i;
        wait_after(404);
        network_changed();
        uint64_t after_ms = session_deadline_ms(&fixture.session) - fixture.now_ms;
        ck_assert_uint_ge(after_ms, 500);
        ck_assert_uint_le(after_ms, 1500);
        seen[(after_ms - 500) * 3 / 1000] = true;
        fixture_clear(&fixture);
    }
    ck_assert(seen[0] && seen[1] && seen[2]);
    fixture_init(&fixture);
    fixture_begin(&fixture, "");
}
END_TEST

START_TEST(a_changed_network_waits_for_retry_after)
{
    fixture_begin(&fixture, "");
    uint64_t begin_ms = fixture.now_ms;
    session_retry_after(&fixture.session, RETRY_MS, fixture.now_ms);
    lost_with_status(404);
    network_changed();
    fixture_timer_at(&fixture, session_deadline_ms(&fixture.session));
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_uint_eq(session_deadline_ms(&fixture.session), begin_ms + RETRY_MS);
}
END_TEST

START_TEST(a_changed_network_probes_an_open_connection)
{
    fixture_open(&fixture);
    network_changed();
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    uint64_t due_ms = session_deadline_ms(&fixture.session);
    ck_assert_uint_le(due_ms, fixture.now_ms + 1500);
    fixture_timer_at(&fixture, due_ms);
    ck_assert_str_eq(fixture_flush(&fixture, true), "p");
    fixture_run_until_move(&fixture, due_ms + 20000, true); /* nobody answers it */
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_int_eq(fixture.actions.end.cause, CAUSE_HEARTBEAT_TIMEOUT);
    ck_assert_uint_ge(fixture.now_ms, due_ms + fixture.settings.heartbeat.timeout_ms);
    ck_assert_uint_le(fixture.now_ms, due_ms + 2 * fixture.settings.heartbeat.timeout_ms);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("session_wake");
    tcase_add_checked_fixture(tcase, setup, teardown);
    LOOP(each_step_of_an_attempt_has_its_time_out, steps);
    tcase_add_test(tcase, an_attempt_may_pass_all_its_steps);
    LOOP(retry_after_is_a_lower_bound_with_a_limit, asked);
    tcase_add_test(tcase, retry_after_is_for_one_wait);
    tcase_add_test(tcase, retry_after_counts_from_the_answer);
    LOOP(a_changed_secret_ends_the_wait_for_it_and_no_other, refusals);
    tcase_add_test(tcase, a_changed_secret_waits_for_retry_after);
    tcase_add_test(tcase, a_wait_is_never_made_longer);
    tcase_add_test(tcase, early_attempts_are_ten_seconds_apart);
    tcase_add_test(tcase, an_attempt_of_its_own_time_does_not_count_as_early);
    tcase_add_test(tcase, a_changed_secret_means_nothing_to_an_open_connection);
    LOOP(a_refused_credential_of_the_client_ends_the_session, clients_own);
    tcase_add_test(tcase, it_does_so_after_attempts_that_failed_otherwise);
    tcase_add_test(tcase, a_credential_that_was_right_once_may_be_so_again);
    tcase_add_test(tcase, a_rule_for_401_decides_for_the_clients_credential_too);
    tcase_add_test(tcase, a_changed_network_ends_any_wait_within_its_time);
    tcase_add_test(tcase, changes_of_one_moment_are_one);
    tcase_add_test(tcase, sessions_do_not_all_come_at_once);
    tcase_add_test(tcase, a_changed_network_waits_for_retry_after);
    tcase_add_test(tcase, a_changed_network_probes_an_open_connection);

    Suite *suite = suite_create("session_wake");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
