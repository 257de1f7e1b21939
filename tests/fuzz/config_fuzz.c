/*
 * A configuration, from its text to the checked struct.  Input: the YAML.
 *
 * Nothing outside is touched: variables, files and users are played below.
 */
#include "config/config.h"

#include <grp.h>
#include <pwd.h>

#include "config/config_file.h"
#include "fuzz.h"

char *__wrap_getenv(const char *name);
char *__wrap_config_file_read(const char *path, size_t bytes_max, size_t *bytes, char *why);
int __wrap_getpwnam_r(const char *name, struct passwd *user, char *room, size_t room_bytes,
                      struct passwd **found);
int __wrap_getgrnam_r(const char *name, struct group *group, char *room, size_t room_bytes,
                      struct group **found);

/* The environment has A, and B with something in it that is no plain text. */
char *__wrap_getenv(const char *name)
{
    static char plain[] = "value";
    static char odd[] = "\x1b[1m${file:secret}\r\n";
    return strcmp(name, "A") == 0 ? plain : strcmp(name, "B") == 0 ? odd : NULL;
}

/* There are a few files, by the last letter of their name; most cannot be read. */
char *__wrap_config_file_read(const char *path, size_t bytes_max, size_t *bytes, char *why)
{
    static const char nul[] = "a\0b";
    char last = path[0] ? path[strlen(path) - 1] : 'x';
    why[0] = '\0';
    *bytes = 0;
    switch (last) {
    case 'a':
        *bytes = 7;
        return (char *)fuzz_copy("secret\n", 8);
    case 'e':
        return (char *)fuzz_copy("", 1);
    case 'n':
        *bytes = sizeof(nul) - 1;
        return (char *)fuzz_copy(nul, sizeof(nul));
    case 'l': {
        char *text = fuzz_allocate(bytes_max + 1);
        memset(text, 'l', bytes_max);
        text[bytes_max] = '\0';
        *bytes = bytes_max;
        return text;
    }
    case 'm':
        return NULL; /* no memory */
    default:
        snprintf(why, CONFIG_FILE_WHY_BYTES, "cannot be read: not in this world");
        return NULL;
    }
}

int __wrap_getpwnam_r(const char *name, struct passwd *user, char *room, size_t room_bytes,
                      struct passwd **found)
{
    (void)room;
    (void)room_bytes;
    *user = (struct passwd){.pw_uid = 1000};
    *found = strcmp(name, "wskeep") == 0 ? user : NULL;
    return 0;
}

int __wrap_getgrnam_r(const char *name, struct group *group, char *room, size_t room_bytes,
                      struct group **found)
{
    (void)room;
    (void)room_bytes;
    *group = (struct group){.gr_gid = 1000};
    *found = strcmp(name, "wskeep") == 0 ? group : NULL;
    return 0;
}

/* ---- what went wrong ------------------------------------------------------------------------ */

static void check_errors(const struct config_errors *errors, const uint8_t *text, size_t bytes)
{
    unsigned line_count = 2; /* the end of the last one is a place, too */
    for (size_t i = 0; i < bytes; i++)
        line_count += text[i] == '\n' || text[i] == '\r' || text[i] == 0x85 || text[i] == 0xa8 ||
                      text[i] == 0xa9; /* YAML's line ends; at least as many */
    expect(errors->count <= CONFIG_ERROR_COUNT_MAX);
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->items[i];
        char out[512];
        expect(error->file && error->path && error->text && error->text[0] != '\0');
        expect(error->line <= line_count);
        config_error_format(error, out, sizeof(out));
        expect(strlen(out) < sizeof(out) && out[0] != '\0');
        for (const char *c = out; *c; c++)
            expect((unsigned char)*c >= ' ' && *c != 0x7f); /* nothing that a terminal obeys */
        char *small = fuzz_allocate(20);
        config_error_format(error, small, 20);
        expect(strlen(small) < 20);
        free(small);
    }
}

/* ---- what came out -------------------------------------------------------------------------- */

