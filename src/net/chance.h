/*
 * Random bytes that nobody can predict: mask keys (RFC 6455 section 5.3), handshake keys, Pings.
 *
 * Taken from the kernel in bulk: a key for each frame must not be a system call for each.
 */
#ifndef WSKEEP_NET_CHANCE_H
#define WSKEEP_NET_CHANCE_H

#include <stddef.h>
#include <stdint.h>

#include "core/random.h"

enum { CHANCE_POOL_BYTES = 4096 };

struct chance {
    size_t used; /* bytes of the pool that were given out, and are overwritten */
    uint8_t pool[CHANCE_POOL_BYTES];
};

void chance_init(struct chance *chance);

/* Fill out.  Cannot fail: without random bytes from the kernel the process ends. */
void chance_fill(struct chance *chance, void *out, size_t bytes);

/* The same for core. */
struct random_source chance_source(struct chance *chance);

#endif
