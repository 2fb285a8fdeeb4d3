/* What the records add up to, group by group.
 *
 * A group's state is the fold of its records.  The same fold runs when a
 * record is queued (then a nonsensical record is a bug of ours: the caller
 * asserts) and when one is read back (then it is a damaged or foreign log).
 * Per group it keeps term, vote, the last snapshot, the last index, and for the
 * entries above the snapshot in which segments they lie: a short list of
 * runs, one per segment, so that the first run tells the oldest segment the
 * group needs.
 *
 *     BOOTSTRAP        the group begins, in term 1; it has no entry and no vote
 *                      yet (a crash may have kept a first BOOTSTRAP alone)
 *     HARDSTATE        term and vote; the term never goes back
 *     APPEND i..j      i is last + 1; last becomes j
 *     TRUNCATE i       snap_index < i <= last; last becomes i - 1
 *     COMPACT i        snap_index <= i <= last; entries up to i are not needed
 *     INSTALL i        i >= snap_index; no entries, last = snap_index = i
 *     CHECKPOINT       first in a segment: the state of all groups up to here
 *
 * Invariants:
 *  I1  tracks are sorted by group id; nothing depends on addresses.
 *  I2  runs ascend in index and in sequence; the first covers snap_index + 1,
 *      unless those entries are `missing` (their segment was recycled); the
 *      list is empty exactly when no live entry lies in a known segment.
 *  I3  A checkpoint in the middle of the log must equal the fold of what is
 *      before it: a record lost there without a trace cannot go unnoticed.
 *  I4  A log whose oldest segments were recycled begins with a checkpoint that
 *      may speak of entries in them; by the end of the log a COMPACT, INSTALL
 * or TRUNCATE must have released those, or a file is missing. */
#include "store/wal_int.h"

#include "base/assert.h"
#include "base/codec.h"
#include "base/mem.h"

#define INDEX_MAX (UINT64_MAX >> 2)

/* Place of the group, or where it belongs. */
static size_t lower_bound(const struct wal *w, uint32_t group)
{
    size_t lo = 0, hi = w->n_tracks;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->tracks[mid]->s.group < group)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct wal__track *wal__track_find(const struct wal *w, uint32_t group)
{
    size_t i = lower_bound(w, group);

    if (i < w->n_tracks && w->tracks[i]->s.group == group)
        return w->tracks[i];
    return NULL;
}

struct wal__track *wal__track_get(struct wal *w, uint32_t group)
{
    size_t i = lower_bound(w, group);

    if (i < w->n_tracks && w->tracks[i]->s.group == group)
        return w->tracks[i];
    if (w->n_tracks == WAL_GROUPS_MAX)
        return NULL;
    if (w->n_tracks == w->cap_tracks) {
        w->cap_tracks = w->cap_tracks == 0 ? 16 : w->cap_tracks * 2;
        w->tracks = mem_realloc(w->tracks, w->cap_tracks * sizeof *w->tracks);
    }
    memmove(w->tracks + i + 1, w->tracks + i,
            (w->n_tracks - i) * sizeof *w->tracks);
    w->tracks[i] = MEM_NEW(struct wal__track);
    w->tracks[i]->s.group = group;
    w->tracks[i]->fold.group = group;
    w->tracks[i]->fold.first = 1;
    w->n_tracks++;
    return w->tracks[i];
}

void wal__track_free(struct wal__track *t)
{
    for (uint64_t i = 0; i < t->fold.n; i++)
        blob_unref(t->fold.entries[i].blob);
    mem_free(t->fold.entries);
    mem_free(t->runs);
    mem_free(t);
}

void wal__tracks_free(struct wal *w)
{
    for (size_t i = 0; i < w->n_tracks; i++)
        wal__track_free(w->tracks[i]);
    mem_free(w->tracks);
    w->tracks = NULL;
    w->n_tracks = w->cap_tracks = 0;
}

