/* Loading: from the files of a directory to the groups' state.
 *
 * Three passes, the first two without changing anything on disk:
 *  1  names and headers: sequences without a gap, each header intact, of this
 *     cluster and node, file sizes right;
 *  2  contents, oldest first: each record verified and folded, up to the first
 *     place where no intact record stands; wal_scan.c decides whether that is
 *     the end of the log, a torn write, or damage;
 *  3  only if all is well: what no record states as durable is written once more
 *     and synced, as is the directory; a torn segment is sealed at its last
 *     intact record so that no leftover behind it is ever read again; left-over
 *     temporary files are removed.
 *
 * Why write what was just read: it may be in the page cache only, and to sync it is
 * not enough.  After an fdatasync that failed, Linux counts the pages as clean: they
 * can be read, the next fdatasync has nothing to do and succeeds, and they are not on
 * the disk.  The process that saw the failure ends (rule R9); the next one must not
 * believe the cache.  Each record states how far the log was durable when it was
 * written, so that is a short piece at the end.
 *
 * Memory: one segment at a time, and what wal_fold.c keeps.
 *
 * A crash during pass 3 changes nothing that matters: the seal is written where
 * no intact record stands, so that until it is whole the next start finds the
 * same torn tail at the same place.
 *
 * Invariants:
 *  I1  A non-zero return leaves the directory as it was (but for errors of the
 *      disk in pass 3, which leave it loadable). */
#include "store/wal_int.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/mem.h"
#include "base/sabotage.h"

/* Names found in the directory. */
struct names {
    uint64_t *segs, *frees; /* owned */
    size_t n_segs, n_frees;
    bool tmp;
};

#define ADVICE                                                                 \
    "Do not delete or edit log files: acknowledged writes may depend on "      \
    "them.  Restore the file from a copy taken while kvd was stopped, or "     \
    "move the whole data directory away and restore it from a backup; until "  \
    "then leave this node stopped (the others go on while each shard has a "   \
    "majority)"

int wal__load_error(struct wal__load *l, int code, uint64_t seq, uint32_t off,
                    const char *what)
{
    char *path = wal__seg_path(l->w, seq, "seg");

    snprintf(l->errmsg, l->errmsg_n, "%s: offset %u: %s.  " ADVICE, path, off,
             what);
    mem_free(path);
    return code;
}

/* A failed call, not a damaged file. */
static int io_error(struct wal__load *l, int code, uint64_t seq,
                    const char *what)
{
    char *path = wal__seg_path(l->w, seq, "seg");

    snprintf(l->errmsg, l->errmsg_n,
             "%s: cannot %s: %s.  Check the disk, then start again", path, what,
             kv_strerror(code));
    mem_free(path);
    return code;
}

static int dir_error(struct wal__load *l, int code, const char *what)
{
    snprintf(l->errmsg, l->errmsg_n,
             "%s: cannot %s: %s.  Check that the directory exists and may be "
             "written, then start again",
             l->w->cfg.dir, what, kv_strerror(code));
    return code;
}

/* ---- pass 1: names and headers ---- */

/* "wal-<16 hex digits>.<suffix>" -> sequence, 0 if it is something else. */
static uint64_t parse_name(const char *name, const char *suffix)
{
    uint64_t v = 0;

    if (strlen(name) != 21 + strlen(suffix) || memcmp(name, "wal-", 4) != 0 ||
        name[20] != '.' || strcmp(name + 21, suffix) != 0)
        return 0;
    for (int i = 4; i < 20; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return 0;
    }
    return v;
}

static void insert_sorted(uint64_t **list, size_t *n, uint64_t v)
{
    size_t i = *n;

    *list = mem_realloc(*list, (*n + 1) * sizeof **list);
    for (; i > 0 && (*list)[i - 1] > v; i--)
        (*list)[i] = (*list)[i - 1];
    (*list)[i] = v;
    (*n)++;
}

static void on_name(void *data, const char *name)
{
    struct names *f = data;
    uint64_t seq = parse_name(name, "seg");

    if (seq != 0)
        insert_sorted(&f->segs, &f->n_segs, seq);
    else if ((seq = parse_name(name, "free")) != 0)
        insert_sorted(&f->frees, &f->n_frees, seq);
    else if (strcmp(name, WAL__TMP_NAME) == 0)
        f->tmp = true;
}

