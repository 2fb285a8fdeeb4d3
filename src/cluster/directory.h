/* Who is in the cluster and who holds what.  At first derived from
 * --initial-cluster, the same on every node; later the state machine of shard 0. */
#ifndef KV_CLUSTER_DIRECTORY_H
#define KV_CLUSTER_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slot.h"
#include "env/env.h"

#define DIRECTORY_SHARDS_MAX 256u
#define DIRECTORY_NODES_MAX 64u
#define DIRECTORY_REPLICAS_MAX 7u
#define DIRECTORY_NODE_ID_MAX UINT32_MAX
#define DIRECTORY_NAME_MAX 64u         /* bytes of a cluster name */
#define DIRECTORY_HOST_MAX 255u        /* bytes of a host name or address */
#define DIRECTORY_PEER_PORT_OFFSET 10000u /* as Redis Cluster's bus port */

struct directory_node {
    uint64_t id;
    char host[DIRECTORY_HOST_MAX + 1]; /* as given: name or address, no brackets */
    uint16_t port;       /* clients */
    uint16_t peer_port;
    unsigned weight;     /* virtual nodes = 256 * weight; 0: draining */
};

struct directory_shard {
    uint32_t id;
    uint64_t replicas[DIRECTORY_REPLICAS_MAX]; /* [0] leads at first, the others in ring order */
    unsigned n;
};

struct directory; /* opaque */

/* spec: "1=host:port,2=host:port,...", port the client port, peers at +10000 or
 * given as "1=host:port/peerport"; an IPv6 address stands in brackets.  Derives
 * cluster id, ring, slot table and placement, with the leaders at first spread as
 * evenly as the replica sets allow.  The same input gives the same directory on
 * every machine, whatever the order of the members.
 *
 * cluster_name  1..DIRECTORY_NAME_MAX of [A-Za-z0-9._-]
 * shards        1..DIRECTORY_SHARDS_MAX
 * replicas      1..DIRECTORY_REPLICAS_MAX; fewer nodes hold one each
 *
 * KV_EINVAL (malformed or out of range) or KV_EEXIST (an id or an address twice);
 * errmsg (n bytes, always terminated) says which member and what to write. */
int directory_derive(const char *cluster_name, const char *spec, unsigned shards, unsigned replicas,
                     struct directory **ret, char *errmsg, size_t n);
void directory_free(struct directory *d); /* d may be NULL */

uint64_t directory_epoch(const struct directory *d);
/* Hash of the name, the number of shards and of replicas, and the sorted member
 * ids.  Not of their addresses: a node may move to another address and stays
 * the same node.  Never 0. */
uint64_t directory_cluster_id(const struct directory *d);
const char *directory_cluster_name(const struct directory *d);
unsigned directory_replicas(const struct directory *d); /* as asked for */
unsigned directory_n_nodes(const struct directory *d);
const struct directory_node *directory_node_at(const struct directory *d, unsigned i); /* by id order */
const struct directory_node *directory_node(const struct directory *d, uint64_t id);   /* or NULL */
unsigned directory_n_shards(const struct directory *d);
const struct directory_shard *directory_shard(const struct directory *d, uint32_t shard); /* NULL: no such shard */
uint32_t directory_shard_of_slot(const struct directory *d, uint16_t slot);

/* Identity of a data directory: file <dir>/meta, written atomically (write, fsync,
 * rename, fsync dir).  See identity.c for its format. */
#define IDENTITY_FILE "meta"
#define IDENTITY_FILE_TMP "meta.tmp"
#define IDENTITY_LOG_DIR "wal" /* where the node keeps its log, below dir */
struct identity {
    uint64_t cluster_id, node_id, instance_id;
};
/* Load <dir>/meta or, if the directory has none and no log, create it with a new
 * random instance id.  dir must exist.
 *
 * KV_EMISMATCH: the directory belongs to another cluster or node, or was made with
 * other settings; KV_ECORRUPT: meta is damaged; KV_ENOENT: there is a log but no
 * meta; KV_EVERSION: written by a newer kvd; else what the disk said.  errmsg names
 * both sides and what to do; the directory is unchanged, but for I/O errors while
 * creating, which may leave <dir>/meta.tmp behind. */
int identity_load_or_create(struct env *env, const char *dir, const struct directory *d,
                            uint64_t node_id, struct identity *ret, char *errmsg, size_t n);

/* Whether the log of this data directory has begun: then it must be there, or the
 * node has lost what it promised and must not start (rule R5).  See begun.c. */
int identity_log_begun(struct env *env, const char *dir, bool *ret);
/* Say so, durably: after the first record of the log is durable and before anything
 * that depends on it leaves the node.  Blocks for two fsyncs, once in the life of a
 * data directory. */
int identity_mark_log_begun(struct env *env, const char *dir);

#endif
