/* Slow and simple: what several targets compare with. */
#ifndef WSKEEP_FUZZ_REFERENCE_H
#define WSKEEP_FUZZ_REFERENCE_H

#include "fuzz.h"

/*
 * One character of UTF-8 (RFC 3629), by its number.  Returns its bytes, or 0: these are no
 * character.
 */
static inline size_t reference_character(const uint8_t *data, size_t bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (bytes == 0)
        return 0;
    if (data[0] < 0x80)
        return 1;
    size_t length = data[0] >> 5 == 6 ? 2 : data[0] >> 4 == 14 ? 3 : data[0] >> 3 == 30 ? 4 : 0;
    if (length == 0 || length > bytes)
        return 0;
    uint32_t number = data[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (data[i] >> 6 != 2)
            return 0;
        number = number << 6 | (data[i] & 0x3f);
    }
    bool is_surrogate = number >= 0xd800 && number <= 0xdfff;
    return number < least[length] || number > 0x10ffff || is_surrogate ? 0 : length;
}

/* The bytes at the end may be the beginning of a character: some bytes behind them make it one. */
static inline bool reference_is_begun(const uint8_t *data, size_t bytes)
{
    static const uint8_t seconds[] = {0x80, 0x90, 0xa0, 0xbf};
    uint8_t character[4] = {0, 0x80, 0x80, 0x80};
    if (bytes == 0 || bytes > 3)
        return false;
    memcpy(character, data, bytes);
    for (size_t i = 0; i < sizeof(seconds); i++) {
        if (bytes == 1)
            character[1] = seconds[i];
        if (reference_character(character, sizeof(character)) > bytes)
            return true;
    }
    return false;
}

enum reference_text { REFERENCE_TEXT_WHOLE, REFERENCE_TEXT_BEGUN, REFERENCE_TEXT_WRONG };

static inline enum reference_text reference_utf8(const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        size_t length = reference_character(data + at, bytes - at);
        if (length == 0)
            return reference_is_begun(data + at, bytes - at) ? REFERENCE_TEXT_BEGUN
                                                             : REFERENCE_TEXT_WRONG;
        at += length;
    }
    return REFERENCE_TEXT_WHOLE;
}

/* RFC 6455 7.4 and the IANA registry: what an endpoint may put into a Close. */
static inline bool reference_code_is_sendable(unsigned code)
{
    static const uint16_t codes[] = {1000, 1001, 1002, 1003, 1007, 1008,
                                     1009, 1010, 1011, 1012, 1013, 1014};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (code == codes[i])
            return true;
    return code / 1000 == 3 || code / 1000 == 4;
}

/* What a Close with this body is answered with; 0: it is right. */
static inline uint16_t reference_close_error(const uint8_t *body, size_t bytes)
{
    if (bytes == 0)
        return 0;
    if (bytes == 1 || bytes > 125 || !reference_code_is_sendable(body[0] * 256u + body[1]))
        return 1002;
    return reference_utf8(body + 2, bytes - 2) == REFERENCE_TEXT_WHOLE ? 0 : 1007;
}

#endif
