/* The log in fair weather: group commit, order, the fold of each kind,
 * segments, reading back, closing.  Damage and crashes: test_wal_damage.c. */
#include <string.h>

#include "base/mem.h"
#include "walfix.h"

TEST(wal, an_empty_directory_is_an_empty_log)
{
    struct fix f;
    uint64_t it = 0;

    fix_init(&f);
    fix_open(&f);
    CHECK(wal_next_group(f.w, &it) == NULL);
    CHECK(wal_find_group(f.w, 1) == NULL);
    CHECK_EQ(wal_synced(f.w), wal_end(f.w));
    CHECK(wal_fresh(f.w));
    fix_reopen(&f);
    CHECK(wal_fresh(f.w));
    wal_put_hardstate(f.w, 1, 1, 0);
    fix_reopen(&f);
    CHECK(!wal_fresh(f.w));
    fix_free(&f);
}

TEST(wal, many_puts_become_one_write)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    wal_put_hardstate(f.w, 1, 1, 0);
    fix_sync(&f); /* the segment is there now */
    unsigned writes = f.m.writes, syncs = f.m.syncs, told = f.n_synced;
    uint64_t last = 0;
    for (uint64_t i = 1; i <= 50; i++) {
        uint64_t lsn = fix_put(&f, (uint32_t)(1 + i % 5), (i + 4) / 5, 1, 20);
        CHECK(lsn > last);
        last = lsn;
    }
    CHECK_EQ(f.m.writes, writes);
    wal_flush(f.w);
    CHECK(wal_synced(f.w) < last);
    memenv_run(&f.m);
    CHECK_EQ(f.m.writes, writes + 1);
    CHECK_EQ(f.m.syncs, syncs + 1);
    CHECK_EQ(f.n_synced, told + 1);
    CHECK_EQ(f.synced, last);
    fix_free(&f);
}

TEST(wal, what_is_put_during_a_write_follows_in_the_next)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    wal_put_hardstate(f.w, 1, 1, 0);
    fix_sync(&f);
    unsigned writes = f.m.writes;
    uint64_t a = fix_put(&f, 1, 1, 1, 20);
    wal_flush(f.w);
    uint64_t b = fix_put(&f, 1, 2, 1, 20);
    wal_flush(f.w);
    uint64_t c = fix_put(&f, 1, 3, 1, 20);
    CHECK_EQ(f.m.n_io, 1);
    CHECK(memenv_step(&f.m));
    CHECK_EQ(f.synced, a);
    CHECK_EQ(f.m.n_io, 1);
    CHECK(memenv_step(&f.m));
    CHECK_EQ(f.synced, c);
    CHECK(b < c);
    CHECK_EQ(f.m.writes, writes + 2);
    fix_free(&f);
}

TEST(wal, a_group_is_the_fold_of_its_records)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    wal_put_bootstrap(f.w, 1);
    fix_put_run(&f, 1, 1, 1, 30, 10);
    wal_put_hardstate(f.w, 1, 3, 2);
    wal_put_truncate(f.w, 1, 8);
    fix_put_run(&f, 1, 8, 3, 1000, 4); /* 1..11 */
    wal_put_compact(f.w, 1, 4, 1);     /* 5..11 */
    fix_put_run(&f, 1, 10, 3, 77, 1);  /* 5..10, truncates by itself */
    wal_put_hardstate(f.w, 2, 9, 0);
    fix_put_run(&f, 2, 1, 9, 0, 3);
    wal_put_install(f.w, 2, 500, 8);
    fix_put_run(&f, 2, 501, 9, 5, 1);
    wal_put_bootstrap(f.w, 3);
    fix_sync(&f);
    fix_reopen(&f);

    uint64_t it = 0;
    for (uint32_t g = 1; g <= 3; g++)
        CHECK_EQ(wal_next_group(f.w, &it)->group, g);
    CHECK(wal_next_group(f.w, &it) == NULL);
    struct wal_group *g = wal_find_group(f.w, 1);
    CHECK_EQ(g->term, 3);
    CHECK_EQ(g->vote, 2);
    CHECK_EQ(g->snap_index, 4);
    CHECK_EQ(g->snap_term, 1);
    fix_check_group(&f, 1, 5, 10);
    CHECK_EQ(g->entries[0].term, 1);
    CHECK_EQ(g->entries[3].term, 3);
    CHECK_EQ(g->entries[3].len, 1000);
    CHECK_EQ(g->entries[5].len, 77);
    CHECK_EQ(g->entries[5].type, 1);
    g = wal_find_group(f.w, 2);
    CHECK_EQ(g->term, 9);
    CHECK_EQ(g->snap_index, 500);
    CHECK_EQ(g->snap_term, 8);
    fix_check_group(&f, 2, 501, 501);
    g = wal_find_group(f.w, 3);
    CHECK_EQ(g->term, 1);
    fix_check_group(&f, 3, 1, 0);
    wal_loaded(f.w);
    CHECK_EQ(g->n, 0);
    fix_free(&f);
}

