/* clang-tidy clang-analyzer-valist.Unterminated: one way out without va_end. */
#include <stdarg.h>
#include <stdio.h>

int planted_say(char *text, size_t bytes, const char *format, ...);

int planted_say(char *text, size_t bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, bytes, format, arguments);
    if (length < 0)
        return 0;
    va_end(arguments);
    return length;
}
