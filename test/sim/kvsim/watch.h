/* What the watch knows; shared by its files (watch.c, promise.c, hostrule.c, audit.c,
 * replay.c) and their tests. */
#ifndef KV_KVSIM_WATCH_H
#define KV_KVSIM_WATCH_H

#include "base/buf.h"
#include "base/map.h"
#include "fsm/fsm.h"
#include "group/group_int.h"
#include "kvsim/parts.h"
#include "sim/ledger.h"

/* One replica as it was seen last. */
struct view {
    struct group *group;      /* borrowed; NULL: its node has no process */
    struct fsm *fsm;          /* borrowed, likewise */
    bool looked;              /* it was seen in this life of the process */
    bool closing;             /* its node closes its log, or has: not to be asked */
    /* Of this life. */
    enum group_role role;
    uint64_t term, last_term; /* of its latest entry */
    uint64_t commit, applied, fsm_applied;
    uint64_t vote, vote_term; /* its vote: for whom, in which term, ... */
    bool gated;               /* something waited for its disk, an event ago */
    uint64_t vote_lsn;        /* ... durable when its log is synced up to there */
    /* Over its lives: its log, and its word. */
    uint64_t *terms;          /* owned; term of entry i, from 1 */
    uint64_t last, cap;
    uint64_t stored;          /* entries it called durable, to itself or others */
    uint64_t said_term;       /* highest term that left it in a message */
};

/* The digest of the state after some entry. */
struct watch_digest {
    uint64_t digest;
    uint8_t node;             /* who had it first; 0: nobody was looked at there */
};

/* Refusals of one follower to one leader, each of the entry before the last. */
struct watch_refusals {
    uint64_t term, index;
    unsigned n;
};

#define WATCH_NODES (PLAN_NODES_MAX + 1u)

/* One shard: what all its replicas must agree on. */
struct watch_shard {
    struct ledger ledger;
    struct view view[PLAN_NODES_MAX + 1]; /* [0] unused */
    struct watch_digest *digests;         /* owned; by index applied */
    uint64_t cap_digests;
    unsigned handed_to;       /* was told to time out now, ... */
    uint64_t handed_term;     /* ... in this term; 0: nobody */
    uint64_t begun_term;      /* highest that any replica was in */
    uint64_t said_to[WATCH_NODES][WATCH_NODES]; /* highest term, from and to */
    struct watch_refusals refusals[WATCH_NODES][WATCH_NODES]; /* likewise */
};

/* A frame that leaves in pieces. */
#define WATCH_HEAD_BYTES 256u /* of a frame, that are looked at */
struct watch_stream {
    uint64_t skip;            /* bytes of the frame that come after the head */
    unsigned n, want;         /* of the head: bytes at hand, and in all */
    uint8_t head[WATCH_HEAD_BYTES];
};

struct watch {
    struct world *w;          /* borrowed */
    unsigned n_shards;
    struct watch_shard shard[PLAN_SHARDS_MAX];
    /* The shards that each node has a replica of, while it has a process. */
    uint8_t mine[PLAN_NODES_MAX + 1][PLAN_SHARDS_MAX];
    unsigned n_mine[PLAN_NODES_MAX + 1];
    struct map streams;       /* stream -> struct watch_stream, owned */
    /* How far the wall clocks of the nodes were from the world's time, ms. */
    int64_t ahead_max, ahead_min;
    uint64_t cluster_id;      /* 0: not known yet */
    size_t undecided;         /* keys that the oracle gave up on */
};

void watch__shard_init(struct watch_shard *s);
void watch__shard_close(struct watch_shard *s);
/* Compare a replica (view.group, view.fsm set) with what was seen of it, and tell the
 * ledger what is new. */
void watch__look(struct watch_shard *s, unsigned node);
/* End the run if something was contradicted in this shard. */
void watch__verdict(struct watch *t, unsigned shard);
/* Does this replica have the entry in a log that it calls durable? */
bool watch__stored(const struct view *v, uint64_t index, uint64_t term);

/* ---- promise.c: what nodes tell each other ---- */

void promise__init(struct watch *t);
void promise__close(struct watch *t);
/* Bytes that node from hands to the network for node to. */
void promise__sent(void *ctx, uint64_t stream, unsigned from, unsigned to, struct slice bytes,
                   bool delivered);

/* ---- hostrule.c: what the host rules promise ---- */

/* At the end of every event: does something wait for the disk? */
static inline void hostrule__note_gate(struct view *v)
{
    const struct group *g = v->group;

    v->gated = !list_empty(&g->held) || g->meta_lsn > wal_synced(g->gs->wal);
}
/* After the rest of a look. */
void hostrule__look(struct watch_shard *s, unsigned node);
/* The log of the node has a configuration there that it had not. */
void hostrule__change(struct watch_shard *s, unsigned node, uint64_t index);
/* Something was cut off the log, or a configuration came. */
void hostrule__configuration(struct watch_shard *s, unsigned node);
/* A term that leaves node from for node to. */
void hostrule__stated(struct watch_shard *s, unsigned from, unsigned to, uint64_t term,
                  const char *how);
/* AppendEntries leave node from for node to. */
void hostrule__append(struct watch_shard *s, unsigned from, unsigned to);
void hostrule__message(struct watch_shard *s, unsigned from, unsigned to,
                   const struct raft_message *m);

/* ---- replay.c: the committed entries, executed once more ---- */

/* Replay every shard; compare with each digest that was seen on the way and with
 * the replicas as they are now. */
void replay__all(struct watch *t);

/* ---- audit.c ---- */

/* How early a key with a deadline may have gone, and how late (see there). */
struct oracle_config audit__margins(const struct watch *t);

#endif
