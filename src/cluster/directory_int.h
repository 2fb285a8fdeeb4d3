/* What directory*.c and placement.c share. */
#ifndef KV_CLUSTER_DIRECTORY_INT_H
#define KV_CLUSTER_DIRECTORY_INT_H

#include "cluster/directory.h"

struct directory {
    uint64_t epoch;       /* grows with each change; 1 as derived */
    uint64_t cluster_id;
    char name[DIRECTORY_NAME_MAX + 1];
    unsigned replicas;    /* as asked for */
    unsigned n_nodes;
    unsigned n_shards;
    struct directory_node nodes[DIRECTORY_NODES_MAX];    /* ascending ids */
    struct directory_shard shards[DIRECTORY_SHARDS_MAX]; /* [i].id == i */
    uint16_t shard_of_slot[SLOT_COUNT];
};

/* Parse the members of spec into nodes (ascending ids).  As directory_derive. */
int directory__parse(const char *spec,
                     struct directory_node nodes[DIRECTORY_NODES_MAX],
                     unsigned *ret_n, char *errmsg, size_t n);

/* Reorder the replicas of each shard so that replicas[0], which leads at first,
 * is spread over the nodes as evenly as the sets allow. */
void directory__spread_leaders(struct directory *d);

/* Assert the invariants of directory.c. */
void directory__check(const struct directory *d);

#endif
