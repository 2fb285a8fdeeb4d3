/* The replicated operation, batches and results: what is written is read back,
 * and nothing else is. */
#include "proto/op.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/slot.h"

#include "lib/test.h"

#define S(text) slice_make(text, sizeof(text) - 1)
#define EIGHT "\1\0\0\0\0\0\0\0"

/* One well-formed example of everything. */
static const struct {
    enum op_kind kind;
    unsigned flags;
    uint32_t argc;
    const char *argv[4];
    size_t len[4]; /* 0: strlen */
} examples[] = {
    { OP_GET, 0, 1, { "k" }, { 0 } },
    { OP_MGET, 0, 3, { "a", "b", "c" }, { 0 } },
    { OP_STRLEN, 0, 1, { "k" }, { 0 } },
    { OP_GETRANGE, 0, 3, { "k", "0", "-1" }, { 0 } },
    { OP_EXISTS, 0, 2, { "k", "k" }, { 0 } },
    { OP_TOUCH, 0, 1, { "k" }, { 0 } },
    { OP_TYPE, 0, 1, { "k" }, { 0 } },
    { OP_TTL, 0, 1, { "k" }, { 0 } },
    { OP_GETREV, 0, 1, { "" }, { 0 } },
    { OP_DBSIZE, 0, 0, { NULL }, { 0 } },
    { OP_SCAN, 0, 3, { EIGHT, EIGHT, "*" }, { 8, 8, 0 } },
    { OP_KEYS, 0, 1, { "a*" }, { 0 } },
    { OP_RANDOMKEY, 0, 0, { NULL }, { 0 } },
    { OP_SET, 0, 2, { "k", "v" }, { 0 } },
    { OP_SET, OP_NX | OP_GETOLD | OP_TIME_REL, 2, { "k", "v" }, { 0 } },
    { OP_SET, OP_XX | OP_KEEPTTL, 2, { "k", "v" }, { 0 } },
    { OP_SET, OP_IFEQ | OP_TIME_ABS, 3, { "k", "v", "old" }, { 0 } },
    { OP_SET, OP_IFREV, 3, { "k", "v", EIGHT }, { 0, 0, 8 } },
    { OP_SET, OP_NX | OP_SETNX_REPLY, 2, { "k", "v" }, { 0 } },
    { OP_MSET, 0, 4, { "a", "1", "b", "2" }, { 0 } },
    { OP_APPEND, 0, 2, { "k", "tail" }, { 0 } },
    { OP_SETRANGE, 0, 3, { "k", "6", "x" }, { 0 } },
    { OP_INCRBY, 0, 2, { "k", "-1" }, { 0 } },
    { OP_INCRBYFLOAT, 0, 2, { "k", "0.1" }, { 0 } },
    { OP_DEL, 0, 2, { "a", "b" }, { 0 } },
    { OP_GETDEL, 0, 1, { "k" }, { 0 } },
    { OP_GETEX, 0, 1, { "k" }, { 0 } },
    { OP_GETEX, OP_PERSIST_TTL, 1, { "k" }, { 0 } },
    { OP_GETEX, OP_TIME_REL, 1, { "k" }, { 0 } },
    { OP_EXPIRE, OP_TIME_ABS | OP_NX, 1, { "k" }, { 0 } },
    { OP_EXPIRE, OP_TIME_REL | OP_XX | OP_GT, 1, { "k" }, { 0 } },
    { OP_PERSIST, 0, 1, { "k" }, { 0 } },
    { OP_FLUSH, 0, 0, { NULL }, { 0 } },
    { OP_TICK, 0, 0, { NULL }, { 0 } },
    { OP_SESSION_DROP, 0, 1, { EIGHT }, { 8 } },
    { OP_NOOP, OP_RETRY, 0, { NULL }, { 0 } },
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

static struct op example(size_t i, struct slice *argv)
{
    struct op op = { .kind = examples[i].kind,
                     .flags = (uint16_t)examples[i].flags,
                     .slot = (uint16_t)(i * 401 % SLOT_COUNT),
                     .origin = 0x1122334455667788u,
                     .seq = 300 + i,
                     .low = 1 + i,
                     .time = -5 + (int64_t)i * 1000000007,
                     .argv = argv,
                     .argc = examples[i].argc };

    for (uint32_t a = 0; a < op.argc; a++) {
        size_t n = examples[i].len[a];
        const char *p = examples[i].argv[a];

        argv[a] = n != 0 ? slice_make(p, n) : slice_str(p);
    }
    return op;
}

static int decode(const struct buf *b, struct op *ret, struct slice *argv)
{
    return op_decode(buf_slice(b), ret, argv, 4);
}

static int reencode(struct op op)
{
    struct slice argv[8];
    struct op got;
    struct buf b;
    int rv;

    buf_init(&b);
    op_encode(&b, &op);
    rv = op_decode(buf_slice(&b), &got, argv, 8);
    buf_close(&b);
    return rv;
}

TEST(op, every_kind_survives_a_round_trip_and_has_one_encoding)
{
    bool seen[64] = { false };

    for (size_t i = 0; i < EXAMPLES; i++) {
        struct slice in_argv[4], out_argv[4];
        struct op in = example(i, in_argv), out;
        struct buf b, again;

        seen[in.kind] = true;
        buf_init(&b);
        buf_init(&again);
        op_encode(&b, &in);
        CHECK_EQ(op_peek_argc(buf_slice(&b)), in.argc);
        CHECK_EQ(decode(&b, &out, out_argv), 0);
        CHECK_EQ(out.kind, in.kind);
        CHECK_EQ(out.flags, in.flags);
        CHECK_EQ(out.slot, in.slot);
        CHECK_EQ(out.origin, in.origin);
        CHECK_EQ(out.seq, in.seq);
        CHECK_EQ(out.low, in.low);
        CHECK_EQ(out.time, in.time);
        CHECK_EQ(out.argc, in.argc);
        for (uint32_t a = 0; a < in.argc; a++)
            CHECK(slice_eq(out.argv[a], in.argv[a]));
        op_encode(&again, &out);
        CHECK(slice_eq(buf_slice(&again), buf_slice(&b)));
        buf_close(&again);
        buf_close(&b);
    }
#define X(name, value, is_write) CHECK(seen[OP_##name]);
    OP_KIND_MAP(X)
#undef X
}

TEST(op, every_truncation_and_every_extra_byte_is_refused)
{
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct slice in_argv[4], argv[4];
        struct op in = example(i, in_argv), out;
        struct buf b;

        buf_init(&b);
        op_encode(&b, &in);
        for (size_t n = 0; n < b.len; n++) {
            /* A copy of its own size, so that a sanitizer sees an overrun. */
            uint8_t *p = mem_alloc(n + 1);

            memcpy(p, buf_at(&b), n);
            CHECK_EQ(op_decode(slice_make(p, n), &out, argv, 4), KV_EPROTO);
            mem_free(p);
        }
        buf_put_u8(&b, 0);
        CHECK_EQ(decode(&b, &out, argv), KV_EPROTO);
        buf_close(&b);
    }
}

