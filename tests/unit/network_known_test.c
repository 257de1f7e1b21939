#include <arpa/inet.h>
#include <check.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/network_known.h"

/* One message as the kernel would send it. */
struct draft {
    uint16_t type;
    uint16_t message_flags;
    const char *address; /* or gateway; NULL: none */
    uint32_t index;      /* of the interface */
    uint8_t scope;
    uint32_t flags; /* of an address */
    uint8_t prefix; /* of an address; of a route's destination */
    uint8_t route_type;
    uint32_t table;
    uint32_t metric;
};

struct message {
    union {
        struct nlmsghdr head;
        uint8_t bytes[256];
    };
};

static void add(struct message *message, unsigned short type, const void *data, size_t bytes)
{
    size_t at = NLMSG_ALIGN(message->head.nlmsg_len);
    struct rtattr *attribute = (struct rtattr *)(void *)(message->bytes + at);
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(bytes);
    memcpy(RTA_DATA(attribute), data, bytes);
    message->head.nlmsg_len = (uint32_t)(at + RTA_LENGTH(bytes));
}

static void add_address(struct message *message, unsigned short type, const char *text)
{
    uint8_t bytes[16];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    ck_assert_int_eq(inet_pton(family, text, bytes), 1);
    add(message, type, bytes, family == AF_INET6 ? 16 : 4);
}

static struct message write_message(const struct draft *draft)
{
    struct message message = {
        .head = {.nlmsg_type = draft->type, .nlmsg_flags = draft->message_flags}};
    uint8_t family = draft->address && strchr(draft->address, ':') ? AF_INET6 : AF_INET;
    if (draft->type == RTM_NEWADDR || draft->type == RTM_DELADDR) {
        const struct ifaddrmsg body = {.ifa_family = family,
                                       .ifa_prefixlen = draft->prefix,
                                       .ifa_flags = (uint8_t)draft->flags,
                                       .ifa_scope = draft->scope,
                                       .ifa_index = draft->index};
        message.head.nlmsg_len = NLMSG_LENGTH(sizeof(body));
        memcpy(NLMSG_DATA(&message.head), &body, sizeof(body));
        add_address(&message, IFA_ADDRESS, draft->address);
        add(&message, IFA_FLAGS, &draft->flags, sizeof(draft->flags));
        return message;
    }
    const struct rtmsg body = {.rtm_family = family,
                               .rtm_dst_len = draft->prefix,
                               .rtm_table = (uint8_t)draft->table,
                               .rtm_type = draft->route_type};
    message.head.nlmsg_len = NLMSG_LENGTH(sizeof(body));
    memcpy(NLMSG_DATA(&message.head), &body, sizeof(body));
    add(&message, RTA_TABLE, &draft->table, sizeof(draft->table));
    add(&message, RTA_PRIORITY, &draft->metric, sizeof(draft->metric));
    add(&message, RTA_OIF, &draft->index, sizeof(draft->index));
    if (draft->address)
        add_address(&message, RTA_GATEWAY, draft->address);
    return message;
}

static bool hear(struct network_known *known, const struct draft *draft)
{
    const struct message message = write_message(draft);
    return network_known_read(known, message.bytes, message.head.nlmsg_len);
}

/* ---- addresses ---------------------------------------------------------------------------- */

#define ADDRESS(text) .type = RTM_NEWADDR, .address = text, .index = 2, .prefix = 24
#define ROUTE(text)                                                                                \
    .type = RTM_NEWROUTE, .address = text, .index = 2, .route_type = RTN_UNICAST, .table = 254

static const struct {
    const char *why;
    struct draft draft;
    bool is_change;
} first_words[] = {
    {"an address comes", {ADDRESS("10.0.0.1")}, true},
    {"one of IPv6", {ADDRESS("2001:db8::1")}, true},
    {"on the loopback interface", {ADDRESS("10.0.0.1"), .index = 1}, false},
    {"link-local", {ADDRESS("fe80::1"), .scope = RT_SCOPE_LINK}, false},
    {"of this host only", {ADDRESS("10.0.0.1"), .scope = RT_SCOPE_HOST}, false},
    {"tentative", {ADDRESS("2001:db8::1"), .flags = IFA_F_TENTATIVE}, false},
    {"optimistic: usable",
     {ADDRESS("2001:db8::1"), .flags = IFA_F_TENTATIVE | IFA_F_OPTIMISTIC},
     true},
    {"a duplicate", {ADDRESS("2001:db8::1"), .flags = IFA_F_TENTATIVE | IFA_F_DADFAILED}, false},
    {"deprecated", {ADDRESS("2001:db8::1"), .flags = IFA_F_DEPRECATED}, false},
    {"the answer to our own question", {ADDRESS("10.0.0.1"), .message_flags = NLM_F_MULTI}, false},
    {"an address that we never heard of goes", {ADDRESS("10.0.0.1"), .type = RTM_DELADDR}, true},
    {"a tentative one goes",
     {ADDRESS("2001:db8::1"), .type = RTM_DELADDR, .flags = IFA_F_TENTATIVE},
     false},
    {"a default route comes", {ROUTE("10.0.0.254")}, true},
    {"one of IPv6", {ROUTE("fe80::1")}, true},
    {"one without a gateway", {ROUTE(NULL)}, true},
    {"a default route goes", {ROUTE("10.0.0.254"), .type = RTM_DELROUTE}, true},
    {"of another table: a tunnel", {ROUTE("10.0.0.254"), .table = 51820}, true},
    {"no default route", {ROUTE("10.0.0.254"), .prefix = 8}, false},
    {"over the loopback interface", {ROUTE(NULL), .index = 1}, false},
    {"unreachable", {ROUTE(NULL), .route_type = RTN_UNREACHABLE}, false},
    {"local", {ROUTE(NULL), .table = RT_TABLE_LOCAL}, false},
    {"something else", {ROUTE("10.0.0.254"), .type = RTM_NEWLINK}, false},
};

