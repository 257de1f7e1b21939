/* The one source of chance: a seed.  splitmix64, which needs no warming up. */
#ifndef WSKEEP_SIM_CHANCE_H
#define WSKEEP_SIM_CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *chance)
{
    uint64_t z = (chance->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 to bound - 1; 0 for a bound of 0. */
static inline uint64_t chance_below(struct chance *chance, uint64_t bound)
{
    return bound > 0 ? chance_next(chance) % bound : 0;
}

static inline uint64_t chance_between(struct chance *chance, uint64_t low, uint64_t high)
{
    return low + chance_below(chance, high - low + 1);
}

static inline bool chance_one_in(struct chance *chance, uint64_t bound)
{
    return chance_below(chance, bound) == 0;
}

/* Each order of magnitude (of two) between low and high is about as likely as any other. */
static inline uint64_t chance_scale(struct chance *chance, uint64_t low, uint64_t high)
{
    uint64_t span = high - low;
    unsigned bits = 0;
    while (bits < 63 && (span >> bits) > 0)
        bits++;
    unsigned shift = (unsigned)chance_below(chance, bits + 1);
    uint64_t limit = shift >= 63 ? span : ((uint64_t)1 << shift) - 1;
    if (limit > span)
        limit = span;
    return low + chance_below(chance, limit + 1);
}

/* One of a table's values. */
#define CHANCE_OF(chance, table) ((table)[chance_below((chance), sizeof(table) / sizeof *(table))])

static inline void chance_fill(void *context, void *out, size_t bytes)
{
    struct chance *chance = context;
    uint8_t *at = out;
    while (bytes > 0) {
        uint64_t value = chance_next(chance);
        for (unsigned i = 0; i < 8 && bytes > 0; i++, bytes--)
            *at++ = (uint8_t)(value >> (8 * i));
    }
}

#endif
