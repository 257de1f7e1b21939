/* Bytes -> messages and control frames. */
#include "proto/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mask.h"

enum {
    BUFFER_BYTES_MIN = 4096,
    INFLATED_BYTES_SMALL = 64 * 1024,
    DEFLATED_EXCESS_BYTES = 64 * 1024 /* blocks that stand for nothing, in a small message */
};

void message_reader_init(struct message_reader *reader, bool masked,
                         const struct message_limits *limits)
{
    *reader = (struct message_reader){
        .rules = {.masked = masked, .payload_bytes_max = limits->message_bytes_max},
        .limits = *limits,
    };
}

/* What does not shrink becomes longer, by an eighth at worst (9 bits for a byte): more than this is
 * nothing that anyone has to send. */
static uint64_t deflated_bytes_max(const struct message_reader *reader)
{
    uint64_t bytes = reader->limits.message_bytes_max;
    return bytes + bytes / 4 + DEFLATED_EXCESS_BYTES;
}

void message_reader_inflate(struct message_reader *reader, unsigned window_bits, bool keeps_context)
{
    deflate_reader_init(&reader->deflate, window_bits, keeps_context);
    reader->rules.rsv1_allowed = true;
    reader->rules.payload_bytes_max = deflated_bytes_max(reader);
}

void message_reader_rest(struct message_reader *reader)
{
    deflate_reader_rest(&reader->deflate);
}

static void buffer_free(struct message_reader *reader)
{
    free(reader->buffer);
    reader->buffer = NULL;
    reader->buffer_bytes = 0;
    reader->buffer_capacity = 0;
}

void message_reader_clear(struct message_reader *reader)
{
    buffer_free(reader);
    deflate_reader_clear(&reader->deflate);
}

void message_reader_skip_data(struct message_reader *reader)
{
    message_reader_clear(reader);
    reader->skips_data = true;
}

bool message_reader_has_ended(const struct message_reader *reader)
{
    return reader->failed;
}

bool message_reader_is_idle(const struct message_reader *reader)
{
    return !reader->in_frame && !reader->in_message && reader->partial_bytes == 0;
}

size_t message_reader_heap_bytes(const struct message_reader *reader)
{
    if (reader->message_deflated && reader->buffer_capacity > INFLATED_BYTES_SMALL)
        return reader->buffer_bytes; /* reserve_inflated(): the rest of it was not written to */
    return reader->buffer_capacity;
}

/* The stream cannot be resumed: say why, and read no more. */
static enum message_event fail(struct message_reader *reader, uint16_t code, const char *why,
                               struct message *message)
{
    message_reader_clear(reader);
    reader->in_frame = false;
    reader->in_message = false;
    reader->partial_bytes = 0;
    reader->failed = true;
    close_set(&message->close, code, why);
    return MESSAGE_ERROR;
}

/*
 * Room for `bytes` more of the message.  Grows by doubling with what arrived: a header that
 * announces 16 MiB costs nothing until they come.  Once a quarter of the last frame is here the
 * rest is believed, which saves the last two copies.
 */
static bool buffer_reserve(struct message_reader *reader, size_t bytes)
{
    size_t needed = reader->buffer_bytes + bytes;
    if (needed <= reader->buffer_capacity)
        return true;
    size_t capacity = reader->buffer_capacity ? reader->buffer_capacity * 2 : BUFFER_BYTES_MIN;
    if (capacity < needed)
        capacity = needed;
    uint64_t whole =
        reader->buffer_bytes + reader->frame_left; /* the message, with its last frame */
    if (reader->header.fin && (capacity > whole || needed >= whole / 4))
        capacity = (size_t)whole;
    uint8_t *buffer = realloc(reader->buffer, capacity);
    if (!buffer)
        return false;
    reader->buffer = buffer;
    reader->buffer_capacity = capacity;
    return true;
}

/* ---- a frame begins ----------------------------------------------------------------------- */

/* What may still come of the message, whichever way it comes. */
static uint64_t bytes_left(const struct message_reader *reader, const struct frame_header *header)
{
    bool is_deflated = header->rsv1;
    if (header->opcode == FRAME_CONTINUATION)
        is_deflated = reader->message_deflated;
    if (!is_deflated)
        return reader->limits.message_bytes_max - reader->buffer_bytes;
    if (header->opcode != FRAME_CONTINUATION)
        return deflated_bytes_max(reader);
    return deflated_bytes_max(reader) - reader->deflated_bytes;
}

