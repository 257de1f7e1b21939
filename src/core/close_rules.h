/*
 * What an end means: connect again, connect again slowly, or end the session.
 *
 * The rules of the configuration come first, in order; then the defaults of RFC 6455 7.4 and of
 * long experience (the table in wskeep.yaml(5)).
 */
#ifndef WSKEEP_CORE_CLOSE_RULES_H
#define WSKEEP_CORE_CLOSE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cause.h"
#include "proto/close.h"

/* How a connection (or an attempt at one) ended. */
struct session_end {
    enum cause cause;
    bool was_open;            /* it had reached SESSION_OPEN */
    uint16_t http_status;     /* CAUSE_HTTP_STATUS */
    struct close_frame close; /* CAUSE_CLOSED: as it arrived */
};

enum close_then { CLOSE_THEN_RECONNECT, CLOSE_THEN_RECONNECT_SLOW, CLOSE_THEN_END };

enum close_rule_kind {
    CLOSE_RULE_CODE,  /* first..last against the code; 1006 for every end without Close after
                         the opening */
    CLOSE_RULE_HTTP,  /* first..last against the status of a refused upgrade */
    CLOSE_RULE_CAUSE, /* cause */
    CLOSE_RULE_CLIENT /* side: client; `end` only, which is also what happens without a rule */
};

struct close_rule {
    enum close_rule_kind kind;
    uint16_t first; /* of a range of codes or statuses, both ends included */
    uint16_t last;
    enum cause cause;
    char *reason; /* glob on the reason: * and ? ; NULL matches every reason.  Owned by the
                     configuration. */
    enum close_then then;
};

/*
 * Decide.  The first rule that matches, else the default.  Pure.
 *
 * rule_index   out, may be NULL: index of the rule that matched, or -1 for the defaults
 */
enum close_then close_rules_decide(const struct close_rule *rules, size_t rule_count,
                                   const struct session_end *end, int *rule_index);

/* * any run of bytes, ? one byte, everything else itself.  Linear in pattern times text. */
bool close_rules_glob(const char *pattern, const char *text, size_t text_bytes);

/* The code that stands for an end: its own, 1005, or 1006 where nothing with a code came.
 * 0 for an end before the opening. */
uint16_t close_rules_code(const struct session_end *end);

const char *close_then_name(enum close_then then); /* "reconnect", "reconnect-slow", "end" */

#endif
