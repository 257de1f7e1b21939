/* The loop of one worker. */
#include "net/worker.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/relay.h"

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

uint64_t worker_now_ms(struct worker *worker)
{
    if (!worker->now_is_fresh) {
        worker->now_ms = clock_ms(CLOCK_BOOTTIME);
        worker->now_is_fresh = true;
    }
    return worker->now_ms;
}

void worker_random(struct worker *worker, void *out, size_t bytes)
{
    if (bytes > worker->chance_left) {
        if (bytes > sizeof worker->chance || RAND_bytes(worker->chance, sizeof worker->chance) != 1)
            abort(); /* without random bytes there is no WebSocket: 10.3 of RFC 6455 */
        worker->chance_left = sizeof worker->chance;
    }
    worker->chance_left -= bytes;
    memcpy(out, worker->chance + worker->chance_left, bytes);
}

static void fill_random(void *context, void *out, size_t bytes)
{
    worker_random(context, out, bytes);
}

void worker_bury(struct worker *worker, struct worker_grave *grave,
                 void (*bury)(struct worker_grave *grave))
{
    grave->bury = bury;
    grave->next = worker->graves;
    worker->graves = grave;
}

/* The timerfd only wakes the loop: what is due runs after everything that could be read. */
static void on_timer_fd(evutil_socket_t fd, short what, void *context)
{
    uint64_t count;
    struct worker *worker = context;
    (void)what;
    if (read((int)fd, &count, sizeof count) == sizeof count)
        worker->timer_armed_ms = TIMERS_NEVER;
}

bool worker_init(struct worker *worker, struct log *log, uint64_t memory_bytes_max)
{
    *worker = (struct worker){.timer_fd = -1,
                              .timer_armed_ms = TIMERS_NEVER,
                              .log = log,
                              .budget = {.bytes_max = memory_bytes_max}};
    worker->random = (struct random_source){.fill = fill_random, .context = worker};
    worker->slept_ms = clock_ms(CLOCK_BOOTTIME) - clock_ms(CLOCK_MONOTONIC);
    worker->receive = malloc(WORKER_RECEIVE_BYTES);
    worker->send = malloc(WORKER_SEND_BYTES);
    worker->base = event_base_new();
    worker->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!worker->receive || !worker->send || !worker->base || worker->timer_fd < 0)
        goto fail;
    worker->timer_event = event_new(worker->base, worker->timer_fd, EV_READ | EV_PERSIST,
                                    on_timer_fd, worker);
    if (!worker->timer_event || event_add(worker->timer_event, NULL) < 0)
        goto fail;
    return true;
fail:
    worker_clear(worker);
    return false;
}

void worker_clear(struct worker *worker)
{
    if (worker->timer_event)
        event_free(worker->timer_event);
    if (worker->timer_fd >= 0)
        close(worker->timer_fd);
    if (worker->base)
        event_base_free(worker->base);
    free(worker->receive);
    free(worker->send);
    timers_clear(&worker->timers);
    *worker = (struct worker){.timer_fd = -1};
}

static void arm_timer_fd(struct worker *worker)
{
    uint64_t next_ms = timers_next_ms(&worker->timers);
    if (next_ms == worker->timer_armed_ms || next_ms == TIMERS_NEVER)
        return; /* an early wake-up for nothing costs less than disarming each time */
    struct itimerspec time = {.it_value = {.tv_sec = (time_t)(next_ms / 1000),
                                           .tv_nsec = (long)(next_ms % 1000) * 1000000}};
    if (next_ms == 0)
        time.it_value.tv_nsec = 1; /* all zero would disarm it */
    if (timerfd_settime(worker->timer_fd, TFD_TIMER_ABSTIME, &time, NULL) == 0)
        worker->timer_armed_ms = next_ms;
}

/* Stopped, or the machine slept: nobody could have heard from us, or we from them. */
static bool did_not_run(struct worker *worker, uint64_t now_ms)
{
    uint64_t slept_ms = clock_ms(CLOCK_BOOTTIME) - clock_ms(CLOCK_MONOTONIC);
    uint64_t more_ms = slept_ms > worker->slept_ms ? slept_ms - worker->slept_ms : 0;
    worker->slept_ms = slept_ms;
    uint64_t next_ms = timers_next_ms(&worker->timers);
    return more_ms > WORKER_LATE_MS ||
           (next_ms != TIMERS_NEVER && now_ms > next_ms && now_ms - next_ms > WORKER_LATE_MS);
}

static void run_timers(struct worker *worker)
{
    uint64_t now_ms = worker_now_ms(worker);
    if (timers_next_ms(&worker->timers) > now_ms)
        return;
    if (did_not_run(worker, now_ms))
        for (struct relay *relay = worker->relays; relay; relay = relay->next)
            session_did_not_run(&relay->session, now_ms);
    timers_run(&worker->timers, now_ms);
}

static void bury_all(struct worker *worker)
{
    while (worker->graves) {
        struct worker_grave *grave = worker->graves;
        worker->graves = grave->next;
        grave->bury(grave);
    }
}

static void end_turn(struct worker *worker)
{
    run_timers(worker);
    relay_flush_all(worker);
    conn_gather_flush(worker);
    bury_all(worker);
    arm_timer_fd(worker);
}

void worker_run(struct worker *worker)
{
    end_turn(worker); /* what was prepared before the loop runs */
    while (!worker->stop) {
        int flags = EVLOOP_ONCE | (worker->again ? EVLOOP_NONBLOCK : 0);
        worker->again = false;
        worker->now_is_fresh = false;
        event_base_loop(worker->base, flags);
        end_turn(worker);
    }
}
