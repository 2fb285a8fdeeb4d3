/* What a caller of the router sees. */
#include <string.h>

#include "lib/test.h"
#include "unit/router/lab.h"

static struct lab lab;

static bool is_err(const struct lab_req *q, enum op_err err)
{
    return q->answers == 1 && q->type == OP_RES_ERR && q->num == (int64_t)err;
}

static bool is_int(const struct lab_req *q, int64_t num)
{
    return q->answers == 1 && q->type == OP_RES_INT && q->num == num;
}

static struct router_stats stats(unsigned node)
{
    struct router_stats st;

    router_get_stats(lab.rt[node], &st);
    return st;
}

TEST(router, a_write_is_executed_here_when_this_node_leads)
{
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 0, LAB_ALL);
    lab_submit_write(&lab, 0, &w, 0, 7);
    CHECK_EQ(w.answers, 0);
    lab_run(&lab);
    CHECK(is_int(&w, 0));
    CHECK_EQ(lab.log[0].e[0].tag, 7);
    CHECK_EQ(stats(0).local, 1);
    CHECK_EQ(stats(0).forwarded, 0);
    CHECK_EQ(lab.links[0].n_sent, 0);
    CHECK(router_idle(lab.rt[0]));
    CHECK_EQ(router_leader(lab.rt[1], 0), 1);
    lab_close(&lab);
}

TEST(router, a_write_is_forwarded_to_the_leader_and_its_result_comes_back)
{
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    lab_submit_write(&lab, 0, &w, 0, 7);
    lab_run(&lab);
    CHECK(is_int(&w, 0));
    CHECK_EQ(stats(0).forwarded, 1);
    CHECK_EQ(stats(2).served_for_peers, 1);
    CHECK_EQ(stats(0).retries, 0);
    CHECK(router_idle(lab.rt[0]));
    CHECK(router_idle(lab.rt[2]));
    lab_close(&lab);
}

TEST(router, requests_of_a_turn_travel_in_one_frame_a_peer)
{
    struct lab_req w[50];

    lab_init(&lab, 3);
    for (uint32_t s = 0; s < LAB_SHARDS; s++)
        lab_lead(&lab, s, 1, LAB_ALL);
    for (unsigned i = 0; i < 50; i++)
        lab_submit_write(&lab, 0, &w[i], i % LAB_SHARDS, i);
    lab_run(&lab);
    for (unsigned i = 0; i < 50; i++)
        CHECK_EQ(w[i].type, OP_RES_INT);
    CHECK_EQ(lab.links[0].n_sent, 1);
    CHECK_EQ(lab.links[1].n_sent, 1);
    lab_close(&lab);
}

TEST(router, a_forwarded_read_carries_the_durable_term_of_the_frames_time)
{
    struct shard *leader;
    struct lab_req r;
    const struct shard_req *sr;

    lab_init(&lab, 3);
    lab_lead(&lab, 1, 2, LAB_ALL);
    leader = shard_double(&lab, 2, 1);
    leader->open = false;
    shard_double(&lab, 0, 1)->durable_term = 4;
    lab_submit_read(&lab, 0, &r, 1);
    shard_double(&lab, 0, 1)->durable_term = 5;
    lab_run(&lab);
    CHECK_EQ(leader->n, 1);
    sr = LIST_FIRST(&leader->queue, struct shard_req, link);
    CHECK(!sr->write);
    CHECK_EQ(sr->witness, 1);
    CHECK_EQ(sr->witness_term, 5);
    shard_double_execute(leader, 1);
    lab_run(&lab);
    CHECK(is_int(&r, 0));
    lab_close(&lab);
}

TEST(router, a_node_without_a_replica_vouches_for_nothing)
{
    const struct directory_shard *d;
    struct shard *leader;
    struct lab_req r;
    unsigned outsider = 0;

    lab_init(&lab, 6);
    d = directory_shard(lab.dir, 1);
    while (shardset_find(&lab.shards[outsider], 1) != NULL)
        outsider++;
    leader = shard_double(&lab, (unsigned)d->replicas[0] - 1, 1);
    leader->open = false;
    lab_lead(&lab, 1, leader->node, LAB_ALL);
    lab_submit_read(&lab, outsider, &r, 1);
    lab_run(&lab);
    CHECK_EQ(leader->n, 1);
    CHECK_EQ(LIST_FIRST(&leader->queue, struct shard_req, link)->witness_term,
             0);
    lab_close(&lab);
    CHECK(is_err(&r, OP_ERR_CLUSTERDOWN));
}

