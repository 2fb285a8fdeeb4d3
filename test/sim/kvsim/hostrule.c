/* The host rules of src/group (S1..S15) that can be seen from outside although no
 * client is harmed at once: what one of them keeps away is often a stall or a loss
 * that needs two more accidents.  Waiting for those would need many more runs.
 *
 *   H1  Every term was begun by a candidate: where a term shows first, that
 *       replica has voted for itself.  (Rule S7: a late answer to a pre-vote
 *       names a term that nobody is in.)
 *   H2  A leader calls itself ready when an entry of its term is committed (S8).
 *   H3  Who is made a voter has stored all that comes before that entry (S9).
 *   H4  On one connection a node never states a lower term than before, be it in
 *       refused pre-votes (S5) or in answers to read rounds: frames leave in the order
 *       in which they were made, and terms only grow.
 *   H5  A follower does not make its leader step back one entry a round trip (S12):
 *       refusals whose indexes fall by one, REFUSALS_MAX times in a row.
 *   H6  The configuration in use is the last one of the log, whatever was cut off
 *       behind it (S2, S14).
 *   H7  What a leader sends a follower next is above what it knows to match there
 *       (S4); the core asserts that, in builds that are not ours.
 *   H8  Nobody refuses a vote for the sake of a leader that has been silent for two
 *       election timeouts (S11).  A refusal may have waited for the disk: so only
 *       those count before which nothing did. */
#include "kvsim/watch.h"

#include <inttypes.h>

#include "base/assert.h"

#define REFUSALS_MAX 4u
#define LOYALTY_SLACK_MS 50u

/* ---- H1, H2 ---- */

void hostrule__look(struct watch_shard *s, unsigned node)
{
    const struct group *g = s->view[node].group;
    const struct raft *r = &g->r;
    uint64_t last = s->ledger.max_committed;
    uint64_t committed = ledger_committed(&s->ledger, last);

    if (r->current_term > s->begun_term) {
        if (r->current_term > 1 && r->voted_for != r->id)
            ledger_violate(&s->ledger, "node %u is in term %" PRIu64
                           ", which no candidate has begun (its vote is for %"
                           PRIu64 ")", node, (uint64_t)r->current_term,
                           (uint64_t)r->voted_for);
        s->begun_term = r->current_term;
    }
    if (group_ready(g) && committed < r->current_term)
        ledger_violate(&s->ledger, "node %u serves as leader of term %" PRIu64
                       ", and the last committed entry, %" PRIu64
                       ", is of term %" PRIu64, node,
                       (uint64_t)r->current_term, last, committed);
}

/* ---- H3 ---- */

static bool configuration_at(const struct view *v, uint64_t index,
                             struct raft_configuration *ret)
{
    const struct gent *e = log__at(&v->group->log, index);
    struct raft_buffer b;

    if (e == NULL || e->type != RAFT_CHANGE || e->blob == NULL)
        return false;
    b.base = e->blob->data;
    b.len = e->blob->len;
    return raft_configuration_decode(&b, ret) == 0;
}

static bool votes_in(const struct raft_configuration *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id == id)
            return c->servers[i].role == RAFT_VOTER;
    }
    return false;
}

static void check_promotion(struct watch_shard *s, const struct view *v,
                            uint64_t index, uint64_t id)
{
    const struct view *who;

    if (id == 0 || id > PLAN_NODES_MAX)
        return;
    who = &s->view[id];
    if (!watch__stored(who, index - 1, v->terms[index - 1]))
        ledger_violate(&s->ledger, "entry %" PRIu64 " of term %" PRIu64
                       " makes node %" PRIu64
                       " a voter, which has only %" PRIu64 " entries durable",
                       index, v->terms[index], id, who->stored);
}

void hostrule__change(struct watch_shard *s, unsigned node, uint64_t index)
{
    const struct view *v = &s->view[node];
    const struct raft *r = &v->group->r;
    struct raft_configuration was, now;
    uint64_t before = index - 1;

    if (r->state != RAFT_LEADER || v->terms[index] != r->current_term)
        return; /* somebody else made it */
    if (!configuration_at(v, index, &now))
        return;
    while (before > 0 && !configuration_at(v, before, &was))
        before--;
    for (unsigned i = 0; before > 0 && i < now.n; i++) {
        uint64_t id = now.servers[i].id;

        if (now.servers[i].role == RAFT_VOTER && !votes_in(&was, id))
            check_promotion(s, v, index, id);
    }
    if (before > 0)
        raft_configuration_close(&was);
    raft_configuration_close(&now);
}

/* ---- H6 ---- */

