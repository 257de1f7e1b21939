/* ws:// and wss:// URLs, and the targets made of them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/url.h"

/* ---- right ones --------------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *text;
    struct url expect;
    const char *host_header;
} right[] = {
    {"ws has port 80 (RFC 6455 3)",
     "ws://example.com/chat",
     {.port = 80, .host = "example.com", .target = "/chat"},
     "example.com"},
    {"wss has port 443 (RFC 6455 3)",
     "wss://example.com/chat",
     {.tls = true, .port = 443, .host = "example.com", .target = "/chat"},
     "example.com"},
    {"the scheme's own port is not repeated in Host (RFC 6455 4.1)",
     "ws://example.com:80/",
     {.port = 80, .port_given = true, .host = "example.com", .target = "/"},
     "example.com"},
    {"nor is that of wss (RFC 6455 4.1)",
     "wss://example.com:443/",
     {.tls = true, .port = 443, .port_given = true, .host = "example.com", .target = "/"},
     "example.com"},
    {"the other scheme's port is",
     "wss://example.com:80/",
     {.tls = true, .port = 80, .port_given = true, .host = "example.com", .target = "/"},
     "example.com:80"},
    {"and the other way round",
     "ws://example.com:443/",
     {.port = 443, .port_given = true, .host = "example.com", .target = "/"},
     "example.com:443"},
    {"the smallest port",
     "ws://a:1/",
     {.port = 1, .port_given = true, .host = "a", .target = "/"},
     "a:1"},
    {"the largest port",
     "ws://a:65535/",
     {.port = 65535, .port_given = true, .host = "a", .target = "/"},
     "a:65535"},
    {"a port with a zero before it (RFC 3986 3.2.3)",
     "ws://a:08080/",
     {.port = 8080, .port_given = true, .host = "a", .target = "/"},
     "a:8080"},
    {"an empty path is / (RFC 6455 3)",
     "ws://example.com",
     {.port = 80, .host = "example.com", .target = "/"},
     "example.com"},
    {"an empty path and a port",
     "ws://example.com:8080",
     {.port = 8080, .port_given = true, .host = "example.com", .target = "/"},
     "example.com:8080"},
    {"an empty path and a query (RFC 6455 3)",
     "ws://example.com?a=b",
     {.port = 80, .host = "example.com", .target = "/?a=b"},
     "example.com"},
    {"path and query (RFC 6455 3)",
     "ws://example.com/a/b?c=d&e=/?",
     {.port = 80, .host = "example.com", .target = "/a/b?c=d&e=/?"},
     "example.com"},
    {"scheme and host have no case (RFC 3986 6.2.2.1)",
     "WSS://EXAMPLE.Com/Path",
     {.tls = true, .port = 443, .host = "example.com", .target = "/Path"},
     "example.com"},
    {"IPv4 (RFC 3986 3.2.2)",
     "ws://127.0.0.1:9001/",
     {.port = 9001, .port_given = true, .host = "127.0.0.1", .target = "/"},
     "127.0.0.1:9001"},
    {"IPv6 (RFC 3986 3.2.2)",
     "ws://[::1]/",
     {.port = 80, .host_is_ipv6 = true, .host = "::1", .target = "/"},
     "[::1]"},
    {"IPv6 and a port (RFC 3986 3.2.2)",
     "wss://[2001:DB8::a]:8443/x",
     {.tls = true,
      .port = 8443,
      .port_given = true,
      .host_is_ipv6 = true,
      .host = "2001:db8::a",
      .target = "/x"},
     "[2001:db8::a]:8443"},
    {"IPv6 that ends in IPv4 (RFC 3986 3.2.2)",
     "ws://[::ffff:192.0.2.1]",
     {.port = 80, .host_is_ipv6 = true, .host = "::ffff:192.0.2.1", .target = "/"},
     "[::ffff:192.0.2.1]"},
    {"a host with digits, hyphens and underscores",
     "ws://my_host-1.local/",
     {.port = 80, .host = "my_host-1.local", .target = "/"},
     "my_host-1.local"},
    {"an @ in the path is no user (RFC 3986 3.3)",
     "ws://example.com/@b",
     {.port = 80, .host = "example.com", .target = "/@b"},
     "example.com"},
    {"a colon in the path is no port (RFC 3986 3.3)",
     "ws://example.com/a:b",
     {.port = 80, .host = "example.com", .target = "/a:b"},
     "example.com"},
    {"an @ in the query is no user (RFC 3986 3.4)",
     "ws://example.com?u@h:1",
     {.port = 80, .host = "example.com", .target = "/?u@h:1"},
     "example.com"},
    {"what is percent-encoded stays so (RFC 3986 2.4)",
     "ws://a/%2e%2e/%20",
     {.port = 80, .host = "a", .target = "/%2e%2e/%20"},
     "a"},
};

START_TEST(a_url_is_taken_apart)
{
    struct url url;
    char host_header[URL_HOST_BYTES_MAX + 9];
    const struct url *expect = &right[_i].expect;
    memset(&url, 0x5a, sizeof url);
    enum url_result got = url_parse(right[_i].text, &url);
    ck_assert_msg(got == URL_OK, "%s: %s", right[_i].why, url_result_text(got));
    ck_assert_msg(url.tls == expect->tls && url.port == expect->port &&
                      url.port_given == expect->port_given &&
                      url.host_is_ipv6 == expect->host_is_ipv6,
                  "%s: port %u", right[_i].why, url.port);
    ck_assert_str_eq(url.host, expect->host);
    ck_assert_str_eq(url.target, expect->target);
    url_host_header(&url, host_header);
    ck_assert_msg(strcmp(host_header, right[_i].host_header) == 0, "%s: %s", right[_i].why,
                  host_header);
}
END_TEST

/* ---- wrong ones --------------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *text;
    enum url_result expect;
} wrong[] = {
    {"nothing", "", URL_ERR_SCHEME},
    {"a host alone", "example.com", URL_ERR_SCHEME},
    {"http", "http://example.com/", URL_ERR_SCHEME},
    {"https", "https://example.com/", URL_ERR_SCHEME},
    {"a scheme that begins like ours", "wsx://example.com/", URL_ERR_SCHEME},
    {"a scheme that ends like ours", "xws://example.com/", URL_ERR_SCHEME},
    {"one slash", "ws:/example.com/", URL_ERR_SCHEME},
    {"no slash", "wss:example.com/", URL_ERR_SCHEME},
    {"a space first", " ws://example.com/", URL_ERR_SCHEME},
    {"no host (RFC 6455 3)", "ws://", URL_ERR_HOST},
    {"no host but a path (RFC 6455 3)", "ws:///path", URL_ERR_HOST},
    {"no host but a port (RFC 6455 3)", "ws://:80/", URL_ERR_HOST},
    {"no host but a query (RFC 6455 3)", "ws://?a", URL_ERR_HOST},
    {"a space in the host (RFC 3986 3.2.2)", "ws://exa mple.com/", URL_ERR_HOST},
    {"a line end in the host (RFC 3986 3.2.2)", "ws://a\r\nHost: b/", URL_ERR_HOST},
    {"a tab in the host (RFC 3986 3.2.2)", "ws://a\tb/", URL_ERR_HOST},
    {"a host that is not ASCII (RFC 3986 3.2.2)", "ws://\xc3\xa9.com/", URL_ERR_HOST},
    {"a percent-encoded host", "ws://a%2eb/", URL_ERR_HOST},
    {"a backslash in the host", "ws://a\\b/", URL_ERR_HOST},
    {"a comma in the host", "ws://a,b/", URL_ERR_HOST},
    {"a bracket that nothing closes (RFC 3986 3.2.2)", "ws://[::1/", URL_ERR_HOST},
    {"a bracket that nothing opens (RFC 3986 3.2.2)", "ws://a]/", URL_ERR_HOST},
    {"empty brackets (RFC 3986 3.2.2)", "ws://[]/", URL_ERR_HOST},
    {"a name in brackets (RFC 3986 3.2.2)", "ws://[example.com]/", URL_ERR_HOST},
    {"a zone in brackets (RFC 3986 3.2.2)", "ws://[fe80::1%25eth0]/", URL_ERR_HOST},
    {"something after the brackets (RFC 3986 3.2.2)", "ws://[::1]x/", URL_ERR_HOST},
    {"digits after the brackets (RFC 3986 3.2.2)", "ws://[::1]80/", URL_ERR_HOST},
    {"a bracket after the brackets (RFC 3986 3.2.2)", "ws://[::1]]/", URL_ERR_HOST},
    {"IPv6 without brackets (RFC 3986 3.2.2)", "ws://::1/", URL_ERR_HOST},
    {"port 0", "ws://a:0/", URL_ERR_PORT},
    {"one over the largest port", "ws://a:65536/", URL_ERR_PORT},
    {"a port of five digits", "ws://a:99999/", URL_ERR_PORT},
    {"a port of six digits", "ws://a:000080/", URL_ERR_PORT},
    {"a port past 32 bits", "ws://a:4294967376/", URL_ERR_PORT},
    {"an empty port", "ws://a:/", URL_ERR_PORT},
    {"an empty port after brackets", "ws://[::1]:/", URL_ERR_PORT},
    {"a port with a sign", "ws://a:+80/", URL_ERR_PORT},
    {"a negative port", "ws://a:-80/", URL_ERR_PORT},
    {"a port with a letter", "ws://a:80a/", URL_ERR_PORT},
    {"a port with a space", "ws://a: 80/", URL_ERR_PORT},
    {"two ports", "ws://a:80:80/", URL_ERR_PORT},
    {"IPv6 without brackets that begins with a digit", "ws://1::1/", URL_ERR_PORT},
    {"a user (RFC 6455 3)", "ws://user@example.com/", URL_ERR_USERINFO},
    {"a user and a password (RFC 6455 3)", "ws://user:secret@example.com/", URL_ERR_USERINFO},
    {"an empty user (RFC 3986 3.2.1)", "ws://@example.com/", URL_ERR_USERINFO},
    {"a host that is a user (RFC 3986 7.6)", "ws://good.com:80@evil.com/", URL_ERR_USERINFO},
    {"a host that is a user behind a backslash", "ws://good.com\\@evil.com/", URL_ERR_USERINFO},
    {"a space in the path (RFC 3986 3.3)", "ws://a/b c", URL_ERR_TARGET},
    {"a space in the query (RFC 3986 3.4)", "ws://a/?b c", URL_ERR_TARGET},
    {"a line end in the path (RFC 3986 3.3)", "ws://a/b\r\nc", URL_ERR_TARGET},
    {"a DEL in the path (RFC 3986 3.3)", "ws://a/\x7f", URL_ERR_TARGET},
    {"a path that is not ASCII (RFC 3986 3.3)", "ws://a/\xc3\xa9", URL_ERR_TARGET},
    {"a fragment (RFC 6455 3)", "ws://a/b#c", URL_ERR_FRAGMENT},
    {"a fragment after the query (RFC 6455 3)", "ws://a/?b#c", URL_ERR_FRAGMENT},
    {"a fragment right after the host (RFC 6455 3)", "ws://a#c", URL_ERR_FRAGMENT},
    {"an empty fragment (RFC 6455 3)", "ws://a/#", URL_ERR_FRAGMENT},
};

START_TEST(a_wrong_url_is_refused_with_the_part_that_is_wrong)
{
    struct url url;
    enum url_result got = url_parse(wrong[_i].text, &url);
    ck_assert_msg(got == wrong[_i].expect, "%s: got \"%s\"", wrong[_i].why, url_result_text(got));
}
END_TEST

START_TEST(every_result_has_words_of_its_own)
{
    for (unsigned a = 0; a < URL_RESULT_COUNT; a++)
        for (unsigned b = 0; b < a; b++)
            ck_assert_str_ne(url_result_text((enum url_result)a),
                             url_result_text((enum url_result)b));
}
END_TEST

/* ---- limits ------------------------------------------------------------------------------- */