/* 5.4: continuations inside a message and nowhere else; and the limits of the message. */
static const char *data_frame_error(const struct message_reader *reader,
                                    const struct frame_header *header, uint16_t *code)
{
    *code = CLOSE_PROTOCOL_ERROR;
    if (header->opcode == FRAME_CONTINUATION && !reader->in_message)
        return "continuation without a message";
    if (header->opcode != FRAME_CONTINUATION && reader->in_message)
        return "new message inside a fragmented one";
    *code = CLOSE_TOO_BIG;
    if (header->payload_bytes > bytes_left(reader, header))
        return "message too big";
    if (header->opcode == FRAME_CONTINUATION &&
        reader->fragment_count >= reader->limits.fragment_count_max)
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
    size_t header_bytes;
    if (reader->partial_bytes == 0) {
        *result =
            frame_header_decode(data, data_bytes, &reader->rules, &reader->header, &header_bytes);
        if (*result != FRAME_NEED_MORE)
            return header_bytes;
    }
    size_t kept = reader->partial_bytes;
    size_t more = FRAME_HEADER_BYTES_MAX - kept;
    if (more > data_bytes)
        more = data_bytes;
    memcpy(reader->partial + kept, data, more);
    *result = frame_header_decode(reader->partial, kept + more, &reader->rules, &reader->header,
                                  &header_bytes);
    if (*result == FRAME_OK) {
        reader->partial_bytes = 0;
        return header_bytes - kept;
    }
    reader->partial_bytes = (uint8_t)(kept + more); /* a whole header fits: never full here */
    return more;
}

static void begin_frame(struct message_reader *reader)
{
    const struct frame_header *header = &reader->header;
    reader->in_frame = true;
    reader->frame_left = header->payload_bytes;
    reader->control_bytes = 0;
    if (frame_opcode_is_control(header->opcode))
        return;
    if (header->opcode != FRAME_CONTINUATION) {
        reader->message_opcode = header->opcode;
        reader->message_text = header->opcode == FRAME_TEXT;
        reader->message_deflated = header->rsv1;
        reader->deflated_bytes = 0;
        reader->fragment_count = 0;
        reader->utf8 = (struct utf8){0};
    }
    reader->fragment_count++;
    reader->in_message = true;
}

/* ---- a frame ends ------------------------------------------------------------------------- */

static enum message_event give_control(struct message_reader *reader, const uint8_t *payload,
                                       size_t payload_bytes, struct message *message)
{
    message->opcode = reader->header.opcode;
    message->payload = payload;
    message->payload_bytes = payload_bytes;
    if (message->opcode == FRAME_PING)
        return MESSAGE_PING;
    if (message->opcode == FRAME_PONG)
        return MESSAGE_PONG;
    uint16_t code = close_decode(payload, payload_bytes, &message->close);
    if (code == CLOSE_INVALID_DATA)
        return fail(reader, code, "close reason is not UTF-8", message);
    if (code != 0)
        return fail(reader, code, "invalid close frame", message);
    message_reader_clear(reader); /* of a message that will never end */
    reader->in_message = false;
    reader->failed = true; /* 5.5.1: nothing comes after it */
    return MESSAGE_CLOSE;
}

static enum message_event give_message(struct message_reader *reader, const uint8_t *payload,
                                       size_t payload_bytes, struct message *message)
{
    if (reader->message_text && !utf8_is_complete(&reader->utf8))
        return fail(reader, CLOSE_INVALID_DATA, "text is not UTF-8", message);
    reader->in_message = false;
    message->opcode = reader->message_opcode;
    message->payload = payload;
    message->payload_bytes = payload_bytes;
    return MESSAGE_DATA;
}

/* ---- payload ------------------------------------------------------------------------------ */

static enum message_event read_control(struct message_reader *reader, uint8_t *data,
                                       size_t data_bytes, size_t *taken, struct message *message)
{
    size_t bytes = data_bytes < reader->frame_left ? data_bytes : (size_t)reader->frame_left;
    mask_copy(reader->control + reader->control_bytes, data, bytes, reader->header.mask_key,
              reader->control_bytes);
    reader->control_bytes = (uint8_t)(reader->control_bytes + bytes);
    reader->frame_left -= bytes;
    *taken = bytes;
    if (reader->frame_left > 0)
        return MESSAGE_NEED_MORE;
    reader->in_frame = false;
    return give_control(reader, reader->control, reader->control_bytes, message);
}

