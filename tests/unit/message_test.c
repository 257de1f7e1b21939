/* Bytes from the peer, split anywhere, as messages and control frames. */
#include "message_fixture.h"

/* ---- streams ------------------------------------------------------------------------------ */

struct piece {
    uint8_t first; /* FIN, the reserved bits, the opcode */
    const char *payload;
    size_t bytes;
};

#define F(first, literal)                                                                          \
    {                                                                                              \
        (first), (literal), sizeof(literal) - 1                                                    \
    }
#define FIFTY "01234567890123456789012345678901234567890123456789"
#define TOO_BIG "error(1009 message too big) "
#define NOT_UTF8 "error(1007 text is not UTF-8) "
#define OF_NOTHING "error(1002 continuation without a message) "
#define INSIDE "error(1002 new message inside a fragmented one) "
#define TOO_MANY "error(1009 too many fragments) "
#define BAD_CLOSE "error(1002 invalid close frame) "
#define BAD_CONTROL "error(1002 control frame fragmented or over 125 bytes) "

/* Messages of at most 60 bytes, in at most 3 fragments. */
static const struct {
    const char *why;
    const char *expect;
    struct piece frames[5];
} streams[] = {
    {"a text (5.6)", "text(hello) ", {F(0x81, "hello")}},
    {"an empty text (5.6)", "text() ", {F(0x81, "")}},
    {"an empty binary (5.6)", "binary() ", {F(0x82, "")}},
    {"a binary need not be UTF-8 (5.6)", "binary(\xff\xfe) ", {F(0x82, "\xff\xfe")}},
    {"one after the other",
     "text(a) binary(b) text() ping() text(c) ",
     {F(0x81, "a"), F(0x82, "b"), F(0x81, ""), F(0x89, ""), F(0x81, "c")}},
    {"a ping (5.5.2)", "ping(are you) ", {F(0x89, "are you")}},
    {"a pong that nobody asked for (5.5.3)", "pong(I am) ", {F(0x8a, "I am")}},
    {"empty pings and pongs (5.5)", "ping() pong() ", {F(0x89, ""), F(0x8a, "")}},
    {"two fragments (5.4)", "text(hello) ", {F(0x01, "hel"), F(0x80, "lo")}},
    {"three fragments (5.4)", "binary(hello) ", {F(0x02, "h"), F(0x00, "ell"), F(0x80, "o")}},
    {"fragments may be empty (5.4)", "text(hello) ", {F(0x01, ""), F(0x00, "hello"), F(0x80, "")}},
    {"all of them (5.4)",
     "text() binary() ",
     {F(0x01, ""), F(0x80, ""), F(0x02, ""), F(0x00, ""), F(0x80, "")}},
    {"control frames between fragments (5.4)",
     "ping(p) pong(q) text(hello) ",
     {F(0x01, "hel"), F(0x89, "p"), F(0x00, "l"), F(0x8a, "q"), F(0x80, "o")}},
    {"a message after a fragmented one",
     "text(ab) text(c) ",
     {F(0x01, "a"), F(0x80, "b"), F(0x81, "c")}},
    {"the count of fragments starts over (5.4)",
     "text(ab) text(cde) ",
     {F(0x01, "a"), F(0x80, "b"), F(0x01, "c"), F(0x00, "d"), F(0x80, "e")}},
    {"a character across fragments (8.1)",
     "text(\xe2\x82\xac) ",
     {F(0x01, "\xe2"), F(0x00, "\x82"), F(0x80, "\xac")}},
    {"a ping inside of a character (8.1)",
     "ping(\xff) text(\xe2\x82\xac) ",
     {F(0x01, "\xe2"), F(0x89, "\xff"), F(0x80, "\x82\xac")}},
    {"exactly as much as is allowed", "text(" FIFTY "0123456789) ", {F(0x81, FIFTY "0123456789")}},
    {"exactly as much as is allowed, in fragments",
     "text(" FIFTY "0123456789) ",
     {F(0x01, FIFTY), F(0x80, "0123456789")}},
    {"a close (5.5.1)", "close(1000 so) ", {F(0x88, "\x03\xe8so")}},
    {"a close without a code (7.1.5)", "close(1005 ) ", {F(0x88, "")}},
    {"a close inside of a message (5.4)", "close(1001 ) ", {F(0x01, "a"), F(0x88, "\x03\xe9")}},
    {"after a close nothing is a frame (5.5.1)",
     "close(1000 ) ",
     {F(0x88, "\x03\xe8"), F(0x81, "a"), F(0xff, "b"), F(0x88, "")}},

    {"a continuation of nothing (5.4)", OF_NOTHING, {F(0x00, "a")}},
    {"the last fragment of nothing (5.4)", OF_NOTHING, {F(0x80, "")}},
    {"a continuation after the last fragment (5.4)",
     "text(ab) " OF_NOTHING,
     {F(0x01, "a"), F(0x80, "b"), F(0x80, "c")}},
    {"a continuation after a whole message (5.4)",
     "text(a) " OF_NOTHING,
     {F(0x81, "a"), F(0x00, "b")}},
    {"a text inside of a message (5.4)", INSIDE, {F(0x01, "a"), F(0x81, "b")}},
    {"a fragmented binary inside of a message (5.4)",
     "ping() " INSIDE,
     {F(0x01, ""), F(0x89, ""), F(0x02, "b")}},
    {"a reserved bit (5.2)",
     "text(a) error(1002 reserved bit set) ",
     {F(0x81, "a"), F(0xc1, "b"), F(0x81, "c")}},
    {"a reserved opcode (5.2)", "error(1002 unknown opcode) ", {F(0x83, "a"), F(0x81, "b")}},
    {"a fragmented ping (5.5)", BAD_CONTROL, {F(0x01, "a"), F(0x09, "b")}},
    {"one byte too many", TOO_BIG, {F(0x81, FIFTY "0123456789.")}},
    {"one byte too many, in fragments", TOO_BIG, {F(0x01, FIFTY), F(0x80, "0123456789.")}},
    {"a fragment after all that is allowed",
     TOO_BIG,
     {F(0x01, FIFTY), F(0x00, "0123456789"), F(0x80, ".")}},
    {"a fragment too many", TOO_MANY, {F(0x01, "a"), F(0x00, "b"), F(0x00, "c"), F(0x00, "d")}},
    {"a fragment too many, which is empty and last",
     TOO_MANY,
     {F(0x01, ""), F(0x00, ""), F(0x00, ""), F(0x80, "")}},
    {"a text that is not UTF-8 (8.1)", NOT_UTF8, {F(0x81, "a\xff"), F(0x81, "b")}},
    {"a text that ends inside of a character (8.1)", NOT_UTF8, {F(0x81, "a\xe2\x82")}},
    {"not UTF-8 in the first fragment (8.1)", NOT_UTF8, {F(0x01, "\xc0"), F(0x80, "b")}},
    {"not UTF-8 in the last fragment (8.1)", NOT_UTF8, {F(0x01, "a"), F(0x80, "\xed\xa0\x80")}},
    {"a character that does not go on (8.1)", NOT_UTF8, {F(0x01, "\xe2"), F(0x80, "a")}},
    {"half a character and an empty last fragment (8.1)", NOT_UTF8, {F(0x01, "\xe2"), F(0x80, "")}},
    {"no character goes on in the next message (8.1)",
     "binary(\xe2) " NOT_UTF8,
     {F(0x82, "\xe2"), F(0x81, "\x82\xac")}},
    {"a close of one byte (5.5.1)", BAD_CLOSE, {F(0x88, "\x03")}},
    {"a close with a code for no wire (7.4.1)", BAD_CLOSE, {F(0x88, "\x03\xed"), F(0x81, "a")}},
    {"a close with a reason that is not UTF-8 (5.5.1)",
     "error(1007 close reason is not UTF-8) ",
     {F(0x88, "\x03\xe8\xff")}},
};

