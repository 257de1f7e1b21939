/* Readiness: who is told, in what order, and who is not told any more. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/readiness.h"

enum { SOCKET_COUNT = 600 }; /* more than two polls */

/* One end of a pair; the other is the peer's. */
struct end {
    struct watched watched;
    int peer_fd;
    int reads;
    int writes;
    void (*then)(struct end *end); /* in its callback */
};

static struct event_base *base;
static struct readiness readiness;
static struct end ends[SOCKET_COUNT];

static int control_error; /* of epoll_ctl(); 0: it works */
static int control_count;

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    control_count++;
    if (control_error && operation != EPOLL_CTL_DEL) {
        errno = control_error;
        return -1;
    }
    return __real_epoll_ctl(epoll, operation, fd, event);
}

static void on_read(struct watched *watched)
{
    struct end *end = (struct end *)(void *)watched; /* its first member */
    end->reads++;
    if (end->then)
        end->then(end);
}

static void on_write(struct watched *watched)
{
    struct end *end = (struct end *)(void *)watched;
    end->writes++;
    if (end->then)
        end->then(end);
}

static const struct watched_calls calls = {.on_read = on_read, .on_write = on_write};

static void open_end(struct end *end)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *end = (struct end){.peer_fd = fds[1]};
    readiness_enter(&readiness, &end->watched, fds[0], &calls);
}

static void close_end(struct end *end)
{
    int fd = end->watched.fd;
    readiness_leave(&end->watched);
    if (fd >= 0)
        close(fd);
    if (end->peer_fd >= 0)
        close(end->peer_fd);
    end->peer_fd = -1;
}

static void peer_says_something(struct end *end)
{
    ck_assert_int_eq(write(end->peer_fd, "x", 1), 1);
}

static void turn(void)
{
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* Would the loop be woken? */
static bool is_woken(void)
{
    struct epoll_event event;
    return epoll_wait(readiness.fd, &event, 1, 0) > 0;
}

static void set_up(void)
{
    base = event_base_new();
    ck_assert(readiness_init(&readiness, base));
    for (int i = 0; i < SOCKET_COUNT; i++)
        open_end(&ends[i]);
    control_error = 0;
    control_count = 0;
}

static void tear_down(void)
{
    control_error = 0;
    for (int i = 0; i < SOCKET_COUNT; i++)
        close_end(&ends[i]);
    readiness_clear(&readiness);
    event_base_free(base);
}

/* ---- what is wanted is reported ------------------------------------------------------------- */

START_TEST(only_what_is_wanted_is_reported)
{
    peer_says_something(&ends[0]);
    turn();
    ck_assert_int_eq(ends[0].reads + ends[0].writes, 0);
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ));
    turn();
    ck_assert_int_eq(ends[0].reads, 1);
    ck_assert_int_eq(ends[0].writes, 0);
    turn(); /* nobody has read it: it is still there */
    ck_assert_int_eq(ends[0].reads, 2);
}
END_TEST

static void count_ten(struct watched *watched)
{
    ((struct end *)(void *)watched)->reads += 10;
}

START_TEST(each_socket_has_its_own_calls)
{
    static const struct watched_calls others = {.on_read = count_ten};
    int fd = ends[1].watched.fd;
    readiness_leave(&ends[1].watched);
    readiness_enter(&readiness, &ends[1].watched, fd, &others);
    for (int i = 0; i < 3; i++) {
        ck_assert(readiness_want(&ends[i].watched, READINESS_READ));
        peer_says_something(&ends[i]);
    }
    turn();
    ck_assert_int_eq(ends[0].reads, 1);
    ck_assert_int_eq(ends[1].reads, 10);
    ck_assert_int_eq(ends[2].reads, 1);
}
END_TEST

START_TEST(writing_is_reported_once_and_the_kernel_knows)
{
    ck_assert(readiness_want(&ends[0].watched, READINESS_WRITE));
    turn();
    ck_assert_int_eq(ends[0].writes, 1);
    ck_assert(!is_woken());
    turn();
    ck_assert_int_eq(ends[0].writes, 1);
}
END_TEST

static void want_to_write(struct end *end)
{
    ck_assert(readiness_want(&end->watched, end->watched.wanted | READINESS_WRITE));
}

START_TEST(who_goes_on_writing_costs_no_call)
{
    ck_assert(readiness_want(&ends[0].watched, READINESS_WRITE));
    ends[0].then = want_to_write;
    control_count = 0;
    for (int i = 0; i < 5; i++)
        turn();
    ck_assert_int_eq(ends[0].writes, 5);
    ck_assert_int_eq(control_count, 0);
}
END_TEST

