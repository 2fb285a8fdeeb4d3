/* Rare situations of reads and of forwarded requests, seen from outside: for the
 * counters of cover.h. */
#ifndef KV_KVSIM_LOOK_H
#define KV_KVSIM_LOOK_H

#include "kvsim/plan.h"
#include "node/node_int.h"

/* Of one process. */
struct look {
    bool asked[PLAN_SHARDS_MAX];  /* leads, with reads that wait to be confirmed */
    bool behind[PLAN_SHARDS_MAX]; /* confirmed reads wait to be applied */
    uint64_t forwarded;           /* as the router counts */
};

/* After each event of a node. */
void look_node(struct look *l, struct node *n);
/* A line of the node's log, from inside the event. */
void look_line(struct node *n, const char *line);

#endif
