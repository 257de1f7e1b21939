/* Listening sockets. */
#include "net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/client.h"
#include "net/link.h"

/* One line: `game: ws://127.0.0.1:9001: address already in use`. */
static void say(const struct listener *listener, char *error, size_t error_bytes, const char *why)
{
    snprintf(error, error_bytes, "%s: %s: %s", listener->link->config->name, listener->text, why);
}

/* ---- accepting ---------------------------------------------------------------------------- */

static void set_accepting(struct listener *listener, bool accepting)
{
    for (unsigned i = 0; i < listener->socket_count; i++) {
        if (accepting)
            event_add(listener->sockets[i].event, NULL);
        else
            event_del(listener->sockets[i].event);
    }
}

static void on_pause_over(struct timer *timer, void *context)
{
    (void)timer;
    set_accepting(context, true);
}

/* Out of descriptors or memory: the listen queue holds the clients, and we do not spin. */
static void pause_accepting(struct listener *listener, int error)
{
    struct worker *worker = listener->link->worker;
    if (!listener->pause_logged) {
        const struct log_field fields[] = {log_text("link", listener->link->config->name),
                                           log_text("why", strerror(error))};
        char sentence[256];
        snprintf(sentence, sizeof sentence, "%s: cannot accept clients for now: %s",
                 listener->link->config->name, strerror(error));
        log_line(worker->log, LOG_WARNING, "accept-paused", sentence, fields, 2);
    }
    listener->pause_logged = true;
    set_accepting(listener, false);
    timers_arm(&worker->timers, &listener->pause, worker_now_ms(worker) + LISTENER_PAUSE_MS);
}

static void accept_some(struct listener_socket *socket_)
{
    struct listener *listener = socket_->listener;
    for (unsigned i = 0; i < LISTENER_ACCEPT_MAX; i++) {
        int fd = accept4(socket_->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener->pause_logged = false;
            client_accept(listener, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(listener, errno);
        if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
            return;
    }
}

static void on_connect(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    accept_some(context);
}

void listener_accept(struct listener *listener)
{
    for (unsigned i = 0; i < listener->socket_count; i++)
        accept_some(&listener->sockets[i]);
}

/* ---- opening ------------------------------------------------------------------------------ */

static bool add_socket(struct listener *listener, int fd)
{
    struct listener_socket *socket_ = &listener->sockets[listener->socket_count];
    *socket_ = (struct listener_socket){.listener = listener, .fd = fd};
    socket_->event = event_new(listener->link->worker->base, fd, EV_READ | EV_PERSIST, on_connect,
                               socket_);
    if (!socket_->event || event_add(socket_->event, NULL) < 0) {
        if (socket_->event)
            event_free(socket_->event);
        return false;
    }
    listener->socket_count++;
    return true;
}

static int open_tcp_socket(const struct addrinfo *address)
{
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool open_tcp(struct listener *listener, char *error, size_t error_bytes)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses;
    snprintf(port, sizeof port, "%u", (unsigned)listener->port);
    int result = getaddrinfo(listener->host, port, &hints, &addresses);
    if (result != 0) {
        say(listener, error, error_bytes, gai_strerror(result));
        return false;
    }
    bool opened = true;
    for (struct addrinfo *address = addresses;
         opened && address && listener->socket_count < LISTENER_SOCKET_COUNT_MAX;
         address = address->ai_next) {
        int fd = open_tcp_socket(address);
        if (fd < 0 && errno == EAFNOSUPPORT && address->ai_next)
            continue; /* localhost on a machine without IPv6 */
        opened = fd >= 0 && add_socket(listener, fd);
        if (!opened)
            say(listener, error, error_bytes, strerror(errno));
        if (!opened && fd >= 0)
            close(fd);
    }
    freeaddrinfo(addresses);
    return opened && listener->socket_count > 0;
}

/* Is the path free for us?  NULL: yes, or a stale socket stands there. */
static const char *path_is_taken(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) < 0)
        return errno == ENOENT ? NULL : strerror(errno);
    if (!S_ISSOCK(status.st_mode))
        return "a file that is not a socket is there";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return strerror(errno);
    int result = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int error = errno;
    close(fd);
    if (result < 0 && error == ECONNREFUSED)
        return NULL; /* left by a crash: nobody listens */
    return "already served by another process";
}

