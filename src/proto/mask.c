/* Masking, eight bytes at a time. */
#include "proto/mask.h"

#include <string.h>

void mask_copy(uint8_t *to, const uint8_t *from, size_t bytes, const uint8_t key[4], uint64_t phase)
{
    uint8_t turned[8]; /* the key as it stands at from[0], twice */
    for (unsigned i = 0; i < 8; i++)
        turned[i] = key[(phase + i) & 3];
    uint64_t word_key;
    memcpy(&word_key, turned, sizeof word_key);

    size_t at = 0;
    for (; at + 8 <= bytes; at += 8) { /* the compiler makes vectors of this */
        uint64_t word;
        memcpy(&word, from + at, sizeof word);
        word ^= word_key;
        memcpy(to + at, &word, sizeof word);
    }
    for (; at < bytes; at++)
        to[at] = from[at] ^ turned[at & 7];
}
