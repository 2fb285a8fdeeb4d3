/* One shard: batches of writes, linearizable reads.
 *
 * A write waits in `queue` until the turn ends.  Then the queue becomes one batch,
 * one raft entry; while SHARD_INFLIGHT batches are in flight, later writes collect
 * into the next one, so that group commit adapts to the load by itself.
 *
 *            shard_submit          shard__propose          apply(index, term)
 *   caller ---------------> queue ----------------> inflight ------------------> cb(result)
 *                             |                        |
 *                             | not leader             | leadership lost
 *                             v                        v
 *                     cb(NOT_LEADER)               cb(UNKNOWN)
 *
 * Invariants:
 *  I1 batches in `inflight` have strictly rising indexes, all above the last
 *     applied one, and terms that do not fall.
 *  I2 a request is in exactly one of: queue, one batch, reads, the set's
 *     rejects.  Its callback runs once, from a turn, never from shard_submit.
 *  I3 an operation gets a result of the state machine only from the entry it was
 *     proposed in: same index and same term (Raft's log matching makes that
 *     the same entry).
 *  I4 NOT_LEADER is said of a write only if it cannot take effect from here:
 *     never proposed, or its index was applied with another term.
 *
 * A crash loses all of this: the coordinator sees the link drop and sends the
 * operation again under the same (origin, sequence). */
#include "shard/shard_int.h"

#include "base/assert.h"
#include "base/blob.h"
#include "base/mem.h"
#include "base/sabotage.h"

void shard__check(const struct shard *s)
{
    uint64_t index = 0;
    uint64_t term = 0;
    unsigned n = 0;

    for (struct list *l = s->inflight.next; l != &s->inflight; l = l->next) {
        const struct shard_batch *b = CONTAINER_OF(l, struct shard_batch, link);

        ASSERT(b->index > index);
        ASSERT(b->term >= term);
        index = b->index;
        term = b->term;
        n++;
    }
    ASSERT(n == s->n_inflight);
    ASSERT(!s->ready || s->leader);
    ASSERT(list_empty(&s->queue) == (s->queue_bytes == 0));
}

void shard__mark_dirty(struct shard *s)
{
    if (list_empty(&s->dirty))
        list_add_tail(&s->set->dirty, &s->dirty);
    env_wake(s->set->env);
}

void shard__reject(struct shard *s, struct shard_req *r, enum op_err err)
{
    ASSERT(list_empty(&r->link));
    r->place = SHARD_REJECTED;
    r->pos = (uint64_t)err;
    list_add_tail(&s->set->rejects, &r->link);
    env_wake(s->set->env);
}

/* Arguments of a read that are decoded without allocating. */
#define READ_ARGS_INLINE 16u

static void read_execute(struct shard *s, struct slice in,
                         struct op_result *ret)
{
    struct slice few[READ_ARGS_INLINE], *many = NULL;
    long argc = op_peek_argc(in);
    struct op op;
    int rv;

    if (argc < 0 || argc > (long)OP_ARGS_MAX) {
        *ret = op_result_err(OP_ERR_BAD_OP);
        return;
    }
    if (argc > (long)READ_ARGS_INLINE)
        many = mem_alloc((size_t)argc * sizeof *many);
    rv = op_decode(in, &op, many != NULL ? many : few,
                   many != NULL ? (uint32_t)argc : READ_ARGS_INLINE);
    if (rv != 0 || op_is_write(op.kind))
        *ret = op_result_err(OP_ERR_BAD_OP);
    else
        fsm_read(s->fsm, &op, shard__time(s), ret);
    mem_free(many);
}

static void read_now(struct shard_req *r)
{
    struct shard *s = r->read.data;
    struct op_result res;

    read_execute(s, r->op, &res);
    s->set->read_bytes += res.bulk.n;
    r->cb(r, &res);
}

