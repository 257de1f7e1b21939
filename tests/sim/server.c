/* The server's side of one connection. */
#include "server.h"

#include <string.h>

#include "proto/frame.h"
#include "world.h"

enum { SERVER_READS_EVERY_MS = 10 };

static void earliest(uint64_t *due_ms, uint64_t at_ms)
{
    if (at_ms < *due_ms)
        *due_ms = at_ms;
}

/* ---- fate --------------------------------------------------------------------------------- */

static void server_draw_pong(struct world *world, struct server *server)
{
    const struct plan_server *plan = &world->plan.server;
    server->pong = (enum plan_pong)plan_weighted(&world->chance, plan->pong_weights, PONG_COUNT);
    server->pong_delay_ms =
        chance_scale(&world->chance, 1, 2 * world->plan.settings.ack_timeout_ms);
    world->tally->pongs[server->pong]++;
}

static void server_draw_fate(struct world *world, struct server *server)
{
    const struct plan_server *plan = &world->plan.server;
    struct chance *chance = &world->chance;
    server->fate = (enum plan_fate)plan_weighted(chance, plan->fate_weights, FATE_COUNT);
    server->fate_ms = world->now_ms + chance_scale(chance, 0, plan->fate_ms_max);
    if (server->fate == FATE_SHORT)
        server->fate_count = chance_below(chance, 5);
    if (server->fate == FATE_CUT)
        server->fate_count = chance_scale(chance, 1, 4 * world->plan.client.bytes_max + 256);
    if (chance_one_in(chance, plan->stops_one_in)) {
        server->stop_ms = world->now_ms + chance_scale(chance, 0, plan->stops_ms_max);
        server->again_ms = server->stop_ms + chance_scale(chance, 1, plan->stops_ms_max);
    }
}

/* The process is gone: what it had not read is lost, and its kernel says RST. */
static void server_reset(struct world *world, struct conn *conn)
{
    if (conn->server.gone)
        return;
    conn->server.gone = true;
    pipe_reset(&conn->down, world->now_ms);
    world_log(world, "server %u: RST", conn->number);
}

static void server_fin(struct world *world, struct conn *conn)
{
    pipe_flush(&conn->down, world->now_ms);
    pipe_fin(&conn->down, world->now_ms);
    world_log(world, "server %u: FIN", conn->number);
}

/* ---- what it sends ------------------------------------------------------------------------ */

/* As many as the client's end of it can hold, should it read none. */
static void server_put_message(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    bool enough = world->pushed_count == WORLD_PUSH_COUNT_MAX && !world->calm;
    if (!pipe_has_room_for_frame(&conn->down) || enough)
        return;
    world->pushed_count++;
    uint32_t bytes = (uint32_t)chance_scale(&world->chance, 0, server->push_bytes_max);
    struct pipe_frame *frame = pipe_put(&conn->down, PIPE_MESSAGE, frame_wire_bytes(bytes, false));
    frame->number = ++server->pushed_number;
    frame->bytes = bytes;
    frame->source = conn->number;
}

static void server_put_body(struct conn *conn, enum pipe_frame_kind kind, const uint8_t *body,
                            size_t body_bytes)
{
    if (!pipe_has_room_for_frame(&conn->down))
        return;
    struct pipe_frame *frame = pipe_put(&conn->down, kind, frame_wire_bytes(body_bytes, false));
    memcpy(frame->body, body, body_bytes);
    frame->body_bytes = (uint8_t)body_bytes;
}

static void server_put_close(struct world *world, struct conn *conn, uint16_t code, uint8_t reason)
{
    struct server *server = &conn->server;
    if (server->close_sent || !pipe_has_room_for_frame(&conn->down))
        return;
    size_t text_bytes = code == CLOSE_NO_STATUS ? 0 : strlen(plan_reason[reason]);
    uint64_t bytes = code == CLOSE_NO_STATUS ? 0 : 2 + text_bytes;
    struct pipe_frame *frame = pipe_put(&conn->down, PIPE_CLOSE, frame_wire_bytes(bytes, false));
    frame->code = code;
    frame->reason = code == CLOSE_NO_STATUS ? 0 : reason;
    server->close_sent = true;
    server->push_left = 0;
    world_log(world, "server %u: Close %u \"%s\"", conn->number, code, plan_reason[frame->reason]);
}

