/* The host rules: each case shows what happens with the rule, and what the bare
 * core does without it. */
#include <string.h>

#include "group/group_rules.h"
#include "lib/test.h"
#include "unit/group/lab.h"

static void rule_off(enum sabotage rule)
{
    sabotage_mask = UINT64_C(1) << rule;
}

/* ---- S1 ---- */

/* A sole voter that loses an unsynced entry in a crash: the terms before and
 * after. */
static void sole_voter_restarts(uint64_t *before, uint64_t *after)
{
    struct lab *lab = lab_new(1, 1);

    lab_start(lab, 1);
    CHECK_EQ(lab_elect(lab, 0, 10), 1);
    CHECK_EQ(lab_propose(lab, 1, 0, 7, 0), 0); /* a stand-by may have it */
    *before = group_term(lab->node[1].g[0]);
    lab_crash(lab, 1);
    lab_start(lab, 1);
    *after = group_term(lab->node[1].g[0]);
    CHECK_EQ(group_role(lab->node[1].g[0]), GROUP_LEADER);
    CHECK_EQ(lab_elect(lab, 0, 10), 1);
    CHECK_EQ(lab_propose(lab, 1, 0, 8, 0), 0);
    lab_run(lab, 10);
    CHECK_EQ(lab->node[1].fsm[0].value[0], 8);
    lab_free(lab);
}

TEST(rules, s1_a_sole_voter_leads_in_a_new_term_after_each_start)
{
    uint64_t before, after;

    sole_voter_restarts(&before, &after);
    CHECK(after > before);
}

TEST(rules, s1_off_two_entries_share_index_and_term)
{
    uint64_t before, after;

    rule_off(SABOTAGE_S1);
    sole_voter_restarts(&before, &after);
    CHECK_EQ(after, before);
}

TEST(rules, s1_the_raised_term_and_the_vote_are_durable_before_anything_leaves)
{
    struct lab *lab = lab_new(1, 1);
    const struct wal_group *f;

    lab_start(lab, 1);
    CHECK(!group_ready(lab->node[1].g[0]));
    lab_elect(lab, 0, 10);
    f = wal_find_group(&lab->node[1].wal, 0);
    CHECK_EQ(f->term, group_term(lab->node[1].g[0]));
    CHECK_EQ(f->vote, 1);
    lab_free(lab);
}

/* A sole voter gave its vote to a server whose promotion it does not know of.
 * That one leads term 9; in which term does the voter lead? */
static uint64_t sole_voter_times_out(void)
{
    struct lab *lab = lab_new(2, 1);
    struct lab_entry e = { .term = 1, .conf = lab_conf("vs") };
    struct raft_message m = { .type = RAFT_REQUEST_VOTE };
    uint64_t term;

    lab_disk(lab, 1, 0, 1, 0, &e, 1);
    lab_start(lab, 1);
    CHECK_EQ(lab_elect(lab, 0, 10), 1);
    m.request_vote = (struct raft_request_vote){ .term = 9,
                                                 .candidate_id = 2,
                                                 .last_log_index = 9,
                                                 .last_log_term = 8,
                                                 .disrupt_leader = true };
    lab_inject(lab, 2, 1, 0, &m);
    CHECK_EQ(group_role(lab->node[1].g[0]), GROUP_FOLLOWER);
    CHECK_EQ(group_term(lab->node[1].g[0]), 9);
    CHECK_EQ(lab->node[1].g[0]->r.voted_for, 2);
    lab_run(lab, 3000);
    CHECK_EQ(group_role(lab->node[1].g[0]), GROUP_LEADER);
    term = group_term(lab->node[1].g[0]);
    CHECK_EQ(wal_find_group(&lab->node[1].wal, 0)->term, term);
    lab_free(lab);
    return term;
}

TEST(rules, s1_a_sole_voter_whose_timer_fires_leads_in_a_new_term)
{
    CHECK_EQ(sole_voter_times_out(), 10);
}

