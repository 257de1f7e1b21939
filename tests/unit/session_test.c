/* core/session.c: attempts, opening, ends, deadlines. */
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

START_TEST(client_is_answered_at_once_when_the_subprotocol_is_known)
{
    fixture_begin(&fixture, "chat");
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_ANSWER);
    ck_assert_str_eq(fixture.session.subprotocol, "chat");
    ck_assert(fixture.actions.attempt);
    ck_assert_int_eq(fixture.session.state, SESSION_RESOLVING);
}
END_TEST

START_TEST(client_waits_for_the_first_upstream_handshake_and_gets_its_choice)
{
    fixture_begin(&fixture, NULL);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_KEEP);
    fixture_upgrade(&fixture, "v2");
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_ANSWER);
    ck_assert_str_eq(fixture.session.subprotocol, "v2");
}
END_TEST

START_TEST(client_that_waited_for_connect_timeout_gets_504)
{
    fixture_begin(&fixture, NULL);
    fixture_lost(&fixture, CAUSE_TCP_REFUSED);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_KEEP);
    fixture_timer_at(&fixture, 19999);
    ck_assert_int_ne(fixture.session.state, SESSION_ENDED);
    fixture_timer_at(&fixture, 20000);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_REFUSE);
    ck_assert_uint_eq(fixture.actions.refuse_status, 504);
}
END_TEST

START_TEST(refused_upgrade_that_ends_gives_a_waiting_client_502_and_an_open_one_1014)
{
    fixture_begin(&fixture, _i ? "" : NULL);
    session_upstream_resolved(&fixture.session, fixture.now_ms, &fixture.actions);
    session_upstream_connected(&fixture.session, fixture.now_ms, &fixture.actions);
    session_upstream_lost(&fixture.session, CAUSE_HTTP_STATUS, 400, fixture.now_ms,
                          &fixture.actions);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    if (_i == 0) {
        ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_REFUSE);
        ck_assert_uint_eq(fixture.actions.refuse_status, 502);
        return;
    }
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CLOSE);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1014);
    ck_assert_uint_eq(fixture.actions.client_close.reason_bytes, strlen("wskeep: http-status"));
}
END_TEST

START_TEST(another_subprotocol_on_a_later_connection_ends_at_the_third_in_a_row)
{
    fixture_begin(&fixture, "a");
    for (unsigned i = 0; i < 2; i++) {
        fixture_upgrade(&fixture, "b");
        ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
        ck_assert_int_eq(fixture.actions.move.cause, CAUSE_SUBPROTOCOL_MISMATCH);
        ck_assert_uint_ge(fixture.actions.delay_ms, 15000); /* reconnect-slow */
        fixture_next_attempt(&fixture);
    }
    fixture_upgrade(&fixture, NULL);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1014);
}
END_TEST

START_TEST(a_good_connection_between_makes_mismatches_start_over)
{
    fixture_begin(&fixture, "a");
    for (unsigned i = 0; i < 6; i++) {
        fixture_upgrade(&fixture, i % 2 ? "a" : "b");
        if (i % 2)
            fixture_lost(&fixture, CAUSE_TCP_RESET);
        fixture_next_attempt(&fixture);
    }
}
END_TEST

static const struct {
    enum session_state state;
    enum cause cause;
} attempt_timeouts[] = {
    {SESSION_RESOLVING, CAUSE_DNS_TIMEOUT},
    {SESSION_CONNECTING, CAUSE_TCP_TIMEOUT},
    {SESSION_UPGRADING, CAUSE_UPGRADE_TIMEOUT},
};

START_TEST(an_attempt_ends_at_connect_timeout_with_the_cause_of_its_phase)
{
    fixture_begin(&fixture, "");
    if (_i >= 1)
        session_upstream_resolved(&fixture.session, fixture.now_ms + 4000, &fixture.actions);
    if (_i >= 2)
        session_upstream_connected(&fixture.session, fixture.now_ms + 8000, &fixture.actions);
    ck_assert_int_eq(fixture.session.state, attempt_timeouts[_i].state);
    ck_assert_uint_eq(session_deadline_ms(&fixture.session), 20000);
    fixture_timer_at(&fixture, 19999);
    ck_assert_int_eq(fixture.session.state, attempt_timeouts[_i].state);
    fixture_timer_at(&fixture, 20000);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_int_eq(fixture.actions.move.cause, attempt_timeouts[_i].cause);
    ck_assert_int_eq(fixture.actions.drop, SESSION_DROP_ABANDON);
}
END_TEST

