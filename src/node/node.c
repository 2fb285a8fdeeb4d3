/* Wiring of one node, and its turn.
 *
 * The turn is the heartbeat of the product: whatever the callbacks of a loop
 * iteration brought in is carried through all layers in one order, so that one
 * write, one fsync and one gathered send a peer serve everything.
 *
 *   router_turn     requests that wait for a leader or a retry go to shards
 *   shardset_turn   each shard's writes become one entry, proposed
 *   groupset_turn   timers, log write, messages, apply, reads
 *   router_flush    forwarded requests and results become frames
 *   links_flush     one gathered write a peer
 *   server_flush    one gathered write a client
 *
 * Start order: lock, directory, identity, log (recovery), links, groups and
 * shards, router, server; a failure undoes in reverse. */
#include "node/node_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cluster/ring.h"
#include "env/log.h"

/* Longest path built from data-dir and a file name. */
#define NODE_PATH_MAX 1100u

static void on_turn(void *data)
{
    struct node *n = data;

    if (n->stage < NODE_CLOSING && !n->failed) {
        router_turn(n->router);
        shardset_turn(n->shards);
        groupset_turn(n->groups);
        router_flush(n->router);
        links_flush(n->links);
        server_flush(n->server);
    }
    if (n->stage != NODE_RUNNING)
        node__stop_step(n);
}

/* ---- what the layers below report ---- */

static void fail(struct node *n, int status, const char *msg)
{
    if (n->failed)
        return;
    n->failed = true;
    log_event(n->env, ENV_LOG_ERROR, "node", "the log failed, stopping",
              "error=%s detail=\"%s\"", kv_errname(status), msg);
    n->fatal(n->fatal_ctx, msg);
}

static void on_synced(void *ctx, uint64_t lsn)
{
    struct node *n = ctx;
    int rv;

    if (n->failed)
        return;
    if (!n->begun) {
        rv = identity_mark_log_begun(n->env, n->cfg.data_dir);
        if (rv != 0) {
            fail(n, rv, "cannot write the file 'begun' in data-dir");
            return;
        }
        n->begun = true;
    }
    if (n->groups != NULL && n->stage < NODE_CLOSING)
        groupset_synced(n->groups, lsn);
    env_wake(n->env);
}

static void on_wal_failed(void *ctx, int status, const char *msg)
{
    fail(ctx, status, msg);
}

static void on_frame(void *ctx, uint64_t from, const struct frame_head *head,
                     struct slice payload)
{
    struct node *n = ctx;

    if (n->stage >= NODE_CLOSING || n->failed)
        return;
    switch (head->kind) {
    case FRAME_RAFT:
    case FRAME_READ_PROBE:
    case FRAME_READ_ACK:
        groupset_frame(n->groups, from, head, payload);
        break;
    case FRAME_FORWARD:
    case FRAME_FORWARD_RESULT:
        router_frame(n->router, from, head, payload);
        break;
    default:
        /* A newer node's: it learns from our version not to send it. */
        log_event(n->env, ENV_LOG_DEBUG, "node", "frame of unknown kind",
                  "peer=%" PRIu64 " kind=%u", from, head->kind);
        break;
    }
    env_wake(n->env);
}

static unsigned node_position(const struct node *n, uint64_t id)
{
    unsigned i = 0;

    while (directory_node_at(n->dir, i)->id != id) {
        i++;
        ASSERT(i < directory_n_nodes(n->dir));
    }
    return i;
}

static void on_up(void *ctx, uint64_t peer)
{
    struct node *n = ctx;

    n->peer_up_ms[node_position(n, peer)] = env_now_ms(n->env);
    log_event(n->env, ENV_LOG_INFO, "node", "peer up", "peer=%" PRIu64, peer);
    if (n->stage < NODE_CLOSING) {
        groupset_peer_up(n->groups, peer);
        router_peer_up(n->router, peer);
        env_wake(n->env);
    }
}

