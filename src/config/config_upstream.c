/* The upstream: where it is, and what a request to it has. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/config_reader.h"

enum {
    HEADER_BYTES_MAX = 8192 /* of all together: they share a request's head */
};

/* All pieces, as if the files were empty; to be wiped and freed. */
static char *template_join(const struct config_template *template)
{
    size_t bytes = 1;
    for (size_t i = 0; i <= template->file_count; i++)
        bytes += strlen(template->pieces[i]);
    char *text = malloc(bytes);
    char *at = text;
    for (size_t i = 0; at != NULL && i <= template->file_count; i++)
        at = stpcpy(at, template->pieces[i]);
    return text;
}

/* Leave of a URL its target: what is behind the host.  False: memory ran out. */
static bool template_cut_to_target(struct config_template *template)
{
    char *host = strstr(template->pieces[0], "://") + 3;
    const char *target = host + strcspn(host, "/?");
    char *piece = malloc(strlen(target) + 2);
    if (piece == NULL)
        return false;
    snprintf(piece, strlen(target) + 2, "%s%s", target[0] == '/' ? "" : "/", target);
    explicit_bzero(template->pieces[0], strlen(template->pieces[0]));
    free(template->pieces[0]);
    template->pieces[0] = piece;
    return true;
}

/* Whose certificate is checked, and who gets the secrets, is settled when the file is read. */
static bool has_host_in_first_piece(const struct config_template *template)
{
    const char *host = strstr(template->pieces[0], "://");
    return host != NULL && host[3 + strcspn(host + 3, "/?#")] != '\0';
}

/* Into url and target, which has a value only with files.  False: it was no URL with files, and is
 * reported; else result says. */
static bool read_url_template(struct config_reader *reader, const struct config_key *key,
                              const struct config_node *node, struct url *url,
                              struct config_template *target, enum url_result *result)
{
    config_template_clear(target);
    if (!config_reader_template(reader, key, node, target))
        return false;
    if (target->file_count > 0 && !has_host_in_first_piece(target)) {
        config_reader_fail(reader, node,
                           "${file:...} in front of the path, expected it in path or query");
        return false;
    }
    char *text = template_join(target);
    if (text != NULL)
        *result = url_parse(text, url);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
    if (text != NULL && *result == URL_OK && target->file_count > 0 &&
        !template_cut_to_target(target))
        text = NULL;
    if (text == NULL)
        config_errors_no_memory(reader->errors);
    if (target->file_count == 0)
        config_template_clear(target);
    return text != NULL;
}

static void read_url_one(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node, struct link_config *link)
{
    struct url *url = &link->upstream.urls[link->upstream.url_count];
    struct config_template *target = &link->upstream.targets[link->upstream.url_count];
    enum url_result result = URL_OK;
    bool is_read = read_url_template(reader, key, node, url, target, &result);
    if (is_read && result == URL_OK) {
        link->upstream.url_count++;
        return;
    }
    config_template_clear(target); /* it is nobody's */
    if (is_read)
        config_reader_fail(reader, node, "%s, expected ws:// or wss://HOST:PORT/PATH",
                           url_result_text(result));
}

void config_read_url(struct config_reader *reader, const struct config_key *key,
                     const struct config_node *node, struct link_config *link)
{
    bool is_list = node->kind == CONFIG_NODE_LIST;
    size_t count = is_list ? node->item_count : 1;
    if (count == 0 || count > key->maximum) {
        config_reader_fail(reader, node, "a list of %zu, expected 1 to %" PRIu64, count,
                           key->maximum);
        return;
    }
    link->upstream.urls = calloc(count, sizeof(*link->upstream.urls));
    link->upstream.targets = calloc(count, sizeof(*link->upstream.targets));
    if (link->upstream.urls == NULL || link->upstream.targets == NULL) {
        config_errors_no_memory(reader->errors);
        return;
    }
    if (!is_list)
        read_url_one(reader, key, node, link);
    for (size_t i = 0; is_list && i < count; i++) {
        size_t path_bytes = config_reader_enter(reader, "[%zu]", i);
        read_url_one(reader, key, &node->items[i], link);
        config_reader_leave(reader, path_bytes);
    }
}

