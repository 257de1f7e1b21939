/* cppcheck deallocret: a stream that was closed is read again. */
#include <stdio.h>

int planted_read(const char *path);

int planted_read(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    int first = fgetc(file);
    fclose(file);
    return first == '#' ? fgetc(file) : first;
}
