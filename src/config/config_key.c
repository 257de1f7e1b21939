#include "config/config_key.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/config_value.h"
#include "core/cause.h"

enum { WORD_BYTES_MAX = 40 }; /* longer than every word of ours: no slip of the finger */

/* What config_key_parse() works on. */
struct key_check {
    const struct config_key *key;
    const char *written;
    char *why;
};

/* Append to a text of CONFIG_KEY_TEXT_BYTES, cut at its end. */
__attribute__((format(printf, 2, 3))) static void text_add(char *out, const char *format, ...)
{
    size_t used = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out + used, CONFIG_KEY_TEXT_BYTES - used, format, arguments);
    va_end(arguments);
}

const struct config_key *config_key_find(const char *path)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].path, path) == 0)
            return &keys[i];
    return NULL;
}

/* The word after `group.` in a row's path, or NULL when the row is not in the group. */
static const char *key_word_in(const struct config_key *key, const char *group, size_t *bytes)
{
    const char *word = key->path;
    size_t group_bytes = strlen(group);
    if (group_bytes > 0) {
        if (strncmp(word, group, group_bytes) != 0 || word[group_bytes] != '.')
            return NULL;
        word += group_bytes + 1;
    }
    *bytes = strcspn(word, ".");
    return word[*bytes - 1] == ']' ? NULL : word; /* `links[]` has a row `links` as well */
}

bool config_key_is_group(const char *path)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        if (key_word_in(&keys[i], path, &bytes) != NULL)
            return true;
    }
    return false;
}

const char *config_key_name(const struct config_key *key)
{
    const char *dot = strrchr(key->path, '.');
    return dot == NULL ? key->path : dot + 1;
}

void config_key_list_words(const char *group, char *out)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    const char *last = "";
    size_t last_bytes = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        const char *word = key_word_in(&keys[i], group, &bytes);
        if (word == NULL || (bytes == last_bytes && memcmp(word, last, bytes) == 0))
            continue; /* rows of one group follow each other */
        text_add(out, "%s%.*s", last_bytes > 0 ? ", " : "", (int)bytes, word);
        last = word;
        last_bytes = bytes;
    }
}

/*
 * Edits between two short words: a letter put in, left out or changed, or two neighbours
 * swapped.  Wagner and Fischer's table, with the row before last for swaps.
 */
static size_t word_distance(const char *one, size_t one_bytes, const char *other,
                            size_t other_bytes)
{
    size_t rows[3][WORD_BYTES_MAX + 1];
    size_t *before_last = rows[0];
    size_t *last = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= other_bytes; j++)
        last[j] = before_last[j] = j;
    for (size_t i = 1; i <= one_bytes; i++) {
        row[0] = i;
        for (size_t j = 1; j <= other_bytes; j++) {
            size_t best = last[j - 1] + (one[i - 1] != other[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] &&
                before_last[j - 2] + 1 < best)
                best = before_last[j - 2] + 1;
            row[j] = best;
        }
        size_t *free_row = before_last;
        before_last = last;
        last = row;
        row = free_row;
    }
    return last[other_bytes];
}

/* Remembers the nearest of several words that is near enough to have been meant. */
struct word_search {
    const char *word;
    const char *best;
    size_t best_bytes;
    size_t best_distance;
};

static struct word_search word_search_start(const char *word)
{
    size_t bytes = strlen(word);
    /* One slip in a short word, two in a longer one: more is guessing. */
    return (struct word_search){.word = word, .best_distance = bytes < 3 ? 1 : bytes < 6 ? 2 : 3};
}

static void word_search_try(struct word_search *search, const char *word, size_t word_bytes)
{
    size_t bytes = strlen(search->word);
    if (bytes > WORD_BYTES_MAX || word_bytes > WORD_BYTES_MAX)
        return;
    size_t distance = word_distance(search->word, bytes, word, word_bytes);
    if (distance < search->best_distance && distance < word_bytes) {
        search->best = word;
        search->best_bytes = word_bytes;
        search->best_distance = distance;
    }
}

