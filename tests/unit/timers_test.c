/* Deadlines of one worker. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "failing_malloc.h" /* counts inside of timers_add */
#include "net/timers.h"

/* ---- some timers -------------------------------------------------------------------------- */

enum { TIMER_COUNT = 100 };

static struct timers timers;
static struct timer timer[TIMER_COUNT];

static void run_nothing(struct timer *due)
{
    (void)due;
}

static bool add(struct timer *member)
{
    counting = true;
    bool added = timers_add(&timers, member, run_nothing);
    counting = false;
    return added;
}

static void add_all(void)
{
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        ck_assert(add(&timer[i]));
}

static void setup(void)
{
    timers_init(&timers);
    memset(timer, 0, sizeof timer);
    allocation_count = allocation_failing = 0;
}

static void teardown(void)
{
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        timers_remove(&timers, &timer[i]);
    timers_clear(&timers);
}

/* The number of the timer that is due, or -1. */
static int take(uint64_t now_ms)
{
    struct timer *due = timers_take_due(&timers, now_ms);
    return due ? (int)(due - timer) : -1;
}

/* ---- one timer ---------------------------------------------------------------------------- */

START_TEST(nothing_set_is_never_due)
{
    ck_assert_uint_eq(timers_earliest_ms(&timers), TIMERS_NEVER);
    ck_assert_int_eq(take(TIMERS_NEVER), -1);
    ck_assert(add(&timer[0]));
    ck_assert_ptr_eq(timers.runs[timer[0].kind], run_nothing);
    ck_assert_uint_eq(timers_earliest_ms(&timers), TIMERS_NEVER);
    ck_assert_int_eq(take(TIMERS_NEVER), -1);
}
END_TEST

START_TEST(a_timer_is_due_at_its_time_and_once)
{
    add_all();
    timers_set(&timers, &timer[7], 1000);
    ck_assert_uint_eq(timers_earliest_ms(&timers), 1000);
    ck_assert_int_eq(take(999), -1);
    ck_assert_int_eq(take(1000), 7);
    ck_assert_int_eq(take(1000), -1);
    ck_assert_uint_eq(timers_earliest_ms(&timers), TIMERS_NEVER);
    timers_set(&timers, &timer[7], 2000); /* and may be set again */
    ck_assert_int_eq(take(5000), 7);
    ck_assert_int_eq(take(TIMERS_NEVER), -1);
}
END_TEST

START_TEST(time_0_is_a_time)
{
    add_all();
    timers_set(&timers, &timer[1], 0);
    ck_assert_uint_eq(timers_earliest_ms(&timers), 0);
    ck_assert_int_eq(take(0), 1);
}
END_TEST

static const struct {
    const char *why;
    uint64_t set_ms[3]; /* one after the other; 0: no more */
    uint64_t due_ms;    /* TIMERS_NEVER: not at all */
} moves[] = {
    {"later", {1000, 2000}, 2000},
    {"later, then less late", {1000, 3000, 2000}, 2000},
    {"later, then back", {1000, 3000, 1000}, 1000},
    {"later, then sooner than at first", {1000, 3000, 500}, 500},
    {"sooner", {2000, 1000}, 1000},
    {"sooner, then later", {2000, 1000, 3000}, 3000},
    {"to the same", {1000, 1000}, 1000},
    {"not at all", {1000, TIMERS_NEVER}, TIMERS_NEVER},
    {"not at all from the start", {TIMERS_NEVER}, TIMERS_NEVER},
    {"not at all, then later", {1000, TIMERS_NEVER, 2000}, 2000},
    {"not at all, then sooner", {1000, TIMERS_NEVER, 500}, 500},
    {"not at all, then set for the first time", {TIMERS_NEVER, 1000}, 1000},
    {"to the last moment there is", {1000, TIMERS_NEVER - 1}, TIMERS_NEVER - 1},
};

START_TEST(what_was_set_last_counts)
{
    add_all();
    for (unsigned i = 0; i < 3 && moves[_i].set_ms[i]; i++)
        timers_set(&timers, &timer[0], moves[_i].set_ms[i]);
    uint64_t due_ms = moves[_i].due_ms;
    ck_assert_msg(timers_earliest_ms(&timers) <= due_ms, "%s", moves[_i].why);
    if (due_ms == TIMERS_NEVER) {
        ck_assert_msg(take(TIMERS_NEVER - 1) == -1, "%s", moves[_i].why);
        ck_assert_uint_eq(timers_earliest_ms(&timers), TIMERS_NEVER);
        return;
    }
    ck_assert_msg(take(due_ms - 1) == -1, "%s", moves[_i].why);
    ck_assert_uint_eq(timers_earliest_ms(&timers), due_ms); /* it was looked at: exact now */
    ck_assert_msg(take(due_ms) == 0, "%s", moves[_i].why);
    ck_assert_int_eq(take(TIMERS_NEVER), -1);
}
END_TEST

