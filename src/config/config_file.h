/* Files that the configuration is made of. */
#ifndef WSKEEP_CONFIG_CONFIG_FILE_H
#define WSKEEP_CONFIG_CONFIG_FILE_H

#include <stddef.h>

enum { CONFIG_FILE_WHY_BYTES = 256 };

/*
 * Read a whole regular file of at most bytes_max.  Never waits, whatever path is.
 *
 * Returns its bytes, terminated, to be freed; or NULL with the reason in why
 * (CONFIG_FILE_WHY_BYTES), which is "" when memory ran out.
 */
char *config_file_read(const char *path, size_t bytes_max, size_t *bytes, char *why);

/* `name` in the folder of the file at path, to be freed; NULL when memory ran out. */
char *config_file_beside(const char *path, const char *name);

#endif
