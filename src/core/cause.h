/*
 * Why a connection or a session ended, with the stable names of logs, events, metrics, status
 * and the `cause` key of close rules.
 */
#ifndef WSKEEP_CORE_CAUSE_H
#define WSKEEP_CORE_CAUSE_H

#include "proto/close.h"

enum cause {
    CAUSE_NONE, /* nothing ended: a step forward */
    CAUSE_DNS_FAILED,
    CAUSE_DNS_TIMEOUT,
    CAUSE_TCP_REFUSED,
    CAUSE_TCP_UNREACHABLE,
    CAUSE_TCP_TIMEOUT,
    CAUSE_TCP_RESET,
    CAUSE_TCP_EOF,
    CAUSE_PROXY_REFUSED,
    CAUSE_PROXY_TIMEOUT,
    CAUSE_TLS_TIMEOUT,
    CAUSE_TLS_FAILED,
    CAUSE_TLS_UNTRUSTED,
    CAUSE_HTTP_STATUS,
    CAUSE_HTTP_MALFORMED,
    CAUSE_UPGRADE_TIMEOUT,
    CAUSE_SUBPROTOCOL_MISMATCH,
    CAUSE_SECRET_UNREADABLE,
    CAUSE_STAGE_FAILED,
    CAUSE_HEARTBEAT_TIMEOUT,
    CAUSE_ACK_TIMEOUT,
    CAUSE_PONG_UNSUPPORTED,
    CAUSE_SEND_STALLED,
    CAUSE_MUTUAL_STALL,
    CAUSE_SILENCE,
    CAUSE_POISON,
    CAUSE_FAULT,
    CAUSE_CLOSED, /* a Close frame arrived; code and reason say more */
    CAUSE_PROTOCOL_ERROR,
    CAUSE_MESSAGE_TOO_BIG,
    CAUSE_CLIENT_CLOSED,
    CAUSE_CLIENT_LOST,
    CAUSE_OVERFLOW,
    CAUSE_NO_RESOURCES,
    CAUSE_GAVE_UP,
    CAUSE_SUSPENDED,
    CAUSE_IDLE,
    CAUSE_ROTATED,
    CAUSE_SHUTDOWN,
    CAUSE_COUNT
};

/* "tcp-reset"; "" for CAUSE_NONE. */
const char *cause_name(enum cause cause);

/* The cause of that name; CAUSE_NONE when there is none. */
enum cause cause_from_name(const char *name);

/* What a peer sent could not be read (MESSAGE_ERROR), and this Close tells it so. */
enum cause cause_of_refusal(const struct close_frame *close);

#endif