TEST(rules, s1_off_it_leads_the_term_in_which_it_voted_for_another)
{
    rule_off(SABOTAGE_S1);
    CHECK_EQ(sole_voter_times_out(), 9);
}

TEST(rules, s1_a_sole_voter_is_handed_no_leadership)
{
    struct lab *lab = lab_new(2, 1);
    struct lab_entry e = { .term = 1, .conf = lab_conf("vs") };
    struct raft_message m = { .type = RAFT_TIMEOUT_NOW };

    lab_disk(lab, 1, 0, 1, 0, &e, 1);
    lab_start(lab, 1);
    CHECK_EQ(lab_elect(lab, 0, 10), 1);
    m.timeout_now.term = 9;
    m.timeout_now.last_log_index = group_last(lab->node[1].g[0]);
    m.timeout_now.last_log_term = 2;
    lab_inject(lab, 2, 1, 0, &m);
    CHECK_EQ(group_term(lab->node[1].g[0]), 2);
    lab_free(lab);
}

/* ---- S2 ---- */

/* A follower gets {command, CHANGE} in one message; a new leader replaces the
 * CHANGE.  Returns how many voters the follower then counts. */
static unsigned change_inside_a_message(void)
{
    struct lab *lab = lab_new(3, 1);
    struct raft_append_entries ae = { .term = 1,
                                      .prev_log_index = 1,
                                      .prev_log_term = 1,
                                      .leader_commit = 1,
                                      .n_entries = 2 };
    struct lab_entry e[2] = { { .term = 1 },
                              { .term = 1, .conf = lab_conf("vvs") } };
    uint64_t ids[8];
    unsigned n;

    lab_start(lab, 2);
    lab_inject_ae(lab, 1, 2, 0, ae, e);
    lab_settle(lab);
    CHECK_EQ(group_voters(lab->node[2].g[0], ids, 8), 2);
    ae = (struct raft_append_entries){ .term = 2,
                                       .prev_log_index = 2,
                                       .prev_log_term = 1,
                                       .leader_commit = 1,
                                       .n_entries = 1 };
    e[0] = (struct lab_entry){ .term = 2 };
    lab_inject_ae(lab, 3, 2, 0, ae, e);
    lab_settle(lab);
    CHECK_EQ(group_last(lab->node[2].g[0]), 3);
    n = group_voters(lab->node[2].g[0], ids, 8);
    lab_free(lab);
    return n;
}

TEST(rules, s2_a_replaced_configuration_is_rolled_back)
{
    CHECK_EQ(change_inside_a_message(), 3);
}

TEST(rules, s2_off_a_replaced_configuration_stays_in_use)
{
    rule_off(SABOTAGE_S2);
    CHECK_EQ(change_inside_a_message(), 2);
}

/* ---- S3 ---- */

/* A follower of 10 entries compacted up to 8 gets a late message with entry 1.
 */
static uint64_t late_message_below_the_snapshot(void)
{
    struct lab *lab = lab_new(3, 1);
    struct lab_entry e[10] = { { .term = 1, .conf = lab_conf("vvv") } };
    struct raft_event ev = { .type = RAFT_SNAPSHOT };
    struct raft_append_entries ae = { .term = 1,
                                      .leader_commit = 10,
                                      .n_entries = 1 };
    struct raft_update u;
    uint64_t last;

    for (int i = 1; i < 10; i++)
        e[i].term = 1;
    lab_disk(lab, 2, 0, 1, 0, e, 10);
    lab_start(lab, 2);
    lab_inject_ae(lab, 1, 2, 0,
                  (struct raft_append_entries){ .term = 1,
                                                .prev_log_index = 10,
                                                .prev_log_term = 1,
                                                .leader_commit = 10 },
                  NULL);
    lab_settle(lab);
    CHECK_EQ(group_applied(lab->node[2].g[0]), 10);
    ev.time = lab->now_ms;
    ev.snapshot.metadata.index = 10;
    ev.snapshot.metadata.term = 1;
    ev.snapshot.metadata.configuration_index = 1;
    ev.snapshot.trailing = 2;
    CHECK_EQ(raft_step(&lab->node[2].g[0]->r, &ev, &u), 0);
    CHECK_EQ(lab->node[2].g[0]->r.trail.offset, 8);
    e[0] = (struct lab_entry){ .term = 1, .conf = lab_conf("vvv") };
    lab_inject_ae(lab, 1, 2, 0, ae, e);
    lab_settle(lab);
    last = group_last(lab->node[2].g[0]);
    lab_free(lab);
    return last;
}

