/* The log as a whole: opening, closing, its invariants.
 *
 * src/store/README.md has the overview; the parts are
 *     wal_record.c   bytes of headers and records
 *     wal_track.c    what the records add up to per group; what pins a segment
 *     wal_segment.c  files: preparing, recycling
 *     wal_append.c   encoding, batches
 *     wal_write.c    writing, syncing, failing
 *     wal_read.c     payloads read back
 *     wal_load.c     reading the directory, making it fit for writing
 *     wal_fold.c     the entries of the groups
 *     wal_scan.c     torn tail or damage
 *
 * Closing: what is queued is written and synced, then a MARK; reads under way
 * are answered, parked ones cancelled, a preparation under way is dropped. When
 * nothing is left, the close timer frees everything, so that the callback
 * never runs inside wal_close.
 *
 * Invariants: see wal__check. */
#include "store/wal_int.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

#define CAPACITY_OVERHEAD                                                      \
    (WAL__SEG_HEADER + WAL__REC_HEADER /* seal */ + WAL__REC_HEADER + 8 +      \
     WAL_GROUPS_MAX * WAL__GROUP_STATE /* checkpoint */)
#define APPEND_OVERHEAD (WAL__REC_HEADER + 8 + WAL__ALIGN)

/* ---- invariants ---- */

void wal__check(const struct wal *w)
{
    ASSERT(w->n_segs > 0);
    ASSERT(w->synced <= w->end);
    ASSERT(w->end <= w->tail);
    ASSERT(w->durable <= w->written);
    ASSERT(w->written <= w->tail);
    ASSERT(w->synced <= w->written);
    ASSERT(!w->cfg.sync_always || w->synced <= w->durable);
    ASSERT(w->cur_off >= WAL__SEG_HEADER);
    ASSERT(w->cur_off <= w->cur->h.bytes);
    ASSERT(wal__seg_find(w, w->cur->h.seq) == w->cur);
    ASSERT(!w->failed || list_empty(&w->queue));
    ASSERT(w->failed || w->inflight != NULL || !list_empty(&w->queue) ||
           w->queue_bytes == 0);
#ifdef KV_DEBUG
    for (size_t i = 1; i < w->n_segs; i++) {
        ASSERT(w->segs[i]->h.seq == w->segs[i - 1]->h.seq + 1);
        ASSERT(w->segs[i]->h.base_lsn ==
               w->segs[i - 1]->h.base_lsn + w->segs[i - 1]->h.bytes);
        ASSERT(w->segs[i]->state <= w->segs[i - 1]->state);
    }
    for (size_t i = 0; i < w->n_tracks; i++)
        wal__track_check(w->tracks[i]);
#endif
}

/* ---- opening ---- */

static int check_config(const struct wal_config *cfg)
{
    uint32_t b = cfg->segment_bytes;

    if (b < WAL_SEGMENT_BYTES_MIN || b > WAL_SEGMENT_BYTES_MAX ||
        (b & (b - 1)) != 0 || cfg->queue_bytes_max == 0)
        return KV_EINVAL;
    return 0;
}

static void free_all(struct wal *w)
{
    wal__queue_drop(w);
    for (size_t i = 0; i < w->n_segs; i++) {
        wal__seg_close(w, w->segs[i]);
        mem_free(w->segs[i]);
    }
    mem_free(w->segs);
    mem_free(w->free_seqs);
    wal__tracks_free(w);
    mem_free((char *)(uintptr_t)w->cfg.dir);
    mem_free(w);
}

static void on_close_timer(struct env_timer *t);

static struct wal *new_wal(struct env *env, const struct wal_config *cfg,
                           const struct wal_ops *ops, void *ctx)
{
    struct wal *w = MEM_NEW(struct wal);
    uint32_t capacity = cfg->segment_bytes - CAPACITY_OVERHEAD;

    if (capacity > WAL_RECORD_BYTES_MAX)
        capacity = WAL_RECORD_BYTES_MAX;
    w->env = env;
    w->cfg = *cfg;
    w->cfg.dir = mem_strdup(cfg->dir);
    w->ops = ops;
    w->ctx = ctx;
    w->run_max = capacity - APPEND_OVERHEAD;
    if (w->run_max > WAL__RECORD_AIM)
        w->run_max = WAL__RECORD_AIM;
    w->entry_max = capacity - APPEND_OVERHEAD - WAL__ENTRY_HEAD;
    w->free_seqs = mem_alloc(WAL__FREE_MAX * sizeof *w->free_seqs);
    list_init(&w->queue);
    list_init(&w->reads_parked);
    list_init(&w->reads_done);
    env_timer_init(env, &w->mark_timer, wal__on_mark_timer, w);
    env_timer_init(env, &w->sync_timer, wal__on_sync_timer, w);
    env_timer_init(env, &w->prep_timer, wal__on_prep_timer, w);
    env_timer_init(env, &w->read_timer, wal__on_read_timer, w);
    env_timer_init(env, &w->close_timer, on_close_timer, w);
    return w;
}

