/* Linearizable reads: rounds, witnesses, and what must not be served. */
#include <string.h>

#include "base/buf.h"
#include "lib/test.h"
#include "unit/group/lab.h"

#define PENDING 99

struct probe {
    struct group_read read;
    int status; /* PENDING until answered */
};

static void answered(struct group_read *r, int status)
{
    struct probe *p = r->data;

    CHECK_EQ(p->status, PENDING);
    p->status = status;
}

static void ask(struct lab *lab, uint64_t node, unsigned g, struct probe *p,
                uint64_t witness, uint64_t term)
{
    p->status = PENDING;
    p->read.cb = answered;
    p->read.data = p;
    group_read(lab->node[node].g[g], &p->read, witness, term);
    CHECK_EQ(p->status, PENDING); /* never inside the call */
}

static struct lab *elected(unsigned nodes, unsigned groups, uint64_t *leader)
{
    struct lab *lab = lab_new(nodes, groups);

    lab->preferred = 1;
    for (uint64_t id = 1; id <= nodes; id++)
        lab_start(lab, id);
    *leader = lab_elect(lab, 0, 10000);
    CHECK_EQ(*leader, 1);
    lab_run(lab, 300);
    return lab;
}

TEST(read, a_round_confirms_the_leader_and_answers)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p;

    CHECK_EQ(lab_propose(lab, 1, 0, 7, 0), 0);
    lab_settle(lab);
    ask(lab, 1, 0, &p, 0, 0);
    lab_turn(lab, 1);
    CHECK_EQ(p.status, PENDING);
    lab_settle(lab);
    CHECK_EQ(p.status, 0);
    CHECK_EQ(p.read.index, group_commit(lab->node[1].g[0]));
    lab_free(lab);
}

TEST(read, one_frame_per_peer_serves_all_groups_and_reads_of_a_turn)
{
    uint64_t leader;
    struct lab *lab = elected(3, 3, &leader);
    struct probe p[30];
    uint64_t before = lab_sent(lab, 1, FRAME_READ_PROBE);

    for (unsigned i = 0; i < 30; i++)
        ask(lab, 1, i % 3, &p[i], 0, 0);
    lab_settle(lab);
    for (unsigned i = 0; i < 30; i++)
        CHECK_EQ(p[i].status, 0);
    CHECK_EQ(lab_sent(lab, 1, FRAME_READ_PROBE), before + 2);
    lab_free(lab);
}

TEST(read, a_follower_refuses)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p;

    ask(lab, 2, 0, &p, 0, 0);
    lab_settle(lab);
    CHECK_EQ(p.status, KV_ENOTLEADER);
    lab_free(lab);
}

TEST(read, a_sole_voter_confirms_itself)
{
    struct lab *lab = lab_new(1, 1);
    struct probe p;

    lab_start(lab, 1);
    lab->node[1].slow = true;
    ask(lab, 1, 0, &p, 0, 0);
    lab_settle(lab);
    CHECK_EQ(p.status, PENDING); /* its term and barrier are not on disk */
    lab_sync(lab, 1);
    lab_settle(lab);
    CHECK_EQ(p.status, 0);
    lab_free(lab);
}

TEST(read, reads_of_a_new_leader_wait_until_it_is_ready)
{
    struct lab *lab = lab_new(3, 1);
    struct probe p;

    lab->preferred = 1;
    for (uint64_t id = 1; id <= 3; id++)
        lab_start(lab, id);
    for (int i = 0; group_role(lab->node[1].g[0]) != GROUP_LEADER; i++) {
        CHECK(i < 10000);
        if (!lab_deliver_one(lab)) {
            lab->now_ms++;
            for (uint64_t id = 1; id <= 3; id++) {
                lab_turn(lab, id);
                lab_sync(lab, id);
            }
        }
    }
    lab_lose(lab);
    CHECK(!group_ready(lab->node[1].g[0]));
    ask(lab, 1, 0, &p, 2, group_term(lab->node[1].g[0]));
    lab_turn(lab, 1);
    CHECK_EQ(p.status, PENDING);
    lab_run(lab, 300);
    CHECK_EQ(p.status, 0);
    lab_free(lab);
}

