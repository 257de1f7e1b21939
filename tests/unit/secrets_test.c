/* Files with secrets, read in a thread: also when one of them hangs. */
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_file.h"
#include "net/secrets.h"

/* ---- files that hang: what a dead file server does to open() ------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static bool hangs;
static unsigned hanging_count;

char *__real_config_file_read(const char *path, size_t bytes_max, size_t *bytes, char *why);
char *__wrap_config_file_read(const char *path, size_t bytes_max, size_t *bytes, char *why);

char *__wrap_config_file_read(const char *path, size_t bytes_max, size_t *bytes, char *why)
{
    pthread_mutex_lock(&mutex);
    if (strstr(path, "dead")) {
        hanging_count++;
        while (hangs)
            pthread_cond_wait(&released, &mutex);
        hanging_count--;
    }
    pthread_mutex_unlock(&mutex);
    return __real_config_file_read(path, bytes_max, bytes, why);
}

static void release(void)
{
    pthread_mutex_lock(&mutex);
    hangs = false;
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&mutex);
}

static unsigned hanging(void)
{
    pthread_mutex_lock(&mutex);
    unsigned count = hanging_count;
    pthread_mutex_unlock(&mutex);
    return count;
}

/* ---- a folder, a loop, and what was answered ----------------------------------------------- */

static char folder[] = "/tmp/wskeep-secrets-XXXXXX";
static struct event_base *base;
static struct secrets *secrets;

struct answer {
    unsigned count;
    char text[64]; /* of the first file; "": not read */
    char why[SECRETS_WHY_BYTES];
    struct secrets_mark mark;
};

