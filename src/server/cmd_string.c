/* String commands: words -> operation.
 *
 * Options and their errors are those of Redis 7, checked in the same order:
 * syntax first, then numbers, then the time.  What depends on the value (not an
 * integer, overflow) is the state machine's to say.
 *
 * Times: EX and PX are relative to the shard clock at apply (OP_TIME_REL), EXAT and
 * PXAT are absolute.  The overflow check of Redis is made against the wall clock
 * of this node; it refuses only times some 290 million years away. */
#include "server/server_int.h"

#include <string.h>

#include "base/codec.h"
#include "proto/reply.h"

enum unit { UNIT_NONE, UNIT_EX, UNIT_PX, UNIT_EXAT, UNIT_PXAT };

static void bad_expire(struct rq *q)
{
    reply_error(q->out, "ERR invalid expire time in '%s' command",
                q->spec->name);
}

enum time_check { TIME_OK, TIME_NOT_INTEGER, TIME_INVALID };

/* A positive time in its unit -> ms and the flag that says how to read it. */
static enum time_check read_time(struct server *s, struct slice word,
                                 enum unit unit, struct op *op)
{
    bool relative = unit == UNIT_EX || unit == UNIT_PX;
    int64_t v;

    if (!resp_int64(word, &v))
        return TIME_NOT_INTEGER;
    if (v <= 0)
        return TIME_INVALID;
    if (unit == UNIT_EX || unit == UNIT_EXAT) {
        if (v > INT64_MAX / 1000)
            return TIME_INVALID;
        v *= 1000;
    }
    if (relative && v > INT64_MAX - env_wall_ms(s->env))
        return TIME_INVALID;
    op->time = v;
    op->flags |= relative ? OP_TIME_REL : OP_TIME_ABS;
    return TIME_OK;
}

/* As read_time; replies with the error. */
static bool set_time(struct rq *q, struct slice word, enum unit unit,
                     struct op *op)
{
    switch (read_time(q->s, word, unit, op)) {
    case TIME_NOT_INTEGER:
        rq__not_integer(q);
        return false;
    case TIME_INVALID:
        bad_expire(q);
        return false;
    case TIME_OK:
        break;
    }
    return true;
}

static enum unit unit_of(struct slice word)
{
    if (rq__is(word, "ex"))
        return UNIT_EX;
    if (rq__is(word, "px"))
        return UNIT_PX;
    if (rq__is(word, "exat"))
        return UNIT_EXAT;
    if (rq__is(word, "pxat"))
        return UNIT_PXAT;
    return UNIT_NONE;
}

void cmd_do_get(struct rq *q)
{
    struct op op = { .kind = OP_GET, .argv = q->argv + 1, .argc = 1 };

    rq__submit(q, &op, NULL, 0);
}

void cmd_do_getdel(struct rq *q)
{
    struct op op = { .kind = OP_GETDEL, .argv = q->argv + 1, .argc = 1 };

    rq__submit(q, &op, NULL, 0);
}

void cmd_do_strlen(struct rq *q)
{
    struct op op = { .kind = OP_STRLEN, .argv = q->argv + 1, .argc = 1 };

    rq__submit(q, &op, NULL, 0);
}

static void convert_getrev(struct cmd *m, const struct op_result *res,
                           struct buf *out)
{
    if (res->type == OP_RES_INT && res->num == 0)
        reply_nil(out, m->resp);
    else
        cmd__reply(m, res, out);
}

void cmd_do_getrev(struct rq *q)
{
    struct op op = { .kind = OP_GETREV, .argv = q->argv + 1, .argc = 1 };

    rq__submit(q, &op, convert_getrev, 0);
}

/* ---- SET ---- */

/* What SET's options say; words are borrowed from the request. */
struct set_options {
    unsigned flags;           /* OP_* */
    enum unit unit;
    struct slice time, cond;  /* with unit; with IFEQ or IFREV */
};

#define SET_CONDITIONS ((unsigned)(OP_NX | OP_XX | OP_IFEQ | OP_IFREV))

/* One option, and its argument if it takes one.  Returns the words used, 0 for
 * a syntax error. */
