#include "config/config_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct value_unit {
    const char *name;
    uint64_t factor;
};

static const struct value_unit duration_units[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

static const struct value_unit size_units[] = {
    {"GiB", 1024ULL * 1024 * 1024}, {"MiB", 1024ULL * 1024}, {"KiB", 1024}};

enum {
    DURATION_UNIT_COUNT = sizeof(duration_units) / sizeof(duration_units[0]),
    SIZE_UNIT_COUNT = sizeof(size_units) / sizeof(size_units[0])
};

/* Digits at the front of *text, which is moved behind them.  False when there is none. */
static bool value_digits(const char **text, uint64_t base, uint64_t *number)
{
    const char *at = *text;
    uint64_t sum = 0;
    for (; *at >= '0' && *at < (char)('0' + base); at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        sum = sum > (CONFIG_VALUE_MAX - digit) / base ? CONFIG_VALUE_MAX : sum * base + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    *number = sum;
    return true;
}

static bool value_with_unit(const char *text, const struct value_unit *units, size_t unit_count,
                            uint64_t *value)
{
    uint64_t number;
    if (!value_digits(&text, 10, &number))
        return false;
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(text, units[i].name) != 0)
            continue;
        *value = number > CONFIG_VALUE_MAX / units[i].factor ? CONFIG_VALUE_MAX
                                                             : number * units[i].factor;
        return true;
    }
    return false;
}

bool config_value_count(const char *text, uint64_t *count)
{
    uint64_t number;
    if (!value_digits(&text, 10, &number) || *text != '\0')
        return false;
    *count = number;
    return true;
}

bool config_value_duration(const char *text, uint64_t *ms)
{
    return value_with_unit(text, duration_units, DURATION_UNIT_COUNT, ms);
}

bool config_value_size(const char *text, uint64_t *bytes)
{
    if (strcmp(text, "0") == 0) { /* the one number that needs no unit */
        *bytes = 0;
        return true;
    }
    return value_with_unit(text, size_units, SIZE_UNIT_COUNT, bytes);
}

bool config_value_decimal(const char *text, uint64_t *milli)
{
    uint64_t whole;
    if (!value_digits(&text, 10, &whole))
        return false;
    uint64_t fraction = 0;
    if (*text == '.') {
        uint64_t weight = 100;
        text++;
        if (*text == '\0')
            return false;
        for (; *text >= '0' && *text <= '9'; text++) {
            if (weight == 0)
                return false; /* finer than thousandths */
            fraction += (uint64_t)(*text - '0') * weight;
            weight /= 10;
        }
    }
    if (*text != '\0')
        return false;
    *milli =
        whole > (CONFIG_VALUE_MAX - fraction) / 1000 ? CONFIG_VALUE_MAX : whole * 1000 + fraction;
    return true;
}

bool config_value_mode(const char *text, uint64_t *mode)
{
    /* The leading 0 is asked for: 432 is what other programs make of 0660, in decimal. */
    if (text[0] != '0')
        return false;
    if (text[1] == 'o')
        text += 2;
    uint64_t number;
    if (!value_digits(&text, 8, &number) || *text != '\0')
        return false;
    *mode = number;
    return true;
}

bool config_value_boolean(const char *text, uint64_t *is_true)
{
    static const char *const trues[] = {"true", "True", "TRUE", "on", "On", "ON"};
    static const char *const falses[] = {"false", "False", "FALSE", "off", "Off", "OFF"};
    for (size_t i = 0; i < sizeof(trues) / sizeof(trues[0]); i++) {
        if (strcmp(text, trues[i]) == 0 || strcmp(text, falses[i]) == 0) {
            *is_true = strcmp(text, trues[i]) == 0;
            return true;
        }
    }
    return false;
}

bool config_value_range(const char *text, uint64_t *first, uint64_t *last)
{
    uint64_t from;
    if (!value_digits(&text, 10, &from))
        return false;
    uint64_t to = from;
    if (*text == '-') {
        text++;
        if (!value_digits(&text, 10, &to) || to < from)
            return false;
    }
    if (*text != '\0')
        return false;
    *first = from;
    *last = to;
    return true;
}

static void value_format(uint64_t value, const struct value_unit *units, size_t unit_count,
                         char *out)
{
    for (size_t i = 0; i < unit_count; i++) {
        if (value % units[i].factor == 0 && value != 0) {
            snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%" PRIu64 "%s", value / units[i].factor,
                     units[i].name);
            return;
        }
    }
    snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%" PRIu64, value);
}

void config_value_format_duration(uint64_t ms, char *out)
{
    if (ms == 0)
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "0s");
    else
        value_format(ms, duration_units, DURATION_UNIT_COUNT, out);
}

void config_value_format_size(uint64_t bytes, char *out)
{
    value_format(bytes, size_units, SIZE_UNIT_COUNT, out);
}

void config_value_format_decimal(uint64_t milli, char *out)
{
    int used = snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%" PRIu64 ".%03u", milli / 1000,
                        (unsigned)(milli % 1000));
    while (used > 0 && out[used - 1] == '0')
        out[--used] = '\0';
    if (used > 0 && out[used - 1] == '.')
        out[used - 1] = '\0';
}
