/* A session with plain settings, a stream that takes everything, and a few steps in one word. */
#ifndef WSKEEP_TESTS_SESSION_FIXTURE_H
#define WSKEEP_TESTS_SESSION_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/session.h"

enum { FIXTURE_SENT_MAX = 256 };

struct fixture {
    struct session_settings settings;
    struct random_source random;
    struct budget budget;
    struct session session;
    struct session_actions actions;
    uint64_t now_ms;
    uint64_t offset;     /* of the upstream's byte stream: encoded and written */
    bool client_is_dead; /* it sends nothing more */
    uint8_t chance;      /* what the source of chance gives next */
    /* What fixture_flush() saw, in order: one letter each (m message, p Ping, c Close). */
    char sent[FIXTURE_SENT_MAX + 1];
    size_t sent_count;
    uint8_t ping[BARRIER_PAYLOAD_BYTES]; /* of the newest Ping */
    struct close_frame close;            /* that was sent upstream */
};

static inline void fixture_fill(void *context, void *out, size_t bytes)
{
    struct fixture *fixture = context;
    memset(out, fixture->chance++, bytes);
}

/* DESIGN's defaults, with a clock that begins at 10 s. */
static inline void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){
        .settings =
            {
                .connect_timeout_ms = 10000,
                .close_code_shutdown = 1001,
                .client_heartbeat = {.interval_ms = 30000,
                                     .timeout_ms = 30000,
                                     .stall_timeout_ms = SETTINGS_NEVER},
                .heartbeat = {.interval_ms = 20000, .timeout_ms = 10000, .stall_timeout_ms = 60000},
                .silence_ms = SETTINGS_NEVER,
                .backoff = {.initial_delay_ms = 250,
                            .max_delay_ms = 30000,
                            .multiplier_milli = 2000,
                            .jitter = false},
                .stable_after_ms = 10000,
                .give_up_after_ms = SETTINGS_NEVER,
                .ping_spacing_ms = 200,
                .window_bytes = 4 << 20,
                .ack_timeout_ms = 30000,
                .outbox_messages_max = 65536,
                .outbox_bytes_max = 64 << 20,
                .inbox_bytes_max = 64 << 20,
                .drain_timeout_ms = 5000,
            },
        .budget = {.bytes_max = 1 << 30},
        .now_ms = 10000,
        .chance = 1,
    };
}

static inline void fixture_begin(struct fixture *fixture, const char *subprotocol)
{
    fixture->random = (struct random_source){.fill = fixture_fill, .context = fixture};
    session_init(&fixture->session, &fixture->settings, &fixture->random, &fixture->budget,
                 fixture->now_ms);
    session_start(&fixture->session, subprotocol, fixture->now_ms, &fixture->actions);
}

/* From an attempt's begin to the 101. */
static inline void fixture_upgrade(struct fixture *fixture, const char *subprotocol)
{
    session_upstream_resolved(&fixture->session, fixture->now_ms, &fixture->actions);
    ck_assert_int_eq(fixture->session.state, SESSION_CONNECTING);
    session_upstream_connected(&fixture->session, fixture->now_ms, &fixture->actions);
    ck_assert_int_eq(fixture->session.state, SESSION_UPGRADING);
    fixture->offset = 0;
    session_upstream_upgraded(&fixture->session, subprotocol, fixture->now_ms, &fixture->actions);
}

static inline void fixture_open(struct fixture *fixture)
{
    fixture_begin(fixture, "");
    fixture_upgrade(fixture, NULL);
    ck_assert_int_eq(fixture->session.state, SESSION_OPEN);
}

static inline void fixture_clear(struct fixture *fixture)
{
    session_check(&fixture->session);
    session_clear(&fixture->session);
    ck_assert_uint_eq(fixture->budget.bytes, 0);
}

/* Send what may be sent; written: the kernel takes it all.  Returns the letters. */
static inline const char *fixture_flush(struct fixture *fixture, bool written)
{
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    struct session_send send = {.body = body};
    fixture->sent_count = 0;
    while (session_send_next(&fixture->session, fixture->now_ms, &send)) {
        ck_assert_uint_lt(fixture->sent_count, FIXTURE_SENT_MAX);
        fixture->sent[fixture->sent_count++] = " mpc"[send.kind];
        if (send.kind == SESSION_SEND_PING)
            memcpy(fixture->ping, send.payload, BARRIER_PAYLOAD_BYTES);
        if (send.kind == SESSION_SEND_CLOSE)
            ck_assert_uint_eq(close_decode(send.payload, send.payload_bytes, &fixture->close), 0);
        fixture->offset += frame_wire_bytes(send.payload_bytes, true);
        session_sent(&fixture->session, &send, fixture->offset, fixture->now_ms);
    }
    fixture->sent[fixture->sent_count] = '\0';
    if (written)
        session_upstream_written(&fixture->session, fixture->offset, fixture->now_ms,
                                 &fixture->actions);
    session_check(&fixture->session);
    return fixture->sent;
}

