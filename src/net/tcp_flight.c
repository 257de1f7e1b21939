/* What TCP knows.  In a file of its own: <linux/tcp.h>, which has the window, and <netinet/tcp.h>
 * exclude each other. */
#include "net/tcp_flight.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

bool tcp_flight_is_on_its_way(int fd)
{
    struct tcp_info info = {0}; /* tcpi_snd_wnd stays 0 before Linux 5.4 */
    socklen_t bytes = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0)
        return false;
    if (info.tcpi_unacked > 0)
        return true;
    if (info.tcpi_notsent_bytes == 0 || info.tcpi_snd_wnd == 0)
        return false;
    /* a window smaller than a segment may be left alone until it is larger (RFC 9293, 3.8.6.2.1) */
    return info.tcpi_snd_wnd >= info.tcpi_snd_mss || info.tcpi_snd_wnd >= info.tcpi_notsent_bytes;
}
