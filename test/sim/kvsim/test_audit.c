/* The audit against what it must find: states that are not what the log says, keys
 * that outlive their deadline, histories that are not linearizable. */
#include <string.h>

#include "kvsim/stage.h"
#include "lib/test.h"

/* Two entries that all applied, by the leader of term 2. */
static struct stage *applied(void)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    watch__look(st->s, 1);
    stage_apply_all(st, 2, 2, stage_set(st, "k", "a", 0));
    stage_apply_all(st, 3, 2, stage_set(st, "k", "b", 0));
    stage_fine(st);
    return st;
}

TEST(audit, states_that_are_what_the_log_says_are_fine)
{
    struct stage *st = applied();

    replay__all(st->t);
    stage_fine(st);
    stage_free(st);
}

TEST(audit, a_state_on_the_way_that_the_log_does_not_give_is_seen)
{
    struct stage *st = applied();

    st->s->digests[2].digest ^= 1;
    replay__all(st->t);
    stage_said(st, "shard 0: node 1 had digest");
    stage_free(st);
}

TEST(audit, a_state_at_the_end_that_the_log_does_not_give_is_seen)
{
    struct stage *st = applied();
    struct fsm *f = fsm_new(1);

    fsm_apply(f, 3, stage_set(st, "k", "c", 0), NULL, NULL);
    fsm_free(st->s->view[2].fsm);
    st->s->view[2].fsm = f;
    replay__all(st->t);
    stage_said(st, "shard 0: node 2 had digest");
    stage_free(st);
}

TEST(audit, a_committed_entry_that_was_in_no_log_is_seen)
{
    struct stage *st = applied();

    ledger_commit(&st->s->ledger, 1, 4, 2);
    replay__all(st->t);
    stage_said(st, "committed entry 4 of term 2 was in nobody's log");
    stage_free(st);
}

static struct oracle_op set_of(const char *value, enum oracle_outcome outcome)
{
    return (struct oracle_op){ .f = ORACLE_SET,
                               .outcome = outcome,
                               .call = 1,
                               .ret = ORACLE_NEVER,
                               .key = slice_str("k"),
                               .arg = slice_str(value) };
}

TEST(audit, what_became_of_writes_of_unknown_outcome_is_counted)
{
    struct stage *st = applied();
    struct oracle_op seen = set_of("b", ORACLE_UNKNOWN);
    struct oracle_op lost = set_of("c", ORACLE_UNKNOWN);

    lost.process = 1;
    history_call(st->w.history, &seen);
    history_call(st->w.history, &lost);
    replay__all(st->t);
    CHECK_EQ(cover_counts[COVER_unknown_applied], 1);
    CHECK_EQ(cover_counts[COVER_unknown_lost], 1);
    stage_free(st);
}

TEST(audit, a_key_with_a_deadline_that_outlives_its_leader_is_counted)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    watch__look(st->s, 1);
    stage_apply_all(st, 2, 2, stage_set(st, "k", "a", 500));
    stage_term(st, 1, 3, RAFT_LEADER);
    watch__look(st->s, 1);
    stage_apply_all(st, 3, 3, stage_set(st, "other", "b", 0));
    stage_fine(st);
    replay__all(st->t);
    stage_fine(st);
    CHECK_EQ(cover_counts[COVER_ttl_across_failover], 1);
    stage_free(st);
}

/* ---- deadlines ---- */

TEST(audit, a_key_may_go_early_by_what_clocks_differ_and_no_more)
{
    struct stage *st = stage_new();

    st->t->ahead_min = st->t->ahead_max = 7;
    CHECK_EQ(audit__margins(st->t).early, 1000);
    CHECK_EQ(audit__margins(st->t).late, 2000000);
    st->t->ahead_max = 507;
    CHECK_EQ(audit__margins(st->t).early, 501000);
    st->w.plan.faults = UINT64_C(1) << FAULT_clock_drift;
    CHECK_EQ(audit__margins(st->t).early, 1001000);
    CHECK(audit__margins(st->t).late == ORACLE_NEVER);
    stage_free(st);
}

/* Node 1 leads, is ready, and has a key that is due at 1500 ms of shard clock; its
 * wall clock is years ahead of that. */
static struct stage *overdue(void)
{
    struct stage *st = stage_new();
    struct group *g = &st->node[1].g;

    stage_term(st, 1, 2, RAFT_LEADER);
    watch__look(st->s, 1);
    stage_apply_all(st, 2, 2, stage_set(st, "k", "a", 500));
    g->barrier_term = 2;
    g->barrier_index = 2;
    CHECK(group_ready(g));
    st->shard.fsm = st->s->view[1].fsm;
    st->t->ahead_min = st->t->ahead_max = 0;
    return st;
}

TEST(audit, a_key_that_outlives_its_deadline_after_the_faults_is_seen)
{
    struct stage *st = overdue();

    watch_audit(st->t);
    stage_said(st, "it has a key with deadline 1500 that no TICK has removed");
    stage_free(st);
}

TEST(audit, a_key_that_is_due_on_a_follower_is_its_leaders_business)
{
    struct stage *st = overdue();

    stage_term(st, 1, 2, RAFT_FOLLOWER);
    watch_audit(st->t);
    stage_fine(st);
    stage_free(st);
}

/* ---- clients ---- */

static void operation(struct stage *st, struct oracle_op op, uint64_t call,
                      uint64_t ret, const char *read)
{
    struct oracle_value v = { .nil = false };
    size_t n;

    op.call = call;
    if (read != NULL)
        v.bytes = slice_str(read);
    n = history_call(st->w.history, &op);
    history_return(st->w.history, n, ORACLE_OK, ret, read != NULL, v, 0);
}

TEST(audit, a_history_that_is_not_linearizable_is_seen)
{
    struct stage *st = applied();
    struct oracle_op set = set_of("a", ORACLE_OPEN), get = set;

    st->t->ahead_min = st->t->ahead_max = 0;
    get.f = ORACLE_GET;
    get.arg = slice_make(NULL, 0);
    operation(st, set, 1, 2, NULL);
    set.arg = slice_str("b");
    operation(st, set, 3, 4, NULL);
    operation(st, get, 5, 6, "a");
    watch_audit(st->t);
    stage_said(st, "not linearizable");
    stage_free(st);
}
