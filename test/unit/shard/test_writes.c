/* Writes: batches, limits, results, and what is said when leadership is lost. */
#include "lib/test.h"
#include "unit/shard/lab.h"

#define MANY (1u << 20)

static struct lab_req r[LAB_REQS_MAX];

static void close_reqs(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        lab_req_close(&r[i]);
}

TEST(write, all_of_a_turn_become_one_entry)
{
    lab_open(4, MANY, MANY);
    for (int i = 0; i < 5; i++)
        lab_submit(&r[i], "INCR k");
    CHECK_EQ(lab.group.n_entries, 0);
    CHECK(lab.woken);
    lab_turn();
    CHECK_EQ(lab.group.n_entries, 1);
    CHECK_EQ(lab_count(0), 5);
    CHECK(!shardset_idle(lab.set));
    lab_apply(0);
    for (int i = 0; i < 5; i++)
        lab_check_int(&r[i], i + 1);
    CHECK(shardset_idle(lab.set));
    lab_close();
    close_reqs(5);
}

TEST(write, beyond_the_limit_in_flight_writes_collect_into_the_next_batch)
{
    lab_open(2, MANY, MANY);
    for (int i = 0; i < 6; i++) {
        lab_submit(&r[i], "INCR k");
        lab_turn();
    }
    CHECK_EQ(lab.group.n_entries, 2);
    lab_apply(0);
    CHECK(lab.woken);
    lab_turn();
    CHECK_EQ(lab.group.n_entries, 3);
    CHECK_EQ(lab_count(2), 4);
    lab_apply(1);
    lab_apply(2);
    for (int i = 0; i < 6; i++)
        lab_check_int(&r[i], i + 1);
    lab_close();
    close_reqs(6);
}

TEST(write, a_batch_ends_at_its_byte_limit_but_takes_at_least_one)
{
    lab_open(8, 100, MANY);
    lab_submit(&r[0], "SET k a");
    for (int i = 1; i < 4; i++)
        lab_submit(&r[i], "SET k "
                          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    lab_turn();
    CHECK_EQ(lab.group.n_entries, 4);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(lab_count(i), 1);
        lab_apply(i);
        CHECK_EQ(r[i].res.type, OP_RES_OK);
    }
    lab_close();
    close_reqs(4);
}

TEST(write, a_batch_is_never_larger_than_an_entry_of_the_log)
{
    unsigned next = 0;

    lab_open(8, MANY, MANY);
    for (lab.group.entry_max = 80; lab.group.entry_max < 200;
         lab.group.entry_max += 40) {
        for (unsigned i = 0; i < 12; i++)
            lab_submit(&r[i], "SET k xxxxxxxx");
        lab_turn();
        CHECK(lab.group.n_entries > next);
        while (next < lab.group.n_entries)
            lab_apply(next++);
        lab_turn();
        while (next < lab.group.n_entries)
            lab_apply(next++);
        for (unsigned i = 0; i < 12; i++) {
            CHECK_EQ(r[i].res.type, OP_RES_OK);
            lab_req_close(&r[i]);
        }
    }
    lab_close();
}

