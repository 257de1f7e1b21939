/* What an open client says. */
#include "net/client_messages.h"

#include "net/client_private.h"
#include "net/client_room.h"
#include "net/relay.h"
#include "proto/mask.h"

static enum session_take offer(struct net_session *net, struct outbox_message *offered)
{
    struct session_actions actions;
    bool had_block = offered->block != NULL;
    enum session_take take = session_client_message(&net->core, offered, relay_now(net), &actions);
    if (had_block && !offered->block) /* before anything can end the client, and its reader */
        message_reader_lose_block(&net->client.reader);
    if (actions.any)
        relay_act(net, &actions);
    return take;
}

/* As the reader has handed it out. */
static enum session_take offer_fresh(struct net_session *net, const struct message *message)
{
    struct outbox_message offered = {.opcode = message->opcode,
                                     .payload = message->payload,
                                     .payload_bytes = message->payload_bytes,
                                     .mask_key = message->is_masked ? message->mask_key : NULL,
                                     .block = message->block};
    return offer(net, &offered);
}

/* It has no room now: it is kept with what was read behind it, and no more is read. */
static void keep(struct net_session *net, const struct message *message, const uint8_t *rest,
                 size_t rest_bytes)
{
    struct client *client = &net->client;
    if (message->is_masked) { /* in the buffer that data was read into: ours to change */
        uint8_t *payload = (uint8_t *)(uintptr_t)message->payload;
        mask_copy(payload, payload, message->payload_bytes, message->mask_key, 0);
    }
    if (!client_kept_refused(&client->kept, &client->reader, message, rest, rest_bytes)) {
        client_reset(net, CAUSE_NO_RESOURCES);
        return;
    }
    client->kept->first_sequence = net->core.outbox.first_sequence;
}

static void take_close(struct net_session *net, const struct close_frame *close)
{
    struct session_actions actions;
    net->client.close_was_received = true;
    session_client_close(&net->core, close, relay_now(net), &actions);
    relay_act(net, &actions);
}

/* Frames.  Returns true when a Pong was among them. */
static bool feed(struct net_session *net, uint8_t *data, size_t bytes)
{
    struct client *client = &net->client;
    struct message message;
    size_t consumed;
    bool has_pong = false;
    while (client->stage == CLIENT_OPEN) {
        enum message_event event = message_read(&client->reader, data, bytes, &consumed, &message);
        data += consumed;
        bytes -= consumed;
        switch (event) {
        case MESSAGE_NEED_MORE:
            return has_pong;
        case MESSAGE_DATA:
            client->data_ms = relay_now(net);
            compression_used(client->compression, relay_now(net));
            if (offer_fresh(net, &message) != SESSION_NOT_NOW)
                break;
            keep(net, &message, data, bytes);
            return has_pong;
        case MESSAGE_PING:
            client_send_pong(net, message.payload, message.payload_bytes);
            break;
        case MESSAGE_PONG:
            has_pong = true;
            break;
        case MESSAGE_CLOSE:
            take_close(net, &message.close);
            break;
        case MESSAGE_ERROR:
            client_break_off(net, &message.close, cause_of_refusal(&message.close));
            return has_pong;
        }
    }
    return has_pong;
}

void client_messages_resume(struct net_session *net)
{
    struct client *client = &net->client;
    struct client_kept *kept = client->kept;
    if (client->stage != CLIENT_OPEN || !kept)
        return;
    client_room_offer(net);
    if (kept->has_message && !session_has_room(&net->core))
        return;
    if (kept->has_message) {
        kept->first_sequence = net->core.outbox.first_sequence;
        struct outbox_message offered = {
            .opcode = kept->opcode, .payload = kept->payload, .payload_bytes = kept->payload_bytes};
        if (offer(net, &offered) == SESSION_NOT_NOW || client->stage != CLIENT_OPEN)
            return;
        kept->has_message = false;
    }
    bool has_pong = feed(net, kept->bytes + kept->begin, kept->end - kept->begin);
    session_client_received(&net->core, has_pong, relay_now(net));
    if (client->stage == CLIENT_OPEN && !kept->has_message)
        client_kept_drop(&client->kept);
}

void client_messages_read(struct net_session *net, uint8_t *data, size_t bytes)
{
    struct client *client = &net->client;
    if (client->kept && !client->kept->has_message)
        client_messages_resume(net); /* what came before the 101 comes first */
    if (client->stage != CLIENT_OPEN)
        return;
    if (client->kept) {
        if (!client_kept_append(&client->kept, data, bytes))
            client_reset(net, CAUSE_NO_RESOURCES);
        return;
    }
    client_room_offer(net);
    bool has_pong = feed(net, data, bytes);
    session_client_received(&net->core, has_pong, relay_now(net));
}

void client_messages_give_up(struct net_session *net, enum cause cause,
                             struct session_actions *actions)
{
    struct client *client = &net->client;
    uint64_t bytes = 0;
    uint32_t count = 0;
    if (client->stage == CLIENT_OPEN)
        count = client_kept_count(client->kept, &client->reader, &bytes);
    session_client_kept(&net->core, count, bytes, cause, actions);
}
