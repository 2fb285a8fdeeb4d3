/* The cluster of a run: hosts, their processes, and looking into them.
 *
 * A host's process goes through
 *
 *   down --start--> serving --stop--> stopping --called back--> down
 *    ^                 |                  |
 *    |                 +---crash, power---+--> down
 *    |                 +---fatal: ends at the next event--> down, up again in 1 s
 *    +--start refused: down for ever        --start failed: up again in 1 s
 *
 * Who asked a node to stop starts it again, but once the faults are over it is the
 * world that does.
 *
 * A node reports that it failed, or has stopped, from inside one of its events.
 * Then its process may not end yet; it ends in the hook that runs after each event.
 *
 * W1  host.env is set exactly while the simulator has a process there, host.node while
 *     that process is a node that started and has not been freed.
 * W2  The node of a host runs only code of the product; whatever the simulator
 *     allocates about it belongs to the world's arena.
 * W3  A node that calls its log damaged is believed only if the faults damaged it. */
#include "kvsim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kvsim/notes.h"
#include "kvsim/parts.h"

#define DATA_DIR "/data"

/* ---- ends of a process ---- */

static void forget(struct host *h)
{
    h->env = NULL;
    h->node = NULL;
    h->look = (struct look){ .forwarded = 0 };
    h->stopping = h->exited = h->failed = false;
}

static void end(struct host *h, enum sim_keep keep, bool power)
{
    if (h->node != NULL)
        watch_stopped(h->w->watch, h->id);
    forget(h);
    if (power)
        sim_node_power_off(h->w->sim, h->id, keep);
    else
        sim_node_crash(h->w->sim, h->id, keep);
}

static const char *keep_name(enum sim_keep keep)
{
    switch (keep) {
    case SIM_KEEP_NONE:
        return "what was not synced is lost";
    case SIM_KEEP_ALL:
        return "everything written is kept";
    case SIM_KEEP_PREFIX:
        return "a prefix of what was not synced is kept";
    case SIM_KEEP_MIX:
        return "of what was not synced, some is kept";
    }
    return "?";
}

void world_crash(struct world *w, unsigned node, enum sim_keep keep)
{
    struct host *h = &w->host[node];

    if (h->env == NULL)
        return;
    world_note(w, "node %u crashes: %s", node, keep_name(keep));
    end(h, keep, false);
}

void world_power_off(struct world *w, unsigned node, enum sim_keep keep)
{
    struct host *h = &w->host[node];

    if (h->env == NULL)
        return;
    world_note(w, "node %u loses power: %s", node, keep_name(keep));
    end(h, keep, true);
}

static void on_restart(void *ctx)
{
    struct host *h = ctx;

    /* Started and ended again since: then another call is on its way, or none. */
    if (h->restart_us == 0 || h->restart_us > sim_now(h->w->sim))
        return;
    h->restart_us = 0;
    world_start(h->w, h->id);
}

static void restart_later(struct host *h)
{
    h->restart_us = sim_now(h->w->sim) + WORLD_RESTART_US;
    sim_at(h->w->sim, h->restart_us, on_restart, h);
}

static void on_exited(void *ctx)
{
    struct host *h = ctx;

    h->node = NULL; /* it freed itself */
    h->exited = true;
}

void world_stop(struct world *w, unsigned node)
{
    struct host *h = &w->host[node];

    if (!world_up(w, node))
        return;
    world_note(w, "node %u is told to stop", node);
    h->stopping = true;
    sim_enter(w->sim, node);
    node_stop(h->node, on_exited, h);
    sim_leave(w->sim);
}

/* ---- starting ---- */

static void configure(const struct world *w, unsigned node, struct config *c)
{
    const struct plan *p = &w->plan;
    int len = 0;

    config_defaults(c);
    c->node_id = node;
    for (unsigned i = 1; i <= p->nodes; i++)
        len += snprintf(c->initial_cluster + len,
                        sizeof c->initial_cluster - (size_t)len, "%s%u=%s:%u",
                        i > 1 ? "," : "", i, sim_node_host(i), WORLD_PORT);
    snprintf(c->cluster_name, sizeof c->cluster_name, "kvsim");
    snprintf(c->data_dir, sizeof c->data_dir, DATA_DIR);
    snprintf(c->bind, sizeof c->bind, "%s", sim_node_host(node));
    c->shards = p->shards;
    c->replicas = p->replicas;
    c->election_ms = p->election_ms;
    c->heartbeat_ms = p->heartbeat_ms;
    c->wal_segment_bytes = p->segment_bytes;
    c->tail_bytes = p->tail_bytes;
    c->stop_ms = WORLD_STOP_MS;
    c->ae_bytes = p->append_bytes;
    c->deadline_ms = p->deadline_ms;
    c->batches_inflight = p->batches;
}

static void on_fatal(void *ctx, const char *why)
{
    struct host *h = ctx;

    h->failed = true;
    world_note(h->w, "node %u fails: %s", h->id, why);
}

static void refuse(struct host *h)
{
    h->refused = true;
    if (h->rotted) {
        COVER(rot_refused);
        return;
    }
    world_violate(h->w, VERDICT_CORRECTNESS,
                  "node %u refuses its data, which nothing has damaged: %s",
                  h->id, h->refusal);
}

