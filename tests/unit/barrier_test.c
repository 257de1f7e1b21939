/* Pings in flight on one connection, and what each one's Pong acknowledges. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/barrier.h"
#include "failing_malloc.h"

static const uint8_t nonce[8] = {0xde, 0xad, 0xbe, 0xef, 0x01, 0x02, 0x03, 0x04};

static struct barrier barrier;
static uint8_t payloads[BARRIER_PING_COUNT_MAX + 1][BARRIER_PAYLOAD_BYTES];
static uint64_t sequence;
static uint64_t rtt_ms;

static void setup(void)
{
    barrier_start(&barrier, nonce, 0);
    sequence = rtt_ms = 0;
}

static void teardown(void)
{
    barrier_clear(&barrier);
}

static bool pong(const uint8_t *payload, uint64_t now_ms)
{
    return barrier_pong(&barrier, payload, BARRIER_PAYLOAD_BYTES, now_ms, &sequence, &rtt_ms);
}

/* A Ping behind the message with this sequence. */
static void send_ping(uint64_t behind, uint64_t now_ms, uint8_t *payload)
{
    if (behind > barrier.sent_sequence)
        barrier_message(&barrier, behind, 7);
    ck_assert(barrier_send(&barrier, now_ms, payload));
}

/* count Pings: number n covers sequence 10 (n + 1), is sent at 1000 (n + 1), ends at 100 (n + 1).
 */
static void send_pings(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        send_ping(10 * (i + 1), 1000 * (i + 1), payloads[i]);
        barrier_encoded(&barrier, 100 * (i + 1));
    }
}

START_TEST(a_connection_starts_without_pings)
{
    send_pings(2);
    ck_assert(pong(payloads[1], 9000));
    send_pings(1);
    barrier_start(&barrier, nonce, 0);
    ck_assert_uint_eq(barrier.ping_count, 0);
    ck_assert_uint_eq(barrier.last_sent_ms, 0);
    ck_assert(!pong(payloads[0], 9001));
}
END_TEST

START_TEST(the_payload_is_the_nonce_and_the_sequence_in_network_order)
{
    static const uint8_t expect[BARRIER_PAYLOAD_BYTES] = {
        0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    send_ping(0x0123456789abcdef, 1, payloads[0]);
    ck_assert_mem_eq(payloads[0], expect, sizeof expect);
}
END_TEST

START_TEST(a_pong_acknowledges_its_ping_and_retires_all_earlier_ones)
{
    send_pings(3);
    ck_assert_uint_eq(barrier.last_sent_ms, 3000);
    ck_assert(pong(payloads[1], 2345));
    ck_assert_uint_eq(sequence, 20);
    ck_assert_uint_eq(rtt_ms, 345);
    ck_assert_uint_eq(barrier.ping_count, 1);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->sequence, 30);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->end_offset, 300);
    ck_assert(!pong(payloads[0], 4000)); /* retired: late and of no use */
    ck_assert(!pong(payloads[1], 4000)); /* answered twice */
    ck_assert(pong(payloads[2], 3000));
    ck_assert_uint_eq(sequence, 30);
    ck_assert_uint_eq(rtt_ms, 0);
    ck_assert_uint_eq(barrier.ping_count, 0);
}
END_TEST

static const struct {
    const char *why;
    size_t payload_bytes;
    unsigned flipped_byte; /* its lowest bit; past the payload: none */
} strangers[] = {
    {"an unsolicited Pong, empty as 5.5.3 allows", 0, 99},
    {"one byte short", BARRIER_PAYLOAD_BYTES - 1, 99},
    {"one byte more", BARRIER_PAYLOAD_BYTES + 1, 99},
    {"the nonce alone", 8, 99},
    {"another connection's first byte", BARRIER_PAYLOAD_BYTES, 0},
    {"another connection's last byte", BARRIER_PAYLOAD_BYTES, 7},
    {"another sequence, first byte", BARRIER_PAYLOAD_BYTES, 8},
    {"another sequence, last byte", BARRIER_PAYLOAD_BYTES, 15},
};

START_TEST(another_pong_is_a_sign_of_life_and_nothing_else)
{
    uint8_t payload[BARRIER_PAYLOAD_BYTES + 1] = {0};
    send_pings(1);
    memcpy(payload, payloads[0], sizeof payloads[0]);
    if (strangers[_i].flipped_byte < BARRIER_PAYLOAD_BYTES)
        payload[strangers[_i].flipped_byte] ^= 1;
    sequence = rtt_ms = 77;
    ck_assert_msg(
        !barrier_pong(&barrier, payload, strangers[_i].payload_bytes, 2000, &sequence, &rtt_ms),
        "%s", strangers[_i].why);
    ck_assert_uint_eq(sequence, 77);
    ck_assert_uint_eq(rtt_ms, 77);
    ck_assert_uint_eq(barrier.ping_count, 1);
}
END_TEST

