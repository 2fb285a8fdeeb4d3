/* CLUSTER: what cluster-aware clients ask, answered from the directory.
 *
 * Any node serves any key, so nothing depends on clients knowing this; those that do
 * save a hop, because a slot's leader answers without forwarding.  A node is
 * shown as master of the slots whose shards it leads.  Where no leader is known
 * the first replica stands in, so that the slot map never has holes (clients refuse
 * those); CLUSTER INFO says `fail` then. */
#include "server/server_int.h"

#include <string.h>

#include "base/assert.h"
#include "proto/reply.h"

static uint64_t leader_of(const struct server *s, uint32_t shard)
{
    uint64_t id = router_leader(s->router, shard);

    return id != 0 ? id : directory_shard(s->dir, shard)->replicas[0];
}

static bool node_up(const struct server *s, uint64_t id)
{
    return id == s->cfg.node_id || s->info->peer_up == NULL ||
           s->info->peer_up(s->info_ctx, id);
}

/* A run of slots of one shard. */
struct range {
    unsigned first, last;
    uint32_t shard;
};

/* The next run from slot `at` on whose slots `same` puts together; false at the
 * end. */
static bool next_range(const struct server *s, unsigned at,
                       bool (*same)(const struct server *, uint32_t, uint32_t),
                       struct range *ret)
{
    unsigned last = at;

    if (at >= SLOT_COUNT)
        return false;
    ret->first = at;
    ret->shard = directory_shard_of_slot(s->dir, (uint16_t)at);
    while (last + 1 < SLOT_COUNT &&
           same(s, ret->shard,
                directory_shard_of_slot(s->dir, (uint16_t)(last + 1))))
        last++;
    ret->last = last;
    return true;
}

static bool holds(const struct directory_shard *d, uint64_t node)
{
    for (unsigned i = 0; i < d->n; i++)
        if (d->replicas[i] == node)
            return true;
    return false;
}

static bool same_leader(const struct server *s, uint32_t a, uint32_t b)
{
    return a == b || leader_of(s, a) == leader_of(s, b);
}

/* Same leader and the same set of replicas. */
static bool same_nodes(const struct server *s, uint32_t a, uint32_t b)
{
    const struct directory_shard *x = directory_shard(s->dir, a);
    const struct directory_shard *y = directory_shard(s->dir, b);

    if (a == b)
        return true;
    if (!same_leader(s, a, b) || x->n != y->n)
        return false;
    for (unsigned i = 0; i < x->n; i++)
        if (!holds(y, x->replicas[i]))
            return false;
    return true;
}

static bool same_shard(const struct server *s, uint32_t a, uint32_t b)
{
    (void)s;
    return a == b;
}

/* ---- SLOTS ---- */

static void put_slots_node(struct rq *q, struct buf *b, uint64_t id)
{
    const struct directory_node *n = directory_node(q->s->dir, id);
    char hex[41];

    ASSERT(n != NULL);
    text__node_id(hex, q->s->dir, id);
    reply_array(b, 4);
    reply_bulk_str(b, n->host);
    reply_int(b, n->port);
    reply_bulk_str(b, hex);
    reply_map(b, q->c->resp, 0);
}

static void cluster_slots(struct rq *q)
{
    struct server *s = q->s;
    struct range r;
    struct buf b;
    uint64_t n = 0;

    buf_init(&b);
    for (unsigned at = 0; next_range(s, at, same_nodes, &r); at = r.last + 1) {
        const struct directory_shard *d = directory_shard(s->dir, r.shard);
        uint64_t leader = leader_of(s, r.shard);

        n++;
        reply_array(&b, 2 + (uint64_t)d->n);
        reply_int(&b, r.first);
        reply_int(&b, r.last);
        put_slots_node(q, &b, leader);
        for (unsigned i = 0; i < d->n; i++)
            if (d->replicas[i] != leader)
                put_slots_node(q, &b, d->replicas[i]);
    }
    reply_array(q->out, n);
    buf_put_slice(q->out, buf_slice(&b));
    buf_close(&b);
}

/* ---- SHARDS ---- */

static void put_shard_node(struct rq *q, uint64_t id, bool leader)
{
    const struct directory_node *n = directory_node(q->s->dir, id);
    struct buf *b = q->out;
    char hex[41];

    ASSERT(n != NULL);
    text__node_id(hex, q->s->dir, id);
    reply_map(b, q->c->resp, 7);
    reply_bulk_str(b, "id");
    reply_bulk_str(b, hex);
    reply_bulk_str(b, "port");
    reply_int(b, n->port);
    reply_bulk_str(b, "ip");
    reply_bulk_str(b, n->host);
    reply_bulk_str(b, "endpoint");
    reply_bulk_str(b, n->host);
    reply_bulk_str(b, "role");
    reply_bulk_str(b, leader ? "master" : "replica");
    reply_bulk_str(b, "replication-offset");
    reply_int(b, 0);
    reply_bulk_str(b, "health");
    reply_bulk_str(b, node_up(q->s, id) ? "online" : "fail");
}

