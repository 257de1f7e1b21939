/* permessage-deflate's streams, against zlib's own and against RFC 7692's examples. */
#include <check.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/deflate.h"

/* ---- our own allocations, counted and refused on demand ------------------------------------ */

/* The linker leads them here: -Wl,--wrap=malloc and so on.  zlib's come this way, too. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void __wrap_free(void *memory);

static bool counting; /* only inside of the functions that are tested */
static unsigned allocation_count;
static unsigned allocation_failing; /* from 1; 0: none */
static long held_bytes;

static void *count(void *memory)
{
    if (counting && memory)
        held_bytes += (long)malloc_usable_size(memory);
    return memory;
}

static bool allocation_fails(void)
{
    return counting && ++allocation_count == allocation_failing;
}

void *__wrap_malloc(size_t bytes)
{
    return allocation_fails() ? NULL : count(__real_malloc(bytes));
}

void *__wrap_calloc(size_t items, size_t bytes)
{
    return allocation_fails() ? NULL : count(__real_calloc(items, bytes));
}

void *__wrap_realloc(void *old, size_t bytes)
{
    if (allocation_fails())
        return NULL;
    if (counting && old)
        held_bytes -= (long)malloc_usable_size(old);
    return count(__real_realloc(old, bytes));
}

void __wrap_free(void *memory)
{
    if (counting && memory)
        held_bytes -= (long)malloc_usable_size(memory);
    __real_free(memory);
}

/* ---- messages ------------------------------------------------------------------------------ */

static uint32_t chance_state;

static uint32_t chance(uint32_t below)
{
    chance_state = chance_state * 1664525u + 1013904223u;
    return (chance_state >> 8) % below;
}

enum kind { JSON, ZEROS, NOISE, KIND_COUNT };

/* The caller frees. */
static uint8_t *make(enum kind kind, size_t bytes)
{
    static const char *const words[] = {"{\"symbol\":\"", "\",\"price\":", ",\"volume\":", "},"};
    uint8_t *payload = calloc(1, bytes + 1);
    if (kind == NOISE)
        for (size_t i = 0; i < bytes; i++)
            payload[i] = (uint8_t)chance(256);
    if (kind == JSON)
        for (size_t i = 0; i < bytes;) {
            char piece[64];
            int length = snprintf(piece, sizeof piece, "%s%u", words[chance(4)], chance(5000));
            for (int k = 0; k < length && i < bytes; k++)
                payload[i++] = (uint8_t)piece[k];
        }
    return payload;
}

/* ---- the two streams ------------------------------------------------------------------------ */

static struct deflate_writer writer;
static struct deflate_reader reader;
static uint8_t *inflated; /* by the last read_message() */
static size_t inflated_bytes;

static void begin(unsigned window_bits, bool keeps_context)
{
    deflate_writer_init(&writer, window_bits, keeps_context);
    deflate_reader_init(&reader, window_bits, keeps_context);
}

static void end(void)
{
    counting = true;
    deflate_writer_clear(&writer);
    deflate_reader_clear(&reader);
    counting = false;
    free(inflated);
    inflated = NULL;
}

static enum deflate_result write_message(const uint8_t *payload, size_t bytes, size_t piece)
{
    enum deflate_result result;
    counting = true;
    deflate_write_begin(&writer, payload, bytes);
    do
        result = deflate_write(&writer, piece);
    while (result == DEFLATE_MORE);
    counting = false;
    if (result == DEFLATE_OK)
        ck_assert_uint_lt(writer.buffer_bytes, bytes);
    return result;
}

