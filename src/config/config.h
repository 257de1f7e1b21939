/*
 * YAML text -> one checked struct config.
 *
 * Everything that a user can set is a row of the table in config_keys.c; the reader, the checks,
 * `did you mean` and the manual page come from the row.  A struct config is never changed after
 * it was read: a reload reads another one, and whoever still uses the old one holds a reference.
 */
#ifndef WSKEEP_CONFIG_CONFIG_H
#define WSKEEP_CONFIG_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/settings.h"
#include "proto/handshake.h"
#include "proto/message.h"
#include "proto/proxy.h"
#include "proto/url.h"

enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARNING, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };
enum config_log_format { CONFIG_LOG_TEXT, CONFIG_LOG_JSON, CONFIG_LOG_JOURNAL };

enum config_listen_kind {
    CONFIG_LISTEN_TCP,
    CONFIG_LISTEN_UNIX,
    CONFIG_LISTEN_SYSTEMD /* sockets that the service manager hands over */
};

struct config_listen {
    enum config_listen_kind kind;
    char *text; /* as written: "ws://127.0.0.1:9001", "ws+unix:/run/wskeep/game.sock" */
    char *host; /* TCP: an address, or a name such as localhost */
    uint16_t port;
    bool tls;   /* TCP: wss:// */
    char *path; /* Unix */
    char *name; /* systemd: FileDescriptorName= */
};

struct config_strings {
    char **items;
    size_t count;
};

struct config_users {
    uid_t *ids;
    size_t count;
};

/* Files are named as the daemon opens them; "" for none. */
struct config_client_tls {
    char *cert; /* and the chain behind it */
    char *key;
    char *client_ca;
};

enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

struct config_upstream_tls {
    char *ca; /* "": the system's list */
    char *cert;
    char *key;
    char *server_name; /* "": the host of the URL */
    bool verify;
    enum config_tls_version min_version;
};

/* permessage-deflate, where the peer agrees. */
enum config_compression { CONFIG_COMPRESSION_OFF, CONFIG_COMPRESSION_ON };

struct config_client {
    mode_t mode; /* of a Unix socket; 0660 */
    uid_t owner; /* (uid_t)-1: not set */
    gid_t group; /* (gid_t)-1: not set */
    struct config_strings allow_origins;
    struct config_strings allow_hosts;
    struct config_users allow_users; /* none: every user */
    uint32_t max_clients;
    struct message_limits limits; /* max_message, max_fragments */
    enum config_compression compression;
    uint64_t handshake_timeout_ms;
    struct config_client_tls tls;
    char *token; /* "": none is asked for */
};

enum config_path { CONFIG_PATH_FIXED, CONFIG_PATH_APPEND };
enum config_cookies { CONFIG_COOKIES_KEEP, CONFIG_COOKIES_OFF };

/*
 * A value that is put together anew for every attempt: a text, a file, a text, a file, ..., a text.
 * Without files it is pieces[0].
 */
struct config_template {
    char **pieces; /* file_count + 1; NULL: there is no value */
    char **paths;  /* file_count; NULL when that is 0 */
    size_t file_count;
};

struct config_header {
    char *name;
    struct config_template value;
};

struct config_upstream {
    struct url *urls; /* at least one; one is tried per attempt.  Without what files add to the
                         target */
    struct config_template *targets; /* of each, its target with files; no value when it has none */
    size_t url_count;
    struct proxy proxy;
    enum config_path path;
    struct config_header *headers;
    size_t header_count;
    struct config_strings forward_headers;
    enum config_cookies cookies;
    enum config_compression compression;
    struct config_strings subprotocols;
    struct message_limits limits;
    struct config_upstream_tls tls;
};

/* One entry under `links:`.  Shared by the link's sessions, on all workers: counted references. */
struct link_config {
    atomic_uint reference_count;
    char *name;
    struct config_listen *listens;
    size_t listen_count;
    struct config_client client;
    struct config_upstream upstream;
    struct session_settings session; /* heartbeat, reconnect, close_rules, delivery, session */
    char *gap_message;
};

struct config {
    enum config_log_level log_level;
    enum config_log_format log_format;
    uint32_t worker_count; /* or CONFIG_WORKERS_AUTO */
    uint64_t memory_bytes_max;
    struct link_config **links; /* NULL when there is none */
    size_t link_count;
};

struct config_error {
    char *file;    /* "" for the command line */
    unsigned line; /* from 1; 0 when there is no place, such as a file that cannot be read */
    unsigned column;
    char *path; /* "links[0].heartbeat.interval"; "" when no key is to blame */
    char *text; /* "20ms is below the minimum, 100ms" */
};

struct config_errors {
    struct config_error *items;
    size_t count; /* at most CONFIG_ERROR_COUNT_MAX; the last one then says so */
};

enum { CONFIG_WORKER_COUNT_MAX = 64 };
#define CONFIG_WORKERS_AUTO UINT32_MAX /* one for each processor that we may use */

enum {
    CONFIG_TEMPLATE_FILE_COUNT_MAX = 16, /* of one value */
    CONFIG_HEADER_FILE_COUNT_MAX = 64    /* of all headers of a link */
};

enum {
    CONFIG_ERROR_COUNT_MAX = 100,
    CONFIG_FILE_BYTES_MAX = 1024 * 1024,
    CONFIG_LINK_COUNT_MAX = 1024
};

/*
 * Read path, then links.d/ *.yaml beside it in name order.  Returns the configuration, or NULL
 * with at least one error; all mistakes are collected.  errors is only written to.  The caller
 * frees both.
 */
struct config *config_read_file(const char *path, struct config_errors *errors);

/* The same from text in memory, which messages call `name`; no links.d. */
struct config *config_read_text(const char *name, const char *text, size_t text_bytes,
                                struct config_errors *errors);

/* One link from the command line, called "default": --listen and --upstream. */
struct config *config_from_options(const char *listen, const char *upstream,
                                   struct config_errors *errors);

void config_free(struct config *config); /* NULL is allowed; drops one reference of each link */

/* Forget it: what it held is wiped. */
void config_template_clear(struct config_template *template);

struct link_config *link_config_hold(struct link_config *link);
void link_config_release(struct link_config *link);

/* `wskeep.yaml:14:25: links[0].heartbeat.interval: 20ms is below the minimum, 100ms`, terminated
 * and cut to out_bytes.  Control characters are escaped. */
void config_error_format(const struct config_error *error, char *out, size_t out_bytes);
void config_errors_clear(struct config_errors *errors);

#endif
