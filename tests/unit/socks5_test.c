/* SOCKS5: what is sent, and every answer in every split. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/socks5.h"

static const struct proxy open_proxy = {.kind = PROXY_SOCKS5, .host = "p", .port = 1080};
static const struct proxy closed_proxy = {.kind = PROXY_SOCKS5,
                                          .host = "p",
                                          .port = 1080,
                                          .has_credentials = true,
                                          .user = "me",
                                          .password = "pass"};
static const struct socks5_target name = {
    .kind = SOCKS5_NAME, .address = "h.example", .address_bytes = 9, .port = 0x1f90};

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

struct text {
    const uint8_t *at;
    size_t bytes;
};

/* What the daemon sends, one after the other, when the proxy says all of `said`. */
struct talk {
    struct socks5 socks5;
    uint8_t sent[2048];
    size_t sent_bytes;
    size_t read_bytes; /* of said */
    enum socks5_result result;
};

/* Hand over what the proxy says in pieces of at most piece_bytes, until it is decided. */
static void talk(struct talk *talk, const struct proxy *proxy, const struct socks5_target *target,
                 struct text said, size_t piece_bytes)
{
    uint8_t out[SOCKS5_SEND_BYTES_MAX];
    size_t out_bytes;
    *talk = (struct talk){.result = SOCKS5_NEED_MORE};
    talk->sent_bytes = socks5_begin(&talk->socks5, proxy, target, talk->sent);
    while (talk->result == SOCKS5_NEED_MORE && talk->read_bytes < said.bytes) {
        size_t piece = socks5_wanted(&talk->socks5);
        ck_assert_uint_gt(piece, 0);
        if (piece > piece_bytes)
            piece = piece_bytes;
        if (piece > said.bytes - talk->read_bytes)
            piece = said.bytes - talk->read_bytes;
        uint8_t *exact = malloc(piece); /* a sanitizer sees the first byte behind it */
        memcpy(exact, said.at + talk->read_bytes, piece);
        talk->result = socks5_read(&talk->socks5, exact, piece, out, &out_bytes);
        free(exact);
        talk->read_bytes += piece;
        if (talk->result != SOCKS5_SEND)
            continue;
        ck_assert_uint_le(talk->sent_bytes + out_bytes, sizeof(talk->sent));
        memcpy(talk->sent + talk->sent_bytes, out, out_bytes);
        talk->sent_bytes += out_bytes;
        talk->result = SOCKS5_NEED_MORE;
    }
}

#define REPLY_IPV4 "\5\0\0\1\x7f\0\0\1\0\x50"
#define REPLY_IPV6                                                                                 \
    "\5\0\0\4"                                                                                     \
    "0123456789abcdef"                                                                             \
    "\0\x50"
#define REPLY_NAME "\5\0\0\3\4name\0\x50"
#define REPLY_EMPTY_NAME "\5\0\0\3\0\0\x50"