static void on_read(struct group_read *gr, int status)
{
    struct shard_req *r = CONTAINER_OF(gr, struct shard_req, read);
    struct shard *s = gr->data;
    struct op_result res;

    ASSERT(r->place == SHARD_READING);
    list_del(&r->link);
    if (status != 0) {
        res = op_result_err(OP_ERR_NOT_LEADER);
        r->cb(r, &res);
    } else if (s->set->read_bytes < SHARD_READ_BYTES_PER_TURN) {
        read_now(r);
    } else {
        r->place = SHARD_READY; /* its point has passed: later is as good */
        list_add_tail(&s->set->ready, &r->link);
        env_wake(s->set->env);
    }
}

void shard__run_ready(struct shardset *set)
{
    set->read_bytes = 0;
    while (!list_empty(&set->ready) &&
           set->read_bytes < SHARD_READ_BYTES_PER_TURN) {
        struct shard_req *r = LIST_FIRST(&set->ready, struct shard_req, link);

        ASSERT(r->place == SHARD_READY);
        list_del(&r->link);
        read_now(r);
    }
    if (!list_empty(&set->ready))
        env_wake(set->env);
}

int64_t shard__time(struct shard *s)
{
    int64_t wall = env_wall_ms(s->set->env);
    uint64_t mono = env_now_ms(s->set->env);
    int64_t now = s->time_base_ms + (int64_t)(mono - s->time_mono_ms);
    int64_t clock = fsm_clock_ms(s->fsm);

    if (SABOTAGE(CLOCK_BACKWARDS))
        return wall;
    if (s->time_mono_ms != 0 && now >= wall && now >= clock)
        return now; /* the wall clock was set back: go on without it */
    s->time_mono_ms = mono;
    s->time_base_ms = wall > clock ? wall : clock;
    return s->time_base_ms;
}

static void submit_read(struct shard *s, struct shard_req *r)
{
    r->place = SHARD_READING;
    r->read.cb = on_read;
    r->read.data = s;
    list_init(&r->read.link);
    list_add_tail(&s->reads, &r->link);
    group_read(s->group, &r->read, r->witness, r->witness_term);
}

/* Bytes of operations, with their lengths, that an entry of the log can hold. */
static size_t entry_room(const struct shard *s)
{
    return group_entry_bytes_max(s->group) - OP_BATCH_HEAD_BYTES_MAX;
}

static size_t op_room(const struct shard_req *r)
{
    return r->op.n + OP_BATCH_LENGTH_BYTES_MAX;
}

static void submit_write(struct shard *s, struct shard_req *r)
{
    if (!s->leader) {
        shard__reject(s, r, OP_ERR_NOT_LEADER);
        return;
    }
    if (op_room(r) > entry_room(s)) {
        /* Never executed from here; another node may have larger segments. */
        shard__reject(s, r, op_is_retry(r->op) ? OP_ERR_UNKNOWN
                                               : OP_ERR_TOO_BIG);
        return;
    }
    if (!list_empty(&s->queue) &&
        s->queue_bytes + r->op.n > s->set->cfg.queue_bytes_max) {
        shard__reject(s, r, OP_ERR_BUSY);
        return;
    }
    r->place = SHARD_QUEUED;
    list_add_tail(&s->queue, &r->link);
    s->queue_bytes += r->op.n;
    shard__mark_dirty(s);
}

void shard_submit(struct shard *s, struct shard_req *r)
{
    ASSERT(r->cb != NULL);
    ASSERT(r->op.n > 0);
    ASSERT(!s->set->closing);
    list_init(&r->link);
    if (r->write)
        submit_write(s, r);
    else
        submit_read(s, r);
}

void shard_cancel(struct shard *s, struct shard_req *r)
{
    ASSERT(!list_empty(&r->link));
    if (r->place == SHARD_READING)
        group_read_cancel(s->group, &r->read);
    else if (r->place == SHARD_QUEUED)
        s->queue_bytes -= r->op.n;
    list_del(&r->link);
}

/* Move writes from the queue into a new batch, up to the byte limit (at least
 * one), and no more than an entry holds.  The encoded entry is left in the set's
 * scratch buffer. */
