/*
 * Every key of the configuration, built or not: one row each.
 *
 * The reader, the checks, `did you mean` and the manual page come from the rows.
 */
#ifndef WSKEEP_CONFIG_CONFIG_KEYS_H
#define WSKEEP_CONFIG_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_key_type {
    /* Numbers, stored in the field's own width (config_key_parse). */
    CONFIG_COUNT,
    CONFIG_DURATION, /* in ms */
    CONFIG_SIZE,     /* in bytes */
    CONFIG_DECIMAL,  /* in thousandths */
    CONFIG_BOOLEAN,
    CONFIG_CHOICE,     /* the value of a choice */
    CONFIG_MODE,       /* of a file */
    CONFIG_CLOSE_CODE, /* one that may be sent */
    CONFIG_USER,       /* name or number */
    CONFIG_GROUP,
    CONFIG_CAUSE,
    CONFIG_NUMBER_TYPE_COUNT,

    CONFIG_TEXT = CONFIG_NUMBER_TYPE_COUNT, /* char *; maximum: bytes */
    CONFIG_FILE,                            /* char *; its path, seen from the configuration */
    CONFIG_HOST,                            /* char *; a name or an address, or "" */
    CONFIG_NAME,                            /* char *; of a link */
    CONFIG_RANGE,                           /* two uint16_t: first, last */
    CONFIG_ORIGINS,                         /* struct config_strings; maximum: items */
    CONFIG_HOSTS,
    CONFIG_SUBPROTOCOLS,
    CONFIG_HEADER_NAMES,
    CONFIG_USERS, /* struct config_users; maximum: items */
    CONFIG_TOKEN, /* char *; what a header can show */
    CONFIG_LIST,  /* of an unbuilt feature: only [] is accepted */

    /* With a function of their own in the reader. */
    CONFIG_LINKS,
    CONFIG_LISTEN,
    CONFIG_URL,
    CONFIG_PROXY,
    CONFIG_HEADERS,
    CONFIG_CLOSE_RULES
};

enum config_key_state {
    CONFIG_KEY_BUILT,
    CONFIG_KEY_MODIFIER, /* of an unbuilt feature: checked, accepted, and without effect */
    CONFIG_KEY_UNBUILT   /* only what means off is accepted */
};

enum { CONFIG_CHOICE_UNBUILT = -1 };

struct config_choice {
    const char *name; /* NULL ends the list */
    int value;        /* of the field, or CONFIG_CHOICE_UNBUILT */
};

struct config_key {
    const char *path; /* "links[].heartbeat.interval" */
    enum config_key_type type;
    enum config_key_state state;
    size_t offset; /* in struct config; under links[] in struct link_config; under close_rules[]
                      in struct close_rule */
    size_t bytes;  /* of the field; 0: not stored */
    uint64_t minimum;
    uint64_t maximum;
    const char *preset; /* as one would write it; NULL: none, or an empty list or mapping */
    const char *word;   /* accepted besides numbers and stored as UINT64_MAX: "never" */
    const struct config_choice *choices;
    bool is_required;
    bool is_secret; /* its value is never shown */
    const char *text;
};

/* All rows, in the order of the sample. */
const struct config_key *config_keys(size_t *count);

#endif
