/*
 * What the service manager is told: sd_notify(3), spoken directly.
 *
 * libsystemd's own sd_notify() waits when the manager's queue is full, and nothing on a worker's
 * thread may wait; the protocol is one datagram.  Whatever goes wrong here ends nobody.
 */
#ifndef WSKEEP_WSKEEPD_NOTIFY_H
#define WSKEEP_WSKEEPD_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/timers.h"

struct worker;
struct workers;

enum {
    NOTIFY_BYTES_MAX = 256,
    NOTIFY_STATUS_MS = 1000, /* between two lines of status */
    NOTIFY_AGAIN_MS = 100    /* the manager's queue was full */
};

struct notify_counts {
    size_t links;
    size_t sessions;
    size_t open; /* upstream connections */
};

struct notify {
    struct worker *worker; /* the main thread's */
    struct workers *workers;
    int fd; /* -1: nobody wants to know */
    struct sockaddr_un address;
    socklen_t address_bytes;
    char waiting[NOTIFY_BYTES_MAX]; /* the newest state that could not be sent yet; "": none */
    struct notify_counts counts;
    struct notify_counts said;
    uint64_t status_ms;   /* when counts were last said */
    bool is_ready;        /* the manager knows: from here on it wants a status */
    uint64_t watchdog_ms; /* half of what the manager waits; 0: it does not */
    struct timer again;   /* a state that waits, or a status that came too soon */
    struct timer watchdog;
    bool failure_is_logged;
};

/* From NOTIFY_SOCKET and WATCHDOG_USEC, which are taken out of the environment.  The workers
 * outlive it; without NOTIFY_SOCKET all that follows does nothing. */
void notify_init(struct notify *notify, struct workers *workers);
void notify_clear(struct notify *notify);

/* After notify_reloading(), too. */
void notify_ready(struct notify *notify);
void notify_reloading(struct notify *notify);
/* It takes up to stop_ms: the manager shall not kill us before, whatever TimeoutStopSec= says. */
void notify_stopping(struct notify *notify, uint64_t stop_ms);

/* At the end of each turn: said when they are others, and at most once in NOTIFY_STATUS_MS. */
void notify_status(struct notify *notify, const struct notify_counts *counts);

#endif
