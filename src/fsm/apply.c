/* What each write does: string commands with the semantics of Redis 7.
 *
 * An operation reaches this file decoded (its arguments have the right number
 * and sizes), for the first time, and with the shard clock of its entry.
 * Numbers in decimal and times have not been checked; they can be anything.
 *
 * An expired key is absent (F3): it is overwritten like one, and what it had
 * (value, deadline) is not seen.  Otherwise it stays for TICK, which alone
 * removes keys for the passing of time.
 *
 * Redis semantics worth writing down:
 *   - A deadline that is not in the future removes the key: EXPIRE and GETEX
 *     then delete, SET leaves nothing behind.
 *   - SET with GET answers with the old value whether or not it stored.
 *   - A key without deadline counts as one that lives for ever: EXPIRE LT
 *     always shortens it, GT never lengthens it.
 *   - APPEND, SETRANGE and the INCR family keep the deadline, SET drops it.
 *   - SETRANGE with nothing to write changes nothing and creates nothing;
 *     APPEND of nothing creates an empty key.
 *
 * Every change goes through store(), retime() and drop(), which take the
 * operation's revision when it changes something for the first time (F2). */
#include "fsm/fsm_int.h"

#include <math.h>

#include "base/assert.h"
#include "base/codec.h"
#include "fsm/number.h"

static struct op_result res_ok(void)
{
    return (struct op_result){ .type = OP_RES_OK };
}

static struct op_result res_int(int64_t n)
{
    return (struct op_result){ .type = OP_RES_INT, .num = n };
}

/* A copy, because the table is about to change. */
static struct op_result res_copy(struct fsm *f, struct slice s)
{
    ASSERT(f->out.len == 0);
    buf_put_slice(&f->out, s);
    return (struct op_result){ .type = OP_RES_BULK,
                               .bulk = buf_slice(&f->out) };
}

/* ---- changing the table ---- */

static uint64_t op_revision(struct fsm *f)
{
    if (!f->changed)
        f->revision++;
    f->changed = true;
    return f->revision;
}

/* The deadline may have been reached already: then nothing remains. */
static void store(struct fsm *f, struct slice key, struct slice value,
                  int64_t deadline_ms)
{
    struct engine *e = f->engine;
    struct engine_view v = { .key = key, .value = value,
                             .deadline_ms = deadline_ms };

    if (fsm__is_expired(f, &v)) {
        if (e->ops->remove(e, key))
            (void)op_revision(f);
        return;
    }
    v.revision = op_revision(f);
    e->ops->put(e, &v);
}

static void retime(struct fsm *f, struct slice key, int64_t deadline_ms)
{
    f->engine->ops->set_deadline(f->engine, key, deadline_ms, op_revision(f));
}

static void drop(struct fsm *f, struct slice key)
{
    bool was_there = f->engine->ops->remove(f->engine, key);

    ASSERT(was_there);
    (void)op_revision(f);
}

/* The deadline that op's flags and time ask for; ENGINE_NO_DEADLINE without a
 * time. False if it does not fit. */
static bool deadline_of(const struct fsm *f, const struct op *op,
                        int64_t *ret)
{
    int64_t now = fsm__clock(f);
    int64_t at = ENGINE_NO_DEADLINE;

    if ((op->flags & OP_TIME_REL) != 0) {
        if (op->time > 0 && now > INT64_MAX - 1 - op->time)
            return false;
        at = now + op->time;
    } else if ((op->flags & OP_TIME_ABS) != 0) {
        if (op->time == ENGINE_NO_DEADLINE)
            return false;
        at = op->time;
    }
    *ret = at;
    return true;
}

/* ---- SET, MSET ---- */

/* Flags whose meaning depends on what is there; a plain SET need not look. */
#define SET_LOOKS \
    (OP_NX | OP_XX | OP_GETOLD | OP_KEEPTTL | OP_IFEQ | OP_IFREV)