START_TEST(a_timer_that_moves_later_stays_where_it_is)
{
    add_all();
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        timers_set(&timers, &timer[i], 1000 + i);
    size_t index = timer[3].index;
    for (unsigned i = 0; i < 1000; i++)
        timers_set(&timers, &timer[3], 5000 + i);
    ck_assert_uint_eq(timer[3].index, index);
    ck_assert_uint_eq(timers.count, TIMER_COUNT);
}
END_TEST

START_TEST(a_timer_that_was_taken_may_be_set_from_its_own_run)
{
    add_all();
    timers_set(&timers, &timer[0], 1000);
    timers_set(&timers, &timer[1], 1000);
    unsigned run_count = 0;
    for (int due; (due = take(1000)) >= 0; run_count++)
        timers_set(&timers, &timer[due], 1001); /* later than now: the loop ends */
    ck_assert_uint_eq(run_count, 2);
    ck_assert_uint_eq(timers_earliest_ms(&timers), 1001);
}
END_TEST

/* ---- many timers -------------------------------------------------------------------------- */

START_TEST(timers_come_in_the_order_of_their_times)
{
    add_all();
    for (unsigned i = 0; i < TIMER_COUNT; i++) /* 37 and 100 have no common factor: all there */
        timers_set(&timers, &timer[i], 1000 + i * 37 % TIMER_COUNT);
    for (unsigned n = 0; n < TIMER_COUNT; n++) {
        ck_assert_uint_eq(timers_earliest_ms(&timers), 1000 + n);
        int due = take(TIMERS_NEVER - 1);
        ck_assert_int_ge(due, 0);
        ck_assert_uint_eq((unsigned)due * 37 % TIMER_COUNT, n);
    }
    ck_assert_int_eq(take(TIMERS_NEVER - 1), -1);
}
END_TEST

START_TEST(a_timer_that_is_removed_is_not_due_and_the_others_are)
{
    add_all();
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        timers_set(&timers, &timer[i], 1000 + i * 37 % TIMER_COUNT);
    timers_remove(&timers, &timer[_i]);
    ck_assert_uint_eq(timers.count, TIMER_COUNT - 1);
    uint64_t last_ms = 0;
    for (unsigned n = 0; n < TIMER_COUNT - 1; n++) {
        uint64_t due_ms = timers_earliest_ms(&timers);
        int due = take(due_ms);
        ck_assert_int_ge(due, 0);
        ck_assert_int_ne(due, _i);
        ck_assert_uint_gt(due_ms, last_ms);
        last_ms = due_ms;
    }
    ck_assert_int_eq(take(TIMERS_NEVER), -1);
}
END_TEST

START_TEST(removing_what_is_no_member_does_nothing)
{
    struct timer stranger = {0};
    ck_assert(add(&timer[0]));
    timers_remove(&timers, &stranger);
    ck_assert_uint_eq(timers.member_count, 1);
    timers_remove(&timers, &timer[0]);
    timers_remove(&timers, &timer[0]); /* twice does no harm */
    ck_assert_uint_eq(timers.member_count, 0);
    ck_assert(add(&timer[0])); /* and it may come back */
    ck_assert_uint_eq(timers.member_count, 1);
}
END_TEST

/* No child before its parent, and each knows its place. */
static bool is_heap(void)
{
    for (size_t i = 1; i <= timers.count; i++) {
        const struct timer *member = timers.heap[i];
        if (member->index != i || member->place_ms > member->due_ms ||
            (i > 1 && timers.heap[i / 2]->place_ms > member->place_ms))
            return false;
    }
    return true;
}

