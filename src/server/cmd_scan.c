/* SCAN over all shards: shard after shard, as many as COUNT wants.
 *
 * A cursor is  shard's own cursor << 8 | shard  and 0 at start and end.  When a shard
 * is done its successor begins with cursor 0, which is not 0 as a whole because
 * its number is not.  A shard's cursors survive a change of its leader (fsm.h), so a
 * client may go on with another node.  While a shard yields fewer keys than
 * COUNT and is done, the next one is asked for the rest in the same call: a small
 * database is one call, as with Redis.  The next part is submitted at the end of
 * the turn (CMD_AGAIN), not inside the callback of the one before.
 *
 * Guarantee: a key present from the first call to the last is returned at least
 * once, as in Redis. */
#include "server/server_int.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/mem.h"
#include "proto/reply.h"

#define CURSOR_SHARD_BITS 8
#define COUNT_DEFAULT 10
#define COUNT_MAX 1000000           /* keys of one call */
#define ITEMS_BYTES_STOP (1u << 20) /* with that much no further shard is asked */

_Static_assert(DIRECTORY_SHARDS_MAX <= 1u << CURSOR_SHARD_BITS,
               "a shard number fits its part of the cursor");
_Static_assert(OP_SCAN_CURSOR_BITS + CURSOR_SHARD_BITS <= 64,
               "a cursor fits 64 bits");

struct scan {
    uint32_t shard;
    uint64_t cursor;   /* the shard's */
    uint64_t count;    /* keys still wanted */
    uint64_t n;        /* keys found */
    struct buf items;  /* encoded as bulk strings */
    struct buf pattern;
};

void scan__free(struct scan *sc)
{
    if (sc == NULL)
        return;
    buf_close(&sc->items);
    buf_close(&sc->pattern);
    mem_free(sc);
}

static void put_scan(struct cmd *m, uint64_t cursor, struct buf *out)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);

    reply_array(out, 2);
    reply_bulk(out, slice_make(text, (size_t)n));
    reply_array(out, m->scan->n);
    buf_put_slice(out, buf_slice(&m->scan->items));
}

static void take_items(struct scan *sc, struct slice items)
{
    struct cursor c = cursor_make(items);
    struct slice item;
    bool nil;

    while (op_items_next(&c, &nil, &item)) {
        reply_bulk(&sc->items, item);
        sc->n++;
        if (sc->count > 0)
            sc->count--;
    }
}

static void scan_done(struct router_req *req, const struct op_result *res)
{
    struct part *p = req->data;
    struct cmd *m = p->cmd;
    struct scan *sc = m->scan;
    struct buf *out = cmd__out(m);
    size_t start = out->len;
    uint64_t next;

    if (!part__arrived(p))
        return;
    if (res->type != OP_RES_SCAN) {
        cmd__reply(m, res, out);
        cmd__finish(m, out, start);
        return;
    }
    take_items(sc, res->bulk);
    next = (uint64_t)res->num;
    if (next == 0) {
        sc->shard++;
        sc->cursor = 0;
        if (sc->shard < directory_n_shards(m->conn->server->dir) &&
            sc->count > 0 && sc->items.len < ITEMS_BYTES_STOP) {
            m->state = CMD_AGAIN;
            m->conn->again = true;
            conn__touch(m->conn);
            return;
        }
        next = sc->shard == directory_n_shards(m->conn->server->dir)
                   ? 0
                   : sc->shard;
    } else {
        next = next << CURSOR_SHARD_BITS | sc->shard;
    }
    put_scan(m, next, out);
    cmd__finish(m, out, start);
}

void scan__again(struct cmd *m)
{
    struct scan *sc = m->scan;
    uint8_t cursor[8], count[8];
    struct slice argv[3] = { slice_make(cursor, 8), slice_make(count, 8),
                             buf_slice(&sc->pattern) };
    struct op op = { .kind = OP_SCAN, .slot = SLOT_COUNT, .argv = argv,
                     .argc = 3 };

    put_u64le(cursor, sc->cursor);
    put_u64le(count, sc->count);
    m->state = CMD_RUNNING;
    cmd__submit(m, &m->part, sc->shard, &op, scan_done);
}

/* Redis reads cursors with strtoul: leading zeros are fine, blanks are not. */
static bool read_cursor(struct slice s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0 || s.n > 20)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        uint64_t d = (uint64_t)(s.p[i] - '0');

        if (s.p[i] < '0' || s.p[i] > '9' || v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *ret = v;
    return true;
}

struct scan_options {
    int64_t count;
    struct slice pattern;
    bool nothing;       /* TYPE asks for what we do not hold */
};

static bool scan_options(struct rq *q, struct scan_options *o)
{
    for (uint32_t i = 2; i < q->argc; i += 2) {
        struct slice word = q->argv[i];

        if (i + 1 == q->argc) {
            rq__syntax(q);
            return false;
        }
        if (rq__is(word, "count")) {
            if (!rq__int(q, q->argv[i + 1], &o->count))
                return false;
            if (o->count < 1) {
                rq__syntax(q);
                return false;
            }
        } else if (rq__is(word, "match")) {
            o->pattern = q->argv[i + 1];
        } else if (rq__is(word, "type")) {
            o->nothing = !rq__is(q->argv[i + 1], "string");
        } else {
            rq__syntax(q);
            return false;
        }
    }
    if (o->pattern.n > OP_KEY_BYTES_MAX) {
        reply_error(q->out, "ERR pattern longer than %u bytes",
                    OP_KEY_BYTES_MAX);
        return false;
    }
    return true;
}

void cmd_do_scan(struct rq *q)
{
    struct scan_options o = { .count = COUNT_DEFAULT };
    uint64_t cursor;
    struct scan *sc;
    struct cmd *m;

    if (!read_cursor(q->argv[1], &cursor)) {
        reply_error(q->out, "ERR invalid cursor");
        return;
    }
    if (!scan_options(q, &o))
        return;
    sc = MEM_NEW(struct scan);
    buf_init(&sc->items);
    buf_init(&sc->pattern);
    buf_put_slice(&sc->pattern, o.pattern);
    sc->count = (uint64_t)(o.count > COUNT_MAX ? COUNT_MAX : o.count);
    sc->shard = (uint32_t)(cursor & ((1u << CURSOR_SHARD_BITS) - 1));
    sc->cursor = cursor >> CURSOR_SHARD_BITS;
    m = cmd__new(q);
    m->scan = sc;
    if (!o.nothing && sc->shard < directory_n_shards(q->s->dir) &&
        sc->cursor >> OP_SCAN_CURSOR_BITS == 0) {
        scan__again(m);
        return;
    }
    /* A cursor that no call returned, or a type that no key has: the end. */
    put_scan(m, 0, &m->reply);
    cmd__finish(m, &m->reply, 0);
}
