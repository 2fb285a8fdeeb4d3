/* The bytes of operations, and pools of small objects.
 *
 * A client's arguments are borrowed for the call, so an operation is encoded when
 * it is submitted; the same bytes are then batched by the shard, copied into a
 * frame, or sent again.  On the hot path nothing is allocated: buffers are reused,
 * as far as they stayed small.  Operations of FRAME_SPLICE_MIN bytes and more live
 * in a blob that frames refer to. */
#include "base/assert.h"
#include "base/mem.h"
#include "router/router_int.h"

#define OP_OVERHEAD_BYTES 64u /* at least what surrounds the arguments */

struct list *pool__take(struct pool *p)
{
    struct list *l = p->free.next;

    if (l == &p->free)
        return NULL;
    list_del(l);
    ASSERT(p->n > 0);
    p->n--;
    return l;
}

bool pool__give(struct pool *p, struct list *l)
{
    if (p->n >= ROUTER_POOL_MAX)
        return false;
    list_add_head(&p->free, l);
    p->n++;
    return true;
}

static struct opbuf *opbuf_take(struct router *rt)
{
    struct list *l = pool__take(&rt->opbufs);
    struct opbuf *o;

    if (l != NULL)
        return CONTAINER_OF(l, struct opbuf, link);
    o = MEM_NEW(struct opbuf);
    list_init(&o->link);
    buf_init(&o->buf);
    return o;
}

void opbuf__release(struct router *rt, struct opbuf *o)
{
    blob_unref(o->blob);
    o->blob = NULL;
    buf_clear(&o->buf);
    buf_shrink(&o->buf, ROUTER_POOL_BUF_BYTES);
    if (pool__give(&rt->opbufs, &o->link))
        return;
    buf_close(&o->buf);
    mem_free(o);
}

struct slice opbuf__slice(const struct opbuf *o)
{
    return o->blob != NULL ? blob_slice(o->blob) : buf_slice(&o->buf);
}

struct opbuf *opbuf__copy(struct router *rt, struct slice enc)
{
    struct opbuf *o = opbuf_take(rt);

    ASSERT(o->blob == NULL && o->buf.len == 0);
    if (enc.n >= FRAME_SPLICE_MIN)
        o->blob = blob_copy(enc);
    else
        buf_put_slice(&o->buf, enc);
    return o;
}

static bool is_large(const struct op *op)
{
    size_t n = OP_OVERHEAD_BYTES;

    for (uint32_t i = 0; i < op->argc && n < FRAME_SPLICE_MIN; i++)
        n += op->argv[i].n + 1;
    return n >= FRAME_SPLICE_MIN;
}

struct opbuf *opbuf__encode(struct router *rt, const struct op *op)
{
    struct opbuf *o;

    if (is_large(op)) {
        buf_clear(&rt->scratch);
        op_encode(&rt->scratch, op);
        o = opbuf__copy(rt, buf_slice(&rt->scratch));
        buf_clear(&rt->scratch);
        buf_shrink(&rt->scratch, FRAME_SPLICE_MIN);
        return o;
    }
    o = opbuf_take(rt);
    op_encode(&o->buf, op);
    return o;
}

int opbuf__decode(struct router *rt, struct slice enc, struct op *ret)
{
    long argc = op_peek_argc(enc);

    if (argc < 0 || argc > (long)OP_ARGS_MAX)
        return KV_EPROTO;
    if ((uint32_t)argc > rt->argv_cap || rt->argv == NULL) {
        rt->argv_cap = (uint32_t)argc < 16 ? 16 : (uint32_t)argc;
        rt->argv = mem_realloc(rt->argv, rt->argv_cap * sizeof(*rt->argv));
    }
    return op_decode(enc, ret, rt->argv, rt->argv_cap);
}

struct opbuf *opbuf__restamp(struct router *rt, struct opbuf *o, uint64_t seq,
                             uint64_t low)
{
    struct opbuf *fresh;
    struct op op;
    int rv;

    rv = opbuf__decode(rt, opbuf__slice(o), &op);
    ASSERT(rv == 0); /* this node encoded it */
    op.seq = seq;
    op.low = low;
    fresh = opbuf__encode(rt, &op);
    opbuf__release(rt, o);
    return fresh;
}

void opbuf__mark_retry(struct opbuf *o)
{
    uint8_t *enc = o->blob != NULL ? o->blob->data : buf_at(&o->buf);

    ASSERT(opbuf__slice(o).n >= OP_FIXED_BYTES);
    op_mark_retry(enc);
}
