/* Nodes in the lab: elections, writes, failover, restarts, limits. */
#include <string.h>

#include "lib/test.h"
#include "unit/group/lab.h"

static struct lab *started(unsigned nodes, unsigned groups)
{
    struct lab *lab = lab_new(nodes, groups);

    for (uint64_t id = 1; id <= nodes; id++)
        lab_start(lab, id);
    return lab;
}

static struct lab *elected(unsigned nodes, uint64_t *leader)
{
    struct lab *lab = started(nodes, 1);

    *leader = lab_elect(lab, 0, 10000);
    CHECK(*leader != 0);
    lab_run(lab, 200);
    return lab;
}

TEST(group, three_nodes_elect_one_leader_and_apply_what_it_proposes)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);

    for (uint64_t v = 1; v <= 100; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 0), 0);
    lab_run(lab, 300);
    for (uint64_t id = 1; id <= 3; id++) {
        CHECK_EQ(lab->node[id].fsm[0].n, 100);
        CHECK_EQ(lab->node[id].fsm[0].value[99], 100);
        CHECK_EQ(lab->node[id].fsm[0].leader, leader);
        CHECK_EQ(lab->node[id].fsm[0].ready, id == leader);
        CHECK(groupset_idle(lab->node[id].gs));
    }
    lab_check_agreement(lab, 0);
    lab_free(lab);
}

TEST(group, five_nodes_go_on_with_three)
{
    uint64_t leader, next;
    struct lab *lab = elected(5, &leader);

    lab_crash(lab, leader);
    lab_crash(lab, leader % 5 + 1);
    next = lab_elect(lab, 0, 10000);
    CHECK(next != 0 && next != leader);
    CHECK_EQ(lab_propose(lab, next, 0, 1, 0), 0);
    lab_run(lab, 200);
    CHECK_EQ(lab->node[next].fsm[0].n, 1);
    lab_free(lab);
}

TEST(group, a_sole_node_leads_at_once)
{
    struct lab *lab = started(1, 3);

    CHECK_EQ(lab_elect(lab, 0, 1), 1);
    CHECK_EQ(lab_elect(lab, 2, 1), 1);
    CHECK_EQ(lab_propose(lab, 1, 2, 5, 0), 0);
    lab_run(lab, 1);
    CHECK_EQ(lab->node[1].fsm[2].n, 1);
    CHECK_EQ(lab->node[1].fsm[0].n, 0);
    lab_free(lab);
}

TEST(group, a_sole_node_that_must_read_its_configuration_back_serves_again)
{
    struct lab *lab = lab_new(1, 1);

    lab_start(lab, 1);
    CHECK_EQ(lab_elect(lab, 0, 10), 1);
    CHECK_EQ(lab_propose(lab, 1, 0, 5, 0), 0);
    lab_run(lab, 10);
    lab->node[1].wal.keep_max = 8; /* the command, not the configuration */
    lab_crash(lab, 1);
    lab_start(lab, 1);
    CHECK_EQ(lab_elect(lab, 0, 1000), 1);
    CHECK_EQ(lab_propose(lab, 1, 0, 6, 0), 0);
    lab_run(lab, 10);
    CHECK_EQ(lab->node[1].fsm[0].value[1], 6);
    lab_free(lab);
}

TEST(group, the_preferred_node_leads_first)
{
    for (uint64_t id = 1; id <= 3; id++) {
        struct lab *lab = lab_new(3, 1);

        lab->preferred = id;
        for (uint64_t i = 1; i <= 3; i++)
            lab_start(lab, i);
        CHECK_EQ(lab_elect(lab, 0, 250), id);
        lab_free(lab);
    }
}

TEST(group, the_preferred_node_asks_again_when_its_peers_come_up_late)
{
    struct lab *lab = lab_new(3, 1);

    lab->preferred = 2;
    lab_start(lab, 2);
    lab_run(lab, 900); /* nobody hears it */
    lab_start(lab, 1);
    lab_start(lab, 3);
    CHECK_EQ(lab_elect(lab, 0, 250), 2);
    lab_free(lab);
    lab = lab_new(3, 1);
    lab->preferred = 2;
    lab_start(lab, 2);
    lab_run(lab, 190);
    lab_lose(lab);
    lab_start(lab, 1);
    lab_start(lab, 3);
    groupset_peer_up(lab->node[2].gs, 1);
    groupset_peer_up(lab->node[2].gs, 3);
    CHECK_EQ(lab_elect(lab, 0, 210), 2);
    CHECK_EQ(group_term(lab->node[2].g[0]), 2);
    lab_free(lab);
}

