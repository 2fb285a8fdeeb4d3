/* The requesting side of forwarding: frames of requests to a peer, results from it.
 *
 * What a turn queued for a peer leaves in one frame (more if it is large), in the
 * order in which it was queued.  A read carries this node's durable term of the
 * group, taken now, thus after the read arrived: with it this node vouches
 * that it has not helped to elect anybody newer, which spares the leader of three
 * a round of confirmation (group_read).
 *
 * If the link refuses the frame nothing of it was sent.  Down: the requests come
 * back and wait.  Full: that is back-pressure, the client hears BUSY, except for
 * writes that may have been executed by an earlier attempt: those wait. */
#include "base/assert.h"
#include "router/router_int.h"

static uint64_t witness_term(struct rq *q)
{
    struct shard *local = route__local(q->shard);

    if (q->write || local == NULL)
        return 0;
    return group_durable_term(shard_group(local));
}

static size_t put(struct frame *f, struct rq *q, uint64_t now)
{
    struct forward_req r = {
        .id = q->id,
        .shard = q->shard->id,
        .write = q->write,
        .gen = q->gen,
        .deadline_ms = q->deadline_ms > now ? q->deadline_ms - now : 1,
        .witness_term = witness_term(q),
        .op = opbuf__slice(q->op),
    };

    return forward_put_req(f, &r, q->op->blob);
}

/* Move requests from p->out to batch, as many as one frame takes. */
static struct frame *build(struct rpeer *p, struct list *batch)
{
    struct router *rt = p->rt;
    struct forward_head h = { .hops = FORWARD_HOPS,
                              .origin = rt->origin,
                              .epoch = directory_epoch(rt->dir) };
    struct frame *f = forward_new(FRAME_FORWARD, &h);
    uint64_t now = env_now_ms(rt->env);
    size_t bytes = 0;

    while (!list_empty(&p->out) && bytes < ROUTER_FRAME_BYTES) {
        struct rq *q = LIST_FIRST(&p->out, struct rq, out);
        size_t n = opbuf__slice(q->op).n;

        if (bytes > 0 && bytes + n > FRAME_BYTES_MAX / 2)
            break;
        ASSERT(q->state == RQ_QUEUED);
        bytes += put(f, q, now);
        list_del(&q->out);
        list_add_tail(batch, &q->out);
    }
    frame_seal(f);
    return f;
}

/* The link did not take q: it was surely not sent. */
static void unsendable(struct rq *q, uint64_t peer, int status)
{
    if (status == KV_EBUSY && q->n_open == 0)
        router__fail(q, OP_ERR_BUSY);
    else if (status == KV_EBUSY)
        route__refused(q, peer, peer, OP_ERR_BUSY);
    else
        route__refused(q, peer, 0, OP_ERR_NOT_LEADER);
}

void forward__flush(struct rpeer *p)
{
    struct router *rt = p->rt;
    struct list batch;

    list_init(&batch);
    while (!list_empty(&p->out)) {
        int rv = links_send(rt->links, p->id, build(p, &batch));

        if (rv != 0)
            list_splice(&batch, &p->out); /* the rest would fail as well */
        while (!list_empty(&batch)) {
            struct rq *q = LIST_FIRST(&batch, struct rq, out);

            list_del(&q->out);
            if (rv != 0) {
                unsendable(q, p->id, rv);
                continue;
            }
            q->state = RQ_REMOTE;
            rt->stats.forwarded++;
        }
    }
}

static void on_result(struct rpeer *p, const struct forward_res *r)
{
    struct rq *q = router__find(p->rt, r->id);
    bool present;

    if (q == NULL)
        return; /* cancelled, past its deadline, or answered by another attempt */
    present = q->state == RQ_REMOTE && q->dest == p->id && q->gen == r->gen;
    if (route__is_final(q, &r->res)) {
        /* True whichever attempt it came from: all have the same stamp.  But
         * BUSY speaks for its own attempt only, and the answer of an earlier
         * attempt at a read may be older than that of a read before it. */
        if (!present && !q->write && q->lane != NULL)
            return;
        if (!present && r->res.type == OP_RES_ERR && r->res.num == OP_ERR_BUSY)
            return;
        if (present)
            route__confirmed(q->shard, p->id);
        if (!present || route__in_order(q, &r->res))
            router__finish(q, &r->res);
    } else if (present) {
        route__refused(q, p->id, r->leader, (enum op_err)r->res.num);
    } else if (r->res.num == OP_ERR_NOT_LEADER && q->n_open > 0) {
        q->n_open--; /* an attempt given up on was not executed after all */
    }
}

void forward__results(struct rpeer *p, struct slice payload)
{
    struct router *rt = p->rt;
    struct forward_head h;
    struct forward_res r;
    struct cursor c;
    int rv;

    rv = forward_open(FRAME_FORWARD_RESULT, payload, &h, &c);
    if (rv != 0) {
        rt->stats.malformed++;
        return;
    }
    if (h.origin != rt->origin)
        return; /* for a process that was here before */
    while ((rv = forward_next_res(&c, &r)) == 0)
        on_result(p, &r);
    if (rv != KV_EEOF)
        rt->stats.malformed++;
    if (!h.lost)
        return;
    for (unsigned i = 0; i < rt->n_shards; i++)
        route__lost(&rt->shard[i], p->id);
}