static bool set_condition(const struct op *op, bool exists,
                          const struct engine_view *cur)
{
    if ((op->flags & OP_NX) != 0)
        return !exists;
    if ((op->flags & OP_XX) != 0)
        return exists;
    if ((op->flags & OP_IFEQ) != 0)
        return exists && slice_eq(cur->value, op->argv[2]);
    if ((op->flags & OP_IFREV) != 0)
        return SABOTAGE(CAS_BLIND) ||
               get_u64le(op->argv[2].p) == (exists ? cur->revision : 0);
    return true;
}

static void apply_set(struct fsm *f, const struct op *op,
                      struct op_result *ret)
{
    struct engine_view cur = { .revision = 0 };
    bool exists = (op->flags & SET_LOOKS) != 0 &&
                  fsm__get(f, op->argv[0], false, &cur);
    bool stored = set_condition(op, exists, &cur);
    int64_t deadline;

    if (!deadline_of(f, op, &deadline)) {
        *ret = op_result_err(OP_ERR_EXPIRE);
        return;
    }
    if ((op->flags & OP_GETOLD) != 0) {
        if (exists)
            *ret = res_copy(f, cur.value);
    } else if ((op->flags & OP_SETNX_REPLY) != 0) {
        *ret = res_int(stored);
    } else if (stored) {
        *ret = res_ok();
    }
    if ((op->flags & OP_KEEPTTL) != 0 && exists)
        deadline = cur.deadline_ms;
    if (stored)
        store(f, op->argv[0], op->argv[1], deadline);
}

static void apply_mset(struct fsm *f, const struct op *op,
                       struct op_result *ret)
{
    for (uint32_t i = 0; i < op->argc; i += 2)
        store(f, op->argv[i], op->argv[i + 1], ENGINE_NO_DEADLINE);
    *ret = res_ok();
}

/* ---- APPEND, SETRANGE ---- */

/* Store `bytes` over the value from offset on, zeros where it was shorter. */
static void splice(struct fsm *f, struct slice key,
                   const struct engine_view *cur, size_t offset,
                   struct slice bytes, struct op_result *ret)
{
    size_t n = offset + bytes.n;
    uint8_t *p;

    if (n < cur->value.n)
        n = cur->value.n;
    buf_clear(&f->out);
    p = buf_grow(&f->out, n);
    if (cur->value.n > 0)
        memcpy(p, cur->value.p, cur->value.n);
    if (n > cur->value.n)
        memset(p + cur->value.n, 0, n - cur->value.n);
    if (bytes.n > 0)
        memcpy(p + offset, bytes.p, bytes.n);
    store(f, key, slice_make(p, n), cur->deadline_ms);
    *ret = res_int((int64_t)n);
}

/* The key as it is, or an empty value without deadline; true if it is there. */
static bool current(struct fsm *f, struct slice key, struct engine_view *ret)
{
    if (fsm__get(f, key, false, ret))
        return true;
    *ret = (struct engine_view){ .key = key,
                                 .deadline_ms = ENGINE_NO_DEADLINE };
    return false;
}

static void apply_append(struct fsm *f, const struct op *op,
                         struct op_result *ret)
{
    struct engine_view cur;
    bool exists = current(f, op->argv[0], &cur);

    if (exists && op->argv[1].n == 0)
        *ret = res_int((int64_t)cur.value.n);
    else if (op->argv[1].n > OP_VALUE_BYTES_MAX - cur.value.n)
        *ret = op_result_err(OP_ERR_TOO_BIG);
    else
        splice(f, op->argv[0], &cur, cur.value.n, op->argv[1], ret);
}

static void apply_setrange(struct fsm *f, const struct op *op,
                           struct op_result *ret)
{
    struct slice bytes = op->argv[2];
    struct engine_view cur;
    int64_t offset;

