#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/config_key.h"
#include "config/config_value.h"

enum { OUT_BYTES = 16384 };

/* A link that is right, in two halves: one more key may follow, or another upstream. */
#define LINK "links:\n- name: a\n  listen: ws://127.0.0.1:9001\n"
#define UPSTREAM "  upstream: {url: 'ws://127.0.0.1:9000/'}\n"
#define FOUR_FILES "${file:/1}${file:/2}${file:/3}${file:/4}"
#define SIXTEEN_FILES FOUR_FILES FOUR_FILES FOUR_FILES FOUR_FILES

/* DESIGN's sample, with the keys that are built, and off for the others. */
static const char complete[] =
    "log: {level: info, format: text}\n"
    "workers: auto\n"
    "memory_max: 1GiB\n"
    "admin: {listen: \"\", token: \"\", faults: false}\n"
    "links:\n"
    "  - name: game\n"
    "    listen: ws://127.0.0.1:9001\n"
    "    client:\n"
    "      mode: 0660\n"
    "      owner: \"\"\n"
    "      group: \"\"\n"
    "      allow_origins: []\n"
    "      allow_hosts: []\n"
    "      allow_users: []\n"
    "      token: \"\"\n"
    "      max_clients: 1024\n"
    "      max_message: 16MiB\n"
    "      max_fragments: 65536\n"
    "      compression: off\n"
    "      handshake_timeout: 5s\n"
    "      heartbeat: {interval: 30s, timeout: 30s}\n"
    "      tls: {cert: \"\", key: \"\", client_ca: \"\"}\n"
    "    upstream:\n"
    "      url: ws://game.example.com/ws\n"
    "      path: fixed\n"
    "      headers: {}\n"
    "      forward_headers: []\n"
    "      subprotocols: []\n"
    "      cookies: keep\n"
    "      compression: offer\n"
    "      proxy: \"\"\n"
    "      connect_timeout: 10s\n"
    "      max_message: 16MiB\n"
    "      max_fragments: 65536\n"
    "      tls: {ca: \"\", cert: \"\", key: \"\", server_name: \"\", verify: true, min_version: "
    "\"1.2\"}\n"
    "      close_code: {idle: 1000, suspended: 1001, rotated: 1000, shutdown: 1001}\n"
    "      on_connect: []\n"
    "      resend_on_connect: []\n"
    "    heartbeat: {interval: 20s, timeout: 10s, message: \"\", reply: \"\", silence: never, "
    "stall_timeout: 60s}\n"
    "    reconnect:\n"
    "      initial_delay: 250ms\n"
    "      max_delay: 30s\n"
    "      multiplier: 2\n"
    "      jitter: full\n"
    "      stable_after: 10s\n"
    "      give_up_after: never\n"
    "      rotate_after: never\n"
    "      rotate: overlap\n"
    "    close_rules: []\n"
    "    delivery:\n"
    "      acknowledge: pong\n"
    "      ping_spacing: 200ms\n"
    "      window_bytes: 4MiB\n"
    "      ack_timeout: 30s\n"
    "      without_pong: end\n"
    "      request_id: \"\"\n"
    "      reply_id: \"\"\n"
    "      reply_timeout: 10s\n"
    "      on_reply_timeout: report\n"
    "      max_messages: 65536\n"
    "      max_bytes: 64MiB\n"
    "      overflow: pause\n"
    "      inbox_max_bytes: 64MiB\n"
    "      inbox_overflow: pause\n"
    "      expire_after: never\n"
    "      poison_after: never\n"
    "      spool: \"\"\n"
    "      rules: []\n"
    "    session:\n"
    "      sharing: per-client\n"
    "      connect: on-client\n"
    "      on_gap: hide\n"
    "      gap_message: '{\"wskeep\":\"gap\"}'\n"
    "      idle_after: never\n"
    "      drain_timeout: 5s\n"
    "      linger: 0s\n";

/* All mistakes, a line each; "" when there is none. */
static void format_all(const struct config_errors *errors, char out[OUT_BYTES])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < errors->count && used + 1 < OUT_BYTES; i++) {
        if (i > 0)
            out[used++] = '\n';
        config_error_format(&errors->items[i], out + used, OUT_BYTES - used);
        used += strlen(out + used);
    }
}

static struct config *read_text(const char *text, char out[OUT_BYTES])
{
    struct config_errors errors;
    struct config *config = config_read_text("w.yaml", text, strlen(text), &errors);
    format_all(&errors, out);
    ck_assert_msg((config == NULL) == (errors.count > 0), "a configuration or mistakes: %s", out);
    config_errors_clear(&errors);
    return config;
}

static struct config *read_right(const char *text)
{
    char out[OUT_BYTES];
    struct config *config = read_text(text, out);
    ck_assert_msg(config != NULL, "refused: %s\n%s", out, text);
    return config;
}

/* ---- mistakes ----------------------------------------------------------------------------- */

