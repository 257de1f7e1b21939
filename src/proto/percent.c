/* Percent-encoding. */
#include "proto/percent.h"

int percent_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int percent_next(const char **at, const char *end)
{
    const char *text = (*at)++;
    if (*text != '%')
        return (unsigned char)*text;
    int high = end - text >= 3 ? percent_hex_digit(text[1]) : -1;
    int low = high >= 0 ? percent_hex_digit(text[2]) : -1;
    if (low < 0)
        return -1;
    *at = text + 3;
    return high * 16 + low;
}
