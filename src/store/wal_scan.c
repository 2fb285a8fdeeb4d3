/* Torn tail or damage?
 *
 * Loading has come to a place where no intact record stands.  Three cases:
 *
 *  - The log simply ends here: nothing behind is an intact record.
 *  - Torn: the last write before a crash was one gathered write whose sectors
 *    reached the disk in any order, wholly, partly or not at all; so behind an
 *    unreadable record of it, intact ones may stand.  Nobody was told that any
 * of that write is durable: all of it from here on is dropped.
 *  - Damage: the record was durable and cannot be read any more.
 *
 * Each record carries `synced`, the position up to which the log was durable
 * when it was written.  If an intact record behind this place says that the
 * log was durable beyond it, this is damage.  So is any intact record in a
 * later segment, for those are written only after this one's seal is durable.
 *
 * What cannot be told apart: damage to the very last write, after which nothing
 * was written, looks torn.  A MARK closes that gap: it is written when the log
 * falls quiet and when it is closed, and says that everything before it was
 * durable.
 *
 * Intact records are looked for at every multiple of 8.  A record names its
 * own position, so a candidate is found by comparing 8 bytes, and chance
 * matches are practically excluded before any checksum is computed. */
#include "store/wal_int.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/sabotage.h"

/* The first intact record of l->buf at or behind off; its offset or 0. */
static uint32_t find_intact(const struct wal__load *l,
                            const struct wal__segment *s, uint32_t off,
                            struct wal__rec *ret)
{
    ASSERT(off % WAL__ALIGN == 0);
    for (; off + WAL__REC_HEADER <= s->h.bytes; off += WAL__ALIGN) {
        const uint8_t *p = l->buf + off;
        if (get_u64le(p + 8) != s->h.base_lsn + off)
            continue;
        *ret = (struct wal__rec){ .length = WAL__ALIGN, .synced = UINT64_MAX };
        int rv = wal__rec_decode(&s->h, off, p, s->h.bytes - off, ret);
        if (rv != KV_ECORRUPT)
            return off; /* KV_EVERSION: intact too; it counts as a witness */
    }
    return 0;
}

static int damaged(struct wal__load *l, size_t seg, uint32_t off,
                   uint64_t witness_seq, uint32_t witness_off)
{
    char what[256];

    snprintf(what, sizeof what,
             "a record is damaged: it was durable when the record at offset "
             "%u of segment %llu was written",
             witness_off, (unsigned long long)witness_seq);
    return wal__load_error(l, KV_ECORRUPT, l->w->segs[seg]->h.seq, off, what);
}

int wal__scan_tail(struct wal__load *l, size_t seg, uint32_t off)
{
    struct wal *w = l->w;
    struct wal__segment *s = w->segs[seg];
    uint64_t here = s->h.base_lsn + off;
    struct wal__rec r;
    uint32_t at = off;

    while ((at = find_intact(l, s, at, &r)) != 0) {
        if (r.synced > here && !SABOTAGE(WAL_DAMAGE_CUT))
            return damaged(l, seg, off, s->h.seq, at);
        l->dirty = true;
        at += r.length;
    }
    for (size_t i = seg + 1; i < w->n_segs; i++) {
        int rv = wal__load_segment(l, w->segs[i]);
        if (rv != 0)
            return rv;
        at = find_intact(l, w->segs[i], WAL__SEG_HEADER, &r);
        if (at != 0)
            return damaged(l, seg, off, w->segs[i]->h.seq, at);
    }
    return 0;
}
