/*
 * What the kernel's messages about addresses and routes change: rtnetlink(7) as bytes.
 *
 * A change is a default route or a source address that came or went: what sends this machine's
 * traffic another way.  The loopback interface, link-local addresses (each container that starts
 * brings one), addresses that cannot be used yet or any more, and what is only told again (a
 * renewed lease, a router advertisement) are none.
 */
#ifndef WSKEEP_NET_NETWORK_KNOWN_H
#define WSKEEP_NET_NETWORK_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NETWORK_KNOWN_MAX = 256 };

/* Something that is there.  Two numbers instead of all that the kernel says about it. */
struct network_thing {
    uint64_t place; /* what takes its place has the same: family, table and metric of a route */
    uint64_t all;
};

/* What is there, as far as we were told.  When it is full the oldest is forgotten: hearing of it
 * again counts as a change, which costs a Ping. */
struct network_known {
    struct network_thing things[NETWORK_KNOWN_MAX];
    unsigned count;
    unsigned next; /* the oldest, when it is full */
};

/* Take in the kernel's messages.  True: one of them was a change. */
bool network_known_read(struct network_known *known, const uint8_t *data, size_t bytes);

#endif
