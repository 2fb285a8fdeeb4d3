/* What INFO and CONFIG GET say of the layers that the server does not know.
 *
 * INFO raft is also how kvctl sees the cluster; one line per node and per shard
 * replica held here, fields separated by commas, lists by semicolons. */
#include "node/node_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sabotage.h"

#define VALUE_MAX (CONFIG_STRING_MAX + 1)

static const char *role_name(enum group_role r)
{
    switch (r) {
    case GROUP_LEADER:
        return "leader";
    case GROUP_CANDIDATE:
        return "candidate";
    case GROUP_FOLLOWER:
        return "follower";
    }
    return "?";
}

static void info_shard(struct node *n, uint32_t id, struct buf *out)
{
    const struct directory_shard *d = directory_shard(n->dir, id);
    struct shard *s = shardset_find(n->shards, id);
    struct fsm_stats st;
    struct group *g;

    if (s == NULL)
        return;
    g = shard_group(s);
    fsm_get_stats(shard_fsm(s), &st);
    buf_printf(out,
               "shard%" PRIu32 ":role=%s,leader=%" PRIu64 ",ready=%d,term=%" PRIu64
               ",last=%" PRIu64 ",commit=%" PRIu64 ",applied=%" PRIu64
               ",keys=%" PRIu64 ",revision=%" PRIu64 ",digest=%016" PRIx64
               ",replicas=",
               id, role_name(group_role(g)), group_leader(g), group_ready(g),
               group_term(g), group_last(g), group_commit(g),
               group_applied(g), st.keys, fsm_revision(shard_fsm(s)),
               fsm_digest(shard_fsm(s)));
    for (unsigned i = 0; i < d->n; i++)
        buf_printf(out, "%s%" PRIu64, i > 0 ? ";" : "", d->replicas[i]);
    buf_put_str(out, "\r\n");
}

static void info_raft(struct node *n, struct buf *out)
{
    struct router_stats rs;

    router_get_stats(n->router, &rs);
    buf_printf(out,
               "raft_node_id:%" PRIu64 "\r\nraft_cluster_id:%016" PRIx64
               "\r\nraft_instance_id:%016" PRIx64 "\r\nraft_shards:%u\r\n"
               "raft_epoch:%" PRIu64 "\r\n",
               n->self.node_id, n->self.cluster_id, n->self.instance_id,
               directory_n_shards(n->dir), directory_epoch(n->dir));
    buf_printf(out,
               "router_local:%" PRIu64 "\r\nrouter_forwarded:%" PRIu64
               "\r\nrouter_served_for_peers:%" PRIu64 "\r\nrouter_retries:%" PRIu64
               "\r\nrouter_unknown:%" PRIu64 "\r\nrouter_clusterdown:%" PRIu64
               "\r\nrouter_busy:%" PRIu64 "\r\nrouter_malformed:%" PRIu64 "\r\n",
               rs.local, rs.forwarded, rs.served_for_peers, rs.retries,
               rs.unknown, rs.clusterdown, rs.busy, rs.malformed);
    for (unsigned i = 0; i < directory_n_nodes(n->dir); i++) {
        const struct directory_node *d = directory_node_at(n->dir, i);

        buf_printf(out, "raft_node%u:id=%" PRIu64 ",address=%s:%u,up=%d\r\n", i,
                   d->id, d->host, d->port,
                   d->id == n->self.node_id || n->peer_up_ms[i] != 0);
    }
    for (uint32_t i = 0; i < directory_n_shards(n->dir); i++)
        info_shard(n, i, out);
}

struct totals {
    uint64_t keys, expires, expired, bytes, hits, misses, ttl_sum;
};

static struct totals sum_up(struct node *n)
{
    struct totals t = { .keys = 0 };

    for (uint32_t i = 0; i < directory_n_shards(n->dir); i++) {
        struct shard *s = shardset_find(n->shards, i);
        struct fsm_stats st;

        if (s == NULL)
            continue;
        fsm_get_stats(shard_fsm(s), &st);
        t.keys += st.keys;
        t.expires += st.keys_with_ttl;
        t.expired += st.expired;
        t.bytes += st.bytes;
        t.hits += st.hits;
        t.misses += st.misses;
        t.ttl_sum += (uint64_t)st.avg_ttl_ms * st.keys_with_ttl;
    }
    return t;
}

static void info_persistence(struct node *n, struct buf *out)
{
    struct wal_stats w;

    wal_get_stats(n->wal, &w);
    buf_printf(out,
               "wal_sync:%s\r\nwal_segments:%" PRIu64 "\r\nwal_recycled:%" PRIu64
               "\r\nwal_bytes_appended:%" PRIu64 "\r\nwal_records:%" PRIu64
               "\r\nwal_writes:%" PRIu64 "\r\nwal_syncs:%" PRIu64
               "\r\nwal_sync_usec_avg:%" PRIu64 "\r\nwal_sync_usec_max:%" PRIu64
               "\r\n",
               n->cfg.wal_sync == 0 ? "always" : "interval", w.segments,
               w.recycled, w.bytes_appended, w.records, w.writes, w.syncs,
               w.syncs > 0 ? w.sync_usec_total / w.syncs : 0, w.sync_usec_max);
}