static const char *path_of(const char *name)
{
    static char paths[4][128]; /* a few at a time */
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static const char *put_file(const char *name, const char *text)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void setup(void)
{
    strcpy(folder + sizeof(folder) - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    base = event_base_new();
    secrets = secrets_new(base);
    ck_assert_ptr_nonnull(secrets);
    hangs = true;
}

static void teardown(void)
{
    char command[128];
    release();
    secrets_free(secrets);
    event_base_free(base);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void on_answer(void *argument, const struct secrets_file *files, size_t file_count)
{
    struct answer *answer = argument;
    answer->count++;
    ck_assert_uint_ge(file_count, 1);
    snprintf(answer->text, sizeof(answer->text), "%s", files[0].text ? files[0].text : "");
    snprintf(answer->why, sizeof(answer->why), "%s", files[0].why);
    answer->mark = files[0].mark;
    if (files[0].text)
        ck_assert_uint_eq(strlen(files[0].text), files[0].text_bytes);
}

static struct secrets_request *ask(const char *path, bool only_looks, struct answer *answer)
{
    *answer = (struct answer){0};
    return secrets_ask(secrets, &path, 1, only_looks, on_answer, answer);
}

static void wait_for(const struct answer *answer)
{
    while (answer->count == 0)
        ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
    ck_assert_uint_eq(answer->count, 1);
}

static void ask_and_wait(const char *path, bool only_looks, struct answer *answer)
{
    ck_assert_ptr_nonnull(ask(path, only_looks, answer));
    wait_for(answer);
}

/* ---- reading ------------------------------------------------------------------------------ */

static const struct {
    const char *written;
    const char *expect;
} texts[] = {
    {"abc", "abc"}, {"abc\n", "abc"}, {"abc\r\n", "abc"}, {"abc\n\n", "abc\n"},
    {"\n", ""},     {"", ""},         {" a b ", " a b "}, {"a\nb\n", "a\nb"},
};

START_TEST(a_file_is_read_without_the_newline_at_its_end)
{
    struct answer answer;
    ask_and_wait(put_file("token", texts[_i].written), false, &answer);
    ck_assert_str_eq(answer.text, texts[_i].expect);
    ck_assert_str_eq(answer.why, "");
}
END_TEST

START_TEST(several_files_are_one_answer)
{
    const char *paths[] = {put_file("a", "1"), put_file("b", "2"), path_of("none")};
    struct answer answer = {0};
    ck_assert_ptr_nonnull(secrets_ask(secrets, paths, 3, false, on_answer, &answer));
    wait_for(&answer);
    ck_assert_str_eq(answer.text, "1");
}
END_TEST

START_TEST(what_cannot_be_read_is_said)
{
    struct answer answer;
    ask_and_wait(path_of("none"), false, &answer);
    ck_assert_str_eq(answer.why, "cannot be read: No such file or directory");
    ck_assert_int_eq(answer.mark.error, ENOENT);
    ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
    ask_and_wait(path_of("fifo"), false, &answer);
    ck_assert_str_eq(answer.why, "is a device, pipe or socket, expected a regular file");
    ask_and_wait(folder, false, &answer);
    ck_assert_str_eq(answer.why, "is a directory, expected a regular file");
}
END_TEST

START_TEST(a_mark_tells_a_change)
{
    struct answer before;
    struct answer after;
    const char *path = put_file("token", "one");
    ask_and_wait(path, false, &before);
    ask_and_wait(path, true, &after);
    ck_assert_str_eq(after.text, ""); /* it was only looked at */
    ck_assert(secrets_mark_is(&before.mark, &after.mark));
    ck_assert_int_eq(rename(put_file("new", "two"), path_of("token")), 0); /* of the same size */
    ask_and_wait(path_of("token"), true, &after);
    ck_assert(!secrets_mark_is(&before.mark, &after.mark));
    before = after;
    ck_assert_int_eq(chmod(path_of("token"), 0), 0);
    ask_and_wait(path_of("token"), true, &after);
    ck_assert(!secrets_mark_is(&before.mark, &after.mark));
    before = after;
    ck_assert_int_eq(unlink(path_of("token")), 0);
    ask_and_wait(path_of("token"), true, &after);
    ck_assert(!secrets_mark_is(&before.mark, &after.mark));
}
END_TEST

START_TEST(what_is_cancelled_is_not_answered)
{
    struct answer first;
    struct answer second;
    for (unsigned i = 0; i < 200; i++) { /* queued, being read, or read already */
        struct secrets_request *request = ask(put_file("token", "one"), false, &first);
        ck_assert_ptr_nonnull(request);
        if (i % 2)
            ck_assert_ptr_nonnull(secrets_waits_for(secrets, request));
        secrets_cancel(secrets, request);
        if (i % 10 == 0)
            ask_and_wait(path_of("token"), false, &second);
        ck_assert_uint_eq(first.count, 0);
    }
}
END_TEST

START_TEST(the_queue_has_an_end)
{
    static struct answer answers[SECRETS_QUEUE_COUNT_MAX];
    struct answer more;
    const char *path = put_file("token", "one");
    for (unsigned i = 0; i < SECRETS_QUEUE_COUNT_MAX; i++)
        ck_assert_ptr_nonnull(ask(path, true, &answers[i]));
    ck_assert_ptr_null(ask(path, true, &more));
    for (unsigned i = 0; i < SECRETS_QUEUE_COUNT_MAX; i++)
        wait_for(&answers[i]);
    ask_and_wait(path, true, &more);
}
END_TEST

/* ---- hanging ------------------------------------------------------------------------------ */

START_TEST(a_file_that_hangs_holds_up_nobody_else)
{
    struct answer dead;
    struct answer again;
    struct answer alive;
    const char *path = put_file("token", "one");
    const char *dead_path = put_file("dead", "two");
    struct secrets_request *request = ask(dead_path, false, &dead);
    ck_assert_ptr_nonnull(request);
    ask_and_wait(path, false, &alive); /* behind it: another thread goes on after a while */
    ck_assert_str_eq(alive.text, "one");
    ck_assert_uint_eq(hanging(), 1);
    ck_assert_str_eq(secrets_waits_for(secrets, request), dead_path);
    for (unsigned i = 0; i < 20; i++) { /* it is not opened again */
        ask_and_wait(dead_path, false, &again);
        ck_assert_str_eq(again.why, "does not answer: reading it hangs");
    }
    ck_assert_uint_eq(hanging(), 1);
    ck_assert_uint_eq(dead.count, 0);
    release();
    wait_for(&dead); /* late, and right */
    ck_assert_str_eq(dead.text, "two");
    ask_and_wait(dead_path, false, &again);
    ck_assert_str_eq(again.text, "two");
}
END_TEST

START_TEST(what_waits_for_a_file_that_hangs_is_answered)
{
    struct answer dead;
    struct answer again;
    struct answer alive;
    const char *dead_path = put_file("dead", "two");
    ck_assert_ptr_nonnull(ask(dead_path, false, &dead));
    ck_assert_ptr_nonnull(ask(dead_path, false, &again)); /* nobody knows yet that it hangs */
    ask_and_wait(put_file("token", "one"), false, &alive);
    ck_assert_str_eq(alive.text, "one");
    wait_for(&again);
    ck_assert_str_eq(again.why, "does not answer: reading it hangs");
    ck_assert_uint_eq(hanging(), 1); /* it was not opened a second time */
    ck_assert_uint_eq(dead.count, 0);
    release();
    wait_for(&dead);
}
END_TEST

START_TEST(a_thread_that_hangs_may_outlive_all_the_rest)
{
    struct answer dead;
    struct answer queued;
    struct answer alive;
    struct secrets_request *request = ask(put_file("dead", "two"), false, &dead);
    ck_assert_ptr_nonnull(request);
    ask_and_wait(put_file("token", "one"), false, &alive);
    secrets_cancel(secrets, request);
    ck_assert_ptr_nonnull(ask(put_file("dead2", "three"), false, &queued));
    while (hanging() < 2)
        usleep(1000);
    secrets_free(secrets);
    secrets = NULL;
    ck_assert_uint_eq(dead.count + queued.count, 0);
    release();
    while (hanging() > 0)
        usleep(1000);
}
END_TEST

START_TEST(threads_that_hang_have_a_limit)
{
    struct answer dead[SECRETS_LOST_COUNT_MAX + 2];
    char name[16];
    for (unsigned i = 0; i < SECRETS_LOST_COUNT_MAX + 2; i++) {
        snprintf(name, sizeof(name), "dead%u", i);
        ck_assert_ptr_nonnull(ask(put_file(name, name), false, &dead[i]));
    }
    while (hanging() < SECRETS_LOST_COUNT_MAX + 1)
        event_base_loop(base, EVLOOP_ONCE); /* nothing but the timer that looks for them */
    for (unsigned i = 0; i < SECRETS_HANG_MS / 1000 + 1; i++)
        event_base_loop(base, EVLOOP_ONCE);
    ck_assert_uint_eq(hanging(), SECRETS_LOST_COUNT_MAX + 1);
    release();
    for (unsigned i = 0; i < SECRETS_LOST_COUNT_MAX + 2; i++)
        wait_for(&dead[i]);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("secrets");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    LOOP(a_file_is_read_without_the_newline_at_its_end, texts);
    tcase_add_test(tcase, several_files_are_one_answer);
    tcase_add_test(tcase, what_cannot_be_read_is_said);
    tcase_add_test(tcase, a_mark_tells_a_change);
    tcase_add_test(tcase, what_is_cancelled_is_not_answered);
    tcase_add_test(tcase, the_queue_has_an_end);
    tcase_add_test(tcase, a_file_that_hangs_holds_up_nobody_else);
    tcase_add_test(tcase, what_waits_for_a_file_that_hangs_is_answered);
    tcase_add_test(tcase, a_thread_that_hangs_may_outlive_all_the_rest);
    tcase_add_test(tcase, threads_that_hang_have_a_limit);

    Suite *suite = suite_create("secrets");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
