/* The wskeepd in the middle. */
#include "wskeepctl/demo_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_RUN = 127 };

static const char program[] = "wskeepd";

/* Times are short, so that silence is noticed while one watches. */
static const char config_format[] =
    "log: {level: info, format: json}\n"
    "links:\n"
    "  - name: demo\n"
    "    listen: ws+unix:%s\n"
    "    upstream: {url: \"ws://127.0.0.1:%u/\", connect_timeout: 2s}\n"
    "    heartbeat: {interval: 400ms, timeout: 600ms}\n"
    "    reconnect: {initial_delay: 100ms, max_delay: 400ms}\n";

__attribute__((format(printf, 2, 3))) static bool fail(char *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, DEMO_DAEMON_WHY_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- where it is --------------------------------------------------------------------------- */

/* directory/wskeepd, when it is a program: then it is copied to path. */
static bool is_in(const char *directory, size_t directory_bytes, char *path)
{
    char candidate[DEMO_DAEMON_PATH_BYTES];
    struct stat status;
    int bytes =
        snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)directory_bytes, directory, program);
    if (bytes < 0 || (size_t)bytes >= sizeof(candidate))
        return false;
    if (stat(candidate, &status) != 0 || !S_ISREG(status.st_mode) || access(candidate, X_OK) != 0)
        return false;
    memcpy(path, candidate, (size_t)bytes + 1);
    return true;
}

static bool is_beside_us(char *path)
{
    char self[DEMO_DAEMON_PATH_BYTES];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (bytes <= 0)
        return false;
    self[bytes] = '\0';
    const char *slash = strrchr(self, '/');
    return slash != NULL && is_in(self, (size_t)(slash - self), path);
}

static bool is_in_path(char *path)
{
    const char *at = getenv("PATH");
    while (at != NULL) {
        size_t bytes = strcspn(at, ":");
        if (at[0] == '/' && is_in(at, bytes, path)) /* never from the working directory */
            return true;
        at = at[bytes] == ':' ? at + bytes + 1 : NULL;
    }
    return false;
}

bool demo_daemon_find(char *path)
{
    return is_beside_us(path) || is_in(SBINDIR, strlen(SBINDIR), path) || is_in_path(path);
}

/* ---- its directory ------------------------------------------------------------------------- */

/* Short enough for a socket, and nothing in it that the configuration would read as its own. */
static bool is_plain_directory(const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789/._-+";
    size_t bytes = strlen(path);
    return path[0] == '/' && bytes + sizeof("/wskeep-demo-XXXXXX") <= DEMO_DAEMON_DIRECTORY_BYTES &&
           strspn(path, plain) == bytes;
}

static bool make_directory(struct demo_daemon *daemon, char *why)
{
    const char *base = getenv("TMPDIR");
    if (base == NULL || !is_plain_directory(base))
        base = "/tmp";
    char directory[DEMO_DAEMON_DIRECTORY_BYTES];
    snprintf(directory, sizeof(directory), "%s/wskeep-demo-XXXXXX", base);
    if (mkdtemp(directory) == NULL)
        return fail(why, "cannot make a directory in %s: %s", base, strerror(errno));
    memcpy(daemon->directory, directory, sizeof(directory));
    snprintf(daemon->config_path, sizeof(daemon->config_path), "%s/wskeep.yaml", directory);
    snprintf(daemon->socket_path, sizeof(daemon->socket_path), "%s/demo.sock", directory);
    return true;
}

static bool write_config(struct demo_daemon *daemon, uint16_t port, char *why)
{
    FILE *file = fopen(daemon->config_path, "wxe");
    if (file == NULL)
        return fail(why, "cannot write %s: %s", daemon->config_path, strerror(errno));
    fprintf(file, config_format, daemon->socket_path, (unsigned)port);
    if (fclose(file) != 0)
        return fail(why, "cannot write %s: %s", daemon->config_path, strerror(errno));
    return true;
}

/* ---- its life ------------------------------------------------------------------------------ */

/* In the child: only what is safe after fork().  What goes wrong is said into the pipe. */
__attribute__((noreturn)) static void run_child(const char *path, const char *config_path,
                                                const int *pipe_fds, int null_fd, pid_t parent,
                                                const sigset_t *mask)
{
    char *arguments[] = {(char *)(uintptr_t)path, (char *)(uintptr_t) "-c",
                         (char *)(uintptr_t)config_path, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(CANNOT_RUN); /* the demo ended before it could be asked */
    setpgid(0, 0);         /* Ctrl-C is for the demo, which ends us properly */
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (dup2(null_fd, STDIN_FILENO) >= 0 && dup2(null_fd, STDOUT_FILENO) >= 0 &&
        dup2(pipe_fds[1], STDERR_FILENO) >= 0)
        execv(path, arguments);
    dprintf(pipe_fds[1], "%s\n", strerror(errno));
    _exit(CANNOT_RUN);
}

void demo_daemon_none(struct demo_daemon *daemon)
{
    memset(daemon, 0, sizeof(*daemon));
    daemon->log_fd = -1;
}

bool demo_daemon_start(struct demo_daemon *daemon, const char *path, uint16_t port,
                       const sigset_t *mask, char *why)
{
    int pipe_fds[2] = {-1, -1};
    int null_fd = -1;
    demo_daemon_none(daemon);
    if (!make_directory(daemon, why) || !write_config(daemon, port, why))
        return false;
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) != 0)
        goto fail;
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid < 0)
        goto fail;
    if (pid == 0)
        run_child(path, daemon->config_path, pipe_fds, null_fd, self, mask);
    daemon->pid = pid;
    daemon->log_fd = pipe_fds[0];
    close(pipe_fds[1]);
    close(null_fd);
    return true;