static void check_text(const char *text)
{
    expect(text != NULL);
    for (; *text; text++)
        expect((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void check_strings(const struct config_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        check_text(strings->items[i]);
}

static void check_template(const struct config_template *template)
{
    if (!template->pieces) {
        expect(template->file_count == 0);
        return;
    }
    expect(template->file_count <= CONFIG_TEMPLATE_FILE_COUNT_MAX);
    for (size_t i = 0; i <= template->file_count; i++)
        expect(template->pieces[i] != NULL);
    for (size_t i = 0; i < template->file_count; i++)
        expect(template->paths[i] != NULL && template->paths[i][0] != '\0');
}

static void check_listen(const struct config_listen *listen)
{
    check_text(listen->text);
    switch (listen->kind) {
    case CONFIG_LISTEN_TCP:
        expect(listen->host && listen->host[0] != '\0');
        return;
    case CONFIG_LISTEN_UNIX:
        expect(listen->path && listen->path[0] == '/' && strlen(listen->path) < 108);
        return;
    case CONFIG_LISTEN_SYSTEMD:
        expect(listen->name && listen->name[0] != '\0');
        return;
    }
    expect(!"a kind of listener");
}

static void check_upstream(const struct config_upstream *upstream)
{
    size_t file_count = 0;
    expect(upstream->url_count > 0);
    for (size_t i = 0; i < upstream->url_count; i++) {
        expect(upstream->urls[i].host[0] != '\0' && upstream->urls[i].port > 0);
        expect(url_is_target(upstream->urls[i].target));
        check_template(&upstream->targets[i]);
    }
    for (size_t i = 0; i < upstream->header_count; i++) {
        const struct config_header *header = &upstream->headers[i];
        expect(http_is_token(header->name, strlen(header->name)));
        expect(!handshake_header_is_reserved(header->name));
        check_template(&header->value);
        for (size_t n = 0; n <= header->value.file_count; n++) {
            const char *piece = header->value.pieces[n];
            expect(http_is_field_value(piece, strlen(piece)));
        }
        file_count += header->value.file_count;
    }
    expect(file_count <= CONFIG_HEADER_FILE_COUNT_MAX);
    for (size_t i = 0; i < upstream->forward_headers.count; i++) {
        const char *name = upstream->forward_headers.items[i];
        expect(http_is_token(name, strlen(name)) && !handshake_header_is_reserved(name));
    }
    expect(upstream->subprotocols.count <= HANDSHAKE_SUBPROTOCOL_COUNT_MAX);
    for (size_t i = 0; i < upstream->subprotocols.count; i++)
        expect(http_is_token(upstream->subprotocols.items[i],
                             strlen(upstream->subprotocols.items[i])));
    expect(upstream->limits.message_bytes_max > 0 && upstream->limits.fragment_count_max > 0);
}

/* What a session may rely upon. */
static void check_session(const struct session_settings *session,
                          const struct config_client *client)
{
    expect(session->connect_timeout_ms > 0 && session->connect_timeout_ms != SETTINGS_NEVER);
    expect(session->outbox_messages_max > 0);
    expect(session->outbox_bytes_max >= client->limits.message_bytes_max);
    expect(session->window_bytes > 0 && session->inbox_bytes_max > 0);
    expect(session->backoff.initial_delay_ms <= session->backoff.max_delay_ms);
    expect(session->backoff.multiplier_milli >= 1000);
    expect(close_code_is_sendable(session->close_code_shutdown));
    for (size_t i = 0; i < session->close_rule_count; i++) {
        const struct close_rule *rule = &session->close_rules[i];
        expect(rule->kind <= CLOSE_RULE_CLIENT && rule->then <= CLOSE_THEN_END);
        expect(rule->first <= rule->last);
        expect(rule->kind != CLOSE_RULE_CAUSE ||
               (rule->cause > CAUSE_NONE && rule->cause < CAUSE_COUNT));
    }
}

static void check_link(const struct link_config *link)
{
    expect(link->name[0] != '\0');
    expect(strspn(link->name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(link->name));
    expect(link->listen_count > 0 && link->reference_count == 1);
    for (size_t i = 0; i < link->listen_count; i++)
        check_listen(&link->listens[i]);
    expect((link->client.mode & ~0777u) == 0 && link->client.max_clients > 0);
    check_strings(&link->client.allow_origins);
    check_strings(&link->client.allow_hosts);
    check_upstream(&link->upstream);
    check_session(&link->session, &link->client);
    expect(link->gap_message != NULL);
}

static void check_config(const struct config *config)
{
    expect(config->link_count <= CONFIG_LINK_COUNT_MAX && config->memory_bytes_max > 0);
    for (size_t i = 0; i < config->link_count; i++) {
        check_link(config->links[i]);
        for (size_t other = 0; other < i; other++)
            expect(strcmp(config->links[i]->name, config->links[other]->name) != 0);
    }
}

/* One of the two, never both and never neither; and the caller frees both. */
static size_t check_outcome(struct config *config, struct config_errors *errors,
                            const uint8_t *text, size_t bytes)
{
    size_t count = errors->count;
    expect((config != NULL) == (count == 0));
    check_errors(errors, text, bytes);
    if (config)
        check_config(config);
    config_free(config);
    config_errors_clear(errors);
    return count;
}

static void check_options(const uint8_t *data, size_t data_bytes)
{
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    struct fuzz_input line = fuzz_line(&input);
    struct config_errors errors = {0};
    char *listen = fuzz_text(line.at, line.bytes);
    char *upstream = fuzz_text(input.at, input.bytes);
    struct config *config = config_from_options(listen, upstream, &errors);
    expect(!config || config->link_count == 1);
    check_outcome(config, &errors, data, data_bytes);
    free(listen);
    free(upstream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    struct config_errors errors = {0};
    struct config_errors again = {0};
    uint8_t *exact = fuzz_copy(data, data_bytes);
    struct config *config = config_read_text("fuzz.yaml", (char *)exact, data_bytes, &errors);
    size_t count = check_outcome(config, &errors, data, data_bytes);
    config = config_read_text("fuzz.yaml", (char *)exact, data_bytes, &again);
    expect(check_outcome(config, &again, data, data_bytes) == count);
    free(exact);
    if (data_bytes > 2 && data_bytes < 1024 && data[0] == 'w' && data[1] == 's')
        check_options(data, data_bytes);
    return 0;
}
