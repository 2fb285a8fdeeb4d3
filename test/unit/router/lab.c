#include "unit/router/lab.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "lib/test.h"

/* More rounds without time passing than this are a busy loop: a stream that
 * alternates between reads and writes takes a few for each. */
#define ROUNDS_MAX 2000

void lab_start(struct lab *l, unsigned node)
{
    struct router_config cfg = l->cfg;

    ASSERT(l->rt[node] == NULL);
    cfg.node_id = node + 1;
    l->rt[node] = router_new(&l->env, &cfg, l->dir, &l->shards[node],
                             &l->links[node]);
}

void lab_init(struct lab *l, unsigned nodes)
{
    char spec[256];
    char errmsg[256];
    size_t at = 0;

    memset(l, 0, sizeof(*l));
    l->n = nodes;
    l->cfg = (struct router_config){ .deadline_ms = 5000,
                                     .pending_max = 100000,
                                     .pending_bytes_max = 64u << 20 };
    list_init(&l->net);
    env_double_init(l);
    shard_double_init(l);
    for (unsigned i = 0; i < nodes; i++)
        at += (size_t)snprintf(spec + at, sizeof(spec) - at, "%s%u=h:%u",
                               i > 0 ? "," : "", i + 1, 7001 + i);
    CHECK_EQ(directory_derive("kv", spec, LAB_SHARDS, 3, &l->dir, errmsg,
                              sizeof(errmsg)), 0);
    for (unsigned i = 0; i < nodes; i++) {
        l->links[i].lab = l;
        l->links[i].node = i;
        for (unsigned j = 0; j < nodes; j++)
            l->links[i].up[j] = j != i;
        lab_start(l, i);
    }
}

void lab_close(struct lab *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        if (l->rt[i] != NULL)
            router_stop(l->rt[i]);
    }
    for (unsigned i = 0; i < l->n; i++) {
        if (l->rt[i] != NULL)
            CHECK(router_idle(l->rt[i]));
        router_free(l->rt[i]);
        for (unsigned j = 0; j < l->n; j++)
            links_double_drop(l, i, j);
        for (uint32_t s = 0; s < LAB_SHARDS; s++)
            CHECK_EQ(shard_double(l, i, s)->n, 0);
    }
    CHECK(heap_min(&l->timers) == NULL);
    heap_close(&l->timers);
    directory_free(l->dir);
}

void lab_turn(struct lab *l)
{
    l->woken = false;
    for (unsigned i = 0; i < l->n; i++) {
        if (l->rt[i] == NULL)
            continue;
        router_turn(l->rt[i]);
        for (uint32_t s = 0; s < LAB_SHARDS; s++) {
            struct shard *sh = shard_double(l, i, s);

            if (sh->open)
                shard_double_execute(sh, UINT32_MAX);
        }
        router_flush(l->rt[i]);
    }
}

void lab_run(struct lab *l)
{
    for (int i = 0; i < ROUNDS_MAX; i++) {
        lab_turn(l);
        if (!l->hold_net && !list_empty(&l->net)) {
            links_double_deliver(l);
            l->woken = true;
        }
        if (!l->woken)
            return;
    }
    FAIL("busy loop: still not quiet after %d turns", ROUNDS_MAX);
}

void lab_advance(struct lab *l, uint64_t ms)
{
    uint64_t end = l->now_ms + ms;
    const struct heap_node *h;

    lab_run(l);
    while ((h = heap_min(&l->timers)) != NULL && h->key <= end) {
        if (h->key > l->now_ms)
            l->now_ms = h->key;
        env_double_fire(l);
        lab_run(l);
    }
    l->now_ms = end;
}

void lab_lead(struct lab *l, uint32_t shard, unsigned leader, unsigned nodes)
{
    for (unsigned i = 0; i < l->n; i++) {
        if ((nodes >> i & 1) != 0 && l->rt[i] != NULL &&
            shardset_find(&l->shards[i], shard) != NULL)
            router_leader_changed(l->rt[i], shard, leader + 1, i == leader);
    }
}

static void on_answer(struct router_req *r, const struct op_result *res)
{
    struct lab_req *q = CONTAINER_OF(r, struct lab_req, r);

    CHECK(!q->lab->in_submit);
    q->answers++;
    q->type = res->type;
    q->num = res->num;
}

static void submit(struct lab *l, unsigned node, struct lab_req *q,
                   uint32_t shard, const struct op *op)
{
    uint64_t stream = q->r.stream;

    *q = (struct lab_req){ .lab = l, .r = { .cb = on_answer,
                                            .stream = stream } };
    l->in_submit = true;
    router_submit(l->rt[node], &q->r, shard, op);
    l->in_submit = false;
}

/* A slot of the shard, so that the routers' checks are content. */
static uint16_t slot_in(struct lab *l, uint32_t shard)
{
    uint16_t slot = 0;

    if (shard >= LAB_SHARDS)
        return SLOT_COUNT;
    while (directory_shard_of_slot(l->dir, slot) != shard)
        slot++;
    return slot;
}

void lab_submit_write(struct lab *l, unsigned node, struct lab_req *q,
                      uint32_t shard, uint64_t tag)
{
    uint8_t key[8];
    struct slice argv[2] = { slice_make(key, sizeof(key)), slice_str("v") };
    struct op op = { .kind = OP_SET, .slot = slot_in(l, shard), .argv = argv,
                     .argc = 2 };

    put_u64le(key, tag);
    submit(l, node, q, shard, &op);
    q->tag = tag;
}

void lab_submit_read(struct lab *l, unsigned node, struct lab_req *q,
                     uint32_t shard)
{
    struct slice argv[1] = { slice_str("k") };
    struct op op = { .kind = OP_GET, .slot = slot_in(l, shard), .argv = argv,
                     .argc = 1 };

    submit(l, node, q, shard, &op);
}
