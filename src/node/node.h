/* The composition root: one node, wired from a configuration. */
#ifndef KV_NODE_NODE_H
#define KV_NODE_NODE_H

#include "env/env.h"
#include "node/config.h"

struct node; /* opaque */

/* Start everything.  errmsg tells what failed and what to do. `fatal` is called once if the
 * node must stop at once (WAL failure): the owner ends the process. */
int node_start(struct env *env, const struct config *cfg, void (*fatal)(void *ctx, const char *why), void *ctx,
               struct node **ret, char *errmsg, size_t n);
/* Graceful stop: no new connections, finish or fail what is in flight, hand over
 * leadership, close the log; cb at the end, which may free env. */
void node_stop(struct node *n, env_close_cb cb, void *ctx);

#endif
