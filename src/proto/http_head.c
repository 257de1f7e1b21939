/* HTTP/1.1 heads, strictly. */
#include "proto/http_head.h"

#include <string.h>
#include <strings.h>

const char *http_head_result_text(enum http_head_result result)
{
    static const char *const texts[HTTP_HEAD_RESULT_COUNT] = {
        [HTTP_HEAD_OK] = "ok",
        [HTTP_HEAD_NEED_MORE] = "need more",
        [HTTP_HEAD_ERR_TOO_BIG] = "head too big",
        [HTTP_HEAD_ERR_START] = "malformed start line",
        [HTTP_HEAD_ERR_FIELD] = "malformed header field",
        [HTTP_HEAD_ERR_LINE_END] = "malformed line end",
    };
    return texts[result];
}

enum http_head_result http_head_find_end(const uint8_t *data, size_t data_bytes, size_t *scanned,
                                         size_t *head_bytes)
{
    size_t limit = data_bytes < HTTP_HEAD_BYTES_MAX ? data_bytes : HTTP_HEAD_BYTES_MAX;
    size_t at = *scanned;
    while (at < limit) {
        const uint8_t *lf = memchr(data + at, '\n', limit - at);
        if (!lf)
            break;
        at = (size_t)(lf - data);
        if (at == 0 || lf[-1] != '\r')
            return HTTP_HEAD_ERR_LINE_END;
        if (at >= 3 && memcmp(lf - 3, "\r\n", 2) == 0) {
            *head_bytes = at + 1;
            return HTTP_HEAD_OK;
        }
        at++;
    }
    *scanned = limit;
    return data_bytes >= HTTP_HEAD_BYTES_MAX ? HTTP_HEAD_ERR_TOO_BIG : HTTP_HEAD_NEED_MORE;
}

static bool is_token_character(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http_is_token(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!is_token_character((unsigned char)text[i]))
            return false;
    return bytes > 0;
}

bool http_is_field_value(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Visible ASCII and, in the reason of a response, spaces and what is over 0x7f. */
static bool is_start_text(struct http_text text, bool with_spaces)
{
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (with_spaces ? (c < ' ' && c != '\t') || c == 0x7f : c <= ' ' || c >= 0x7f)
            return false;
    }
    return true;
}

/* Cut the text up to separator from the front of rest.  False when there is no separator. */
static bool cut(struct http_text *rest, char separator, struct http_text *piece)
{
    const char *found = rest->bytes ? memchr(rest->at, separator, rest->bytes) : NULL;
    if (!found)
        return false;
    *piece = (struct http_text){.at = rest->at, .bytes = (size_t)(found - rest->at)};
    rest->bytes -= piece->bytes + 1;
    rest->at = found + 1;
    return true;
}

/* "HTTP/1.1", "HTTP/1.0": digits where digits belong. */
static bool is_version(struct http_text text)
{
    return text.bytes == 8 && memcmp(text.at, "HTTP/", 5) == 0 && text.at[5] >= '0' &&
           text.at[5] <= '9' && text.at[6] == '.' && text.at[7] >= '0' && text.at[7] <= '9';
}

static bool is_status(struct http_text text)
{
    return text.bytes == 3 && text.at[0] >= '1' && text.at[0] <= '9' && text.at[1] >= '0' &&
           text.at[1] <= '9' && text.at[2] >= '0' && text.at[2] <= '9';
}

static enum http_head_result parse_request_line(struct http_text line, struct http_head *head)
{
    struct http_text *start = head->start;
    if (!cut(&line, ' ', &start[0]) || !cut(&line, ' ', &start[1]))
        return HTTP_HEAD_ERR_START;
    start[2] = line;
    if (!http_is_token(start[0].at, start[0].bytes) || start[1].bytes == 0 ||
        !is_start_text(start[1], false) || !is_version(start[2]))
        return HTTP_HEAD_ERR_START;
    return HTTP_HEAD_OK;
}

