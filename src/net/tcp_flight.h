/*
 * What TCP knows about bytes that nobody has acknowledged.
 */
#ifndef WSKEEP_NET_TCP_FLIGHT_H
#define WSKEEP_NET_TCP_FLIGHT_H

#include <stdbool.h>

/*
 * Are bytes on their way?  Also when they wait although the peer's window is open: the machine
 * cannot send them, because the address or the route of the connection is gone.  False when
 * nothing waits, and when the peer's window is closed.
 */
bool tcp_flight_is_on_its_way(int fd);

#endif
