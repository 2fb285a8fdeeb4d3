/* One connection, either way: bytes in to frames, frames out to bytes.
 *
 *     HELLO ---handshake---> READY ---+
 *       |   deadline, refusal         |  end, silence, garbage, replaced
 *       +------------> CLOSING <------+
 *                         | stream closed: link__on_closed, freed
 *
 *  I1  Reading.  Complete frames are handed up straight from the read buffer.
 *      Only the beginning of an unfinished frame is copied to `in`, and then
 *      only the bytes that finish it, so `in` never holds more than one frame
 *      and never more than was received, whatever length was announced.  A head
 *      is looked at before its length is waited for.
 *  I2  Before the handshake no frame may be longer than LINK_HELLO_BYTES_MAX.
 *  I3  Writing.  `out` keeps each frame until all its bytes are with the
 *      socket; front_done says how much of the first one is.  At most one
 *      env_write is pending; until it completes nobody else writes.
 *  I4  In CLOSING nothing is handed up, and queued frames stay until the stream
 *      has closed, because a pending write may still borrow their bytes.
 *
 * One flush gathers up to LINK_GATHER_PARTS parts of as many frames as there
 * are into one writev.  What the socket does not take waits in an env_write.
 *
 * Both ends send a PING when they have sent nothing for ping_ms, and both drop
 * a connection that was silent for LINK_SILENT_PINGS times that: a dead network
 * is noticed from either side whoever has something to say. */
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "peer/link_int.h"

static void conn_data(void *ctx, const uint8_t *p, size_t n);
static void conn_end(void *ctx, int status);

static const struct env_stream_ops stream_ops = { .data = conn_data,
                                                  .end = conn_end };

/* ---- reading ---- */

static void deliver(struct conn *c, const struct frame_head *head,
                    struct slice payload)
{
    struct links *l = c->l;

    ASSERT(c->state != CONN_CLOSING);
    if (c->state == CONN_HELLO) {
        if (head->kind == (c->outbound ? FRAME_HELLO_ACK : FRAME_HELLO)) {
            if (c->outbound)
                link__peer_on_ack(c, payload);
            else
                link__on_hello(c, payload);
            return;
        }
        link__conn_drop(c, KV_EPROTO);
        return;
    }
    if (head->kind == FRAME_PING)
        return; /* it has been heard, which was its purpose */
    if (c->outbound || head->kind == FRAME_HELLO ||
        head->kind == FRAME_HELLO_ACK) {
        link__conn_drop(c, KV_EPROTO);
        return;
    }
    ASSERT(c->peer->in == c);
    l->ops->frame(l->ctx, c->peer->id, head, payload);
}

/* Decode and deliver the frame at the front of in and return its size.  Or
 * return 0: either c is closing, or it is not whole yet and c->want says how
 * long it will be, as far as its bytes tell. */
static size_t take(struct conn *c, struct slice in)
{
    struct frame_head head;
    struct slice payload;
    size_t used = 0;
    int rv = frame_decode(in, &head, &payload, &used);

    if ((rv == 0 || rv == KV_EAGAIN) && c->state == CONN_HELLO &&
        used > LINK_HELLO_BYTES_MAX)
        rv = KV_EPROTO; /* I2 */
    if (rv == 0) {
        deliver(c, &head, payload);
        return used;
    }
    if (rv == KV_EAGAIN)
        c->want = in.n < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : used;
    else
        link__conn_drop(c, rv);
    return 0;
}

/* Finish the frame that c->in begins with bytes of more; returns how many. */
static size_t take_buffered(struct conn *c, struct slice more)
{
    const size_t lacks = c->want - c->in.len;
    const size_t n = lacks < more.n ? lacks : more.n;

    ASSERT(c->want > c->in.len); /* I1 */
    buf_put(&c->in, more.p, n);
    if (take(c, buf_slice(&c->in)) > 0) {
        buf_clear(&c->in);
        buf_shrink(&c->in, LINK_IN_KEEP_BYTES);
    }
    return n;
}

