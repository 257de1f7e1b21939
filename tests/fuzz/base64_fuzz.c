/* Base64: what is written is what comes back.  Input: bytes. */
#include "proto/base64.h"

#include "fuzz.h"
#include "proto/handshake.h"

static unsigned value_of(char digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return (unsigned)(digit - 'A');
    if (digit >= 'a' && digit <= 'z')
        return (unsigned)(digit - 'a') + 26;
    if (digit >= '0' && digit <= '9')
        return (unsigned)(digit - '0') + 52;
    expect(digit == '+' || digit == '/');
    return digit == '+' ? 62 : 63;
}

/* RFC 4648 section 4, bit by bit.  Returns the bytes. */
static size_t decode(const char *text, uint8_t *out)
{
    unsigned bits = 0;
    unsigned bit_count = 0;
    size_t bytes = 0;
    for (; *text && *text != '='; text++) {
        bits = bits << 6 | value_of(*text);
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            out[bytes++] = (uint8_t)(bits >> bit_count);
            bits &= (1u << bit_count) - 1;
        }
    }
    expect(bits == 0 && strspn(text, "=") == strlen(text) && strlen(text) <= 2);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    size_t text_bytes = BASE64_BYTES(data_bytes);
    uint8_t *exact = fuzz_copy(data, data_bytes);
    uint8_t *back = fuzz_allocate(text_bytes);
    char *text = fuzz_allocate(text_bytes + 1);
    base64_encode(exact, data_bytes, text);
    expect(strlen(text) == text_bytes && text_bytes % 4 == 0);
    expect(decode(text, back) == data_bytes);
    expect(memcmp(back, exact, data_bytes) == 0);
    if (data_bytes >= 16) {
        char key[HANDSHAKE_KEY_BYTES + 1];
        handshake_key(exact, key);
        expect(strlen(key) == HANDSHAKE_KEY_BYTES && decode(key, back) == 16);
        expect(memcmp(back, exact, 16) == 0);
    }
    free(text);
    free(back);
    free(exact);
    return 0;
}
