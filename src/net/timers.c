/* A binary heap of deadlines. */
#include "net/timers.h"

#include <assert.h>
#include <stdlib.h>

void timers_clear(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

bool timers_add(struct timers *timers, struct timer *timer, timer_fire *fire, void *context)
{
    if (timers->known_count + 2 > timers->capacity) { /* heap[0] is not used */
        size_t capacity = timers->capacity ? timers->capacity * 2 : 64;
        struct timer **heap = realloc(timers->heap, capacity * sizeof *heap);
        if (!heap)
            return false;
        timers->heap = heap;
        timers->capacity = capacity;
    }
    timers->known_count++;
    *timer = (struct timer){.due_ms = TIMERS_NEVER, .fire = fire, .context = context,
                            .known = true};
    return true;
}

static void put(struct timers *timers, size_t place, struct timer *timer)
{
    timers->heap[place] = timer;
    timer->place = place;
}

/* The timer belongs at place or above. */
static void sift_up(struct timers *timers, size_t place, struct timer *timer)
{
    while (place > 1 && timers->heap[place / 2]->heap_ms > timer->heap_ms) {
        put(timers, place, timers->heap[place / 2]);
        place /= 2;
    }
    put(timers, place, timer);
}

/* The timer belongs at place or below. */
static void sift_down(struct timers *timers, size_t place, struct timer *timer)
{
    for (;;) {
        size_t child = place * 2;
        if (child > timers->count)
            break;
        if (child < timers->count && timers->heap[child + 1]->heap_ms < timers->heap[child]->heap_ms)
            child++;
        if (timers->heap[child]->heap_ms >= timer->heap_ms)
            break;
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, timer);
}

static void take_out(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    struct timer *last = timers->heap[timers->count--];
    timer->place = 0;
    if (last == timer)
        return;
    if (place > 1 && timers->heap[place / 2]->heap_ms > last->heap_ms)
        sift_up(timers, place, last);
    else
        sift_down(timers, place, last);
}

void timers_remove(struct timers *timers, struct timer *timer)
{
    if (!timer->known)
        return;
    if (timer->place)
        take_out(timers, timer);
    timer->known = false;
    timers->known_count--;
}

void timers_arm(struct timers *timers, struct timer *timer, uint64_t due_ms)
{
    assert(timer->known);
    timer->due_ms = due_ms;
    if (timer->place && due_ms >= timer->heap_ms)
        return; /* later: seen when it comes up */
    if (due_ms == TIMERS_NEVER)
        return;
    timer->heap_ms = due_ms;
    sift_up(timers, timer->place ? timer->place : ++timers->count, timer);
}

uint64_t timers_next_ms(const struct timers *timers)
{
    return timers->count ? timers->heap[1]->heap_ms : TIMERS_NEVER;
}

void timers_run(struct timers *timers, uint64_t now_ms)
{
    /* As many as are there now: a timer that arms itself for now waits for the next turn. */
    for (size_t left = timers->count; left > 0 && timers_next_ms(timers) <= now_ms; left--) {
        struct timer *timer = timers->heap[1];
        take_out(timers, timer);
        uint64_t due_ms = timer->due_ms;
        if (due_ms > now_ms) {
            timers_arm(timers, timer, due_ms);
            continue;
        }
        timer->due_ms = TIMERS_NEVER;
        timer->fire(timer, timer->context);
    }
}
