/*
 * What the table of keys and the causes are, for tests/manual/run: one JSON object on standard
 * output, without any of the daemon's own output.
 */
#include <stdio.h>

#include "config/config_keys.h"
#include "core/cause.h"

static void print_text(const char *text)
{
    if (text == NULL) {
        fputs("null", stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

static void print_choices(const struct config_choice *choice)
{
    putchar('[');
    for (bool is_first = true; choice != NULL && choice->name != NULL; choice++) {
        if (choice->value == CONFIG_CHOICE_UNBUILT)
            continue;
        if (!is_first)
            putchar(',');
        is_first = false;
        print_text(choice->name);
    }
    putchar(']');
}

int main(void)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    fputs("{\"keys\":[", stdout);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ",\n{\"path\":" : "\n{\"path\":", stdout);
        print_text(keys[i].path);
        fputs(",\"preset\":", stdout);
        print_text(keys[i].preset);
        printf(",\"is_built\":%s,\"is_required\":%s,\"is_choice\":%s,\"choices\":",
               keys[i].state == CONFIG_KEY_BUILT ? "true" : "false",
               keys[i].is_required ? "true" : "false", keys[i].choices != NULL ? "true" : "false");
        print_choices(keys[i].choices);
        putchar('}');
    }
    fputs("],\n\"causes\":[", stdout);
    for (int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++) {
        if (i > CAUSE_NONE + 1)
            putchar(',');
        print_text(cause_name((enum cause)i));
    }
    puts("]}");
    return 0;
}