static const struct {
    const char *text;
    const char *expect;
} mistakes[] = {
    /* the file */
    {"[]", "w.yaml:1:1: a list, expected a mapping with log, workers, memory_max, admin, links"},
    {"hello", "w.yaml:1:1: a single value, expected a mapping with log, workers, memory_max, "
              "admin, links"},
    {"links: []\n--- \nlinks: []", "w.yaml:2:1: a second document, expected one"},
    {"links: [", "w.yaml:2:1: not YAML: did not find expected node content while parsing a flow "
                 "node"},
    {"links: []\n\tlog: {}", "w.yaml:2:1: not YAML: found character that cannot start any token "
                             "while scanning for the next token"},
    {"links: []\n# caf\xe9", "w.yaml:2:6: not UTF-8, expected UTF-8 text"},
    {"# \xc3\xa4 \x01", "w.yaml:1:5: not YAML: control characters are not allowed"},
    {"log: &a {}", "w.yaml:1:6: an anchor, expected none: values are not shared"},
    {"log: *a", "w.yaml:1:6: an alias, expected the value itself"},
    {"log: !x {}", "w.yaml:1:6: a tag, expected none: the key tells the type"},
    {"? [a]\n: b", "w.yaml:1:3: a list or mapping as a key, expected a word"},
    {"links: []\nlinks: []", "w.yaml:2:1: links: given twice, expected once: first on line 1"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "w.yaml:1:34: nested too deeply"},
    /* unknown keys */
    {"link: []", "w.yaml:1:1: link: unknown key, did you mean links?"},
    {"log: {levle: info}", "w.yaml:1:7: log.levle: unknown key, did you mean level?"},
    {"log.level: info", "w.yaml:1:1: log.level: unknown key, expected one of log, workers, "
                        "memory_max, admin, links"},
    {"level: info", "w.yaml:1:1: level: unknown key, did you mean log.level?"},
    {"zebra: 1", "w.yaml:1:1: zebra: unknown key, expected one of log, workers, memory_max, admin, "
                 "links"},
    {"\"a\\eb\": 1", "w.yaml:1:1: a\\x1bb: unknown key, expected one of log, workers, memory_max, "
                     "admin, links"},
    {LINK UPSTREAM "  ping_spacing: 1s\n", "w.yaml:5:3: links[0].ping_spacing: unknown key, did "
                                           "you mean links[].delivery.ping_spacing?"},
    /* types */
    {"log: debug", "w.yaml:1:6: log: a single value, expected a mapping with level, format"},
    {"log: {level: [info]}", "w.yaml:1:14: log.level: a list, expected error, warning, info or "
                             "debug"},
    {"log: {level: }", "w.yaml:1:14: log.level: nothing here, expected error, warning, info or "
                       "debug"},
    {"log: {level: verbose}", "w.yaml:1:14: log.level: \"verbose\" is unknown, expected error, "
                              "warning, info or debug"},
    {"log: {level: inf}", "w.yaml:1:14: log.level: \"inf\" is unknown, did you mean info? expected "
                          "error, warning, info or debug"},
    {"log: {format: syslog}",
     "w.yaml:1:15: log.format: \"syslog\" is unknown, expected text, json or journal"},
    {"links: {}", "w.yaml:1:8: links: a mapping, expected a list of links"},
    {"links: [a]", "w.yaml:1:9: links[0]: a single value, expected a mapping with name, listen and "
                   "upstream"},
    {"workers: 0", "w.yaml:1:10: workers: 0 is below the minimum, 1"},
    {"workers: 65", "w.yaml:1:10: workers: 65 is above the maximum, 64"},
    {"workers: many", "w.yaml:1:10: workers: \"many\" is no number, expected a whole number, or "
                      "auto"},
    {"memory_max: 1048576", "w.yaml:1:13: memory_max: \"1048576\" is no size, expected a number "
                            "with KiB, MiB or GiB, such as 16MiB"},
    {"memory_max: 99999999999999999999GiB",
     "w.yaml:1:13: memory_max: 99999999999999999999GiB is above the maximum, 1024GiB"},
    {"admin: {faults: maybe}", "w.yaml:1:17: admin.faults: \"maybe\" is no boolean, expected true "
                               "or false"},
    {"admin: {token: }", "w.yaml:1:16: admin.token: nothing here, expected \"\""},
    {LINK UPSTREAM "  heartbeat: {interval: 20ms}\n",
     "w.yaml:5:25: links[0].heartbeat.interval: 20ms is below the minimum, 100ms"},
    {LINK UPSTREAM "  heartbeat: {interval: 20}\n",
     "w.yaml:5:25: links[0].heartbeat.interval: \"20\" is no duration, expected a number with ms, "
     "s, m or h, such as 20s, or never"},
    {LINK UPSTREAM "  heartbeat: {timeout: never}\n",
     "w.yaml:5:24: links[0].heartbeat.timeout: \"never\" is no duration, expected a number with "
     "ms, s, m or h, such as 20s"},
    {LINK UPSTREAM "  reconnect: {multiplier: 1.2345}\n",
     "w.yaml:5:27: links[0].reconnect.multiplier: \"1.2345\" is no number, expected a number with "
     "at most three decimals, such as 1.5"},
    {LINK UPSTREAM "  client: {mode: 432}\n",
     "w.yaml:5:18: links[0].client.mode: \"432\" is no file mode, expected octal digits after a 0, "
     "such as 0660"},
    {LINK UPSTREAM "  client: {owner: nobody-of-that-name}\n",
     "w.yaml:5:19: links[0].client.owner: there is no user \"nobody-of-that-name\", expected a "
     "user's name or number"},
    {LINK "  upstream: {url: 'ws://h/', close_code: {shutdown: 1006}}\n",
     "w.yaml:4:53: links[0].upstream.close_code.shutdown: \"1006\" is no such code, expected a "
     "close code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999"},
    {LINK UPSTREAM "  session: {gap_message: \"\\0\"}\n",
     "w.yaml:5:26: links[0].session.gap_message: contains a NUL character, expected text"},
    /* links */
    {"links:\n- {}\n",
     "w.yaml:2:3: links[0].name: missing, expected at most 64 of a-z, 0-9 and -\n"
     "w.yaml:2:3: links[0].listen: missing, expected ws://HOST:PORT, wss://HOST:PORT or "
     "ws+unix:/PATH\n"
     "w.yaml:2:3: links[0].upstream.url: missing, expected ws:// or wss://HOST:PORT/PATH"},
    {LINK "  upstream: {}\n",
     "w.yaml:2:3: links[0].upstream.url: missing, expected ws:// or wss://HOST:PORT/PATH"},
    {LINK UPSTREAM "- {name: a, listen: 'ws://[::1]:9001', upstream: {url: 'ws://h/'}}\n",
     "w.yaml:5:10: links[1].name: a is the name of another link, expected one of its own"},
    {LINK UPSTREAM "- {name: b, listen: 'ws://127.0.0.1:9001', upstream: {url: 'ws://h/'}}\n",
     "w.yaml:5:21: links[1].listen: ws://127.0.0.1:9001 is taken by link a, expected one of its "
     "own"},
    {"links:\n- name: A_b\n  listen: ws://h:1\n" UPSTREAM,
     "w.yaml:2:9: links[0].name: \"A_b\" is no name, expected at most 64 of a-z, 0-9 and -"},
    {"links:\n- name: a\n  listen: wss://h:1\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: wss://h:1 wants a certificate, expected client.tls.cert and "
     "client.tls.key"},
    {"links:\n- name: a\n  listen: ['ws://h:2', 'wss://h:1']\n" UPSTREAM
     "  client: {tls: {client_ca: c.pem}}\n",
     "w.yaml:3:11: links[0].listen: wss://h:1 wants a certificate, expected client.tls.cert and "
     "client.tls.key"},
    {"links:\n- name: a\n  listen: wss://h:1\n" UPSTREAM "  client: {tls: {cert: c.pem}}\n",
     "w.yaml:5:24: links[0].client.tls.cert: client.tls.key is missing, expected both"},
    {"links:\n- name: a\n  listen: wss://h\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: no port, expected wss://HOST:PORT"},
    {"links:\n- name: a\n  listen: ['ws://h:1', 'wss://h:1']\n" UPSTREAM,
     "w.yaml:3:24: links[0].listen[1]: wss://h:1 is taken by this link, expected one of its own"},
    {LINK UPSTREAM "  client: {tls: {cert: c.pem, key: k.pem}}\n",
     "w.yaml:5:24: links[0].client.tls.cert: nobody would see it, expected a listener with wss://"},
    {LINK UPSTREAM "  client: {tls: {client_ca: c.pem}}\n",
     "w.yaml:5:29: links[0].client.tls.client_ca: nobody would see it, expected a listener with "
     "wss://"},
    {LINK "  upstream: {url: 'wss://h/', tls: {key: k.pem}}\n",
     "w.yaml:4:42: links[0].upstream.tls.key: upstream.tls.cert is missing, expected both"},
    {LINK "  upstream: {url: 'wss://h/', tls: {server_name: '.h', min_version: '1.1'}}\n",
     "w.yaml:4:50: links[0].upstream.tls.server_name: \".h\" is none, expected a host name or an "
     "address, without a port\n"
     "w.yaml:4:69: links[0].upstream.tls.min_version: \"1.1\" is unknown, did you mean 1.2? "
     "expected 1.2 or 1.3"},
    {"links:\n- name: a\n  listen: 'systemd:'\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: no name of a socket, expected systemd:NAME, its "
     "FileDescriptorName="},
    {"links:\n- name: a\n  listen: systemd:a:b\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: no name of a socket, expected systemd:NAME, its "
     "FileDescriptorName="},
    {"links:\n- name: a\n  listen: [systemd:a, systemd:b, systemd:a]\n" UPSTREAM,
     "w.yaml:3:34: links[0].listen[2]: systemd:a is taken by this link, expected one of its own"},
    {"links:\n- name: a\n  listen: ws://localhost\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: no port, expected ws://HOST:PORT"},
    {"links:\n- name: a\n  listen: ws://localhost:0\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: no port from 1 to 65535, expected ws://HOST:PORT, "
     "wss://HOST:PORT or "
     "ws+unix:/PATH"},
    {"links:\n- name: a\n  listen: ws://localhost:9001/chat\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: a path, expected ws://HOST:PORT: clients may ask for any"},
    {"links:\n- name: a\n  listen: [ws+unix:run/a, ws+unix:/a, ws+unix:/a]\n" UPSTREAM,
     "w.yaml:3:12: links[0].listen[0]: \"ws+unix:run/a\" is no path of a socket, expected "
     "ws+unix:/PATH\n"
     "w.yaml:3:39: links[0].listen[2]: ws+unix:/a is taken by this link, expected one of its own"},
    {"links:\n- name: a\n  listen: []\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: a list of 0, expected 1 to 16"},
    {LINK "  upstream: {url: 'http://h/'}\n", "w.yaml:4:19: links[0].upstream.url: no ws:// at its "
                                              "front, expected ws:// or wss://HOST:PORT/PATH"},
    {LINK "  upstream: {url: 'ws:///x'}\n", "w.yaml:4:19: links[0].upstream.url: no host that can "
                                            "be, expected ws:// or wss://HOST:PORT/PATH"},
    {LINK "  upstream: {url: 'ws://h:65536/'}\n",
     "w.yaml:4:19: links[0].upstream.url: no port from 1 to 65535, expected ws:// or "
     "wss://HOST:PORT/PATH"},
    {LINK "  upstream: {url: 'ws://a@h/'}\n",
     "w.yaml:4:19: links[0].upstream.url: a user in front of the host, expected "
     "ws:// or wss://HOST:PORT/PATH"},
    {LINK "  upstream: {url: 'ws://h/#a'}\n", "w.yaml:4:19: links[0].upstream.url: a fragment "
                                              "behind #, expected ws:// or wss://HOST:PORT/PATH"},
    {LINK "  upstream: {url: []}\n",
     "w.yaml:4:19: links[0].upstream.url: a list of 0, expected 1 to 16"},
    {LINK "  upstream: {url: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}\n",
     "w.yaml:4:19: links[0].upstream.url: a list of 17, expected 1 to 16"},
    {LINK "  upstream: {url: ['ws://h/', 'ws://:1/', 'h']}\n",
     "w.yaml:4:31: links[0].upstream.url[1]: no host that can be, expected ws:// or "
     "wss://HOST:PORT/PATH\n"
     "w.yaml:4:43: links[0].upstream.url[2]: no ws:// at its front, expected ws:// or "
     "wss://HOST:PORT/PATH"},
    {LINK "  upstream: {url: 'ws://h/', proxy: 'https://p:1'}\n",
     "w.yaml:4:37: links[0].upstream.proxy: no http:// or socks5:// at its front, expected "
     "http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ or not"},
    {LINK "  upstream: {url: 'ws://h/', proxy: 'http://p'}\n",
     "w.yaml:4:37: links[0].upstream.proxy: no port from 1 to 65535, expected http://HOST:PORT or "
     "socks5://HOST:PORT, with USER:PASSWORD@ or not"},
    {LINK "  upstream: {url: 'ws://h/', proxy: [a]}\n",
     "w.yaml:4:37: links[0].upstream.proxy: a list, expected http://HOST:PORT or "
     "socks5://HOST:PORT, with USER:PASSWORD@ or not"},
    {LINK "  upstream: {url: 'ws://h/', headers: [a]}\n",
     "w.yaml:4:39: links[0].upstream.headers: a list, expected a mapping of names to values"},
    {LINK "  upstream: {url: 'ws://h/', headers: {X: 1, x: 2}}\n",
     "w.yaml:4:46: links[0].upstream.headers.x: given twice, expected once"},
    {LINK "  upstream: {url: 'ws://h/', headers: {Host: h}}\n",
     "w.yaml:4:40: links[0].upstream.headers: Host belongs to the handshake, expected another "
     "header"},
    {LINK "  upstream: {url: 'ws://h/', headers: {'a b': c, D: \"e\\nf\"}}\n",
     "w.yaml:4:40: links[0].upstream.headers: a name that no header has, expected NAME: VALUE\n"
     "w.yaml:4:53: links[0].upstream.headers.D: a control character in it, expected none"},
    {LINK "  upstream: {url: 'ws://h/', headers: {A: \"${file:/x}\\n\"}}\n",
     "w.yaml:4:43: links[0].upstream.headers.A: a control character in it, expected none"},
    {LINK "  upstream: {url: 'ws://h/', headers: {A: '" SIXTEEN_FILES "${file:/x}'}}\n",
     "w.yaml:4:43: links[0].upstream.headers.A: too many files, expected at most 16"},
    {LINK "  upstream: {url: 'ws://h/', headers: {A: '" SIXTEEN_FILES "', B: '" SIXTEEN_FILES
          "', C: '" SIXTEEN_FILES "', D: '" SIXTEEN_FILES "', E: '${file:/x}'}}\n",
     "w.yaml:4:39: links[0].upstream.headers: 65 files together, expected at most 64"},
    {LINK "  upstream: {url: '${file:/x}'}\n",
     "w.yaml:4:19: links[0].upstream.url: ${file:...} in front of the path, expected it in path or "
     "query"},
    {LINK "  upstream: {url: 'ws://${file:/x}/'}\n",
     "w.yaml:4:19: links[0].upstream.url: ${file:...} in front of the path, expected it in path or "
     "query"},
    {LINK "  upstream: {url: 'ws://h${file:/x}'}\n",
     "w.yaml:4:19: links[0].upstream.url: ${file:...} in front of the path, expected it in path or "
     "query"},
    {LINK "  upstream: {url: 'ws://h/a${file:/x}#b'}\n",
     "w.yaml:4:19: links[0].upstream.url: a fragment behind #, expected ws:// or "
     "wss://HOST:PORT/PATH"},
    {LINK "  upstream: {url: 'ws://h/a${file:/x} b'}\n",
     "w.yaml:4:19: links[0].upstream.url: a path with a character that must be encoded, or too "
     "long, expected ws:// or wss://HOST:PORT/PATH"},
    {LINK "  upstream: {url: 'ws://h/', forward_headers: Cookie}\n",
     "w.yaml:4:47: links[0].upstream.forward_headers: a single value, expected a list of names of "
     "header fields"},
    {LINK "  upstream: {url: 'ws://h/', forward_headers: [A, a, 'b c', hOST, Sec-WebSocket-Key]}\n",
     "w.yaml:4:51: links[0].upstream.forward_headers[1]: \"a\": given twice, expected names of "
     "header fields\n"
     "w.yaml:4:54: links[0].upstream.forward_headers[2]: \"b c\": not a name that a header has, "
     "expected names of header fields\n"
     "w.yaml:4:61: links[0].upstream.forward_headers[3]: \"hOST\": belongs to the handshake, "
     "expected names of header fields\n"
     "w.yaml:4:67: links[0].upstream.forward_headers[4]: \"Sec-WebSocket-Key\": belongs to the "
     "handshake, expected names of header fields"},
    {LINK "  upstream: {url: 'ws://h/', subprotocols: [a, a, 'b c']}\n",
     "w.yaml:4:48: links[0].upstream.subprotocols[1]: \"a\": given twice, expected names of "
     "subprotocols\n"
     "w.yaml:4:51: links[0].upstream.subprotocols[2]: \"b c\": not the name of a subprotocol, "
     "expected names of subprotocols"},
    {LINK UPSTREAM "  client: {allow_origins: https://example.com}\n",
     "w.yaml:5:27: links[0].client.allow_origins: a single value, expected a list of origins such "
     "as https://example.com"},
    {LINK UPSTREAM "  client: {allow_origins: ['*', 'https://example.com/', null]}\n",
     "w.yaml:5:28: links[0].client.allow_origins[0]: \"*\": not an origin, expected origins such "
     "as https://example.com\n"
     "w.yaml:5:33: links[0].client.allow_origins[1]: \"https://example.com/\": not an origin, "
     "expected origins such as https://example.com\n"
     "w.yaml:5:57: links[0].client.allow_origins[2]: null stands for any page that hides its "
     "origin, expected origins such as https://example.com"},
    {LINK UPSTREAM "  client: {allow_hosts: ['a:80']}\n",
     "w.yaml:5:26: links[0].client.allow_hosts[0]: \"a:80\": not a host name, expected host names "
     "without a port"},
    {LINK UPSTREAM "  client: {allow_users: root}\n",
     "w.yaml:5:25: links[0].client.allow_users: a single value, expected a list of users, such as "
     "[game]"},
    {"links:\n- name: a\n  listen: ws+unix:/a\n" UPSTREAM
     "  client: {allow_users: [root, nobody-of-that-name, 0, '', 4294967295]}\n",
     "w.yaml:5:32: links[0].client.allow_users[1]: there is no user \"nobody-of-that-name\", "
     "expected a user's name or number\n"
     "w.yaml:5:53: links[0].client.allow_users[2]: \"0\" is given twice, expected once\n"
     "w.yaml:5:56: links[0].client.allow_users[3]: no user, expected a user's name or number\n"
     "w.yaml:5:60: links[0].client.allow_users[4]: \"4294967295\" is too big, expected a user's "
     "name or number"},
    {"links:\n- name: a\n  listen: [ws+unix:/a, 'ws://h:1']\n" UPSTREAM
     "  client: {allow_users: [root]}\n",
     "w.yaml:5:25: links[0].client.allow_users: who comes to ws://h:1 has no user, expected only "
     "ws+unix:/PATH or systemd:NAME in listen"},
    {LINK UPSTREAM "  client: {token: 'not so good'}\n",
     "w.yaml:5:19: links[0].client.token: not a token, expected at most 512 of A-Z, a-z, 0-9 and "
     "-._~+/, with = at the end"},
    {"links:\n- name: a\n  listen: ws+unix:@a\n" UPSTREAM,
     "w.yaml:3:11: links[0].listen: a name without a file, which anybody may take and enter, "
     "expected ws+unix:/PATH"},
    /* several keys together */
    {LINK UPSTREAM "  reconnect: {initial_delay: 1m}\n",
     "w.yaml:5:30: links[0].reconnect.max_delay: 30s is below reconnect.initial_delay, expected at "
     "least 1m"},
    {LINK UPSTREAM "  delivery: {max_bytes: 1MiB}\n",
     "w.yaml:5:25: links[0].delivery.max_bytes: 1MiB is below client.max_message, expected at "
     "least 16MiB"},
    {LINK "  upstream: {url: 'ws://h/', max_message: 128MiB}\n",
     "w.yaml:4:43: links[0].delivery.inbox_max_bytes: 64MiB is below upstream.max_message, "
     "expected at least 128MiB"},
    /* close rules */
    {LINK UPSTREAM "  close_rules: {}\n",
     "w.yaml:5:16: links[0].close_rules: a mapping, expected a list of rules such as {code: 1000, "
     "then: reconnect}"},
    {LINK UPSTREAM "  close_rules: [{then: end}]\n",
     "w.yaml:5:17: links[0].close_rules[0]: matches nothing, expected one of code, http and cause"},
    {LINK UPSTREAM "  close_rules: [{code: 1000, http: 401, then: end}]\n",
     "w.yaml:5:17: links[0].close_rules[0]: matches several things, expected one of code, http and "
     "cause"},
    {LINK UPSTREAM "  close_rules: [{code: 1000}]\n",
     "w.yaml:5:17: links[0].close_rules[0]: no then, expected reconnect, reconnect-slow or end"},
    {LINK UPSTREAM "  close_rules: [{http: 401, reason: a, then: end}]\n",
     "w.yaml:5:37: links[0].close_rules[0].reason: a reason without a code, expected code as well"},
    {LINK UPSTREAM "  close_rules: [{code: 999, then: end}, {code: 2-1, then: end}]\n",
     "w.yaml:5:24: links[0].close_rules[0].code: \"999\" is not possible, expected a number or a "
     "range, within 1000-4999, or any\n"
     "w.yaml:5:48: links[0].close_rules[1].code: \"2-1\" is not possible, expected a number or a "
     "range, within 1000-4999, or any"},
    {LINK UPSTREAM "  close_rules: [{http: any, then: end}]\n",
     "w.yaml:5:24: links[0].close_rules[0].http: \"any\" is not possible, expected a number or a "
     "range, within 100-599"},
    {LINK UPSTREAM "  close_rules: [{cause: tcp-rest, then: linger}]\n",
     "w.yaml:5:25: links[0].close_rules[0].cause: \"tcp-rest\" is no cause, did you mean "
     "tcp-reset? "
     "expected the name of a cause, such as tcp-reset\n"
     "w.yaml:5:41: links[0].close_rules[0].then: linger is not supported yet, expected reconnect, "
     "reconnect-slow or end"},
    {LINK UPSTREAM "  close_rules: [{side: client, code: any, then: reconnect}]\n",
     "w.yaml:5:17: links[0].close_rules[0]: side: client does not reconnect, expected then: end"},
    {LINK UPSTREAM "  close_rules: [{side: client, cause: fault, then: end}]\n",
     "w.yaml:5:17: links[0].close_rules[0]: side: client without a code, expected code as well"},
    /* replacements */
    {"log: {level: '${env:WSKEEP_TEST_NOT_SET}'}",
     "w.yaml:1:14: log.level: the environment has no variable WSKEEP_TEST_NOT_SET, expected it to "
     "be set"},
    {"log: {level: '${LEVEL}'}", "w.yaml:1:14: log.level: an unknown ${...}, expected ${env:NAME} "
                                 "or ${file:PATH}"},
    {"log: {level: '${env:LEVEL'}", "w.yaml:1:14: log.level: a ${ without its }, expected "
                                    "${env:NAME} or ${file:PATH}"},
    {"log: {level: '${file:/nonexistent/level}'}",
     "w.yaml:1:14: log.level: file /nonexistent/level cannot be read: No such file or directory"},
    /* three at once, in one file */
    {"log: {level: loud}\nmemory_max: 1\n" LINK "  upstream: {uri: 'ws://h/'}\n",
     "w.yaml:1:14: log.level: \"loud\" is unknown, expected error, warning, info or debug\n"
     "w.yaml:2:13: memory_max: \"1\" is no size, expected a number with KiB, MiB or GiB, such as "
     "16MiB\n"
     "w.yaml:6:14: links[0].upstream.uri: unknown key, did you mean url?\n"
     "w.yaml:4:3: links[0].upstream.url: missing, expected ws:// or wss://HOST:PORT/PATH"},
};

