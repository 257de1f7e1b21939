/*
 * Memory that all sessions of the daemon share: `memory_max`.
 *
 * Outboxes (core) and inboxes (net) take from it and give back.  It counts payload bytes and
 * a fixed overhead for each message, not what malloc makes of them.
 */
#ifndef WSKEEP_CORE_BUDGET_H
#define WSKEEP_CORE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct budget {
    uint64_t bytes;
    uint64_t bytes_max;
    bool refused;           /* somebody was turned away: worth a second try once bytes are */
    uint64_t refused_bytes; /* fewer than they were then */
};

static inline bool budget_has_room(const struct budget *budget, uint64_t bytes)
{
    return budget->bytes <= budget->bytes_max && bytes <= budget->bytes_max - budget->bytes;
}

static inline void budget_refuse(struct budget *budget)
{
    budget->refused = true;
    budget->refused_bytes = budget->bytes;
}

static inline void budget_take(struct budget *budget, uint64_t bytes)
{
    budget->bytes += bytes;
}

static inline void budget_give(struct budget *budget, uint64_t bytes)
{
    budget->bytes -= bytes;
}

#endif
