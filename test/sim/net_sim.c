/* Connections: two ends, two pipes.
 *
 *            pipe[0]: what side 0 (the dialler) writes
 *   end[0] ==========================================> end[1]
 *          <==========================================
 *            pipe[1]: what side 1 (the listener) writes
 *
 * Written bytes are cut into segments of random size.  Each travels for the
 * latency of its direction, never overtaking the one before it, waits in the pipe
 * until the reader wants it (started, not paused, not closed) and is then handed
 * over by one `data` call.  A pipe holds `window` bytes; more wait in env_stream_write,
 * or are not taken by env_stream_try_write.
 *
 * Cuts.  A segment that is sent or arrives while its direction is cut is stalled,
 * and so is all that follows: TCP loses nothing, it sends again.  The heal lets what
 * is stalled travel anew.  While the way back is cut, no acknowledgement arrives: the
 * writer's room stays taken (`held`) until the heal.
 *
 * Endings.  A close sends a FIN behind the bytes; the reader gets end(KV_EEOF).  A crash
 * or sim_net_reset sends a RST, which overtakes nothing either; from its arrival
 * writes fail, and the reader gets end(KV_ECONN) after the bytes before it.  Bytes
 * that arrive at an end whose process is gone, or that was closed, are answered by a
 * RST.  A host that was powered off answers nothing until it has power again.
 *
 * N1  A pipe's segments are delivered in order, each byte once.
 * N2  After close_cb, and after end, no data; after close_cb, nothing at all.
 * N3  conn.events counts posted events that name the conn; it is freed when both
 *     ends are gone and no event is left.
 * N4  A conn's callbacks run from events only, never inside a call from above.
 * N5  What is sent into a black hole (half-open, net_ways.c) is never acknowledged,
 *     so no more than a window of it is taken. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "sim/net_int.h"

/* Post an event about a pipe, for the node at its end. */
void sim__conn_post(struct sim_conn *c, unsigned side, uint64_t delay,
                    sim_event_cb run, const char *name)
{
    struct sim_event *ev = sim__post(c->sim, delay, run, name);

    ev->node = reader_node(c, side);
    ev->ptr = c;
    ev->arg = side;
    c->events++;
}

void sim__conn_release(struct sim_conn *c)
{
    if (c->end[0].proc != NULL || c->end[1].proc != NULL || c->events > 0)
        return;
    list_del(&c->link);
    for (unsigned i = 0; i < SIDES; i++) {
        while (!list_empty(&c->pipe[i].segs)) {
            struct seg *g = LIST_FIRST(&c->pipe[i].segs, struct seg, link);

            list_del(&g->link);
            mem_free(g);
        }
        sim__frames_drop(&c->pipe[i]);
    }
    mem_free(c);
}

/* ---- sending ---- */

static struct seg *seg_new(size_t len)
{
    struct seg *g = sim__alloc(sizeof *g + len);

    g->len = len;
    return g;
}

static void seg_send(struct sim_conn *c, unsigned side, struct seg *g)
{
    struct sim *s = c->sim;
    struct pipe *pipe = &c->pipe[side];
    unsigned from = c->end[side].node, to = reader_node(c, side);
    uint64_t at;

    if (s->now < pipe->black_until) { /* N5 */
        mem_free(g);
        return;
    }
    at = s->now + sim__net_delay(s, from, to, g->len) +
         sim__net_late(s, from, to);
    list_add_tail(&pipe->segs, &g->link);
    if (sim__net_dead(s, from, to) || pipe->stalled > 0) {
        pipe->stalled++;
        return;
    }
    if (at < pipe->last_at)
        at = pipe->last_at;
    pipe->last_at = at;
    sim__conn_post(c, side, at - s->now, sim__seg_arrive, "segment");
}

void sim__send_mark(struct sim_conn *c, unsigned side, bool rst)
{
    struct seg *g = seg_new(0);

    g->fin = !rst;
    g->rst = rst;
    seg_send(c, side, g);
}

/* Half of the writes arrive whole; the others in pieces of any size. */
static size_t piece_size(struct sim *s, size_t n)
{
    if (n < 2 || rng_below(&s->rng, 2) == 0)
        return n;
    if (rng_below(&s->rng, 4) == 0)
        return 1 + rng_below(&s->rng, n < 16 ? n : 16);
    return 1 + rng_below(&s->rng, n);
}

