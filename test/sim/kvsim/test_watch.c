/* Each invariant of the watch against a violation of it, planted by hand: groups
 * that are only fields, and bytes as they would leave a node. */
#include <string.h>

#include "base/mem.h"
#include "group/group_wire.h"
#include "kvsim/stage.h"
#include "lib/test.h"

/* ---- bytes that leave ---- */

static void sends(struct stage *st, unsigned from, unsigned to,
                  struct frame *f, size_t piece)
{
    struct slice parts[4];
    unsigned n;

    frame_seal(f);
    n = frame_parts(f, parts, 4);
    for (unsigned i = 0; i < n; i++)
        for (size_t at = 0; at < parts[i].n; at += piece) {
            size_t k = parts[i].n - at < piece ? parts[i].n - at : piece;

            promise__sent(st->t, from * 10 + to, from, to,
                          slice_make(parts[i].p + at, k), false);
        }
    frame_free(f);
}

static void sends_message(struct stage *st, unsigned from, unsigned to,
                          const struct raft_message *m)
{
    sends(st, from, to, wire_encode(0, m), SIZE_MAX);
}

static struct raft_message vote(uint64_t term, bool granted)
{
    struct raft_message m = { .type = RAFT_REQUEST_VOTE_RESULT };

    m.request_vote_result.term = term;
    m.request_vote_result.vote_granted = granted;
    return m;
}

static struct raft_message ack(uint64_t term, uint64_t index)
{
    struct raft_message m = { .type = RAFT_APPEND_ENTRIES_RESULT };

    m.append_entries_result.term = term;
    m.append_entries_result.last_log_index = index;
    return m;
}

/* ---- V1 to V7 ---- */

TEST(watch, an_honest_election_commit_and_restart_are_fine)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    watch__look(st->s, 1);
    stage_append_all(st, 2, "a");
    stage_append_all(st, 2, "b");
    st->node[1].g.commit_max = 3;
    watch__look(st->s, 1);
    stage_starts(st, 2);
    stage_fine(st);
    CHECK_EQ(ledger_committed(&st->s->ledger, 3), 2);
    stage_free(st);
}

TEST(watch, two_leaders_of_one_term_are_seen)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    watch__look(st->s, 1);
    stage_term(st, 2, 2, RAFT_LEADER);
    watch__look(st->s, 2);
    stage_said(st, "shard 0: two leaders in term 2: nodes 1 and 2");
    stage_free(st);
}

TEST(watch, an_entry_with_two_payloads_is_seen)
{
    struct stage *st = stage_new();

    stage_append(st, 1, 2, "a");
    watch__look(st->s, 1);
    stage_append(st, 2, 2, "A");
    watch__look(st->s, 2);
    stage_said(st, "log matching: entry 2 of term 2 on node 2");
    stage_free(st);
}

TEST(watch, an_entry_behind_two_terms_is_seen)
{
    struct stage *st = stage_new();

    stage_append(st, 1, 2, "a");
    stage_append(st, 1, 3, "b");
    watch__look(st->s, 1);
    stage_append(st, 2, 1, "c");
    stage_append(st, 2, 3, "b");
    watch__look(st->s, 2);
    stage_said(st, "behind one of term 1");
    stage_free(st);
}

TEST(watch, a_committed_entry_that_is_another_elsewhere_is_seen)
{
    struct stage *st = stage_committed();

    log__truncate(&st->node[3].g.log, 2);
    stage_append(st, 3, 3, "x");
    st->node[3].g.commit_max = 2;
    watch__look(st->s, 3);
    stage_said(st, "entry 2 was committed with term 2, and node 3 holds it "
                   "committed with term 3");
    stage_free(st);
}

TEST(watch, a_leader_without_a_committed_entry_is_seen)
{
    struct stage *st = stage_committed();

    log__truncate(&st->node[3].g.log, 2);
    st->node[3].g.r.last_stored = 1;
    stage_term(st, 3, 3, RAFT_LEADER);
    watch__look(st->s, 3);
    stage_said(st, "node 3 leads term 3 without the committed entry 2");
    stage_free(st);
}

TEST(watch, a_leader_of_a_term_that_is_over_may_lack_what_came_later)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 3, RAFT_LEADER);
    watch__look(st->s, 1);
    stage_append_all(st, 3, "a");
    st->node[1].g.commit_max = 2;
    watch__look(st->s, 1);
    log__truncate(&st->node[3].g.log, 2);
    st->node[3].g.r.last_stored = 1;
    stage_term(st, 3, 2, RAFT_LEADER);
    watch__look(st->s, 3);
    stage_fine(st);
    stage_free(st);
}

TEST(watch, a_commit_that_no_majority_has_durable_is_seen)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    stage_append(st, 1, 2, "a");
    st->node[1].g.commit_max = 2;
    watch__look(st->s, 1);
    stage_said(st, "which 1 of 3 voters have durable");
    stage_free(st);
}