TEST(rules, s3_entries_below_the_snapshot_are_known_already)
{
    CHECK_EQ(late_message_below_the_snapshot(), 10);
}

TEST_ABORTS(rules, s3_off_they_are_appended_at_the_end)
{
    rule_off(SABOTAGE_S3);
    late_message_below_the_snapshot();
}

TEST(rules, s3_a_message_across_the_snapshot_keeps_its_newer_entries)
{
    struct raft r = { .trail = { .offset = 8,
                                 .snapshot = { .index = 10, .term = 3 } } };
    struct raft_entry e[5] = { { .term = 2 },
                               { .term = 3 },
                               { .term = 3 },
                               { .term = 4 },
                               { .term = 4 } };
    struct raft_append_entries ae = { .term = 5,
                                      .prev_log_index = 7,
                                      .prev_log_term = 2,
                                      .entries = e,
                                      .n_entries = 5 };

    rules__s3_trim(&r, &ae);
    CHECK_EQ(ae.prev_log_index, 10);
    CHECK_EQ(ae.prev_log_term, 3);
    CHECK_EQ(ae.n_entries, 2);
    CHECK(ae.entries == e + 3);
}

/* ---- S4 ---- */

/* Two nodes; the follower is silent until the leader probes it, then an old
 * refusal of an index that matched since arrives.  Is anything committed after?
 */
static bool commits_after_a_stale_refusal(uint64_t hint)
{
    struct lab *lab = lab_new(2, 1);
    struct raft_message m = { .type = RAFT_APPEND_ENTRIES_RESULT };
    uint64_t leader, match;
    bool done;

    lab_start(lab, 1);
    lab_start(lab, 2);
    leader = lab_elect(lab, 0, 5000);
    CHECK(leader != 0);
    for (uint64_t v = 1; v <= 5; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 0), 0);
    lab_run(lab, 200);
    CHECK_EQ(group_match(lab->node[leader].g[0], 3 - leader, &match), 0);
    CHECK_EQ(match, group_last(lab->node[leader].g[0]));
    lab_isolate(lab, leader);
    lab_run(lab, 350);
    CHECK_EQ(group_role(lab->node[leader].g[0]), GROUP_LEADER);
    m.append_entries_result.term = group_term(lab->node[leader].g[0]);
    m.append_entries_result.rejected = match;
    m.append_entries_result.last_log_index = hint;
    lab_inject(lab, 3 - leader, leader, 0, &m);
    lab_heal(lab);
    CHECK_EQ(lab_propose(lab, leader, 0, 6, 0), 0);
    lab_run(lab, 2000);
    done = lab->node[leader].fsm[0].n == 6;
    lab_free(lab);
    return done;
}

TEST(rules, s4_a_stale_refusal_does_no_harm)
{
    CHECK(commits_after_a_stale_refusal(1));
}

TEST(rules, s4_off_a_stale_refusal_stalls_the_group_for_ever)
{
    rule_off(SABOTAGE_S4);
    CHECK(!commits_after_a_stale_refusal(1));
}

TEST(rules, s4_a_hint_below_the_match_index_is_raised_to_it)
{
    struct lab *lab = lab_new(2, 1);
    struct raft_append_entries_result res = { .rejected = 100 };
    uint64_t leader, match;

    lab_start(lab, 1);
    lab_start(lab, 2);
    leader = lab_elect(lab, 0, 5000);
    lab_run(lab, 200);
    CHECK_EQ(group_match(lab->node[leader].g[0], 3 - leader, &match), 0);
    CHECK(match > 0);
    res.term = group_term(lab->node[leader].g[0]);
    CHECK(!rules__s4_stale(&lab->node[leader].g[0]->r, 3 - leader, &res));
    CHECK_EQ(res.last_log_index, match);
    lab_free(lab);
}