/* Send n bytes, which fit. */
static void send_bytes(struct sim_conn *c, unsigned side, const uint8_t *p,
                       size_t n)
{
    struct sim_net *net = &c->sim->net;
    struct pipe *pipe = &c->pipe[side];

    ASSERT(pipe->bytes + n <= net->window);
    if (n > 0 && net->wire != NULL)
        net->wire(net->wire_ctx, pipe->id, c->end[side].node,
                  reader_node(c, side), slice_make(p, n), false);
    pipe->bytes += n;
    while (n > 0) {
        size_t k = piece_size(c->sim, n);
        struct seg *g = seg_new(k);

        memcpy(g->data, p, k);
        seg_send(c, side, g);
        p += k;
        n -= k;
    }
}

static size_t room(const struct sim_conn *c, unsigned side)
{
    ASSERT(c->pipe[side].bytes <= c->sim->net.window);
    return c->sim->net.window - c->pipe[side].bytes;
}

static void write_done(struct sim *s, struct sim_event *ev)
{
    struct env_write *w = ev->ptr;

    (void)s;
    w->cb(w, -(int)ev->arg);
}

static void pending_end(struct env_stream *st, struct pending *pd, int status)
{
    ASSERT(status <= 0);
    sim__post_proc(st->proc, 0, write_done, "written", pd->w)->arg =
        (uint64_t)-status;
    list_del(&pd->link);
    mem_free(pd);
}

static void pending_push(struct env_stream *st)
{
    while (!list_empty(&st->writes)) {
        struct pending *pd = LIST_FIRST(&st->writes, struct pending, link);
        size_t n = pd->len - pd->done;
        size_t k = room(st->conn, st->side);

        if (k > n)
            k = n;
        send_bytes(st->conn, st->side, pd->data + pd->done, k);
        pd->done += k;
        if (pd->done < pd->len)
            return;
        pending_end(st, pd, 0);
    }
}

static void pending_cancel(struct env_stream *st, int status)
{
    while (!list_empty(&st->writes))
        pending_end(st, LIST_FIRST(&st->writes, struct pending, link), status);
}

long sim__stream_try_write(struct env *e, struct env_stream *st,
                           const struct slice *parts, unsigned n)
{
    struct sim *s = sim__proc(e)->sim;
    size_t left = room(st->conn, st->side), done = 0;

    ASSERT(!st->closing);
    ASSERT(list_empty(&st->writes));
    if (st->broken)
        return KV_ECONN;
    /* Now and then a socket takes less than it could. */
    if (rng_below(&s->rng, 16) == 0)
        left = rng_below(&s->rng, left + 1);
    for (unsigned i = 0; i < n && left > 0; i++) {
        size_t k = parts[i].n < left ? parts[i].n : left;

        send_bytes(st->conn, st->side, parts[i].p, k);
        done += k;
        left -= k;
    }
    return (long)done;
}

int sim__stream_write(struct env *e, struct env_stream *st,
                      struct env_write *w, const struct slice *parts,
                      unsigned n)
{
    struct pending *pd;
    size_t len = 0;

    ASSERT(!st->closing);
    ASSERT(st->proc == sim__proc(e));
    ASSERT(w->cb != NULL);
    for (unsigned i = 0; i < n; i++)
        len += parts[i].n;
    pd = sim__alloc(sizeof *pd + len);
    pd->w = w;
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].n > 0)
            memcpy(pd->data + pd->len, parts[i].p, parts[i].n);
        pd->len += parts[i].n;
    }
    list_add_tail(&st->writes, &pd->link);
    if (st->broken)
        pending_cancel(st, KV_ECONN);
    else
        pending_push(st);
    return 0;
}

/* ---- receiving ---- */

/* The reader has got n bytes: the writer may send as many. */
void sim__acknowledge(struct sim_conn *c, unsigned side, size_t n)
{
    struct pipe *pipe = &c->pipe[side];
    struct env_stream *writer = &c->end[side];

    if (sim__net_dead(c->sim, reader_node(c, side), writer->node)) {
        pipe->held += n;
        return;
    }
    ASSERT(pipe->bytes >= n);
    pipe->bytes -= n;
    if (writer->proc != NULL && !writer->closing && !writer->broken)
        pending_push(writer);
}