/* Where writing goes on: what loading found is durable up to w->tail. */
static void start_writing(struct wal *w)
{
    w->written = w->durable = w->synced = w->end = w->tail;
    w->pins_changed = true;
    if (w->tail > WAL__SEG_HEADER && w->tail != w->marked)
        env_timer_set(&w->mark_timer, env_now_ms(w->env) + WAL__IDLE_MARK_MS);
    wal__check(w);
}

int wal_open(struct env *env, const struct wal_config *cfg,
             const struct wal_ops *ops, void *ctx, struct wal **ret,
             char *errmsg, size_t n)
{
    ASSERT(ops->synced != NULL);
    ASSERT(ops->failed != NULL);
    ASSERT(n > 0);
    int rv = check_config(cfg);
    if (rv != 0) {
        snprintf(errmsg, n,
                 "wal segment size %u: must be a power of two from %u to %u",
                 cfg->segment_bytes, WAL_SEGMENT_BYTES_MIN,
                 WAL_SEGMENT_BYTES_MAX);
        return rv;
    }
    struct wal *w = new_wal(env, cfg, ops, ctx);
    struct wal__load l = { .w = w, .errmsg = errmsg, .errmsg_n = n };
    rv = wal__load_all(&l);
    w->fresh = l.n_files == 0;
    wal__load_free(&l);
    if (rv != 0) {
        free_all(w);
        return rv;
    }
    start_writing(w);
    *ret = w;
    return 0;
}

/* ---- what loading found ---- */

bool wal_fresh(const struct wal *w)
{
    return w->fresh;
}

struct wal_group *wal_next_group(struct wal *w, uint64_t *it)
{
    if (*it >= w->n_tracks)
        return NULL;
    return &w->tracks[(*it)++]->fold;
}

struct wal_group *wal_find_group(struct wal *w, uint32_t group)
{
    struct wal__track *t = wal__track_find(w, group);

    return t == NULL ? NULL : &t->fold;
}

void wal_loaded(struct wal *w)
{
    for (size_t i = 0; i < w->n_tracks; i++) {
        struct wal_group *g = &w->tracks[i]->fold;
        for (uint64_t k = 0; k < g->n; k++)
            blob_unref(g->entries[k].blob);
        mem_free(g->entries);
        g->entries = NULL;
        g->n = g->cap = 0;
    }
}

/* ---- state ---- */

uint64_t wal_synced(const struct wal *w)
{
    return w->synced;
}

uint64_t wal_end(const struct wal *w)
{
    return w->end;
}

bool wal_full(const struct wal *w)
{
    return w->failed || w->queue_bytes > w->cfg.queue_bytes_max;
}

uint32_t wal_entry_bytes_max(const struct wal *w)
{
    return w->entry_max;
}

void wal_get_stats(const struct wal *w, struct wal_stats *ret)
{
    *ret = w->stats;
    ret->segments = 0;
    for (size_t i = 0; i < w->n_segs; i++)
        ret->segments += w->segs[i]->state == WAL__SEG_READY;
}

/* ---- closing ---- */

static bool writing_done(struct wal *w)
{
    if (w->inflight != NULL)
        return false;
    if (w->failed)
        return true;
    if (list_empty(&w->queue) && w->tail != w->marked)
        wal__put_mark(w, true);
    if (list_empty(&w->queue))
        return true;
    wal__write_next(w);
    return false;
}

void wal__close_step(struct wal *w)
{
    if (!w->closing || !writing_done(w) || w->prep.active ||
        !wal__reads_idle(w))
        return;
    env_timer_set(&w->close_timer, env_now_ms(w->env));
}

static void on_close_timer(struct env_timer *t)
{
    struct wal *w = t->data;
    env_close_cb cb = w->close_cb;
    void *ctx = w->close_ctx;

    ASSERT(w->closing);
    ASSERT(w->inflight == NULL);
    if (!writing_done(w) || w->prep.active || !wal__reads_idle(w))
        return; /* their ends call wal__close_step */
    env_timer_stop(&w->mark_timer);
    env_timer_stop(&w->sync_timer);
    env_timer_stop(&w->prep_timer);
    env_timer_stop(&w->read_timer);
    free_all(w);
    cb(ctx);
}

void wal_close(struct wal *w, env_close_cb cb, void *ctx)
{
    wal__check(w);
    ASSERT(!w->closing);
    ASSERT(cb != NULL);
    w->closing = true;
    w->close_cb = cb;
    w->close_ctx = ctx;
    env_timer_stop(&w->mark_timer);
    wal__read_cancel_parked(w, KV_ECANCELED);
    wal__close_step(w);
}
