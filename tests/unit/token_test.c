/* The token that a client shows, in a header or in the query. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/token.h"

static const struct {
    const char *why;
    const char *fields;
    enum token_result expect;
    const char *token;
} headers[] = {
    {"none", "", TOKEN_NONE, ""},
    {"RFC 6750 2.1", "Authorization: Bearer mF_9.B5f-4.1JqM\r\n", TOKEN_SHOWN, "mF_9.B5f-4.1JqM"},
    {"the scheme has no case (RFC 9110 11.1)", "authorization: bEARER a\r\n", TOKEN_SHOWN, "a"},
    {"more spaces", "Authorization: Bearer   a==\r\n", TOKEN_SHOWN, "a=="},
    {"nothing behind", "Authorization: Bearer\r\n", TOKEN_SHOWN, ""},
    {"more behind", "Authorization: Bearer a b\r\n", TOKEN_SHOWN, "a b"},
    {"a tab is no space (RFC 9110 11.4)", "Authorization: Bearer\ta\r\n", TOKEN_NONE, ""},
    {"a longer scheme", "Authorization: Bearers a\r\n", TOKEN_NONE, ""},
    {"another scheme", "Authorization: Basic YTpi\r\n", TOKEN_NONE, ""},
    {"an empty field", "Authorization:\r\n", TOKEN_NONE, ""},
    {"another field", "Proxy-Authorization: Bearer a\r\n", TOKEN_NONE, ""},
    {"two", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", TOKEN_MALFORMED, ""},
    {"twice the same", "Authorization: Bearer a\r\nauthorization: Bearer a\r\n", TOKEN_MALFORMED,
     ""},
    {"two schemes", "Authorization: Basic a\r\nAuthorization: Bearer a\r\n", TOKEN_MALFORMED, ""},
};

static bool is_token(const struct token *token, const char *text)
{
    return token->bytes == strlen(text) && memcmp(token->text, text, token->bytes) == 0;
}

static enum token_result of_header(const char *fields, struct token *token)
{
    static char text[4096];
    static struct http_head head;
    int bytes = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", fields);
    ck_assert_int_eq(http_head_parse((const uint8_t *)text, (size_t)bytes, true, &head),
                     HTTP_HEAD_OK);
    return token_from_header(&head, token);
}

START_TEST(a_header_shows_a_token_or_none)
{
    struct token token;
    ck_assert_msg(of_header(headers[_i].fields, &token) == headers[_i].expect, "%s",
                  headers[_i].why);
    ck_assert_msg(headers[_i].expect != TOKEN_SHOWN || is_token(&token, headers[_i].token), "%s",
                  headers[_i].why);
}
END_TEST

static const struct {
    const char *why;
    const char *target;
    enum token_result expect;
    const char *token;
} targets[] = {
    {"no query", "/a", TOKEN_NONE, ""},
    {"an empty query", "/?", TOKEN_NONE, ""},
    {"alone", "/?wskeep-token=abc", TOKEN_SHOWN, "abc"},
    {"among others", "/?a=b&wskeep-token=abc&c", TOKEN_SHOWN, "abc"},
    {"after nothing", "/?&&wskeep-token=abc", TOKEN_SHOWN, "abc"},
    {"empty", "/?wskeep-token=", TOKEN_SHOWN, ""},
    {"empty, without its =", "/?wskeep-token", TOKEN_SHOWN, ""},
    {"empty, and more", "/?wskeep-token&a", TOKEN_SHOWN, ""},
    {"a = inside", "/?wskeep-token=a==", TOKEN_SHOWN, "a=="},
    {"encoded", "/?wskeep-token=%61%2Bb%2f%3d", TOKEN_SHOWN, "a+b/="},
    {"a plus", "/?wskeep-token=a+b", TOKEN_SHOWN, "a+b"},
    {"decoded once", "/?wskeep-token=%2561", TOKEN_SHOWN, "%61"},
    {"an & in disguise", "/?wskeep-token=a%26b=c", TOKEN_SHOWN, "a&b=c"},
    {"a name in disguise", "/?%77skeep%2dtoke%6E=abc", TOKEN_SHOWN, "abc"},
    {"an = in disguise belongs to the name", "/?wskeep-token%3dabc", TOKEN_NONE, ""},
    {"a longer name", "/?wskeep-tokens=abc", TOKEN_NONE, ""},
    {"a longer name in front", "/?my-wskeep-token=abc", TOKEN_NONE, ""},
    {"a shorter name", "/?wskeep-toke=abc", TOKEN_NONE, ""},
    {"a name in another case", "/?Wskeep-token=abc", TOKEN_NONE, ""},
    {"in the path", "/wskeep-token=abc", TOKEN_NONE, ""},
    {"in a value", "/?a=wskeep-token=abc", TOKEN_NONE, ""},
    {"a semicolon divides nothing", "/?a;wskeep-token=abc", TOKEN_NONE, ""},
    {"a second ? divides nothing", "/?a?wskeep-token=abc", TOKEN_NONE, ""},
    {"two", "/?wskeep-token=a&wskeep-token=b", TOKEN_MALFORMED, ""},
    {"twice the same", "/?wskeep-token=a&b&wskeep-token=a", TOKEN_MALFORMED, ""},
    {"the second in disguise", "/?wskeep-token=a&wskeep%2dtoken=a", TOKEN_MALFORMED, ""},
    {"the second empty", "/?wskeep-token=a&wskeep-token", TOKEN_MALFORMED, ""},
    {"a bad percent sign", "/?wskeep-token=a%", TOKEN_MALFORMED, ""},
    {"a bad percent sign with a digit", "/?wskeep-token=a%6", TOKEN_MALFORMED, ""},
    {"a bad percent sign at the end of it", "/?wskeep-token=a%6&1", TOKEN_MALFORMED, ""},
    {"a bad percent sign elsewhere", "/?a=%zz&wskeep-token=a", TOKEN_SHOWN, "a"},
};

START_TEST(a_target_shows_a_token_or_none)
{
    struct token token;
    size_t bytes = strlen(targets[_i].target);
    char *exact = malloc(bytes); /* a sanitizer sees a byte too many that is read */
    memcpy(exact, targets[_i].target, bytes);
    enum token_result got =
        token_from_target((struct http_text){.at = exact, .bytes = bytes}, &token);
    ck_assert_msg(got == targets[_i].expect, "%s", targets[_i].why);
    ck_assert_msg(got != TOKEN_SHOWN || is_token(&token, targets[_i].token), "%s", targets[_i].why);
    free(exact);
}
END_TEST

