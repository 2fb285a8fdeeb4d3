/* Who may come in, and what a connection may say. */
#include <string.h>

#include "base/codec.h"
#include "base/crc.h"
#include "base/err.h"
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

/* Node 1, which knows a node 2 that never answers. */
static struct node *one_node(struct fix *fix, struct raw *two)
{
    struct node *n;

    fix_open(fix, 1);
    n = &fix->nodes[0];
    raw_listen(two, fix);
    links_add(n->l, 2, "127.0.0.1", env_listener_port(fix->env, two->listener));
    return n;
}

static void finish(struct fix *fix, struct raw *two, struct raw *r)
{
    if (r != NULL)
        raw_close(r);
    raw_close(two);
    fix_close(fix);
}

/* ---- the messages ---- */

TEST(hello, both_messages_survive_encoding_and_ignore_what_later_ones_add)
{
    struct link_hello h = { .version_min = 1,
                            .version_max = 3,
                            .cluster_id = 4,
                            .node_id = 5,
                            .instance_id = 6,
                            .receiver_id = 7,
                            .features = 8 };
    struct link_ack a = {
        .version = 2, .node_id = 3, .instance_id = 4, .features = 5
    };
    struct frame *f = link__hello_frame(&h);
    struct link_hello h2;
    struct link_ack a2;
    struct buf more;

    buf_init(&more);
    buf_put(&more, buf_at(&f->body) + FRAME_HEAD_BYTES,
            f->body.len - FRAME_HEAD_BYTES);
    CHECK_EQ(more.len, 48);
    for (size_t n = 0; n < more.len; n++)
        CHECK_EQ(link__hello_decode(slice_make(buf_at(&more), n), &h2),
                 KV_EPROTO);
    buf_put_str(&more, "a later field");
    CHECK_EQ(link__hello_decode(buf_slice(&more), &h2), 0);
    CHECK_EQ(h2.version_min, 1);
    CHECK_EQ(h2.version_max, 3);
    CHECK_EQ(h2.cluster_id, 4);
    CHECK_EQ(h2.node_id, 5);
    CHECK_EQ(h2.instance_id, 6);
    CHECK_EQ(h2.receiver_id, 7);
    CHECK_EQ(h2.features, 8);
    frame_free(f);

    f = link__ack_frame(&a);
    buf_clear(&more);
    buf_put(&more, buf_at(&f->body) + FRAME_HEAD_BYTES,
            f->body.len - FRAME_HEAD_BYTES);
    CHECK_EQ(more.len, 32);
    for (size_t n = 0; n < more.len; n++)
        CHECK_EQ(link__ack_decode(slice_make(buf_at(&more), n), &a2),
                 KV_EPROTO);
    buf_put_str(&more, "a later field");
    CHECK_EQ(link__ack_decode(buf_slice(&more), &a2), 0);
    CHECK_EQ(a2.version, 2);
    CHECK_EQ(a2.node_id, 3);
    CHECK_EQ(a2.instance_id, 4);
    CHECK_EQ(a2.features, 5);
    frame_free(f);
    buf_close(&more);
}

TEST(hello, an_empty_version_range_is_malformed)
{
    struct link_hello h;
    uint8_t p[48] = { 2, 0, 1, 0 };

    CHECK_EQ(link__hello_decode(slice_make(p, sizeof p), &h), KV_EPROTO);
}

TEST(hello, every_refusal_has_a_text_even_one_of_a_later_release)
{
    CHECK_STR(link__refusal_text(LINK_REFUSED_UNKNOWN),
              "node is not a member of this cluster");
    CHECK(strstr(link__refusal_text(99), "does not know") != NULL);
}

/* ---- the listener's side ---- */

