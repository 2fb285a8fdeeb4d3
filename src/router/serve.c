/* The executing side of forwarding.
 *
 * A peer's requests are checked as input from outside, handed to the local shard,
 * and answered in frames collected until the end of the turn.  Nothing is ever
 * forwarded again: a node that does not lead says so, with its idea of who does.
 *
 * Order.  Refusing one write of a peer and executing a later one of the same
 * generation would let the later overtake the earlier when that is sent again.  So
 * whoever refuses a write remembers its generation and refuses the rest of it; the
 * peer begins a new generation when it hears of the refusal.  BUSY ends a
 * request for good, unless it is a retry, so only then it counts as a refusal.
 *
 * Lost results.  When the link to a peer breaks, results on their way are gone, and
 * its requests in execution are cancelled (a write that is in the log may still
 * happen; the rest of its generation is refused).  A full link drops results, too.
 * `results_lost` remembers that, and the peer is told as soon as the link takes
 * a frame: it then asks again for everything unanswered.
 *
 * Checks: directory epoch (rule R7: the request was routed by what we know too),
 * hops, shard, slot of that shard, and a well-formed operation: a batch in the
 * log must decode on every replica. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/sabotage.h"
#include "router/router_int.h"

/* An empty frame of results. */
static struct frame *results_new(const struct rpeer *p, bool lost)
{
    struct forward_head h = { .lost = lost,
                              .origin = p->origin,
                              .epoch = directory_epoch(p->rt->dir) };

    return forward_new(FRAME_FORWARD_RESULT, &h);
}

/* Append one result to what p will be sent. */
static void reply(struct rpeer *p, const struct forward_res *r)
{
    if (!links_is_up(p->rt->links, p->id)) {
        p->results_lost = true;
        return;
    }
    if (p->results == NULL) {
        p->results = results_new(p, false);
        env_wake(p->rt->env);
    }
    forward_put_res(p->results, r);
    if (p->results->body.len >= ROUTER_FRAME_BYTES)
        serve__flush(p);
}

static int send_results(struct rpeer *p, struct frame *f)
{
    frame_seal(f);
    return links_send(p->rt->links, p->id, f);
}

void serve__flush(struct rpeer *p)
{
    struct router *rt = p->rt;
    struct frame *f = p->results;

    if (f == NULL && !p->results_lost)
        return;
    if (!links_is_up(rt->links, p->id))
        return; /* when it comes up we are called again */
    p->results = NULL;
    if (f != NULL && send_results(p, f) != 0)
        p->results_lost = true;
    if (p->results_lost)
        p->results_lost = send_results(p, results_new(p, true)) != 0;
    if (p->results_lost)
        router__arm(rt, env_now_ms(rt->env) + ROUTER_RETRY_MS);
}

static void reply_err(struct rpeer *p, const struct forward_req *r,
                      uint64_t leader, enum op_err err)
{
    struct forward_res res = { .id = r->id, .gen = r->gen, .leader = leader,
                               .res = op_result_err(err) };

    reply(p, &res);
}

/* ---- objects ---- */

static struct serve *serve_make(struct rpeer *p, struct rshard *s,
                                const struct forward_req *r)
{
    struct router *rt = p->rt;
    struct list *free = pool__take(&rt->serves);
    struct serve *sv = free != NULL ? CONTAINER_OF(free, struct serve, link)
                                    : MEM_NEW(struct serve);

    *sv = (struct serve){ .peer = p, .shard = s, .id = r->id, .gen = r->gen };
    sv->op = opbuf__copy(rt, r->op);
    list_init(&sv->link);
    list_add_tail(&p->serving, &sv->link);
    p->n_serving++;
    p->serving_bytes += r->op.n;
    rt->n_serving++;
    return sv;
}

static void serve_release(struct serve *sv)
{
    struct rpeer *p = sv->peer;
    struct router *rt = p->rt;

    ASSERT(p->n_serving > 0 && rt->n_serving > 0);
    list_del(&sv->link);
    heap_remove(&rt->serve_deadlines, &sv->deadline);
    p->n_serving--;
    p->serving_bytes -= opbuf__slice(sv->op).n;
    rt->n_serving--;
    opbuf__release(rt, sv->op);
    if (!pool__give(&rt->serves, &sv->link))
        mem_free(sv);
}

static void serve_cancel(struct serve *sv)
{
    shard_cancel(route__local(sv->shard), &sv->sreq);
    serve_release(sv);
}

/* ---- execution ---- */

static bool ends_generation(const struct serve *sv, const struct op_result *res)
{
    if (!sv->sreq.write || res->type != OP_RES_ERR)
        return false;
    if (res->num == OP_ERR_BUSY)
        return op_is_retry(opbuf__slice(sv->op));
    return res->num == OP_ERR_NOT_LEADER || res->num == OP_ERR_UNKNOWN;
}

static void refuse_generation(struct rpeer *p, uint32_t shard, uint64_t gen)
{
    if (p->refused_gen[shard] < gen)
        p->refused_gen[shard] = gen;
}

static void on_executed(struct shard_req *sr, const struct op_result *res)
{
    struct serve *sv = CONTAINER_OF(sr, struct serve, sreq);
    struct forward_res r = { .id = sv->id, .gen = sv->gen,
                             .leader = sv->shard->leader, .res = *res };

    if (ends_generation(sv, res))
        refuse_generation(sv->peer, sv->shard->id, sv->gen);
    reply(sv->peer, &r);
    serve_release(sv);
}

