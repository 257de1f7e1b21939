/*
 * permessage-deflate's two streams.  Input: a byte of terms, then messages: as they come from a
 * peer, each behind its length; or how to make those that are sent and read again.
 */
#include "proto/deflate.h"
#include "reference_inflate.h"

enum {
    MESSAGE_COUNT_MAX = 8,
    READ_BYTES_MAX = 16384,    /* of one message, inflated */
    WRITTEN_BYTES_MAX = 150000 /* of one that is sent */
};

enum split { SPLIT_NONE, SPLIT_BYTES, SPLIT_RANDOM };
enum outcome { OUTCOME_WHOLE, OUTCOME_WRONG, OUTCOME_FULL };

struct terms {
    unsigned window_bits;
    bool keeps_context;
};

/* ---- reading ------------------------------------------------------------------------------- */

/* What came before the message that is read now is in front of it. */
static uint8_t expected[MESSAGE_COUNT_MAX * (size_t)WRITTEN_BYTES_MAX];

struct message {
    const uint8_t *data;
    size_t bytes;
    enum outcome outcome; /* by the plain reading, */
    bool leaves_window;   /* or else an error, when it is seen */
    const uint8_t *inflated;
    size_t inflated_bytes;
};

static size_t room_of(enum split split, struct fuzz_chance *chance)
{
    return split == SPLIT_NONE    ? READ_BYTES_MAX + 1
           : split == SPLIT_BYTES ? 1
                                  : fuzz_piece(chance, 8192);
}

/* One call.  What it writes is what comes next. */
static enum deflate_result step(struct deflate_reader *reader, const struct message *message,
                                const uint8_t **data, size_t *bytes, size_t room, size_t *done)
{
    size_t written = SIZE_MAX;
    uint8_t *out = fuzz_allocate(room);
    enum deflate_result result = data ? deflate_read(reader, data, bytes, out, room, &written)
                                      : deflate_read_end(reader, out, room, &written);
    expect(written <= room && (result != DEFLATE_MORE || written == room));
    expect(result == DEFLATE_OK || result == DEFLATE_MORE || result == DEFLATE_ERR_DATA);
    size_t known = message->inflated_bytes - *done;
    expect(written <= known || message->outcome == OUTCOME_FULL);
    known = written < known ? written : known;
    expect(known == 0 || memcmp(out, message->inflated + *done, known) == 0);
    *done += written;
    free(out);
    return result;
}

static enum outcome read_message(struct deflate_reader *reader, const struct message *message,
                                 enum split split, struct fuzz_chance *chance)
{
    enum deflate_result result = DEFLATE_OK;
    size_t done = 0;
    for (size_t at = 0; at < message->bytes && result != DEFLATE_ERR_DATA;) {
        size_t left = message->bytes - at;
        size_t bytes = split == SPLIT_NONE    ? left
                       : split == SPLIT_BYTES ? 1
                                              : fuzz_piece(chance, left);
        uint8_t *piece = fuzz_copy(message->data + at, bytes);
        const uint8_t *rest = piece;
        at += bytes;
        do {
            size_t before = bytes;
            result = step(reader, message, &rest, &bytes, room_of(split, chance), &done);
            expect(bytes <= before);
        } while (result == DEFLATE_MORE && done <= message->inflated_bytes);
        expect(result != DEFLATE_OK || bytes == 0);
        free(piece);
        if (done > message->inflated_bytes)
            return OUTCOME_FULL;
    }
    do
        if (result != DEFLATE_ERR_DATA)
            result = step(reader, message, NULL, NULL, room_of(split, chance), &done);
    while (result == DEFLATE_MORE && done <= message->inflated_bytes);
    if (done > message->inflated_bytes)
        return OUTCOME_FULL;
    expect(result == DEFLATE_ERR_DATA || done == message->inflated_bytes);
    return result == DEFLATE_OK ? OUTCOME_WHOLE : OUTCOME_WRONG;
}

