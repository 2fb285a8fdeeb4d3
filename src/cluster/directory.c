/* The directory: members, shards, the slot table, the placement.
 *
 * As derived from --initial-cluster, by every node for itself, with the same
 * result (the order in which members are written does not matter):
 *
 *   slot -> shard    a ring of the shard numbers, 256 tokens each; the slots are
 *                    spread evenly over the circle, slot s at s * 2^50, so that
 *                    the shares differ only by the tokens' luck, about 10% at 16
 *                    shards.  A table from then on: moved slots are explicit.
 *   shard -> nodes   a ring of the node ids, 256 tokens per unit of weight;
 *                    shard s is at hash(s), and its replicas are the first N
 *                    distinct nodes clockwise from there.
 *   shard -> leader  placement.c: replicas[0], as even as the sets allow.
 *
 *   cluster id = XXH3 of  name, 0, u32 shards, u32 replicas, u64 id, u64 id, ...
 *                         (little-endian, ids ascending)
 *
 * The ids are in it and the addresses are not: a node that moves to another
 * address is the same node, while other ids mean other replicas and another
 * placement, thus another cluster.  Salts and hash are frozen: nodes of
 * different versions must agree.
 *
 * Invariants (directory__check):
 *   I1  node ids ascend and are not 0; shards[i].id == i;
 *   I2  each shard has min(replicas, nodes) replicas, all of them members and
 *       all different;
 *   I3  each slot belongs to a shard, and each shard owns at least one slot. */
#include "cluster/directory.h"

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "cluster/directory_int.h"
#include "cluster/ring.h"

/* Ring kinds; "kvmesh" and a number, for no reason but to be odd.  Frozen. */
#define SALT_SHARD_TOKENS 0x6b766d6573680001u
#define SALT_NODE_TOKENS 0x6b766d6573680002u
#define SALT_SHARD_POINTS 0x6b766d6573680003u

#define SLOT_POINT_SHIFT 50 /* 2^64 / SLOT_COUNT slots */
_Static_assert(SLOT_COUNT == 1u << (64 - SLOT_POINT_SHIFT), "slots fill the circle");

void directory__check(const struct directory *d)
{
    bool owns[DIRECTORY_SHARDS_MAX] = { false };
    unsigned want = d->replicas < d->n_nodes ? d->replicas : d->n_nodes;

    ASSERT(d->n_nodes >= 1 && d->n_nodes <= DIRECTORY_NODES_MAX);
    ASSERT(d->n_shards >= 1 && d->n_shards <= DIRECTORY_SHARDS_MAX);
    for (unsigned i = 0; i < d->n_nodes; i++) {
        ASSERT(d->nodes[i].id > (i == 0 ? 0 : d->nodes[i - 1].id)); /* I1 */
    }
    for (unsigned s = 0; s < d->n_shards; s++) {
        const struct directory_shard *shard = &d->shards[s];

        ASSERT(shard->id == s);    /* I1 */
        ASSERT(shard->n == want);  /* I2 */
        for (unsigned i = 0; i < shard->n; i++) {
            ASSERT(directory_node(d, shard->replicas[i]) != NULL);
            for (unsigned j = 0; j < i; j++)
                ASSERT(shard->replicas[i] != shard->replicas[j]);
        }
    }
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        ASSERT(d->shard_of_slot[slot] < d->n_shards); /* I3 */
        owns[d->shard_of_slot[slot]] = true;
    }
    for (unsigned s = 0; s < d->n_shards; s++)
        ASSERT(owns[s]); /* I3: holds for every number of shards, tested */
}

static void assign_slots(struct directory *d)
{
    struct ring ring;

    ring_init(&ring);
    for (unsigned s = 0; s < d->n_shards; s++)
        ring_add(&ring, SALT_SHARD_TOKENS, s, 1);
    ring_seal(&ring);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        uint64_t point = (uint64_t)slot << SLOT_POINT_SHIFT;

        d->shard_of_slot[slot] = (uint16_t)ring_owner(&ring, point);
    }
    ring_close(&ring);
}

