/* An attempt to connect, as the plan says it goes. */
#include "host_private.h"

#include "world.h"

void host_begin_attempt(struct world *world)
{
    struct host *host = &world->host;
    const struct plan *plan = &world->plan;
    struct chance *chance = &world->chance;
    if (host->reloaded && world->session.settings != &plan->reloaded)
        session_use_settings(&world->session, &plan->reloaded);
    host->stage = HOST_RESOLVES;
    host->outcome = ATTEMPT_OPENS;
    if (!world->calm && chance_below(chance, 100) < plan->attempt_fault_percent)
        host->outcome =
            (enum plan_attempt)chance_between(chance, ATTEMPT_DNS_FAILS, ATTEMPT_MISMATCH);
    for (unsigned i = 0; i < 2 && !world->calm; i++)
        if (world->now_ms >= plan->outages[i].from_ms && plan->outages[i].from_ms != PIPE_NEVER &&
            world->now_ms < plan->outages[i].until_ms)
            host->outcome = plan->outages[i].how;
    host->stage_ms = world->now_ms + chance_below(chance, 3);
    if (host->outcome == ATTEMPT_DNS_HANGS)
        host->stage_ms = PIPE_NEVER;
    static const uint16_t statuses[] = {200, 301, 400, 401, 403, 404, 407, 408, 410, 418,
                                        421, 425, 426, 429, 451, 500, 502, 503, 504, 599};
    host->status = CHANCE_OF(chance, statuses);
    host->subprotocol = plan->subprotocol && !*plan->subprotocol ? NULL : "chat";
    if (host->outcome == ATTEMPT_MISMATCH)
        host->subprotocol = "other";
    host_wake_attempt(world);
    world->tally->attempts[host->outcome]++;
}

uint64_t host_attempt_due_ms(const struct world *world)
{
    return world->host.stage == HOST_NO_ATTEMPT ? PIPE_NEVER : world->host.stage_ms;
}

void host_lost(struct world *world, enum cause cause, uint16_t status)
{
    struct session_actions actions = {.any = true};
    world->ledger.lost_cause = cause;
    world->ledger.lost_status = status;
    ledger_before(world, EVENT_LOST);
    session_upstream_lost(&world->session, cause, status, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

static void host_upgraded(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    struct conn *conn = world_new_conn(world);
    conn->next_sequence = world->ledger.head;
    conn->sent_sequence = world->ledger.head - 1;
    conn->replays = world->ledger.head < world->ledger.tail;
    host->conn = conn;
    host->encoded = 0;
    host->stage = HOST_NO_ATTEMPT;
    ledger_before(world, EVENT_UPGRADED);
    session_upstream_upgraded(&world->session, host->subprotocol, world_clock_ms(world), &actions);
    host_fed(world, &actions);
    if (host->conn == conn) {
        world->conn_number++;
        server_open(world, conn);
        server_run(world, conn);
    } else {
        conn->used = false;
    }
}

/* The stage of the attempt brings its result. */
void host_attempt(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct host *host = &world->host;
    uint64_t rtt_ms = 2 * world->plan.up.latency_ms;
    uint64_t clock_ms = world_clock_ms(world);
    if (world->now_ms < host_attempt_due_ms(world) || !world->session_lives)
        return;
    switch (host->stage) {
    case HOST_NO_ATTEMPT:
        return;
    case HOST_RESOLVES:
        if (host->outcome == ATTEMPT_SECRET_UNREADABLE) {
            host_lost(world, CAUSE_SECRET_UNREADABLE, 0);
            return;
        }
        if (host->outcome == ATTEMPT_DNS_FAILS) {
            host_lost(world, CAUSE_DNS_FAILED, 0);
            return;
        }
        host->stage = HOST_CONNECTS;
        host->stage_ms = host->outcome == ATTEMPT_TCP_HANGS ? PIPE_NEVER : world->now_ms + rtt_ms;
        ledger_before(world, EVENT_RESOLVED);
        session_upstream_resolved(&world->session, clock_ms, &actions);
        host_fed(world, &actions);
        return;
    case HOST_CONNECTS:
        if (host->outcome == ATTEMPT_REFUSED || host->outcome == ATTEMPT_UNREACHABLE) {
            host_lost(world,
                      host->outcome == ATTEMPT_REFUSED ? CAUSE_TCP_REFUSED : CAUSE_TCP_UNREACHABLE,
                      0);
            return;
        }
        host->stage = HOST_UPGRADES;
        host->stage_ms =
            host->outcome == ATTEMPT_UPGRADE_HANGS ? PIPE_NEVER : world->now_ms + rtt_ms;
        ledger_before(world, EVENT_CONNECTED);
        session_upstream_connected(&world->session, clock_ms, &actions);
        host_fed(world, &actions);
        return;
    case HOST_UPGRADES:
        break;
    }
    switch (host->outcome) {
    case ATTEMPT_STATUS:
        host_wake_refused(world);
        host_lost(world, CAUSE_HTTP_STATUS, host->status);
        return;
    case ATTEMPT_MALFORMED:
        host_lost(world, CAUSE_HTTP_MALFORMED, 0);
        return;
    case ATTEMPT_UPGRADE_RST:
        host_lost(world, CAUSE_TCP_RESET, 0);
        return;
    case ATTEMPT_UPGRADE_EOF:
        host_lost(world, CAUSE_TCP_EOF, 0);
        return;
    default:
        host_upgraded(world);
        return;
    }
}

/* Events that belong to an attempt which was given up: net has them in flight, and the session
 * does not mind. */
void host_stray(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct session *session = &world->session;
    uint64_t clock_ms = world_clock_ms(world);
    if (!world->session_lives || !chance_one_in(&world->chance, world->plan.host.stray_one_in))
        return;
    if (session->state != SESSION_OPEN && session->state != SESSION_WAITING)
        return;
    enum session_state state = session->state;
    world_count(world, TALLY_STRAYS);
    switch (chance_below(&world->chance, 4)) {
    case 0:
        session_upstream_resolved(session, clock_ms, &actions);
        break;
    case 1:
        session_upstream_connected(session, clock_ms, &actions);
        break;
    case 2:
        session_upstream_upgraded(session, NULL, clock_ms, &actions);
        break;
    default:
        if (state == SESSION_OPEN)
            return;
        session_upstream_lost(session, CAUSE_TCP_RESET, 0, clock_ms, &actions);
        break;
    }
    world_expect(world, session->state == state && !actions.any,
                 "a stray event of an attempt that was given up did something");
}