static const struct {
    const char *why;
    const struct proxy *proxy;
    struct text said;
    enum socks5_result expect;
    unsigned reply;
    size_t left; /* of said: it is the tunnel's, or is not looked at any more */
} answers[] = {
    {"without credentials", &open_proxy, {BYTES("\5\0" REPLY_IPV4)}, SOCKS5_OPEN, 0, 0},
    {"with them, not asked for", &closed_proxy, {BYTES("\5\0" REPLY_IPV6)}, SOCKS5_OPEN, 0, 0},
    {"with them", &closed_proxy, {BYTES("\5\2\1\0" REPLY_NAME)}, SOCKS5_OPEN, 0, 0},
    {"an empty name", &open_proxy, {BYTES("\5\0" REPLY_EMPTY_NAME)}, SOCKS5_OPEN, 0, 0},
    {"glued bytes are the tunnel's",
     &open_proxy,
     {BYTES("\5\0" REPLY_IPV4 "HTTP")},
     SOCKS5_OPEN,
     0,
     4},
    {"the reply is not here",
     &open_proxy,
     {BYTES("\5\0\5\0\0\1\x7f\0\0\1\0")},
     SOCKS5_NEED_MORE,
     0,
     0},
    {"no method", &open_proxy, {BYTES("\5\xff")}, SOCKS5_NO_METHOD, 0, 0},
    {"no method for our credentials", &closed_proxy, {BYTES("\5\xff")}, SOCKS5_NO_METHOD, 0, 0},
    {"denied", &closed_proxy, {BYTES("\5\2\1\1")}, SOCKS5_DENIED, 0, 0},
    {"refused with the whole reply",
     &open_proxy,
     {BYTES("\5\0\5\5\0\1\0\0\0\0\0\0")},
     SOCKS5_REFUSED,
     5,
     8},
    {"refused, and then its end", &open_proxy, {BYTES("\5\0\5\2")}, SOCKS5_REFUSED, 2, 0},
    {"a reply that nobody knows", &open_proxy, {BYTES("\5\0\5\xfe")}, SOCKS5_REFUSED, 0xfe, 0},
    {"SOCKS4", &open_proxy, {BYTES("\4\0")}, SOCKS5_MALFORMED, 0, 0},
    {"HTTP", &open_proxy, {BYTES("HTTP/1.1 400 Bad Request\r\n\r\n")}, SOCKS5_MALFORMED, 0, 26},
    {"a method that was not offered", &open_proxy, {BYTES("\5\2")}, SOCKS5_MALFORMED, 0, 0},
    {"GSSAPI was not offered either", &closed_proxy, {BYTES("\5\1")}, SOCKS5_MALFORMED, 0, 0},
    {"the version of the authentication",
     &closed_proxy,
     {BYTES("\5\2\5\0")},
     SOCKS5_MALFORMED,
     0,
     0},
    {"the version of the reply", &open_proxy, {BYTES("\5\0\4\0\0\1")}, SOCKS5_MALFORMED, 0, 3},
    {"the reserved byte", &open_proxy, {BYTES("\5\0\5\0\1\1\0")}, SOCKS5_MALFORMED, 0, 2},
    {"the kind of address", &open_proxy, {BYTES("\5\0\5\0\0\2\0")}, SOCKS5_MALFORMED, 0, 0},
};

START_TEST(an_answer_means_the_same_however_it_is_split)
{
    struct talk all;
    talk(&all, answers[_i].proxy, &name, answers[_i].said, SIZE_MAX);
    ck_assert_msg(all.result == answers[_i].expect, "%s: %d", answers[_i].why, all.result);
    ck_assert_msg(all.socks5.reply == answers[_i].reply, "%s", answers[_i].why);
    for (size_t piece = 1; piece <= answers[_i].said.bytes; piece++) {
        struct talk split;
        talk(&split, answers[_i].proxy, &name, answers[_i].said, piece);
        ck_assert_msg(split.result == answers[_i].expect, "%s in pieces of %zu: %d",
                      answers[_i].why, piece, split.result);
        ck_assert_msg(split.sent_bytes == all.sent_bytes &&
                          memcmp(split.sent, all.sent, all.sent_bytes) == 0,
                      "%s", answers[_i].why);
        if (piece == 1 && all.result == SOCKS5_OPEN)
            ck_assert_msg(answers[_i].said.bytes - split.read_bytes == answers[_i].left, "%s",
                          answers[_i].why);
        ck_assert_msg(answers[_i].said.bytes - split.read_bytes >= answers[_i].left || piece > 1,
                      "%s", answers[_i].why);
    }
}
END_TEST

