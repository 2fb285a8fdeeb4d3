/* A run from beginning to end.
 *
 *   start      every node; until every shard has a leader that serves
 *   load       clients and faults, until plan.faults_until_ms
 *   heal       the faults undo everything; within `patience` every shard that a
 *              majority of replicas holds must serve, and clients must get answers
 *   rest       the load goes on until plan.time_ms, and CALM_MS at least
 *   quiet      clients stop; all live replicas of a shard apply the same
 *   read       every key through every node
 *   audit      digests, replay, linearizability
 *
 * Patience is how long a cluster that is in order may take to serve again.  A node that
 * was told to stop may take WORLD_STOP_MS and an election or two; a process that
 * failed, or has stopped, is back after WORLD_RESTART_US; a dial whose packets
 * vanished fails after 1 s and the next one comes 0.5 s later at most; a shard then needs an
 * election, two time-outs (E..2E) each, and several when votes split.  A split
 * vote repeats with a chance of about 1/4 with seven voters, so that 10 elections in a
 * row have a chance below 1e-5 a run, and what remains is not chance: hence
 * 20 E + 5 s + WORLD_STOP_MS.  The same bound holds for the other steps that wait. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "cluster/directory.h"
#include "kvsim/parts.h"
#include "kvsim/world.h"

#define MS 1000u       /* us */
#define STEP_US 10000u /* how often a condition is looked at */
#define CALM_MS 2000u
#define SPARE_US 5000000u

static uint64_t patience(const struct world *w)
{
    return 20u * MS * (uint64_t)w->plan.election_ms + SPARE_US +
           WORLD_STOP_MS * MS;
}

static bool sound(void *ctx)
{
    const struct world *w = ctx;

    return w->verdict == VERDICT_OK;
}

/* False: something was violated. */
static bool advance(struct world *w, uint64_t t)
{
    if (sim_run_while(w->sim, sound, w, t))
        return false;
    if (t > sim_now(w->sim))
        sim_run_until(w->sim, t);
    return sound(w);
}

typedef bool (*condition)(struct world *w);

/* Run until cond holds; false: it did not within patience, or a violation. */
static bool await(struct world *w, condition cond)
{
    uint64_t limit = sim_now(w->sim) + patience(w);

    while (!cond(w)) {
        if (sim_now(w->sim) >= limit ||
            !advance(w, sim_now(w->sim) + STEP_US))
            return false;
    }
    return sound(w);
}

/* ---- facts of a shard, for a failure ---- */

static void tell_replica(struct world *w, unsigned node, uint32_t shard,
                         char *buf, size_t n)
{
    static const char *const role[] = { "follower", "candidate", "leader" };
    const struct host *h = &w->host[node];
    const struct group *g = world_group(w, node, shard);

    if (g == NULL)
        snprintf(buf, n, "\n  node %u: %s", node,
                 h->refused ? "refused" : h->env != NULL ? "stopping" : "down");
    else
        snprintf(buf, n,
                 "\n  node %u: %s%s term %" PRIu64 " leader %" PRIu64
                 " commit %" PRIu64 " applied %" PRIu64 " last %" PRIu64,
                 node, role[group_role(g)], group_ready(g) ? " (ready)" : "",
                 group_term(g), group_leader(g), group_commit(g),
                 group_applied(g), group_last(g));
}

static void stuck(struct world *w, uint32_t shard, const char *what)
{
    unsigned nodes[PLAN_NODES_MAX];
    unsigned n = world_replicas(w, shard, nodes);
    char facts[2048];
    size_t len = 0;

    facts[0] = '\0';
    for (unsigned i = 0; i < n && len < sizeof facts; i++) {
        tell_replica(w, nodes[i], shard, facts + len, sizeof facts - len);
        len += strlen(facts + len);
    }
    world_violate(w, VERDICT_LIVENESS, "shard %" PRIu32 " %s within %" PRIu64
                  " ms%s", shard, what, patience(w) / MS, facts);
}

/* ---- conditions ---- */

static bool serves(struct world *w, uint32_t shard)
{
    unsigned leader = world_leader(w, shard);

    return leader != 0 && world_up(w, leader) &&
           group_ready(world_group(w, leader, shard));
}

