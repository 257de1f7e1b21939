/*
 * A stream of bytes from the peer -> messages and control frames.  RFC 6455 sections 5.4,
 * 5.5 and 8.1.
 *
 * Works on the caller's receive buffer in place: a frame that is complete there is unmasked
 * there and handed out without a copy.  Only what is not complete yet is kept, in a heap
 * buffer that exists just as long, so an idle reader owns no memory: not even for where it stands
 * in a frame.
 *
 * Messages of permessage-deflate (RFC 7692) are inflated as they arrive, before UTF-8 is looked
 * at: nothing compressed is kept, and what they become is held to the limit while it grows.
 */
#ifndef WSKEEP_PROTO_MESSAGE_H
#define WSKEEP_PROTO_MESSAGE_H

#include "proto/close.h"
#include "proto/deflate.h"
#include "proto/frame.h"
#include "proto/utf8.h"

struct message_limits {
    uint64_t message_bytes_max;  /* of one message, all its fragments together and inflated: 1009.
                                    Under 4 GiB.  Deflated it may have a quarter more, and 64 KiB */
    uint32_t fragment_count_max; /* of one message: 1009.  Under 2^27 */
};

enum message_event {
    MESSAGE_NEED_MORE, /* everything was consumed; nothing whole is here */
    MESSAGE_DATA,      /* a whole text or binary message: opcode, payload */
    MESSAGE_PING,      /* payload: at most 125 bytes */
    MESSAGE_PONG,      /* payload: at most 125 bytes */
    MESSAGE_CLOSE,     /* close; nothing after it is a frame (5.5.1): stop reading messages */
    MESSAGE_ERROR      /* close.code says which: 1002, 1007, 1009; 1011 when memory ran out */
};

struct message {
    enum frame_opcode opcode;
    const uint8_t *payload; /* valid until the next call on the reader, or until the caller's
                               buffer changes, whichever is first */
    size_t payload_bytes;
    bool is_masked; /* after message_reader_leave_masked(): the payload is as it came */
    uint8_t mask_key[4];
    uint8_t *block; /* the heap buffer whose front the payload is, with little besides: see
                       message_reader_lose_block(); NULL: there is none */
    struct close_frame close; /* MESSAGE_CLOSE: what arrived; MESSAGE_ERROR: code, and a reason
                                 in words, both fit to be sent */
};

struct message_part;

/* One direction of one connection.  The fields are the reader's own. */
struct message_reader {
    struct message_part *part;      /* NULL: nothing is under way */
    struct deflate_reader *deflate; /* NULL: not negotiated, or not needed any more */
    uint32_t message_bytes_max;
    uint32_t fragment_count_max : 27;
    bool is_masked : 1;
    bool may_be_deflated : 1;
    bool leaves_masked : 1;
    bool skips_data : 1;
    bool failed : 1; /* an error was reported, or a Close: nothing more comes out */
};

/* masked: true when the peer is a client.  Starts at the first byte after the handshake. */
void message_reader_init(struct message_reader *reader, bool masked,
                         const struct message_limits *limits);

/* Whoever takes the messages copies them anyway: binary ones that come in one piece are handed out
 * masked, so that one pass over them is enough. */
void message_reader_leave_masked(struct message_reader *reader);

/* permessage-deflate was negotiated: any message may be deflated from now on.  The arguments are
 * those of deflate_reader_init().  False when there is no memory: nothing has changed then. */
bool message_reader_inflate(struct message_reader *reader, unsigned window_bits,
                            bool keeps_context);

/* Nothing came for a while: give back what the next message does not need. */
void message_reader_rest(struct message_reader *reader);

/* Nobody wants the messages any more, but the Close still to come: give back all that was kept of
 * them, and read past them without taking any.  No MESSAGE_DATA comes out, not even of the one
 * that has begun. */
void message_reader_skip_data(struct message_reader *reader);

/* Give back all memory.  The reader may be cleared twice. */
void message_reader_clear(struct message_reader *reader);

/*
 * Read on.
 *
 * data, data_bytes  the bytes after those consumed so far; changed in place (unmasked)
 * consumed          out; how many of them to drop.  MESSAGE_NEED_MORE consumes all.
 * message           out; filled for every event but MESSAGE_NEED_MORE
 *
 * Call again with the rest until MESSAGE_NEED_MORE.  The heap buffer grows with the bytes that
 * arrived, never with what a header announced.  After MESSAGE_CLOSE or MESSAGE_ERROR every
 * call consumes all and returns MESSAGE_NEED_MORE.
 */
enum message_event message_read(struct message_reader *reader, uint8_t *data, size_t data_bytes,
                                size_t *consumed, struct message *message);

/* True after MESSAGE_CLOSE or MESSAGE_ERROR: nothing more comes out. */
bool message_reader_has_ended(const struct message_reader *reader);

/* True between messages and frames, when the reader holds nothing. */
bool message_reader_is_idle(const struct message_reader *reader);

/* True when the payload of the message that was handed out last lies in the reader's buffer, or is
 * empty; false when it lies in the caller's. */
bool message_reader_holds(const struct message_reader *reader, const struct message *message);

/* The block of the message that was handed out last is the caller's now, to be given to free(). */
void message_reader_lose_block(struct message_reader *reader);

/* Heap bytes held now for the payload of a message, for memory accounting. */
size_t message_reader_heap_bytes(const struct message_reader *reader);

#endif
