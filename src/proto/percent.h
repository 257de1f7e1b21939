/* Percent-encoding.  RFC 3986 section 2.1. */
#ifndef WSKEEP_PROTO_PERCENT_H
#define WSKEEP_PROTO_PERCENT_H

/* The value of a hexadecimal digit in either case, or -1. */
int percent_hex_digit(char c);

/*
 * The next byte before end, decoded once; *at, which is before end, moves behind it.  -1: a percent
 * sign without two digits; then *at moves behind the sign.
 */
int percent_next(const char **at, const char *end);

#endif
