/* The end of connections. */
#include "net/linger.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "net/conn.h"
#include "net/worker.h"

struct lingering {
    struct worker *worker;
    struct conn conn;
    struct timer timer;
    uint64_t stall_ms;
    LIST_ENTRY(lingering) entry;
};

static void end(struct lingering *lingering)
{
    struct worker *worker = lingering->worker;
    conn_close(&lingering->conn, false);
    timers_remove(&worker->timers, &lingering->timer);
    LIST_REMOVE(lingering, entry);
    worker->lingering_count--;
    free(lingering);
}

/* Nothing is owed any more, or nothing can be paid. */
static void shut(struct lingering *lingering)
{
    struct worker *worker = lingering->worker;
    if (lingering->conn.read_ended) {
        end(lingering);
        return;
    }
    conn_shut(&lingering->conn);
    timers_set(&worker->timers, &lingering->timer, worker_now(worker) + LINGER_READ_MS);
}

static void on_read(evutil_socket_t fd, short what, void *argument)
{
    struct lingering *lingering = argument;
    struct worker *worker = lingering->worker;
    struct conn *conn = &lingering->conn;
    int error;
    (void)fd;
    (void)what;
    ssize_t got = conn->is_shut ? conn_read_wire(conn, worker->receive_buffer,
                                                 WORKER_RECEIVE_BYTES, &error)
                                : conn_read(conn, worker->receive_buffer, WORKER_RECEIVE_BYTES,
                                            &error);
    if (got > 0 || got == -1) {
        if (!conn->is_shut && conn_is_flushed(conn))
            shut(lingering); /* with TLS, reading may be what writing waits for */
        return;
    }
    if (got == 0 && !conn->is_shut && !conn_is_flushed(conn))
        return; /* it has nothing more to say, and may still listen */
    end(lingering);
}

static void on_write(evutil_socket_t fd, short what, void *argument)
{
    struct lingering *lingering = argument;
    struct worker *worker = lingering->worker;
    (void)fd;
    (void)what;
    conn_write_unsent(&lingering->conn);
    if (conn_is_flushed(&lingering->conn))
        shut(lingering);
    else
        timers_set(&worker->timers, &lingering->timer,
                   worker_now(worker) + lingering->stall_ms);
}

static void on_timer(struct timer *timer)
{
    struct lingering *lingering = container_of(timer, struct lingering, timer);
    end(lingering);
}

static void take_over(struct lingering *lingering, struct conn *from)
{
    struct conn *to = &lingering->conn;
    conn_init(to, from->unsent.budget);
    const struct conn state = *from;
    int fd = conn_detach(from);
    conn_open(to, fd, state.is_unix, lingering->worker->base, on_read, on_write, lingering);
    to->read_ended = state.read_ended;
    to->write_error = state.write_error;
    to->is_shut = state.is_shut;
    to->tls = state.tls;
    from->tls = NULL;
    unsent_move(&to->unsent, &from->unsent);
}

void linger_take(struct worker *worker, struct conn *conn, uint64_t stall_ms)
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
    LIST_INSERT_HEAD(&worker->lingerings, lingering, entry);
    worker->lingering_count++;
    take_over(lingering, conn);
    conn_set_reading(&lingering->conn, true);
    if (conn_is_flushed(&lingering->conn)) {
        shut(lingering);
        return;
    }
    conn_wait_writable(&lingering->conn);
    timers_set(&worker->timers, &lingering->timer, worker_now(worker) + stall_ms);
}

void linger_end_all(struct worker *worker)
{
    while (!LIST_EMPTY(&worker->lingerings))
        end(LIST_FIRST(&worker->lingerings));
}
