/* The demo: its phases, its faults, its loop. */
#include "wskeepctl/demo.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "wskeepctl/demo_client.h"
#include "wskeepctl/demo_daemon.h"
#include "wskeepctl/demo_report.h"
#include "wskeepctl/demo_screen.h"
#include "wskeepctl/demo_server.h"

enum {
    STARTING_MS_MAX = 10000,
    UPGRADING_MS_MAX = 5000,
    CLOSING_MS_MAX = 10000, /* the drain_timeout of wskeepd, and some more */
    STOPPING_MS_MAX = 5000,
    KILLING_MS_MAX = 2000,
    CALM_MS = 3000,  /* at the end: everything drains */
    STEADY_MS = 800, /* a connection works for so long before it is broken */
    FAULT_SHIFT_MS = 82,
    FAULT_SHIFT_MS_MAX = 200, /* the ping_spacing of wskeepd */
    WAIT_MS_MAX = 1000,
    LOG_READ_COUNT_MAX = 256 /* in one turn */
};

enum demo_phase {
    DEMO_STARTING,  /* until wskeepd is ready */
    DEMO_UPGRADING, /* until the client is connected */
    DEMO_RUNNING,
    DEMO_CLOSING,  /* the client waits for its receipt */
    DEMO_STOPPING, /* SIGTERM was sent */
    DEMO_KILLING,  /* and SIGKILL */
    DEMO_DONE
};

enum {
    POLL_SIGNAL,
    POLL_LOG,
    POLL_CLIENT,
    POLL_SERVER,
    POLL_COUNT = POLL_SERVER + DEMO_SERVER_POLL_COUNT
};

struct demo {
    const struct demo_options *options;
    enum demo_phase phase;
    uint64_t phase_deadline_ms;
    uint64_t now_ms;
    uint64_t calm_ms; /* from then on nothing is broken */
    uint64_t end_ms;
    uint64_t steady_ms;
    bool is_calm;
    unsigned fault_number; /* of the next: they take turns */
    int signal_number;     /* what ended us; 0: nothing did */
    int signal_fd;
    sigset_t mask_before;
    char path[DEMO_DAEMON_PATH_BYTES]; /* of wskeepd */
    struct demo_server server;
    struct demo_daemon daemon;
    struct demo_client client;
    struct demo_screen screen;
    struct demo_report report;
};

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- phases -------------------------------------------------------------------------------- */

static void enter(struct demo *demo, enum demo_phase phase, uint64_t ms_max)
{
    demo->phase = phase;
    demo->phase_deadline_ms = demo->now_ms + ms_max;
}

static void stop(struct demo *demo)
{
    if (demo->phase >= DEMO_STOPPING)
        return;
    demo_screen_end_live(&demo->screen);
    demo_daemon_signal(&demo->daemon, SIGTERM);
    enter(demo, DEMO_STOPPING, STOPPING_MS_MAX);
}

/* The first reason is the one that is told. */
__attribute__((format(printf, 2, 3))) static void fail(struct demo *demo, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (demo->report.why[0] == '\0')
        vsnprintf(demo->report.why, sizeof(demo->report.why), format, arguments);
    va_end(arguments);
    stop(demo);
}

/* wskeepd ended badly as well. */
static void add_reason(struct demo *demo, const char *how)
{
    char *why = demo->report.why;
    size_t used = strlen(why);
    snprintf(why + used, sizeof(demo->report.why) - used, "%s%s %s", used > 0 ? "; " : "",
             demo->path, how);
}

static void connect_client(struct demo *demo)
{
    demo_screen_say(&demo->screen, DEMO_PLAIN,
                    "A client, wskeepd (%s), and a server that breaks, for %u s.\n"
                    "Sent by the client, received by the server; a break may repeat a message.",
                    demo->path, demo->options->seconds);
    if (demo_client_init(&demo->client, demo->daemon.socket_path, demo->server.tally.count_max))
        enter(demo, DEMO_UPGRADING, UPGRADING_MS_MAX);
    else
        fail(demo, "the client cannot connect to wskeepd: %s", strerror(errno));
}

