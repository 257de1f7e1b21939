/* The application behind the local socket: what it sends, and what it has a right to see. */
#ifndef WSKEEP_SIM_CLIENT_H
#define WSKEEP_SIM_CLIENT_H

#include "pipe.h"
#include "plan.h"

struct world;

struct client {
    struct pipe in;    /* from the application to wskeepd */
    struct pipe out;   /* from wskeepd to the application */
    uint64_t burst_ms; /* the next burst */
    uint64_t offered;  /* messages written into its socket so far */
    uint64_t ending_ms;
    uint64_t sip_ms;      /* the next one; PIPE_NEVER */
    uint64_t last_number; /* of the messages that came, from last_source */
    uint32_t last_source;
    uint32_t gaps_seen;
    uint32_t received;
    uint16_t close_code; /* that came */
    bool answered;       /* the handshake: 101 */
    bool refused;        /* or another status */
    bool frozen;
    bool vanished;
    bool left;     /* closed its socket */
    bool deserted; /* and did so without waiting for an answer */
    bool close_sent;
    bool close_came;
    bool end_came; /* EOF */
};

void client_open(struct world *world);
uint64_t client_due_ms(const struct world *world);

/* Something arrived, or something is due. */
void client_run(struct world *world);

/* It thaws, reads everything, and sends no more. */
void client_calm(struct world *world);

/* The world's last move: the client that stayed goes. */
void client_finish(struct world *world, enum plan_ending how);

#endif
