/* A stage for the tests of the watch: a shard of three replicas that are only fields,
 * set by hand, and a world that only remembers the verdict. */
#ifndef KV_KVSIM_STAGE_H
#define KV_KVSIM_STAGE_H

#include "kvsim/watch.h"
#include "shard/shard_int.h"
#include "store/wal_int.h"

#define STAGE_NODES 3u

struct stage_replica {
    struct group g;
    struct groupset gs;
    struct raft_server servers[STAGE_NODES];
};

struct stage {
    struct world w;
    struct watch *t;
    struct watch_shard *s;
    struct wal wal;           /* of which only the position synced is asked for */
    struct shard shard;       /* node 1's, of which only the time is asked for */
    struct shardset set;
    struct buf batch;         /* owned: see stage_set */
    struct stage_replica node[STAGE_NODES + 1]; /* [0] unused */
};

/* Three followers in term 1 with one entry. */
struct stage *stage_new(void);
void stage_free(struct stage *st);
/* The process of a replica begins, with the log and the term that its fields say. */
void stage_starts(struct stage *st, unsigned node);
void stage_append(struct stage *st, unsigned node, uint64_t term, const char *text);
void stage_append_bytes(struct stage *st, unsigned node, uint64_t term, struct slice bytes);
/* On every node, and look. */
void stage_append_all(struct stage *st, uint64_t term, const char *text);
/* A state of libraft's, in a durable term. */
void stage_term(struct stage *st, unsigned node, uint64_t term, unsigned short state);
/* Node 1 leads term 2 and has committed entry 2, which all have. */
struct stage *stage_committed(void);
/* A batch at shard time 1000 ms that sets a key; ttl_ms 0: none.  Until the next. */
struct slice stage_set(struct stage *st, const char *key, const char *value, int64_t ttl_ms);
/* All nodes append, commit and apply a batch as entry index. */
void stage_apply_all(struct stage *st, uint64_t index, uint64_t term, struct slice batch);

/* Nothing was contradicted; this was. */
void stage_fine(struct stage *st);
void stage_said(struct stage *st, const char *what);

#endif
