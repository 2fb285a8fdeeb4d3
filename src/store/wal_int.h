/* Shared by the wal_*.c files only; wal_record.h has the formats. */
#ifndef KV_STORE_WAL_INT_H
#define KV_STORE_WAL_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "store/wal.h"
#include "store/wal_record.h"

/* ---- groups (wal_track.c) ---- */

/* Entries from index `first` on, up to the next run, lie in segment seq. */
struct wal__run {
    uint64_t first, seq;
};

/* What the records encoded so far add up to for one group. */
struct wal__track {
    struct wal__state s;
    uint64_t missing_to;   /* loading: entries up to here lie before the oldest
                              segment; 0: none */
    struct wal__run *runs; /* owned; live entries only, ascending */
    size_t n_runs, cap_runs;
    struct wal_group fold; /* loading: until wal_loaded */
};

struct wal__track *wal__track_find(const struct wal *w, uint32_t group);
/* Finds or adds; NULL when WAL_GROUPS_MAX is reached. */
struct wal__track *wal__track_get(struct wal *w, uint32_t group);
/* Fold a record that lies in segment seq.  NULL, or what is wrong with it: a
 * constant phrase.  The group is unchanged then. */
const char *wal__track_apply(struct wal *w, const struct wal__rec *r,
                             uint64_t seq);
/* First segment that holds an entry somebody needs; UINT64_MAX if none. */
uint64_t wal__track_need(const struct wal *w);
/* Append the body of a CHECKPOINT of all groups; returns its bytes. */
uint32_t wal__checkpoint_encode(const struct wal *w, struct buf *b);
/* A checkpoint read back; `oldest`: it opens the oldest segment there is. */
const char *wal__checkpoint_apply(struct wal *w, const struct wal__rec *r,
                                  bool oldest);
void wal__track_check(const struct wal__track *t);
void wal__track_free(struct wal__track *t);
void wal__tracks_free(struct wal *w);

/* ---- segments (wal_segment.c) ---- */

enum wal__seg_state {
    WAL__SEG_PLANNED, /* has an identity, no file yet */
    WAL__SEG_READY    /* its file is in place, header durable */
};

struct wal__segment {
    struct wal__head h;
    enum wal__seg_state state;
    struct env_file *file; /* NULL: not open */
    unsigned users;        /* reads and writes under way on file */
    uint64_t used;         /* clock of last use, for closing the oldest */
};

/* Preparing the next segment in the background. */
struct wal__prep {
    bool active;
    struct wal__segment *seg; /* borrowed: the one being prepared */
    struct env_file *file;
    char *path;               /* owned: its name until it is ready */
    uint8_t *zeros;           /* owned: WAL__ZERO_CHUNK bytes */
    uint8_t *header;          /* owned: WAL__SEG_HEADER bytes */
    uint32_t offset;          /* zeroed up to here */
    bool header_written;
    bool recycled;            /* path is a .free file */
    unsigned failures;        /* in a row */
    int status;               /* of the last failure */
    struct env_io io;
    struct slice part;
};

#define WAL__TMP_NAME "wal-next.tmp"
#define WAL__ZERO_CHUNK (1u << 20) /* bytes zeroed by one background write */
#define WAL__FREE_MAX 2u           /* retired segments kept for recycling */
#define WAL__OPEN_MAX 32u          /* segment files open for reading */
#define WAL__PREP_TRIES 3u         /* attempts to prepare a segment that is
                                      needed now, before the log fails */

/* Names of files; freed by the caller. */
char *wal__seg_path(const struct wal *w, uint64_t seq, const char *suffix);
char *wal__tmp_path(const struct wal *w);
struct wal__segment *wal__seg_find(const struct wal *w, uint64_t seq);
/* Plan the one after the newest; draws its generation. */
struct wal__segment *wal__seg_plan(struct wal *w);
struct wal__segment *wal__seg_add(struct wal *w, const struct wal__head *h);
int wal__seg_open(struct wal *w, struct wal__segment *s);
void wal__seg_close(struct wal *w, struct wal__segment *s);
/* Start preparing a segment if one is needed or soon will be. */
void wal__prep_kick(struct wal *w);
void wal__on_prep_timer(struct env_timer *t);
/* Retire at most one segment that nobody needs any more. */
void wal__retire(struct wal *w);

/* ---- writing (wal_append.c, wal_write.c) ---- */

struct wal__part {
    const uint8_t *ext; /* payload bytes of a blob; NULL: bytes of `small` */
    size_t off;         /* in small */
    size_t n;
};

/* What one write carries: a run of whole records of one segment. */
struct wal__batch {
    struct list link;
    struct wal__segment *seg;
    uint32_t off, bytes;     /* place in the segment */
    uint64_t lsn;            /* end of its last record a caller queued; 0: none */
    unsigned records;
    bool must_sync;
    struct buf small;        /* headers, tables, small payloads */
    struct wal__part *parts; /* owned */
    size_t n_parts, cap_parts;
    size_t *heads;           /* owned: offsets in small of the record headers */
    size_t n_heads, cap_heads;
    struct blob **blobs;     /* owned references */
    size_t n_blobs, cap_blobs;
    struct slice *slices;    /* owned; while writing */
};

