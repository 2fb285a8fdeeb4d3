/* Logs that must be repaired: a stale suffix, a long one, a follower far behind. */
#include <stdio.h>

#include "lib/test.h"
#include "scenario/scenario.h"

/* The danger: node 1 comes back with a log as long as the new leader's, but not the
 * same.  A follower that acknowledges by length, before the leader's entries have
 * replaced its own, completes a majority for entries it does not have; then the
 * leader dies, and the acknowledged writes with it. */
struct cluster *scenario_stale_suffix(void)
{
    struct cluster_config cfg = cluster_defaults();
    struct cluster *c = cluster_new(&cfg);

    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    CHECK_EQ(cluster_propose(c, 1, "a", 16), 0);
    CHECK(cluster_wait_acked(c, 1, 1000));
    cluster_run(c, 150);

    /* Node 2 alone gets b, so that only it can be elected next. */
    cluster_cut(c, 1, 3);
    CHECK_EQ(cluster_propose(c, 1, "b", 16), 0);
    CHECK(cluster_wait_acked(c, 2, 1000));
    cluster_cut(c, 1, 2);
    CHECK_EQ(cluster_propose(c, 1, "stale-1", 16), 0);
    CHECK_EQ(cluster_propose(c, 1, "stale-2", 16), 0);
    CHECK_EQ(cluster_propose(c, 1, "stale-3", 16), 0);
    CHECK(cluster_wait_stored(c, 1, 7, 1000));
    CHECK_EQ(cluster_wait_leader(c, 2, 20000), 2);

    /* Now nodes 1 and 2 have seven entries each, and node 3 hears nobody. */
    cluster_cut(c, 2, 3);
    CHECK_EQ(cluster_propose(c, 2, "x", 16), 0);
    CHECK_EQ(cluster_propose(c, 2, "y", 16), 0);
    CHECK(cluster_wait_stored(c, 2, 7, 1000));
    CHECK_EQ(c->n_acked, 2);
    cluster_heal(c, 1, 2);
    CHECK(cluster_wait_acked(c, 4, 10000));
    cluster_power_off(c, 2);
    cluster_heal(c, 1, 3);
    CHECK_EQ(cluster_wait_leader(c, 0, 20000), 1);
    cluster_settle(c);
    return c;
}

static void take_many(struct cluster *c, unsigned node, const char *what,
                      unsigned n)
{
    unsigned show = c->cfg.show;

    cluster_note(c, "n%u takes %u proposals", node, n);
    c->cfg.show &= ~SHOW_LOG;
    for (unsigned i = 0; i < n; i++) {
        char name[24];

        snprintf(name, sizeof name, "%s-%u", what, i);
        CHECK_EQ(cluster_propose(c, node, name, 64), 0);
    }
    c->cfg.show = show;
}

/* libraft steps back by one index each round trip; rule S12 lets it jump to the
 * follower's committed prefix.  The leader that finds the conflict is the second one
 * since it arose, so that it begins at the end of its log. */
struct cluster *scenario_long_conflict(unsigned n, uint64_t *ret_repair_us,
                                       uint64_t *ret_rejects)
{
    struct cluster_config cfg = cluster_defaults();
    uint64_t healed, rejects, last;
    struct cluster *c;
    unsigned leader;

    cfg.inflight_entries = 2 * n;
    cfg.show = SHOW_ROLES | SHOW_LOG | SHOW_VOTES;
    c = cluster_new(&cfg);
    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    cluster_run(c, 150);
    cluster_isolate(c, 1);
    take_many(c, 1, "stale", n);
    CHECK(cluster_wait_stored(c, 1, 2 + n, 5000));
    leader = cluster_wait_other_leader(c, 1, 20000);
    CHECK(leader > 1);
    c->cfg.show &= ~SHOW_LOG;
    take_many(c, leader, "good", n);
    CHECK(cluster_wait_acked(c, n, 20000));
    CHECK_EQ(cluster_transfer(c, leader, 5 - leader), 0);
    CHECK(cluster_wait_leader(c, 5 - leader, 20000) == 5 - leader);
    cluster_run(c, 6000); /* the old connections of node 1 are given up */

    c->cfg.show |= SHOW_LOG;
    healed = sim_now(c->sim);
    rejects = c->n_rejects[1];
    last = group_last(c->node[5 - leader].g);
    cluster_heal_all(c);
    CHECK(cluster_wait_stored(c, 1, last, 600000));
    while (log__term(&c->node[1].g->log, last) != group_term(c->node[5 - leader].g))
        CHECK(sim_step(c->sim));
    *ret_repair_us = sim_now(c->sim) - healed;
    *ret_rejects = c->n_rejects[1] - rejects;
    cluster_note(c, "n1 is repaired after %llu us and %llu refusals",
                 (unsigned long long)*ret_repair_us,
                 (unsigned long long)*ret_rejects);
    cluster_settle(c);
    return c;
}

#define BEHIND_ENTRIES 4000u
#define BEHIND_BYTES 1000u

static unsigned leader_of(struct cluster *c)
{
    return cluster_wait_leader(c, 0, 20000);
}

/* The leader keeps 64 KiB of its log in memory; the follower needs 4 MB. */
struct cluster *scenario_far_behind(uint64_t *ret_entries_read)
{
    struct cluster_config cfg = cluster_defaults();
    struct groupset_stats stats;
    struct cluster *c;

    cfg.tail_bytes = 64u << 10;
    cfg.uncommitted_bytes = 256u << 10;
    cfg.ae_bytes = 16u << 10;
    cfg.wal_queue_bytes = 256u << 10;
    cfg.show = SHOW_ROLES | SHOW_VOTES;
    c = cluster_new(&cfg);
    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    cluster_run(c, 150);
    cluster_power_off(c, 3);
    cluster_note(c, "%u writes of %u bytes", BEHIND_ENTRIES, BEHIND_BYTES);
    for (unsigned i = 0; i < BEHIND_ENTRIES; i++) {
        char name[24];

        snprintf(name, sizeof name, "w-%u", i);
        while (cluster_propose(c, 1, name, BEHIND_BYTES) == KV_EBUSY)
            cluster_run(c, 1);
    }
    CHECK(cluster_wait_acked(c, BEHIND_ENTRIES, 60000));
    cluster_note(c, "all acknowledged");
    cluster_start(c, 3);
    CHECK(cluster_wait_applied(c, 3, 2 + BEHIND_ENTRIES, 60000));
    cluster_note(c, "n3 has caught up");
    groupset_get_stats(c->node[leader_of(c)].gs, &stats);
    *ret_entries_read = stats.entries_read;
    cluster_settle(c);
    return c;
}
