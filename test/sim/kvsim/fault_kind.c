/* One fault of a kind, somewhere: what the swarm does, and what hits who was aimed at. */
#include "base/assert.h"
#include "kvsim/fault.h"

uint64_t fault_time(struct faults *f)
{
    return fault_spread(f, 50 * MS, 6 * SECOND);
}

uint64_t fault_elections(struct faults *f, unsigned k)
{
    uint64_t us = (uint64_t)k * f->p->election_ms * MS;

    return us + rng_below(&f->rng, us + 1);
}

/* ---- places ---- */

/* Two servers; false: there is one only. */
static bool two(struct faults *f, unsigned *ret_a, unsigned *ret_b)
{
    uint64_t pair = fault_some(f, fault_all(f), 2);

    *ret_a = fault_one(f, pair);
    *ret_b = fault_one(f, pair & ~NODE_BIT(*ret_a));
    return *ret_b != 0;
}

/* A host: mostly a server, sometimes one of clients. */
static unsigned any_host(struct faults *f)
{
    if (fault_chance(f, 25))
        return WORLD_CLIENT_HOST + fault_below(f, WORLD_CLIENT_HOSTS);
    return fault_any_node(f);
}

/* ---- network ---- */

static void begin_split(struct faults *f)
{
    unsigned n = f->p->nodes;

    if (n < 2)
        return;
    fault_isolate(f, fault_some(f, fault_all(f), 1 + fault_below(f, n / 2)),
                  fault_chance(f, 30), fault_time(f));
}

static void begin_line(struct faults *f, enum fault_kind kind)
{
    unsigned from = SIM_EVERY, to = SIM_EVERY;

    if (fault_chance(f, 70))
        from = any_host(f);
    if (fault_chance(f, 50))
        to = any_host(f);
    if (kind == FAULT_latency)
        fault_latency(f, from, to, fault_time(f));
    else if (kind == FAULT_slow_link)
        fault_slow_link(f, from, to, fault_time(f));
    else
        fault_loss(f, from, to, fault_time(f));
}

static void begin_mangle(struct faults *f, enum fault_kind kind)
{
    struct sim_mangle m = { .late_us = (uint32_t)fault_spread(f, MS,
                                                              3 * SECOND) };
    uint32_t ppm = (uint32_t)fault_spread(f, 5000, 500000);

    if (kind == FAULT_duplicate || fault_may(f, FAULT_duplicate))
        m.duplicate_ppm = ppm;
    if (kind == FAULT_reorder || fault_chance(f, 30))
        m.late_ppm = fault_may(f, FAULT_reorder) ? ppm : 0;
    fault_mangle(f, fault_chance(f, 50) ? SIM_EVERY : fault_any_node(f),
                 fault_chance(f, 50) ? SIM_EVERY : fault_any_node(f), m,
                 fault_time(f));
}

static void begin_connection(struct faults *f, enum fault_kind kind)
{
    unsigned a = fault_any_node(f), b = any_host(f);

    if (a == b)
        return;
    if (kind == FAULT_reset) {
        fault_reset(f, a, b);
    } else if (fault_chance(f, 50)) {
        fault_half_open(f, a, b, fault_time(f));
    } else {
        fault_half_open(f, b, a, fault_time(f));
    }
}

static void begin_net(struct faults *f, enum fault_kind kind)
{
    unsigned a, b;

    if (kind == FAULT_isolate) {
        if (f->p->nodes > 1)
            fault_isolate(f, NODE_BIT(fault_any_node(f)), fault_chance(f, 30),
                          fault_time(f));
    } else if (kind == FAULT_split) {
        begin_split(f);
    } else if (kind == FAULT_ring) {
        fault_ring(f, fault_time(f));
    } else if (two(f, &a, &b)) {
        if (kind == FAULT_flap)
            fault_flap(f, a, b, fault_time(f));
        else
            fault_cut_way(f, NODE_BIT(a), fault_chance(f, 50) ? NODE_BIT(b)
                                                              : fault_all(f),
                          fault_time(f));
    }
}

/* ---- nodes ---- */

static void begin_process(struct faults *f, enum fault_kind kind, unsigned node)
{
    uint64_t us = fault_time(f);

    if (kind == FAULT_crash)
        fault_crash(f, node, false, fault_chance(f, 70) ? SIM_KEEP_ALL
                                                        : fault_any_keep(f),
                    us);
    else if (kind == FAULT_crash_all)
        fault_crash_all(f, fault_chance(f, 50), us / 4);
    else if (kind == FAULT_power)
        fault_crash(f, node, true, fault_any_keep(f), us);
    else if (kind == FAULT_pause)
        fault_pause(f, node, us);
    else
        fault_stop(f, node, us);
}

