/* A cluster of real kvd processes on loopback ports that were free. */
#ifndef KV_TEST_INTEGRATION_CLUSTER_H
#define KV_TEST_INTEGRATION_CLUSTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "kv.h"

#define CLUSTER_NODES_MAX 7

struct cluster {
    int n;
    int shards;
    char dir[512];
    char spec[1024];               /* --initial-cluster */
    char endpoints[1024];          /* of all nodes */
    int port[CLUSTER_NODES_MAX];   /* clients */
    pid_t pid[CLUSTER_NODES_MAX];  /* 0: not running */
    const char *extra[8];          /* more flags, NULL-terminated */
};

/* Choose ports and directories; starts nothing.  The processes die with the test. */
void cluster_init(struct cluster *c, int nodes, int shards);
void cluster_start_node(struct cluster *c, int i); /* 0-based */
void cluster_start(struct cluster *c);             /* all, and wait until it serves */
void cluster_wait(struct cluster *c);              /* every shard led, every started node in */
void cluster_kill(struct cluster *c, int i);       /* SIGKILL, reaped */
int cluster_stop_node(struct cluster *c, int i);   /* SIGTERM; its exit status */
void cluster_stop(struct cluster *c);              /* all, each must exit with 0 */
/* Run kvd with node i's flags and these instead of being a member; its exit status,
 * standard error in buf. */
int cluster_try(struct cluster *c, int i, const char *const *flags, char *buf,
                size_t n);

/* A client of node i alone. */
struct kv_client *cluster_client(struct cluster *c, int i);
/* A client that knows all nodes. */
struct kv_client *cluster_client_any(struct cluster *c);
/* One command with words separated by blanks; the reply as text ("(nil)", "(integer) 5",
 * "OK", or the error).  Static storage. */
const char *cluster_ask(struct kv_client *k, const char *command);
/* INFO raft field of a shard at node i, e.g. "digest"; static storage, "" if absent. */
const char *cluster_shard_field(struct cluster *c, int i, int shard,
                                const char *name);
/* Wait until all replicas of all shards have applied the same index, then check that
 * their digests are equal. */
void cluster_check_digests(struct cluster *c);

#endif
