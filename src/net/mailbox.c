/* What a worker is told by another thread. */
#include "net/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct mailbox *mailbox = argument;
    eventfd_t count;
    (void)what;
    while (eventfd_read(fd, &count) < 0 && errno == EINTR)
        ;
    /* First this, then the look: what was put there before a poke that came to nothing is seen. */
    (void)atomic_exchange(&mailbox->is_poked, false);
    mailbox->on_poke(mailbox->argument);
}

bool mailbox_init(struct mailbox *mailbox, struct event_base *base, void (*on_poke)(void *argument),
                  void *argument)
{
    *mailbox = (struct mailbox){.on_poke = on_poke, .argument = argument};
    pthread_mutex_init(&mailbox->mutex, NULL);
    STAILQ_INIT(&mailbox->mail.arrivals);
    mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->fd < 0)
        return false;
    event_assign(&mailbox->event, base, mailbox->fd, EV_READ | EV_PERSIST, on_readable, mailbox);
    if (event_add(&mailbox->event, NULL) == 0)
        return true;
    errno = ENOMEM;
    return false;
}

void mailbox_clear(struct mailbox *mailbox)
{
    if (mailbox->fd < 0)
        return;
    event_del(&mailbox->event);
    while (!STAILQ_EMPTY(&mailbox->mail.arrivals)) {
        struct arrival *arrival = STAILQ_FIRST(&mailbox->mail.arrivals);
        STAILQ_REMOVE_HEAD(&mailbox->mail.arrivals, entry);
        arrival_clear(arrival);
        free(arrival);
    }
    close(mailbox->fd);
    mailbox->fd = -1;
    pthread_mutex_destroy(&mailbox->mutex);
}

void mailbox_poke(struct mailbox *mailbox)
{
    if (atomic_exchange(&mailbox->is_poked, true))
        return;
    while (eventfd_write(mailbox->fd, 1) < 0 && errno == EINTR)
        ;
}

void mailbox_put_arrival(struct mailbox *mailbox, struct arrival *arrival)
{
    pthread_mutex_lock(&mailbox->mutex);
    STAILQ_INSERT_TAIL(&mailbox->mail.arrivals, arrival, entry);
    pthread_mutex_unlock(&mailbox->mutex);
    mailbox_poke(mailbox);
}

void mailbox_put_orders(struct mailbox *mailbox, unsigned orders, uint64_t memory_bytes_max)
{
    pthread_mutex_lock(&mailbox->mutex);
    mailbox->mail.orders |= orders;
    if (orders & MAILBOX_MEMORY)
        mailbox->mail.memory_bytes_max = memory_bytes_max;
    pthread_mutex_unlock(&mailbox->mutex);
    mailbox_poke(mailbox);
}

void mailbox_take(struct mailbox *mailbox, struct mail *mail)
{
    STAILQ_INIT(&mail->arrivals);
    pthread_mutex_lock(&mailbox->mutex);
    STAILQ_CONCAT(&mail->arrivals, &mailbox->mail.arrivals);
    mail->orders = mailbox->mail.orders;
    mail->memory_bytes_max = mailbox->mail.memory_bytes_max;
    mailbox->mail.orders = 0;
    pthread_mutex_unlock(&mailbox->mutex);
}
