#include <check.h>
#include <stdbool.h>
#include <string.h>

#include "wskeepd/options.h"

enum { ARGUMENT_COUNT_MAX = 8 };

static const struct {
    const char *arguments[ARGUMENT_COUNT_MAX];
    enum options_action action;
    const char *config_path;
    const char *listen;
    const char *upstream;
} right[] = {
    {{NULL}, OPTIONS_RUN, OPTIONS_CONFIG_PATH, NULL, NULL},
    {{"-c", "a.yaml"}, OPTIONS_RUN, "a.yaml", NULL, NULL},
    {{"-ca.yaml"}, OPTIONS_RUN, "a.yaml", NULL, NULL},
    {{"--config", "a.yaml"}, OPTIONS_RUN, "a.yaml", NULL, NULL},
    {{"--config=a.yaml", "--check-config"}, OPTIONS_CHECK, "a.yaml", NULL, NULL},
    {{"--check-config"}, OPTIONS_CHECK, OPTIONS_CONFIG_PATH, NULL, NULL},
    {{"--listen", "l", "--upstream=u"}, OPTIONS_RUN, OPTIONS_CONFIG_PATH, "l", "u"},
    {{"--upstream", "u", "--listen=l", "--check-config"},
     OPTIONS_CHECK,
     OPTIONS_CONFIG_PATH,
     "l",
     "u"},
    {{"-h"}, OPTIONS_HELP, OPTIONS_CONFIG_PATH, NULL, NULL},
    {{"--help", "--listen", "l"}, OPTIONS_HELP, OPTIONS_CONFIG_PATH, "l", NULL},
    {{"-V"}, OPTIONS_VERSION, OPTIONS_CONFIG_PATH, NULL, NULL},
    {{"--version"}, OPTIONS_VERSION, OPTIONS_CONFIG_PATH, NULL, NULL},
    {{"-hV"}, OPTIONS_HELP, OPTIONS_CONFIG_PATH, NULL, NULL},
    {{"--"}, OPTIONS_RUN, OPTIONS_CONFIG_PATH, NULL, NULL},
};

static const struct {
    const char *arguments[ARGUMENT_COUNT_MAX];
    const char *message;
} wrong[] = {
    {{"--nonsense"}, "unknown option --nonsense; see wskeepd --help"},
    {{"-x"}, "unknown option -x; see wskeepd --help"},
    {{"-c"}, "-c wants a value; see wskeepd --help"},
    {{"--config"}, "--config wants a value; see wskeepd --help"},
    {{"--config="}, "--config is empty; see wskeepd --help"},
    {{"-c", "a", "--config", "b"}, "--config is given twice; see wskeepd --help"},
    {{"--check-config=yes"}, "--check-config=yes takes no value; see wskeepd --help"},
    {{"--user"}, "--user wants a value; see wskeepd --help"},
    {{"--user="}, "--user is empty; see wskeepd --help"},
    {{"--user", "a", "--user", "b"}, "--user is given twice; see wskeepd --help"},
    {{"--help=me"}, "--help=me takes no value; see wskeepd --help"},
    {{"a.yaml"}, "unexpected argument a.yaml; see wskeepd --help"},
    {{"a.yaml", "--nonsense"}, "unexpected argument a.yaml; see wskeepd --help"},
    {{"--listen", "l"}, "--listen wants --upstream beside it; see wskeepd --help"},
    {{"--upstream", "u"}, "--upstream wants --listen beside it; see wskeepd --help"},
    {{"-c", "a", "--listen", "l", "--upstream", "u"},
     "--listen and --config exclude each other; see wskeepd --help"},
};

static bool parse(const char *const arguments[ARGUMENT_COUNT_MAX], struct options *options,
                  char message[OPTIONS_MESSAGE_BYTES])
{
    char *argv[ARGUMENT_COUNT_MAX + 2] = {(char *)"wskeepd"};
    int argc = 1;
    for (; argc <= ARGUMENT_COUNT_MAX && arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    return options_parse(argc, argv, options, message);
}

static void check_text(const char *got, const char *expect)
{
    if (expect == NULL)
        ck_assert_ptr_null(got);
    else
        ck_assert_str_eq(got, expect);
}

START_TEST(a_right_command_line_is_taken_as_written)
{
    struct options options;
    char message[OPTIONS_MESSAGE_BYTES];
    ck_assert_msg(parse(right[_i].arguments, &options, message), "%s", message);
    ck_assert_int_eq(options.action, right[_i].action);
    check_text(options.config_path, right[_i].config_path);
    check_text(options.listen, right[_i].listen);
    check_text(options.upstream, right[_i].upstream);
    ck_assert_ptr_null(options.user);
    ck_assert_str_eq(message, "");
}
END_TEST

START_TEST(a_user_is_taken_with_a_file_and_without)
{
    static const char *const with_file[ARGUMENT_COUNT_MAX] = {"--user", "game", "-c", "a.yaml"};
    static const char *const without[ARGUMENT_COUNT_MAX] = {"--listen=l", "--upstream=u",
                                                            "--user=game"};
    char message[OPTIONS_MESSAGE_BYTES];
    struct options options;
    ck_assert_msg(parse(with_file, &options, message), "%s", message);
    ck_assert_str_eq(options.user, "game");
    ck_assert_msg(parse(without, &options, message), "%s", message);
    ck_assert_str_eq(options.user, "game");
}
END_TEST

START_TEST(a_wrong_command_line_is_refused_in_one_line)
{
    struct options options;
    char message[OPTIONS_MESSAGE_BYTES];
    ck_assert(!parse(wrong[_i].arguments, &options, message));
    ck_assert_str_eq(message, wrong[_i].message);
}
END_TEST

START_TEST(help_names_every_option_within_80_columns)
{
    static const char *const names[] = {"-c, --config", "--check-config", "--listen",
                                        "--upstream",   "-h, --help",     "-V, --version"};
    const char *help = options_help();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(strstr(help, names[i]) != NULL, "%s", names[i]);
    for (const char *line = help; *line != '\0'; line += strcspn(line, "\n") + 1)
        ck_assert_uint_le(strcspn(line, "\n"), 80);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("options");
    tcase_add_test(tcase, a_user_is_taken_with_a_file_and_without);
    tcase_add_loop_test(tcase, a_right_command_line_is_taken_as_written, 0,
                        (int)(sizeof(right) / sizeof(right[0])));
    tcase_add_loop_test(tcase, a_wrong_command_line_is_refused_in_one_line, 0,
                        (int)(sizeof(wrong) / sizeof(wrong[0])));
    tcase_add_test(tcase, help_names_every_option_within_80_columns);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
