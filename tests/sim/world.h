/* One schedule: a session, the machine under it, and both peers. */
#ifndef WSKEEP_SIM_WORLD_H
#define WSKEEP_SIM_WORLD_H

#include "chance.h"
#include "client.h"
#include "core/session.h"
#include "host.h"
#include "ledger.h"
#include "pipe.h"
#include "plan.h"
#include "server.h"
#include "tally.h"

enum {
    WORLD_CONN_COUNT = 6, /* the current one, and old ones that still pass something */
    WORLD_PAYLOAD_BYTES_MAX = 16 << 20,
    WORLD_OLD_PING_COUNT = 16,
    WORLD_PUSH_COUNT_MAX = 700
};

/* One upstream TCP connection.  It outlives its place in the session. */
struct conn {
    bool used;
    uint32_t number;
    struct pipe up;   /* from wskeepd to the server */
    struct pipe down; /* from the server to wskeepd */
    struct server server;

    bool write_failed;
    bool timed_out;         /* the kernel gave up retransmitting */
    uint64_t last_read;     /* the message that its server has read last */
    uint64_t sent_sequence; /* the last message that went out */
    uint64_t next_sequence; /* the next message that may go out */
    bool replays;           /* the outbox was not empty when it opened */
    uint64_t acked_count;   /* messages acknowledged on it */
    uint64_t pinged_ms;     /* the last Ping; daemon's clock; 0: none */
    uint64_t sent_count;    /* messages sent on it ... */
    uint64_t sent_bytes;    /* ... and their payload */
    uint64_t ponged_count;  /* what its Pongs have acknowledged of that */
    uint64_t ponged_bytes;
    uint64_t life_end;      /* of the first Ping since anything was read, in the stream; 0: none */
    uint64_t life_acked_ms; /* when TCP had acknowledged it; daemon's clock; 0: not yet */
    uint64_t encoded_ms;    /* the last message; daemon's clock */
    uint64_t ponged_ms;     /* the last Pong that matched; 0: none */
    uint64_t ponged_offset; /* in the stream: what the last Pong answers */
    bool blameless;         /* its server has read and answered all the time */
    uint64_t ping_first, ping_next; /* Pings that nothing has answered, by index */
    struct {
        uint8_t body[16];
        uint64_t sequence; /* of the last message before it */
        uint64_t sent_count, sent_bytes;
        uint64_t end;      /* in the stream */
        uint64_t acked_ms; /* when TCP had acknowledged it; daemon's clock; 0: not yet */
    } pings[LEDGER_PING_COUNT];
    uint64_t ends[LEDGER_MESSAGE_COUNT + 2]; /* of the frame of each sequence; 0: not encoded */
};

struct world {
    struct chance chance;
    struct chance core_chance;
    struct random_source random; /* core_chance, for core */
    struct chance wake_chance;
    struct plan plan;
    uint64_t seed;
    uint64_t now_ms;  /* real time */
    uint64_t skew_ms; /* the daemon's clock is ahead by so much */
    uint64_t stop_ms; /* the next time that it does not run */
    uint64_t others_ms;
    uint64_t others_bytes; /* that other sessions hold of the budget */
    uint64_t inbox_budget; /* what the inbox holds of it */
    uint32_t stops_left;
    uint32_t conn_number;
    uint32_t turns;
    uint32_t pushed_count; /* messages from all servers */
    bool calm;
    bool short_lives; /* in the calm */
    uint32_t short_left;
    bool session_lives;
    bool verbose;
    bool failed;
    char why[400];
    char close_text[128]; /* the reason of the Close that the client got */
    struct tally *tally;
    uint8_t *payload; /* WORLD_PAYLOAD_BYTES_MAX bytes */
    struct budget budget;
    struct session session;
    struct host host;
    struct client client;
    struct ledger ledger;
    struct conn conns[WORLD_CONN_COUNT];
    uint32_t old_ping_count;
    uint8_t old_pings[WORLD_OLD_PING_COUNT][16]; /* of earlier connections */
};

/* Run the whole schedule.  False: a promise was broken; world->why says which. */
bool world_run(struct world *world, uint64_t seed);

/* ---- for its parts */

/* The daemon's CLOCK_BOOTTIME. */
static inline uint64_t world_clock_ms(const struct world *world)
{
    return world->now_ms + world->skew_ms;
}

struct conn *world_new_conn(struct world *world);

/* The first failure counts; the schedule ends there. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

void world_log_line(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define world_log(world, ...)                                                                      \
    do {                                                                                           \
        if ((world)->verbose)                                                                      \
            world_log_line((world), __VA_ARGS__);                                                  \
    } while (0)

#define world_expect(world, condition, ...)                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            world_fail((world), __VA_ARGS__);                                                      \
    } while (0)

static inline void world_count(struct world *world, enum tally_branch branch)
{
    world->tally->branches[branch]++;
}

/* A message's payload says which one it is, at both its ends. */
void world_payload_stamp(struct world *world, uint64_t number, uint32_t bytes);
bool world_payload_is(const uint8_t *payload, uint64_t number, uint32_t bytes);

#endif
