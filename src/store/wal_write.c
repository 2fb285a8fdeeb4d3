/* Writing: from a batch to a durable position.
 *
 *     queue -> in flight -> written -> durable -> reported as synced
 *
 * One write is in flight at a time.  While the disk works, puts collect in the
 * next batch, which follows by itself: group commit adapts to the load.  The
 * write that carries a seal always ends with an fdatasync.
 *
 * Checksums are made when the write starts, because each record states how far
 * the log was durable then (`synced`).  This is what tells a torn write from
 * damage: a record that is unreadable although a later one says that it was
 * durable has been damaged (wal_scan.c).  So that this holds for the newest
 * write too, a log that falls quiet gets a MARK, and so does a closed one.
 *
 * With sync_always off, writes are reported as synced when the system has taken
 * them, and an fdatasync follows within 100 ms or 1000 writes: what a crash of
 * the machine can lose is bounded by that, and a crash of the process loses
 * nothing.  `durable` keeps to the truth, and so do the records.
 *
 * Invariants:
 *  I1  synced <= end <= tail, synced <= written <= tail, durable <= written.
 *  I2  With sync_always, synced follows durable; nothing is reported durable
 *      before the fdatasync that covers it has returned.
 *  I3  Nothing of segment n+1 is written before segment n's seal is durable.
 *  I4  After a failure nothing is written or reported any more. */
#include "store/wal_int.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/sabotage.h"

static bool write_syncs(const struct wal *w, const struct wal__batch *b)
{
    return w->cfg.sync_always || b->must_sync || w->sync_due ||
           w->unsynced_writes + 1 >= WAL__INTERVAL_WRITES;
}

/* Finish the checksums and lay out the gathered write. */
static void batch_seal_bytes(struct wal *w, struct wal__batch *b)
{
    uint8_t *small = buf_at(&b->small);

    for (size_t i = 0; i < b->n_heads; i++)
        wal__rec_finish(small + b->heads[i], b->seg->h.generation, w->durable);
    b->slices = mem_alloc(b->n_parts * sizeof *b->slices);
    for (size_t i = 0; i < b->n_parts; i++) {
        const struct wal__part *p = &b->parts[i];
        b->slices[i] =
            slice_make(p->ext != NULL ? p->ext : small + p->off, p->n);
    }
}

static void note_written(struct wal *w, const struct wal__batch *b,
                         uint64_t usec)
{
    w->written = b->seg->h.base_lsn + b->off + b->bytes;
    w->stats.writes++;
    w->stats.bytes_appended += b->bytes;
    w->unsynced_writes++;
    if (w->io_syncs) {
        w->durable = w->written;
        w->unsynced_writes = 0;
        w->sync_due = false;
        env_timer_stop(&w->sync_timer);
        w->stats.syncs++;
        w->stats.sync_usec_total += usec;
        if (usec > w->stats.sync_usec_max)
            w->stats.sync_usec_max = usec;
    } else if (!w->cfg.sync_always && !env_timer_armed(&w->sync_timer)) {
        env_timer_set(&w->sync_timer, env_now_ms(w->env) + WAL__INTERVAL_MS);
    }
}

static void on_written(struct env_io *io)
{
    struct wal *w = io->data;
    struct wal__batch *b = w->inflight;

    ASSERT(b != NULL);
    w->inflight = NULL;
    b->seg->users--;
    w->queue_bytes -= b->bytes;
    if ((io->status != 0 && !SABOTAGE(EIO_IGNORED)) || w->failed) {
        struct wal__segment *seg = b->seg;
        wal__batch_free(b);
        if (!w->failed) /* else a rename failed meanwhile: too late (I4) */
            wal__fail(w, io->status, "write or fdatasync", seg);
        wal__close_step(w);
        return;
    }
    note_written(w, b, io->usec);
    uint64_t lsn = b->lsn;
    wal__batch_free(b);
    wal__check(w);
    if (lsn > w->synced) {
        w->synced = lsn;
        w->ops->synced(w->ctx, lsn);
    }
    wal__read_kick(w);
    wal__write_next(w);
    wal__retire(w);
    if (!w->failed && w->inflight == NULL && w->tail != w->marked)
        env_timer_set(&w->mark_timer, env_now_ms(w->env) + WAL__IDLE_MARK_MS);
    wal__close_step(w);
}

