/* Chance, handed in: the daemon gives a CSPRNG, the simulation its seed. */
#ifndef WSKEEP_CORE_RANDOM_H
#define WSKEEP_CORE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random_source {
    void (*fill)(void *context, void *out, size_t bytes);
    void *context;
};

/* Evenly spread over 0 to bound - 1; bound is not 0. */
static inline uint64_t random_below(const struct random_source *random, uint64_t bound)
{
    uint64_t value;
    random->fill(random->context, &value, sizeof value);
    return value % bound; /* the bias is under 2^-30 for every delay this is used for */
}

#endif
