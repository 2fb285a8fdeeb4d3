/* Crashes and failing disks: what was acknowledged survives all of them.
 *
 *  - power cuts with the sectors of the last write kept or lost in every
 *    combination, once and twice in a row, on fresh and on recycled segments;
 *  - a kill and a power cut after each single disk request of a run that fills,
 *    retires and recycles segments;
 *  - each disk call failing once, while opening and while running. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "walscript.h"

/* ---- power cuts ---- */

static bool keep_mask(void *ctx, unsigned sector)
{
    return (*(uint64_t *)ctx >> sector & 1) != 0;
}

static bool keep_all(void *ctx, unsigned sector)
{
    (void)ctx;
    (void)sector;
    return true;
}

static void cut_power(const struct fix *from, struct fix *to, uint64_t mask)
{
    fix_init(to);
    to->cfg = from->cfg;
    rng_seed(&to->m.rng, mask + 3);
    memenv_power_cut(&from->m, &to->m, keep_mask, &mask);
}

/* Let the last write of s reach the page cache, not the disk. */
static unsigned write_unsynced(struct script *s)
{
    struct fix all;
    unsigned k;

    wal_flush(s->f.w);
    fault_arm(&s->f.m.fault, 2, true); /* the write itself, then fdatasync */
    CHECK(memenv_step(&s->f.m));
    CHECK_EQ(s->f.n_failed, 1);
    fault_disarm(&s->f.m.fault);
    fix_init(&all);
    k = memenv_power_cut(&s->f.m, &all.m, keep_all, NULL);
    memenv_close(&all.m);
    return k;
}

/* The state that f has open is one after at least `synced` records; how many.
 */
static unsigned match_prefix(const struct script *s, struct fix *f,
                             unsigned synced)
{
    for (unsigned n = s->n; n > synced; n--) {
        const struct wal_group *a = wal_find_group(f->w, 1);
        const struct wal_group *b = wal_find_group(f->w, 2);
        const struct model *m = script_prefix(s, n);
        if (a->first + a->n == m->g[1].last + 1 && a->term == m->g[1].term &&
            b->first + b->n == m->g[2].last + 1 && b->term == m->g[2].term)
            return n;
    }
    return synced;
}

/* A last write of several sectors behind those of script_run. */
static unsigned put_last_write(struct script *s)
{
    unsigned synced = s->n;

    script_append(s, 1, 1, 3, 300);
    script_hardstate(s, 1, 4, 1);
    script_append(s, 2, 3, 4, 20);
    script_append(s, 1, 2, 4, 900);
    script_hardstate(s, 2, 5, 1);
    return synced;
}

TEST(wal_crash, any_sectors_of_the_last_write_may_be_lost)
{
    struct script s;
    unsigned seen_torn = 0, seen_whole = 0;

    script_run(&s);
    unsigned synced = put_last_write(&s);
    unsigned k = write_unsynced(&s);
    CHECK(k >= 6 && k <= 10);
    for (uint64_t mask = 0; mask < 1u << k; mask++) {
        struct fix f;
        cut_power(&s.f, &f, mask);
        fix_open(&f);
        unsigned n = match_prefix(&s, &f, synced);
        model_check(script_prefix(&s, n), &f);
        if (mask == (1u << k) - 1)
            CHECK_EQ(n, s.n);
        seen_whole += n == s.n;
        seen_torn += n > synced && n < s.n;
        fix_reopen(&f);
        model_check(script_prefix(&s, n), &f);
        fix_free(&f);
    }
    CHECK_EQ(seen_whole, 1);
    CHECK(seen_torn > 0);
    fix_free(&s.f);
}

/* After a torn write the log goes on; a second torn write over the leftovers of
 * the first must not bring any of them back. */
