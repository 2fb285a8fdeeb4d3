/* RESP clients: connections, command dispatch, replies in order. */
#ifndef KV_SERVER_SERVER_H
#define KV_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

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

/* What INFO, CLUSTER and CONFIG ask of layers the server may not know; filled by node. */
struct server_info_ops {
    /* Append the lines of INFO's raft, memory, persistence and keyspace sections. */
    void (*info)(void *ctx, const char *section, struct buf *out);
    /* CONFIG GET: call put for every setting. */
    void (*config)(void *ctx, void (*put)(void *arg, const char *name, const char *value), void *arg);
    /* Replica health as this node sees it. */
    bool (*peer_up)(void *ctx, uint64_t node);
    bool (*loading)(void *ctx);
};

int server_open(struct env *env, const struct server_config *cfg, struct router *router,
                struct directory *dir, const struct server_info_ops *info, void *ctx,
                struct server **ret);
/* Write out replies that are ready.  At the end of each turn. */
void server_flush(struct server *s);
/* Refuse new connections (graceful stop); existing ones finish what is in flight. */
void server_stop_accepting(struct server *s);
bool server_idle(const struct server *s); /* nothing in flight */
void server_close(struct server *s, env_close_cb cb, void *ctx); /* frees s */

#endif
