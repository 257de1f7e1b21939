/* Files with secrets, in a thread. */
#include "net/secrets.h"

#include <assert.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_file.h"

struct secrets_request {
    struct secrets_file *files;
    size_t file_count;
    size_t file_index; /* the thread is at this one */
    bool only_looks;
    bool is_queued;
    secrets_answer *answer; /* NULL: cancelled; only the worker's thread looks at it */
    void *argument;
    STAILQ_ENTRY(secrets_request) entry;
};

STAILQ_HEAD(request_list, secrets_request);

/* One thread.  It frees this itself when it ends. */
struct reader {
    struct shared *shared;
    const char *path;  /* of the file it is in; NULL: in none */
    uint64_t since_ms; /* when it went there */
    bool is_lost;      /* it hangs: another one goes on, and it ends when it comes back */
    LIST_ENTRY(reader) entry;
};

LIST_HEAD(reader_list, reader);

/* What the threads use, under the mutex.  The last of them frees it, so one that hangs may outlive
 * the worker. */
struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t asked;
    struct request_list questions;
    struct request_list answers;
    struct reader *reader; /* the one that takes questions */
    struct reader_list lost;
    unsigned lost_count;
    int answer_fd; /* eventfd: there are answers */
    bool is_ending;
    unsigned user_count;
};

struct secrets {
    struct shared *shared;
    struct event event;
    struct event hang_event;
    pthread_t thread; /* of shared->reader */
    unsigned open_count;
};

