/* The order that one connection sees. */
#include "lib/test.h"
#include "unit/router/lab.h"

static struct lab lab;

static struct shard *closed_shard(void)
{
    struct shard *s;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 0, LAB_ALL);
    s = shard_double(&lab, 0, 0);
    s->open = false;
    return s;
}

TEST(lane, a_read_waits_for_the_writes_before_it)
{
    struct shard *s = closed_shard();
    struct lab_req w1 = { .r = { .stream = 5 } };
    struct lab_req w2 = { .r = { .stream = 5 } };
    struct lab_req r = { .r = { .stream = 5 } };

    lab_submit_write(&lab, 0, &w1, 0, 1);
    lab_submit_write(&lab, 0, &w2, 0, 2);
    lab_submit_read(&lab, 0, &r, 0);
    lab_run(&lab);
    CHECK_EQ(s->n, 2); /* writes do not wait for each other */
    shard_double_execute(s, 1);
    lab_run(&lab);
    CHECK_EQ(s->n, 1);
    shard_double_execute(s, 1);
    lab_run(&lab);
    CHECK_EQ(s->n, 1);
    shard_double_execute(s, 1);
    CHECK_EQ(r.num, 2);
    lab_close(&lab);
}

TEST(lane, a_write_waits_for_the_reads_before_it)
{
    struct shard *s = closed_shard();
    struct lab_req r1 = { .r = { .stream = 5 } };
    struct lab_req r2 = { .r = { .stream = 5 } };
    struct lab_req w = { .r = { .stream = 5 } };
    struct lab_req r3 = { .r = { .stream = 5 } };

    lab_submit_read(&lab, 0, &r1, 0);
    lab_submit_read(&lab, 0, &r2, 0);
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_submit_read(&lab, 0, &r3, 0);
    lab_run(&lab);
    CHECK_EQ(s->n, 2);
    s->open = true;
    lab_run(&lab);
    CHECK_EQ(r1.num, 0);
    CHECK_EQ(r2.num, 0);
    CHECK_EQ(w.num, 0);
    CHECK_EQ(r3.num, 1);
    CHECK_EQ(r3.answers, 1);
    lab_close(&lab);
}

TEST(lane, streams_and_shards_do_not_wait_for_each_other)
{
    struct shard *s = closed_shard();
    struct lab_req w = { .r = { .stream = 5 } };
    struct lab_req other = { .r = { .stream = 6 } };
    struct lab_req none = { .r = { .stream = 0 } };
    struct lab_req elsewhere = { .r = { .stream = 5 } };

    lab_lead(&lab, 1, 0, LAB_ALL);
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_submit_read(&lab, 0, &other, 0);
    lab_submit_read(&lab, 0, &none, 0);
    lab_submit_read(&lab, 0, &elsewhere, 1);
    lab_run(&lab);
    CHECK_EQ(s->n, 3);
    CHECK_EQ(elsewhere.answers, 1);
    lab_close(&lab);
}

TEST(lane, a_held_write_gets_its_sequence_when_it_goes)
{
    struct shard *s = closed_shard();
    struct lab_req r = { .r = { .stream = 5 } };
    struct lab_req held = { .r = { .stream = 5 } };
    struct lab_req other = { .r = { .stream = 6 } };
    struct slice argv[4];
    struct op op;

    lab_submit_read(&lab, 0, &r, 0);
    lab_submit_write(&lab, 0, &held, 0, 1);
    lab_submit_write(&lab, 0, &other, 0, 2);
    lab_run(&lab);
    shard_double_execute(s, 2); /* other first: writes go before reads */
    lab_run(&lab);
    shard_double_peek(s, s->n - 1, &op, argv);
    CHECK_EQ(op.seq, 2);
    CHECK_EQ(op.low, 2);
    CHECK_EQ(get_u64le(op.argv[0].p), 1);
    lab_close(&lab);
}

TEST(lane, cancelling_what_is_held_or_what_holds_lets_the_rest_go)
{
    struct shard *s = closed_shard();
    struct lab_req w = { .r = { .stream = 5 } };
    struct lab_req r1 = { .r = { .stream = 5 } };
    struct lab_req r2 = { .r = { .stream = 5 } };

    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_submit_read(&lab, 0, &r1, 0);
    lab_submit_read(&lab, 0, &r2, 0);
    lab_run(&lab);
    router_cancel(lab.rt[0], &r1.r);
    router_cancel(lab.rt[0], &w.r);
    lab_run(&lab);
    CHECK_EQ(s->n, 1);
    shard_double_execute(s, 1);
    CHECK_EQ(r2.answers, 1);
    CHECK_EQ(r1.answers + w.answers, 0);
    CHECK(router_idle(lab.rt[0]));
    lab_close(&lab);
}

