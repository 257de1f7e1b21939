/* UTF-8, whole and split.  Input: the text. */
#include "proto/utf8.h"

#include "reference.h"

/* In pieces; stops at the first that is refused, as the reader does. */
static bool feed_split(const uint8_t *data, size_t bytes, struct fuzz_chance *chance,
                       struct utf8 *utf8)
{
    for (size_t at = 0; at < bytes;) {
        size_t piece = chance ? fuzz_piece(chance, bytes - at) : 1;
        uint8_t *exact = fuzz_copy(data + at, piece);
        bool is_right = utf8_feed(utf8, exact, piece);
        free(exact);
        if (!is_right)
            return false;
        at += piece;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    uint8_t *exact = fuzz_copy(data, data_bytes);
    struct utf8 whole = {0};
    enum reference_text expected = reference_utf8(data, data_bytes);
    bool is_right = utf8_feed(&whole, exact, data_bytes);
    expect(is_right == (expected != REFERENCE_TEXT_WRONG));
    expect(utf8_is_valid(exact, data_bytes) == (expected == REFERENCE_TEXT_WHOLE));
    if (is_right)
        expect(utf8_is_complete(&whole) == (expected == REFERENCE_TEXT_WHOLE));
    free(exact);

    for (uint64_t round = 0; round < 3; round++) { /* the first: byte by byte */
        struct fuzz_chance chance = fuzz_chance(data, data_bytes, round);
        struct utf8 split = {0};
        expect(feed_split(data, data_bytes, round > 0 ? &chance : NULL, &split) == is_right);
        if (is_right)
            expect(split.left == whole.left);
    }

    /* Fail fast: all bytes before the first wrong one are let through. */
    struct utf8 fast = {0};
    for (size_t at = 0; at < data_bytes && at < 256; at++) {
        bool may_go_on = reference_utf8(data, at + 1) != REFERENCE_TEXT_WRONG;
        expect(utf8_feed(&fast, data + at, 1) == may_go_on);
        if (!may_go_on)
            break;
    }
    return 0;
}
