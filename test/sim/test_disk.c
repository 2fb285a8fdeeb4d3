/* The simulated disk: what survives a crash, order, faults. */
#include <string.h>

#include "base/mem.h"
#include "lib/test.h"
#include "sim/disk_image.h"
#include "sim/env_sim.h"

#define BIG 4096u

static struct env *restart(struct sim *s, enum sim_keep keep)
{
    sim_node_crash(s, 1, keep);
    return sim_node_start(s, 1);
}

static struct env_file *create(struct env *env, const char *path)
{
    struct env_file *f;

    CHECK_EQ(env_open(env, path, ENV_OPEN_CREATE, &f), 0);
    return f;
}

/* A file whose name is durable. */
static struct env_file *create_synced(struct env *env, const char *path)
{
    struct env_file *f = create(env, path);

    CHECK_EQ(env_sync_dir(env, "/"), 0);
    return f;
}

static void put(struct env *env, struct env_file *f, uint64_t off,
                const char *text)
{
    CHECK_EQ(env_write(env, f, off, text, strlen(text)), 0);
}

/* The file's content must be text. */
static void check_file(struct env *env, const char *path, const char *text)
{
    struct env_file *f;
    char got[256];
    size_t n;

    CHECK_EQ(env_open(env, path, 0, &f), 0);
    CHECK_EQ(env_read(env, f, 0, got, sizeof got - 1, &n), 0);
    got[n] = 0;
    CHECK_STR(got, text);
    env_close(env, f);
}

static void check_absent(struct env *env, const char *path)
{
    struct env_file *f;

    CHECK_EQ(env_open(env, path, 0, &f), KV_ENOENT);
}

TEST(sim_disk, a_write_that_was_not_synced_is_lost_in_a_crash)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");

    put(env, f, 0, "kept");
    CHECK_EQ(env_sync(env, f), 0);
    put(env, f, 4, " lost");
    env_close(env, f);
    check_file(env, "/f", "kept lost");
    env = restart(s, SIM_KEEP_NONE);
    check_file(env, "/f", "kept");
    sim_free(s);
}

TEST(sim_disk, a_killed_process_leaves_its_unsynced_writes)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);

    put(env, create(env, "/f"), 0, "text");
    env = restart(s, SIM_KEEP_ALL);
    check_file(env, "/f", "text");
    sim_free(s);
}

TEST(sim_disk, what_a_killed_process_left_is_lost_in_a_later_crash)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");

    put(env, f, 0, "kept");
    CHECK_EQ(env_sync(env, f), 0);
    put(env, f, 4, " lost");
    env = restart(s, SIM_KEEP_ALL);
    check_file(env, "/f", "kept lost");
    env = restart(s, SIM_KEEP_NONE);
    check_file(env, "/f", "kept");
    sim_free(s);
}

TEST(sim_disk, what_a_killed_process_left_can_be_synced_by_the_next)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");

    put(env, f, 0, "text");
    env = restart(s, SIM_KEEP_ALL);
    CHECK_EQ(env_open(env, "/f", 0, &f), 0);
    CHECK_EQ(env_sync(env, f), 0);
    env_close(env, f);
    env = restart(s, SIM_KEEP_NONE);
    check_file(env, "/f", "text");
    sim_free(s);
}

TEST(sim_disk, a_synced_file_without_a_synced_name_is_gone)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create(env, "/f");

    put(env, f, 0, "text");
    CHECK_EQ(env_sync(env, f), 0);
    env = restart(s, SIM_KEEP_NONE);
    check_absent(env, "/f");
    sim_free(s);
}

TEST(sim_disk, a_synced_name_without_synced_bytes_is_an_empty_file)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);

    put(env, create_synced(env, "/f"), 0, "text");
    env = restart(s, SIM_KEEP_NONE);
    check_file(env, "/f", "");
    sim_free(s);
}

