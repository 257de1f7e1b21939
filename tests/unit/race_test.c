/* Happy Eyeballs: who wins, when the next one starts, and what is left behind. */
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/race.h"
#include "net/worker.h"

/* ---- addresses of the test's own ----------------------------------------------------------- */

enum kind {
    ANSWERS,    /* somebody listens */
    REFUSES,    /* nobody does */
    SWALLOWS,   /* a full backlog: SYNs are dropped */
    UNREACHABLE /* this machine has no way there */
};

enum { PLACE_COUNT_MAX = 16, FULL_COUNT = 4 };

struct place {
    enum kind kind;
    int listener;
    int fillers[FULL_COUNT]; /* connections that fill the backlog */
    struct sockaddr_in address;
};

static struct log log_to_nowhere = {
    .fd = -1, .level = LOG_ERROR, .mutex = PTHREAD_MUTEX_INITIALIZER};
static struct worker worker;
static struct place places[PLACE_COUNT_MAX];
static size_t place_count;
static struct race race;
static int won_fd;
static size_t won_index;
static unsigned done_count;
static int open_count_before;
static size_t member_count_before;

static void place_init(struct place *place, enum kind kind)
{
    socklen_t bytes = sizeof(place->address);
    *place = (struct place){.kind = kind, .listener = -1};
    for (int i = 0; i < FULL_COUNT; i++)
        place->fillers[i] = -1;
    place->address.sin_family = AF_INET;
    if (kind == UNREACHABLE) {
        place->address.sin_addr.s_addr = htonl(INADDR_BROADCAST);
        place->address.sin_port = htons(9);
        return;
    }
    place->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    place->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(place->listener, (struct sockaddr *)&place->address, bytes), 0);
    ck_assert_int_eq(getsockname(place->listener, (struct sockaddr *)&place->address, &bytes), 0);
    if (kind == REFUSES)
        return; /* bound and not listening */
    ck_assert_int_eq(listen(place->listener, kind == SWALLOWS ? 0 : 16), 0);
    for (int i = 0; kind == SWALLOWS && i < FULL_COUNT; i++) {
        place->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(place->fillers[i], (struct sockaddr *)&place->address, bytes);
    }
}

