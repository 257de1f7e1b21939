/* A schedule's settings, paths and habits, drawn from its seed. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

const char *const plan_reason[PLAN_REASON_COUNT] = {
    "",
    "interrupted",
    "bye",
    "Stream end encountered",
    "normal closure",
    ("as long as a reason may be: 123 bytes, of which these are only the first few, and here they "
     "go on, and on, and then they end"),
};

/* What a profile is about.  Weights are relative to each other within a row. */
struct profile_row {
    const char *name;
    uint8_t fates[FATE_COUNT];
    uint8_t pongs[PONG_COUNT];
    uint8_t endings[ENDING_COUNT];
    uint8_t attempt_fault_percent;
    uint8_t outage_percent;
    uint8_t stops_max; /* times that the daemon does not run */
    uint8_t push_one_in;
    uint8_t unread_percent;
    uint8_t frozen_percent;
};

static const struct profile_row profiles[PLAN_PROFILE_COUNT] = {
    /* lives rst fin close close+rst silent up down cut short hang broken big */
    [PLAN_CALM] = {"calm",
                   {30, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
                   {1, 0, 0, 0, 0},
                   {8, 4, 1, 1, 0, 0, 0},
                   2,
                   5,
                   2,
                   2,
                   20,
                   10},
    [PLAN_PHONE] = {"phone",
                    {6, 4, 2, 2, 1, 8, 3, 3, 3, 3, 1, 0, 0},
                    {20, 0, 0, 1, 1},
                    {8, 4, 1, 1, 1, 1, 0},
                    20,
                    40,
                    3,
                    3,
                    10,
                    10},
    [PLAN_FLAPPING] = {"flapping",
                       {1, 6, 4, 4, 3, 1, 0, 0, 6, 16, 0, 0, 0},
                       {30, 0, 0, 1, 1},
                       {8, 3, 1, 1, 0, 0, 0},
                       15,
                       20,
                       1,
                       4,
                       5,
                       5},
    [PLAN_SLOW] = {"slow",
                   {8, 2, 1, 2, 3, 2, 1, 1, 1, 1, 8, 0, 0},
                   {16, 1, 1, 1, 1},
                   {12, 3, 1, 1, 0, 1, 0},
                   8,
                   10,
                   2,
                   1,
                   80,
                   40},
    [PLAN_HOSTILE] = {"hostile",
                      {8, 2, 1, 6, 4, 1, 1, 1, 2, 2, 2, 1, 1},
                      {4, 5, 8, 3, 3},
                      {8, 2, 1, 1, 0, 0, 1},
                      15,
                      10,
                      1,
                      3,
                      10,
                      10},
    [PLAN_BIG] = {"big",
                  {10, 3, 1, 2, 2, 2, 1, 1, 5, 2, 1, 0, 0},
                  {20, 1, 1, 1, 1},
                  {8, 3, 1, 1, 0, 0, 0},
                  8,
                  10,
                  2,
                  4,
                  10,
                  10},
    [PLAN_TIGHT] = {"tight",
                    {8, 3, 1, 2, 2, 2, 1, 1, 3, 3, 2, 0, 0},
                    {16, 2, 1, 2, 2},
                    {8, 3, 1, 1, 1, 1, 0},
                    10,
                    20,
                    1,
                    2,
                    30,
                    20},
    [PLAN_ENDS] = {"ends",
                   {8, 3, 2, 3, 2, 2, 1, 1, 2, 2, 2, 0, 0},
                   {16, 1, 1, 1, 1},
                   {0, 6, 3, 3, 2, 2, 2},
                   15,
                   20,
                   1,
                   3,
                   10,
                   10},
};

static const char *const fate_names[FATE_COUNT] = {"lives",
                                                   "rst",
                                                   "fin",
                                                   "close",
                                                   "close, then rst",
                                                   "silent",
                                                   "silent upwards",
                                                   "silent downwards",
                                                   "cut after bytes",
                                                   "short life",
                                                   "hangs",
                                                   "breaks rfc 6455",
                                                   "message too big"};
static const char *const pong_names[PONG_COUNT] = {"always", "never", "wrong", "every third",
                                                   "late"};
static const char *const attempt_names[ATTEMPT_COUNT] = {
    "opens",       "dns fails",         "dns hangs",        "refused",       "unreachable",
    "tcp hangs",   "http status",       "malformed answer", "upgrade hangs", "upgrade rst",
    "upgrade eof", "other subprotocol", "secret unreadable"};
static const char *const ending_names[ENDING_COUNT] = {
    "stays", "closes", "closes and leaves", "leaves", "resets", "vanishes", "breaks rfc 6455"};

const char *plan_profile_name(enum plan_profile profile)
{
    return profiles[profile].name;
}

const char *plan_fate_name(enum plan_fate fate)
{
    return fate_names[fate];
}

const char *plan_pong_name(enum plan_pong pong)
{
    return pong_names[pong];
}

const char *plan_attempt_name(enum plan_attempt attempt)
{
    return attempt_names[attempt];
}

const char *plan_ending_name(enum plan_ending ending)
{
    return ending_names[ending];
}

unsigned plan_weighted(struct chance *chance, const uint8_t *weights, unsigned count)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += weights[i];
    uint64_t at = chance_below(chance, sum);
    for (unsigned i = 0; i < count; i++) {
        if (at < weights[i])
            return i;
        at -= weights[i];
    }
    abort(); /* a row without any weight */
}

