/* What the sessions of a link share, whichever workers they are on. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/link.h"

enum { THREADS = 4, ROUNDS = 20000, PLACES = 3 };

static struct config *config;
static struct link *links;

static void set_up(void)
{
    struct config_errors errors = {0};
    config = config_from_options("ws://127.0.0.1:9001", "ws://127.0.0.1:9000/", &errors);
    ck_assert_ptr_nonnull(config);
    config_errors_clear(&errors);
    links = link_new(NULL, config->links[0]);
    ck_assert_ptr_nonnull(links);
}

static void tear_down(void)
{
    link_release(links);
    config_free(config);
}

START_TEST(the_last_place_is_the_last)
{
    for (unsigned i = 0; i < PLACES; i++) {
        ck_assert_ptr_null(link_is_full(links, PLACES));
        ck_assert_ptr_null(link_take_place(links, PLACES));
    }
    ck_assert_str_eq(link_is_full(links, PLACES), "max_clients");
    ck_assert_str_eq(link_take_place(links, PLACES), "max_clients");
    link_client_left(links);
    ck_assert_ptr_null(link_take_place(links, PLACES));
    /* Whoever left, and is still delivered for: as many again. */
    for (unsigned i = 0; i < PLACES - 1; i++) {
        link_client_left(links);
        ck_assert_ptr_null(link_take_place(links, PLACES));
    }
    link_client_left(links);
    ck_assert_ptr_nonnull(strstr(link_take_place(links, PLACES), "still delivered for"));
    link_session_ended(links);
    ck_assert_ptr_null(link_take_place(links, PLACES));
}
END_TEST

/* ---- threads ------------------------------------------------------------------------------- */

static atomic_uint inside;
static atomic_uint most;

static void *come_and_go(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (link_take_place(links, PLACES))
            continue;
        unsigned now = atomic_fetch_add(&inside, 1) + 1;
        unsigned before = atomic_load(&most);
        while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
            ;
        atomic_fetch_sub(&inside, 1);
        link_client_left(links);
        link_session_ended(links);
    }
    return NULL;
}

static void *choose(void *argument)
{
    static const char offer[] = "a\0bb\0ccc";
    const char *chosen = argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        link_remember_choice(links, links->config, offer, sizeof(offer), chosen);
        const char *known = link_choice(links, offer, sizeof(offer));
        ck_assert(known && known >= offer && known < offer + sizeof(offer));
    }
    return NULL;
}

static void run(void *(*work)(void *), char *const arguments[THREADS])
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, arguments[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

START_TEST(no_more_are_inside_than_there_are_places)
{
    char *const nothing[THREADS] = {NULL};
    run(come_and_go, nothing);
    ck_assert_uint_le(most, PLACES);
    ck_assert_uint_eq(links->client_count + links->session_count, 0);
}
END_TEST

START_TEST(a_choice_points_into_the_offer_that_it_was_asked_for)
{
    char names[THREADS][4] = {"a", "bb", "ccc", "bb"};
    char *const arguments[THREADS] = {names[0], names[1], names[2], names[3]};
    run(choose, arguments);
    ck_assert_ptr_null(link_choice(links, "d", 2));
    link_remember_choice(links, links->config, "d", 2, "");
    ck_assert_str_eq(link_choice(links, "d", 2), "");
    link_set_config(links, config->links[0]);
    ck_assert_ptr_null(link_choice(links, "d", 2)); /* another upstream may choose differently */
    link_remember_choice(links, NULL, "d", 2, "d"); /* of a configuration that is not any more */
    ck_assert_ptr_null(link_choice(links, "d", 2));
}
END_TEST

START_TEST(the_last_reference_is_the_end)
{
    struct link_config *held;
    struct tls_context *upstream;
    link_hold(links);
    link_release(links);
    link_hold_newest(links, &held, &upstream);
    ck_assert_ptr_eq(held, config->links[0]);
    ck_assert_ptr_null(upstream);
    link_config_release(held);
    ck_assert_uint_eq(links->reference_count, 1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("link");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_last_place_is_the_last);
    tcase_add_test(tcase, no_more_are_inside_than_there_are_places);
    tcase_add_test(tcase, a_choice_points_into_the_offer_that_it_was_asked_for);
    tcase_add_test(tcase, the_last_reference_is_the_end);
    Suite *suite = suite_create("link");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
