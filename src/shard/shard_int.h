/* What the files of the shard layer share; nobody else includes this. */
#ifndef KV_SHARD_SHARD_INT_H
#define KV_SHARD_SHARD_INT_H

#include "base/buf.h"
#include "env/env.h"
#include "shard/shard.h"

/* Idle sessions are looked for this often, and are idle after this long of
 * shard clock (DESIGN section 4: an hour). */
#define SHARD_SESSION_SCAN_MS 60000u
#define SHARD_SESSION_IDLE_MS 3600000
/* Longest wait of a tick timer: bounds the effect of a wall clock jump. */
#define SHARD_TICK_WAIT_MS_MAX 1000
/* A tick that was refused, as while leadership is handed over, is tried again then. */
#define SHARD_TICK_RETRY_MS 20u
/* Results of reads given out in one turn: more wait for the next, so that large
 * values do not keep a node from its heartbeats. */
#define SHARD_READ_BYTES_PER_TURN (16u << 20)
/* Memory of the batch under construction that is kept for the next one. */
#define SHARD_SCRATCH_KEEP_BYTES (1u << 20)

/* One proposed entry whose fate is open. */
struct shard_batch {
    struct list link;  /* in shard.inflight, by index */
    struct list reqs;  /* shard_req, by pos */
    uint64_t index, term;
};

/* A housekeeping operation of the shard's own: at most one of its kind is
 * queued or in flight. */
struct shard_internal {
    struct shard_req req;
    bool busy;
    struct buf op;       /* owned: the encoded operation */
};

struct shard {
    struct shardset *set;  /* borrowed */
    uint32_t id;
    struct group *group;   /* borrowed; the groupset owns it */
    struct fsm *fsm;       /* owned */
    struct list queue;     /* writes waiting for a batch */
    size_t queue_bytes;
    struct list inflight;  /* shard_batch */
    unsigned n_inflight;
    struct list reads;     /* shard_req waiting in group_read */
    struct list dirty;     /* in set->dirty, or empty */
    bool leader, ready;    /* as last reported by the group */
    uint64_t term;
    int64_t time_base_ms;  /* shard__time: a time of day and the monotonic */
    uint64_t time_mono_ms; /* instant it belongs to; 0: none yet */
    struct env_timer tick_timer;
    int64_t tick_deadline; /* what the timer is armed for; INT64_MAX: not armed */
    struct shard_internal tick, drop;
};

struct shardset {
    struct env *env;           /* borrowed */
    struct groupset *groups;   /* borrowed */
    struct shard_config cfg;
    shardset_leader_cb leader_cb;
    void *ctx;
    struct shard **shards;     /* owned, by order of opening */
    unsigned n, cap;
    struct list dirty;         /* shards with queued writes to propose */
    struct list rejects;       /* shard_req whose cb gets `pos` as enum op_err */
    struct list ready;         /* shard_req of any shard, see SHARD_READY */
    size_t read_bytes;         /* results given out in this turn */
    struct buf scratch;        /* batch under construction */
    struct env_timer session_timer;
    bool closing;
};

void shard__mark_dirty(struct shard *s);
/* Answer r in the next turn with err. */
void shard__reject(struct shard *s, struct shard_req *r, enum op_err err);
/* Propose what is queued, as far as the in-flight limit allows. */
void shard__propose(struct shard *s);
/* Through the reject list: fail queued writes with err, in-flight ones of terms
 * below `below` with UNKNOWN. */
void shard__drop_queue(struct shard *s, enum op_err err);
void shard__drop_inflight(struct shard *s, uint64_t below);
void shard__check(const struct shard *s);
/* Now, ms since 1970, for what the shard's clock is moved by: the wall clock, but
 * never going back while this process lives and never behind the state machine. */
int64_t shard__time(struct shard *s);
/* Run the reads that waited for this turn, as far as it may read. */
void shard__run_ready(struct shardset *set);
/* A committed entry that this version cannot decode: it changed nothing. */
void shard__log_bad_entry(struct shard *s, uint64_t index, int rv);

void shard__tick_init(struct shard *s);
void shard__tick_close(struct shard *s);
/* Re-arm the expiry timer if the earliest deadline or leadership changed. */
void shard__tick_update(struct shard *s);
/* Propose dropping sessions unused for an hour, as leader. */
void shard__drop_sessions(struct shard *s);

extern const struct group_ops shard__group_ops;

#endif