/* ---- settings ----------------------------------------------------------------------------- */

static uint64_t at_least(uint64_t value, uint64_t minimum)
{
    return value > minimum ? value : minimum;
}

static uint64_t at_most(uint64_t value, uint64_t maximum)
{
    return value < maximum ? value : maximum;
}

static bool percent(struct chance *chance, unsigned part)
{
    return chance_below(chance, 100) < part;
}

/* tempo_ms: the schedule's measure.  Everything that waits is some parts of it, so that a fast
 * schedule and one of half an hour have about as many events. */
static uint64_t times(struct chance *chance, uint64_t tempo_ms, uint64_t low, uint64_t high)
{
    return at_least(tempo_ms * low + chance_below(chance, tempo_ms * (high - low) + 1), 100);
}

static uint64_t times_or_never(struct chance *chance, uint64_t never_one_in, uint64_t tempo_ms,
                               uint64_t low, uint64_t high)
{
    return chance_one_in(chance, never_one_in) ? SETTINGS_NEVER
                                               : times(chance, tempo_ms, low, high);
}

static char glob_interrupted[] = "inter*";
static char glob_any_e[] = "?y*";

static const struct close_rule rule_table[] = {
    {.kind = CLOSE_RULE_CODE, .first = 4000, .last = 4999, .then = CLOSE_THEN_RECONNECT},
    {.kind = CLOSE_RULE_CODE, .first = 1000, .last = 1000, .then = CLOSE_THEN_RECONNECT_SLOW},
    {.kind = CLOSE_RULE_CODE,
     .first = 1000,
     .last = 1000,
     .reason = glob_interrupted,
     .then = CLOSE_THEN_END},
    {.kind = CLOSE_RULE_CODE,
     .first = 1000,
     .last = 4999,
     .reason = glob_any_e,
     .then = CLOSE_THEN_RECONNECT},
    {.kind = CLOSE_RULE_CODE, .first = 1006, .last = 1006, .then = CLOSE_THEN_RECONNECT_SLOW},
    {.kind = CLOSE_RULE_CODE, .first = 1006, .last = 1006, .then = CLOSE_THEN_END},
    {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_TCP_RESET, .then = CLOSE_THEN_END},
    {.kind = CLOSE_RULE_CODE, .first = 1011, .last = 1012, .then = CLOSE_THEN_END},
    {.kind = CLOSE_RULE_CODE, .first = 1008, .last = 1008, .then = CLOSE_THEN_RECONNECT},
    {.kind = CLOSE_RULE_HTTP, .first = 400, .last = 499, .then = CLOSE_THEN_RECONNECT},
    {.kind = CLOSE_RULE_HTTP, .first = 503, .last = 503, .then = CLOSE_THEN_END},
    {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_HEARTBEAT_TIMEOUT, .then = CLOSE_THEN_RECONNECT_SLOW},
    {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_PROTOCOL_ERROR, .then = CLOSE_THEN_RECONNECT},
    {.kind = CLOSE_RULE_CAUSE, .cause = CAUSE_TCP_REFUSED, .then = CLOSE_THEN_RECONNECT_SLOW},
    {.kind = CLOSE_RULE_CLIENT, .first = 1000, .last = 4999, .then = CLOSE_THEN_END},
};

