/* A cluster of one Raft group in virtual time: the real group, links and log on the
 * simulated environment, with a state machine that remembers what it applied.
 *
 * After every event all nodes are looked at: what changed goes to the transcript, and
 * is checked against everything seen before (ledger.h).  Violations are collected, not
 * asserted, so that sabotaged builds can expect them. */
#ifndef KV_SCENARIO_CLUSTER_H
#define KV_SCENARIO_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "group/group_int.h"
#include "group/group_wire.h"
#include "scenario/sides.h"
#include "sim/env_sim.h"
#include "sim/ledger.h"

#define CLUSTER_NODES_MAX 5u
#define CLUSTER_GROUP 1u
#define CLUSTER_PORT 17001u

/* What the transcript shows. */
#define SHOW_ROLES 1u   /* role, term, leader, readiness, configuration */
#define SHOW_LOG 2u     /* appended, truncated */
#define SHOW_COMMIT 4u  /* committed, applied */
#define SHOW_CLIENT 8u  /* proposed, acknowledged, lost */
#define SHOW_VOTES 16u  /* vote messages and TimeoutNow as they leave */
#define SHOW_AE 32u     /* AppendEntries with entries, and their results */
#define SHOW_ALL 63u

struct cluster_config {
    uint64_t seed;
    unsigned nodes;
    unsigned sides;           /* further groups, up to SIDES_MAX */
    unsigned preferred;       /* leads at first; 0: nobody in particular */
    unsigned election_ms, heartbeat_ms;
    unsigned inflight_entries;
    size_t ae_bytes, tail_bytes, uncommitted_bytes, wal_queue_bytes;
    uint32_t segment_bytes;
    unsigned show;
};
struct cluster_config cluster_defaults(void);

/* What was seen of one node last. */
struct seen {
    enum group_role role;
    uint64_t term, leader, commit, applied;
    bool ready;
    uint64_t *terms;          /* owned: term of each entry of its log, from 1 */
    uint64_t last, cap;
    uint64_t change;          /* index of the last configuration in its log */
    char members[CLUSTER_NODES_MAX + 1]; /* "vvs": in use, by node */
};

struct member {
    struct cluster *c;        /* borrowed */
    unsigned id;
    struct env *env;          /* NULL: down; the process's, as are the next four */
    struct wal *wal;
    struct links *links;
    struct groupset *gs;
    struct group *g;
    struct side side[SIDES_MAX]; /* further groups */
    bool wal_failed;
    uint64_t lives;
    struct seen seen;
    uint64_t applied;         /* index of the last entry the state machine got */
    size_t tail_bytes_max;    /* most payload bytes its log held */
};

/* A proposal that a node took. */
struct proposal {
    unsigned node;
    uint64_t life;            /* of that node */
    uint64_t index, term, at_us, done_us;
    enum { PROPOSAL_OPEN, PROPOSAL_ACKED, PROPOSAL_LOST, PROPOSAL_UNKNOWN } state;
    char name[24];
};

/* A linearizable read under way. */
struct reading {
    struct list link;         /* cluster.readings */
    struct group_read read;
    struct cluster *c;
    unsigned node;
    uint64_t must;            /* highest entry acknowledged before it began */
    char name[24];
};

/* The last result of an AppendEntries, of which repetitions are not shown. */
struct told {
    uint64_t term, rejected, last;
};

/* A message as it leaves (delivered: false) or arrives. */
typedef void (*cluster_wire_cb)(void *ctx, unsigned from, unsigned to,
                                const struct wire_msg *m, bool delivered);

