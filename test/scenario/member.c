/* Voters become stand-bys and back while servers fail. */
#include <stdio.h>

#include "lib/test.h"
#include "scenario/scenario.h"

static struct cluster *begin(unsigned nodes)
{
    struct cluster_config cfg = cluster_defaults();
    struct cluster *c;

    cfg.nodes = nodes;
    c = cluster_new(&cfg);
    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    CHECK_EQ(cluster_propose(c, 1, "a", 16), 0);
    CHECK(cluster_wait_acked(c, 1, 1000));
    cluster_run(c, 150);
    return c;
}

static bool unchanging(struct cluster *c, void *ctx)
{
    (void)ctx;
    for (unsigned i = 1; i <= c->cfg.nodes; i++)
        if (c->node[i].g != NULL && group_changing(c->node[i].g))
            return false;
    return true;
}

static void change_and_wait(struct cluster *c, unsigned node,
                            enum group_member role)
{
    CHECK_EQ(cluster_change(c, 1, node, role), 0);
    CHECK(cluster_wait(c, unchanging, NULL, 1000));
    cluster_run(c, 150);
}

/* Cut node from all others but one. */
static void leave_only(struct cluster *c, unsigned node, unsigned friend)
{
    cluster_isolate(c, node);
    cluster_heal(c, node, friend);
}

/* ---- there and back ---- */

struct cluster *scenario_member_change(void)
{
    struct cluster *c = begin(3);

    change_and_wait(c, 3, GROUP_STANDBY);
    CHECK_EQ(cluster_change(c, 1, 1, GROUP_STANDBY), KV_EINVAL);
    cluster_isolate(c, 3);
    CHECK_EQ(cluster_propose(c, 1, "b", 16), 0);
    CHECK(cluster_wait_acked(c, 2, 1000));
    CHECK_EQ(cluster_change(c, 1, 3, GROUP_VOTER), 0); /* waits for it */
    CHECK_EQ(cluster_propose(c, 1, "held up", 16), KV_EBUSY);
    CHECK(cluster_wait(c, unchanging, NULL, 1000));
    cluster_note(c, "the promotion was given up");
    cluster_heal_all(c);
    CHECK(cluster_wait_applied(c, 3, group_last(c->node[1].g), 5000));
    cluster_run(c, 150);
    change_and_wait(c, 3, GROUP_VOTER);

    /* The new voter counts: it and node 1 go on without node 2. */
    cluster_power_off(c, 2);
    CHECK_EQ(cluster_propose(c, 1, "c", 16), 0);
    CHECK(cluster_wait_acked(c, 3, 1000));
    cluster_settle(c);
    return c;
}

/* ---- replaced by another leader ---- */

/* Node 1 has appended a change that nobody has.  Node 2 gets it at once with what
 * it is missing; then both are cut off, and the others, who never had it, elect a
 * leader and write. */
static void replace_change(struct cluster *c)
{
    uint64_t last = group_last(c->node[1].g);

    if (c->node[2].env == NULL)
        cluster_start(c, 2);
    leave_only(c, 2, 1);
    CHECK(cluster_wait_stored(c, 2, last, 5000));
    cluster_isolate(c, 1);
    cluster_isolate(c, 2);
    CHECK(cluster_wait_other_leader(c, 1, 20000) > 2);
    CHECK_EQ(cluster_propose(c, cluster_wait_other_leader(c, 1, 0), "b", 16),
             0);
    CHECK(cluster_wait_acked(c, c->n_acked + 1, 5000));
    cluster_settle(c);
}

/* The message holds a write, which stays, and the change, which does not. */
struct cluster *scenario_change_replaced(void)
{
    struct cluster *c = begin(5);

    cluster_power_off(c, 2);
    CHECK_EQ(cluster_propose(c, 1, "kept", 16), 0);
    CHECK(cluster_wait_acked(c, 2, 1000));
    cluster_isolate(c, 1);
    CHECK_EQ(cluster_change(c, 1, 3, GROUP_STANDBY), 0);
    replace_change(c);
    return c;
}

/* Node 2 gets two changes before it has applied the first, which stays. */
struct cluster *scenario_second_change_replaced(void)
{
    struct cluster *c = begin(5);

