/* Time goes from one event to the next, and the weather with it. */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    WORLD_KERNEL_PATIENCE_MS = 924000, /* Linux: 15 retransmissions */
    WORLD_CALM_PATIENCE_MS = 2000,     /* in the calm the silent peer's host is back: RST */
    WORLD_STEPS_MAX = 400000
};

/* ---- what its parts use ------------------------------------------------------------------- */

void world_fail(struct world *world, const char *format, ...)
{
    va_list arguments;
    if (world->failed)
        return;
    world->failed = true;
    va_start(arguments, format);
    vsnprintf(world->why, sizeof world->why, format, arguments);
    va_end(arguments);
}

void world_log_line(struct world *world, const char *format, ...)
{
    va_list arguments;
    printf("%10" PRIu64 "  ", world->now_ms - world->plan.start_ms);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void world_payload_stamp(struct world *world, uint64_t number, uint32_t bytes)
{
    size_t part = bytes < sizeof number ? bytes : sizeof number;
    memcpy(world->payload, &number, part);
    memcpy(world->payload + bytes - part, &number, part);
}

bool world_payload_is(const uint8_t *payload, uint64_t number, uint32_t bytes)
{
    uint8_t expected[2 * sizeof number];
    size_t part = bytes < sizeof number ? bytes : sizeof number;
    if (bytes >= sizeof expected)
        return memcmp(payload, &number, part) == 0 &&
               memcmp(payload + bytes - part, &number, part) == 0;
    memset(expected, 0, sizeof expected);
    memcpy(expected, &number, part);
    memcpy(expected + bytes - part, &number, part);
    return memcmp(payload, expected, bytes) == 0;
}

static bool conn_is_idle(const struct conn *conn)
{
    return pipe_due_ms(&conn->up) == PIPE_NEVER && pipe_due_ms(&conn->down) == PIPE_NEVER;
}

struct conn *world_new_conn(struct world *world)
{
    struct conn *conn = NULL;
    for (unsigned i = 0; i < WORLD_CONN_COUNT; i++) {
        struct conn *other = &world->conns[i];
        if (other->used && other != world->host.conn && conn_is_idle(other))
            other->used = false;
        if (!other->used && !conn)
            conn = other;
    }
    if (!conn) /* the oldest that is not the session's is forgotten, with what it still held */
        for (unsigned i = 0; i < WORLD_CONN_COUNT; i++)
            if (&world->conns[i] != world->host.conn &&
                (!conn || world->conns[i].number < conn->number))
                conn = &world->conns[i];
    pipe_open(&conn->up, &world->plan.up);
    pipe_open(&conn->down, &world->plan.down);
    conn->used = true;
    conn->number = world->conn_number + 1;
    conn->server.gone = true; /* until it is accepted */
    conn->write_failed = conn->timed_out = conn->replays = conn->blameless = false;
    conn->last_read = conn->acked_count = 0;
    conn->sent_count = conn->sent_bytes = conn->ponged_count = conn->ponged_bytes = 0;
    conn->pinged_ms = conn->encoded_ms = 0;
    conn->life_end = conn->life_acked_ms = 0;
    conn->ponged_ms = conn->ponged_offset = 0;
    conn->ping_first = conn->ping_next = 0;
    return conn;
}

/* ---- the machine -------------------------------------------------------------------------- */

/* The kernel's own patience with a peer that acknowledges nothing. */
static uint64_t conn_gives_up_ms(const struct world *world, const struct conn *conn)
{
    const struct pipe *up = &conn->up;
    if (conn != world->host.conn || conn->timed_out || pipe_outstanding(up) == 0 ||
        (!up->dead && !up->acks_dead))
        return PIPE_NEVER;
    return up->progress_ms + (world->calm ? WORLD_CALM_PATIENCE_MS : WORLD_KERNEL_PATIENCE_MS);
}

/* The daemon does not run, or the whole machine sleeps and the clock goes on. */
static void world_stop(struct world *world)
{
    uint64_t longest_ms = 100 * world->plan.settings.heartbeat.timeout_ms;
    uint64_t for_ms = chance_scale(&world->chance, 500, 500 + longest_ms);
    if (chance_one_in(&world->chance, 3)) {
        world->skew_ms += for_ms;
        world->host.jumped = true;
        world_count(world, TALLY_CLOCK_JUMPS);
        world_log(world, "machine: the clock jumps by %" PRIu64 " ms", for_ms);
    } else {
        world->host.stopped_until_ms = world->now_ms + for_ms;
        world_log(world, "machine: wskeepd stops for %" PRIu64 " ms", for_ms);
    }
    world->stops_left--;
    world->stop_ms = world->stops_left > 0
                         ? world->now_ms + chance_below(&world->chance, world->plan.faults_ms)
                         : PIPE_NEVER;
}

/* Other sessions take memory, and give it back. */
static void world_others(struct world *world)
{
    struct chance *chance = &world->chance;
    uint64_t room = world->budget.bytes < world->budget.bytes_max
                        ? world->budget.bytes_max - world->budget.bytes
                        : 0;
    budget_give(&world->budget, world->others_bytes);
    if (world->budget.refused && world->others_bytes > 0) {
        world->budget.refused = false;
        world->host.retry = true;
    }
    world->others_bytes = world->calm || chance_one_in(chance, 3) ? 0 : chance_below(chance, room);
    budget_take(&world->budget, world->others_bytes);
    world->host.client_starves = world->others_bytes & 8; /* as likely as not, and no draw */
    world->host.upstream_starves = world->others_bytes & 16;
    world->host.retry = true;
    world->others_ms = world->calm
                           ? PIPE_NEVER
                           : world->now_ms + chance_scale(chance, 1, world->plan.faults_ms / 4);
}

/* ---- one step ----------------------------------------------------------------------------- */

static void earliest(uint64_t *due_ms, uint64_t at_ms)
{
    if (at_ms < *due_ms)
        *due_ms = at_ms;
}

static uint64_t world_outside_due_ms(const struct world *world)
{
    uint64_t due_ms = client_due_ms(world);
    earliest(&due_ms, pipe_due_ms(&world->client.in));
    earliest(&due_ms, pipe_due_ms(&world->client.out));
    earliest(&due_ms, world->stop_ms);
    earliest(&due_ms, world->others_ms);
    for (unsigned i = 0; i < WORLD_CONN_COUNT; i++) {
        const struct conn *conn = &world->conns[i];
        if (!conn->used)
            continue;
        earliest(&due_ms, pipe_due_ms(&conn->up));
        earliest(&due_ms, pipe_due_ms(&conn->down));
        earliest(&due_ms, server_due_ms(conn));
        earliest(&due_ms, conn_gives_up_ms(world, conn));
    }
    return due_ms;
}

static void world_run_conn(struct world *world, struct conn *conn)
{
    uint64_t now_ms = world->now_ms;
    bool serve = now_ms >= server_due_ms(conn);
    if (now_ms >= pipe_due_ms(&conn->up))
        serve = pipe_advance(&conn->up, now_ms) || serve;
    if (now_ms >= pipe_due_ms(&conn->down)) {
        uint64_t space = pipe_space(&conn->down);
        pipe_advance(&conn->down, now_ms);
        serve = serve || pipe_space(&conn->down) > space;
    }
    if (serve)
        server_run(world, conn);
    if (now_ms >= conn_gives_up_ms(world, conn))
        conn->timed_out = true;
}

static void world_run_client(struct world *world)
{
    struct client *client = &world->client;
    uint64_t now_ms = world->now_ms;
    bool run = now_ms >= client_due_ms(world);
    if (now_ms >= pipe_due_ms(&client->in)) {
        pipe_advance(&client->in, now_ms);
        run = run || client->in.put > client->in.written;
    }
    if (now_ms >= pipe_due_ms(&client->out))
        run = pipe_advance(&client->out, now_ms) || run;
    if (run)
        client_run(world);
}

/* When the daemon turns next: at once, or a little late, or when it runs again. */
static uint64_t world_wake_ms(struct world *world)
{
    struct host *host = &world->host;
    const struct plan_host *plan = &world->plan.host;
    uint64_t due_ms = host_due_ms(world);
    if (due_ms == PIPE_NEVER)
        return PIPE_NEVER;
    if (due_ms <= world->now_ms && host->wake_ms == PIPE_NEVER) {
        host->ready_ms = world->now_ms;
        host->wake_ms = world->now_ms;
        if (!world->calm && plan->late_one_in > 0 &&
            chance_one_in(&world->chance, plan->late_one_in))
            host->wake_ms += chance_scale(&world->chance, 1, plan->late_ms_max);
        if (host->wake_ms < host->stopped_until_ms)
            host->wake_ms = host->stopped_until_ms;
    }
    return host->wake_ms != PIPE_NEVER ? host->wake_ms : due_ms;
}

/* To the next thing that happens, and do it.  False: nothing does before limit_ms. */
static bool world_step(struct world *world, uint64_t limit_ms)
{
    uint64_t due_ms = world_outside_due_ms(world);
    earliest(&due_ms, world_wake_ms(world));
    if (due_ms > limit_ms || world->failed)
        return false;
    if (due_ms > world->now_ms)
        world->now_ms = due_ms;
    uint64_t now_ms = world->now_ms;
    for (unsigned i = 0; i < WORLD_CONN_COUNT; i++)
        if (world->conns[i].used)
            world_run_conn(world, &world->conns[i]);
    world_run_client(world);
    if (now_ms >= world->stop_ms)
        world_stop(world);
    if (now_ms >= world->others_ms)
        world_others(world);
    if (now_ms >= world_wake_ms(world)) {
        world->host.wake_ms = PIPE_NEVER;
        host_turn(world);
    }
    return !world->failed;
}

/* ---- a schedule --------------------------------------------------------------------------- */

static void world_init(struct world *world, uint64_t seed)
{
    world->seed = seed;
    world->chance = (struct chance){.state = seed * 0x2545f4914f6cdd1du + 1};
    chance_next(&world->chance);
    world->core_chance = (struct chance){.state = chance_next(&world->chance)};
    plan_draw(&world->plan, &world->chance);
    const struct plan *plan = &world->plan;
    world->now_ms = plan->start_ms;
    world->skew_ms = world->others_bytes = world->inbox_budget = 0;
    world->stops_left = plan->host.stop_count;
    world->stop_ms = plan->host.stop_count > 0
                         ? plan->start_ms + chance_below(&world->chance, plan->faults_ms)
                         : PIPE_NEVER;
    world->others_ms = plan->others ? plan->start_ms : PIPE_NEVER;
    world->conn_number = world->turns = world->short_left = world->old_ping_count = 0;
    world->pushed_count = 0;
    world->calm = world->short_lives = world->failed = false;
    world->budget = (struct budget){.bytes_max = plan->budget_bytes_max};
    for (unsigned i = 0; i < WORLD_CONN_COUNT; i++)
        world->conns[i].used = false;
    world->tally->profiles[plan->profile]++;
    world->tally->endings[plan->client.ending]++;
}

static void world_log_settings(struct world *world)
{
    const struct session_settings *s = &world->plan.settings;
    world_log(world,
              "heartbeat interval %" PRId64 ", timeout %" PRId64 ", stall %" PRId64
              "; ack_timeout %" PRId64 ", silence %" PRId64 ", spacing %" PRId64,
              s->heartbeat.interval_ms, s->heartbeat.timeout_ms, s->heartbeat.stall_timeout_ms,
              s->ack_timeout_ms, s->silence_ms, s->ping_spacing_ms);
    world_log(world,
              "connect %" PRId64 ", delay %" PRId64 " to %" PRId64 ", stable %" PRId64
              ", give up %" PRId64 ", drain %" PRId64 "; client's heartbeat %" PRId64
              ", timeout %" PRId64,
              s->connect_timeout_ms, s->backoff.initial_delay_ms, s->backoff.max_delay_ms,
              s->stable_after_ms, s->give_up_after_ms, s->drain_timeout_ms,
              s->client_heartbeat.interval_ms, s->client_heartbeat.timeout_ms);
    world_log(world,
              "outbox %" PRIu32 " of %" PRIu64 " bytes, inbox %" PRIu64
              ", overflow %d and %d, on_gap %d, without_pong %d",
              s->outbox_messages_max, s->outbox_bytes_max, s->inbox_bytes_max, s->overflow,
              s->inbox_overflow, s->on_gap, s->without_pong);
}

static void world_open(struct world *world)
{
    world->random = (struct random_source){.fill = chance_fill, .context = &world->core_chance};
    ledger_open(world);
    client_open(world);
    session_init(&world->session, &world->plan.settings, &world->random, &world->budget,
                 world_clock_ms(world));
    if (!world->plan.client.beats)
        session_client_without_heartbeat(&world->session);
    world->session_lives = true;
    world_log(world, "profile %s, acknowledge %s, window %" PRIu64,
              plan_profile_name(world->plan.profile),
              world->plan.settings.acknowledge == ACKNOWLEDGE_PONG ? "pong" : "sent",
              world->plan.settings.window_bytes);
    world_log_settings(world);
    host_start(world);
}

/* The bad weather is over. */
static void world_calm(struct world *world)
{
    struct host *host = &world->host;
    world_log(world, "calm: %" PRIu64 " messages wait", world->ledger.tail - world->ledger.head);
    world->calm = true;
    world->short_lives = world->plan.calm_is_short;
    world->short_left = world->short_lives ? 8 : 0;
    if (world->short_lives)
        world_count(world, TALLY_CALM_SHORT);
    world->stop_ms = PIPE_NEVER;
    if (world->others_ms != PIPE_NEVER)
        world_others(world);
    if (host->stopped_until_ms > world->now_ms)
        host->stopped_until_ms = world->now_ms;
    if (host->wake_ms != PIPE_NEVER && host->wake_ms > world->now_ms)
        host->wake_ms = world->now_ms;
    if (world->plan.host.shutdown_ms > world->now_ms)
        world->plan.host.shutdown_ms = PIPE_NEVER;
    for (unsigned i = 0; i < WORLD_CONN_COUNT; i++)
        if (world->conns[i].used)
            server_calm(world, &world->conns[i]);
    client_calm(world);
}

static uint64_t if_finite_ms(uint64_t duration_ms)
{
    return duration_ms == SETTINGS_NEVER ? 0 : duration_ms;
}

/* The server has asked not to be tried for so long. */
static uint64_t world_asked_ms(const struct world *world)
{
    uint64_t clock_ms = world_clock_ms(world);
    uint64_t not_before_ms = world->ledger.not_before_ms;
    return not_before_ms > clock_ms ? not_before_ms - clock_ms : 0;
}

/* How long recovery may take: what is dead must be found out, the next attempts must come, and
 * everything must cross, on lives as short as they may be. */
static uint64_t world_recovery_ms_max(const struct world *world)
{
    const struct session_settings *s = &world->plan.settings;
    const struct session_settings *r = &world->plan.reloaded;
    uint64_t rtt_ms = 2 * world->plan.up.latency_ms + 2;
    uint64_t count = world->ledger.offered + 1;
    uint64_t bytes = 0;
    for (uint64_t i = 1; i < count; i++)
        bytes += world->ledger.messages[i].bytes + FRAME_HEADER_BYTES_MAX;
    uint64_t discovery_ms = if_finite_ms(s->heartbeat.interval_ms) + 2 * s->heartbeat.timeout_ms +
                            if_finite_ms(s->heartbeat.stall_timeout_ms) +
                            if_finite_ms(s->silence_ms) + r->ack_timeout_ms +
                            s->heartbeat.timeout_ms + bytes / 64;
    uint64_t attempt_ms = s->backoff.max_delay_ms + 2 * s->connect_timeout_ms + 1000;
    uint64_t crossing_ms = 4 * bytes / world->plan.up.bytes_per_ms +
                           count * (2 * rtt_ms + 2 * s->ping_spacing_ms) + discovery_ms;
    uint64_t lives = 4 + world->short_left;
    return 10000 + world_asked_ms(world) +
           2 * (discovery_ms + lives * (attempt_ms + rtt_ms + 100) + crossing_ms);
}

/* Nothing is left to do: the outbox is acknowledged, the client's socket read, its inbox empty. */
static bool world_is_settled(const struct world *world)
{
    const struct client *client = &world->client;
    const struct ledger *ledger = &world->ledger;
    bool data_goes_on = world->plan.settings.silence_ms != SETTINGS_NEVER;
    if (!world->session_lives)
        return true;
    if (client->vanished)
        return true; /* nobody may ever notice */
    return world->session.state == SESSION_OPEN && client->answered && !client->left &&
           ledger->head == ledger->tail && !world->host.kept && client->in.frame_count == 0 &&
           client->in.read == client->in.put &&
           (client->out.read == client->out.put || data_goes_on) && !client->close_sent &&
           !client->close_came;
}

static bool world_run_until(struct world *world, uint64_t limit_ms,
                            bool (*done)(const struct world *world))
{
    uint64_t steps_max = WORLD_STEPS_MAX + 2 * world_asked_ms(world);
    for (uint64_t steps = 0; !done(world); steps++) {
        world_expect(world, steps < steps_max, "the world does not come to rest");
        if (!world_step(world, limit_ms))
            return !world->failed && done(world);
    }
    return !world->failed;
}

static bool world_is_over(const struct world *world)
{
    const struct client *client = &world->client;
    if (world->session_lives)
        return false;
    return client->vanished || client->left || client->end_came || !client->answered;
}

/* A quiet link in the calm: it must stay. */
static void world_hold(struct world *world)
{
    const struct session_settings *settings = &world->plan.settings;
    uint32_t connections = world->session.counters.connections;
    uint64_t hold_ms = 3 * if_finite_ms(settings->heartbeat.interval_ms) +
                       settings->heartbeat.timeout_ms + settings->ack_timeout_ms;
    uint64_t limit_ms = world->now_ms + hold_ms;
    while (world_step(world, limit_ms))
        ;
    if (world->failed)
        return;
    if (world->now_ms < limit_ms)
        world->now_ms = limit_ms;
    if (world->session_lives && world->session.counters.connections == connections)
        world_count(world, TALLY_CALM_IDLE_HELD);
}

static void world_finish(struct world *world)
{
    static const enum plan_ending endings[] = {ENDING_CLOSES, ENDING_CLOSES,
                                               ENDING_CLOSES, ENDING_CLOSES_AND_LEAVES,
                                               ENDING_LEAVES, ENDING_RESETS};
    if (!world->session_lives)
        return;
    world->short_left = 0;
    if (world->client.vanished || chance_one_in(&world->chance, 6)) {
        world->plan.host.shutdown_ms = world->now_ms;
        return;
    }
    client_finish(world, CHANCE_OF(&world->chance, endings));
    pipe_flush(&world->client.in, world->now_ms);
}

/* Each client that waited was told its end, and saw it. */
static void world_check_client(struct world *world)
{
    const struct client *client = &world->client;
    const struct ledger *ledger = &world->ledger;
    if (!client->answered || client->vanished || client->deserted)
        return;
    world_expect(world, client->close_came || client->end_came, "the client was never told");
    if (ledger->has_client_close && !ledger->closed_by_us)
        world_expect(world, client->close_came, "the client's Close was never answered");
    world_expect(world, ledger->answers == 1 || ledger->client_was_cut,
                 "the client was told its end %u times", ledger->answers);
}

static void world_weather(struct world *world)
{
    uint64_t until_ms = world->now_ms + world->plan.faults_ms;
    while (world->session_lives && world->turns < world->plan.turns_max &&
           world_step(world, until_ms))
        ;
}

static void world_schedule(struct world *world)
{
    world_weather(world);
    if (world->failed)
        return;
    bool ended = !world->session_lives;
    world_calm(world);
    if (!world_run_until(world, world->now_ms + world_recovery_ms_max(world), world_is_settled)) {
        world_fail(world,
                   "not recovered %" PRIu64 " ms into the calm: state %s, client %d, %" PRIu64
                   " messages, %s kept, %" PRIu64 " bytes from the client, %" PRIu64 " to it",
                   world_recovery_ms_max(world), session_state_name(world->session.state),
                   world->session.client, world->ledger.tail - world->ledger.head,
                   world->host.kept ? "one" : "none", world->client.in.put - world->client.in.read,
                   world->client.out.put - world->client.out.read);
        return;
    }
    if (world->session_lives && !world->client.vanished)
        world_hold(world);
    world_count(world, ended                  ? TALLY_SETTLED_ENDED
                       : world->session_lives ? TALLY_SETTLED_OPEN
                                              : TALLY_SETTLED_IN_CALM);
    if (world->failed)
        return;
    world_finish(world);
    if (!world_run_until(world, world->now_ms + world_recovery_ms_max(world) + 10000,
                         world_is_over))
        world_fail(world, "not ended: session %s, client %d",
                   session_state_name(world->session.state), world->session.client);
    if (!world->failed)
        world_check_client(world);
}

bool world_run(struct world *world, uint64_t seed)
{
    world_init(world, seed);
    world_open(world);
    world_schedule(world);
    world->tally->simulated_ms += world->now_ms - world->plan.start_ms;
    if (world->session_lives)
        session_clear(&world->session);
    world->session_lives = false;
    return !world->failed;
}