TEST(op, flipped_bytes_are_refused_or_decode_to_something_canonical)
{
    struct rng rng;

    rng_seed(&rng, test_seed());
    for (unsigned round = 0; round < 20000; round++) {
        struct slice in_argv[4], argv[4];
        struct op in = example(rng_below(&rng, EXAMPLES), in_argv), out;
        struct buf b, again;

        buf_init(&b);
        buf_init(&again);
        op_encode(&b, &in);
        for (unsigned i = 0; i < 2; i++)
            buf_at(&b)[rng_below(&rng, b.len)] = (uint8_t)rng_u64(&rng);
        if (decode(&b, &out, argv) == 0) {
            op_encode(&again, &out);
            CHECK(slice_eq(buf_slice(&again), buf_slice(&b)));
        }
        buf_close(&again);
        buf_close(&b);
    }
}

TEST(op, another_version_is_told_from_garbage)
{
    struct slice argv[4];
    struct op op = example(0, argv);
    struct buf b;

    buf_init(&b);
    op_encode(&b, &op);
    buf_at(&b)[0] = 2;
    CHECK_EQ(decode(&b, &op, argv), KV_EVERSION);
    CHECK_EQ(op_peek_argc(buf_slice(&b)), -1);
    buf_at(&b)[0] = 1;
    buf_at(&b)[1] = 61 + 2;
    CHECK_EQ(decode(&b, &op, argv), KV_EPROTO);
    buf_at(&b)[1] = 255;
    CHECK_EQ(decode(&b, &op, argv), KV_EPROTO);
    buf_close(&b);
}

TEST(op, a_wrong_number_of_arguments_is_refused_for_every_kind)
{
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct slice argv[5];
        struct op op = example(i, argv);
        bool any = op.kind == OP_MGET || op.kind == OP_EXISTS ||
                   op.kind == OP_TOUCH || op.kind == OP_DEL;

        argv[op.argc] = S("12345678");
        op.argc = examples[i].argc + 1;
        CHECK_EQ(reencode(op), any ? 0 : KV_EPROTO);
        if (examples[i].argc == 0)
            continue;
        op.argc = any ? 0 : examples[i].argc - 1;
        CHECK_EQ(reencode(op), KV_EPROTO);
    }
}

