/* Linearizable reads without a log entry (ReadIndex, Raft dissertation section
 * 6.4), in rounds that serve all groups of the node.
 *
 * In the turn in which reads arrive, a round starts: a number, and one
 * READ_PROBE frame per peer that names every group with waiting reads.  The
 * peer answers with a READ_ACK: the number, and for each group the term it has
 * on disk.  A read is confirmed when a majority of the voters, this node
 * included, stated a term that is not above mine; then it waits until its index
 * is applied.
 *
 *   READ_PROBE  u8 version, varint round, then varint group ... to the end
 *   READ_ACK    u8 version, varint round, then {varint group, varint term} ...
 *
 * Why that is right.  A leader of a later term needs a majority that put a
 * higher term on its disk before it answered the candidate (output gate). Every
 * such majority shares a voter with the one that confirmed the read; that voter
 * stated its term before it had the higher one.  So when the round began, after
 * the read arrived, no later leader existed, and nothing was committed that
 * this leader does not know: the commit index of that moment covers every write
 * that was acknowledged before the read began.  (The leader knows its commit
 * index only after an entry of its own term is committed: `ready`, rule S8.)
 *
 * Invariants
 *   R1  A read is confirmed only by statements made after it arrived: it joins
 *       no round that has started.
 *   R2  Its index is a commit index of this leader, in this term, read at or
 *       after its arrival, while ready.
 *   R3  An answer to round n also answers the rounds before n: it was made
 *       later.
 *   R4  Numbers start at random and grow: an answer to an earlier process on
 *       this node matches no round of this one.
 *   R5  A witness's statement counts for the read it came with alone, as the
 *       witness's own confirmation.
 *   R6  A read that is confirmed stays so when the leader steps down: its point
 *       in time has passed.  The others fail.
 *
 * A round that is not confirmed within a heartbeat is given up: its reads join
 * the next one, under a new number.  A group has at most GROUP_READ_ROUNDS_MAX
 * rounds in flight; further reads wait and share the next. */
#include "base/codec.h"
#include "base/mem.h"
#include "group/group_int.h"

#define READ_VERSION 1u
#define READ_GROUPS_MAX 4096u /* named by one frame */

static void done(struct groupset *gs, struct group_read *r, int status)
{
    ASSERT(r->cb != NULL);
    ASSERT(r->status == 0);
    list_del(&r->link);
    r->status = status;
    list_add_tail(&gs->reads_done, &r->link);
    env_wake(gs->env);
}

static void done_all(struct groupset *gs, struct list *reads, int status)
{
    while (!list_empty(reads))
        done(gs, LIST_FIRST(reads, struct group_read, link), status);
}

static void reading(struct group *g)
{
    if (list_empty(&g->reading))
        list_add_tail(&g->gs->reading, &g->reading);
    env_wake(g->gs->env);
}

/* ---- confirmation ---- */

static bool acked(const struct read_batch *b, uint64_t id)
{
    for (unsigned i = 0; i < b->n_acks; i++)
        if (b->ack[i] == id)
            return true;
    return false;
}

