/* core/session_client.c: the client's messages, its end, its heartbeat, backpressure. */
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

static void inbox(uint64_t bytes)
{
    session_inbox(&fixture.session, bytes, fixture.now_ms, &fixture.actions);
    session_check(&fixture.session);
}

static void reconnect(void)
{
    fixture_next_attempt(&fixture);
    fixture_upgrade(&fixture, NULL);
}

START_TEST(messages_queue_while_the_upstream_is_away)
{
    fixture_begin(&fixture, "");
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(fixture_message(&fixture), SESSION_TAKEN);
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    fixture_upgrade(&fixture, NULL);
    ck_assert_uint_eq(strlen(fixture_flush(&fixture, true)), 101); /* one Ping, after the first */
    ck_assert_int_eq(fixture.sent[1], 'p');
}
END_TEST

START_TEST(a_full_outbox_stops_reading_until_the_message_fits)
{
    fixture.settings.outbox_bytes_max = 100;
    fixture_open(&fixture);
    ck_assert_int_eq(fixture_message_of(&fixture, 60), SESSION_TAKEN);
    ck_assert(session_reads_client(&fixture.session));
    ck_assert_int_eq(fixture_message_of(&fixture, 41), SESSION_NOT_NOW);
    ck_assert(!session_reads_client(&fixture.session));
    ck_assert(!session_has_room(&fixture.session));
    ck_assert(session_reads_upstream(&fixture.session));
    fixture_flush(&fixture, true);
    fixture_pong(&fixture);
    ck_assert(session_has_room(&fixture.session));
    ck_assert_int_eq(fixture_message_of(&fixture, 41), SESSION_TAKEN);
    ck_assert(session_reads_client(&fixture.session));
}
END_TEST

START_TEST(drop_oldest_makes_room_and_counts_what_it_dropped)
{
    fixture.settings.outbox_messages_max = 3;
    fixture.settings.overflow = OVERFLOW_DROP_OLDEST;
    fixture_begin(&fixture, "");
    for (unsigned i = 0; i < 3; i++)
        fixture_message(&fixture);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_TAKEN);
    ck_assert_uint_eq(fixture.actions.given_up_count, 1);
    ck_assert_uint_eq(fixture.actions.given_up_bytes, 5);
    ck_assert_int_eq(fixture.actions.given_up_cause, CAUSE_OVERFLOW);
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 3);
}
END_TEST

START_TEST(drop_oldest_never_drops_in_the_middle_of_a_frame)
{
    fixture.settings.outbox_messages_max = 1;
    fixture.settings.overflow = OVERFLOW_DROP_OLDEST;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, false); /* encoded, not with the kernel */
    ck_assert_int_eq(fixture_message(&fixture), SESSION_NOT_NOW);
    ck_assert_uint_eq(fixture.session.counters.given_up, 0);
    session_upstream_written(&fixture.session, fixture.offset, fixture.now_ms, &fixture.actions);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_TAKEN);
    ck_assert_uint_eq(fixture.session.counters.given_up, 1);
}
END_TEST

START_TEST(overflow_close_ends_the_client_with_1013_and_keeps_what_was_taken)
{
    fixture.settings.outbox_messages_max = 1;
    fixture.settings.overflow = OVERFLOW_CLOSE;
    fixture_open(&fixture);
    fixture_message(&fixture);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_IGNORED);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1013);
    ck_assert_uint_eq(fixture.actions.given_up_count, 1);
    fixture_client_close(&fixture, 1013, NULL);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CUT);
    fixture_flush(&fixture, true);
    fixture_pong(&fixture);
    ck_assert_uint_eq(fixture.session.counters.sent, 1);
    ck_assert_int_eq(fixture.session.state, SESSION_CLOSING);
}
END_TEST

