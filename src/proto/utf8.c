/* UTF-8, checked as it comes.  RFC 3629 section 4 has the table of what may follow what. */
#include "proto/utf8.h"

#include <string.h>

/* The first byte of a character of two to four bytes: what must follow.  False: no such. */
static bool begin_character(struct utf8 *utf8, uint8_t byte)
{
    utf8->low = 0x80;
    utf8->high = 0xbf;
    if (byte >= 0xc2 && byte <= 0xdf) {
        utf8->left = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        utf8->left = 2;
        if (byte == 0xe0)
            utf8->low = 0xa0; /* below: overlong */
        if (byte == 0xed)
            utf8->high = 0x9f; /* above: surrogates */
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        utf8->left = 3;
        if (byte == 0xf0)
            utf8->low = 0x90; /* below: overlong */
        if (byte == 0xf4)
            utf8->high = 0x8f; /* above: over U+10FFFF */
    } else {
        return false;
    }
    return true;
}

/* How many bytes at the front are ASCII, counted in steps of 16. */
static size_t skip_ascii(const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    for (; at + 16 <= bytes; at += 16) {
        uint64_t words[2];
        memcpy(words, data + at, sizeof words);
        if ((words[0] | words[1]) & UINT64_C(0x8080808080808080))
            break;
    }
    return at;
}

bool utf8_feed(struct utf8 *utf8, const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        if (utf8->left == 0) {
            at += skip_ascii(data + at, bytes - at);
            while (at < bytes && data[at] < 0x80)
                at++;
            if (at == bytes)
                return true;
            if (!begin_character(utf8, data[at++]))
                return false;
            continue;
        }
        if (data[at] < utf8->low || data[at] > utf8->high)
            return false;
        at++;
        utf8->left--;
        utf8->low = 0x80; /* only the second byte has bounds of its own */
        utf8->high = 0xbf;
    }
    return true;
}

bool utf8_is_complete(const struct utf8 *utf8)
{
    return utf8->left == 0;
}

bool utf8_is_valid(const uint8_t *data, size_t bytes)
{
    struct utf8 utf8 = {0};
    return utf8_feed(&utf8, data, bytes) && utf8_is_complete(&utf8);
}
