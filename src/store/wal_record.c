/* The bytes of the log: segment headers and records.
 *
 * Pure functions over memory; the decoders take untrusted bytes (a fuzz target,
 * test/fuzz/fuzz_wal.c).  All integers are little-endian.
 *
 * Segment header, 4096 bytes at offset 0 of the file:
 *      0  magic "KVWALSEG"
 *      8  u32 format version (1)
 *     12  u32 size of the file
 *     16  u64 sequence
 *     24  u64 generation
 *     32  u64 cluster id
 *     40  u64 node id
 *     48  u64 base lsn: that of offset 0
 *     56  u32 0
 *     60  u32 crc32c of bytes 0..59
 *     64  zeros
 *
 * Record, from offset 4096 on, one after the other, each at a multiple of 8:
 *      0  u32 crc32c, begun with the segment's seed, of bytes 4..covered-1
 *      4  u32 length of the whole record, a multiple of 8
 *      8  u64 lsn of the record's first byte
 *     16  u64 synced: the log was durable up to here when this was written
 *     24  u64 index
 *     32  u64 term
 *     40  u32 group
 *     44  u32 covered: bytes of the record that the crc covers
 *     48  u8  kind
 *     49  u8  version of the record's layout (1)
 *     50  6 zeros; anything else is of a later version
 *     56  body
 *
 * Bodies: HARDSTATE u64 vote.  APPEND u32 count, u32 0, count lines of 24 bytes
 * {u64 term, u32 len, u32 crc32c of the payload, u8 type, 7 zeros}, then the
 * payloads one after the other, then zeros up to the length; covered ends
 * behind the table, and the table's checksums cover the payloads, so that each
 * payload is summed once and one can be verified alone.  CHECKPOINT u32 count,
 * u32 0, count lines of 48 bytes {u32 group, u32 0, u64 term, vote, snap_index,
 * snap_term, last}.  The others have none.
 *
 * Invariants:
 *  I1  A record is intact only where it was written: its lsn names its place in
 *      an address space that never comes round, so that whatever a recycled
 *      file held before cannot match, and the crc's seed differs as well.
 *  I2  Every byte of a record is covered: by the crc, by a payload's crc, or by
 *      the rule that padding is zero.
 *  I3  length and covered are read the same way for every kind and version, so
 *      that an intact record of a later version is told from a damaged one. */
#include "store/wal_record.h"

#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/sabotage.h"
#include "store/wal.h"

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return false;
    return true;
}

void wal__head_encode(const struct wal__head *h, uint8_t *p)
{
    ASSERT(h->seq > 0);
    ASSERT(h->generation != 0);
    memset(p, 0, WAL__SEG_HEADER);
    memcpy(p, WAL__MAGIC, 8);
    put_u32le(p + 8, WAL__VERSION);
    put_u32le(p + 12, h->bytes);
    put_u64le(p + 16, h->seq);
    put_u64le(p + 24, h->generation);
    put_u64le(p + 32, h->cluster_id);
    put_u64le(p + 40, h->node_id);
    put_u64le(p + 48, h->base_lsn);
    put_u32le(p + 60, crc32c(0, p, 60));
}

int wal__head_decode(const uint8_t *p, size_t n, struct wal__head *ret)
{
    if (n < WAL__SEG_HEADER || memcmp(p, WAL__MAGIC, 8) != 0 ||
        get_u32le(p + 60) != crc32c(0, p, 60))
        return KV_ECORRUPT;
    if (get_u32le(p + 8) != WAL__VERSION)
        return KV_EVERSION;
    struct wal__head h = {
        .bytes = get_u32le(p + 12),
        .seq = get_u64le(p + 16),
        .generation = get_u64le(p + 24),
        .cluster_id = get_u64le(p + 32),
        .node_id = get_u64le(p + 40),
        .base_lsn = get_u64le(p + 48),
    };
    if (h.seq == 0 || h.generation == 0 || get_u32le(p + 56) != 0 ||
        h.bytes < WAL_SEGMENT_BYTES_MIN || h.bytes > WAL_SEGMENT_BYTES_MAX ||
        h.bytes % WAL__ALIGN != 0 || h.base_lsn % WAL__ALIGN != 0 ||
        h.base_lsn > UINT64_MAX / 2 || !all_zero(p + 64, WAL__SEG_HEADER - 64))
        return KV_ECORRUPT;
    *ret = h;
    return 0;
}

void wal__rec_encode(const struct wal__rec *r, uint8_t *p)
{
    ASSERT(r->length % WAL__ALIGN == 0);
    ASSERT(r->covered >= WAL__REC_HEADER && r->covered <= r->length);
    memset(p, 0, WAL__REC_HEADER);
    put_u32le(p + 4, r->length);
    put_u64le(p + 8, r->lsn);
    put_u64le(p + 24, r->index);
    put_u64le(p + 32, r->term);
    put_u32le(p + 40, r->group);
    put_u32le(p + 44, r->covered);
    p[48] = r->kind;
    p[49] = WAL__VERSION;
}

static uint32_t record_crc(uint64_t generation, const uint8_t *p,
                           uint32_t covered)
{
    uint8_t seed[8];

    put_u64le(seed, SABOTAGE(WAL_STALE_ACCEPTED) ? 0 : generation);
    return crc32c(crc32c(0, seed, sizeof seed), p + 4, covered - 4);
}

void wal__rec_finish(uint8_t *p, uint64_t generation, uint64_t synced)
{
    put_u64le(p + 16, synced);
    put_u32le(p, record_crc(generation, p, get_u32le(p + 44)));
}

