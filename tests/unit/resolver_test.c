/* Names in threads: one lookup for a name, one thread for an owner, and an end while one hangs. */
#include <arpa/inet.h>
#include <check.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/last_good.h"
#include "net/pool.h"
#include "net/resolver.h"

/* ---- getaddrinfo(), as the test wants it -------------------------------------------------- */

/* The linker leads them here: -Wl,--wrap=getaddrinfo and so on. */
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **list);
void __real_freeaddrinfo(struct addrinfo *list);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **list);
void __wrap_freeaddrinfo(struct addrinfo *list);

enum { WAIT_S = 20 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static unsigned entered_count;
static unsigned looking_count;
static unsigned looking_count_max;
static unsigned answer_count; /* lists that were given and not freed */
static bool hangs;            /* names that begin with "hang" */
static char entered[64][64];

/* "hang..." waits until hangs is false; "no..." fails; anything else is 192.0.2.1. */
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    if (hints->ai_flags & AI_NUMERICHOST)
        return __real_getaddrinfo(host, port, hints, list);
    pthread_mutex_lock(&mutex);
    if (entered_count < 64)
        snprintf(entered[entered_count], sizeof(entered[0]), "%s", host);
    entered_count++;
    if (++looking_count > looking_count_max)
        looking_count_max = looking_count;
    pthread_cond_broadcast(&moved);
    while (hangs && strncmp(host, "hang", 4) == 0)
        pthread_cond_wait(&moved, &mutex);
    looking_count--;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&mutex);
    if (strncmp(host, "no", 2) == 0)
        return EAI_NONAME;
    const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    int error = __real_getaddrinfo("192.0.2.1", port, &numeric, list);
    pthread_mutex_lock(&mutex);
    answer_count += error == 0;
    pthread_mutex_unlock(&mutex);
    return error;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    pthread_mutex_lock(&mutex);
    if (answer_count > 0)
        answer_count--;
    pthread_mutex_unlock(&mutex);
    __real_freeaddrinfo(list);
}

static void set_hangs(bool value)
{
    pthread_mutex_lock(&mutex);
    hangs = value;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&mutex);
}

/* Wait until so many lookups have been begun in all. */
static void wait_entered(unsigned count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&mutex);
    while (entered_count < count)
        ck_assert_int_eq(pthread_cond_timedwait(&moved, &mutex, &until), 0);
    pthread_mutex_unlock(&mutex);
}

static unsigned entered_now(void)
{
    pthread_mutex_lock(&mutex);
    unsigned count = entered_count;
    pthread_mutex_unlock(&mutex);
    return count;
}

/* ---- a resolver --------------------------------------------------------------------------- */

static struct event_base *base;
static struct pool *pool;
static struct resolver *resolver;

struct asker {
    struct resolver_request *request;
    unsigned answers;
    int error;
    struct addresses *addresses; /* held */
};

static void set_up(void)
{
    entered_count = looking_count = looking_count_max = answer_count = 0;
    hangs = true;
    base = event_base_new();
    pool = pool_new(base);
    resolver = resolver_new(pool);
    ck_assert_ptr_nonnull(resolver);
}

static void tear_down(void)
{
    pool_free(pool);
    resolver_free(resolver);
    event_base_free(base);
    pool = NULL;
}

static void answered(void *argument, int error, struct addresses *addresses)
{
    struct asker *asker = argument;
    asker->request = NULL;
    asker->answers++;
    asker->error = error;
    asker->addresses = addresses ? addresses_hold(addresses) : NULL;
}

static void ask(struct asker *asker, const void *owner, const char *host)
{
    asker->request = resolver_ask(resolver, owner, host, 80, answered, asker);
}

static void wait_answer(const struct asker *asker)
{
    for (time_t end = time(NULL) + WAIT_S; asker->answers == 0;) {
        ck_assert_msg(time(NULL) < end, "no answer");
        event_base_loop(base, EVLOOP_ONCE);
    }
}

/* ---- tests -------------------------------------------------------------------------------- */

START_TEST(a_name_gets_its_addresses)
{
    struct asker asker = {0};
    set_up();
    ask(&asker, NULL, "name");
    ck_assert_ptr_nonnull(asker.request);
    wait_answer(&asker);
    ck_assert_int_eq(asker.error, 0);
    ck_assert_uint_eq(asker.addresses->count, 1);
    ck_assert_uint_eq(asker.addresses->items[0].socket.ipv4.sin_addr.s_addr,
                      inet_addr("192.0.2.1"));
    ck_assert_uint_eq(asker.addresses->items[0].socket.ipv4.sin_port, htons(80));
    ck_assert_uint_eq(answer_count, 0);
    addresses_release(asker.addresses);
    tear_down();
}
END_TEST

