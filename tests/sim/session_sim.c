/*
 * session_sim --from SEED --count N [--stats]
 * session_sim --seeds FILE [--stats]
 * session_sim --seed N --verbose
 *
 * Each seed is one schedule of faults for one session, with both its peers.  A failure prints what
 * was broken and the command that replays it.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { FAILURE_COUNT_MAX = 5 };

struct options {
    uint64_t from;
    uint64_t count;
    const char *seeds; /* a file; NULL */
    bool verbose;
    bool stats;
};

struct run {
    const char *program;
    struct world *world;
    struct tally tally;
    uint64_t passed;
    uint64_t failed;
};

/* An assertion of the core fails like any other promise: it is caught, and told with its seed.
 * Where a handler goes back to can only be global. */
static sigjmp_buf aborted;

static void on_abort(int signal_number)
{
    (void)signal_number;
    siglongjmp(aborted, 1);
}

static void run_one(struct run *run, uint64_t seed)
{
    struct world *world = run->world;
    bool passed;
    if (sigsetjmp(aborted, 1) == 0) {
        passed = world_run(world, seed);
    } else {
        world_fail(world, "an assertion of the core failed, see above");
        passed = false;
    }
    if (passed) {
        run->passed++;
        return;
    }
    run->failed++;
    printf("session_sim: seed %" PRIu64 ", after %" PRIu64 " ms: %s\n"
           "    replay: %s --seed %" PRIu64 " --verbose\n",
           seed, world->now_ms - world->plan.start_ms, world->why, run->program, seed);
    fflush(stdout);
}

static bool run_file(struct run *run, const char *path)
{
    char line[256];
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "session_sim: %s: %s\n", path, strerror(errno));
        return false;
    }
    while (fgets(line, sizeof line, file) && run->failed < FAILURE_COUNT_MAX) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        if (end != line) /* the rest of the line says what it once found */
            run_one(run, seed);
    }
    fclose(file);
    return true;
}

static bool parse_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    *options = (struct options){.from = 1, .count = 1};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--verbose") == 0) {
            options->verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--stats") == 0) {
            options->stats = true;
            continue;
        }
        if (!value)
            return false;
        i++;
        if (strcmp(argv[i - 1], "--seeds") == 0)
            options->seeds = value;
        else if (strcmp(argv[i - 1], "--seed") == 0 || strcmp(argv[i - 1], "--from") == 0) {
            if (!parse_number(value, &options->from))
                return false;
        } else if (strcmp(argv[i - 1], "--count") == 0) {
            if (!parse_number(value, &options->count))
                return false;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options;
    struct run run = {.program = argv[0]};
    if (!parse_options(argc, argv, &options)) {
        fprintf(stderr, "usage: session_sim [--from SEED] [--count N] | --seeds FILE | --seed N "
                        "[--verbose] [--stats]\n");
        return 2;
    }
    run.world = calloc(1, sizeof *run.world);
    uint8_t *payload = calloc(1, WORLD_PAYLOAD_BYTES_MAX);
    if (!run.world || !payload) {
        fprintf(stderr, "session_sim: out of memory\n");
        return 1;
    }
    run.world->payload = payload;
    run.world->tally = &run.tally;
    run.world->verbose = options.verbose;
    signal(SIGABRT, on_abort);

    if (options.seeds && !run_file(&run, options.seeds))
        return 1;
    for (uint64_t i = 0; !options.seeds && i < options.count && run.failed < FAILURE_COUNT_MAX; i++)
        run_one(&run, options.from + i);
    if (options.stats)
        tally_print(&run.tally);
    printf("session_sim: %" PRIu64 " schedules passed, %" PRIu64 " failed\n", run.passed,
           run.failed);
    free(run.world);
    free(payload);
    return run.failed > 0 ? 1 : 0;
}