fail:
    fail(why, "cannot start %s: %s", path, strerror(errno));
    if (null_fd >= 0)
        close(null_fd);
    if (pipe_fds[0] >= 0) {
        close(pipe_fds[0]);
        close(pipe_fds[1]);
    }
    return false;
}

void demo_daemon_clear(struct demo_daemon *daemon)
{
    if (daemon->pid > 0) {
        kill(daemon->pid, SIGKILL);
        waitpid(daemon->pid, NULL, 0); /* nothing outlives SIGKILL for long */
        daemon->pid = 0;
    }
    if (daemon->log_fd >= 0)
        close(daemon->log_fd);
    daemon->log_fd = -1;
    if (daemon->directory[0] == '\0')
        return;
    unlink(daemon->config_path);
    unlink(daemon->socket_path);
    rmdir(daemon->directory);
    daemon->directory[0] = '\0';
}

void demo_daemon_reap(struct demo_daemon *daemon)
{
    if (daemon->pid > 0 && waitpid(daemon->pid, &daemon->wait_status, WNOHANG) == daemon->pid) {
        daemon->pid = 0;
        daemon->has_ended = true;
    }
}

void demo_daemon_signal(const struct demo_daemon *daemon, int number)
{
    if (daemon->pid > 0)
        kill(daemon->pid, number);
}

bool demo_daemon_did_not_run(const struct demo_daemon *daemon)
{
    return WIFEXITED(daemon->wait_status) && WEXITSTATUS(daemon->wait_status) == CANNOT_RUN;
}

void demo_daemon_end_text(const struct demo_daemon *daemon, char *text, size_t text_bytes)
{
    if (WIFSIGNALED(daemon->wait_status))
        snprintf(text, text_bytes, "was ended by signal %d (%s)", WTERMSIG(daemon->wait_status),
                 strsignal(WTERMSIG(daemon->wait_status)));
    else
        snprintf(text, text_bytes, "ended with exit status %d", WEXITSTATUS(daemon->wait_status));
}

/* ---- its log ------------------------------------------------------------------------------- */

void demo_daemon_read(struct demo_daemon *daemon)
{
    if (daemon->log_fd < 0 || daemon->log_bytes == sizeof(daemon->log))
        return;
    ssize_t got = read(daemon->log_fd, daemon->log + daemon->log_bytes,
                       sizeof(daemon->log) - daemon->log_bytes);
    if (got > 0) {
        daemon->log_bytes += (size_t)got;
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(daemon->log_fd);
        daemon->log_fd = -1;
    }
}

bool demo_daemon_next_line(struct demo_daemon *daemon, char *line)
{
    const char *newline = memchr(daemon->log, '\n', daemon->log_bytes);
    size_t line_bytes = newline != NULL ? (size_t)(newline - daemon->log) : daemon->log_bytes;
    bool is_at_end = daemon->log_fd < 0 && line_bytes > 0;
    if (newline == NULL && daemon->log_bytes < LOG_LINE_BYTES_MAX && !is_at_end)
        return false;
    if (line_bytes > LOG_LINE_BYTES_MAX - 1) { /* not of our making: it is shown in pieces */
        line_bytes = LOG_LINE_BYTES_MAX - 1;
        newline = NULL;
    }
    for (size_t i = 0; i < line_bytes; i++) {
        unsigned char byte = (unsigned char)daemon->log[i];
        line[i] = byte < ' ' || byte == 0x7f ? '?' : (char)byte;
    }
    line[line_bytes] = '\0';
    size_t used = line_bytes + (newline != NULL ? 1 : 0);
    daemon->log_bytes -= used;
    memmove(daemon->log, daemon->log + used, daemon->log_bytes);
    return true;
}

/*
 * The value of one field of a log line, "" when it has none.  Quotes within a value are escaped
 * (log.c), so "name": with plain quotes stands nowhere but in front of a value.
 */
static bool get_field(const char *line, const char *name, char *value, size_t value_bytes)
{
    char quoted[40];
    size_t used = 0;
    value[0] = '\0';
    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    const char *at = strstr(line, quoted);
    if (at == NULL)
        return false;
    at += strlen(quoted);
    bool is_text = *at == '"';
    for (at += is_text ? 1 : 0; *at != '\0' && used + 1 < value_bytes; at++) {
        if (is_text ? *at == '"' : *at == ',' || *at == '}')
            break;
        if (*at == '\\' && at[1] != '\0')
            at++;
        value[used++] = *at;
    }
    value[used] = '\0';
    return true;
}

static void get_cause(const char *line, char *cause, size_t cause_bytes)
{
    char number[24];
    char reason[40];
    get_field(line, "cause", cause, cause_bytes);
    size_t used = strlen(cause);
    if (get_field(line, "code", number, sizeof(number)) ||
        get_field(line, "http_status", number, sizeof(number)))
        used += (size_t)snprintf(cause + used, cause_bytes - used, " %.5s", number);
    if (get_field(line, "reason", reason, sizeof(reason)) && reason[0] != '\0' &&
        used < cause_bytes)
        snprintf(cause + used, cause_bytes - used, " \"%s\"", reason);
}

bool demo_daemon_parse(struct demo_daemon *daemon, const char *line, struct demo_log_line *log)
{
    char repeats[24];
    memset(log, 0, sizeof(*log));
    if (line[0] != '{' || !get_field(line, "event", log->event, sizeof(log->event))) {
        snprintf(daemon->last_words, sizeof(daemon->last_words), "%s", line);
        return false;
    }
    get_field(line, "level", log->level, sizeof(log->level));
    get_field(line, "to", log->to, sizeof(log->to));
    get_cause(line, log->cause, sizeof(log->cause));
    if (get_field(line, "repeats", repeats, sizeof(repeats)))
        log->repeats = strtoull(repeats, NULL, 10);
    return true;
}
