/* Reads: what fsm_read answers.
 *
 * A read changes nothing that is replicated; it moves the LRU order for the
 * keys it uses and counts hits and misses, both of this replica alone.  Whether
 * a key has expired is decided by the shard clock, never by the reader's: every
 * replica at the same index gives the same answer (F3), and only the remaining
 * time that is told to the client comes from now_ms.
 *
 * A single value is answered out of the table without copying.  Answers with
 * several items are built in f->out and bounded: by OP_RESULT_BYTES_MAX for
 * MGET and KEYS (OP_ERR_TOO_BIG above), by FSM_SCAN_* for a page of SCAN. */
#include "fsm/fsm_int.h"

#include "base/codec.h"
#include "fsm/glob.h"
#include "fsm/number.h"

/* Tries to find a key that has not expired, before walking. */
#define RANDOM_TRIES 100

static struct op_result res_int(int64_t n)
{
    return (struct op_result){ .type = OP_RES_INT, .num = n };
}

static struct op_result res_bulk(struct slice s)
{
    return (struct op_result){ .type = OP_RES_BULK, .bulk = s };
}

static struct op_result res_array(const struct fsm *f)
{
    return (struct op_result){ .type = OP_RES_ARRAY,
                               .bulk = buf_slice(&f->out) };
}

/* Find a key for a client, counting. */
static bool look(struct fsm *f, struct slice key, bool touch,
                 struct engine_view *ret)
{
    bool found = fsm__get(f, key, touch, ret);

    if (!found && SABOTAGE(READ_EXPIRES))
        f->engine->ops->remove(f->engine, key);
    if (found)
        f->hits++;
    else
        f->misses++;
    return found;
}

static void read_get(struct fsm *f, const struct op *op,
                     struct op_result *ret)
{
    struct engine_view v;

    if (look(f, op->argv[0], true, &v))
        *ret = res_bulk(v.value);
}

static void read_mget(struct fsm *f, const struct op *op,
                      struct op_result *ret)
{
    for (uint32_t i = 0; i < op->argc; i++) {
        struct engine_view v;

        if (!look(f, op->argv[i], true, &v))
            op_items_put_nil(&f->out);
        else if (v.value.n + f->out.len > OP_RESULT_BYTES_MAX - 64)
            break;
        else
            op_items_put(&f->out, v.value);
        if (i + 1 == op->argc) {
            *ret = res_array(f);
            return;
        }
    }
    *ret = op_result_err(OP_ERR_TOO_BIG);
}

static void read_strlen(struct fsm *f, const struct op *op,
                        struct op_result *ret)
{
    struct engine_view v;

    *ret = res_int(look(f, op->argv[0], true, &v) ? (int64_t)v.value.n : 0);
}

static void read_getrange(struct fsm *f, const struct op *op,
                          struct op_result *ret)
{
    struct engine_view v = { .deadline_ms = 0 };
    int64_t start, end, n;

    if (!number_parse_int(op->argv[1], &start) ||
        !number_parse_int(op->argv[2], &end)) {
        *ret = op_result_err(OP_ERR_NOT_INTEGER);
        return;
    }
    *ret = res_bulk(slice_make(NULL, 0));
    if (!look(f, op->argv[0], true, &v) || v.value.n == 0)
        return;
    if (start < 0 && end < 0 && start > end)
        return;
    n = (int64_t)v.value.n;
    if (start < 0)
        start = start < -n ? 0 : start + n;
    if (end < 0)
        end = end < -n ? 0 : end + n;
    if (end >= n)
        end = n - 1;
    if (start <= end)
        *ret = res_bulk(
            slice_make(v.value.p + start, (size_t)(end - start + 1)));
}

static void read_exists(struct fsm *f, const struct op *op,
                        struct op_result *ret)
{
    struct engine_view v;
    int64_t n = 0;

    for (uint32_t i = 0; i < op->argc; i++)
        n += look(f, op->argv[i], op->kind == OP_TOUCH, &v);
    *ret = res_int(n);
}

static void read_type(struct fsm *f, const struct op *op,
                      struct op_result *ret)
{
    struct engine_view v;
    bool found = look(f, op->argv[0], false, &v);

    *ret = res_bulk(slice_str(found ? "string" : "none"));
}

static void read_ttl(struct fsm *f, const struct op *op, int64_t now_ms,
                     struct op_result *ret)
{
    struct engine_view v;

    *ret = (struct op_result){ .type = OP_RES_PAIR, .num = -2 };
    ret->num2 = now_ms > f->clock_ms ? now_ms : f->clock_ms;
    if (look(f, op->argv[0], false, &v))
        ret->num = v.deadline_ms == ENGINE_NO_DEADLINE ? -1 : v.deadline_ms;
}

static void read_getrev(struct fsm *f, const struct op *op,
                        struct op_result *ret)
{
    struct engine_view v;
    bool found = look(f, op->argv[0], false, &v);

    *ret = res_int(found ? (int64_t)v.revision : 0);
}

