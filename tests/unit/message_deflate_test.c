/* Deflated messages in frames: where they may be, what they become, and how much of it. */
#include "message_fixture.h"

#include "proto/deflate.h"

enum { FIN = 0x80, DEFLATED = 0x40, TEXT = 1, BINARY = 2, PING = 9, CLOSE = 8 };

static struct deflate_writer peer;

static void start_inflating(uint64_t message_bytes_max, uint32_t fragment_count_max)
{
    start(message_bytes_max, fragment_count_max);
    ck_assert(message_reader_inflate(&reader, 15, true));
    wire_bytes = 0;
}

static bool has_stream(void)
{
    return reader.deflate && reader.deflate->stream;
}

static void setup(void)
{
    masked = false;
    counting = false;
    allocation_failing = 0;
    deflate_writer_init(&peer, 15, true);
}

static void teardown(void)
{
    message_reader_clear(&reader);
    deflate_writer_clear(&peer);
}

/* `bytes` of payload, deflated into peer.buffer. */
static void pack(const void *payload, size_t bytes)
{
    deflate_write_begin(&peer, payload, bytes);
    ck_assert_int_eq(deflate_write(&peer, bytes), DEFLATE_OK);
}

/* The deflated message in frames of so many bytes; a Ping after each but the last. */
static void add_packed(unsigned opcode, size_t frame_bytes, bool pings)
{
    for (size_t at = 0; at < peer.buffer_bytes;) {
        size_t left = peer.buffer_bytes - at;
        size_t bytes = left < frame_bytes ? left : frame_bytes;
        unsigned first = at == 0 ? opcode | DEFLATED : 0;
        add_frame((uint8_t)(first | (bytes == left ? FIN : 0)), peer.buffer + at, bytes);
        at += bytes;
        if (pings && at < peer.buffer_bytes)
            add_frame(FIN | PING, "p", 1);
    }
}

static void make_text(char *text, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        text[i] = (char)('a' + (seed >> 24) % 8);
    }
}

START_TEST(a_deflated_message_is_heard_as_a_plain_one_is)
{
    static char text[30000];
    static char plain[8192];
    masked = _i & 1;
    make_text(text, sizeof text, 7);
    wire_bytes = 0;
    start(sizeof text, 65536);
    for (size_t bytes = 200; bytes < sizeof text; bytes *= 3)
        add_frame((uint8_t)(FIN | TEXT), text, bytes);
    arrive(wire, wire_bytes);
    memcpy(plain, heard, sizeof plain);
    for (size_t piece = 1; piece < 40000; piece = piece * 3 + 1)
        for (size_t frame = 50; frame < 40000; frame *= 4) {
            message_reader_clear(&reader);
            deflate_writer_clear(&peer);
            start_inflating(sizeof text, 65536);
            for (size_t bytes = 200; bytes < sizeof text; bytes *= 3) {
                pack(text, bytes);
                add_packed(TEXT, frame, false);
            }
            arrive_in_pieces(piece);
            ck_assert_str_eq(heard, plain);
        }
}
END_TEST

START_TEST(control_frames_come_between_and_plain_messages_beside)
{
    char text[400];
    make_text(text, sizeof text, 9);
    start_inflating(400, 10000);
    add_frame(FIN | TEXT, "plain", 5);
    pack(text, 200);
    add_packed(BINARY, 100, true);
    add_frame(TEXT, "in ", 3);
    add_frame(FIN, "parts", 5);
    arrive(wire, wire_bytes);
    ck_assert_ptr_nonnull(strstr(heard, "text(plain) ping(p) binary(200 bytes"));
    ck_assert_ptr_nonnull(strstr(heard, "text(in parts)"));
    ck_assert_ptr_null(strstr(heard, "error"));
}
END_TEST

/* The mark of a deflated message where it must not be (RFC 7692 section 6). */
static const struct {
    const char *why;
    uint8_t first[2]; /* of frames with an empty block each; 0: none */
} misplaced[] = {
    {"a Ping", {FIN | DEFLATED | PING, 0}},
    {"a Pong", {FIN | DEFLATED | 0xa, 0}},
    {"a Close", {FIN | DEFLATED | CLOSE, 0}},
    {"the second frame of a plain message", {TEXT, FIN | DEFLATED}},
    {"the second frame of a deflated message", {DEFLATED | TEXT, FIN | DEFLATED}},
    {"another reserved bit with it", {FIN | DEFLATED | 0x20 | TEXT, 0}},
};

