/*
 * A listening Unix socket under a name of the file system, made so that nobody meets it half-made,
 * and nobody else's is ever touched.
 */
#ifndef WSKEEP_NET_LISTENER_UNIX_H
#define WSKEEP_NET_LISTENER_UNIX_H

#include <stdbool.h>
#include <sys/types.h>

struct chance;

struct listener_unix {
    int fd;      /* listens */
    int name_fd; /* O_PATH: the socket's inode, whatever its name leads to by now */
};

/* What is (uid_t)-1 or (gid_t)-1 stays as it was made. */
struct listener_unix_access {
    mode_t mode;
    uid_t owner;
    gid_t group;
};

/*
 * Bind beside path, give the socket its mode, owner and group, listen, and only then put it at
 * path in one step.  What a crash left there, our own or access->owner's, is replaced; anything
 * else is refused: a symbolic link, what is no socket, another user's, one that is served, and a
 * directory (or one above it) that everybody can write and that has no sticky bit.
 *
 * made   out; both descriptors are the caller's
 * error  out, LISTENER_ERROR_BYTES: why not and what to do, when false is returned
 */
bool listener_unix_open(const char *path, const struct listener_unix_access *access,
                        struct chance *chance, struct listener_unix *made, char *error);

/* Of the socket itself: no name is followed.  False with errno. */
bool listener_unix_set_access(int name_fd, const struct listener_unix_access *access);

/* True when path leads to this very socket. */
bool listener_unix_is_at(int name_fd, const char *path);

#endif
