/* `${env:NAME}` and `${file:PATH}` in values: replaced when the configuration is read, or, where
 * files are read for every attempt, taken apart. */
#ifndef WSKEEP_CONFIG_CONFIG_EXPAND_H
#define WSKEEP_CONFIG_CONFIG_EXPAND_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum {
    CONFIG_EXPAND_FILE_BYTES_MAX = 64 * 1024,
    CONFIG_EXPAND_BYTES_MAX = 256 * 1024, /* of a value after all */
    CONFIG_EXPAND_WHY_BYTES = 768
};

/*
 * Replace all in text.
 *
 * file   the configuration's: a PATH without / in front is beside it
 *
 * Returns the value, terminated, to be freed, which is UTF-8 without NUL; or NULL with the
 * reason in why (CONFIG_EXPAND_WHY_BYTES), which is "" when memory ran out.  The reason names
 * variables and files, never what is in them.
 */
char *config_expand(const char *file, const char *text, size_t text_bytes, char *why);

/*
 * Replace variables, and take the rest apart at its files, which are not looked at.  Returns false,
 * with why as above and an empty template, or true with one for config_template_clear().
 */
bool config_expand_template(const char *file, const char *text, size_t text_bytes,
                            struct config_template *template, char *why);

#endif
