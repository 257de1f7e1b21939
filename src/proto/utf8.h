/*
 * UTF-8, checked as it comes, split anywhere.  RFC 3629; RFC 6455 section 8.1.
 *
 * Overlong forms, surrogates and values over U+10FFFF are refused at the first byte that
 * shows them (fail fast).
 */
#ifndef WSKEEP_PROTO_UTF8_H
#define WSKEEP_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is the start of a text. */
struct utf8 {
    uint8_t left; /* continuation bytes still owed by the current character, 0 to 3 */
    uint8_t low;  /* bounds of the next continuation byte, while left is not 0 */
    uint8_t high;
};

/* Check the next bytes of a text.  False at the first byte that cannot be right. */
bool utf8_feed(struct utf8 *utf8, const uint8_t *data, size_t bytes);

/* True when no character is half here: the text may end now. */
bool utf8_is_complete(const struct utf8 *utf8);

/* A whole text at once: the same as feed and is_complete from the start. */
bool utf8_is_valid(const uint8_t *data, size_t bytes);

#endif
