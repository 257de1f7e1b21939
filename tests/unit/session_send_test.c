/* core/session_send.c: the window, the barrier's Pings, acknowledgement `sent`. */
#include "core/session_private.h"
#include "failing_malloc.h"
#include "session_fixture.h"

static struct fixture fixture;

static void setup(void)
{
    fixture_init(&fixture);
}

static void teardown(void)
{
    fixture_clear(&fixture);
}

START_TEST(one_ping_covers_what_is_sent_in_one_go)
{
    fixture_open(&fixture);
    for (unsigned i = 0; i < 10; i++)
        fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mmmmmmmmmmp");
    fixture_pong(&fixture);
    ck_assert(outbox_is_empty(&fixture.session.outbox));
    ck_assert_uint_eq(fixture.session.counters.sent, 10);
}
END_TEST

START_TEST(the_next_ping_waits_for_ping_spacing_and_for_the_pong)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "m"); /* its Pong is still missing */
    fixture_pong(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    ck_assert_uint_eq(session_deadline_ms(&fixture.session), fixture.now_ms + 200);
    fixture_timer_at(&fixture, fixture.now_ms + 199);
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    fixture_timer_at(&fixture, fixture.now_ms + 1);
    ck_assert_str_eq(fixture_flush(&fixture, true), "p");
}
END_TEST

static const struct {
    const char *why;
    size_t bytes;
    uint32_t messages_max;
    uint64_t bytes_max;
    uint64_t window_bytes;
    const char *sent;
} urgent[] = {
    {"64 KiB since the last Ping", 65536, 100, 1 << 30, 1 << 30, "mp"},
    {"a byte less can wait", 65535, 100, 1 << 30, 1 << 30, "m"},
    {"the outbox is half full by bytes", 500, 100, 1000, 1 << 30, "mp"},
    {"not yet half full by bytes", 499, 100, 1000, 1 << 30, "m"},
    {"the outbox is half full by messages", 5, 1, 1 << 30, 1 << 30, "mp"},
    {"the window is half full", 500, 100, 1 << 30, 1000, "mp"},
    {"the window is not yet half full", 499, 100, 1 << 30, 1000, "m"},
};

START_TEST(a_ping_does_not_wait_when_the_acknowledgement_is_wanted_soon)
{
    fixture.settings.outbox_messages_max = urgent[_i].messages_max;
    fixture.settings.outbox_bytes_max = urgent[_i].bytes_max;
    fixture.settings.window_bytes = urgent[_i].window_bytes;
    fixture_open(&fixture);
    fixture_message_of(&fixture, 0);
    fixture_flush(&fixture, true);
    fixture_pong(&fixture);
    fixture_message_of(&fixture, urgent[_i].bytes);
    ck_assert_msg(strcmp(fixture_flush(&fixture, true), urgent[_i].sent) == 0, "%s: sent %s",
                  urgent[_i].why, fixture.sent);
}
END_TEST

START_TEST(a_ping_is_wanted_also_when_4_gib_went_without_one)
{
    fixture_open(&fixture);
    fixture_message_of(&fixture, 0);
    fixture_flush(&fixture, true);
    fixture_pong(&fixture);
    fixture.session.bytes_since_ping = UINT32_MAX - 100;
    fixture_message_of(&fixture, 200);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
}
END_TEST

START_TEST(no_more_than_the_window_is_sent_beyond_the_last_acknowledgement)
{
    fixture.settings.window_bytes = 1000;
    fixture_open(&fixture);
    fixture_message_of(&fixture, 600);
    fixture_message_of(&fixture, 400);
    fixture_message_of(&fixture, 1);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mpm");
    fixture_pong(&fixture); /* the first */
    ck_assert_str_eq(fixture_flush(&fixture, true), "m");
}
END_TEST

START_TEST(one_message_larger_than_the_window_goes_alone)
{
    fixture.settings.window_bytes = 1000;
    fixture_open(&fixture);
    fixture_message_of(&fixture, 5000);
    fixture_message_of(&fixture, 1);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    fixture_pong(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "m");
}
END_TEST

START_TEST(a_ping_without_its_pong_is_followed_by_others_at_most_four_in_flight)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    for (unsigned i = 2; i <= 4; i++) {
        fixture_timer_at(&fixture, fixture.now_ms + 2499);
        ck_assert_str_eq(fixture_flush(&fixture, true), "");
        fixture_timer_at(&fixture, fixture.now_ms + 1);
        ck_assert_str_eq(fixture_flush(&fixture, true), "p");
        ck_assert_uint_eq(fixture.session.barrier.ping_count, i);
    }
    session_upstream_received(&fixture.session, fixture.now_ms);
    fixture_timer_at(&fixture, fixture.now_ms + 2500);
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    fixture_pong(&fixture); /* of the fourth: it retires all */
    ck_assert_uint_eq(fixture.session.barrier.ping_count, 0);
    ck_assert(outbox_is_empty(&fixture.session.outbox));
}
END_TEST

