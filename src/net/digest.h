/* SHA-1, for Sec-WebSocket-Accept only (RFC 6455 section 4.2.2). */
#ifndef WSKEEP_NET_DIGEST_H
#define WSKEEP_NET_DIGEST_H

#include <stddef.h>
#include <stdint.h>

void digest_sha1(const void *data, size_t bytes, uint8_t digest[20]);

#endif
