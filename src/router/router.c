/* The router: one request from submission to its answer.
 *
 *   router_submit --> (lane.c: held?) --> shard queue (route.c) --> local shard
 *        |                                      ^    |         \--> forward_out.c --> peer
 *        | refused: BUSY, unknown shard         |    v                                  |
 *        v                                      +-- not the leader, link lost <---------+
 *      failed (answered next turn)                   |
 *                                                    v result, or the deadline
 *                                                 callback
 *
 * Exactly once (rule R8).  A write is stamped with (origin, seq, low).  Whatever
 * happens on the way it is sent again under the same stamp, and the state
 * machine answers a repeat from its session table.  low is the lowest sequence of the
 * shard that has no answer yet: the head of the shard's queue, since that is
 * ordered by seq.  A write that was answered UNKNOWN or cancelled counts as
 * answered: once a later write has carried a higher low, it can no longer happen.
 *
 * The origin is drawn at random by each process.  The instance id of the data
 * directory would not do: it survives a restart, sequences do not, and write 1 of
 * the new process would be answered with the result of write 1 of the old one.
 *
 * Outcomes.  An attempt is open from the moment it is handed to a shard or a link
 * until it is known not to have been executed.  At the deadline a write with an
 * open attempt is UNKNOWN, any other request CLUSTERDOWN.
 *
 * Time.  All requests have the same time to live, so a list holds them in the order
 * of their deadlines, and one timer serves everything in the router.
 *
 * Invariants:
 *   I1  a pending request is in rt->deadlines and in by_id; its state says in which
 *       other list it is (enum rq_state);
 *   I2  its callback runs once, never inside router_submit, and never after
 *       router_cancel;
 *   I3  no more than pending_max requests are pending, and their bytes exceed
 *       pending_bytes_max by one operation at most. */
#include "router/router.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sabotage.h"
#include "base/slot.h"
#include "router/router_int.h"

static void on_timer(struct env_timer *t);

static void pool_init(struct pool *p)
{
    list_init(&p->free);
    p->n = 0;
}

static void peers_init(struct router *rt)
{
    rt->n_peers = directory_n_nodes(rt->dir);
    rt->peers = mem_calloc(rt->n_peers, sizeof(*rt->peers));
    for (unsigned i = 0; i < rt->n_peers; i++) {
        struct rpeer *p = &rt->peers[i];

        p->rt = rt;
        p->id = directory_node_at(rt->dir, i)->id;
        list_init(&p->out);
        list_init(&p->serving);
        p->refused_gen = mem_calloc(rt->n_shards, sizeof(*p->refused_gen));
    }
}

struct router *router_new(struct env *env, const struct router_config *cfg,
                          struct directory *dir, struct shardset *shards,
                          struct links *links)
{
    struct router *rt = MEM_NEW(struct router);

    ASSERT(cfg->deadline_ms > 0);
    ASSERT(cfg->pending_max > 0 && cfg->pending_max <= UINT32_MAX);
    rt->env = env;
    rt->cfg = *cfg;
    rt->dir = dir;
    rt->shards = shards;
    rt->links = links;
    while (rt->origin == 0)
        env_random(env, &rt->origin, sizeof(rt->origin));
    list_init(&rt->dirty);
    list_init(&rt->waiting);
    list_init(&rt->failed);
    list_init(&rt->deadlines);
    heap_init(&rt->serve_deadlines);
    buf_init(&rt->scratch);
    pool_init(&rt->opbufs);
    pool_init(&rt->lanes);
    pool_init(&rt->serves);
    env_timer_init(env, &rt->timer, on_timer, rt);
    rt->n_shards = directory_n_shards(dir);
    rt->shard = mem_calloc(rt->n_shards, sizeof(*rt->shard));
    for (uint32_t i = 0; i < rt->n_shards; i++)
        route__init(rt, &rt->shard[i], i);
    peers_init(rt);
    return rt;
}

/* ---- ids ---- */

static void ids_grow(struct router *rt)
{
    uint32_t old = rt->ids_cap;
    uint32_t cap = old == 0 ? 256 : 2 * old;

    rt->by_id = mem_realloc(rt->by_id, cap * sizeof(*rt->by_id));
    rt->free_ids = mem_realloc(rt->free_ids, cap * sizeof(*rt->free_ids));
    for (uint32_t i = cap; i-- > old;) {
        rt->by_id[i] = NULL;
        rt->free_ids[rt->n_free_ids++] = i;
    }
    rt->ids_cap = cap;
}