TEST(write, one_larger_than_an_entry_is_refused_and_stops_nobody)
{
    lab_open(8, MANY, MANY);
    lab.group.entry_max = 80;
    lab_submit(&r[0], "SET k a");
    lab_submit(&r[1], "SET k xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    lab_submit(&r[2], "SET k b");
    lab_turn();
    lab_check_err(&r[1], OP_ERR_TOO_BIG);
    while (lab.group.applied < lab.group.last)
        lab_apply((unsigned)lab.group.applied);
    CHECK_EQ(r[0].res.type, OP_RES_OK);
    CHECK_EQ(r[2].res.type, OP_RES_OK);
    lab_close();
    close_reqs(3);
}

TEST(write, a_full_queue_is_busy_and_takes_writes_again_later)
{
    lab_open(1, MANY, 60);
    lab_submit(&r[0], "SET k a");
    lab_submit(&r[1], "SET k b");
    lab_submit(&r[2], "SET k c");
    lab_submit(&r[3], "SET k d");
    lab_turn();
    lab_check_err(&r[3], OP_ERR_BUSY);
    CHECK_EQ(r[0].answers, 0);
    lab_apply(0);
    CHECK_EQ(r[0].res.type, OP_RES_OK);
    lab_submit(&r[4], "SET k e");
    lab_turn();
    lab_apply(1);
    CHECK_EQ(r[4].res.type, OP_RES_OK);
    lab_close();
    close_reqs(5);
}

TEST(write, one_larger_than_the_queue_limit_is_taken_when_the_queue_is_empty)
{
    lab_open(1, MANY, 8);
    lab_submit(&r[0], "SET k aaaaaaaaaaaaaaaaaaaaaaaaaa");
    lab_turn();
    lab_apply(0);
    CHECK_EQ(r[0].res.type, OP_RES_OK);
    lab_close();
    close_reqs(1);
}

TEST(write, on_a_follower_is_refused_in_the_next_turn)
{
    lab_open(4, MANY, MANY);
    lab_role(GROUP_FOLLOWER, 2, false);
    lab_submit(&r[0], "SET k v");
    lab_turn();
    lab_check_err(&r[0], OP_ERR_NOT_LEADER);
    lab_close();
    close_reqs(1);
}

TEST(write, waits_for_a_new_leader_to_be_ready)
{
    lab_open(4, MANY, MANY);
    lab_role(GROUP_LEADER, 2, false);
    lab_submit(&r[0], "SET k v");
    lab_turn();
    CHECK_EQ(lab.group.n_entries, 0);
    CHECK_EQ(r[0].answers, 0);
    lab_role(GROUP_LEADER, 2, true);
    lab_turn();
    CHECK_EQ(lab.group.n_entries, 1);
    lab_apply(0);
    CHECK_EQ(r[0].res.type, OP_RES_OK);
    lab_close();
    close_reqs(1);
}

TEST(write, when_deposed_what_waits_is_refused_and_what_is_in_flight_unknown)
{
    lab_open(1, MANY, MANY);
    lab_submit(&r[0], "SET k a");
    lab_turn();
    lab_submit(&r[1], "SET k b");
    lab_role(GROUP_FOLLOWER, 2, false);
    lab_turn();
    lab_check_err(&r[0], OP_ERR_UNKNOWN);
    lab_check_err(&r[1], OP_ERR_NOT_LEADER);
    lab_apply(0); /* it was committed after all: nobody waits any more */
    CHECK_EQ(r[0].answers, 1);
    lab_close();
    close_reqs(2);
}

TEST(write, elected_again_in_a_later_term_entries_of_the_old_one_are_unknown)
{
    lab_open(4, MANY, MANY);
    lab_submit(&r[0], "SET k a");
    lab_turn();
    lab_role(GROUP_LEADER, 3, true); /* both steps within one turn */
    lab_turn();
    lab_check_err(&r[0], OP_ERR_UNKNOWN);
    lab_submit(&r[1], "SET k b");
    lab_turn();
    lab_apply(1);
    CHECK_EQ(r[1].res.type, OP_RES_OK);
    lab_close();
    close_reqs(2);
}

TEST(write, another_leaders_entry_at_its_index_means_surely_not_executed)
{
    lab_open(4, MANY, MANY);
    lab_submit(&r[0], "SET k a");
    lab_turn();
    lab_apply_foreign(lab.group.entries[0].index, 2);
    lab_turn();
    lab_check_err(&r[0], OP_ERR_NOT_LEADER);
    lab_close();
    close_reqs(1);
}

TEST(write, entries_of_others_before_ours_give_it_no_result)
{
    lab_open(4, MANY, MANY);
    lab.group.last = 5; /* 1..5 are another leader's, not applied yet */
    lab_submit(&r[0], "INCR k");
    lab_turn();
    for (uint64_t i = 1; i <= 5; i++)
        lab_apply_foreign(i, 1);
    CHECK_EQ(r[0].answers, 0);
    lab_apply(0);
    lab_check_int(&r[0], 1);
    lab_close();
    close_reqs(1);
}

TEST(write, cancelled_in_the_queue_it_is_not_proposed)
{
    lab_open(4, MANY, MANY);
    lab_submit(&r[0], "INCR k");
    lab_submit(&r[1], "INCR k");
    shard_cancel(lab.shard, &r[0].req);
    lab_turn();
    CHECK_EQ(lab_count(0), 1);
    lab_apply(0);
    CHECK_EQ(r[0].answers, 0);
    lab_check_int(&r[1], 1);
    lab_close();
    close_reqs(2);
}

TEST(write, cancelled_in_flight_the_others_keep_their_own_results)
{
    lab_open(4, MANY, MANY);
    for (int i = 0; i < 4; i++)
        lab_submit(&r[i], "INCR k");
    lab_turn();
    shard_cancel(lab.shard, &r[0].req);
    shard_cancel(lab.shard, &r[2].req);
    lab_apply(0);
    CHECK_EQ(r[0].answers + r[2].answers, 0);
    lab_check_int(&r[1], 2);
    lab_check_int(&r[3], 4);
    lab_close();
    close_reqs(4);
}

TEST(write, when_the_group_is_busy_it_is_proposed_after_the_next_apply)
{
    lab_open(4, MANY, MANY);
    lab_submit(&r[0], "INCR k");
    lab_turn();
    lab.group.refuse = KV_EBUSY;
    lab_submit(&r[1], "INCR k");
    lab_turn();
    CHECK_EQ(lab.group.n_entries, 1);
    CHECK_EQ(r[1].answers, 0);
    lab.group.refuse = 0;
    lab_apply(0);
    lab_turn();
    lab_apply(1);
    lab_check_int(&r[1], 2);
    lab_close();
    close_reqs(2);
}

TEST(write, when_the_group_is_busy_and_nothing_is_in_flight_it_is_busy)
{
    lab_open(4, MANY, MANY);
    lab.group.refuse = KV_EBUSY;
    lab_submit(&r[0], "INCR k");
    lab_turn();
    lab_turn();
    lab_check_err(&r[0], OP_ERR_BUSY);
    lab_close();
    close_reqs(1);
}

TEST(write, an_entry_that_cannot_be_decoded_stops_nothing)
{
    lab_open(4, MANY, MANY);
    lab.group.ops->apply(lab.group.ctx, ++lab.group.last, 1,
                         slice_str("garbage"));
    lab_submit(&r[0], "INCR k");
    lab_turn();
    lab_apply(0);
    lab_check_int(&r[0], 1);
    CHECK_EQ(fsm_applied(shard_fsm(lab.shard)), 2);
    lab_close();
    close_reqs(1);
}

TEST(write, closing_answers_everything_once)
{
    lab_open(1, MANY, MANY);
    lab_submit(&r[0], "SET k a");
    lab_turn();
    lab_submit(&r[1], "SET k b");
    lab_submit(&r[2], "GET k");
    lab_close();
    lab_check_err(&r[0], OP_ERR_UNKNOWN);
    lab_check_err(&r[1], OP_ERR_NOT_LEADER);
    lab_check_err(&r[2], OP_ERR_NOT_LEADER);
    close_reqs(3);
}

TEST(write, the_owner_hears_of_leaders_and_readiness)
{
    lab_open(1, MANY, MANY);
    CHECK(lab.ready_here);
    CHECK_EQ(lab.leader, 1);
    lab_role(GROUP_FOLLOWER, 2, false);
    CHECK(!lab.ready_here);
    CHECK_EQ(lab.leader, 0);
    CHECK_EQ(lab.leader_calls, 2);
    lab_close();
}
