/* What sessions and links say in the log. */
#include "net/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "log/log.h"
#include "net/link.h"
#include "net/relay.h"

enum { SENTENCE_BYTES = 1024, FIELD_COUNT_MAX = 16, SHOWN_BYTES_MAX = 200 };

/* A line as it is put together: "game#12: " and what follows, beside the same as fields. */
struct line {
    char sentence[SENTENCE_BYTES];
    size_t used;
    struct log_field fields[FIELD_COUNT_MAX];
    size_t field_count;
};

__attribute__((format(printf, 2, 3))) static void say(struct line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof(line->sentence) - line->used;
    int bytes = vsnprintf(line->sentence + line->used, room, format, arguments);
    va_end(arguments);
    if (bytes > 0)
        line->used += (size_t)bytes < room ? (size_t)bytes : room - 1;
}

static void field_text(struct line *line, const char *name, const char *text)
{
    line->fields[line->field_count++] = log_text(name, text);
}

static void field_number(struct line *line, const char *name, uint64_t number)
{
    line->fields[line->field_count++] = log_number(name, number);
}

void report_name(const struct net_session *net, char out[REPORT_NAME_BYTES])
{
    snprintf(out, REPORT_NAME_BYTES, "%s#%" PRIu64, net->config->name, (uint64_t)net->number);
}

static void line_begin(struct line *line, const struct net_session *net)
{
    const char *name = net->config->name;
    line->used = 0;
    line->field_count = 0;
    say(line, "%s#%" PRIu64 ": ", name, (uint64_t)net->number);
    field_text(line, "link", name);
    field_number(line, "session", net->number);
}

static void line_end(const struct line *line, const struct worker *worker, enum log_level level,
                     const char *event)
{
    log_line(worker->log, level, event, line->sentence, line->fields, line->field_count);
}

/* Code and reason of a Close; the reason is the peer's. */
static void say_close(struct line *line, const struct close_frame *close)
{
    say(line, " %u", (unsigned)close->code);
    if (close->reason_bytes > 0) {
        say(line, " \"");
        line->used = log_escape(line->sentence, line->used, sizeof(line->sentence), close->reason,
                                close->reason_bytes);
        say(line, "\"");
    }
    field_number(line, "code", close->code);
    line->fields[line->field_count++] = log_bytes("reason", close->reason, close->reason_bytes);
}

static void say_cause(struct line *line, const struct session_actions *actions)
{
    enum cause cause = actions->move.cause;
    say(line, " (%s", cause_name(cause));
    field_text(line, "cause", cause_name(cause));
    if (cause == CAUSE_CLOSED)
        say_close(line, &actions->end.close);
    if (cause == CAUSE_HTTP_STATUS ||
        (cause == CAUSE_PROXY_REFUSED && actions->end.http_status > 0)) {
        say(line, " %u", (unsigned)actions->end.http_status);
        field_number(line, "http_status", actions->end.http_status);
    }
    say(line, ")");
}

/* OpenSSL's words. */
static void say_why(struct line *line, const char *why)
{
    say(line, ": %s", why);
    field_text(line, "why", why);
}

/* Which url it is about, without its path and query, once one was chosen.  place: room for it,
 * until the line is written. */
static void say_upstream(struct line *line, const struct net_session *net,
                         const struct session_move *move, char place[URL_HOST_BYTES_MAX + 9])
{
    const struct url *url = upstream_url(net);
    if (move->to == SESSION_RESOLVING || move->from == SESSION_WAITING ||
        move->from == SESSION_IDLE)
        return;
    url_place(url->host, url->host_is_ipv6, url->port, place);
    if (net->config->upstream.url_count > 1)
        say(line, " at %s", place);
    field_text(line, "upstream", place);
}

/* Steps of an attempt are for those who look for a fault. */
static enum log_level move_level(const struct session_move *move)
{
    bool is_news =
        move->to == SESSION_OPEN || move->to == SESSION_WAITING || move->to == SESSION_ENDED;
    return is_news ? LOG_INFO : LOG_DEBUG;
}

