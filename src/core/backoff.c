/* Exponential backoff with full jitter. */
#include "core/backoff.h"

static uint64_t slow_ms(const struct backoff_settings *settings, const struct random_source *random)
{
    uint64_t half_ms = settings->max_delay_ms / 2;
    if (!settings->jitter)
        return settings->max_delay_ms;
    return half_ms + random_below(random, settings->max_delay_ms - half_ms + 1);
}

uint64_t backoff_delay_ms(const struct backoff *backoff, const struct backoff_settings *settings,
                          bool slow, const struct random_source *random)
{
    if (slow)
        return slow_ms(settings, random);

    uint64_t limit_ms = settings->initial_delay_ms;
    uint32_t growth_count = backoff->failure_count;
    if (limit_ms == 0 && growth_count == 0)
        return 0; /* once: then it grows from a delay that can grow */
    if (limit_ms == 0) {
        limit_ms = BACKOFF_SECOND_DELAY_MS;
        growth_count--;
    }
    if (settings->multiplier_milli <= 1000)
        growth_count = 0; /* it would never reach max_delay, however often it is multiplied */
    while (growth_count-- > 0 && limit_ms < settings->max_delay_ms)
        limit_ms = limit_ms * settings->multiplier_milli / 1000;
    if (limit_ms > settings->max_delay_ms)
        limit_ms = settings->max_delay_ms;
    return settings->jitter ? random_below(random, limit_ms + 1) : limit_ms;
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