static size_t take_direct(struct conn *c, struct slice in)
{
    const size_t used = take(c, in);

    if (used > 0 || c->state == CONN_CLOSING)
        return used;
    buf_put_slice(&c->in, in);
    return in.n;
}

static void conn_data(void *ctx, const uint8_t *p, size_t n)
{
    struct conn *c = ctx;
    struct slice in = slice_make(p, n);

    ASSERT(c->state != CONN_CLOSING);
    c->heard_ms = env_now_ms(c->l->env);
    while (in.n > 0 && c->state != CONN_CLOSING) {
        const size_t used =
            c->in.len > 0 ? take_buffered(c, in) : take_direct(c, in);

        ASSERT(used > 0 || c->state == CONN_CLOSING);
        in = slice_make(in.p + used, in.n - used);
    }
}

static void conn_end(void *ctx, int status)
{
    struct conn *c = ctx;

    ASSERT(status != 0);
    link__conn_drop(c, status == KV_EEOF ? KV_EEOF : KV_ECONN);
}

/* ---- writing ---- */

void link__conn_put(struct conn *c, struct frame *f)
{
    ASSERT(c->state != CONN_CLOSING);
    ASSERT(f->bytes > 0); /* sealed */
    list_add_tail(&c->out, &f->link);
    c->out_bytes += f->bytes;
}

static void free_front(struct conn *c)
{
    struct frame *f = LIST_FIRST(&c->out, struct frame, link);

    ASSERT(c->out_bytes >= f->bytes);
    list_del(&f->link);
    c->out_bytes -= f->bytes;
    c->front_done = 0;
    frame_free(f);
}

/* n more bytes are with the socket (I3). */
static void advance(struct conn *c, size_t n)
{
    while (n > 0) {
        const struct frame *f = LIST_FIRST(&c->out, struct frame, link);
        const size_t left = f->bytes - c->front_done;

        ASSERT(!list_empty(&c->out));
        if (n < left) {
            c->front_done += n;
            return;
        }
        n -= left;
        free_front(c);
    }
}

static unsigned gather(const struct conn *c,
                       struct slice parts[LINK_GATHER_PARTS], size_t *ret_bytes)
{
    const struct list *link;
    size_t skip = c->front_done;
    size_t bytes = 0;
    unsigned n = 0;

    for (link = c->out.next; link != &c->out && n < LINK_GATHER_PARTS;
         link = link->next) {
        const struct frame *f =
            (const struct frame *)((const char *)link -
                                   offsetof(struct frame, link));

        n += frame_rest(f, skip, parts + n, LINK_GATHER_PARTS - n);
        skip = 0;
    }
    for (unsigned i = 0; i < n; i++)
        bytes += parts[i].n;
    *ret_bytes = bytes;
    return n;
}

static void on_written(struct env_write *w, int status)
{
    struct conn *c = w->data;

    ASSERT(c->writing);
    c->writing = false;
    if (c->state == CONN_CLOSING)
        return; /* I4 */
    if (status != 0) {
        link__conn_drop(c, status);
        return;
    }
    advance(c, c->writing_bytes);
    link__conn_flush(c);
}

/* Leave the rest to the loop. */
static void write_later(struct conn *c)
{
    struct slice parts[LINK_GATHER_PARTS];
    unsigned n = gather(c, parts, &c->writing_bytes);

    ASSERT(!c->writing);
    ASSERT(n > 0);
    c->write = (struct env_write){ .cb = on_written, .data = c };
    if (env_stream_write(c->l->env, c->stream, &c->write, parts, n) != 0) {
        link__conn_drop(c, KV_ECONN);
        return;
    }
    c->writing = true;
}

