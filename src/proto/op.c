/* Encoding of replicated operations and of batches of them.
 *
 * An operation is written once, by the node that coordinates a client's
 * request, and read many times: by the leader, by every replica that applies
 * it, and again after each restart.  So the format is frozen, and one operation
 * has exactly one encoding (varints are minimal, no byte is optional): replicas
 * may compare and checksum encodings.
 *
 *   byte  0     version, 1
 *         1     kind
 *         2..3  flags
 *         4..5  slot of the first key, or 16384
 *         6..13 origin
 *         then  varint seq | varint low | i64 time | varint argc
 *         then  argc times: varint length, bytes
 *
 * Decoding never trusts a length: a cursor stops at the end, argc is bounded by
 * the caller's array before anything is filled, and nothing is allocated.
 *
 * Invariants, for every operation that decodes:
 *   O1  its kind is known, its flags are among those of the kind and do not
 *       exclude each other;
 *   O2  argc and the fixed-size arguments are what the kind needs;
 *   O3  keys, values and the whole are within their limits;
 *   O4  a write with an origin has 1 <= low <= seq <= OP_SEQ_MAX;
 *   O5  encoding it again gives the same bytes.
 * Apply relies on O1-O4 and checks nothing of them again. */
#include "proto/op.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/slot.h"

#define BATCH_VERSION 1

/* How the arguments of a kind look. */
enum op_shape {
    SHAPE_NONE,    /* no argument */
    SHAPE_KEY,     /* one key */
    SHAPE_KEYS,    /* one key or more */
    SHAPE_PAIRS,   /* key value, one pair or more */
    SHAPE_VALUE,   /* key value */
    SHAPE_SET,     /* key value, and one more with IFEQ or IFREV */
    SHAPE_RANGE,   /* key and two more */
    SHAPE_SCAN,    /* u64, u64, pattern */
    SHAPE_PATTERN, /* pattern */
    SHAPE_U64      /* u64 */
};

#define SET_FLAGS                                           \
    (OP_NX | OP_XX | OP_GETOLD | OP_KEEPTTL | OP_TIME_REL | \
     OP_TIME_ABS | OP_IFEQ | OP_IFREV | OP_SETNX_REPLY)
#define EXPIRE_FLAGS \
    (OP_NX | OP_XX | OP_GT | OP_LT | OP_TIME_REL | OP_TIME_ABS)
#define GETEX_FLAGS (OP_TIME_REL | OP_TIME_ABS | OP_PERSIST_TTL)

struct op_info {
    enum op_shape shape;
    unsigned flags; /* those it knows, besides RETRY */
    bool known;
};

#define KIND_END 63 /* one past the highest kind */

