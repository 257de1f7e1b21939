/* The far end of one upstream connection: a server's kernel, its WebSocket endpoint, and its fate.
 */
#ifndef WSKEEP_SIM_SERVER_H
#define WSKEEP_SIM_SERVER_H

#include "pipe.h"
#include "plan.h"

enum { SERVER_LATE_COUNT = 8 };

struct world;
struct conn;

struct server_late_pong {
    uint64_t at_ms;
    uint8_t body[16];
};

struct server {
    enum plan_fate fate;
    enum plan_pong pong;
    uint64_t fate_ms;           /* when it happens */
    uint64_t fate_count;        /* messages (short life) or bytes (cut) */
    uint64_t reset_ms;          /* a RST follows */
    uint64_t end_ms;            /* after its Close or FIN it closes the socket */
    uint64_t stop_ms, again_ms; /* does not read in between */
    uint64_t read_ms;           /* it goes on reading: the application takes no more at once */
    uint64_t push_ms;
    uint64_t ping_ms;
    uint64_t pong_delay_ms;
    uint64_t read_number;   /* the last message that the endpoint has read */
    uint64_t first_read_ms; /* the first one, for the promise of short lives */
    uint64_t pushed_number;
    uint32_t read_count;
    uint32_t pings_read;
    uint32_t push_left;
    uint32_t push_bytes_max;
    uint32_t late_count;
    bool reads; /* its application reads, or would if something came */
    bool answered_ping;
    bool close_sent;
    bool gone; /* the socket is closed: whatever arrives is answered with RST */
    struct server_late_pong late[SERVER_LATE_COUNT];
};

/* The upgrade was answered: a fate is drawn. */
void server_open(struct world *world, struct conn *conn);

uint64_t server_due_ms(const struct conn *conn);

/* Something arrived, or something is due. */
void server_run(struct world *world, struct conn *conn);

/* The bad weather is over: it reads, answers and lives. */
void server_calm(struct world *world, struct conn *conn);

#endif
