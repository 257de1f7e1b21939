/*
 * Sec-WebSocket-Extensions, as an offer and as an answer.  Input: each line is the value of one
 * header.
 */
#include <regex.h>

#include "fuzz.h"
#include "proto/deflate_offer.h"

enum { LINE_BYTES_MAX = 400 };

/* RFC 6455 9.1, as a pattern. */
#define BLANKS "[ \t]*"
#define TOKEN "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#define QUOTED "\"(\\\\?[!#$%&'*+.^_`|~0-9A-Za-z-])+\""
#define VALUE "(" TOKEN "|" QUOTED ")"
#define PARAMETER TOKEN BLANKS "(=" BLANKS VALUE ")?" BLANKS
#define EXTENSION BLANKS TOKEN BLANKS "(;" BLANKS PARAMETER ")*"

static bool is_list(const char *text)
{
    static regex_t pattern;
    static bool is_made;
    if (!is_made)
        expect(regcomp(&pattern, "^" EXTENSION "(," EXTENSION ")*$", REG_EXTENDED | REG_NOSUB) ==
               0);
    is_made = true;
    return regexec(&pattern, text, 0, NULL, 0) == 0;
}

/* Blanks, quotes and backslashes taken out, where the pattern fits. */
static char *clean(const char *text)
{
    char *out = fuzz_text(text, strlen(text));
    char *to = out;
    for (; *text; text++)
        if (!strchr(" \t\"\\", *text))
            *to++ = *text;
    *to = '\0';
    return out;
}

/* ---- what they mean ------------------------------------------------------------------------ */

struct offer {
    bool is_ours;
    bool is_refused;
    struct deflate_terms terms;
};

static bool window_bits(const char *value, uint8_t *bits)
{
    static const char *const numbers[] = {"8", "9", "10", "11", "12", "13", "14", "15"};
    for (size_t i = 0; value && i < 8; i++)
        if (strcmp(value, numbers[i]) == 0) {
            *bits = (uint8_t)(8 + i);
            return true;
        }
    return false;
}

static bool is_good_parameter(struct offer *offer, const char *name, const char *value,
                              bool is_answer)
{
    struct deflate_terms *terms = &offer->terms;
    if (strcmp(name, "server_no_context_takeover") == 0)
        return (terms->server_no_context_takeover = true) && !value;
    if (strcmp(name, "client_no_context_takeover") == 0)
        return (terms->client_no_context_takeover = true) && !value;
    if (strcmp(name, "server_max_window_bits") == 0)
        return window_bits(value, &terms->server_max_window_bits);
    if (strcmp(name, "client_max_window_bits") == 0)
        return (!value && !is_answer) || window_bits(value, &terms->client_max_window_bits);
    return false;
}

static struct offer read_extension(char *text, bool is_answer)
{
    struct offer offer = {.terms = {.server_max_window_bits = 15, .client_max_window_bits = 15}};
    const char *seen[64];
    size_t seen_count = 0;
    offer.is_ours = strcmp(strsep(&text, ";"), "permessage-deflate") == 0;
    while (text) {
        char *value = strsep(&text, ";");
        const char *name = strsep(&value, "=");
        for (size_t i = 0; i < seen_count; i++)
            offer.is_refused = offer.is_refused || strcmp(seen[i], name) == 0;
        if (!is_good_parameter(&offer, name, value, is_answer))
            offer.is_refused = true;
        if (seen_count < 64)
            seen[seen_count++] = name;
    }
    return offer;
}

/* Of lists that are all right. */
static enum deflate_offer_result expected_of(const struct http_head *head, bool is_answer,
                                             struct deflate_terms *terms)
{
    enum deflate_offer_result result = DEFLATE_OFFER_NONE;
    for (size_t i = 0; i < head->field_count; i++) {
        char *value = fuzz_text(head->fields[i].value.at, head->fields[i].value.bytes);
        char *list = clean(value);
        char *rest = list;
        while (rest && result <= DEFLATE_OFFER_NONE) {
            struct offer offer = read_extension(strsep(&rest, ","), is_answer);
            bool is_right = offer.is_ours && !offer.is_refused;
            if (is_answer && !offer.is_ours)
                result = DEFLATE_OFFER_ERR_EXTENSION;
            else if (is_answer && result == DEFLATE_OFFER_OK)
                result = DEFLATE_OFFER_ERR_TWICE;
            else if (is_answer && !is_right)
                result = DEFLATE_OFFER_ERR_PARAMETER;
            else if (is_right && result == DEFLATE_OFFER_NONE) {
                *terms = offer.terms;
                result = DEFLATE_OFFER_OK;
            }
        }
        free(list);
        free(value);
    }
    return result;
}