bool config_key_suggest(const char *group, const char *word, char *out)
{
    size_t count;
    const struct config_key *keys = config_keys(&count);
    struct word_search search = word_search_start(word);
    const char *elsewhere = NULL;
    size_t elsewhere_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        const char *sibling = key_word_in(&keys[i], group, &bytes);
        if (sibling != NULL)
            word_search_try(&search, sibling, bytes);
        if (strcmp(config_key_name(&keys[i]), word) == 0) {
            elsewhere = keys[i].path;
            elsewhere_count++;
        }
    }
    if (search.best != NULL)
        snprintf(out, CONFIG_KEY_TEXT_BYTES, "%.*s", (int)search.best_bytes, search.best);
    else if (elsewhere_count == 1)
        snprintf(out, CONFIG_KEY_TEXT_BYTES, "%s", elsewhere);
    return search.best != NULL || elsewhere_count == 1;
}

/* "text or json"; the built ones only. */
static void choices_list(const struct config_choice *choices, char *out)
{
    size_t left = 0;
    for (const struct config_choice *choice = choices; choice->name != NULL; choice++)
        left += choice->value != CONFIG_CHOICE_UNBUILT;
    bool is_first = true;
    for (const struct config_choice *choice = choices; choice->name != NULL; choice++) {
        if (choice->value == CONFIG_CHOICE_UNBUILT)
            continue;
        text_add(out, "%s%s", is_first ? "" : left == 1 ? " or " : ", ", choice->name);
        is_first = false;
        left--;
    }
}

void config_key_expected(const struct config_key *key, char *out)
{
    const char *example = NULL;
    out[0] = '\0';
    switch (key->type) {
    case CONFIG_COUNT:
        text_add(out, "a whole number");
        break;
    case CONFIG_DURATION:
        text_add(out, "a number with ms, s, m or h");
        example = "20s";
        break;
    case CONFIG_SIZE:
        text_add(out, "a number with KiB, MiB or GiB");
        example = "16MiB";
        break;
    case CONFIG_DECIMAL:
        text_add(out, "a number with at most three decimals");
        example = "1.5";
        break;
    case CONFIG_BOOLEAN:
        text_add(out, "true or false");
        break;
    case CONFIG_CHOICE:
        choices_list(key->choices, out);
        break;
    case CONFIG_MODE:
        text_add(out, "octal digits after a 0");
        example = "0660";
        break;
    case CONFIG_CLOSE_CODE:
        text_add(out, "a close code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999");
        break;
    case CONFIG_USER:
        text_add(out, "a user's name or number");
        break;
    case CONFIG_GROUP:
        text_add(out, "a group's name or number");
        break;
    case CONFIG_CAUSE:
        text_add(out, "the name of a cause");
        example = "tcp-reset";
        break;
    case CONFIG_TEXT:
        text_add(out, "a text");
        break;
    case CONFIG_FILE:
        text_add(out, "the path of a file");
        break;
    case CONFIG_HOST:
        text_add(out, "a host name or an address, without a port");
        break;
    case CONFIG_NAME:
        text_add(out, "at most %" PRIu64 " of a-z, 0-9 and -", key->maximum);
        break;
    case CONFIG_RANGE:
        text_add(out, "a number or a range, within %" PRIu64 "-%" PRIu64, key->minimum,
                 key->maximum);
        break;
    case CONFIG_ORIGINS:
        text_add(out, "origins such as https://example.com");
        break;
    case CONFIG_HOSTS:
        text_add(out, "host names without a port");
        break;
    case CONFIG_SUBPROTOCOLS:
        text_add(out, "names of subprotocols");
        break;
    case CONFIG_HEADER_NAMES:
        text_add(out, "names of header fields");
        break;
    case CONFIG_USERS:
        text_add(out, "a list of users' names or numbers");
        break;
    case CONFIG_TOKEN:
        text_add(out, "at most %" PRIu64 " of A-Z, a-z, 0-9 and -._~+/, with = at the end",
                 key->maximum);
        break;
    case CONFIG_LIST:
        text_add(out, "a list");
        break;
    case CONFIG_LINKS:
        text_add(out, "a list of links");
        break;
    case CONFIG_LISTEN:
        text_add(out, "ws://HOST:PORT, wss://HOST:PORT or ws+unix:/PATH");
        break;
    case CONFIG_URL:
        text_add(out, "ws:// or wss://HOST:PORT/PATH");
        break;
    case CONFIG_PROXY:
        text_add(out, "http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ or not");
        break;
    case CONFIG_HEADERS:
        text_add(out, "a mapping of names to values");
        break;
    case CONFIG_CLOSE_RULES:
        text_add(out, "a list of rules such as {code: 1000, then: reconnect}");
        break;
    }
    if (example != NULL)
        text_add(out, ", such as %s", example);
    if (key->word != NULL)
        text_add(out, ", or %s", key->word);
}

