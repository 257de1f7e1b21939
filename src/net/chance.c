/* Random bytes, in bulk from the kernel. */
#include "net/chance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void chance_init(struct chance *chance)
{
    chance->used = CHANCE_POOL_BYTES;
}

/* The kernel's pool is up long before a daemon starts; a call that is cut short goes on. */
static void fill_from_kernel(uint8_t *out, size_t bytes)
{
    while (bytes > 0) {
        ssize_t got = getrandom(out, bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); /* a predictable key would be worse */
        out += got;
        bytes -= (size_t)got;
    }
}

void chance_fill(struct chance *chance, void *out, size_t bytes)
{
    uint8_t *to = out;
    while (bytes > 0) {
        if (chance->used == CHANCE_POOL_BYTES) {
            fill_from_kernel(chance->pool, CHANCE_POOL_BYTES);
            chance->used = 0;
        }
        size_t piece = CHANCE_POOL_BYTES - chance->used;
        if (piece > bytes)
            piece = bytes;
        memcpy(to, chance->pool + chance->used, piece);
        memset(chance->pool + chance->used, 0, piece); /* given out once, and never again */
        chance->used += piece;
        to += piece;
        bytes -= piece;
    }
}

static void fill(void *context, void *out, size_t bytes)
{
    chance_fill(context, out, bytes);
}

struct random_source chance_source(struct chance *chance)
{
    return (struct random_source){.fill = fill, .context = chance};
}
