/* The host rules S1..S15.
 *
 * libraft's core is good, and has holes that its author's own host does not
 * run into or has not met yet.  No patch of the library is needed: each hole
 * has a precondition that the host can keep away from the core.  (S5 and S12
 * change messages on their way out; S9 is in group_member.c.)
 *
 *  S1  A sole voter elects itself, at START and when its timer fires, without
 *      raising its term or voting.  After a crash that lost an unsynced entry
 *      it would write another entry with the same index and term as one that a
 *      stand-by may hold already; and if it gave its vote to a server whose
 *      promotion that crash made it forget, both lead one term.  So the host
 *      raises the term, durably, and votes for itself.
 *  S2  A CHANGE that is not the first new entry of an AppendEntries is recorded
 *      at the index of the first one, and is then neither rolled back by a
 *      truncation nor ever committed.  So the host cuts messages before
 *      CHANGEs.
 *  S3  An AppendEntries that begins below the compacted part of the log: its
 *      old entries would be appended at the end.  So it is cut to begin at the
 *      snapshot, whose term is known and which is committed.
 *  S4  A late refusal of an index that matched since then sets next <= match;
 *      the window computation underflows and the follower gets empty messages
 *      for ever.  So it is dropped.  A hint below the match index does the same
 *      damage and is raised to it (S12 hints at the follower's commit index,
 *      which may be lower).
 *  S5  A refused pre-vote echoes the asked term: a node with the longer log and
 *      the lower term never learns the higher one, and nobody is ever elected.
 *      So the refusal carries the true term.
 *  S6  A server that is no voter by its own configuration refuses every vote:
 *      if it was just promoted and has not heard of it, the group is dead.  So
 *      it votes as if it were one; whoever asks counts it only if its own
 *      configuration does.
 *  S7  A vote result that arrives when I am no candidate is judged by a field
 *      of the candidate's part of a union.  So it is dropped.
 *  S8  A new leader appends a barrier only if its last entry is above its
 *      commit index, which may have moved back.  Reads and changes need a
 *      committed entry of the leader's own term: the host appends one when the
 *      core did not.
 *  S9  A server that is promoted with half a log has a vote but stores nothing
 *      new for a while: one other server less, and nothing is committed.  So it
 *      must have stored everything first.
 *  S10 Any other error of raft_step (an AppendEntries that contradicts a
 *      committed entry, no memory) leaves the core half-changed: the process
 *      stops.
 *  S11 A follower refuses votes while it remembers a leader and only its own
 *      timeout makes it forget; a server that never times out (no voter,
 *      installing) never forgets.  So a leader that was silent for 2 election
 *      timeouts, or that is the very candidate, is forgotten.  Safety does not
 *      rest on that memory.
 *  S12 A refusal lets the leader step back by one index a round trip.  So it
 *      hints at the commit index: the committed prefix always matches.
 *  S13 A peer that was never due a message is judged silent, and is then sent
 *      entries only with heartbeats.  So the heartbeat timeout is 0 in the
 *      steps that have something for it (SUBMIT, TIMEOUT).
 *  S14 A follower that gets two CHANGEs before it has applied the first keeps,
 *      for a rollback of the second, the configuration before both: the first
 *      one's CONFIGURATION event is ignored from then on.  But no leader appends
 *      a CHANGE before the one before it is committed.  So that event is fired
 *      before the second CHANGE is stepped.
 *  S15 A leader of two voters demotes the other one, which gets the entry, and
 *      loses its own copy in a crash.  Neither can be elected then: the one has
 *      the shorter log, the other is no voter.  So a CHANGE that leaves one
 *      voter leaves that voter only when it is durable there. */
#include "group/group_rules.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/sabotage.h"

static bool sole_voter(const struct raft_configuration *conf, raft_id me)
{
    unsigned voters = 0;
    bool mine = false;

    for (unsigned i = 0; i < conf->n; i++)
        if (conf->servers[i].role == RAFT_VOTER) {
            voters++;
            mine = mine || conf->servers[i].id == me;
        }
    return voters == 1 && mine;
}

bool rules__s1_raise_term(const struct raft_configuration *conf, raft_id me)
{
    return !SABOTAGE(S1) && sole_voter(conf, me);
}

void rules__s3_trim(const struct raft *r, struct raft_append_entries *ae)
{
    raft_index base = r->trail.snapshot.index;
    unsigned drop;

    if (SABOTAGE(S3) || ae->prev_log_index >= r->trail.offset)
        return;
    ASSERT(base >= r->trail.offset);
    if (ae->prev_log_index + ae->n_entries > base) {
        drop = (unsigned)(base - ae->prev_log_index);
        ae->prev_log_term = ae->entries[drop - 1].term;
        ae->entries += drop;
        ae->n_entries -= drop;
    } else {
        ae->prev_log_term = r->trail.snapshot.term;
        ae->n_entries = 0;
    }
    ae->prev_log_index = base;
}

unsigned rules__s2_piece(const struct raft_append_entries *ae)
{
    if (SABOTAGE(S2) || ae->n_entries == 0)
        return ae->n_entries;
    for (unsigned i = 1; i < ae->n_entries; i++)
        if (ae->entries[i].type == RAFT_CHANGE)
            return i;
    return ae->n_entries;
}