static void add_stream(int row)
{
    wire_bytes = 0;
    for (size_t i = 0; i < 5 && streams[row].frames[i].payload; i++) {
        const struct piece *piece = &streams[row].frames[i];
        add_frame(piece->first, piece->payload, piece->bytes);
    }
}

static void assert_heard(int row, const char *how, size_t split)
{
    ck_assert_msg(strcmp(heard, streams[row].expect) == 0, "%s%s, %s %zu: heard \"%s\"",
                  streams[row].why, masked ? ", masked" : "", how, split, heard);
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
    bool ends = strstr(streams[row].expect, "close(") || strstr(streams[row].expect, "error(");
    ck_assert(message_reader_has_ended(&reader) == ends);
    message_reader_clear(&reader);
}

START_TEST(a_stream_means_the_same_wherever_it_is_split)
{
    for (int direction = 0; direction <= 1; direction++) {
        masked = direction;
        add_stream(_i);
        for (size_t split = 0; split <= wire_bytes; split++) {
            start(60, 3);
            arrive(wire, split);
            arrive(wire + split, wire_bytes - split);
            assert_heard(_i, "split at", split);
        }
        for (size_t piece = 1; piece < 5; piece++) {
            start(60, 3);
            arrive_in_pieces(piece);
            assert_heard(_i, "in pieces of", piece);
        }
    }
}
END_TEST

