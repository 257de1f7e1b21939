/*
 * Memory that all sessions of the daemon share: `memory_max`.
 *
 * Two things are counted.  What was accepted: outboxes (core), and what waits to be written (net).
 * And what is held and not accepted yet: messages that are not whole, and what was read behind one
 * that had no room.  Both are payload bytes and a fixed overhead for each message, not what malloc
 * makes of them.
 *
 * Nothing waits for ever:
 * - Half of it is always open to what was accepted, whatever is held; and one message alone has all
 *   of it.  What was accepted leaves by itself, or with its connection.
 * - A message that is not whole goes on arriving as long as both together leave room.  Without room
 *   it waits; but where it is messages that are not whole which fill a half, none of them might
 *   ever get on, and the one that asks for more has to go.
 *
 * With several workers each has a budget of its own, and beside it what the others had when it
 * looked at theirs: all rules are about the sum.  A no is said only after another look; a yes may
 * come of numbers to which others have added since.  Each tells its own, and looks, when it has
 * changed by BUDGET_BLIND_BYTES_MAX since it last did, and before a message as large as that.  So
 * the limit is passed by no more than that and one message for each further worker.
 */
#ifndef WSKEEP_CORE_BUDGET_H
#define WSKEEP_CORE_BUDGET_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum { BUDGET_BLIND_BYTES_MAX = 64 * 1024 };

/* What the other workers have, all together. */
struct budget_others {
    uint64_t bytes;
    uint64_t partial_bytes;
    uint64_t kept_bytes;
};

struct budget {
    uint64_t bytes;         /* accepted */
    uint64_t partial_bytes; /* held: of messages that are not whole */
    uint64_t kept_bytes;    /* held: of those that are, and what was read behind them */
    uint64_t bytes_max;
    bool refused; /* somebody was turned away: worth a second try once there is less than then */
    uint64_t refused_bytes;
    uint64_t refused_held_bytes;
    struct budget_others others;             /* when we last looked */
    uint64_t looked_bytes;                   /* our own, in all, just then */
    void (*exchange)(struct budget *budget); /* tell ours, look at theirs; NULL: we are alone */
};

/* What one connection holds, as the budget was told. */
struct budget_share {
    uint32_t partial_bytes; /* of one message at a time, and those are shorter by far */
    uint32_t kept_bytes;
};

enum budget_verdict {
    BUDGET_GO_ON, /* read on */
    BUDGET_WAIT,  /* read no more until there is room: budget_came_back() */
    BUDGET_END    /* it would be in everybody's way: end this connection */
};

static inline uint64_t budget_own_bytes(const struct budget *budget)
{
    return budget->bytes + budget->partial_bytes + budget->kept_bytes;
}

/* The numbers of the others are fresh now.  False: there are none. */
static inline bool budget_look(struct budget *budget)
{
    if (!budget->exchange)
        return false;
    budget->exchange(budget);
    budget->looked_bytes = budget_own_bytes(budget);
    return true;
}

static inline uint64_t budget_accepted_bytes(const struct budget *budget)
{
    return budget->bytes + budget->others.bytes;
}

static inline uint64_t budget_partial_bytes(const struct budget *budget)
{
    return budget->partial_bytes + budget->others.partial_bytes;
}

static inline uint64_t budget_held_bytes(const struct budget *budget)
{
    return budget_partial_bytes(budget) + budget->kept_bytes + budget->others.kept_bytes;
}

static inline bool budget_seems_used_up(const struct budget *budget)
{
    return budget_accepted_bytes(budget) + budget_held_bytes(budget) > budget->bytes_max;
}

static inline bool budget_is_used_up(struct budget *budget)
{
    return budget_seems_used_up(budget) && (!budget_look(budget) || budget_seems_used_up(budget));
}

/* Of bytes_max, what is open to accepted bytes. */
static inline uint64_t budget_open_bytes(const struct budget *budget)
{
    uint64_t half = budget->bytes_max / 2;
    uint64_t held = budget_held_bytes(budget);
    return budget->bytes_max - (held < half ? held : half);
}

