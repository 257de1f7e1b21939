#include "config/config_expand.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_file.h"
#include "proto/utf8.h"

/* A value as it grows. */
struct expansion {
    const char *file;
    struct config_template *template; /* NULL: files are read now */
    char *why;
    char *out; /* the value, or the piece of the template that is being read; NULL: nothing yet */
    size_t out_bytes;
};

static bool expansion_add(struct expansion *expansion, const char *text, size_t text_bytes)
{
    if (text_bytes > CONFIG_EXPAND_BYTES_MAX - expansion->out_bytes) {
        snprintf(expansion->why, CONFIG_EXPAND_WHY_BYTES, "too long, expected at most %d bytes",
                 CONFIG_EXPAND_BYTES_MAX);
        return false;
    }
    char *out = realloc(expansion->out, expansion->out_bytes + text_bytes + 1);
    if (out == NULL)
        return false;
    if (text_bytes > 0)
        memcpy(out + expansion->out_bytes, text, text_bytes);
    expansion->out = out;
    expansion->out_bytes += text_bytes;
    out[expansion->out_bytes] = '\0';
    return true;
}

/* What came from outside must be text as well. */
static bool expansion_add_foreign(struct expansion *expansion, const char *kind, const char *name,
                                  const char *text, size_t text_bytes)
{
    if (memchr(text, '\0', text_bytes) != NULL) {
        snprintf(expansion->why, CONFIG_EXPAND_WHY_BYTES,
                 "%s %.256s contains a NUL character, expected text", kind, name);
        return false;
    }
    if (!utf8_is_valid((const uint8_t *)text, text_bytes)) {
        snprintf(expansion->why, CONFIG_EXPAND_WHY_BYTES, "%s %.256s is not UTF-8, expected text",
                 kind, name);
        return false;
    }
    return expansion_add(expansion, text, text_bytes);
}

static bool expansion_add_variable(struct expansion *expansion, const char *name)
{
    const char *value = getenv(name);
    if (value != NULL)
        return expansion_add_foreign(expansion, "variable", name, value, strlen(value));
    snprintf(expansion->why, CONFIG_EXPAND_WHY_BYTES,
             "the environment has no variable %.256s, expected it to be set", name);
    return false;
}

/* The piece is complete: the template gets it.  An empty one is a text, too. */
static bool expansion_end_piece(struct expansion *expansion)
{
    struct config_template *template = expansion->template;
    if (!expansion_add(expansion, "", 0))
        return false;
    template->pieces[template->file_count] = expansion->out;
    expansion->out = NULL;
    expansion->out_bytes = 0;
    return true;
}

/* Takes path over. */
static bool expansion_take_path(struct expansion *expansion, char *path)
{
    struct config_template *template = expansion->template;
    size_t count = template->file_count;
    if (count == CONFIG_TEMPLATE_FILE_COUNT_MAX) {
        snprintf(expansion->why, CONFIG_EXPAND_WHY_BYTES, "too many files, expected at most %d",
                 CONFIG_TEMPLATE_FILE_COUNT_MAX);
        free(path);
        return false;
    }
    char **paths = realloc(template->paths, (count + 1) * sizeof(char *));
    if (paths != NULL)
        template->paths = paths;
    char **pieces = paths == NULL ? NULL : realloc(template->pieces, (count + 2) * sizeof(char *));
    if (pieces != NULL)
        template->pieces = pieces;
    if (pieces == NULL || !expansion_end_piece(expansion)) {
        free(path);
        return false;
    }
    template->paths[count] = path;
    template->pieces[count + 1] = NULL;
    template->file_count++;
    return true;
}

static bool expansion_add_file(struct expansion *expansion, const char *name)
{
    char *path = config_file_beside(expansion->file, name);
    if (path == NULL)
        return false;
    if (expansion->template != NULL)
        return expansion_take_path(expansion, path);
    char why[CONFIG_FILE_WHY_BYTES];
    size_t bytes = 0;
    char *text = config_file_read(path, CONFIG_EXPAND_FILE_BYTES_MAX, &bytes, why);
    bool is_ok = false;
    if (text == NULL && why[0] != '\0')
        snprintf(expansion->why, CONFIG_EXPAND_WHY_BYTES, "file %.256s %s", path, why);
    if (text != NULL) {
        if (bytes > 0 && text[bytes - 1] == '\n')
            bytes--; /* editors end a file with one */
        if (bytes > 0 && text[bytes - 1] == '\r')
            bytes--;
        is_ok = expansion_add_foreign(expansion, "file", path, text, bytes);
        explicit_bzero(text, bytes);
    }
    free(text);
    free(path);
    return is_ok;
}

/* Between `${` and `}`. */
static bool expansion_add_reference(struct expansion *expansion, const char *reference,
                                    size_t reference_bytes)
{
    char *copy = strndup(reference, reference_bytes);
    if (copy == NULL)
        return false;
    bool is_ok = false;
    if (strncmp(copy, "env:", 4) == 0 && copy[4] != '\0')
        is_ok = expansion_add_variable(expansion, copy + 4);
    else if (strncmp(copy, "file:", 5) == 0 && copy[5] != '\0')
        is_ok = expansion_add_file(expansion, copy + 5);
    else
        snprintf(expansion->why, CONFIG_EXPAND_WHY_BYTES,
                 "an unknown ${...}, expected ${env:NAME} or ${file:PATH}");
    free(copy);
    return is_ok;
}

static bool expansion_run(struct expansion *expansion, const char *text, size_t text_bytes)
{
    const char *end = text + text_bytes;
    for (;;) {
        size_t left = (size_t)(end - text);
        const char *dollar = memmem(text, left, "${", 2);
        if (dollar == NULL)
            return expansion_add(expansion, text, left);
        if (!expansion_add(expansion, text, (size_t)(dollar - text)))
            return false;
        const char *reference = dollar + 2;
        const char *brace = memchr(reference, '}', (size_t)(end - reference));
        if (brace == NULL) {
            snprintf(expansion->why, CONFIG_EXPAND_WHY_BYTES,
                     "a ${ without its }, expected ${env:NAME} or ${file:PATH}");
            return false;
        }
        if (!expansion_add_reference(expansion, reference, (size_t)(brace - reference)))
            return false;
        text = brace + 1;
    }
}

/* Whether text is one at all. */
static bool check_text(const char *text, size_t text_bytes, char *why)
{
    why[0] = '\0';
    if (memchr(text, '\0', text_bytes) == NULL)
        return true;
    snprintf(why, CONFIG_EXPAND_WHY_BYTES, "contains a NUL character, expected text");
    return false;
}

char *config_expand(const char *file, const char *text, size_t text_bytes, char *why)
{
    struct expansion expansion = {.file = file, .why = why};
    if (!check_text(text, text_bytes, why))
        return NULL;
    if (expansion_run(&expansion, text, text_bytes))
        return expansion.out;
    free(expansion.out);
    return NULL;
}

bool config_expand_template(const char *file, const char *text, size_t text_bytes,
                            struct config_template *template, char *why)
{
    struct expansion expansion = {.file = file, .template = template, .why = why};
    *template = (struct config_template){.pieces = calloc(1, sizeof(char *))};
    if (check_text(text, text_bytes, why) && template->pieces != NULL &&
        expansion_run(&expansion, text, text_bytes) && expansion_end_piece(&expansion))
        return true;
    free(expansion.out);
    config_template_clear(template);
    return false;
}
