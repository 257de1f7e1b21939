/* A client on its way to its worker. */
#include "net/arrival.h"

#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "net/link.h"
#include "net/report.h"
#include "net/tls.h"
#include "net/worker.h"
#include "proto/handshake.h"

enum { ARRIVAL_ANSWER_BYTES_MAX = 512 };

void arrival_init(struct arrival *arrival, struct link *link, const struct config_listen *listen,
                  int fd)
{
    *arrival = (struct arrival){.fd = fd,
                                .link = link_hold(link),
                                .config = link_config_hold(link->config),
                                .listen = listen,
                                .tls = tls_context_hold(link->tls.clients)};
}

void arrival_clear(struct arrival *arrival)
{
    if (arrival->fd >= 0)
        close(arrival->fd);
    tls_context_release(arrival->tls);
    link_config_release(arrival->config);
    link_release(arrival->link);
    *arrival = (struct arrival){.fd = -1};
}

void arrival_turn_away(struct arrival *arrival, struct worker *worker, const char *why)
{
    char head[ARRIVAL_ANSWER_BYTES_MAX];
    if (!arrival->listen->tls) {
        size_t bytes = handshake_build_refusal(503, why, head, sizeof(head));
        (void)recv(arrival->fd, worker->receive_buffer, WORKER_RECEIVE_BYTES, 0);
        (void)send(arrival->fd, head, bytes, MSG_NOSIGNAL);
        (void)shutdown(arrival->fd, SHUT_WR);
    }
    report_client_turned_away(worker, arrival->config->name, 503, why);
    arrival_clear(arrival);
}
