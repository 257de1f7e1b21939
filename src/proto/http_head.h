/*
 * The head of an HTTP/1.1 message, strictly: start line and header fields.  RFC 9112.
 *
 * Strict in what is accepted: a head that two parsers could read differently is refused.
 */
#ifndef WSKEEP_PROTO_HTTP_HEAD_H
#define WSKEEP_PROTO_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_HEAD_BYTES_MAX = 16384, HTTP_FIELD_COUNT_MAX = 100 };

struct http_text { /* a piece of the caller's buffer; not terminated */
    const char *at;
    size_t bytes;
};

struct http_field {
    struct http_text name;
    struct http_text value; /* without the white space around it */
};

struct http_head {
    struct http_text start[3]; /* request: method, target, version; response: version, status,
                                  reason (may be empty) */
    struct http_field fields[HTTP_FIELD_COUNT_MAX];
    size_t field_count;
};

enum http_head_result {
    HTTP_HEAD_OK,
    HTTP_HEAD_NEED_MORE,
    HTTP_HEAD_ERR_TOO_BIG,  /* over HTTP_HEAD_BYTES_MAX or HTTP_FIELD_COUNT_MAX: 431 */
    HTTP_HEAD_ERR_START,    /* start line malformed: 400 */
    HTTP_HEAD_ERR_FIELD,    /* a field malformed: name not a token, space before the colon,
                               folded line, control character, NUL: 400 */
    HTTP_HEAD_ERR_LINE_END, /* bare CR or bare LF: 400 */
    HTTP_HEAD_RESULT_COUNT
};

/*
 * Find the end of a head.  *scanned is kept by the caller between calls (0 at first), so the
 * work is linear in the bytes that arrive, one at a time or not.
 *
 * Returns HTTP_HEAD_OK with *head_bytes (everything up to and with the empty line),
 * HTTP_HEAD_NEED_MORE, HTTP_HEAD_ERR_TOO_BIG, or HTTP_HEAD_ERR_LINE_END as soon as there is a bare
 * LF: the end of such a head would be waited for in vain.
 */
enum http_head_result http_head_find_end(const uint8_t *data, size_t data_bytes, size_t *scanned,
                                         size_t *head_bytes);

/* Parse a whole head of head_bytes.  request: which kind of start line it must have. */
enum http_head_result http_head_parse(const uint8_t *data, size_t head_bytes, bool request,
                                      struct http_head *head);

const char *http_head_result_text(enum http_head_result result);

/* The n-th field (from 0) of that name, ASCII case ignored; NULL when there is none. */
const struct http_field *http_head_field(const struct http_head *head, const char *name, size_t n);

/* How many fields have that name. */
size_t http_head_count(const struct http_head *head, const char *name);

/* True when one of the fields of that name lists token (comma separated, case ignored). */
bool http_head_has_token(const struct http_head *head, const char *name, const char *token);

bool http_text_equals(struct http_text text, const char *other);        /* to the letter */
bool http_text_equals_nocase(struct http_text text, const char *other); /* ASCII case ignored */
bool http_is_token(const char *text, size_t bytes);                     /* RFC 9110 5.6.2 */
bool http_is_field_value(const char *text, size_t bytes); /* no control character but HTAB */

#endif