    change_and_wait(c, 5, GROUP_STANDBY);
    cluster_isolate(c, 2);
    CHECK_EQ(cluster_change(c, 1, 5, GROUP_VOTER), 0);
    CHECK(cluster_wait_applied(c, 1, group_last(c->node[1].g), 1000));
    CHECK(cluster_wait_applied(c, 3, group_last(c->node[1].g), 1000));
    cluster_isolate(c, 1);
    CHECK_EQ(cluster_change(c, 1, 4, GROUP_STANDBY), 0);
    replace_change(c);
    return c;
}

/* A follower gets a write and a change in one message, and both stay. */
struct cluster *scenario_change_in_a_batch(void)
{
    struct cluster *c = begin(3);

    cluster_power_off(c, 2);
    CHECK_EQ(cluster_propose(c, 1, "b", 16), 0);
    CHECK(cluster_wait_acked(c, 2, 1000));
    CHECK_EQ(cluster_change(c, 1, 3, GROUP_STANDBY), 0);
    cluster_settle(c);
    return c;
}

/* ---- crashes in the middle ---- */

/* The leader loses power when the others have the change and it has not: the two
 * voters that are left by it need each other. */
struct cluster *scenario_change_crash(void)
{
    struct cluster *c = begin(3);

    sim_disk_stall(c->sim, 1, sim_now(c->sim) + 10000000);
    CHECK_EQ(cluster_change(c, 1, 3, GROUP_STANDBY), 0);
    CHECK(cluster_wait_stored(c, 2, group_last(c->node[1].g), 1000));
    CHECK(cluster_wait_stored(c, 3, group_last(c->node[1].g), 1000));
    cluster_power_off(c, 1);
    sim_disk_stall(c->sim, 1, 0);
    cluster_run(c, 5000);
    CHECK_EQ(cluster_wait_leader(c, 0, 0), 0);
    cluster_start(c, 1);
    CHECK_EQ(cluster_wait_leader(c, 0, 20000), 2);
    cluster_settle(c);
    return c;
}

/* Of two voters, the leader makes the other one a stand-by and loses power while
 * its disk has not written that. */
struct cluster *scenario_change_to_one(bool *ret_elected)
{
    struct cluster *c = begin(2);

    sim_disk_stall(c->sim, 1, sim_now(c->sim) + 10000000);
    CHECK_EQ(cluster_change(c, 1, 2, GROUP_STANDBY), 0);
    cluster_run(c, 50);
    cluster_power_off(c, 1);
    sim_disk_stall(c->sim, 1, 0);
    cluster_start(c, 1);
    *ret_elected = cluster_wait_leader(c, 0, 60000) != 0;
    if (*ret_elected)
        cluster_settle(c);
    return c;
}

/* ---- promotions ---- */

/* Node 3 is promoted and does not hear of it; the leader loses power.  Nodes 2 and
 * 3 are a majority of the voters. */
struct cluster *scenario_promoted_unaware(bool *ret_elected)
{
    struct cluster *c = begin(3);
    uint64_t last;

    change_and_wait(c, 3, GROUP_STANDBY);
    cluster_cut(c, 1, 3);
    CHECK_EQ(cluster_change(c, 1, 3, GROUP_VOTER), 0);
    last = group_last(c->node[1].g);
    CHECK(cluster_wait_applied(c, 1, last, 1000));
    CHECK(cluster_wait_applied(c, 2, last, 1000));
    CHECK(group_last(c->node[3].g) < last);
    cluster_power_off(c, 1);
    *ret_elected = cluster_wait_leader(c, 0, 30000) != 0;
    if (*ret_elected)
        cluster_settle(c);
    return c;
}

/* Node 4 is to become a voter while it is cut off and far behind; then node 3
 * fails.  Do nodes 1 and 2 go on? */
struct cluster *scenario_promoted_behind(int *ret_rv, bool *ret_acked)
{
    struct cluster *c = begin(4);

    change_and_wait(c, 4, GROUP_STANDBY);
    cluster_isolate(c, 4);
    c->cfg.show &= ~(SHOW_LOG | SHOW_AE | SHOW_COMMIT | SHOW_CLIENT);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(cluster_propose(c, 1, "w", 1000), 0);
    CHECK(cluster_wait_acked(c, 101, 1000));
    c->cfg.show = SHOW_ALL & ~SHOW_AE;
    *ret_rv = cluster_change(c, 1, 4, GROUP_VOTER);
    CHECK(cluster_wait(c, unchanging, NULL, 1000));
    cluster_power_off(c, 3);
    CHECK_EQ(cluster_propose(c, 1, "b", 16), 0);
    *ret_acked = cluster_wait_acked(c, 102, 5000);
    cluster_settle(c);
    return c;
}