/* One piece of input, or the message's end, into `inflated`; room bytes at a time. */
static enum deflate_result read_piece(const uint8_t *data, size_t bytes, bool is_end, size_t room)
{
    enum deflate_result result;
    do {
        size_t written;
        uint8_t *out = malloc(room); /* exactly so large: a sanitizer sees what is beyond it */
        counting = true;
        result = is_end ? deflate_read_end(&reader, out, room, &written)
                        : deflate_read(&reader, &data, &bytes, out, room, &written);
        counting = false;
        ck_assert_uint_le(written, room);
        inflated = realloc(inflated, inflated_bytes + written + 1);
        memcpy(inflated + inflated_bytes, out, written);
        inflated_bytes += written;
        free(out);
    } while (result == DEFLATE_MORE);
    if (result == DEFLATE_OK && !is_end)
        ck_assert_uint_eq(bytes, 0);
    return result;
}

/* In pieces of so many bytes, each in a buffer of its own. */
static enum deflate_result read_message(const uint8_t *data, size_t bytes, size_t piece,
                                        size_t room)
{
    inflated_bytes = 0;
    while (bytes > 0) {
        size_t now = bytes < piece ? bytes : piece;
        uint8_t *copy = malloc(now);
        memcpy(copy, data, now);
        enum deflate_result result = read_piece(copy, now, false, room);
        free(copy);
        if (result != DEFLATE_OK)
            return result;
        data += now;
        bytes -= now;
    }
    return read_piece(NULL, 0, true, room);
}

static void pass(const uint8_t *payload, size_t bytes, size_t piece, size_t room)
{
    if (write_message(payload, bytes, bytes) != DEFLATE_OK)
        return; /* it goes as it is */
    ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, piece, room), DEFLATE_OK);
    ck_assert_uint_eq(inflated_bytes, bytes);
    ck_assert_mem_eq(inflated, payload, bytes);
    counting = true;
    deflate_write_done(&writer);
    counting = false;
}

START_TEST(every_size_kind_and_window_comes_back) /* _i: window bits, and whether context is kept */
{
    static const size_t sizes[] = {1, 127, 128, 129, 500, 4096, 9000, 65535, 70000, 300000};
    begin(8 + (unsigned)_i / 2, _i % 2);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (enum kind kind = JSON; kind < KIND_COUNT; kind++) {
                uint8_t *payload = make(kind, sizes[s]);
                size_t piece = round == 0 ? sizes[s] : 1 + chance(5000);
                pass(payload, sizes[s], piece, 1 + chance(round == 1 ? 300 : 70000));
                free(payload);
            }
    end();
    ck_assert_int_eq(held_bytes, 0);
}
END_TEST

START_TEST(thousands_of_small_messages_come_back)
{
    begin(8 + (unsigned)_i / 2, _i % 2);
    for (size_t bytes = 100; bytes < 2100; bytes++) {
        uint8_t *payload = make(JSON, bytes);
        pass(payload, bytes, 1 + chance(2000), 4096);
        free(payload);
        if (bytes % 97 == 0) { /* both fall quiet at any time */
            deflate_writer_rest(&writer);
            deflate_reader_rest(&reader);
        }
    }
    end();
}
END_TEST

START_TEST(a_window_of_256_bytes_is_enough_for_what_is_written_for_one)
{
    z_stream z = {0};
    begin(8, true);
    ck_assert_int_eq(inflateInit2(&z, -8), Z_OK);
    for (unsigned i = 0; i < 50; i++) {
        uint8_t *payload = make(JSON, 3000);
        ck_assert_int_eq(write_message(payload, 3000, 3000), DEFLATE_OK);
        uint8_t whole[4000];
        memcpy(whole, writer.buffer, writer.buffer_bytes);
        memcpy(whole + writer.buffer_bytes, "\0\0\xff\xff", 4);
        z.next_in = whole;
        z.avail_in = (unsigned)writer.buffer_bytes + 4;
        for (size_t at = 0; at < 3000; at++) { /* byte by byte, the window is all that it has */
            uint8_t byte;
            z.next_out = &byte;
            z.avail_out = 1;
            int result = inflate(&z, Z_SYNC_FLUSH);
            if (result != Z_OK || byte != payload[at])
                ck_abort_msg("message %u, byte %zu: %d", i, at, result);
        }
        uint8_t more;
        z.next_out = &more;
        z.avail_out = 1;
        (void)inflate(&z, Z_SYNC_FLUSH);
        ck_assert_uint_eq(z.avail_out, 1);
        ck_assert_uint_eq(z.avail_in, 0);
        free(payload);
    }
    inflateEnd(&z);
    end();
}
END_TEST