TEST(wal_crash, leftovers_of_a_torn_write_never_come_back)
{
    struct script s;

    script_run(&s);
    unsigned synced = put_last_write(&s);
    unsigned k = write_unsynced(&s);
    for (uint64_t mask = 0; mask < 1u << k; mask += 3) {
        struct fix f;
        cut_power(&s.f, &f, mask);
        fix_open(&f);
        unsigned n = match_prefix(&s, &f, synced);
        const struct model *m = script_prefix(&s, n);
        uint64_t last = m->g[1].last, term = m->g[1].term;
        /* New records of another term over the old bytes, not synced. */
        fix_put(&f, 1, last + 1, term + 1, 300);
        fix_put_run(&f, 1, last + 2, term + 1, 500, 2);
        wal_flush(f.w);
        while (f.w->inflight == NULL)
            CHECK(memenv_step(&f.m)); /* a segment is being prepared */
        fault_arm(&f.m.fault, 2, true);
        memenv_step(&f.m);
        CHECK_EQ(f.n_failed, 1);
        fault_disarm(&f.m.fault);
        for (uint64_t mask2 = 0; mask2 < 64; mask2++) {
            struct fix g;
            cut_power(&f, &g, mask2);
            fix_open(&g);
            struct wal_group *wg = wal_find_group(g.w, 1);
            CHECK(wg->first + wg->n > last);
            for (uint64_t i = 0; i < wg->n; i++)
                if (wg->first + i > last)
                    CHECK_EQ(wg->entries[i].term, term + 1);
            fix_check_group(&g, 1, m->g[1].snap_index + 1,
                            wg->first + wg->n - 1);
            fix_check_group(&g, 2, m->g[2].snap_index + 1, m->g[2].last);
            fix_free(&g);
        }
        fix_free(&f);
    }
    fix_free(&s.f);
}

/* ---- recycling ---- */

struct life {
    struct fix f;
    uint64_t last, acked; /* of group 1 */
    uint64_t acked_lsn[4096];
    uint64_t compacted;
};

static void life_put(struct life *l)
{
    l->last++;
    l->acked_lsn[l->last] = fix_put(&l->f, 1, l->last, 1, 1500);
    if (l->last % 10 == 0 && l->last > 20) {
        l->compacted = l->last - 15;
        wal_put_compact(l->f.w, 1, l->compacted, 1);
    }
}

static void life_note(struct life *l)
{
    while (l->acked < l->last &&
           l->acked_lsn[l->acked + 1] <= wal_synced(l->f.w))
        l->acked++;
}

static void life_survives(const struct life *l, struct fix *copy)
{
    fix_open(copy);
    struct wal_group *g = wal_find_group(copy->w, 1);
    if (l->acked > 0) {
        CHECK(g != NULL);
        CHECK_EQ(g->term, 4);
        CHECK(g->first + g->n - 1 >= l->acked);
        CHECK(g->first + g->n - 1 <= l->last);
        CHECK(g->snap_index <= l->compacted);
        fix_check_group(copy, 1, g->snap_index + 1, g->first + g->n - 1);
    }
    fix_free(copy);
}

static void life_init(struct life *l)
{
    *l = (struct life){ .last = 0 };
    fix_init(&l->f);
    fix_open(&l->f);
    wal_put_hardstate(l->f.w, 1, 4, 2);
}

static void life_crash_now(const struct life *l, uint64_t *dice)
{
    struct fix copy;

    fix_init_from(&copy, &l->f);
    life_survives(l, &copy);
    cut_power(&l->f, &copy, 0);
    life_survives(l, &copy);
    *dice = rng_mix(*dice + 1);
    cut_power(&l->f, &copy, *dice);
    life_survives(l, &copy);
}

TEST(wal_crash, a_crash_after_any_disk_request_loses_nothing_acknowledged)
{
    struct life l;
    struct wal_stats st;
    uint64_t dice = test_seed();

    life_init(&l);
    while (l.last < 400) {
        life_put(&l);
        if (l.last % 3 == 0)
            life_put(&l);
        wal_flush(l.f.w);
        while (memenv_step(&l.f.m)) {
            life_note(&l);
            life_crash_now(&l, &dice);
        }
    }
    wal_get_stats(l.f.w, &st);
    CHECK(st.recycled >= 3);
    CHECK(st.segments <= 4);
    CHECK_EQ(l.acked, l.last);
    fix_free(&l.f);
}

