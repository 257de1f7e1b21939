/* memory_max of several workers: what one gives back wakes who waits for it. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/budget.h"
#include "net/ledger.h"

static struct ledger ledger;

START_TEST(each_reads_what_the_others_wrote)
{
    struct budget one = {.bytes = 1, .partial_bytes = 20, .kept_bytes = 300};
    struct budget other = {.bytes = 4, .partial_bytes = 50, .kept_bytes = 600};
    struct budget third = {0};
    ledger_init(&ledger, 3);
    ck_assert(!ledger_write(&ledger, 0, &one));
    ck_assert(!ledger_write(&ledger, 1, &other));
    ledger_read(&ledger, 2, &third);
    ck_assert_uint_eq(third.others.bytes, 5);
    ck_assert_uint_eq(third.others.partial_bytes, 70);
    ck_assert_uint_eq(third.others.kept_bytes, 900);
    ledger_read(&ledger, 0, &one);
    ck_assert_uint_eq(one.others.bytes, 4); /* not its own */
}
END_TEST

START_TEST(only_less_is_worth_waking_somebody_who_waits)
{
    struct budget budget = {.bytes = 10};
    ledger_init(&ledger, 2);
    ck_assert(!ledger_write(&ledger, 0, &budget));
    budget.bytes = 5;
    ck_assert(!ledger_write(&ledger, 0, &budget)); /* nobody waits */
    ledger_wait(&ledger, 1, true);
    ledger_wait(&ledger, 1, true); /* once is enough */
    ck_assert(ledger_waits(&ledger, 1) && !ledger_waits(&ledger, 0));
    ck_assert(!ledger_write(&ledger, 0, &budget)); /* the same */
    budget.bytes = 8;
    ck_assert(!ledger_write(&ledger, 0, &budget));
    budget.bytes = 3;
    budget.kept_bytes = 100; /* one is less, though the sum is more */
    ck_assert(ledger_write(&ledger, 0, &budget));
    ledger_wait(&ledger, 1, false);
    budget.kept_bytes = 0;
    ck_assert(!ledger_write(&ledger, 0, &budget));
}
END_TEST

/* ---- two threads --------------------------------------------------------------------------- */

enum { ROUNDS = 20000 };

static struct {
    pthread_barrier_t barrier;
    bool is_told;
} race;

/* It has 100 bytes in the ledger, and gives them back. */
static void *give_back(void *argument)
{
    struct budget budget = {0};
    (void)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        budget.bytes = 100;
        (void)ledger_write(&ledger, 0, &budget);
        pthread_barrier_wait(&race.barrier);
        budget.bytes = 0;
        race.is_told = ledger_write(&ledger, 0, &budget);
        pthread_barrier_wait(&race.barrier);
        pthread_barrier_wait(&race.barrier);
    }
    return NULL;
}

/* Whoever waits either sees that they are gone, or is woken: never neither. */
START_TEST(nobody_sleeps_through_what_is_given_back)
{
    pthread_t giver;
    ledger_init(&ledger, 2);
    pthread_barrier_init(&race.barrier, NULL, 2);
    ck_assert_int_eq(pthread_create(&giver, NULL, give_back, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct budget budget = {0};
        pthread_barrier_wait(&race.barrier);
        ledger_wait(&ledger, 1, true);
        ledger_read(&ledger, 1, &budget);
        pthread_barrier_wait(&race.barrier);
        ck_assert(budget.others.bytes == 0 || race.is_told);
        ledger_wait(&ledger, 1, false);
        pthread_barrier_wait(&race.barrier);
    }
    pthread_join(giver, NULL);
    pthread_barrier_destroy(&race.barrier);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("ledger");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_reads_what_the_others_wrote);
    tcase_add_test(tcase, only_less_is_worth_waking_somebody_who_waits);
    tcase_add_test(tcase, nobody_sleeps_through_what_is_given_back);
    Suite *suite = suite_create("ledger");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
