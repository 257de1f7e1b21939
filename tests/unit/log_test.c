#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log/log.h"

static int ends[2]; /* of the pipe that stands for standard error */

static void pipe_open(void)
{
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
}

static void pipe_close(void)
{
    close(ends[0]);
    close(ends[1]);
}

static struct log log_on_pipe(enum log_format format)
{
    return (struct log){
        .fd = ends[1], .level = LOG_DEBUG, .mutex = PTHREAD_MUTEX_INITIALIZER, .format = format};
}

static size_t pipe_read(char *out, size_t out_bytes)
{
    ssize_t got = read(ends[0], out, out_bytes - 1);
    size_t bytes = got < 0 ? 0 : (size_t)got;
    out[bytes] = '\0';
    return bytes;
}

/* One line without the time at its front: the 24 characters of 2026-11-23T08:10:05.123Z. */
static const char *line_after_time(char line[LOG_LINE_BYTES_MAX + 1], size_t time_at)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    size_t bytes = pipe_read(line, LOG_LINE_BYTES_MAX + 1);
    ck_assert_uint_gt(bytes, time_at + sizeof(shape));
    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        char got = line[time_at + i];
        ck_assert_msg(shape[i] == '0' ? got >= '0' && got <= '9' : got == shape[i], "%s", line);
    }
    return line + time_at + sizeof(shape) - 1;
}

START_TEST(a_text_line_is_time_level_and_sentence)
{
    struct log log = log_on_pipe(LOG_TEXT);
    char line[LOG_LINE_BYTES_MAX + 1];
    struct log_field fields[] = {log_text("link", "game")};
    log_line(&log, LOG_INFO, "move", "game#12: open -> waiting (tcp-reset)", fields, 1);
    ck_assert_str_eq(line_after_time(line, 0), " info game#12: open -> waiting (tcp-reset)\n");
}
END_TEST

START_TEST(without_a_sentence_the_text_line_shows_event_and_fields)
{
    struct log log = log_on_pipe(LOG_TEXT);
    char line[LOG_LINE_BYTES_MAX + 1];
    struct log_field fields[] = {log_number("n", 18446744073709551615ULL),
                                 log_text("a", "b"),
                                 log_text("empty", ""),
                                 log_text("none", NULL),
                                 log_text("s", "x y=\"z\"\n"),
                                 log_bytes("p", "abc", 2)};
    log_line(&log, LOG_WARNING, "gap", NULL, fields, 6);
    ck_assert_str_eq(line_after_time(line, 0),
                     " warning gap n=18446744073709551615 a=b empty=\"\" none=\"\" "
                     "s=\"x y=\\\"z\\\"\\n\" p=ab\n");
}
END_TEST

START_TEST(a_json_line_is_one_object_with_all_fields)
{
    struct log log = log_on_pipe(LOG_JSON);
    char line[LOG_LINE_BYTES_MAX + 1];
    struct log_field fields[] = {log_text("link", "game"), log_number("code", 1001)};
    log_line(&log, LOG_ERROR, "move", "not in it", fields, 2);
    ck_assert_str_eq(
        line_after_time(line, 9),
        "\",\"level\":\"error\",\"event\":\"move\",\"link\":\"game\",\"code\":1001}\n");
    ck_assert(strncmp(line, "{\"time\":\"", 9) == 0);
}
END_TEST

