/*
 * A stream of frames: one buffer against splits of it, and both against a plain reading of RFC
 * 6455 and 7692.  Input: a byte of rules and limits, with permessage-deflate one of its terms, and
 * the stream.
 */
#include "proto/message.h"

#include "reference.h"
#include "reference_inflate.h"

enum {
    EVENT_COUNT_MAX = 4096,
    INFLATED_BYTES_MAX = 100000, /* of one message */
    HISTORY_BYTES_MAX = 1 << 20  /* of all messages that one may refer to */
};

struct terms {
    bool has_deflate;
    bool keeps_context;
    unsigned window_bits;
};

struct event {
    enum message_event kind;
    enum frame_opcode opcode;
    uint16_t code;
    size_t at; /* in heard.payload */
    size_t bytes;
};

struct heard {
    struct event events[EVENT_COUNT_MAX];
    size_t count;
    uint8_t *payload; /* of all of them, one behind the other */
    size_t payload_bytes;
    size_t payload_bytes_max;
};

static void hear(struct heard *heard, enum message_event kind, enum frame_opcode opcode,
                 uint16_t code, const void *payload, size_t bytes)
{
    if (heard->count == EVENT_COUNT_MAX)
        return; /* both sides stop there */
    if (bytes > heard->payload_bytes_max - heard->payload_bytes) {
        heard->payload_bytes_max = heard->payload_bytes;
        heard->count = EVENT_COUNT_MAX;
        return;
    }
    heard->events[heard->count++] = (struct event){
        .kind = kind, .opcode = opcode, .code = code, .at = heard->payload_bytes, .bytes = bytes};
    if (bytes > 0)
        memcpy(heard->payload + heard->payload_bytes, payload, bytes);
    heard->payload_bytes += bytes;
}

static bool is_same(const struct heard *a, const struct heard *b)
{
    if (a->count != b->count || a->payload_bytes != b->payload_bytes)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct event *x = &a->events[i];
        const struct event *y = &b->events[i];
        if (x->kind != y->kind || x->opcode != y->opcode || x->code != y->code ||
            x->bytes != y->bytes)
            return false;
    }
    return a->payload_bytes == 0 || memcmp(a->payload, b->payload, a->payload_bytes) == 0;
}

/* ---- the plain reading --------------------------------------------------------------------- */

struct plain {
    const uint8_t *data;
    size_t bytes;
    bool masked;
    struct message_limits limits;
    struct heard *heard;
    uint8_t *message; /* of the fragments so far */
    size_t message_bytes;
    uint32_t fragment_count;
    unsigned opcode; /* of the message in parts; 0: none */
    struct terms terms;
    bool is_deflated;  /* that message: then message is as it came, */
    uint8_t *inflated; /* and this is what was inflated, with what came before */
    size_t kept_bytes; /* ... which are so many */
    bool is_over;      /* it cannot be told what comes next, or there is no room to tell it */
};

static bool plain_error(struct plain *plain, uint16_t code)
{
    hear(plain->heard, MESSAGE_ERROR, 0, code, NULL, 0);
    return false;
}

/* A whole control frame. */
static bool plain_control(struct plain *plain, unsigned opcode, const uint8_t *body, size_t bytes)
{
    if (opcode != FRAME_CLOSE) {
        hear(plain->heard, opcode == FRAME_PING ? MESSAGE_PING : MESSAGE_PONG,
             (enum frame_opcode)opcode, 0, body, bytes);
        return true;
    }
    uint16_t error = reference_close_error(body, bytes);
    if (error != 0)
        return plain_error(plain, error);
    uint16_t code = bytes == 0 ? CLOSE_NO_STATUS : (uint16_t)(body[0] * 256 + body[1]);
    hear(plain->heard, MESSAGE_CLOSE, FRAME_CLOSE, code, body + (bytes ? 2 : 0),
         bytes ? bytes - 2 : 0);
    return false;
}

