/* The log on the simulator's disk: random lives, random crashes.
 *
 * Each seed runs several lives of one log: random records of three groups,
 * flushes, reads, and at any event a crash that keeps unsynced writes wholly,
 * partly, in any mixture or not at all, or an orderly close.  In some the disk
 * fails once, which ends them.  After each, the groups must be exactly what they
 * were after some record at or behind the last one reported as synced: what a life
 * found when it began counts as that, though it may have come from memory that the
 * system kept, of a write that had failed.  The simulated disk shares no code with
 * memenv. */
#include <stdio.h>
#include <string.h>

#include "base/crc.h"
#include "lib/test.h"
#include "sim/env_sim.h"
#include "store/wal.h"

#define GROUPS 3u
#define WINDOW 4096u   /* live entries of a group, at most */
#define HISTORY 20000u /* records of a life */
#define DIR "/n1/wal"

struct group {
    uint64_t term, vote, snap_index, snap_term, last;
    uint64_t terms[WINDOW];
    uint32_t crcs[WINDOW];
};

struct past {
    uint64_t lsn;
    uint32_t digest;
};

static struct run {
    struct sim *sim;
    struct rng *rng;
    struct wal *wal;
    struct group g[GROUPS];
    struct past past[HISTORY];
    unsigned n_past;
    uint64_t synced;
    bool closed, failed;
    unsigned torn; /* lives that lost something unsynced */
} run;

/* ---- digests ---- */

static uint32_t add(uint32_t crc, uint64_t v)
{
    return crc32c(crc, &v, sizeof v);
}

static uint32_t head_digest(uint32_t crc, const struct group *g)
{
    crc = add(crc, g->term);
    crc = add(crc, g->vote);
    crc = add(crc, g->snap_index);
    crc = add(crc, g->snap_term);
    return add(crc, g->last);
}

static uint32_t model_digest(void)
{
    uint32_t crc = 0;

    for (unsigned k = 0; k < GROUPS; k++) {
        const struct group *g = &run.g[k];
        crc = head_digest(crc, g);
        for (uint64_t i = g->snap_index + 1; i <= g->last; i++) {
            crc = add(crc, g->terms[i % WINDOW]);
            crc = add(crc, g->crcs[i % WINDOW]);
        }
    }
    return crc;
}

static uint32_t loaded_digest(void)
{
    static const struct wal_group none = { .first = 1 };
    uint32_t crc = 0;

    for (uint32_t k = 0; k < GROUPS; k++) {
        const struct wal_group *w = wal_find_group(run.wal, k);
        if (w == NULL)
            w = &none;
        struct group g = { .term = w->term,
                           .vote = w->vote,
                           .snap_index = w->snap_index,
                           .snap_term = w->snap_term,
                           .last = w->first + w->n - 1 };
        crc = head_digest(crc, &g);
        for (uint64_t i = 0; i < w->n; i++) {
            crc = add(crc, w->entries[i].term);
            crc = add(crc, w->entries[i].pos.crc);
            CHECK(w->entries[i].blob != NULL);
            CHECK_EQ(crc32c(0, w->entries[i].blob->data, w->entries[i].len),
                     w->entries[i].pos.crc);
        }
    }
    return crc;
}

/* The model becomes what was loaded. */
static void adopt(void)
{
    for (uint32_t k = 0; k < GROUPS; k++) {
        const struct wal_group *w = wal_find_group(run.wal, k);
        struct group *g = &run.g[k];
        memset(g, 0, sizeof *g);
        if (w == NULL)
            continue;
        g->term = w->term;
        g->vote = w->vote;
        g->snap_index = w->snap_index;
        g->snap_term = w->snap_term;
        g->last = w->first + w->n - 1;
        for (uint64_t i = 0; i < w->n; i++) {
            g->terms[(w->first + i) % WINDOW] = w->entries[i].term;
            g->crcs[(w->first + i) % WINDOW] = w->entries[i].pos.crc;
        }
    }
    run.synced = wal_synced(run.wal);
    run.n_past = 1;
    run.past[0] = (struct past){ run.synced, model_digest() };
}

/* ---- random records ---- */

static void note(uint64_t lsn)
{
    CHECK(run.n_past < HISTORY);
    run.past[run.n_past++] = (struct past){ lsn, model_digest() };
}

