/* A shard on this node: a Raft group and its state machine; writes in batches,
 * linearizable reads.  The shard never retries and never forwards: that is the
 * router's work. */
#ifndef KV_SHARD_SHARD_H
#define KV_SHARD_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fsm/fsm.h"
#include "group/groupset.h"
#include "proto/op.h"

struct shard; /* opaque */

struct shard_req;
/* res is borrowed for the call.  Errors of the shard itself: OP_ERR_NOT_LEADER (surely
 * not executed, or a read), OP_ERR_BUSY (surely not executed), OP_ERR_TOO_BIG (no entry of the log can hold it), OP_ERR_UNKNOWN (a write whose entry was proposed and whose fate this node
 * cannot tell: try again with the same origin and seq, the state machine dedupes). */
typedef void (*shard_cb)(struct shard_req *r, const struct op_result *res);

/* One operation.  Owned by the caller until cb has run. */
struct shard_req {
    struct list link;
    struct slice op;          /* encoded; borrowed until cb */
    bool write;
    uint64_t witness, witness_term; /* reads: see group_read */
    shard_cb cb;
    void *data;               /* the owner's */
    /* The shard's own: */
    struct group_read read;
    uint64_t pos;             /* place in its batch, or why it was rejected */
    enum shard_place {
        SHARD_QUEUED = 1,     /* waiting for a batch */
        SHARD_INFLIGHT,       /* in a proposed batch */
        SHARD_READING,        /* waiting for its read index */
        SHARD_READY,          /* may be read; this turn has read enough */
        SHARD_REJECTED        /* cb runs next turn */
    } place;
};

struct shard_config {
    unsigned batches_inflight_max;  /* entries of one shard in flight */
    size_t batch_bytes_max;
    size_t queue_bytes_max;         /* waiting for a batch; BUSY above */
};

/* ---- shardset: this node's shards ---- */

struct shardset; /* opaque */

/* A shard's leader became known or changed (0: none), or this node's readiness did. */
typedef void (*shardset_leader_cb)(void *ctx, uint32_t shard, uint64_t leader, bool ready_here);

struct shardset *shardset_new(struct env *env, struct groupset *gs, const struct shard_config *cfg,
                              shardset_leader_cb cb, void *ctx);
/* hash_seed: see fsm_new.  Other arguments as groupset_open_group. */
int shardset_open(struct shardset *ss, uint32_t id, uint64_t hash_seed, const uint64_t *voters, unsigned n,
                  bool preferred, char *errmsg, size_t errmsg_n);
struct shard *shardset_find(struct shardset *ss, uint32_t id); /* NULL: no replica here */
/* Propose what was collected in this turn.  Before groupset_turn. */
void shardset_turn(struct shardset *ss);
/* Nothing queued, in flight or waiting. */
bool shardset_idle(const struct shardset *ss);
/* Fail everything waiting (reads NOT_LEADER, writes UNKNOWN or NOT_LEADER), free. */
void shardset_close(struct shardset *ss);

/* ---- one shard ---- */

/* Queue an operation; cb runs later, always. */
void shard_submit(struct shard *s, struct shard_req *r);
/* Give up waiting: cb is not called.  The write may still happen. */
void shard_cancel(struct shard *s, struct shard_req *r);
struct group *shard_group(struct shard *s);
struct fsm *shard_fsm(struct shard *s);

#endif