    (void)current(f, op->argv[0], &cur);
    if (!number_parse_int(op->argv[1], &offset))
        *ret = op_result_err(OP_ERR_NOT_INTEGER);
    else if (offset < 0)
        *ret = op_result_err(OP_ERR_OFFSET);
    else if (bytes.n == 0)
        *ret = res_int((int64_t)cur.value.n);
    else if (offset > (int64_t)(OP_VALUE_BYTES_MAX - bytes.n))
        *ret = op_result_err(OP_ERR_TOO_BIG);
    else
        splice(f, op->argv[0], &cur, (size_t)offset, bytes, ret);
}

/* ---- INCRBY, INCRBYFLOAT ---- */

static void apply_incrby(struct fsm *f, const struct op *op,
                         struct op_result *ret)
{
    char text[NUMBER_INT_TEXT_MAX];
    struct engine_view cur;
    bool exists = current(f, op->argv[0], &cur);
    int64_t value = 0, delta;
    size_t n;

    if (!number_parse_int(op->argv[1], &delta) ||
        (exists && !number_parse_int(cur.value, &value))) {
        *ret = op_result_err(OP_ERR_NOT_INTEGER);
        return;
    }
    if (delta < 0 ? value < INT64_MIN - delta : value > INT64_MAX - delta) {
        *ret = op_result_err(OP_ERR_OVERFLOW);
        return;
    }
    n = number_format_int(text, value + delta);
    store(f, op->argv[0], slice_make(text, n), cur.deadline_ms);
    *ret = res_int(value + delta);
}

static void apply_incrbyfloat(struct fsm *f, const struct op *op,
                              struct op_result *ret)
{
    char text[NUMBER_FLOAT_TEXT_MAX];
    struct engine_view cur;
    bool exists = current(f, op->argv[0], &cur);
    long double value = 0, delta;
    size_t n;

    if (!number_parse_float(op->argv[1], &delta) ||
        (exists && !number_parse_float(cur.value, &value))) {
        *ret = op_result_err(OP_ERR_NOT_FLOAT);
        return;
    }
    value += delta;
    if (isnan(value) || isinf(value)) {
        *ret = op_result_err(OP_ERR_NAN);
        return;
    }
    n = number_format_float(text, value);
    store(f, op->argv[0], slice_make(text, n), cur.deadline_ms);
    *ret = res_copy(f, slice_make(text, n));
}

/* ---- DEL, GETDEL, FLUSH ---- */

static void apply_del(struct fsm *f, const struct op *op,
                      struct op_result *ret)
{
    struct engine_view cur;
    int64_t n = 0;

    for (uint32_t i = 0; i < op->argc; i++) {
        if (!fsm__get(f, op->argv[i], false, &cur))
            continue;
        drop(f, op->argv[i]);
        n++;
    }
    *ret = res_int(n);
}

static void apply_getdel(struct fsm *f, const struct op *op,
                         struct op_result *ret)
{
    struct engine_view cur;

    if (!fsm__get(f, op->argv[0], false, &cur))
        return;
    *ret = res_copy(f, cur.value);
    drop(f, op->argv[0]);
}

static void apply_flush(struct fsm *f, struct op_result *ret)
{
    struct engine_stats es;

    f->engine->ops->stats(f->engine, &es);
    if (es.keys > 0)
        (void)op_revision(f);
    f->engine->ops->flush(f->engine);
    *ret = res_ok();
}

/* ---- EXPIRE, PERSIST, GETEX, TICK ---- */

static bool expire_condition(unsigned flags, int64_t cur, int64_t new)
{
    bool timed = cur != ENGINE_NO_DEADLINE;

    if ((flags & OP_NX) != 0 && timed)
        return false;
    if ((flags & OP_XX) != 0 && !timed)
        return false;
    if ((flags & OP_GT) != 0 && (!timed || new <= cur))
        return false;
    return (flags & OP_LT) == 0 || !timed || new < cur;
}

/* Give a key that is there a deadline, or drop it if that is not in the
 * future. */