static const struct {
    const char *why;
    bool peer_masks;
    uint8_t data[12];
    size_t bytes; /* with the last one, and not before, it is heard */
    const char *expect;
} fast[] = {
    {"a bad byte in a text that goes on", false, {0x81, 0x14, 'a', 0xff}, 4, NOT_UTF8},
    {"a bad byte in a masked text that goes on",
     true,
     {0x81, 0x94, 1, 2, 3, 4, 'a' ^ 1, 0xff ^ 2},
     8,
     NOT_UTF8},
    {"a surrogate, at its second byte", false, {0x81, 0x14, 'a', 0xed, 0xa0}, 5, NOT_UTF8},
    {"a bad byte in a fragment that goes on",
     false,
     {0x01, 0x01, 'a', 0x00, 0x05, 0x80},
     6,
     NOT_UTF8},
    {"a size, when it is announced", false, {0x81, 0x3d}, 2, TOO_BIG},
    {"a size, before the mask key", true, {0x81, 0xbd}, 2, TOO_BIG},
    {"a sum of sizes, when the last is announced",
     false,
     {0x01, 0x01, 'a', 0x00, 0x3c},
     5,
     TOO_BIG},
    {"a fragment of nothing, when it is announced", false, {0x80, 0x05}, 2, OF_NOTHING},
    {"an opcode, at the first byte (5.2)", true, {0x8b}, 1, "error(1002 unknown opcode) "},
    {"a client's frame without mask (5.1)",
     true,
     {0x81, 0x05},
     2,
     "error(1002 frame masked the wrong way) "},
    {"a server's frame with a mask (5.1)",
     false,
     {0x81, 0x85},
     2,
     "error(1002 frame masked the wrong way) "},
    {"5 bytes written as 16 bits (5.2)",
     false,
     {0x81, 0x7e, 0x00, 0x05},
     4,
     "error(1002 length not in its shortest form) "},
    {"a ping of 126 bytes (5.5)", false, {0x89, 0x7e}, 2, BAD_CONTROL},
};