static void id_assign(struct router *rt, struct rq *q)
{
    uint32_t place;

    if (rt->n_free_ids == 0)
        ids_grow(rt);
    place = rt->free_ids[--rt->n_free_ids];
    ASSERT(rt->by_id[place] == NULL);
    rt->by_id[place] = q;
    q->id = (uint64_t)++rt->id_serial << 32 | place;
}

static void id_release(struct router *rt, struct rq *q)
{
    uint32_t place = (uint32_t)q->id;

    ASSERT(rt->by_id[place] == q);
    rt->by_id[place] = NULL;
    rt->free_ids[rt->n_free_ids++] = place;
}

struct rq *router__find(struct router *rt, uint64_t id)
{
    uint32_t place = (uint32_t)id;

    if (place >= rt->ids_cap || rt->by_id[place] == NULL)
        return NULL;
    if (rt->by_id[place]->id != id && !SABOTAGE(ID_REUSED))
        return NULL;
    return rt->by_id[place];
}

struct rpeer *router__peer(struct router *rt, uint64_t id)
{
    for (unsigned i = 0; i < rt->n_peers; i++) {
        if (rt->peers[i].id == id)
            return &rt->peers[i];
    }
    return NULL;
}

/* ---- submitting ---- */

static void refuse(struct router *rt, struct rq *q, enum op_err err)
{
    q->state = RQ_FAILED;
    q->failure = err;
    list_add_tail(&rt->failed, &q->link);
}

/* Stamp and encode; then the request waits in its lane or its shard's queue. */
static void take_in(struct router *rt, struct rq *q, const struct op *op,
                   uint64_t stream)
{
    struct rshard *s = q->shard;
    bool released = stream == 0 || lane__enter(q, stream);
    struct op stamped = *op;

    stamped.origin = q->write ? rt->origin : 0;
    stamped.seq = stamped.low = 0;
    if (q->write && released) {
        q->seq = stamped.seq = s->next_seq++;
        stamped.low = route__low(s);
        if (stamped.low == 0)
            stamped.low = q->seq;
    } else if (q->write) {
        stamped.seq = stamped.low = 1; /* stamped when it is released */
    }
    q->op = opbuf__encode(rt, &stamped);
    q->deadline_ms = env_now_ms(rt->env) + rt->cfg.deadline_ms;
    list_add_tail(&rt->deadlines, &q->by_deadline);
    router__arm(rt, q->deadline_ms);
    id_assign(rt, q);
    rt->n_pending++;
    rt->pending_bytes += opbuf__slice(q->op).n;
    if (released)
        route__enqueue(q);
}

void router_submit(struct router *rt, struct router_req *r, uint32_t shard,
                   const struct op *op)
{
    struct rq *q = rq_of(r);

    ASSERT(r->cb != NULL);
    *q = (struct rq){ .write = op_is_write(op->kind) };
    list_init(&q->link);
    list_init(&q->out);
    list_init(&q->by_deadline);
    list_init(&q->in_lane);
    env_wake(rt->env);
    if (rt->stopped) {
        refuse(rt, q, OP_ERR_CLUSTERDOWN);
    } else if (shard >= rt->n_shards) {
        refuse(rt, q, OP_ERR_BAD_OP);
    } else if (rt->n_pending >= rt->cfg.pending_max ||
               rt->pending_bytes >= rt->cfg.pending_bytes_max) {
        refuse(rt, q, OP_ERR_BUSY);
    } else {
        q->shard = &rt->shard[shard];
        take_in(rt, q, op, r->stream);
    }
}

/* ---- finishing ---- */

void router__detach(struct rq *q)
{
    struct rshard *s = q->shard;
    struct router *rt = s->rt;

    ASSERT(q->state != RQ_FAILED);
    if (q->state == RQ_LOCAL) {
        shard_cancel(route__local(s), &q->sreq);
        if (q->write)
            s->n_local--;
    }
    list_del(&q->link);
    list_del(&q->out);
    list_del(&q->by_deadline);
    id_release(rt, q);
    ASSERT(rt->n_pending > 0);
    rt->n_pending--;
    rt->pending_bytes -= opbuf__slice(q->op).n;
    opbuf__release(rt, q->op);
    q->op = NULL;
    if (q->write)
        route__settle(s);
    if (q->lane != NULL)
        lane__leave(q);
}

