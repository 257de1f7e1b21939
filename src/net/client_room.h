/*
 * Room for what a client sends: in the outbox, and under memory_max.
 *
 * Without room it is not read, which TCP passes on to it.  Nobody sees then that it has ended, so
 * it is looked at from time to time.
 */
#ifndef WSKEEP_NET_CLIENT_ROOM_H
#define WSKEEP_NET_CLIENT_ROOM_H

#include "core/budget.h"

struct net_session;

/* Its messages have no room. */
struct client_pause {
    uint64_t since_ms;
    uint64_t ended_ms; /* it ended meanwhile; 0: it did not */
    bool is_logged;
};

struct client_room {
    struct budget_share share;  /* what it holds of memory_max, besides the inbox */
    struct client_pause *pause; /* NULL: none, or no memory to know of it yet */
};

/* It was read, or what was kept went on: what it holds counts.  Without memory for the rest of a
 * message it is not read, or has to go. */
void client_room_account(struct net_session *net);

/* The client is gone. */
void client_room_end(struct net_session *net);

/* What it holds is offered now, and shall not stand in its own way: it does not count until the
 * next client_room_account(). */
void client_room_offer(struct net_session *net);

/* The end of a turn: it is paused, or is not any more. */
void client_room_turn(struct net_session *net);

/* A kept message did not fit, and messages have left the outbox since. */
bool client_room_is_back(const struct net_session *net);

uint64_t client_room_deadline_ms(const struct net_session *net);
void client_room_timer(struct net_session *net);

#endif
