/*
 * The reader's parts: config_yaml.c walks the tree by the table of keys; config_link.c and
 * config_listen.c, config_upstream.c, config_access.c and config_strings.c read what takes more
 * than a row.
 */
#ifndef WSKEEP_CONFIG_CONFIG_READER_H
#define WSKEEP_CONFIG_CONFIG_READER_H

#include "config/config.h"
#include "config/config_errors.h"
#include "config/config_key.h"
#include "config/config_node.h"

enum { CONFIG_PATH_BYTES_MAX = 256 };

/* One file being read. */
struct config_reader {
    const char *file;
    struct config *config; /* links are added to it */
    struct config_errors *errors;
    char path[CONFIG_PATH_BYTES_MAX]; /* where it is: "links[0].upstream" */
};

/* Go down: append to path.  Returns what config_reader_leave() wants to go up again. */
__attribute__((format(printf, 2, 3))) size_t config_reader_enter(struct config_reader *reader,
                                                                 const char *format, ...);
void config_reader_leave(struct config_reader *reader, size_t path_bytes);

/* A mistake at this node, under the current path. */
__attribute__((format(printf, 3, 4))) void config_reader_fail(struct config_reader *reader,
                                                              const struct config_node *node,
                                                              const char *format, ...);

/* "a list, expected EXPECTED": the node is of another kind than it should be. */
void config_reader_fail_kind(struct config_reader *reader, const struct config_node *node,
                             const char *expected);

/*
 * The text of a scalar, with `${...}` replaced: to be freed.  NULL when there is none or it
 * cannot be replaced, which is then reported.
 */
char *config_reader_text(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node);

/* The same of a value whose files are read for every attempt.  False: it is reported. */
bool config_reader_template(struct config_reader *reader, const struct config_key *key,
                            const struct config_node *node, struct config_template *template);

/* Read a mapping by the rows of group into the struct at base. */
void config_reader_mapping(struct config_reader *reader, const char *group,
                           const struct config_node *node, void *base);

/* Values of a link with more to them than a row says.  Mistakes are reported. */
void config_read_name(struct config_reader *reader, const struct config_key *key,
                      const struct config_node *node, struct link_config *link);
void config_read_listen(struct config_reader *reader, const struct config_key *key,
                        const struct config_node *node, struct link_config *link);
void config_read_url(struct config_reader *reader, const struct config_key *key,
                     const struct config_node *node, struct link_config *link);
void config_read_proxy(struct config_reader *reader, const struct config_key *key,
                       const struct config_node *node, struct link_config *link);
void config_read_headers(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node, struct link_config *link);
void config_read_host(struct config_reader *reader, const struct config_key *key,
                      const struct config_node *node, char **field);
void config_read_strings(struct config_reader *reader, const struct config_key *key,
                         const struct config_node *node, struct config_strings *strings);
void config_read_users(struct config_reader *reader, const struct config_key *key,
                       const struct config_node *node, struct config_users *users);
void config_read_token(struct config_reader *reader, const struct config_key *key,
                       const struct config_node *node, char **token);
void config_read_close_rules(struct config_reader *reader, const struct config_key *key,
                             const struct config_node *node, struct link_config *link);
void config_read_range(struct config_reader *reader, const struct config_key *key,
                       const struct config_node *node, struct close_rule *rule);

/* What several keys say together. */
void config_check_link(struct config_reader *reader, const struct config_node *node,
                       const struct link_config *link);

/* And of those, what decides who is let in. */
void config_check_access(struct config_reader *reader, const struct config_node *node,
                         const struct link_config *link);

/* The presets of a row: number in its field's width, or a copy of its text.  False: no memory. */
bool config_preset(const struct config_key *key, void *base);

/* Put a number into a row's field. */
void config_store(const struct config_key *key, void *base, uint64_t number);

/* A link with all presets and one reference, or NULL. */
struct link_config *link_config_new(void);

/* Every preset, no link; or NULL. */
struct config *config_new(void);

/* Append a link, whose reference is taken over.  False: no memory. */
bool config_add_link(struct config *config, struct link_config *link);

#endif
