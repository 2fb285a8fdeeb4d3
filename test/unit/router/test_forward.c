/* The frames between routers, and what a node makes of hostile ones. */
#include "base/mem.h"
#include "lib/test.h"
#include "unit/router/lab.h"

static struct lab lab;

static uint8_t bytes[65536];

/* Seal f and copy its payload; frees f. */
static struct slice payload_of(struct frame *f)
{
    struct slice parts[8];
    struct frame_head head;
    struct slice payload;
    size_t used;
    size_t n = 0;
    unsigned count;

    frame_seal(f);
    count = frame_parts(f, parts, 8);
    CHECK_EQ(count, frame_n_parts(f));
    for (unsigned i = 0; i < count; i++) {
        CHECK(n + parts[i].n <= sizeof(bytes));
        memcpy(bytes + n, parts[i].p, parts[i].n);
        n += parts[i].n;
    }
    frame_free(f);
    CHECK_EQ(frame_decode(slice_make(bytes, n), &head, &payload, &used), 0);
    return payload;
}

static const struct forward_head head = { .hops = 1, .lost = true,
                                          .origin = 77, .epoch = 1 };

TEST(forward, requests_are_decoded_as_they_were_encoded)
{
    struct blob *blob = blob_new(5000);
    struct forward_req r = { .id = 9, .shard = 3, .write = true, .gen = 300,
                             .deadline_ms = 5000, .witness_term = 0,
                             .op = slice_str("small op") };
    struct forward_req got;
    struct forward_head h;
    struct cursor c;
    struct frame *f = forward_new(FRAME_FORWARD, &head);

    memset(blob->data, 'b', blob->len);
    CHECK(forward_put_req(f, &r, NULL) > r.op.n);
    r.op = blob_slice(blob);
    r.write = false;
    r.witness_term = UINT64_MAX;
    CHECK(forward_put_req(f, &r, blob) > r.op.n);
    CHECK_EQ(forward_open(FRAME_FORWARD, payload_of(f), &h, &c), 0);
    CHECK_EQ(h.hops, 1);
    CHECK_EQ(h.origin, 77);
    CHECK_EQ(h.epoch, 1);
    CHECK_EQ(forward_next_req(&c, &got), 0);
    CHECK_EQ(got.id, 9);
    CHECK_EQ(got.shard, 3);
    CHECK(got.write);
    CHECK_EQ(got.gen, 300);
    CHECK_EQ(got.deadline_ms, 5000);
    CHECK(slice_eq(got.op, slice_str("small op")));
    CHECK_EQ(forward_next_req(&c, &got), 0);
    CHECK(!got.write);
    CHECK_EQ(got.witness_term, UINT64_MAX);
    CHECK(slice_eq(got.op, blob_slice(blob)));
    CHECK_EQ(forward_next_req(&c, &got), KV_EEOF);
    blob_unref(blob);
}

TEST(forward, results_are_decoded_as_they_were_encoded)
{
    struct forward_res r = { .id = 9, .gen = 2, .leader = 3,
                             .res = { .type = OP_RES_BULK,
                                      .bulk = slice_str("value") } };
    struct forward_res got;
    struct forward_head h;
    struct cursor c;
    struct frame *f = forward_new(FRAME_FORWARD_RESULT, &head);

    forward_put_res(f, &r);
    r.res = op_result_err(OP_ERR_NOT_LEADER);
    forward_put_res(f, &r);
    CHECK_EQ(forward_open(FRAME_FORWARD_RESULT, payload_of(f), &h, &c), 0);
    CHECK(h.lost);
    CHECK_EQ(forward_next_res(&c, &got), 0);
    CHECK_EQ(got.id, 9);
    CHECK_EQ(got.gen, 2);
    CHECK_EQ(got.leader, 3);
    CHECK_EQ(got.res.type, OP_RES_BULK);
    CHECK(slice_eq(got.res.bulk, slice_str("value")));
    CHECK_EQ(forward_next_res(&c, &got), 0);
    CHECK_EQ(got.res.type, OP_RES_ERR);
    CHECK_EQ(got.res.num, OP_ERR_NOT_LEADER);
    CHECK_EQ(forward_next_res(&c, &got), KV_EEOF);
}