START_TEST(only_what_changes_the_way_of_our_traffic_counts)
{
    struct network_known known = {0};
    ck_assert_msg(hear(&known, &first_words[_i].draft) == first_words[_i].is_change, "%s",
                  first_words[_i].why);
}
END_TEST

START_TEST(an_address_that_is_told_again_is_no_change)
{
    struct network_known known = {0};
    struct draft draft = {ADDRESS("10.0.0.1"), .message_flags = NLM_F_MULTI};
    ck_assert(!hear(&known, &draft));
    draft.message_flags = 0; /* a renewed lease */
    ck_assert(!hear(&known, &draft));
    draft.type = RTM_DELADDR;
    ck_assert(hear(&known, &draft));
    draft.type = RTM_NEWADDR;
    ck_assert(hear(&known, &draft));
    draft.index = 3; /* the same on another interface */
    ck_assert(hear(&known, &draft));
}
END_TEST

START_TEST(an_address_counts_when_it_can_be_used_again)
{
    struct network_known known = {0};
    struct draft draft = {ADDRESS("2001:db8::1")};
    ck_assert(hear(&known, &draft));
    draft.flags = IFA_F_DEPRECATED;
    ck_assert(!hear(&known, &draft));
    draft.flags = 0;
    ck_assert(hear(&known, &draft));
}
END_TEST

START_TEST(a_route_that_replaces_itself_is_no_change)
{
    struct network_known known = {0};
    struct draft one = {ROUTE("fe80::1"), .message_flags = NLM_F_CREATE};
    struct draft other = {ROUTE("fe80::2"), .message_flags = NLM_F_REPLACE};
    ck_assert(hear(&known, &one));
    one.message_flags = NLM_F_REPLACE; /* a router advertisement */
    ck_assert(!hear(&known, &one));
    ck_assert(hear(&known, &other));
    ck_assert(!hear(&known, &other));
    ck_assert_msg(hear(&known, &one), "it was replaced, and comes back");
    one.metric = 100; /* it stays beside the first */
    ck_assert(hear(&known, &one));
    one.metric = 0;
    ck_assert(!hear(&known, &one));
}
END_TEST

START_TEST(a_route_that_went_without_a_word_counts_when_it_comes_back)
{
    struct network_known known = {0};
    const struct draft draft = {ROUTE("10.0.0.254"), .message_flags = NLM_F_CREATE};
    ck_assert(hear(&known, &draft));
    ck_assert(hear(&known, &draft)); /* the kernel adds none that is still there */
}
END_TEST

START_TEST(more_than_we_can_remember_does_no_harm)
{
    struct network_known known = {0};
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 2 * NETWORK_KNOWN_MAX; i++) {
            char text[16];
            snprintf(text, sizeof(text), "10.0.%u.%u", i / 256, i % 256);
            const struct draft draft = {ADDRESS(text)};
            ck_assert(hear(&known, &draft));
            ck_assert(!hear(&known, &draft));
        }
        ck_assert_uint_eq(known.count, NETWORK_KNOWN_MAX);
    }
    const struct draft gone = {ADDRESS("10.0.1.250"), .type = RTM_DELADDR};
    ck_assert(hear(&known, &gone));
    ck_assert_uint_eq(known.count, NETWORK_KNOWN_MAX - 1);
}
END_TEST

/* The kernel sends no such thing; whatever is cut off is read no further than it goes. */
START_TEST(a_message_that_is_cut_anywhere_is_read_within_its_bytes)
{
    const struct draft drafts[] = {{ADDRESS("10.0.0.1")}, {ROUTE("fe80::1")}};
    for (size_t i = 0; i < 2; i++) {
        const struct message message = write_message(&drafts[i]);
        for (size_t bytes = 0; bytes < message.head.nlmsg_len; bytes++) {
            struct network_known known = {0};
            uint8_t *copy = malloc(bytes ? bytes : 1); /* of this size: for the sanitizer */
            memcpy(copy, message.bytes, bytes);
            (void)network_known_read(&known, copy, bytes);
            if (bytes >= sizeof(uint32_t)) {
                const uint32_t less = (uint32_t)bytes;
                memcpy(copy, &less, sizeof(less));
                (void)network_known_read(&known, copy, bytes);
            }
            free(copy);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("network_known");
    TCase *tcase = tcase_create("network_known");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, only_what_changes_the_way_of_our_traffic_counts, 0,
                        (int)(sizeof(first_words) / sizeof(first_words[0])));
    tcase_add_test(tcase, an_address_that_is_told_again_is_no_change);
    tcase_add_test(tcase, an_address_counts_when_it_can_be_used_again);
    tcase_add_test(tcase, a_route_that_replaces_itself_is_no_change);
    tcase_add_test(tcase, a_route_that_went_without_a_word_counts_when_it_comes_back);
    tcase_add_test(tcase, more_than_we_can_remember_does_no_harm);
    tcase_add_test(tcase, a_message_that_is_cut_anywhere_is_read_within_its_bytes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