TEST(op, flags_that_a_kind_does_not_have_are_refused)
{
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct slice argv[4];
        struct op op = example(i, argv);

        op.flags |= 1 << 13;
        CHECK_EQ(reencode(op), KV_EPROTO);
        if (op.kind == OP_SET || op.kind == OP_EXPIRE)
            continue;
        op.flags = OP_NX;
        CHECK_EQ(reencode(op), KV_EPROTO);
    }
}

TEST(op, flags_that_redis_refuses_together_are_refused)
{
    static const unsigned set_bad[] = {
        OP_NX | OP_XX,          OP_NX | OP_IFEQ,
        OP_IFEQ | OP_IFREV,     OP_TIME_REL | OP_TIME_ABS,
        OP_KEEPTTL | OP_TIME_ABS, OP_GT, OP_PERSIST_TTL,
    };
    static const unsigned expire_bad[] = {
        0, OP_NX, OP_TIME_REL | OP_TIME_ABS,
        OP_TIME_REL | OP_NX | OP_XX, OP_TIME_REL | OP_NX | OP_GT,
        OP_TIME_REL | OP_GT | OP_LT, OP_TIME_REL | OP_KEEPTTL,
    };
    struct slice argv[3] = { S("k"), S("v"), S("12345678") };

    for (size_t i = 0; i < sizeof(set_bad) / sizeof(set_bad[0]); i++) {
        bool three = (set_bad[i] & (OP_IFEQ | OP_IFREV)) != 0;
        struct op op = { .kind = OP_SET, .flags = (uint16_t)set_bad[i],
                         .argv = argv, .argc = three ? 3 : 2 };

        CHECK_EQ(reencode(op), KV_EPROTO);
    }
    for (size_t i = 0; i < sizeof(expire_bad) / sizeof(expire_bad[0]); i++) {
        struct op op = { .kind = OP_EXPIRE, .flags = (uint16_t)expire_bad[i],
                         .argv = argv, .argc = 1 };

        CHECK_EQ(reencode(op), KV_EPROTO);
    }
}

TEST(op, a_write_with_an_origin_has_a_sequence_and_a_low_mark)
{
    struct slice argv[4];
    struct op op = { .kind = OP_DEL, .origin = 7, .argv = argv, .argc = 1 };

    argv[0] = S("k");
    CHECK_EQ(reencode(op), KV_EPROTO);
    op.seq = 1;
    CHECK_EQ(reencode(op), KV_EPROTO);
    op.low = 1;
    CHECK_EQ(reencode(op), 0);
    op.low = 2;
    CHECK_EQ(reencode(op), KV_EPROTO);
    op.seq = OP_SEQ_MAX;
    CHECK_EQ(reencode(op), 0);
    op.seq++;
    CHECK_EQ(reencode(op), KV_EPROTO);
    /* Without an origin there is no dedupe, and nothing to check. */
    op.origin = op.low = op.seq = 0;
    CHECK_EQ(reencode(op), 0);
    /* Nor for a read. */
    op.kind = OP_GET;
    op.origin = 7;
    CHECK_EQ(reencode(op), 0);
}

TEST(op, keys_values_and_arguments_over_their_limits_are_refused)
{
    uint8_t *big = mem_calloc(1, OP_VALUE_BYTES_MAX + 1);
    struct slice argv[4] = { slice_make(big, OP_KEY_BYTES_MAX),
                             slice_make(big, OP_VALUE_BYTES_MAX) };
    struct op op = { .kind = OP_SET, .argv = argv, .argc = 2 }, got;
    struct slice five[5] = { S("1"), S("2"), S("3"), S("4"), S("5") };
    struct buf b;

    CHECK_EQ(reencode(op), 0);
    argv[0].n++;
    CHECK_EQ(reencode(op), KV_E2BIG);
    argv[0].n--;
    argv[1].n++;
    CHECK_EQ(reencode(op), KV_E2BIG);
    op.kind = OP_DEL;
    op.argv = five;
    op.argc = 5;
    buf_init(&b);
    op_encode(&b, &op);
    CHECK_EQ(op_peek_argc(buf_slice(&b)), 5);
    CHECK_EQ(op_decode(buf_slice(&b), &got, argv, 4), KV_E2BIG);
    buf_close(&b);
    mem_free(big);
}

