/* An attempt of the upstream. */
#include "net/upstream_attempt.h"

#include <string.h>

#include "config/config.h"
#include "net/link.h"
#include "net/relay.h"
#include "net/report.h"
#include "net/upstream_private.h"

/* ---- where the server is ------------------------------------------------------------------- */

static void connected(struct net_session *net);

/* Connected to one of the addresses, or to none. */
static void on_raced(void *argument, int fd, size_t index)
{
    struct net_session *net = argument;
    struct upstream *upstream = &net->upstream;
    struct dial *dial = upstream->dial;
    if (fd < 0) {
        upstream_lose(net, dial_cause(dial));
    } else {
        last_good_remember(&net->link->last_good, dial->lookup.host, dial->lookup.port,
                           dial->lookup.addresses, index);
        upstream_take_socket(net, fd);
        connected(net);
    }
    relay_touch(net);
}

/* The addresses are known, or will not be. */
static void looked_up(struct net_session *net)
{
    struct session_actions actions;
    struct dial *dial = net->upstream.dial;
    struct lookup *lookup = &dial->lookup;
    if (!lookup->addresses) {
        upstream_lose(net, lookup->cause);
        return;
    }
    if (lookup->is_last_good)
        report_last_good(net, lookup->host, cause_name(lookup->cause), lookup->why);
    session_upstream_resolved(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
    if (net->upstream.stage != UPSTREAM_RESOLVING)
        return;
    net->upstream.stage = UPSTREAM_CONNECTING;
    struct address good;
    bool has_good = last_good_find(&net->link->last_good, lookup->host, lookup->port, NULL, &good);
    if (!race_begin(&dial->race, net->worker, lookup->addresses, has_good ? &good : NULL, on_raced,
                    net))
        upstream_lose(net, dial_cause(dial));
}

static void on_looked_up(void *argument)
{
    struct net_session *net = argument;
    looked_up(net);
    relay_touch(net);
}

/* An attempt uses the newest settings of its link.  False: they are the same as before. */
static bool use_newest_config(struct net_session *net)
{
    struct link_config *old = net->config;
    link_hold_newest(net->link, &net->config, &net->upstream.tls);
    bool is_new = net->config != old;
    if (is_new)
        session_use_settings(&net->core, &net->config->session);
    link_config_release(old);
    return is_new;
}

/*
 * The first url after a connection that was worth it, else the next one: a connection that breaks
 * at once counts as an attempt that failed.
 */
static void choose_url(struct net_session *net, bool is_new_list)
{
    struct upstream *upstream = &net->upstream;
    const struct session *core = &net->core;
    bool was_kept = upstream->has_opened && (core->moved || core->lost_ms - core->open_ms >=
                                                                core->settings->stable_after_ms);
    if (is_new_list || !upstream->has_begun || was_kept)
        upstream->url_index = 0;
    else
        upstream->url_index = (upstream->url_index + 1) % (unsigned)net->config->upstream.url_count;
    upstream->has_begun = true;
    upstream->has_opened = false;
}

/* Target and headers are there: where is the server? */
static void look_up(struct net_session *net)
{
    struct upstream *upstream = &net->upstream;
    const struct url *url = upstream_url(net);
    const struct proxy *proxy = &net->config->upstream.proxy;
    bool is_direct = proxy->kind == PROXY_NONE; /* else it is the proxy that looks url up */
    upstream->stage = UPSTREAM_RESOLVING;
    upstream->dial = dial_new();
    if (!upstream->dial) {
        upstream_lose(net, CAUSE_NO_RESOURCES);
        return;
    }
    if (lookup_begin(&upstream->dial->lookup, net->worker, net->link, &net->link->last_good,
                     is_direct ? url->host : proxy->host, is_direct ? url->port : proxy->port,
                     net->config->session.connect_timeout_ms / 2, on_looked_up,
                     net) != LOOKUP_ASKED)
        looked_up(net);
}

void upstream_attempt_on_fresh(struct net_session *net, enum cause cause)
{
    if (cause != CAUSE_NONE)
        upstream_lose(net, cause);
    else
        look_up(net);
}

void upstream_attempt_begin(struct net_session *net)
{
    choose_url(net, use_newest_config(net));
    net->upstream.stage = UPSTREAM_READING;
    switch (fresh_begin(net)) {
    case FRESH_READY:
        look_up(net);
        return;
    case FRESH_READING:
        return;
    case FRESH_FAILED:
        upstream_lose(net, CAUSE_NO_RESOURCES);
        return;
    }
}

void upstream_attempt_timer(struct net_session *net)
{
    if (net->upstream.stage != UPSTREAM_READING || relay_now(net) < net->core.wait_until_ms)
        return;
    fresh_report_hang(net);
    upstream_lose(net, CAUSE_SECRET_UNREADABLE);
}

/* ---- the way to it ------------------------------------------------------------------------- */

/* The stream to the server stands: ask for the WebSocket. */
static void secured(struct net_session *net)
{
    struct session_actions actions;
    struct upstream *upstream = &net->upstream;
    char *out = (char *)net->worker->send_buffer;
    enum upstream_stage stage = upstream->stage;
    session_upstream_connected(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
    if (upstream->stage != stage)
        return;
    size_t bytes = dial_build_request(net, out, WORKER_SEND_BYTES);
    if (bytes == 0) {
        upstream_lose(net, CAUSE_FAULT); /* configuration and client's offer were checked */
        return;
    }
    upstream->stage = UPSTREAM_UPGRADING;
    conn_write_bytes(&upstream->conn, out, bytes);
    explicit_bzero(out, bytes); /* headers are secrets */
    conn_set_reading(&upstream->conn, true);
}

static void secure(struct net_session *net)
{
    struct session_actions actions;
    struct upstream *upstream = &net->upstream;
    const struct url *url = upstream_url(net);
    enum upstream_stage stage = upstream->stage;
    session_upstream_securing(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
    if (upstream->stage != stage)
        return;
    struct conn_tls *tls =
        conn_tls_new_to_server(net->worker->tls, upstream->tls, url->host, url->port);
    if (!tls) {
        upstream_lose(net, CAUSE_NO_RESOURCES);
        return;
    }
    upstream->stage = UPSTREAM_SECURING;
    conn_secure(&upstream->conn, tls);
    conn_set_reading(&upstream->conn, true);
}

/* The other end of the connection is the server itself. */
static void tunnelled(struct net_session *net)
{
    if (upstream_url(net)->tls)
        secure(net);
    else
        secured(net);
}

bool upstream_attempt_secure(struct net_session *net)
{
    if (!conn_tls_is_ready(net->upstream.conn.tls))
        return false;
    report_secured(net);
    secured(net);
    relay_touch(net);
    return net->upstream.stage == UPSTREAM_UPGRADING;
}

/* Connected, to the server or to its proxy. */
static void connected(struct net_session *net)
{
    struct session_actions actions;
    struct upstream *upstream = &net->upstream;
    if (net->config->upstream.proxy.kind == PROXY_NONE) {
        tunnelled(net);
        return;
    }
    session_upstream_tunnelling(&net->core, relay_now(net), &actions);
    relay_act(net, &actions);
    if (upstream->stage != UPSTREAM_CONNECTING)
        return;
    upstream->stage = UPSTREAM_TUNNELLING;
    if (!tunnel_begin(net)) {
        upstream_lose(net, CAUSE_NO_RESOURCES);
        return;
    }
    conn_set_reading(&upstream->conn, true);
}

/* The proxy said something. */
void upstream_attempt_tunnel(struct net_session *net)
{
    struct tunnel_outcome outcome;
    switch (tunnel_read(net, &outcome)) {
    case TUNNEL_NEED_MORE:
        return;
    case TUNNEL_OPEN:
        conn_set_reading(&net->upstream.conn, false);
        tunnelled(net);
        return;
    case TUNNEL_FAILED:
        upstream_end(net, false);
        if (outcome.why)
            report_proxy_refused(net, outcome.why, outcome.http_status);
        upstream_report_lost(net, outcome.cause, outcome.http_status);
        return;
    }
}

/* ---- the answer ---------------------------------------------------------------------------- */

/* What the upstream chose is what it will choose from the same offer again. */
static void remember_choice(struct net_session *net, const char *chosen)
{
    const struct client_request *request = net->client.request;
    if (request->has_offer && net->config->upstream.subprotocols.count != 1)
        link_remember_choice(net->link, net->config, request->offer, request->offer_bytes, chosen);
}

static void opened(struct net_session *net, const struct dial_outcome *outcome)
{
    struct session_actions actions;
    struct upstream *upstream = &net->upstream;
    struct dial *dial = upstream->dial; /* it holds what came with the head */
    const char *subprotocol = outcome->subprotocol;
    message_reader_init(&upstream->reader, false, &net->config->upstream.limits);
    if (outcome->has_deflate)
        upstream->compression = compression_new(&upstream->reader, &outcome->deflate, false);
    if (outcome->has_deflate && !upstream->compression) {
        upstream_lose(net, CAUSE_NO_RESOURCES); /* the server deflates: it was agreed on */
        return;
    }
    remember_choice(net, subprotocol);
    upstream->dial = NULL;
    fresh_end(net);
    upstream->stage = UPSTREAM_OPEN;
    session_upstream_upgraded(&net->core, *subprotocol ? subprotocol : NULL, relay_now(net),
                              &actions);
    upstream->has_opened =
        net->core.state == SESSION_OPEN; /* else core's times are of the one before */
    relay_act(net, &actions);
    if (upstream->stage == UPSTREAM_OPEN && outcome->rest_bytes > 0)
        upstream_feed(net, outcome->rest, outcome->rest_bytes);
    gather_flush(&net->worker->gather); /* pieces of it may be what dial holds */
    dial_free(dial);
}

void upstream_attempt_received(struct net_session *net, uint8_t *data, size_t bytes)
{
    struct dial_outcome outcome;
    switch (dial_read(net, data, bytes, &outcome)) {
    case DIAL_NEED_MORE:
        return;
    case DIAL_OPEN:
        opened(net, &outcome);
        return;
    case DIAL_FAILED:
        upstream_end(net, false);
        if (outcome.has_retry_after)
            session_retry_after(&net->core, outcome.retry_after_ms, relay_now(net));
        upstream_report_lost(net, outcome.cause, outcome.http_status);
        return;
    }
}