/* One entry at index, which may replace others. */
static void put_entry(uint32_t k, uint64_t index)
{
    struct group *g = &run.g[k];
    struct wal_entry e = { .term = g->term, .type = 1 };
    uint32_t len = (uint32_t)rng_below(run.rng, 4) == 0
                       ? (uint32_t)rng_below(run.rng, 9000)
                       : (uint32_t)rng_below(run.rng, 300);

    e.blob = blob_new(len);
    e.len = len;
    memset(e.blob->data, (int)rng_below(run.rng, 256), len);
    if (index <= g->last) {
        /* A crash may come between the truncation and the entry. */
        g->last = index - 1;
        note(wal_put_truncate(run.wal, k, index));
    }
    g->last = index;
    g->terms[index % WINDOW] = e.term;
    g->crcs[index % WINDOW] = crc32c(0, e.blob->data, len);
    note(wal_put_entries(run.wal, k, index, &e, 1));
    blob_unref(e.blob);
}

static void put_random(void)
{
    uint32_t k = (uint32_t)rng_below(run.rng, GROUPS);
    struct group *g = &run.g[k];
    uint64_t live = g->last - g->snap_index;
    uint64_t dice = rng_below(run.rng, 100);

    if (dice < 8) {
        g->term += 1 + rng_below(run.rng, 2);
        g->vote = rng_below(run.rng, 4);
        note(wal_put_hardstate(run.wal, k, g->term, g->vote));
    } else if (dice < 14 && live > 0) {
        put_entry(k, g->last - rng_below(run.rng, live < 9 ? live : 9));
    } else if ((dice < 20 && live > 10) || live > WINDOW / 2) {
        g->snap_index += live - 5;
        g->snap_term = g->terms[g->snap_index % WINDOW];
        note(wal_put_compact(run.wal, k, g->snap_index, g->snap_term));
    } else if (dice < 21) {
        g->snap_index = g->last = g->last + rng_below(run.rng, 50);
        g->snap_term = g->term;
        note(wal_put_install(run.wal, k, g->last, g->term));
    } else {
        put_entry(k, g->last + 1);
    }
}

/* ---- lives ---- */

static void on_synced(void *ctx, uint64_t lsn)
{
    (void)ctx;
    CHECK(lsn > run.synced);
    run.synced = lsn;
}

static void on_failed(void *ctx, int status, const char *msg)
{
    (void)ctx;
    if (status != KV_EIO)
        FAIL("%s: %s", kv_errname(status), msg);
    run.failed = true;
}

static void on_closed(void *ctx)
{
    (void)ctx;
    run.closed = true;
    run.wal = NULL;
}

static const struct wal_ops ops = { .synced = on_synced, .failed = on_failed };

static void check_loaded(void)
{
    uint32_t digest = loaded_digest();

    for (unsigned i = run.n_past; i-- > 0;) {
        if (run.past[i].lsn < run.synced && i + 1 < run.n_past &&
            run.past[i + 1].lsn <= run.synced)
            break;
        if (run.past[i].digest == digest) {
            run.torn += i + 1 < run.n_past;
            return;
        }
    }
    FAIL("what was loaded is no state at or behind position %llu",
         (unsigned long long)run.synced);
}

static void life_begin(bool first)
{
    char err[1024];
    struct wal_config cfg = { .dir = DIR,
                              .segment_bytes = WAL_SEGMENT_BYTES_MIN,
                              .cluster_id = 1,
                              .node_id = 1,
                              .load_bytes_max = 64u << 20,
                              .sync_always = true,
                              .queue_bytes_max = 1u << 20 };
    struct env *env = sim_node_start(run.sim, 1);

    sim_enter(run.sim, 1);
    if (first) {
        CHECK_EQ(env_mkdir(env, "/n1"), 0);
        CHECK_EQ(env_mkdir(env, DIR), 0);
        CHECK_EQ(env_sync_dir(env, "/n1"), 0);
        CHECK_EQ(env_sync_dir(env, "/"), 0);
    }
    int rv = wal_open(env, &cfg, &ops, NULL, &run.wal, err, sizeof err);
    if (rv != 0)
        FAIL("%s: %s", kv_errname(rv), err);
    if (!first)
        check_loaded();
    adopt();
    wal_loaded(run.wal);
    sim_leave(run.sim);
}

