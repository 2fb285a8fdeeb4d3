/* All groups of this node, and the turn that drives them.
 *
 * Frames, proposals and the WAL's completions step their group at once and mark
 * it: dirty (something to become durable), held (frames that wait), work (a
 * barrier to submit, entries to apply), reading, changed.  At the end of the
 * loop's turn groupset_turn looks at the marked groups only:
 *
 *   1 due timers     heap of raft_timeout of all groups behind one env_timer
 *   2 posted work    groups to start, barriers (rule S8)
 *   3 held frames    whose gate is durable by now, or whose payloads arrived
 *   4 read rounds    one probe per peer for all groups
 *   5 wal_flush      one write and one fdatasync for everything above
 *   6 apply          bounded per group; what is left asks for another turn
 *   7 answers        reads that are confirmed and applied, or failed
 *   8 states         role, term, leader, readiness, where changed
 *
 * AppendEntries made during the turn left for the links in their step, before
 * the disk is asked (5): followers write while the leader does.
 *
 * Callbacks of the owner run in 6, 7 and 8 only.  They may call back into the
 * group: what that causes is done in the next turn.
 *
 * A heap key may be earlier than its group's timeout, which moves on with every
 * message sent; found too early, it is set again.  Keys are never too late. */
#include "group/groupset.h"

#include <inttypes.h>

#include "base/mem.h"
#include "env/log.h"
#include "group/group_int.h"
#include "group/group_rules.h"
#include "group/group_wire.h"

#define GARBAGE_LOG_MS 10000u /* at most one line in this time */

/* libraft's memory comes from base/mem: it never fails, so that no RAFT_NOMEM
 * can leave the core half-changed. */
static void *heap_malloc(void *data, size_t n)
{
    (void)data;
    return mem_alloc(n > 0 ? n : 1);
}
static void heap_free(void *data, void *p)
{
    (void)data;
    mem_free(p);
}
static void *heap_calloc(void *data, size_t count, size_t n)
{
    (void)data;
    return mem_calloc(count > 0 ? count : 1, n);
}
static void *heap_realloc(void *data, void *p, size_t n)
{
    (void)data;
    return mem_realloc(p, n > 0 ? n : 1);
}
static void *heap_aligned(void *data, size_t align, size_t n)
{
    (void)data;
    (void)align;
    (void)n;
    UNREACHABLE();
}
static void heap_aligned_free(void *data, size_t align, void *p)
{
    (void)data;
    (void)align;
    (void)p;
    UNREACHABLE();
}

static struct raft_heap raft_memory = {
    .malloc = heap_malloc,
    .free = heap_free,
    .calloc = heap_calloc,
    .realloc = heap_realloc,
    .aligned_alloc = heap_aligned,
    .aligned_free = heap_aligned_free,
};

static void timer_fired(struct env_timer *t)
{
    struct groupset *gs = t->data;

    gs->timer_ms = UINT64_MAX;
    env_wake(gs->env);
}

struct groupset *groupset_new(struct env *env,
                              const struct groupset_config *cfg,
                              struct wal *wal, struct links *links)
{
    struct groupset *gs = MEM_NEW(struct groupset);

    ASSERT(cfg->node_id != 0);
    ASSERT(cfg->heartbeat_ms > 0 && cfg->election_ms > 2 * cfg->heartbeat_ms);
    ASSERT(cfg->inflight_entries > 0);
    raft_heap_set(&raft_memory);
    gs->env = env;
    gs->cfg = *cfg;
    gs->wal = wal;
    gs->links = links;
    map_init(&gs->groups);
    list_init(&gs->all);
    list_init(&gs->dirty);
    list_init(&gs->held);
    list_init(&gs->work);
    list_init(&gs->reading);
    list_init(&gs->changed);
    list_init(&gs->reads_done);
    heap_init(&gs->timers);
    env_timer_init(env, &gs->timer, timer_fired, gs);
    gs->timer_ms = UINT64_MAX;
    env_random(env, &gs->round, sizeof gs->round);
    gs->round >>= 2; /* room to grow */
    return gs;
}

struct group *groupset_find(struct groupset *gs, uint32_t id)
{
    return map_get(&gs->groups, id);
}

void groupset_get_stats(const struct groupset *gs, struct groupset_stats *ret)
{
    *ret = gs->stats;
}

void groupset__scratch(struct groupset *gs, unsigned n)
{
    if (gs->ents != NULL && n <= gs->cap_ents)
        return;
    gs->cap_ents = n < 64 ? 64 : n;
    gs->ents = mem_realloc(gs->ents, gs->cap_ents * sizeof *gs->ents);
    gs->blobs = mem_realloc(gs->blobs, gs->cap_ents * sizeof *gs->blobs);
}