/* Begin, send, close; each allocation of it fails in turn.  What the client hears of it. */
static const char *life_with(unsigned failing)
{
    const uint8_t payload[5] = "hello";
    const struct close_frame close = fixture_close_frame(1000, NULL);
    allocation_count = 0;
    allocation_failing = failing;
    counting = true; /* not inside of an assertion: libcheck allocates, too */
    fixture_begin(&fixture, "chat");
    counting = false;
    if (fixture.session.state == SESSION_ENDED) {
        ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_REFUSE);
        ck_assert_int_eq(fixture.actions.end.cause, CAUSE_NO_RESOURCES);
        return "refused";
    }
    fixture_upgrade(&fixture, "chat");
    unsigned tries = 0;
    enum session_take take;
    do {
        counting = true;
        struct outbox_message message = {
            .opcode = FRAME_TEXT, .payload = payload, .payload_bytes = 5};
        take = session_client_message(&fixture.session, &message, fixture.now_ms, &fixture.actions);
        counting = false;
        ck_assert(session_reads_client(&fixture.session) == (take == SESSION_TAKEN));
        ck_assert(session_has_room(&fixture.session)); /* worth another try */
    } while (++tries < 3 && take == SESSION_NOT_NOW);
    counting = true;
    session_client_close(&fixture.session, &close, fixture.now_ms, &fixture.actions);
    counting = false;
    if (fixture.session.client == SESSION_CLIENT_GONE) {
        ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CUT); /* no receipt */
        ck_assert_int_eq(fixture.session.client_cause, CAUSE_NO_RESOURCES);
    }
    fixture_flush(&fixture, true);
    fixture_pong(&fixture);
    ck_assert_uint_eq(fixture.session.counters.sent, 1); /* whatever failed: taken is taken */
    if (fixture.session.client_cause == CAUSE_NO_RESOURCES)
        return "cut";
    ck_assert_uint_eq(fixture.actions.client_close.code, 1000);
    return tries > 1 ? "paused" : "fine";
}

START_TEST(each_allocation_of_a_session_may_fail)
{
    static const char *const expect[] = {"refused", "paused", "paused", "cut", "fine"};
    for (unsigned failing = 1; failing <= sizeof(expect) / sizeof(*expect); failing++) {
        setup();
        const char *heard = life_with(failing);
        ck_assert_msg(strcmp(heard, expect[failing - 1]) == 0, "%u: %s", failing, heard);
        ck_assert_int_eq(allocation_count >= failing, failing < sizeof(expect) / sizeof(*expect));
        if (failing < sizeof(expect) / sizeof(*expect))
            teardown();
    }
}
END_TEST

START_TEST(who_starves_is_not_read_and_nothing_is_held_against_him)
{
    fixture_open(&fixture);
    fixture.client_is_dead = true;
    session_client_starves(&fixture.session, true, fixture.now_ms);
    session_upstream_starves(&fixture.session, true, fixture.now_ms);
    ck_assert(!session_reads_client(&fixture.session));
    ck_assert(!session_reads_upstream(&fixture.session));
    fixture_run_until_move(&fixture, fixture.now_ms + 600000, true);
    ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_OPEN);
    fixture.now_ms += 600000;
    session_client_starves(&fixture.session, false, fixture.now_ms);
    session_upstream_starves(&fixture.session, false, fixture.now_ms);
    ck_assert(session_reads_client(&fixture.session));
    ck_assert(session_reads_upstream(&fixture.session));
    fixture_run_until_move(&fixture, fixture.now_ms + 600000, true);
    ck_assert_int_ne(fixture.session.state, SESSION_OPEN); /* and now it is */
}
END_TEST

START_TEST(an_upstream_that_owes_pongs_is_read_though_it_starves)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    session_upstream_starves(&fixture.session, true, fixture.now_ms);
    ck_assert(session_reads_upstream(&fixture.session));
    fixture_pong(&fixture);
    session_upstream_starves(&fixture.session, true, fixture.now_ms);
    ck_assert(!session_reads_upstream(&fixture.session));
    fixture_message(&fixture);
    session_upstream_starves(&fixture.session, true, fixture.now_ms);
    ck_assert(session_reads_upstream(&fixture.session));
}
END_TEST

