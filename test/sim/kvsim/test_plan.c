/* Plans: reproducible, within their bounds, in the shares that are promised. */
#include <string.h>

#include "kvsim/plan.h"
#include "lib/test.h"

#define SEEDS 6000u

static struct plan draw(uint64_t seed)
{
    struct plan_options o = plan_options_defaults();
    struct plan p;

    o.seed = seed;
    plan_draw(&o, &p);
    return p;
}

TEST(plan, the_same_seed_gives_the_same_plan)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct plan a = draw(seed), b = draw(seed);

        CHECK_MEM(&a, &b, sizeof a);
    }
}

TEST(plan, everything_drawn_is_within_its_bounds)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct plan p = draw(seed);

        CHECK(p.nodes == 1 || (p.nodes >= 3 && p.nodes <= PLAN_NODES_MAX));
        CHECK(p.shards >= 1 && p.shards <= PLAN_SHARDS_MAX);
        CHECK(p.replicas == 1 || p.replicas == 3 || p.replicas == 5);
        CHECK(p.replicas <= p.nodes);
        CHECK(p.clients >= 2 && p.clients <= PLAN_CLIENTS_MAX);
        CHECK(p.pipeline >= 1 && p.pipeline <= 8);
        CHECK(p.keys_active >= 1);
        CHECK(p.think_ms >= 1);
        CHECK(2 * p.heartbeat_ms < p.election_ms);
        CHECK_EQ(p.segment_bytes & (p.segment_bytes - 1), 0);
        CHECK(p.faults_from_ms <= p.faults_until_ms);
        CHECK(p.faults_until_ms < p.time_ms);
        CHECK(p.time_ms * p.clients / p.think_ms >= 900);
        CHECK(p.time_ms * p.clients / p.think_ms <= 4 * 3400);
    }
}

TEST(plan, the_styles_have_their_shares)
{
    unsigned n[PLAN_STYLES] = { 0 };

    for (uint64_t seed = 0; seed < SEEDS; seed++)
        n[draw(seed).style]++;
    CHECK(n[PLAN_aimed] > SEEDS * 30 / 100 && n[PLAN_aimed] < SEEDS * 36 / 100);
    CHECK(n[PLAN_swarm] > SEEDS * 30 / 100 && n[PLAN_swarm] < SEEDS * 36 / 100);
    CHECK(n[PLAN_clog] > SEEDS * 14 / 100 && n[PLAN_clog] < SEEDS * 19 / 100);
    CHECK(n[PLAN_script] > SEEDS * 12 / 100);
    CHECK(n[PLAN_calm] > 0 && n[PLAN_calm] < SEEDS * 3 / 100);
}

TEST(plan, a_swarm_uses_some_kinds_and_every_kind_is_used_by_some)
{
    unsigned used[FAULT_KINDS] = { 0 };

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct plan p = draw(seed);
        unsigned n = 0;

        for (unsigned k = 0; k < FAULT_KINDS; k++) {
            n += p.mean_ms[k] != 0;
            if (p.style == PLAN_swarm)
                used[k] += p.mean_ms[k] != 0;
        }
        CHECK(p.style != PLAN_swarm || n > 0);
        CHECK(p.style != PLAN_calm || n == 0);
    }
    for (unsigned k = 0; k < FAULT_KINDS; k++)
        CHECK(used[k] > 100);
}

TEST(plan, options_win_over_what_is_drawn)
{
    struct plan_options o = plan_options_defaults();
    struct plan p;

    o.seed = 7;
    o.nodes = 4;
    o.time_ms = 12000;
    o.style = PLAN_swarm;
    o.workload = WORKLOAD_ttl;
    CHECK_EQ(plan_parse_faults("crash,eio", &o.faults), 0);
    plan_draw(&o, &p);
    CHECK_EQ(p.nodes, 4);
    CHECK_EQ(p.time_ms, 12000);
    CHECK_EQ(p.style, PLAN_swarm);
    CHECK_EQ(p.workload, WORKLOAD_ttl);
    CHECK_EQ(p.faults, UINT64_C(1) << FAULT_crash | UINT64_C(1) << FAULT_eio);
    for (unsigned k = 0; k < FAULT_KINDS; k++)
        CHECK(p.mean_ms[k] == 0 || k == FAULT_crash || k == FAULT_eio);
}

TEST(plan, names_are_found_and_unknown_ones_refused)
{
    uint64_t bits;

    CHECK_EQ(plan_find_style("clog"), PLAN_clog);
    CHECK_EQ(plan_find_style("clogs"), -1);
    CHECK_EQ(plan_find_workload("batch"), WORKLOAD_batch);
    CHECK_EQ(plan_find_workload(""), -1);
    CHECK_EQ(plan_parse_faults("all", &bits), 0);
    CHECK_EQ(bits, (UINT64_C(1) << FAULT_KINDS) - 1);
    CHECK_EQ(plan_parse_faults("none", &bits), 0);
    CHECK_EQ(bits, 0);
    CHECK_EQ(plan_parse_faults("crash,,eio", &bits), -1);
    CHECK_EQ(plan_parse_faults("fire", &bits), -1);
}
