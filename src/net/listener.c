/* Where clients connect. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "net/arrival.h"
#include "net/handover.h"
#include "net/link.h"
#include "net/listener_unix.h"
#include "net/workers.h"

/* ---- accepting ----------------------------------------------------------------------------- */

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* No descriptor is left: a client that waits would wake us at once, again and again. */
static void pause_accepting(struct listener *listener, int error)
{
    struct worker *worker = listener->worker;
    event_del(&listener->event);
    listener->is_paused = true;
    timers_set(&worker->timers, &listener->timer, worker_now(worker) + LISTENER_PAUSE_MS);
    if (listener->shortage_is_logged)
        return;
    listener->shortage_is_logged = true;
    char sentence[LISTENER_ERROR_BYTES];
    const char *name = listener->link->config->name;
    snprintf(sentence, sizeof(sentence), "%s: cannot accept clients: %s", name, strerror(error));
    const struct log_field fields[] = {log_text("link", name),
                                       log_text("address", listener->listen->text),
                                       log_text("why", strerror(error))};
    log_line(worker->log, LOG_ERROR, "accept-paused", sentence, fields, 3);
}

/* With the worker's spare descriptor.  False: nobody waits, or even that one did not help. */
static bool turn_one_away(struct listener *listener)
{
    struct worker *worker = listener->worker;
    if (!worker_lend_spare(worker))
        return false;
    int client = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client >= 0) {
        struct arrival arrival;
        arrival_init(&arrival, listener->link, listener->listen, client);
        arrival_turn_away(&arrival, worker, "no descriptors");
    }
    worker_restore_spare(worker);
    return client >= 0;
}

static void on_client(evutil_socket_t fd, short what, void *argument)
{
    struct listener *listener = argument;
    bool was_paused = listener->is_paused;
    (void)what;
    listener->is_paused = false;
    for (int i = 0; i < LISTENER_ACCEPT_COUNT_MAX; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            listener->shortage_is_logged = false;
            struct arrival arrival;
            arrival_init(&arrival, listener->link, listener->listen, client);
            workers_welcome(listener->worker->workers, &arrival);
            continue;
        }
        int error = errno;
        if (error == EAGAIN || error == EWOULDBLOCK)
            return;
        if (is_shortage(error)) {
            if (was_paused && turn_one_away(listener))
                continue; /* short for a while: who waits is told, rather than left to hang */
            pause_accepting(listener, error);
            return;
        }
        /* ECONNABORTED and the like: that client is gone, the next may be fine */
    }
}

static void on_timer(struct timer *timer)
{
    struct listener *listener = container_of(timer, struct listener, timer);
    listener_start(listener);
}

void listener_start(struct listener *listener)
{
    worker_restore_spare(listener->worker);
    if (event_add(&listener->event, NULL) != 0)
        pause_accepting(listener, ENOMEM);
}

/* Takes fd, also when it fails, unless it is lent. */
static struct listener *listener_new(struct link *link, const struct config_listen *listen, int fd,
                                     bool is_lent)
{
    struct worker *worker = link->worker;
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener || !timers_add(&worker->timers, &listener->timer, on_timer)) {
        free(listener);
        if (!is_lent)
            close(fd);
        return NULL;
    }
    listener->worker = worker;
    listener->link = link;
    listener->listen = listen;
    listener->fd = fd;
    listener->name_fd = -1;
    listener->is_lent = is_lent;
    event_assign(&listener->event, worker->base, fd, EV_READ | EV_PERSIST, on_client, listener);
    return listener;
}

bool listener_is_reachable(const struct listener *listener)
{
    return listener->name_fd < 0 || listener_unix_is_at(listener->name_fd, listener->listen->path);
}

void listener_close(struct listener *listener)
{
    event_del(&listener->event);
    timers_remove(&listener->worker->timers, &listener->timer);
    if (listener->name_fd >= 0) {
        if (listener_is_reachable(listener))
            (void)unlink(listener->listen->path); /* read-only by now: it stays, stale */
        close(listener->name_fd);
    }
    if (!listener->is_lent)
        close(listener->fd);
    LIST_REMOVE(listener, entry);
    free(listener);
}