TEST(wal_crash, a_recycled_segment_shows_nothing_of_its_former_life)
{
    struct life l;
    struct wal_stats st;
    struct fix copy;

    life_init(&l);
    do {
        life_put(&l);
        fix_sync(&l.f);
        wal_get_stats(l.f.w, &st);
    } while (st.recycled < 2 || l.f.w->cur->h.seq < 6);
    /* The current segment is a recycled file: full of intact-looking records of
     * the same group behind the end. */
    uint32_t off = l.f.w->cur_off;
    const uint8_t *p = fix_segment(&l.f, l.f.w->cur->h.seq)->cur;
    bool stale = false;
    for (uint32_t i = off; i + WAL__REC_HEADER < WAL_SEGMENT_BYTES_MIN; i++)
        stale = stale || p[i] != 0;
    CHECK(stale);
    fix_init_from(&copy, &l.f);
    fix_open(&copy);
    CHECK_EQ(copy.w->cur_off, off);
    struct wal_group *g = wal_find_group(copy.w, 1);
    CHECK_EQ(g->first + g->n, l.last + 1);
    fix_free(&copy);
    fix_free(&l.f);
}

TEST(wal_crash, a_segment_is_not_retired_before_its_release_is_durable)
{
    struct life l;

    life_init(&l);
    while (l.f.w->cur->h.seq < 3) {
        l.last++;
        fix_put(&l.f, 1, l.last, 1, 1500);
        fix_sync(&l.f);
    }
    memenv_advance(&l.f.m, 1000);
    wal_put_compact(l.f.w, 1, l.last, 1);
    CHECK(fix_segment(&l.f, 1) != NULL);
    wal_flush(l.f.w);
    CHECK(fix_segment(&l.f, 1) != NULL);
    memenv_run(&l.f.m);
    memenv_advance(&l.f.m, 1000);
    CHECK(fix_segment(&l.f, 1) == NULL);
    fix_free(&l.f);
}

TEST(wal_crash, a_group_that_needs_nothing_old_pins_nothing)
{
    struct life l;
    struct wal_stats st;

    life_init(&l);
    wal_put_hardstate(l.f.w, 9, 77, 3); /* never again */
    wal_put_bootstrap(l.f.w, 8);
    while (l.last < 400) {
        life_put(&l);
        fix_sync(&l.f);
    }
    wal_get_stats(l.f.w, &st);
    CHECK(st.segments <= 4);
    fix_reopen(&l.f);
    struct wal_group *g = wal_find_group(l.f.w, 9);
    CHECK(g != NULL);
    CHECK_EQ(g->term, 77);
    CHECK_EQ(g->vote, 3);
    CHECK_EQ(wal_find_group(l.f.w, 8)->term, 1);
    fix_free(&l.f);
}

TEST(wal_crash, an_entry_that_is_needed_pins_its_segment)
{
    struct life l;

    life_init(&l);
    fix_put(&l.f, 9, 1, 1, 100);
    while (l.last < 400) {
        life_put(&l);
        fix_sync(&l.f);
    }
    CHECK(fix_segment(&l.f, 1) != NULL);
    fix_reopen(&l.f);
    fix_check_group(&l.f, 9, 1, 1);
    CHECK_EQ(fix_read(&l.f, wal_find_group(l.f.w, 9)->entries, 9, 1), 0);
    fix_free(&l.f);
}

/* ---- failing disks ---- */

TEST(wal_crash, a_failed_write_or_sync_is_final)
{
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct fix f;
        fix_init(&f);
        fix_open(&f);
        fix_put(&f, 1, 1, 1, 100);
        fix_sync(&f);
        uint64_t synced = wal_synced(f.w);
        fix_put(&f, 1, 2, 1, 100);
        wal_flush(f.w);
        fix_put(&f, 1, 3, 1, 100);
        CHECK_EQ(f.n_failed, 0);
        fault_arm(&f.m.fault, nth, false);
        memenv_run(&f.m);
        CHECK_EQ(f.n_failed, 1);
        CHECK_EQ(f.fail_status, KV_EIO);
        CHECK(strstr(f.fail_msg, "wal-0000000000000001.seg") != NULL);
        CHECK(strstr(f.fail_msg, "start again") != NULL);
        CHECK(wal_full(f.w));
        fix_put(&f, 1, 4, 1, 100);
        wal_flush(f.w);
        memenv_advance(&f.m, 5000);
        CHECK_EQ(wal_synced(f.w), synced);
        CHECK_EQ(f.n_failed, 1);
        CHECK_EQ(f.m.n_io, 0);
        fix_close(&f);
        fix_open(&f);
        CHECK(wal_find_group(f.w, 1)->n >= 1);
        fix_free(&f);
    }
}

