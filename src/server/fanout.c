/* Commands on several shards: split, submit all parts at once, merge in order.
 *
 *   MGET a b c d --> shard 1: MGET a c     merge: a from 1, b from 2, c from 1 ...
 *                    shard 2: MGET b d
 *
 * Each part is one operation, atomic on its shard; together they are not.  The keys
 * keep their order inside a part.  A command whose keys live on one shard takes the
 * ordinary path without any of this.
 *
 * Merging, when the last part has come:
 *   FAN_SUM     add (DEL, UNLINK, EXISTS, TOUCH, DBSIZE)
 *   FAN_OK      +OK (MSET, FLUSHALL)
 *   FAN_VALUES  values in the order of the keys (MGET)
 *   FAN_CONCAT  all items, shard by shard (KEYS)
 *   FAN_RANDOM  one of the non-empty results (RANDOMKEY)
 *
 * If any part failed the command fails: UNKNOWN if a part is unknown or, in a write,
 * another part was done; else the error of the lowest shard. */
#include "server/server_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/reply.h"

struct fanout {
    enum fan_merge merge;
    unsigned n, left;      /* parts, and those without result */
    uint32_t n_keys;
    uint16_t *order;       /* owned; FAN_VALUES: the part of each key */
    struct part parts[];
};

static struct fanout *fanout_new(unsigned n, enum fan_merge merge)
{
    struct fanout *f = mem_calloc(1, sizeof *f + n * sizeof f->parts[0]);

    f->merge = merge;
    f->n = f->left = n;
    for (unsigned i = 0; i < n; i++)
        buf_init(&f->parts[i].bulk);
    return f;
}

void fanout__free(struct fanout *f)
{
    if (f == NULL)
        return;
    for (unsigned i = 0; i < f->n; i++) {
        struct part *p = &f->parts[i];
        struct conn *c = p->cmd->conn;

        if (p->sent)
            router_cancel(c->server->router, &p->req);
        c->part_bytes -= p->bulk.len;
        buf_close(&p->bulk);
    }
    mem_free(f->order);
    mem_free(f);
}

/* The error that stands for the whole command, or 0. */
static int64_t failed(const struct fanout *f, bool *ret_partly)
{
    int64_t err = 0;
    bool done = false;

    for (unsigned i = 0; i < f->n; i++) {
        const struct part *p = &f->parts[i];
        bool unknown;

        if (p->type != OP_RES_ERR) {
            done = true;
            continue;
        }
        unknown = p->num == OP_ERR_UNKNOWN || p->num == OP_ERR_SESSION_LOST;
        if (err == 0 || unknown)
            err = unknown ? OP_ERR_UNKNOWN : p->num;
    }
    *ret_partly = done;
    return err;
}

static void merge_sum(const struct fanout *f, struct buf *out)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < f->n; i++)
        sum += f->parts[i].num;
    reply_int(out, sum);
}

static void put_item(struct buf *out, int resp, bool nil, struct slice item)
{
    if (nil)
        reply_nil(out, resp);
    else
        reply_bulk(out, item);
}

static void merge_values(const struct fanout *f, int resp, struct buf *out)
{
    struct cursor at[DIRECTORY_SHARDS_MAX];

    ASSERT(f->n <= DIRECTORY_SHARDS_MAX);
    for (unsigned i = 0; i < f->n; i++)
        at[i] = cursor_make(buf_slice(&f->parts[i].bulk));
    reply_array(out, f->n_keys);
    for (uint32_t k = 0; k < f->n_keys; k++) {
        struct slice item = { NULL, 0 };
        bool nil = true;

        if (!op_items_next(&at[f->order[k]], &nil, &item))
            nil = true;
        put_item(out, resp, nil, item);
    }
}

static void merge_concat(const struct fanout *f, int resp, struct buf *out)
{
    struct slice item;
    uint64_t n = 0;
    bool nil;

    for (unsigned i = 0; i < f->n; i++) {
        struct cursor c = cursor_make(buf_slice(&f->parts[i].bulk));

        while (op_items_next(&c, &nil, &item))
            n++;
    }
    reply_array(out, n);
    for (unsigned i = 0; i < f->n; i++) {
        struct cursor c = cursor_make(buf_slice(&f->parts[i].bulk));

        while (op_items_next(&c, &nil, &item))
            put_item(out, resp, nil, item);
    }
}

static void merge_random(struct cmd *m, struct buf *out)
{
    const struct fanout *f = m->fan;
    uint64_t n = 0, pick;

    for (unsigned i = 0; i < f->n; i++)
        n += f->parts[i].type == OP_RES_BULK;
    if (n == 0) {
        reply_nil(out, m->resp);
        return;
    }
    pick = rng_below(&m->conn->server->rng, n);
    for (unsigned i = 0; i < f->n; i++) {
        if (f->parts[i].type != OP_RES_BULK)
            continue;
        if (pick-- == 0)
            reply_bulk(out, buf_slice(&f->parts[i].bulk));
    }
}

static void merge(struct cmd *m, struct buf *out)
{
    const struct fanout *f = m->fan;
    bool partly = false;
    int64_t err = failed(f, &partly);

    if (err != 0) {
        bool write = (m->spec->flags & CMD_F_WRITE) != 0;

        cmd__error(m, err, partly && write, out);
        return;
    }
    switch (f->merge) {
    case FAN_SUM:
        merge_sum(f, out);
        break;
    case FAN_OK:
        buf_put(out, "+OK\r\n", 5);
        break;
    case FAN_VALUES:
        merge_values(f, m->resp, out);
        break;
    case FAN_CONCAT:
        merge_concat(f, m->resp, out);
        break;
    case FAN_RANDOM:
        merge_random(m, out);
        break;
    }
}

