/* SHA-1 by OpenSSL. */
#include "net/digest.h"

#include <openssl/sha.h>

void digest_sha1(const void *data, size_t bytes, uint8_t digest[20])
{
    SHA1(data, bytes, digest);
}