START_TEST(a_mistake_is_reported_with_its_place_and_what_was_expected)
{
    char out[OUT_BYTES];
    config_free(read_text(mistakes[_i].text, out));
    ck_assert_msg(strcmp(out, mistakes[_i].expect) == 0, "%s\ngot:      %s\nexpected: %s",
                  mistakes[_i].text, out, mistakes[_i].expect);
}
END_TEST

START_TEST(after_a_hundred_mistakes_the_rest_is_not_shown)
{
    char text[4096] = "";
    for (int i = 0; i < 150; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "unknown%d: 1\n", i);
    struct config_errors errors;
    ck_assert_ptr_null(config_read_text("w.yaml", text, strlen(text), &errors));
    ck_assert_uint_eq(errors.count, CONFIG_ERROR_COUNT_MAX);
    ck_assert_str_eq(errors.items[CONFIG_ERROR_COUNT_MAX - 1].text,
                     "too many mistakes: the rest is not shown");
    config_errors_clear(&errors);
}
END_TEST

static const char *const with_secret[] = {
    LINK "  upstream: {url: 'ws://user:hunter2@h/'}\n",
    LINK "  upstream: {url: 'ws://h:hunter2/'}\n",
    LINK "  upstream: {url: 'https://h/?token=hunter2'}\n",
    LINK "  upstream: {url: 'hunter2'}\n",
    LINK "  upstream: {url: ['ws://h/', 'ws://hunter2:x/']}\n",
    LINK "  upstream: {url: '${env:WSKEEP_TEST_SECRET}'}\n",
    LINK "  upstream: {url: 'ws://h/', headers: {A: \"hunter2\\n\"}}\n",
    LINK "  upstream: {url: 'ws://h/', headers: {'Authorization: Bearer hunter2': }}\n",
    LINK "  upstream: {url: 'ws://h/', headers: 'Authorization: Bearer hunter2'}\n",
    LINK "  upstream: {url: 'ws://h/', headers: [hunter2]}\n",
    LINK "  upstream: {url: 'ws://h/', headers: {Host: hunter2}}\n",
    LINK "  upstream: {url: 'ws://h/', headers: {A: b, a: hunter2}}\n",
    LINK "  upstream: {url: 'ws://h/', proxy: 'http://u:hunter2@p'}\n",
    LINK "  upstream: {url: 'ws://h/', proxy: 'http://hunter2@p:1'}\n",
    LINK "  upstream: {url: 'ws://h/', proxy: 'hunter2'}\n",
    LINK "  upstream: {url: 'ws://h/', proxy: 'socks5://u:hunter2@p:1/x'}\n",
    LINK "  upstream: {url: 'ws://h/', proxy: {u: hunter2}}\n",
    LINK "  upstream: {url: 'ws://h/', Authorization: 'Bearer hunter2'}\n",
    LINK UPSTREAM "  client: {token: 'hunter2!'}\n",
    LINK UPSTREAM "  client: {token: '${env:WSKEEP_TEST_SECRET} '}\n",
    "admin: {token: hunter2}\n",
    "memory_max: '${env:WSKEEP_TEST_SECRET}'\n",
    "log: {level: '${env:WSKEEP_TEST_SECRET}'}\n",
    LINK UPSTREAM "  close_rules: [{code: '${env:WSKEEP_TEST_SECRET}', then: end}]\n",
    LINK "  upstream: {url: 'ws://h/', subprotocols: ['${env:WSKEEP_TEST_SECRET} x']}\n",
};