START_TEST(what_went_as_it_is_is_not_referred_to)
{
    begin(15, true);
    uint8_t *noise = make(NOISE, 2000);
    uint8_t *json = make(JSON, 2000);
    uint8_t *both = calloc(1, 4000);
    memcpy(both, noise, 2000); /* it would be found, were it not forgotten */
    memcpy(both + 2000, json, 2000);
    pass(json, 2000, 2000, 4000);
    ck_assert_int_eq(write_message(noise, 2000, 2000), DEFLATE_PLAIN);
    ck_assert_int_eq(write_message(both, 4000, 4000), DEFLATE_OK);
    ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, 5000, 5000), DEFLATE_OK);
    ck_assert_uint_eq(inflated_bytes, 4000);
    ck_assert_mem_eq(inflated, both, 4000);
    free(noise);
    free(json);
    free(both);
    end();
}
END_TEST

START_TEST(context_makes_the_same_message_short_and_is_kept_only_where_it_may_be)
{
    uint8_t *json = make(JSON, 1000);
    size_t first[2];
    size_t second[2];
    for (int keeps = 0; keeps < 2; keeps++) {
        begin(15, keeps);
        ck_assert_int_eq(write_message(json, 1000, 1000), DEFLATE_OK);
        first[keeps] = writer.buffer_bytes;
        ck_assert_int_eq(write_message(json, 1000, 1000), DEFLATE_OK);
        second[keeps] = writer.buffer_bytes;
        if (!keeps) /* a reader that starts here understands it */
            ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, 1000, 1000),
                             DEFLATE_OK);
        else
            ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, 1000, 1000),
                             DEFLATE_ERR_DATA);
        end();
    }
    ck_assert_uint_eq(first[0], second[0]);
    ck_assert_uint_lt(second[1], first[1] / 4);
    free(json);
}
END_TEST

START_TEST(a_reader_without_context_does_not_look_back)
{
    uint8_t *json = make(JSON, 1000);
    deflate_writer_init(&writer, 15, true); /* a peer that breaks its word */
    deflate_reader_init(&reader, 15, false);
    ck_assert_int_eq(write_message(json, 1000, 1000), DEFLATE_OK);
    ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, 1000, 1000), DEFLATE_OK);
    ck_assert_int_eq(write_message(json, 1000, 1000), DEFLATE_OK);
    ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, 1000, 1000),
                     DEFLATE_ERR_DATA);
    free(json);
    end();
}
END_TEST

START_TEST(a_long_message_takes_its_turns_and_noise_is_given_up_early)
{
    begin(15, true);
    uint8_t *json = make(JSON, 300000);
    counting = true;
    deflate_write_begin(&writer, json, 300000);
    ck_assert_int_eq(deflate_write(&writer, 100000), DEFLATE_MORE);
    ck_assert_int_eq(deflate_write(&writer, 100000), DEFLATE_MORE);
    ck_assert_int_eq(deflate_write(&writer, 100000), DEFLATE_OK);
    counting = false;
    ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, 300000, 1000), DEFLATE_OK);
    ck_assert_uint_eq(inflated_bytes, 300000);
    ck_assert_mem_eq(inflated, json, 300000);
    counting = true;
    deflate_write_done(&writer);
    ck_assert_ptr_null(writer.buffer);
    uint8_t *noise = make(NOISE, 300000);
    deflate_write_begin(&writer, noise, 300000);
    ck_assert_int_eq(deflate_write(&writer, 100000), DEFLATE_PLAIN);
    counting = false;
    free(json);
    free(noise);
    end();
}
END_TEST

/* ---- what peers may send, and what they may not --------------------------------------------- */

