/*
 * Log lines: text for people, or one JSON object a line, on standard error; or an entry of the
 * system's journal.
 *
 * A line is built from typed fields, so all formats say the same.  Strings from a peer or a file
 * are escaped: one event is one line, whatever it contains.  Never a message body, never a secret.
 */
#ifndef WSKEEP_LOG_LOG_H
#define WSKEEP_LOG_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON, LOG_JOURNAL };

enum { LOG_LINE_BYTES_MAX = 2048 }; /* a longer line is cut, in JSON between two fields */

#define LOG_JOURNAL_PATH "/run/systemd/journal/socket"

/* The sink, and what it lets pass.  One for the daemon, handed down to all its threads. */
struct log {
    int fd;
    _Atomic enum log_level level;
    pthread_mutex_t mutex; /* of what follows: PTHREAD_MUTEX_INITIALIZER */
    enum log_format format;
    uint64_t lost_count;      /* lines that could not be written: said in the next that can be */
    bool fd_is_journal;       /* text lines start with <PRIORITY>, and the journal knows the time */
    const char *journal_path; /* NULL: LOG_JOURNAL_PATH */
    int journal_fd;           /* once journal_is_open */
    bool journal_is_open;
    bool journal_absence_is_said;
};

/* One field of a line. */
struct log_field {
    const char *name;
    enum { LOG_FIELD_TEXT, LOG_FIELD_NUMBER } type;
    const char *text; /* not necessarily terminated */
    size_t text_bytes;
    uint64_t number;
};

static inline struct log_field log_number(const char *name, uint64_t number)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_NUMBER, .number = number};
}

struct log_field log_text(const char *name, const char *text);
struct log_field log_bytes(const char *name, const char *text, size_t text_bytes);

static inline bool log_is_on(const struct log *log, enum log_level level)
{
    return level <= log->level;
}

/*
 * Write one line.
 *
 * event     a stable word: "ready", "move", "gap", ... the JSON field of that name
 * sentence  what the text format says, without time and level: "game#12: open -> waiting
 *           (tcp-reset), next attempt in 217 ms".  Not in JSON; made by the caller, and escaped
 *           here.  NULL: the text format shows event and fields as name=value.
 * fields    of the JSON object, after time, level and event
 *
 * Text: `2026-11-23T08:10:05.123Z info SENTENCE`.
 * JSON: `{"time":"2026-11-23T08:10:05.123Z","level":"info","event":"ready",...}`.
 * Journal: MESSAGE=SENTENCE, PRIORITY=6, WSKEEP_EVENT=ready, ... in one datagram.  Where there is
 * no journal it becomes text, after one warning.
 * One write(); standard error is non-blocking or not, a line that does not fit is counted as lost.
 * Any thread may call it: lines stay whole.
 */
void log_line(struct log *log, enum log_level level, const char *event, const char *sentence,
              const struct log_field *fields, size_t field_count);

/* Is this descriptor the journal's, as JOURNAL_STREAM says?  Asked once, at start. */
bool log_is_journal_stream(int fd, const char *journal_stream);

/* From the next line on.  While other threads may write theirs. */
void log_set(struct log *log, enum log_level level, enum log_format format);

/* Close what log_line() has opened. */
void log_clear(struct log *log);

/* Append text to out (terminated, cut to out_bytes) with control characters, DEL, quotes and
 * invalid UTF-8 escaped: for sentences.  Returns the new length. */
size_t log_escape(char *out, size_t out_used, size_t out_bytes, const char *text,
                  size_t text_bytes);

#endif
