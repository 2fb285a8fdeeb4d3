/* Lifecycle of the cluster: nodes, faults, proposals, waiting, the verdict.
 *
 * A node is wired as in src/node, without its upper half: log, links and one group,
 * and a turn that runs the group set and flushes the links.  Node n of the simulator is
 * member n of the group. */
#include "scenario/cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "lib/test.h"

#define CLUSTER_ID UINT64_C(0x5ce7a110)
#define WAL_DIR "/data/wal"

struct cluster_config cluster_defaults(void)
{
    return (struct cluster_config){
        .seed = 1,
        .nodes = 3,
        .preferred = 1,
        .election_ms = 1000,
        .heartbeat_ms = 100,
        .inflight_entries = 1024,
        .ae_bytes = 256u << 10,
        .tail_bytes = 4u << 20,
        .uncommitted_bytes = 16u << 20,
        .wal_queue_bytes = 16u << 20,
        .segment_bytes = 1u << 20,
        .show = SHOW_ALL,
    };
}

/* ---- one node ---- */

static void on_turn(void *data)
{
    struct member *m = data;

    if (m->wal_failed)
        return;
    groupset_turn(m->gs);
    links_flush(m->links);
}

static void on_synced(void *ctx, uint64_t lsn)
{
    struct member *m = ctx;

    if (m->gs != NULL)
        groupset_synced(m->gs, lsn);
    env_wake(m->env);
}

static void on_failed(void *ctx, int status, const char *msg)
{
    struct member *m = ctx;

    m->wal_failed = true;
    watch_line(m->c, m->id, "log failed: %s (%s)", kv_errname(status), msg);
}

static void on_frame(void *ctx, uint64_t from, const struct frame_head *head,
                     struct slice payload)
{
    struct member *m = ctx;

    if (!m->wal_failed)
        groupset_frame(m->gs, from, head, payload);
    env_wake(m->env);
}

static void on_up(void *ctx, uint64_t peer)
{
    struct member *m = ctx;

    groupset_peer_up(m->gs, peer);
}

static void on_down(void *ctx, uint64_t peer, int reason)
{
    (void)ctx;
    (void)peer;
    (void)reason;
}

static void on_lost(void *ctx, uint64_t peer)
{
    struct member *m = ctx;

    groupset_peer_lost(m->gs, peer);
}

static void on_state(void *ctx, enum group_role role, uint64_t term,
                     uint64_t leader, bool ready)
{
    (void)ctx;
    (void)role;
    (void)term;
    (void)leader;
    (void)ready;
}

static void open_log(struct member *m)
{
    static const struct wal_ops ops = { .synced = on_synced,
                                        .failed = on_failed };
    const struct wal_config cfg = {
        .dir = WAL_DIR,
        .segment_bytes = m->c->cfg.segment_bytes,
        .cluster_id = CLUSTER_ID,
        .node_id = m->id,
        .load_bytes_max = m->c->cfg.tail_bytes,
        .sync_always = true,
        .queue_bytes_max = m->c->cfg.wal_queue_bytes,
    };
    char why[512];

    CHECK_EQ(env_mkdir(m->env, "/data"), 0);
    CHECK_EQ(env_mkdir(m->env, WAL_DIR), 0);
    CHECK_EQ(env_sync_dir(m->env, "/"), 0);
    CHECK_EQ(env_sync_dir(m->env, "/data"), 0);
    if (wal_open(m->env, &cfg, &ops, m, &m->wal, why, sizeof why) != 0)
        FAIL("node %u: %s", m->id, why);
}

static void open_links(struct member *m)
{
    static const struct links_ops ops = { .frame = on_frame, .up = on_up,
                                          .down = on_down, .lost = on_lost };
    const struct link_config cfg = {
        .cluster_id = CLUSTER_ID,
        .node_id = m->id,
        .instance_id = m->id,
        .host = "0.0.0.0",
        .port = CLUSTER_PORT,
        .queue_bytes_max = 64u << 20,
        .dial_timeout_ms = 1000,
        .retry_ms_min = 20,
        .retry_ms_max = 500,
        .ping_ms = m->c->cfg.election_ms,
    };

    CHECK_EQ(links_open(m->env, &cfg, &ops, m, &m->links), 0);
}

static void open_group(struct member *m)
{
    static const struct group_ops ops = { .apply = watch_apply,
                                          .state = on_state };
    const struct cluster_config *c = &m->c->cfg;
    const struct groupset_config cfg = {
        .node_id = m->id,
        .election_ms = c->election_ms,
        .heartbeat_ms = c->heartbeat_ms,
        .inflight_entries = c->inflight_entries,
        .ae_bytes_max = c->ae_bytes,
        .tail_bytes_max = c->tail_bytes,
        .uncommitted_bytes_max = c->uncommitted_bytes,
    };
    uint64_t voters[CLUSTER_NODES_MAX];
    char why[512];

    for (unsigned i = 0; i < c->nodes; i++)
        voters[i] = i + 1;
    m->gs = groupset_new(m->env, &cfg, m->wal, m->links);
    if (groupset_open_group(m->gs, CLUSTER_GROUP, voters, c->nodes,
                            m->id == c->preferred, &ops, m, &m->g, why,
                            sizeof why) != 0)
        FAIL("node %u: %s", m->id, why);
    sides_open(m->c, m);
    wal_loaded(m->wal);
}