/* So far it is right.  The reading ends where a window is left: that is seen or not. */
static uint16_t plain_inflate(struct plain *plain, bool is_last, size_t *bytes)
{
    struct inflater inflater = {.data = plain->message,
                                .bytes = plain->message_bytes,
                                .out = plain->inflated,
                                .written = plain->kept_bytes,
                                .written_max =
                                    plain->kept_bytes + (size_t)plain->limits.message_bytes_max,
                                .window_bytes = (size_t)1 << plain->terms.window_bits};
    bool is_whole = false;
    enum inflated result =
        is_last ? inflater_read_all(&inflater, &is_whole) : inflater_read(&inflater);
    *bytes = inflater.written - plain->kept_bytes;
    plain->is_over = plain->is_over || inflater.leaves_window;
    if (result == INFLATED_FULL)
        return 1009;
    return result == INFLATED_WRONG || (is_last && !is_whole) ? 1007 : 0;
}

/* Some or all of a data frame's payload. */
static bool plain_data(struct plain *plain, const uint8_t *payload, size_t bytes, bool is_last)
{
    uint16_t error = 0;
    if (bytes > 0)
        memcpy(plain->message + plain->message_bytes, payload, bytes);
    plain->message_bytes += bytes;
    const uint8_t *text = plain->message;
    size_t text_bytes = plain->message_bytes;
    if (plain->is_deflated) {
        text = plain->inflated + plain->kept_bytes;
        error = plain_inflate(plain, is_last, &text_bytes);
    }
    if (plain->is_over)
        return false;
    if (plain->opcode == FRAME_TEXT) {
        enum reference_text result = reference_utf8(text, text_bytes);
        if (result == REFERENCE_TEXT_WRONG ||
            (is_last && error == 0 && result != REFERENCE_TEXT_WHOLE))
            error = 1007;
    }
    if (error != 0)
        return plain_error(plain, error);
    if (is_last) {
        hear(plain->heard, MESSAGE_DATA, (enum frame_opcode)plain->opcode, 0, text, text_bytes);
        if (plain->is_deflated && plain->terms.keeps_context)
            plain->kept_bytes += text_bytes;
        plain->is_over = plain->kept_bytes + INFLATED_BYTES_MAX > HISTORY_BYTES_MAX;
        plain->opcode = 0;
        plain->message_bytes = 0;
        plain->fragment_count = 0;
    }
    return true;
}

/* What a message may have on the wire. */
static uint64_t plain_bytes_max(const struct plain *plain, bool is_deflated)
{
    uint64_t bytes = plain->limits.message_bytes_max;
    return is_deflated ? bytes + bytes / 4 + 65536 : bytes;
}

/* 5.4, and the limits.  0: it may come. */
static uint16_t plain_data_error(const struct plain *plain, const struct frame_header *header)
{
    bool goes_on = header->opcode == FRAME_CONTINUATION;
    bool is_deflated = goes_on ? plain->is_deflated : header->rsv1;
    if (goes_on != (plain->opcode != 0))
        return 1002;
    if (plain->message_bytes + header->payload_bytes > plain_bytes_max(plain, is_deflated))
        return 1009;
    if (goes_on && plain->fragment_count + 1 > plain->limits.fragment_count_max)
        return 1009;
    return 0;
}

