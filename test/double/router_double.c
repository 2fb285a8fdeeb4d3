#include "double/router_double.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "fsm/fsm.h"

#define ARGS_MAX 70000u

struct pending {
    struct list link;
    struct router_req *req;
    uint32_t shard;
    bool write;
    struct buf op;
};

struct router {
    struct env *env;
    struct directory *dir;
    struct fsm *fsm[DIRECTORY_SHARDS_MAX];
    uint64_t index[DIRECTORY_SHARDS_MAX];
    enum op_err fail[DIRECTORY_SHARDS_MAX];
    bool leaderless[DIRECTORY_SHARDS_MAX];
    struct list queue;
    unsigned pending, canceled;
    bool hold, backwards;
    bool held[DIRECTORY_SHARDS_MAX];
    struct slice argv[ARGS_MAX];
};

struct router *double_new(struct env *env, struct directory *dir)
{
    struct router *rt = MEM_NEW(struct router);

    rt->env = env;
    rt->dir = dir;
    list_init(&rt->queue);
    for (unsigned i = 0; i < directory_n_shards(dir); i++)
        rt->fsm[i] = fsm_new(i + 1);
    return rt;
}

static void drop(struct router *rt, struct pending *p)
{
    list_del(&p->link);
    rt->pending--;
    buf_close(&p->op);
    mem_free(p);
}

void double_free(struct router *rt)
{
    ASSERT(list_empty(&rt->queue));
    for (unsigned i = 0; i < directory_n_shards(rt->dir); i++)
        fsm_free(rt->fsm[i]);
    mem_free(rt);
}

void double_hold(struct router *rt, bool on)
{
    rt->hold = on;
    env_wake(rt->env);
}

void double_hold_shard(struct router *rt, uint32_t shard)
{
    rt->held[shard] = true;
}

void double_backwards(struct router *rt, bool on)
{
    rt->backwards = on;
}

void double_fail(struct router *rt, uint32_t shard, enum op_err err)
{
    rt->fail[shard] = err;
}

void double_no_leader(struct router *rt, uint32_t shard)
{
    rt->leaderless[shard] = true;
}

unsigned double_pending(const struct router *rt)
{
    return rt->pending;
}

unsigned double_canceled(const struct router *rt)
{
    return rt->canceled;
}

void router_submit(struct router *rt, struct router_req *r, uint32_t shard,
                   const struct op *op)
{
    struct pending *p = MEM_NEW(struct pending);

    ASSERT(shard < directory_n_shards(rt->dir));
    ASSERT(r->stream != 0);
    p->req = r;
    p->shard = shard;
    p->write = op_is_write(op->kind);
    buf_init(&p->op);
    op_encode(&p->op, op);
    list_add_tail(&rt->queue, &p->link);
    r->impl.w[0] = (uint64_t)(uintptr_t)p;
    rt->pending++;
    env_wake(rt->env);
}

void router_cancel(struct router *rt, struct router_req *r)
{
    rt->canceled++;
    drop(rt, (struct pending *)(uintptr_t)r->impl.w[0]);
}

static void answer(void *ctx, uint64_t i, const struct op *op,
                   const struct op_result *res)
{
    struct router_req *r = ctx;

    (void)op;
    ASSERT(i == 0);
    r->cb(r, res);
}

static void apply(struct router *rt, struct router_req *r, uint32_t shard,
                  struct slice op)
{
    struct buf batch;

    buf_init(&batch);
    op_batch_begin(&batch, env_wall_ms(rt->env), 1);
    op_batch_add(&batch, op);
    ASSERT(fsm_apply(rt->fsm[shard], ++rt->index[shard], buf_slice(&batch),
                     answer, r) == 0);
    buf_close(&batch);
}

static void execute(struct router *rt, struct pending *p)
{
    struct pending own = *p;
    struct op_result res;
    struct op op;

    buf_init(&p->op);
    drop(rt, p);
    if (rt->fail[own.shard] != 0) {
        res = op_result_err(rt->fail[own.shard]);
        own.req->cb(own.req, &res);
    } else if (own.write) {
        apply(rt, own.req, own.shard, buf_slice(&own.op));
    } else {
        ASSERT(op_decode(buf_slice(&own.op), &op, rt->argv, ARGS_MAX) == 0);
        fsm_read(rt->fsm[own.shard], &op, env_wall_ms(rt->env), &res);
        own.req->cb(own.req, &res);
    }
    buf_close(&own.op);
}

/* The next request: the first, or the first of the highest shard; NULL: none. */
static struct pending *choose(struct router *rt)
{
    struct pending *best = NULL;

    for (struct list *l = rt->queue.next; l != &rt->queue; l = l->next) {
        struct pending *p = CONTAINER_OF(l, struct pending, link);

        if (rt->hold || rt->held[p->shard])
            continue;
        if (best == NULL || (rt->backwards && p->shard > best->shard))
            best = p;
    }
    return best;
}

void router_turn(struct router *rt)
{
    struct pending *p;

    while ((p = choose(rt)) != NULL)
        execute(rt, p);
}

uint32_t router_shard_of(const struct router *rt, struct slice key)
{
    return directory_shard_of_slot(rt->dir, slot_of_key(key));
}

uint64_t router_leader(const struct router *rt, uint32_t shard)
{
    return rt->leaderless[shard]
               ? 0
               : directory_shard(rt->dir, shard)->replicas[0];
}

void router_get_stats(const struct router *rt, struct router_stats *ret)
{
    *ret = (struct router_stats){ .local = rt->index[0] };
}