static bool all_serve(struct world *w)
{
    for (uint32_t i = 0; i < w->plan.shards; i++)
        if (world_owed(w, i) && !serves(w, i))
            return false;
    return true;
}

static void all_serve_failed(struct world *w)
{
    for (uint32_t i = 0; i < w->plan.shards; i++)
        if (world_owed(w, i) && !serves(w, i))
            stuck(w, i, "has no leader that serves");
}

static bool clients_served(struct world *w)
{
    return crowd_served(w->crowd);
}

static bool settled(struct world *w)
{
    return watch_settled(w->watch);
}

/* The leader's log ends higher than what some live replica applied. */
static bool level(struct world *w, uint32_t shard)
{
    unsigned nodes[PLAN_NODES_MAX], leader = world_leader(w, shard);
    unsigned n = world_replicas(w, shard, nodes);
    uint64_t last;

    if (leader == 0)
        return false;
    last = group_last(world_group(w, leader, shard));
    for (unsigned i = 0; i < n; i++) {
        const struct group *g = world_group(w, nodes[i], shard);

        if (g == NULL ? !w->host[nodes[i]].refused : group_applied(g) != last)
            return false;
    }
    return true;
}

static void settled_failed(struct world *w)
{
    for (uint32_t i = 0; i < w->plan.shards; i++)
        if (world_owed(w, i) && !level(w, i))
            stuck(w, i, "has replicas that did not catch up");
    world_violate(w, VERDICT_LIVENESS, "the replicas did not settle");
}

static bool idle(struct world *w)
{
    return crowd_idle(w->crowd);
}

static bool all_read(struct world *w)
{
    return crowd_read_all_done(w->crowd);
}

/* ---- phases ---- */

static bool begin(struct world *w)
{
    for (unsigned i = 1; i <= w->plan.nodes; i++)
        world_start(w, i);
    if (await(w, all_serve))
        return true;
    all_serve_failed(w);
    return false;
}

static bool load(struct world *w)
{
    uint64_t until = w->plan.faults_until_ms * MS;

    crowd_start(w->crowd);
    faults_start(w->faults);
    return until <= sim_now(w->sim) || advance(w, until);
}

static bool recover(struct world *w)
{
    uint64_t healed;

    world_note(w, "the faults are over");
    w->healed = true;
    faults_heal(w->faults);
    for (unsigned i = 1; i <= w->plan.nodes; i++)
        world_start(w, i);
    healed = sim_now(w->sim);
    if (!await(w, all_serve)) {
        all_serve_failed(w);
        return false;
    }
    w->recovered_us = sim_now(w->sim) - healed;
    world_note(w, "all shards serve again after %" PRIu64 " ms",
               w->recovered_us / MS);
    crowd_expect(w->crowd);
    if (await(w, clients_served))
        return true;
    world_violate(w, VERDICT_LIVENESS,
                  "every shard has a leader that serves, but within %" PRIu64
                  " ms some client got no answer", patience(w) / MS);
    return false;
}

static bool rest(struct world *w)
{
    uint64_t until = sim_now(w->sim) + CALM_MS * MS;

    if (until < w->plan.time_ms * MS)
        until = w->plan.time_ms * MS;
    return advance(w, until);
}

static bool quiet(struct world *w)
{
    crowd_stop(w->crowd);
    world_note(w, "the clients stop");
    if (!await(w, idle)) {
        world_violate(w, VERDICT_LIVENESS, "operations stay open");
        return false;
    }
    if (!await(w, settled)) {
        settled_failed(w);
        return false;
    }
    return true;
}

static bool read_all(struct world *w)
{
    world_note(w, "every key is read through every node");
    crowd_read_all(w->crowd);
    if (await(w, all_read))
        return true;
    world_violate(w, VERDICT_LIVENESS,
                  "some key could not be read within %" PRIu64 " ms, though "
                  "nothing is wrong any more", patience(w) / MS);
    return false;
}

void world_run(struct world *w)
{
    if (begin(w) && load(w) && recover(w) && rest(w) && quiet(w) &&
        read_all(w))
        watch_audit(w->watch);
}
