/* Scripts: what happens to whole clusters in textbooks, bug reports and data centres.
 * A run follows one, round after round, with chance in the details. */
#include "base/assert.h"
#include "kvsim/fault.h"
#include "store/wal.h"

#define LOOK_US 200u
#define BIT(kind) (UINT64_C(1) << FAULT_##kind)

typedef void (*script_fn)(struct faults *f, uint32_t shard, unsigned leader,
                          uint64_t round);

/* ---- Figure 8 of the Raft paper ---- */

/* Leaders that crash or are cut off before what they put on their logs is on a
 * majority, and come back after the next one did the same. */
static void f8_strike(struct faults *f, const struct act *a)
{
    uint64_t others = fault_replicas(f, a->shard) & ~NODE_BIT(a->node);
    uint64_t us = fault_elections(f, 3);

    fault_isolate(f, NODE_BIT(a->node) |
                         fault_some(f, others, fault_below(f, 3)),
                  false, us / 2);
    if (fault_chance(f, 60))
        fault_crash(f, a->node, false, fault_any_keep(f), us);
}

static void figure8(struct faults *f, uint32_t shard, unsigned leader,
                    uint64_t round)
{
    struct act *a = fault_when(f, aim_has_batch, f8_strike, LOOK_US,
                               300 * MS);

    (void)round;
    a->shard = shard;
    a->node = leader;
}

/* ---- those who come back ---- */

/* A follower that is cut off raises its term, or would without pre-votes; on its
 * return it must not depose a leader for nothing, nor stay outside. */
static void rejoin(struct faults *f, uint32_t shard, unsigned leader,
                   uint64_t round)
{
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    uint64_t who = fault_some(f, others, 1), us = fault_elections(f, 4);

    if (who == 0)
        return;
    if (round % 3 == 2)
        fault_cut_way(f, fault_all(f) & ~who, who, us);
    else
        fault_isolate(f, who, false, us);
}

/* The leader of a minority goes on accepting writes, and must drop them. */
static void minority(struct faults *f, uint32_t shard, unsigned leader,
                     uint64_t round)
{
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    unsigned friends = (f->p->replicas - 1) / 2;

    fault_isolate(f, NODE_BIT(leader) |
                         fault_some(f, others, fault_below(f, friends + 1)),
                  round % 4 == 3, fault_elections(f, 3));
}

/* ---- whole clusters ---- */

static void blackout(struct faults *f, uint32_t shard, unsigned leader,
                     uint64_t round)
{
    (void)shard;
    (void)leader;
    fault_crash_all(f, round % 3 != 2, fault_spread(f, 10 * MS, SECOND));
}

static void rolling(struct faults *f, uint32_t shard, unsigned leader,
                    uint64_t round)
{
    (void)shard;
    (void)leader;
    fault_stop(f, 1 + (unsigned)(round % f->p->nodes),
               fault_spread(f, 50 * MS, SECOND));
}

/* ---- connections ---- */

static void half_open(struct faults *f, uint32_t shard, unsigned leader,
                      uint64_t round)
{
    unsigned other = fault_one(f, fault_all(f) & ~NODE_BIT(leader));

    (void)shard;
    if (round % 3 == 2)
        other = WORLD_CLIENT_HOST + fault_below(f, WORLD_CLIENT_HOSTS);
    if (other == 0)
        return;
    if (fault_chance(f, 50))
        fault_half_open(f, leader, other, fault_time(f));
    else
        fault_half_open(f, other, leader, fault_time(f));
}

/* Messages twice, late and crosswise, with a leader that changes. */
static void storm(struct faults *f, uint32_t shard, unsigned leader,
                  uint64_t round)
{
    struct sim_mangle m = { .duplicate_ppm = 200000, .late_ppm = 200000,
                            .late_us = (uint32_t)fault_elections(f, 3) };

    fault_mangle(f, SIM_EVERY, SIM_EVERY, m, fault_elections(f, 6));
    if (round % 2 == 0)
        fault_transfer(f, shard, fault_one(f, fault_replicas(f, shard)));
    else
        fault_isolate(f, NODE_BIT(leader), false, fault_elections(f, 1));
}

/* ---- disks ---- */

/* All followers but one are slow to sync; then the leader goes. */
static void slow_majority(struct faults *f, uint32_t shard, unsigned leader,
                          uint64_t round)
{
    uint64_t others = fault_replicas(f, shard) & ~NODE_BIT(leader);
    uint64_t quick = fault_some(f, others, 1);

    for (unsigned i = 1; i <= f->p->nodes; i++) {
        if ((others & ~quick & NODE_BIT(i)) != 0)
            fault_stall_disk(f, i, fault_spread(f, 100 * MS, 3 * SECOND));
    }
    if (round % 2 == 1 && fault_may(f, FAULT_crash))
        fault_crash(f, leader, true, fault_any_keep(f),
                    fault_elections(f, 3));
}

static void full_disk(struct faults *f, uint32_t shard, unsigned leader,
                      uint64_t round)
{
    unsigned follower = fault_one(f, fault_replicas(f, shard));

    fault_enospc(f, round % 2 == 0 ? leader : follower,
                 fault_spread(f, 64, 16 << 10), fault_time(f));
}

