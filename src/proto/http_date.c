/* Dates as HTTP writes them. */
#include "proto/http_date.h"

#include <string.h>

struct date {
    unsigned year, month, day, hour, minute, second; /* month and day from 1 */
};

/* What is left to read; every step takes what it expects, or fails for good. */
struct cursor {
    struct http_text rest;
    bool failed;
};

static char next(struct cursor *cursor)
{
    if (cursor->rest.bytes == 0) {
        cursor->failed = true;
        return '\0';
    }
    cursor->rest.bytes--;
    return *cursor->rest.at++;
}

static void expect(struct cursor *cursor, const char *text)
{
    for (; *text; text++)
        if (next(cursor) != *text)
            cursor->failed = true;
}

static bool is_next(const struct cursor *cursor, char c)
{
    return cursor->rest.bytes > 0 && cursor->rest.at[0] == c;
}

static bool is_digit_next(const struct cursor *cursor)
{
    return cursor->rest.bytes > 0 && cursor->rest.at[0] >= '0' && cursor->rest.at[0] <= '9';
}

/* Exactly so many digits. */
static unsigned number(struct cursor *cursor, unsigned digit_count)
{
    unsigned value = 0;
    for (unsigned i = 0; i < digit_count; i++) {
        if (!is_digit_next(cursor))
            cursor->failed = true;
        value = value * 10 + (unsigned)(unsigned char)next(cursor) - '0';
    }
    return value;
}

/* A word of letters: its bytes. */
static struct http_text word(struct cursor *cursor)
{
    struct http_text text = {.at = cursor->rest.at};
    while (cursor->rest.bytes > 0 && ((cursor->rest.at[0] | 0x20) >= 'a') &&
           ((cursor->rest.at[0] | 0x20) <= 'z')) {
        text.bytes++;
        (void)next(cursor);
    }
    return text;
}

static unsigned month(struct cursor *cursor)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct http_text name = word(cursor);
    for (unsigned i = 0; name.bytes == 3 && i < 12; i++)
        if (memcmp(name.at, names + (size_t)i * 3, 3) == 0)
            return i + 1;
    cursor->failed = true;
    return 0;
}

static void time_of_day(struct cursor *cursor, struct date *date)
{
    date->hour = number(cursor, 2);
    expect(cursor, ":");
    date->minute = number(cursor, 2);
    expect(cursor, ":");
    date->second = number(cursor, 2);
}

/* Behind the comma: "06 Nov 1994 08:49:37 GMT", "06-Nov-94 08:49:37 GMT". */
static void common_form(struct cursor *cursor, struct date *date)
{
    expect(cursor, " ");
    date->day = number(cursor, 2);
    const char *between = is_next(cursor, '-') ? "-" : " ";
    expect(cursor, between);
    date->month = month(cursor);
    expect(cursor, between);
    date->year = number(cursor, 2);
    if (is_digit_next(cursor))
        date->year = date->year * 100 + number(cursor, 2);
    else if (*between == '-') /* RFC 6265 5.1.1 says which century */
        date->year += date->year >= 70 ? 1900 : 2000;
    expect(cursor, " ");
    time_of_day(cursor, date);
    expect(cursor, " GMT");
}

/* Behind the day of the week: " Nov  6 08:49:37 1994". */
static void asctime_form(struct cursor *cursor, struct date *date)
{
    expect(cursor, " ");
    date->month = month(cursor);
    expect(cursor, " ");
    if (is_next(cursor, ' ')) {
        (void)next(cursor);
        date->day = number(cursor, 1);
    } else {
        date->day = number(cursor, 2);
    }
    expect(cursor, " ");
    time_of_day(cursor, date);
    expect(cursor, " ");
    date->year = number(cursor, 4);
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_of(unsigned month_number, unsigned year)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month_number - 1] + (month_number == 2 && is_leap(year));
}

static bool is_possible(const struct date *date)
{
    return date->year >= 1970 && date->month >= 1 && date->month <= 12 && date->day >= 1 &&
           date->day <= days_of(date->month, date->year) && date->hour <= 23 &&
           date->minute <= 59 && date->second <= 60; /* a leap second */
}

static uint64_t leap_days_before(unsigned year)
{
    unsigned last = year - 1;
    return last / 4 - last / 100 + last / 400;
}

static uint64_t seconds_of(const struct date *date)
{
    uint64_t days = (uint64_t)(date->year - 1970) * 365 + leap_days_before(date->year) -
                    leap_days_before(1970) + date->day - 1;
    for (unsigned i = 1; i < date->month; i++)
        days += days_of(i, date->year);
    return ((days * 24 + date->hour) * 60 + date->minute) * 60 + date->second;
}

bool http_date_parse(struct http_text text, uint64_t *seconds)
{
    struct cursor cursor = {.rest = text};
    struct date date = {0};
    if (word(&cursor).bytes < 3)
        return false;
    if (is_next(&cursor, ',')) {
        (void)next(&cursor);
        common_form(&cursor, &date);
    } else {
        asctime_form(&cursor, &date);
    }
    if (cursor.failed || cursor.rest.bytes > 0 || !is_possible(&date))
        return false;
    *seconds = seconds_of(&date);
    return true;
}