START_TEST(more_than_one_poll_of_them_are_all_reported_in_one_turn)
{
    for (int i = 0; i < SOCKET_COUNT; i++) {
        ck_assert(readiness_want(&ends[i].watched, READINESS_READ));
        peer_says_something(&ends[i]);
    }
    turn();
    for (int i = 0; i < SOCKET_COUNT; i++)
        ck_assert_int_gt(ends[i].reads, 0);
}
END_TEST

/* ---- hang-ups ------------------------------------------------------------------------------- */

START_TEST(a_hang_up_wakes_nobody_who_wants_nothing)
{
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ));
    ck_assert(readiness_want(&ends[0].watched, 0));
    close(ends[0].peer_fd);
    ends[0].peer_fd = -1;
    ck_assert(!is_woken());
    turn();
    ck_assert_int_eq(ends[0].reads + ends[0].writes, 0);
}
END_TEST

START_TEST(a_hang_up_is_readable_and_writable_as_far_as_that_is_wanted)
{
    for (int i = 0; i < 3; i++) {
        ck_assert(
            readiness_want(&ends[i].watched, (uint8_t[]){READINESS_READ, READINESS_WRITE,
                                                         READINESS_READ | READINESS_WRITE}[i]));
        close(ends[i].peer_fd);
        ends[i].peer_fd = -1;
    }
    turn();
    ck_assert_int_eq(ends[0].reads, 1);
    ck_assert_int_eq(ends[0].writes, 0);
    ck_assert_int_eq(ends[1].reads, 0);
    ck_assert_int_eq(ends[1].writes, 1);
    ck_assert_int_eq(ends[2].reads, 1);
    ck_assert_int_eq(ends[2].writes, 1);
}
END_TEST

/* ---- leaving in a callback ------------------------------------------------------------------ */

static void close_itself(struct end *end)
{
    close_end(end);
    memset(&end->watched, 0xff, sizeof(end->watched)); /* whoever touches it now */
}

START_TEST(who_closes_itself_is_not_touched_again)
{
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ | READINESS_WRITE));
    peer_says_something(&ends[0]);
    ends[0].then = close_itself;
    turn();
    ck_assert_int_eq(ends[0].reads, 1);
    ck_assert_int_eq(ends[0].writes, 0); /* although it was writable, too */
    ends[0].watched.fd = -1;
}
END_TEST

static void close_all_others(struct end *end)
{
    for (int i = 0; i < 8; i++)
        if (&ends[i] != end && ends[i].watched.fd >= 0) {
            close_end(&ends[i]);
            ends[i].watched.calls = UINT8_MAX;
        }
}

START_TEST(who_was_closed_by_another_of_the_same_poll_is_not_called)
{
    int reads = 0;
    for (int i = 0; i < 8; i++) {
        ck_assert(readiness_want(&ends[i].watched, READINESS_READ));
        peer_says_something(&ends[i]);
        ends[i].then = close_all_others;
    }
    turn();
    for (int i = 0; i < 8; i++)
        reads += ends[i].reads;
    ck_assert_int_eq(reads, 1);
}
END_TEST

static void replace_all_others(struct end *end)
{
    for (int i = 0; i < 8; i++)
        if (&ends[i] != end && ends[i].then) {
            close_end(&ends[i]);
            open_end(&ends[i]); /* at the same address, with what may be the same descriptor */
            ck_assert(readiness_want(&ends[i].watched, READINESS_READ));
        }
    end->then = NULL;
}

START_TEST(who_came_to_the_place_of_one_that_was_closed_does_not_get_its_event)
{
    for (int i = 0; i < 8; i++) {
        ck_assert(readiness_want(&ends[i].watched, READINESS_READ));
        peer_says_something(&ends[i]);
        ends[i].then = replace_all_others;
    }
    turn();
    int reads = 0;
    for (int i = 0; i < 8; i++)
        reads += ends[i].reads;
    ck_assert_int_eq(reads, 1);
}
END_TEST

/* ---- no memory in the kernel ---------------------------------------------------------------- */

