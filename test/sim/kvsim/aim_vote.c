/* Aims at elections, transfers and changes of the configuration. */
#include "kvsim/fault.h"

#define LOOK_US 250u

/* ---- elections ---- */

/* The first replica that is a candidate; 0: none. */
static unsigned candidate(struct faults *f, uint32_t shard)
{
    for (unsigned i = 1; i <= f->p->nodes; i++) {
        const struct group *g = world_group(f->w, i, shard);

        if (g != NULL && group_role(g) == GROUP_CANDIDATE)
            return i;
    }
    return 0;
}

static bool is_voting(struct faults *f, const struct act *a)
{
    return candidate(f, a->shard) != 0;
}

/* The leader goes, one way or another; fn when somebody asks for votes. */
static void wait_vote(struct faults *f, uint32_t shard, unsigned leader,
                      act_fn fn)
{
    uint64_t us = fault_elections(f, 3);
    struct act *a;

    if (fault_chance(f, 50))
        fault_crash(f, leader, fault_chance(f, 50), fault_any_keep(f), us);
    else
        fault_isolate(f, NODE_BIT(leader), false, us);
    a = fault_when(f, is_voting, fn, LOOK_US, us);
    a->shard = shard;
    a->node = leader;
}

static void hit_candidate(struct faults *f, const struct act *a)
{
    unsigned who = candidate(f, a->shard);

    if (fault_chance(f, 50))
        fault_crash(f, who, fault_chance(f, 50), fault_any_keep(f),
                    fault_spread(f, 10 * MS, 2 * SECOND));
    else
        fault_hit(f, who);
}

void aim_candidate(struct faults *f, uint32_t shard, unsigned leader)
{
    wait_vote(f, shard, leader, hit_candidate);
}

static void split_vote(struct faults *f, const struct act *a)
{
    uint64_t all = fault_replicas(f, a->shard);
    unsigned n = f->p->replicas;

    fault_isolate(f, fault_some(f, all, 1 + fault_below(f, (n + 1) / 2)), false,
                  fault_elections(f, 1));
}

void aim_vote_split(struct faults *f, uint32_t shard, unsigned leader)
{
    wait_vote(f, shard, leader, split_vote);
}

static void restart_voter(struct faults *f, const struct act *a)
{
    if (sim_node_up(f->sim, a->node))
        fault_crash(f, a->node, true, SIM_KEEP_NONE,
                    fault_spread(f, MS, 100 * MS));
}

/* Around the moment of its vote each voter, sooner or later, forgets what it had not
 * synced, and is back before the election is over. */
static void restart_voters(struct faults *f, const struct act *a)
{
    uint64_t others = fault_replicas(f, a->shard) &
                      ~NODE_BIT(candidate(f, a->shard)) & ~NODE_BIT(a->node);

    for (unsigned i = 1; i <= f->p->nodes; i++) {
        if ((others & NODE_BIT(i)) != 0 && fault_chance(f, 60))
            fault_after(f, fault_spread(f, 50, 20 * MS), restart_voter)->node =
                i;
    }
}

void aim_voter_restarts(struct faults *f, uint32_t shard, unsigned leader)
{
    wait_vote(f, shard, leader, restart_voters);
}

/* A new leader that has not committed anything of its own term. */
static bool is_green(struct faults *f, const struct act *a)
{
    unsigned leader = fault_leader(f, a->shard);

    return leader != 0 && leader != a->node &&
           !group_ready(world_group(f->w, leader, a->shard));
}

static void hit_green(struct faults *f, const struct act *a)
{
    unsigned leader = fault_leader(f, a->shard);
    uint64_t others = fault_replicas(f, a->shard) & ~NODE_BIT(leader);

    if (fault_chance(f, 40))
        fault_crash(f, leader, fault_chance(f, 50), fault_any_keep(f),
                    fault_elections(f, 1));
    else
        fault_isolate(f,
                      NODE_BIT(leader) |
                          fault_some(f, others, fault_below(f, 2)),
                      false, fault_elections(f, 2));
}