bool rules__s4_stale(const struct raft *r, raft_id from,
                     struct raft_append_entries_result *res)
{
    raft_index match;

    if (SABOTAGE(S4) || res->rejected == 0 || res->term != r->current_term)
        return false;
    if (raft_match_index(r, from, &match) != 0)
        return false;
    if (res->rejected <= match)
        return true;
    if (res->last_log_index < match)
        res->last_log_index = match;
    return false;
}

void rules__s5_term(const struct raft *r, struct raft_request_vote_result *res)
{
    if (SABOTAGE(S5))
        return;
    if (res->pre_vote && !res->vote_granted && r->current_term > res->term)
        res->term = r->current_term;
}

void rules__s12_hint(const struct raft *r,
                     struct raft_append_entries_result *res)
{
    if (!SABOTAGE(S12) && res->rejected > 0 &&
        res->last_log_index > r->commit_index)
        res->last_log_index = r->commit_index;
}

static const struct raft_server *server_of(const struct raft_configuration *c,
                                           raft_id id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

void rules__s6_begin(struct raft *r, const struct raft_request_vote *v,
                     struct rules_s6 *s)
{
    const struct raft_server *me = server_of(&r->configuration, r->id);

    (void)v;
    s->on = !SABOTAGE(S6) && (me == NULL || me->role != RAFT_VOTER);
    if (!s->on)
        return;
    s->me = (struct raft_server){ .id = r->id,
                                  .address = r->address,
                                  .role = RAFT_VOTER };
    s->real = r->configuration;
    r->configuration.servers = &s->me;
    r->configuration.n = 1;
}

void rules__s6_end(struct raft *r, struct rules_s6 *s)
{
    if (!s->on)
        return;
    ASSERT(r->configuration.servers == &s->me);
    r->configuration = s->real;
}

bool rules__s7_late(const struct raft *r)
{
    return !SABOTAGE(S7) && r->state != RAFT_CANDIDATE;
}

bool rules__s8_needs_barrier(const struct raft *r, unsigned update_flags)
{
    if (SABOTAGE(S8))
        return false;
    return (update_flags & (RAFT_UPDATE_STATE)) != 0 &&
           r->state == RAFT_LEADER &&
           (update_flags & (RAFT_UPDATE_ENTRIES)) == 0;
}

bool rules__s10_fatal(const struct raft_event *ev, int rv)
{
    if (rv == 0 || SABOTAGE(S10))
        return false;
    if (ev->type == RAFT_SUBMIT && ev->submit.n == 1)
        return rv != RAFT_NOTLEADER && rv != RAFT_CANTCHANGE &&
               rv != RAFT_NOSPACE && rv != RAFT_MALFORMED;
    if (ev->type == RAFT_TRANSFER)
        return rv != RAFT_NOTLEADER && rv != RAFT_BADID && rv != RAFT_NOTFOUND;
    return true;
}

unsigned rules__s13_heartbeat(const struct raft_event *ev,
                              unsigned heartbeat_ms)
{
    if (!SABOTAGE(S13) &&
        (ev->type == RAFT_SUBMIT || ev->type == RAFT_TIMEOUT))
        return 0;
    return heartbeat_ms;
}

bool rules__s14_settled(const struct raft *r,
                        const struct raft_append_entries *piece,
                        raft_term local_prev_term)
{
    raft_index now = r->configuration_uncommitted_index;

    if (SABOTAGE(S14) || now == 0 || piece->n_entries == 0)
        return false;
    return piece->entries[0].type == RAFT_CHANGE &&
           piece->prev_log_index >= now && piece->term >= r->current_term &&
           piece->prev_log_term == local_prev_term;
}

bool rules__s15_gated(const struct raft *r, const struct raft_entry *entries,
                      unsigned n)
{
    bool change = false;

    if (SABOTAGE(S15) || r->state != RAFT_LEADER)
        return false;
    for (unsigned i = 0; i < n; i++)
        change = change || entries[i].type == RAFT_CHANGE;
    return change && sole_voter(&r->configuration, r->id);
}

void rules__forget_leader(struct raft *r)
{
    ASSERT(r->state == RAFT_FOLLOWER);
    r->follower_state.current_leader.id = 0;
    raft_free(r->follower_state.current_leader.address);
    r->follower_state.current_leader.address = NULL;
}

void rules__s11_forget(struct raft *r, raft_id candidate, uint64_t now_ms,
                       uint64_t heard_ms)
{
    if (SABOTAGE(S11) || r->state != RAFT_FOLLOWER ||
        r->follower_state.current_leader.id == 0)
        return;
    if (r->follower_state.current_leader.id == candidate ||
        now_ms - heard_ms >= 2ull * r->election_timeout)
        rules__forget_leader(r);
}

void rules__hasten(struct raft *r, uint64_t now_ms, unsigned in_ms)
{
    uint64_t elapsed = now_ms - r->election_timer_start;
    unsigned *timeout;

    ASSERT(r->state != RAFT_LEADER);
    ASSERT(now_ms >= r->election_timer_start);
    timeout = r->state == RAFT_FOLLOWER
                  ? &r->follower_state.randomized_election_timeout
                  : &r->candidate_state.randomized_election_timeout;
    if (elapsed + in_ms < *timeout)
        *timeout = (unsigned)elapsed + in_ms;
}
