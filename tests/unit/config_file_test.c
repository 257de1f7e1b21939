#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/config_file.h"
#include "config/config_key.h"
#include "config/config_value.h"
#include "failing_malloc.h"

enum { OUT_BYTES = 16384, MUTATION_COUNT = 10000 };

static char folder[64];
static char put_path[128];

static void folder_make(void)
{
    snprintf(folder, sizeof(folder), "/tmp/wskeep-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void folder_remove(void)
{
    static const char *const names[] = {"links.d/a.yaml", "links.d/b.yaml", "links.d/.c.yaml",
                                        "links.d/d.yml",  "links.d",        "w.yaml",
                                        "value",          "fifo",           "token"};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        remove(path);
    }
    rmdir(folder);
}

/* A file in the folder; its path is valid until the next call. */
static const char *put(const char *name, const char *text, size_t text_bytes)
{
    snprintf(put_path, sizeof(put_path), "%s/%s", folder, name);
    FILE *file = fopen(put_path, "w");
    ck_assert_msg(file != NULL, "%s: %s", put_path, strerror(errno));
    ck_assert_uint_eq(fwrite(text, 1, text_bytes, file), text_bytes);
    ck_assert_int_eq(fclose(file), 0);
    return put_path;
}

static const char *put_text(const char *name, const char *text)
{
    return put(name, text, strlen(text));
}

/* All mistakes, a line each, without the folder's name. */
static struct config *read_path(const char *path, char out[OUT_BYTES])
{
    struct config_errors errors;
    struct config *config = config_read_file(path, &errors);
    size_t used = 0;
    out[0] = '\0';
    ck_assert((config == NULL) == (errors.count > 0));
    for (size_t i = 0; i < errors.count && used + 2 < OUT_BYTES; i++) {
        char line[2048];
        config_error_format(&errors.items[i], line, sizeof(line));
        const char *at = strncmp(line, folder, strlen(folder)) == 0 ? line + strlen(folder) : line;
        used += (size_t)snprintf(out + used, OUT_BYTES - used, "%s%s", i > 0 ? "\n" : "", at);
    }
    config_errors_clear(&errors);
    return config;
}

/* ---- files -------------------------------------------------------------------------------- */

START_TEST(a_file_that_cannot_be_read_is_said_with_its_reason)
{
    char out[OUT_BYTES];
    char path[128];
    snprintf(path, sizeof(path), "%s/none.yaml", folder);
    ck_assert_ptr_null(read_path(path, out));
    ck_assert_str_eq(out, "/none.yaml: cannot be read: No such file or directory");

    ck_assert_ptr_null(read_path(folder, out));
    ck_assert_str_eq(out, ": is a directory, expected a regular file");

    snprintf(path, sizeof(path), "%s/fifo", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_ptr_null(read_path(path, out)); /* and does not wait for a writer */
    ck_assert_str_eq(out, "/fifo: is a device, pipe or socket, expected a regular file");
}
END_TEST

START_TEST(a_file_of_one_mebibyte_is_the_biggest)
{
    char out[OUT_BYTES];
    char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '\n', CONFIG_FILE_BYTES_MAX + 1);
    struct config *config = read_path(put("w.yaml", text, CONFIG_FILE_BYTES_MAX), out);
    ck_assert_msg(config != NULL, "%s", out);
    config_free(config);
    ck_assert_ptr_null(read_path(put("w.yaml", text, CONFIG_FILE_BYTES_MAX + 1), out));
    ck_assert_str_eq(out, "/w.yaml: is too big, expected at most 1MiB");
    free(text);
}
END_TEST

#define LINK(name, port)                                                                           \
    "links: [{name: " name ", listen: 'ws://127.0.0.1:" port "', upstream: {url: 'ws://h/'}}]\n"

static void links_d_make(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/links.d", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

START_TEST(links_of_links_d_follow_in_name_order)
{
    char out[OUT_BYTES];
    links_d_make();
    put_text("links.d/b.yaml", LINK("bee", "9003"));
    put_text("links.d/a.yaml", LINK("ape", "9002"));
    put_text("links.d/.c.yaml", "not read");
    put_text("links.d/d.yml", "not read");
    struct config *config = read_path(put_text("w.yaml", LINK("main", "9001")), out);
    ck_assert_msg(config != NULL, "%s", out);
    ck_assert_uint_eq(config->link_count, 3);
    ck_assert_str_eq(config->links[0]->name, "main");
    ck_assert_str_eq(config->links[1]->name, "ape");
    ck_assert_str_eq(config->links[2]->name, "bee");
    config_free(config);
}
END_TEST

START_TEST(a_mistake_in_links_d_names_its_file)
{
    char out[OUT_BYTES];
    links_d_make();
    put_text("links.d/a.yaml", "log: {level: info}\nfoo: 1\n" LINK("main", "9002"));
    put_text("links.d/b.yaml", "links: [\n");
    ck_assert_ptr_null(read_path(put_text("w.yaml", LINK("main", "9001") "bar: 1\n"), out));
    ck_assert_str_eq(
        out, "/w.yaml:2:1: bar: unknown key, expected one of log, workers, memory_max, admin, "
             "links\n"
             "/links.d/a.yaml:1:1: log: not in a file of links.d, expected links only\n"
             "/links.d/a.yaml:2:1: foo: unknown key, expected one of log, workers, memory_max, "
             "admin, links\n"
             "/links.d/a.yaml:3:16: links[0].name: main is the name of another link, expected one "
             "of its own\n"
             "/links.d/b.yaml:2:1: not YAML: did not find expected node content while parsing a "
             "flow node");
}
END_TEST

/* ---- replacements ------------------------------------------------------------------------- */

START_TEST(variables_and_files_are_replaced_inside_a_value)
{
    char out[OUT_BYTES];
    setenv("WSKEEP_TEST_LEVEL", "de", 1);
    put_text("value", "bug\r\n");
    struct config *config =
        read_path(put_text("w.yaml", "log: {level: '${env:WSKEEP_TEST_LEVEL}${file:value}'}"), out);
    ck_assert_msg(config != NULL, "%s", out);
    ck_assert_int_eq(config->log_level, CONFIG_LOG_DEBUG);
    config_free(config);
    unsetenv("WSKEEP_TEST_LEVEL");
}
END_TEST

START_TEST(a_file_in_a_value_is_text_of_at_most_64_kib)
{
    static const struct {
        const char *bytes;
        size_t byte_count;
        const char *expect;
    } values[] = {
        {"a\0b", 3, " contains a NUL character, expected text"},
        {"a\xff", 2, " is not UTF-8, expected text"},
        {NULL, 65537, " is too big, expected at most 64KiB"},
    };
    char *big = calloc(1, 65537);
    ck_assert_ptr_nonnull(big);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char out[OUT_BYTES];
        char expect[256];
        put("value", values[i].bytes != NULL ? values[i].bytes : big, values[i].byte_count);
        snprintf(expect, sizeof(expect), "/w.yaml:1:14: log.level: file %s/value%s", folder,
                 values[i].expect);
        ck_assert_ptr_null(read_path(put_text("w.yaml", "log: {level: '${file:value}'}"), out));
        ck_assert_str_eq(out, expect);
    }
    free(big);
}
END_TEST

START_TEST(an_empty_file_is_not_a_link_without_a_token)
{
    static const char *const texts[] = {"", "\n", "right==\n"};
    char out[OUT_BYTES];
    put_text("token", texts[_i]);
    struct config *config =
        read_path(put_text("w.yaml", "links:\n- {name: a, listen: 'ws://h:1', upstream: {url: "
                                     "'ws://h/'},\n   client: {token: '${file:token}'}}\n"),
                  out);
    if (_i == 2) {
        ck_assert_msg(config != NULL, "%s", out);
        ck_assert_str_eq(config->links[0]->client.token, "right==");
        config_free(config);
        return;
    }
    ck_assert_ptr_null(config);
    ck_assert_str_eq(out, "/w.yaml:3:20: links[0].client.token: empty, expected at most 512 of "
                          "A-Z, a-z, 0-9 and -._~+/, with = at the end");
}
END_TEST

/* ---- the sample and the manual ------------------------------------------------------------ */

/* A file of the source tree.  Automake says where that is. */
static char *source_read(const char *name)
{
    const char *top = getenv("srcdir");
    char path[512];
    char why[CONFIG_FILE_WHY_BYTES];
    size_t bytes;
    snprintf(path, sizeof(path), "%s/%s", top != NULL ? top : ".", name);
    char *text = config_file_read(path, CONFIG_FILE_BYTES_MAX, &bytes, why);
    ck_assert_msg(text != NULL, "%s %s", path, why);
    return text;
}

static bool has_word(const char *text, const char *word)
{
    size_t bytes = strlen(word);
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        if ((at == text || strchr(letters, at[-1]) == NULL) && at[bytes] != '\0' &&
            strchr(letters, at[bytes]) == NULL)
            return true;
    return false;
}

START_TEST(the_sample_starts_as_it_stands_and_names_every_key)
{
    char *sample = source_read("etc/wskeep.yaml");
    struct config_errors errors;
    struct config *config = config_read_text("etc/wskeep.yaml", sample, strlen(sample), &errors);
    ck_assert_msg(config != NULL, "%s", errors.count > 0 ? errors.items[0].text : "");
    ck_assert_uint_eq(config->link_count, 1);
    config_free(config);
    size_t count;
    const struct config_key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(has_word(sample, config_key_name(&keys[i])), "%s", keys[i].path);
    free(sample);
}
END_TEST

/* Without the `# ` in front of every key that the sample shows; names how many there were. */
static size_t sample_uncomment(char *sample)
{
    size_t count = 0;
    char *known = strstr(sample, "# Known, not supported yet");
    ck_assert_ptr_nonnull(known);
    *known = '\0';
    char *out = sample;
    for (char *line = sample; *line != '\0';) {
        size_t bytes = strcspn(line, "\n") + 1;
        char *hash = line + strspn(line, " ");
        size_t indent = strspn(hash + (hash[0] == '#'), " ");
        char *word = hash + 1 + indent;
        size_t word_bytes = strspn(word, "abcdefghijklmnopqrstuvwxyz_");
        bool is_key = hash[0] == '#' && indent > 0 &&
                      ((word_bytes > 0 && word[word_bytes] == ':') || word[0] == '-');
        size_t before = (size_t)(hash - line);
        memmove(out, line, before);
        out += before;
        size_t skip = before + (is_key ? 2 : 0);
        memmove(out, line + skip, bytes - skip);
        out += bytes - skip;
        line += bytes;
        count += is_key;
    }
    *out = '\0';
    return count;
}

START_TEST(every_commented_key_of_the_sample_is_right_when_it_is_uncommented)
{
    char *sample = source_read("etc/wskeep.yaml");
    ck_assert_uint_gt(sample_uncomment(sample), 50);
    struct config_errors errors;
    struct config *config = config_read_text("etc/wskeep.yaml", sample, strlen(sample), &errors);
    if (config == NULL) {
        char line[1024];
        config_error_format(&errors.items[0], line, sizeof(line));
        ck_abort_msg("%s", line);
    }
    ck_assert_uint_eq(config->links[0]->session.close_rule_count, 5);
    config_free(config);
    free(sample);
}
END_TEST

/* Every run of white space is one space: texts are compared however they are wrapped. */
static void collapse(char *text)
{
    char *out = text;
    for (const char *at = text; *at != '\0';) {
        size_t blanks = strspn(at, " \n");
        if (blanks > 0)
            *out++ = ' ';
        at += blanks;
        size_t bytes = strcspn(at, " \n");
        memmove(out, at, bytes);
        out += bytes;
        at += bytes;
    }
    *out = '\0';
}

/* The manual's entry of a key, to be freed. */
static char *manual_entry(const char *manual, const char *path)
{
    char item[256];
    snprintf(item, sizeof(item), "\n.It Cm %s\n", path);
    const char *at = strstr(manual, item);
    ck_assert_msg(at != NULL, "%s is not in the manual", path);
    at += strlen(item);
    const char *next = strstr(at, "\n.It ");
    const char *end = strstr(at, "\n.El");
    ck_assert_ptr_nonnull(end);
    char *entry = strndup(at, (size_t)((next != NULL && next < end ? next : end) - at));
    ck_assert_ptr_nonnull(entry);
    collapse(entry);
    return entry;
}

static void format_bound(const struct config_key *key, uint64_t bound, char *out)
{
    if (key->type == CONFIG_DURATION)
        config_value_format_duration(bound, out);
    else if (key->type == CONFIG_SIZE)
        config_value_format_size(bound, out);
    else if (key->type == CONFIG_DECIMAL)
        config_value_format_decimal(bound, out);
    else
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%" PRIu64, bound);
}

START_TEST(the_manual_has_every_key_with_its_text_limits_and_preset)
{
    char *manual = source_read("man/wskeep.yaml.5");
    size_t count;
    const struct config_key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        char expect[CONFIG_KEY_TEXT_BYTES];
        char *entry = manual_entry(manual, keys[i].path);
        ck_assert_msg(strstr(entry, keys[i].text) != NULL, "%s: %s", keys[i].path, entry);
        if (keys[i].preset != NULL && strstr(keys[i].path, "close_rules") == NULL) {
            snprintf(expect, sizeof(expect), "the default is %s.",
                     keys[i].preset[0] != '\0' ? keys[i].preset : "\"\"");
            ck_assert_msg(strstr(entry, expect) != NULL, "%s: %s", keys[i].path, entry);
        }
        if (keys[i].type == CONFIG_COUNT || keys[i].type == CONFIG_DURATION ||
            keys[i].type == CONFIG_SIZE || keys[i].type == CONFIG_DECIMAL) {
            char minimum[CONFIG_VALUE_TEXT_BYTES];
            char maximum[CONFIG_VALUE_TEXT_BYTES];
            format_bound(&keys[i], keys[i].minimum, minimum);
            format_bound(&keys[i], keys[i].maximum, maximum);
            snprintf(expect, sizeof(expect), " from %s to %s", minimum, maximum);
            ck_assert_msg(strstr(entry, expect) != NULL, "%s: %s", keys[i].path, entry);
        }
        for (const struct config_choice *choice = keys[i].choices;
             choice != NULL && choice->name != NULL; choice++)
            ck_assert_msg(strstr(entry, choice->name) != NULL, "%s: %s", keys[i].path, entry);
        ck_assert_msg((strstr(entry, "Not supported yet") != NULL) ==
                          (keys[i].state == CONFIG_KEY_UNBUILT),
                      "%s: %s", keys[i].path, entry);
        free(entry);
    }
    free(manual);
}
END_TEST

