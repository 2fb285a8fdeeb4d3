/* RESP clients: connections, command dispatch, replies in order. */
#ifndef KV_SERVER_SERVER_H
#define KV_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/directory.h"
#include "env/env.h"
#include "router/router.h"

struct server; /* opaque */

struct server_config {
    const char *host;              /* borrowed for server_open */
    uint16_t port;
    unsigned clients_max;          /* "ERR max number of clients reached" */
    size_t query_bytes_max;        /* unparsed input of one client */
    size_t bulk_bytes_max;         /* proto-max-bulk-len */
    uint32_t args_max;
    unsigned pipeline_max;         /* commands of one client in flight; then reads pause */
    size_t output_bytes_max;       /* replies of one client not yet taken; then it is closed */
    uint64_t idle_timeout_ms;      /* 0: never */
    uint64_t node_id, instance_id;
    const char *config_file;       /* for INFO; may be NULL */
};

/* What INFO, CLUSTER and CONFIG ask of layers the server may not know; filled by
 * node.  Any function may be NULL.  Called on the loop thread, during a command. */
struct server_info_ops {
    /* Append lines "name:value\r\n" to a section of INFO, after the server's own;
     * no heading.  section is one of: server (os, process_id, executable), clients,
     * memory (used_memory...), persistence, stats (expired_keys, keyspace_hits,
     * keyspace_misses), replication, cpu (used_cpu_sys...), modules,
     * commandstats, errorstats, latencystats, cluster, keyspace
     * (db0:keys=..,expires=..,avg_ttl=..), raft. */
    void (*info)(void *ctx, const char *section, struct buf *out);
    /* CONFIG GET: call put for every setting.  Names that are Redis' own too
     * (port, maxclients, ...) are told by the server and ignored here. */
    void (*config)(void *ctx, void (*put)(void *arg, const char *name, const char *value), void *arg);
    /* Replica health as this node sees it.  Not asked about this node itself. */
    bool (*peer_up)(void *ctx, uint64_t node);
    /* A snapshot is being read: commands on keys get -LOADING.  NULL: never (a log is
     * read while the shard has no leader, and commands wait for one). */
    bool (*loading)(void *ctx);
};

/* Listen and serve.  cfg is copied; router, dir, info and ctx are borrowed until
 * server_close has called back.  query_bytes_max must exceed bulk_bytes_max.  Errors:
 * those of env_listen. */
int server_open(struct env *env, const struct server_config *cfg, struct router *router,
                struct directory *dir, const struct server_info_ops *info, void *ctx,
                struct server **ret);
/* The port listened on (it was chosen by the system if cfg->port is 0). */
uint16_t server_port(const struct server *s);
/* Write out replies that are ready, read on where there is room again, close
 * what is to be closed.  At the end of each turn; asks for another by env_wake when
 * it submitted something. */
void server_flush(struct server *s);
/* Graceful stop: no new connections and no new commands.  What is in flight is
 * answered; a connection that has nothing in flight (any more) closes. */
void server_drain(struct server *s);
/* No command in flight and no reply waiting to be sent. */
bool server_idle(const struct server *s);
/* Close every connection, cancel what is in flight, free s; then cb, once, never
 * before this returns.  The router must still be there until this returns. */
void server_close(struct server *s, env_close_cb cb, void *ctx);

#endif
