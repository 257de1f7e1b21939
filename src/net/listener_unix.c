/* A listening Unix socket under a name of the file system. */
#include "net/listener_unix.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/chance.h"
#include "net/listener.h"

enum {
    NAME_TRIES = 100,
    PATH_BYTES = sizeof(((struct sockaddr_un *)NULL)->sun_path), /* with its end */
    FD_PATH_BYTES = 32                                           /* "/proc/self/fd/123" */
};

/* While it is made. */
struct making {
    const char *path;
    const char *name; /* in path, behind the last slash */
    int directory;    /* O_PATH; -1: not open yet */
    int stale;        /* O_PATH: what is at path and may go; -1: nothing is */
    char beside[PATH_BYTES];
    struct listener_unix made;
};

/* The inode behind an O_PATH descriptor, for calls that want a name: nothing can be swapped. */
static void fd_path(int fd, char out[FD_PATH_BYTES])
{
    snprintf(out, FD_PATH_BYTES, "/proc/self/fd/%d", fd);
}

static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_ino == other->st_ino && one->st_dev == other->st_dev;
}

static struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- the directory ------------------------------------------------------------------------- */

static bool fail_directory(int directory, char *error)
{
    char link[FD_PATH_BYTES];
    char path[LISTENER_ERROR_BYTES / 2];
    fd_path(directory, link);
    ssize_t bytes = readlink(link, path, sizeof(path) - 1);
    if (bytes < 0)
        bytes = 0;
    path[bytes] = '\0';
    return listener_fail(error,
                         "everybody can write the directory %s, and put another socket in its "
                         "place: take that away (chmod o-w), or use another directory",
                         path);
}

/*
 * Nobody else may swap the name, nor a directory above it.  With the sticky bit, as in /tmp, only
 * the owner of a name can: that will do, though the name is free for anybody while we do not run.
 */
static bool check_directories(int directory, char *error)
{
    struct stat now;
    int fd = dup(directory);
    while (fd >= 0) {
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct stat above;
        if (up < 0 || fstat(fd, &now) != 0 || fstat(up, &above) != 0)
            break;
        if ((now.st_mode & S_IWOTH) && !(now.st_mode & S_ISVTX)) {
            (void)fail_directory(fd, error);
            close(up);
            close(fd);
            return false;
        }
        close(fd);
        fd = up;
        if (is_same(&now, &above)) { /* the root */
            close(fd);
            return true;
        }
    }
    (void)listener_fail(error, "the directories above it cannot be looked at: %s", strerror(errno));
    close_fd(&fd);
    return false;
}

static bool open_directory(struct making *making, char *error)
{
    char directory[PATH_BYTES];
    size_t bytes = (size_t)(making->name - making->path);
    memcpy(directory, making->path, bytes);
    directory[bytes] = '\0';
    making->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (making->directory < 0)
        return listener_fail(error, "%s", strerror(errno));
    return check_directories(making->directory, error);
}

/* ---- what is there already ----------------------------------------------------------------- */

/* Does anybody serve this socket?  errno of the attempt; 0: yes. */
static int knock(int name_fd)
{
    char path[FD_PATH_BYTES];
    fd_path(name_fd, path);
    const struct sockaddr_un address = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    close(fd);
    return error;
}

static bool judge(const struct making *making, const struct stat *found, uid_t owner, char *error)
{
    if (S_ISLNK(found->st_mode))
        return listener_fail(error,
                             "%s is a symbolic link: name the place that it leads to, or "
                             "remove it",
                             making->path);
    if (!S_ISSOCK(found->st_mode))
        return listener_fail(error, "%s is not a socket: remove it, or use another name",
                             making->path);
    if (found->st_uid != geteuid() && found->st_uid != owner)
        return listener_fail(error,
                             "%s belongs to another user (uid %u): if nobody needs it, remove it",
                             making->path, (unsigned)found->st_uid);
    int answer = knock(making->stale);
    switch (answer) {
    case ECONNREFUSED:
        return true;
    case 0:
    case EAGAIN: /* so busy that its queue is full */
        return listener_fail(error, "%s is already served: stop who serves it, or use another name",
                             making->path);
    default:
        return listener_fail(error, "%s: %s: if nobody needs it, remove it", making->path,
                             strerror(answer));
    }
}

