/* How long to wait before the next attempt. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/backoff.h"

/* Chance that is one chosen number. */
static void fill_fixed(void *context, void *out, size_t bytes)
{
    ck_assert_uint_eq(bytes, sizeof(uint64_t));
    memcpy(out, context, bytes);
}

/* Chance from a seed (xorshift). */
static void fill_seeded(void *context, void *out, size_t bytes)
{
    uint64_t *state = context;
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    memcpy(out, state, bytes);
}

static void fill_never(void *context, void *out, size_t bytes)
{
    (void)context;
    (void)out;
    (void)bytes;
    ck_abort_msg("nothing is left to chance here");
}

static const struct random_source no_chance = {.fill = fill_never};

static const struct {
    const char *why;
    uint64_t initial_delay_ms;
    uint64_t max_delay_ms;
    uint32_t multiplier_milli;
    uint32_t failure_count;
    bool slow;
    uint64_t expect_ms;
} exact[] = {
    {"the first wait is initial_delay", 250, 30000, 2000, 0, false, 250},
    {"then it doubles", 250, 30000, 2000, 1, false, 500},
    {"and again", 250, 30000, 2000, 2, false, 1000},
    {"the last one below max_delay", 250, 30000, 2000, 6, false, 16000},
    {"the first one cut to it", 250, 30000, 2000, 7, false, 30000},
    {"and so on for ever", 250, 30000, 2000, 1000, false, 30000},
    {"exactly max_delay is not cut", 250, 32000, 2000, 7, false, 32000},
    {"a fraction multiplies exactly", 100, 30000, 1500, 3, false, 337},
    {"1 ms grows too, though 1.5 ms is none", 1, 30000, 1500, 2, false, 2},
    {"and goes all the way", 1, 30000, 1500, 40, false, 30000},
    {"the smallest growth that can be written", 1000, 30000, 1001, 1, false, 1001},
    {"gets there as well", 1, 30000, 1001, 20000, false, 30000},
    {"multiplier 1 does not grow", 250, 30000, 1000, UINT32_MAX, false, 250},
    {"the largest multiplier", 100, 30000, 100000, 1, false, 10000},
    {"initial_delay over max_delay", 60000, 30000, 2000, 0, false, 30000},
    {"initial_delay 0: at once, for the first time", 0, 30000, 2000, 0, false, 0},
    {"then from 100 ms", 0, 30000, 2000, 1, false, 100},
    {"then it doubles", 0, 30000, 2000, 2, false, 200},
    {"up to max_delay", 0, 30000, 2000, 10, false, 30000},
    {"initial_delay 0 and multiplier 1: 100 ms again and again", 0, 30000, 1000, 9, false, 100},
    {"max_delay under 100 ms holds then too", 0, 50, 2000, 1, false, 50},
    {"a count that never stopped neither overflows nor takes time", 250, 30000, 2000, UINT32_MAX,
     false, 30000},
    {"the largest settings saturate", UINT64_MAX - 1, UINT64_MAX, 100000, UINT32_MAX, false,
     UINT64_MAX},
    {"no end to max_delay: growth saturates, and takes no time", 1, UINT64_MAX, 2000, UINT32_MAX,
     false, UINT64_MAX},
    {"no end to max_delay, few failures: still exact", 1, UINT64_MAX, 2000, 40, false, 1ull << 40},
    {"slow, without jitter", 250, 30000, 2000, 0, true, 30000},
    {"slow does not depend on the count", 250, 30000, 2000, 5, true, 30000},
    {"slow holds for initial_delay 0, too", 0, 30000, 2000, 0, true, 30000},
};

START_TEST(without_jitter_the_delay_is_exact)
{
    const struct backoff backoff = {.failure_count = exact[_i].failure_count};
    const struct backoff_settings settings = {.initial_delay_ms = exact[_i].initial_delay_ms,
                                              .max_delay_ms = exact[_i].max_delay_ms,
                                              .multiplier_milli = exact[_i].multiplier_milli,
                                              .jitter = false};
    uint64_t got_ms = backoff_delay_ms(&backoff, &settings, exact[_i].slow, &no_chance);
    ck_assert_msg(got_ms == exact[_i].expect_ms, "%s: got %llu ms", exact[_i].why,
                  (unsigned long long)got_ms);
    ck_assert_uint_eq(backoff.failure_count, exact[_i].failure_count);
}
END_TEST

