/* One thread that looks names up. */
#include "net/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct resolve {
    struct resolve *next;
    char host[256];
    char port[8];
    resolve_done *done; /* NULL: cancelled */
    void *context;
    int error;
    struct addrinfo *addresses;
};

struct resolver {
    struct worker *worker;
    struct event *event; /* of answer_fd */
    int answer_fd;
    pthread_t thread;
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t wake;
    struct resolve *asked_first;
    struct resolve *asked_last;
    struct resolve *answered;
    unsigned asked_count;
    bool stop;
};

static void resolve_free(struct resolve *resolve)
{
    if (resolve->addresses)
        freeaddrinfo(resolve->addresses);
    free(resolve);
}

static struct resolve *take_asked(struct resolver *resolver)
{
    struct resolve *resolve = resolver->asked_first;
    resolver->asked_first = resolve->next;
    if (!resolver->asked_first)
        resolver->asked_last = NULL;
    resolver->asked_count--;
    return resolve;
}

static void look_up(struct resolve *resolve)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    resolve->error = getaddrinfo(resolve->host, resolve->port, &hints, &resolve->addresses);
    if (resolve->error)
        resolve->addresses = NULL;
}

static void *run(void *context)
{
    struct resolver *resolver = context;
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->stop) {
        if (!resolver->asked_first) {
            pthread_cond_wait(&resolver->wake, &resolver->lock);
            continue;
        }
        struct resolve *resolve = take_asked(resolver);
        bool wanted = resolve->done != NULL;
        pthread_mutex_unlock(&resolver->lock);
        if (wanted)
            look_up(resolve);
        pthread_mutex_lock(&resolver->lock);
        resolve->next = resolver->answered;
        resolver->answered = resolve;
        uint64_t one = 1;
        if (write(resolver->answer_fd, &one, sizeof one) < 0)
            continue; /* the counter is full: the loop is awake already */
    }
    pthread_mutex_unlock(&resolver->lock);
    return NULL;
}

static void on_answer(evutil_socket_t fd, short what, void *context)
{
    struct resolver *resolver = context;
    uint64_t count;
    (void)what;
    if (read((int)fd, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&resolver->lock);
    struct resolve *answered = resolver->answered;
    resolver->answered = NULL;
    pthread_mutex_unlock(&resolver->lock);
    while (answered) {
        struct resolve *resolve = answered;
        answered = resolve->next;
        struct addrinfo *addresses = resolve->addresses;
        resolve->addresses = NULL;
        if (resolve->done)
            resolve->done(resolve->context, resolve->error, addresses);
        else if (addresses)
            freeaddrinfo(addresses);
        resolve_free(resolve);
    }
}

struct resolver *resolver_new(struct worker *worker)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (!resolver)
        return NULL;
    resolver->worker = worker;
    resolver->answer_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->wake, NULL);
    if (resolver->answer_fd < 0)
        goto fail;
    resolver->event = event_new(worker->base, resolver->answer_fd, EV_READ | EV_PERSIST, on_answer,
                                resolver);
    if (!resolver->event || event_add(resolver->event, NULL) < 0)
        goto fail;
    int error = pthread_create(&resolver->thread, NULL, run, resolver);
    if (error) {
        errno = error;
        goto fail;
    }
    return resolver;
fail:
    if (resolver->event)
        event_free(resolver->event);
    if (resolver->answer_fd >= 0)
        close(resolver->answer_fd);
    free(resolver);
    return NULL;
}

void resolver_free(struct resolver *resolver)
{
    struct timespec until;
    pthread_mutex_lock(&resolver->lock);
    resolver->stop = true;
    pthread_cond_signal(&resolver->wake);
    pthread_mutex_unlock(&resolver->lock);
    event_free(resolver->event);
    resolver->event = NULL;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    if (pthread_timedjoin_np(resolver->thread, NULL, &until) != 0) {
        pthread_detach(resolver->thread); /* it hangs in a look-up: the process ends without it */
        return;
    }
    while (resolver->asked_first)
        resolve_free(take_asked(resolver));
    while (resolver->answered) {
        struct resolve *resolve = resolver->answered;
        resolver->answered = resolve->next;
        resolve_free(resolve);
    }
    close(resolver->answer_fd);
    pthread_mutex_destroy(&resolver->lock);
    pthread_cond_destroy(&resolver->wake);
    free(resolver);
}

struct resolve *resolver_start(struct resolver *resolver, const char *host, uint16_t port,
                               resolve_done *done, void *context)
{
    struct resolve *resolve = calloc(1, sizeof *resolve);
    if (!resolve)
        return NULL;
    resolve->done = done;
    resolve->context = context;
    snprintf(resolve->host, sizeof resolve->host, "%s", host);
    snprintf(resolve->port, sizeof resolve->port, "%u", (unsigned)port);
    pthread_mutex_lock(&resolver->lock);
    bool full = resolver->asked_count == RESOLVER_QUEUE_MAX;
    if (!full) {
        if (resolver->asked_last)
            resolver->asked_last->next = resolve;
        else
            resolver->asked_first = resolve;
        resolver->asked_last = resolve;
        resolver->asked_count++;
        pthread_cond_signal(&resolver->wake);
    }
    pthread_mutex_unlock(&resolver->lock);
    if (!full)
        return resolve;
    free(resolve);
    return NULL;
}

void resolver_cancel(struct resolver *resolver, struct resolve *resolve)
{
    pthread_mutex_lock(&resolver->lock);
    resolve->done = NULL; /* the thread reads it under the lock; the loop is us */
    pthread_mutex_unlock(&resolver->lock);
}

struct addrinfo *resolver_numeric(const char *host, uint16_t port)
{
    char digits[8];
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *addresses;
    snprintf(digits, sizeof digits, "%u", (unsigned)port);
    return getaddrinfo(host, digits, &hints, &addresses) == 0 ? addresses : NULL;
}