/* ---- runs ---- */

static void runs_push(struct wal__track *t, uint64_t first, uint64_t seq)
{
    if (t->n_runs > 0 && t->runs[t->n_runs - 1].seq == seq)
        return;
    ASSERT(t->n_runs == 0 || t->runs[t->n_runs - 1].seq < seq);
    ASSERT(t->n_runs == 0 || t->runs[t->n_runs - 1].first < first);
    if (t->n_runs == t->cap_runs) {
        t->cap_runs = t->cap_runs == 0 ? 4 : t->cap_runs * 2;
        t->runs = mem_realloc(t->runs, t->cap_runs * sizeof *t->runs);
    }
    t->runs[t->n_runs++] = (struct wal__run){ .first = first, .seq = seq };
}

/* Entries from index on are gone. */
static void runs_cut(struct wal__track *t, uint64_t index)
{
    while (t->n_runs > 0 && t->runs[t->n_runs - 1].first >= index)
        t->n_runs--;
}

/* Entries up to index are not needed; last is t->s.last. */
static void runs_release(struct wal__track *t, uint64_t index)
{
    size_t drop = 0;

    while (drop < t->n_runs) {
        uint64_t next =
            drop + 1 < t->n_runs ? t->runs[drop + 1].first : t->s.last + 1;
        if (next > index + 1)
            break;
        drop++;
    }
    if (drop > 0)
        memmove(t->runs, t->runs + drop, (t->n_runs - drop) * sizeof *t->runs);
    t->n_runs -= drop;
    if (t->n_runs > 0 && t->runs[0].first <= index)
        t->runs[0].first = index + 1;
}

uint64_t wal__track_need(const struct wal *w)
{
    uint64_t need = UINT64_MAX;

    for (size_t i = 0; i < w->n_tracks; i++) {
        const struct wal__track *t = w->tracks[i];
        if (t->n_runs > 0 && t->runs[0].seq < need)
            need = t->runs[0].seq;
    }
    return need;
}

/* ---- the fold ---- */

static const char *check_record(const struct wal__track *t,
                                const struct wal__rec *r)
{
    const struct wal__state *s = &t->s;

    if (r->index > INDEX_MAX || r->term > INDEX_MAX)
        return "an index or term is out of range";
    switch (r->kind) {
    case WAL_BOOTSTRAP:
        return s->term <= 1 && s->vote == 0 && s->last == 0
                   ? NULL
                   : "a group begins twice";
    case WAL_HARDSTATE:
        return r->term >= s->term ? NULL : "a group's term goes back";
    case WAL_APPEND:
        return r->index == s->last + 1 ? NULL
                                       : "entries do not follow the last one";
    case WAL_TRUNCATE:
        return r->index > s->snap_index && r->index <= s->last
                   ? NULL
                   : "a truncation names entries that are not there";
    case WAL_COMPACT:
        return r->index >= s->snap_index && r->index <= s->last
                   ? NULL
                   : "a compaction names entries that are not there";
    case WAL_INSTALL:
        return r->index >= s->snap_index ? NULL
                                         : "an installed snapshot goes back";
    default:
        return "a record of a kind that belongs to no group";
    }
}

static void apply_snapshot(struct wal *w, struct wal__track *t,
                           const struct wal__rec *r)
{
    if (r->kind == WAL_COMPACT) {
        runs_release(t, r->index);
    } else {
        t->n_runs = 0;
        t->s.last = r->index;
    }
    t->s.snap_index = r->index;
    t->s.snap_term = r->term;
    if (t->missing_to <= r->index)
        t->missing_to = 0;
    w->pins_changed = true;
}