START_TEST(a_secret_is_in_no_message)
{
    char out[OUT_BYTES];
    setenv("WSKEEP_TEST_SECRET", "hunter2", 1);
    config_free(read_text(with_secret[_i], out));
    unsetenv("WSKEEP_TEST_SECRET");
    ck_assert_msg(out[0] != '\0', "accepted: %s", with_secret[_i]);
    ck_assert_msg(strstr(out, "hunter2") == NULL, "%s", out);
}
END_TEST

/* ---- values ------------------------------------------------------------------------------- */

static const char *const right[] = {
    "",
    "# nothing\n",
    "---\n",
    "links:\n",
    "links: []",
    "{}",
    "log:\nadmin:\n",
    "\xef\xbb\xbflinks: []\n",
    "log: {\"level\": 'warning', format: json}",
    "workers: '1'",
    "workers: 64",
    "workers: auto",
    "admin: {faults: off}",
    LINK UPSTREAM "  client:\n  heartbeat:\n  close_rules:\n",
    LINK "  upstream: {url: ['ws://h/']}\n",
    LINK "  upstream: {url: 'ws://h/', headers: {A: '', B: 1}, compression: false}\n",
    LINK "  upstream: {url: 'ws://h/', compression: offer}\n  client: {compression: accept}\n",
    LINK UPSTREAM "  client: {owner: root, group: 0, allow_hosts: [a.b, '[::1]']}\n",
    LINK UPSTREAM "  client: {allow_origins: ['file://', 'app://.', 'http://h:8080']}\n",
    LINK UPSTREAM "  heartbeat: {interval: never, silence: 1h, stall_timeout: never}\n",
    LINK UPSTREAM "  reconnect: {initial_delay: 0ms, multiplier: 1.125, rotate: break-first}\n",
    LINK UPSTREAM "  reconnect: {initial_delay: 30s, max_delay: 30s, rotate_after: 0s}\n",
    LINK UPSTREAM "  delivery: {reply_timeout: 1s, on_reply_timeout: resend, max_bytes: 16MiB}\n",
    LINK "  upstream: {url: 'ws://h/', tls: {verify: false, min_version: '1.3'}}\n",
    LINK "  upstream: {url: 'wss://h/', tls: {ca: c.pem, cert: c.pem, key: k.pem, "
         "server_name: '::1'}}\n",
    "links:\n- name: a\n  listen: ['ws://h:1', 'wss://h:2']\n" UPSTREAM
    "  client: {tls: {cert: c.pem, key: k.pem, client_ca: c.pem}}\n",
    LINK "  upstream: {url: 'ws://h/', close_code: {idle: 4000, suspended: 3000, rotated: 1012}}\n",
    LINK UPSTREAM "- {name: b, listen: 'ws://127.0.0.1:9002', upstream: {url: 'ws://h/'}}\n",
};

