/* What an end means. */
#include "core/close_rules.h"

#include <string.h>

/* What a platform writes into a Close when it cuts a link that nobody asked it to. */
static const char interrupted[] = "interrupted";

static const char *const then_names[] = {[CLOSE_THEN_RECONNECT] = "reconnect",
                                         [CLOSE_THEN_RECONNECT_SLOW] = "reconnect-slow",
                                         [CLOSE_THEN_END] = "end"};

const char *close_then_name(enum close_then then)
{
    return then_names[then];
}

uint16_t close_rules_code(const struct session_end *end)
{
    if (end->cause == CAUSE_CLOSED)
        return end->close.code;
    return end->was_open ? CLOSE_ABNORMAL : 0;
}

bool close_rules_glob(const char *pattern, const char *text, size_t text_bytes)
{
    const char *end = text + text_bytes;
    const char *star = NULL; /* the last * seen, and where the text stood then */
    const char *star_text = NULL;
    while (text < end) {
        if (*pattern == '*') {
            star = pattern++;
            star_text = text;
        } else if (*pattern == '?' || (*pattern != '\0' && *pattern == *text)) {
            pattern++;
            text++;
        } else if (star) { /* let that * take one byte more */
            pattern = star + 1;
            text = ++star_text;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool rule_matches(const struct close_rule *rule, const struct session_end *end)
{
    uint16_t code = close_rules_code(end);
    switch (rule->kind) {
    case CLOSE_RULE_CODE:
        if (code == 0 || code < rule->first || code > rule->last)
            return false;
        if (!rule->reason)
            return true;
        return close_rules_glob(rule->reason, end->close.reason,
                                end->cause == CAUSE_CLOSED ? end->close.reason_bytes : 0);
    case CLOSE_RULE_HTTP:
        return end->cause == CAUSE_HTTP_STATUS && end->http_status >= rule->first &&
               end->http_status <= rule->last;
    case CLOSE_RULE_CAUSE:
        return end->cause == rule->cause;
    case CLOSE_RULE_CLIENT:
        return false; /* about the client's close, not the upstream's */
    }
    return false;
}

static bool is_interrupted(const struct close_frame *close)
{
    return close->reason_bytes == sizeof interrupted - 1 &&
           memcmp(close->reason, interrupted, sizeof interrupted - 1) == 0;
}

static enum close_then default_for_close(const struct close_frame *close)
{
    switch (close->code) {
    case CLOSE_NORMAL:
        return is_interrupted(close) ? CLOSE_THEN_RECONNECT : CLOSE_THEN_END;
    case CLOSE_GOING_AWAY:
    case CLOSE_NO_STATUS:
    case CLOSE_INTERNAL_ERROR:
    case CLOSE_RESTART:
    case CLOSE_BAD_GATEWAY:
        return CLOSE_THEN_RECONNECT;
    case CLOSE_TRY_AGAIN:
        return CLOSE_THEN_RECONNECT_SLOW;
    default: /* would only happen again, or belongs to the application */
        return CLOSE_THEN_END;
    }
}

static enum close_then default_for_status(uint16_t status)
{
    switch (status) {
    case 401: /* the token's file may be renewed */
    case 403:
    case 404: /* rolling deploys, captive portals */
    case 407:
    case 408:
    case 410:
    case 421:
    case 425:
        return CLOSE_THEN_RECONNECT_SLOW;
    case 429:
        return CLOSE_THEN_RECONNECT;
    default:
        break;
    }
    if (status >= 500)
        return CLOSE_THEN_RECONNECT;
    return status >= 400 ? CLOSE_THEN_END : CLOSE_THEN_RECONNECT_SLOW;
}

static enum close_then default_for(const struct session_end *end)
{
    switch (end->cause) {
    case CAUSE_CLOSED:
        return default_for_close(&end->close);
    case CAUSE_HTTP_STATUS:
        return default_for_status(end->http_status);
    case CAUSE_DNS_FAILED:
    case CAUSE_DNS_TIMEOUT:
    case CAUSE_TCP_REFUSED:
    case CAUSE_TCP_UNREACHABLE:
    case CAUSE_TCP_TIMEOUT:
    case CAUSE_TCP_RESET:
    case CAUSE_TCP_EOF:
    case CAUSE_PROXY_REFUSED:
    case CAUSE_PROXY_TIMEOUT:
    case CAUSE_TLS_TIMEOUT:
    case CAUSE_UPGRADE_TIMEOUT:
    case CAUSE_NO_RESOURCES:
    case CAUSE_HEARTBEAT_TIMEOUT:
    case CAUSE_ACK_TIMEOUT:
    case CAUSE_SEND_STALLED:
    case CAUSE_SILENCE:
    case CAUSE_FAULT:
        return CLOSE_THEN_RECONNECT;
    case CAUSE_TLS_FAILED:
    case CAUSE_TLS_UNTRUSTED:
    case CAUSE_HTTP_MALFORMED:
    case CAUSE_STAGE_FAILED:
    case CAUSE_SECRET_UNREADABLE:
    case CAUSE_SUBPROTOCOL_MISMATCH:
        return CLOSE_THEN_RECONNECT_SLOW;
    case CAUSE_PROTOCOL_ERROR: /* would only happen again */
    case CAUSE_MESSAGE_TOO_BIG:
    case CAUSE_PONG_UNSUPPORTED:
    case CAUSE_MUTUAL_STALL: /* the client is closed, or has gone */
    case CAUSE_CLIENT_CLOSED:
    case CAUSE_CLIENT_LOST:
    case CAUSE_OVERFLOW:
    case CAUSE_POISON:
    case CAUSE_GAVE_UP: /* decided before anyone asks here */
    case CAUSE_SUSPENDED:
    case CAUSE_IDLE:
    case CAUSE_ROTATED:
    case CAUSE_SHUTDOWN:
    case CAUSE_NONE:
    case CAUSE_COUNT:
        return CLOSE_THEN_END;
    }
    return CLOSE_THEN_END;
}

enum close_then close_rules_decide(const struct close_rule *rules, size_t rule_count,
                                   const struct session_end *end, int *rule_index)
{
    for (size_t i = 0; i < rule_count; i++) {
        if (!rule_matches(&rules[i], end))
            continue;
        if (rule_index)
            *rule_index = (int)i;
        return rules[i].then;
    }
    if (rule_index)
        *rule_index = -1;
    return default_for(end);
}