TEST(group, a_preferred_node_that_restarts_leaves_the_leader_alone)
{
    uint64_t leader = 0, term;
    struct lab *lab = lab_new(3, 1);

    lab->preferred = 2;
    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    CHECK_EQ(lab_elect(lab, 0, 250), 2);
    lab_crash(lab, 2);
    leader = lab_elect(lab, 0, 5000);
    CHECK(leader != 0);
    term = group_term(lab->node[leader].g[0]);
    lab_start(lab, 2);
    lab_run(lab, 3000);
    CHECK_EQ(group_role(lab->node[leader].g[0]), GROUP_LEADER);
    CHECK_EQ(group_term(lab->node[leader].g[0]), term);
    lab_free(lab);
}

TEST(group, a_lost_leader_is_replaced_in_a_tenth_of_an_election_timeout)
{
    for (int i = 0; i < 20; i++) {
        uint64_t leader, next;
        struct lab *lab = lab_new(3, 1);

        for (uint64_t id = 1; id <= 3; id++) {
            rng_seed(&lab->node[id].env.rng, (uint64_t)(i * 10) + id);
            lab_start(lab, id);
        }
        leader = lab_elect(lab, 0, 10000);
        lab_run(lab, 300);
        lab_crash(lab, leader);
        for (uint64_t id = 1; id <= 3; id++)
            if (id != leader)
                groupset_peer_lost(lab->node[id].gs, leader);
        next = lab_elect(lab, 0, 100);
        CHECK(next != 0);
        CHECK(next != leader);
        lab_free(lab);
    }
}

TEST(group, a_false_alarm_does_not_depose_the_leader)
{
    uint64_t leader, term;
    struct lab *lab = elected(3, &leader);

    term = group_term(lab->node[leader].g[0]);
    groupset_peer_lost(lab->node[leader % 3 + 1].gs, leader);
    lab_run(lab, 5000);
    CHECK_EQ(group_role(lab->node[leader].g[0]), GROUP_LEADER);
    CHECK_EQ(group_term(lab->node[leader].g[0]), term);
    CHECK_EQ(group_leader(lab->node[leader % 3 + 1].g[0]), leader);
    lab_free(lab);
}

TEST(group, a_dead_leader_is_replaced_without_any_alarm)
{
    uint64_t leader, next;
    struct lab *lab = elected(3, &leader);

    lab_crash(lab, leader);
    next = lab_elect(lab, 0, 5000);
    CHECK(next != 0);
    lab_free(lab);
}

TEST(group, an_isolated_leader_steps_down_and_the_others_go_on)
{
    uint64_t old, next;
    struct lab *lab = elected(3, &old);

    CHECK_EQ(lab_propose(lab, old, 0, 1, 0), 0);
    lab_run(lab, 200);
    lab_isolate(lab, old);
    CHECK_EQ(lab_propose(lab, old, 0, 2, 0), 0); /* will be lost */
    lab_run(lab, 2500);
    CHECK(group_role(lab->node[old].g[0]) != GROUP_LEADER);
    next = lab_elect(lab, 0, 5000);
    CHECK(next != 0 && next != old);
    CHECK_EQ(lab_propose(lab, next, 0, 3, 0), 0);
    lab_heal(lab);
    lab_run(lab, 3000);
    for (uint64_t id = 1; id <= 3; id++) {
        CHECK_EQ(lab->node[id].fsm[0].n, 2);
        CHECK_EQ(lab->node[id].fsm[0].value[1], 3);
    }
    lab_free(lab);
}

TEST(group, everything_acknowledged_survives_a_crash_of_all_nodes)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);

    for (uint64_t v = 1; v <= 50; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 100), 0);
    lab_settle(lab);
    CHECK_EQ(lab->node[leader].fsm[0].n, 50);
    for (uint64_t id = 1; id <= 3; id++)
        lab_crash(lab, id);
    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    CHECK(lab_elect(lab, 0, 10000) != 0);
    lab_run(lab, 300);
    for (uint64_t id = 1; id <= 3; id++) {
        CHECK_EQ(lab->node[id].fsm[0].n, 50);
        CHECK_EQ(lab->node[id].fsm[0].value[49], 50);
    }
    lab_free(lab);
}

