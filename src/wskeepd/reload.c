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

/* ---- preparing ----------------------------------------------------------------------------- */

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
                strcmp(listener->listen->text, listen->text) != 0)
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
        link = link_new(&plan->daemon->worker, config);
        if (!link) {
            report_cannot_listen(plan->daemon, config->name, config->listens[0].text, "no memory");
            return false;
        }
        TAILQ_INSERT_TAIL(&plan->fresh, link, entry);
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
        link_free(link);
    }
    TAILQ_FOREACH(link, &plan->daemon->links, entry)
    LIST_FOREACH(listener, &link->listeners, entry)
    listener->next_link = NULL;
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

static void remove_link(struct daemon *daemon, struct link *link)
{
    TAILQ_REMOVE(&daemon->links, link, entry);
    link->is_removed = true;
    link_shutdown(link);
    if (LIST_EMPTY(&link->sessions))
        link_free(link); /* otherwise with its last session */
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
    for (size_t i = 0; i < config->link_count; i++) {
        link = find_link(&daemon->links, config->links[i]->name);
        if (link)
            link_set_config(link, config->links[i]);
    }
    TAILQ_CONCAT(&daemon->links, &plan->fresh, entry);
    hand_out_listeners(plan);
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
    daemon->log.level = (enum log_level)config->log_level;
    daemon->log.format = (enum log_format)config->log_format;
    daemon->worker.budget.bytes_max = config->memory_bytes_max;
    daemon->worker.budget.refused_bytes = UINT64_MAX; /* who was turned away may try again */
    return true;
}
