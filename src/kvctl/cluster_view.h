/* The cluster as its nodes tell it: INFO raft of every node, put together. */
#ifndef KV_KVCTL_CLUSTER_VIEW_H
#define KV_KVCTL_CLUSTER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "kvctl/kvctl.h"

#define VIEW_NODES_MAX 64u
#define VIEW_SHARDS_MAX 256u

/* One shard as one node sees it. */
struct view_replica {
    bool present;      /* the node has a replica */
    char role[16];     /* leader, follower, candidate */
    bool leader, ready;
    uint64_t term, last, commit, applied, keys;
    char digest[17];
};

struct view_node {
    uint64_t id;
    char address[300];     /* host:port for clients */
    bool reachable;
    char error[256];       /* why not */
    unsigned leads, holds; /* shards */
    uint64_t clients, ops_per_sec;
    char version[32];
    struct view_replica shards[VIEW_SHARDS_MAX];
};

struct cluster_view {
    char cluster_id[17];
    unsigned n_nodes, n_shards;
    struct view_node *nodes; /* owned, by id */
    /* By shard: the node whose replica is a ready leader of the highest term; 0: none. */
    uint64_t leader[VIEW_SHARDS_MAX];
    unsigned voters[VIEW_SHARDS_MAX]; /* replicas the directory wants */
};

/* Ask the nodes.  0, or a libkv status if no endpoint tells who the nodes are. */
int cluster_view_load(struct kvctl *k, struct cluster_view *v);
void cluster_view_free(struct cluster_view *v);
unsigned cluster_view_led(const struct cluster_view *v);       /* shards that serve */
unsigned cluster_view_reachable(const struct cluster_view *v); /* nodes */

#endif