START_TEST(a_host_has_a_limit_and_may_reach_it)
{
    for (int bytes = URL_HOST_BYTES_MAX - 1; bytes <= URL_HOST_BYTES_MAX + 1; bytes++)
        for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
            char host[URL_HOST_BYTES_MAX + 2];
            char text[URL_HOST_BYTES_MAX + 60];
            char expect[URL_HOST_BYTES_MAX + 40];
            char *got = malloc(URL_HOST_BYTES_MAX + 9); /* what the header says it needs */
            struct url url;
            memset(host, 'a', (size_t)bytes);
            host[bytes] = '\0';
            snprintf(expect, sizeof expect, ipv6 ? "[%s]:65535" : "%s:65535", host);
            snprintf(text, sizeof text, "ws://%s/", expect);
            bool fits = bytes <= URL_HOST_BYTES_MAX;
            ck_assert_int_eq(url_parse(text, &url), fits ? URL_OK : URL_ERR_HOST);
            if (fits) {
                url_host_header(&url, got);
                ck_assert_str_eq(got, expect);
            }
            free(got);
        }
}
END_TEST

START_TEST(a_target_has_a_limit_and_may_reach_it)
{
    for (int bytes = URL_TARGET_BYTES_MAX - 1; bytes <= URL_TARGET_BYTES_MAX + 1; bytes++)
        for (int query = 0; query <= 1; query++) { /* "ws://a?..." gets a slash of ours */
            char text[URL_TARGET_BYTES_MAX + 40] = "ws://a/";
            size_t front = 6;
            struct url url;
            memset(text + front, 'b', (size_t)(bytes - query));
            text[front] = query ? '?' : '/';
            text[front + (size_t)(bytes - query)] = '\0';
            bool fits = bytes <= URL_TARGET_BYTES_MAX;
            ck_assert_int_eq(url_parse(text, &url), fits ? URL_OK : URL_ERR_TARGET);
            if (fits)
                ck_assert_uint_eq(strlen(url.target), bytes);
        }
}
END_TEST