/* The first fields of a small text file of /proc; false where there is none. */
static bool proc_read(struct node *n, const char *path, char *buf, size_t size)
{
    struct env_file *f;
    size_t got = 0;
    int rv = env_open(n->env, path, ENV_OPEN_RDONLY, &f);

    if (rv != 0)
        return false;
    rv = env_read(n->env, f, 0, buf, size - 1, &got);
    env_close(n->env, f);
    buf[rv == 0 ? got : 0] = '\0';
    return rv == 0;
}

static void put_bytes(struct buf *out, const char *name, uint64_t bytes)
{
    static const char unit[] = "BKMGT";
    double v = (double)bytes;
    unsigned u = 0;

    for (; v >= 1024 && u < 4; u++)
        v /= 1024;
    buf_printf(out, "%s:%" PRIu64 "\r\n%s_human:%.2f%c\r\n", name, bytes, name,
               v, unit[u]);
}

static void info_memory(struct node *n, struct buf *out)
{
    uint64_t used = mem_used();
    uint64_t size, resident, rss = used;
    char text[256];

    if (proc_read(n, "/proc/self/statm", text, sizeof text) &&
        sscanf(text, "%" SCNu64 " %" SCNu64, &size, &resident) == 2)
        rss = resident * NODE_PAGE_BYTES;
    if (used > n->used_memory_peak)
        n->used_memory_peak = used;
    put_bytes(out, "used_memory", used);
    put_bytes(out, "used_memory_rss", rss);
    put_bytes(out, "used_memory_peak", n->used_memory_peak);
    buf_printf(out,
               "used_memory_dataset:%" PRIu64
               "\r\nmem_fragmentation_ratio:%.2f\r\n",
               sum_up(n).bytes, used > 0 ? (double)rss / (double)used : 1.0);
}

/* Fields 14 and 15 of stat(5): clock ticks, 100 a second on Linux. */
static void info_cpu(struct node *n, struct buf *out)
{
    uint64_t user, sys;
    char text[1024];
    const char *p;

    if (!proc_read(n, "/proc/self/stat", text, sizeof text))
        return;
    p = strrchr(text, ')');
    if (p == NULL ||
        sscanf(p + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64
               " %" SCNu64, &user, &sys) != 2)
        return;
    buf_printf(out, "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\n",
               (double)sys / 100, (double)user / 100);
}

static void info_server(struct node *n, struct buf *out)
{
    buf_printf(out,
               "os:%s\r\nprocess_id:%" PRIu64 "\r\nexecutable:%s\r\n",
               n->cfg.os, n->cfg.process_id, n->cfg.executable);
    if (sabotage_planted() != NULL)
        buf_printf(out, "kvmesh_sabotaged:%s\r\n", sabotage_planted());
}

static void on_info(void *ctx, const char *section, struct buf *out)
{
    struct node *n = ctx;
    struct totals t;

    if (strcmp(section, "raft") == 0) {
        info_raft(n, out);
    } else if (strcmp(section, "persistence") == 0) {
        info_persistence(n, out);
    } else if (strcmp(section, "memory") == 0) {
        info_memory(n, out);
    } else if (strcmp(section, "cpu") == 0) {
        info_cpu(n, out);
    } else if (strcmp(section, "server") == 0) {
        info_server(n, out);
    } else if (strcmp(section, "stats") == 0) {
        t = sum_up(n);
        buf_printf(out,
                   "expired_keys:%" PRIu64 "\r\nkeyspace_hits:%" PRIu64
                   "\r\nkeyspace_misses:%" PRIu64 "\r\n",
                   t.expired, t.hits, t.misses);
    } else if (strcmp(section, "keyspace") == 0) {
        t = sum_up(n);
        if (t.keys > 0)
            buf_printf(out,
                       "db0:keys=%" PRIu64 ",expires=%" PRIu64
                       ",avg_ttl=%" PRIu64 "\r\n",
                       t.keys, t.expires,
                       t.expires > 0 ? t.ttl_sum / t.expires : 0);
    }
}

static void on_config(void *ctx,
                      void (*put)(void *arg, const char *name,
                                  const char *value),
                      void *arg)
{
    struct node *n = ctx;
    char value[VALUE_MAX];

    for (const struct config_key *k = config_keys(); k->name != NULL; k++) {
        config_get(&n->cfg, k, value, sizeof value);
        put(arg, k->name, value);
    }
}

static bool on_peer_up(void *ctx, uint64_t id)
{
    struct node *n = ctx;

    for (unsigned i = 0; i < directory_n_nodes(n->dir); i++)
        if (directory_node_at(n->dir, i)->id == id)
            return id == n->self.node_id || n->peer_up_ms[i] != 0;
    return false;
}

/* Replay happens through Raft: a shard serves once its leader has applied its
 * log, and reads wait for that; nothing is ever served half loaded. */
const struct server_info_ops node__info_ops = {
    .info = on_info,
    .config = on_config,
    .peer_up = on_peer_up,
};
