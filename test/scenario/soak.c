/* Random faults on a small cluster, from one seed: what the scripts did not think of.
 *
 * Proposals go to whoever thinks it leads.  Between them, nodes crash (losing
 * none, some, all or a torn mixture of what was not synced), freeze and come back,
 * links are cut one way or both and reset, disks stall or fail (then the node must
 * stop), clocks drift, leadership is handed over, voters become stand-bys and back;
 * half of the faults aim at the leader, and some at a change that has just begun.
 * Then faults stop. */
#include <stdio.h>

#include "base/assert.h"
#include "lib/test.h"
#include "scenario/scenario.h"

#define SOAK_MS 15000u
#define PAYLOAD_MAX 3000u

struct soak {
    struct cluster *c;
    struct rng rng;
    unsigned n_taken, n_failed;
};

static unsigned below(struct soak *s, unsigned n)
{
    return (unsigned)rng_below(&s->rng, n);
}

static unsigned any_node(struct soak *s)
{
    return 1 + below(s, s->c->cfg.nodes);
}

static unsigned some_leader(struct soak *s)
{
    unsigned first = any_node(s);

    for (unsigned i = 0; i < s->c->cfg.nodes; i++) {
        unsigned n = 1 + (first + i) % s->c->cfg.nodes;
        const struct member *m = &s->c->node[n];

        if (m->g != NULL && group_role(m->g) == GROUP_LEADER)
            return n;
    }
    return 0;
}

static unsigned victim(struct soak *s)
{
    unsigned leader = some_leader(s);

    return leader != 0 && below(s, 2) == 0 ? leader : any_node(s);
}

static void soak_propose(struct soak *s)
{
    unsigned n = 1 + below(s, 30), leader = some_leader(s);

    for (unsigned i = 0; i < n && leader != 0; i++) {
        char name[24];

        snprintf(name, sizeof name, "w-%u", s->n_taken);
        if (cluster_propose(s->c, leader, name,
                            sizeof name + below(s, PAYLOAD_MAX)) == 0)
            s->n_taken++;
    }
    sides_propose(s->c, sizeof(uint64_t) + below(s, PAYLOAD_MAX));
}

static void soak_read(struct soak *s)
{
    unsigned leader = some_leader(s);

    if (leader != 0)
        cluster_read(s->c, leader, "soak");
}

static void soak_side_change(struct soak *s, unsigned node)
{
    struct member *m = &s->c->node[node];
    unsigned who = any_node(s), voter = below(s, 2);

    if (s->c->sides.n == 0)
        return;
    sim_enter(s->c->sim, node);
    group_change(m->side[below(s, s->c->sides.n)].g, who,
                 voter == 1 ? GROUP_VOTER : GROUP_STANDBY);
    sim_leave(s->c->sim);
}

static void soak_change(struct soak *s)
{
    unsigned leader = some_leader(s);
    enum group_member role = below(s, 2) == 0 ? GROUP_STANDBY : GROUP_VOTER;

    if (leader == 0)
        return;
    soak_side_change(s, leader);
    if (cluster_change(s->c, leader, any_node(s), role) != 0)
        return;
    switch (below(s, 6)) {
    case 0:
        cluster_isolate(s->c, leader);
        break;
    case 1:
        cluster_cut(s->c, leader, any_node(s));
        break;
    case 2:
        sim_run_until(s->c->sim, sim_now(s->c->sim) + below(s, 3000));
        cluster_power_off(s->c, leader);
        break;
    default:
        break;
    }
}

static void soak_crash(struct soak *s)
{
    static const enum sim_keep keeps[] = { SIM_KEEP_NONE, SIM_KEEP_ALL,
                                           SIM_KEEP_PREFIX, SIM_KEEP_MIX };
    unsigned n = victim(s);

    if (s->c->node[n].env == NULL)
        cluster_start(s->c, n);
    else if (below(s, 4) == 0)
        cluster_power_off(s->c, n);
    else
        cluster_crash(s->c, n, keeps[below(s, 4)]);
}

static void soak_start(struct soak *s)
{
    for (unsigned i = 1; i <= s->c->cfg.nodes; i++) {
        if (s->c->node[i].env == NULL && below(s, 2) == 0)
            cluster_start(s->c, i);
    }
}

