/* The addresses that worked last. */
#include "net/last_good.h"

#include <stdlib.h>
#include <string.h>

const struct last_good_name *last_good_find(const struct last_good *good, const char *host,
                                            uint16_t port)
{
    for (unsigned i = 0; i < good->count; i++)
        if (good->names[i].port == port && strcmp(good->names[i].host, host) == 0)
            return &good->names[i];
    return NULL;
}

static void name_clear(struct last_good_name *name)
{
    addresses_release(name->addresses);
    free(name->host);
}

static struct last_good_name *name_add(struct last_good *good)
{
    if (good->count < LAST_GOOD_COUNT_MAX)
        return &good->names[good->count++];
    struct last_good_name *name = &good->names[good->next];
    good->next = (good->next + 1) % LAST_GOOD_COUNT_MAX;
    name_clear(name);
    return name;
}

void last_good_remember(struct last_good *good, const char *host, uint16_t port,
                        struct addresses *addresses, size_t index)
{
    struct last_good_name *name =
        (struct last_good_name *)(uintptr_t)last_good_find(good, host, port);
    if (!name) {
        char *copy = strdup(host);
        if (!copy)
            return; /* then it does without the next time */
        name = name_add(good);
        *name = (struct last_good_name){.host = copy, .port = port};
    }
    addresses_hold(addresses);
    addresses_release(name->addresses);
    name->addresses = addresses;
    name->address = addresses->items[index];
}

void last_good_clear(struct last_good *good)
{
    for (unsigned i = 0; i < good->count; i++)
        name_clear(&good->names[i]);
    *good = (struct last_good){0};
}
