/* The watch: after each event of a node, what changed in its replicas becomes facts
 * for the ledger of their shard.
 *
 * The usual look compares a few counters of each replica on that node and goes on;
 * most events change nothing.  A log is compared with the copy of its terms kept
 * from last time: equal length and equal last term mean an equal log (Log Matching,
 * which the ledger checks entry by entry), else the first difference is looked for
 * from the end.  What is behind it was truncated, what is new was appended.
 *
 * What is checked, for each shard:
 *
 *   V1  A term has one leader, and a voter gives one vote in it, over restarts.
 *   V2  (index, term) determines the payload and the term before, on any node and in
 *       any life: by induction two logs that agree on an entry agree before it.
 *   V3  What one node holds committed, all others hold so, with the same term, and
 *       who leads a later term has it.  (The last such entry is enough, by V2.)
 *   V4  An entry is committed when a majority of the voters called it durable and
 *       the leader who counts them made it (section 5.4.2 of the paper).
 *   V5  A replica applies in order and, in one life, never goes back; it has applied
 *       no more than it holds committed.
 *   V6  At equal index all replicas have equal digests, at the end of every event.
 *   V7  What a node promised survives its crash: entries that it called durable (to
 *       others, or to itself, which is what it counts and applies by) are in its log,
 *       its term is not below one that it has stated, its vote not another.
 *
 * What leaves a node is checked in promise.c, what only our host rules promise in
 * hostrule.c.
 *
 * Pointers to groups and state machines are taken when a node has started, and used
 * while its struct node lives: the world clears host.node when that is freed. */
#include "kvsim/watch.h"

#include <inttypes.h>

#include "base/crc.h"
#include "base/mem.h"

#define DIGESTS_CAP_MIN 1024u

/* ---- the watch ---- */

void watch__shard_init(struct watch_shard *s)
{
    *s = (struct watch_shard){ .handed_term = 0 };
    ledger_init(&s->ledger);
    s->ledger.keep_payloads = true;
}

void watch__shard_close(struct watch_shard *s)
{
    ledger_close(&s->ledger);
    mem_free(s->digests);
    for (unsigned n = 1; n <= PLAN_NODES_MAX; n++)
        mem_free(s->view[n].terms);
}

struct watch *watch_new(struct world *w)
{
    struct watch *t = MEM_NEW(struct watch);

    ASSERT(w->plan.shards > 0 && w->plan.shards <= PLAN_SHARDS_MAX);
    t->w = w;
    t->n_shards = w->plan.shards;
    t->ahead_max = INT64_MIN;
    t->ahead_min = INT64_MAX;
    for (unsigned i = 0; i < t->n_shards; i++)
        watch__shard_init(&t->shard[i]);
    promise__init(t);
    return t;
}

void watch_free(struct watch *t)
{
    if (t == NULL)
        return;
    promise__close(t);
    for (unsigned i = 0; i < t->n_shards; i++)
        watch__shard_close(&t->shard[i]);
    mem_free(t);
}

void watch__verdict(struct watch *t, unsigned shard)
{
    const struct ledger *l = &t->shard[shard].ledger;

    if (l->violation[0] != 0)
        world_violate(t->w, VERDICT_CORRECTNESS, "shard %u: %s", shard,
                      l->violation);
}

bool watch__stored(const struct view *v, uint64_t index, uint64_t term)
{
    return index <= v->last && index <= v->stored && v->terms[index] == term;
}

/* ---- the log ---- */

static void view_reserve(struct view *v, uint64_t last)
{
    if (last < v->cap)
        return;
    v->cap = last < 128 ? 256 : 2 * last;
    v->terms = mem_realloc(v->terms, (size_t)v->cap * sizeof *v->terms);
    v->terms[0] = 0;
}

static void note_entry(struct watch_shard *s, unsigned node, uint64_t index)
{
    struct view *v = &s->view[node];
    const struct gent *e = log__at(&v->group->log, index);
    struct ledger_entry fact = {
        .index = index,
        .term = e->term,
        .prev_term = v->terms[index - 1],
        .type = e->type,
    };

    if (e->blob != NULL) {
        fact.payload = blob_slice(e->blob);
        fact.crc = crc32c(0, fact.payload.p, fact.payload.n);
        fact.has_crc = true;
    }
    ledger_entry(&s->ledger, node, &fact);
    if (e->type == RAFT_CHANGE)
        hostrule__change(s, node, index);
}