/* One frame.  False: nothing more comes out of this stream, for now or for good. */
static bool plain_frame(struct plain *plain)
{
    struct frame_header header;
    size_t header_bytes;
    const struct frame_rules rules = {.masked = plain->masked,
                                      .rsv1_allowed = plain->terms.has_deflate,
                                      .payload_bytes_max =
                                          plain_bytes_max(plain, plain->terms.has_deflate)};
    enum frame_result result =
        frame_header_decode(plain->data, plain->bytes, &rules, &header, &header_bytes);
    if (result == FRAME_NEED_MORE) /* frame_fuzz knows what a header is */
        return false;
    if (result != FRAME_OK)
        return plain_error(plain, result == FRAME_ERR_TOO_BIG ? 1009 : 1002);
    bool is_control = header.opcode >= FRAME_CLOSE;
    if (!is_control) {
        uint16_t error = plain_data_error(plain, &header);
        if (error != 0)
            return plain_error(plain, error);
        if (header.opcode != FRAME_CONTINUATION) {
            plain->opcode = header.opcode;
            plain->is_deflated = header.rsv1;
        }
        plain->fragment_count++;
    }
    plain->data += header_bytes;
    plain->bytes -= header_bytes;
    bool is_whole = header.payload_bytes <= plain->bytes;
    size_t bytes = is_whole ? (size_t)header.payload_bytes : plain->bytes;
    uint8_t *payload = fuzz_copy(plain->data, bytes);
    for (size_t i = 0; plain->masked && i < bytes; i++)
        payload[i] ^= header.mask_key[i % 4];
    plain->data += bytes;
    plain->bytes -= bytes;
    bool goes_on = is_whole;
    if (!is_control)
        goes_on = plain_data(plain, payload, bytes, is_whole && header.fin) && is_whole;
    else if (is_whole)
        goes_on = plain_control(plain, header.opcode, payload, bytes);
    free(payload);
    return goes_on;
}

/* ---- the reader ---------------------------------------------------------------------------- */

static void hear_event(struct heard *heard, enum message_event event, const struct message *message)
{
    switch (event) {
    case MESSAGE_NEED_MORE:
        return;
    case MESSAGE_DATA:
        expect(message->payload != NULL);
        expect(message->opcode == FRAME_TEXT || message->opcode == FRAME_BINARY);
        hear(heard, event, message->opcode, 0, message->payload, message->payload_bytes);
        return;
    case MESSAGE_PING:
    case MESSAGE_PONG:
        expect(message->payload != NULL && message->payload_bytes <= FRAME_CONTROL_BYTES_MAX);
        hear(heard, event, message->opcode, 0, message->payload, message->payload_bytes);
        return;
    case MESSAGE_CLOSE:
        hear(heard, event, FRAME_CLOSE, message->close.code, message->close.reason,
             message->close.reason_bytes);
        return;
    case MESSAGE_ERROR:
        expect(close_code_is_sendable(message->close.code) && message->close.reason_bytes > 0);
        hear(heard, event, 0, message->close.code, NULL, 0);
        return;
    }
}

/* The next piece, in a buffer of exactly its size. */
static void arrive(struct message_reader *reader, const uint8_t *data, size_t bytes,
                   struct heard *heard)
{
    uint8_t *piece = fuzz_copy(data, bytes);
    size_t at = 0;
    enum message_event event;
    do {
        struct message message;
        size_t consumed = 999999;
        event = message_read(reader, piece + at, bytes - at, &consumed, &message);
        expect(consumed <= bytes - at);
        expect(event != MESSAGE_NEED_MORE || consumed == bytes - at);
        if (event == MESSAGE_DATA && message.is_masked) {
            uint8_t *payload = (uint8_t *)(uintptr_t)message.payload;
            expect(payload >= piece && payload + message.payload_bytes <= piece + bytes);
            for (size_t i = 0; i < message.payload_bytes; i++)
                payload[i] ^= message.mask_key[i % 4];
        }
        hear_event(heard, event, &message);
        if (event == MESSAGE_DATA && message.block) {
            expect(message.payload == message.block && !message.is_masked);
            message_reader_lose_block(reader);
            free(message.block);
        }
        at += consumed;
    } while (event != MESSAGE_NEED_MORE);
    free(piece);
}

enum split { SPLIT_NONE, SPLIT_BYTES, SPLIT_RANDOM };

struct rules {
    bool masked;
    struct message_limits limits;
    struct terms terms;
};

/* Memory: not what was announced.  What is inflated may be asked for up to the limit. */
static size_t heap_bytes_max(const struct rules *rules, size_t bytes)
{
    uint64_t limit = rules->limits.message_bytes_max;
    size_t plain = 4096 + 4 * bytes;
    return rules->terms.has_deflate && limit > plain ? (size_t)limit : plain;
}