TEST(group, a_bootstrap_cut_short_by_a_crash_is_done_again)
{
    struct lab *lab = started(3, 1);

    lab_crash(lab, 1); /* nothing of it was on disk */
    lab_crash(lab, 2);
    wal_put_bootstrap(&lab->node[2].wal, 0);
    wal_put_hardstate(&lab->node[2].wal, 0, 1, 0);
    lab->node[2].wal.synced = lab->node[2].wal.end; /* no entry yet */
    lab_start(lab, 1);
    lab_start(lab, 2);
    CHECK(lab_elect(lab, 0, 10000) != 0);
    lab_free(lab);
}

/* ---- payloads that are not in memory ---- */

TEST(group, a_follower_far_behind_gets_evicted_entries_from_the_log_on_disk)
{
    uint64_t leader, behind;
    struct lab *lab = lab_new(3, 1);
    struct groupset_stats st;

    lab->cfg.tail_bytes_max = 64 << 10;
    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    leader = lab_elect(lab, 0, 10000);
    behind = leader % 3 + 1;
    lab_isolate(lab, behind);
    for (uint64_t v = 1; v <= 1000; v++) {
        CHECK_EQ(lab_propose(lab, leader, 0, v, 4000), 0);
        lab_run(lab, 1);
    }
    CHECK(lab->node[leader].g[0]->log.bytes <= 64 << 10);
    lab_heal(lab);
    lab_run(lab, 3000);
    CHECK_EQ(lab->node[behind].fsm[0].n, 1000);
    groupset_get_stats(lab->node[leader].gs, &st);
    CHECK(st.entries_read >= 900);
    lab_check_agreement(lab, 0);
    lab_free(lab);
}

/* A configuration stays in memory: what is read back has gaps. */
TEST(group, a_follower_far_behind_gets_configurations_among_evicted_entries)
{
    uint64_t leader, behind;
    struct lab *lab = lab_new(5, 1);

    lab->cfg.tail_bytes_max = 64 << 10;
    for (uint64_t id = 1; id <= 5; id++)
        lab_start(lab, id);
    leader = lab_elect(lab, 0, 10000);
    behind = leader % 5 + 1;
    lab_isolate(lab, behind);
    for (uint64_t v = 1; v <= 1000; v++) {
        CHECK_EQ(lab_propose(lab, leader, 0, v, 4000), 0);
        lab_run(lab, 1);
        if (v % 10 == 0) {
            lab_run(lab, 50);
            CHECK_EQ(group_change(lab->node[leader].g[0], behind % 5 + 1,
                                  v % 20 == 0 ? GROUP_VOTER : GROUP_STANDBY),
                     0);
            lab_run(lab, 50);
        }
    }
    lab_heal(lab);
    lab_run(lab, 3000);
    CHECK_EQ(lab->node[behind].fsm[0].n, 1000);
    lab_check_agreement(lab, 0);
    lab_free(lab);
}

TEST(group, a_restart_reads_back_what_the_log_did_not_keep)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);

    for (uint64_t v = 1; v <= 500; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 0), 0);
    lab_run(lab, 300);
    lab_crash(lab, leader);
    lab->node[leader].wal.keep_max = 0; /* not even the configuration */
    lab_start(lab, leader);
    CHECK(!lab->node[leader].g[0]->started);
    CHECK_EQ(group_role(lab->node[leader].g[0]), GROUP_FOLLOWER);
    CHECK(!groupset_idle(lab->node[leader].gs));
    lab_run(lab, 3000);
    CHECK_EQ(lab->node[leader].fsm[0].n, 500);
    lab_check_agreement(lab, 0);
    lab_free(lab);
}

TEST(group, a_sole_node_whose_configuration_was_read_back_serves)
{
    struct lab *lab = lab_new(1, 1);

    lab_start(lab, 1);
    lab_run(lab, 1000);
    CHECK(group_ready(lab->node[1].g[0]));
    lab_crash(lab, 1);
    lab->node[1].wal.keep_max = 8; /* the barrier is kept, and that is all */
    lab_start(lab, 1);
    CHECK(!lab->node[1].g[0]->started);
    lab_run(lab, 1000);
    CHECK(group_ready(lab->node[1].g[0]));
    lab_free(lab);
}

