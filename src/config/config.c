#include "config/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_reader.h"

void config_store(const struct config_key *key, void *base, uint64_t number)
{
    char *field = (char *)base + key->offset;
    uint8_t one = (uint8_t)number;
    uint16_t two = (uint16_t)number;
    uint32_t four = (uint32_t)number;
    switch (key->bytes) {
    case 0: /* nobody reads it yet */
        return;
    case sizeof(one):
        memcpy(field, &one, sizeof(one));
        return;
    case sizeof(two):
        memcpy(field, &two, sizeof(two));
        return;
    case sizeof(four):
        memcpy(field, &four, sizeof(four));
        return;
    default:
        assert(key->bytes == sizeof(number));
        memcpy(field, &number, sizeof(number));
    }
}

bool config_preset(const struct config_key *key, void *base)
{
    if (key->preset == NULL || key->bytes == 0)
        return true;
    if (key->type < CONFIG_NUMBER_TYPE_COUNT) {
        char why[CONFIG_KEY_TEXT_BYTES];
        uint64_t number = 0;
        bool is_ok = config_key_parse(key, key->preset, key->preset, &number, why);
        assert(is_ok); /* the table's own mistake: a test reads every preset */
        (void)is_ok;
        config_store(key, base, number);
        return true;
    }
    char *text = strdup(key->preset);
    if (text == NULL)
        return false;
    memcpy((char *)base + key->offset, &text, sizeof(text));
    /* cppcheck-suppress memleak ; its place has it now */
    return true;
}

/* The rows whose struct it is: depth 0 for the file's own, 1 for a link's. */
static bool config_presets(void *base, unsigned depth)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        unsigned row_depth = 0;
        for (const char *at = keys[i].path; *at != '\0'; at++)
            row_depth += *at == '[';
        if (row_depth == depth && !config_preset(&keys[i], base))
            return false;
    }
    return true;
}

struct link_config *link_config_new(void)
{
    struct link_config *link = calloc(1, sizeof(*link));
    if (link == NULL)
        return NULL;
    atomic_init(&link->reference_count, 1);
    link->session.client_heartbeat.stall_timeout_ms = SETTINGS_NEVER;
    if (!config_presets(link, 1)) {
        link_config_release(link);
        return NULL;
    }
    return link;
}

struct config *config_new(void)
{
    struct config *config = calloc(1, sizeof(*config));
    if (config != NULL && !config_presets(config, 0)) {
        config_free(config);
        return NULL;
    }
    return config;
}

bool config_add_link(struct config *config, struct link_config *link)
{
    struct link_config **links =
        realloc(config->links, (config->link_count + 1) * sizeof(struct link_config *));
    if (links == NULL)
        return false;
    config->links = links;
    config->links[config->link_count++] = link;
    return true;
}

struct link_config *link_config_hold(struct link_config *link)
{
    unsigned before = atomic_fetch_add_explicit(&link->reference_count, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return link;
}

static void strings_clear(struct config_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
}

static void wipe(char *text)
{
    if (text == NULL)
        return;
    explicit_bzero(text, strlen(text));
    free(text);
}

void config_template_clear(struct config_template *template)
{
    for (size_t i = 0; template->pieces != NULL && i <= template->file_count; i++)
        wipe(template->pieces[i]);
    for (size_t i = 0; i < template->file_count; i++)
        free(template->paths[i]);
    free(template->pieces);
    free(template->paths);
    *template = (struct config_template){0};
}

void link_config_release(struct link_config *link)
{
    unsigned before = atomic_fetch_sub_explicit(&link->reference_count, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    free(link->name);
    for (size_t i = 0; i < link->listen_count; i++) {
        free(link->listens[i].text);
        free(link->listens[i].host);
        free(link->listens[i].path);
        free(link->listens[i].name);
    }
    free(link->listens);
    strings_clear(&link->client.allow_origins);
    strings_clear(&link->client.allow_hosts);
    free(link->client.allow_users.ids);
    wipe(link->client.token);
    for (size_t i = 0; i < link->upstream.header_count; i++) {
        free(link->upstream.headers[i].name);
        config_template_clear(&link->upstream.headers[i].value);
    }
    free(link->upstream.headers);
    for (size_t i = 0; i < link->upstream.url_count; i++) {
        explicit_bzero(&link->upstream.urls[i], sizeof(link->upstream.urls[i])); /* a query may be a
                                                                                    secret */
        config_template_clear(&link->upstream.targets[i]);
    }
    free(link->upstream.urls);
    free(link->upstream.targets);
    strings_clear(&link->upstream.forward_headers);
    explicit_bzero(&link->upstream.proxy, sizeof(link->upstream.proxy));
    strings_clear(&link->upstream.subprotocols);
    free(link->client.tls.cert);
    free(link->client.tls.key);
    free(link->client.tls.client_ca);
    free(link->upstream.tls.ca);
    free(link->upstream.tls.cert);
    free(link->upstream.tls.key);
    free(link->upstream.tls.server_name);
    for (size_t i = 0; i < link->session.close_rule_count; i++)
        free(link->session.close_rules[i].reason);
    free(link->session.close_rules);
    free(link->gap_message);
    free(link);
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->link_count; i++)
        link_config_release(config->links[i]);
    free(config->links);
    free(config);
}
