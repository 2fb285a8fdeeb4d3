/* Drawing of plans: what a run is to be, from its seed.
 *
 * What rare bugs need is variety between runs and intensity within one.  So most runs
 * are small (three nodes, one or two shards, few keys), where every fault hits what
 * matters; the settings that make the log work hard (small segments, small tails) are
 * the rule, not the exception; and a run uses few kinds of faults, or aims them.
 *
 * Shares of the styles: a third aimed, a third swarm, a sixth clog, the rest
 * scripts, and one in sixty calm, which shows what the cluster does when nothing
 * happens.
 *
 * Everything is drawn in a fixed order, and options are put over it afterwards: a
 * seed with other options is as near as can be to the seed without.
 *
 * P1  The load is 1,000 to 3,000 operations in the whole of a 60 s run; in one run
 *     of twelve four times that, on one or two keys at a time.
 * P2  Faults begin after 2 s and end after five sixths of the time; clients go on to
 *     its end, so that a run of 60 s is one of 60 simulated seconds and the last reads.
 * P3  A kind that the options do not allow is never used. */
#include "kvsim/plan.h"

#include <string.h>

#include "base/assert.h"
#include "base/rng.h"

#define KB 1024u
#define TIME_MS 60000u
#define FAULTS_FROM_MS 2000u
#define STYLE_SHARES 60u

struct choice {
    uint32_t weight;
    uint32_t value;
};

static uint32_t pick(struct rng *r, const struct choice *c, unsigned n)
{
    uint64_t sum = 0, dice;

    for (unsigned i = 0; i < n; i++)
        sum += c[i].weight;
    dice = rng_below(r, sum);
    for (unsigned i = 0; i < n; i++) {
        if (dice < c[i].weight)
            return c[i].value;
        dice -= c[i].weight;
    }
    UNREACHABLE();
}

#define PICK(r, ...)                                                           \
    pick(r, (const struct choice[]){ __VA_ARGS__ },                            \
         sizeof((const struct choice[]){ __VA_ARGS__ }) /                      \
             sizeof(struct choice))

static unsigned between(struct rng *r, unsigned lo, unsigned hi)
{
    ASSERT(lo <= hi);
    return lo + (unsigned)rng_below(r, hi - lo + 1);
}

/* Each power of two between lo and hi is as likely. */
static unsigned spread(struct rng *r, unsigned lo, unsigned hi)
{
    unsigned x = lo;

    while (x < hi && rng_below(r, 4) != 0)
        x *= 2;
    if (x > hi)
        x = hi;
    return between(r, (x + lo) / 2, x);
}

/* ---- the cluster ---- */

static void draw_cluster(struct rng *r, struct plan *p)
{
    p->nodes = PICK(r, { 54, 3 }, { 30, 5 }, { 6, 4 }, { 3, 6 }, { 4, 7 },
                    { 3, 1 });
    p->shards = PICK(r, { 36, 1 }, { 26, 2 }, { 14, 3 }, { 12, 4 }, { 4, 5 },
                     { 4, 6 }, { 4, 8 });
    p->replicas = PICK(r, { 58, 3 }, { 38, 5 }, { 4, 1 });
    p->election_ms = PICK(r, { 2, 150 }, { 4, 300 }, { 3, 500 }, { 2, 1000 });
    p->heartbeat_ms = p->election_ms / between(r, 4, 8);
    p->segment_bytes = (uint64_t)PICK(r, { 8, 64 }, { 2, 128 }, { 1, 256 },
                                      { 1, 1024 }) * KB;
    p->tail_bytes = (uint64_t)PICK(r, { 5, 4 }, { 3, 16 }, { 2, 64 },
                                   { 2, 4096 }) * KB;
}

static void draw_load(struct rng *r, struct plan *p)
{
    unsigned operations = between(r, 1000, 3000);

    p->workload = (enum plan_workload)rng_below(r, WORKLOADS);
    p->clients = between(r, 2, 12);
    p->pipeline = PICK(r, { 3, 1 }, { 2, 2 }, { 2, 4 }, { 1, 8 });
    p->keys_active = between(r, 1, 8);
    p->ops_per_key = between(r, 40, 160);
    p->think_ms = (unsigned)(p->time_ms * p->clients / operations);
    p->timeout_ms = PICK(r, { 2, 500 }, { 3, 1000 }, { 2, 2000 }, { 1, 5000 });
    if (p->think_ms == 0)
        p->think_ms = 1;
}

