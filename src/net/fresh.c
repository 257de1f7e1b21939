/* What is put together anew for every attempt. */
#include "net/fresh.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/config.h"
#include "net/relay.h"
#include "net/report.h"
#include "proto/http_date.h"

/*
 * Files are looked at by stat(), not watched by inotify: secrets come by rename, by symlinks that
 * are swapped two folders up (Kubernetes' ..data), in folders that do not exist yet, and over
 * networks that tell nobody.  stat() sees them all, and nobody looks but while a session waits for
 * exactly this.
 */
enum { FRESH_LOOK_MS = 1000 };

static const char *const cookie_name = "Cookie";

static struct fresh *fresh_of(struct net_session *net)
{
    return net->upstream.fresh;
}

/* Where this attempt goes. */
static const struct url *url_of(const struct net_session *net)
{
    return upstream_url(net);
}

static const struct config_template *target_template(const struct net_session *net)
{
    return &net->config->upstream.targets[net->upstream.url_index];
}

/* ---- the files, in the order of their use -------------------------------------------------- */

static size_t add_paths(const struct config_template *template, const char **paths, size_t count)
{
    for (size_t i = 0; i < template->file_count; i++)
        paths[count++] = template->paths[i];
    return count;
}

/* As many as the configuration allows at most. */
static size_t list_paths(const struct net_session *net, const char *paths[SECRETS_FILE_COUNT_MAX])
{
    const struct config_upstream *upstream = &net->config->upstream;
    size_t count = add_paths(target_template(net), paths, 0);
    for (size_t i = 0; i < upstream->header_count; i++)
        count = add_paths(&upstream->headers[i].value, paths, count);
    return count;
}

/* ---- putting together ---------------------------------------------------------------------- */

/* Values are written one behind the other into the block, which is large enough for all. */
struct build {
    struct net_session *net;
    struct fresh *fresh;
    const struct secrets_file *file; /* the next one to be used */
    const struct secrets_file *bad;  /* the one that cannot be, and */
    const char *why;
    size_t header_bytes;
};

static size_t template_bytes(const struct config_template *template)
{
    size_t bytes = 1;
    for (size_t i = 0; template->pieces && i <= template->file_count; i++)
        bytes += strlen(template->pieces[i]);
    return bytes;
}

static bool has_forwarded(const struct net_session *net, const char *name)
{
    const struct config_upstream *upstream = &net->config->upstream;
    for (size_t i = 0; i < upstream->header_count; i++)
        if (strcasecmp(upstream->headers[i].name, name) == 0)
            return false; /* the configuration wins */
    for (size_t i = 0; i < upstream->forward_headers.count; i++)
        if (strcasecmp(upstream->forward_headers.items[i], name) == 0)
            return true;
    return false; /* not since a reload */
}

/* Room for all values: what is known, and what may come with it at most. */
static bool block_new(struct build *build, const struct secrets_file *files, size_t file_count)
{
    const struct config_upstream *upstream = &build->net->config->upstream;
    const struct client_request *request = build->net->client.request;
    struct fresh *fresh = build->fresh;
    size_t bytes = template_bytes(target_template(build->net)) + URL_TARGET_BYTES_MAX + 1;
    for (size_t i = 0; i < upstream->header_count; i++)
        bytes += template_bytes(&upstream->headers[i].value);
    for (size_t i = 0; i < file_count; i++)
        bytes += files[i].text_bytes;
    bytes *= 2; /* a Cookie is put together, and then once more with those of the jar */
    bytes += 2 * request->forward_bytes + COOKIE_FIELD_BYTES_MAX + 2;
    fresh->headers =
        calloc(upstream->header_count + request->forward_count + 1, sizeof(*fresh->headers));
    fresh->block = malloc(bytes);
    if (fresh->headers && fresh->block)
        return true;
    free(fresh->headers);
    free(fresh->block);
    fresh->headers = NULL;
    fresh->block = NULL;
    return false;
}

static char *block_end(const struct build *build)
{
    return build->fresh->block + build->fresh->block_bytes;
}

static bool fail(struct build *build, const struct secrets_file *file, const char *why)
{
    build->bad = file;
    build->why = why;
    return false;
}

