/* The state machine of one shard: table, sessions, shard clock, revision,
 * digest.
 *
 * apply is a pure function of (state, entry): rule R2.  Replicas at the same
 * index hold identical state, and fsm_digest proves it.  LRU order is not part
 * of the digest: reads move it on the replica that serves them. */
#ifndef KV_FSM_FSM_H
#define KV_FSM_FSM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/op.h"

struct fsm; /* opaque */

/* hash_seed: the same on every replica of the shard (scan cursors survive a
 * leader change), not guessable from outside. */
struct fsm *fsm_new(uint64_t hash_seed);
void fsm_free(struct fsm *f);

/* One result per operation of a batch, in order; `res` is borrowed for the
 * call. */
typedef void (*fsm_result_cb)(void *ctx, uint64_t i, const struct op *op,
                              const struct op_result *res);

/* Apply one committed batch entry.  index is above every one applied before.
 * cb may be NULL (nobody waits here).  An entry whose framing is broken changes
 * nothing but the index (and is reported by the return value KV_EPROTO, the
 * same on every replica); a single operation that does not decode, or that only
 * reads, gets OP_ERR_BAD_OP and an op of kind NOOP in the callback. */
int fsm_apply(struct fsm *f, uint64_t index, struct slice batch,
              fsm_result_cb cb, void *ctx);

/* Execute a read (op_is_write false).  now_ms: the serving node's wall clock,
 * used only to say remaining TTLs and to move LRU order.  The result's bulk is
 * valid until the next call on f. */
void fsm_read(struct fsm *f, const struct op *op, int64_t now_ms,
              struct op_result *ret);

uint64_t fsm_applied(const struct fsm *f); /* index of the last entry applied */
uint64_t fsm_revision(const struct fsm *f);
int64_t fsm_clock_ms(const struct fsm *f);
/* Of everything replicated, the applied index included; costs a walk over the
 * sessions, not over the keys. */
uint64_t fsm_digest(const struct fsm *f);
uint64_t fsm_slot_digest(const struct fsm *f, uint16_t slot);
/* Earliest deadline of any key, ms; INT64_MAX if none.  The leader proposes a
 * TICK once its clock has passed it. */
int64_t fsm_next_deadline(const struct fsm *f);

/* keys: those that have expired and wait for a TICK included, as in Redis.
 * expired, hits, misses: since this replica started.  bytes: memory of the
 * table. */
struct fsm_stats {
    uint64_t keys, keys_with_ttl, expired, hits, misses, bytes;
    uint64_t sessions, session_bytes;
    int64_t avg_ttl_ms; /* about, from a sample */
};
void fsm_get_stats(const struct fsm *f, struct fsm_stats *ret);

/* Origins whose session was not used for idle_ms of shard clock: candidates for
 * SESSION_DROP, at most max. */
unsigned fsm_idle_sessions(const struct fsm *f, int64_t idle_ms,
                           uint64_t *ret_origins, unsigned max);

/* Assert every invariant by walking over everything: tests and `verify`. */
void fsm_check(const struct fsm *f);

#endif