START_TEST(the_mark_stands_on_the_first_frame_of_a_message_only)
{
    start_inflating(1000, 1000);
    add_frame(misplaced[_i].first[0], "", 1);
    if (misplaced[_i].first[1])
        add_frame(misplaced[_i].first[1], "", 1);
    arrive(wire, wire_bytes);
    ck_assert_msg(strcmp(heard, "error(1002 reserved bit set) ") == 0, "%s: %s", misplaced[_i].why,
                  heard);
}
END_TEST

START_TEST(without_the_extension_no_message_is_deflated)
{
    start(1000, 1000);
    wire_bytes = 0;
    add_frame(FIN | DEFLATED | TEXT, "", 1);
    arrive(wire, wire_bytes);
    ck_assert_str_eq(heard, "error(1002 reserved bit set) ");
}
END_TEST

START_TEST(the_limit_is_for_what_comes_out)
{
    static char zeros[70001];
    for (size_t over = 0; over < 2; over++)
        for (size_t frame = 10; frame < 1000; frame *= 5) {
            message_reader_clear(&reader);
            deflate_writer_clear(&peer);
            start_inflating(70000, 65536);
            pack(zeros, 70000 + over);
            add_packed(BINARY, frame, false);
            arrive(wire, wire_bytes);
            if (over)
                ck_assert_str_eq(heard, "error(1009 message too big) ");
            else
                ck_assert_ptr_nonnull(strstr(heard, "binary(70000 bytes"));
        }
}
END_TEST

START_TEST(a_bomb_costs_the_limit_and_ends_as_soon_as_it_is_over_it)
{
    static char zeros[16 << 20];
    start_inflating(1 << 16, 65536);
    pack(zeros, sizeof zeros);
    ck_assert_uint_lt(peer.buffer_bytes, sizeof zeros / 200);
    add_packed(BINARY, 1000, false);
    size_t most = 0;
    size_t at = 0;
    while (at < wire_bytes && heard_bytes == 0) {
        arrive(wire + at, 100);
        size_t held = message_reader_heap_bytes(&reader);
        most = held > most ? held : most;
        at += 100;
    }
    ck_assert_str_eq(heard, "error(1009 message too big) ");
    ck_assert_uint_le(most, 1 << 16);
    ck_assert_uint_le(at, 1000); /* of the 80,000 that the bomb has */
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
    ck_assert(!has_stream());
}
END_TEST

START_TEST(what_came_before_does_not_count)
{
    static char text[60000];
    start_inflating(60000, 65536);
    make_text(text, sizeof text, 3);
    for (unsigned i = 0; i < 4; i++) { /* the later ones refer to the first: 60,000 each */
        pack(text, sizeof text);
        add_packed(BINARY, 100000, false);
    }
    arrive(wire, wire_bytes);
    ck_assert_ptr_null(strstr(heard, "error"));
    ck_assert_uint_eq(heard_bytes, 4 * strlen("binary(60000 bytes, 12345678) "));
}
END_TEST

START_TEST(blocks_that_stand_for_nothing_have_an_end)
{
    static uint8_t empty[60000]; /* empty stored blocks: 5 bytes each */
    for (size_t i = 0; i + 5 <= sizeof empty; i += 5)
        memcpy(empty + i, "\0\0\0\xff\xff", 5);
    start_inflating(1000, 65536);
    add_frame(DEFLATED | BINARY, empty, sizeof empty);
    add_frame(0, empty, 6000); /* 1000 and a quarter, and 64 KiB: 66786 */
    arrive(wire, wire_bytes);
    ck_assert_str_eq(heard, "");
    wire_bytes = 0;
    add_frame(0, empty, 1000);
    arrive(wire, wire_bytes);
    ck_assert_str_eq(heard, "error(1009 message too big) ");
}
END_TEST

