/* A link at run time. */
#include "net/link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/report.h"

/* ---- life ---------------------------------------------------------------------------------- */

struct link *link_new(struct worker *worker, struct link_config *config)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    atomic_init(&link->reference_count, 1);
    pthread_mutex_init(&link->mutex, NULL);
    last_good_init(&link->last_good);
    link->worker = worker;
    link->config = link_config_hold(config);
    LIST_INIT(&link->listeners);
    return link;
}

struct link *link_hold(struct link *link)
{
    atomic_fetch_add_explicit(&link->reference_count, 1, memory_order_relaxed);
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

void link_release(struct link *link)
{
    if (!link || atomic_fetch_sub_explicit(&link->reference_count, 1, memory_order_acq_rel) > 1)
        return;
    assert(LIST_EMPTY(&link->listeners));
    forget_choices(link);
    last_good_clear(&link->last_good);
    link_config_release(link->config);
    tls_pair_clear(&link->tls);
    tls_pair_clear(&link->next_tls);
    pthread_mutex_destroy(&link->mutex);
    free(link);
}

void link_close_listeners(struct link *link)
{
    while (!LIST_EMPTY(&link->listeners))
        listener_close(LIST_FIRST(&link->listeners));
}

/* ---- settings ------------------------------------------------------------------------------ */

void link_set_config(struct link *link, struct link_config *config)
{
    struct link_config *old = link->config;
    struct tls_pair old_tls = link->tls;
    pthread_mutex_lock(&link->mutex);
    link->config = link_config_hold(config);
    link->tls = link->next_tls;
    forget_choices(link); /* another upstream, or other subprotocols, may choose differently */
    pthread_mutex_unlock(&link->mutex);
    link->next_tls = (struct tls_pair){0};
    link_config_release(old);
    tls_pair_clear(&old_tls);
    if (link->tls.upstream && !link->tls.upstream->verifies)
        report_unverified(link);
}

void link_hold_newest(struct link *link, struct link_config **config, struct tls_context **upstream)
{
    pthread_mutex_lock(&link->mutex);
    *config = link_config_hold(link->config);
    *upstream = tls_context_hold(link->tls.upstream);
    pthread_mutex_unlock(&link->mutex);
}

/* ---- places -------------------------------------------------------------------------------- */

/* Under the mutex. */
static const char *why_full(const struct link *link, uint32_t client_count_max)
{
    if (link->client_count >= client_count_max)
        return "max_clients";
    if (link->session_count / 2 >= client_count_max)
        return "max_clients, and as many that left and are still delivered for";
    return NULL;
}

const char *link_is_full(struct link *link, uint32_t client_count_max)
{
    pthread_mutex_lock(&link->mutex);
    const char *why = why_full(link, client_count_max);
    pthread_mutex_unlock(&link->mutex);
    return why;
}

const char *link_take_place(struct link *link, uint32_t client_count_max)
{
    pthread_mutex_lock(&link->mutex);
    const char *why = why_full(link, client_count_max);
    if (!why) {
        link->client_count++;
        link->session_count++;
    }
    pthread_mutex_unlock(&link->mutex);
    return why;
}

void link_client_left(struct link *link)
{
    pthread_mutex_lock(&link->mutex);
    assert(link->client_count > 0);
    link->client_count--;
    pthread_mutex_unlock(&link->mutex);
}

void link_session_ended(struct link *link)
{
    pthread_mutex_lock(&link->mutex);
    assert(link->session_count > 0);
    link->session_count--;
    pthread_mutex_unlock(&link->mutex);
}

uint32_t link_saw_idle_close(struct link *link)
{
    pthread_mutex_lock(&link->mutex);
    uint32_t count = ++link->idle_close_count;
    pthread_mutex_unlock(&link->mutex);
    return count;
}

/* ---- choices ------------------------------------------------------------------------------- */

static struct link_choice *find_choice(struct link *link, const char *offer, size_t offer_bytes)
{
    for (unsigned i = 0; i < link->choice_count; i++) {
        struct link_choice *choice = &link->choices[i];
        if (choice->offer_bytes == offer_bytes && memcmp(choice->offer, offer, offer_bytes) == 0)
            return choice;
    }
    return NULL;
}

/* The name where the offer has it: the caller's own, whatever becomes of the table. */
static const char *find_name(const char *offer, size_t offer_bytes, const char *name)
{
    for (const char *at = offer; at < offer + offer_bytes; at += strlen(at) + 1)
        if (strcmp(at, name) == 0)
            return at;
    return NULL;
}

const char *link_choice(struct link *link, const char *offer, size_t offer_bytes)
{
    const char *found = NULL;
    pthread_mutex_lock(&link->mutex);
    const struct link_choice *choice = find_choice(link, offer, offer_bytes);
    if (choice)
        found = choice->chosen[0] == '\0' ? "" : find_name(offer, offer_bytes, choice->chosen);
    pthread_mutex_unlock(&link->mutex);
    return found;
}

/* Under the mutex.  fresh: its texts become the table's. */
static void remember(struct link *link, const struct link_choice *fresh)
{
    struct link_choice *choice = find_choice(link, fresh->offer, fresh->offer_bytes);
    if (!choice && link->choice_count < LINK_CHOICE_COUNT_MAX) {
        link->choices[link->choice_count++] = *fresh;
        return;
    }
    if (!choice) {
        choice = &link->choices[link->choice_next];
        link->choice_next = (link->choice_next + 1) % LINK_CHOICE_COUNT_MAX;
    }
    free(choice->offer);
    free(choice->chosen);
    *choice = *fresh;
}

/* Under the mutex. */
static bool is_known(struct link *link, const char *offer, size_t offer_bytes, const char *chosen)
{
    const struct link_choice *choice = find_choice(link, offer, offer_bytes);
    return choice && strcmp(choice->chosen, chosen) == 0;
}

void link_remember_choice(struct link *link, const struct link_config *config, const char *offer,
                          size_t offer_bytes, const char *chosen)
{
    pthread_mutex_lock(&link->mutex);
    if (config == link->config && !is_known(link, offer, offer_bytes, chosen)) {
        struct link_choice fresh = {
            .offer = malloc(offer_bytes), .offer_bytes = offer_bytes, .chosen = strdup(chosen)};
        if (fresh.offer && fresh.chosen) {
            memcpy(fresh.offer, offer, offer_bytes);
            remember(link, &fresh);
        } else { /* then the next client waits, as this one did */
            free(fresh.offer);
            free(fresh.chosen);
        }
    }
    pthread_mutex_unlock(&link->mutex);
}
