/*
 * The settings that decisions depend on: the part of a link's configuration that core reads.
 *
 * Filled by config; never changed while a session uses it.  A reload hands a session a new one
 * with session_use_settings().
 */
#ifndef WSKEEP_CORE_SETTINGS_H
#define WSKEEP_CORE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/close_rules.h"

#define SETTINGS_NEVER UINT64_MAX /* of any duration in milliseconds */

enum settings_acknowledge { ACKNOWLEDGE_PONG, ACKNOWLEDGE_SENT };
enum settings_without_pong { WITHOUT_PONG_END, WITHOUT_PONG_SENT };
enum settings_overflow { OVERFLOW_PAUSE, OVERFLOW_DROP_OLDEST, OVERFLOW_CLOSE };
enum settings_inbox_overflow { INBOX_OVERFLOW_PAUSE, INBOX_OVERFLOW_CLOSE };
enum settings_on_gap { ON_GAP_HIDE, ON_GAP_NOTIFY, ON_GAP_CLOSE };

/* Both sides have one: `heartbeat` and `client.heartbeat`. */
struct heartbeat_settings {
    uint64_t interval_ms; /* SETTINGS_NEVER: off */
    uint64_t timeout_ms;
    uint64_t stall_timeout_ms; /* the upstream's; SETTINGS_NEVER on the client's side */
};

struct backoff_settings {
    uint64_t initial_delay_ms;
    uint64_t max_delay_ms;
    uint32_t multiplier_milli; /* 2000: each delay doubles */
    bool jitter;               /* full; false: none */
};

struct session_settings {
    uint64_t connect_timeout_ms; /* a whole attempt */
    uint16_t close_code_shutdown;

    struct heartbeat_settings client_heartbeat;
    struct heartbeat_settings heartbeat;
    uint64_t silence_ms; /* no data message for that long counts as dead */

    struct backoff_settings backoff;
    uint64_t stable_after_ms;
    uint64_t give_up_after_ms;

    struct close_rule *close_rules; /* owned by the configuration */
    size_t close_rule_count;

    enum settings_acknowledge acknowledge;
    enum settings_without_pong without_pong;
    uint64_t ping_spacing_ms;
    uint64_t window_bytes;
    uint64_t ack_timeout_ms;
    uint32_t outbox_messages_max; /* delivery.max_messages */
    uint64_t outbox_bytes_max;    /* delivery.max_bytes: at least client.max_message */
    enum settings_overflow overflow;
    uint64_t inbox_bytes_max;
    enum settings_inbox_overflow inbox_overflow;

    enum settings_on_gap on_gap;
    uint64_t drain_timeout_ms;
};

#endif
