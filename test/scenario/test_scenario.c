/* The scenarios against the product: what each must show beyond safety, which
 * cluster_verdict checks, and its transcript. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/test.h"
#include "scenario/scenario.h"

static void verdict(struct cluster *c, const char *name)
{
    cluster_verdict(c, name);
    cluster_free(c);
}

TEST(scenario, a_leader_with_a_stale_suffix_rejoins_and_acknowledges_nothing_false)
{
    verdict(scenario_stale_suffix(), "stale-suffix");
}

TEST(scenario, figure_8_an_old_entry_on_a_majority_is_not_committed)
{
    verdict(scenario_figure_8(false), "figure-8-d");
}

TEST(scenario, figure_8_an_old_entry_is_committed_with_one_of_the_new_term)
{
    verdict(scenario_figure_8(true), "figure-8-e");
}

TEST(scenario, a_disk_faster_than_the_network_costs_one_round_trip)
{
    const struct load load = { .net_us = 5000, .sync_us = 200,
                               .every_us = 500, .ms = 2000 };
    struct load_result r;
    struct cluster *c = scenario_load(&load, &r);

    CHECK_EQ(r.refused, 0);
    CHECK_EQ(r.acked, r.proposed);
    CHECK_EQ(r.leaders, 1);
    CHECK(r.p50_us >= 10000);
    CHECK(r.max_us <= 12000);
    verdict(c, "load-fast-disk");
}

TEST(scenario, a_disk_slower_than_the_network_is_shared_by_many_writes)
{
    const struct load load = { .net_us = 100, .sync_us = 20000,
                               .every_us = 500, .ms = 2000 };
    struct load_result r;
    struct cluster *c = scenario_load(&load, &r);

    CHECK_EQ(r.refused, 0);
    CHECK_EQ(r.acked, r.proposed);
    CHECK_EQ(r.leaders, 1);
    /* The rest of the sync under way, then its own: followers write while the
     * leader does, or it would be three. */
    CHECK(r.max_us <= 2 * load.sync_us + 3000);
    CHECK(r.leader_syncs * 20 < r.proposed);
    verdict(c, "load-slow-disk");
}

TEST(scenario, a_disk_slower_than_a_heartbeat_costs_no_election)
{
    const struct load load = { .net_us = 100, .sync_us = 300000,
                               .every_us = 2000, .ms = 3000 };
    struct load_result r;
    struct cluster *c = scenario_load(&load, &r);

    CHECK_EQ(r.leaders, 1);
    CHECK_EQ(r.acked + r.refused, r.proposed);
    verdict(c, "load-very-slow-disk");
}

TEST(scenario, two_candidates_and_a_transfer_in_one_term_elect_one_leader)
{
    bool both;
    struct cluster *c = scenario_two_candidates(1000, &both);

    CHECK(both);
    verdict(c, "two-candidates");
}

TEST(scenario, two_candidates_race_at_any_distance)
{
    unsigned races = 0;

    for (uint32_t after_us = 0; after_us <= 5000; after_us += 50) {
        bool both;
        struct cluster *c = scenario_two_candidates(after_us, &both);

        races += both;
        verdict(c, NULL);
    }
    CHECK(races > 10);
}

TEST(scenario, a_vote_that_was_not_synced_has_not_left)
{
    verdict(scenario_vote_before_fsync(), "vote-before-fsync");
}

TEST(scenario, a_follower_far_behind_is_served_from_the_log_on_disk)
{
    uint64_t entries_read;
    struct cluster *c = scenario_far_behind(&entries_read);

    CHECK(entries_read > 3000);
    for (unsigned i = 1; i <= 3; i++)
        CHECK(c->node[i].tail_bytes_max <= (64u << 10) + (256u << 10) + 1000);
    verdict(c, "far-behind");
}

TEST(scenario, a_conflicting_suffix_of_10000_entries_takes_a_few_round_trips)
{
    uint64_t repair_us, rejects;
    struct cluster *c = scenario_long_conflict(10000, &repair_us, &rejects);

    CHECK(rejects <= 3);
    /* Less than one heartbeat to be heard, and a few round trips. */
    CHECK(repair_us < 500000);
    verdict(c, "long-conflict");
}

TEST(scenario, an_acknowledged_write_survives_a_power_cut_of_all_nodes)
{
    verdict(scenario_power_cut_at_ack(), "power-cut");
}

TEST(scenario, a_leader_with_a_stopped_clock_answers_no_stale_read)
{
    struct cluster *c = scenario_stale_read(false);

    CHECK_EQ(c->n_reads_answered, 2);
    CHECK_EQ(c->n_reads_refused, 1);
    verdict(c, "stale-read");
}