static void begin_clock(struct faults *f, enum fault_kind kind, unsigned node)
{
    int64_t ms = (int64_t)fault_spread(f, 100, 60000);
    int32_t ppm = (int32_t)fault_spread(f, 100, 300000);

    if (kind == FAULT_clock_jump)
        fault_clock_jump(f, node, ms);
    else if (kind == FAULT_clock_back)
        fault_clock_jump(f, node, -ms);
    else
        fault_clock_drift(f, node, fault_chance(f, 50) ? ppm : -ppm,
                          fault_time(f));
}

static void begin_disk(struct faults *f, enum fault_kind kind, unsigned node)
{
    static const enum sim_disk_op ops[] = { SIM_DISK_WRITE, SIM_DISK_SYNC,
                                            SIM_DISK_SYNC, SIM_DISK_READ };
    uint64_t us = fault_time(f);

    if (kind == FAULT_slow_disk)
        fault_slow_disk(f, node, us);
    else if (kind == FAULT_stall_disk)
        fault_stall_disk(f, node, us);
    else if (kind == FAULT_eio)
        fault_eio(f, node, ops[fault_below(f, 4)],
                  1 + (unsigned)fault_spread(f, 1, 64));
    else if (kind == FAULT_enospc)
        fault_enospc(f, node, fault_spread(f, 64, 64 << 10), us);
    else if (kind == FAULT_rot)
        fault_rot(f, node, us);
    else
        fault_retired(f, node, us / 4);
}

/* ---- groups ---- */

static void begin_group(struct faults *f, enum fault_kind kind)
{
    uint32_t shard = fault_any_shard(f);
    unsigned to = fault_one(f, fault_replicas(f, shard));

    if (kind == FAULT_transfer)
        fault_transfer(f, shard, fault_chance(f, 20) ? 0 : to);
    else
        fault_change(f, shard, to,
                     fault_chance(f, 50) ? GROUP_VOTER : GROUP_STANDBY);
}

void fault_begin(struct faults *f, enum fault_kind kind)
{
    unsigned node = fault_any_node(f);

    switch (kind) {
    case FAULT_latency:
    case FAULT_slow_link:
    case FAULT_loss:
        begin_line(f, kind);
        break;
    case FAULT_duplicate:
    case FAULT_reorder:
        begin_mangle(f, kind);
        break;
    case FAULT_reset:
    case FAULT_half_open:
        begin_connection(f, kind);
        break;
    case FAULT_isolate:
    case FAULT_split:
    case FAULT_one_way:
    case FAULT_ring:
    case FAULT_flap:
        begin_net(f, kind);
        break;
    case FAULT_crash:
    case FAULT_crash_all:
    case FAULT_power:
    case FAULT_pause:
    case FAULT_stop:
        begin_process(f, kind, node);
        break;
    case FAULT_clock_jump:
    case FAULT_clock_back:
    case FAULT_clock_drift:
        begin_clock(f, kind, node);
        break;
    case FAULT_slow_disk:
    case FAULT_stall_disk:
    case FAULT_eio:
    case FAULT_enospc:
    case FAULT_rot:
    case FAULT_retired:
        begin_disk(f, kind, node);
        break;
    case FAULT_transfer:
    case FAULT_change:
        begin_group(f, kind);
        break;
    case FAULT_KINDS:
        UNREACHABLE();
    }
}

/* ---- hits ---- */

void fault_hit(struct faults *f, unsigned node)
{
    static const enum fault_kind kinds[] = { FAULT_crash, FAULT_power,
                                             FAULT_isolate, FAULT_pause,
                                             FAULT_stall_disk, FAULT_stop };
    enum fault_kind kind = kinds[fault_below(f, 6)];

    if (node == 0 || !fault_may(f, kind))
        return;
    if (kind == FAULT_isolate)
        fault_isolate(f, NODE_BIT(node), fault_chance(f, 20),
                      fault_elections(f, 2));
    else if (kind == FAULT_pause)
        fault_pause(f, node, fault_elections(f, 2));
    else if (kind == FAULT_stall_disk)
        fault_stall_disk(f, node, fault_elections(f, 2));
    else
        begin_process(f, kind, node);
}