static uint32_t set_option(const struct slice *w, uint32_t left,
                           struct set_options *o)
{
    bool keep = (o->flags & OP_KEEPTTL) != 0;
    bool conditional = (o->flags & SET_CONDITIONS) != 0;
    enum unit unit = unit_of(w[0]);

    if (unit != UNIT_NONE) {
        /* The same unit twice is legal: the last one counts. */
        if (keep || left < 2 || (o->unit != UNIT_NONE && o->unit != unit))
            return 0;
        o->unit = unit;
        o->time = w[1];
        return 2;
    }
    if (rq__is(w[0], "get")) {
        o->flags |= OP_GETOLD;
        return 1;
    }
    if (rq__is(w[0], "keepttl") && o->unit == UNIT_NONE) {
        o->flags |= OP_KEEPTTL;
        return 1;
    }
    if (rq__is(w[0], "nx") && (o->flags & SET_CONDITIONS & ~(unsigned)OP_NX) == 0) {
        o->flags |= OP_NX;
        return 1;
    }
    if (rq__is(w[0], "xx") && (o->flags & SET_CONDITIONS & ~(unsigned)OP_XX) == 0) {
        o->flags |= OP_XX;
        return 1;
    }
    if (conditional || left < 2)
        return 0;
    if (rq__is(w[0], "ifeq"))
        o->flags |= OP_IFEQ;
    else if (rq__is(w[0], "ifrev"))
        o->flags |= OP_IFREV;
    else
        return 0;
    o->cond = w[1];
    return 2;
}

void cmd_do_set(struct rq *q)
{
    struct set_options o = { .flags = 0 };
    struct slice argv[3] = { q->argv[1], q->argv[2] };
    struct op op = { .kind = OP_SET, .argv = argv, .argc = 2 };
    uint8_t rev[8];
    int64_t v;

    for (uint32_t i = 3, n; i < q->argc; i += n) {
        n = set_option(q->argv + i, q->argc - i, &o);
        if (n == 0) {
            rq__syntax(q);
            return;
        }
    }
    op.flags = (uint16_t)o.flags;
    if (o.unit != UNIT_NONE && !set_time(q, o.time, o.unit, &op))
        return;
    if ((o.flags & (OP_IFEQ | OP_IFREV)) != 0) {
        argv[2] = o.cond;
        op.argc = 3;
    }
    if ((o.flags & OP_IFREV) != 0) {
        if (!resp_int64(o.cond, &v) || v < 0) {
            rq__not_integer(q);
            return;
        }
        put_u64le(rev, (uint64_t)v);
        argv[2] = slice_make(rev, sizeof rev);
    }
    rq__submit(q, &op, NULL, 0);
}

void cmd_do_setnx(struct rq *q)
{
    struct op op = { .kind = OP_SET, .flags = OP_NX | OP_SETNX_REPLY,
                     .argv = q->argv + 1, .argc = 2 };

    rq__submit(q, &op, NULL, 0);
}

void cmd_do_getset(struct rq *q)
{
    struct op op = { .kind = OP_SET, .flags = OP_GETOLD, .argv = q->argv + 1,
                     .argc = 2 };

    rq__submit(q, &op, NULL, 0);
}

/* SETEX, PSETEX key time value */
void cmd_do_setex(struct rq *q)
{
    struct slice argv[2] = { q->argv[1], q->argv[3] };
    struct op op = { .kind = OP_SET, .argv = argv, .argc = 2 };
    enum unit unit = q->spec->id == CMD_SETEX ? UNIT_EX : UNIT_PX;

    if (set_time(q, q->argv[2], unit, &op))
        rq__submit(q, &op, NULL, 0);
}

/* ---- GETEX ---- */

/* Redis looks the key up before it reads the time: a missing key is nil even if the
 * time is wrong, and a present one is not read if it is. */
static void convert_getex_bad(struct cmd *m, const struct op_result *res,
                              struct buf *out)
{
    if (res->type != OP_RES_BULK)
        cmd__reply(m, res, out);
    else
        cmd__error(m, m->arg, false, out);
}

