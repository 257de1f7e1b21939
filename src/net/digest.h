/* SHA-1, for Sec-WebSocket-Accept only (RFC 6455 section 4.2.2), and the comparison of secrets. */
#ifndef WSKEEP_NET_DIGEST_H
#define WSKEEP_NET_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void digest_sha1(const void *data, size_t bytes, uint8_t digest[20]);

/* Is it this secret?  How long that takes says nothing about where they differ, nor about the
 * length of the right one. */
bool digest_equals(const char *shown, size_t shown_bytes, const char *right, size_t right_bytes);

#endif
