/* Aims: faults at whoever matters at that moment.
 *
 * A bug of consensus hides behind a narrow moment of a certain node: the leader that has
 * just put an entry on its log, a follower whose vote is on its way to the disk.
 * Faults by chance hardly ever meet it (../README.md has the figures); here they wait
 * for it.  An aim looks at the cluster every few tenths of a millisecond until its
 * moment has come, then strikes.
 *
 * Each run uses some of the aims, often only one, at intervals that let the cluster
 * recover now and then: a cluster that never serves shows little. */
#include "base/assert.h"
#include "kvsim/fault.h"

#define LOOK_US 150u               /* between looks for a moment */
#define LOOK_LIMIT_US (300 * MS)   /* then there is none to be had */

typedef void (*aim_fn)(struct faults *f, uint32_t shard, unsigned leader);

/* ---- moments ---- */

bool aim_has_batch(struct faults *f, const struct act *a)
{
    const struct group *g = world_group(f->w, a->node, a->shard);

    return g != NULL && group_role(g) == GROUP_LEADER &&
           group_last(g) > group_commit(g);
}

static bool has_unsynced(struct faults *f, const struct act *a)
{
    struct sim_disk_stats stats;

    sim_disk_stats(f->sim, a->node, &stats);
    return stats.unsynced > 0;
}

static void wait_batch(struct faults *f, uint32_t shard, unsigned leader,
                       act_fn fn)
{
    struct act *a = fault_when(f, aim_has_batch, fn, LOOK_US, LOOK_LIMIT_US);

    a->shard = shard;
    a->node = leader;
}

/* ---- the leader ---- */

/* It has just got an entry: cut it off with no, one or two friends.  Its clients still
 * reach it.  Twice in a row with other friends this is Figure 8. */
static void cut_leader(struct faults *f, const struct act *a)
{
    uint64_t others = fault_replicas(f, a->shard) & ~NODE_BIT(a->node);
    uint64_t side = NODE_BIT(a->node) | fault_some(f, others, fault_below(f, 3));

    fault_isolate(f, side, fault_chance(f, 15), fault_elections(f, 1));
    if (fault_chance(f, 25) && fault_may(f, FAULT_crash))
        fault_crash(f, a->node, false, SIM_KEEP_ALL, fault_elections(f, 1));
}

static void aim_figure8(struct faults *f, uint32_t shard, unsigned leader)
{
    wait_batch(f, shard, leader, cut_leader);
}

static void crash_leader(struct faults *f, const struct act *a)
{
    bool power = fault_may(f, FAULT_power) && fault_chance(f, 60);

    fault_crash(f, a->node, power, fault_any_keep(f), fault_time(f));
}

static void aim_crash_batch(struct faults *f, uint32_t shard, unsigned leader)
{
    wait_batch(f, shard, leader, crash_leader);
}

static void pause_leader(struct faults *f, const struct act *a)
{
    fault_pause(f, a->node, fault_elections(f, 3));
}

static void aim_pause_batch(struct faults *f, uint32_t shard, unsigned leader)
{
    wait_batch(f, shard, leader, pause_leader);
}

/* Asleep for longer than the others wait, with clients asking: a new leader serves
 * when it wakes. */
static void aim_pause(struct faults *f, uint32_t shard, unsigned leader)
{
    (void)shard;
    fault_pause(f, leader, fault_elections(f, 3));
}

static void aim_stall(struct faults *f, uint32_t shard, unsigned leader)
{
    (void)shard;
    if (fault_chance(f, 50))
        fault_stall_disk(f, leader, fault_elections(f, 1));
    else
        fault_stall_disk(f, leader, fault_spread(f, 100 * MS, 4 * SECOND));
}

static void aim_clock(struct faults *f, uint32_t shard, unsigned leader)
{
    int64_t ms = (int64_t)fault_spread(f, 1000, 120000);

    (void)shard;
    if (fault_may(f, FAULT_clock_back) && fault_chance(f, 60))
        fault_clock_jump(f, leader, -ms);
    else if (fault_may(f, FAULT_clock_jump))
        fault_clock_jump(f, leader, ms);
    if (fault_chance(f, 50))
        fault_transfer(f, shard, fault_one(f, fault_replicas(f, shard)));
}

/* It hears nobody, or nobody hears it. */
static void aim_deaf(struct faults *f, uint32_t shard, unsigned leader)
{
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    uint64_t us = fault_elections(f, 3);

    if (fault_chance(f, 50))
        fault_cut_way(f, others, NODE_BIT(leader), us);
    else
        fault_cut_way(f, NODE_BIT(leader), others, us);
}

/* ---- followers ---- */

static void power_follower(struct faults *f, const struct act *a)
{
    uint64_t us = fault_spread(f, 10 * MS, SECOND);

    fault_crash(f, a->node, true,
                fault_chance(f, 60) ? SIM_KEEP_NONE : SIM_KEEP_MIX, us);
    /* What it acknowledged counts for the majority: take the leader as well. */
    if (fault_chance(f, 50))
        fault_crash(f, a->other, true, SIM_KEEP_NONE, fault_elections(f, 2));
}

static void aim_unsynced(struct faults *f, uint32_t shard, unsigned leader)
{
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    unsigned follower = fault_one(f, others);
    struct act *a;

    if (follower == 0)
        return;
    a = fault_when(f, has_unsynced, power_follower, LOOK_US, LOOK_LIMIT_US);
    a->node = follower;
    a->other = leader;
}

