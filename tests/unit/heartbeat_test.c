/* Is the other end alive? */
#include <check.h>
#include <stdlib.h>

#include "core/heartbeat.h"

enum {
    START_MS = 1000000,
    INTERVAL_MS = 20000,
    TIMEOUT_MS = 8000,
    STALL_MS = 32000,
    SOON_MS = TIMEOUT_MS / 16, /* the first question to TCP after a Ping */
    LATER_MS = TIMEOUT_MS / 4, /* the others, at most */
    PING_BYTES = 22,
    KIB_64 = 65536
};

static const struct heartbeat_settings usual = {
    .interval_ms = INTERVAL_MS, .timeout_ms = TIMEOUT_MS, .stall_timeout_ms = STALL_MS};

static struct heartbeat heartbeat;
static struct heartbeat_settings settings;

static void setup(void)
{
    settings = usual;
    heartbeat_start(&heartbeat, START_MS);
}

static const char *verdict_name(enum heartbeat_verdict verdict)
{
    static const char *const names[] = {"fine", "ping", "probe", "dead", "stalled"};
    return names[verdict];
}

/* The next thing to do comes at due_ms, and not a moment before. */
#define assert_next(due_ms, expect) assert_next_at((due_ms), HEARTBEAT_##expect, __LINE__)

static void assert_next_at(uint64_t due_ms, enum heartbeat_verdict expect, int line)
{
    uint64_t deadline_ms = heartbeat_deadline_ms(&heartbeat, &settings);
    ck_assert_msg(deadline_ms == due_ms, "line %d: due after %lld ms, not %lld", line,
                  (long long)(deadline_ms - START_MS), (long long)(due_ms - START_MS));
    enum heartbeat_verdict before = heartbeat_judge(&heartbeat, &settings, due_ms - 1);
    enum heartbeat_verdict got = heartbeat_judge(&heartbeat, &settings, due_ms);
    ck_assert_msg(before == HEARTBEAT_FINE, "line %d: %s too early", line, verdict_name(before));
    ck_assert_msg(got == expect, "line %d: %s", line, verdict_name(got));
}

/* A Ping goes to the kernel, after everything written so far. */
static void ping(uint64_t now_ms)
{
    uint64_t end_offset = heartbeat.written_offset + PING_BYTES;
    heartbeat_pinged(&heartbeat, end_offset, now_ms);
    heartbeat_written(&heartbeat, end_offset, now_ms);
}

/* A Ping that the peer's TCP acknowledged at once. */
static void ping_that_arrives(uint64_t now_ms)
{
    ping(now_ms);
    heartbeat_tcp(&heartbeat, heartbeat.written_offset, false, now_ms);
}

/* What is asked of us, done until there is no more, with TCP's word.  The last verdict. */
static enum heartbeat_verdict do_what_is_due(uint64_t acked_offset, bool in_flight, uint64_t now_ms)
{
    for (unsigned i = 0; i < 4; i++) {
        enum heartbeat_verdict verdict = heartbeat_judge(&heartbeat, &settings, now_ms);
        if (verdict == HEARTBEAT_PING)
            ping(now_ms);
        else if (verdict == HEARTBEAT_PROBE)
            heartbeat_tcp(&heartbeat, acked_offset, in_flight, now_ms);
        else
            return verdict;
    }
    ck_abort_msg("it never ends");
}

/* ---- when a Ping is due ------------------------------------------------------------------- */

START_TEST(a_quiet_link_gets_a_ping_after_an_interval)
{
    assert_next(START_MS + INTERVAL_MS, PING);
    ck_assert_uint_eq(heartbeat_allowance_ms(&heartbeat), 0);
}
END_TEST

static const struct {
    const char *why;
    uint64_t sent_ms; /* after the start; 0: never */
    uint64_t received_ms;
    uint64_t due_ms;
} quiet[] = {
    {"only sent: nothing was received", 15000, 0, INTERVAL_MS},
    {"only received: nothing was sent", 0, 15000, INTERVAL_MS},
    {"both: from the older, which is sent", 5000, 15000, INTERVAL_MS + 5000},
    {"both: from the older, which is received", 15000, 5000, INTERVAL_MS + 5000},
};