TEST(router, an_unknown_shard_is_an_error_and_not_inside_submit)
{
    struct lab_req w;

    lab_init(&lab, 3);
    lab_submit_write(&lab, 0, &w, 4, 1);
    CHECK_EQ(w.answers, 0);
    lab_run(&lab);
    CHECK(is_err(&w, OP_ERR_BAD_OP));
    lab_close(&lab);
}

TEST(router, too_many_pending_requests_are_busy)
{
    struct lab_req w[4];

    lab_init(&lab, 3);
    router_stop(lab.rt[0]);
    router_free(lab.rt[0]);
    lab.rt[0] = NULL;
    lab.cfg.pending_max = 3;
    lab_start(&lab, 0);
    for (unsigned i = 0; i < 4; i++)
        lab_submit_write(&lab, 0, &w[i], 0, i);
    lab_run(&lab);
    CHECK_EQ(w[2].answers, 0);
    CHECK(is_err(&w[3], OP_ERR_BUSY));
    CHECK_EQ(stats(0).busy, 1);
    router_cancel(lab.rt[0], &w[0].r);
    lab_submit_write(&lab, 0, &w[3], 0, 3);
    lab_run(&lab);
    CHECK_EQ(w[3].answers, 0);
    lab_close(&lab);
}

TEST(router, too_many_pending_bytes_are_busy)
{
    struct lab_req w[2];

    lab_init(&lab, 3);
    router_stop(lab.rt[0]);
    router_free(lab.rt[0]);
    lab.rt[0] = NULL;
    lab.cfg.pending_bytes_max = 10;
    lab_start(&lab, 0);
    lab_submit_write(&lab, 0, &w[0], 0, 0);
    lab_submit_write(&lab, 0, &w[1], 0, 1);
    lab_run(&lab);
    CHECK_EQ(w[0].answers, 0);
    CHECK(is_err(&w[1], OP_ERR_BUSY));
    lab_close(&lab);
}

TEST(router, a_full_link_is_busy)
{
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    lab.links[0].full[2] = true;
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_run(&lab);
    CHECK(is_err(&w, OP_ERR_BUSY));
    lab_close(&lab);
}

TEST(router, busy_of_the_leader_is_passed_on)
{
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    shard_double(&lab, 2, 0)->open = false;
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_run(&lab);
    shard_double_reject(shard_double(&lab, 2, 0), OP_ERR_BUSY);
    lab_run(&lab);
    CHECK(is_err(&w, OP_ERR_BUSY));
    CHECK_EQ(lab.log[0].n, 0);
    lab_close(&lab);
}

TEST(router, busy_of_the_leader_is_not_the_answer_to_a_retry)
{
    struct shard *leader;
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    leader = shard_double(&lab, 2, 0);
    leader->open = false;
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_run(&lab);
    shard_double_execute_silently(leader, 1);
    shard_double_reject(leader, OP_ERR_UNKNOWN);
    lab_advance(&lab, 30);
    CHECK_EQ(leader->n, 1);
    shard_double_reject(leader, OP_ERR_BUSY);
    lab_run(&lab);
    CHECK_EQ(w.answers, 0);
    leader->open = true;
    lab_advance(&lab, 60);
    CHECK(is_int(&w, 0));
    CHECK_EQ(lab.log[0].n, 1);
    lab_close(&lab);
}

TEST(router, without_a_leader_requests_wait_and_then_are_clusterdown)
{
    struct lab_req w;
    struct lab_req r;

    lab_init(&lab, 3);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 3; j++)
            links_double_set(&lab, i, j, false);
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_submit_read(&lab, 0, &r, 0);
    lab_advance(&lab, 4999);
    CHECK_EQ(w.answers + r.answers, 0);
    lab_advance(&lab, 1);
    CHECK(is_err(&w, OP_ERR_CLUSTERDOWN));
    CHECK(is_err(&r, OP_ERR_CLUSTERDOWN));
    CHECK_EQ(stats(0).clusterdown, 2);
    CHECK(heap_min(&lab.timers) == NULL);
    lab_close(&lab);
}

