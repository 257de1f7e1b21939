/*
 * The wskeepd of the demo: found, started as a child with a configuration of its own, listened to
 * through its log, and ended.
 */
#ifndef WSKEEP_WSKEEPCTL_DEMO_DAEMON_H
#define WSKEEP_WSKEEPCTL_DEMO_DAEMON_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "log/log.h"

enum {
    DEMO_DAEMON_PATH_BYTES = 4096,
    DEMO_DAEMON_DIRECTORY_BYTES = 96, /* the socket's path is short: it has to fit (unix(7)) */
    DEMO_DAEMON_WHY_BYTES = 4608,
    DEMO_LOG_CAUSE_BYTES = 64,
    DEMO_DAEMON_LOG_BYTES = 4 * LOG_LINE_BYTES_MAX
};

struct demo_daemon {
    pid_t pid;       /* 0: not started, or ended and reaped */
    int log_fd;      /* the end of its standard error that we read; -1 after its end */
    int wait_status; /* see waitpid(2); once it has ended */
    bool has_ended;
    char directory[DEMO_DAEMON_DIRECTORY_BYTES]; /* ours, removed at the end; "" before */
    char config_path[DEMO_DAEMON_DIRECTORY_BYTES + 16];
    char socket_path[DEMO_DAEMON_DIRECTORY_BYTES + 16];
    size_t log_bytes;
    char log[DEMO_DAEMON_LOG_BYTES];
    char last_words[LOG_LINE_BYTES_MAX]; /* its last line that was not of its log */
};

/* A line of its log, as far as the demo looks at it.  Texts are "" when they are missing. */
struct demo_log_line {
    char event[32];
    char level[16];
    char to[16];                      /* of a move */
    char cause[DEMO_LOG_CAUSE_BYTES]; /* with code and reason, or status: closed 1000 "interrupted"
                                       */
    uint64_t repeats;
};

/*
 * Find wskeepd: beside this program, where it is installed, in PATH.
 *
 * path  out, DEMO_DAEMON_PATH_BYTES; untouched when there is none, and false is returned
 */
bool demo_daemon_find(char *path);

/* Not started: demo_daemon_clear() has nothing to do. */
void demo_daemon_none(struct demo_daemon *daemon);

/*
 * Start it in front of 127.0.0.1:port.
 *
 * mask  of signals, for the child
 * why   out, DEMO_DAEMON_WHY_BYTES: what went wrong, when false is returned
 */
bool demo_daemon_start(struct demo_daemon *daemon, const char *path, uint16_t port,
                       const sigset_t *mask, char *why);

/* Kill it if it still runs, and remove its directory. */
void demo_daemon_clear(struct demo_daemon *daemon);

/* Take in what it said.  Once for each time that poll() says so. */
void demo_daemon_read(struct demo_daemon *daemon);

/* The next whole line, made printable, in line (LOG_LINE_BYTES_MAX).  False: none. */
bool demo_daemon_next_line(struct demo_daemon *daemon, char *line);

/* False for a line that is no line of a log; it is kept as last_words. */
bool demo_daemon_parse(struct demo_daemon *daemon, const char *line, struct demo_log_line *log);

/* After SIGCHLD: see whether it has ended. */
void demo_daemon_reap(struct demo_daemon *daemon);

void demo_daemon_signal(const struct demo_daemon *daemon, int number);

/* True when it ended before it began: last_words says why. */
bool demo_daemon_did_not_run(const struct demo_daemon *daemon);

/* How it ended, in words, in text. */
void demo_daemon_end_text(const struct demo_daemon *daemon, char *text, size_t text_bytes);

#endif
