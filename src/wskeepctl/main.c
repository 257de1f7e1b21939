/* wskeepctl: the command line, and the commands. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wskeepctl/demo.h"

enum { WRONG_OPTIONS = 2 };
enum { OPTION_SECONDS = 256, OPTION_VERBOSE, OPTION_WSKEEPD };

static const struct option long_options[] = {
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"verbose", no_argument, NULL, OPTION_VERBOSE},
    {"wskeepd", required_argument, NULL, OPTION_WSKEEPD},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "Usage: wskeepctl demo [--seconds N] [--verbose] [--wskeepd PATH]\n"
    "Watch a WebSocket survive: a client, a real wskeepd, and a server that breaks.\n"
    "Needs no network and no configuration.\n"
    "\n"
    "      --seconds N     how long, 1 to 3600; without it 15\n"
    "      --verbose       show the log of wskeepd too\n"
    "      --wskeepd PATH  the wskeepd to run; without it the one beside wskeepctl,\n"
    "                      then the installed one, then the one in PATH\n"
    "  -h, --help          print this, and end\n"
    "  -V, --version       print the version, and end\n"
    "\n"
    "Exit status: 0 each message arrived, in order, and the client stayed on one\n"
    "connection; 1 not so, or it cannot run; 2 wrong options.\n"
    "See wskeepctl(1).\n";

static int wrong(const char *what, const char *argument)
{
    fprintf(stderr, "wskeepctl: %s %.100s; see wskeepctl --help\n", what, argument);
    return WRONG_OPTIONS;
}

/* Digits alone: no sign, no space, no unit. */
static bool parse_seconds(const char *text, unsigned *seconds)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 4 || text[digits] != '\0')
        return false;
    *seconds = (unsigned)strtoul(text, NULL, 10);
    return *seconds >= 1 && *seconds <= DEMO_SECONDS_MAX;
}

static int run(int argc, char **argv, const struct demo_options *options)
{
    if (optind == argc) {
        fputs("wskeepctl: a command is missing; see wskeepctl --help\n", stderr);
        return WRONG_OPTIONS;
    }
    if (strcmp(argv[optind], "demo") != 0)
        return wrong("unknown command", argv[optind]);
    if (optind + 1 < argc)
        return wrong("unexpected argument", argv[optind + 1]);
    return demo_run(options);
}

static int finish(void)
{
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct demo_options options = {.seconds = DEMO_SECONDS_PRESET};
    opterr = 0;
    for (;;) {
        int found = getopt_long(argc, argv, ":hV", long_options, NULL);
        switch (found) {
        case -1:
            return run(argc, argv, &options);
        case OPTION_SECONDS:
            if (!parse_seconds(optarg, &options.seconds))
                return wrong("--seconds wants a number from 1 to 3600, not", optarg);
            break;
        case OPTION_VERBOSE:
            options.verbose = true;
            break;
        case OPTION_WSKEEPD:
            options.wskeepd_path = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return finish();
        case 'V':
            printf("wskeepctl %s\n", PACKAGE_VERSION);
            return finish();
        case ':':
            return wrong("a value is missing after", argv[optind - 1]);
        default:
            return wrong("unknown option", argv[optind - 1]);
        }
    }
}