static void put_shard_slots(struct rq *q, uint32_t shard)
{
    struct range r;
    struct buf b;
    uint64_t n = 0;

    buf_init(&b);
    for (unsigned at = 0; next_range(q->s, at, same_shard, &r);
         at = r.last + 1) {
        if (r.shard != shard)
            continue;
        reply_int(&b, r.first);
        reply_int(&b, r.last);
        n += 2;
    }
    reply_array(q->out, n);
    buf_put_slice(q->out, buf_slice(&b));
    buf_close(&b);
}

static void cluster_shards(struct rq *q)
{
    unsigned n = directory_n_shards(q->s->dir);

    reply_array(q->out, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct directory_shard *d = directory_shard(q->s->dir, i);
        uint64_t leader = leader_of(q->s, i);

        reply_map(q->out, q->c->resp, 2);
        reply_bulk_str(q->out, "slots");
        put_shard_slots(q, i);
        reply_bulk_str(q->out, "nodes");
        reply_array(q->out, d->n);
        for (unsigned j = 0; j < d->n; j++)
            put_shard_node(q, d->replicas[j], d->replicas[j] == leader);
    }
}

/* ---- NODES, INFO ---- */

static void put_led_slots(const struct server *s, uint64_t id, struct buf *b)
{
    struct range r;

    for (unsigned at = 0; next_range(s, at, same_leader, &r);
         at = r.last + 1) {
        if (leader_of(s, r.shard) != id)
            continue;
        buf_printf(b, r.first == r.last ? " %u" : " %u-%u", r.first, r.last);
    }
}

static void put_node_line(const struct server *s,
                          const struct directory_node *n, struct buf *b)
{
    char hex[41];
    bool self = n->id == s->cfg.node_id;

    text__node_id(hex, s->dir, n->id);
    buf_printf(b, "%s %s:%u@%u %s - 0 0 %llu %s", hex, n->host, n->port,
               n->peer_port, self ? "myself,master" : "master",
               (unsigned long long)directory_epoch(s->dir),
               node_up(s, n->id) ? "connected" : "disconnected");
    put_led_slots(s, n->id, b);
    buf_put(b, "\n", 1);
}

static void cluster_nodes(struct rq *q)
{
    struct buf b;

    buf_init(&b);
    for (unsigned i = 0; i < directory_n_nodes(q->s->dir); i++)
        put_node_line(q->s, directory_node_at(q->s->dir, i), &b);
    reply_verbatim(q->out, q->c->resp, "txt", buf_slice(&b));
    buf_close(&b);
}

/* Nodes that lead a shard, and slots of shards with a known leader. */
static void count_leaders(const struct server *s, unsigned *ret_size,
                          unsigned *ret_slots)
{
    bool known[DIRECTORY_SHARDS_MAX];
    unsigned size = 0, slots = 0, n = directory_n_shards(s->dir);

    for (uint32_t i = 0; i < n; i++)
        known[i] = router_leader(s->router, i) != 0;
    for (unsigned i = 0; i < directory_n_nodes(s->dir); i++) {
        uint64_t id = directory_node_at(s->dir, i)->id;
        bool leads = false;

        for (uint32_t j = 0; j < n; j++)
            leads = leads || router_leader(s->router, j) == id;
        size += leads;
    }
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        slots += known[directory_shard_of_slot(s->dir, (uint16_t)i)];
    *ret_size = size;
    *ret_slots = slots;
}

static void cluster_info(struct rq *q)
{
    unsigned size, ok;
    struct buf b;
    unsigned long long epoch = directory_epoch(q->s->dir);

    count_leaders(q->s, &size, &ok);
    buf_init(&b);
    buf_printf(&b,
               "cluster_state:%s\r\ncluster_slots_assigned:%u\r\n"
               "cluster_slots_ok:%u\r\ncluster_slots_pfail:0\r\n"
               "cluster_slots_fail:%u\r\ncluster_known_nodes:%u\r\n"
               "cluster_size:%u\r\ncluster_current_epoch:%llu\r\n"
               "cluster_my_epoch:%llu\r\n"
               "cluster_stats_messages_sent:0\r\n"
               "cluster_stats_messages_received:0\r\n"
               "total_cluster_links_buffer_limit_exceeded:0\r\n",
               ok == SLOT_COUNT ? "ok" : "fail", SLOT_COUNT, ok,
               SLOT_COUNT - ok, directory_n_nodes(q->s->dir), size, epoch,
               epoch);
    reply_verbatim(q->out, q->c->resp, "txt", buf_slice(&b));
    buf_close(&b);
}

void cmd_do_cluster(struct rq *q)
{
    unsigned id = q->spec->id;
    char hex[41];

    if (id == CMD_CLUSTER_INFO) {
        cluster_info(q);
    } else if (id == CMD_CLUSTER_NODES) {
        cluster_nodes(q);
    } else if (id == CMD_CLUSTER_SLOTS) {
        cluster_slots(q);
    } else if (id == CMD_CLUSTER_SHARDS) {
        cluster_shards(q);
    } else if (id == CMD_CLUSTER_KEYSLOT) {
        reply_int(q->out, slot_of_key(q->argv[2]));
    } else if (id == CMD_CLUSTER_HELP) {
        rq__help(q, CMD_CLUSTER);
    } else {
        text__node_id(hex, q->s->dir, q->s->cfg.node_id);
        reply_bulk_str(q->out, hex);
    }
}
