/* The output gate: what may leave before the disk, and what may not. */
#include <string.h>

#include "lib/test.h"
#include "unit/group/lab.h"

static unsigned seen[64]; /* by raft message type or frame kind */

static bool count(struct lab_frame *f)
{
    seen[f->head.kind == FRAME_RAFT ? f->bytes[1] : f->head.kind]++;
    return false;
}

/* A follower that is asked for its vote in term 5, its disk idle. */
static struct lab *asked_for_a_vote(void)
{
    struct lab *lab = lab_new(3, 1);
    struct raft_message m = { .type = RAFT_REQUEST_VOTE };

    lab_start(lab, 2);
    lab_settle(lab);
    lab->node[2].slow = true;
    m.request_vote = (struct raft_request_vote){
        .term = 5, .candidate_id = 1, .last_log_index = 9, .last_log_term = 4
    };
    lab_inject(lab, 1, 2, 0, &m);
    lab->drop = count;
    lab_settle(lab);
    return lab;
}

TEST(gate, a_vote_leaves_only_when_it_is_on_disk)
{
    struct lab *lab = asked_for_a_vote();

    CHECK_EQ(seen[RAFT_REQUEST_VOTE_RESULT], 0);
    CHECK_EQ(group_term(lab->node[2].g[0]), 5);
    CHECK_EQ(group_durable_term(lab->node[2].g[0]), 1);
    lab_sync(lab, 2);
    lab_settle(lab);
    CHECK_EQ(seen[RAFT_REQUEST_VOTE_RESULT], 1);
    CHECK_EQ(group_durable_term(lab->node[2].g[0]), 5);
    lab_free(lab);
}

TEST(gate, the_planted_fault_lets_the_vote_out_early)
{
    struct lab *lab;

    sabotage_mask = UINT64_C(1) << SABOTAGE_VOTE_UNGATED;
    lab = asked_for_a_vote();
    CHECK_EQ(seen[RAFT_REQUEST_VOTE_RESULT], 1);
    lab_free(lab);
}

TEST(gate, a_vote_that_a_crash_forgot_had_not_left)
{
    struct lab *lab = asked_for_a_vote();

    lab_crash(lab, 2);
    lab_start(lab, 2);
    CHECK_EQ(group_term(lab->node[2].g[0]), 1);
    CHECK_EQ(seen[RAFT_REQUEST_VOTE_RESULT], 0);
    lab_free(lab);
}

TEST(gate, what_comes_after_a_held_frame_waits_behind_it)
{
    struct lab *lab = asked_for_a_vote();
    struct raft_append_entries ae = { .term = 5,
                                      .prev_log_index = 1,
                                      .prev_log_term = 1 };

    lab_inject_ae(lab, 1, 2, 0, ae, NULL); /* node 1 won without us */
    lab_settle(lab);
    CHECK_EQ(seen[RAFT_APPEND_ENTRIES_RESULT], 0);
    lab_sync(lab, 2);
    lab_turn(lab, 2);
    CHECK(!list_empty(&lab->wire));
    CHECK_EQ(LIST_FIRST(&lab->wire, struct lab_frame, link)->bytes[1],
             RAFT_REQUEST_VOTE_RESULT);
    lab_settle(lab);
    CHECK_EQ(seen[RAFT_APPEND_ENTRIES_RESULT], 1);
    lab_free(lab);
}

TEST(gate, a_bootstrap_says_nothing_before_it_is_on_disk)
{
    struct lab *lab = lab_new(3, 1);

    lab->drop = count;
    lab_start(lab, 2);
    lab->node[2].slow = true;
    lab_inject_ae(lab, 1, 2, 0,
                  (struct raft_append_entries){
                      .term = 1, .prev_log_index = 1, .prev_log_term = 1 },
                  NULL);
    lab_settle(lab);
    CHECK_EQ(seen[RAFT_APPEND_ENTRIES_RESULT], 0);
    lab_sync(lab, 2);
    lab_settle(lab);
    CHECK_EQ(seen[RAFT_APPEND_ENTRIES_RESULT], 1);
    lab_free(lab);
}

static struct lab *elected(uint64_t *leader)
{
    struct lab *lab = lab_new(3, 1);

    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    *leader = lab_elect(lab, 0, 5000);
    CHECK(*leader != 0);
    lab_run(lab, 200);
    return lab;
}

