/*
 * Is the other end of one connection alive?  Either side's: the upstream's and the client's.
 *
 * A Ping goes out when nothing was sent, or nothing was received, for `interval`.  The peer is
 * dead when nothing arrives for `timeout` after its TCP acknowledged the Ping's last byte, plus
 * 1 s for each 64 KiB that was sent behind what the last Pong answers.  Until then what its TCP
 * acknowledges is life: a 16 MiB message on a slow link is not a dead link.
 */
#ifndef WSKEEP_CORE_HEARTBEAT_H
#define WSKEEP_CORE_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/settings.h"

enum heartbeat_verdict {
    HEARTBEAT_FINE,
    HEARTBEAT_PING,   /* send a Ping now */
    HEARTBEAT_PROBE,  /* ask TCP how far it got, and call heartbeat_tcp() */
    HEARTBEAT_DEAD,   /* heartbeat-timeout */
    HEARTBEAT_STALLED /* send-stalled: alive for all we know, but its window stays closed */
};

struct heartbeat {
    uint64_t sent_ms;          /* the last time something was handed to the kernel */
    uint64_t received_ms;      /* the last time something arrived */
    uint64_t ping_ms;          /* when the Ping was sent that nothing has answered; 0: none */
    uint64_t ping_end_offset;  /* stream offset after it */
    uint64_t last_ping_ms;     /* when the newest Ping was sent */
    uint64_t judged_from_ms;   /* its last byte was acknowledged by TCP, or judging was restarted;
                                  0: not yet */
    uint64_t written_offset;   /* of the stream, with the kernel */
    uint64_t acked_offset;     /* of the stream, acknowledged by the peer's TCP when last asked */
    uint64_t progress_ms;      /* the last time acked_offset moved, or nothing was outstanding */
    uint64_t probe_ms;         /* the last time TCP was asked, or there was nothing to ask */
    uint64_t pong_offset : 62; /* the peer had read up to here when it sent its last Pong */
    bool in_flight : 1;        /* when last asked, bytes were on their way (tcpi_unacked > 0);
                                  fresh ones are, until TCP says otherwise */
    bool reading : 1;          /* false: we do not read, and judge nobody */
};

void heartbeat_start(struct heartbeat *heartbeat, uint64_t now_ms);

/* The kernel has taken the stream up to written_offset. */
void heartbeat_written(struct heartbeat *heartbeat, uint64_t written_offset, uint64_t now_ms);

/* A Ping was encoded; its last byte is at end_offset. */
void heartbeat_pinged(struct heartbeat *heartbeat, uint64_t end_offset, uint64_t now_ms);

/* Bytes arrived, whatever they are. */
void heartbeat_received(struct heartbeat *heartbeat, uint64_t now_ms);

/* A Pong arrived: the allowance is for the bytes behind pinged_offset from now on.  That is where
 * the Ping ended which it answers, or written_offset when it answers none that is known. */
void heartbeat_ponged(struct heartbeat *heartbeat, uint64_t pinged_offset);

/* What TCP says: stream bytes acknowledged (written minus SIOCOUTQ), and whether any segment is
 * in flight (tcpi_unacked > 0). */
void heartbeat_tcp(struct heartbeat *heartbeat, uint64_t acked_offset, bool in_flight,
                   uint64_t now_ms);

/* Reading stopped, or goes on; deadlines restart in full when it goes on. */
void heartbeat_set_reading(struct heartbeat *heartbeat, bool reading, uint64_t now_ms);

/* We did not run (stopped, or the machine slept): deadlines restart in full. */
void heartbeat_restart(struct heartbeat *heartbeat, uint64_t now_ms);

/* 1 s for each 64 KiB sent behind what the last Pong answers. */
uint64_t heartbeat_allowance_ms(const struct heartbeat *heartbeat);

/*
 * What to do now.  Ask again after doing it, until HEARTBEAT_FINE.  A verdict on bytes that TCP
 * does not get through is only given on TCP's word of this same now_ms: a probe comes first.
 */
enum heartbeat_verdict heartbeat_judge(const struct heartbeat *heartbeat,
                                       const struct heartbeat_settings *settings, uint64_t now_ms);

/* When heartbeat_judge() may next say something else; SETTINGS_NEVER when only an event can. */
uint64_t heartbeat_deadline_ms(const struct heartbeat *heartbeat,
                               const struct heartbeat_settings *settings);

#endif
