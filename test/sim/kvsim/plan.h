/* What one run is to be: everything that kvsim draws from its seed before the
 * world begins.  A pure function of (seed, options). */
#ifndef KV_KVSIM_PLAN_H
#define KV_KVSIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "kvsim/cover.h"

#define PLAN_NODES_MAX 7u
#define PLAN_CLIENTS_MAX 24u
#define PLAN_SHARDS_MAX 16u

/* How faults are chosen (faults.md section 4): a third aimed at roles, a third swarm,
 * the rest clogging and scripts. */
#define PLAN_STYLE_MAP(X) X(calm) X(aimed) X(swarm) X(clog) X(script)
enum plan_style {
#define X(name) PLAN_##name,
    PLAN_STYLE_MAP(X)
#undef X
    PLAN_STYLES
};

#define PLAN_WORKLOAD_MAP(X) X(register) X(counter) X(append) X(ttl) X(batch) X(mixed)
enum plan_workload {
#define X(name) WORKLOAD_##name,
    PLAN_WORKLOAD_MAP(X)
#undef X
    WORKLOADS
};

/* Kinds of faults; fault.c says what each does. */
#define FAULT_MAP(X)                                                              \
    X(latency) X(slow_link) X(loss) X(duplicate) X(reorder) X(reset) X(half_open) \
    X(isolate) X(split) X(one_way) X(ring) X(flap)                                \
    X(crash) X(crash_all) X(power) X(pause) X(stop)                               \
    X(clock_jump) X(clock_back) X(clock_drift)                                    \
    X(slow_disk) X(stall_disk) X(eio) X(enospc) X(rot) X(retired)        \
    X(transfer) X(change)
enum fault_kind {
#define X(name) FAULT_##name,
    FAULT_MAP(X)
#undef X
    FAULT_KINDS
};

struct plan_options {
    uint64_t seed;
    unsigned nodes;          /* 0: draw */
    uint64_t time_ms;        /* of faults and load; 0: 60 s */
    int workload, style;     /* -1: draw */
    uint64_t faults;         /* bit per fault_kind that may be used */
};

struct plan {
    uint64_t seed;
    unsigned nodes, shards, replicas;
    uint64_t time_ms;        /* clients stop here */
    uint64_t faults_from_ms, faults_until_ms; /* nothing is wrong outside of these */
    enum plan_workload workload;
    enum plan_style style;
    unsigned script;         /* PLAN_script: which one, modulo their number */
    unsigned clients;
    unsigned pipeline;       /* most operations in flight of a client (each its own process) */
    unsigned keys_active, ops_per_key; /* keys in use at a time; then a new one */
    unsigned think_ms;       /* mean pause of a client between operations */
    unsigned timeout_ms;     /* a client gives up, drops the connection */
    uint64_t faults;         /* bit per kind that is used */
    unsigned mean_ms[FAULT_KINDS]; /* mean time between two of this kind; 0: only aimed */
    unsigned election_ms, heartbeat_ms;
    uint64_t segment_bytes, tail_bytes;
    uint64_t append_bytes;   /* of an AppendEntries; small: one entry in each */
    unsigned deadline_ms;    /* a node answers a request by then, one way or another */
    unsigned batches;        /* entries of a shard in flight */
};

/* time_ms 60000, everything else drawn. */
struct plan_options plan_options_defaults(void);
void plan_draw(const struct plan_options *o, struct plan *ret);
void plan_print(const struct plan *p, FILE *f); /* one line */
const char *plan_fault_name(enum fault_kind kind);
/* Names; -1 if there is none. */
int plan_find_workload(const char *name);
int plan_find_style(const char *name);
/* "crash,eio" or "all" or "none" into bits; -1: no such fault. */
int plan_parse_faults(const char *list, uint64_t *ret);

#endif
