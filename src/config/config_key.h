/* Questions to one row of the table of keys, and the checks that a row asks for. */
#ifndef WSKEEP_CONFIG_CONFIG_KEY_H
#define WSKEEP_CONFIG_CONFIG_KEY_H

#include "config/config_keys.h"

enum { CONFIG_KEY_TEXT_BYTES = 512 }; /* room for any text that is made here */

/* The row of a path such as "links[].name", or NULL. */
const struct config_key *config_key_find(const char *path);

/* True when rows are beneath it: "links[].client"; "" is the whole file. */
bool config_key_is_group(const char *path);

/* The last word of a path: "interval". */
const char *config_key_name(const struct config_key *key);

/* "name, listen, client": the words beneath a group.  out: CONFIG_KEY_TEXT_BYTES. */
void config_key_list_words(const char *group, char *out);

/*
 * What the writer of an unknown word beneath group may have meant: a word of that group that is a
 * slip or two away, else the path of the only key elsewhere with that name.  False: no idea.
 */
bool config_key_suggest(const char *group, const char *word, char *out);

/* "a number with ms, s, m or h, such as 20s".  out: CONFIG_KEY_TEXT_BYTES. */
void config_key_expected(const struct config_key *key, char *out);

/*
 * Read the value of a key of a number type.
 *
 * text     the value
 * written  as the file has it, for messages: `${env:...}` and the like are not replaced in it
 * why      out, CONFIG_KEY_TEXT_BYTES: what is wrong, what was expected
 *
 * Returns false, with why, for a value that is malformed, out of range or not built.
 */
bool config_key_parse(const struct config_key *key, const char *text, const char *written,
                      uint64_t *number, char *why);

#endif