void world_start(struct world *w, unsigned node)
{
    struct host *h = &w->host[node];
    struct config cfg;
    int rv;

    ASSERT(node >= 1 && node <= w->plan.nodes);
    if (h->env != NULL || h->refused)
        return;
    configure(w, node, &cfg);
    h->lives++;
    h->env = sim_node_start(w->sim, node);
    h->env->log_level = ENV_LOG_INFO;
    world_note(w, "node %u starts, life %" PRIu64, node, h->lives);
    sim_enter(w->sim, node);
    rv = node_start(h->env, &cfg, on_fatal, h, &h->node, h->refusal,
                    sizeof h->refusal);
    sim_leave(w->sim);
    if (rv == 0) {
        /* Damage is done only where the log can tell (fault_log.c). */
        if (h->rotted)
            world_violate(w, VERDICT_CORRECTNESS,
                          "node %u starts although its log is damaged", node);
        watch_started(w->watch, node);
        return;
    }
    h->node = NULL;
    world_note(w, "node %u does not start: %s", node, h->refusal);
    end(h, SIM_KEEP_ALL, false);
    if (rv == KV_ECORRUPT)
        refuse(h);
    else
        restart_later(h);
}

bool world_up(const struct world *w, unsigned node)
{
    const struct host *h = &w->host[node];

    return h->node != NULL && !h->stopping && !h->failed;
}

/* ---- after each event ---- */

static void on_event(void *ctx)
{
    struct world *w = ctx;
    unsigned node = sim_event_node(w->sim);
    struct host *h = &w->host[node <= PLAN_NODES_MAX ? node : 0];

    if (h->env == NULL)
        return;
    if (h->failed) {
        COVER(fsync_failed);
        world_crash(w, node, SIM_KEEP_MIX);
        restart_later(h);
    } else if (h->exited) {
        COVER(stopped_in_order);
        world_note(w, "node %u has stopped", node);
        watch_stopped(w->watch, node);
        forget(h);
        sim_node_exit(w->sim, node);
        if (w->healed)
            restart_later(h);
    } else if (h->node != NULL) {
        look_node(&h->look, h->node);
        watch_node(w->watch, node);
    }
}

static void on_log(void *ctx, unsigned node, const char *line)
{
    struct world *w = ctx;

    if (node <= w->plan.nodes && w->host[node].node != NULL)
        look_line(w->host[node].node, line);
    notes_log(w->notes, sim_now(w->sim), node, line);
}

/* ---- looking in ---- */

struct shard *world_shard(struct world *w, unsigned node, uint32_t shard)
{
    struct host *h = &w->host[node];

    return h->node == NULL ? NULL : shardset_find(h->node->shards, shard);
}

struct group *world_group(struct world *w, unsigned node, uint32_t shard)
{
    struct shard *s = world_shard(w, node, shard);

    return s == NULL ? NULL : shard_group(s);
}

unsigned world_leader(struct world *w, uint32_t shard)
{
    unsigned leader = 0;
    uint64_t term = 0;

    for (unsigned i = 1; i <= w->plan.nodes; i++) {
        struct group *g = world_group(w, i, shard);

        if (g != NULL && group_role(g) == GROUP_LEADER &&
            group_term(g) > term) {
            leader = i;
            term = group_term(g);
        }
    }
    return leader;
}

unsigned world_replicas(struct world *w, uint32_t shard,
                        unsigned ret_nodes[PLAN_NODES_MAX])
{
    const struct directory_shard *s = directory_shard(w->dir, shard);

    ASSERT(s != NULL);
    ASSERT(s->n <= PLAN_NODES_MAX);
    for (unsigned i = 0; i < s->n; i++)
        ret_nodes[i] = (unsigned)s->replicas[i];
    return s->n;
}

bool world_owed(struct world *w, uint32_t shard)
{
    unsigned nodes[PLAN_NODES_MAX], live = 0;
    unsigned n = world_replicas(w, shard, nodes);

    for (unsigned i = 0; i < n; i++)
        live += !w->host[nodes[i]].refused;
    return 2 * live > n;
}

/* ---- the world ---- */

void world_violate(struct world *w, enum verdict v, const char *fmt, ...)
{
    va_list ap;

    ASSERT(v != VERDICT_OK);
    if (w->verdict != VERDICT_OK)
        return;
    w->verdict = v;
    va_start(ap, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, ap);
    va_end(ap);
    world_note(w, "VIOLATION: %s", w->why);
}

void world_note(struct world *w, const char *fmt, ...)
{
    char line[NOTE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    notes_add(w->notes, sim_now(w->sim), line);
}

void world_print_last(struct world *w, FILE *f)
{
    notes_print_last(w->notes, f);
}

static struct directory *derive(const struct world *w)
{
    struct directory *dir;
    struct config cfg;
    char why[512];

    configure(w, 1, &cfg);
    if (directory_derive(cfg.cluster_name, cfg.initial_cluster,
                         (unsigned)cfg.shards, (unsigned)cfg.replicas, &dir,
                         why, sizeof why) != 0) {
        fprintf(stderr, "kvsim: the plan is no cluster: %s\n", why);
        UNREACHABLE();
    }
    return dir;
}

struct world *world_new(const struct plan *p, FILE *trace)
{
    struct world *w = MEM_NEW(struct world);

    ASSERT(p->nodes >= 1 && p->nodes <= PLAN_NODES_MAX);
    w->plan = *p;
    w->sim = sim_new(p->seed);
    w->notes = notes_new(trace);
    w->history = history_new();
    w->dir = derive(w);
    for (unsigned i = 1; i <= p->nodes; i++) {
        w->host[i].w = w;
        w->host[i].id = i;
    }
    w->watch = watch_new(w);
    w->crowd = crowd_new(w);
    w->faults = faults_new(w);
    sim_on_event(w->sim, on_event, w);
    sim_on_log(w->sim, on_log, w);
    return w;
}

void world_free(struct world *w)
{
    sim_on_event(w->sim, NULL, NULL);
    faults_free(w->faults);
    crowd_free(w->crowd);
    watch_free(w->watch);
    sim_free(w->sim);
    directory_free(w->dir);
    history_free(w->history);
    notes_free(w->notes);
    mem_free(w);
}