static void on_down(void *ctx, uint64_t peer, int reason)
{
    struct node *n = ctx;

    n->peer_up_ms[node_position(n, peer)] = 0;
    log_event(n->env, ENV_LOG_WARN, "node", "peer down",
              "peer=%" PRIu64 " error=%s", peer, kv_errname(reason));
    if (n->stage < NODE_CLOSING) {
        router_peer_down(n->router, peer);
        env_wake(n->env);
    }
}

static void on_lost(void *ctx, uint64_t peer)
{
    struct node *n = ctx;

    if (n->stage < NODE_CLOSING) {
        groupset_peer_lost(n->groups, peer);
        env_wake(n->env);
    }
}

static void on_leader(void *ctx, uint32_t shard, uint64_t leader, bool ready)
{
    struct node *n = ctx;

    log_event(n->env, ENV_LOG_DEBUG, "node", "leader",
              "shard=%" PRIu32 " leader=%" PRIu64 " ready=%d", shard, leader,
              ready);
    if (n->router != NULL)
        router_leader_changed(n->router, shard, leader, ready);
}

/* ---- starting ---- */

static int open_directory(struct node *n, char *errmsg, size_t len)
{
    const struct config *c = &n->cfg;
    int rv;

    rv = directory_derive(c->cluster_name, c->initial_cluster,
                          (unsigned)c->shards, (unsigned)c->replicas, &n->dir,
                          errmsg, len);
    if (rv != 0)
        return rv;
    if (directory_node(n->dir, c->node_id) == NULL) {
        snprintf(errmsg, len,
                 "node.id %" PRIu64 " is not in initial-cluster '%s'",
                 c->node_id, c->initial_cluster);
        return KV_EINVAL;
    }
    n->peer_up_ms = mem_calloc(directory_n_nodes(n->dir), sizeof(uint64_t));
    return 0;
}

/* Make the name of the data directory durable: without that a power cut could take
 * the whole directory, with the votes in it, and leave a node that has none and
 * takes part again.  It may have been made by a process that was cut off before it came
 * here, so also when it is there already.  A parent that this user may not read is
 * one in which the administrator made it. */
static int sync_parent(struct node *n, const char *dir)
{
    char parent[NODE_PATH_MAX];
    size_t len = strlen(dir);
    int rv;

    while (len > 1 && dir[len - 1] == '/')
        len--;
    while (len > 0 && dir[len - 1] != '/')
        len--;
    while (len > 1 && dir[len - 1] == '/')
        len--;
    snprintf(parent, sizeof parent, "%.*s", len > 0 ? (int)len : 1,
             len > 0 ? dir : ".");
    rv = env_sync_dir(n->env, parent);
    return rv == KV_EACCES ? 0 : rv;
}

static int open_data_dir(struct node *n, char *errmsg, size_t len)
{
    const char *dir = n->cfg.data_dir;
    char path[NODE_PATH_MAX];
    int rv;

    rv = env_mkdir(n->env, dir);
    if (rv == 0)
        rv = sync_parent(n, dir);
    if (rv != 0) {
        snprintf(errmsg, len, "cannot create data-dir %s: %s", dir,
                 kv_strerror(rv));
        return rv;
    }
    snprintf(path, sizeof path, "%s/lock", dir);
    rv = env_lock(n->env, path, &n->lock);
    if (rv == KV_ELOCKED) {
        snprintf(errmsg, len,
                 "%s is held by another process: is this node running "
                 "already?", path);
        return rv;
    }
    if (rv != 0) {
        snprintf(errmsg, len, "cannot lock %s: %s", path, kv_strerror(rv));
        return rv;
    }
    return identity_load_or_create(n->env, dir, n->dir, n->cfg.node_id,
                                   &n->self, errmsg, len);
}

