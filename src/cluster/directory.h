/* Who is in the cluster and who holds what.  At first derived from
 * --initial-cluster, the same on every node; later the state machine of shard 0. */
#ifndef KV_CLUSTER_DIRECTORY_H
#define KV_CLUSTER_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slot.h"
#include "env/env.h"

#define DIRECTORY_SHARDS_MAX 256u
#define DIRECTORY_NODES_MAX 64u
#define DIRECTORY_REPLICAS_MAX 7u

struct directory_node {
    uint64_t id;
    char host[256];      /* as given: name or address */
    uint16_t port;       /* clients */
    uint16_t peer_port;
    unsigned weight;     /* virtual nodes = 256 * weight; 0: draining */
};

struct directory_shard {
    uint32_t id;
    uint64_t replicas[DIRECTORY_REPLICAS_MAX]; /* in ring order; [0] leads at first */
    unsigned n;
};

struct directory; /* opaque */

/* spec: "1=host:port,2=host:port,...", port the client port, peers at +10000 or
 * given as "1=host:port/peerport".  Derives cluster id (hash of the name and the sorted
 * members and shard count), ring, slot table and placement.  errmsg says what is wrong.  The same input
 * gives the same directory on every machine. */
int directory_derive(const char *cluster_name, const char *spec, unsigned shards, unsigned replicas,
                     struct directory **ret, char *errmsg, size_t n);
void directory_free(struct directory *d);

uint64_t directory_epoch(const struct directory *d);
uint64_t directory_cluster_id(const struct directory *d);
unsigned directory_n_nodes(const struct directory *d);
const struct directory_node *directory_node_at(const struct directory *d, unsigned i); /* by id order */
const struct directory_node *directory_node(const struct directory *d, uint64_t id);   /* or NULL */
unsigned directory_n_shards(const struct directory *d);
const struct directory_shard *directory_shard(const struct directory *d, uint32_t shard);
uint32_t directory_shard_of_slot(const struct directory *d, uint16_t slot);

/* Identity of a data directory: file <dir>/meta (JSON by jansson: version,
 * cluster id and name, node id, instance id, created, initial cluster), written
 * atomically (write, fsync, rename, fsync dir). */
struct identity {
    uint64_t cluster_id, node_id, instance_id;
};
/* Load <dir>/meta or, if the directory has none and no log, create it with a new random
 * instance id.  KV_EMISMATCH, KV_ECORRUPT; errmsg names both sides and what to do. */
int identity_load_or_create(struct env *env, const char *dir, const struct directory *d,
                            uint64_t node_id, struct identity *ret, char *errmsg, size_t n);

#endif