TEST(watch, a_stand_by_does_not_count_towards_a_majority)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    watch__look(st->s, 1);
    st->node[1].servers[1].role = RAFT_STANDBY;
    stage_append(st, 1, 2, "a");
    stage_append(st, 2, 2, "a");
    watch__look(st->s, 2);
    st->node[1].g.commit_max = 2;
    watch__look(st->s, 1);
    stage_said(st, "which 1 of 2 voters have durable");
    stage_free(st);
}

TEST(watch, an_entry_of_an_older_term_committed_by_counting_is_seen)
{
    struct stage *st = stage_new();

    stage_append_all(st, 2, "a");
    stage_term(st, 1, 4, RAFT_LEADER);
    watch__look(st->s, 1);
    st->node[1].g.commit_max = 2;
    watch__look(st->s, 1);
    stage_said(st, "leader of term 4, committed entry 2 of term 2 by counting");
    stage_free(st);
}

TEST(watch, an_entry_applied_before_it_is_committed_is_seen)
{
    struct stage *st = stage_committed();

    stage_append_all(st, 2, "b");
    st->node[2].g.commit_max = 2;
    st->node[2].g.applied = 3;
    watch__look(st->s, 2);
    stage_said(st, "node 2 has applied entry 3");
    stage_free(st);
}

TEST(watch, a_committed_entry_that_is_cut_off_is_seen)
{
    struct stage *st = stage_committed();

    log__truncate(&st->node[1].g.log, 2);
    watch__look(st->s, 1);
    stage_said(st, "node 1 cut its log behind entry 1 and had held entry 2 "
                   "committed");
    stage_free(st);
}

TEST(watch, different_states_at_one_index_are_seen)
{
    struct stage *st = stage_committed();

    for (unsigned i = 1; i <= 2; i++) {
        struct slice batch = stage_set(st, "k", i == 1 ? "a" : "b", 0);

        CHECK_EQ(fsm_apply(st->s->view[i].fsm, 2, batch, NULL, NULL), 0);
        st->node[i].g.commit_max = 2;
        st->node[i].g.applied = 2;
        watch__look(st->s, i);
    }
    stage_said(st, "nodes 1 and 2 have applied entry 2 and have digests");
    stage_free(st);
}

TEST(watch, a_durable_entry_that_a_crash_lost_is_seen)
{
    struct stage *st = stage_committed();

    log__truncate(&st->node[2].g.log, 2);
    stage_starts(st, 2);
    stage_said(st, "node 2 had entries up to 2 (of term 2) durable, and after "
                   "its restart has the first 1 of them");
    stage_free(st);
}

TEST(watch, an_entry_that_was_not_durable_may_be_lost_in_a_crash)
{
    struct stage *st = stage_committed();

    stage_append(st, 2, 2, "b");
    st->node[2].g.r.last_stored = 2;
    watch__look(st->s, 2);
    log__truncate(&st->node[2].g.log, 3);
    stage_starts(st, 2);
    stage_fine(st);
    stage_free(st);
}

TEST(watch, a_term_that_a_crash_took_back_is_seen)
{
    struct stage *st = stage_new();
    struct raft_message m = vote(5, false);

    stage_term(st, 2, 5, RAFT_FOLLOWER);
    watch__look(st->s, 2);
    sends_message(st, 2, 1, &m);
    stage_fine(st);
    st->node[2].g.r.current_term = 4;
    stage_starts(st, 2);
    stage_said(st, "node 2 stated term 5, and is in term 4 after its restart");
    stage_free(st);
}

/* ---- P1 to P3 ---- */

static struct stage *voted(unsigned candidate, uint64_t term)
{
    struct stage *st = stage_new();
    struct raft_message m = vote(term, true);

    stage_term(st, 2, term, RAFT_FOLLOWER);
    st->node[2].g.r.voted_for = candidate;
    watch__look(st->s, 2);
    sends_message(st, 2, candidate, &m);
    stage_fine(st);
    return st;
}

TEST(watch, a_vote_that_a_crash_forgot_is_seen)
{
    struct stage *st = voted(1, 5);

    st->node[2].g.r.voted_for = 0;
    stage_starts(st, 2);
    stage_said(st, "node 2 voted for node 1 in term 5, and for node 0 after "
                   "its restart");
    stage_free(st);
}

TEST(watch, a_vote_that_leaves_before_it_is_durable_is_seen)
{
    struct stage *st = stage_new();
    struct raft_message m = vote(5, true);

    stage_term(st, 2, 5, RAFT_FOLLOWER);
    st->node[2].g.meta_lsn = 100;
    st->wal.synced = 99;
    watch__look(st->s, 2);
    sends_message(st, 2, 1, &m);
    stage_said(st, "node 2 votes for node 1 in term 5 before its vote is "
                   "durable");
    stage_free(st);
}

TEST(watch, a_vote_that_is_recorded_twice_may_leave_after_the_first_record)
{
    struct stage *st = stage_new();
    struct raft_message m = vote(5, true);

    stage_term(st, 2, 5, RAFT_FOLLOWER);
    st->node[2].g.r.voted_for = 1;
    st->node[2].g.meta_lsn = 99;
    watch__look(st->s, 2);
    st->node[2].g.meta_lsn = 100;
    st->wal.synced = 99;
    watch__look(st->s, 2);
    sends_message(st, 2, 1, &m);
    stage_fine(st);
    stage_free(st);
}

