/*
 * wskeepctl demo: a client, a real wskeepd, and an upstream that breaks, in one place and without
 * a network.
 */
#ifndef WSKEEP_WSKEEPCTL_DEMO_H
#define WSKEEP_WSKEEPCTL_DEMO_H

#include <stdbool.h>
#include <stdint.h>

enum { DEMO_SECONDS_PRESET = 15, DEMO_SECONDS_MAX = 3600 };

struct demo_options {
    const char *wskeepd_path; /* NULL: it is looked for */
    unsigned seconds;         /* 1 to DEMO_SECONDS_MAX */
    bool verbose;             /* show the log of wskeepd */
};

/*
 * Run it, and say what became of each message.  Returns the exit status: 0 when each arrived, in
 * order, and the client stayed on one connection; else 1.  SIGINT, SIGTERM and SIGHUP end it, and
 * then the process, after everything was put away.
 */
int demo_run(const struct demo_options *options);

#endif