static void seg_drop(struct pipe *pipe, struct seg *g)
{
    ASSERT(pipe->arrived > 0);
    pipe->arrived--;
    list_del(&g->link);
    mem_free(g);
}

static void stream_end(struct env_stream *st, int status)
{
    if (st->ended || st->closing)
        return;
    st->ended = true;
    if (st->ops->end != NULL)
        st->ops->end(st->ctx, status);
}

/* Hand over one segment, or the end. */
static void deliver(struct sim_conn *c, unsigned side, struct seg *g)
{
    struct sim_net *net = &c->sim->net;
    struct env_stream *st = &c->end[1 - side];
    int status = g->rst ? KV_ECONN : KV_EEOF;

    if (g->len == 0) {
        bool nothing = g->lost;

        seg_drop(&c->pipe[side], g);
        if (!nothing)
            stream_end(st, status);
        return;
    }
    sim__note(c->sim, crc32c((uint32_t)c->pipe[side].id, g->data, g->len));
    if (net->wire != NULL)
        net->wire(net->wire_ctx, c->pipe[side].id, c->end[side].node,
                  st->node, slice_make(g->data, g->len), true);
    /* Out of the pipe first: the callback may close the stream. */
    c->pipe[side].arrived--;
    list_del(&g->link);
    sim__acknowledge(c, side, g->len);
    sim__frames_take(c, side, g->data, g->len);
    mem_free(g);
}

/* Nobody reads there any more: take what arrived, answer bytes with a RST. */
static void discard(struct sim_conn *c, unsigned side)
{
    struct pipe *pipe = &c->pipe[side];
    struct env_stream *writer = &c->end[side];
    bool bytes = false;

    while (pipe->arrived > 0) {
        struct seg *g = LIST_FIRST(&pipe->segs, struct seg, link);

        bytes = bytes || g->len > 0;
        sim__acknowledge(c, side, g->len);
        seg_drop(pipe, g);
    }
    if (bytes && writer->proc != NULL && !writer->broken)
        sim__send_mark(c, 1 - side, true);
}

static bool has_reset(struct pipe *pipe)
{
    struct list *at = pipe->segs.next;

    for (unsigned i = 0; i < pipe->arrived; i++) {
        if (CONTAINER_OF(at, struct seg, link)->rst)
            return true;
        at = at->next;
    }
    return false;
}

static void pump(struct sim_conn *c, unsigned side)
{
    struct pipe *pipe = &c->pipe[side];
    struct env_stream *st = &c->end[1 - side];
    bool reads = st->proc != NULL && !st->closing;

    if (reads && !st->broken && has_reset(pipe)) {
        st->broken = true;
        pending_cancel(st, KV_ECONN);
    }
    if (!reads || st->ended) {
        discard(c, side);
        return;
    }
    while (pipe->arrived > 0 && st->ops != NULL && !st->paused &&
           !st->closing && !st->ended)
        deliver(c, side, LIST_FIRST(&pipe->segs, struct seg, link));
}

void sim__seg_arrive(struct sim *s, struct sim_event *ev)
{
    struct sim_conn *c = ev->ptr;
    unsigned side = (unsigned)ev->arg;
    struct pipe *pipe = &c->pipe[side];

    ASSERT(c->events > 0);
    if (sim__net_dead(s, c->end[side].node, reader_node(c, side))) {
        pipe->stalled++;
    } else {
        pipe->arrived++;
        pump(c, side);
    }
    c->events--;
    sim__conn_release(c);
}

static void wakeup(struct sim *s, struct sim_event *ev)
{
    struct sim_conn *c = ev->ptr;

    (void)s;
    pump(c, (unsigned)ev->arg);
    c->events--;
    sim__conn_release(c);
}

void sim__stream_start(struct env *e, struct env_stream *st,
                       const struct env_stream_ops *sops, void *ctx)
{
    ASSERT(st->proc == sim__proc(e));
    ASSERT(st->ops == NULL);
    st->ops = sops;
    st->ctx = ctx;
    sim__conn_post(st->conn, 1 - st->side, 0, wakeup, "start");
}

void sim__stream_pause(struct env *e, struct env_stream *st)
{
    ASSERT(st->proc == sim__proc(e));
    st->paused = true;
}

void sim__stream_resume(struct env *e, struct env_stream *st)
{
    ASSERT(st->proc == sim__proc(e));
    if (!st->paused)
        return;
    st->paused = false;
    sim__conn_post(st->conn, 1 - st->side, 0, wakeup, "resume");
}