/* Entries above `same` are gone from the log of a living process. */
static void note_truncated(struct watch_shard *s, unsigned node, uint64_t same)
{
    struct view *v = &s->view[node];

    COVER(log_truncated);
    for (uint64_t i = same + 1; i <= v->last; i++) {
        const struct ledger_entry *e =
            ledger_find(&s->ledger, i, v->terms[i]);

        if (e != NULL && e->type == RAFT_CHANGE)
            COVER(change_rolled_back);
    }
    if (same < v->commit)
        ledger_violate(&s->ledger, "node %u cut its log behind entry %" PRIu64
                       " and had held entry %" PRIu64 " committed",
                       node, same, v->commit);
    if (v->stored > same)
        v->stored = same;
}

/* The last entry that the log and the copy of its terms agree on. */
static uint64_t agreed(const struct view *v)
{
    const struct glog *log = &v->group->log;
    uint64_t same = v->last < log__last(log) ? v->last : log__last(log);

    ASSERT(log->off == 0); /* never compacted: the copy is the whole log */
    while (same > 0 && v->terms[same] != log__term(log, same))
        same--;
    return same;
}

static void copy_log(struct watch_shard *s, unsigned node, uint64_t same)
{
    struct view *v = &s->view[node];
    const struct glog *log = &v->group->log;
    uint64_t last = log__last(log);
    bool changed = same < v->last;

    view_reserve(v, last);
    for (uint64_t i = same + 1; i <= last; i++) {
        v->terms[i] = log__term(log, i);
        note_entry(s, node, i);
        changed = changed || log__at(log, i)->type == RAFT_CHANGE;
    }
    v->last = last;
    v->last_term = v->terms[last];
    if (changed)
        hostrule__configuration(s, node);
}

static void look_at_log(struct watch_shard *s, unsigned node)
{
    struct view *v = &s->view[node];
    const struct glog *log = &v->group->log;
    uint64_t last = log__last(log), same;

    if (last != v->last || log__term(log, last) != v->last_term) {
        same = agreed(v);
        if (same < v->last)
            note_truncated(s, node, same);
        copy_log(s, node, same);
    }
    if (v->group->r.last_stored > v->stored)
        v->stored = v->group->r.last_stored;
    if (v->stored > v->last)
        ledger_violate(&s->ledger, "node %u has acknowledged entry %" PRIu64
                       " and has a log of %" PRIu64, node, v->stored, v->last);
}

/* ---- a process begins (V7) ---- */

static void check_promises(struct watch_shard *s, unsigned node, uint64_t same)
{
    const struct view *v = &s->view[node];
    const struct raft *r = &v->group->r;
    unsigned vote = ledger_voted(&s->ledger, r->current_term, node);

    if (same < v->stored)
        ledger_violate(&s->ledger, "node %u had entries up to %" PRIu64
                       " (of term %" PRIu64 ") durable, and after its restart "
                       "has the first %" PRIu64 " of them",
                       node, v->stored, v->terms[v->stored], same);
    if (r->current_term < v->said_term)
        ledger_violate(&s->ledger, "node %u stated term %" PRIu64
                       ", and is in term %" PRIu64 " after its restart",
                       node, v->said_term, (uint64_t)r->current_term);
    if (vote != 0 && r->voted_for != vote)
        ledger_violate(&s->ledger, "node %u voted for node %u in term %" PRIu64
                       ", and for node %" PRIu64 " after its restart",
                       node, vote, (uint64_t)r->current_term,
                       (uint64_t)r->voted_for);
}

static void look_first(struct watch_shard *s, unsigned node)
{
    struct view *v = &s->view[node];
    uint64_t same = agreed(v);

    check_promises(s, node, same);
    if (v->stored > same)
        v->stored = same; /* said once is enough */
    copy_log(s, node, same);
    v->role = GROUP_FOLLOWER;
    v->term = v->commit = v->applied = v->fsm_applied = 0;
    v->vote = v->group->r.voted_for;
    v->vote_term = v->group->r.current_term;
    v->vote_lsn = 0; /* read from the disk */
    v->looked = true;
}

/* ---- roles (V1, V3) ---- */

/* V3: what was committed by leaders of earlier terms.  Once a later leader has
 * committed something, which then ends with an entry of its own term, nothing can be
 * asked of one whose votes were long on their way: also entries of earlier terms
 * may have been committed by that later leader. */
static void check_complete(struct watch_shard *s, unsigned node, uint64_t term)
{
    struct ledger *l = &s->ledger;
    const struct view *v = &s->view[node];
    uint64_t last = l->max_committed;

    if (last == 0 || l->committed[last] >= term)
        return;
    if (last > v->last || v->terms[last] != l->committed[last])
        ledger_violate(l, "node %u leads term %" PRIu64
                       " without the committed entry %" PRIu64 " of term %"
                       PRIu64, node, term, last, l->committed[last]);
}