/* ---- S5 ---- */

/* Node 1: term 5 and the longer log.  Node 2: term 10 and a shorter one.  Node
 * 3 is down. */
static bool long_log_and_high_term_elect(void)
{
    struct lab *lab = lab_new(3, 1);
    struct lab_entry e[5] = { { .term = 1, .conf = lab_conf("vvv") },
                              { .term = 5 },
                              { .term = 5 },
                              { .term = 5 },
                              { .term = 5 } };
    bool elected;

    lab_disk(lab, 1, 0, 5, 0, e, 4);
    e[0] = (struct lab_entry){ .term = 1, .conf = lab_conf("vvv") };
    e[1].term = 4;
    lab_disk(lab, 2, 0, 10, 0, e, 2);
    lab_start(lab, 1);
    lab_start(lab, 2);
    elected = lab_elect(lab, 0, 60000) != 0;
    lab_free(lab);
    return elected;
}

TEST(rules, s5_the_longer_log_learns_the_higher_term)
{
    CHECK(long_log_and_high_term_elect());
}

TEST(rules, s5_off_they_never_elect)
{
    rule_off(SABOTAGE_S5);
    CHECK(!long_log_and_high_term_elect());
}

/* ---- S6 ---- */

/* Node 1 promoted node 2 and went down before node 2 heard of it. */
static bool elects_with_a_voter_that_does_not_know(void)
{
    struct lab *lab = lab_new(2, 1);
    struct lab_entry e[2] = { { .term = 1, .conf = lab_conf("vs") },
                              { .term = 2, .conf = lab_conf("vv") } };
    bool elected;

    lab_disk(lab, 1, 0, 2, 1, e, 2);
    e[0].conf = lab_conf("vs");
    lab_disk(lab, 2, 0, 2, 0, e, 1);
    lab_start(lab, 1);
    lab_start(lab, 2);
    elected = lab_elect(lab, 0, 20000) == 1;
    lab_free(lab);
    return elected;
}

TEST(rules, s6_a_promoted_server_votes_before_it_knows)
{
    CHECK(elects_with_a_voter_that_does_not_know());
}

TEST(rules, s6_off_the_group_is_dead)
{
    rule_off(SABOTAGE_S6);
    CHECK(!elects_with_a_voter_that_does_not_know());
}

/* ---- S7 ---- */

/* A pre-vote refusal with a higher term arrives after the election was won. */
static bool leads_after_a_late_refusal(void)
{
    struct lab *lab = lab_new(3, 1);
    struct raft_message m = { .type = RAFT_REQUEST_VOTE_RESULT };
    uint64_t leader;
    bool leads;

    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    leader = lab_elect(lab, 0, 5000);
    m.request_vote_result.term = group_term(lab->node[leader].g[0]) + 1;
    m.request_vote_result.pre_vote = true;
    lab_inject(lab, leader % 3 + 1, leader, 0, &m);
    leads = group_role(lab->node[leader].g[0]) == GROUP_LEADER;
    lab_free(lab);
    return leads;
}

TEST(rules, s7_a_late_vote_result_is_ignored)
{
    CHECK(leads_after_a_late_refusal());
}

TEST(rules, s7_off_it_deposes_the_leader)
{
    rule_off(SABOTAGE_S7);
    CHECK(!leads_after_a_late_refusal());
}

/* ---- S8 ---- */

/* Is the last entry of a leader that calls itself ready of its own term? */
static bool ready_means_an_entry_of_its_own(void)
{
    struct lab *lab = lab_new(3, 1);
    uint64_t leader;
    const struct group *g;
    bool own;

    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    leader = lab_elect(lab, 0, 5000);
    CHECK(leader != 0);
    g = lab->node[leader].g[0];
    own = log__term(&g->log, group_commit(g)) == group_term(g);
    lab_free(lab);
    return own;
}

