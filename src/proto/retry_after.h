/* Retry-After of a refused upgrade.  RFC 9110 section 10.2.3. */
#ifndef WSKEEP_PROTO_RETRY_AFTER_H
#define WSKEEP_PROTO_RETRY_AFTER_H

#include "proto/http_head.h"

enum { RETRY_AFTER_SECONDS_MAX = 365 * 24 * 3600 }; /* more is cut to this */

/*
 * How long the server asks not to be tried again.
 *
 * Seconds, or a date, which counts from the answer's own Date: the server's clock need not be ours.
 * A date that has passed is 0.  False when the answer has no Retry-After, more than one, one that
 * is neither, or a date without a Date: then it asks for nothing.
 */
bool retry_after_parse(const struct http_head *head, uint64_t *delay_ms);

#endif
