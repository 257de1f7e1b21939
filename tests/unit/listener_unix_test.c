/* A Unix socket under a name, while others change what is there at the worst moments. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/chance.h"
#include "net/listener.h"
#include "net/listener_unix.h"

/* ---- the worst moments: right after bind(), and right before the name is taken -------------- */

static void (*after_bind)(const char *path);
static void (*before_listen)(void);
static mode_t mode_at_listen; /* of what lies beside the name by then */

int __real_bind(int fd, const struct sockaddr *address, socklen_t bytes);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);

static char bound[108];

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    int result = __real_bind(fd, address, bytes);
    strcpy(bound, ((const struct sockaddr_un *)(const void *)address)->sun_path);
    void (*hook)(const char *) = after_bind;
    after_bind = NULL; /* its own bind() is not ours */
    if (hook)
        hook(bound);
    return result;
}

int __wrap_listen(int fd, int backlog)
{
    struct stat now;
    mode_at_listen = lstat(bound, &now) == 0 ? now.st_mode & 07777 : 0;
    void (*hook)(void) = before_listen;
    before_listen = NULL;
    if (hook)
        hook();
    return __real_listen(fd, backlog);
}

/* ---- a folder ------------------------------------------------------------------------------ */

static char folder[32];
static char path[64];
static char precious[64];
static struct chance chance;
static struct listener_unix made;
static char error[LISTENER_ERROR_BYTES];
static int theirs; /* a socket of somebody else */

static void set_up(void)
{
    strcpy(folder, "/tmp/wskeep-socket-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/s", folder);
    snprintf(precious, sizeof(precious), "%s/precious", folder);
    chance_init(&chance);
    made = (struct listener_unix){.fd = -1, .name_fd = -1};
    theirs = -1;
    error[0] = '\0';
}

static void tear_down(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    if (made.fd >= 0)
        close(made.fd);
    if (made.name_fd >= 0)
        close(made.name_fd);
    if (theirs >= 0)
        close(theirs);
}

static bool open_it(void)
{
    const struct listener_unix_access access = {
        .mode = 0640, .owner = (uid_t)-1, .group = (gid_t)-1};
    return listener_unix_open(path, &access, &chance, &made, error);
}

static void refused_with(const char *what)
{
    ck_assert(!open_it());
    ck_assert_msg(strstr(error, what) != NULL, "%s", error);
}

static int socket_at(const char *where, bool listens)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, where);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(__real_bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    if (listens)
        ck_assert_int_eq(__real_listen(fd, 1), 0);
    return fd;
}

static void leave_stale(void)
{
    close(socket_at(path, true));
}

static ino_t inode_at(const char *where)
{
    struct stat now;
    ck_assert_int_eq(lstat(where, &now), 0);
    return now.st_ino;
}

/* Nothing but the names that a test left lies in the folder. */
static void holds(unsigned count)
{
    char command[96];
    snprintf(command, sizeof(command), "test $(ls -A %s | wc -l) = %u", folder, count);
    ck_assert_int_eq(system(command), 0);
}

/* ---- in calm ------------------------------------------------------------------------------- */

START_TEST(a_free_name_and_a_stale_one_are_taken)
{
    struct stat now;
    if (_i == 1)
        leave_stale();
    mode_t before = umask(0);
    ck_assert_msg(open_it(), "%s", error);
    umask(before);
    ck_assert_uint_eq(mode_at_listen, 0640); /* before anybody could connect */
    ck_assert_int_eq(stat(path, &now), 0);
    ck_assert_uint_eq(now.st_mode & 07777, 0640);
    ck_assert(listener_unix_is_at(made.name_fd, path));
    holds(1);
    refused_with("is already served");
}
END_TEST

START_TEST(what_everybody_can_write_is_refused)
{
    char inner[48];
    snprintf(inner, sizeof(inner), "%s/d", folder);
    ck_assert_int_eq(mkdir(inner, 0755), 0);
    snprintf(path, sizeof(path), "%s/s", inner);
    ck_assert_int_eq(chmod(_i == 0 ? inner : folder, 0777), 0);
    refused_with("everybody can write the directory");
    ck_assert_msg(strstr(error, _i == 0 ? inner : folder) != NULL, "%s", error);
    ck_assert_int_eq(chmod(_i == 0 ? inner : folder, 01777), 0); /* as /tmp */
    ck_assert_msg(open_it(), "%s", error);
}
END_TEST

/* ---- at the worst moments ------------------------------------------------------------------ */

static void serve_the_name(void)
{
    theirs = socket_at(path, true);
}

static void serve_instead(void)
{
    char other[64];
    snprintf(other, sizeof(other), "%s/other", folder);
    theirs = socket_at(other, true);
    ck_assert_int_eq(rename(other, path), 0);
}

START_TEST(who_takes_the_name_meanwhile_keeps_it)
{
    if (_i == 1)
        leave_stale();
    before_listen = _i == 0 ? serve_the_name : serve_instead;
    refused_with("somebody else changed it");
    holds(1);
    ino_t inode = inode_at(path);
    refused_with("is already served");
    ck_assert_uint_eq(inode_at(path), inode);
}
END_TEST

static void put_symlink(const char *where)
{
    ck_assert_int_eq(unlink(where), 0);
    ck_assert_int_eq(symlink(precious, where), 0);
}

static void put_file(const char *where)
{
    ck_assert_int_eq(unlink(where), 0);
    ck_assert_int_eq(rename(precious, where), 0);
}

START_TEST(what_is_swapped_in_meanwhile_keeps_its_mode)
{
    struct stat before;
    struct stat now;
    int fd = -1;
    if (_i == 2)
        theirs = socket_at(precious, true); /* of our own user, too */
    else
        fd = open(precious, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_eq(stat(precious, &before), 0);
    after_bind = _i == 0 ? put_file : put_symlink;
    refused_with("cannot be set");
    ck_assert_int_eq(fd >= 0 ? fstat(fd, &now) : stat(precious, &now), 0);
    ck_assert_uint_eq(now.st_ino, before.st_ino);
    ck_assert_uint_eq(now.st_mode, before.st_mode);
    close(fd);
}
END_TEST

START_TEST(access_is_set_on_the_socket_whatever_its_name_is)
{
    struct stat now;
    const struct listener_unix_access access = {
        .mode = 0666, .owner = (uid_t)-1, .group = (gid_t)-1};
    ck_assert_msg(open_it(), "%s", error);
    int fd = open(precious, O_CREAT | O_WRONLY, 0600);
    put_symlink(path);
    ck_assert(!listener_unix_is_at(made.name_fd, path));
    ck_assert(listener_unix_set_access(made.name_fd, &access));
    ck_assert_int_eq(fstat(fd, &now), 0);
    ck_assert_uint_eq(now.st_mode & 07777, 0600);
    ck_assert_int_eq(fstat(made.name_fd, &now), 0);
    ck_assert_uint_eq(now.st_mode & 07777, 0666);
    close(fd);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("listener_unix");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_free_name_and_a_stale_one_are_taken, 0, 2);
    tcase_add_loop_test(tcase, what_everybody_can_write_is_refused, 0, 2);
    tcase_add_loop_test(tcase, who_takes_the_name_meanwhile_keeps_it, 0, 2);
    tcase_add_loop_test(tcase, what_is_swapped_in_meanwhile_keeps_its_mode, 0, 3);
    tcase_add_test(tcase, access_is_set_on_the_socket_whatever_its_name_is);

    Suite *suite = suite_create("listener_unix");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
