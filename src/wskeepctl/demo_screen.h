/*
 * What the demo shows: lines that stay, and one that lives.
 */
#ifndef WSKEEP_WSKEEPCTL_DEMO_SCREEN_H
#define WSKEEP_WSKEEPCTL_DEMO_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum demo_colour { DEMO_PLAIN, DEMO_RED, DEMO_GREEN, DEMO_YELLOW, DEMO_DIM, DEMO_COLOUR_COUNT };

enum { DEMO_SCREEN_LINE_BYTES_MAX = 4096 };

struct demo_screen {
    bool is_live;      /* a terminal: the live line is rewritten in place */
    bool has_colours;  /* a terminal, and NO_COLOR is not set */
    bool has_line;     /* the live line stands there now */
    bool is_broken;    /* nobody reads standard output any more */
    uint64_t due_ms;   /* of the next live line */
    uint64_t start_ms; /* of the times that are shown */
};

void demo_screen_init(struct demo_screen *screen);

/* The time that is shown is counted from now on. */
void demo_screen_start(struct demo_screen *screen, uint64_t now_ms);

/* A line that stays, without its newline. */
__attribute__((format(printf, 3, 4))) void
demo_screen_say(struct demo_screen *screen, enum demo_colour colour, const char *format, ...);

/* The same, with the time before it. */
__attribute__((format(printf, 4, 5))) void demo_screen_note(struct demo_screen *screen,
                                                            uint64_t now_ms,
                                                            enum demo_colour colour,
                                                            const char *format, ...);

/* Where the terminal ends; what is no terminal is wide. */
size_t demo_screen_columns(const struct demo_screen *screen);

/* The live line, when it is due (due_ms). */
void demo_screen_live(struct demo_screen *screen, uint64_t now_ms, const char *text);

/* The last live line stays. */
void demo_screen_end_live(struct demo_screen *screen);

#endif
