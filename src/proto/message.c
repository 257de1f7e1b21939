/* Bytes -> messages and control frames. */
#include "proto/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mask.h"

enum {
    BUFFER_BYTES_MIN = 4096,
    BLOCK_SPARE_PART = 8, /* more than that of a buffer to spare: it is no block to keep */
    INFLATED_BYTES_SMALL = 64 * 1024,
    DEFLATED_EXCESS_BYTES = 64 * 1024 /* blocks that stand for nothing, in a small message */
};

/*
 * What exists only while a message, a frame or a header is not whole, or the last message came in
 * parts and was handed out.
 */
struct message_part {
    struct frame_header header; /* of the frame being read, while in_frame */
    uint64_t frame_left;        /* payload bytes of it still to come */
    uint8_t *buffer;            /* of the message in parts; NULL when there is none */
    size_t buffer_bytes;
    size_t buffer_capacity;
    uint64_t deflated_bytes; /* of the message, as it came */
    uint32_t fragment_count;
    enum frame_opcode message_opcode;
    struct utf8 utf8;
    bool in_frame;
    bool in_message;   /* a fragmented message has begun: only continuations may follow */
    bool message_text; /* of the message in parts: check UTF-8 */
    bool message_deflated;
    uint8_t partial_bytes;
    uint8_t control_bytes;
    uint8_t partial[FRAME_HEADER_BYTES_MAX];  /* the front of a header that was cut */
    uint8_t control[FRAME_CONTROL_BYTES_MAX]; /* a control frame that came in parts */
};

void message_reader_init(struct message_reader *reader, bool masked,
                         const struct message_limits *limits)
{
    assert(limits->message_bytes_max <= UINT32_MAX && limits->fragment_count_max < 1u << 27);
    *reader =
        (struct message_reader){.message_bytes_max = (uint32_t)limits->message_bytes_max,
                                .fragment_count_max = limits->fragment_count_max & ((1u << 27) - 1),
                                .is_masked = masked};
}

/* What does not shrink becomes longer, by an eighth at worst (9 bits for a byte): more than this is
 * nothing that anyone has to send. */
static uint64_t deflated_bytes_max(const struct message_reader *reader)
{
    uint64_t bytes = reader->message_bytes_max;
    return bytes + bytes / 4 + DEFLATED_EXCESS_BYTES;
}

static struct frame_rules frame_rules(const struct message_reader *reader)
{
    return (struct frame_rules){.masked = reader->is_masked,
                                .rsv1_allowed = reader->may_be_deflated,
                                .payload_bytes_max = reader->may_be_deflated
                                                         ? deflated_bytes_max(reader)
                                                         : reader->message_bytes_max};
}

void message_reader_leave_masked(struct message_reader *reader)
{
    reader->leaves_masked = true;
}

bool message_reader_inflate(struct message_reader *reader, unsigned window_bits, bool keeps_context)
{
    assert(!reader->deflate);
    reader->deflate = malloc(sizeof(*reader->deflate));
    if (!reader->deflate)
        return false;
    deflate_reader_init(reader->deflate, window_bits, keeps_context);
    reader->may_be_deflated = true;
    return true;
}

void message_reader_rest(struct message_reader *reader)
{
    if (reader->deflate)
        deflate_reader_rest(reader->deflate);
}

static void buffer_free(struct message_part *part)
{
    free(part->buffer);
    part->buffer = NULL;
    part->buffer_bytes = 0;
    part->buffer_capacity = 0;
}

static bool part_is_idle(const struct message_part *part)
{
    return !part->in_frame && !part->in_message && part->partial_bytes == 0;
}

static bool part_new(struct message_reader *reader)
{
    reader->part = malloc(sizeof(*reader->part));
    if (!reader->part)
        return false;
    *reader->part = (struct message_part){.in_frame = false};
    return true;
}

static void part_free(struct message_reader *reader)
{
    if (!reader->part)
        return;
    buffer_free(reader->part);
    free(reader->part);
    reader->part = NULL;
}

static void inflate_no_more(struct message_reader *reader)
{
    if (!reader->deflate)
        return;
    deflate_reader_clear(reader->deflate);
    free(reader->deflate);
    reader->deflate = NULL;
}

void message_reader_clear(struct message_reader *reader)
{
    part_free(reader);
    inflate_no_more(reader);
}