static const struct {
    const char *why;
    uint8_t data[24];
    size_t bytes;
    const char *text; /* NULL: refused */
} streams[] = {
    {"one block (7.2.3.1)", {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}, 7, "Hello"},
    {"a stored block (7.2.3.3)",
     {0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00},
     11,
     "Hello"},
    {"a final block, and an empty one (7.2.3.4)",
     {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00},
     8,
     "Hello"},
    {"a final block, and nothing behind it",
     {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00},
     7,
     "Hello"},
    {"two final blocks",
     {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00},
     15,
     "HelloHello"},
    {"the block behind a final one looks back",
     {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x02, 0x13, 0x00, 0x00},
     11,
     "HelloHello"},
    {"two blocks (7.2.3.5)",
     {0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00},
     13,
     "Hello"},
    {"nothing (7.2.3.6)", {0x00}, 1, ""},
    {"no byte at all is no DEFLATE", {0}, 0, NULL},
    {"cut in the middle of a block", {0xf2, 0x48, 0xcd, 0xc9}, 4, NULL},
    {"cut before its last byte", {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07}, 6, NULL},
    {"a stored block that is cut", {0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65}, 7, NULL},
    {"a stored block whose length is wrong", {0x00, 0x05, 0x00, 0xfb, 0xff, 0x48}, 6, NULL},
    {"the fourth kind of block", {0x06}, 1, NULL},
    {"it looks back to before its beginning", {0x02, 0x13, 0x00, 0x00}, 4, NULL},
    {"garbage behind a final block",
     {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xff, 0xff},
     9,
     NULL},
    {"a final block that is cut, and would end within those four bytes", {0x6b}, 1, NULL},
    {"the four bytes that are to be left out were not (7.2.1)",
     {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff},
     11,
     NULL},
    {"gzip", {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03}, 10, NULL},
    {"zlib's own header", {0x78, 0x9c, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}, 9, NULL},
};

START_TEST(a_stream_is_read_as_the_rfc_says_or_refused)
{
    for (size_t piece = 1; piece <= 24; piece++)
        for (size_t room = 1; room <= 12; room++) {
            begin(15, true);
            enum deflate_result result =
                read_message(streams[_i].data, streams[_i].bytes, piece, room);
            ck_assert_msg((result == DEFLATE_OK) == (streams[_i].text != NULL),
                          "%s, in pieces of %zu: %s", streams[_i].why, piece,
                          deflate_result_text(result));
            if (streams[_i].text) {
                ck_assert_uint_eq(inflated_bytes, strlen(streams[_i].text));
                ck_assert_mem_eq(inflated, streams[_i].text, inflated_bytes);
            } else {
                ck_assert_int_eq(result, DEFLATE_ERR_DATA);
            }
            end();
        }
}
END_TEST

