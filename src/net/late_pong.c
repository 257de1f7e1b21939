/* A Pong that waits. */
#include "net/late_pong.h"

#include <stdlib.h>
#include <string.h>

void late_pong_keep(struct late_pong **pong, const uint8_t *payload, size_t payload_bytes)
{
    if (!*pong)
        *pong = malloc(sizeof(**pong));
    if (!*pong)
        return;
    (*pong)->payload_bytes = (uint8_t)payload_bytes;
    if (payload_bytes > 0)
        memcpy((*pong)->payload, payload, payload_bytes);
}

void late_pong_drop(struct late_pong **pong)
{
    free(*pong);
    *pong = NULL;
}