/* A leader is cut off, another one is elected and writes.  How does the old
 * leader answer a read? */
static int read_at_a_deposed_leader(void)
{
    uint64_t leader, next = 0;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p;
    int status;

    lab_isolate(lab, 1);
    groupset_peer_lost(lab->node[2].gs, 1);
    groupset_peer_lost(lab->node[3].gs, 1);
    for (int i = 0; next == 0 && i < 800; i++) {
        lab_run(lab, 1);
        for (uint64_t id = 2; id <= 3; id++)
            next = group_ready(lab->node[id].g[0]) ? id : next;
    }
    CHECK(next != 0);
    CHECK_EQ(lab_propose(lab, next, 0, 42, 0), 0);
    lab_settle(lab);
    CHECK_EQ(lab->node[next].fsm[0].n, 1); /* acknowledged there */
    CHECK(group_ready(lab->node[1].g[0])); /* the old one knows nothing */
    ask(lab, 1, 0, &p, 0, 0);
    lab_settle(lab);
    if (p.status == PENDING)
        lab_run(lab, 2000);
    status = p.status;
    lab_free(lab);
    return status;
}

TEST(read, a_deposed_leader_does_not_answer)
{
    CHECK_EQ(read_at_a_deposed_leader(), KV_ENOTLEADER);
}

TEST(read, the_planted_fault_answers_without_a_round)
{
    sabotage_mask = UINT64_C(1) << SABOTAGE_READ_WITHOUT_ROUND;
    CHECK_EQ(read_at_a_deposed_leader(), 0);
}

static bool next_is(struct lab *lab, uint8_t kind)
{
    return !list_empty(&lab->wire) &&
           LIST_FIRST(&lab->wire, struct lab_frame, link)->head.kind == kind;
}

/* A round is under way, its answers already written, when the leader is
 * replaced and a second read arrives.  How is the second one answered by those
 * answers? */
static int second_read_of_an_old_round(void)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe first, second;
    int status;

    ask(lab, 1, 0, &first, 0, 0);
    lab_turn(lab, 1);
    CHECK(
        lab_deliver_one(lab)); /* the probe of node 2: its answer is written */
    ask(lab, 1, 0, &second, 0, 0);
    while (next_is(lab, FRAME_READ_PROBE))
        CHECK(lab_deliver_one(lab));
    CHECK(next_is(lab, FRAME_READ_ACK));
    CHECK_EQ(first.status, PENDING);
    lab_deliver_one(lab);
    lab_deliver_one(lab); /* both answers, no turn in between for a new round */
    CHECK_EQ(first.status, PENDING);
    lab_isolate(lab, 1);
    lab_turn(lab, 1);
    CHECK_EQ(first.status, 0);
    status = second.status;
    lab_free(lab);
    return status;
}

TEST(read, a_read_does_not_join_a_round_that_has_started)
{
    CHECK_EQ(second_read_of_an_old_round(), PENDING);
}

TEST(read, the_planted_fault_joins_the_old_round)
{
    sabotage_mask = UINT64_C(1) << SABOTAGE_READ_OLD_ROUND;
    CHECK_EQ(second_read_of_an_old_round(), 0);
}

TEST(read, a_witness_saves_the_round)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p;
    uint64_t before = lab_sent(lab, 1, FRAME_READ_PROBE);

    ask(lab, 1, 0, &p, 2, group_durable_term(lab->node[2].g[0]));
    lab_settle(lab);
    CHECK_EQ(p.status, 0);
    CHECK_EQ(lab_sent(lab, 1, FRAME_READ_PROBE), before);
    lab_free(lab);
}

TEST(read, a_witness_counts_for_its_own_read_only)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p, q;

    lab_isolate(lab, 1);
    ask(lab, 1, 0, &p, 2, group_term(lab->node[1].g[0]));
    ask(lab, 1, 0, &q, 0, 0);
    lab_settle(lab);
    CHECK_EQ(p.status, 0);
    CHECK_EQ(q.status, PENDING);
    lab_free(lab);
}