void groupset__wal_scratch(struct groupset *gs, unsigned n)
{
    if (gs->wents != NULL && n <= gs->cap_wents)
        return;
    gs->cap_wents = n < 64 ? 64 : n;
    gs->wents = mem_realloc(gs->wents, gs->cap_wents * sizeof *gs->wents);
}

/* ---- input ---- */

void groupset__garbage(struct groupset *gs, uint64_t from, const char *what)
{
    uint64_t now = env_now_ms(gs->env);

    gs->stats.garbage++;
    if (gs->garbage_logged_ms != 0 &&
        now - gs->garbage_logged_ms < GARBAGE_LOG_MS)
        return;
    gs->garbage_logged_ms = now;
    log_event(gs->env, ENV_LOG_WARN, "group", "a peer's message was dropped",
              "peer=%" PRIu64 " reason=\"%s\" dropped_so_far=%" PRIu64, from,
              what, gs->stats.garbage);
}

static void raft_frame(struct groupset *gs, uint64_t from, uint32_t id,
                       struct slice payload)
{
    struct group *g = groupset_find(gs, id);
    struct wire_msg w;

    if (wire_decode(from, payload, &w) != 0) {
        groupset__garbage(gs, from, "malformed raft message");
        return;
    }
    if (g == NULL || !g->started)
        return; /* not here, or not yet: Raft sends again */
    step__receive(g, from, &w);
}

void groupset_frame(struct groupset *gs, uint64_t from,
                    const struct frame_head *head, struct slice payload)
{
    if (gs->closing)
        return;
    gs->stats.frames_in++;
    if (from == gs->cfg.node_id) {
        groupset__garbage(gs, from, "a peer has this node's id");
        return;
    }
    switch (head->kind) {
    case FRAME_RAFT:
        raft_frame(gs, from, head->group, payload);
        break;
    case FRAME_READ_PROBE:
        read__probe(gs, from, payload);
        break;
    case FRAME_READ_ACK:
        read__ack(gs, from, payload);
        break;
    default:
        groupset__garbage(gs, from, "unexpected kind of frame");
    }
}

void groupset_synced(struct groupset *gs, uint64_t lsn)
{
    struct list due;

    if (gs->closing)
        return;
    list_init(&due);
    list_splice(&due, &gs->dirty);
    while (!list_empty(&due)) {
        struct group *g = LIST_FIRST(&due, struct group, dirty);

        list_del(&g->dirty);
        ASSERT(g->gs == gs);
        step__durable(g, lsn);
        if ((g->n_runs > 0 || g->n_terms > 0) && list_empty(&g->dirty))
            list_add_tail(&gs->dirty, &g->dirty);
    }
    env_wake(gs->env); /* gates may have opened */
}

/* My place among the voters that are left, counted from another one in each
 * group. */
static unsigned succession(const struct group *g, uint64_t lost)
{
    const struct raft_configuration *c = &g->r.configuration;
    unsigned rank = 0;

    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[(g->id + i) % c->n];

        if (s->id == g->r.id)
            break;
        if (s->role == RAFT_VOTER && s->id != lost)
            rank++;
    }
    return rank;
}

/* Candidates must not call at the same moment, or the votes split and a whole
 * election timeout is lost.  So they call one after the other, an eighth of it
 * apart, the first after a twentieth: the others must have noticed, too. */
void groupset_peer_lost(struct groupset *gs, uint64_t peer)
{
    uint64_t now = env_now_ms(gs->env);
    unsigned e = gs->cfg.election_ms;

    for (struct list *l = gs->all.next; l != &gs->all; l = l->next) {
        struct group *g = CONTAINER_OF(l, struct group, all);
        unsigned in_ms;

        if (!g->started || g->r.state != RAFT_FOLLOWER ||
            g->r.follower_state.current_leader.id != peer)
            continue;
        rules__forget_leader(&g->r);
        group__note_state(g);
        if (!member__votes(g))
            continue; /* it may vote now, but is no candidate */
        in_ms = e / 20 + succession(g, peer) * e / 8;
        rules__hasten(&g->r, now,
                      in_ms + raft_random(&g->r.random, 0, e / 32 + 1));
        group__arm(g);
    }
    env_wake(gs->env);
}

void groupset_peer_up(struct groupset *gs, uint64_t peer)
{
    (void)peer; /* whoever it is can hear now */
    for (struct list *l = gs->all.next; l != &gs->all; l = l->next) {
        struct group *g = CONTAINER_OF(l, struct group, all);

        if (g->started)
            group__hasten_preferred(g);
    }
    env_wake(gs->env);
}

/* ---- the turn ---- */

