/* Encoding: from wal_put_* to a batch that can be written.
 *
 *     wal_put_*  ->  batch at the end of `queue`  ->  (wal_write.c)
 *
 * A put encodes its record at once into the last batch: headers, tables and
 * small payloads are copied, larger payloads are referenced.  Its place in the
 * log is final then, so positions are known before anything is written.  A
 * batch is a run of whole records of one segment and becomes one gathered
 * write; one write is in flight at a time.  While the disk works, puts collect
 * in the next batch: group commit adapts to the load by itself.
 *
 * When a record does not fit, the segment is sealed and the next one begins
 * with a checkpoint.  A long run of entries becomes several records, so that no
 * record is larger than WAL__RECORD_AIM unless one entry is.
 *
 * Invariants:
 *  I1  A batch's bytes are the bytes of its segment from off on, without a gap;
 *      the next batch begins where it ends or in the next segment.
 *  I2  There is always room for a seal behind the cursor.
 *  I3  Each record passes the same fold as when it is loaded (asserted): what
 *      is written can be read back. */
#include "store/wal_int.h"

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc.h"
#include "base/mem.h"

/* ---- batches ---- */

void wal__batch_free(struct wal__batch *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->n_blobs; i++)
        blob_unref(b->blobs[i]);
    buf_close(&b->small);
    mem_free(b->parts);
    mem_free(b->heads);
    mem_free(b->blobs);
    mem_free(b->slices);
    mem_free(b);
}

/* The batch that the next record joins. */
static struct wal__batch *tail_batch(struct wal *w)
{
    struct wal__batch *b;

    if (!list_empty(&w->queue)) {
        b = CONTAINER_OF(w->queue.prev, struct wal__batch, link);
        if (b->seg == w->cur) {
            ASSERT(b->off + b->bytes == w->cur_off);
            return b;
        }
    }
    b = MEM_NEW(struct wal__batch);
    b->seg = w->cur;
    b->off = w->cur_off;
    buf_init(&b->small);
    list_add_tail(&w->queue, &b->link);
    return b;
}

static void *grow(void *p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return p;
    *cap = *cap == 0 ? 16 : *cap * 2;
    return mem_realloc(p, *cap * size);
}

/* The next n bytes of the batch are those just put into small at off. */
static void add_small(struct wal__batch *b, size_t off, size_t n)
{
    struct wal__part *last = b->n_parts > 0 ? &b->parts[b->n_parts - 1] : NULL;

    if (n == 0)
        return;
    if (last != NULL && last->ext == NULL && last->off + last->n == off) {
        last->n += n;
        return;
    }
    b->parts = grow(b->parts, b->n_parts, &b->cap_parts, sizeof *b->parts);
    b->parts[b->n_parts++] = (struct wal__part){ .off = off, .n = n };
}

static void add_blob(struct wal__batch *b, struct blob *blob, size_t n)
{
    b->parts = grow(b->parts, b->n_parts, &b->cap_parts, sizeof *b->parts);
    b->parts[b->n_parts++] = (struct wal__part){ .ext = blob->data, .n = n };
    b->blobs = grow(b->blobs, b->n_blobs, &b->cap_blobs, sizeof *b->blobs);
    b->blobs[b->n_blobs++] = blob_ref(blob);
}

/* ---- encoding ---- */

/* Open a record at the cursor: its place, header and room for r->covered bytes.
 * The result is valid until the next growth of the batch. */
static uint8_t *rec_begin(struct wal *w, struct wal__batch *b,
                          struct wal__rec *r)
{
    size_t at = b->small.len;
    uint8_t *p = buf_grow(&b->small, r->covered);

    r->lsn = w->cur->h.base_lsn + w->cur_off;
    wal__rec_encode(r, p);
    b->heads = grow(b->heads, b->n_heads, &b->cap_heads, sizeof *b->heads);
    b->heads[b->n_heads++] = at;
    add_small(b, at, r->covered);
    return p;
}

static void rec_end(struct wal *w, struct wal__batch *b,
                    const struct wal__rec *r)
{
    ASSERT(w->cur_off + r->length <= w->cur->h.bytes);
    w->cur_off += r->length;
    w->queue_bytes += r->length;
    w->tail = w->cur->h.base_lsn + w->cur_off;
    b->bytes += r->length;
    b->records++;
    w->stats.records++;
    ASSERT(b->off + b->bytes == w->cur_off);
}