static void answer(struct router *rt, struct rq *q, const struct op_result *res)
{
    struct router_req *r = req_of(q);

    if (res->type == OP_RES_ERR) {
        rt->stats.unknown += res->num == OP_ERR_UNKNOWN;
        rt->stats.clusterdown += res->num == OP_ERR_CLUSTERDOWN;
        rt->stats.busy += res->num == OP_ERR_BUSY;
    }
    r->cb(r, res);
}

void router__finish(struct rq *q, const struct op_result *res)
{
    struct router *rt = q->shard->rt;
    struct op_result unknown = op_result_err(OP_ERR_UNKNOWN);

    router__detach(q);
    /* The retry came too late to be told what the first attempt did. */
    if (res->type == OP_RES_ERR && res->num == OP_ERR_SESSION_LOST)
        res = &unknown;
    answer(rt, q, res);
}

void router__fail(struct rq *q, enum op_err err)
{
    struct op_result res = op_result_err(err);

    router__finish(q, &res);
}

/* The request's time is up, or the router's. */
static void give_up(struct rq *q)
{
    bool open = q->n_open > 0 || q->state == RQ_LOCAL || q->state == RQ_REMOTE;
    const struct op_result ok = { .type = OP_RES_OK };

    if (SABOTAGE(UNKNOWN_SUCCESS) && q->write && open) {
        router__finish(q, &ok);
        return;
    }
    open = open && !SABOTAGE(DEFINITE_UNKNOWN);
    router__fail(q, q->write && open ? OP_ERR_UNKNOWN : OP_ERR_CLUSTERDOWN);
}

void router_cancel(struct router *rt, struct router_req *r)
{
    struct rq *q = rq_of(r);

    if (q->state == RQ_FAILED)
        list_del(&q->link);
    else
        router__detach(q);
    env_wake(rt->env);
}

static void answer_failed(struct router *rt)
{
    struct list todo;

    list_init(&todo);
    list_splice(&todo, &rt->failed);
    while (!list_empty(&todo)) {
        struct rq *q = LIST_FIRST(&todo, struct rq, link);
        struct op_result res = op_result_err(q->failure);

        list_del(&q->link);
        answer(rt, q, &res);
    }
}

/* ---- time ---- */

void router__arm(struct router *rt, uint64_t at_ms)
{
    if (!env_timer_armed(&rt->timer) || at_ms < rt->timer.node.key)
        env_timer_set(&rt->timer, at_ms);
}

static void arm_next(struct router *rt)
{
    const struct heap_node *h = heap_min(&rt->serve_deadlines);

    if (!list_empty(&rt->deadlines))
        router__arm(rt, LIST_FIRST(&rt->deadlines, struct rq, by_deadline)
                            ->deadline_ms);
    if (!list_empty(&rt->waiting))
        router__arm(rt, LIST_FIRST(&rt->waiting, struct rshard, wait)
                            ->wait_until_ms);
    if (h != NULL)
        router__arm(rt, h->key);
}

static void on_timer(struct env_timer *t)
{
    struct router *rt = t->data;
    uint64_t now = env_now_ms(rt->env);

    while (!list_empty(&rt->deadlines)) {
        struct rq *q = LIST_FIRST(&rt->deadlines, struct rq, by_deadline);

        if (q->deadline_ms > now)
            break;
        give_up(q);
    }
    while (!list_empty(&rt->waiting)) {
        struct rshard *s = LIST_FIRST(&rt->waiting, struct rshard, wait);

        if (s->wait_until_ms > now)
            break;
        list_del(&s->wait);
        route__tick(s);
    }
    serve__expire(rt, now);
    for (unsigned i = 0; i < rt->n_peers; i++)
        serve__flush(&rt->peers[i]); /* tell of results lost, if it can be told */
    arm_next(rt);
}

/* ---- the turn ---- */

