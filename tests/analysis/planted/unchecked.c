/* gcc analyzer-possible-null-dereference: nobody asks whether there was memory. */
#include <stdlib.h>

struct planted_timer {
    int due_ms;
};

struct planted_timer *planted_timer_new(int due_ms);

struct planted_timer *planted_timer_new(int due_ms)
{
    struct planted_timer *timer = malloc(sizeof(*timer));
    timer->due_ms = due_ms;
    return timer;
}