static void expire_at(struct fsm *f, struct slice key, int64_t deadline_ms)
{
    if (deadline_ms <= fsm__clock(f))
        drop(f, key);
    else
        retime(f, key, deadline_ms);
}

static void apply_expire(struct fsm *f, const struct op *op,
                         struct op_result *ret)
{
    struct engine_view cur;
    int64_t deadline;

    if (!deadline_of(f, op, &deadline)) {
        *ret = op_result_err(OP_ERR_EXPIRE);
        return;
    }
    *ret = res_int(0);
    if (!fsm__get(f, op->argv[0], false, &cur) ||
        !expire_condition(op->flags, cur.deadline_ms, deadline))
        return;
    expire_at(f, op->argv[0], deadline);
    *ret = res_int(1);
}

static void apply_persist(struct fsm *f, const struct op *op,
                          struct op_result *ret)
{
    struct engine_view cur;

    *ret = res_int(0);
    if (!fsm__get(f, op->argv[0], false, &cur) ||
        cur.deadline_ms == ENGINE_NO_DEADLINE)
        return;
    retime(f, op->argv[0], ENGINE_NO_DEADLINE);
    *ret = res_int(1);
}

static void apply_getex(struct fsm *f, const struct op *op,
                        struct op_result *ret)
{
    struct engine_view cur;
    int64_t deadline;

    if (!deadline_of(f, op, &deadline)) {
        *ret = op_result_err(OP_ERR_EXPIRE);
        return;
    }
    if (!fsm__get(f, op->argv[0], true, &cur))
        return;
    *ret = res_copy(f, cur.value);
    if ((op->flags & (OP_TIME_REL | OP_TIME_ABS)) != 0)
        expire_at(f, op->argv[0], deadline);
    else if ((op->flags & OP_PERSIST_TTL) != 0 &&
             cur.deadline_ms != ENGINE_NO_DEADLINE)
        retime(f, op->argv[0], ENGINE_NO_DEADLINE);
}

static void apply_tick(struct fsm *f, struct op_result *ret)
{
    struct engine_view v;
    int64_t n = 0;

    while (n < FSM_TICK_KEYS_MAX && f->engine->ops->earliest(f->engine, &v) &&
           fsm__is_expired(f, &v)) {
        buf_clear(&f->out);
        buf_put_slice(&f->out, v.key);
        drop(f, buf_slice(&f->out));
        n++;
    }
    f->expired += (uint64_t)n;
    *ret = res_int(n);
}

/* ---- all of them ---- */

void fsm__apply_op(struct fsm *f, const struct op *op, struct op_result *ret)
{
    switch ((int)op->kind) {
    case OP_SET:
        apply_set(f, op, ret);
        return;
    case OP_MSET:
        apply_mset(f, op, ret);
        return;
    case OP_APPEND:
        apply_append(f, op, ret);
        return;
    case OP_SETRANGE:
        apply_setrange(f, op, ret);
        return;
    case OP_INCRBY:
        apply_incrby(f, op, ret);
        return;
    case OP_INCRBYFLOAT:
        apply_incrbyfloat(f, op, ret);
        return;
    case OP_DEL:
        apply_del(f, op, ret);
        return;
    case OP_GETDEL:
        apply_getdel(f, op, ret);
        return;
    case OP_GETEX:
        apply_getex(f, op, ret);
        return;
    case OP_EXPIRE:
        apply_expire(f, op, ret);
        return;
    case OP_PERSIST:
        apply_persist(f, op, ret);
        return;
    case OP_FLUSH:
        apply_flush(f, ret);
        return;
    case OP_TICK:
        apply_tick(f, ret);
        return;
    case OP_SESSION_DROP:
        session_drop(&f->sessions, get_u64le(op->argv[0].p));
        *ret = res_ok();
        return;
    case OP_NOOP:
        *ret = res_ok();
        return;
    default:
        UNREACHABLE();
    }
}
