/*
 * permessage-deflate in the handshake: offers, and the answer to them.  RFC 6455 section 9.1 and
 * RFC 7692 sections 5 and 7.1.
 *
 * Every header is read once, from its beginning to its end, and nothing is kept of it.
 */
#ifndef WSKEEP_PROTO_DEFLATE_OFFER_H
#define WSKEEP_PROTO_DEFLATE_OFFER_H

#include "proto/http_head.h"

/* What both ends have agreed on. */
struct deflate_terms {
    bool server_no_context_takeover; /* the server forgets after each message, */
    bool client_no_context_takeover; /* or the client does */
    uint8_t server_max_window_bits;  /* 8 to 15, of what the server sends */
    uint8_t client_max_window_bits;  /* ... and the client */
};

enum deflate_offer_result {
    DEFLATE_OFFER_OK,
    DEFLATE_OFFER_NONE,          /* no offer, or none that can be accepted; no extension */
    DEFLATE_OFFER_ERR_SYNTAX,    /* the header is not a list of extensions: 400 */
    DEFLATE_OFFER_ERR_EXTENSION, /* an answer: an extension that was not offered */
    DEFLATE_OFFER_ERR_TWICE,     /* an answer: it was chosen more than once */
    DEFLATE_OFFER_ERR_PARAMETER, /* an answer: a parameter that is unknown, twice, without its
                                    value, with one that it has not, or out of range */
    DEFLATE_OFFER_RESULT_COUNT
};

enum { DEFLATE_ANSWER_BYTES_MAX = 160 }; /* terminated */

/* What wskeepd offers an upstream: the value of Sec-WebSocket-Extensions. */
extern const char deflate_offer_text[];

/*
 * A client's offers.  DEFLATE_OFFER_OK: *terms is what the first one asks for that RFC 7692 lets a
 * server accept; all others are declined.  Else OFFER_NONE or OFFER_ERR_SYNTAX.
 */
enum deflate_offer_result deflate_offer_choose(const struct http_head *head,
                                               struct deflate_terms *terms);

/* The answer to the offer that led to terms: the value of Sec-WebSocket-Extensions, terminated. */
void deflate_offer_answer(const struct deflate_terms *terms, char out[DEFLATE_ANSWER_BYTES_MAX]);

/* An upstream's answer to deflate_offer_text.  After an error the connection must not be used. */
enum deflate_offer_result deflate_offer_check(const struct http_head *head,
                                              struct deflate_terms *terms);

/* A few words for logs and refusals; never NULL. */
const char *deflate_offer_result_text(enum deflate_offer_result result);

#endif