void report_move(const struct net_session *net, const struct session_actions *actions)
{
    struct line line;
    char place[URL_HOST_BYTES_MAX + 9];
    const struct session_move *move = &actions->move;
    enum log_level level = move_level(move);
    if (!log_is_on(net->worker->log, level))
        return;
    line_begin(&line, net);
    say(&line, "%s -> %s", session_state_name(move->from), session_state_name(move->to));
    field_text(&line, "from", session_state_name(move->from));
    field_text(&line, "to", session_state_name(move->to));
    if (move->cause != CAUSE_NONE)
        say_cause(&line, actions);
    say_upstream(&line, net, move, place);
    if (move->cause == CAUSE_TLS_FAILED || move->cause == CAUSE_TLS_UNTRUSTED)
        say_why(&line, net->worker->tls_why);
    field_number(&line, "connection", net->core.counters.connections);
    if (move->cause != CAUSE_NONE && actions->close_rule >= 0) {
        say(&line, ", by close_rules[%d]", actions->close_rule);
        field_number(&line, "rule", (uint64_t)actions->close_rule);
    }
    if (move->to == SESSION_WAITING) {
        say(&line, ", next attempt in %" PRIu64 " ms", actions->delay_ms);
        field_number(&line, "delay_ms", actions->delay_ms);
    }
    if (actions->repeats > 0) {
        say(&line, ", sending %" PRIu32 " again", actions->repeats);
        field_number(&line, "repeats", actions->repeats);
    }
    line_end(&line, net->worker, level, "move");
}

void report_last_good(const struct net_session *net, const char *host, const char *cause,
                      const char *why)
{
    struct line line;
    line_begin(&line, net);
    say(&line, "%s could not be looked up (%s: %s): trying the addresses that worked last", host,
        cause, why);
    field_text(&line, "host", host);
    field_text(&line, "cause", cause);
    field_text(&line, "why", why);
    line_end(&line, net->worker, LOG_WARNING, "last-good");
}

void report_proxy_refused(const struct net_session *net, const char *why, unsigned http_status)
{
    struct line line;
    char place[URL_HOST_BYTES_MAX + 9];
    const struct proxy *proxy = &net->config->upstream.proxy;
    url_place(proxy->host, proxy->host_is_ipv6, proxy->port, place);
    line_begin(&line, net);
    say(&line, "proxy %s: %s", place, why);
    field_text(&line, "proxy", place);
    field_text(&line, "why", why);
    if (http_status > 0) {
        say(&line, " (%u)", http_status);
        field_number(&line, "http_status", http_status);
    }
    line_end(&line, net->worker, LOG_WARNING, "proxy-refused");
}

void report_given_up(const struct net_session *net, const struct session_actions *actions)
{
    struct line line;
    const char *cause = cause_name(actions->given_up_cause);
    /* When we stop, nobody comes back for them. */
    bool is_final = actions->given_up_cause == CAUSE_SHUTDOWN;
    line_begin(&line, net);
    say(&line, "gave up %" PRIu32 " message%s, %" PRIu64 " bytes (%s)", actions->given_up_count,
        actions->given_up_count == 1 ? "" : "s", actions->given_up_bytes, cause);
    field_text(&line, "cause", cause);
    field_number(&line, "count", actions->given_up_count);
    field_number(&line, "bytes", actions->given_up_bytes);
    line_end(&line, net->worker, is_final ? LOG_ERROR : LOG_WARNING, "given-up");
}

void report_left_behind(const struct net_session *net)
{
    const struct client_kept *kept = net->client.kept;
    bool has_message = client_kept_has_message(kept);
    if (!net->is_begun)
        return;
    const struct session_actions actions = {
        .given_up_cause = CAUSE_SHUTDOWN,
        .given_up_count = net->core.outbox.entry_count + has_message,
        .given_up_bytes = net->core.outbox.payload_bytes + (has_message ? kept->payload_bytes : 0)};
    if (actions.given_up_count > 0)
        report_given_up(net, &actions);
}