TEST(hello, a_known_peer_is_accepted_and_its_frames_are_handed_up)
{
    struct fix fix;
    struct raw two, r;
    struct node *n = one_node(&fix, &two);
    struct link_hello h = raw_hello(n, 2);
    struct frame *f = frame_new(FRAME_FORWARD, 11);
    struct link_ack ack;

    raw_dial(&r, &fix, n->cfg.port);
    h.version_max = 9; /* a later release: the highest common one is chosen */
    raw_frame(&r, link__hello_frame(&h));
    ack = raw_ack(&r);
    CHECK_EQ(ack.refusal, LINK_ACCEPTED);
    CHECK_EQ(ack.version, LINK_VERSION_MAX);
    CHECK_EQ(ack.node_id, 1);
    CHECK_EQ(ack.instance_id, 101);
    CHECK_EQ(links_instance(n->l, 2), 902);
    buf_put_str(&f->body, "work");
    frame_seal(f);
    raw_frame(&r, f);
    until_count(&fix, &n->n_frames, 1);
    CHECK_EQ(n->from, 2);
    CHECK_EQ(n->head.kind, FRAME_FORWARD);
    CHECK_EQ(n->head.group, 11);
    CHECK_MEM(buf_at(&n->got), "work", 4);
    raw_close(&r);
    until_count(&fix, &n->n_lost, 1);
    finish(&fix, &two, NULL);
}

/* Say h to node 1, which must refuse it for this reason, in its log too, and
 * close. */
static void refused(const struct link_hello *change, enum link_refusal refusal)
{
    struct fix fix;
    struct raw two, r;
    struct node *n = one_node(&fix, &two);
    struct link_ack ack;

    raw_dial(&r, &fix, n->cfg.port);
    raw_frame(&r, link__hello_frame(change));
    ack = raw_ack(&r);
    CHECK_EQ(ack.refusal, refusal);
    CHECK_EQ(ack.version, 0);
    raw_until_end(&r);
    CHECK_EQ(r.end_status, KV_EEOF);
    CHECK(fix_logged(&fix, "inbound connection refused"));
    CHECK(fix_logged(&fix, link__refusal_text(refusal)));
    CHECK_EQ(n->n_lost, 0);
    CHECK_EQ(links_instance(n->l, 2), 0);
    finish(&fix, &two, &r);
}

static struct link_hello good(void)
{
    struct node n = { .id = 1 };

    return raw_hello(&n, 2);
}

TEST(hello, another_cluster_is_refused)
{
    struct link_hello h = good();

    h.cluster_id++;
    refused(&h, LINK_REFUSED_CLUSTER);
}

TEST(hello, a_dialler_that_means_another_node_is_refused)
{
    struct link_hello h = good();

    h.receiver_id = 3;
    refused(&h, LINK_REFUSED_RECEIVER);
}

TEST(hello, a_node_with_my_own_id_is_refused)
{
    struct link_hello h = good();

    h.node_id = 1;
    refused(&h, LINK_REFUSED_SELF);
}

TEST(hello, a_node_that_was_not_added_is_refused)
{
    struct link_hello h = good();

    h.node_id = 3;
    refused(&h, LINK_REFUSED_UNKNOWN);
}

TEST(hello, versions_without_overlap_are_refused)
{
    struct link_hello h = good();

    h.version_min = LINK_VERSION_MAX + 1;
    h.version_max = LINK_VERSION_MAX + 2;
    refused(&h, LINK_REFUSED_VERSION);
}

/* A stranger that says these bytes gets its connection closed, and no word. */
static void closed_on(const void *p, size_t n)
{
    struct fix fix;
    struct raw two, r;
    struct node *node = one_node(&fix, &two);

    raw_dial(&r, &fix, node->cfg.port);
    raw_write(&r, p, n);
    raw_until_end(&r);
    CHECK_EQ(r.in.len, 0);
    CHECK_EQ(node->n_frames, 0);
    finish(&fix, &two, &r);
}

TEST(hello, garbage_closes_the_connection)
{
    closed_on("GET / HTTP/1.1\r\n\r\n", 18);
}

TEST(hello, a_stranger_may_not_announce_a_large_frame)
{
    uint8_t head[FRAME_HEAD_BYTES] = { 0 };

    put_u32le(head, LINK_HELLO_BYTES_MAX - 3);
    head[8] = FRAME_VERSION;
    raw_fix_head(head);
    closed_on(head, sizeof head);
}

TEST(hello, a_stranger_must_begin_with_hello)
{
    struct frame *f = frame_new(FRAME_RAFT, 1);

    frame_seal(f);
    closed_on(buf_at(&f->body), f->body.len);
    frame_free(f);
}

