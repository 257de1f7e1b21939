/*
 * RFC 1951 read slowly and simply, with everything that came before in one buffer: what a message
 * of permessage-deflate stands for (RFC 7692 7.2.2).
 */
#ifndef WSKEEP_FUZZ_REFERENCE_INFLATE_H
#define WSKEEP_FUZZ_REFERENCE_INFLATE_H

#include "fuzz.h"

enum inflated {
    INFLATED_MORE,  /* all was read; a block may have begun */
    INFLATED_WRONG, /* it is not DEFLATE */
    INFLATED_FULL   /* out is full, and there is more */
};

struct inflater {
    const uint8_t *data; /* of the message */
    size_t bytes;
    size_t bit;   /* read so far */
    uint8_t *out; /* with what came before the message */
    size_t written;
    size_t written_max;
    size_t window_bytes;
    bool is_between;    /* blocks */
    bool was_final;     /* the block before this place */
    bool leaves_window; /* something refers to what is out of it */
};

struct inflater_code {
    uint16_t counts[16];
    uint16_t symbols[320]; /* by length, then by number */
    unsigned longest;
};

/* False: the bits are not there. */
static inline bool inflater_bits(struct inflater *inflater, unsigned count, unsigned *value)
{
    *value = 0;
    if (inflater->bit + count > inflater->bytes * 8)
        return false;
    for (unsigned i = 0; i < count; i++, inflater->bit++)
        *value |= (inflater->data[inflater->bit / 8] >> (inflater->bit % 8) & 1u) << i;
    return true;
}

/* 3.2.2.  False: there are more codes than bits for them, or fewer: then only a single code of one
 * bit may be, and not where it is the code of the others. */
static inline bool inflater_code(struct inflater_code *code, const uint8_t *lengths, unsigned count,
                                 bool may_be_short)
{
    unsigned next = 0;
    int left = 1;
    memset(code, 0, sizeof(*code));
    for (unsigned length = 1; length < 16; length++) {
        left *= 2;
        for (unsigned i = 0; i < count; i++) {
            if (lengths[i] != length)
                continue;
            code->symbols[next++] = (uint16_t)i;
            code->counts[length]++;
            code->longest = length;
        }
        left -= code->counts[length];
        if (left < 0)
            return false;
    }
    return left == 0 || code->longest == 0 || (may_be_short && code->longest == 1);
}

/* The next symbol; -1: the bits are not there; -2: no symbol has them. */
static inline int inflater_symbol(struct inflater *inflater, const struct inflater_code *code)
{
    unsigned first = 0;
    unsigned at = 0;
    unsigned value = 0;
    unsigned bit;
    for (unsigned length = 1; length < 16; length++) {
        unsigned count = code->counts[length];
        if (!inflater_bits(inflater, 1, &bit))
            return -1;
        value = value * 2 + bit;
        if (value < first + count)
            return code->symbols[at + value - first];
        at += count;
        first = (first + count) * 2;
        if (length >= code->longest)
            return -2;
    }
    return -2;
}

static inline enum inflated inflater_put(struct inflater *inflater, uint8_t byte, bool *goes_on)
{
    *goes_on = inflater->written < inflater->written_max;
    if (!*goes_on)
        return INFLATED_FULL;
    inflater->out[inflater->written++] = byte;
    return INFLATED_MORE;
}

/* 3.2.5: a length's or distance's symbol -> its value. */
static inline bool inflater_extra(struct inflater *inflater, unsigned symbol, bool is_length,
                                  unsigned *value)
{
    unsigned group = is_length ? 4 : 2;
    unsigned extra = symbol < 2 * group ? 0 : symbol / group - 1;
    unsigned more;
    if (is_length && symbol == 28) {
        *value = 258;
        return true;
    }
    *value = symbol < 2 * group ? symbol : (group + symbol % group) << extra;
    *value += is_length ? 3 : 1;
    if (!inflater_bits(inflater, extra, &more))
        return false;
    *value += more;
    return true;
}