TEST(group, an_entry_that_cannot_be_read_back_fails_the_log)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);

    for (uint64_t v = 1; v <= 5; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 200), 0);
    lab_run(lab, 300);
    lab_crash(lab, leader);
    lab->node[leader].wal.keep_max = 100;
    lab->node[leader].wal.fail_reads = true;
    lab_start(lab, leader);
    lab_run(lab, 3000);
    CHECK_EQ(lab->node[leader].wal.failed, KV_ECORRUPT);
    CHECK_EQ(lab->node[leader].fsm[0].n, 0);
    lab_free(lab);
}

TEST(group, closing_while_entries_are_read_back_is_harmless)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);

    for (uint64_t v = 1; v <= 5; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 200), 0);
    lab_run(lab, 300);
    lab_crash(lab, leader);
    lab->node[leader].wal.keep_max = 0;
    lab->node[leader].wal.hold_reads = true;
    lab_start(lab, leader);
    lab_settle(lab);
    CHECK(!list_empty(&lab->node[leader].wal.reads));
    lab_free(lab);
}

/* ---- limits ---- */

static size_t largest_ae;
static unsigned entries_seen;

static bool measure(struct lab_frame *f)
{
    if (f->head.kind == FRAME_RAFT && f->bytes[1] == RAFT_APPEND_ENTRIES) {
        largest_ae = f->n > largest_ae ? f->n : largest_ae;
        entries_seen++;
    }
    return false;
}

TEST(group, one_message_carries_a_bounded_number_of_bytes)
{
    uint64_t leader, behind;
    struct lab *lab = elected(3, &leader);

    behind = leader % 3 + 1;
    lab_crash(lab, behind);
    for (uint64_t v = 1; v <= 100; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 10000), 0);
    lab_run(lab, 200);
    lab->drop = measure;
    lab_start(lab, behind);
    lab_run(lab, 2000);
    CHECK_EQ(lab->node[behind].fsm[0].n, 100);
    CHECK(largest_ae > 10000);
    CHECK(largest_ae < lab->cfg.ae_bytes_max + 2000);
    lab_free(lab);
}

TEST(group, an_entry_above_the_limit_still_travels_alone)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);

    CHECK_EQ(lab_propose(lab, leader, 0, 1, 300 << 10), 0);
    CHECK_EQ(lab_propose(lab, leader, 0, 2, 300 << 10), 0);
    lab_run(lab, 300);
    for (uint64_t id = 1; id <= 3; id++)
        CHECK_EQ(lab->node[id].fsm[0].n, 2);
    lab_free(lab);
}

TEST(group, a_long_link_queue_holds_entries_back_as_numbers)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);
    struct groupset_stats st;

    lab->node[leader].links.queued = 1 << 30;
    for (uint64_t v = 1; v <= 10; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 10000), 0);
    lab_settle(lab);
    CHECK_EQ(lab->node[leader].fsm[0].n, 0);
    groupset_get_stats(lab->node[leader].gs, &st);
    CHECK(st.frames_held > 0);
    lab->node[leader].links.queued = 0;
    lab_run(lab, 200);
    CHECK_EQ(lab->node[leader].fsm[0].n, 10);
    lab_free(lab);
}

TEST(group, proposals_beyond_the_limits_are_refused)
{
    uint64_t leader;
    struct lab *lab = lab_new(3, 1);
    unsigned n = 0;

    lab->cfg.uncommitted_bytes_max = 100000;
    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    leader = lab_elect(lab, 0, 10000);
    lab_run(lab, 200);
    CHECK_EQ(lab_propose(lab, leader, 0, 1, 1 << 20), KV_E2BIG);
    while (lab_propose(lab, leader, 0, n, 9992) == 0)
        n++;
    CHECK_EQ(n, 10);
    CHECK_EQ(lab_propose(lab, leader, 0, n, 9992), KV_EBUSY);
    lab_settle(lab);
    CHECK_EQ(lab_propose(lab, leader, 0, n, 9992), 0);
    lab_settle(lab);
    lab->node[leader].wal.full = true;
    CHECK_EQ(lab_propose(lab, leader, 0, 1, 0), KV_EBUSY);
    lab->node[leader].wal.full = false;
    for (n = 0; lab_propose(lab, leader, 0, n, 0) == 0;)
        n++;
    CHECK_EQ(n, lab->cfg.inflight_entries);
    lab_free(lab);
}

