/*
 * Asking a SOCKS5 proxy for a tunnel.  RFC 1928, and RFC 1929 for user and password.
 *
 * The length of what the proxy says next is always known, so no byte of the tunnel is ever read
 * with it.
 */
#ifndef WSKEEP_PROTO_SOCKS5_H
#define WSKEEP_PROTO_SOCKS5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/proxy.h"

enum {
    SOCKS5_SEND_BYTES_MAX = 3 + 2 * 255, /* user and password */
    SOCKS5_ANSWER_BYTES_MAX = 4 + 1 + 255 + 2
};

enum socks5_address { SOCKS5_IPV4 = 1, SOCKS5_NAME = 3, SOCKS5_IPV6 = 4 };

/* Where the tunnel shall lead. */
struct socks5_target {
    enum socks5_address kind;
    uint8_t address[255]; /* 4 or 16 bytes in network order, or a name */
    uint8_t address_bytes;
    uint16_t port;
};

enum socks5_stage { SOCKS5_METHOD, SOCKS5_AUTHENTICATION, SOCKS5_REPLY, SOCKS5_DONE };

struct socks5 {
    const struct proxy *proxy;
    struct socks5_target target;
    enum socks5_stage stage; /* what the proxy says next */
    uint8_t answer[SOCKS5_ANSWER_BYTES_MAX];
    size_t answer_bytes;
    unsigned reply; /* of the proxy, with SOCKS5_REFUSED */
};

enum socks5_result {
    SOCKS5_NEED_MORE,
    SOCKS5_SEND,      /* send out, and go on reading */
    SOCKS5_OPEN,      /* what follows is the tunnel's */
    SOCKS5_REFUSED,   /* socks5->reply says why */
    SOCKS5_NO_METHOD, /* the proxy takes nothing that it was offered: it wants credentials */
    SOCKS5_DENIED,    /* it does not take these credentials */
    SOCKS5_MALFORMED, /* that is no SOCKS5 */
    SOCKS5_RESULT_COUNT
};

/* Begin: the first bytes to send into out (SOCKS5_SEND_BYTES_MAX).  proxy: until it is done. */
size_t socks5_begin(struct socks5 *socks5, const struct proxy *proxy,
                    const struct socks5_target *target, uint8_t *out);

/* So many bytes belong to what the proxy says now, as far as one can tell: read no more. */
size_t socks5_wanted(const struct socks5 *socks5);

/* At most socks5_wanted() bytes came.  SOCKS5_SEND: *out_bytes in out (SOCKS5_SEND_BYTES_MAX). */
enum socks5_result socks5_read(struct socks5 *socks5, const uint8_t *data, size_t data_bytes,
                               uint8_t *out, size_t *out_bytes);

/* "connection refused": RFC 1928 section 6. */
const char *socks5_reply_text(unsigned reply);

#endif
