/* When free memory goes back to the system. */
#include <check.h>
#include <malloc.h>
#include <stdlib.h>

#include "net/heap.h"

enum { MIB = 1024 * 1024 };

static struct timers timers;
static struct heap_watch watch;
static uint64_t now_ms;
static unsigned trim_count;

int __wrap_malloc_trim(size_t pad);
int __wrap_malloc_trim(size_t pad)
{
    ck_assert_uint_eq(pad, 0);
    trim_count++;
    return 1;
}

static int block_bytes_max;
static int free_bytes_max;

int __wrap_mallopt(int option, int value);
int __wrap_mallopt(int option, int value)
{
    ck_assert(option == M_MMAP_THRESHOLD || option == M_TRIM_THRESHOLD);
    *(option == M_MMAP_THRESHOLD ? &block_bytes_max : &free_bytes_max) = value;
    return 1;
}

static void run(struct timer *timer)
{
    ck_assert_ptr_eq(timer, &watch.timer);
    heap_watch_look(&watch, now_ms);
}

static void setup(void)
{
    now_ms = 1000;
    trim_count = 0;
    timers_init(&timers);
    ck_assert(heap_watch_init(&watch, &timers, run));
}

static void teardown(void)
{
    heap_watch_clear(&watch);
    timers_clear(&timers);
}

static void use(uint64_t bytes)
{
    heap_watch_note(&watch, bytes, now_ms);
}

static void pass(uint64_t delay_ms)
{
    struct timer *timer;
    now_ms += delay_ms;
    while ((timer = timers_take_due(&timers, now_ms)))
        timers_run(&timers, timer);
}

START_TEST(blocks_and_what_is_free_stay_small_beside_memory_max)
{
    heap_init((uint64_t)1024 * MIB);
    ck_assert_int_eq(block_bytes_max, 32 * MIB);
    ck_assert_int_eq(free_bytes_max, 64 * MIB);
    heap_init((uint64_t)1024 * 1024 * MIB);
    ck_assert_int_eq(block_bytes_max, 32 * MIB);
    ck_assert_int_eq(free_bytes_max, 64 * MIB);
    heap_init(16 * MIB);
    ck_assert_int_eq(block_bytes_max, 2 * MIB);
    ck_assert_int_eq(free_bytes_max, 4 * MIB);
}
END_TEST

START_TEST(a_burst_that_is_over_is_given_back_once_and_then_nothing_is_looked_for)
{
    use(100 * MIB);
    use(0);
    pass(HEAP_LOOK_MS); /* the burst was since the last look */
    ck_assert_uint_eq(trim_count, 0);
    pass(HEAP_LOOK_MS);
    ck_assert_uint_eq(trim_count, 1);
    pass(HEAP_LOOK_MS);
    ck_assert_uint_eq(trim_count, 1);
    ck_assert_uint_eq(timers_earliest_ms(&timers), TIMERS_NEVER);
}
END_TEST

START_TEST(steady_work_keeps_its_memory)
{
    for (unsigned i = 0; i < 50; i++) {
        use(80 * MIB);
        use(MIB);
        pass(HEAP_LOOK_MS / 2);
    }
    ck_assert_uint_eq(trim_count, 0);
}
END_TEST

START_TEST(a_slow_decline_is_given_back_by_halves)
{
    use(100 * MIB);
    for (uint64_t bytes = 99; bytes > 0; bytes--) {
        use(bytes * MIB);
        pass(HEAP_LOOK_MS);
    }
    ck_assert_uint_ge(trim_count, 5);
    ck_assert_uint_le(trim_count, 8);
}
END_TEST

START_TEST(a_second_burst_is_given_back_as_the_first)
{
    for (unsigned i = 1; i <= 3; i++) {
        use(10 * MIB);
        use(0);
        pass(HEAP_LOOK_MS);
        pass(HEAP_LOOK_MS);
        ck_assert_uint_eq(trim_count, i);
        pass(HEAP_LOOK_MS);
    }
}
END_TEST

START_TEST(what_stays_in_use_is_waited_for)
{
    use(64 * MIB);
    for (unsigned i = 0; i < 10; i++)
        pass(HEAP_LOOK_MS);
    ck_assert_uint_eq(trim_count, 0);
    use(MIB);
    pass(HEAP_LOOK_MS);
    pass(HEAP_LOOK_MS);
    ck_assert_uint_eq(trim_count, 1);
}
END_TEST

START_TEST(little_is_not_worth_it)
{
    use(HEAP_WORTH_BYTES - 1);
    ck_assert_uint_eq(timers_earliest_ms(&timers), TIMERS_NEVER);
    use(HEAP_WORTH_BYTES);
    use(1);
    pass(HEAP_LOOK_MS);
    pass(HEAP_LOOK_MS);
    ck_assert_uint_eq(trim_count, 0); /* a byte less than HEAP_WORTH_BYTES came back */
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("heap");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, blocks_and_what_is_free_stay_small_beside_memory_max);
    tcase_add_test(tcase, a_burst_that_is_over_is_given_back_once_and_then_nothing_is_looked_for);
    tcase_add_test(tcase, steady_work_keeps_its_memory);
    tcase_add_test(tcase, a_slow_decline_is_given_back_by_halves);
    tcase_add_test(tcase, a_second_burst_is_given_back_as_the_first);
    tcase_add_test(tcase, what_stays_in_use_is_waited_for);
    tcase_add_test(tcase, little_is_not_worth_it);

    Suite *suite = suite_create("heap");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