START_TEST(a_name_that_is_not_there_is_an_error)
{
    struct asker asker = {0};
    set_up();
    ask(&asker, NULL, "nobody");
    wait_answer(&asker);
    ck_assert_int_eq(asker.error, EAI_NONAME);
    ck_assert_ptr_null(asker.addresses);
    tear_down();
}
END_TEST

START_TEST(who_asks_for_a_name_in_flight_joins)
{
    struct asker askers[3] = {0};
    int owners[3];
    set_up();
    for (int i = 0; i < 3; i++)
        ask(&askers[i], &owners[i], "hang.one");
    wait_entered(1);
    struct asker other_port = {0};
    other_port.request = resolver_ask(resolver, &owners[2], "hang.one", 81, answered, &other_port);
    wait_entered(2);
    set_hangs(false);
    for (int i = 0; i < 3; i++)
        wait_answer(&askers[i]);
    wait_answer(&other_port);
    ck_assert_uint_eq(entered_now(), 2);
    ck_assert_ptr_eq(askers[0].addresses, askers[2].addresses);
    struct asker later = {0};
    ask(&later, NULL, "hang.one"); /* a fresh answer */
    wait_answer(&later);
    ck_assert_uint_eq(entered_now(), 3);
    for (int i = 0; i < 3; i++)
        addresses_release(askers[i].addresses);
    addresses_release(other_port.addresses);
    addresses_release(later.addresses);
    tear_down();
}
END_TEST

START_TEST(a_name_that_hangs_is_joined_even_when_nobody_waits_for_it_any_more)
{
    struct asker first = {0};
    struct asker second = {0};
    set_up();
    ask(&first, NULL, "hang.one");
    wait_entered(1);
    resolver_cancel(first.request);
    ask(&second, NULL, "hang.one");
    set_hangs(false);
    wait_answer(&second);
    ck_assert_uint_eq(entered_now(), 1);
    ck_assert_uint_eq(first.answers, 0);
    addresses_release(second.addresses);
    tear_down();
}
END_TEST

START_TEST(an_owner_has_one_thread_and_leaves_the_others_to_others)
{
    enum { NAME_COUNT = 8 };
    static const char *const names[NAME_COUNT] = {"hang.0", "hang.1", "hang.2", "hang.3",
                                                  "hang.4", "hang.5", "hang.6", "hang.7"};
    struct asker hanging[NAME_COUNT] = {0};
    struct asker other = {0};
    int owner;
    int other_owner;
    set_up();
    for (int i = 0; i < NAME_COUNT; i++)
        ask(&hanging[i], &owner, names[i]);
    wait_entered(1);
    ask(&other, &other_owner, "name");
    wait_answer(&other);
    ck_assert_uint_eq(entered_now(), 2);
    ck_assert_str_eq(entered[0], "hang.0");
    set_hangs(false); /* now its others have their turns, one after the other */
    for (int i = 0; i < NAME_COUNT; i++) {
        wait_answer(&hanging[i]);
        addresses_release(hanging[i].addresses);
    }
    ck_assert_uint_le(looking_count_max, 2);
    addresses_release(other.addresses);
    tear_down();
}
END_TEST

START_TEST(so_many_threads_and_no_more)
{
    enum { NAME_COUNT = POOL_THREAD_COUNT_MAX + 2 };
    char name[16];
    struct asker askers[NAME_COUNT] = {0};
    set_up();
    for (int i = 0; i < NAME_COUNT; i++) {
        snprintf(name, sizeof(name), "hang.%d", i);
        ask(&askers[i], &askers[i], name);
    }
    wait_entered(POOL_THREAD_COUNT_MAX);
    set_hangs(false);
    for (int i = 0; i < NAME_COUNT; i++) {
        wait_answer(&askers[i]);
        addresses_release(askers[i].addresses);
    }
    ck_assert_uint_le(looking_count_max, POOL_THREAD_COUNT_MAX);
    tear_down();
}
END_TEST