START_TEST(a_frame_that_announces_too_much_is_refused_at_once)
{
    start_inflating(1000, 1000);
    static const uint8_t deflated[] = {FIN | DEFLATED | BINARY, 127, 0, 0, 0, 0, 0, 1, 4, 0xe3};
    static const uint8_t plain[] = {FIN | BINARY, 126, 0x03, 0xe9};
    arrive(deflated, sizeof deflated); /* 66787 */
    ck_assert_str_eq(heard, "error(1009 message too big) ");
    message_reader_clear(&reader);
    start_inflating(1000, 1000);
    arrive(plain, sizeof plain); /* 1001: one that is not deflated has no more than it had */
    ck_assert_str_eq(heard, "error(1009 message too big) ");
}
END_TEST

START_TEST(fragments_are_counted_deflated_or_not)
{
    char text[2000];
    make_text(text, sizeof text, 5);
    start_inflating(2000, 3);
    pack(text, sizeof text);
    add_packed(BINARY, peer.buffer_bytes / 4, false);
    arrive(wire, wire_bytes);
    ck_assert_str_eq(heard, "error(1009 too many fragments) ");
}
END_TEST

START_TEST(text_is_looked_at_when_it_is_inflated)
{
    char text[4000];
    make_text(text, sizeof text, 5);
    text[100] = (char)0xff;
    start_inflating(sizeof text, 1000);
    pack(text, sizeof text);
    add_packed(TEXT, 100000, false);
    arrive(wire, 1000); /* as soon as it is here: the rest is not waited for */
    ck_assert_str_eq(heard, "error(1007 text is not UTF-8) ");
    message_reader_clear(&reader);
    deflate_writer_clear(&peer);
    start_inflating(sizeof text, 1000);
    text[100] = 'a';
    memcpy(text + 3998, "\xc3", 2); /* half a character at its end */
    pack(text, 3999);
    add_packed(TEXT, 100000, false);
    arrive(wire, wire_bytes);
    ck_assert_str_eq(heard, "error(1007 text is not UTF-8) ");
}
END_TEST

START_TEST(what_is_no_deflate_is_invalid_data)
{
    static const struct {
        const char *data;
        size_t bytes;
    } wrong[] = {{"", 0}, {"\x06", 1}, {"\xf2\x48\xcd", 3}, {"\x02\x13\0\0", 4}};
    start_inflating(1000, 1000);
    add_frame(FIN | DEFLATED | BINARY, wrong[_i].data, wrong[_i].bytes);
    arrive(wire, wire_bytes);
    ck_assert_str_eq(heard, "error(1007 compressed message is corrupt) ");
}
END_TEST

START_TEST(an_empty_message_is_one_empty_block)
{
    start_inflating(1000, 1000);
    add_frame(FIN | DEFLATED | TEXT, "", 1);
    add_frame(DEFLATED | TEXT, "", 0); /* 7.2.3.6 by way of 6.1: the block may come later */
    add_frame(FIN, "", 1);
    arrive(wire, wire_bytes);
    ck_assert_str_eq(heard, "text() text() ");
}
END_TEST

START_TEST(each_allocation_that_fails_ends_it_by_name)
{
    static char text[30000];
    make_text(text, sizeof text, 7);
    unsigned failing = 0;
    for (bool failed = true; failed;) {
        message_reader_clear(&reader);
        deflate_writer_clear(&peer);
        start_inflating(sizeof text, 65536);
        pack(text, sizeof text);
        add_packed(TEXT, 1000, false);
        allocation_count = 0;
        allocation_failing = ++failing;
        arrive_in_pieces(500);
        failed = allocation_count >= failing;
        allocation_failing = 0;
        ck_assert_ptr_nonnull(strstr(heard, failed ? "error(1011 out of memory)" : "text(30000"));
        ck_assert_int_eq(!has_stream(), failed);
    }
    ck_assert_uint_gt(failing, 6);
}
END_TEST

