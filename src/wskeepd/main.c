/* wskeepd: the command line, and what it asks for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/tls.h"
#include "wskeepd/daemon.h"
#include "wskeepd/user.h"

static void print_errors(const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        char text[LOG_LINE_BYTES_MAX];
        config_error_format(&errors->items[i], text, sizeof(text));
        fprintf(stderr, "%s\n", text);
    }
}

/* Who --user names; an exit status when it cannot be. */
static int find_user(const struct options *options, struct user *user)
{
    switch (user_find(options->user, user)) {
    case USER_OK:
        break;
    case USER_UNKNOWN:
        fprintf(stderr, "wskeepd: --user: there is no user \"%.100s\"\n", options->user);
        return DAEMON_WRONG_OPTIONS;
    case USER_ERROR:
        fprintf(stderr, "wskeepd: --user: %s\n", strerror(errno));
        return DAEMON_CANNOT_RUN;
    }
    if (options->action == OPTIONS_CHECK || user_is_possible(user))
        return DAEMON_ENDED;
    fprintf(stderr, "wskeepd: --user %.100s: only root can become another user\n", options->user);
    return DAEMON_CANNOT_RUN;
}

/* What a start would find out besides: an unreadable key is no mistake of the file. */
static bool check_certificates(const struct config *config)
{
    bool is_right = true;
    for (size_t i = 0; i < config->link_count; i++) {
        struct tls_pair pair;
        struct tls_error error;
        if (tls_pair_load(&pair, config->links[i], &error)) {
            tls_pair_clear(&pair);
            continue;
        }
        fprintf(stderr, "%s: %s: %s: %s\n", config->links[i]->name, error.key, error.path,
                error.why);
        is_right = false;
    }
    return is_right;
}

static int run(const struct options *options)
{
    struct user user;
    int status = options->user ? find_user(options, &user) : DAEMON_ENDED;
    if (status != DAEMON_ENDED)
        return status;
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
        status = check_certificates(config) ? DAEMON_ENDED : DAEMON_CANNOT_RUN;
        config_free(config);
        return status;
    }
    return daemon_run(&daemon, options, options->user ? &user : NULL, config);
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
