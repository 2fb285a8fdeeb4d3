/* Means: the network.
 *
 * A way between two hosts is cut for as long as somebody has a reason (F1).  Clients
 * are on hosts of their own: a leader that is cut off from its followers but not from
 * its clients is the one that might answer them wrongly, so that is the usual cut. */
#include "base/assert.h"
#include "kvsim/fault.h"

#define CLIENT_HOSTS                                                           \
    (((UINT64_C(1) << WORLD_CLIENT_HOSTS) - 1) << WORLD_CLIENT_HOST)

/* ---- cuts ---- */

static bool in(uint64_t mask, unsigned node)
{
    return (mask >> node & 1) != 0;
}

/* Are more than half of the shard's replicas out of the leader's reach? */
static void note_isolated(struct faults *f)
{
    for (uint32_t shard = 0; shard < f->p->shards; shard++) {
        unsigned leader = fault_leader(f, shard), nodes[PLAN_NODES_MAX];
        unsigned n = world_replicas(f->w, shard, nodes), reached = 0;

        if (leader == 0)
            continue;
        for (unsigned i = 0; i < n; i++)
            reached += f->cuts[leader][nodes[i]] == 0 &&
                       f->cuts[nodes[i]][leader] == 0;
        if (2 * reached <= n)
            COVER(leader_isolated);
    }
}

static void way_mend(struct faults *f, unsigned from, unsigned to)
{
    ASSERT(f->cuts[from][to] > 0);
    if (--f->cuts[from][to] == 0)
        sim_net_heal(f->sim, from, to);
}

static void mend(struct faults *f, const struct act *a)
{
    for (unsigned i = 1; i < FAULT_HOSTS; i++) {
        for (unsigned k = 1; k < FAULT_HOSTS; k++) {
            if (i != k && in(a->mask, i) && in(a->n, k))
                way_mend(f, i, k);
        }
    }
    world_note(f->w, "mended: %#jx -> %#jx", (uintmax_t)a->mask,
               (uintmax_t)a->n);
}

void fault_cut_way(struct faults *f, uint64_t from, uint64_t to, uint64_t us)
{
    struct act *a;

    for (unsigned i = 1; i < FAULT_HOSTS; i++) {
        for (unsigned k = 1; k < FAULT_HOSTS; k++) {
            if (i == k || !in(from, i) || !in(to, k))
                continue;
            if (f->cuts[i][k]++ == 0)
                sim_net_cut(f->sim, i, k);
        }
    }
    world_note(f->w, "cut: %#jx -> %#jx for %ju us", (uintmax_t)from,
               (uintmax_t)to, (uintmax_t)us);
    a = fault_after(f, us, mend);
    a->mask = from;
    a->n = to;
    note_isolated(f);
}

void fault_cut(struct faults *f, uint64_t a, uint64_t b, uint64_t us)
{
    fault_cut_way(f, a, b, us);
    fault_cut_way(f, b, a, us);
}

void fault_isolate(struct faults *f, uint64_t side, bool with_clients,
                   uint64_t us)
{
    uint64_t others = fault_all(f) & ~side;

    fault_cut(f, side, with_clients ? others | CLIENT_HOSTS : others, us);
}

void fault_ring(struct faults *f, uint64_t us)
{
    unsigned n = f->p->nodes, order[PLAN_NODES_MAX];
    unsigned reach = (n + 2) / 4; /* neighbours seen on each side */
    uint64_t left = fault_all(f);

    if (n < 3)
        return;
    for (unsigned i = 0; i < n; i++) {
        order[i] = fault_one(f, left);
        left &= ~NODE_BIT(order[i]);
    }
    if (n < 5) { /* a ring of three is whole: take one link out */
        fault_cut(f, NODE_BIT(order[0]), NODE_BIT(order[1]), us);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        uint64_t far = 0;

        for (unsigned k = 0; k < n; k++) {
            unsigned d = k > i ? k - i : i - k;

            if (d > n / 2)
                d = n - d;
            if (d > reach)
                far |= NODE_BIT(order[k]);
        }
        fault_cut_way(f, NODE_BIT(order[i]), far, us);
    }
    COVER(ring);
}

static void flap(struct faults *f, const struct act *a)
{
    uint64_t pause = fault_spread(f, 2 * MS, 400 * MS);
    struct act *next;

    fault_cut(f, NODE_BIT(a->node), NODE_BIT(a->other), pause);
    if (sim_now(f->sim) >= a->n)
        return;
    next = fault_after(f, 2 * pause, flap);
    next->node = a->node;
    next->other = a->other;
    next->n = a->n;
}

