/* Frame headers, as bytes and as fields. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"

static const struct frame_rules from_server = {.payload_bytes_max = INT64_MAX};
static const struct frame_rules from_client = {.masked = true, .payload_bytes_max = INT64_MAX};
static const struct frame_rules deflated = {.rsv1_allowed = true, .payload_bytes_max = INT64_MAX};
static const struct frame_rules at_most_1000 = {.payload_bytes_max = 1000};
static const struct frame_rules at_most_70000 = {.payload_bytes_max = 70000};
static const struct frame_rules nothing = {.payload_bytes_max = 0};

/* Decode, and check that what is not FRAME_OK neither consumes nor writes anything. */
static enum frame_result decode(const uint8_t *data, size_t bytes, const struct frame_rules *rules,
                                struct frame_header *header, size_t *header_bytes)
{
    struct frame_header before;
    memset(header, 0x5a, sizeof *header);
    memcpy(&before, header, sizeof before);
    *header_bytes = 99;
    uint8_t *copy = malloc(bytes ? bytes : 1); /* of exactly that size: reading on is noticed */
    memcpy(copy, data, bytes);
    enum frame_result result = frame_header_decode(copy, bytes, rules, header, header_bytes);
    free(copy);
    if (result != FRAME_OK) {
        ck_assert_uint_eq(*header_bytes, 0);
        ck_assert_mem_eq(header, &before, sizeof before);
    }
    return result;
}

static void assert_same(const struct frame_header *got, const struct frame_header *expect,
                        const char *why)
{
    ck_assert_msg(got->fin == expect->fin && got->rsv1 == expect->rsv1 &&
                      got->masked == expect->masked && got->opcode == expect->opcode &&
                      got->payload_bytes == expect->payload_bytes &&
                      memcmp(got->mask_key, expect->mask_key, 4) == 0,
                  "%s", why);
}

/* ---- what is right ------------------------------------------------------------------------ */

