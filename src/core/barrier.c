/* Pings in flight, and what their Pongs acknowledge. */
#include "core/barrier.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* As wide as they are kept: no stream comes so far, and there are no more Pings. */
#define OFFSET_MAX (UINT64_MAX >> 3)
#define PING_COUNT_MASK 7u
_Static_assert(BARRIER_PING_COUNT_MAX <= PING_COUNT_MASK, "it fits");

static struct barrier_ping *ping_at(struct barrier *barrier, unsigned index)
{
    return index == 0 ? &barrier->oldest : &barrier->later[index - 1];
}

void barrier_clear(struct barrier *barrier)
{
    free(barrier->later);
    barrier->later = NULL;
    barrier->ping_count = 0;
}

void barrier_start(struct barrier *barrier, const uint8_t nonce[8], uint64_t sequence)
{
    barrier_clear(barrier);
    *barrier = (struct barrier){.sent_sequence = sequence, .acked_sequence = sequence};
    memcpy(barrier->nonce, nonce, sizeof barrier->nonce);
}

void barrier_message(struct barrier *barrier, uint64_t sequence, size_t payload_bytes)
{
    assert(sequence > barrier->sent_sequence);
    barrier->sent_sequence = sequence;
    barrier->sent_bytes += payload_bytes;
}

static uint64_t at_least_one(uint64_t now_ms)
{
    return now_ms > 0 ? now_ms : 1; /* 0 means: not yet */
}

/* 8 bytes of this connection, then the sequence in network order. */
static void barrier_payload(const struct barrier *barrier, uint64_t sequence,
                            uint8_t payload[BARRIER_PAYLOAD_BYTES])
{
    memcpy(payload, barrier->nonce, sizeof barrier->nonce);
    for (unsigned i = 0; i < 8; i++)
        payload[8 + i] = (uint8_t)(sequence >> (56 - 8 * i));
}

/* count Pings from index on leave; those after them move up. */
static void barrier_remove(struct barrier *barrier, unsigned index, unsigned count)
{
    for (unsigned i = index; i + count < barrier->ping_count; i++)
        *ping_at(barrier, i) = *ping_at(barrier, i + count);
    barrier->ping_count = (barrier->ping_count - count) & PING_COUNT_MASK;
    if (barrier->ping_count > 1)
        return;
    free(barrier->later);
    barrier->later = NULL;
}

void barrier_forget_oldest(struct barrier *barrier)
{
    assert(barrier->ping_count > 0);
    barrier_remove(barrier, 0, 1);
}

bool barrier_send(struct barrier *barrier, uint64_t now_ms, uint8_t payload[BARRIER_PAYLOAD_BYTES])
{
    barrier->last_sent_ms = at_least_one(now_ms);
    if (barrier->ping_count == BARRIER_PING_COUNT_MAX)
        barrier_remove(barrier, 1, 1); /* the oldest still times the acknowledgement */
    if (barrier->ping_count > 0 && !barrier->later)
        barrier->later = malloc((BARRIER_PING_COUNT_MAX - 1) * sizeof *barrier->later);
    if (barrier->ping_count > 0 && !barrier->later) {
        if (barrier_is_owed(barrier, &barrier->oldest))
            return false;
        barrier_remove(barrier, 0, 1); /* its Pong would acknowledge nothing */
    }
    *ping_at(barrier, barrier->ping_count++) = (struct barrier_ping){
        .sequence = barrier->sent_sequence, .sent_bytes = barrier->sent_bytes, .sent_ms = now_ms};
    barrier_payload(barrier, barrier->sent_sequence, payload);
    return true;
}

void barrier_encoded(struct barrier *barrier, uint64_t end_offset)
{
    assert(barrier->ping_count > 0 && end_offset > 0);
    ping_at(barrier, barrier->ping_count - 1u)->end_offset = end_offset;
}

bool barrier_pong(struct barrier *barrier, const uint8_t *payload, size_t payload_bytes,
                  uint64_t now_ms, uint64_t *sequence, uint64_t *rtt_ms)
{
    uint8_t expected[BARRIER_PAYLOAD_BYTES];
    if (payload_bytes != sizeof expected)
        return false;
    /* Newest first: of two with the same payload the later one is what 5.5.3 lets a peer answer. */
    for (unsigned i = barrier->ping_count; i-- > 0;) {
        const struct barrier_ping *ping = barrier_ping(barrier, i);
        barrier_payload(barrier, ping->sequence, expected);
        if (memcmp(payload, expected, sizeof expected) != 0)
            continue;
        *sequence = ping->sequence;
        *rtt_ms = now_ms - ping->sent_ms;
        barrier->acked_sequence = ping->sequence;
        barrier->acked_bytes = ping->sent_bytes;
        barrier->acked_offset = ping->end_offset & OFFSET_MAX;
        barrier_remove(barrier, 0, i + 1);
        barrier_restart(barrier, now_ms); /* it reads: the next Pong has its time from now on */
        return true;
    }
    return false;
}

void barrier_tcp(struct barrier *barrier, uint64_t acked_offset, uint64_t now_ms)
{
    for (unsigned i = 0; i < barrier->ping_count; i++) {
        struct barrier_ping *ping = ping_at(barrier, i);
        if (ping->judged_from_ms == 0 && ping->end_offset != 0 && acked_offset >= ping->end_offset)
            ping->judged_from_ms = at_least_one(now_ms);
    }
}

void barrier_restart(struct barrier *barrier, uint64_t now_ms)
{
    for (unsigned i = 0; i < barrier->ping_count; i++)
        if (ping_at(barrier, i)->judged_from_ms != 0)
            ping_at(barrier, i)->judged_from_ms = at_least_one(now_ms);
}
