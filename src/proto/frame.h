/*
 * WebSocket frames: the header of each, as bytes and as fields.  RFC 6455 section 5.2.
 *
 * Pure: bytes in, fields out, and back.  Payloads are not looked at here (see message.h).
 */
#ifndef WSKEEP_PROTO_FRAME_H
#define WSKEEP_PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEADER_BYTES_MAX = 14, /* 2, 8 of length, 4 of mask key */
    FRAME_CONTROL_BYTES_MAX = 125
};

/* RFC 6455 section 11.8.  The values are the ones on the wire. */
enum frame_opcode {
    FRAME_CONTINUATION = 0x0,
    FRAME_TEXT = 0x1,
    FRAME_BINARY = 0x2,
    FRAME_CLOSE = 0x8,
    FRAME_PING = 0x9,
    FRAME_PONG = 0xa
};

struct frame_header {
    bool fin;
    bool rsv1; /* only where the caller allows it: permessage-deflate's mark */
    bool masked;
    uint8_t mask_key[4]; /* all zero unless masked */
    enum frame_opcode opcode;
    uint64_t payload_bytes;
};

enum frame_result {
    FRAME_OK,
    FRAME_NEED_MORE,         /* not an error: call again once more bytes are here */
    FRAME_ERR_RESERVED_BITS, /* 5.2: a reserved bit that no extension gave a meaning */
    FRAME_ERR_OPCODE,        /* 5.2: opcodes 3-7 and 11-15 are reserved */
    FRAME_ERR_CONTROL_SHAPE, /* 5.5: control frame fragmented, or over 125 bytes */
    FRAME_ERR_LENGTH_FORM,   /* 5.2: not the shortest form, or the top bit of 64 is set */
    FRAME_ERR_MASK,          /* 5.1: a client's frame unmasked, or a server's masked */
    FRAME_ERR_TOO_BIG,       /* announces more than the caller allows: 1009 */
    FRAME_RESULT_COUNT
};

/* What the two ends must and may do, fixed for a connection. */
struct frame_rules {
    bool masked;                /* true: frames come from a client and must be masked (5.1) */
    bool rsv1_allowed;          /* permessage-deflate was negotiated */
    uint64_t payload_bytes_max; /* refuse a data frame that announces more than this */
};

/*
 * Decode the header at the front of data.  RFC 6455 section 5.2.
 *
 * data, data_bytes   all bytes received and not yet consumed; still the caller's
 * rules              what this side of the connection must look like
 * header             out; written only when FRAME_OK is returned
 * header_bytes       out; bytes to consume, 0 unless FRAME_OK is returned
 *
 * An error is reported as soon as the first byte, the second, or the whole length shows it.
 * Returns FRAME_OK, FRAME_NEED_MORE, or the first rule broken.  After an error the stream
 * cannot be resumed: close with frame_result_close_code() (7.4.1).
 */
enum frame_result frame_header_decode(const uint8_t *data, size_t data_bytes,
                                      const struct frame_rules *rules, struct frame_header *header,
                                      size_t *header_bytes);

/*
 * Encode header in its shortest form into out, which has room for FRAME_HEADER_BYTES_MAX.
 * Returns the bytes written.  Cannot fail: a header that a caller built wrong is asserted.
 */
size_t frame_header_encode(const struct frame_header *header, uint8_t *out);

/* Bytes that header and payload of one unfragmented frame take on the wire. */
uint64_t frame_wire_bytes(uint64_t payload_bytes, bool masked);

/* 1002 or 1009 for an error, 0 for FRAME_OK and FRAME_NEED_MORE. */
uint16_t frame_result_close_code(enum frame_result result);

/* A few words for logs; never NULL. */
const char *frame_result_text(enum frame_result result);

/* True for Close, Ping and Pong. */
bool frame_opcode_is_control(enum frame_opcode opcode);

#endif
