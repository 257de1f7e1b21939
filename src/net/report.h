/*
 * What sessions and links say in the log: each event once, as fields and as a sentence.
 */
#ifndef WSKEEP_NET_REPORT_H
#define WSKEEP_NET_REPORT_H

#include <stdint.h>

#include "core/session.h"
#include "proto/http_head.h"

struct link;
struct net_session;
struct worker;

enum { REPORT_NAME_BYTES = 96 };

/* "game#12": the session's name in log lines. */
void report_name(const struct net_session *net, char out[REPORT_NAME_BYTES]);

/* session: open -> waiting, with its cause and what comes next. */
void report_move(const struct net_session *net, const struct session_actions *actions);

/* host cannot be looked up, or not in time: the addresses that worked last are tried. */
void report_last_good(const struct net_session *net, const char *host, const char *cause,
                      const char *why);

/* The proxy did not make the tunnel.  http_status: of its answer, 0 when it has none. */
void report_proxy_refused(const struct net_session *net, const char *why, unsigned http_status);

/* Messages that nobody acknowledged were given up. */
void report_given_up(const struct net_session *net, const struct session_actions *actions);

/* We stop at once: what the session still holds is given up, and counted as that. */
void report_left_behind(const struct net_session *net);

void report_gap(const struct net_session *net, uint64_t gap_ms);
void report_pong_unsupported(const struct net_session *net);
void report_mutual_stall(const struct net_session *net);

/* A client is not read since so long, because there is no room for its messages. */
void report_client_paused(const struct net_session *net, uint64_t paused_ms);

/* We close the client while the session goes on. */
void report_client_close(const struct net_session *net, const struct close_frame *close);

void report_session_end(const struct net_session *net, enum cause cause);

/* Whoever connected did not become a client. */
/* shown: what the client wrote that is not allowed; .at NULL: nothing. */
void report_client_refused(const struct net_session *net, unsigned status, const char *why,
                           struct http_text shown);

/* The same, where there was nothing to make it a session of. */
void report_client_turned_away(struct worker *worker, const char *link_name, unsigned status,
                               const char *why);

/* Its handshake was right: which worker serves it. */
void report_begun(const struct net_session *net);

/* Its TLS handshake failed. */
void report_client_tls_failed(const struct net_session *net, const char *why);

/* It left before its request was whole.  why: the error, NULL when it ended as it should. */
void report_client_left(const struct net_session *net, const char *why);

/* The upstream's TLS handshake is over. */
void report_secured(const struct net_session *net);

/* Anybody on the way to the upstream could be it: tls.verify is false. */
void report_unverified(const struct link *link);

/* The server ends quiet sessions with 1000 again and again: perhaps it should not end them. */
void report_idle_close(const struct net_session *net, uint32_t count);

/* A file that an attempt needs cannot be used.  Never what is in it. */
void report_secret_unreadable(const struct net_session *net, const char *path, const char *why);

/* A file whose contents the upstream refused, or which could not be read, is another one now. */
void report_secret_changed(const struct net_session *net, const char *path);

#endif
