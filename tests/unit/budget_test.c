/* memory_max: who may go on. */
#include <check.h>
#include <stdlib.h>

#include "core/budget.h"

static const struct {
    const char *why;
    uint64_t accepted;
    uint64_t held;
    uint64_t bytes;
    bool has_room;
} admissions[] = {
    {"empty, one message of all", 0, 0, 100, true},
    {"empty, more than all", 0, 0, 101, false},
    {"up to the last byte", 60, 0, 40, true},
    {"one byte over", 60, 0, 41, false},
    {"what is held takes from it", 60, 30, 10, true},
    {"and no byte more", 60, 30, 11, false},
    {"but never more than a half", 20, 70, 30, true},
    {"of which the other is theirs", 20, 70, 31, false},
    {"one message alone has all, whatever is held", 0, 70, 100, true},
    {"over already", 101, 0, 0, false},
};

START_TEST(what_is_accepted_has_a_half_for_sure) /* _i is the row */
{
    struct budget budget = {
        .bytes = admissions[_i].accepted, .kept_bytes = admissions[_i].held, .bytes_max = 100};
    ck_assert_msg(budget_has_room(&budget, admissions[_i].bytes) == admissions[_i].has_room, "%s",
                  admissions[_i].why);
}
END_TEST

static const struct {
    const char *why;
    uint64_t accepted;
    uint64_t kept;    /* of all */
    uint64_t partial; /* of the others */
    uint64_t own;
    enum budget_verdict verdict;
} judgements[] = {
    {"there is room", 40, 10, 20, 30, BUDGET_GO_ON},
    {"no more, but what was accepted leaves", 41, 10, 20, 30, BUDGET_WAIT},
    {"no more, but what was kept gets on", 0, 60, 20, 30, BUDGET_WAIT},
    {"a half is of messages like this one", 0, 0, 60, 41, BUDGET_END},
    {"the same, with others", 50, 0, 30, 21, BUDGET_END},
    {"just a half", 51, 0, 30, 20, BUDGET_WAIT},
    {"nobody else is here: max_message says how much", 0, 0, 0, 200, BUDGET_GO_ON},
    {"the only one of its kind, larger than a half", 60, 0, 0, 60, BUDGET_WAIT},
    {"nothing in the middle", 200, 0, 0, 0, BUDGET_GO_ON},
};

START_TEST(a_message_that_is_not_whole_goes_on_waits_or_ends) /* _i is the row */
{
    struct budget budget = {.bytes = judgements[_i].accepted,
                            .kept_bytes = judgements[_i].kept,
                            .partial_bytes = judgements[_i].partial,
                            .bytes_max = 100};
    struct budget_share share = {0};
    budget_hold(&budget, &share, judgements[_i].own, 0);
    enum budget_verdict verdict = budget_judge(&budget, &share);
    ck_assert_msg(verdict == judgements[_i].verdict, "%s: %d", judgements[_i].why, (int)verdict);
    ck_assert(budget.refused == (verdict == BUDGET_WAIT));
    budget_hold(&budget, &share, 0, 0);
    ck_assert_uint_eq(budget.partial_bytes, judgements[_i].partial);
    ck_assert_uint_eq(budget.kept_bytes, judgements[_i].kept);
}
END_TEST

/* However much is asked for by how many: when nothing else is in the memory, one of those who read
 * may go on or has to go. */
START_TEST(half_messages_alone_never_wait_for_each_other)
{
    enum { COUNT = 8 };
    for (unsigned sizes = 0; sizes < 1u << (2 * COUNT); sizes++) {
        struct budget budget = {.bytes_max = 100};
        struct budget_share shares[COUNT] = {0};
        unsigned waiting = 0;
        unsigned present = 0;
        for (unsigned i = 0; i < COUNT; i++)
            budget_hold(&budget, &shares[i], 15 * (sizes >> (2 * i) & 3), 0);
        for (unsigned i = 0; i < COUNT; i++) {
            present += shares[i].partial_bytes > 0;
            waiting += budget_judge(&budget, &shares[i]) == BUDGET_WAIT;
        }
        ck_assert(present == 0 || waiting < present);
    }
}
END_TEST

