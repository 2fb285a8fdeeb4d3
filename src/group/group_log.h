/* The tail of a group's log in memory, and the way back of payloads that were
 * evicted from it (group_log.c).  Inside the folder only. */
#ifndef KV_GROUP_GROUP_LOG_H
#define KV_GROUP_GROUP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "store/wal.h"

#define LOG_READ_AHEAD 64u /* entries read back at a time */
#define LOG_READ_BYTES_MAX (8u << 20)

struct gent {
    uint64_t term;
    struct blob *blob; /* owned reference; NULL: evicted, at pos in the WAL */
    struct wal_pos pos;
    uint32_t len; /* payload bytes */
    uint8_t type; /* enum raft_entry_type */
};

/* Every entry of the group above `off`; the core keeps none of them. */
struct glog {
    struct gent *e; /* owned; e[0] is entry off+1 */
    uint64_t off, n, cap;
    uint64_t evict; /* entries below it hold no payload, CHANGEs excepted */
    size_t bytes;   /* payload held in memory */
};

void log__init(struct glog *l);
void log__close(struct glog *l);
static inline uint64_t log__last(const struct glog *l)
{
    return l->off + l->n;
}
/* The entry at index; NULL if not in the log. */
struct gent *log__at(const struct glog *l, uint64_t index);
uint64_t log__term(const struct glog *l,
                   uint64_t index); /* 0 if not in the log */
/* Append; takes over the reference e.blob. */
void log__append(struct glog *l, struct gent e);
/* Drop index and everything after it. */
void log__truncate(struct glog *l, uint64_t index);
/* Let go of payloads, oldest first, up to entry `upto`, until at most `max`
 * bytes are held. */
void log__evict(struct glog *l, uint64_t upto, size_t max);
void log__check(const struct glog *l);

/* A window of evicted entries on their way back from the WAL, read ahead. */
struct log_reader {
    struct wal *wal;                      /* borrowed; NULL once orphaned */
    unsigned pending;                     /* reads under way */
    size_t bytes;                         /* held and under way */
    void (*ready)(void *ctx, int status); /* some entry arrived, or an error */
    void *ctx;
    struct log_slot {
        struct wal_read rd;
        struct log_reader *owner;
        struct blob *blob;    /* owned; NULL until it arrived */
        uint64_t index, term; /* index 0: free */
        bool pending;
    } slot[LOG_READ_AHEAD];
};

struct log_reader *reader__new(struct wal *wal,
                               void (*ready)(void *ctx, int status), void *ctx);
/* The payload of entry `index` if it is at hand, else NULL.  Borrowed. */
struct blob *reader__get(struct log_reader *rd, const struct glog *l,
                         uint64_t index);
/* Forget entries below from; read ahead from there, not beyond last. */
void reader__want(struct log_reader *rd, const struct glog *l, uint64_t from,
                  uint64_t last);
/* Frees rd once its reads have ended; `ready` is not called any more. */
void reader__free(struct log_reader *rd);

#endif
