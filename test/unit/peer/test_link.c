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

static void send_big(struct node *a, uint64_t to, struct blob *b,
                     unsigned n_parts)
{
    struct frame *f = frame_new(FRAME_FORWARD, 9);

    for (unsigned i = 0; i < n_parts; i++) {
        buf_put_u8(&f->body, (uint8_t)i);
        frame_put_blob(f, b, 0, b->len);
    }
    frame_seal(f);
    env_wake(a->fix->env);
    CHECK_EQ(links_send(a->l, to, f), 0);
}

static struct blob *pattern(size_t n)
{
    struct blob *b = blob_new(n);

    for (size_t i = 0; i < n; i++)
        b->data[i] = (uint8_t)(i * 13 + i / 4096);
    return b;
}

TEST(link, frames_larger_than_any_socket_buffer_arrive_whole)
{
    enum { N = 17 << 20 };
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];
    struct blob *big = pattern(N);

    fix_open(&fix, 2);
    links_add(b->l, 1, "127.0.0.1", a->cfg.port);
    node_up(a, b);
    send_big(a, 2, big, 1);
    CHECK(links_queued(a->l, 2) > N); /* larger than the queue: it was empty */
    until_count(&fix, &b->n_frames, 1);
    CHECK_EQ(b->got.len, N + 1);
    CHECK_MEM(buf_at(&b->got) + 1, big->data, N);
    CHECK_EQ(b->head.kind, FRAME_FORWARD);
    CHECK_EQ(b->head.group, 9);
    fix_settle(&fix);
    CHECK_EQ(links_queued(a->l, 2), 0);
    CHECK_EQ(big->refs, 1); /* the frame is freed once it is written */
    blob_unref(big);
    fix_close(&fix);
}

TEST(link, frames_of_more_parts_than_one_write_takes_arrive_whole)
{
    enum { N = FRAME_SPLICE_MIN, PARTS = 700 };
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];
    struct blob *blob = pattern(N);

    fix_open(&fix, 2);
    links_add(b->l, 1, "127.0.0.1", a->cfg.port);
    node_up(a, b);
    send_big(a, 2, blob, PARTS);
    CHECK_EQ(node_send(a, 2, "end", 3), 0);
    until_count(&fix, &b->n_frames, 2);
    CHECK_EQ(b->got.len, PARTS * (N + 1) + 3);
    for (unsigned i = 0; i < PARTS; i++) {
        const uint8_t *at = buf_at(&b->got) + i * (N + 1);

        CHECK_EQ(*at, (uint8_t)i);
        CHECK_MEM(at + 1, blob->data, N);
    }
    CHECK_MEM(buf_at(&b->got) + PARTS * (N + 1), "end", 3);
    blob_unref(blob);
    fix_close(&fix);
}

TEST(link, sending_to_a_peer_that_is_down_or_unknown_drops_with_econn)
{
    struct fix fix;
    struct node *a = &fix.nodes[0];

    fix_open(&fix, 2);
    CHECK_EQ(node_send(a, 2, "x", 1), KV_ECONN); /* unknown */
    node_add(a, &fix.nodes[1]);
    CHECK_EQ(node_send(a, 2, "x", 1), KV_ECONN); /* not up yet */
    CHECK(!links_is_up(a->l, 2));
    CHECK(!links_is_up(a->l, 3));
    CHECK_EQ(links_queued(a->l, 2), 0);
    fix_close(&fix);
}

TEST(link, a_full_queue_refuses_and_takes_again_once_it_has_drained)
{
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];
    char kib[1024] = { 0 };
    unsigned sent = 0;

    fix_open(&fix, 2);
    node_stop(a);
    a->cfg.queue_bytes_max = 10 * (sizeof kib + FRAME_HEAD_BYTES);
    node_start(a, 0);
    links_add(b->l, 1, "127.0.0.1", a->cfg.port);
    node_up(a, b);
    while (node_send(a, 2, kib, sizeof kib) == 0)
        sent++;
    CHECK_EQ(sent, 10);
    CHECK_EQ(node_send(a, 2, kib, sizeof kib), KV_EBUSY);
    CHECK_EQ(links_queued(a->l, 2), a->cfg.queue_bytes_max);
    until_count(&fix, &b->n_frames, sent);
    CHECK_EQ(links_queued(a->l, 2), 0);
    CHECK_EQ(node_send(a, 2, kib, sizeof kib), 0);
    until_count(&fix, &b->n_frames, sent + 1);
    fix_close(&fix);
}