START_TEST(delays_grow_with_attempts_that_fail_and_start_over_after_stable_after)
{
    static const uint64_t delays_ms[] = {250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    fixture_begin(&fixture, "");
    for (unsigned i = 0; i < sizeof delays_ms / sizeof *delays_ms; i++) {
        fixture_lost(&fixture, CAUSE_TCP_REFUSED);
        ck_assert_uint_eq(fixture.actions.delay_ms, delays_ms[i]);
        fixture_next_attempt(&fixture);
    }
    fixture_upgrade(&fixture, NULL);
    fixture.now_ms += 10000;
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    ck_assert_uint_eq(fixture.actions.delay_ms, 250);
}
END_TEST

START_TEST(opening_alone_does_not_reset_the_delay)
{
    fixture_begin(&fixture, "");
    for (unsigned i = 0; i < 4; i++) {
        fixture_upgrade(&fixture, NULL);
        fixture_lost(&fixture, CAUSE_TCP_RESET);
        ck_assert_uint_eq(fixture.actions.delay_ms, 250u << i);
        fixture_next_attempt(&fixture);
    }
}
END_TEST

START_TEST(a_connection_that_delivered_data_does_not_raise_the_delay_but_keeps_1_s_between_starts)
{
    fixture_open(&fixture);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert(session_upstream_message(&fixture.session, fixture.now_ms));
        fixture.now_ms += 100;
        fixture_lost(&fixture, CAUSE_TCP_RESET);
        ck_assert_uint_eq(fixture.actions.delay_ms, 900);
        fixture_next_attempt(&fixture);
        fixture_upgrade(&fixture, NULL);
    }
}
END_TEST

static const struct {
    const char *why;
    enum cause cause;
    uint16_t code; /* of the client's Close; 0: TCP ends without one */
} final_ends[] = {
    {"its own code, unchanged", CAUSE_CLOSED, 4001},
    {"the upstream broke RFC 6455", CAUSE_PROTOCOL_ERROR, 1014},
    {"1006 cannot be sent", CAUSE_TCP_RESET, 0},
    {"1006 cannot be sent", CAUSE_TCP_EOF, 0},
};

START_TEST(an_end_reaches_an_open_client)
{
    static struct close_rule rule = {
        .kind = CLOSE_RULE_CODE, .first = 1006, .last = 1006, .then = CLOSE_THEN_END};
    fixture.settings.close_rules = &rule;
    fixture.settings.close_rule_count = 1;
    fixture_open(&fixture);
    if (final_ends[_i].cause == CAUSE_CLOSED)
        fixture_upstream_close(&fixture, 4001, "bye");
    else
        fixture_lost(&fixture, final_ends[_i].cause);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    if (final_ends[_i].code == 0) {
        ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CUT);
        return;
    }
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CLOSE);
    ck_assert_msg(fixture.actions.client_close.code == final_ends[_i].code, "%s",
                  final_ends[_i].why);
}
END_TEST

START_TEST(messages_that_an_end_leaves_behind_are_counted_under_its_cause)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_upstream_close(&fixture, 1008, "no");
    ck_assert_uint_eq(fixture.actions.given_up_count, 2);
    ck_assert_uint_eq(fixture.actions.given_up_bytes, 10);
    ck_assert_int_eq(fixture.actions.given_up_cause, CAUSE_CLOSED);
}
END_TEST

START_TEST(an_upstream_close_is_echoed_and_reconnects_when_interrupted)
{
    fixture_open(&fixture);
    fixture_upstream_close(&fixture, 1000, "interrupted");
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_int_eq(fixture.actions.drop, SESSION_DROP_CLOSE);
    ck_assert_uint_eq(fixture.actions.upstream_close.code, 1000);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_KEEP);
}
END_TEST