#define INFO(name, shape_, flags_) \
    [OP_##name] = { .shape = SHAPE_##shape_, .flags = (flags_), .known = true }

static const struct op_info infos[KIND_END] = {
    INFO(GET, KEY, 0),
    INFO(MGET, KEYS, 0),
    INFO(STRLEN, KEY, 0),
    INFO(GETRANGE, RANGE, 0),
    INFO(EXISTS, KEYS, 0),
    INFO(TOUCH, KEYS, 0),
    INFO(TYPE, KEY, 0),
    INFO(TTL, KEY, 0),
    INFO(GETREV, KEY, 0),
    INFO(DBSIZE, NONE, 0),
    INFO(SCAN, SCAN, 0),
    INFO(KEYS, PATTERN, 0),
    INFO(RANDOMKEY, NONE, 0),
    INFO(SET, SET, SET_FLAGS),
    INFO(MSET, PAIRS, 0),
    INFO(APPEND, VALUE, 0),
    INFO(SETRANGE, RANGE, 0),
    INFO(INCRBY, VALUE, 0),
    INFO(INCRBYFLOAT, VALUE, 0),
    INFO(DEL, KEYS, 0),
    INFO(GETDEL, KEY, 0),
    INFO(GETEX, KEY, GETEX_FLAGS),
    INFO(EXPIRE, KEY, EXPIRE_FLAGS),
    INFO(PERSIST, KEY, 0),
    INFO(FLUSH, NONE, 0),
    INFO(TICK, NONE, 0),
    INFO(SESSION_DROP, U64, 0),
    INFO(NOOP, NONE, 0),
};

static bool kind_known(unsigned kind)
{
    return kind < KIND_END && infos[kind].known;
}

bool op_is_write(enum op_kind kind)
{
    switch (kind) {
#define X(name, value, is_write) \
    case OP_##name:              \
        return is_write;
        OP_KIND_MAP(X)
#undef X
    }
    return false;
}

const char *op_kind_name(enum op_kind kind)
{
    switch (kind) {
#define X(name, value, is_write) \
    case OP_##name:              \
        return #name;
        OP_KIND_MAP(X)
#undef X
    }
    return "?";
}

/* ---- one operation ---- */

void op_encode(struct buf *b, const struct op *op)
{
    ASSERT(kind_known((unsigned)op->kind));
    ASSERT(op->slot <= SLOT_COUNT);
    ASSERT(op->argc <= OP_ARGS_MAX);

    buf_put_u8(b, OP_VERSION);
    buf_put_u8(b, (uint8_t)op->kind);
    buf_put_u16(b, op->flags);
    buf_put_u16(b, op->slot);
    buf_put_u64(b, op->origin);
    buf_put_varint(b, op->seq);
    buf_put_varint(b, op->low);
    buf_put_u64(b, (uint64_t)op->time);
    buf_put_varint(b, op->argc);
    for (uint32_t i = 0; i < op->argc; i++)
        buf_put_bytes(b, op->argv[i]);
}

/* Everything before the arguments. */
static int decode_head(struct cursor *c, struct op *ret, uint64_t *ret_argc)
{
    uint8_t version = cursor_u8(c);
    uint8_t kind = cursor_u8(c);

    if (c->failed)
        return KV_EPROTO;
    if (version != OP_VERSION)
        return KV_EVERSION;
    *ret = (struct op){ .kind = (enum op_kind)kind };
    ret->flags = cursor_u16(c);
    ret->slot = cursor_u16(c);
    ret->origin = cursor_u64(c);
    ret->seq = cursor_varint(c);
    ret->low = cursor_varint(c);
    ret->time = (int64_t)cursor_u64(c);
    *ret_argc = cursor_varint(c);
    return c->failed ? KV_EPROTO : 0;
}

static bool many(unsigned flags, unsigned of)
{
    flags &= of;
    return (flags & (flags - 1)) != 0;
}

/* O1: flags that Redis refuses together are malformed here. */
static bool flags_ok(const struct op *op)
{
    unsigned f = op->flags & ~(unsigned)OP_RETRY;
    unsigned when = OP_TIME_REL | OP_TIME_ABS;

    if ((f & ~infos[op->kind].flags) != 0)
        return false;
    if (op->kind == OP_SET)
        return !many(f, OP_NX | OP_XX | OP_IFEQ | OP_IFREV) &&
               !many(f, when | OP_KEEPTTL);
    if (op->kind == OP_GETEX)
        return !many(f, when | OP_PERSIST_TTL);
    if (op->kind == OP_EXPIRE)
        return (f & when) != 0 && !many(f, when) && !many(f, OP_GT | OP_LT) &&
               ((f & OP_NX) == 0 || (f & (OP_XX | OP_GT | OP_LT)) == 0);
    return true;
}

/* O2, counting. */
static bool argc_ok(const struct op *op)
{
    switch (infos[op->kind].shape) {
    case SHAPE_NONE:
        return op->argc == 0;
    case SHAPE_KEY:
    case SHAPE_PATTERN:
    case SHAPE_U64:
        return op->argc == 1;
    case SHAPE_KEYS:
        return op->argc >= 1;
    case SHAPE_PAIRS:
        return op->argc >= 2 && op->argc % 2 == 0;
    case SHAPE_VALUE:
        return op->argc == 2;
    case SHAPE_SET:
        return op->argc == ((op->flags & (OP_IFEQ | OP_IFREV)) != 0 ? 3 : 2);
    case SHAPE_RANGE:
    case SHAPE_SCAN:
        return op->argc == 3;
    }
    UNREACHABLE();
}

/* O2 and O3 for the arguments themselves. */
static int args_check(const struct op *op)
{
    enum op_shape shape = infos[op->kind].shape;

    if (shape == SHAPE_SCAN)
        return op->argv[0].n == 8 && op->argv[1].n == 8 ? 0 : KV_EPROTO;
    if (shape == SHAPE_U64)
        return op->argv[0].n == 8 ? 0 : KV_EPROTO;
    for (uint32_t i = 0; i < op->argc; i++) {
        bool key = i == 0 || shape == SHAPE_KEYS ||
                   (shape == SHAPE_PAIRS && i % 2 == 0);

        if (op->argv[i].n > (key ? OP_KEY_BYTES_MAX : OP_VALUE_BYTES_MAX))
            return KV_E2BIG;
    }
    if ((op->flags & OP_IFREV) != 0 && op->argv[2].n != 8)
        return KV_EPROTO;
    return 0;
}

int op_decode(struct slice in, struct op *ret, struct slice *argv, uint32_t cap)
{
    struct cursor c = cursor_make(in);
    struct op op;
    uint64_t argc;
    int rv;

    if (in.n > OP_BYTES_MAX)
        return KV_E2BIG;
    rv = decode_head(&c, &op, &argc);
    if (rv != 0)
        return rv;
    if (!kind_known((unsigned)op.kind) || op.slot > SLOT_COUNT ||
        !flags_ok(&op) || op.low > op.seq || op.seq > OP_SEQ_MAX)
        return KV_EPROTO;
    if (op_is_write(op.kind) && op.origin != 0 && op.low == 0)
        return KV_EPROTO;
    if (argc > cap || argc > OP_ARGS_MAX)
        return KV_E2BIG;
    op.argc = (uint32_t)argc;
    op.argv = argv;
    if (!argc_ok(&op))
        return KV_EPROTO;
    for (uint32_t i = 0; i < op.argc && !c.failed; i++)
        argv[i] = cursor_bytes(&c);
    if (!cursor_done(&c))
        return KV_EPROTO;
    rv = args_check(&op);
    if (rv != 0)
        return rv;
    *ret = op;
    return 0;
}

long op_peek_argc(struct slice in)
{
    struct cursor c = cursor_make(in);
    struct op op;
    uint64_t argc;

    if (decode_head(&c, &op, &argc) != 0 || argc > OP_ARGS_MAX)
        return -1;
    return (long)argc;
}

/* ---- batches ---- */

void op_batch_begin(struct buf *b, int64_t time, uint64_t count)
{
    buf_put_u8(b, BATCH_VERSION);
    buf_put_u8(b, 0);
    buf_put_u64(b, (uint64_t)time);
    buf_put_varint(b, count);
}

void op_batch_add(struct buf *b, struct slice op)
{
    ASSERT(op.n > 0 && op.n <= OP_BYTES_MAX);
    buf_put_bytes(b, op);
}

int op_batch_open(struct slice in, struct op_batch *ret)
{
    struct op_batch b = { .rest = cursor_make(in) };
    uint8_t version = cursor_u8(&b.rest);
    uint8_t flags = cursor_u8(&b.rest);

    if (b.rest.failed)
        return KV_EPROTO;
    if (version != BATCH_VERSION)
        return KV_EVERSION;
    b.time = (int64_t)cursor_u64(&b.rest);
    b.count = cursor_varint(&b.rest);
    /* An op takes more than a byte: a count above the bytes left is a lie, and
     * nobody has to loop over it to find out. */
    if (b.rest.failed || flags != 0 || b.count > b.rest.n)
        return KV_EPROTO;
    if (b.count == 0 && b.rest.n != 0)
        return KV_EPROTO;
    *ret = b;
    return 0;
}

int op_batch_next(struct op_batch *b, struct slice *ret_op)
{
    struct slice op;

    if (b->rest.failed)
        return KV_EPROTO;
    if (b->count == 0)
        return b->rest.n == 0 ? KV_EEOF : KV_EPROTO;
    op = cursor_bytes(&b->rest);
    if (b->rest.failed)
        return KV_EPROTO;
    if (op.n == 0 || op.n > OP_BYTES_MAX) {
        b->rest.failed = true;
        return KV_EPROTO;
    }
    b->count--;
    *ret_op = op;
    return 0;
}
