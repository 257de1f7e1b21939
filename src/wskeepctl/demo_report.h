/*
 * The demo in numbers: while it runs, and at its end.
 */
#ifndef WSKEEP_WSKEEPCTL_DEMO_REPORT_H
#define WSKEEP_WSKEEPCTL_DEMO_REPORT_H

#include "wskeepctl/demo_client.h"
#include "wskeepctl/demo_daemon.h"
#include "wskeepctl/demo_screen.h"
#include "wskeepctl/demo_server.h"

struct demo_report {
    bool is_run;         /* the client was connected: there is something to tell */
    bool has_receipt;    /* its Close was answered with 1000: everything is acknowledged */
    bool is_interrupted; /* by a signal */
    uint64_t run_ms;     /* until it closed */
    char last_cause[DEMO_LOG_CAUSE_BYTES]; /* why the upstream connection ended last; "" */
    char why[DEMO_DAEMON_WHY_BYTES];       /* it went wrong; "" */
};

/* The live line; columns: what it should fit into. */
void demo_report_live(const struct demo_report *report, const struct demo_client *client,
                      const struct demo_server *server, uint64_t age_ms, size_t columns, char *text,
                      size_t text_bytes);

/* The summary, and on standard error what went wrong.  True when all is as it was promised. */
bool demo_report_end(const struct demo_report *report, const struct demo_client *client,
                     const struct demo_server *server, struct demo_screen *screen);

#endif
