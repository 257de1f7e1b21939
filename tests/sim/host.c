/* The daemon's turns: what net would do with the session's actions. */
#include "host_private.h"

#include "promises.h"
#include "proto/close.h"
#include "world.h"

enum {
    HOST_TIMER_COUNT_MAX = 64, /* more calls of session_timer() at one instant: it never rests */
    HOST_TURNS_AT_ONCE_MAX = 20,
    HOST_DID_NOT_RUN_MS = 1000
};

static void host_carry_out(struct world *world, const struct session_actions *actions);

/* After each call of the session that may have asked for something. */
void host_fed(struct world *world, const struct session_actions *actions)
{
    ledger_after(world, actions);
    if (actions->any)
        host_carry_out(world, actions);
    if (world->session_lives)
        session_check(&world->session);
}

bool host_is_open(const struct world *world)
{
    return world->session_lives && world->host.conn && !world->failed;
}

struct pipe_frame *host_put_close(struct pipe *pipe, const struct close_frame *close, bool masked)
{
    uint64_t bytes = close->code == CLOSE_NO_STATUS ? 0 : 2u + close->reason_bytes;
    struct pipe_frame *frame = pipe_put(pipe, PIPE_CLOSE, frame_wire_bytes(bytes, masked));
    frame->code = close->code;
    return frame;
}

/* ---- the session's actions ----------------------------------------------------------------------
 */

static void host_log_move(struct world *world, const struct session_actions *actions)
{
    const struct session_move *move = &actions->move;
    if (!world->verbose || move->from == move->to)
        return;
    if (move->to == SESSION_WAITING)
        world_log(world, "%s -> %s (%s), %llu ms", session_state_name(move->from),
                  session_state_name(move->to), cause_name(move->cause),
                  (unsigned long long)actions->delay_ms);
    else
        world_log(world, "%s -> %s (%s)", session_state_name(move->from),
                  session_state_name(move->to), cause_name(move->cause));
}

static void host_end_session(struct world *world)
{
    world->session_lives = false;
    world->host.client_listens = false;
    world->host.kept = false;
    session_clear(&world->session);
    ledger_close(world);
}

static void host_carry_out(struct world *world, const struct session_actions *actions)
{
    struct client *client = &world->client;
    uint64_t clock_ms = world_clock_ms(world);
    host_log_move(world, actions);
    if (actions->deliver_gap) {
        pipe_put(&client->out, PIPE_GAP, frame_wire_bytes(16, false));
        world_count(world, TALLY_GAP_MESSAGES);
    }
    host_do_client(world, actions);
    if (actions->drop != SESSION_DROP_NONE)
        host_drop(world, actions);
    if (actions->attempt)
        host_begin_attempt(world);
    if (actions->move.from != actions->move.to && actions->move.to == SESSION_ENDED) {
        host_end_session(world);
        return;
    }
    if (actions->probe_upstream && world->host.conn) {
        const struct pipe *up = &world->host.conn->up;
        world_count(world, TALLY_PROBES);
        world_log(world, "asks TCP: %llu of %llu bytes acknowledged", (unsigned long long)up->acked,
                  (unsigned long long)up->written);
        session_upstream_tcp(&world->session, up->acked, pipe_is_in_flight(up), clock_ms);
    }
    if (actions->probe_client)
        session_client_tcp(&world->session, client->out.acked, pipe_is_in_flight(&client->out),
                           clock_ms);
    if (actions->ping_client) {
        pipe_put(&client->out, PIPE_PING, frame_wire_bytes(0, false));
        session_client_pinged(&world->session, client->out.put, clock_ms);
        world->ledger.client_pinged_ms = clock_ms;
        world_count(world, TALLY_CLIENT_PINGS);
    }
}

