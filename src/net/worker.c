/* The event loop. */
#include "net/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "net/linger.h"
#include "net/relay.h"

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec time = {0};
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* How long the machine has slept.  Signed: now_ms was read a moment ago, so it may seem less. */
static int64_t asleep(uint64_t now_ms)
{
    return (int64_t)now_ms - (int64_t)clock_ms(CLOCK_MONOTONIC);
}

uint64_t worker_read_clock(struct worker *worker)
{
    worker->now_ms = clock_ms(CLOCK_BOOTTIME);
    worker->now_is_read = true;
    return worker->now_ms;
}

/* The timerfd only wakes the loop; timers run after all that can be read was read. */
static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof(count)) > 0)
        worker->timer_armed_ms = TIMERS_NEVER;
}

static void on_heap_timer(struct timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, heap.timer);
    heap_watch_look(&worker->heap, worker_now(worker));
}

static void arm(struct worker *worker)
{
    uint64_t due_ms = timers_earliest_ms(&worker->timers);
    if (due_ms >= worker->timer_armed_ms)
        return; /* an early wake-up finds nothing to do, and arms again */
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ms / 1000),
                                           .tv_nsec = (long)(due_ms % 1000) * 1000000}};
    if (due_ms == 0)
        when.it_value.tv_nsec = 1; /* all zero would disarm it */
    if (timerfd_settime(worker->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        worker->timer_armed_ms = due_ms;
}

bool worker_lend_spare(struct worker *worker)
{
    if (worker->spare_fd < 0)
        return false;
    close(worker->spare_fd);
    worker->spare_fd = -1;
    return true;
}

void worker_restore_spare(struct worker *worker)
{
    if (worker->spare_fd < 0)
        worker->spare_fd = eventfd(0, EFD_CLOEXEC);
}

bool worker_init(struct worker *worker, struct log *log, uint64_t memory_bytes_max)
{
    *worker = (struct worker){.log = log,
                              .budget = {.bytes_max = memory_bytes_max},
                              .socket_owner = (uid_t)-1,
                              .socket_group = (gid_t)-1,
                              .readiness = {.fd = -1},
                              .timer_fd = -1,
                              .spare_fd = -1,
                              .mailbox = {.fd = -1},
                              .timer_armed_ms = TIMERS_NEVER};
    chance_init(&worker->chance);
    worker->random = chance_source(&worker->chance);
    timers_init(&worker->timers);
    bool has_heap_watch = heap_watch_init(&worker->heap, &worker->timers, on_heap_timer);
    LIST_INIT(&worker->sessions);
    LIST_INIT(&worker->lingerings);
    STAILQ_INIT(&worker->touched);
    STAILQ_INIT(&worker->again);
    LIST_INIT(&worker->dead);
    worker->asleep_ms = asleep(clock_ms(CLOCK_BOOTTIME));

    struct event_config *config = event_config_new();
    if (config) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        worker->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    worker->receive_buffer = malloc(WORKER_RECEIVE_BYTES);
    worker->send_buffer = malloc(WORKER_SEND_BYTES);
    worker->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    worker_restore_spare(worker);
    if (worker->base)
        worker->pool = pool_new(worker->base);
    if (worker->pool)
        worker->resolver = resolver_new(worker->pool);
    if (worker->base)
        worker->secrets = secrets_new(worker->base);
    worker->tls = tls_worker_new();
    if (!worker->resolver || !worker->secrets || !worker->tls || !worker->receive_buffer ||
        !worker->send_buffer || worker->timer_fd < 0 || worker->spare_fd < 0 || !has_heap_watch ||
        !readiness_init(&worker->readiness, worker->base))
        goto fail;
    worker->readiness.budget = &worker->budget;
    event_assign(&worker->timer_event, worker->base, worker->timer_fd, EV_READ | EV_PERSIST,
                 on_timer, worker);
    if (event_add(&worker->timer_event, NULL) == 0)
        return true;
fail:;
    int error = errno;
    worker_clear(worker);
    errno = error;
    return false;
}

void worker_clear(struct worker *worker)
{
    relay_end_all(worker);
    linger_end_all(worker);
    pool_free(worker->pool);
    resolver_free(worker->resolver);
    tls_worker_free(worker->tls);
    secrets_free(worker->secrets);
    heap_watch_clear(&worker->heap);
    timers_clear(&worker->timers);
    network_clear(&worker->network);
    mailbox_clear(&worker->mailbox);
    free(worker->receive_buffer);
    free(worker->send_buffer);
    readiness_clear(&worker->readiness);
    if (worker->base) {
        if (event_initialized(&worker->timer_event))
            event_del(&worker->timer_event);
        event_base_free(worker->base);
    }
    if (worker->timer_fd >= 0)
        close(worker->timer_fd);
    if (worker->spare_fd >= 0)
        close(worker->spare_fd);
    worker->base = NULL;
    worker->timer_fd = -1;
    worker->spare_fd = -1;
    worker->pool = NULL;
    worker->resolver = NULL;
    worker->tls = NULL;
    worker->secrets = NULL;
    worker->receive_buffer = NULL;
    worker->send_buffer = NULL;
}

/* Were we stopped, or did the machine sleep?  Then nothing that is missing is held against
 * anybody. */
static bool did_not_run(struct worker *worker)
{
    uint64_t now_ms = worker_now(worker);
    int64_t asleep_ms = asleep(now_ms);
    bool slept = asleep_ms - worker->asleep_ms > WORKER_LATE_MS;
    if (slept) {
        worker->asleep_ms = asleep_ms;
        relay_network_changed(worker); /* who knows where it woke up */
    }
    uint64_t due_ms = timers_earliest_ms(&worker->timers);
    return slept || (due_ms < now_ms && now_ms - due_ms > WORKER_LATE_MS);
}

/*
 * Readable bytes come before timers: a Pong that has arrived already shall not be missed.  One poll
 * shows only so many descriptors, and so many connections; so, when a timer is due, poll until one
 * comes back with few.
 */
static void read_before_timers(struct worker *worker, uint64_t touch_count)
{
    for (int i = 0; i < WORKER_POLLS_MAX; i++) {
        if (timers_earliest_ms(&worker->timers) > worker_now(worker) ||
            (worker->touch_count - touch_count < WORKER_POLL_FEW && !worker->readiness.has_more))
            return;
        touch_count = worker->touch_count;
        worker->readiness.has_more = false;
        event_base_loop(worker->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
}

static void run_timers(struct worker *worker)
{
    if (did_not_run(worker))
        relay_did_not_run(worker);
    for (struct timer *timer; (timer = timers_take_due(&worker->timers, worker_now(worker)));)
        timers_run(&worker->timers, timer);
}

static void note_heap(struct worker *worker)
{
    const struct budget *budget = &worker->budget;
    uint64_t used_bytes = budget->bytes + budget_held_bytes(budget) +
                          (uint64_t)worker->session_count * HEAP_SESSION_BYTES;
    heap_watch_note(&worker->heap, used_bytes, worker->now_ms);
}

/*
 * While connections talk, they are waited for in their own set, which saves a system call in each
 * turn.  Everything else (listeners, signals, answers of threads) is looked at once in each
 * millisecond, and as soon as connections are silent for one; timers run in any turn.
 */
static void wait_for_events(struct worker *worker, bool waits)
{
    struct worker_pace *pace = &worker->pace;
    uint64_t before = worker->readiness.event_count;
    bool looks_around = !pace->is_busy || worker->now_ms != pace->looked_around_ms;
    worker->now_is_read = false;
    worker->readiness.has_more = false;
    if (looks_around || !readiness_wait(&worker->readiness, waits ? 1 : 0)) {
        bool only_looks = !waits || (looks_around && pace->is_busy);
        event_base_loop(worker->base, EVLOOP_ONCE | (only_looks ? EVLOOP_NONBLOCK : 0));
        pace->looked_around_ms = worker_now(worker);
        pace->is_busy = pace->is_busy && looks_around;
    }
    if (worker->readiness.event_count == before)
        return;
    pace->is_busy = worker_now(worker) - pace->event_ms <= 1;
    pace->event_ms = worker_now(worker);
}

static bool has_work(const struct worker *worker)
{
    return !STAILQ_EMPTY(&worker->again) || !STAILQ_EMPTY(&worker->touched) ||
           timers_earliest_ms(&worker->timers) <= worker->now_ms;
}

void worker_run(struct worker *worker, bool (*turn_ended)(void *context), void *context)
{
    while (!worker->is_stopping) {
        bool waits = !has_work(worker);
        uint64_t touch_count = worker->touch_count;
        wait_for_events(worker, waits);
        read_before_timers(worker, touch_count);
        run_timers(worker);
        relay_flush_all(worker);
        relay_free_dead(worker);
        note_heap(worker);
        if (turn_ended && turn_ended(context))
            return;
        arm(worker);
    }
}

void worker_stop(struct worker *worker)
{
    worker->is_stopping = true;
}
