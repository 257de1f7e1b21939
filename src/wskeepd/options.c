#include "wskeepd/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_CHECK_CONFIG = 256, OPTION_LISTEN, OPTION_UPSTREAM, OPTION_USER };

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"upstream", required_argument, NULL, OPTION_UPSTREAM},
    {"user", required_argument, NULL, OPTION_USER},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

const char *options_help(void)
{
    return "Usage: wskeepd [-c FILE] [--check-config] [--user NAME]\n"
           "       wskeepd --listen URL --upstream URL [--user NAME]\n"
           "Keep WebSockets up: clients stay connected while the upstream comes and goes.\n"
           "\n"
           "  -c, --config FILE   read FILE, and links.d/*.yaml beside it, instead of\n"
           "                      " OPTIONS_CONFIG_PATH "\n"
           "      --check-config  check the configuration, print every mistake, and end\n"
           "      --listen URL    one link without a file: where clients connect,\n"
           "                      ws://127.0.0.1:9001 or ws+unix:/run/game.sock\n"
           "      --upstream URL  and the server that is kept: wss://game.example.com/ws\n"
           "      --user NAME     started as root: become NAME once the listeners are open\n"
           "  -h, --help          print this, and end\n"
           "  -V, --version       print the version, and end\n"
           "\n"
           "SIGHUP reads the configuration again, SIGTERM ends.  Exit status: 0 ended as\n"
           "asked, 1 cannot run, 2 wrong options or configuration.\n"
           "See wskeepd(8) and wskeep.yaml(5).\n";
}

__attribute__((format(printf, 2, 3))) static bool fail(char *message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, OPTIONS_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* Each at most once: of two values one would be ignored without a word. */
static bool set_once(const char **field, const char *option, char *message)
{
    if (*field != NULL)
        return fail(message, "%s is given twice; see wskeepd --help", option);
    if (optarg[0] == '\0')
        return fail(message, "%s is empty; see wskeepd --help", option);
    *field = optarg;
    return true;
}

/* argument: as written, for messages. */
static bool parse_option(int found, const char *argument, struct options *options,
                         const char **config_path, char *message)
{
    switch (found) {
    case 'c':
        return set_once(config_path, "--config", message);
    case OPTION_CHECK_CONFIG:
        if (options->action == OPTIONS_RUN)
            options->action = OPTIONS_CHECK;
        return true;
    case OPTION_LISTEN:
        return set_once(&options->listen, "--listen", message);
    case OPTION_UPSTREAM:
        return set_once(&options->upstream, "--upstream", message);
    case OPTION_USER:
        return set_once(&options->user, "--user", message);
    case 'h':
        options->action = OPTIONS_HELP;
        return true;
    case 'V':
        if (options->action != OPTIONS_HELP)
            options->action = OPTIONS_VERSION;
        return true;
    case ':':
        return fail(message, "%.100s wants a value; see wskeepd --help", argument);
    default:
        if (optopt != 0 && strncmp(argument, "--", 2) == 0) /* a known one: `--help=x` */
            return fail(message, "%.100s takes no value; see wskeepd --help", argument);
        return fail(message, "unknown option %.100s; see wskeepd --help", argument);
    }
}

bool options_parse(int argc, char **argv, struct options *options, char *message)
{
    const char *config_path = NULL;
    *options = (struct options){0};
    message[0] = '\0';
    optind = 0; /* glibc: start over, and forget the last argv */
    opterr = 0;
    for (;;) {
        int at = optind == 0 ? 1 : optind;
        int found = getopt_long(argc, argv, "+:c:hV", long_options, NULL);
        if (found == -1)
            break;
        const char *argument = argv[at < argc ? at : argc - 1];
        if (!parse_option(found, argument, options, &config_path, message))
            return false;
    }
    options->config_path = config_path != NULL ? config_path : OPTIONS_CONFIG_PATH;
    if (options->action == OPTIONS_HELP || options->action == OPTIONS_VERSION)
        return true;
    if (optind < argc)
        return fail(message, "unexpected argument %.100s; see wskeepd --help", argv[optind]);
    if ((options->listen == NULL) != (options->upstream == NULL))
        return fail(message, "%s wants %s beside it; see wskeepd --help",
                    options->listen != NULL ? "--listen" : "--upstream",
                    options->listen != NULL ? "--upstream" : "--listen");
    if (options->listen != NULL && config_path != NULL)
        return fail(message, "--listen and --config exclude each other; see wskeepd --help");
    return true;
}
