/* Further groups: proposals everywhere, checks at each applied entry.
 *
 * An applied entry is a committed one, so the ledger learns (index, term, bytes)
 * from every node and objects to differences.  A write is acknowledged when its
 * proposer applies its index with its term, and must then be committed so for ever. */
#include "scenario/sides.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "lib/test.h"
#include "scenario/cluster.h"

void sides_init(struct sides *s, unsigned n)
{
    ASSERT(n <= SIDES_MAX);
    *s = (struct sides){ .n = n };
    for (unsigned i = 0; i < n; i++)
        ledger_init(&s->ledger[i]);
}

void sides_close(struct sides *s)
{
    for (unsigned i = 0; i < s->n; i++)
        ledger_close(&s->ledger[i]);
    mem_free(s->writes);
}

/* ---- writes ---- */

static void write_end(struct sides *s, struct side_write *w, uint64_t term)
{
    w->done = true;
    w->acked = w->term == term;
    s->n_acked += w->acked;
}

static void side_apply(void *ctx, uint64_t index, uint64_t term,
                       struct slice payload)
{
    struct mem_arena *old = mem_arena_use(NULL);
    struct side *side = ctx;
    struct sides *s = &side->m->c->sides;
    struct ledger *l = &s->ledger[side->which];
    const struct ledger_entry e = {
        .index = index, .term = term, .has_crc = true,
        .crc = crc32c(0, payload.p, payload.n),
    };

    if (index <= side->applied)
        ledger_violate(l, "node %u applied entry %" PRIu64 " after entry %"
                       PRIu64, side->m->id, index, side->applied);
    side->applied = index;
    ledger_entry(l, side->m->id, &e);
    ledger_commit(l, side->m->id, index, term);
    for (size_t i = 0; i < s->n_writes; i++) {
        struct side_write *w = &s->writes[i];

        if (!w->done && w->which == side->which && w->node == side->m->id &&
            w->life == side->m->lives && w->index == index)
            write_end(s, w, term);
    }
    mem_arena_use(old);
}

static void side_state(void *ctx, enum group_role role, uint64_t term,
                       uint64_t leader, bool ready)
{
    struct side *side = ctx;

    (void)leader;
    (void)ready;
    if (role == GROUP_LEADER)
        ledger_leads(&side->m->c->sides.ledger[side->which], term, side->m->id);
}

/* Forget what can no longer be acknowledged, so that the list stays short. */
static void writes_prune(struct cluster *c)
{
    struct sides *s = &c->sides;
    size_t n = 0;

    for (size_t i = 0; i < s->n_writes; i++) {
        const struct side_write *w = &s->writes[i];
        bool gone = !w->done && c->node[w->node].lives != w->life;

        if (!gone && !(w->done && !w->acked))
            s->writes[n++] = *w;
    }
    s->n_writes = n;
}

static void propose(struct cluster *c, struct side *side, size_t bytes)
{
    struct sides *s = &c->sides;
    struct side_write w = { .which = side->which, .node = side->m->id,
                            .life = side->m->lives };
    struct blob *b;
    uint64_t mark = rng_u64(sim_rng(c->sim));
    int rv;

    ASSERT(bytes >= sizeof mark);
    sim_enter(c->sim, side->m->id);
    b = blob_new(bytes);
    memset(b->data, 0, bytes);
    memcpy(b->data, &mark, sizeof mark);
    rv = group_propose(side->g, b, &w.index, &w.term);
    blob_unref(b);
    sim_leave(c->sim);
    if (rv != 0)
        return;
    if (s->n_writes == s->cap_writes) {
        s->cap_writes = s->cap_writes == 0 ? 256 : 2 * s->cap_writes;
        s->writes = mem_realloc(s->writes, s->cap_writes * sizeof w);
    }
    s->writes[s->n_writes++] = w;
}

void sides_propose(struct cluster *c, size_t bytes)
{
    writes_prune(c);
    for (unsigned i = 1; i <= c->cfg.nodes; i++) {
        for (unsigned k = 0; k < c->sides.n; k++) {
            struct side *side = &c->node[i].side[k];

            if (side->g != NULL && group_role(side->g) == GROUP_LEADER)
                propose(c, side, bytes);
        }
    }
}

/* ---- lifecycle ---- */

void sides_open(struct cluster *c, struct member *m)
{
    static const struct group_ops ops = { .apply = side_apply,
                                          .state = side_state };
    uint64_t voters[CLUSTER_NODES_MAX];
    char why[512];

    for (unsigned i = 0; i < c->cfg.nodes; i++)
        voters[i] = i + 1;
    for (unsigned k = 0; k < c->sides.n; k++) {
        struct side *side = &m->side[k];

        *side = (struct side){ .m = m, .which = k };
        if (groupset_open_group(m->gs, CLUSTER_GROUP + 1 + k, voters,
                                c->cfg.nodes, m->id == 1 + k % c->cfg.nodes,
                                &ops, side, &side->g, why, sizeof why) != 0)
            FAIL("node %u: %s", m->id, why);
    }
}

void sides_stopped(struct member *m)
{
    for (unsigned k = 0; k < m->c->sides.n; k++)
        m->side[k].g = NULL;
}

/* ---- verdict ---- */

static bool side_settled(const struct cluster *c, unsigned k)
{
    uint64_t last = group_last(c->node[1].side[k].g);
    bool ready = false;

    for (unsigned i = 1; i <= c->cfg.nodes; i++) {
        const struct group *g = c->node[i].side[k].g;

        ready = ready || group_ready(g);
        if (group_last(g) != last || group_applied(g) != last)
            return false;
    }
    return ready;
}

bool sides_settled(const struct cluster *c)
{
    for (unsigned k = 0; k < c->sides.n; k++) {
        if (!side_settled(c, k))
            return false;
    }
    return true;
}

const char *sides_violation(const struct cluster *c)
{
    const struct sides *s = &c->sides;

    for (unsigned k = 0; k < s->n; k++) {
        if (s->ledger[k].violation[0] != 0)
            return s->ledger[k].violation;
    }
    for (size_t i = 0; i < s->n_writes; i++) {
        const struct side_write *w = &s->writes[i];

        if (w->acked &&
            ledger_committed(&s->ledger[w->which], w->index) != w->term)
            return "an acknowledged write of a further group is missing";
    }
    return NULL;
}
