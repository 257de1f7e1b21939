/* The body of a Close frame. */
#include "proto/close.h"

#include <assert.h>
#include <string.h>

#include "proto/utf8.h"

bool close_code_is_sendable(uint16_t code)
{
    if (code >= 3000)
        return code <= 4999; /* 7.4.2: registered, and private */
    return (code >= CLOSE_NORMAL && code <= CLOSE_UNSUPPORTED_DATA) ||
           (code >= CLOSE_INVALID_DATA && code <= CLOSE_BAD_GATEWAY);
}

uint16_t close_decode(const uint8_t *body, size_t body_bytes, struct close_frame *close)
{
    if (body_bytes == 0) {
        *close = (struct close_frame){.code = CLOSE_NO_STATUS};
        return 0;
    }
    if (body_bytes == 1 || body_bytes > FRAME_CONTROL_BYTES_MAX)
        return CLOSE_PROTOCOL_ERROR;
    uint16_t code = (uint16_t)(body[0] << 8 | body[1]);
    if (!close_code_is_sendable(code))
        return CLOSE_PROTOCOL_ERROR;
    if (!utf8_is_valid(body + 2, body_bytes - 2))
        return CLOSE_INVALID_DATA;
    *close = (struct close_frame){.code = code, .reason_bytes = (uint8_t)(body_bytes - 2)};
    memcpy(close->reason, body + 2, body_bytes - 2);
    return 0;
}

size_t close_encode(const struct close_frame *close, uint8_t *body)
{
    if (close->code == CLOSE_NO_STATUS)
        return 0;
    assert(close_code_is_sendable(close->code));
    assert(close->reason_bytes <= CLOSE_REASON_BYTES_MAX);
    body[0] = (uint8_t)(close->code >> 8);
    body[1] = (uint8_t)close->code;
    memcpy(body + 2, close->reason, close->reason_bytes);
    return 2u + close->reason_bytes;
}

void close_set(struct close_frame *close, uint16_t code, const char *text)
{
    *close = (struct close_frame){.code = code};
    if (!text)
        return;
    size_t bytes = strlen(text);
    if (bytes > CLOSE_REASON_BYTES_MAX) {
        bytes = CLOSE_REASON_BYTES_MAX;
        while (bytes > 0 && ((uint8_t)text[bytes] & 0xc0) == 0x80)
            bytes--; /* not in the middle of a character */
    }
    close->reason_bytes = (uint8_t)bytes;
    memcpy(close->reason, text, bytes);
}
