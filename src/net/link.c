/* A link at run time. */
#include "net/link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/relay.h"
#include "net/report.h"

struct link *link_new(struct worker *worker, struct link_config *config)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    link->worker = worker;
    link->config = link_config_hold(config);
    LIST_INIT(&link->listeners);
    LIST_INIT(&link->sessions);
    return link;
}

static void forget_choices(struct link *link)
{
    for (unsigned i = 0; i < link->choice_count; i++) {
        free(link->choices[i].offer);
        free(link->choices[i].chosen);
    }
    link->choice_count = 0;
    link->choice_next = 0;
}

void link_free(struct link *link)
{
    assert(LIST_EMPTY(&link->sessions));
    link_close_listeners(link);
    forget_choices(link);
    last_good_clear(&link->last_good);
    link_config_release(link->config);
    tls_pair_clear(&link->tls);
    tls_pair_clear(&link->next_tls);
    free(link);
}

void link_set_config(struct link *link, struct link_config *config)
{
    struct link_config *old = link->config;
    link->config = link_config_hold(config);
    link_config_release(old);
    forget_choices(link); /* another upstream, or other subprotocols, may choose differently */
}

void link_use_next_tls(struct link *link)
{
    tls_pair_clear(&link->tls);
    link->tls = link->next_tls;
    link->next_tls = (struct tls_pair){0};
    if (link->tls.upstream && !link->tls.upstream->verifies)
        report_unverified(link);
}

static struct link_choice *find_choice(const struct link *link, const char *offer,
                                       size_t offer_bytes)
{
    for (unsigned i = 0; i < link->choice_count; i++) {
        const struct link_choice *choice = &link->choices[i];
        if (choice->offer_bytes == offer_bytes && memcmp(choice->offer, offer, offer_bytes) == 0)
            return (struct link_choice *)(uintptr_t)choice;
    }
    return NULL;
}

const char *link_choice(const struct link *link, const char *offer, size_t offer_bytes)
{
    const struct link_choice *choice = find_choice(link, offer, offer_bytes);
    return choice ? choice->chosen : NULL;
}

void link_remember_choice(struct link *link, const char *offer, size_t offer_bytes,
                          const char *chosen)
{
    struct link_choice *choice = find_choice(link, offer, offer_bytes);
    if (choice && strcmp(choice->chosen, chosen) == 0)
        return;
    struct link_choice fresh = {
        .offer = malloc(offer_bytes), .offer_bytes = offer_bytes, .chosen = strdup(chosen)};
    if (!fresh.offer || !fresh.chosen) { /* then the next client waits, as this one did */
        free(fresh.offer);
        free(fresh.chosen);
        return;
    }
    memcpy(fresh.offer, offer, offer_bytes);
    if (!choice && link->choice_count < LINK_CHOICE_COUNT_MAX) {
        link->choices[link->choice_count++] = fresh;
        return;
    }
    if (!choice) {
        choice = &link->choices[link->choice_next];
        link->choice_next = (link->choice_next + 1) % LINK_CHOICE_COUNT_MAX;
    }
    free(choice->offer);
    free(choice->chosen);
    *choice = fresh;
}

void link_saw_idle_close(struct link *link)
{
    if (++link->idle_close_count == 2)
        report_idle_close(link, link->worker);
}

void link_close_listeners(struct link *link)
{
    while (!LIST_EMPTY(&link->listeners))
        listener_close(LIST_FIRST(&link->listeners));
}

void link_shutdown(struct link *link)
{
    struct net_session *net;
    struct net_session *next;
    for (net = LIST_FIRST(&link->sessions); net; net = next) {
        next = LIST_NEXT(net, link_entry);
        relay_shutdown(net);
    }
}
