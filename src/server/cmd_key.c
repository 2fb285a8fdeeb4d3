/* Commands about keys: existence, expiry, and all keys of all shards. */
#include "server/server_int.h"

#include "proto/reply.h"

void cmd_do_del(struct rq *q)
{
    rq__keys(q, OP_DEL, 1, FAN_SUM);
}

void cmd_do_exists(struct rq *q)
{
    rq__keys(q, OP_EXISTS, 1, FAN_SUM);
}

void cmd_do_touch(struct rq *q)
{
    rq__keys(q, OP_TOUCH, 1, FAN_SUM);
}

static void convert_type(struct cmd *m, const struct op_result *res,
                         struct buf *out)
{
    if (res->type != OP_RES_BULK) {
        cmd__reply(m, res, out);
        return;
    }
    buf_put_u8(out, '+');
    buf_put_slice(out, res->bulk);
    buf_put(out, "\r\n", 2);
}

void cmd_do_type(struct rq *q)
{
    struct op op = { .kind = OP_TYPE, .argv = q->argv + 1, .argc = 1 };

    rq__submit(q, &op, convert_type, 0);
}

void cmd_do_persist(struct rq *q)
{
    struct op op = { .kind = OP_PERSIST, .argv = q->argv + 1, .argc = 1 };

    rq__submit(q, &op, NULL, 0);
}

/* ---- expiry ---- */

/* The options of the EXPIRE family, in Redis' order of errors. */
static bool expire_options(struct rq *q, struct op *op)
{
    unsigned f = 0;

    for (uint32_t i = 3; i < q->argc; i++) {
        if (rq__is(q->argv[i], "nx")) {
            f |= OP_NX;
        } else if (rq__is(q->argv[i], "xx")) {
            f |= OP_XX;
        } else if (rq__is(q->argv[i], "gt")) {
            f |= OP_GT;
        } else if (rq__is(q->argv[i], "lt")) {
            f |= OP_LT;
        } else {
            reply_error(q->out, "ERR Unsupported option %.*s",
                        (int)(q->argv[i].n > 512 ? 512 : q->argv[i].n),
                        (const char *)q->argv[i].p);
            return false;
        }
    }
    if ((f & OP_NX) != 0 && f != OP_NX) {
        reply_error(q->out, "ERR NX and XX, GT or LT options at the same "
                            "time are not compatible");
        return false;
    }
    if ((f & OP_GT) != 0 && (f & OP_LT) != 0) {
        reply_error(q->out, "ERR GT and LT options at the same time are not "
                            "compatible");
        return false;
    }
    op->flags = (uint16_t)f;
    return true;
}

/* EXPIRE PEXPIRE EXPIREAT PEXPIREAT key time [options].  A time in the past is
 * legal: it removes the key. */
void cmd_do_expire(struct rq *q)
{
    enum cmd_id id = q->spec->id;
    bool seconds = id == CMD_EXPIRE || id == CMD_EXPIREAT;
    bool relative = id == CMD_EXPIRE || id == CMD_PEXPIRE;
    struct op op = { .kind = OP_EXPIRE, .argv = q->argv + 1, .argc = 1 };
    int64_t v, now = env_wall_ms(q->s->env);

    if (!expire_options(q, &op) || !rq__int(q, q->argv[2], &v))
        return;
    if ((seconds && (v > INT64_MAX / 1000 || v < INT64_MIN / 1000)) ||
        (relative && (seconds ? v * 1000 : v) > INT64_MAX - now)) {
        reply_error(q->out, "ERR invalid expire time in '%s' command",
                    q->spec->name);
        return;
    }
    op.time = seconds ? v * 1000 : v;
    op.flags |= relative ? OP_TIME_REL : OP_TIME_ABS;
    rq__submit(q, &op, NULL, 0);
}

static int64_t to_seconds(int64_t ms)
{
    return (ms + 500) / 1000;
}

/* PAIR: deadline (-1: none, -2: no key) and the clock it is to be compared to. */
static void convert_ttl(struct cmd *m, const struct op_result *res,
                        struct buf *out)
{
    int64_t left;

    if (res->type != OP_RES_PAIR) {
        cmd__reply(m, res, out);
        return;
    }
    if (res->num < 0) {
        reply_int(out, res->num);
        return;
    }
    left = res->num > res->num2 ? res->num - res->num2 : 0;
    if (m->spec->id == CMD_TTL)
        reply_int(out, to_seconds(left));
    else if (m->spec->id == CMD_PTTL)
        reply_int(out, left);
    else if (m->spec->id == CMD_EXPIRETIME)
        reply_int(out, to_seconds(res->num));
    else
        reply_int(out, res->num);
}

void cmd_do_ttl(struct rq *q)
{
    struct op op = { .kind = OP_TTL, .argv = q->argv + 1, .argc = 1 };

    rq__submit(q, &op, convert_ttl, 0);
}

/* ---- all keys ---- */

void cmd_do_dbsize(struct rq *q)
{
    struct op op = { .kind = OP_DBSIZE, .slot = SLOT_COUNT };

    rq__all_shards(q, &op, FAN_SUM);
}

/* FLUSHALL, FLUSHDB [ASYNC | SYNC]: either way it is done when it is replied. */
void cmd_do_flush(struct rq *q)
{
    struct op op = { .kind = OP_FLUSH, .slot = SLOT_COUNT };

    if (q->argc > 2 || (q->argc == 2 && !rq__is(q->argv[1], "async") &&
                        !rq__is(q->argv[1], "sync")))
        rq__syntax(q);
    else
        rq__all_shards(q, &op, FAN_OK);
}

void cmd_do_keys(struct rq *q)
{
    struct op op = { .kind = OP_KEYS, .slot = SLOT_COUNT, .argc = 1,
                     .argv = q->argv + 1 };

    if (q->argv[1].n > OP_KEY_BYTES_MAX)
        reply_error(q->out, "ERR pattern longer than %u bytes",
                    OP_KEY_BYTES_MAX);
    else
        rq__all_shards(q, &op, FAN_CONCAT);
}

/* One key of each shard, and then one of those: every key may come, but those of
 * emptier shards come more often. */
void cmd_do_randomkey(struct rq *q)
{
    struct op op = { .kind = OP_RANDOMKEY, .slot = SLOT_COUNT };

    rq__all_shards(q, &op, FAN_RANDOM);
}
