/* Ways between hosts: how long bytes travel, what is lost, cut, reset.
 *
 * Loss.  TCP hides it: a lost packet is sent again after SIM_RTO_US, twice that the
 * next time, and what follows on its connection waits behind it.  So loss is a delay,
 * but a long one, of one connection; a lost SYN or SYN-ACK is sent again likewise.
 *
 * Abort.  Of the segments on their way a random one is cut somewhere and those
 * behind it are lost; then comes the RST.  So a frame ends anywhere.
 *
 * Half-open.  A RST is put into the way to one end, and until the given time
 * nothing that either end sends arrives (a firewall that forgot the connection).
 * After that the usual rule holds: bytes for an end that is gone are answered by a RST. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/net_int.h"

#define RTO_DOUBLINGS_MAX 5u
#define PPM 1000000u

/* ---- delays ---- */

bool sim__net_dead(const struct sim *s, unsigned from, unsigned to)
{
    return s->net.cut[from][to] || s->nodes[to].dark || s->nodes[from].dark;
}

uint64_t sim__net_delay(struct sim *s, unsigned from, unsigned to,
                        size_t bytes)
{
    struct sim_latency lat = s->net.lat[from][to];
    uint64_t *line = &s->net.line_free[from][to];
    uint64_t busy = (uint64_t)lat.per_kib_us * bytes / 1024;

    if (*line < s->now)
        *line = s->now;
    *line += busy;
    lat.per_kib_us = 0;
    return *line - s->now + sim__delay(s, lat, 0);
}

bool sim__net_lost(struct sim *s, unsigned from, unsigned to)
{
    uint32_t ppm = s->net.way[from][to].loss_ppm;

    return ppm != 0 && rng_below(&s->rng, PPM) < ppm;
}

uint64_t sim__net_late(struct sim *s, unsigned from, unsigned to)
{
    const struct sim_way *way = &s->net.way[from][to];
    uint64_t late = 0;

    for (unsigned i = 0; i < RTO_DOUBLINGS_MAX && sim__net_lost(s, from, to);
         i++)
        late += (uint64_t)SIM_RTO_US << i;
    if (way->tail_ppm != 0 && rng_below(&s->rng, PPM) < way->tail_ppm)
        late += rng_below(&s->rng, (uint64_t)way->tail_us + 1);
    return late;
}

/* ---- settings ---- */

#define EACH_WAY(a, b, from, to)                                  \
    for (unsigned a = 1; a <= SIM_NODES_MAX; a++)                 \
        for (unsigned b = 1; b <= SIM_NODES_MAX; b++)             \
            if (((from) == SIM_EVERY || (from) == a) &&           \
                ((to) == SIM_EVERY || (to) == b))

void sim__net_init(struct sim_net *net)
{
    list_init(&net->conns);
    list_init(&net->dials);
    net->window = 256u << 10;
    EACH_WAY(a, b, SIM_EVERY, SIM_EVERY)
        net->lat[a][b] = (struct sim_latency){ 100, 50, 1 };
}

void sim__net_close(struct sim *s)
{
    sim__dials_close(s);
    while (!list_empty(&s->net.conns)) {
        struct sim_conn *c = LIST_FIRST(&s->net.conns, struct sim_conn, link);

        c->events = 0;
        sim__conn_release(c);
    }
}

void sim_net_latency(struct sim *s, unsigned from, unsigned to,
                     struct sim_latency lat)
{
    EACH_WAY(a, b, from, to)
        s->net.lat[a][b] = lat;
}

void sim_net_tail(struct sim *s, unsigned from, unsigned to, uint32_t ppm,
                  uint32_t us)
{
    ASSERT(ppm <= PPM);
    EACH_WAY(a, b, from, to) {
        s->net.way[a][b].tail_ppm = ppm;
        s->net.way[a][b].tail_us = us;
    }
}

void sim_net_loss(struct sim *s, unsigned from, unsigned to, uint32_t ppm)
{
    ASSERT(ppm <= PPM);
    EACH_WAY(a, b, from, to)
        s->net.way[a][b].loss_ppm = ppm;
}

void sim_net_mangle(struct sim *s, unsigned from, unsigned to,
                    struct sim_mangle m)
{
    ASSERT(m.duplicate_ppm <= PPM);
    ASSERT(m.late_ppm <= PPM);
    EACH_WAY(a, b, from, to)
        s->net.way[a][b].mangle = m;
}

void sim_net_cut(struct sim *s, unsigned from, unsigned to)
{
    EACH_WAY(a, b, from, to) {
        if (a != b)
            s->net.cut[a][b] = true;
    }
}

