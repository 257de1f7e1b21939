/* The loop of a worker: what it looks at, and when it waits. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/worker.h"

enum {
    TURNS_MAX = 100000,
    TURNS_PER_MS = 50,    /* when the clock goes on by the turns */
    QUIET_MS = 200,       /* nothing happens for so long, */
    QUIET_TURNS_MAX = 20, /* which takes so many turns: about three */
    ROUNDS = 20
};

static struct worker worker;
static struct watched connection; /* of a worker: */
static int peer_fd;               /* the other end */
static bool is_read;              /* by us: otherwise it stays readable */
static long turn_count;
static uint64_t turned_ms;  /* the clock goes on by itself, or, not 0, by the turns alone */
static int longest_wait_ms; /* for connections alone */

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);

/* libevent's own is another. */
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    if (timeout_ms > longest_wait_ms)
        longest_wait_ms = timeout_ms;
    return __real_epoll_wait(epoll, events, max, timeout_ms);
}

/* Both clocks: the machine does not sleep. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (turned_ms == 0)
        return __real_clock_gettime(clock, time);
    *time = (struct timespec){.tv_sec = (time_t)(turned_ms / 1000),
                              .tv_nsec = (long)(turned_ms % 1000) * 1000000};
    return 0;
}

static void on_read(struct watched *watched)
{
    char buffer[16];
    if (is_read)
        ck_assert_int_gt(read(watched->fd, buffer, sizeof(buffer)), 0);
}

static const struct watched_calls calls = {.on_read = on_read};

static void set_up(void)
{
    int fds[2];
    ck_assert(worker_init(&worker, NULL, 0));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    peer_fd = fds[1];
    readiness_enter(&worker.readiness, &connection, fds[0], &calls);
    ck_assert(readiness_want(&connection, READINESS_READ));
    is_read = false;
    turn_count = 0;
    turned_ms = 0;
    longest_wait_ms = 0;
}

static void tear_down(void)
{
    int fd = connection.fd;
    readiness_leave(&connection);
    close(fd);
    close(peer_fd);
    worker_clear(&worker);
}

static void peer_says_something(void)
{
    ck_assert_int_eq(write(peer_fd, "x", 1), 1);
}

static bool count_turn(void *context)
{
    (void)context;
    turn_count++;
    if (turned_ms != 0 && turn_count % TURNS_PER_MS == 0)
        turned_ms++;
    return turn_count == TURNS_MAX;
}

static bool is_busy(void *context)
{
    return count_turn(context) || worker.pace.is_busy;
}

/* The connection is always readable: no turn waits. */
static void become_busy(void)
{
    peer_says_something();
    worker_run(&worker, is_busy, NULL);
    ck_assert(worker.pace.is_busy);
    turn_count = 0;
}

/* No turn is late, whatever else this machine does. */
static void become_steadily_busy(void)
{
    turned_ms = worker_read_clock(&worker);
    become_busy();
}

/* ---- what is no connection ------------------------------------------------------------------ */

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
    worker_stop(&worker);
}

START_TEST(a_descriptor_is_heard_beside_a_busy_connection)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    struct event *event = event_new(worker.base, fds[0], EV_READ, on_event, NULL);
    become_steadily_busy();
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    event_add(event, NULL);
    worker_run(&worker, count_turn, NULL);
    ck_assert(worker.is_stopping);
    event_free(event);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_deadline_of_libevent_is_kept_beside_a_busy_connection)
{
    struct event *event = event_new(worker.base, -1, 0, on_event, NULL);
    become_steadily_busy();
    event_add(event, &(struct timeval){.tv_usec = 1000});
    worker_run(&worker, count_turn, NULL);
    ck_assert(worker.is_stopping);
    event_free(event);
}
END_TEST

/* ---- timers --------------------------------------------------------------------------------- */

static void on_timer(struct timer *timer)
{
    (void)timer;
    worker_stop(&worker);
}

START_TEST(a_timer_runs_beside_a_busy_connection)
{
    struct timer timer;
    ck_assert(timers_add(&worker.timers, &timer, on_timer));
    become_steadily_busy();
    timers_set(&worker.timers, &timer, turned_ms + 2);
    worker_run(&worker, count_turn, NULL);
    ck_assert(worker.is_stopping);
    timers_remove(&worker.timers, &timer);
}
END_TEST

START_TEST(what_is_due_at_once_is_not_waited_for)
{
    struct timer timer;
    ck_assert(timers_add(&worker.timers, &timer, on_timer));
    is_read = true;
    for (int i = 0; i < ROUNDS; i++) {
        is_read = false;
        become_busy();
        is_read = true; /* nothing is left to be read in the second of these turns */
        longest_wait_ms = 0;
        timers_set(&worker.timers, &timer, worker_read_clock(&worker));
        worker_run(&worker, count_turn, NULL);
        ck_assert(worker.is_stopping);
        ck_assert_int_eq(longest_wait_ms, 0);
        worker.is_stopping = false;
    }
    timers_remove(&worker.timers, &timer);
}
END_TEST

START_TEST(silence_costs_no_turns)
{
    struct timer timer;
    ck_assert(timers_add(&worker.timers, &timer, on_timer));
    become_busy();
    is_read = true;
    timers_set(&worker.timers, &timer, worker_read_clock(&worker) + QUIET_MS);
    worker_run(&worker, count_turn, NULL);
    ck_assert(worker.is_stopping);
    ck_assert(!worker.pace.is_busy);
    ck_assert_int_le(turn_count, QUIET_TURNS_MAX);
    timers_remove(&worker.timers, &timer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *tests = tcase_create("worker");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_descriptor_is_heard_beside_a_busy_connection);
    tcase_add_test(tests, a_deadline_of_libevent_is_kept_beside_a_busy_connection);
    tcase_add_test(tests, a_timer_runs_beside_a_busy_connection);
    tcase_add_test(tests, what_is_due_at_once_is_not_waited_for);
    tcase_add_test(tests, silence_costs_no_turns);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
