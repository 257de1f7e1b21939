/*
 * What an open client is sent: messages, Pings, Pongs and one Close, through the worker's gather.
 *
 * The inbox is what of it the kernel has not taken yet.
 */
#ifndef WSKEEP_NET_CLIENT_SEND_H
#define WSKEEP_NET_CLIENT_SEND_H

#include "net/late_pong.h"
#include "proto/message.h"

struct net_session;

/*
 * Hand over a message from upstream.  frame: its bytes on the wire, when they are whole in the
 * receive buffer and stay until gather_flush(); NULL otherwise.
 */
void client_send_message(struct net_session *net, const struct message *message,
                         const uint8_t *frame, size_t frame_bytes);

/* A text message of our own. */
void client_send_text(struct net_session *net, const char *text);

/* Its heartbeat. */
void client_send_ping(struct net_session *net);

/* While earlier bytes are unsent only the newest Ping is answered (RFC 6455 section 5.5.3). */
void client_send_pong(struct net_session *net, const uint8_t *payload, size_t payload_bytes);

/* Once. */
void client_send_close(struct net_session *net, const struct close_frame *close);

/* The end of a turn: the Pong that waited, and all that was gathered, leave. */
void client_send_turn(struct net_session *net);

/* Core learns how much waits. */
void client_send_report(struct net_session *net);

#endif
