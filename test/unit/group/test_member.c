/* Voters become stand-bys and stand-bys voters: what is refused, what survives,
 * what is rolled back. */
#include <string.h>

#include "lib/test.h"
#include "unit/group/lab.h"

static struct lab *elected(unsigned nodes, uint64_t *leader)
{
    struct lab *lab = lab_new(nodes, 1);

    for (uint64_t id = 1; id <= nodes; id++)
        lab_start(lab, id);
    *leader = lab_elect(lab, 0, 10000);
    CHECK(*leader != 0);
    lab_run(lab, 200);
    return lab;
}

static struct group *group_of(struct lab *lab, uint64_t id)
{
    return lab->node[id].g[0];
}

/* "vvs": the roles as a node knows them, in order of ids. */
static const char *roles(struct lab *lab, uint64_t id)
{
    static char text[LAB_NODES + 1];
    struct group_server s[LAB_NODES];
    unsigned n = group_members(group_of(lab, id), s, LAB_NODES);

    CHECK_EQ(n, lab->nodes);
    for (unsigned i = 0; i < n; i++) {
        CHECK_EQ(s[i].id, i + 1);
        text[i] = s[i].role == GROUP_VOTER ? 'v' : 's';
    }
    text[n] = 0;
    return text;
}

static unsigned voters(struct lab *lab, uint64_t id)
{
    uint64_t ids[LAB_NODES];

    return group_voters(group_of(lab, id), ids, LAB_NODES);
}

static int change(struct lab *lab, uint64_t leader, uint64_t node,
                  enum group_member role)
{
    return group_change(group_of(lab, leader), node, role);
}

static void check_all(struct lab *lab, const char *want)
{
    for (uint64_t id = 1; id <= lab->nodes; id++) {
        CHECK(!group_changing(group_of(lab, id)));
        CHECK_STR(roles(lab, id), want);
    }
}

/* ---- what works ---- */

TEST(member, a_voter_becomes_a_stand_by_and_a_voter_again)
{
    uint64_t leader, other;
    struct lab *lab = elected(3, &leader);

    other = leader % 3 + 1;
    CHECK_EQ(change(lab, leader, other, GROUP_STANDBY), 0);
    CHECK(group_changing(group_of(lab, leader)));
    CHECK_EQ(voters(lab, leader), 2); /* in use at once */
    lab_run(lab, 200);
    check_all(lab, other == 1 ? "svv" : other == 2 ? "vsv" : "vvs");
    CHECK_EQ(lab_propose(lab, leader, 0, 7, 0), 0);
    lab_run(lab, 200);
    CHECK_EQ(lab->node[other].fsm[0].n, 1); /* it still gets everything */
    CHECK_EQ(change(lab, leader, other, GROUP_VOTER), 0);
    lab_run(lab, 200);
    check_all(lab, "vvv");
    lab_free(lab);
}

TEST(member, a_change_that_is_made_already_is_none)
{
    uint64_t leader, last;
    struct lab *lab = elected(3, &leader);

    last = group_last(group_of(lab, leader));
    CHECK_EQ(change(lab, leader, leader, GROUP_VOTER), 0);
    CHECK_EQ(change(lab, leader, leader % 3 + 1, GROUP_VOTER), 0);
    CHECK_EQ(group_last(group_of(lab, leader)), last);
    lab_free(lab);
}

TEST(member, a_group_shrinks_to_its_leader_and_grows_again)
{
    uint64_t leader, a, b;
    struct lab *lab = elected(3, &leader);

    a = leader % 3 + 1;
    b = a % 3 + 1;
    CHECK_EQ(change(lab, leader, a, GROUP_STANDBY), 0);
    lab_run(lab, 100);
    CHECK_EQ(change(lab, leader, b, GROUP_STANDBY), 0);
    lab_run(lab, 100);
    lab_isolate(lab, leader);
    CHECK_EQ(lab_propose(lab, leader, 0, 1, 0), 0);
    lab_run(lab, 5000);
    CHECK_EQ(lab_elect(lab, 0, 0), leader);
    CHECK_EQ(lab->node[leader].fsm[0].n, 1);
    CHECK_EQ(group_transfer(group_of(lab, leader), 0), KV_EINVAL);
    lab_heal(lab);
    lab_run(lab, 1000);
    CHECK_EQ(change(lab, leader, a, GROUP_VOTER), 0);
    lab_run(lab, 100);
    CHECK_EQ(change(lab, leader, b, GROUP_VOTER), 0);
    lab_run(lab, 100);
    check_all(lab, "vvv");
    lab_check_agreement(lab, 0);
    lab_free(lab);
}

