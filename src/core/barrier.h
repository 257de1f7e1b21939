/*
 * The Pings in flight on one upstream connection, and what each one's Pong acknowledges.
 *
 * A Ping carries 8 random bytes of its connection and the sequence of the last complete message
 * before it.  TCP and RFC 6455 keep order, so the matching Pong (5.5.3) shows that the server's
 * endpoint has read everything up to there.  Any other Pong is a sign of life and nothing else.
 */
#ifndef WSKEEP_CORE_BARRIER_H
#define WSKEEP_CORE_BARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BARRIER_PING_COUNT_MAX = 4, BARRIER_PAYLOAD_BYTES = 16 };

struct barrier_ping {
    uint64_t sequence;   /* all up to here come before it */
    uint64_t sent_bytes; /* payload of all messages before it, on this connection */
    uint64_t end_offset; /* of its last byte in the connection's stream; 0 until encoded */
    uint64_t sent_ms;
    uint64_t judged_from_ms; /* when the peer's TCP acknowledged it (or we began to read again);
                                0 while it has not */
};

struct barrier {
    uint8_t nonce[8];
    struct barrier_ping oldest; /* in flight, when ping_count is not 0 */
    struct barrier_ping *later; /* those after it; NULL when there are none, which is most times */
    uint64_t last_sent_ms;      /* of the newest Ping; 0 before the first */

    /* Of this connection's messages, also of those that have left the outbox since
     * (`overflow: drop-oldest`): the server may still have to read them. */
    uint64_t sent_sequence;  /* of the newest that was sent */
    uint64_t sent_bytes;     /* payload */
    uint64_t acked_sequence; /* what Pongs have acknowledged of it */
    uint64_t acked_bytes;
    uint64_t acked_offset : 61; /* in the stream: after the newest Ping that was answered */
    unsigned ping_count : 3;
};

/* The Pings in flight, oldest first. */
static inline const struct barrier_ping *barrier_ping(const struct barrier *barrier, unsigned index)
{
    return index == 0 ? &barrier->oldest : &barrier->later[index - 1];
}

/* A new connection: no Ping in flight.  nonce is 8 random bytes, sequence the one before the first
 * message that will be sent.  All zero before the first one. */
void barrier_start(struct barrier *barrier, const uint8_t nonce[8], uint64_t sequence);

/* Give back all memory: no Ping is in flight. */
void barrier_clear(struct barrier *barrier);

/* A message is sent now. */
void barrier_message(struct barrier *barrier, uint64_t sequence, size_t payload_bytes);

/*
 * A Ping is sent now, behind the newest message.  Fills payload.  When BARRIER_PING_COUNT_MAX are
 * in flight the second oldest gives up its place: the oldest still times the acknowledgement.
 *
 * False when there is no memory to remember it: it must not be sent.  That only happens to one that
 * follows another, whose Pong is owed: the next may be tried when it would follow this one.
 */
bool barrier_send(struct barrier *barrier, uint64_t now_ms, uint8_t payload[BARRIER_PAYLOAD_BYTES]);

/* The oldest Ping in flight is of no use any more: its Pong would only be a sign of life. */
void barrier_forget_oldest(struct barrier *barrier);

/* The newest Ping was encoded up to end_offset. */
void barrier_encoded(struct barrier *barrier, uint64_t end_offset);

/*
 * A Pong came.  True when it answers a Ping in flight: it and all earlier ones are retired,
 * *sequence is what it acknowledges and *rtt_ms how long it took.  Later ones are judged from now.
 */
bool barrier_pong(struct barrier *barrier, const uint8_t *payload, size_t payload_bytes,
                  uint64_t now_ms, uint64_t *sequence, uint64_t *rtt_ms);

/* The peer's TCP has acknowledged the stream up to acked_offset. */
void barrier_tcp(struct barrier *barrier, uint64_t acked_offset, uint64_t now_ms);

/* Messages were sent that no Pong has acknowledged. */
static inline bool barrier_has_unacknowledged(const struct barrier *barrier)
{
    return barrier->sent_sequence > barrier->acked_sequence;
}

static inline uint64_t barrier_unacknowledged_bytes(const struct barrier *barrier)
{
    return barrier->sent_bytes - barrier->acked_bytes;
}

/* A Ping behind a message that no Pong has acknowledged: its own Pong is owed. */
static inline bool barrier_is_owed(const struct barrier *barrier, const struct barrier_ping *ping)
{
    return ping->sequence > barrier->acked_sequence;
}

/* We did not read or run, or a Pong came: what the peer's TCP has acknowledged is judged from now
 * on. */
void barrier_restart(struct barrier *barrier, uint64_t now_ms);

#endif