void wal__write_next(struct wal *w)
{
    if (w->failed || w->inflight != NULL || list_empty(&w->queue))
        return;
    wal__prep_kick(w);
    struct wal__batch *b = LIST_FIRST(&w->queue, struct wal__batch, link);
    if (b->seg->state != WAL__SEG_READY)
        return; /* the end of the preparation calls again */
    ASSERT(b->seg->file != NULL);
    ASSERT(b->seg->h.base_lsn + b->off >= w->written);
    list_del(&b->link);
    w->inflight = b;
    b->seg->users++;
    env_timer_stop(&w->mark_timer);
    batch_seal_bytes(w, b);
    w->io_syncs = write_syncs(w, b);
    w->io = (struct env_io){
        .file = b->seg->file,
        .offset = b->off,
        .parts = b->slices,
        .n_parts = (unsigned)b->n_parts,
        .sync = w->io_syncs && !SABOTAGE(ACK_BEFORE_FSYNC),
        .cb = on_written,
        .data = w,
    };
    env_submit_write(w->env, &w->io);
}

void wal_flush(struct wal *w)
{
    wal__check(w);
    ASSERT(!w->closing);
    wal__write_next(w);
    wal__check(w);
}

void wal__queue_drop(struct wal *w)
{
    while (!list_empty(&w->queue)) {
        struct wal__batch *b = LIST_FIRST(&w->queue, struct wal__batch, link);
        list_del(&b->link);
        w->queue_bytes -= b->bytes;
        wal__batch_free(b);
    }
}

static void fail_for_good(struct wal *w, int status, const char *msg)
{
    ASSERT(status < 0);
    ASSERT(!w->failed);
    w->failed = true;
    env_timer_stop(&w->mark_timer);
    env_timer_stop(&w->sync_timer);
    env_timer_stop(&w->prep_timer);
    wal__queue_drop(w);
    wal__read_cancel_parked(w, KV_EIO);
    w->ops->failed(w->ctx, status, msg);
}

void wal__fail(struct wal *w, int status, const char *what,
               const struct wal__segment *seg)
{
    char msg[512];
    char *path = wal__seg_path(w, seg->h.seq, "seg");

    snprintf(msg, sizeof msg,
             "%s: %s failed: %s; nothing after position %llu is "
             "acknowledged.  Check the disk and free space, then start again",
             path, what, kv_strerror(status), (unsigned long long)w->synced);
    mem_free(path);
    fail_for_good(w, status, msg);
}

void wal_unreadable(struct wal *w, int status, const char *what)
{
    char msg[512];

    if (w->failed || w->closing)
        return;
    snprintf(msg, sizeof msg, "%s: %s cannot be read back: %s.  %s", w->cfg.dir,
             what, kv_strerror(status),
             status == KV_ECORRUPT
                 ? "Keep the data directory, and restore this replica from "
                   "its peers"
                 : "Check the disk, then start again");
    fail_for_good(w, status, msg);
}

/* ---- timers ---- */

void wal__on_mark_timer(struct env_timer *t)
{
    struct wal *w = t->data;

    ASSERT(!w->failed);
    if (w->inflight != NULL || !list_empty(&w->queue) || w->closing)
        return;
    wal__put_mark(w, false);
    wal__write_next(w);
}

void wal__on_sync_timer(struct env_timer *t)
{
    struct wal *w = t->data;

    ASSERT(!w->failed);
    w->sync_due = true;
    if (w->inflight != NULL || !list_empty(&w->queue) || w->closing)
        return; /* the next write takes it along */
    wal__put_mark(w, true);
    wal__write_next(w);
}
