/* The cluster of a run: real nodes (node_start) on the simulated environment, and
 * what the other parts of kvsim may do to them and see of them.
 *
 * Hosts 1..nodes are servers, host WORLD_CLIENT_HOST and the next hold the
 * clients.  All calls outside of node events (from sim_at callbacks). */
#ifndef KV_KVSIM_WORLD_H
#define KV_KVSIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "kvsim/cover.h"
#include "kvsim/look.h"
#include "kvsim/plan.h"
#include "node/node_int.h"
#include "oracle/oracle.h"
#include "sim/env_sim.h"

#define WORLD_CLIENT_HOST 12u
#define WORLD_CLIENT_HOSTS 2u
#define WORLD_PORT 6379u
#define WORLD_STOP_MS 3000u /* stop.timeout */

/* Exit statuses, of kvsim and of a run. */
enum verdict {
    VERDICT_OK = 0,
    VERDICT_CRASH = 127,      /* an assertion, a signal, a sanitizer */
    VERDICT_LIVENESS = 128,   /* did not serve again after the faults */
    VERDICT_CORRECTNESS = 129
};

struct host {
    struct world *w;          /* borrowed */
    unsigned id;
    struct env *env;          /* NULL: no process */
    struct node *node;        /* NULL: none, or it did not start */
    uint64_t lives;           /* processes so far */
    bool stopping;            /* node_stop was called */
    bool exited;              /* it has called back: the process ends at the next event */
    bool failed;              /* `fatal` was called: ends at the next event */
    bool refused;             /* node_start refused (damaged log): stays down */
    char refusal[512];        /* why */
    bool rotted;              /* the faults damaged its disk: it may refuse to start */
    struct look look;         /* of this process */
    uint64_t restart_us;      /* systemd starts it then; 0: not going to */
};

struct directory;
struct notes;  /* notes.c */
struct watch;  /* watch.c */
struct crowd;  /* client.c */
struct faults; /* fault.c */

struct world {
    struct plan plan;
    struct sim *sim;
    struct directory *dir;    /* who holds what; as every node derives it */
    struct notes *notes;
    struct host host[PLAN_NODES_MAX + 1]; /* [0] unused */
    struct history *history;
    struct watch *watch;
    struct crowd *crowd;
    struct faults *faults;
    enum verdict verdict;     /* the first that is not OK */
    char why[8192];           /* the minimal facts */
    bool healed;              /* the faults are over: nobody stays down */
    uint64_t recovered_us;    /* from the end of the faults until all shards served */
};

/* trace: every note and log line goes there; may be NULL. */
struct world *world_new(const struct plan *p, FILE *trace);
void world_free(struct world *w);
/* The whole run: start, load and faults, heal, liveness, final reads, audit. */
void world_run(struct world *w);
/* Note a violation: the first one is kept and ends the run. */
void world_violate(struct world *w, enum verdict v, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- processes ---- */

/* All are harmless if there is nothing to do: start of a node that is up or has refused,
 * crash of one that is down.  A process that ends by itself, because it failed or could
 * not start, is started again after WORLD_RESTART_US, as systemd would. */
#define WORLD_RESTART_US 1000000u
void world_start(struct world *w, unsigned node);
bool world_up(const struct world *w, unsigned node); /* has a process that serves */
void world_crash(struct world *w, unsigned node, enum sim_keep keep);
void world_power_off(struct world *w, unsigned node, enum sim_keep keep);
void world_stop(struct world *w, unsigned node);  /* SIGTERM; exits by itself */

/* ---- looking in ---- */

/* NULL: down, or no replica of it there. */
struct shard *world_shard(struct world *w, unsigned node, uint32_t shard);
struct group *world_group(struct world *w, unsigned node, uint32_t shard);
/* The node that leads with the highest term (it may be cut off); 0: none. */
unsigned world_leader(struct world *w, uint32_t shard);
unsigned world_replicas(struct world *w, uint32_t shard, unsigned ret_nodes[PLAN_NODES_MAX]);
/* Must it serve once the faults are over?  Not when a majority of its replicas has
 * refused to start. */
bool world_owed(struct world *w, uint32_t shard);
/* The last lines of every node's log and of the faults, for a failure. */
void world_print_last(struct world *w, FILE *f);
/* A line for --trace and for the last events: what a fault or a client did. */
void world_note(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