static int check_identity(struct wal__load *l, const struct wal__head *h)
{
    const struct wal_config *cfg = &l->w->cfg;

    if (h->cluster_id == cfg->cluster_id && h->node_id == cfg->node_id)
        return 0;
    char *path = wal__seg_path(l->w, h->seq, "seg");
    snprintf(
        l->errmsg, l->errmsg_n,
        "%s: offset 0: this log belongs to node %llu of cluster "
        "%016llx, not to node %llu of cluster %016llx.  Start with the "
        "settings it was created with, or with another data directory",
        path, (unsigned long long)h->node_id, (unsigned long long)h->cluster_id,
        (unsigned long long)cfg->node_id, (unsigned long long)cfg->cluster_id);
    mem_free(path);
    return KV_EMISMATCH;
}

static int check_head(struct wal__load *l, uint64_t seq, const uint8_t *p,
                      size_t n, uint64_t size)
{
    struct wal__head h;
    const struct wal *w = l->w;
    int rv = wal__head_decode(p, n, &h);

    if (rv == KV_EVERSION)
        return wal__load_error(l, rv, seq, 8,
                               "this log was written by another version of "
                               "kvd; start that version");
    if (rv != 0)
        return wal__load_error(l, rv, seq, 0,
                               "the segment's header is damaged");
    if (h.seq != seq)
        return wal__load_error(l, KV_ECORRUPT, seq, 16,
                               "the header names another segment: the file "
                               "was renamed or copied over");
    rv = check_identity(l, &h);
    if (rv != 0)
        return rv;
    if (size != h.bytes)
        return wal__load_error(l, KV_ECORRUPT, seq,
                               size < h.bytes ? (uint32_t)size : h.bytes,
                               "the file was cut or extended: its size is "
                               "not the one its header states");
    if (w->n_segs > 0) {
        const struct wal__head *prev = &w->segs[w->n_segs - 1]->h;
        if (h.base_lsn != prev->base_lsn + prev->bytes)
            return wal__load_error(l, KV_ECORRUPT, seq, 48,
                                   "the segment does not follow the one "
                                   "before it: it is of another log");
    }
    wal__seg_add(l->w, &h)->state = WAL__SEG_READY;
    return 0;
}

static int load_head(struct wal__load *l, uint64_t seq)
{
    uint8_t *p = mem_alloc(WAL__SEG_HEADER);
    struct env *env = l->w->env;
    struct env_file *file;
    char *path = wal__seg_path(l->w, seq, "seg");
    uint64_t size = 0;
    size_t got = 0;

    int rv = env_open(env, path, ENV_OPEN_RDONLY, &file);
    mem_free(path);
    if (rv != 0) {
        mem_free(p);
        return io_error(l, rv, seq, "open");
    }
    rv = env_size(env, file, &size);
    if (rv == 0)
        rv = env_read(env, file, 0, p, WAL__SEG_HEADER, &got);
    env_close(env, file);
    if (rv != 0)
        rv = io_error(l, rv, seq, "read");
    else
        rv = check_head(l, seq, p, got, size);
    mem_free(p);
    return rv;
}

static int load_heads(struct wal__load *l, const struct names *f)
{
    l->n_files = f->n_segs;
    for (size_t i = 0; i < f->n_segs; i++) {
        if (i > 0 && f->segs[i] != f->segs[i - 1] + 1)
            return wal__load_error(l, KV_ECORRUPT, f->segs[i - 1] + 1, 0,
                                   "the file is missing although later "
                                   "segments are there");
        int rv = load_head(l, f->segs[i]);
        if (rv != 0)
            return rv;
    }
    return 0;
}

/* ---- pass 2: records ---- */

int wal__load_segment(struct wal__load *l, struct wal__segment *s)
{
    size_t got = 0;

    if (l->buf_cap < s->h.bytes) {
        mem_free(l->buf);
        l->buf = mem_alloc(s->h.bytes);
        l->buf_cap = s->h.bytes;
    }
    int rv = wal__seg_open(l->w, s);
    if (rv != 0)
        return io_error(l, rv, s->h.seq, "open");
    rv = env_read(l->w->env, s->file, 0, l->buf, s->h.bytes, &got);
    wal__seg_close(l->w, s);
    if (rv != 0)
        return io_error(l, rv, s->h.seq, "read");
    if (got != s->h.bytes)
        return io_error(l, KV_EIO, s->h.seq, "read the whole of");
    return 0;
}

/* A planted fault: go on behind a record that is damaged. */
static bool skip_corrupt(const struct wal__load *l,
                         const struct wal__segment *s, uint32_t *off)
{
    uint32_t n = get_u32le(l->buf + *off + 4);

    if (n < WAL__REC_HEADER || n % WAL__ALIGN != 0 ||
        n > s->h.bytes - *off - WAL__REC_HEADER ||
        get_u64le(l->buf + *off + 8) != s->h.base_lsn + *off)
        return false;
    *off += n;
    return true;
}

