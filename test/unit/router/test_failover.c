/* Leaders change, links break, processes die: each write happens once, in order. */
#include <string.h>

#include "lib/test.h"
#include "unit/router/lab.h"

static struct lab lab;

static struct router_stats stats(unsigned node)
{
    struct router_stats st;

    router_get_stats(lab.rt[node], &st);
    return st;
}

/* The log of the shard holds tags 0..n-1 in this order. */
static void expect_log(uint32_t shard, unsigned n)
{
    CHECK_EQ(lab.log[shard].n, n);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(lab.log[shard].e[i].tag, i);
}

static void expect_answers(const struct lab_req *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        CHECK_EQ(w[i].answers, 1);
        CHECK_EQ(w[i].type, OP_RES_INT);
        CHECK_EQ(w[i].num, i);
    }
}

/* Node 1 leads shard 0 and holds what it gets; node `from` sends it n writes. */
static struct shard *hold_writes(unsigned from, struct lab_req *w, unsigned n)
{
    struct shard *s;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, LAB_ALL);
    s = shard_double(&lab, 1, 0);
    s->open = false;
    for (unsigned i = 0; i < n; i++)
        lab_submit_write(&lab, from, &w[i], 0, i);
    lab_run(&lab);
    CHECK_EQ(s->n, n);
    return s;
}

TEST(failover, forwarded_writes_go_to_the_next_leader_in_order_as_retries)
{
    struct lab_req w[5];
    struct shard *old = hold_writes(0, w, 5);
    struct shard *next = shard_double(&lab, 2, 0);
    struct slice argv[4];
    struct op op;

    next->open = false;
    shard_double_execute_silently(old, 2); /* two are in the log */
    lab_lead(&lab, 0, 2, LAB_ALL);
    shard_double_reject(old, OP_ERR_UNKNOWN);
    lab_run(&lab);
    CHECK_EQ(next->n, 5);
    for (unsigned i = 0; i < 5; i++) {
        shard_double_peek(next, i, &op, argv);
        CHECK_EQ(op.seq, i + 1);
        CHECK((op.flags & OP_RETRY) != 0);
    }
    shard_double_execute(next, 5);
    lab_run(&lab);
    expect_log(0, 5);
    expect_answers(w, 5);
    CHECK_EQ(lab.log[0].retries, 2);
    CHECK_EQ(stats(0).retries, 5);
    lab_close(&lab);
}

TEST(failover, own_writes_go_to_the_next_leader_in_order_after_all_came_back)
{
    struct lab_req w[6];
    struct shard *old = hold_writes(1, w, 5);

    shard_double_execute_silently(old, 3);
    lab_lead(&lab, 0, 2, LAB_ALL);
    lab_submit_write(&lab, 1, &w[5], 0, 5);
    lab_run(&lab);
    CHECK_EQ(lab.log[0].n, 3); /* a new write does not overtake the old ones */
    shard_double_reject(old, OP_ERR_UNKNOWN);
    lab_run(&lab);
    expect_log(0, 6);
    expect_answers(w, 6);
    lab_close(&lab);
}

TEST(failover, a_write_that_was_refused_is_sent_again_without_the_retry_mark)
{
    struct lab_req w[2];
    struct shard *old = hold_writes(0, w, 2);
    struct shard *next = shard_double(&lab, 2, 0);
    struct slice argv[4];
    struct op op;

    next->open = false;
    lab_lead(&lab, 0, 2, 6); /* nodes 2 and 3 know */
    shard_double_reject(old, OP_ERR_NOT_LEADER);
    lab_run(&lab);
    CHECK_EQ(next->n, 2); /* node 1 followed the hint */
    for (unsigned i = 0; i < 2; i++) {
        shard_double_peek(next, i, &op, argv);
        CHECK_EQ(op.flags & OP_RETRY, 0);
    }
    CHECK_EQ(router_leader(lab.rt[0], 0), 3);
    shard_double_execute(next, 2);
    lab_run(&lab);
    expect_answers(w, 2);
    lab_close(&lab);
}

TEST(failover, a_leader_that_died_is_replaced_and_its_writes_repeated)
{
    struct lab_req w[4];
    struct shard *old = hold_writes(0, w, 4);

    shard_double_execute_silently(old, 1);
    links_double_set(&lab, 0, 1, false);
    links_double_set(&lab, 1, 0, false);
    CHECK_EQ(old->n, 0); /* it gave up on a requester it cannot answer */
    lab_advance(&lab, 1000);
    CHECK_EQ(w[0].answers, 0);
    lab_lead(&lab, 0, 2, 5);
    lab_run(&lab);
    expect_log(0, 4);
    expect_answers(w, 4);
    lab_close(&lab);
}