START_TEST(the_rfcs_second_message_needs_the_first)
{
    static const uint8_t first[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t second[] = {0xf2, 0x00, 0x11, 0x00, 0x00}; /* 7.2.3.2 */
    begin(15, true);
    ck_assert_int_eq(read_message(first, sizeof first, 99, 99), DEFLATE_OK);
    deflate_reader_rest(&reader); /* it may not forget */
    ck_assert_int_eq(read_message(second, sizeof second, 99, 99), DEFLATE_OK);
    ck_assert_mem_eq(inflated, "Hello", 5);
    end();
    begin(15, false);
    ck_assert_int_eq(read_message(first, sizeof first, 99, 99), DEFLATE_OK);
    ck_assert_int_eq(read_message(second, sizeof second, 99, 99), DEFLATE_ERR_DATA);
    end();
}
END_TEST

START_TEST(mutations_end_alike_however_they_are_split)
{
    uint8_t *json = make(JSON, 600);
    for (unsigned i = 0; i < 4000; i++) {
        begin(9 + chance(7), true);
        ck_assert_int_eq(write_message(json, 600, 600), DEFLATE_OK);
        uint8_t stream[700];
        size_t bytes = writer.buffer_bytes;
        memcpy(stream, writer.buffer, bytes);
        for (unsigned changes = chance(4); changes > 0; changes--)
            stream[chance((uint32_t)bytes)] ^= (uint8_t)(1u << chance(8));
        bytes -= chance(4) == 0 ? chance((uint32_t)bytes) : 0;
        enum deflate_result result = read_message(stream, bytes, bytes + 1, 1 << 20);
        size_t once_bytes = inflated_bytes;
        uint8_t *once = malloc(once_bytes + 1);
        memcpy(once, inflated, once_bytes);
        deflate_reader_clear(&reader);
        ck_assert_int_eq(read_message(stream, bytes, 1 + chance(50), 1 + chance(50)), result);
        if (result == DEFLATE_OK)
            ck_assert_uint_eq(inflated_bytes, once_bytes);
        if (result == DEFLATE_OK)
            ck_assert_mem_eq(inflated, once, once_bytes);
        free(once);
        end();
    }
    free(json);
}
END_TEST

/* ---- memory --------------------------------------------------------------------------------- */

START_TEST(memory_is_what_the_header_says_and_goes_back)
{
    uint8_t *json = make(JSON, 10000);
    ck_assert_int_eq(held_bytes, 0);
    begin(15, false);
    ck_assert_int_eq(write_message(json, 10000, 10000), DEFLATE_OK);
    ck_assert_int_le(held_bytes, 72 * 1024 + 10100);
    long writing = held_bytes;
    ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, 500, 500), DEFLATE_OK);
    ck_assert_int_le(held_bytes - writing, 40 * 1024 + 500);
    counting = true;
    deflate_writer_rest(&writer);
    deflate_reader_rest(&reader);
    counting = false;
    ck_assert_int_eq(held_bytes, 0);
    free(json);
    end();
}
END_TEST

START_TEST(a_quiet_reader_keeps_what_was_inflated_and_no_more)
{
    uint8_t *json = make(JSON, 100000);
    static const size_t sizes[] = {1000, 100000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin(15, true);
        for (unsigned round = 0; round < 3; round++) {
            pass(json, sizes[i], sizes[i], 4096); /* the second time it refers to the first */
            size_t past_bytes = (round + 1) * sizes[i] < 32768 ? (round + 1) * sizes[i] : 32768;
            counting = true;
            deflate_writer_rest(&writer);
            deflate_reader_rest(&reader);
            counting = false;
            ck_assert_ptr_null(reader.stream);
            ck_assert_uint_eq(reader.past_bytes, past_bytes);
            ck_assert_int_le(held_bytes, (long)past_bytes + 64);
        }
        end();
        ck_assert_int_eq(held_bytes, 0);
    }
    free(json);
}
END_TEST

START_TEST(a_quiet_reader_without_memory_keeps_its_stream)
{
    uint8_t *json = make(JSON, 1000);
    begin(15, true);
    pass(json, 1000, 1000, 1000);
    counting = true;
    allocation_count = 0;
    allocation_failing = 1;
    deflate_reader_rest(&reader);
    allocation_failing = 0;
    counting = false;
    ck_assert_ptr_nonnull(reader.stream);
    pass(json, 1000, 1000, 1000);
    end();
    ck_assert_int_eq(held_bytes, 0);
    free(json);
}
END_TEST

START_TEST(a_reader_that_cannot_wake_says_so)
{
    uint8_t *json = make(JSON, 1000);
    unsigned failing = 0;
    for (bool failed = true; failed;) {
        begin(15, true);
        pass(json, 1000, 1000, 1000);
        counting = true;
        deflate_reader_rest(&reader);
        counting = false;
        ck_assert_int_eq(write_message(json, 1000, 1000), DEFLATE_OK);
        allocation_count = 0;
        allocation_failing = ++failing;
        enum deflate_result result =
            read_message(writer.buffer, writer.buffer_bytes, writer.buffer_bytes, 1000);
        failed = allocation_count >= failing;
        allocation_failing = 0;
        ck_assert_int_eq(result, failed ? DEFLATE_ERR_MEMORY : DEFLATE_OK);
        end();
        ck_assert_int_eq(held_bytes, 0);
    }
    ck_assert_uint_gt(failing, 3); /* the stream, its state, its window */
    free(json);
}
END_TEST