START_TEST(what_was_not_acknowledged_is_sent_again_on_the_next_connection)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mp");
    fixture_pong(&fixture);
    fixture_message(&fixture);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mm"); /* within ping_spacing */
    fixture.now_ms += 1;
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture_next_attempt(&fixture);
    fixture_upgrade(&fixture, NULL);
    ck_assert_uint_eq(fixture.actions.repeats, 2);
    ck_assert_str_eq(fixture_flush(&fixture, true), "mpm");
    fixture_pong(&fixture);
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 1); /* a round trip moved it */
    ck_assert_uint_eq(fixture.session.counters.repeated, 2);
}
END_TEST

START_TEST(a_pong_of_an_earlier_connection_acknowledges_nothing)
{
    uint8_t old_ping[BARRIER_PAYLOAD_BYTES];
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    memcpy(old_ping, fixture.ping, sizeof old_ping);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture_next_attempt(&fixture);
    fixture_upgrade(&fixture, NULL);
    fixture_flush(&fixture, true);
    session_upstream_pong(&fixture.session, old_ping, sizeof old_ping, fixture.now_ms,
                          &fixture.actions);
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 1);
    fixture_pong(&fixture);
    ck_assert_uint_eq(fixture.session.outbox.entry_count, 0);
}
END_TEST

START_TEST(a_gap_is_counted_with_its_length_and_does_what_on_gap_says)
{
    fixture.settings.on_gap = (enum settings_on_gap)_i;
    fixture_open(&fixture);
    ck_assert(!fixture.actions.gap); /* the first connection hides nothing */
    fixture_lost(&fixture, CAUSE_TCP_EOF);
    fixture_timer_at(&fixture, session_deadline_ms(&fixture.session));
    fixture.now_ms += 77;
    fixture_upgrade(&fixture, NULL);
    ck_assert(fixture.actions.gap);
    ck_assert_uint_eq(fixture.actions.gap_ms, 250 + 77);
    ck_assert_uint_eq(fixture.session.counters.gaps, 1);
    ck_assert(fixture.actions.deliver_gap == (_i == ON_GAP_NOTIFY));
    ck_assert((fixture.actions.client == SESSION_CLIENT_CLOSE) == (_i == ON_GAP_CLOSE));
    if (_i == ON_GAP_CLOSE)
        ck_assert_uint_eq(fixture.actions.client_close.code, 1012);
}
END_TEST

START_TEST(a_silent_link_is_pinged_and_then_found_dead)
{
    fixture_open(&fixture);
    fixture.now_ms += 1;
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    fixture_run_until_move(&fixture, 10000 + 120000, true);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_int_eq(fixture.actions.move.cause, CAUSE_HEARTBEAT_TIMEOUT);
    ck_assert_int_eq(fixture.actions.drop, SESSION_DROP_RESET);
    ck_assert_uint_ge(fixture.now_ms, 10000 + 20000 + 10000);
    ck_assert_uint_le(fixture.now_ms, 10000 + 20000 + 10000 + 2500); /* the probe's raster */
}
END_TEST

START_TEST(a_link_that_answers_pings_stays_open)
{
    fixture_open(&fixture);
    for (unsigned i = 0; i < 20; i++) {
        fixture_timer_at(&fixture, session_deadline_ms(&fixture.session));
        if (fixture.actions.any && fixture.actions.probe_upstream)
            fixture_tcp_acked(&fixture);
        if (*fixture_flush(&fixture, true) == 'p')
            fixture_pong(&fixture);
        ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
    }
}
END_TEST

START_TEST(a_server_that_talks_but_never_pongs_ends_the_connection_with_ack_timeout)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    while (fixture.session.state == SESSION_OPEN) {
        fixture.now_ms += 1000;
        ck_assert_uint_lt(fixture.now_ms, 100000);
        session_upstream_received(&fixture.session, fixture.now_ms);
        session_upstream_message(&fixture.session, fixture.now_ms);
        fixture_tcp_acked(&fixture);
        fixture_timer_at(&fixture, fixture.now_ms);
        ck_assert_uint_le(fixture.session.barrier.ping_count, BARRIER_PING_COUNT_MAX);
        fixture_flush(&fixture, true);
    }
    ck_assert_int_eq(fixture.actions.move.cause, CAUSE_ACK_TIMEOUT);
    ck_assert_uint_ge(fixture.now_ms, 10000 + 30000);
    ck_assert_uint_le(fixture.now_ms, 10000 + 32000);
}
END_TEST