/* A peer that says HELLO_ACK and then reads nothing. */
TEST(link, a_peer_that_does_not_read_fills_the_queue_and_no_more)
{
    enum { N = 1 << 20 };
    struct fix fix;
    struct node *a = &fix.nodes[0];
    struct raw r;
    struct link_ack ack = { .version = 1, .node_id = 2, .instance_id = 5 };
    struct blob *mib = pattern(N);
    int rv;

    fix_open(&fix, 1);
    raw_listen(&r, &fix);
    links_add(a->l, 2, "127.0.0.1", env_listener_port(fix.env, r.listener));
    until_count(&fix, &r.n_accepted, 1);
    raw_frame(&r, link__ack_frame(&ack));
    until_count(&fix, &a->n_up, 1);
    env_stream_pause(fix.env, r.stream);
    do {
        struct frame *f = frame_new(FRAME_RAFT, 1);

        frame_put_blob(f, mib, 0, N);
        frame_seal(f);
        rv = links_send(a->l, 2, f);
        links_flush(a->l);
        fix_settle(&fix);
    } while (rv == 0);
    CHECK_EQ(rv, KV_EBUSY);
    CHECK(links_queued(a->l, 2) <= a->cfg.queue_bytes_max);
    CHECK(links_is_up(a->l, 2));
    raw_close(&r); /* with a write pending */
    until_count(&fix, &a->n_down, 1);
    CHECK_EQ(links_queued(a->l, 2), 0);
    CHECK_EQ(mib->refs, 1); /* nothing holds what was queued */
    blob_unref(mib);
    fix_close(&fix);
}

/* ---- coming and going ---- */

TEST(link, an_address_in_use_is_reported_when_the_links_open)
{
    struct fix fix;
    struct node *a = &fix.nodes[0];
    struct link_config cfg;
    struct links_ops ops = { 0 };
    struct links *l;

    fix_open(&fix, 1);
    cfg = a->cfg;
    CHECK_EQ(links_open(fix.env, &cfg, &ops, NULL, &l), KV_EADDRINUSE);
    cfg.host = "not a number";
    CHECK_EQ(links_open(fix.env, &cfg, &ops, NULL, &l), KV_EINVAL);
    fix_close(&fix);
}

TEST(link, a_peer_that_restarts_is_lost_and_down_and_then_reached_again)
{
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];

    fix_open(&fix, 2);
    node_add(b, a);
    node_up(a, b);
    until_count(&fix, &b->n_up, 1);
    node_stop(b);
    until_count(&fix, &a->n_down, 1);
    until_count(&fix, &a->n_lost, 1);
    CHECK_EQ(a->down_reason, KV_EEOF);
    CHECK_EQ(node_send(a, 2, "x", 1), KV_ECONN);
    node_start(b, b->cfg.port);
    node_add(b, a);
    until_count(&fix, &a->n_up, 2);
    CHECK_EQ(node_send(a, 2, "again", 5), 0);
    until_count(&fix, &b->n_frames, 1);
    CHECK_MEM(buf_at(&b->got), "again", 5);
    CHECK_EQ(a->n_lost, 1);
    CHECK_EQ(a->n_down, 1);
    CHECK(!fix_logged(&fix, "another data directory"));
    fix_close(&fix);
}

TEST(link, a_peer_with_a_new_instance_id_is_accepted_and_reported)
{
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];

    fix_open(&fix, 2);
    node_add(b, a);
    node_up(a, b);
    node_stop(b);
    b->cfg.instance_id = 0xabcdef;
    node_start(b, b->cfg.port);
    node_add(b, a);
    until_count(&fix, &a->n_up, 2);
    CHECK_EQ(links_instance(a->l, 2), 0xabcdef);
    CHECK(fix_logged(&fix, "peer came back with another data directory"));
    CHECK(fix_logged(&fix, "instance=0000000000abcdef was=0000000000000066"));
    fix_close(&fix);
}

