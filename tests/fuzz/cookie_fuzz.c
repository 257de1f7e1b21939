/*
 * The cookies of one server.  Input: a line of flags, a line of pairs that come from elsewhere, and
 * in each further line one Set-Cookie.
 */
#include "proto/cookie.h"

#include <strings.h>

#include "fuzz.h"
#include "proto/http_date.h"

enum { NOW_MS = 1000000, COOKIES_BYTES_MAX = 2 * COOKIE_FIELD_BYTES_MAX };

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

/* The n-th piece between semicolons, trimmed.  False: there are fewer. */
static bool piece(struct http_text field, size_t n, struct http_text *out)
{
    for (;; n--) {
        const char *end = field.bytes > 0 ? memchr(field.at, ';', field.bytes) : NULL;
        size_t bytes = end ? (size_t)(end - field.at) : field.bytes;
        *out = trim((struct http_text){.at = field.at, .bytes = bytes});
        if (n == 0)
            return true;
        if (!end)
            return false;
        field.at = end + 1;
        field.bytes -= bytes + 1;
    }
}

/* Its two sides; without "=" the value is empty. */
static bool sides(struct http_text pair, struct http_text *name, struct http_text *value)
{
    const char *sign = pair.bytes > 0 ? memchr(pair.at, '=', pair.bytes) : NULL;
    size_t bytes = sign ? (size_t)(sign - pair.at) : pair.bytes;
    *name = trim((struct http_text){.at = pair.at, .bytes = bytes});
    *value = sign ? trim((struct http_text){.at = sign + 1, .bytes = pair.bytes - bytes - 1})
                  : (struct http_text){.at = pair.at, .bytes = 0};
    return sign != NULL;
}

/* The last attribute of that name (RFC 6265 5.3); at is NULL without one. */
static struct http_text attribute(struct http_text field, const char *wanted)
{
    struct http_text found = {0};
    struct http_text text, name, value;
    for (size_t n = 1; piece(field, n, &text); n++) {
        (void)sides(text, &name, &value);
        if (http_text_equals_nocase(name, wanted))
            found = value;
    }
    return found;
}

/* RFC 6265 5.1.3 and 5.1.4, in so many words. */
static bool is_for(const struct cookie_origin *origin, struct http_text field)
{
    struct http_text domain = attribute(field, "Domain");
    struct http_text path = attribute(field, "Path");
    size_t host_bytes = strlen(origin->host);
    if (domain.bytes > 0 && domain.at[0] == '.') {
        domain.at++;
        domain.bytes--;
    }
    if (domain.bytes > host_bytes)
        return false;
    const char *tail = origin->host + host_bytes - domain.bytes;
    bool is_address = strspn(origin->host, "0123456789.:") == host_bytes;
    if (domain.bytes > 0 && (strncasecmp(tail, domain.at, domain.bytes) != 0 ||
                             (tail > origin->host && (tail[-1] != '.' || is_address))))
        return false;
    if (path.bytes == 0 || path.at[0] != '/')
        return true;
    size_t bytes = strcspn(origin->target, "?");
    return path.bytes <= bytes && memcmp(path.at, origin->target, path.bytes) == 0 &&
           (path.bytes == bytes || path.at[path.bytes - 1] == '/' ||
            origin->target[path.bytes] == '/');
}

static bool is_named(const struct cookie *cookie, struct http_text name)
{
    return cookie->name_bytes == name.bytes && memcmp(cookie->text, name.at, name.bytes) == 0;
}

static void check_jar(const struct cookie_jar *jar)
{
    size_t bytes = 0;
    expect(jar->count <= COOKIE_COUNT_MAX && jar->bytes <= COOKIE_BYTES_MAX);
    for (size_t i = 0; i < jar->count; i++) {
        const struct cookie *cookie = &jar->cookies[i];
        struct http_text name = {.at = cookie->text, .bytes = cookie->name_bytes};
        expect(strlen(cookie->text) == cookie->bytes + 1);
        expect(cookie->text[cookie->name_bytes] == '=');
        expect(http_is_token(name.at, name.bytes) && cookie->bytes > cookie->name_bytes);
        expect(http_is_field_value(cookie->text, cookie->bytes + 1) && !strchr(cookie->text, ';'));
        expect(cookie->expires_ms > NOW_MS);
        bytes += cookie->bytes;
        for (size_t other = 0; other < i; other++)
            expect(!is_named(&jar->cookies[other], name));
    }
    expect(bytes == jar->bytes);
}

