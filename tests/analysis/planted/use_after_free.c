/* clang-tidy clang-analyzer-unix.Malloc: what a called function has freed is still read. */
#include <stdlib.h>

struct planted_session {
    int fd;
};

int planted_end(struct planted_session *session, int is_lost);

static void drop(struct planted_session *session)
{
    free(session);
}

int planted_end(struct planted_session *session, int is_lost)
{
    if (is_lost)
        drop(session);
    return session->fd;
}
