/*
 * A whole session: bytes on both sides, and faults between.  Input: two bytes of settings, then
 * steps: a byte that names one, and what it needs.
 */
#include "session_world.h"

enum {
    STEP_CLIENT_ASKS,
    STEP_CLIENT_BYTES,
    STEP_CLIENT_MESSAGE,
    STEP_CLIENT_CONTROL,
    STEP_CLIENT_CLOSE,
    STEP_CLIENT_LOST,
    STEP_CLIENT_READS,
    STEP_ATTEMPT,
    STEP_CONNECTS, /* the whole attempt, up to the 101 */
    STEP_SERVER_ANSWERS,
    STEP_SERVER_BYTES,
    STEP_SERVER_MESSAGE,
    STEP_SERVER_CLOSE,
    STEP_SERVER_LOST,
    STEP_SERVER_READS, /* and its Pongs come */
    STEP_SERVER_READS_SOME,
    STEP_PONGS_ARRIVE,
    STEP_KERNEL_TAKES,
    STEP_TCP_SAYS,
    STEP_TIME,
    STEP_DEADLINE,
    STEP_CHANGE,
    STEP_COUNT
};

enum { PAYLOAD_BYTES_MAX = 500 };

/* As it would come from the wire: so many bytes of the input, after their number. */
static struct fuzz_input take_bytes(struct fuzz_input *input)
{
    size_t bytes = fuzz_byte(input);
    if (bytes > input->bytes)
        bytes = input->bytes;
    struct fuzz_input taken = {.at = input->at, .bytes = bytes};
    input->at += bytes;
    input->bytes -= bytes;
    return taken;
}

/* Messages are told apart by their number, as far as they have room for it. */
static void make_payload(const struct world *world, char payload[PAYLOAD_BYTES_MAX])
{
    memset(payload, 'a' + (int)(world->taken_count % 26), PAYLOAD_BYTES_MAX);
    memcpy(payload + 1, &world->taken_count, 1);
    payload[1] &= 0x7f;
}

static size_t make_close(struct fuzz_input *input, uint8_t body[FRAME_CONTROL_BYTES_MAX])
{
    static const uint16_t codes[] = {1000, 1001, 1011, 1012, 1013, 3000, 4999, 1005};
    unsigned choice = fuzz_byte(input);
    struct close_frame close;
    close_set(&close, codes[choice & 7], choice & 8 ? "interrupted" : NULL);
    return close_encode(&close, body);
}

static void change(struct world *world, unsigned what)
{
    struct session *session = &world->session;
    if (!world->is_begun || world->is_over)
        return;
    switch (what % 6) {
    case 0:
        session_did_not_run(session, world->now_ms);
        return;
    case 1:
        session_network_changed(session, world->now_ms);
        return;
    case 2:
        session_secret_changed(session, world->now_ms);
        return;
    case 3: /* a reload: lower or higher limits */
        world->settings.outbox_messages_max = what & 8 ? 2 : 100;
        world->settings.window_bytes = what & 16 ? 100 : 100000;
        session_use_settings(session, &world->settings);
        return;
    case 4:
        world_shutdown(world);
        return;
    default:
        return;
    }
}

static void connect_at_once(struct world *world, unsigned variant)
{
    for (unsigned i = 0; i < 4; i++)
        world_attempt_goes_on(world, variant & 4, variant & 8);
    world_server_answers(world, variant);
}

static void step(struct world *world, struct fuzz_input *input)
{
    static const size_t sizes[] = {0, 1, 5, 60, 125, 126, 300, 500};
    char payload[PAYLOAD_BYTES_MAX];
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    struct fuzz_input bytes;
    unsigned argument;
    switch (fuzz_byte(input) % STEP_COUNT) {
    case STEP_CLIENT_ASKS:
        world_client_asks(world, fuzz_byte(input));
        return;
    case STEP_CLIENT_BYTES:
        bytes = take_bytes(input);
        world_client_sends(world, bytes.at, bytes.bytes);
        return;
    case STEP_CLIENT_MESSAGE:
        argument = fuzz_byte(input);
        make_payload(world, payload);
        world_client_frame(world, 0x80 | (argument & 8 ? FRAME_TEXT : FRAME_BINARY), payload,
                           sizes[argument & 7]);
        return;
    case STEP_CLIENT_CONTROL:
        argument = fuzz_byte(input);
        world_client_frame(world, 0x80 | (argument & 1 ? FRAME_PING : FRAME_PONG), "x",
                           argument >> 1 & 1);
        return;
    case STEP_CLIENT_CLOSE:
        world_client_frame(world, 0x80 | FRAME_CLOSE, body, make_close(input, body));
        return;
    case STEP_CLIENT_LOST:
        world_client_is_lost(world);
        return;
    case STEP_CLIENT_READS:
        world_client_reads(world, fuzz_byte(input) * 16u);
        return;
    case STEP_ATTEMPT:
        argument = fuzz_byte(input);
        world_attempt_goes_on(world, argument & 1, argument & 2);
        return;
    case STEP_CONNECTS:
        connect_at_once(world, fuzz_byte(input));
        return;
    case STEP_SERVER_ANSWERS:
        world_server_answers(world, fuzz_byte(input));
        return;
    case STEP_SERVER_BYTES:
        bytes = take_bytes(input);
        world_server_sends(world, bytes.at, bytes.bytes);
        return;
    case STEP_SERVER_MESSAGE:
        argument = fuzz_byte(input);
        make_payload(world, payload);
        world_server_frame(world, 0x80 | (argument & 8 ? FRAME_TEXT : FRAME_BINARY), payload,
                           sizes[argument & 7]);
        return;
    case STEP_SERVER_CLOSE:
        world_server_frame(world, 0x80 | FRAME_CLOSE, body, make_close(input, body));
        return;
    case STEP_SERVER_LOST:
        argument = fuzz_byte(input);
        world_server_is_lost(world, (enum cause)(1 + argument % (CAUSE_FAULT - 1)));
        return;
    case STEP_SERVER_READS:
        world_kernel_takes(world, SIZE_MAX);
        world_server_reads(world, SIZE_MAX);
        world_pongs_arrive(world);
        return;
    case STEP_SERVER_READS_SOME:
        world_server_reads(world, fuzz_byte(input));
        return;
    case STEP_PONGS_ARRIVE:
        world_pongs_arrive(world);
        return;
    case STEP_KERNEL_TAKES:
        world_kernel_takes(world, fuzz_byte(input));
        return;
    case STEP_TCP_SAYS:
        world_tcp_says(world, fuzz_byte(input));
        return;
    case STEP_TIME:
        argument = fuzz_byte(input);
        world_time_passes(world, UINT64_C(1) << argument % 18);
        return;
    case STEP_DEADLINE:
        world_next_deadline(world);
        return;
    default:
        change(world, fuzz_byte(input));
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    static struct world world;
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    unsigned flags = fuzz_byte(&input);
    unsigned more_flags = fuzz_byte(&input);
    world_init(&world, flags, more_flags, fuzz_chance(data, data_bytes, 0));
    while (input.bytes > 0 && !world.is_over) {
        step(&world, &input);
        world_turn(&world);
    }
    world_clear(&world);
    return 0;
}