TEST(op, an_argument_count_of_billions_costs_nothing)
{
    struct slice argv[4];
    struct op op = { .kind = OP_DEL, .argv = argv, .argc = 1 }, got;
    struct buf b;

    argv[0] = S("");
    buf_init(&b);
    op_encode(&b, &op);
    /* The last two bytes are argc and the length of the empty key. */
    buf_truncate(&b, b.len - 2);
    buf_put_varint(&b, UINT64_MAX);
    CHECK_EQ(op_peek_argc(buf_slice(&b)), -1);
    CHECK_EQ(op_decode(buf_slice(&b), &got, argv, 4), KV_E2BIG);
    buf_close(&b);
}

TEST(op, kinds_have_names_and_know_whether_they_write)
{
    CHECK_STR(op_kind_name(OP_SET), "SET");
    CHECK_STR(op_kind_name(OP_SESSION_DROP), "SESSION_DROP");
    CHECK_STR(op_kind_name((enum op_kind)99), "?");
    CHECK(op_is_write(OP_SET) && op_is_write(OP_TICK) && op_is_write(OP_GETEX));
    CHECK(!op_is_write(OP_GET) && !op_is_write(OP_RANDOMKEY));
    CHECK(!op_is_write((enum op_kind)99));
}

/* ---- batches ---- */

TEST(op_batch, yields_its_operations_in_order_and_then_ends)
{
    struct op_batch batch;
    struct slice op;
    struct buf b;

    buf_init(&b);
    op_batch_begin(&b, 1700000000123, 2);
    op_batch_add(&b, S("first"));
    op_batch_add(&b, S("second"));
    CHECK_EQ(op_batch_open(buf_slice(&b), &batch), 0);
    CHECK_EQ(batch.time, 1700000000123);
    CHECK_EQ(batch.count, 2);
    CHECK_EQ(op_batch_next(&batch, &op), 0);
    CHECK(slice_eq(op, S("first")));
    CHECK_EQ(op_batch_next(&batch, &op), 0);
    CHECK(slice_eq(op, S("second")));
    CHECK_EQ(op_batch_next(&batch, &op), KV_EEOF);
    CHECK_EQ(op_batch_next(&batch, &op), KV_EEOF);
    buf_close(&b);
}

/* 0 if the whole of it can be read, else the first error. */
static int walk(struct slice in)
{
    struct op_batch batch;
    struct slice op;
    int rv = op_batch_open(in, &batch);

    while (rv == 0)
        rv = op_batch_next(&batch, &op);
    return rv == KV_EEOF ? 0 : rv;
}

TEST(op_batch, an_empty_one_is_legal)
{
    struct buf b;

    buf_init(&b);
    op_batch_begin(&b, 5, 0);
    CHECK_EQ(walk(buf_slice(&b)), 0);
    buf_put_u8(&b, 0);
    CHECK_EQ(walk(buf_slice(&b)), KV_EPROTO);
    buf_close(&b);
}

TEST(op_batch, truncation_extra_bytes_and_false_counts_are_refused)
{
    struct buf b;

    buf_init(&b);
    op_batch_begin(&b, 5, 2);
    op_batch_add(&b, S("first"));
    op_batch_add(&b, S("second"));
    CHECK_EQ(walk(buf_slice(&b)), 0);
    for (size_t n = 0; n < b.len; n++)
        CHECK_EQ(walk(slice_make(buf_at(&b), n)), KV_EPROTO);
    buf_at(&b)[10] = 1; /* the count */
    CHECK_EQ(walk(buf_slice(&b)), KV_EPROTO);
    buf_at(&b)[10] = 3;
    CHECK_EQ(walk(buf_slice(&b)), KV_EPROTO);
    buf_at(&b)[10] = 127;
    CHECK_EQ(walk(buf_slice(&b)), KV_EPROTO);
    buf_at(&b)[10] = 2;
    buf_at(&b)[1] = 1; /* flags */
    CHECK_EQ(walk(buf_slice(&b)), KV_EPROTO);
    buf_at(&b)[1] = 0;
    buf_at(&b)[0] = 2; /* version */
    CHECK_EQ(walk(buf_slice(&b)), KV_EVERSION);
    buf_close(&b);
}

TEST(op_batch, an_operation_of_no_bytes_is_refused)
{
    struct buf b;

    buf_init(&b);
    op_batch_begin(&b, 5, 1);
    buf_put_u8(&b, 0);
    CHECK_EQ(walk(buf_slice(&b)), KV_EPROTO);
    buf_close(&b);
}

