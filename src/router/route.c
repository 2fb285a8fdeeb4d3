/* A shard as the router sees it: who leads it, and what waits to be sent there.
 *
 * States of a request:
 *
 *            enqueue          dispatch: leader here
 *   (HELD) ----------> UNSENT ----------------------> LOCAL ----------> answered
 *                       ^   \                           |
 *                       |    \ leader elsewhere         | not leader, unknown
 *                       |     v                         v
 *                       |   QUEUED --flush--> REMOTE  RETURNED
 *                       |      |                 |      |
 *                       +------+--- bump --------+------+
 *
 * A read that is answered before an older one of its lane waits, EARLY, until that one
 * is done, and is UNSENT again.
 *
 * Writes are kept in the order of their sequences in two lists: `sent`, then
 * `unsent`.  All of sent goes to one node, dest, and carries the shard's present
 * generation, gen.  If one of them comes back (not the leader, outcome unknown,
 * link lost) all of them do: the generation ends (route__bump), sent is put in front
 * of unsent, and everything is sent again in order.  Two things make that safe:
 *
 *   - a repeat of something that was executed is answered from the session table;
 *   - a write that arrives late at the old place cannot overtake those that came
 *     back from there: a node that refused a write refuses the rest of its
 *     generation (serve.c); of the local shard we wait until it has given
 *     back all it has (`settling`) before anything is sent elsewhere.
 *
 * Reads are sent again one by one; lane.c sees to the order of their answers.
 *
 * Knowledge of the leader: the local replica's word (router_leader_changed), the hint
 * of a node that refused, or who last executed something.  Without a replica here
 * the directory's preferred leader is the first guess.  When there is no leader, or
 * the link to it is down, the shard waits for ROUTER_RETRY_MS, then asks the
 * replicas in turn with the first request only (a probe).  Hints are followed at
 * once twice in a row, then only at that pace: two nodes that each believe
 * the other to lead do not make us run in circles.
 *
 * Invariants (route__check):
 *   R1  sequences ascend through sent, then unsent;
 *   R2  unless settling, all in sent are of this gen and of dest;
 *   R3  n_local counts the LOCAL writes;  settling implies n_local > 0. */
#include "base/assert.h"
#include "base/sabotage.h"
#include "router/router_int.h"

void route__init(struct router *rt, struct rshard *s, uint32_t id)
{
    const struct directory_shard *d = directory_shard(rt->dir, id);

    s->rt = rt;
    s->id = id;
    s->next_seq = 1;
    s->gen = 1;
    list_init(&s->sent);
    list_init(&s->unsent);
    list_init(&s->reads_sent);
    list_init(&s->reads_unsent);
    list_init(&s->dirty);
    list_init(&s->wait);
    map_init(&s->lanes);
    for (unsigned i = 0; i < d->n; i++)
        s->replica_here = s->replica_here || d->replicas[i] == rt->cfg.node_id;
    if (!s->replica_here)
        s->leader = d->replicas[0];
}

static void check_writes(const struct rshard *s)
{
    uint64_t seq = 0;
    unsigned n_local = 0;

    for (struct list *l = s->sent.next; l != &s->sent; l = l->next) {
        const struct rq *q = CONTAINER_OF(l, const struct rq, link);

        ASSERT(q->seq > seq); /* R1 */
        if (!s->settling) {
            ASSERT(q->gen == s->gen); /* R2 */
            ASSERT(q->dest == s->dest);
        }
        n_local += q->state == RQ_LOCAL;
        seq = q->seq;
    }
    for (struct list *l = s->unsent.next; l != &s->unsent; l = l->next) {
        const struct rq *q = CONTAINER_OF(l, const struct rq, link);

        ASSERT(q->seq > seq); /* R1 */
        ASSERT(q->state == RQ_UNSENT);
        seq = q->seq;
    }
    ASSERT(n_local == s->n_local); /* R3 */
}

void route__check(const struct rshard *s)
{
    ASSERT(!s->settling || s->n_local > 0); /* R3 */
    ASSERT(!s->ready_here || s->leader == s->rt->cfg.node_id);
#ifdef KV_DEBUG
    check_writes(s);
#else
    (void)check_writes;
#endif
}

struct shard *route__local(struct rshard *s)
{
    if (s->local == NULL && s->replica_here)
        s->local = shardset_find(s->rt->shards, s->id);
    return s->local;
}

