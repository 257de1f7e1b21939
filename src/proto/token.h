/*
 * What a client shows to be let in: `Authorization: Bearer TOKEN` (RFC 6750 section 2.1), or
 * ?wskeep-token=TOKEN for those who cannot set a header.
 *
 * Pure: that it is the right one is found out elsewhere, in constant time.
 */
#ifndef WSKEEP_PROTO_TOKEN_H
#define WSKEEP_PROTO_TOKEN_H

#include "proto/http_head.h"

enum { TOKEN_BYTES_MAX = 512 };

struct token {
    char text[TOKEN_BYTES_MAX];
    size_t bytes; /* 0: it is not one that anybody has, such as an empty or a longer one */
};

enum token_result {
    TOKEN_NONE,
    TOKEN_SHOWN,
    TOKEN_MALFORMED /* shown twice, be it the same, or a percent sign without two digits */
};

/* RFC 6750's b64token, of at most TOKEN_BYTES_MAX: what a header can show as it is. */
bool token_is_valid(const char *text, size_t bytes);

/* The token of the Authorization field.  Another scheme than Bearer shows none. */
enum token_result token_from_header(const struct http_head *head, struct token *token);

/* The token of a request's target.  Percent signs are decoded in its name and in its value; a plus
 * is a plus, for no token has a space in it. */
enum token_result token_from_target(struct http_text target, struct token *token);

#endif