static void draw_rules(struct plan *plan, struct chance *chance)
{
    struct session_settings *settings = &plan->settings;
    settings->close_rules = plan->rules;
    settings->close_rule_count = 0;
    if (!chance_one_in(chance, 4))
        return;
    settings->close_rule_count = chance_between(chance, 1, 3);
    for (size_t i = 0; i < settings->close_rule_count; i++)
        plan->rules[i] = CHANCE_OF(chance, rule_table);
}

static void draw_times(struct plan *plan, struct chance *chance, uint64_t tempo_ms)
{
    struct session_settings *s = &plan->settings;
    s->connect_timeout_ms = times(chance, tempo_ms, 1, 6);
    s->client_heartbeat.interval_ms = times_or_never(chance, 2, tempo_ms, 2, 10);
    s->client_heartbeat.timeout_ms = times(chance, tempo_ms, 2, 10);
    s->client_heartbeat.stall_timeout_ms = SETTINGS_NEVER;
    s->heartbeat.interval_ms = times_or_never(chance, 6, tempo_ms, 1, 8);
    s->heartbeat.timeout_ms = times(chance, tempo_ms, 1, 4);
    s->heartbeat.stall_timeout_ms =
        times_or_never(chance, 6, tempo_ms, 1, plan->profile == PLAN_SLOW ? 3 : 12);
    s->silence_ms = chance_one_in(chance, 8) ? times(chance, tempo_ms, 4, 20) : SETTINGS_NEVER;
    s->backoff.initial_delay_ms =
        chance_one_in(chance, 4) ? 0 : chance_between(chance, 1, tempo_ms);
    s->backoff.max_delay_ms = at_least(times(chance, tempo_ms, 1, 20), s->backoff.initial_delay_ms);
    s->backoff.multiplier_milli =
        chance_one_in(chance, 6) ? 1000 : (uint32_t)chance_between(chance, 1000, 4000);
    s->backoff.jitter = chance_one_in(chance, 2);
    s->stable_after_ms = times(chance, tempo_ms, 1, 10);
    s->give_up_after_ms =
        chance_one_in(chance, 5) ? times(chance, tempo_ms, 4, 60) : SETTINGS_NEVER;
    s->ping_spacing_ms = chance_one_in(chance, 3) ? 0 : chance_scale(chance, 1, tempo_ms);
    s->ack_timeout_ms = times(chance, tempo_ms, 1, 8);
    s->drain_timeout_ms = chance_one_in(chance, 10)  ? 0
                          : chance_one_in(chance, 3) ? times(chance, tempo_ms, 1, 10)
                                                     : times(chance, tempo_ms, 100, 400);
}

static void draw_bounds(struct plan *plan, struct chance *chance)
{
    struct session_settings *s = &plan->settings;
    bool tight = plan->profile == PLAN_TIGHT;
    bool slow = plan->profile == PLAN_SLOW; /* that pauses begin soon, on both sides */
    uint64_t bytes_max = plan->client.bytes_max;
    s->acknowledge = chance_one_in(chance, 8) ? ACKNOWLEDGE_SENT : ACKNOWLEDGE_PONG;
    s->without_pong = chance_one_in(chance, 2) ? WITHOUT_PONG_SENT : WITHOUT_PONG_END;
    s->window_bytes = chance_scale(chance, 64, 2 * bytes_max + 4096);
    s->outbox_messages_max = (uint32_t)(tight  ? chance_scale(chance, 1, 16)
                                        : slow ? chance_scale(chance, 2, 32)
                                               : chance_scale(chance, 4, 4096));
    s->outbox_bytes_max = at_least(bytes_max, tight ? 64 : 1024) * chance_scale(chance, 1, 64);
    s->overflow = tight ? (enum settings_overflow)chance_below(chance, 3) : OVERFLOW_PAUSE;
    if (tight && chance_one_in(chance, 2))
        s->overflow = OVERFLOW_DROP_OLDEST;
    s->inbox_bytes_max = at_least(plan->server.push_bytes_max, 128) *
                         chance_scale(chance, 1, tight || slow ? 4 : 256);
    s->inbox_overflow = chance_one_in(chance, 10) ? INBOX_OVERFLOW_CLOSE : INBOX_OVERFLOW_PAUSE;
    s->on_gap = chance_one_in(chance, 8)   ? ON_GAP_CLOSE
                : chance_one_in(chance, 3) ? ON_GAP_NOTIFY
                                           : ON_GAP_HIDE;
    plan->budget_bytes_max = tight && chance_one_in(chance, 2)
                                 ? s->outbox_bytes_max / 2 + 2 * bytes_max + 1024
                                 : (uint64_t)1 << 40;
    plan->others = tight && chance_one_in(chance, 2);
}

