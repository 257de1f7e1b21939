/*
 * Where clients connect: one listening socket, of TCP or of a Unix path.
 */
#ifndef WSKEEP_NET_LISTENER_H
#define WSKEEP_NET_LISTENER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "net/timers.h"

struct config_client;
struct config_listen;
struct link;
struct worker;

enum {
    LISTENER_ACCEPT_COUNT_MAX = 64, /* in one callback: others want to be served too */
    LISTENER_PAUSE_MS = 100,        /* when no descriptor is left */
    LISTENER_ERROR_BYTES = 256
};

struct listener {
    struct worker *worker;
    struct link *link;
    const struct config_listen *listen; /* of the link's newest configuration */
    int fd;
    struct event event;
    struct timer timer; /* the end of a pause */
    dev_t device;       /* of a Unix socket's name: to remove only our own */
    ino_t inode;
    bool shortage_is_logged;
    LIST_ENTRY(listener) entry;
};

LIST_HEAD(listener_list, listener);

/*
 * Open every address of listen and add the listeners to list; they accept nobody yet.  May
 * block for a name: at start and reload only.
 *
 * error   out, LISTENER_ERROR_BYTES: why not, when false is returned; nothing was added then
 */
bool listener_open(struct link *link, const struct config_listen *listen,
                   const struct config_client *client, struct listener_list *list, char *error);

/* Accept from now on. */
void listener_start(struct listener *listener);

/* Close it, and remove the Unix socket's name if it is still ours. */
void listener_close(struct listener *listener);

#endif