static void expect_same_terms(const struct deflate_terms *a, const struct deflate_terms *b)
{
    expect(a->server_max_window_bits >= 8 && a->server_max_window_bits <= 15);
    expect(a->client_max_window_bits >= 8 && a->client_max_window_bits <= 15);
    expect(a->server_no_context_takeover == b->server_no_context_takeover);
    expect(a->client_no_context_takeover == b->client_no_context_takeover);
    expect(a->server_max_window_bits == b->server_max_window_bits);
    expect(a->client_max_window_bits == b->client_max_window_bits);
}

/* What is answered is read as what was agreed on, by whoever offered it. */
static void check_answer(const struct deflate_terms *terms)
{
    static struct http_head head;
    char *text = fuzz_allocate(DEFLATE_ANSWER_BYTES_MAX);
    char whole[DEFLATE_ANSWER_BYTES_MAX + 64];
    struct deflate_terms again;
    deflate_offer_answer(terms, text);
    expect(strlen(text) < DEFLATE_ANSWER_BYTES_MAX && is_list(text));
    int bytes = snprintf(whole, sizeof(whole),
                         "HTTP/1.1 101 \r\nSec-WebSocket-Extensions: %s\r\n\r\n", text);
    expect(http_head_parse((uint8_t *)whole, (size_t)bytes, false, &head) == HTTP_HEAD_OK);
    expect(deflate_offer_check(&head, &again) == DEFLATE_OFFER_OK);
    expect_same_terms(&again, terms);
    expect(deflate_offer_choose(&head, &again) == DEFLATE_OFFER_OK);
    expect_same_terms(&again, terms);
    free(text);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void check(const struct http_head *head, bool is_answer, bool is_right)
{
    struct deflate_terms terms = {0};
    struct deflate_terms expected_terms = {0};
    enum deflate_offer_result result =
        is_answer ? deflate_offer_check(head, &terms) : deflate_offer_choose(head, &terms);
    expect(result < DEFLATE_OFFER_RESULT_COUNT && deflate_offer_result_text(result)[0] != '\0');
    if (!is_right) {
        expect(is_answer ? result > DEFLATE_OFFER_NONE : result == DEFLATE_OFFER_ERR_SYNTAX);
        return;
    }
    expect(result == expected_of(head, is_answer, &expected_terms));
    if (result != DEFLATE_OFFER_OK)
        return;
    expect_same_terms(&terms, &expected_terms);
    check_answer(&terms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    static struct http_head head;
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    size_t room = 64 + data_bytes * 32;
    char *text = fuzz_allocate(room);
    size_t bytes = (size_t)snprintf(text, room, "GET / HTTP/1.1\r\n");
    while (input.bytes > 0) {
        struct fuzz_input line = fuzz_line(&input);
        char *value = fuzz_text(line.at, line.bytes < LINE_BYTES_MAX ? line.bytes : LINE_BYTES_MAX);
        bytes +=
            (size_t)snprintf(text + bytes, room - bytes, "sec-websocket-extensions: %s\r\n", value);
        free(value);
    }
    bytes += (size_t)snprintf(text + bytes, room - bytes, "\r\n");
    expect(bytes < room);
    uint8_t *exact = fuzz_copy(text, bytes);
    free(text);
    if (http_head_parse(exact, bytes, true, &head) == HTTP_HEAD_OK) {
        bool is_right = true;
        for (size_t i = 0; i < head.field_count; i++) {
            char *value = fuzz_text(head.fields[i].value.at, head.fields[i].value.bytes);
            is_right = is_right && is_list(value);
            free(value);
        }
        check(&head, false, is_right);
        check(&head, true, is_right);
    }
    free(exact);
    return 0;
}