static bool check_fail_malformed(const struct key_check *check, const char *what)
{
    char expected[CONFIG_KEY_TEXT_BYTES];
    config_key_expected(check->key, expected);
    text_add(check->why, "\"%.64s\" is %s, expected %s", check->written, what, expected);
    return false;
}

static bool check_choice(const struct key_check *check, const char *text, uint64_t *number)
{
    /* YAML 1.1 writers turn `off` into `false`. */
    if (strcmp(text, "false") == 0)
        text = "off";
    char expected[CONFIG_KEY_TEXT_BYTES];
    config_key_expected(check->key, expected);
    struct word_search search = word_search_start(text);
    for (const struct config_choice *choice = check->key->choices; choice->name != NULL; choice++) {
        if (strcmp(choice->name, text) != 0) {
            word_search_try(&search, choice->name, strlen(choice->name));
            continue;
        }
        if (choice->value == CONFIG_CHOICE_UNBUILT) {
            text_add(check->why, "%s is not supported yet, expected %s", text, expected);
            return false;
        }
        *number = (uint64_t)choice->value;
        return true;
    }
    text_add(check->why, "\"%.64s\" is unknown, ", check->written);
    if (search.best != NULL)
        text_add(check->why, "did you mean %s? ", search.best);
    text_add(check->why, "expected %s", expected);
    return false;
}

static bool check_cause(const struct key_check *check, const char *text, uint64_t *number)
{
    enum cause cause = cause_from_name(text);
    if (cause != CAUSE_NONE) {
        *number = (uint64_t)cause;
        return true;
    }
    struct word_search search = word_search_start(text);
    for (int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++)
        word_search_try(&search, cause_name((enum cause)i), strlen(cause_name((enum cause)i)));
    text_add(check->why, "\"%.64s\" is no cause, ", check->written);
    if (search.best != NULL)
        text_add(check->why, "did you mean %s? ", search.best);
    text_add(check->why, "expected the name of a cause, such as tcp-reset");
    return false;
}

/* A number is taken as it is; a name is looked up now, so that a reload can say it is wrong. */
static bool check_account(const struct key_check *check, const char *text, uint64_t *number)
{
    if (text[0] == '\0') {
        *number = UINT32_MAX; /* (uid_t)-1: not set */
        return true;
    }
    if (config_value_count(text, number))
        return *number <= check->key->maximum || check_fail_malformed(check, "too big");

    char room[16384];
    int error;
    bool is_found;
    if (check->key->type == CONFIG_USER) {
        struct passwd user;
        struct passwd *found = NULL;
        error = getpwnam_r(text, &user, room, sizeof(room), &found);
        is_found = found != NULL;
        *number = is_found ? user.pw_uid : 0;
    } else {
        struct group group;
        struct group *found = NULL;
        error = getgrnam_r(text, &group, room, sizeof(room), &found);
        is_found = found != NULL;
        *number = is_found ? group.gr_gid : 0;
    }
    if (is_found)
        return true;
    const char *kind = check->key->type == CONFIG_USER ? "user" : "group";
    if (error != 0 && error != ENOENT && error != ESRCH)
        text_add(check->why, "%s \"%.64s\" cannot be looked up: %s", kind, check->written,
                 strerror(error));
    else
        text_add(check->why, "there is no %s \"%.64s\", expected a %s's name or number", kind,
                 check->written, kind);
    return false;
}

