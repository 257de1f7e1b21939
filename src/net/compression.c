/* permessage-deflate on one connection. */
#include "net/compression.h"

#include <stdlib.h>

#include "net/conn.h"
#include "net/timers.h"
#include "net/worker.h"

enum {
    PLAIN_READ_BYTES = 16 * 1024,
    TLS_READ_BYTES = 48 * 1024 /* conn_read() wants room for two records and more */
};

struct compression *compression_new(struct message_reader *reader,
                                    const struct deflate_terms *terms, bool is_server)
{
    unsigned server_bits = terms->server_max_window_bits;
    unsigned client_bits = terms->client_max_window_bits;
    bool server_keeps = !terms->server_no_context_takeover;
    bool client_keeps = !terms->client_no_context_takeover;
    struct compression *compression = calloc(1, sizeof(*compression));
    if (!compression || !message_reader_inflate(reader, is_server ? client_bits : server_bits,
                                                is_server ? client_keeps : server_keeps)) {
        free(compression);
        return NULL;
    }
    deflate_writer_init(&compression->writer, is_server ? server_bits : client_bits,
                        is_server ? server_keeps : client_keeps);
    return compression;
}

void compression_free(struct compression *compression)
{
    if (!compression)
        return;
    deflate_writer_clear(&compression->writer);
    free(compression);
}

size_t compression_read_bytes_max(const struct conn *conn, bool may_be_deflated)
{
    if (!may_be_deflated)
        return WORKER_RECEIVE_BYTES;
    return conn->tls ? TLS_READ_BYTES : PLAIN_READ_BYTES;
}

uint64_t compression_deadline_ms(const struct compression *compression)
{
    if (!compression || compression->used_ms == 0)
        return TIMERS_NEVER;
    return compression->used_ms + COMPRESSION_QUIET_MS;
}

size_t compression_timer(struct compression *compression, struct message_reader *reader,
                         bool is_busy, uint64_t now_ms)
{
    if (now_ms < compression_deadline_ms(compression))
        return 0;
    if (is_busy) {
        compression->used_ms = now_ms;
        return 0;
    }
    compression->used_ms = 0;
    deflate_writer_rest(&compression->writer);
    message_reader_rest(reader);
    return COMPRESSION_BYTES;
}