void message_reader_skip_data(struct message_reader *reader)
{
    if (reader->part)
        buffer_free(reader->part);
    inflate_no_more(reader);
    reader->skips_data = true;
    if (!reader->part)
        (void)part_new(reader); /* it stays; without memory now, there may be when it is needed */
}

bool message_reader_has_ended(const struct message_reader *reader)
{
    return reader->failed;
}

bool message_reader_is_idle(const struct message_reader *reader)
{
    return !reader->part || part_is_idle(reader->part);
}

bool message_reader_holds(const struct message_reader *reader, const struct message *message)
{
    return message->payload_bytes == 0 ||
           (reader->part && message->payload == reader->part->buffer);
}

void message_reader_lose_block(struct message_reader *reader)
{
    assert(reader->part && part_is_idle(reader->part) && reader->part->buffer);
    reader->part->buffer = NULL;
    buffer_free(reader->part);
}

size_t message_reader_heap_bytes(const struct message_reader *reader)
{
    const struct message_part *part = reader->part;
    if (!part)
        return 0;
    if (part->message_deflated && part->buffer_capacity > INFLATED_BYTES_SMALL)
        return part->buffer_bytes; /* reserve_inflated(): the rest of it was not written to */
    return part->buffer_capacity;
}

/* The stream cannot be resumed: say why, and read no more. */
static enum message_event fail(struct message_reader *reader, uint16_t code, const char *why,
                               struct message *message)
{
    message_reader_clear(reader);
    reader->failed = true;
    close_set(&message->close, code, why);
    return MESSAGE_ERROR;
}

/*
 * Room for `bytes` more of the message.  Grows by doubling with what arrived: a header that
 * announces 16 MiB costs nothing until they come.  Once a quarter of the last frame is here the
 * rest is believed, which saves the last two copies.
 */
static bool buffer_reserve(struct message_part *part, size_t bytes)
{
    size_t needed = part->buffer_bytes + bytes;
    if (needed <= part->buffer_capacity)
        return true;
    size_t capacity = part->buffer_capacity ? part->buffer_capacity * 2 : BUFFER_BYTES_MIN;
    if (capacity < needed)
        capacity = needed;
    uint64_t whole = part->buffer_bytes + part->frame_left; /* the message, with its last frame */
    if (part->header.fin && (capacity > whole || needed >= whole / 4))
        capacity = (size_t)whole;
    uint8_t *buffer = realloc(part->buffer, capacity);
    if (!buffer)
        return false;
    part->buffer = buffer;
    part->buffer_capacity = capacity;
    return true;
}

/* ---- a frame begins ----------------------------------------------------------------------- */

/* What may still come of the message, whichever way it comes. */
static uint64_t bytes_left(const struct message_reader *reader, const struct frame_header *header)
{
    const struct message_part *part = reader->part;
    bool is_deflated = header->rsv1;
    if (header->opcode == FRAME_CONTINUATION)
        is_deflated = part->message_deflated;
    if (!is_deflated)
        return reader->message_bytes_max - part->buffer_bytes;
    if (header->opcode != FRAME_CONTINUATION)
        return deflated_bytes_max(reader);
    return deflated_bytes_max(reader) - part->deflated_bytes;
}

/* 5.4: continuations inside a message and nowhere else; and the limits of the message. */
static const char *data_frame_error(const struct message_reader *reader,
                                    const struct frame_header *header, uint16_t *code)
{
    const struct message_part *part = reader->part;
    *code = CLOSE_PROTOCOL_ERROR;
    if (header->opcode == FRAME_CONTINUATION && !part->in_message)
        return "continuation without a message";
    if (header->opcode != FRAME_CONTINUATION && part->in_message)
        return "new message inside a fragmented one";
    *code = CLOSE_TOO_BIG;
    if (header->payload_bytes > bytes_left(reader, header))
        return "message too big";
    if (header->opcode == FRAME_CONTINUATION && part->fragment_count >= reader->fragment_count_max)
        return "too many fragments";
    return NULL;
}

/*
 * Decode a header from what was kept of it and the new bytes.  Returns the bytes of data that
 * it took, with *result FRAME_OK; or keeps what is there.
 */
