#include "config/config_errors.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

static const struct config_error no_memory = {
    .file = (char *)"", .path = (char *)"", .text = (char *)"out of memory"};

static bool errors_is_no_memory(const struct config_errors *errors)
{
    return errors->items == &no_memory;
}

bool config_errors_is_full(const struct config_errors *errors)
{
    return errors_is_no_memory(errors) || errors->count == CONFIG_ERROR_COUNT_MAX;
}

static void error_free(struct config_error *error)
{
    free(error->file);
    free(error->path);
    free(error->text);
}

void config_errors_clear(struct config_errors *errors)
{
    if (!errors_is_no_memory(errors)) {
        assert(errors->items != NULL || errors->count == 0);
        for (size_t i = 0; i < errors->count; i++)
            error_free(&errors->items[i]);
        free(errors->items);
    }
    *errors = (struct config_errors){0};
}

void config_errors_no_memory(struct config_errors *errors)
{
    config_errors_clear(errors);
    errors->items = (struct config_error *)&no_memory; /* never written through, never freed */
    errors->count = 1;
}

void config_errors_add(struct config_errors *errors, const char *file, unsigned line,
                       unsigned column, const char *path, const char *format, ...)
{
    if (config_errors_is_full(errors))
        return;

    char text[CONFIG_ERROR_TEXT_BYTES];
    if (errors->count == CONFIG_ERROR_COUNT_MAX - 1) {
        snprintf(text, sizeof(text), "too many mistakes: the rest is not shown");
        path = "";
    } else {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
    }

    if (errors->items == NULL) { /* all the room at once: a list never moves */
        errors->items = calloc(CONFIG_ERROR_COUNT_MAX, sizeof(*errors->items));
        if (errors->items == NULL) {
            config_errors_no_memory(errors);
            return;
        }
    }
    struct config_error error = {.file = strdup(file),
                                 .line = line,
                                 .column = column,
                                 .path = strdup(path),
                                 .text = strdup(text)};
    if (error.file == NULL || error.path == NULL || error.text == NULL) {
        error_free(&error);
        config_errors_no_memory(errors);
        return;
    }
    errors->items[errors->count++] = error;
}

/* Bytes of the character at the front of text that a terminal may be shown; 0: escape a byte. */
static size_t character_bytes(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    if (*at < 0x80)
        return *at >= 0x20 && *at != 0x7f;
    size_t bytes = *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    if (strnlen(text, bytes) < bytes || !utf8_is_valid(at, bytes))
        return 0;
    return at[0] == 0xc2 && at[1] < 0xa0 ? 0 : bytes; /* U+0080 to U+009F are controls */
}

void config_error_format(const struct config_error *error, char *out, size_t out_bytes)
{
    assert(out_bytes > 0);
    char place[32] = "";
    if (error->line != 0)
        snprintf(place, sizeof(place), ":%u:%u", error->line, error->column);
    const char *const parts[] = {
        error->file, error->file[0] != '\0' ? place : "", error->file[0] != '\0' ? ": " : "",
        error->path, error->path[0] != '\0' ? ": " : "",  error->text};
    size_t used = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        for (const char *at = parts[i]; *at != '\0';) {
            size_t bytes = character_bytes(at);
            char escaped[8];
            snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned)(unsigned char)*at);
            const char *piece = bytes == 0 ? escaped : at;
            size_t piece_bytes = bytes == 0 ? strlen(escaped) : bytes;
            if (piece_bytes >= out_bytes - used) {
                out[used] = '\0';
                return;
            }
            memcpy(out + used, piece, piece_bytes);
            used += piece_bytes;
            at += bytes == 0 ? 1 : bytes;
        }
    }
    out[used] = '\0';
}