void route__mark_dirty(struct rshard *s)
{
    if (list_empty(&s->dirty))
        list_add_tail(&s->rt->dirty, &s->dirty);
    env_wake(s->rt->env);
}

static bool has_unsent(const struct rshard *s)
{
    return !list_empty(&s->unsent) || !list_empty(&s->reads_unsent);
}

static bool has_sent(const struct rshard *s)
{
    return !list_empty(&s->sent) || !list_empty(&s->reads_sent);
}

uint64_t route__low(const struct rshard *s)
{
    if (!list_empty(&s->sent))
        return LIST_FIRST(&s->sent, const struct rq, link)->seq;
    if (!list_empty(&s->unsent))
        return LIST_FIRST(&s->unsent, const struct rq, link)->seq;
    return 0;
}

void route__enqueue(struct rq *q)
{
    struct rshard *s = q->shard;

    q->state = RQ_UNSENT;
    list_add_tail(q->write ? &s->unsent : &s->reads_unsent, &q->link);
    route__mark_dirty(s);
}

void route__release(struct rq *q)
{
    struct rshard *s = q->shard;
    struct router *rt = s->rt;

    if (q->write) {
        uint64_t low = route__low(s);

        q->seq = s->next_seq++;
        rt->pending_bytes -= opbuf__slice(q->op).n;
        q->op = opbuf__restamp(rt, q->op, q->seq, low == 0 ? q->seq : low);
        rt->pending_bytes += opbuf__slice(q->op).n;
    }
    route__enqueue(q);
}

/* ---- coming back ---- */

void route__settle(struct rshard *s)
{
    if (!s->settling || s->n_local > 0)
        return;
    s->settling = false;
    for (struct list *l = s->sent.next; l != &s->sent; l = l->next) {
        struct rq *q = CONTAINER_OF(l, struct rq, link);

        ASSERT(q->state == RQ_RETURNED);
        q->state = RQ_UNSENT;
    }
    list_splice(&s->sent, &s->unsent);
    list_splice(&s->unsent, &s->sent);
    if (has_unsent(s))
        route__mark_dirty(s);
}

void route__bump(struct rshard *s)
{
    s->gen++;
    for (struct list *l = s->sent.next; l != &s->sent; l = l->next) {
        struct rq *q = CONTAINER_OF(l, struct rq, link);

        if (q->state == RQ_QUEUED)
            list_del(&q->out);
        else if (q->state == RQ_REMOTE)
            q->n_open++;
        if (q->state != RQ_LOCAL)
            q->state = RQ_RETURNED;
    }
    s->settling = true;
    route__settle(s);
}

static void read_returns(struct rq *q)
{
    struct rshard *s = q->shard;

    ASSERT(!q->write);
    list_del(&q->link);
    list_del(&q->out);
    q->state = RQ_UNSENT;
    list_add_tail(&s->reads_unsent, &q->link);
    lane__returns(q);
    route__mark_dirty(s);
}

bool route__in_order(struct rq *q, const struct op_result *res)
{
    if (res->type == OP_RES_ERR || lane__in_order(q))
        return true;
    if (lane__is_first(q)) {
        read_returns(q);
        return false;
    }
    /* To be asked again now, it could be answered now, in a circle for as long as
     * the one before it is out. */
    list_del(&q->link);
    list_del(&q->out);
    q->state = RQ_EARLY;
    lane__returns(q);
    return false;
}

/* Take back the reads that are out: those at `dest`, or all but those. */
static void reads_return(struct rshard *s, uint64_t dest, bool at)
{
    struct list *l = s->reads_sent.next;

    while (l != &s->reads_sent) {
        struct rq *q = CONTAINER_OF(l, struct rq, link);

        l = l->next;
        if (q->state != RQ_LOCAL && (q->dest == dest) == at)
            read_returns(q);
    }
}

void route__lost(struct rshard *s, uint64_t peer)
{
    if (!s->settling && !list_empty(&s->sent) && s->dest == peer)
        route__bump(s);
    reads_return(s, peer, true);
}

/* ---- who leads ---- */

void route__wait(struct rshard *s)
{
    if (!list_empty(&s->wait))
        return;
    s->wait_until_ms = env_now_ms(s->rt->env) + ROUTER_RETRY_MS;
    list_add_tail(&s->rt->waiting, &s->wait);
    router__arm(s->rt, s->wait_until_ms);
}