static size_t read_header(struct message_reader *reader, const uint8_t *data, size_t data_bytes,
                          enum frame_result *result)
{
    struct message_part *part = reader->part;
    const struct frame_rules rules = frame_rules(reader);
    size_t header_bytes;
    if (part->partial_bytes == 0) {
        *result = frame_header_decode(data, data_bytes, &rules, &part->header, &header_bytes);
        if (*result != FRAME_NEED_MORE)
            return header_bytes;
    }
    size_t kept = part->partial_bytes;
    size_t more = FRAME_HEADER_BYTES_MAX - kept;
    if (more > data_bytes)
        more = data_bytes;
    memcpy(part->partial + kept, data, more);
    *result = frame_header_decode(part->partial, kept + more, &rules, &part->header, &header_bytes);
    if (*result == FRAME_OK) {
        part->partial_bytes = 0;
        return header_bytes - kept;
    }
    part->partial_bytes = (uint8_t)(kept + more); /* a whole header fits: never full here */
    return more;
}

static void begin_frame(struct message_reader *reader)
{
    struct message_part *part = reader->part;
    const struct frame_header *header = &part->header;
    part->in_frame = true;
    part->frame_left = header->payload_bytes;
    part->control_bytes = 0;
    if (frame_opcode_is_control(header->opcode))
        return;
    if (header->opcode != FRAME_CONTINUATION) {
        part->message_opcode = header->opcode;
        part->message_text = header->opcode == FRAME_TEXT;
        part->message_deflated = header->rsv1;
        part->deflated_bytes = 0;
        part->fragment_count = 0;
        part->utf8 = (struct utf8){0};
    }
    part->fragment_count++;
    part->in_message = true;
}

/* ---- a frame ends ------------------------------------------------------------------------- */

static enum message_event give_control(struct message_reader *reader, enum frame_opcode opcode,
                                       const uint8_t *payload, size_t payload_bytes,
                                       struct message *message)
{
    message->opcode = opcode;
    message->payload = payload;
    message->payload_bytes = payload_bytes;
    if (opcode == FRAME_PING)
        return MESSAGE_PING;
    if (opcode == FRAME_PONG)
        return MESSAGE_PONG;
    uint16_t code = close_decode(payload, payload_bytes, &message->close);
    if (code == CLOSE_INVALID_DATA)
        return fail(reader, code, "close reason is not UTF-8", message);
    if (code != 0)
        return fail(reader, code, "invalid close frame", message);
    message_reader_clear(reader); /* of a message that will never end */
    reader->failed = true;        /* 5.5.1: nothing comes after it */
    return MESSAGE_CLOSE;
}

/* Of the message in parts: it is whole. */
static enum message_event give_message(struct message_reader *reader, struct message *message)
{
    static const uint8_t nothing[1];
    struct message_part *part = reader->part;
    size_t spare_bytes = part->buffer_capacity - part->buffer_bytes;
    if (part->message_text && !utf8_is_complete(&part->utf8))
        return fail(reader, CLOSE_INVALID_DATA, "text is not UTF-8", message);
    part->in_message = false;
    message->opcode = part->message_opcode;
    message->payload = part->buffer ? part->buffer : nothing;
    message->payload_bytes = part->buffer_bytes;
    message->is_masked = false;
    message->block = spare_bytes <= part->buffer_capacity / BLOCK_SPARE_PART ? part->buffer : NULL;
    return MESSAGE_DATA;
}

/* The common case: a message in one frame, all of it here.  Unmasked where it stands, if at all. */
static enum message_event give_whole(struct message_reader *reader, enum frame_opcode opcode,
                                     const uint8_t *mask_key, uint8_t *payload, size_t bytes,
                                     struct message *message)
{
    bool is_text = opcode == FRAME_TEXT;
    message->is_masked = reader->is_masked && reader->leaves_masked && !is_text;
    if (message->is_masked)
        memcpy(message->mask_key, mask_key, sizeof(message->mask_key));
    else if (reader->is_masked)
        mask_copy(payload, payload, bytes, mask_key, 0);
    if (is_text && !utf8_is_valid(payload, bytes))
        return fail(reader, CLOSE_INVALID_DATA, "text is not UTF-8", message);
    message->opcode = opcode;
    message->block = NULL;
    message->payload = payload;
    message->payload_bytes = bytes;
    return MESSAGE_DATA;
}

/* ---- payload ------------------------------------------------------------------------------ */

