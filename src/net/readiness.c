/* Which sockets are readable or writable. */
#include "net/readiness.h"

#include <assert.h>
#include <unistd.h>

static const struct watched_calls *calls_of(const struct watched *watched)
{
    return watched->readiness->calls[watched->calls];
}

/* Tell the kernel what is wanted now.  False: it has no memory for it. */
static bool tell(struct watched *watched)
{
    struct epoll_event event = {.events = watched->wanted, .data = {.ptr = watched}};
    int operation = EPOLL_CTL_MOD;
    if (watched->wanted == 0)
        operation = EPOLL_CTL_DEL;
    else if (watched->told == 0)
        operation = EPOLL_CTL_ADD;
    if (epoll_ctl(watched->readiness->fd, operation, watched->fd, &event) != 0)
        return false;
    watched->told = watched->wanted;
    return true;
}

/*
 * Either callback may end this connection or others, which then are in the batch no more.  What is
 * still to be written is mostly found out in on_write, so the kernel is told afterwards.  What it
 * could not be told comes as an event that nobody wants, and it is told again.
 */
static void report(struct readiness *readiness, const struct epoll_event *event)
{
    struct watched *watched = event->data.ptr;
    if (!watched)
        return; /* it has left */
    uint32_t ready = event->events;
    if (ready & (EPOLLERR | EPOLLHUP))
        ready = READINESS_READ | READINESS_WRITE;
    ready &= watched->wanted;
    readiness->current = watched;
    if (ready & READINESS_READ)
        calls_of(watched)->on_read(watched);
    if (readiness->current && (ready & watched->wanted & READINESS_WRITE)) {
        watched->wanted &= (uint8_t)~READINESS_WRITE;
        calls_of(watched)->on_write(watched);
    }
    if (readiness->current && watched->told != watched->wanted)
        (void)tell(watched);
    readiness->current = NULL;
}

static void report_those_again(struct readiness *readiness)
{
    struct readiness_again_list list = readiness->again;
    if (LIST_EMPTY(&list))
        return;
    list.lh_first->entry.le_prev = &list.lh_first; /* what is asked for from now on waits */
    LIST_INIT(&readiness->again);
    while (!LIST_EMPTY(&list)) {
        struct watched *watched = LIST_FIRST(&list)->watched;
        readiness_not_again(LIST_FIRST(&list));
        if (watched->wanted & READINESS_READ)
            calls_of(watched)->on_read(watched);
    }
}

static void take_batch(struct readiness *readiness, int timeout_ms)
{
    int count = epoll_wait(readiness->fd, readiness->batch, READINESS_BATCH_MAX, timeout_ms);
    readiness->batch_count = count > 0 ? count : 0; /* interrupted: the loop comes back */
    readiness->has_more = count == READINESS_BATCH_MAX;
    readiness->event_count += (uint64_t)readiness->batch_count;
    for (readiness->batch_at = 0; readiness->batch_at < readiness->batch_count;
         readiness->batch_at++)
        report(readiness, &readiness->batch[readiness->batch_at]);
    readiness->batch_count = 0;
}

static void take_all(struct readiness *readiness, int timeout_ms)
{
    take_batch(readiness, timeout_ms);
    for (int i = 1; i < READINESS_POLLS_MAX && readiness->has_more; i++)
        take_batch(readiness, 0);
}

static void on_ready(evutil_socket_t fd, short what, void *argument)
{
    struct readiness *readiness = argument;
    (void)fd;
    (void)what;
    report_those_again(readiness);
    take_all(readiness, 0);
}

bool readiness_wait(struct readiness *readiness, int timeout_ms)
{
    uint64_t before = readiness->event_count;
    if (LIST_EMPTY(&readiness->again))
        take_all(readiness, timeout_ms);
    return readiness->event_count != before;
}

bool readiness_init(struct readiness *readiness, struct event_base *base)
{
    *readiness = (struct readiness){.fd = epoll_create1(EPOLL_CLOEXEC)};
    LIST_INIT(&readiness->again);
    if (readiness->fd < 0)
        return false;
    event_assign(&readiness->event, base, readiness->fd, EV_READ | EV_PERSIST, on_ready, readiness);
    if (event_add(&readiness->event, NULL) == 0)
        return true;
    close(readiness->fd);
    readiness->fd = -1;
    return false;
}

void readiness_clear(struct readiness *readiness)
{
    if (readiness->fd < 0)
        return;
    assert(LIST_EMPTY(&readiness->again));
    event_del(&readiness->event);
    close(readiness->fd);
    readiness->fd = -1;
}

void readiness_enter(struct readiness *readiness, struct watched *watched, int fd,
                     const struct watched_calls *calls)
{
    unsigned index = 0;
    while (index < readiness->calls_count && readiness->calls[index] != calls)
        index++;
    assert(index < READINESS_CALLS_MAX);
    if (index == readiness->calls_count)
        readiness->calls[readiness->calls_count++] = calls;
    *watched = (struct watched){.readiness = readiness, .fd = fd, .calls = (uint8_t)index};
}

void readiness_leave(struct watched *watched)
{
    struct readiness *readiness = watched->readiness;
    if (watched->fd < 0)
        return;
    watched->wanted = 0;
    if (watched->told != 0)
        (void)tell(watched);
    watched->fd = -1;
    if (readiness->current == watched)
        readiness->current = NULL;
    for (int i = readiness->batch_at; i < readiness->batch_count; i++)
        if (readiness->batch[i].data.ptr == watched)
            readiness->batch[i].data.ptr = NULL;
}

bool readiness_want(struct watched *watched, uint8_t wanted)
{
    uint8_t before = watched->wanted;
    watched->wanted = wanted;
    if (wanted == watched->told || tell(watched) || (wanted & ~before) == 0)
        return true;
    watched->wanted = before;
    return false;
}

void readiness_report_again(struct watched *watched, struct readiness_again *again)
{
    if (!again->watched)
        LIST_INSERT_HEAD(&watched->readiness->again, again, entry);
    again->watched = watched;
    event_active(&watched->readiness->event, EV_READ, 0);
}

void readiness_not_again(struct readiness_again *again)
{
    if (again->watched)
        LIST_REMOVE(again, entry);
    again->watched = NULL;
}
