/* The write-ahead log: one per node, for all its groups.
 *
 * Records are queued by the wal_put_* functions and get a position (lsn) at
 * once; wal_flush starts one gathered write + fdatasync for everything queued, if
 * none is under way (group commit).  While the disk works, later records queue up
 * for the next write.  `synced` tells how far the log is durable.
 *
 * A position is the record's end in the log's endless address space: it grows
 * with every record, over segments and restarts.
 *
 * A failed write or fsync is final (rule R9): `failed` is called once, nothing is
 * ever acknowledged again, the owner must stop the process. */
#ifndef KV_STORE_WAL_H
#define KV_STORE_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/slice.h"
#include "env/env.h"

#define WAL_SEGMENT_BYTES_DEFAULT (64u << 20)
#define WAL_SEGMENT_BYTES_MIN (64u << 10)
#define WAL_SEGMENT_BYTES_MAX (1u << 30)
#define WAL_RECORD_BYTES_MAX (36u << 20) /* one entry's record at most */
#define WAL_GROUPS_MAX 256u              /* groups in one log */

enum wal_kind {
    WAL_APPEND = 1,    /* a run of entries of one group */
    WAL_TRUNCATE = 2,  /* entries from index on are gone */
    WAL_HARDSTATE = 3, /* term, vote */
    WAL_COMPACT = 4,   /* entries up to index are in a durable snapshot */
    WAL_INSTALL = 5,   /* the whole log is replaced by a snapshot at index/term */
    WAL_BOOTSTRAP = 6  /* the group begins: term 1, entry 1 */
};

/* Where an entry's payload lies. */
struct wal_pos {
    uint64_t segment; /* sequence number */
    uint32_t offset;  /* of the payload in the segment file, bytes */
    uint32_t crc;     /* crc32c of the payload: wal_read checks it */
};

struct wal_entry {
    uint64_t term;
    uint8_t type;        /* the group layer's; opaque here */
    uint32_t len;        /* payload bytes */
    struct blob *blob;   /* in wal_put_entries: the payload, borrowed (the log takes references);
                            in wal_group: owned, NULL if not kept in memory */
    struct wal_pos pos;  /* set by wal_put_entries and by loading */
};

/* The fold of a group's records, as wal_open found it. */
struct wal_group {
    uint32_t group;
    uint64_t term, vote;
    uint64_t snap_index, snap_term; /* last COMPACT or INSTALL; 0 if none */
    uint64_t first;                 /* index of entries[0]: snap_index + 1 */
    struct wal_entry *entries;      /* owned by the log until wal_loaded: take
                                       references to the blobs, copy the rest */
    uint64_t n, cap;
};

struct wal_config {
    const char *dir;               /* borrowed for wal_open; must exist */
    uint32_t segment_bytes;        /* power of two >= 64 KiB */
    uint64_t cluster_id, node_id;  /* written into and checked against segment headers */
    size_t load_bytes_max;         /* payload bytes kept in memory by loading, newest first */
    bool sync_always;              /* false: every 100 ms or 1000 writes */
    size_t queue_bytes_max;        /* wal_full() above this */
};

struct wal_ops {
    void (*synced)(void *ctx, uint64_t lsn); /* durable up to lsn; never goes back */
    void (*failed)(void *ctx, int status, const char *msg);
};

struct wal; /* opaque */

/* Recover the log in cfg->dir and open it for appending.  errmsg (n bytes) gets
 * file, offset and what to do when it returns non-zero: KV_ECORRUPT (damage anywhere but
 * the torn tail of the newest segment), KV_EMISMATCH (another cluster or node),
 * KV_EVERSION, KV_EIO, KV_ENOSPC... The directory is then unchanged. */
int wal_open(struct env *env, const struct wal_config *cfg, const struct wal_ops *ops, void *ctx,
             struct wal **ret, char *errmsg, size_t n);

/* No log was found: this one begins.  A node whose data directory says that it
 * ran before must then refuse to vote (rule R5). */
bool wal_fresh(const struct wal *w);

/* Iterate over the groups found, in group order: *it starts at 0. */
struct wal_group *wal_next_group(struct wal *w, uint64_t *it);
/* The group's fold, or NULL. */
struct wal_group *wal_find_group(struct wal *w, uint32_t group);
/* Drop what loading kept (entries, blobs) once the groups have taken it over. */
void wal_loaded(struct wal *w);

/* Queue records.  Each returns the record's lsn; UINT64_MAX once the log has
 * failed.  A record that contradicts the group's state (wal_track.c) is asserted. */
uint64_t wal_put_bootstrap(struct wal *w, uint32_t group);
uint64_t wal_put_hardstate(struct wal *w, uint32_t group, uint64_t term, uint64_t vote);
/* Entries index..index+n-1.  An index at or below the last one implies truncation
 * first (a TRUNCATE record is written by this call).  Sets e[i].pos. */
uint64_t wal_put_entries(struct wal *w, uint32_t group, uint64_t index, struct wal_entry *e, unsigned n);
/* Nothing to do, and no record, if index is behind the last one. */
uint64_t wal_put_truncate(struct wal *w, uint32_t group, uint64_t index);
uint64_t wal_put_compact(struct wal *w, uint32_t group, uint64_t index, uint64_t term);
uint64_t wal_put_install(struct wal *w, uint32_t group, uint64_t index, uint64_t term);

/* Start writing what is queued, unless a write is under way (then it follows by
 * itself). */
void wal_flush(struct wal *w);
uint64_t wal_synced(const struct wal *w);  /* durable up to here */
uint64_t wal_end(const struct wal *w);     /* lsn of the last record queued */
bool wal_full(const struct wal *w);        /* more is queued than queue_bytes_max, or the log has failed */
/* The largest payload one entry may have, given segment_bytes. */
uint32_t wal_entry_bytes_max(const struct wal *w);

/* A payload that is needed could not be read back (status, of the read): the log
 * fails for good, as by a failed write.  what: whose payload. */
void wal_unreadable(struct wal *w, int status, const char *what);

struct wal_read;
typedef void (*wal_read_cb)(struct wal_read *r, int status, struct blob *payload);
/* Read a payload back.  Owned by the caller until cb; the blob's reference passes to
 * cb.  KV_ECORRUPT if the checksum does not hold; KV_ECANCELED if the log is closed. */
struct wal_read {
    struct wal_pos pos;
    uint32_t len;
    wal_read_cb cb;
    void *data;
    struct { void *p[64]; } impl;
};
void wal_read(struct wal *w, struct wal_read *r);

struct wal_stats {
    uint64_t segments, bytes_appended, records, writes, syncs, sync_usec_total, sync_usec_max, recycled;
};
void wal_get_stats(const struct wal *w, struct wal_stats *ret);

/* Write and sync what is queued, then close.  cb when done; frees w. */
void wal_close(struct wal *w, env_close_cb cb, void *ctx);

#endif