TEST(member, a_stand_by_is_no_candidate)
{
    uint64_t leader, other, term;
    struct lab *lab = elected(3, &leader);

    other = leader % 3 + 1;
    CHECK_EQ(change(lab, leader, other, GROUP_STANDBY), 0);
    lab_run(lab, 200);
    term = group_term(group_of(lab, other));
    lab_crash(lab, leader);
    lab_crash(lab, other % 3 + 1);
    groupset_peer_lost(lab->node[other].gs, leader);
    lab_run(lab, 20000);
    CHECK_EQ(group_role(group_of(lab, other)), GROUP_FOLLOWER);
    CHECK_EQ(group_term(group_of(lab, other)), term);
    CHECK_EQ(group_leader(group_of(lab, other)), 0);
    lab_free(lab);
}

TEST(member, a_preferred_leader_that_is_a_stand_by_leaves_it_to_others)
{
    struct lab *lab = lab_new(3, 1);

    lab->preferred = 2;
    for (uint64_t id = 1; id <= 3; id++) {
        struct lab_entry e = { .term = 1, .conf = lab_conf("vsv") };

        lab_disk(lab, id, 0, 1, 0, &e, 1);
        lab_start(lab, id);
    }
    CHECK(lab_elect(lab, 0, 10000) % 2 == 1);
    lab_free(lab);
}

/* ---- what is refused ---- */

TEST(member, changes_that_cannot_be_are_refused)
{
    uint64_t leader, other, last;
    struct lab *lab = elected(3, &leader);

    other = leader % 3 + 1;
    last = group_last(group_of(lab, leader));
    CHECK_EQ(change(lab, other, leader, GROUP_STANDBY), KV_ENOTLEADER);
    CHECK_EQ(change(lab, leader, 9, GROUP_VOTER), KV_ENOENT);
    CHECK_EQ(change(lab, leader, other, (enum group_member)7), KV_EINVAL);
    CHECK_EQ(change(lab, leader, leader, GROUP_STANDBY), KV_EINVAL);
    CHECK_EQ(group_last(group_of(lab, leader)), last);
    CHECK(!group_changing(group_of(lab, leader)));
    lab_free(lab);
}

TEST(member, the_last_voter_cannot_be_demoted)
{
    struct lab *lab = lab_new(2, 1);
    struct lab_entry e = { .term = 1, .conf = lab_conf("vs") };

    lab_disk(lab, 1, 0, 1, 0, &e, 1);
    lab_start(lab, 1);
    CHECK_EQ(lab_elect(lab, 0, 10), 1);
    CHECK_EQ(change(lab, 1, 1, GROUP_STANDBY), KV_EINVAL);
    lab_free(lab);
}

TEST(member, changes_that_come_too_early_are_refused_for_now)
{
    uint64_t leader, other;
    struct lab *lab = lab_new(1, 1);

    lab_start(lab, 1);
    CHECK_EQ(group_role(group_of(lab, 1)), GROUP_LEADER);
    CHECK_EQ(change(lab, 1, 1, GROUP_VOTER), KV_EAGAIN); /* not ready */
    lab_free(lab);
    lab = elected(3, &leader);
    other = leader % 3 + 1;
    CHECK_EQ(change(lab, leader, other, GROUP_STANDBY), 0);
    CHECK_EQ(change(lab, leader, other % 3 + 1, GROUP_STANDBY), KV_EAGAIN);
    CHECK_EQ(change(lab, leader, other, GROUP_STANDBY), KV_EAGAIN);
    lab_run(lab, 100);
    CHECK_EQ(group_transfer(group_of(lab, leader), other), KV_EINVAL);
    CHECK_EQ(group_transfer(group_of(lab, leader), other % 3 + 1), 0);
    CHECK_EQ(change(lab, leader, other, GROUP_VOTER), KV_EAGAIN);
    lab_free(lab);
}