START_TEST(what_is_held_leaves_a_half_to_what_was_accepted)
{
    fixture.budget.bytes_max = 1000;
    fixture.budget.kept_bytes = 900; /* of others */
    fixture_open(&fixture);
    ck_assert_int_eq(fixture_message_of(&fixture, 400), SESSION_TAKEN);
    ck_assert_int_eq(fixture_message_of(&fixture, 100), SESSION_NOT_NOW);
    ck_assert(!session_has_room(&fixture.session));
    fixture.budget.kept_bytes = 300;
    ck_assert(session_has_room(&fixture.session));
    ck_assert_int_eq(fixture_message_of(&fixture, 100), SESSION_TAKEN);
    fixture.budget.kept_bytes = 0;
}
END_TEST

START_TEST(memory_max_pauses_the_client_like_a_full_outbox)
{
    fixture.budget.bytes_max = 100;
    fixture_open(&fixture);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_TAKEN);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_NOT_NOW);
    ck_assert(fixture.budget.refused);
    fixture_flush(&fixture, true);
    fixture_pong(&fixture);
    ck_assert(session_has_room(&fixture.session));
}
END_TEST

START_TEST(a_full_inbox_stops_reading_the_upstream_until_half_is_taken)
{
    fixture.settings.inbox_bytes_max = 1000;
    fixture_open(&fixture);
    inbox(999);
    ck_assert(session_reads_upstream(&fixture.session));
    inbox(1000);
    ck_assert(!session_reads_upstream(&fixture.session));
    inbox(500);
    ck_assert(!session_reads_upstream(&fixture.session));
    inbox(499);
    ck_assert(session_reads_upstream(&fixture.session));
}
END_TEST

START_TEST(an_empty_inbox_is_read_even_when_memory_is_used_up)
{
    fixture_open(&fixture);
    fixture.budget.bytes_max = 0;
    fixture.budget.bytes = 10;
    inbox(1);
    ck_assert(!session_reads_upstream(&fixture.session));
    inbox(0);
    ck_assert(session_reads_upstream(&fixture.session));
    fixture.budget.bytes = 0;
}
END_TEST

START_TEST(inbox_overflow_close_ends_the_client_with_1013)
{
    fixture.settings.inbox_bytes_max = 1000;
    fixture.settings.inbox_overflow = INBOX_OVERFLOW_CLOSE;
    fixture_open(&fixture);
    inbox(1000);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CLOSE);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1013);
    ck_assert(session_reads_upstream(&fixture.session)); /* for the Pongs; data is dropped */
    ck_assert(!session_upstream_message(&fixture.session, fixture.now_ms));
}
END_TEST

START_TEST(nothing_is_held_against_an_upstream_that_is_not_read)
{
    fixture.settings.inbox_bytes_max = 1000;
    fixture.settings.silence_ms = 20000;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_tcp_acked(&fixture);
    inbox(1000);
    fixture_run_until_move(&fixture, 3600000, true);
    ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
    fixture.now_ms = 3600000;
    inbox(0);
    fixture_timer_at(&fixture, 3600000 + 9000);
    ck_assert_int_eq(fixture.session.state, SESSION_OPEN); /* in full from here */
    fixture_run_until_move(&fixture, 7200000, true);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
}
END_TEST

static void pause_both(void)
{
    fixture.settings.outbox_messages_max = 1;
    fixture.settings.inbox_bytes_max = 1000;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_NOT_NOW);
    inbox(1000);
}

START_TEST(both_directions_paused_for_stall_timeout_is_a_mutual_stall)
{
    pause_both();
    fixture_timer_at(&fixture, 69999);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_OPEN);
    fixture_timer_at(&fixture, 70000);
    ck_assert(fixture.actions.mutual_stall);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1013);
    ck_assert(session_reads_upstream(&fixture.session)); /* and so the outbox can still drain */
    fixture_pong(&fixture);
    ck_assert_uint_eq(fixture.session.counters.sent, 1);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_TAKEN);
}
END_TEST