static void server_put_any_close(struct world *world, struct conn *conn)
{
    static const uint16_t codes[] = {1000, 1000, 1000, 1001, 1001, 1002, 1003, 1005,
                                     1005, 1007, 1008, 1009, 1010, 1011, 1011, 1012,
                                     1012, 1013, 1014, 3000, 4001, 4999};
    uint16_t code = CHANCE_OF(&world->chance, codes);
    server_put_close(world, conn, code, (uint8_t)chance_below(&world->chance, PLAN_REASON_COUNT));
}

/* Payloads that answer nothing: changed ones, those of earlier connections, and guesses that mix
 * the two. */
static void server_put_false_pong(struct world *world, struct conn *conn, const uint8_t *body)
{
    struct chance *chance = &world->chance;
    uint8_t wrong[16];
    size_t bytes = sizeof wrong;
    memcpy(wrong, body, sizeof wrong);
    switch (chance_below(chance, 6)) {
    case 0:
        chance_fill(chance, wrong, sizeof wrong);
        break;
    case 1:
        bytes = (size_t)chance_below(chance, 16);
        break;
    case 2: /* a much later message than the Ping came after; the next ones could be guessed */
        wrong[13] ^= 1;
        break;
    case 3: /* another connection's number, this one's sequence */
        if (world->old_ping_count > 0)
            memcpy(wrong, world->old_pings[chance_below(chance, world->old_ping_count)], 8);
        else
            wrong[0] ^= 1;
        world_count(world, TALLY_PONGS_OF_OLD);
        break;
    case 4: /* word for word of another connection */
        if (world->old_ping_count > 0)
            memcpy(wrong, world->old_pings[chance_below(chance, world->old_ping_count)], 16);
        else
            wrong[7] ^= 0x80;
        world_count(world, TALLY_PONGS_OF_OLD);
        break;
    default:
        wrong[chance_below(chance, 14)] ^= (uint8_t)(1u << chance_below(chance, 8));
        break;
    }
    server_put_body(conn, PIPE_PONG, wrong, bytes);
}

static void server_answer(struct conn *conn, const uint8_t *body)
{
    server_put_body(conn, PIPE_PONG, body, 16);
    conn->server.answered_ping = true;
}

/* Every so often a connection begins with Pongs that belong to the one before. */
static void server_greet(struct world *world, struct conn *conn)
{
    if (world->old_ping_count == 0 || !chance_one_in(&world->chance, 8))
        return;
    for (uint64_t i = chance_between(&world->chance, 1, 3); i > 0; i--) {
        server_put_body(conn, PIPE_PONG,
                        world->old_pings[chance_below(&world->chance, world->old_ping_count)], 16);
        world_count(world, TALLY_PONGS_OF_OLD);
    }
}

static void server_pong(struct world *world, struct conn *conn, const uint8_t *body)
{
    struct server *server = &conn->server;
    server->pings_read++;
    switch (server->pong) {
    case PONG_ALWAYS:
        server_answer(conn, body);
        return;
    case PONG_NEVER:
        return;
    case PONG_WRONG:
        for (uint64_t i = chance_between(&world->chance, 1, 3); i > 0; i--)
            server_put_false_pong(world, conn, body);
        return;
    case PONG_THIRD:
        if (server->pings_read % 3 == 0)
            server_answer(conn, body);
        return;
    case PONG_LATE:
        if (server->late_count == SERVER_LATE_COUNT)
            return;
        server->late[server->late_count].at_ms = world->now_ms + server->pong_delay_ms;
        memcpy(server->late[server->late_count].body, body, 16);
        server->late_count++;
        return;
    case PONG_COUNT:
        return;
    }
}

