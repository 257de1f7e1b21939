/*
 * The daemon: its links, its signals, its life from `ready` to `stopped`.
 */
#ifndef WSKEEP_WSKEEPD_DAEMON_H
#define WSKEEP_WSKEEPD_DAEMON_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "config/config.h"
#include "log/log.h"
#include "net/handover.h"
#include "net/link.h"
#include "net/workers.h"
#include "wskeepd/notify.h"
#include "wskeepd/options.h"
#include "wskeepd/user.h"

enum { DAEMON_ENDED = 0, DAEMON_CANNOT_RUN = 1, DAEMON_WRONG_OPTIONS = 2 }; /* exit status */

enum { DAEMON_STOP_MS = 10 * 1000 }; /* to end, besides what drain_timeout allows */

struct daemon {
    const struct options *options;
    struct log log;
    unsigned worker_count;
    struct workers workers;
    struct handover handover;
    struct link_list links;
    size_t link_count;
    struct notify notify;
    bool has_notify;
    struct event on_terminate;
    struct event on_interrupt;
    struct event on_hangup;
    bool is_stopping;
    int exit_status;
};

/* Run until asked to end, as user when that is not NULL.  Takes config.  Returns the exit status.
 */
int daemon_run(struct daemon *daemon, const struct options *options, const struct user *user,
               struct config *config);

/* Read the configuration that options name.  NULL: errors say why. */
struct config *daemon_read_config(const struct options *options, struct config_errors *errors);

#endif
