#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_expand.h"
#include "config/config_file.h"
#include "config/config_reader.h"

/* ---- places ------------------------------------------------------------------------------- */

size_t config_reader_enter(struct config_reader *reader, const char *format, ...)
{
    size_t path_bytes = strlen(reader->path);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->path + path_bytes, sizeof(reader->path) - path_bytes, format, arguments);
    va_end(arguments);
    return path_bytes;
}

void config_reader_leave(struct config_reader *reader, size_t path_bytes)
{
    reader->path[path_bytes] = '\0';
}

void config_reader_fail(struct config_reader *reader, const struct config_node *node,
                        const char *format, ...)
{
    char text[CONFIG_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    config_errors_add(reader->errors, reader->file, node->line, node->column, reader->path, "%s",
                      text);
}

void config_reader_fail_kind(struct config_reader *reader, const struct config_node *node,
                             const char *expected)
{
    if (node->kind == CONFIG_NODE_BROKEN)
        return; /* reported when it was parsed */
    config_reader_fail(reader, node, "%s, expected %s",
                       config_node_is_null(node)           ? "nothing here"
                       : node->kind == CONFIG_NODE_LIST    ? "a list"
                       : node->kind == CONFIG_NODE_MAPPING ? "a mapping"
                                                           : "a single value",
                       expected);
}

/* ---- values ------------------------------------------------------------------------------- */

static bool check_scalar(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node)
{
    char expected[CONFIG_KEY_TEXT_BYTES];
    if (node->kind == CONFIG_NODE_SCALAR && !config_node_is_null(node))
        return true;
    config_key_expected(key, expected);
    config_reader_fail_kind(reader, node, expected);
    return false;
}

/* Why a value could not be replaced; "": memory ran out. */
static void fail_expansion(struct config_reader *reader, const struct config_node *node,
                           const char *why)
{
    if (why[0] != '\0')
        config_reader_fail(reader, node, "%s", why);
    else
        config_errors_no_memory(reader->errors);
}

char *config_reader_text(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node)
{
    char why[CONFIG_EXPAND_WHY_BYTES];
    if (!check_scalar(reader, key, node))
        return NULL;
    char *text = config_expand(reader->file, node->text, node->text_bytes, why);
    if (text == NULL)
        fail_expansion(reader, node, why);
    return text;
}

bool config_reader_template(struct config_reader *reader, const struct config_key *key,
                            const struct config_node *node, struct config_template *template)
{
    char why[CONFIG_EXPAND_WHY_BYTES];
    if (!check_scalar(reader, key, node))
        return false;
    if (config_expand_template(reader->file, node->text, node->text_bytes, template, why))
        return true;
    fail_expansion(reader, node, why);
    return false;
}

static void read_number(struct config_reader *reader, const struct config_key *key,
                        const struct config_node *node, void *base)
{
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    char why[CONFIG_KEY_TEXT_BYTES];
    uint64_t number;
    if (config_key_parse(key, text, node->text, &number, why))
        config_store(key, base, number);
    else
        config_reader_fail(reader, node, "%s", why);
    free(text);
}

/* Takes text over. */
static void store_text(const struct config_key *key, void *base, char *text)
{
    char **field = (char **)(void *)((char *)base + key->offset);
    free(*field);
    *field = text;
}

static void read_text(struct config_reader *reader, const struct config_key *key,
                      const struct config_node *node, void *base)
{
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    if (strlen(text) > key->maximum) {
        config_reader_fail(reader, node, "%zu bytes long, expected at most %zu", strlen(text),
                           (size_t)key->maximum);
        free(text);
        return;
    }
    store_text(key, base, text);
}

/* Seen from the file that names it, as in ${file:PATH}. */
static void read_file_path(struct config_reader *reader, const struct config_key *key,
                           const struct config_node *node, void *base)
{
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    if (strlen(text) > key->maximum) {
        config_reader_fail(reader, node, "%zu bytes long, expected at most %zu", strlen(text),
                           (size_t)key->maximum);
        free(text);
        return;
    }
    char *path = text[0] != '\0' ? config_file_beside(reader->file, text) : strdup("");
    free(text);
    if (path == NULL)
        config_errors_no_memory(reader->errors);
    else
        store_text(key, base, path);
}

/* A value that is no number, of a key that is not built: is it empty? */
static void read_unbuilt(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node)
{
    const char *off = key->type == CONFIG_LIST ? "[]" : "\"\"";
    if (node->kind == CONFIG_NODE_BROKEN)
        return;
    bool is_empty =
        node->kind == CONFIG_NODE_SCALAR ? node->text_bytes == 0 : node->item_count == 0;
    if (!is_empty && !config_node_is_null(node))
        config_reader_fail(reader, node, "not supported yet, expected %s", off);
    else if (key->type == CONFIG_TEXT && config_node_is_null(node))
        config_reader_fail(reader, node, "nothing here, expected %s", off);
}

static void read_links(struct config_reader *reader, const struct config_node *node);

static void read_key(struct config_reader *reader, const struct config_key *key,
                     const struct config_node *node, void *base)
{
    if (key->type < CONFIG_NUMBER_TYPE_COUNT) {
        read_number(reader, key, node, base);
        return;
    }
    if (key->state == CONFIG_KEY_UNBUILT) {
        read_unbuilt(reader, key, node);
        return;
    }
    switch (key->type) {
    case CONFIG_TEXT:
        read_text(reader, key, node, base);
        return;
    case CONFIG_FILE:
        read_file_path(reader, key, node, base);
        return;
    case CONFIG_HOST:
        config_read_host(reader, key, node, (char **)(void *)((char *)base + key->offset));
        return;
    case CONFIG_NAME:
        config_read_name(reader, key, node, base);
        return;
    case CONFIG_RANGE:
        config_read_range(reader, key, node, base);
        return;
    case CONFIG_ORIGINS:
    case CONFIG_HOSTS:
    case CONFIG_SUBPROTOCOLS:
    case CONFIG_HEADER_NAMES:
        config_read_strings(reader, key, node, (void *)((char *)base + key->offset));
        return;
    case CONFIG_USERS:
        config_read_users(reader, key, node, (void *)((char *)base + key->offset));
        return;
    case CONFIG_TOKEN:
        config_read_token(reader, key, node, (char **)(void *)((char *)base + key->offset));
        return;
    case CONFIG_LINKS:
        read_links(reader, node);
        return;
    case CONFIG_LISTEN:
        config_read_listen(reader, key, node, base);
        return;
    case CONFIG_URL:
        config_read_url(reader, key, node, base);
        return;
    case CONFIG_PROXY:
        config_read_proxy(reader, key, node, base);
        return;
    case CONFIG_HEADERS:
        config_read_headers(reader, key, node, base);
        return;
    case CONFIG_CLOSE_RULES:
        config_read_close_rules(reader, key, node, base);
        return;
    default: /* numbers and unbuilt lists were read above */
        return;
    }
}

/* ---- mappings ----------------------------------------------------------------------------- */

static void fail_unknown(struct config_reader *reader, const char *group,
                         const struct config_node *key_node)
{
    char guess[CONFIG_KEY_TEXT_BYTES];
    char words[CONFIG_KEY_TEXT_BYTES];
    config_key_list_words(group, words);
    if (config_key_suggest(group, key_node->text, guess))
        config_reader_fail(reader, key_node, "unknown key, did you mean %s?", guess);
    else
        config_reader_fail(reader, key_node, "unknown key, expected one of %s", words);
}

/* The same key further up, or NULL. */
static const struct config_node *earlier_key(const struct config_node *mapping, size_t index)
{
    const struct config_node *key = &mapping->items[index];
    for (size_t i = 0; i < index; i += 2)
        if (mapping->items[i].text_bytes == key->text_bytes &&
            memcmp(mapping->items[i].text, key->text, key->text_bytes) == 0)
            return &mapping->items[i];
    return NULL;
}

static void read_pair(struct config_reader *reader, const char *group,
                      const struct config_node *mapping, size_t index, void *base)
{
    const struct config_node *key_node = &mapping->items[index];
    const struct config_node *value = &mapping->items[index + 1];
    const struct config_node *earlier = earlier_key(mapping, index);
    if (earlier != NULL) {
        config_reader_fail(reader, key_node, "given twice, expected once: first on line %u",
                           earlier->line);
        return;
    }
    char path[CONFIG_PATH_BYTES_MAX];
    int path_bytes =
        snprintf(path, sizeof(path), "%s%s%s", group, group[0] != '\0' ? "." : "", key_node->text);
    const struct config_key *key = NULL;
    bool is_group = false;
    /* A word of ours has none of these; `log.level:` is no short form. */
    if (path_bytes < (int)sizeof(path) && key_node->text_bytes > 0 &&
        strcspn(key_node->text, ".[]") == key_node->text_bytes) {
        key = config_key_find(path);
        is_group = key == NULL && config_key_is_group(path);
    }
    if (key != NULL)
        read_key(reader, key, value, base);
    else if (is_group)
        config_reader_mapping(reader, path, value, base);
    else
        fail_unknown(reader, group, key_node);
}

void config_reader_mapping(struct config_reader *reader, const char *group,
                           const struct config_node *node, void *base)
{
    if (config_node_is_null(node))
        return; /* `client:` with every key commented out */
    if (node->kind != CONFIG_NODE_MAPPING) {
        char words[CONFIG_KEY_TEXT_BYTES];
        char expected[CONFIG_KEY_TEXT_BYTES + 64];
        config_key_list_words(group, words);
        snprintf(expected, sizeof(expected), "a mapping with %s", words);
        config_reader_fail_kind(reader, node, expected);
        return;
    }
    for (size_t i = 0; i + 1 < node->item_count && !config_errors_is_full(reader->errors); i += 2) {
        size_t path_bytes = config_reader_enter(
            reader, "%s%.64s", reader->path[0] != '\0' ? "." : "", node->items[i].text);
        read_pair(reader, group, node, i, base);
        config_reader_leave(reader, path_bytes);
    }
}

/* ---- links -------------------------------------------------------------------------------- */

/* Report what every link must have and this one has not, at the link's place. */
static void check_required(struct config_reader *reader, const struct config_node *node)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    static const char group[] = "links[].";
    for (size_t i = 0; i < count; i++) {
        if (!keys[i].is_required || strncmp(keys[i].path, group, sizeof(group) - 1) != 0)
            continue;
        const char *path = keys[i].path + sizeof(group) - 1;
        if (strchr(path, '[') != NULL || config_node_find(node, path) != NULL)
            continue;
        char expected[CONFIG_KEY_TEXT_BYTES];
        config_key_expected(&keys[i], expected);
        size_t path_bytes = config_reader_enter(reader, ".%s", path);
        config_reader_fail(reader, node, "missing, expected %s", expected);
        config_reader_leave(reader, path_bytes);
    }
}