static void server_push(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    const struct plan_server *plan = &world->plan.server;
    uint32_t burst = world->calm ? 1 : plan->push_burst;
    for (uint32_t i = 0; i < burst && server->push_left > 0; i++) {
        if (conn->down.put - conn->down.written > server->push_bytes_max)
            break; /* its own writes would block */
        server->push_left--;
        server_put_message(world, conn);
    }
    uint64_t spacing_ms = plan->push_spacing_ms + 1;
    if (world->calm)
        spacing_ms = world->plan.settings.silence_ms / 3;
    server->push_ms = server->push_left > 0 ? world->now_ms + spacing_ms : PIPE_NEVER;
}

/* ---- what it reads ------------------------------------------------------------------------ */

/* A life that ends a round trip after the first message, whatever has come by then. */
static void server_first_message(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    const struct pipe_path *up = &conn->up.path;
    server->first_read_ms = world->now_ms;
    if (server->fate == FATE_SHORT && server->fate_count == 0)
        server->reset_ms = world->now_ms + up->latency_ms + conn->down.path.latency_ms + 20 +
                           64 / up->bytes_per_ms;
}

/* It has lived for its messages and their Pong. */
static void server_judge_life(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    if (server->fate == FATE_SHORT && server->fate_count > 0 &&
        server->read_count >= server->fate_count && server->answered_ping &&
        server->reset_ms == PIPE_NEVER)
        server->reset_ms = world->now_ms + chance_below(&world->chance, 3);
}

static void server_read_frame(struct world *world, struct conn *conn,
                              const struct pipe_frame *frame)
{
    struct server *server = &conn->server;
    switch ((enum pipe_frame_kind)frame->kind) {
    case PIPE_MESSAGE:
        if (server->read_count++ == 0)
            server_first_message(world, conn);
        server->answered_ping = false; /* of this message, not yet */
        server->read_number = frame->number;
        ledger_server_read(world, conn, frame->number);
        return;
    case PIPE_PING:
        server_pong(world, conn, frame->body);
        server_judge_life(world, conn);
        return;
    case PIPE_CLOSE:
        world_log(world, "server %u: got Close %u", conn->number, frame->code);
        if (!server->close_sent && !chance_one_in(&world->chance, 10))
            server_put_close(world, conn, frame->code, 0);
        server->end_ms = world->now_ms + (chance_one_in(&world->chance, 10) ? 3000 : 0);
        return;
    case PIPE_PONG:
        return;
    case PIPE_GAP:
    case PIPE_BROKEN:
    case PIPE_TOO_BIG:
        world_fail(world, "the server got what only a server sends");
        return;
    }
}

/* As much as its application takes now; the rest in a while. */
static uint64_t server_may_read(const struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    uint64_t bytes = pipe_readable(&conn->up);
    uint64_t rate = world->plan.server.read_bytes_per_ms;
    if (rate == 0 || world->calm || bytes == 0)
        return bytes;
    if (server->read_ms != PIPE_NEVER && world->now_ms < server->read_ms)
        return 0;
    uint64_t most = rate * SERVER_READS_EVERY_MS;
    if (bytes > most)
        bytes = most;
    server->read_ms = world->now_ms + bytes / rate + 1;
    return bytes;
}