void config_read_proxy(struct config_reader *reader, const struct config_key *key,
                       const struct config_node *node, struct link_config *link)
{
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    enum proxy_result result = proxy_parse(text, &link->upstream.proxy);
    explicit_bzero(text, strlen(text));
    free(text);
    if (result == PROXY_OK)
        return;
    char expected[CONFIG_KEY_TEXT_BYTES];
    config_key_expected(key, expected);
    config_reader_fail(reader, node, "%s, expected %s", proxy_result_text(result), expected);
}

/* The name of a header field may be said when it can be one; else it may be all of a line. */
static bool check_header_name(struct config_reader *reader, const struct config_node *name)
{
    if (!http_is_token(name->text, name->text_bytes)) {
        config_reader_fail(reader, name, "a name that no header has, expected NAME: VALUE");
        return false;
    }
    if (handshake_header_is_reserved(name->text)) {
        config_reader_fail(reader, name, "%.64s belongs to the handshake, expected another header",
                           name->text);
        return false;
    }
    return true;
}

static void read_header(struct config_reader *reader, const struct config_key *key,
                        const struct config_node *name, const struct config_node *value,
                        struct link_config *link)
{
    for (size_t i = 0; i < link->upstream.header_count; i++) {
        if (strcasecmp(link->upstream.headers[i].name, name->text) == 0) {
            config_reader_fail(reader, name, "given twice, expected once");
            return;
        }
    }
    struct config_header header = {0};
    if (!config_reader_template(reader, key, value, &header.value))
        return;
    bool is_ok = true;
    for (size_t i = 0; i <= header.value.file_count; i++)
        is_ok =
            is_ok && http_is_field_value(header.value.pieces[i], strlen(header.value.pieces[i]));
    if (!is_ok)
        config_reader_fail(reader, value, "a control character in it, expected none");
    else if ((header.name = strdup(name->text)) == NULL)
        config_errors_no_memory(reader->errors);
    if (header.name == NULL) {
        config_template_clear(&header.value);
        return;
    }
    link->upstream.headers[link->upstream.header_count++] = header;
}

/* What is known of their size now; files are limited when they are read. */
static void check_headers_size(struct config_reader *reader, const struct config_node *node,
                               const struct config_upstream *upstream)
{
    size_t bytes = 0;
    size_t file_count = 0;
    for (size_t i = 0; i < upstream->header_count; i++) {
        const struct config_template *value = &upstream->headers[i].value;
        bytes += strlen(upstream->headers[i].name);
        for (size_t j = 0; j <= value->file_count; j++)
            bytes += strlen(value->pieces[j]);
        file_count += value->file_count;
    }
    if (bytes > HEADER_BYTES_MAX)
        config_reader_fail(reader, node, "%zu bytes together, expected at most %d", bytes,
                           HEADER_BYTES_MAX);
    if (file_count > CONFIG_HEADER_FILE_COUNT_MAX)
        config_reader_fail(reader, node, "%zu files together, expected at most %d", file_count,
                           CONFIG_HEADER_FILE_COUNT_MAX);
}

void config_read_headers(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node, struct link_config *link)
{
    if (config_node_is_null(node) || (node->kind == CONFIG_NODE_MAPPING && node->item_count == 0))
        return;
    if (node->kind != CONFIG_NODE_MAPPING) {
        config_reader_fail_kind(reader, node, "a mapping of names to values");
        return;
    }
    size_t count = node->item_count / 2;
    if (count > key->maximum) {
        config_reader_fail(reader, node, "%zu headers, expected at most %" PRIu64, count,
                           key->maximum);
        return;
    }
    assert(link->upstream.header_count == 0); /* a key is read once */
    link->upstream.headers = calloc(count, sizeof(*link->upstream.headers));
    if (link->upstream.headers == NULL) {
        config_errors_no_memory(reader->errors);
        return;
    }
    for (size_t i = 0; i + 1 < node->item_count; i += 2) {
        const struct config_node *name = &node->items[i];
        if (!check_header_name(reader, name))
            continue;
        size_t path_bytes = config_reader_enter(reader, ".%.64s", name->text);
        read_header(reader, key, name, &node->items[i + 1], link);
        config_reader_leave(reader, path_bytes);
    }
    check_headers_size(reader, node, &link->upstream);
}