TEST(wal, a_group_may_begin_again_if_it_had_not_got_further)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    wal_put_bootstrap(f.w, 1);
    fix_reopen(&f);
    wal_put_bootstrap(f.w, 1);
    wal_put_hardstate(f.w, 1, 1, 0);
    fix_put(&f, 1, 1, 1, 30);
    fix_reopen(&f);
    fix_check_group(&f, 1, 1, 1);
    CHECK_EQ(wal_find_group(f.w, 1)->term, 1);
    fix_free(&f);
}

TEST_ABORTS(wal, a_group_that_has_entries_cannot_begin_again)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    wal_put_bootstrap(f.w, 1);
    fix_put(&f, 1, 1, 1, 30);
    wal_put_bootstrap(f.w, 1);
}

TEST(wal, truncating_behind_the_end_writes_nothing)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    fix_put_run(&f, 1, 1, 1, 10, 3);
    uint64_t end = wal_end(f.w);
    CHECK_EQ(wal_put_truncate(f.w, 1, 4), end);
    CHECK_EQ(wal_put_truncate(f.w, 9, 1), end);
    CHECK(wal_put_truncate(f.w, 1, 3) > end);
    fix_free(&f);
}

TEST_ABORTS(wal, a_gap_between_entries_is_our_bug)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    fix_put(&f, 1, 1, 1, 10);
    fix_put(&f, 1, 3, 1, 10);
}

TEST_ABORTS(wal, a_term_that_goes_back_is_our_bug)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    wal_put_hardstate(f.w, 1, 5, 0);
    wal_put_hardstate(f.w, 1, 4, 0);
}

TEST(wal, segments_follow_each_other)
{
    struct fix f;
    struct wal_stats st;

    fix_init(&f);
    fix_open(&f);
    for (uint64_t i = 1; i <= 300; i++) {
        fix_put(&f, (uint32_t)(i % 3), (i + 2) / 3, 1, 1500);
        if (i % 7 == 0)
            fix_sync(&f);
    }
    fix_sync(&f);
    wal_get_stats(f.w, &st);
    CHECK(st.segments >= 300 * 1500 / WAL_SEGMENT_BYTES_MIN);
    fix_reopen(&f);
    for (uint32_t g = 0; g < 3; g++)
        fix_check_group(&f, g, 1, 100);
    fix_put(&f, 0, 101, 1, 10);
    fix_sync(&f);
    fix_reopen(&f);
    fix_check_group(&f, 0, 1, 101);
    fix_free(&f);
}

TEST(wal, more_may_be_queued_than_a_segment_holds)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    for (uint64_t i = 1; i <= 400; i++)
        fix_put(&f, 1, i, 1, 1000);
    CHECK(!wal_full(f.w));
    fix_put_run(&f, 1, 401, 1, 1000, 800);
    CHECK(wal_full(f.w));
    fix_sync(&f);
    CHECK(!wal_full(f.w));
    fix_reopen(&f);
    fix_check_group(&f, 1, 1, 1200);
    fix_free(&f);
}

TEST(wal, the_largest_entry_fits_and_is_read_back)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    uint32_t max = wal_entry_bytes_max(f.w);
    for (uint64_t i = 1; i <= 5; i++) {
        wal_put_hardstate(f.w, (uint32_t)i, 1, 0);
        fix_put(&f, 1, i, 1, max);
    }
    fix_sync(&f);
    fix_reopen(&f);
    fix_check_group(&f, 1, 1, 5);
    struct wal_group *g = wal_find_group(f.w, 1);
    CHECK_EQ(fix_read(&f, &g->entries[4], 1, 5), 0);
    fix_free(&f);
}

TEST(wal, entries_at_any_length_around_the_end_of_a_segment)
{
    struct fix f;

    /* From a record that just fits to one that just does not. */
    for (uint32_t len = 4000; len < 4200; len += 1) {
        fix_init(&f);
        fix_open(&f);
        for (uint64_t i = 1; i <= 14; i++)
            fix_put(&f, 1, i, 1, 4100);
        fix_put(&f, 1, 15, 1, len);
        fix_put(&f, 1, 16, 1, 10);
        fix_sync(&f);
        fix_reopen(&f);
        fix_check_group(&f, 1, 1, 16);
        fix_free(&f);
    }
}

