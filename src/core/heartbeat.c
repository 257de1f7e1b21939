/* Is the other end alive?  What quietness, Pings and TCP's acknowledgements say about it. */
#include "core/heartbeat.h"

enum {
    HEARTBEAT_ALLOWANCE_BYTES = 64 * 1024,
    HEARTBEAT_ALLOWANCE_MS = 1000,
    HEARTBEAT_PROBE_SOON = 16, /* parts of `timeout`: how soon after a Ping TCP is asked */
    HEARTBEAT_PROBE_LATER = 4
};

static uint64_t after(uint64_t from_ms, uint64_t delay_ms)
{
    return delay_ms > SETTINGS_NEVER - from_ms ? SETTINGS_NEVER : from_ms + delay_ms;
}

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static uint64_t at_least_one(uint64_t now_ms)
{
    return now_ms > 0 ? now_ms : 1; /* 0 means: not set */
}

void heartbeat_start(struct heartbeat *heartbeat, uint64_t now_ms)
{
    *heartbeat = (struct heartbeat){.sent_ms = now_ms,
                                    .received_ms = now_ms,
                                    .progress_ms = now_ms,
                                    .probe_ms = now_ms,
                                    .reading = true};
}

static bool has_outstanding(const struct heartbeat *heartbeat)
{
    return heartbeat->written_offset > heartbeat->acked_offset;
}

void heartbeat_written(struct heartbeat *heartbeat, uint64_t written_offset, uint64_t now_ms)
{
    if (written_offset <= heartbeat->written_offset)
        return;
    if (!has_outstanding(heartbeat)) { /* the clock of these bytes starts now */
        heartbeat->progress_ms = now_ms;
        heartbeat->probe_ms = now_ms;
    }
    heartbeat->written_offset = written_offset;
    heartbeat->sent_ms = now_ms;
}

void heartbeat_pinged(struct heartbeat *heartbeat, uint64_t end_offset, uint64_t now_ms)
{
    heartbeat->sent_ms = now_ms;
    if (heartbeat->ping_ms != 0)
        return; /* the first one that nothing has answered is the one that counts */
    heartbeat->ping_ms = at_least_one(now_ms);
    heartbeat->ping_end_offset = end_offset;
    heartbeat->judged_from_ms = 0;
}

void heartbeat_received(struct heartbeat *heartbeat, uint64_t now_ms)
{
    heartbeat->received_ms = now_ms;
    heartbeat->ping_ms = 0;
    heartbeat->judged_from_ms = 0;
}

void heartbeat_ponged(struct heartbeat *heartbeat)
{
    heartbeat->pong_offset = heartbeat->written_offset;
}

void heartbeat_tcp(struct heartbeat *heartbeat, uint64_t acked_offset, bool in_flight,
                   uint64_t now_ms)
{
    if (acked_offset > heartbeat->acked_offset) {
        heartbeat->acked_offset = acked_offset;
        heartbeat->progress_ms = now_ms;
    }
    heartbeat->in_flight = in_flight;
    heartbeat->probe_ms = now_ms;
    if (heartbeat->ping_ms != 0 && heartbeat->judged_from_ms == 0 &&
        heartbeat->acked_offset >= heartbeat->ping_end_offset)
        heartbeat->judged_from_ms = at_least_one(now_ms);
}

void heartbeat_restart(struct heartbeat *heartbeat, uint64_t now_ms)
{
    heartbeat->received_ms = now_ms;
    heartbeat->progress_ms = now_ms;
    heartbeat->probe_ms = now_ms;
    if (heartbeat->ping_ms != 0)
        heartbeat->ping_ms = at_least_one(now_ms);
    if (heartbeat->judged_from_ms != 0)
        heartbeat->judged_from_ms = at_least_one(now_ms);
}

void heartbeat_set_reading(struct heartbeat *heartbeat, bool reading, uint64_t now_ms)
{
    if (reading && !heartbeat->reading)
        heartbeat_restart(heartbeat, now_ms);
    heartbeat->reading = reading;
}

