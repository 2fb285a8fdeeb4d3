/* Means: processes, disks, clocks.
 *
 * Budget.  What was synced and then rots is gone: on more than a minority of a shard's
 * replicas it would legitimately lose what was acknowledged.  So at most (r - 1) / 2
 * nodes of a run rot, where r is the number of replicas; none if r is 1.  Everything
 * else may happen to all nodes at once: what was synced survives a loss of power. */
#include "base/assert.h"
#include "kvsim/fault.h"

/* ---- ends of processes ---- */

enum sim_keep fault_any_keep(struct faults *f)
{
    static const enum sim_keep keep[] = { SIM_KEEP_NONE, SIM_KEEP_NONE,
                                          SIM_KEEP_ALL, SIM_KEEP_PREFIX,
                                          SIM_KEEP_MIX, SIM_KEEP_MIX };

    return keep[fault_below(f, sizeof keep / sizeof *keep)];
}

static void restart(struct faults *f, const struct act *a)
{
    if (sim_node_up(f->sim, a->node))
        return;
    fault_log_note_torn(f, a->node);
    world_start(f->w, a->node);
}

/* Whom does this end hit? */
static void note_crash(struct faults *f, unsigned node)
{
    for (uint32_t shard = 0; shard < f->p->shards; shard++) {
        const struct group *g = world_group(f->w, node, shard);
        unsigned leader = world_leader(f->w, shard);
        const struct group *lg = world_group(f->w, leader, shard);

        if (g == NULL)
            continue;
        if (group_role(g) == GROUP_LEADER) {
            COVER(leader_crashed);
            if (group_changing(g))
                COVER(change_in_flight_crash);
            if (group_last(g) > group_commit(g))
                COVER(leader_crashed_with_batch);
        }
        if (group_role(g) == GROUP_CANDIDATE)
            COVER(candidate_crashed);
        if (lg != NULL && leader != node && group_transferring(lg) &&
            f->transfer_to[shard] == node)
            COVER(transfer_target_crashed);
    }
}

static bool nobody_is_up(const struct faults *f)
{
    for (unsigned i = 1; i <= f->p->nodes; i++) {
        if (sim_node_up(f->sim, i))
            return false;
    }
    return true;
}

/* Of a process that is about to end.  One that is closing has no log any more. */
static void note_recycled(const struct node *n)
{
    struct wal_stats stats;

    if (n == NULL || n->stage >= NODE_CLOSING)
        return;
    wal_get_stats(n->wal, &stats);
    cover_counts[COVER_segment_recycled] += stats.recycled;
}

static bool end(struct faults *f, unsigned node, bool power,
                enum sim_keep keep)
{
    if (!sim_node_up(f->sim, node))
        return false;
    note_crash(f, node);
    note_recycled(f->w->host[node].node);
    if (power)
        world_power_off(f->w, node, keep);
    else
        world_crash(f->w, node, keep);
    f->paused_until[node] = 0;
    if (nobody_is_up(f))
        COVER(all_crashed);
    return true;
}

void fault_crash(struct faults *f, unsigned node, bool power,
                 enum sim_keep keep, uint64_t down_us)
{
    if (end(f, node, power, keep))
        fault_after(f, down_us, restart)->node = node;
}

void fault_crash_all(struct faults *f, bool power, uint64_t down_us)
{
    for (unsigned i = 1; i <= f->p->nodes; i++)
        fault_crash(f, i, power, power ? fault_any_keep(f) : SIM_KEEP_ALL,
                    down_us + fault_below(f, SECOND));
}

static bool has_ended(struct faults *f, const struct act *a)
{
    return !sim_node_up(f->sim, a->node);
}

static void restart_later(struct faults *f, const struct act *a)
{
    fault_after(f, a->n, restart)->node = a->node;
}

void fault_stop(struct faults *f, unsigned node, uint64_t down_us)
{
    struct act *a;

    if (!world_up(f->w, node))
        return;
    world_stop(f->w, node);
    a = fault_when(f, has_ended, restart_later, 20 * MS, 30 * SECOND);
    a->node = node;
    a->n = down_us;
}

void fault_pause(struct faults *f, unsigned node, uint64_t us)
{
    uint64_t until = sim_now(f->sim) + us;
    uint64_t last = f->p->faults_until_ms * MS;

    if (until > last)
        until = last;
    if (!sim_node_up(f->sim, node) || until <= f->paused_until[node])
        return;
    world_note(f->w, "node %u is paused for %ju us", node, (uintmax_t)us);
    for (uint32_t i = 0; i < f->p->shards; i++) {
        if (us > 2 * MS * f->p->election_ms && fault_leader(f, i) == node)
            COVER(leader_paused);
    }
    f->paused_until[node] = until;
    sim_node_pause(f->sim, node, until);
}

/* ---- disks ---- */

void fault_stall_disk(struct faults *f, unsigned node, uint64_t us)
{
    world_note(f->w, "disk of node %u stalls for %ju us", node, (uintmax_t)us);
    sim_disk_stall(f->sim, node, sim_now(f->sim) + us);
    if (us > SECOND)
        COVER(slow_fsync);
}

static void disk_usual(struct faults *f, unsigned node)
{
    sim_disk_latency(f->sim, node, SIM_DISK_SYNC, f->usual_sync);
    sim_disk_spikes(f->sim, node, 0, 0);
}

