#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    return (struct log){.fd = ends[1], .level = LOG_DEBUG, .format = format};
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
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
