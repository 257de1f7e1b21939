/*
 * The addresses of a link's names that worked last: tried when a name cannot be looked up, and
 * the one that connected is tried first the next time.  One table for all workers: what one has
 * found helps all of them.
 */
#ifndef WSKEEP_NET_LAST_GOOD_H
#define WSKEEP_NET_LAST_GOOD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/addresses.h"

enum { LAST_GOOD_COUNT_MAX = 17 }; /* as many urls as a link may have, and a proxy */

struct last_good_name {
    char *host;
    uint16_t port;
    struct addresses *addresses; /* held: the whole answer that led to a connection */
    struct address address;      /* the one of them that connected */
};

struct last_good {
    pthread_mutex_t mutex; /* taken once or twice in an attempt */
    struct last_good_name names[LAST_GOOD_COUNT_MAX];
    unsigned count;
    unsigned next; /* the oldest, replaced when the table is full */
};

void last_good_init(struct last_good *good);
void last_good_clear(struct last_good *good);

/*
 * What worked for that name.  False: nothing did.
 *
 * addresses  out, held for the caller: the whole answer; NULL: not wanted
 * address    out: the one of them that connected; NULL: not wanted
 */
bool last_good_find(struct last_good *good, const char *host, uint16_t port,
                    struct addresses **addresses, struct address *address);

/* addresses->items[index] connected. */
void last_good_remember(struct last_good *good, const char *host, uint16_t port,
                        struct addresses *addresses, size_t index);

#endif
