/* Sockets that the service manager hands over. */
#include "net/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool parse_number(const char *text, unsigned long *number)
{
    char *end;
    if (!text || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* Cut the next name off *names; a list that is too short or absent gives systemd's default. */
static char *next_name(const char **names)
{
    const char *at = *names;
    if (!at)
        return strdup("unknown");
    size_t bytes = strcspn(at, ":");
    *names = at[bytes] == ':' ? at + bytes + 1 : NULL;
    return strndup(at, bytes);
}

static const char *take(struct handover *handover, size_t count, const char *names)
{
    handover->sockets = calloc(count, sizeof(*handover->sockets));
    if (!handover->sockets)
        return strerror(ENOMEM);
    for (size_t i = 0; i < count; i++) {
        int fd = HANDOVER_FIRST_FD + (int)i;
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0)
            return "LISTEN_FDS names descriptors that are not open";
        char *name = next_name(&names);
        if (!name)
            return strerror(ENOMEM);
        handover->sockets[handover->count++] = (struct handover_socket){.name = name, .fd = fd};
    }
    return NULL;
}

const char *handover_take(struct handover *handover)
{
    unsigned long pid;
    unsigned long count;
    const char *why = NULL;
    *handover = (struct handover){0};
    /* LISTEN_PID of another: they were meant for whoever has started us */
    if (parse_number(getenv("LISTEN_PID"), &pid) && pid == (unsigned long)getpid()) {
        if (!parse_number(getenv("LISTEN_FDS"), &count))
            why = "LISTEN_FDS is no number";
        else if (count > HANDOVER_COUNT_MAX)
            why = "LISTEN_FDS: too many sockets";
        else if (count > 0)
            why = take(handover, count, getenv("LISTEN_FDNAMES"));
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (why) {
        for (size_t i = 0; i < handover->count; i++)
            free(handover->sockets[i].name);
        free(handover->sockets);
        *handover = (struct handover){0};
    }
    return why;
}

void handover_clear(struct handover *handover)
{
    for (size_t i = 0; i < handover->count; i++) {
        close(handover->sockets[i].fd);
        free(handover->sockets[i].name);
    }
    free(handover->sockets);
    *handover = (struct handover){0};
}

static int option(int fd, int name)
{
    int value;
    socklen_t bytes = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) == 0 ? value : -1;
}

const char *handover_check(int fd)
{
    int family = option(fd, SO_DOMAIN);
    if (family < 0)
        return "it is no socket";
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return "it is neither of TCP nor of Unix";
    if (option(fd, SO_TYPE) != SOCK_STREAM)
        return "it is no stream socket; expected ListenStream=";
    if (option(fd, SO_ACCEPTCONN) != 1)
        return "it does not listen; expected Accept=no";
    return NULL;
}