void link__conn_flush(struct conn *c)
{
    struct slice parts[LINK_GATHER_PARTS];

    while (c->state != CONN_CLOSING && !c->writing && !list_empty(&c->out)) {
        size_t bytes;
        unsigned n = gather(c, parts, &bytes);
        long took = env_stream_try_write(c->l->env, c->stream, parts, n);

        if (took < 0) {
            link__conn_drop(c, KV_ECONN);
            return;
        }
        c->wrote = true;
        advance(c, (size_t)took);
        if ((size_t)took < bytes)
            write_later(c);
    }
}

/* ---- life ---- */

static void on_timer(struct env_timer *t)
{
    struct conn *c = t->data;
    const struct link_config *cfg = &c->l->cfg;
    const uint64_t now = env_now_ms(c->l->env);

    ASSERT(c->state != CONN_CLOSING);
    if (c->state == CONN_HELLO) {
        if (!c->outbound)
            link__log_refusal(c, "did not say who it is in time", 0);
        link__conn_drop(c, KV_ETIMEDOUT);
        return;
    }
    if (now - c->heard_ms >= LINK_SILENT_PINGS * cfg->ping_ms) {
        link__conn_drop(c, KV_ETIMEDOUT);
        return;
    }
    env_timer_set(t, now + cfg->ping_ms);
    if (!c->wrote && list_empty(&c->out)) {
        struct frame *f = frame_new(FRAME_PING, FRAME_GROUP_NODE);

        frame_seal(f);
        link__conn_put(c, f);
        link__conn_flush(c);
    }
    c->wrote = false;
}

struct conn *link__conn_new(struct links *l, struct env_stream *stream,
                            struct peer *peer)
{
    struct conn *c = MEM_NEW(struct conn);

    ASSERT(!l->closing);
    c->l = l;
    c->stream = stream;
    c->peer = peer;
    c->outbound = peer != NULL;
    c->state = CONN_HELLO;
    c->seq = l->next_seq++;
    c->heard_ms = env_now_ms(l->env);
    buf_init(&c->in);
    list_init(&c->out);
    env_timer_init(l->env, &c->timer, on_timer, c);
    env_timer_set(&c->timer, c->heard_ms + l->cfg.dial_timeout_ms);
    l->n_open++;
    if (c->outbound) {
        list_add_tail(&l->conns, &c->link);
    } else {
        list_add_tail(&l->strangers, &c->link);
        l->n_strangers++;
    }
    env_stream_start(l->env, stream, &stream_ops, c);
    return c;
}

/* Out of the strangers, if c is one. */
static void unstrange(struct conn *c)
{
    if (c->outbound || c->state != CONN_HELLO)
        return;
    ASSERT(c->l->n_strangers > 0);
    c->l->n_strangers--;
    list_del(&c->link);
    list_add_tail(&c->l->conns, &c->link);
}

void link__conn_ready(struct conn *c)
{
    ASSERT(c->state == CONN_HELLO);
    ASSERT(c->peer != NULL);
    unstrange(c);
    c->state = CONN_READY;
    c->was_ready = true;
    env_timer_set(&c->timer, env_now_ms(c->l->env) + c->l->cfg.ping_ms);
}

static void on_closed(void *ctx)
{
    struct conn *c = ctx;

    ASSERT(c->state == CONN_CLOSING);
    ASSERT(!c->writing);
    while (!list_empty(&c->out))
        free_front(c);
    ASSERT(c->out_bytes == 0);
    buf_close(&c->in);
    list_del(&c->link);
    link__on_closed(c);
    mem_free(c);
}

void link__conn_drop(struct conn *c, int reason)
{
    ASSERT(reason < 0);
    if (c->state == CONN_CLOSING)
        return;
    unstrange(c);
    c->state = CONN_CLOSING;
    c->reason = reason;
    if (!c->outbound && c->peer != NULL && c->peer->in == c)
        c->peer->in = NULL;
    env_timer_stop(&c->timer);
    env_stream_close(c->l->env, c->stream, on_closed, c);
}