/* Up to three connections, each with something unacknowledged, and a server that never answers a
 * Ping. */
static void end_connections_with_ack_timeout(void)
{
    for (unsigned i = 0; i < 3; i++) {
        fixture_message(&fixture);
        fixture_flush(&fixture, true);
        for (unsigned guard = 0; fixture.session.state == SESSION_OPEN && guard < 100; guard++) {
            fixture.now_ms += 1000;
            session_upstream_received(&fixture.session, fixture.now_ms);
            fixture_tcp_acked(&fixture);
            session_timer(&fixture.session, fixture.now_ms, &fixture.actions);
            fixture_flush(&fixture, true);
        }
        if (i == 2)
            return;
        ck_assert(!fixture.actions.pong_unsupported);
        ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
        fixture_next_attempt(&fixture);
        fixture_upgrade(&fixture, NULL);
    }
}

static void end_three_connections_with_ack_timeout(void)
{
    fixture_open(&fixture);
    end_connections_with_ack_timeout();
}

START_TEST(three_ack_timeouts_without_any_pong_end_the_session_with_pong_unsupported)
{
    end_three_connections_with_ack_timeout();
    ck_assert(fixture.actions.pong_unsupported);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.move.cause, CAUSE_PONG_UNSUPPORTED);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1014);
    ck_assert_uint_eq(fixture.actions.given_up_count, 3);
}
END_TEST

START_TEST(without_pong_sent_goes_on_at_most_once)
{
    fixture.settings.without_pong = WITHOUT_PONG_SENT;
    end_three_connections_with_ack_timeout();
    ck_assert(fixture.actions.pong_unsupported);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert(outbox_is_empty(&fixture.session.outbox)); /* exposed is enough now */
    ck_assert_uint_eq(fixture.session.counters.sent, 3);
    fixture_next_attempt(&fixture);
    fixture_upgrade(&fixture, NULL);
    fixture_message(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "m");
    ck_assert(outbox_is_empty(&fixture.session.outbox));
}
END_TEST

START_TEST(a_link_without_data_for_silence_counts_as_dead)
{
    fixture.settings.silence_ms = 15000;
    fixture_open(&fixture);
    fixture.now_ms += 5000;
    session_upstream_received(&fixture.session, fixture.now_ms);
    session_upstream_message(&fixture.session, fixture.now_ms);
    fixture_timer_at(&fixture, 29999);
    ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
    fixture_timer_at(&fixture, 30000);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_int_eq(fixture.actions.move.cause, CAUSE_SILENCE);
}
END_TEST

START_TEST(give_up_after_counts_the_time_without_an_open_connection)
{
    fixture.settings.give_up_after_ms = 60000;
    fixture_open(&fixture);
    fixture.now_ms += 500000;
    session_did_not_run(&fixture.session, fixture.now_ms);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    uint64_t lost_ms = fixture.now_ms;
    for (unsigned guard = 0; fixture.session.state != SESSION_ENDED && guard < 100; guard++) {
        fixture_timer_at(&fixture, session_deadline_ms(&fixture.session));
        if (fixture.session.state == SESSION_RESOLVING)
            fixture_lost(&fixture, CAUSE_TCP_REFUSED);
    }
    ck_assert_int_eq(fixture.actions.move.cause, CAUSE_GAVE_UP);
    ck_assert_uint_eq(fixture.now_ms, lost_ms + 60000);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1014);
}
END_TEST

START_TEST(deadlines_restart_in_full_when_we_did_not_run)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_tcp_acked(&fixture);
    fixture.now_ms += 3600000;
    session_did_not_run(&fixture.session, fixture.now_ms);
    for (unsigned i = 0; i < 20; i++) {
        session_timer(&fixture.session, fixture.now_ms, &fixture.actions);
        ck_assert_int_eq(fixture.session.state, SESSION_OPEN);
        if (fixture.actions.any && fixture.actions.probe_upstream)
            fixture_tcp_acked(&fixture);
        fixture_flush(&fixture, true);
    }
    fixture_pong(&fixture);
    ck_assert(outbox_is_empty(&fixture.session.outbox));
}
END_TEST

