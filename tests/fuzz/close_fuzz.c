/* The body of a Close.  Input: the body, and again as text for a reason of ours. */
#include "proto/close.h"

#include "reference.h"

static void check_body(const uint8_t *data, size_t bytes)
{
    struct close_frame close = {.code = 4242};
    uint8_t encoded[FRAME_CONTROL_BYTES_MAX];
    uint8_t *exact = fuzz_copy(data, bytes);
    uint16_t error = close_decode(exact, bytes, &close);
    free(exact);
    expect(error == reference_close_error(data, bytes));
    if (error != 0) {
        expect(close.code == 4242);
        return;
    }
    expect(close.code == CLOSE_NO_STATUS || close_code_is_sendable(close.code));
    expect((close.code == CLOSE_NO_STATUS) == (bytes == 0));
    expect(close_encode(&close, encoded) == bytes);
    expect(memcmp(encoded, data, bytes) == 0);
}

/* As long a front of the text as fits, and no character cut in two. */
static void check_reason(const uint8_t *data, size_t bytes)
{
    struct close_frame close;
    char *text = fuzz_text(data, bytes);
    size_t text_bytes = strlen(text);
    close_set(&close, 1011, text);
    size_t kept = close.reason_bytes;
    expect(close.code == 1011);
    expect(kept <= CLOSE_REASON_BYTES_MAX && kept <= text_bytes);
    expect(memcmp(close.reason, text, kept) == 0);
    if (text_bytes <= CLOSE_REASON_BYTES_MAX)
        expect(kept == text_bytes);
    if (reference_utf8((uint8_t *)text, text_bytes) == REFERENCE_TEXT_WHOLE) {
        uint8_t body[FRAME_CONTROL_BYTES_MAX];
        size_t next = reference_character((uint8_t *)text + kept, text_bytes - kept);
        expect(kept == text_bytes || kept + next > CLOSE_REASON_BYTES_MAX);
        expect(reference_close_error(body, close_encode(&close, body)) == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    check_body(data, data_bytes);
    if (data_bytes > 0)
        expect(close_code_is_sendable((uint16_t)(data[0] << 8)) ==
               reference_code_is_sendable(data[0] * 256u));
    check_reason(data, data_bytes);
    return 0;
}
