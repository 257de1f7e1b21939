/* permessage-deflate's two streams. */
#include "proto/deflate.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/*
 * Measured with JSON of 64 B to 16 KiB: level 1 takes half of level 6's time and leaves a quarter
 * more; a window of 8 KiB and this memory take 64 KiB instead of 256 and at most a fifth more time.
 */
enum {
    LEVEL = 1,
    MEMORY_LEVEL = 6,
    WRITE_WINDOW_BITS_MAX = 13,
    WRITE_WINDOW_BITS_MIN = 9, /* zlib has no 8; with 9 it reaches back 250 bytes at most, as it
                                  keeps 262 of the window for itself: 256 are enough to read it */
    BUFFER_WHOLE_BYTES = 64 * 1024, /* up to here a buffer is made as large as the message */
    BUFFER_KEPT_BYTES = 16 * 1024,  /* ... and up to here it is kept for the next one */
    TRIAL_BYTES = 64 * 1024         /* what has not shrunk by a sixteenth after this will not */
};

/* A sync flush ends with it, and it is not sent (7.2.1 and 7.2.2). */
static const uint8_t tail[] = {0x00, 0x00, 0xff, 0xff};

struct deflate_stream {
    z_stream z;
};

static void *stream_allocate(void *context, unsigned count, unsigned bytes)
{
    (void)context;
    return malloc((size_t)count * bytes);
}

static void stream_free(void *context, void *memory)
{
    (void)context;
    free(memory);
}

static struct deflate_stream *stream_new(void)
{
    struct deflate_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->z.zalloc = stream_allocate;
    stream->z.zfree = stream_free;
    return stream;
}

const char *deflate_result_text(enum deflate_result result)
{
    static const char *const texts[DEFLATE_RESULT_COUNT] = {
        [DEFLATE_OK] = "ok",
        [DEFLATE_MORE] = "more",
        [DEFLATE_PLAIN] = "does not shrink",
        [DEFLATE_ERR_DATA] = "compressed message is corrupt",
        [DEFLATE_ERR_MEMORY] = "out of memory",
    };
    return texts[result];
}

/* ---- reading ------------------------------------------------------------------------------- */

void deflate_reader_init(struct deflate_reader *reader, unsigned window_bits, bool keeps_context)
{
    assert(window_bits >= DEFLATE_WINDOW_BITS_MIN && window_bits <= DEFLATE_WINDOW_BITS_MAX);
    *reader = (struct deflate_reader){.window_bits = (uint8_t)window_bits,
                                      .keeps_context = keeps_context};
}

static void reader_end_stream(struct deflate_reader *reader)
{
    if (reader->stream)
        (void)inflateEnd(&reader->stream->z);
    free(reader->stream);
    reader->stream = NULL;
}

static void reader_forget(struct deflate_reader *reader)
{
    free(reader->past);
    reader->past = NULL;
    reader->past_bytes = 0;
}

void deflate_reader_clear(struct deflate_reader *reader)
{
    reader_end_stream(reader);
    reader_forget(reader);
    reader->is_in_message = false;
}

/* Between two messages a stream is nothing but its window.  False when there is no memory to keep
 * that by itself. */
static bool reader_remember(struct deflate_reader *reader)
{
    z_stream *z = &reader->stream->z;
    unsigned bytes = 0;
    if (inflateGetDictionary(z, NULL, &bytes) != Z_OK)
        return false;
    if (bytes == 0)
        return true;
    reader->past = malloc(bytes);
    if (!reader->past)
        return false;
    (void)inflateGetDictionary(z, reader->past, &bytes);
    reader->past_bytes = (uint16_t)bytes; /* 32768 at most */
    return true;
}

void deflate_reader_rest(struct deflate_reader *reader)
{
    if (!reader->stream || reader->is_in_message)
        return;
    if (!reader->keeps_context || reader_remember(reader))
        reader_end_stream(reader);
}

static bool reader_begin_stream(struct deflate_reader *reader)
{
    reader->stream = stream_new();
    if (!reader->stream)
        return false;
    z_stream *z = &reader->stream->z;
    if (inflateInit2(z, -reader->window_bits) != Z_OK) {
        free(reader->stream);
        reader->stream = NULL;
        return false;
    }
    if (reader->past && inflateSetDictionary(z, reader->past, reader->past_bytes) != Z_OK) {
        reader_end_stream(reader);
        return false;
    }
    reader_forget(reader);
    return true;
}

