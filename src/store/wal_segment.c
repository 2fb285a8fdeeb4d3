/* Segments: their files from birth to recycling.
 *
 *     (nothing) --zeros, in chunks--> wal-next.tmp --header--> wal-N.seg (ready)
 *     wal-K.seg --nobody needs it--> wal-K.free --header--> wal-N.seg (ready)
 *
 * A segment gets its identity (sequence, generation, base lsn) when it is
 * planned, and records may be encoded for it at once; they are written once its
 * file is in place.  Preparing begins when the current segment is half full,
 * so that a spare normally exists long before it is needed.  All of it runs
 * as asynchronous writes, chunk after chunk, between which the log's own writes
 * take their turns; the loop itself only opens and renames files and syncs the
 * directory, twice per segment.
 *
 * New files are filled with written zeros, not holes: overwriting allocated,
 * written blocks needs no journal commit, which halves the cost of fdatasync.
 * That is also why old segments are recycled instead of deleted.
 *
 * Crash cases, in order:
 *  - while zeroing: wal-next.tmp is left; removed by the next wal_open.
 *  - retiring: wal-K.seg became wal-K.free or did not; both are fine, for
 *    everything in it is released by durable records elsewhere.  The directory
 *    is synced after each rename, oldest first, so that no gap can appear.
 *  - header of the new life written over a .free file, wholly or in part: still
 *    named .free, so nobody reads it; wal_open keeps it for recycling.
 *  - renamed to wal-N.seg: only after its header was durable, so a segment
 *    file always has an intact header; its old records cannot match (lsn,
 *    generation).  Rename not durable: as before it.
 *
 * Invariants:
 *  I1  segs are consecutive in sequence and in lsn; a READY one is never behind
 *      a PLANNED one.
 *  I2  A .seg file's header is durable before the file has that name.
 *  I3  A segment is retired only from the front, when every record that made it
 *      dispensable is durable. */
#include "store/wal_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/sabotage.h"
#include "env/log.h"

#define PREP_RETRY_MS 1000u

char *wal__seg_path(const struct wal *w, uint64_t seq, const char *suffix)
{
    size_t n = strlen(w->cfg.dir) + 64;
    char *p = mem_alloc(n);

    snprintf(p, n, "%s/wal-%016" PRIx64 ".%s", w->cfg.dir, seq, suffix);
    return p;
}

char *wal__tmp_path(const struct wal *w)
{
    size_t n = strlen(w->cfg.dir) + sizeof WAL__TMP_NAME + 1;
    char *p = mem_alloc(n);

    snprintf(p, n, "%s/%s", w->cfg.dir, WAL__TMP_NAME);
    return p;
}

struct wal__segment *wal__seg_find(const struct wal *w, uint64_t seq)
{
    if (w->n_segs == 0 || seq < w->segs[0]->h.seq)
        return NULL;
    uint64_t i = seq - w->segs[0]->h.seq;
    if (i >= w->n_segs)
        return NULL;
    ASSERT(w->segs[i]->h.seq == seq);
    return w->segs[i];
}

struct wal__segment *wal__seg_add(struct wal *w, const struct wal__head *h)
{
    struct wal__segment *s = MEM_NEW(struct wal__segment);

    if (w->n_segs > 0)
        ASSERT(h->seq == w->segs[w->n_segs - 1]->h.seq + 1);
    if (w->n_segs == w->cap_segs) {
        w->cap_segs = w->cap_segs == 0 ? 16 : w->cap_segs * 2;
        w->segs = mem_realloc(w->segs, w->cap_segs * sizeof *w->segs);
    }
    s->h = *h;
    s->state = WAL__SEG_PLANNED;
    w->segs[w->n_segs++] = s;
    return s;
}

struct wal__segment *wal__seg_plan(struct wal *w)
{
    struct wal__head h = { .seq = 1,
                           .cluster_id = w->cfg.cluster_id,
                           .node_id = w->cfg.node_id,
                           .bytes = w->cfg.segment_bytes };

    if (w->n_segs > 0) {
        const struct wal__head *last = &w->segs[w->n_segs - 1]->h;
        h.seq = last->seq + 1;
        h.base_lsn = last->base_lsn + last->bytes;
    }
    while (h.generation == 0)
        env_random(w->env, &h.generation, sizeof h.generation);
    return wal__seg_add(w, &h);
}

/* ---- open files ---- */

/* Close the least recently used file that no write will need any more. */
static void close_oldest(struct wal *w)
{
    struct wal__segment *victim = NULL;

    for (size_t i = 0; i < w->n_segs; i++) {
        struct wal__segment *s = w->segs[i];
        if (s->file == NULL || s->users > 0 || s == w->cur ||
            s->h.base_lsn + s->h.bytes > w->written)
            continue;
        if (victim == NULL || s->used < victim->used)
            victim = s;
    }
    if (victim != NULL)
        wal__seg_close(w, victim);
}

