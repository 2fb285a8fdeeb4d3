/* Reads at a leader that is none any more, and the time it takes to get a new one. */
#include "lib/test.h"
#include "scenario/scenario.h"

/* Node 1's clock nearly stops, so that it believes it leads, and never gives up a
 * read round, for as long as it hears from nobody.  It is cut off; another node is
 * elected and acknowledges b.  A read at node 1 must not be answered without b.
 *
 * late: before the cut node 1 has begun a round for another read, and the answers to it
 * take three seconds.  They arrive after b, and confirm the read that was waiting for
 * them, which began before b, but not the one that begins after it. */
struct cluster *scenario_stale_read(bool late)
{
    struct cluster_config cfg = cluster_defaults();
    struct cluster *c = cluster_new(&cfg);
    const struct sim_latency slow = { 3000000, 0, 0 };
    unsigned leader;

    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    CHECK_EQ(cluster_propose(c, 1, "a", 16), 0);
    CHECK(cluster_wait_acked(c, 1, 1000));
    cluster_read(c, 1, "a");
    cluster_run(c, 150);
    CHECK_EQ(c->n_reads_answered, 1);

    cluster_note(c, "the clock of n1 nearly stops");
    sim_clock_drift(c->sim, 1, -990000);
    if (late) {
        cluster_note(c, "what n2 and n3 say to n1 takes 3 s");
        sim_net_latency(c->sim, 2, 1, slow);
        sim_net_latency(c->sim, 3, 1, slow);
        cluster_read(c, 1, "early");
        cluster_run(c, 10);
    }
    cluster_note(c, "n1 is not heard");
    sim_net_cut(c->sim, 1, SIM_EVERY);
    if (!late)
        cluster_isolate(c, 1);
    leader = cluster_wait_other_leader(c, 1, 2900);
    CHECK(leader > 1);
    CHECK_EQ(cluster_propose(c, leader, "b", 16), 0);
    CHECK(cluster_wait_acked(c, 2, 1000));
    CHECK_EQ(group_role(c->node[1].g), GROUP_LEADER);
    cluster_read(c, 1, "stale");
    cluster_read(c, leader, "b");
    cluster_run(c, 4000);
    sim_clock_drift(c->sim, 1, 0);
    sim_net_latency(c->sim, SIM_EVERY, SIM_EVERY,
                    (struct sim_latency){ 500, 0, 0 });
    cluster_settle(c);
    return c;
}

/* kill -9: the connections are reset, so that nobody waits for a whole timeout. */
struct cluster *scenario_failover(uint64_t seed, uint64_t *ret_us)
{
    struct cluster_config cfg = cluster_defaults();
    struct cluster *c;
    uint64_t killed;
    unsigned leader;

    cfg.seed = seed;
    c = cluster_new(&cfg);
    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    CHECK_EQ(cluster_propose(c, 1, "a", 16), 0);
    CHECK(cluster_wait_acked(c, 1, 1000));
    cluster_run(c, 500);
    cluster_crash(c, 1, SIM_KEEP_ALL);
    killed = sim_now(c->sim);
    leader = cluster_wait_leader(c, 0, 20000);
    CHECK(leader > 1);
    CHECK_EQ(cluster_propose(c, leader, "b", 16), 0);
    CHECK(cluster_wait_acked(c, 2, 5000));
    *ret_us = sim_now(c->sim) - killed;
    cluster_settle(c);
    return c;
}
