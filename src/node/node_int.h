/* What the files of the node layer share; nobody else includes this. */
#ifndef KV_NODE_NODE_INT_H
#define KV_NODE_NODE_INT_H

#include "cluster/directory.h"
#include "env/env.h"
#include "group/groupset.h"
#include "node/config.h"
#include "node/node.h"
#include "peer/link.h"
#include "router/router.h"
#include "server/server.h"
#include "shard/shard.h"
#include "store/wal.h"

/* How often a leader looks whether a shard should be led elsewhere, and how long
 * the preferred leader must have been connected. */
#define BALANCE_SCAN_MS 2000u
#define BALANCE_UP_MS 5000u
/* Unit of /proc/self/statm on the platforms we build for. */
#define NODE_PAGE_BYTES 4096u
/* Handing leadership over while stopping may take this many election timeouts. */
#define STOP_HANDOVER_ELECTIONS 2u

/* A graceful stop goes through these in order; see node_stop.c. */
enum node_stage {
    NODE_RUNNING,
    NODE_DRAINING,   /* no new clients; finish what is in flight */
    NODE_HANDOVER,   /* give leadership away */
    NODE_CLOSING,    /* server, log, links close one after the other */
    NODE_CLOSED
};

struct node {
    struct env *env;             /* borrowed */
    struct config cfg;
    void (*fatal)(void *ctx, const char *why);
    void *fatal_ctx;
    struct env_file *lock;       /* owned: the data directory's */
    struct directory *dir;       /* owned */
    struct identity self;
    struct wal *wal;             /* owned, as are all below */
    struct links *links;
    struct groupset *groups;
    struct shardset *shards;
    struct router *router;
    struct server *server;
    enum node_stage stage;
    struct env_timer stop_timer; /* ends DRAINING and HANDOVER */
    uint64_t *handed_term;      /* owned; of each shard, as it was handed over */
    env_close_cb stop_cb;
    void *stop_ctx;
    struct env_timer balance_timer;
    uint64_t *peer_up_ms;        /* owned: by directory position; 0: down */
    uint64_t used_memory_peak;   /* bytes, as INFO saw it */
    bool failed;                 /* the log failed: nothing more leaves */
    bool begun;                  /* the mark that the log began is durable */
};

extern const struct server_info_ops node__info_ops;

void node__stop_step(struct node *n);
void node__balance_start(struct node *n);
/* Free what a failed start or the last step of a stop left; parts may be NULL. */
void node__free(struct node *n);

#endif
