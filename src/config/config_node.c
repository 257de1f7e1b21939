#include "config/config_node.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "proto/utf8.h"

/* What one parse hands down. */
struct node_parse {
    yaml_parser_t parser;
    const char *file;
    const char *text;
    size_t text_bytes;
    struct config_errors *errors;
};

void config_node_clear(struct config_node *node)
{
    for (size_t i = 0; i < node->item_count; i++)
        config_node_clear(&node->items[i]); /* no deeper than CONFIG_NODE_DEPTH_MAX */
    free(node->items);
    free(node->text);
    *node = (struct config_node){0};
}

bool config_node_is_null(const struct config_node *node)
{
    return node->kind == CONFIG_NODE_SCALAR && node->plain &&
           (node->text_bytes == 0 || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0 || strcmp(node->text, "Null") == 0 ||
            strcmp(node->text, "NULL") == 0);
}

const struct config_node *config_node_find(const struct config_node *mapping, const char *path)
{
    size_t bytes = strcspn(path, ".");
    if (mapping->kind != CONFIG_NODE_MAPPING)
        return NULL;
    for (size_t i = 0; i + 1 < mapping->item_count; i += 2) {
        const struct config_node *key = &mapping->items[i];
        if (key->text_bytes != bytes || memcmp(key->text, path, bytes) != 0)
            continue;
        const struct config_node *value = &mapping->items[i + 1];
        return path[bytes] == '\0' ? value : config_node_find(value, path + bytes + 1);
    }
    return NULL;
}

/* The place of a byte, counted as libyaml does: from 0, columns in characters. */
static yaml_mark_t node_mark_of(const char *text, size_t text_bytes, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < text_bytes && i < offset; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) { /* not a continuation byte */
            mark.column++;
        }
    }
    return mark;
}

/* Where the first byte is that is not UTF-8; text_bytes when there is none. */
static size_t node_valid_bytes(const char *text, size_t text_bytes)
{
    const uint8_t *data = (const uint8_t *)text;
    struct utf8 utf8 = {0};
    if (utf8_is_valid(data, text_bytes))
        return text_bytes;
    size_t valid = 0;
    while (valid < text_bytes && utf8_feed(&utf8, &data[valid], 1))
        valid++;
    return valid < text_bytes ? valid : text_bytes - 1; /* else cut off in a character */
}

/* Marks count from 0, and far lines of a hostile file stay in range: 1 MiB at most. */
static void node_fail(struct node_parse *parse, const yaml_mark_t *mark, const char *text)
{
    config_errors_add(parse->errors, parse->file, (unsigned)mark->line + 1,
                      (unsigned)mark->column + 1, "", "%s", text);
}

static bool node_next_event(struct node_parse *parse, yaml_event_t *event)
{
    if (yaml_parser_parse(&parse->parser, event) == 1)
        return true;
    const yaml_parser_t *parser = &parse->parser;
    if (parser->error == YAML_MEMORY_ERROR) {
        config_errors_no_memory(parse->errors);
        return false;
    }
    char text[256];
    snprintf(text, sizeof(text), "not YAML: %s%s%s",
             parser->problem != NULL ? parser->problem : "malformed",
             parser->context != NULL ? " " : "", parser->context != NULL ? parser->context : "");
    yaml_mark_t mark = parser->problem_mark;
    if (parser->error == YAML_READER_ERROR) /* a control character: it has an offset instead */
        mark = node_mark_of(parse->text, parse->text_bytes, parser->problem_offset);
    node_fail(parse, &mark, text);
    return false;
}

static bool node_append(struct node_parse *parse, struct config_node *node,
                        const struct config_node *item)
{
    size_t count = node->item_count;
    if ((count & (count - 1)) == 0) { /* 0 and the powers of two: double the room */
        struct config_node *items =
            realloc(node->items, (count == 0 ? 1 : 2 * count) * sizeof(*items));
        if (items == NULL) {
            config_errors_no_memory(parse->errors);
            return false;
        }
        node->items = items;
    }
    node->items[node->item_count++] = *item;
    return true;
}

static bool node_read(struct node_parse *parse, yaml_event_t *event, unsigned depth,
                      struct config_node *node);

/* The items of a list or mapping, up to its end event. */
static bool node_read_items(struct node_parse *parse, yaml_event_type_t end, unsigned depth,
                            struct config_node *node)
{
    for (;;) {
        yaml_event_t event;
        if (!node_next_event(parse, &event))
            return false;
        if (event.type == end) {
            yaml_event_delete(&event);
            return true;
        }
        struct config_node item;
        bool is_ok = node_read(parse, &event, depth, &item);
        yaml_event_delete(&event);
        if (!is_ok || !node_append(parse, node, &item)) {
            config_node_clear(&item);
            return false;
        }
    }
}

