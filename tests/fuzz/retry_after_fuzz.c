/* Retry-After.  Input: a value, and in a second line the Date of the answer. */
#include "proto/retry_after.h"

#include "head.h"
#include "proto/http_date.h"

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static struct http_text trim(struct http_text text)
{
    while (text.bytes > 0 && strchr(" \t", text.at[0])) {
        text.at++;
        text.bytes--;
    }
    while (text.bytes > 0 && strchr(" \t", text.at[text.bytes - 1]))
        text.bytes--;
    return text;
}

/* RFC 9110 10.2.3: seconds, or a date; here with libc's arithmetic.  False: it asks for nothing. */
static bool reference(struct http_text value, struct http_text date, uint64_t *delay_ms)
{
    char *text = fuzz_text(value.at, value.bytes);
    size_t digits = strspn(text, "0123456789");
    uint64_t seconds = strtoull(text, NULL, 10); /* ULLONG_MAX when it is more */
    uint64_t now_s;
    uint64_t until_s;
    bool is_number = digits > 0 && digits == value.bytes;
    free(text);
    if (!is_number) {
        if (!http_date_parse(value, &until_s) || !http_date_parse(date, &now_s))
            return false;
        seconds = until_s > now_s ? until_s - now_s : 0;
    }
    *delay_ms = lesser(seconds, RETRY_AFTER_SECONDS_MAX) * 1000;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    static struct http_head head;
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    struct fuzz_input value = fuzz_line(&input);
    struct fuzz_input date = fuzz_line(&input);
    char *text = fuzz_allocate(data_bytes + 100);
    size_t bytes = (size_t)sprintf(text, "HTTP/1.1 503 Busy\r\nRetry-After: ");
    memcpy(text + bytes, value.at, value.bytes);
    bytes += value.bytes;
    bytes += (size_t)sprintf(text + bytes, "\r\nDate:");
    memcpy(text + bytes, date.at, date.bytes);
    bytes += date.bytes;
    bytes += (size_t)sprintf(text + bytes, "\r\n\r\n");
    uint8_t *exact = fuzz_copy(text, bytes);
    free(text);
    if (http_head_parse(exact, bytes, false, &head) == HTTP_HEAD_OK && head.field_count == 2) {
        uint64_t expected_ms = 7;
        uint64_t got_ms = 7;
        bool is_asked =
            reference(trim(head.fields[0].value), trim(head.fields[1].value), &expected_ms);
        expect(retry_after_parse(&head, &got_ms) == is_asked);
        expect(got_ms == expected_ms);
        head.fields[1].name = head.fields[0].name; /* two of them ask for nothing */
        expect(!retry_after_parse(&head, &got_ms));
    }
    free(exact);
    return 0;
}
