/*
 * How many processors we may use: `workers: auto`.
 */
#ifndef WSKEEP_WSKEEPD_PROCESSORS_H
#define WSKEEP_WSKEEPD_PROCESSORS_H

/* Those of the affinity mask, within the quota of our cgroup; at least 1, at most count_max. */
unsigned processors_count(unsigned count_max);

/*
 * The quota of our cgroup and of those above it, the smallest of them, in whole processors, rounded
 * up.  0: there is none, or it cannot be read.
 *
 * root  "" for the system's own /proc and /sys; a directory that holds others
 */
unsigned processors_quota(const char *root);

#endif
