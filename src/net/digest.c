/* SHA-1 by OpenSSL. */
/* The plain functions: unlike what replaces them they need no memory and no part of the library
 * that is made at its first use, so nothing of this can fail while clients are served. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "net/digest.h"

void digest_sha1(const void *data, size_t bytes, uint8_t digest[20])
{
    SHA_CTX sha;
    SHA1_Init(&sha);
    SHA1_Update(&sha, data, bytes);
    SHA1_Final(digest, &sha);
}
