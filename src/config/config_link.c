#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/config_reader.h"
#include "config/config_value.h"

enum {
    HEADER_BYTES_MAX = 8192 /* of all together: they share a request's head */
};

/* ---- name --------------------------------------------------------------------------------- */

void config_read_name(struct config_reader *reader, const struct config_key *key,
                      const struct config_node *node, struct link_config *link)
{
    char *name = config_reader_text(reader, key, node);
    if (name == NULL)
        return;
    size_t bytes = strlen(name);
    char expected[CONFIG_KEY_TEXT_BYTES];
    config_key_expected(key, expected);
    if (bytes == 0 || bytes > key->maximum ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != bytes) {
        config_reader_fail(reader, node, "\"%.80s\" is no name, expected %s", node->text, expected);
        free(name);
        return;
    }
    for (size_t i = 0; i < reader->config->link_count; i++) {
        const struct link_config *other = reader->config->links[i];
        if (other != link && other->name != NULL && strcmp(other->name, name) == 0) {
            config_reader_fail(reader, node,
                               "%s is the name of another link, expected one of its "
                               "own",
                               node->text);
            break;
        }
    }
    link->name = name;
}

/* ---- listen ------------------------------------------------------------------------------- */

static bool listen_is_same(const struct config_listen *one, const struct config_listen *other)
{
    if (one->kind != other->kind)
        return false;
    if (one->kind == CONFIG_LISTEN_UNIX)
        return strcmp(one->path, other->path) == 0;
    if (one->kind == CONFIG_LISTEN_SYSTEMD)
        return strcmp(one->name, other->name) == 0;
    return one->port == other->port && strcmp(one->host, other->host) == 0;
}

/* The link that listens there already: link itself counts, with what it has so far. */
static const struct link_config *listen_find(const struct config *config,
                                             const struct config_listen *listen)
{
    for (size_t i = 0; i < config->link_count; i++)
        for (size_t j = 0; j < config->links[i]->listen_count; j++)
            if (listen_is_same(&config->links[i]->listens[j], listen))
                return config->links[i];
    return NULL;
}

static bool read_listen_unix(struct config_reader *reader, const struct config_node *node,
                             const char *path, struct config_listen *listen)
{
    size_t bytes = strlen(path);
    if (path[0] == '@') {
        config_reader_fail(reader, node,
                           "a name without a file, which anybody may take and enter, expected "
                           "ws+unix:/PATH");
        return false;
    }
    if (path[0] != '/' || path[1] == '/' || path[bytes - 1] == '/') {
        config_reader_fail(reader, node,
                           "\"%.200s\" is no path of a socket, expected "
                           "ws+unix:/PATH",
                           node->text);
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (iscntrl((unsigned char)path[i])) {
            config_reader_fail(reader, node, "a control character in the path, expected none");
            return false;
        }
    }
    listen->kind = CONFIG_LISTEN_UNIX;
    listen->path = strdup(path);
    if (listen->path == NULL)
        config_errors_no_memory(reader->errors);
    return listen->path != NULL;
}

static bool read_listen_tcp(struct config_reader *reader, const struct config_node *node,
                            const char *text, struct config_listen *listen)
{
    struct url url;
    enum url_result result = url_parse(text, &url);
    if (result != URL_OK) {
        config_reader_fail(reader, node,
                           "%s, expected ws://HOST:PORT, wss://HOST:PORT or ws+unix:/PATH",
                           url_result_text(result));
        return false;
    }
    if (!url.port_given) {
        config_reader_fail(reader, node, "no port, expected %s://HOST:PORT",
                           url.tls ? "wss" : "ws");
        return false;
    }
    if (strcmp(url.target, "/") != 0) {
        config_reader_fail(reader, node,
                           "a path, expected ws://HOST:PORT: clients may ask for any");
        return false;
    }
    listen->kind = CONFIG_LISTEN_TCP;
    listen->port = url.port;
    listen->tls = url.tls;
    listen->host = strdup(url.host);
    if (listen->host == NULL)
        config_errors_no_memory(reader->errors);
    return listen->host != NULL;
}

