/* Who belongs to a group, and how that changes: a voter becomes a stand-by, a
 * stand-by becomes a voter.
 *
 * A configuration is an entry of the log (RAFT_CHANGE): all servers with their
 * roles.  Every node uses the last one in its log, committed or not, from the
 * moment it has it; when the entry is replaced by another leader's, the one
 * before counts again (rules S2, S14).  Two configurations that differ in one
 * server have no majorities without a common voter, so changes are made one
 * server at a time, each after the one before is committed.
 *
 *            group_change        committed and applied on the leader
 *   steady ----------------> changing --------------------------> steady
 *    | ^ ^                      | ^
 *    | | '----------------------' |  another leader replaced the entry
 *    | |                          |
 *    | '--------- waiting --------'  the stand-by has the whole log
 *    |   too long    ^
 *    '---------------'  promotion of a stand-by that is nearly there
 *
 * A stand-by gets every entry and applies it, but gives no vote that counts,
 * confirms no read, calls for no election and is handed no leadership.
 *
 * What a leader accepts:
 *
 *   M1  A committed entry of its own term comes first (ready, rule S8): without
 *       it, two leaders in a row could each change another server of the same
 *       old configuration, and the results need not overlap.
 *   M2  One change at a time, of one server, which stays at its place: the core
 *       maps what it knows of its followers by position.
 *   M3  A stand-by becomes a voter only when it has the leader's whole log
 *       (rule S9).  Otherwise entries might need its vote before it can store
 *       them, and the loss of another server stops the group that was meant to
 *       become safer.  Under load entries are in flight at every moment, so a
 *       stand-by that is nearly there (GROUP_PROMOTE_LAG) is waited for, for
 *       PROMOTE_HEARTBEATS at most, and meanwhile no proposals are taken.
 *   M4  The leader does not demote itself: it would go on as a leader that does
 *       not count itself, and step down in the middle of it.  It hands over
 *       first, and its successor demotes it.  With that, a change leaves at
 *       least one voter, and if only one, then the leader (rule S1).
 *
 * Crashes.  The entry is like any other: if it was not on a majority, a later
 * leader may drop it; group_changing() ends either way and group_members() says
 * how.  After a restart the last configuration counts as not committed until it
 * is applied again.  An entry that makes the leader the only voter leaves it
 * only when its own disk has it (rule S15). */
#include <inttypes.h>
#include <stdio.h>

#include "group/group_int.h"

/* How long a promotion may hold proposals up, in heartbeats. */
#define PROMOTE_HEARTBEATS 2u

/* The configuration in which `node` has the role, encoded for the log. */
static struct blob *encode_with(const struct raft_configuration *now,
                                uint64_t node, int role)
{
    struct raft_configuration conf;
    struct raft_buffer b;
    struct blob *ret;
    int rv = 0;

    raft_configuration_init(&conf);
    for (unsigned i = 0; i < now->n && rv == 0; i++) { /* M2: order kept */
        const struct raft_server *s = &now->servers[i];

        rv = raft_configuration_add(&conf, s->id, s->address,
                                    s->id == node ? role : s->role);
    }
    ASSERT(rv == 0); /* a copy of what the core accepted */
    ASSERT(conf.n == now->n);
    rv = raft_configuration_encode(&conf, &b);
    ASSERT(rv == 0);
    raft_configuration_close(&conf);
    ret = blob_copy(slice_make(b.base, b.len));
    raft_free(b.base);
    return ret;
}

