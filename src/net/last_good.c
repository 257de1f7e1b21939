/* The addresses that worked last. */
#include "net/last_good.h"

#include <stdlib.h>
#include <string.h>

void last_good_init(struct last_good *good)
{
    *good = (struct last_good){.count = 0};
    pthread_mutex_init(&good->mutex, NULL);
}

static struct last_good_name *name_find(struct last_good *good, const char *host, uint16_t port)
{
    for (unsigned i = 0; i < good->count; i++)
        if (good->names[i].port == port && strcmp(good->names[i].host, host) == 0)
            return &good->names[i];
    return NULL;
}

bool last_good_find(struct last_good *good, const char *host, uint16_t port,
                    struct addresses **addresses, struct address *address)
{
    pthread_mutex_lock(&good->mutex);
    const struct last_good_name *name = name_find(good, host, port);
    if (name && addresses)
        *addresses = addresses_hold(name->addresses);
    if (name && address)
        *address = name->address;
    pthread_mutex_unlock(&good->mutex);
    return name != NULL;
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
    pthread_mutex_lock(&good->mutex);
    struct last_good_name *name = name_find(good, host, port);
    char *copy = name ? NULL : strdup(host);
    if (copy) {
        name = name_add(good);
        *name = (struct last_good_name){.host = copy, .port = port};
    }
    if (name) { /* else it does without the next time */
        addresses_hold(addresses);
        addresses_release(name->addresses);
        name->addresses = addresses;
        name->address = addresses->items[index];
    }
    pthread_mutex_unlock(&good->mutex);
}

void last_good_clear(struct last_good *good)
{
    for (unsigned i = 0; i < good->count; i++)
        name_clear(&good->names[i]);
    good->count = 0;
    pthread_mutex_destroy(&good->mutex);
}
