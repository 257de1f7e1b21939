#include "config/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_value.h"

/* Read up to bytes_max + 1: one more shows that there is too much. */
static char *file_read_open(int fd, size_t bytes_max, size_t *bytes, char *why)
{
    char *text = NULL;
    struct stat status;
    if (fstat(fd, &status) != 0) {
        snprintf(why, CONFIG_FILE_WHY_BYTES, "cannot be read: %s", strerror(errno));
        goto fail;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(why, CONFIG_FILE_WHY_BYTES, "%s, expected a regular file",
                 S_ISDIR(status.st_mode) ? "is a directory" : "is a device, pipe or socket");
        goto fail;
    }
    text = malloc(bytes_max + 2);
    if (text == NULL)
        goto fail;
    size_t used = 0;
    while (used <= bytes_max) {
        ssize_t got = read(fd, text + used, bytes_max + 1 - used);
        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            snprintf(why, CONFIG_FILE_WHY_BYTES, "cannot be read: %s", strerror(errno));
            goto fail;
        }
        used += (size_t)got;
    }
    if (used > bytes_max) {
        char maximum[CONFIG_VALUE_TEXT_BYTES];
        config_value_format_size(bytes_max, maximum);
        snprintf(why, CONFIG_FILE_WHY_BYTES, "is too big, expected at most %s", maximum);
        goto fail;
    }
    text[used] = '\0';
    *bytes = used;
    return text;

fail:
    if (text != NULL)
        explicit_bzero(text, bytes_max + 2); /* it may be a secret all the same */
    free(text);
    return NULL;
}

char *config_file_read(const char *path, size_t bytes_max, size_t *bytes, char *why)
{
    why[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        snprintf(why, CONFIG_FILE_WHY_BYTES, "cannot be read: %s", strerror(errno));
        return NULL;
    }
    char *text = file_read_open(fd, bytes_max, bytes, why);
    close(fd);
    return text;
}

char *config_file_beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    size_t folder_bytes = slash == NULL || name[0] == '/' ? 0 : (size_t)(slash - path) + 1;
    size_t name_bytes = strlen(name) + 1;
    char *beside = malloc(folder_bytes + name_bytes);
    if (beside == NULL)
        return NULL;
    if (folder_bytes > 0)
        memcpy(beside, path, folder_bytes);
    memcpy(beside + folder_bytes, name, name_bytes);
    return beside;
}