/* What systemd allows in FileDescriptorName=: printable ASCII, no colon, at most 255. */
static bool read_listen_systemd(struct config_reader *reader, const struct config_node *node,
                                const char *name, struct config_listen *listen)
{
    size_t bytes = strlen(name);
    bool is_right = bytes > 0 && bytes <= 255;
    for (size_t i = 0; i < bytes && is_right; i++)
        is_right = name[i] >= ' ' && name[i] <= '~' && name[i] != ':';
    if (!is_right) {
        config_reader_fail(reader, node,
                           "no name of a socket, expected systemd:NAME, its "
                           "FileDescriptorName=");
        return false;
    }
    listen->kind = CONFIG_LISTEN_SYSTEMD;
    listen->name = strdup(name);
    if (listen->name == NULL)
        config_errors_no_memory(reader->errors);
    return listen->name != NULL;
}

/* Takes text over. */
static bool read_listen_text(struct config_reader *reader, const struct config_node *node,
                             char *text, struct config_listen *listen)
{
    static const char unix_scheme[] = "ws+unix:";
    static const char systemd_scheme[] = "systemd:";
    *listen = (struct config_listen){.text = text};
    if (strncmp(text, unix_scheme, sizeof(unix_scheme) - 1) == 0)
        return read_listen_unix(reader, node, text + sizeof(unix_scheme) - 1, listen);
    if (strncmp(text, systemd_scheme, sizeof(systemd_scheme) - 1) == 0)
        return read_listen_systemd(reader, node, text + sizeof(systemd_scheme) - 1, listen);
    return read_listen_tcp(reader, node, text, listen);
}

static void listen_clear(struct config_listen *listen)
{
    free(listen->text);
    free(listen->host);
    free(listen->path);
    free(listen->name);
}

static void read_listen_one(struct config_reader *reader, const struct config_key *key,
                            const struct config_node *node, struct link_config *link)
{
    char *text = config_reader_text(reader, key, node);
    struct config_listen listen;
    if (text == NULL)
        return;
    if (!read_listen_text(reader, node, text, &listen)) {
        listen_clear(&listen);
        return;
    }
    const struct link_config *taken = listen_find(reader->config, &listen);
    if (taken != NULL) {
        config_reader_fail(reader, node, "%.200s is taken by %s%s, expected one of its own",
                           node->text, taken == link ? "this link" : "link ",
                           taken == link         ? ""
                           : taken->name != NULL ? taken->name
                                                 : "without a name");
        listen_clear(&listen);
        return;
    }
    struct config_listen *listens =
        realloc(link->listens, (link->listen_count + 1) * sizeof(*listens));
    if (listens == NULL) {
        config_errors_no_memory(reader->errors);
        listen_clear(&listen);
        return;
    }
    link->listens = listens;
    link->listens[link->listen_count++] = listen;
}

void config_read_listen(struct config_reader *reader, const struct config_key *key,
                        const struct config_node *node, struct link_config *link)
{
    if (node->kind != CONFIG_NODE_LIST) {
        read_listen_one(reader, key, node, link);
        return;
    }
    if (node->item_count == 0 || node->item_count > key->maximum) {
        config_reader_fail(reader, node, "a list of %zu, expected 1 to %" PRIu64, node->item_count,
                           key->maximum);
        return;
    }
    for (size_t i = 0; i < node->item_count; i++) {
        size_t path_bytes = config_reader_enter(reader, "[%zu]", i);
        read_listen_one(reader, key, &node->items[i], link);
        config_reader_leave(reader, path_bytes);
    }
}

/* ---- upstream ----------------------------------------------------------------------------- */

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

/* ---- lists of texts ----------------------------------------------------------------------- */