TEST(forward, another_version_is_refused)
{
    struct slice p = payload_of(forward_new(FRAME_FORWARD, &head));
    struct forward_head h;
    struct cursor c;

    bytes[FRAME_HEAD_BYTES] = 2;
    CHECK_EQ(forward_open(FRAME_FORWARD, p, &h, &c), KV_EVERSION);
}

/* A frame with one write of shard 0, sent by node 1 to node 2, the leader. */
static struct slice one_write(struct forward_head h, struct forward_req r,
                              uint16_t slot)
{
    struct slice argv[2] = { slice_str("12345678"), slice_str("v") };
    struct op op = { .kind = OP_SET, .slot = slot, .origin = 77, .seq = 1,
                     .low = 1, .argv = argv, .argc = 2 };
    struct frame *f = forward_new(FRAME_FORWARD, &h);
    struct slice payload;
    struct buf enc;

    buf_init(&enc);
    op_encode(&enc, &op);
    if (r.op.n == 0)
        r.op = buf_slice(&enc);
    forward_put_req(f, &r, NULL);
    payload = payload_of(f);
    buf_close(&enc);
    return payload;
}

static const struct frame_head to_serve = { .kind = FRAME_FORWARD,
                                            .group = FRAME_GROUP_NODE };

/* Deliver it and return what node 2 says. */
static struct forward_res ask(struct forward_head h, struct forward_req r,
                              uint16_t slot)
{
    struct forward_res res = { .id = 0 };
    struct forward_head back;
    struct cursor c;
    struct slice payload;
    struct frame_head fh;
    struct lab_frame *f;
    size_t used;

    lab_init(&lab, 3);
    lab.hold_net = true;
    lab_lead(&lab, 0, 1, LAB_ALL);
    router_frame(lab.rt[1], 1, &to_serve, one_write(h, r, slot));
    lab_run(&lab);
    CHECK(!list_empty(&lab.net));
    f = LIST_FIRST(&lab.net, struct lab_frame, link);
    CHECK_EQ(frame_decode(slice_make(f->data, f->n), &fh, &payload, &used), 0);
    CHECK_EQ(fh.kind, FRAME_FORWARD_RESULT);
    CHECK_EQ(forward_open(fh.kind, payload, &back, &c), 0);
    CHECK_EQ(back.origin, h.origin);
    CHECK_EQ(forward_next_res(&c, &res), 0);
    CHECK_EQ(res.id, r.id);
    CHECK_EQ(res.gen, r.gen);
    lab_close(&lab);
    return res;
}

static const struct forward_head good = { .hops = 1, .origin = 77, .epoch = 1 };
static const struct forward_req write_0 = { .id = 5, .shard = 0, .write = true,
                                            .gen = 1, .deadline_ms = 100 };

static bool says(struct forward_res r, enum op_err err)
{
    return r.res.type == OP_RES_ERR && r.res.num == (int64_t)err;
}

TEST(forward, a_good_request_is_executed)
{
    CHECK_EQ(ask(good, write_0, SLOT_COUNT).res.type, OP_RES_INT);
}

TEST(forward, a_request_that_was_forwarded_before_is_refused)
{
    struct forward_head h = good;

    h.hops = 2;
    CHECK(says(ask(h, write_0, SLOT_COUNT), OP_ERR_NOT_LEADER));
}

TEST(forward, a_request_routed_by_another_directory_is_refused)
{
    struct forward_head h = good;

    h.epoch = 2;
    CHECK(says(ask(h, write_0, SLOT_COUNT), OP_ERR_NOT_LEADER));
}

