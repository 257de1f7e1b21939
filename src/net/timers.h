/*
 * Deadlines of one worker: a binary heap, re-armed lazily.
 *
 * A deadline that moves later costs nothing: the timer stays where it is in the heap and is put
 * back when it comes up too early.  That is what keeps timers off the path of each message.
 */
#ifndef WSKEEP_NET_TIMERS_H
#define WSKEEP_NET_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMERS_NEVER UINT64_MAX

struct timer;
typedef void timer_fire(struct timer *timer, void *context);

struct timer {
    uint64_t due_ms;  /* the real deadline; TIMERS_NEVER: none */
    uint64_t heap_ms; /* where it stands in the heap: never later than due_ms */
    size_t place;     /* in the heap, from 1; 0: not there */
    timer_fire *fire;
    void *context;
    bool known; /* timers_add() was called */
};

struct timers {
    struct timer **heap; /* from 1 */
    size_t count;
    size_t capacity;
    size_t known_count; /* places are reserved for all of them, so arming cannot fail */
};

void timers_clear(struct timers *timers);

/* Make a timer known, without a deadline.  False when there is no memory for its place. */
bool timers_add(struct timers *timers, struct timer *timer, timer_fire *fire, void *context);

/* Forget it.  A timer that was never added is left alone. */
void timers_remove(struct timers *timers, struct timer *timer);

/* Its deadline is now due_ms, or TIMERS_NEVER. */
void timers_arm(struct timers *timers, struct timer *timer, uint64_t due_ms);

/* When timers_run() has something to do at the earliest; TIMERS_NEVER. */
uint64_t timers_next_ms(const struct timers *timers);

/* Fire what is due.  Each timer is disarmed before it fires, and may arm itself again: what is
 * due at once then is left for the next call. */
void timers_run(struct timers *timers, uint64_t now_ms);

#endif