TEST(sim_disk, a_rename_or_removal_lasts_only_after_sync_dir)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f;

    f = create(env, "/a");
    put(env, f, 0, "text");
    CHECK_EQ(env_sync(env, f), 0);
    create_synced(env, "/b");
    CHECK_EQ(env_rename(env, "/a", "/c"), 0);
    CHECK_EQ(env_unlink(env, "/b"), 0);
    check_absent(env, "/a");
    check_absent(env, "/b");
    env = restart(s, SIM_KEEP_NONE);
    check_file(env, "/a", "text");
    check_file(env, "/b", "");
    check_absent(env, "/c");
    CHECK_EQ(env_rename(env, "/a", "/c"), 0);
    CHECK_EQ(env_unlink(env, "/b"), 0);
    CHECK_EQ(env_sync_dir(env, "/"), 0);
    env = restart(s, SIM_KEEP_NONE);
    check_file(env, "/c", "text");
    check_absent(env, "/a");
    check_absent(env, "/b");
    sim_free(s);
}

static void count_name(void *data, const char *name)
{
    (void)name;
    (*(unsigned *)data)++;
}

TEST(sim_disk, a_directory_lists_its_own_names_only)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f;
    unsigned n = 0;

    CHECK_EQ(env_mkdir(env, "/d"), 0);
    CHECK_EQ(env_mkdir(env, "/d"), 0);
    CHECK_EQ(env_mkdir(env, "/d/sub"), 0);
    CHECK_EQ(env_mkdir(env, "/no/parent"), KV_ENOENT);
    create(env, "/d/x");
    create(env, "/d/sub/y");
    create(env, "/dx");
    CHECK_EQ(env_list(env, "/d", count_name, &n), 0);
    CHECK_EQ(n, 2);
    CHECK_EQ(env_list(env, "/none", count_name, &n), KV_ENOENT);
    CHECK_EQ(env_open(env, "/d/x", ENV_OPEN_CREATE | ENV_OPEN_EXCL, &f),
             KV_EEXIST);
    env = restart(s, SIM_KEEP_NONE);
    CHECK_EQ(env_list(env, "/d", count_name, &n), KV_ENOENT);
    sim_free(s);
}

TEST(sim_disk, a_lock_ends_with_the_process)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *a, *b;

    CHECK_EQ(env_lock(env, "/lock", &a), 0);
    CHECK_EQ(env_lock(env, "/lock", &b), KV_ELOCKED);
    env = restart(s, SIM_KEEP_ALL);
    CHECK_EQ(env_lock(env, "/lock", &a), 0);
    env_close(env, a);
    CHECK_EQ(env_lock(env, "/lock", &b), 0);
    sim_free(s);
}

TEST(sim_disk, truncation_cuts_and_growth_brings_back_zeroes)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create(env, "/f");
    uint8_t got[8], want[8] = { 'a', 'b' };
    uint64_t size;
    size_t n;

    put(env, f, 0, "abcdef");
    CHECK_EQ(env_truncate(env, f, 2), 0);
    CHECK_EQ(env_truncate(env, f, 8), 0);
    CHECK_EQ(env_size(env, f, &size), 0);
    CHECK_EQ(size, 8);
    CHECK_EQ(env_read(env, f, 0, got, sizeof got, &n), 0);
    CHECK_EQ(n, 8);
    CHECK_MEM(got, want, 8);
    CHECK_EQ(env_read(env, f, 8, got, sizeof got, &n), 0);
    CHECK_EQ(n, 0);
    sim_free(s);
}

/* ---- asynchronous ---- */

static unsigned order[8], n_done;

static void io_done(struct env_io *io)
{
    order[n_done++] = *(unsigned *)io->data;
}

static unsigned numbers[] = { 0, 1, 2, 3, 4, 5, 6, 7 };

static void io_write(struct env *env, struct env_io *io, struct env_file *f,
                     unsigned i, const struct slice *part, bool sync)
{
    *io = (struct env_io){ .file = f, .offset = i * part->n, .parts = part,
                           .n_parts = 1, .sync = sync, .cb = io_done,
                           .data = &numbers[i], .status = 99 };
    env_submit_write(env, io);
}