/* Rule R5: a node whose log is gone must not vote again under its id. */
static int check_begun(struct node *n, const char *wal_dir, char *errmsg,
                       size_t len)
{
    int rv = identity_log_begun(n->env, n->cfg.data_dir, &n->begun);

    if (rv == 0 && !n->begun && !wal_fresh(n->wal)) {
        /* A crash between the first record and the mark. */
        rv = identity_mark_log_begun(n->env, n->cfg.data_dir);
        n->begun = rv == 0;
    }
    if (rv != 0) {
        snprintf(errmsg, len, "cannot read or write %s/begun: %s",
                 n->cfg.data_dir, kv_strerror(rv));
        return rv;
    }
    if (!n->begun || !wal_fresh(n->wal))
        return 0;
    snprintf(errmsg, len,
             "the log in %s is gone, but this node has voted and acknowledged "
             "writes: without its log it may not take part again (it could "
             "break its word). Put the log back, or, if it is lost, leave the "
             "node down: the cluster goes on while a majority is up",
             wal_dir);
    return KV_ECORRUPT;
}

static int open_wal(struct node *n, char *errmsg, size_t len)
{
    static const struct wal_ops ops = { .synced = on_synced,
                                        .failed = on_wal_failed };
    const struct config *c = &n->cfg;
    char path[NODE_PATH_MAX];
    struct wal_config cfg = {
        .dir = path,
        .segment_bytes = (uint32_t)c->wal_segment_bytes,
        .cluster_id = n->self.cluster_id,
        .node_id = n->self.node_id,
        .load_bytes_max = c->tail_bytes,
        .sync_always = c->wal_sync == 0,
        .queue_bytes_max = c->wal_queue_bytes,
    };
    int rv;

    snprintf(path, sizeof path, "%s/wal", c->data_dir);
    rv = env_mkdir(n->env, path);
    if (rv == 0)
        rv = env_sync_dir(n->env, c->data_dir);
    if (rv != 0) {
        snprintf(errmsg, len, "cannot create %s: %s", path, kv_strerror(rv));
        return rv;
    }
    if (!cfg.sync_always)
        log_event(n->env, ENV_LOG_WARN, "node",
                  "wal.sync is 'interval': a power cut of a majority may lose "
                  "acknowledged writes", "data_dir=%s", c->data_dir);
    rv = wal_open(n->env, &cfg, &ops, n, &n->wal, errmsg, len);
    return rv != 0 ? rv : check_begun(n, path, errmsg, len);
}

static int open_links(struct node *n, char *errmsg, size_t len)
{
    static const struct links_ops ops = {
        .frame = on_frame, .up = on_up, .down = on_down, .lost = on_lost
    };
    const struct directory_node *me = directory_node(n->dir, n->cfg.node_id);
    struct link_config cfg = {
        .cluster_id = n->self.cluster_id,
        .node_id = n->self.node_id,
        .instance_id = n->self.instance_id,
        .host = n->cfg.bind,
        .port = me->peer_port,
        .queue_bytes_max = n->cfg.peer_queue_bytes,
        .dial_timeout_ms = 1000,
        .retry_ms_min = 20,
        .retry_ms_max = 500,
        .ping_ms = n->cfg.election_ms,
    };
    int rv = links_open(n->env, &cfg, &ops, n, &n->links);

    if (rv != 0)
        snprintf(errmsg, len, "cannot listen for peers on %s port %u: %s",
                 n->cfg.bind, me->peer_port, kv_strerror(rv));
    return rv;
}

static int open_shards(struct node *n, char *errmsg, size_t len)
{
    const struct config *c = &n->cfg;
    const struct groupset_config gcfg = {
        .node_id = n->self.node_id,
        .election_ms = (unsigned)c->election_ms,
        .heartbeat_ms = (unsigned)c->heartbeat_ms,
        .inflight_entries = (unsigned)c->inflight_entries,
        .ae_bytes_max = c->ae_bytes,
        .tail_bytes_max = c->tail_bytes,
        .uncommitted_bytes_max = c->uncommitted_bytes,
    };
    const struct shard_config scfg = {
        .batches_inflight_max = (unsigned)c->batches_inflight,
        .batch_bytes_max = c->batch_bytes,
        .queue_bytes_max = c->shard_queue_bytes,
    };
    int rv;

    n->groups = groupset_new(n->env, &gcfg, n->wal, n->links);
    n->shards = shardset_new(n->env, n->groups, &scfg, on_leader, n);
    for (uint32_t i = 0; i < directory_n_shards(n->dir); i++) {
        const struct directory_shard *s = directory_shard(n->dir, i);
        bool mine = false;

        for (unsigned r = 0; r < s->n; r++)
            mine = mine || s->replicas[r] == n->self.node_id;
        if (!mine)
            continue;
        rv = shardset_open(n->shards, i, ring_hash(n->self.cluster_id, i, 0),
                           s->replicas, s->n,
                           s->replicas[0] == n->self.node_id, errmsg, len);
        if (rv != 0)
            return rv;
    }
    wal_loaded(n->wal);
    return 0;
}

