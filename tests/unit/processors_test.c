/* The quota of a cgroup, as `workers: auto` reads it: of directories that stand for /proc and /sys.
 */
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wskeepd/processors.h"

enum { PATH_BYTES = 512, FILES_MAX = 8 };

static char root[] = "/tmp/processors_test.XXXXXX";

static void set_up(void)
{
    strcpy(root + strlen(root) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void tear_down(void)
{
    char command[PATH_BYTES];
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *path, const char *text)
{
    char full[PATH_BYTES];
    snprintf(full, sizeof(full), "%s/%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = '\0';
        ck_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
    }
    FILE *file = fopen(full, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static const struct {
    const char *why;
    const char *group; /* /proc/self/cgroup */
    const char *files[FILES_MAX][2];
    unsigned quota;
} quotas[] = {
    {"nothing can be read", NULL, {{0}}, 0},
    {"no quota anywhere", "0::/a/b\n", {{"sys/fs/cgroup/a/b/cpu.max", "max 100000\n"}}, 0},
    {"two processors", "0::/a/b\n", {{"sys/fs/cgroup/a/b/cpu.max", "200000 100000\n"}}, 2},
    {"a part of one is one", "0::/a\n", {{"sys/fs/cgroup/a/cpu.max", "1000 100000\n"}}, 1},
    {"one and a half are two", "0::/a\n", {{"sys/fs/cgroup/a/cpu.max", "150000 100000\n"}}, 2},
    {"that of one above is smaller",
     "0::/a/b/c\n",
     {{"sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n"},
      {"sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
      {"sys/fs/cgroup/a/cpu.max", "300000 100000\n"}},
     3},
    {"a container sees its own root, under another's path",
     "0::/docker/0123\n",
     {{"sys/fs/cgroup/cpu.max", "250000 50000\n"}},
     5},
    {"a namespace's root", "0::/\n", {{"sys/fs/cgroup/cpu.max", "100000 100000\n"}}, 1},
    {"nonsense is none", "0::/a\n", {{"sys/fs/cgroup/a/cpu.max", "lots\n"}}, 0},
    {"no period is none", "0::/a\n", {{"sys/fs/cgroup/a/cpu.max", "100000 0\n"}}, 0},
    {"v1, under both controllers",
     "5:cpuset:/\n4:cpu,cpuacct:/a/b\n1:name=systemd:/\n",
     {{"sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "350000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     4},
    {"v1, under cpu, from the host's path",
     "4:cpuacct,cpu:/docker/0123\n",
     {{"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"},
      {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}},
     1},
    {"cpuset is another controller",
     "4:cpuset:/a\n",
     {{"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "50000\n"},
      {"sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"}},
     0},
    {"both, and the smaller one counts",
     "4:cpu:/a\n0::/a\n",
     {{"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "700000\n"},
      {"sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/a/cpu.max", "600000 100000\n"}},
     6},
    {"lines that are none", "\n:\nx\n0::\n", {{"sys/fs/cgroup/cpu.max", "200000 100000\n"}}, 2},
};

START_TEST(the_smallest_quota_on_the_way_up_counts) /* _i is the row */
{
    if (quotas[_i].group)
        write_file("proc/self/cgroup", quotas[_i].group);
    for (unsigned i = 0; i < FILES_MAX && quotas[_i].files[i][0]; i++)
        write_file(quotas[_i].files[i][0], quotas[_i].files[i][1]);
    unsigned got = processors_quota(root);
    ck_assert_msg(got == quotas[_i].quota, "%s: %u", quotas[_i].why, got);
}
END_TEST

START_TEST(no_more_than_the_mask_and_no_more_than_asked_for)
{
    cpu_set_t one;
    cpu_set_t all;
    ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
    ck_assert_uint_ge(processors_count(64), 1);
    ck_assert_uint_le(processors_count(64), (unsigned)CPU_COUNT(&all));
    ck_assert_uint_eq(processors_count(1), 1);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    ck_assert_uint_eq(processors_count(64), 1);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(all), &all), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("processors");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, the_smallest_quota_on_the_way_up_counts, 0,
                        (int)(sizeof(quotas) / sizeof(quotas[0])));
    tcase_add_test(tcase, no_more_than_the_mask_and_no_more_than_asked_for);
    Suite *suite = suite_create("processors");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
