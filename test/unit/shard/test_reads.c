/* Reads: executed at their linearizable point, or refused. */
#include "lib/test.h"
#include "unit/shard/lab.h"

#define MANY (1u << 20)
#define SHARD_TEST_VALUE (9u << 20)

static struct lab_req w, r, r2;

static void put(const char *words)
{
    lab_submit(&w, words);
    lab_turn();
    lab_apply(lab.group.n_entries - 1);
    CHECK_EQ(w.answers, 1);
    lab_req_close(&w);
}

TEST(read, is_answered_from_the_state_at_its_point)
{
    lab_open(4, MANY, MANY);
    put("SET k old");
    lab_submit(&r, "GET k");
    CHECK_EQ(lab_reads_waiting(), 1);
    put("SET k new");
    CHECK_EQ(r.answers, 0);
    lab_read_done(0);
    CHECK_EQ(r.answers, 1);
    CHECK_EQ(r.res.type, OP_RES_BULK);
    CHECK_STR(r.text, "new");
    CHECK(shardset_idle(lab.set));
    lab_close();
    lab_req_close(&r);
}

TEST(read, carries_the_witness_to_the_group)
{
    lab_open(4, MANY, MANY);
    lab_submit(&r, "GET k");
    CHECK_EQ(lab.group.witness, 2);
    CHECK_EQ(lab.group.witness_term, 5);
    lab_read_done(0);
    CHECK_EQ(r.res.type, OP_RES_NIL);
    lab_close();
    lab_req_close(&r);
}

TEST(read, that_was_not_confirmed_is_refused)
{
    lab_open(4, MANY, MANY);
    lab_submit(&r, "GET k");
    lab_read_done(KV_ENOTLEADER);
    lab_check_err(&r, OP_ERR_NOT_LEADER);
    lab_close();
    lab_req_close(&r);
}

TEST(read, cancelled_is_forgotten)
{
    lab_open(4, MANY, MANY);
    lab_submit(&r, "GET k");
    lab_submit(&r2, "GET k");
    shard_cancel(lab.shard, &r.req);
    CHECK_EQ(lab_reads_waiting(), 1);
    lab_read_done(0);
    CHECK_EQ(r.answers, 0);
    CHECK_EQ(r2.answers, 1);
    lab_close();
    lab_req_close(&r);
    lab_req_close(&r2);
}

TEST(read, of_many_keys_decodes_them_all)
{
    lab_open(4, MANY, MANY);
    put("SET k3 v");
    lab_submit(&r, "MGET k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 k12 k13 k14 "
                   "k15 k16 k17 k18 k19");
    lab_read_done(0);
    CHECK_EQ(r.answers, 1);
    CHECK_EQ(r.res.type, OP_RES_ARRAY);
    lab_close();
    lab_req_close(&r);
}

TEST(read, that_is_a_write_in_disguise_is_refused)
{
    lab_open(4, MANY, MANY);
    lab_submit(&w, "SET k v");
    shard_cancel(lab.shard, &w.req);
    w.req.write = false;
    shard_submit(lab.shard, &w.req);
    lab_read_done(0);
    lab_check_err(&w, OP_ERR_BAD_OP);
    CHECK_EQ(lab.group.n_entries, 0);
    lab_close();
    lab_req_close(&w);
}

TEST(read, of_large_values_waits_when_the_turn_has_read_enough)
{
    static uint8_t big[SHARD_TEST_VALUE];
    struct slice argv[] = { slice_str("k"), slice_make(big, sizeof big) };
    const struct op op = { .kind = OP_SET, .argv = argv, .argc = 2 };
    static struct lab_req many[4];

    lab_open(4, MANY, MANY);
    lab.group.entry_max = sizeof big + 100;
    lab_submit(&w, "SET k v");
    shard_cancel(lab.shard, &w.req);
    buf_clear(&w.op);
    op_encode(&w.op, &op);
    w.req.op = buf_slice(&w.op);
    shard_submit(lab.shard, &w.req);
    lab_turn();
    lab_apply(0);
    lab_req_close(&w);

    for (int i = 0; i < 4; i++)
        lab_submit(&many[i], "GET k");
    for (int i = 0; i < 4; i++)
        lab_read_done(0);
    CHECK_EQ(many[0].answers, 1);
    CHECK_EQ(many[1].answers, 1); /* 2 x 9 MiB pass the 16 MiB of a turn */
    CHECK_EQ(many[2].answers + many[3].answers, 0);
    CHECK(!shardset_idle(lab.set));
    shard_cancel(lab.shard, &many[2].req);
    lab_turn();
    CHECK_EQ(many[2].answers, 0);
    CHECK_EQ(many[3].answers, 1);
    CHECK(shardset_idle(lab.set));
    lab_close();
    for (int i = 0; i < 4; i++)
        lab_req_close(&many[i]);
}