static const struct {
    const char *why;
    const char *text;
    bool expect;
} targets[] = {
    {"a path and a query", "/chat?token=a%20b", true},
    {"the shortest", "/", true},
    {"nothing at all", "", false},
    {"no path in front", "chat", false},
    {"a whole URL", "ws://evil.example/", false},
    {"a blank would end it (RFC 9112 3)", "/a b", false},
    {"a line's end would begin a header", "/a\r\nX: y", false},
    {"a fragment is never sent", "/a#b", false},
    {"bytes outside ASCII", "/\xc3\xa4", false},
};

START_TEST(a_target_from_a_file_is_one_or_is_refused)
{
    ck_assert_msg(url_is_target(targets[_i].text) == targets[_i].expect, "%s", targets[_i].why);
}
END_TEST

START_TEST(a_target_from_a_file_has_the_limit_of_a_target)
{
    for (int bytes = URL_TARGET_BYTES_MAX - 1; bytes <= URL_TARGET_BYTES_MAX + 1; bytes++) {
        char text[URL_TARGET_BYTES_MAX + 2] = "/";
        memset(text + 1, 'b', (size_t)bytes - 1);
        text[bytes] = '\0';
        ck_assert_int_eq(url_is_target(text), bytes <= URL_TARGET_BYTES_MAX);
    }
}
END_TEST