START_TEST(a_pong_for_the_connection_before_is_not_believed)
{
    static const uint8_t other_nonce[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t old[BARRIER_PAYLOAD_BYTES];
    send_ping(10, 1000, old);
    barrier_start(&barrier, other_nonce, 0);
    send_ping(10, 2000, payloads[0]);
    ck_assert(!pong(old, 3000));
    ck_assert(pong(payloads[0], 3000));
}
END_TEST

START_TEST(of_two_pings_with_nothing_between_the_newest_is_answered)
{
    send_ping(5, 1000, payloads[0]);
    send_ping(5, 1400, payloads[1]);
    ck_assert_mem_eq(payloads[0], payloads[1], BARRIER_PAYLOAD_BYTES);
    ck_assert(pong(payloads[0], 1500));
    ck_assert_uint_eq(sequence, 5);
    ck_assert_uint_eq(rtt_ms, 100);
    ck_assert_uint_eq(barrier.ping_count, 0);
    ck_assert(!pong(payloads[1], 1600));
}
END_TEST

START_TEST(what_was_sent_is_unacknowledged_until_a_pong_covers_it)
{
    barrier_start(&barrier, nonce, 4);
    ck_assert(!barrier_has_unacknowledged(&barrier));
    barrier_send(&barrier, 500, payloads[0]); /* the heartbeat's: nobody owes anything */
    ck_assert(!barrier_is_owed(&barrier, barrier_ping(&barrier, 0)));
    barrier_message(&barrier, 5, 100);
    barrier_message(&barrier, 7, 20); /* 6 was dropped before it was sent */
    barrier_send(&barrier, 600, payloads[1]);
    barrier_message(&barrier, 8, 3);
    ck_assert(barrier_is_owed(&barrier, barrier_ping(&barrier, 1)));
    ck_assert_uint_eq(barrier_unacknowledged_bytes(&barrier), 123);
    ck_assert(pong(payloads[0], 700));
    ck_assert_uint_eq(barrier_unacknowledged_bytes(&barrier), 123);
    ck_assert(pong(payloads[1], 700));
    ck_assert_uint_eq(sequence, 7);
    ck_assert_uint_eq(barrier_unacknowledged_bytes(&barrier), 3);
    ck_assert(barrier_has_unacknowledged(&barrier));
    ck_assert(barrier_send(&barrier, 800, payloads[2]));
    ck_assert(pong(payloads[2], 900));
    ck_assert(!barrier_has_unacknowledged(&barrier));
    ck_assert_uint_eq(barrier_unacknowledged_bytes(&barrier), 0);
}
END_TEST

START_TEST(the_second_oldest_gives_up_its_place_to_a_fifth)
{
    static const uint64_t expect[BARRIER_PING_COUNT_MAX] = {10, 30, 40, 50};
    send_pings(BARRIER_PING_COUNT_MAX);
    ck_assert_uint_eq(barrier.ping_count, BARRIER_PING_COUNT_MAX);
    ck_assert_uint_eq(barrier_ping(&barrier, 1)->sequence, 20);
    send_ping(50, 5000, payloads[4]);
    ck_assert_uint_eq(barrier.ping_count, BARRIER_PING_COUNT_MAX);
    for (unsigned i = 0; i < BARRIER_PING_COUNT_MAX; i++)
        ck_assert_uint_eq(barrier_ping(&barrier, i)->sequence, expect[i]);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->sent_ms,
                      1000); /* it still times the acknowledgement */
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->end_offset, 100);
    ck_assert_uint_eq(barrier_ping(&barrier, 2)->end_offset, 400);
    ck_assert_uint_eq(barrier_ping(&barrier, 3)->end_offset, 0);
    ck_assert(!pong(payloads[1], 6000)); /* its Pong would only be a sign of life */
    ck_assert(pong(payloads[4], 6000));
    ck_assert_uint_eq(barrier.ping_count, 0);
}
END_TEST

static bool send_without_memory(uint64_t behind, uint64_t now_ms, uint8_t *payload)
{
    if (behind > barrier.sent_sequence)
        barrier_message(&barrier, behind, 7);
    counting = true;
    allocation_count = 0;
    allocation_failing = 1;
    bool sent = barrier_send(&barrier, now_ms, payload);
    counting = false;
    return sent;
}

START_TEST(the_only_ping_needs_no_memory)
{
    ck_assert(send_without_memory(10, 1000, payloads[0]));
    ck_assert_uint_eq(allocation_count, 0);
    ck_assert(pong(payloads[0], 1100));
    ck_assert(send_without_memory(20, 2000, payloads[1]));
    ck_assert(pong(payloads[1], 2100));
    ck_assert_uint_eq(sequence, 20);
}
END_TEST

START_TEST(one_that_cannot_be_remembered_is_not_sent_and_the_first_still_counts)
{
    send_pings(1);
    ck_assert(!send_without_memory(20, 2000, payloads[1]));
    ck_assert_uint_eq(barrier.ping_count, 1);
    ck_assert_uint_eq(barrier.last_sent_ms, 2000); /* the next one is not tried at once */
    ck_assert(pong(payloads[0], 2100));
    ck_assert_uint_eq(sequence, 10);
}
END_TEST

