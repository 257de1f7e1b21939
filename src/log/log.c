#include "log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Room that is kept at the end of a line: for what says that it was cut, and for the newline. */
enum { LOG_TAIL_BYTES = 16 };

/* An entry of the journal: the sentence, and then all of it again as fields. */
enum { LOG_ENTRY_BYTES_MAX = 3 * LOG_LINE_BYTES_MAX };

/* A line as it grows.  A piece that does not fit is left out whole. */
struct log_builder {
    size_t used;
    size_t bytes_max;
    bool is_cut;
    char out[LOG_ENTRY_BYTES_MAX];
};

/* How a character that must not reach a terminal is written. */
enum log_escaping {
    LOG_ESCAPE_SENTENCE, /* \n \x1b: what a sentence itself may not have */
    LOG_ESCAPE_QUOTED,   /* the same, and \" and \\: a text between quotes */
    LOG_ESCAPE_JSON      /* RFC 8259 section 7 */
};

/* ---- characters --------------------------------------------------------------------------- */

/*
 * Decode the character at the front of text.  RFC 3629.  Returns its bytes, or 0 when they are not
 * UTF-8: then the first byte is skipped alone.
 */
static size_t character_decode(const unsigned char *text, size_t text_bytes, uint32_t *code_point)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned first = text[0];
    if (first < 0x80) {
        *code_point = first;
        return 1;
    }
    size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || bytes > text_bytes)
        return 0;
    uint32_t sum = first & (0x7fU >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        sum = sum << 6 | (text[i] & 0x3fU);
    }
    if (sum < smallest[bytes] || sum > 0x10ffff || (sum >= 0xd800 && sum <= 0xdfff))
        return 0;
    *code_point = sum;
    return bytes;
}

/* Controls, and what changes the order or the lines of what is shown. */
static bool character_is_unsafe(uint32_t code_point)
{
    return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) ||
           (code_point >= 0x2028 && code_point <= 0x202e) ||
           (code_point >= 0x2066 && code_point <= 0x2069);
}

/* One character as it is written: at most 16 bytes.  Returns the bytes taken from text. */
static size_t character_escape(const unsigned char *text, size_t text_bytes,
                               enum log_escaping escaping, char piece[20])
{
    static const char *const short_forms[] = {
        ['\t'] = "\\t", ['\n'] = "\\n", ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\"};
    uint32_t code_point = 0;
    size_t bytes = character_decode(text, text_bytes, &code_point);
    if (bytes == 0) {
        if (escaping == LOG_ESCAPE_JSON)
            snprintf(piece, 20, "\xef\xbf\xbd"); /* U+FFFD */
        else
            snprintf(piece, 20, "\\x%02x", (unsigned)text[0]);
        return 1;
    }
    bool is_quoting = code_point == '"' || code_point == '\\';
    bool is_plain = is_quoting ? escaping == LOG_ESCAPE_SENTENCE : !character_is_unsafe(code_point);
    if (is_plain)
        snprintf(piece, 20, "%.*s", (int)bytes, (const char *)text);
    else if (code_point < sizeof(short_forms) / sizeof(short_forms[0]) &&
             short_forms[code_point] != NULL)
        snprintf(piece, 20, "%s", short_forms[code_point]);
    else if (escaping == LOG_ESCAPE_JSON || code_point > 0xff)
        snprintf(piece, 20, "\\u%04x", (unsigned)code_point); /* none is over U+FFFF */
    else
        snprintf(piece, 20, "\\x%02x", (unsigned)code_point);
    return bytes;
}

/* Append, terminated, up to the last whole character that fits.  *is_cut: there was more. */
static size_t text_append(char *out, size_t used, size_t out_bytes, const char *text,
                          size_t text_bytes, enum log_escaping escaping, bool *is_cut)
{
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *end = at + text_bytes;
    while (at < end) {
        char piece[20];
        at += character_escape(at, (size_t)(end - at), escaping, piece);
        size_t piece_bytes = strlen(piece);
        if (used + piece_bytes + 1 > out_bytes) {
            *is_cut = true;
            break;
        }
        memcpy(out + used, piece, piece_bytes);
        used += piece_bytes;
    }
    if (used < out_bytes)
        out[used] = '\0';
    return used;
}

size_t log_escape(char *out, size_t out_used, size_t out_bytes, const char *text, size_t text_bytes)
{
    bool is_cut = false;
    return text_append(out, out_used, out_bytes, text, text_bytes, LOG_ESCAPE_QUOTED, &is_cut);
}

/* ---- lines -------------------------------------------------------------------------------- */

static void builder_text(struct log_builder *line, const char *text, size_t text_bytes,
                         enum log_escaping escaping)
{
    line->used = text_append(line->out, line->used, line->bytes_max, text, text_bytes, escaping,
                             &line->is_cut);
}

/* Our own words: nothing in them to escape. */
static void builder_word(struct log_builder *line, const char *word)
{
    size_t bytes = strlen(word);
    if (bytes >= line->bytes_max - line->used) {
        line->is_cut = true;
        return;
    }
    memcpy(line->out + line->used, word, bytes + 1);
    line->used += bytes;
}

static void builder_number(struct log_builder *line, uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRIu64, number);
    builder_word(line, digits);
}