/* ---- results ---- */

static void round_trip(struct op_result in)
{
    struct op_result out;
    struct buf b, again;

    buf_init(&b);
    buf_init(&again);
    op_result_encode(&b, &in);
    CHECK_EQ(op_result_decode(buf_slice(&b), &out), 0);
    CHECK_EQ(out.type, in.type);
    CHECK_EQ(out.num, in.num);
    CHECK_EQ(out.num2, in.num2);
    CHECK(slice_eq(out.bulk, in.bulk));
    op_result_encode(&again, &out);
    CHECK(slice_eq(buf_slice(&b), buf_slice(&again)));
    for (size_t n = 0; n < b.len; n++)
        CHECK_EQ(op_result_decode(slice_make(buf_at(&b), n), &out), KV_EPROTO);
    buf_put_u8(&b, 0);
    CHECK_EQ(op_result_decode(buf_slice(&b), &out), KV_EPROTO);
    buf_close(&again);
    buf_close(&b);
}

TEST(op_result, every_type_survives_a_round_trip_and_no_truncation)
{
    struct buf items;

    buf_init(&items);
    op_items_put(&items, S("one"));
    op_items_put_nil(&items);
    op_items_put(&items, S(""));
    round_trip((struct op_result){ .type = OP_RES_OK });
    round_trip((struct op_result){ .type = OP_RES_NIL });
    round_trip((struct op_result){ .type = OP_RES_INT, .num = INT64_MIN });
    round_trip((struct op_result){ .type = OP_RES_BULK, .bulk = S("a\0b") });
    round_trip((struct op_result){ .type = OP_RES_BULK });
    round_trip((struct op_result){ .type = OP_RES_ARRAY });
    round_trip(
        (struct op_result){ .type = OP_RES_ARRAY, .bulk = buf_slice(&items) });
    round_trip(op_result_err(OP_ERR_LOADING));
    round_trip(
        (struct op_result){ .type = OP_RES_PAIR, .num = -1, .num2 = 1700 });
    round_trip((struct op_result){
        .type = OP_RES_SCAN, .num = 1 << 20, .bulk = buf_slice(&items) });
    buf_close(&items);
}

TEST(op_result, items_come_back_in_order_with_nil_and_empty_told_apart)
{
    struct cursor c;
    struct slice item;
    struct buf b;
    bool nil;

    buf_init(&b);
    op_items_put(&b, S("one"));
    op_items_put_nil(&b);
    op_items_put(&b, S(""));
    c = cursor_make(buf_slice(&b));
    CHECK(op_items_next(&c, &nil, &item));
    CHECK(!nil && slice_eq(item, S("one")));
    CHECK(op_items_next(&c, &nil, &item));
    CHECK(nil);
    CHECK(op_items_next(&c, &nil, &item));
    CHECK(!nil && item.n == 0);
    CHECK(!op_items_next(&c, &nil, &item));
    CHECK(cursor_done(&c));
    buf_close(&b);
}

TEST(op_result, an_array_whose_items_do_not_add_up_is_refused)
{
    static const char bad[][4] = { "\2", "\5ab", "\x80", "\x81\0" };
    struct op_result out;
    struct buf b;

    buf_init(&b);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct op_result r = { .type = OP_RES_ARRAY };

        r.bulk = slice_make(bad[i], i == 3 ? 2 : strlen(bad[i]));
        buf_clear(&b);
        op_result_encode(&b, &r);
        CHECK_EQ(op_result_decode(buf_slice(&b), &out), KV_EPROTO);
        r.type = OP_RES_SCAN;
        buf_clear(&b);
        op_result_encode(&b, &r);
        CHECK_EQ(op_result_decode(buf_slice(&b), &out), KV_EPROTO);
    }
    buf_close(&b);
}

TEST(op_result, unknown_types_and_error_zero_are_refused)
{
    struct op_result out;

    for (unsigned type = 0; type < 256; type++) {
        uint8_t bytes[2] = { (uint8_t)type, 0 };

        if (type >= OP_RES_OK && type <= OP_RES_SCAN && type != OP_RES_ERR)
            continue;
        CHECK_EQ(op_result_decode(slice_make(bytes, 2), &out), KV_EPROTO);
        CHECK_EQ(op_result_decode(slice_make(bytes, 1), &out), KV_EPROTO);
    }
    CHECK_EQ(op_result_decode(S("\6\0"), &out), KV_EPROTO);
    CHECK_EQ(op_result_decode(S("\6\xc8"), &out), 0);
    CHECK_EQ(out.num, 200);
}