/* ---- path: append ------------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *base;
    const char *client;
    const char *expect; /* NULL: refused */
} appended[] = {
    {"a path after nothing", "/", "/a", "/a"},
    {"a path after a path", "/ws", "/a/b", "/ws/a/b"},
    {"one slash between", "/ws/", "/a", "/ws/a"},
    {"the root after a path", "/ws", "/", "/ws/"},
    {"the root after the root", "/", "/", "/"},
    {"a query of the client's", "/ws", "/a?b=c", "/ws/a?b=c"},
    {"a query of ours", "/ws?k=v", "/a", "/ws/a?k=v"},
    {"both, ours first", "/ws?k=v", "/a?b=c", "/ws/a?k=v&b=c"},
    {"both after the root", "/?k=v", "/?b=c", "/?k=v&b=c"},
    {"an empty query is none", "/ws?", "/a?", "/ws/a"},
    {"an empty query after ours", "/ws?k=v", "/a?", "/ws/a?k=v"},
    {"a second ? is of the query (RFC 3986 3.4)", "/ws?k=?", "/a?b=?c", "/ws/a?k=?&b=?c"},
    {"a slash at the end stays", "/ws", "/a/", "/ws/a/"},
    {"an empty segment inside", "/ws", "/a//b", "/ws/a//b"},
    {"three dots climb nowhere (RFC 3986 5.2.4)", "/ws", "/.../a", "/ws/.../a"},
    {"dots in a name (RFC 3986 5.2.4)", "/ws", "/a..b/.c/d.", "/ws/a..b/.c/d."},
    {"dots in a query are no segments (RFC 3986 3.4)", "/ws", "/a?/../b", "/ws/a?/../b"},
    {"%2f in a query is no slash of the path (RFC 3986 3.4)", "/ws", "/a?b=%2f%5c",
     "/ws/a?b=%2f%5c"},
    {"parameters of names (RFC 3986 3.3)", "/ws", "/a;..;x/...;b", "/ws/a;..;x/...;b"},
    {"an encoded letter", "/ws", "/%41", "/ws/%41"},
    {"an encoded space (RFC 3986 2.1)", "/ws", "/a%20b", "/ws/a%20b"},
    {"encoded UTF-8 (RFC 3986 2.5)", "/ws", "/caf%C3%A9", "/ws/caf%C3%A9"},
    {"an encoded #, ? and % (RFC 3986 2.2)", "/ws", "/%23%3f%25", "/ws/%23%3f%25"},
    {"an @ and a colon (RFC 3986 3.3)", "/ws", "/a@b:c", "/ws/a@b:c"},

    {"nothing", "/ws", "", NULL},
    {"no slash first (RFC 9112 3.2.1)", "/ws", "a", NULL},
    {"a query alone (RFC 9112 3.2.1)", "/ws", "?a", NULL},
    {"* (RFC 9112 3.2.4)", "/ws", "*", NULL},
    {"another host (RFC 9112 3.2.2)", "/ws", "http://evil.com/", NULL},
    {"another host as ws (RFC 9112 3.2.2)", "/ws", "ws://evil.com/a", NULL},
    {"an authority (RFC 9112 3.2.3)", "/ws", "evil.com:443", NULL},
    {"a base that becomes a user", "", "@evil.com/", NULL},
    {"a host after two slashes (RFC 3986 4.2)", "/ws", "//evil.com", NULL},
    {"two slashes alone (RFC 3986 4.2)", "/ws", "//", NULL},
    {"a backslash first", "/ws", "\\evil.com", NULL},
    {"a backslash for the second slash", "/ws", "/\\evil.com", NULL},
    {"a backslash inside", "/ws", "/a\\..\\b", NULL},
    {"an encoded backslash", "/ws", "/a%5cb", NULL},
    {"an encoded backslash, large", "/ws", "/a%5Cb", NULL},
    {"an encoded slash (RFC 3986 2.2)", "/ws", "/a%2fb", NULL},
    {"an encoded slash, large (RFC 3986 2.2)", "/ws", "/a%2Fb", NULL},
    {"an encoded slash first", "/ws", "/%2fevil.com", NULL},
    {".. alone (RFC 3986 5.2.4)", "/ws", "/..", NULL},
    {".. and a slash", "/ws", "/../", NULL},
    {".. first", "/ws", "/../admin", NULL},
    {".. inside", "/ws", "/a/../b", NULL},
    {".. last", "/ws", "/a/..", NULL},
    {".. before a query", "/ws", "/a/..?b", NULL},
    {".. after an empty segment", "/ws", "/a//../b", NULL},
    {". alone (RFC 3986 5.2.4)", "/ws", "/.", NULL},
    {". inside", "/ws", "/a/./b", NULL},
    {". last", "/ws", "/a/.", NULL},
    {". before a query", "/ws", "/.?a", NULL},
    {"an encoded ..", "/ws", "/%2e%2e", NULL},
    {"an encoded .., large", "/ws", "/%2E%2E/admin", NULL},
    {"half encoded ..", "/ws", "/a/.%2e/b", NULL},
    {"the other half", "/ws", "/a/%2e./b", NULL},
    {"an encoded .", "/ws", "/a/%2e/b", NULL},
    {"an encoded .. behind an encoded slash", "/ws", "/a%2f%2e%2e%2fb", NULL},
    {".. with a parameter, which some servers take off (RFC 3986 3.3)", "/ws", "/..;x/b", NULL},
    {". with a parameter", "/ws", "/a/.;", NULL},
    {"an encoded .. with an encoded parameter", "/ws", "/%2e%2e%3bx", NULL},
    {"a percent sign alone (RFC 3986 2.1)", "/ws", "/a%", NULL},
    {"a percent sign and one digit (RFC 3986 2.1)", "/ws", "/a%2", NULL},
    {"a percent sign and one digit before a query (RFC 3986 2.1)", "/ws", "/a%2?e", NULL},
    {"a percent sign and no digits (RFC 3986 2.1)", "/ws", "/%zz", NULL},
    {"a percent sign and one wrong digit (RFC 3986 2.1)", "/ws", "/%2g", NULL},
    {"an encoded zero byte", "/ws", "/a%00", NULL},
    {"an encoded line end", "/ws", "/a%0d%0aHost:%20b", NULL},
    {"an encoded DEL", "/ws", "/a%7f", NULL},
    {"a line end", "/ws", "/a\r\nHost: b", NULL},
    {"a space", "/ws", "/a b", NULL},
    {"a tab", "/ws", "/a\tb", NULL},
    {"a DEL", "/ws", "/a\x7f", NULL},
    {"not ASCII", "/ws", "/\xc3\xa9", NULL},
    {"a fragment (RFC 6455 3)", "/ws", "/a#b", NULL},
    {"a line end in the query", "/ws", "/a?b\r\nHost: c", NULL},
    {"a space in the query", "/ws", "/a?b c", NULL},
    {"not ASCII in the query", "/ws", "/a?\xc3\xa9", NULL},
    {"a fragment after the query (RFC 6455 3)", "/ws", "/a?b#c", NULL},
};