TEST(sim_disk, asynchronous_writes_end_one_after_the_other_in_order)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");
    struct slice part = slice_str("xy");
    struct env_io io[4];

    sim_disk_latency(s, 1, SIM_DISK_WRITE, (struct sim_latency){ 100, 0, 0 });
    sim_disk_latency(s, 1, SIM_DISK_SYNC, (struct sim_latency){ 900, 0, 0 });
    for (unsigned i = 0; i < 4; i++)
        io_write(env, &io[i], f, i, &part, i % 2 == 0);
    CHECK_EQ(n_done, 0);
    sim_run_until(s, 1000);
    CHECK_EQ(n_done, 1);
    CHECK_EQ(io[0].status, 0);
    CHECK_EQ(io[0].usec, 1000);
    sim_run_until(s, 2199);
    CHECK_EQ(n_done, 3);
    sim_run_until(s, 2200);
    CHECK_EQ(n_done, 4);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(order[i], i);
    sim_free(s);
}

TEST(sim_disk, a_crash_before_the_sync_ends_loses_the_write)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");
    struct slice part = slice_str("xy");
    struct env_io io[2];

    sim_disk_latency(s, 1, SIM_DISK_WRITE, (struct sim_latency){ 100, 0, 0 });
    sim_disk_latency(s, 1, SIM_DISK_SYNC, (struct sim_latency){ 900, 0, 0 });
    io_write(env, &io[0], f, 0, &part, true);
    io_write(env, &io[1], f, 1, &part, true);
    sim_run_until(s, 1999);
    env = restart(s, SIM_KEEP_NONE);
    sim_run_until(s, 9999);
    CHECK_EQ(n_done, 1);
    check_file(env, "/f", "xy");
    sim_free(s);
}

TEST(sim_disk, a_stalled_disk_ends_nothing_before_its_time)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");
    struct slice part = slice_str("xy");
    struct env_io io;

    sim_disk_stall(s, 1, 3000000);
    io_write(env, &io, f, 0, &part, true);
    sim_run_until(s, 2999999);
    CHECK_EQ(n_done, 0);
    sim_run_until(s, 3000000);
    CHECK_EQ(n_done, 1);
    sim_free(s);
}

TEST(sim_disk, an_asynchronous_read_gets_what_is_there)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create(env, "/f");
    uint8_t got[8];
    struct env_io io = { .file = f, .offset = 1, .buf = got, .len = 8,
                         .cb = io_done, .data = &numbers[0] };

    put(env, f, 0, "text");
    env_submit_read(env, &io);
    CHECK_EQ(n_done, 0);
    sim_run_until(s, 10000);
    CHECK_EQ(n_done, 1);
    CHECK_EQ(io.status, 0);
    CHECK_EQ(io.ret_len, 3);
    CHECK_MEM(got, "ext", 3);
    sim_free(s);
}

TEST_ABORTS(sim_disk, bytes_changed_while_the_disk_has_them_are_found)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    char bytes[] = "xy";
    struct slice part = slice_str(bytes);
    struct env_io io;

    io_write(env, &io, create(env, "/f"), 0, &part, true);
    bytes[0] = 'z';
    sim_run_until(s, 10000);
}

/* ---- faults ---- */

TEST(sim_disk, the_nth_write_and_sync_fail_once)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");
    struct slice part = slice_str("xy");
    struct env_io io[3];

    sim_disk_fail(s, 1, SIM_DISK_WRITE, 2, KV_ENOSPC);
    for (unsigned i = 0; i < 3; i++)
        io_write(env, &io[i], f, i, &part, true);
    sim_run_until(s, 10000);
    CHECK_EQ(io[0].status, 0);
    CHECK_EQ(io[1].status, KV_ENOSPC);
    CHECK_EQ(io[2].status, 0);
    sim_disk_fail(s, 1, SIM_DISK_SYNC, 1, KV_EIO);
    CHECK_EQ(env_sync(env, f), KV_EIO);
    CHECK_EQ(env_sync(env, f), 0);
    sim_disk_fail(s, 1, SIM_DISK_READ, 1, KV_EIO);
    CHECK_EQ(env_read(env, f, 0, (char[1]){ 0 }, 1, &(size_t){ 0 }), KV_EIO);
    sim_free(s);
}

TEST(sim_disk, a_failed_sync_loses_the_write_even_if_the_next_one_succeeds)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");

    put(env, f, 0, "text");
    sim_disk_fail(s, 1, SIM_DISK_SYNC, 1, KV_EIO);
    CHECK_EQ(env_sync(env, f), KV_EIO);
    CHECK_EQ(env_sync(env, f), 0);
    check_file(env, "/f", "text");
    env = restart(s, SIM_KEEP_NONE);
    check_file(env, "/f", "");
    sim_free(s);
}

