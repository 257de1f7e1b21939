/* What the demo shows. */
#include "wskeepctl/demo_screen.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LIVE_MS = 100, LINE_MS = 1000, COLUMNS_WITHOUT_TERMINAL = 1000, COLUMNS_USUAL = 80 };

static const char *const colours[DEMO_COLOUR_COUNT] = {
    [DEMO_PLAIN] = "",          [DEMO_RED] = "\033[31m", [DEMO_GREEN] = "\033[32m",
    [DEMO_YELLOW] = "\033[33m", [DEMO_DIM] = "\033[2m",
};

void demo_screen_init(struct demo_screen *screen)
{
    const char *terminal = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    memset(screen, 0, sizeof(*screen));
    screen->is_live =
        isatty(STDOUT_FILENO) == 1 && terminal != NULL && strcmp(terminal, "dumb") != 0;
    screen->has_colours = screen->is_live && (no_colour == NULL || no_colour[0] == '\0');
}

void demo_screen_start(struct demo_screen *screen, uint64_t now_ms)
{
    screen->start_ms = now_ms;
    screen->due_ms = screen->is_live ? now_ms : now_ms + LINE_MS;
}

static void flush(struct demo_screen *screen)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        screen->is_broken = true;
}

static void put_line(struct demo_screen *screen, enum demo_colour colour, const char *text)
{
    bool has_colour = screen->has_colours && colour != DEMO_PLAIN;
    printf("%s%s%s%s\n", screen->has_line ? "\r\033[K" : "", has_colour ? colours[colour] : "",
           text, has_colour ? "\033[0m" : "");
    if (screen->has_line)
        screen->due_ms = 0; /* it is wanted below this line */
    screen->has_line = false;
    flush(screen);
}

void demo_screen_say(struct demo_screen *screen, enum demo_colour colour, const char *format, ...)
{
    char text[DEMO_SCREEN_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    put_line(screen, colour, text);
}

void demo_screen_note(struct demo_screen *screen, uint64_t now_ms, enum demo_colour colour,
                      const char *format, ...)
{
    char text[DEMO_SCREEN_LINE_BYTES_MAX];
    uint64_t age_ms = now_ms - screen->start_ms;
    int used = snprintf(text, sizeof(text), "%3" PRIu64 ".%" PRIu64 " s  ", age_ms / 1000,
                        age_ms % 1000 / 100);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
    va_end(arguments);
    put_line(screen, colour, text);
}

size_t demo_screen_columns(const struct demo_screen *screen)
{
    struct winsize size;
    if (!screen->is_live)
        return COLUMNS_WITHOUT_TERMINAL;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return COLUMNS_USUAL;
    return size.ws_col;
}

void demo_screen_live(struct demo_screen *screen, uint64_t now_ms, const char *text)
{
    if (now_ms < screen->due_ms)
        return;
    if (screen->is_live) {
        /* A line that wraps could not be rewritten. */
        printf("\r\033[K%.*s", (int)demo_screen_columns(screen) - 1, text);
        screen->has_line = true;
        screen->due_ms = now_ms + LIVE_MS;
    } else {
        printf("%s\n", text);
        screen->due_ms = now_ms - (now_ms - screen->start_ms) % LINE_MS + LINE_MS;
    }
    flush(screen);
}

void demo_screen_end_live(struct demo_screen *screen)
{
    if (screen->has_line)
        printf("\n");
    screen->has_line = false;
    flush(screen);
}