static void read_link(struct config_reader *reader, const struct config_node *node)
{
    if (node->kind != CONFIG_NODE_MAPPING) {
        config_reader_fail_kind(reader, node, "a mapping with name, listen and upstream");
        return;
    }
    if (reader->config->link_count == CONFIG_LINK_COUNT_MAX) {
        config_reader_fail(reader, node, "one link too many, expected at most %d",
                           CONFIG_LINK_COUNT_MAX);
        return;
    }
    struct link_config *link = link_config_new();
    if (link == NULL || !config_add_link(reader->config, link)) {
        if (link != NULL)
            link_config_release(link);
        config_errors_no_memory(reader->errors);
        return;
    }
    size_t error_count = reader->errors->count;
    config_reader_mapping(reader, "links[]", node, link);
    check_required(reader, node);
    if (reader->errors->count == error_count) /* else a preset stands where a mistake was */
        config_check_link(reader, node, link);
}

static void read_links(struct config_reader *reader, const struct config_node *node)
{
    if (config_node_is_null(node))
        return; /* `links:` with every link commented out */
    if (node->kind != CONFIG_NODE_LIST) {
        config_reader_fail_kind(reader, node, "a list of links");
        return;
    }
    for (size_t i = 0; i < node->item_count && !config_errors_is_full(reader->errors); i++) {
        size_t path_bytes = config_reader_enter(reader, "[%zu]", i);
        read_link(reader, &node->items[i]);
        config_reader_leave(reader, path_bytes);
    }
}

