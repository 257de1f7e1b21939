/* Retry-After of a refused upgrade. */
#include "proto/retry_after.h"

#include "proto/http_date.h"

/* delta-seconds: digits and nothing else. */
static bool parse_seconds(struct http_text text, uint64_t *seconds)
{
    uint64_t value = 0;
    if (text.bytes == 0)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
        if (value > RETRY_AFTER_SECONDS_MAX)
            value = RETRY_AFTER_SECONDS_MAX; /* and stays there */
    }
    *seconds = value;
    return true;
}

static bool parse_date(const struct http_head *head, struct http_text text, uint64_t *seconds)
{
    const struct http_field *date = http_head_field(head, "Date", 0);
    uint64_t now_s;
    uint64_t until_s;
    if (!date || http_head_count(head, "Date") != 1 || !http_date_parse(date->value, &now_s) ||
        !http_date_parse(text, &until_s))
        return false;
    *seconds = until_s > now_s ? until_s - now_s : 0;
    if (*seconds > RETRY_AFTER_SECONDS_MAX)
        *seconds = RETRY_AFTER_SECONDS_MAX;
    return true;
}

bool retry_after_parse(const struct http_head *head, uint64_t *delay_ms)
{
    const struct http_field *field = http_head_field(head, "Retry-After", 0);
    uint64_t seconds;
    if (!field || http_head_count(head, "Retry-After") != 1)
        return false;
    if (!parse_seconds(field->value, &seconds) && !parse_date(head, field->value, &seconds))
        return false;
    *delay_ms = seconds * 1000;
    return true;
}
