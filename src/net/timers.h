/*
 * Deadlines of one worker: a binary heap whose nodes live in what they time.
 *
 * A deadline that moves later costs nothing: the node stays where it is and is put back when it
 * comes to the top.  So a heartbeat may move its deadline with every message.
 */
#ifndef WSKEEP_NET_TIMERS_H
#define WSKEEP_NET_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMERS_NEVER UINT64_MAX

enum { TIMERS_KIND_COUNT_MAX = 16 };

struct timer {
    uint64_t place_ms; /* its place in the heap: never later than due_ms */
    uint64_t due_ms;   /* when it shall run */
    uint32_t index;    /* in the heap, from 1; 0: not there */
    uint32_t kind;     /* index of timers->runs, from 1; 0: not a member */
};

typedef void timer_run(struct timer *timer);

struct timers {
    timer_run *runs[TIMERS_KIND_COUNT_MAX + 1]; /* what running one means; runs[0] is not used */
    uint32_t kind_count;
    struct timer **heap; /* heap[1] is the earliest; heap[0] is not used */
    uint32_t count;
    uint32_t capacity;
    uint32_t member_count; /* timers that may be set: there is room for all of them */
};

/* delay_ms from now; either may be TIMERS_NEVER. */
static inline uint64_t timers_after(uint64_t now_ms, uint64_t delay_ms)
{
    return delay_ms > TIMERS_NEVER - now_ms ? TIMERS_NEVER : now_ms + delay_ms;
}

static inline uint64_t timers_earlier(uint64_t one_ms, uint64_t other_ms)
{
    return one_ms < other_ms ? one_ms : other_ms;
}

void timers_init(struct timers *timers);
void timers_clear(struct timers *timers);

/*
 * Make timer a member, which is not set yet.  run: one of TIMERS_KIND_COUNT_MAX.  False when there
 * is no memory; after this nothing about it can fail.
 */
bool timers_add(struct timers *timers, struct timer *timer, timer_run *run);

/* Not a member any more.  A timer that never became one (all zero) is left alone. */
void timers_remove(struct timers *timers, struct timer *timer);

/* Run it at due_ms, whatever was set before.  TIMERS_NEVER: not at all. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t due_ms);

static inline void timers_run(const struct timers *timers, struct timer *timer)
{
    timers->runs[timer->kind](timer);
}

/* Take the next one that is due at now_ms out of the heap, or NULL.  It is not set then. */
struct timer *timers_take_due(struct timers *timers, uint64_t now_ms);

/* Nothing is due before; TIMERS_NEVER when nothing is set. */
uint64_t timers_earliest_ms(const struct timers *timers);

#endif
