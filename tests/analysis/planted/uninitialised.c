/* clang-tidy clang-analyzer-core: one way through leaves the answer unset. */
#include <stdbool.h>
#include <stddef.h>

int planted_port(const char *text);

static bool parse(const char *text, int *port)
{
    if (text[0] == '\0')
        return false;
    *port = text[0];
    return true;
}

int planted_port(const char *text)
{
    int port;
    parse(text, &port);
    return port + 1;
}