static inline bool budget_seems_to_have_room(const struct budget *budget, uint64_t freed_bytes,
                                             uint64_t bytes)
{
    uint64_t left = budget_accepted_bytes(budget) - freed_bytes;
    uint64_t open = left == 0 ? budget->bytes_max : budget_open_bytes(budget);
    return left <= open && bytes <= open - left;
}

/* Would there be room for so many more, if freed_bytes of what was accepted left first? */
static inline bool budget_would_have_room(struct budget *budget, uint64_t freed_bytes,
                                          uint64_t bytes)
{
    bool is_fresh = bytes >= BUDGET_BLIND_BYTES_MAX && budget_look(budget);
    return budget_seems_to_have_room(budget, freed_bytes, bytes) ||
           (!is_fresh && budget_look(budget) &&
            budget_seems_to_have_room(budget, freed_bytes, bytes));
}

static inline bool budget_has_room(struct budget *budget, uint64_t bytes)
{
    return budget_would_have_room(budget, 0, bytes);
}

static inline bool budget_seems_over(const struct budget *budget)
{
    return budget_accepted_bytes(budget) > budget_open_bytes(budget);
}

/* More was taken than is open: what can wait should. */
static inline bool budget_is_over(struct budget *budget)
{
    return budget_seems_over(budget) && (!budget_look(budget) || budget_seems_over(budget));
}

/* Who was turned away first may need less than who is turned away now: what has left between them
 * counts for both. */
static inline void budget_refuse(struct budget *budget)
{
    uint64_t accepted = budget_accepted_bytes(budget);
    uint64_t held = budget_held_bytes(budget);
    bool is_first = !budget->refused;
    budget->refused = true;
    if (is_first || budget->refused_bytes < accepted)
        budget->refused_bytes = accepted;
    if (is_first || budget->refused_held_bytes < held)
        budget->refused_held_bytes = held;
}

/* Something has left since somebody was turned away: true once. */
static inline bool budget_came_back(struct budget *budget)
{
    if (!budget->refused || (budget_accepted_bytes(budget) >= budget->refused_bytes &&
                             budget_held_bytes(budget) >= budget->refused_held_bytes))
        return false;
    budget->refused = false;
    return true;
}

/* Our own have changed: by so much that we should look again? */
static inline void budget_changed(struct budget *budget)
{
    uint64_t own_bytes = budget_own_bytes(budget);
    uint64_t change_bytes = own_bytes > budget->looked_bytes ? own_bytes - budget->looked_bytes
                                                             : budget->looked_bytes - own_bytes;
    if (change_bytes >= BUDGET_BLIND_BYTES_MAX)
        (void)budget_look(budget);
}

static inline void budget_take(struct budget *budget, uint64_t bytes)
{
    budget->bytes += bytes;
    budget_changed(budget);
}

static inline void budget_give(struct budget *budget, uint64_t bytes)
{
    budget->bytes -= bytes;
    budget_changed(budget);
}

/* A connection holds so much now. */
static inline void budget_hold(struct budget *budget, struct budget_share *share,
                               uint64_t partial_bytes, uint64_t kept_bytes)
{
    budget->partial_bytes += partial_bytes - share->partial_bytes;
    budget->kept_bytes += kept_bytes - share->kept_bytes;
    assert(partial_bytes <= UINT32_MAX && kept_bytes <= UINT32_MAX);
    share->partial_bytes = (uint32_t)partial_bytes;
    share->kept_bytes = (uint32_t)kept_bytes;
    budget_changed(budget);
}

/* May this connection go on reading a message that is not whole? */
static inline enum budget_verdict budget_judge(struct budget *budget,
                                               const struct budget_share *share)
{
    if (share->partial_bytes == 0 || !budget_is_used_up(budget) ||
        budget_accepted_bytes(budget) + budget_held_bytes(budget) == share->partial_bytes)
        return BUDGET_GO_ON; /* or alone: its own limit is max_message */
    if (budget_partial_bytes(budget) > budget->bytes_max / 2 &&
        budget_partial_bytes(budget) > share->partial_bytes)
        return BUDGET_END;
    budget_refuse(budget);
    return BUDGET_WAIT;
}

#endif
