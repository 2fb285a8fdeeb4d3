/* Aims at what needs several accidents in a row.
 *
 * One voter left.  A leader demotes the others one by one; its entries still go to
 * them while its own disk writes.  Then it loses power before that is done: it has
 * to come back in a later term than the one in which they know more than it does
 * (rule S1), and the demotion itself must not be known to them before it is durable
 * (rule S15).
 *
 * Two changes at once.  A follower is cut off while a change is committed; the leader
 * makes another one alone, and then that follower gets both together, while the
 * others elect somebody who knows only the first: the second has to be taken back,
 * and the first has to stay (rule S14).
 *
 * A lull.  Clients fall silent, so that nothing new covers up what old messages do: a
 * follower that missed entries refuses, catches up, and does not answer for a while,
 * so that the leader begins anew with it; then the refusal comes a second time
 * (rule S4). */
#include "kvsim/fault.h"

#define LOOK_US 100u
#define STEPS_MAX 60u
#define CLIENT_HOSTS                                                           \
    (((UINT64_C(1) << WORLD_CLIENT_HOSTS) - 1) << WORLD_CLIENT_HOST)

/* ---- one voter left ---- */

static bool has_unsynced(struct faults *f, const struct act *a)
{
    struct sim_disk_stats stats;

    sim_disk_stats(f->sim, a->node, &stats);
    return stats.unsynced > 0;
}

static void lose_power(struct faults *f, const struct act *a)
{
    if (sim_node_up(f->sim, a->node))
        fault_crash(f, a->node, true, SIM_KEEP_NONE,
                    fault_spread(f, 10 * MS, SECOND));
}

/* A voter that is not the leader; 0: there is none. */
static unsigned other_voter(struct faults *f, uint32_t shard, unsigned leader)
{
    struct group_server s[PLAN_NODES_MAX];
    unsigned n = group_members(world_group(f->w, leader, shard), s,
                               PLAN_NODES_MAX);

    for (unsigned i = 0; i < n; i++) {
        if (s[i].role == GROUP_VOTER && s[i].id != leader)
            return (unsigned)s[i].id;
    }
    return 0;
}

static void demote(struct faults *f, const struct act *a)
{
    unsigned leader = fault_leader(f, a->shard), who;
    struct act *next;

    if (leader == 0 || a->n == 0)
        return;
    who = other_voter(f, a->shard, leader);
    if (who == 0) {
        next = fault_when(f, has_unsynced, lose_power, LOOK_US, 2 * SECOND);
        next->node = leader;
        return;
    }
    if (fault_change(f, a->shard, who, GROUP_STANDBY) &&
        other_voter(f, a->shard, leader) == 0 && fault_chance(f, 40)) {
        fault_after(f, fault_below(f, 2 * MS), lose_power)->node = leader;
        return;
    }
    next = fault_after(f, fault_spread(f, MS, 50 * MS), demote);
    next->shard = a->shard;
    next->n = a->n - 1;
}

void aim_sole_voter(struct faults *f, uint32_t shard, unsigned leader)
{
    struct act *a = fault_after(f, 0, demote);

    (void)leader;
    a->shard = shard;
    a->n = STEPS_MAX;
}

/* ---- two changes at once ---- */

/* A server that can be given another role: neither of these two. */
static bool change_some(struct faults *f, uint32_t shard, unsigned leader,
                        unsigned spared)
{
    uint64_t left = fault_replicas(f, shard) & ~NODE_BIT(leader) &
                    ~NODE_BIT(spared);

    while (left != 0) {
        unsigned who = fault_one(f, left);

        left &= ~NODE_BIT(who);
        if (fault_change(f, shard, who,
                         fault_chance(f, 50) ? GROUP_STANDBY : GROUP_VOTER) &&
            group_changing(world_group(f->w, leader, shard)))
            return true; /* not what it was already */
    }
    return false;
}

static bool has_settled(struct faults *f, const struct act *a)
{
    return fault_leader(f, a->shard) == a->node &&
           !group_changing(world_group(f->w, a->node, a->shard));
}

static void second_change(struct faults *f, const struct act *a)
{
    uint64_t pair = NODE_BIT(a->node) | NODE_BIT(a->other);

    if (fault_leader(f, a->shard) != a->node)
        return;
    fault_isolate(f, pair, false, fault_elections(f, 3));
    change_some(f, a->shard, a->node, a->other);
}

void aim_two_changes(struct faults *f, uint32_t shard, unsigned leader)
{
    unsigned late = fault_one(f, fault_replicas(f, shard) & ~NODE_BIT(leader));
    struct act *a;

    if (late == 0 || !change_some(f, shard, leader, late))
        return;
    fault_cut(f, NODE_BIT(late), fault_all(f),
              (uint64_t)f->p->election_ms * MS / 2);
    a = fault_when(f, has_settled, second_change, LOOK_US,
                   (uint64_t)f->p->election_ms * MS / 2);
    a->shard = shard;
    a->node = leader;
    a->other = late;
}

/* ---- a lull ---- */

static void silence_clients(struct faults *f, const struct act *a)
{
    fault_cut(f, CLIENT_HOSTS, fault_all(f), a->n);
}

static void fall_silent(struct faults *f, const struct act *a)
{
    if (sim_node_up(f->sim, a->node))
        fault_pause(f, a->node, 2 * (uint64_t)f->p->election_ms * MS);
}

static void begin_lull(struct faults *f, const struct act *a)
{
    uint64_t e = (uint64_t)f->p->election_ms * MS;
    uint64_t missed = e / 2 + rng_below(&f->rng, e / 2);
    struct sim_mangle m = { .duplicate_ppm = 900000,
                            .late_us = (uint32_t)e,
                            .least_us = (uint32_t)(4 * e) };

    /* What the leader sends now is gone with the connection. */
    fault_reset(f, a->node, a->other);
    fault_cut(f, NODE_BIT(a->node), NODE_BIT(a->other), missed);
    fault_mangle(f, a->other, a->node, m, 8 * e);
    fault_after(f, missed / 2, silence_clients)->n = 9 * e;
    /* Long enough for the leader to give it up, and to ask it anew. */
    fault_after(f, missed + e, fall_silent)->node = a->other;
}

void aim_lull(struct faults *f, uint32_t shard, unsigned leader)
{
    uint64_t e = (uint64_t)f->p->election_ms * MS;
    unsigned follower = fault_one(f, fault_replicas(f, shard) &
                                         ~NODE_BIT(leader));
    struct act *a;

    if (follower == 0)
        return;
    /* Nothing waits at the follower that would be sent on later. */
    fault_cut(f, CLIENT_HOSTS, NODE_BIT(follower), 9 * e);
    a = fault_after(f, e / 8, begin_lull);
    a->node = leader;
    a->other = follower;
}