bool listener_fail(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, LISTENER_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- TCP ----------------------------------------------------------------------------------- */

static int tcp_socket(const struct addrinfo *address)
{
    const int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (address->ai_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, LISTENER_BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* localhost may have an IPv6 address on a machine without IPv6: one address is enough. */
static bool is_absent(int error)
{
    return error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
}

static bool open_tcp(struct link *link, const struct config_listen *listen,
                     struct listener_list *list, char *error)
{
    struct addrinfo *addresses;
    char port[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    snprintf(port, sizeof(port), "%u", (unsigned)listen->port);
    int failure = getaddrinfo(listen->host, port, &hints, &addresses);
    if (failure)
        return listener_fail(error, "%s", gai_strerror(failure));

    int absent = 0;
    bool is_open = false;
    for (const struct addrinfo *address = addresses; address; address = address->ai_next) {
        int fd = tcp_socket(address);
        if (fd < 0 && is_absent(errno)) {
            absent = errno;
            continue;
        }
        struct listener *listener = fd >= 0 ? listener_new(link, listen, fd, false) : NULL;
        if (!listener) {
            (void)listener_fail(error, "%s", strerror(fd < 0 ? errno : ENOMEM));
            freeaddrinfo(addresses);
            return false;
        }
        LIST_INSERT_HEAD(list, listener, entry);
        is_open = true;
    }
    freeaddrinfo(addresses);
    return is_open || listener_fail(error, "%s", strerror(absent));
}

/* ---- Unix ---------------------------------------------------------------------------------- */

static struct listener_unix_access access_of(const struct config_client *client,
                                             const struct worker *worker)
{
    return (struct listener_unix_access){
        .mode = client->mode,
        .owner = client->owner != (uid_t)-1 ? client->owner : worker->socket_owner,
        .group = client->group != (gid_t)-1 ? client->group : worker->socket_group};
}

void listener_set_access(const struct listener *listener, const struct config_client *client)
{
    const char *name = listener->link->config->name;
    const struct listener_unix_access access = access_of(client, listener->worker);
    if (listener->name_fd < 0 || listener_unix_set_access(listener->name_fd, &access))
        return;
    const struct log_field fields[] = {log_text("link", name),
                                       log_text("address", listener->listen->text),
                                       log_text("why", strerror(errno))};
    log_line(listener->worker->log, LOG_ERROR, "access-unchanged", NULL, fields, 3);
}

static bool open_unix(struct link *link, const struct config_listen *listen,
                      const struct config_client *client, struct listener_list *list, char *error)
{
    const struct listener_unix_access access = access_of(client, link->worker);
    struct listener_unix made;
    if (!listener_unix_open(listen->path, &access, &link->worker->chance, &made, error))
        return false;
    struct listener *listener = listener_new(link, listen, made.fd, false);
    if (!listener) {
        (void)unlink(listen->path);
        close(made.name_fd);
        return listener_fail(error, "%s", strerror(ENOMEM));
    }
    listener->name_fd = made.name_fd;
    LIST_INSERT_HEAD(list, listener, entry);
    return true;
}

/* ---- handed over --------------------------------------------------------------------------- */

/* What there is instead, for whoever mistyped a name. */
static bool fail_unknown(const struct handover *handover, char *error)
{
    char names[LISTENER_ERROR_BYTES / 2];
    size_t used = 0;
    names[0] = '\0';
    for (size_t i = 0; handover && i < handover->count && used < sizeof(names); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
                                 handover->sockets[i].name);
    if (names[0] == '\0')
        return listener_fail(error, "no socket was handed over");
    return listener_fail(error, "no socket of this name was handed over, only %s", names);
}

static bool open_handed_over(struct link *link, const struct config_listen *listen,
                             struct listener_list *list, char *error)
{
    const struct handover *handover = link->worker->handover;
    bool is_open = false;
    for (size_t i = 0; handover && i < handover->count; i++) {
        const struct handover_socket *socket = &handover->sockets[i];
        if (strcmp(socket->name, listen->name) != 0)
            continue;
        const char *why = handover_check(socket->fd);
        if (why)
            return listener_fail(error, "%s", why);
        int flags = fcntl(socket->fd, F_GETFL);
        if (flags < 0 || fcntl(socket->fd, F_SETFL, flags | O_NONBLOCK) != 0)
            return listener_fail(error, "%s", strerror(errno));
        struct listener *listener = listener_new(link, listen, socket->fd, true);
        if (!listener)
            return listener_fail(error, "%s", strerror(ENOMEM));
        LIST_INSERT_HEAD(list, listener, entry);
        is_open = true;
    }
    return is_open || fail_unknown(handover, error);
}

/* ---- all of them --------------------------------------------------------------------------- */

static bool open_one(struct link *link, const struct config_listen *listen,
                     const struct config_client *client, struct listener_list *list, char *error)
{
    switch (listen->kind) {
    case CONFIG_LISTEN_TCP:
        return open_tcp(link, listen, list, error);
    case CONFIG_LISTEN_UNIX:
        return open_unix(link, listen, client, list, error);
    case CONFIG_LISTEN_SYSTEMD:
        return open_handed_over(link, listen, list, error);
    }
    return false;
}

bool listener_open(struct link *link, const struct config_listen *listen,
                   const struct config_client *client, struct listener_list *list, char *error)
{
    struct listener_list opened = LIST_HEAD_INITIALIZER(opened);
    bool done = open_one(link, listen, client, &opened, error);
    while (!LIST_EMPTY(&opened)) {
        struct listener *listener = LIST_FIRST(&opened);
        if (!done) {
            /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the one before it has left the list */
            listener_close(listener);
            continue;
        }
        LIST_REMOVE(listener, entry);
        LIST_INSERT_HEAD(list, listener, entry);
    }
    return done;
}
