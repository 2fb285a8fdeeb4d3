/* The router: takes an operation on some keys, finds shard and leader, executes
 * it here or forwards it, retries inside the cluster until its deadline, and gives
 * the true result or a clear error.
 *
 * Exactly once inside the cluster (rule R8): every write is stamped with
 * (origin, sequence of that shard, lowest sequence unanswered).  The origin is a
 * random number of this router, not of the data directory: sequences begin again
 * with each process. */
#ifndef KV_ROUTER_ROUTER_H
#define KV_ROUTER_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/directory.h"
#include "env/env.h"
#include "peer/link.h"
#include "proto/op.h"
#include "shard/shard.h"

struct router; /* opaque */

struct router_config {
    uint64_t node_id;
    uint64_t deadline_ms;        /* default 5000 */
    size_t pending_max;          /* requests in flight; BUSY above */
    size_t pending_bytes_max;
};

struct router_req;
/* Final: a result of the state machine, or OP_ERR_UNKNOWN (write that may or may
 * not have happened), OP_ERR_CLUSTERDOWN (surely not executed: no leader within
 * the deadline), OP_ERR_BUSY (surely not executed).  res borrowed for the call. */
typedef void (*router_cb)(struct router_req *r, const struct op_result *res);

/* One operation of one shard.  Owned by the caller until cb has run.  The router
 * copies the op (encoded) when it is submitted. */
struct router_req {
    router_cb cb;
    void *data;
    /* The connection it came from, or 0.  Requests of one stream and shard take
     * effect in the order of submission: a read sees the writes before it and
     * none of those after it, as a pipelining Redis client expects. */
    uint64_t stream;
    struct { uint64_t w[64]; } impl; /* the router's part, see router_int.h */
};

struct router *router_new(struct env *env, const struct router_config *cfg, struct directory *dir,
                          struct shardset *shards, struct links *links);

/* Submit op (origin, seq, low are filled in here) to a shard. */
void router_submit(struct router *rt, struct router_req *r, uint32_t shard, const struct op *op);
/* The client is gone: cb will not run; a write in flight may still happen. */
void router_cancel(struct router *rt, struct router_req *r);
uint32_t router_shard_of(const struct router *rt, struct slice key);
uint64_t router_leader(const struct router *rt, uint32_t shard); /* best knowledge; 0 unknown */

/* Wired by node: frames FORWARD and FORWARD_RESULT, link events, leader changes. */
void router_frame(struct router *rt, uint64_t from, const struct frame_head *head, struct slice payload);
void router_peer_up(struct router *rt, uint64_t peer);
void router_peer_down(struct router *rt, uint64_t peer);
void router_leader_changed(struct router *rt, uint32_t shard, uint64_t leader, bool ready_here);
/* Before shardset_turn: submit what waits.  After groupset_turn: send what is to be forwarded or answered. */
void router_turn(struct router *rt);
void router_flush(struct router *rt);
bool router_idle(const struct router *rt);
/* Fail what is pending (UNKNOWN or CLUSTERDOWN); then free with router_free. */
void router_stop(struct router *rt);
void router_free(struct router *rt);

struct router_stats { uint64_t local, forwarded, served_for_peers, retries, unknown, clusterdown, busy, malformed; };
void router_get_stats(const struct router *rt, struct router_stats *ret);

#endif