TEST(rules, s8_a_leader_is_ready_after_an_entry_of_its_own_term)
{
    CHECK(ready_means_an_entry_of_its_own());
}

TEST(rules, s8_off_it_is_ready_without_one)
{
    rule_off(SABOTAGE_S8);
    CHECK(!ready_means_an_entry_of_its_own());
}

/* ---- S10 ---- */

/* A message that contradicts a committed entry. */
static void contradiction(void)
{
    struct lab *lab = lab_new(3, 1);
    struct raft_append_entries ae = { .term = 1,
                                      .prev_log_index = 1,
                                      .prev_log_term = 1,
                                      .leader_commit = 3,
                                      .n_entries = 2 };
    struct lab_entry e[2] = { { .term = 1 }, { .term = 1 } };

    lab_start(lab, 2);
    lab_inject_ae(lab, 1, 2, 0, ae, e);
    lab_settle(lab);
    CHECK_EQ(group_applied(lab->node[2].g[0]), 3);
    ae.term = 2;
    ae.n_entries = 1;
    e[0].term = 2;
    lab_inject_ae(lab, 3, 2, 0, ae, e);
    CHECK_EQ(group_last(lab->node[2].g[0]), 3);
    lab_free(lab);
}

TEST_ABORTS(rules, s10_a_contradiction_of_a_committed_entry_stops_the_process)
{
    contradiction();
}

TEST(rules, s10_off_the_process_goes_on)
{
    rule_off(SABOTAGE_S10);
    contradiction();
}

TEST(rules, s10_refused_submissions_and_transfers_are_no_reason_to_stop)
{
    struct raft_event submit = { .type = RAFT_SUBMIT, .submit = { .n = 1 } };
    struct raft_event pair = { .type = RAFT_SUBMIT, .submit = { .n = 2 } };
    struct raft_event transfer = { .type = RAFT_TRANSFER };

    CHECK(!rules__s10_fatal(&submit, RAFT_NOTLEADER));
    CHECK(!rules__s10_fatal(&submit, RAFT_CANTCHANGE));
    CHECK(rules__s10_fatal(&submit, RAFT_NOMEM));
    CHECK(rules__s10_fatal(&pair, RAFT_CANTCHANGE));
    CHECK(!rules__s10_fatal(&transfer, RAFT_BADID));
    CHECK(rules__s10_fatal(&transfer, RAFT_NOMEM));
}

/* ---- S11 ---- */

static int granted; /* -1: no answer seen */

static bool watch_votes(struct lab_frame *f)
{
    if (f->head.kind == FRAME_RAFT && f->bytes[1] == RAFT_REQUEST_VOTE_RESULT)
        granted = f->bytes[2] & 1;
    return false;
}

/* A stand-by that followed node 1 is asked for its vote `ms` later. */
static int stand_by_votes(unsigned ms, uint64_t candidate)
{
    struct lab *lab = lab_new(3, 1);
    struct lab_entry e[1] = { { .term = 1, .conf = lab_conf("vsv") } };
    struct raft_message m = { .type = RAFT_REQUEST_VOTE };

    lab_disk(lab, 2, 0, 1, 0, e, 1);
    lab_start(lab, 2);
    lab_inject_ae(lab, 1, 2, 0,
                  (struct raft_append_entries){
                      .term = 2, .prev_log_index = 1, .prev_log_term = 1 },
                  NULL);
    lab_settle(lab);
    CHECK_EQ(group_leader(lab->node[2].g[0]), 1);
    lab_run(lab, ms);
    m.request_vote = (struct raft_request_vote){ .term = 3,
                                                 .candidate_id = candidate,
                                                 .last_log_index = 1,
                                                 .last_log_term = 1 };
    lab->drop = watch_votes;
    granted = -1;
    lab_inject(lab, candidate, 2, 0, &m);
    lab_settle(lab);
    lab_free(lab);
    return granted;
}

