/* Exponential backoff with full jitter. */
#include "core/backoff.h"

/* Growth is reckoned in thousandths of a millisecond: 1 ms times 1.5 has to lead somewhere. */
enum { FINE_PER_MS = 1000, MILLI = 1000 };

/* Evenly spread over low to high, both included. */
static uint64_t between(const struct random_source *random, uint64_t low_ms, uint64_t high_ms)
{
    if (high_ms - low_ms == UINT64_MAX)
        high_ms--; /* the number of values has to fit, too */
    return low_ms + random_below(random, high_ms - low_ms + 1);
}

/* initial_delay * multiplier ^ failure_count, at most max_delay. */
static uint64_t limit_ms(const struct backoff *backoff, const struct backoff_settings *settings)
{
    uint64_t initial_ms = settings->initial_delay_ms;
    uint32_t growth_count = backoff->failure_count;
    if (initial_ms == 0 && growth_count == 0)
        return 0; /* once: then it grows from a delay that can grow */
    if (initial_ms == 0) {
        initial_ms = BACKOFF_SECOND_DELAY_MS;
        growth_count--;
    }
    if (settings->multiplier_milli <= MILLI)
        growth_count = 0; /* it would never reach max_delay, however often it is multiplied */

    if (initial_ms >= settings->max_delay_ms || initial_ms > UINT64_MAX / FINE_PER_MS)
        return settings->max_delay_ms;
    uint64_t fine = initial_ms * FINE_PER_MS;
    while (growth_count-- > 0 && fine / FINE_PER_MS < settings->max_delay_ms) {
        if (fine > UINT64_MAX / settings->multiplier_milli)
            return settings->max_delay_ms;
        fine = fine * settings->multiplier_milli / MILLI;
    }
    return fine / FINE_PER_MS < settings->max_delay_ms ? fine / FINE_PER_MS
                                                       : settings->max_delay_ms;
}

uint64_t backoff_delay_ms(const struct backoff *backoff, const struct backoff_settings *settings,
                          bool slow, const struct random_source *random)
{
    uint64_t high_ms = slow ? settings->max_delay_ms : limit_ms(backoff, settings);
    if (!settings->jitter)
        return high_ms;
    return between(random, slow ? high_ms / 2 : 0, high_ms);
}

void backoff_raise(struct backoff *backoff)
{
    if (backoff->failure_count < UINT32_MAX)
        backoff->failure_count++;
}

void backoff_reset(struct backoff *backoff)
{
    backoff->failure_count = 0;
}