static void note_leader(struct watch_shard *s, unsigned node, uint64_t term)
{
    ledger_leads(&s->ledger, term, node);
    check_complete(s, node, term);
    for (unsigned i = 1; i <= PLAN_NODES_MAX; i++) {
        const struct view *other = &s->view[i];

        if (i != node && other->group != NULL && other->looked &&
            other->role == GROUP_LEADER && other->term != term)
            COVER(two_leaders);
    }
    if (s->handed_term != 0 && s->handed_to == node &&
        term == s->handed_term + 1)
        COVER(transfer_done);
    if (term > s->handed_term)
        s->handed_term = 0;
}

/* A vote that is given twice is recorded twice; the first record is enough. */
static void look_at_vote(struct view *v)
{
    const struct group *g = v->group;

    if (g->r.voted_for == v->vote && g->r.current_term == v->vote_term)
        return;
    v->vote = g->r.voted_for;
    v->vote_term = g->r.current_term;
    v->vote_lsn = g->meta_lsn;
}

static void look_at_role(struct watch_shard *s, unsigned node)
{
    struct view *v = &s->view[node];
    enum group_role role = group_role(v->group);
    uint64_t term = group_term(v->group);
    bool elected = role == GROUP_LEADER &&
                   (v->role != GROUP_LEADER || v->term != term);

    if (role == v->role && term == v->term)
        return;
    if (term < v->term)
        ledger_violate(&s->ledger, "node %u went back from term %" PRIu64
                       " to term %" PRIu64, node, v->term, term);
    v->role = role;
    v->term = term;
    if (elected)
        note_leader(s, node, term);
}

/* ---- commit (V3, V4) ---- */

