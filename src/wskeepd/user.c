/* From root to another user. */
#include "wskeepd/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

enum user_result user_find(const char *name, struct user *user)
{
    errno = 0;
    const struct passwd *found = getpwnam(name);
    if (!found) /* getpwnam(3): what "not found" is depends on who was asked */
        return errno == 0 || errno == ENOENT || errno == ESRCH ? USER_UNKNOWN : USER_ERROR;
    *user = (struct user){.name = name, .uid = found->pw_uid, .gid = found->pw_gid};
    return USER_OK;
}

bool user_is_possible(const struct user *user)
{
    return geteuid() == 0 || (geteuid() == user->uid && getuid() == user->uid);
}

static bool is_user(const struct user *user)
{
    uid_t uids[3];
    gid_t gids[3];
    if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
        getresgid(&gids[0], &gids[1], &gids[2]) != 0)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (uids[i] != user->uid || gids[i] != user->gid)
            return false;
    return true;
}

const char *user_become(const struct user *user)
{
    if (geteuid() != 0)
        return NULL; /* user_is_possible() */
    if (initgroups(user->name, user->gid) != 0)
        return "initgroups";
    if (setresgid(user->gid, user->gid, user->gid) != 0)
        return "setresgid";
    if (setresuid(user->uid, user->uid, user->uid) != 0)
        return "setresuid";
    errno = 0;
    if (!is_user(user))
        return "the user did not change";
    if (user->uid == 0)
        return NULL; /* --user root: as asked */
    if (setresuid(0, 0, 0) == 0 || (user->gid != 0 && setegid(0) == 0)) {
        errno = 0;
        return "root could be regained";
    }
    errno = 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) /* nor by a program with the set-user-ID bit */
        return "prctl";
    return NULL;
}
