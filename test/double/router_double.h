/* A router for tests of the server: one fsm per shard in this process, no Raft.
 *
 * Implements router.h.  Requests are executed by router_turn, never inside
 * router_submit, in order of submission or, to provoke disorder among shards, from
 * the last shard to the first. */
#ifndef KV_TEST_ROUTER_DOUBLE_H
#define KV_TEST_ROUTER_DOUBLE_H

#include "router/router.h"

struct router *double_new(struct env *env, struct directory *dir);
void double_free(struct router *rt);
/* Execute nothing until it is switched off again. */
void double_hold(struct router *rt, bool on);
/* Execute nothing of this shard. */
void double_hold_shard(struct router *rt, uint32_t shard);
/* Higher shards are answered first. */
void double_backwards(struct router *rt, bool on);
/* Answer the requests of a shard with this error; 0: execute again. */
void double_fail(struct router *rt, uint32_t shard, enum op_err err);
/* No leader is known for a shard. */
void double_no_leader(struct router *rt, uint32_t shard);
unsigned double_pending(const struct router *rt);
unsigned double_canceled(const struct router *rt);

#endif
