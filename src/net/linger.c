/* The last seconds of a connection. */
#include "net/linger.h"

#include <stdlib.h>
#include <sys/socket.h>

struct linger_conn {
    struct worker_grave grave; /* first: buried as itself */
    struct conn conn;
    struct timer timer;
    uint64_t unsent_seen; /* bytes that were unsent when the timer was armed */
    bool is_shut;
};

static void bury(struct worker_grave *grave)
{
    free((struct linger_conn *)grave);
}

static void end(struct linger_conn *linger)
{
    struct worker *worker = linger->conn.worker;
    timers_remove(&worker->timers, &linger->timer);
    conn_close(&linger->conn, false);
    worker->linger_count--;
    worker_bury(worker, &linger->grave, bury);
}

static void arm(struct linger_conn *linger)
{
    struct worker *worker = linger->conn.worker;
    linger->unsent_seen = linger->conn.unsent_bytes;
    timers_arm(&worker->timers, &linger->timer,
               worker_now_ms(worker) + (linger->is_shut ? LINGER_READ_MS : LINGER_WRITE_MS));
}

static void shut_when_sent(struct linger_conn *linger)
{
    if (linger->is_shut || (linger->conn.unsent_bytes > 0 && !linger->conn.is_broken))
        return;
    (void)shutdown(linger->conn.fd, SHUT_WR);
    linger->is_shut = true;
    arm(linger);
}

static void on_ready(struct conn *conn, short what)
{
    struct linger_conn *linger =
        (struct linger_conn *)((char *)conn - offsetof(struct linger_conn, conn));
    if (what & EV_WRITE) {
        conn_flush(conn);
        shut_when_sent(linger);
    }
    if (!(what & EV_READ))
        return;
    size_t got;
    enum conn_read_result result =
        conn_read(conn, conn->worker->receive, WORKER_RECEIVE_BYTES, &got);
    if (result == CONN_READ_EOF || result == CONN_READ_ERROR)
        end(linger);
}

static void on_timer(struct timer *timer, void *context)
{
    struct linger_conn *linger = context;
    (void)timer;
    if (!linger->is_shut && linger->conn.unsent_bytes < linger->unsent_seen)
        arm(linger); /* slow, but it takes its last bytes */
    else
        end(linger);
}

void linger_adopt(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (conn->fd < 0)
        return;
    struct linger_conn *linger = calloc(1, sizeof *linger);
    if (!linger || !timers_add(&worker->timers, &linger->timer, on_timer, linger)) {
        free(linger);
        conn_gather_flush(worker);
        conn_close(conn, false); /* the kernel sends what it has taken */
        return;
    }
    conn_move(conn, &linger->conn, on_ready);
    worker->linger_count++;
    arm(linger);
    conn_set_reading(&linger->conn, true);
    shut_when_sent(linger);
}
