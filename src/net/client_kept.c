/* What a client has sent and what was not taken yet. */
#include "net/client_kept.h"

#include <stdlib.h>
#include <string.h>

void client_kept_drop(struct client_kept **place)
{
    if (*place)
        free((*place)->bytes);
    free(*place);
    *place = NULL;
}

/* NULL when there is no memory. */
static struct client_kept *kept_new(size_t bytes)
{
    struct client_kept *kept = calloc(1, sizeof(*kept));
    if (kept)
        kept->bytes = malloc(bytes + 1);
    if (kept && !kept->bytes) {
        free(kept);
        return NULL;
    }
    return kept;
}

bool client_kept_refused(struct client_kept **place, const struct message_reader *reader,
                         const struct message *message, const uint8_t *rest, size_t rest_bytes)
{
    struct client_kept *kept = *place;
    bool is_readers = message_reader_holds(reader, message);
    size_t copied_bytes = is_readers ? 0 : message->payload_bytes;
    const uint8_t *payload = message->payload;
    if (kept) { /* it was read from there */
        kept->begin = (size_t)(rest - kept->bytes);
    } else {
        kept = kept_new(copied_bytes + rest_bytes);
        if (!kept)
            return false;
        if (copied_bytes > 0) {
            memcpy(kept->bytes, message->payload, copied_bytes);
            payload = kept->bytes;
        }
        if (rest_bytes > 0)
            memcpy(kept->bytes + copied_bytes, rest, rest_bytes);
        kept->begin = copied_bytes;
        kept->end = copied_bytes + rest_bytes;
        *place = kept;
    }
    kept->payload = payload;
    kept->has_message = true;
    kept->opcode = message->opcode;
    kept->payload_bytes = message->payload_bytes;
    return true;
}

bool client_kept_append(struct client_kept **place, const uint8_t *data, size_t bytes)
{
    if (!*place)
        *place = kept_new(bytes);
    struct client_kept *kept = *place;
    if (!kept)
        return false;
    bool is_inside = kept->has_message && kept->payload >= kept->bytes &&
                     kept->payload < kept->bytes + kept->end;
    size_t payload_at = is_inside ? (size_t)(kept->payload - kept->bytes) : 0;
    uint8_t *all = realloc(kept->bytes, kept->end + bytes + 1);
    if (!all)
        return false;
    memcpy(all + kept->end, data, bytes);
    kept->bytes = all;
    kept->end += bytes;
    if (is_inside)
        kept->payload = all + payload_at;
    return true;
}

uint32_t client_kept_count(struct client_kept *kept, struct message_reader *reader, uint64_t *bytes)
{
    struct message message;
    size_t consumed;
    uint32_t count = 0;
    *bytes = 0;
    while (kept && kept->begin < kept->end) {
        enum message_event event = message_read(reader, kept->bytes + kept->begin,
                                                kept->end - kept->begin, &consumed, &message);
        kept->begin += consumed;
        if (event != MESSAGE_DATA)
            continue;
        count++;
        *bytes += message.payload_bytes;
    }
    return count;
}
