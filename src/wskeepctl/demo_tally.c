/* What became of numbered messages. */
#include "wskeepctl/demo_tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "message ";

bool demo_tally_init(struct demo_tally *tally, uint64_t count_max)
{
    *tally = (struct demo_tally){.count_max = count_max};
    tally->arrived = calloc(count_max, 1);
    return tally->arrived != NULL;
}

void demo_tally_clear(struct demo_tally *tally)
{
    free(tally->arrived);
    tally->arrived = NULL;
}

size_t demo_tally_text(uint64_t number, char *out)
{
    int bytes = snprintf(out, DEMO_TALLY_TEXT_BYTES_MAX, "%s%" PRIu64, prefix, number);
    return (size_t)bytes;
}

void demo_tally_connected(struct demo_tally *tally)
{
    tally->has_before = false;
}

/* True when payload is, to the byte, the text of a number that was sent. */
static bool parse(const struct demo_tally *tally, const uint8_t *payload, size_t payload_bytes,
                  uint64_t *number)
{
    char text[DEMO_TALLY_TEXT_BYTES_MAX];
    char again[DEMO_TALLY_TEXT_BYTES_MAX];
    if (payload_bytes < sizeof(prefix) || payload_bytes >= sizeof(text))
        return false;
    memcpy(text, payload, payload_bytes);
    /* cppcheck-suppress arrayIndexOutOfBoundsCond ; the condition above is what keeps it inside */
    text[payload_bytes] = '\0';
    *number = strtoull(text + sizeof(prefix) - 1, NULL, 10);
    return *number < tally->count_max && demo_tally_text(*number, again) == payload_bytes &&
           memcmp(again, text, payload_bytes) == 0;
}

void demo_tally_message(struct demo_tally *tally, const uint8_t *payload, size_t payload_bytes)
{
    uint64_t number;
    if (!parse(tally, payload, payload_bytes, &number)) {
        tally->strange++;
        return;
    }
    bool goes_back = tally->has_before && number <= tally->before;
    if (goes_back || (!tally->arrived[number] && number < tally->next))
        tally->out_of_order++;
    tally->has_before = true;
    tally->before = number;
    if (tally->arrived[number]) {
        tally->repeated++;
        return;
    }
    tally->arrived[number] = 1;
    tally->arrived_count++;
    if (number >= tally->next)
        tally->next = number + 1;
}

uint64_t demo_tally_missing(const struct demo_tally *tally)
{
    return tally->next - tally->arrived_count;
}