START_TEST(shutdown_closes_the_client_with_1012_drains_and_closes_upstream)
{
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    session_shutdown(&fixture.session, fixture.now_ms, &fixture.actions);
    ck_assert_int_eq(fixture.actions.client, SESSION_CLIENT_CLOSE);
    ck_assert_uint_eq(fixture.actions.client_close.code, 1012);
    ck_assert_int_eq(fixture_message(&fixture), SESSION_TAKEN); /* sent before it saw our Close */
    fixture_flush(&fixture, true);
    fixture_client_close(&fixture, 1012, NULL);
    ck_assert_int_eq(fixture.session.state, SESSION_OPEN); /* not all is acknowledged */
    fixture.now_ms += 300;
    ck_assert_str_eq(fixture_flush(&fixture, true), "");
    fixture_pong(&fixture);
    ck_assert_str_eq(fixture_flush(&fixture, true), "p"); /* the second message's */
    fixture_pong(&fixture);
    ck_assert_int_eq(fixture.session.state, SESSION_CLOSING);
    ck_assert_str_eq(fixture_flush(&fixture, true), "c");
    ck_assert_uint_eq(fixture.close.code, 1001);
    fixture_upstream_close(&fixture, 1001, NULL);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.move.cause, CAUSE_SHUTDOWN);
    ck_assert_uint_eq(fixture.session.counters.given_up, 0);
}
END_TEST

START_TEST(shutdown_refuses_a_client_that_still_waits)
{
    fixture_begin(&fixture, NULL);
    session_shutdown(&fixture.session, fixture.now_ms, &fixture.actions);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_uint_eq(fixture.actions.refuse_status, 503);
}
END_TEST

START_TEST(a_closing_handshake_that_is_not_answered_ends_after_2_s)
{
    fixture_open(&fixture);
    fixture_client_close(&fixture, 1000, NULL);
    ck_assert_int_eq(fixture.session.state, SESSION_CLOSING);
    fixture_flush(&fixture, true);
    fixture_timer_at(&fixture, 11999);
    ck_assert_int_eq(fixture.session.state, SESSION_CLOSING);
    fixture_timer_at(&fixture, 12000);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
}
END_TEST

START_TEST(events_of_another_state_change_nothing)
{
    fixture_begin(&fixture, "");
    fixture_lost(&fixture, CAUSE_TCP_REFUSED);
    uint64_t deadline_ms = session_deadline_ms(&fixture.session);
    session_upstream_resolved(&fixture.session, fixture.now_ms, &fixture.actions);
    ck_assert(!fixture.actions.any);
    session_upstream_connected(&fixture.session, fixture.now_ms, &fixture.actions);
    session_upstream_upgraded(&fixture.session, NULL, fixture.now_ms, &fixture.actions);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture_upstream_close(&fixture, 1000, NULL);
    fixture_pong(&fixture);
    ck_assert(!session_upstream_message(&fixture.session, fixture.now_ms));
    session_upstream_written(&fixture.session, 1000, fixture.now_ms, &fixture.actions);
    session_upstream_tcp(&fixture.session, 1000, true, fixture.now_ms);
    ck_assert(!fixture.actions.any);
    ck_assert_int_eq(fixture.session.state, SESSION_WAITING);
    ck_assert_uint_eq(session_deadline_ms(&fixture.session), deadline_ms);
}
END_TEST

START_TEST(every_state_has_a_name)
{
    fixture_begin(&fixture, "");
    for (int state = 0; state < SESSION_STATE_COUNT; state++)
        ck_assert_uint_gt(strlen(session_state_name((enum session_state)state)), 3);
}
END_TEST

START_TEST(repeats_are_what_is_still_there_when_the_next_connection_opens)
{
    fixture.settings.outbox_messages_max = 2;
    fixture.settings.overflow = OVERFLOW_DROP_OLDEST;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture_message(&fixture); /* drops one of the two */
    fixture_next_attempt(&fixture);
    fixture_upgrade(&fixture, NULL);
    ck_assert_uint_eq(fixture.actions.repeats, 1);
    fixture_flush(&fixture, true);
    ck_assert_uint_eq(fixture.session.counters.repeated, 1);
}
END_TEST

