/* cppcheck arrayIndexOutOfBounds: one more than there are. */
#include <stdint.h>

uint32_t planted_sum(const uint8_t *bytes);

uint32_t planted_sum(const uint8_t *bytes)
{
    uint32_t words[4];
    for (int i = 0; i <= 4; i++)
        words[i] = bytes[i];
    return words[0] + words[3];
}
