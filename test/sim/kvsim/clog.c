/* Swizzle-clogging, which FoundationDB found to be worth more than all else: choose
 * some of the nodes or ways, clog them one after the other, then unclog them one after
 * the other in another order.  Between the two every half of the cluster is, for a
 * moment, without the other. */
#include "kvsim/fault.h"

static uint64_t gap(struct faults *f)
{
    return fault_spread(f, 5 * MS, SECOND);
}

static void clog_node(struct faults *f, const struct act *a)
{
    fault_isolate(f, NODE_BIT(a->node), a->n % 2 == 1, a->until);
}

static void clog_way(struct faults *f, const struct act *a)
{
    fault_cut_way(f, NODE_BIT(a->node), NODE_BIT(a->other), a->until);
}

static void clog_pause(struct faults *f, const struct act *a)
{
    fault_pause(f, a->node, a->until);
}

/* From when, and for how long: clogged in the order of the calls, unclogged by chance.
 * `until` of an act without a condition is free for use. */
static struct act *clog_one(struct faults *f, act_fn fn, uint64_t begins,
                            uint64_t all_clogged, uint64_t spread)
{
    struct act *a = fault_after(f, begins, fn);

    a->until = all_clogged - begins + rng_below(&f->rng, spread + 1);
    return a;
}

static void clog_nodes(struct faults *f, uint64_t spread)
{
    unsigned n = f->p->nodes, k = 1 + fault_below(f, n);
    uint64_t chosen = fault_some(f, fault_all(f), k), at = 0, begins[8];
    uint64_t with_clients = fault_chance(f, 25);
    bool pause = fault_may(f, FAULT_pause) && fault_chance(f, 20);

    for (unsigned i = 0; i < k; i++) {
        begins[i] = at;
        at += gap(f);
    }
    for (unsigned i = 0; i < k; i++) {
        struct act *a = clog_one(f, pause ? clog_pause : clog_node, begins[i],
                                 at, spread);

        a->node = fault_one(f, chosen);
        a->n = with_clients;
        chosen &= ~NODE_BIT(a->node);
    }
}

static void clog_ways(struct faults *f, uint64_t spread)
{
    unsigned n = f->p->nodes, k = 1 + fault_below(f, 2 * n);
    uint64_t at = 0, begins[2 * PLAN_NODES_MAX];

    for (unsigned i = 0; i < k; i++) {
        begins[i] = at;
        at += gap(f) / 2;
    }
    for (unsigned i = 0; i < k; i++) {
        struct act *a = clog_one(f, clog_way, begins[i], at, spread);

        a->node = fault_any_node(f);
        a->other = fault_any_node(f);
    }
}

static void clog_round(struct faults *f, const struct act *a)
{
    uint64_t spread = fault_spread(f, 50 * MS, 6 * SECOND);

    (void)a;
    if (f->p->nodes > 1 && fault_chance(f, 60))
        clog_nodes(f, spread);
    else
        clog_ways(f, spread);
    if (fault_may(f, FAULT_ring) && fault_chance(f, 10))
        fault_ring(f, spread);
    fault_after(f, spread + fault_spread(f, 200 * MS, 5 * SECOND), clog_round);
}

void clog_start(struct faults *f)
{
    if (fault_may(f, FAULT_isolate) && fault_may(f, FAULT_one_way))
        fault_after(f, 0, clog_round);
}