static bool reader_begin(struct deflate_reader *reader)
{
    if (!reader->stream && !reader_begin_stream(reader))
        return false;
    reader->is_in_message = true;
    reader->has_ended = false;
    reader->tail_done = 0;
    return true;
}

enum deflate_result deflate_read(struct deflate_reader *reader, const uint8_t **data,
                                 size_t *data_bytes, uint8_t *out, size_t out_bytes,
                                 size_t *written)
{
    *written = 0;
    if (!reader->is_in_message && !reader_begin(reader))
        return DEFLATE_ERR_MEMORY;
    z_stream *z = &reader->stream->z;
    for (;;) {
        size_t in_bytes = *data_bytes < UINT_MAX ? *data_bytes : UINT_MAX;
        size_t room = out_bytes - *written < UINT_MAX ? out_bytes - *written : UINT_MAX;
        z->next_in = (uint8_t *)(uintptr_t)*data;
        z->avail_in = (unsigned)in_bytes;
        z->next_out = out + *written;
        z->avail_out = (unsigned)room;
        int result = inflate(z, Z_SYNC_FLUSH);
        bool has_moved = z->avail_in < in_bytes || z->avail_out < room;
        *data += in_bytes - z->avail_in;
        *data_bytes -= in_bytes - z->avail_in;
        *written += room - z->avail_out;
        if (in_bytes > z->avail_in)
            reader->has_ended = false;
        if (result == Z_MEM_ERROR)
            return DEFLATE_ERR_MEMORY;
        if (result == Z_STREAM_END) { /* the next block is looked for with the window as it is */
            (void)inflateResetKeep(z);
            reader->has_ended = true;
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            return DEFLATE_ERR_DATA;
        }
        if (*written == out_bytes)
            return DEFLATE_MORE; /* a part of a match may wait */
        if (*data_bytes == 0)
            return DEFLATE_OK;
        if (!has_moved && result != Z_STREAM_END)
            return DEFLATE_ERR_DATA;
    }
}

/* Between two blocks, at the end of a byte: nothing was cut. */
static bool reader_is_at_boundary(const struct deflate_reader *reader)
{
    return (reader->stream->z.data_type & (128 | 63)) == 128;
}

enum deflate_result deflate_read_end(struct deflate_reader *reader, uint8_t *out, size_t out_bytes,
                                     size_t *written)
{
    enum deflate_result result = DEFLATE_OK;
    *written = 0;
    if (!reader->is_in_message && !reader_begin(reader))
        return DEFLATE_ERR_MEMORY;
    if (!reader->has_ended || reader->tail_done > 0) {
        const uint8_t *rest = tail + reader->tail_done;
        size_t rest_bytes = sizeof(tail) - reader->tail_done;
        result = deflate_read(reader, &rest, &rest_bytes, out, out_bytes, written);
        reader->tail_done = (uint8_t)(sizeof(tail) - rest_bytes);
        if (result != DEFLATE_OK)
            return result;
        if (reader->has_ended || !reader_is_at_boundary(reader))
            return DEFLATE_ERR_DATA;
    }
    reader->is_in_message = false;
    if (!reader->keeps_context)
        (void)inflateReset(&reader->stream->z);
    return DEFLATE_OK;
}

/* ---- writing ------------------------------------------------------------------------------- */

void deflate_writer_init(struct deflate_writer *writer, unsigned window_bits, bool keeps_context)
{
    assert(window_bits >= DEFLATE_WINDOW_BITS_MIN && window_bits <= DEFLATE_WINDOW_BITS_MAX);
    if (window_bits > WRITE_WINDOW_BITS_MAX)
        window_bits = WRITE_WINDOW_BITS_MAX;
    if (window_bits < WRITE_WINDOW_BITS_MIN)
        window_bits = WRITE_WINDOW_BITS_MIN;
    *writer = (struct deflate_writer){.window_bits = (uint8_t)window_bits,
                                      .keeps_context = keeps_context};
}

static void buffer_free(struct deflate_writer *writer)
{
    free(writer->buffer);
    writer->buffer = NULL;
    writer->buffer_bytes = 0;
    writer->buffer_capacity = 0;
}

void deflate_writer_clear(struct deflate_writer *writer)
{
    if (writer->stream)
        (void)deflateEnd(&writer->stream->z);
    free(writer->stream);
    writer->stream = NULL;
    buffer_free(writer);
}