START_TEST(timers_agree_with_their_model_whatever_is_done_to_them)
{
    uint64_t model_ms[TIMER_COUNT];
    uint32_t seed = (uint32_t)_i * 2654435761u + 1;
    uint64_t now_ms = 0;
    add_all();
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        model_ms[i] = TIMERS_NEVER;
    for (unsigned turn = 0; turn < 5000; turn++) {
        seed = seed * 1103515245u + 12345u;
        unsigned i = (seed >> 16) % TIMER_COUNT;
        unsigned what = (seed >> 8) % 16;
        if (what == 0) { /* removed, and a new one */
            timers_remove(&timers, &timer[i]);
            ck_assert(add(&timer[i]));
            model_ms[i] = TIMERS_NEVER;
        } else if (what == 1) {
            now_ms += seed >> 28;
        } else {
            model_ms[i] = what == 2 ? TIMERS_NEVER : now_ms + (seed >> 20) % 64;
            timers_set(&timers, &timer[i], model_ms[i]);
        }
        for (int due; (due = take(now_ms)) >= 0; model_ms[due] = TIMERS_NEVER)
            ck_assert_uint_le(model_ms[due], now_ms);
        uint64_t earliest_ms = TIMERS_NEVER;
        for (unsigned n = 0; n < TIMER_COUNT; n++)
            if (model_ms[n] < earliest_ms)
                earliest_ms = model_ms[n];
        uint64_t got_ms = timers_earliest_ms(&timers);
        ck_assert_msg(earliest_ms > now_ms && got_ms > now_ms && got_ms <= earliest_ms && is_heap(),
                      "turn %u: a timer was forgotten, or is out of order", turn);
    }
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------- */

START_TEST(after_it_is_added_nothing_about_a_timer_can_fail)
{
    for (unsigned count = 1; count <= TIMER_COUNT; count++) {
        ck_assert(add(&timer[count - 1]));
        counting = true; /* from here on every allocation is counted */
        unsigned before = allocation_count;
        for (unsigned i = 0; i < count; i++)
            timers_set(&timers, &timer[i], 1000 - i);
        for (unsigned i = 0; i < count; i++)
            timers_take_due(&timers, 1000);
        counting = false;
        ck_assert_uint_eq(allocation_count, before);
        ck_assert_uint_lt(count, timers.capacity); /* from 1: there is room for all at once */
    }
    ck_assert_uint_le(allocation_count, 4); /* it doubles */
}
END_TEST

START_TEST(a_refused_allocation_adds_nothing_and_harms_nothing)
{
    unsigned refused = 0;
    for (unsigned failing = 1;; failing++) {
        setup();
        allocation_failing = failing;
        for (unsigned i = 0; i < TIMER_COUNT; i++) {
            if (!add(&timer[i])) {
                refused++;
                ck_assert_uint_eq(timers.member_count, i);
                timers_remove(&timers, &timer[i]); /* it never became one */
                ck_assert_uint_eq(timers.member_count, i);
                ck_assert(add(&timer[i])); /* the next try goes on */
            }
            timers_set(&timers, &timer[i], 1000 + i);
        }
        ck_assert(is_heap());
        for (int i = 0; i < TIMER_COUNT; i++)
            ck_assert_int_eq(take(5000), i);
        if (allocation_count < failing)
            break; /* every one has failed once */
        teardown();
    }
    ck_assert_uint_eq(refused, 4); /* room for 15, 31, 63, 127 */
}
END_TEST

START_TEST(clearing_with_members_is_our_own_mistake)
{
    ck_assert(add(&timer[0]));
    timers_clear(&timers);
}
END_TEST

START_TEST(setting_what_is_no_member_is_our_own_mistake)
{
    timers_set(&timers, &timer[0], 1000);
}
END_TEST

START_TEST(a_delay_does_not_come_round)
{
    ck_assert_uint_eq(timers_after(1000, 500), 1500);
    ck_assert_uint_eq(timers_after(1000, 0), 1000);
    ck_assert_uint_eq(timers_after(1000, TIMERS_NEVER), TIMERS_NEVER);
    ck_assert_uint_eq(timers_after(TIMERS_NEVER, 1), TIMERS_NEVER);
    ck_assert_uint_eq(timers_after(1000, TIMERS_NEVER - 1000), TIMERS_NEVER);
    ck_assert_uint_eq(timers_after(1000, TIMERS_NEVER - 1001), TIMERS_NEVER - 1);
    ck_assert_uint_eq(timers_after(1000, TIMERS_NEVER - 999), TIMERS_NEVER);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("timers");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, nothing_set_is_never_due);
    tcase_add_test(tcase, a_timer_is_due_at_its_time_and_once);
    tcase_add_test(tcase, time_0_is_a_time);
    tcase_add_loop_test(tcase, what_was_set_last_counts, 0, sizeof moves / sizeof *moves);
    tcase_add_test(tcase, a_timer_that_moves_later_stays_where_it_is);
    tcase_add_test(tcase, a_timer_that_was_taken_may_be_set_from_its_own_run);
    tcase_add_test(tcase, timers_come_in_the_order_of_their_times);
    tcase_add_loop_test(tcase, a_timer_that_is_removed_is_not_due_and_the_others_are, 0,
                        TIMER_COUNT);
    tcase_add_test(tcase, removing_what_is_no_member_does_nothing);
    tcase_add_loop_test(tcase, timers_agree_with_their_model_whatever_is_done_to_them, 0, 10);
    tcase_add_test(tcase, after_it_is_added_nothing_about_a_timer_can_fail);
    tcase_add_test(tcase, a_refused_allocation_adds_nothing_and_harms_nothing);
    tcase_add_test_raise_signal(tcase, clearing_with_members_is_our_own_mistake, SIGABRT);
    tcase_add_test_raise_signal(tcase, setting_what_is_no_member_is_our_own_mistake, SIGABRT);
    tcase_add_test(tcase, a_delay_does_not_come_round);

    Suite *suite = suite_create("timers");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