/* ---- hostile input ------------------------------------------------------------------------ */

static uint64_t chance_next(uint64_t *chance)
{
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    return *chance;
}

static void mutate(char *text, size_t *text_bytes, size_t bytes_max, uint64_t *chance)
{
    static const char spice[] = "{}[]:,#&*!|>'\"%@`-?\n \t0123456789abc${}\x01\xff\\";
    for (uint64_t edits = 1 + chance_next(chance) % 8; edits > 0 && *text_bytes > 1; edits--) {
        size_t at = chance_next(chance) % *text_bytes;
        size_t bytes = 1 + chance_next(chance) % (chance_next(chance) % 4 == 0 ? 200 : 3);
        switch (chance_next(chance) % 4) {
        case 0: /* another byte */
            text[at] = spice[chance_next(chance) % (sizeof(spice) - 1)];
            break;
        case 1: /* left out */
            if (bytes > *text_bytes - at)
                bytes = *text_bytes - at;
            memmove(text + at, text + at + bytes, *text_bytes - at - bytes);
            *text_bytes -= bytes;
            break;
        case 2: /* given twice */
            if (bytes > *text_bytes - at || bytes > bytes_max - *text_bytes)
                break;
            memmove(text + at + bytes, text + at, *text_bytes - at);
            *text_bytes += bytes;
            break;
        default: /* cut off */
            if (chance_next(chance) % 16 == 0)
                *text_bytes = at + 1;
            break;
        }
    }
}