START_TEST(who_was_refused_looks_again_when_less_is_there)
{
    struct budget budget = {.bytes = 90, .bytes_max = 100};
    struct budget_share share = {0};
    budget_hold(&budget, &share, 20, 0);
    ck_assert(!budget_came_back(&budget)); /* nobody was refused */
    budget_refuse(&budget);
    ck_assert(!budget_came_back(&budget));
    budget_take(&budget, 5);
    ck_assert(!budget_came_back(&budget));
    budget_hold(&budget, &share, 19, 0); /* also when more was accepted meanwhile */
    ck_assert(budget_came_back(&budget));
    ck_assert(!budget_came_back(&budget)); /* once */
    budget_refuse(&budget);
    budget_give(&budget, 1);
    ck_assert(budget_came_back(&budget));
}
END_TEST

/* In one turn: the first needs 10 bytes, 30 leave, and then somebody asks for 60. */
START_TEST(who_is_refused_later_takes_no_chance_from_others)
{
    struct budget budget = {.bytes = 95, .bytes_max = 100};
    ck_assert(!budget_has_room(&budget, 10));
    budget_refuse(&budget);
    budget_give(&budget, 30);
    ck_assert(!budget_has_room(&budget, 60));
    budget_refuse(&budget);
    ck_assert(budget_came_back(&budget));
    ck_assert(!budget_came_back(&budget));
    budget_refuse(
        &budget); /* still no room for 60: and nobody asks again before something leaves */
    ck_assert(!budget_came_back(&budget));
}
END_TEST

/* ---- several workers ---------------------------------------------------------------------- */

enum { WORKERS = 4, LIMIT = 4 * 1024 * 1024 };

/* What each has told; the others see no more of it. */
struct crew {
    struct budget budgets[WORKERS];
    struct budget told[WORKERS];
    unsigned look_count;
};

static struct crew crew;

static void exchange(struct budget *budget)
{
    size_t own = (size_t)(budget - crew.budgets);
    crew.told[own] = *budget;
    crew.look_count++;
    budget->others = (struct budget_others){0};
    for (size_t i = 0; i < WORKERS; i++) {
        if (i == own)
            continue;
        budget->others.bytes += crew.told[i].bytes;
        budget->others.partial_bytes += crew.told[i].partial_bytes;
        budget->others.kept_bytes += crew.told[i].kept_bytes;
    }
}

static void crew_begin(uint64_t bytes_max)
{
    crew = (struct crew){.look_count = 0};
    for (unsigned i = 0; i < WORKERS; i++)
        crew.budgets[i] = (struct budget){.bytes_max = bytes_max, .exchange = exchange};
}

static uint64_t crew_bytes(void)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        bytes += budget_own_bytes(&crew.budgets[i]);
    return bytes;
}

static const uint64_t message_sizes[] = {1, 300, 4000, 65535, 65536, 300000};

/* Whoever's turn it is, in an order that no one arranged. */
START_TEST(several_workers_keep_the_limit_together) /* _i is the row */
{
    uint64_t size = message_sizes[_i];
    uint32_t chance = 1;
    unsigned refused_in_a_row = 0;
    crew_begin(LIMIT);
    while (refused_in_a_row < 100) {
        chance = chance * 1103515245 + 12345;
        struct budget *budget = &crew.budgets[(chance >> 16) % WORKERS];
        bool has_room = budget_has_room(budget, size);
        if (has_room)
            budget_take(budget, size);
        refused_in_a_row = has_room ? 0 : refused_in_a_row + 1;
    }
    ck_assert_uint_gt(crew_bytes() + size, LIMIT);
    ck_assert_uint_le(crew_bytes(), LIMIT + (WORKERS - 1) * (BUDGET_BLIND_BYTES_MAX + size));
    /* They do not look at each other for every message. */
    if (size < BUDGET_BLIND_BYTES_MAX / 10)
        ck_assert_uint_lt(crew.look_count, crew_bytes() / size / 4 + 200);
}
END_TEST

