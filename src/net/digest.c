/* Digests by OpenSSL. */
/* The plain functions: unlike what replaces them they need no memory and no part of the library
 * that is made at its first use, so nothing of this can fail while clients are served. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "net/digest.h"

void digest_sha1(const void *data, size_t bytes, uint8_t digest[20])
{
    SHA_CTX sha;
    SHA1_Init(&sha);
    SHA1_Update(&sha, data, bytes);
    SHA1_Final(digest, &sha);
}

static void digest_sha256(const char *text, size_t bytes, uint8_t digest[SHA256_DIGEST_LENGTH])
{
    SHA256_CTX sha;
    SHA256_Init(&sha);
    SHA256_Update(&sha, text, bytes);
    SHA256_Final(digest, &sha);
}

bool digest_equals(const char *shown, size_t shown_bytes, const char *right, size_t right_bytes)
{
    uint8_t one[SHA256_DIGEST_LENGTH];
    uint8_t other[SHA256_DIGEST_LENGTH];
    digest_sha256(shown, shown_bytes, one);
    digest_sha256(right, right_bytes, other);
    return CRYPTO_memcmp(one, other, sizeof(one)) == 0;
}