TEST(gate, entries_of_a_stable_leader_leave_while_its_disk_works)
{
    uint64_t leader;
    struct lab *lab = elected(&leader);
    struct group *g = lab->node[leader].g[0];

    lab->node[leader].slow = true;
    CHECK_EQ(lab_propose(lab, leader, 0, 42, 0), 0);
    lab_settle(lab);
    /* Two of three have it: committed, but not applied where it is not stored.
     */
    CHECK_EQ(group_commit(g), group_last(g));
    CHECK_EQ(lab->node[leader].fsm[0].n, 0);
    lab_sync(lab, leader);
    lab_settle(lab);
    CHECK_EQ(lab->node[leader].fsm[0].n, 1);
    lab_free(lab);
}

/* Two of three disks stand still: may the entry commit? */
static bool commits_with_one_disk(void)
{
    uint64_t leader;
    struct lab *lab = elected(&leader);
    bool committed;

    for (uint64_t id = 1; id <= 3; id++)
        lab->node[id].slow = id != leader;
    CHECK_EQ(lab_propose(lab, leader, 0, 42, 0), 0);
    lab_run(lab, 500);
    committed = lab->node[leader].fsm[0].n == 1;
    lab_free(lab);
    return committed;
}

TEST(gate, an_entry_is_acknowledged_only_when_it_is_stored)
{
    CHECK(!commits_with_one_disk());
}

TEST(gate, the_planted_fault_acknowledges_before_the_sync)
{
    sabotage_mask = UINT64_C(1) << SABOTAGE_ACK_BEFORE_FSYNC;
    CHECK(commits_with_one_disk());
}

TEST(gate, an_overwritten_entry_does_not_count_as_stored)
{
    struct lab *lab = lab_new(3, 1);
    struct group *g;
    struct lab_entry e[3] = { { .term = 1 }, { .term = 1 }, { .term = 1 } };
    struct raft_append_entries ae = {
        .term = 1, .prev_log_index = 1, .prev_log_term = 1, .n_entries = 3
    };
    uint64_t lsn;

    lab_start(lab, 2);
    lab_settle(lab);
    g = lab->node[2].g[0];
    lab->node[2].slow = true;
    lab_inject_ae(lab, 1, 2, 0, ae, e); /* 2^1 3^1 4^1 */
    lsn = lab->node[2].wal.end;
    ae.term = 2;
    ae.prev_log_index = 2;
    ae.n_entries = 2;
    e[0].term = e[1].term = 2;
    lab_inject_ae(lab, 3, 2, 0, ae, e); /* 3^2 4^2 */
    lab->node[2].wal.synced = lsn;      /* only the first record is durable */
    groupset_synced(lab->node[2].gs, lsn);
    CHECK_EQ(g->r.last_stored, 2);
    lab_sync(lab, 2);
    CHECK_EQ(g->r.last_stored, 4);
    lab_free(lab);
}

static void ask_for_vote(struct lab *lab, uint64_t candidate)
{
    struct raft_message m = { .type = RAFT_REQUEST_VOTE };

    m.request_vote = (struct raft_request_vote){ .term = 7,
                                                 .candidate_id = candidate,
                                                 .last_log_index = 1,
                                                 .last_log_term = 1 };
    lab_inject(lab, candidate, 2, 0, &m);
}

TEST(gate, a_vote_that_is_asked_for_twice_is_written_once)
{
    struct lab *lab = lab_new(3, 1);
    uint64_t end;

    lab_start(lab, 2);
    lab_settle(lab);
    ask_for_vote(lab, 3);
    CHECK_EQ(lab->node[2].g[0]->r.voted_for, 3);
    end = lab->node[2].wal.end;
    ask_for_vote(lab, 3);
    CHECK_EQ(lab->node[2].wal.end, end);
    lab_settle(lab);
    CHECK_EQ(lab_sent(lab, 2, RAFT_REQUEST_VOTE_RESULT), 2);
    lab_crash(lab, 2);
    lab_start(lab, 2);
    end = lab->node[2].wal.end;
    ask_for_vote(lab, 3); /* it remembers */
    CHECK_EQ(lab->node[2].g[0]->r.voted_for, 3);
    CHECK_EQ(lab->node[2].wal.end, end);
    lab_free(lab);
}
