/*
 * The heap of a relay: large messages come and go all day, and then there is a quiet night.
 *
 * Left alone, glibc gives the pages of a large block back to the kernel with each free() and takes
 * them anew, zeroed, with the next malloc(): that can be half of what a message of 64 KiB costs.
 * So blocks stay in the heap while there is work, and after a burst all that is free goes back.
 */
#ifndef WSKEEP_NET_HEAP_H
#define WSKEEP_NET_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "net/timers.h"

enum {
    HEAP_LOOK_MS = 4000,            /* a burst is over when so long half of it was enough */
    HEAP_WORTH_BYTES = 1024 * 1024, /* less than that is not looked for */
    HEAP_FREED_BYTES = 256 * 1024,  /* of many small blocks that quiet sessions gave up */
    HEAP_SESSION_BYTES = 2 * 1024   /* of one session, about */
};

/* One worker's use of the heap. */
struct heap_watch {
    struct timers *timers;
    struct timer timer;
    uint64_t used_bytes;
    uint64_t recent_bytes_max; /* since the last look */
    uint64_t bytes_max;        /* since memory last went back */
    uint64_t freed_bytes;      /* the same: by sessions that are quiet */
};

/* Before the first thread.  memory_bytes_max: what messages may take, all together. */
void heap_init(uint64_t memory_bytes_max);

/* run: calls heap_watch_look().  False when there is no memory. */
bool heap_watch_init(struct heap_watch *watch, struct timers *timers,
                     void (*run)(struct timer *timer));
void heap_watch_clear(struct heap_watch *watch);

/* More than ever since the last time. */
void heap_watch_rise(struct heap_watch *watch, uint64_t now_ms);

/* At the end of a turn: about so much is in use. */
static inline void heap_watch_note(struct heap_watch *watch, uint64_t used_bytes, uint64_t now_ms)
{
    watch->used_bytes = used_bytes;
    if (used_bytes > watch->recent_bytes_max)
        watch->recent_bytes_max = used_bytes;
    if (used_bytes > watch->bytes_max)
        heap_watch_rise(watch, now_ms);
}

/* A session has been quiet for a while, and freed so much. */
void heap_watch_freed(struct heap_watch *watch, size_t bytes, uint64_t now_ms);

/* When the timer has run out. */
void heap_watch_look(struct heap_watch *watch, uint64_t now_ms);

#endif
