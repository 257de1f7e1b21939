/* From one configuration to the next. */
#include "wskeepd/reload.h"

#include <stdio.h>
#include <string.h>

#include "wskeepd/daemon.h"

/* What is prepared, and may still be given up. */
struct plan {
    struct daemon *daemon;
    struct link_list fresh;         /* links with names that are new */
    struct listener_list listeners; /* opened for it, in order; next_link says for whom */
    struct listener *last;          /* of listeners, while it is prepared */
};

static struct link *find_link(const struct link_list *links, const char *name)
{
    struct link *link;
    TAILQ_FOREACH(link, links, entry)
    if (strcmp(link->config->name, name) == 0)
        return link;
    return NULL;
}

static void report_cannot_listen(struct daemon *daemon, const char *name, const char *address,
                                 const char *why)
{
    char sentence[2 * LISTENER_ERROR_BYTES];
    snprintf(sentence, sizeof(sentence), "%s: cannot listen on %s: %s", name, address, why);
    const struct log_field fields[] = {log_text("link", name), log_text("address", address),
                                       log_text("why", why)};
    log_line(&daemon->log, LOG_ERROR, "cannot-listen", sentence, fields, 3);
}

static void report_listening(struct daemon *daemon, const char *name, const char *address)
{
    char sentence[2 * LISTENER_ERROR_BYTES];
    snprintf(sentence, sizeof(sentence), "%s: listening on %s", name, address);
    const struct log_field fields[] = {log_text("link", name), log_text("address", address)};
    log_line(&daemon->log, LOG_INFO, "listening", sentence, fields, 2);
}

static void report_cannot_secure(struct daemon *daemon, const char *name,
                                 const struct tls_error *error)
{
    char sentence[LOG_LINE_BYTES_MAX / 2];
    snprintf(sentence, sizeof(sentence), "%s: %s: %s%s%s", name, error->key, error->path,
             error->path[0] ? ": " : "", error->why);
    const struct log_field fields[] = {log_text("link", name), log_text("key", error->key),
                                       log_text("file", error->path), log_text("why", error->why)};
    log_line(&daemon->log, LOG_ERROR, "cannot-secure", sentence, fields, 4);
}

/* ---- preparing ----------------------------------------------------------------------------- */

/* With TLS or without. */
static bool is_same_place(const struct config_listen *one, const struct config_listen *other)
{
    if (one->kind == CONFIG_LISTEN_TCP && other->kind == CONFIG_LISTEN_TCP)
        return one->port == other->port && strcmp(one->host, other->host) == 0;
    return strcmp(one->text, other->text) == 0;
}

/* Listeners at this address that nobody has claimed: they go on, also under another link. */
static bool claim_open_ones(struct plan *plan, struct link *to, const struct config_listen *listen)
{
    struct link *link;
    struct listener *listener;
    bool found = false;
    TAILQ_FOREACH(link, &plan->daemon->links, entry)
    {
        LIST_FOREACH(listener, &link->listeners, entry)
        {
            if (listener->next_link || !listener_is_reachable(listener) ||
                !is_same_place(listener->listen, listen))
                continue;
            listener->next_link = to;
            listener->next_listen = listen;
            found = true;
        }
    }
    return found;
}

static bool open_new_ones(struct plan *plan, struct link *to, struct link_config *config,
                          const struct config_listen *listen)
{
    char error[LISTENER_ERROR_BYTES];
    struct listener_list opened = LIST_HEAD_INITIALIZER(opened);
    if (!listener_open(to, listen, &config->client, &opened, error)) {
        report_cannot_listen(plan->daemon, config->name, listen->text, error);
        return false;
    }
    while (!LIST_EMPTY(&opened)) {
        struct listener *listener = LIST_FIRST(&opened);
        LIST_REMOVE(listener, entry);
        listener->next_link = to;
        listener->next_listen = listen;
        if (plan->last)
            LIST_INSERT_AFTER(plan->last, listener, entry);
        else
            LIST_INSERT_HEAD(&plan->listeners, listener, entry);
        plan->last = listener;
    }
    return true;
}

static bool prepare_link(struct plan *plan, struct link_config *config)
{
    struct link *link = find_link(&plan->daemon->links, config->name);
    if (!link) {
        link = link_new(workers_main(&plan->daemon->workers), config);
        if (!link) {
            report_cannot_listen(plan->daemon, config->name, config->listens[0].text, "no memory");
            return false;
        }
        TAILQ_INSERT_TAIL(&plan->fresh, link, entry);
    }
    struct tls_error error;
    if (!tls_pair_load(&link->next_tls, config, &error)) {
        report_cannot_secure(plan->daemon, config->name, &error);
        return false;
    }
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listens[i];
        if (!claim_open_ones(plan, link, listen) && !open_new_ones(plan, link, config, listen))
            return false;
    }
    return true;
}