/* What was read is something that may stand in a header, or in a target. */
static bool check_file(struct build *build, const struct secrets_file *file, bool is_target)
{
    if (!file->text)
        return fail(build, file, file->why);
    if (file->text_bytes == 0)
        return fail(build, file, "is empty"); /* while it is being written, perhaps */
    if (strlen(file->text) != file->text_bytes ||
        !http_is_field_value(file->text, file->text_bytes))
        return fail(build, file, "has a control character in it, expected one line of text");
    for (const char *c = file->text; is_target && *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '#')
            return fail(build, file, "has a character in it that must be encoded in a URL");
    return true;
}

static void put(struct build *build, const char *text, size_t bytes)
{
    memcpy(block_end(build), text, bytes);
    build->fresh->block_bytes += bytes;
}

/* Write a value.  NULL: a file is to blame. */
static const char *put_template(struct build *build, const struct config_template *template,
                                bool is_target)
{
    char *value = block_end(build);
    for (size_t i = 0; i <= template->file_count; i++) {
        const char *piece = template->pieces[i];
        if (i == 0 && !is_target)
            piece += strspn(piece, " \t"); /* blanks around a value are none of it (RFC 9110 5.5) */
        put(build, piece, strlen(piece));
        if (i == template->file_count)
            break;
        assert(build->file); /* as many were asked for as the templates name */
        if (!check_file(build, build->file, is_target))
            return NULL;
        put(build, build->file->text, build->file->text_bytes);
        build->file++;
    }
    while (!is_target && block_end(build) > value && strchr(" \t", block_end(build)[-1]))
        build->fresh->block_bytes--;
    put(build, "", 1);
    return value + (is_target ? 0 : strspn(value, " \t"));
}

static bool build_target(struct build *build)
{
    const struct net_session *net = build->net;
    const struct client_request *request = net->client.request;
    const struct config_template *template = target_template(net);
    const char *base = url_of(net)->target;
    if (template->file_count > 0) {
        base = put_template(build, template, true);
        if (!base)
            return false;
        if (!url_is_target(base))
            return fail(build, build->file - 1, "makes the path too long");
    }
    build->fresh->target = base;
    if (net->config->upstream.path == CONFIG_PATH_FIXED || !request->target[0])
        return true;
    char *target = block_end(build);
    if (!url_target_append(base, request->target, target)) {
        if (template->file_count > 0)
            return fail(build, build->file - 1, "makes the path too long for the client's");
        build->fresh->target = ""; /* since a reload it does not fit: it is not asked for */
        return true;
    }
    build->fresh->block_bytes += strlen(target) + 1;
    build->fresh->target = target;
    return true;
}

static void add_header(struct build *build, const char *name, const char *value)
{
    struct fresh *fresh = build->fresh;
    fresh->headers[fresh->header_count++] = (struct handshake_header){.name = name, .value = value};
    build->header_bytes += strlen(name) + strlen(value);
}

static bool build_configured(struct build *build)
{
    const struct config_upstream *upstream = &build->net->config->upstream;
    for (size_t i = 0; i < upstream->header_count; i++) {
        const struct config_header *header = &upstream->headers[i];
        const char *value = put_template(build, &header->value, false);
        if (!value)
            return false;
        add_header(build, header->name, value);
        if (build->header_bytes > FRESH_BYTES_MAX) /* without files it is less */
            return fail(build, build->file - 1, "makes the headers too long");
    }
    return true;
}

/* Cookies of the client go into one field (RFC 6265 5.4): its value, "" for none. */
static const char *put_client_cookies(struct build *build)
{
    const struct client_request *request = build->net->client.request;
    const char *name = request->forward;
    char *value = block_end(build);
    for (unsigned i = 0; i < request->forward_count; i++) {
        const char *text = name + strlen(name) + 1;
        if (strcasecmp(name, cookie_name) == 0 && has_forwarded(build->net, name)) {
            if (block_end(build) > value)
                put(build, "; ", 2);
            put(build, text, strlen(text));
        }
        name = text + strlen(text) + 1;
    }
    put(build, "", 1);
    return value;
}

static void build_forwarded(struct build *build)
{
    const struct client_request *request = build->net->client.request;
    const char *name = request->forward;
    for (unsigned i = 0; i < request->forward_count; i++) {
        const char *value = name + strlen(name) + 1;
        if (strcasecmp(name, cookie_name) != 0 && has_forwarded(build->net, name))
            add_header(build, name, value);
        name = value + strlen(value) + 1;
    }
}

static const struct cookie_jar *jar_of(struct net_session *net)
{
    static const struct cookie_jar empty;
    struct fresh_cookies *cookies = fresh_of(net)->cookies;
    if (!cookies)
        return &empty;
    if (net->config->upstream.cookies == CONFIG_COOKIES_OFF ||
        strcmp(cookies->host, url_of(net)->host) != 0)
        cookie_jar_clear(&cookies->jar); /* they are another server's */
    return &cookies->jar;
}