TEST(hello, a_hello_that_is_too_short_closes_the_connection)
{
    struct frame *f = frame_new(FRAME_HELLO, FRAME_GROUP_NODE);

    buf_put_u32(&f->body, 1);
    frame_seal(f);
    closed_on(buf_at(&f->body), f->body.len);
    frame_free(f);
}

TEST(hello, a_stranger_that_says_nothing_is_closed_after_the_deadline)
{
    struct fix fix;
    struct raw r;
    struct node *n;

    fix_open(&fix, 1);
    n = &fix.nodes[0];
    node_stop(n);
    n->cfg.dial_timeout_ms = 20;
    node_start(n, 0);
    raw_dial(&r, &fix, n->cfg.port);
    raw_until_end(&r);
    CHECK(fix_logged(&fix, "did not say who it is in time"));
    raw_close(&r);
    fix_close(&fix);
}

TEST(hello, one_stranger_too_many_drops_the_oldest_and_peers_still_get_in)
{
    static struct raw r[LINK_STRANGERS_MAX + 1];
    struct fix fix;
    struct raw two;
    struct node *n = one_node(&fix, &two);
    struct link_hello h = raw_hello(n, 2);

    for (unsigned i = 0; i <= LINK_STRANGERS_MAX; i++)
        raw_dial(&r[i], &fix, n->cfg.port);
    raw_until_end(&r[0]);
    CHECK(!r[1].ended);
    raw_frame(&r[LINK_STRANGERS_MAX], link__hello_frame(&h));
    CHECK_EQ(raw_ack(&r[LINK_STRANGERS_MAX]).refusal, LINK_ACCEPTED);
    CHECK(!r[1].ended);
    for (unsigned i = 0; i <= LINK_STRANGERS_MAX; i++)
        raw_close(&r[i]);
    finish(&fix, &two, NULL);
}

TEST(hello, many_refusals_are_one_line_in_the_log)
{
    struct fix fix;
    struct raw two;
    struct node *n = one_node(&fix, &two);

    for (unsigned i = 0; i < 20; i++) {
        struct link_hello h = raw_hello(n, 77);
        struct raw r;

        raw_dial(&r, &fix, n->cfg.port);
        raw_frame(&r, link__hello_frame(&h));
        raw_until_end(&r);
        raw_close(&r);
    }
    CHECK(fix.n_log < 20);
    finish(&fix, &two, NULL);
}

/* ---- established connections ---- */

/* An accepted connection from node 2. */
static struct node *accepted(struct fix *fix, struct raw *two, struct raw *r)
{
    struct node *n = one_node(fix, two);
    struct link_hello h = raw_hello(n, 2);

    raw_dial(r, fix, n->cfg.port);
    raw_frame(r, link__hello_frame(&h));
    CHECK_EQ(raw_ack(r).refusal, LINK_ACCEPTED);
    return n;
}

static struct frame *sealed(uint8_t kind, const char *text)
{
    struct frame *f = frame_new(kind, 1);

    buf_put_str(&f->body, text);
    frame_seal(f);
    return f;
}

TEST(link_in, frames_cut_at_any_byte_are_put_together)
{
    struct fix fix;
    struct raw two, r;
    struct node *n = accepted(&fix, &two, &r);
    struct frame *f = sealed(FRAME_RAFT, "abcde");
    struct buf wire;

    buf_init(&wire);
    buf_put_slice(&wire, buf_slice(&f->body));
    buf_put_slice(&wire, buf_slice(&f->body));
    for (size_t cut = 1; cut < wire.len; cut++) {
        unsigned before = n->n_frames;

        raw_write(&r, buf_at(&wire), cut);
        fix_settle(&fix);
        CHECK_EQ(n->n_frames, before + (cut >= f->bytes));
        raw_write(&r, buf_at(&wire) + cut, wire.len - cut);
        until_count(&fix, &n->n_frames, before + 2);
    }
    for (size_t i = 0; i < n->got.len; i += 5)
        CHECK_MEM(buf_at(&n->got) + i, "abcde", 5);
    frame_free(f);
    buf_close(&wire);
    finish(&fix, &two, &r);
}