static void fire_timers(struct groupset *gs)
{
    uint64_t now = env_now_ms(gs->env);
    struct heap_node *n;

    while ((n = heap_min(&gs->timers)) != NULL && n->key <= now) {
        struct group *g = CONTAINER_OF(n, struct group, timer);

        heap_remove(&gs->timers, n);
        ASSERT(g->started);
        if (raft_timeout(&g->r) <= now)
            step__timeout(g);
        else
            group__arm(g);
    }
}

static void post_work(struct groupset *gs)
{
    for (struct list *l = gs->work.next; l != &gs->work; l = l->next) {
        struct group *g = CONTAINER_OF(l, struct group, work);

        if (!g->started)
            group__start(g);
        if (g->started)
            step__post(g); /* a sole voter leads from its start on */
    }
}

static void release_held(struct groupset *gs)
{
    struct list *l, *next;

    for (l = gs->held.next; l != &gs->held; l = next) {
        struct group *g = CONTAINER_OF(l, struct group, held);

        next = l->next;
        if (out__release(g))
            list_del(&g->held);
    }
}

static void apply_all(struct groupset *gs)
{
    struct list due;

    list_init(&due);
    list_splice(&due, &gs->work);
    while (!list_empty(&due)) {
        struct group *g = LIST_FIRST(&due, struct group, work);

        list_del(&g->work);
        if (!g->started)
            continue;
        /* A sole voter leads as soon as it starts, after this turn's barriers were
         * posted: its own must not be forgotten. */
        if (apply__run(g) || g->want_barrier)
            groupset__work(g);
    }
}

static void tell_states(struct groupset *gs)
{
    struct list due;

    list_init(&due);
    list_splice(&due, &gs->changed);
    while (!list_empty(&due)) {
        struct group *g = LIST_FIRST(&due, struct group, changed);

        list_del(&g->changed);
        ASSERT(!g->now.ready || g->now.role == GROUP_LEADER);
        ASSERT(g->now.term >= g->told.term);
        g->told = g->now;
        g->ops->state(g->ctx, g->told.role, g->told.term, g->told.leader,
                      g->told.ready);
    }
}

static void arm_timer(struct groupset *gs)
{
    const struct heap_node *n = heap_min(&gs->timers);
    uint64_t at = read__deadline(gs);

    if (n != NULL && n->key < at)
        at = n->key;
    if (at == gs->timer_ms)
        return;
    gs->timer_ms = at;
    if (at == UINT64_MAX)
        env_timer_stop(&gs->timer);
    else
        env_timer_set(&gs->timer, at);
}

/* A planted fault: followers acknowledge what their disk has yet to write. */
static void persist_early(struct groupset *gs)
{
    for (struct list *l = gs->dirty.next; l != &gs->dirty; l = l->next) {
        struct group *g = CONTAINER_OF(l, struct group, dirty);

        if (g->r.state == RAFT_FOLLOWER && g->n_runs > 0)
            step__durable(g, wal_end(gs->wal));
    }
}

void groupset_turn(struct groupset *gs)
{
    ASSERT(!gs->in_turn);
    if (gs->closing)
        return;
    gs->in_turn = true;
    fire_timers(gs);
    post_work(gs);
    if (SABOTAGE(ACK_BEFORE_FSYNC) && !list_empty(&gs->dirty))
        groupset_synced(gs, wal_end(gs->wal));
    if (SABOTAGE(PERSISTED_EARLY))
        persist_early(gs);
    release_held(gs);
    read__turn(gs);
    wal_flush(gs->wal);
    apply_all(gs);
    read__answer(gs);
    tell_states(gs);
    arm_timer(gs);
    gs->in_turn = false;
}

bool groupset_idle(const struct groupset *gs)
{
    if (!list_empty(&gs->work) || !list_empty(&gs->reading) ||
        !list_empty(&gs->reads_done))
        return false;
    for (const struct list *l = gs->all.next; l != &gs->all; l = l->next) {
        const struct group *g =
            (const struct group *)(const void *)((const char *)l -
                                                 offsetof(struct group, all));

        if (!g->started || g->applied < apply__target(g) ||
            !list_empty(&g->reads_apply))
            return false;
    }
    return true;
}

void groupset_close(struct groupset *gs)
{
    if (gs == NULL)
        return;
    ASSERT(!gs->in_turn);
    gs->closing = true;
    while (!list_empty(&gs->all)) {
        struct group *g = LIST_FIRST(&gs->all, struct group, all);

        map_del(&gs->groups, g->id);
        group__free(g);
    }
    read__answer(gs);
    env_timer_stop(&gs->timer);
    for (unsigned i = 0; i < gs->n_peers; i++)
        frame_free(gs->peer[i].probe);
    map_close(&gs->groups);
    heap_close(&gs->timers);
    mem_free(gs->ents);
    mem_free(gs->blobs);
    mem_free(gs->wents);
    mem_free(gs);
}