START_TEST(a_client_that_starves_and_takes_nothing_is_a_mutual_stall)
{
    fixture.settings.inbox_bytes_max = 1000;
    fixture_open(&fixture);
    inbox(1000);
    session_client_starves(&fixture.session, true, fixture.now_ms);
    uint64_t due_ms = fixture.now_ms + 60000;
    fixture_timer_at(&fixture, due_ms - 1);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_OPEN);
    fixture_timer_at(&fixture, due_ms);
    ck_assert(fixture.actions.mutual_stall);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1013);
}
END_TEST

START_TEST(a_closed_client_that_starves_has_its_time_once_it_is_read_again)
{
    fixture.settings.outbox_messages_max = 1;
    fixture.settings.overflow = OVERFLOW_CLOSE;
    fixture.settings.drain_timeout_ms = 3600000;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_message(&fixture);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_CLOSED);
    session_client_starves(&fixture.session, true, fixture.now_ms);
    uint64_t again_ms = fixture.now_ms + 600000;
    fixture_timer_at(&fixture, again_ms);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_CLOSED);
    session_client_starves(&fixture.session, false, again_ms);
    fixture_timer_at(&fixture, again_ms + SESSION_CLOSE_WAIT_MS - 1);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_CLOSED);
    fixture_timer_at(&fixture, again_ms + SESSION_CLOSE_WAIT_MS);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_GONE);
}
END_TEST

START_TEST(a_mutual_stall_counts_from_when_we_run_again)
{
    pause_both();
    fixture.now_ms += 3600000;
    session_did_not_run(&fixture.session, fixture.now_ms);
    fixture_timer_at(&fixture, fixture.now_ms + 59999);
    ck_assert(!fixture.actions.any || !fixture.actions.mutual_stall);
    fixture_timer_at(&fixture, fixture.now_ms + 1);
    ck_assert(fixture.actions.mutual_stall);
}
END_TEST

START_TEST(a_client_that_takes_its_inbox_slowly_is_no_mutual_stall)
{
    pause_both();
    for (unsigned i = 1; i < 10; i++) {
        fixture_timer_at(&fixture, 10000 + i * 59000);
        ck_assert(!fixture.actions.any || !fixture.actions.mutual_stall);
        inbox(1000 - i);
    }
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_OPEN);
}
END_TEST

START_TEST(the_answer_to_a_close_is_a_receipt)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_client_close(&fixture, 3333, "done");
    ck_assert(!fixture.actions.any);
    ck_assert(session_upstream_message(&fixture.session, fixture.now_ms)); /* it may still listen */
    fixture_pong(&fixture);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CLOSE);
    ck_assert_uint_eq(fixture.actions.client_close.code, 3333);
    ck_assert_str_eq(fixture_flush(&fixture, true), "c"); /* only after the acknowledgement */
    ck_assert_uint_eq(fixture.close.code, 3333);
    ck_assert_mem_eq(fixture.close.reason, "done", 4);
    fixture_upstream_close(&fixture, 3333, NULL);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.move.cause, CAUSE_CLIENT_CLOSED);
}
END_TEST

START_TEST(a_close_makes_the_barrier_urgent)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_pong(&fixture);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "m");
    fixture_client_close(&fixture, 1000, NULL);
    ck_assert_str_eq(fixture_flush(&fixture, true), "p");
}
END_TEST

START_TEST(a_close_that_is_not_acknowledged_in_time_is_answered_with_1011_and_the_number)
{
    fixture_open(&fixture);
    for (int i = 0; i <= _i; i++)
        fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_client_close(&fixture, 1000, NULL);
    fixture_timer_at(&fixture, 14999);
    ck_assert_int_ne(fixture.session.state, SESSION_ENDED);
    fixture_timer_at(&fixture, 15000);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    const char *reason =
        _i ? "wskeep: 2 messages not delivered" : "wskeep: 1 message not delivered";
    ck_assert_uint_eq(fixture.actions.client_close.code, 1011);
    ck_assert_uint_eq(fixture.actions.client_close.reason_bytes, strlen(reason));
    ck_assert_mem_eq(fixture.actions.client_close.reason, reason, strlen(reason));
    ck_assert_uint_eq(fixture.actions.given_up_count, (unsigned)_i + 1);
    ck_assert_int_eq(fixture.actions.given_up_cause, CAUSE_CLIENT_CLOSED);
    ck_assert_int_eq(fixture.actions.drop, SESSION_DROP_CLOSE);
}
END_TEST

