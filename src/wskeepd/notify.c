/* What the service manager is told. */
#include "wskeepd/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/workers.h"

static void report_failure(struct notify *notify, const char *why)
{
    const struct log_field fields[] = {log_text("why", why)};
    if (notify->failure_is_logged)
        return;
    notify->failure_is_logged = true;
    log_line(notify->worker->log, LOG_WARNING, "notify-failed", NULL, fields, 1);
}

/* False when the queue is full: another time. */
static bool post(struct notify *notify, const char *text)
{
    ssize_t sent = sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
                          (const struct sockaddr *)&notify->address, notify->address_bytes);
    if (sent >= 0)
        return true;
    if (errno == EAGAIN || errno == ENOBUFS)
        return false;
    report_failure(notify, strerror(errno));
    return true; /* it would not become better */
}

static void set_again(struct notify *notify, uint64_t due_ms)
{
    timers_set(&notify->worker->timers, &notify->again, due_ms);
}

/* A state must arrive.  One that could not be sent is replaced by the next, which counts more. */
static void post_state(struct notify *notify, const char *text)
{
    if (notify->fd < 0)
        return;
    snprintf(notify->waiting, sizeof(notify->waiting), "%s", text);
    if (post(notify, notify->waiting))
        notify->waiting[0] = '\0';
    else
        set_again(notify, worker_now(notify->worker) + NOTIFY_AGAIN_MS);
}

/* ---- status -------------------------------------------------------------------------------- */

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void format_status(const struct notify_counts *counts, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "STATUS=%zu link%s, %zu session%s, %zu open upstream%s", counts->links,
             plural(counts->links), counts->sessions, plural(counts->sessions), counts->open,
             plural(counts->open));
}

static bool counts_differ(const struct notify_counts *one, const struct notify_counts *other)
{
    return one->links != other->links || one->sessions != other->sessions ||
           one->open != other->open;
}

static void say_status(struct notify *notify)
{
    char text[NOTIFY_BYTES_MAX];
    if (notify->fd < 0 || !notify->is_ready || !counts_differ(&notify->counts, &notify->said))
        return;
    uint64_t now_ms = worker_now(notify->worker);
    uint64_t next_ms = notify->status_ms + NOTIFY_STATUS_MS;
    if (now_ms < next_ms) {
        if (notify->waiting[0] == '\0') /* otherwise it is set already */
            set_again(notify, next_ms);
        return;
    }
    format_status(&notify->counts, text, sizeof(text));
    notify->status_ms = now_ms;
    if (post(notify, text))
        notify->said = notify->counts;
    else
        set_again(notify, now_ms + NOTIFY_STATUS_MS);
}

void notify_status(struct notify *notify, const struct notify_counts *counts)
{
    notify->counts = *counts;
    say_status(notify);
}

static void on_again(struct timer *timer)
{
    struct notify *notify = container_of(timer, struct notify, again);
    if (notify->waiting[0] != '\0' && !post(notify, notify->waiting)) {
        set_again(notify, worker_now(notify->worker) + NOTIFY_AGAIN_MS);
        return;
    }
    notify->waiting[0] = '\0';
    say_status(notify);
}

/* ---- states -------------------------------------------------------------------------------- */

void notify_ready(struct notify *notify)
{
    char status[NOTIFY_BYTES_MAX / 2];
    char text[NOTIFY_BYTES_MAX];
    notify->is_ready = true;
    notify->said = notify->counts;
    notify->status_ms = worker_now(notify->worker);
    format_status(&notify->counts, status, sizeof(status));
    snprintf(text, sizeof(text), "READY=1\n%s", status);
    post_state(notify, text);
}

void notify_reloading(struct notify *notify)
{
    struct timespec now = {0};
    char text[NOTIFY_BYTES_MAX];
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_us);
    post_state(notify, text);
}

void notify_stopping(struct notify *notify, uint64_t stop_ms)
{
    char text[NOTIFY_BYTES_MAX];
    snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64, stop_ms * 1000);
    post_state(notify, text);
}

/* ---- the watchdog -------------------------------------------------------------------------- */

/* A timer of the loop: one that does not turn says nothing, nor for others that do not. */
static void on_watchdog(struct timer *timer)
{
    struct notify *notify = container_of(timer, struct notify, watchdog);
    if (workers_have_turned(notify->workers))
        (void)post(notify, "WATCHDOG=1"); /* lost: the next one comes before the manager gives up */
    timers_set(&notify->worker->timers, timer, worker_now(notify->worker) + notify->watchdog_ms);
}

static bool parse_number(const char *text, uint64_t *number)
{
    char *end;
    if (!text || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* Half of WATCHDOG_USEC; 0 when it is not meant for us. */
static uint64_t read_watchdog_ms(void)
{
    const char *whose = getenv("WATCHDOG_PID");
    uint64_t pid;
    uint64_t wait_us;
    if (whose && (!parse_number(whose, &pid) || pid != (uint64_t)getpid()))
        return 0;
    if (!parse_number(getenv("WATCHDOG_USEC"), &wait_us) || wait_us == 0)
        return 0;
    return wait_us < 2000 ? 1 : wait_us / 2000;
}

/* ---- life ---------------------------------------------------------------------------------- */

/* "/run/systemd/notify", or "@name" for an abstract one. */
static bool read_address(struct notify *notify, const char *text)
{
    size_t bytes = strlen(text);
    notify->address.sun_family = AF_UNIX;
    if ((text[0] != '/' && text[0] != '@') || text[1] == '\0' ||
        bytes >= sizeof(notify->address.sun_path))
        return false;
    memcpy(notify->address.sun_path, text, bytes);
    if (text[0] == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    return true;
}

static void open_socket(struct notify *notify, const char *text)
{
    if (!read_address(notify, text)) {
        report_failure(notify, "NOTIFY_SOCKET is neither a path nor an abstract name");
        return;
    }
    struct timers *timers = &notify->worker->timers;
    if (!timers_add(timers, &notify->again, on_again) ||
        !timers_add(timers, &notify->watchdog, on_watchdog)) {
        report_failure(notify, strerror(ENOMEM));
        return;
    }
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (notify->fd < 0)
        report_failure(notify, strerror(errno));
}

void notify_init(struct notify *notify, struct workers *workers)
{
    const char *socket_name = getenv("NOTIFY_SOCKET");
    struct worker *worker = workers_main(workers);
    *notify = (struct notify){.worker = worker, .workers = workers, .fd = -1};
    if (socket_name && socket_name[0] != '\0')
        open_socket(notify, socket_name);
    notify->watchdog_ms = notify->fd >= 0 ? read_watchdog_ms() : 0;
    if (notify->watchdog_ms > 0)
        timers_set(&worker->timers, &notify->watchdog, worker_now(worker) + notify->watchdog_ms);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

void notify_clear(struct notify *notify)
{
    timers_remove(&notify->worker->timers, &notify->again);
    timers_remove(&notify->worker->timers, &notify->watchdog);
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}
