/*
 * The opening handshake, both sides: parse, check, build.  RFC 6455 section 4.
 *
 * Pure: SHA-1 and random bytes are handed in.
 */
#ifndef WSKEEP_PROTO_HANDSHAKE_H
#define WSKEEP_PROTO_HANDSHAKE_H

#include "proto/deflate_offer.h"
#include "proto/host.h"
#include "proto/http_head.h"

enum {
    HANDSHAKE_KEY_BYTES = 24,    /* base64 of 16 */
    HANDSHAKE_ACCEPT_BYTES = 28, /* base64 of 20 */
    HANDSHAKE_SUBPROTOCOL_COUNT_MAX = 32,
    HANDSHAKE_SUBPROTOCOL_BYTES_MAX = 255
};

typedef void handshake_sha1(const void *data, size_t bytes, uint8_t digest[20]);

/* Sec-WebSocket-Accept for a key (4.2.2), terminated. */
void handshake_accept(const char key[HANDSHAKE_KEY_BYTES], handshake_sha1 *sha1,
                      char accept[HANDSHAKE_ACCEPT_BYTES + 1]);

/* Sec-WebSocket-Key from 16 random bytes (4.1), terminated. */
void handshake_key(const uint8_t random[16], char key[HANDSHAKE_KEY_BYTES + 1]);

/* What a client asked for.  Texts point into the head that was parsed. */
struct handshake_request {
    struct http_text target;
    struct host host;
    struct host target_host; /* of a target in absolute form, which names one itself */
    bool has_target_host;
    struct http_text origin; /* at is NULL when the client sent none */
    struct http_text key;
    struct http_text subprotocols[HANDSHAKE_SUBPROTOCOL_COUNT_MAX];
    size_t subprotocol_count;
    bool offers_deflate; /* permessage-deflate, in a way that can be accepted */
    struct deflate_terms deflate;
};

/*
 * Check a client's head against 4.2.1.  Returns 101 and fills *request, or the HTTP status of
 * the refusal with *why in a few words for the answer's body and the log:
 *   400 malformed (HTTP/1.0, Host missing, twice or not to be read, a target that is neither a path
 *       nor a URL of http or https, key missing, twice or not base64 of 16 bytes,
 *       a body announced, a list of tokens or extensions malformed, two Origins, ...)
 *   405 a method that is not GET
 *   426 no Upgrade: websocket, or a version other than 13 (the answer names 13, 4.2.2)
 *   505 a version that is not HTTP/1.x (RFC 9110 15.6.6)
 */
unsigned handshake_check_request(const struct http_head *head, struct handshake_request *request,
                                 const char **why);

/*
 * Build the 101 answer.  subprotocol may be NULL, and so may deflate: no extension.  Returns the
 * bytes of the head, or 0 when it does not fit.  Every value must be a token or field value:
 * asserted, as they were checked.
 */
size_t handshake_build_response(const char accept[HANDSHAKE_ACCEPT_BYTES + 1],
                                const char *subprotocol, const struct deflate_terms *deflate,
                                char *out, size_t out_bytes);

/* Build a refusal: status, a text/plain body `wskeep: WHY`, Connection: close; with 426 also
 * Upgrade and Sec-WebSocket-Version, with 401 WWW-Authenticate.  Returns its bytes, or 0 when it
 * does not fit. */
size_t handshake_build_refusal(unsigned status, const char *why, char *out, size_t out_bytes);

struct handshake_header {
    const char *name;
    const char *value;
};

/* What wskeepd asks of an upstream. */
struct handshake_ask {
    const char *target;
    const char *host;                /* of the Host header */
    const char *key;                 /* HANDSHAKE_KEY_BYTES, terminated */
    const char *const *subprotocols; /* in order of preference */
    size_t subprotocol_count;
    const struct handshake_header *headers; /* in addition; names that belong to the handshake
                                               (handshake_header_is_reserved) are refused */
    size_t header_count;
    bool offers_deflate; /* deflate_offer_text */
};

/* True for the names that only the handshake itself may set: Host, Connection, Upgrade,
 * Sec-WebSocket-*, Content-Length, Transfer-Encoding and the like.  Case is ignored. */
bool handshake_header_is_reserved(const char *name);

/*
 * Build the request head (4.1).  Returns its bytes, or 0 when it does not fit or a value could
 * be read as something else: CR, LF, NUL or another control character, a name or subprotocol
 * that is no token, a Host that is none, a space in the target, blanks around a header's value, a
 * reserved name.
 */
size_t handshake_build_request(const struct handshake_ask *ask, char *out, size_t out_bytes);

enum handshake_answer {
    HANDSHAKE_ACCEPTED,
    HANDSHAKE_REFUSED,    /* a well-formed HTTP answer with another status */
    HANDSHAKE_MALFORMED,  /* not an HTTP answer, or a 101 that breaks 4.1: no or wrong Accept,
                             Upgrade or Connection; an extension nobody offered, or not as it
                             was offered; a body announced */
    HANDSHAKE_SUBPROTOCOL /* a 101 that chose a subprotocol which was not offered, or two */
};

/*
 * Check an upstream's answer against what was asked.  accept is what handshake_accept() gave for
 * our key.  status is set for HANDSHAKE_REFUSED; subprotocol for HANDSHAKE_ACCEPTED (at is NULL
 * when none was chosen); why for all but HANDSHAKE_ACCEPTED.  What became of permessage-deflate is
 * asked of deflate_offer_check().
 */
enum handshake_answer handshake_check_response(const struct http_head *head,
                                               const struct handshake_ask *ask, const char *accept,
                                               unsigned *status, struct http_text *subprotocol,
                                               const char **why);

#endif
