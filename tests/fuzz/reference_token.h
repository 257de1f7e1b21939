/* What a client shows to be let in, read slowly and simply. */
#ifndef WSKEEP_FUZZ_REFERENCE_TOKEN_H
#define WSKEEP_FUZZ_REFERENCE_TOKEN_H

#include <ctype.h>
#include <strings.h>

#include "fuzz.h"
#include "proto/token.h"

struct reference_token {
    enum token_result result;
    char *text; /* with TOKEN_SHOWN, of any length; NULs may be in it */
    size_t bytes;
};

static inline void reference_token_clear(struct reference_token *token)
{
    free(token->text);
    token->text = NULL;
}

/* Does it show this one? */
static inline bool reference_token_is(const struct reference_token *token, const char *right)
{
    return token->result == TOKEN_SHOWN && token->bytes == strlen(right) &&
           memcmp(token->text, right, token->bytes) == 0;
}

/* Percent-decoded, once.  False: a percent sign without its digits. */
static inline bool reference_decode(const char *at, size_t bytes, char *out, size_t *out_bytes)
{
    *out_bytes = 0;
    for (size_t i = 0; i < bytes; i++) {
        char byte = at[i];
        if (byte == '%') {
            if (bytes - i < 3 || !isxdigit((unsigned char)at[i + 1]) ||
                !isxdigit((unsigned char)at[i + 2]))
                return false;
            const char digits[] = {at[i + 1], at[i + 2], '\0'};
            byte = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        out[(*out_bytes)++] = byte;
    }
    return true;
}

/* wskeep-token, however it is written, in a query. */
static inline struct reference_token reference_token_of_target(struct http_text target)
{
    struct reference_token token = {.result = TOKEN_NONE};
    const char *at = target.bytes ? memchr(target.at, '?', target.bytes) : NULL;
    const char *end = target.at + target.bytes;
    char *decoded = fuzz_allocate(target.bytes);
    for (at = at ? at + 1 : end; at < end;) {
        const char *next = at;
        while (next < end && *next != '&')
            next++;
        const char *equals = at;
        while (equals < next && *equals != '=')
            equals++;
        size_t bytes;
        if (reference_decode(at, (size_t)(equals - at), decoded, &bytes) &&
            bytes == strlen("wskeep-token") && memcmp(decoded, "wskeep-token", bytes) == 0) {
            const char *value = equals + (equals < next);
            if (token.result != TOKEN_NONE ||
                !reference_decode(value, (size_t)(next - value), decoded, &bytes)) {
                reference_token_clear(&token);
                token.result = TOKEN_MALFORMED;
                break;
            }
            token = (struct reference_token){TOKEN_SHOWN, (char *)fuzz_copy(decoded, bytes), bytes};
        }
        at = next + 1;
    }
    free(decoded);
    return token;
}

static inline struct reference_token reference_token_of_header(const struct http_head *head)
{
    struct reference_token token = {.result = TOKEN_NONE};
    const struct http_field *found = NULL;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!http_text_equals_nocase(head->fields[i].name, "authorization"))
            continue;
        if (found)
            return (struct reference_token){.result = TOKEN_MALFORMED};
        found = &head->fields[i];
    }
    if (!found)
        return token;
    char *value = fuzz_text(found->value.at, found->value.bytes);
    size_t scheme = strcspn(value, " ");
    if (scheme == 6 && strncasecmp(value, "bearer", 6) == 0) {
        const char *shown = value + scheme + strspn(value + scheme, " ");
        token.result = TOKEN_SHOWN;
        token.bytes = strlen(shown);
        token.text = fuzz_text(shown, token.bytes);
    }
    free(value);
    return token;
}

#endif