static void soak_net(struct soak *s)
{
    struct sim *sim = s->c->sim;
    unsigned a = victim(s), b = any_node(s);

    switch (below(s, 5)) {
    case 0:
        cluster_isolate(s->c, a);
        break;
    case 1:
        cluster_note(s->c, "cut n%u -> n%u", a, b);
        sim_net_cut(sim, a, b);
        break;
    case 2:
        cluster_cut(s->c, a, b);
        break;
    case 3:
        cluster_note(s->c, "reset n%u - n%u", a, b);
        sim_net_reset(sim, a, b);
        break;
    default:
        cluster_note(s->c, "n%u is slow", a);
        sim_net_latency(sim, a, SIM_EVERY,
                        (struct sim_latency){ below(s, 50000), below(s, 50000), 0 });
        break;
    }
}

static void soak_node(struct soak *s)
{
    struct sim *sim = s->c->sim;
    unsigned n = victim(s), leader = some_leader(s);

    switch (below(s, 5)) {
    case 0:
        cluster_note(s->c, "n%u freezes", n);
        sim_node_pause(sim, n, sim_now(sim) + below(s, 3000000));
        break;
    case 1:
        cluster_note(s->c, "the disk of n%u stalls", n);
        sim_disk_stall(sim, n, sim_now(sim) + below(s, 2000000));
        break;
    case 2:
        cluster_note(s->c, "the disk of n%u fails", n);
        sim_disk_fail(sim, n, below(s, 2) == 0 ? SIM_DISK_SYNC : SIM_DISK_WRITE,
                      1, below(s, 2) == 0 ? KV_EIO : KV_ENOSPC);
        break;
    case 3:
        sim_clock_drift(sim, n, (int32_t)below(s, 100000) - 50000);
        break;
    default:
        if (leader != 0)
            cluster_transfer(s->c, leader, any_node(s));
        break;
    }
}

static void soak_heal(struct soak *s)
{
    cluster_heal_all(s->c);
    sim_net_latency(s->c->sim, SIM_EVERY, SIM_EVERY,
                    (struct sim_latency){ 500, 200, 0 });
}

/* A log that failed is final: the process ends.  The disk works again. */
static void soak_failed(struct soak *s)
{
    for (unsigned i = 1; i <= s->c->cfg.nodes; i++) {
        if (s->c->node[i].env == NULL || !s->c->node[i].wal_failed)
            continue;
        cluster_crash(s->c, i, SIM_KEEP_ALL);
        s->n_failed++;
    }
}

static void disks_work(struct soak *s)
{
    sim_disk_fail(s->c->sim, SIM_EVERY, SIM_DISK_SYNC, 0, KV_EIO);
    sim_disk_fail(s->c->sim, SIM_EVERY, SIM_DISK_WRITE, 0, KV_EIO);
}

static void soak_step(struct soak *s)
{
    unsigned dice = below(s, 100);

    sim_run_until(s->c->sim, sim_now(s->c->sim) + 1 + below(s, 200000));
    soak_failed(s);
    disks_work(s);
    if (dice < 34)
        soak_propose(s);
    else if (dice < 40)
        soak_change(s);
    else if (dice < 50)
        soak_read(s);
    else if (dice < 60)
        soak_crash(s);
    else if (dice < 72)
        soak_start(s);
    else if (dice < 84)
        soak_net(s);
    else if (dice < 92)
        soak_node(s);
    else
        soak_heal(s);
}

struct cluster *scenario_soak(uint64_t seed)
{
    struct cluster_config cfg = cluster_defaults();
    struct soak s = { .n_taken = 0 };

    rng_seed(&s.rng, seed);
    cfg.seed = seed;
    cfg.nodes = below(&s, 3) == 0 ? 5 : 3;
    cfg.preferred = below(&s, 4);
    cfg.sides = below(&s, SIDES_MAX + 1);
    cfg.segment_bytes = 64u << 10 << below(&s, 4);
    cfg.tail_bytes = 16u << 10 << below(&s, 8);
    cfg.ae_bytes = 1u << below(&s, 18);
    cfg.inflight_entries = 32u << below(&s, 6);
    s.c = cluster_new(&cfg);
    soak_heal(&s);
    sim_disk_latency(s.c->sim, SIM_EVERY, SIM_DISK_SYNC,
                     (struct sim_latency){ 100, 100u << below(&s, 10), 0 });
    while (sim_now(s.c->sim) < SOAK_MS * UINT64_C(1000))
        soak_step(&s);
    soak_failed(&s);
    disks_work(&s);
    soak_heal(&s);
    for (unsigned i = 1; i <= cfg.nodes; i++) {
        sim_node_pause(s.c->sim, i, 0);
        sim_clock_drift(s.c->sim, i, 0);
    }
    cluster_settle(s.c);
    return s.c;
}