static int open_server(struct node *n, char *errmsg, size_t len)
{
    const struct config *c = &n->cfg;
    const struct directory_node *me = directory_node(n->dir, c->node_id);
    const struct router_config rcfg = {
        .node_id = n->self.node_id,
        .deadline_ms = c->deadline_ms,
        .pending_max = c->pending_max,
        .pending_bytes_max = c->pending_bytes,
    };
    const struct server_config scfg = {
        .host = c->bind,
        .port = me->port,
        .clients_max = (unsigned)c->clients_max,
        .query_bytes_max = c->query_bytes,
        .bulk_bytes_max = c->bulk_bytes,
        .args_max = (uint32_t)c->args_max,
        .pipeline_max = (unsigned)c->pipeline_max,
        .output_bytes_max = c->output_bytes,
        .idle_timeout_ms = c->idle_timeout_ms,
        .node_id = n->self.node_id,
        .instance_id = n->self.instance_id,
        .config_file = c->config_file[0] != '\0' ? n->cfg.config_file : NULL,
    };
    int rv;

    n->router = router_new(n->env, &rcfg, n->dir, n->shards, n->links);
    rv = server_open(n->env, &scfg, n->router, n->dir, &node__info_ops, n,
                     &n->server);
    if (rv != 0)
        snprintf(errmsg, len, "cannot listen for clients on %s port %u: %s",
                 c->bind, me->port, kv_strerror(rv));
    return rv;
}

static void add_peers(struct node *n)
{
    for (unsigned i = 0; i < directory_n_nodes(n->dir); i++) {
        const struct directory_node *d = directory_node_at(n->dir, i);

        if (d->id != n->self.node_id)
            links_add(n->links, d->id, d->host, d->peer_port);
    }
}

int node_start(struct env *env, const struct config *cfg,
               void (*fatal)(void *ctx, const char *why), void *ctx,
               struct node **ret, char *errmsg, size_t len)
{
    struct node *n = MEM_NEW(struct node);
    int rv;

    n->env = env;
    n->cfg = *cfg;
    n->fatal = fatal;
    n->fatal_ctx = ctx;
    rv = open_directory(n, errmsg, len);
    if (rv == 0)
        rv = open_data_dir(n, errmsg, len);
    if (rv == 0)
        rv = open_wal(n, errmsg, len);
    if (rv == 0)
        rv = open_links(n, errmsg, len);
    if (rv == 0)
        rv = open_shards(n, errmsg, len);
    if (rv == 0)
        rv = open_server(n, errmsg, len);
    if (rv != 0) {
        /* The process ends now: what is open goes with it. */
        return rv;
    }
    add_peers(n);
    env_on_turn(env, on_turn, n);
    node__balance_start(n);
    env_wake(env);
    log_event(env, ENV_LOG_INFO, "node", "serving",
              "node=%" PRIu64 " cluster=%016" PRIx64 " instance=%016" PRIx64
              " bind=%s port=%u shards=%u",
              n->self.node_id, n->self.cluster_id, n->self.instance_id,
              cfg->bind, directory_node(n->dir, cfg->node_id)->port,
              directory_n_shards(n->dir));
    *ret = n;
    return 0;
}

void node__free(struct node *n)
{
    directory_free(n->dir);
    mem_free(n->peer_up_ms);
    mem_free(n->handed_term);
    mem_free(n);
}