const char *wal__track_apply(struct wal *w, const struct wal__rec *r,
                             uint64_t seq)
{
    struct wal__track fresh = { .s.group = r->group };
    struct wal__track *t = wal__track_find(w, r->group);
    const char *wrong = check_record(t == NULL ? &fresh : t, r);

    if (wrong != NULL)
        return wrong;
    t = wal__track_get(w, r->group);
    if (t == NULL)
        return "there are more groups than one log may have";
    switch (r->kind) {
    case WAL_BOOTSTRAP:
        t->s.term = 1;
        break;
    case WAL_HARDSTATE:
        t->s.term = r->term;
        t->s.vote = get_u64le(r->body);
        break;
    case WAL_APPEND:
        runs_push(t, r->index, seq);
        t->s.last += r->count;
        break;
    case WAL_TRUNCATE:
        runs_cut(t, r->index);
        t->s.last = r->index - 1;
        if (t->missing_to >= r->index)
            t->missing_to = r->index - 1 > t->s.snap_index ? r->index - 1 : 0;
        w->pins_changed = true;
        break;
    case WAL_COMPACT:
    case WAL_INSTALL:
        apply_snapshot(w, t, r);
        break;
    default:
        UNREACHABLE();
    }
    return NULL;
}

/* ---- checkpoints ---- */

uint32_t wal__checkpoint_encode(const struct wal *w, struct buf *b)
{
    buf_put_u32(b, (uint32_t)w->n_tracks);
    buf_put_u32(b, 0);
    for (size_t i = 0; i < w->n_tracks; i++)
        wal__state_encode(&w->tracks[i]->s, buf_grow(b, WAL__GROUP_STATE));
    return 8 + (uint32_t)w->n_tracks * WAL__GROUP_STATE;
}

static bool state_eq(const struct wal__state *a, const struct wal__state *b)
{
    return a->group == b->group && a->term == b->term && a->vote == b->vote &&
           a->snap_index == b->snap_index && a->snap_term == b->snap_term &&
           a->last == b->last;
}

/* The first record of the oldest segment: begin from it (I4). */
static const char *checkpoint_begin(struct wal *w, const struct wal__rec *r)
{
    ASSERT(w->n_tracks == 0);
    for (uint32_t i = 0; i < r->count; i++) {
        const uint8_t *p = r->body + 8 + (size_t)i * WAL__GROUP_STATE;
        struct wal__state s = wal__state_decode(p);
        if (s.last < s.snap_index || s.last > INDEX_MAX ||
            wal__track_find(w, s.group) != NULL)
            return "a segment's opening checkpoint contradicts itself";
        struct wal__track *t = wal__track_get(w, s.group);
        ASSERT(t != NULL);
        t->s = s;
        t->missing_to = s.last > s.snap_index ? s.last : 0;
        t->fold.first = s.last + 1;
    }
    return NULL;
}

const char *wal__checkpoint_apply(struct wal *w, const struct wal__rec *r,
                                  bool oldest)
{
    if (oldest)
        return checkpoint_begin(w, r);
    if (r->count != w->n_tracks)
        return "a segment's opening checkpoint does not match the log before "
               "it";
    for (uint32_t i = 0; i < r->count; i++) {
        const uint8_t *p = r->body + 8 + (size_t)i * WAL__GROUP_STATE;
        struct wal__state s = wal__state_decode(p);
        if (!state_eq(&s, &w->tracks[i]->s))
            return "a segment's opening checkpoint does not match the log "
                   "before it";
    }
    return NULL;
}

void wal__track_check(const struct wal__track *t)
{
    ASSERT(t->s.last >= t->s.snap_index);
    ASSERT(t->missing_to == 0 || t->missing_to > t->s.snap_index);
    for (size_t i = 1; i < t->n_runs; i++) {
        ASSERT(t->runs[i].first > t->runs[i - 1].first);
        ASSERT(t->runs[i].seq > t->runs[i - 1].seq);
    }
    if (t->n_runs > 0) {
        ASSERT(t->runs[t->n_runs - 1].first <= t->s.last);
        ASSERT(t->runs[0].first > t->s.snap_index);
    }
}
