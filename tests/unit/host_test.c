/* Host: what can be one, and which one it is. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/host.h"

static struct http_text text_of(const char *text)
{
    return (struct http_text){.at = text, .bytes = strlen(text)};
}

static const struct {
    const char *text;
    const char *name;
    int port; /* -1: none */
} right[] = {
    {"localhost", "localhost", -1},
    {"LocalHost:9001", "LocalHost", 9001},
    {"localhost:", "localhost", -1},
    {"localhost:0", "localhost", 0},
    {"localhost:65535", "localhost", 65535},
    {"localhost:00080", "localhost", 80},
    {"localhost.", "localhost.", -1},
    {"127.0.0.1:80", "127.0.0.1", 80},
    {"a,b", "a,b", -1}, /* sub-delims */
    {"a%20b%C3%bc:1", "a%20b%C3%bc", 1},
    {"-._~!$&'()*+,;=", "-._~!$&'()*+,;=", -1},
    {"999.1", "999.1", -1},
    {"[::]", "[::]", -1},
    {"[::1]:80", "[::1]", 80},
    {"[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]", -1},
    {"[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]", -1},
    {"[::2:3:4:5:6:7:8]", "[::2:3:4:5:6:7:8]", -1},
    {"[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:1.2.3.4]", -1},
    {"[::ffff:255.0.10.1]", "[::ffff:255.0.10.1]", -1},
    {"[::AbCd]:1", "[::AbCd]", 1},
};

START_TEST(a_host_is_taken_apart)
{
    struct host host;
    ck_assert_msg(host_parse(text_of(right[_i].text), &host), "%s", right[_i].text);
    ck_assert_msg(http_text_equals(host.name, right[_i].name), "%s", right[_i].text);
    ck_assert_int_eq(host.has_port ? host.port : -1, right[_i].port);
    ck_assert_int_eq(host.is_ipv6, right[_i].text[0] == '[');
}
END_TEST

static const char *const wrong[] = {
    "",
    ":80",
    " localhost",
    "local host",
    "localhost:80a",
    "localhost:a",
    "localhost:-1",
    "localhost:65536",
    "localhost:4294967376", /* 80 in 32 bits */
    "localhost:80:80",
    "localhost: 80",
    "user@localhost",
    "localhost:80@evil.example",
    "http://localhost",
    "localhost/",
    "localhost?",
    "localhost#",
    "local\\host",
    "\"localhost\"",
    "local<host>",
    "local|host",
    "local^host",
    "local`host",
    "local{host}",
    "a%",
    "a%2",
    "a%2g",
    "a%g2",
    ("b\xc3\xbc" /* u with two dots */
     "cher"),
    "a\tb",
    "a\x01",
    "a\x7f",
    "::1",
    "[",
    "[]",
    "[:]",
    "[:::]",
    "[::1",
    "::1]",
    "[::1]80",
    "[::1]x",
    "[::1]:80a",
    "[::1]]",
    "[[::1]]",
    "x[::1]",
    "[1::2::3]",
    "[1:2:3:4:5:6:7]",
    "[1:2:3:4:5:6:7:]",
    "[:1:2:3:4:5:6:7]",
    "[1:2:3:4:5:6:7:8:9]",
    "[1:2:3:4:5:6:7:8::]",
    "[1:2:3:4::5:6:7:8]",
    "[12345::]",
    "[g::]",
    "[::1%25lo]",
    "[v1.a]",
    "[127.0.0.1]",
    "[::127.0.0]",
    "[::127.0.0.1.1]",
    "[::127.0.0.256]",
    "[::127.0.0.01]",
    "[::127.0.0.]",
    "[::127..0.1]",
    "[::127.0.0.1:1]",
    "[127.0.0.1::]",
    "[1:2:3:4:5:6:7:1.2.3.4]",
};

START_TEST(what_is_no_host_is_refused)
{
    struct host host;
    size_t bytes = strlen(wrong[_i]);
    char *exact = malloc(bytes + 1); /* a sanitizer sees a byte too many that is read */
    memcpy(exact, wrong[_i], bytes);
    exact = realloc(exact, bytes > 0 ? bytes : 1);
    ck_assert_msg(!host_parse((struct http_text){.at = exact, .bytes = bytes}, &host), "%s",
                  wrong[_i]);
    free(exact);
}
END_TEST

static const struct {
    const char *text;
    const char *name;
    bool expect;
} names[] = {
    {"localhost", "localhost", true},
    {"LOCALHOST:1", "localhost", true},
    {"localhost.", "localhost", false},
    {"localhos", "localhost", false},
    {"localhost.evil.example", "localhost", false},
    {"evil-localhost", "localhost", false},
    {"local%68ost", "localhost", false}, /* what is written so is nobody we know */
    {"127.0.0.1", "127.0.0.1", true},
    {"127.0.0.1.", "127.0.0.1", false},
    {"127.1", "127.0.0.1", false},
    {"2130706433", "127.0.0.1", false},
    {"[::1]", "::1", true},
    {"[::1]", "[::1]", true},
    {"[0:0:0:0:0:0:0:1]", "::1", true},
    {"[::0.0.0.1]", "::1", true},
    {"[FE80::A]", "fe80::a", true},
    {"[::2]", "::1", false},
    {"[::ffff:127.0.0.1]", "127.0.0.1", false},
    {"[::1]", "localhost", false},
    {"[::1]", "[::1", false},
    {"[::1]", "[", false},
    {"[::1]", "", false},
    {"localhost", "", false},
};

START_TEST(a_host_is_a_name_or_it_is_not)
{
    struct host host;
    ck_assert(host_parse(text_of(names[_i].text), &host));
    ck_assert_msg(host_is(&host, names[_i].name) == names[_i].expect, "%s is %s", names[_i].text,
                  names[_i].name);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("host");
    LOOP(a_host_is_taken_apart, right);
    LOOP(what_is_no_host_is_refused, wrong);
    LOOP(a_host_is_a_name_or_it_is_not, names);

    Suite *suite = suite_create("host");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