START_TEST(a_clients_target_is_appended_and_leads_nowhere_else)
{
    char *out = malloc(URL_TARGET_BYTES_MAX + 1);
    bool got = url_target_append(appended[_i].base, appended[_i].client, out);
    ck_assert_msg(got == (appended[_i].expect != NULL), "%s", appended[_i].why);
    if (got)
        ck_assert_msg(strcmp(out, appended[_i].expect) == 0, "%s: %s", appended[_i].why, out);
    free(out);
}
END_TEST

START_TEST(an_appended_target_has_the_limit_of_a_target)
{
    for (int bytes = URL_TARGET_BYTES_MAX - 1; bytes <= URL_TARGET_BYTES_MAX + 1; bytes++)
        for (int split = 2; split < bytes; split += 97) {
            char base[URL_TARGET_BYTES_MAX + 2];
            char client[URL_TARGET_BYTES_MAX + 2];
            char *out = malloc(URL_TARGET_BYTES_MAX + 1);
            memset(base, 'b', sizeof base);
            memset(client, 'c', sizeof client);
            base[0] = client[0] = '/';
            base[bytes - split] = client[split] = '\0';
            bool fits = bytes <= URL_TARGET_BYTES_MAX;
            if (split < bytes - 1) {
                ck_assert_msg(url_target_append(base, client, out) == fits, "%d + %d",
                              bytes - split, split);
                ck_assert(!fits || strlen(out) == (size_t)bytes);
            }
            free(out);
        }
}
END_TEST