START_TEST(an_upstream_that_ends_the_session_turns_the_receipt_into_1011)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_client_close(&fixture, 1000, NULL);
    fixture_upstream_close(&fixture, 4000, NULL);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1011);
}
END_TEST

START_TEST(draining_goes_on_over_reconnects)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_client_close(&fixture, 1000, NULL);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    reconnect();
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    fixture_pong(&fixture);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1000);
}
END_TEST

START_TEST(a_close_with_nothing_to_drain_ends_an_attempt_at_once)
{
    fixture_begin(&fixture, "");
    fixture_client_close(&fixture, 1005, NULL);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.drop, SESSION_DROP_ABANDON);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1005); /* an empty Close */
}
END_TEST

START_TEST(a_client_that_leaves_without_waiting_keeps_its_session_draining)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_client_close(&fixture, 1000, NULL);
    session_client_lost(&fixture.session, CAUSE_CLIENT_LOST, fixture.now_ms, &fixture.actions);
    ck_assert(!fixture.actions.any);
    fixture_flush(&fixture, true);
    fixture_pong(&fixture);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_KEEP); /* nobody to tell */
    ck_assert_str_eq(fixture_flush(&fixture, true), "c");
}
END_TEST

START_TEST(after_a_lost_client_the_upstream_ends_without_close_too)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    session_client_lost(&fixture.session, CAUSE_CLIENT_LOST, fixture.now_ms, &fixture.actions);
    ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
    if (_i == 0)
        fixture_pong(&fixture); /* after the last acknowledgement */
    else
        fixture_timer_at(&fixture, 15000); /* or drain_timeout */
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.drop, SESSION_DROP_FIN);
    ck_assert_uint_eq(fixture.session.counters.given_up, (unsigned)_i);
}
END_TEST

START_TEST(a_client_lost_before_its_answer_ends_the_session)
{
    fixture_begin(&fixture, NULL);
    session_client_lost(&fixture.session, CAUSE_CLIENT_LOST, fixture.now_ms, &fixture.actions);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_KEEP);
}
END_TEST

START_TEST(a_client_that_does_not_answer_our_close_is_cut_after_2_s)
{
    fixture_open(&fixture);
    session_shutdown(&fixture.session, fixture.now_ms, &fixture.actions);
    fixture_timer_at(&fixture, 11999);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_CLOSED);
    fixture_timer_at(&fixture, 12000);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_GONE);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CUT);
    ck_assert_int_eq(fixture.session.state, SESSION_CLOSING);
}
END_TEST

START_TEST(messages_after_the_clients_close_are_ignored)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_client_close(&fixture, 1000, NULL);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_IGNORED);
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 1);
}
END_TEST

START_TEST(a_dead_client_is_found_by_its_heartbeat)
{
    fixture.settings.client_heartbeat.interval_ms = 1000;
    fixture.settings.client_heartbeat.timeout_ms = 1000;
    fixture.settings.heartbeat.interval_ms = SETTINGS_NEVER;
    if (_i == 1)
        fixture.settings.client_heartbeat.interval_ms = SETTINGS_NEVER;
    fixture.client_is_dead = true;
    fixture_open(&fixture);
    if (_i == 2)
        fixture.session.client_beats = false;
    bool pinged = false;
    for (unsigned i = 0; i < 50 && fixture.session.state != SESSION_ENDED; i++) {
        if (session_deadline_ms(&fixture.session) == SETTINGS_NEVER)
            break;
        fixture_timer_at(&fixture, session_deadline_ms(&fixture.session));
        if (fixture.actions.any && fixture.actions.ping_client) {
            session_client_written(&fixture.session, 2, fixture.now_ms);
            pinged = true;
        }
        if (fixture.actions.any && fixture.actions.probe_client)
            session_client_tcp(&fixture.session, 2, false, fixture.now_ms);
    }
    if (_i > 0) {
        ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
        return;
    }
    ck_assert(pinged);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.move.cause, CAUSE_CLIENT_LOST);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CUT);
}
END_TEST

