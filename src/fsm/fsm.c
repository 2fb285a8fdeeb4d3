/* The state machine of one shard.
 *
 *   state = table (engine) + sessions + shard clock + revision + applied index
 *
 * fsm_apply is a pure function of state and entry (rule R2): it reads no clock,
 * no randomness, no address, and nothing that a read may have changed.  The one
 * thing reads do change, the LRU order, is written by apply but never looked at
 * here.
 *
 * One entry:
 *   1. walk the batch's framing; if it is broken nothing changes but the index;
 *   2. clock = max(clock, leader's time)  (rule R3: time never goes back, and
 *      all replicas see the same);
 *   3. each operation in turn: decode; ask the session of its origin; execute;
 *      remember the result; tell the callback.
 * An operation that does not decode, or is no write, gets OP_ERR_BAD_OP and the
 * others go on.  It cannot come from our own shard, which decodes before
 * proposing.
 *
 *   F1  applied only grows, by whatever gaps the log has (entries of other
 *       kinds).
 *   F2  revision grows by one for each operation that changed the table, and
 *       every key carries the revision of the operation that changed it last.
 *   F3  clock_ms never falls; a key whose deadline it has reached is absent for
 *       every read and write, whether TICK has removed it yet or not.
 *   F4  Two machines that applied the same entries have the same digest,
 *       whatever was read from them. */
#include "fsm/fsm_int.h"

#include <xxhash.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/mem.h"
#include "fsm/table.h"

#define ARGV_KEEP 1024u       /* slices kept between entries */
#define OUT_KEEP (64u << 10)  /* bytes kept between results */

struct fsm *fsm_new(uint64_t hash_seed)
{
    struct fsm *f = MEM_NEW(struct fsm);

    f->engine = table_new(hash_seed);
    sessions_init(&f->sessions);
    rng_seed(&f->rng, hash_seed);
    buf_init(&f->out);
    return f;
}

void fsm_free(struct fsm *f)
{
    if (f == NULL)
        return;
    f->engine->ops->free(f->engine);
    sessions_close(&f->sessions);
    mem_free(f->argv);
    buf_close(&f->out);
    mem_free(f);
}

/* Room for the arguments of the op; false if it does not say how many. */
static bool argv_reserve(struct fsm *f, struct slice op)
{
    long argc = op_peek_argc(op);

    if (argc < 0)
        return false;
    if ((uint32_t)argc > f->argv_cap) {
        f->argv_cap = (uint32_t)argc;
        f->argv = mem_realloc(f->argv, f->argv_cap * sizeof(f->argv[0]));
    }
    return true;
}

static void argv_shrink(struct fsm *f)
{
    if (f->argv_cap <= ARGV_KEEP)
        return;
    mem_free(f->argv);
    f->argv = NULL;
    f->argv_cap = 0;
}

static void execute(struct fsm *f, const struct op *op, struct op_result *ret)
{
    buf_clear(&f->out);
    buf_shrink(&f->out, OUT_KEEP);
    f->changed = false;
    fsm__apply_op(f, op, ret);
}

/* Execute the write unless its origin has had it executed before. */
static void execute_once(struct fsm *f, const struct op *op,
                         struct op_result *ret)
{
    if (op->origin == 0 || SABOTAGE(DEDUPE_OFF) ||
        (SABOTAGE(RETRY_FRESH) && (op->flags & OP_RETRY) != 0)) {
        execute(f, op, ret);
        return;
    }
    switch (session_begin(&f->sessions, op, f->clock_ms, ret)) {
    case SESSION_FRESH:
        execute(f, op, ret);
        session_commit(&f->sessions, op, ret);
        return;
    case SESSION_REPEAT:
        return;
    case SESSION_LOST:
        *ret = op_result_err(OP_ERR_SESSION_LOST);
        return;
    case SESSION_FULL:
        *ret = op_result_err(OP_ERR_SESSION_FULL);
        return;
    }
    UNREACHABLE();
}