static void read_split(const uint8_t *data, size_t bytes, const struct rules *rules,
                       enum split split, uint64_t round, struct heard *heard)
{
    struct message_reader reader;
    struct fuzz_chance chance = fuzz_chance(data, bytes, round);
    message_reader_init(&reader, rules->masked, &rules->limits);
    if (rules->terms.has_deflate)
        expect(
            message_reader_inflate(&reader, rules->terms.window_bits, rules->terms.keeps_context));
    if (split == SPLIT_RANDOM && round % 2 != 0)
        message_reader_leave_masked(&reader);
    for (size_t at = 0; at < bytes;) {
        size_t left = bytes - at;
        size_t piece = split == SPLIT_NONE    ? left
                       : split == SPLIT_BYTES ? 1
                                              : fuzz_piece(&chance, left);
        arrive(&reader, data + at, piece, heard);
        at += piece;
        expect(message_reader_heap_bytes(&reader) <= heap_bytes_max(rules, at));
        if (split == SPLIT_RANDOM)
            message_reader_rest(&reader);
    }
    arrive(&reader, data, 0, heard);
    if (message_reader_is_idle(&reader))
        expect(message_reader_heap_bytes(&reader) == 0);
    message_reader_clear(&reader);
    message_reader_clear(&reader);
    expect(message_reader_heap_bytes(&reader) == 0);
}

static void heard_clear(struct heard *heard, size_t bytes)
{
    if (!heard->payload)
        heard->payload = fuzz_allocate(bytes);
    heard->count = 0;
    heard->payload_bytes = 0;
    heard->payload_bytes_max = bytes;
}

static struct rules take_rules(struct fuzz_input *input)
{
    static const uint64_t sizes[] = {16 << 20, 1, 125, 126, 1000, 65536, 20, UINT32_MAX};
    static const uint32_t counts[] = {65536, 1, 2, 3};
    uint8_t flags = fuzz_byte(input);
    struct rules rules = {.masked = flags & 1,
                          .limits = {.message_bytes_max = sizes[flags >> 1 & 7],
                                     .fragment_count_max = counts[flags >> 4 & 3]}};
    if (!(flags & 0x40))
        return rules;
    flags = fuzz_byte(input);
    rules.terms = (struct terms){.has_deflate = true,
                                 .keeps_context = flags & 8,
                                 .window_bits = DEFLATE_WINDOW_BITS_MAX - (flags & 7)};
    if (rules.limits.message_bytes_max > INFLATED_BYTES_MAX)
        rules.limits.message_bytes_max = INFLATED_BYTES_MAX;
    return rules;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    static const struct {
        enum split split;
        uint64_t round;
    } splits[] = {{SPLIT_NONE, 0}, {SPLIT_BYTES, 0}, {SPLIT_RANDOM, 1}, {SPLIT_RANDOM, 2}};
    static struct heard expected, got;
    static uint8_t inflated[HISTORY_BYTES_MAX];
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    const struct rules rules = take_rules(&input);
    size_t heard_bytes = input.bytes + (rules.terms.has_deflate ? HISTORY_BYTES_MAX : 0);
    heard_clear(&expected, heard_bytes);
    struct plain plain = {.data = input.at,
                          .bytes = input.bytes,
                          .masked = rules.masked,
                          .limits = rules.limits,
                          .terms = rules.terms,
                          .inflated = inflated,
                          .heard = &expected,
                          .message = fuzz_allocate(input.bytes)};
    while (plain_frame(&plain) && !plain.is_over)
        ;
    free(plain.message);
    for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
        heard_clear(&got, heard_bytes);
        read_split(input.at, input.bytes, &rules, splits[i].split, splits[i].round, &got);
        expect(plain.is_over || is_same(&expected, &got));
    }
    free(expected.payload);
    free(got.payload);
    expected.payload = NULL;
    got.payload = NULL;
    return 0;
}