START_TEST(a_gap_is_told_to_a_client_that_waits_for_its_receipt)
{
    fixture.settings.on_gap = ON_GAP_NOTIFY;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_client_close(&fixture, 1000, NULL);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    fixture_next_attempt(&fixture);
    fixture_upgrade(&fixture, NULL);
    ck_assert(fixture.actions.gap);
    ck_assert(fixture.actions.deliver_gap); /* it is handed the messages that follow, too */
    ck_assert(session_upstream_message(&fixture.session, fixture.now_ms));
}
END_TEST

START_TEST(time_in_which_we_did_not_run_does_not_make_us_give_up)
{
    fixture.settings.give_up_after_ms = 60000;
    fixture_begin(&fixture, "");
    fixture_lost(&fixture, CAUSE_DNS_FAILED);
    fixture.now_ms += 3600000; /* the lid was closed */
    session_did_not_run(&fixture.session, fixture.now_ms);
    fixture_timer_at(&fixture, fixture.now_ms);
    ck_assert_int_eq(fixture.session.state, SESSION_RESOLVING);
}
END_TEST

START_TEST(a_server_without_pongs_is_left_as_the_clients_end_asks)
{
    static const enum session_drop drops[2] = {SESSION_DROP_CLOSE, SESSION_DROP_FIN};
    fixture.settings.without_pong = _i < 2 ? WITHOUT_PONG_SENT : WITHOUT_PONG_END;
    fixture.settings.drain_timeout_ms = 3600000;
    fixture_open(&fixture);
    fixture_message(&fixture);
    if (_i % 2 == 0)
        fixture_client_close(&fixture, 3333, NULL);
    else
        session_client_lost(&fixture.session, CAUSE_CLIENT_LOST, fixture.now_ms, &fixture.actions);
    end_connections_with_ack_timeout();
    ck_assert(fixture.actions.pong_unsupported);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.drop, drops[_i % 2]); /* it is there: no RST */
    if (_i % 2 == 0)
        ck_assert_uint_eq(fixture.actions.upstream_close.code, 3333);
}
END_TEST

START_TEST(what_was_exposed_is_repeated_when_a_reload_makes_sent_enough)
{
    struct session_settings reloaded = fixture.settings;
    reloaded.acknowledge = ACKNOWLEDGE_SENT;
    fixture_open(&fixture);
    fixture_message(&fixture);
    fixture_flush(&fixture, true);
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    session_use_settings(&fixture.session, &reloaded);
    for (unsigned i = 0; i < 2; i++) {
        fixture_next_attempt(&fixture);
        fixture_upgrade(&fixture, NULL);
        ck_assert_uint_eq(fixture.session.counters.sent,
                          0); /* no merit of the first, which broke */
        if (i == 0)
            fixture_lost(&fixture, CAUSE_TCP_RESET);
    }
    ck_assert_str_eq(fixture_flush(&fixture, true), "m");
    ck_assert_uint_eq(fixture.session.counters.sent, 1);
}
END_TEST

START_TEST(stable_after_counts_from_the_opening)
{
    fixture_begin(&fixture, "");
    fixture_lost(&fixture, CAUSE_TCP_REFUSED);
    fixture_next_attempt(&fixture);
    fixture.now_ms += 5000;
    fixture_upgrade(&fixture, NULL);
    fixture.now_ms += 9999; /* the attempt is older than 10 s, the connection is not */
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    ck_assert_uint_eq(fixture.actions.delay_ms, 500);
}
END_TEST

START_TEST(data_on_one_connection_is_no_merit_of_the_next)
{
    fixture_open(&fixture);
    ck_assert(session_upstream_message(&fixture.session, fixture.now_ms));
    for (unsigned i = 0; i < 3; i++) {
        fixture_lost(&fixture, CAUSE_TCP_RESET);
        fixture_next_attempt(&fixture);
        fixture_upgrade(&fixture, NULL);
    }
    fixture_lost(&fixture, CAUSE_TCP_RESET);
    ck_assert_uint_eq(fixture.actions.delay_ms, 1000);
}
END_TEST