static int open_descriptor_count(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static struct addresses *addresses_of_places(void)
{
    struct sockaddr_in copies[PLACE_COUNT_MAX];
    struct addrinfo list[PLACE_COUNT_MAX] = {0};
    int error;
    for (size_t i = 0; i < place_count; i++) {
        copies[i] = places[i].address;
        list[i] = (struct addrinfo){.ai_family = AF_INET,
                                    .ai_addr = (struct sockaddr *)&copies[i],
                                    .ai_addrlen = sizeof(copies[i]),
                                    .ai_next = i + 1 < place_count ? &list[i + 1] : NULL};
    }
    struct addresses *addresses = addresses_new(list, &error);
    ck_assert_ptr_nonnull(addresses);
    return addresses;
}

static void set_up(const enum kind *kinds, size_t count)
{
    ck_assert(worker_init(&worker, &log_to_nowhere, 1 << 20));
    place_count = count;
    for (size_t i = 0; i < count; i++)
        place_init(&places[i], kinds[i]);
    done_count = 0;
    won_fd = -1;
    open_count_before = open_descriptor_count();
    member_count_before = worker.timers.member_count;
}

/* Nothing is left but the winner's socket. */
static void tear_down(void)
{
    race_clear(&race);
    if (won_fd >= 0)
        close(won_fd);
    ck_assert_int_eq(open_descriptor_count(), open_count_before);
    ck_assert_uint_eq(worker.timers.member_count, member_count_before);
    for (size_t i = 0; i < place_count; i++) {
        for (int j = 0; j < FULL_COUNT; j++)
            if (places[i].fillers[j] >= 0)
                close(places[i].fillers[j]);
        if (places[i].listener >= 0)
            close(places[i].listener);
    }
    worker_clear(&worker);
}

static void done(void *argument, int fd, size_t index)
{
    ck_assert_ptr_eq(argument, &race);
    done_count++;
    won_fd = fd;
    won_index = index;
}

static bool is_done(void *context)
{
    (void)context;
    return done_count > 0;
}

static const struct address *tried_first;

/* In a turn of the loop, as everything that a worker does. */
static void begin(evutil_socket_t fd, short what, void *argument)
{
    struct addresses *addresses = addresses_of_places();
    (void)fd;
    (void)what;
    (void)argument;
    if (!race_begin(&race, &worker, addresses, tried_first, done, &race))
        done(&race, -1, 0);
    addresses_release(addresses);
}

/* Returns how long it took, in ms. */
static uint64_t run(const struct address *first)
{
    const struct timeval at_once = {0};
    uint64_t begun_ms = worker_now(&worker);
    tried_first = first;
    ck_assert_int_eq(event_base_once(worker.base, -1, EV_TIMEOUT, begin, NULL, &at_once), 0);
    worker_run(&worker, is_done, NULL);
    ck_assert_uint_eq(done_count, 1);
    return worker_now(&worker) - begun_ms;
}

static void check_winner(size_t index)
{
    struct sockaddr_in peer;
    socklen_t bytes = sizeof(peer);
    ck_assert_int_ge(won_fd, 0);
    ck_assert_uint_eq(won_index, index);
    ck_assert_int_eq(getpeername(won_fd, (struct sockaddr *)&peer, &bytes), 0);
    ck_assert_uint_eq(peer.sin_port, places[index].address.sin_port);
}

/* ---- tests -------------------------------------------------------------------------------- */

static const struct {
    const char *why;
    enum kind kinds[4];
    size_t count;
    size_t winner;
    unsigned staggers; /* that are waited for at least, and at most one more on a busy machine */
} races[] = {
    {"one that answers", {ANSWERS}, 1, 0, 0},
    {"the first of two", {ANSWERS, ANSWERS}, 2, 0, 0},
    {"after one that refuses, at once", {REFUSES, ANSWERS}, 2, 1, 0},
    {"after one without a way, at once", {UNREACHABLE, ANSWERS}, 2, 1, 0},
    {"after one that swallows, a stagger later", {SWALLOWS, ANSWERS}, 2, 1, 1},
    {"after two that swallow", {SWALLOWS, SWALLOWS, ANSWERS}, 3, 2, 2},
    {"a failure does not wait for the stagger", {SWALLOWS, REFUSES, ANSWERS}, 3, 2, 1},
};

START_TEST(the_first_that_answers_wins)
{
    set_up(races[_i].kinds, races[_i].count);
    uint64_t took_ms = run(NULL);
    check_winner(races[_i].winner);
    ck_assert_msg(took_ms >= races[_i].staggers * RACE_STAGGER_MS, "%s: %u ms", races[_i].why,
                  (unsigned)took_ms);
    ck_assert_msg(took_ms < (races[_i].staggers + 1) * RACE_STAGGER_MS + 750, "%s: %u ms",
                  races[_i].why, (unsigned)took_ms);
    tear_down();
}
END_TEST

static const struct {
    const char *why;
    enum kind kinds[3];
    size_t count;
    int error;
} defeats[] = {
    {"refused", {REFUSES}, 1, ECONNREFUSED},
    {"refused says more than unreachable", {REFUSES, UNREACHABLE}, 2, ECONNREFUSED},
    {"in any order", {UNREACHABLE, REFUSES, UNREACHABLE}, 3, ECONNREFUSED},
};

START_TEST(when_all_fail_the_most_telling_error_counts)
{
    set_up(defeats[_i].kinds, defeats[_i].count);
    run(NULL);
    ck_assert_int_eq(won_fd, -1);
    ck_assert_msg(race.error == defeats[_i].error, "%s: %d", defeats[_i].why, race.error);
    tear_down();
}
END_TEST

START_TEST(no_way_at_all_is_known_at_once)
{
    static const enum kind kinds[] = {UNREACHABLE, UNREACHABLE};
    set_up(kinds, 2);
    struct addresses *addresses = addresses_of_places();
    ck_assert(!race_begin(&race, &worker, addresses, NULL, done, &race));
    addresses_release(addresses);
    ck_assert_int_ne(race.error, 0);
    ck_assert_uint_eq(done_count, 0);
    tear_down();
}
END_TEST

START_TEST(the_address_that_worked_last_is_tried_first)
{
    static const enum kind kinds[] = {SWALLOWS, SWALLOWS, ANSWERS, SWALLOWS};
    set_up(kinds, 4);
    struct addresses *addresses = addresses_of_places();
    struct address first = addresses->items[2];
    addresses_release(addresses);
    ck_assert_uint_lt(run(&first), RACE_STAGGER_MS);
    check_winner(2);
    tear_down();
}
END_TEST

START_TEST(the_others_follow_in_their_order_when_it_fails)
{
    static const enum kind kinds[] = {REFUSES, ANSWERS, REFUSES};
    set_up(kinds, 3);
    struct addresses *addresses = addresses_of_places();
    struct address first = addresses->items[2];
    addresses_release(addresses);
    run(&first);
    check_winner(1);
    tear_down();
}
END_TEST

START_TEST(so_many_are_in_flight_and_the_oldest_makes_room)
{
    enum { COUNT = RACE_RUNNER_COUNT_MAX + 2 };
    enum kind kinds[COUNT];
    for (int i = 0; i < COUNT; i++)
        kinds[i] = i == COUNT - 1 ? ANSWERS : SWALLOWS;
    set_up(kinds, COUNT);
    uint64_t took_ms = run(NULL);
    check_winner(COUNT - 1);
    ck_assert_uint_ge(took_ms, (COUNT - 1) * RACE_STAGGER_MS);
    ck_assert_int_eq(race.error, ETIMEDOUT);
    tear_down();
}
END_TEST

START_TEST(what_is_in_flight_goes_when_it_is_cleared)
{
    static const enum kind kinds[] = {SWALLOWS, ANSWERS};
    set_up(kinds, 2);
    struct addresses *addresses = addresses_of_places();
    ck_assert(race_begin(&race, &worker, addresses, NULL, done, &race));
    addresses_release(addresses);
    ck_assert_int_eq(open_descriptor_count(), open_count_before + 1);
    tear_down();
    ck_assert_uint_eq(done_count, 0);
    race_clear(&race); /* again: nothing */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("race");
    TCase *tcase = tcase_create("race");
    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, the_first_that_answers_wins, 0, sizeof(races) / sizeof(races[0]));
    tcase_add_loop_test(tcase, when_all_fail_the_most_telling_error_counts, 0,
                        sizeof(defeats) / sizeof(defeats[0]));
    tcase_add_test(tcase, no_way_at_all_is_known_at_once);
    tcase_add_test(tcase, the_address_that_worked_last_is_tried_first);
    tcase_add_test(tcase, the_others_follow_in_their_order_when_it_fails);
    tcase_add_test(tcase, so_many_are_in_flight_and_the_oldest_makes_room);
    tcase_add_test(tcase, what_is_in_flight_goes_when_it_is_cleared);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
