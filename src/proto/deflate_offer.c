/* permessage-deflate in the handshake. */
#include "proto/deflate_offer.h"

#include <stdio.h>
#include <string.h>

#include "proto/deflate.h"

const char deflate_offer_text[] = "permessage-deflate; client_max_window_bits";

const char *deflate_offer_result_text(enum deflate_offer_result result)
{
    static const char *const texts[DEFLATE_OFFER_RESULT_COUNT] = {
        [DEFLATE_OFFER_OK] = "ok",
        [DEFLATE_OFFER_NONE] = "no extension",
        [DEFLATE_OFFER_ERR_SYNTAX] = "Sec-WebSocket-Extensions malformed",
        [DEFLATE_OFFER_ERR_EXTENSION] = "101 with an extension that was not offered",
        [DEFLATE_OFFER_ERR_TWICE] = "101 with permessage-deflate twice",
        [DEFLATE_OFFER_ERR_PARAMETER] = "101 with a wrong parameter of permessage-deflate",
    };
    return texts[result];
}

/* ---- the list: name; parameter; parameter=value, name ... ---------------------------------- */

/* One header's value, read from left to right. */
struct cursor {
    const char *at;
    const char *end;
};

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
        cursor->at++;
}

/* After blanks: this character, or it stays. */
static bool take(struct cursor *cursor, char c)
{
    skip_blanks(cursor);
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

static bool take_token(struct cursor *cursor, struct http_text *token)
{
    skip_blanks(cursor);
    token->at = cursor->at;
    while (cursor->at < cursor->end && http_is_token(cursor->at, 1))
        cursor->at++;
    token->bytes = (size_t)(cursor->at - token->at);
    return token->bytes > 0;
}

/* What a parameter may be set to here: one or two digits.  What is longer is remembered as too
 * long. */
struct value {
    bool is_there;
    char text[3];
    size_t bytes; /* at most sizeof(text) */
};

static void value_add(struct value *value, char c)
{
    if (value->bytes < sizeof(value->text))
        value->text[value->bytes++] = c;
}

/* A token, or one in quotes (9.1: what is in the quotes must be a token, too). */
static bool take_value(struct cursor *cursor, struct value *value)
{
    struct http_text token;
    *value = (struct value){.is_there = true};
    if (!take(cursor, '"')) {
        if (!take_token(cursor, &token))
            return false;
        for (size_t i = 0; i < token.bytes && i < sizeof(value->text); i++)
            value_add(value, token.at[i]);
        return true;
    }
    while (cursor->at < cursor->end && *cursor->at != '"') {
        cursor->at += *cursor->at == '\\';
        if (cursor->at == cursor->end || !http_is_token(cursor->at, 1))
            return false;
        value_add(value, *cursor->at++);
    }
    return cursor->at++ < cursor->end && value->bytes > 0;
}

/* ---- one extension ------------------------------------------------------------------------- */

/* An offer or an answer, as far as it was read. */
struct reading {
    bool is_answer;
    bool is_ours;    /* permessage-deflate */
    bool is_refused; /* some parameter is not as it must be */
    unsigned seen;   /* a bit for each parameter */
    struct deflate_terms terms;
};

/* 7.1.2: digits without a leading zero, 8 to 15. */
static bool read_window_bits(const struct value *value, uint8_t *bits)
{
    if (!value->is_there || value->bytes == 0 || value->bytes > 2 || value->text[0] == '0')
        return false;
    unsigned number = 0;
    for (size_t i = 0; i < value->bytes; i++) {
        if (value->text[i] < '0' || value->text[i] > '9')
            return false;
        number = number * 10 + (unsigned)(value->text[i] - '0');
    }
    *bits = (uint8_t)number;
    return number >= DEFLATE_WINDOW_BITS_MIN && number <= DEFLATE_WINDOW_BITS_MAX;
}

static bool read_flag(const struct value *value, bool *flag)
{
    *flag = true;
    return !value->is_there;
}

static bool read_parameter(struct reading *reading, struct http_text name,
                           const struct value *value)
{
    static const char *const names[] = {"server_no_context_takeover", "client_no_context_takeover",
                                        "server_max_window_bits", "client_max_window_bits"};
    struct deflate_terms *terms = &reading->terms;
    unsigned which = 0;
    while (which < sizeof(names) / sizeof(*names) && !http_text_equals(name, names[which]))
        which++;
    if (reading->seen & 1u << which)
        return false;
    reading->seen |= 1u << which;
    switch (which) {
    case 0:
        return read_flag(value, &terms->server_no_context_takeover);
    case 1:
        return read_flag(value, &terms->client_no_context_takeover);
    case 2:
        return read_window_bits(value, &terms->server_max_window_bits);
    case 3: /* 7.1.2.2: an offer may do without a value: the server shall choose */
        return (!value->is_there && !reading->is_answer) ||
               read_window_bits(value, &terms->client_max_window_bits);
    default:
        return false;
    }
}

/* False: it is malformed. */
static bool read_extension(struct cursor *cursor, struct reading *reading)
{
    struct http_text name;
    struct value value;
    if (!take_token(cursor, &name))
        return false;
    reading->is_ours = http_text_equals(name, "permessage-deflate");
    reading->is_refused = false;
    reading->seen = 0;
    reading->terms = (struct deflate_terms){.server_max_window_bits = DEFLATE_WINDOW_BITS_MAX,
                                            .client_max_window_bits = DEFLATE_WINDOW_BITS_MAX};
    while (take(cursor, ';')) {
        value = (struct value){.is_there = false};
        if (!take_token(cursor, &name) || (take(cursor, '=') && !take_value(cursor, &value)))
            return false;
        if (reading->is_ours && !reading->is_refused && !read_parameter(reading, name, &value))
            reading->is_refused = true;
    }
    return true;
}

/* ---- all of them --------------------------------------------------------------------------- */

/* What one extension means for the result so far. */
static enum deflate_offer_result
judge(const struct reading *reading, enum deflate_offer_result result, struct deflate_terms *terms)
{
    bool is_right = reading->is_ours && !reading->is_refused;
    if (reading->is_answer && !reading->is_ours)
        return DEFLATE_OFFER_ERR_EXTENSION;
    if (reading->is_answer && result == DEFLATE_OFFER_OK)
        return DEFLATE_OFFER_ERR_TWICE;
    if (reading->is_answer && !is_right)
        return DEFLATE_OFFER_ERR_PARAMETER;
    if (result == DEFLATE_OFFER_OK || !is_right)
        return result; /* the first offer that fits is taken */
    *terms = reading->terms;
    return DEFLATE_OFFER_OK;
}

static enum deflate_offer_result read_all(const struct http_head *head, bool is_answer,
                                          struct deflate_terms *terms)
{
    enum deflate_offer_result result = DEFLATE_OFFER_NONE;
    struct reading reading = {.is_answer = is_answer};
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!http_text_equals_nocase(field->name, "Sec-WebSocket-Extensions"))
            continue;
        struct cursor cursor = {field->value.at, field->value.at + field->value.bytes};
        do {
            if (!read_extension(&cursor, &reading))
                return DEFLATE_OFFER_ERR_SYNTAX;
            result = judge(&reading, result, terms);
            if (result > DEFLATE_OFFER_NONE)
                return result;
        } while (take(&cursor, ','));
        if (cursor.at < cursor.end)
            return DEFLATE_OFFER_ERR_SYNTAX;
    }
    return result;
}