/* What went elsewhere comes back; what waits may go. */
static void set_leader(struct rshard *s, uint64_t leader)
{
    ASSERT(leader != 0);
    s->leader = leader;
    s->probing = false;
    if (leader != s->rt->cfg.node_id)
        s->ready_here = false;
    if (!s->settling && !list_empty(&s->sent) && s->dest != leader)
        route__bump(s);
    reads_return(s, leader, false);
    route__mark_dirty(s);
}

static void forget_leader(struct rshard *s)
{
    s->leader = 0;
    s->ready_here = false;
    s->probing = false;
    /* What is out may still be answered; nobody else is asked for a while. */
    s->probe_until_ms = env_now_ms(s->rt->env) + ROUTER_PROBE_MS;
    if (has_unsent(s) || has_sent(s))
        route__wait(s);
}

void router_leader_changed(struct router *rt, uint32_t shard, uint64_t leader,
                           bool ready_here)
{
    struct rshard *s;

    if (shard >= rt->n_shards || rt->stopped)
        return;
    s = &rt->shard[shard];
    ASSERT(!ready_here || leader == rt->cfg.node_id);
    s->refusals = 0;
    if (leader == 0) {
        forget_leader(s);
        return;
    }
    list_del(&s->wait);
    set_leader(s, leader);
    s->ready_here = ready_here;
}

void route__peer_up(struct rshard *s, uint64_t peer)
{
    if (s->leader != peer)
        return;
    list_del(&s->wait);
    set_leader(s, peer); /* a probe may be out elsewhere */
}

void route__confirmed(struct rshard *s, uint64_t from)
{
    s->refusals = 0;
    if (s->leader != 0 && !s->probing)
        return;
    list_del(&s->wait);
    set_leader(s, from);
}

/* `from` refused.  Only what it says while we believe in it matters. */
static void learn(struct rshard *s, uint64_t from, uint64_t hint)
{
    uint64_t self = s->rt->cfg.node_id;

    if (from != s->leader && !s->probing)
        return;
    s->probing = false;
    s->refusals++;
    if (hint != 0 && hint != from && hint != self &&
        router__peer(s->rt, hint) != NULL) {
        set_leader(s, hint);
        if (s->refusals <= ROUTER_REFUSALS_FREE)
            return;
    } else if (hint != from && from != self) {
        s->leader = 0; /* nobody, or us: our replica says so when it is true */
        s->probe_until_ms = 0;
    }
    route__wait(s);
}

bool route__is_final(const struct rq *q, const struct op_result *res)
{
    if (res->type != OP_RES_ERR)
        return true;
    if (res->num == OP_ERR_BUSY) /* this attempt was refused, not an earlier one */
        return !q->write || q->n_open == 0;
    return res->num != OP_ERR_NOT_LEADER && res->num != OP_ERR_UNKNOWN;
}

void route__refused(struct rq *q, uint64_t from, uint64_t hint, enum op_err why)
{
    struct rshard *s = q->shard;

    if (!q->write) {
        read_returns(q);
    } else {
        q->n_open += why == OP_ERR_UNKNOWN;
        q->state = RQ_RETURNED;
        if (s->settling)
            route__settle(s);
        else
            route__bump(s);
    }
    if (why == OP_ERR_BUSY) /* it leads; later */
        hint = from;
    learn(s, from, hint);
}

/* ---- sending ---- */

static void on_local(struct shard_req *sr, const struct op_result *res)
{
    struct rq *q = CONTAINER_OF(sr, struct rq, sreq);
    struct rshard *s = q->shard;
    uint64_t self = s->rt->cfg.node_id;

    ASSERT(q->state == RQ_LOCAL);
    q->state = RQ_RETURNED;
    if (q->write) {
        ASSERT(s->n_local > 0);
        s->n_local--;
    }
    if (route__is_final(q, res)) {
        if (s->leader == self)
            route__confirmed(s, self);
        if (route__in_order(q, res))
            router__finish(q, res);
    } else {
        route__refused(q, self, s->leader, (enum op_err)res->num);
    }
}

