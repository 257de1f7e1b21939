/*
 * YAML text -> a tree of nodes with their places.
 *
 * A subset on purpose: one document, no anchors, aliases or tags, keys are text.  What a value
 * means is the reader's business: every scalar is text here.
 */
#ifndef WSKEEP_CONFIG_CONFIG_NODE_H
#define WSKEEP_CONFIG_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config_errors.h"

enum { CONFIG_NODE_DEPTH_MAX = 32 };

enum config_node_kind {
    CONFIG_NODE_SCALAR,
    CONFIG_NODE_LIST,    /* items */
    CONFIG_NODE_MAPPING, /* items: key, value, key, value; every key is a scalar */
    CONFIG_NODE_BROKEN   /* refused, and reported already: skip it */
};

struct config_node {
    enum config_node_kind kind;
    unsigned line; /* from 1 */
    unsigned column;
    bool plain; /* a scalar without quotes */
    char *text; /* of a scalar, terminated; may contain NUL */
    size_t text_bytes;
    struct config_node *items;
    size_t item_count;
};

/*
 * Parse.  Returns false when text is no YAML or memory ran out; smaller mistakes leave broken
 * nodes.  Either way they are in errors, and the caller clears *root.  An empty text is a plain
 * empty scalar.
 */
bool config_node_parse(const char *file, const char *text, size_t text_bytes,
                       struct config_errors *errors, struct config_node *root);
void config_node_clear(struct config_node *node);

/* `key:` with nothing behind it, or null. */
bool config_node_is_null(const struct config_node *node);

/* The value under a path of keys such as "reconnect.max_delay", or NULL. */
const struct config_node *config_node_find(const struct config_node *mapping, const char *path);

#endif