int wal__seg_open(struct wal *w, struct wal__segment *s)
{
    ASSERT(s->state == WAL__SEG_READY);
    s->used = ++w->use_clock;
    if (s->file != NULL)
        return 0;
    if (w->n_open >= WAL__OPEN_MAX)
        close_oldest(w);
    char *path = wal__seg_path(w, s->h.seq, "seg");
    int rv = env_open(w->env, path, 0, &s->file);
    mem_free(path);
    if (rv == 0)
        w->n_open++;
    return rv;
}

void wal__seg_close(struct wal *w, struct wal__segment *s)
{
    if (s->file == NULL)
        return;
    ASSERT(s->users == 0);
    ASSERT(w->n_open > 0);
    env_close(w->env, s->file);
    s->file = NULL;
    w->n_open--;
}

/* ---- preparing ---- */

static void prep_step(struct wal *w);

/* Forget the attempt; the file under its temporary name is of no use. */
static void prep_end(struct wal *w)
{
    struct wal__prep *p = &w->prep;

    if (p->file != NULL)
        env_close(w->env, p->file);
    p->file = NULL;
    mem_free(p->path);
    p->path = NULL;
    mem_free(p->zeros);
    p->zeros = NULL;
    mem_free(p->header);
    p->header = NULL;
    p->active = false;
}

static void prep_failed(struct wal *w, int status)
{
    struct wal__prep *p = &w->prep;
    char quoted[256];

    log_event(w->env, ENV_LOG_WARN, "wal", "cannot prepare a segment",
              "file=%s err=%s",
              log_quote(quoted, sizeof quoted, slice_str(p->path)),
              kv_errname(status));
    /* Whatever became of the file, the next attempt starts with another. */
    if (env_unlink(w->env, p->path) != 0)
        log_event(w->env, ENV_LOG_WARN, "wal", "cannot remove a file",
                  "file=%s", quoted);
    prep_end(w);
    p->failures++;
    if (!w->failed)
        env_timer_set(&w->prep_timer, env_now_ms(w->env) + PREP_RETRY_MS);
}

void wal__on_prep_timer(struct env_timer *t)
{
    struct wal *w = t->data;

    ASSERT(!w->failed);
    if (w->prep.failures >= WAL__PREP_TRIES && w->inflight == NULL &&
        !list_empty(&w->queue)) {
        struct wal__batch *b = LIST_FIRST(&w->queue, struct wal__batch, link);
        if (b->seg->state == WAL__SEG_PLANNED) {
            wal__fail(w, w->prep.status, "creating the segment", b->seg);
            wal__close_step(w);
            return;
        }
    }
    wal__prep_kick(w);
}

/* The file is complete: give it its name. */
static void prep_finish(struct wal *w)
{
    struct wal__prep *p = &w->prep;
    struct wal__segment *s = p->seg;
    char *path = wal__seg_path(w, s->h.seq, "seg");

    int rv = env_rename(w->env, p->path, path);
    mem_free(path);
    if (rv != 0) {
        p->status = rv;
        prep_failed(w, rv);
        return;
    }
    rv = SABOTAGE(DIR_UNSYNCED) ? 0 : env_sync_dir(w->env, w->cfg.dir);
    if (rv != 0) {
        prep_end(w);
        if (!w->failed)
            wal__fail(w, rv, "syncing the directory after a rename to", s);
        return;
    }
    s->file = p->file;
    s->state = WAL__SEG_READY;
    s->used = ++w->use_clock;
    w->n_open++;
    p->file = NULL;
    p->failures = 0;
    prep_end(w);
    if (w->n_open > WAL__OPEN_MAX)
        close_oldest(w);
    wal__write_next(w);
    wal__prep_kick(w);
}

static void on_prep_io(struct env_io *io)
{
    struct wal *w = io->data;
    struct wal__prep *p = &w->prep;

    ASSERT(p->active);
    if (io->status != 0) {
        p->status = io->status;
        prep_failed(w, io->status);
    } else if (w->failed || (w->closing && list_empty(&w->queue))) {
        prep_end(w); /* wal_open will tidy up */
    } else if (p->header_written) {
        prep_finish(w);
    } else {
        if (p->offset < p->seg->h.bytes)
            p->offset += (uint32_t)p->part.n;
        prep_step(w);
    }
    wal__close_step(w);
}