static void apply_one(struct fsm *f, struct slice bytes, uint64_t i,
                      fsm_result_cb cb, void *ctx)
{
    struct op_result res = { .type = OP_RES_NIL };
    struct op op = { .kind = OP_NOOP };

    if (!argv_reserve(f, bytes) ||
        op_decode(bytes, &op, f->argv, f->argv_cap) != 0 ||
        !op_is_write(op.kind))
        res = op_result_err(OP_ERR_BAD_OP);
    else
        execute_once(f, &op, &res);
    if (cb != NULL)
        cb(ctx, i, &op, &res);
}

/* 0 if every operation's bytes can be found. */
static int framing_check(struct op_batch b)
{
    struct slice op;
    int rv;

    do
        rv = op_batch_next(&b, &op);
    while (rv == 0);
    return rv == KV_EEOF ? 0 : rv;
}

int fsm_apply(struct fsm *f, uint64_t index, struct slice batch,
              fsm_result_cb cb, void *ctx)
{
    struct op_batch b;
    struct slice op;
    int rv;

    ASSERT(index > f->applied); /* F1 */
    f->applied = index;
    rv = op_batch_open(batch, &b);
    if (rv == 0)
        rv = framing_check(b);
    if (rv != 0)
        return KV_EPROTO;
    if (b.time > f->clock_ms || SABOTAGE(CLOCK_BACKWARDS))
        f->clock_ms = b.time; /* F3 */
    for (uint64_t i = 0; op_batch_next(&b, &op) == 0; i++)
        apply_one(f, op, i, cb, ctx);
    argv_shrink(f);
    return 0;
}

/* ---- figures ---- */

uint64_t fsm_applied(const struct fsm *f)
{
    return f->applied;
}

uint64_t fsm_revision(const struct fsm *f)
{
    return f->revision;
}

int64_t fsm_clock_ms(const struct fsm *f)
{
    return f->clock_ms;
}

uint64_t fsm_digest(const struct fsm *f)
{
    uint8_t b[40];

    put_u64le(b, f->applied);
    put_u64le(b + 8, f->revision);
    put_u64le(b + 16, (uint64_t)f->clock_ms);
    put_u64le(b + 24, f->engine->ops->digest(f->engine));
    put_u64le(b + 32, sessions_digest(&f->sessions));
    return XXH3_64bits(b, sizeof(b));
}

uint64_t fsm_slot_digest(const struct fsm *f, uint16_t slot)
{
    return f->engine->ops->slot_digest(f->engine, slot);
}

int64_t fsm_next_deadline(const struct fsm *f)
{
    struct engine_view v;

    if (!f->engine->ops->earliest(f->engine, &v))
        return INT64_MAX;
    return v.deadline_ms;
}

void fsm_get_stats(const struct fsm *f, struct fsm_stats *ret)
{
    struct engine_stats es;

    f->engine->ops->stats(f->engine, &es);
    *ret = (struct fsm_stats){
        .keys = es.keys,
        .keys_with_ttl = es.keys_with_deadline,
        .expired = f->expired,
        .hits = f->hits,
        .misses = f->misses,
        .bytes = es.bytes,
        .sessions = f->sessions.count,
        .session_bytes = f->sessions.bytes,
    };
    if (es.avg_deadline_ms > f->clock_ms)
        ret->avg_ttl_ms = es.avg_deadline_ms - f->clock_ms;
}

unsigned fsm_idle_sessions(const struct fsm *f, int64_t idle_ms,
                           uint64_t *ret_origins, unsigned max)
{
    ASSERT(idle_ms >= 0);
    return sessions_idle(&f->sessions, f->clock_ms - idle_ms, ret_origins,
                         max);
}

void fsm_check(const struct fsm *f)
{
    f->engine->ops->check(f->engine, true);
    sessions_check(&f->sessions);
    ASSERT(f->clock_ms >= 0);
}
