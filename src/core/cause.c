/* Causes: their names, and where they come from. */
#include "core/cause.h"

#include <assert.h>
#include <string.h>

static const char *const names[] = {
    [CAUSE_NONE] = "",
    [CAUSE_DNS_FAILED] = "dns-failed",
    [CAUSE_DNS_TIMEOUT] = "dns-timeout",
    [CAUSE_TCP_REFUSED] = "tcp-refused",
    [CAUSE_TCP_UNREACHABLE] = "tcp-unreachable",
    [CAUSE_TCP_TIMEOUT] = "tcp-timeout",
    [CAUSE_TCP_RESET] = "tcp-reset",
    [CAUSE_TCP_EOF] = "tcp-eof",
    [CAUSE_PROXY_REFUSED] = "proxy-refused",
    [CAUSE_PROXY_TIMEOUT] = "proxy-timeout",
    [CAUSE_TLS_TIMEOUT] = "tls-timeout",
    [CAUSE_TLS_FAILED] = "tls-failed",
    [CAUSE_TLS_UNTRUSTED] = "tls-untrusted",
    [CAUSE_HTTP_STATUS] = "http-status",
    [CAUSE_HTTP_MALFORMED] = "http-malformed",
    [CAUSE_UPGRADE_TIMEOUT] = "upgrade-timeout",
    [CAUSE_SUBPROTOCOL_MISMATCH] = "subprotocol-mismatch",
    [CAUSE_SECRET_UNREADABLE] = "secret-unreadable",
    [CAUSE_STAGE_FAILED] = "stage-failed",
    [CAUSE_HEARTBEAT_TIMEOUT] = "heartbeat-timeout",
    [CAUSE_ACK_TIMEOUT] = "ack-timeout",
    [CAUSE_PONG_UNSUPPORTED] = "pong-unsupported",
    [CAUSE_SEND_STALLED] = "send-stalled",
    [CAUSE_MUTUAL_STALL] = "mutual-stall",
    [CAUSE_SILENCE] = "silence",
    [CAUSE_POISON] = "poison",
    [CAUSE_FAULT] = "fault",
    [CAUSE_CLOSED] = "closed",
    [CAUSE_PROTOCOL_ERROR] = "protocol-error",
    [CAUSE_MESSAGE_TOO_BIG] = "message-too-big",
    [CAUSE_CLIENT_CLOSED] = "client-closed",
    [CAUSE_CLIENT_LOST] = "client-lost",
    [CAUSE_OVERFLOW] = "overflow",
    [CAUSE_NO_RESOURCES] = "no-resources",
    [CAUSE_GAVE_UP] = "gave-up",
    [CAUSE_SUSPENDED] = "suspended",
    [CAUSE_IDLE] = "idle",
    [CAUSE_ROTATED] = "rotated",
    [CAUSE_SHUTDOWN] = "shutdown",
};
static_assert(sizeof names / sizeof *names == CAUSE_COUNT, "every cause has a name");

const char *cause_name(enum cause cause)
{
    assert((unsigned)cause < CAUSE_COUNT);
    return names[cause];
}

enum cause cause_from_name(const char *name)
{
    for (int cause = CAUSE_NONE + 1; cause < CAUSE_COUNT; cause++)
        if (strcmp(names[cause], name) == 0)
            return (enum cause)cause;
    return CAUSE_NONE;
}

enum cause cause_of_refusal(const struct close_frame *close)
{
    if (close->code == CLOSE_TOO_BIG)
        return CAUSE_MESSAGE_TOO_BIG;
    if (close->code == CLOSE_INTERNAL_ERROR)
        return CAUSE_NO_RESOURCES;
    return CAUSE_PROTOCOL_ERROR;
}
