/* Happy Eyeballs. */
#include "net/race.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/worker.h"

enum { RACE_UNSENT_BYTES_MAX = 128 * 1024 }; /* a Ping must not queue behind megabytes */

static void on_connected(struct watched *watched);

/* What a peer answered says more than that none did, and that more than that there is no way. */
static unsigned telling(int error)
{
    switch (error) {
    case 0:
        return 0;
    case ECONNREFUSED:
        return 5;
    case ECONNRESET:
    case ECONNABORTED:
        return 4;
    case ETIMEDOUT:
        return 3;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EAGAIN:
    case EADDRNOTAVAIL:
        return 2;
    default: /* ENETUNREACH of a family that this machine does not have */
        return 1;
    }
}

static void note(struct race *race, int error)
{
    if (telling(error) >= telling(race->error))
        race->error = error;
}

/* The place of the address that is tried in that turn. */
static size_t place(const struct race *race, size_t turn)
{
    if (race->first == race->addresses->count)
        return turn;
    if (turn == 0)
        return race->first;
    return turn <= race->first ? turn - 1 : turn;
}

/* ---- runners ------------------------------------------------------------------------------ */

/* Take its socket away from it. */
static int runner_release(struct runner *runner)
{
    int fd = runner->watched.fd;
    readiness_leave(&runner->watched);
    return fd;
}

static unsigned runner_count(const struct race *race)
{
    unsigned count = 0;
    for (unsigned i = 0; i < RACE_RUNNER_COUNT_MAX; i++)
        count += race->runners[i].watched.fd >= 0;
    return count;
}

/* A free one; else the oldest, whose connection is given up: it had the longest time. */
static struct runner *runner_take(struct race *race)
{
    struct runner *oldest = &race->runners[0];
    for (unsigned i = 0; i < RACE_RUNNER_COUNT_MAX; i++) {
        struct runner *runner = &race->runners[i];
        if (runner->watched.fd < 0)
            return runner;
        if (runner->turn < oldest->turn)
            oldest = runner;
    }
    note(race, ETIMEDOUT);
    close(runner_release(oldest));
    return oldest;
}

/* Returns 0, or why this address cannot be tried at all. */
static int runner_start(struct runner *runner, struct race *race, size_t turn)
{
    static const struct watched_calls calls = {.on_write = on_connected};
    size_t index = place(race, turn);
    const struct address *address = &race->addresses->items[index];
    int fd = socket(address->socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    conn_set_no_delay(fd);
    conn_set_unsent_max(fd, RACE_UNSENT_BYTES_MAX);
    int error = 0;
    if (connect(fd, &address->socket.any, address->bytes) != 0 && errno != EINPROGRESS &&
        errno != EINTR)
        error = errno;
    /* A connection that stands is writable as well: one way for all. */
    readiness_enter(&race->worker->readiness, &runner->watched, fd, &calls);
    if (!error && !readiness_want(&runner->watched, READINESS_WRITE))
        error = ENOMEM;
    if (error) {
        close(runner_release(runner));
        return error;
    }
    runner->race = race;
    runner->index = index;
    runner->turn = turn;
    return 0;
}

/* ---- the race ----------------------------------------------------------------------------- */

/* Try addresses until one is in flight.  False when all have failed and none is in flight. */
static bool try_next(struct race *race)
{
    while (race->tried_count < race->addresses->count) {
        struct runner *runner = runner_take(race);
        int error = runner_start(runner, race, race->tried_count++);
        if (error == 0)
            break;
        note(race, error);
    }
    if (race->tried_count < race->addresses->count)
        timers_set(&race->worker->timers, &race->stagger,
                   timers_after(worker_now(race->worker), RACE_STAGGER_MS));
    else
        timers_set(&race->worker->timers, &race->stagger, TIMERS_NEVER);
    return runner_count(race) > 0;
}

static void on_stagger(struct timer *timer)
{
    struct race *race = container_of(timer, struct race, stagger);
    if (!try_next(race))
        race->done(race->argument, -1, 0);
}

static void stop(struct race *race)
{
    for (unsigned i = 0; i < RACE_RUNNER_COUNT_MAX; i++)
        if (race->runners[i].watched.fd >= 0)
            close(runner_release(&race->runners[i]));
    timers_remove(&race->worker->timers, &race->stagger);
    race->stagger = (struct timer){0};
}

static void on_connected(struct watched *watched)
{
    struct runner *runner = container_of(watched, struct runner, watched);
    struct race *race = runner->race;
    int fd = watched->fd;
    int error = 0;
    socklen_t bytes = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        error = errno;
    (void)runner_release(runner);
    if (error == 0) {
        stop(race);
        race->done(race->argument, fd, runner->index);
        return;
    }
    close(fd);
    note(race, error);
    if (!try_next(race))
        race->done(race->argument, -1, 0);
}

bool race_begin(struct race *race, struct worker *worker, struct addresses *addresses,
                const struct address *first, void (*done)(void *argument, int fd, size_t index),
                void *argument)
{
    *race = (struct race){.worker = worker,
                          .addresses = addresses_hold(addresses),
                          .first = addresses->count,
                          .done = done,
                          .argument = argument};
    for (unsigned i = 0; i < RACE_RUNNER_COUNT_MAX; i++)
        race->runners[i].watched.fd = -1;
    if (first)
        race->first = addresses_find(addresses, first);
    if (!timers_add(&worker->timers, &race->stagger, on_stagger)) {
        race->error = ENOMEM;
        return false;
    }
    return try_next(race);
}

void race_clear(struct race *race)
{
    if (!race->addresses)
        return;
    stop(race);
    addresses_release(race->addresses);
    race->addresses = NULL;
}