void deflate_writer_rest(struct deflate_writer *writer)
{
    deflate_writer_clear(writer);
}

void deflate_write_done(struct deflate_writer *writer)
{
    if (writer->buffer_capacity > BUFFER_KEPT_BYTES)
        buffer_free(writer);
}

/* A stream that knows nothing that the peer does not. */
static bool writer_prepare(struct deflate_writer *writer)
{
    if (writer->stream && writer->is_stale)
        (void)deflateReset(&writer->stream->z);
    writer->is_stale = !writer->keeps_context;
    if (writer->stream)
        return true;
    writer->stream = stream_new();
    if (!writer->stream)
        return false;
    if (deflateInit2(&writer->stream->z, LEVEL, Z_DEFLATED, -writer->window_bits, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) == Z_OK)
        return true;
    free(writer->stream);
    writer->stream = NULL;
    return false;
}

void deflate_write_begin(struct deflate_writer *writer, const uint8_t *payload,
                         size_t payload_bytes)
{
    writer->payload = payload;
    writer->payload_bytes = payload_bytes;
    writer->payload_done = 0;
    writer->buffer_bytes = 0;
}

/* Where to write on.  What is as long as the payload has not shrunk: there is no need for more. */
static enum deflate_result buffer_reserve(struct deflate_writer *writer)
{
    size_t useful_bytes = writer->payload_bytes + sizeof(tail);
    if (writer->buffer_bytes >= useful_bytes)
        return DEFLATE_PLAIN;
    if (writer->buffer_bytes < writer->buffer_capacity)
        return DEFLATE_OK;
    size_t capacity = writer->buffer_capacity * 2;
    if (capacity < BUFFER_WHOLE_BYTES)
        capacity = BUFFER_WHOLE_BYTES;
    if (capacity > useful_bytes)
        capacity = useful_bytes;
    uint8_t *buffer = realloc(writer->buffer, capacity);
    if (!buffer)
        return DEFLATE_ERR_MEMORY;
    writer->buffer = buffer;
    writer->buffer_capacity = capacity;
    return DEFLATE_OK;
}

/* It goes as it is, and what was learnt from it must be forgotten. */
static enum deflate_result give_up(struct deflate_writer *writer, enum deflate_result result)
{
    writer->is_stale = true;
    deflate_write_done(writer);
    return result;
}

static bool is_hopeless(const struct deflate_writer *writer)
{
    return writer->payload_done >= TRIAL_BYTES &&
           writer->buffer_bytes > writer->payload_done - writer->payload_done / 16;
}

enum deflate_result deflate_write(struct deflate_writer *writer, size_t payload_bytes_max)
{
    if (writer->payload_bytes <= DEFLATE_PLAIN_BYTES_MAX)
        return DEFLATE_PLAIN; /* the stream has not seen it */
    if (writer->payload_done == 0 && !writer_prepare(writer))
        return give_up(writer, DEFLATE_ERR_MEMORY);
    z_stream *z = &writer->stream->z;
    size_t piece = writer->payload_bytes - writer->payload_done;
    bool is_last = piece <= payload_bytes_max;
    if (!is_last)
        piece = payload_bytes_max;
    assert(piece <= UINT_MAX);
    z->next_in = (uint8_t *)(uintptr_t)(writer->payload + writer->payload_done);
    z->avail_in = (unsigned)piece;
    do {
        enum deflate_result room = buffer_reserve(writer);
        if (room != DEFLATE_OK)
            return give_up(writer, room);
        size_t room_bytes = writer->buffer_capacity - writer->buffer_bytes;
        z->next_out = writer->buffer + writer->buffer_bytes;
        z->avail_out = room_bytes < UINT_MAX ? (unsigned)room_bytes : UINT_MAX;
        unsigned given = z->avail_out;
        (void)deflate(z, is_last ? Z_SYNC_FLUSH : Z_NO_FLUSH);
        writer->buffer_bytes += given - z->avail_out;
    } while (z->avail_out == 0);
    writer->payload_done += piece;
    if (!is_last)
        return is_hopeless(writer) ? give_up(writer, DEFLATE_PLAIN) : DEFLATE_MORE;
    writer->buffer_bytes -= sizeof(tail);
    if (writer->buffer_bytes >= writer->payload_bytes)
        return give_up(writer, DEFLATE_PLAIN);
    return DEFLATE_OK;
}