START_TEST(a_close_gives_everything_back_and_so_does_quiet)
{
    char text[1000];
    make_text(text, sizeof text, 7);
    start_inflating(sizeof text, 1000);
    pack(text, sizeof text);
    add_packed(TEXT, 1000, false);
    arrive(wire, wire_bytes);
    message_reader_rest(&reader);
    ck_assert(!has_stream());
    ck_assert_uint_eq(reader.deflate->past_bytes, sizeof text); /* the next message may look back */
    wire_bytes = 0;
    add_frame(FIN | CLOSE, "", 0);
    arrive(wire, wire_bytes);
    ck_assert(!has_stream());

    message_reader_clear(&reader);
    deflate_writer_clear(&peer);
    start(sizeof text, 1000);
    ck_assert(message_reader_inflate(&reader, 15, false));
    wire_bytes = 0;
    pack(text, sizeof text);
    add_packed(TEXT, 1000, false);
    arrive(wire, wire_bytes - 5);
    message_reader_rest(&reader);
    ck_assert(has_stream()); /* in the middle of one */
    arrive(wire + wire_bytes - 5, 5);
    message_reader_rest(&reader);
    ck_assert(!has_stream());
    arrive(wire, wire_bytes);
    ck_assert_ptr_null(strstr(heard, "error"));
    ck_assert_uint_eq(heard_bytes, 2 * strlen("text(1000 bytes, 12345678) "));
}
END_TEST

/* Of whole and of deflated messages, in parts and with control frames between. */
START_TEST(who_only_waits_for_the_close_takes_no_memory)
{
    static char text[3000];
    make_text(text, sizeof text, 13);
    start_inflating(sizeof text, 65536);
    add_frame(TEXT, text, 2000);
    size_t cut = wire_bytes;
    add_frame(FIN | PING, "p", 1);
    add_frame(FIN, text, 1000);
    pack(text, sizeof text);
    add_packed(TEXT, 700, true);
    add_frame(FIN | CLOSE, "\x03\xe8", 2);
    arrive(wire, cut - 500);
    ck_assert_uint_gt(message_reader_heap_bytes(&reader), 0);
    message_reader_skip_data(&reader);
    allocation_failing = allocation_count + 1; /* from here on: any is one too many */
    for (size_t at = cut - 500; at < wire_bytes; at += 7)
        arrive(wire + at, wire_bytes - at < 7 ? wire_bytes - at : 7);
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
    ck_assert(!has_stream());
    ck_assert_msg(strncmp(heard, "ping(p) ping(p) ", 16) == 0 && strstr(heard, "close(1000"), "%s",
                  heard);
    ck_assert_ptr_null(strstr(heard, "text"));
    ck_assert_ptr_null(strstr(heard, "error"));
}
END_TEST

/* Room for a whole message is asked for at once, and costs what is written to it. */
START_TEST(what_is_inflated_counts_and_not_what_may_come)
{
    static char text[300000];
    make_text(text, sizeof text, 17);
    start_inflating(64u << 20, 65536);
    pack(text, sizeof text);
    add_packed(TEXT, 400000, false);
    arrive(wire, wire_bytes - 5);
    ck_assert_uint_gt(message_reader_heap_bytes(&reader), sizeof text * 9 / 10);
    ck_assert_uint_le(message_reader_heap_bytes(&reader), sizeof text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message_deflate");
    TCase *tests = tcase_create("message_deflate");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, a_deflated_message_is_heard_as_a_plain_one_is, 0, 2);
    tcase_add_test(tests, control_frames_come_between_and_plain_messages_beside);
    tcase_add_loop_test(tests, the_mark_stands_on_the_first_frame_of_a_message_only, 0,
                        sizeof misplaced / sizeof *misplaced);
    tcase_add_test(tests, without_the_extension_no_message_is_deflated);
    tcase_add_test(tests, the_limit_is_for_what_comes_out);
    tcase_add_test(tests, a_bomb_costs_the_limit_and_ends_as_soon_as_it_is_over_it);
    tcase_add_test(tests, what_came_before_does_not_count);
    tcase_add_test(tests, blocks_that_stand_for_nothing_have_an_end);
    tcase_add_test(tests, a_frame_that_announces_too_much_is_refused_at_once);
    tcase_add_test(tests, fragments_are_counted_deflated_or_not);
    tcase_add_test(tests, text_is_looked_at_when_it_is_inflated);
    tcase_add_loop_test(tests, what_is_no_deflate_is_invalid_data, 0, 4);
    tcase_add_test(tests, an_empty_message_is_one_empty_block);
    tcase_add_test(tests, each_allocation_that_fails_ends_it_by_name);
    tcase_add_test(tests, a_close_gives_everything_back_and_so_does_quiet);
    tcase_add_test(tests, who_only_waits_for_the_close_takes_no_memory);
    tcase_add_test(tests, what_is_inflated_counts_and_not_what_may_come);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
