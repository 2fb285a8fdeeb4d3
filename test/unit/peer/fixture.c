#include "unit/peer/fixture.h"

#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/mem.h"
#include "env/env_uv.h"
#include "lib/test.h"

/* ---- the loop ---- */

static void on_tick(struct env_timer *t)
{
    struct fix *fix = t->data;

    if (fix->until(fix->until_ctx))
        env_uv_stop(fix->env);
    else
        env_timer_set(t, env_now_ms(fix->env) + 1);
}

void fix_until(struct fix *fix, bool (*cond)(void *), void *ctx)
{
    fix->until = cond;
    fix->until_ctx = ctx;
    env_timer_set(&fix->tick, 0);
    env_uv_run(fix->env);
}

static bool count_down(void *ctx)
{
    return --*(unsigned *)ctx == 0;
}

void fix_settle(struct fix *fix)
{
    unsigned n = 10;

    fix_until(fix, count_down, &n);
}

static struct fix *logging; /* the env's log has no context of ours */
static struct env_ops logging_ops;

static void keep_line(struct env *env, enum env_log_level level,
                      const char *line)
{
    size_t n = strlen(line);
    struct fix *fix = logging;

    (void)env;
    (void)level;
    CHECK(fix->log_len + n + 2 < sizeof fix->log);
    memcpy(fix->log + fix->log_len, line, n);
    fix->log_len += n;
    fix->log[fix->log_len++] = '\n';
    fix->n_log++;
}

bool fix_logged(const struct fix *fix, const char *text)
{
    return strstr(fix->log, text) != NULL;
}

/* The end of each turn, as a node has it. */
static void on_turn(void *data)
{
    struct fix *fix = data;

    for (unsigned i = 0; i < fix->n_nodes; i++) {
        if (fix->nodes[i].l != NULL)
            links_flush(fix->nodes[i].l);
    }
}

void fix_open(struct fix *fix, unsigned n)
{
    memset(fix, 0, sizeof *fix);
    CHECK_EQ(env_uv_open(&fix->env), 0);
    logging = fix;
    logging_ops = *fix->env->ops;
    logging_ops.log = keep_line;
    fix->env->ops = &logging_ops;
    env_timer_init(fix->env, &fix->tick, on_tick, fix);
    env_on_turn(fix->env, on_turn, fix);
    CHECK(n <= NODES_MAX);
    fix->n_nodes = n;
    for (unsigned i = 0; i < n; i++) {
        struct node *node = &fix->nodes[i];

        node->fix = fix;
        node->id = i + 1;
        node->cfg = (struct link_config){
            .cluster_id = CLUSTER,
            .node_id = i + 1,
            .instance_id = 100 + i + 1,
            .host = "127.0.0.1",
            .queue_bytes_max = 8u << 20,
            .dial_timeout_ms = 60000,
            .retry_ms_min = 1,
            .retry_ms_max = 4,
            .ping_ms = 60000,
        };
        node_start(node, 0);
    }
}

void fix_close(struct fix *fix)
{
    for (unsigned i = 0; i < fix->n_nodes; i++) {
        node_stop(&fix->nodes[i]);
        buf_close(&fix->nodes[i].got);
    }
    env_uv_free(fix->env);
}

/* ---- nodes ---- */

static void on_frame(void *ctx, uint64_t from, const struct frame_head *head,
                     struct slice payload)
{
    struct node *n = ctx;

    CHECK(n->l != NULL);
    n->n_frames++;
    n->from = from;
    n->head = *head;
    buf_put_slice(&n->got, payload);
}

static void on_up(void *ctx, uint64_t peer)
{
    struct node *n = ctx;

    CHECK(links_is_up(n->l, peer));
    n->n_up++;
}

static void on_down(void *ctx, uint64_t peer, int reason)
{
    struct node *n = ctx;

    CHECK(!links_is_up(n->l, peer));
    n->n_down++;
    n->down_reason = reason;
}

static void on_lost(void *ctx, uint64_t peer)
{
    struct node *n = ctx;

    CHECK(peer != n->id);
    n->n_lost++;
}

static const struct links_ops node_ops = {
    .frame = on_frame, .up = on_up, .down = on_down, .lost = on_lost
};

void node_start(struct node *n, uint16_t port)
{
    CHECK(n->l == NULL);
    n->cfg.port = port;
    n->closed = false;
    CHECK_EQ(links_open(n->fix->env, &n->cfg, &node_ops, n, &n->l), 0);
    n->cfg.port = links_port(n->l);
}

static void on_node_closed(void *ctx)
{
    struct node *n = ctx;

    n->closed = true;
}

static bool node_closed(void *ctx)
{
    return ((struct node *)ctx)->closed;
}

void node_stop(struct node *n)
{
    if (n->l == NULL)
        return;
    links_close(n->l, on_node_closed, n);
    CHECK(!n->closed); /* not inside the call */
    n->l = NULL;
    fix_until(n->fix, node_closed, n);
}

void node_add(struct node *a, const struct node *b)
{
    links_add(a->l, b->id, "127.0.0.1", b->cfg.port);
}

struct pair {
    const struct node *a, *b;
};

static bool pair_up(void *ctx)
{
    const struct pair *p = ctx;

    return links_is_up(p->a->l, p->b->id);
}

void node_up(struct node *a, const struct node *b)
{
    struct pair p = { a, b };

    node_add(a, b);
    fix_until(a->fix, pair_up, &p);
}