void wal__line_encode(const struct wal__line *l, uint8_t *p)
{
    memset(p, 0, WAL__ENTRY_HEAD);
    put_u64le(p, l->term);
    put_u32le(p + 8, l->len);
    put_u32le(p + 12, l->crc);
    p[16] = l->type;
}

struct wal__line wal__line_decode(const uint8_t *p)
{
    return (struct wal__line){ .term = get_u64le(p),
                               .len = get_u32le(p + 8),
                               .crc = get_u32le(p + 12),
                               .type = p[16] };
}

void wal__state_encode(const struct wal__state *s, uint8_t *p)
{
    put_u32le(p, s->group);
    put_u32le(p + 4, 0);
    put_u64le(p + 8, s->term);
    put_u64le(p + 16, s->vote);
    put_u64le(p + 24, s->snap_index);
    put_u64le(p + 32, s->snap_term);
    put_u64le(p + 40, s->last);
}

struct wal__state wal__state_decode(const uint8_t *p)
{
    return (struct wal__state){ .group = get_u32le(p),
                                .term = get_u64le(p + 8),
                                .vote = get_u64le(p + 16),
                                .snap_index = get_u64le(p + 24),
                                .snap_term = get_u64le(p + 32),
                                .last = get_u64le(p + 40) };
}

uint32_t wal__append_length(unsigned n, uint64_t payload_bytes)
{
    uint64_t v =
        WAL__REC_HEADER + 8 + (uint64_t)n * WAL__ENTRY_HEAD + payload_bytes;

    v = (v + WAL__ALIGN - 1) / WAL__ALIGN * WAL__ALIGN;
    ASSERT(v <= UINT32_MAX);
    return (uint32_t)v;
}

/* Payloads: lengths add up, each sum holds, padding is zero. */
static int check_append(const uint8_t *p, struct wal__rec *r)
{
    uint64_t at = r->covered, want;

    if (r->covered < WAL__REC_HEADER + 8)
        return KV_ECORRUPT;
    r->count = get_u32le(r->body);
    want = WAL__REC_HEADER + 8 + (uint64_t)r->count * WAL__ENTRY_HEAD;
    if (r->count == 0 || want != r->covered || get_u32le(r->body + 4) != 0)
        return KV_ECORRUPT;
    for (uint32_t i = 0; i < r->count; i++) {
        const uint8_t *q = r->body + 8 + (size_t)i * WAL__ENTRY_HEAD;
        struct wal__line l = wal__line_decode(q);
        if (l.len > r->length - at || !all_zero(q + 17, 7))
            return KV_ECORRUPT;
        if (crc32c(0, p + at, l.len) != l.crc && !SABOTAGE(TORN_ACCEPTED))
            return KV_ECORRUPT;
        at += l.len;
    }
    if (r->length - at >= WAL__ALIGN || !all_zero(p + at, r->length - at))
        return KV_ECORRUPT;
    return 0;
}

static int check_checkpoint(struct wal__rec *r)
{
    uint32_t n = r->length - WAL__REC_HEADER;

    if (n < 8)
        return KV_ECORRUPT;
    r->count = get_u32le(r->body);
    if (r->count > WAL_GROUPS_MAX || r->count * WAL__GROUP_STATE + 8 != n)
        return KV_ECORRUPT;
    return 0;
}

static int check_body(const uint8_t *p, struct wal__rec *r)
{
    uint32_t body_n = r->length - WAL__REC_HEADER;

    if (r->kind == WAL_APPEND)
        return check_append(p, r);
    if (r->covered != r->length)
        return KV_ECORRUPT;
    switch (r->kind) {
    case WAL_HARDSTATE:
        return body_n == 8 ? 0 : KV_ECORRUPT;
    case WAL__CHECKPOINT:
        return check_checkpoint(r);
    case WAL_TRUNCATE:
    case WAL_COMPACT:
    case WAL_INSTALL:
    case WAL_BOOTSTRAP:
    case WAL__SEAL:
    case WAL__MARK:
        return body_n == 0 ? 0 : KV_ECORRUPT;
    default:
        return KV_EVERSION;
    }
}

int wal__rec_decode(const struct wal__head *h, uint32_t off, const uint8_t *p,
                    size_t n, struct wal__rec *ret)
{
    if (n < WAL__REC_HEADER)
        return KV_ECORRUPT;
    struct wal__rec r = {
        .length = get_u32le(p + 4),
        .lsn = get_u64le(p + 8),
        .synced = get_u64le(p + 16),
        .index = get_u64le(p + 24),
        .term = get_u64le(p + 32),
        .group = get_u32le(p + 40),
        .covered = get_u32le(p + 44),
        .kind = p[48],
        .version = p[49],
        .body = p + WAL__REC_HEADER,
    };
    if (r.lsn != h->base_lsn + off && !SABOTAGE(WAL_STALE_ACCEPTED))
        return KV_ECORRUPT;
    if (r.length > n || r.length % WAL__ALIGN != 0 ||
        r.covered < WAL__REC_HEADER || r.covered > r.length)
        return KV_ECORRUPT;
    if (record_crc(h->generation, p, r.covered) != get_u32le(p) &&
        !SABOTAGE(TORN_ACCEPTED))
        return KV_ECORRUPT;
    if (r.version != WAL__VERSION || !all_zero(p + 50, 6))
        return KV_EVERSION;
    if (r.synced > r.lsn && !SABOTAGE(WAL_STALE_ACCEPTED))
        return KV_ECORRUPT;
    int rv = check_body(p, &r);
    if (rv != 0)
        return rv;
    *ret = r;
    return 0;
}
