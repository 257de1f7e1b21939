/* The list of mistakes in a configuration, as it grows. */
#ifndef WSKEEP_CONFIG_CONFIG_ERRORS_H
#define WSKEEP_CONFIG_CONFIG_ERRORS_H

#include "config/config.h"

enum { CONFIG_ERROR_TEXT_BYTES = 1024 }; /* a longer text is cut */

/*
 * Add one.  All strings are copied; "" where nothing is known, line 0 for no place.  The list
 * ends at CONFIG_ERROR_COUNT_MAX with one that says so.
 */
__attribute__((format(printf, 6, 7))) void config_errors_add(struct config_errors *errors,
                                                             const char *file, unsigned line,
                                                             unsigned column, const char *path,
                                                             const char *format, ...);

/* Memory ran out: from now on the list is this one error, which takes no memory. */
void config_errors_no_memory(struct config_errors *errors);

/* Nothing more will be added: whoever reads may stop. */
bool config_errors_is_full(const struct config_errors *errors);

#endif
