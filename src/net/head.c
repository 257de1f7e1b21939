/* Collecting a handshake's head. */
#include "net/head.h"

#include <stdlib.h>
#include <string.h>

enum http_head_result head_feed(struct head *head, uint8_t **data, size_t *data_bytes,
                                size_t *head_bytes, bool *is_out_of_memory)
{
    *is_out_of_memory = false;
    if (!head->bytes) {
        enum http_head_result result =
            http_head_find_end(*data, *data_bytes, &head->scanned, head_bytes);
        if (result != HTTP_HEAD_NEED_MORE || *data_bytes == 0)
            return result;
    }
    /* What is kept has no end yet, so it is shorter than HTTP_HEAD_BYTES_MAX. */
    uint8_t *bytes = realloc(head->bytes, head->used + *data_bytes);
    if (!bytes) {
        *is_out_of_memory = true;
        return HTTP_HEAD_NEED_MORE;
    }
    memcpy(bytes + head->used, *data, *data_bytes);
    head->bytes = bytes;
    head->used += *data_bytes;
    *data = bytes;
    *data_bytes = head->used;
    return http_head_find_end(bytes, head->used, &head->scanned, head_bytes);
}

void head_skip(struct head *head, uint8_t **data, size_t *data_bytes, size_t head_bytes)
{
    head->scanned = 0;
    *data += head_bytes;
    *data_bytes -= head_bytes;
    if (!head->bytes)
        return;
    head->used -= head_bytes; /* they are kept: to the front, and none is fed again */
    memmove(head->bytes, *data, head->used);
    *data_bytes = 0;
    if (head->used == 0)
        head_clear(head);
}

void head_clear(struct head *head)
{
    free(head->bytes);
    *head = (struct head){0};
}
