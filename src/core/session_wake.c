/* What may end a wait early: another network, another secret.  And what may not: Retry-After. */
#include "core/session.h"
#include "core/session_private.h"

enum {
    SESSION_NETWORK_MERGE_MS = 500,    /* what belongs to one change of the network */
    SESSION_NETWORK_SPREAD_MS = 1000,  /* sessions do not all come at once */
    SESSION_EARLY_SPACE_MS = 10 * 1000 /* between two waits that are cut short */
};

static uint64_t later(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms > b_ms ? a_ms : b_ms;
}

/* The next attempt comes now, or as soon as it may. */
static void session_cut_wait(struct session *session, uint64_t now_ms)
{
    uint64_t attempt_ms = later(now_ms, session->not_before_ms);
    if (session->state != SESSION_WAITING)
        return;
    if (session->early_attempt_ms != 0)
        attempt_ms = later(attempt_ms, session->early_attempt_ms + SESSION_EARLY_SPACE_MS);
    if (attempt_ms >= session->wait_until_ms)
        return; /* it comes sooner by itself */
    if (session->early_attempt_ms != session->wait_until_ms)
        session->uncut_until_ms = session->wait_until_ms;
    session->wait_until_ms = attempt_ms;
    session->early_attempt_ms = attempt_ms;
}

void session_network_changed(struct session *session, uint64_t now_ms)
{
    if (session->network_due_ms != SETTINGS_NEVER)
        return; /* more of the same change */
    session->network_due_ms = now_ms + SESSION_NETWORK_MERGE_MS +
                              random_below(session->random, SESSION_NETWORK_SPREAD_MS + 1);
}

void session_network_timer(struct session *session, uint64_t now_ms)
{
    session->network_due_ms = SETTINGS_NEVER;
    if (session->state == SESSION_OPEN && !session_has_pings_enough(session))
        session->ping_now = true; /* does it still lead anywhere?  The heartbeat judges */
    session_cut_wait(session, now_ms);
}

void session_secret_changed(struct session *session, uint64_t now_ms)
{
    if (session->waits_for_secret)
        session_cut_wait(session, now_ms);
}

void session_retry_after(struct session *session, uint64_t delay_ms, uint64_t now_ms)
{
    if (delay_ms > SESSION_RETRY_AFTER_MS_MAX)
        delay_ms = SESSION_RETRY_AFTER_MS_MAX;
    session->not_before_ms = now_ms + delay_ms;
}