static void builder_time(struct log_builder *line)
{
    struct timespec now = {0};
    struct tm utc = {0};
    char text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", utc.tm_year + 1900,
             utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
             now.tv_nsec / 1000000);
    builder_word(line, text);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR:
        return "error";
    case LOG_WARNING:
        return "warning";
    case LOG_INFO:
        return "info";
    case LOG_DEBUG:
        return "debug";
    }
    return "";
}

/* As syslog(3) numbers them. */
static unsigned level_priority(enum log_level level)
{
    switch (level) {
    case LOG_ERROR:
        return 3;
    case LOG_WARNING:
        return 4;
    case LOG_INFO:
        return 6;
    case LOG_DEBUG:
        return 7;
    }
    return 3;
}

/* A value that needs no quotes is easier to read and to search for. */
static bool text_is_bare(const char *text, size_t text_bytes)
{
    for (size_t i = 0; i < text_bytes; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"\\=", text[i]) != NULL)
            return false;
    return text_bytes > 0;
}

static void builder_field_text(struct log_builder *line, const struct log_field *field)
{
    builder_word(line, " ");
    builder_word(line, field->name);
    builder_word(line, "=");
    if (field->type == LOG_FIELD_NUMBER) {
        builder_number(line, field->number);
        return;
    }
    bool is_bare = text_is_bare(field->text, field->text_bytes);
    builder_word(line, is_bare ? "" : "\"");
    builder_text(line, field->text, field->text_bytes, LOG_ESCAPE_QUOTED);
    builder_word(line, is_bare ? "" : "\"");
}

/* What a reader sees: lines that were lost, the sentence or event and fields. */
static void builder_sentence(struct log_builder *line, const struct log *log, const char *event,
                             const char *sentence, const struct log_field *fields,
                             size_t field_count)
{
    if (log->lost_count > 0) {
        builder_word(line, "[lost before this: ");
        builder_number(line, log->lost_count);
        builder_word(line, "] ");
    }
    if (sentence != NULL) {
        builder_text(line, sentence, strlen(sentence), LOG_ESCAPE_SENTENCE);
        return;
    }
    builder_word(line, event);
    for (size_t i = 0; i < field_count && !line->is_cut; i++)
        builder_field_text(line, &fields[i]);
}

static void build_text(struct log_builder *line, const struct log *log, enum log_level level,
                       const char *event, const char *sentence, const struct log_field *fields,
                       size_t field_count)
{
    if (log->fd_is_journal) {
        builder_word(line, "<");
        builder_number(line, level_priority(level));
        builder_word(line, ">");
    } else {
        builder_time(line);
        builder_word(line, " ");
    }
    builder_word(line, level_name(level));
    builder_word(line, " ");
    builder_sentence(line, log, event, sentence, fields, field_count);
    line->bytes_max += LOG_TAIL_BYTES;
    builder_word(line, line->is_cut ? "...\n" : "\n");
}

