/* getaddrinfo() in a thread. */
#include "net/resolver.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

struct resolver_request {
    char *host;
    char port[8];
    int error;
    struct addrinfo *addresses;
    resolver_answer *answer; /* NULL: cancelled; only the worker's thread looks at it */
    void *argument;
    STAILQ_ENTRY(resolver_request) entry;
};

STAILQ_HEAD(request_list, resolver_request);

/* What both threads use.  The last of the two frees it, so a lookup may outlive the worker. */
struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t asked;
    struct request_list questions;
    struct request_list answers;
    int answer_fd;   /* eventfd: there are answers */
    bool is_looking; /* the thread is inside getaddrinfo() */
    bool is_ending;
    unsigned user_count;
};

struct resolver {
    struct shared *shared;
    struct event event;
    pthread_t thread;
    bool has_thread;
    unsigned open_count; /* asked and not answered, cancelled ones too */
};

static void request_free(struct resolver_request *request)
{
    if (request->addresses)
        freeaddrinfo(request->addresses);
    free(request->host);
    free(request);
}

static void request_list_free(struct request_list *list)
{
    while (!STAILQ_EMPTY(list)) {
        struct resolver_request *request = STAILQ_FIRST(list);
        STAILQ_REMOVE_HEAD(list, entry);
        request_free(request);
    }
}

static void shared_release(struct shared *shared)
{
    pthread_mutex_lock(&shared->mutex);
    bool is_last = --shared->user_count == 0;
    pthread_mutex_unlock(&shared->mutex);
    if (!is_last)
        return;
    request_list_free(&shared->questions);
    request_list_free(&shared->answers);
    close(shared->answer_fd);
    pthread_cond_destroy(&shared->asked);
    pthread_mutex_destroy(&shared->mutex);
    free(shared);
}

/* ---- the thread --------------------------------------------------------------------------- */

static void look_up(struct resolver_request *request)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    request->error = getaddrinfo(request->host, request->port, &hints, &request->addresses);
    if (request->error)
        request->addresses = NULL;
}

static void *resolver_thread(void *argument)
{
    struct shared *shared = argument;
    const uint64_t one = 1;
    pthread_mutex_lock(&shared->mutex);
    while (!shared->is_ending) {
        struct resolver_request *request = STAILQ_FIRST(&shared->questions);
        if (!request) {
            pthread_cond_wait(&shared->asked, &shared->mutex);
            continue;
        }
        STAILQ_REMOVE_HEAD(&shared->questions, entry);
        shared->is_looking = true;
        pthread_mutex_unlock(&shared->mutex);
        look_up(request);
        pthread_mutex_lock(&shared->mutex);
        shared->is_looking = false;
        STAILQ_INSERT_TAIL(&shared->answers, request, entry);
        while (write(shared->answer_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ; /* EAGAIN: it is readable already */
    }
    pthread_mutex_unlock(&shared->mutex);
    shared_release(shared);
    return NULL;
}

/* Signals are for the worker: this thread takes none. */
static bool thread_begin(struct resolver *resolver)
{
    sigset_t all;
    sigset_t before;
    if (resolver->has_thread)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    resolver->shared->user_count++; /* nobody else is there to see it */
    resolver->has_thread =
        pthread_create(&resolver->thread, NULL, resolver_thread, resolver->shared) == 0;
    if (!resolver->has_thread)
        resolver->shared->user_count--;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return resolver->has_thread;
}

/* ---- the worker's side -------------------------------------------------------------------- */

static void on_answers(evutil_socket_t fd, short what, void *argument)
{
    struct resolver *resolver = argument;
    struct shared *shared = resolver->shared;
    struct request_list answers = STAILQ_HEAD_INITIALIZER(answers);
    uint64_t count;
    (void)what;
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&shared->mutex);
    STAILQ_CONCAT(&answers, &shared->answers);
    pthread_mutex_unlock(&shared->mutex);
    while (!STAILQ_EMPTY(&answers)) {
        struct resolver_request *request = STAILQ_FIRST(&answers);
        STAILQ_REMOVE_HEAD(&answers, entry);
        resolver->open_count--;
        struct addrinfo *addresses = request->addresses;
        if (request->answer) {
            request->addresses = NULL;
            request->answer(request->argument, request->error, addresses);
        }
        request_free(request);
    }
}

struct resolver *resolver_new(struct event_base *base)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    struct shared *shared = calloc(1, sizeof(*shared));
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!resolver || !shared || fd < 0)
        goto fail;
    shared->answer_fd = fd;
    shared->user_count = 1;
    STAILQ_INIT(&shared->questions);
    STAILQ_INIT(&shared->answers);
    pthread_mutex_init(&shared->mutex, NULL);
    pthread_cond_init(&shared->asked, NULL);
    resolver->shared = shared;
    event_assign(&resolver->event, base, fd, EV_READ | EV_PERSIST, on_answers, resolver);
    if (event_add(&resolver->event, NULL) == 0)
        return resolver;
    resolver_free(resolver);
    return NULL;
fail:
    if (fd >= 0)
        close(fd);
    free(resolver);
    free(shared);
    return NULL;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    struct shared *shared = resolver->shared;
    event_del(&resolver->event);
    pthread_mutex_lock(&shared->mutex);
    shared->is_ending = true;
    bool is_looking = shared->is_looking;
    pthread_cond_signal(&shared->asked);
    pthread_mutex_unlock(&shared->mutex);
    if (resolver->has_thread && is_looking)
        pthread_detach(resolver->thread); /* a lookup may take minutes */
    else if (resolver->has_thread)
        pthread_join(resolver->thread, NULL);
    shared_release(shared);
    free(resolver);
}

struct resolver_request *resolver_ask(struct resolver *resolver, const char *host, uint16_t port,
                                      resolver_answer *answer, void *argument)
{
    struct shared *shared = resolver->shared;
    if (resolver->open_count >= RESOLVER_QUEUE_COUNT_MAX || !thread_begin(resolver))
        return NULL;
    struct resolver_request *request = calloc(1, sizeof(*request));
    char *copy = strdup(host);
    if (!request || !copy) {
        free(request);
        free(copy);
        return NULL;
    }
    request->host = copy;
    snprintf(request->port, sizeof(request->port), "%u", (unsigned)port);
    request->answer = answer;
    request->argument = argument;
    resolver->open_count++;
    pthread_mutex_lock(&shared->mutex);
    STAILQ_INSERT_TAIL(&shared->questions, request, entry);
    pthread_cond_signal(&shared->asked);
    pthread_mutex_unlock(&shared->mutex);
    return request;
}

void resolver_cancel(struct resolver_request *request)
{
    request->answer = NULL;
}

int resolver_numeric(const char *host, uint16_t port, struct addrinfo **addresses)
{
    char text[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
    snprintf(text, sizeof(text), "%u", (unsigned)port);
    return getaddrinfo(host, text, &hints, addresses);
}
