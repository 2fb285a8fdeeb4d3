/* See walfix.h. */
#include "walfix.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static void on_synced(void *ctx, uint64_t lsn)
{
    struct fix *f = ctx;

    CHECK(lsn > f->synced);
    CHECK_EQ(f->n_failed, 0);
    f->synced = lsn;
    f->n_synced++;
}

static void on_failed(void *ctx, int status, const char *msg)
{
    struct fix *f = ctx;

    f->n_failed++;
    f->fail_status = status;
    snprintf(f->fail_msg, sizeof f->fail_msg, "%s", msg);
}

static const struct wal_ops ops = { .synced = on_synced, .failed = on_failed };

void fix_init(struct fix *f)
{
    *f = (struct fix){ .cfg = { .dir = DIR,
                                .segment_bytes = WAL_SEGMENT_BYTES_MIN,
                                .cluster_id = 0xc1,
                                .node_id = 7,
                                .load_bytes_max = 1 << 20,
                                .sync_always = true,
                                .queue_bytes_max = 1 << 20 } };
    memenv_init(&f->m, 1);
}

void fix_init_from(struct fix *f, const struct fix *from)
{
    fix_init(f);
    f->cfg = from->cfg;
    rng_seed(&f->m.rng, 2);
    memenv_kill(&from->m, &f->m);
}

void fix_free(struct fix *f)
{
    if (f->w != NULL)
        fix_close(f);
    CHECK_EQ(f->m.open_files, 0);
    memenv_close(&f->m);
}

int fix_try_open(struct fix *f)
{
    CHECK(f->w == NULL);
    f->synced = 0;
    f->n_synced = f->n_failed = 0;
    f->closed = false;
    memset(f->err, 0, sizeof f->err);
    return wal_open(&f->m.env, &f->cfg, &ops, f, &f->w, f->err, sizeof f->err);
}

void fix_open(struct fix *f)
{
    int rv = fix_try_open(f);

    if (rv != 0)
        FAIL("open: %s: %s", kv_errname(rv), f->err);
}

void fix_on_closed(void *ctx)
{
    struct fix *f = ctx;

    CHECK(!f->closed);
    f->closed = true;
}

void fix_close(struct fix *f)
{
    wal_close(f->w, fix_on_closed, f);
    CHECK(!f->closed);
    memenv_run(&f->m);
    for (int i = 0; i < 10 && !f->closed; i++)
        memenv_advance(&f->m, 1000);
    CHECK(f->closed);
    f->w = NULL;
    CHECK_EQ(f->m.open_files, 0);
}

void fix_reopen(struct fix *f)
{
    fix_close(f);
    fix_open(f);
}

void fix_sync(struct fix *f)
{
    wal_flush(f->w);
    memenv_run(&f->m);
    CHECK_EQ(wal_synced(f->w), wal_end(f->w));
}

struct blob *fix_payload(uint32_t group, uint64_t index, uint64_t term,
                         uint32_t len)
{
    struct blob *b = blob_new(len);
    struct rng r;

    rng_seed(&r, (uint64_t)group << 48 ^ index << 16 ^ term);
    for (uint32_t i = 0; i < len; i++)
        b->data[i] = (uint8_t)rng_u64(&r);
    return b;
}

uint64_t fix_put_run(struct fix *f, uint32_t group, uint64_t index,
                     uint64_t term, uint32_t len, unsigned n)
{
    struct wal_entry *e = mem_calloc(n, sizeof *e);

    for (unsigned i = 0; i < n; i++)
        e[i] = (struct wal_entry){
            .term = term,
            .type = 1,
            .len = len,
            .blob = fix_payload(group, index + i, term, len),
        };
    uint64_t lsn = wal_put_entries(f->w, group, index, e, n);
    for (unsigned i = 0; i < n; i++)
        blob_unref(e[i].blob);
    mem_free(e);
    return lsn;
}

uint64_t fix_put(struct fix *f, uint32_t group, uint64_t index, uint64_t term,
                 uint32_t len)
{
    return fix_put_run(f, group, index, term, len, 1);
}

void fix_check_group(struct fix *f, uint32_t group, uint64_t first,
                     uint64_t last)
{
    struct wal_group *g = wal_find_group(f->w, group);

    CHECK(g != NULL);
    CHECK_EQ(g->group, group);
    CHECK_EQ(g->first, first);
    CHECK_EQ(g->first + g->n, last + 1);
    for (uint64_t i = 0; i < g->n; i++) {
        const struct wal_entry *e = &g->entries[i];
        if (e->blob == NULL)
            continue;
        struct blob *want = fix_payload(group, first + i, e->term, e->len);
        CHECK_EQ(e->blob->len, e->len);
        CHECK_MEM(e->blob->data, want->data, e->len);
        blob_unref(want);
    }
}

struct reading {
    struct wal_read r;
    bool done;
    int status;
    struct blob *blob;
};

static void on_read(struct wal_read *r, int status, struct blob *payload)
{
    struct reading *rd = r->data;

    CHECK(!rd->done);
    rd->done = true;
    rd->status = status;
    rd->blob = payload;
}

int fix_read(struct fix *f, const struct wal_entry *e, uint32_t group,
             uint64_t index)
{
    struct reading rd = { .r = { .pos = e->pos, .len = e->len } };

    rd.r.cb = on_read;
    rd.r.data = &rd;
    wal_read(f->w, &rd.r);
    CHECK(!rd.done);
    memenv_run(&f->m);
    CHECK(rd.done);
    CHECK_EQ(rd.status == 0, rd.blob != NULL);
    if (rd.status == 0) {
        struct blob *want = fix_payload(group, index, e->term, e->len);
        CHECK_EQ(rd.blob->len, e->len);
        CHECK_MEM(rd.blob->data, want->data, e->len);
        blob_unref(want);
    }
    blob_unref(rd.blob);
    return rd.status;
}

struct mem_inode *fix_segment(struct fix *f, uint64_t seq)
{
    char path[64];

    snprintf(path, sizeof path, DIR "/wal-%016llx.seg",
             (unsigned long long)seq);
    return memenv_file(&f->m, path);
}
