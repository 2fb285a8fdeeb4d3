/* Raft messages that come twice, late, or after younger ones.
 *
 * TCP never does that, yet Raft promises to live with it, and so do the host rules of
 * the group layer.  So connections to the peer port are read here as frames
 * (peer/frame.h), between the arrival of bytes and the reader:
 *
 *   bytes --> whole frame --> not Raft, or lucky ------------> reader
 *                  |--------> doubled: now, and a copy later -> reader
 *                  '--------> late: by the clock -------------> reader
 *
 * While nothing is to be mangled bytes pass as they came, and only the place where the
 * next frame begins is kept.  A frame that began before mangling was switched on passes
 * so to its end; one that began after it is gathered until it is whole.
 *
 * Delays are drawn so that each power of two up to late_us is as likely: a few
 * microseconds swap neighbours, seconds bring back another term.
 *
 * F1  The reader gets whole frames in whole: nothing is put into the middle of one.
 * F2  Frames of other kinds keep their order among themselves.
 * F3  When the reader closes, what is late is lost, as with its connection. */
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/mem.h"
#include "peer/frame.h"
#include "sim/net_int.h"

#define PPM 1000000u
#define KIND_AT 9u /* in a frame */

struct late_frame {
    struct list link;
    uint64_t at;  /* us */
    uint64_t seq; /* Raft messages before it */
    bool copy;
    size_t len;
    uint8_t data[];
};

static const struct sim_mangle *mangle_of(const struct sim_conn *c,
                                          unsigned side)
{
    return &c->sim->net.way[c->end[side].node][reader_node(c, side)].mangle;
}

static bool wanted(const struct sim_conn *c, unsigned side)
{
    const struct sim_mangle *m = mangle_of(c, side);

    return m->duplicate_ppm != 0 || m->late_ppm != 0;
}

static bool reads(const struct env_stream *st)
{
    return st->proc != NULL && !st->closing && !st->ended && !st->paused &&
           st->ops != NULL;
}

/* ---- late frames ---- */

static void give(struct sim_conn *c, unsigned side, const uint8_t *p, size_t n)
{
    struct env_stream *st = &c->end[1 - side];

    if (n > 0 && st->proc != NULL && !st->closing && !st->ended)
        st->ops->data(st->ctx, p, n);
}

/* Deliver what is due, if the reader is between two frames (F1). */
static void flush_late(struct sim_conn *c, unsigned side)
{
    struct framing *fr = &c->pipe[side].framing;
    struct list *at = fr->late.next;

    while (at != &fr->late) {
        struct late_frame *l = CONTAINER_OF(at, struct late_frame, link);

        at = at->next;
        if (l->at > c->sim->now || !reads(&c->end[1 - side]) ||
            (fr->at > 0 && !fr->gathers))
            continue;
        list_del(&l->link);
        if (l->copy)
            c->sim->net.n_doubled++;
        else if (fr->seen > l->seq)
            c->sim->net.n_overtaken++;
        sim__note(c->sim, l->seq << 1 | l->copy);
        give(c, side, l->data, l->len);
        mem_free(l);
    }
}

static void late_due(struct sim *s, struct sim_event *ev)
{
    struct sim_conn *c = ev->ptr;

    (void)s;
    flush_late(c, (unsigned)ev->arg);
    c->events--;
    sim__conn_release(c);
}

static uint64_t draw_delay(struct sim *s, uint32_t late_us)
{
    uint64_t most = 1;

    while (most < late_us && rng_below(&s->rng, 8) != 0)
        most *= 2;
    return rng_below(&s->rng, most + 1);
}

static void keep_late(struct sim_conn *c, unsigned side, struct slice frame,
                      bool copy)
{
    struct framing *fr = &c->pipe[side].framing;
    struct late_frame *l = sim__alloc(sizeof *l + frame.n);
    const struct sim_mangle *m = mangle_of(c, side);
    uint64_t delay = m->least_us + draw_delay(c->sim, m->late_us);

    l->at = c->sim->now + delay;
    l->seq = fr->sent;
    l->copy = copy;
    l->len = frame.n;
    memcpy(l->data, frame.p, frame.n);
    list_add_tail(&fr->late, &l->link);
    sim__conn_post(c, side, delay, late_due, "late frame");
}

