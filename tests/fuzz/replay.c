/*
 * The main of a fuzz target where libFuzzer is not built in: each file that is named is one input.
 *
 *   tests/fuzz/frame_fuzz FILE...
 */
#include "fuzz.h"

static bool replay(const char *name)
{
    enum { STEP = 65536 };
    FILE *file = fopen(name, "rb");
    uint8_t *data = NULL;
    size_t bytes = 0;
    size_t got;
    if (!file) {
        perror(name);
        return false;
    }
    do {
        data = realloc(data, bytes + STEP);
        expect(data != NULL);
        got = fread(data + bytes, 1, STEP, file);
        bytes += got;
    } while (got > 0);
    fclose(file);
    uint8_t *exact = fuzz_copy(data, bytes);
    free(data);
    LLVMFuzzerTestOneInput(exact, bytes);
    free(exact);
    return true;
}

int main(int count, char **names)
{
    bool is_ok = true;
    for (int i = 1; i < count; i++)
        is_ok = replay(names[i]) && is_ok;
    return is_ok ? 0 : 1;
}
