/* How many processors we may use. */
#include "wskeepd/processors.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILE_BYTES_MAX = 16 * 1024,   /* /proc/self/cgroup has a line for each hierarchy */
    MASK_PROCESSORS_MAX = 1 << 16 /* the kernel itself knows fewer */
};

/* ---- the mask ------------------------------------------------------------------------------ */

/* 0: the kernel wants a larger set. */
static unsigned count_mask(unsigned room)
{
    unsigned count = 1; /* we are running on one */
    cpu_set_t *set = CPU_ALLOC(room);
    size_t bytes = CPU_ALLOC_SIZE(room);
    if (!set)
        return count;
    if (sched_getaffinity(0, bytes, set) == 0)
        count = (unsigned)CPU_COUNT_S(bytes, set);
    else if (errno == EINVAL)
        count = 0;
    CPU_FREE(set);
    return count;
}

static unsigned mask_count(void)
{
    for (unsigned room = CPU_SETSIZE; room <= MASK_PROCESSORS_MAX; room *= 2) {
        unsigned count = count_mask(room);
        if (count > 0)
            return count;
    }
    return 1;
}

/* ---- the quota ----------------------------------------------------------------------------- */

/* The smallest so far; 0: none. */
static void take_quota(unsigned *smallest, uint64_t quota_us, uint64_t period_us)
{
    if (period_us == 0)
        return;
    uint64_t count = quota_us / period_us + (quota_us % period_us > 0);
    if (count > 0 && count <= UINT_MAX && (*smallest == 0 || count < *smallest))
        *smallest = (unsigned)count;
}

/* False: it cannot be read, or is larger than all that we expect. */
static bool read_file(const char *path, char out[FILE_BYTES_MAX])
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t bytes = fread(out, 1, FILE_BYTES_MAX, file);
    bool is_whole = !ferror(file) && bytes < FILE_BYTES_MAX;
    fclose(file);
    out[is_whole ? bytes : 0] = '\0';
    return is_whole;
}

static bool read_number(const char *directory, const char *name, uint64_t *number)
{
    char path[PATH_MAX];
    char text[FILE_BYTES_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path) ||
        !read_file(path, text))
        return false;
    return sscanf(text, "%" SCNu64, number) == 1 && text[0] != '-'; /* -1: no quota */
}

/* cgroup v2: "50000 100000", or "max 100000". */
static void look_into_v2(const char *directory, unsigned *smallest)
{
    char path[PATH_MAX];
    char text[FILE_BYTES_MAX];
    uint64_t quota_us;
    uint64_t period_us;
    if ((size_t)snprintf(path, sizeof(path), "%s/cpu.max", directory) < sizeof(path) &&
        read_file(path, text) && sscanf(text, "%" SCNu64 " %" SCNu64, &quota_us, &period_us) == 2)
        take_quota(smallest, quota_us, period_us);
}

static void look_into_v1(const char *directory, unsigned *smallest)
{
    uint64_t quota_us;
    uint64_t period_us;
    if (read_number(directory, "cpu.cfs_quota_us", &quota_us) &&
        read_number(directory, "cpu.cfs_period_us", &period_us))
        take_quota(smallest, quota_us, period_us);
}

/*
 * Ours, and all above it: each of them limits us.  In a container the path may be the host's, of
 * which only the root of what is mounted here exists: so what is not there is passed over.
 */
static void climb(const char *mount, const char *group, bool is_v2, unsigned *smallest)
{
    char directory[PATH_MAX];
    int bytes = snprintf(directory, sizeof(directory), "%s%s", mount, group);
    if (bytes < 0 || (size_t)bytes >= sizeof(directory))
        return;
    for (;;) {
        if (is_v2)
            look_into_v2(directory, smallest);
        else
            look_into_v1(directory, smallest);
        char *slash = strrchr(directory, '/');
        if (!slash || (size_t)(slash - directory) < strlen(mount))
            return;
        *slash = '\0';
    }
}

static bool has_cpu(const char *controllers)
{
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0'))
            return true;
    }
    return false;
}

/* "0::/system.slice/wskeepd.service", or with v1 "4:cpu,cpuacct:/system.slice/...". */
static void look_at_line(const char *root, char *line, unsigned *smallest)
{
    char mount[PATH_MAX];
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
        return;
    *group++ = '\0';
    controllers++;
    if (*controllers == '\0') {
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
        climb(mount, group, true, smallest);
    } else if (has_cpu(controllers)) {
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/%s", root, controllers);
        climb(mount, group, false, smallest);
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/cpu", root);
        climb(mount, group, false, smallest);
    }
}

unsigned processors_quota(const char *root)
{
    char path[PATH_MAX];
    char text[FILE_BYTES_MAX];
    unsigned smallest = 0;
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (!read_file(path, text))
        return 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        look_at_line(root, line, &smallest);
    return smallest;
}

unsigned processors_count(unsigned count_max)
{
    unsigned count = mask_count();
    unsigned quota = processors_quota("");
    if (quota > 0 && quota < count)
        count = quota;
    return count < count_max ? count : count_max;
}
