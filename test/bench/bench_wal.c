/* Micro benchmark of the log on the real disk; not run by `make check`.
 *
 *     test/bench/bench_wal DIR [SECONDS [GROUPS [PAYLOAD_BYTES [WINDOW]]]]
 *
 * Keeps WINDOW entries unacknowledged, spread over GROUPS groups, for SECONDS,
 * and prints appends and fdatasyncs per second, entries per fdatasync, and what
 * an fdatasync took.  DIR must exist and be empty. */
#include <stdio.h>
#include <stdlib.h>

#include "base/blob.h"
#include "base/mem.h"
#include "env/env_uv.h"
#include "store/wal.h"

#define GROUPS_MAX 64u

struct bench {
    struct env *env;
    struct wal *wal;
    struct blob *payload;
    unsigned groups, window;
    uint64_t next[GROUPS_MAX]; /* index of the next entry of each group */
    uint64_t put, acked;
    uint64_t *lsn; /* ring of window entries: lsn of each unacknowledged one */
    uint64_t start_us, end_us;
    bool stopping;
};

static void on_closed(void *ctx)
{
    env_uv_stop(((struct bench *)ctx)->env);
}

static void fill(struct bench *b)
{
    while (b->put - b->acked < b->window && !wal_full(b->wal)) {
        uint32_t g = (uint32_t)(b->put % b->groups);
        struct wal_entry e = {
            .term = 1, .type = 1, .len = b->payload->len, .blob = b->payload
        };
        b->lsn[b->put % b->window] =
            wal_put_entries(b->wal, g, b->next[g]++, &e, 1);
        b->put++;
    }
    wal_flush(b->wal);
}

static void on_turn(void *data)
{
    struct bench *b = data;

    if (b->stopping)
        return;
    if (env_now_us(b->env) < b->end_us) {
        fill(b);
        return;
    }
    b->stopping = true;
    b->end_us = env_now_us(b->env);
    struct wal_stats st;
    wal_get_stats(b->wal, &st);
    double s = (double)(b->end_us - b->start_us) / 1e6;
    printf("%.0f appends/s, %.0f fdatasync/s, %.1f appends per fdatasync, "
           "%.1f MB/s, write+fdatasync mean %.0f us, max %llu us\n",
           (double)b->acked / s, (double)st.syncs / s,
           (double)b->acked / (double)(st.syncs + (st.syncs == 0)),
           (double)st.bytes_appended / s / 1e6,
           (double)st.sync_usec_total / (double)(st.syncs + (st.syncs == 0)),
           (unsigned long long)st.sync_usec_max);
    wal_close(b->wal, on_closed, b);
}

static void on_synced(void *ctx, uint64_t lsn)
{
    struct bench *b = ctx;

    while (b->acked < b->put && b->lsn[b->acked % b->window] <= lsn)
        b->acked++;
    env_wake(b->env);
}

static void on_failed(void *ctx, int status, const char *msg)
{
    (void)ctx;
    fprintf(stderr, "%s (%s)\n", msg, kv_strerror(status));
    exit(1);
}

static unsigned arg(int argc, char **argv, int i, unsigned dflt)
{
    return argc > i ? (unsigned)strtoul(argv[i], NULL, 10) : dflt;
}

int main(int argc, char **argv)
{
    static const struct wal_ops ops = { .synced = on_synced,
                                        .failed = on_failed };
    struct bench b = { .groups = arg(argc, argv, 3, 16),
                       .window = arg(argc, argv, 5, 50) };
    char err[1024];

    if (argc < 2 || b.groups == 0 || b.groups > GROUPS_MAX || b.window == 0) {
        fprintf(stderr,
                "usage: bench_wal DIR [SECONDS [GROUPS (1..%u) "
                "[PAYLOAD_BYTES [WINDOW]]]]\n",
                GROUPS_MAX);
        return 2;
    }
    struct wal_config cfg = { .dir = argv[1],
                              .segment_bytes = WAL_SEGMENT_BYTES_DEFAULT,
                              .cluster_id = 1,
                              .node_id = 1,
                              .sync_always = true,
                              .queue_bytes_max = 64u << 20 };
    int rv = env_uv_open(&b.env);
    if (rv == 0)
        rv = wal_open(b.env, &cfg, &ops, &b, &b.wal, err, sizeof err);
    if (rv != 0) {
        fprintf(stderr, "%s: %s\n", kv_strerror(rv), err);
        return 1;
    }
    uint32_t len = arg(argc, argv, 4, 128);
    if (len > wal_entry_bytes_max(b.wal))
        len = wal_entry_bytes_max(b.wal);
    b.payload = blob_new(len);
    for (uint32_t i = 0; i < len; i++)
        b.payload->data[i] = (uint8_t)i;
    b.lsn = mem_calloc(b.window, sizeof *b.lsn);
    for (unsigned g = 0; g < b.groups; g++)
        b.next[g] = 1;
    b.start_us = env_now_us(b.env);
    b.end_us = b.start_us + 1000000ull * arg(argc, argv, 2, 5);
    env_on_turn(b.env, on_turn, &b);
    env_wake(b.env);
    env_uv_run(b.env);
    env_uv_free(b.env);
    blob_unref(b.payload);
    mem_free(b.lsn);
    return 0;
}