void sim__frames_drop(struct pipe *pipe)
{
    while (!list_empty(&pipe->framing.late)) {
        struct late_frame *l =
            LIST_FIRST(&pipe->framing.late, struct late_frame, link);

        list_del(&l->link);
        mem_free(l);
    }
    buf_close(&pipe->framing.in);
}

/* ---- frames ---- */

/* A whole frame: what becomes of it. */
static void judge(struct sim_conn *c, unsigned side, struct slice frame)
{
    struct framing *fr = &c->pipe[side].framing;
    const struct sim_mangle *m = mangle_of(c, side);
    uint64_t dice;

    if (frame.n < FRAME_HEAD_BYTES || frame.p[KIND_AT] != FRAME_RAFT) {
        give(c, side, frame.p, frame.n);
        return;
    }
    fr->sent++;
    dice = rng_below(&c->sim->rng, PPM);
    if (dice < m->late_ppm) {
        keep_late(c, side, frame, false);
        return;
    }
    fr->seen = fr->sent;
    dice = rng_below(&c->sim->rng, PPM);
    if (dice < m->duplicate_ppm)
        keep_late(c, side, frame, true);
    give(c, side, frame.p, frame.n);
}

/* Count up to n bytes into the frame under way; returns how many belong to it. */
static size_t advance(struct framing *fr, const uint8_t *p, size_t n)
{
    size_t k = 0;

    while (fr->at < sizeof fr->head && k < n)
        fr->head[fr->at++] = p[k++];
    if (fr->at < sizeof fr->head)
        return k;
    fr->len = sizeof fr->head + (size_t)get_u32le(fr->head);
    if (n - k > fr->len - fr->at)
        n = k + (fr->len - fr->at);
    fr->at += n - k;
    return n;
}

static bool frame_ends(struct framing *fr)
{
    if (fr->at < sizeof fr->head || fr->at < fr->len)
        return false;
    fr->at = fr->len = 0;
    return true;
}

/* Bytes that pass as they are; only frames are counted. */
static void pass(struct sim_conn *c, unsigned side, const uint8_t *p, size_t n)
{
    struct framing *fr = &c->pipe[side].framing;

    for (size_t k = 0; k < n;) {
        k += advance(fr, p + k, n - k);
        frame_ends(fr);
    }
    give(c, side, p, n);
}

/* Take up to the end of the frame under way out of p; returns how many. */
static size_t gather(struct sim_conn *c, unsigned side, const uint8_t *p,
                     size_t n)
{
    struct framing *fr = &c->pipe[side].framing;
    size_t k = advance(fr, p, n);
    struct mem_arena *old = mem_arena_use(NULL);
    struct buf whole = { 0 };

    buf_put(&fr->in, p, k);
    if (frame_ends(fr)) {
        whole = fr->in;
        buf_init(&fr->in);
        fr->gathers = false;
    }
    mem_arena_use(old);
    if (whole.len > 0)
        judge(c, side, buf_slice(&whole));
    old = mem_arena_use(NULL);
    buf_close(&whole);
    mem_arena_use(old);
    return k;
}

void sim__frames_take(struct sim_conn *c, unsigned side, const uint8_t *p,
                      size_t n)
{
    struct framing *fr = &c->pipe[side].framing;

    if (c->port != c->sim->net.peer_port || c->sim->net.peer_port == 0) {
        give(c, side, p, n);
        return;
    }
    while (n > 0) {
        size_t k;

        if (fr->at == 0)
            fr->gathers = wanted(c, side);
        if (fr->gathers) {
            k = gather(c, side, p, n);
        } else if (fr->at > 0 && wanted(c, side)) {
            /* To the end of this frame, then look again. */
            struct framing probe = *fr;

            k = advance(&probe, p, n);
            pass(c, side, p, k);
        } else {
            k = n;
            pass(c, side, p, k);
        }
        p += k;
        n -= k;
        flush_late(c, side);
    }
}