static const struct {
    const char *why;
    const char *text;
    size_t text_bytes;
    const char *json;     /* of a field */
    const char *sentence; /* as a whole */
    const char *quoted;   /* by log_escape() */
} escapes[] = {
    {"plain", "a'b", 3, "a'b", "a'b", "a'b"},
    {"quotes and backslash", "\"\\", 2, "\\\"\\\\", "\"\\", "\\\"\\\\"},
    {"line ends and tab", "\r\n\t", 3, "\\r\\n\\t", "\\r\\n\\t", "\\r\\n\\t"},
    {"other controls and DEL", "\x1b\x01\x7f", 3, "\\u001b\\u0001\\u007f", "\\x1b\\x01\\x7f",
     "\\x1b\\x01\\x7f"},
    {"C1 controls act on terminals", "\xc2\x9b", 2, "\\u009b", "\\x9b", "\\x9b"},
    {"so do changes of direction", "\xe2\x80\xae", 3, "\\u202e", "\\u202e", "\\u202e"},
    {"characters of 2, 3 and 4 bytes", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9,
     "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
     "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"no UTF-8 at all", "\xff", 1, "\xef\xbf\xbd", "\\xff", "\\xff"},
    {"a character cut off", "\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd", "\\xe2\\x82", "\\xe2\\x82"},
    {"overlong", "\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd", "\\xc0\\xaf", "\\xc0\\xaf"},
    {"a surrogate", "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "\\xed\\xa0\\x80",
     "\\xed\\xa0\\x80"},
    {"over U+10FFFF", "\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
     "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80"},
};

START_TEST(whatever_a_peer_sends_stays_on_its_line)
{
    char line[LOG_LINE_BYTES_MAX + 1];
    char expect[256];
    struct log_field field = log_bytes("f", escapes[_i].text, escapes[_i].text_bytes);

    struct log json = log_on_pipe(LOG_JSON);
    log_line(&json, LOG_INFO, "e", NULL, &field, 1);
    snprintf(expect, sizeof(expect), "\",\"level\":\"info\",\"event\":\"e\",\"f\":\"%s\"}\n",
             escapes[_i].json);
    ck_assert_msg(strcmp(line_after_time(line, 9), expect) == 0, "%s: %s", escapes[_i].why, line);

    struct log text = log_on_pipe(LOG_TEXT);
    char sentence[64] = "";
    memcpy(sentence, escapes[_i].text, escapes[_i].text_bytes);
    log_line(&text, LOG_INFO, "e", sentence, NULL, 0);
    snprintf(expect, sizeof(expect), " info %s\n", escapes[_i].sentence);
    ck_assert_msg(strcmp(line_after_time(line, 0), expect) == 0, "%s: %s", escapes[_i].why, line);

    char out[256] = "x";
    size_t used = log_escape(out, 1, sizeof(out), escapes[_i].text, escapes[_i].text_bytes);
    ck_assert_uint_eq(used, strlen(out));
    ck_assert_msg(strcmp(out + 1, escapes[_i].quoted) == 0, "%s: %s", escapes[_i].why, out);
}
END_TEST

START_TEST(every_byte_is_escaped_into_valid_json)
{
    struct log log = log_on_pipe(LOG_JSON);
    for (unsigned byte = 0; byte < 256; byte++) {
        char line[LOG_LINE_BYTES_MAX + 1];
        char one = (char)byte;
        struct log_field field = log_bytes("f", &one, 1);
        log_line(&log, LOG_INFO, "e", NULL, &field, 1);
        const char *value = strstr(line_after_time(line, 9), "\"f\":\"");
        ck_assert_ptr_nonnull(value);
        for (const char *at = value; *at != '\n'; at++)
            ck_assert_msg((unsigned char)*at >= 0x20 && *at != 0x7f, "byte %u", byte);
        ck_assert_uint_le(strlen(value), strlen("\"f\":\"\\u0000\"}\n"));
    }
}
END_TEST

START_TEST(an_escape_is_cut_whole)
{
    for (size_t room = 1; room < 12; room++) {
        char out[16];
        memset(out, 'z', sizeof(out));
        size_t used = log_escape(out, 0, room, "\n\xc3\xa4\x01", 4);
        ck_assert_uint_lt(used, room);
        ck_assert_uint_eq(strlen(out), used);
        ck_assert_msg(used == 0 || used == 2 || used == 4 || used == 8, "%zu of %zu", used, room);
    }
}
END_TEST

START_TEST(a_long_line_is_cut_and_stays_a_line)
{
    char *big = malloc(4096);
    ck_assert_ptr_nonnull(big);
    memset(big, 'x', 4095);
    big[4095] = '\0';
    for (size_t bytes = 1900; bytes < 4095; bytes++) {
        char line[LOG_LINE_BYTES_MAX + 1];
        struct log text = log_on_pipe(LOG_TEXT);
        char cut = big[bytes];
        big[bytes] = '\0';
        log_line(&text, LOG_INFO, "e", big, NULL, 0);
        big[bytes] = cut;
        size_t line_bytes = pipe_read(line, sizeof(line));
        ck_assert_uint_le(line_bytes, LOG_LINE_BYTES_MAX);
        ck_assert_int_eq(line[line_bytes - 1], '\n');
        ck_assert(strstr(line, "...\n") != NULL || line_bytes == 24 + 6 + bytes + 1);

        struct log json = log_on_pipe(LOG_JSON);
        struct log_field fields[] = {log_number("a", 1), log_bytes("big", big, bytes),
                                     log_number("b", 2)};
        log_line(&json, LOG_INFO, "e", NULL, fields, 3);
        line_bytes = pipe_read(line, sizeof(line));
        ck_assert_uint_le(line_bytes, LOG_LINE_BYTES_MAX);
        bool has_big = strstr(line, "\"big\":") != NULL;
        bool has_last = strstr(line, "\"b\":2") != NULL;
        bool is_cut = strstr(line, ",\"cut\":true}\n") != NULL;
        ck_assert_msg(strstr(line, "\"a\":1") != NULL && (has_last ? has_big && !is_cut : is_cut),
                      "%zu: %s", bytes, line);
        ck_assert_int_eq(line[line_bytes - 2], '}');
    }
    free(big);
}
END_TEST

START_TEST(what_is_less_important_is_not_written)
{
    char line[LOG_LINE_BYTES_MAX + 1];
    struct log log = log_on_pipe(LOG_TEXT);
    log.level = LOG_WARNING;
    ck_assert(!log_is_on(&log, LOG_INFO));
    log_line(&log, LOG_INFO, "e", "s", NULL, 0);
    log_line(&log, LOG_DEBUG, "e", "s", NULL, 0);
    ck_assert_uint_eq(pipe_read(line, sizeof(line)), 0);
    log_line(&log, LOG_ERROR, "e", "s", NULL, 0);
    ck_assert_str_eq(line_after_time(line, 0), " error s\n");
}
END_TEST

/* Fill the pipe.  Its writing end blocks: a line that was written then would hang the test. */
static void pipe_fill(void)
{
    char filler[4096] = {0};
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], filler, sizeof(filler)) > 0)
        ;
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
}

