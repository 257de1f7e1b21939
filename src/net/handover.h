/*
 * Listening sockets that the service manager hands over: sd_listen_fds(3).
 *
 * They are the manager's.  We accept from them and never close, unlink or change one before we
 * end, so clients wait in their queues while no daemon runs.
 */
#ifndef WSKEEP_NET_HANDOVER_H
#define WSKEEP_NET_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HANDOVER_COUNT_MAX = 1024,
    HANDOVER_NAME_BYTES_MAX = 255, /* as systemd has it */
    HANDOVER_FIRST_FD = 3
};

struct handover_socket {
    char *name; /* FileDescriptorName= of the .socket unit; several may have one */
    int fd;
};

struct handover {
    struct handover_socket *sockets;
    size_t count;
};

/*
 * Take what LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say is ours, and take them out of the
 * environment.  Before anything else opens a descriptor.
 *
 * Returns NULL, or why it cannot be; nothing was taken then.
 */
const char *handover_take(struct handover *handover);

void handover_clear(struct handover *handover);

/* NULL, or why nobody can be accepted from it: it is no listening socket of TCP or Unix streams. */
const char *handover_check(int fd);

#endif