static const struct {
    const char *why;
    const struct frame_rules *rules;
    size_t bytes;
    uint8_t data[FRAME_HEADER_BYTES_MAX];
    struct frame_header expect;
} accepted[] = {
    {"unmasked text (5.7)",
     &from_server,
     2,
     {0x81, 0x05},
     {.fin = true, .opcode = FRAME_TEXT, .payload_bytes = 5}},
    {"masked text (5.7)",
     &from_client,
     6,
     {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d},
     {true, false, true, {0x37, 0xfa, 0x21, 0x3d}, FRAME_TEXT, 5}},
    {"the first fragment (5.7)",
     &from_server,
     2,
     {0x01, 0x03},
     {.opcode = FRAME_TEXT, .payload_bytes = 3}},
    {"the last fragment (5.7)",
     &from_server,
     2,
     {0x80, 0x02},
     {.fin = true, .opcode = FRAME_CONTINUATION, .payload_bytes = 2}},
    {"a fragment in the middle", &from_server, 2, {0x00, 0x00}, {.opcode = FRAME_CONTINUATION}},
    {"a ping (5.7)",
     &from_server,
     2,
     {0x89, 0x05},
     {.fin = true, .opcode = FRAME_PING, .payload_bytes = 5}},
    {"a masked pong (5.7)",
     &from_client,
     6,
     {0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d},
     {true, false, true, {0x37, 0xfa, 0x21, 0x3d}, FRAME_PONG, 5}},
    {"a close with nothing in it (5.5.1)",
     &from_server,
     2,
     {0x88, 0x00},
     {.fin = true, .opcode = FRAME_CLOSE}},
    {"the largest control frame (5.5)",
     &from_server,
     2,
     {0x89, 0x7d},
     {.fin = true, .opcode = FRAME_PING, .payload_bytes = 125}},
    {"a control frame is not judged by the data's limit",
     &nothing,
     2,
     {0x89, 0x7d},
     {.fin = true, .opcode = FRAME_PING, .payload_bytes = 125}},
    {"256 bytes (5.7)",
     &from_server,
     4,
     {0x82, 0x7e, 0x01, 0x00},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = 256}},
    {"64 KiB (5.7)",
     &from_server,
     10,
     {0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = 65536}},
    {"the last of 7 bits (5.2)",
     &from_server,
     2,
     {0x82, 0x7d},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = 125}},
    {"the first of 16 bits (5.2)",
     &from_server,
     4,
     {0x82, 0x7e, 0x00, 0x7e},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = 126}},
    {"the last of 16 bits (5.2)",
     &from_server,
     4,
     {0x82, 0x7e, 0xff, 0xff},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = 65535}},
    {"the last of 63 bits (5.2)",
     &from_server,
     10,
     {0x82, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = INT64_MAX}},
    {"every byte of 63 bits in its place (5.2)",
     &from_server,
     10,
     {0x82, 0x7f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = UINT64_C(0x0123456789abcdef)}},
    {"the longest header",
     &from_client,
     14,
     {0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4},
     {true, false, true, {1, 2, 3, 4}, FRAME_BINARY, UINT64_C(1) << 32}},
    {"a mask key of zeros is a key (5.3)",
     &from_client,
     6,
     {0x82, 0x81, 0, 0, 0, 0},
     {.fin = true, .masked = true, .opcode = FRAME_BINARY, .payload_bytes = 1}},
    {"compressed text (RFC 7692 6)",
     &deflated,
     2,
     {0xc1, 0x05},
     {.fin = true, .rsv1 = true, .opcode = FRAME_TEXT, .payload_bytes = 5}},
    {"the first fragment of a compressed binary (RFC 7692 6.1)",
     &deflated,
     2,
     {0x42, 0x05},
     {.rsv1 = true, .opcode = FRAME_BINARY, .payload_bytes = 5}},
    {"not compressed, where it could be (RFC 7692 6)",
     &deflated,
     2,
     {0x81, 0x05},
     {.fin = true, .opcode = FRAME_TEXT, .payload_bytes = 5}},
    {"exactly what is allowed, 16 bits",
     &at_most_1000,
     4,
     {0x82, 0x7e, 0x03, 0xe8},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = 1000}},
    {"exactly what is allowed, 64 bits",
     &at_most_70000,
     10,
     {0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0x11, 0x70},
     {.fin = true, .opcode = FRAME_BINARY, .payload_bytes = 70000}},
    {"nothing, where nothing is allowed",
     &nothing,
     2,
     {0x81, 0x00},
     {.fin = true, .opcode = FRAME_TEXT}},
};

START_TEST(a_header_is_read_when_its_last_byte_is_here_and_not_before)
{
    struct frame_header header;
    size_t header_bytes;
    uint8_t data[FRAME_HEADER_BYTES_MAX + 3];
    memset(data, 0xff, sizeof data); /* of the payload nothing is looked at */
    memcpy(data, accepted[_i].data, accepted[_i].bytes);
    for (size_t bytes = 0; bytes < accepted[_i].bytes; bytes++)
        ck_assert_msg(decode(data, bytes, accepted[_i].rules, &header, &header_bytes) ==
                          FRAME_NEED_MORE,
                      "%s: %zu bytes", accepted[_i].why, bytes);
    for (size_t bytes = accepted[_i].bytes; bytes <= sizeof data; bytes++) {
        enum frame_result got = decode(data, bytes, accepted[_i].rules, &header, &header_bytes);
        ck_assert_msg(got == FRAME_OK, "%s: got \"%s\"", accepted[_i].why, frame_result_text(got));
        ck_assert_msg(header_bytes == accepted[_i].bytes, "%s", accepted[_i].why);
        assert_same(&header, &accepted[_i].expect, accepted[_i].why);
    }
}
END_TEST

