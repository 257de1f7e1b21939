/* The close rules and their defaults, written down independently of the core. */
#include "rules.h"

#include <string.h>

struct range {
    uint16_t first, last;
    enum close_then then;
};

static const struct range codes[] = {
    {1001, 1001, CLOSE_THEN_RECONNECT},      {1005, 1006, CLOSE_THEN_RECONNECT},
    {1011, 1012, CLOSE_THEN_RECONNECT},      {1014, 1014, CLOSE_THEN_RECONNECT},
    {1013, 1013, CLOSE_THEN_RECONNECT_SLOW}, {0, UINT16_MAX, CLOSE_THEN_END},
};

static const struct range statuses[] = {
    {200, 399, CLOSE_THEN_RECONNECT_SLOW}, {401, 401, CLOSE_THEN_RECONNECT_SLOW},
    {403, 404, CLOSE_THEN_RECONNECT_SLOW}, {407, 408, CLOSE_THEN_RECONNECT_SLOW},
    {410, 410, CLOSE_THEN_RECONNECT_SLOW}, {421, 421, CLOSE_THEN_RECONNECT_SLOW},
    {425, 425, CLOSE_THEN_RECONNECT_SLOW}, {429, 429, CLOSE_THEN_RECONNECT},
    {500, 599, CLOSE_THEN_RECONNECT},      {0, UINT16_MAX, CLOSE_THEN_END},
};

static enum close_then look_up(const struct range *ranges, uint16_t value)
{
    while (value < ranges->first || value > ranges->last)
        ranges++;
    return ranges->then;
}

static bool text_matches(const char *pattern, const char *text, size_t bytes)
{
    if (*pattern == '\0' || *pattern == '*')
        return *pattern == '*' ? text_matches(pattern + 1, text, bytes) ||
                                     (bytes > 0 && text_matches(pattern, text + 1, bytes - 1))
                               : bytes == 0;
    return bytes > 0 && (*pattern == '?' || *pattern == *text) &&
           text_matches(pattern + 1, text + 1, bytes - 1);
}

static bool rule_matches(const struct close_rule *rule, const struct session_end *end)
{
    bool closed = end->cause == CAUSE_CLOSED;
    uint16_t code = closed ? end->close.code : end->was_open ? 1006 : 0;
    switch (rule->kind) {
    case CLOSE_RULE_CODE:
        return code != 0 && rule->first <= code && code <= rule->last &&
               (!rule->reason || text_matches(rule->reason, end->close.reason,
                                              closed ? end->close.reason_bytes : 0));
    case CLOSE_RULE_HTTP:
        return end->cause == CAUSE_HTTP_STATUS && rule->first <= end->http_status &&
               end->http_status <= rule->last;
    case CLOSE_RULE_CAUSE:
        return rule->cause == end->cause;
    case CLOSE_RULE_CLIENT:
        return false;
    }
    return false;
}

enum close_then rules_expect(const struct session_settings *settings, const struct session_end *end)
{
    for (size_t i = 0; i < settings->close_rule_count; i++)
        if (rule_matches(&settings->close_rules[i], end))
            return settings->close_rules[i].then;
    switch (end->cause) {
    case CAUSE_CLOSED:
        if (end->close.code == 1000 && end->close.reason_bytes == strlen("interrupted") &&
            memcmp(end->close.reason, "interrupted", strlen("interrupted")) == 0)
            return CLOSE_THEN_RECONNECT;
        return look_up(codes, end->close.code);
    case CAUSE_HTTP_STATUS:
        return look_up(statuses, end->http_status);
    case CAUSE_HTTP_MALFORMED:
    case CAUSE_SUBPROTOCOL_MISMATCH:
    case CAUSE_SECRET_UNREADABLE:
        return CLOSE_THEN_RECONNECT_SLOW;
    case CAUSE_PROTOCOL_ERROR:
    case CAUSE_MESSAGE_TOO_BIG:
        return CLOSE_THEN_END;
    default:
        return CLOSE_THEN_RECONNECT;
    }
}