static bool same_configuration(const struct raft_configuration *a,
                               const struct raft_configuration *b)
{
    if (a->n != b->n)
        return false;
    for (unsigned i = 0; i < a->n; i++) {
        if (a->servers[i].id != b->servers[i].id ||
            a->servers[i].role != b->servers[i].role)
            return false;
    }
    return true;
}

void hostrule__configuration(struct watch_shard *s, unsigned node)
{
    const struct view *v = &s->view[node];
    struct raft_configuration last;
    uint64_t index = v->last;

    while (index > 0 && !configuration_at(v, index, &last))
        index--;
    if (index == 0)
        return;
    if (!same_configuration(&last, &v->group->r.configuration))
        ledger_violate(&s->ledger, "node %u uses another configuration than "
                       "the last one in its log, entry %" PRIu64
                       " of term %" PRIu64, node, index, v->terms[index]);
    raft_configuration_close(&last);
}

/* ---- H7 ---- */

/* How libraft 0.22 keeps what a leader knows of a server.  It is private, but the
 * version is pinned, and raft_match_index tells whether this is still so. */
struct progress {
    unsigned short state, catch_up, features, capacity;
    raft_index next, match;
    raft_time last_send, last_recv, snapshot[2];
};

void hostrule__append(struct watch_shard *s, unsigned from, unsigned to)
{
    const struct raft *r = &s->view[from].group->r;
    const struct progress *p = (const void *)r->leader_state.progress;
    raft_index match;
    unsigned i = 0;

    if (r->state != RAFT_LEADER || p == NULL)
        return;
    while (i < r->configuration.n && r->configuration.servers[i].id != to)
        i++;
    if (i == r->configuration.n || raft_match_index(r, to, &match) != 0)
        return;
    ASSERT(p[i].match == match);
    if (p[i].next <= match)
        ledger_violate(&s->ledger, "node %u is about to send node %u entry %"
                       PRIu64 " and knows that it has entry %" PRIu64, from,
                       to, (uint64_t)p[i].next, (uint64_t)match);
}

/* ---- H4, H5 ---- */

void hostrule__stated(struct watch_shard *s, unsigned from, unsigned to,
                  uint64_t term, const char *how)
{
    uint64_t *said = &s->said_to[from][to];

    if (term < *said)
        ledger_violate(&s->ledger, "node %u tells node %u term %" PRIu64
                       " in %s, and has told it term %" PRIu64 " before",
                       from, to, term, how, *said);
    if (term > *said)
        *said = term;
}

static void see_refusal(struct watch_shard *s, unsigned from, unsigned to,
                        const struct raft_append_entries_result *res)
{
    struct watch_refusals *f = &s->refusals[from][to];

    if (res->rejected == 0 || res->term != f->term ||
        res->rejected + 1 != f->index)
        f->n = 0;
    else
        f->n++;
    f->term = res->term;
    f->index = res->rejected;
    if (f->n >= REFUSALS_MAX)
        ledger_violate(&s->ledger, "node %u refuses entry after entry of node "
                       "%u, backwards and one at a time, the last one entry %"
                       PRIu64, from, to, f->index);
}

static void check_loyalty(struct watch_shard *s, unsigned from, unsigned to)
{
    const struct group *g = s->view[from].group;
    const struct raft *r = &g->r;
    uint64_t limit, silent;

    if (r->state != RAFT_FOLLOWER || r->follower_state.current_leader.id == 0 ||
        s->view[from].gated)
        return;
    limit = 2 * (uint64_t)r->election_timeout + LOYALTY_SLACK_MS;
    silent = env_now_ms(g->gs->env) - g->heard_ms;
    if (silent > limit)
        ledger_violate(&s->ledger, "node %u refuses its vote to node %u, for "
                       "it remembers leader %" PRIu64 ", which has been silent "
                       "for %" PRIu64 " ms", from, to,
                       (uint64_t)r->follower_state.current_leader.id, silent);
}

void hostrule__message(struct watch_shard *s, unsigned from, unsigned to,
                   const struct raft_message *m)
{
    const struct raft_request_vote_result *r = &m->request_vote_result;

    if (m->type == RAFT_REQUEST_VOTE_RESULT && !r->vote_granted)
        check_loyalty(s, from, to);
    if (m->type == RAFT_APPEND_ENTRIES_RESULT)
        see_refusal(s, from, to, &m->append_entries_result);
    else if (m->type == RAFT_REQUEST_VOTE_RESULT && r->pre_vote &&
             !r->vote_granted && r->term < s->said_to[from][to])
        hostrule__stated(s, from, to, r->term, "the refusal of a pre-vote");
}