static void lower_case(char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

static bool is_visible_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

/* RFC 6454 section 6.2: scheme, host, port; file:// has no host.  "null" is every page that
 * hides where it comes from, so it cannot be listed. */
static const char *check_origin(char *text)
{
    lower_case(text);
    if (strcmp(text, "null") == 0)
        return "null stands for any page that hides its origin";
    const char *host = strstr(text, "://");
    bool is_ok = host != NULL && host != text && is_visible_ascii(text) &&
                 strcspn(host + 3, "/?#@*\"\\") == strlen(host + 3) &&
                 (host[3] != '\0' || strcmp(text, "file://") == 0);
    return is_ok ? NULL : "not an origin";
}

static const char *check_host(char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";
    lower_case(text);
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes > URL_HOST_BYTES_MAX)
        return "not a host name";
    if (text[0] == '[' && text[bytes - 1] == ']' &&
        strspn(text + 1, "0123456789abcdef:.") == bytes - 2)
        return NULL; /* an IPv6 address, as the Host header has it */
    return strspn(text, allowed) == bytes ? NULL : "not a host name";
}

void config_read_host(struct config_reader *reader, const struct config_key *key,
                      const struct config_node *node, char **field)
{
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    struct in6_addr address;
    bool is_ok = text[0] == '\0' || inet_pton(AF_INET6, text, &address) == 1;
    /* OpenSSL takes a name with a dot in front for all names that end so. */
    if (!is_ok)
        is_ok = text[0] != '.' && text[0] != '[' && check_host(text) == NULL;
    if (!is_ok) {
        char expected[CONFIG_KEY_TEXT_BYTES];
        config_key_expected(key, expected);
        config_reader_fail(reader, node, "\"%.100s\" is none, expected %s", node->text, expected);
        free(text);
        return;
    }
    free(*field);
    *field = text;
}

static const char *check_subprotocol(const char *text)
{
    size_t bytes = strlen(text);
    return bytes <= HANDSHAKE_SUBPROTOCOL_BYTES_MAX && http_is_token(text, bytes)
               ? NULL
               : "not the name of a subprotocol";
}

static const char *check_header_token(const char *text)
{
    if (!http_is_token(text, strlen(text)))
        return "not a name that a header has";
    return handshake_header_is_reserved(text) ? "belongs to the handshake" : NULL;
}

static void read_string(struct config_reader *reader, const struct config_key *key,
                        const struct config_node *node, struct config_strings *strings)
{
    if (node->kind == CONFIG_NODE_SCALAR && node->plain && strcmp(node->text, "null") == 0 &&
        key->type == CONFIG_ORIGINS) {
        char origin[] = "null"; /* in an Origin header it is a word */
        config_reader_fail(reader, node, "%s, expected origins such as https://example.com",
                           check_origin(origin));
        return;
    }
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    const char *why = key->type == CONFIG_ORIGINS        ? check_origin(text)
                      : key->type == CONFIG_HOSTS        ? check_host(text)
                      : key->type == CONFIG_HEADER_NAMES ? check_header_token(text)
                                                         : check_subprotocol(text);
    bool has_case = key->type == CONFIG_SUBPROTOCOLS; /* other names are the same in any case */
    for (size_t i = 0; why == NULL && i < strings->count; i++)
        if ((has_case ? strcmp : strcasecmp)(strings->items[i], text) == 0)
            why = "given twice";
    if (why != NULL) {
        char expected[CONFIG_KEY_TEXT_BYTES];
        config_key_expected(key, expected);
        config_reader_fail(reader, node, "\"%.100s\": %s, expected %s", node->text, why, expected);
        free(text);
        return;
    }
    strings->items[strings->count++] = text;
}

void config_read_strings(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node, struct config_strings *strings)
{
    if (config_node_is_null(node) || (node->kind == CONFIG_NODE_LIST && node->item_count == 0))
        return;
    char expected[CONFIG_KEY_TEXT_BYTES];
    config_key_expected(key, expected);
    if (node->kind != CONFIG_NODE_LIST) {
        char list[CONFIG_KEY_TEXT_BYTES + 16];
        snprintf(list, sizeof(list), "a list of %s", expected);
        config_reader_fail_kind(reader, node, list);
        return;
    }
    if (node->item_count > key->maximum) {
        config_reader_fail(reader, node, "a list of %zu, expected at most %" PRIu64,
                           node->item_count, key->maximum);
        return;
    }
    assert(strings->count == 0); /* a key is read once */
    strings->items = calloc(node->item_count, sizeof(*strings->items));
    if (strings->items == NULL) {
        config_errors_no_memory(reader->errors);
        return;
    }
    for (size_t i = 0; i < node->item_count; i++) {
        size_t path_bytes = config_reader_enter(reader, "[%zu]", i);
        read_string(reader, key, &node->items[i], strings);
        config_reader_leave(reader, path_bytes);
    }
}