void report_gap(const struct net_session *net, uint64_t gap_ms)
{
    struct line line;
    line_begin(&line, net);
    say(&line, "anything that the upstream sent during the last %" PRIu64 " ms is lost", gap_ms);
    field_number(&line, "gap_ms", gap_ms);
    line_end(&line, net->worker, LOG_INFO, "gap");
}

void report_pong_unsupported(const struct net_session *net)
{
    struct line line;
    bool goes_on = net->config->session.without_pong == WITHOUT_PONG_SENT;
    line_begin(&line, net);
    say(&line, "the upstream has never answered a Ping: %s",
        goes_on ? "from now on what was sent counts as delivered" : "the session ends");
    field_text(&line, "cause", cause_name(CAUSE_PONG_UNSUPPORTED));
    line_end(&line, net->worker, LOG_WARNING, "pong-unsupported");
}

static void say_path(struct line *line, const char *path)
{
    line->used = log_escape(line->sentence, line->used, sizeof(line->sentence), path, strlen(path));
    field_text(line, "path", path);
}

void report_secret_unreadable(const struct net_session *net, const char *path, const char *why)
{
    struct line line;
    line_begin(&line, net);
    say(&line, "secret file ");
    say_path(&line, path);
    say(&line, " %s", why);
    field_text(&line, "why", why);
    line_end(&line, net->worker, LOG_WARNING, "secret-unreadable");
}

void report_secret_changed(const struct net_session *net, const char *path)
{
    struct line line;
    line_begin(&line, net);
    say(&line, "secret file ");
    say_path(&line, path);
    say(&line, " has changed");
    line_end(&line, net->worker, LOG_INFO, "secret-changed");
}

void report_mutual_stall(const struct net_session *net)
{
    struct line line;
    line_begin(&line, net);
    say(&line, "client and upstream both wait for the other to read: the client is closed");
    field_text(&line, "cause", cause_name(CAUSE_MUTUAL_STALL));
    line_end(&line, net->worker, LOG_WARNING, "mutual-stall");
}

void report_client_paused(const struct net_session *net, uint64_t paused_ms)
{
    struct line line;
    line_begin(&line, net);
    say(&line, "no room for the client's messages: not read since %" PRIu64 " ms", paused_ms);
    field_number(&line, "paused_ms", paused_ms);
    field_number(&line, "outbox_messages", net->core.outbox.entry_count);
    field_number(&line, "outbox_bytes", net->core.outbox.payload_bytes);
    line_end(&line, net->worker, LOG_WARNING, "client-paused");
}

void report_client_close(const struct net_session *net, const struct close_frame *close)
{
    struct line line;
    line_begin(&line, net);
    say(&line, "closing the client (%s)", cause_name(net->core.client_cause));
    field_text(&line, "cause", cause_name(net->core.client_cause));
    say_close(&line, close);
    line_end(&line, net->worker, LOG_INFO, "client-close");
}

void report_session_end(const struct net_session *net, enum cause cause)
{
    struct line line;
    const struct session_counters *counters = &net->core.counters;
    line_begin(&line, net);
    say(&line,
        "session ended (%s): %" PRIu64 " sent, %" PRIu64 " received, %" PRIu64 " repeated, %" PRIu64
        " given up",
        cause_name(cause), counters->sent, counters->received, counters->repeated,
        counters->given_up);
    field_text(&line, "cause", cause_name(cause));
    field_number(&line, "sent", counters->sent);
    field_number(&line, "received", counters->received);
    field_number(&line, "repeated", counters->repeated);
    field_number(&line, "given_up", counters->given_up);
    line_end(&line, net->worker, LOG_INFO, "session-end");
}