/* Fold the segment in l->buf.  *ret_off: the end of its last intact record;
 * *ret_sealed: that is its seal. */
static int load_records(struct wal__load *l, const struct wal__segment *s,
                        uint32_t *ret_off, bool *ret_sealed)
{
    uint32_t off = WAL__SEG_HEADER;
    struct wal__rec r;

    for (;;) {
        int rv =
            wal__rec_decode(&s->h, off, l->buf + off, s->h.bytes - off, &r);
        if (rv == KV_EVERSION)
            return wal__load_error(l, rv, s->h.seq, off,
                                   "a record of a kind or version this kvd "
                                   "does not know; start the version that "
                                   "wrote it");
        if (rv == KV_ECORRUPT && SABOTAGE(CORRUPT_SKIPPED) &&
            skip_corrupt(l, s, &off))
            continue;
        if (rv != 0)
            break;
        if (off == WAL__SEG_HEADER && r.kind != WAL__CHECKPOINT &&
            r.kind != WAL__SEAL)
            return wal__load_error(l, KV_ECORRUPT, s->h.seq, off,
                                   "the segment does not begin with a "
                                   "checkpoint");
        off += r.length;
        if (r.synced > l->durable)
            l->durable = r.synced;
        if (r.kind == WAL__SEAL) {
            *ret_off = off;
            *ret_sealed = true;
            return 0;
        }
        const char *wrong = wal__fold(l, &r, s);
        if (wrong != NULL)
            return wal__load_error(l, KV_ECORRUPT, s->h.seq, off - r.length,
                                   wrong);
        l->last_kind = r.kind;
    }
    *ret_off = off;
    *ret_sealed = false;
    return 0;
}

/* Everything before the oldest segment must be accounted for (wal_track.c, I4).
 */
static int check_missing(struct wal__load *l)
{
    struct wal *w = l->w;

    for (size_t i = 0; i < w->n_tracks; i++) {
        struct wal__track *t = w->tracks[i];
        if (t->missing_to != 0)
            return wal__load_error(l, KV_ECORRUPT, w->segs[0]->h.seq - 1, 0,
                                   "the file is missing: entries that are "
                                   "still needed lie in it or before it");
        struct wal_group *g = &t->fold;
        g->term = t->s.term;
        g->vote = t->s.vote;
        g->snap_index = t->s.snap_index;
        g->snap_term = t->s.snap_term;
        ASSERT(g->first == g->snap_index + 1);
        ASSERT(g->first + g->n == t->s.last + 1);
    }
    return 0;
}

static int load_contents(struct wal__load *l)
{
    struct wal *w = l->w;
    size_t n = w->n_segs;

    l->end_seg = n;
    for (size_t i = 0; i < n; i++) {
        struct wal__segment *s = w->segs[i];
        uint32_t off = 0;
        bool sealed = false;
        int rv = wal__load_segment(l, s);
        if (rv == 0)
            rv = load_records(l, s, &off, &sealed);
        if (rv != 0)
            return rv;
        w->tail = s->h.base_lsn + off;
        if (sealed)
            continue;
        l->end_seg = i;
        l->end_off = off;
        if (!l->began && w->segs[0]->h.seq > 1)
            return wal__load_error(l, KV_ECORRUPT, s->h.seq, off,
                                   "the segment's opening checkpoint is "
                                   "damaged");
        rv = wal__scan_tail(l, i, off);
        if (rv != 0)
            return rv;
        break;
    }
    return check_missing(l);
}

/* ---- pass 3: make it fit for writing ---- */

/* Write once more what is not known to be on the disk, up to offset end. */
static int rewrite(struct wal__load *l, struct wal__segment *s, uint32_t end)
{
    struct env *env = l->w->env;
    uint64_t off =
        l->durable > s->h.base_lsn ? l->durable - s->h.base_lsn : 0;
    uint8_t *p;
    int rv = 0;

    if (off >= end)
        return 0;
    p = mem_alloc(WAL__ZERO_CHUNK);
    while (off < end && rv == 0) {
        size_t n = end - off < WAL__ZERO_CHUNK ? (size_t)(end - off)
                                               : WAL__ZERO_CHUNK;
        size_t got = 0;

        rv = env_read(env, s->file, off, p, n, &got);
        if (rv == 0 && got != n)
            rv = KV_EIO;
        if (rv == 0)
            rv = env_write(env, s->file, off, p, n);
        off += n;
    }
    mem_free(p);
    return rv;
}

