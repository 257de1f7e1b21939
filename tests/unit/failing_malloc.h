/*
 * Our own allocations, counted and refused on demand.  The linker leads them here:
 * FAILING_MALLOC of Makefile.am.
 */
#ifndef WSKEEP_TESTS_FAILING_MALLOC_H
#define WSKEEP_TESTS_FAILING_MALLOC_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t bytes_max);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t bytes_max);

static bool counting;               /* while what is tested runs */
static unsigned allocation_count;   /* so far */
static unsigned allocation_failing; /* the number of the one that is refused, from 1; 0: none */

static bool allocation_fails(void)
{
    return counting && ++allocation_count == allocation_failing;
}

void *__wrap_malloc(size_t bytes)
{
    return allocation_fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return allocation_fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return allocation_fails() ? NULL : __real_realloc(old, bytes);
}

char *__wrap_strdup(const char *text)
{
    return allocation_fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t bytes_max)
{
    return allocation_fails() ? NULL : __real_strndup(text, bytes_max);
}

#endif