START_TEST(a_no_is_never_said_of_old_numbers)
{
    crew_begin(100);
    struct budget *one = &crew.budgets[0];
    struct budget *other = &crew.budgets[1];
    struct budget_share share = {0};
    budget_take(other, 90);
    exchange(other);
    exchange(one);
    ck_assert(!budget_has_room(one, 20));
    budget_give(other, 80);
    exchange(other);
    ck_assert(budget_has_room(one, 20));
    ck_assert(!budget_is_over(one) && !budget_is_used_up(one));

    budget_take(other, 95);
    exchange(other);
    exchange(one);
    ck_assert(budget_is_over(one) && budget_is_used_up(one));
    budget_give(other, 105);
    exchange(other);
    budget_hold(one, &share, 60, 0);
    ck_assert_int_eq(budget_judge(one, &share), BUDGET_GO_ON);
}
END_TEST

START_TEST(one_message_alone_has_all_only_when_no_worker_has_another)
{
    crew_begin(100);
    crew.budgets[1].kept_bytes = 70;
    exchange(&crew.budgets[1]);
    ck_assert(budget_has_room(&crew.budgets[0], 100));
    crew.budgets[1].bytes = 1;
    exchange(&crew.budgets[1]);
    exchange(&crew.budgets[0]);
    ck_assert(!budget_has_room(&crew.budgets[0], 50));
    ck_assert(budget_has_room(&crew.budgets[0], 49));
}
END_TEST

/* The same as with one, whichever workers they are on. */
START_TEST(half_messages_of_several_workers_never_all_wait)
{
    enum { COUNT = 8 };
    for (unsigned sizes = 0; sizes < 1u << (2 * COUNT); sizes += 3) {
        struct budget_share shares[COUNT] = {0};
        unsigned waiting = 0;
        unsigned present = 0;
        crew_begin(100);
        for (unsigned i = 0; i < COUNT; i++)
            budget_hold(&crew.budgets[i % WORKERS], &shares[i], 15 * (sizes >> (2 * i) & 3), 0);
        for (unsigned i = 0; i < WORKERS; i++)
            exchange(&crew.budgets[i]); /* the end of their turns */
        for (unsigned i = 0; i < COUNT; i++) {
            present += shares[i].partial_bytes > 0;
            waiting += budget_judge(&crew.budgets[i % WORKERS], &shares[i]) == BUDGET_WAIT;
        }
        ck_assert(present == 0 || waiting < present);
    }
}
END_TEST

START_TEST(what_another_worker_gives_back_counts)
{
    crew_begin(100);
    struct budget *one = &crew.budgets[0];
    struct budget *other = &crew.budgets[1];
    budget_take(other, 95);
    exchange(other);
    exchange(one);
    ck_assert(!budget_has_room(one, 10));
    budget_refuse(one);
    exchange(one);
    ck_assert(!budget_came_back(one));
    budget_give(other, 30);
    exchange(other);
    exchange(one);
    ck_assert(budget_came_back(one));
    ck_assert(budget_has_room(one, 10));
}
END_TEST

#define LOOP(test, table)                                                                          \
    tcase_add_loop_test(tcase, test, 0, (int)(sizeof(table) / sizeof(*(table))))

int main(void)
{
    TCase *tcase = tcase_create("budget");
    LOOP(what_is_accepted_has_a_half_for_sure, admissions);
    LOOP(a_message_that_is_not_whole_goes_on_waits_or_ends, judgements);
    tcase_add_test(tcase, half_messages_alone_never_wait_for_each_other);
    tcase_add_test(tcase, who_was_refused_looks_again_when_less_is_there);
    tcase_add_test(tcase, who_is_refused_later_takes_no_chance_from_others);
    LOOP(several_workers_keep_the_limit_together, message_sizes);
    tcase_add_test(tcase, a_no_is_never_said_of_old_numbers);
    tcase_add_test(tcase, one_message_alone_has_all_only_when_no_worker_has_another);
    tcase_add_test(tcase, half_messages_of_several_workers_never_all_wait);
    tcase_add_test(tcase, what_another_worker_gives_back_counts);
    Suite *suite = suite_create("budget");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