static void give_up(struct plan *plan)
{
    struct link *link;
    struct listener *listener;
    while (!LIST_EMPTY(&plan->listeners))
        listener_close(LIST_FIRST(&plan->listeners));
    while ((link = TAILQ_FIRST(&plan->fresh))) {
        TAILQ_REMOVE(&plan->fresh, link, entry);
        link_release(link);
    }
    TAILQ_FOREACH(link, &plan->daemon->links, entry)
    {
        tls_pair_clear(&link->next_tls);
        LIST_FOREACH(listener, &link->listeners, entry)
        listener->next_link = NULL;
    }
}

/* ---- carrying out -------------------------------------------------------------------------- */

/* Take what is claimed out of its link, and close what is not. */
static void collect_listeners(struct plan *plan, struct link *link)
{
    while (!LIST_EMPTY(&link->listeners)) {
        struct listener *listener = LIST_FIRST(&link->listeners);
        if (!listener->next_link) {
            listener_close(listener);
            continue;
        }
        LIST_REMOVE(listener, entry);
        LIST_INSERT_HEAD(&plan->listeners, listener, entry);
    }
}

static bool is_configured(const struct config *config, const struct link *link)
{
    for (size_t i = 0; i < config->link_count; i++)
        if (strcmp(config->links[i]->name, link->config->name) == 0)
            return true;
    return false;
}

/* Its sessions are told with those of the others; it goes with its last one. */
static void remove_link(struct daemon *daemon, struct link *link)
{
    TAILQ_REMOVE(&daemon->links, link, entry);
    link->is_removed = true;
    link_release(link);
}

static void hand_out_listeners(struct plan *plan)
{
    const struct config_listen *reported = NULL; /* a name may have two addresses */
    while (!LIST_EMPTY(&plan->listeners)) {
        struct listener *listener = LIST_FIRST(&plan->listeners);
        struct link *link = listener->next_link;
        bool is_new = listener->listen == listener->next_listen;
        LIST_REMOVE(listener, entry);
        listener->link = link; /* the one before may be gone */
        listener->listen = listener->next_listen;
        listener->next_link = NULL;
        LIST_INSERT_HEAD(&link->listeners, listener, entry);
        if (!is_new)
            listener_set_access(listener, &link->config->client);
        else if (listener->listen != reported)
            report_listening(plan->daemon, link->config->name, listener->listen->text);
        reported = listener->listen;
        listener_start(listener);
    }
}

static void carry_out(struct plan *plan, const struct config *config)
{
    struct daemon *daemon = plan->daemon;
    struct link *link;
    struct link *next;
    for (link = TAILQ_FIRST(&daemon->links); link; link = next) {
        next = TAILQ_NEXT(link, entry);
        collect_listeners(plan, link);
        if (!is_configured(config, link))
            remove_link(daemon, link);
    }
    workers_shutdown_removed(&daemon->workers);
    TAILQ_CONCAT(&daemon->links, &plan->fresh, entry);
    for (size_t i = 0; i < config->link_count; i++)
        link_set_config(find_link(&daemon->links, config->links[i]->name), config->links[i]);
    hand_out_listeners(plan);
}

static bool is_claimed(const struct daemon *daemon, int fd)
{
    const struct link *link;
    const struct listener *listener;
    TAILQ_FOREACH(link, &daemon->links, entry)
    LIST_FOREACH(listener, &link->listeners, entry)
    if (listener->fd == fd)
        return true;
    return false;
}

/* Clients of a socket that was handed over and that no link listens on would wait for ever. */
static void report_unclaimed(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->handover.count; i++) {
        const struct handover_socket *socket = &daemon->handover.sockets[i];
        char sentence[LISTENER_ERROR_BYTES + HANDOVER_NAME_BYTES_MAX];
        if (is_claimed(daemon, socket->fd))
            continue;
        snprintf(sentence, sizeof(sentence),
                 "no link listens on a socket that was handed over: systemd:%s", socket->name);
        const struct log_field fields[] = {log_text("name", socket->name),
                                           log_number("fd", (uint64_t)socket->fd)};
        log_line(&daemon->log, LOG_WARNING, "socket-unclaimed", sentence, fields, 2);
    }
}

bool reload_apply(struct daemon *daemon, const struct config *config)
{
    struct plan plan = {.daemon = daemon};
    TAILQ_INIT(&plan.fresh);
    LIST_INIT(&plan.listeners);
    for (size_t i = 0; i < config->link_count; i++) {
        if (prepare_link(&plan, config->links[i]))
            continue;
        give_up(&plan);
        return false;
    }
    carry_out(&plan, config);
    report_unclaimed(daemon);
    daemon->link_count = config->link_count;
    log_set(&daemon->log, (enum log_level)config->log_level, (enum log_format)config->log_format);
    workers_set_memory(&daemon->workers, config->memory_bytes_max);
    return true;
}