START_TEST(what_the_manual_allows_is_accepted)
{
    config_free(read_right(right[_i]));
}
END_TEST

/* YAML that gives one key of a link that is right otherwise: name, listen and url stay. */
static void make_text(const char *path, const char *value, char *out, size_t out_bytes)
{
    static const char group[] = "links[].";
    if (strncmp(path, group, sizeof(group) - 1) != 0) {
        const char *dot = strchr(path, '.');
        snprintf(out, out_bytes, dot != NULL ? "%.*s: {%s: %s}\n" : "%.*s%s: %s\n",
                 dot != NULL ? (int)(dot - path) : 0, path, dot != NULL ? dot + 1 : path, value);
        return;
    }
    char section[256];
    size_t used = 0;
    unsigned depth = 0;
    const char *word = path + sizeof(group) - 1;
    bool is_upstream = strncmp(word, "upstream.", 9) == 0;
    for (const char *dot; (dot = strchr(word, '.')) != NULL; word = dot + 1, depth++)
        used +=
            (size_t)snprintf(section + used, sizeof(section) - used, "%.*s: {%s", (int)(dot - word),
                             word, is_upstream && depth == 0 ? "url: 'ws://h/', " : "");
    used += (size_t)snprintf(section + used, sizeof(section) - used, "%s: %s", word, value);
    while (depth-- > 0)
        used += (size_t)snprintf(section + used, sizeof(section) - used, "}");
    snprintf(out, out_bytes, LINK "%s  %s\n", is_upstream ? "" : UPSTREAM, section);
}