static enum message_event read_control(struct message_reader *reader, uint8_t *data,
                                       size_t data_bytes, size_t *taken, struct message *message)
{
    struct message_part *part = reader->part;
    size_t bytes = data_bytes < part->frame_left ? data_bytes : (size_t)part->frame_left;
    mask_copy(part->control + part->control_bytes, data, bytes, part->header.mask_key,
              part->control_bytes);
    part->control_bytes = (uint8_t)(part->control_bytes + bytes);
    part->frame_left -= bytes;
    *taken = bytes;
    if (part->frame_left > 0)
        return MESSAGE_NEED_MORE;
    part->in_frame = false;
    return give_control(reader, part->header.opcode, part->control, part->control_bytes, message);
}

static enum message_event read_part(struct message_reader *reader, const uint8_t *data,
                                    size_t data_bytes, size_t *taken, struct message *message)
{
    struct message_part *part = reader->part;
    size_t bytes = data_bytes < part->frame_left ? data_bytes : (size_t)part->frame_left;
    uint64_t phase = part->header.payload_bytes - part->frame_left;
    if (bytes > 0 && !buffer_reserve(part, bytes))
        return fail(reader, CLOSE_INTERNAL_ERROR, "out of memory", message);
    assert(part->buffer || bytes == 0);
    uint8_t *at = bytes > 0 ? part->buffer + part->buffer_bytes : NULL;
    if (bytes > 0 && reader->is_masked)
        mask_copy(at, data, bytes, part->header.mask_key, phase);
    else if (bytes > 0)
        memcpy(at, data, bytes);
    part->buffer_bytes += bytes;
    part->frame_left -= bytes;
    *taken = bytes;
    if (part->message_text && bytes > 0 && !utf8_feed(&part->utf8, at, bytes))
        return fail(reader, CLOSE_INVALID_DATA, "text is not UTF-8", message); /* fail fast */
    if (part->frame_left > 0)
        return MESSAGE_NEED_MORE;
    part->in_frame = false;
    if (!part->header.fin)
        return MESSAGE_NEED_MORE;
    return give_message(reader, message);
}

/*
 * Room for what is inflated next, within the limit.  Above INFLATED_BYTES_SMALL it is asked for all
 * at once: what is not written to costs nothing, while a buffer that grows in steps leaves its
 * smaller selves behind.  Where so much is not to be had, it grows in steps.
 */
static bool reserve_inflated(struct message_reader *reader)
{
    struct message_part *part = reader->part;
    uint64_t bytes_max = reader->message_bytes_max;
    uint8_t *buffer = NULL;
    if (part->buffer_bytes < part->buffer_capacity)
        return true;
    uint64_t capacity = part->buffer_capacity ? part->buffer_capacity * 4 : BUFFER_BYTES_MIN;
    if (capacity > INFLATED_BYTES_SMALL) {
        buffer = realloc(part->buffer, (size_t)bytes_max);
        capacity = buffer ? bytes_max : capacity;
    }
    if (capacity > bytes_max)
        capacity = bytes_max;
    if (!buffer)
        buffer = realloc(part->buffer, (size_t)capacity);
    if (!buffer)
        return false;
    part->buffer = buffer;
    part->buffer_capacity = (size_t)capacity;
    return true;
}

/* A piece of a deflated message, or what its end stands for.  MESSAGE_NEED_MORE: all is well. */
static enum message_event inflate_on(struct message_reader *reader, const uint8_t *data,
                                     size_t data_bytes, bool is_end, struct message *message)
{
    struct message_part *part = reader->part;
    enum deflate_result result;
    do {
        uint8_t beyond = 0; /* one byte more than there may be */
        size_t written;
        bool is_full = part->buffer_bytes == reader->message_bytes_max;
        if (!is_full && !reserve_inflated(reader))
            return fail(reader, CLOSE_INTERNAL_ERROR, "out of memory", message);
        uint8_t *out = is_full ? &beyond : part->buffer + part->buffer_bytes;
        size_t room = is_full ? 1 : part->buffer_capacity - part->buffer_bytes;
        if (is_end)
            result = deflate_read_end(reader->deflate, out, room, &written);
        else
            result = deflate_read(reader->deflate, &data, &data_bytes, out, room, &written);
        if (is_full && written > 0)
            return fail(reader, CLOSE_TOO_BIG, "message too big", message);
        part->buffer_bytes += written;
        if (result == DEFLATE_ERR_MEMORY)
            return fail(reader, CLOSE_INTERNAL_ERROR, "out of memory", message);
        if (result == DEFLATE_ERR_DATA)
            return fail(reader, CLOSE_INVALID_DATA, deflate_result_text(result), message);
        if (part->message_text && !utf8_feed(&part->utf8, out, written))
            return fail(reader, CLOSE_INVALID_DATA, "text is not UTF-8", message);
    } while (result == DEFLATE_MORE);
    return MESSAGE_NEED_MORE;
}