START_TEST(a_client_that_waits_for_its_receipt_is_not_judged_by_its_heartbeat)
{
    fixture.settings.drain_timeout_ms = 600000;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_client_close(&fixture, 1000, NULL);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture.client_is_dead = true; /* few endpoints answer Pings after their Close */
    for (unsigned i = 0; i < 100; i++) {
        fixture_timer_at(&fixture, fixture.now_ms + 1000);
        ck_assert(!fixture.actions.any || !fixture.actions.ping_client);
        ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_CLOSING);
        if (fixture.session.state == SESSION_RESOLVING)
            fixture_lost(&fixture, CAUSE_TCP_REFUSED);
    }
}
END_TEST

START_TEST(a_kept_message_that_can_never_fit_after_a_reload_is_refused_and_counted_once)
{
    struct session_settings reloaded = fixture.settings;
    fixture.settings.outbox_bytes_max = 100;
    reloaded.outbox_bytes_max = 50;
    fixture_begin(&fixture, "");
    fixture_message_of(&fixture, 60);
    ck_assert_int_eq(fixture_message_of(&fixture, 70), SESSION_NOT_NOW);
    session_use_settings(&fixture.session, &reloaded);
    ck_assert(session_has_room(&fixture.session)); /* for its refusal */
    ck_assert_int_eq(fixture_message_of(&fixture, 70), SESSION_IGNORED);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1009);
    ck_assert_uint_eq(fixture.actions.given_up_count, 1);
    ck_assert(session_reads_client(&fixture.session)); /* its answer to our Close */
    ck_assert_uint_eq(fixture.session.client_deadline_ms, fixture.now_ms + 2000);
    fixture_timer_at(&fixture, fixture.session.drain_deadline_ms);
    ck_assert_uint_eq(fixture.session.counters.given_up, 2);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
}
END_TEST

START_TEST(a_kept_message_is_offered_again_once_the_oldest_may_be_dropped)
{
    fixture.settings.outbox_messages_max = 1;
    fixture.settings.overflow = OVERFLOW_DROP_OLDEST;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, false); /* in the middle of its frame */
    ck_assert_int_eq(fixture_message(&fixture), SESSION_NOT_NOW);
    ck_assert(!session_has_room(&fixture.session));
    session_upstream_written(&fixture.session, fixture.offset, fixture.now_ms, &fixture.actions);
    ck_assert(session_has_room(&fixture.session));
}
END_TEST

START_TEST(an_inbox_that_closes_the_client_does_not_pause_the_upstream)
{
    fixture.settings.inbox_bytes_max = 100;
    fixture.settings.inbox_overflow = INBOX_OVERFLOW_CLOSE;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_tcp_acked(&fixture);
    uint64_t deadline_ms = session_ack_deadline_ms(&fixture.session);
    fixture.now_ms += 5000;
    inbox(100);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1013);
    ck_assert_uint_eq(session_ack_deadline_ms(&fixture.session), deadline_ms);
}
END_TEST

START_TEST(a_closed_client_has_its_2_s_from_when_it_is_read_again)
{
    fixture.settings.outbox_messages_max = 1;
    fixture.settings.heartbeat.stall_timeout_ms = 60000;
    fixture_begin(&fixture, "");
    fixture_message(&fixture);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_NOT_NOW);
    session_shutdown(&fixture.session, fixture.now_ms, &fixture.actions);
    struct session_settings reloaded = fixture.settings;
    reloaded.outbox_bytes_max = 4; /* the kept message fits nowhere now */
    session_use_settings(&fixture.session, &reloaded);
    fixture.now_ms += 4000;
    ck_assert_int_eq(fixture_message(&fixture), SESSION_IGNORED);
    fixture_timer_at(&fixture, fixture.now_ms + 999);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_CLOSED);
    fixture_client_close(&fixture, 1012, NULL);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_GONE);
}
END_TEST

