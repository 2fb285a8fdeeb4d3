/* Fuzz target: replicated operations, batches and results, and the state
 * machine behind them.  The first byte chooses:
 *
 *   0  one operation      decodes canonically or not at all
 *   1  one result         the same
 *   2  one batch          is applied to two machines
 *   3  a program          small numbers become well-formed operations, batch by
 *                         batch, applied to two machines of which only one is
 *                         read from: digests stay equal, invariants hold
 *
 * Mode 3 gets past the codec at once, so that mutation explores commands
 * instead of length fields. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/codec.h"
#include "fsm/fsm.h"
#include "proto/op.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void one_op(struct slice in)
{
    struct slice argv[64];
    struct op op;
    struct buf b;

    if (op_decode(in, &op, argv, 64) != 0)
        return;
    require(op_peek_argc(in) == (long)op.argc);
    buf_init(&b);
    op_encode(&b, &op);
    require(slice_eq(buf_slice(&b), in));
    buf_close(&b);
}

static void one_result(struct slice in)
{
    struct op_result r;
    struct buf b;

    if (op_result_decode(in, &r) != 0)
        return;
    buf_init(&b);
    op_result_encode(&b, &r);
    require(slice_eq(buf_slice(&b), in));
    buf_close(&b);
}

/* A result must be fit to travel. */
static void on_result(void *ctx, uint64_t i, const struct op *op,
                      const struct op_result *res)
{
    struct op_result again;
    struct buf b;

    (void)ctx;
    (void)i;
    (void)op;
    buf_init(&b);
    op_result_encode(&b, res);
    require(op_result_decode(buf_slice(&b), &again) == 0);
    buf_close(&b);
}

static void one_batch(struct slice in)
{
    struct fsm *f = fsm_new(1), *g = fsm_new(1);

    require(fsm_apply(f, 1, in, on_result, NULL) ==
            fsm_apply(g, 1, in, NULL, NULL));
    require(fsm_digest(f) == fsm_digest(g));
    fsm_check(f);
    fsm_free(f);
    fsm_free(g);
}

/* ---- programs ---- */

static const char *const words[] = {
    "a", "b", "c", "", "key", "0", "1", "-1", "10", "007",
    "9223372036854775807", "-9223372036854775808", "1.5", "1e4000",
    "nan", "inf", "*", "[a-c]", "?*",
    "a value that is a good deal longer than the others, so that it moves",
};
#define WORDS (sizeof(words) / sizeof(words[0]))

static const enum op_kind kinds[] = {
#define X(name, value, is_write) OP_##name,
    OP_KIND_MAP(X)
#undef X
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint8_t big[1400];

/* An argument: a word, or so many bytes, or the eight bytes of a number. */
static struct slice argument(struct cursor *c, uint8_t number[8])
{
    uint8_t what = cursor_u8(c);

    if (what < WORDS)
        return slice_str(words[what]);
    if (what < 128)
        return slice_make(big, (size_t)cursor_u8(c) * 5);
    memset(number, 0, 8);
    number[0] = what & 15;
    return slice_make(number, 8);
}

/* Encode the next operation; false if it is not well-formed. */
static bool next_op(struct cursor *c, struct buf *b)
{
    static uint8_t numbers[8][8];
    struct slice argv[8], scratch[8];
    struct op op = { .argv = argv }, again;
    int8_t time;

    op.kind = kinds[cursor_u8(c) % KINDS];
    op.flags = cursor_u16(c);
    op.argc = cursor_u8(c) % 8;
    op.origin = cursor_u8(c) % 4;
    op.seq = op.origin == 0 ? 0 : 1u + cursor_u8(c) % 32;
    op.low = op.origin == 0 ? 0 : 1u + cursor_u8(c) % op.seq;
    time = (int8_t)cursor_u8(c);
    op.time = time == INT8_MAX ? INT64_MAX : time;
    for (uint32_t i = 0; i < op.argc; i++)
        argv[i] = argument(c, numbers[i]);
    if (c->failed)
        return false;
    buf_clear(b);
    op_encode(b, &op);
    return op_decode(buf_slice(b), &again, scratch, 8) == 0;
}

static void read_one(struct fsm *f, const struct buf *b, int64_t now)
{
    struct op_result res;
    struct slice argv[8];
    struct op op;

    require(op_decode(buf_slice(b), &op, argv, 8) == 0);
    fsm_read(f, &op, now, &res);
    on_result(NULL, 0, &op, &res);
}

static void program(struct cursor c)
{
    struct fsm *f = fsm_new(1), *g = fsm_new(1);
    uint64_t index = 0;
    struct buf op, batch;
    int64_t now = 0;

    buf_init(&op);
    buf_init(&batch);
    while (c.n > 0 && index < 4000) {
        now += cursor_u8(&c) % 16;
        if (!next_op(&c, &op))
            continue;
        if (!op_is_write((enum op_kind)buf_at(&op)[1])) {
            read_one(f, &op, now);
            continue;
        }
        buf_clear(&batch);
        op_batch_begin(&batch, now, 1);
        op_batch_add(&batch, buf_slice(&op));
        index++;
        require(fsm_apply(f, index, buf_slice(&batch), on_result, NULL) == 0);
        require(fsm_apply(g, index, buf_slice(&batch), NULL, NULL) == 0);
        require(fsm_digest(f) == fsm_digest(g));
    }
    fsm_check(f);
    fsm_check(g);
    buf_close(&op);
    buf_close(&batch);
    fsm_free(f);
    fsm_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in;

    if (size == 0)
        return 0;
    in = slice_make(data + 1, size - 1);
    switch (data[0]) {
    case 0:
        one_op(in);
        break;
    case 1:
        one_result(in);
        break;
    case 2:
        one_batch(in);
        break;
    case 3:
        program(cursor_make(in));
        break;
    default:
        break;
    }
    return 0;
}
