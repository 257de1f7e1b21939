/* The end of connections. */
#include "net/linger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "net/conn.h"
#include "net/report.h"
#include "net/worker.h"
#include "proto/message.h"

struct lingering {
    struct worker *worker;
    struct conn conn;
    struct message_reader reader; /* while awaits_close */
    bool awaits_close;
    struct timer timer;
    uint64_t stall_ms;
    uint64_t last_ms;      /* not a moment longer */
    uint64_t acked_offset; /* of the stream, when TCP was last asked */
    char who[REPORT_NAME_BYTES];
    LIST_ENTRY(lingering) entry;
};

static void end(struct lingering *lingering)
{
    struct worker *worker = lingering->worker;
    conn_close(&lingering->conn, false);
    message_reader_clear(&lingering->reader);
    timers_remove(&worker->timers, &lingering->timer);
    LIST_REMOVE(lingering, entry);
    worker->lingering_count--;
    free(lingering);
}

static void wait(struct lingering *lingering, uint64_t delay_ms)
{
    struct worker *worker = lingering->worker;
    uint64_t due_ms = timers_after(worker_now(worker), delay_ms);
    timers_set(&worker->timers, &lingering->timer,
               due_ms < lingering->last_ms ? due_ms : lingering->last_ms);
}

static void stop_awaiting(struct lingering *lingering)
{
    lingering->awaits_close = false;
    message_reader_clear(&lingering->reader);
}

/* Nothing is owed any more, or nothing can be paid. */
static void shut(struct lingering *lingering)
{
    if (lingering->conn.read_ended) {
        end(lingering);
        return;
    }
    stop_awaiting(lingering);
    conn_shut(&lingering->conn);
    wait(lingering, LINGER_READ_MS);
}

/* The last byte is out: peers that end at our FIN must have had the time to read what is before. */
static void flushed(struct lingering *lingering)
{
    if (lingering->awaits_close && !lingering->conn.read_ended)
        wait(lingering, LINGER_CLOSE_MS);
    else
        shut(lingering);
}

/* Messages are skipped; the peer's Close, or what is no frame, is the end of them. */
static void look_for_close(struct lingering *lingering, uint8_t *data, size_t bytes)
{
    struct message message;
    size_t consumed;
    while (message_read(&lingering->reader, data, bytes, &consumed, &message) !=
           MESSAGE_NEED_MORE) {
        data += consumed;
        bytes -= consumed;
    }
    if (message_reader_has_ended(&lingering->reader))
        stop_awaiting(lingering);
}

static void on_read(struct watched *watched)
{
    struct lingering *lingering = container_of(watched, struct lingering, conn.watched);
    struct worker *worker = lingering->worker;
    struct conn *conn = &lingering->conn;
    int error;
    ssize_t got = conn->is_shut
                      ? conn_read_wire(conn, worker->receive_buffer, WORKER_RECEIVE_BYTES, &error)
                      : conn_read(conn, worker->receive_buffer, WORKER_RECEIVE_BYTES, &error);
    if (got > 0 && lingering->awaits_close)
        look_for_close(lingering, worker->receive_buffer, (size_t)got);
    if (got > 0 || got == -1) {
        if (!conn->is_shut && !lingering->awaits_close && conn_is_flushed(conn))
            shut(lingering); /* with TLS, reading may be what writing waits for */
        return;
    }
    if (got == 0 && !conn->is_shut && !conn_is_flushed(conn))
        return; /* it has nothing more to say, and may still listen */
    end(lingering);
}

static void on_write(struct watched *watched)
{
    struct lingering *lingering = container_of(watched, struct lingering, conn.watched);
    conn_write_unsent(&lingering->conn);
    if (conn_is_flushed(&lingering->conn))
        flushed(lingering);
    else
        wait(lingering, lingering->stall_ms);
}

/* Of a socket that is not writable the kernel may still send: what TCP got through is progress. */
static bool has_progress(struct lingering *lingering, uint64_t *owed_bytes)
{
    const struct conn *conn = &lingering->conn;
    uint64_t acked_offset;
    bool in_flight;
    conn_probe(conn, &acked_offset, &in_flight);
    bool is_further = acked_offset > lingering->acked_offset;
    lingering->acked_offset = acked_offset;
    *owed_bytes = conn->written_offset - acked_offset + conn_unsent_bytes(conn);
    return is_further;
}

