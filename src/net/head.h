/* The head of a handshake as it comes in: usually at once, and then nothing is copied. */
#ifndef WSKEEP_NET_HEAD_H
#define WSKEEP_NET_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/http_head.h"

/* All zero: nothing came yet. */
struct head {
    uint8_t *bytes; /* NULL while nothing is kept */
    size_t used;
    size_t scanned;
};

/*
 * More bytes came.  On HTTP_HEAD_OK *data and *data_bytes are everything since the start, the
 * head being the first *head_bytes of it: the caller's own buffer, or one that is valid until
 * head_clear().  HTTP_HEAD_NEED_MORE: they were copied, or *is_out_of_memory.
 */
enum http_head_result head_feed(struct head *head, uint8_t **data, size_t *data_bytes,
                                size_t *head_bytes, bool *is_out_of_memory);

/* The head that head_feed() found is done with, and another follows: feed what is left, *data, to
 * find it. */
void head_skip(struct head *head, uint8_t **data, size_t *data_bytes, size_t head_bytes);

void head_clear(struct head *head);

#endif