/* ---- our own parameters ------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *target;
    const char *expect; /* NULL: nothing was there, and nothing is changed */
} own[] = {
    {"no query", "/a", NULL},
    {"our word in the path", "/wskeep-a", NULL},
    {"an empty query", "/a?", NULL},
    {"others alone", "/a?b=c&d", NULL},
    {"our word as a value", "/a?b=wskeep-c", NULL},
    {"our word inside of a name", "/a?my-wskeep-b=c", NULL},
    {"our word cut short", "/a?wskeep=b&wskeep", NULL},
    {"an empty parameter first stays", "/a?&b", NULL},
    {"empty parameters stay", "/a?&&b=c&&d&", NULL},
    {"alone", "/a?wskeep-session=b", "/a"},
    {"alone, without a value", "/a?wskeep-", "/a"},
    {"first", "/a?wskeep-session=b&c=d", "/a?c=d"},
    {"last", "/a?c=d&wskeep-session=b", "/a?c=d"},
    {"in the middle", "/a?c=d&wskeep-session=b&e=f", "/a?c=d&e=f"},
    {"several", "/a?wskeep-a=1&c=d&wskeep-b=2&wskeep-c&e", "/a?c=d&e"},
    {"only several", "/a?wskeep-a=1&wskeep-b=2", "/a"},
    {"after a second ?", "/a?b=?&wskeep-c", "/a?b=?"},
    {"after an empty parameter", "/a?&b&wskeep-c", "/a?&b"},
    {"between empty parameters", "/a?b&&wskeep-c&&d", "/a?b&&&d"},
    {"an ampersand after it", "/a?wskeep-b&", "/a"},
    {"in disguise", "/a?%77skeep%2Dtoken=b&c", "/a?c"},
    {"in disguise twice is another", "/a?%2577skeep-token=b", NULL},
    {"a bad percent sign is another", "/a?wskeep%2-token=b", NULL},
};