/* Only what a crash of ours left behind may be replaced. */
static bool look(struct making *making, uid_t owner, char *error)
{
    struct stat found;
    making->stale = openat(making->directory, making->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (making->stale < 0)
        return errno == ENOENT || listener_fail(error, "%s", strerror(errno));
    if (fstat(making->stale, &found) != 0)
        return listener_fail(error, "%s", strerror(errno));
    return judge(making, &found, owner, error);
}

/* ---- the new one --------------------------------------------------------------------------- */

/* Bind to a name beside path that nobody has.  False with errno. */
static bool bind_beside(struct making *making, struct chance *chance)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        uint16_t number;
        chance_fill(chance, &number, sizeof(number));
        int bytes = snprintf(making->beside, sizeof(making->beside), "%.*s.%04x",
                             (int)(making->name - making->path), making->path, (unsigned)number);
        if (bytes < 0 || (size_t)bytes >= sizeof(making->beside)) {
            errno = ENAMETOOLONG;
            break;
        }
        const struct sockaddr_un address = unix_address(making->beside);
        if (bind(making->made.fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
            return true;
        if (errno != EADDRINUSE)
            break;
    }
    making->beside[0] = '\0';
    return false;
}

/* In the directory that was checked, and ours: who owns the directory may swap names. */
static bool pin(struct making *making)
{
    struct stat now;
    const char *name = strrchr(making->beside, '/') + 1;
    making->made.name_fd = openat(making->directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (making->made.name_fd < 0 || fstat(making->made.name_fd, &now) != 0)
        return false;
    errno = EPERM;
    return S_ISSOCK(now.st_mode) && now.st_uid == geteuid();
}

bool listener_unix_set_access(int name_fd, const struct listener_unix_access *access)
{
    struct stat now;
    char path[FD_PATH_BYTES];
    if (fstat(name_fd, &now) != 0)
        return false;
    /* What is right already is left alone: after --user we may not be able to say it again. */
    bool is_theirs = (access->owner == (uid_t)-1 || access->owner == now.st_uid) &&
                     (access->group == (gid_t)-1 || access->group == now.st_gid);
    bool has_mode = (now.st_mode & 07777) == access->mode;
    fd_path(name_fd, path); /* fchmod() does not take O_PATH */
    return (has_mode || chmod(path, access->mode) == 0) &&
           (is_theirs || fchownat(name_fd, "", access->owner, access->group, AT_EMPTY_PATH) == 0);
}

static bool fail_rename(const struct making *making, char *error)
{
    if (errno == EEXIST || errno == ENOENT)
        return listener_fail(error, "%s: somebody else changed it just now", making->path);
    if (errno == EINVAL)
        return listener_fail(error, "%s: this file system cannot put it there in one step",
                             making->path);
    return listener_fail(error, "%s", strerror(errno));
}

/*
 * In one step: the name leads to the old socket or to the new one, never to none.  Two of us that
 * start at once find the same stale socket; who comes second gets the first one's, and gives it
 * back.
 */
static bool take_name(struct making *making, char *error)
{
    const char *beside = strrchr(making->beside, '/') + 1;
    int directory = making->directory;
    struct stat stale;
    struct stat was;
    if (making->stale < 0)
        return renameat2(directory, beside, directory, making->name, RENAME_NOREPLACE) == 0 ||
               fail_rename(making, error);
    if (renameat2(directory, beside, directory, making->name, RENAME_EXCHANGE) != 0)
        return fail_rename(making, error);
    if (fstat(making->stale, &stale) == 0 &&
        fstatat(directory, beside, &was, AT_SYMLINK_NOFOLLOW) == 0 && is_same(&stale, &was)) {
        (void)unlinkat(directory, beside, 0); /* it stays there, and nobody looks */
        return true;
    }
    if (renameat2(directory, beside, directory, making->name, RENAME_EXCHANGE) != 0)
        making->beside[0] = '\0'; /* it is theirs by now */
    return listener_fail(error, "%s: somebody else changed it just now", making->path);
}

static bool make(struct making *making, const struct listener_unix_access *access,
                 struct chance *chance, char *error)
{
    if (!open_directory(making, error) || !look(making, access->owner, error))
        return false;
    making->made.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (making->made.fd < 0 || !bind_beside(making, chance))
        return listener_fail(error, "%s", strerror(errno));
    if (!pin(making) || !listener_unix_set_access(making->made.name_fd, access))
        return listener_fail(error, "its mode, owner and group cannot be set: %s", strerror(errno));
    if (listen(making->made.fd, LISTENER_BACKLOG) != 0)
        return listener_fail(error, "%s", strerror(errno));
    return take_name(making, error);
}

bool listener_unix_open(const char *path, const struct listener_unix_access *access,
                        struct chance *chance, struct listener_unix *made, char *error)
{
    if (strlen(path) >= PATH_BYTES)
        return listener_fail(error, "the path is too long for a socket: %zu bytes, %d at most",
                             strlen(path), PATH_BYTES - 1);
    struct making making = {.path = path,
                            .name = strrchr(path, '/') + 1,
                            .directory = -1,
                            .stale = -1,
                            .made = {.fd = -1, .name_fd = -1}};
    bool is_made = make(&making, access, chance, error);
    if (is_made) {
        *made = making.made;
    } else {
        if (making.beside[0] != '\0')
            (void)unlink(making.beside);
        close_fd(&making.made.fd);
        close_fd(&making.made.name_fd);
    }
    close_fd(&making.directory);
    close_fd(&making.stale);
    return is_made;
}

bool listener_unix_is_at(int name_fd, const char *path)
{
    struct stat ours;
    struct stat now;
    return fstat(name_fd, &ours) == 0 && lstat(path, &now) == 0 && is_same(&ours, &now);
}
