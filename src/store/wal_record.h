/* The bytes of the log: segment headers and records (wal_record.c says which byte
 * is what).  Private to the log, its tests and its fuzz target. */
#ifndef KV_STORE_WAL_RECORD_H
#define KV_STORE_WAL_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define WAL__MAGIC "KVWALSEG"
#define WAL__VERSION 1u
#define WAL__SEG_HEADER 4096u /* bytes before the first record */
#define WAL__REC_HEADER 56u   /* bytes */
#define WAL__ENTRY_HEAD 24u   /* bytes of one line of an APPEND's table */
#define WAL__GROUP_STATE 48u  /* bytes of one line of a CHECKPOINT */
#define WAL__ALIGN 8u

/* Kinds that only the log itself writes; beside enum wal_kind. */
enum wal__kind {
    WAL__SEAL = 7,       /* the segment ends here, the next one follows */
    WAL__CHECKPOINT = 8, /* first record of a segment: state of all groups */
    WAL__MARK = 9        /* nothing but its `synced` field */
};

/* A segment's identity, as in its header. */
struct wal__head {
    uint64_t seq;        /* 1, 2, ... */
    uint64_t generation; /* random, never reused: seeds the checksums */
    uint64_t cluster_id, node_id;
    uint64_t base_lsn;   /* lsn of offset 0 of the file */
    uint32_t bytes;      /* size of the file */
};

/* One record.  Decoded: table and body are borrowed from the bytes read. */
struct wal__rec {
    uint32_t length;  /* bytes, header included, a multiple of WAL__ALIGN */
    uint32_t covered; /* bytes from the start that the checksum covers */
    uint64_t lsn;     /* of the record's first byte */
    uint64_t synced;  /* the log was durable up to here when this was written */
    uint64_t index, term;
    uint32_t group;
    uint8_t kind;
    uint8_t version;
    const uint8_t *body; /* what follows the header */
    uint32_t count;      /* APPEND, CHECKPOINT: lines of the table at body + 8 */
};

/* One line of an APPEND's table. */
struct wal__line {
    uint64_t term;
    uint32_t len; /* payload bytes */
    uint32_t crc; /* crc32c of the payload */
    uint8_t type;
};

/* One line of a CHECKPOINT. */
struct wal__state {
    uint32_t group;
    uint64_t term, vote, snap_index, snap_term, last;
};

void wal__head_encode(const struct wal__head *h, uint8_t *p);
/* KV_ECORRUPT; KV_EVERSION: valid, but of another format version. */
int wal__head_decode(const uint8_t *p, size_t n, struct wal__head *ret);

/* Write the header but for its checksum and `synced`, which wal__rec_finish
 * fills in once r->covered bytes at p are complete. */
void wal__rec_encode(const struct wal__rec *r, uint8_t *p);
void wal__rec_finish(uint8_t *p, uint64_t generation, uint64_t synced);
void wal__line_encode(const struct wal__line *l, uint8_t *p);
struct wal__line wal__line_decode(const uint8_t *p);
void wal__state_encode(const struct wal__state *s, uint8_t *p);
struct wal__state wal__state_decode(const uint8_t *p);

/* The record at p, file offset off, n bytes readable.  Untrusted input.
 * KV_ECORRUPT: these bytes are no intact record of this segment.  KV_EVERSION: an
 * intact record which this version does not understand. */
int wal__rec_decode(const struct wal__head *h, uint32_t off, const uint8_t *p,
                    size_t n, struct wal__rec *ret);
/* Bytes of an APPEND of n entries with so many payload bytes. */
uint32_t wal__append_length(unsigned n, uint64_t payload_bytes);

#endif