TEST(wal_crash, a_segment_that_cannot_be_prepared_once_is_tried_again)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    fix_put(&f, 1, 1, 1, 100);
    fault_arm(&f.m.fault, 2, false); /* open passes, zeroing fails */
    wal_flush(f.w);
    memenv_run(&f.m);
    CHECK(fault_fired(&f.m.fault));
    CHECK_EQ(f.n_failed, 0);
    CHECK_EQ(wal_synced(f.w), WAL__SEG_HEADER);
    memenv_advance(&f.m, 1000);
    CHECK_EQ(wal_synced(f.w), wal_end(f.w));
    fix_free(&f);
}

TEST(wal_crash, a_segment_that_cannot_be_prepared_fails_the_log_when_needed)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    fix_put(&f, 1, 1, 1, 100);
    fault_arm(&f.m.fault, 1, true);
    wal_flush(f.w);
    for (int i = 0; i < 10; i++)
        memenv_advance(&f.m, 1000);
    CHECK_EQ(f.n_failed, 1);
    CHECK_EQ(f.fail_status, KV_EIO);
    fault_disarm(&f.m.fault);
    fix_free(&f);
}

/* Fail the n-th disk call of opening this disk; true when none was left. */
static bool open_with_fault(const struct life *l, uint64_t nth, bool for_ever)
{
    struct fix f;

    fix_init_from(&f, &l->f);
    fault_arm(&f.m.fault, nth, for_ever);
    int rv = fix_try_open(&f);
    bool fired = fault_fired(&f.m.fault);
    fault_disarm(&f.m.fault);
    if (rv != 0) {
        CHECK(fired);
        CHECK_EQ(rv, KV_EIO);
        CHECK(f.w == NULL);
        CHECK_EQ(f.m.open_files, 0);
        CHECK(strstr(f.err, DIR) != NULL);
        fix_open(&f);
    }
    CHECK_EQ(wal_find_group(f.w, 1)->first + wal_find_group(f.w, 1)->n,
             l->last + 1);
    fix_free(&f);
    return !fired;
}

TEST(wal_crash, any_disk_call_of_opening_may_fail)
{
    struct life l;

    life_init(&l);
    while (l.last < 150) {
        life_put(&l);
        fix_sync(&l.f);
    }
    for (int for_ever = 0; for_ever <= 1; for_ever++) {
        uint64_t n = 1;
        while (!open_with_fault(&l, n, for_ever == 1))
            n++;
        CHECK(n > 10);
    }
    fix_free(&l.f);
}

TEST(wal_crash, any_disk_call_of_opening_a_torn_log_may_fail)
{
    struct script s;
    struct fix torn;
    uint64_t n = 1;
    bool fired = true;

    script_run(&s);
    unsigned synced = put_last_write(&s);
    write_unsynced(&s);
    cut_power(&s.f, &torn, ~2ull); /* a sector in the middle is missing */
    for (; fired; n++) {
        struct fix f;
        fix_init_from(&f, &torn);
        fault_arm(&f.m.fault, n, false);
        int rv = fix_try_open(&f);
        fired = fault_fired(&f.m.fault);
        fault_disarm(&f.m.fault);
        CHECK_EQ(rv, fired ? KV_EIO : 0);
        if (rv != 0)
            fix_open(&f);
        CHECK_EQ(f.w->cur->h.seq, 2); /* the torn segment is sealed */
        model_check(script_prefix(&s, match_prefix(&s, &f, synced)), &f);
        fix_free(&f);
    }
    CHECK(n > 10);
    memenv_close(&torn.m);
    fix_free(&s.f);
}