/* ---- S9 ---- */

/* A stand-by that is cut off is to become a voter while `missing` writes have not
 * reached it. */
static struct lab *promote_behind(unsigned missing, uint64_t *leader,
                                  uint64_t *other, int *ret_rv)
{
    struct lab *lab = elected(3, leader);

    *other = *leader % 3 + 1;
    CHECK_EQ(change(lab, *leader, *other, GROUP_STANDBY), 0);
    lab_run(lab, 200);
    lab_isolate(lab, *other);
    for (uint64_t v = 1; v <= missing; v++)
        CHECK_EQ(lab_propose(lab, *leader, 0, v, 0), 0);
    lab_run(lab, 300);
    *ret_rv = change(lab, *leader, *other, GROUP_VOTER);
    return lab;
}

TEST(member, s9_a_stand_by_that_is_far_behind_is_not_promoted)
{
    uint64_t leader, other;
    int rv;
    struct lab *lab = promote_behind(100, &leader, &other, &rv);

    CHECK_EQ(rv, KV_EAGAIN);
    CHECK_EQ(voters(lab, leader), 2);
    CHECK_EQ(lab_propose(lab, leader, 0, 7, 0), 0);
    lab_heal(lab);
    lab_run(lab, 500);
    CHECK_EQ(change(lab, leader, other, GROUP_VOTER), 0);
    CHECK_EQ(voters(lab, leader), 3);
    lab_free(lab);
}

TEST(member, s9_a_stand_by_that_lacks_a_few_entries_is_waited_for)
{
    uint64_t leader, other;
    int rv;
    struct lab *lab = promote_behind(3, &leader, &other, &rv);

    CHECK_EQ(rv, 0);
    CHECK(group_changing(group_of(lab, leader)));
    CHECK_EQ(voters(lab, leader), 2); /* not yet */
    CHECK_EQ(lab_propose(lab, leader, 0, 7, 0), KV_EBUSY);
    CHECK_EQ(group_transfer(group_of(lab, leader), 0), KV_EAGAIN);
    CHECK_EQ(change(lab, leader, other % 3 + 1, GROUP_STANDBY), KV_EAGAIN);
    lab_heal(lab);
    lab_run(lab, 190);
    CHECK_EQ(voters(lab, leader), 3);
    lab_run(lab, 100);
    check_all(lab, "vvv");
    CHECK_EQ(lab_propose(lab, leader, 0, 7, 0), 0);
    lab_free(lab);
}

TEST(member, s9_a_promotion_that_takes_too_long_is_given_up)
{
    uint64_t leader, other;
    int rv;
    struct lab *lab = promote_behind(3, &leader, &other, &rv);

    CHECK_EQ(rv, 0);
    lab_run(lab, 200);
    CHECK(!group_changing(group_of(lab, leader)));
    CHECK_EQ(voters(lab, leader), 2);
    CHECK_EQ(lab_propose(lab, leader, 0, 7, 0), 0);
    lab_heal(lab);
    lab_run(lab, 500);
    CHECK_EQ(voters(lab, leader), 2); /* and is not made later */
    lab_free(lab);
}

TEST(member, s9_a_promotion_under_load_is_made)
{
    uint64_t leader, other;
    struct lab *lab = elected(3, &leader);
    unsigned held = 0;

    other = leader % 3 + 1;
    CHECK_EQ(change(lab, leader, other, GROUP_STANDBY), 0);
    lab_run(lab, 200);
    lab->node[other].slow = true; /* its disk is 20 ms behind */
    for (unsigned ms = 0; ms < 500; ms++) {
        held += lab_propose(lab, leader, 0, ms, 0) == KV_EBUSY;
        if (ms == 100)
            CHECK_EQ(change(lab, leader, other, GROUP_VOTER), 0);
        if (ms % 20 == 0)
            lab_sync(lab, other);
        lab_run(lab, 1);
    }
    CHECK(held > 0 && held < 50);
    CHECK_EQ(voters(lab, leader), 3);
    lab_free(lab);
}