/* ---- files -------------------------------------------------------------------------------- */

/* A file of links.d holds nothing else. */
static void check_part(struct config_reader *reader, const struct config_node *root)
{
    for (size_t i = 0; root->kind == CONFIG_NODE_MAPPING && i + 1 < root->item_count; i += 2) {
        const struct config_node *key = &root->items[i];
        bool is_known = config_key_find(key->text) != NULL || config_key_is_group(key->text);
        if (!is_known || strcmp(key->text, "links") == 0)
            continue; /* what is unknown is said by config_reader_mapping() */
        size_t path_bytes = config_reader_enter(reader, "%.64s", key->text);
        config_reader_fail(reader, key, "not in a file of links.d, expected links only");
        config_reader_leave(reader, path_bytes);
    }
}

static void read_document(struct config *config, const char *file, const char *text,
                          size_t text_bytes, bool is_part, struct config_errors *errors)
{
    struct config_reader reader = {.file = file, .config = config, .errors = errors};
    struct config_node root;
    if (config_node_parse(file, text, text_bytes, errors, &root)) {
        if (is_part)
            check_part(&reader, &root);
        config_reader_mapping(&reader, "", &root, config);
    }
    config_node_clear(&root);
}

static void read_file(struct config *config, const char *path, bool is_part,
                      struct config_errors *errors)
{
    char why[CONFIG_FILE_WHY_BYTES];
    size_t bytes = 0;
    char *text = config_file_read(path, CONFIG_FILE_BYTES_MAX, &bytes, why);
    if (text != NULL)
        read_document(config, path, text, bytes, is_part, errors);
    else if (why[0] != '\0')
        config_errors_add(errors, path, 0, 0, "", "%s", why);
    else
        config_errors_no_memory(errors);
    free(text);
}