static void place_shards(struct directory *d)
{
    struct ring ring;

    ring_init(&ring);
    for (unsigned i = 0; i < d->n_nodes; i++)
        ring_add(&ring, SALT_NODE_TOKENS, d->nodes[i].id, d->nodes[i].weight);
    ring_seal(&ring);
    for (unsigned s = 0; s < d->n_shards; s++) {
        struct directory_shard *shard = &d->shards[s];

        shard->id = s;
        shard->n = ring_walk(&ring, ring_hash(SALT_SHARD_POINTS, s, 0),
                             shard->replicas, d->replicas);
    }
    ring_close(&ring);
}

static uint64_t derive_cluster_id(const struct directory *d)
{
    struct buf b;
    uint64_t id;

    buf_init(&b);
    buf_put_str(&b, d->name);
    buf_put_u8(&b, 0);
    buf_put_u32(&b, d->n_shards);
    buf_put_u32(&b, d->replicas);
    for (unsigned i = 0; i < d->n_nodes; i++)
        buf_put_u64(&b, d->nodes[i].id);
    id = XXH3_64bits(buf_at(&b), b.len);
    buf_close(&b);
    return id != 0 ? id : 1;
}

static bool is_good_name(const char *name)
{
    size_t n = strlen(name);

    return n >= 1 && n <= DIRECTORY_NAME_MAX &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._-") == n;
}

static int check_settings(const char *name, unsigned shards, unsigned replicas,
                          char *errmsg, size_t n)
{
    if (!is_good_name(name))
        (void)snprintf(errmsg, n,
                       "cluster name: must be 1 to %u letters, digits, dots, "
                       "dashes or underscores", DIRECTORY_NAME_MAX);
    else if (shards < 1 || shards > DIRECTORY_SHARDS_MAX)
        (void)snprintf(errmsg, n, "shards: %u given, must be 1 to %u", shards,
                       DIRECTORY_SHARDS_MAX);
    else if (replicas < 1 || replicas > DIRECTORY_REPLICAS_MAX)
        (void)snprintf(errmsg, n, "replicas: %u given, must be 1 to %u",
                       replicas, DIRECTORY_REPLICAS_MAX);
    else
        return 0;
    return KV_EINVAL;
}

int directory_derive(const char *cluster_name, const char *spec,
                     unsigned shards, unsigned replicas,
                     struct directory **ret, char *errmsg, size_t n)
{
    struct directory *d;
    int rv;

    rv = check_settings(cluster_name, shards, replicas, errmsg, n);
    if (rv != 0)
        return rv;
    d = MEM_NEW(struct directory);
    rv = directory__parse(spec, d->nodes, &d->n_nodes, errmsg, n);
    if (rv != 0)
        goto err_free;

    d->epoch = 1;
    memcpy(d->name, cluster_name, strlen(cluster_name) + 1);
    d->n_shards = shards;
    d->replicas = replicas;
    d->cluster_id = derive_cluster_id(d);
    assign_slots(d);
    place_shards(d);
    directory__spread_leaders(d);
    directory__check(d);
    *ret = d;
    return 0;
err_free:
    mem_free(d);
    return rv;
}

void directory_free(struct directory *d)
{
    mem_free(d);
}

uint64_t directory_epoch(const struct directory *d)
{
    return d->epoch;
}

uint64_t directory_cluster_id(const struct directory *d)
{
    return d->cluster_id;
}

const char *directory_cluster_name(const struct directory *d)
{
    return d->name;
}

unsigned directory_replicas(const struct directory *d)
{
    return d->replicas;
}

unsigned directory_n_nodes(const struct directory *d)
{
    return d->n_nodes;
}

const struct directory_node *directory_node_at(const struct directory *d,
                                               unsigned i)
{
    ASSERT(i < d->n_nodes);
    return &d->nodes[i];
}

const struct directory_node *directory_node(const struct directory *d,
                                            uint64_t id)
{
    unsigned lo = 0;
    unsigned hi = d->n_nodes;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (d->nodes[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < d->n_nodes && d->nodes[lo].id == id ? &d->nodes[lo] : NULL;
}

unsigned directory_n_shards(const struct directory *d)
{
    return d->n_shards;
}

const struct directory_shard *directory_shard(const struct directory *d,
                                              uint32_t shard)
{
    return shard < d->n_shards ? &d->shards[shard] : NULL;
}

uint32_t directory_shard_of_slot(const struct directory *d, uint16_t slot)
{
    ASSERT(slot < SLOT_COUNT);
    return d->shard_of_slot[slot];
}