TEST(link, a_peer_that_starts_late_is_dialled_until_it_is_there)
{
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];

    fix_open(&fix, 2);
    node_stop(b);
    node_add(a, b);
    for (int i = 0; i < 5; i++)
        fix_settle(&fix);
    CHECK(fix_logged(&fix, "msg=\"cannot reach peer\" peer=2"));
    CHECK_EQ(fix.n_log, 1); /* not once per attempt */
    node_start(b, b->cfg.port);
    links_add(b->l, 1, "127.0.0.1", a->cfg.port);
    until_count(&fix, &a->n_up, 1);
    CHECK_EQ(a->n_down, 0); /* it had not been up */
    fix_close(&fix);
}

TEST(link, a_peer_that_greets_is_dialled_at_once_however_long_the_backoff)
{
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];

    fix_open(&fix, 2);
    node_stop(a);
    a->cfg.retry_ms_min = a->cfg.retry_ms_max = 3600 * 1000;
    node_start(a, a->cfg.port);
    node_stop(b);
    node_add(a, b);
    fix_settle(&fix);
    CHECK(fix_logged(&fix, "cannot reach peer"));
    node_start(b, b->cfg.port);
    node_add(b, a);
    until_count(&fix, &a->n_up, 1); /* not in an hour */
    fix_close(&fix);
}

TEST(link, a_silent_link_is_kept_up_by_pings_from_both_ends)
{
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];

    fix_open(&fix, 2);
    for (int i = 0; i < 2; i++) {
        node_stop(&fix.nodes[i]);
        fix.nodes[i].cfg.ping_ms = 50;
        node_start(&fix.nodes[i], 0);
    }
    node_add(b, a);
    node_up(a, b);
    until_count(&fix, &b->n_up, 1);
    for (int i = 0; i < 50; i++) /* ten iterations of at least 1 ms each */
        fix_settle(&fix);
    CHECK_EQ(a->n_down + b->n_down + a->n_lost + b->n_lost, 0);
    CHECK_EQ(a->n_frames + b->n_frames, 0); /* pings are not handed up */
    fix_close(&fix);
}

TEST(link, a_peer_that_falls_silent_is_dropped_in_both_directions)
{
    struct fix fix;
    struct node *a = &fix.nodes[0];
    struct raw out, in;
    struct link_ack ack = { .version = 1, .node_id = 2, .instance_id = 5 };
    struct link_hello h;

    fix_open(&fix, 1);
    node_stop(a);
    a->cfg.ping_ms = 2;
    node_start(a, 0);
    raw_listen(&out, &fix);
    links_add(a->l, 2, "127.0.0.1", env_listener_port(fix.env, out.listener));
    until_count(&fix, &out.n_accepted, 1);
    raw_frame(&out, link__ack_frame(&ack));
    raw_dial(&in, &fix, a->cfg.port);
    h = raw_hello(a, 2);
    raw_frame(&in, link__hello_frame(&h));
    CHECK_EQ(raw_ack(&in).refusal, LINK_ACCEPTED);
    until_count(&fix, &a->n_down, 1);
    CHECK_EQ(a->down_reason, KV_ETIMEDOUT);
    raw_until_end(&in);
    CHECK_EQ(a->n_lost, 0); /* silence is no end of a process */
    raw_close(&in);
    raw_close(&out);
    fix_close(&fix);
}

TEST(link, closing_while_dialling_and_while_connected_completes)
{
    struct fix fix;
    struct node *a = &fix.nodes[0], *b = &fix.nodes[1];
    unsigned up;

    fix_open(&fix, 3);
    node_stop(&fix.nodes[2]);
    node_add(a, &fix.nodes[2]); /* refused, waiting */
    node_add(b, a);
    node_up(a, b);
    CHECK_EQ(node_send(a, 2, "x", 1), 0);
    up = a->n_up;
    node_stop(a); /* with a frame queued */
    fix_settle(&fix);
    CHECK_EQ(a->n_up, up);
    CHECK_EQ(a->n_down, 0);
    CHECK_EQ(a->n_lost, 0);
    node_start(a, 0);
    node_add(a, b); /* dialling */
    fix_close(&fix);
}