/* False: result says why there is no more. */
static inline bool inflater_match(struct inflater *inflater, unsigned symbol,
                                  const struct inflater_code *distances, enum inflated *result)
{
    unsigned length, distance;
    *result = INFLATED_MORE;
    if (!inflater_extra(inflater, symbol - 257, true, &length))
        return false;
    int which = inflater_symbol(inflater, distances);
    if (which == -1)
        return false;
    *result = INFLATED_WRONG;
    if (which == -2 || which > 29)
        return false;
    *result = INFLATED_MORE;
    if (!inflater_extra(inflater, (unsigned)which, false, &distance))
        return false;
    if (distance > inflater->window_bytes)
        inflater->leaves_window = true;
    if (distance > inflater->written) {
        *result = INFLATED_WRONG;
        return false;
    }
    size_t room = inflater->written_max - inflater->written;
    uint8_t *to = inflater->out + inflater->written;
    unsigned count = length < room ? length : (unsigned)room;
    for (unsigned i = 0; i < count; i++)
        to[i] = to[(ptrdiff_t)i - (ptrdiff_t)distance];
    inflater->written += count;
    *result = count < length ? INFLATED_FULL : INFLATED_MORE;
    return count == length;
}

static inline bool inflater_coded(struct inflater *inflater, const struct inflater_code *lengths,
                                  const struct inflater_code *distances, enum inflated *result)
{
    for (bool goes_on = true; goes_on;) {
        int symbol = inflater_symbol(inflater, lengths);
        if (symbol == 256)
            return true;
        *result = symbol == -1 ? INFLATED_MORE : INFLATED_WRONG;
        if (symbol < 0 || symbol > 285)
            return false;
        if (symbol < 256)
            *result = inflater_put(inflater, (uint8_t)symbol, &goes_on);
        else
            goes_on = inflater_match(inflater, (unsigned)symbol, distances, result);
    }
    return false;
}

/* 3.2.7: the lengths of the codes, coded. */
static inline bool inflater_lengths(struct inflater *inflater, const struct inflater_code *code,
                                    uint8_t *lengths, unsigned count, enum inflated *result)
{
    unsigned extra;
    for (unsigned at = 0; at < count;) {
        int symbol = inflater_symbol(inflater, code);
        if (symbol == -2 && code->longest == 0)
            symbol = 0; /* zlib finds out at the end that there was no code at all */
        *result = symbol == -1 ? INFLATED_MORE : INFLATED_WRONG;
        if (symbol < 0 || (symbol == 16 && at == 0))
            return false;
        if (symbol < 16) {
            lengths[at++] = (uint8_t)symbol;
            continue;
        }
        *result = INFLATED_MORE;
        if (!inflater_bits(inflater, symbol == 16 ? 2 : symbol == 17 ? 3 : 7, &extra))
            return false;
        unsigned repeat = extra + (symbol == 18 ? 11 : 3);
        uint8_t length = symbol == 16 ? lengths[at - 1] : 0;
        *result = INFLATED_WRONG;
        if (at + repeat > count)
            return false;
        while (repeat-- > 0)
            lengths[at++] = length;
    }
    return true;
}

static inline bool inflater_dynamic(struct inflater *inflater, enum inflated *result)
{
    static const uint8_t order[] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                    11, 4,  12, 3, 13, 2, 14, 1, 15};
    struct inflater_code code, distances;
    uint8_t lengths[320] = {0};
    unsigned length_count, distance_count, count, bits;
    *result = INFLATED_MORE;
    if (!inflater_bits(inflater, 5, &length_count) ||
        !inflater_bits(inflater, 5, &distance_count) || !inflater_bits(inflater, 4, &count))
        return false;
    length_count += 257;
    distance_count += 1;
    *result = INFLATED_WRONG;
    if (length_count > 286 || distance_count > 30)
        return false;
    *result = INFLATED_MORE;
    for (unsigned i = 0; i < count + 4; i++) {
        if (!inflater_bits(inflater, 3, &bits))
            return false;
        lengths[order[i]] = (uint8_t)bits;
    }
    bool is_right = inflater_code(&code, lengths, 19, false);
    memset(lengths, 0, sizeof(lengths));
    *result = INFLATED_WRONG;
    if (!is_right ||
        !inflater_lengths(inflater, &code, lengths, length_count + distance_count, result))
        return false;
    *result = INFLATED_WRONG;
    if (lengths[256] == 0 || !inflater_code(&code, lengths, length_count, true) ||
        !inflater_code(&distances, lengths + length_count, distance_count, true))
        return false;
    return inflater_coded(inflater, &code, &distances, result);
}

