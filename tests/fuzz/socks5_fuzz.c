/* What a SOCKS5 proxy says, in any pieces.  Input: a byte of flags, and its answers. */
#include "proto/socks5.h"

#include "fuzz.h"

struct outcome {
    enum socks5_result result;
    unsigned reply;
    size_t taken;
    unsigned send_count; /* after the first */
};

/* RFC 1928 and RFC 1929, all answers at once.  SOCKS5_NEED_MORE: they are not whole. */
static struct outcome reference(const uint8_t *data, size_t bytes, bool has_credentials)
{
    struct outcome outcome = {.result = SOCKS5_NEED_MORE, .taken = bytes};
    size_t at = 2;
    if (bytes < 2)
        return outcome;
    bool wants_password = data[1] == 2 && has_credentials;
    if (data[0] != 5 || (data[1] != 0 && !wants_password)) {
        outcome.result = data[0] == 5 && data[1] == 0xff ? SOCKS5_NO_METHOD : SOCKS5_MALFORMED;
        outcome.taken = at;
        return outcome;
    }
    outcome.send_count++;
    if (wants_password) {
        at += 2;
        if (bytes < at)
            return outcome;
        if (data[2] != 1 || data[3] != 0) {
            outcome.result = data[2] == 1 ? SOCKS5_DENIED : SOCKS5_MALFORMED;
            outcome.taken = at;
            return outcome;
        }
        outcome.send_count++;
    }
    const uint8_t *reply = data + at;
    size_t left = bytes - at;
    if ((left >= 1 && reply[0] != 5) || (left >= 3 && reply[1] == 0 && reply[2] != 0))
        outcome.result = SOCKS5_MALFORMED;
    if (left >= 2 && reply[0] == 5 && reply[1] != 0) {
        outcome.result = SOCKS5_REFUSED;
        outcome.reply = reply[1];
    }
    if (outcome.result != SOCKS5_NEED_MORE || left < 5)
        return outcome;
    size_t address = reply[3] == 1 ? 4 : reply[3] == 4 ? 16 : reply[3] == 3 ? 1u + reply[4] : 0;
    if (address == 0)
        outcome.result = SOCKS5_MALFORMED;
    else if (left >= 4 + address + 2)
        outcome.result = SOCKS5_OPEN;
    if (outcome.result == SOCKS5_OPEN)
        outcome.taken = at + 4 + address + 2;
    return outcome;
}

static void check_sent(const uint8_t *out, size_t bytes, const struct socks5 *socks5)
{
    expect(bytes > 0 && bytes <= SOCKS5_SEND_BYTES_MAX);
    if (socks5->stage == SOCKS5_AUTHENTICATION) {
        size_t user_bytes = strlen(socks5->proxy->user);
        size_t password_bytes = strlen(socks5->proxy->password);
        expect(bytes == 3 + user_bytes + password_bytes && out[0] == 1);
        expect(out[1] == user_bytes && memcmp(out + 2, socks5->proxy->user, user_bytes) == 0);
        expect(out[2 + user_bytes] == password_bytes);
        return;
    }
    bool is_name = socks5->target.kind == SOCKS5_NAME;
    expect(socks5->stage == SOCKS5_REPLY);
    expect(bytes == 6u + is_name + socks5->target.address_bytes);
    expect(out[0] == 5 && out[1] == 1 && out[2] == 0 && out[3] == socks5->target.kind);
    expect(memcmp(out + 4 + is_name, socks5->target.address, socks5->target.address_bytes) == 0);
    expect(out[bytes - 2] * 256 + out[bytes - 1] == socks5->target.port);
}

static struct outcome run(const uint8_t *data, size_t bytes, const struct proxy *proxy,
                          const struct socks5_target *target, uint64_t round)
{
    struct fuzz_chance chance = fuzz_chance(data, bytes, round);
    struct socks5 socks5;
    struct outcome outcome = {.result = SOCKS5_NEED_MORE};
    uint8_t out[SOCKS5_SEND_BYTES_MAX];
    size_t out_bytes = socks5_begin(&socks5, proxy, target, out);
    expect(out_bytes == 3u + proxy->has_credentials && out[0] == 5);
    while (outcome.taken < bytes && socks5.stage != SOCKS5_DONE) {
        size_t wanted = socks5_wanted(&socks5);
        size_t left = bytes - outcome.taken;
        expect(wanted > 0 && wanted <= SOCKS5_ANSWER_BYTES_MAX);
        size_t piece = wanted < left ? wanted : left;
        if (round > 0)
            piece = fuzz_piece(&chance, piece);
        uint8_t *exact = fuzz_copy(data + outcome.taken, piece);
        outcome.result = socks5_read(&socks5, exact, piece, out, &out_bytes);
        free(exact);
        outcome.taken += piece;
        if (outcome.result == SOCKS5_SEND) {
            outcome.send_count++;
            check_sent(out, out_bytes, &socks5);
            outcome.result = SOCKS5_NEED_MORE;
        }
        bool goes_on = outcome.result == SOCKS5_NEED_MORE;
        expect((socks5.stage == SOCKS5_DONE) == !goes_on);
        expect((socks5_wanted(&socks5) == 0) == !goes_on);
    }
    outcome.reply = outcome.result == SOCKS5_REFUSED ? socks5.reply : 0;
    expect(socks5_reply_text(outcome.reply)[0] != '\0');
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    static const struct {
        enum socks5_address kind;
        uint8_t bytes;
    } kinds[] = {{SOCKS5_IPV4, 4}, {SOCKS5_IPV6, 16}, {SOCKS5_NAME, 1}, {SOCKS5_NAME, 255}};
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    unsigned flags = fuzz_byte(&input);
    struct proxy proxy = {.kind = PROXY_SOCKS5, .has_credentials = flags & 1};
    struct socks5_target target = {.kind = kinds[flags >> 1 & 3].kind,
                                   .address_bytes = kinds[flags >> 1 & 3].bytes,
                                   .port = (uint16_t)(flags * 257)};
    if (proxy.has_credentials) {
        memset(proxy.user, 'u', flags & 8 ? PROXY_CREDENTIAL_BYTES_MAX : 1);
        memset(proxy.password, 'p', flags & 16 ? PROXY_CREDENTIAL_BYTES_MAX : 3);
    }
    memset(target.address, 'h', target.address_bytes);
    struct outcome expected = reference(input.at, input.bytes, proxy.has_credentials);
    for (uint64_t round = 0; round < 3; round++) {
        struct outcome got = run(input.at, input.bytes, &proxy, &target, round);
        expect(got.result == expected.result && got.reply == expected.reply);
        expect(got.send_count == expected.send_count);
        /* What is wrong is known early; what follows the answer is the tunnel's, to the byte. */
        expect(got.taken <= expected.taken);
        if (got.result == SOCKS5_OPEN || got.result == SOCKS5_NEED_MORE)
            expect(got.taken == expected.taken);
    }
    return 0;
}