static inline enum session_take fixture_message_of(struct fixture *fixture, size_t bytes)
{
    uint8_t *payload = calloc(bytes + 1, 1);
    struct outbox_message message = {
        .opcode = FRAME_BINARY, .payload = payload, .payload_bytes = bytes};
    enum session_take take =
        session_client_message(&fixture->session, &message, fixture->now_ms, &fixture->actions);
    free(payload);
    session_check(&fixture->session);
    return take;
}

static inline enum session_take fixture_message(struct fixture *fixture)
{
    return fixture_message_of(fixture, 5);
}

/* The newest Ping is answered. */
static inline void fixture_pong(struct fixture *fixture)
{
    session_upstream_received(&fixture->session, fixture->now_ms);
    session_upstream_pong(&fixture->session, fixture->ping, BARRIER_PAYLOAD_BYTES, fixture->now_ms,
                          &fixture->actions);
    session_check(&fixture->session);
}

/* The peer's TCP has acknowledged everything. */
static inline void fixture_tcp_acked(struct fixture *fixture)
{
    session_upstream_tcp(&fixture->session, fixture->offset, false, fixture->now_ms);
}

static inline void fixture_lost(struct fixture *fixture, enum cause cause)
{
    session_upstream_lost(&fixture->session, cause, 0, fixture->now_ms, &fixture->actions);
    session_check(&fixture->session);
}

static inline struct close_frame fixture_close_frame(uint16_t code, const char *reason)
{
    struct close_frame close;
    close_set(&close, code, reason);
    return close;
}

static inline void fixture_upstream_close(struct fixture *fixture, uint16_t code,
                                          const char *reason)
{
    const struct close_frame close = fixture_close_frame(code, reason);
    session_upstream_close(&fixture->session, &close, fixture->now_ms, &fixture->actions);
    session_check(&fixture->session);
}

static inline void fixture_client_close(struct fixture *fixture, uint16_t code, const char *reason)
{
    const struct close_frame close = fixture_close_frame(code, reason);
    session_client_close(&fixture->session, &close, fixture->now_ms, &fixture->actions);
    session_check(&fixture->session);
}

/* Jump to a time and do what is due; the last actions stay in fixture->actions.  The client is
 * alive, unless a test says otherwise. */
static inline void fixture_timer_at(struct fixture *fixture, uint64_t now_ms)
{
    fixture->now_ms = now_ms;
    if (!fixture->client_is_dead)
        session_client_received(&fixture->session, true, now_ms);
    session_timer(&fixture->session, now_ms, &fixture->actions);
    if (fixture->actions.any && fixture->actions.ping_client)
        session_client_pinged(&fixture->session, 2, now_ms);
    session_check(&fixture->session);
}

/* The wait is over: the next attempt begins. */
static inline void fixture_next_attempt(struct fixture *fixture)
{
    ck_assert_int_eq(fixture->session.state, SESSION_WAITING);
    fixture_timer_at(fixture, fixture->session.wait_until_ms);
    ck_assert_int_eq(fixture->session.state, SESSION_RESOLVING);
}

/* Run from deadline to deadline, answering TCP probes, until the state changes or limit_ms. */
static inline void fixture_run_until_move(struct fixture *fixture, uint64_t limit_ms, bool tcp_acks)
{
    enum session_state from = fixture->session.state;
    while (fixture->session.state == from) {
        uint64_t due_ms = session_deadline_ms(&fixture->session);
        if (due_ms > limit_ms)
            return;
        if (due_ms > fixture->now_ms)
            fixture->now_ms = due_ms;
        session_timer(&fixture->session, fixture->now_ms, &fixture->actions);
        session_check(&fixture->session);
        if (fixture->session.state != from)
            return;
        if (fixture->actions.any && fixture->actions.probe_upstream)
            session_upstream_tcp(&fixture->session, tcp_acks ? fixture->offset : 0, !tcp_acks,
                                 fixture->now_ms);
        if (fixture->actions.any && fixture->actions.probe_client)
            session_client_tcp(&fixture->session, 0, false, fixture->now_ms);
        if (fixture->actions.any && fixture->actions.ping_client)
            session_client_pinged(&fixture->session, 2, fixture->now_ms);
        fixture_flush(fixture, true);
    }
}

#endif