START_TEST(what_cannot_become_right_is_refused_at_once)
{
    masked = fast[_i].peer_masks;
    start(60, 3);
    for (size_t i = 0; i < fast[_i].bytes; i++) {
        ck_assert_msg(heard_bytes == 0, "%s: byte %zu", fast[_i].why, i);
        arrive(fast[_i].data + i, 1);
    }
    ck_assert_msg(strcmp(heard, fast[_i].expect) == 0, "%s: \"%s\"", fast[_i].why, heard);
    arrive((const uint8_t *)"\x81\x01!", 3); /* and that was all */
    ck_assert_str_eq(heard, fast[_i].expect);
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
}
END_TEST

/* ---- sizes -------------------------------------------------------------------------------- */

static void fill(uint8_t *data, size_t bytes)
{
    uint32_t state = 99;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1103515245u + 12345u;
        data[i] = (uint8_t)(state >> 16);
    }
}

static const size_t sizes[] = {1,    124,  125,  126,   127,   4095,  4096,
                               4097, 8192, 8193, 65535, 65536, 65537, 100000};

START_TEST(a_message_of_any_size_comes_in_pieces_of_any_size)
{
    static const size_t pieces[] = {13, 1000, 4096, 65536, WIRE_BYTES_MAX};
    static uint8_t payload[100000];
    size_t bytes = sizes[_i];
    fill(payload, bytes);
    for (unsigned flags = 0; flags < 4; flags++) {
        char expect[64] = "";
        masked = flags & 1;
        wire_bytes = 0;
        if (flags & 2) { /* with a ping between three fragments */
            add_frame(0x02, payload, bytes / 3);
            add_frame(0x00, payload + bytes / 3, bytes / 2 - bytes / 3);
            add_frame(0x89, payload, 0);
            add_frame(0x80, payload + bytes / 2, bytes - bytes / 2);
        } else {
            add_frame(0x82, payload, bytes);
        }
        start(0, 0); /* for the words alone */
        if (flags & 2)
            say("ping() ");
        say_event(
            MESSAGE_DATA,
            &(struct message){.opcode = FRAME_BINARY, .payload = payload, .payload_bytes = bytes});
        memcpy(expect, heard, heard_bytes);
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            start(bytes, 3);
            arrive_in_pieces(pieces[i]);
            ck_assert_msg(strcmp(heard, expect) == 0, "pieces of %zu: %s", pieces[i], heard);
            ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
        }
    }
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------- */

START_TEST(a_whole_frame_is_handed_out_where_it_stands)
{
    uint8_t data[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}; /* 5.7 */
    struct message message;
    size_t consumed;
    masked = true;
    start(60, 3);
    counting = true;
    enum message_event event = message_read(&reader, data, sizeof data, &consumed, &message);
    counting = false;
    ck_assert_int_eq(event, MESSAGE_DATA);
    ck_assert_uint_eq(consumed, sizeof data);
    ck_assert_ptr_eq(message.payload, data + 6);
    ck_assert_mem_eq(data + 6, "Hello", 5);
    ck_assert_uint_eq(allocation_count, 0);
    ck_assert(message_reader_is_idle(&reader));
}
END_TEST

START_TEST(a_binary_frame_may_be_handed_out_as_it_came)
{
    uint8_t data[] = {0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,  /* 5.7 */
                      0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}; /* text */
    struct message message;
    size_t consumed;
    masked = true;
    start(60, 3);
    message_reader_leave_masked(&reader);
    ck_assert_int_eq(message_read(&reader, data, sizeof data, &consumed, &message), MESSAGE_DATA);
    ck_assert(message.is_masked);
    ck_assert_mem_eq(message.mask_key, "\x37\xfa\x21\x3d", 4);
    ck_assert_ptr_eq(message.payload, data + 6);
    ck_assert_mem_eq(message.payload, "\x7f\x9f\x4d\x51\x58", 5);
    ck_assert_int_eq(message_read(&reader, data + 11, 11, &consumed, &message), MESSAGE_DATA);
    ck_assert(!message.is_masked); /* it had to be looked at */
    ck_assert_mem_eq(message.payload, "Hello", 5);
}
END_TEST

