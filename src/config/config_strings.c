/* Names of hosts, and lists of texts. */
#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/config_reader.h"

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
