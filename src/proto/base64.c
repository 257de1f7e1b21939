/* Base64. */
#include "proto/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const uint8_t *data, size_t bytes, char *out)
{
    size_t at = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t group = (uint32_t)data[i] << 16;
        if (i + 1 < bytes)
            group |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < bytes)
            group |= data[i + 2];
        out[at++] = digits[group >> 18];
        out[at++] = digits[group >> 12 & 63];
        out[at++] = i + 1 < bytes ? digits[group >> 6 & 63] : '=';
        out[at++] = i + 2 < bytes ? digits[group & 63] : '=';
    }
    out[at] = '\0';
}