static struct shard_batch *batch_collect(struct shard *s)
{
    struct shardset *set = s->set;
    struct shard_batch *b = MEM_NEW(struct shard_batch);
    size_t bytes = 0, room = entry_room(s);
    uint64_t n = 0;

    list_init(&b->link);
    list_init(&b->reqs);
    while (!list_empty(&s->queue)) {
        struct shard_req *r = LIST_FIRST(&s->queue, struct shard_req, link);

        if (n > 0 && (bytes + r->op.n > set->cfg.batch_bytes_max ||
                      op_room(r) > room))
            break;
        ASSERT(op_room(r) <= room); /* submit_write */
        room -= op_room(r);
        list_del(&r->link);
        list_add_tail(&b->reqs, &r->link);
        r->place = SHARD_INFLIGHT;
        r->pos = n++;
        bytes += r->op.n;
    }
    s->queue_bytes -= bytes;
    buf_clear(&set->scratch);
    op_batch_begin(&set->scratch, shard__time(s), n);
    for (struct list *l = b->reqs.next; l != &b->reqs; l = l->next)
        op_batch_add(&set->scratch,
                     CONTAINER_OF(l, struct shard_req, link)->op);
    return b;
}

/* Put the requests of a batch that was not proposed back at the queue's head. */
static void batch_return(struct shard *s, struct shard_batch *b)
{
    for (struct list *l = b->reqs.next; l != &b->reqs; l = l->next) {
        struct shard_req *r = CONTAINER_OF(l, struct shard_req, link);

        r->place = SHARD_QUEUED;
        s->queue_bytes += r->op.n;
    }
    list_splice(&b->reqs, &s->queue);
    list_splice(&s->queue, &b->reqs);
    mem_free(b);
}

/* A planted fault: plain SETs are answered when they are proposed. */
static void ack_proposed(struct shard_batch *b)
{
    const struct op_result ok = { .type = OP_RES_OK };
    struct list *l, *next;

    for (l = b->reqs.next; l != &b->reqs; l = next) {
        struct shard_req *r = CONTAINER_OF(l, struct shard_req, link);

        next = l->next;
        if (r->op.p[1] != OP_SET || (get_u16le(r->op.p + 2) & ~OP_RETRY) != 0)
            continue;
        list_del(&r->link);
        r->cb(r, &ok);
    }
}

/* 0: a batch was proposed; else why not (the queue is as it was). */
static int propose_one(struct shard *s)
{
    struct shard_batch *b = batch_collect(s);
    struct blob *payload = blob_copy(buf_slice(&s->set->scratch));
    int rv = group_propose(s->group, payload, &b->index, &b->term);

    blob_unref(payload);
    buf_shrink(&s->set->scratch, SHARD_SCRATCH_KEEP_BYTES);
    if (rv != 0) {
        batch_return(s, b);
        return rv;
    }
    list_add_tail(&s->inflight, &b->link);
    s->n_inflight++;
    if (SABOTAGE(ACK_AT_PROPOSE))
        ack_proposed(b);
    return 0;
}

void shard__propose(struct shard *s)
{
    shard__check(s);
    while (s->ready && !list_empty(&s->queue) &&
           s->n_inflight < s->set->cfg.batches_inflight_max) {
        int rv = propose_one(s);

        ASSERT(rv != KV_E2BIG); /* the queue would wait for ever */
        if (rv == KV_ENOTLEADER)
            shard__drop_queue(s, OP_ERR_NOT_LEADER);
        else if (rv == KV_EBUSY && s->n_inflight == 0)
            /* Nothing of ours in flight will call us again. */
            shard__drop_queue(s, OP_ERR_BUSY);
        if (rv != 0)
            break; /* KV_EAGAIN, KV_EBUSY: on_state or on_apply calls again */
    }
    shard__check(s);
}

