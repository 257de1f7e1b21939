/* One link as it runs. */
#include "net/link.h"

#include <stdlib.h>
#include <string.h>

#include "net/relay.h"

struct link *link_new(struct worker *worker, struct link_config *config)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->worker = worker;
    link->config = link_config_hold(config);
    return link;
}

static void close_listeners(struct listener **list)
{
    while (*list) {
        struct listener *listener = *list;
        *list = listener->next;
        listener_free(listener);
    }
}

void link_free(struct link *link)
{
    close_listeners(&link->listeners);
    for (unsigned i = 0; i < link->choice_count; i++) {
        free(link->choices[i].offer);
        free(link->choices[i].subprotocol);
    }
    link_config_release(link->config);
    free(link);
}

static bool has_listener(const struct link *link, const char *text)
{
    for (const struct listener *listener = link->listeners; listener; listener = listener->next)
        if (strcmp(listener->text, text) == 0)
            return true;
    return false;
}

bool link_open(struct link *link, const struct link_config *config, char *error,
               size_t error_bytes)
{
    struct listener *before = link->listeners;
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listens[i];
        if (has_listener(link, listen->text))
            continue;
        struct listener *opened =
            listener_new(link, listen, &config->client, error, error_bytes);
        if (opened) {
            opened->next = link->listeners;
            link->listeners = opened;
            continue;
        }
        while (link->listeners != before) { /* all or nothing */
            struct listener *listener = link->listeners;
            link->listeners = listener->next;
            listener_free(listener);
        }
        return false;
    }
    return true;
}

void link_use(struct link *link, struct link_config *config)
{
    struct listener **at = &link->listeners;
    while (*at) {
        bool named = false;
        for (size_t i = 0; i < config->listen_count; i++)
            named = named || strcmp((*at)->text, config->listens[i].text) == 0;
        if (named) {
            at = &(*at)->next;
            continue;
        }
        struct listener *listener = *at;
        *at = listener->next;
        listener_free(listener);
    }
    struct link_config *old = link->config;
    link->config = link_config_hold(config);
    link_config_release(old);
}

void link_shut(struct link *link)
{
    close_listeners(&link->listeners);
    relay_shutdown_link(link);
}

const char *link_choice(const struct link *link, const char *offer)
{
    for (unsigned i = 0; i < link->choice_count; i++)
        if (strcmp(link->choices[i].offer, offer) == 0)
            return link->choices[i].subprotocol;
    return NULL;
}

void link_remember_choice(struct link *link, const char *offer, const char *subprotocol)
{
    if (link_choice(link, offer) || link->choice_count == LINK_CHOICE_COUNT_MAX)
        return; /* full: further offers wait for their upstream, as the first did */
    struct link_choice *choice = &link->choices[link->choice_count];
    *choice = (struct link_choice){.offer = strdup(offer), .subprotocol = strdup(subprotocol)};
    if (choice->offer && choice->subprotocol) {
        link->choice_count++;
        return;
    }
    free(choice->offer);
    free(choice->subprotocol);
}

void link_session_ended(struct link *link)
{
    link->session_count--;
    if (link->removed && link->session_count == 0 && link->client_count == 0)
        link_free(link);
}