TEST(group, a_proposal_elsewhere_or_too_early_is_refused)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);

    CHECK_EQ(lab_propose(lab, leader % 3 + 1, 0, 1, 0), KV_ENOTLEADER);
    lab_free(lab);
    lab = started(1, 1);
    CHECK_EQ(group_role(lab->node[1].g[0]), GROUP_LEADER);
    CHECK_EQ(lab_propose(lab, 1, 0, 1, 0), KV_EAGAIN);
    lab_free(lab);
}

TEST(group, a_follower_with_a_full_disk_queue_takes_no_entries_and_keeps_quiet)
{
    uint64_t leader, full;
    struct lab *lab = elected(3, &leader);
    uint64_t last;

    full = leader % 3 + 1;
    last = group_last(lab->node[full].g[0]);
    lab->node[full].wal.full = true;
    for (uint64_t v = 1; v <= 10; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 0), 0);
    lab_run(lab, 5000);
    CHECK_EQ(group_last(lab->node[full].g[0]), last);
    CHECK_EQ(group_leader(lab->node[full].g[0]), leader);
    CHECK_EQ(lab->node[leader].fsm[0].n, 10);
    lab->node[full].wal.full = false;
    lab_run(lab, 1000);
    CHECK_EQ(lab->node[full].fsm[0].n, 10);
    lab_free(lab);
}

TEST(group, a_full_window_does_not_flood_a_slow_peer)
{
    uint64_t leader;
    struct lab *lab = lab_new(3, 1);

    lab->cfg.inflight_entries = 16;
    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    leader = lab_elect(lab, 0, 10000);
    lab_run(lab, 200);
    lab->node[leader % 3 + 1].slow = true;
    lab->drop = measure;
    for (uint64_t v = 1; v <= 1000; v++) {
        CHECK_EQ(lab_propose(lab, leader, 0, v, 0), 0);
        lab_settle(lab);
    }
    CHECK(entries_seen < 1000 + 100);
    lab->node[leader % 3 + 1].slow = false;
    lab_run(lab, 1000);
    CHECK_EQ(lab->node[leader % 3 + 1].fsm[0].n, 1000);
    lab_free(lab);
}

TEST(group, one_turn_applies_a_bounded_number_of_entries)
{
    uint64_t leader;
    struct lab *lab = elected(3, &leader);
    struct lab_node *n = &lab->node[leader];

    lab_crash(lab, leader);
    lab_free(lab);
    lab = lab_new(1, 1);
    lab_start(lab, 1);
    lab_settle(lab);
    for (uint64_t v = 1; v <= 1000; v++)
        CHECK_EQ(lab_propose(lab, 1, 0, v, 0), 0);
    n = &lab->node[1];
    lab_sync(lab, 1);
    lab_turn(lab, 1);
    CHECK_EQ(n->fsm[0].n, GROUP_APPLY_ENTRIES_MAX);
    CHECK(n->env.woken);
    CHECK(!groupset_idle(n->gs));
    lab_turn(lab, 1);
    CHECK_EQ(n->fsm[0].n, 1000);
    lab_free(lab);
}

/* ---- transfer ---- */

static uint64_t entry_bytes;

static bool weigh(struct lab_frame *f)
{
    if (f->head.kind == FRAME_RAFT && f->bytes[1] == RAFT_APPEND_ENTRIES)
        entry_bytes += f->n;
    return false;
}

TEST(group, a_silent_peer_is_sent_each_entry_a_bounded_number_of_times)
{
    uint64_t leader, silent;
    struct lab *lab = elected(3, &leader);

    silent = leader % 3 + 1;
    lab->cut[leader][silent] = true;
    lab_run(lab, 500);
    lab->drop = weigh;
    for (uint64_t v = 1; v <= 500; v++) {
        CHECK_EQ(lab_propose(lab, leader, 0, v, 1000), 0);
        lab_run(lab, 1);
    }
    /* Once to the other one, and to the silent one at each heartbeat. */
    CHECK(entry_bytes < 500 * 1000 * (1 + 6 + 1));
    lab_heal(lab);
    lab_run(lab, 1000);
    CHECK_EQ(lab->node[silent].fsm[0].n, 500);
    lab_free(lab);
}