/* One Cookie: what the configuration or the client says, and what the server has set. */
static void build_cookie(struct build *build)
{
    struct fresh *fresh = build->fresh;
    struct handshake_header *configured = NULL;
    for (size_t i = 0; i < fresh->header_count; i++)
        if (strcasecmp(fresh->headers[i].name, cookie_name) == 0)
            configured = &fresh->headers[i];
    const char *base = configured ? configured->value : put_client_cookies(build);
    char *value = block_end(build);
    size_t bytes =
        cookie_jar_write(jar_of(build->net), relay_now(build->net), url_of(build->net)->tls, base,
                         configured != NULL, value, strlen(base) + COOKIE_FIELD_BYTES_MAX + 1);
    if (bytes == 0)
        return; /* none, or none but what the configuration says */
    fresh->block_bytes += bytes + 1;
    if (configured)
        configured->value = value;
    else
        add_header(build, cookie_name, value);
}

/* text, where it lies in the bytes of from: the same in to. */
static const char *moved(const char *text, const char *from, size_t bytes, const char *to)
{
    bool is_inside = (uintptr_t)text - (uintptr_t)from < bytes;
    return is_inside ? to + (text - from) : text;
}

/* All is put together, and an attempt may take its time: thousands of them shall not hold the room
 * that is for the worst.  Without memory for less, it stays as it is. */
static void block_fit(struct fresh *fresh)
{
    size_t bytes = fresh->block_bytes;
    char *block = malloc(bytes + 1);
    if (!block)
        return;
    memcpy(block, fresh->block, bytes);
    fresh->target = moved(fresh->target, fresh->block, bytes, block);
    for (size_t i = 0; i < fresh->header_count; i++)
        fresh->headers[i].value = moved(fresh->headers[i].value, fresh->block, bytes, block);
    explicit_bzero(fresh->block, bytes);
    free(fresh->block);
    fresh->block = block;
}

/* CAUSE_NONE, or why the request cannot be made; then that is reported. */
static enum cause build_request(struct net_session *net, const struct secrets_file *files,
                                size_t file_count)
{
    struct build build = {.net = net, .fresh = fresh_of(net), .file = files};
    if (!block_new(&build, files, file_count))
        return CAUSE_NO_RESOURCES;
    if (build_target(&build) && build_configured(&build)) {
        build_forwarded(&build);
        build_cookie(&build);
        block_fit(fresh_of(net));
        return CAUSE_NONE;
    }
    fresh_end(net);
    if (!*build.why)
        return CAUSE_NO_RESOURCES;
    assert(build.bad);
    report_secret_unreadable(net, build.bad->path, build.why);
    return CAUSE_SECRET_UNREADABLE;
}

void fresh_end(struct net_session *net)
{
    struct fresh *fresh = fresh_of(net);
    if (!fresh)
        return;
    if (fresh->reading)
        secrets_cancel(net->worker->secrets, fresh->reading);
    if (fresh->block)
        explicit_bzero(fresh->block, fresh->block_bytes);
    free(fresh->block);
    free(fresh->headers);
    fresh->reading = NULL;
    fresh->target = NULL;
    fresh->headers = NULL;
    fresh->header_count = 0;
    fresh->block = NULL;
    fresh->block_bytes = 0;
    if (fresh->marks || fresh->cookies)
        return;
    free(fresh);
    net->upstream.fresh = NULL;
}

/* ---- an attempt ---------------------------------------------------------------------------- */

static void forget_marks(struct fresh *fresh)
{
    free(fresh->marks);
    fresh->marks = NULL;
    fresh->mark_count = 0;
}

/* Without memory for them a change is not noticed, and the wait takes its time. */
static void keep_marks(struct fresh *fresh, const struct secrets_file *files, size_t count)
{
    forget_marks(fresh);
    fresh->marks = calloc(count, sizeof(*fresh->marks));
    fresh->mark_count = fresh->marks ? count : 0;
    for (size_t i = 0; i < fresh->mark_count; i++)
        fresh->marks[i] = files[i].mark;
}

static void on_read(void *argument, const struct secrets_file *files, size_t file_count)
{
    struct net_session *net = argument;
    fresh_of(net)->reading = NULL;
    keep_marks(fresh_of(net), files, file_count);
    upstream_attempt_on_fresh(net, build_request(net, files, file_count));
    relay_touch(net);
}