/* Make what was read, up to offset end, durable; seal a torn segment there. */
static int settle_file(struct wal__load *l, struct wal__segment *s,
                       uint32_t end, uint32_t seal_at)
{
    struct wal *w = l->w;
    uint8_t p[WAL__REC_HEADER];
    struct wal__rec r = { .kind = WAL__SEAL,
                          .length = WAL__REC_HEADER,
                          .covered = WAL__REC_HEADER,
                          .lsn = s->h.base_lsn + seal_at };

    int rv = wal__seg_open(w, s);
    if (rv != 0)
        return io_error(l, rv, s->h.seq, "open");
    rv = rewrite(l, s, end);
    if (rv != 0)
        return io_error(l, rv, s->h.seq, "write again");
    rv = env_sync(w->env, s->file);
    if (rv != 0)
        return io_error(l, rv, s->h.seq, "sync");
    if (seal_at == 0)
        return 0;
    wal__rec_encode(&r, p);
    wal__rec_finish(p, s->h.generation, r.lsn);
    rv = env_write(w->env, s->file, seal_at, p, sizeof p);
    if (rv == 0)
        rv = env_sync(w->env, s->file);
    if (rv != 0)
        return io_error(l, rv, s->h.seq, "seal");
    w->tail = r.lsn + r.length;
    return 0;
}

/* Writing goes on at the end; it finds its files open. */
static int settle_cursor(struct wal__load *l)
{
    struct wal *w = l->w;
    size_t n = w->n_segs;
    int rv = 0;

    if (l->end_seg < n && !l->dirty) {
        w->cur = w->segs[l->end_seg];
        w->cur_off = l->end_off;
        w->marked = l->last_kind == WAL__MARK ? w->tail : 0;
    } else {
        l->end_seg += l->dirty;
        w->cur = l->end_seg < n ? w->segs[l->end_seg] : wal__seg_plan(w);
        w->cur_off = WAL__SEG_HEADER;
    }
    if (n == 0)
        w->marked = w->tail = WAL__SEG_HEADER;
    for (size_t i = l->end_seg; i < n && rv == 0; i++) {
        rv = wal__seg_open(w, w->segs[i]);
        if (rv != 0)
            io_error(l, rv, w->segs[i]->h.seq, "open");
    }
    return rv;
}

/* The last two segments: nothing of one is written before the seal of the one
 * before is durable, so all others are. */
static int settle_end(struct wal__load *l)
{
    struct wal *w = l->w;
    size_t end = l->end_seg, n = w->n_segs;
    int rv = 0;

    if (end > 0)
        rv = settle_file(l, w->segs[end - 1], w->segs[end - 1]->h.bytes, 0);
    if (rv == 0 && end < n)
        rv = settle_file(l, w->segs[end], l->end_off,
                         l->dirty ? l->end_off : 0);
    return rv == 0 ? settle_cursor(l) : rv;
}

/* Keep what can be recycled, remove the rest. */
static int settle_dir(struct wal__load *l, const struct names *f)
{
    struct wal *w = l->w;
    char *path;
    int rv = 0;

    for (size_t i = 0; i < f->n_frees && rv == 0; i++) {
        struct env_file *file;
        uint64_t size = 0;
        path = wal__seg_path(w, f->frees[i], "free");
        rv = env_open(w->env, path, ENV_OPEN_RDONLY, &file);
        if (rv == 0) {
            rv = env_size(w->env, file, &size);
            env_close(w->env, file);
        }
        if (rv == 0 && size == w->cfg.segment_bytes &&
            w->n_free < WAL__FREE_MAX)
            w->free_seqs[w->n_free++] = f->frees[i];
        else if (rv == 0)
            rv = env_unlink(w->env, path);
        mem_free(path);
    }
    if (rv == 0 && f->tmp) {
        path = wal__tmp_path(w);
        rv = env_unlink(w->env, path);
        mem_free(path);
    }
    if (rv == 0)
        /* Files that were renamed just before a kill -9 have their new names in
         * the cache only. */
        rv = env_sync_dir(w->env, w->cfg.dir);
    return rv == 0 ? 0 : dir_error(l, rv, "remove left-over log files in it, "
                                   "or sync it");
}

int wal__load_all(struct wal__load *l)
{
    struct names f = { .n_segs = 0 };
    int rv = env_list(l->w->env, l->w->cfg.dir, on_name, &f);

    if (rv != 0)
        rv = dir_error(l, rv, "list it");
    else
        rv = load_heads(l, &f);
    if (rv == 0)
        rv = load_contents(l);
    if (rv == 0)
        rv = settle_end(l);
    if (rv == 0)
        rv = settle_dir(l, &f);
    mem_free(f.segs);
    mem_free(f.frees);
    return rv;
}

void wal__load_free(struct wal__load *l)
{
    mem_free(l->buf);
    mem_free(l->kept);
}