TEST(lane, held_requests_have_a_deadline_too)
{
    struct shard *s = closed_shard();
    struct lab_req w = { .r = { .stream = 5 } };
    struct lab_req r = { .r = { .stream = 5 } };
    struct lab_req w2 = { .r = { .stream = 5 } };

    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_submit_read(&lab, 0, &r, 0);
    lab_submit_write(&lab, 0, &w2, 0, 1);
    lab_advance(&lab, 5000);
    CHECK_EQ(w.num, OP_ERR_UNKNOWN);
    CHECK_EQ(r.num, OP_ERR_CLUSTERDOWN);
    CHECK_EQ(w2.num, OP_ERR_CLUSTERDOWN);
    CHECK_EQ(s->n, 0);
    lab_close(&lab);
}

TEST(lane, an_answer_from_before_that_of_an_earlier_read_does_not_count)
{
    struct shard *s = closed_shard();
    struct lab_req r1 = { .r = { .stream = 5 } };
    struct lab_req r2 = { .r = { .stream = 5 } };
    struct lab_req w = { .r = { .stream = 6 } };

    lab_submit_read(&lab, 0, &r1, 0);
    lab_submit_read(&lab, 0, &r2, 0);
    lab_run(&lab);
    CHECK_EQ(s->n, 2);
    shard_double_reject_first(s, 1, OP_ERR_NOT_LEADER);
    shard_double_execute(s, 1); /* r2, which sees nothing yet */
    CHECK_EQ(r2.answers, 0);
    lab_submit_write(&lab, 0, &w, 0, 1);
    lab_advance(&lab, 100);
    CHECK_EQ(s->n, 2); /* r2 is asked after r1 */
    s->open = true;
    lab_run(&lab);
    CHECK_EQ(w.answers, 1);
    CHECK_EQ(r1.num, 1);
    CHECK_EQ(r2.num, 1);
    CHECK_EQ(r1.answers + r2.answers, 2);
    CHECK(router_idle(lab.rt[0]));
    lab_close(&lab);
}

TEST(lane, a_read_answered_too_early_waits_for_the_one_before_it)
{
    struct shard *s = closed_shard();
    struct lab_req r1 = { .r = { .stream = 5 } };
    struct lab_req r2 = { .r = { .stream = 5 } };
    struct lab_req r3 = { .r = { .stream = 5 } };

    lab_submit_read(&lab, 0, &r1, 0);
    lab_submit_read(&lab, 0, &r2, 0);
    lab_submit_read(&lab, 0, &r3, 0);
    lab_run(&lab);
    CHECK_EQ(s->n, 3);
    shard_double_execute_last(s);
    shard_double_execute_last(s);
    lab_run(&lab);
    CHECK_EQ(s->n, 1); /* else they would run in circles while r1 is out */
    CHECK_EQ(r2.answers + r3.answers, 0);
    shard_double_execute(s, 1);
    lab_run(&lab);
    CHECK_EQ(r1.answers, 1);
    CHECK_EQ(s->n, 2);
    shard_double_execute(s, 2);
    CHECK_EQ(r2.answers + r3.answers, 2);
    CHECK(router_idle(lab.rt[0]));
    lab_close(&lab);
}

TEST(lane, a_read_that_waits_for_another_has_its_deadline)
{
    struct shard *s = closed_shard();
    struct lab_req r1 = { .r = { .stream = 5 } };
    struct lab_req r2 = { .r = { .stream = 5 } };

    lab_submit_read(&lab, 0, &r1, 0);
    lab_submit_read(&lab, 0, &r2, 0);
    lab_run(&lab);
    shard_double_execute_last(s);
    lab_advance(&lab, 5000);
    CHECK_EQ(r1.num, OP_ERR_CLUSTERDOWN);
    CHECK_EQ(r2.num, OP_ERR_CLUSTERDOWN);
    CHECK(router_idle(lab.rt[0]));
    lab_close(&lab);
}

TEST(lane, answers_of_an_earlier_attempt_at_a_read_do_not_count)
{
    struct shard *there;
    struct shard *here;
    struct lab_req r1 = { .r = { .stream = 5 } };
    struct lab_req r2 = { .r = { .stream = 5 } };

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, LAB_ALL);
    there = shard_double(&lab, 1, 0);
    there->open = false;
    here = shard_double(&lab, 0, 0);
    here->open = false;
    lab_submit_read(&lab, 0, &r1, 0);
    lab_submit_read(&lab, 0, &r2, 0);
    lab_run(&lab);
    CHECK_EQ(there->n, 2);
    lab.hold_net = true;
    shard_double_execute(there, 2);
    lab_turn(&lab);
    lab_lead(&lab, 0, 0, LAB_ALL); /* while the answers are under way */
    lab_run(&lab);
    CHECK_EQ(here->n, 2);
    lab.hold_net = false;
    lab_run(&lab);
    CHECK_EQ(r1.answers + r2.answers, 0); /* of an earlier attempt */
    here->open = true;
    lab_run(&lab);
    CHECK_EQ(r1.answers + r2.answers, 2);
    CHECK(router_idle(lab.rt[0]));
    lab_close(&lab);
}
