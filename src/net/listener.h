/*
 * Where clients connect: one listening socket, of TCP or of a Unix path, ours or handed over.
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
    LISTENER_ERROR_BYTES = 384,
    LISTENER_BACKLOG = 4096 /* the kernel caps it */
};

struct listener {
    struct worker *worker;
    struct link *link;
    const struct config_listen *listen; /* of the link's newest configuration */
    int fd;
    struct event event;
    struct timer timer; /* the end of a pause */
    int name_fd;        /* of a Unix socket of ours: itself, by O_PATH; -1: it is none */
    bool is_lent;       /* handed over: fd stays open when the listener closes */
    bool is_paused;     /* no descriptor was left, and nobody has been accepted since */
    bool shortage_is_logged;
    struct link *next_link; /* while a reload is prepared: whose it will be; NULL: nobody's */
    const struct config_listen *next_listen;
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

/* Write why listener_open() cannot.  Returns false. */
__attribute__((format(printf, 2, 3))) bool listener_fail(char *error, const char *format, ...);

/* A reload: give the Unix socket the mode and owner of today. */
void listener_set_access(const struct listener *listener, const struct config_client *client);

/* False for a Unix socket whose name is gone, or leads to another: nobody finds it. */
bool listener_is_reachable(const struct listener *listener);

/* Accept from now on. */
void listener_start(struct listener *listener);

/* Close it, and remove the Unix socket's name if it is still ours. */
void listener_close(struct listener *listener);

#endif