/* What a reload changes, often to something narrower. */
static void draw_reload(struct plan *plan, struct chance *chance)
{
    struct session_settings *s = &plan->reloaded;
    *s = plan->settings;
    plan->host.reload_ms = PIPE_NEVER;
    if (!chance_one_in(chance, plan->profile == PLAN_TIGHT ? 3 : 10))
        return;
    plan->host.reload_ms = plan->start_ms + chance_below(chance, plan->faults_ms);
    s->outbox_messages_max = s->outbox_messages_max / 2 + 1;
    if (chance_one_in(chance, 2))
        s->outbox_bytes_max = s->outbox_bytes_max / 2 + 64;
    s->window_bytes = s->window_bytes * chance_between(chance, 1, 3) / 2;
    s->ack_timeout_ms = s->ack_timeout_ms * 2;
    s->ping_spacing_ms /= 2;
    if (chance_one_in(chance, 4))
        s->acknowledge = s->acknowledge == ACKNOWLEDGE_PONG ? ACKNOWLEDGE_SENT : ACKNOWLEDGE_PONG;
    if (chance_one_in(chance, 4))
        s->overflow = (enum settings_overflow)chance_below(chance, 3);
}

/* ---- paths -------------------------------------------------------------------------------- */

/*
 * A path on which everything that a live peer does comes well within the timeouts.  Slower than
 * that, and ending the connection would be right.
 */
static void draw_path(struct pipe_path *path, struct chance *chance, const struct plan *plan,
                      uint64_t patience_ms, uint64_t latency_ms)
{
    path->latency_ms = (uint32_t)latency_ms;
    uint64_t buffer_min = at_most(at_least(plan->client.bytes_max / 8, 1 << 10), 1 << 18);
    path->receive_bytes_max = (uint32_t)(buffer_min + chance_scale(chance, 0, 1 << 17));
    path->send_bytes_max = (uint32_t)(buffer_min + chance_scale(chance, 0, 1 << 17));
    path->bytes_per_ms = (uint32_t)chance_scale(chance, 16, 1 << 20);
    uint64_t queue_bytes = path->receive_bytes_max + path->send_bytes_max;
    uint64_t slowest = queue_bytes * 6 / patience_ms + 1; /* the queue passes in a sixth of it */
    if (plan->profile == PLAN_BIG || plan->profile == PLAN_FLAPPING)
        path->bytes_per_ms = (uint32_t)chance_scale(chance, 16, 4096);
    path->bytes_per_ms = (uint32_t)at_least(path->bytes_per_ms, slowest);
    uint64_t segment = at_most(path->bytes_per_ms * (patience_ms / 12 + 1), queue_bytes / 4 + 200);
    path->segment_bytes = (uint32_t)at_least(chance_between(chance, segment / 4, segment), 200);
    /* One window for each round trip: what waits behind it must not wait for longer, either. */
    uint64_t rate = at_most(path->bytes_per_ms, path->receive_bytes_max / (2 * latency_ms + 1) + 1);
    path->send_bytes_max =
        (uint32_t)at_least(at_most(path->send_bytes_max, rate * patience_ms / 6), 256);
}

/* One that reads large messages so slowly that only the allowance for bytes sent (1 s for each
 * 64 KiB) keeps the link: never slower than that. */
static void draw_slow_server(struct plan *plan, struct chance *chance)
{
    struct session_settings *s = &plan->settings;
    uint64_t patience_ms = at_most(s->heartbeat.timeout_ms, s->ack_timeout_ms);
    plan->server.read_bytes_per_ms = 0;
    if (plan->profile != PLAN_BIG || !chance_one_in(chance, 3))
        return;
    uint64_t rate =
        at_least(67, at_least(2 * 65536 / patience_ms, 4 * 16384 / s->heartbeat.stall_timeout_ms));
    plan->server.read_bytes_per_ms = (uint32_t)rate + 1;
    plan->up.receive_bytes_max = (uint32_t)chance_between(chance, 1 << 17, 1 << 19);
    plan->up.send_bytes_max = 1 << 18;
    plan->up.bytes_per_ms = 1 << 14;
    plan->client.bytes_max = (uint32_t)at_least(plan->client.bytes_max, 1 << 16);
    plan->client.bytes_min = chance_one_in(chance, 2) ? plan->client.bytes_max / 2 : 0;
    plan->client.message_count += 6;
    plan->client.burst_count += 6;
    s->outbox_bytes_max = at_least(s->outbox_bytes_max, 1 << 20);
    s->window_bytes = at_least(s->window_bytes, 1 << 20);
}