TEST(failover, a_short_break_of_the_link_is_bridged)
{
    struct lab_req w[3];
    struct lab_req r;
    struct shard *leader = hold_writes(0, w, 3);

    lab_submit_read(&lab, 0, &r, 0);
    lab_run(&lab);
    shard_double_execute_silently(leader, 3);
    links_double_set(&lab, 1, 0, false);
    links_double_set(&lab, 0, 1, false);
    leader->open = true;
    lab_advance(&lab, 10);
    links_double_set(&lab, 0, 1, true);
    links_double_set(&lab, 1, 0, true);
    lab_run(&lab);
    expect_log(0, 3);
    expect_answers(w, 3);
    CHECK_EQ(r.answers, 1);
    CHECK_EQ(r.type, OP_RES_INT);
    lab_close(&lab);
}

TEST(failover, results_lost_on_the_way_back_are_asked_for_again)
{
    struct lab_req w[3];
    struct lab_req r;
    struct shard *leader = hold_writes(0, w, 3);

    lab_submit_read(&lab, 0, &r, 0);
    lab_run(&lab);
    leader->open = true;
    lab.links[1].up[0] = false; /* no callback yet: results are dropped */
    lab_run(&lab);
    CHECK_EQ(w[0].answers, 0);
    router_peer_down(lab.rt[1], 1);
    links_double_set(&lab, 1, 0, true);
    lab_run(&lab);
    expect_log(0, 3);
    expect_answers(w, 3);
    CHECK_EQ(lab.log[0].retries, 3);
    CHECK_EQ(r.answers, 1);
    lab_close(&lab);
}

TEST(failover, results_that_a_full_link_dropped_are_asked_for_again)
{
    struct lab_req w[3];
    struct shard *leader = hold_writes(0, w, 3);

    lab.links[1].full[0] = true;
    leader->open = true;
    lab_advance(&lab, 100);
    CHECK_EQ(w[0].answers, 0);
    lab.links[1].full[0] = false;
    lab_advance(&lab, 30); /* by a timer, not by chance */
    expect_log(0, 3);
    expect_answers(w, 3);
    lab_close(&lab);
}

TEST(failover, a_late_write_cannot_overtake_one_that_was_refused)
{
    struct lab_req w[2];
    struct shard *leader;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, 1); /* only node 1 believes in node 2 */
    leader = shard_double(&lab, 1, 0);
    lab.hold_net = true;
    lab_submit_write(&lab, 0, &w[0], 0, 0);
    lab_run(&lab);
    links_double_deliver(&lab); /* refused: node 2 does not lead */
    lab_submit_write(&lab, 0, &w[1], 0, 1);
    router_turn(lab.rt[0]);
    router_flush(lab.rt[0]); /* under way before the refusal arrives */
    lab_lead(&lab, 0, 1, 2); /* and now node 2 does lead */
    CHECK(leader->open);
    lab.hold_net = false;
    lab_advance(&lab, 100);
    expect_log(0, 2);
    expect_answers(w, 2);
    lab_close(&lab);
}

TEST(failover, two_nodes_that_point_at_each_other_cause_no_storm)
{
    struct lab_req w;
    unsigned frames;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, 5); /* nodes 1 and 3: node 2 leads */
    lab_lead(&lab, 0, 2, 2); /* node 2: node 3 leads */
    lab_submit_write(&lab, 0, &w, 0, 0);
    lab_run(&lab);
    lab_advance(&lab, 1000);
    frames = lab.links[0].n_sent;
    CHECK(frames > 10);
    CHECK(frames <= 1000 / 25 + 3);
    /* A request of a peer is never passed on. */
    CHECK_EQ(stats(1).forwarded + stats(2).forwarded, 0);
    lab_lead(&lab, 0, 2, LAB_ALL);
    lab_run(&lab);
    expect_answers(&w, 1);
    lab_close(&lab);
}

/* A node of six without a replica of the shard. */
static unsigned outsider_of(uint32_t shard)
{
    unsigned node = 0;

    while (shardset_find(&lab.shards[node], shard) != NULL)
        node++;
    return node;
}

