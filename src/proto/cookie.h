/*
 * The cookies of one server: what its 101 answers set, and what the next request returns.
 * RFC 6265 sections 5.2 to 5.4, as far as one host and one path ask for it.
 *
 * A jar belongs to one host and one path: a cookie for another is not taken at all, so all that is
 * kept may be returned.  A later cookie replaces the one of the same name.
 */
#ifndef WSKEEP_PROTO_COOKIE_H
#define WSKEEP_PROTO_COOKIE_H

#include "proto/http_head.h"

enum {
    COOKIE_COUNT_MAX = 32,
    COOKIE_BYTES_MAX = 4096, /* names and values of all; the oldest makes room */
    COOKIE_FIELD_BYTES_MAX = COOKIE_BYTES_MAX + 3 * COOKIE_COUNT_MAX /* "a=b; " of all of them */
};

struct cookie {
    char *text; /* "name=value", terminated; owned */
    size_t name_bytes;
    size_t bytes;        /* name and value */
    uint64_t expires_ms; /* UINT64_MAX: with the session */
    bool is_secure;      /* for wss:// only */
};

struct cookie_jar {                          /* all zero: empty */
    struct cookie cookies[COOKIE_COUNT_MAX]; /* the oldest first */
    size_t count;
    size_t bytes;
};

/* Whom a cookie comes from, and when. */
struct cookie_origin {
    const char *host;   /* as in the URL: lower case, no brackets */
    const char *target; /* that was asked for: path and query */
    uint64_t date_s;    /* the answer's Date; 0: it has none, and Expires says nothing */
    uint64_t now_ms;
};

enum cookie_result {
    COOKIE_KEPT,
    COOKIE_REMOVED, /* the server takes it back: empty, Max-Age=0, Expires in the past */
    COOKIE_IGNORED, /* malformed, too long, or for somebody else (5.3 steps 4 to 7) */
    COOKIE_ERR_NO_MEMORY
};

/* Take the value of one Set-Cookie field. */
enum cookie_result cookie_jar_take(struct cookie_jar *jar, const struct cookie_origin *origin,
                                   struct http_text set_cookie);

/*
 * Write the value of the one Cookie field that a request may have (5.4), terminated.
 *
 * base       pairs that come from elsewhere, "a=1; b=2"; "" for none
 * base_wins  what becomes of a name that both have: base's value, or the jar's
 * is_secure  the connection is wss://
 *
 * Returns its bytes: 0 when there is nothing to send, or it does not fit, which cannot happen with
 * COOKIE_FIELD_BYTES_MAX more than base has.
 */
size_t cookie_jar_write(const struct cookie_jar *jar, uint64_t now_ms, bool is_secure,
                        const char *base, bool base_wins, char *out, size_t out_bytes);

void cookie_jar_clear(struct cookie_jar *jar);

#endif
