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
    Suite *suite = suite_create("budget");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