TEST(sim_disk, a_full_disk_refuses_growth_but_not_overwriting)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create(env, "/f");

    put(env, f, 0, "text");
    sim_disk_capacity(s, 1, 6);
    CHECK_EQ(env_write(env, f, 4, "abc", 3), KV_ENOSPC);
    CHECK_EQ(env_write(env, f, 4, "ab", 2), 0);
    CHECK_EQ(env_write(env, f, 0, "TEXT", 4), 0);
    sim_free(s);
}

TEST(sim_disk, rot_changes_one_byte_at_rest)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");

    put(env, f, 0, "text");
    CHECK_EQ(env_sync(env, f), 0);
    CHECK_EQ(sim_disk_damage(s, 1, "/f", 1, 'e' ^ 'a'), 0);
    CHECK_EQ(sim_disk_damage(s, 1, "/f", 4, 1), KV_EINVAL);
    CHECK_EQ(sim_disk_damage(s, 1, "/g", 0, 1), KV_ENOENT);
    check_file(env, "/f", "taxt");
    sim_free(s);
}

/* ---- torn writes ---- */

/* Write BIG bytes of ones over synced zeroes, crash, and say for each sector
 * whether it is new; every sector must be one or the other as a whole. */
static void crash_over_zeroes(uint64_t seed, enum sim_keep keep, bool *ret_new)
{
    static uint8_t zeroes[BIG], ones[BIG], got[BIG];
    struct sim *s = sim_new(seed);
    struct env *env = sim_node_start(s, 1);
    struct env_file *f = create_synced(env, "/f");
    size_t n;

    memset(ones, 1, sizeof ones);
    CHECK_EQ(env_write(env, f, 0, zeroes, BIG), 0);
    CHECK_EQ(env_sync(env, f), 0);
    CHECK_EQ(env_write(env, f, 0, ones, BIG), 0);
    env = restart(s, keep);
    CHECK_EQ(env_open(env, "/f", 0, &f), 0);
    CHECK_EQ(env_read(env, f, 0, got, BIG, &n), 0);
    CHECK_EQ(n, BIG);
    for (size_t i = 0; i < BIG; i += DISK_SECTOR_BYTES) {
        ret_new[i / DISK_SECTOR_BYTES] = got[i] == 1;
        CHECK_MEM(&got[i], got[i] == 1 ? ones : zeroes, DISK_SECTOR_BYTES);
    }
    sim_free(s);
}

#define N_SECTORS (BIG / DISK_SECTOR_BYTES)

TEST(sim_disk, a_crash_in_order_tears_a_write_at_one_sector)
{
    bool now[N_SECTORS];
    unsigned torn = 0;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        unsigned changes = 0;

        crash_over_zeroes(seed, SIM_KEEP_PREFIX, now);
        for (unsigned i = 1; i < N_SECTORS; i++) {
            CHECK(now[i - 1] || !now[i]);
            changes += now[i - 1] != now[i];
        }
        torn += changes;
    }
    CHECK(torn > 0);
}

TEST(sim_disk, a_crash_without_order_keeps_any_sectors)
{
    bool now[N_SECTORS];
    unsigned backwards = 0;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        crash_over_zeroes(seed, SIM_KEEP_MIX, now);
        for (unsigned i = 1; i < N_SECTORS; i++)
            backwards += !now[i - 1] && now[i];
    }
    CHECK(backwards > 0);
}

TEST(sim_disk, zero_filled_files_cost_no_memory)
{
    struct disk_image d = { .size = 0 };
    uint8_t b = 1;

    disk_image_write(&d, 0, NULL, 64u << 20);
    CHECK_EQ(d.size, 64u << 20);
    for (size_t i = 0; i < d.n_pages; i++)
        CHECK(d.pages[i] == NULL);
    CHECK_EQ(disk_image_read(&d, 63u << 20, &b, 1), 1);
    CHECK_EQ(b, 0);
    disk_image_close(&d);
}
