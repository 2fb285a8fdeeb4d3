/* Housekeeping: expiry ticks, and dropping of idle sessions. */
#include "lib/test.h"
#include "unit/shard/lab.h"

#define MANY (1u << 20)

static struct lab_req w;

static void put(const char *words)
{
    lab_submit(&w, words);
    lab_turn();
    lab_apply(lab.group.n_entries - 1);
    CHECK_EQ(w.answers, 1);
    lab_req_close(&w);
}

static uint64_t keys(void)
{
    struct fsm_stats st;

    fsm_get_stats(shard_fsm(lab.shard), &st);
    return st.keys;
}

TEST(tick, is_proposed_when_the_earliest_deadline_has_passed)
{
    lab_open(4, MANY, MANY);
    put("SET k v PX500");
    put("SET other v PX900");
    lab_advance(499);
    CHECK_EQ(lab.group.n_entries, 2);
    CHECK_EQ(keys(), 2);
    lab_advance(1);
    CHECK_EQ(lab.group.n_entries, 3);
    CHECK_EQ(lab_kind(2, 0), OP_TICK);
    CHECK_EQ(keys(), 2); /* nothing expires before the entry is applied */
    lab_apply(2);
    CHECK_EQ(keys(), 1);
    lab_advance(400);
    CHECK_EQ(lab.group.n_entries, 4);
    lab_apply(3);
    CHECK_EQ(keys(), 0);
    lab_close();
}

TEST(tick, is_not_proposed_twice_while_one_is_under_way)
{
    lab_open(4, MANY, MANY);
    put("SET k v PX100");
    lab_advance(100);
    lab_advance(5000);
    CHECK_EQ(lab.group.n_entries, 2);
    lab_apply(1);
    CHECK_EQ(keys(), 0);
    lab_close();
}

TEST(tick, is_the_leaders_business_alone)
{
    lab_open(4, MANY, MANY);
    put("SET k v PX100");
    lab_role(GROUP_FOLLOWER, 2, false);
    lab_advance(10000);
    CHECK_EQ(lab.group.n_entries, 1);
    lab_role(GROUP_LEADER, 3, true);
    lab_advance(0);
    CHECK_EQ(lab.group.n_entries, 2);
    lab_apply(1);
    CHECK_EQ(keys(), 0);
    lab_close();
}

TEST(tick, lost_with_the_leadership_is_proposed_again)
{
    lab_open(4, MANY, MANY);
    put("SET k v PX100");
    lab_advance(100);
    CHECK_EQ(lab.group.n_entries, 2);
    lab_role(GROUP_FOLLOWER, 2, false);
    lab_turn();
    lab_role(GROUP_LEADER, 3, true);
    lab_advance(0);
    CHECK_EQ(lab.group.n_entries, 3);
    lab_apply(2);
    CHECK_EQ(keys(), 0);
    lab_close();
}

TEST(tick, refused_while_leadership_is_handed_over_is_not_tried_at_every_turn)
{
    lab_open(4, MANY, MANY);
    put("SET k v PX100");
    lab.group.refuse = KV_ENOTLEADER;
    lab_advance(100);
    for (unsigned i = 0; i < 50; i++)
        lab_advance(0);
    CHECK_EQ(lab.group.refused, 1);
    lab.group.refuse = 0;
    lab_advance(1000);
    CHECK_EQ(lab.group.n_entries, 2);
    CHECK_EQ(lab_kind(1, 0), OP_TICK);
    lab_apply(1);
    CHECK_EQ(keys(), 0);
    lab_close();
}

TEST(tick, notices_a_jump_of_the_wall_clock_within_a_second)
{
    lab_open(4, MANY, MANY);
    put("SET k v PX3600000");
    lab_advance(10);
    lab.wall_ms += 3600000; /* the administrator set the clock */
    lab_advance(1000);
    CHECK_EQ(lab.group.n_entries, 2);
    lab_apply(1);
    CHECK_EQ(keys(), 0);
    lab_close();
}

TEST(tick, goes_on_when_the_wall_clock_is_set_back)
{
    lab_open(4, MANY, MANY);
    put("SET k v PX500");
    lab.wall_ms -= 3600000;
    lab_advance(499);
    CHECK_EQ(lab.group.n_entries, 1); /* not early */
    lab_advance(1);
    CHECK_EQ(lab.group.n_entries, 2); /* nor an hour late */
    lab_apply(1);
    CHECK_EQ(keys(), 0);
    lab_close();
}

TEST(tick, a_leader_whose_clock_is_behind_goes_on_from_the_shards_clock)
{
    lab_open(4, MANY, MANY);
    lab.wall_ms += 3600000; /* the leader before this one was ahead */
    put("SET k v PX500");
    lab_role(GROUP_FOLLOWER, 2, false);
    lab.wall_ms -= 3600000;
    lab_role(GROUP_LEADER, 3, true);
    lab_advance(499);
    CHECK_EQ(lab.group.n_entries, 1);
    lab_advance(1);
    CHECK_EQ(lab.group.n_entries, 2);
    lab_close();
}

/* A write stamped with an origin opens a session. */
static void put_as(uint64_t origin)
{
    struct slice argv[] = { slice_str("k"), slice_str("v") };
    struct op op = { .kind = OP_SET, .slot = 0, .origin = origin, .seq = 1,
                     .low = 1, .argv = argv, .argc = 2 };
    struct shard_req keep;

    lab_submit(&w, "SET k v");
    shard_cancel(lab.shard, &w.req);
    keep = w.req;
    buf_clear(&w.op);
    op_encode(&w.op, &op);
    keep.op = buf_slice(&w.op);
    w.req = keep;
    shard_submit(lab.shard, &w.req);
    lab_turn();
    lab_apply(lab.group.n_entries - 1);
    lab_req_close(&w);
}

TEST(session, unused_for_an_hour_is_dropped_by_an_entry)
{
    struct fsm_stats st;

    lab_open(4, MANY, MANY);
    put_as(42);
    fsm_get_stats(shard_fsm(lab.shard), &st);
    CHECK_EQ(st.sessions, 1);
    lab_advance(3600001);
    put("SET other v"); /* moves the shard clock */
    lab_advance(60000);
    CHECK_EQ(lab_kind(lab.group.n_entries - 1, 0), OP_SESSION_DROP);
    lab_apply(lab.group.n_entries - 1);
    fsm_get_stats(shard_fsm(lab.shard), &st);
    CHECK_EQ(st.sessions, 0);
    lab_close();
}