/* What waited for this way travels now. */
static void way_healed(struct sim *s, unsigned from, unsigned to)
{
    struct list *at;

    for (at = s->net.conns.next; at != &s->net.conns; at = at->next) {
        struct sim_conn *c = CONTAINER_OF(at, struct sim_conn, link);

        for (unsigned i = 0; i < SIDES; i++) {
            struct pipe *pipe = &c->pipe[i];
            size_t held = pipe->held;

            if (c->end[i].node == to && reader_node(c, i) == from && held > 0) {
                pipe->held = 0;
                sim__acknowledge(c, i, held);
            }
            if (c->end[i].node != from || reader_node(c, i) != to)
                continue;
            for (; pipe->stalled > 0; pipe->stalled--) {
                uint64_t t = s->now + sim__net_delay(s, from, to, 0);

                if (pipe->last_at < t)
                    pipe->last_at = t;
                sim__conn_post(c, i, pipe->last_at - s->now, sim__seg_arrive, "resent");
            }
        }
    }
}

void sim_net_heal(struct sim *s, unsigned from, unsigned to)
{
    EACH_WAY(a, b, from, to) {
        if (s->net.cut[a][b]) {
            s->net.cut[a][b] = false;
            if (!sim__net_dead(s, a, b))
                way_healed(s, a, b);
        }
    }
}

void sim__net_lit(struct sim *s, unsigned node)
{
    for (unsigned i = 1; i <= SIM_NODES_MAX; i++) {
        if (!sim__net_dead(s, i, node))
            way_healed(s, i, node);
        if (!sim__net_dead(s, node, i))
            way_healed(s, node, i);
    }
}

void sim_net_isolate(struct sim *s, unsigned node)
{
    sim_net_cut(s, node, SIM_EVERY);
    sim_net_cut(s, SIM_EVERY, node);
}

/* ---- ends of connections ---- */

/* The side of node a on a connection between a and b; SIDES: it is another. */
static unsigned side_of(const struct sim_conn *c, unsigned a, unsigned b)
{
    if (c->end[0].node == a && c->end[1].node == b)
        return 0;
    return c->end[0].node == b && c->end[1].node == a ? 1 : SIDES;
}

#define EACH_CONN(c, s)                                                        \
    for (struct list *at_ = (s)->net.conns.next, *next_;                       \
         next_ = at_->next, at_ != &(s)->net.conns; at_ = next_)               \
        for (struct sim_conn *c = CONTAINER_OF(at_, struct sim_conn, link);    \
             c != NULL; c = NULL)

void sim_net_reset(struct sim *s, unsigned a, unsigned b)
{
    EACH_CONN(c, s) {
        if (side_of(c, a, b) == SIDES)
            continue;
        sim__send_mark(c, 0, true);
        sim__send_mark(c, 1, true);
    }
}

/* Cut one of the segments on their way and lose those behind it. */
static void lose_rest(struct sim *s, struct pipe *pipe)
{
    struct list *at = pipe->segs.next;
    unsigned n = 0, from;

    for (unsigned i = 0; i < pipe->arrived; i++)
        at = at->next;
    for (struct list *l = at; l != &pipe->segs; l = l->next)
        n++;
    from = (unsigned)rng_below(&s->rng, n + 1);
    for (unsigned i = 0; at != &pipe->segs; i++, at = at->next) {
        struct seg *g = CONTAINER_OF(at, struct seg, link);

        if (i < from)
            continue;
        g->len = i == from && g->len > 0 ? rng_below(&s->rng, g->len) : 0;
        g->fin = g->rst = false;
        g->lost = true;
    }
}

void sim_net_abort(struct sim *s, unsigned a, unsigned b)
{
    EACH_CONN(c, s) {
        if (side_of(c, a, b) == SIDES)
            continue;
        for (unsigned i = 0; i < SIDES; i++) {
            lose_rest(s, &c->pipe[i]);
            sim__send_mark(c, i, true);
        }
    }
}

unsigned sim_net_half_open(struct sim *s, unsigned a, unsigned b, uint64_t t)
{
    unsigned n = 0;

    ASSERT(a != b);
    EACH_CONN(c, s) {
        unsigned side = side_of(c, a, b);

        if (side == SIDES || c->end[0].proc == NULL || c->end[1].proc == NULL)
            continue;
        sim__send_mark(c, 1 - side, true);
        for (unsigned i = 0; i < SIDES; i++)
            c->pipe[i].black_until = t;
        n++;
    }
    return n;
}

void sim_net_window(struct sim *s, size_t bytes)
{
    ASSERT(bytes > 0);
    ASSERT(list_empty(&s->net.conns));
    s->net.window = bytes;
}

void sim_on_wire(struct sim *s, sim_wire_cb cb, void *ctx)
{
    s->net.wire = cb;
    s->net.wire_ctx = ctx;
}

void sim_net_peer_port(struct sim *s, uint16_t port)
{
    s->net.peer_port = port;
}

void sim_net_mangled(const struct sim *s, uint64_t *ret_doubled,
                     uint64_t *ret_overtaken)
{
    *ret_doubled = s->net.n_doubled;
    *ret_overtaken = s->net.n_overtaken;
}