START_TEST(what_came_in_parts_is_a_block_that_can_be_taken_over) /* _i: fragments, or one frame */
{
    static uint8_t payload[40000];
    struct message message;
    size_t consumed;
    fill(payload, sizeof payload);
    masked = true;
    wire_bytes = 0;
    if (_i == 0)
        add_frame(0x82, payload, sizeof payload);
    for (size_t at = 0; _i == 1 && at < sizeof payload; at += 100)
        add_frame(at == 0 ? 0x02 : at + 100 == sizeof payload ? 0x80 : 0x00, payload + at, 100);
    start(sizeof payload, 400);
    message_reader_leave_masked(&reader); /* it has been unmasked on its way to the block */
    ck_assert_int_eq(message_read(&reader, wire, 20000, &consumed, &message), MESSAGE_NEED_MORE);
    ck_assert_int_eq(message_read(&reader, wire + 20000, wire_bytes - 20000, &consumed, &message),
                     MESSAGE_DATA);
    ck_assert(!message.is_masked);
    ck_assert_mem_eq(message.payload, payload, sizeof payload);
    if (_i == 1) { /* it has grown by doubling, to 64 KiB: too much besides */
        ck_assert_ptr_null(message.block);
        return;
    }
    ck_assert_ptr_eq(message.block, message.payload);
    message_reader_lose_block(&reader);
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
    message_reader_clear(&reader);
    ck_assert_mem_eq(message.block, payload, sizeof payload); /* it lives on */
    free(message.block);
}
END_TEST

START_TEST(a_reader_that_skips_data_holds_none_and_finds_the_control_frames)
{
    masked = true;
    wire_bytes = 0;
    add_frame(0x01, "ab", 2);
    add_frame(0x00, "cd", 2);
    add_frame(0x89, "p", 1);
    add_frame(0x80, "ef", 2);
    add_frame(0x82, "whole", 5);
    add_frame(0x88, "", 0);
    start(60, 3);
    size_t begun = 10; /* the first frame, and a part of the second one's header */
    for (size_t i = 0; i < begun; i++)
        arrive(wire + i, 1);
    ck_assert_uint_gt(message_reader_heap_bytes(&reader), 0);
    message_reader_skip_data(&reader);
    for (size_t i = begun; i < wire_bytes; i++) {
        ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
        arrive(wire + i, 1);
    }
    ck_assert_str_eq(heard, "ping(p) close(1005 ) ");
    ck_assert(message_reader_has_ended(&reader));
}
END_TEST

START_TEST(a_reader_is_idle_between_messages_and_nowhere_else)
{
    masked = true;
    wire_bytes = 0;
    add_frame(0x01, "ab", 2);
    add_frame(0x89, "p", 1);
    add_frame(0x80, "c", 1);
    start(60, 3);
    for (size_t i = 0; i <= wire_bytes; i++) {
        ck_assert_msg(message_reader_is_idle(&reader) == (i == 0 || i == wire_bytes), "byte %zu",
                      i);
        if (i < wire_bytes)
            arrive(wire + i, 1);
    }
    ck_assert_str_eq(heard, "ping(p) text(abc) ");
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
}
END_TEST

START_TEST(memory_is_taken_for_what_came_and_not_for_what_was_announced)
{
    enum { ANNOUNCED = 16 * 1024 * 1024, ARRIVES = 300000 };
    static const uint8_t piece[1000];
    const uint8_t fin = _i ? 0x80 : 0; /* the last fragment, or one of several */
    const uint8_t header[10] = {fin | 0x02, 0x7f, 0, 0, 0, 0, 1, 0, 0, 0};
    start(ANNOUNCED, 3);
    arrive(header, sizeof header);
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
    for (size_t bytes = sizeof piece; bytes <= ARRIVES; bytes += sizeof piece) {
        arrive(piece, sizeof piece);
        size_t most = bytes * 2 > 4096 ? bytes * 2 : 4096;
        ck_assert_uint_ge(message_reader_heap_bytes(&reader), bytes);
        ck_assert_uint_le(message_reader_heap_bytes(&reader), most);
    }
    ck_assert_uint_lt(allocation_count, 10); /* it doubles */
    message_reader_clear(&reader);
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
    message_reader_clear(&reader); /* twice does no harm */
}
END_TEST

