/* Links over env_uv on loopback. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "env/env_uv.h"
#include "lib/test.h"
#include "unit/peer/fixture.h"

struct count {
    const unsigned *value;
    unsigned at_least;
};

static bool reached(void *ctx)
{
    const struct count *c = ctx;

    return *c->value >= c->at_least;
}

static void until_count(struct fix *fix, const unsigned *value, unsigned n)
{
    struct count c = { value, n };

    fix_until(fix, reached, &c);
}

/* ---- the ordinary course ---- */

TEST(link, two_nodes_that_know_each_other_exchange_frames_both_ways)
{
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];

    fix_open(&fix, 2);
    node_add(b, a);
    node_up(a, b);
    until_count(&fix, &b->n_up, 1);
    CHECK_EQ(node_send(a, 2, "ping", 4), 0);
    CHECK_EQ(node_send(b, 1, "pong", 4), 0);
    until_count(&fix, &a->n_frames, 1);
    until_count(&fix, &b->n_frames, 1);
    CHECK_MEM(buf_at(&b->got), "ping", 4);
    CHECK_MEM(buf_at(&a->got), "pong", 4);
    CHECK_EQ(b->from, 1);
    CHECK_EQ(b->head.kind, FRAME_RAFT);
    CHECK_EQ(b->head.group, 3);
    CHECK_EQ(links_instance(a->l, 2), 102);
    CHECK_EQ(links_instance(b->l, 1), 101);
    CHECK_EQ(links_instance(b->l, 77), 0);
    CHECK_EQ(links_queued(a->l, 2), 0);
    fix_close(&fix);
}

TEST(link, frames_arrive_in_the_order_they_were_sent)
{
    enum { N = 5000 };
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];

    fix_open(&fix, 2);
    links_add(b->l, 1, "127.0.0.1", a->cfg.port);
    node_up(a, b);
    for (uint32_t i = 0; i < N; i++)
        CHECK_EQ(node_send(a, 2, &i, sizeof i), 0);
    until_count(&fix, &b->n_frames, N);
    for (uint32_t i = 0; i < N; i++)
        CHECK_MEM(buf_at(&b->got) + i * sizeof i, &i, sizeof i);
    fix_close(&fix);
}