static void report_owed(const struct lingering *lingering, uint64_t owed_bytes)
{
    char sentence[REPORT_NAME_BYTES + 128];
    snprintf(sentence, sizeof(sentence), "%s: the last %" PRIu64 " bytes were not taken",
             lingering->who, owed_bytes);
    const struct log_field fields[] = {log_text("session", lingering->who),
                                       log_number("bytes", owed_bytes)};
    log_line(lingering->worker->log, LOG_WARNING, "not-taken", sentence, fields, 2);
}

static void on_timer(struct timer *timer)
{
    struct lingering *lingering = container_of(timer, struct lingering, timer);
    struct worker *worker = lingering->worker;
    uint64_t owed_bytes;
    bool goes_on = has_progress(lingering, &owed_bytes) && owed_bytes > 0 &&
                   worker_now(worker) < lingering->last_ms;
    if (goes_on) {
        if (!conn_is_flushed(&lingering->conn))
            conn_wait_writable(&lingering->conn);
        wait(lingering, lingering->stall_ms);
        return;
    }
    if (owed_bytes > 0 && !lingering->conn.write_error)
        report_owed(lingering, owed_bytes);
    if (owed_bytes == 0 && lingering->awaits_close && worker_now(worker) < lingering->last_ms)
        shut(lingering);
    else
        end(lingering);
}

static void take_over(struct lingering *lingering, struct conn *from)
{
    static const struct watched_calls calls = {.on_read = on_read, .on_write = on_write};
    struct conn *to = &lingering->conn;
    conn_init(to);
    const struct conn state = *from;
    int fd = conn_detach(from);
    conn_open(to, fd, state.is_unix, &lingering->worker->readiness, &calls);
    to->read_ended = state.read_ended;
    to->write_error = state.write_error;
    to->is_shut = state.is_shut;
    to->tls = state.tls;
    from->tls = NULL;
    to->queued_offset = state.queued_offset;
    to->written_offset = state.written_offset;
    unsent_move(&to->unsent, &from->unsent);
}

void linger_take(struct worker *worker, struct conn *conn, struct message_reader *reader,
                 uint64_t stall_ms, const char *who)
{
    if (worker->gather.conn == conn)
        gather_flush(&worker->gather);
    if (!conn_is_open(conn))
        return;
    struct lingering *lingering = calloc(1, sizeof(*lingering));
    if (!lingering || !timers_add(&worker->timers, &lingering->timer, on_timer)) {
        free(lingering);
        conn_close(conn, false); /* the peer may miss the last bytes; it learns of the end */
        return;
    }
    lingering->worker = worker;
    lingering->stall_ms = stall_ms;
    lingering->last_ms =
        worker->is_hurried ? timers_after(worker_now(worker), stall_ms) : TIMERS_NEVER;
    snprintf(lingering->who, sizeof(lingering->who), "%s", who);
    LIST_INSERT_HEAD(&worker->lingerings, lingering, entry);
    worker->lingering_count++;
    take_over(lingering, conn);
    if (reader) {
        lingering->awaits_close = true;
        lingering->reader = *reader;
        *reader = (struct message_reader){0};
        message_reader_skip_data(&lingering->reader); /* no memory of memory_max is taken here */
    }
    conn_set_reading(&lingering->conn, true);
    if (conn_is_flushed(&lingering->conn)) {
        flushed(lingering);
        return;
    }
    conn_wait_writable(&lingering->conn);
    wait(lingering, stall_ms);
}

void linger_hurry(struct worker *worker)
{
    struct lingering *lingering;
    worker->is_hurried = true;
    LIST_FOREACH(lingering, &worker->lingerings, entry)
    {
        lingering->last_ms = timers_after(worker_now(worker), lingering->stall_ms);
        wait(lingering, lingering->stall_ms);
    }
}

void linger_end_all(struct worker *worker)
{
    while (!LIST_EMPTY(&worker->lingerings))
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the one before it has left the list */
        end(LIST_FIRST(&worker->lingerings));
}