/* The common case: a whole message in one frame, all of it here.  Unmasked where it stands. */
static enum message_event read_whole(struct message_reader *reader, uint8_t *data, size_t *taken,
                                     struct message *message)
{
    size_t bytes = (size_t)reader->frame_left;
    if (reader->rules.masked)
        mask_copy(data, data, bytes, reader->header.mask_key, 0);
    *taken = bytes;
    reader->in_frame = false;
    if (reader->message_text && !utf8_feed(&reader->utf8, data, bytes))
        return fail(reader, CLOSE_INVALID_DATA, "text is not UTF-8", message);
    return give_message(reader, data, bytes, message);
}

static enum message_event read_part(struct message_reader *reader, const uint8_t *data,
                                    size_t data_bytes, size_t *taken, struct message *message)
{
    size_t bytes = data_bytes < reader->frame_left ? data_bytes : (size_t)reader->frame_left;
    uint64_t phase = reader->header.payload_bytes - reader->frame_left;
    if (bytes > 0 && !buffer_reserve(reader, bytes))
        return fail(reader, CLOSE_INTERNAL_ERROR, "out of memory", message);
    assert(reader->buffer || bytes == 0);
    uint8_t *at = bytes > 0 ? reader->buffer + reader->buffer_bytes : NULL;
    if (bytes > 0 && reader->rules.masked)
        mask_copy(at, data, bytes, reader->header.mask_key, phase);
    else if (bytes > 0)
        memcpy(at, data, bytes);
    reader->buffer_bytes += bytes;
    reader->frame_left -= bytes;
    *taken = bytes;
    if (reader->message_text && bytes > 0 && !utf8_feed(&reader->utf8, at, bytes))
        return fail(reader, CLOSE_INVALID_DATA, "text is not UTF-8", message); /* fail fast */
    if (reader->frame_left > 0)
        return MESSAGE_NEED_MORE;
    reader->in_frame = false;
    if (!reader->header.fin)
        return MESSAGE_NEED_MORE;
    static const uint8_t nothing[1];
    return give_message(reader, reader->buffer ? reader->buffer : nothing, reader->buffer_bytes,
                        message);
}

/*
 * Room for what is inflated next, within the limit.  Above INFLATED_BYTES_SMALL it is asked for all
 * at once: what is not written to costs nothing, while a buffer that grows in steps leaves its
 * smaller selves behind.  Where so much is not to be had, it grows in steps.
 */
static bool reserve_inflated(struct message_reader *reader)
{
    uint64_t bytes_max = reader->limits.message_bytes_max;
    uint8_t *buffer = NULL;
    if (reader->buffer_bytes < reader->buffer_capacity)
        return true;
    uint64_t capacity = reader->buffer_capacity ? reader->buffer_capacity * 4 : BUFFER_BYTES_MIN;
    if (capacity > INFLATED_BYTES_SMALL) {
        buffer = realloc(reader->buffer, (size_t)bytes_max);
        capacity = buffer ? bytes_max : capacity;
    }
    if (capacity > bytes_max)
        capacity = bytes_max;
    if (!buffer)
        buffer = realloc(reader->buffer, (size_t)capacity);
    if (!buffer)
        return false;
    reader->buffer = buffer;
    reader->buffer_capacity = (size_t)capacity;
    return true;
}

/* A piece of a deflated message, or what its end stands for.  MESSAGE_NEED_MORE: all is well. */
static enum message_event inflate_on(struct message_reader *reader, const uint8_t *data,
                                     size_t data_bytes, bool is_end, struct message *message)
{
    enum deflate_result result;
    do {
        uint8_t beyond = 0; /* one byte more than there may be */
        size_t written;
        bool is_full = reader->buffer_bytes == reader->limits.message_bytes_max;
        if (!is_full && !reserve_inflated(reader))
            return fail(reader, CLOSE_INTERNAL_ERROR, "out of memory", message);
        uint8_t *out = is_full ? &beyond : reader->buffer + reader->buffer_bytes;
        size_t room = is_full ? 1 : reader->buffer_capacity - reader->buffer_bytes;
        if (is_end)
            result = deflate_read_end(&reader->deflate, out, room, &written);
        else
            result = deflate_read(&reader->deflate, &data, &data_bytes, out, room, &written);
        if (is_full && written > 0)
            return fail(reader, CLOSE_TOO_BIG, "message too big", message);
        reader->buffer_bytes += written;
        if (result == DEFLATE_ERR_MEMORY)
            return fail(reader, CLOSE_INTERNAL_ERROR, "out of memory", message);
        if (result == DEFLATE_ERR_DATA)
            return fail(reader, CLOSE_INVALID_DATA, deflate_result_text(result), message);
        if (reader->message_text && !utf8_feed(&reader->utf8, out, written))
            return fail(reader, CLOSE_INVALID_DATA, "text is not UTF-8", message);
    } while (result == DEFLATE_MORE);
    return MESSAGE_NEED_MORE;
}

