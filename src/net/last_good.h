/*
 * The addresses of a link's names that worked last: tried when a name cannot be looked up, and
 * the one that connected is tried first the next time.
 */
#ifndef WSKEEP_NET_LAST_GOOD_H
#define WSKEEP_NET_LAST_GOOD_H

#include <stdint.h>

#include "net/addresses.h"

enum { LAST_GOOD_COUNT_MAX = 17 }; /* as many urls as a link may have, and a proxy */

struct last_good_name {
    char *host;
    uint16_t port;
    struct addresses *addresses; /* held: the whole answer that led to a connection */
    struct address address;      /* the one of them that connected */
};

/* All zero: nothing worked yet. */
struct last_good {
    struct last_good_name names[LAST_GOOD_COUNT_MAX];
    unsigned count;
    unsigned next; /* the oldest, replaced when the table is full */
};

/* What worked for that name, or NULL. */
const struct last_good_name *last_good_find(const struct last_good *good, const char *host,
                                            uint16_t port);

/* addresses->items[index] connected. */
void last_good_remember(struct last_good *good, const char *host, uint16_t port,
                        struct addresses *addresses, size_t index);

void last_good_clear(struct last_good *good);

#endif
