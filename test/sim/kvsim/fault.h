/* What the files about faults share: the clockwork, and the means.
 *
 *   fault.c        begin, heal, swarm; acts: what is to be done later, or once
 *                  something holds
 *   fault_net.c    means: cuts, losses, resets
 *   fault_node.c   means: crashes, pauses, disks, clocks
 *   fault_log.c    means: log files at rest
 *   fault_kind.c   a fault of a kind by chance; hits on a node
 *   aim.c, aim_vote.c, aim_read.c, clog.c, script.c   who uses them, at whom and when */
#ifndef KV_KVSIM_FAULT_H
#define KV_KVSIM_FAULT_H

#include "base/list.h"
#include "base/rng.h"
#include "kvsim/parts.h"

#define WORLD_PEER_PORT (WORLD_PORT + 10000u)
#define MS 1000u          /* us */
#define SECOND 1000000u   /* us */
#define FAULT_HOSTS (SIM_NODES_MAX + 1u)

struct faults {
    struct world *w;      /* borrowed, as are the next two */
    struct sim *sim;
    const struct plan *p;
    struct rng rng;
    struct list acts;     /* struct act: all that is still to come */
    bool over;
    unsigned cuts[FAULT_HOSTS][FAULT_HOSTS]; /* reasons for a cut, from and to */
    uint64_t paused_until[FAULT_HOSTS];      /* us */
    unsigned rotten;      /* nodes whose disk was damaged */
    bool changed;         /* a configuration was; then nothing rots */
    struct sim_latency usual;      /* of every way of this run */
    struct sim_latency usual_sync; /* of every disk */
    unsigned transfer_to[PLAN_SHARDS_MAX]; /* the last one asked for */
};

/* ---- chance ---- */

static inline unsigned fault_below(struct faults *f, unsigned n)
{
    return (unsigned)rng_below(&f->rng, n);
}
static inline bool fault_chance(struct faults *f, unsigned percent)
{
    return rng_below(&f->rng, 100) < percent;
}
/* lo..hi; each power of two is as likely. */
uint64_t fault_spread(struct faults *f, uint64_t lo, uint64_t hi);
/* May this kind be used in this run? */
static inline bool fault_may(const struct faults *f, enum fault_kind kind)
{
    return (f->p->faults >> kind & 1) != 0;
}

/* ---- acts ---- */

struct act;
typedef void (*act_fn)(struct faults *f, const struct act *a);
typedef bool (*act_cond)(struct faults *f, const struct act *a);

/* Something to be done later. Freed when it has been, or at the end; nothing is done
 * once the faults are over, because the heal undoes everything. */
struct act {
    struct list link;
    struct faults *f;
    act_fn run;
    act_cond cond;        /* NULL: at once when its time has come */
    uint64_t until;       /* cond: given up then, us */
    uint32_t poll_us;
    uint32_t shard;       /* the caller's own, as are the next */
    unsigned node, other;
    uint64_t mask, n;
};

/* Run fn `us` from now; the caller fills in its own fields of the result. */
struct act *fault_after(struct faults *f, uint64_t us, act_fn fn);
/* Run fn as soon as cond holds, looked at every poll_us, within limit_us. */
struct act *fault_when(struct faults *f, act_cond cond, act_fn fn, uint32_t poll_us, uint64_t limit_us);

/* ---- looking ---- */

unsigned fault_any_node(struct faults *f);
uint32_t fault_any_shard(struct faults *f);
uint64_t fault_all(const struct faults *f); /* a bit per server */
#define NODE_BIT(n) (UINT64_C(1) << (n))
/* A random set of k of the nodes in mask. */
uint64_t fault_some(struct faults *f, uint64_t mask, unsigned k);
unsigned fault_one(struct faults *f, uint64_t mask); /* of them; 0: mask is empty */
uint64_t fault_replicas(struct faults *f, uint32_t shard);
/* The leader, if it is alive; else 0. */
unsigned fault_leader(struct faults *f, uint32_t shard);

/* ---- means: network (fault_net.c) ---- */

/* Cut both ways between each of a and each of b, for us; pairs of a node with
 * itself do not count. */