/* ---- close rules -------------------------------------------------------------------------- */

void config_read_range(struct config_reader *reader, const struct config_key *key,
                       const struct config_node *node, struct close_rule *rule)
{
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    uint64_t first = key->minimum;
    uint64_t last = key->maximum;
    bool is_ok = (key->word != NULL && strcmp(text, key->word) == 0) ||
                 config_value_range(text, &first, &last);
    free(text);
    if (!is_ok || first < key->minimum || last > key->maximum) {
        char expected[CONFIG_KEY_TEXT_BYTES];
        config_key_expected(key, expected);
        config_reader_fail(reader, node, "\"%.64s\" is not possible, expected %s", node->text,
                           expected);
        return;
    }
    rule->first = (uint16_t)first;
    rule->last = (uint16_t)last;
}

/* Which kind of rule it is, and whether its keys go together. */
static void check_close_rule(struct config_reader *reader, const struct config_node *node,
                             struct close_rule *rule)
{
    const struct config_node *code = config_node_find(node, "code");
    const struct config_node *http = config_node_find(node, "http");
    const struct config_node *cause = config_node_find(node, "cause");
    bool is_client = rule->kind == CLOSE_RULE_CLIENT; /* side: client */
    const struct config_node *reason = config_node_find(node, "reason");
    int kind_count = (code != NULL) + (http != NULL) + (cause != NULL);
    if (kind_count != 1) {
        config_reader_fail(reader, node,
                           kind_count == 0
                               ? "matches nothing, expected one of code, http and cause"
                               : "matches several things, expected one of code, http and cause");
        return;
    }
    if (!is_client)
        rule->kind = code != NULL   ? CLOSE_RULE_CODE
                     : http != NULL ? CLOSE_RULE_HTTP
                                    : CLOSE_RULE_CAUSE;
    if (reason != NULL && code == NULL) {
        size_t path_bytes = config_reader_enter(reader, ".reason");
        config_reader_fail(reader, reason, "a reason without a code, expected code as well");
        config_reader_leave(reader, path_bytes);
    }
    if (config_node_find(node, "then") == NULL)
        config_reader_fail(reader, node, "no then, expected reconnect, reconnect-slow or end");
    if (is_client && code == NULL)
        config_reader_fail(reader, node, "side: client without a code, expected code as well");
    else if (is_client && rule->then != CLOSE_THEN_END)
        config_reader_fail(reader, node, "side: client does not reconnect, expected then: end");
}

static void read_close_rule(struct config_reader *reader, const struct config_node *node,
                            struct link_config *link)
{
    if (node->kind != CONFIG_NODE_MAPPING) {
        config_reader_fail_kind(reader, node, "a rule such as {code: 1000, then: reconnect}");
        return;
    }
    struct close_rule *rule = &link->session.close_rules[link->session.close_rule_count++];
    size_t error_count = reader->errors->count;
    config_reader_mapping(reader, "links[].close_rules[]", node, rule);
    if (reader->errors->count == error_count)
        check_close_rule(reader, node, rule);
}

void config_read_close_rules(struct config_reader *reader, const struct config_key *key,
                             const struct config_node *node, struct link_config *link)
{
    if (config_node_is_null(node) || (node->kind == CONFIG_NODE_LIST && node->item_count == 0))
        return;
    if (node->kind != CONFIG_NODE_LIST) {
        config_reader_fail_kind(reader, node,
                                "a list of rules such as {code: 1000, then: reconnect}");
        return;
    }
    if (node->item_count > key->maximum) {
        config_reader_fail(reader, node, "a list of %zu, expected at most %" PRIu64,
                           node->item_count, key->maximum);
        return;
    }
    link->session.close_rules = calloc(node->item_count, sizeof(*link->session.close_rules));
    if (link->session.close_rules == NULL) {
        config_errors_no_memory(reader->errors);
        return;
    }
    for (size_t i = 0; i < node->item_count; i++) {
        size_t path_bytes = config_reader_enter(reader, "[%zu]", i);
        read_close_rule(reader, &node->items[i], link);
        config_reader_leave(reader, path_bytes);
    }
}