void cluster_start(struct cluster *c, unsigned node)
{
    struct member *m = &c->node[node];

    ASSERT(m->env == NULL);
    m->env = sim_node_start(c->sim, node);
    m->wal_failed = false;
    sim_enter(c->sim, node);
    open_log(m);
    open_links(m);
    open_group(m);
    for (unsigned i = 1; i <= c->cfg.nodes; i++) {
        if (i != node)
            links_add(m->links, i, sim_node_host(i), CLUSTER_PORT);
    }
    env_on_turn(m->env, on_turn, m);
    env_wake(m->env);
    sim_leave(c->sim);
    watch_line(c, node, "starts");
    watch_started(m);
}

void cluster_crash(struct cluster *c, unsigned node, enum sim_keep keep)
{
    struct member *m = &c->node[node];

    ASSERT(m->env != NULL);
    watch_line(c, node, "crashes%s",
               keep == SIM_KEEP_NONE ? ", unsynced writes are lost" : "");
    watch_stopped(m);
    sim_node_crash(c->sim, node, keep);
}

void cluster_power_off(struct cluster *c, unsigned node)
{
    ASSERT(c->node[node].env != NULL);
    watch_line(c, node, "loses power");
    watch_stopped(&c->node[node]);
    sim_node_power_off(c->sim, node, SIM_KEEP_NONE);
}

static void on_closed(void *ctx)
{
    (*(unsigned *)ctx)++;
}

static bool below_two(void *ctx)
{
    return *(unsigned *)ctx < 2;
}

void cluster_stop(struct cluster *c, unsigned node)
{
    struct member *m = &c->node[node];
    unsigned closed = 0;

    ASSERT(m->env != NULL);
    watch_line(c, node, "stops");
    sim_enter(c->sim, node);
    env_on_turn(m->env, NULL, NULL);
    groupset_close(m->gs);
    m->gs = NULL;
    m->g = NULL;
    sides_stopped(m);
    links_close(m->links, on_closed, &closed);
    wal_close(m->wal, on_closed, &closed);
    sim_leave(c->sim);
    CHECK(sim_run_while(c->sim, below_two, &closed,
                        sim_now(c->sim) + 10000000));
    watch_stopped(m);
    sim_node_exit(c->sim, node);
}

/* ---- the cluster ---- */

struct cluster *cluster_new(const struct cluster_config *cfg)
{
    struct cluster *c = MEM_NEW(struct cluster);
    /* The same for any number of bytes, so that a change of a format does not
     * change the transcripts. */
    const struct sim_latency net = { 500, 0, 0 };
    const struct sim_latency write = { 50, 0, 0 }, sync = { 450, 0, 0 };

    ASSERT(cfg->nodes >= 1 && cfg->nodes <= CLUSTER_NODES_MAX);
    c->cfg = *cfg;
    c->echo = getenv("KV_SCENARIO_SHOW") != NULL;
    c->sim = sim_new(cfg->seed);
    ledger_init(&c->ledger);
    sides_init(&c->sides, cfg->sides);
    list_init(&c->readings);
    map_init(&c->streams[0]);
    map_init(&c->streams[1]);
    buf_init(&c->transcript);
    sim_net_latency(c->sim, SIM_EVERY, SIM_EVERY, net);
    sim_disk_latency(c->sim, SIM_EVERY, SIM_DISK_WRITE, write);
    sim_disk_latency(c->sim, SIM_EVERY, SIM_DISK_SYNC, sync);
    sim_on_wire(c->sim, watch_wire, c);
    sim_on_event(c->sim, watch_event, c);
    for (unsigned i = 1; i <= cfg->nodes; i++) {
        c->node[i].c = c;
        c->node[i].id = i;
        c->node[i].lives = 1;
        cluster_start(c, i);
    }
    return c;
}

static void streams_close(struct map *m)
{
    size_t it = 0;
    uint64_t id;
    struct buf *b;

    while ((b = map_next(m, &it, &id)) != NULL) {
        buf_close(b);
        mem_free(b);
    }
    map_close(m);
}