static void builder_json_string(struct log_builder *line, const char *text, size_t text_bytes)
{
    builder_word(line, "\"");
    builder_text(line, text, text_bytes, LOG_ESCAPE_JSON);
    builder_word(line, "\"");
}

static void builder_json_field(struct log_builder *line, const struct log_field *field)
{
    size_t used = line->used;
    builder_word(line, ",");
    builder_json_string(line, field->name, strlen(field->name));
    builder_word(line, ":");
    if (field->type == LOG_FIELD_NUMBER)
        builder_number(line, field->number);
    else
        builder_json_string(line, field->text, field->text_bytes);
    if (line->is_cut)
        line->used = used; /* all of it or nothing */
}

static void build_json(struct log_builder *line, const struct log *log, enum log_level level,
                       const char *event, const struct log_field *fields, size_t field_count)
{
    builder_word(line, "{\"time\":\"");
    builder_time(line);
    builder_word(line, "\",\"level\":\"");
    builder_word(line, level_name(level));
    builder_word(line, "\",\"event\":\"");
    builder_word(line, event);
    builder_word(line, "\"");
    if (log->lost_count > 0) {
        builder_word(line, ",\"lost_lines\":");
        builder_number(line, log->lost_count);
    }
    for (size_t i = 0; i < field_count && !line->is_cut; i++)
        builder_json_field(line, &fields[i]);
    line->bytes_max += LOG_TAIL_BYTES;
    builder_word(line, line->is_cut ? ",\"cut\":true}\n" : "}\n");
}

/* ---- the journal's native protocol: NAME=VALUE, each ended by a newline -------------------- */

/* `delay_ms` -> `WSKEEP_DELAY_MS`.  All of it or nothing. */
static void builder_entry_field(struct log_builder *line, const struct log_field *field)
{
    size_t used = line->used;
    builder_word(line, "WSKEEP_");
    for (const char *at = field->name; *at != '\0'; at++) {
        bool is_lower = *at >= 'a' && *at <= 'z';
        bool is_digit = *at >= '0' && *at <= '9';
        const char name[] = {(char)(is_lower ? *at - 'a' + 'A' : is_digit ? *at : '_'), '\0'};
        builder_word(line, name);
    }
    builder_word(line, "=");
    if (field->type == LOG_FIELD_NUMBER)
        builder_number(line, field->number);
    else /* a newline is escaped: no value needs the form with a length */
        builder_text(line, field->text, field->text_bytes, LOG_ESCAPE_SENTENCE);
    builder_word(line, "\n");
    if (line->is_cut)
        line->used = used;
}

static void build_entry(struct log_builder *line, const struct log *log, enum log_level level,
                        const char *event, const char *sentence, const struct log_field *fields,
                        size_t field_count)
{
    builder_word(line, "SYSLOG_IDENTIFIER=wskeepd\nPRIORITY=");
    builder_number(line, level_priority(level));
    builder_word(line, "\nWSKEEP_EVENT=");
    builder_word(line, event);
    if (log->lost_count > 0) {
        builder_word(line, "\nWSKEEP_LOST_LINES=");
        builder_number(line, log->lost_count);
    }
    builder_word(line, "\nMESSAGE=");
    line->bytes_max = line->used + LOG_LINE_BYTES_MAX;
    builder_sentence(line, log, event, sentence, fields, field_count);
    line->bytes_max = LOG_ENTRY_BYTES_MAX - LOG_TAIL_BYTES;
    builder_word(line, line->is_cut ? "...\n" : "\n");
    line->is_cut = false; /* the fields have their own room */
    for (size_t i = 0; i < field_count && !line->is_cut; i++)
        builder_entry_field(line, &fields[i]);
    line->bytes_max += LOG_TAIL_BYTES;
    builder_word(line, line->is_cut ? "WSKEEP_CUT=1\n" : "");
}

