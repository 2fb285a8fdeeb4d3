/* The log on the real disk through libuv: what memenv cannot show (real files,
 * threads, sizes above one chunk of zeros). */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "env/env_uv.h"
#include "lib/test.h"
#include "lib/tmpdir.h"
#include "store/wal.h"

#define ENTRIES 3000u

struct life {
    struct env *env;
    struct wal *wal;
    uint64_t put, want_lsn;
    unsigned writes;
    struct wal_read read;
    uint64_t reading; /* index under way; entries done are below it */
};

static void on_closed(void *ctx)
{
    env_uv_stop(((struct life *)ctx)->env);
}

static struct blob *payload(uint64_t index)
{
    struct blob *b = blob_new(index % 3 == 0 ? 5000 : 40);

    memset(b->data, (int)(index % 251), b->len);
    return b;
}

static void put_some(struct life *l)
{
    for (int i = 0; i < 37 && l->put < ENTRIES; i++) {
        struct wal_entry e = { .term = 1, .type = 1 };
        e.blob = payload(++l->put);
        e.len = e.blob->len;
        l->want_lsn = wal_put_entries(l->wal, 1, l->put, &e, 1);
        blob_unref(e.blob);
    }
    wal_flush(l->wal);
}

static void on_synced(void *ctx, uint64_t lsn)
{
    struct life *l = ctx;

    l->writes++;
    CHECK(lsn <= l->want_lsn);
    if (l->put < ENTRIES)
        put_some(l);
    else if (lsn == l->want_lsn)
        wal_close(l->wal, on_closed, l);
}

static void on_failed(void *ctx, int status, const char *msg)
{
    (void)ctx;
    FAIL("%s: %s", kv_errname(status), msg);
}

static const struct wal_ops ops = { .synced = on_synced, .failed = on_failed };

static void life_open(struct life *l)
{
    char err[1024];
    struct wal_config cfg = { .dir = test_tmpdir(),
                              .segment_bytes = 2u << 20,
                              .cluster_id = 1,
                              .node_id = 2,
                              .load_bytes_max = 100000,
                              .sync_always = true,
                              .queue_bytes_max = 1u << 20 };

    CHECK_EQ(env_uv_open(&l->env), 0);
    int rv = wal_open(l->env, &cfg, &ops, l, &l->wal, err, sizeof err);
    if (rv != 0)
        FAIL("%s: %s", kv_errname(rv), err);
}

static void read_next(struct life *l);

static void on_read(struct wal_read *r, int status, struct blob *b)
{
    struct life *l = r->data;
    struct blob *want = payload(l->reading);

    CHECK_EQ(status, 0);
    CHECK_EQ(b->len, want->len);
    CHECK_MEM(b->data, want->data, want->len);
    blob_unref(want);
    blob_unref(b);
    l->reading += 17;
    read_next(l);
}

static void read_next(struct life *l)
{
    struct wal_group *g = wal_find_group(l->wal, 1);

    if (l->reading > ENTRIES) {
        wal_close(l->wal, on_closed, l);
        return;
    }
    l->read = (struct wal_read){ .pos = g->entries[l->reading - 1].pos,
                                 .len = g->entries[l->reading - 1].len,
                                 .cb = on_read,
                                 .data = l };
    wal_read(l->wal, &l->read);
}

TEST(wal_uv, what_was_synced_is_loaded_and_read_back)
{
    struct life l = { .put = 0 };
    struct wal_stats st;

    life_open(&l);
    put_some(&l);
    env_uv_run(l.env);
    env_uv_free(l.env);
    CHECK(l.writes > 1);
    CHECK(l.writes <= ENTRIES / 37 + 1);

    l = (struct life){ .reading = 1 };
    life_open(&l);
    struct wal_group *g = wal_find_group(l.wal, 1);
    CHECK(g != NULL);
    CHECK_EQ(g->n, ENTRIES);
    CHECK(g->entries[0].blob == NULL);
    CHECK(g->entries[ENTRIES - 1].blob != NULL);
    wal_get_stats(l.wal, &st);
    CHECK(st.segments >= 3);
    read_next(&l);
    env_uv_run(l.env);
    env_uv_free(l.env);
}