/* What editors leave beside a file does not end so, or begins with a dot. */
static int is_part_name(const struct dirent *entry)
{
    static const char suffix[] = ".yaml";
    size_t bytes = strlen(entry->d_name);
    return entry->d_name[0] != '.' && bytes > sizeof(suffix) - 1 &&
           strcmp(entry->d_name + bytes - (sizeof(suffix) - 1), suffix) == 0;
}

static int compare_part_names(const struct dirent **one, const struct dirent **other)
{
    return strcmp((*one)->d_name, (*other)->d_name); /* in every locale alike */
}

static void read_parts(struct config *config, const char *path, struct config_errors *errors)
{
    char *folder = config_file_beside(path, "links.d/");
    if (folder == NULL) {
        config_errors_no_memory(errors);
        return;
    }
    struct dirent **parts = NULL;
    int count = scandir(folder, &parts, is_part_name, compare_part_names);
    if (count < 0 && errno == ENOMEM)
        config_errors_no_memory(errors);
    else if (count < 0 && errno != ENOENT)
        config_errors_add(errors, folder, 0, 0, "", "cannot be read: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        char *part = config_file_beside(folder, parts[i]->d_name);
        if (part == NULL)
            config_errors_no_memory(errors);
        else
            read_file(config, part, true, errors);
        free(part);
        free(parts[i]);
    }
    free(parts);
    free(folder);
}

static struct config *finish(struct config *config, struct config_errors *errors)
{
    if (errors->count == 0)
        return config;
    config_free(config);
    return NULL;
}

struct config *config_read_file(const char *path, struct config_errors *errors)
{
    *errors = (struct config_errors){0};
    struct config *config = config_new();
    if (config == NULL) {
        config_errors_no_memory(errors);
        return NULL;
    }
    read_file(config, path, false, errors);
    read_parts(config, path, errors);
    return finish(config, errors);
}

struct config *config_read_text(const char *name, const char *text, size_t text_bytes,
                                struct config_errors *errors)
{
    *errors = (struct config_errors){0};
    struct config *config = config_new();
    if (config == NULL) {
        config_errors_no_memory(errors);
        return NULL;
    }
    read_document(config, name, text, text_bytes, false, errors);
    return finish(config, errors);
}

/* An option's text as a node of its own; "default" fits as well. */
static void read_option(struct config_reader *reader, const char *option, const char *path,
                        const char *text, struct link_config *link)
{
    struct config_node node = {
        .kind = CONFIG_NODE_SCALAR, .text = (char *)text, .text_bytes = strlen(text)};
    size_t path_bytes = config_reader_enter(reader, "%s", option);
    read_key(reader, config_key_find(path), &node, link);
    config_reader_leave(reader, path_bytes);
}

struct config *config_from_options(const char *listen, const char *upstream,
                                   struct config_errors *errors)
{
    *errors = (struct config_errors){0};
    struct config *config = config_new();
    struct link_config *link = link_config_new();
    if (config == NULL || link == NULL || !config_add_link(config, link)) {
        config_errors_no_memory(errors);
        if (link != NULL)
            link_config_release(link);
        config_free(config);
        return NULL;
    }
    struct config_reader reader = {.file = "", .config = config, .errors = errors};
    read_option(&reader, "", "links[].name", "default", link);
    read_option(&reader, "--listen", "links[].listen", listen, link);
    read_option(&reader, "--upstream", "links[].upstream.url", upstream, link);
    if (link->listen_count > 0 && link->listens[0].tls)
        config_errors_add(errors, "", 0, 0, "--listen",
                          "wss:// wants a certificate, expected client.tls in a file");
    return finish(config, errors);
}