static void pipe_empty(void)
{
    char rest[4096];
    while (read(ends[0], rest, sizeof(rest)) > 0)
        ;
}

START_TEST(a_full_pipe_loses_lines_and_the_next_one_says_how_many)
{
    char line[LOG_LINE_BYTES_MAX + 1];
    struct log text = log_on_pipe(LOG_TEXT);
    pipe_fill();
    log_line(&text, LOG_INFO, "e", "one", NULL, 0);
    log_line(&text, LOG_INFO, "e", "two", NULL, 0);
    ck_assert_uint_eq(text.lost_count, 2);
    pipe_empty();
    log_line(&text, LOG_INFO, "e", "three", NULL, 0);
    ck_assert_str_eq(line_after_time(line, 0), " info [lost before this: 2] three\n");
    log_line(&text, LOG_INFO, "e", "four", NULL, 0);
    ck_assert_str_eq(line_after_time(line, 0), " info four\n");

    struct log json = log_on_pipe(LOG_JSON);
    json.lost_count = 3;
    log_line(&json, LOG_INFO, "e", NULL, NULL, 0);
    ck_assert_str_eq(line_after_time(line, 9),
                     "\",\"level\":\"info\",\"event\":\"e\",\"lost_lines\":3}\n");
}
END_TEST

START_TEST(a_closed_pipe_ends_nobody)
{
    struct log log = log_on_pipe(LOG_TEXT);
    close(ends[0]);
    log_line(&log, LOG_INFO, "e", "s", NULL, 0); /* no SIGPIPE: the pipe is asked first */
    ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_uint_eq(log.lost_count, 1);
}
END_TEST