TEST(scenario, an_answer_to_an_older_round_confirms_no_read)
{
    verdict(scenario_stale_read(true), "stale-read-late");
}

TEST(scenario, a_voter_becomes_a_stand_by_and_a_voter_again)
{
    verdict(scenario_member_change(), "member-change");
}

TEST(scenario, a_change_that_is_replaced_is_rolled_back_and_the_write_before_it_stays)
{
    struct cluster *c = scenario_change_replaced();

    for (unsigned i = 1; i <= 5; i++)
        CHECK_STR(c->node[i].seen.members, "vvvvv");
    verdict(c, "change-replaced");
}

TEST(scenario, of_two_changes_at_once_only_the_replaced_one_is_rolled_back)
{
    struct cluster *c = scenario_second_change_replaced();

    for (unsigned i = 1; i <= 5; i++)
        CHECK_STR(c->node[i].seen.members, "vvvvv");
    verdict(c, "second-change-replaced");
}

TEST(scenario, a_change_in_one_message_with_a_write_is_known_to_be_committed)
{
    verdict(scenario_change_in_a_batch(), "change-in-a-batch");
}

TEST(scenario, a_leader_that_crashes_in_a_change_is_needed_by_the_voters_it_left)
{
    verdict(scenario_change_crash(), "change-crash");
}

TEST(scenario, a_leader_that_crashes_becoming_the_only_voter_is_elected_again)
{
    bool elected;
    struct cluster *c = scenario_change_to_one(&elected);

    CHECK(elected);
    verdict(c, "change-to-one");
}

TEST(scenario, a_server_that_does_not_know_of_its_promotion_helps_to_elect)
{
    bool elected;
    struct cluster *c = scenario_promoted_unaware(&elected);

    CHECK(elected);
    verdict(c, "promoted-unaware");
}

TEST(scenario, a_server_that_is_behind_is_not_promoted_and_so_not_needed)
{
    int rv;
    bool acked;
    struct cluster *c = scenario_promoted_behind(&rv, &acked);

    CHECK_EQ(rv, KV_EAGAIN);
    CHECK(acked);
    verdict(c, "promoted-behind");
}

TEST(scenario, writes_go_on_within_two_election_timeouts_of_a_kill)
{
    uint64_t worst = 0, sum = 0, us;

    for (uint64_t seed = 1; seed <= 100; seed++) {
        verdict(scenario_failover(seed, &us), NULL);
        worst = us > worst ? us : worst;
        sum += us;
    }
    printf("mean %llu us, worst %llu us\n", (unsigned long long)sum / 100,
           (unsigned long long)worst);
    CHECK(worst <= 2000000);
}

TEST(scenario, a_cluster_that_stops_in_order_leaves_nothing_behind)
{
    struct cluster_config cfg = cluster_defaults();
    struct cluster *c = cluster_new(&cfg);

    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    CHECK_EQ(cluster_propose(c, 1, "a", 16), 0);
    CHECK(cluster_wait_acked(c, 1, 1000));
    for (unsigned i = 1; i <= 3; i++)
        cluster_stop(c, i);
    for (unsigned i = 1; i <= 3; i++)
        CHECK_EQ(sim_node_blocks(c->sim, i), 0);
    cluster_settle(c);
    verdict(c, "stop");
}

/* KV_SOAK_SEED=n runs one seed, KV_SOAK_SEEDS=n that many. */
static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

TEST(scenario, the_same_seed_is_the_same_run)
{
    for (uint64_t seed = 1000; seed < 1003; seed++) {
        struct cluster *a = scenario_soak(seed), *b = scenario_soak(seed);

        /* Both exist at once, so that nothing has the same address in both. */
        CHECK_EQ(sim_events(a->sim), sim_events(b->sim));
        CHECK_EQ(sim_hash(a->sim), sim_hash(b->sim));
        cluster_free(b);
        cluster_free(a);
    }
}

TEST(scenario, random_faults_violate_nothing)
{
    uint64_t first = number("KV_SOAK_SEED", 0);
    uint64_t last = first != 0 ? first : number("KV_SOAK_SEEDS", 20);
    size_t acked = 0, sides_acked = 0;

    for (uint64_t seed = first != 0 ? first : 1; seed <= last; seed++) {
        struct cluster *c;

        printf("seed %llu\n", (unsigned long long)seed);
        fflush(stdout);
        c = scenario_soak(seed);
        acked += c->n_acked;
        sides_acked += c->sides.n_acked;
        verdict(c, NULL);
    }
    CHECK(acked > 0);
    CHECK(sides_acked > 0 || first == last);
    printf("%zu acknowledged, and %zu in further groups\n", acked, sides_acked);
}
