/* Further groups on the nodes of a cluster, which share its logs, links and turns.
 * They get no transcript, but the same ledger, one each. */
#ifndef KV_SCENARIO_SIDES_H
#define KV_SCENARIO_SIDES_H

#include <stdbool.h>
#include <stdint.h>

#include "group/group.h"
#include "group/groupset.h"
#include "sim/ledger.h"

#define SIDES_MAX 4u

struct cluster;
struct member;

/* One further group on one node. */
struct side {
    struct member *m;   /* borrowed */
    unsigned which;     /* 0 .. SIDES_MAX-1; group id is CLUSTER_GROUP + 1 + which */
    struct group *g;    /* NULL: the node is down */
    uint64_t applied;   /* last index given to the state machine */
};

/* A write that a node took, until it has applied its index. */
struct side_write {
    unsigned which, node;
    uint64_t life, index, term;
    bool acked, done;
};

struct sides {
    unsigned n;         /* groups */
    struct ledger ledger[SIDES_MAX];
    struct side_write *writes; /* owned */
    size_t n_writes, cap_writes, n_acked;
};

void sides_init(struct sides *s, unsigned n);
void sides_close(struct sides *s);
/* Open the groups of a node; in its context. */
void sides_open(struct cluster *c, struct member *m);
void sides_stopped(struct member *m);
/* Propose at every node that leads one of them. */
void sides_propose(struct cluster *c, size_t bytes);
/* Every group has a ready leader, and all nodes applied the same. */
bool sides_settled(const struct cluster *c);
/* NULL, or what was violated; counts acknowledged writes that are missing. */
const char *sides_violation(const struct cluster *c);

#endif