START_TEST(one_that_waits_for_nothing_makes_room_when_there_is_no_memory)
{
    send_ping(0, 1000, payloads[0]); /* a heartbeat, behind no message */
    ck_assert(send_without_memory(10, 2000, payloads[1]));
    ck_assert_uint_eq(barrier.ping_count, 1);
    ck_assert(pong(payloads[1], 2100));
    ck_assert_uint_eq(sequence, 10);
}
END_TEST

START_TEST(later_pings_are_forgotten_with_their_memory)
{
    for (unsigned i = 0; i < 3; i++) {
        send_pings(3);
        ck_assert_ptr_nonnull(barrier.later);
        if (i == 0)
            ck_assert(pong(payloads[1], 4000)); /* one is left */
        else if (i == 1)
            ck_assert(pong(payloads[2], 4000));
        else
            barrier_clear(&barrier);
        ck_assert_ptr_null(barrier.later);
        ck_assert_uint_eq(barrier.ping_count, i == 0);
        barrier_start(&barrier, nonce, 0);
    }
}
END_TEST

START_TEST(the_oldest_can_be_forgotten)
{
    send_pings(3);
    barrier_forget_oldest(&barrier);
    ck_assert_uint_eq(barrier.ping_count, 2);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->sequence, 20);
    ck_assert(!pong(payloads[0], 4000));
    ck_assert(pong(payloads[1], 4000));
}
END_TEST

START_TEST(forgetting_what_is_not_there_is_our_own_mistake)
{
    barrier_forget_oldest(&barrier);
}
END_TEST

START_TEST(encoding_no_ping_is_our_own_mistake)
{
    barrier_encoded(&barrier, 1);
}
END_TEST

START_TEST(a_ping_is_judged_from_when_tcp_has_its_last_byte)
{
    send_pings(2);
    send_ping(30, 3000, payloads[2]); /* not encoded yet: its offset is unknown */
    barrier_tcp(&barrier, 99, 4000);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->judged_from_ms, 0);
    barrier_tcp(&barrier, 100, 4100);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->judged_from_ms, 4100);
    ck_assert_uint_eq(barrier_ping(&barrier, 1)->judged_from_ms, 0);
    barrier_tcp(&barrier, 1000, 4200);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->judged_from_ms, 4100); /* the first time counts */
    ck_assert_uint_eq(barrier_ping(&barrier, 1)->judged_from_ms, 4200);
    ck_assert_uint_eq(barrier_ping(&barrier, 2)->judged_from_ms, 0);
}
END_TEST

START_TEST(only_what_was_judged_is_judged_anew)
{
    send_pings(2);
    barrier_tcp(&barrier, 100, 4000);
    barrier_restart(&barrier, 9000);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->judged_from_ms, 9000);
    ck_assert_uint_eq(barrier_ping(&barrier, 1)->judged_from_ms, 0);
}
END_TEST

START_TEST(time_0_is_a_time_and_not_a_never)
{
    send_ping(1, 0, payloads[0]);
    barrier_encoded(&barrier, 10);
    ck_assert_uint_eq(barrier.last_sent_ms, 1);
    barrier_tcp(&barrier, 10, 0);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->judged_from_ms, 1);
    barrier_restart(&barrier, 0);
    ck_assert_uint_eq(barrier_ping(&barrier, 0)->judged_from_ms, 1);
    ck_assert(pong(payloads[0], 0));
    ck_assert_uint_eq(rtt_ms, 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("barrier");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_connection_starts_without_pings);
    tcase_add_test(tcase, the_payload_is_the_nonce_and_the_sequence_in_network_order);
    tcase_add_test(tcase, a_pong_acknowledges_its_ping_and_retires_all_earlier_ones);
    tcase_add_loop_test(tcase, another_pong_is_a_sign_of_life_and_nothing_else, 0,
                        sizeof strangers / sizeof *strangers);
    tcase_add_test(tcase, a_pong_for_the_connection_before_is_not_believed);
    tcase_add_test(tcase, of_two_pings_with_nothing_between_the_newest_is_answered);
    tcase_add_test(tcase, what_was_sent_is_unacknowledged_until_a_pong_covers_it);
    tcase_add_test(tcase, the_second_oldest_gives_up_its_place_to_a_fifth);
    tcase_add_test(tcase, the_only_ping_needs_no_memory);
    tcase_add_test(tcase, one_that_cannot_be_remembered_is_not_sent_and_the_first_still_counts);
    tcase_add_test(tcase, one_that_waits_for_nothing_makes_room_when_there_is_no_memory);
    tcase_add_test(tcase, later_pings_are_forgotten_with_their_memory);
    tcase_add_test(tcase, the_oldest_can_be_forgotten);
    tcase_add_test_raise_signal(tcase, forgetting_what_is_not_there_is_our_own_mistake, SIGABRT);
    tcase_add_test_raise_signal(tcase, encoding_no_ping_is_our_own_mistake, SIGABRT);
    tcase_add_test(tcase, a_ping_is_judged_from_when_tcp_has_its_last_byte);
    tcase_add_test(tcase, only_what_was_judged_is_judged_anew);
    tcase_add_test(tcase, time_0_is_a_time_and_not_a_never);

    Suite *suite = suite_create("barrier");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