static void draw_paths(struct plan *plan, struct chance *chance)
{
    const struct session_settings *s = &plan->settings;
    uint64_t patience_ms =
        at_most(at_most(s->heartbeat.timeout_ms, s->ack_timeout_ms), s->connect_timeout_ms / 2);
    patience_ms = at_most(patience_ms, s->heartbeat.stall_timeout_ms);
    uint64_t latency_ms = chance_below(chance, at_most(patience_ms / 12, 300) + 1);
    draw_path(&plan->up, chance, plan, patience_ms, latency_ms);
    draw_path(&plan->down, chance, plan, patience_ms, latency_ms);

    latency_ms = chance_below(chance, 3);
    draw_path(&plan->client_in, chance, plan, s->client_heartbeat.timeout_ms, latency_ms);
    draw_path(&plan->client_out, chance, plan, s->client_heartbeat.timeout_ms, latency_ms);
    if (plan->profile == PLAN_SLOW || plan->profile == PLAN_TIGHT) { /* so that inboxes fill */
        plan->client_out.receive_bytes_max = (uint32_t)chance_scale(chance, 256, 1 << 14);
        plan->client_out.send_bytes_max = (uint32_t)chance_scale(chance, 256, 1 << 14);
    }
    draw_slow_server(plan, chance);
    if (plan->profile != PLAN_SLOW)
        plan->client_in.bytes_per_ms = plan->client_out.bytes_per_ms = 1 << 20;
}

/* ---- peers -------------------------------------------------------------------------------- */

static void draw_client(struct plan *plan, struct chance *chance, uint64_t tempo_ms)
{
    const struct profile_row *row = &profiles[plan->profile];
    struct plan_client *c = &plan->client;
    bool big = plan->profile == PLAN_BIG;
    c->message_count = (uint32_t)chance_scale(chance, 1, big ? 12 : 200);
    c->burst_count = (uint32_t)chance_scale(chance, 1, 64);
    c->bytes_max = (uint32_t)chance_scale(chance, 16, big ? 1 << 18 : 1 << 13);
    if (big && chance_one_in(chance, 300))
        c->bytes_max = 16 << 20;
    if (c->bytes_max > 1 << 20)
        c->message_count = 3;
    c->bytes_min = 0;
    c->burst_spacing_ms = chance_one_in(chance, 4) ? 0 : chance_scale(chance, 1, 4 * tempo_ms);
    c->first_ms = chance_one_in(chance, 2) ? 0 : chance_scale(chance, 1, 8 * tempo_ms);
    c->frozen_from_ms = c->unread_from_ms = c->sip_ms = PIPE_NEVER;
    if (percent(chance, row->frozen_percent)) {
        c->frozen_from_ms = plan->start_ms + chance_below(chance, plan->faults_ms);
        c->frozen_until_ms = c->frozen_from_ms + chance_scale(chance, 1, 30 * tempo_ms);
    }
    if (percent(chance, row->unread_percent)) {
        c->unread_from_ms = plan->start_ms + chance_scale(chance, 0, plan->faults_ms / 2);
        c->unread_until_ms = c->unread_from_ms + chance_between(chance, 1, 60 * tempo_ms);
        if (chance_one_in(chance, 2)) {
            c->sip_ms = chance_between(chance, tempo_ms / 8, 2 * tempo_ms);
            c->sip_bytes = (uint32_t)chance_scale(chance, 1, 256);
        }
    }
    c->ending = (enum plan_ending)plan_weighted(chance, row->endings, ENDING_COUNT);
    c->ending_ms = plan->start_ms + chance_scale(chance, 0, plan->faults_ms);
    static const uint16_t codes[] = {1000, 1000, 1001, 1005, 1003, 3000, 4000, 4999};
    c->close_code = CHANCE_OF(chance, codes);
    c->close_reason = c->close_code == 1005 ? 0 : (uint8_t)chance_below(chance, PLAN_REASON_COUNT);
    c->answers_close = !chance_one_in(chance, 6);
    c->beats = !chance_one_in(chance, 3);
}

