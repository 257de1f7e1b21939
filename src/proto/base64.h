/* Base64.  RFC 4648 section 4. */
#ifndef WSKEEP_PROTO_BASE64_H
#define WSKEEP_PROTO_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Characters of so many bytes, without the end. */
#define BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4)

/* out gets BASE64_BYTES(bytes) characters, and its end. */
void base64_encode(const uint8_t *data, size_t bytes, char *out);

#endif
