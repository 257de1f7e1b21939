/* Changes of the network. */
#include "net/network.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/worker.h"
#include "net/workers.h"

static void report_unwatched(struct network *network)
{
    const struct log_field fields[] = {log_text("why", strerror(errno))};
    log_line(network->worker->log, LOG_DEBUG, "network-unwatched", NULL, fields, 1);
}

/* The addresses of now: hearing of one again is no change.  The answers come like all else. */
static void ask_for_addresses(struct network *network)
{
    const struct {
        struct nlmsghdr head;
        struct ifaddrmsg body;
    } question = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
                           .nlmsg_type = RTM_GETADDR,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                  .body = {.ifa_family = AF_UNSPEC}};
    if (send(network->fd, &question, sizeof(question), MSG_NOSIGNAL) < 0)
        report_unwatched(network); /* then a renewed lease counts once */
}

static void on_message(evutil_socket_t fd, short what, void *argument)
{
    struct network *network = argument;
    struct worker *worker = network->worker;
    bool is_change = false;
    (void)what;
    for (int i = 0; i < NETWORK_READS_MAX; i++) {
        struct sockaddr_nl from = {0};
        socklen_t from_bytes = sizeof(from);
        ssize_t got = recvfrom(fd, worker->receive_buffer, WORKER_RECEIVE_BYTES, 0,
                               (struct sockaddr *)&from, &from_bytes);
        if (got < 0 && errno == ENOBUFS) { /* we missed some */
            is_change = true;
            network->known = (struct network_known){0};
            ask_for_addresses(network);
            continue;
        }
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        if (from.nl_pid != 0)
            continue; /* not the kernel */
        if (network_known_read(&network->known, worker->receive_buffer, (size_t)got))
            is_change = true;
    }
    if (!is_change)
        return;
    log_line(worker->log, LOG_DEBUG, "network-changed", NULL, NULL, 0);
    workers_network_changed(worker->workers);
}

void network_init(struct network *network, struct worker *worker)
{
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                        .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE |
                                                     RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE};
    *network = (struct network){.worker = worker};
    network->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (network->fd < 0 ||
        bind(network->fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        event_assign(&network->event, worker->base, network->fd, EV_READ | EV_PERSIST, on_message,
                     network) != 0 ||
        event_add(&network->event, NULL) != 0) {
        report_unwatched(network);
        network_clear(network);
        return;
    }
    ask_for_addresses(network);
}

void network_clear(struct network *network)
{
    if (!network->worker)
        return; /* never begun */
    if (network->fd >= 0 && event_initialized(&network->event))
        event_del(&network->event);
    if (network->fd >= 0)
        close(network->fd);
    network->fd = -1;
}
