/* One frame header.  Input: a byte of rules, and what came. */
#include "fuzz.h"

#include "proto/frame.h"

/* RFC 6455 5.2 once more, from all the bytes there are. */
static enum frame_result reference(const uint8_t *data, size_t bytes,
                                   const struct frame_rules *rules, size_t *header_bytes)
{
    static const size_t extended[] = {[126] = 2, [127] = 8};
    *header_bytes = 0;
    if (bytes < 1)
        return FRAME_NEED_MORE;
    unsigned opcode = data[0] % 16;
    bool is_control = opcode == 8 || opcode == 9 || opcode == 10;
    if (!is_control && opcode > 2)
        return FRAME_ERR_OPCODE;
    unsigned reserved = data[0] / 16 % 8;
    if (reserved != 0 && !(reserved == 4 && rules->rsv1_allowed && (opcode == 1 || opcode == 2)))
        return FRAME_ERR_RESERVED_BITS;
    if (is_control && data[0] < 128)
        return FRAME_ERR_CONTROL_SHAPE;
    if (bytes < 2)
        return FRAME_NEED_MORE;
    unsigned length = data[1] % 128;
    if (is_control && length > 125)
        return FRAME_ERR_CONTROL_SHAPE;
    if ((data[1] >= 128) != rules->masked)
        return FRAME_ERR_MASK;
    uint64_t payload_bytes = length;
    size_t used = 2 + extended[length];
    if (bytes < used)
        return FRAME_NEED_MORE;
    if (length > 125)
        payload_bytes = 0;
    for (size_t i = 2; i < used; i++)
        payload_bytes = payload_bytes * 256 + data[i];
    if ((length == 126 && payload_bytes < 126) || (length == 127 && payload_bytes < 65536) ||
        payload_bytes >> 63)
        return FRAME_ERR_LENGTH_FORM;
    if (!is_control && payload_bytes > rules->payload_bytes_max)
        return FRAME_ERR_TOO_BIG;
    used += rules->masked ? 4 : 0;
    if (bytes < used)
        return FRAME_NEED_MORE;
    *header_bytes = used;
    return FRAME_OK;
}

static void check_header(const struct frame_header *header, const uint8_t *data,
                         size_t header_bytes, const struct frame_rules *rules)
{
    uint8_t encoded[FRAME_HEADER_BYTES_MAX];
    expect(frame_header_encode(header, encoded) == header_bytes);
    expect(memcmp(encoded, data, header_bytes) == 0);
    expect(header->masked == rules->masked);
    expect(frame_wire_bytes(header->payload_bytes, header->masked) ==
           header_bytes + header->payload_bytes);
    if (frame_opcode_is_control(header->opcode))
        expect(header->payload_bytes <= FRAME_CONTROL_BYTES_MAX);
    else
        expect(header->payload_bytes <= rules->payload_bytes_max);
}

static enum frame_result check(const uint8_t *data, size_t bytes, const struct frame_rules *rules)
{
    static const struct frame_header untouched = {.payload_bytes = 0x0123456789abcdef};
    struct frame_header header = untouched;
    size_t header_bytes = 77;
    size_t expected_bytes;
    uint8_t *exact = fuzz_copy(data, bytes);
    enum frame_result result = frame_header_decode(exact, bytes, rules, &header, &header_bytes);
    free(exact);
    expect(result == reference(data, bytes, rules, &expected_bytes));
    expect(header_bytes == expected_bytes);
    if (result == FRAME_OK)
        check_header(&header, data, header_bytes, rules);
    else
        expect(memcmp(&header, &untouched, sizeof(header)) == 0);
    uint16_t code = frame_result_close_code(result);
    if (result == FRAME_OK || result == FRAME_NEED_MORE)
        expect(code == 0);
    else
        expect(code == (result == FRAME_ERR_TOO_BIG ? 1009 : 1002));
    expect(result < FRAME_RESULT_COUNT && frame_result_text(result)[0] != '\0');
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    uint8_t flags = fuzz_byte(&input);
    const struct frame_rules rules = {.masked = flags & 1,
                                      .rsv1_allowed = flags & 2,
                                      .payload_bytes_max = UINT64_MAX >> (flags / 4)};
    enum frame_result earlier = FRAME_NEED_MORE;
    for (size_t bytes = 0; bytes <= input.bytes && bytes <= FRAME_HEADER_BYTES_MAX + 1; bytes++) {
        enum frame_result result = check(input.at, bytes, &rules);
        expect(earlier == FRAME_NEED_MORE || result == earlier); /* more bytes change no verdict */
        expect(bytes < FRAME_HEADER_BYTES_MAX || result != FRAME_NEED_MORE);
        earlier = result;
    }
    return 0;
}