TEST(watch, two_votes_in_one_term_are_seen)
{
    struct stage *st = voted(1, 5);
    struct raft_message m = vote(5, true);

    sends_message(st, 2, 3, &m);
    stage_said(st, "node 2 voted in term 5 for node 1 and for node 3");
    stage_free(st);
}

TEST(watch, asking_for_votes_is_a_vote_for_oneself)
{
    struct stage *st = voted(1, 5);
    struct raft_message m = { .type = RAFT_REQUEST_VOTE };

    m.request_vote.term = 5;
    m.request_vote.candidate_id = 2;
    sends_message(st, 2, 3, &m);
    stage_said(st, "node 2 voted in term 5 for node 1 and for node 2");
    stage_free(st);
}

TEST(watch, a_pre_vote_promises_nothing)
{
    struct stage *st = stage_new();
    struct raft_message m = vote(9, true);

    m.request_vote_result.pre_vote = true;
    sends_message(st, 2, 1, &m);
    sends_message(st, 2, 3, &m);
    stage_fine(st);
    CHECK_EQ(st->s->view[2].said_term, 0);
    stage_free(st);
}

TEST(watch, a_term_stated_before_it_is_durable_is_seen)
{
    struct stage *st = stage_new();
    struct raft_message m = ack(5, 0);

    st->node[2].g.r.current_term = 5;
    watch__look(st->s, 2);
    sends_message(st, 2, 1, &m);
    stage_said(st, "node 2 states term 5 in an answer to a leader, and has "
                   "only term 1 durable");
    stage_free(st);
}

TEST(watch, an_acknowledgement_of_what_is_not_durable_is_seen)
{
    struct stage *st = stage_new();
    struct raft_message m = ack(2, 2);

    stage_term(st, 2, 2, RAFT_FOLLOWER);
    stage_append(st, 2, 2, "a");
    st->node[2].g.r.last_stored = 1;
    watch__look(st->s, 2);
    sends_message(st, 2, 1, &m);
    stage_said(st, "node 2 acknowledges entry 2, and calls only entry 1 "
                   "durable");
    stage_free(st);
}

TEST(watch, an_acknowledged_entry_that_a_crash_lost_is_seen)
{
    struct stage *st = stage_new();
    struct raft_message m = ack(2, 2);

    stage_term(st, 2, 2, RAFT_FOLLOWER);
    stage_append(st, 2, 2, "a");
    watch__look(st->s, 2);
    sends_message(st, 2, 1, &m);
    log__truncate(&st->node[2].g.log, 2);
    stage_starts(st, 2);
    stage_said(st, "node 2 had entries up to 2 (of term 2) durable");
    stage_free(st);
}

static struct frame *append_entries(uint64_t term, unsigned n)
{
    const struct raft_append_entries ae = { .term = term, .n_entries = n };
    struct frame *f = wire_encode_ae(0, &ae);

    for (unsigned i = 0; i < n; i++) {
        struct blob *b = blob_new(1000);

        memset(b->data, 0xff, b->len);
        wire_put_entry(f, term, RAFT_COMMAND, b);
        blob_unref(b);
    }
    return f;
}

TEST(watch, append_entries_of_two_nodes_in_one_term_are_seen)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    stage_term(st, 2, 2, RAFT_FOLLOWER);
    sends(st, 1, 3, append_entries(2, 0), SIZE_MAX);
    sends(st, 2, 3, append_entries(2, 0), SIZE_MAX);
    stage_said(st, "two leaders in term 2");
    stage_free(st);
}

TEST(watch, frames_are_found_however_the_stream_is_cut)
{
    static const size_t pieces[] = { 1, 2, 15, 16, 17, 96, 1000 };

    for (unsigned i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct stage *st = voted(1, 5);
        struct raft_message m = vote(5, true);

        stage_term(st, 2, 5, RAFT_LEADER);
        sends(st, 2, 3, append_entries(5, 3), pieces[i]);
        sends(st, 2, 3, frame_new(FRAME_PING, FRAME_GROUP_NODE), pieces[i]);
        stage_fine(st);
        sends(st, 2, 3, wire_encode(0, &m), pieces[i]);
        stage_said(st, "node 2 voted in term 5");
        stage_free(st);
    }
}

TEST(watch, an_answer_to_a_read_round_states_its_terms)
{
    struct stage *st = stage_new();
    struct frame *f = frame_new(FRAME_READ_ACK, FRAME_GROUP_NODE);

    buf_put_u8(&f->body, 1);
    buf_put_varint(&f->body, 77);
    buf_put_varint(&f->body, 0);
    buf_put_varint(&f->body, 3);
    sends(st, 2, 1, f, 5);
    stage_said(st, "node 2 states term 3 in an answer to a read round");
    stage_free(st);
}