static inline bool inflater_fixed(struct inflater *inflater, enum inflated *result)
{
    struct inflater_code lengths, distances;
    uint8_t bits[288];
    for (unsigned i = 0; i < 288; i++)
        bits[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    expect(inflater_code(&lengths, bits, 288, false));
    memset(bits, 5, 32);
    expect(inflater_code(&distances, bits, 32, false));
    return inflater_coded(inflater, &lengths, &distances, result);
}

static inline bool inflater_stored(struct inflater *inflater, enum inflated *result)
{
    unsigned bytes, inverse;
    inflater->bit = (inflater->bit + 7) / 8 * 8;
    *result = INFLATED_MORE;
    if (!inflater_bits(inflater, 16, &bytes) || !inflater_bits(inflater, 16, &inverse))
        return false;
    *result = INFLATED_WRONG;
    if ((bytes ^ inverse) != 0xffff)
        return false;
    for (bool goes_on = true; bytes > 0; bytes--) {
        unsigned byte;
        *result = INFLATED_MORE;
        if (inflater->written == inflater->written_max && inflater->bit < inflater->bytes * 8)
            *result = INFLATED_FULL;
        if (*result != INFLATED_MORE || !inflater_bits(inflater, 8, &byte))
            return false;
        *result = inflater_put(inflater, (uint8_t)byte, &goes_on);
    }
    return true;
}

/* All blocks of data, or as far as it goes. */
static inline enum inflated inflater_read(struct inflater *inflater)
{
    enum inflated result = INFLATED_MORE;
    unsigned kind;
    inflater->is_between = true;
    inflater->was_final = false;
    inflater->leaves_window = false;
    inflater->bit = 0;
    while (inflater->bit < inflater->bytes * 8) {
        inflater->is_between = false;
        if (!inflater_bits(inflater, 3, &kind))
            return INFLATED_MORE;
        bool is_whole = false;
        result = INFLATED_WRONG;
        if (kind / 2 == 0)
            is_whole = inflater_stored(inflater, &result);
        else if (kind / 2 == 1)
            is_whole = inflater_fixed(inflater, &result);
        else if (kind / 2 == 2)
            is_whole = inflater_dynamic(inflater, &result);
        if (!is_whole)
            return result;
        inflater->was_final = kind & 1;
        if (inflater->was_final)
            inflater->bit = (inflater->bit + 7) / 8 * 8;
        inflater->is_between = inflater->bit == inflater->bytes * 8;
    }
    return INFLATED_MORE;
}

/* A whole message: what its sender left out is put behind it. */
static inline enum inflated inflater_read_all(struct inflater *inflater, bool *is_whole)
{
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    const uint8_t *data = inflater->data;
    size_t written = inflater->written;
    enum inflated result = inflater_read(inflater);
    *is_whole = result == INFLATED_MORE && inflater->is_between && inflater->was_final;
    if (result != INFLATED_MORE || *is_whole)
        return result;
    uint8_t *all = fuzz_allocate(inflater->bytes + sizeof(tail));
    if (inflater->bytes > 0)
        memcpy(all, data, inflater->bytes);
    memcpy(all + inflater->bytes, tail, sizeof(tail));
    inflater->data = all;
    inflater->bytes += sizeof(tail);
    inflater->written = written;
    result = inflater_read(inflater);
    *is_whole = result == INFLATED_MORE && inflater->is_between && !inflater->was_final;
    inflater->data = data;
    inflater->bytes -= sizeof(tail);
    free(all);
    return result;
}

#endif
