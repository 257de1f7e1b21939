/*
 * Close rules against the table of DESIGN.  Input: an end, and rules, each of a few bytes and a
 * pattern that ends at a zero.
 */
#include "core/close_rules.h"

#include "fuzz.h"

enum { RULE_COUNT_MAX = 8, PATTERN_BYTES_MAX = 40 };

/* By the meaning of the words: * is nothing, or one byte and then again *. */
static bool glob(const char *pattern, const char *text, size_t bytes)
{
    static bool matches[PATTERN_BYTES_MAX + 2][CLOSE_REASON_BYTES_MAX + 2];
    size_t length = strlen(pattern);
    for (size_t p = length + 1; p-- > 0;)
        for (size_t t = bytes + 1; t-- > 0;) {
            bool rest = t < bytes && p < length && matches[p + 1][t + 1];
            if (p == length)
                matches[p][t] = t == bytes;
            else if (pattern[p] == '*')
                matches[p][t] = matches[p + 1][t] || (t < bytes && matches[p][t + 1]);
            else
                matches[p][t] = rest && (pattern[p] == '?' || pattern[p] == text[t]);
        }
    return matches[0][0];
}

static bool is_one_of(const char *list, const char *word)
{
    size_t bytes = strlen(word);
    if (bytes == 0)
        return false;
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += bytes)
        if ((at == list || at[-1] == ' ') && (at[bytes] == ' ' || at[bytes] == '\0'))
            return true;
    return false;
}

static bool is_number_in(const char *list, unsigned number)
{
    char word[12];
    snprintf(word, sizeof(word), "%u", number);
    return is_one_of(list, word);
}

/* The table of defaults, as the manual has it. */
static enum close_then reference_default(const struct session_end *end)
{
    unsigned code = end->close.code;
    unsigned status = end->http_status;
    const char *name = cause_name(end->cause);
    if (end->cause == CAUSE_CLOSED) {
        if (code == 1000 && end->close.reason_bytes == 11 &&
            memcmp(end->close.reason, "interrupted", 11) == 0)
            return CLOSE_THEN_RECONNECT;
        if (is_number_in("1001 1005 1011 1012 1014", code))
            return CLOSE_THEN_RECONNECT;
        return code == 1013 ? CLOSE_THEN_RECONNECT_SLOW : CLOSE_THEN_END;
    }
    if (end->cause == CAUSE_HTTP_STATUS) {
        if (status < 400 || is_number_in("401 403 404 407 408 410 421 425", status))
            return CLOSE_THEN_RECONNECT_SLOW;
        return status == 429 || status >= 500 ? CLOSE_THEN_RECONNECT : CLOSE_THEN_END;
    }
    if (is_one_of("dns-failed dns-timeout tcp-refused tcp-unreachable tcp-timeout tcp-reset "
                  "tcp-eof proxy-refused proxy-timeout tls-timeout upgrade-timeout no-resources "
                  "heartbeat-timeout ack-timeout send-stalled silence fault",
                  name))
        return CLOSE_THEN_RECONNECT;
    if (is_one_of("tls-failed tls-untrusted http-malformed stage-failed secret-unreadable "
                  "subprotocol-mismatch",
                  name))
        return CLOSE_THEN_RECONNECT_SLOW;
    return CLOSE_THEN_END;
}

static bool reference_matches(const struct close_rule *rule, const struct session_end *end)
{
    bool is_close = end->cause == CAUSE_CLOSED;
    unsigned code = is_close ? end->close.code : 1006;
    switch (rule->kind) {
    case CLOSE_RULE_CODE:
        if (!is_close && !end->was_open)
            return false;
        return code != 0 && rule->first <= code && code <= rule->last &&
               (!rule->reason ||
                glob(rule->reason, end->close.reason, is_close ? end->close.reason_bytes : 0));
    case CLOSE_RULE_HTTP:
        return end->cause == CAUSE_HTTP_STATUS && rule->first <= end->http_status &&
               end->http_status <= rule->last;
    case CLOSE_RULE_CAUSE:
        return rule->cause == end->cause;
    case CLOSE_RULE_CLIENT:
        break;
    }
    return false;
}

static enum cause cause_of(uint8_t byte)
{
    enum cause cause = (enum cause)(byte % CAUSE_COUNT);
    expect(cause_from_name(cause_name(cause)) == cause);
    return byte >= 2 * CAUSE_COUNT ? CAUSE_CLOSED : cause; /* the one with most to it */
}

static uint8_t take_text(struct fuzz_input *input, char *out, size_t out_bytes)
{
    size_t bytes = 0;
    for (uint8_t byte; bytes < out_bytes && (byte = fuzz_byte(input)) != 0;)
        out[bytes++] = (char)byte;
    return (uint8_t)bytes;
}

static struct session_end take_end(struct fuzz_input *input)
{
    struct session_end end = {.cause = cause_of(fuzz_byte(input))};
    end.was_open = fuzz_byte(input) & 1;
    end.close.code = fuzz_number(input);
    end.http_status = (uint16_t)(100 + fuzz_number(input) % 900);
    end.close.reason_bytes = take_text(input, end.close.reason, sizeof(end.close.reason));
    return end;
}

/* Both ends of a range are worth more than chance gives them. */
static struct close_rule take_rule(struct fuzz_input *input, const struct session_end *end,
                                   char *pattern)
{
    uint8_t flags = fuzz_byte(input);
    struct close_rule rule = {.kind = (enum close_rule_kind)(flags & 3),
                              .then = (enum close_then)((flags >> 2 & 3) % 3),
                              .cause = cause_of(fuzz_byte(input)),
                              .first = fuzz_number(input),
                              .last = fuzz_number(input)};
    pattern[take_text(input, pattern, PATTERN_BYTES_MAX)] = '\0';
    rule.reason = flags & 16 ? pattern : NULL;
    uint16_t value = rule.kind == CLOSE_RULE_HTTP ? end->http_status : end->close.code;
    if (flags & 32)
        rule.first = value;
    if (flags & 64)
        rule.last = value;
    return rule;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    static char patterns[RULE_COUNT_MAX][PATTERN_BYTES_MAX + 1];
    struct close_rule rules[RULE_COUNT_MAX];
    size_t count = 0;
    struct session_end end = take_end(&input);
    while (input.bytes > 0 && count < RULE_COUNT_MAX) {
        rules[count] = take_rule(&input, &end, patterns[count]);
        count++;
    }
    size_t first = 0;
    while (first < count && !reference_matches(&rules[first], &end))
        first++;
    enum close_then expected = first < count ? rules[first].then : reference_default(&end);
    int index = -7;
    struct close_rule *exact =
        (struct close_rule *)(void *)fuzz_copy(rules, count * sizeof(*rules));
    expect(close_rules_decide(exact, count, &end, &index) == expected);
    expect(index == (first < count ? (int)first : -1));
    expect(close_rules_decide(exact, count, &end, NULL) == expected);
    free(exact);
    for (size_t i = 0; i < count; i++) {
        uint8_t *text = fuzz_copy(end.close.reason, end.close.reason_bytes);
        expect(close_rules_glob(patterns[i], (char *)text, end.close.reason_bytes) ==
               glob(patterns[i], end.close.reason, end.close.reason_bytes));
        free(text);
    }
    expect(close_then_name(expected)[0] != '\0');
    uint16_t code = close_rules_code(&end);
    expect(code == (end.cause == CAUSE_CLOSED ? end.close.code : end.was_open ? 1006 : 0));
    return 0;
}