void sim__stream_peer(struct env *e, struct env_stream *st, char *buf,
                      size_t n)
{
    const struct sim_conn *c = st->conn;

    (void)e;
    /* The dialler's port: any number that tells connections apart. */
    snprintf(buf, n, "%s:%u", sim_node_host(c->end[1 - st->side].node),
             st->side == 0 ? c->port
                           : 32768u + (unsigned)(c->pipe[0].id % 28000));
}

/* ---- closing ---- */

static void stream_gone(struct env_stream *st)
{
    ASSERT(st->proc->n_streams > 0);
    st->proc->n_streams--;
    st->proc = NULL;
}

static void closed(struct sim *s, struct sim_event *ev)
{
    struct env_stream *st = ev->ptr;
    struct sim_conn *c = st->conn;
    env_close_cb cb = st->close_cb;
    void *ctx = st->close_ctx;

    (void)s;
    c->events--;
    stream_gone(st);
    discard(c, 1 - st->side);
    sim__conn_release(c);
    if (cb != NULL)
        cb(ctx);
}

void sim__stream_close(struct env *e, struct env_stream *st, env_close_cb cb,
                       void *ctx)
{
    ASSERT(st->proc == sim__proc(e));
    ASSERT(!st->closing);
    pending_cancel(st, KV_ECANCELED);
    if (!st->broken)
        sim__send_mark(st->conn, st->side, false);
    st->closing = true;
    st->close_cb = cb;
    st->close_ctx = ctx;
    st->conn->events++;
    sim__post_proc(st->proc, 0, closed, "closed", st);
}

/* What was not on its way yet is in no send buffer any more. */
static void forget_stalled(struct pipe *pipe)
{
    for (; pipe->stalled > 0; pipe->stalled--) {
        struct seg *g = CONTAINER_OF(pipe->segs.prev, struct seg, link);

        list_del(&g->link);
        mem_free(g);
    }
}

static void end_crash(struct env_stream *st, bool dark)
{
    struct sim_conn *c = st->conn;

    if (dark)
        forget_stalled(&c->pipe[st->side]);

    while (!list_empty(&st->writes)) {
        struct pending *pd = LIST_FIRST(&st->writes, struct pending, link);

        list_del(&pd->link);
        mem_free(pd);
    }
    if (st->closing)
        c->events--; /* its "closed" will not run */
    else if (!dark && !st->broken)
        sim__send_mark(c, st->side, true);
    st->closing = true;
    stream_gone(st);
    discard(c, 1 - st->side);
}

void sim__net_drop_proc(struct sim_proc *p, bool dark)
{
    struct list *at = p->sim->net.conns.next;

    sim__net_drop_dials(p);
    while (at != &p->sim->net.conns) {
        struct sim_conn *c = CONTAINER_OF(at, struct sim_conn, link);

        at = at->next;
        for (unsigned i = 0; i < SIDES; i++) {
            if (c->end[i].proc == p)
                end_crash(&c->end[i], dark);
        }
        sim__conn_release(c);
    }
    ASSERT(p->n_streams == 0);
}

/* ---- beginnings ---- */

static void end_init(struct sim_conn *c, unsigned side, struct sim_proc *p)
{
    struct env_stream *st = &c->end[side];
    struct pipe *pipe = &c->pipe[side];

    st->conn = c;
    st->side = side;
    st->node = p->node->id;
    st->incarnation = p->incarnation;
    st->proc = p;
    p->n_streams++;
    list_init(&st->writes);
    list_init(&pipe->segs);
    list_init(&pipe->framing.late);
    pipe->id = ++c->sim->net.next_id;
}

struct sim_conn *sim__conn_new(struct sim_proc *client,
                               struct sim_proc *server, uint16_t port)
{
    struct sim_conn *c = SIM_NEW(struct sim_conn);

    c->sim = client->sim;
    c->port = port;
    end_init(c, 0, client);
    end_init(c, 1, server);
    list_add_tail(&c->sim->net.conns, &c->link);
    return c;
}

struct env_stream *sim__conn_end(struct sim_conn *c, unsigned side)
{
    ASSERT(side < SIDES);
    return &c->end[side];
}

void sim__conn_abandon(struct sim_conn *c)
{
    end_crash(&c->end[0], false);
    sim__conn_release(c);
}
