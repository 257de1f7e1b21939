/* ws:// and wss:// URLs, and a client's target behind one.  Input: a URL, and in a second line the
 * target. */
#include "proto/url.h"

#include <strings.h>

#include "fuzz.h"

static bool is_visible(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static void check_parsed(const struct url *url, const char *text)
{
    struct url again;
    char host[URL_HOST_BYTES_MAX + 9];
    char place[URL_HOST_BYTES_MAX + 9];
    char whole[URL_HOST_BYTES_MAX + URL_TARGET_BYTES_MAX + 32];
    expect(url->tls == (strncasecmp(text, "wss:", 4) == 0));
    expect(url->host[0] != '\0' && strlen(url->host) <= URL_HOST_BYTES_MAX);
    expect(is_visible(url->host) && !strpbrk(url->host, "/?#@[]\\ABCXYZ"));
    expect(url->host_is_ipv6 || !strchr(url->host, ':'));
    expect(url->target[0] == '/' && strlen(url->target) <= URL_TARGET_BYTES_MAX);
    expect(is_visible(url->target) && !strchr(url->target, '#') && url_is_target(url->target));
    expect(url->port > 0 && (url->port_given || url->port == (url->tls ? 443 : 80)));

    /* It comes from its parts, and they from it. */
    url_host_header(url, host);
    url_place(url->host, url->host_is_ipv6, url->port, place);
    expect(strncmp(host, place, strlen(host)) == 0);
    snprintf(whole, sizeof(whole), "%s://%s%s", url->tls ? "wss" : "ws", host, url->target);
    expect(url_parse(whole, &again) == URL_OK);
    expect(strcmp(again.host, url->host) == 0 && again.port == url->port);
    expect(strcmp(again.target, url->target) == 0 && again.host_is_ipv6 == url->host_is_ipv6);
    snprintf(whole, sizeof(whole), "%s://%s%s", url->tls ? "wss" : "ws", place, url->target);
    expect(url_parse(whole, &again) == URL_OK && again.port_given && again.port == url->port);
    size_t tail = strlen(text) < strlen(url->target) ? strlen(text) : strlen(url->target) - 1;
    expect(strcmp(text + strlen(text) - tail, url->target + strlen(url->target) - tail) == 0);
}

/* ---- path: append -------------------------------------------------------------------------- */

static int hex(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c ? strchr(digits, c | 0x20) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* The path, percent-decoded once, up to the query.  False: a percent sign without its digits. */
static bool decode_path(const char *path, size_t bytes, char *out)
{
    for (size_t i = 0; i < bytes; i++) {
        int byte = path[i];
        if (byte == '%') {
            if (i + 2 >= bytes || hex(path[i + 1]) < 0 || hex(path[i + 2]) < 0)
                return false;
            byte = hex(path[i + 1]) * 16 + hex(path[i + 2]);
            i += 2;
            if (byte == '/' || byte == 0)
                return false;
        }
        *out++ = (char)byte;
    }
    *out = '\0';
    return true;
}

/* One of its segments leads to where it stands, or above. */
static bool climbs(const char *path)
{
    while (*path == '/') {
        path++;
        size_t bytes = strcspn(path, "/");
        size_t name = strcspn(path, "/;");
        if ((name == 1 && path[0] == '.') || (name == 2 && path[0] == '.' && path[1] == '.'))
            return true;
        path += bytes;
    }
    return false;
}

static bool may_be_appended(const char *target)
{
    char decoded[8192];
    size_t path_bytes = strcspn(target, "?");
    if (target[0] != '/' || target[1] == '/' || !is_visible(target) || strpbrk(target, "#\\") ||
        path_bytes >= sizeof(decoded) || !decode_path(target, path_bytes, decoded))
        return false;
    for (const char *c = decoded; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '\\')
            return false;
    return !climbs(decoded);
}

static void check_append(const char *base, const char *target)
{
    char out[URL_TARGET_BYTES_MAX + 1];
    bool is_appended = url_target_append(base, target, out);
    size_t base_path = strcspn(base, "?");
    size_t path = strcspn(target, "?");
    base_path -= base_path > 0 && base[base_path - 1] == '/';
    bool is_right = may_be_appended(target);
    if (!is_appended) {
        expect(!is_right || strlen(base) + strlen(target) + 1 > URL_TARGET_BYTES_MAX);
        return;
    }
    expect(is_right && strlen(out) <= URL_TARGET_BYTES_MAX && url_is_target(out));
    expect(strncmp(out, base, base_path) == 0 && strncmp(out + base_path, target, path) == 0);
    const char *query = out + base_path + path;
    expect(*query == '\0' || *query == '?');
    const char *theirs = target[path] ? target + path + 1 : "";
    expect(strlen(query) >= strlen(theirs));
    expect(strcmp(query + strlen(query) - strlen(theirs), theirs) == 0);
}

/* Its name, percent-decoded, begins with "wskeep-". */
static bool is_own(const char *at, size_t bytes)
{
    const char *name = "wskeep-";
    for (size_t i = 0; *name; i++, name++) {
        int byte = i < bytes ? (unsigned char)at[i] : -1;
        if (byte == '%') {
            if (i + 2 >= bytes || hex(at[i + 1]) < 0 || hex(at[i + 2]) < 0)
                return false;
            byte = hex(at[i + 1]) * 16 + hex(at[i + 2]);
            i += 2;
        }
        if (byte != *name)
            return false;
    }
    return true;
}

/* No parameter of ours is left, and all others are, in their order. */
static void check_strip(const char *target)
{
    char *stripped = fuzz_text(target, strlen(target));
    char *expected = fuzz_text(target, strlen(target));
    const char *query = strchr(target, '?');
    size_t at = query ? (size_t)(query - target) : strlen(target);
    bool was_there = false;
    bool is_first = true;
    for (const char *from = query ? query + 1 : ""; *from;) {
        size_t bytes = strcspn(from, "&");
        if (is_own(from, bytes)) {
            was_there = true;
        } else {
            expected[at++] = is_first ? '?' : '&';
            memcpy(expected + at, from, bytes);
            at += bytes;
            is_first = false;
        }
        from += bytes + (from[bytes] == '&');
    }
    expected[at] = '\0';
    expect(url_target_strip_own(stripped) == was_there);
    expect(strcmp(stripped, was_there ? expected : target) == 0);
    expect(!url_target_strip_own(stripped));
    free(expected);
    free(stripped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    struct fuzz_input line = fuzz_line(&input);
    struct url url;
    char *text = fuzz_text(line.at, line.bytes);
    char *target = fuzz_text(input.at, input.bytes);
    enum url_result result = url_parse(text, &url);
    expect(result < URL_RESULT_COUNT && url_result_text(result)[0] != '\0');
    if (result == URL_OK)
        check_parsed(&url, text);
    check_append(result == URL_OK ? url.target : "/base?q=1", target);
    check_strip(target);
    free(target);
    free(text);
    return 0;
}
