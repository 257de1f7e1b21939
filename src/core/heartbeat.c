/* Is the other end alive?  What quietness, Pings and TCP's acknowledgements say about it. */
#include "core/heartbeat.h"

#define HEARTBEAT_OFFSET_MAX (UINT64_MAX >> 2) /* no stream comes so far */

enum {
    HEARTBEAT_ALLOWANCE_BYTES = 64 * 1024,
    HEARTBEAT_ALLOWANCE_MS = 1000,
    HEARTBEAT_PROBE_SOON = 16, /* a part of `timeout`: how soon after a Ping TCP is asked */
    HEARTBEAT_PROBE_LATER = 4  /* and then, and for other bytes, after this part of it */
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

/* A Ping is unanswered, and TCP has not told that the peer's kernel has it. */
static bool ping_is_on_its_way(const struct heartbeat *heartbeat)
{
    return heartbeat->ping_ms != 0 && heartbeat->judged_from_ms == 0;
}

void heartbeat_written(struct heartbeat *heartbeat, uint64_t written_offset, uint64_t now_ms)
{
    if (written_offset <= heartbeat->written_offset)
        return;
    if (!has_outstanding(heartbeat)) { /* the clock of these bytes starts now */
        heartbeat->progress_ms = now_ms;
        heartbeat->probe_ms = now_ms;
        heartbeat->in_flight = true;
    }
    heartbeat->written_offset = written_offset;
    heartbeat->sent_ms = now_ms;
}

void heartbeat_pinged(struct heartbeat *heartbeat, uint64_t end_offset, uint64_t now_ms)
{
    heartbeat->sent_ms = now_ms;
    heartbeat->last_ping_ms = now_ms;
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
    heartbeat->ping_end_offset = 0;
    heartbeat->judged_from_ms = 0;
}

void heartbeat_ponged(struct heartbeat *heartbeat, uint64_t pinged_offset)
{
    if (pinged_offset > heartbeat->pong_offset)
        heartbeat->pong_offset = pinged_offset & HEARTBEAT_OFFSET_MAX;
}

void heartbeat_tcp(struct heartbeat *heartbeat, uint64_t acked_offset, bool in_flight,
                   uint64_t now_ms)
{
    bool opened = in_flight && !heartbeat->in_flight; /* its window: what had to wait is sent */
    if (acked_offset > heartbeat->acked_offset || opened || !has_outstanding(heartbeat))
        heartbeat->progress_ms = now_ms;
    if (acked_offset > heartbeat->acked_offset)
        heartbeat->acked_offset = acked_offset;
    heartbeat->in_flight = in_flight;
    heartbeat->probe_ms = now_ms;
    if (ping_is_on_its_way(heartbeat) && heartbeat->acked_offset >= heartbeat->ping_end_offset)
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
    if (heartbeat->written_offset <= heartbeat->pong_offset)
        return 0; /* the Ping was answered before it was written: a guess */
    uint64_t bytes = heartbeat->written_offset - heartbeat->pong_offset;
    return bytes / HEARTBEAT_ALLOWANCE_BYTES * HEARTBEAT_ALLOWANCE_MS;
}

/* A Ping that nothing answers is followed by another after each further interval: some servers
 * cut a link on which no Ping comes. */
static uint64_t ping_due_ms(const struct heartbeat *heartbeat,
                            const struct heartbeat_settings *settings)
{
    uint64_t from_ms = earlier(heartbeat->sent_ms, heartbeat->received_ms);
    if (heartbeat->ping_ms != 0 && heartbeat->last_ping_ms > from_ms)
        from_ms = heartbeat->last_ping_ms;
    return after(from_ms, settings->interval_ms);
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

/*
 * TCP is asked while bytes are outstanding, as far as we know: soon after a Ping, then less and
 * less often.  What it would say while we do not read is held against nobody, so it can wait.
 */
static uint64_t probe_due_ms(const struct heartbeat *heartbeat,
                             const struct heartbeat_settings *settings)
{
    if (!heartbeat->reading || !has_outstanding(heartbeat))
        return SETTINGS_NEVER;
    uint64_t limit_ms = earlier(settings->timeout_ms, settings->stall_timeout_ms);
    uint64_t soon_ms = limit_ms / HEARTBEAT_PROBE_SOON;
    uint64_t later_ms = limit_ms / HEARTBEAT_PROBE_LATER;
    uint64_t from_ms = heartbeat->probe_ms;
    uint64_t wait_ms = later_ms;
    if (ping_is_on_its_way(heartbeat) && heartbeat->ping_ms >= from_ms) {
        from_ms = heartbeat->ping_ms;
        wait_ms = soon_ms;
    } else if (ping_is_on_its_way(heartbeat)) {
        wait_ms = from_ms - heartbeat->ping_ms; /* doubles the time since the Ping */
        wait_ms = wait_ms < soon_ms ? soon_ms : earlier(wait_ms, later_ms);
    }
    return after(from_ms, wait_ms > 0 ? wait_ms : 1);
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
            return HEARTBEAT_PROBE; /* first its word of now */
        return heartbeat->in_flight ? HEARTBEAT_DEAD : HEARTBEAT_STALLED;
    }
    if (now_ms >= ping_due_ms(heartbeat, settings))
        return HEARTBEAT_PING;
    return HEARTBEAT_FINE;
}

uint64_t heartbeat_deadline_ms(const struct heartbeat *heartbeat,
                               const struct heartbeat_settings *settings)
{
    uint64_t life_ms = earlier(dead_due_ms(heartbeat, settings), stuck_due_ms(heartbeat, settings));
    uint64_t ask_ms = earlier(probe_due_ms(heartbeat, settings), ping_due_ms(heartbeat, settings));
    return earlier(life_ms, ask_ms);
}
