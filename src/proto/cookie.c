/* The cookies of one server. */
#include "proto/cookie.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/http_date.h"

enum { COOKIE_SECONDS_MAX = 400 * 24 * 3600 }; /* RFC 6265bis 5.5: a longer life is cut to this */

/* What the attributes of a Set-Cookie say. */
struct attributes {
    struct http_text domain; /* at is NULL: none */
    struct http_text path;
    bool is_secure;
    bool is_over; /* it ends, or has ended */
    bool has_max_age;
    uint64_t life_ms; /* UINT64_MAX: as long as the session */
};

/* ---- pieces of text ------------------------------------------------------------------------ */

static struct http_text trim(struct http_text text)
{
    while (text.bytes > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.bytes--;
    }
    while (text.bytes > 0 && (text.at[text.bytes - 1] == ' ' || text.at[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

/* Everything in front of separator, trimmed; *rest goes on behind it.  found: it was there. */
static struct http_text cut(struct http_text *rest, char separator, bool *found)
{
    const char *at = rest->bytes > 0 ? memchr(rest->at, separator, rest->bytes) : NULL;
    size_t bytes = at ? (size_t)(at - rest->at) : rest->bytes;
    struct http_text piece = {.at = rest->at, .bytes = bytes};
    *found = at != NULL;
    rest->at += bytes + *found;
    rest->bytes -= bytes + *found;
    return trim(piece);
}

static bool same_text(struct http_text text, const char *other, size_t other_bytes)
{
    return text.bytes == other_bytes && memcmp(text.at, other, other_bytes) == 0;
}

/* ---- for whom it is ------------------------------------------------------------------------ */

static bool is_address(const char *host)
{
    return strchr(host, ':') || strspn(host, "0123456789.") == strlen(host);
}

/* RFC 6265 5.1.3. */
static bool domain_matches(const char *host, struct http_text domain)
{
    size_t host_bytes = strlen(host);
    if (domain.bytes > 0 && domain.at[0] == '.') {
        domain.at++;
        domain.bytes--;
    }
    if (domain.bytes == 0)
        return true; /* 5.2.3: as if it were not there */
    if (domain.bytes > host_bytes ||
        strncasecmp(host + host_bytes - domain.bytes, domain.at, domain.bytes) != 0)
        return false;
    return domain.bytes == host_bytes ||
           (host[host_bytes - domain.bytes - 1] == '.' && !is_address(host));
}

/* RFC 6265 5.1.4.  Without a path of its own a cookie is for the folder of the target. */
static bool path_matches(const char *target, struct http_text path)
{
    if (path.bytes == 0 || path.at[0] != '/')
        return true;
    size_t target_bytes = strcspn(target, "?");
    if (path.bytes > target_bytes || memcmp(target, path.at, path.bytes) != 0)
        return false;
    return path.bytes == target_bytes || path.at[path.bytes - 1] == '/' ||
           target[path.bytes] == '/';
}

/* ---- Set-Cookie ---------------------------------------------------------------------------- */

/* 5.2.2: digits, or a minus sign and digits; anything else is as if it were not there. */
static void take_max_age(struct http_text value, struct attributes *attributes)
{
    bool is_negative = value.bytes > 0 && value.at[0] == '-';
    uint64_t seconds = 0;
    if (value.bytes == is_negative)
        return;
    for (size_t i = is_negative; i < value.bytes; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return;
        if (seconds < COOKIE_SECONDS_MAX)
            seconds = seconds * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (seconds > COOKIE_SECONDS_MAX)
        seconds = COOKIE_SECONDS_MAX;
    attributes->has_max_age = true; /* it wins over Expires (5.3 step 3) */
    attributes->is_over = is_negative || seconds == 0;
    attributes->life_ms = seconds * 1000;
}

/* By the server's own clock; without one, only the date that is always in the past. */
static void take_expires(struct http_text value, uint64_t date_s, struct attributes *attributes)
{
    uint64_t expires_s;
    if (attributes->has_max_age || !http_date_parse(value, &expires_s))
        return;
    attributes->is_over = expires_s <= date_s;
    uint64_t seconds = attributes->is_over ? 0 : expires_s - date_s;
    if (seconds > COOKIE_SECONDS_MAX)
        seconds = COOKIE_SECONDS_MAX;
    attributes->life_ms = date_s == 0 ? UINT64_MAX : seconds * 1000;
}

static void parse_attributes(struct http_text rest, uint64_t date_s, struct attributes *attributes)
{
    bool more = rest.bytes > 0;
    bool has_value;
    *attributes = (struct attributes){.life_ms = UINT64_MAX};
    while (more) {
        struct http_text value = cut(&rest, ';', &more);
        struct http_text name = cut(&value, '=', &has_value);
        value = trim(value);
        if (http_text_equals_nocase(name, "Domain"))
            attributes->domain = value;
        else if (http_text_equals_nocase(name, "Path"))
            attributes->path = value;
        else if (http_text_equals_nocase(name, "Secure"))
            attributes->is_secure = true;
        else if (http_text_equals_nocase(name, "Max-Age"))
            take_max_age(value, attributes);
        else if (http_text_equals_nocase(name, "Expires"))
            take_expires(value, date_s, attributes);
    }
}

/* Nothing that could be read as another cookie or another field when it is returned. */
static bool is_safe(struct http_text name, struct http_text value)
{
    return http_is_token(name.at, name.bytes) && http_is_field_value(value.at, value.bytes) &&
           !memchr(value.at, '\t', value.bytes) && !memchr(value.at, ';', value.bytes);
}

/* ---- the jar ------------------------------------------------------------------------------- */

static void forget(struct cookie_jar *jar, size_t index)
{
    struct cookie *cookie = &jar->cookies[index];
    jar->bytes -= cookie->bytes;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): memmove has written over the one before it */
    explicit_bzero(cookie->text, strlen(cookie->text));
    free(cookie->text);
    jar->count--;
    memmove(cookie, cookie + 1, (jar->count - index) * sizeof(*cookie));
}

static void forget_name(struct cookie_jar *jar, struct http_text name)
{
    for (size_t i = jar->count; i-- > 0;)
        if (same_text(name, jar->cookies[i].text, jar->cookies[i].name_bytes))
            forget(jar, i);
}

static bool keep(struct cookie_jar *jar, struct http_text name, struct http_text value,
                 const struct attributes *attributes, uint64_t now_ms)
{
    char *text = malloc(name.bytes + value.bytes + 2);
    if (!text)
        return false;
    memcpy(text, name.at, name.bytes);
    text[name.bytes] = '=';
    memcpy(text + name.bytes + 1, value.at, value.bytes);
    text[name.bytes + 1 + value.bytes] = '\0';
    size_t bytes = name.bytes + value.bytes;
    while (jar->count == COOKIE_COUNT_MAX || bytes > COOKIE_BYTES_MAX - jar->bytes)
        forget(jar, 0);
    jar->cookies[jar->count++] = (struct cookie){
        .text = text,
        .name_bytes = name.bytes,
        .bytes = bytes,
        .expires_ms = attributes->life_ms == UINT64_MAX ? UINT64_MAX : now_ms + attributes->life_ms,
        .is_secure = attributes->is_secure};
    jar->bytes += bytes;
    return true;
}

enum cookie_result cookie_jar_take(struct cookie_jar *jar, const struct cookie_origin *origin,
                                   struct http_text set_cookie)
{
    struct attributes attributes;
    bool found;
    struct http_text rest = set_cookie;
    struct http_text value = cut(&rest, ';', &found);
    struct http_text name = cut(&value, '=', &found);
    if (!found)
        return COOKIE_IGNORED; /* 5.2: no "=" in it */
    value = trim(value);
    parse_attributes(rest, origin->date_s, &attributes);
    if (!is_safe(name, value) || name.bytes + value.bytes > COOKIE_BYTES_MAX ||
        !domain_matches(origin->host, attributes.domain) ||
        !path_matches(origin->target, attributes.path))
        return COOKIE_IGNORED;
    forget_name(jar, name);
    if (attributes.is_over || value.bytes == 0)
        return COOKIE_REMOVED;
    if (!keep(jar, name, value, &attributes, origin->now_ms))
        return COOKIE_ERR_NO_MEMORY;
    return COOKIE_KEPT;
}

void cookie_jar_clear(struct cookie_jar *jar)
{
    while (jar->count > 0)
        forget(jar, jar->count - 1);
}

/* ---- Cookie -------------------------------------------------------------------------------- */

struct writer {
    char *out;
    size_t bytes;
    size_t bytes_max; /* with the end */
    bool failed;
};

static void put(struct writer *writer, struct http_text pair)
{
    size_t between = writer->bytes > 0 ? 2 : 0;
    if (writer->failed || pair.bytes + between + 1 > writer->bytes_max - writer->bytes) {
        writer->failed = true;
        return;
    }
    memcpy(writer->out + writer->bytes, "; ", between);
    memcpy(writer->out + writer->bytes + between, pair.at, pair.bytes);
    writer->bytes += between + pair.bytes;
    writer->out[writer->bytes] = '\0';
}

static struct http_text name_of(struct http_text pair)
{
    bool found;
    return cut(&pair, '=', &found);
}

/* Whether a cookie that is returned has this name. */
static bool is_live(const struct cookie *cookie, uint64_t now_ms, bool is_secure)
{
    return now_ms < cookie->expires_ms && (is_secure || !cookie->is_secure);
}

static bool jar_has(const struct cookie_jar *jar, uint64_t now_ms, bool is_secure,
                    struct http_text name)
{
    for (size_t i = 0; i < jar->count; i++)
        if (is_live(&jar->cookies[i], now_ms, is_secure) &&
            same_text(name, jar->cookies[i].text, jar->cookies[i].name_bytes))
            return true;
    return false;
}

static bool base_has(const char *base, const struct cookie *cookie)
{
    struct http_text rest = {.at = base, .bytes = strlen(base)};
    for (bool more = true; more;)
        if (same_text(name_of(cut(&rest, ';', &more)), cookie->text, cookie->name_bytes))
            return true;
    return false;
}

size_t cookie_jar_write(const struct cookie_jar *jar, uint64_t now_ms, bool is_secure,
                        const char *base, bool base_wins, char *out, size_t out_bytes)
{
    struct writer writer = {.out = out, .bytes_max = out_bytes};
    struct http_text rest = {.at = base, .bytes = strlen(base)};
    for (bool more = true; more;) {
        struct http_text pair = cut(&rest, ';', &more);
        if (pair.bytes > 0 && (base_wins || !jar_has(jar, now_ms, is_secure, name_of(pair))))
            put(&writer, pair);
    }
    for (size_t i = 0; i < jar->count; i++) {
        const struct cookie *cookie = &jar->cookies[i];
        if (is_live(cookie, now_ms, is_secure) && !(base_wins && base_has(base, cookie)))
            put(&writer, (struct http_text){.at = cookie->text, .bytes = cookie->bytes + 1});
    }
    return writer.failed ? 0 : writer.bytes;
}
