/*
 * Masking of payloads, at memory speed.  RFC 6455 section 5.3.
 *
 * Masking is its own inverse: the same call masks and unmasks.
 */
#ifndef WSKEEP_PROTO_MASK_H
#define WSKEEP_PROTO_MASK_H

#include <stddef.h>
#include <stdint.h>

/*
 * to[i] = from[i] ^ key[(phase + i) % 4] for all i < bytes.
 *
 * from and to are the same address, or do not overlap.  phase is the offset of from[0]
 * in the frame's payload; only its value modulo 4 counts.
 */
void mask_copy(uint8_t *to, const uint8_t *from, size_t bytes, const uint8_t key[4],
               uint64_t phase);

#endif
