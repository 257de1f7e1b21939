/*
 * Changes of the network, as the kernel tells them.
 *
 * Links going up and down are not asked for: what they change shows as routes and addresses.  Only
 * `ip link set down` takes IPv4 routes away without a word; then the heartbeat notices.  The main
 * thread hears of them, for all workers.
 */
#ifndef WSKEEP_NET_NETWORK_H
#define WSKEEP_NET_NETWORK_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "net/network_known.h"

struct worker;

enum { NETWORK_READS_MAX = 64 }; /* in one callback */

struct network {
    struct worker *worker;
    int fd; /* -1: we are not told */
    struct event event;
    struct network_known known;
};

/* Listen.  Where that is not allowed, it goes on without. */
void network_init(struct network *network, struct worker *worker);
void network_clear(struct network *network);

#endif
