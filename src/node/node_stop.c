/* Graceful stop.
 *
 *   RUNNING --node_stop--> DRAINING --idle or timeout--> HANDOVER
 *     --no group led here, or timeout--> CLOSING (server, then log, then links)
 *     --> CLOSED (everything freed, callback)
 *
 * DRAINING takes no new connections and commands and waits until none is in
 * flight; whatever is left at the timeout is failed by the router with UNKNOWN or
 * CLUSTERDOWN, never silently.  HANDOVER comes after, so that what was in flight
 * did not need to be retried; each group is handed over once.  Steps are taken in turns: each layer wakes the
 * turn when something finished; the timer only bounds the wait. */
#include "node/node_int.h"

#include "base/assert.h"
#include "base/mem.h"
#include "env/log.h"

static void on_links_closed(void *ctx)
{
    struct node *n = ctx;
    env_close_cb cb = n->stop_cb;
    void *cb_ctx = n->stop_ctx;

    shardset_close(n->shards);
    groupset_close(n->groups);
    router_free(n->router);
    env_close(n->env, n->lock);
    env_timer_stop(&n->stop_timer);
    log_event(n->env, ENV_LOG_INFO, "node", "stopped", "node=%llu",
              (unsigned long long)n->self.node_id);
    n->stage = NODE_CLOSED;
    node__free(n);
    cb(cb_ctx);
}

static void on_wal_closed(void *ctx)
{
    struct node *n = ctx;

    links_close(n->links, on_links_closed, n);
}

static void on_server_closed(void *ctx)
{
    struct node *n = ctx;

    wal_close(n->wal, on_wal_closed, n);
}

static void begin_closing(struct node *n)
{
    n->stage = NODE_CLOSING;
    env_timer_stop(&n->stop_timer);
    server_flush(n->server);
    server_close(n->server, on_server_closed, n);
}

/* Is any other replica of shard connected?  Without one there is nobody to hand
 * leadership to: the last nodes of a cluster that stops need not wait. */
static bool heir_is_up(const struct node *n, uint32_t shard)
{
    const struct directory_shard *d = directory_shard(n->dir, shard);

    for (unsigned i = 0; i < d->n; i++)
        if (d->replicas[i] != n->self.node_id &&
            links_is_up(n->links, d->replicas[i]))
            return true;
    return false;
}

/* Ask group g of a shard to move.  False: it stays here.  What came back is kept:
 * all nodes may be stopping, and would hand it to each other without end. */
static bool hand_over(struct node *n, uint32_t shard, struct group *g)
{
    uint64_t *term = &n->handed_term[shard];

    if (*term != 0 && *term != group_term(g))
        return false;
    if (group_transferring(g))
        return true;
    if (group_transfer(g, 0) == KV_EINVAL)
        return false;
    *term = group_term(g);
    return true;
}

/* Ask every group led here to move; true when none is left that could. */
static bool handover(struct node *n)
{
    bool done = true;

    for (uint32_t i = 0; i < directory_n_shards(n->dir); i++) {
        struct shard *s = shardset_find(n->shards, i);
        struct group *g = s != NULL ? shard_group(s) : NULL;

        if (g == NULL || group_role(g) != GROUP_LEADER || !heir_is_up(n, i))
            continue;
        if (hand_over(n, i, g))
            done = false;
    }
    return done;
}

static void begin_handover(struct node *n)
{
    n->stage = NODE_HANDOVER;
    n->handed_term =
        mem_calloc(directory_n_shards(n->dir), sizeof *n->handed_term);
    router_stop(n->router);
    server_flush(n->server);
    env_timer_set(&n->stop_timer,
                  env_now_ms(n->env) +
                      n->cfg.election_ms * STOP_HANDOVER_ELECTIONS);
    env_wake(n->env);
}

void node__stop_step(struct node *n)
{
    if (n->stage == NODE_DRAINING && server_idle(n->server) &&
        router_idle(n->router))
        begin_handover(n);
    else if (n->stage == NODE_HANDOVER && handover(n))
        begin_closing(n);
}

static void on_stop_timer(struct env_timer *t)
{
    struct node *n = t->data;

    if (n->stage == NODE_DRAINING) {
        log_event(n->env, ENV_LOG_WARN, "node",
                  "work still in flight at stop.timeout is failed", "waited=%llu",
                  (unsigned long long)n->cfg.stop_ms);
        begin_handover(n);
    } else if (n->stage == NODE_HANDOVER) {
        log_event(n->env, ENV_LOG_WARN, "node",
                  "stopping while still leader of some shards", "node=%llu",
                  (unsigned long long)n->self.node_id);
        begin_closing(n);
    }
}

void node_stop(struct node *n, env_close_cb cb, void *ctx)
{
    ASSERT(n->stage == NODE_RUNNING);
    n->stage = NODE_DRAINING;
    n->stop_cb = cb;
    n->stop_ctx = ctx;
    env_timer_stop(&n->balance_timer);
    env_timer_init(n->env, &n->stop_timer, on_stop_timer, n);
    env_timer_set(&n->stop_timer, env_now_ms(n->env) + n->cfg.stop_ms);
    server_drain(n->server);
    log_event(n->env, ENV_LOG_INFO, "node", "stopping", "node=%llu",
              (unsigned long long)n->self.node_id);
    env_wake(n->env);
}