/* errno, 0: it is written.  By name each time: a journal that was restarted is found again. */
static int entry_write(struct log *log, const char *entry, size_t entry_bytes)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = log->journal_path != NULL ? log->journal_path : LOG_JOURNAL_PATH;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (!log->journal_is_open) {
        log->journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (log->journal_fd < 0)
            return errno;
        log->journal_is_open = true;
    }
    ssize_t sent = sendto(log->journal_fd, entry, entry_bytes, MSG_NOSIGNAL,
                          (const struct sockaddr *)&address, sizeof(address));
    return sent < 0 ? errno : 0;
}

bool log_is_journal_stream(int fd, const char *journal_stream)
{
    struct stat found;
    char text[48];
    if (journal_stream == NULL || fstat(fd, &found) != 0)
        return false;
    snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)found.st_dev, (uintmax_t)found.st_ino);
    return strcmp(text, journal_stream) == 0;
}

void log_clear(struct log *log)
{
    if (log->journal_is_open)
        close(log->journal_fd);
    log->journal_is_open = false;
}

/* ---- writing ------------------------------------------------------------------------------ */

/* A reader that does not keep up must not stop a loop: a full pipe loses lines instead.  A pipe
 * without a reader is an error as well as ready, and writing to it would raise SIGPIPE. */
static bool line_write(int fd, const char *line, size_t line_bytes)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1 || ready.revents != POLLOUT)
        return false;
    ssize_t written;
    do
        written = write(fd, line, line_bytes);
    while (written < 0 && errno == EINTR);
    return written == (ssize_t)line_bytes;
}

/* On standard error. */
static void line_out(struct log *log, enum log_level level, const char *event, const char *sentence,
                     const struct log_field *fields, size_t field_count)
{
    struct log_builder line;
    line.used = 0;
    line.is_cut = false;
    line.bytes_max = LOG_LINE_BYTES_MAX - LOG_TAIL_BYTES;
    if (log->format == LOG_JSON)
        build_json(&line, log, level, event, fields, field_count);
    else
        build_text(&line, log, level, event, sentence, fields, field_count);
    if (line_write(log->fd, line.out, line.used))
        log->lost_count = 0;
    else
        log->lost_count++;
}

/* False: there is no journal, and standard error has to do. */
static bool entry_out(struct log *log, enum log_level level, const char *event,
                      const char *sentence, const struct log_field *fields, size_t field_count)
{
    struct log_builder entry;
    entry.used = 0;
    entry.is_cut = false;
    entry.bytes_max = LOG_ENTRY_BYTES_MAX - LOG_TAIL_BYTES;
    build_entry(&entry, log, level, event, sentence, fields, field_count);
    int error = entry_write(log, entry.out, entry.used);
    if (error == 0) {
        log->lost_count = 0;
        return true;
    }
    if (error == EAGAIN || error == ENOBUFS) { /* it does not keep up */
        log->lost_count++;
        return true;
    }
    if (!log->journal_absence_is_said) {
        const struct log_field why[] = {log_text("why", strerror(error))};
        log->journal_absence_is_said = true;
        line_out(log, LOG_WARNING, "no-journal",
                 "the journal cannot be reached: lines go to standard error instead", why, 1);
    }
    return false;
}

void log_line(struct log *log, enum log_level level, const char *event, const char *sentence,
              const struct log_field *fields, size_t field_count)
{
    if (!log_is_on(log, level))
        return;
    pthread_mutex_lock(&log->mutex);
    if (log->format != LOG_JOURNAL || !entry_out(log, level, event, sentence, fields, field_count))
        line_out(log, level, event, sentence, fields, field_count);
    pthread_mutex_unlock(&log->mutex);
}

void log_set(struct log *log, enum log_level level, enum log_format format)
{
    atomic_store(&log->level, level);
    pthread_mutex_lock(&log->mutex);
    log->format = format;
    pthread_mutex_unlock(&log->mutex);
}

struct log_field log_text(const char *name, const char *text)
{
    return log_bytes(name, text, text == NULL ? 0 : strlen(text));
}

struct log_field log_bytes(const char *name, const char *text, size_t text_bytes)
{
    return (struct log_field){.name = name,
                              .type = LOG_FIELD_TEXT,
                              .text = text == NULL ? "" : text,
                              .text_bytes = text_bytes};
}