TEST(member, s9_off_a_stand_by_that_is_far_behind_is_promoted)
{
    uint64_t leader, other;
    struct lab *lab;
    int rv;

    sabotage_mask = UINT64_C(1) << SABOTAGE_S9;
    lab = promote_behind(100, &leader, &other, &rv);
    CHECK_EQ(rv, 0);
    CHECK_EQ(voters(lab, leader), 3);
    lab_free(lab);
}

/* ---- reads ---- */

static int answer;

static void answered(struct group_read *r, int status)
{
    (void)r;
    answer = status;
}

/* The leader hears only a server that is a stand-by, or is not. */
static int read_with_one_peer(bool stand_by)
{
    struct group_read r = { .cb = answered };
    uint64_t leader, other;
    struct lab *lab = elected(3, &leader);

    other = leader % 3 + 1;
    if (stand_by)
        CHECK_EQ(change(lab, leader, other, GROUP_STANDBY), 0);
    lab_run(lab, 200);
    lab_isolate(lab, other % 3 + 1);
    answer = 1;
    group_read(group_of(lab, leader), &r, 0, 0);
    lab_run(lab, 400);
    if (answer == 1)
        group_read_cancel(group_of(lab, leader), &r);
    lab_free(lab);
    return answer;
}

TEST(member, the_word_of_a_stand_by_confirms_no_read)
{
    CHECK_EQ(read_with_one_peer(false), 0);
    CHECK_EQ(read_with_one_peer(true), 1);
}

TEST(member, a_read_at_a_stand_by_is_sent_elsewhere)
{
    struct group_read r = { .cb = answered };
    uint64_t leader, other;
    struct lab *lab = elected(3, &leader);

    other = leader % 3 + 1;
    CHECK_EQ(change(lab, leader, other, GROUP_STANDBY), 0);
    lab_run(lab, 200);
    answer = 1;
    group_read(group_of(lab, other), &r, 0, 0);
    lab_settle(lab);
    CHECK_EQ(answer, KV_ENOTLEADER);
    CHECK_EQ(group_leader(group_of(lab, other)), leader);
    lab_free(lab);
}

TEST(member, changes_among_evicted_entries_reach_who_was_away)
{
    uint64_t leader, away, other;
    struct lab *lab = lab_new(5, 1);
    struct groupset_stats st;

    lab->cfg.tail_bytes_max = 16 << 10;
    lab->cfg.ae_bytes_max = 8 << 10;
    for (uint64_t id = 1; id <= 5; id++)
        lab_start(lab, id);
    leader = lab_elect(lab, 0, 10000);
    lab_run(lab, 200);
    away = leader % 5 + 1;
    other = away % 5 + 1;
    lab_isolate(lab, away);
    for (uint64_t v = 1; v <= 300; v++) {
        if (v % 3 == 0) /* stays in memory when its neighbours are evicted */
            CHECK_EQ(change(lab, leader, other,
                            v % 2 == 0 ? GROUP_VOTER : GROUP_STANDBY), 0);
        lab_run(lab, 5);
        CHECK_EQ(lab_propose(lab, leader, 0, v, 2000), 0);
        lab_run(lab, 5);
    }
    lab_heal(lab);
    lab_run(lab, 5000);
    CHECK_EQ(lab->node[away].fsm[0].n, 300);
    groupset_get_stats(lab->node[leader].gs, &st);
    CHECK(st.entries_read > 0);
    lab_check_agreement(lab, 0);
    lab_free(lab);
}

/* ---- crashes and rollback ---- */