START_TEST(a_ping_is_due_when_either_direction_was_quiet)
{
    if (quiet[_i].sent_ms) {
        heartbeat_written(&heartbeat, 100, START_MS + quiet[_i].sent_ms);
        heartbeat_tcp(&heartbeat, 100, false, START_MS + quiet[_i].sent_ms);
    }
    if (quiet[_i].received_ms)
        heartbeat_received(&heartbeat, START_MS + quiet[_i].received_ms);
    assert_next(START_MS + quiet[_i].due_ms, PING);
}
END_TEST

START_TEST(a_heartbeat_that_is_off_sends_no_ping)
{
    settings.interval_ms = SETTINGS_NEVER;
    ck_assert_uint_eq(heartbeat_deadline_ms(&heartbeat, &settings), SETTINGS_NEVER);
    ck_assert_int_eq(heartbeat_judge(&heartbeat, &settings, SETTINGS_NEVER - 1), HEARTBEAT_FINE);
}
END_TEST

START_TEST(an_answered_ping_is_followed_by_another_after_an_interval)
{
    ping_that_arrives(START_MS + INTERVAL_MS);
    heartbeat_received(&heartbeat, START_MS + INTERVAL_MS + 50);
    heartbeat_ponged(&heartbeat, heartbeat.written_offset);
    assert_next(START_MS + 2 * INTERVAL_MS, PING);
}
END_TEST

START_TEST(an_unanswered_ping_is_followed_by_another_after_each_interval)
{
    settings.timeout_ms = 1000000; /* patience */
    for (unsigned i = 1; i < 5; i++) {
        assert_next(START_MS + i * INTERVAL_MS, PING);
        ping_that_arrives(START_MS + i * INTERVAL_MS);
    }
    ck_assert_uint_eq(heartbeat.ping_ms, START_MS + INTERVAL_MS); /* but the first one counts */
    ck_assert_uint_eq(heartbeat.ping_end_offset, PING_BYTES);
}
END_TEST

/* ---- who is dead -------------------------------------------------------------------------- */

START_TEST(a_ping_that_arrived_and_is_not_answered_is_the_end_after_timeout)
{
    ping(START_MS);
    heartbeat_tcp(&heartbeat, PING_BYTES, false, START_MS + 300);
    assert_next(START_MS + 300 + TIMEOUT_MS, DEAD);
    heartbeat_tcp(&heartbeat, PING_BYTES, false, START_MS + 5000); /* asked again: no difference */
    assert_next(START_MS + 300 + TIMEOUT_MS, DEAD);
}
END_TEST

START_TEST(a_second_ping_does_not_put_off_the_end)
{
    settings.interval_ms = 3000;
    ping_that_arrives(START_MS + 3000);
    ping_that_arrives(START_MS + 6000);
    ping_that_arrives(START_MS + 9000);
    assert_next(START_MS + 3000 + TIMEOUT_MS, DEAD);
}
END_TEST

START_TEST(anything_that_arrives_is_life)
{
    ping_that_arrives(START_MS);
    heartbeat_received(&heartbeat, START_MS + TIMEOUT_MS - 1);
    ck_assert_int_eq(heartbeat_judge(&heartbeat, &settings, START_MS + TIMEOUT_MS), HEARTBEAT_FINE);
    assert_next(START_MS + INTERVAL_MS, PING); /* from when it was sent */
    ping_that_arrives(START_MS + INTERVAL_MS);
    assert_next(START_MS + INTERVAL_MS + TIMEOUT_MS, DEAD); /* a new Ping, a new judgement */
}
END_TEST

START_TEST(a_ping_whose_last_byte_is_on_its_way_is_not_judged)
{
    heartbeat_written(&heartbeat, 100, START_MS);
    ping(START_MS);
    heartbeat_tcp(&heartbeat, 100 + PING_BYTES - 1, true, START_MS + 500);
    ck_assert_uint_eq(heartbeat.judged_from_ms, 0);
    heartbeat_tcp(&heartbeat, 100 + PING_BYTES, false, START_MS + 900);
    ck_assert_uint_eq(heartbeat.judged_from_ms, START_MS + 900);
    assert_next(START_MS + 900 + TIMEOUT_MS, DEAD);
}
END_TEST

