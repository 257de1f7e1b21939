/* Heads of HTTP, as far as targets share them: their end, and the way back from what was parsed. */
#ifndef WSKEEP_FUZZ_HEAD_H
#define WSKEEP_FUZZ_HEAD_H

#include "fuzz.h"

#include "proto/http_head.h"

/* What http_head_find_end() says to all of data, and as soon as *known_bytes of it have come. */
static inline enum http_head_result fuzz_head_end_expected(const uint8_t *data, size_t bytes,
                                                           size_t *known_bytes)
{
    for (size_t i = 0; i < bytes && i < HTTP_HEAD_BYTES_MAX; i++) {
        *known_bytes = i + 1;
        if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r'))
            return HTTP_HEAD_ERR_LINE_END;
        if (i >= 3 && memcmp(data + i - 3, "\r\n\r\n", 4) == 0)
            return HTTP_HEAD_OK;
    }
    *known_bytes = HTTP_HEAD_BYTES_MAX;
    return bytes >= HTTP_HEAD_BYTES_MAX ? HTTP_HEAD_ERR_TOO_BIG : HTTP_HEAD_NEED_MORE;
}

/*
 * Where the head ends, looked for in all bytes at once, and in more and more of them: they agree,
 * and they agree with the plain search.
 */
static inline enum http_head_result fuzz_head_end(const uint8_t *data, size_t bytes,
                                                  size_t *head_bytes)
{
    size_t known_bytes;
    enum http_head_result expected = fuzz_head_end_expected(data, bytes, &known_bytes);
    for (uint64_t round = 0; round < 3; round++) { /* the first: all at once */
        struct fuzz_chance chance = fuzz_chance(data, bytes, round);
        enum http_head_result result = HTTP_HEAD_NEED_MORE;
        size_t scanned = 0;
        for (size_t at = 0; at < bytes && result == HTTP_HEAD_NEED_MORE;) {
            at = round == 0 ? bytes : at + fuzz_piece(&chance, bytes - at);
            uint8_t *exact = fuzz_copy(data, at);
            result = http_head_find_end(exact, at, &scanned, head_bytes);
            free(exact);
            expect(scanned <= at);
            expect((result == HTTP_HEAD_NEED_MORE) == (at < known_bytes));
        }
        expect(result == expected);
        if (result == HTTP_HEAD_OK)
            expect(*head_bytes == known_bytes);
    }
    return expected;
}

static inline void fuzz_check_inside(struct http_text text, const uint8_t *data, size_t bytes)
{
    const char *begin = (const char *)data;
    expect(text.bytes == 0 || (text.at >= begin && text.at + text.bytes <= begin + bytes));
}

static inline bool fuzz_same_text(struct http_text a, struct http_text b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.at, b.at, a.bytes) == 0);
}

/* A head as it stands in struct http_head, written down: at most as long as what it came from, but
 * for a blank behind each colon. */
static inline uint8_t *fuzz_head_write(const struct http_head *head, size_t *bytes)
{
    size_t room = 16;
    for (size_t i = 0; i < 3; i++)
        room += head->start[i].bytes + 2;
    for (size_t i = 0; i < head->field_count; i++)
        room += head->fields[i].name.bytes + head->fields[i].value.bytes + 4;
    char *text = fuzz_allocate(room);
    size_t at = (size_t)snprintf(text, room, "%.*s %.*s %.*s\r\n", (int)head->start[0].bytes,
                                 head->start[0].at, (int)head->start[1].bytes, head->start[1].at,
                                 (int)head->start[2].bytes, head->start[2].at);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        at += (size_t)snprintf(text + at, room - at, "%.*s: %.*s\r\n", (int)field->name.bytes,
                               field->name.at, (int)field->value.bytes, field->value.at);
    }
    at += (size_t)snprintf(text + at, room - at, "\r\n");
    expect(at < room); /* and so no text had a NUL in it */
    *bytes = at;
    return (uint8_t *)text;
}

/* What a head that was let through promises to whoever uses it, and that it is read the same when
 * it is written down again. */
static inline void fuzz_head_check(const struct http_head *head, const uint8_t *data, size_t bytes,
                                   bool request)
{
    static struct http_head again;
    size_t line_count = 0;
    for (size_t i = 0; i < bytes; i++)
        line_count += data[i] == '\n';
    expect(bytes >= 4 && memcmp(data + bytes - 4, "\r\n\r\n", 4) == 0);
    expect(head->field_count <= HTTP_FIELD_COUNT_MAX && head->field_count + 2 == line_count);
    for (size_t i = 0; i < 3; i++) {
        fuzz_check_inside(head->start[i], data, bytes);
        expect(http_is_field_value(head->start[i].at, head->start[i].bytes));
    }
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        fuzz_check_inside(field->name, data, bytes);
        fuzz_check_inside(field->value, data, bytes);
        expect(http_is_token(field->name.at, field->name.bytes));
        expect(http_is_field_value(field->value.at, field->value.bytes));
    }
    size_t again_bytes;
    uint8_t *text = fuzz_head_write(head, &again_bytes);
    expect(http_head_parse(text, again_bytes, request, &again) == HTTP_HEAD_OK);
    expect(again.field_count == head->field_count);
    for (size_t i = 0; i < 3; i++)
        expect(fuzz_same_text(again.start[i], head->start[i]));
    for (size_t i = 0; i < head->field_count; i++) {
        expect(fuzz_same_text(again.fields[i].name, head->fields[i].name));
        expect(fuzz_same_text(again.fields[i].value, head->fields[i].value));
    }
    free(text);
}

#endif