/* Does the key itself take the value?  (Another key may then be too small for it.) */
static bool takes(const struct config_key *key, const char *value, char out[OUT_BYTES])
{
    char text[1024];
    make_text(key->path, value, text, sizeof(text));
    config_free(read_text(text, out));
    ck_assert_msg(strstr(out, "unknown key") == NULL && strstr(out, "missing") == NULL, "%s%s",
                  text, out);
    return strstr(out, " minimum") == NULL && strstr(out, " maximum") == NULL &&
           strstr(out, " is no ") == NULL && strstr(out, "supported") == NULL &&
           strstr(out, "is unknown") == NULL && strstr(out, "here, expected") == NULL;
}

static void make_number(const struct config_key *key, uint64_t number, char *out)
{
    switch (key->type) {
    case CONFIG_DURATION:
        snprintf(out, 64, "%" PRIu64 "ms", number);
        return;
    case CONFIG_SIZE:
        snprintf(out, 64, "%" PRIu64 "KiB", number / 1024);
        return;
    case CONFIG_DECIMAL:
        snprintf(out, 64, "%" PRIu64 ".%03u", number / 1000, (unsigned)(number % 1000));
        return;
    default:
        snprintf(out, 64, "%" PRIu64, number);
    }
}

START_TEST(every_number_is_accepted_at_its_limits_and_refused_beyond_them)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    unsigned tested = 0;
    for (size_t i = 0; i < count; i++) {
        const struct config_key *key = &keys[i];
        if (key->state == CONFIG_KEY_UNBUILT ||
            (key->type != CONFIG_COUNT && key->type != CONFIG_DURATION &&
             key->type != CONFIG_SIZE && key->type != CONFIG_DECIMAL))
            continue;
        char value[64];
        char out[OUT_BYTES];
        uint64_t step = key->type == CONFIG_SIZE ? 1024 : 1;
        make_number(key, key->minimum, value);
        ck_assert_msg(takes(key, value, out), "%s: %s", key->path, out);
        make_number(key, key->maximum, value);
        ck_assert_msg(takes(key, value, out), "%s: %s", key->path, out);
        make_number(key, key->maximum + step, value);
        ck_assert_msg(!takes(key, value, out), "%s: %s", key->path, value);
        ck_assert_msg(strstr(out, "is above the maximum, ") != NULL, "%s", out);
        if (key->minimum > 0) {
            make_number(key, key->minimum - step, value);
            ck_assert_msg(!takes(key, value, out), "%s: %s", key->path, value);
            ck_assert_msg(strstr(out, "is below the minimum, ") != NULL, "%s", out);
        }
        ck_assert_msg(!takes(key, "x", out), "%s: x", key->path);
        bool has_never = key->word != NULL && strcmp(key->word, "never") == 0;
        ck_assert_msg(takes(key, "never", out) == has_never, "%s: never", key->path);
        if (key->word != NULL)
            ck_assert_msg(takes(key, key->word, out), "%s: %s", key->path, key->word);
        tested++;
    }
    ck_assert_uint_gt(tested, 20);
}
END_TEST

START_TEST(every_key_that_is_not_built_takes_only_what_means_off)
{
    static const char *const asks[] = {
        [CONFIG_COUNT] = "2", [CONFIG_DURATION] = "5s", [CONFIG_BOOLEAN] = "true",
        [CONFIG_TEXT] = "x",  [CONFIG_LIST] = "[x]",
    };
    size_t count;
    const struct config_key *keys = config_keys(&count);
    unsigned tested = 0;
    for (size_t i = 0; i < count; i++) {
        if (keys[i].state != CONFIG_KEY_UNBUILT)
            continue;
        char out[OUT_BYTES];
        const char *off = keys[i].type == CONFIG_LIST   ? "[]"
                          : keys[i].type == CONFIG_TEXT ? "\"\""
                                                        : keys[i].preset;
        ck_assert_msg(takes(&keys[i], off, out), "%s: %s: %s", keys[i].path, off, out);
        ck_assert_msg(!takes(&keys[i], asks[keys[i].type], out), "%s", keys[i].path);
        ck_assert_msg(strstr(out, "not supported yet, expected ") != NULL, "%s", out);
        tested++;
    }
    ck_assert_uint_gt(tested, 15);
}
END_TEST

START_TEST(every_choice_is_taken_when_it_is_built)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        if (keys[i].type != CONFIG_CHOICE || strstr(keys[i].path, "close_rules[]") != NULL)
            continue;
        for (const struct config_choice *choice = keys[i].choices; choice->name != NULL; choice++) {
            char value[64];
            char out[OUT_BYTES];
            snprintf(value, sizeof(value), "'%s'", choice->name);
            ck_assert_msg(takes(&keys[i], value, out) == (choice->value != CONFIG_CHOICE_UNBUILT),
                          "%s: %s: %s", keys[i].path, value, out);
            if (choice->value == CONFIG_CHOICE_UNBUILT)
                ck_assert_msg(strstr(out, "is not supported yet") != NULL, "%s", out);
        }
    }
}
END_TEST

START_TEST(every_row_says_what_it_is_and_is_written_as_one_key)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(keys[i].text != NULL && strlen(keys[i].text) > 4, "%s", keys[i].path);
        ck_assert_ptr_eq(config_key_find(keys[i].path), &keys[i]);
        ck_assert_msg((keys[i].type == CONFIG_CHOICE) == (keys[i].choices != NULL), "%s",
                      keys[i].path);
        char expected[CONFIG_KEY_TEXT_BYTES];
        config_key_expected(&keys[i], expected);
        ck_assert_msg(expected[0] != '\0', "%s", keys[i].path);
    }
}
END_TEST