void host_start(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    *host = (struct host){.stage_ms = PIPE_NEVER, .wake_ms = PIPE_NEVER, .client_listens = true};
    host->ran_ms = world->now_ms;
    host_wake_open(world);
    ledger_before(world, EVENT_START);
    session_start(&world->session, world->plan.subprotocol, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

/* ---- a turn of the loop -------------------------------------------------------------------------
 */

static bool host_has_something_to_read(const struct world *world)
{
    const struct conn *conn = world->host.conn;
    const struct pipe *in = &world->client.in;
    if (conn && session_reads_upstream(&world->session)) {
        const struct pipe *down = &conn->down;
        if (pipe_has_news(down) || conn->timed_out ||
            (down->frame_count > 0 && down->frames[down->frame_first].end <= down->read))
            return true;
    }
    if (!host_hears_client(world))
        return false;
    if (world->host.kept)
        return session_has_room(&world->session);
    return session_reads_client(&world->session) &&
           (pipe_has_news(in) ||
            (in->frame_count > 0 && in->frames[in->frame_first].end <= in->read));
}

uint64_t host_due_ms(struct world *world)
{
    const struct host *host = &world->host;
    const struct pipe *out = &world->client.out;
    uint64_t now_ms = world->now_ms;
    bool gone = world->client.in.rst_arrived;
    if ((out->put > out->written && (gone || pipe_space(out) > 0) && !out->fin_wanted) ||
        (host->client_ends && !out->fin_wanted && out->put == out->written))
        return now_ms;
    if (!world->session_lives)
        return PIPE_NEVER;
    if (host_has_something_to_read(world) || host->jumped || host->retry)
        return now_ms;
    if (host->conn && host_wants_to_write(world))
        return now_ms;
    uint64_t due_ms = host_attempt_due_ms(world);
    if (host->change_ms < due_ms && !world->calm)
        due_ms = host->change_ms;
    uint64_t deadline_ms = session_deadline_ms(&world->session);
    if (deadline_ms != SETTINGS_NEVER) {
        deadline_ms = deadline_ms > world->skew_ms ? deadline_ms - world->skew_ms : 0;
        if (deadline_ms < due_ms)
            due_ms = deadline_ms;
    }
    if (!host->shut_down && world->plan.host.shutdown_ms < due_ms)
        due_ms = world->plan.host.shutdown_ms;
    return due_ms > now_ms ? due_ms : now_ms;
}

static void host_timers(struct world *world)
{
    struct session_actions actions;
    unsigned count = 0;
    do {
        if (!world->session_lives || world->failed)
            return;
        actions.any = true;
        ledger_before(world, EVENT_TIMER);
        session_timer(&world->session, world_clock_ms(world), &actions);
        host_fed(world, &actions);
        count++;
        world_expect(world, count < HOST_TIMER_COUNT_MAX, "session_timer() never rests");
    } while (actions.any);
}

static void host_shutdown(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    if (host->shut_down || world->now_ms < world->plan.host.shutdown_ms || !world->session_lives)
        return;
    host->shut_down = true;
    world_log(world, "host: SIGTERM");
    world_count(world, TALLY_SHUTDOWNS);
    ledger_before(world, EVENT_SHUTDOWN);
    session_shutdown(&world->session, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

/* Was it away?  Then nothing that is missing is held against anybody. */
static void host_look_at_the_clock(struct world *world)
{
    struct host *host = &world->host;
    uint64_t late_ms = world->now_ms - host->ready_ms;
    bool away = host->jumped || late_ms >= HOST_DID_NOT_RUN_MS;
    host->jumped = false;
    if (late_ms > 0)
        world_count(world, TALLY_WOKE_LATE);
    if (late_ms > world->ledger.late_ms)
        world->ledger.late_ms = late_ms;
    if (!away || !world->session_lives)
        return;
    world_log(world, "host: did not run");
    world_count(world, TALLY_DID_NOT_RUN);
    session_did_not_run(&world->session, world_clock_ms(world));
    session_check(&world->session);
    ledger_did_not_run(world);
}

/* A message may be on its way at any time, and no memory for it.  In the calm it is this session's
 * own outbox that holds the memory. */
static void host_account(struct world *world)
{
    struct host *host = &world->host;
    struct session *session = &world->session;
    if (!world->session_lives)
        return;
    if (world->calm && world->plan.others)
        host->upstream_starves = !outbox_is_empty(&session->outbox);
    session_client_starves(session, host->client_starves && host_hears_client(world),
                           world_clock_ms(world));
    session_upstream_starves(session, host->upstream_starves && host_is_open(world),
                             world_clock_ms(world));
    promises_pauses(world);
}

/* Turn after turn at one instant, and nothing comes of it. */
static void host_check_spin(struct world *world)
{
    struct host *host = &world->host;
    const struct client *client = &world->client;
    uint64_t progress = client->in.read + client->out.written + world->ledger.tail;
    if (host->conn)
        progress += host->encoded + host->conn->up.written + host->conn->down.read;
    if (host->ran_ms != world->now_ms || host->progress != progress)
        host->turns_at_once = 0;
    host->ran_ms = world->now_ms;
    host->progress = progress;
    host->turns_at_once++;
    world_expect(world, host->turns_at_once < HOST_TURNS_AT_ONCE_MAX,
                 "the loop spins: state %s, deadline in %lld ms, %sto read, %sto write",
                 session_state_name(world->session.state),
                 (long long)(session_deadline_ms(&world->session) - world_clock_ms(world)),
                 host_has_something_to_read(world) ? "" : "nothing ",
                 host->conn && host_wants_to_write(world) ? "" : "nothing ");
}

void host_turn(struct world *world)
{
    struct host *host = &world->host;
    world->turns++;
    world_count(world, TALLY_TURNS);
    ledger_turn_begins(world);
    host_look_at_the_clock(world);
    if (!host->reloaded && world->now_ms >= world->plan.host.reload_ms) {
        host->reloaded = true;
        world_count(world, TALLY_RELOADS);
    }
    host_wake_turn(world);
    host_attempt(world);
    host_account(world);
    if (host->retry) {
        host->retry = false;
        host_tell_inbox(world);
    }
    if (chance_one_in(&world->chance, 4)) /* its socket may be reported writable first */
        host_write_upstream(world);
    if (chance_one_in(&world->chance, 2)) {
        host_read_upstream(world);
        host_read_client(world);
    } else {
        host_read_client(world);
        host_read_upstream(world);
    }
    host_flush_client(world);
    host_shutdown(world);
    host_timers(world);
    if (world->session_lives)
        host_stray(world);
    host_write_upstream(world);
    host_flush_client(world);
    host_account(world);
    host_check_spin(world);
    if (world->session_lives && !world->failed) {
        session_check(&world->session);
        ledger_turn(world);
    }
}
