/* Watch: only whether the replicas are level. */
#include "base/mem.h"
#include "cluster/directory.h"
#include "kvsim/parts.h"

struct watch {
    struct world *w;
};

struct watch *watch_new(struct world *w)
{
    struct watch *t = MEM_NEW(struct watch);

    t->w = w;
    return t;
}

void watch_free(struct watch *t)
{
    mem_free(t);
}

void watch_node(struct watch *t, unsigned node)
{
    (void)t;
    (void)node;
}

void watch_started(struct watch *t, unsigned node)
{
    (void)t;
    (void)node;
}

void watch_stopped(struct watch *t, unsigned node)
{
    (void)t;
    (void)node;
}

bool watch_settled(struct watch *t)
{
    struct world *w = t->w;

    for (uint32_t s = 0; s < w->plan.shards; s++) {
        unsigned leader = world_leader(w, s), nodes[PLAN_NODES_MAX];
        unsigned n = world_replicas(w, s, nodes);

        if (!world_owed(w, s))
            continue;
        if (leader == 0 || !group_ready(world_group(w, leader, s)))
            return false;
        for (unsigned i = 0; i < n; i++) {
            struct group *g = world_group(w, nodes[i], s);

            if (g == NULL ? !w->host[nodes[i]].refused
                          : group_applied(g) !=
                                group_last(world_group(w, leader, s)))
                return false;
        }
    }
    return true;
}