/* What is here of a deflated frame.  Unmasked where it stands. */
static enum message_event read_deflated(struct message_reader *reader, uint8_t *data,
                                        size_t data_bytes, size_t *taken, struct message *message)
{
    struct message_part *part = reader->part;
    size_t bytes = data_bytes < part->frame_left ? data_bytes : (size_t)part->frame_left;
    uint64_t phase = part->header.payload_bytes - part->frame_left;
    if (bytes > 0 && reader->is_masked)
        mask_copy(data, data, bytes, part->header.mask_key, phase);
    part->frame_left -= bytes;
    part->deflated_bytes += bytes;
    *taken = bytes;
    enum message_event event = MESSAGE_NEED_MORE;
    if (bytes > 0)
        event = inflate_on(reader, data, bytes, false, message);
    if (event != MESSAGE_NEED_MORE || part->frame_left > 0)
        return event;
    part->in_frame = false;
    if (!part->header.fin)
        return MESSAGE_NEED_MORE;
    event = inflate_on(reader, NULL, 0, true, message);
    if (event != MESSAGE_NEED_MORE)
        return event;
    return give_message(reader, message);
}

static void skip_data(struct message_reader *reader, size_t data_bytes, size_t *taken)
{
    struct message_part *part = reader->part;
    size_t bytes = data_bytes < part->frame_left ? data_bytes : (size_t)part->frame_left;
    part->frame_left -= bytes;
    *taken = bytes;
    if (part->frame_left > 0)
        return;
    part->in_frame = false;
    part->in_message = !part->header.fin;
}

static enum message_event read_payload(struct message_reader *reader, uint8_t *data,
                                       size_t data_bytes, size_t *taken, struct message *message)
{
    struct message_part *part = reader->part;
    if (frame_opcode_is_control(part->header.opcode))
        return read_control(reader, data, data_bytes, taken, message);
    if (reader->skips_data) {
        skip_data(reader, data_bytes, taken);
        return MESSAGE_NEED_MORE;
    }
    if (part->message_deflated)
        return read_deflated(reader, data, data_bytes, taken, message);
    bool whole = part->header.fin && part->fragment_count == 1 && !part->buffer &&
                 part->frame_left == part->header.payload_bytes && part->frame_left <= data_bytes;
    if (!whole)
        return read_part(reader, data, data_bytes, taken, message);
    *taken = (size_t)part->frame_left;
    part->in_frame = false;
    part->in_message = false;
    return give_whole(reader, part->header.opcode, part->header.mask_key, data, *taken, message);
}

/* One header, when none is being read.  MESSAGE_NEED_MORE with in_frame set: it is here. */
static enum message_event start_frame(struct message_reader *reader, const uint8_t *data,
                                      size_t data_bytes, size_t *taken, struct message *message)
{
    const struct frame_header *header = &reader->part->header;
    enum frame_result result;
    uint16_t code;
    *taken = read_header(reader, data, data_bytes, &result);
    if (result == FRAME_NEED_MORE)
        return MESSAGE_NEED_MORE;
    if (result != FRAME_OK)
        return fail(reader, frame_result_close_code(result), frame_result_text(result), message);
    if (!frame_opcode_is_control(header->opcode)) {
        const char *why = data_frame_error(reader, header, &code);
        if (why)
            return fail(reader, code, why, message);
    }
    begin_frame(reader);
    return MESSAGE_NEED_MORE;
}

/* ---- the two ways -------------------------------------------------------------------------- */

/* True for what needs no memory of the past and none for the future. */
static bool is_easy(const struct message_reader *reader, const struct frame_header *header)
{
    if (frame_opcode_is_control(header->opcode))
        return true;
    return header->fin && !header->rsv1 && header->opcode != FRAME_CONTINUATION &&
           header->payload_bytes <= reader->message_bytes_max && !reader->skips_data;
}