START_TEST(the_whole_sample_of_the_design_is_what_an_empty_link_gets)
{
    struct config *all = read_right(complete);
    struct config *least = read_right(LINK UPSTREAM);
    ck_assert_int_eq(all->log_level, least->log_level);
    ck_assert_int_eq(all->log_format, least->log_format);
    ck_assert_uint_eq(all->memory_bytes_max, least->memory_bytes_max);
    ck_assert_uint_eq(all->worker_count, least->worker_count);
    const struct link_config *one = all->links[0];
    const struct link_config *other = least->links[0];
    ck_assert_mem_eq(&one->client, &other->client, offsetof(struct config_client, tls));
    ck_assert_str_eq(one->client.tls.cert, other->client.tls.cert);
    ck_assert_str_eq(one->client.tls.key, other->client.tls.key);
    ck_assert_str_eq(one->client.tls.client_ca, other->client.tls.client_ca);
    ck_assert_str_eq(one->upstream.tls.ca, other->upstream.tls.ca);
    ck_assert_str_eq(one->upstream.tls.server_name, other->upstream.tls.server_name);
    ck_assert(one->upstream.tls.verify && other->upstream.tls.verify);
    ck_assert_int_eq(one->upstream.tls.min_version, other->upstream.tls.min_version);
    ck_assert_mem_eq(&one->session, &other->session, sizeof(one->session));
    ck_assert_int_eq(one->upstream.path, other->upstream.path);
    ck_assert_mem_eq(&one->upstream.limits, &other->upstream.limits, sizeof(one->upstream.limits));
    ck_assert_uint_eq(one->upstream.header_count + one->upstream.subprotocols.count, 0);
    ck_assert_str_eq(one->gap_message, other->gap_message);
    ck_assert_int_eq(one->upstream.cookies, CONFIG_COOKIES_KEEP);
    ck_assert_int_eq(other->upstream.cookies, CONFIG_COOKIES_KEEP);

    ck_assert_int_eq(all->log_level, CONFIG_LOG_INFO);
    ck_assert_uint_eq(all->worker_count, CONFIG_WORKERS_AUTO);
    ck_assert_uint_eq(all->memory_bytes_max, 1024ULL * 1024 * 1024);
    ck_assert_uint_eq(one->client.mode, 0660);
    ck_assert_uint_eq(one->client.owner, (uid_t)-1);
    ck_assert_uint_eq(one->client.max_clients, 1024);
    ck_assert_uint_eq(one->client.limits.message_bytes_max, 16ULL * 1024 * 1024);
    ck_assert_uint_eq(one->session.connect_timeout_ms, 10000);
    ck_assert_uint_eq(one->session.close_code_shutdown, 1001);
    ck_assert_uint_eq(one->session.heartbeat.interval_ms, 20000);
    ck_assert_uint_eq(one->session.heartbeat.stall_timeout_ms, 60000);
    ck_assert_uint_eq(one->session.client_heartbeat.interval_ms, 30000);
    ck_assert_uint_eq(one->session.client_heartbeat.stall_timeout_ms, SETTINGS_NEVER);
    ck_assert_uint_eq(one->session.silence_ms, SETTINGS_NEVER);
    ck_assert_uint_eq(one->session.backoff.multiplier_milli, 2000);
    ck_assert(one->session.backoff.jitter);
    ck_assert_uint_eq(one->session.outbox_messages_max, 65536);
    ck_assert_uint_eq(one->session.outbox_bytes_max, 64ULL * 1024 * 1024);
    ck_assert_str_eq(one->gap_message, "{\"wskeep\":\"gap\"}");
    config_free(all);
    config_free(least);
}
END_TEST

static void check_template(const struct config_template *template, const char *first,
                           const char *path, const char *last)
{
    ck_assert_uint_eq(template->file_count, 1);
    ck_assert_str_eq(template->pieces[0], first);
    ck_assert_str_eq(template->paths[0], path);
    ck_assert_str_eq(template->pieces[1], last);
}

START_TEST(files_of_headers_and_url_are_kept_for_every_attempt)
{
    setenv("WSKEEP_TEST_SECRET", "${file:/b}", 1); /* what comes from outside is not looked into */
    struct config *config = read_right(
        LINK "  upstream:\n"
             "    url: 'ws://H:81?q=1&t=${file:token}&r'\n"
             "    headers: {A: 'Bearer ${file:/nonexistent/a}', B: '${env:WSKEEP_TEST_SECRET}',\n"
             "              C: '${file:/a}${file:/b}'}\n"
             "    forward_headers: [Cookie, X-A]\n"
             "    cookies: off\n");
    unsetenv("WSKEEP_TEST_SECRET");
    const struct config_upstream *upstream = &config->links[0]->upstream;
    ck_assert_str_eq(upstream->urls[0].host, "h");
    ck_assert_str_eq(upstream->urls[0].target, "/?q=1&t=&r");
    check_template(&upstream->targets[0], "/?q=1&t=", "token", "&r");
    check_template(&upstream->headers[0].value, "Bearer ", "/nonexistent/a", "");
    ck_assert_uint_eq(upstream->headers[1].value.file_count, 0);
    ck_assert_str_eq(upstream->headers[1].value.pieces[0], "${file:/b}");
    ck_assert_uint_eq(upstream->headers[2].value.file_count, 2);
    ck_assert_str_eq(upstream->headers[2].value.pieces[1], "");
    ck_assert_str_eq(upstream->headers[2].value.paths[1], "/b");
    ck_assert_uint_eq(upstream->forward_headers.count, 2);
    ck_assert_str_eq(upstream->forward_headers.items[1], "X-A");
    ck_assert_int_eq(upstream->cookies, CONFIG_COOKIES_OFF);
    config_free(config);
}
END_TEST