/* Whole frames only: one that a broken connection has cut off is never seen. */
static void server_read(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    struct pipe *up = &conn->up;
    if (server->gone) {
        if (pipe_readable(up) > 0 && !up->rst_arrived)
            pipe_reset(&conn->down, world->now_ms); /* nobody has this socket any more */
        pipe_read(up, pipe_readable(up), world->now_ms);
        return;
    }
    if (!server->reads)
        return;
    uint64_t bytes = server_may_read(world, conn);
    if (server->fate == FATE_CUT && up->read + bytes >= server->fate_count) {
        bytes = server->fate_count > up->read ? server->fate_count - up->read : 0;
        server->reset_ms = world->now_ms;
    }
    pipe_read(up, bytes, world->now_ms);
    for (struct pipe_frame *frame; !server->gone && (frame = pipe_frame(up)) != NULL;) {
        server_read_frame(world, conn, frame);
        pipe_drop_frame(up);
    }
    if (up->rst_arrived) {
        server->gone = true;
    } else if (up->fin_arrived && pipe_readable(up) == 0 && server->end_ms == PIPE_NEVER) {
        server->end_ms = world->now_ms;
    }
}

/* ---- time --------------------------------------------------------------------------------- */

static void server_meet_fate(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    server->fate_ms = PIPE_NEVER;
    switch (server->fate) {
    case FATE_LIVES:
    case FATE_CUT:
    case FATE_SHORT:
    case FATE_COUNT:
        return;
    case FATE_RST:
        server_reset(world, conn);
        return;
    case FATE_FIN:
        server_fin(world, conn);
        server->end_ms = world->now_ms + chance_scale(&world->chance, 0, 2000);
        return;
    case FATE_CLOSE:
        server_put_any_close(world, conn);
        server->end_ms = world->now_ms + 2000;
        return;
    case FATE_CLOSE_RST:
        for (uint64_t i = chance_below(&world->chance, 20); i > 0; i--)
            server_put_message(world, conn);
        server_put_any_close(world, conn);
        pipe_flush(&conn->down, world->now_ms);
        server_reset(world, conn);
        return;
    case FATE_SILENT:
    case FATE_SILENT_UP:
    case FATE_SILENT_DOWN:
        world_log(world, "server %u: %s", conn->number, plan_fate_name(server->fate));
        conn->blameless = false;
        if (server->fate != FATE_SILENT_DOWN) {
            pipe_silence(&conn->up);
            pipe_silence_acks(&conn->down);
        }
        if (server->fate != FATE_SILENT_UP) {
            pipe_silence(&conn->down);
            pipe_silence_acks(&conn->up);
        }
        return;
    case FATE_HANG:
        server->reads = false;
        conn->blameless = false;
        server->again_ms = PIPE_NEVER;
        server->push_left = chance_one_in(&world->chance, 2) ? server->push_left : 0;
        return;
    case FATE_BROKEN:
    case FATE_TOO_BIG:
        if (pipe_has_room_for_frame(&conn->down))
            pipe_put(&conn->down, server->fate == FATE_BROKEN ? PIPE_BROKEN : PIPE_TOO_BIG, 20);
        return;
    }
}

static void server_send_late(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    unsigned kept = 0;
    for (unsigned i = 0; i < server->late_count; i++) {
        if (server->late[i].at_ms <= world->now_ms)
            server_answer(conn, server->late[i].body);
        else
            server->late[kept++] = server->late[i];
    }
    server->late_count = kept;
}

uint64_t server_due_ms(const struct conn *conn)
{
    const struct server *server = &conn->server;
    uint64_t due_ms = PIPE_NEVER;
    if (server->gone)
        return due_ms;
    earliest(&due_ms, server->fate_ms);
    earliest(&due_ms, server->reset_ms);
    earliest(&due_ms, server->end_ms);
    earliest(&due_ms, server->stop_ms);
    earliest(&due_ms, server->again_ms);
    earliest(&due_ms, server->ping_ms);
    if (server->read_ms != PIPE_NEVER && server->reads && pipe_readable(&conn->up) > 0)
        earliest(&due_ms, server->read_ms);
    if (server->push_left > 0)
        earliest(&due_ms, server->push_ms);
    for (unsigned i = 0; i < server->late_count; i++)
        earliest(&due_ms, server->late[i].at_ms);
    return due_ms;
}

