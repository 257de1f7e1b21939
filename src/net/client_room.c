/* Room for what a client sends. */
#include "net/client_room.h"

#include <stdlib.h>

#include "config/config.h"
#include "net/client_messages.h"
#include "net/client_private.h"
#include "net/relay.h"
#include "net/report.h"

enum {
    PAUSE_LOGGED_MS = 10 * 1000,
    LOOK_MS = 1000, /* has it ended while it is paused? */
    RETRY_MS = 100  /* a message for which malloc() had no room is offered again */
};

/* ---- memory -------------------------------------------------------------------------------- */

/* Its handshake is not over, and the memory is. */
static void refuse_for_memory(struct net_session *net)
{
    client_do_refuse(net, 503, "memory_max");
    if (net->is_begun)
        client_lose(net, CAUSE_OVERFLOW);
}

void client_room_account(struct net_session *net)
{
    struct client *client = &net->client;
    struct budget *budget = &net->worker->budget;
    struct budget_share *share = &client->room.share;
    size_t reader_bytes = message_reader_heap_bytes(&client->reader);
    size_t kept_bytes = client->kept ? client->kept->end : 0;
    if (client->asking)
        kept_bytes += client->asking->head.used;
    if (client->stage == CLIENT_GONE)
        return;
    if (client_kept_has_message(client->kept)) /* whole: it waits for room in the outbox */
        budget_hold(budget, share, 0, kept_bytes + reader_bytes);
    else
        budget_hold(budget, share, reader_bytes, kept_bytes);
    if (client->stage != CLIENT_OPEN) {
        if (kept_bytes > 0 && budget_is_used_up(budget))
            refuse_for_memory(net);
        return;
    }
    enum budget_verdict verdict = budget_judge(budget, share);
    session_client_starves(&net->core, verdict == BUDGET_WAIT, relay_now(net));
    if (verdict != BUDGET_END)
        return;
    struct close_frame close;
    close_set(&close, CLOSE_TRY_AGAIN, "wskeep: memory_max");
    client_break_off(net, &close, CAUSE_OVERFLOW);
}

void client_room_end(struct net_session *net)
{
    struct client_room *room = &net->client.room;
    budget_hold(&net->worker->budget, &room->share, 0, 0);
    free(room->pause);
    room->pause = NULL;
}

void client_room_offer(struct net_session *net)
{
    budget_hold(&net->worker->budget, &net->client.room.share, 0, 0);
}

/* ---- a pause ------------------------------------------------------------------------------- */

/* A message of its is here, or a part of one, and there is no room for it. */
static bool waits_for_room(const struct net_session *net)
{
    if (net->client.stage == CLIENT_GONE)
        return false; /* what it had kept is given up, and client_room_end() has been */
    return client_kept_has_message(net->client.kept) || (net->is_begun && net->core.client_starved);
}

void client_room_turn(struct net_session *net)
{
    struct client_room *room = &net->client.room;
    if (!waits_for_room(net)) {
        free(room->pause);
        room->pause = NULL;
        return;
    }
    if (!room->pause)
        room->pause = calloc(1, sizeof(*room->pause));
    if (room->pause && room->pause->since_ms == 0)
        room->pause->since_ms = relay_now(net);
}

bool client_room_is_back(const struct net_session *net)
{
    const struct client_kept *kept = net->client.kept;
    return client_kept_has_message(kept) &&
           kept->first_sequence != net->core.outbox.first_sequence && session_has_room(&net->core);
}

/*
 * It is not read, so its end does not show by itself.  It gives its place to another client at
 * once; what it has sent waits for room as long as that of a client that left.
 */
static void look_for_end(struct net_session *net)
{
    struct client_pause *pause = net->client.room.pause;
    if (pause->ended_ms == 0 && conn_has_ended(&net->client.conn)) {
        pause->ended_ms = relay_now(net);
        client_release_place(net);
    }
    if (pause->ended_ms == 0 ||
        relay_now(net) - pause->ended_ms < net->config->session.drain_timeout_ms)
        return;
    client_lose(net, CAUSE_CLIENT_LOST); /* counts the message that was refused */
    struct session_actions actions = {.any = false};
    client_messages_give_up(net, CAUSE_CLIENT_LOST, &actions);
    relay_act(net, &actions);
    client_do_cut(net);
}

uint64_t client_room_deadline_ms(const struct net_session *net)
{
    const struct client_pause *pause = net->client.room.pause;
    uint64_t now_ms = net->worker->now_ms;
    uint64_t due_ms = TIMERS_NEVER;
    if (waits_for_room(net))
        due_ms = now_ms + LOOK_MS;
    if (pause && !pause->is_logged)
        due_ms = timers_earlier(due_ms, pause->since_ms + PAUSE_LOGGED_MS);
    if (client_kept_has_message(net->client.kept) && session_has_room(&net->core))
        due_ms = timers_earlier(due_ms, now_ms + RETRY_MS);
    return due_ms;
}

void client_room_timer(struct net_session *net)
{
    struct client_pause *pause = net->client.room.pause;
    uint64_t now_ms = relay_now(net);
    if (!pause)
        return;
    if (!pause->is_logged && now_ms - pause->since_ms >= PAUSE_LOGGED_MS) {
        pause->is_logged = true;
        report_client_paused(net, now_ms - pause->since_ms);
    }
    if (net->client.stage == CLIENT_OPEN && waits_for_room(net))
        look_for_end(net);
}