START_TEST(a_ping_that_cannot_be_remembered_is_not_sent_and_keeps_nothing_back)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    fixture_tcp_acked(&fixture);
    fixture_timer_at(&fixture, fixture.now_ms + 2500);
    counting = true; /* the one that would follow is the only thing that takes memory */
    allocation_count = 0;
    allocation_failing = 1;
    const char *sent = fixture_flush(&fixture, true);
    counting = false;
    ck_assert_str_eq(sent, "");
    ck_assert_uint_eq(allocation_count, 1);
    ck_assert_uint_gt(session_deadline_ms(&fixture.session), fixture.now_ms); /* no busy loop */
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "m");
    fixture_timer_at(&fixture, fixture.now_ms + 2500);
    ck_assert_str_eq(fixture_flush(&fixture, true), "p");
    fixture_pong(&fixture);
    ck_assert(outbox_is_empty(&fixture.session.outbox));
}
END_TEST

START_TEST(pings_that_cover_nothing_do_not_keep_a_message_from_its_own)
{
    fixture_open(&fixture);
    for (unsigned i = 0; i < 6; i++) { /* a server that talks, and answers no Ping */
        fixture.now_ms += 20000;
        session_upstream_received(&fixture.session, fixture.now_ms);
        fixture_timer_at(&fixture, fixture.now_ms);
        fixture_flush(&fixture, true);
        fixture_tcp_acked(&fixture);
    }
    ck_assert_uint_eq(fixture.session.barrier.ping_count, BARRIER_PING_COUNT_MAX);
    fixture.now_ms += 1000;
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    fixture_tcp_acked(&fixture);
    ck_assert_uint_ge(session_ack_deadline_ms(&fixture.session), fixture.now_ms + 30000);
    fixture_pong(&fixture);
    ck_assert(outbox_is_empty(&fixture.session.outbox));
}
END_TEST

START_TEST(sent_acknowledges_what_the_kernel_took_and_sends_no_barrier)
{
    fixture.settings.acknowledge = ACKNOWLEDGE_SENT;
    fixture.settings.window_bytes = 1;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, false), "mm");
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 2);
    session_upstream_written(&fixture.session, fixture.offset - 1, fixture.now_ms,
                             &fixture.actions);
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 1);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture_next_attempt(&fixture);
    fixture_upgrade(&fixture, NULL);
    ck_assert_str_eq(fixture_flush(&fixture, true), "m"); /* only the one cut in its frame */
    ck_assert(outbox_is_empty(&fixture.session.outbox));
    ck_assert_uint_eq(fixture.session.counters.repeated, 0);
}
END_TEST

START_TEST(a_message_that_was_not_wholly_written_is_not_exposed)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, false);
    session_upstream_written(&fixture.session, 10, fixture.now_ms, &fixture.actions);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture_next_attempt(&fixture);
    fixture_upgrade(&fixture, NULL);
    ck_assert_uint_eq(fixture.actions.repeats, 0);
    fixture_flush(&fixture, true);
    ck_assert_uint_eq(fixture.session.counters.repeated, 0);
}
END_TEST

START_TEST(nothing_to_do_is_no_timer_in_a_busy_loop)
{
    fixture_open(&fixture);
    fixture_message_of(&fixture, 100000);
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    struct session_send send = {.body = body};
    ck_assert(session_send_next(&fixture.session, fixture.now_ms, &send));
    session_sent(&fixture.session, &send, 100014, fixture.now_ms);
    /* The Ping is due, and the connection takes nothing: the timer must not come at once again. */
    for (unsigned i = 0; i < 3; i++)
        fixture_timer_at(&fixture, fixture.now_ms);
    ck_assert_uint_gt(session_deadline_ms(&fixture.session), fixture.now_ms);
    ck_assert(session_has_to_send(&fixture.session, fixture.now_ms));
    ck_assert(session_send_next(&fixture.session, fixture.now_ms, &send));
    ck_assert_int_eq(send.kind, SESSION_SEND_PING);
    session_sent(&fixture.session, &send, 100036, fixture.now_ms);
    ck_assert(!session_has_to_send(&fixture.session, fixture.now_ms));
}
END_TEST

START_TEST(the_last_close_is_sent_once)
{
    fixture_open(&fixture);
    ck_assert(!session_has_to_send(&fixture.session, fixture.now_ms));
    fixture_client_close(&fixture, 1000, NULL);
    ck_assert(session_has_to_send(&fixture.session, fixture.now_ms));
    ck_assert_str_eq(fixture_flush(&fixture, true), "c");
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    ck_assert(!session_has_to_send(&fixture.session, fixture.now_ms));
}
END_TEST