TEST(router, a_write_that_a_leader_holds_is_unknown_at_the_deadline)
{
    struct lab_req w;
    struct lab_req r;
    struct lab_req here;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    lab_lead(&lab, 1, 0, LAB_ALL);
    shard_double(&lab, 2, 0)->open = false;
    shard_double(&lab, 0, 1)->open = false;
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_submit_read(&lab, 0, &r, 0);
    lab_submit_write(&lab, 0, &here, 1, 2);
    lab_advance(&lab, 5000);
    CHECK(is_err(&w, OP_ERR_UNKNOWN));
    CHECK(is_err(&r, OP_ERR_CLUSTERDOWN));
    CHECK(is_err(&here, OP_ERR_UNKNOWN));
    CHECK_EQ(stats(0).unknown, 2);
    CHECK_EQ(shard_double(&lab, 2, 0)->n, 0); /* it gave up as well */
    CHECK_EQ(shard_double(&lab, 0, 1)->n, 0);
    lab_close(&lab);
}

TEST(router, a_write_refused_everywhere_is_clusterdown_not_unknown)
{
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, 1u << 0); /* node 1 believes in node 2, wrongly */
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_advance(&lab, 5000);
    CHECK(is_err(&w, OP_ERR_CLUSTERDOWN));
    CHECK(stats(0).forwarded > 10);
    lab_close(&lab);
}

TEST(router, one_timer_serves_all_deadlines)
{
    struct lab_req w[1000];

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 0, LAB_ALL);
    for (unsigned i = 0; i < 1000; i++) {
        lab_submit_write(&lab, 0, &w[i], 0, i);
        lab_advance(&lab, 1);
    }
    CHECK(lab.timer_sets < 10);
    lab_close(&lab);
}

TEST(router, a_lost_session_makes_a_retry_unknown)
{
    struct shard *leader;
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    leader = shard_double(&lab, 2, 0);
    leader->open = false;
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_run(&lab);
    shard_double_reject(leader, OP_ERR_SESSION_LOST);
    lab_run(&lab);
    CHECK(is_err(&w, OP_ERR_UNKNOWN));
    lab_close(&lab);
}

TEST(router, low_is_the_lowest_sequence_without_an_answer)
{
    static const uint64_t expect_low[] = { 1, 1, 1 };
    struct shard *s;
    struct lab_req w[3];
    struct lab_req last;
    struct slice argv[4];
    struct op op;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 0, LAB_ALL);
    s = shard_double(&lab, 0, 0);
    s->open = false;
    for (unsigned i = 0; i < 3; i++)
        lab_submit_write(&lab, 0, &w[i], 0, i);
    lab_run(&lab);
    for (unsigned i = 0; i < 3; i++) {
        shard_double_peek(s, i, &op, argv);
        CHECK_EQ(op.seq, i + 1);
        CHECK_EQ(op.low, expect_low[i]);
    }
    shard_double_execute(s, 1);
    router_cancel(lab.rt[0], &w[1].r); /* as good as answered */
    lab_submit_write(&lab, 0, &last, 0, 3);
    lab_run(&lab);
    shard_double_peek(s, 1, &op, argv);
    CHECK_EQ(op.seq, 4);
    CHECK_EQ(op.low, 3);
    shard_double_execute(s, 2);
    lab_submit_write(&lab, 0, &w[0], 0, 4);
    lab_run(&lab);
    shard_double_peek(s, 0, &op, argv);
    CHECK_EQ(op.seq, 5);
    CHECK_EQ(op.low, 5);
    lab_close(&lab);
}