TEST(forward, a_request_for_a_shard_led_elsewhere_is_refused_with_a_hint)
{
    struct forward_req r = write_0;
    struct forward_res res;

    r.shard = 1;
    res = ask(good, r, SLOT_COUNT);
    CHECK(says(res, OP_ERR_NOT_LEADER));
    CHECK_EQ(res.leader, 0);
}

TEST(forward, a_malformed_operation_never_reaches_the_log)
{
    struct forward_req r = write_0;

    r.op = slice_str("no operation at all");
    CHECK(says(ask(good, r, SLOT_COUNT), OP_ERR_BAD_OP));
}

TEST(forward, a_write_that_says_it_is_a_read_is_refused)
{
    struct forward_req r = write_0;

    r.write = false;
    CHECK(says(ask(good, r, SLOT_COUNT), OP_ERR_BAD_OP));
}

TEST(forward, an_unknown_shard_is_refused)
{
    struct forward_req r = write_0;

    r.shard = LAB_SHARDS;
    CHECK(says(ask(good, r, SLOT_COUNT), OP_ERR_BAD_OP));
}

TEST(forward, a_slot_of_another_shard_is_refused)
{
    uint16_t slot = 0;
    struct lab scratch;

    lab_init(&scratch, 3);
    while (directory_shard_of_slot(scratch.dir, slot) == 0)
        slot++;
    lab_close(&scratch);
    CHECK(says(ask(good, write_0, slot), OP_ERR_BAD_OP));
}

TEST(forward, a_frame_cut_anywhere_is_counted_and_harmless)
{
    struct slice whole;
    struct router_stats st;
    uint8_t *cut;

    lab_init(&lab, 3);
    lab_lead(&lab, 0, 1, LAB_ALL);
    whole = one_write(good, write_0, SLOT_COUNT);
    for (size_t n = 0; n < whole.n; n++) {
        cut = mem_alloc(n + 1); /* so that reading on would be noticed */
        memcpy(cut, whole.p, n);
        router_frame(lab.rt[1], 1, &to_serve, slice_make(cut, n));
        mem_free(cut);
    }
    lab_run(&lab);
    router_get_stats(lab.rt[1], &st);
    CHECK_EQ(st.malformed, whole.n - 1); /* after the head nothing is missing */
    CHECK_EQ(st.served_for_peers, 0);
    lab_close(&lab);
}

TEST(forward, results_for_nobody_and_from_nobody_are_ignored)
{
    static const struct frame_head fh = { .kind = FRAME_FORWARD_RESULT,
                                          .group = FRAME_GROUP_NODE };
    struct forward_res r = { .id = UINT64_MAX, .gen = 1,
                             .res = { .type = OP_RES_OK } };
    struct frame *f;
    struct slice payload;

    lab_init(&lab, 3);
    for (unsigned origin = 1; origin <= 3; origin++) {
        struct forward_head h = { .origin = origin, .epoch = 1 };

        f = forward_new(FRAME_FORWARD_RESULT, &h);
        forward_put_res(f, &r);
        payload = payload_of(f);
        router_frame(lab.rt[0], 2, &fh, payload);
        router_frame(lab.rt[0], 64, &fh, payload);
    }
    lab_run(&lab);
    lab_close(&lab);
}

TEST(forward, a_peer_that_asks_for_too_much_is_busy)
{
    struct forward_req r = write_0;
    struct router_stats st;
    struct slice p;

    lab_init(&lab, 3);
    lab.hold_net = true;
    lab_lead(&lab, 0, 1, LAB_ALL);
    shard_double(&lab, 1, 0)->open = false;
    p = one_write(good, r, SLOT_COUNT);
    for (unsigned i = 0; i < 65536 + 10; i++)
        router_frame(lab.rt[1], 1, &to_serve, p);
    router_get_stats(lab.rt[1], &st);
    CHECK_EQ(st.served_for_peers, 65536);
    CHECK_EQ(shard_double(&lab, 1, 0)->n, 65536);
    lab_close(&lab);
}