START_TEST(what_drop_oldest_drops_does_not_set_off_more_pings)
{
    fixture.settings.outbox_messages_max = 1;
    fixture.settings.overflow = OVERFLOW_DROP_OLDEST;
    fixture_open(&fixture);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    for (unsigned i = 0; i < 20; i++) { /* each pushes out the one that was sent before */
        ck_assert_int_eq(fixture_message(&fixture), SESSION_TAKEN);
        ck_assert_str_eq(fixture_flush(&fixture, true), "m"); /* a Pong is owed already */
    }
    fixture_tcp_acked(&fixture);
    uint64_t deadline_ms = session_ack_deadline_ms(&fixture.session);
    ck_assert_uint_eq(deadline_ms, fixture.now_ms + 30000); /* and it comes, or else */
    fixture_pong(&fixture);
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 1);
    fixture_timer_at(&fixture, fixture.now_ms + 200);
    ck_assert_str_eq(fixture_flush(&fixture, true), "p");
    fixture_pong(&fixture);
    ck_assert(outbox_is_empty(&fixture.session.outbox));
}
END_TEST

START_TEST(the_window_counts_what_was_dropped_since)
{
    fixture.settings.outbox_messages_max = 1;
    fixture.settings.overflow = OVERFLOW_DROP_OLDEST;
    fixture.settings.window_bytes = 1000;
    fixture_open(&fixture);
    fixture_message_of(&fixture, 600);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    fixture_message_of(&fixture, 400);
    ck_assert_str_eq(fixture_flush(&fixture, true), "m");
    fixture_message_of(&fixture, 1);
    ck_assert_str_eq(fixture_flush(&fixture, true), ""); /* 1000 bytes are still on their way */
    fixture_pong(&fixture);                              /* of the first */
    ck_assert_str_eq(fixture_flush(&fixture, true), "pm");
}
END_TEST

START_TEST(a_matching_pong_gives_the_next_one_its_time_in_full)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    uint8_t first[BARRIER_PAYLOAD_BYTES];
    memcpy(first, fixture.ping, sizeof first);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_timer_at(&fixture, fixture.now_ms + 2500);
    ck_assert_str_eq(fixture_flush(&fixture, true), "p"); /* for both messages */
    fixture_tcp_acked(&fixture);
    fixture.now_ms += 20000; /* the server reads slowly */
    session_upstream_received(&fixture.session, fixture.now_ms);
    session_upstream_pong(&fixture.session, first, sizeof first, fixture.now_ms, &fixture.actions);
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 1);
    ck_assert_uint_eq(session_ack_deadline_ms(&fixture.session), fixture.now_ms + 30000);
}
END_TEST

START_TEST(bytes_behind_the_ping_that_was_answered_keep_their_allowance)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    uint8_t first[BARRIER_PAYLOAD_BYTES];
    memcpy(first, fixture.ping, sizeof first);
    fixture_message_of(&fixture, 200000);
    ck_assert_str_eq(fixture_flush(&fixture, true), "m");
    fixture_timer_at(&fixture, fixture.now_ms + 2500);
    ck_assert_str_eq(fixture_flush(&fixture, true), "p");
    fixture_tcp_acked(&fixture);
    session_upstream_pong(&fixture.session, first, sizeof first, fixture.now_ms, &fixture.actions);
    ck_assert_uint_eq(session_ack_deadline_ms(&fixture.session), fixture.now_ms + 30000 + 3000);
    static const uint8_t unknown[4] = {0};
    session_upstream_pong(&fixture.session, unknown, sizeof unknown, fixture.now_ms,
                          &fixture.actions);
    ck_assert_uint_eq(session_ack_deadline_ms(&fixture.session), fixture.now_ms + 30000 + 3000);
    fixture_pong(&fixture);
    ck_assert(outbox_is_empty(&fixture.session.outbox));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("session_send");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, one_ping_covers_what_is_sent_in_one_go);
    tcase_add_test(tcase, the_next_ping_waits_for_ping_spacing_and_for_the_pong);
    tcase_add_loop_test(tcase, a_ping_does_not_wait_when_the_acknowledgement_is_wanted_soon, 0,
                        sizeof urgent / sizeof *urgent);
    tcase_add_test(tcase, a_ping_is_wanted_also_when_4_gib_went_without_one);
    tcase_add_test(tcase, no_more_than_the_window_is_sent_beyond_the_last_acknowledgement);
    tcase_add_test(tcase, one_message_larger_than_the_window_goes_alone);
    tcase_add_test(tcase, a_ping_without_its_pong_is_followed_by_others_at_most_four_in_flight);
    tcase_add_test(tcase, a_ping_that_cannot_be_remembered_is_not_sent_and_keeps_nothing_back);
    tcase_add_test(tcase, pings_that_cover_nothing_do_not_keep_a_message_from_its_own);
    tcase_add_test(tcase, sent_acknowledges_what_the_kernel_took_and_sends_no_barrier);
    tcase_add_test(tcase, a_message_that_was_not_wholly_written_is_not_exposed);
    tcase_add_test(tcase, nothing_to_do_is_no_timer_in_a_busy_loop);
    tcase_add_test(tcase, the_last_close_is_sent_once);
    tcase_add_test(tcase, what_drop_oldest_drops_does_not_set_off_more_pings);
    tcase_add_test(tcase, the_window_counts_what_was_dropped_since);
    tcase_add_test(tcase, a_matching_pong_gives_the_next_one_its_time_in_full);
    tcase_add_test(tcase, bytes_behind_the_ping_that_was_answered_keep_their_allowance);

    Suite *suite = suite_create("session_send");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