/* Nobody held index committed before. */
static void check_majority(struct watch_shard *s, unsigned node, uint64_t index)
{
    const struct view *v = &s->view[node];
    const struct raft_configuration *c = &v->group->r.configuration;
    uint64_t term = v->terms[index];
    unsigned voters = 0, have = 0;

    for (unsigned i = 0; i < c->n; i++) {
        uint64_t id = c->servers[i].id;

        if (c->servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        have += id <= PLAN_NODES_MAX && watch__stored(&s->view[id], index, term);
    }
    if (have <= voters / 2)
        ledger_violate(&s->ledger, "node %u holds entry %" PRIu64 " of term %"
                       PRIu64 " committed, which %u of %u voters have durable",
                       node, index, term, have, voters);
    /* A sole voter needs no entry of its own term: nobody else can lead. */
    if (v->role == GROUP_LEADER && term != v->term && voters > 1)
        ledger_violate(&s->ledger, "node %u, leader of term %" PRIu64
                       ", committed entry %" PRIu64 " of term %" PRIu64
                       " by counting", node, v->term, index, term);
}

static void look_at_commit(struct watch_shard *s, unsigned node)
{
    struct view *v = &s->view[node];
    uint64_t commit = group_commit(v->group);

    if (commit == v->commit)
        return;
    if (commit < v->commit || commit > v->last) {
        ledger_violate(&s->ledger, "node %u has a log of %" PRIu64
                       " entries and a commit index of %" PRIu64
                       ", which was %" PRIu64,
                       node, v->last, commit, v->commit);
        return;
    }
    if (commit > s->ledger.max_committed && commit > 1)
        check_majority(s, node, commit);
    for (uint64_t i = v->commit + 1; i <= commit; i++)
        ledger_commit(&s->ledger, node, i, v->terms[i]);
    v->commit = commit;
}

/* ---- apply (V5, V6) ---- */

static void digests_reserve(struct watch_shard *s, uint64_t index)
{
    uint64_t cap = s->cap_digests == 0 ? DIGESTS_CAP_MIN : 2 * s->cap_digests;

    if (index < s->cap_digests)
        return;
    cap = cap <= index ? 2 * index : cap;
    s->digests = mem_realloc(s->digests, (size_t)cap * sizeof *s->digests);
    memset(s->digests + s->cap_digests, 0,
           (size_t)(cap - s->cap_digests) * sizeof *s->digests);
    s->cap_digests = cap;
}

static void note_digest(struct watch_shard *s, unsigned node)
{
    const struct view *v = &s->view[node];
    uint64_t digest = fsm_digest(v->fsm), index = fsm_applied(v->fsm);
    struct watch_digest *d;

    digests_reserve(s, index);
    d = &s->digests[index];
    if (d->node != 0 && d->digest != digest)
        ledger_violate(&s->ledger, "nodes %u and %u have applied entry %" PRIu64
                       " and have digests %016" PRIx64 " and %016" PRIx64,
                       d->node, node, index, d->digest, digest);
    if (d->node == 0)
        *d = (struct watch_digest){ .digest = digest, .node = (uint8_t)node };
}

static void look_at_applied(struct watch_shard *s, unsigned node)
{
    struct view *v = &s->view[node];
    uint64_t applied = group_applied(v->group);

    if (applied == v->applied)
        return;
    if (applied < v->applied || applied > v->commit || applied > v->stored)
        ledger_violate(&s->ledger, "node %u has applied entry %" PRIu64
                       " after entry %" PRIu64 " and holds entry %" PRIu64
                       " committed, entry %" PRIu64 " durable", node, applied,
                       v->applied, v->commit, v->stored);
    v->applied = applied;
    if (fsm_applied(v->fsm) != v->fsm_applied) {
        v->fsm_applied = fsm_applied(v->fsm);
        note_digest(s, node);
    }
}

/* ---- looking ---- */

void watch__look(struct watch_shard *s, unsigned node)
{
    struct view *v = &s->view[node];

    if (!v->group->started)
        return; /* its configurations are still being read */
    if (!v->looked)
        look_first(s, node);
    look_at_log(s, node);
    look_at_vote(v);
    look_at_role(s, node);
    look_at_commit(s, node);
    look_at_applied(s, node);
    hostrule__look(s, node);
}

/* Is there anything new?  Few loads, because nearly every event asks. */
static bool changed(const struct view *v)
{
    const struct group *g = v->group;

    return !v->looked || g->applied != v->applied ||
           g->commit_max != v->commit || g->r.current_term != v->term ||
           g->r.voted_for != v->vote || g->r.last_stored != v->stored || g->log.n != v->last ||
           g->log.e[g->log.n - 1].term != v->last_term ||
           group_role(g) != v->role;
}

static void look_at_clock(struct watch *t, struct env *env)
{
    int64_t ahead = env_wall_ms(env) - (int64_t)(sim_now(t->w->sim) / 1000);

    t->ahead_max = ahead > t->ahead_max ? ahead : t->ahead_max;
    t->ahead_min = ahead < t->ahead_min ? ahead : t->ahead_min;
}

void watch_node(struct watch *t, unsigned node)
{
    struct host *h;
    struct mem_arena *old;

    if (node == 0 || node > t->w->plan.nodes)
        return;
    h = &t->w->host[node];
    if (h->node == NULL || h->env == NULL || t->n_mine[node] == 0)
        return;
    old = mem_arena_use(NULL);
    look_at_clock(t, h->env);
    for (unsigned i = 0; i < t->n_mine[node]; i++) {
        unsigned shard = t->mine[node][i];

        /* One that is closing has no log any more: nothing is made of its words. */
        if (h->node->stage < NODE_CLOSING)
            hostrule__note_gate(&t->shard[shard].view[node]);
        else
            t->shard[shard].view[node].gated = true;
        if (!changed(&t->shard[shard].view[node]))
            continue;
        watch__look(&t->shard[shard], node);
        watch__verdict(t, shard);
    }
    mem_arena_use(old);
}

void watch_started(struct watch *t, unsigned node)
{
    struct host *h = &t->w->host[node];

    t->n_mine[node] = 0;
    if (h->node == NULL)
        return; /* refused */
    t->cluster_id = h->node->self.cluster_id;
    for (unsigned i = 0; i < t->n_shards; i++) {
        struct view *v = &t->shard[i].view[node];
        struct shard *s = world_shard(t->w, node, i);

        v->group = s != NULL ? shard_group(s) : NULL;
        v->fsm = s != NULL ? shard_fsm(s) : NULL;
        v->looked = false;
        if (s != NULL)
            t->mine[node][t->n_mine[node]++] = (uint8_t)i;
    }
    watch_node(t, node);
}

/* A process that was killed is told by the world while its memory still stands. */
void watch_stopped(struct watch *t, unsigned node)
{
    for (unsigned i = 0; i < t->n_mine[node]; i++) {
        struct view *v = &t->shard[t->mine[node][i]].view[node];

        v->group = NULL;
        v->fsm = NULL;
        v->looked = false;
    }
    t->n_mine[node] = 0;
}

/* ---- settled ---- */

static bool shard_settled(struct watch *t, unsigned shard)
{
    const struct watch_shard *s = &t->shard[shard];
    uint64_t last = 0;
    bool ready = false;

    for (unsigned i = 1; i <= t->w->plan.nodes; i++) {
        const struct view *v = &s->view[i];

        if (v->group == NULL)
            continue;
        if (!v->looked || (last != 0 && v->last != last) ||
            v->applied != v->last)
            return false;
        last = v->last;
        ready = ready || group_ready(v->group);
    }
    return ready;
}

bool watch_settled(struct watch *t)
{
    for (unsigned i = 0; i < t->n_shards; i++) {
        if (world_owed(t->w, i) && !shard_settled(t, i))
            return false;
    }
    return true;
}