static void number_format(const struct config_key *key, uint64_t number, char *out)
{
    if (key->type == CONFIG_DURATION)
        config_value_format_duration(number, out);
    else if (key->type == CONFIG_SIZE)
        config_value_format_size(number, out);
    else if (key->type == CONFIG_DECIMAL)
        config_value_format_decimal(number, out);
    else if (key->type == CONFIG_MODE)
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "0%03" PRIo64, number);
    else
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%" PRIu64, number);
}

static bool check_bounds(const struct key_check *check, uint64_t number)
{
    const struct config_key *key = check->key;
    if (number >= key->minimum && number <= key->maximum)
        return true;
    char bound[CONFIG_VALUE_TEXT_BYTES];
    bool is_low = number < key->minimum;
    number_format(key, is_low ? key->minimum : key->maximum, bound);
    text_add(check->why, "%.64s is %s, %s", check->written,
             is_low ? "below the minimum" : "above the maximum", bound);
    return false;
}

static bool check_number(const struct key_check *check, const char *text, uint64_t *number)
{
    switch (check->key->type) {
    case CONFIG_COUNT:
        return (config_value_count(text, number) || check_fail_malformed(check, "no number")) &&
               check_bounds(check, *number);
    case CONFIG_DURATION:
        return (config_value_duration(text, number) ||
                check_fail_malformed(check, "no duration")) &&
               check_bounds(check, *number);
    case CONFIG_SIZE:
        return (config_value_size(text, number) || check_fail_malformed(check, "no size")) &&
               check_bounds(check, *number);
    case CONFIG_DECIMAL:
        return (config_value_decimal(text, number) || check_fail_malformed(check, "no number")) &&
               check_bounds(check, *number);
    case CONFIG_MODE:
        return (config_value_mode(text, number) || check_fail_malformed(check, "no file mode")) &&
               check_bounds(check, *number);
    case CONFIG_CLOSE_CODE:
        return (config_value_count(text, number) && *number <= UINT16_MAX &&
                close_code_is_sendable((uint16_t)*number)) ||
               check_fail_malformed(check, "no such code");
    case CONFIG_BOOLEAN:
        return config_value_boolean(text, number) || check_fail_malformed(check, "no boolean");
    case CONFIG_CHOICE:
        return check_choice(check, text, number);
    case CONFIG_CAUSE:
        return check_cause(check, text, number);
    case CONFIG_USER:
    case CONFIG_GROUP:
        return check_account(check, text, number);
    default: /* no number: never asked for */
        return false;
    }
}

/* Of an unbuilt key: does this value mean off?  The preset does, and 0s. */
static bool number_is_off(const struct config_key *key, uint64_t number)
{
    char preset[CONFIG_VALUE_TEXT_BYTES];
    if (number == UINT64_MAX)
        return key->word != NULL && strcmp(key->word, key->preset) == 0;
    if (key->type == CONFIG_BOOLEAN || (key->type == CONFIG_DURATION && number == 0))
        return number == 0;
    number_format(key, number, preset);
    return strcmp(preset, key->preset) == 0;
}

bool config_key_parse(const struct config_key *key, const char *text, const char *written,
                      uint64_t *number, char *why)
{
    struct key_check check = {.key = key, .written = written, .why = why};
    why[0] = '\0';
    uint64_t parsed;
    if (key->word != NULL && strcmp(text, key->word) == 0)
        parsed = UINT64_MAX;
    else if (!check_number(&check, text, &parsed))
        return false;
    if (key->state == CONFIG_KEY_UNBUILT && !number_is_off(key, parsed)) {
        text_add(why, "%.64s is not supported yet, expected %s", written, key->preset);
        return false;
    }
    *number = parsed;
    return true;
}
