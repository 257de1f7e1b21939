/* clang-tidy clang-analyzer-unix.Malloc: the way out on an error forgets what was allocated. */
#include <stdlib.h>
#include <string.h>

char *planted_leak(const char *name, size_t bytes_max);

char *planted_leak(const char *name, size_t bytes_max)
{
    char *copy = malloc(bytes_max);
    if (!copy)
        return NULL;
    if (strlen(name) >= bytes_max)
        return NULL;
    memcpy(copy, name, strlen(name) + 1);
    return copy;
}
