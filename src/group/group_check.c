/* What one node can see of the Raft paper's properties, asserted around every
 * step.  A violation means that the core, the host or the disk is broken: the
 * process stops before it tells anyone.
 *
 *  C1  The term never goes back.
 *  C2  At most one vote per term (Election Safety, my part of it).
 *  C3  One leader per term: the leader I follow in a term never changes (a
 *      message that claims otherwise is dropped as garbage); I lead only terms
 *      in which I voted for myself.
 *  C4  commit index <= last index, stored index <= last index.
 *  C5  applied <= min(commit_max, stored): nothing is applied that could be
 *      lost.
 *  C6  My log and the core's trail agree on length and terms; terms never
 *      decrease along the log and never exceed the current term.
 *  C7  A leader only appends to its log (Leader Append-Only).
 *  C8  What was known to be committed, or was applied, is never truncated (the
 *      local part of Leader Completeness and State Machine Safety).
 *  C9  A candidate has stored its whole log: the core advertises what is
 *      stored.
 *  C10 The configuration that is not committed yet, if there is one, is a CHANGE
 *      of my log above the committed one. */
#include "group/group_int.h"

#define CHECK_RUNS 3u /* runs of equal terms looked at in each step */

struct group_before check__before(const struct group *g)
{
    return (struct group_before){ .state = g->r.state,
                                  .term = g->r.current_term,
                                  .last = log__last(&g->log) };
}

void check__truncate(const struct group *g, uint64_t index)
{
    if (index <= g->commit_max || index <= g->applied)
        group__fatal(
            g, "a committed entry would be replaced",
            "index=%llu commit=%llu applied=%llu", (unsigned long long)index,
            (unsigned long long)g->commit_max, (unsigned long long)g->applied);
}

static void check_terms(struct group *g)
{
    const struct raft *r = &g->r;

    ASSERT(r->current_term >= g->chk.term); /* C1 */
    if (r->current_term == g->chk.term && g->chk.vote != 0)
        ASSERT(r->voted_for == g->chk.vote); /* C2 */
    g->chk.term = r->current_term;
    g->chk.vote = r->voted_for;
}

static void check_leader(struct group *g)
{
    const struct raft *r = &g->r;

    if (r->state != RAFT_LEADER)
        return;
    ASSERT(r->voted_for == r->id || SABOTAGE(S1)); /* C3 */
    if (g->chk.leader_term == r->current_term && g->chk.leader != r->id)
        group__fatal(g, "two leaders in one term",
                     "term=%llu first=%llu second=%llu", r->current_term,
                     (unsigned long long)g->chk.leader, r->id);
    g->chk.leader_term = r->current_term;
    g->chk.leader = r->id;
}

bool check__heard(struct group *g, uint64_t term, uint64_t leader)
{
    if (g->chk.leader_term == term)
        return g->chk.leader == leader;
    ASSERT(g->chk.leader_term < term);
    g->chk.leader_term = term;
    g->chk.leader = leader;
    return true;
}

/* C6 at the ends of the newest runs of equal terms: runs determine the rest,
 * and older ones were checked when they were the newest. */
static void check_trail(struct group *g)
{
    const struct raft_trail *t = &g->r.trail;
    unsigned i = t->back;

    for (unsigned k = 0; k < CHECK_RUNS && i != t->front; k++) {
        i = (i + t->size - 1) % t->size;
        ASSERT(log__term(&g->log, t->records[i].index) == t->records[i].term);
    }
}

static void check_log(struct group *g)
{
    struct raft *r = &g->r;
    uint64_t last = log__last(&g->log);

    ASSERT(raft_last_index(r) == last);   /* C6 */
    ASSERT(r->commit_index <= last);      /* C4 */
    ASSERT(r->last_stored <= last);       /* C4 */
    ASSERT(g->applied <= g->commit_max);  /* C5 */
    ASSERT(g->applied <= r->last_stored); /* C5 */
    ASSERT(g->commit_max >= r->commit_index);
    ASSERT(log__term(&g->log, last) <= r->current_term); /* C6 */
    if (r->state == RAFT_CANDIDATE)
        ASSERT(r->last_stored == last); /* C9 */
}

static void check_configuration(const struct group *g)
{
    const struct raft *r = &g->r;
    uint64_t index = r->configuration_uncommitted_index;

    ASSERT(r->configuration_committed_index <= log__last(&g->log));
    if (index == 0 || SABOTAGE(S2))
        return;
    ASSERT(index > r->configuration_committed_index);
    ASSERT(index <= log__last(&g->log));
    ASSERT(log__at(&g->log, index)->type == RAFT_CHANGE);
}

void check__step(struct group *g, const struct group_before *b,
                 const struct raft_update *u)
{
    if (b->state == RAFT_LEADER && g->r.state == RAFT_LEADER &&
        b->term == g->r.current_term && (u->flags & (RAFT_UPDATE_ENTRIES)) != 0)
        ASSERT(u->entries.index == b->last + 1); /* C7 */
    check_terms(g);
    check_leader(g);
    check_log(g);
    check_configuration(g);
    if ((u->flags & (RAFT_UPDATE_ENTRIES)) != 0)
        check_trail(g);
#ifdef KV_DEBUG
    if ((g->gs->stats.steps & 255) == 0)
        log__check(&g->log);
#endif
}
