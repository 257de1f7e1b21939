/*
 * permessage-deflate's two streams: a message into DEFLATE, and back.  RFC 7692 section 7.2.
 *
 * Pure: zlib is handed this program's memory.  A stream costs nothing before its first message:
 *
 *     writing   about 70 KiB, and a buffer for the message that is being sent
 *     reading   about 8 KiB, and the window that was agreed on, at most 32 KiB
 *
 * The writing side may forget what it knows at any time, as what it writes then refers to nothing
 * before.  The reading side has to remember as much as was agreed: after a quiet time only the part
 * of the window that was ever used, and nothing else.
 */
#ifndef WSKEEP_PROTO_DEFLATE_H
#define WSKEEP_PROTO_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deflate_stream;

enum {
    DEFLATE_WINDOW_BITS_MIN = 8,
    DEFLATE_WINDOW_BITS_MAX = 15,
    DEFLATE_PLAIN_BYTES_MAX = 127 /* so short a message is not tried: it takes a packet anyway,
                                     and many a peer long to inflate it */
};

enum deflate_result {
    DEFLATE_OK,
    DEFLATE_MORE,       /* not an error: call again */
    DEFLATE_PLAIN,      /* writing: it does not shrink, and is sent as it is */
    DEFLATE_ERR_DATA,   /* reading: not DEFLATE, cut, or it refers to what is out of the window */
    DEFLATE_ERR_MEMORY, /* writing: it can still be sent as it is.  Reading: it is over */
    DEFLATE_RESULT_COUNT
};

/* A few words for logs; never NULL. */
const char *deflate_result_text(enum deflate_result result);

/* ---- reading ------------------------------------------------------------------------------- */

struct deflate_reader {
    struct deflate_stream *stream; /* NULL until the first message, and after it was given back */
    uint8_t *past;                 /* what the next message may refer to, while there is no stream;
                                      NULL: nothing */
    uint16_t past_bytes;
    uint8_t window_bits;
    bool keeps_context; /* messages refer to those before them */
    bool has_ended;     /* the last thing read was the end of a final block */
    bool is_in_message;
    uint8_t tail_done; /* bytes of what the sender has left out (7.2.2) */
};

/* window_bits: at least what the peer may use, 8 to 15. */
void deflate_reader_init(struct deflate_reader *reader, unsigned window_bits, bool keeps_context);
void deflate_reader_clear(struct deflate_reader *reader);

/*
 * Inflate a piece of a message.
 *
 * data, data_bytes  in: what came; out: what of it is left
 * out, out_bytes    where to write, at least one byte; *written says how many were
 *
 * Returns DEFLATE_OK when everything was read and everything that it stands for was written,
 * DEFLATE_MORE when out is full and there may be more, or an error: then nothing can follow.
 */
enum deflate_result deflate_read(struct deflate_reader *reader, const uint8_t **data,
                                 size_t *data_bytes, uint8_t *out, size_t out_bytes,
                                 size_t *written);

/*
 * The message's last byte was read: the same for what its sender has left out.  DEFLATE_OK: the
 * message was whole.
 *
 * A block that is marked as the final one (7.2.3.4) ends nothing: others may follow it, and where
 * a message ends with one, the empty block behind it may be missing.
 */
enum deflate_result deflate_read_end(struct deflate_reader *reader, uint8_t *out, size_t out_bytes,
                                     size_t *written);

/* Nothing came for a while: give back what the next message does not need. */
void deflate_reader_rest(struct deflate_reader *reader);

/* ---- writing ------------------------------------------------------------------------------- */

struct deflate_writer {
    struct deflate_stream *stream; /* NULL until the first message, and after it was given back */
    uint8_t window_bits;
    bool keeps_context;
    bool is_stale; /* it knows what the peer does not, or must not know anything */
    const uint8_t *payload;
    size_t payload_bytes;
    size_t payload_done;
    uint8_t *buffer; /* the message, deflated */
    size_t buffer_bytes;
    size_t buffer_capacity;
};

/* window_bits: what the peer can take, 8 to 15. */
void deflate_writer_init(struct deflate_writer *writer, unsigned window_bits, bool keeps_context);
void deflate_writer_clear(struct deflate_writer *writer);

/* Begin a message.  payload stays where it is until the message is done. */
void deflate_write_begin(struct deflate_writer *writer, const uint8_t *payload,
                         size_t payload_bytes);

/*
 * Go on, with at most so many bytes of it, more than none.  DEFLATE_OK: buffer and buffer_bytes are
 * the whole message, fewer bytes than payload, until deflate_write_done().  DEFLATE_PLAIN,
 * DEFLATE_ERR_MEMORY: send payload; nothing after it will refer to it.
 */
enum deflate_result deflate_write(struct deflate_writer *writer, size_t payload_bytes_max);

/* The message was sent: give back a large buffer. */
void deflate_write_done(struct deflate_writer *writer);

/* Nothing was sent for a while, and nothing is being sent: give back everything. */
void deflate_writer_rest(struct deflate_writer *writer);

#endif
