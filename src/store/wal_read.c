/* Reading payloads back.
 *
 * A read whose bytes are not written yet is parked until they are; the others
 * go to the disk at once, on worker threads, unordered.  The payload is checked
 * against the checksum that its position carries, so one entry can be
 * verified without reading the record around it.
 *
 *     wal_read -> parked -> active -> (callback)
 *                    \-> done -> (callback, by timer)
 *
 * Invariants:
 *  I1  A callback never runs inside wal_read; exactly once per read.
 *  I2  A segment with a read under way (users > 0) is neither closed nor
 *      retired.
 *  I3  Only bytes that were written are read: base_lsn + end <= written. */
#include "store/wal_int.h"

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"

struct read_impl {
    struct list link;
    struct wal *w;
    struct wal__segment *seg;
    struct blob *blob;
    int status;
    struct env_io io;
};
_Static_assert(sizeof(struct read_impl) <= sizeof(((struct wal_read *)0)->impl),
               "struct wal_read has room for its implementation");

static struct read_impl *impl(struct wal_read *r)
{
    return (struct read_impl *)(void *)&r->impl;
}

static struct wal_read *from_link(struct list *l)
{
    struct read_impl *i = CONTAINER_OF(l, struct read_impl, link);

    return (struct wal_read *)(void *)((char *)i -
                                       offsetof(struct wal_read, impl));
}

/* Answer from the loop, not from inside the caller's call. */
static void finish_later(struct wal *w, struct wal_read *r, int status)
{
    impl(r)->status = status;
    list_add_tail(&w->reads_done, &impl(r)->link);
    env_timer_set(&w->read_timer, env_now_ms(w->env));
}

void wal__on_read_timer(struct env_timer *t)
{
    struct wal *w = t->data;
    struct list batch;

    list_init(&batch);
    list_splice(&batch, &w->reads_done);
    while (!list_empty(&batch)) {
        struct wal_read *r = from_link(batch.next);
        struct blob *b = impl(r)->blob;
        list_del(&impl(r)->link);
        r->cb(r, impl(r)->status, b);
    }
    wal__close_step(w);
}

static void on_read(struct env_io *io)
{
    struct wal_read *r = io->data;
    struct read_impl *i = impl(r);
    struct wal *w = i->w;
    int status = io->status;

    ASSERT(w->reads_active > 0);
    ASSERT(i->seg->users > 0);
    w->reads_active--;
    i->seg->users--;
    if (w->closing)
        status = KV_ECANCELED;
    else if (status == 0 && (io->ret_len != r->len ||
                             crc32c(0, i->blob->data, r->len) != r->pos.crc))
        status = KV_ECORRUPT;
    struct blob *b = i->blob;
    if (status != 0) {
        blob_unref(b);
        b = NULL;
    }
    r->cb(r, status, b);
    wal__close_step(w);
}

static void start(struct wal *w, struct wal_read *r)
{
    struct read_impl *i = impl(r);

    i->seg = wal__seg_find(w, r->pos.segment);
    if (i->seg == NULL || i->seg->state != WAL__SEG_READY) {
        finish_later(w, r, KV_ENOENT);
        return;
    }
    int rv = wal__seg_open(w, i->seg);
    if (rv != 0) {
        finish_later(w, r, rv);
        return;
    }
    i->blob = blob_new(r->len);
    if (r->len == 0) {
        finish_later(w, r, 0);
        return;
    }
    i->seg->users++;
    w->reads_active++;
    i->io = (struct env_io){
        .file = i->seg->file,
        .offset = r->pos.offset,
        .buf = i->blob->data,
        .len = r->len,
        .cb = on_read,
        .data = r,
    };
    env_submit_read(w->env, &i->io);
}

static bool is_written(const struct wal *w, const struct wal_read *r)
{
    const struct wal__segment *s = wal__seg_find(w, r->pos.segment);

    return s == NULL || s->h.base_lsn + r->pos.offset + r->len <= w->written;
}

void wal_read(struct wal *w, struct wal_read *r)
{
    wal__check(w);
    ASSERT(r->cb != NULL);
    *impl(r) = (struct read_impl){ .w = w };
    list_init(&impl(r)->link);
    if (w->closing)
        finish_later(w, r, KV_ECANCELED);
    else if (is_written(w, r))
        start(w, r);
    else if (w->failed)
        finish_later(w, r, KV_EIO);
    else
        list_add_tail(&w->reads_parked, &impl(r)->link);
    wal__check(w);
}

void wal__read_kick(struct wal *w)
{
    struct list *l = w->reads_parked.next;

    while (l != &w->reads_parked) {
        struct wal_read *r = from_link(l);
        l = l->next;
        if (is_written(w, r)) {
            list_del(&impl(r)->link);
            start(w, r);
        }
    }
}

void wal__read_cancel_parked(struct wal *w, int status)
{
    while (!list_empty(&w->reads_parked)) {
        struct wal_read *r = from_link(w->reads_parked.next);
        list_del(&impl(r)->link);
        finish_later(w, r, status);
    }
}

bool wal__reads_idle(const struct wal *w)
{
    return w->reads_active == 0 && list_empty(&w->reads_parked) &&
           list_empty(&w->reads_done);
}