struct cluster {
    struct cluster_config cfg;
    struct sim *sim;
    struct member node[CLUSTER_NODES_MAX + 1]; /* [0] unused */
    struct ledger ledger;
    struct sides sides;
    struct buf transcript;
    bool echo;                /* KV_SCENARIO_SHOW is set: to stdout, too */
    struct proposal *proposals; /* owned */
    size_t n_proposals, cap_proposals;
    size_t first_open;        /* none before it is open */
    size_t n_acked;
    uint64_t max_acked;       /* highest index of an acknowledged entry */
    struct list readings;
    size_t n_reads_answered, n_reads_refused;
    struct map streams[2];    /* stream -> struct buf, owned; sent, delivered */
    struct told told[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1]; /* [from][to] */
    uint64_t n_rejects[CLUSTER_NODES_MAX + 1]; /* AppendEntries refused by a node */
    uint64_t n_appends;       /* AppendEntries with entries, seen leaving */
    cluster_wire_cb wire;     /* a script that watches */
    void *wire_ctx;
};

/* Start all nodes. */
struct cluster *cluster_new(const struct cluster_config *cfg);
void cluster_free(struct cluster *c);

void cluster_start(struct cluster *c, unsigned node);
void cluster_crash(struct cluster *c, unsigned node, enum sim_keep keep);
/* A crash of the host: unsynced writes and unsent bytes are lost, peers see nothing. */
void cluster_power_off(struct cluster *c, unsigned node);
/* Close everything in order; fails the test if anything is left over. */
void cluster_stop(struct cluster *c, unsigned node);
/* Cut node off from the nodes whose bits are set in others, both ways; heal. */
void cluster_cut(struct cluster *c, unsigned a, unsigned b);
void cluster_heal(struct cluster *c, unsigned a, unsigned b);
void cluster_isolate(struct cluster *c, unsigned node);
void cluster_heal_all(struct cluster *c);

/* Propose a payload of `bytes` bytes that begins with name.  0 or KV_E*. */
int cluster_propose(struct cluster *c, unsigned node, const char *name, size_t bytes);
/* Begin a linearizable read.  When it is answered, the node must have applied every
 * entry that was acknowledged before it began. */
void cluster_read(struct cluster *c, unsigned node, const char *name);
int cluster_transfer(struct cluster *c, unsigned node, unsigned to);
/* Ask node to make another one a voter or a stand-by. */
int cluster_change(struct cluster *c, unsigned node, unsigned who, enum group_member role);
/* A line of the script's own. */
void cluster_note(struct cluster *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- running ---- */

double cluster_ms(const struct cluster *c);
void cluster_run(struct cluster *c, unsigned ms);
/* Until node (0: any) leads and is ready; the leader, or 0 after limit_ms. */
unsigned cluster_wait_leader(struct cluster *c, unsigned node, unsigned limit_ms);
unsigned cluster_wait_other_leader(struct cluster *c, unsigned but, unsigned limit_ms);
bool cluster_wait_acked(struct cluster *c, size_t n, unsigned limit_ms);
bool cluster_wait_applied(struct cluster *c, unsigned node, uint64_t index, unsigned limit_ms);
/* Until node stored entries up to index, whatever they are. */
bool cluster_wait_stored(struct cluster *c, unsigned node, uint64_t index, unsigned limit_ms);
/* Until cond holds of ctx. */
typedef bool (*cluster_cond)(struct cluster *c, void *ctx);
bool cluster_wait(struct cluster *c, cluster_cond cond, void *ctx, unsigned limit_ms);
/* Faults end: heal, start who is down, wait until a leader serves and all nodes
 * applied the same, also the same configuration.  Then no acknowledged entry may be missing anywhere. */
void cluster_settle(struct cluster *c);

/* ---- verdict ---- */

/* NULL, or what was violated first. */
const char *cluster_violation(const struct cluster *c);
/* Fail the test on a violation, and compare the transcript with
 * test/scenario/transcripts/<name>.txt.  KV_TRANSCRIPT=write in the environment
 * replaces the file instead. */
void cluster_verdict(struct cluster *c, const char *name);

/* ---- watch.c ---- */
void watch_read(struct group_read *r, int status);
void watch_event(void *ctx);
void watch_started(struct member *m);
void watch_stopped(struct member *m);
void watch_apply(void *ctx, uint64_t index, uint64_t term, struct slice payload);
void watch_wire(void *ctx, uint64_t stream, unsigned from, unsigned to, struct slice bytes, bool delivered);
void watch_line(struct cluster *c, unsigned node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
