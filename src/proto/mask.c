/* Masking, 64 bytes at a time. */
#include "proto/mask.h"

#include <string.h>

typedef uint64_t vector __attribute__((vector_size(16))); /* a register of every 64-bit machine */

/* The key as it stands at the first byte, twice. */
static uint64_t word_of(const uint8_t key[4], uint64_t phase)
{
    uint8_t turned[4] = {key[0], key[1], key[2], key[3]};
    if (phase & 3) /* only where a payload goes on */
        for (unsigned i = 0; i < 4; i++)
            turned[i] = key[(phase + i) & 3];
    uint32_t half;
    memcpy(&half, turned, sizeof half);
    return (uint64_t)half << 32 | half;
}

/* Spelled out: a loop over four vectors would go through memory at -O2. */
static void mask_64_bytes(uint8_t *to, const uint8_t *from, vector key)
{
    vector a;
    vector b;
    vector c;
    vector d;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + 16, sizeof b);
    memcpy(&c, from + 32, sizeof c);
    memcpy(&d, from + 48, sizeof d);
    a ^= key;
    b ^= key;
    c ^= key;
    d ^= key;
    memcpy(to, &a, sizeof a);
    memcpy(to + 16, &b, sizeof b);
    memcpy(to + 32, &c, sizeof c);
    memcpy(to + 48, &d, sizeof d);
}

void mask_copy(uint8_t *to, const uint8_t *from, size_t bytes, const uint8_t key[4], uint64_t phase)
{
    const uint64_t word_key = word_of(key, phase);
    const vector vector_key = {word_key, word_key};
    size_t at = 0;
    for (; at + 64 <= bytes; at += 64)
        mask_64_bytes(to + at, from + at, vector_key);
    for (; at + 8 <= bytes; at += 8) {
        uint64_t word;
        memcpy(&word, from + at, sizeof word);
        word ^= word_key;
        memcpy(to + at, &word, sizeof word);
    }
    uint8_t bytes_key[8];
    memcpy(bytes_key, &word_key, sizeof bytes_key);
    for (; at < bytes; at++)
        to[at] = from[at] ^ bytes_key[at & 7];
}