START_TEST(a_longer_token_is_nobodys)
{
    for (size_t bytes = TOKEN_BYTES_MAX - 1; bytes <= TOKEN_BYTES_MAX + 1; bytes++) {
        char text[TOKEN_BYTES_MAX + 64];
        char all[TOKEN_BYTES_MAX + 2] = {0};
        struct token token;
        memset(all, 'a', bytes);
        bool fits = bytes <= TOKEN_BYTES_MAX;
        ck_assert(token_is_valid(all, bytes) == fits);
        int target_bytes = snprintf(text, sizeof text, "/?wskeep-token=%s", all);
        ck_assert_int_eq(token_from_target(
                             (struct http_text){.at = text, .bytes = (size_t)target_bytes}, &token),
                         TOKEN_SHOWN);
        ck_assert_uint_eq(token.bytes, fits ? bytes : 0);
        snprintf(text, sizeof text, "Authorization: Bearer %s\r\n", all);
        ck_assert_int_eq(of_header(text, &token), TOKEN_SHOWN);
        ck_assert_uint_eq(token.bytes, fits ? bytes : 0);
    }
}
END_TEST

START_TEST(a_token_has_only_what_a_header_can_show)
{
    static const char fits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    for (unsigned byte = 0; byte <= 255; byte++) {
        char text[] = {'a', (char)byte, 'b'};
        ck_assert_msg(token_is_valid(text, 3) == (byte != 0 && strchr(fits, (int)byte) != NULL),
                      "%02x", byte);
    }
    ck_assert(token_is_valid("a", 1) && token_is_valid("a==", 3));
    ck_assert(!token_is_valid("", 0) && !token_is_valid("=", 1) && !token_is_valid("a=b", 3));
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof *table)

int main(void)
{
    TCase *tcase = tcase_create("token");
    LOOP(a_header_shows_a_token_or_none, headers);
    LOOP(a_target_shows_a_token_or_none, targets);
    tcase_add_test(tcase, a_longer_token_is_nobodys);
    tcase_add_test(tcase, a_token_has_only_what_a_header_can_show);

    Suite *suite = suite_create("token");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
