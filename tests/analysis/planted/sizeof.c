/* clang-tidy clang-analyzer-unix.MallocSizeof: room for a pointer where a structure goes. */
#include <stdint.h>
#include <stdlib.h>

struct planted_entry {
    uint64_t sequence;
    uint64_t bytes;
};

struct planted_entry *planted_entries(size_t count);

struct planted_entry *planted_entries(size_t count)
{
    struct planted_entry *entries = calloc(count, sizeof(entries));
    return entries;
}
