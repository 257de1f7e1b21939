/* Digests by OpenSSL. */
#include "net/digest.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

void digest_sha1(const void *data, size_t bytes, uint8_t digest[20])
{
    if (!SHA1(data, bytes, digest))
        memset(digest, 0, 20); /* no memory: the handshake fails, and is tried again */
}

bool digest_equals(const char *shown, size_t shown_bytes, const char *right, size_t right_bytes)
{
    uint8_t one[SHA256_DIGEST_LENGTH];
    uint8_t other[SHA256_DIGEST_LENGTH];
    return SHA256((const uint8_t *)shown, shown_bytes, one) &&
           SHA256((const uint8_t *)right, right_bytes, other) && /* without memory nobody is */
           CRYPTO_memcmp(one, other, sizeof(one)) == 0;
}