TEST(wal, a_spare_segment_exists_before_the_current_one_is_full)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    uint64_t i = 1;
    for (; i <= 25; i++) {
        fix_put(&f, 1, i, 1, 1000);
        fix_sync(&f);
    }
    CHECK(fix_segment(&f, 2) == NULL);
    for (; i <= 40; i++) {
        fix_put(&f, 1, i, 1, 1000);
        fix_sync(&f);
    }
    CHECK(fix_segment(&f, 2) != NULL);
    CHECK_EQ(fix_segment(&f, 2)->dur_n, WAL_SEGMENT_BYTES_MIN);
    CHECK(fix_segment(&f, 3) == NULL);
    fix_free(&f);
}

TEST(wal, loading_keeps_the_newest_payloads_and_reads_the_others_back)
{
    struct fix f;

    fix_init(&f);
    f.cfg.load_bytes_max = 5000;
    fix_open(&f);
    for (uint64_t i = 1; i <= 100; i++)
        fix_put(&f, 1, i, 1, 700);
    fix_sync(&f);
    fix_reopen(&f);
    fix_check_group(&f, 1, 1, 100);
    struct wal_group *g = wal_find_group(f.w, 1);
    for (uint64_t i = 0; i < 100; i++) {
        CHECK_EQ(g->entries[i].blob != NULL, i >= 93);
        CHECK_EQ(fix_read(&f, &g->entries[i], 1, i + 1), 0);
    }
    fix_free(&f);
}

TEST(wal, replaced_entries_do_not_count_against_the_payload_limit)
{
    struct fix f;

    fix_init(&f);
    f.cfg.load_bytes_max = 3000;
    fix_open(&f);
    for (uint64_t term = 1; term <= 5; term++)
        fix_put_run(&f, 1, 1, term, 700, 4);
    fix_sync(&f);
    fix_reopen(&f);
    struct wal_group *g = wal_find_group(f.w, 1);
    fix_check_group(&f, 1, 1, 4);
    for (uint64_t i = 0; i < 4; i++)
        CHECK(g->entries[i].blob != NULL);
    fix_free(&f);
}

TEST(wal, a_read_of_bytes_not_yet_written_waits_for_them)
{
    struct fix f;
    struct blob *b = fix_payload(1, 1, 1, 600);
    struct wal_entry e = { .term = 1, .type = 1, .len = 600, .blob = b };

    fix_init(&f);
    fix_open(&f);
    wal_put_entries(f.w, 1, 1, &e, 1);
    wal_flush(f.w);
    CHECK_EQ(fix_read(&f, &e, 1, 1), 0);
    blob_unref(b);
    fix_free(&f);
}

TEST(wal, a_damaged_payload_is_not_handed_out)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    fix_put_run(&f, 1, 1, 1, 600, 3);
    fix_sync(&f);
    fix_reopen(&f);
    struct wal_group *g = wal_find_group(f.w, 1);
    struct wal_entry *e = &g->entries[1];
    fix_segment(&f, 1)->cur[e->pos.offset + 599] ^= 1;
    CHECK_EQ(fix_read(&f, e, 1, 2), KV_ECORRUPT);
    CHECK_EQ(fix_read(&f, &g->entries[0], 1, 1), 0);
    CHECK_EQ(fix_read(&f, &g->entries[2], 1, 3), 0);
    struct wal_entry gone = *e;
    gone.pos.segment = 99;
    CHECK_EQ(fix_read(&f, &gone, 1, 2), KV_ENOENT);
    fix_segment(&f, 1)->cur[e->pos.offset + 599] ^= 1;
    fix_free(&f);
}

TEST(wal, an_empty_payload_is_read_back_as_such)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    fix_put(&f, 1, 1, 1, 0);
    fix_reopen(&f);
    CHECK_EQ(fix_read(&f, wal_find_group(f.w, 1)->entries, 1, 1), 0);
    fix_free(&f);
}

TEST(wal, a_read_that_fails_on_the_disk_says_so_and_the_next_one_works)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    for (uint64_t i = 1; i <= 60; i++)
        fix_put(&f, 1, i, 1, 1500);
    fix_sync(&f);
    fix_reopen(&f);
    const struct wal_entry *e = wal_find_group(f.w, 1)->entries;
    fault_arm(&f.m.fault, 1, false); /* opening the older segment */
    CHECK_EQ(fix_read(&f, e, 1, 1), KV_EIO);
    CHECK_EQ(fix_read(&f, e, 1, 1), 0);
    fault_arm(&f.m.fault, 1, false); /* reading it */
    CHECK_EQ(fix_read(&f, e, 1, 1), KV_EIO);
    CHECK_EQ(fix_read(&f, e, 1, 1), 0);
    fix_free(&f);
}

