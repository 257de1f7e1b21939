/* Dates of HTTP.  Input: a date as text; its first bytes are also taken as a time to write down. */
#include "proto/http_date.h"

#include <time.h>

#include "fuzz.h"

enum { FORM_COUNT = 5, FORM_BYTES = 64 };

/* Behind the day of the week, as http_date.h has them.  False: the form cannot say this year. */
static bool write_form(unsigned form, const struct tm *tm, char *out)
{
    char day[FORM_BYTES];
    char time[FORM_BYTES];
    strftime(day, sizeof(day), "%d-%b-", tm);
    strftime(time, sizeof(time), "%H:%M:%S GMT", tm);
    switch (form) {
    case 0:
        return strftime(out, FORM_BYTES, ", %d %b %Y %H:%M:%S GMT", tm) > 0;
    case 1:
        snprintf(out, FORM_BYTES, ", %.12s%02u %.20s", day, (unsigned)tm->tm_year % 100, time);
        return tm->tm_year >= 70 && tm->tm_year < 170;
    case 2:
        return strftime(out, FORM_BYTES, " %b %e %H:%M:%S %Y", tm) > 0;
    case 3:
        return strftime(out, FORM_BYTES, ", %d-%b-%Y %H:%M:%S GMT", tm) > 0;
    default: /* date3 of RFC 9110 may have two digits, too */
        return strftime(out, FORM_BYTES, " %b %d %H:%M:%S %Y", tm) > 0;
    }
}

/* All forms of a time are read as that time. */
static void check_writing(uint64_t seconds)
{
    char tail[FORM_BYTES];
    char text[2 * FORM_BYTES];
    time_t time = (time_t)seconds;
    struct tm tm;
    expect(gmtime_r(&time, &tm) != NULL);
    for (unsigned form = 0; form < FORM_COUNT; form++) {
        uint64_t got = 1;
        if (!write_form(form, &tm, tail))
            continue;
        int bytes = snprintf(text, sizeof(text), "%s%s", form == 1 ? "Sunday" : "Sun", tail);
        uint8_t *exact = fuzz_copy(text, (size_t)bytes);
        expect(
            http_date_parse((struct http_text){.at = (char *)exact, .bytes = (size_t)bytes}, &got));
        expect(got == seconds);
        free(exact);
    }
}

/* A text that was read as this time is one of its forms, to the letter, behind the day. */
static void check_reading(const char *text, uint64_t seconds)
{
    char tail[FORM_BYTES];
    size_t day = strcspn(text, ", ");
    bool is_leap_second = strstr(text, ":60 ") != NULL;
    time_t time = (time_t)(seconds - is_leap_second);
    struct tm tm;
    expect(day >= 3 && seconds <= 253402300800 && gmtime_r(&time, &tm) != NULL);
    tm.tm_sec += is_leap_second;
    for (unsigned form = 0; form < FORM_COUNT; form++)
        if (write_form(form, &tm, tail) && strcmp(tail, text + day) == 0)
            return;
    expect(!"a form of http_date.h");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    uint64_t seconds = 4242;
    uint8_t *exact = fuzz_copy(data, data_bytes);
    struct http_text text = {.at = (char *)exact, .bytes = data_bytes};
    if (http_date_parse(text, &seconds)) {
        char *copy = fuzz_text(data, data_bytes);
        expect(strlen(copy) == data_bytes);
        check_reading(copy, seconds);
        free(copy);
    } else {
        expect(seconds == 4242);
    }
    free(exact);
    if (data_bytes >= 5) {
        uint64_t number = 0;
        for (size_t i = 0; i < 5; i++)
            number = number * 256 + data[i];
        check_writing(number % 253402300800);
    }
    return 0;
}