/* A refusal as such; who it was is added by those who know. */
static void begin_refused(struct line *line, const char *name, unsigned status, const char *why)
{
    line->used = 0;
    line->field_count = 0;
    say(line, "%s: refused a client with %u (%s)", name, status, why);
    field_text(line, "link", name);
    field_number(line, "status", status);
    field_text(line, "why", why);
}

void report_client_refused(const struct net_session *net, unsigned status, const char *why,
                           struct http_text shown)
{
    struct line line;
    uid_t uid;
    begin_refused(&line, net->config->name, status, why);
    if (shown.at) {
        size_t bytes = shown.bytes < SHOWN_BYTES_MAX ? shown.bytes : SHOWN_BYTES_MAX;
        say(&line, ": \"");
        line.used = log_escape(line.sentence, line.used, sizeof(line.sentence), shown.at, bytes);
        say(&line, "\"");
        line.fields[line.field_count++] = log_bytes("shown", shown.at, bytes);
    }
    if (conn_peer_user(&net->client.conn, &uid)) {
        say(&line, ", uid %" PRIu64, (uint64_t)uid);
        field_number(&line, "uid", uid);
    }
    line_end(&line, net->worker, LOG_WARNING, "client-refused");
}

void report_client_turned_away(struct worker *worker, const char *link_name, unsigned status,
                               const char *why)
{
    struct line line;
    begin_refused(&line, link_name, status, why);
    line_end(&line, worker, LOG_WARNING, "client-refused");
}

void report_begun(const struct net_session *net)
{
    struct line line;
    if (!log_is_on(net->worker->log, LOG_DEBUG))
        return;
    line_begin(&line, net);
    say(&line, "on worker %u", net->worker->index);
    field_number(&line, "worker", net->worker->index);
    line_end(&line, net->worker, LOG_DEBUG, "begun");
}

void report_client_tls_failed(const struct net_session *net, const char *why)
{
    struct line line = {0};
    const char *name = net->config->name;
    say(&line, "%s: refused a client, its TLS handshake failed", name);
    field_text(&line, "link", name);
    say_why(&line, why);
    line_end(&line, net->worker, LOG_WARNING, "client-tls-failed");
}

void report_client_left(const struct net_session *net, const char *why)
{
    struct line line = {0};
    const char *name = net->config->name;
    say(&line, "%s: a client left before its request was whole", name);
    field_text(&line, "link", name);
    if (why)
        say_why(&line, why);
    line_end(&line, net->worker, LOG_DEBUG, "client-left");
}

void report_secured(const struct net_session *net)
{
    struct line line;
    if (!log_is_on(net->worker->log, LOG_DEBUG))
        return;
    const struct conn_tls_terms terms = conn_tls_terms(net->upstream.conn.tls);
    line_begin(&line, net);
    say(&line, "%s with %s, %s", terms.version, terms.cipher,
        terms.was_resumed ? "a resumed session" : "a new session");
    field_text(&line, "tls_version", terms.version);
    field_text(&line, "tls_cipher", terms.cipher);
    field_text(&line, "tls_session", terms.was_resumed ? "resumed" : "new");
    line_end(&line, net->worker, LOG_DEBUG, "secured");
}

void report_unverified(const struct link *link)
{
    struct line line = {0};
    say(&line,
        "%s: the upstream's certificate is not checked (upstream.tls.verify: false): anybody on "
        "the way to it can read and change everything",
        link->config->name);
    field_text(&line, "link", link->config->name);
    line_end(&line, link->worker, LOG_WARNING, "tls-unverified");
}

void report_idle_close(const struct net_session *net, uint32_t count)
{
    static const char rule[] = "close_rules: [{code: 1000, then: reconnect}]";
    struct line line = {0};
    say(&line,
        "%s: the upstream ended another quiet session with 1000; if it only cuts idle clients, "
        "add %s",
        net->config->name, rule);
    field_text(&line, "link", net->config->name);
    field_number(&line, "count", count);
    field_text(&line, "rule", rule);
    line_end(&line, net->worker, LOG_WARNING, "idle-close");
}
