/*
 * Every message of the demo has a number.  This is what became of them, as one receiver saw it.
 */
#ifndef WSKEEP_WSKEEPCTL_DEMO_TALLY_H
#define WSKEEP_WSKEEPCTL_DEMO_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEMO_TALLY_TEXT_BYTES_MAX = 32 };

struct demo_tally {
    uint8_t *arrived; /* of each number: whether it came */
    uint64_t count_max;
    uint64_t next;          /* one more than the highest number that came */
    uint64_t arrived_count; /* different numbers */
    uint64_t repeated;      /* came again: at least once is the promise */
    uint64_t out_of_order;  /* after a later one: on its connection, or for the first time at all */
    uint64_t strange;       /* not a message of ours */
    uint64_t before;        /* the number before, on this connection */
    bool has_before;
};

/* count_max: numbers are below it.  False when memory ran out. */
bool demo_tally_init(struct demo_tally *tally, uint64_t count_max);
void demo_tally_clear(struct demo_tally *tally);

/* The text of message number.  out has room for DEMO_TALLY_TEXT_BYTES_MAX; returns its bytes. */
size_t demo_tally_text(uint64_t number, char *out);

/* A new connection: what was not acknowledged comes again on it. */
void demo_tally_connected(struct demo_tally *tally);

void demo_tally_message(struct demo_tally *tally, const uint8_t *payload, size_t payload_bytes);

/* Numbers that a later one has overtaken. */
uint64_t demo_tally_missing(const struct demo_tally *tally);

#endif