TEST(read, a_witness_of_a_later_term_or_no_voter_is_no_help)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    uint64_t term = group_term(lab->node[1].g[0]);
    struct probe p, q, r, s;

    lab_isolate(lab, 1);
    ask(lab, 1, 0, &p, 2, term + 1);
    ask(lab, 1, 0, &q, 9, term);
    ask(lab, 1, 0, &r, 2, 0);
    ask(lab, 1, 0, &s, 1, term); /* itself, twice */
    lab_settle(lab);
    CHECK_EQ(p.status, PENDING);
    CHECK_EQ(q.status, PENDING);
    CHECK_EQ(r.status, PENDING);
    CHECK_EQ(s.status, PENDING);
    lab_free(lab);
}

TEST(read, five_voters_need_a_witness_and_one_more)
{
    uint64_t leader;
    struct lab *lab = elected(5, 1, &leader);
    uint64_t term = group_term(lab->node[1].g[0]);
    struct probe p, q;

    lab_isolate(lab, 1);
    lab->cut[1][3] = lab->cut[3][1] = false;
    ask(lab, 1, 0, &p, 2, term);
    ask(lab, 1, 0, &q, 0, 0);
    lab_settle(lab);
    CHECK_EQ(p.status, 0);
    CHECK_EQ(q.status, PENDING);
    lab->cut[1][4] = lab->cut[4][1] = false;
    lab_run(lab, 150);
    CHECK_EQ(q.status, 0);
    lab_free(lab);
}

TEST(read, a_lost_round_is_repeated_under_a_new_number)
{
    uint64_t leader, round;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p;

    ask(lab, 1, 0, &p, 0, 0);
    lab_turn(lab, 1);
    round = p.read.round;
    CHECK(round != 0);
    lab_lose(lab);
    lab_run(lab, 90);
    CHECK_EQ(p.status, PENDING);
    lab_run(lab, 20);
    CHECK_EQ(p.status, 0);
    CHECK(p.read.round > round);
    lab_free(lab);
}

/* READ_ACK as node `from` would write it. */
static void ack(struct lab *lab, uint64_t from, uint64_t to, uint64_t round,
                uint64_t term)
{
    struct frame_head head = { .kind = FRAME_READ_ACK,
                               .group = FRAME_GROUP_NODE };
    struct buf b;

    buf_init(&b);
    buf_put_u8(&b, 1);
    buf_put_varint(&b, round);
    buf_put_varint(&b, 0);
    buf_put_varint(&b, term);
    groupset_frame(lab->node[to].gs, from, &head, buf_slice(&b));
    buf_close(&b);
}

TEST(read, answers_to_other_rounds_or_of_other_terms_confirm_nothing)
{
    uint64_t leader, term;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p;
    struct groupset_stats st;

    ask(lab, 1, 0, &p, 0, 0);
    lab_turn(lab, 1);
    lab_lose(lab);
    term = group_term(lab->node[1].g[0]);
    ack(lab, 2, 1, p.read.round - 1, term); /* an older round */
    ack(lab, 2, 1, p.read.round, term + 1); /* has promised a later term */
    ack(lab, 2, 1, p.read.round + 1, term); /* a round that was never asked */
    ack(lab, 9, 1, p.read.round, term);     /* no voter */
    lab_turn(lab, 1);
    CHECK_EQ(p.status, PENDING);
    groupset_get_stats(lab->node[1].gs, &st);
    CHECK_EQ(st.garbage, 1);
    ack(lab, 3, 1, p.read.round, term);
    lab_turn(lab, 1);
    CHECK_EQ(p.status, 0);
    lab_free(lab);
}

