/*
 * From root to the user of --user: for those who start without a service manager that does it.
 */
#ifndef WSKEEP_WSKEEPD_USER_H
#define WSKEEP_WSKEEPD_USER_H

#include <stdbool.h>
#include <sys/types.h>

struct user {
    const char *name;
    uid_t uid;
    gid_t gid;
};

enum user_result {
    USER_OK,
    USER_UNKNOWN,
    USER_ERROR /* errno: the user database cannot be read */
};

enum user_result user_find(const char *name, struct user *user);

/* Are we root, or this user already? */
bool user_is_possible(const struct user *user);

/*
 * Become user, with its supplementary groups and without a way back; all threads with us.
 * Nothing to do when we are it already.  Returns NULL, or what failed (with errno, or 0 when it
 * is the text alone): then we are in between and have to end.
 */
const char *user_become(const struct user *user);

#endif