static void start_run(struct demo *demo)
{
    uint64_t run_ms = (uint64_t)demo->options->seconds * 1000;
    demo_screen_start(&demo->screen, demo->now_ms);
    demo->end_ms = demo->now_ms + run_ms;
    demo->calm_ms = demo->end_ms - (run_ms / 2 < CALM_MS ? run_ms / 2 : CALM_MS);
    demo->steady_ms = run_ms / 10 < STEADY_MS ? run_ms / 10 : STEADY_MS;
    demo->report.is_run = true;
    enter(demo, DEMO_RUNNING, run_ms);
}

static void end_run(struct demo *demo)
{
    demo->report.run_ms = demo->now_ms - demo->screen.start_ms;
    enter(demo, DEMO_CLOSING, CLOSING_MS_MAX);
    demo_client_close(&demo->client);
}

static void take_receipt(struct demo *demo)
{
    const struct close_frame *receipt = &demo->client.receipt;
    demo->report.has_receipt = receipt->code == CLOSE_NORMAL;
    if (demo->report.has_receipt)
        stop(demo);
    else
        fail(demo, "the client's Close was answered with %u \"%.*s\"", (unsigned)receipt->code,
             (int)receipt->reason_bytes, receipt->reason);
}

static void phase_deadline(struct demo *demo)
{
    switch (demo->phase) {
    case DEMO_STARTING:
        fail(demo, "%s is not ready after %d s", demo->path, STARTING_MS_MAX / 1000);
        return;
    case DEMO_UPGRADING:
        fail(demo, "wskeepd does not answer the client's handshake");
        return;
    case DEMO_RUNNING:
        end_run(demo);
        return;
    case DEMO_CLOSING:
        fail(demo, "wskeepd does not answer the client's Close");
        return;
    case DEMO_STOPPING:
        fail(demo, "%s did not end within %d s", demo->path, STOPPING_MS_MAX / 1000);
        demo_daemon_signal(&demo->daemon, SIGKILL);
        enter(demo, DEMO_KILLING, KILLING_MS_MAX);
        return;
    case DEMO_KILLING:
    case DEMO_DONE:
        demo->phase = DEMO_DONE;
        return;
    }
}

/* What has come about since the last turn, and what has not come in time. */
static void advance(struct demo *demo)
{
    const struct demo_client *client = &demo->client;
    if (demo->server.has_failed)
        fail(demo, "the server cannot accept connections: %s", strerror(demo->server.failed_errno));
    if (demo->screen.is_broken)
        stop(demo); /* nobody watches */
    if (demo->phase > DEMO_STARTING && demo->phase < DEMO_STOPPING &&
        client->state == DEMO_CLIENT_LOST)
        fail(demo, "the client lost its connection: %s", client->why);
    else if (demo->phase == DEMO_UPGRADING && client->state == DEMO_CLIENT_OPEN)
        start_run(demo);
    else if (demo->phase == DEMO_CLOSING && client->state == DEMO_CLIENT_CLOSED)
        take_receipt(demo);
    if (demo->now_ms >= demo->phase_deadline_ms)
        phase_deadline(demo);
}

/* ---- wskeepd ------------------------------------------------------------------------------- */

static void take_line(struct demo *demo, const char *line)
{
    struct demo_log_line log;
    struct demo_report *report = &demo->report;
    bool is_log = demo_daemon_parse(&demo->daemon, line, &log);
    bool is_shown = demo->options->verbose || strcmp(log.level, "error") == 0;
    if (is_shown || (!is_log && demo->phase != DEMO_STARTING))
        demo_screen_say(&demo->screen, DEMO_DIM, "wskeepd: %s", line);
    if (demo->phase == DEMO_STARTING && strcmp(log.event, "ready") == 0)
        connect_client(demo);
    if (strcmp(log.event, "move") != 0)
        return;
    if (log.cause[0] != '\0')
        memcpy(report->last_cause, log.cause, sizeof(report->last_cause));
    if (strcmp(log.to, "open") != 0 || report->last_cause[0] == '\0')
        return;
    char again[48] = "";
    if (log.repeats > 0)
        snprintf(again, sizeof(again), ", sending %" PRIu64 " again", log.repeats);
    demo_screen_note(&demo->screen, demo->now_ms, DEMO_GREEN, "wskeepd: open again after %s%s",
                     report->last_cause, again);
}

static void take_log(struct demo *demo)
{
    char line[LOG_LINE_BYTES_MAX];
    demo_daemon_read(&demo->daemon);
    while (demo_daemon_next_line(&demo->daemon, line))
        take_line(demo, line);
}

