/*
 * What the fuzz targets share: an expectation, exact copies, and chance that the input decides.
 *
 * A target is one function, LLVMFuzzerTestOneInput().  libFuzzer calls it where it is built in
 * (./configure --enable-fuzzing); elsewhere replay.c does, with files.  It must be a function of
 * its input alone: no clock, no file, no memory of earlier inputs.
 */
#ifndef WSKEEP_FUZZ_FUZZ_H
#define WSKEEP_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes);

/* A property of the code under test.  Unlike assert() it is there in every build. */
#define expect(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: broken: %s\n", __FILE__, __LINE__, __func__, #condition);  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void *fuzz_allocate(size_t bytes)
{
    void *memory = calloc(bytes > 0 ? bytes : 1, 1);
    expect(memory != NULL);
    return memory;
}

/* On the heap and of exactly this size, so that a sanitizer sees each byte read behind it. */
static inline uint8_t *fuzz_copy(const void *data, size_t bytes)
{
    uint8_t *copy = fuzz_allocate(bytes);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

/* The same as a C string: what is behind a NUL is not part of it. */
static inline char *fuzz_text(const void *data, size_t bytes)
{
    const char *end = bytes > 0 ? memchr(data, '\0', bytes) : NULL;
    size_t text_bytes = end ? (size_t)(end - (const char *)data) : bytes;
    char *text = fuzz_allocate(text_bytes + 1);
    if (text_bytes > 0)
        memcpy(text, data, text_bytes);
    text[text_bytes] = '\0';
    return text;
}

/* ---- the input, taken apart from its front ------------------------------------------------- */

struct fuzz_input {
    const uint8_t *at;
    size_t bytes;
};

/* 0 when nothing is left. */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->bytes == 0)
        return 0;
    input->bytes--;
    return *input->at++;
}

static inline uint16_t fuzz_number(struct fuzz_input *input)
{
    unsigned high = fuzz_byte(input);
    return (uint16_t)(high << 8 | fuzz_byte(input));
}

/* The next line, without its LF; what is left when there is none. */
static inline struct fuzz_input fuzz_line(struct fuzz_input *input)
{
    const uint8_t *end = input->bytes > 0 ? memchr(input->at, '\n', input->bytes) : NULL;
    struct fuzz_input line = {.at = input->at,
                              .bytes = end ? (size_t)(end - input->at) : input->bytes};
    size_t taken = line.bytes + (end != NULL);
    input->at += taken;
    input->bytes -= taken;
    return line;
}

/* ---- splits -------------------------------------------------------------------------------- */

/* Chance for the splits of an input, from its bytes: the same input is always split alike. */
struct fuzz_chance {
    uint64_t state;
};

static inline struct fuzz_chance fuzz_chance(const uint8_t *data, size_t data_bytes, uint64_t round)
{
    uint64_t sum = 14695981039346656037u + round;
    for (size_t i = 0; i < data_bytes; i++)
        sum = (sum ^ data[i]) * 1099511628211u;
    return (struct fuzz_chance){.state = sum};
}

static inline uint64_t fuzz_chance_below(struct fuzz_chance *chance, uint64_t bound)
{
    chance->state = chance->state * 6364136223846793005u + 1442695040888963407u;
    return (chance->state >> 33) % bound;
}

/* Of the bytes that are left, so many come next: often few, and at least one when there is one. */
static inline size_t fuzz_piece(struct fuzz_chance *chance, size_t left)
{
    size_t most = (size_t)1 << fuzz_chance_below(chance, 14);
    if (left == 0)
        return 0;
    return 1 + (size_t)fuzz_chance_below(chance, most < left ? most : left);
}

#endif