START_TEST(ten_thousand_mutations_of_the_sample_are_read_or_refused)
{
    char *sample = source_read("etc/wskeep.yaml");
    sample_uncomment(sample);
    size_t sample_bytes = strlen(sample);
    size_t bytes_max = 2 * sample_bytes;
    char *text = malloc(bytes_max);
    ck_assert_ptr_nonnull(text);
    uint64_t chance = 0x9e3779b97f4a7c15ULL;
    unsigned refused = 0;
    for (unsigned i = 0; i < MUTATION_COUNT; i++) {
        size_t text_bytes = sample_bytes;
        memcpy(text, sample, sample_bytes);
        mutate(text, &text_bytes, bytes_max, &chance);
        struct config_errors errors;
        struct config *config = config_read_text("m.yaml", text, text_bytes, &errors);
        ck_assert((config == NULL) == (errors.count > 0));
        refused += config == NULL;
        for (size_t j = 0; j < errors.count; j++) {
            char line[256];
            config_error_format(&errors.items[j], line, sizeof(line));
            ck_assert_uint_lt(strlen(line), sizeof(line));
            for (const char *at = line; *at != '\0'; at++)
                ck_assert_msg((unsigned char)*at >= ' ' && *at != 0x7f, "%s", line);
        }
        config_errors_clear(&errors);
        config_free(config);
    }
    ck_assert_uint_gt(refused, MUTATION_COUNT / 4);
    ck_assert_uint_lt(refused, MUTATION_COUNT);
    free(text);
    free(sample);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------- */

/* Let one allocation after the other fail, until none is left to.  Returns how many did. */
static unsigned fail_each(const char *path, const char *expect)
{
    for (unsigned nth = 1;; nth++) {
        struct config_errors errors;
        allocation_count = 0;
        allocation_failing = nth;
        counting = true;
        struct config *config = config_read_file(path, &errors);
        counting = false;
        bool has_failed = allocation_count >= nth;
        if (has_failed) {
            ck_assert_msg(config == NULL, "allocation %u", nth);
            ck_assert_uint_eq(errors.count, 1);
            ck_assert_str_eq(errors.items[0].text, "out of memory");
        } else if (expect != NULL) {
            ck_assert_str_eq(errors.items[0].text, expect);
        } else {
            ck_assert_ptr_nonnull(config);
        }
        config_free(config);
        config_errors_clear(&errors);
        if (!has_failed)
            return nth - 1;
    }
}

START_TEST(each_allocation_may_fail)
{
    links_d_make();
    put_text("links.d/a.yaml", LINK("ape", "9002"));
    put_text("value", "pong");
    const char *path =
        put_text("w.yaml", "links:\n"
                           "- name: a\n"
                           "  listen: ['ws://h:1', 'ws+unix:/run/a']\n"
                           "  client: {allow_origins: ['http://a', 'http://b'], allow_hosts: [a]}\n"
                           "  upstream: {url: 'ws://h/?${file:x}', subprotocols: [a, b],\n"
                           "    headers: {A: b, C: '${file:x}${file:y}'}, forward_headers: [X]}\n"
                           "  delivery: {acknowledge: '${file:value}'}\n"
                           "  close_rules: [{code: 1000, reason: 'a*', then: end}]\n"
                           "- {name: b, listen: 'ws+unix:/run/b', upstream: {url: 'ws://h/'},\n"
                           "   client: {allow_users: [0, 1], token: '${file:value}'}}\n");
    ck_assert_uint_gt(fail_each(path, NULL), 60);
    path = put_text("w.yaml", "foo: 1\nbar: 2\nlog: {level: '${env:WSKEEP_TEST_NOT_SET}'}\n");
    ck_assert_uint_gt(fail_each(path, "unknown key, expected one of log, workers, memory_max, "
                                      "admin, links"),
                      10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_file");
    TCase *tcase = tcase_create("config_file");
    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, folder_make, folder_remove);
    tcase_add_test(tcase, a_file_that_cannot_be_read_is_said_with_its_reason);
    tcase_add_test(tcase, a_file_of_one_mebibyte_is_the_biggest);
    tcase_add_test(tcase, links_of_links_d_follow_in_name_order);
    tcase_add_test(tcase, a_mistake_in_links_d_names_its_file);
    tcase_add_test(tcase, variables_and_files_are_replaced_inside_a_value);
    tcase_add_test(tcase, a_file_in_a_value_is_text_of_at_most_64_kib);
    tcase_add_loop_test(tcase, an_empty_file_is_not_a_link_without_a_token, 0, 3);
    tcase_add_test(tcase, the_sample_starts_as_it_stands_and_names_every_key);
    tcase_add_test(tcase, every_commented_key_of_the_sample_is_right_when_it_is_uncommented);
    tcase_add_test(tcase, the_manual_has_every_key_with_its_text_limits_and_preset);
    tcase_add_test(tcase, ten_thousand_mutations_of_the_sample_are_read_or_refused);
    tcase_add_test(tcase, each_allocation_may_fail);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