/* ---- the journal -------------------------------------------------------------------------- */

static char journal_path[64];

/* Somebody who takes what the journal would get, and does not read it before he is asked to. */
static int journal_stand_in(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(journal_path, sizeof(journal_path), "/tmp/wskeep-log-test-%ld", (long)getpid());
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", journal_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    (void)unlink(journal_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static const char *journal_read(int fd, char entry[8192])
{
    ssize_t got = recv(fd, entry, 8191, 0);
    entry[got < 0 ? 0 : got] = '\0';
    return entry;
}

static struct log log_to_journal(void)
{
    struct log log = log_on_pipe(LOG_JOURNAL);
    log.journal_path = journal_path;
    return log;
}

START_TEST(an_entry_of_the_journal_has_fields_of_its_own)
{
    char entry[8192];
    int journal = journal_stand_in();
    struct log log = log_to_journal();
    struct log_field fields[] = {log_text("link", "game"), log_number("delay_ms", 217),
                                 log_text("reason", "two\nlines=\x1b")};
    log_line(&log, LOG_WARNING, "move", "game#1: \"open\"\nPRIORITY=0", fields, 3);
    ck_assert_str_eq(journal_read(journal, entry),
                     "SYSLOG_IDENTIFIER=wskeepd\nPRIORITY=4\nWSKEEP_EVENT=move\n"
                     "MESSAGE=game#1: \"open\"\\nPRIORITY=0\nWSKEEP_LINK=game\n"
                     "WSKEEP_DELAY_MS=217\nWSKEEP_REASON=two\\nlines=\\x1b\n");
    log_line(&log, LOG_DEBUG, "move", NULL, fields, 1);
    ck_assert_str_eq(journal_read(journal, entry),
                     "SYSLOG_IDENTIFIER=wskeepd\nPRIORITY=7\nWSKEEP_EVENT=move\n"
                     "MESSAGE=move link=game\nWSKEEP_LINK=game\n");
    char line[8];
    ck_assert_uint_eq(pipe_read(line, sizeof(line)), 0);
    log_clear(&log);
    close(journal);
    unlink(journal_path);
}
END_TEST

START_TEST(a_long_entry_loses_whole_fields)
{
    char entry[8192];
    char much[4096];
    int journal = journal_stand_in();
    struct log log = log_to_journal();
    memset(much, 'x', sizeof(much) - 1);
    much[sizeof(much) - 1] = '\0';
    struct log_field fields[] = {log_text("link", "game"), log_text("why", much),
                                 log_text("reason", much), log_text("cause", "fault")};
    log_line(&log, LOG_INFO, "move", much, fields, 4);
    journal_read(journal, entry);
    ck_assert_ptr_nonnull(strstr(entry, "x...\nWSKEEP_LINK=game\nWSKEEP_CUT=1\n"));
    ck_assert_ptr_null(strstr(entry, "WSKEEP_WHY"));
    log_clear(&log);
    close(journal);
    unlink(journal_path);
}
END_TEST

START_TEST(a_journal_that_does_not_keep_up_loses_entries_and_hears_how_many)
{
    char entry[8192];
    unsigned written = 0;
    int journal = journal_stand_in();
    struct log log = log_to_journal();
    while (log.lost_count == 0 && ++written < 100000)
        log_line(&log, LOG_INFO, "e", "s", NULL, 0);
    ck_assert_uint_lt(written, 100000);
    log_line(&log, LOG_INFO, "e", "s", NULL, 0);
    ck_assert_uint_eq(log.lost_count, 2);
    while (*journal_read(journal, entry) != '\0')
        ;
    log_line(&log, LOG_INFO, "e", "s", NULL, 0);
    ck_assert_str_eq(journal_read(journal, entry),
                     "SYSLOG_IDENTIFIER=wskeepd\nPRIORITY=6\nWSKEEP_EVENT=e\n"
                     "WSKEEP_LOST_LINES=2\nMESSAGE=[lost before this: 2] s\n");
    log_clear(&log);
    close(journal);
    unlink(journal_path);
}
END_TEST

START_TEST(without_a_journal_lines_go_to_standard_error_after_one_warning)
{
    char line[3 * LOG_LINE_BYTES_MAX];
    char entry[8192];
    snprintf(journal_path, sizeof(journal_path), "/nonexistent/socket");
    struct log log = log_to_journal();
    log_line(&log, LOG_INFO, "e", "first", NULL, 0);
    log_line(&log, LOG_INFO, "e", "second", NULL, 0);
    pipe_read(line, sizeof(line));
    const char *warning = strstr(line, " warning the journal cannot be reached");
    ck_assert_ptr_nonnull(warning);
    ck_assert_ptr_null(strstr(warning + 1, " warning "));
    ck_assert_ptr_nonnull(strstr(warning, " info first\n"));
    ck_assert_ptr_nonnull(strstr(warning, " info second\n"));
    int journal = journal_stand_in(); /* it comes up: it is found without a restart */
    log_line(&log, LOG_INFO, "e", "third", NULL, 0);
    ck_assert_ptr_nonnull(strstr(journal_read(journal, entry), "MESSAGE=third\n"));
    log_clear(&log);
    close(journal);
    unlink(journal_path);
}
END_TEST

START_TEST(a_text_line_for_the_journal_has_a_priority_instead_of_the_time)
{
    static const struct {
        enum log_level level;
        const char *expect;
    } rows[] = {{LOG_ERROR, "<3>error s\n"},
                {LOG_WARNING, "<4>warning s\n"},
                {LOG_INFO, "<6>info s\n"},
                {LOG_DEBUG, "<7>debug s\n"}};
    struct log log = log_on_pipe(LOG_TEXT);
    log.fd_is_journal = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[64];
        log_line(&log, rows[i].level, "e", "s", NULL, 0);
        pipe_read(line, sizeof(line));
        ck_assert_str_eq(line, rows[i].expect);
    }
}
END_TEST