void cluster_free(struct cluster *c)
{
    sim_free(c->sim);
    for (unsigned i = 1; i <= c->cfg.nodes; i++)
        mem_free(c->node[i].seen.terms);
    streams_close(&c->streams[0]);
    streams_close(&c->streams[1]);
    while (!list_empty(&c->readings)) {
        struct reading *r = LIST_FIRST(&c->readings, struct reading, link);

        list_del(&r->link);
        mem_free(r);
    }
    ledger_close(&c->ledger);
    sides_close(&c->sides);
    buf_close(&c->transcript);
    mem_free(c->proposals);
    mem_free(c);
}

void cluster_cut(struct cluster *c, unsigned a, unsigned b)
{
    cluster_note(c, "cut n%u | n%u", a, b);
    sim_net_cut(c->sim, a, b);
    sim_net_cut(c->sim, b, a);
}

void cluster_heal(struct cluster *c, unsigned a, unsigned b)
{
    cluster_note(c, "heal n%u - n%u", a, b);
    sim_net_heal(c->sim, a, b);
    sim_net_heal(c->sim, b, a);
}

void cluster_isolate(struct cluster *c, unsigned node)
{
    cluster_note(c, "isolate n%u", node);
    sim_net_isolate(c->sim, node);
}

void cluster_heal_all(struct cluster *c)
{
    cluster_note(c, "heal everything");
    sim_net_heal(c->sim, SIM_EVERY, SIM_EVERY);
}

/* ---- clients ---- */

static struct proposal *proposal_new(struct cluster *c)
{
    if (c->n_proposals == c->cap_proposals) {
        c->cap_proposals = c->cap_proposals == 0 ? 64 : 2 * c->cap_proposals;
        c->proposals = mem_realloc(c->proposals, c->cap_proposals *
                                                     sizeof *c->proposals);
    }
    return &c->proposals[c->n_proposals++];
}

int cluster_propose(struct cluster *c, unsigned node, const char *name,
                    size_t bytes)
{
    struct member *m = &c->node[node];
    struct proposal p = { .node = node, .life = m->lives,
                          .at_us = sim_now(c->sim), .state = PROPOSAL_OPEN };
    struct blob *b;
    int rv;

    ASSERT(m->g != NULL);
    ASSERT(strlen(name) < sizeof p.name && bytes >= strlen(name));
    memcpy(p.name, name, strlen(name) + 1);
    sim_enter(c->sim, node);
    b = blob_new(bytes);
    memset(b->data, '.', bytes);
    memcpy(b->data, name, strlen(name));
    rv = group_propose(m->g, b, &p.index, &p.term);
    blob_unref(b);
    sim_leave(c->sim);
    if (rv == 0) {
        *proposal_new(c) = p;
        if ((c->cfg.show & SHOW_CLIENT) != 0)
            watch_line(c, node, "takes %s as entry %" PRIu64 " of term %" PRIu64,
                       name, p.index, p.term);
    } else if ((c->cfg.show & SHOW_CLIENT) != 0) {
        watch_line(c, node, "refuses %s: %s", name, kv_errname(rv));
    }
    watch_event(c);
    return rv;
}

void cluster_read(struct cluster *c, unsigned node, const char *name)
{
    struct reading *r = MEM_NEW(struct reading);

    ASSERT(c->node[node].g != NULL);
    ASSERT(strlen(name) < sizeof r->name);
    memcpy(r->name, name, strlen(name) + 1);
    r->c = c;
    r->node = node;
    r->must = c->max_acked;
    r->read.cb = watch_read;
    r->read.data = r;
    list_add_tail(&c->readings, &r->link);
    if ((c->cfg.show & SHOW_CLIENT) != 0)
        watch_line(c, node, "is asked to read %s", name);
    sim_enter(c->sim, node);
    group_read(c->node[node].g, &r->read, 0, 0);
    sim_leave(c->sim);
}

int cluster_transfer(struct cluster *c, unsigned node, unsigned to)
{
    int rv;

    cluster_note(c, "transfer of leadership, n%u to n%u", node, to);
    sim_enter(c->sim, node);
    rv = group_transfer(c->node[node].g, to);
    sim_leave(c->sim);
    return rv;
}

int cluster_change(struct cluster *c, unsigned node, unsigned who,
                   enum group_member role)
{
    const char *what = role == GROUP_VOTER ? "voter" : "stand-by";
    int rv;

    ASSERT(c->node[node].g != NULL);
    sim_enter(c->sim, node);
    rv = group_change(c->node[node].g, who, role);
    sim_leave(c->sim);
    if (rv == 0)
        watch_line(c, node, "makes n%u a %s", who, what);
    else
        watch_line(c, node, "refuses to make n%u a %s: %s", who, what,
                   kv_errname(rv));
    watch_event(c);
    return rv;
}

/* ---- running ---- */

double cluster_ms(const struct cluster *c)
{
    return (double)sim_now(c->sim) / 1000.0;
}