START_TEST(a_header_is_written_as_it_was_read)
{
    uint8_t out[FRAME_HEADER_BYTES_MAX];
    ck_assert_msg(frame_header_encode(&accepted[_i].expect, out) == accepted[_i].bytes, "%s",
                  accepted[_i].why);
    ck_assert_msg(memcmp(out, accepted[_i].data, accepted[_i].bytes) == 0, "%s", accepted[_i].why);
    ck_assert_uint_eq(
        frame_wire_bytes(accepted[_i].expect.payload_bytes, accepted[_i].expect.masked),
        accepted[_i].bytes + accepted[_i].expect.payload_bytes);
}
END_TEST

/* ---- what is wrong ------------------------------------------------------------------------ */

static const struct {
    const char *why;
    const struct frame_rules *rules;
    size_t bytes; /* that show it: with one less, more is needed */
    uint8_t data[FRAME_HEADER_BYTES_MAX];
    enum frame_result expect;
} refused[] = {
    {"opcode 3 is reserved (5.2)", &from_server, 1, {0x83}, FRAME_ERR_OPCODE},
    {"opcode 7 is reserved (5.2)", &from_server, 1, {0x87}, FRAME_ERR_OPCODE},
    {"opcode 11 is reserved (5.2)", &from_server, 1, {0x8b}, FRAME_ERR_OPCODE},
    {"opcode 15 is reserved (5.2)", &from_server, 1, {0x8f}, FRAME_ERR_OPCODE},
    {"a reserved opcode in a fragment (5.2)", &from_client, 1, {0x03}, FRAME_ERR_OPCODE},
    {"RSV1 without an extension (5.2)", &from_server, 1, {0xc1}, FRAME_ERR_RESERVED_BITS},
    {"RSV2 (5.2)", &from_server, 1, {0xa1}, FRAME_ERR_RESERVED_BITS},
    {"RSV3 (5.2)", &from_server, 1, {0x91}, FRAME_ERR_RESERVED_BITS},
    {"RSV2 has no meaning in permessage-deflate (RFC 7692 6)",
     &deflated,
     1,
     {0xe1},
     FRAME_ERR_RESERVED_BITS},
    {"RSV3 has no meaning in permessage-deflate (RFC 7692 6)",
     &deflated,
     1,
     {0xd1},
     FRAME_ERR_RESERVED_BITS},
    {"RSV1 is for the first fragment (RFC 7692 6.1)",
     &deflated,
     1,
     {0x40},
     FRAME_ERR_RESERVED_BITS},
    {"RSV1 is not for control frames (RFC 7692 6)", &deflated, 1, {0xc9}, FRAME_ERR_RESERVED_BITS},
    {"a ping must not be fragmented (5.5)", &from_server, 1, {0x09}, FRAME_ERR_CONTROL_SHAPE},
    {"a pong must not be fragmented (5.5)", &from_server, 1, {0x0a}, FRAME_ERR_CONTROL_SHAPE},
    {"a close must not be fragmented (5.5)", &from_client, 1, {0x08}, FRAME_ERR_CONTROL_SHAPE},
    {"a ping of 126 bytes or more (5.5)", &from_server, 2, {0x89, 0x7e}, FRAME_ERR_CONTROL_SHAPE},
    {"a close of 64 bits of bytes (5.5)", &from_client, 2, {0x88, 0xff}, FRAME_ERR_CONTROL_SHAPE},
    {"a client's frame without mask (5.1)", &from_client, 2, {0x81, 0x05}, FRAME_ERR_MASK},
    {"a client's empty frame needs a mask, too (5.1)",
     &from_client,
     2,
     {0x81, 0x00},
     FRAME_ERR_MASK},
    {"a client's ping without mask (5.1)", &from_client, 2, {0x89, 0x00}, FRAME_ERR_MASK},
    {"a server's frame with a mask (5.1)", &from_server, 2, {0x81, 0x85}, FRAME_ERR_MASK},
    {"a server's close with a mask (5.1)", &from_server, 2, {0x88, 0x80}, FRAME_ERR_MASK},
    {"5 bytes written as 16 bits (5.2)",
     &from_server,
     4,
     {0x81, 0x7e, 0x00, 0x05},
     FRAME_ERR_LENGTH_FORM},
    {"125 bytes written as 16 bits (5.2)",
     &from_server,
     4,
     {0x81, 0x7e, 0x00, 0x7d},
     FRAME_ERR_LENGTH_FORM},
    {"125 bytes written as 16 bits, masked (5.2)",
     &from_client,
     4,
     {0x81, 0xfe, 0x00, 0x7d},
     FRAME_ERR_LENGTH_FORM},
    {"0 bytes written as 64 bits (5.2)", &from_server, 10, {0x81, 0x7f}, FRAME_ERR_LENGTH_FORM},
    {"126 bytes written as 64 bits (5.2)",
     &from_server,
     10,
     {0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0x00, 0x7e},
     FRAME_ERR_LENGTH_FORM},
    {"65535 bytes written as 64 bits (5.2)",
     &from_server,
     10,
     {0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
     FRAME_ERR_LENGTH_FORM},
    {"2^63: the top bit must be 0 (5.2)",
     &from_server,
     10,
     {0x81, 0x7f, 0x80},
     FRAME_ERR_LENGTH_FORM},
    {"all bits (5.2)",
     &from_client,
     10,
     {0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     FRAME_ERR_LENGTH_FORM},
    {"one byte, where nothing is allowed", &nothing, 2, {0x81, 0x01}, FRAME_ERR_TOO_BIG},
    {"one byte too many, 16 bits", &at_most_1000, 4, {0x82, 0x7e, 0x03, 0xe9}, FRAME_ERR_TOO_BIG},
    {"one byte too many, 64 bits",
     &at_most_70000,
     10,
     {0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0x11, 0x71},
     FRAME_ERR_TOO_BIG},
    {"2^32-1 bytes",
     &at_most_70000,
     10,
     {0x82, 0x7f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
     FRAME_ERR_TOO_BIG},
    {"2^32 bytes: 0 in 32 bits",
     &at_most_70000,
     10,
     {0x82, 0x7f, 0, 0, 0, 1, 0, 0, 0, 0},
     FRAME_ERR_TOO_BIG},
    {"2^32+1 bytes: 1 in 32 bits",
     &at_most_70000,
     10,
     {0x82, 0x7f, 0, 0, 0, 1, 0, 0, 0, 1},
     FRAME_ERR_TOO_BIG},
    {"2^63-1 bytes: less than 0 with the header's own",
     &at_most_70000,
     10,
     {0x82, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     FRAME_ERR_TOO_BIG},
    {"a fragment over the limit of a whole",
     &at_most_1000,
     4,
     {0x00, 0x7e, 0xff, 0xff},
     FRAME_ERR_TOO_BIG},
    {"the wrong form is told before the size",
     &nothing,
     4,
     {0x82, 0x7e, 0x00, 0x01},
     FRAME_ERR_LENGTH_FORM},
};

START_TEST(a_frame_that_breaks_a_rule_is_refused_with_the_byte_that_shows_it)
{
    struct frame_header header;
    size_t header_bytes;
    for (size_t bytes = 0; bytes < refused[_i].bytes; bytes++)
        ck_assert_msg(decode(refused[_i].data, bytes, refused[_i].rules, &header, &header_bytes) ==
                          FRAME_NEED_MORE,
                      "%s: %zu bytes", refused[_i].why, bytes);
    for (size_t bytes = refused[_i].bytes; bytes <= FRAME_HEADER_BYTES_MAX; bytes++) {
        /* (what follows an error in the table is zeros, which make nothing worse) */
        if (bytes > refused[_i].bytes && refused[_i].bytes == 1)
            break;
        enum frame_result got =
            decode(refused[_i].data, bytes, refused[_i].rules, &header, &header_bytes);
        ck_assert_msg(got == refused[_i].expect, "%s: got \"%s\"", refused[_i].why,
                      frame_result_text(got));
    }
}
END_TEST

/* Every first two bytes there are, judged by the sentences of 5.1, 5.2 and 5.5. */
static bool first_bytes_are_right(unsigned first, unsigned second, const struct frame_rules *rules)
{
    unsigned opcode = first & 15;
    bool control = opcode == 8 || opcode == 9 || opcode == 10;
    if (!control && opcode > 2)
        return false;
    if (first & 0x30 || ((first & 0x40) && !(rules->rsv1_allowed && (opcode == 1 || opcode == 2))))
        return false;
    if (control && ((first & 0x80) == 0 || (second & 0x7f) > 125))
        return false;
    return rules->masked == (second >= 0x80);
}

START_TEST(all_first_two_bytes_are_judged_as_the_rfc_says)
{
    struct frame_header header;
    size_t header_bytes;
    const struct frame_rules rules = {
        .masked = _i & 1, .rsv1_allowed = _i & 2, .payload_bytes_max = INT64_MAX};
    for (unsigned both = 0; both < 65536; both++) {
        uint8_t data[6] = {(uint8_t)(both >> 8), (uint8_t)both};
        size_t bytes = rules.masked ? 6 : 2;
        enum frame_result got = frame_header_decode(data, bytes, &rules, &header, &header_bytes);
        enum frame_result expect = (both & 0x7f) > 125 ? FRAME_NEED_MORE : FRAME_OK;
        if (rules.masked && (both & 0x7f) == 126) /* four more bytes are no shortest form */
            expect = FRAME_ERR_LENGTH_FORM;
        bool fits = first_bytes_are_right(data[0], data[1], &rules)
                        ? got == expect
                        : got > FRAME_NEED_MORE && got != FRAME_ERR_LENGTH_FORM;
        if (!fits) /* an assertion here is slow */
            ck_abort_msg("%04x: got \"%s\"", both, frame_result_text(got));
    }
}
END_TEST

/* ---- writing ------------------------------------------------------------------------------ */

static const struct {
    uint64_t payload_bytes;
    size_t header_bytes; /* without the mask key */
} sizes[] = {
    {0, 2},          {1, 2},           {125, 2},
    {126, 4},        {127, 4},         {65535, 4},
    {65536, 10},     {UINT32_MAX, 10}, {UINT64_C(1) << 32, 10},
    {INT64_MAX, 10},
};

START_TEST(every_size_is_written_in_its_shortest_form_and_read_again)
{
    static const enum frame_opcode opcodes[] = {FRAME_CONTINUATION, FRAME_TEXT, FRAME_BINARY};
    for (unsigned flags = 0; flags < 24; flags++) {
        struct frame_header header = {.fin = flags & 1,
                                      .masked = flags & 2,
                                      .opcode = opcodes[flags >> 3],
                                      .payload_bytes = sizes[_i].payload_bytes};
        header.rsv1 = (flags & 4) && header.opcode != FRAME_CONTINUATION;
        if (header.masked)
            memcpy(header.mask_key, "\x80\x00\xff\x7f", 4);
        const struct frame_rules rules = {.masked = header.masked,
                                          .rsv1_allowed = true,
                                          .payload_bytes_max = sizes[_i].payload_bytes};
        uint8_t out[FRAME_HEADER_BYTES_MAX];
        struct frame_header again;
        size_t expect_bytes = sizes[_i].header_bytes + (header.masked ? 4 : 0);
        size_t header_bytes;
        ck_assert_uint_eq(frame_header_encode(&header, out), expect_bytes);
        ck_assert_uint_eq(frame_wire_bytes(header.payload_bytes, header.masked),
                          expect_bytes + header.payload_bytes);
        ck_assert_int_eq(decode(out, expect_bytes, &rules, &again, &header_bytes), FRAME_OK);
        ck_assert_uint_eq(header_bytes, expect_bytes);
        assert_same(&again, &header, "read again");
    }
}
END_TEST

static const struct {
    const char *why;
    struct frame_header header;
} mistakes[] = {
    {"a ping is one frame (5.5)", {.opcode = FRAME_PING}},
    {"a close is at most 125 bytes (5.5)",
     {.fin = true, .opcode = FRAME_CLOSE, .payload_bytes = 126}},
    {"the top bit of a length is 0 (5.2)",
     {.fin = true, .opcode = FRAME_TEXT, .payload_bytes = (uint64_t)INT64_MAX + 1}},
    {"opcode 3 is reserved (5.2)", {.fin = true, .opcode = (enum frame_opcode)3}},
    {"opcode 11 is reserved (5.2)", {.fin = true, .opcode = (enum frame_opcode)11}},
    {"an opcode has four bits (5.2)", {.fin = true, .opcode = (enum frame_opcode)0x81}},
};

START_TEST(writing_a_wrong_header_is_our_own_mistake)
{
    uint8_t out[FRAME_HEADER_BYTES_MAX];
    frame_header_encode(&mistakes[_i].header, out);
}
END_TEST

/* ---- results ------------------------------------------------------------------------------ */

START_TEST(a_broken_rule_closes_with_1002_and_a_big_message_with_1009)
{
    ck_assert_uint_eq(frame_result_close_code(FRAME_OK), 0);
    ck_assert_uint_eq(frame_result_close_code(FRAME_NEED_MORE), 0);
    ck_assert_uint_eq(frame_result_close_code(FRAME_ERR_RESERVED_BITS), 1002);
    ck_assert_uint_eq(frame_result_close_code(FRAME_ERR_OPCODE), 1002);
    ck_assert_uint_eq(frame_result_close_code(FRAME_ERR_CONTROL_SHAPE), 1002);
    ck_assert_uint_eq(frame_result_close_code(FRAME_ERR_LENGTH_FORM), 1002);
    ck_assert_uint_eq(frame_result_close_code(FRAME_ERR_MASK), 1002);
    ck_assert_uint_eq(frame_result_close_code(FRAME_ERR_TOO_BIG), 1009);
}
END_TEST

START_TEST(every_result_has_words_of_its_own)
{
    for (unsigned a = 0; a < FRAME_RESULT_COUNT; a++) {
        ck_assert_ptr_nonnull(frame_result_text((enum frame_result)a));
        for (unsigned b = 0; b < a; b++)
            ck_assert_str_ne(frame_result_text((enum frame_result)a),
                             frame_result_text((enum frame_result)b));
    }
}
END_TEST

START_TEST(close_ping_and_pong_are_control_frames)
{
    ck_assert(!frame_opcode_is_control(FRAME_CONTINUATION));
    ck_assert(!frame_opcode_is_control(FRAME_TEXT));
    ck_assert(!frame_opcode_is_control(FRAME_BINARY));
    ck_assert(frame_opcode_is_control(FRAME_CLOSE));
    ck_assert(frame_opcode_is_control(FRAME_PING));
    ck_assert(frame_opcode_is_control(FRAME_PONG));
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("frame");
    LOOP(a_header_is_read_when_its_last_byte_is_here_and_not_before, accepted);
    LOOP(a_header_is_written_as_it_was_read, accepted);
    LOOP(a_frame_that_breaks_a_rule_is_refused_with_the_byte_that_shows_it, refused);
    tcase_add_loop_test(tcase, all_first_two_bytes_are_judged_as_the_rfc_says, 0, 4);
    LOOP(every_size_is_written_in_its_shortest_form_and_read_again, sizes);
    tcase_add_loop_test_raise_signal(tcase, writing_a_wrong_header_is_our_own_mistake, SIGABRT, 0,
                                     sizeof mistakes / sizeof *mistakes);
    tcase_add_test(tcase, a_broken_rule_closes_with_1002_and_a_big_message_with_1009);
    tcase_add_test(tcase, every_result_has_words_of_its_own);
    tcase_add_test(tcase, close_ping_and_pong_are_control_frames);

    Suite *suite = suite_create("frame");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
