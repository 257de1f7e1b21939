/* Asking a SOCKS5 proxy for a tunnel. */
#include "proto/socks5.h"

#include <assert.h>
#include <string.h>

enum {
    SOCKS_VERSION = 5,
    AUTHENTICATION_VERSION = 1,
    METHOD_NONE = 0,
    METHOD_PASSWORD = 2,
    COMMAND_CONNECT = 1,
    REPLY_HEAD_BYTES = 5 /* with the first byte of the address: the length of a name */
};

const char *socks5_reply_text(unsigned reply)
{
    static const char *const texts[] = {
        "succeeded",
        "general failure",
        "not allowed by its rules",
        "network unreachable",
        "host unreachable",
        "connection refused",
        "time to live expired",
        "command not supported",
        "address type not supported",
    };
    return reply < sizeof(texts) / sizeof(texts[0]) ? texts[reply] : "unknown reply";
}

size_t socks5_begin(struct socks5 *socks5, const struct proxy *proxy,
                    const struct socks5_target *target, uint8_t *out)
{
    *socks5 = (struct socks5){.proxy = proxy, .target = *target, .stage = SOCKS5_METHOD};
    out[0] = SOCKS_VERSION;
    out[1] = proxy->has_credentials ? 2 : 1;
    out[2] = METHOD_NONE;
    out[3] = METHOD_PASSWORD;
    return 2 + (size_t)out[1];
}

/* A byte for the length, and the text. */
static size_t put_text(uint8_t *out, const char *text)
{
    size_t bytes = strlen(text);
    out[0] = (uint8_t)bytes;
    memcpy(out + 1, text, bytes);
    return 1 + bytes;
}

static enum socks5_result send_credentials(struct socks5 *socks5, uint8_t *out, size_t *out_bytes)
{
    size_t used = 0;
    out[used++] = AUTHENTICATION_VERSION;
    used += put_text(out + used, socks5->proxy->user);
    used += put_text(out + used, socks5->proxy->password);
    *out_bytes = used;
    socks5->stage = SOCKS5_AUTHENTICATION;
    return SOCKS5_SEND;
}

static enum socks5_result send_request(struct socks5 *socks5, uint8_t *out, size_t *out_bytes)
{
    const struct socks5_target *target = &socks5->target;
    size_t used = 0;
    out[used++] = SOCKS_VERSION;
    out[used++] = COMMAND_CONNECT;
    out[used++] = 0;
    out[used++] = (uint8_t)target->kind;
    if (target->kind == SOCKS5_NAME)
        out[used++] = target->address_bytes;
    memcpy(out + used, target->address, target->address_bytes);
    used += target->address_bytes;
    out[used++] = (uint8_t)(target->port >> 8);
    out[used++] = (uint8_t)target->port;
    *out_bytes = used;
    socks5->stage = SOCKS5_REPLY;
    return SOCKS5_SEND;
}

/* The length of the address behind the head of a reply; 0: no such kind. */
static size_t reply_address_bytes(const uint8_t *reply)
{
    switch (reply[3]) {
    case SOCKS5_IPV4:
        return 4;
    case SOCKS5_IPV6:
        return 16;
    case SOCKS5_NAME:
        return 1 + (size_t)reply[4];
    default:
        return 0;
    }
}

/* Of the whole answer, as far as one can tell. */
static size_t answer_bytes_wanted(const struct socks5 *socks5)
{
    if (socks5->stage != SOCKS5_REPLY)
        return 2;
    if (socks5->answer_bytes < REPLY_HEAD_BYTES)
        return REPLY_HEAD_BYTES;
    return 4 + reply_address_bytes(socks5->answer) + 2;
}

size_t socks5_wanted(const struct socks5 *socks5)
{
    return socks5->stage == SOCKS5_DONE ? 0 : answer_bytes_wanted(socks5) - socks5->answer_bytes;
}

static enum socks5_result read_method(struct socks5 *socks5, uint8_t *out, size_t *out_bytes)
{
    if (socks5->answer[0] != SOCKS_VERSION)
        return SOCKS5_MALFORMED;
    switch (socks5->answer[1]) {
    case METHOD_NONE:
        return send_request(socks5, out, out_bytes);
    case METHOD_PASSWORD:
        if (socks5->proxy->has_credentials)
            return send_credentials(socks5, out, out_bytes);
        return SOCKS5_MALFORMED; /* it was not offered */
    case 0xff:
        return SOCKS5_NO_METHOD;
    default:
        return SOCKS5_MALFORMED;
    }
}

static enum socks5_result read_authentication(struct socks5 *socks5, uint8_t *out,
                                              size_t *out_bytes)
{
    if (socks5->answer[0] != AUTHENTICATION_VERSION)
        return SOCKS5_MALFORMED;
    if (socks5->answer[1] != 0)
        return SOCKS5_DENIED;
    return send_request(socks5, out, out_bytes);
}

/* What is wrong with it is known before all of it is here: a proxy may end right after. */
static enum socks5_result read_reply_head(struct socks5 *socks5)
{
    const uint8_t *reply = socks5->answer;
    size_t bytes = socks5->answer_bytes;
    if (bytes >= 1 && reply[0] != SOCKS_VERSION)
        return SOCKS5_MALFORMED;
    if (bytes >= 2 && reply[1] != 0) {
        socks5->reply = reply[1];
        return SOCKS5_REFUSED;
    }
    if (bytes >= 3 && reply[2] != 0)
        return SOCKS5_MALFORMED;
    if (bytes >= REPLY_HEAD_BYTES && reply_address_bytes(reply) == 0)
        return SOCKS5_MALFORMED;
    return SOCKS5_NEED_MORE;
}

static enum socks5_result finish(struct socks5 *socks5, enum socks5_result result)
{
    if (result != SOCKS5_NEED_MORE && result != SOCKS5_SEND)
        socks5->stage = SOCKS5_DONE;
    return result;
}

enum socks5_result socks5_read(struct socks5 *socks5, const uint8_t *data, size_t data_bytes,
                               uint8_t *out, size_t *out_bytes)
{
    enum socks5_result result;
    assert(data_bytes <= socks5_wanted(socks5));
    memcpy(socks5->answer + socks5->answer_bytes, data, data_bytes);
    socks5->answer_bytes += data_bytes;
    if (socks5->stage == SOCKS5_REPLY) {
        result = read_reply_head(socks5);
        if (result == SOCKS5_NEED_MORE && socks5_wanted(socks5) == 0)
            result = SOCKS5_OPEN;
        return finish(socks5, result);
    }
    if (socks5_wanted(socks5) > 0)
        return SOCKS5_NEED_MORE;
    result = socks5->stage == SOCKS5_METHOD ? read_method(socks5, out, out_bytes)
                                            : read_authentication(socks5, out, out_bytes);
    socks5->answer_bytes = 0;
    return finish(socks5, result);
}
