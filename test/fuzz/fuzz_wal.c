/* Fuzz target: segment headers and WAL records from arbitrary bytes.
 *
 * The input is taken twice: as a segment header, and as a run of records of a
 * fixed segment.  Checksums stop nearly all mutated records, so the first byte
 * chooses whether the checksum of each record is put right before decoding,
 * which lets the fuzzer into what is behind it.  A record that decodes must lie
 * inside the input and be what its own fields encode. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/wal.h"
#include "store/wal_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wal__head segment = { .seq = 3,
                                          .generation = 0x1122334455667788,
                                          .cluster_id = 1,
                                          .node_id = 2,
                                          .base_lsn = 0x20000,
                                          .bytes = 65536 };

static void fuzz_header(const uint8_t *p, size_t n)
{
    struct wal__head h;
    uint8_t out[WAL__SEG_HEADER];

    int rv = wal__head_decode(p, n, &h);
    ASSERT(rv == 0 || rv == KV_ECORRUPT || rv == KV_EVERSION);
    if (rv != 0)
        return;
    wal__head_encode(&h, out);
    ASSERT(memcmp(out, p, sizeof out) == 0);
}

static void check_table(const uint8_t *p, const struct wal__rec *r)
{
    uint64_t payload = 0;

    if (r->kind == WAL_APPEND) {
        ASSERT(r->count > 0);
        for (uint32_t i = 0; i < r->count; i++)
            payload += wal__line_decode(r->body + 8 + i * WAL__ENTRY_HEAD).len;
        ASSERT(wal__append_length(r->count, payload) == r->length);
    }
    if (r->kind == WAL__CHECKPOINT)
        ASSERT(r->count * WAL__GROUP_STATE + 8 + WAL__REC_HEADER == r->length);
    (void)p;
}

static void check_record(const uint8_t *p, size_t n, const struct wal__rec *r)
{
    uint8_t head[WAL__REC_HEADER];

    ASSERT(r->length <= n);
    ASSERT(r->length >= WAL__REC_HEADER);
    ASSERT(r->covered <= r->length);
    ASSERT(r->body == p + WAL__REC_HEADER);
    wal__rec_encode(r, head);
    put_u64le(head + 16, r->synced);
    memcpy(head, p, 4);
    ASSERT(memcmp(head, p, 48) == 0);
    check_table(p, r);
}

static void fuzz_records(uint8_t *p, size_t n, bool fix)
{
    uint32_t off = WAL__SEG_HEADER;
    struct wal__rec r;

    while (n >= WAL__REC_HEADER) {
        if (fix) {
            uint32_t covered = get_u32le(p + 44);
            put_u64le(p + 8, segment.base_lsn + off);
            if (covered >= WAL__REC_HEADER && covered <= n)
                wal__rec_finish(p, segment.generation, get_u64le(p + 16));
        }
        int rv = wal__rec_decode(&segment, off, p, n, &r);
        ASSERT(rv == 0 || rv == KV_ECORRUPT || rv == KV_EVERSION);
        if (rv != 0)
            return;
        check_record(p, n, &r);
        p += r.length;
        n -= r.length;
        off += r.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_header(data, size);
    if (size > 1) {
        uint8_t *copy = malloc(size - 1);
        ASSERT(copy != NULL);
        memcpy(copy, data + 1, size - 1);
        fuzz_records(copy, size - 1, (data[0] & 1) != 0);
        free(copy);
    }
    return 0;
}
