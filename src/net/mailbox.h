/*
 * What a worker is told by another thread.  A lock is taken for a client that comes and for an
 * order; never for a message.
 */
#ifndef WSKEEP_NET_MAILBOX_H
#define WSKEEP_NET_MAILBOX_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/arrival.h"

enum mailbox_order {
    MAILBOX_NETWORK = 1, /* the network has changed */
    MAILBOX_MEMORY = 2,  /* memory_bytes_max is another, or the same anew */
    MAILBOX_REMOVED = 4, /* there are links that were removed */
    MAILBOX_STOP = 8,    /* shut down every session, and end with the last of them */
    MAILBOX_END = 16     /* end at once */
};

/* What was in it. */
struct mail {
    struct arrival_queue arrivals; /* from the heap: arrival_clear() and free() */
    unsigned orders;               /* given after them */
    uint64_t memory_bytes_max;
};

struct mailbox {
    pthread_mutex_t mutex; /* of mail */
    struct mail mail;
    atomic_bool is_poked; /* its thread has not woken yet: once is enough */
    int fd;               /* eventfd */
    struct event event;
    void (*on_poke)(void *argument);
    void *argument;
};

/* False with errno.  on_poke: on the thread of base, once for any number of pokes. */
bool mailbox_init(struct mailbox *mailbox, struct event_base *base, void (*on_poke)(void *argument),
                  void *argument);

/* What is still in it is dropped.  Nobody pokes any more. */
void mailbox_clear(struct mailbox *mailbox);

/* ---- for any thread ------------------------------------------------------------------------ */

/* Its thread wakes, whether there is mail or not. */
void mailbox_poke(struct mailbox *mailbox);

/* Takes the arrival over: it is from the heap. */
void mailbox_put_arrival(struct mailbox *mailbox, struct arrival *arrival);

/* memory_bytes_max: with MAILBOX_MEMORY. */
void mailbox_put_orders(struct mailbox *mailbox, unsigned orders, uint64_t memory_bytes_max);

/* ---- for its own --------------------------------------------------------------------------- */

void mailbox_take(struct mailbox *mailbox, struct mail *mail);

#endif