START_TEST(one_that_is_cancelled_before_its_turn_is_never_looked_up)
{
    struct asker first = {0};
    struct asker second = {0};
    struct asker third = {0};
    int owner;
    set_up();
    ask(&first, &owner, "hang.one");
    wait_entered(1);
    ask(&second, &owner, "two");
    ask(&third, &owner, "three");
    resolver_cancel(second.request);
    set_hangs(false);
    wait_answer(&third);
    ck_assert_uint_eq(entered_now(), 2);
    ck_assert_str_eq(entered[1], "three");
    ck_assert_uint_eq(second.answers, 0);
    addresses_release(first.addresses);
    addresses_release(third.addresses);
    tear_down();
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    static struct asker askers[POOL_JOB_COUNT_MAX + 1];
    char name[32];
    memset(askers, 0, sizeof(askers));
    set_up();
    for (int i = 0; i < POOL_JOB_COUNT_MAX; i++) {
        snprintf(name, sizeof(name), "hang.%d", i);
        ask(&askers[i], NULL, name);
        ck_assert_ptr_nonnull(askers[i].request);
    }
    ask(&askers[POOL_JOB_COUNT_MAX], NULL, "one.more");
    ck_assert_ptr_null(askers[POOL_JOB_COUNT_MAX].request);
    ask(&askers[POOL_JOB_COUNT_MAX], NULL, "hang.7"); /* joins */
    ck_assert_ptr_nonnull(askers[POOL_JOB_COUNT_MAX].request);
    wait_entered(POOL_THREAD_COUNT_MAX);
    for (int i = 0; i <= POOL_JOB_COUNT_MAX; i++)
        resolver_cancel(askers[i].request);
    struct asker asker = {0};
    ask(&asker, NULL, "name"); /* there is room again */
    ck_assert_ptr_nonnull(asker.request);
    set_hangs(false);
    wait_answer(&asker);
    ck_assert_uint_eq(entered_now(), POOL_THREAD_COUNT_MAX + 1);
    addresses_release(asker.addresses);
    tear_down();
}
END_TEST

START_TEST(the_end_does_not_wait_for_a_lookup_that_hangs)
{
    struct asker asker = {0};
    set_up();
    ask(&asker, NULL, "hang.one");
    wait_entered(1);
    resolver_cancel(asker.request);
    tear_down(); /* returns */
    set_hangs(false);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&mutex);
    while (looking_count > 0)
        ck_assert_int_eq(pthread_cond_timedwait(&moved, &mutex, &until), 0);
    pthread_mutex_unlock(&mutex);
    ck_assert_uint_eq(asker.answers, 0);
}
END_TEST

START_TEST(an_address_in_numbers_needs_no_lookup)
{
    struct addresses *addresses;
    set_up();
    ck_assert_int_eq(resolver_numeric("127.0.0.1", 80, &addresses), 0);
    ck_assert_uint_eq(addresses->count, 1);
    addresses_release(addresses);
    ck_assert_int_eq(resolver_numeric("::1", 80, &addresses), 0);
    ck_assert_int_eq(addresses->items[0].socket.any.sa_family, AF_INET6);
    addresses_release(addresses);
    ck_assert_int_eq(resolver_numeric("name", 80, &addresses), EAI_NONAME);
    ck_assert_ptr_null(addresses);
    ck_assert_uint_eq(entered_now(), 0);
    tear_down();
}
END_TEST

/* ---- their order -------------------------------------------------------------------------- */

static const struct {
    const char *why;
    const char *given;  /* by getaddrinfo(): 4 and 6 */
    const char *expect; /* indices in the order of trying */
} orders[] = {
    {"one family stays as it is", "444", "012"},
    {"families take turns", "6644", "0213"},
    {"the first family begins", "4466", "0213"},
    {"what is left of one comes last", "64666", "01234"},
    {"an unknown family is left out", "x6x4", "13"},
};

START_TEST(addresses_of_two_families_take_turns)
{
    struct sockaddr_in6 sockets[8] = {0};
    struct addrinfo list[8] = {0};
    size_t count = strlen(orders[_i].given);
    for (size_t i = 0; i < count; i++) {
        char kind = orders[_i].given[i];
        list[i].ai_family = kind == '4' ? AF_INET : kind == '6' ? AF_INET6 : AF_UNIX;
        list[i].ai_addrlen = kind == '4' ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        list[i].ai_addr = (struct sockaddr *)&sockets[i];
        list[i].ai_addr->sa_family = (sa_family_t)list[i].ai_family;
        sockets[i].sin6_port = (in_port_t)i; /* the same place for both */
        list[i].ai_next = i + 1 < count ? &list[i + 1] : NULL;
    }
    int error;
    struct addresses *addresses = addresses_new(list, &error);
    ck_assert_ptr_nonnull(addresses);
    ck_assert_msg(addresses->count == strlen(orders[_i].expect), "%s", orders[_i].why);
    for (size_t i = 0; i < addresses->count; i++)
        ck_assert_msg(addresses->items[i].socket.ipv4.sin_port == orders[_i].expect[i] - '0',
                      "%s: at %zu", orders[_i].why, i);
    addresses_release(addresses);
}
END_TEST

START_TEST(no_address_that_can_be_used_is_an_error)
{
    struct sockaddr_in6 socket = {0};
    struct addrinfo info = {
        .ai_family = AF_UNIX, .ai_addr = (struct sockaddr *)&socket, .ai_addrlen = sizeof(socket)};
    int error;
    ck_assert_ptr_null(addresses_new(&info, &error));
    ck_assert_int_eq(error, EAI_NONAME);
}
END_TEST

