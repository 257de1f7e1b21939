/*
 * The notations of values: durations, sizes, numbers, modes, ranges; text <-> number.
 *
 * All are pure, and take the whole terminated text: no white space, no sign.  A number too big for
 * 64 bits is not malformed but CONFIG_VALUE_MAX, which is over every maximum.
 */
#ifndef WSKEEP_CONFIG_CONFIG_VALUE_H
#define WSKEEP_CONFIG_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Under UINT64_MAX, which stands for `never`. */
#define CONFIG_VALUE_MAX (UINT64_MAX - 1)

enum { CONFIG_VALUE_TEXT_BYTES = 32 }; /* room for any number that is formatted here */

bool config_value_count(const char *text, uint64_t *count);     /* 65536 */
bool config_value_duration(const char *text, uint64_t *ms);     /* 250ms 20s 5m 1h */
bool config_value_size(const char *text, uint64_t *bytes);      /* 64KiB 16MiB 1GiB, and 0 */
bool config_value_decimal(const char *text, uint64_t *milli);   /* 2 1.5 1.125, in thousandths */
bool config_value_mode(const char *text, uint64_t *mode);       /* 0660 or 0o660 */
bool config_value_boolean(const char *text, uint64_t *is_true); /* true false on off */

/* 4001, or 500-599 with the smaller first. */
bool config_value_range(const char *text, uint64_t *first, uint64_t *last);

/* In the largest unit that needs no fraction: 90000 is 90s.  out: CONFIG_VALUE_TEXT_BYTES. */
void config_value_format_duration(uint64_t ms, char *out);
void config_value_format_size(uint64_t bytes, char *out);
void config_value_format_decimal(uint64_t milli, char *out);

#endif