TEST(failover, a_node_without_a_replica_begins_with_the_preferred_leader)
{
    struct lab_req w;
    unsigned node;

    lab_init(&lab, 6);
    node = outsider_of(2);
    lab_lead(&lab, 2, (unsigned)directory_shard(lab.dir, 2)->replicas[0] - 1,
             LAB_ALL);
    lab_submit_write(&lab, node, &w, 2, 0);
    lab_run(&lab);
    expect_answers(&w, 1);
    CHECK_EQ(stats(node).forwarded, 1);
    lab_close(&lab);
}

TEST(failover, a_node_without_a_replica_follows_the_hint)
{
    const struct directory_shard *d;
    struct lab_req w[2];
    unsigned node;

    lab_init(&lab, 6);
    node = outsider_of(2);
    d = directory_shard(lab.dir, 2);
    lab_lead(&lab, 2, (unsigned)d->replicas[2] - 1, LAB_ALL);
    lab_submit_write(&lab, node, &w[0], 2, 0);
    lab_submit_write(&lab, node, &w[1], 2, 1);
    lab_run(&lab); /* no time passes */
    expect_answers(w, 2);
    expect_log(2, 2);
    CHECK_EQ(router_leader(lab.rt[node], 2), d->replicas[2]);
    lab_close(&lab);
}

TEST(failover, a_node_without_a_replica_finds_the_leader_by_asking_around)
{
    const struct directory_shard *d;
    struct lab_req w[20];
    struct lab_req r;
    unsigned node;

    lab_init(&lab, 6);
    node = outsider_of(2);
    d = directory_shard(lab.dir, 2);
    links_double_set(&lab, node, (unsigned)d->replicas[0] - 1, false);
    lab_lead(&lab, 2, (unsigned)d->replicas[2] - 1,
             1u << (d->replicas[2] - 1)); /* only itself knows */
    lab_submit_read(&lab, node, &r, 2);
    for (unsigned i = 0; i < 20; i++)
        lab_submit_write(&lab, node, &w[i], 2, i);
    lab_run(&lab);
    CHECK_EQ(w[0].answers, 0);
    lab_advance(&lab, 100);
    expect_answers(w, 20);
    expect_log(2, 20);
    CHECK_EQ(r.answers, 1);
    /* The others were asked with one request each, not with all. */
    CHECK(stats(node).forwarded <= 21 + 3);
    lab_close(&lab);
}

TEST(failover, a_probe_that_is_not_answered_is_sent_to_the_next_replica)
{
    const struct directory_shard *d;
    struct shard *mute;
    struct lab_req w;
    unsigned node;

    lab_init(&lab, 6);
    node = outsider_of(2);
    d = directory_shard(lab.dir, 2);
    links_double_set(&lab, node, (unsigned)d->replicas[0] - 1, false);
    mute = shard_double(&lab, (unsigned)d->replicas[1] - 1, 2);
    mute->open = false;
    lab_lead(&lab, 2, mute->node, 1u << mute->node);
    lab_submit_write(&lab, node, &w, 2, 0);
    lab_advance(&lab, 200);
    CHECK_EQ(mute->n, 1);
    lab_lead(&lab, 2, (unsigned)d->replicas[2] - 1,
             1u << (d->replicas[2] - 1));
    lab_advance(&lab, 600);
    expect_answers(&w, 1);
    CHECK_EQ(lab.log[2].n, 1);
    shard_double_execute(mute, 1); /* the first copy: a repeat */
    CHECK_EQ(lab.log[2].n, 1);
    lab_close(&lab);
}

TEST(failover, a_read_that_waits_here_is_no_probe_to_send_around)
{
    struct lab_req here;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 0, LAB_ALL);
    shard_double(&lab, 0, 0)->open = false;
    lab_submit_read(&lab, 0, &here, 0);
    lab_run(&lab);
    router_leader_changed(lab.rt[0], 0, 0, false);
    lab_advance(&lab, 1000); /* it has waited long enough to look around */
    CHECK_EQ(here.answers, 0);
    shard_double_execute(shard_double(&lab, 0, 0), 1);
    lab_run(&lab);
    CHECK_EQ(here.answers, 1);
    lab_close(&lab);
}

TEST(failover, a_leader_handing_over_is_not_pestered)
{
    struct shard *s;
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 0, LAB_ALL);
    s = shard_double(&lab, 0, 0);
    s->open = false;
    lab_submit_write(&lab, 0, &w, 0, 0);
    for (int i = 0; i < 10; i++) {
        lab_run(&lab);
        shard_double_reject(s, OP_ERR_NOT_LEADER);
    }
    lab_run(&lab);
    CHECK_EQ(stats(0).local, 1); /* the next try waits for the tick */
    s->open = true;
    lab_advance(&lab, 25);
    expect_answers(&w, 1);
    lab_close(&lab);
}

