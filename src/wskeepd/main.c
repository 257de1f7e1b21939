/* wskeepd: the command line, and what it asks for. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "wskeepd/daemon.h"

static void print_errors(const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        char text[LOG_LINE_BYTES_MAX];
        config_error_format(&errors->items[i], text, sizeof(text));
        fprintf(stderr, "%s\n", text);
    }
}

static int run(const struct options *options)
{
    struct daemon daemon;
    struct config_errors errors = {0};
    struct config *config = daemon_read_config(options, &errors);
    if (!config) {
        print_errors(&errors);
        config_errors_clear(&errors);
        return DAEMON_WRONG_OPTIONS;
    }
    config_errors_clear(&errors);
    if (options->action == OPTIONS_CHECK) {
        config_free(config);
        return DAEMON_ENDED;
    }
    return daemon_run(&daemon, options, config);
}

/* Started without them, a socket of ours would become standard error, and be logged into. */
static void open_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    open_standard_files();
    struct options options;
    char message[OPTIONS_MESSAGE_BYTES];
    if (!options_parse(argc, argv, &options, message)) {
        fprintf(stderr, "wskeepd: %s\n", message);
        return DAEMON_WRONG_OPTIONS;
    }
    switch (options.action) {
    case OPTIONS_HELP:
        fputs(options_help(), stdout);
        return DAEMON_ENDED;
    case OPTIONS_VERSION:
        printf("wskeepd %s\n", PACKAGE_VERSION);
        return DAEMON_ENDED;
    case OPTIONS_CHECK:
    case OPTIONS_RUN:
        return run(&options);
    }
    return DAEMON_WRONG_OPTIONS;
}
