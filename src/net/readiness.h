/*
 * Which sockets are readable or writable: one epoll set for all connections of a worker, itself one
 * event of libevent's loop.
 *
 * libevent keeps 128 bytes for each wish of each connection, and more for its descriptor.  Here a
 * connection costs what it has to remember itself.
 *
 * Level-triggered.  An error or hang-up counts as readable and as writable, as far as that is
 * wanted; a socket of which nothing is wanted is not in the set, so it cannot wake anybody.
 */
#ifndef WSKEEP_NET_READINESS_H
#define WSKEEP_NET_READINESS_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

enum {
    READINESS_READ = EPOLLIN,
    READINESS_WRITE = EPOLLOUT,
    READINESS_CALLS_MAX = 8,   /* different ones: whose sockets there are */
    READINESS_BATCH_MAX = 256, /* of one poll */
    READINESS_POLLS_MAX = 16   /* in one callback: timers and other descriptors want theirs */
};

struct budget;
struct watched;

struct watched_calls {
    void (*on_read)(struct watched *watched);
    void (*on_write)(struct watched *watched); /* once for each time that it was wanted */
};

/* A socket, as a part of what it belongs to. */
struct watched {
    struct readiness *readiness;
    int fd;         /* -1: none */
    uint8_t calls;  /* index of readiness->calls */
    uint8_t wanted; /* READINESS_READ, READINESS_WRITE */
    uint8_t told;   /* the same, as the kernel knows it */
};

/* on_read shall be called although the socket may have nothing more to say. */
struct readiness_again {
    struct watched *watched; /* NULL: in no list */
    LIST_ENTRY(readiness_again) entry;
};

LIST_HEAD(readiness_again_list, readiness_again);

struct readiness {
    int fd; /* -1: not begun */
    struct event event;
    const struct watched_calls *calls[READINESS_CALLS_MAX];
    unsigned calls_count;
    struct readiness_again_list again;
    struct watched *current; /* whose callback runs; NULL: it has left meanwhile */
    int batch_at;
    int batch_count;
    bool has_more;         /* the last poll was full */
    uint64_t event_count;  /* ever */
    struct budget *budget; /* what waits to be written to the sockets is counted there; NULL:
                              nowhere */
    struct epoll_event batch[READINESS_BATCH_MAX];
};

/* False with errno: no descriptor, or no memory. */
bool readiness_init(struct readiness *readiness, struct event_base *base);

/* Nothing is watched any more.  It may be cleared twice, and without having begun if fd is -1. */
void readiness_clear(struct readiness *readiness);

/* Without libevent's loop: wait for these sockets alone, so long at most, and call what is to be
 * called.  False: there was nothing. */
bool readiness_wait(struct readiness *readiness, int timeout_ms);

/* Watch fd; nothing of it is wanted yet.  calls: one of READINESS_CALLS_MAX that live on. */
void readiness_enter(struct readiness *readiness, struct watched *watched, int fd,
                     const struct watched_calls *calls);

/*
 * The socket is left alone from now on, also by events that were already polled.  In a callback of
 * any watched socket, too: its own or another's.  fd stays open; -1 is allowed.
 */
void readiness_leave(struct watched *watched);

/* False when the kernel has no memory for more than was wanted before: nothing has changed then. */
bool readiness_want(struct watched *watched, uint8_t wanted);

/* Call on_read in the next turn, which does not wait, if reading is wanted then. */
void readiness_report_again(struct watched *watched, struct readiness_again *again);
void readiness_not_again(struct readiness_again *again);

#endif
