/* The daemon: from `ready` to `stopped`. */
#include "wskeepd/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "wskeepd/processors.h"
#include "wskeepd/reload.h"

struct config *daemon_read_config(const struct options *options, struct config_errors *errors)
{
    if (options->listen)
        return config_from_options(options->listen, options->upstream, errors);
    return config_read_file(options->config_path, errors);
}

static void say(struct daemon *daemon, enum log_level level, const char *event,
                const char *sentence)
{
    log_line(&daemon->log, level, event, sentence, NULL, 0);
}

/* ---- signals ------------------------------------------------------------------------------- */

static void report_config_errors(struct daemon *daemon, const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        char text[LOG_LINE_BYTES_MAX / 2];
        config_error_format(&errors->items[i], text, sizeof(text));
        const struct log_field fields[] = {log_text("error", text)};
        log_line(&daemon->log, LOG_ERROR, "config-error", text, fields, 1);
    }
}

static unsigned count_workers(const struct config *config)
{
    if (config->worker_count == CONFIG_WORKERS_AUTO)
        return processors_count(CONFIG_WORKER_COUNT_MAX);
    return config->worker_count;
}

static void report_workers_unchanged(struct daemon *daemon, unsigned asked)
{
    char sentence[128];
    snprintf(sentence, sizeof(sentence),
             "workers: %u takes effect at the next start; %u are running", asked,
             daemon->worker_count);
    const struct log_field fields[] = {log_number("asked", asked),
                                       log_number("running", daemon->worker_count)};
    log_line(&daemon->log, LOG_WARNING, "workers-unchanged", sentence, fields, 2);
}

/* Files are read on the worker's thread: regular files of at most 1 MiB, and never while it serves
 * at its hottest; a reload is asked for by hand. */
static void reload(struct daemon *daemon)
{
    struct config_errors errors = {0};
    if (daemon->options->listen) {
        say(daemon, LOG_INFO, "reload", "nothing to read again: the link is on the command line");
        return;
    }
    struct config *config = daemon_read_config(daemon->options, &errors);
    if (!config)
        report_config_errors(daemon, &errors);
    bool is_applied = config && reload_apply(daemon, config);
    if (is_applied)
        say(daemon, LOG_INFO, "reloaded", "the configuration was read again");
    else
        say(daemon, LOG_ERROR, "reload-failed", "nothing was changed");
    if (is_applied && count_workers(config) != daemon->worker_count)
        report_workers_unchanged(daemon, count_workers(config));
    config_free(config);
    config_errors_clear(&errors);
}

/* SIGHUP. */
static void on_hangup(evutil_socket_t number, short what, void *argument)
{
    struct daemon *daemon = argument;
    (void)number;
    (void)what;
    if (daemon->is_stopping)
        return;
    notify_reloading(&daemon->notify);
    reload(daemon);
    notify_ready(&daemon->notify);
}

/* Clients are closed, messages drained, the last connections ended. */
static uint64_t stop_ms(const struct daemon *daemon)
{
    const struct link *link;
    uint64_t longest_ms = 0;
    TAILQ_FOREACH(link, &daemon->links, entry)
    if (link->config->session.drain_timeout_ms > longest_ms)
        longest_ms = link->config->session.drain_timeout_ms;
    return longest_ms + DAEMON_STOP_MS;
}

static void stop(struct daemon *daemon)
{
    struct link *link;
    daemon->is_stopping = true;
    say(daemon, LOG_INFO, "stopping", "stopping: clients are closed, messages delivered");
    notify_stopping(&daemon->notify, stop_ms(daemon));
    TAILQ_FOREACH(link, &daemon->links, entry)
    link_close_listeners(link);
    workers_shutdown(&daemon->workers);
}

/* SIGTERM and SIGINT: the second time nothing is waited for. */
static void on_terminate(evutil_socket_t number, short what, void *argument)
{
    struct daemon *daemon = argument;
    (void)number;
    (void)what;
    if (daemon->is_stopping)
        worker_stop(workers_main(&daemon->workers));
    else
        stop(daemon);
}

static bool add_signal(struct daemon *daemon, struct event *event, int number,
                       event_callback_fn callback)
{
    return event_assign(event, workers_main(&daemon->workers)->base, number, EV_SIGNAL | EV_PERSIST,
                        callback, daemon) == 0 &&
           event_add(event, NULL) == 0;
}

static bool add_signals(struct daemon *daemon)
{
    return add_signal(daemon, &daemon->on_hangup, SIGHUP, on_hangup) &&
           add_signal(daemon, &daemon->on_terminate, SIGTERM, on_terminate) &&
           add_signal(daemon, &daemon->on_interrupt, SIGINT, on_terminate);
}

static void remove_signals(struct daemon *daemon)
{
    struct event *const events[] = {&daemon->on_hangup, &daemon->on_terminate,
                                    &daemon->on_interrupt};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (event_initialized(events[i]))
            event_del(events[i]);
}

/* ---- life ---------------------------------------------------------------------------------- */

/* Two descriptors for each client: take all that we may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* then it is as it was */
}

static struct notify_counts count(const struct daemon *daemon)
{
    const struct workers_counts counts = workers_count(&daemon->workers);
    return (struct notify_counts){
        .links = daemon->link_count, .sessions = counts.sessions, .open = counts.open};
}