static const struct {
    const char *why;
    const struct proxy *proxy;
    struct socks5_target target;
    struct text said;
    struct text sent;
} requests[] = {
    {"a name goes as it is",
     &open_proxy,
     {.kind = SOCKS5_NAME, .address = "h.example", .address_bytes = 9, .port = 8080},
     {BYTES("\5\0")},
     {BYTES("\5\1\0"
            "\5\1\0\3\x09h.example\x1f\x90")}},
    {"IPv4",
     &open_proxy,
     {.kind = SOCKS5_IPV4, .address = {127, 0, 0, 1}, .address_bytes = 4, .port = 80},
     {BYTES("\5\0")},
     {BYTES("\5\1\0"
            "\5\1\0\1\x7f\0\0\1\0\x50")}},
    {"IPv6",
     &open_proxy,
     {.kind = SOCKS5_IPV6, .address = "0123456789abcdef", .address_bytes = 16, .port = 443},
     {BYTES("\5\0")},
     {BYTES("\5\1\0"
            "\5\1\0\4"
            "0123456789abcdef"
            "\1\xbb")}},
    {"credentials are offered, and sent when they are asked for",
     &closed_proxy,
     {.kind = SOCKS5_IPV4, .address = {127, 0, 0, 1}, .address_bytes = 4, .port = 80},
     {BYTES("\5\2\1\0")},
     {BYTES("\5\2\0\2"
            "\1\2me\4pass"
            "\5\1\0\1\x7f\0\0\1\0\x50")}},
    {"and not otherwise",
     &closed_proxy,
     {.kind = SOCKS5_IPV4, .address = {127, 0, 0, 1}, .address_bytes = 4, .port = 80},
     {BYTES("\5\0")},
     {BYTES("\5\2\0\2"
            "\5\1\0\1\x7f\0\0\1\0\x50")}},
};

START_TEST(the_request_is_what_the_rfc_says)
{
    struct talk is;
    talk(&is, requests[_i].proxy, &requests[_i].target, requests[_i].said, SIZE_MAX);
    ck_assert_msg(is.sent_bytes == requests[_i].sent.bytes, "%s: %zu bytes", requests[_i].why,
                  is.sent_bytes);
    ck_assert_msg(memcmp(is.sent, requests[_i].sent.at, is.sent_bytes) == 0, "%s",
                  requests[_i].why);
}
END_TEST

START_TEST(the_longest_of_everything_fits)
{
    struct proxy proxy = closed_proxy;
    struct socks5_target target = {.kind = SOCKS5_NAME, .address_bytes = 255, .port = 1};
    struct talk is;
    memset(proxy.user, 'u', PROXY_CREDENTIAL_BYTES_MAX);
    memset(proxy.password, 'p', PROXY_CREDENTIAL_BYTES_MAX);
    memset(target.address, 'h', 255);
    uint8_t said[4 + SOCKS5_ANSWER_BYTES_MAX] = {5, 2, 1, 0, 5, 0, 0, 3, 255};
    talk(&is, &proxy, &target, (struct text){said, sizeof(said)}, SIZE_MAX);
    ck_assert_int_eq(is.result, SOCKS5_OPEN);
    ck_assert_uint_eq(is.read_bytes, sizeof(said));
    ck_assert_uint_eq(is.sent_bytes, 4 + 513 + 262);
}
END_TEST

START_TEST(whatever_comes_is_answered)
{
    uint64_t chance = 88172645463325252ULL + (uint64_t)_i;
    uint8_t said[300];
    for (int round = 0; round < 2000; round++) {
        struct talk is;
        for (size_t i = 0; i < sizeof(said); i++) {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            said[i] = chance % 3 ? (uint8_t)(chance >> 32) % 6 : (uint8_t)(chance >> 40);
        }
        said[0] = 5;
        talk(&is, round % 2 ? &open_proxy : &closed_proxy, &name, (struct text){said, sizeof(said)},
             1 + (size_t)(chance % 7));
        ck_assert(is.result != SOCKS5_NEED_MORE);
    }
}
END_TEST

START_TEST(every_reply_has_a_text)
{
    for (unsigned reply = 0; reply < 256; reply++)
        ck_assert_uint_gt(strlen(socks5_reply_text(reply)), 5);
    ck_assert_str_eq(socks5_reply_text(5), "connection refused");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("socks5");
    tcase_add_loop_test(tcase, an_answer_means_the_same_however_it_is_split, 0,
                        sizeof(answers) / sizeof(answers[0]));
    tcase_add_loop_test(tcase, the_request_is_what_the_rfc_says, 0,
                        sizeof(requests) / sizeof(requests[0]));
    tcase_add_test(tcase, the_longest_of_everything_fits);
    tcase_add_loop_test(tcase, whatever_comes_is_answered, 0, 4);
    tcase_add_test(tcase, every_reply_has_a_text);
    Suite *suite = suite_create("socks5");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