enum deflate_offer_result deflate_offer_choose(const struct http_head *head,
                                               struct deflate_terms *terms)
{
    return read_all(head, false, terms);
}

enum deflate_offer_result deflate_offer_check(const struct http_head *head,
                                              struct deflate_terms *terms)
{
    return read_all(head, true, terms);
}

void deflate_offer_answer(const struct deflate_terms *terms, char out[DEFLATE_ANSWER_BYTES_MAX])
{
    int used = snprintf(out, DEFLATE_ANSWER_BYTES_MAX, "permessage-deflate%s%s",
                        terms->server_no_context_takeover ? "; server_no_context_takeover" : "",
                        terms->client_no_context_takeover ? "; client_no_context_takeover" : "");
    if (terms->server_max_window_bits < DEFLATE_WINDOW_BITS_MAX)
        used += snprintf(out + used, DEFLATE_ANSWER_BYTES_MAX - (size_t)used,
                         "; server_max_window_bits=%u", (unsigned)terms->server_max_window_bits);
    if (terms->client_max_window_bits < DEFLATE_WINDOW_BITS_MAX)
        (void)snprintf(out + used, DEFLATE_ANSWER_BYTES_MAX - (size_t)used,
                       "; client_max_window_bits=%u", (unsigned)terms->client_max_window_bits);
}