TEST(rules, s11_a_silent_leader_is_forgotten)
{
    CHECK_EQ(stand_by_votes(2000, 3), 1);
}

TEST(rules, s11_a_leader_that_asks_again_gets_the_vote_at_once)
{
    CHECK_EQ(stand_by_votes(1, 1), 1);
}

TEST(rules, s11_a_leader_heard_lately_is_not_forgotten)
{
    CHECK_EQ(stand_by_votes(1500, 3), 0);
}

TEST(rules, s11_off_a_dead_leader_is_remembered_for_ever)
{
    rule_off(SABOTAGE_S11);
    CHECK_EQ(stand_by_votes(60000, 3), 0);
    CHECK_EQ(stand_by_votes(1, 1), 0);
}

/* ---- S12 ---- */

/* Node 2 rejoins with 3,000 entries that nobody else has.  How many messages
 * does it take it to be like the others? */
static uint64_t answers_until_repaired(void)
{
    enum { N = 3001 };
    static struct lab_entry e[N];
    struct lab *lab = lab_new(3, 1);
    uint64_t leader, n;

    for (uint64_t id = 1; id <= 3; id++) {
        e[0] = (struct lab_entry){ .term = 1, .conf = lab_conf("vvv") };
        for (unsigned i = 1; i < N; i++)
            e[i] = (struct lab_entry){ .term = id == 2 ? 2 : 3, .value = i };
        lab_disk(lab, id, 0, 3, 0, e, N);
    }
    lab_start(lab, 1);
    lab_start(lab, 3);
    leader = lab_elect(lab, 0, 10000);
    CHECK(leader != 0);
    lab_start(lab, 2);
    lab_run(lab, 3000);
    CHECK_EQ(group_last(lab->node[2].g[0]), group_last(lab->node[leader].g[0]));
    CHECK_EQ(lab->node[2].fsm[0].n, N - 1);
    lab_check_agreement(lab, 0);
    n = lab_sent(lab, 2, RAFT_APPEND_ENTRIES_RESULT);
    lab_free(lab);
    return n;
}

TEST(rules, s12_a_conflicting_suffix_is_replaced_in_one_step_back)
{
    CHECK(answers_until_repaired() < 100);
}

TEST(rules, s12_off_the_leader_steps_back_one_entry_at_a_time)
{
    rule_off(SABOTAGE_S12);
    CHECK(answers_until_repaired() > 2000);
}

/* ---- S13 ---- */

/* One of three nodes is down.  How many of a hundred writes, made now and then,
 * were not applied before any time had passed. */
static unsigned writes_that_wait(void)
{
    struct lab *lab = lab_new(3, 1);
    unsigned waited = 0;
    uint64_t leader;

    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    leader = lab_elect(lab, 0, 10000);
    CHECK(leader != 0);
    lab_run(lab, 200);
    lab_crash(lab, leader % 3 + 1);
    for (uint64_t v = 1; v <= 100; v++) {
        lab_run(lab, (unsigned)(v * 37 % 230));
        CHECK_EQ(lab_propose(lab, leader, 0, v, 0), 0);
        lab_settle(lab); /* no time passes */
        waited += lab->node[leader].fsm[0].n < v;
    }
    lab_run(lab, 300);
    CHECK_EQ(lab->node[leader].fsm[0].n, 100);
    lab_free(lab);
    return waited;
}

TEST(rules, s13_a_write_does_not_wait_for_a_heartbeat_when_a_node_is_down)
{
    CHECK_EQ(writes_that_wait(), 0);
}

TEST(rules, s13_off_writes_wait_for_heartbeats)
{
    rule_off(SABOTAGE_S13);
    CHECK(writes_that_wait() > 0);
}

/* ---- S14 ---- */

/* A follower gets two CHANGEs before it has applied the first; a new leader
 * replaces the second.  How many voters does the follower count then? */