static const struct raft_server *server_of(const struct group *g, uint64_t id)
{
    const struct raft_configuration *c = &g->r.configuration;

    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

bool member__votes(const struct group *g)
{
    const struct raft_server *me = server_of(g, g->r.id);

    return me != NULL && me->role == RAFT_VOTER;
}

/* M3: how many entries the server has not stored, as far as is known. */
static uint64_t lag_of(const struct group *g, uint64_t node)
{
    raft_index match;

    if (SABOTAGE(S9))
        return 0;
    if (raft_match_index(&g->r, node, &match) != 0)
        UNREACHABLE(); /* leader, and it is in the configuration */
    ASSERT(match <= log__last(&g->log));
    return log__last(&g->log) - match;
}

bool member__waits(const struct group *g)
{
    return g->promote.node != 0 && g->r.state == RAFT_LEADER &&
           g->r.current_term == g->promote.term &&
           env_now_ms(g->gs->env) < g->promote.until_ms;
}

/* 0 if the leader may make the change now. */
static int change_refused(const struct group *g, uint64_t node, int role)
{
    const struct raft_server *s;

    if (!g->started || g->r.state != RAFT_LEADER)
        return KV_ENOTLEADER;
    if (role != GROUP_VOTER && role != GROUP_STANDBY)
        return KV_EINVAL;
    s = server_of(g, node);
    if (s == NULL)
        return KV_ENOENT;
    if (node == g->r.id && role != GROUP_VOTER)
        return KV_EINVAL; /* M4 */
    if (!group_ready(g) || group_transferring(g) || group_changing(g))
        return KV_EAGAIN; /* M1, M2 */
    if (role == GROUP_VOTER && s->role != RAFT_VOTER &&
        lag_of(g, node) > GROUP_PROMOTE_LAG)
        return KV_EAGAIN;
    return 0;
}

static void change(struct group *g, uint64_t node, int raft_role)
{
    struct blob *conf = encode_with(&g->r.configuration, node, raft_role);
    uint64_t index;
    int rv = step__submit(g, RAFT_CHANGE, conf, &index);

    blob_unref(conf);
    ASSERT(rv == 0); /* whatever the core refuses was asked for before */
    ASSERT(server_of(g, node)->role == raft_role);
    ASSERT(member__votes(g));
}

void member__stored(struct group *g)
{
    uint64_t node = g->promote.node;

    if (!member__waits(g) || lag_of(g, node) > 0)
        return;
    ASSERT(group_ready(g)); /* as it was when the promotion was asked for */
    ASSERT(g->r.configuration_uncommitted_index == 0);
    g->promote.node = 0;
    change(g, node, RAFT_VOTER);
}

int group_change(struct group *g, uint64_t node, enum group_member role)
{
    int raft_role = role == GROUP_VOTER ? RAFT_VOTER : RAFT_STANDBY;
    int rv = change_refused(g, node, (int)role);

    if (rv != 0)
        return rv;
    if (server_of(g, node)->role == raft_role)
        return 0;
    if (raft_role == RAFT_VOTER && lag_of(g, node) > 0) {
        g->promote.node = node;
        g->promote.term = g->r.current_term;
        g->promote.until_ms =
            env_now_ms(g->gs->env) +
            PROMOTE_HEARTBEATS * (uint64_t)g->gs->cfg.heartbeat_ms;
        ASSERT(member__waits(g));
        return 0;
    }
    change(g, node, raft_role);
    return 0;
}

bool group_changing(const struct group *g)
{
    return g->r.configuration_uncommitted_index != 0 || member__waits(g);
}

unsigned group_members(const struct group *g, struct group_server *ret,
                       unsigned max)
{
    const struct raft_configuration *c = &g->r.configuration;
    unsigned n = 0;

    for (unsigned i = 0; i < c->n && n < max; i++)
        ret[n++] = (struct group_server){
            .id = c->servers[i].id,
            .role = c->servers[i].role == RAFT_VOTER ? GROUP_VOTER
                                                     : GROUP_STANDBY,
        };
    return n;
}

unsigned group_voters(const struct group *g, uint64_t *ret_ids, unsigned max)
{
    const struct raft_configuration *c = &g->r.configuration;
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].role == RAFT_VOTER && n < max)
            ret_ids[n++] = c->servers[i].id;
    return n;
}

uint64_t member__most_advanced(const struct group *g)
{
    const struct raft_configuration *c = &g->r.configuration;
    uint64_t best = 0, best_match = 0;

    ASSERT(g->r.state == RAFT_LEADER);
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];
        raft_index match;

        if (s->id == g->r.id || s->role != RAFT_VOTER ||
            raft_match_index(&g->r, s->id, &match) != 0)
            continue;
        if (best == 0 || match > best_match) {
            best = s->id;
            best_match = match;
        }
    }
    return best;
}
