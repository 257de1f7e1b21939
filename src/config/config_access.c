/* Who is let in: values of `client:` with more to them than a row says. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_reader.h"
#include "proto/token.h"

/* ---- allow_users -------------------------------------------------------------------------- */

static void read_user(struct config_reader *reader, const struct config_key *key,
                      const struct config_node *node, struct config_users *users)
{
    static const struct config_key user = {.type = CONFIG_USER, .maximum = UINT32_MAX - 1};
    char why[CONFIG_KEY_TEXT_BYTES];
    uint64_t uid;
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    bool is_user = text[0] != '\0' && config_key_parse(&user, text, node->text, &uid, why);
    if (text[0] == '\0')
        config_reader_fail(reader, node, "no user, expected a user's name or number");
    else if (!is_user)
        config_reader_fail(reader, node, "%s", why);
    free(text);
    if (!is_user)
        return;
    for (size_t i = 0; i < users->count; i++) {
        if (users->ids[i] == (uid_t)uid) {
            config_reader_fail(reader, node, "\"%.64s\" is given twice, expected once", node->text);
            return;
        }
    }
    users->ids[users->count++] = (uid_t)uid;
}

void config_read_users(struct config_reader *reader, const struct config_key *key,
                       const struct config_node *node, struct config_users *users)
{
    if (config_node_is_null(node) || (node->kind == CONFIG_NODE_LIST && node->item_count == 0))
        return;
    if (node->kind != CONFIG_NODE_LIST) {
        config_reader_fail_kind(reader, node, "a list of users, such as [game]");
        return;
    }
    if (node->item_count > key->maximum) {
        config_reader_fail(reader, node, "a list of %zu, expected at most %" PRIu64,
                           node->item_count, key->maximum);
        return;
    }
    users->ids = calloc(node->item_count, sizeof(*users->ids));
    if (users->ids == NULL) {
        config_errors_no_memory(reader->errors);
        return;
    }
    for (size_t i = 0; i < node->item_count; i++) {
        size_t path_bytes = config_reader_enter(reader, "[%zu]", i);
        read_user(reader, key, &node->items[i], users);
        config_reader_leave(reader, path_bytes);
    }
}

/* ---- token -------------------------------------------------------------------------------- */

/* The value is a secret: no message has it. */
void config_read_token(struct config_reader *reader, const struct config_key *key,
                       const struct config_node *node, char **token)
{
    char *text = config_reader_text(reader, key, node);
    if (text == NULL)
        return;
    /* Nothing means that nobody asks for one; an empty file shall not mean that. */
    if ((text[0] == '\0' && node->text_bytes > 0) ||
        (text[0] != '\0' && !token_is_valid(text, strlen(text)))) {
        char expected[CONFIG_KEY_TEXT_BYTES];
        config_key_expected(key, expected);
        config_reader_fail(reader, node, "%s, expected %s",
                           text[0] == '\0' ? "empty" : "not a token", expected);
        explicit_bzero(text, strlen(text));
        free(text);
        return;
    }
    free(*token);
    *token = text;
}

/* ---- together ----------------------------------------------------------------------------- */

/* Of a client that comes by TCP nobody knows the user. */
void config_check_access(struct config_reader *reader, const struct config_node *node,
                         const struct link_config *link)
{
    if (link->client.allow_users.count == 0)
        return;
    for (size_t i = 0; i < link->listen_count; i++) {
        if (link->listens[i].kind != CONFIG_LISTEN_TCP)
            continue;
        size_t path_bytes = config_reader_enter(reader, ".client.allow_users");
        config_reader_fail(reader, config_node_find(node, "client.allow_users"),
                           "who comes to %.200s has no user, expected only ws+unix:/PATH or "
                           "systemd:NAME in listen",
                           link->listens[i].text);
        config_reader_leave(reader, path_bytes);
        return;
    }
}
