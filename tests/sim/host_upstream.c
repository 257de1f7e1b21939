/* The daemon's side of the upstream connection: reading, writing, and its end. */
#include "host_private.h"

#include <string.h>

#include "proto/close.h"
#include "world.h"

/* Its Pings may come back on a later connection. */
static void host_remember_pings(struct world *world, const struct conn *conn)
{
    uint64_t from = conn->ping_next > 4 ? conn->ping_next - 4 : 0;
    for (uint64_t i = from; i < conn->ping_next; i++) {
        unsigned at = world->old_ping_count < WORLD_OLD_PING_COUNT
                          ? world->old_ping_count++
                          : (unsigned)chance_below(&world->chance, WORLD_OLD_PING_COUNT);
        memcpy(world->old_pings[at], conn->pings[i % LEDGER_PING_COUNT].body, 16);
    }
}

void host_drop(struct world *world, const struct session_actions *actions)
{
    struct host *host = &world->host;
    struct conn *conn = host->conn;
    host->stage = HOST_NO_ATTEMPT;
    host->conn = NULL;
    if (!conn) {
        host->in_frame = false;
        return;
    }
    bool mid_frame = host->in_frame;
    host->in_frame = false;
    host->pongs_owed = 0;
    host_remember_pings(world, conn);
    ledger_connection_over(world, conn);
    if (mid_frame)
        world_count(world, TALLY_CUT_IN_MID_FRAME);
    switch (actions->drop) {
    case SESSION_DROP_NONE:
        world_fail(world, "dropped without being asked to");
        return;
    case SESSION_DROP_RESET:
        pipe_reset(&conn->up, world->now_ms);
        return;
    case SESSION_DROP_CLOSE:
        if (!mid_frame && pipe_has_room_for_frame(&conn->up) && !conn->up.fin_wanted) {
            host_put_close(&conn->up, &actions->upstream_close, true);
            world_count(world, TALLY_ECHOED_CLOSES);
        }
        pipe_flush(&conn->up, world->now_ms);
        pipe_fin(&conn->up, world->now_ms);
        return;
    case SESSION_DROP_ABANDON:
    case SESSION_DROP_FIN:
        if (pipe_readable(&conn->down) > 0 && actions->drop == SESSION_DROP_ABANDON)
            pipe_reset(&conn->up, world->now_ms); /* close() with unread bytes does that */
        else
            pipe_fin(&conn->up, world->now_ms);
        return;
    }
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static void host_read_message(struct world *world, const struct pipe_frame *frame)
{
    struct session *session = &world->session;
    bool expected = session->state == SESSION_OPEN && (session->client == SESSION_CLIENT_OPEN ||
                                                       session->client == SESSION_CLIENT_CLOSING);
    bool deliver = session_upstream_message(session, world_clock_ms(world));
    world_expect(world, deliver == expected, "an inbound message was %s in state %s",
                 deliver ? "delivered" : "dropped", session_state_name(session->state));
    world->ledger.data_ms = world_clock_ms(world);
    if (!deliver) {
        world_count(world, TALLY_DROPPED_INBOUND);
        return;
    }
    world->ledger.moved = true;
    world->ledger.delivered++;
    world_count(world, TALLY_DELIVERED);
    host_deliver(world, frame);
}

static void host_read_frame(struct world *world, const struct pipe_frame *frame)
{
    struct session_actions actions = {.any = true};
    struct session *session = &world->session;
    struct ledger *ledger = &world->ledger;
    uint64_t clock_ms = world_clock_ms(world);
    switch ((enum pipe_frame_kind)frame->kind) {
    case PIPE_MESSAGE:
        host_read_message(world, frame);
        return;
    case PIPE_PING:
        if (world->host.pongs_owed < 8)
            world->host.pongs_owed++;
        return;
    case PIPE_PONG:
        ledger->pong = frame->body;
        ledger->pong_bytes = frame->body_bytes;
        ledger_before(world, EVENT_PONG);
        session_upstream_pong(session, frame->body, frame->body_bytes, clock_ms, &actions);
        host_fed(world, &actions);
        return;
    case PIPE_CLOSE:
        close_set(&ledger->close, frame->code,
                  frame->code == CLOSE_NO_STATUS ? NULL : plan_reason[frame->reason]);
        ledger_before(world, EVENT_CLOSE);
        session_upstream_close(session, &ledger->close, clock_ms, &actions);
        host_fed(world, &actions);
        return;
    case PIPE_BROKEN:
        host_lost(world, CAUSE_PROTOCOL_ERROR, 0);
        return;
    case PIPE_TOO_BIG:
        host_lost(world, CAUSE_MESSAGE_TOO_BIG, 0);
        return;
    case PIPE_GAP:
        world_fail(world, "a gap message came from the server");
        return;
    }
}

/* Frames that were read as a whole, in order, as long as this is the session's connection. */
static void host_read_frames(struct world *world, struct conn *conn)
{
    while (host_is_open(world) && world->host.conn == conn && pipe_frame(&conn->down)) {
        if (world->plan.host.keeps_rest && !session_reads_upstream(&world->session))
            return;
        struct pipe_frame frame = *pipe_frame(&conn->down);
        pipe_drop_frame(&conn->down);
        host_read_frame(world, &frame);
    }
}

/* Rule 7: everything readable first, then the end, whatever writing says. */
void host_read_upstream(struct world *world)
{
    struct conn *conn = world->host.conn;
    while (host_is_open(world) && world->host.conn == conn &&
           session_reads_upstream(&world->session)) {
        struct pipe *down = &conn->down;
        host_read_frames(world, conn);
        if (!host_is_open(world) || world->host.conn != conn ||
            !session_reads_upstream(&world->session))
            return;
        uint64_t bytes = pipe_readable(down);
        if (bytes > world->plan.host.read_bytes_max)
            bytes = world->plan.host.read_bytes_max;
        if (bytes > 0) {
            pipe_read(down, bytes, world->now_ms);
            ledger_heard(world, conn);
            session_upstream_received(&world->session, world_clock_ms(world));
            continue;
        }
        if (conn->timed_out)
            host_lost(world, CAUSE_TCP_TIMEOUT, 0);
        else if (down->rst_arrived)
            host_lost(world, CAUSE_TCP_RESET, 0);
        else if (down->fin_arrived)
            host_lost(world, CAUSE_TCP_EOF, 0);
        return;
    }
}

/* ---- writing ------------------------------------------------------------------------------------
 */

static void host_encoded(struct world *world, const struct session_send *send, uint64_t end)
{
    session_sent(&world->session, send, end, world_clock_ms(world));
    if (send->kind == SESSION_SEND_MESSAGE)
        ledger_encoded(world, world->host.send_sequence, end);
}

/* What the session gave is put into the stream: at once, or the beginning of a long message. */
static void host_encode(struct world *world, const struct session_send *send)
{
    static const enum pipe_frame_kind kinds[] = {[SESSION_SEND_MESSAGE] = PIPE_MESSAGE,
                                                 [SESSION_SEND_PING] = PIPE_PING,
                                                 [SESSION_SEND_CLOSE] = PIPE_CLOSE};
    struct host *host = &world->host;
    struct ledger *ledger = &world->ledger;
    struct pipe *up = &host->conn->up;
    struct pipe_frame *frame =
        pipe_put(up, kinds[send->kind], frame_wire_bytes(send->payload_bytes, true));
    host->send_end = frame->end;
    if (send->kind == SESSION_SEND_MESSAGE) {
        host->send_sequence = host->conn->next_sequence - 1;
        frame->number = ledger->order[host->send_sequence];
        frame->bytes = (uint32_t)send->payload_bytes;
        if (send->payload_bytes > world->plan.host.piece_bytes) {
            world_count(world, TALLY_MESSAGES_IN_PIECES);
            host->in_frame = true;
            host->send = *send;
            return;
        }
    } else if (send->kind == SESSION_SEND_PING) {
        memcpy(frame->body, send->payload, 16);
        frame->body_bytes = 16;
    } else {
        frame->code = CLOSE_NO_STATUS;
        if (send->payload_bytes >= 2)
            frame->code = (uint16_t)(send->payload[0] << 8 | send->payload[1]);
    }
    host->encoded = frame->end;
    host_encoded(world, send, frame->end);
}

static void host_encode_piece(struct world *world)
{
    struct host *host = &world->host;
    uint64_t rest = host->send_end - host->encoded;
    uint64_t piece = world->plan.host.piece_bytes;
    host->encoded += piece < rest ? piece : rest;
    if (host->encoded < host->send_end)
        return;
    uint64_t number = world->ledger.order[host->send_sequence];
    world_expect(world,
                 world_payload_is(host->send.payload, number, world->ledger.messages[number].bytes),
                 "message %llu changed while it was encoded", (unsigned long long)number);
    host->in_frame = false;
    host_encoded(world, &host->send, host->send_end);
}

/* One more thing into the stream; false when there is nothing, or no room to hold it. */
static bool host_gather(struct world *world)
{
    struct host *host = &world->host;
    struct pipe *up = &host->conn->up;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    struct session_send send;
    if (host->encoded - up->written >= world->plan.host.gather_bytes_max)
        return false;
    if (host->in_frame) {
        host_encode_piece(world);
        return true;
    }
    if (!pipe_has_room_for_frame(up))
        return false;
    if (host->pongs_owed > 0) {
        host->pongs_owed--;
        host->encoded = pipe_put(up, PIPE_PONG, frame_wire_bytes(4, true))->end;
        return true;
    }
    memset(&send, 0xaa, sizeof send);
    memset(body, 0xaa, sizeof body);
    send.body = body;
    if (!session_send_next(&world->session, world_clock_ms(world), &send))
        return false;
    ledger_sending(world, &send);
    if (!world->failed)
        host_encode(world, &send);
    return true;
}

static void host_wrote(struct world *world)
{
    struct session_actions actions = {.any = true};
    struct pipe *up = &world->host.conn->up;
    ledger_before(world, EVENT_WRITTEN);
    ledger_written(world, up->written);
    session_upstream_written(&world->session, up->written, world_clock_ms(world), &actions);
    host_fed(world, &actions);
}

void host_write_upstream(struct world *world)
{
    struct host *host = &world->host;
    struct conn *conn = host->conn;
    while (host_is_open(world) && host->conn == conn && !conn->up.fin_wanted) {
        struct pipe *up = &conn->up;
        if (conn->down.rst_arrived) {
            if (!conn->write_failed &&
                (host->encoded > up->written ||
                 session_has_to_send(&world->session, world_clock_ms(world)))) {
                conn->write_failed = true;
                world_count(world, TALLY_WRITE_FAILED);
                if (pipe_readable(&conn->down) > 0)
                    world_count(world, TALLY_WRITE_FAILED_READABLE);
            }
            return; /* judged by what can still be read, never by this */
        }
        while (!world->failed && host_gather(world))
            ;
        uint64_t bytes = host->encoded - up->written;
        uint64_t space = pipe_space(up);
        bool partial = bytes > 1 && chance_one_in(&world->chance, 16);
        if (bytes > space)
            bytes = space;
        if (partial && bytes > 1)
            bytes = chance_between(&world->chance, 1, bytes - 1);
        if (bytes == 0 || world->failed)
            return;
        pipe_write(up, bytes, world->now_ms);
        if (world->session.state == SESSION_CLOSING && world->session.close_sent &&
            up->written == up->put)
            pipe_fin(up, world->now_ms); /* after our Close nothing more */
        host_wrote(world);
        if (partial)
            return;
    }
}

bool host_wants_to_write(struct world *world)
{
    const struct host *host = &world->host;
    const struct conn *conn = host->conn;
    if (conn->up.fin_wanted || conn->down.rst_arrived || pipe_space(&conn->up) == 0)
        return false;
    return host->encoded > conn->up.written || host->in_frame || host->pongs_owed > 0 ||
           session_has_to_send(&world->session, world_clock_ms(world));
}