TEST(link_in, a_corrupt_frame_closes_and_what_follows_is_not_handed_up)
{
    struct fix fix;
    struct raw two, r;
    struct node *n = accepted(&fix, &two, &r);
    struct frame *f = sealed(FRAME_RAFT, "abcde");
    struct buf wire;

    buf_init(&wire);
    for (int i = 0; i < 3; i++)
        buf_put_slice(&wire, buf_slice(&f->body));
    buf_at(&wire)[f->bytes + FRAME_HEAD_BYTES] ^= 4; /* in the second */
    raw_write(&r, buf_at(&wire), wire.len);
    raw_until_end(&r);
    CHECK_EQ(n->n_frames, 1);
    frame_free(f);
    buf_close(&wire);
    finish(&fix, &two, &r);
}

/* A length that is damaged must not be waited for: pings would fill it, and the
 * link would look alive for as long as that takes. */
TEST(link_in, a_damaged_length_closes_at_once_and_is_logged)
{
    struct fix fix;
    struct raw two, r;
    struct node *n = accepted(&fix, &two, &r);
    struct frame *f = sealed(FRAME_RAFT, "abcde");

    put_u32le(buf_at(&f->body), FRAME_BYTES_MAX / 2);
    raw_write(&r, buf_at(&f->body), FRAME_HEAD_BYTES);
    raw_until_end(&r);
    CHECK_EQ(n->n_frames, 0);
    CHECK(fix_logged(&fix, "inbound connection dropped"));
    CHECK(fix_logged(&fix, "peer=2 why=\"data is corrupt\""));
    frame_free(f);
    finish(&fix, &two, &r);
}

static void closed_after_hello(struct frame *f)
{
    struct fix fix;
    struct raw two, r;
    struct node *n = accepted(&fix, &two, &r);

    raw_frame(&r, f);
    raw_until_end(&r);
    CHECK_EQ(n->n_frames, 0);
    CHECK_EQ(n->n_lost, 0);
    finish(&fix, &two, &r);
}

TEST(link_in, a_second_hello_closes_the_connection)
{
    struct link_hello h = good();

    closed_after_hello(link__hello_frame(&h));
}

TEST(link_in, a_length_above_the_limit_closes_the_connection)
{
    struct frame *f = sealed(FRAME_RAFT, "");

    put_u32le(buf_at(&f->body), FRAME_BYTES_MAX - 3);
    closed_after_hello(f);
}

TEST(link_in, an_announced_length_takes_no_memory_before_its_bytes_come)
{
    struct fix fix;
    struct raw two, r;
    struct node *n = accepted(&fix, &two, &r);
    uint8_t head[FRAME_HEAD_BYTES] = { 0 };
    const struct peer *p = map_get(&n->l->peers, 2);

    put_u32le(head, FRAME_BYTES_MAX - 4);
    head[8] = FRAME_VERSION;
    raw_fix_head(head);
    raw_write(&r, head, sizeof head);
    fix_settle(&fix);
    CHECK_EQ(p->in->in.len, sizeof head);
    CHECK(p->in->in.cap < 4096);
    finish(&fix, &two, &r);
}

TEST(link_in, a_newer_connection_replaces_the_older_and_its_unread_frames)
{
    struct fix fix;
    struct raw two, old, newer;
    struct node *n = accepted(&fix, &two, &old);
    struct link_hello h = raw_hello(n, 2);
    struct frame *f = sealed(FRAME_RAFT, "stale");

    raw_write(&old, buf_at(&f->body), f->body.len - 1); /* half a frame */
    fix_settle(&fix);
    raw_dial(&newer, &fix, n->cfg.port);
    raw_frame(&newer, link__hello_frame(&h));
    CHECK_EQ(raw_ack(&newer).refusal, LINK_ACCEPTED);
    raw_until_end(&old);
    raw_frame(&newer, sealed(FRAME_RAFT, "fresh"));
    until_count(&fix, &n->n_frames, 1);
    CHECK_MEM(buf_at(&n->got), "fresh", 5);
    CHECK_EQ(n->n_lost, 0); /* replaced, not lost */
    frame_free(f);
    raw_close(&old);
    raw_close(&newer);
    until_count(&fix, &n->n_lost, 1);
    finish(&fix, &two, NULL);
}

