/* The aim at reads: what a leader hears late.
 *
 * A leader confirms reads by a round of its followers.  When their words take
 * long to reach it, and it has handed its leadership over meanwhile, they are words
 * about a past in which it led: a read that came after the round began must not be
 * answered by them.  So all ways from the other replicas to the leader become slow,
 * but quicker than a round is given up, and during one somebody else is to lead.  Clients
 * still reach the old leader as before, and its successor hears well. */
#include "group/group_int.h"
#include "kvsim/fault.h"

#define HEAR_US (20 * MS) /* until the slow ways are all there is */
#define LOOK_US 200u

static void hand_over(struct faults *f, const struct act *a)
{
    unsigned to = fault_one(f, fault_replicas(f, a->shard) &
                                   ~NODE_BIT(a->node));

    if (fault_leader(f, a->shard) == a->node && to != 0)
        fault_transfer(f, a->shard, to);
}

/* A round is under way. */
static bool has_round(struct faults *f, const struct act *a)
{
    const struct group *g = world_group(f->w, a->node, a->shard);

    for (unsigned i = 0; g != NULL && i < GROUP_READ_ROUNDS_MAX; i++) {
        if (g->batch[i].round != 0)
            return true;
    }
    return false;
}

static void wait_round(struct faults *f, const struct act *a)
{
    struct act *next = fault_when(f, has_round, hand_over, LOOK_US,
                                  (uint64_t)f->p->election_ms * MS);

    next->shard = a->shard;
    next->node = a->node;
}

void aim_late_word(struct faults *f, uint32_t shard, unsigned leader)
{
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    uint64_t round_us = (uint64_t)f->p->heartbeat_ms * MS;
    uint32_t way = (uint32_t)(round_us / 3 + rng_below(&f->rng, round_us / 2));
    struct act *a;

    for (unsigned i = 1; i <= f->p->nodes; i++) {
        if ((others & NODE_BIT(i)) != 0)
            fault_slow_way(f, i, leader, way, fault_elections(f, 3));
    }
    a = fault_after(f, 2 * (uint64_t)way + HEAR_US, wait_round);
    a->shard = shard;
    a->node = leader;
}
