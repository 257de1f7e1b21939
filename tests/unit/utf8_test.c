/* UTF-8, checked as it comes.  RFC 3629; RFC 6455 section 8.1. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

/* A copy of exactly that size, so that reading on is noticed. */
static bool feed(struct utf8 *utf8, const void *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, data, bytes);
    bool result = utf8_feed(utf8, copy, bytes);
    free(copy);
    return result;
}

/* ---- whole texts -------------------------------------------------------------------------- */

#define TEXT(literal) (literal), sizeof(literal) - 1

static const struct {
    const char *why;
    const char *text;
    size_t bytes;
} valid[] = {
    {"no text at all", TEXT("")},
    {"U+0000, the first of one byte (RFC 3629 3)", TEXT("\0")},
    {"U+007F, the last of one byte (RFC 3629 3)", TEXT("\x7f")},
    {"U+0080, the first of two bytes (RFC 3629 3)", TEXT("\xc2\x80")},
    {"U+07FF, the last of two bytes (RFC 3629 3)", TEXT("\xdf\xbf")},
    {"U+0800, the first of three bytes (RFC 3629 3)", TEXT("\xe0\xa0\x80")},
    {"U+0FFF, the last after E0 (RFC 3629 4)", TEXT("\xe0\xbf\xbf")},
    {"U+1000, the first after E1 (RFC 3629 4)", TEXT("\xe1\x80\x80")},
    {"U+CFFF, the last after EC (RFC 3629 4)", TEXT("\xec\xbf\xbf")},
    {"U+D000, the first after ED (RFC 3629 4)", TEXT("\xed\x80\x80")},
    {"U+D7FF, just below the surrogates (RFC 3629 3)", TEXT("\xed\x9f\xbf")},
    {"U+E000, just above the surrogates (RFC 3629 3)", TEXT("\xee\x80\x80")},
    {"U+FEFF is no mark to take away here (RFC 3629 6)", TEXT("\xef\xbb\xbf")},
    {"U+FFFD, the replacement character", TEXT("\xef\xbf\xbd")},
    {"U+FFFE is no character, but UTF-8 (RFC 3629 4)", TEXT("\xef\xbf\xbe")},
    {"U+FFFF, the last of three bytes (RFC 3629 3)", TEXT("\xef\xbf\xbf")},
    {"U+10000, the first of four bytes (RFC 3629 3)", TEXT("\xf0\x90\x80\x80")},
    {"U+3FFFF, the last after F0 (RFC 3629 4)", TEXT("\xf0\xbf\xbf\xbf")},
    {"U+40000, the first after F1 (RFC 3629 4)", TEXT("\xf1\x80\x80\x80")},
    {"U+FFFFF, the last after F3 (RFC 3629 4)", TEXT("\xf3\xbf\xbf\xbf")},
    {"U+100000, the first after F4 (RFC 3629 4)", TEXT("\xf4\x80\x80\x80")},
    {"U+10FFFF, the last one (RFC 3629 3)", TEXT("\xf4\x8f\xbf\xbf")},
    {"Greek", TEXT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5")},
    {"the examples of RFC 3629 7", TEXT("A\xe2\x89\xa2\xce\x91.\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4"
                                        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xf0\xa3\x8e\xb4")},
    {"one, two, three and four bytes in turn", TEXT("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z")},
    {"a character across the step of 16 bytes",
     TEXT("0123456789abcde\xe2\x82\xac 0123456789abcdef")},
    {"ASCII of more than two steps and a rest", TEXT("0123456789abcdef0123456789abcdef0123456")},
};

START_TEST(a_right_text_is_right_wherever_it_is_split)
{
    const char *text = valid[_i].text;
    size_t bytes = valid[_i].bytes;
    ck_assert_msg(utf8_is_valid((const uint8_t *)text, bytes), "%s", valid[_i].why);
    for (size_t split = 0; split <= bytes; split++) {
        struct utf8 utf8 = {0};
        ck_assert_msg(feed(&utf8, text, split), "%s: %zu", valid[_i].why, split);
        bool between = split == bytes || ((unsigned char)text[split] & 0xc0) != 0x80;
        ck_assert_msg(utf8_is_complete(&utf8) == between, "%s: %zu", valid[_i].why, split);
        ck_assert_msg(feed(&utf8, text + split, bytes - split) && utf8_is_complete(&utf8),
                      "%s: %zu", valid[_i].why, split);
    }
    struct utf8 utf8 = {0};
    for (size_t i = 0; i < bytes; i++)
        ck_assert_msg(feed(&utf8, text + i, 1), "%s: byte %zu", valid[_i].why, i);
    ck_assert_msg(utf8_is_complete(&utf8), "%s", valid[_i].why);
}
END_TEST

static const struct {
    const char *why;
    const char *text;
    size_t bytes;
    size_t fine; /* so many bytes at the front may still become right: the next one cannot */
} invalid[] = {
    {"a continuation alone (RFC 3629 3)", TEXT("\x80"), 0},
    {"the last continuation alone (RFC 3629 3)", TEXT("\xbf"), 0},
    {"a continuation too many (RFC 3629 3)", TEXT("\xc2\x80\x80"), 2},
    {"a continuation after ASCII (RFC 3629 3)", TEXT("a\x80"), 1},
    {"C0 is never there: U+002F of two bytes (RFC 3629 10)", TEXT("\xc0\xaf"), 0},
    {"C1 is never there: U+007F of two bytes (RFC 3629 3)", TEXT("\xc1\xbf"), 0},
    {"U+0000 of two bytes (RFC 3629 10)", TEXT("\xc0\x80"), 0},
    {"U+0000 of three bytes (RFC 3629 3)", TEXT("\xe0\x80\x80"), 1},
    {"U+07FF of three bytes (RFC 3629 3)", TEXT("\xe0\x9f\xbf"), 1},
    {"U+0000 of four bytes (RFC 3629 3)", TEXT("\xf0\x80\x80\x80"), 1},
    {"U+FFFF of four bytes (RFC 3629 3)", TEXT("\xf0\x8f\xbf\xbf"), 1},
    {"U+D800, the first surrogate (RFC 3629 3)", TEXT("\xed\xa0\x80"), 1},
    {"U+DBFF, the last high surrogate (RFC 3629 3)", TEXT("\xed\xaf\xbf"), 1},
    {"U+DC00, the first low surrogate (RFC 3629 3)", TEXT("\xed\xb0\x80"), 1},
    {"U+DFFF, the last surrogate (RFC 3629 3)", TEXT("\xed\xbf\xbf"), 1},
    {"a pair of surrogates, as CESU-8 has it (RFC 3629 3)", TEXT("\xed\xa0\xbd\xed\xb8\x80"), 1},
    {"U+110000, just over the last one (RFC 3629 3)", TEXT("\xf4\x90\x80\x80"), 1},
    {"U+13FFFF, the last after F4 (RFC 3629 4)", TEXT("\xf4\xbf\xbf\xbf"), 1},
    {"F5 is never there (RFC 3629 3)", TEXT("\xf5\x80\x80\x80"), 0},
    {"five bytes, as of old (RFC 3629 12)", TEXT("\xf8\x88\x80\x80\x80"), 0},
    {"six bytes, as of old (RFC 3629 12)", TEXT("\xfc\x84\x80\x80\x80\x80"), 0},
    {"FE is never there (RFC 3629 3)", TEXT("\xfe"), 0},
    {"FF is never there (RFC 3629 3)", TEXT("\xff"), 0},
    {"two bytes, ASCII instead of the second", TEXT("\xc3("), 1},
    {"two bytes, a first byte instead of the second", TEXT("\xc3\xc3"), 1},
    {"three bytes, ASCII instead of the second", TEXT("\xe2(\xa1"), 1},
    {"three bytes, ASCII instead of the third", TEXT("\xe2\x82("), 2},
    {"three bytes, a first byte instead of the third", TEXT("\xe2\x82\xe2"), 2},
    {"four bytes, ASCII instead of the second", TEXT("\xf0(\x8c\xbc"), 1},
    {"four bytes, ASCII instead of the third", TEXT("\xf0\x90(\xbc"), 2},
    {"four bytes, ASCII instead of the fourth", TEXT("\xf0\x90\x8c("), 3},
    {"the bound of the second byte after F4 is not one of the third", TEXT("\xf4\x8f\xc0\xbf"), 2},
    {"over U+10FFFF inside of Greek, as Autobahn 6.4 sends it (RFC 6455 8.1)",
     TEXT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80"
          "edited"),
     12},
    {"Greek and a surrogate, as Autobahn 6.3 sends it (RFC 6455 8.1)",
     TEXT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
          "edited"),
     12},
    {"after a whole step of ASCII", TEXT("0123456789abcdef\xff"), 16},
    {"the last byte of a step", TEXT("0123456789abcde\x80 123456789abcdef"), 15},
    {"the first byte of a step", TEXT("\x80 123456789abcdef"), 0},
    {"in the second word of a step", TEXT("01234567\xc1 9abcdef"), 8},
};

START_TEST(a_wrong_text_is_refused_at_the_first_byte_that_shows_it)
{
    const char *text = invalid[_i].text;
    size_t fine = invalid[_i].fine;
    ck_assert_msg(!utf8_is_valid((const uint8_t *)text, invalid[_i].bytes), "%s", invalid[_i].why);
    struct utf8 utf8 = {0};
    for (size_t i = 0; i < fine; i++)
        ck_assert_msg(feed(&utf8, text + i, 1), "%s: byte %zu", invalid[_i].why, i);
    ck_assert_msg(!feed(&utf8, text + fine, 1), "%s", invalid[_i].why);
    for (size_t split = 0; split <= fine; split++) {
        struct utf8 again = {0};
        ck_assert_msg(feed(&again, text, split), "%s: %zu", invalid[_i].why, split);
        ck_assert_msg(!feed(&again, text + split, fine + 1 - split), "%s: %zu", invalid[_i].why,
                      split);
    }
}
END_TEST

static const struct {
    const char *why;
    const char *text;
    size_t bytes;
} cut[] = {
    {"one of two bytes", TEXT("\xc2")},
    {"one of three bytes", TEXT("\xe2")},
    {"two of three bytes", TEXT("\xe2\x82")},
    {"one of four bytes", TEXT("\xf0")},
    {"two of four bytes", TEXT("\xf0\x9f")},
    {"three of four bytes", TEXT("\xf0\x9f\x98")},
    {"after something whole", TEXT("whole \xe2\x82\xac and half \xe2\x82")},
};

START_TEST(a_text_that_ends_inside_a_character_is_only_not_complete)
{
    struct utf8 utf8 = {0};
    ck_assert_msg(feed(&utf8, cut[_i].text, cut[_i].bytes), "%s", cut[_i].why);
    ck_assert_msg(!utf8_is_complete(&utf8), "%s", cut[_i].why);
    ck_assert_msg(feed(&utf8, "", 0) && !utf8_is_complete(&utf8), "%s", cut[_i].why);
    ck_assert_msg(!utf8_is_valid((const uint8_t *)cut[_i].text, cut[_i].bytes), "%s", cut[_i].why);
}
END_TEST

/* ---- all there is ------------------------------------------------------------------------- */

/* Bytes of the character at the front by its value, as RFC 3629 section 3 defines it; 0: none. */
static unsigned character_bytes(const uint8_t *data)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned bytes = data[0] < 0x80   ? 1
                     : data[0] < 0xc0 ? 0
                     : data[0] < 0xe0 ? 2
                     : data[0] < 0xf0 ? 3
                     : data[0] < 0xf8 ? 4
                                      : 0;
    if (bytes < 2)
        return bytes;
    uint32_t value = data[0] & (0x7fu >> bytes);
    for (unsigned i = 1; i < bytes; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (data[i] & 0x3f);
    }
    bool fits = value >= smallest[bytes] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
    return fits ? bytes : 0;
}

