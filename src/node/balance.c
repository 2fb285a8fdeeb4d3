/* Leaders go home: every shard has a preferred leader (the first of its replicas
 * in the directory, spread evenly over the nodes).  A leader elsewhere hands over
 * once the preferred node has been connected for a while and has the whole log but
 * for what is in flight.  One shard a scan and node, so that a node that comes
 * back is not hit by all of them at once.
 *
 * A transfer costs the shard's clients one round trip or so; the router retries. */
#include "node/node_int.h"

#include <inttypes.h>

#include "env/log.h"

/* The preferred leader may lag this many entries behind when we hand over. */
#define BALANCE_LAG_ENTRIES 64u

static bool peer_is_settled(const struct node *n, uint64_t id)
{
    for (unsigned i = 0; i < directory_n_nodes(n->dir); i++) {
        if (directory_node_at(n->dir, i)->id == id)
            return n->peer_up_ms[i] != 0 &&
                   env_now_ms(n->env) - n->peer_up_ms[i] >= BALANCE_UP_MS;
    }
    return false;
}

static bool hand_home(struct node *n, const struct directory_shard *d)
{
    struct shard *s = shardset_find(n->shards, d->id);
    uint64_t home = d->replicas[0];
    struct group *g;
    uint64_t match;

    if (s == NULL || home == n->self.node_id || !peer_is_settled(n, home))
        return false;
    g = shard_group(s);
    if (!group_ready(g) || group_transferring(g) ||
        group_match(g, home, &match) != 0 ||
        match + BALANCE_LAG_ENTRIES < group_last(g))
        return false;
    if (group_transfer(g, home) != 0)
        return false;
    log_event(n->env, ENV_LOG_INFO, "node", "leadership goes home",
              "shard=%" PRIu32 " to=%" PRIu64, d->id, home);
    return true;
}

static void on_balance(struct env_timer *t)
{
    struct node *n = t->data;

    for (uint32_t i = 0; i < directory_n_shards(n->dir); i++) {
        if (hand_home(n, directory_shard(n->dir, i)))
            break;
    }
    env_timer_set(t, env_now_ms(n->env) + BALANCE_SCAN_MS);
}

void node__balance_start(struct node *n)
{
    env_timer_init(n->env, &n->balance_timer, on_balance, n);
    env_timer_set(&n->balance_timer, env_now_ms(n->env) + BALANCE_SCAN_MS);
}