static void read_dbsize(struct fsm *f, struct op_result *ret)
{
    struct engine_stats es;

    f->engine->ops->stats(f->engine, &es);
    *ret = res_int((int64_t)es.keys);
}

/* ---- listing keys ---- */

struct listing {
    struct fsm *f;
    struct slice pattern;  /* empty: all */
    uint64_t visited;      /* keys, matching or not */
    size_t bytes_max;
    bool too_big;          /* a key was left out */
};

static void list_key(void *ctx, const struct engine_view *v)
{
    struct listing *l = ctx;

    l->visited++;
    if (fsm__is_expired(l->f, v))
        return;
    if (l->pattern.n > 0 && !glob_match(l->pattern, v->key))
        return;
    if (l->f->out.len + v->key.n + 16 > l->bytes_max)
        l->too_big = true;
    else
        op_items_put(&l->f->out, v->key);
}

static void read_scan(struct fsm *f, const struct op *op,
                      struct op_result *ret)
{
    struct listing l = { .f = f, .pattern = op->argv[2],
                         .bytes_max = OP_RESULT_BYTES_MAX };
    uint64_t cursor = get_u64le(op->argv[0].p);
    uint64_t count = get_u64le(op->argv[1].p);

    if (count == 0)
        count = 1;
    if (count > FSM_SCAN_COUNT_MAX)
        count = FSM_SCAN_COUNT_MAX;
    do
        cursor = f->engine->ops->scan(f->engine, cursor, list_key, &l);
    while (cursor != 0 && l.visited < count &&
           f->out.len < FSM_SCAN_BYTES_MAX);
    if (l.too_big) {
        *ret = op_result_err(OP_ERR_TOO_BIG);
        return;
    }
    *ret = (struct op_result){ .type = OP_RES_SCAN,
                               .num = (int64_t)cursor,
                               .bulk = buf_slice(&f->out) };
}

static void read_keys(struct fsm *f, const struct op *op,
                      struct op_result *ret)
{
    struct listing l = { .f = f, .pattern = op->argv[0],
                         .bytes_max = OP_RESULT_BYTES_MAX - 64 };
    uint64_t cursor = 0;

    if (l.pattern.n == 0) {
        /* To KEYS the empty pattern is the name of the empty key. */
        struct engine_view v;

        if (fsm__get(f, l.pattern, false, &v))
            op_items_put(&f->out, v.key);
        *ret = res_array(f);
        return;
    }
    do
        cursor = f->engine->ops->scan(f->engine, cursor, list_key, &l);
    while (cursor != 0 && !l.too_big);
    *ret = l.too_big ? op_result_err(OP_ERR_TOO_BIG) : res_array(f);
}

static void take_first(void *ctx, const struct engine_view *v)
{
    struct listing *l = ctx;

    if (!fsm__is_expired(l->f, v) && l->visited++ == 0)
        buf_put_slice(&l->f->out, v->key);
}

static void read_randomkey(struct fsm *f, struct op_result *ret)
{
    struct listing l = { .f = f };
    struct engine_view v;
    uint64_t cursor = 0;

    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        if (!f->engine->ops->random(f->engine, rng_u64(&f->rng), &v))
            return;
        if (!fsm__is_expired(f, &v)) {
            *ret = res_bulk(v.key);
            return;
        }
    }
    /* Nearly everything has expired and waits for TICK. */
    do
        cursor = f->engine->ops->scan(f->engine, cursor, take_first, &l);
    while (cursor != 0 && l.visited == 0);
    if (l.visited > 0)
        *ret = res_bulk(buf_slice(&f->out));
}

/* ---- all of them ---- */

static void read_op(struct fsm *f, const struct op *op, int64_t now_ms,
                    struct op_result *ret)
{
    switch ((int)op->kind) {
    case OP_GET:
        read_get(f, op, ret);
        return;
    case OP_MGET:
        read_mget(f, op, ret);
        return;
    case OP_STRLEN:
        read_strlen(f, op, ret);
        return;
    case OP_GETRANGE:
        read_getrange(f, op, ret);
        return;
    case OP_EXISTS:
    case OP_TOUCH:
        read_exists(f, op, ret);
        return;
    case OP_TYPE:
        read_type(f, op, ret);
        return;
    case OP_TTL:
        read_ttl(f, op, now_ms, ret);
        return;
    case OP_GETREV:
        read_getrev(f, op, ret);
        return;
    case OP_DBSIZE:
        read_dbsize(f, ret);
        return;
    case OP_SCAN:
        read_scan(f, op, ret);
        return;
    case OP_KEYS:
        read_keys(f, op, ret);
        return;
    case OP_RANDOMKEY:
        read_randomkey(f, ret);
        return;
    default:
        *ret = op_result_err(OP_ERR_BAD_OP);
        return;
    }
}

void fsm_read(struct fsm *f, const struct op *op, int64_t now_ms,
              struct op_result *ret)
{
    struct op_result res = { .type = OP_RES_NIL };

    f->reader_ms = now_ms;
    buf_clear(&f->out);
    buf_shrink(&f->out, 64u << 10);
    read_op(f, op, now_ms, &res);
    *ret = res;
}