static void judge_end(struct demo *demo)
{
    char how[96];
    const struct demo_daemon *daemon = &demo->daemon;
    demo_daemon_end_text(daemon, how, sizeof(how));
    if (demo->phase == DEMO_STARTING && demo_daemon_did_not_run(daemon))
        fail(demo, "cannot start %s: %s", demo->path, daemon->last_words);
    else if (demo->phase == DEMO_STARTING)
        fail(demo, "%s %s%s%s", demo->path, how, daemon->last_words[0] != '\0' ? ": " : "",
             daemon->last_words);
    else if (demo->phase < DEMO_STOPPING)
        fail(demo, "%s %s", demo->path, how);
    else if (demo->phase == DEMO_STOPPING && daemon->wait_status != 0)
        add_reason(demo, how); /* perhaps why the client lost its connection */
    demo->phase = DEMO_DONE;
}

static void take_signals(struct demo *demo)
{
    struct signalfd_siginfo got;
    while (read(demo->signal_fd, &got, sizeof(got)) == (ssize_t)sizeof(got)) {
        if (got.ssi_signo == SIGCHLD) {
            demo_daemon_reap(&demo->daemon);
        } else if (demo->signal_number == 0) {
            demo->signal_number = (int)got.ssi_signo;
            demo->report.is_interrupted = true;
            stop(demo);
        }
    }
    if (!demo->daemon.has_ended || demo->phase == DEMO_DONE)
        return;
    for (int i = 0; i < LOG_READ_COUNT_MAX && demo->daemon.log_fd >= 0; i++)
        take_log(demo); /* its last words are still in the pipe */
    judge_end(demo);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static uint64_t earlier(uint64_t one_ms, uint64_t other_ms)
{
    return one_ms < other_ms ? one_ms : other_ms;
}

/* When the next fault, or the calm, is due; UINT64_MAX: not while things are as they are. */
static uint64_t fault_due_ms(const struct demo *demo)
{
    uint64_t since_ms = demo_server_open_since_ms(&demo->server);
    if (demo->phase != DEMO_RUNNING || demo->is_calm)
        return UINT64_MAX;
    if (since_ms == UINT64_MAX)
        return demo->calm_ms;
    /* Not always at the same place between two acknowledgements. */
    uint64_t shift_ms = demo->fault_number * FAULT_SHIFT_MS % FAULT_SHIFT_MS_MAX;
    return earlier(demo->calm_ms, since_ms + demo->steady_ms + shift_ms);
}

static void break_something(struct demo *demo)
{
    if (demo->now_ms < fault_due_ms(demo))
        return;
    if (demo->now_ms >= demo->calm_ms) {
        demo->is_calm = true;
        demo_server_calm(&demo->server, demo->now_ms);
        demo_screen_note(&demo->screen, demo->now_ms, DEMO_PLAIN, "server: calm from now on");
        return;
    }
    enum demo_fault fault = demo->fault_number++ % DEMO_FAULT_COUNT;
    demo_server_break(&demo->server, fault, demo->now_ms);
    demo_screen_note(&demo->screen, demo->now_ms, DEMO_YELLOW, "server: %s",
                     demo_fault_text(fault));
}

static void show(struct demo *demo)
{
    char text[DEMO_SCREEN_LINE_BYTES_MAX];
    if ((demo->phase != DEMO_RUNNING && demo->phase != DEMO_CLOSING) ||
        demo->now_ms < demo->screen.due_ms)
        return;
    demo_report_live(&demo->report, &demo->client, &demo->server,
                     demo->now_ms - demo->screen.start_ms, demo_screen_columns(&demo->screen), text,
                     sizeof(text));
    demo_screen_live(&demo->screen, demo->now_ms, text);
}

static int wait_ms(const struct demo *demo)
{
    uint64_t now_ms = clock_ms();
    uint64_t due_ms = earlier(now_ms + WAIT_MS_MAX, demo->phase_deadline_ms);
    due_ms = earlier(due_ms, demo_server_deadline_ms(&demo->server));
    due_ms = earlier(due_ms, demo_client_deadline_ms(&demo->client));
    due_ms = earlier(due_ms, fault_due_ms(demo));
    if (demo->phase == DEMO_RUNNING || demo->phase == DEMO_CLOSING)
        due_ms = earlier(due_ms, demo->screen.due_ms);
    return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

static void turn(struct demo *demo)
{
    struct pollfd polls[POLL_COUNT];
    polls[POLL_SIGNAL] = (struct pollfd){.fd = demo->signal_fd, .events = POLLIN};
    polls[POLL_LOG] = (struct pollfd){.fd = demo->daemon.log_fd, .events = POLLIN};
    demo_client_poll(&demo->client, &polls[POLL_CLIENT]);
    demo_server_poll(&demo->server, &polls[POLL_SERVER]);
    int ready = poll(polls, POLL_COUNT, wait_ms(demo));
    demo->now_ms = clock_ms();
    if (ready < 0) { /* EINTR, or no memory: what is ready will be so again */
        for (size_t i = 0; i < POLL_COUNT; i++)
            polls[i].revents = 0;
    }
    demo_server_turn(&demo->server, &polls[POLL_SERVER], demo->now_ms);
    demo_client_turn(&demo->client, &polls[POLL_CLIENT], demo->now_ms);
    if (polls[POLL_LOG].revents != 0)
        take_log(demo);
    if (polls[POLL_SIGNAL].revents != 0)
        take_signals(demo);
    advance(demo);
    break_something(demo);
    show(demo);
}

/* ---- from start to end --------------------------------------------------------------------- */

/* Signals come through a descriptor; what is ignored (nohup) stays so. */
static bool catch_signals(struct demo *demo)
{
    sigset_t caught;
    sigemptyset(&caught);
    sigaddset(&caught, SIGINT);
    sigaddset(&caught, SIGTERM);
    sigaddset(&caught, SIGHUP);
    sigaddset(&caught, SIGCHLD);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN); /* a pipe that is closed is an error of flush() */
    sigprocmask(SIG_BLOCK, &caught, &demo->mask_before);
    demo->signal_fd = signalfd(-1, &caught, SFD_NONBLOCK | SFD_CLOEXEC);
    return demo->signal_fd >= 0;
}

static bool start(struct demo *demo)
{
    char why[DEMO_DAEMON_WHY_BYTES];
    uint64_t message_count_max = (uint64_t)demo->options->seconds * 1000 / DEMO_CLIENT_SEND_MS + 1;
    demo->now_ms = clock_ms();
    if (demo->options->wskeepd_path != NULL) {
        snprintf(demo->path, sizeof(demo->path), "%s", demo->options->wskeepd_path);
    } else if (!demo_daemon_find(demo->path)) {
        fail(demo, "wskeepd is not beside this program, not in %s and not in PATH; see --wskeepd",
             SBINDIR);
        return false;
    }
    if (!catch_signals(demo) || !demo_server_init(&demo->server, message_count_max)) {
        fail(demo, "cannot start the server: %s", strerror(errno));
        return false;
    }
    if (!demo_daemon_start(&demo->daemon, demo->path, demo->server.port, &demo->mask_before, why)) {
        fail(demo, "%s", why);
        return false;
    }
    enter(demo, DEMO_STARTING, STARTING_MS_MAX);
    return true;
}

static void clear(struct demo *demo)
{
    demo_client_clear(&demo->client);
    demo_daemon_clear(&demo->daemon);
    demo_server_clear(&demo->server);
    if (demo->signal_fd >= 0)
        close(demo->signal_fd);
}

/* As if it had not been caught, so that a shell sees what happened. */
static void die_of(const struct demo *demo)
{
    signal(demo->signal_number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &demo->mask_before, NULL);
    raise(demo->signal_number);
}

int demo_run(const struct demo_options *options)
{
    struct demo *demo = calloc(1, sizeof(*demo));
    if (demo == NULL) {
        fprintf(stderr, "wskeepctl: %s\n", strerror(ENOMEM));
        return EXIT_FAILURE;
    }
    demo->options = options;
    demo->signal_fd = -1;
    demo_client_none(&demo->client);
    demo_daemon_none(&demo->daemon);
    demo_server_none(&demo->server);
    demo_screen_init(&demo->screen);
    if (start(demo))
        while (demo->phase != DEMO_DONE)
            turn(demo);
    demo_screen_end_live(&demo->screen);
    bool is_good = demo_report_end(&demo->report, &demo->client, &demo->server, &demo->screen) &&
                   !demo->screen.is_broken;
    clear(demo);
    if (demo->signal_number != 0)
        die_of(demo);
    free(demo);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
