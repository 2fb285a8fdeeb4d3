/* Loading, one record at a time: a group's entries and their payloads.
 *
 * wal_track.c folds terms, snapshots and indexes and says whether a record
 * makes sense; here the entries themselves are collected for wal_next_group. An
 * entry keeps its metadata and position; payloads are kept newest first, up to
 * load_bytes_max in all: a ring remembers the order in which they were read,
 * and the oldest are dropped when the limit is passed.  The rest is read back
 * by wal_read when somebody asks.
 *
 * Invariants:
 *  I1  fold.first + fold.n is the track's last + 1.
 *  I2  kept_bytes is the sum of the payloads in memory; after each record it is
 *      at most load_bytes_max. */
#include "store/wal_int.h"

#include "base/assert.h"
#include "base/mem.h"

struct wal__kept {
    struct wal__track *t;
    uint64_t index;
    struct wal_pos pos;
};

/* Drop the oldest payloads while there are too many. */
static void evict(struct wal__load *l)
{
    while (l->kept_bytes > l->w->cfg.load_bytes_max) {
        ASSERT(l->kept_head < l->kept_n);
        const struct wal__kept *k = &l->kept[l->kept_head++];
        struct wal_group *g = &k->t->fold;
        if (k->index < g->first || k->index >= g->first + g->n)
            continue;
        struct wal_entry *e = &g->entries[k->index - g->first];
        if (e->blob == NULL || e->pos.segment != k->pos.segment ||
            e->pos.offset != k->pos.offset)
            continue; /* replaced since */
        l->kept_bytes -= e->len;
        blob_unref(e->blob);
        e->blob = NULL;
    }
}

static void keep(struct wal__load *l, struct wal__track *t, uint64_t index,
                 struct wal_entry *e, const uint8_t *p)
{
    e->blob = blob_copy(slice_make(p, e->len));
    l->kept_bytes += e->len;
    if (l->kept_n == l->kept_cap && l->kept_head > l->kept_cap / 2) {
        l->kept_n -= l->kept_head;
        memmove(l->kept, l->kept + l->kept_head, l->kept_n * sizeof *l->kept);
        l->kept_head = 0;
    }
    if (l->kept_n == l->kept_cap) {
        l->kept_cap = l->kept_cap == 0 ? 64 : l->kept_cap * 2;
        l->kept = mem_realloc(l->kept, l->kept_cap * sizeof *l->kept);
    }
    l->kept[l->kept_n++] =
        (struct wal__kept){ .t = t, .index = index, .pos = e->pos };
}

static void fold_append(struct wal__load *l, struct wal__track *t,
                        const struct wal__rec *r, const struct wal__segment *s)
{
    struct wal_group *g = &t->fold;
    uint32_t at = r->covered;

    ASSERT(r->index == g->first + g->n);
    if (g->n + r->count > g->cap) {
        g->cap =
            g->cap * 2 > g->n + r->count ? g->cap * 2 : g->n + r->count + 16;
        g->entries = mem_realloc(g->entries, g->cap * sizeof *g->entries);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        const uint8_t *q = r->body + 8 + (size_t)i * WAL__ENTRY_HEAD;
        struct wal__line line = wal__line_decode(q);
        struct wal_entry *e = &g->entries[g->n++];
        *e = (struct wal_entry){
            .term = line.term,
            .type = line.type,
            .len = line.len,
            .pos = { .segment = s->h.seq,
                     .offset = (uint32_t)(r->lsn - s->h.base_lsn) + at,
                     .crc = line.crc },
        };
        keep(l, t, r->index + i, e, r->body - WAL__REC_HEADER + at);
        at += line.len;
    }
    evict(l);
}

static void drop_entry(struct wal__load *l, struct wal_entry *e)
{
    if (e->blob != NULL)
        l->kept_bytes -= e->len;
    blob_unref(e->blob);
    e->blob = NULL;
}

/* Entries from index on are gone. */
static void fold_cut(struct wal__load *l, struct wal_group *g, uint64_t index)
{
    while (g->n > 0 && g->first + g->n > index)
        drop_entry(l, &g->entries[--g->n]);
    if (index < g->first)
        g->first = index;
}

/* Entries up to index are gone. */
static void fold_release(struct wal__load *l, struct wal_group *g,
                         uint64_t index)
{
    uint64_t k = 0;

    if (index < g->first)
        return;
    while (k < g->n && g->first + k <= index)
        drop_entry(l, &g->entries[k++]);
    if (k > 0)
        memmove(g->entries, g->entries + k, (g->n - k) * sizeof *g->entries);
    g->n -= k;
    g->first = index + 1;
}

const char *wal__fold(struct wal__load *l, const struct wal__rec *r,
                      const struct wal__segment *s)
{
    struct wal *w = l->w;

    if (r->kind == WAL__MARK)
        return NULL;
    if (r->kind == WAL__CHECKPOINT) {
        bool first = !l->began;
        l->began = true;
        return wal__checkpoint_apply(w, r, first);
    }
    const char *wrong = wal__track_apply(w, r, s->h.seq);
    if (wrong != NULL)
        return wrong;
    struct wal__track *t = wal__track_find(w, r->group);
    ASSERT(t != NULL);
    switch (r->kind) {
    case WAL_APPEND:
        fold_append(l, t, r, s);
        break;
    case WAL_TRUNCATE:
        fold_cut(l, &t->fold, r->index);
        break;
    case WAL_COMPACT:
        fold_release(l, &t->fold, r->index);
        break;
    case WAL_INSTALL:
        fold_cut(l, &t->fold, 0);
        t->fold.first = r->index + 1;
        break;
    default:
        break;
    }
    return NULL;
}