START_TEST(so_many_addresses_and_no_more)
{
    enum { COUNT = ADDRESS_COUNT_MAX + 8 };
    struct sockaddr_in sockets[COUNT] = {0};
    struct addrinfo list[COUNT] = {0};
    int error;
    for (int i = 0; i < COUNT; i++) {
        sockets[i].sin_family = AF_INET;
        list[i] = (struct addrinfo){.ai_family = AF_INET,
                                    .ai_addr = (struct sockaddr *)&sockets[i],
                                    .ai_addrlen = sizeof(sockets[i]),
                                    .ai_next = i + 1 < COUNT ? &list[i + 1] : NULL};
    }
    struct addresses *addresses = addresses_new(list, &error);
    ck_assert_uint_eq(addresses->count, ADDRESS_COUNT_MAX);
    addresses_release(addresses);
}
END_TEST

/* ---- what worked last ---------------------------------------------------------------------- */

static struct addresses *address_of(const char *text)
{
    struct addresses *addresses;
    ck_assert_int_eq(resolver_numeric(text, 80, &addresses), 0);
    return addresses;
}

static void remember(struct last_good *good, const char *host, uint16_t port, const char *text)
{
    struct addresses *addresses = address_of(text);
    last_good_remember(good, host, port, addresses, 0);
    addresses_release(addresses); /* it holds them itself */
}

START_TEST(what_worked_last_is_found_by_host_and_port)
{
    struct last_good good;
    struct addresses *addresses;
    struct address address;
    last_good_init(&good);
    ck_assert(!last_good_find(&good, "a", 80, &addresses, &address));
    remember(&good, "a", 80, "127.0.0.1");
    remember(&good, "a", 81, "127.0.0.2");
    remember(&good, "a", 80, "127.0.0.3");
    ck_assert_uint_eq(good.count, 2);
    ck_assert(last_good_find(&good, "a", 80, &addresses, &address));
    ck_assert_uint_eq(address.socket.ipv4.sin_addr.s_addr, inet_addr("127.0.0.3"));
    ck_assert_uint_eq(addresses_find(addresses, &address), 0);
    ck_assert(last_good_find(&good, "a", 81, NULL, &address));
    ck_assert_uint_eq(address.socket.ipv4.sin_addr.s_addr, inet_addr("127.0.0.2"));
    ck_assert(!last_good_find(&good, "b", 80, NULL, NULL));
    last_good_clear(&good);
    ck_assert_uint_eq(addresses_find(addresses, &addresses->items[0]), 0); /* held: still there */
    addresses_release(addresses);
}
END_TEST

START_TEST(a_full_table_forgets_the_oldest)
{
    struct last_good good;
    last_good_init(&good);
    for (uint16_t i = 0; i < LAST_GOOD_COUNT_MAX + 2; i++)
        remember(&good, "a", i, "::1");
    ck_assert(!last_good_find(&good, "a", 0, NULL, NULL));
    ck_assert(!last_good_find(&good, "a", 1, NULL, NULL));
    for (uint16_t i = 2; i < LAST_GOOD_COUNT_MAX + 2; i++)
        ck_assert(last_good_find(&good, "a", i, NULL, NULL));
    last_good_clear(&good);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolver");
    TCase *names = tcase_create("names");
    tcase_set_timeout(names, 3 * WAIT_S);
    tcase_add_test(names, a_name_gets_its_addresses);
    tcase_add_test(names, a_name_that_is_not_there_is_an_error);
    tcase_add_test(names, who_asks_for_a_name_in_flight_joins);
    tcase_add_test(names, a_name_that_hangs_is_joined_even_when_nobody_waits_for_it_any_more);
    tcase_add_test(names, an_owner_has_one_thread_and_leaves_the_others_to_others);
    tcase_add_test(names, so_many_threads_and_no_more);
    tcase_add_test(names, one_that_is_cancelled_before_its_turn_is_never_looked_up);
    tcase_add_test(names, a_full_queue_refuses);
    tcase_add_test(names, the_end_does_not_wait_for_a_lookup_that_hangs);
    tcase_add_test(names, an_address_in_numbers_needs_no_lookup);
    suite_add_tcase(suite, names);
    TCase *order = tcase_create("order");
    tcase_add_loop_test(order, addresses_of_two_families_take_turns, 0,
                        sizeof(orders) / sizeof(orders[0]));
    tcase_add_test(order, no_address_that_can_be_used_is_an_error);
    tcase_add_test(order, so_many_addresses_and_no_more);
    tcase_add_test(order, what_worked_last_is_found_by_host_and_port);
    tcase_add_test(order, a_full_table_forgets_the_oldest);
    suite_add_tcase(suite, order);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