void fault_flap(struct faults *f, unsigned a, unsigned b, uint64_t us)
{
    struct act *first = fault_after(f, 0, flap);

    ASSERT(a != b);
    first->node = a;
    first->other = b;
    first->n = sim_now(f->sim) + us;
}

/* ---- bad lines ---- */

static void latency_end(struct faults *f, const struct act *a)
{
    sim_net_latency(f->sim, a->node, a->other, f->usual);
    sim_net_tail(f->sim, a->node, a->other, 0, 0);
}

static void bad_line(struct faults *f, unsigned from, unsigned to, uint64_t us,
                     act_fn end)
{
    struct act *a = fault_after(f, us, end);

    a->node = from;
    a->other = to;
}

void fault_latency(struct faults *f, unsigned from, unsigned to, uint64_t us)
{
    uint32_t base = (uint32_t)fault_spread(f, 200, 100 * MS);
    struct sim_latency lat = { base, base, 1 };

    world_note(f->w, "latency %u -> %u is %u us or more", from, to, base);
    sim_net_latency(f->sim, from, to, lat);
    sim_net_tail(f->sim, from, to, (uint32_t)fault_spread(f, 1000, 100000),
                 (uint32_t)fault_spread(f, 10 * MS, SECOND));
    bad_line(f, from, to, us, latency_end);
}

void fault_slow_way(struct faults *f, unsigned from, unsigned to,
                    uint32_t way_us, uint64_t us)
{
    struct sim_latency lat = { way_us, way_us / 16, 1 };

    world_note(f->w, "latency %u -> %u is %u us", from, to, way_us);
    sim_net_latency(f->sim, from, to, lat);
    bad_line(f, from, to, us, latency_end);
}

void fault_slow_link(struct faults *f, unsigned from, unsigned to, uint64_t us)
{
    uint32_t per_kib = (uint32_t)fault_spread(f, 500, 50 * MS);
    struct sim_latency lat = f->usual;

    lat.per_kib_us = per_kib;
    world_note(f->w, "link %u -> %u takes %u us a KiB", from, to, per_kib);
    sim_net_latency(f->sim, from, to, lat);
    bad_line(f, from, to, us, latency_end);
}

static void loss_end(struct faults *f, const struct act *a)
{
    sim_net_loss(f->sim, a->node, a->other, 0);
}

void fault_loss(struct faults *f, unsigned from, unsigned to, uint64_t us)
{
    uint32_t ppm = (uint32_t)fault_spread(f, 5000, 300000);

    world_note(f->w, "%u -> %u loses %u of a million packets", from, to, ppm);
    sim_net_loss(f->sim, from, to, ppm);
    bad_line(f, from, to, us, loss_end);
}

static void mangle_end(struct faults *f, const struct act *a)
{
    struct sim_mangle none = { .late_us = 0 };

    sim_net_mangle(f->sim, a->node, a->other, none);
}

void fault_mangle(struct faults *f, unsigned from, unsigned to,
                  struct sim_mangle m, uint64_t us)
{
    world_note(f->w,
               "%u -> %u: of a million messages %u come twice, %u late, "
               "by up to %u us",
               from, to, m.duplicate_ppm, m.late_ppm, m.late_us);
    sim_net_mangle(f->sim, from, to, m);
    bad_line(f, from, to, us, mangle_end);
}

/* ---- connections ---- */

void fault_reset(struct faults *f, unsigned a, unsigned b)
{
    world_note(f->w, "connections of %u and %u are reset", a, b);
    if (fault_chance(f, 30))
        sim_net_reset(f->sim, a, b);
    else
        sim_net_abort(f->sim, a, b);
}

void fault_half_open(struct faults *f, unsigned a, unsigned b, uint64_t us)
{
    unsigned n = sim_net_half_open(f->sim, a, b, sim_now(f->sim) + us);

    world_note(f->w, "%u connections of %u and %u are half-open", n, a, b);
    if (n > 0)
        COVER(half_open);
}

void fault_net_heal(struct faults *f)
{
    struct sim_mangle none = { .late_us = 0 };

    for (unsigned i = 1; i < FAULT_HOSTS; i++) {
        for (unsigned k = 1; k < FAULT_HOSTS; k++)
            f->cuts[i][k] = 0;
    }
    sim_net_heal(f->sim, SIM_EVERY, SIM_EVERY);
    sim_net_latency(f->sim, SIM_EVERY, SIM_EVERY, f->usual);
    sim_net_tail(f->sim, SIM_EVERY, SIM_EVERY, 0, 0);
    sim_net_loss(f->sim, SIM_EVERY, SIM_EVERY, 0);
    sim_net_mangle(f->sim, SIM_EVERY, SIM_EVERY, none);
}