START_TEST(our_own_parameters_are_taken_out_and_no_others)
{
    char *target = malloc(strlen(own[_i].target) + 1);
    strcpy(target, own[_i].target);
    bool got = url_target_strip_own(target);
    ck_assert_msg(got == (own[_i].expect != NULL), "%s", own[_i].why);
    ck_assert_msg(strcmp(target, got ? own[_i].expect : own[_i].target) == 0, "%s: %s", own[_i].why,
                  target);
    ck_assert(!url_target_strip_own(target)); /* none is left */
    free(target);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("url");
    LOOP(a_url_is_taken_apart, right);
    LOOP(a_wrong_url_is_refused_with_the_part_that_is_wrong, wrong);
    tcase_add_test(tcase, every_result_has_words_of_its_own);
    tcase_add_test(tcase, a_host_has_a_limit_and_may_reach_it);
    tcase_add_test(tcase, a_target_has_a_limit_and_may_reach_it);
    LOOP(a_target_from_a_file_is_one_or_is_refused, targets);
    tcase_add_test(tcase, a_target_from_a_file_has_the_limit_of_a_target);
    LOOP(a_clients_target_is_appended_and_leads_nowhere_else, appended);
    tcase_add_test(tcase, an_appended_target_has_the_limit_of_a_target);
    LOOP(our_own_parameters_are_taken_out_and_no_others, own);

    Suite *suite = suite_create("url");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