/* A key that is no text cannot be looked up: it and its value are dropped. */
static void node_check_keys(struct node_parse *parse, struct config_node *node)
{
    size_t kept = 0;
    for (size_t i = 0; i + 1 < node->item_count; i += 2) {
        struct config_node *key = &node->items[i];
        if (key->kind == CONFIG_NODE_SCALAR) {
            node->items[kept] = node->items[i];
            node->items[kept + 1] = node->items[i + 1];
            kept += 2;
            continue;
        }
        if (key->kind != CONFIG_NODE_BROKEN)
            config_errors_add(parse->errors, parse->file, key->line, key->column, "",
                              "a list or mapping as a key, expected a word");
        config_node_clear(&node->items[i]);
        config_node_clear(&node->items[i + 1]);
    }
    node->item_count = kept;
}

static bool node_set_text(struct node_parse *parse, struct config_node *node,
                          const yaml_char_t *text, size_t text_bytes)
{
    node->text = malloc(text_bytes + 1);
    if (node->text == NULL) {
        config_errors_no_memory(parse->errors);
        return false;
    }
    if (text_bytes > 0)
        memcpy(node->text, text, text_bytes);
    node->text[text_bytes] = '\0';
    node->text_bytes = text_bytes;
    return true;
}

/* One node from its first event.  On failure *node is clear or fit to be cleared. */
static bool node_read(struct node_parse *parse, yaml_event_t *event, unsigned depth,
                      struct config_node *node)
{
    *node = (struct config_node){.line = (unsigned)event->start_mark.line + 1,
                                 .column = (unsigned)event->start_mark.column + 1};
    if (depth > CONFIG_NODE_DEPTH_MAX) {
        node_fail(parse, &event->start_mark, "nested too deeply");
        return false;
    }
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    bool is_ok = true;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        node->kind = CONFIG_NODE_SCALAR;
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        is_ok = node_set_text(parse, node, event->data.scalar.value, event->data.scalar.length);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        node->kind = CONFIG_NODE_LIST;
        is_ok = node_read_items(parse, YAML_SEQUENCE_END_EVENT, depth + 1, node);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        node->kind = CONFIG_NODE_MAPPING;
        is_ok = node_read_items(parse, YAML_MAPPING_END_EVENT, depth + 1, node);
        if (is_ok)
            node_check_keys(parse, node);
        break;
    default: /* an alias: nothing else can begin a node */
        node->kind = CONFIG_NODE_BROKEN;
        node_fail(parse, &event->start_mark, "an alias, expected the value itself");
        return true;
    }
    if (anchor != NULL)
        node_fail(parse, &event->start_mark, "an anchor, expected none: values are not shared");
    if (tag != NULL)
        node_fail(parse, &event->start_mark, "a tag, expected none: the key tells the type");
    return is_ok;
}

static bool node_read_document(struct node_parse *parse, struct config_node *root)
{
    bool has_root = false;
    for (bool is_over = false; !is_over;) {
        yaml_event_t event;
        if (!node_next_event(parse, &event))
            return false;
        bool is_ok = true;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            is_over = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (has_root) {
                node_fail(parse, &event.start_mark, "a second document, expected one");
                is_over = true; /* the first one is still worth checking */
            }
            break;
        default:
            has_root = true;
            is_ok = node_read(parse, &event, 0, root);
            break;
        }
        yaml_event_delete(&event);
        if (!is_ok)
            return false;
    }
    return has_root || node_set_text(parse, root, NULL, 0);
}

bool config_node_parse(const char *file, const char *text, size_t text_bytes,
                       struct config_errors *errors, struct config_node *root)
{
    *root = (struct config_node){.line = 1, .column = 1, .plain = true};
    struct node_parse parse = {
        .file = file, .text = text, .text_bytes = text_bytes, .errors = errors};
    size_t valid_bytes = node_valid_bytes(text, text_bytes);
    if (valid_bytes < text_bytes) {
        yaml_mark_t mark = node_mark_of(text, text_bytes, valid_bytes);
        node_fail(&parse, &mark, "not UTF-8, expected UTF-8 text");
        return false;
    }
    if (yaml_parser_initialize(&parse.parser) != 1) {
        config_errors_no_memory(errors);
        return false;
    }
    yaml_parser_set_encoding(&parse.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parse.parser, (const unsigned char *)text, text_bytes);
    bool is_ok = node_read_document(&parse, root);
    yaml_parser_delete(&parse.parser);
    return is_ok;
}
