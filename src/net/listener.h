/* Where clients connect: TCP addresses and Unix sockets. */
#ifndef WSKEEP_NET_LISTENER_H
#define WSKEEP_NET_LISTENER_H

#include <sys/types.h>

#include "config/config.h"
#include "net/worker.h"

enum {
    LISTENER_SOCKET_COUNT_MAX = 8, /* addresses of one name */
    LISTENER_ACCEPT_MAX = 64,      /* clients taken in one turn */
    LISTENER_PAUSE_MS = 100        /* without descriptors: before the next try */
};

struct link;

struct listener_socket {
    struct listener *listener;
    int fd;
    struct event *event;
};

struct listener {
    struct listener *next;
    struct link *link;
    char *text; /* of the configuration */
    char *host; /* TCP: as configured */
    uint16_t port;
    char *path;    /* Unix */
    dev_t device;  /* of the socket file, so that only our own is removed */
    ino_t inode;
    struct listener_socket sockets[LISTENER_SOCKET_COUNT_MAX];
    unsigned socket_count;
    struct timer pause;
    bool pause_logged;
};

/*
 * Open it.  A stale Unix socket is replaced, a live one or another kind of file never.  NULL with
 * one line in error: what could not be opened, and why.
 */
struct listener *listener_new(struct link *link, const struct config_listen *listen,
                              const struct config_client *client, char *error,
                              size_t error_bytes);

/* Close it; a Unix socket's file is removed if it is still ours. */
void listener_free(struct listener *listener);

/* Accept whoever connected already, before the last listener is closed. */
void listener_accept(struct listener *listener);

#endif
