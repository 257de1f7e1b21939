/* How long to wait before the next attempt: exponential, bounded, spread by full jitter. */
#ifndef WSKEEP_CORE_BACKOFF_H
#define WSKEEP_CORE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "core/random.h"
#include "core/settings.h"

/* With `initial_delay: 0ms` only the first retry is immediate: then it grows from here. */
enum { BACKOFF_SECOND_DELAY_MS = 100 };

struct backoff {
    uint32_t failure_count; /* in a row; what the delay grows with */
};

/*
 * The delay before the next attempt.  slow: between half of max_delay and max_delay
 * (reconnect-slow).  Does not count: see backoff_raise().
 */
uint64_t backoff_delay_ms(const struct backoff *backoff, const struct backoff_settings *settings,
                          bool slow, const struct random_source *random);

/* One more in a row that led nowhere. */
void backoff_raise(struct backoff *backoff);

/* A connection was open for stable_after: start over. */
void backoff_reset(struct backoff *backoff);

#endif