/* What is here of a deflated frame.  Unmasked where it stands. */
static enum message_event read_deflated(struct message_reader *reader, uint8_t *data,
                                        size_t data_bytes, size_t *taken, struct message *message)
{
    size_t bytes = data_bytes < reader->frame_left ? data_bytes : (size_t)reader->frame_left;
    uint64_t phase = reader->header.payload_bytes - reader->frame_left;
    if (bytes > 0 && reader->rules.masked)
        mask_copy(data, data, bytes, reader->header.mask_key, phase);
    reader->frame_left -= bytes;
    reader->deflated_bytes += bytes;
    *taken = bytes;
    enum message_event event = MESSAGE_NEED_MORE;
    if (bytes > 0)
        event = inflate_on(reader, data, bytes, false, message);
    if (event != MESSAGE_NEED_MORE || reader->frame_left > 0)
        return event;
    reader->in_frame = false;
    if (!reader->header.fin)
        return MESSAGE_NEED_MORE;
    event = inflate_on(reader, NULL, 0, true, message);
    if (event != MESSAGE_NEED_MORE)
        return event;
    return give_message(reader, reader->buffer, reader->buffer_bytes, message);
}

static void skip_data(struct message_reader *reader, size_t data_bytes, size_t *taken)
{
    size_t bytes = data_bytes < reader->frame_left ? data_bytes : (size_t)reader->frame_left;
    reader->frame_left -= bytes;
    *taken = bytes;
    if (reader->frame_left > 0)
        return;
    reader->in_frame = false;
    reader->in_message = !reader->header.fin;
}

static enum message_event read_payload(struct message_reader *reader, uint8_t *data,
                                       size_t data_bytes, size_t *taken, struct message *message)
{
    if (frame_opcode_is_control(reader->header.opcode))
        return read_control(reader, data, data_bytes, taken, message);
    if (reader->skips_data) {
        skip_data(reader, data_bytes, taken);
        return MESSAGE_NEED_MORE;
    }
    if (reader->message_deflated)
        return read_deflated(reader, data, data_bytes, taken, message);
    bool whole = reader->header.fin && reader->fragment_count == 1 && !reader->buffer &&
                 reader->frame_left == reader->header.payload_bytes &&
                 reader->frame_left <= data_bytes;
    if (whole)
        return read_whole(reader, data, taken, message);
    return read_part(reader, data, data_bytes, taken, message);
}

/* One header, when none is being read.  MESSAGE_NEED_MORE with in_frame set: it is here. */
static enum message_event start_frame(struct message_reader *reader, const uint8_t *data,
                                      size_t data_bytes, size_t *taken, struct message *message)
{
    enum frame_result result;
    uint16_t code;
    *taken = read_header(reader, data, data_bytes, &result);
    if (result == FRAME_NEED_MORE)
        return MESSAGE_NEED_MORE;
    if (result != FRAME_OK)
        return fail(reader, frame_result_close_code(result), frame_result_text(result), message);
    if (!frame_opcode_is_control(reader->header.opcode)) {
        const char *why = data_frame_error(reader, &reader->header, &code);
        if (why)
            return fail(reader, code, why, message);
    }
    begin_frame(reader);
    return MESSAGE_NEED_MORE;
}

enum message_event message_read(struct message_reader *reader, uint8_t *data, size_t data_bytes,
                                size_t *consumed, struct message *message)
{
    size_t at = 0;
    if (!reader->in_message && reader->buffer)
        buffer_free(reader); /* of the message that was handed out last */
    while (!reader->failed && (at < data_bytes || (reader->in_frame && reader->frame_left == 0))) {
        size_t taken = 0;
        enum message_event event;
        if (!reader->in_frame) {
            event = start_frame(reader, data + at, data_bytes - at, &taken, message);
            at += taken;
            if (event == MESSAGE_NEED_MORE && !reader->in_frame)
                break; /* a header in parts: everything was taken */
        } else {
            event = read_payload(reader, data + at, data_bytes - at, &taken, message);
            at += taken;
        }
        if (event != MESSAGE_NEED_MORE) {
            *consumed = at;
            return event;
        }
    }
    *consumed = data_bytes;
    return MESSAGE_NEED_MORE;
}