/* Do those who confirmed, and the witness (0: none), make a majority? */
static bool majority(const struct group *g, const struct read_batch *b,
                     uint64_t witness)
{
    const struct raft_configuration *c = &g->r.configuration;
    unsigned voters = 0, yes = 0;

    for (unsigned i = 0; i < c->n; i++) {
        uint64_t id = c->servers[i].id;

        if (c->servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        if (id == g->r.id)
            yes += g->durable_term == g->r.current_term;
        else
            yes += acked(b, id) || id == witness;
    }
    ASSERT(yes <= voters);
    return yes > voters / 2;
}

static bool witnessed(const struct group *g, const struct read_batch *b,
                      const struct group_read *r)
{
    if (r->witness == 0 || r->witness_term == 0 ||
        r->witness_term > g->r.current_term)
        return false;
    return majority(g, b, r->witness);
}

/* Move what is confirmed on; free the batch when nothing is left. */
static void confirm(struct group *g, struct read_batch *b)
{
    struct list *l, *next;
    bool all = majority(g, b, 0);

    ASSERT(b->round != 0);
    for (l = b->reads.next; l != &b->reads; l = next) {
        struct group_read *r = CONTAINER_OF(l, struct group_read, link);

        next = l->next;
        if (!all && !witnessed(g, b, r))
            continue;
        if (!all)
            g->gs->stats.reads_witnessed++;
        list_del(&r->link);
        list_add_tail(&g->reads_apply, &r->link);
    }
    if (list_empty(&b->reads))
        b->round = 0;
}

void read__applied(struct group *g)
{
    struct list *l, *next;

    for (l = g->reads_apply.next; l != &g->reads_apply; l = next) {
        struct group_read *r = CONTAINER_OF(l, struct group_read, link);

        next = l->next;
        if (g->applied >= r->index)
            done(g->gs, r, 0);
    }
    if (!list_empty(&g->reads_new))
        env_wake(g->gs->env);
}

/* Fail every read that is not confirmed. */
static void fail_all(struct group *g, int status)
{
    done_all(g->gs, &g->reads_new, status);
    for (unsigned i = 0; i < GROUP_READ_ROUNDS_MAX; i++) {
        done_all(g->gs, &g->batch[i].reads, status);
        g->batch[i].round = 0;
    }
}

void read__step_down(struct group *g)
{
    if (!list_empty(&g->reading))
        fail_all(g, KV_ENOTLEADER);
    ASSERT(list_empty(&g->reads_new));
}

/* ---- rounds ---- */

static void probe_peer(struct groupset *gs, uint64_t id, uint32_t group)
{
    struct read_peer *p = NULL;

    for (unsigned i = 0; i < gs->n_peers && p == NULL; i++)
        if (gs->peer[i].id == id)
            p = &gs->peer[i];
    if (p == NULL) {
        if (gs->n_peers == sizeof gs->peer / sizeof gs->peer[0])
            return; /* its word will be missing */
        p = &gs->peer[gs->n_peers++];
        *p = (struct read_peer){ .id = id };
    }
    if (p->probe == NULL) {
        p->probe = frame_new(FRAME_READ_PROBE, FRAME_GROUP_NODE);
        buf_put_u8(&p->probe->body, READ_VERSION);
        buf_put_varint(&p->probe->body, gs->round);
    }
    buf_put_varint(&p->probe->body, group);
}

static void batch_start(struct group *g, struct read_batch *b, uint64_t now)
{
    const struct raft_configuration *c = &g->r.configuration;

    ASSERT(b->round == 0 && list_empty(&b->reads));
    ASSERT(g->r.state == RAFT_LEADER && group_ready(g));
    b->round = g->gs->round;
    b->started_ms = now;
    b->n_acks = 0;
    list_splice(&b->reads, &g->reads_new);
    for (struct list *l = b->reads.next; l != &b->reads; l = l->next) {
        struct group_read *r = CONTAINER_OF(l, struct group_read, link);

        r->round = b->round;
        r->index = g->commit_max; /* R2 */
    }
    confirm(g, b); /* a sole voter, or witnesses */
    read__applied(g);
    if (b->round == 0)
        return;
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].role == RAFT_VOTER && c->servers[i].id != g->r.id)
            probe_peer(g->gs, c->servers[i].id, g->id);
}

static struct read_batch *batch_free(struct group *g)
{
    for (unsigned i = 0; i < GROUP_READ_ROUNDS_MAX; i++)
        if (g->batch[i].round == 0)
            return &g->batch[i];
    return NULL;
}

/* Give up rounds that got no majority in time: their reads come first in the
 * next. */
static void batches_expire(struct group *g, uint64_t now)
{
    for (;;) {
        struct read_batch *old = NULL;

        for (unsigned i = 0; i < GROUP_READ_ROUNDS_MAX; i++) {
            struct read_batch *b = &g->batch[i];

            if (b->round != 0 &&
                now - b->started_ms >= g->gs->cfg.heartbeat_ms &&
                (old == NULL || b->round > old->round))
                old = b;
        }
        if (old == NULL)
            return;
        list_splice(&old->reads, &g->reads_new);
        list_splice(&g->reads_new, &old->reads);
        old->round = 0;
        ASSERT(list_empty(&old->reads));
    }
}

static bool in_flight(const struct group *g)
{
    for (unsigned i = 0; i < GROUP_READ_ROUNDS_MAX; i++)
        if (g->batch[i].round != 0)
            return true;
    return false;
}

static void send_probes(struct groupset *gs)
{
    for (unsigned i = 0; i < gs->n_peers; i++) {
        struct frame *f = gs->peer[i].probe;

        if (f == NULL)
            continue;
        gs->peer[i].probe = NULL;
        frame_seal(f);
        gs->stats.frames_out++;
        if (links_send(gs->links, gs->peer[i].id, f) != 0)
            gs->stats.frames_dropped++;
    }
}

void read__turn(struct groupset *gs)
{
    uint64_t now = env_now_ms(gs->env);
    struct list *l, *next;

    if (list_empty(&gs->reading))
        return;
    gs->round++;
    gs->stats.read_rounds++;
    for (l = gs->reading.next; l != &gs->reading; l = next) {
        struct group *g = CONTAINER_OF(l, struct group, reading);
        struct read_batch *b;

        next = l->next;
        batches_expire(g, now);
        b = batch_free(g);
        if (!list_empty(&g->reads_new) && b != NULL && group_ready(g))
            batch_start(g, b, now);
        if (list_empty(&g->reads_new) && !in_flight(g))
            list_del(&g->reading);
    }
    send_probes(gs);
}

uint64_t read__deadline(const struct groupset *gs)
{
    uint64_t at = UINT64_MAX;

    for (const struct list *l = gs->reading.next; l != &gs->reading;
         l = l->next) {
        const struct group *g =
            (const struct group *)(const void *)((const char *)l -
                                                 offsetof(struct group,
                                                          reading));

        for (unsigned i = 0; i < GROUP_READ_ROUNDS_MAX; i++) {
            uint64_t end = g->batch[i].started_ms + gs->cfg.heartbeat_ms;

            if (g->batch[i].round != 0 && end < at)
                at = end;
        }
    }
    return at;
}