/* Submit the next write: a chunk of zeros, or at the end the header. */
static void prep_step(struct wal *w)
{
    struct wal__prep *p = &w->prep;
    uint64_t offset = p->offset;
    uint32_t left = p->seg->h.bytes - p->offset;
    /* Each chunk is synced, so that no fdatasync of the log has to wait for
     * more than one of them; but nothing of the first segment can be. */
    bool sync = left == 0 || p->seg->h.seq > 1;

    if (left > 0) {
        p->part = slice_make(p->zeros,
                             left < WAL__ZERO_CHUNK ? left : WAL__ZERO_CHUNK);
    } else {
        wal__head_encode(&p->seg->h, p->header);
        p->part = slice_make(p->header, WAL__SEG_HEADER);
        p->header_written = true;
        offset = 0;
    }
    p->io = (struct env_io){
        .file = p->file,
        .offset = offset,
        .parts = &p->part,
        .n_parts = 1,
        .sync = sync,
        .cb = on_prep_io,
        .data = w,
    };
    env_submit_write(w->env, &p->io);
}

static void prep_start(struct wal *w, struct wal__segment *s)
{
    struct wal__prep *p = &w->prep;
    int rv;

    ASSERT(!p->active);
    ASSERT(s->state == WAL__SEG_PLANNED);
    *p =
        (struct wal__prep){ .active = true, .seg = s, .failures = p->failures };
    if (w->n_free > 0 && s->h.bytes == w->cfg.segment_bytes) {
        p->path = wal__seg_path(w, w->free_seqs[0], "free");
        w->n_free--;
        memmove(w->free_seqs, w->free_seqs + 1,
                w->n_free * sizeof *w->free_seqs);
        p->offset = s->h.bytes; /* its blocks are written already */
        rv = env_open(w->env, p->path, 0, &p->file);
        w->stats.recycled += rv == 0;
    } else {
        p->path = wal__tmp_path(w);
        rv = env_open(w->env, p->path, ENV_OPEN_CREATE, &p->file);
    }
    if (rv != 0) {
        p->file = NULL;
        p->status = rv;
        prep_failed(w, rv);
        return;
    }
    p->zeros = mem_calloc(1, WAL__ZERO_CHUNK);
    p->header = mem_alloc(WAL__SEG_HEADER);
    prep_step(w);
}

void wal__prep_kick(struct wal *w)
{
    struct wal__segment *s = NULL;

    if (w->prep.active || w->failed || env_timer_armed(&w->prep_timer) ||
        (w->closing && list_empty(&w->queue)))
        return;
    for (size_t i = 0; i < w->n_segs && s == NULL; i++)
        if (w->segs[i]->state == WAL__SEG_PLANNED)
            s = w->segs[i];
    if (s == NULL && !w->closing && w->cur == w->segs[w->n_segs - 1] &&
        w->cur_off > w->cur->h.bytes / 2)
        s = wal__seg_plan(w);
    if (s != NULL)
        prep_start(w, s);
}

/* ---- retiring ---- */

static int retire_file(struct wal *w, struct wal__segment *s)
{
    char *from = wal__seg_path(w, s->h.seq, "seg");
    char *to = wal__seg_path(w, s->h.seq, "free");

    wal__seg_close(w, s);
    int rv = env_rename(w->env, from, to);
    if (rv == 0)
        rv = env_sync_dir(w->env, w->cfg.dir);
    if (rv == 0 &&
        (w->n_free >= WAL__FREE_MAX || s->h.bytes != w->cfg.segment_bytes)) {
        rv = env_unlink(w->env, to);
    } else if (rv == 0) {
        w->free_seqs[w->n_free++] = s->h.seq;
    }
    mem_free(from);
    mem_free(to);
    return rv;
}

/* Remember which segments are dead once what is encoded by now is durable. */
static void retire_look(struct wal *w)
{
    uint64_t need = wal__track_need(w);

    if (w->cur_off == WAL__SEG_HEADER)
        return; /* no checkpoint yet that could stand for the older ones */
    w->pins_changed = false;
    if (need > w->cur->h.seq)
        need = w->cur->h.seq;
    if (need > w->segs[0]->h.seq) {
        w->retire_before = need;
        w->retire_lsn = w->tail;
    }
}

void wal__retire(struct wal *w)
{
    if (w->failed || w->closing)
        return;
    if (w->pins_changed && w->retire_before <= w->segs[0]->h.seq)
        retire_look(w);
    struct wal__segment *s = w->segs[0];
    if (s->h.seq >= w->retire_before || w->durable < w->retire_lsn ||
        s->users > 0)
        return;
    ASSERT(s != w->cur);
    ASSERT(s->h.base_lsn + s->h.bytes <= w->durable);
    int rv = retire_file(w, s);
    if (rv != 0) {
        wal__fail(w, rv, "retiring the segment", s);
        return;
    }
    w->n_segs--;
    memmove(w->segs, w->segs + 1, w->n_segs * sizeof(struct wal__segment *));
    mem_free(s);
}