START_TEST(time_0_is_a_time)
{
    heartbeat_start(&heartbeat, 0);
    ping_that_arrives(0);
    assert_next(1 + TIMEOUT_MS, DEAD); /* it is kept as 1 */
}
END_TEST

static const struct {
    uint64_t sent_bytes;
    uint64_t allowance_ms;
} allowances[] = {
    {0, 0},
    {KIB_64 - 1, 0},
    {KIB_64, 1000},
    {2 * KIB_64 - 1, 1000},
    {2 * KIB_64, 2000},
    {UINT64_C(16) << 20, 256000},
};

START_TEST(each_64_kib_since_the_last_pong_give_a_second_more)
{
    heartbeat_written(&heartbeat, 12345, START_MS);
    heartbeat_ponged(&heartbeat, heartbeat.written_offset);
    settings.interval_ms = SETTINGS_NEVER;
    heartbeat_pinged(&heartbeat, 12345 + allowances[_i].sent_bytes, START_MS);
    heartbeat_written(&heartbeat, 12345 + allowances[_i].sent_bytes, START_MS);
    heartbeat_tcp(&heartbeat, heartbeat.written_offset, false, START_MS);
    ck_assert_uint_eq(heartbeat_allowance_ms(&heartbeat), allowances[_i].allowance_ms);
    assert_next(START_MS + TIMEOUT_MS + allowances[_i].allowance_ms, DEAD);
    heartbeat_ponged(&heartbeat, heartbeat.written_offset);
    ck_assert_uint_eq(heartbeat_allowance_ms(&heartbeat), 0);
}
END_TEST

/* ---- bytes that do not get through -------------------------------------------------------- */