static void on_late_read(struct wal_read *r, int status, struct blob *payload)
{
    CHECK(payload == NULL);
    *(int *)r->data = status;
}

TEST(wal_crash, reads_of_a_failed_or_closing_log_are_answered)
{
    struct fix f;
    int got[3] = { 0 };
    struct wal_read r[3];
    struct wal_entry e = { .term = 1, .type = 1, .len = 4 };

    fix_init(&f);
    fix_open(&f);
    e.blob = fix_payload(1, 1, 1, 4);
    wal_put_hardstate(f.w, 1, 1, 0);
    fix_sync(&f);
    wal_put_entries(f.w, 1, 1, &e, 1);
    blob_unref(e.blob);
    for (int i = 0; i < 3; i++)
        r[i] = (struct wal_read){
            .pos = e.pos, .len = 4, .cb = on_late_read, .data = &got[i]
        };
    wal_read(f.w, &r[0]); /* parked, then the write fails */
    wal_flush(f.w);
    fault_arm(&f.m.fault, 1, false);
    memenv_run(&f.m);
    CHECK_EQ(f.n_failed, 1);
    CHECK_EQ(got[0], KV_EIO);
    wal_read(f.w, &r[1]); /* was never written */
    memenv_run(&f.m);
    CHECK_EQ(got[1], KV_EIO);
    f.closed = false;
    wal_close(f.w, fix_on_closed, &f);
    wal_read(f.w, &r[2]);
    CHECK_EQ(got[2], 0);
    memenv_run(&f.m);
    CHECK_EQ(got[2], KV_ECANCELED);
    CHECK(f.closed);
    f.w = NULL;
    fix_free(&f);
}

TEST(wal_crash, a_log_that_cannot_be_read_back_fails_for_good)
{
    struct fix f;

    fix_init(&f);
    fix_open(&f);
    wal_put_hardstate(f.w, 1, 1, 0);
    fix_put(&f, 1, 1, 1, 10);
    wal_flush(f.w); /* under way */
    wal_unreadable(f.w, KV_ECORRUPT, "an entry of group 1");
    CHECK_EQ(f.n_failed, 1);
    CHECK_EQ(f.fail_status, KV_ECORRUPT);
    CHECK(strstr(f.fail_msg, "an entry of group 1") != NULL);
    CHECK(strstr(f.fail_msg, "restore this replica") != NULL);
    CHECK(wal_full(f.w));
    wal_unreadable(f.w, KV_EIO, "another");
    memenv_run(&f.m);
    CHECK_EQ(f.n_failed, 1);
    CHECK_EQ(f.n_synced, 0);
    fix_free(&f);
}

/* The whole life of a log with its n-th disk call failing. */
static bool live_with_fault(uint64_t nth)
{
    struct life *l = MEM_NEW(struct life);
    struct fix copy;

    fix_init(&l->f);
    fix_open(&l->f);
    wal_put_hardstate(l->f.w, 1, 4, 2);
    fault_arm(&l->f.m.fault, nth, false);
    while (l->last < 160 && l->f.n_failed == 0) {
        life_put(l);
        wal_flush(l->f.w);
        memenv_run(&l->f.m);
        life_note(l);
        if (l->acked < l->last)
            memenv_advance(&l->f.m, 1000);
        life_note(l);
    }
    bool fired = fault_fired(&l->f.m.fault);
    fault_disarm(&l->f.m.fault);
    CHECK(l->f.n_failed == 1 || l->acked == l->last);
    fix_init_from(&copy, &l->f);
    life_survives(l, &copy);
    cut_power(&l->f, &copy, 0);
    life_survives(l, &copy);
    fix_free(&l->f);
    mem_free(l);
    return !fired;
}

TEST(wal_crash, any_disk_call_of_a_running_log_may_fail)
{
    uint64_t n = 1;

    while (!live_with_fault(n))
        n++;
    CHECK(n > 300);
}