static void draw_server(struct plan *plan, struct chance *chance, uint64_t tempo_ms)
{
    const struct profile_row *row = &profiles[plan->profile];
    struct plan_server *s = &plan->server;
    memcpy(s->fate_weights, row->fates, sizeof s->fate_weights);
    memcpy(s->pong_weights, row->pongs, sizeof s->pong_weights);
    if (chance_one_in(chance, 3)) { /* one habit for all connections, as a server has it */
        unsigned habit = plan_weighted(chance, row->pongs, PONG_COUNT);
        memset(s->pong_weights, 0, sizeof s->pong_weights);
        s->pong_weights[habit] = 1;
    }
    s->fate_ms_max = chance_scale(chance, 1, 40 * tempo_ms);
    s->push_one_in = row->push_one_in;
    s->push_bytes_max =
        (uint32_t)chance_scale(chance, plan->profile == PLAN_SLOW ? 256 : 16, 1 << 11);
    s->push_spacing_ms = chance_one_in(chance, 4) ? 0 : chance_scale(chance, 1, 2 * tempo_ms);
    s->push_burst = (uint32_t)chance_scale(chance, 1, 16);
    s->push_count_max = (uint32_t)chance_scale(chance, 1, plan->profile == PLAN_SLOW ? 300 : 60);
    s->stops_one_in = plan->profile == PLAN_SLOW ? 2 : plan->profile == PLAN_CALM ? 1000 : 8;
    s->stops_ms_max = 20 * tempo_ms;
    s->pings_one_in = 4;
}

static void draw_host(struct plan *plan, struct chance *chance)
{
    const struct profile_row *row = &profiles[plan->profile];
    struct plan_host *h = &plan->host;
    h->read_bytes_max = (uint32_t)chance_scale(chance, 256, 1 << 18);
    h->gather_bytes_max = (uint32_t)chance_scale(chance, 1, 1 << 18);
    h->piece_bytes = (uint32_t)chance_scale(chance, 16, 1 << 16);
    h->keeps_rest = chance_one_in(chance, 2);
    h->late_one_in = chance_one_in(chance, 2) ? 0 : (uint32_t)chance_between(chance, 4, 40);
    h->late_ms_max = chance_one_in(chance, 4) ? 900 : 30;
    h->stop_count =
        chance_one_in(chance, 2) ? 0 : (uint32_t)chance_below(chance, row->stops_max + 1);
    h->shutdown_ms = chance_one_in(chance, plan->profile == PLAN_ENDS ? 8 : 30)
                         ? plan->start_ms + chance_below(chance, plan->faults_ms)
                         : PIPE_NEVER;
    h->stray_one_in = 16;
}

static void draw_outages(struct plan *plan, struct chance *chance)
{
    for (unsigned i = 0; i < 2; i++) {
        struct plan_outage *outage = &plan->outages[i];
        *outage = (struct plan_outage){.from_ms = PIPE_NEVER};
        if (!percent(chance, profiles[plan->profile].outage_percent))
            continue;
        outage->from_ms = plan->start_ms;
        if (!chance_one_in(chance, 3)) /* otherwise the server is not there yet at the start */
            outage->from_ms += chance_below(chance, plan->faults_ms);
        outage->until_ms = outage->from_ms + chance_scale(chance, 1, plan->faults_ms);
        outage->how =
            (enum plan_attempt)chance_between(chance, ATTEMPT_DNS_FAILS, ATTEMPT_UPGRADE_EOF);
    }
}

void plan_draw(struct plan *plan, struct chance *chance)
{
    static const uint64_t starts[] = {1, 1000, 86400000, (uint64_t)1 << 40};
    static const char *const subprotocols[] = {"", "", "chat", NULL};
    *plan = (struct plan){
        .profile = (enum plan_profile)chance_below(chance, PLAN_PROFILE_COUNT),
        .start_ms = CHANCE_OF(chance, starts),
        .turns_max = 500,
    };
    uint64_t tempo_ms = chance_scale(chance, 100, 10000);
    plan->faults_ms = tempo_ms * chance_between(chance, 4, 120);
    plan->subprotocol = CHANCE_OF(chance, subprotocols);
    plan->attempt_fault_percent = profiles[plan->profile].attempt_fault_percent;
    draw_client(plan, chance, tempo_ms);
    draw_server(plan, chance, tempo_ms);
    draw_times(plan, chance, tempo_ms);
    draw_bounds(plan, chance);
    draw_rules(plan, chance);
    draw_paths(plan, chance);
    draw_host(plan, chance);
    draw_outages(plan, chance);
    plan->settings.close_code_shutdown = 1001;
    draw_reload(plan, chance);
    plan->calm_is_short = chance_one_in(chance, 3);
}