static void part_done(struct router_req *req, const struct op_result *res)
{
    struct part *p = req->data;
    struct cmd *m = p->cmd;
    struct buf *out;
    size_t start;

    ASSERT(m->fan->left > 0);
    if (!part__arrived(p))
        return;
    p->type = res->type;
    p->num = res->num;
    buf_put_slice(&p->bulk, res->bulk);
    m->conn->part_bytes += res->bulk.n;
    if (--m->fan->left > 0) {
        conn__check_output(m->conn);
        return;
    }
    out = cmd__out(m);
    start = out->len;
    merge(m, out);
    cmd__finish(m, out, start);
}

/* Where the keys of a command live. */
struct split {
    uint32_t count[DIRECTORY_SHARDS_MAX]; /* keys of each shard */
    uint16_t part[DIRECTORY_SHARDS_MAX];  /* its place among the parts */
    unsigned n;                           /* shards with keys */
};

static bool split_keys(struct rq *q, unsigned step, struct split *sp)
{
    memset(sp, 0, sizeof *sp);
    for (uint32_t i = 1; i < q->argc; i += step) {
        uint32_t shard;

        if (!rq__key_ok(q, q->argv[i]))
            return false;
        if (step == 2 && q->argv[i + 1].n > OP_VALUE_BYTES_MAX) {
            reply_error(q->out, "ERR string exceeds maximum allowed size "
                                "(proto-max-bulk-len)");
            return false;
        }
        shard = directory_shard_of_slot(q->s->dir, slot_of_key(q->argv[i]));
        ASSERT(shard < DIRECTORY_SHARDS_MAX);
        if (sp->count[shard]++ == 0)
            sp->part[shard] = (uint16_t)sp->n++;
    }
    return true;
}

/* Parts are small enough to be operations. */
static bool parts_fit(struct rq *q, unsigned step)
{
    size_t bytes = q->bytes + 8 * (size_t)q->argc;

    if (bytes <= OP_BYTES_MAX - 64 && q->argc - 1 <= OP_ARGS_MAX)
        return true;
    reply_error(q->out, "ERR command too large: at most %u bytes and %u "
                        "keys",
                OP_BYTES_MAX, OP_ARGS_MAX / step);
    return false;
}

/* Sort the arguments by part; the place of each part in the array. */
static void arrange(struct rq *q, unsigned step, const struct split *sp,
                    struct slice *argv, uint32_t *ret_begin)
{
    uint32_t at[DIRECTORY_SHARDS_MAX], next = 0;

    for (unsigned s = 0; s < DIRECTORY_SHARDS_MAX; s++) {
        if (sp->count[s] == 0)
            continue;
        ret_begin[s] = at[s] = next;
        next += sp->count[s] * step;
    }
    for (uint32_t i = 1; i < q->argc; i += step) {
        uint32_t shard =
            directory_shard_of_slot(q->s->dir, slot_of_key(q->argv[i]));

        memcpy(&argv[at[shard]], &q->argv[i], step * sizeof *argv);
        at[shard] += step;
    }
}

static void note_order(struct rq *q, const struct split *sp, struct fanout *f)
{
    f->n_keys = q->argc - 1;
    f->order = mem_alloc(f->n_keys * sizeof *f->order);
    for (uint32_t k = 0; k < f->n_keys; k++)
        f->order[k] = sp->part[directory_shard_of_slot(
            q->s->dir, slot_of_key(q->argv[k + 1]))];
}

void rq__keys(struct rq *q, enum op_kind kind, unsigned step,
              enum fan_merge how)
{
    uint32_t begin[DIRECTORY_SHARDS_MAX];
    struct op op = { .kind = kind };
    struct split sp;
    struct slice *argv;
    struct cmd *m;

    op.argv = q->argv + 1;
    op.argc = q->argc - 1;
    if (op.argc == step) {
        rq__submit(q, &op, NULL, 0);
        return;
    }
    if (!split_keys(q, step, &sp) || !parts_fit(q, step))
        return;
    if (sp.n == 1) {
        rq__submit(q, &op, NULL, 0);
        return;
    }
    argv = server__scratch(q->s, q->argc);
    arrange(q, step, &sp, argv, begin);
    m = cmd__new(q);
    m->fan = fanout_new(sp.n, how);
    if (how == FAN_VALUES)
        note_order(q, &sp, m->fan);
    for (uint32_t s = 0; s < DIRECTORY_SHARDS_MAX; s++) {
        if (sp.count[s] == 0)
            continue;
        op.argv = argv + begin[s];
        op.argc = sp.count[s] * step;
        op.slot = slot_of_key(op.argv[0]);
        cmd__submit(m, &m->fan->parts[sp.part[s]], s, &op, part_done);
    }
}

void rq__all_shards(struct rq *q, const struct op *op, enum fan_merge how)
{
    unsigned n = directory_n_shards(q->s->dir);
    struct cmd *m = cmd__new(q);

    ASSERT(n > 0 && n <= DIRECTORY_SHARDS_MAX);
    m->fan = fanout_new(n, how);
    for (unsigned i = 0; i < n; i++)
        cmd__submit(m, &m->fan->parts[i], i, op, part_done);
}
