/* The demo in numbers. */
#include "wskeepctl/demo_report.h"

#include <inttypes.h>
#include <stdio.h>

enum { COLUMNS_NARROW = 100 };

void demo_report_live(const struct demo_report *report, const struct demo_client *client,
                      const struct demo_server *server, uint64_t age_ms, size_t columns, char *text,
                      size_t text_bytes)
{
    const struct demo_tally *tally = &server->tally;
    const char *cause = report->last_cause[0] != '\0' ? report->last_cause : "none";
    bool is_narrow = columns < COLUMNS_NARROW;
    snprintf(text, text_bytes,
             "%3" PRIu64 ".%" PRIu64 " s  sent %" PRIu64 "  received %" PRIu64 "  lost %" PRIu64
             "  repeated %" PRIu64 "  %s %" PRIu64 "  %s%s",
             age_ms / 1000, age_ms % 1000 / 100, client->sent, tally->arrived_count,
             demo_tally_missing(tally), tally->repeated,
             is_narrow ? "upstream" : "upstream connections", server->connection_count,
             is_narrow ? "" : "last cause: ", cause);
}

static void say_count(struct demo_screen *screen, bool is_good, const char *what, uint64_t count,
                      const char *remark)
{
    demo_screen_say(screen, is_good ? DEMO_PLAIN : DEMO_RED, "  %-21s %6" PRIu64 "%s%s", what,
                    count, remark[0] != '\0' ? "   " : "", remark);
}

static void say_faults(const struct demo_server *server, struct demo_screen *screen)
{
    demo_screen_say(screen, DEMO_PLAIN, "What the server did:");
    for (int fault = 0; fault < DEMO_FAULT_COUNT; fault++)
        if (server->fault_counts[fault] > 0)
            demo_screen_say(screen, DEMO_PLAIN, "  %6" PRIu64 " x  %s", server->fault_counts[fault],
                            demo_fault_text((enum demo_fault)fault));
}

bool demo_report_end(const struct demo_report *report, const struct demo_client *client,
                     const struct demo_server *server, struct demo_screen *screen)
{
    const struct demo_tally *tally = &server->tally;
    uint64_t lost = client->sent - tally->arrived_count;
    uint64_t strange = tally->strange + client->replies.strange;
    bool is_good = report->is_run && report->has_receipt && report->why[0] == '\0' && lost == 0 &&
                   tally->out_of_order == 0 && strange == 0;
    if (report->is_run) {
        say_faults(server, screen);
        demo_screen_say(screen, DEMO_PLAIN, "The client's messages:");
        say_count(screen, true, "sent", client->sent, "");
        say_count(screen, true, "arrived", tally->arrived_count, "at the server");
        say_count(screen, lost == 0, "lost", lost, "");
        say_count(screen, true, "repeated", tally->repeated,
                  "a break took the acknowledgement: at least once");
        say_count(screen, tally->out_of_order == 0, "out of order", tally->out_of_order, "");
        if (strange > 0)
            say_count(screen, false, "damaged", strange, "");
        say_count(screen, true, "replies", client->replies.arrived_count,
                  "came back; what a server sends into a break is gone");
        say_count(screen, true, "upstream connections", server->connection_count, "");
    }
    if (report->is_run && report->has_receipt)
        demo_screen_say(screen, is_good ? DEMO_GREEN : DEMO_PLAIN,
                        "The client stayed on one connection for %" PRIu64 " s.",
                        (report->run_ms + 500) / 1000);
    if (report->is_run && report->is_interrupted)
        demo_screen_say(screen, DEMO_PLAIN, "Interrupted: what was still on its way is lost.");
    if (report->why[0] != '\0')
        fprintf(stderr, "wskeepctl: %s\n", report->why);
    return is_good;
}