TEST(link_in, a_hello_that_was_delayed_does_not_replace_a_younger_connection)
{
    struct fix fix;
    struct raw two, old, newer;
    struct node *n = one_node(&fix, &two);
    struct link_hello h = raw_hello(n, 2);

    raw_dial(&old, &fix, n->cfg.port); /* says nothing yet */
    fix_settle(&fix);
    raw_dial(&newer, &fix, n->cfg.port);
    raw_frame(&newer, link__hello_frame(&h));
    CHECK_EQ(raw_ack(&newer).refusal, LINK_ACCEPTED);
    raw_frame(&old, link__hello_frame(&h));
    raw_until_end(&old);
    CHECK(!newer.ended);
    raw_frame(&newer, sealed(FRAME_RAFT, "fresh"));
    until_count(&fix, &n->n_frames, 1);
    raw_close(&old);
    raw_close(&newer);
    finish(&fix, &two, NULL);
}

/* ---- the dialler's side ---- */

/* Node 1 dials and gets this answer; it must close, say why, and try again. */
static void answered(struct frame *f, const char *why)
{
    struct fix fix;
    struct raw two;
    struct node *n = one_node(&fix, &two);

    until_count(&fix, &two.n_accepted, 1);
    raw_frame(&two, f);
    raw_until_end(&two);
    until_count(&fix, &two.n_accepted, 2);
    CHECK_EQ(n->n_up, 0);
    CHECK_EQ(n->n_down, 0);
    CHECK(!links_is_up(n->l, 2));
    CHECK(fix_logged(&fix, why));
    finish(&fix, &two, NULL);
}

TEST(link_out, a_refusal_is_logged_with_its_reason_and_tried_again)
{
    struct link_ack a = { .refusal = LINK_REFUSED_CLUSTER, .node_id = 2 };

    answered(link__ack_frame(&a), "belongs to another cluster");
}

TEST(link_out, an_answer_of_another_node_is_not_believed)
{
    struct link_ack a = { .version = 1, .node_id = 3, .instance_id = 1 };

    answered(link__ack_frame(&a), "another node answers at this address");
}

TEST(link_out, a_version_that_was_not_offered_is_not_believed)
{
    struct link_ack a = { .version = 9, .node_id = 2, .instance_id = 1 };

    answered(link__ack_frame(&a), "version not supported");
}

TEST(link_out, an_answer_that_is_no_hello_ack_closes_the_connection)
{
    answered(sealed(FRAME_RAFT, "x"), "protocol error");
}

TEST(link_out, frames_on_my_own_connection_are_not_accepted_from_the_peer)
{
    struct fix fix;
    struct raw two;
    struct node *n = one_node(&fix, &two);
    struct link_ack a = { .version = 1, .node_id = 2, .instance_id = 1 };

    until_count(&fix, &two.n_accepted, 1);
    raw_frame(&two, link__ack_frame(&a));
    until_count(&fix, &n->n_up, 1);
    raw_frame(&two, sealed(FRAME_RAFT, "x"));
    until_count(&fix, &n->n_down, 1);
    CHECK_EQ(n->down_reason, KV_EPROTO);
    CHECK_EQ(n->n_frames, 0);
    finish(&fix, &two, NULL);
}

TEST(link_out, a_peer_that_accepts_but_does_not_answer_is_given_up)
{
    struct fix fix;
    struct raw two;
    struct node *n;

    fix_open(&fix, 1);
    n = &fix.nodes[0];
    node_stop(n);
    n->cfg.dial_timeout_ms = 20;
    node_start(n, 0);
    raw_listen(&two, &fix);
    links_add(n->l, 2, "127.0.0.1", env_listener_port(fix.env, two.listener));
    until_count(&fix, &two.n_accepted, 3);
    CHECK_EQ(n->n_up, 0);
    CHECK(fix_logged(&fix, "timed out"));
    finish(&fix, &two, NULL);
}