START_TEST(a_wish_that_cannot_be_registered_changes_nothing)
{
    control_error = ENOMEM;
    ck_assert(!readiness_want(&ends[0].watched, READINESS_READ));
    ck_assert_int_eq(ends[0].watched.wanted, 0);
    control_error = 0;
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ));
    control_error = ENOSPC;
    ck_assert(!readiness_want(&ends[0].watched, READINESS_READ | READINESS_WRITE));
    ck_assert_int_eq(ends[0].watched.wanted, READINESS_READ);
    peer_says_something(&ends[0]);
    turn();
    ck_assert_int_eq(ends[0].reads, 1);
    ck_assert_int_eq(ends[0].writes, 0);
}
END_TEST

START_TEST(a_wish_that_could_not_be_taken_back_is_not_heard_and_is_taken_back_later)
{
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ | READINESS_WRITE));
    control_error = ENOMEM;
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ));
    turn();
    ck_assert_int_eq(ends[0].writes, 0);
    ck_assert(is_woken());
    control_error = 0;
    turn();
    ck_assert_int_eq(ends[0].writes, 0);
    ck_assert(!is_woken());
}
END_TEST

/* ---- again ---------------------------------------------------------------------------------- */

START_TEST(what_is_reported_again_is_reported_once_if_it_is_wanted)
{
    struct readiness_again again[2] = {0};
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ));
    readiness_report_again(&ends[0].watched, &again[0]);
    readiness_report_again(&ends[0].watched, &again[0]);
    readiness_report_again(&ends[1].watched, &again[1]);
    turn();
    turn();
    ck_assert_int_eq(ends[0].reads, 1);
    ck_assert_int_eq(ends[1].reads, 0);
    readiness_report_again(&ends[0].watched, &again[0]);
    readiness_not_again(&again[0]);
    turn();
    ck_assert_int_eq(ends[0].reads, 1);
}
END_TEST

/* ---- without libevent's loop ---------------------------------------------------------------- */

START_TEST(sockets_can_be_waited_for_alone)
{
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ));
    ck_assert(!readiness_wait(&readiness, 0));
    peer_says_something(&ends[0]);
    ck_assert(readiness_wait(&readiness, 1000));
    ck_assert_int_eq(ends[0].reads, 1);
}
END_TEST

START_TEST(more_than_one_poll_of_them_are_waited_for_at_once)
{
    for (int i = 0; i < SOCKET_COUNT; i++) {
        ck_assert(readiness_want(&ends[i].watched, READINESS_READ));
        peer_says_something(&ends[i]);
    }
    ck_assert(readiness_wait(&readiness, 0));
    for (int i = 0; i < SOCKET_COUNT; i++)
        ck_assert_int_ge(ends[i].reads, 1);
}
END_TEST

START_TEST(what_is_to_be_reported_again_is_not_waited_before)
{
    struct readiness_again again = {0};
    ck_assert(readiness_want(&ends[0].watched, READINESS_READ));
    readiness_report_again(&ends[0].watched, &again);
    ck_assert(!readiness_wait(&readiness, -1)); /* would wait for ever */
    turn();
    ck_assert_int_eq(ends[0].reads, 1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("readiness");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, only_what_is_wanted_is_reported);
    tcase_add_test(tcase, each_socket_has_its_own_calls);
    tcase_add_test(tcase, writing_is_reported_once_and_the_kernel_knows);
    tcase_add_test(tcase, who_goes_on_writing_costs_no_call);
    tcase_add_test(tcase, more_than_one_poll_of_them_are_all_reported_in_one_turn);
    tcase_add_test(tcase, a_hang_up_wakes_nobody_who_wants_nothing);
    tcase_add_test(tcase, a_hang_up_is_readable_and_writable_as_far_as_that_is_wanted);
    tcase_add_test(tcase, who_closes_itself_is_not_touched_again);
    tcase_add_test(tcase, who_was_closed_by_another_of_the_same_poll_is_not_called);
    tcase_add_test(tcase, who_came_to_the_place_of_one_that_was_closed_does_not_get_its_event);
    tcase_add_test(tcase, a_wish_that_cannot_be_registered_changes_nothing);
    tcase_add_test(tcase, a_wish_that_could_not_be_taken_back_is_not_heard_and_is_taken_back_later);
    tcase_add_test(tcase, what_is_reported_again_is_reported_once_if_it_is_wanted);
    tcase_add_test(tcase, sockets_can_be_waited_for_alone);
    tcase_add_test(tcase, more_than_one_poll_of_them_are_waited_for_at_once);
    tcase_add_test(tcase, what_is_to_be_reported_again_is_not_waited_before);

    Suite *suite = suite_create("readiness");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