static enum http_head_result parse_status_line(struct http_text line, struct http_head *head)
{
    struct http_text *start = head->start;
    if (!cut(&line, ' ', &start[0]))
        return HTTP_HEAD_ERR_START;
    if (cut(&line, ' ', &start[1]))
        start[2] = line;
    else /* the space before an empty reason is often forgotten, and nothing hangs on it */
        start[1] = line;
    if (!is_version(start[0]) || !is_status(start[1]) || !is_start_text(start[2], true))
        return HTTP_HEAD_ERR_START;
    return HTTP_HEAD_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static enum http_head_result parse_field(struct http_text line, struct http_head *head)
{
    struct http_text name;
    if (head->field_count == HTTP_FIELD_COUNT_MAX)
        return HTTP_HEAD_ERR_TOO_BIG;
    /* A name that is a token rules out a folded line, an empty name and a space before ':'. */
    if (!cut(&line, ':', &name) || !http_is_token(name.at, name.bytes))
        return HTTP_HEAD_ERR_FIELD;
    while (line.bytes > 0 && is_blank(line.at[0])) {
        line.at++;
        line.bytes--;
    }
    while (line.bytes > 0 && is_blank(line.at[line.bytes - 1]))
        line.bytes--;
    if (!http_is_field_value(line.at, line.bytes))
        return HTTP_HEAD_ERR_FIELD;
    head->fields[head->field_count++] = (struct http_field){.name = name, .value = line};
    return HTTP_HEAD_OK;
}

enum http_head_result http_head_parse(const uint8_t *data, size_t head_bytes, bool request,
                                      struct http_head *head)
{
    struct http_text rest = {.at = (const char *)data, .bytes = head_bytes};
    struct http_text line;
    head->field_count = 0;
    head->start[2] = (struct http_text){.at = "", .bytes = 0};
    for (bool first = true; cut(&rest, '\n', &line); first = false) {
        if (line.bytes == 0 || line.at[line.bytes - 1] != '\r')
            return HTTP_HEAD_ERR_LINE_END; /* a bare LF */
        line.bytes--;
        if (line.bytes > 0 && memchr(line.at, '\r', line.bytes))
            return HTTP_HEAD_ERR_LINE_END; /* a bare CR */
        if (line.bytes == 0)
            return first || rest.bytes > 0 ? HTTP_HEAD_ERR_START : HTTP_HEAD_OK;
        enum http_head_result result =
            first ? request ? parse_request_line(line, head) : parse_status_line(line, head)
                  : parse_field(line, head);
        if (result != HTTP_HEAD_OK)
            return result;
    }
    return HTTP_HEAD_ERR_LINE_END;
}

/* ---- questions ---------------------------------------------------------------------------- */

bool http_text_equals(struct http_text text, const char *other)
{
    return strlen(other) == text.bytes && memcmp(text.at, other, text.bytes) == 0;
}

bool http_text_equals_nocase(struct http_text text, const char *other)
{
    return strlen(other) == text.bytes && strncasecmp(text.at, other, text.bytes) == 0;
}

const struct http_field *http_head_field(const struct http_head *head, const char *name, size_t n)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (http_text_equals_nocase(head->fields[i].name, name) && n-- == 0)
            return &head->fields[i];
    return NULL;
}

size_t http_head_count(const struct http_head *head, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < head->field_count; i++)
        count += http_text_equals_nocase(head->fields[i].name, name);
    return count;
}

static bool list_has_token(struct http_text list, const char *token)
{
    while (list.bytes > 0) {
        struct http_text item;
        if (!cut(&list, ',', &item)) {
            item = list;
            list.bytes = 0;
        }
        while (item.bytes > 0 && is_blank(item.at[0])) {
            item.at++;
            item.bytes--;
        }
        while (item.bytes > 0 && is_blank(item.at[item.bytes - 1]))
            item.bytes--;
        if (http_text_equals_nocase(item, token))
            return true;
    }
    return false;
}

bool http_head_has_token(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (http_text_equals_nocase(head->fields[i].name, name) &&
            list_has_token(head->fields[i].value, token))
            return true;
    return false;
}