START_TEST(the_answer_to_our_close_is_not_answered_once_more)
{
    fixture_open(&fixture);
    fixture_client_close(&fixture, 1000, NULL);
    ck_assert_int_eq(fixture.session.state, SESSION_CLOSING);
    if (_i == 0)
        ck_assert_str_eq(fixture_flush(&fixture, true), "c");
    fixture_upstream_close(&fixture, 1000, NULL);
    ck_assert_int_eq(fixture.session.state, SESSION_ENDED);
    ck_assert_int_eq(fixture.actions.drop, _i == 0 ? SESSION_DROP_FIN : SESSION_DROP_CLOSE);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("session");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, client_is_answered_at_once_when_the_subprotocol_is_known);
    tcase_add_test(tcase, client_waits_for_the_first_upstream_handshake_and_gets_its_choice);
    tcase_add_test(tcase, client_that_waited_for_connect_timeout_gets_504);
    tcase_add_loop_test(
        tcase, refused_upgrade_that_ends_gives_a_waiting_client_502_and_an_open_one_1014, 0, 2);
    tcase_add_test(tcase, another_subprotocol_on_a_later_connection_ends_at_the_third_in_a_row);
    tcase_add_test(tcase, a_good_connection_between_makes_mismatches_start_over);
    tcase_add_loop_test(tcase, an_attempt_ends_at_connect_timeout_with_the_cause_of_its_phase, 0,
                        3);
    tcase_add_test(tcase, delays_grow_with_attempts_that_fail_and_start_over_after_stable_after);
    tcase_add_test(tcase, opening_alone_does_not_reset_the_delay);
    tcase_add_test(
        tcase,
        a_connection_that_delivered_data_does_not_raise_the_delay_but_keeps_1_s_between_starts);
    tcase_add_loop_test(tcase, an_end_reaches_an_open_client, 0, 4);
    tcase_add_test(tcase, messages_that_an_end_leaves_behind_are_counted_under_its_cause);
    tcase_add_test(tcase, an_upstream_close_is_echoed_and_reconnects_when_interrupted);
    tcase_add_test(tcase, what_was_not_acknowledged_is_sent_again_on_the_next_connection);
    tcase_add_test(tcase, a_pong_of_an_earlier_connection_acknowledges_nothing);
    tcase_add_loop_test(tcase, a_gap_is_counted_with_its_length_and_does_what_on_gap_says, 0, 3);
    tcase_add_test(tcase, a_silent_link_is_pinged_and_then_found_dead);
    tcase_add_test(tcase, a_link_that_answers_pings_stays_open);
    tcase_add_test(tcase, a_server_that_talks_but_never_pongs_ends_the_connection_with_ack_timeout);
    tcase_add_test(tcase,
                   three_ack_timeouts_without_any_pong_end_the_session_with_pong_unsupported);
    tcase_add_test(tcase, without_pong_sent_goes_on_at_most_once);
    tcase_add_test(tcase, a_link_without_data_for_silence_counts_as_dead);
    tcase_add_test(tcase, give_up_after_counts_the_time_without_an_open_connection);
    tcase_add_test(tcase, deadlines_restart_in_full_when_we_did_not_run);
    tcase_add_test(tcase, shutdown_closes_the_client_with_1012_drains_and_closes_upstream);
    tcase_add_test(tcase, shutdown_refuses_a_client_that_still_waits);
    tcase_add_test(tcase, a_closing_handshake_that_is_not_answered_ends_after_2_s);
    tcase_add_test(tcase, events_of_another_state_change_nothing);
    tcase_add_test(tcase, every_state_has_a_name);
    tcase_add_test(tcase, repeats_are_what_is_still_there_when_the_next_connection_opens);
    tcase_add_test(tcase, a_gap_is_told_to_a_client_that_waits_for_its_receipt);
    tcase_add_test(tcase, time_in_which_we_did_not_run_does_not_make_us_give_up);
    tcase_add_loop_test(tcase, a_server_without_pongs_is_left_as_the_clients_end_asks, 0, 4);
    tcase_add_test(tcase, what_was_exposed_is_repeated_when_a_reload_makes_sent_enough);
    tcase_add_test(tcase, stable_after_counts_from_the_opening);
    tcase_add_test(tcase, data_on_one_connection_is_no_merit_of_the_next);
    tcase_add_loop_test(tcase, the_answer_to_our_close_is_not_answered_once_more, 0, 2);

    Suite *suite = suite_create("session");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
