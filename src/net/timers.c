/* Deadlines: a binary heap, lazily ordered. */
#include "net/timers.h"

#include <assert.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 16 };

void timers_init(struct timers *timers)
{
    *timers = (struct timers){0};
}

void timers_clear(struct timers *timers)
{
    assert(timers->member_count == 0);
    free(timers->heap);
    timers_init(timers);
}

static uint32_t kind_of(struct timers *timers, timer_run *run)
{
    uint32_t kind = 1;
    while (kind <= timers->kind_count && timers->runs[kind] != run)
        kind++;
    assert(kind <= TIMERS_KIND_COUNT_MAX);
    if (kind > timers->kind_count)
        timers->runs[++timers->kind_count] = run;
    return kind;
}

bool timers_add(struct timers *timers, struct timer *timer, timer_run *run)
{
    *timer = (struct timer){.place_ms = TIMERS_NEVER, .due_ms = TIMERS_NEVER};
    if (timers->member_count + 1 >= timers->capacity) {
        uint32_t capacity = timers->capacity ? timers->capacity * 2 : CAPACITY_MIN;
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): a heap of pointers, that is the size */
        struct timer **heap = realloc(timers->heap, capacity * sizeof(*heap));
        if (!heap)
            return false;
        timers->heap = heap;
        timers->capacity = capacity;
    }
    timers->member_count++;
    timer->kind = kind_of(timers, run);
    return true;
}

static void place(struct timers *timers, struct timer *timer, uint32_t index)
{
    timers->heap[index] = timer;
    timer->index = index;
}

static void sift_up(struct timers *timers, struct timer *timer, uint32_t index)
{
    for (; index > 1 && timers->heap[index / 2]->place_ms > timer->place_ms; index /= 2)
        place(timers, timers->heap[index / 2], index);
    place(timers, timer, index);
}

static void sift_down(struct timers *timers, struct timer *timer, uint32_t index)
{
    for (;;) {
        uint32_t child = index * 2;
        if (child > timers->count)
            break;
        if (child < timers->count &&
            timers->heap[child + 1]->place_ms < timers->heap[child]->place_ms)
            child++;
        if (timers->heap[child]->place_ms >= timer->place_ms)
            break;
        place(timers, timers->heap[child], index);
        index = child;
    }
    place(timers, timer, index);
}

static void take_out(struct timers *timers, struct timer *timer)
{
    uint32_t index = timer->index;
    struct timer *last = timers->heap[timers->count--];
    timer->index = 0;
    if (last == timer)
        return;
    sift_up(timers, last, index);
    sift_down(timers, last, last->index);
}

static void put_in(struct timers *timers, struct timer *timer)
{
    timer->place_ms = timer->due_ms;
    sift_up(timers, timer, ++timers->count);
}

void timers_remove(struct timers *timers, struct timer *timer)
{
    if (timer->kind == 0)
        return;
    if (timer->index)
        take_out(timers, timer);
    timer->kind = 0;
    timers->member_count--;
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t due_ms)
{
    assert(timer->kind != 0);
    timer->due_ms = due_ms;
    if (!timer->index) {
        if (due_ms != TIMERS_NEVER)
            put_in(timers, timer);
        return;
    }
    if (due_ms < timer->place_ms) {
        timer->place_ms = due_ms;
        sift_up(timers, timer, timer->index);
    }
}

struct timer *timers_take_due(struct timers *timers, uint64_t now_ms)
{
    while (timers->count > 0 && timers->heap[1]->place_ms <= now_ms) {
        struct timer *timer = timers->heap[1];
        take_out(timers, timer);
        if (timer->due_ms <= now_ms) {
            timer->due_ms = TIMERS_NEVER;
            return timer;
        }
        if (timer->due_ms != TIMERS_NEVER)
            put_in(timers, timer); /* it was moved later meanwhile */
    }
    return NULL;
}

uint64_t timers_earliest_ms(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[1]->place_ms : TIMERS_NEVER;
}
