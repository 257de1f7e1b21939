/*
 * What may end a wait early, and what may not: the network and files with secrets change, servers
 * ask for patience.
 *
 * The chance is drawn from a source of its own, so that a schedule without any of this is what its
 * seed always was.
 */
#include "host_private.h"

#include "world.h"

enum { WAKE_MERGE_MS = 500, WAKE_SPREAD_MS = 1000, RETRY_AFTER_MS_MAX = 10 * 60 * 1000 };

/* One schedule in so many has changes at all. */
enum { WAKE_ONE_IN = 8 };

static uint64_t next_ms(struct world *world)
{
    struct chance *chance = &world->wake_chance;
    if (chance_one_in(chance, 3)) /* more of the same */
        return world->now_ms + chance_below(chance, 2 * WAKE_MERGE_MS);
    return world->now_ms + chance_scale(chance, 1, world->plan.faults_ms / 2 + 1);
}

void host_wake_open(struct world *world)
{
    struct host *host = &world->host;
    struct chance *chance = &world->wake_chance;
    *chance = (struct chance){.state = world->seed * 0x9e3779b97f4a7c15u + 7};
    chance_next(chance);
    host->change_ms = PIPE_NEVER;
    host->is_patient = chance_one_in(chance, WAKE_ONE_IN);
    host->has_secret = chance_one_in(chance, WAKE_ONE_IN);
    world->ledger.client_credential = chance_one_in(chance, 2 * WAKE_ONE_IN);
    if (world->ledger.client_credential)
        session_client_has_credential(&world->session);
    if (chance_one_in(chance, WAKE_ONE_IN))
        host->change_ms = next_ms(world);
}

/* The secret of this attempt cannot be read, or is not the right one; or the server is busy. */
void host_wake_attempt(struct world *world)
{
    static const uint16_t busy[] = {401, 404, 429, 503};
    struct host *host = &world->host;
    struct chance *chance = &world->wake_chance;
    if (!world->calm && host->is_patient && chance_one_in(chance, 4)) {
        host->outcome = ATTEMPT_STATUS;
        host->status = CHANCE_OF(chance, busy);
        return;
    }
    if (world->calm || !host->has_secret || !chance_one_in(chance, 3))
        return;
    host->outcome = chance_one_in(chance, 2) ? ATTEMPT_SECRET_UNREADABLE : ATTEMPT_STATUS;
    host->status = chance_one_in(chance, 2) ? 401 : 403;
}

/* A refused upgrade may ask for patience. */
void host_wake_refused(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    struct chance *chance = &world->wake_chance;
    if (world->calm || !world->host.is_patient || chance_one_in(chance, 3))
        return;
    uint64_t delay_ms = chance_one_in(chance, 8) ? UINT64_MAX : chance_scale(chance, 0, 1200000);
    world_count(world, TALLY_RETRY_AFTER);
    world_log(world, "the server asks for %llu ms", (unsigned long long)delay_ms);
    session_retry_after(&world->session, delay_ms, world_clock_ms(world));
    ledger->not_before_ms =
        world_clock_ms(world) + (delay_ms < RETRY_AFTER_MS_MAX ? delay_ms : RETRY_AFTER_MS_MAX);
}

static void network_changes(struct world *world)
{
    struct ledger *ledger = &world->ledger;
    world_count(world, TALLY_NETWORK_CHANGES);
    world_log(world, "the network changes");
    session_network_changed(&world->session, world_clock_ms(world));
    if (ledger->network_ms == 0)
        ledger->network_ms = world_clock_ms(world) + WAKE_MERGE_MS;
    ledger_may_wake(world, world_clock_ms(world) + WAKE_MERGE_MS + WAKE_SPREAD_MS);
}

static void secret_changes(struct world *world)
{
    world_count(world, TALLY_SECRET_CHANGES);
    world_log(world, "a secret changes");
    session_secret_changed(&world->session, world_clock_ms(world));
    if (world->ledger.waits_for_secret)
        ledger_may_wake(world, world_clock_ms(world));
}

void host_wake_turn(struct world *world)
{
    struct host *host = &world->host;
    if (world->calm)
        host->change_ms = PIPE_NEVER;
    if (world->now_ms < host->change_ms)
        return;
    host->change_ms = next_ms(world);
    if (!world->session_lives)
        return;
    if (chance_one_in(&world->wake_chance, 2))
        network_changes(world);
    else
        secret_changes(world);
    session_check(&world->session);
}
