/*
 * Random bytes that nobody can predict: mask keys (RFC 6455 section 5.3), handshake keys, Pings.
 *
 * Taken from the kernel in bulk: a key for each frame must not be a system call for each.
 */
#ifndef WSKEEP_NET_CHANCE_H
#define WSKEEP_NET_CHANCE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/random.h"

enum { CHANCE_POOL_BYTES = 4096 };

struct chance {
    size_t used; /* bytes of the pool that were given out, and are overwritten */
    uint8_t pool[CHANCE_POOL_BYTES];
};

void chance_init(struct chance *chance);

/* Fill out.  Cannot fail: without random bytes from the kernel the process ends. */
void chance_fill(struct chance *chance, void *out, size_t bytes);

/* A mask key: the next four bytes, as one. */
static inline void chance_mask_key(struct chance *chance, uint8_t key[4])
{
    if (chance->used > CHANCE_POOL_BYTES - 4) {
        chance_fill(chance, key, 4);
        return;
    }
    memcpy(key, chance->pool + chance->used, 4);
    memset(chance->pool + chance->used, 0, 4); /* given out once, and never again */
    chance->used += 4;
}

/* The same for core. */
struct random_source chance_source(struct chance *chance);

#endif
