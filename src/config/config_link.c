/* A link: its name, its close rules, and what its keys say together. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_reader.h"
#include "config/config_value.h"

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
