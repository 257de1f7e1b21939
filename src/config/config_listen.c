/* Where clients connect: `listen`. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_reader.h"

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