TEST(group, leadership_is_handed_to_the_voter_that_is_named)
{
    uint64_t leader, to;
    struct lab *lab = elected(3, &leader);

    to = leader % 3 + 1;
    CHECK_EQ(group_transfer(lab->node[to].g[0], leader), KV_ENOTLEADER);
    CHECK_EQ(group_transfer(lab->node[leader].g[0], 9), KV_EINVAL);
    CHECK_EQ(group_transfer(lab->node[leader].g[0], leader), KV_EINVAL);
    CHECK_EQ(group_transfer(lab->node[leader].g[0], to), 0);
    CHECK(group_transferring(lab->node[leader].g[0]));
    CHECK_EQ(group_transfer(lab->node[leader].g[0], to), KV_EAGAIN);
    CHECK_EQ(lab_propose(lab, leader, 0, 1, 0), KV_ENOTLEADER);
    lab_settle(lab);
    CHECK_EQ(group_role(lab->node[to].g[0]), GROUP_LEADER);
    CHECK(!group_transferring(lab->node[leader].g[0]));
    CHECK_EQ(lab_elect(lab, 0, 10), to);
    lab_free(lab);
}

TEST(group, a_transfer_to_a_dead_voter_is_given_up)
{
    uint64_t leader, to;
    struct lab *lab = elected(3, &leader);

    to = leader % 3 + 1;
    lab_crash(lab, to);
    CHECK_EQ(group_transfer(lab->node[leader].g[0], to), 0);
    lab_run(lab, 1500);
    CHECK(!group_transferring(lab->node[leader].g[0]));
    CHECK_EQ(group_role(lab->node[leader].g[0]), GROUP_LEADER);
    CHECK_EQ(lab_propose(lab, leader, 0, 1, 0), 0);
    lab_free(lab);
}

TEST(group, a_sole_voter_has_nobody_to_hand_over_to)
{
    struct lab *lab = started(1, 1);

    CHECK_EQ(group_transfer(lab->node[1].g[0], 0), KV_EAGAIN);
    lab_settle(lab);
    CHECK_EQ(group_transfer(lab->node[1].g[0], 0), KV_EINVAL);
    lab_free(lab);
}

/* ---- opening what contradicts itself ---- */

static int open_disk(uint64_t term, uint64_t vote, struct lab_entry *e,
                     unsigned n, char *errmsg, size_t errmsg_n)
{
    struct lab *lab = lab_new(3, 1);
    int rv;

    lab_disk(lab, 1, 0, term, vote, e, n);
    rv = lab_try_start(lab, 1, errmsg, errmsg_n);
    lab_free(lab);
    return rv;
}

TEST(group, a_log_that_contradicts_itself_is_refused_with_a_reason)
{
    struct lab_entry e[3] = { { .term = 1, .conf = lab_conf("vvv") },
                              { .term = 4 },
                              { .term = 3 } };
    char msg[256] = "";

    CHECK_EQ(open_disk(5, 0, e, 3, msg, sizeof msg), KV_ECORRUPT);
    CHECK(strstr(msg, "entry (3)") != NULL);
    e[0].conf = lab_conf("vvv");
    CHECK_EQ(open_disk(3, 0, e, 2, msg, sizeof msg), KV_ECORRUPT);
    CHECK(strstr(msg, "entry (2)") != NULL);
    e[0].conf = NULL;
    CHECK_EQ(open_disk(5, 0, e, 2, msg, sizeof msg), KV_ECORRUPT);
    CHECK(strstr(msg, "configuration") != NULL);
    e[0].conf = blob_copy(slice_str("garbage"));
    CHECK_EQ(open_disk(5, 0, e, 2, msg, sizeof msg), KV_ECORRUPT);
    CHECK_EQ(open_disk(5, 0, NULL, 0, msg, sizeof msg), KV_ECORRUPT);
    CHECK_EQ(open_disk(1, 2, NULL, 0, msg, sizeof msg), KV_ECORRUPT);
}

