/*
 * What one schedule is made of, drawn from its seed before it begins: settings, paths, habits of
 * both peers, and how likely each fault is.
 */
#ifndef WSKEEP_SIM_PLAN_H
#define WSKEEP_SIM_PLAN_H

#include "chance.h"
#include "core/settings.h"
#include "pipe.h"

enum plan_profile {
    PLAN_CALM,     /* few faults: what must not happen by itself */
    PLAN_PHONE,    /* silence, sleep, slow links, clock jumps */
    PLAN_FLAPPING, /* connections that live for a few messages and one round trip */
    PLAN_SLOW,     /* readers that stop, servers that flood */
    PLAN_HOSTILE,  /* false Pongs, odd closes, broken frames */
    PLAN_BIG,      /* large messages on thin links */
    PLAN_TIGHT,    /* outboxes, inboxes and memory of nearly nothing */
    PLAN_ENDS,     /* clients that leave in every way, at every moment */
    PLAN_PROFILE_COUNT
};

/* How one upstream connection ends, when nothing else ends it first. */
enum plan_fate {
    FATE_LIVES,
    FATE_RST,
    FATE_FIN,
    FATE_CLOSE,
    FATE_CLOSE_RST,   /* messages, a Pong and a Close, then RST, at once */
    FATE_SILENT,      /* nothing passes any more */
    FATE_SILENT_UP,   /* nothing reaches the server any more, nor do our acknowledgements */
    FATE_SILENT_DOWN, /* nothing comes back any more */
    FATE_CUT,         /* RST after so many bytes from us */
    FATE_SHORT,       /* RST after so many messages and one round trip */
    FATE_HANG,        /* the server stops reading; its kernel goes on */
    FATE_BROKEN,      /* a frame that breaks RFC 6455 */
    FATE_TOO_BIG,
    FATE_COUNT
};

enum plan_pong {
    PONG_ALWAYS,
    PONG_NEVER,
    PONG_WRONG, /* payloads that answer nothing: changed, of old connections, guessed */
    PONG_THIRD, /* every third Ping */
    PONG_LATE,
    PONG_COUNT
};

enum plan_attempt {
    ATTEMPT_OPENS,
    ATTEMPT_DNS_FAILS,
    ATTEMPT_DNS_HANGS,
    ATTEMPT_REFUSED,
    ATTEMPT_UNREACHABLE,
    ATTEMPT_TCP_HANGS,
    ATTEMPT_STATUS,
    ATTEMPT_MALFORMED,
    ATTEMPT_UPGRADE_HANGS,
    ATTEMPT_UPGRADE_RST,
    ATTEMPT_UPGRADE_EOF,
    ATTEMPT_MISMATCH,          /* another subprotocol */
    ATTEMPT_SECRET_UNREADABLE, /* only where host_wake.c says so */
    ATTEMPT_COUNT
};

enum plan_ending {
    ENDING_STAYS,  /* until the world is calm */
    ENDING_CLOSES, /* sends Close and waits */
    ENDING_CLOSES_AND_LEAVES,
    ENDING_LEAVES, /* FIN without Close */
    ENDING_RESETS,
    ENDING_VANISHES, /* nothing passes any more */
    ENDING_BREAKS,   /* breaks RFC 6455 */
    ENDING_COUNT
};

/* On the wire instead of a text: index into plan_reason[]. */
enum { PLAN_REASON_COUNT = 6 };
extern const char *const plan_reason[PLAN_REASON_COUNT];

struct plan_outage {
    uint64_t from_ms, until_ms;
    enum plan_attempt how;
};

struct plan_client {
    uint32_t message_count;
    uint32_t burst_count;
    uint32_t bytes_min, bytes_max; /* of a message */
    uint64_t burst_spacing_ms;
    uint64_t first_ms;
    uint64_t frozen_from_ms, frozen_until_ms; /* neither reads, nor sends, nor answers */
    uint64_t unread_from_ms, unread_until_ms; /* does not read ... */
    uint64_t sip_ms; /* ... or only a little, every so often; PIPE_NEVER: nothing at all */
    uint32_t sip_bytes;
    enum plan_ending ending;
    uint64_t ending_ms;
    uint16_t close_code;
    uint8_t close_reason;
    bool answers_close;
    bool beats; /* the client's side has a heartbeat */
};

struct plan_server {
    uint8_t fate_weights[FATE_COUNT];
    uint8_t pong_weights[PONG_COUNT];
    uint64_t fate_ms_max;
    uint32_t push_one_in;    /* so many connections have a server that pushes */
    uint32_t push_bytes_max; /* of a message */
    uint64_t push_spacing_ms;
    uint32_t push_burst;
    uint32_t push_count_max;
    uint32_t read_bytes_per_ms; /* its application reads no faster; 0: at once */
    uint32_t stops_one_in;      /* stops reading for a while */
    uint64_t stops_ms_max;
    uint32_t pings_one_in; /* sends Pings of its own */
};

struct plan_host {
    uint32_t read_bytes_max;   /* of one read */
    uint32_t gather_bytes_max; /* encoded ahead of the kernel */
    uint32_t piece_bytes;      /* a longer message is encoded in pieces of this size */
    bool keeps_rest;           /* a pause takes effect in the middle of what one read brought */
    uint32_t late_one_in;      /* wakes up late; 0: never */
    uint64_t late_ms_max;
    uint32_t stop_count;   /* times it does not run for long, or the clock jumps */
    uint64_t shutdown_ms;  /* SIGTERM; PIPE_NEVER */
    uint64_t reload_ms;    /* other settings from then on; PIPE_NEVER */
    uint32_t stray_one_in; /* late events of an attempt that was given up */
};

struct plan {
    enum plan_profile profile;
    uint64_t start_ms;  /* of the clock */
    uint64_t skew_ms;   /* the daemon's clock is ahead by this from the start */
    uint64_t faults_ms; /* how long the bad weather lasts */
    uint32_t turns_max; /* of it, too */
    struct session_settings settings;
    struct session_settings reloaded;
    struct close_rule rules[3];
    const char *subprotocol; /* for session_start() */
    uint64_t budget_bytes_max;
    bool others; /* other sessions take and give back memory */
    struct pipe_path up, down;
    struct pipe_path client_in, client_out;
    uint32_t attempt_fault_percent;
    struct plan_outage outages[2];
    struct plan_client client;
    struct plan_server server;
    struct plan_host host;
    bool calm_is_short; /* even then connections live for few messages and one round trip */
};

void plan_draw(struct plan *plan, struct chance *chance);

const char *plan_profile_name(enum plan_profile profile);
const char *plan_fate_name(enum plan_fate fate);
const char *plan_pong_name(enum plan_pong pong);
const char *plan_attempt_name(enum plan_attempt attempt);
const char *plan_ending_name(enum plan_ending ending);

/* An index, each as likely as its weight. */
unsigned plan_weighted(struct chance *chance, const uint8_t *weights, unsigned count);

#endif
