#include "base/assert.h"
#include "lib/test.h"
#include "unit/router/lab.h"

struct shard *shardset_find(struct shardset *ss, uint32_t id)
{
    struct shard *s = &ss->shards[id];
    const struct directory_shard *d = directory_shard(s->lab->dir, id);

    for (unsigned i = 0; i < d->n; i++) {
        if (d->replicas[i] == s->node + 1)
            return s;
    }
    return NULL;
}

void shard_submit(struct shard *s, struct shard_req *r)
{
    list_init(&r->link);
    list_add_tail(&s->queue, &r->link);
    s->n++;
    s->lab->woken = true;
}

void shard_cancel(struct shard *s, struct shard_req *r)
{
    ASSERT(!list_empty(&r->link));
    list_del(&r->link);
    s->n--;
}

struct group *shard_group(struct shard *s)
{
    return (struct group *)(void *)s;
}

uint64_t group_durable_term(const struct group *g)
{
    return ((const struct shard *)(const void *)g)->durable_term;
}

void shard_double_init(struct lab *l)
{
    for (unsigned n = 0; n < l->n; n++) {
        for (uint32_t i = 0; i < LAB_SHARDS; i++) {
            struct shard *s = &l->shards[n].shards[i];

            *s = (struct shard){ .lab = l, .node = n, .id = i, .open = true };
            list_init(&s->queue);
        }
    }
}

struct shard *shard_double(struct lab *l, unsigned node, uint32_t shard)
{
    return &l->shards[node].shards[shard];
}

static void decode(struct slice enc, struct op *ret, struct slice argv[4])
{
    CHECK_EQ(op_decode(enc, ret, argv, 4), 0);
}

/* Where the model keeps the low mark of an origin. */
static uint64_t *low_of(struct lab_log *log, uint64_t origin)
{
    for (unsigned i = 0;; i++) {
        CHECK(i < LAB_NODES_MAX * 2);
        if (log->low[i].origin == 0)
            log->low[i].origin = origin;
        if (log->low[i].origin == origin)
            return &log->low[i].low;
    }
}

/* The model: a write once, a repeat from memory, a late copy refused. */
static struct op_result apply(struct lab_log *log, const struct op *op)
{
    uint64_t *low = low_of(log, op->origin);

    CHECK(op->origin != 0);
    CHECK(op->low >= 1 && op->low <= op->seq);
    if (*low < op->low)
        *low = op->low;
    for (unsigned i = 0; i < log->n; i++) {
        if (log->e[i].origin != op->origin || log->e[i].seq != op->seq)
            continue;
        log->retries++;
        return (struct op_result){ .type = OP_RES_INT, .num = (int64_t)i };
    }
    if (op->seq < *low)
        return op_result_err(OP_ERR_SESSION_LOST);
    CHECK(log->n < LAB_LOG_MAX);
    CHECK(op->argv[0].n == sizeof(uint64_t));
    log->e[log->n] = (struct lab_entry){ .origin = op->origin, .seq = op->seq,
                                         .tag = get_u64le(op->argv[0].p) };
    return (struct op_result){ .type = OP_RES_INT, .num = log->n++ };
}

static struct op_result execute(struct shard *s, const struct shard_req *r)
{
    struct lab_log *log = &s->lab->log[s->id];
    struct slice argv[4];
    struct op op;

    decode(r->op, &op, argv);
    CHECK_EQ(op_is_write(op.kind), r->write);
    if (r->write)
        return apply(log, &op);
    return (struct op_result){ .type = OP_RES_INT, .num = log->n };
}

void shard_double_execute(struct shard *s, unsigned n)
{
    while (n-- > 0 && !list_empty(&s->queue)) {
        struct shard_req *r = LIST_FIRST(&s->queue, struct shard_req, link);
        struct op_result res = execute(s, r);

        list_del(&r->link);
        s->n--;
        r->cb(r, &res);
    }
}

void shard_double_execute_last(struct shard *s)
{
    struct shard_req *r = CONTAINER_OF(s->queue.prev, struct shard_req, link);
    struct op_result res = execute(s, r);

    CHECK(s->n > 0);
    list_del(&r->link);
    s->n--;
    r->cb(r, &res);
}

void shard_double_execute_silently(struct shard *s, unsigned n)
{
    for (struct list *l = s->queue.next; l != &s->queue && n > 0; l = l->next) {
        (void)execute(s, CONTAINER_OF(l, struct shard_req, link));
        n--;
    }
}

void shard_double_reject_first(struct shard *s, unsigned n, enum op_err err)
{
    struct op_result res = op_result_err(err);
    struct list todo;

    list_init(&todo);
    for (unsigned i = 0; i < n && !list_empty(&s->queue); i++) {
        struct list *l = s->queue.next;

        list_del(l);
        list_add_tail(&todo, l);
        s->n--;
    }
    while (!list_empty(&todo)) {
        struct shard_req *r = LIST_FIRST(&todo, struct shard_req, link);

        list_del(&r->link);
        r->cb(r, &res);
    }
}

void shard_double_reject(struct shard *s, enum op_err err)
{
    shard_double_reject_first(s, s->n, err);
}

void shard_double_peek(struct shard *s, unsigned i, struct op *ret,
                       struct slice argv[4])
{
    struct list *l = s->queue.next;

    CHECK(i < s->n);
    while (i-- > 0)
        l = l->next;
    decode(CONTAINER_OF(l, struct shard_req, link)->op, ret, argv);
}