int node_send(struct node *a, uint64_t to, const void *p, size_t n)
{
    struct frame *f = frame_new(FRAME_RAFT, 3);

    buf_put(&f->body, p, n);
    frame_seal(f);
    env_wake(a->fix->env);
    return links_send(a->l, to, f);
}

/* ---- raw connections ---- */

static void raw_data(void *ctx, const uint8_t *p, size_t n)
{
    struct raw *r = ctx;

    buf_put(&r->in, p, n);
}

static void raw_end(void *ctx, int status)
{
    struct raw *r = ctx;

    r->ended = true;
    r->end_status = status;
}

static const struct env_stream_ops raw_ops = { .data = raw_data,
                                               .end = raw_end };

static void raw_take(struct raw *r, struct env_stream *stream)
{
    CHECK(r->stream == NULL);
    r->stream = stream;
    r->ended = r->closed = false;
    buf_clear(&r->in);
    env_stream_start(r->fix->env, stream, &raw_ops, r);
}

static void raw_dialed(void *ctx, int status, struct env_stream *stream)
{
    struct raw *r = ctx;

    CHECK_EQ(status, 0);
    raw_take(r, stream);
}

static bool raw_has_stream(void *ctx)
{
    return ((struct raw *)ctx)->stream != NULL;
}

void raw_dial(struct raw *r, struct fix *fix, uint16_t port)
{
    memset(r, 0, sizeof *r);
    r->fix = fix;
    CHECK_EQ(
        env_dial(fix->env, "127.0.0.1", port, 60000, raw_dialed, r, &r->dial),
        0);
    fix_until(fix, raw_has_stream, r);
}

static void raw_stream_closed(void *ctx)
{
    ((struct raw *)ctx)->closed = true;
}

static void raw_surplus_closed(void *ctx)
{
    ((struct raw *)ctx)->n_surplus--;
}

static void raw_accepted(void *ctx, struct env_stream *stream)
{
    struct raw *r = ctx;

    r->n_accepted++;
    if (r->stream == NULL) {
        raw_take(r, stream);
        return;
    }
    r->n_surplus++;
    env_stream_close(r->fix->env, stream, raw_surplus_closed, r);
}

void raw_listen(struct raw *r, struct fix *fix)
{
    memset(r, 0, sizeof *r);
    r->fix = fix;
    CHECK_EQ(
        env_listen(fix->env, "127.0.0.1", 0, raw_accepted, r, &r->listener), 0);
}

void raw_write(struct raw *r, const void *p, size_t n)
{
    struct slice part = slice_make(p, n);

    CHECK_EQ(env_stream_try_write(r->fix->env, r->stream, &part, 1), n);
}

void raw_frame(struct raw *r, struct frame *f)
{
    struct slice parts[8];
    unsigned n = frame_parts(f, parts, 8);

    CHECK_EQ(frame_n_parts(f), n);
    CHECK_EQ(env_stream_try_write(r->fix->env, r->stream, parts, n), f->bytes);
    frame_free(f);
}

static bool raw_is_closed(void *ctx)
{
    const struct raw *r = ctx;

    return r->closed && r->n_surplus == 0;
}

void raw_fix_head(uint8_t head[FRAME_HEAD_BYTES])
{
    uint32_t crc = crc32c(0, head, 4);

    crc = crc32c(crc, head + 8, 2);
    crc = crc32c(crc, head + 12, 4);
    put_u16le(head + 10, (uint16_t)(crc >> 16 ^ crc));
}

void raw_close(struct raw *r)
{
    if (r->listener != NULL) { /* first: it could accept another stream */
        r->closed = false;
        env_listener_close(r->fix->env, r->listener, raw_stream_closed, r);
        r->listener = NULL;
        fix_until(r->fix, raw_is_closed, r);
    }
    if (r->stream != NULL) {
        r->closed = false;
        env_stream_close(r->fix->env, r->stream, raw_stream_closed, r);
        r->stream = NULL;
        fix_until(r->fix, raw_is_closed, r);
    }
    buf_close(&r->in);
}

static bool raw_ended(void *ctx)
{
    return ((struct raw *)ctx)->ended;
}

void raw_until_end(struct raw *r)
{
    fix_until(r->fix, raw_ended, r);
}

struct link_hello raw_hello(const struct node *n, uint64_t from)
{
    return (struct link_hello){ .version_min = LINK_VERSION_MIN,
                                .version_max = LINK_VERSION_MAX,
                                .cluster_id = CLUSTER,
                                .node_id = from,
                                .instance_id = 900 + from,
                                .receiver_id = n->id };
}

static bool raw_has_frame(void *ctx)
{
    struct raw *r = ctx;
    struct frame_head head;
    struct slice payload;
    size_t used;

    return frame_decode(buf_slice(&r->in), &head, &payload, &used) == 0;
}

struct link_ack raw_ack(struct raw *r)
{
    struct frame_head head;
    struct slice payload;
    struct link_ack ack;
    size_t used;

    fix_until(r->fix, raw_has_frame, r);
    CHECK_EQ(frame_decode(buf_slice(&r->in), &head, &payload, &used), 0);
    CHECK_EQ(head.kind, FRAME_HELLO_ACK);
    CHECK_EQ(link__ack_decode(payload, &ack), 0);
    buf_consume(&r->in, used);
    return ack;
}
