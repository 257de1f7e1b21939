/* Masking, 64 bytes at a time. */
#include "proto/mask.h"

#include <string.h>

typedef uint64_t vector __attribute__((vector_size(16))); /* a register of every 64-bit machine */

enum { BLOCK_VECTORS = 4, BLOCK_BYTES = BLOCK_VECTORS * sizeof(vector) };

void mask_copy(uint8_t *to, const uint8_t *from, size_t bytes, const uint8_t key[4], uint64_t phase)
{
    uint8_t turned[4]; /* the key as it stands at from[0] */
    for (unsigned i = 0; i < 4; i++)
        turned[i] = key[(phase + i) & 3];
    uint32_t key_word;
    memcpy(&key_word, turned, sizeof key_word);
    uint64_t word_key = (uint64_t)key_word << 32 | key_word;

    size_t at = 0;
    for (; at + BLOCK_BYTES <= bytes; at += BLOCK_BYTES) {
        const vector vector_key = {word_key, word_key};
        vector block[BLOCK_VECTORS];
        memcpy(block, from + at, sizeof block);
        for (unsigned i = 0; i < BLOCK_VECTORS; i++)
            block[i] ^= vector_key;
        memcpy(to + at, block, sizeof block);
    }
    for (; at + sizeof word_key <= bytes; at += sizeof word_key) {
        uint64_t word;
        memcpy(&word, from + at, sizeof word);
        word ^= word_key;
        memcpy(to + at, &word, sizeof word);
    }
    for (; at < bytes; at++)
        to[at] = from[at] ^ turned[at & 3];
}