void cluster_run(struct cluster *c, unsigned ms)
{
    sim_run_until(c->sim, sim_now(c->sim) + ms * UINT64_C(1000));
}

struct waiting {
    struct cluster *c;
    cluster_cond cond;
    void *ctx;
};

static bool still_waiting(void *ctx)
{
    struct waiting *w = ctx;

    return !w->cond(w->c, w->ctx);
}

bool cluster_wait(struct cluster *c, cluster_cond cond, void *ctx,
                  unsigned limit_ms)
{
    struct waiting w = { .c = c, .cond = cond, .ctx = ctx };

    return sim_run_while(c->sim, still_waiting, &w,
                         sim_now(c->sim) + limit_ms * UINT64_C(1000));
}

struct target {
    unsigned node;
    uint64_t n;
    unsigned but; /* not this node */
};

static bool leads(struct cluster *c, void *ctx)
{
    struct target *t = ctx;

    for (unsigned i = 1; i <= c->cfg.nodes; i++) {
        struct member *m = &c->node[i];

        if ((t->node != 0 && t->node != i) || t->but == i || m->g == NULL ||
            !group_ready(m->g))
            continue;
        t->n = i;
        return true;
    }
    return false;
}

unsigned cluster_wait_leader(struct cluster *c, unsigned node,
                             unsigned limit_ms)
{
    struct target t = { .node = node };

    return cluster_wait(c, leads, &t, limit_ms) ? (unsigned)t.n : 0;
}

unsigned cluster_wait_other_leader(struct cluster *c, unsigned but,
                                   unsigned limit_ms)
{
    struct target t = { .but = but };

    return cluster_wait(c, leads, &t, limit_ms) ? (unsigned)t.n : 0;
}

static bool acked(struct cluster *c, void *ctx)
{
    return c->n_acked >= ((struct target *)ctx)->n;
}

bool cluster_wait_acked(struct cluster *c, size_t n, unsigned limit_ms)
{
    struct target t = { .n = n };

    return cluster_wait(c, acked, &t, limit_ms);
}

static bool applied(struct cluster *c, void *ctx)
{
    struct target *t = ctx;
    struct member *m = &c->node[t->node];

    return m->g != NULL && group_applied(m->g) >= t->n;
}

bool cluster_wait_applied(struct cluster *c, unsigned node, uint64_t index,
                          unsigned limit_ms)
{
    struct target t = { .node = node, .n = index };

    return cluster_wait(c, applied, &t, limit_ms);
}

static bool stored(struct cluster *c, void *ctx)
{
    struct target *t = ctx;
    struct member *m = &c->node[t->node];

    return m->g != NULL && m->g->r.last_stored >= t->n;
}

bool cluster_wait_stored(struct cluster *c, unsigned node, uint64_t index,
                         unsigned limit_ms)
{
    struct target t = { .node = node, .n = index };

    return cluster_wait(c, stored, &t, limit_ms);
}

/* ---- the end ---- */

/* A leader serves, and every node has applied its whole log. */
static bool settled(struct cluster *c, void *ctx)
{
    struct target t = { .node = 0 };
    uint64_t last;

    (void)ctx;
    if (!leads(c, &t))
        return false;
    last = group_last(c->node[t.n].g);
    for (unsigned i = 1; i <= c->cfg.nodes; i++) {
        struct member *m = &c->node[i];

        if (group_last(m->g) != last || group_applied(m->g) != last ||
            group_changing(m->g))
            return false;
    }
    return sides_settled(c);
}

static void check_acked(struct cluster *c)
{
    for (size_t i = 0; i < c->n_proposals; i++) {
        const struct proposal *p = &c->proposals[i];

        if (p->state != PROPOSAL_ACKED)
            continue;
        for (unsigned n = 1; n <= c->cfg.nodes; n++) {
            const struct member *m = &c->node[n];

            if (m->seen.applied < p->index ||
                m->seen.terms[p->index] != p->term)
                ledger_violate(&c->ledger, "%s, acknowledged as entry %" PRIu64
                               " of term %" PRIu64 ", is missing on node %u",
                               p->name, p->index, p->term, n);
        }
    }
}

void cluster_settle(struct cluster *c)
{
    cluster_heal_all(c);
    sim_disk_stall(c->sim, SIM_EVERY, 0);
    for (unsigned i = 1; i <= c->cfg.nodes; i++) {
        if (c->node[i].env == NULL)
            cluster_start(c, i);
    }
    if (!cluster_wait(c, settled, NULL, 60000))
        ledger_violate(&c->ledger, "no progress: the nodes do not agree 60 s "
                       "after all faults ended");
    else
        check_acked(c);
    cluster_note(c, "settled: %zu acknowledged", c->n_acked);
}

const char *cluster_violation(const struct cluster *c)
{
    return c->ledger.violation[0] == 0 ? sides_violation(c)
                                       : c->ledger.violation;
}
