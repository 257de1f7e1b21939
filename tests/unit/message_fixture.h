/* A wire to one reader, what is heard at its end, and an allocator that refuses on demand. */
#ifndef WSKEEP_TESTS_MESSAGE_FIXTURE_H
#define WSKEEP_TESTS_MESSAGE_FIXTURE_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_malloc.h" /* counts inside of message_read */
#include "proto/mask.h"
#include "proto/message.h"

/* ---- the wire, and what is heard of it ----------------------------------------------------- */

enum { WIRE_BYTES_MAX = 400000 };

static struct message_reader reader;
static bool masked;
static uint8_t wire[WIRE_BYTES_MAX];
static size_t wire_bytes;
static char heard[8192]; /* one word for each event */
static size_t heard_bytes;

static void start(uint64_t message_bytes_max, uint32_t fragment_count_max)
{
    const struct message_limits limits = {message_bytes_max, fragment_count_max};
    message_reader_init(&reader, masked, &limits);
    heard[heard_bytes = 0] = '\0';
}

/* A frame with any first byte, right or wrong; masked as the direction wants it. */
static void add_frame(uint8_t first, const void *payload, size_t bytes)
{
    static const uint8_t key[4] = {0x80, 0x01, 0xfe, 0x3d};
    struct frame_header header = {.fin = true, .masked = masked, .opcode = FRAME_BINARY};
    header.payload_bytes = bytes;
    if (masked)
        memcpy(header.mask_key, key, 4);
    ck_assert_uint_le(wire_bytes + bytes + FRAME_HEADER_BYTES_MAX, WIRE_BYTES_MAX);
    size_t header_bytes = frame_header_encode(&header, wire + wire_bytes);
    wire[wire_bytes] = first;
    wire_bytes += header_bytes;
    mask_copy(wire + wire_bytes, payload, bytes, header.mask_key, 0);
    wire_bytes += bytes;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    heard_bytes +=
        (size_t)vsnprintf(heard + heard_bytes, sizeof heard - heard_bytes, format, arguments);
    va_end(arguments);
    ck_assert_uint_lt(heard_bytes, sizeof heard);
}

static void say_event(enum message_event event, const struct message *message)
{
    static const char *const names[] = {[FRAME_TEXT] = "text", [FRAME_BINARY] = "binary"};
    const uint8_t *payload = message->payload;
    size_t bytes = message->payload_bytes;
    if (event == MESSAGE_CLOSE || event == MESSAGE_ERROR) {
        say("%s(%u %.*s) ", event == MESSAGE_CLOSE ? "close" : "error", message->close.code,
            message->close.reason_bytes, message->close.reason);
        return;
    }
    ck_assert_ptr_nonnull(payload);
    say("%s(", event == MESSAGE_PING   ? "ping"
               : event == MESSAGE_PONG ? "pong"
                                       : names[message->opcode]);
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ payload[i]) * 16777619u;
    if (bytes > 60)
        say("%zu bytes, %08x) ", bytes, (unsigned)sum);
    else
        say("%.*s) ", (int)bytes, (const char *)payload);
}

/* The next bytes arrive, in a buffer of exactly their size. */
static void arrive(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, data, bytes);
    for (size_t at = 0;;) {
        struct message message;
        size_t consumed = 12345678;
        counting = true;
        enum message_event event =
            message_read(&reader, copy + at, bytes - at, &consumed, &message);
        counting = false;
        if (consumed > bytes - at || (event == MESSAGE_NEED_MORE && consumed != bytes - at))
            ck_abort_msg("%zu of %zu consumed", consumed, bytes - at); /* an assertion is slow */
        at += consumed;
        if (event == MESSAGE_NEED_MORE)
            break;
        say_event(event, &message);
    }
    free(copy);
}

static void arrive_in_pieces(size_t piece)
{
    for (size_t at = 0; at < wire_bytes; at += piece)
        arrive(wire + at, wire_bytes - at < piece ? wire_bytes - at : piece);
}

#endif