static void server_do_due(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    uint64_t now_ms = world->now_ms;
    if (now_ms >= server->stop_ms) {
        server->stop_ms = PIPE_NEVER;
        server->reads = false;
        conn->blameless = false;
    }
    if (now_ms >= server->again_ms) {
        server->again_ms = PIPE_NEVER;
        server->reads = true;
    }
    if (now_ms >= server->ping_ms) {
        uint8_t body[16] = {0};
        server_put_body(conn, PIPE_PING, body, (size_t)chance_below(&world->chance, 17));
        server->ping_ms = PIPE_NEVER;
    }
    server_send_late(world, conn);
    if (server->push_left > 0 && now_ms >= server->push_ms && !server->close_sent)
        server_push(world, conn);
    if (now_ms >= server->fate_ms)
        server_meet_fate(world, conn);
}

void server_run(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    if (!server->gone)
        server_do_due(world, conn);
    server_read(world, conn);
    if (server->gone)
        return;
    pipe_flush(&conn->down, world->now_ms);
    if (world->now_ms >= server->reset_ms) {
        server_reset(world, conn);
    } else if (world->now_ms >= server->end_ms) {
        server_fin(world, conn);
        server->gone = true;
        if (pipe_readable(&conn->up) > 0)
            pipe_reset(&conn->down, world->now_ms);
    }
}

void server_open(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    const struct plan_server *plan = &world->plan.server;
    struct chance *chance = &world->chance;
    *server = (struct server){.fate = FATE_LIVES,
                              .pong = PONG_ALWAYS,
                              .fate_ms = PIPE_NEVER,
                              .reset_ms = PIPE_NEVER,
                              .end_ms = PIPE_NEVER,
                              .stop_ms = PIPE_NEVER,
                              .again_ms = PIPE_NEVER,
                              .read_ms = PIPE_NEVER,
                              .push_ms = PIPE_NEVER,
                              .ping_ms = PIPE_NEVER,
                              .reads = true};
    if (world->calm && world->short_lives && world->short_left > 0) {
        world->short_left--;
        server->fate = FATE_SHORT;
        server->fate_count = chance_below(chance, 4);
    }
    if (!world->calm) {
        server_draw_fate(world, server);
        server_draw_pong(world, server);
        if (chance_one_in(chance, plan->pings_one_in))
            server->ping_ms = world->now_ms + chance_scale(chance, 0, plan->fate_ms_max);
    }
    world->tally->fates[server->fate]++;
    conn->blameless = server->pong == PONG_ALWAYS;
    server->push_bytes_max = plan->push_bytes_max;
    if (!world->calm && chance_one_in(chance, plan->push_one_in)) {
        server->push_left = plan->push_count_max;
        server->push_ms = world->now_ms;
    }
    if (world->plan.settings.silence_ms != SETTINGS_NEVER && world->calm) {
        server->push_left = UINT32_MAX; /* a link that is judged by its data has some */
        server->push_ms = world->now_ms;
    }
    if (!world->calm)
        server_greet(world, conn);
    world_log(world, "server %u: %s, answers Pings %s", conn->number, plan_fate_name(server->fate),
              plan_pong_name(server->pong));
}

void server_calm(struct world *world, struct conn *conn)
{
    struct server *server = &conn->server;
    if (server->gone)
        return;
    server->fate_ms = PIPE_NEVER;
    server->stop_ms = PIPE_NEVER;
    server->again_ms = PIPE_NEVER;
    server->reads = true;
    server->pong = PONG_ALWAYS;
    if (server->fate == FATE_CUT || server->fate == FATE_SHORT)
        server->fate = FATE_LIVES;
    for (unsigned i = 0; i < server->late_count; i++)
        server->late[i].at_ms = world->now_ms;
    if (world->plan.settings.silence_ms != SETTINGS_NEVER && !server->close_sent) {
        server->push_left = UINT32_MAX;
        server->push_ms = world->now_ms;
    }
    server_run(world, conn);
}