void router_turn(struct router *rt)
{
    struct list todo;

    answer_failed(rt);
    list_init(&todo);
    list_splice(&todo, &rt->dirty);
    while (!list_empty(&todo)) {
        struct rshard *s = LIST_FIRST(&todo, struct rshard, dirty);

        list_del(&s->dirty);
        route__check(s);
        route__dispatch(s);
        route__check(s);
    }
}

void router_flush(struct router *rt)
{
    for (unsigned i = 0; i < rt->n_peers; i++) {
        forward__flush(&rt->peers[i]);
        serve__flush(&rt->peers[i]);
    }
}

bool router_idle(const struct router *rt)
{
    for (unsigned i = 0; i < rt->n_peers; i++) {
        if (rt->peers[i].results != NULL)
            return false;
    }
    return rt->n_pending == 0 && rt->n_serving == 0 && list_empty(&rt->failed);
}

/* ---- what the node tells us ---- */

void router_frame(struct router *rt, uint64_t from,
                  const struct frame_head *head, struct slice payload)
{
    struct rpeer *p = router__peer(rt, from);

    if (p == NULL || rt->stopped)
        return;
    if (head->kind == FRAME_FORWARD)
        serve__requests(p, payload);
    else if (head->kind == FRAME_FORWARD_RESULT)
        forward__results(p, payload);
    env_wake(rt->env);
}

void router_peer_up(struct router *rt, uint64_t peer)
{
    for (unsigned i = 0; i < rt->n_shards; i++)
        route__peer_up(&rt->shard[i], peer);
    env_wake(rt->env); /* the flush tells it of lost results */
}

void router_peer_down(struct router *rt, uint64_t peer)
{
    struct rpeer *p = router__peer(rt, peer);

    for (unsigned i = 0; i < rt->n_shards; i++)
        route__lost(&rt->shard[i], peer);
    if (p != NULL)
        serve__drop_peer(p);
}

/* ---- knowledge ---- */

uint32_t router_shard_of(const struct router *rt, struct slice key)
{
    return directory_shard_of_slot(rt->dir, slot_of_key(key));
}

uint64_t router_leader(const struct router *rt, uint32_t shard)
{
    return shard < rt->n_shards ? rt->shard[shard].leader : 0;
}

void router_get_stats(const struct router *rt, struct router_stats *ret)
{
    *ret = rt->stats;
}

/* ---- the end ---- */

void router_stop(struct router *rt)
{
    rt->stopped = true;
    for (unsigned i = 0; i < rt->n_peers; i++)
        serve__drop_peer(&rt->peers[i]);
    while (!list_empty(&rt->deadlines) || !list_empty(&rt->failed)) {
        answer_failed(rt);
        if (!list_empty(&rt->deadlines))
            give_up(LIST_FIRST(&rt->deadlines, struct rq, by_deadline));
    }
    env_timer_stop(&rt->timer);
    ASSERT(rt->n_pending == 0);
    ASSERT(rt->n_serving == 0);
}

static void pools_close(struct router *rt)
{
    struct list *l;

    while ((l = pool__take(&rt->opbufs)) != NULL) {
        struct opbuf *o = CONTAINER_OF(l, struct opbuf, link);

        buf_close(&o->buf);
        mem_free(o);
    }
    while ((l = pool__take(&rt->lanes)) != NULL)
        mem_free(CONTAINER_OF(l, struct lane, link));
    while ((l = pool__take(&rt->serves)) != NULL)
        mem_free(CONTAINER_OF(l, struct serve, link));
}

void router_free(struct router *rt)
{
    if (rt == NULL)
        return;
    ASSERT(rt->n_pending == 0 && rt->n_serving == 0);
    env_timer_stop(&rt->timer);
    pools_close(rt);
    for (unsigned i = 0; i < rt->n_shards; i++)
        map_close(&rt->shard[i].lanes);
    for (unsigned i = 0; i < rt->n_peers; i++) {
        frame_free(rt->peers[i].results);
        mem_free(rt->peers[i].refused_gen);
    }
    heap_close(&rt->serve_deadlines);
    buf_close(&rt->scratch);
    mem_free(rt->argv);
    mem_free(rt->by_id);
    mem_free(rt->free_ids);
    mem_free(rt->peers);
    mem_free(rt->shard);
    mem_free(rt);
}