/* True when there is nothing left to do. */
static bool turn_ended(void *context)
{
    struct daemon *daemon = context;
    const struct notify_counts counts = count(daemon);
    notify_status(&daemon->notify, &counts);
    return daemon->is_stopping && workers_are_done(&daemon->workers);
}

static void ignore(int severity, const char *message)
{
    (void)severity;
    (void)message;
}

static void report_ready(struct daemon *daemon)
{
    char sentence[128];
    snprintf(sentence, sizeof(sentence), "wskeepd %s is ready: %zu link%s, %u worker%s",
             PACKAGE_VERSION, daemon->link_count, daemon->link_count == 1 ? "" : "s",
             daemon->worker_count, daemon->worker_count == 1 ? "" : "s");
    const struct log_field fields[] = {log_text("version", PACKAGE_VERSION),
                                       log_number("links", daemon->link_count),
                                       log_number("workers", daemon->worker_count)};
    log_line(&daemon->log, LOG_INFO, "ready", sentence, fields, 3);
    daemon->notify.counts = count(daemon);
    notify_ready(&daemon->notify);
}

static void free_links(struct daemon *daemon)
{
    struct link *link;
    while ((link = TAILQ_FIRST(&daemon->links))) {
        TAILQ_REMOVE(&daemon->links, link, entry);
        link_close_listeners(link);
        link_release(link);
    }
}

static bool fail_to_start(struct daemon *daemon, const char *what, const char *why)
{
    char sentence[LOG_LINE_BYTES_MAX / 4];
    snprintf(sentence, sizeof(sentence), "cannot start: %s%s%s", what, why ? ": " : "",
             why ? why : "");
    const struct log_field fields[] = {log_text("what", what), log_text("why", why ? why : what)};
    log_line(&daemon->log, LOG_ERROR, "cannot-start", sentence, fields, 2);
    return false;
}

/* The listeners are open, and nobody has been accepted: what needs root is done. */
static bool become(struct daemon *daemon, const struct user *user)
{
    const char *failed = user ? user_become(user) : NULL;
    if (failed)
        return fail_to_start(daemon, failed, errno ? strerror(errno) : NULL);
    if (geteuid() == 0) {
        say(daemon, LOG_WARNING, "running-as-root",
            "running as root; started with --user NAME it gives that up");
    } else if (user) {
        const struct log_field fields[] = {log_text("user", user->name),
                                           log_number("uid", user->uid)};
        log_line(&daemon->log, LOG_DEBUG, "user", NULL, fields, 2);
    }
    return true;
}

static bool start(struct daemon *daemon, const struct user *user, const struct config *config)
{
    const char *why = handover_take(&daemon->handover); /* before anything is opened */
    if (why)
        return fail_to_start(daemon, why, NULL);
    if (!workers_init(&daemon->workers, daemon->worker_count, &daemon->log,
                      config->memory_bytes_max))
        return fail_to_start(daemon, "no event loop", strerror(errno));
    struct worker *worker = workers_main(&daemon->workers);
    worker->handover = &daemon->handover;
    if (user && geteuid() == 0) { /* our Unix sockets are as if user had made them */
        worker->socket_owner = user->uid;
        worker->socket_group = user->gid;
    }
    notify_init(&daemon->notify, &daemon->workers);
    daemon->has_notify = true;
    if (!add_signals(daemon))
        return fail_to_start(daemon, "no memory", NULL);
    if (!reload_apply(daemon, config) || !become(daemon, user))
        return false;
    /* Last: what a thread may do is its own, and what become() gave up it shall not have. */
    return workers_begin(&daemon->workers) ||
           fail_to_start(daemon, "no thread for a worker", strerror(errno));
}

static void clear(struct daemon *daemon)
{
    workers_end(&daemon->workers);
    workers_clear_sessions(&daemon->workers);
    free_links(daemon);
    remove_signals(daemon);
    if (daemon->has_notify)
        notify_clear(&daemon->notify);
    workers_clear(&daemon->workers);
    handover_clear(&daemon->handover);
}

int daemon_run(struct daemon *daemon, const struct options *options, const struct user *user,
               struct config *config)
{
    *daemon = (struct daemon){
        .options = options,
        .log = {.fd = STDERR_FILENO,
                .level = (enum log_level)config->log_level,
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .format = (enum log_format)config->log_format,
                .fd_is_journal = log_is_journal_stream(STDERR_FILENO, getenv("JOURNAL_STREAM"))}};
    daemon->worker_count = count_workers(config);
    TAILQ_INIT(&daemon->links);
    raise_descriptor_limit();
    heap_init(config->memory_bytes_max);
    event_set_log_callback(ignore); /* what it warns of comes back as a result, and is logged */
    (void)signal(SIGPIPE, SIG_IGN); /* standard error may be a pipe that nobody reads any more */

    int status = DAEMON_CANNOT_RUN;
    if (start(daemon, user, config)) {
        report_ready(daemon);
        worker_run(workers_main(&daemon->workers), turn_ended, daemon);
        status = DAEMON_ENDED;
    }
    config_free(config);
    clear(daemon);
    if (status == DAEMON_ENDED)
        say(daemon, LOG_INFO, "stopped", "stopped");
    log_clear(&daemon->log);
    return status;
}