uint64_t heartbeat_allowance_ms(const struct heartbeat *heartbeat)
{
    uint64_t bytes = heartbeat->written_offset - heartbeat->pong_offset;
    return bytes / HEARTBEAT_ALLOWANCE_BYTES * HEARTBEAT_ALLOWANCE_MS;
}

/* While a Ping is unanswered another one follows after each further interval: some servers cut
 * a link on which they receive nothing. */
static uint64_t ping_due_ms(const struct heartbeat *heartbeat,
                            const struct heartbeat_settings *settings)
{
    uint64_t quiet_ms = heartbeat->ping_ms != 0
                            ? heartbeat->sent_ms
                            : earlier(heartbeat->sent_ms, heartbeat->received_ms);
    return after(quiet_ms, settings->interval_ms);
}

static uint64_t dead_due_ms(const struct heartbeat *heartbeat,
                            const struct heartbeat_settings *settings)
{
    if (!heartbeat->reading || heartbeat->ping_ms == 0 || heartbeat->judged_from_ms == 0)
        return SETTINGS_NEVER;
    return after(heartbeat->judged_from_ms,
                 after(settings->timeout_ms, heartbeat_allowance_ms(heartbeat)));
}

/* Bytes that TCP does not get through: on their way and unacknowledged (a pulled cable), or held
 * back by a window that stays closed. */
static uint64_t stuck_due_ms(const struct heartbeat *heartbeat,
                             const struct heartbeat_settings *settings)
{
    if (!heartbeat->reading || !has_outstanding(heartbeat))
        return SETTINGS_NEVER;
    return after(heartbeat->progress_ms,
                 heartbeat->in_flight ? settings->timeout_ms : settings->stall_timeout_ms);
}

/* TCP is asked soon after a Ping, then at quarters of `timeout`, as long as it owes us. */
static uint64_t probe_due_ms(const struct heartbeat *heartbeat,
                             const struct heartbeat_settings *settings)
{
    if (!has_outstanding(heartbeat) || settings->timeout_ms == SETTINGS_NEVER)
        return SETTINGS_NEVER;
    uint64_t wait_ms = 0;
    if (heartbeat->probe_ms > heartbeat->ping_ms)
        wait_ms = heartbeat->probe_ms - heartbeat->ping_ms;
    if (wait_ms < settings->timeout_ms / HEARTBEAT_PROBE_SOON)
        wait_ms = settings->timeout_ms / HEARTBEAT_PROBE_SOON;
    if (wait_ms > settings->timeout_ms / HEARTBEAT_PROBE_LATER)
        wait_ms = settings->timeout_ms / HEARTBEAT_PROBE_LATER;
    return after(heartbeat->probe_ms, wait_ms > 0 ? wait_ms : 1);
}

enum heartbeat_verdict heartbeat_judge(const struct heartbeat *heartbeat,
                                       const struct heartbeat_settings *settings, uint64_t now_ms)
{
    if (now_ms >= dead_due_ms(heartbeat, settings))
        return HEARTBEAT_DEAD;
    if (now_ms >= probe_due_ms(heartbeat, settings))
        return HEARTBEAT_PROBE;
    if (now_ms >= stuck_due_ms(heartbeat, settings)) {
        if (heartbeat->probe_ms < now_ms)
            return HEARTBEAT_PROBE; /* a verdict on TCP needs its word of now */
        return heartbeat->in_flight ? HEARTBEAT_DEAD : HEARTBEAT_STALLED;
    }
    if (now_ms >= ping_due_ms(heartbeat, settings))
        return HEARTBEAT_PING;
    return HEARTBEAT_FINE;
}

uint64_t heartbeat_deadline_ms(const struct heartbeat *heartbeat,
                               const struct heartbeat_settings *settings)
{
    uint64_t life_ms =
        earlier(dead_due_ms(heartbeat, settings), stuck_due_ms(heartbeat, settings));
    uint64_t ask_ms = earlier(probe_due_ms(heartbeat, settings), ping_due_ms(heartbeat, settings));
    return earlier(life_ms, ask_ms);
}