void fault_cut(struct faults *f, uint64_t a, uint64_t b, uint64_t us);
/* Packets from a to b only. */
void fault_cut_way(struct faults *f, uint64_t from, uint64_t to, uint64_t us);
/* Cut `side` off from the other servers; with_clients: from those too. */
void fault_isolate(struct faults *f, uint64_t side, bool with_clients, uint64_t us);
/* Every server sees a majority, but no two the same one. */
void fault_ring(struct faults *f, uint64_t us);
void fault_flap(struct faults *f, unsigned a, unsigned b, uint64_t us);
/* from, to may be SIM_EVERY. */
void fault_latency(struct faults *f, unsigned from, unsigned to, uint64_t us);
/* Every packet takes way_us, about. */
void fault_slow_way(struct faults *f, unsigned from, unsigned to, uint32_t way_us, uint64_t us);
void fault_slow_link(struct faults *f, unsigned from, unsigned to, uint64_t us);
void fault_loss(struct faults *f, unsigned from, unsigned to, uint64_t us);
void fault_mangle(struct faults *f, unsigned from, unsigned to, struct sim_mangle m, uint64_t us);
void fault_reset(struct faults *f, unsigned a, unsigned b);
void fault_half_open(struct faults *f, unsigned a, unsigned b, uint64_t us);
void fault_net_heal(struct faults *f);

/* ---- means: nodes (fault_node.c) ---- */

enum sim_keep fault_any_keep(struct faults *f);
/* Ends a process (power: the whole host); it is started again after down_us. */
void fault_crash(struct faults *f, unsigned node, bool power, enum sim_keep keep, uint64_t down_us);
/* All of them in an instant. */
void fault_crash_all(struct faults *f, bool power, uint64_t down_us);
void fault_pause(struct faults *f, unsigned node, uint64_t us);
/* SIGTERM; started again when it has ended and down_us have passed. */
void fault_stop(struct faults *f, unsigned node, uint64_t down_us);
void fault_stall_disk(struct faults *f, unsigned node, uint64_t us);
void fault_slow_disk(struct faults *f, unsigned node, uint64_t us);
void fault_eio(struct faults *f, unsigned node, enum sim_disk_op op, unsigned nth);
void fault_enospc(struct faults *f, unsigned node, uint64_t room, uint64_t us);
/* Crash the node and damage what it has at rest, within the budget of the run. */
void fault_rot(struct faults *f, unsigned node, uint64_t down_us);
/* Crash the node and leave it a retired segment to be used again. */
void fault_retired(struct faults *f, unsigned node, uint64_t down_us);
void fault_clock_jump(struct faults *f, unsigned node, int64_t ms);
void fault_clock_drift(struct faults *f, unsigned node, int32_t ppm, uint64_t us);
/* Leadership to `to` (0: whoever is ahead); false: refused. */
bool fault_transfer(struct faults *f, uint32_t shard, unsigned to);
/* The leader is to make `node` a voter or a stand-by; false: refused. */
bool fault_change(struct faults *f, uint32_t shard, unsigned node, enum group_member role);
void fault_node_heal(struct faults *f);

/* ---- means: log files of a node that is down (fault_log.c) ---- */

bool fault_log_rot(struct faults *f, unsigned node); /* false: nothing there that may rot */
void fault_log_retire(struct faults *f, unsigned node);
void fault_log_note_torn(struct faults *f, unsigned node);

/* ---- who uses them ---- */

/* One fault of a kind at a place by chance (fault_kind.c). */
void fault_begin(struct faults *f, enum fault_kind kind);
/* For so long is something wrong: from 50 ms to 6 s, mostly short. */
uint64_t fault_time(struct faults *f);
/* k election time-outs, and up to as many again. */
uint64_t fault_elections(struct faults *f, unsigned k);
/* Something that the run allows happens to this node: it crashes, loses power, is cut
 * off, paused, stopped, or its disk stalls. */
void fault_hit(struct faults *f, unsigned node);
/* The aims of aim_vote.c. */
void aim_candidate(struct faults *f, uint32_t shard, unsigned leader);
void aim_vote_split(struct faults *f, uint32_t shard, unsigned leader);
void aim_voter_restarts(struct faults *f, uint32_t shard, unsigned leader);
void aim_new_leader(struct faults *f, uint32_t shard, unsigned leader);
void aim_transfer(struct faults *f, uint32_t shard, unsigned leader);
void aim_change(struct faults *f, uint32_t shard, unsigned leader);
/* Entries that are proposed and not committed. */
/* The aims of aim_rare.c. */
void aim_sole_voter(struct faults *f, uint32_t shard, unsigned leader);
void aim_two_changes(struct faults *f, uint32_t shard, unsigned leader);
void aim_lull(struct faults *f, uint32_t shard, unsigned leader);
/* The aim of aim_read.c. */
void aim_late_word(struct faults *f, uint32_t shard, unsigned leader);
bool aim_has_batch(struct faults *f, const struct act *a);
void aim_start(struct faults *f);
void clog_start(struct faults *f);
void script_start(struct faults *f);

#endif