/* Encode a record whose body is wholly covered, with no look at the room. */
static struct wal__batch *emit(struct wal *w, struct wal__rec *r,
                               const uint8_t *body, uint32_t body_n)
{
    struct wal__batch *b = tail_batch(w);

    ASSERT(body_n % WAL__ALIGN == 0);
    r->length = r->covered = WAL__REC_HEADER + body_n;
    uint8_t *p = rec_begin(w, b, r);
    if (body_n > 0)
        memcpy(p + WAL__REC_HEADER, body, body_n);
    rec_end(w, b, r);
    return b;
}

static void emit_checkpoint(struct wal *w)
{
    struct wal__rec r = { .kind = WAL__CHECKPOINT };
    struct buf body;

    ASSERT(w->cur_off == WAL__SEG_HEADER);
    buf_init(&body);
    uint32_t n = wal__checkpoint_encode(w, &body);
    emit(w, &r, buf_at(&body), n);
    buf_close(&body);
}

/* Seal before moving on: only the newest segment may end without one. */
static void seal(struct wal *w)
{
    struct wal__rec r = { .kind = WAL__SEAL };
    struct wal__segment *next = wal__seg_find(w, w->cur->h.seq + 1);

    emit(w, &r, NULL, 0)->must_sync = true;
    if (next == NULL)
        next = wal__seg_plan(w);
    ASSERT(next->h.base_lsn == w->cur->h.base_lsn + w->cur->h.bytes);
    w->cur = next;
    w->cur_off = WAL__SEG_HEADER;
    w->pins_changed = true;
}

/* Make room at the cursor for a record of that length and a seal behind it. */
static void make_room(struct wal *w, uint32_t length)
{
    if (w->cur_off == WAL__SEG_HEADER)
        emit_checkpoint(w);
    if (length <= w->cur->h.bytes - WAL__REC_HEADER - w->cur_off)
        return;
    seal(w);
    emit_checkpoint(w);
    ASSERT(length <= w->cur->h.bytes - WAL__REC_HEADER - w->cur_off);
}

uint64_t wal__put(struct wal *w, struct wal__rec *r, const uint8_t *body,
                  uint32_t body_n)
{
    if (w->failed)
        return UINT64_MAX;
    make_room(w, WAL__REC_HEADER + body_n);
    struct wal__batch *b = emit(w, r, body, body_n);
    r->body = body;
    const char *wrong = wal__track_apply(w, r, w->cur->h.seq);
    ASSERT(wrong == NULL);
    b->lsn = w->end = w->tail;
    return w->end;
}

void wal__put_mark(struct wal *w, bool sync)
{
    struct wal__rec r = { .kind = WAL__MARK };

    ASSERT(!w->failed);
    make_room(w, WAL__REC_HEADER);
    struct wal__batch *b = emit(w, &r, NULL, 0);
    b->must_sync = b->must_sync || sync;
    w->marked = w->tail;
}

/* ---- the records ---- */

uint64_t wal_put_bootstrap(struct wal *w, uint32_t group)
{
    struct wal__rec r = { .kind = WAL_BOOTSTRAP, .group = group };

    wal__check(w);
    ASSERT(!w->closing);
    return wal__put(w, &r, NULL, 0);
}

uint64_t wal_put_hardstate(struct wal *w, uint32_t group, uint64_t term,
                           uint64_t vote)
{
    struct wal__rec r = { .kind = WAL_HARDSTATE, .group = group, .term = term };
    uint8_t body[8];

    wal__check(w);
    ASSERT(!w->closing);
    put_u64le(body, vote);
    return wal__put(w, &r, body, sizeof body);
}

uint64_t wal_put_truncate(struct wal *w, uint32_t group, uint64_t index)
{
    struct wal__rec r = { .kind = WAL_TRUNCATE,
                          .group = group,
                          .index = index };
    const struct wal__track *t = wal__track_find(w, group);

    wal__check(w);
    ASSERT(!w->closing);
    if (t == NULL || index > t->s.last)
        return w->failed ? UINT64_MAX : w->end;
    return wal__put(w, &r, NULL, 0);
}