START_TEST(all_sequences_of_three_bytes_are_judged_by_their_value)
{
    for (uint32_t all = 0xe00000; all <= 0xefffff; all++) {
        uint8_t data[3] = {(uint8_t)(all >> 16), (uint8_t)(all >> 8), (uint8_t)all};
        bool expect = character_bytes(data) == 3;
        if (utf8_is_valid(data, 3) != expect)
            ck_abort_msg("%06x: expected %d", (unsigned)all, expect);
    }
}
END_TEST

START_TEST(all_sequences_of_two_bytes_are_judged_by_their_value)
{
    for (uint32_t all = 0; all < 1u << 16; all++) {
        uint8_t data[4] = {(uint8_t)(all >> 8), (uint8_t)all}; /* and no continuation */
        bool expect = character_bytes(data) == 2 || (character_bytes(data) == 1 && data[1] < 0x80);
        ck_assert_msg(utf8_is_valid(data, 2) == expect, "%04x: expected %d", (unsigned)all, expect);
    }
}
END_TEST

START_TEST(sequences_of_four_bytes_are_judged_by_their_value)
{
    static const uint8_t ends[] = {0x00, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xff};
    for (unsigned first = 0xf0; first <= 0xff; first++)
        for (unsigned second = 0; second <= 0xff; second++)
            for (unsigned third = 0; third < sizeof ends; third++)
                for (unsigned fourth = 0; fourth < sizeof ends; fourth++) {
                    uint8_t data[4] = {(uint8_t)first, (uint8_t)second, ends[third], ends[fourth]};
                    bool expect = character_bytes(data) == 4;
                    ck_assert_msg(utf8_is_valid(data, 4) == expect, "%02x%02x%02x%02x: expected %d",
                                  data[0], data[1], data[2], data[3], expect);
                }
}
END_TEST