/*
 * What nearly every frame is: FIN, text or binary, under 64 KiB, all of it here.  Nothing is under
 * way.  False: it is something else, and was not judged.
 */
static inline bool read_plain(struct message_reader *reader, uint8_t *data, size_t data_bytes,
                              size_t *taken, enum message_event *event, struct message *message)
{
    if (data_bytes < 2 || (data[0] != (0x80 | FRAME_TEXT) && data[0] != (0x80 | FRAME_BINARY)) ||
        data[1] >> 7 != reader->is_masked || reader->skips_data)
        return false;
    size_t bytes = data[1] & 0x7f;
    size_t at = 2;
    if (bytes == 126 && data_bytes >= 4) {
        bytes = (size_t)data[2] << 8 | data[3];
        at = 4;
    }
    bool is_shortest = at == 2 ? bytes < 126 : bytes > 125;
    const uint8_t *mask_key = data + at;
    at += reader->is_masked ? 4 : 0;
    if (!is_shortest || data_bytes < at || bytes > data_bytes - at ||
        bytes > reader->message_bytes_max)
        return false;
    *taken = at + bytes;
    *event = give_whole(reader, (enum frame_opcode)(data[0] & 0x0f), mask_key, data + at, bytes,
                        message);
    return true;
}

/* Nothing is under way, and nothing is kept: a frame that is whole here.  MESSAGE_NEED_MORE with
 * nothing taken: this one is not, or has to be kept for other reasons. */
static enum message_event read_frame(struct message_reader *reader, uint8_t *data,
                                     size_t data_bytes, size_t *taken, struct message *message)
{
    const struct frame_rules rules = frame_rules(reader);
    struct frame_header header;
    size_t header_bytes;
    enum frame_result result =
        frame_header_decode(data, data_bytes, &rules, &header, &header_bytes);
    *taken = header_bytes;
    if (result == FRAME_NEED_MORE)
        return MESSAGE_NEED_MORE;
    if (result != FRAME_OK)
        return fail(reader, frame_result_close_code(result), frame_result_text(result), message);
    *taken = 0;
    if (header.payload_bytes > data_bytes - header_bytes || !is_easy(reader, &header))
        return MESSAGE_NEED_MORE;
    size_t bytes = (size_t)header.payload_bytes;
    uint8_t *payload = data + header_bytes;
    *taken = header_bytes + bytes;
    if (!frame_opcode_is_control(header.opcode))
        return give_whole(reader, header.opcode, header.mask_key, payload, bytes, message);
    if (reader->is_masked)
        mask_copy(payload, payload, bytes, header.mask_key, 0);
    return give_control(reader, header.opcode, payload, bytes, message);
}

/* A step of what comes in parts: a header, or what is here of its payload. */
static enum message_event read_on(struct message_reader *reader, uint8_t *data, size_t data_bytes,
                                  size_t *taken, struct message *message)
{
    if (reader->part->in_frame)
        return read_payload(reader, data, data_bytes, taken, message);
    return start_frame(reader, data, data_bytes, taken, message);
}

static bool has_to_go_on(const struct message_reader *reader, size_t data_bytes)
{
    const struct message_part *part = reader->part;
    return !reader->failed && (data_bytes > 0 || (part && part->in_frame && part->frame_left == 0));
}

enum message_event message_read(struct message_reader *reader, uint8_t *data, size_t data_bytes,
                                size_t *consumed, struct message *message)
{
    size_t at = 0;
    enum message_event first;
    if (reader->part && part_is_idle(reader->part) && !reader->skips_data)
        part_free(reader); /* it held the message that was handed out last */
    if (!reader->part && !reader->failed &&
        read_plain(reader, data, data_bytes, consumed, &first, message))
        return first;
    while (has_to_go_on(reader, data_bytes - at)) {
        size_t taken = 0;
        enum message_event event;
        if (reader->part) {
            event = read_on(reader, data + at, data_bytes - at, &taken, message);
        } else {
            event = read_frame(reader, data + at, data_bytes - at, &taken, message);
            if (event == MESSAGE_NEED_MORE && !part_new(reader))
                event = fail(reader, CLOSE_INTERNAL_ERROR, "out of memory", message);
        }
        at += taken;
        if (event != MESSAGE_NEED_MORE) {
            *consumed = at;
            return event;
        }
    }
    *consumed = data_bytes;
    return MESSAGE_NEED_MORE;
}