static unsigned second_change_is_replaced(void)
{
    struct lab *lab = lab_new(5, 1);
    struct raft_append_entries ae = { .term = 1,
                                      .prev_log_index = 1,
                                      .prev_log_term = 1,
                                      .leader_commit = 1,
                                      .n_entries = 3 };
    struct lab_entry e[3] = { { .term = 1, .conf = lab_conf("vvvvs") },
                              { .term = 1 },
                              { .term = 1, .conf = lab_conf("vvvss") } };
    uint64_t ids[8];
    unsigned n;

    lab_start(lab, 2);
    lab_inject_ae(lab, 1, 2, 0, ae, e);
    lab_settle(lab);
    CHECK_EQ(group_voters(lab->node[2].g[0], ids, 8), 3);
    CHECK(group_changing(lab->node[2].g[0]));
    e[0] = (struct lab_entry){ .term = 2 };
    ae = (struct raft_append_entries){ .term = 2,
                                       .prev_log_index = 3,
                                       .prev_log_term = 1,
                                       .leader_commit = 4,
                                       .n_entries = 1 };
    lab_inject_ae(lab, 3, 2, 0, ae, e);
    lab_settle(lab);
    CHECK_EQ(group_applied(lab->node[2].g[0]), 4);
    n = group_voters(lab->node[2].g[0], ids, 8);
    lab_free(lab);
    return n;
}

TEST(rules, s14_the_configuration_before_the_replaced_one_counts_again)
{
    CHECK_EQ(second_change_is_replaced(), 4);
}

TEST(rules, s14_off_an_older_one_does)
{
    rule_off(SABOTAGE_S14);
    CHECK_EQ(second_change_is_replaced(), 5);
}

TEST(rules, s14_a_message_that_does_not_match_settles_nothing)
{
    struct raft_entry e = { .term = 4, .type = RAFT_CHANGE };
    struct raft_append_entries ae = { .term = 4,
                                      .prev_log_index = 7,
                                      .prev_log_term = 3,
                                      .entries = &e,
                                      .n_entries = 1 };
    struct raft r = { .current_term = 4,
                      .configuration_uncommitted_index = 5 };

    CHECK(rules__s14_settled(&r, &ae, 3));
    CHECK(!rules__s14_settled(&r, &ae, 2)); /* another entry here */
    CHECK(!rules__s14_settled(&r, &ae, 0)); /* none */
    ae.term = 3;
    CHECK(!rules__s14_settled(&r, &ae, 3)); /* an old leader */
    ae.term = 4;
    ae.prev_log_index = 4; /* it is the same CHANGE, or replaces it */
    CHECK(!rules__s14_settled(&r, &ae, 3));
    ae.prev_log_index = 7;
    e.type = RAFT_COMMAND;
    CHECK(!rules__s14_settled(&r, &ae, 3));
    ae.n_entries = 0;
    CHECK(!rules__s14_settled(&r, &ae, 3));
}

/* ---- S15 ---- */

/* The leader of two voters demotes the other and loses power before its disk
 * has that.  Is a leader elected when it is back? */
static bool elects_after_a_lost_demotion(void)
{
    struct lab *lab = lab_new(2, 1);
    uint64_t leader;
    bool elected;

    lab_start(lab, 1);
    lab_start(lab, 2);
    leader = lab_elect(lab, 0, 10000);
    CHECK(leader != 0);
    lab_run(lab, 200);
    lab->node[leader].slow = true;
    CHECK_EQ(group_change(lab->node[leader].g[0], 3 - leader, GROUP_STANDBY),
             0);
    lab_run(lab, 50);
    lab_crash(lab, leader);
    lab->node[leader].slow = false;
    lab_start(lab, leader);
    elected = lab_elect(lab, 0, 60000) != 0;
    lab_free(lab);
    return elected;
}

TEST(rules, s15_a_demotion_that_leaves_one_voter_is_durable_there_first)
{
    CHECK(elects_after_a_lost_demotion());
}

TEST(rules, s15_off_nobody_is_ever_elected)
{
    rule_off(SABOTAGE_S15);
    CHECK(!elects_after_a_lost_demotion());
}