/* Every place of a bad byte, and every length of what is around it: the steps have ends. */
START_TEST(a_bad_byte_is_found_wherever_it_stands_in_ascii)
{
    uint8_t data[70];
    for (size_t bytes = 1; bytes <= sizeof data; bytes++)
        for (size_t at = 0; at < bytes; at++) {
            memset(data, 'a', sizeof data);
            ck_assert(utf8_is_valid(data, bytes));
            data[at] = 0x80;
            ck_assert_msg(!utf8_is_valid(data, bytes), "byte %zu of %zu", at, bytes);
        }
}
END_TEST

START_TEST(a_character_is_found_wherever_it_stands_in_ascii)
{
    uint8_t data[70];
    for (size_t at = 0; at + 4 <= sizeof data; at++) {
        memset(data, 'a', sizeof data);
        memcpy(data + at, "\xf0\x9f\x98\x80", 4);
        ck_assert_msg(utf8_is_valid(data, sizeof data), "byte %zu", at);
        ck_assert_msg(!utf8_is_valid(data, at + 3), "byte %zu", at);
        data[at + 3] = 'a';
        ck_assert_msg(!utf8_is_valid(data, sizeof data), "byte %zu", at);
    }
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("utf8");
    LOOP(a_right_text_is_right_wherever_it_is_split, valid);
    LOOP(a_wrong_text_is_refused_at_the_first_byte_that_shows_it, invalid);
    LOOP(a_text_that_ends_inside_a_character_is_only_not_complete, cut);
    tcase_add_test(tcase, all_sequences_of_two_bytes_are_judged_by_their_value);
    tcase_add_test(tcase, all_sequences_of_three_bytes_are_judged_by_their_value);
    tcase_add_test(tcase, sequences_of_four_bytes_are_judged_by_their_value);
    tcase_add_test(tcase, a_bad_byte_is_found_wherever_it_stands_in_ascii);
    tcase_add_test(tcase, a_character_is_found_wherever_it_stands_in_ascii);

    Suite *suite = suite_create("utf8");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
