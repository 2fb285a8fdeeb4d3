/* Hosts and their processes. */
#include <string.h>

#include "kvsim/parts.h"
#include "lib/test.h"

#define SECOND UINT64_C(1000000)

static struct world *world_of(unsigned nodes)
{
    const struct plan p = {
        .seed = 1, .nodes = nodes, .shards = 1, .replicas = 3,
        .time_ms = 10000, .faults_from_ms = 1000, .faults_until_ms = 5000,
        .workload = WORKLOAD_register, .style = PLAN_calm, .clients = 3,
        .pipeline = 2, .keys_active = 3, .ops_per_key = 50, .think_ms = 50,
        .timeout_ms = 2000, .election_ms = 300, .heartbeat_ms = 50,
        .segment_bytes = 64u << 10, .tail_bytes = 64u << 10,
        .append_bytes = 64u << 10, .deadline_ms = 1500, .batches = 64,
    };

    return world_new(&p, NULL);
}

static void pass(struct world *w, uint64_t us)
{
    sim_run_until(w->sim, sim_now(w->sim) + us);
}

static void start_all(struct world *w)
{
    for (unsigned i = 1; i <= w->plan.nodes; i++)
        world_start(w, i);
    pass(w, 2 * SECOND);
    CHECK(world_leader(w, 0) != 0);
}

TEST(world, a_run_without_faults_is_good)
{
    struct world *w = world_of(3);

    world_run(w);
    CHECK_STR(w->why, "");
    CHECK_EQ(w->verdict, VERDICT_OK);
    CHECK(history_count(w->history) > 100);
    world_free(w);
}

TEST(world, a_node_that_loses_power_after_its_first_start_is_the_same_node_again)
{
    struct world *w = world_of(3);
    uint64_t instance;

    start_all(w);
    instance = w->host[2].node->self.instance_id;
    world_power_off(w, 2, SIM_KEEP_NONE);
    CHECK(!world_up(w, 2));
    world_start(w, 2);
    CHECK(world_up(w, 2));
    CHECK_EQ(w->host[2].node->self.instance_id, instance);
    world_free(w);
}

TEST(world, a_node_whose_log_fails_ends_and_comes_back_by_itself)
{
    struct world *w = world_of(3);
    unsigned leader;

    start_all(w);
    leader = world_leader(w, 0);
    sim_disk_fail(w->sim, leader, SIM_DISK_SYNC, 1, KV_EIO);
    crowd_start(w->crowd);
    pass(w, SECOND / 2);
    CHECK(!world_up(w, leader));
    pass(w, SECOND);
    CHECK(world_up(w, leader));
    CHECK_EQ(w->host[leader].lives, 2);
    world_free(w);
}

TEST(world, a_node_that_is_told_to_stop_leaves_nothing_behind)
{
    struct world *w = world_of(3);

    start_all(w);
    crowd_start(w->crowd);
    pass(w, SECOND);
    world_stop(w, 1);
    CHECK(!world_up(w, 1));
    pass(w, 15 * SECOND);
    CHECK(w->host[1].env == NULL); /* or sim_node_exit had asserted */
    CHECK_EQ(w->host[1].lives, 1);
    CHECK_EQ(w->verdict, VERDICT_OK);
    world_free(w);
}

TEST(world, once_the_faults_are_over_a_node_that_stops_comes_back)
{
    struct world *w = world_of(3);

    start_all(w);
    world_stop(w, 1);
    w->healed = true;
    pass(w, 15 * SECOND);
    CHECK(world_up(w, 1));
    CHECK_EQ(w->host[1].lives, 2);
    world_free(w);
}

/* Damage the identity of node 3 while it is down, then start it. */
static struct world *with_damage(bool by_faults)
{
    struct world *w = world_of(3);

    start_all(w);
    world_crash(w, 3, SIM_KEEP_ALL);
    CHECK_EQ(sim_disk_damage(w->sim, 3, "/data/meta", 9, 0x10), 0);
    w->host[3].rotted = by_faults;
    world_start(w, 3);
    CHECK(w->host[3].refused);
    CHECK(!world_up(w, 3));
    return w;
}

TEST(world, a_node_may_refuse_what_the_faults_damaged)
{
    struct world *w = with_damage(true);

    CHECK_EQ(w->verdict, VERDICT_OK);
    CHECK(world_owed(w, 0)); /* two of three are left */
    pass(w, 3 * SECOND);
    world_start(w, 3);
    CHECK_EQ(w->host[3].lives, 2); /* and stays down */
    world_free(w);
}

TEST(world, a_node_that_refuses_undamaged_data_breaks_its_word)
{
    struct world *w = with_damage(false);

    CHECK_EQ(w->verdict, VERDICT_CORRECTNESS);
    CHECK(strstr(w->why, "node 3 refuses") != NULL);
    world_free(w);
}

TEST(world, a_shard_whose_majority_refused_owes_nothing)
{
    struct world *w = world_of(3);

    w->host[1].refused = true;
    CHECK(world_owed(w, 0));
    w->host[2].refused = true;
    CHECK(!world_owed(w, 0));
    world_free(w);
}

TEST(world, keeps_the_first_violation)
{
    struct world *w = world_of(3);

    world_violate(w, VERDICT_LIVENESS, "one");
    world_violate(w, VERDICT_CORRECTNESS, "two");
    CHECK_EQ(w->verdict, VERDICT_LIVENESS);
    CHECK_STR(w->why, "one");
    world_free(w);
}