/* Bound under another name, made ready, and then moved into place: no moment with wrong rights. */
static int open_unix_socket(const struct sockaddr_un *address, const struct config_client *client)
{
    struct sockaddr_un temporary = {.sun_family = AF_UNIX};
    int bytes = snprintf(temporary.sun_path, sizeof temporary.sun_path, "%s.%ld",
                         address->sun_path, (long)getpid());
    if (bytes < 0 || (size_t)bytes >= sizeof temporary.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)unlink(temporary.sun_path); /* of an earlier process with our number */
    mode_t mask = umask(0177);
    int result = bind(fd, (const struct sockaddr *)&temporary, sizeof temporary);
    umask(mask);
    if (result < 0)
        goto fail;
    if (client->owner != (uid_t)-1 || client->group != (gid_t)-1)
        if (chown(temporary.sun_path, client->owner, client->group) < 0)
            goto fail_bound;
    if (chmod(temporary.sun_path, client->mode) == 0 && listen(fd, SOMAXCONN) == 0 &&
        rename(temporary.sun_path, address->sun_path) == 0)
        return fd;
fail_bound:
    result = errno;
    unlink(temporary.sun_path);
    errno = result;
fail:
    result = errno;
    close(fd);
    errno = result;
    return -1;
}

static bool open_unix(struct listener *listener, const struct config_client *client, char *error,
                      size_t error_bytes)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    if (strlen(listener->path) >= sizeof address.sun_path) {
        say(listener, error, error_bytes, "the path is too long for a Unix socket");
        return false;
    }
    strcpy(address.sun_path, listener->path);
    const char *taken = path_is_taken(&address);
    if (taken) {
        say(listener, error, error_bytes, taken);
        return false;
    }
    int fd = open_unix_socket(&address, client);
    if (fd < 0) {
        say(listener, error, error_bytes, strerror(errno));
        return false;
    }
    if (stat(listener->path, &status) == 0) {
        listener->device = status.st_dev;
        listener->inode = status.st_ino;
    }
    if (add_socket(listener, fd))
        return true;
    close(fd);
    say(listener, error, error_bytes, strerror(ENOMEM));
    return false;
}

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

struct listener *listener_new(struct link *link, const struct config_listen *listen,
                              const struct config_client *client, char *error,
                              size_t error_bytes)
{
    bool is_unix = listen->kind == CONFIG_LISTEN_UNIX;
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        snprintf(error, error_bytes, "%s: %s", link->config->name, strerror(ENOMEM));
        return NULL;
    }
    listener->link = link;
    listener->port = listen->port;
    listener->text = copy(listen->text);
    listener->host = is_unix ? NULL : copy(listen->host);
    listener->path = is_unix ? copy(listen->path) : NULL;
    bool complete = listener->text && (is_unix ? listener->path : listener->host) &&
                    timers_add(&link->worker->timers, &listener->pause, on_pause_over, listener);
    if (!complete) {
        snprintf(error, error_bytes, "%s: %s", link->config->name, strerror(ENOMEM));
        listener_free(listener);
        return NULL;
    }
    bool opened = is_unix ? open_unix(listener, client, error, error_bytes)
                          : open_tcp(listener, error, error_bytes);
    if (opened)
        return listener;
    listener_free(listener);
    return NULL;
}

void listener_free(struct listener *listener)
{
    struct stat status;
    timers_remove(&listener->link->worker->timers, &listener->pause);
    for (unsigned i = 0; i < listener->socket_count; i++) {
        event_free(listener->sockets[i].event);
        close(listener->sockets[i].fd);
    }
    if (listener->path && listener->inode && lstat(listener->path, &status) == 0 &&
        status.st_ino == listener->inode && status.st_dev == listener->device)
        (void)unlink(listener->path);
    free(listener->text);
    free(listener->host);
    free(listener->path);
    free(listener);
}
