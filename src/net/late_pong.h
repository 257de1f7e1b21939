/*
 * The answer to the newest Ping, while it has to wait for what comes before it in the stream: older
 * ones need none then (RFC 6455 section 5.5.3).
 */
#ifndef WSKEEP_NET_LATE_PONG_H
#define WSKEEP_NET_LATE_PONG_H

#include "proto/frame.h"

struct late_pong {
    uint8_t payload_bytes;
    uint8_t payload[FRAME_CONTROL_BYTES_MAX];
};

/* Keep this one instead of *pong, which is NULL when none waits.  Without memory it is not
 * answered: the next Ping is, or the one after it. */
void late_pong_keep(struct late_pong **pong, const uint8_t *payload, size_t payload_bytes);

/* It left, or the connection is gone. */
void late_pong_drop(struct late_pong **pong);

#endif