static const struct {
    const char *why;
    uint64_t initial_delay_ms;
    uint64_t max_delay_ms;
    uint32_t failure_count;
    bool slow;
    uint64_t chance;
    uint64_t expect_ms;
} jittered[] = {
    {"full jitter begins at 0", 250, 30000, 1, false, 0, 0},
    {"and ends at the limit itself", 250, 30000, 1, false, 500, 500},
    {"which is the last value", 250, 30000, 1, false, 501, 0},
    {"at max_delay as well", 250, 30000, 20, false, 30000, 30000},
    {"which is the last value there", 250, 30000, 20, false, 30001, 0},
    {"at once is at once", 0, 30000, 0, false, 12345, 0},
    {"slow begins at half of max_delay", 250, 30000, 0, true, 0, 15000},
    {"and ends at max_delay", 250, 30000, 0, true, 15000, 30000},
    {"which is the last value", 250, 30000, 0, true, 15001, 15000},
    {"an odd max_delay: half is rounded down", 250, 101, 0, true, 0, 50},
    {"and max_delay is still reached", 250, 101, 0, true, 51, 101},
    {"which is the last value", 250, 101, 0, true, 52, 50},
    {"no end to max_delay: no division by 0", UINT64_MAX, UINT64_MAX, 0, false, 7, 7},
};

START_TEST(jitter_spreads_between_its_two_ends)
{
    uint64_t chance = jittered[_i].chance;
    const struct random_source random = {.fill = fill_fixed, .context = &chance};
    const struct backoff backoff = {.failure_count = jittered[_i].failure_count};
    const struct backoff_settings settings = {.initial_delay_ms = jittered[_i].initial_delay_ms,
                                              .max_delay_ms = jittered[_i].max_delay_ms,
                                              .multiplier_milli = 2000,
                                              .jitter = true};
    uint64_t got_ms = backoff_delay_ms(&backoff, &settings, jittered[_i].slow, &random);
    ck_assert_msg(got_ms == jittered[_i].expect_ms, "%s: got %llu ms", jittered[_i].why,
                  (unsigned long long)got_ms);
}
END_TEST

START_TEST(jitter_is_even_over_all_its_values)
{
    enum { LIMIT_MS = 10, DRAW_COUNT = 11000 };
    uint64_t seed = 0x9e3779b97f4a7c15u;
    const struct random_source random = {.fill = fill_seeded, .context = &seed};
    const struct backoff backoff = {0};
    const struct backoff_settings settings = {.initial_delay_ms = LIMIT_MS,
                                              .max_delay_ms = 30000,
                                              .multiplier_milli = 2000,
                                              .jitter = true};
    unsigned counts[LIMIT_MS + 1] = {0};
    for (unsigned i = 0; i < DRAW_COUNT; i++) {
        uint64_t got_ms = backoff_delay_ms(&backoff, &settings, false, &random);
        ck_assert_uint_le(got_ms, LIMIT_MS);
        counts[got_ms]++;
    }
    for (unsigned i = 0; i <= LIMIT_MS; i++) { /* 1000 expected, sigma 30 */
        ck_assert_uint_gt(counts[i], 850);
        ck_assert_uint_lt(counts[i], 1150);
    }
}
END_TEST

START_TEST(the_counter_grows_stays_and_starts_over)
{
    struct backoff backoff = {0};
    backoff_raise(&backoff);
    backoff_raise(&backoff);
    ck_assert_uint_eq(backoff.failure_count, 2);
    backoff_reset(&backoff);
    ck_assert_uint_eq(backoff.failure_count, 0);
    backoff.failure_count = UINT32_MAX - 1;
    backoff_raise(&backoff);
    ck_assert_uint_eq(backoff.failure_count, UINT32_MAX);
    backoff_raise(&backoff); /* and not around to the shortest delay */
    ck_assert_uint_eq(backoff.failure_count, UINT32_MAX);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("backoff");
    tcase_add_loop_test(tcase, without_jitter_the_delay_is_exact, 0, sizeof exact / sizeof *exact);
    tcase_add_loop_test(tcase, jitter_spreads_between_its_two_ends, 0,
                        sizeof jittered / sizeof *jittered);
    tcase_add_test(tcase, jitter_is_even_over_all_its_values);
    tcase_add_test(tcase, the_counter_grows_stays_and_starts_over);

    Suite *suite = suite_create("backoff");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