START_TEST(standard_error_is_the_journal_only_when_device_and_inode_say_so)
{
    struct stat found;
    char text[64];
    ck_assert_int_eq(fstat(ends[1], &found), 0);
    snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)found.st_dev, (uintmax_t)found.st_ino);
    ck_assert(log_is_journal_stream(ends[1], text));
    snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)found.st_dev, (uintmax_t)found.st_ino + 1);
    ck_assert(!log_is_journal_stream(ends[1], text));
    ck_assert(!log_is_journal_stream(ends[1], "no numbers"));
    ck_assert(!log_is_journal_stream(ends[1], NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, pipe_open, pipe_close);
    tcase_add_test(tcase, a_text_line_is_time_level_and_sentence);
    tcase_add_test(tcase, without_a_sentence_the_text_line_shows_event_and_fields);
    tcase_add_test(tcase, a_json_line_is_one_object_with_all_fields);
    tcase_add_loop_test(tcase, whatever_a_peer_sends_stays_on_its_line, 0,
                        (int)(sizeof(escapes) / sizeof(escapes[0])));
    tcase_add_test(tcase, every_byte_is_escaped_into_valid_json);
    tcase_add_test(tcase, an_escape_is_cut_whole);
    tcase_add_test(tcase, a_long_line_is_cut_and_stays_a_line);
    tcase_add_test(tcase, what_is_less_important_is_not_written);
    tcase_add_test(tcase, a_full_pipe_loses_lines_and_the_next_one_says_how_many);
    tcase_add_test(tcase, a_closed_pipe_ends_nobody);
    tcase_add_test(tcase, an_entry_of_the_journal_has_fields_of_its_own);
    tcase_add_test(tcase, a_long_entry_loses_whole_fields);
    tcase_add_test(tcase, a_journal_that_does_not_keep_up_loses_entries_and_hears_how_many);
    tcase_add_test(tcase, without_a_journal_lines_go_to_standard_error_after_one_warning);
    tcase_add_test(tcase, a_text_line_for_the_journal_has_a_priority_instead_of_the_time);
    tcase_add_test(tcase, standard_error_is_the_journal_only_when_device_and_inode_say_so);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
