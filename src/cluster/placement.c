/* Spreading the first leaders.
 *
 * The ring says which nodes hold a shard; which of them should lead it first is
 * free, and the first token of each walk is a poor choice: with 16 shards on
 * 3 nodes it gives one node twice the leaders of another.  What we want is an
 * assignment shard -> one of its replicas with the most even counts: a
 * semi-matching.  One is optimal (smallest sum of squares, hence also smallest
 * maximum and largest minimum) if and only if there is no path
 *
 *     node a  leads s1, which b holds;  b leads s2, which c holds;  ... z
 *
 * with leaders(a) >= leaders(z) + 2: shifting each shard one node along that
 * path takes a leader from a and gives it to z (Harvey, Ladner, Lovasz, Tamir:
 * "Semi-matchings for bipartite graphs and load balancing").  So: start with the
 * ring's choice and shift along such paths, found by breadth-first search, until
 * none is left.  Each shift lowers the sum of squares, so it ends; at 256
 * shards on 64 nodes that is well below a millisecond.
 *
 * Everything is visited in the order of ids: the result is the same everywhere.
 *
 * Invariants: the set of each shard's replicas does not change (I1); no
 * improving path is left (I2, tested). */
#include <string.h>

#include "base/assert.h"
#include "cluster/directory_int.h"

#define NONE UINT32_MAX

struct spread {
    struct directory *d;
    unsigned leads[DIRECTORY_NODES_MAX];        /* shards led, by node index */
    unsigned leader_of[DIRECTORY_SHARDS_MAX];   /* node index */
    /* Of one search: how a node was reached. */
    unsigned via_shard[DIRECTORY_NODES_MAX];    /* or NONE */
    unsigned from_node[DIRECTORY_NODES_MAX];
};

static unsigned index_of(const struct directory *d, uint64_t id)
{
    for (unsigned i = 0; i < d->n_nodes; i++) {
        if (d->nodes[i].id == id)
            return i;
    }
    UNREACHABLE();
}

/* Add to the queue what one shard led by `node` leads to. */
static unsigned visit_shard(struct spread *sp, unsigned node, unsigned shard,
                            unsigned *queue, unsigned tail)
{
    const struct directory_shard *s = &sp->d->shards[shard];

    for (unsigned i = 0; i < s->n; i++) {
        unsigned to = index_of(sp->d, s->replicas[i]);

        if (sp->from_node[to] != NONE)
            continue;
        sp->from_node[to] = node;
        sp->via_shard[to] = shard;
        queue[tail++] = to;
    }
    return tail;
}

/* The first node reachable from start that leads at least two fewer. */
static unsigned find_path(struct spread *sp, unsigned start)
{
    unsigned queue[DIRECTORY_NODES_MAX];
    unsigned head = 0;
    unsigned tail = 0;

    for (unsigned i = 0; i < sp->d->n_nodes; i++)
        sp->from_node[i] = sp->via_shard[i] = NONE;
    sp->from_node[start] = start;
    queue[tail++] = start;
    while (head < tail) {
        unsigned node = queue[head++];

        if (sp->leads[node] + 2 <= sp->leads[start])
            return node;
        for (unsigned s = 0; s < sp->d->n_shards; s++) {
            if (sp->leader_of[s] == node)
                tail = visit_shard(sp, node, s, queue, tail);
        }
    }
    return NONE;
}

/* Give one leader of start to end, each shard moving one node along the path. */
static void shift(struct spread *sp, unsigned start, unsigned end)
{
    sp->leads[start]--;
    sp->leads[end]++;
    while (end != start) {
        unsigned shard = sp->via_shard[end];

        ASSERT(shard != NONE);
        ASSERT(sp->leader_of[shard] == sp->from_node[end]);
        sp->leader_of[shard] = end;
        end = sp->from_node[end];
    }
}

/* Move the replica `id` to the front; the others keep their order. */
static void move_to_front(struct directory_shard *s, uint64_t id)
{
    unsigned at = 0;

    while (s->replicas[at] != id)
        at++;
    ASSERT(at < s->n);
    memmove(&s->replicas[1], &s->replicas[0], at * sizeof(s->replicas[0]));
    s->replicas[0] = id;
}

void directory__spread_leaders(struct directory *d)
{
    struct spread sp = { .d = d };
    bool moved = true;

    for (unsigned s = 0; s < d->n_shards; s++) {
        ASSERT(d->shards[s].n >= 1);
        sp.leader_of[s] = index_of(d, d->shards[s].replicas[0]);
        sp.leads[sp.leader_of[s]]++;
    }
    while (moved) {
        moved = false;
        for (unsigned i = 0; i < d->n_nodes; i++) {
            unsigned end = find_path(&sp, i);

            if (end == NONE)
                continue;
            shift(&sp, i, end);
            moved = true;
        }
    }
    for (unsigned s = 0; s < d->n_shards; s++)
        move_to_front(&d->shards[s], d->nodes[sp.leader_of[s]].id);
}