/* ---- faults ---- */

static enum plan_style draw_style(struct rng *r)
{
    uint64_t dice = rng_below(r, STYLE_SHARES);

    if (dice < 20)
        return PLAN_aimed;
    if (dice < 40)
        return PLAN_swarm;
    if (dice < 50)
        return PLAN_clog;
    return dice < 59 ? PLAN_script : PLAN_calm;
}

/* Chances, of a hundred, that a swarm uses a kind; and the mean times between two of
 * it.  A crowd of kinds is seldom: faults then hide each other. */
static void draw_kinds(struct rng *r, unsigned percent, unsigned lo_ms,
                       unsigned hi_ms, struct plan *p)
{
    for (unsigned k = 0; k < FAULT_KINDS; k++) {
        bool used = rng_below(r, 100) < percent;
        unsigned mean = spread(r, lo_ms, hi_ms);

        p->mean_ms[k] = used ? mean : 0;
    }
}

static void draw_faults(struct rng *r, struct plan *p)
{
    unsigned percent = PICK(r, { 2, 8 }, { 3, 20 }, { 2, 40 }, { 1, 70 });
    unsigned one;

    switch (p->style) {
    case PLAN_swarm:
        draw_kinds(r, percent, 400, 12000, p);
        one = (unsigned)rng_below(r, FAULT_KINDS); /* never nothing at all */
        if (p->mean_ms[one] == 0)
            p->mean_ms[one] = 3000;
        break;
    case PLAN_aimed:
    case PLAN_clog:
    case PLAN_script:
        draw_kinds(r, 10, 3000, 20000, p);
        break;
    case PLAN_calm:
    case PLAN_STYLES:
        break;
    }
}

/* A deadline that comes before the clients lose patience tells them what became of
 * their writes, true or not.  Small messages leave a leader room to die between
 * two of them. */
static void draw_limits(struct rng *r, struct plan *p)
{
    p->deadline_ms = PICK(r, { 2, 300 }, { 2, 800 }, { 1, 2000 }, { 2, 5000 });
    p->append_bytes = PICK(r, { 2, 1 }, { 1, 256 }, { 3, 1024 * KB });
    p->batches = PICK(r, { 1, 1 }, { 3, 4 }, { 2, 16 });
    if (rng_below(r, 12) == 0) { /* P1: the narrow moments between two operations */
        p->think_ms = p->think_ms / 4 + 1;
        p->keys_active = between(r, 1, 2);
    }
}

/* ---- the whole ---- */

struct plan_options plan_options_defaults(void)
{
    return (struct plan_options){ .time_ms = TIME_MS, .workload = -1,
                                  .style = -1, .faults = UINT64_MAX };
}

/* Make what was drawn and what was asked for fit together. */
static void settle(const struct plan_options *o, struct plan *p)
{
    if (o->nodes != 0)
        p->nodes = o->nodes;
    if (o->workload >= 0)
        p->workload = (enum plan_workload)o->workload;
    if (p->replicas > p->nodes)
        p->replicas = p->nodes < 3 ? p->nodes : 3;
    p->faults = p->style == PLAN_calm ? 0 : o->faults;
    p->faults &= (UINT64_C(1) << FAULT_KINDS) - 1;
    for (unsigned k = 0; k < FAULT_KINDS; k++) {
        if ((p->faults >> k & 1) == 0)
            p->mean_ms[k] = 0;
    }
}

void plan_draw(const struct plan_options *o, struct plan *ret)
{
    uint64_t time_ms = o->time_ms != 0 ? o->time_ms : TIME_MS;
    struct plan p = { .seed = o->seed };
    enum plan_style style;
    struct rng r;

    rng_seed(&r, rng_mix(o->seed));
    p.time_ms = time_ms;
    p.faults_until_ms = time_ms * 5 / 6;
    p.faults_from_ms = FAULTS_FROM_MS < p.faults_until_ms ? FAULTS_FROM_MS
                                                          : p.faults_until_ms;
    draw_cluster(&r, &p);
    draw_load(&r, &p);
    style = draw_style(&r);
    p.style = o->style >= 0 ? (enum plan_style)o->style : style;
    p.script = (unsigned)rng_below(&r, UINT32_MAX);
    draw_faults(&r, &p);
    draw_limits(&r, &p);
    settle(o, &p);
    *ret = p;
}