TEST(read, an_answer_states_the_term_on_disk)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    uint64_t term = group_term(lab->node[1].g[0]);
    struct raft_message m = { .type = RAFT_REQUEST_VOTE };
    struct probe p;

    lab->node[2].slow = true;
    m.request_vote = (struct raft_request_vote){ .term = term + 1,
                                                 .candidate_id = 3,
                                                 .last_log_index = 99,
                                                 .last_log_term = term,
                                                 .disrupt_leader = true };
    lab_inject(lab, 3, 2, 0, &m); /* node 2 votes, in memory */
    CHECK_EQ(group_term(lab->node[2].g[0]), term + 1);
    CHECK_EQ(group_durable_term(lab->node[2].g[0]), term);
    lab->cut[1][3] = lab->cut[3][1] = true;
    ask(lab, 1, 0, &p, 0, 0);
    lab_settle(lab);
    CHECK_EQ(p.status, 0); /* its vote has not left: nobody leads term + 1 */
    lab_sync(lab, 2);
    ask(lab, 1, 0, &p, 0, 0);
    lab_turn(lab, 1);
    lab_settle(lab);
    CHECK(p.status != 0);
    lab_free(lab);
}

TEST(read, a_read_waits_until_its_index_is_applied)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p;

    lab->node[1].slow = true;
    CHECK_EQ(lab_propose(lab, 1, 0, 7, 0), 0);
    lab_settle(lab);
    CHECK_EQ(group_commit(lab->node[1].g[0]), group_last(lab->node[1].g[0]));
    ask(lab, 1, 0, &p, 0, 0);
    lab_settle(lab);
    CHECK_EQ(p.status, PENDING); /* committed, not stored here */
    lab_sync(lab, 1);
    lab_settle(lab);
    CHECK_EQ(p.status, 0);
    CHECK_EQ(lab->node[1].fsm[0].n, 1);
    lab_free(lab);
}

TEST(read, rounds_in_flight_are_bounded_and_late_reads_share_the_next)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p[20];
    uint64_t before = lab_sent(lab, 1, FRAME_READ_PROBE);

    for (unsigned i = 0; i < 20; i++) {
        ask(lab, 1, 0, &p[i], 0, 0);
        lab_turn(lab, 1);
    }
    CHECK_EQ(lab_sent(lab, 1, FRAME_READ_PROBE),
             before + 2 * GROUP_READ_ROUNDS_MAX);
    lab_settle(lab);
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(p[i].status, 0);
    CHECK(lab_sent(lab, 1, FRAME_READ_PROBE) <=
          before + 2 * GROUP_READ_ROUNDS_MAX + 4);
    lab_free(lab);
}

TEST(read, stepping_down_fails_what_is_not_confirmed)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe p;

    lab_isolate(lab, 1);
    ask(lab, 1, 0, &p, 0, 0);
    lab_run(lab, 2500);
    CHECK(group_role(lab->node[1].g[0]) != GROUP_LEADER);
    CHECK_EQ(p.status, KV_ENOTLEADER);
    lab_free(lab);
}

TEST(read, a_cancelled_read_is_not_answered)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe a, b, c;

    ask(lab, 1, 0, &a, 0, 0);
    group_read_cancel(lab->node[1].g[0], &a.read);
    ask(lab, 1, 0, &b, 0, 0);
    lab_turn(lab, 1);
    group_read_cancel(lab->node[1].g[0], &b.read);
    ask(lab, 2, 0, &c, 0, 0);
    group_read_cancel(lab->node[2].g[0], &c.read);
    lab_run(lab, 500);
    CHECK_EQ(a.status, PENDING);
    CHECK_EQ(b.status, PENDING);
    CHECK_EQ(c.status, PENDING);
    lab_free(lab);
}

TEST(read, closing_answers_what_waits)
{
    uint64_t leader;
    struct lab *lab = elected(3, 1, &leader);
    struct probe a, b;

    ask(lab, 1, 0, &a, 0, 0);
    lab_turn(lab, 1);
    ask(lab, 1, 0, &b, 0, 0);
    lab_crash(lab, 1);
    CHECK_EQ(a.status, KV_ECANCELED);
    CHECK_EQ(b.status, KV_ECANCELED);
    lab_free(lab);
}
