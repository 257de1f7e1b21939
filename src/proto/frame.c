/* Frame headers, as bytes and as fields.  RFC 6455 section 5.2. */
#include "proto/frame.h"

#include <assert.h>
#include <string.h>

bool frame_opcode_is_control(enum frame_opcode opcode)
{
    return (opcode & 0x8) != 0;
}

static bool opcode_is_known(unsigned opcode)
{
    return opcode <= FRAME_BINARY || (opcode >= FRAME_CLOSE && opcode <= FRAME_PONG);
}

/* FIN, the reserved bits and the opcode: the first byte alone. */
static enum frame_result check_first_byte(uint8_t first, const struct frame_rules *rules)
{
    unsigned opcode = first & 0x0f;
    if (!opcode_is_known(opcode))
        return FRAME_ERR_OPCODE;
    bool rsv1_fits = rules->rsv1_allowed && (opcode == FRAME_TEXT || opcode == FRAME_BINARY);
    if ((first & 0x30) || ((first & 0x40) && !rsv1_fits))
        return FRAME_ERR_RESERVED_BITS;
    if (frame_opcode_is_control((enum frame_opcode)opcode) && !(first & 0x80))
        return FRAME_ERR_CONTROL_SHAPE;
    return FRAME_OK;
}

/* The mask bit and the short length, before any other length is known. */
static enum frame_result check_second_byte(uint8_t first, uint8_t second,
                                           const struct frame_rules *rules)
{
    bool control = frame_opcode_is_control((enum frame_opcode)(first & 0x0f));
    if (control && (second & 0x7f) > FRAME_CONTROL_BYTES_MAX)
        return FRAME_ERR_CONTROL_SHAPE;
    if (((second & 0x80) != 0) != rules->masked)
        return FRAME_ERR_MASK;
    return FRAME_OK;
}

static uint64_t read_big_endian(const uint8_t *data, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | data[i];
    return value;
}

/* The shortest form only: 5.2, "the minimal number of bytes MUST be used". */
static bool length_form_is_right(unsigned length7, uint64_t payload_bytes)
{
    if (length7 == 126)
        return payload_bytes >= 126;
    if (length7 == 127)
        return payload_bytes >= 65536 && payload_bytes <= INT64_MAX;
    return true;
}

enum frame_result frame_header_decode(const uint8_t *data, size_t data_bytes,
                                      const struct frame_rules *rules, struct frame_header *header,
                                      size_t *header_bytes)
{
    *header_bytes = 0;
    if (data_bytes < 1)
        return FRAME_NEED_MORE;
    enum frame_result result = check_first_byte(data[0], rules);
    if (result != FRAME_OK)
        return result;
    if (data_bytes < 2)
        return FRAME_NEED_MORE;
    result = check_second_byte(data[0], data[1], rules);
    if (result != FRAME_OK)
        return result;

    unsigned length7 = data[1] & 0x7f;
    size_t length_bytes = length7 == 127 ? 8 : length7 == 126 ? 2 : 0;
    size_t mask_bytes = rules->masked ? 4 : 0;
    if (data_bytes < 2 + length_bytes)
        return FRAME_NEED_MORE;
    uint64_t payload_bytes = length_bytes ? read_big_endian(data + 2, length_bytes) : length7;
    if (!length_form_is_right(length7, payload_bytes))
        return FRAME_ERR_LENGTH_FORM;
    enum frame_opcode opcode = (enum frame_opcode)(data[0] & 0x0f);
    if (!frame_opcode_is_control(opcode) && payload_bytes > rules->payload_bytes_max)
        return FRAME_ERR_TOO_BIG;
    if (data_bytes < 2 + length_bytes + mask_bytes)
        return FRAME_NEED_MORE;

    *header = (struct frame_header){.fin = (data[0] & 0x80) != 0,
                                    .rsv1 = (data[0] & 0x40) != 0,
                                    .masked = rules->masked,
                                    .opcode = opcode,
                                    .payload_bytes = payload_bytes};
    if (rules->masked)
        memcpy(header->mask_key, data + 2 + length_bytes, 4);
    *header_bytes = 2 + length_bytes + mask_bytes;
    return FRAME_OK;
}

size_t frame_header_encode(const struct frame_header *header, uint8_t *out)
{
    assert(opcode_is_known(header->opcode) && header->payload_bytes <= INT64_MAX);
    assert(!frame_opcode_is_control(header->opcode) ||
           (header->fin && header->payload_bytes <= FRAME_CONTROL_BYTES_MAX));
    size_t at = 2;
    unsigned mask_bit = header->masked ? 0x80 : 0;
    out[0] = (uint8_t)((header->fin ? 0x80 : 0) | (header->rsv1 ? 0x40 : 0) | header->opcode);
    unsigned length7;
    size_t length_bytes;
    if (header->payload_bytes < 126) {
        length7 = (unsigned)header->payload_bytes;
        length_bytes = 0;
    } else if (header->payload_bytes < 65536) {
        length7 = 126;
        length_bytes = 2;
    } else {
        length7 = 127;
        length_bytes = 8;
    }
    out[1] = (uint8_t)(mask_bit | length7);
    for (size_t i = length_bytes; i-- > 0;)
        out[at++] = (uint8_t)(header->payload_bytes >> (8 * i));
    if (header->masked) {
        memcpy(out + at, header->mask_key, 4);
        at += 4;
    }
    return at;
}

uint64_t frame_wire_bytes(uint64_t payload_bytes, bool masked)
{
    uint64_t length_bytes = payload_bytes < 126 ? 0 : payload_bytes < 65536 ? 2 : 8;
    return 2 + length_bytes + (masked ? 4 : 0) + payload_bytes;
}

uint16_t frame_result_close_code(enum frame_result result)
{
    if (result == FRAME_OK || result == FRAME_NEED_MORE)
        return 0;
    return result == FRAME_ERR_TOO_BIG ? 1009 : 1002; /* 7.4.1 */
}

const char *frame_result_text(enum frame_result result)
{
    static const char *const texts[FRAME_RESULT_COUNT] = {
        [FRAME_OK] = "ok",
        [FRAME_NEED_MORE] = "need more",
        [FRAME_ERR_RESERVED_BITS] = "reserved bit set",
        [FRAME_ERR_OPCODE] = "unknown opcode",
        [FRAME_ERR_CONTROL_SHAPE] = "control frame fragmented or over 125 bytes",
        [FRAME_ERR_LENGTH_FORM] = "length not in its shortest form",
        [FRAME_ERR_MASK] = "frame masked the wrong way",
        [FRAME_ERR_TOO_BIG] = "message too big",
    };
    return texts[result];
}
