/* The addresses of one name. */
#include "net/addresses.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool is_known(const struct addrinfo *info)
{
    return (info->ai_family == AF_INET && info->ai_addrlen == sizeof(struct sockaddr_in)) ||
           (info->ai_family == AF_INET6 && info->ai_addrlen == sizeof(struct sockaddr_in6));
}

/* The next of that family from info on, which counts; NULL when there is none. */
static const struct addrinfo *next_of(const struct addrinfo *info, int family)
{
    while (info && !(is_known(info) && info->ai_family == family))
        info = info->ai_next;
    return info;
}

struct addresses *addresses_new(const struct addrinfo *list, int *error)
{
    size_t count = 0;
    int family = AF_UNSPEC;
    for (const struct addrinfo *info = list; info; info = info->ai_next) {
        if (!is_known(info) || count == ADDRESS_COUNT_MAX)
            continue;
        if (count++ == 0)
            family = info->ai_family;
    }
    *error = EAI_NONAME;
    if (count == 0)
        return NULL;
    struct addresses *addresses = malloc(sizeof(*addresses) + count * sizeof(struct address));
    *error = EAI_MEMORY;
    if (!addresses)
        return NULL;
    *error = 0;
    atomic_init(&addresses->reference_count, 1);
    addresses->count = count;
    const struct addrinfo *next[2] = {next_of(list, family),
                                      next_of(list, family == AF_INET ? AF_INET6 : AF_INET)};
    for (size_t i = 0, turn = 0; i < count; turn++) {
        const struct addrinfo *info = next[turn % 2];
        if (!info)
            continue; /* the other family has the rest */
        memcpy(&addresses->items[i].socket, info->ai_addr, info->ai_addrlen);
        addresses->items[i++].bytes = info->ai_addrlen;
        next[turn % 2] = next_of(info->ai_next, info->ai_family);
    }
    return addresses;
}

struct addresses *addresses_hold(struct addresses *addresses)
{
    unsigned before =
        atomic_fetch_add_explicit(&addresses->reference_count, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return addresses;
}

void addresses_release(struct addresses *addresses)
{
    if (addresses &&
        atomic_fetch_sub_explicit(&addresses->reference_count, 1, memory_order_acq_rel) == 1)
        free(addresses);
}

bool address_is_same(const struct address *one, const struct address *other)
{
    if (one->socket.any.sa_family != other->socket.any.sa_family)
        return false;
    if (one->socket.any.sa_family == AF_INET)
        return one->socket.ipv4.sin_addr.s_addr == other->socket.ipv4.sin_addr.s_addr &&
               one->socket.ipv4.sin_port == other->socket.ipv4.sin_port;
    return IN6_ARE_ADDR_EQUAL(&one->socket.ipv6.sin6_addr, &other->socket.ipv6.sin6_addr) &&
           one->socket.ipv6.sin6_port == other->socket.ipv6.sin6_port &&
           one->socket.ipv6.sin6_scope_id == other->socket.ipv6.sin6_scope_id;
}

size_t addresses_find(const struct addresses *addresses, const struct address *address)
{
    size_t i = 0;
    while (i < addresses->count && !address_is_same(&addresses->items[i], address))
        i++;
    return i;
}
