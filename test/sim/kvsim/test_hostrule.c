/* What the host rules promise, against violations planted by hand. */
#include <string.h>

#include "group/group_wire.h"
#include "kvsim/stage.h"
#include "lib/test.h"
#include "peer/frame.h"

static void sends(struct stage *st, unsigned from, unsigned to,
                  const struct raft_message *m)
{
    struct frame *f = wire_encode(0, m);
    struct slice parts[4];
    unsigned n;

    frame_seal(f);
    n = frame_parts(f, parts, 4);
    for (unsigned i = 0; i < n; i++)
        promise__sent(st->t, from * 10 + to, from, to, parts[i], false);
    frame_free(f);
}

static struct raft_message refusal(uint64_t term)
{
    struct raft_message m = { .type = RAFT_REQUEST_VOTE_RESULT };

    m.request_vote_result.term = term;
    m.request_vote_result.pre_vote = true;
    return m;
}

static struct raft_message ack(uint64_t term, uint64_t index)
{
    struct raft_message m = { .type = RAFT_APPEND_ENTRIES_RESULT };

    m.append_entries_result.term = term;
    m.append_entries_result.last_log_index = index;
    return m;
}

TEST(hostrule, a_term_that_no_candidate_has_begun_is_seen)
{
    struct stage *st = stage_new();

    st->s->begun_term = 1;
    stage_term(st, 1, 2, RAFT_CANDIDATE);
    st->node[1].g.r.voted_for = 1;
    watch__look(st->s, 1);
    stage_term(st, 2, 2, RAFT_FOLLOWER);
    watch__look(st->s, 2);
    stage_fine(st);
    stage_term(st, 2, 3, RAFT_FOLLOWER);
    watch__look(st->s, 2);
    stage_said(st, "node 2 is in term 3, which no candidate has begun");
    stage_free(st);
}

TEST(hostrule, a_leader_that_serves_before_an_entry_of_its_term_is_seen)
{
    struct stage *st = stage_new();
    struct group *g = &st->node[1].g;

    stage_term(st, 1, 2, RAFT_LEADER);
    g->barrier_term = 2;
    g->barrier_index = 2;
    stage_append_all(st, 2, "a");
    stage_fine(st);
    g->barrier_index = 0;
    stage_term(st, 1, 3, RAFT_LEADER);
    g->barrier_term = 3;
    watch__look(st->s, 1);
    stage_said(st, "node 1 serves as leader of term 3");
    stage_free(st);
}

/* A CHANGE in the log of node 1, which leads term 2, with node 3 in this role. */
static void append_change(struct stage *st, uint64_t term, int role)
{
    struct group *g = &st->node[1].g;
    struct raft_configuration conf;
    struct raft_buffer b;
    struct blob *blob;
    char address[2] = "0";

    raft_configuration_init(&conf);
    for (unsigned i = 1; i <= STAGE_NODES; i++) {
        address[0]++;
        CHECK_EQ(raft_configuration_add(&conf, i, address,
                                        i == 3 ? role : RAFT_VOTER), 0);
    }
    CHECK_EQ(raft_configuration_encode(&conf, &b), 0);
    blob = blob_copy(slice_make(b.base, b.len));
    raft_free(b.base);
    raft_configuration_close(&conf);
    g->r.configuration.servers[2].role = role;
    log__append(&g->log, (struct gent){ .term = term,
                                        .blob = blob,
                                        .len = blob->len,
                                        .type = RAFT_CHANGE });
    g->r.last_stored = log__last(&g->log);
}

TEST(hostrule, a_promotion_of_who_lacks_entries_is_seen)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    append_change(st, 2, RAFT_STANDBY);
    watch__look(st->s, 1);
    stage_fine(st);
    append_change(st, 2, RAFT_VOTER);
    watch__look(st->s, 1);
    stage_said(st, "makes node 3 a voter, which has only 1 entries durable");
    stage_free(st);
}

TEST(hostrule, a_configuration_in_use_that_is_not_the_last_of_the_log_is_seen)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    append_change(st, 2, RAFT_STANDBY);
    watch__look(st->s, 1);
    stage_fine(st);
    append_change(st, 2, RAFT_STANDBY);
    st->node[1].g.r.configuration.servers[2].role = RAFT_VOTER;
    watch__look(st->s, 1);
    stage_said(st, "node 1 uses another configuration than the last one in "
                   "its log, entry 3");
    stage_free(st);
}

TEST(hostrule, a_lower_term_than_was_told_before_is_seen)
{
    struct stage *st = stage_new();
    struct raft_message m = ack(5, 1), refused = refusal(3);

    stage_term(st, 2, 5, RAFT_FOLLOWER);
    watch__look(st->s, 2);
    sends(st, 2, 1, &m);
    sends(st, 2, 3, &refused);
    stage_fine(st);
    sends(st, 2, 1, &refused);
    stage_said(st, "node 2 tells node 1 term 3 in the refusal of a pre-vote");
    stage_free(st);
}

TEST(hostrule, refusals_that_go_back_one_by_one_are_seen)
{
    struct stage *st = stage_new();
    struct raft_message m = ack(1, 0);

    for (uint64_t i = 20; i > 16; i--) {
        m.append_entries_result.rejected = i;
        sends(st, 2, 1, &m);
    }
    stage_fine(st);
    m.append_entries_result.rejected = 16;
    sends(st, 2, 1, &m);
    stage_said(st, "node 2 refuses entry after entry of node 1");
    stage_free(st);
}

TEST(hostrule, a_refusal_for_the_sake_of_a_silent_leader_is_seen)
{
    struct stage *st = stage_new();
    struct raft_message refused = { .type = RAFT_REQUEST_VOTE_RESULT };
    struct group *g = &st->node[2].g;

    refused.request_vote_result.term = 1;
    st->node[2].gs.env = st->set.env;
    g->r.election_timeout = 100;
    g->r.follower_state.current_leader.id = 1;
    list_init(&g->held);
    g->heard_ms = env_now_ms(st->set.env);
    sends(st, 2, 3, &refused);
    stage_fine(st);
    g->heard_ms -= 1000;
    st->s->view[2].gated = true; /* it may have waited */
    sends(st, 2, 3, &refused);
    stage_fine(st);
    st->s->view[2].gated = false;
    sends(st, 2, 3, &refused);
    stage_said(st, "node 2 refuses its vote to node 3, for it remembers "
                   "leader 1");
    stage_free(st);
}