START_TEST(drain_timeout_restarts_in_full_when_we_did_not_run)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_client_close(&fixture, 1000, NULL);
    fixture.now_ms += 3600000;
    session_did_not_run(&fixture.session, fixture.now_ms);
    fixture_timer_at(&fixture, fixture.now_ms + 4999);
    ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_CLOSING);
    fixture_timer_at(&fixture, fixture.now_ms + 1);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1011);
}
END_TEST

START_TEST(a_kept_message_counts_as_given_up_when_the_session_ends)
{
    fixture.settings.outbox_messages_max = 1;
    fixture_open(&fixture);
    fixture_message(&fixture);
    ck_assert_int_eq(fixture_message_of(&fixture, 70), SESSION_NOT_NOW);
    fixture_upstream_close(&fixture, 4000, NULL);
    ck_assert_uint_eq(fixture.actions.given_up_count, 2);
    ck_assert_uint_eq(fixture.actions.given_up_bytes, 75);
}
END_TEST

START_TEST(a_kept_message_counts_as_given_up_when_its_client_is_lost)
{
    fixture.settings.outbox_messages_max = 1;
    fixture_open(&fixture);
    fixture_message(&fixture);
    ck_assert_int_eq(fixture_message_of(&fixture, 70), SESSION_NOT_NOW);
    session_client_lost(&fixture.session, CAUSE_CLIENT_LOST, fixture.now_ms, &fixture.actions);
    ck_assert_uint_eq(fixture.actions.given_up_count, 1);
    ck_assert_uint_eq(fixture.actions.given_up_bytes, 70);
    ck_assert_int_eq(fixture.actions.given_up_cause, CAUSE_CLIENT_LOST);
    fixture_flush(&fixture, true);
    fixture_pong(&fixture); /* the one that was taken still arrives */
    ck_assert_uint_eq(fixture.session.counters.given_up, 1);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
}
END_TEST

START_TEST(what_a_lost_client_had_sent_and_nobody_read_is_counted_too)
{
    fixture_open(&fixture);
    session_client_lost(&fixture.session, CAUSE_CLIENT_LOST, fixture.now_ms, &fixture.actions);
    fixture.actions = (struct session_actions){0};
    session_client_kept(&fixture.session, 3, 42, CAUSE_CLIENT_LOST, &fixture.actions);
    ck_assert(fixture.actions.any); /* or nobody would report it */
    ck_assert_uint_eq(fixture.actions.given_up_count, 3);
    ck_assert_uint_eq(fixture.actions.given_up_bytes, 42);
    ck_assert_uint_eq(fixture.session.counters.given_up, 3);
}
END_TEST

