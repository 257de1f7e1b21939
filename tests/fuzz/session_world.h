/*
 * A session between a client and a server, all in memory: what net does with the session, the two
 * handshakes and the two streams of frames, and at both ends somebody who listens and remembers.
 *
 * Bytes of either side may be anything.  Whoever listens knows what must be heard: the client's
 * messages at the server, in order and unchanged; what the server sent at the client; and no
 * message that was taken is ever unaccounted for.
 */
#ifndef WSKEEP_FUZZ_SESSION_WORLD_H
#define WSKEEP_FUZZ_SESSION_WORLD_H

#include "core/session.h"
#include "fuzz.h"
#include "proto/message.h"

enum { WORLD_TAKEN_MAX = 256, WORLD_PENDING_BYTES_MAX = 65536 };

struct world_bytes { /* grows */
    uint8_t *at;
    size_t used;
    size_t room;
};

struct world_message {
    uint8_t *payload;
    size_t bytes;
    enum frame_opcode opcode;
};

enum world_client { WORLD_CLIENT_HEAD, WORLD_CLIENT_WAITING, WORLD_CLIENT_OPEN, WORLD_CLIENT_GONE };

struct world {
    struct session_settings settings;
    struct random_source random;
    struct budget budget;
    struct session session;
    struct fuzz_chance chance;
    uint64_t now_ms;
    bool is_begun; /* the client's handshake was right */
    bool is_over;

    /* The client's side. */
    enum world_client client;
    bool is_offering;       /* the client named subprotocols, and waits for the server's choice */
    bool client_closed;     /* its Close was read */
    bool client_close_sent; /* ours */
    struct close_frame client_close;
    struct world_bytes client_head;
    struct message_reader client_reader;
    struct world_bytes client_rest; /* read, and not taken yet */
    struct world_message kept;      /* for which there was no room; payload NULL: none */
    struct message_reader client_ears;
    uint64_t client_offset; /* of what it was sent */
    uint64_t client_written;
    struct world_message deliver; /* what its ears must hear next; payload NULL: nothing of data */

    /* The server's side. */
    enum session_state stage; /* of the attempt, as far as net knows; SESSION_IDLE: none */
    struct world_bytes upstream_head;
    struct message_reader upstream_reader;
    struct world_bytes upstream_rest; /* arrived while nobody reads */
    struct message_reader server_ears;
    struct world_bytes up;    /* the stream to the server */
    size_t up_written;        /* of it: the kernel took */
    size_t up_heard;          /* the server read */
    bool up_ended;            /* our Close is in it */
    bool server_hears_rest;   /* what was written before the end reaches the server */
    struct world_bytes pongs; /* of the server, on their way to us */
    uint64_t heard_next;      /* the message that comes next on this connection */
    uint64_t heard_count;     /* of messages that some connection brought to the server */

    /* Where everything is. */
    struct world_message taken[WORLD_TAKEN_MAX];
    uint64_t taken_count;
    uint64_t refused_count; /* given up without having been taken */
};

void world_init(struct world *world, unsigned flags, unsigned more_flags,
                struct fuzz_chance chance);
void world_clear(struct world *world);

/* Bytes come from the client; from the server. */
void world_client_sends(struct world *world, const uint8_t *data, size_t bytes);
void world_server_sends(struct world *world, const uint8_t *data, size_t bytes);

/* One frame, as that side must write it. */
void world_client_frame(struct world *world, unsigned first, const void *payload, size_t bytes);
void world_server_frame(struct world *world, unsigned first, const void *payload, size_t bytes);

/* The handshakes as they should be. */
void world_client_asks(struct world *world, unsigned variant);
void world_server_answers(struct world *world, unsigned variant);

/* The attempt comes one step further: resolved, connected, ... */
void world_attempt_goes_on(struct world *world, bool by_proxy, bool by_tls);

void world_client_is_lost(struct world *world);
void world_server_is_lost(struct world *world, enum cause cause);

/* The kernel takes, the server reads, its Pongs come back, the client reads: so many bytes. */
void world_kernel_takes(struct world *world, size_t bytes);
void world_server_reads(struct world *world, size_t bytes);
void world_pongs_arrive(struct world *world);
void world_client_reads(struct world *world, size_t bytes);

/* TCP says that so much of what was written has arrived. */
void world_tcp_says(struct world *world, size_t bytes);

void world_time_passes(struct world *world, uint64_t ms);
void world_next_deadline(struct world *world);
void world_shutdown(struct world *world);

/* The end of a turn of the loop. */
void world_turn(struct world *world);

#endif
