/*
 * The body of a Close frame: code and reason.  RFC 6455 sections 5.5.1, 7.1.5 and 7.4.
 */
#ifndef WSKEEP_PROTO_CLOSE_H
#define WSKEEP_PROTO_CLOSE_H

#include "proto/frame.h"

enum { CLOSE_REASON_BYTES_MAX = FRAME_CONTROL_BYTES_MAX - 2 };

/* 7.4.1, and the IANA registry for 1012 to 1014. */
enum close_code {
    CLOSE_NORMAL = 1000,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_PROTOCOL_ERROR = 1002,
    CLOSE_UNSUPPORTED_DATA = 1003,
    CLOSE_NO_STATUS = 1005, /* never on the wire: the frame had no code */
    CLOSE_ABNORMAL = 1006,  /* never on the wire: there was no Close frame */
    CLOSE_INVALID_DATA = 1007,
    CLOSE_POLICY = 1008,
    CLOSE_TOO_BIG = 1009,
    CLOSE_EXTENSION = 1010,
    CLOSE_INTERNAL_ERROR = 1011,
    CLOSE_RESTART = 1012,
    CLOSE_TRY_AGAIN = 1013,
    CLOSE_BAD_GATEWAY = 1014,
    CLOSE_TLS = 1015 /* never on the wire */
};

struct close_frame {
    uint16_t code;        /* CLOSE_NO_STATUS: an empty body */
    uint8_t reason_bytes; /* UTF-8, not terminated */
    char reason[CLOSE_REASON_BYTES_MAX];
};

/* True for a code that an endpoint may put into a Close frame: 1000-1003, 1007-1014, 3000-4999. */
bool close_code_is_sendable(uint16_t code);

/*
 * Decode the body of a Close frame.  Returns 0 and fills *close, or the code to close with:
 * 1002 for a body of one byte or a code that may not be sent, 1007 for a reason that is not
 * UTF-8 (*close is then untouched).
 */
uint16_t close_decode(const uint8_t *body, size_t body_bytes, struct close_frame *close);

/*
 * Encode into body (room for FRAME_CONTROL_BYTES_MAX).  Returns the bytes written: 0 for
 * CLOSE_NO_STATUS.  A code that may not be sent is our own mistake and asserted.
 */
size_t close_encode(const struct close_frame *close, uint8_t *body);

/*
 * Make a close frame from a code and text, cut at the end of a whole UTF-8 character so that
 * it fits.  text may be NULL.
 */
void close_set(struct close_frame *close, uint16_t code, const char *text);

#endif
