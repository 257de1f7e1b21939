/* What was exercised, as a table. */
#include "tally.h"

#include <inttypes.h>
#include <stdio.h>

#define TALLY_TEXT(name, text) text,
static const char *const branch_texts[TALLY_BRANCH_COUNT] = {TALLY_BRANCHES(TALLY_TEXT)};
#undef TALLY_TEXT

static void row(const char *group, const char *name, uint64_t count)
{
    printf("%12" PRIu64 "  %s%s%s\n", count, group, *group ? ": " : "", name);
}

void tally_print(const struct tally *tally)
{
    for (unsigned i = 0; i < PLAN_PROFILE_COUNT; i++)
        row("profile", plan_profile_name((enum plan_profile)i), tally->profiles[i]);
    for (unsigned i = 0; i < ATTEMPT_COUNT; i++)
        row("attempt", plan_attempt_name((enum plan_attempt)i), tally->attempts[i]);
    for (unsigned i = 0; i < FATE_COUNT; i++)
        row("connection", plan_fate_name((enum plan_fate)i), tally->fates[i]);
    for (unsigned i = 0; i < PONG_COUNT; i++)
        row("answers Pings", plan_pong_name((enum plan_pong)i), tally->pongs[i]);
    for (unsigned i = 0; i < ENDING_COUNT; i++)
        row("client", plan_ending_name((enum plan_ending)i), tally->endings[i]);
    for (unsigned i = 0; i < TALLY_BRANCH_COUNT; i++)
        row("", branch_texts[i], tally->branches[i]);
    for (unsigned from = 0; from < SESSION_STATE_COUNT; from++)
        for (unsigned to = 0; to < SESSION_STATE_COUNT; to++)
            if (tally->moves[from][to] > 0)
                printf("%12" PRIu64 "  move: %s -> %s\n", tally->moves[from][to],
                       session_state_name((enum session_state)from),
                       session_state_name((enum session_state)to));
    for (unsigned i = 1; i < CAUSE_COUNT; i++)
        if (tally->causes[i] > 0)
            row("cause of a connection's end", cause_name((enum cause)i), tally->causes[i]);
    for (unsigned i = 0; i < CAUSE_COUNT; i++)
        if (tally->endings_by[i] > 0)
            row("cause of a session's end", cause_name((enum cause)i), tally->endings_by[i]);
    for (unsigned i = 0; i < CAUSE_COUNT; i++)
        if (tally->given_up[i] > 0)
            row("messages given up", cause_name((enum cause)i), tally->given_up[i]);
    printf("%12" PRIu64 "  hours simulated\n", tally->simulated_ms / 3600000);
}