static void check_take(struct cookie_jar *jar, const struct cookie_origin *origin,
                       struct http_text field)
{
    struct http_text pair, name, value;
    (void)piece(field, 0, &pair);
    bool is_pair = sides(pair, &name, &value);
    bool fits = is_pair && http_is_token(name.at, name.bytes) && is_for(origin, field) &&
                name.bytes + value.bytes <= COOKIE_BYTES_MAX &&
                http_is_field_value(value.at, value.bytes) && !memchr(value.at, '\t', value.bytes);
    size_t count = jar->count;
    enum cookie_result result = cookie_jar_take(jar, origin, field);
    check_jar(jar);
    expect(result == COOKIE_KEPT || result == COOKIE_REMOVED || result == COOKIE_IGNORED);
    expect((result != COOKIE_IGNORED) == fits);
    if (result == COOKIE_IGNORED)
        expect(jar->count == count);
    if (result != COOKIE_KEPT) {
        for (size_t i = 0; result == COOKIE_REMOVED && i < jar->count; i++)
            expect(!is_named(&jar->cookies[i], name));
        return;
    }
    const struct cookie *last = &jar->cookies[jar->count - 1];
    expect(is_named(last, name) && last->bytes == name.bytes + value.bytes && value.bytes > 0);
    expect(memcmp(last->text + name.bytes + 1, value.at, value.bytes) == 0);
    if (attribute(field, "Secure").at)
        expect(last->is_secure);
}

static bool is_sent(const struct cookie *cookie, uint64_t now_ms, bool is_secure)
{
    return now_ms < cookie->expires_ms && (!cookie->is_secure || is_secure);
}

/* What was written: each pair of base that shall be there, then each cookie of the jar. */
static void check_written(const struct cookie_jar *jar, uint64_t now_ms, bool is_secure,
                          const char *base, bool base_wins, const char *out)
{
    const struct http_text written = {.at = out, .bytes = strlen(out)};
    const struct http_text given = {.at = base, .bytes = strlen(base)};
    struct http_text pair, expected, name, value;
    size_t at = 0;
    for (size_t n = 0; piece(given, n, &expected); n++) {
        bool is_in_jar = false;
        (void)sides(expected, &name, &value);
        for (size_t i = 0; i < jar->count; i++)
            is_in_jar = is_in_jar || (is_named(&jar->cookies[i], name) &&
                                      is_sent(&jar->cookies[i], now_ms, is_secure));
        if (expected.bytes == 0 || (is_in_jar && !base_wins))
            continue;
        expect(piece(written, at++, &pair) && pair.bytes == expected.bytes);
        expect(memcmp(pair.at, expected.at, pair.bytes) == 0);
    }
    for (size_t i = 0; i < jar->count; i++) {
        const struct cookie *cookie = &jar->cookies[i];
        bool is_in_base = false;
        for (size_t n = 0; piece(given, n, &expected); n++) {
            (void)sides(expected, &name, &value);
            is_in_base = is_in_base || is_named(cookie, name);
        }
        if (!is_sent(cookie, now_ms, is_secure) || (is_in_base && base_wins))
            continue;
        expect(piece(written, at++, &pair) && http_text_equals(pair, cookie->text));
    }
    expect(at == 0 ? written.bytes == 0 : !piece(written, at, &pair));
}

static void check_write(const struct cookie_jar *jar, uint64_t now_ms, bool is_secure,
                        const char *base, bool base_wins)
{
    size_t room = strlen(base) + COOKIE_FIELD_BYTES_MAX + 1;
    char *out = fuzz_allocate(room);
    out[0] = '\0';
    size_t bytes = cookie_jar_write(jar, now_ms, is_secure, base, base_wins, out, room);
    expect(bytes < room && strlen(out) == bytes);
    check_written(jar, now_ms, is_secure, base, base_wins, out);
    if (bytes > 0) { /* exactly enough, and one too few */
        char *exact = fuzz_allocate(bytes + 1);
        expect(cookie_jar_write(jar, now_ms, is_secure, base, base_wins, exact, bytes + 1) ==
               bytes);
        expect(memcmp(exact, out, bytes + 1) == 0);
        free(exact);
        exact = fuzz_allocate(bytes);
        expect(cookie_jar_write(jar, now_ms, is_secure, base, base_wins, exact, bytes) == 0);
        free(exact);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    static const char *const hosts[] = {"game.example.com", "127.0.0.1", "::1", "localhost"};
    static const char *const targets[] = {"/", "/ws/feed?a=/b", "/ws", "/a/b/"};
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    struct fuzz_input flags = fuzz_line(&input);
    unsigned origin_flags = fuzz_byte(&flags);
    unsigned write_flags = fuzz_byte(&flags);
    struct fuzz_input line = fuzz_line(&input);
    const struct cookie_origin origin = {.host = hosts[origin_flags & 3],
                                         .target = targets[origin_flags >> 2 & 3],
                                         .date_s = origin_flags & 16 ? 784111777 : 0,
                                         .now_ms = NOW_MS};
    struct cookie_jar jar = {0};
    char *base = fuzz_text(line.at, line.bytes);
    while (input.bytes > 0) {
        line = fuzz_line(&input);
        uint8_t *exact = fuzz_copy(line.at, line.bytes);
        check_take(&jar, &origin, (struct http_text){.at = (char *)exact, .bytes = line.bytes});
        free(exact);
    }
    uint64_t later_ms = write_flags & 4 ? UINT64_C(1) << (write_flags >> 3) : 0;
    check_write(&jar, NOW_MS + later_ms, write_flags & 1, base, write_flags & 2);
    cookie_jar_clear(&jar);
    expect(jar.count == 0 && jar.bytes == 0);
    free(base);
    return 0;
}