/* ---- what several keys say together ------------------------------------------------------- */

/* `path` is at least what `other` is, or the mistake is at the one that the file has. */
static void check_at_least(struct config_reader *reader, const struct config_node *node,
                           const char *path, uint64_t value, const char *other,
                           uint64_t other_value, void (*format)(uint64_t, char *))
{
    if (value >= other_value)
        return;
    const struct config_node *place = config_node_find(node, path);
    if (place == NULL)
        place = config_node_find(node, other);
    if (place == NULL)
        place = node; /* two presets: a test compares them */
    char value_text[CONFIG_VALUE_TEXT_BYTES];
    char other_text[CONFIG_VALUE_TEXT_BYTES];
    format(value, value_text);
    format(other_value, other_text);
    size_t path_bytes = config_reader_enter(reader, ".%s", path);
    config_reader_fail(reader, place, "%s is below %s, expected at least %s", value_text, other,
                       other_text);
    config_reader_leave(reader, path_bytes);
}

/* These two keys are given together. */
static void check_key_pair(struct config_reader *reader, const struct config_node *node,
                           const char *cert, const char *cert_value, const char *key,
                           const char *key_value)
{
    if ((cert_value[0] == '\0') == (key_value[0] == '\0'))
        return;
    const char *given = cert_value[0] != '\0' ? cert : key;
    const char *missing = cert_value[0] != '\0' ? key : cert;
    size_t path_bytes = config_reader_enter(reader, ".%s", given);
    config_reader_fail(reader, config_node_find(node, given), "%s is missing, expected both",
                       missing);
    config_reader_leave(reader, path_bytes);
}

static void check_tls(struct config_reader *reader, const struct config_node *node,
                      const struct link_config *link)
{
    const struct config_client_tls *client = &link->client.tls;
    const struct config_upstream_tls *upstream = &link->upstream.tls;
    check_key_pair(reader, node, "client.tls.cert", client->cert, "client.tls.key", client->key);
    check_key_pair(reader, node, "upstream.tls.cert", upstream->cert, "upstream.tls.key",
                   upstream->key);

    const struct config_listen *listen = NULL;
    for (size_t i = 0; i < link->listen_count && listen == NULL; i++)
        if (link->listens[i].tls)
            listen = &link->listens[i];
    const char *path = listen != NULL                 ? "listen"
                       : client->cert[0] != '\0'      ? "client.tls.cert"
                       : client->key[0] != '\0'       ? "client.tls.key"
                       : client->client_ca[0] != '\0' ? "client.tls.client_ca"
                                                      : NULL;
    bool has_identity = client->cert[0] != '\0' || client->key[0] != '\0';
    if (path == NULL || (listen != NULL && has_identity))
        return;
    size_t path_bytes = config_reader_enter(reader, ".%s", path);
    if (listen != NULL)
        config_reader_fail(reader, config_node_find(node, path),
                           "%.200s wants a certificate, expected client.tls.cert and "
                           "client.tls.key",
                           listen->text);
    else
        config_reader_fail(reader, config_node_find(node, path),
                           "nobody would see it, expected a listener with wss://");
    config_reader_leave(reader, path_bytes);
}

void config_check_link(struct config_reader *reader, const struct config_node *node,
                       const struct link_config *link)
{
    const struct session_settings *session = &link->session;
    check_tls(reader, node, link);
    config_check_access(reader, node, link);
    check_at_least(reader, node, "reconnect.max_delay", session->backoff.max_delay_ms,
                   "reconnect.initial_delay", session->backoff.initial_delay_ms,
                   config_value_format_duration);
    check_at_least(reader, node, "delivery.max_bytes", session->outbox_bytes_max,
                   "client.max_message", link->client.limits.message_bytes_max,
                   config_value_format_size);
    check_at_least(reader, node, "delivery.inbox_max_bytes", session->inbox_bytes_max,
                   "upstream.max_message", link->upstream.limits.message_bytes_max,
                   config_value_format_size);
}
