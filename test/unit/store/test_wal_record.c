/* The format, byte for byte: what a released version has written must stay
 * readable.  Changing one of these vectors means a new format version. */
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/crc.h"
#include "lib/test.h"
#include "store/wal.h"
#include "store/wal_record.h"

static const struct wal__head head = { .seq = 3,
                                       .generation = 0x1122334455667788,
                                       .cluster_id = 0xc1,
                                       .node_id = 7,
                                       .base_lsn = 0x20000,
                                       .bytes = 65536 };

static void check_hex(const uint8_t *p, size_t n, const char *want)
{
    char got[1024];

    CHECK(n * 2 < sizeof got);
    for (size_t i = 0; i < n; i++)
        snprintf(got + 2 * i, 3, "%02x", p[i]);
    CHECK_STR(got, want);
}

TEST(wal_record, a_segment_header_is_these_bytes)
{
    uint8_t p[WAL__SEG_HEADER];
    struct wal__head h;

    wal__head_encode(&head, p);
    check_hex(p, 72,
              "4b5657414c534547"
              "01000000"
              "00000100"
              "0300000000000000"
              "8877665544332211"
              "c100000000000000"
              "0700000000000000"
              "0000020000000000"
              "00000000"
              "547dd09c"
              "0000000000000000");
    CHECK_EQ(wal__head_decode(p, sizeof p, &h), 0);
    CHECK_EQ(h.seq, head.seq);
    CHECK_EQ(h.generation, head.generation);
    CHECK_EQ(h.cluster_id, head.cluster_id);
    CHECK_EQ(h.node_id, head.node_id);
    CHECK_EQ(h.base_lsn, head.base_lsn);
    CHECK_EQ(h.bytes, head.bytes);
    CHECK_EQ(wal__head_decode(p, sizeof p - 1, &h), KV_ECORRUPT);
}

/* Two entries, "abc" and "", as a record at offset 4096. */
static uint32_t append(uint8_t *p)
{
    struct wal__rec r = { .kind = WAL_APPEND,
                          .group = 5,
                          .index = 9,
                          .term = 4,
                          .lsn = 0x21000,
                          .covered = WAL__REC_HEADER + 8 + 48,
                          .length = wal__append_length(2, 3) };
    struct wal__line a = {
        .term = 3, .len = 3, .crc = crc32c(0, "abc", 3), .type = 1
    };
    struct wal__line b = { .term = 4, .type = 2 };

    memset(p, 0, r.length);
    wal__rec_encode(&r, p);
    put_u32le(p + WAL__REC_HEADER, 2);
    wal__line_encode(&a, p + WAL__REC_HEADER + 8);
    wal__line_encode(&b, p + WAL__REC_HEADER + 8 + WAL__ENTRY_HEAD);
    memcpy(p + r.covered, "abc", 3);
    wal__rec_finish(p, head.generation, 0x20ff8);
    return r.length;
}

TEST(wal_record, an_append_is_these_bytes)
{
    uint8_t p[256];
    struct wal__rec r;
    uint32_t n = append(p);

    CHECK_EQ(n, 120);
    check_hex(p, n,
              "d2984180"
              "78000000"
              "0010020000000000"
              "f80f020000000000"
              "0900000000000000"
              "0400000000000000"
              "05000000"
              "70000000"
              "01"
              "01"
              "0000"
              "00000000"
              "02000000"
              "00000000"
              "0300000000000000"
              "03000000"
              "b73f4b36"
              "01"
              "00000000000000"
              "0400000000000000"
              "00000000"
              "00000000"
              "02"
              "00000000000000"
              "616263"
              "0000000000");
    CHECK_EQ(wal__rec_decode(&head, 4096, p, n, &r), 0);
    CHECK_EQ(r.count, 2);
    CHECK_EQ(r.index, 9);
    CHECK_EQ(r.term, 4);
    CHECK_EQ(r.group, 5);
    CHECK_EQ(r.synced, 0x20ff8);
    CHECK_EQ(wal__line_decode(r.body + 8).len, 3);
}

TEST(wal_record, a_record_is_intact_only_where_it_was_written)
{
    uint8_t p[256];
    struct wal__rec r;
    struct wal__head other = head;
    uint32_t n = append(p);

    CHECK_EQ(wal__rec_decode(&head, 4104, p, n, &r), KV_ECORRUPT);
    other.generation++;
    CHECK_EQ(wal__rec_decode(&other, 4096, p, n, &r), KV_ECORRUPT);
    other = head;
    other.base_lsn += 65536;
    CHECK_EQ(wal__rec_decode(&other, 4096, p, n, &r), KV_ECORRUPT);
    CHECK_EQ(wal__rec_decode(&head, 4096, p, n, &r), 0);
}

TEST(wal_record, every_changed_bit_and_every_shorter_record_is_noticed)
{
    uint8_t p[256];
    struct wal__rec r;
    uint32_t n = append(p);

    for (uint32_t i = 0; i < n * 8; i++) {
        p[i / 8] ^= (uint8_t)(1 << i % 8);
        CHECK_EQ(wal__rec_decode(&head, 4096, p, n, &r), KV_ECORRUPT);
        p[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (uint32_t k = 0; k < n; k++)
        CHECK_EQ(wal__rec_decode(&head, 4096, p, k, &r), KV_ECORRUPT);
}

TEST(wal_record, a_later_version_is_told_from_damage)
{
    uint8_t p[256];
    uint8_t h[WAL__SEG_HEADER];
    struct wal__rec r;
    struct wal__head ret;
    uint32_t n = append(p);

    p[49] = 2;
    wal__rec_finish(p, head.generation, 0x20ff8);
    CHECK_EQ(wal__rec_decode(&head, 4096, p, n, &r), KV_EVERSION);
    p[49] = 1;
    p[48] = 200;
    put_u32le(p + 44, n);
    wal__rec_finish(p, head.generation, 0x20ff8);
    CHECK_EQ(wal__rec_decode(&head, 4096, p, n, &r), KV_EVERSION);
    wal__head_encode(&head, h);
    put_u32le(h + 8, 2);
    put_u32le(h + 60, crc32c(0, h, 60));
    CHECK_EQ(wal__head_decode(h, sizeof h, &ret), KV_EVERSION);
}
