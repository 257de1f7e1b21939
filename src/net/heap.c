/* The heap of a relay. */
#include "net/heap.h"

#include <malloc.h>

enum {
    BLOCK_BYTES_MAX = 32 * 1024 * 1024, /* a larger one is a mapping of its own: mallopt() has no
                                           more, and the largest message by default is half of it */
    FREE_BYTES_MAX = 64 * 1024 * 1024   /* at the top of the heap, while there is work */
};

void heap_init(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES_MAX);
    (void)mallopt(M_TRIM_THRESHOLD, FREE_BYTES_MAX);
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