START_TEST(a_message_never_takes_more_than_four_times_what_came)
{
    static uint8_t payload[100000];
    wire_bytes = 0;
    masked = true;
    add_frame(0x82, payload, sizeof payload);
    start(sizeof payload, 1);
    for (size_t at = 0; at + 1 < wire_bytes; at++) {
        arrive(wire + at, 1);
        size_t arrived = at + 1 < 14 ? 0 : at + 1 - 14;
        size_t most = arrived * 4 + 4 > 4096 ? arrived * 4 + 4 : 4096;
        if (message_reader_heap_bytes(&reader) > most)
            ck_abort_msg("%zu bytes after %zu", message_reader_heap_bytes(&reader), arrived);
    }
    ck_assert_uint_eq(message_reader_heap_bytes(&reader), sizeof payload); /* to the byte */
    message_reader_clear(&reader);
}
END_TEST

START_TEST(frames_that_are_whole_take_no_memory)
{
    static uint8_t payload[70000];
    masked = _i;
    wire_bytes = 0;
    add_frame(0x82, payload, sizeof payload);
    add_frame(0x89, "p", 1);
    add_frame(0x81, "text", 4);
    add_frame(0x82, "", 0);
    start(sizeof payload, 3);
    allocation_count = 0;
    allocation_failing = 1;
    arrive(wire, wire_bytes);
    ck_assert_uint_eq(allocation_count, 0);
    ck_assert_ptr_null(reader.part);
    ck_assert_ptr_nonnull(strstr(heard, ") ping(p) text(text) binary() "));
    allocation_failing = 0;
}
END_TEST

static const struct {
    const char *why;
    uint8_t first;
    size_t bytes; /* of the payload */
    size_t cut;   /* so many of the frame come */
} cut_frames[] = {
    {"half a header", 0x82, 5, 1},
    {"half a header with a long length", 0x82, 300, 3},
    {"a header without its payload", 0x82, 5, 2},
    {"half a message", 0x82, 300, 200},
    {"half a Ping", 0x89, 5, 4},
    {"half a Close", 0x88, 5, 4},
    {"a fragment", 0x02, 5, 7},
    {"an empty fragment", 0x02, 0, 2},
};

START_TEST(without_memory_for_where_it_stands_the_reader_ends_by_name)
{
    masked = false;
    for (unsigned failing = 0; failing < 2; failing++) {
        wire_bytes = 0;
        add_frame(cut_frames[_i].first, "12345" FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY,
                  cut_frames[_i].bytes);
        start(1000, 3);
        allocation_count = 0;
        allocation_failing = failing;
        arrive(wire, cut_frames[_i].cut);
        allocation_failing = 0;
        ck_assert_msg(strcmp(heard, failing ? "error(1011 out of memory) " : "") == 0, "%s: %s",
                      cut_frames[_i].why, heard);
        ck_assert_int_eq(message_reader_is_idle(&reader), failing);
        ck_assert_int_eq(message_reader_has_ended(&reader), failing);
        message_reader_clear(&reader);
    }
}
END_TEST