#define WAL__COPY_MAX 512u       /* payloads up to this are copied, not referenced */
#define WAL__RECORD_AIM (1u << 20) /* a longer run of entries is split */
#define WAL__IDLE_MARK_MS 100u   /* a quiet log gets a MARK after this long */
#define WAL__INTERVAL_MS 100u    /* sync_always off: sync at least this often */
#define WAL__INTERVAL_WRITES 1000u

/* Queue one record: r's kind, group, index, term; body_n bytes of body copied. */
uint64_t wal__put(struct wal *w, struct wal__rec *r, const uint8_t *body,
                  uint32_t body_n);
void wal__put_mark(struct wal *w, bool sync);
void wal__write_next(struct wal *w);
void wal__fail(struct wal *w, int status, const char *what,
               const struct wal__segment *seg);
void wal__batch_free(struct wal__batch *b);
/* Timers: a quiet log gets its MARK; a weaker log gets its fdatasync. */
void wal__on_mark_timer(struct env_timer *t);
void wal__on_sync_timer(struct env_timer *t);
/* Free what is queued, after a failure. */
void wal__queue_drop(struct wal *w);

/* ---- reading (wal_read.c) ---- */

void wal__read_kick(struct wal *w); /* start reads whose bytes are written now */
void wal__read_cancel_parked(struct wal *w, int status);
void wal__on_read_timer(struct env_timer *t);
bool wal__reads_idle(const struct wal *w);

/* ---- the whole (wal.c) ---- */

struct wal {
    struct env *env;
    struct wal_config cfg; /* dir owned */
    const struct wal_ops *ops;
    void *ctx;

    struct wal__track **tracks; /* owned; by group id */
    size_t n_tracks, cap_tracks;

    struct wal__segment **segs; /* owned; consecutive sequences */
    size_t n_segs, cap_segs;
    uint64_t *free_seqs;        /* .free files, oldest first */
    size_t n_free;
    struct wal__prep prep;
    uint64_t use_clock;
    unsigned n_open;
    bool pins_changed;      /* since wal__retire last looked */
    uint64_t retire_before; /* segments before this are dead ... */
    uint64_t retire_lsn;    /* ... once the log is durable up to here */

    struct wal__segment *cur; /* where the next record goes */
    uint32_t cur_off;
    struct list queue;        /* of wal__batch, not yet handed to the disk */
    size_t queue_bytes;       /* in queue and in flight */
    struct wal__batch *inflight;
    struct env_io io;
    uint32_t run_max;  /* a longer run of entries becomes several records */
    uint32_t entry_max; /* largest payload of one entry */
    uint64_t end;      /* lsn of the last record a caller queued */
    uint64_t tail;     /* end of all records encoded, our own included */
    uint64_t written;  /* end of all records the disk has taken */
    uint64_t durable;  /* end of all records covered by an fdatasync */
    uint64_t marked;   /* `tail` after the last MARK; nothing new if equal */
    uint64_t synced;   /* what the owner was told */
    bool io_syncs;     /* the write in flight ends with an fdatasync */
    bool sync_due;     /* sync_always off: the interval is over */
    unsigned unsynced_writes;
    struct env_timer mark_timer, sync_timer, prep_timer, close_timer;
    struct env_timer read_timer;

    struct list reads_parked;  /* waiting for their bytes to be written */
    struct list reads_done;    /* to be answered by read_timer */
    unsigned reads_active;

    bool fresh;         /* wal_open found no segment */
    bool failed, closing;
    env_close_cb close_cb;
    void *close_ctx;
    struct wal_stats stats;
};

/* Invariants; called at the start and the end of each public function. */
void wal__check(const struct wal *w);
/* After anything completes: go on closing if wal_close was called. */
void wal__close_step(struct wal *w);

/* ---- loading (wal_load.c, wal_fold.c, wal_scan.c) ---- */

struct wal__load {
    struct wal *w;
    size_t n_files;     /* segment files found */
    uint8_t *buf;       /* owned: one segment */
    size_t buf_cap;
    char *errmsg;       /* borrowed */
    size_t errmsg_n;
    struct wal__kept *kept; /* owned ring: payloads in memory, oldest first */
    size_t kept_head, kept_n, kept_cap;
    size_t kept_bytes;
    size_t end_seg;     /* segs[end_seg] holds the end of the log */
    uint32_t end_off;
    uint64_t durable;   /* lsn: the latest that a record states as durable */
    bool began;         /* a checkpoint was read */
    uint8_t last_kind;  /* of the last record */
    bool dirty;         /* intact records of a torn write lie behind the end */
};

/* Read and fold everything.  0, or an error with its message. */
int wal__load_all(struct wal__load *l);
int wal__scan_tail(struct wal__load *l, size_t seg, uint32_t off);
/* Read a whole segment into l->buf. */
int wal__load_segment(struct wal__load *l, struct wal__segment *s);
/* Fill the message and return code. */
int wal__load_error(struct wal__load *l, int code, uint64_t seq, uint32_t off,
                    const char *what);
/* Fold one record (wal_fold.c).  NULL, or what is wrong with it. */
const char *wal__fold(struct wal__load *l, const struct wal__rec *r,
                      const struct wal__segment *s);
void wal__load_free(struct wal__load *l);

#endif
