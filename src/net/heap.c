/* The heap of a relay. */
#include "net/heap.h"

#include <malloc.h>

enum {
    BLOCK_BYTES_MAX = 32 * 1024 * 1024, /* mallopt() has no more, and the largest message by default
                                           is half of it */
    FREE_BYTES_MAX = 64 * 1024 * 1024,
    BLOCK_SHARE = 8, /* of memory_bytes_max: with holes as large as that a heap is never full */
    FREE_SHARE = 4
};

static int at_most(uint64_t bytes, int bytes_max)
{
    return bytes < (uint64_t)bytes_max ? (int)bytes : bytes_max;
}

/* A larger block is a mapping of its own, and goes back at once; so does what is free at the top
 * of a heap beyond its share.  A reload changes neither: threads are running by then. */
void heap_init(uint64_t memory_bytes_max)
{
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, at_most(memory_bytes_max / BLOCK_SHARE, BLOCK_BYTES_MAX));
    (void)mallopt(M_TRIM_THRESHOLD, at_most(memory_bytes_max / FREE_SHARE, FREE_BYTES_MAX));
#else
    (void)memory_bytes_max;
#endif
}

static void give_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

bool heap_watch_init(struct heap_watch *watch, struct timers *timers,
                     void (*run)(struct timer *timer))
{
    *watch = (struct heap_watch){.timers = timers};
    return timers_add(timers, &watch->timer, run);
}

void heap_watch_clear(struct heap_watch *watch)
{
    if (watch->timers)
        timers_remove(watch->timers, &watch->timer);
}

void heap_watch_rise(struct heap_watch *watch, uint64_t now_ms)
{
    watch->bytes_max = watch->used_bytes;
    if (watch->bytes_max >= HEAP_WORTH_BYTES && watch->timer.due_ms == TIMERS_NEVER)
        timers_set(watch->timers, &watch->timer, timers_after(now_ms, HEAP_LOOK_MS));
}

void heap_watch_freed(struct heap_watch *watch, size_t bytes, uint64_t now_ms)
{
    watch->freed_bytes += bytes;
    if (watch->freed_bytes >= HEAP_FREED_BYTES && watch->timer.due_ms == TIMERS_NEVER)
        timers_set(watch->timers, &watch->timer, timers_after(now_ms, HEAP_LOOK_MS));
}

void heap_watch_look(struct heap_watch *watch, uint64_t now_ms)
{
    uint64_t fallen_bytes = watch->bytes_max - watch->recent_bytes_max;
    bool has_fallen = fallen_bytes >= HEAP_WORTH_BYTES && fallen_bytes >= watch->bytes_max / 2;
    if (has_fallen || watch->freed_bytes >= HEAP_FREED_BYTES) {
        give_back();
        watch->freed_bytes = 0;
    }
    if (has_fallen)
        watch->bytes_max = watch->recent_bytes_max;
    watch->recent_bytes_max = watch->used_bytes;
    if (watch->bytes_max >= HEAP_WORTH_BYTES)
        timers_set(watch->timers, &watch->timer, timers_after(now_ms, HEAP_LOOK_MS));
}
