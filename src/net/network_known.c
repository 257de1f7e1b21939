/* What the kernel's messages change. */
#include "net/network_known.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum { NETWORK_LOOPBACK_INDEX = 1 }; /* the first interface of each network namespace */

/* ---- what is known ------------------------------------------------------------------------- */

/* FNV-1a. */
static uint64_t hash_start(void)
{
    return 0xcbf29ce484222325ULL;
}

static void hash_bytes(uint64_t *hash, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++)
        *hash = (*hash ^ at[i]) * 0x100000001b3ULL;
}

static void hash_number(uint64_t *hash, uint32_t number)
{
    hash_bytes(hash, &number, sizeof(number));
}

static void forget(struct network_known *known, unsigned index)
{
    known->things[index] = known->things[--known->count];
    known->next = 0;
}

static bool knows(const struct network_known *known, const struct network_thing *thing)
{
    for (unsigned i = 0; i < known->count; i++)
        if (known->things[i].all == thing->all)
            return true;
    return false;
}

/* True when it was known. */
static bool forget_thing(struct network_known *known, const struct network_thing *thing)
{
    for (unsigned i = 0; i < known->count; i++) {
        if (known->things[i].all != thing->all)
            continue;
        forget(known, i);
        return true;
    }
    return false;
}

static void forget_place(struct network_known *known, uint64_t place)
{
    for (unsigned i = known->count; i > 0; i--)
        if (known->things[i - 1].place == place)
            forget(known, i - 1);
}

static void remember(struct network_known *known, const struct network_thing *thing)
{
    if (knows(known, thing))
        return;
    if (known->count < NETWORK_KNOWN_MAX) {
        known->things[known->count++] = *thing;
        return;
    }
    known->things[known->next] = *thing;
    known->next = (known->next + 1) % NETWORK_KNOWN_MAX;
}

/* ---- addresses ----------------------------------------------------------------------------- */

static uint32_t read_number(const struct rtattr *attribute, uint32_t otherwise)
{
    uint32_t number;
    if (RTA_PAYLOAD(attribute) < sizeof(number))
        return otherwise;
    memcpy(&number, RTA_DATA(attribute), sizeof(number));
    return number;
}

static bool read_address(const struct nlmsghdr *message, bool is_answer,
                         struct network_known *known)
{
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifaddrmsg)))
        return false;
    const struct ifaddrmsg *address = NLMSG_DATA(message);
    if (address->ifa_index == NETWORK_LOOPBACK_INDEX || address->ifa_scope >= RT_SCOPE_LINK)
        return false;

    uint32_t flags = address->ifa_flags;
    const struct rtattr *own = NULL; /* IFA_ADDRESS is the other end's on a point-to-point link */
    int left = (int)IFA_PAYLOAD(message); /* signed: RTA_NEXT may go below 0 */
    for (const struct rtattr *at = IFA_RTA(address); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (at->rta_type == IFA_LOCAL || (at->rta_type == IFA_ADDRESS && !own))
            own = at;
        if (at->rta_type == IFA_FLAGS)
            flags = read_number(at, flags);
    }
    struct network_thing thing = {.all = hash_start()};
    hash_number(&thing.all, address->ifa_family);
    hash_number(&thing.all, address->ifa_index);
    hash_number(&thing.all, address->ifa_prefixlen);
    if (own)
        hash_bytes(&thing.all, RTA_DATA(own), RTA_PAYLOAD(own));
    thing.place = thing.all;

    bool is_usable = !(flags & (IFA_F_DADFAILED | IFA_F_DEPRECATED)) &&
                     (!(flags & IFA_F_TENTATIVE) || (flags & IFA_F_OPTIMISTIC));
    if (message->nlmsg_type == RTM_DELADDR)
        return forget_thing(known, &thing) || is_usable;
    if (!is_usable) {
        (void)forget_thing(known, &thing);
        return false;
    }
    if (knows(known, &thing))
        return false;
    remember(known, &thing);
    return !is_answer;
}

/* ---- routes -------------------------------------------------------------------------------- */

/* What tells two default routes from each other; not how long they last. */
static bool tells_apart(unsigned attribute)
{
    return attribute == RTA_GATEWAY || attribute == RTA_VIA || attribute == RTA_OIF ||
           attribute == RTA_PREFSRC || attribute == RTA_MULTIPATH || attribute == RTA_NH_ID;
}

static bool read_route(const struct nlmsghdr *message, struct network_known *known)
{
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
        return false;
    const struct rtmsg *route = NLMSG_DATA(message);
    if (route->rtm_dst_len != 0 || route->rtm_type != RTN_UNICAST ||
        (route->rtm_flags & RTM_F_CLONED))
        return false;

    uint32_t table = route->rtm_table;
    uint32_t metric = 0;
    uint32_t interface = 0;
    struct network_thing thing = {.place = hash_start()};
    uint64_t details = hash_start();
    int left = (int)RTM_PAYLOAD(message);
    for (const struct rtattr *at = RTM_RTA(route); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (at->rta_type == RTA_TABLE)
            table = read_number(at, table);
        if (at->rta_type == RTA_PRIORITY)
            metric = read_number(at, metric);
        if (at->rta_type == RTA_OIF)
            interface = read_number(at, interface);
        if (tells_apart(at->rta_type)) {
            hash_number(&details, at->rta_type);
            hash_bytes(&details, RTA_DATA(at), RTA_PAYLOAD(at));
        }
    }
    if (table == RT_TABLE_LOCAL || interface == NETWORK_LOOPBACK_INDEX)
        return false;
    hash_number(&thing.place, route->rtm_family);
    hash_number(&thing.place, route->rtm_tos);
    hash_number(&thing.place, table);
    hash_number(&thing.place, metric);
    thing.all = thing.place;
    hash_bytes(&thing.all, &details, sizeof(details));

    if (message->nlmsg_type == RTM_DELROUTE) {
        (void)forget_thing(known, &thing);
        return true;
    }
    /* The kernel adds none that is there already, but says it again when one replaces itself. */
    bool replaces = message->nlmsg_flags & NLM_F_REPLACE;
    bool is_change = !replaces || !knows(known, &thing);
    if (replaces)
        forget_place(known, thing.place);
    remember(known, &thing);
    return is_change;
}

/* ---- messages ------------------------------------------------------------------------------ */

static bool read_message(const struct nlmsghdr *message, struct network_known *known)
{
    switch (message->nlmsg_type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return read_address(message, message->nlmsg_flags & NLM_F_MULTI, known);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return read_route(message, known);
    default:
        return false;
    }
}

bool network_known_read(struct network_known *known, const uint8_t *data, size_t bytes)
{
    bool is_change = false;
    while (bytes >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *message = (const struct nlmsghdr *)(const void *)data;
        if (message->nlmsg_len < sizeof(*message) || message->nlmsg_len > bytes)
            break;
        if (read_message(message, known))
            is_change = true;
        size_t step = NLMSG_ALIGN(message->nlmsg_len);
        if (step >= bytes)
            break;
        data += step;
        bytes -= step;
    }
    return is_change;
}
