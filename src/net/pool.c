/* A few threads for what may block. */
#include "net/pool.h"

#include <assert.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

STAILQ_HEAD(job_list, pool_job);

struct shared;

struct thread {
    struct shared *shared;
    pthread_t id;
    struct pool_job *job; /* it is running; NULL: none */
};

/* What all threads use, under the mutex.  The last one frees it: a job may outlive the worker. */
struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t asked;
    struct job_list waiting;
    struct job_list ready; /* for the worker */
    unsigned waiting_count;
    struct thread threads[POOL_THREAD_COUNT_MAX];
    unsigned thread_count;
    unsigned idle_count;
    int ready_fd; /* eventfd */
    bool is_ending;
    unsigned user_count;
};

struct pool {
    struct shared *shared;
    struct event event;
    unsigned job_count; /* added, and neither done nor taken back */
};

static void job_list_drop(struct job_list *list)
{
    while (!STAILQ_EMPTY(list)) {
        struct pool_job *job = STAILQ_FIRST(list);
        STAILQ_REMOVE_HEAD(list, entry);
        job->drop(job);
    }
}

static void shared_release(struct shared *shared)
{
    pthread_mutex_lock(&shared->mutex);
    bool is_last = --shared->user_count == 0;
    pthread_mutex_unlock(&shared->mutex);
    if (!is_last)
        return;
    job_list_drop(&shared->waiting);
    job_list_drop(&shared->ready);
    close(shared->ready_fd);
    pthread_cond_destroy(&shared->asked);
    pthread_mutex_destroy(&shared->mutex);
    free(shared);
}

/* ---- a thread ----------------------------------------------------------------------------- */

static bool owner_is_served(const struct shared *shared, const void *owner)
{
    for (unsigned i = 0; i < shared->thread_count; i++)
        if (owner && shared->threads[i].job && shared->threads[i].job->owner == owner)
            return true;
    return false;
}

/* The oldest job whose owner has no other on a thread. */
static struct pool_job *take_job(struct shared *shared)
{
    struct pool_job *job;
    STAILQ_FOREACH(job, &shared->waiting, entry)
    {
        if (owner_is_served(shared, job->owner))
            continue;
        STAILQ_REMOVE(&shared->waiting, job, pool_job, entry);
        shared->waiting_count--;
        return job;
    }
    return NULL;
}

static void hand_back(struct shared *shared, struct pool_job *job)
{
    const uint64_t one = 1;
    STAILQ_INSERT_TAIL(&shared->ready, job, entry);
    while (write(shared->ready_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ; /* EAGAIN: it is readable already */
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    struct shared *shared = thread->shared;
    pthread_mutex_lock(&shared->mutex);
    while (!shared->is_ending) {
        struct pool_job *job = take_job(shared);
        if (!job) {
            shared->idle_count++;
            pthread_cond_wait(&shared->asked, &shared->mutex);
            shared->idle_count--;
            continue;
        }
        thread->job = job;
        pthread_mutex_unlock(&shared->mutex);
        job->run(job);
        pthread_mutex_lock(&shared->mutex);
        thread->job = NULL;
        hand_back(shared, job);
        if (shared->waiting_count > 0)
            pthread_cond_broadcast(&shared->asked); /* its owner's next one may begin */
    }
    pthread_mutex_unlock(&shared->mutex);
    shared_release(shared);
    return NULL;
}

/* Signals are for the worker: these threads take none. */
static void thread_begin(struct shared *shared)
{
    sigset_t all;
    sigset_t before;
    struct thread *thread = &shared->threads[shared->thread_count];
    thread->shared = shared;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread->id, NULL, thread_main, thread) == 0) {
        shared->thread_count++;
        shared->user_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- the worker's side -------------------------------------------------------------------- */

static void on_ready(evutil_socket_t fd, short what, void *argument)
{
    struct pool *pool = argument;
    struct shared *shared = pool->shared;
    struct job_list ready = STAILQ_HEAD_INITIALIZER(ready);
    uint64_t count;
    (void)what;
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&shared->mutex);
    STAILQ_CONCAT(&ready, &shared->ready);
    pthread_mutex_unlock(&shared->mutex);
    while (!STAILQ_EMPTY(&ready)) {
        struct pool_job *job = STAILQ_FIRST(&ready);
        STAILQ_REMOVE_HEAD(&ready, entry);
        pool->job_count--;
        job->done(job);
    }
}

struct pool *pool_new(struct event_base *base)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    struct shared *shared = calloc(1, sizeof(*shared));
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!pool || !shared || fd < 0)
        goto fail;
    event_assign(&pool->event, base, fd, EV_READ | EV_PERSIST, on_ready, pool);
    if (event_add(&pool->event, NULL) != 0)
        goto fail;
    shared->ready_fd = fd;
    shared->user_count = 1;
    STAILQ_INIT(&shared->waiting);
    STAILQ_INIT(&shared->ready);
    pthread_mutex_init(&shared->mutex, NULL);
    pthread_cond_init(&shared->asked, NULL);
    pool->shared = shared;
    return pool;
