/* The scenarios against a build in which single rules can be switched off: each must
 * then fail in the way it exists to show.  With all rules on, the same build must
 * behave. */
#include <stdio.h>
#include <string.h>

#include "base/sabotage.h"
#include "lib/test.h"
#include "scenario/scenario.h"

static void sabotage(enum sabotage what)
{
    sabotage_mask = UINT64_C(1) << what;
}

static void check_violated(struct cluster *c, const char *by)
{
    const char *violation = cluster_violation(c);

    if (violation == NULL)
        FAIL("nothing was violated");
    if (strstr(violation, by) == NULL)
        FAIL("\"%s\" was expected, and this happened: %s", by, violation);
    cluster_free(c);
}

TEST(sabotage, nothing_is_violated_when_no_rule_is_off)
{
    struct cluster *c = scenario_vote_before_fsync();

    cluster_verdict(c, "vote-before-fsync");
    cluster_free(c);
}

TEST(sabotage, a_vote_sent_before_it_is_durable_elects_two_leaders)
{
    sabotage(SABOTAGE_VOTE_UNGATED);
    check_violated(scenario_vote_before_fsync(), "node 2 voted in term 2");
}

TEST(sabotage, an_acknowledgement_before_fsync_loses_writes_in_a_power_cut)
{
    sabotage(SABOTAGE_ACK_BEFORE_FSYNC);
    check_violated(scenario_power_cut_at_ack(),
                   "without the committed entry");
}

TEST(sabotage, a_read_without_a_round_is_stale)
{
    sabotage(SABOTAGE_READ_WITHOUT_ROUND);
    check_violated(scenario_stale_read(false), "answered a read");
}

TEST(sabotage, a_read_confirmed_by_an_older_round_is_stale)
{
    sabotage(SABOTAGE_READ_OLD_ROUND);
    check_violated(scenario_stale_read(true), "answered a read");
}

TEST(sabotage, without_rule_s12_a_conflict_costs_a_round_trip_for_each_entry)
{
    uint64_t repair_us, rejects;
    struct cluster *c;

    sabotage(SABOTAGE_S12);
    c = scenario_long_conflict(2000, &repair_us, &rejects);
    CHECK(rejects > 1000);
    CHECK(repair_us > 1000000);
    cluster_free(c);
}

TEST(sabotage, without_rule_s2_a_change_that_was_replaced_stays_in_use)
{
    sabotage(SABOTAGE_S2);
    check_violated(scenario_change_replaced(), "counts vvsvv");
}

TEST(sabotage, without_rule_s2_a_change_is_never_known_to_be_committed)
{
    sabotage(SABOTAGE_S2);
    check_violated(scenario_change_in_a_batch(), "no progress");
}

TEST(sabotage, without_rule_s14_a_rollback_goes_back_too_far)
{
    sabotage(SABOTAGE_S14);
    check_violated(scenario_second_change_replaced(), "counts vvvvs");
}

static bool elects_with_who_is_unaware(void)
{
    bool elected;

    cluster_free(scenario_promoted_unaware(&elected));
    return elected;
}

TEST(sabotage, without_rule_s6_a_server_that_was_promoted_refuses_its_vote)
{
    CHECK(elects_with_who_is_unaware());
    sabotage(SABOTAGE_S6);
    CHECK(!elects_with_who_is_unaware());
}

TEST(sabotage, without_rule_s11_it_remembers_the_dead_leader)
{
    sabotage(SABOTAGE_S11);
    CHECK(!elects_with_who_is_unaware());
}

TEST(sabotage, without_rule_s9_a_write_waits_for_a_server_that_was_promoted_too_early)
{
    int rv;
    bool acked;

    sabotage(SABOTAGE_S9);
    cluster_free(scenario_promoted_behind(&rv, &acked));
    CHECK_EQ(rv, 0);
    CHECK(!acked);
}

TEST(sabotage, without_rule_s15_two_servers_never_elect_again)
{
    bool elected;

    sabotage(SABOTAGE_S15);
    cluster_free(scenario_change_to_one(&elected));
    CHECK(!elected);
}
