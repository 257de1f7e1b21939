/*
 * What sessions and links say in the log: each event once, as fields and as a sentence.
 */
#ifndef WSKEEP_NET_REPORT_H
#define WSKEEP_NET_REPORT_H

#include <stdint.h>

#include "core/session.h"

struct link;
struct net_session;
struct worker;

/* session: open -> waiting, with its cause and what comes next. */
void report_move(const struct net_session *net, const struct session_actions *actions);

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
void report_client_refused(const struct net_session *net, unsigned status, const char *why);

/* Its TLS handshake failed. */
void report_client_tls_failed(const struct net_session *net, const char *why);

/* The upstream's TLS handshake is over. */
void report_secured(const struct net_session *net);

/* Anybody on the way to the upstream could be it: tls.verify is false. */
void report_unverified(const struct link *link);

/* The server ends quiet sessions with 1000 again and again: perhaps it should not end them. */
void report_idle_close(const struct link *link, struct worker *worker);

#endif