static void read_messages(const struct message *messages, size_t count, const struct terms *terms,
                          enum split split, uint64_t round)
{
    struct deflate_reader reader;
    struct fuzz_chance chance = fuzz_chance(messages[0].data, messages[0].bytes, round);
    enum outcome outcome = OUTCOME_WHOLE;
    deflate_reader_init(&reader, terms->window_bits, terms->keeps_context);
    for (size_t i = 0; i < count && outcome == OUTCOME_WHOLE; i++) {
        if (fuzz_chance_below(&chance, 2))
            deflate_reader_rest(&reader);
        outcome = read_message(&reader, &messages[i], split, &chance);
        /* zlib sees what leaves the window only where what it refers to has left this call. */
        bool may_be_wrong = messages[i].leaves_window;
        expect(outcome == messages[i].outcome || (may_be_wrong && outcome == OUTCOME_WRONG));
        expect(!may_be_wrong || split != SPLIT_BYTES || outcome == OUTCOME_WRONG);
    }
    deflate_reader_clear(&reader);
    deflate_reader_clear(&reader);
}

/* The plain reading.  Returns how many messages are to be read: the last one may be wrong. */
static size_t expect_messages(struct message *messages, size_t count, const struct terms *terms,
                              size_t bytes_max)
{
    size_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        size_t kept = terms->keeps_context ? begin : 0;
        struct inflater inflater = {.data = messages[i].data,
                                    .bytes = messages[i].bytes,
                                    .out = expected + begin - kept,
                                    .written = kept,
                                    .written_max = kept + bytes_max,
                                    .window_bytes = (size_t)1 << terms->window_bits};
        bool is_whole;
        enum inflated result = inflater_read_all(&inflater, &is_whole);
        messages[i].outcome = is_whole                  ? OUTCOME_WHOLE
                              : result == INFLATED_FULL ? OUTCOME_FULL
                                                        : OUTCOME_WRONG;
        messages[i].leaves_window = inflater.leaves_window;
        messages[i].inflated = expected + begin;
        messages[i].inflated_bytes = inflater.written - kept;
        begin += messages[i].inflated_bytes;
        if (!is_whole)
            return i + 1;
    }
    return count;
}

