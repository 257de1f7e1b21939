/*
 * Dates as HTTP writes them.  RFC 9110 section 5.6.7, and RFC 6265 section 5.1.1 as far as servers
 * use it.
 */
#ifndef WSKEEP_PROTO_HTTP_DATE_H
#define WSKEEP_PROTO_HTTP_DATE_H

#include "proto/http_head.h"

/*
 * Seconds since 1970-01-01 00:00:00 UTC, for the years 1970 to 9999: what it says, not what time it
 * is.  Accepted are the three forms of RFC 9110, and dashes with a year of four digits, which
 * cookies have:
 *
 *   Sun, 06 Nov 1994 08:49:37 GMT
 *   Sunday, 06-Nov-94 08:49:37 GMT    a year from 70 on is of the last century
 *   Sun Nov  6 08:49:37 1994
 *   Sun, 06-Nov-1994 08:49:37 GMT
 *
 * The day of the week is not compared.  False: it is no such date, and *seconds is not touched.
 */
bool http_date_parse(struct http_text text, uint64_t *seconds);

#endif
