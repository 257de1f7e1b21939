/*
 * From one configuration to the next, at start and at SIGHUP.
 */
#ifndef WSKEEP_WSKEEPD_RELOAD_H
#define WSKEEP_WSKEEPD_RELOAD_H

#include <stdbool.h>

struct config;
struct daemon;

/*
 * Make config the daemon's.  All listeners that are new are opened first: when one cannot be,
 * nothing changes and false is returned, after a line that says why.  Then links that are there
 * already keep their sessions, and those that are gone close.
 */
bool reload_apply(struct daemon *daemon, const struct config *config);

#endif