/* ---- frames ---- */

void read__probe(struct groupset *gs, uint64_t from, struct slice payload)
{
    struct cursor c = cursor_make(payload);
    unsigned version = cursor_u8(&c);
    uint64_t round = cursor_varint(&c);
    struct frame *f;

    if (c.failed || version != READ_VERSION ||
        payload.n > READ_GROUPS_MAX * 5) {
        groupset__garbage(gs, from, "malformed read probe");
        return;
    }
    f = frame_new(FRAME_READ_ACK, FRAME_GROUP_NODE);
    buf_put_u8(&f->body, READ_VERSION);
    buf_put_varint(&f->body, round);
    while (c.n > 0) {
        uint64_t id = cursor_varint(&c);
        const struct group *g;

        if (c.failed || id > UINT32_MAX) {
            groupset__garbage(gs, from, "malformed read probe");
            frame_free(f);
            return;
        }
        g = groupset_find(gs, (uint32_t)id);
        if (g == NULL || !g->started)
            continue;
        buf_put_varint(&f->body, id);
        buf_put_varint(&f->body, SABOTAGE(READ_UNGATED) ? 0 : g->durable_term);
    }
    frame_seal(f);
    gs->stats.frames_out++;
    if (links_send(gs->links, from, f) != 0)
        gs->stats.frames_dropped++;
}

static void ack_group(struct group *g, uint64_t from, uint64_t round,
                      uint64_t term)
{
    if (!g->started || g->r.state != RAFT_LEADER || term > g->r.current_term)
        return;
    for (unsigned i = 0; i < GROUP_READ_ROUNDS_MAX; i++) {
        struct read_batch *b = &g->batch[i];

        if (b->round == 0 || b->round > round || acked(b, from)) /* R3 */
            continue;
        if (b->n_acks < GROUP_MEMBERS_MAX)
            b->ack[b->n_acks++] = from;
        confirm(g, b);
    }
    read__applied(g);
    if (!list_empty(&g->reading))
        env_wake(g->gs->env); /* a place for a round may be free */
}

void read__ack(struct groupset *gs, uint64_t from, struct slice payload)
{
    struct cursor c = cursor_make(payload);
    unsigned version = cursor_u8(&c);
    uint64_t round = cursor_varint(&c);

    if (c.failed || version != READ_VERSION || round > gs->round) {
        groupset__garbage(gs, from, "malformed read acknowledgement");
        return;
    }
    while (c.n > 0) {
        uint64_t id = cursor_varint(&c);
        uint64_t term = cursor_varint(&c);
        struct group *g;

        if (c.failed || id > UINT32_MAX) {
            groupset__garbage(gs, from, "malformed read acknowledgement");
            return;
        }
        g = groupset_find(gs, (uint32_t)id);
        if (g != NULL)
            ack_group(g, from, round, term);
    }
}

/* ---- the owner's side ---- */

/* Planted faults, for tests of the checkers only.  True: the read is placed. */
static bool sabotaged(struct group *g, struct group_read *r)
{
    if (SABOTAGE(READ_WITHOUT_ROUND) || SABOTAGE(READ_FOLLOWER)) {
        r->index = g->applied;
        list_add_tail(&g->reads_apply, &r->link);
        read__applied(g);
        return true;
    }
    for (unsigned i = 0; SABOTAGE(READ_OLD_ROUND) && i < GROUP_READ_ROUNDS_MAX;
         i++)
        if (g->batch[i].round != 0) {
            r->index = g->commit_max;
            list_add_tail(&g->batch[i].reads, &r->link);
            return true;
        }
    return false;
}

void group_read(struct group *g, struct group_read *r, uint64_t witness,
                uint64_t witness_term)
{
    ASSERT(r->cb != NULL);
    list_init(&r->link);
    r->round = 0;
    r->index = 0;
    r->status = 0;
    r->term = g->r.current_term;
    r->witness = witness;
    r->witness_term = witness_term;
    g->gs->stats.reads++;
    if (SABOTAGE(READ_FOLLOWER) && sabotaged(g, r))
        return;
    if (!g->started || g->r.state != RAFT_LEADER) {
        done(g->gs, r, KV_ENOTLEADER);
        return;
    }
    if (sabotaged(g, r))
        return;
    list_add_tail(&g->reads_new, &r->link);
    reading(g);
}

void group_read_cancel(struct group *g, struct group_read *r)
{
    (void)g;
    list_del(&r->link);
}

void read__answer(struct groupset *gs)
{
    struct list due;

    list_init(&due);
    list_splice(
        &due,
        &gs->reads_done); /* what the callbacks add waits for the next turn */
    while (!list_empty(&due)) {
        struct group_read *r = LIST_FIRST(&due, struct group_read, link);

        list_del(&r->link);
        ASSERT(r->status == 0 || r->status == KV_ENOTLEADER ||
               r->status == KV_ECANCELED);
        r->cb(r, r->status);
    }
}

void read__close(struct group *g)
{
    fail_all(g, KV_ECANCELED);
    done_all(g->gs, &g->reads_apply, KV_ECANCELED);
}
