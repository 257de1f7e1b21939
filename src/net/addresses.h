/*
 * The addresses of one name, in the order in which they are to be tried.  RFC 8305 section 4.
 *
 * Shared by all who asked, on all workers: never changed once made, counted references.
 */
#ifndef WSKEEP_NET_ADDRESSES_H
#define WSKEEP_NET_ADDRESSES_H

#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { ADDRESS_COUNT_MAX = 32 }; /* of one name: more are not tried */

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } socket;
    socklen_t bytes;
};

struct addresses {
    atomic_uint reference_count;
    size_t count; /* at least 1 */
    struct address items[];
};

/*
 * Copy what getaddrinfo() gave: families in turn, beginning with the one that it put first.
 * NULL when there is no memory, or no address of a family that we know (*error: EAI_MEMORY,
 * EAI_NONAME).
 */
struct addresses *addresses_new(const struct addrinfo *list, int *error);

struct addresses *addresses_hold(struct addresses *addresses);
void addresses_release(struct addresses *addresses); /* NULL is allowed */

bool address_is_same(const struct address *one, const struct address *other);

/* The place of address among them; their count when it is not there. */
size_t addresses_find(const struct addresses *addresses, const struct address *address);

#endif
