/* How often each fault, cause, move and branch was exercised: is the world unkind enough? */
#ifndef WSKEEP_SIM_TALLY_H
#define WSKEEP_SIM_TALLY_H

#include "core/session.h"
#include "plan.h"

/* Everything else worth counting: one row each, with the words that --stats shows. */
#define TALLY_BRANCHES(ROW)                                                                        \
    ROW(TURNS, "turns of the loop")                                                                \
    ROW(MESSAGES_TAKEN, "messages taken")                                                          \
    ROW(MESSAGES_ACKED, "messages acknowledged")                                                   \
    ROW(MESSAGES_REPEATED, "messages repeated")                                                    \
    ROW(MESSAGES_GIVEN_UP, "messages given up")                                                    \
    ROW(MESSAGES_IN_PIECES, "messages encoded in pieces")                                          \
    ROW(MESSAGES_OVER_WINDOW, "messages larger than the window, sent alone")                       \
    ROW(LATE_COPIES, "late copies, read from an old connection")                                   \
    ROW(CUT_IN_MID_FRAME, "connections dropped in the middle of a frame")                          \
    ROW(NOT_NOW, "client messages kept (NOT_NOW)")                                                 \
    ROW(REFUSED_TOO_BIG, "client messages too big after a reload")                                 \
    ROW(DROPPED_OLDEST, "oldest messages dropped")                                                 \
    ROW(DROPPED_EXPOSED, "oldest messages dropped that the server may have")                       \
    ROW(DROP_REFUSED, "messages kept back because the oldest is in mid frame")                     \
    ROW(OVERFLOW_CLOSE, "clients closed for overflow")                                             \
    ROW(INBOX_FULL, "pauses of the upstream")                                                      \
    ROW(MUTUAL_STALL, "mutual stalls")                                                             \
    ROW(PINGS, "Pings upstream")                                                                   \
    ROW(PINGS_IN_FLIGHT_4, "Pings sent with three others in flight")                               \
    ROW(PONGS_MATCHED, "Pongs that matched")                                                       \
    ROW(PONGS_FALSE, "Pongs that did not")                                                         \
    ROW(PONGS_OF_OLD, "Pongs that repeat an older connection's Ping")                              \
    ROW(PONG_UNSUPPORTED, "servers found not to answer Pings")                                     \
    ROW(PROBES, "probes of TCP")                                                                   \
    ROW(DID_NOT_RUN, "times the daemon did not run")                                               \
    ROW(WOKE_LATE, "times it woke late")                                                           \
    ROW(CLOCK_JUMPS, "clock jumps")                                                                \
    ROW(RELOADS, "reloads")                                                                        \
    ROW(NETWORK_CHANGES, "changes of the network")                                                 \
    ROW(SECRET_CHANGES, "changes of a secret")                                                     \
    ROW(RETRY_AFTER, "refusals with Retry-After")                                                  \
    ROW(EARLY_ATTEMPTS, "attempts before their time")                                              \
    ROW(CREDENTIAL_REFUSED, "sessions ended for the client's credential")                          \
    ROW(SHUTDOWNS, "shutdowns")                                                                    \
    ROW(STRAYS, "stray events of an attempt given up")                                             \
    ROW(WRITE_FAILED, "failed writes")                                                             \
    ROW(WRITE_FAILED_READABLE, "failed writes with something left to read")                        \
    ROW(GAPS, "inbound gaps")                                                                      \
    ROW(GAP_MESSAGES, "gap messages delivered")                                                    \
    ROW(DELIVERED, "messages delivered to the client")                                             \
    ROW(DROPPED_INBOUND, "inbound messages with nobody to take them")                              \
    ROW(RECEIPTS_CLEAN, "receipts with the client's own code")                                     \
    ROW(RECEIPTS_1011, "receipts 1011")                                                            \
    ROW(CLIENT_CLOSED_BY_US, "clients closed by us")                                               \
    ROW(CLIENT_CUT, "clients cut")                                                                 \
    ROW(CLIENT_REFUSED, "clients refused before their 101")                                        \
    ROW(CLIENT_PINGS, "Pings to the client")                                                       \
    ROW(LAST_CLOSES, "last Closes upstream")                                                       \
    ROW(ECHOED_CLOSES, "upstream Closes answered")                                                 \
    ROW(CONNECTIONS, "connections opened")                                                         \
    ROW(SHORT_LIVES_JUDGED, "connections of one message and one round trip, judged")               \
    ROW(SETTLED_OPEN, "schedules that settled with the client there")                              \
    ROW(SETTLED_ENDED, "schedules that had ended before the calm")                                 \
    ROW(SETTLED_IN_CALM, "schedules that ended in the calm")                                       \
    ROW(CALM_SHORT, "calms of short lives")                                                        \
    ROW(CALM_IDLE_HELD, "idle calm links that held")

#define TALLY_ENUM(name, text) TALLY_##name,
enum tally_branch { TALLY_BRANCHES(TALLY_ENUM) TALLY_BRANCH_COUNT };
#undef TALLY_ENUM

struct tally {
    uint64_t branches[TALLY_BRANCH_COUNT];
    uint64_t profiles[PLAN_PROFILE_COUNT];
    uint64_t fates[FATE_COUNT];
    uint64_t pongs[PONG_COUNT];
    uint64_t attempts[ATTEMPT_COUNT];
    uint64_t endings[ENDING_COUNT];
    uint64_t moves[SESSION_STATE_COUNT][SESSION_STATE_COUNT];
    uint64_t causes[CAUSE_COUNT];     /* ends of connections and attempts */
    uint64_t endings_by[CAUSE_COUNT]; /* ends of sessions */
    uint64_t given_up[CAUSE_COUNT];
    uint64_t simulated_ms;
};

void tally_print(const struct tally *tally);

#endif