/* The options of GETEX; false for a syntax error. */
static bool getex_options(const struct rq *q, struct set_options *o)
{
    for (uint32_t i = 2; i < q->argc; i++) {
        enum unit unit = unit_of(q->argv[i]);

        if (rq__is(q->argv[i], "persist") && o->unit == UNIT_NONE) {
            o->flags |= OP_PERSIST_TTL;
            continue;
        }
        if (unit == UNIT_NONE || i + 1 == q->argc || o->flags != 0 ||
            (o->unit != UNIT_NONE && o->unit != unit))
            return false;
        o->unit = unit;
        o->time = q->argv[++i];
    }
    return true;
}

void cmd_do_getex(struct rq *q)
{
    struct op op = { .kind = OP_GETEX, .argv = q->argv + 1, .argc = 1 };
    struct set_options o = { .flags = 0 };
    enum time_check t = TIME_OK;

    if (q->argc == 2) {
        cmd_do_get(q);
        return;
    }
    if (!getex_options(q, &o)) {
        rq__syntax(q);
        return;
    }
    op.flags = (uint16_t)o.flags;
    if (o.unit != UNIT_NONE)
        t = read_time(q->s, o.time, o.unit, &op);
    if (t == TIME_OK) {
        rq__submit(q, &op, NULL, 0);
        return;
    }
    op.kind = OP_GET;
    op.flags = 0;
    rq__submit(q, &op, convert_getex_bad,
               t == TIME_INVALID ? OP_ERR_EXPIRE : OP_ERR_NOT_INTEGER);
}

/* ---- parts of values ---- */

void cmd_do_append(struct rq *q)
{
    struct op op = { .kind = OP_APPEND, .argv = q->argv + 1, .argc = 2 };

    rq__submit(q, &op, NULL, 0);
}

void cmd_do_getrange(struct rq *q)
{
    struct op op = { .kind = OP_GETRANGE, .argv = q->argv + 1, .argc = 3 };
    int64_t start, end;

    if (rq__int(q, q->argv[2], &start) && rq__int(q, q->argv[3], &end))
        rq__submit(q, &op, NULL, 0);
}

void cmd_do_setrange(struct rq *q)
{
    struct op op = { .kind = OP_SETRANGE, .argv = q->argv + 1, .argc = 3 };
    int64_t offset;

    if (!rq__int(q, q->argv[2], &offset))
        return;
    if (offset < 0)
        reply_error(q->out, "ERR offset is out of range");
    else
        rq__submit(q, &op, NULL, 0);
}

/* ---- counters ---- */

static void submit_delta(struct rq *q, int64_t delta)
{
    char text[24];
    struct slice argv[2] = { q->argv[1] };
    struct op op = { .kind = OP_INCRBY, .argv = argv, .argc = 2 };

    argv[1] = slice_make(text, reply_format_int(text, delta));
    rq__submit(q, &op, NULL, 0);
}

void cmd_do_incr(struct rq *q)
{
    submit_delta(q, 1);
}

void cmd_do_decr(struct rq *q)
{
    submit_delta(q, -1);
}

void cmd_do_incrby(struct rq *q)
{
    int64_t v;

    if (rq__int(q, q->argv[2], &v))
        submit_delta(q, v);
}

void cmd_do_decrby(struct rq *q)
{
    int64_t v;

    if (!rq__int(q, q->argv[2], &v))
        return;
    if (v == INT64_MIN)
        reply_error(q->out, "ERR decrement would overflow");
    else
        submit_delta(q, -v);
}

void cmd_do_incrbyfloat(struct rq *q)
{
    struct op op = { .kind = OP_INCRBYFLOAT, .argv = q->argv + 1, .argc = 2 };

    rq__submit(q, &op, NULL, 0);
}

/* ---- several keys ---- */

void cmd_do_mget(struct rq *q)
{
    rq__keys(q, OP_MGET, 1, FAN_VALUES);
}

void cmd_do_mset(struct rq *q)
{
    if (q->argc % 2 == 0)
        rq__arity(q);
    else
        rq__keys(q, OP_MSET, 2, FAN_OK);
}
