/* Faults: when, and what is undone.
 *
 * Two ways to begin one: at a place by chance (fault_begin: the swarm, where each kind
 * that the plan uses comes at exponential intervals of its mean), or aimed at somebody
 * (aim.c, clog.c, script.c).  Both use the means of fault_net.c and fault_node.c,
 * which undo themselves after their time.
 *
 * F1  Means may overlap: cuts are counted, pauses only grow.
 * F2  faults_heal undoes everything, whoever began it, and no fault comes after it.
 *     Then whoever is down is started, unless it refused its damaged data.
 * F3  What is drawn here comes from a generator of its own: what the network draws
 *     does not shift the faults, as long as they do not look at the cluster. */
#include "kvsim/fault.h"

#include "base/assert.h"
#include "base/mem.h"

#define REVIVE_US (200 * MS)

/* ---- chance ---- */

uint64_t fault_spread(struct faults *f, uint64_t lo, uint64_t hi)
{
    unsigned doublings = 0;
    uint64_t x;

    ASSERT(lo > 0 && lo <= hi);
    while (lo << doublings < hi)
        doublings++;
    x = lo << fault_below(f, doublings + 1);
    if (x > hi)
        x = hi;
    return x / 2 + rng_below(&f->rng, x / 2 + 1);
}

/* Exponential, of this mean. */
static uint64_t fault_interval(struct faults *f, uint64_t mean_us)
{
    uint64_t sum = 0;

    /* A geometric number of steps of an eighth of the mean, without floating point. */
    do {
        sum += 1 + rng_below(&f->rng, mean_us / 4 + 1);
    } while (rng_below(&f->rng, 8) != 0 && sum < 16 * mean_us);
    return sum;
}

/* ---- acts ---- */

static void act_fire(void *ctx)
{
    struct act *a = ctx;
    struct faults *f = a->f;

    if (!f->over && a->cond != NULL && !a->cond(f, a)) {
        if (sim_now(f->sim) < a->until) {
            sim_at(f->sim, sim_now(f->sim) + a->poll_us, act_fire, a);
            return;
        }
    } else if (!f->over) {
        a->run(f, a);
    }
    list_del(&a->link);
    mem_free(a);
}

struct act *fault_after(struct faults *f, uint64_t us, act_fn fn)
{
    struct act *a = MEM_NEW(struct act);

    ASSERT(fn != NULL);
    *a = (struct act){ .f = f, .run = fn };
    list_add_tail(&f->acts, &a->link);
    sim_at(f->sim, sim_now(f->sim) + us, act_fire, a);
    return a;
}

struct act *fault_when(struct faults *f, act_cond cond, act_fn fn,
                       uint32_t poll_us, uint64_t limit_us)
{
    struct act *a = fault_after(f, 0, fn);

    ASSERT(cond != NULL);
    ASSERT(poll_us > 0);
    a->cond = cond;
    a->poll_us = poll_us;
    a->until = sim_now(f->sim) + limit_us;
    return a;
}

/* ---- looking ---- */

uint64_t fault_all(const struct faults *f)
{
    return ((UINT64_C(1) << f->p->nodes) - 1) << 1;
}

unsigned fault_any_node(struct faults *f)
{
    return 1 + fault_below(f, f->p->nodes);
}

uint32_t fault_any_shard(struct faults *f)
{
    return fault_below(f, f->p->shards);
}

uint64_t fault_some(struct faults *f, uint64_t mask, unsigned k)
{
    uint64_t ret = 0;

    for (; k > 0 && mask != 0; k--) {
        unsigned n = fault_one(f, mask);

        ret |= NODE_BIT(n);
        mask &= ~NODE_BIT(n);
    }
    return ret;
}

unsigned fault_one(struct faults *f, uint64_t mask)
{
    unsigned n = 0, at;

    for (unsigned i = 1; i < 64; i++)
        n += (mask & NODE_BIT(i)) != 0;
    if (n == 0)
        return 0;
    at = fault_below(f, n);
    for (unsigned i = 1; i < 64; i++) {
        if ((mask & NODE_BIT(i)) != 0 && at-- == 0)
            return i;
    }
    UNREACHABLE();
}

