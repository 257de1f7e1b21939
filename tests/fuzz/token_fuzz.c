/* What a client shows to be let in.  Input: a target, and in each other line an Authorization. */
#include "reference_token.h"

static void expect_token(enum token_result result, const struct token *token,
                         struct reference_token *expected)
{
    expect(result == expected->result);
    if (result == TOKEN_SHOWN) {
        size_t bytes = expected->bytes <= TOKEN_BYTES_MAX ? expected->bytes : 0;
        expect(token->bytes == bytes);
        expect(bytes == 0 || memcmp(token->text, expected->text, bytes) == 0);
    }
    reference_token_clear(expected);
}

static void check_target(const char *data, size_t bytes)
{
    char *exact = (char *)fuzz_copy(data, bytes);
    const struct http_text target = {.at = exact, .bytes = bytes};
    struct token *token = fuzz_allocate(sizeof(*token));
    struct reference_token expected = reference_token_of_target(target);
    expect_token(token_from_target(target, token), token, &expected);
    free(token);
    free(exact);
}

static void check_head(const char *text, size_t bytes)
{
    static struct http_head head;
    uint8_t *exact = fuzz_copy(text, bytes);
    struct token *token = fuzz_allocate(sizeof(*token));
    if (http_head_parse(exact, bytes, true, &head) == HTTP_HEAD_OK) {
        struct reference_token expected = reference_token_of_header(&head);
        expect_token(token_from_header(&head, token), token, &expected);
    }
    free(token);
    free(exact);
}

static void check_headers(struct fuzz_input input)
{
    size_t room = 64 + input.bytes * 24;
    char *text = fuzz_allocate(room);
    size_t bytes = (size_t)snprintf(text, room, "GET / HTTP/1.1\r\n");
    while (input.bytes > 0) {
        struct fuzz_input line = fuzz_line(&input);
        char *value = fuzz_text(line.at, line.bytes);
        bytes += (size_t)snprintf(text + bytes, room - bytes, "authorization: %s\r\n", value);
        free(value);
    }
    bytes += (size_t)snprintf(text + bytes, room - bytes, "\r\n");
    expect(bytes < room);
    check_head(text, bytes);
    free(text);
}

/* What may be configured is read back as it is, whichever way it is shown. */
static void check_configured(const char *data, size_t bytes)
{
    char head[TOKEN_BYTES_MAX + 64];
    char target[3 * TOKEN_BYTES_MAX + 64] = "/?a&wskeep-token=";
    char *exact = (char *)fuzz_copy(data, bytes);
    char *text = fuzz_text(data, bytes);
    size_t plain = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~+/");
    size_t all = plain + strspn(text + plain, "=");
    bool is_valid = plain > 0 && all == bytes && bytes <= TOKEN_BYTES_MAX;
    expect(token_is_valid(exact, bytes) == is_valid);
    if (is_valid) {
        struct token token;
        static struct http_head parsed;
        int head_bytes = snprintf(head, sizeof(head),
                                  "GET / HTTP/1.1\r\nAuthorization: BEARER  %s\r\n\r\n", text);
        expect(http_head_parse((uint8_t *)head, (size_t)head_bytes, true, &parsed) == HTTP_HEAD_OK);
        expect(token_from_header(&parsed, &token) == TOKEN_SHOWN);
        expect(token.bytes == bytes && memcmp(token.text, text, bytes) == 0);
        for (size_t i = 0, at = strlen(target); i < bytes; i++)
            at += (size_t)snprintf(target + at, sizeof(target) - at, i % 3 ? "%c" : "%%%02x",
                                   text[i]);
        const struct http_text shown = {.at = target, .bytes = strlen(target)};
        expect(token_from_target(shown, &token) == TOKEN_SHOWN);
        expect(token.bytes == bytes && memcmp(token.text, text, bytes) == 0);
    }
    free(text);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    struct fuzz_input line = fuzz_line(&input);
    check_target((const char *)line.at, line.bytes);
    check_configured((const char *)line.at, line.bytes);
    check_headers(input);
    return 0;
}