/* ---- clocks ---- */

/* Keys with a deadline, and leaders that do not agree on the hour. */
static void clocks(struct faults *f, uint32_t shard, unsigned leader,
                   uint64_t round)
{
    int64_t ms = (int64_t)fault_spread(f, 1500, 600000);

    fault_clock_jump(f, leader, round % 2 == 0 ? -ms : ms / 16);
    fault_transfer(f, shard, fault_one(f, fault_replicas(f, shard)));
}

/* ---- the log's own moments ---- */

static bool near_rotation(struct faults *f, const struct act *a)
{
    struct host *h = &f->w->host[a->node];
    uint64_t bytes = f->p->segment_bytes;

    return h->node != NULL && h->node->stage < NODE_CLOSING &&
           wal_end(h->node->wal) % bytes > bytes - bytes / 6;
}

/* Crash it again and again while its log turns over a leaf. */
static void crash_loop(struct faults *f, const struct act *a)
{
    struct act *next;

    if (sim_node_up(f->sim, a->node))
        fault_crash(f, a->node, fault_chance(f, 70), fault_any_keep(f),
                    fault_spread(f, MS, 50 * MS));
    if (a->n == 0)
        return;
    next = fault_after(f, fault_spread(f, 20 * MS, 600 * MS), crash_loop);
    next->node = a->node;
    next->n = a->n - 1;
}

static void rotation(struct faults *f, uint32_t shard, unsigned leader,
                     uint64_t round)
{
    struct act *a;

    (void)shard;
    if (fault_chance(f, 20))
        fault_retired(f, fault_any_node(f), 50 * MS);
    a = fault_when(f, near_rotation, crash_loop, MS, 4 * SECOND);
    a->node = round % 2 == 0 ? leader : fault_any_node(f);
    a->n = 2 + fault_below(f, 6);
}

/* ---- configurations ---- */

static void changes(struct faults *f, uint32_t shard, unsigned leader,
                    uint64_t round)
{
    (void)round;
    aim_change(f, shard, leader);
}

/* ---- reads ---- */

static void late_word(struct faults *f, uint32_t shard, unsigned leader,
                      uint64_t round)
{
    (void)round;
    aim_late_word(f, shard, leader);
}

/* ---- several accidents ---- */

static void sole_voter(struct faults *f, uint32_t shard, unsigned leader,
                       uint64_t round)
{
    if (round % 3 == 2) /* and back: stand-bys become voters */
        aim_change(f, shard, leader);
    else
        aim_sole_voter(f, shard, leader);
}

static void two_changes(struct faults *f, uint32_t shard, unsigned leader,
                        uint64_t round)
{
    if (round % 3 == 2)
        aim_change(f, shard, leader);
    else
        aim_two_changes(f, shard, leader);
}

static void lull(struct faults *f, uint32_t shard, unsigned leader,
                 uint64_t round)
{
    (void)round;
    aim_lull(f, shard, leader);
}

/* ---- choosing ---- */

static const struct {
    script_fn fn;
    uint64_t needs;
    uint32_t pause_ms; /* between rounds, about */
} scripts[] = {
    { figure8, BIT(isolate) | BIT(crash), 500 },
    { rejoin, BIT(isolate) | BIT(one_way), 2500 },
    { minority, BIT(isolate), 2000 },
    { blackout, BIT(power) | BIT(crash_all), 5000 },
    { rolling, BIT(stop), 2500 },
    { half_open, BIT(half_open), 800 },
    { storm, BIT(duplicate) | BIT(reorder) | BIT(isolate), 3000 },
    { slow_majority, BIT(stall_disk), 2500 },
    { full_disk, BIT(enospc), 3000 },
    { clocks, BIT(clock_back) | BIT(clock_jump), 3000 },
    { rotation, BIT(power) | BIT(retired), 4000 },
    { changes, BIT(change), 2000 },
    { late_word, BIT(latency) | BIT(transfer), 400 },
    { late_word, BIT(latency) | BIT(transfer), 400 },
    { two_changes, BIT(change) | BIT(isolate), 3000 },
    { sole_voter, BIT(change) | BIT(power), 2000 },
    { lull, BIT(duplicate) | BIT(reset) | BIT(pause), 3000 },
    { lull, BIT(duplicate) | BIT(reset) | BIT(pause), 3000 },
};
#define SCRIPTS (sizeof scripts / sizeof *scripts)

static void play(struct faults *f, const struct act *a)
{
    uint32_t shard = fault_any_shard(f);
    unsigned leader = fault_leader(f, shard), i = a->node;
    uint64_t pause = (uint64_t)scripts[i].pause_ms * MS;
    struct act *next;

    if (leader != 0)
        scripts[i].fn(f, shard, leader, a->n);
    next = fault_after(f, pause / 2 + rng_below(&f->rng, pause), play);
    next->node = i;
    next->n = a->n + 1;
}

void script_start(struct faults *f)
{
    for (unsigned k = 0; k < SCRIPTS; k++) {
        unsigned i = (f->p->script + k) % SCRIPTS;

        if ((f->p->faults & scripts[i].needs) != scripts[i].needs)
            continue;
        fault_after(f, 0, play)->node = i;
        return;
    }
}
