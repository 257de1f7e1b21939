/* The opening handshake.  RFC 6455 section 4. */
#include "proto/handshake.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/base64.h"

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void handshake_accept(const char key[HANDSHAKE_KEY_BYTES], handshake_sha1 *sha1,
                      char accept[HANDSHAKE_ACCEPT_BYTES + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* 1.3 */
    uint8_t input[HANDSHAKE_KEY_BYTES + sizeof guid - 1];
    uint8_t digest[20];
    memcpy(input, key, HANDSHAKE_KEY_BYTES);
    memcpy(input + HANDSHAKE_KEY_BYTES, guid, sizeof guid - 1);
    sha1(input, sizeof input, digest);
    base64_encode(digest, sizeof digest, accept);
}

void handshake_key(const uint8_t random[16], char key[HANDSHAKE_KEY_BYTES + 1])
{
    base64_encode(random, 16, key);
}

/* Base64 of exactly 16 bytes: 22 digits, the last with four zero bits, and "==". */
static bool is_key(struct http_text key)
{
    if (key.bytes != HANDSHAKE_KEY_BYTES || memcmp(key.at + 22, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < 22; i++) {
        const char *digit = key.at[i] ? strchr(base64_digits, key.at[i]) : NULL;
        if (!digit || (i == 21 && (digit - base64_digits) % 16 != 0))
            return false;
    }
    return true;
}

/* ---- lists of subprotocols ---------------------------------------------------------------- */

static struct http_text trim(struct http_text text)
{
    while (text.bytes > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.bytes--;
    }
    while (text.bytes > 0 && (text.at[text.bytes - 1] == ' ' || text.at[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

static bool same_text(struct http_text a, struct http_text b)
{
    return a.bytes == b.bytes && memcmp(a.at, b.at, a.bytes) == 0;
}

/* 4.1 item 10: tokens, none twice. */
static bool add_subprotocol(struct handshake_request *request, struct http_text token)
{
    if (!http_is_token(token.at, token.bytes) || token.bytes > HANDSHAKE_SUBPROTOCOL_BYTES_MAX ||
        request->subprotocol_count == HANDSHAKE_SUBPROTOCOL_COUNT_MAX)
        return false;
    for (size_t i = 0; i < request->subprotocol_count; i++)
        if (same_text(request->subprotocols[i], token))
            return false;
    request->subprotocols[request->subprotocol_count++] = token;
    return true;
}

static bool read_subprotocols(const struct http_head *head, struct handshake_request *request)
{
    const struct http_field *field;
    for (size_t n = 0; (field = http_head_field(head, "Sec-WebSocket-Protocol", n)); n++) {
        struct http_text rest = field->value;
        for (bool more = true; more;) {
            const char *comma = rest.bytes ? memchr(rest.at, ',', rest.bytes) : NULL;
            size_t bytes = comma ? (size_t)(comma - rest.at) : rest.bytes;
            if (!add_subprotocol(request, trim((struct http_text){.at = rest.at, .bytes = bytes})))
                return false;
            more = comma != NULL;
            rest.at += bytes + more;
            rest.bytes -= bytes + more;
        }
    }
    return true;
}

/* ---- a client's request ------------------------------------------------------------------- */

static unsigned refuse(unsigned status, const char *reason, const char **why)
{
    *why = reason;
    return status;
}

static unsigned check_request_line(const struct http_head *head, const char **why)
{
    if (!http_text_equals(head->start[2], "HTTP/1.1")) {
        bool version_1 = head->start[2].at[5] == '1';
        return refuse(version_1 ? 400 : 505, "HTTP/1.1 expected", why);
    }
    if (!http_text_equals(head->start[0], "GET"))
        return refuse(405, "GET expected", why);
    return 101;
}

/*
 * RFC 9112 3.2: a path; or a URL, whose host is the one that is asked for, whatever Host says
 * (3.2.2).  Who uses both must be allowed to.
 */
static bool read_target(struct handshake_request *request)
{
    static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
    struct http_text target = request->target;
    if (target.at[0] == '/')
        return true;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t bytes = strlen(schemes[i]);
        if (target.bytes < bytes || strncasecmp(target.at, schemes[i], bytes) != 0)
            continue;
        struct http_text host = {.at = target.at + bytes};
        while (host.at + host.bytes < target.at + target.bytes &&
               !strchr("/?#", host.at[host.bytes]))
            host.bytes++;
        request->has_target_host = true;
        return host_parse(host, &request->target_host);
    }
    return false;
}

static unsigned check_upgrade(const struct http_head *head, const char **why)
{
    if (!http_head_has_token(head, "Upgrade", "websocket"))
        return refuse(426, "this is a WebSocket endpoint", why);
    if (http_head_count(head, "Upgrade") != 1)
        return refuse(400, "more than one Upgrade", why);
    if (!http_head_has_token(head, "Connection", "upgrade"))
        return refuse(400, "Connection: Upgrade missing", why);
    if (http_head_count(head, "Sec-WebSocket-Version") > 1)
        return refuse(400, "more than one Sec-WebSocket-Version", why);
    const struct http_field *version = http_head_field(head, "Sec-WebSocket-Version", 0);
    if (!version || !http_text_equals(version->value, "13"))
        return refuse(426, "WebSocket version 13 expected", why);
    return 101;
}

unsigned handshake_check_request(const struct http_head *head, struct handshake_request *request,
                                 const char **why)
{
    *request = (struct handshake_request){.target = head->start[1]};
    unsigned status = check_request_line(head, why);
    if (status != 101)
        return status;
    if (http_head_count(head, "Host") != 1)
        return refuse(400, "exactly one Host expected", why);
    if (!host_parse(http_head_field(head, "Host", 0)->value, &request->host))
        return refuse(400, "Host malformed", why);
    if (!read_target(request))
        return refuse(400, "a path expected", why);
    if (http_head_count(head, "Content-Length") || http_head_count(head, "Transfer-Encoding"))
        return refuse(400, "a body is not allowed", why);
    status = check_upgrade(head, why);
    if (status != 101)
        return status;
    const struct http_field *key = http_head_field(head, "Sec-WebSocket-Key", 0);
    if (!key || http_head_count(head, "Sec-WebSocket-Key") != 1 || !is_key(key->value))
        return refuse(400, "Sec-WebSocket-Key missing or malformed", why);
    if (http_head_count(head, "Origin") > 1)
        return refuse(400, "more than one Origin", why);
    if (!read_subprotocols(head, request))
        return refuse(400, "Sec-WebSocket-Protocol malformed", why);
    enum deflate_offer_result offer = deflate_offer_choose(head, &request->deflate);
    if (offer > DEFLATE_OFFER_NONE)
        return refuse(400, deflate_offer_result_text(offer), why);
    request->offers_deflate = offer == DEFLATE_OFFER_OK;
    request->key = key->value;
    if (http_head_count(head, "Origin"))
        request->origin = http_head_field(head, "Origin", 0)->value;
    return 101;
}

/* ---- building heads ----------------------------------------------------------------------- */

struct writer {
    char *out;
    size_t bytes;
    size_t bytes_max;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format,
                                                      ...)
{
    if (writer->failed)
        return;
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(writer->out + writer->bytes, writer->bytes_max - writer->bytes, format,
                          arguments);
    va_end(arguments);
    if (bytes < 0 || (size_t)bytes >= writer->bytes_max - writer->bytes)
        writer->failed = true;
    else
        writer->bytes += (size_t)bytes;
}

static size_t written(const struct writer *writer)
{
    return writer->failed ? 0 : writer->bytes;
}

size_t handshake_build_response(const char accept[HANDSHAKE_ACCEPT_BYTES + 1],
                                const char *subprotocol, const struct deflate_terms *deflate,
                                char *out, size_t out_bytes)
{
    char extension[DEFLATE_ANSWER_BYTES_MAX];
    struct writer writer = {.out = out, .bytes_max = out_bytes};
    put(&writer,
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n",
        accept);
    if (subprotocol) {
        assert(http_is_token(subprotocol, strlen(subprotocol)));
        put(&writer, "Sec-WebSocket-Protocol: %s\r\n", subprotocol);
    }
    if (deflate) {
        deflate_offer_answer(deflate, extension);
        put(&writer, "Sec-WebSocket-Extensions: %s\r\n", extension);
    }
    put(&writer, "\r\n");
    return written(&writer);
}

static const char *status_phrase(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 426:
        return "Upgrade Required";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

size_t handshake_build_refusal(unsigned status, const char *why, char *out, size_t out_bytes)
{
    struct writer writer = {.out = out, .bytes_max = out_bytes};
    put(&writer, "HTTP/1.1 %u %s\r\n", status, status_phrase(status));
    if (status == 426) /* 4.2.2: name the version, so that the client can try again */
        put(&writer, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Connection: Upgrade, close\r\n");
    else
        put(&writer, "Connection: close\r\n");
    if (status == 401) /* RFC 6750 3 */
        put(&writer, "WWW-Authenticate: Bearer realm=\"wskeep\"\r\n");
    if (status == 405)
        put(&writer, "Allow: GET\r\n");
    put(&writer,
        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n\r\nwskeep: %s\n",
        strlen("wskeep: \n") + strlen(why), why);
    return written(&writer);
}

bool handshake_header_is_reserved(const char *name)
{
    static const char *const names[] = {"Host",           "Connection",        "Upgrade", "Expect",
                                        "Content-Length", "Transfer-Encoding", "Trailer", "TE",
                                        "Keep-Alive",     "Proxy-Connection"};
    if (strncasecmp(name, "Sec-WebSocket-", 14) == 0)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

/* What comes back when the line is read again: blanks around it would not. */
static bool is_exact_value(const char *value)
{
    size_t bytes = strlen(value);
    return http_is_field_value(value, bytes) &&
           (bytes == 0 || (!strchr(" \t", value[0]) && !strchr(" \t", value[bytes - 1])));
}

/* Nothing that the upstream could read as the end of a line or of the request line. */
static bool ask_is_safe(const struct handshake_ask *ask)
{
    if (ask->target[0] != '/')
        return false;
    for (const char *c = ask->target; *c; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    struct host host;
    if (!host_parse((struct http_text){.at = ask->host, .bytes = strlen(ask->host)}, &host))
        return false;
    for (size_t i = 0; i < ask->subprotocol_count; i++)
        if (!http_is_token(ask->subprotocols[i], strlen(ask->subprotocols[i])))
            return false;
    for (size_t i = 0; i < ask->header_count; i++) {
        const struct handshake_header *header = &ask->headers[i];
        if (!http_is_token(header->name, strlen(header->name)) || !is_exact_value(header->value) ||
            handshake_header_is_reserved(header->name))
            return false;
    }
    return true;
}

size_t handshake_build_request(const struct handshake_ask *ask, char *out, size_t out_bytes)
{
    struct writer writer = {.out = out, .bytes_max = out_bytes};
    if (!ask_is_safe(ask))
        return 0;
    put(&writer,
        "GET %s HTTP/1.1\r\n"
        "Host: %s\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\n"
        "Sec-WebSocket-Version: 13\r\n",
        ask->target, ask->host, ask->key);
    for (size_t i = 0; i < ask->subprotocol_count; i++)
        put(&writer, "%s%s%s", i == 0 ? "Sec-WebSocket-Protocol: " : ", ", ask->subprotocols[i],
            i + 1 == ask->subprotocol_count ? "\r\n" : "");
    if (ask->offers_deflate)
        put(&writer, "Sec-WebSocket-Extensions: %s\r\n", deflate_offer_text);
    for (size_t i = 0; i < ask->header_count; i++)
        put(&writer, "%s: %s\r\n", ask->headers[i].name, ask->headers[i].value);
    put(&writer, "\r\n");
    return written(&writer);
}

/* ---- an upstream's answer ----------------------------------------------------------------- */

static bool was_offered(const struct handshake_ask *ask, struct http_text subprotocol)
{
    for (size_t i = 0; i < ask->subprotocol_count; i++)
        if (http_text_equals(subprotocol, ask->subprotocols[i]))
            return true;
    return false;
}

/* 4.1, the client's checks of a 101.  NULL: all of them pass. */
static const char *switching_error(const struct http_head *head, const struct handshake_ask *ask,
                                   const char *accept)
{
    struct deflate_terms terms;
    const struct http_field *field = http_head_field(head, "Upgrade", 0);
    if (!field || http_head_count(head, "Upgrade") != 1 ||
        !http_text_equals_nocase(field->value, "websocket"))
        return "101 without Upgrade: websocket";
    if (!http_head_has_token(head, "Connection", "upgrade"))
        return "101 without Connection: Upgrade";
    field = http_head_field(head, "Sec-WebSocket-Accept", 0);
    if (!field || http_head_count(head, "Sec-WebSocket-Accept") != 1 ||
        !http_text_equals(field->value, accept))
        return "101 with a wrong Sec-WebSocket-Accept";
    enum deflate_offer_result extension = deflate_offer_check(head, &terms);
    if (extension > DEFLATE_OFFER_NONE)
        return deflate_offer_result_text(extension);
    if (http_head_count(head, "Sec-WebSocket-Extensions") && !ask->offers_deflate)
        return deflate_offer_result_text(DEFLATE_OFFER_ERR_EXTENSION);
    if (http_head_count(head, "Transfer-Encoding") || http_head_count(head, "Content-Length"))
        return "101 that announces a body"; /* RFC 9110 8.6: not even one of 0 bytes */
    return NULL;
}

enum handshake_answer handshake_check_response(const struct http_head *head,
                                               const struct handshake_ask *ask, const char *accept,
                                               unsigned *status, struct http_text *subprotocol,
                                               const char **why)
{
    const char *digits = head->start[1].at;
    *status = (unsigned)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
    *subprotocol = (struct http_text){0};
    if (*status != 101) {
        *why = "upgrade refused";
        return HANDSHAKE_REFUSED;
    }
    if (!http_text_equals(head->start[0], "HTTP/1.1")) {
        *why = "101 that is not HTTP/1.1";
        return HANDSHAKE_MALFORMED;
    }
    *why = switching_error(head, ask, accept);
    if (*why)
        return HANDSHAKE_MALFORMED;
    const struct http_field *chosen = http_head_field(head, "Sec-WebSocket-Protocol", 0);
    if (!chosen)
        return HANDSHAKE_ACCEPTED;
    if (http_head_count(head, "Sec-WebSocket-Protocol") != 1 || !was_offered(ask, chosen->value)) {
        *why = "101 with a subprotocol that was not offered";
        return HANDSHAKE_SUBPROTOCOL;
    }
    *subprotocol = chosen->value;
    return HANDSHAKE_ACCEPTED;
}