static void check_read(struct fuzz_input *input, const struct terms *terms)
{
    struct message messages[MESSAGE_COUNT_MAX];
    size_t count = 0;
    size_t inflated_bytes = 0;
    do {
        size_t bytes = fuzz_number(input);
        bytes = bytes < input->bytes ? bytes : input->bytes;
        messages[count++] = (struct message){.data = input->at, .bytes = bytes};
        input->at += bytes;
        input->bytes -= bytes;
    } while (count < MESSAGE_COUNT_MAX && input->bytes > 0);
    count = expect_messages(messages, count, terms, READ_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        inflated_bytes += messages[i].inflated_bytes;
    read_messages(messages, count, terms, SPLIT_NONE, 0);
    read_messages(messages, count, terms, SPLIT_RANDOM, 1);
    read_messages(messages, count, terms, SPLIT_RANDOM, 2);
    if (inflated_bytes <= 1024)
        read_messages(messages, count, terms, SPLIT_BYTES, 0);
}

/* ---- writing, and back --------------------------------------------------------------------- */

/* Bytes as they are, bytes from before, and noise; the larger counts are rare. */
static size_t make_payload(struct fuzz_input *input, uint8_t *payload)
{
    enum { KIND_END = 255, KIND_NOISE = 192, KIND_MANY = 240, KIND_BEFORE = 64 };
    size_t bytes = 0;
    uint8_t kind;
    while (input->bytes > 0 && (kind = fuzz_byte(input)) != KIND_END) {
        size_t count = kind + 1u;
        size_t distance = 0;
        struct fuzz_chance chance = {.state = kind + bytes};
        if (kind >= KIND_BEFORE)
            count = fuzz_number(input) & (kind < KIND_MANY ? 1023 : 65535);
        if (kind >= KIND_BEFORE && kind < KIND_NOISE)
            distance = fuzz_number(input) + 1u;
        for (size_t i = 0; i < count && bytes < WRITTEN_BYTES_MAX; i++, bytes++) {
            if (kind < KIND_BEFORE)
                payload[bytes] = fuzz_byte(input);
            else if (kind < KIND_NOISE)
                payload[bytes] = distance <= bytes ? payload[bytes - distance] : 0;
            else
                payload[bytes] = (uint8_t)fuzz_chance_below(&chance, 256);
        }
    }
    return bytes;
}

static enum deflate_result write_message(struct deflate_writer *writer, const uint8_t *payload,
                                         size_t bytes, struct fuzz_chance *chance)
{
    enum deflate_result result;
    deflate_write_begin(writer, payload, bytes);
    do {
        size_t most = fuzz_chance_below(chance, 2) ? SIZE_MAX : fuzz_piece(chance, 8192);
        result = deflate_write(writer, most);
    } while (result == DEFLATE_MORE);
    expect(result == DEFLATE_OK || result == DEFLATE_PLAIN);
    expect(result == DEFLATE_PLAIN || bytes > DEFLATE_PLAIN_BYTES_MAX);
    expect(result == DEFLATE_PLAIN || writer->buffer_bytes < bytes);
    return result;
}

/* What is sent is read as what it was, by whoever keeps no more than was agreed. */
static void check_round_trip(struct fuzz_input *input, const struct terms *terms)
{
    static uint8_t payloads[MESSAGE_COUNT_MAX][WRITTEN_BYTES_MAX];
    struct message messages[MESSAGE_COUNT_MAX];
    uint8_t *sent[MESSAGE_COUNT_MAX];
    size_t bytes[MESSAGE_COUNT_MAX];
    size_t count = 0;
    struct deflate_writer writer;
    struct fuzz_chance chance = fuzz_chance(input->at, input->bytes, 3);
    deflate_writer_init(&writer, terms->window_bits, terms->keeps_context);
    for (size_t turn = 0;
         turn < 2 * MESSAGE_COUNT_MAX && count < MESSAGE_COUNT_MAX && input->bytes > 0; turn++) {
        bytes[count] = make_payload(input, payloads[count]);
        uint8_t *exact = fuzz_copy(payloads[count], bytes[count]);
        if (write_message(&writer, exact, bytes[count], &chance) == DEFLATE_OK) {
            sent[count] = fuzz_copy(writer.buffer, writer.buffer_bytes);
            messages[count] = (struct message){.data = sent[count], .bytes = writer.buffer_bytes};
            count++;
            deflate_write_done(&writer);
        }
        free(exact);
        if (fuzz_chance_below(&chance, 4) == 0)
            deflate_writer_rest(&writer);
    }
    deflate_writer_clear(&writer);
    if (count > 0) {
        expect(expect_messages(messages, count, terms, WRITTEN_BYTES_MAX) == count);
        for (size_t i = 0; i < count; i++) {
            expect(messages[i].outcome == OUTCOME_WHOLE && !messages[i].leaves_window);
            expect(messages[i].inflated_bytes == bytes[i]);
            expect(memcmp(messages[i].inflated, payloads[i], bytes[i]) == 0);
        }
        read_messages(messages, count, terms, SPLIT_NONE, 0);
        read_messages(messages, count, terms, SPLIT_RANDOM, 1);
    }
    for (size_t i = 0; i < count; i++)
        free(sent[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    uint8_t flags = fuzz_byte(&input);
    const struct terms terms = {.window_bits = DEFLATE_WINDOW_BITS_MIN + (flags & 7),
                                .keeps_context = flags & 8};
    if (flags & 16)
        check_round_trip(&input, &terms);
    else
        check_read(&input, &terms);
    return 0;
}