TEST(router, sequences_of_shards_are_separate_and_origins_of_processes_differ)
{
    struct shard *a;
    struct shard *b;
    struct lab_req w[3];
    struct slice argv[4];
    struct op op;
    uint64_t origin;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 0, LAB_ALL);
    lab_lead(&lab, 1, 0, LAB_ALL);
    a = shard_double(&lab, 0, 0);
    b = shard_double(&lab, 0, 1);
    a->open = b->open = false;
    lab_submit_write(&lab, 0, &w[0], 0, 1);
    lab_submit_write(&lab, 0, &w[1], 1, 1);
    lab_run(&lab);
    shard_double_peek(a, 0, &op, argv);
    CHECK_EQ(op.seq, 1);
    origin = op.origin;
    shard_double_peek(b, 0, &op, argv);
    CHECK_EQ(op.seq, 1);
    CHECK_EQ(op.origin, origin);
    router_stop(lab.rt[0]);
    router_free(lab.rt[0]);
    lab.rt[0] = NULL;
    lab_start(&lab, 0);
    lab_lead(&lab, 0, 0, LAB_ALL);
    lab_submit_write(&lab, 0, &w[2], 0, 1);
    lab_run(&lab);
    shard_double_peek(a, 0, &op, argv);
    CHECK_EQ(op.seq, 1);
    CHECK(op.origin != origin);
    lab_close(&lab);
}

TEST(router, a_cancelled_request_is_never_answered)
{
    struct shard *leader;
    struct lab_req unsent;
    struct lab_req sent;
    struct lab_req here;
    struct lab_req refused;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    lab_lead(&lab, 1, 0, LAB_ALL);
    leader = shard_double(&lab, 2, 0);
    leader->open = false;
    shard_double(&lab, 0, 1)->open = false;
    lab_submit_write(&lab, 0, &sent, 0, 1);
    lab_submit_write(&lab, 0, &here, 1, 1);
    lab_run(&lab);
    lab_submit_write(&lab, 0, &unsent, 0, 2);
    lab_submit_write(&lab, 0, &refused, 77, 2);
    router_cancel(lab.rt[0], &unsent.r);
    router_cancel(lab.rt[0], &sent.r);
    router_cancel(lab.rt[0], &here.r);
    router_cancel(lab.rt[0], &refused.r);
    CHECK(router_idle(lab.rt[0]));
    shard_double_execute(leader, 1); /* its result finds nobody */
    lab_advance(&lab, 6000);
    CHECK_EQ(unsent.answers + sent.answers + here.answers + refused.answers, 0);
    CHECK_EQ(shard_double(&lab, 0, 1)->n, 0);
    CHECK_EQ(lab.log[0].n, 1);
    lab_close(&lab);
}

TEST(router, stopping_answers_everything)
{
    struct lab_req w[3];
    struct lab_req r;
    struct lab_req late;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    lab_lead(&lab, 1, 0, LAB_ALL);
    shard_double(&lab, 2, 0)->open = false;
    shard_double(&lab, 0, 1)->open = false;
    lab_submit_write(&lab, 0, &w[0], 0, 1);
    lab_submit_write(&lab, 0, &w[1], 1, 1);
    lab_submit_read(&lab, 0, &r, 0);
    lab_run(&lab);
    lab_submit_write(&lab, 0, &w[2], 2, 1); /* no leader */
    lab_submit_write(&lab, 0, &late, 99, 1);
    router_stop(lab.rt[0]);
    CHECK(is_err(&w[0], OP_ERR_UNKNOWN));
    CHECK(is_err(&w[1], OP_ERR_UNKNOWN));
    CHECK(is_err(&w[2], OP_ERR_CLUSTERDOWN));
    CHECK(is_err(&r, OP_ERR_CLUSTERDOWN));
    CHECK(is_err(&late, OP_ERR_BAD_OP));
    lab_submit_write(&lab, 0, &late, 0, 1);
    CHECK_EQ(late.answers, 0);
    router_turn(lab.rt[0]);
    CHECK(is_err(&late, OP_ERR_CLUSTERDOWN));
    lab_close(&lab);
}

TEST(router, a_key_belongs_to_the_shard_of_its_slot)
{
    struct slice key = slice_str("foo");

    lab_init(&lab, 3);
    CHECK_EQ(router_shard_of(lab.rt[0], key),
             directory_shard_of_slot(lab.dir, slot_of_key(key)));
    lab_close(&lab);
}
