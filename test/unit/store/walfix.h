/* What the WAL's test files share: a log on a memenv, and short words for
 * putting records and checking what a reopened log holds. */
#ifndef KV_TEST_UNIT_STORE_WALFIX_H
#define KV_TEST_UNIT_STORE_WALFIX_H

#include "lib/test.h"
#include "memenv.h"
#include "store/wal_int.h"

#define DIR "/wal"

struct fix {
    struct memenv m;
    struct wal_config cfg;
    struct wal *w;        /* NULL: not open */
    char err[1024];
    uint64_t synced;      /* last `synced` callback */
    unsigned n_synced, n_failed;
    int fail_status;
    char fail_msg[512];
    bool closed;
};

void fix_init(struct fix *f);
/* A second machine life: copies the disk of `from` as a kill would leave it. */
void fix_init_from(struct fix *f, const struct fix *from);
void fix_free(struct fix *f); /* closes the log if it is open */
int fix_try_open(struct fix *f);
void fix_open(struct fix *f);  /* must succeed */
void fix_close(struct fix *f);
void fix_on_closed(void *ctx); /* a wal_close callback; ctx: the fix */
void fix_reopen(struct fix *f);
/* Flush and complete everything; all must be synced then. */
void fix_sync(struct fix *f);

/* One entry whose payload is len bytes made from (group, index, term). */
uint64_t fix_put(struct fix *f, uint32_t group, uint64_t index, uint64_t term,
                 uint32_t len);
/* The same, n of them in one call. */
uint64_t fix_put_run(struct fix *f, uint32_t group, uint64_t index,
                     uint64_t term, uint32_t len, unsigned n);
struct blob *fix_payload(uint32_t group, uint64_t index, uint64_t term,
                         uint32_t len);
/* group has exactly entries first..last, with those payloads where in memory. */
void fix_check_group(struct fix *f, uint32_t group, uint64_t first,
                     uint64_t last);
/* Read back; the status; the payload is compared with fix_payload. */
int fix_read(struct fix *f, const struct wal_entry *e, uint32_t group,
             uint64_t index);
struct mem_inode *fix_segment(struct fix *f, uint64_t seq);

#endif
