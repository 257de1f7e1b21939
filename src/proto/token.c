/* What a client shows to be let in. */
#include "proto/token.h"

#include <string.h>
#include <strings.h>

#include "proto/percent.h"

static bool is_token_character(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("-._~+/", c) != NULL;
}

bool token_is_valid(const char *text, size_t bytes)
{
    size_t end = bytes;
    while (end > 0 && text[end - 1] == '=')
        end--;
    for (size_t i = 0; i < end; i++)
        if (!is_token_character(text[i]))
            return false;
    return end > 0 && bytes <= TOKEN_BYTES_MAX;
}

/* ---- the header ---------------------------------------------------------------------------- */

enum token_result token_from_header(const struct http_head *head, struct token *token)
{
    static const char scheme[] = "Bearer";
    const size_t scheme_bytes = sizeof scheme - 1;
    token->bytes = 0;
    const struct http_field *field = http_head_field(head, "Authorization", 0);
    if (!field)
        return TOKEN_NONE;
    if (http_head_count(head, "Authorization") != 1)
        return TOKEN_MALFORMED; /* RFC 9110 5.3: it is no list */
    struct http_text value = field->value;
    if (value.bytes < scheme_bytes || strncasecmp(value.at, scheme, scheme_bytes) != 0 ||
        (value.bytes > scheme_bytes && value.at[scheme_bytes] != ' '))
        return TOKEN_NONE;
    size_t at = scheme_bytes;
    while (at < value.bytes && value.at[at] == ' ')
        at++;
    if (value.bytes - at <= TOKEN_BYTES_MAX) {
        token->bytes = value.bytes - at;
        memcpy(token->text, value.at + at, token->bytes);
    }
    return TOKEN_SHOWN;
}

/* ---- the target ---------------------------------------------------------------------------- */

/* Is it our parameter, from at to end?  Its value, or NULL. */
static const char *value_of(const char *at, const char *end)
{
    static const char name[] = "wskeep-token";
    for (const char *c = name; *c; c++)
        if (at == end || *at == '=' || percent_next(&at, end) != *c)
            return NULL;
    if (at == end)
        return end;
    return *at == '=' ? at + 1 : NULL;
}

static bool decode(const char *at, const char *end, struct token *token)
{
    size_t bytes = 0;
    while (at < end) {
        int byte = percent_next(&at, end);
        if (byte < 0)
            return false;
        if (bytes < TOKEN_BYTES_MAX)
            token->text[bytes] = (char)byte;
        bytes++;
    }
    token->bytes = bytes <= TOKEN_BYTES_MAX ? bytes : 0;
    return true;
}

enum token_result token_from_target(struct http_text target, struct token *token)
{
    bool is_shown = false;
    token->bytes = 0;
    const char *query = target.bytes ? memchr(target.at, '?', target.bytes) : NULL;
    if (!query)
        return TOKEN_NONE;
    const char *end = target.at + target.bytes;
    for (const char *at = query + 1; at < end;) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        if (!next)
            next = end;
        const char *value = value_of(at, next);
        if (value && (is_shown || !decode(value, next, token)))
            return TOKEN_MALFORMED;
        is_shown = is_shown || value;
        at = next + (next < end);
    }
    return is_shown ? TOKEN_SHOWN : TOKEN_NONE;
}