START_TEST(a_pulled_cable_is_the_end_after_timeout_and_on_tcps_word)
{
    heartbeat_written(&heartbeat, 1000, START_MS);
    for (unsigned i = 1; i < 4; i++) {
        assert_next(START_MS + i * LATER_MS, PROBE);
        heartbeat_tcp(&heartbeat, 0, true, START_MS + i * LATER_MS);
    }
    assert_next(START_MS + TIMEOUT_MS, PROBE); /* first its word of now */
    heartbeat_tcp(&heartbeat, 0, true, START_MS + TIMEOUT_MS);
    ck_assert_int_eq(heartbeat_judge(&heartbeat, &settings, START_MS + TIMEOUT_MS), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(one_byte_more_acknowledged_is_life)
{
    heartbeat_written(&heartbeat, 1000, START_MS);
    ck_assert_int_eq(do_what_is_due(0, true, START_MS + TIMEOUT_MS - 1), HEARTBEAT_FINE);
    heartbeat_tcp(&heartbeat, 1, true, START_MS + TIMEOUT_MS);
    ck_assert_int_eq(do_what_is_due(1, true, START_MS + 2 * TIMEOUT_MS - 1), HEARTBEAT_FINE);
    ck_assert_int_eq(do_what_is_due(1, true, START_MS + 2 * TIMEOUT_MS), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(a_window_that_stays_closed_is_a_stall_after_stall_timeout)
{
    heartbeat_written(&heartbeat, 1000, START_MS);
    heartbeat_tcp(&heartbeat, 500, false, START_MS + 100); /* nothing in flight, and not all */
    settings.interval_ms = SETTINGS_NEVER;
    ck_assert_int_eq(do_what_is_due(500, false, START_MS + 100 + STALL_MS - 1), HEARTBEAT_FINE);
    assert_next(START_MS + 100 + STALL_MS, PROBE);
    ck_assert_int_eq(do_what_is_due(500, false, START_MS + 100 + STALL_MS), HEARTBEAT_STALLED);
}
END_TEST

START_TEST(a_window_that_opens_starts_the_time_again)
{
    settings.interval_ms = SETTINGS_NEVER;
    heartbeat_written(&heartbeat, 1000, START_MS);
    heartbeat_tcp(&heartbeat, 500, false, START_MS);
    heartbeat_tcp(&heartbeat, 500, true, START_MS + STALL_MS - 1); /* what waited is sent */
    ck_assert_int_eq(do_what_is_due(500, true, START_MS + STALL_MS - 1 + TIMEOUT_MS - 1),
                     HEARTBEAT_FINE);
    ck_assert_int_eq(do_what_is_due(500, true, START_MS + STALL_MS - 1 + TIMEOUT_MS),
                     HEARTBEAT_DEAD);
}
END_TEST

START_TEST(more_bytes_behind_a_closed_window_do_not_put_off_the_stall)
{
    settings.interval_ms = SETTINGS_NEVER;
    heartbeat_written(&heartbeat, 1000, START_MS);
    heartbeat_tcp(&heartbeat, 500, false, START_MS);
    heartbeat_written(&heartbeat, 2000, START_MS + 10000);
    heartbeat_written(&heartbeat, 1500, START_MS + 11000); /* an offset never goes back */
    ck_assert_uint_eq(heartbeat.written_offset, 2000);
    ck_assert_int_eq(do_what_is_due(500, false, START_MS + STALL_MS), HEARTBEAT_STALLED);
}
END_TEST

START_TEST(after_all_is_acknowledged_new_bytes_have_their_own_time)
{
    settings.interval_ms = SETTINGS_NEVER;
    heartbeat_written(&heartbeat, 1000, START_MS);
    heartbeat_tcp(&heartbeat, 1000, false, START_MS + 100);
    ck_assert_uint_eq(heartbeat_deadline_ms(&heartbeat, &settings), SETTINGS_NEVER);
    heartbeat_written(&heartbeat, 1001, START_MS + 500000);
    assert_next(START_MS + 500000 + LATER_MS, PROBE);
    ck_assert_int_eq(do_what_is_due(1000, true, START_MS + 500000 + TIMEOUT_MS - 1),
                     HEARTBEAT_FINE);
    ck_assert_int_eq(do_what_is_due(1000, true, START_MS + 500000 + TIMEOUT_MS), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(after_a_ping_tcp_is_asked_soon_and_then_less_and_less_often)
{
    static const uint64_t waits_ms[] = {SOON_MS, SOON_MS, 2 * SOON_MS, LATER_MS, LATER_MS};
    uint64_t now_ms = START_MS;
    settings.timeout_ms = settings.stall_timeout_ms = TIMEOUT_MS;
    ping(now_ms);
    for (unsigned i = 0; i < 4; i++) {
        now_ms += waits_ms[i];
        assert_next(now_ms, PROBE);
        heartbeat_tcp(&heartbeat, 0, true, now_ms);
    }
    assert_next(now_ms + waits_ms[4], PROBE);
}
END_TEST

START_TEST(the_shorter_timeout_says_how_often_tcp_is_asked)
{
    settings.stall_timeout_ms = 400;
    heartbeat_written(&heartbeat, 1000, START_MS);
    assert_next(START_MS + 100, PROBE);
    settings.stall_timeout_ms = 2; /* a quarter of it is no time at all: 1 ms is */
    assert_next(START_MS + 1, PROBE);
}
END_TEST

START_TEST(a_large_message_on_a_slow_link_is_not_a_dead_link)
{
    const uint64_t bytes = UINT64_C(16) << 20;
    heartbeat_written(&heartbeat, bytes, START_MS);
    ping(START_MS);
    uint64_t now_ms = START_MS;
    uint64_t acked_offset = 0;
    while (acked_offset < heartbeat.written_offset) { /* 64 KiB in 7 s, just before timeout */
        now_ms += 7000;
        acked_offset += KIB_64;
        if (acked_offset > heartbeat.written_offset)
            acked_offset = heartbeat.written_offset;
        heartbeat_tcp(&heartbeat, acked_offset, acked_offset < heartbeat.written_offset, now_ms);
        ck_assert_int_eq(do_what_is_due(acked_offset, true, now_ms), HEARTBEAT_FINE);
    }
    ck_assert_uint_gt(now_ms, START_MS + 256 * 7000);
    heartbeat_received(&heartbeat, now_ms + 10);
    heartbeat_ponged(&heartbeat, heartbeat.written_offset);
    ck_assert_int_eq(do_what_is_due(acked_offset, false, now_ms + 10), HEARTBEAT_FINE);
}
END_TEST

/* ---- when we were not there --------------------------------------------------------------- */

START_TEST(while_we_do_not_read_nobody_is_judged_or_asked)
{
    ping(START_MS);
    heartbeat_set_reading(&heartbeat, false, START_MS + 1);
    assert_next(START_MS + INTERVAL_MS, PING); /* which goes on */
    ping(START_MS + INTERVAL_MS);
    ck_assert_int_eq(do_what_is_due(0, true, START_MS + 10 * INTERVAL_MS), HEARTBEAT_FINE);
    heartbeat_tcp(&heartbeat, PING_BYTES, true, START_MS + 10 * INTERVAL_MS);
    ck_assert_int_eq(do_what_is_due(0, true, START_MS + 11 * INTERVAL_MS - 1), HEARTBEAT_FINE);
}
END_TEST

START_TEST(reading_again_starts_all_deadlines_in_full)
{
    const uint64_t again_ms = START_MS + 15000;
    ping_that_arrives(START_MS);
    heartbeat_set_reading(&heartbeat, false, START_MS);
    heartbeat_set_reading(&heartbeat, false, again_ms - 1);
    heartbeat_set_reading(&heartbeat, true, again_ms);
    settings.interval_ms = SETTINGS_NEVER;
    assert_next(again_ms + TIMEOUT_MS, DEAD);
    heartbeat_set_reading(&heartbeat, true, again_ms + 5000); /* it read all the time */
    assert_next(again_ms + TIMEOUT_MS, DEAD);
}
END_TEST

START_TEST(a_sleep_starts_all_deadlines_in_full)
{
    const uint64_t awake_ms = START_MS + 3600000;
    ping_that_arrives(START_MS);
    heartbeat_restart(&heartbeat, awake_ms);
    settings.interval_ms = SETTINGS_NEVER;
    assert_next(awake_ms + TIMEOUT_MS, DEAD);
    heartbeat_start(&heartbeat, START_MS);
    heartbeat_written(&heartbeat, 1000, START_MS);
    heartbeat_restart(&heartbeat, awake_ms);
    assert_next(awake_ms + LATER_MS, PROBE);
    ck_assert_int_eq(do_what_is_due(0, true, awake_ms + TIMEOUT_MS - 1), HEARTBEAT_FINE);
    ck_assert_int_eq(do_what_is_due(0, true, awake_ms + TIMEOUT_MS), HEARTBEAT_DEAD);
}
END_TEST

START_TEST(a_sleep_makes_no_ping_of_none)
{
    heartbeat_restart(&heartbeat, START_MS + 1000);
    ck_assert_uint_eq(heartbeat.ping_ms, 0);
    ck_assert_uint_eq(heartbeat.judged_from_ms, 0);
    ping(START_MS + 2000);
    heartbeat_restart(&heartbeat, START_MS + 3000);
    ck_assert_uint_eq(heartbeat.judged_from_ms, 0); /* still on its way */
    ck_assert_uint_eq(heartbeat.ping_ms, START_MS + 3000);
}
END_TEST

START_TEST(times_without_end_do_not_come_round)
{
    settings = (struct heartbeat_settings){SETTINGS_NEVER, SETTINGS_NEVER, SETTINGS_NEVER};
    ping_that_arrives(START_MS);
    heartbeat_written(&heartbeat, UINT64_C(1) << 40, START_MS);
    ck_assert_int_eq(do_what_is_due(PING_BYTES, true, START_MS + 1000000000), HEARTBEAT_FINE);
    settings.timeout_ms = SETTINGS_NEVER - 1; /* and with an allowance on top */
    heartbeat_tcp(&heartbeat, heartbeat.written_offset, false, START_MS);
    ck_assert_uint_eq(heartbeat_deadline_ms(&heartbeat, &settings), SETTINGS_NEVER);
}
END_TEST

/* ---- chance ------------------------------------------------------------------------------- */

static uint32_t chance(uint32_t *seed, uint32_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % below;
}

START_TEST(whatever_happens_the_deadline_is_when_something_is_to_be_done)
{
    uint32_t seed = (uint32_t)_i * 2654435761u + 1;
    uint64_t now_ms = START_MS;
    for (unsigned turn = 0; turn < 5000; turn++) {
        uint64_t acked = heartbeat.acked_offset;
        acked += chance(&seed, (uint32_t)(heartbeat.written_offset - acked) + 1);
        switch (chance(&seed, 8)) {
        case 0:
            heartbeat_written(&heartbeat, heartbeat.written_offset + chance(&seed, 99999), now_ms);
            break;
        case 1:
            ping(now_ms);
            break;
        case 2:
            heartbeat_received(&heartbeat, now_ms);
            break;
        case 3:
            heartbeat_received(&heartbeat, now_ms);
            heartbeat_ponged(&heartbeat, heartbeat.written_offset);
            break;
        case 4:
            heartbeat_tcp(&heartbeat, acked, chance(&seed, 2), now_ms);
            break;
        case 5:
            heartbeat_set_reading(&heartbeat, chance(&seed, 3) > 0, now_ms);
            break;
        default: /* time goes on */
            now_ms += chance(&seed, INTERVAL_MS);
            break;
        }
        enum heartbeat_verdict verdict = do_what_is_due(acked, chance(&seed, 2), now_ms);
        if (verdict != HEARTBEAT_FINE) { /* dead or stalled: a new connection */
            heartbeat_start(&heartbeat, now_ms);
            continue;
        }
        uint64_t due_ms = heartbeat_deadline_ms(&heartbeat, &settings);
        if (due_ms <= now_ms || due_ms > now_ms + INTERVAL_MS ||
            heartbeat_judge(&heartbeat, &settings, due_ms - 1) != HEARTBEAT_FINE ||
            heartbeat_judge(&heartbeat, &settings, due_ms) == HEARTBEAT_FINE)
            ck_abort_msg("turn %u: due after %lld ms", turn, (long long)(due_ms - now_ms));
    }
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("heartbeat");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_quiet_link_gets_a_ping_after_an_interval);
    LOOP(a_ping_is_due_when_either_direction_was_quiet, quiet);
    tcase_add_test(tcase, a_heartbeat_that_is_off_sends_no_ping);
    tcase_add_test(tcase, an_answered_ping_is_followed_by_another_after_an_interval);
    tcase_add_test(tcase, an_unanswered_ping_is_followed_by_another_after_each_interval);
    tcase_add_test(tcase, a_ping_that_arrived_and_is_not_answered_is_the_end_after_timeout);
    tcase_add_test(tcase, a_second_ping_does_not_put_off_the_end);
    tcase_add_test(tcase, anything_that_arrives_is_life);
    tcase_add_test(tcase, a_ping_whose_last_byte_is_on_its_way_is_not_judged);
    tcase_add_test(tcase, time_0_is_a_time);
    LOOP(each_64_kib_since_the_last_pong_give_a_second_more, allowances);
    tcase_add_test(tcase, a_pulled_cable_is_the_end_after_timeout_and_on_tcps_word);
    tcase_add_test(tcase, one_byte_more_acknowledged_is_life);
    tcase_add_test(tcase, a_window_that_stays_closed_is_a_stall_after_stall_timeout);
    tcase_add_test(tcase, a_window_that_opens_starts_the_time_again);
    tcase_add_test(tcase, more_bytes_behind_a_closed_window_do_not_put_off_the_stall);
    tcase_add_test(tcase, after_all_is_acknowledged_new_bytes_have_their_own_time);
    tcase_add_test(tcase, after_a_ping_tcp_is_asked_soon_and_then_less_and_less_often);
    tcase_add_test(tcase, the_shorter_timeout_says_how_often_tcp_is_asked);
    tcase_add_test(tcase, a_large_message_on_a_slow_link_is_not_a_dead_link);
    tcase_add_test(tcase, while_we_do_not_read_nobody_is_judged_or_asked);
    tcase_add_test(tcase, reading_again_starts_all_deadlines_in_full);
    tcase_add_test(tcase, a_sleep_starts_all_deadlines_in_full);
    tcase_add_test(tcase, a_sleep_makes_no_ping_of_none);
    tcase_add_test(tcase, times_without_end_do_not_come_round);
    tcase_add_loop_test(tcase, whatever_happens_the_deadline_is_when_something_is_to_be_done, 0,
                        20);

    Suite *suite = suite_create("heartbeat");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