uint64_t wal_put_compact(struct wal *w, uint32_t group, uint64_t index,
                         uint64_t term)
{
    struct wal__rec r = {
        .kind = WAL_COMPACT, .group = group, .index = index, .term = term
    };

    wal__check(w);
    ASSERT(!w->closing);
    return wal__put(w, &r, NULL, 0);
}

uint64_t wal_put_install(struct wal *w, uint32_t group, uint64_t index,
                         uint64_t term)
{
    struct wal__rec r = {
        .kind = WAL_INSTALL, .group = group, .index = index, .term = term
    };

    wal__check(w);
    ASSERT(!w->closing);
    return wal__put(w, &r, NULL, 0);
}

/* The table of an APPEND at p; sets the entries' positions. */
static void encode_table(struct wal *w, const struct wal__rec *r,
                         struct wal_entry *e, uint8_t *p)
{
    uint32_t at = w->cur_off + r->covered;

    put_u32le(p, r->count);
    put_u32le(p + 4, 0);
    for (uint32_t i = 0; i < r->count; i++) {
        struct wal__line l = { .term = e[i].term,
                               .len = e[i].len,
                               .type = e[i].type };
        if (e[i].len > 0)
            l.crc = crc32c(0, e[i].blob->data, e[i].len);
        wal__line_encode(&l, p + 8 + (size_t)i * WAL__ENTRY_HEAD);
        e[i].pos = (struct wal_pos){ .segment = w->cur->h.seq,
                                     .offset = at,
                                     .crc = l.crc };
        at += e[i].len;
    }
}

static void put_payload(struct wal__batch *b, const struct wal_entry *e)
{
    if (e->len > WAL__COPY_MAX) {
        add_blob(b, e->blob, e->len);
    } else if (e->len > 0) {
        size_t at = b->small.len;
        buf_put(&b->small, e->blob->data, e->len);
        add_small(b, at, e->len);
    }
}

/* One APPEND record: n entries from index on. */
static void put_run(struct wal *w, uint32_t group, uint64_t index,
                    struct wal_entry *e, unsigned n)
{
    static const uint8_t zeros[WAL__ALIGN];
    uint64_t payload = 0;

    for (unsigned i = 0; i < n; i++)
        payload += e[i].len;
    struct wal__rec r = {
        .kind = WAL_APPEND,
        .group = group,
        .index = index,
        .term = e[n - 1].term,
        .count = n,
        .covered = WAL__REC_HEADER + 8 + n * WAL__ENTRY_HEAD,
        .length = wal__append_length(n, payload),
    };
    ASSERT(r.length <= WAL_RECORD_BYTES_MAX);
    make_room(w, r.length);
    struct wal__batch *b = tail_batch(w);
    uint8_t *p = rec_begin(w, b, &r);
    encode_table(w, &r, e, p + WAL__REC_HEADER);
    for (unsigned i = 0; i < n; i++)
        put_payload(b, &e[i]);
    size_t pad = r.length - r.covered - (size_t)payload;
    size_t at = b->small.len;
    ASSERT(pad < WAL__ALIGN);
    buf_put(&b->small, zeros, pad);
    add_small(b, at, pad);
    rec_end(w, b, &r);

    const char *wrong = wal__track_apply(w, &r, w->cur->h.seq);
    ASSERT(wrong == NULL);
    b->lsn = w->end = w->tail;
}

uint64_t wal_put_entries(struct wal *w, uint32_t group, uint64_t index,
                         struct wal_entry *e, unsigned n)
{
    unsigned done = 0;

    wal__check(w);
    ASSERT(!w->closing);
    ASSERT(n > 0);
    if (w->failed)
        return UINT64_MAX;
    wal_put_truncate(w, group, index);
    while (done < n) {
        unsigned k = 0;
        uint64_t bytes = 0;
        do {
            ASSERT(e[done + k].len <= wal_entry_bytes_max(w));
            ASSERT(e[done + k].len == 0 || e[done + k].blob != NULL);
            bytes += WAL__ENTRY_HEAD + e[done + k].len;
            k++;
        } while (done + k < n &&
                 bytes + WAL__ENTRY_HEAD + e[done + k].len <= w->run_max);
        put_run(w, group, index + done, e + done, k);
        done += k;
    }
    wal__check(w);
    return w->end;
}