START_TEST(nothing_is_held_against_a_client_that_is_not_read)
{
    fixture.settings.outbox_messages_max = 1;
    fixture_begin(&fixture, "");
    fixture_message(&fixture);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_NOT_NOW);
    fixture.client_is_dead = true;
    for (unsigned i = 0; i < 200; i++) {
        fixture_timer_at(&fixture, fixture.now_ms + 1000);
        session_client_tcp(&fixture.session, 2, false, fixture.now_ms);
        ck_assert_int_eq(fixture.session.client, SESSION_CLIENT_OPEN);
        if (fixture.session.state == SESSION_RESOLVING)
            fixture_lost(&fixture, CAUSE_TCP_REFUSED);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("session_client");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, messages_queue_while_the_upstream_is_away);
    tcase_add_test(tcase, a_full_outbox_stops_reading_until_the_message_fits);
    tcase_add_test(tcase, drop_oldest_makes_room_and_counts_what_it_dropped);
    tcase_add_test(tcase, drop_oldest_never_drops_in_the_middle_of_a_frame);
    tcase_add_test(tcase, each_allocation_of_a_session_may_fail);
    tcase_add_test(tcase, who_starves_is_not_read_and_nothing_is_held_against_him);
    tcase_add_test(tcase, an_upstream_that_owes_pongs_is_read_though_it_starves);
    tcase_add_test(tcase, what_is_held_leaves_a_half_to_what_was_accepted);
    tcase_add_test(tcase, overflow_close_ends_the_client_with_1013_and_keeps_what_was_taken);
    tcase_add_test(tcase, memory_max_pauses_the_client_like_a_full_outbox);
    tcase_add_test(tcase, a_full_inbox_stops_reading_the_upstream_until_half_is_taken);
    tcase_add_test(tcase, an_empty_inbox_is_read_even_when_memory_is_used_up);
    tcase_add_test(tcase, inbox_overflow_close_ends_the_client_with_1013);
    tcase_add_test(tcase, nothing_is_held_against_an_upstream_that_is_not_read);
    tcase_add_test(tcase, both_directions_paused_for_stall_timeout_is_a_mutual_stall);
    tcase_add_test(tcase, a_client_that_starves_and_takes_nothing_is_a_mutual_stall);
    tcase_add_test(tcase, a_closed_client_that_starves_has_its_time_once_it_is_read_again);
    tcase_add_test(tcase, a_mutual_stall_counts_from_when_we_run_again);
    tcase_add_test(tcase, a_client_that_takes_its_inbox_slowly_is_no_mutual_stall);
    tcase_add_test(tcase, the_answer_to_a_close_is_a_receipt);
    tcase_add_test(tcase, a_close_makes_the_barrier_urgent);
    tcase_add_loop_test(
        tcase, a_close_that_is_not_acknowledged_in_time_is_answered_with_1011_and_the_number, 0, 2);
    tcase_add_test(tcase, an_upstream_that_ends_the_session_turns_the_receipt_into_1011);
    tcase_add_test(tcase, draining_goes_on_over_reconnects);
    tcase_add_test(tcase, a_close_with_nothing_to_drain_ends_an_attempt_at_once);
    tcase_add_test(tcase, a_client_that_leaves_without_waiting_keeps_its_session_draining);
    tcase_add_loop_test(tcase, after_a_lost_client_the_upstream_ends_without_close_too, 0, 2);
    tcase_add_test(tcase, a_client_lost_before_its_answer_ends_the_session);
    tcase_add_test(tcase, a_client_that_does_not_answer_our_close_is_cut_after_2_s);
    tcase_add_test(tcase, messages_after_the_clients_close_are_ignored);
    tcase_add_loop_test(tcase, a_dead_client_is_found_by_its_heartbeat, 0, 3);
    tcase_add_test(tcase, a_client_that_waits_for_its_receipt_is_not_judged_by_its_heartbeat);
    tcase_add_test(tcase,
                   a_kept_message_that_can_never_fit_after_a_reload_is_refused_and_counted_once);
    tcase_add_test(tcase, a_kept_message_is_offered_again_once_the_oldest_may_be_dropped);
    tcase_add_test(tcase, an_inbox_that_closes_the_client_does_not_pause_the_upstream);
    tcase_add_test(tcase, a_closed_client_has_its_2_s_from_when_it_is_read_again);
    tcase_add_test(tcase, drain_timeout_restarts_in_full_when_we_did_not_run);
    tcase_add_test(tcase, a_kept_message_counts_as_given_up_when_the_session_ends);
    tcase_add_test(tcase, a_kept_message_counts_as_given_up_when_its_client_is_lost);
    tcase_add_test(tcase, what_a_lost_client_had_sent_and_nobody_read_is_counted_too);
    tcase_add_test(tcase, nothing_is_held_against_a_client_that_is_not_read);

    Suite *suite = suite_create("session_client");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