START_TEST(a_message_for_which_there_is_no_memory_goes_as_it_is)
{
    uint8_t *json = make(JSON, 200000);
    unsigned failing = 0;
    for (bool failed = true; failed;) {
        begin(15, true);
        uint8_t *before = make(JSON, 500);
        pass(before, 500, 500, 500);
        free(before);
        counting = true;
        if (_i == 0)
            deflate_writer_rest(&writer); /* all its memory is asked for again */
        counting = false;
        allocation_count = 0;
        allocation_failing = ++failing;
        enum deflate_result result = write_message(json, 200000, 50000);
        failed = allocation_count >= failing;
        ck_assert_int_eq(result, failed ? DEFLATE_ERR_MEMORY : DEFLATE_OK);
        allocation_failing = 0;
        if (!failed)
            ck_assert_int_eq(read_message(writer.buffer, writer.buffer_bytes, 200000, 65536),
                             DEFLATE_OK);
        pass(json, 200000, 200000, 65536); /* and the next one passes again */
        ck_assert_uint_eq(inflated_bytes, 200000);
        end();
        ck_assert_int_eq(held_bytes, 0);
    }
    ck_assert_uint_gt(failing, _i == 0 ? 6 : 1);
    free(json);
}
END_TEST

START_TEST(a_reader_without_memory_says_so)
{
    static const uint8_t hello[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    unsigned failing = 0;
    for (bool failed = true; failed;) {
        begin(15, true);
        allocation_count = 0;
        allocation_failing = ++failing;
        enum deflate_result result = read_message(hello, sizeof hello, 3, 2);
        failed = allocation_count >= failing;
        ck_assert_int_eq(result, failed ? DEFLATE_ERR_MEMORY : DEFLATE_OK);
        allocation_failing = 0;
        end();
        ck_assert_int_eq(held_bytes, 0);
    }
    ck_assert_uint_gt(failing, 3);
}
END_TEST

static void setup(void)
{
    chance_state = 1;
    counting = false;
    allocation_failing = 0;
    held_bytes = 0;
}

int main(void)
{
    Suite *suite = suite_create("deflate");
    TCase *tests = tcase_create("deflate");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_loop_test(tests, every_size_kind_and_window_comes_back, 0, 16);
    tcase_add_loop_test(tests, thousands_of_small_messages_come_back, 0, 16);
    tcase_add_test(tests, a_window_of_256_bytes_is_enough_for_what_is_written_for_one);
    tcase_add_test(tests, what_went_as_it_is_is_not_referred_to);
    tcase_add_test(tests, context_makes_the_same_message_short_and_is_kept_only_where_it_may_be);
    tcase_add_test(tests, a_reader_without_context_does_not_look_back);
    tcase_add_test(tests, a_long_message_takes_its_turns_and_noise_is_given_up_early);
    tcase_add_loop_test(tests, a_stream_is_read_as_the_rfc_says_or_refused, 0,
                        sizeof streams / sizeof *streams);
    tcase_add_test(tests, the_rfcs_second_message_needs_the_first);
    tcase_add_test(tests, mutations_end_alike_however_they_are_split);
    tcase_add_test(tests, a_quiet_reader_keeps_what_was_inflated_and_no_more);
    tcase_add_test(tests, a_quiet_reader_without_memory_keeps_its_stream);
    tcase_add_test(tests, a_reader_that_cannot_wake_says_so);
    tcase_add_test(tests, memory_is_what_the_header_says_and_goes_back);
    tcase_add_loop_test(tests, a_message_for_which_there_is_no_memory_goes_as_it_is, 0, 2);
    tcase_add_test(tests, a_reader_without_memory_says_so);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