TEST(member, changes_survive_a_restart)
{
    uint64_t leader, other;
    struct lab *lab = elected(3, &leader);
    char want[4];

    other = leader % 3 + 1;
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(change(lab, leader, other,
                        i % 2 == 0 ? GROUP_STANDBY : GROUP_VOTER),
                 0);
        lab_run(lab, 200);
        CHECK_EQ(lab_propose(lab, leader, 0, i + 1, 0), 0);
        lab_run(lab, 200);
    }
    memcpy(want, roles(lab, leader), sizeof want);
    for (uint64_t id = 1; id <= 3; id++)
        lab_crash(lab, id);
    for (uint64_t id = 1; id <= 3; id++) {
        lab->node[id].wal.keep_max = id == 1 ? 0 : SIZE_MAX;
        lab_start(lab, id);
    }
    leader = lab_elect(lab, 0, 10000);
    CHECK(leader != 0 && leader != other);
    lab_run(lab, 500);
    check_all(lab, want);
    CHECK_EQ(lab->node[other].fsm[0].n, 5);
    CHECK_EQ(change(lab, leader, other, GROUP_VOTER), 0);
    lab_run(lab, 200);
    check_all(lab, "vvv");
    lab_free(lab);
}

TEST(member, a_restarted_node_does_not_know_whether_its_configuration_is_committed)
{
    uint64_t leader, other;
    struct lab *lab = elected(3, &leader);

    other = leader % 3 + 1;
    CHECK_EQ(change(lab, leader, other, GROUP_STANDBY), 0);
    lab_run(lab, 200);
    lab_crash(lab, leader);
    lab_start(lab, leader);
    CHECK(group_changing(group_of(lab, leader)));
    CHECK_EQ(voters(lab, leader), 2); /* and yet it is in use */
    CHECK(lab_elect(lab, 0, 10000) != 0);
    lab_run(lab, 500);
    CHECK(!group_changing(group_of(lab, leader)));
    lab_free(lab);
}

TEST(member, a_change_that_another_leader_replaces_is_rolled_back)
{
    uint64_t old, leader;
    struct lab *lab = elected(3, &old);

    lab_isolate(lab, old);
    CHECK_EQ(change(lab, old, old % 3 + 1, GROUP_STANDBY), 0);
    lab_run(lab, 500);
    CHECK_EQ(voters(lab, old), 2);
    for (leader = 0; leader == 0 || leader == old; lab_run(lab, 10))
        leader = lab_elect(lab, 0, 10000);
    CHECK_EQ(lab_propose(lab, leader, 0, 5, 0), 0);
    lab_heal(lab);
    lab_run(lab, 3000);
    check_all(lab, "vvv");
    CHECK_EQ(lab->node[old].fsm[0].n, 1);
    lab_free(lab);
}

TEST(member, a_change_that_reached_the_next_leader_stays)
{
    uint64_t old, other, leader;
    struct lab *lab = elected(3, &old);

    other = old % 3 + 1;
    CHECK_EQ(change(lab, old, other, GROUP_STANDBY), 0);
    lab_deliver(lab); /* the others have it; it is not committed */
    lab_sync(lab, other % 3 + 1);
    lab_sync(lab, other);
    lab_lose(lab);
    CHECK_EQ(group_commit(group_of(lab, old)),
             group_last(group_of(lab, old)) - 1);
    lab_isolate(lab, old);
    lab_run(lab, 4000);
    CHECK_EQ(lab_elect(lab, 0, 0), 0); /* two voters, one is cut off */
    lab_heal(lab);
    leader = lab_elect(lab, 0, 10000);
    CHECK(leader != 0 && leader != other);
    lab_run(lab, 500);
    CHECK_EQ(voters(lab, leader), 2);
    CHECK(!group_changing(group_of(lab, leader)));
    lab_free(lab);
}

/* ---- transfer ---- */

TEST(member, leadership_goes_to_who_has_most_when_nobody_has_everything)
{
    uint64_t leader, dead, other;
    struct lab *lab = elected(3, &leader);

    dead = leader == 3 ? 2 : 3;
    other = 6 - leader - dead;
    lab_crash(lab, dead);
    CHECK_EQ(lab_propose(lab, leader, 0, 1, 0), 0);
    lab_run(lab, 100);
    CHECK_EQ(lab_propose(lab, leader, 0, 2, 0), 0);
    CHECK_EQ(group_transfer(group_of(lab, leader), 0), 0);
    lab_settle(lab);
    CHECK_EQ(lab_elect(lab, 0, 100), other);
    lab_free(lab);
}