START_TEST(what_is_written_is_what_is_read)
{
    struct config *config = read_right(
        "log: {level: debug, format: json}\n"
        "links:\n"
        "- name: a\n"
        "  listen: ['ws://LOCALHOST:9001', 'ws://[::1]:9002', 'ws+unix:/run/a b.sock']\n"
        "  client: {mode: 0600, owner: root, group: 12, allow_origins: ['HTTPS://A.b'],\n"
        "           heartbeat: {interval: never}}\n"
        "  upstream: {url: ['ws://H:81/p?q', 'ws://i/'], proxy: 'socks5://u:p@Q:9', path: append, "
        "headers: {A: b c, D: ''},\n"
        "             subprotocols: [x, y]}\n"
        "  reconnect: {multiplier: 1.5, jitter: none}\n"
        "  close_rules:\n"
        "  - {code: 1000, reason: 'a*', then: reconnect}\n"
        "  - {code: any, then: end}\n"
        "  - {http: 500-599, then: reconnect-slow}\n"
        "  - {cause: tcp-reset, then: end}\n"
        "  - {side: client, code: 1001, then: end}\n");
    const struct link_config *link = config->links[0];
    ck_assert_int_eq(config->log_level, CONFIG_LOG_DEBUG);
    ck_assert_int_eq(config->log_format, CONFIG_LOG_JSON);
    ck_assert_uint_eq(link->listen_count, 3);
    ck_assert_str_eq(link->listens[0].text, "ws://LOCALHOST:9001");
    ck_assert_str_eq(link->listens[0].host, "localhost");
    ck_assert_uint_eq(link->listens[0].port, 9001);
    ck_assert_str_eq(link->listens[1].host, "::1");
    ck_assert_int_eq(link->listens[2].kind, CONFIG_LISTEN_UNIX);
    ck_assert_str_eq(link->listens[2].path, "/run/a b.sock");
    ck_assert_uint_eq(link->client.mode, 0600);
    ck_assert_uint_eq(link->client.owner, 0);
    ck_assert_uint_eq(link->client.group, 12);
    ck_assert_str_eq(link->client.allow_origins.items[0], "https://a.b");
    ck_assert_uint_eq(link->session.client_heartbeat.interval_ms, SETTINGS_NEVER);
    ck_assert_str_eq(link->upstream.urls[0].host, "h");
    ck_assert_str_eq(link->upstream.urls[0].target, "/p?q");
    ck_assert_uint_eq(link->upstream.url_count, 2);
    ck_assert_str_eq(link->upstream.urls[1].host, "i");
    ck_assert_int_eq(link->upstream.proxy.kind, PROXY_SOCKS5);
    ck_assert_str_eq(link->upstream.proxy.host, "q");
    ck_assert_str_eq(link->upstream.proxy.password, "p");
    ck_assert_int_eq(link->upstream.path, CONFIG_PATH_APPEND);
    ck_assert_uint_eq(link->upstream.header_count, 2);
    ck_assert_str_eq(link->upstream.headers[0].name, "A");
    ck_assert_uint_eq(link->upstream.headers[0].value.file_count, 0);
    ck_assert_str_eq(link->upstream.headers[0].value.pieces[0], "b c");
    ck_assert_str_eq(link->upstream.headers[1].value.pieces[0], "");
    ck_assert_ptr_null(link->upstream.targets[0].pieces);
    ck_assert_str_eq(link->upstream.subprotocols.items[1], "y");
    ck_assert_uint_eq(link->session.backoff.multiplier_milli, 1500);
    ck_assert(!link->session.backoff.jitter);

    static const struct close_rule rules[] = {
        {.kind = CLOSE_RULE_CODE, .first = 1000, .last = 1000, .then = CLOSE_THEN_RECONNECT},
        {.kind = CLOSE_RULE_CODE, .first = 1000, .last = 4999, .then = CLOSE_THEN_END},
        {.kind = CLOSE_RULE_HTTP, .first = 500, .last = 599, .then = CLOSE_THEN_RECONNECT_SLOW},
        {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_TCP_RESET, .then = CLOSE_THEN_END},
        {.kind = CLOSE_RULE_CLIENT, .first = 1001, .last = 1001, .then = CLOSE_THEN_END},
    };
    ck_assert_uint_eq(link->session.close_rule_count, sizeof(rules) / sizeof(rules[0]));
    for (size_t i = 0; i < link->session.close_rule_count; i++) {
        const struct close_rule *rule = &link->session.close_rules[i];
        ck_assert_int_eq(rule->kind, rules[i].kind);
        ck_assert_uint_eq(rule->first, rules[i].first);
        ck_assert_uint_eq(rule->last, rules[i].last);
        ck_assert_int_eq(rule->cause, rules[i].cause);
        ck_assert_int_eq(rule->then, rules[i].then);
    }
    ck_assert_str_eq(link->session.close_rules[0].reason, "a*");
    config_free(config);
}
END_TEST

START_TEST(files_of_tls_are_seen_from_the_file_that_names_them)
{
    static const char text[] =
        "links:\n- name: a\n  listen: wss://[::1]:9001\n"
        "  client: {tls: {cert: c.pem, key: /run/k.pem}}\n"
        "  upstream: {url: 'wss://H', tls: {ca: sub/ca.pem, server_name: h.example, "
        "verify: false, min_version: 1.3}}\n";
    struct config_errors errors;
    struct config *config =
        config_read_text("/etc/wskeep/links.d/w.yaml", text, sizeof(text) - 1, &errors);
    ck_assert_msg(config != NULL, "%s", errors.count > 0 ? errors.items[0].text : "");
    const struct link_config *link = config->links[0];
    ck_assert(link->listens[0].tls);
    ck_assert_str_eq(link->client.tls.cert, "/etc/wskeep/links.d/c.pem");
    ck_assert_str_eq(link->client.tls.key, "/run/k.pem");
    ck_assert_str_eq(link->client.tls.client_ca, "");
    ck_assert_str_eq(link->upstream.tls.ca, "/etc/wskeep/links.d/sub/ca.pem");
    ck_assert_str_eq(link->upstream.tls.server_name, "h.example");
    ck_assert(!link->upstream.tls.verify);
    ck_assert_int_eq(link->upstream.tls.min_version, CONFIG_TLS_1_3);
    ck_assert(link->upstream.urls[0].tls);
    ck_assert_uint_eq(link->upstream.urls[0].port, 443);
    config_free(config);
}
END_TEST

START_TEST(a_held_link_outlives_its_configuration)
{
    struct config *config = read_right(complete);
    struct link_config *link = link_config_hold(config->links[0]);
    config_free(config);
    ck_assert_str_eq(link->name, "game");
    link_config_release(link);
}
END_TEST

START_TEST(one_link_fits_on_the_command_line)
{
    struct config_errors errors;
    char out[OUT_BYTES];
    struct config *config = config_from_options("ws://127.0.0.1:9001", "ws://h:9000/ws", &errors);
    ck_assert_ptr_nonnull(config);
    ck_assert_str_eq(config->links[0]->name, "default");
    ck_assert_uint_eq(config->links[0]->listens[0].port, 9001);
    ck_assert_uint_eq(config->links[0]->upstream.urls[0].port, 9000);
    config_free(config);
    ck_assert_ptr_null(config_from_options("9001", "http://h/", &errors));
    format_all(&errors, out);
    ck_assert_msg(strncmp(out, "--listen: ", 10) == 0, "%s", out);
    ck_assert_msg(strstr(out, "\n--upstream: no ws:// at its front, expected ") != NULL, "%s", out);
    config_errors_clear(&errors);
    ck_assert_ptr_null(config_from_options("wss://h:1", "wss://h/", &errors));
    format_all(&errors, out);
    ck_assert_str_eq(out, "--listen: wss:// wants a certificate, expected client.tls in a file");
    config_errors_clear(&errors);
}
END_TEST

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tcase = tcase_create("config");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_mistake_is_reported_with_its_place_and_what_was_expected, 0,
                        COUNT_OF(mistakes));
    tcase_add_test(tcase, after_a_hundred_mistakes_the_rest_is_not_shown);
    tcase_add_loop_test(tcase, a_secret_is_in_no_message, 0, COUNT_OF(with_secret));
    tcase_add_loop_test(tcase, what_the_manual_allows_is_accepted, 0, COUNT_OF(right));
    tcase_add_test(tcase, every_number_is_accepted_at_its_limits_and_refused_beyond_them);
    tcase_add_test(tcase, every_key_that_is_not_built_takes_only_what_means_off);
    tcase_add_test(tcase, every_choice_is_taken_when_it_is_built);
    tcase_add_test(tcase, every_row_says_what_it_is_and_is_written_as_one_key);
    tcase_add_test(tcase, the_whole_sample_of_the_design_is_what_an_empty_link_gets);
    tcase_add_test(tcase, files_of_headers_and_url_are_kept_for_every_attempt);
    tcase_add_test(tcase, what_is_written_is_what_is_read);
    tcase_add_test(tcase, files_of_tls_are_seen_from_the_file_that_names_them);
    tcase_add_test(tcase, a_held_link_outlives_its_configuration);
    tcase_add_test(tcase, one_link_fits_on_the_command_line);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