enum fresh_answer fresh_begin(struct net_session *net)
{
    const char *paths[SECRETS_FILE_COUNT_MAX];
    size_t count = list_paths(net, paths);
    fresh_end(net);
    if (!fresh_of(net))
        net->upstream.fresh = calloc(1, sizeof(struct fresh));
    struct fresh *fresh = fresh_of(net);
    if (!fresh)
        return FRESH_FAILED;
    forget_marks(fresh);
    fresh->look_ms = 0;
    if (count == 0)
        return build_request(net, NULL, 0) == CAUSE_NONE ? FRESH_READY : FRESH_FAILED;
    fresh->reading = secrets_ask(net->worker->secrets, paths, count, false, on_read, net);
    return fresh->reading ? FRESH_READING : FRESH_FAILED;
}

void fresh_report_hang(struct net_session *net)
{
    report_secret_unreadable(net, secrets_waits_for(net->worker->secrets, fresh_of(net)->reading),
                             "was not read within connect_timeout");
}

void fresh_take_cookies(struct net_session *net, const struct http_head *head)
{
    struct fresh *fresh = fresh_of(net);
    const struct http_field *field;
    if (net->config->upstream.cookies == CONFIG_COOKIES_OFF)
        return;
    struct cookie_origin origin = {
        .host = url_of(net)->host, .target = fresh->target, .now_ms = relay_now(net)};
    field = http_head_field(head, "Date", 0);
    if (field)
        (void)http_date_parse(field->value, &origin.date_s);
    for (size_t i = 0; (field = http_head_field(head, "Set-Cookie", i)); i++) {
        if (!fresh->cookies)
            fresh->cookies = calloc(1, sizeof(*fresh->cookies));
        if (!fresh->cookies)
            return; /* the next answer sets them again */
        memcpy(fresh->cookies->host, origin.host, sizeof(fresh->cookies->host));
        (void)cookie_jar_take(&fresh->cookies->jar, &origin, field->value);
    }
}

/* ---- a wait for another secret ------------------------------------------------------------- */

static bool waits(const struct net_session *net)
{
    return net->is_begun && net->core.state == SESSION_WAITING && net->core.waits_for_secret;
}

static void on_look(void *argument, const struct secrets_file *files, size_t file_count)
{
    struct net_session *net = argument;
    struct fresh *fresh = fresh_of(net);
    fresh->reading = NULL;
    relay_touch(net);
    if (!waits(net))
        return;
    for (size_t i = 0; i < file_count && i < fresh->mark_count; i++) {
        if (files[i].mark.error == EINPROGRESS || /* nobody could look */
            secrets_mark_is(&files[i].mark, &fresh->marks[i]))
            continue;
        fresh->look_ms = 0; /* the next attempt reads them, when it may */
        report_secret_changed(net, files[i].path);
        session_secret_changed(&net->core, relay_now(net));
        return;
    }
    fresh->look_ms = relay_now(net) + FRESH_LOOK_MS;
}

void fresh_watch(struct net_session *net)
{
    struct fresh *fresh = fresh_of(net);
    if (!fresh)
        return;
    fresh->look_ms = waits(net) && fresh->mark_count > 0 ? relay_now(net) + FRESH_LOOK_MS : 0;
}

uint64_t fresh_deadline_ms(const struct net_session *net)
{
    const struct fresh *fresh = net->upstream.fresh;
    return fresh && fresh->look_ms != 0 && !fresh->reading && waits(net) ? fresh->look_ms
                                                                         : TIMERS_NEVER;
}

void fresh_timer(struct net_session *net)
{
    struct fresh *fresh = fresh_of(net);
    const char *paths[SECRETS_FILE_COUNT_MAX];
    if (relay_now(net) < fresh_deadline_ms(net))
        return;
    fresh->look_ms = relay_now(net) + FRESH_LOOK_MS;
    fresh->reading = secrets_ask(net->worker->secrets, paths, list_paths(net, paths), true, on_look,
                                 net); /* NULL: later, perhaps */
}

void fresh_clear(struct net_session *net)
{
    fresh_end(net);
    struct fresh *fresh = fresh_of(net);
    if (!fresh)
        return;
    free(fresh->marks);
    if (fresh->cookies)
        cookie_jar_clear(&fresh->cookies->jar);
    free(fresh->cookies);
    free(fresh);
    net->upstream.fresh = NULL;
}
