/* One end of a WebSocket. */
#include "wskeepctl/demo_conn.h"

#include <assert.h>
#include <errno.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/mask.h"

void demo_conn_init(struct demo_conn *conn, int fd, bool masks)
{
    static const struct message_limits limits = {.message_bytes_max = DEMO_CONN_MESSAGE_BYTES_MAX,
                                                 .fragment_count_max = 16};
    conn->fd = fd;
    conn->masks = masks;
    conn->wants_shut = false;
    conn->write_ended = false;
    conn->in_bytes = 0;
    conn->in_at = 0;
    conn->head_scanned = 0;
    conn->out_bytes = 0;
    message_reader_init(&conn->reader, !masks, &limits);
}

void demo_conn_clear(struct demo_conn *conn, bool reset)
{
    if (conn->fd < 0)
        return;
    if (reset) {
        const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    close(conn->fd);
    conn->fd = -1;
    message_reader_clear(&conn->reader);
}

short demo_conn_events(const struct demo_conn *conn, bool reads)
{
    short events = reads ? POLLIN : 0;
    if (conn->out_bytes > 0 && !conn->write_ended)
        events |= POLLOUT;
    return events;
}

enum demo_conn_fill demo_conn_fill(struct demo_conn *conn)
{
    if (conn->in_bytes == sizeof(conn->in))
        return DEMO_CONN_END;
    ssize_t got;
    do
        got = recv(conn->fd, conn->in + conn->in_bytes, sizeof(conn->in) - conn->in_bytes, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        conn->in_bytes += (size_t)got;
        return DEMO_CONN_FILLED;
    }
    if (got == 0)
        return DEMO_CONN_END;
    return errno == EAGAIN || errno == EWOULDBLOCK ? DEMO_CONN_DRY : DEMO_CONN_BROKEN;
}

enum http_head_result demo_conn_head(struct demo_conn *conn, bool request, struct http_head *head)
{
    size_t head_bytes;
    enum http_head_result found =
        http_head_find_end(conn->in, conn->in_bytes, &conn->head_scanned, &head_bytes);
    if (found != HTTP_HEAD_OK)
        return found;
    conn->in_at = head_bytes;
    return http_head_parse(conn->in, head_bytes, request, head);
}

enum message_event demo_conn_next(struct demo_conn *conn, struct message *message)
{
    size_t consumed;
    enum message_event event = message_read(&conn->reader, conn->in + conn->in_at,
                                            conn->in_bytes - conn->in_at, &consumed, message);
    conn->in_at += consumed;
    if (event == MESSAGE_NEED_MORE)
        conn->in_bytes = conn->in_at = 0; /* the reader keeps what is not whole */
    return event;
}

bool demo_conn_put(struct demo_conn *conn, const void *data, size_t bytes)
{
    if (conn->write_ended || conn->wants_shut)
        return true; /* nobody reads it: dropped, and the end is found by reading */
    if (bytes > sizeof(conn->out) - conn->out_bytes)
        return false;
    memcpy(conn->out + conn->out_bytes, data, bytes);
    conn->out_bytes += bytes;
    return true;
}

bool demo_conn_send(struct demo_conn *conn, enum frame_opcode opcode, const uint8_t *payload,
                    size_t payload_bytes)
{
    struct frame_header header = {
        .fin = true, .masked = conn->masks, .opcode = opcode, .payload_bytes = payload_bytes};
    uint8_t frame[FRAME_HEADER_BYTES_MAX + DEMO_CONN_MESSAGE_BYTES_MAX];
    assert(payload_bytes <= DEMO_CONN_MESSAGE_BYTES_MAX);
    if (conn->masks && RAND_bytes(header.mask_key, sizeof(header.mask_key)) != 1)
        return false;
    size_t header_bytes = frame_header_encode(&header, frame);
    mask_copy(frame + header_bytes, payload, payload_bytes, header.mask_key, 0);
    return demo_conn_put(conn, frame, header_bytes + payload_bytes);
}

bool demo_conn_send_close(struct demo_conn *conn, uint16_t code, const char *reason)
{
    struct close_frame frame;
    uint8_t body[FRAME_CONTROL_BYTES_MAX];
    close_set(&frame, code, reason);
    return demo_conn_send(conn, FRAME_CLOSE, body, close_encode(&frame, body));
}

void demo_conn_flush(struct demo_conn *conn)
{
    if (conn->out_bytes > 0 && !conn->write_ended) {
        ssize_t put;
        do
            put = send(conn->fd, conn->out, conn->out_bytes, MSG_NOSIGNAL);
        while (put < 0 && errno == EINTR);
        if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            conn->write_ended = true;
            conn->out_bytes = 0;
        } else if (put > 0) {
            conn->out_bytes -= (size_t)put;
            memmove(conn->out, conn->out + put, conn->out_bytes);
        }
    }
    if (conn->wants_shut && conn->out_bytes == 0 && !conn->write_ended) {
        shutdown(conn->fd, SHUT_WR);
        conn->write_ended = true;
    }
}

void demo_conn_shut(struct demo_conn *conn)
{
    conn->wants_shut = true;
    demo_conn_flush(conn);
}

void demo_conn_sha1(const void *data, size_t bytes, uint8_t digest[20])
{
    SHA1(data, bytes, digest);
}