static void live(void)
{
    uint64_t turns = rng_below(run.rng, 150);
    uint64_t fails_at = rng_below(run.rng, 3) == 0 ? rng_below(run.rng, 150)
                                                   : UINT64_MAX;

    for (; turns > 0 && !run.failed; turns--) {
        if (turns == fails_at)
            sim_disk_fail(run.sim, 1,
                          rng_below(run.rng, 2) == 0 ? SIM_DISK_WRITE
                                                     : SIM_DISK_SYNC,
                          1 + (unsigned)rng_below(run.rng, 3), KV_EIO);
        sim_enter(run.sim, 1);
        if (!wal_full(run.wal))
            for (uint64_t n = rng_below(run.rng, 8); n > 0; n--)
                put_random();
        if (rng_below(run.rng, 5) > 0)
            wal_flush(run.wal);
        sim_leave(run.sim);
        for (uint64_t n = rng_below(run.rng, 5); n > 0; n--)
            sim_step(run.sim);
    }
    sim_disk_fail(run.sim, 1, SIM_DISK_WRITE, 0, KV_EIO);
    sim_disk_fail(run.sim, 1, SIM_DISK_SYNC, 0, KV_EIO);
}

static void close_in_order(void)
{
    run.closed = false;
    sim_enter(run.sim, 1);
    wal_close(run.wal, on_closed, NULL);
    sim_leave(run.sim);
    while (!run.closed)
        CHECK(sim_step(run.sim));
    CHECK_EQ(run.synced, run.past[run.n_past - 1].lsn);
    sim_node_exit(run.sim, 1);
}

static void life_end(void)
{
    if (!run.failed && rng_below(run.rng, 6) == 0) {
        close_in_order();
        return;
    }
    run.failed = false;
    sim_node_crash(run.sim, 1, (enum sim_keep)rng_below(run.rng, 4));
}

static void one_seed(uint64_t seed)
{
    memset(&run, 0, sizeof run);
    run.sim = sim_new(seed);
    run.rng = sim_rng(run.sim);
    life_begin(true);
    for (int lives = 0; lives < 8; lives++) {
        live();
        life_end();
        life_begin(false);
    }
    sim_node_crash(run.sim, 1, SIM_KEEP_ALL);
    sim_free(run.sim);
}

TEST(wal_sim, any_crash_leaves_a_state_at_or_behind_what_was_synced)
{
    unsigned torn = 0;

    for (uint64_t i = 0; i < 60; i++) {
        printf("seed %llu\n", (unsigned long long)(test_seed() + i));
        one_seed(test_seed() + i);
        torn += run.torn;
    }
    CHECK(torn > 60);
}

TEST(wal_sim, a_name_that_was_not_synced_is_made_durable_by_the_next_start)
{
    static const char seg[] = DIR "/wal-0000000000000001.seg";
    static const char other[] = DIR "/wal-0000000000000001.free";
    struct env *env;

    memset(&run, 0, sizeof run);
    run.sim = sim_new(1);
    run.rng = sim_rng(run.sim);
    life_begin(true);
    sim_enter(run.sim, 1);
    put_entry(0, 1);
    sim_leave(run.sim);
    close_in_order();
    /* As if kvd had been killed between a rename and its sync_dir. */
    env = sim_node_start(run.sim, 1);
    CHECK_EQ(env_rename(env, seg, other), 0);
    CHECK_EQ(env_sync_dir(env, DIR), 0);
    CHECK_EQ(env_rename(env, other, seg), 0);
    sim_node_crash(run.sim, 1, SIM_KEEP_ALL);
    life_begin(false);
    sim_node_power_off(run.sim, 1, SIM_KEEP_NONE);
    life_begin(false);
    CHECK_EQ(run.g[0].last, 1);
    sim_node_crash(run.sim, 1, SIM_KEEP_ALL);
    sim_free(run.sim);
}

TEST(wal_sim, what_a_failed_fdatasync_left_in_memory_is_written_again)
{
    memset(&run, 0, sizeof run);
    run.sim = sim_new(1);
    run.rng = sim_rng(run.sim);
    life_begin(true);
    sim_enter(run.sim, 1);
    put_entry(0, 1);
    wal_flush(run.wal);
    sim_leave(run.sim);
    while (run.synced == 0 || wal_synced(run.wal) < wal_end(run.wal))
        CHECK(sim_step(run.sim));
    sim_disk_fail(run.sim, 1, SIM_DISK_SYNC, 1, KV_EIO);
    sim_enter(run.sim, 1);
    put_entry(0, 2);
    wal_flush(run.wal);
    sim_leave(run.sim);
    while (!run.failed)
        CHECK(sim_step(run.sim));
    run.failed = false;
    sim_node_crash(run.sim, 1, SIM_KEEP_ALL);
    life_begin(false);
    CHECK_EQ(run.g[0].last, 2); /* told as durable from here on */
    sim_node_power_off(run.sim, 1, SIM_KEEP_NONE);
    life_begin(false);
    CHECK_EQ(run.g[0].last, 2);
    sim_node_crash(run.sim, 1, SIM_KEEP_ALL);
    sim_free(run.sim);
}