TEST(failover, reads_wait_until_the_leader_here_is_ready)
{
    struct lab_req r;

    lab_init(&lab, 3);
    router_leader_changed(lab.rt[0], 0, 1, false);
    lab_submit_read(&lab, 0, &r, 0);
    lab_advance(&lab, 100);
    CHECK_EQ(r.answers, 0);
    router_leader_changed(lab.rt[0], 0, 1, true);
    lab_run(&lab);
    CHECK_EQ(r.answers, 1);
    lab_close(&lab);
}

TEST(failover, reads_move_on_to_the_next_leader)
{
    struct lab_req r;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, LAB_ALL);
    shard_double(&lab, 1, 0)->open = false;
    lab_submit_read(&lab, 0, &r, 0);
    lab_run(&lab);
    lab_lead(&lab, 0, 2, LAB_ALL); /* the old one is cut off and mute */
    lab_run(&lab);
    CHECK_EQ(r.answers, 1);
    CHECK_EQ(r.type, OP_RES_INT);
    shard_double_reject(shard_double(&lab, 1, 0), OP_ERR_NOT_LEADER);
    lab_run(&lab);
    CHECK_EQ(r.answers, 1);
    lab_close(&lab);
}

TEST(failover, large_writes_survive_a_resend_while_the_first_copy_is_under_way)
{
    static uint8_t value[100000];
    struct slice argv[2] = { slice_make(value, 8),
                             slice_make(value, sizeof(value)) };
    struct op op = { .kind = OP_SET, .slot = SLOT_COUNT, .argv = argv,
                     .argc = 2 };
    struct lab_req q = { .tag = 0 };
    struct lab_req w;

    memset(value, 'v', sizeof(value));
    put_u64le(value, 0);
    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, LAB_ALL);
    lab_submit_write(&lab, 0, &w, 0, 1);
    q = w;
    router_cancel(lab.rt[0], &w.r);
    q.r = (struct router_req){ .cb = w.r.cb };
    q.answers = 0;
    router_submit(lab.rt[0], &q.r, 0, &op);
    lab.hold_net = true;
    lab_run(&lab);
    lab_lead(&lab, 0, 2, LAB_ALL);
    lab_run(&lab);
    lab.hold_net = false;
    lab_run(&lab); /* both copies decode: their checksums hold */
    CHECK_EQ(q.answers, 1);
    CHECK_EQ(q.type, OP_RES_INT);
    CHECK_EQ(lab.log[0].n, 1);
    lab_close(&lab);
}

TEST(failover, a_restarted_requester_is_served_from_its_first_generation)
{
    struct lab_req w[2];

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, 1);
    lab_submit_write(&lab, 0, &w[0], 0, 0);
    lab_advance(&lab, 1000); /* many refusals, many generations */
    router_stop(lab.rt[0]);
    router_free(lab.rt[0]);
    lab.rt[0] = NULL;
    lab_start(&lab, 0);
    lab_lead(&lab, 0, 1, LAB_ALL);
    lab_submit_write(&lab, 0, &w[1], 0, 0);
    lab_run(&lab);
    expect_answers(&w[1], 1);
    CHECK_EQ(stats(0).retries, 0);
    lab_close(&lab);
}

TEST(failover, a_result_for_the_process_before_is_not_taken_for_ours)
{
    struct lab_req old;
    struct lab_req w;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, LAB_ALL);
    lab_submit_write(&lab, 0, &old, 0, 0);
    lab_turn(&lab);
    links_double_deliver(&lab);
    lab_turn(&lab); /* executed; its result is under way */
    CHECK_EQ(lab.log[0].n, 1);
    router_stop(lab.rt[0]);
    router_free(lab.rt[0]);
    lab.rt[0] = NULL;
    lab_start(&lab, 0);
    lab_lead(&lab, 0, 1, 1);
    lab_submit_write(&lab, 0, &w, 0, 1); /* has the same id and sequence */
    router_turn(lab.rt[0]);
    router_flush(lab.rt[0]);
    links_double_deliver(&lab);
    CHECK_EQ(w.answers, 0);
    lab_run(&lab);
    CHECK_EQ(w.answers, 1);
    CHECK_EQ(w.num, 1); /* place 1 in the log, not place 0 */
    CHECK_EQ(lab.log[0].n, 2);
    lab_close(&lab);
}