START_TEST(a_refused_allocation_is_an_end_and_leaks_nothing)
{
    static uint8_t payload[200000];
    unsigned refused = 0;
    for (unsigned failing = 1;; failing++) {
        wire_bytes = 0;
        add_frame(0x02, payload, 5000);
        add_frame(0x89, "p", 1);
        add_frame(0x00, payload, 50000);
        add_frame(0x80, payload, 100000);
        add_frame(0x81, "next", 4);
        start(sizeof payload, 3);
        allocation_count = 0;
        allocation_failing = failing;
        arrive_in_pieces(1000);
        ck_assert_uint_eq(message_reader_heap_bytes(&reader), 0);
        if (allocation_count < failing)
            break; /* every one has failed once */
        refused++;
        const char *error = "error(1011 out of memory) ";
        ck_assert_uint_ge(heard_bytes, strlen(error));
        ck_assert_str_eq(heard + heard_bytes - strlen(error), error); /* and nothing after it */
        ck_assert(message_reader_is_idle(&reader));
    }
    ck_assert_uint_gt(refused, 4);
    ck_assert_ptr_nonnull(strstr(heard, "ping(p) binary(155000 bytes, "));
    ck_assert_ptr_nonnull(strstr(heard, "text(next) "));
}
END_TEST

/* ---- chance ------------------------------------------------------------------------------- */

static uint32_t chance(uint32_t *seed, uint32_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % below;
}

START_TEST(a_stream_of_any_frames_means_the_same_in_pieces_of_any_sizes)
{
    static const uint8_t firsts[] = {0x81, 0x82, 0x01, 0x02, 0x00, 0x00, 0x80, 0x80, 0x89, 0x8a};
    static char whole[sizeof heard];
    uint32_t seed = (uint32_t)_i * 2654435761u + 1;
    for (unsigned round = 0; round < 200; round++) {
        wire_bytes = 0;
        masked = chance(&seed, 2);
        for (unsigned i = 0; i < 12; i++) {
            static const char text[] = "abc\xe2\x82\xac\xf0\x9f\x98\x80" FIFTY;
            add_frame(firsts[chance(&seed, sizeof firsts)], text, chance(&seed, sizeof text));
        }
        if (chance(&seed, 4) == 0)
            wire[chance(&seed, (uint32_t)wire_bytes)] ^= (uint8_t)(1u << chance(&seed, 8));
        start(150, 4);
        arrive(wire, wire_bytes);
        memcpy(whole, heard, sizeof heard);
        message_reader_clear(&reader);
        start(150, 4);
        for (size_t at = 0, bytes; at < wire_bytes; at += bytes) {
            bytes = 1 + chance(&seed, 40);
            if (bytes > wire_bytes - at)
                bytes = wire_bytes - at;
            arrive(wire + at, bytes);
        }
        ck_assert_str_eq(heard, whole);
        message_reader_clear(&reader);
    }
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("message");
    LOOP(a_stream_means_the_same_wherever_it_is_split, streams);
    LOOP(what_cannot_become_right_is_refused_at_once, fast);
    LOOP(a_message_of_any_size_comes_in_pieces_of_any_size, sizes);
    tcase_add_test(tcase, a_whole_frame_is_handed_out_where_it_stands);
    tcase_add_test(tcase, a_binary_frame_may_be_handed_out_as_it_came);
    tcase_add_loop_test(tcase, what_came_in_parts_is_a_block_that_can_be_taken_over, 0, 2);
    tcase_add_test(tcase, a_reader_that_skips_data_holds_none_and_finds_the_control_frames);
    tcase_add_test(tcase, a_reader_is_idle_between_messages_and_nowhere_else);
    tcase_add_loop_test(tcase, memory_is_taken_for_what_came_and_not_for_what_was_announced, 0, 2);
    tcase_add_test(tcase, a_message_never_takes_more_than_four_times_what_came);
    tcase_add_test(tcase, a_refused_allocation_is_an_end_and_leaks_nothing);
    tcase_add_loop_test(tcase, frames_that_are_whole_take_no_memory, 0, 2);
    tcase_add_loop_test(tcase, without_memory_for_where_it_stands_the_reader_ends_by_name, 0,
                        sizeof cut_frames / sizeof *cut_frames);
    tcase_add_loop_test(tcase, a_stream_of_any_frames_means_the_same_in_pieces_of_any_sizes, 0, 10);

    Suite *suite = suite_create("message");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