static void execute(struct rpeer *p, struct rshard *s,
                    const struct forward_req *r)
{
    struct router *rt = p->rt;
    struct serve *sv = serve_make(p, s, r);
    uint64_t ttl = r->deadline_ms < rt->cfg.deadline_ms ? r->deadline_ms
                                                        : rt->cfg.deadline_ms;
    uint64_t at = env_now_ms(rt->env) + ttl;

    heap_insert(&rt->serve_deadlines, &sv->deadline, at);
    router__arm(rt, at);
    rt->stats.served_for_peers++;
    sv->sreq = (struct shard_req){ .op = opbuf__slice(sv->op),
                                   .write = r->write,
                                   .witness = r->write ? 0 : p->id,
                                   .witness_term = r->witness_term,
                                   .cb = on_executed };
    shard_submit(route__local(s), &sv->sreq);
}

/* Whether this node may execute writes (reads) of s now. */
static bool leads(struct rshard *s, bool write)
{
    if (s->leader != s->rt->cfg.node_id || route__local(s) == NULL)
        return false;
    return write || s->ready_here;
}

static bool is_well_formed(struct rpeer *p, const struct forward_req *r)
{
    struct router *rt = p->rt;
    struct op op;

    if (r->shard >= rt->n_shards || opbuf__decode(rt, r->op, &op) != 0 ||
        op_is_write(op.kind) != r->write)
        return false;
    return op.slot >= SLOT_COUNT ||
           directory_shard_of_slot(rt->dir, op.slot) == r->shard;
}

/* A planted fault: what this node does not lead it passes on, under the name
 * of whoever asked.  The answer comes to the wrong place. */
static bool pass_on(struct rshard *s, const struct forward_head *h,
                    const struct forward_req *r)
{
    struct frame *f;

    if (s->leader == 0 || s->leader == s->rt->cfg.node_id ||
        !links_is_up(s->rt->links, s->leader))
        return false;
    f = forward_new(FRAME_FORWARD, h);
    forward_put_req(f, r, NULL);
    frame_seal(f);
    return links_send(s->rt->links, s->leader, f) == 0;
}

static void request(struct rpeer *p, const struct forward_head *h,
                    const struct forward_req *r)
{
    struct router *rt = p->rt;
    struct rshard *s;

    if (!is_well_formed(p, r)) {
        reply_err(p, r, 0, OP_ERR_BAD_OP);
        return;
    }
    s = &rt->shard[r->shard];
    if (SABOTAGE(FORWARD_LOOP) && !leads(s, r->write) && pass_on(s, h, r))
        return;
    if (h->epoch != directory_epoch(rt->dir) || h->hops != FORWARD_HOPS ||
        !leads(s, r->write) ||
        (r->write && r->gen <= p->refused_gen[r->shard])) {
        if (r->write)
            refuse_generation(p, r->shard, r->gen);
        reply_err(p, r, s->leader, OP_ERR_NOT_LEADER);
    } else if (p->n_serving >= ROUTER_SERVE_REQS_MAX ||
               p->serving_bytes >= ROUTER_SERVE_BYTES_MAX) {
        if (r->write && op_is_retry(r->op))
            refuse_generation(p, r->shard, r->gen);
        reply_err(p, r, s->leader, OP_ERR_BUSY);
    } else {
        execute(p, s, r);
    }
}

/* A new process at the peer: its generations begin anew, and nobody waits for what
 * the old one asked for. */
static void meet(struct rpeer *p, uint64_t origin)
{
    if (p->origin == origin)
        return;
    while (!list_empty(&p->serving))
        serve_cancel(LIST_FIRST(&p->serving, struct serve, link));
    frame_free(p->results);
    p->results = NULL;
    p->results_lost = false;
    p->origin = origin;
    for (unsigned i = 0; i < p->rt->n_shards; i++)
        p->refused_gen[i] = 0;
}

void serve__requests(struct rpeer *p, struct slice payload)
{
    struct forward_head h;
    struct forward_req r;
    struct cursor c;
    int rv;

    rv = forward_open(FRAME_FORWARD, payload, &h, &c);
    if (rv != 0) {
        p->rt->stats.malformed++;
        return;
    }
    meet(p, h.origin);
    while ((rv = forward_next_req(&c, &r)) == 0)
        request(p, &h, &r);
    if (rv != KV_EEOF)
        p->rt->stats.malformed++;
}

void serve__drop_peer(struct rpeer *p)
{
    /* Frames that the link had taken may be gone as well. */
    p->results_lost = p->origin != 0;
    while (!list_empty(&p->serving)) {
        struct serve *sv = LIST_FIRST(&p->serving, struct serve, link);

        if (sv->sreq.write)
            refuse_generation(p, sv->shard->id, sv->gen);
        serve_cancel(sv);
    }
    frame_free(p->results);
    p->results = NULL;
}

void serve__expire(struct router *rt, uint64_t now_ms)
{
    struct heap_node *h;

    while ((h = heap_min(&rt->serve_deadlines)) != NULL && h->key <= now_ms)
        serve_cancel(CONTAINER_OF(h, struct serve, deadline));
}
