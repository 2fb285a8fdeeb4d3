/* INFO: what monitoring, client libraries and people read about a node.
 *
 * The fields are those that clients parse (names of Redis), then our own.  What
 * this layer cannot know (memory, keys, logs) the node appends to the section of the
 * same name (server_info_ops.info). */
#include "server/server_int.h"

#include <string.h>

#include "proto/reply.h"

static void put_server(struct server *s, struct buf *b)
{
    uint64_t up = (env_now_us(s->env) - s->start_us) / 1000000;

    buf_printf(b,
               "redis_version:" SERVER_REDIS_VERSION "\r\n"
               "server_name:kvmesh\r\nkvmesh_version:" PACKAGE_VERSION "\r\n"
               "redis_git_sha1:00000000\r\nredis_git_dirty:0\r\n"
               "redis_mode:cluster\r\narch_bits:%u\r\n"
               "run_id:%016llx%024llx\r\ntcp_port:%u\r\n"
               "server_time_usec:%lld\r\nuptime_in_seconds:%llu\r\n"
               "uptime_in_days:%llu\r\nhz:1\r\nconfigured_hz:1\r\n"
               "config_file:%s\r\nnode_id:%llu\r\n",
               (unsigned)sizeof(void *) * 8,
               (unsigned long long)s->cfg.instance_id,
               (unsigned long long)s->cfg.node_id, s->port,
               (long long)env_wall_ms(s->env) * 1000, (unsigned long long)up,
               (unsigned long long)(up / 86400), s->cfg.config_file,
               (unsigned long long)s->cfg.node_id);
}

static void put_clients(struct server *s, struct buf *b)
{
    size_t in = 0, out = 0;

    for (struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        const struct conn *c = CONTAINER_OF(l, struct conn, link);
        size_t o = conn__output_bytes(c);

        in = c->query.len > in ? c->query.len : in;
        out = o > out ? o : out;
    }
    buf_printf(b,
               "connected_clients:%u\r\ncluster_connections:0\r\n"
               "maxclients:%u\r\nclient_recent_max_input_buffer:%zu\r\n"
               "client_recent_max_output_buffer:%zu\r\nblocked_clients:0\r\n"
               "tracking_clients:0\r\nclients_in_timeout_table:0\r\n"
               "commands_in_flight:%u\r\n",
               s->n_conns, s->cfg.clients_max, in, out, s->n_cmds);
}

static void put_stats(struct server *s, struct buf *b)
{
    buf_printf(b,
               "total_connections_received:%llu\r\n"
               "total_commands_processed:%llu\r\n"
               "instantaneous_ops_per_sec:%.0f\r\n"
               "total_net_input_bytes:%llu\r\n"
               "total_net_output_bytes:%llu\r\n"
               "instantaneous_input_kbps:%.2f\r\n"
               "instantaneous_output_kbps:%.2f\r\n"
               "rejected_connections:%llu\r\ntotal_error_replies:%llu\r\n"
               "evicted_keys:0\r\n", /* there is no eviction: noeviction */
               (unsigned long long)s->connections,
               (unsigned long long)s->commands, s->ops_per_s,
               (unsigned long long)s->bytes_in,
               (unsigned long long)s->bytes_out, s->in_kib_per_s,
               s->out_kib_per_s, (unsigned long long)s->rejected,
               (unsigned long long)s->n_errors);
}

/* Every node leads some shards and none copies another as a whole: each is a master
 * without replicas, in Redis' words.  Replication is in the section "raft". */
static void put_replication(struct server *s, struct buf *b)
{
    buf_printf(b,
               "role:master\r\nconnected_slaves:0\r\n"
               "master_failover_state:no-failover\r\n"
               "master_replid:%016llx%024x\r\n"
               "master_replid2:%040x\r\nmaster_repl_offset:0\r\n"
               "second_repl_offset:-1\r\nrepl_backlog_active:0\r\n",
               (unsigned long long)directory_cluster_id(s->dir), 0, 0);
}

static void put_persistence(struct server *s, struct buf *b)
{
    bool loading = s->info->loading != NULL && s->info->loading(s->info_ctx);

    buf_printf(b,
               "loading:%d\r\nloading_eta_seconds:%d\r\nasync_loading:0\r\n"
               "rdb_changes_since_last_save:0\r\n"
               "rdb_bgsave_in_progress:0\r\nrdb_last_save_time:%lld\r\n"
               "rdb_last_bgsave_status:ok\r\naof_enabled:1\r\n"
               "aof_rewrite_in_progress:0\r\naof_last_write_status:ok\r\n",
               loading, loading, (long long)(s->start_wall_ms / 1000));
}

