/* The audit: what can only be asked when the run is over.
 *
 * First the replicas: a replay of the committed entries (replay.c), and no key that
 * is long past its deadline.  Then the clients: is the history linearizable?  The
 * history ends with a read of every key ever used, so a write that was acknowledged
 * and is gone, an INCR that was lost or counted twice and an APPEND out of order are
 * operations that the oracle cannot place.
 *
 * What is promised of deadlines, and so what the oracle is told:
 *
 *   Never early.  A deadline is the shard clock at the SET plus its TTL, and the key
 *   is there until the shard clock has reached it.  The shard clock is the highest
 *   time that any leader put into an entry, in whole milliseconds, so it can outrun
 *   the world's time by as much as wall clocks differ or jump, and no more: the
 *   leader's time is its wall clock or, when that was set back, goes on by the
 *   monotonic clock.  `early` is the widest difference that was seen between two wall
 *   clocks of the run (a jump differs from what was before), a millisecond for
 *   rounding, and what a monotonic clock can drift.  Without clock faults that is a
 *   millisecond.
 *
 *   Late, as late as the tick.  A read sees the key until a TICK is applied, which a
 *   leader proposes as soon as its time has passed the deadline.  That takes a ready
 *   leader whose disk and followers keep up: under faults there is no limit, and a
 *   new leader whose wall clock is behind does not count the time in which nobody
 *   led.  `late` is the whole run when there are faults, LATE_CALM_US without any;
 *   but after the faults every key that is due must go within LATE_SETTLED_MS of the
 *   leader's time, which is checked on the state machine itself. */
#include <inttypes.h>

#include "kvsim/watch.h"
#include "shard/shard_int.h"

#define MS UINT64_C(1000)
#define EARLY_ROUNDING_US (1 * MS)
#define LATE_CALM_US (2000 * MS)
#define LATE_SETTLED_MS 2000

/* ---- deadlines ---- */

static void check_deadlines(struct watch *t, unsigned shard)
{
    for (unsigned i = 1; i <= t->w->plan.nodes; i++) {
        const struct view *v = &t->shard[shard].view[i];
        int64_t now, deadline;

        if (v->group == NULL || !group_ready(v->group))
            continue;
        now = shard__time(world_shard(t->w, i, shard));
        deadline = fsm_next_deadline(v->fsm);
        if (deadline < now - LATE_SETTLED_MS)
            world_violate(t->w, VERDICT_CORRECTNESS,
                          "shard %u: node %u leads, its time is %" PRId64
                          ", and it has a key with deadline %" PRId64
                          " that no TICK has removed",
                          shard, i, now, deadline);
    }
}

struct oracle_config audit__margins(const struct watch *t)
{
    struct oracle_config cfg = oracle_defaults();
    const struct plan *p = &t->w->plan;
    uint64_t apart = (uint64_t)(t->ahead_max - t->ahead_min) * MS;
    /* A clock that drifted by d was d ahead, or behind, at the end of the run. */
    uint64_t drift = (p->faults >> FAULT_clock_drift & 1) != 0 ? apart : 0;

    ASSERT(t->ahead_min <= t->ahead_max); /* some node was looked at */
    cfg.early = apart + drift + EARLY_ROUNDING_US;
    cfg.late = p->faults == 0 ? LATE_CALM_US : ORACLE_NEVER;
    return cfg;
}

/* ---- clients ---- */

static void check_history(struct watch *t)
{
    struct oracle_config cfg = audit__margins(t);
    struct oracle_report report;

    oracle_check(t->w->history, &cfg, &report);
    t->undecided = report.undecided;
    if (report.verdict == ORACLE_VIOLATION)
        world_violate(t->w, VERDICT_CORRECTNESS, "not linearizable:\n%s",
                      report.text);
    else if (report.verdict == ORACLE_BAD_HISTORY)
        world_violate(t->w, VERDICT_CRASH, "the history is no history:\n%s",
                      report.text);
    oracle_report_close(&report);
}

void watch_audit(struct watch *t)
{
    replay__all(t);
    for (unsigned i = 0; i < t->n_shards; i++)
        check_deadlines(t, i);
    if (t->w->verdict == VERDICT_OK)
        check_history(t);
}

size_t watch_undecided(const struct watch *t)
{
    return t->undecided;
}