static void slow_disk_end(struct faults *f, const struct act *a)
{
    disk_usual(f, a->node);
}

void fault_slow_disk(struct faults *f, unsigned node, uint64_t us)
{
    uint32_t sync = (uint32_t)fault_spread(f, 2 * MS, 300 * MS);

    world_note(f->w, "disk of node %u is slow: %u us a sync", node, sync);
    sim_disk_latency(f->sim, node, SIM_DISK_SYNC,
                     (struct sim_latency){ sync / 2, sync, 0 });
    sim_disk_spikes(f->sim, node, (uint32_t)fault_spread(f, 1000, 100000),
                    (uint32_t)fault_spread(f, 100 * MS, 3 * SECOND));
    fault_after(f, us, slow_disk_end)->node = node;
}

void fault_eio(struct faults *f, unsigned node, enum sim_disk_op op,
               unsigned nth)
{
    world_note(f->w, "operation %u of kind %d on the disk of node %u will fail",
               nth, (int)op, node);
    sim_disk_fail(f->sim, node, op, nth, KV_EIO);
}

static void enospc_end(struct faults *f, const struct act *a)
{
    world_note(f->w, "the disk of node %u has room again", a->node);
    sim_disk_capacity(f->sim, a->node, 0);
}

static bool is_full(struct faults *f, const struct act *a)
{
    return f->w->host[a->node].failed || !sim_node_up(f->sim, a->node);
}

static void note_full(struct faults *f, const struct act *a)
{
    (void)f;
    (void)a;
    COVER(disk_full);
}

void fault_enospc(struct faults *f, unsigned node, uint64_t room, uint64_t us)
{
    uint64_t used = sim_disk_used(f->sim, node);
    struct act *a;

    world_note(f->w, "the disk of node %u has room for %ju bytes", node,
               (uintmax_t)room);
    sim_disk_capacity(f->sim, node, used + room);
    fault_after(f, us, enospc_end)->node = node;
    if (!sim_node_up(f->sim, node))
        return;
    a = fault_when(f, is_full, note_full, 10 * MS, us);
    a->node = node;
}

void fault_rot(struct faults *f, unsigned node, uint64_t down_us)
{
    unsigned most = (f->p->replicas - 1) / 2;

    if (f->changed || f->rotten >= most || f->w->host[node].rotted ||
        !end(f, node, false, SIM_KEEP_ALL))
        return;
    if (fault_log_rot(f, node)) {
        f->rotten++;
        f->w->host[node].rotted = true;
    }
    fault_after(f, down_us, restart)->node = node;
}

void fault_retired(struct faults *f, unsigned node, uint64_t down_us)
{
    if (!end(f, node, false, SIM_KEEP_ALL))
        return;
    fault_log_retire(f, node);
    fault_after(f, down_us, restart)->node = node;
}

/* ---- clocks ---- */

void fault_clock_jump(struct faults *f, unsigned node, int64_t ms)
{
    world_note(f->w, "wall clock of node %u jumps by %jd ms", node,
               (intmax_t)ms);
    for (uint32_t i = 0; i < f->p->shards; i++) {
        if (ms < -1000 && fault_leader(f, i) == node)
            COVER(clock_went_back);
    }
    sim_clock_jump(f->sim, node, ms);
}

static void drift_end(struct faults *f, const struct act *a)
{
    sim_clock_drift(f->sim, a->node, 0);
}

void fault_clock_drift(struct faults *f, unsigned node, int32_t ppm,
                       uint64_t us)
{
    world_note(f->w, "clocks of node %u are %d ppm fast", node, ppm);
    sim_clock_drift(f->sim, node, ppm);
    fault_after(f, us, drift_end)->node = node;
}

/* ---- leadership ---- */

bool fault_transfer(struct faults *f, uint32_t shard, unsigned to)
{
    unsigned leader = fault_leader(f, shard);
    int rv;

    if (leader == 0 || to == leader)
        return false;
    sim_enter(f->sim, leader);
    rv = group_transfer(world_group(f->w, leader, shard), to);
    sim_leave(f->sim);
    if (rv != 0)
        return false;
    world_note(f->w, "shard %u: leader %u hands over to %u", shard, leader, to);
    f->transfer_to[shard] = to;
    return true;
}

bool fault_change(struct faults *f, uint32_t shard, unsigned node,
                  enum group_member role)
{
    unsigned leader = fault_leader(f, shard);
    int rv;

    if (leader == 0 || f->rotten > 0)
        return false;
    sim_enter(f->sim, leader);
    rv = group_change(world_group(f->w, leader, shard), node, role);
    sim_leave(f->sim);
    if (rv != 0)
        return false;
    f->changed = true;
    world_note(f->w, "shard %u: leader %u makes %u a %s", shard, leader, node,
               role == GROUP_VOTER ? "voter" : "stand-by");
    return true;
}

void fault_node_heal(struct faults *f)
{
    for (unsigned i = 1; i <= f->p->nodes; i++) {
        disk_usual(f, i);
        sim_disk_stall(f->sim, i, 0);
        sim_disk_capacity(f->sim, i, 0);
        for (int op = 0; op < SIM_DISK_OPS; op++)
            sim_disk_fail(f->sim, i, (enum sim_disk_op)op, 0, KV_EIO);
        sim_clock_drift(f->sim, i, 0);
        note_recycled(f->w->host[i].node);
    }
}