static void put_memory(struct server *s, struct buf *b)
{
    (void)s;
    buf_put_str(b, "maxmemory:0\r\nmaxmemory_human:0B\r\n"
                   "maxmemory_policy:noeviction\r\n"
                   "number_of_cached_scripts:0\r\n");
}

static void put_cluster(struct server *s, struct buf *b)
{
    (void)s;
    buf_put_str(b, "cluster_enabled:1\r\n");
}

static void put_errorstats(struct server *s, struct buf *b)
{
    for (unsigned i = 0; i < SERVER_ERRORS_MAX; i++)
        if (s->errors[i].count > 0)
            buf_printf(b, "errorstat_%s:count=%llu\r\n", s->errors[i].prefix,
                       (unsigned long long)s->errors[i].count);
}

/* The specification of a command or subcommand by id. */
static const char *name_of(unsigned id)
{
    if (id < CMD_COUNT)
        return cmd_table[id].name;
    for (unsigned i = 0; i < CMD_COUNT; i++)
        for (unsigned j = 0; j < cmd_table[i].n_subs; j++)
            if ((unsigned)cmd_table[i].subs[j].id == id)
                return cmd_table[i].subs[j].name;
    return "?";
}

static void put_commandstats(struct server *s, struct buf *b)
{
    for (unsigned i = 0; i < CMD_ID_END; i++) {
        const struct cmd_stat *st = &s->stats[i];

        if (st->calls + st->rejected == 0)
            continue;
        buf_printf(b,
                   "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,"
                   "rejected_calls=%llu,failed_calls=%llu\r\n",
                   name_of(i), (unsigned long long)st->calls,
                   (unsigned long long)st->usec,
                   st->calls ? (double)st->usec / (double)st->calls : 0.0,
                   (unsigned long long)st->rejected,
                   (unsigned long long)st->failed);
    }
}

static void put_latencystats(struct server *s, struct buf *b)
{
    for (unsigned i = 0; i < CMD_ID_END; i++) {
        const struct stat_hist *h = s->stats[i].hist;

        if (h == NULL)
            continue;
        buf_printf(b,
                   "latency_percentiles_usec_%s:p50=%llu.000,p99=%llu.000,"
                   "p99.9=%llu.000\r\n",
                   name_of(i),
                   (unsigned long long)stat_hist_quantile(h, 0.5),
                   (unsigned long long)stat_hist_quantile(h, 0.99),
                   (unsigned long long)stat_hist_quantile(h, 0.999));
    }
}

struct section {
    const char *name, *title;
    void (*put)(struct server *s, struct buf *b); /* NULL: the node's only */
    bool usual;                                   /* in INFO without arguments */
};

static const struct section sections[] = {
    { "server", "Server", put_server, true },
    { "clients", "Clients", put_clients, true },
    { "memory", "Memory", put_memory, true },
    { "persistence", "Persistence", put_persistence, true },
    { "stats", "Stats", put_stats, true },
    { "replication", "Replication", put_replication, true },
    { "cpu", "CPU", NULL, true },
    { "modules", "Modules", NULL, true },
    { "commandstats", "Commandstats", put_commandstats, false },
    { "errorstats", "Errorstats", put_errorstats, true },
    { "latencystats", "Latencystats", put_latencystats, false },
    { "cluster", "Cluster", put_cluster, true },
    { "keyspace", "Keyspace", NULL, true },
    { "raft", "Raft", NULL, true },
};

static bool section_wanted(const struct rq *q, const struct section *sec)
{
    if (q->argc == 1)
        return sec->usual;
    for (uint32_t i = 1; i < q->argc; i++) {
        if (rq__is(q->argv[i], sec->name) || rq__is(q->argv[i], "all") ||
            rq__is(q->argv[i], "everything"))
            return true;
        if (rq__is(q->argv[i], "default") && sec->usual)
            return true;
    }
    return false;
}

void cmd_do_info(struct rq *q)
{
    struct server *s = q->s;
    struct buf b;

    buf_init(&b);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        const struct section *sec = &sections[i];

        if (!section_wanted(q, sec))
            continue;
        if (b.len > 0)
            buf_put(&b, "\r\n", 2);
        buf_printf(&b, "# %s\r\n", sec->title);
        if (sec->put != NULL)
            sec->put(s, &b);
        if (s->info->info != NULL)
            s->info->info(s->info_ctx, sec->name, &b);
    }
    reply_verbatim(q->out, q->c->resp, "txt", buf_slice(&b));
    buf_close(&b);
}