void aim_new_leader(struct faults *f, uint32_t shard, unsigned leader)
{
    uint64_t us = fault_elections(f, 3);
    struct act *a;

    if (fault_chance(f, 50))
        fault_isolate(f, NODE_BIT(leader), false, us);
    else
        fault_crash(f, leader, false, SIM_KEEP_ALL, us);
    a = fault_when(f, is_green, hit_green, LOOK_US, us);
    a->shard = shard;
    a->node = leader;
}

/* ---- transfers ---- */

static void hit_transfer(struct faults *f, const struct act *a)
{
    uint64_t us = fault_elections(f, 2);

    if (fault_chance(f, 25)) {
        fault_hit(f, a->node);
        return;
    }
    if (fault_chance(f, 40)) {
        COVER(transfer_cut);
        fault_isolate(f, NODE_BIT(a->other), false, us);
        return;
    }
    if (fault_chance(f, 60))
        fault_crash(f, a->other, fault_chance(f, 50), fault_any_keep(f), us);
    else
        fault_pause(f, a->other, us);
}

void aim_transfer(struct faults *f, uint32_t shard, unsigned leader)
{
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    unsigned to = fault_one(f, others);
    struct act *a;

    if (to == 0)
        return;
    /* A target that is behind makes the transfer last. */
    if (fault_chance(f, 40))
        fault_stall_disk(f, to, fault_elections(f, 1));
    if (!fault_transfer(f, shard, to) || fault_chance(f, 30))
        return;
    a = fault_after(f, fault_chance(f, 40) ? 0 : fault_spread(f, 50, 20 * MS),
                    hit_transfer);
    a->node = leader;
    a->other = to;
}

/* ---- changes ---- */

/* A stand-by, or 0. */
static unsigned standby(struct faults *f, uint32_t shard, unsigned leader)
{
    struct group_server s[PLAN_NODES_MAX];
    unsigned n = group_members(world_group(f->w, leader, shard), s,
                               PLAN_NODES_MAX);

    for (unsigned i = 0; i < n && i < PLAN_NODES_MAX; i++) {
        if (s[i].role == GROUP_STANDBY)
            return (unsigned)s[i].id;
    }
    return 0;
}

static bool promoted(struct faults *f, const struct act *a)
{
    unsigned leader = fault_leader(f, a->shard), who;

    if (leader == 0)
        return false;
    who = standby(f, a->shard, leader);
    return who != 0 && fault_change(f, a->shard, who, GROUP_VOTER);
}

/* The moment after a change was proposed. */
static void hit_change(struct faults *f, const struct act *a)
{
    unsigned leader = fault_leader(f, a->shard);
    uint64_t all = fault_replicas(f, a->shard), us = fault_elections(f, 2);

    if (leader == 0)
        return;
    if (fault_chance(f, 35))
        fault_isolate(f, NODE_BIT(leader), false, us);
    else if (fault_chance(f, 30))
        fault_isolate(f, NODE_BIT(leader) |
                             fault_some(f, all & ~NODE_BIT(leader), 1),
                      false, us);
    else if (fault_chance(f, 60))
        fault_crash(f, leader, fault_chance(f, 50), fault_any_keep(f), us);
    else
        fault_hit(f, fault_one(f, all));
}

static void wait_promoted(struct faults *f, const struct act *a)
{
    fault_when(f, promoted, hit_change, 5 * MS, 3 * SECOND)->shard = a->shard;
}

void aim_change(struct faults *f, uint32_t shard, unsigned leader)
{
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    unsigned who = standby(f, shard, leader);
    struct act *a;
    bool done;

    if (who != 0) {
        fault_when(f, promoted, hit_change, 1 * MS, 3 * SECOND)->shard = shard;
        return;
    }
    who = fault_one(f, others);
    done = who != 0 && fault_change(f, shard, who, GROUP_STANDBY);
    if (!done)
        return;
    if (fault_chance(f, 60)) {
        a = fault_after(f, fault_chance(f, 50) ? 0 : fault_below(f, 5 * MS),
                        hit_change);
        a->shard = shard;
    }
    a = fault_after(f, fault_time(f), wait_promoted);
    a->shard = shard;
}