/* Note a new attempt at dest and move q to the end of its list of sent ones. */
static void attempt(struct rq *q, uint64_t dest)
{
    struct rshard *s = q->shard;

    ASSERT(q->state == RQ_UNSENT);
    list_del(&q->link);
    if (q->write) {
        ASSERT(list_empty(&s->sent) || s->dest == dest);
        s->dest = dest;
    }
    list_add_tail(q->write ? &s->sent : &s->reads_sent, &q->link);
    q->gen = s->gen;
    q->dest = dest;
    q->overtaken = false;
    if (q->n_open > 0)
        opbuf__mark_retry(q->op);
    s->rt->stats.retries += q->sent_before;
    q->sent_before = true;
}

static void send_local(struct rq *q)
{
    struct rshard *s = q->shard;

    attempt(q, s->rt->cfg.node_id);
    q->state = RQ_LOCAL;
    if (q->write)
        s->n_local++;
    s->rt->stats.local++;
    q->sreq = (struct shard_req){ .op = opbuf__slice(q->op),
                                  .write = q->write,
                                  .cb = on_local };
    shard_submit(route__local(s), &q->sreq);
}

static void send_remote(struct rq *q, struct rpeer *p)
{
    attempt(q, p->id);
    q->state = RQ_QUEUED;
    list_add_tail(&p->out, &q->out);
}

static void dispatch_local(struct rshard *s)
{
    /* Writes wait in the shard for its readiness; reads it would refuse. */
    while (!list_empty(&s->unsent))
        send_local(LIST_FIRST(&s->unsent, struct rq, link));
    while (s->ready_here && !list_empty(&s->reads_unsent))
        send_local(LIST_FIRST(&s->reads_unsent, struct rq, link));
}

static void dispatch_remote(struct rshard *s, struct rpeer *p)
{
    while (!list_empty(&s->unsent))
        send_remote(LIST_FIRST(&s->unsent, struct rq, link), p);
    while (!list_empty(&s->reads_unsent))
        send_remote(LIST_FIRST(&s->reads_unsent, struct rq, link), p);
}

void route__dispatch(struct rshard *s)
{
    struct router *rt = s->rt;

    while (SABOTAGE(READ_FOLLOWER) && !list_empty(&s->reads_unsent) &&
           route__local(s) != NULL)
        send_local(LIST_FIRST(&s->reads_unsent, struct rq, link));
    if (!has_unsent(s) || s->settling || !list_empty(&s->wait))
        return;
    if (s->leader == rt->cfg.node_id && route__local(s) != NULL)
        dispatch_local(s);
    else if (s->leader != 0 && s->leader != rt->cfg.node_id &&
             links_is_up(rt->links, s->leader))
        dispatch_remote(s, router__peer(rt, s->leader));
    else
        route__wait(s);
}

/* ---- searching ---- */

/* The next replica on another node that can be reached; NULL if none. */
static struct rpeer *next_candidate(struct rshard *s)
{
    const struct directory_shard *d = directory_shard(s->rt->dir, s->id);

    for (unsigned i = 0; i < d->n; i++) {
        uint64_t id = d->replicas[s->probe_next++ % d->n];

        if (id != s->rt->cfg.node_id && links_is_up(s->rt->links, id))
            return router__peer(s->rt, id);
    }
    return NULL;
}

static void probe(struct rshard *s, uint64_t now)
{
    struct rpeer *p = next_candidate(s);

    if (p == NULL)
        return;
    if (!list_empty(&s->sent))
        route__bump(s);
    if (s->settling)
        return;
    reads_return(s, 0, false);
    if (!has_unsent(s))
        return; /* reads that this node's shard has yet to answer */
    s->probing = true;
    s->probe_until_ms = now + ROUTER_PROBE_MS;
    if (!list_empty(&s->unsent))
        send_remote(LIST_FIRST(&s->unsent, struct rq, link), p);
    else
        send_remote(LIST_FIRST(&s->reads_unsent, struct rq, link), p);
    env_wake(s->rt->env); /* for the flush */
}

void route__tick(struct rshard *s)
{
    uint64_t now = env_now_ms(s->rt->env);
    uint64_t self = s->rt->cfg.node_id;

    if (!has_unsent(s) && !has_sent(s))
        return;
    if (s->leader == self) {
        route__mark_dirty(s);
        return;
    }
    if (s->leader != 0 && links_is_up(s->rt->links, s->leader)) {
        set_leader(s, s->leader); /* a probe may be out elsewhere */
        return;
    }
    if (!has_sent(s) || now >= s->probe_until_ms)
        probe(s, now);
    route__wait(s);
}