TEST(group, voters_that_make_no_sense_are_refused)
{
    struct lab *lab = lab_new(3, 1);
    uint64_t bad[3] = { 1, 2, 2 }, zero[2] = { 1, 0 };
    struct group *g;
    char msg[256] = "";

    lab_start(lab, 1);
    CHECK_EQ(groupset_open_group(lab->node[1].gs, 2, bad, 3, false, NULL, NULL,
                                 &g, msg, sizeof msg),
             KV_EINVAL);
    CHECK_EQ(groupset_open_group(lab->node[1].gs, 2, zero, 2, false, NULL, NULL,
                                 &g, msg, sizeof msg),
             KV_EINVAL);
    CHECK_EQ(groupset_open_group(lab->node[1].gs, 2, bad, 0, false, NULL, NULL,
                                 &g, msg, sizeof msg),
             KV_EINVAL);
    CHECK(strstr(msg, "group 2") != NULL);
    CHECK(groupset_find(lab->node[1].gs, 2) == NULL);
    lab_free(lab);
}

/* ---- strangers ---- */

TEST(group, garbage_and_impostors_are_counted_and_dropped)
{
    uint64_t leader, other;
    struct lab *lab = elected(3, &leader);
    struct frame_head head = { .kind = FRAME_RAFT, .group = 0 };
    struct raft_message m = { .type = RAFT_REQUEST_VOTE };
    struct raft_append_entries ae = { .prev_log_index = 1, .prev_log_term = 1 };
    struct groupset_stats st;
    uint64_t term = group_term(lab->node[leader].g[0]);

    other = leader % 3 + 1;
    groupset_frame(lab->node[leader].gs, other, &head, slice_str("hello"));
    head.kind = FRAME_FORWARD;
    groupset_frame(lab->node[leader].gs, other, &head, slice_str("hello"));
    head.kind = FRAME_READ_ACK;
    groupset_frame(lab->node[leader].gs, other, &head, slice_str("\x02zz"));
    head.kind = FRAME_READ_PROBE;
    groupset_frame(lab->node[leader].gs, other, &head,
                   slice_str("\x01\x05\xff"));
    m.request_vote = (struct raft_request_vote){ .term = term + 9,
                                                 .candidate_id = 8,
                                                 .last_log_index = 99,
                                                 .last_log_term = term };
    lab_inject(lab, other, leader, 0, &m); /* asks for node 8 */
    ae.term = term;
    lab_inject_ae(lab, other, leader, 0, ae, NULL); /* a second leader */
    groupset_get_stats(lab->node[leader].gs, &st);
    CHECK_EQ(st.garbage, 6);
    CHECK_EQ(group_role(lab->node[leader].g[0]), GROUP_LEADER);
    CHECK_EQ(group_term(lab->node[leader].g[0]), term);
    m.request_vote.candidate_id = other;
    lab_inject(lab, other, leader, 2, &m); /* a group that is not here */
    CHECK_EQ(group_term(lab->node[leader].g[0]), term);
    lab_free(lab);
}

TEST(group, an_entry_too_large_for_this_log_is_refused)
{
    struct lab *lab = lab_new(3, 1);
    struct raft_append_entries ae = {
        .term = 1, .prev_log_index = 1, .prev_log_term = 1, .n_entries = 1
    };
    struct lab_entry e = { .term = 1 };
    struct groupset_stats st;

    lab_start(lab, 2);
    lab->node[2].wal.entry_max = 7;
    lab_inject_ae(lab, 1, 2, 0, ae, &e);
    CHECK_EQ(group_last(lab->node[2].g[0]), 1);
    groupset_get_stats(lab->node[2].gs, &st);
    CHECK_EQ(st.garbage, 1);
    lab_free(lab);
}

TEST(group, random_changes_of_frames_never_crash_a_node)
{
    struct lab *lab = started(3, 2);
    struct rng rng;

    rng_seed(&rng, test_seed());
    for (int i = 0; i < 20000; i++) {
        struct lab_frame *f;
        uint64_t l = lab_elect(lab, 0, 0);

        if (l != 0 && i % 16 == 0)
            lab_propose(lab, l, 0, (uint64_t)i, rng_below(&rng, 50));
        if (!list_empty(&lab->wire) && rng_below(&rng, 4) == 0) {
            f = LIST_FIRST(&lab->wire, struct lab_frame, link);
            /* Only the first bytes: committed entries must not be forged. */
            if (f->n > 0)
                f->bytes[rng_below(&rng, f->n < 4 ? f->n : 4)] =
                    (uint8_t)rng_u64(&rng);
        }
        if (!lab_deliver_one(lab))
            lab_run(lab, 1);
    }
    lab_settle(lab);
    lab_check_agreement(lab, 0);
    lab_free(lab);
}
