/* What the three files of the world share. */
#ifndef WSKEEP_FUZZ_SESSION_WORLD_PRIVATE_H
#define WSKEEP_FUZZ_SESSION_WORLD_PRIVATE_H

#include "session_world.h"

/* Both ends' key: in RFC 6455 section 1.3. */
static const char world_key[] = "dGhlIHNhbXBsZSBub25jZQ==";

/* Before each call of core: what the accounts need to know afterwards. */
struct world_before {
    bool was_full;
    bool was_closing;
};

/* ---- session_world.c */

struct world_before world_before(const struct world *world);

/* After it: the accounts are checked, and what core asked for is carried out. */
void world_after(struct world *world, struct world_before before, struct session_actions *actions);

/* The same, where the caller knows what became of the client's message. */
void world_act(struct world *world, struct session_actions *actions, bool was_closing);

/* Each message that was taken is acknowledged, given up, or still in the outbox. */
void world_check_accounts(const struct world *world);

/* The client is read no more: what is whole in client_rest is given up. */
void world_count_kept(struct world *world, enum cause cause, struct session_actions *actions);

/* The connection is gone, and with it what belonged to it. */
void world_server_forgets(struct world *world);

void world_bytes_add(struct world_bytes *bytes, const void *data, size_t count);
void world_bytes_clear(struct world_bytes *bytes);
void world_message_clear(struct world_message *message);
bool world_is_same(const struct world_message *a, const struct message *b);

/* Nothing like SHA-1, and the same at both ends: what counts is that the right one is compared. */
void world_digest(const void *data, size_t bytes, uint8_t out[20]);

/* One frame with any first byte, right or wrong.  Returns its bytes. */
size_t world_put_frame(uint8_t *out, unsigned first, bool masked, const void *payload,
                       size_t bytes);

/* ---- session_world_client.c */

void world_act_on_client(struct world *world, const struct session_actions *actions);

/* A frame for the client, whose ears check it. */
void world_tell_client(struct world *world, unsigned first, const void *payload, size_t bytes);

void world_client_leaves(struct world *world);

/* Go on with what was read, as far as there is room. */
void world_feed_client(struct world *world);
enum session_take world_offer(struct world *world, enum frame_opcode opcode, const uint8_t *payload,
                              size_t bytes);

/* ---- session_world_server.c */

/* Go on with what the server sent, if it is read. */
void world_upstream_brings(struct world *world);

/* All that the session has to send now goes into the stream. */
void world_send(struct world *world);

#endif
