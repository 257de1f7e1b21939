/* The command line of wskeepd, as wskeepd(8) has it. */
#ifndef WSKEEP_WSKEEPD_OPTIONS_H
#define WSKEEP_WSKEEPD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_CONFIG_PATH "/etc/wskeep/wskeep.yaml" /* without -c and --listen */

enum { OPTIONS_MESSAGE_BYTES = 256 };

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK, /* --check-config */
    OPTIONS_HELP,
    OPTIONS_VERSION
};

/* All texts point into argv. */
struct options {
    enum options_action action;
    const char *config_path; /* never NULL; not read when listen is given */
    const char *listen;      /* NULL, or both are given */
    const char *upstream;
    const char *user; /* NULL: stay who we are */
};

/*
 * Parse.
 *
 * message   out, OPTIONS_MESSAGE_BYTES: one line for standard error, without the program's name
 *           and the newline, when false is returned (exit status 2)
 */
bool options_parse(int argc, char **argv, struct options *options, char *message);

/* What --help prints. */
const char *options_help(void);

#endif