TEST(wal, a_log_of_many_segments_keeps_few_files_open)
{
    struct fix f;

    fix_init(&f);
    f.cfg.load_bytes_max = 0;
    fix_open(&f);
    for (uint64_t i = 1; i <= 45; i++) {
        fix_put(&f, 1, i, 1, wal_entry_bytes_max(f.w));
        fix_sync(&f);
        CHECK(f.m.open_files <= WAL__OPEN_MAX + 2);
    }
    fix_reopen(&f);
    struct wal_group *g = wal_find_group(f.w, 1);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 45; i++) {
            CHECK_EQ(fix_read(&f, &g->entries[i], 1, i + 1), 0);
            CHECK(f.m.open_files <= WAL__OPEN_MAX + 2);
        }
    }
    fix_free(&f);
}

TEST(wal, replaced_and_compacted_entries_make_way_for_newer_ones_in_memory)
{
    struct fix f;

    fix_init(&f);
    f.cfg.load_bytes_max = 3000;
    fix_open(&f);
    fix_put_run(&f, 1, 1, 1, 600, 4);
    wal_put_compact(f.w, 1, 1, 1);
    fix_put_run(&f, 1, 3, 2, 900, 2);  /* 600 + 2 * 900 in memory */
    fix_put_run(&f, 2, 1, 1, 1000, 2); /* drops all but 900 + 2 * 1000 */
    fix_reopen(&f);
    struct wal_group *g = wal_find_group(f.w, 1);
    fix_check_group(&f, 1, 2, 4);
    CHECK(g->entries[0].blob == NULL);
    CHECK(g->entries[1].blob == NULL);
    CHECK(g->entries[2].blob != NULL);
    fix_check_group(&f, 2, 1, 2);
    fix_free(&f);
}

static void count(struct wal_read *r, int status, struct blob *payload)
{
    CHECK_EQ(status, KV_ECANCELED);
    CHECK(payload == NULL);
    (*(unsigned *)r->data)++;
}

TEST(wal, closing_cancels_reads_and_writes_what_is_queued)
{
    struct fix f;
    unsigned canceled = 0;
    struct wal_read r[3];
    struct wal_entry e = { .term = 1, .type = 1, .len = 4 };

    fix_init(&f);
    fix_open(&f);
    e.blob = fix_payload(1, 1, 1, 4);
    wal_put_entries(f.w, 1, 1, &e, 1);
    blob_unref(e.blob);
    for (int i = 0; i < 3; i++) {
        r[i] = (struct wal_read){ .pos = e.pos, .len = 4, .cb = count };
        r[i].data = &canceled;
        wal_read(f.w, &r[i]);
    }
    fix_close(&f);
    CHECK_EQ(canceled, 3);
    fix_open(&f);
    fix_check_group(&f, 1, 1, 1);
    fix_free(&f);
}

TEST(wal, bad_settings_are_refused)
{
    struct fix f;

    fix_init(&f);
    f.cfg.segment_bytes = 65536 + 4096;
    CHECK_EQ(fix_try_open(&f), KV_EINVAL);
    CHECK(strstr(f.err, "power of two") != NULL);
    f.cfg.segment_bytes = 32768;
    CHECK_EQ(fix_try_open(&f), KV_EINVAL);
    fix_free(&f);
}

TEST(wal, the_interval_policy_syncs_every_100_ms)
{
    struct fix f;

    fix_init(&f);
    f.cfg.sync_always = false;
    fix_open(&f);
    wal_put_hardstate(f.w, 1, 1, 0);
    fix_sync(&f);
    memenv_advance(&f.m, 1000);
    unsigned syncs = f.m.syncs;
    for (uint64_t i = 1; i <= 20; i++) {
        fix_put(&f, 1, i, 1, 10);
        fix_sync(&f); /* told synced with the write */
    }
    CHECK_EQ(f.m.syncs, syncs);
    memenv_advance(&f.m, 99);
    CHECK_EQ(f.m.syncs, syncs);
    memenv_advance(&f.m, 1);
    CHECK_EQ(f.m.syncs, syncs + 1);
    memenv_advance(&f.m, 1000);
    CHECK_EQ(f.m.syncs, syncs + 1);
    fix_free(&f);
}

TEST(wal, the_interval_policy_syncs_every_1000_writes)
{
    struct fix f;

    fix_init(&f);
    f.cfg.sync_always = false;
    f.cfg.segment_bytes = 1 << 20;
    fix_open(&f);
    wal_put_hardstate(f.w, 1, 1, 0);
    fix_sync(&f);
    memenv_advance(&f.m, 1000);
    unsigned syncs = f.m.syncs;
    for (uint64_t i = 1; i <= 1000; i++) {
        CHECK_EQ(f.m.syncs, syncs);
        fix_put(&f, 1, i, 1, 10);
        fix_sync(&f);
    }
    CHECK_EQ(f.m.syncs, syncs + 1);
    fix_free(&f);
}