void shard__drop_queue(struct shard *s, enum op_err err)
{
    while (!list_empty(&s->queue)) {
        struct shard_req *r = LIST_FIRST(&s->queue, struct shard_req, link);

        list_del(&r->link);
        s->queue_bytes -= r->op.n;
        shard__reject(s, r, err);
    }
}

static void batch_drop(struct shard *s, struct shard_batch *b, enum op_err err)
{
    while (!list_empty(&b->reqs)) {
        struct shard_req *r = LIST_FIRST(&b->reqs, struct shard_req, link);

        list_del(&r->link);
        shard__reject(s, r, err);
    }
    list_del(&b->link);
    s->n_inflight--;
    mem_free(b);
}

void shard__drop_inflight(struct shard *s, uint64_t below)
{
    while (!list_empty(&s->inflight)) {
        struct shard_batch *b =
            LIST_FIRST(&s->inflight, struct shard_batch, link);

        if (b->term >= below)
            break;
        batch_drop(s, b,
                   SABOTAGE(UNKNOWN_REFUSED) ? OP_ERR_NOT_LEADER
                                             : OP_ERR_UNKNOWN);
    }
}

static void on_result(void *ctx, uint64_t i, const struct op *op,
                      const struct op_result *res)
{
    struct shard_batch *b = ctx;
    struct shard_req *r;

    (void)op;
    if (list_empty(&b->reqs))
        return;
    r = LIST_FIRST(&b->reqs, struct shard_req, link);
    if (r->pos != i && !SABOTAGE(RESULT_SHIFTED))
        return; /* the one at i was cancelled */
    list_del(&r->link);
    r->cb(r, res);
}

static void on_apply(void *ctx, uint64_t index, uint64_t term,
                     struct slice payload)
{
    struct shard *s = ctx;
    struct shard_batch *b = NULL;
    int rv;

    if (!list_empty(&s->inflight))
        b = LIST_FIRST(&s->inflight, struct shard_batch, link);
    if (b == NULL || b->index > index) {
        rv = fsm_apply(s->fsm, index, payload, NULL, NULL);
    } else if (b->term != term) {
        /* Another leader's entry took the place: ours is gone for good. */
        ASSERT(b->index == index);
        batch_drop(s, b, OP_ERR_NOT_LEADER);
        rv = fsm_apply(s->fsm, index, payload, NULL, NULL);
    } else {
        ASSERT(b->index == index);
        list_del(&b->link);
        s->n_inflight--;
        rv = fsm_apply(s->fsm, index, payload, on_result, b);
        while (rv != 0 && !list_empty(&b->reqs)) {
            struct shard_req *r = LIST_FIRST(&b->reqs, struct shard_req, link);

            list_del(&r->link);
            shard__reject(s, r, OP_ERR_BAD_OP);
        }
        ASSERT(list_empty(&b->reqs));
        mem_free(b);
    }
    if (rv != 0)
        shard__log_bad_entry(s, index, rv);
    if (!list_empty(&s->queue))
        shard__mark_dirty(s);
    shard__tick_update(s);
}

static void on_state(void *ctx, enum group_role role, uint64_t term,
                     uint64_t leader, bool ready)
{
    struct shard *s = ctx;

    s->leader = role == GROUP_LEADER;
    s->ready = s->leader && ready;
    s->term = term;
    if (!s->leader) {
        shard__drop_queue(s, OP_ERR_NOT_LEADER);
        shard__drop_inflight(s, UINT64_MAX);
    } else {
        shard__drop_inflight(s, term);
    }
    if (s->ready && !list_empty(&s->queue))
        shard__mark_dirty(s);
    shard__tick_update(s);
    shard__check(s);
    s->set->leader_cb(s->set->ctx, s->id, leader, s->ready);
}

const struct group_ops shard__group_ops = {
    .apply = on_apply,
    .state = on_state,
};

struct group *shard_group(struct shard *s)
{
    return s->group;
}

struct fsm *shard_fsm(struct shard *s)
{
    return s->fsm;
}