static uint64_t clock_ms(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void file_clear(struct secrets_file *file)
{
    if (file->text)
        explicit_bzero(file->text, file->text_bytes);
    free(file->text);
    free(file->path);
}

static void request_free(struct secrets_request *request)
{
    for (size_t i = 0; i < request->file_count; i++)
        file_clear(&request->files[i]);
    free(request->files);
    free(request);
}

static void request_list_free(struct request_list *list)
{
    while (!STAILQ_EMPTY(list)) {
        struct secrets_request *request = STAILQ_FIRST(list);
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

static void put_answer(struct shared *shared, struct secrets_request *request)
{
    const uint64_t one = 1;
    STAILQ_INSERT_TAIL(&shared->answers, request, entry);
    while (write(shared->answer_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ; /* EAGAIN: it is readable already */
}

/* ---- the thread --------------------------------------------------------------------------- */

static void mark_take(const char *path, struct secrets_mark *mark)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        *mark = (struct secrets_mark){.error = errno};
        return;
    }
    *mark = (struct secrets_mark){.device = status.st_dev,
                                  .number = status.st_ino,
                                  .bytes = status.st_size,
                                  .modified = status.st_mtim,
                                  .changed = status.st_ctim};
}

/* The mark comes first: what changes while it is read is seen as a change later. */
static void file_read(struct secrets_file *file, bool only_looks)
{
    char why[CONFIG_FILE_WHY_BYTES];
    mark_take(file->path, &file->mark);
    if (only_looks)
        return;
    file->text = config_file_read(file->path, SECRETS_FILE_BYTES_MAX, &file->text_bytes, why);
    if (!file->text) {
        snprintf(file->why, sizeof(file->why), "%s", why);
        return;
    }
    if (file->text_bytes > 0 && file->text[file->text_bytes - 1] == '\n')
        file->text[--file->text_bytes] = '\0'; /* editors end a file with one */
    if (file->text_bytes > 0 && file->text[file->text_bytes - 1] == '\r')
        file->text[--file->text_bytes] = '\0';
}

static void request_run(struct reader *reader, struct secrets_request *request)
{
    for (size_t i = 0; i < request->file_count; i++) {
        request->file_index = i;
        reader->path = request->files[i].path;
        reader->since_ms = clock_ms();
        pthread_mutex_unlock(&reader->shared->mutex);
        file_read(&request->files[i], request->only_looks);
        pthread_mutex_lock(&reader->shared->mutex);
    }
    reader->path = NULL;
}

static void *reader_thread(void *argument)
{
    struct reader *reader = argument;
    struct shared *shared = reader->shared;
    pthread_mutex_lock(&shared->mutex);
    while (!shared->is_ending && !reader->is_lost) {
        struct secrets_request *request = STAILQ_FIRST(&shared->questions);
        if (!request) {
            pthread_cond_wait(&shared->asked, &shared->mutex);
            continue;
        }
        STAILQ_REMOVE_HEAD(&shared->questions, entry);
        request->is_queued = false;
        request_run(reader, request);
        put_answer(shared, request);
    }
    if (reader->is_lost) {
        LIST_REMOVE(reader, entry);
        shared->lost_count--;
    }
    pthread_mutex_unlock(&shared->mutex);
    shared_release(shared);
    free(reader);
    return NULL;
}

/* Signals are for the worker: this thread takes none.  Under the mutex. */
static bool thread_begin(struct secrets *secrets)
{
    struct shared *shared = secrets->shared;
    sigset_t all;
    sigset_t before;
    if (shared->reader)
        return true;
    struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return false;
    reader->shared = shared;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool has_begun = pthread_create(&secrets->thread, NULL, reader_thread, reader) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!has_begun) {
        free(reader);
        return false;
    }
    shared->user_count++;
    shared->reader = reader;
    return true;
}

/* Another thread hangs in it.  Under the mutex. */
static bool file_hangs(const struct shared *shared, const struct secrets_file *file)
{
    const struct reader *reader;
    LIST_FOREACH(reader, &shared->lost, entry)
    if (reader->path && strcmp(reader->path, file->path) == 0)
        return true;
    return false;
}

/* One of its files is known to hang: it is answered without a thread.  Under the mutex. */
static bool request_hangs(const struct shared *shared, struct secrets_request *request)
{
    const char *hung = NULL;
    for (size_t i = 0; i < request->file_count && !hung; i++)
        if (file_hangs(shared, &request->files[i]))
            hung = request->files[i].path;
    for (size_t i = 0; i < request->file_count; i++) {
        struct secrets_file *file = &request->files[i];
        assert(file->path);
        file->mark.error = EINPROGRESS;
        if (hung && strcmp(file->path, hung) == 0)
            snprintf(file->why, sizeof(file->why), "does not answer: reading it hangs");
        else if (hung)
            snprintf(file->why, sizeof(file->why), "was not read: %.200s hangs", hung);
    }
    return hung != NULL;
}

/* What waits for a file that is now known to hang is answered, and no other thread opens it.  Under
 * the mutex. */
static void answer_what_hangs(struct shared *shared)
{
    struct request_list questions = STAILQ_HEAD_INITIALIZER(questions);
    STAILQ_CONCAT(&questions, &shared->questions);
    while (!STAILQ_EMPTY(&questions)) {
        struct secrets_request *request = STAILQ_FIRST(&questions);
        STAILQ_REMOVE_HEAD(&questions, entry);
        request->is_queued = !request_hangs(shared, request);
        if (request->is_queued)
            STAILQ_INSERT_TAIL(&shared->questions, request, entry);
        else
            put_answer(shared, request);
    }
}

/* A thread that hangs is left to itself, as long as there are not too many.  Under the mutex. */
static void look_for_hang(struct secrets *secrets)
{
    struct shared *shared = secrets->shared;
    struct reader *reader = shared->reader;
    if (!reader || !reader->path || clock_ms() - reader->since_ms < SECRETS_HANG_MS ||
        shared->lost_count == SECRETS_LOST_COUNT_MAX)
        return;
    reader->is_lost = true;
    LIST_INSERT_HEAD(&shared->lost, reader, entry);
    shared->lost_count++;
    shared->reader = NULL;
    pthread_detach(secrets->thread);
    answer_what_hangs(shared);
    if (!STAILQ_EMPTY(&shared->questions))
        (void)thread_begin(secrets); /* else with the next question */
}

/* ---- the worker's side -------------------------------------------------------------------- */

static void on_answers(evutil_socket_t fd, short what, void *argument)
{
    struct secrets *secrets = argument;
    struct shared *shared = secrets->shared;
    struct request_list answers = STAILQ_HEAD_INITIALIZER(answers);
    uint64_t count;
    (void)what;
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&shared->mutex);
    STAILQ_CONCAT(&answers, &shared->answers);
    pthread_mutex_unlock(&shared->mutex);
    while (!STAILQ_EMPTY(&answers)) {
        struct secrets_request *request = STAILQ_FIRST(&answers);
        STAILQ_REMOVE_HEAD(&answers, entry);
        secrets->open_count--;
        if (request->answer)
            request->answer(request->argument, request->files, request->file_count);
        request_free(request);
    }
}

static void watch_for_hang(struct secrets *secrets)
{
    const struct timeval soon = {.tv_sec = 1};
    if (secrets->open_count > 0 && !event_pending(&secrets->hang_event, EV_TIMEOUT, NULL))
        event_add(&secrets->hang_event, &soon);
}

static void on_hang_timer(evutil_socket_t fd, short what, void *argument)
{
    struct secrets *secrets = argument;
    (void)fd;
    (void)what;
    pthread_mutex_lock(&secrets->shared->mutex);
    look_for_hang(secrets);
    pthread_mutex_unlock(&secrets->shared->mutex);
    watch_for_hang(secrets);
}

struct secrets *secrets_new(struct event_base *base)
{
    struct secrets *secrets = calloc(1, sizeof(*secrets));
    struct shared *shared = calloc(1, sizeof(*shared));
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!secrets || !shared || fd < 0)
        goto fail;
    shared->answer_fd = fd;
    shared->user_count = 1;
    STAILQ_INIT(&shared->questions);
    STAILQ_INIT(&shared->answers);
    LIST_INIT(&shared->lost);
    pthread_mutex_init(&shared->mutex, NULL);
    pthread_cond_init(&shared->asked, NULL);
    secrets->shared = shared;
    event_assign(&secrets->event, base, fd, EV_READ | EV_PERSIST, on_answers, secrets);
    evtimer_assign(&secrets->hang_event, base, on_hang_timer, secrets);
    if (event_add(&secrets->event, NULL) == 0)
        return secrets;
    secrets_free(secrets);
    return NULL;
fail:
    if (fd >= 0)
        close(fd);
    free(secrets);
    free(shared);
    return NULL;
}