/* The follower that is behind is all that is left beside another. */
static void aim_slow_follower(struct faults *f, uint32_t shard, unsigned leader)
{
    unsigned follower =
        fault_one(f, fault_replicas(f, shard) & ~NODE_BIT(leader));

    if (follower == 0)
        return;
    fault_stall_disk(f, follower, fault_elections(f, 2));
    wait_batch(f, shard, leader, crash_leader);
}

/* A follower comes back to messages that come twice and late: refusals of long ago
 * reach the leader when it knows better. */
static void aim_mangle(struct faults *f, uint32_t shard, unsigned leader)
{
    struct sim_mangle m = { .duplicate_ppm = 300000, .late_ppm = 300000,
                            .late_us = (uint32_t)fault_elections(f, 4) };
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    unsigned follower = fault_one(f, others);
    uint64_t us = fault_elections(f, 6);

    if (follower == 0)
        return;
    fault_mangle(f, SIM_EVERY, SIM_EVERY, m, us);
    if (fault_may(f, FAULT_crash) && fault_chance(f, 60))
        fault_crash(f, follower, false, fault_any_keep(f),
                    fault_elections(f, 1) / 2);
    else
        fault_isolate(f, NODE_BIT(leader), false, fault_elections(f, 1));
}

/* ---- between nodes ---- */

static void reset_again(struct faults *f, const struct act *a)
{
    struct act *next;

    if (a->n % 2 == 0 || !fault_may(f, FAULT_half_open))
        fault_reset(f, a->node, a->other);
    else
        fault_half_open(f, a->node, a->other, fault_time(f));
    if (a->n == 0)
        return;
    next = fault_after(f, fault_spread(f, MS, 200 * MS), reset_again);
    next->node = a->node;
    next->other = a->other;
    next->n = a->n - 1;
}

/* Requests are forwarded all the time: break what carries them. */
static void aim_forward(struct faults *f, uint32_t shard, unsigned leader)
{
    unsigned other = fault_one(f, fault_all(f) & ~NODE_BIT(leader));
    struct act *a;

    (void)shard;
    if (other == 0)
        return;
    a = fault_after(f, 0, reset_again);
    a->node = leader;
    a->other = other;
    a->n = 1 + fault_below(f, 6);
}

static void aim_all(struct faults *f, uint32_t shard, unsigned leader)
{
    (void)shard;
    (void)leader;
    fault_crash_all(f, true, fault_spread(f, 10 * MS, SECOND));
}

static void aim_any(struct faults *f, uint32_t shard, unsigned leader)
{
    (void)shard;
    fault_hit(f, leader);
}

/* ---- choosing ---- */

#define BIT(kind) (UINT64_C(1) << FAULT_##kind)
static const struct {
    aim_fn fn;
    uint64_t needs;
} aims[] = {
    { aim_figure8, BIT(isolate) },
    { aim_figure8, BIT(isolate) },
    { aim_crash_batch, BIT(crash) },
    { aim_pause_batch, BIT(pause) },
    { aim_pause, BIT(pause) },
    { aim_stall, BIT(stall_disk) },
    { aim_clock, 0 },
    { aim_deaf, BIT(one_way) },
    { aim_unsynced, BIT(power) },
    { aim_slow_follower, BIT(stall_disk) | BIT(crash) },
    { aim_mangle, BIT(duplicate) | BIT(reorder) },
    { aim_forward, BIT(reset) },
    { aim_all, BIT(power) | BIT(crash_all) },
    { aim_any, 0 },
    { aim_candidate, BIT(crash) },
    { aim_vote_split, BIT(split) },
    { aim_voter_restarts, BIT(power) },
    { aim_new_leader, BIT(crash) },
    { aim_transfer, BIT(transfer) },
    { aim_transfer, BIT(transfer) },
    { aim_change, BIT(change) },
    { aim_change, BIT(change) },
    { aim_late_word, BIT(latency) | BIT(transfer) },
    { aim_late_word, BIT(latency) | BIT(transfer) },
    { aim_two_changes, BIT(change) | BIT(isolate) },
    { aim_sole_voter, BIT(change) | BIT(power) },
    { aim_lull, BIT(duplicate) | BIT(reset) | BIT(pause) },
    { aim_lull, BIT(duplicate) | BIT(reset) | BIT(pause) },
};
#define AIMS (sizeof aims / sizeof *aims)

static void aim_next(struct faults *f, uint64_t chosen);

static void aim_act(struct faults *f, const struct act *a)
{
    uint32_t shard = fault_any_shard(f);
    unsigned leader = fault_leader(f, shard);
    unsigned i = fault_one(f, a->mask) - 1;

    if (leader != 0)
        aims[i].fn(f, shard, leader);
    aim_next(f, a->mask);
}

/* chosen: bit i + 1 for aim i. */
static void aim_next(struct faults *f, uint64_t chosen)
{
    uint64_t us = fault_spread(f, 200 * MS, 4 * SECOND);

    fault_after(f, us, aim_act)->mask = chosen;
}

void aim_start(struct faults *f)
{
    uint64_t usable = 0, chosen;
    unsigned k;

    _Static_assert(AIMS < 63, "a bit for each");
    for (unsigned i = 0; i < AIMS; i++) {
        if ((f->p->faults & aims[i].needs) == aims[i].needs)
            usable |= NODE_BIT(i + 1);
    }
    if (usable == 0)
        return;
    k = fault_chance(f, 35) ? 1 : 1 + fault_below(f, 6);
    chosen = fault_some(f, usable, k);
    aim_next(f, chosen);
    if (fault_chance(f, 40))
        aim_next(f, chosen); /* two at a time */
}
