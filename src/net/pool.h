/*
 * A few threads for what may block: names are looked up in them.  Nothing on a worker's thread may
 * block.
 *
 * A job is handed to a thread, then back to the worker.  An owner has at most one job on a thread
 * at a time, so one that hangs leaves the other threads to others.
 */
#ifndef WSKEEP_NET_POOL_H
#define WSKEEP_NET_POOL_H

#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>

enum {
    POOL_THREAD_COUNT_MAX = 4, /* each begins with the first job that finds none idle */
    POOL_JOB_COUNT_MAX = 1024  /* not done yet */
};

struct pool;

struct pool_job {
    void (*run)(struct pool_job *job);  /* on a thread; touches nothing but the job */
    void (*done)(struct pool_job *job); /* on the worker: the job is its own again */
    void (*drop)(struct pool_job *job); /* instead of done when the pool is no more: free it, on
                                           whichever thread */
    const void *owner;                  /* only compared; NULL: nobody's */
    STAILQ_ENTRY(pool_job) entry;
};

/* NULL when there are no descriptors or memory. */
struct pool *pool_new(struct event_base *base);

/* Ends the threads; one that hangs in a job ends by itself, and touches nothing of ours. */
void pool_free(struct pool *pool); /* NULL is allowed */

/* Take the job over until done or drop.  False when it cannot be: too many, or no thread. */
bool pool_add(struct pool *pool, struct pool_job *job);

/* It is more than one owner's now: unless it has begun, it waits for no other job of its first
 * owner's. */
void pool_disown(struct pool *pool, struct pool_job *job);

/* Take it back, if no thread has begun with it: true, and it is the caller's again. */
bool pool_take_back(struct pool *pool, struct pool_job *job);

#endif
