/*
 * Files with secrets, read for every attempt in a thread of their own: nothing on a worker's thread
 * may block, and a file may lie on a network that does not answer.
 *
 * A thread that hangs in one file is left to itself after SECRETS_HANG_MS and another goes on with
 * the rest.  So that one dead file does not use up all threads, it is not opened again while one is
 * still in it.
 */
#ifndef WSKEEP_NET_SECRETS_H
#define WSKEEP_NET_SECRETS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "config/config.h"

enum {
    SECRETS_QUEUE_COUNT_MAX = 4096, /* asked and not answered */
    SECRETS_FILE_COUNT_MAX = CONFIG_HEADER_FILE_COUNT_MAX + CONFIG_TEMPLATE_FILE_COUNT_MAX,
    SECRETS_FILE_BYTES_MAX = 64 * 1024,
    SECRETS_HANG_MS = 2000,
    SECRETS_LOST_COUNT_MAX = 8, /* threads that hang */
    SECRETS_WHY_BYTES = 256
};

struct secrets;
struct secrets_request;

/* What a file looked like when it was read.  With another mark it has changed. */
struct secrets_mark {
    dev_t device;
    ino_t number;
    off_t bytes;
    struct timespec modified;
    struct timespec changed; /* owner and mode, too */
    int error;               /* errno; then the rest is zero */
};

struct secrets_file {
    char *path;
    struct secrets_mark mark;
    char *text; /* terminated, without the newline at its end; NULL: not read, and why says so */
    size_t text_bytes;
    char why[SECRETS_WHY_BYTES]; /* "cannot be read: Permission denied"; "": memory ran out */
};

/* The answer, on the worker's thread.  The files are wiped and freed when it returns. */
typedef void secrets_answer(void *argument, const struct secrets_file *files, size_t file_count);

/* NULL when there are no descriptors or memory.  The thread begins with the first question. */
struct secrets *secrets_new(struct event_base *base);

/* Ends the thread; one that hangs ends by itself, and touches nothing of ours.  NULL is allowed. */
void secrets_free(struct secrets *secrets);

/*
 * Read files, or only look at them for their marks.  NULL when it cannot be asked: queue full, no
 * memory, no thread.  Otherwise answer is called once, later, unless it is cancelled before.
 */
struct secrets_request *secrets_ask(struct secrets *secrets, const char *const *paths,
                                    size_t path_count, bool only_looks, secrets_answer *answer,
                                    void *argument);

/* Its answer is not wanted any more: the request belongs to the thread alone. */
void secrets_cancel(struct secrets *secrets, struct secrets_request *request);

/* The file that keeps a request from its answer: valid until it is cancelled. */
const char *secrets_waits_for(struct secrets *secrets, struct secrets_request *request);

bool secrets_mark_is(const struct secrets_mark *mark, const struct secrets_mark *other);

#endif