fail:
    if (fd >= 0)
        close(fd);
    free(pool);
    free(shared);
    return NULL;
}

void pool_free(struct pool *pool)
{
    pthread_t idle[POOL_THREAD_COUNT_MAX];
    unsigned idle_count = 0;
    if (!pool)
        return;
    struct shared *shared = pool->shared;
    event_del(&pool->event);
    pthread_mutex_lock(&shared->mutex);
    shared->is_ending = true;
    for (unsigned i = 0; i < shared->thread_count; i++) {
        if (shared->threads[i].job)
            pthread_detach(shared->threads[i].id); /* a lookup may take minutes */
        else
            idle[idle_count++] = shared->threads[i].id;
    }
    pthread_cond_broadcast(&shared->asked);
    pthread_mutex_unlock(&shared->mutex);
    for (unsigned i = 0; i < idle_count; i++)
        pthread_join(idle[i], NULL);
    shared_release(shared);
    free(pool);
}

bool pool_add(struct pool *pool, struct pool_job *job)
{
    struct shared *shared = pool->shared;
    if (pool->job_count >= POOL_JOB_COUNT_MAX)
        return false;
    pthread_mutex_lock(&shared->mutex);
    if (shared->idle_count <= shared->waiting_count && shared->thread_count < POOL_THREAD_COUNT_MAX)
        thread_begin(shared);
    bool has_thread = shared->thread_count > 0;
    if (has_thread) {
        pool->job_count++;
        STAILQ_INSERT_TAIL(&shared->waiting, job, entry);
        shared->waiting_count++;
        pthread_cond_signal(&shared->asked);
    }
    pthread_mutex_unlock(&shared->mutex);
    return has_thread;
}

bool pool_take_back(struct pool *pool, struct pool_job *job)
{
    struct shared *shared = pool->shared;
    struct pool_job *waiting;
    pthread_mutex_lock(&shared->mutex);
    STAILQ_FOREACH(waiting, &shared->waiting, entry)
    if (waiting == job)
        break;
    if (waiting) {
        STAILQ_REMOVE(&shared->waiting, job, pool_job, entry);
        shared->waiting_count--;
        pool->job_count--;
    }
    pthread_mutex_unlock(&shared->mutex);
    return waiting != NULL;
}

void pool_disown(struct pool *pool, struct pool_job *job)
{
    struct shared *shared = pool->shared;
    pthread_mutex_lock(&shared->mutex);
    bool has_begun = false;
    for (unsigned i = 0; i < shared->thread_count; i++)
        has_begun = has_begun || shared->threads[i].job == job;
    if (!has_begun) {
        job->owner = NULL;
        pthread_cond_broadcast(&shared->asked);
    }
    pthread_mutex_unlock(&shared->mutex);
}