void secrets_free(struct secrets *secrets)
{
    if (!secrets)
        return;
    struct shared *shared = secrets->shared;
    event_del(&secrets->event);
    event_del(&secrets->hang_event);
    pthread_mutex_lock(&shared->mutex);
    shared->is_ending = true;
    bool has_thread = shared->reader != NULL;
    bool is_busy = has_thread && shared->reader->path;
    pthread_cond_signal(&shared->asked);
    pthread_mutex_unlock(&shared->mutex);
    if (has_thread && is_busy)
        pthread_detach(secrets->thread); /* a file may take for ever */
    else if (has_thread)
        pthread_join(secrets->thread, NULL);
    shared_release(shared);
    free(secrets);
}

static struct secrets_request *request_new(const char *const *paths, size_t path_count)
{
    struct secrets_request *request = calloc(1, sizeof(*request));
    struct secrets_file *files = calloc(path_count, sizeof(*files));
    if (!request || !files) {
        free(request);
        free(files);
        return NULL;
    }
    request->files = files;
    request->file_count = path_count;
    for (size_t i = 0; i < path_count; i++) {
        files[i].path = strdup(paths[i]);
        if (!files[i].path) {
            request_free(request);
            return NULL;
        }
    }
    return request;
}

struct secrets_request *secrets_ask(struct secrets *secrets, const char *const *paths,
                                    size_t path_count, bool only_looks, secrets_answer *on_answer,
                                    void *argument)
{
    struct shared *shared = secrets->shared;
    if (secrets->open_count >= SECRETS_QUEUE_COUNT_MAX)
        return NULL;
    struct secrets_request *request = request_new(paths, path_count);
    if (!request)
        return NULL;
    request->only_looks = only_looks;
    request->answer = on_answer;
    request->argument = argument;
    pthread_mutex_lock(&shared->mutex);
    look_for_hang(secrets);
    bool is_taken = true;
    if (request_hangs(shared, request)) {
        put_answer(shared, request);
    } else if ((is_taken = thread_begin(secrets))) {
        request->is_queued = true;
        STAILQ_INSERT_TAIL(&shared->questions, request, entry);
        pthread_cond_signal(&shared->asked);
    }
    pthread_mutex_unlock(&shared->mutex);
    if (!is_taken) {
        request_free(request);
        return NULL;
    }
    secrets->open_count++;
    watch_for_hang(secrets);
    return request;
}

void secrets_cancel(struct secrets *secrets, struct secrets_request *request)
{
    struct shared *shared = secrets->shared;
    pthread_mutex_lock(&shared->mutex);
    bool is_ours = request->is_queued;
    if (is_ours)
        STAILQ_REMOVE(&shared->questions, request, secrets_request, entry);
    pthread_mutex_unlock(&shared->mutex);
    request->answer = NULL;
    if (!is_ours)
        return;
    secrets->open_count--;
    request_free(request);
}

const char *secrets_waits_for(struct secrets *secrets, struct secrets_request *request)
{
    pthread_mutex_lock(&secrets->shared->mutex);
    const char *path = request->files[request->file_index].path;
    pthread_mutex_unlock(&secrets->shared->mutex);
    return path;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool secrets_mark_is(const struct secrets_mark *mark, const struct secrets_mark *other)
{
    return mark->device == other->device && mark->number == other->number &&
           mark->bytes == other->bytes && same_time(&mark->modified, &other->modified) &&
           same_time(&mark->changed, &other->changed) && mark->error == other->error;
}