uint64_t fault_replicas(struct faults *f, uint32_t shard)
{
    unsigned nodes[PLAN_NODES_MAX];
    unsigned n = world_replicas(f->w, shard, nodes);
    uint64_t mask = 0;

    for (unsigned i = 0; i < n; i++)
        mask |= NODE_BIT(nodes[i]);
    return mask;
}

unsigned fault_leader(struct faults *f, uint32_t shard)
{
    unsigned leader = world_leader(f->w, shard);

    return leader != 0 && world_up(f->w, leader) ? leader : 0;
}

/* ---- swarm ---- */

static void swarm_next(struct faults *f, enum fault_kind kind);

static void swarm_act(struct faults *f, const struct act *a)
{
    fault_begin(f, (enum fault_kind)a->n);
    swarm_next(f, (enum fault_kind)a->n);
}

static void swarm_next(struct faults *f, enum fault_kind kind)
{
    uint64_t mean = (uint64_t)f->p->mean_ms[kind] * MS;

    fault_after(f, fault_interval(f, mean), swarm_act)->n = (uint64_t)kind;
}

static void begin(struct faults *f, const struct act *a)
{
    (void)a;
    for (unsigned k = 0; k < FAULT_KINDS; k++) {
        if (f->p->mean_ms[k] != 0)
            swarm_next(f, (enum fault_kind)k);
    }
    switch (f->p->style) {
    case PLAN_aimed:
        aim_start(f);
        break;
    case PLAN_clog:
        clog_start(f);
        break;
    case PLAN_script:
        script_start(f);
        break;
    case PLAN_swarm:
    case PLAN_calm:
    case PLAN_STYLES:
        break;
    }
}

/* ---- the whole ---- */

/* How fast the network and the disks of this run are when nothing is wrong. */
static void draw_usual(struct faults *f)
{
    uint32_t way = (uint32_t)fault_spread(f, 50, 2 * MS);
    uint32_t sync = (uint32_t)fault_spread(f, 100, 4 * MS);

    f->usual = (struct sim_latency){ way, way, 1 };
    f->usual_sync = (struct sim_latency){ sync, sync, 0 };
    sim_net_latency(f->sim, SIM_EVERY, SIM_EVERY, f->usual);
    sim_disk_latency(f->sim, SIM_EVERY, SIM_DISK_SYNC, f->usual_sync);
}

struct faults *faults_new(struct world *w)
{
    struct faults *f = MEM_NEW(struct faults);

    f->w = w;
    f->sim = w->sim;
    f->p = &w->plan;
    list_init(&f->acts);
    rng_seed(&f->rng, rng_mix(w->plan.seed ^ UINT64_C(0x6661756c7473)));
    sim_net_peer_port(w->sim, WORLD_PEER_PORT);
    draw_usual(f);
    return f;
}

void faults_free(struct faults *f)
{
    while (!list_empty(&f->acts)) {
        struct act *a = LIST_FIRST(&f->acts, struct act, link);

        list_del(&a->link);
        mem_free(a);
    }
    mem_free(f);
}

void faults_start(struct faults *f)
{
    uint64_t from = f->p->faults_from_ms * MS, now = sim_now(f->sim);

    fault_after(f, from > now ? from - now : 0, begin);
}

/* Until the end: one that was told to stop may take seconds to end. */
static void revive(void *ctx)
{
    struct faults *f = ctx;

    for (unsigned i = 1; i <= f->p->nodes; i++)
        world_start(f->w, i);
    sim_at(f->sim, sim_now(f->sim) + REVIVE_US, revive, f);
}

void faults_heal(struct faults *f)
{
    uint64_t doubled, overtaken;

    if (f->over)
        return;
    f->over = true;
    fault_net_heal(f);
    fault_node_heal(f);
    sim_net_mangled(f->sim, &doubled, &overtaken);
    cover_counts[COVER_frame_duplicated] += doubled;
    cover_counts[COVER_frame_reordered] += overtaken;
    revive(f);
}
